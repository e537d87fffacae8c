//! Lanes: the ready tasks of each kind and job, first come, first served.
//!
//! Lanes with tasks are served by priority, and within a priority jobs take turns, and the kinds of a job within
//! its turns. Where a task stands in this costs nothing that grows with the number of tasks; it grows with the
//! number of kinds that have something waiting. A lane is there as long as it has tasks, so jobs may come and go.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::{State, dispatch::Stall};
use crate::{
    Host, JobId, TaskId,
    ids::split,
    queue::Queue,
    record::{Place, Record},
    shared::Shared,
};

/// For how many tasks the workers are shared in small portions after two jobs met.
const SHARED_FOR: u64 = 4096;

/// Whose ready tasks a lane has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneKey {
    pub(super) kind: u32,
    pub(super) job: JobId,
}

impl LaneKey {
    /// That of a task which is in no group.
    #[inline]
    pub(super) fn of<S>(record: &Record<S>) -> Self {
        LaneKey { kind: record.kind.get(), job: JobId(record.job.get()) }
    }
}

/// The ready tasks of one kind and job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    job: JobId,
    pub(super) queue: Queue,
    /// How many tasks had been placed when its first one did not find what it needs.
    pub(super) stalled_since: Option<u64>,
    /// Why its first one was not placed when that was tried last.
    pub(super) stall: Option<Stall>,
}

/// The kinds of one job that have ready tasks, the one whose turn it is first.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) job: JobId,
    pub(super) kinds: VecDeque<u32>,
}

/// One priority's jobs, the one whose turn it is first.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) priority: i32,
    pub(super) rows: VecDeque<Row>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By kind, those of the jobs that have such tasks.
    lanes: Vec<SmallVec<[Lane; 1]>>,
    /// By descending priority.
    pub(super) levels: Vec<Level>,
    /// Ready tasks, those of groups included.
    pub(super) ready: usize,
    /// The priority of a lane that others have gone past for too long, and the lane.
    pub(super) hungry: Option<(i32, LaneKey)>,
    /// Jobs whose tasks are being ended: their lanes are not listed.
    closed: SmallVec<[JobId; 2]>,
}

impl Lanes {
    /// How many tasks are not placed for such a reason.
    fn stalled(&self, is_meant: impl Fn(Stall) -> bool) -> usize {
        let lanes = self.lanes.iter().flatten();
        let stalled = lanes.filter(|lane| lane.stall.is_some_and(&is_meant));
        stalled.map(|lane| lane.queue.len()).sum()
    }

    /// A lane that has tasks.
    #[inline]
    pub(super) fn find(&self, LaneKey { kind, job }: LaneKey) -> Option<&Lane> {
        self.lanes.get(kind as usize)?.iter().find(|lane| lane.job == job)
    }

    /// A lane that has tasks, or is about to.
    #[inline]
    pub(super) fn at(&mut self, LaneKey { kind, job }: LaneKey) -> &mut Lane {
        let kind = kind as usize;
        if self.lanes.len() <= kind {
            self.lanes.resize_with(kind + 1, SmallVec::new);
        }
        let of_kind = &mut self.lanes[kind];
        let known = of_kind.iter().position(|lane| lane.job == job);
        let at = known.unwrap_or_else(|| {
            of_kind.push(Lane { job, queue: Queue::default(), stalled_since: None, stall: None });
            of_kind.len() - 1
        });
        &mut of_kind[at]
    }

    /// Takes a job's lanes out, whatever they have or get, until they are reopened.
    pub(super) fn close(&mut self, job: JobId) {
        self.closed.push(job);
        self.hungry.take_if(|(_, key)| key.job == job);
        for level in &mut self.levels {
            level.rows.retain(|row| row.job != job);
        }
        self.levels.retain(|level| !level.rows.is_empty());
    }

    /// Enters a job's lanes again that have tasks, unless somebody else has closed them too.
    pub(super) fn reopen<H: Host>(&mut self, shared: &Shared<H>, job: JobId) {
        if let Some(at) = self.closed.iter().position(|&closed| closed == job) {
            self.closed.swap_remove(at);
        }
        let left = self.lanes.iter().enumerate().filter(|(_, of_kind)| {
            of_kind.iter().any(|lane| lane.job == job && !lane.queue.is_empty())
        });
        let left: Vec<u32> = left.map(|(kind, _)| kind as u32).collect();
        for kind in left {
            self.list(LaneKey { kind, job }, shared.kinds.at(kind).priority);
        }
    }

    pub(super) fn is_closed(&self, job: JobId) -> bool {
        self.closed.contains(&job)
    }

    /// Enters a lane that has tasks now.
    fn list(&mut self, LaneKey { kind, job }: LaneKey, priority: i32) {
        if self.is_closed(job) {
            return;
        }
        let at = self.levels.partition_point(|level| level.priority > priority);
        if self.levels.get(at).is_none_or(|level| level.priority != priority) {
            self.levels.insert(at, Level { priority, rows: VecDeque::new() });
        }
        let rows = &mut self.levels[at].rows;
        match rows.iter_mut().find(|row| row.job == job) {
            Some(row) => row.kinds.push_back(kind),
            None => rows.push_back(Row { job, kinds: VecDeque::from([kind]) }),
        }
    }

