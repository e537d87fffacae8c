//! Workers: who is idle, who has room, what was handed to whom, and what a death or a wait means for it.

use std::{collections::VecDeque, time::Instant};

use super::{State, leases::Lease};
use crate::{
    ActorId, Config, Failure, GpuShare, GroupId, Host, Outcome, PoolId, TaskId, WorkerId,
    event::Act,
    ids::split,
    queue::Queue,
    record::{CALL, CANCELLED, CREATION, JOB_ENDED, Place, Record},
    shared::Shared,
};

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
    /// The host said so, and whether what runs is to be charged for it.
    Condemned {
        spares: bool,
    },
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
    pub(super) told: Vec<GpuShare>,
    pub(super) retired: bool,
    pub(super) doomed: Option<Doom>,
    /// Its queue had no room; it has after a completion, perhaps.
    pub(super) full: bool,
    /// It is among the feeders of its lease's shape.
    pub(super) feeds: bool,
    /// Tasks that wait behind its running one, as they were counted.
    pub(super) behind: usize,
    /// When it last began what is first in its queue, or was told to: a number that grows.
    pub(super) since: u64,
    /// How long what it was handed is expected to run.
    pub(super) expected_ns: u64,
    /// What was running when it was last looked at, and when that was first seen.
    pub(super) seen: Option<(u64, Instant)>,
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
    pub(super) turn: u16,
}

impl Feeders {
    /// The one whose turn it is.
    pub(super) fn next(&self) -> Option<u16> {
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

    // --- taking back -------------------------------------------------------------------------------------

    /// Takes back what a worker has not begun, from the end, until so many are left; it is ready again.
    pub(super) fn retrieve(&mut self, shared: &Shared<H>, worker: u16, keep: usize) -> usize {
        let mut taken = 0;
        while let Some(known) = self.worker(worker)
            && known.queue.len() > keep
            && let Some(last) = known.queue.last()
        {
            let record = shared.records.at(last);
            let ticket = record.ticket.get();
            if !shared.guarded(false, || shared.host.take_back(WorkerId(worker), ticket)) {
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
        if self.worker(worker).and_then(|known| known.actor.take()).is_some() {
            self.housed -= 1;
            self.dirty = true;
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
        // Before its number is another process's.
        shared.set_resident(worker.0, None);
        self.workers_len -= 1;
        self.housed -= usize::from(gone.actor.is_some());
        self.blocked_len -= usize::from(gone.blocked > 0);
        self.pools[gone.pool].idle.retain(|&idle| idle != worker.0);
        if let Some(lease) = gone.lease.take() {
            self.give(shared, lease);
        }
        self.dirty = true;
        // A killed worker may have been told of what nobody wants any more.
        let mut queue = Vec::with_capacity(gone.queue.len());
        while let Some(index) = gone.queue.pop(&shared.records) {
            let ticket = shared.records.at(index).ticket.get();
            let begun = !shared.guarded(false, || shared.host.take_back(worker, ticket));
            queue.push((index, begun));
        }
        if let Some(actor) = gone.actor {
            return self.lose_actor(shared, actor, queue, cause);
        }
        for (index, begun) in queue {
            let record = shared.records.at(index);
            let attempt = record.attempt.get();
            if begun && matches!(gone.doomed, Some(Doom::Condemned { spares: true })) {
                spare(record);
            }
            let again = attempt < record.max_retries.get() && !record.is(CANCELLED);
            if !begun || again {
                record.attempt.set(attempt + u16::from(begun));
                shared.count_lost(begun);
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

    /// Ends a worker in good order, if it has nothing.
    pub(crate) fn retire(&mut self, shared: &Shared<H>, worker: WorkerId) -> bool {
        let Some(known) = self.worker(worker.0) else { return false };
        let pool = known.pool;
        let Some(at) = self.pools[pool].idle.iter().position(|&idle| idle == worker.0) else {
            return false;
        };
        self.pools[pool].idle.remove(at);
        if let Some(known) = self.worker(worker.0) {
            known.retired = true;
        }
        shared.stop(worker);
        true
    }

    /// See [`crate::Scheduler::condemn`].
    pub(crate) fn condemn(
        &mut self,
        shared: &Shared<H>,
        worker: WorkerId,
        task: Option<TaskId>,
        spares: bool,
        look: impl FnOnce(Option<&H::Spec>),
    ) -> bool {
        let Some(known) = self.worker(worker.0) else { return false };
        let (pool, is_actor) = (known.pool, known.actor.is_some());
        let first = known.queue.first().filter(|_| !is_actor);
        if known.doomed.is_some() || first.map(|first| shared.records.id(first)) != task {
            return false;
        }
        known.doomed = Some(Doom::Condemned { spares });
        match first {
            Some(first) => self.look(shared.records.at(first), |spec| look(Some(spec))),
            None => look(None),
        }
        self.pools[pool].idle.retain(|&idle| idle != worker.0);
        self.refit(shared, worker.0);
        if !is_actor {
            self.retrieve(shared, worker.0, 1);
        }
        shared.kill(worker);
        true
    }

    /// What was full may have room.
    pub(super) fn try_full_queues_again(&mut self, shared: &Shared<H>) {
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
}

/// An attempt of this task ended by no fault of its own: it may have one more, if it may have any.
fn spare<S>(record: &Record<S>) {
    let spared = record.spared.get();
    if record.max_retries.get() > 0 && spared < Config::MAX_SPARED {
        record.spared.set(spared + 1);
        record.max_retries.set(record.max_retries.get().saturating_add(1));
    }
}

/// What waking a worker costs.
pub(super) fn wake_cost_ns<H: Host>(shared: &Shared<H>) -> u64 {
    u64::try_from(shared.config.wake_cost.as_nanos())
        .unwrap_or(u64::MAX)
        .min(u64::from(u32::MAX) / 4)
}
