//! What is said of a call that ended: its error where it failed, then its completion.
//!
//! Any thread of the worker that ran a call reports it. The results are sealed first, which wakes who waits for
//! them, then the completion is published. The node is rung for it where the seal rang it, which may have been too early
//! ([`crate::runtime::doorbells`]), and where nothing was sealed since that is the node's to do. Otherwise, where it is
//! not awake anyhow, it looks at it with the next thing it does, or is woken when this process goes to sleep.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rustyray_memory::Clock;
use rustyray_store::{ObjectId, Status};

use super::{CANCELLED, DONE, FAILED, FLAG_EXIT, RAN_SHIFT, REPORTED, fault};
use crate::{
    call::{Failure, FailureKind, Returns},
    context,
    error::Error,
    runtime::{
        Core,
        node::ON_TOP,
        record::{self, Ended},
        uplink::{UP_COMPLETE, UP_EXIT, UP_RECORD, Uplink},
    },
    spec::{Header, Kind},
};

/// The way by which a worker's threads tell the node of the calls they ran.
pub(super) struct Reports {
    core: Arc<Core>,
    uplink: Arc<Uplink>,
    /// Something was published since the node was last seen to have seen everything, or rung.
    unseen: AtomicBool,
}

impl Reports {
    pub(super) fn new(core: Arc<Core>, uplink: Arc<Uplink>) -> Reports {
        Reports { core, uplink, unseen: AtomicBool::new(false) }
    }

    /// Seals a failure where there is one, and publishes the completion. With `exits` the actor asked to end
    /// during this call.
    pub(super) fn complete(
        &self,
        header: &Header,
        returns: &Returns,
        outcome: Result<(), Failure>,
        exits: bool,
    ) {
        let task = || context::running_name().unwrap_or_else(|| header.name());
        self.complete_with(header, task, returns, outcome, exits);
    }

    /// The same from a thread that does not run the task, whose name is given.
    pub(super) fn complete_as(
        &self,
        header: &Header,
        name: &str,
        returns: &Returns,
        outcome: Result<(), Failure>,
        exits: bool,
    ) {
        self.complete_with(header, || name.to_owned(), returns, outcome, exits);
    }

    fn complete_with(
        &self,
        header: &Header,
        name: impl FnOnce() -> String,
        returns: &Returns,
        outcome: Result<(), Failure>,
        exits: bool,
    ) {
        let interrupted = self.core.interrupts.any()
            && returns.who(header).is_some_and(|who| self.core.interrupts.take(who));
        let outcome = match (interrupted, outcome) {
            // Whatever it says: it was asked to stop.
            (true, Err(_)) => Err(Failure::of(FailureKind::Cancelled)),
            (_, outcome) => outcome,
        };
        fault::point("ran");
        let Err(failure) = outcome else { return self.publish(header, returns, DONE, exits) };
        self.core.doorbells().deferring(|| match failure.kind() {
            FailureKind::Late => self.publish(header, returns, DONE, exits),
            // What it gave panicked when it was dropped here.
            FailureKind::Panicked { .. } if self.is_given(header, returns) => {
                self.publish(header, returns, DONE, exits);
            }
            FailureKind::Cancelled if header.task != 0 => {
                self.publish(header, returns, CANCELLED, exits);
            }
            _ => {
                let error = failure.into_error(&name(), header.attempt);
                if header.retried {
                    crate::notice!("attempt {} failed and is run again: {error}", header.attempt);
                    self.publish(header, returns, REPORTED, exits);
                } else {
                    if header.task == 0
                        && returns.ids.as_slice().is_empty()
                        && let Some(body) = header.body
                    {
                        // What it was to return is among the words that cannot be read, and the node does not know.
                        self.uplink.call_is_lost(body);
                    }
                    for &id in returns.ids.as_slice() {
                        self.core.fail(id, returns.attempt, &error);
                    }
                    if header.kind == Kind::Construct && header.attempt > 0 {
                        // The token was settled by the first construction, and has no room for this.
                        self.report_unmade(header, returns, &error);
                    } else {
                        self.publish(header, returns, FAILED, exits);
                    }
                }
            }
        });
    }

    /// Whether a call has given all that it was to give.
    #[cold]
    fn is_given(&self, header: &Header, returns: &Returns) -> bool {
        let is_sealed = |&id: &ObjectId| self.core.client.status(id) == Status::Sealed;
        let ids = returns.ids.as_slice();
        // A token is sealed when the first construction has ended.
        header.kind != Kind::Construct && !ids.is_empty() && ids.iter().all(is_sealed)
    }

    /// Reports an actor that could not be constructed again, with the error in an object of its own.
    fn report_unmade(&self, header: &Header, returns: &Returns, error: &Error) {
        let Ok(id) = self.core.client.reserve() else {
            return self.publish(header, returns, FAILED, false);
        };
        self.core.fail(id, 0, error);
        let entry = [
            UP_COMPLETE | FAILED << 8,
            header.task,
            u64::from(header.attempt),
            u64::from(id.index),
            id.generation,
        ];
        if let Some(position) = self.uplink.publish(&entry) {
            self.uplink.keep_in_transit(position, [id], |id| self.core.release(id));
            self.published();
        }
    }

