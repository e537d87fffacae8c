//! The limit on how long an attempt may run, and what happens at its end.
//!
//! An attempt with a timeout has a *limit*, which the process's background thread looks at when the time is
//! up, and never before; without timeouts there is none. The thread that runs the task and the background
//! thread agree by one word on what came of the attempt:
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | running | ended | the running thread, when the task has ended in time |
//! | running | overdue | the background thread, when the time is up |
//! | overdue | taken | the running thread, which dropped the task at its `await` or found it ended after all |
//! | overdue | taken | the background thread, after it waited in vain for the other: the code is stuck |
//!
//! Whoever takes an overdue attempt reports it. Code that is stuck cannot be stopped within its process, so
//! the process ends and another worker takes its place; what was queued behind it goes to others.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire},
        },
    },
    time::Duration,
};

use tokio::task::AbortHandle;

use super::report::Reports;
use crate::{
    call::{Failure, FailureKind, Returns},
    context::Running,
    runtime::{background, boot},
};

const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const OVERDUE: u8 = 2;
const TAKEN: u8 = 3;

/// How long the running thread has to take an attempt that is overdue.
const GRACE: Duration = Duration::from_millis(100);

/// The limit of one attempt.
pub(super) struct Limit {
    state: Arc<AtomicU8>,
    alarm: AbortHandle,
    timeout_ms: u32,
}

impl Limit {
    /// Limits the attempt that begins now; `wake` has its thread look.
    pub(super) fn set(
        running: &Running,
        returns: &Returns,
        reports: &Arc<Reports>,
        wake: std::task::Waker,
    ) -> Option<Limit> {
        let timeout_ms = running.header.extra;
        if timeout_ms == 0 {
            return None;
        }
        let state = Arc::new(AtomicU8::new(RUNNING));
        let (theirs, header, name) = (Arc::clone(&state), running.header, running.name());
        let (returns, reports) = (returns.clone(), Arc::clone(reports));
        let alarm = background::handle().ok()?.spawn(async move {
            tokio::time::sleep(Duration::from_millis(u64::from(timeout_ms))).await;
            if theirs.compare_exchange(RUNNING, OVERDUE, AcqRel, Acquire).is_err() {
                return;
            }
            wake.wake();
            tokio::time::sleep(GRACE).await;
            if theirs.compare_exchange(OVERDUE, TAKEN, AcqRel, Acquire).is_ok() {
                let failure = Failure::of(FailureKind::TimedOut { timeout_ms });
                reports.complete_as(&header, &name, &returns, Err(failure), false);
                reports.nudge();
                crate::notice!("task `{name}` is stuck after its timeout of {timeout_ms} ms");
                boot::end_at_once(4);
            }
        });
        Some(Limit { state, alarm: alarm.abort_handle(), timeout_ms })
    }

    /// Whether the time is up.
    pub(super) fn is_overdue(&self) -> bool {
        self.state.load(Acquire) == OVERDUE
    }

    /// The attempt has ended on its thread: what it came to, seen against the limit.
    pub(super) fn end(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        self.alarm_is_off();
        match self.state.compare_exchange(RUNNING, ENDED, AcqRel, Acquire) {
            Ok(_) => outcome,
            Err(OVERDUE)
                if self.state.compare_exchange(OVERDUE, TAKEN, AcqRel, Acquire).is_ok() =>
            {
                Err(Failure::of(FailureKind::TimedOut { timeout_ms: self.timeout_ms }))
            }
            // The background thread has taken it, and is about to end the process.
            Err(_) => loop {
                std::thread::park();
            },
        }
    }

    fn alarm_is_off(&self) {
        // Not one that has taken the attempt: it would be stopped half way only at an `await`, and has none
        // left by then.
        if self.state.load(Acquire) == RUNNING {
            self.alarm.abort();
        }
    }
}
