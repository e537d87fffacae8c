//! The process's one background thread: timers, sockets, output of workers.
//!
//! It is a tokio runtime with a single worker thread, started when it is first needed and kept until the
//! process ends. Nothing on a hot path passes through it. All nodes of a process share it. Nothing that may block runs
//! there, and so no code of users: they have another (`foreground.rs`).

use std::{sync::OnceLock, task::Waker, time::Instant};

use tokio::{
    runtime::{Builder, Handle, Id, Runtime},
    task::AbortHandle,
};

use crate::error::{Error, Result};

static BACKGROUND: OnceLock<std::io::Result<Runtime>> = OnceLock::new();

/// Whether that is the background runtime, which is of all nodes and so says nothing of which is meant.
pub(crate) fn is(id: Id) -> bool {
    matches!(BACKGROUND.get(), Some(Ok(background)) if background.handle().id() == id)
}

/// The background runtime.
///
/// # Errors
/// When the process cannot have another thread.
pub(crate) fn handle() -> Result<&'static Handle> {
    of(&BACKGROUND, "rustyray-background")
}

/// The runtime at `place`, with one thread of this name, which is started here if there is none.
pub(super) fn of(
    place: &'static OnceLock<std::io::Result<Runtime>>,
    name: &str,
) -> Result<&'static Handle> {
    place
        .get_or_init(|| {
            Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()
        })
        .as_ref()
        .map(Runtime::handle)
        .map_err(|error| Error::io(format_args!("starting the thread `{name}`"), error))
}

/// Wakes a task at a given time, unless it is dropped before.
#[derive(Debug)]
pub(crate) struct Alarm(Option<AbortHandle>);

impl Alarm {
    /// Wakes `waker` at `deadline`.
    pub(crate) fn set(deadline: Instant, waker: Waker) -> Alarm {
        let Ok(handle) = handle() else {
            // Nobody could wake it later.
            waker.wake();
            return Alarm(None);
        };
        let wake = async move {
            tokio::time::sleep_until(deadline.into()).await;
            waker.wake();
        };
        Alarm(Some(handle.spawn(wake).abort_handle()))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(alarm) = &self.0 {
            alarm.abort();
        }
    }
}