    pub(super) fn publish(&self, header: &Header, returns: &Returns, outcome: u64, exits: bool) {
        let exit = if exits { FLAG_EXIT } else { 0 };
        let ran = u64::from(returns.began.ran_ns()) << RAN_SHIFT;
        let clock = self.core.control().recording().filter(|_| returns.began.at != 0);
        let position = if let Some(clock) = clock {
            let named = returns.began.names_actor.then(|| self.core.occupant()).flatten();
            let actor = named.as_ref().map_or(record::NO_ACTOR, |actor| actor.token());
            let ended = Self::record_of(header, returns, clock, actor);
            let (words, len) = ended.to_words(match header.task {
                // The node does not know of a call that came by a direct line.
                0 => UP_RECORD | outcome << 8 | exit,
                _ => UP_COMPLETE | outcome << 8 | exit | ran,
            });
            let position = self.uplink.publish(&words[..len]);
            if named.is_some() {
                // After it is published: who does without is behind it.
                self.core.occupant_is_told();
            }
            position
        } else if header.task != 0 {
            let first = UP_COMPLETE | outcome << 8 | exit | ran;
            self.uplink.publish(&[first, header.task, u64::from(header.attempt)])
        } else if exits {
            self.uplink.publish(&[UP_EXIT])
        } else {
            return;
        };
        if returns.began.at != 0 && header.kind == Kind::Task && header.task & ON_TOP == 0 {
            // After it is published: else it might be told by neither.
            self.core.begun.clear();
        }
        if position.is_some() {
            self.published();
            match outcome {
                CANCELLED | REPORTED => self.uplink.ring_node(),
                _ if header.task != 0 => self.core.doorbells().ring_node_again(),
                // Nothing depends on what is only recorded.
                _ => {}
            }
        }
    }

    fn published(&self) {
        fault::point("reported");
        self.unseen.store(true, Ordering::Relaxed);
    }

    /// Before this process sleeps: the node may be asleep with completions unread, which free what the
    /// tasks held.
    pub(super) fn nudge(&self) {
        if self.unseen.swap(false, Ordering::Relaxed) && self.uplink.has_unseen() {
            self.uplink.ring_node();
        }
    }

    /// What is recorded of a call that ends now, with the actor that it is to name.
    fn record_of(header: &Header, returns: &Returns, clock: Clock, actor: ObjectId) -> Ended {
        let first = returns.ids.as_slice().first().copied();
        Ended {
            task: header.task,
            function: header.function,
            began: returns.began.at,
            ended: clock.ticks(),
            returns: first.unwrap_or(ObjectId { index: 0, generation: 0 }),
            // Known to the node.
            worker: 0,
            attempt: header.attempt,
            index: header.index,
            kind: header.kind,
            // Said by the first word.
            end: record::End::Finished,
            name: returns.began.name,
            submitter: returns.began.submitter,
            actor,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustyray_ipc::Leave;

    use super::*;
    use crate::{
        builder::Builder,
        runtime::{Link, uplink::tests::node_and_driver},
        spec::{self, SpecWriter},
    };

    /// A completion that nobody was rung for lies in the ring for as long as its process computes.
    #[test]
    fn the_node_is_rung_for_a_completion_that_something_waits_for() {
        rings_for_what_is_waited_for(Builder::new());
    }

    #[test]
    fn the_node_is_rung_for_the_completion_of_what_it_has_sealed_itself() {
        rings_for_what_is_waited_for(Builder::new().strict_objects());
    }

    fn rings_for_what_is_waited_for(builder: Builder) {
        let (runtime, driver, _directory) = node_and_driver(builder);
        let (Link::Node(node), Link::Uplink(uplink)) = (&runtime.core.link, &driver.core.link)
        else {
            panic!("one is the other's node")
        };
        let (core, bell) = (&driver.core, &runtime.core.bell);
        let reports = &Reports::new(Arc::clone(core), Arc::clone(uplink));
        let mut words = SpecWriter::new(Vec::new(), Kind::Task, 7, 0).finish(&[]);
        // The node knows of no such task, and makes nothing of its end.
        spec::address(&mut words, ON_TOP | 7, 0, false);
        let header = Header::parse(&words).expect("they are a task's");
        let returns = &Returns::none();
        // Whether each of these rings the node, while that is awake and one of its threads asleep.
        let ring = |steps: &[&dyn Fn()]| 'all: loop {
            let mut rung = Vec::new();
            // What was rung for before is looked for.
            for step in [&(|| ()) as &dyn Fn()].iter().chain(steps) {
                let attendant = bell.attend();
                step();
                match attendant.leave() {
                    Leave::MustRecheck => rung.push(true),
                    Leave::NothingMissed => rung.push(false),
                    // Just now that one looks which does once a second.
                    Leave::NobodySleeps | Leave::StillAttended => continue 'all,
                }
            }
            break rung.split_off(1);
        };
        let ends = |outcome| move || reports.publish(&header, returns, outcome, false);
        let (done, retried, cancelled) = (ends(DONE), ends(REPORTED), ends(CANCELLED));
        assert_eq!(ring(&[&done]), [false], "nothing depends on it");
        assert_eq!(ring(&[&retried]), [true], "it is to be run again");
        assert_eq!(ring(&[&cancelled]), [true], "its results are the node's to settle");
        let seal = || {
            let result = core.client.reserve().expect("there is room");
            assert_eq!(node.client.subscribe(result), Status::Pending);
            core.seal_value(result, 0, &7_u64).expect("it is sealed");
            core.release(result);
        };
        // What the seal woke may have looked before the completion was published.
        assert_eq!(ring(&[&seal, &done, &done]), [true, true, false]);
        while runtime.core.help() {}
        crate::block_on(driver.shutdown()).expect("it lets go");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
