//! What the thread that listens to the node has done by another, since it may have to wait.
//!
//! Whoever fails an object or hands something to the node may wait: for room in the store or in the up ring, for an
//! answer of the node, for a lock whose owner waits for one of these. If the node dies meanwhile, nothing of it ever
//! comes, and what ends such a wait is the news of the death: the listening thread must be there to hear it.
//!
//! The errands of a process are run one after the other, in the order in which they came.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
};

use crate::runtime::Core;

type Errand = Box<dyn FnOnce(&Core) + Send>;

/// See the module.
pub(super) struct Errands {
    core: Arc<Core>,
    /// To the thread that runs them, which the first one starts.
    to: Option<Sender<Errand>>,
}

impl Errands {
    pub(super) fn of(core: &Arc<Core>) -> Self {
        Errands { core: Arc::clone(core), to: None }
    }

    pub(super) fn run(&mut self, errand: impl FnOnce(&Core) + Send + 'static) {
        let to = match &self.to {
            Some(to) => to,
            None => match self.start() {
                Ok(to) => self.to.insert(to),
                Err(error) => {
                    crate::notice!("rustyray: no thread for what the node asks for: {error}");
                    return errand(&self.core);
                }
            },
        };
        // It is heard: the thread goes on until there is no sender.
        let _ = to.send(Box::new(errand));
    }

    fn start(&self) -> io::Result<Sender<Errand>> {
        let (to, errands) = mpsc::channel::<Errand>();
        let core = Arc::clone(&self.core);
        let run = move || errands.iter().for_each(|errand| errand(&core));
        thread::Builder::new().name("rustyray-errands".into()).spawn(run)?;
        Ok(to)
    }
}
