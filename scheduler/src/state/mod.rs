//! What the owner of the token owns: the lanes of ready tasks, the workers and what they hold, the groups, the
//! actors and their mailboxes.
//!
//! Everything here is plain single-threaded code over structures in which each step costs the same however
//! many tasks there are: queues that lie in the records, bit sets of workers, tables by index. [`State::apply`]
//! takes an event, [`State::dispatch`] brings the state to rest: afterwards no head of a lane can be placed, no
//! idle worker could have what waits behind another's running task, and no living actor has room for a call
//! whose turn it is. Callbacks that may come back are left as [`Act`]s, for when the token is given back; those
//! that have to be in order are made from here.
//!
//! Invariant: a live record is in exactly one place ([`crate::record::Place`]), or nowhere while it waits for
//! objects, while the event that brings it on is under way, or while it is the creation of an actor that lives.

mod actors;
mod cancel;
mod cost;
mod dispatch;
mod estimates;
mod groups;
mod handing;
mod lanes;
mod leases;
mod listing;
mod mailbox;
mod tree;
mod workers;

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::{
    Failure, GroupId, Host, TaskId,
    event::{Act, Event},
    gate::Phase,
    ledger::Ledger,
    record::{CALL, CREATION, ENTERED},
    shared::Shared,
    token::Visitor,
};

pub(crate) use self::{actors::Actor, estimates::place as estimate_place};
use self::{
    estimates::Estimates,
    groups::Group,
    lanes::Lanes,
    workers::{Bits, Feeders, Pool, Worker},
};

/// What the host is to be told; of a turn in which several tasks ended, too, without asking for memory.
pub(crate) type Acts<H> = SmallVec<[Act<H>; 16]>;

/// See the module.
pub(crate) struct State<H: Host> {
    /// What came of the turn so far; its room is used again.
    pub(crate) acts: Vec<Act<H>>,
    pub(crate) visitors: Vec<Visitor>,
    free: Ledger,
    /// What would be free if no task ran: all but what actors and groups hold.
    attainable: Ledger,
    lanes: Lanes,
    pools: Vec<Pool>,
    workers: Vec<Option<Worker>>,
    workers_len: usize,
    /// In how many of them actors live.
    housed: usize,
    /// Workers with room for one more task, by the shape of their lease.
    feeders: Vec<Feeders>,
    /// Workers with tasks behind the running one.
    behind: Bits,
    behind_len: usize,
    /// Workers whose task waits.
    blocked_len: usize,
    /// Leases that end with their tasks.
    task_leases: usize,
    groups: Vec<Option<Group>>,
    /// Groups that wait for their resources.
    unreserved: VecDeque<GroupId>,
    /// Groups with ready tasks, by index.
    busy_groups: VecDeque<u32>,
    actors: Vec<Option<Actor<H::Cause>>>,
    /// A number for each task that became ready or was pushed.
    order: u64,
    /// How many tasks were ever placed.
    placed: u64,
    /// Until so many were placed, several jobs share the workers.
    shared_until: u64,
    estimates: Estimates,
    /// Something was freed: what waits may go on.
    dirty: bool,
    /// Some worker's queue was full.
    any_full: bool,
}

impl<H: Host> State<H> {
    pub(crate) fn new(shared: &Shared<H>) -> Self {
        State {
            acts: Vec::new(),
            visitors: Vec::new(),
            free: shared.kinds.total.clone(),
            attainable: shared.kinds.total.clone(),
            lanes: Lanes::default(),
            pools: Vec::new(),
            workers: (0..shared.config.max_workers).map(|_| None).collect(),
            workers_len: 0,
            housed: 0,
            feeders: Vec::new(),
            behind: Bits::new(shared.config.max_workers),
            behind_len: 0,
            blocked_len: 0,
            task_leases: 0,
            groups: Vec::new(),
            unreserved: VecDeque::new(),
            busy_groups: VecDeque::new(),
            actors: Vec::new(),
            order: 0,
            placed: 0,
            shared_until: 0,
            estimates: Estimates::default(),
            dirty: false,
            any_full: false,
        }
    }

