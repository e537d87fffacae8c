//! The node's part in direct lines: who has which, and when one can be given out again. The protocol is in
//! [`crate::runtime::line`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustyray_scheduler::{ActorState, CallerId, NewCall, Retries};
use rustyray_store::{ClientId, ObjectId};

use super::{
    Node,
    cause::Cause,
    client_of,
    job::{Job, Words},
};
use crate::{
    call::Ids,
    error::Error,
    runtime::{
        control::LINES,
        line::{Line, LineEnd, LineId},
        lines::Asked,
        wire::{LineNews, ToClient},
    },
    spec,
};

/// How long it takes until it is said again that there are no lines left.
const SCARCE_AGAIN: Duration = Duration::from_secs(1);

/// One place for a line.
#[derive(Clone, Default)]
struct Place {
    generation: u32,
    lease: Option<Lease>,
}

/// Who uses a line.
#[derive(Clone)]
struct Lease {
    token: ObjectId,
    /// `None` once that end is done, or dead.
    producer: Option<ClientId>,
    consumer: Option<ClientId>,
}

/// Every line of the session.
#[derive(Default)]
pub(super) struct Places {
    places: Mutex<Vec<Place>>,
    /// What is to be known of the lines by which this process calls: whoever helps sees to it, since who says it may
    /// wait for nobody.
    news: Mutex<Vec<LineNews>>,
    any_news: AtomicBool,
    /// When it was last said that there are none left.
    said_scarce: Mutex<Option<Instant>>,
}

impl Places {
    /// A place that nobody uses, for a new line.
    fn take(&self, lease: Lease) -> Option<LineId> {
        let mut places = self.places.lock();
        let free = places.iter().position(|place| place.lease.is_none());
        let index = match free {
            Some(index) => index,
            None if places.len() < LINES => {
                places.push(Place::default());
                places.len() - 1
            }
            None => return None,
        };
        let place = &mut places[index];
        place.generation = place.generation.wrapping_add(1).max(1);
        place.lease = Some(lease);
        Some(LineId { index: index as u32, generation: place.generation })
    }

    /// Changes who uses a line; the place is free when nobody does. `None` when that use is over.
    fn change<R>(&self, line: LineId, change: impl FnOnce(&mut Lease) -> R) -> Option<R> {
        let mut places = self.places.lock();
        let place = places.get_mut(line.index as usize)?;
        if place.generation != line.generation {
            return None;
        }
        let changed = change(place.lease.as_mut()?);
        place.lease.take_if(|lease| lease.producer.is_none() && lease.consumer.is_none());
        Some(changed)
    }

    /// Those who call by lines.
    fn producers(&self) -> BTreeSet<ClientId> {
        let places = self.places.lock();
        places.iter().filter_map(|place| place.lease.as_ref()?.producer).collect()
    }

    /// The lines that a process has an end of.
    fn of(&self, client: ClientId) -> Vec<(LineId, Lease)> {
        let places = self.places.lock();
        let used = places.iter().enumerate().filter_map(|(index, place)| {
            let lease = place.lease.clone()?;
            let id = LineId { index: index as u32, generation: place.generation };
            (lease.producer == Some(client) || lease.consumer == Some(client))
                .then_some((id, lease))
        });
        used.collect()
    }
}

impl Node {
    /// How many lines are in use.
    pub(crate) fn direct_lines(&self) -> usize {
        self.lines.places.lock().iter().filter(|place| place.lease.is_some()).count()
    }

    /// Gives `producer` a line to the actor of this token, and tells the actor's process; `None` when there is
    /// none to be had just now.
    pub(crate) fn grant_line(&self, producer: ClientId, token: ObjectId) -> Option<Asked<LineId>> {
        let actor = {
            let actors = self.actors.read();
            let resident = actors.by_token.get(&token)?;
            if !resident.takes_lines {
                return Some(Asked::Never);
            }
            resident.actor
        };
        // It may be under construction: the entry that attaches it waits like a call.
        let consumer = client_of(self.scheduler().actor_worker(actor)?);
        if consumer == producer {
            return Some(Asked::Never);
        }
        let lease = Lease { token, producer: Some(producer), consumer: Some(consumer) };
        let Some(id) = self.lines.take(lease) else {
            self.want_lines();
            return None;
        };
        let line = Line::new(&self.control, id)?;
        self.control.reset_line(id.index);
        line.transition_to_open(producer.get(), consumer.get());
        if self.peers[consumer.index()].work.read().is_none() {
            // It left between the question where the actor is and the lease, which it cannot have seen.
            self.lines.change(id, |lease| (lease.producer, lease.consumer) = (None, None));
            return None;
        }
        let attach = Job {
            pool: crate::runtime::program::OWN,
            words: Words::from_slice(&spec::attach(id.to_word())),
            returns: Ids::Several([].into()),
            held: Vec::new(),
            holds_returns: false,
            retries: Retries::NONE,
            name: None,
            body: OnceLock::new(),
            is_limited: false,
            again: None,
        };
        let call = NewCall {
            spec: attach,
            dependencies: &[],
            returns: &[],
            retries: Some(Retries::NONE),
            parent: None,
            note: [0; 2],
        };
        if self.scheduler().call(actor, CallerId(u64::from(producer.get())), call).is_err() {
            self.lines.change(id, |lease| (lease.producer, lease.consumer) = (None, None));
            return None;
        }
        Some(Asked::Granted(id))
    }

