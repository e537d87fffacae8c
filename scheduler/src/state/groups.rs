//! Placement groups: their bundles are ledgers of their own, taken out of the machine's all at once.
//!
//! Groups that wait for their resources are served in the order of their creation; a removed one gives its
//! resources back when the last that used them is gone.

use std::{collections::VecDeque, sync::Arc};

use super::{State, dispatch::Stall, workers::Bits, workers::Doom};
use crate::{
    ActorId, DeathReason, Failure, GpuShare, GroupId, GroupState, Host, JobId, TaskId, WorkerId,
    gate::Phase,
    group_gate::{self, Shape},
    ids::split,
    ledger::Ledger,
    queue::Queue,
    record::{CALL, CANCELLED, CREATION, Place, Record},
    shared::Shared,
};

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) shape: Arc<Shape>,
    pub(super) bundles: Vec<Ledger>,
    gpus: Vec<Vec<GpuShare>>,
    pub(super) state: GroupState,
    pub(super) job: JobId,
    pub(super) detached: bool,
    /// Leases out of its bundles.
    pub(super) leases: usize,
    /// Ready tasks, by kind and bundle, in turn.
    lanes: VecDeque<Lane>,
    /// Workers with room whose lease is out of this group.
    pub(super) room: Bits,
    /// Tasks that wait for objects.
    waiting: usize,
}

/// The ready tasks of one kind for one bundle.
#[derive(Debug)]
struct Lane {
    kind: u32,
    bundle: u16,
    queue: Queue,
    /// Why its first one was not placed when that was tried last.
    stall: Option<Stall>,
}

impl Lane {
    fn is_of(&self, kind: u32, bundle: u16) -> bool {
        (self.kind, self.bundle) == (kind, bundle)
    }
}

impl Group {
    /// How many of its tasks are not placed for such a reason.
    pub(super) fn stalled(&self, is_meant: impl Fn(Stall) -> bool) -> usize {
        let stalled = self.lanes.iter().filter(|lane| lane.stall.is_some_and(&is_meant));
        stalled.map(|lane| lane.queue.len()).sum()
    }
}

