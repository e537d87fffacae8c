//! Running a task on top of one that waits, on the same thread; where that is deep already, on one of its own.

use std::{sync::Arc, thread};

use super::{
    actor::take_exit,
    calls::{Order, begin, rest_of, stoppable},
    depth,
    limits::Limit,
    report::Reports,
};
use crate::{
    call::{End, Failure},
    contained,
    error::Error,
    runtime::{Core, current, executor::Executor, foreground},
    spec::Header,
};

/// Runs the task whose words these are to its end, and reports it.
pub(super) fn run(core: &Arc<Core>, reports: &Arc<Reports>, words: &[u64]) {
    let header = match Header::parse(words) {
        Ok(header) => header,
        Err(error) => return crate::notice!("rustyray: {error}"),
    };
    if !depth::is_deep() {
        return run_here(core, reports, &header, words);
    }
    // It takes what there is to run in this one's place.
    let serves = core.serves();
    let theirs = || {
        let _runtime = current::enter(core);
        depth::begin();
        if serves {
            core.serve();
        }
        run_here(core, reports, &header, words);
    };
    if serves {
        core.cease_to_serve();
    }
    let ended = thread::scope(|scope| {
        let thread = thread::Builder::new().name("rustyray-on-top".to_owned());
        let thread = thread.stack_size(depth::stack_bytes()).spawn_scoped(scope, theirs)?;
        // What it panics with is not for the code that waits.
        thread.join().unwrap_or_else(contained::discard);
        Ok(())
    });
    if serves {
        core.serve();
    }
    let Err(error) = ended else { return };
    if depth::is_known() {
        let error = Error::io("starting a thread for a task on top of many others", &error);
        let returns = Order::new(header, rest_of(words)).returns(core);
        reports.complete_as(&header, &header.name(), &returns, Err(error.into()), false);
        reports.nudge();
    } else {
        run_here(core, reports, &header, words);
    }
}

fn run_here(core: &Arc<Core>, reports: &Arc<Reports>, header: &Header, words: &[u64]) {
    let executor = Executor::new();
    let _attending = core.interrupts.attend(executor.waker());
    let mut limit = None;
    let (returns, context, outcome) =
        begin(core, header, rest_of(words), None, |running, returns| {
            limit = Limit::set(running, returns, reports, executor.waker());
        });
    let outcome = match outcome.map(|finished| finished.0) {
        Ok(End::Sealed) => Ok(()),
        Ok(End::Later(future)) => match foreground::handle() {
            Ok(foreground) => {
                let _tokio = foreground.enter();
                executor.run(stoppable(core, returns.who(header), limit.as_ref(), future))
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
    reports.complete(header, &returns, outcome, take_exit());
    reports.nudge();
    drop(context);
}
