//! Bringing the state to rest: groups get their resources, ready tasks their workers, idle workers what waits
//! behind others, and the host is asked for more workers where only they are missing.
//!
//! # Nobody starves
//! Priorities are strict. Within one, jobs take turns, so that no job waits for another's backlog; and a lane
//! whose first task needs more than is ever free at one moment, because smaller ones take each bit that comes
//! free, becomes *hungry* after [`PATIENCE`] others were placed: nothing of its priority or below is placed until
//! it is. That is only done when it would help: what it needs must be there once the tasks that run have ended
//! (not held by actors or groups), some task must be running, and none may be waiting for others.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::{State, lanes::LaneKey};
use crate::{Host, WorkerId, event::Act, record::CREATION, shared::Shared};

/// How many tasks may be placed past one that does not find what it needs.
const PATIENCE: u64 = 1024;

/// Why a task is not placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// What it needs is in use.
    Resources,
    /// Every worker of its pool is busy, or its queue full.
    Worker,
    /// A busy worker will have room for it sooner than an idle one would be awake.
    Room,
    /// It is an actor to be created, and so many live as may.
    Actors,
}

impl<H: Host> State<H> {
    /// See the module.
    pub(crate) fn dispatch(&mut self, shared: &Shared<H>) {
        while std::mem::take(&mut self.dirty) {
            self.reserve_groups(shared);
            self.hand_out(shared);
            self.hand_out_groups(shared);
            // What is ready by now cannot be placed; that is no reason to leave what waits behind others.
            if self.lanes.hungry.is_none() {
                self.steal(shared);
            }
        }
        self.ask_for_workers(shared);
        if shared.config.wake_cost > Duration::ZERO {
            let wants_review = self.wants_review();
            if shared.wants_review.load(Relaxed) != wants_review {
                shared.wants_review.store(wants_review, Relaxed);
                if wants_review {
                    shared.guarded((), || shared.host.review_wanted());
                }
            }
        }
        let is_queueing = self.behind_len > 0;
        if shared.is_queueing.load(Relaxed) != is_queueing {
            shared.is_queueing.store(is_queueing, Relaxed);
        }
        if shared.backlog.load(Relaxed) != self.lanes.ready {
            shared.set_backlog(self.lanes.ready);
        }
    }

    /// Gives a ready task to a worker: an idle one with a lease of its own, or one that has a lease of its shape
    /// and room behind what it runs.
    pub(super) fn place(&mut self, shared: &Shared<H>, index: u32) -> Result<(), Stall> {
        let record = shared.records.at(index);
        let kind = shared.kinds.at(record.kind.get());
        if record.is(CREATION)
            && self.housed >= shared.config.actor_limit
            && self.is_free(shared, record)
        {
            return Err(Stall::Actors);
        }
        let pool = self.pool(kind.pool);
        if let Some(&worker) = self.pools[pool].idle.back() {
            if shared.config.wake_cost > Duration::ZERO && !record.is(CREATION) {
                match self.sooner(shared, record) {
                    Ok(Some(busy)) if self.hand(shared, busy, index) => return Ok(()),
                    Ok(_) => {}
                    Err(()) => return Err(Stall::Room),
                }
            }
            if let Some(lease) = self.lease(shared, record) {
                self.pools[pool].idle.pop_back();
                return match self.begin(shared, worker, lease, index) {
                    true => {
                        self.settle_in(shared, record, worker);
                        Ok(())
                    }
                    false => Err(Stall::Worker),
                };
            }
        } else if self.is_free(shared, record) {
            self.note_want(shared, pool, index);
            if !record.is(CREATION)
                && let Some(worker) = self.feeder(shared, record)
                && self.hand(shared, worker, index)
            {
                return Ok(());
            }
            return Err(Stall::Worker);
        }
        if !record.is(CREATION)
            && let Some(worker) = self.feeder(shared, record)
            && self.hand(shared, worker, index)
        {
            return Ok(());
        }
        Err(Stall::Resources)
    }

    /// Serves the lanes until none can go on.
    fn hand_out(&mut self, shared: &Shared<H>) {
        let hungry = self.lanes.hungry.take();
        let mut level = 0;
        while level < self.lanes.levels.len() {
            let priority = self.lanes.levels[level].priority;
            if let Some((_, key)) = hungry.filter(|(hungry, _)| *hungry == priority) {
                self.lanes.bring_forward(level, key);
            }
            let mut stalled = 0;
            while let Some(rows) = self.lanes.levels.get(level).filter(|l| l.priority == priority)
                && stalled < rows.rows.len()
            {
                let job = rows.rows[0].job;
                let placed = self.serve_row(shared, level);
                if self.lanes.hungry.is_some() {
                    return;
                }
                stalled = if placed { 0 } else { stalled + 1 };
                // The next job's turn, unless this one has just gone.
                if let Some(rows) = self.lanes.levels.get_mut(level)
                    && rows.priority == priority
                    && rows.rows.front().is_some_and(|row| row.job == job)
                {
                    rows.rows.rotate_left(1);
                }
            }
            if self.lanes.levels.get(level).is_some_and(|level| level.priority == priority) {
                level += 1;
            }
        }
    }

