//! Handing tasks to workers: who has room for what, and the push itself.
//!
//! What is counted of a worker (whether it feeds, how much is behind its running task) is brought up to date by
//! [`State::refit`] after each change of its queue, so that finding one with room never looks at all of them.

use super::{
    State,
    leases::Lease,
    workers::{Feeders, wake_cost_ns},
};
use crate::{
    Host, WorkerId,
    ids::split,
    record::{Place, Record},
    shared::Shared,
};

/// How many tasks a worker is handed ahead while several jobs share the workers.
const SHARED_DEPTH: usize = 8;

impl<H: Host> State<H> {
    fn depth(&self, shared: &Shared<H>) -> usize {
        let depth = shared.config.queue_depth.clamp(1, crate::Config::MAX_QUEUE_DEPTH);
        if self.placed < self.shared_until { depth.min(SHARED_DEPTH) } else { depth }
    }

    /// Brings what is counted of a worker up to date with its queue.
    pub(super) fn refit(&mut self, shared: &Shared<H>, worker: u16) {
        let depth = self.depth(shared);
        let Some(Some(known)) = self.workers.get_mut(usize::from(worker)) else { return };
        let takes = known.actor.is_none()
            && known.blocked == 0
            && !known.retired
            && known.doomed.is_none()
            && !known.full
            && !known.slow;
        let feeds = takes && known.lease.is_some() && (1..depth).contains(&known.queue.len());
        let behind = if known.actor.is_none() { known.queue.len().saturating_sub(1) } else { 0 };
        if behind != known.behind {
            self.behind_len = self.behind_len + behind - known.behind;
            if (behind > 0) != (known.behind > 0) {
                self.behind.set(worker, behind > 0);
            }
            known.behind = behind;
        }
        if feeds == known.feeds {
            return;
        }
        known.feeds = feeds;
        let Some(lease) = &known.lease else { return };
        match lease.source {
            None => {
                let shape = lease.shape as usize;
                if self.feeders.len() <= shape {
                    self.feeders.resize_with(shape + 1, Feeders::default);
                }
                self.feeders[shape].bits.set(worker, feeds);
            }
            Some((group, _)) => {
                if let Some(Some(group)) = self.groups.get_mut(group as usize) {
                    group.room.set(worker, feeds);
                }
            }
        }
        self.dirty |= feeds;
    }

    /// Takes a worker out of what is counted, before its lease changes.
    pub(super) fn unfit(&mut self, worker: u16) {
        let Some(Some(known)) = self.workers.get_mut(usize::from(worker)) else { return };
        self.behind_len -= known.behind;
        if known.behind > 0 {
            self.behind.set(worker, false);
        }
        known.behind = 0;
        if let Some(lease) = &known.lease
            && let Some(feeders) = self.feeders.get_mut(lease.shape as usize)
        {
            feeders.busy.set(worker, false);
        }
        if !std::mem::take(&mut known.feeds) {
            return;
        }
        match known.lease.as_ref().map(|lease| (lease.shape as usize, lease.source)) {
            Some((shape, None)) => self.feeders[shape].bits.set(worker, false),
            Some((_, Some((group, _)))) => {
                if let Some(Some(group)) = self.groups.get_mut(group as usize) {
                    group.room.set(worker, false);
                }
            }
            None => {}
        }
    }

    /// A worker that has a lease of this task's shape, and room.
    pub(super) fn feeder(&mut self, shared: &Shared<H>, record: &Record<H::Spec>) -> Option<u16> {
        let kind = shared.kinds.at(record.kind.get());
        let worker = match record.group.get() {
            0 => {
                let feeders = self.feeders.get_mut(kind.shape as usize)?;
                let worker = feeders.next()?;
                feeders.turn = worker + 1;
                worker
            }
            group => {
                let group = self.groups.get(split(group).0 as usize)?.as_ref()?;
                let bundle = record.bundle.get();
                let fits = |worker: &u16| {
                    let known = self.workers.get(usize::from(*worker)).and_then(Option::as_ref);
                    known.and_then(|known| known.lease.as_ref()).is_some_and(|lease| {
                        let same = lease.source.is_some_and(|(_, at)| at == bundle);
                        lease.shape == kind.shape && (same || bundle == crate::record::ANY_BUNDLE)
                    })
                };
                group.room.iter().find(fits)?
            }
        };
        // Not behind what is less urgent.
        let last = self.workers.get(usize::from(worker))?.as_ref()?.queue.last()?;
        let last = shared.records.at(last);
        (shared.kinds.at(last.kind.get()).priority >= kind.priority).then_some(worker)
    }

    /// Begins a lease with its first task. When the worker's queue is full all is as it was.
    pub(super) fn begin(
        &mut self,
        shared: &Shared<H>,
        worker: u16,
        lease: Lease,
        index: u32,
    ) -> bool {
        let Some(known) = self.worker(worker) else {
            self.give(shared, lease);
            return false;
        };
        if lease.gpus != known.told {
            shared.guarded((), || shared.host.granted(WorkerId(worker), &lease.gpus));
            known.told.clone_from(&lease.gpus);
        }
        let (shape, of_machine) = (lease.shape as usize, lease.source.is_none());
        let keeps = of_machine && !lease.of_actor;
        known.lease = Some(lease);
        let pool = known.pool;
        if self.feeders.len() <= shape {
            self.feeders.resize_with(shape + 1, Feeders::default);
        }
        self.feeders[shape].busy.set(worker, keeps);
        if self.hand(shared, worker, index) {
            return true;
        }
        // Nothing has come free by that: whoever waits has been tried, or will be for another reason.
        let dirty = self.dirty;
        self.unfit(worker);
        let lease = self.worker(worker).and_then(|known| known.lease.take());
        lease.into_iter().for_each(|lease| self.give(shared, lease));
        self.dirty = dirty;
        // Not at once again.
        self.pools[pool].idle.push_front(worker);
        false
    }

    /// Puts a task into a worker's queue; `false` when that is full.
    pub(super) fn hand(&mut self, shared: &Shared<H>, worker: u16, index: u32) -> bool {
        let order = self.next_order();
        let Some(Some(known)) = self.workers.get_mut(usize::from(worker)) else { return false };
        let task = shared.records.id(index);
        let record = shared.records.at(index);
        // SAFETY: the record is live, since it was in a queue of ours or comes with an event that names it, and
        // we own the token: nobody ends it meanwhile.
        let spec = unsafe { record.spec() };
        let attempt = record.attempt.get();
        let push = || shared.host.push(WorkerId(worker), task, attempt, spec);
        match shared.guarded(Err(crate::QueueFull), push) {
            Ok(ticket) => record.ticket.set(ticket),
            Err(crate::QueueFull) => {
                known.full = true;
                self.any_full = true;
                self.refit(shared, worker);
                return false;
            }
        }
        record.worker.set(worker);
        if known.queue.is_empty() {
            known.since = order;
        }
        known.queue.push_back(&shared.records, index, Place::Worker);
        // What is not known is taken for long.
        let expected = self.estimates.expected_ns(record.alike.get());
        let expected = expected.unwrap_or(2 * wake_cost_ns(shared) as u32);
        record.expected_ns.set(expected);
        known.expected_ns += u64::from(expected);
        self.placed += 1;
        self.refit(shared, worker);
        true
    }
}