    /// Takes an event.
    pub(crate) fn apply(&mut self, shared: &Shared<H>, event: Event) {
        match event {
            Event::New { task, ready } => self.enter(shared, task, ready),
            Event::Released(task) => self.released(shared, task),
            Event::Failed(task, object) => self.failed(shared, task, object),
            Event::Completed { worker, task, attempt, outcome, ran_ns } => {
                self.complete(shared, worker, task, (attempt, outcome, ran_ns));
            }
            Event::Cancel(task, mode) => drop(self.cancel(shared, task, mode)),
            Event::Expected(pool, how_many) => {
                let pool = self.pool(pool);
                self.pools[pool].starting += how_many;
            }
            Event::Joined(worker, pool) => self.join(worker, pool),
            Event::SpawnFailed(pool, how_many) => {
                let pool = self.pool(pool);
                let starting = &mut self.pools[pool].starting;
                *starting = starting.saturating_sub(how_many);
            }
            Event::Blocked(worker) => self.block(shared, worker.0),
            Event::Unblocked(worker) => self.unblock(shared, worker.0),
            Event::Dispatch => self.try_full_queues_again(shared),
            Event::Actor(actor) => self.new_actor(shared, *actor),
            Event::KillActor { actor, restart } => self.kill(shared, actor, restart),
            Event::ExitActor(actor) => {
                self.end_actor(shared, actor, crate::DeathReason::Exited);
            }
            Event::ReleaseActor { actor, closes } => self.release(shared, actor, closes),
            Event::ForgetActor(actor) => self.forget(shared, actor),
            Event::Group { shape, job, detached, by } => {
                let id = shape.id;
                self.new_group(shape, job, detached);
                if !detached && by.is_some_and(|by| self.runs_for_ended_job(shared, by)) {
                    self.remove_group(shared, id);
                }
            }
            Event::RemoveGroup(group) => self.remove_group(shared, group),
            Event::Review(now) => self.review(shared, now),
            Event::Visit(visitor) => self.visitors.push(visitor),
        }
    }

    // --- the way of a task -------------------------------------------------------------------------------

    /// A task was submitted.
    fn enter(&mut self, shared: &Shared<H>, task: TaskId, ready: bool) {
        // It may have been cancelled before anybody told of it.
        let Some((record, _)) = shared.records.live(task) else { return };
        let mut is_late = false;
        if record.parent.get() != 0 {
            record.mark(ENTERED);
            is_late = self.adopt(shared, task, record) && !record.is(CALL | CREATION);
        }
        if !ready && record.group.get() != 0 {
            self.group_waits(record, 1);
        }
        if is_late {
            self.fail(shared, task, Failure::JobEnded);
        } else if record.is(CALL) {
            self.admit(shared, task, ready);
        } else if ready {
            self.enqueue(shared, task);
        }
    }

    /// What a task waited for is all there.
    fn released(&mut self, shared: &Shared<H>, task: TaskId) {
        let Some((record, Phase::Released)) = shared.records.live(task) else { return };
        if record.group.get() != 0 {
            self.group_waits(record, -1);
        }
        if record.is(CALL) {
            self.call_released(shared, task);
        } else {
            self.enqueue(shared, task);
        }
    }

    /// An object that a task waited for failed.
    fn failed(&mut self, shared: &Shared<H>, task: TaskId, object: crate::ObjectKey) {
        let Some((record, Phase::Failed)) = shared.records.live(task) else { return };
        if record.group.get() != 0 {
            self.group_waits(record, -1);
        }
        if record.is(CREATION) {
            let actor = crate::ActorId::from_bits(record.actor.get());
            let cause = shared.guarded(None, || Some(shared.host.cause(object)));
            let reason = cause.map_or(crate::DeathReason::CreationFailed, |cause| {
                crate::DeathReason::Dependency { object, cause }
            });
            return self.end_actor(shared, actor, reason);
        }
        if record.is(CALL) {
            self.leave_line(shared, task);
        }
        self.end(shared, task, Act::FailByDependency(task, object));
    }

    /// Ends a task that is nowhere, or waits for objects.
    fn end(&mut self, shared: &Shared<H>, task: TaskId, act: Act<H>) {
        let Some((record, phase)) = shared.records.live(task) else { return };
        if phase == Phase::Waiting {
            // Whoever releases it at this moment finds that it has ended.
            let (_, generation) = crate::ids::split(task.to_bits());
            if record.gate.cancel(generation) && record.group.get() != 0 {
                self.group_waits(record, -1);
            }
        }
        if record.is(ENTERED) {
            self.disown(shared, task, record);
        }
        self.orphan(shared, record);
        record.gate.end();
        if record.is(CALL) {
            let actor = crate::ActorId::from_bits(record.actor.get());
            if let Some((gate, generation)) = shared.actor(actor) {
                gate.end(generation);
            }
            self.acts.push(act);
            return self.end_if_unused(shared, actor);
        }
        self.acts.push(act);
    }

    /// Ends a task that is nowhere with an error.
    fn fail(&mut self, shared: &Shared<H>, task: TaskId, why: Failure<H::Cause>) {
        self.end(shared, task, Act::Fail(task, Box::new(why)));
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}
