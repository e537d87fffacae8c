//! Why a task or an actor ended, as the scheduler carries it from where it happened to who asks.

use std::{fmt, sync::Arc};

use super::memory::Shortage;
use crate::error::Error;

/// Why something failed, as the scheduler carries it.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// A process ended.
    Crash(Arc<Crash>),
    /// A process was killed since memory ran short.
    Memory(Arc<Shortage>),
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
        self.error_of("?".into(), 0)
    }

    /// The error of what ran there, for good.
    pub(super) fn error_of(&self, task: String, attempt: u16) -> Error {
        match self {
            Cause::Failed(error) => (**error).clone(),
            Cause::Crash(crash) => Error::WorkerCrashed {
                task,
                worker: crash.pid,
                attempt: u32::from(attempt),
                how: crash.how.clone(),
            },
            Cause::Memory(shortage) => shortage.error(task, attempt),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Crash(crash) => write!(f, "process {}, {}", crash.pid, crash.how),
            Cause::Memory(shortage) => write!(f, "memory ran short: {shortage}"),
            Cause::Failed(error) => error.fmt(f),
        }
    }
}
