//! Workers: who is idle, who has room, what was handed to whom, and what a death or a wait means for it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{State, leases::Lease};
use crate::{
    ActorId, Failure, GpuShare, GroupId, Host, Outcome, PoolId, TaskId, WorkerId,
    event::Act,
    ids::split,
    queue::Queue,
    record::{CALL, CANCELLED, CREATION, JOB_ENDED, Place, Record},
    shared::Shared,
};

/// How many tasks a worker is handed ahead while several jobs share the workers.
const SHARED_DEPTH: usize = 8;

/// Workers of one executable.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) id: PoolId,
    /// With nothing to do; the one that was busy last at the end, for its caches are warm and it may not be
    /// asleep yet.
    pub(super) idle: VecDeque<u16>,
    pub(super) starting: usize,
    /// More workers that could be used at once.
    pub(super) wanted: usize,
}

/// Why a worker was killed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doom {
    Cancelled,
    Group(GroupId),
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) pool: usize,
    /// In the order of their pushes; the first is running, as far as anybody knows.
    pub(super) queue: Queue,
    pub(super) lease: Option<Lease>,
    pub(super) actor: Option<ActorId>,
    pub(super) blocked: u32,
    /// The gpus that the process was last told of.
    told: Vec<GpuShare>,
    pub(super) retired: bool,
    pub(super) doomed: Option<Doom>,
    /// Its queue had no room; it has after a completion, perhaps.
    pub(super) full: bool,
    /// It is among the feeders of its lease's shape.
    feeds: bool,
    /// Tasks that wait behind its running one, as they were counted.
    pub(super) behind: usize,
    /// When it last began what is first in its queue, or was told to: a number that grows.
    pub(super) since: u64,
    /// How long what it was handed is expected to run.
    pub(super) expected_ns: u64,
    /// What was running when it was last looked at, and when that was first seen.
    seen: Option<(u64, Instant)>,
    /// What it runs takes longer than was expected: nothing is queued behind it.
    pub(super) slow: bool,
}

