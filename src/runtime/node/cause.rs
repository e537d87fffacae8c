//! Why a task or an actor ended, as the scheduler carries it from where it happened to who asks.

use std::{fmt, sync::Arc};

use crate::error::Error;

/// Why something failed, as the scheduler carries it.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// A process ended.
    Crash(Arc<Crash>),
    /// An object failed with this error.
    Failed(Arc<Error>),
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Crash {
    pub(super) pid: u32,
    pub(super) how: String,
}

impl Cause {
    pub(super) fn error(&self) -> Error {
        match self {
            Cause::Failed(error) => (**error).clone(),
            Cause::Crash(crash) => Error::WorkerCrashed {
                task: "?".into(),
                worker: crash.pid,
                attempt: 0,
                how: crash.how.clone(),
            },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Crash(crash) => write!(f, "process {}, {}", crash.pid, crash.how),
            Cause::Failed(error) => error.fmt(f),
        }
    }
}
