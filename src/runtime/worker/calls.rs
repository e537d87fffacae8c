//! Calls from the moment they ran: finished at once, or waited for, and told to the node.

use std::{sync::Arc, task::Poll};

use super::{
    DONE, FAILED, FLAG_EXIT, REPORTED, Worker,
    actor::take_exit,
    failure::{guarded_future, name_of, poll_guarded},
};
use crate::{
    call::{End, Failure, FailureKind, Finished, Later, Returns},
    context::TaskContext,
    runtime::{background, executor::Executor, uplink::UP_COMPLETE},
    spec::{Header, Kind},
};

/// A call whose future is not done yet.
pub(super) struct InFlight {
    pub(super) header: Header,
    pub(super) returns: Returns,
    /// What the call's end means.
    pub(super) future: Later,
}

impl Worker {
    /// Acts on how a call ended, or on what it waits for.
    pub(super) fn end(
        &mut self,
        executor: &Executor,
        header: Header,
        returns: Returns,
        outcome: Result<Finished, Failure>,
    ) {
        match outcome.map(|finished| finished.0) {
            Ok(End::Sealed) => self.complete(&header, &returns, Ok(())),
            Err(failure) => self.complete(&header, &returns, Err(failure)),
            Ok(End::Later(future)) => self.begin(executor, InFlight { header, returns, future }),
            Ok(End::Constructed(cell)) => self.settle(&header, &returns, cell),
            Ok(End::ConstructedLater(future)) => {
                let _tokio = background::handle().map(|handle| handle.enter());
                match executor.run(guarded_future(future)).flatten() {
                    Ok(cell) => self.settle(&header, &returns, cell),
                    Err(failure) => self.complete(&header, &returns, Err(failure)),
                }
            }
        }
    }

    /// Begins a call that may wait: a task has the worker to itself, an actor's calls overlap.
    pub(super) fn begin(&mut self, executor: &Executor, mut call: InFlight) {
        let Ok(background) = background::handle() else {
            let failure =
                Failure::message("this process cannot have the thread that async code needs");
            return self.complete(&call.header, &call.returns, Err(failure));
        };
        let _tokio = background.enter();
        if call.header.kind == Kind::Task {
            let outcome = executor.run(guarded_future(call.future)).flatten();
            return self.complete(&call.header, &call.returns, outcome);
        }
        match executor.poll(|context| poll_guarded(&mut call, context)) {
            Poll::Ready(outcome) => self.complete(&call.header, &call.returns, outcome),
            Poll::Pending => self.in_flight.push_back(call),
        }
    }

    pub(super) fn poll_in_flight(&mut self, executor: &Executor) {
        if self.in_flight.is_empty() {
            return;
        }
        let Ok(background) = background::handle() else { return };
        let _tokio = background.enter();
        for _ in 0..self.in_flight.len() {
            let Some(mut call) = self.in_flight.pop_front() else { break };
            let _context = TaskContext::enter(&call.header, &call.returns);
            match executor.poll(|context| poll_guarded(&mut call, context)) {
                Poll::Ready(outcome) => self.complete(&call.header, &call.returns, outcome),
                Poll::Pending => self.in_flight.push_back(call),
            }
        }
    }

    /// Seals a failure where there is one, and publishes the completion.
    pub(super) fn complete(
        &mut self,
        header: &Header,
        returns: &Returns,
        outcome: Result<(), Failure>,
    ) {
        let doorbells = Arc::clone(self.core.doorbells());
        doorbells.deferring(|| match outcome {
            Ok(()) | Err(Failure(FailureKind::Late)) => self.publish(header, DONE),
            Err(failure) => {
                let error =
                    failure.into_error(&name_of(header, self.actor.as_ref()), header.attempt);
                if header.retried {
                    eprintln!("attempt {} failed and is run again: {error}", header.attempt);
                    self.publish(header, REPORTED);
                } else {
                    for &id in returns.ids.as_slice() {
                        self.core.fail(id, returns.attempt, &error);
                    }
                    self.publish(header, FAILED);
                }
            }
        });
    }

    pub(super) fn publish(&mut self, header: &Header, outcome: u64) {
        let exit = if take_exit() { FLAG_EXIT } else { 0 };
        let entry = [UP_COMPLETE | outcome << 8 | exit, header.task, u64::from(header.attempt)];
        if let Some(position) = self.uplink.publish(&entry) {
            self.last_published = position;
            self.unseen = true;
        }
    }
}