/// A set of workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(len: usize) -> Self {
        Bits(vec![0; len.div_ceil(64)])
    }

    pub(super) fn set(&mut self, at: u16, to: bool) {
        let word = usize::from(at) / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let bit = 1 << (at % 64);
        if to {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }

    /// The first one at or after `from`.
    pub(super) fn next(&self, from: u16) -> Option<u16> {
        let first = usize::from(from) / 64;
        let mut bits = self.0.get(first)? & (u64::MAX << (from % 64));
        for word in first.. {
            if bits != 0 {
                return Some((word * 64) as u16 + bits.trailing_zeros() as u16);
            }
            bits = *self.0.get(word + 1)?;
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u16> {
        std::iter::successors(self.next(0), |&at| self.next(at + 1))
    }
}

/// Workers with room for tasks of one shape, in turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Feeders {
    pub(super) bits: Bits,
    /// All with a lease of the shape, whether or not they have room.
    pub(super) busy: Bits,
    turn: u16,
}

impl Feeders {
    /// The one whose turn it is.
    fn next(&self) -> Option<u16> {
        self.bits.next(self.turn).or_else(|| self.bits.next(0))
    }
}

impl<H: Host> State<H> {
    /// The pool's place.
    pub(super) fn pool(&mut self, id: PoolId) -> usize {
        if let Some(at) = self.pools.iter().position(|pool| pool.id == id) {
            return at;
        }
        self.pools.push(Pool { id, idle: VecDeque::new(), starting: 0, wanted: 0 });
        self.pools.len() - 1
    }

    pub(super) fn worker(&mut self, worker: u16) -> Option<&mut Worker> {
        self.workers.get_mut(usize::from(worker))?.as_mut()
    }

    pub(super) fn join(&mut self, worker: WorkerId, pool: PoolId) {
        let pool = self.pool(pool);
        let Some(place) = self.workers.get_mut(usize::from(worker.0)) else { return };
        debug_assert!(place.is_none(), "a worker joins after the one before it has left");
        if place.is_some() {
            return;
        }
        self.workers_len += 1;
        *place = Some(Worker {
            pool,
            queue: Queue::default(),
            lease: None,
            actor: None,
            blocked: 0,
            told: Vec::new(),
            retired: false,
            doomed: None,
            full: false,
            feeds: false,
            behind: 0,
            since: 0,
            expected_ns: 0,
            seen: None,
            slow: false,
        });
        let pool = &mut self.pools[pool];
        pool.starting = pool.starting.saturating_sub(1);
        // Newcomers are taken last.
        pool.idle.push_front(worker.0);
        self.dirty = true;
    }

    // --- handing out -------------------------------------------------------------------------------------

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
    fn unfit(&mut self, worker: u16) {
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
            shared.host.granted(WorkerId(worker), &lease.gpus);
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
        match shared.host.push(WorkerId(worker), task, record.attempt.get(), spec) {
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

    // --- taking back -------------------------------------------------------------------------------------

    /// Takes back what a worker has not begun, from the end, until so many are left; it is ready again.
    pub(super) fn retrieve(&mut self, shared: &Shared<H>, worker: u16, keep: usize) -> usize {
        let mut taken = 0;
        while let Some(known) = self.worker(worker)
            && known.queue.len() > keep
            && let Some(last) = known.queue.last()
        {
            let record = shared.records.at(last);
            if !shared.host.take_back(WorkerId(worker), record.ticket.get()) {
                break;
            }
            known.queue.remove(&shared.records, last);
            known.expected_ns -= u64::from(record.expected_ns.get());
            self.put_back(shared, last);
            taken += 1;
        }
        if taken > 0 {
            self.refit(shared, worker);
            self.rest_if_empty(shared, worker);
        }
        taken
    }

    /// A worker whose queue has run dry gives its resources back and is idle.
    pub(super) fn rest_if_empty(&mut self, shared: &Shared<H>, worker: u16) {
        let Some(known) = self.worker(worker) else { return };
        if !known.queue.is_empty() || known.actor.is_some() || known.lease.is_none() {
            return;
        }
        self.unfit(worker);
        let Some(known) = self.worker(worker) else { return };
        let lease = known.lease.take();
        let was_blocked = std::mem::take(&mut known.blocked) > 0;
        let (pool, idle) = (known.pool, !known.retired && known.doomed.is_none());
        self.blocked_len -= usize::from(was_blocked);
        if idle {
            self.pools[pool].idle.push_back(worker);
        }
        lease.into_iter().for_each(|lease| self.give(shared, lease));
    }

    /// A worker without a task, whose actor is no more: it is as good as before.
    pub(super) fn free_of_actor(&mut self, shared: &Shared<H>, worker: u16) {
        if let Some(known) = self.worker(worker) {
            known.actor = None;
        }
        self.rest_if_empty(shared, worker);
    }

    // --- what workers say --------------------------------------------------------------------------------

    pub(super) fn complete(
        &mut self,
        shared: &Shared<H>,
        worker: WorkerId,
        task: TaskId,
        (attempt, outcome, ran_ns): (u16, Outcome, u64),
    ) {
        let Some((record, _)) = shared.records.live(task) else { return };
        if record.place() != Place::Worker
            || record.worker.get() != worker.0
            || record.attempt.get() != attempt
        {
            return;
        }
        let order = self.next_order();
        let Some(known) = self.worker(worker.0) else { return };
        known.queue.remove(&shared.records, split(task.to_bits()).0);
        known.full = false;
        known.slow = false;
        known.since = order;
        known.expected_ns -= u64::from(record.expected_ns.get());
        if ran_ns > 0 {
            self.estimates.learn(record.alike.get(), ran_ns);
        }
        if record.is(CREATION) {
            return self.constructed(shared, task, worker, outcome);
        }
        let cancelled = record.is(CANCELLED);
        let again = outcome == Outcome::Failed { retry: true }
            && !cancelled
            && attempt < record.max_retries.get();
        let is_call = record.is(CALL);
        if again {
            record.attempt.set(attempt + 1);
            if is_call {
                self.call_again(shared, task);
            } else {
                self.put_back(shared, split(task.to_bits()).0);
            }
        } else {
            let act = match outcome {
                Outcome::Done | Outcome::Failed { retry: false } => Act::Finish(task),
                Outcome::Failed { retry: true } if !cancelled => {
                    Act::Fail(task, Box::new(Failure::RetriesSpent { attempt }))
                }
                _ if record.is(JOB_ENDED) => Act::Fail(task, Box::new(Failure::JobEnded)),
                _ => Act::Fail(task, Box::new(Failure::Cancelled)),
            };
            self.end(shared, task, act);
        }
        if is_call {
            let actor = ActorId::from_bits(record.actor.get());
            return self.serve(shared, actor);
        }
        self.refit(shared, worker.0);
        self.rest_if_empty(shared, worker.0);
    }

    /// A worker is gone: what it had not begun goes to others, what it ran is run again or fails.
    pub(crate) fn leave(&mut self, shared: &Shared<H>, worker: WorkerId, cause: &H::Cause) {
        let known = self.workers.get(usize::from(worker.0)).is_some_and(Option::is_some);
        if !known {
            return;
        }
        self.unfit(worker.0);
        let Some(mut gone) = self.workers[usize::from(worker.0)].take() else { return };
        self.workers_len -= 1;
        self.blocked_len -= usize::from(gone.blocked > 0);
        self.pools[gone.pool].idle.retain(|&idle| idle != worker.0);
        if let Some(lease) = gone.lease.take() {
            self.give(shared, lease);
        }
        self.dirty = true;
        // A killed worker may have been told of what nobody wants any more.
        let mut queue = Vec::with_capacity(gone.queue.len());
        while let Some(index) = gone.queue.pop(&shared.records) {
            let begun = !shared.host.take_back(worker, shared.records.at(index).ticket.get());
            queue.push((index, begun));
        }
        if let Some(actor) = gone.actor {
            return self.lose_actor(shared, actor, queue, cause);
        }
        for (index, begun) in queue {
            let record = shared.records.at(index);
            let attempt = record.attempt.get();
            let again = attempt < record.max_retries.get() && !record.is(CANCELLED);
            if !begun || again {
                record.attempt.set(attempt + u16::from(begun));
                self.put_back(shared, index);
                continue;
            }
            let why = match gone.doomed {
                Some(Doom::Group(group)) if record.is(CANCELLED) => Failure::GroupRemoved { group },
                _ if record.is(JOB_ENDED) => Failure::JobEnded,
                _ if record.is(CANCELLED) => Failure::Cancelled,
                _ => Failure::WorkerDied { worker, attempt, cause: cause.clone() },
            };
            self.fail(shared, shared.records.id(index), why);
        }
    }

    /// A worker's task waits: its cpu, and what is queued behind it, go to others.
    pub(super) fn block(&mut self, shared: &Shared<H>, worker: u16) {
        let Some(known) = self.worker(worker) else { return };
        known.blocked += 1;
        if known.blocked > 1 || known.lease.is_none() {
            if known.lease.is_none() {
                known.blocked = 0;
            }
            return;
        }
        let is_task = known.actor.is_none();
        self.blocked_len += 1;
        self.lend_cpus(shared, worker, true);
        self.refit(shared, worker);
        if is_task {
            self.retrieve(shared, worker, 1);
        }
    }

    /// A worker's task goes on.
    pub(super) fn unblock(&mut self, shared: &Shared<H>, worker: u16) {
        let Some(known) = self.worker(worker) else { return };
        if known.blocked == 0 {
            return;
        }
        known.blocked -= 1;
        if known.blocked > 0 {
            return;
        }
        self.blocked_len -= 1;
        self.lend_cpus(shared, worker, false);
        self.refit(shared, worker);
    }

    /// Gives a worker nothing any more, if it has nothing.
    pub(crate) fn retire(&mut self, worker: WorkerId) -> bool {
        let Some(known) = self.worker(worker.0) else { return false };
        let pool = known.pool;
        let Some(at) = self.pools[pool].idle.iter().position(|&idle| idle == worker.0) else {
            return false;
        };
        self.pools[pool].idle.remove(at);
        if let Some(known) = self.worker(worker.0) {
            known.retired = true;
        }
        true
    }

    /// What was full may have room.
    pub(super) fn step(&mut self, shared: &Shared<H>) {
        self.dirty = true;
        if !std::mem::take(&mut self.any_full) {
            return;
        }
        for worker in 0..self.workers.len() as u16 {
            let Some(known) = self.worker(worker).filter(|known| known.full) else { continue };
            known.full = false;
            let actor = known.actor;
            self.refit(shared, worker);
            actor.into_iter().for_each(|actor| self.serve(shared, actor));
        }
    }

    // --- by cost -----------------------------------------------------------------------------------------

    /// A busy worker that will have done this task sooner than an idle one is awake; or `Err` when there is one
    /// whose queue is full for the moment.
    pub(super) fn sooner(
        &mut self,
        shared: &Shared<H>,
        record: &Record<H::Spec>,
    ) -> Result<Option<u16>, ()> {
        let budget = wake_cost_ns(shared);
        let expected = self.estimates.expected_ns(record.alike.get());
        let Some(expected) = expected.map(u64::from).filter(|&expected| expected < budget) else {
            return Ok(None);
        };
        if record.group.get() != 0 {
            return Ok(None);
        }
        let kind = shared.kinds.at(record.kind.get());
        let Some(feeders) = self.feeders.get(kind.shape as usize) else { return Ok(None) };
        let mut full = false;
        for worker in feeders.busy.iter().take(CANDIDATES) {
            let Some(Some(known)) = self.workers.get(usize::from(worker)) else { continue };
            if known.slow || known.expected_ns + expected > budget {
                continue;
            }
            let last = known.queue.last().map(|last| shared.records.at(last).kind.get());
            let first = last.is_none_or(|last| shared.kinds.at(last).priority < kind.priority);
            if !first && known.feeds {
                return Ok(Some(worker));
            }
            full |= !first && known.blocked == 0 && known.doomed.is_none();
        }
        if full { Err(()) } else { Ok(None) }
    }

    /// Whether what waits behind a worker's task is worth waking another for.
    pub(super) fn is_worth_waking(&self, shared: &Shared<H>, worker: u16) -> bool {
        let Some(Some(known)) = self.workers.get(usize::from(worker)) else { return false };
        let running = known.queue.first().map(|first| shared.records.at(first).expected_ns.get());
        known.slow || known.expected_ns - u64::from(running.unwrap_or(0)) >= wake_cost_ns(shared)
    }

    /// What waits behind a task that runs for longer than a wakeup costs goes to idle workers.
    pub(crate) fn review(&mut self, shared: &Shared<H>, now: Instant) -> Option<Duration> {
        let wake_cost = shared.config.wake_cost;
        let behind: Vec<u16> = self.behind.iter().collect();
        for worker in behind {
            let Some(known) = self.worker(worker) else { continue };
            match known.seen {
                Some((since, at)) if since == known.since => {
                    if now.duration_since(at) < wake_cost {
                        continue;
                    }
                }
                _ => {
                    known.seen = Some((known.since, now));
                    continue;
                }
            }
            known.slow = true;
            if let Some(first) = known.queue.first() {
                self.estimates.forget(shared.records.at(first).alike.get());
            }
            self.refit(shared, worker);
            self.dirty = true;
        }
        self.dispatch(shared);
        self.wants_review().then_some(wake_cost)
    }

    pub(super) fn wants_review(&self) -> bool {
        self.behind_len > 0 && self.pools.iter().any(|pool| !pool.idle.is_empty())
    }
}

/// How many busy workers are looked at for a task that is quick.
const CANDIDATES: usize = 8;

fn wake_cost_ns<H: Host>(shared: &Shared<H>) -> u64 {
    u64::try_from(shared.config.wake_cost.as_nanos())
        .unwrap_or(u64::MAX)
        .min(u64::from(u32::MAX) / 4)
}
