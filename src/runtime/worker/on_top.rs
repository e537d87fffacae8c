//! Running a task on top of one that waits, on the same thread.

use std::sync::Arc;

use super::{
    actor::take_exit,
    calls::{begin, rest_of, stoppable},
    limits::Limit,
    report::Reports,
};
use crate::{
    call::{End, Failure},
    runtime::{Core, executor::Executor, foreground},
    spec::Header,
};

/// Runs the task whose words these are to its end, and reports it.
pub(super) fn run(core: &Arc<Core>, reports: &Arc<Reports>, words: &[u64]) {
    let header = match Header::parse(words) {
        Ok(header) => header,
        Err(error) => return crate::notice!("rustyray: {error}"),
    };
    let executor = Executor::new();
    let _attending = core.interrupts.attend(executor.waker());
    let mut limit = None;
    let (returns, context, outcome) =
        begin(core, &header, rest_of(words), None, |running, returns| {
            limit = Limit::set(running, returns, reports, executor.waker());
        });
    let outcome = match outcome.map(|finished| finished.0) {
        Ok(End::Sealed) => Ok(()),
        Ok(End::Later(future)) => match foreground::handle() {
            Ok(foreground) => {
                let _tokio = foreground.enter();
                executor.run(stoppable(core, returns.who(&header), limit.as_ref(), future))
            }
            Err(error) => Err(error.into()),
        },
        Ok(End::Constructed(_) | End::ConstructedLater(_)) => {
            Err(Failure::message("a task ended as a constructor does"))
        }
        Err(failure) => Err(failure),
    };
    let outcome = match limit {
        Some(limit) => limit.end(outcome),
        None => outcome,
    };
    reports.complete(&header, &returns, outcome, take_exit());
    reports.nudge();
    drop(context);
}