    /// A process has no more to do with its end of a line.
    pub(crate) fn line_done(&self, client: ClientId, id: LineId, end: LineEnd) {
        let is_refused = self.lines.change(id, |lease| match end {
            LineEnd::Producer => {
                if lease.producer.take_if(|producer| *producer == client).is_some()
                    && let Some(consumer) = lease.consumer
                    && let Some(line) = Line::new(&self.control, id)
                {
                    // It gives back a line that is open.
                    line.transition_to_orphaned();
                    self.doorbells.ring(consumer);
                }
                false
            }
            // Its consumer, or who has the actor by now and got the entry that attaches it, be that its producer: then
            // the consumer, whose number may be another process's, knows nothing of the line.
            LineEnd::Consumer if lease.producer.is_some() => lease.consumer.take().is_some(),
            LineEnd::Consumer => {
                lease.consumer.take_if(|consumer| *consumer == client);
                false
            }
        });
        if is_refused == Some(true) {
            self.close_line(id, None);
        }
    }

    /// There are no lines left: whoever has some that are of no use to it is to give them back. Whoever asked asks
    /// again some calls later.
    #[cold]
    fn want_lines(&self) {
        let mut said = self.lines.said_scarce.lock();
        if said.is_none_or(|at| at.elapsed() >= SCARCE_AGAIN) {
            *said = Some(Instant::now());
            for producer in self.lines.producers() {
                self.tell_of_lines(producer, LineNews::Scarce);
            }
        }
    }

    /// Nobody will claim from a line any more: its producer is told, and how the process ended that did, where it has.
    pub(super) fn close_line(&self, id: LineId, cause: Option<&Cause>) {
        let Some(lease) = self.lines.change(id, |lease| {
            lease.consumer = None;
            // While the place is this use's.
            if lease.producer.is_some()
                && let Some(line) = Line::new(&self.control, id)
            {
                line.transition_to_closed();
            }
            lease.clone()
        }) else {
            return;
        };
        let Some(producer) = lease.producer else { return };
        let error = self.loss_of(lease.token, cause).to_bytes();
        self.tell_of_lines(producer, LineNews::Closed { line: id.to_word(), error });
    }

    /// Tells a process what is to be known of the lines by which it calls. Waits for nobody.
    fn tell_of_lines(&self, producer: ClientId, news: LineNews) {
        if producer != ClientId::NODE {
            return self.tell(producer, &ToClient::OfLines(news));
        }
        self.keep_line_news(news);
        self.doorbells.ring(producer);
    }

    /// An object was cancelled that no task makes: whose call by a line does is known to its caller only.
    pub(super) fn cancel_call(&self, ObjectId { index, generation }: ObjectId) {
        for producer in self.lines.producers() {
            self.tell_of_lines(producer, LineNews::Cancelled { index, generation });
        }
    }

    /// What these have submitted was cancelled, of which the calls by lines are known to their callers only.
    pub(super) fn cancel_calls_within(&self, submitters: Vec<u64>, force: bool) {
        if submitters.is_empty() {
            return;
        }
        let news = LineNews::CancelledWithin { submitters, force };
        for producer in self.lines.producers() {
            self.tell_of_lines(producer, news.clone());
        }
    }

    /// A process cannot read what a call says that it took from one of its lines. Whose the call is, its caller knows.
    pub(super) fn call_is_lost(&self, consumer: ClientId, body: ObjectId) {
        let ObjectId { index, generation } = body;
        let lines = self.lines.of(consumer).into_iter();
        let producers: BTreeSet<ClientId> =
            lines.filter_map(|(_, lease)| lease.producer.filter(|&end| end != consumer)).collect();
        for producer in producers {
            self.tell_of_lines(producer, LineNews::Lost { index, generation });
        }
    }

    /// The calls by lines that make these objects are to stop, each of which that process may be running.
    pub(crate) fn interrupt_calls(&self, calls: &[(ClientId, ObjectId)]) {
        let mut by_consumer = BTreeMap::<_, Vec<_>>::new();
        for &(consumer, ObjectId { index, generation }) in calls {
            by_consumer.entry(consumer).or_default().push((index, generation));
        }
        for (consumer, calls) in by_consumer {
            self.tell(consumer, &ToClient::InterruptCalls { calls });
        }
    }