    /// Makes it the turn of a lane, if it is listed in this level.
    pub(super) fn bring_forward(&mut self, level: usize, LaneKey { kind, job }: LaneKey) {
        let Some(level) = self.levels.get_mut(level) else { return };
        let Some(row) = level.rows.iter().position(|row| row.job == job) else { return };
        level.rows.rotate_left(row);
        let kinds = &mut level.rows[0].kinds;
        if let Some(at) = kinds.iter().position(|&listed| listed == kind) {
            kinds.rotate_left(at);
        }
    }

    /// Takes a lane out that has no task left.
    pub(super) fn unlist(&mut self, LaneKey { kind, job }: LaneKey, priority: i32) {
        if let Some(of_kind) = self.lanes.get_mut(kind as usize) {
            of_kind.retain(|lane| lane.job != job);
        }
        let at = self.levels.partition_point(|level| level.priority > priority);
        let Some(level) = self.levels.get_mut(at) else { return };
        let Some(row) = level.rows.iter().position(|row| row.job == job) else { return };
        level.rows[row].kinds.retain(|&listed| listed != kind);
        if level.rows[row].kinds.is_empty() {
            level.rows.remove(row);
        }
        if level.rows.is_empty() {
            self.levels.remove(at);
        }
    }
}

impl<H: Host> State<H> {
    /// How many tasks, those of groups included, are not placed for such a reason.
    pub(super) fn stalled(&self, is_meant: impl Fn(Stall) -> bool) -> usize {
        let in_groups = self.groups.iter().flatten().map(|group| group.stalled(&is_meant));
        self.lanes.stalled(&is_meant) + in_groups.sum::<usize>()
    }

    /// A task is ready: it is placed at once if it is its kind's turn and there is room.
    pub(super) fn enqueue(&mut self, shared: &Shared<H>, task: TaskId) {
        let (index, _) = split(task.to_bits());
        let record = shared.records.at(index);
        record.order.set(self.next_order());
        if record.group.get() != 0 {
            return self.enqueue_in_group(shared, task);
        }
        let key = LaneKey::of(record);
        let known = shared.kinds.at(key.kind);
        let lane = self.lanes.find(key);
        let (was_empty, stall) = (lane.is_none(), lane.and_then(|lane| lane.stall));
        let held_up = self.lanes.hungry.is_some_and(|(priority, _)| known.priority <= priority);
        let is_closed = self.lanes.is_closed(key.job);
        // What was freed goes to those who waited for it first.
        let passes = self.dirty && self.lanes.ready > 0;
        if was_empty {
            let waits = held_up || passes || is_closed;
            let placed = if waits { None } else { Some(self.place(shared, index)) };
            if placed == Some(Ok(())) {
                return;
            }
            self.lanes.at(key).stall = placed.and_then(Result::err);
        } else if stall == Some(Stall::Worker) && !is_closed {
            let pool = self.pool(known.pool);
            self.note_want(shared, pool, index);
        }
        self.lanes.at(key).queue.push_back(&shared.records, index, Place::Lane);
        self.lanes.ready += 1;
        if was_empty {
            self.lanes.list(key, known.priority);
            if !is_closed {
                self.make_way(shared, key);
            }
        }
    }

    /// A task that was at a worker is ready again, before those that became ready after it.
    pub(super) fn put_back(&mut self, shared: &Shared<H>, index: u32) {
        let record = shared.records.at(index);
        self.dirty = true;
        if record.group.get() != 0 {
            return self.put_back_in_group(shared, index);
        }
        let key = LaneKey::of(record);
        let lane = self.lanes.at(key);
        let was_empty = lane.queue.is_empty();
        lane.queue.push_in_order(&shared.records, index, Place::Lane);
        self.lanes.ready += 1;
        if was_empty {
            self.lanes.list(key, shared.kinds.at(key.kind).priority);
        }
    }

    /// Takes a task out of its lane, wherever it stands.
    pub(super) fn leave_lane(&mut self, shared: &Shared<H>, index: u32) {
        let record = shared.records.at(index);
        self.lanes.ready -= 1;
        self.dirty = true;
        if record.group.get() != 0 {
            return self.leave_lane_in_group(shared, index);
        }
        let key = LaneKey::of(record);
        let lane = self.lanes.at(key);
        lane.queue.remove(&shared.records, index);
        if lane.queue.is_empty() {
            self.lanes.unlist(key, shared.kinds.at(key.kind).priority);
        }
    }

    /// A lane has its first task, and no room for it: what other jobs, or less urgent tasks, have waiting at the
    /// workers is taken back, and all take turns.
    fn make_way(&mut self, shared: &Shared<H>, key: LaneKey) {
        let known = shared.kinds.at(key.kind);
        if self.behind_len == 0 {
            return;
        }
        let yields: Vec<u16> = self
            .behind
            .iter()
            .filter(|&worker| {
                let Some(Some(at)) = self.workers.get(usize::from(worker)) else { return false };
                let last = at.queue.last().map(|last| shared.records.at(last));
                self.pools[at.pool].id == known.pool
                    && last.is_some_and(|last| {
                        let other = shared.kinds.at(last.kind.get());
                        other.priority < known.priority
                            || other.priority == known.priority && last.job.get() != key.job.0
                    })
            })
            .collect();
        if !yields.is_empty() {
            self.shared_until = self.placed + SHARED_FOR;
        }
        for worker in yields {
            self.retrieve(shared, worker, 1);
        }
    }
}
