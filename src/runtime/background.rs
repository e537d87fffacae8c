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

use super::owner::Owner;
use crate::error::{Error, Result};

static BACKGROUND: Place = Place::empty();

/// Where a runtime is kept: that of one process. A child that is forked off it finds none there.
pub(super) struct Place {
    owner: Owner,
    runtime: OnceLock<std::io::Result<Runtime>>,
}

impl Place {
    pub(super) const fn empty() -> Place {
        Place { owner: Owner::nobody(), runtime: OnceLock::new() }
    }

    /// Whether that is the one which is kept here.
    pub(super) fn has(&self, id: Id) -> bool {
        matches!(self.runtime.get(), Some(Ok(runtime)) if runtime.handle().id() == id)
    }

    /// The runtime, with one thread of this name, which is started here if there is none.
    ///
    /// # Errors
    /// When the process cannot have another thread, or is a forked child, where the runtime is its parent's.
    pub(super) fn runtime(&'static self, name: &str) -> Result<&'static Handle> {
        self.owner.claim()?;
        self.runtime
            .get_or_init(|| {
                Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()
            })
            .as_ref()
            .map(Runtime::handle)
            .map_err(|error| Error::io(format_args!("starting the thread `{name}`"), error))
    }
}

/// Whether that is the background runtime, which is of all nodes and so says nothing of which is meant.
pub(crate) fn is(id: Id) -> bool {
    BACKGROUND.has(id)
}

/// The background runtime.
///
/// # Errors
/// When the process cannot have another thread, or was forked off one that has it.
pub(crate) fn handle() -> Result<&'static Handle> {
    BACKGROUND.runtime("rustyray-background")
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
        // In a forked child it is the parent's.
        if let Some(alarm) = &self.0
            && BACKGROUND.owner.is_this()
        {
            alarm.abort();
        }
    }
}