    /// There is news of the lines by which this process calls: whoever helps next sees to it.
    pub(crate) fn keep_line_news(&self, news: LineNews) {
        self.lines.news.lock().push(news);
        self.lines.any_news.store(true, Ordering::Relaxed);
    }

    /// The news of the lines by which this process calls, since the last time.
    #[inline]
    pub(crate) fn take_line_news(&self) -> Vec<LineNews> {
        // Relaxed: the doorbell was rung after it was set, and who is about to sleep looks after a fence.
        if !self.lines.any_news.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut news = self.lines.news.lock();
        self.lines.any_news.store(false, Ordering::Relaxed);
        std::mem::take(&mut *news)
    }

    /// A process is dead of this and reaped: its lines end.
    pub(super) fn forget_lines(&self, client: ClientId, cause: &Cause) {
        for (id, lease) in self.lines.of(client) {
            if lease.consumer == Some(client) {
                self.close_line(id, Some(cause));
            }
            if lease.producer == Some(client) {
                self.line_done(client, id, LineEnd::Producer);
            }
        }
    }

    /// What a call that may have run is told of its actor, as it would be by way of the node.
    fn loss_of(&self, token: ObjectId, cause: Option<&Cause>) -> Error {
        let known = {
            let actors = self.actors.read();
            actors.by_token.get(&token).map(|resident| (resident.actor, resident.label.clone()))
        };
        let Some((actor, label)) = known else {
            return Error::ActorDied { actor: "?".into(), reason: "it ended".into(), cause: None };
        };
        // One on its way out has the reason before it is dead.
        let reason = self.scheduler().actor_reason(actor);
        match self.scheduler().actor_state(actor) {
            Some(state) if state != ActorState::Dead && reason.is_none() => {
                let ended = || "its process ended, and it is being restarted".to_owned();
                Error::ActorUnavailable {
                    actor: label,
                    reason: cause.map_or_else(ended, Cause::to_string),
                }
            }
            _ => self.actor_died(actor, reason.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        builder::Builder,
        prelude::*,
        runtime::{Link, line::LineState},
    };

    #[rustyray::actor]
    struct Idler;

    #[rustyray::actor_methods]
    impl Idler {
        pub(super) fn new() -> Self {
            Idler
        }

        pub(super) fn nothing(&self) {}
    }

    #[test]
    fn a_line_to_an_actor_to_which_nobody_has_a_handle_is_given_back_when_others_want_one() {
        crate::block_on(async {
            let runtime = Builder::new().num_cpus(1.0).visible(false).start().await?;
            let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
            let has_line = |token: ObjectId| {
                let places = node.lines.places.lock();
                places.iter().any(|place| place.lease.as_ref().is_some_and(|at| at.token == token))
            };
            let until_it_has_one = async |idler: &IdlerHandle| {
                let deadline = Instant::now() + Duration::from_secs(60);
                while !has_line(idler.id()) {
                    assert!(Instant::now() < deadline, "it never gets a line");
                    idler.nothing().await?.get().await?;
                }
                Ok::<_, Error>(())
            };
            let forgotten = Idler::options().name("idler").detached().remote().await?;
            until_it_has_one(&forgotten).await?;
            // All others are in use by two processes that are not there.
            let [producer, consumer] = [200, 201].map(|number| Some(ClientId::new(number)));
            let token = ObjectId { index: u32::MAX, generation: 1 };
            while node.lines.take(Lease { token, producer, consumer }).is_some() {}
            let wanted = Idler::remote().await?;
            let id = forgotten.id();
            drop(forgotten);
            until_it_has_one(&wanted).await?;
            assert!(!has_line(id));
            drop(wanted);
            crate::shutdown().await
        })
        .expect("it ends");
    }

    #[test]
    fn a_line_whose_entry_came_to_another_process_than_it_was_given_to_is_closed() {
        for other in [6, 7].map(ClientId::new) {
            refused_by(other);
        }
    }

    /// The process that the actor has come to refuses a line; 7 is its producer.
    fn refused_by(other: ClientId) {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let [producer, consumer] = [7, 5].map(ClientId::new);
        let token = ObjectId { index: 0, generation: 1 };
        let lease = Lease { token, producer: Some(producer), consumer: Some(consumer) };
        let id = node.lines.take(lease).expect("a place");
        let line = Line::new(&node.control, id).expect("there are so many");
        line.transition_to_open(producer.get(), consumer.get());
        // The actor lives there now, and that process has refused.
        node.line_done(other, id, LineEnd::Consumer);
        assert_eq!(line.state(), LineState::Closed);
        let ends = node.lines.change(id, |lease| (lease.producer, lease.consumer));
        assert_eq!(ends, Some((Some(producer), None)), "the producer has yet to hear of it");
        node.line_done(producer, id, LineEnd::Producer);
        assert_eq!(node.direct_lines(), 0);
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