    /// Places one task of the job whose turn it is.
    fn serve_row(&mut self, shared: &Shared<H>, level: usize) -> bool {
        let kinds = self.lanes.levels[level].rows[0].kinds.len();
        for _ in 0..kinds {
            let row = &mut self.lanes.levels[level].rows[0];
            let Some(&kind) = row.kinds.front() else { return false };
            row.kinds.rotate_left(1);
            let key = LaneKey { kind, job: row.job };
            let lane = self.lanes.at(key);
            let Some(first) = lane.queue.first() else { continue };
            // Out of its lane before it goes to a worker, whose queue uses the same links.
            let known = shared.kinds.at(kind);
            lane.queue.remove(&shared.records, first);
            if let Some(next) = lane.queue.first() {
                // It may have waited for long.
                shared.records.prefetch(next);
            }
            match self.place(shared, first) {
                Ok(()) => {
                    self.lanes.ready -= 1;
                    let lane = self.lanes.at(key);
                    lane.stalled_since = None;
                    if lane.queue.is_empty() {
                        self.lanes.unlist(key, known.priority);
                    }
                    return true;
                }
                Err(stall) => {
                    let placed = self.placed;
                    let place = crate::record::Place::Lane;
                    let lane = self.lanes.at(key);
                    lane.queue.push_front(&shared.records, first, place);
                    lane.stall = Some(stall);
                    let since = *lane.stalled_since.get_or_insert(placed);
                    if stall == Stall::Resources
                        && placed - since > PATIENCE
                        && self.task_leases > 0
                        && self.blocked_len == 0
                        && self.attainable.holds(&known.need)
                    {
                        self.lanes.hungry = Some((known.priority, key));
                        return false;
                    }
                }
            }
        }
        false
    }

    /// Gives half of what waits behind the longest queue to those who have nothing.
    fn steal(&mut self, shared: &Shared<H>) {
        if self.behind_len == 0 || self.pools.iter().all(|pool| pool.idle.is_empty()) {
            return;
        }
        let victims = self.behind.iter().filter(|&worker| {
            let Some(Some(known)) = self.workers.get(usize::from(worker)) else { return false };
            let last = known.queue.last().map(|last| shared.records.at(last));
            !self.pools[known.pool].idle.is_empty()
                && self.is_worth_waking(shared, worker)
                && last.is_some_and(|last| self.is_free(shared, last))
        });
        let behind = |worker: u16| {
            self.workers[usize::from(worker)].as_ref().map_or(0, |known| known.behind)
        };
        let Some(victim) = victims.max_by_key(|&worker| behind(worker)) else { return };
        // Half of it; all of it when nobody knows how long its worker will be.
        let slow = self.workers[usize::from(victim)].as_ref().is_some_and(|known| known.slow);
        let keep = if slow { 1 } else { 1 + behind(victim) / 2 };
        self.retrieve(shared, victim, keep);
    }

    /// A task could run at once if there were another worker.
    pub(super) fn note_want(&mut self, shared: &Shared<H>, pool: usize, index: u32) {
        let record = shared.records.at(index);
        let need = shared.kinds.at(record.kind.get()).need.cpu as i64;
        let ready = self.lanes.find(LaneKey::of(record)).map_or(0, |lane| lane.queue.len()) + 1;
        let unstarted = if record.is(CREATION) { ready } else { ready + self.behind_len };
        let fits = match (need, record.is(CREATION)) {
            (0, true) => ready,
            (0, false) => 1,
            (need, _) if record.group.get() == 0 => (self.free.cpu / need).max(0) as usize,
            _ => ready,
        };
        let wanted = &mut self.pools[pool].wanted;
        *wanted = (*wanted).max(unstarted.min(fits));
    }

    fn ask_for_workers(&mut self, shared: &Shared<H>) {
        for at in 0..self.pools.len() {
            let wanted = std::mem::take(&mut self.pools[at].wanted);
            if wanted == 0 {
                continue;
            }
            let limit = shared.config.worker_limit.min(shared.config.max_workers - 1);
            let starting: usize = self.pools.iter().map(|pool| pool.starting).sum();
            let room = limit.saturating_sub(self.workers_len + starting);
            let pool = &mut self.pools[at];
            let missing = wanted.saturating_sub(pool.starting);
            let more = missing.min(room);
            if more > 0 {
                pool.starting += more;
                self.acts.push(Act::Need(pool.id, more));
            }
            if missing > more && self.pools.len() > 1 {
                self.make_places(shared, at, missing - more);
            }
        }
    }

    /// There can be no more workers, and those of other executables may have nothing to do: ends as many of these,
    /// in whose places others are asked for once they are gone.
    fn make_places(&mut self, shared: &Shared<H>, for_pool: usize, mut how_many: usize) {
        let leaving = self.workers.iter().flatten().filter(|known| known.retired).count();
        how_many = how_many.saturating_sub(leaving);
        for at in (0..self.pools.len()).filter(|&at| at != for_pool) {
            while how_many > 0
                && let Some(worker) = self.pools[at].idle.front().map(|&idle| WorkerId(idle))
            {
                self.retire(shared, worker);
                how_many -= 1;
            }
        }
    }

    fn settle_in(
        &mut self,
        shared: &Shared<H>,
        record: &crate::record::Record<H::Spec>,
        worker: u16,
    ) {
        if record.is(CREATION) {
            self.moved_in(shared, crate::ActorId::from_bits(record.actor.get()), WorkerId(worker));
        }
    }
}
