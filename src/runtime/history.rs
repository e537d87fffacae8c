//! What became of tasks: counted always, and kept for those that failed.
//!
//! Failures are rare and are what somebody looks for afterwards, so the newest [`FAILURES`] of them are kept
//! with their errors, whoever looks. The counts of one process's tasks are kept by whoever drains its up
//! ring, one thread at a time, so counting costs no contention.
//!
//! Everything here is private memory of the node.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use rustyray_store::ObjectId;

use crate::{error::Error, spec::Kind};

/// How many failures are kept.
pub(crate) const FAILURES: usize = 1000;
/// Bytes of an error that are kept; of a longer one only that it was there.
const ERROR_BYTES: usize = 16 << 10;

/// A number that one thread at a time adds to, and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds one. The caller is the only one that does so at this time.
    #[inline]
    pub(crate) fn add(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many tasks of one worker slot ended, by how.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) finished: Count,
    pub(crate) retried: Count,
}

/// A task that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) task: u64,
    pub(crate) attempt: u16,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) returns: Option<ObjectId>,
    error: Box<[u8]>,
}

impl Failed {
    /// The error.
    pub(crate) fn error(&self) -> Error {
        Error::from_bytes("of the task", &self.error)
    }
}

/// The node's memory of what was.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) failed: AtomicU64,
    pub(crate) crashed_workers: AtomicU64,
    failures: Mutex<VecDeque<Failed>>,
}

impl History {
    /// Keeps a failure. `error` are the bytes that the task's returns hold.
    pub(crate) fn fail(
        &self,
        task: u64,
        attempt: u16,
        name: String,
        kind: Kind,
        returns: Option<ObjectId>,
        error: &[u8],
    ) {
        self.failed.fetch_add(1, Relaxed);
        let error: Box<[u8]> = if error.len() <= ERROR_BYTES {
            error.into()
        } else {
            let message = format!("its error has {} bytes, too many to be kept here", error.len());
            let (task, cause) = (name.clone(), None);
            let attempt = u32::from(attempt);
            Error::TaskFailed { task, worker: 0, attempt, message, cause }.to_bytes().into()
        };
        let mut failures = self.failures.lock();
        if failures.len() == FAILURES {
            failures.pop_front();
        }
        failures.push_back(Failed { task, attempt, name, kind, returns, error });
    }

    /// The failures that are kept, the newest first.
    pub(crate) fn failures(&self) -> Vec<Failed> {
        self.failures.lock().iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_failures_are_kept_with_their_errors() {
        let history = History::default();
        for task in 0..FAILURES as u64 + 10 {
            let error = Error::TaskCancelled { task: task.to_string() };
            history.fail(task, 0, "f".into(), Kind::Task, None, &error.to_bytes());
        }
        let kept = history.failures();
        assert_eq!(kept.len(), FAILURES);
        assert_eq!(kept[0].task, FAILURES as u64 + 9);
        assert_eq!(kept[0].error(), Error::TaskCancelled { task: kept[0].task.to_string() });
        assert_eq!(history.failed.load(Relaxed), FAILURES as u64 + 10);
    }

    #[test]
    fn an_error_beyond_measure_is_named_and_not_kept() {
        let history = History::default();
        let error = Error::InvalidArgument { what: "x".repeat(1 << 20) };
        history.fail(1, 0, "f".into(), Kind::Method, None, &error.to_bytes());
        assert!(history.failures()[0].error().to_string().contains("too many to be kept"));
    }
}
