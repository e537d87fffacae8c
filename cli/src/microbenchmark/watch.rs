//! A row that does not move is reported and ends the run, instead of hanging it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::print;

/// What is under way, and since when nothing has moved.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Mutex<(String, Instant)>>);

impl Watch {
    /// Starts watching: when [`Watch::moved`] is not called for `patience`, the process ends with exit code 1,
    /// and its workers with it.
    pub(super) fn start(patience: Duration) -> Watch {
        let watch = Watch(Arc::new(Mutex::new((String::new(), Instant::now()))));
        let watched = Arc::downgrade(&watch.0);
        let look = move || {
            while let Some(state) = watched.upgrade() {
                let (what, since) = state.lock().unwrap_or_else(PoisonError::into_inner).clone();
                drop(state);
                if since.elapsed() > patience {
                    let seconds = patience.as_secs();
                    print::aside(format_args!("error: nothing has moved for {seconds} s: {what}"));
                    std::process::exit(1);
                }
                thread::sleep(patience.min(Duration::from_millis(200)));
            }
        };
        // Without the thread nobody watches, which is no reason to measure nothing.
        let _ = thread::Builder::new().name("watch".into()).spawn(look);
        watch
    }

    /// Something else is under way.
    pub(super) fn enter(&self, what: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (what.to_owned(), Instant::now());
    }

    /// It goes on.
    pub(super) fn moved(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Instant::now();
    }
}