impl<H: Host> State<H> {
    pub(super) fn new_group(&mut self, shape: Arc<Shape>, job: JobId, detached: bool) {
        let index = group_gate::index(shape.id) as usize;
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, || None);
        }
        self.unreserved.push_back(shape.id);
        self.groups[index] = Some(Group {
            shape,
            bundles: Vec::new(),
            gpus: Vec::new(),
            state: GroupState::Pending,
            job,
            detached,
            leases: 0,
            lanes: VecDeque::new(),
            room: Bits::default(),
            waiting: 0,
        });
        self.dirty = true;
    }

    /// The group, if it is the one that is meant.
    pub(super) fn group(&mut self, id: GroupId) -> Option<&mut Group> {
        let group = self.groups.get_mut(group_gate::index(id) as usize)?.as_mut()?;
        (group.shape.id == id).then_some(group)
    }

    pub(super) fn group_waits(&mut self, record: &Record<H::Spec>, by: isize) {
        if let Some(group) = self.group(GroupId::from_bits(record.group.get())) {
            group.waiting = group.waiting.saturating_add_signed(by);
        }
    }

    /// Reserves what waits to be reserved, the oldest first.
    pub(super) fn reserve_groups(&mut self, shared: &Shared<H>) {
        while let Some(&id) = self.unreserved.front() {
            let index = group_gate::index(id) as usize;
            let known = self.groups.get_mut(index).and_then(Option::as_mut);
            let Some(group) =
                known.filter(|group| group.shape.id == id && group.state == GroupState::Pending)
            else {
                self.unreserved.pop_front();
                continue;
            };
            let mut taken = Vec::with_capacity(group.shape.needs.len());
            for need in &group.shape.needs {
                match self.free.take(need) {
                    Some(gpus) => taken.push(gpus),
                    None => {
                        for (need, gpus) in group.shape.needs.iter().zip(&taken) {
                            self.free.give(need, gpus);
                        }
                        return;
                    }
                }
            }
            self.unreserved.pop_front();
            let pairs = || group.shape.needs.iter().zip(&taken);
            group.bundles = pairs().map(|(need, gpus)| Ledger::new(need, gpus.clone())).collect();
            pairs().for_each(|(need, gpus)| self.attainable.withdraw(need, gpus));
            group.gpus = taken;
            group.state = GroupState::Ready;
            shared.guarded((), || shared.host.group_changed(id, GroupState::Ready));
        }
    }

    // --- ready tasks -------------------------------------------------------------------------------------

    pub(super) fn enqueue_in_group(&mut self, shared: &Shared<H>, task: TaskId) {
        let (index, _) = split(task.to_bits());
        let record = shared.records.at(index);
        let id = GroupId::from_bits(record.group.get());
        let there = self.group(id).is_some_and(|group| group.state != GroupState::Removed);
        if !there {
            return self.fail_removed(shared, task, id);
        }
        self.line_up_in_group(shared, index, false);
        self.dirty = true;
    }

    fn fail_removed(&mut self, shared: &Shared<H>, task: TaskId, group: GroupId) {
        let Some((record, _)) = shared.records.live(task) else { return };
        if record.is(CREATION) {
            let actor = ActorId::from_bits(record.actor.get());
            return self.kill_for(shared, actor, DeathReason::GroupRemoved { group });
        }
        self.fail(shared, task, Failure::GroupRemoved { group });
    }

    fn line_up_in_group(&mut self, shared: &Shared<H>, index: u32, in_order: bool) {
        let record = shared.records.at(index);
        let (kind, bundle) = (record.kind.get(), record.bundle.get());
        let Some(group) = self.group(GroupId::from_bits(record.group.get())) else { return };
        let was_empty = group.lanes.is_empty();
        let at = match group.lanes.iter().position(|lane| lane.is_of(kind, bundle)) {
            Some(at) => at,
            None => {
                let priority = |kind| shared.kinds.at(kind).priority;
                let mine = priority(kind);
                let at = group.lanes.partition_point(|lane| priority(lane.kind) >= mine);
                let queue = Queue::default();
                group.lanes.insert(at, Lane { kind, bundle, queue, stall: None });
                at
            }
        };
        let queue = &mut group.lanes[at].queue;
        match in_order {
            true => queue.push_in_order(&shared.records, index, Place::Lane),
            false => queue.push_back(&shared.records, index, Place::Lane),
        }
        self.lanes.ready += 1;
        if was_empty {
            self.busy_groups.push_back(split(record.group.get()).0);
        }
    }

    pub(super) fn put_back_in_group(&mut self, shared: &Shared<H>, index: u32) {
        let record = shared.records.at(index);
        let id = GroupId::from_bits(record.group.get());
        if self.group(id).is_none_or(|group| group.state == GroupState::Removed) {
            return self.fail_removed(shared, shared.records.id(index), id);
        }
        self.line_up_in_group(shared, index, true);
    }

    /// The caller has counted it off.
    pub(super) fn leave_lane_in_group(&mut self, shared: &Shared<H>, index: u32) {
        let record = shared.records.at(index);
        let (kind, bundle) = (record.kind.get(), record.bundle.get());
        let Some(group) = self.group(GroupId::from_bits(record.group.get())) else { return };
        let at = group.lanes.iter().position(|lane| lane.is_of(kind, bundle));
        let Some(at) = at else { return };
        group.lanes[at].queue.remove(&shared.records, index);
        if group.lanes[at].queue.is_empty() {
            group.lanes.remove(at);
        }
    }

    /// Serves the groups that have ready tasks, until none can go on.
    pub(super) fn hand_out_groups(&mut self, shared: &Shared<H>) {
        for _ in 0..self.busy_groups.len() {
            let Some(index) = self.busy_groups.pop_front() else { return };
            let mut at = 0;
            while let Some(Some(group)) = self.groups.get_mut(index as usize)
                && let Some(lane) = group.lanes.get_mut(at)
            {
                let (kind, bundle) = (lane.kind, lane.bundle);
                // Of a job that is being ended nothing begins, in a group that outlives it neither.
                let first = lane.queue.first().map(|first| shared.records.at(first));
                if first.is_some_and(|first| self.lanes.is_closed(JobId(first.job.get()))) {
                    at += 1;
                    continue;
                }
                let Some(first) = lane.queue.pop(&shared.records) else {
                    group.lanes.remove(at);
                    continue;
                };
                match self.place(shared, first) {
                    Ok(()) => self.lanes.ready -= 1,
                    Err(stall) => {
                        if let Some(Some(group)) = self.groups.get_mut(index as usize)
                            && let Some(lane) = group.lanes.get_mut(at)
                            && lane.is_of(kind, bundle)
                        {
                            lane.stall = Some(stall);
                            lane.queue.push_front(&shared.records, first, Place::Lane);
                        }
                        at += 1;
                    }
                }
            }
            if let Some(Some(group)) = self.groups.get(index as usize)
                && !group.lanes.is_empty()
            {
                self.busy_groups.push_back(index);
            }
        }
    }

    // --- the end -----------------------------------------------------------------------------------------

    /// What is queued in the group fails, what runs or lives in it is killed.
    pub(super) fn remove_group(&mut self, shared: &Shared<H>, id: GroupId) {
        let Some(group) = self.group(id) else { return };
        if group.state == GroupState::Removed {
            return;
        }
        group.state = GroupState::Removed;
        let (waits, leases) = (group.waiting > 0, group.leases > 0);
        let mut lanes = std::mem::take(&mut group.lanes);
        shared.group(id).into_iter().for_each(group_gate::GroupGate::close);
        self.busy_groups.retain(|&busy| busy != group_gate::index(id));
        while let Some(Lane { mut queue, .. }) = lanes.pop_front() {
            while let Some(index) = queue.pop(&shared.records) {
                self.lanes.ready -= 1;
                self.fail_removed(shared, shared.records.id(index), id);
            }
        }
        if waits {
            let of = |record: &Record<H::Spec>| record.group.get() == id.to_bits();
            let waiting: Vec<TaskId> = shared
                .records
                .from(0)
                .filter(|(_, record, phase)| {
                    *phase == Phase::Waiting && of(record) && !record.is(CALL)
                })
                .map(|(task, ..)| task)
                .collect();
            for task in waiting {
                self.fail_removed(shared, task, id);
            }
        }
        if leases {
            self.evict(shared, id);
        }
        shared.guarded((), || shared.host.group_changed(id, GroupState::Removed));
        self.dissolve(shared, group_gate::index(id));
    }

    /// Kills the workers that hold a part of a group.
    fn evict(&mut self, shared: &Shared<H>, id: GroupId) {
        for worker in 0..self.workers.len() as u16 {
            let Some(known) = self.worker(worker) else { continue };
            let source = known.lease.as_ref().and_then(|lease| lease.source);
            if source.is_none_or(|(index, _)| index != group_gate::index(id)) {
                continue;
            }
            if let Some(actor) = known.actor {
                self.kill_for(shared, actor, DeathReason::GroupRemoved { group: id });
                continue;
            }
            known.doomed = Some(Doom::Group(id));
            self.refit(shared, worker);
            // They fail as the group's: what was not begun comes back and finds it gone.
            self.retrieve(shared, worker, 0);
            let Some(known) = self.worker(worker) else { continue };
            for index in known.queue.iter(&shared.records) {
                shared.records.at(index).mark(CANCELLED);
            }
            shared.kill(WorkerId(worker));
        }
    }

    /// Gives a removed group's resources back, once nobody uses them.
    pub(super) fn dissolve(&mut self, shared: &Shared<H>, index: u32) {
        let Some(place) = self.groups.get_mut(index as usize) else { return };
        let done = |group: &Group| group.state == GroupState::Removed && group.leases == 0;
        let Some(group) = place.take_if(|group| done(group)) else { return };
        for (need, gpus) in group.shape.needs.iter().zip(&group.gpus) {
            self.free.give(need, gpus);
            self.attainable.give(need, gpus);
        }
        if shared.groups.get(index).is_some_and(group_gate::GroupGate::free) {
            shared.groups.give(index);
        }
        self.dirty = true;
    }
}

impl<H: Host> State<H> {
    /// Where a group stands.
    pub(crate) fn group_state(&mut self, id: GroupId) -> Option<GroupState> {
        self.group(id).map(|group| group.state)
    }
}
