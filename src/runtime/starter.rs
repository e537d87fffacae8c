//! The thread that starts the workers of this process's nodes.
//!
//! The kernel ends a worker with the *thread* that started it (`PR_SET_PDEATHSIG`), so that is one which stays as long
//! as the process. Those of the background runtime do not: where something that runs there blocks in place
//! (`tokio::task::block_in_place`), another thread takes the rest, and the first one ends when it is idle.

use std::sync::{OnceLock, mpsc};

use parking_lot::Mutex;

use crate::error::{Error, Result};

type Start = Box<dyn FnOnce() + Send>;

static STARTER: OnceLock<std::io::Result<Mutex<mpsc::Sender<Start>>>> = OnceLock::new();

/// Has that thread start something, and gives what came of it. Where the future is dropped it is started all the same.
///
/// # Errors
/// When the process cannot have another thread.
pub(super) async fn run<R: Send + 'static>(
    start: impl FnOnce() -> R + Send + 'static,
) -> Result<R> {
    let starter = STARTER.get_or_init(|| {
        let (sender, starts) = mpsc::channel::<Start>();
        let serve = move || starts.into_iter().for_each(|start| start());
        std::thread::Builder::new().name("rustyray-starter".into()).spawn(serve)?;
        Ok(Mutex::new(sender))
    });
    let starter = starter.as_ref().map_err(|error| Error::io("starting workers", error))?;
    let (tell, told) = tokio::sync::oneshot::channel();
    let start = move || drop(tell.send(start()));
    let lost = |_| Error::io("starting workers", &std::io::Error::other("the thread has ended"));
    // It ends with the process only; what it is given does not panic.
    let sent = starter.lock().send(Box::new(start));
    sent.map_err(|_| lost(()))?;
    told.await.map_err(|_| lost(()))
}
