//! Actors: from their creation, a task like others but for the worker that it keeps, through their incarnations
//! to their end.
//!
//! | an actor's worker dies | while restarts are left | when none is left, or it was ended |
//! | --- | --- | --- |
//! | call begun | fails as unavailable, or is run again if it may be | fails, the actor is dead |
//! | call handed to the worker, not begun | waits for the next incarnation | fails, the actor is dead |
//! | call in the mailbox, or later | waits for the next incarnation | fails, the actor is dead |

use super::{State, mailbox::Mailbox};
use crate::{
    ActorId, ActorState, DeathReason, Failure, GroupId, Host, JobId, Outcome, TaskId, WorkerId,
    actor_gate::NOWHERE,
    event::{Act, NewActorState},
    gate::Phase,
    ids::split,
    record::{CALL, CREATION, Place, Record},
    shared::Shared,
};

/// An actor whose workers died so many times in a row before they had begun to construct it is dead. None of that need be
/// its own doing, so it costs no restart; but what takes down every worker that it is given is never constructed.
pub(crate) const MOST_UNBEGUN: u32 = 10;

/// An actor.
pub(crate) struct Actor<C> {
    pub(crate) id: ActorId,
    creation: TaskId,
    pub(crate) job: JobId,
    pub(crate) detached: bool,
    pub(crate) group: Option<GroupId>,
    pub(crate) state: ActorState,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) restarts: u32,
    max_restarts: u32,
    /// How many workers in a row died before they had begun to construct it.
    unbegun: u32,
    pub(super) max_handed: usize,
    pub(super) out_of_order: bool,
    pub(super) mailbox: Mailbox,
    /// Why it is dead, or ends.
    pub(crate) reason: Option<DeathReason<C>>,
    /// Nobody can call any more: it ends when its calls are done.
    released: bool,
    /// It ends in good order, and begins no call any more.
    turned_away: bool,
    /// It lived at least once, so that what its creation makes is sealed.
    lived: bool,
}

impl<C: Clone> Actor<C> {
    /// Why it takes no call any more, though somebody made one. Who is killed takes them until it is dead, so that
    /// whoever was told of that is refused from then on.
    pub(super) fn refuses(&self) -> Option<DeathReason<C>> {
        let is_over = self.state == ActorState::Dead || self.turned_away;
        is_over.then(|| self.reason.clone().unwrap_or(DeathReason::Killed))
    }
}

impl<C> Actor<C> {
    /// Where it takes calls, when it does.
    pub(super) fn open(&self) -> Option<WorkerId> {
        self.worker.filter(|_| self.state == ActorState::Alive && self.reason.is_none())
    }
}

impl<H: Host> State<H> {
    pub(super) fn new_actor(&mut self, shared: &Shared<H>, new: NewActorState) {
        let (index, _) = split(new.id.to_bits());
        let Some((gate, _)) = shared.actor(new.id) else { return };
        if self.actors.len() <= index as usize {
            self.actors.resize_with(index as usize + 1, || None);
        }
        self.actors[index as usize] = Some(Actor {
            id: new.id,
            creation: new.creation,
            job: JobId(gate.job.get()),
            detached: new.detached,
            group: Some(gate.group.get()).filter(|&group| group != 0).map(GroupId::from_bits),
            state: ActorState::Pending,
            worker: None,
            restarts: 0,
            max_restarts: new.max_restarts,
            unbegun: 0,
            max_handed: new.max_handed,
            out_of_order: new.out_of_order,
            mailbox: Mailbox::default(),
            reason: None,
            released: false,
            turned_away: false,
            lived: false,
        });
    }

    pub(super) fn actor(&mut self, id: ActorId) -> Option<&mut Actor<H::Cause>> {
        let actor = self.actors.get_mut(split(id.to_bits()).0 as usize)?.as_mut()?;
        (actor.id == id).then_some(actor)
    }

    /// Why an actor is dead.
    pub(crate) fn reason(&mut self, id: ActorId) -> Option<DeathReason<H::Cause>> {
        self.actor(id)?.reason.clone()
    }

    fn change(&mut self, shared: &Shared<H>, id: ActorId, to: ActorState) {
        let Some(actor) = self.actor(id) else { return };
        actor.state = to;
        let reason = (to == ActorState::Dead).then(|| actor.reason.clone()).flatten();
        if let Some((gate, _)) = shared.actor(id) {
            gate.change(to);
        }
        shared.guarded((), || shared.host.actor_changed(id, to, reason.as_ref()));
    }

    fn house(&mut self, shared: &Shared<H>, id: ActorId, worker: Option<WorkerId>) {
        let Some(actor) = self.actor(id) else { return };
        actor.worker = worker;
        let restarts = actor.restarts;
        if let Some((gate, _)) = shared.actor(id) {
            gate.worker.set(worker.map_or(NOWHERE, |worker| u32::from(worker.0)));
            gate.restarts.set(restarts);
        }
    }

    /// Whether another process would take the place of the actor's, should that die.
    pub(super) fn can_restart(&self, id: ActorId) -> bool {
        let known = self.actors.iter().flatten().find(|actor| actor.id == id);
        known.is_some_and(|actor| actor.reason.is_none() && actor.restarts < actor.max_restarts)
    }

    /// The creation was handed to a worker, which is the actor's from now on.
    pub(super) fn moved_in(&mut self, shared: &Shared<H>, id: ActorId, worker: WorkerId) {
        if let Some(known) = self.worker(worker.0) {
            let was = known.actor.replace(id);
            self.housed += usize::from(was.is_none());
            shared.set_resident(worker.0, Some(id));
        }
        self.refit(shared, worker.0);
        self.house(shared, id, Some(worker));
    }

    /// The constructor has ended.
    pub(super) fn constructed(
        &mut self,
        shared: &Shared<H>,
        creation: TaskId,
        worker: WorkerId,
        outcome: Outcome,
    ) {
        let Some((record, _)) = shared.records.live(creation) else { return };
        let id = ActorId::from_bits(record.actor.get());
        let Some(actor) = self.actor(id) else { return };
        actor.unbegun = 0;
        if outcome == Outcome::Done {
            actor.lived = true;
            // One that was ended meanwhile is on its way out already.
            if actor.reason.is_none() {
                self.change(shared, id, ActorState::Alive);
                self.serve(shared, id);
                self.end_if_unused(shared, id);
            }
            return;
        }
        // Its process is as good as before: it was no actor yet. But it may be under the axe already.
        let doomed = actor.reason.is_some();
        actor.reason.get_or_insert(DeathReason::CreationFailed);
        if doomed {
            return;
        }
        self.house(shared, id, None);
        self.free_of_actor(shared, worker.0);
        let act = match outcome {
            Outcome::Failed { retry: true } => {
                let attempt = record.attempt.get();
                Act::Fail(creation, Box::new(Failure::RetriesSpent { attempt }))
            }
            Outcome::Cancelled => Act::Fail(creation, Box::new(Failure::Cancelled)),
            _ => Act::Finish(creation),
        };
        self.end(shared, creation, act);
        self.bury(shared, id);
    }

    /// The actor's process is gone, with these calls handed to it, each begun or not.
    pub(super) fn lose_actor(
        &mut self,
        shared: &Shared<H>,
        id: ActorId,
        queue: Vec<(u32, bool)>,
        cause: &H::Cause,
    ) {
        self.house(shared, id, None);
        let Some(actor) = self.actor(id) else { return };
        // Nothing was lost with a process that had not begun to construct it.
        let creation = actor.creation;
        let unbegun =
            queue.iter().any(|&(index, begun)| !begun && shared.records.id(index) == creation);
        actor.unbegun = if unbegun { actor.unbegun + 1 } else { 0 };
        let may = match unbegun {
            true => actor.unbegun < MOST_UNBEGUN,
            false => actor.restarts < actor.max_restarts,
        };
        let again = actor.reason.is_none() && !actor.released && may;
        if again {
            actor.restarts += u32::from(!unbegun);
        } else if unbegun && !may {
            let (workers, cause) = (actor.unbegun, cause.clone());
            actor.reason.get_or_insert(DeathReason::NeverBegun { workers, cause });
        } else {
            let restarts = actor.restarts;
            actor.reason.get_or_insert(DeathReason::Crashed { restarts, cause: cause.clone() });
        }
        let reason = actor.reason.clone();
        // From the last to the first, since each goes before those that are back already.
        for &(index, begun) in queue.iter().rev() {
            let task = shared.records.id(index);
            if task == creation {
                continue;
            }
            let record = shared.records.at(index);
            let attempt = record.attempt.get();
            let may = attempt < record.max_retries.get() && !record.is(crate::record::CANCELLED);
            if again && (!begun || may) {
                record.attempt.set(attempt + u16::from(begun));
                shared.count_lost(begun);
                self.call_again(shared, task);
                continue;
            }
            let why = match &reason {
                _ if record.is(crate::record::CANCELLED) => Failure::Cancelled,
                Some(reason) => Failure::ActorDied { actor: id, reason: reason.clone() },
                None => Failure::ActorUnavailable { actor: id, cause: cause.clone() },
            };
            self.fail(shared, task, why);
        }
        if !again {
            return self.bury(shared, id);
        }
        if !unbegun {
            self.change(shared, id, ActorState::Restarting);
        }
        let Some((record, _)) = shared.records.live(creation) else { return };
        if !unbegun {
            // The attempt is the incarnation; the last two numbers are not a worker's to use.
            record.attempt.set(record.attempt.get().saturating_add(1).min(u16::MAX - 2));
        }
        record.set_place(Place::Nowhere);
        self.enqueue(shared, creation);
    }

    // --- the end -----------------------------------------------------------------------------------------

    /// Somebody kills it; with `restart` it is constructed again if its restarts allow.
    pub(super) fn kill(&mut self, shared: &Shared<H>, id: ActorId, restart: bool) {
        if !restart {
            return self.kill_for(shared, id, DeathReason::Killed);
        }
        if let Some(worker) = self.actor(id).and_then(|actor| actor.worker) {
            shared.kill(worker);
        }
    }

    /// Kills an actor for a reason.
    pub(super) fn kill_for(
        &mut self,
        shared: &Shared<H>,
        id: ActorId,
        reason: DeathReason<H::Cause>,
    ) {
        let Some(actor) = self.actor(id) else { return };
        if actor.state == ActorState::Dead {
            return;
        }
        actor.reason.get_or_insert(reason);
        match actor.worker {
            Some(worker) => shared.kill(worker),
            None => self.bury(shared, id),
        }
    }

    /// Ends an actor in good order, for a reason.
    pub(super) fn end_actor(
        &mut self,
        shared: &Shared<H>,
        id: ActorId,
        reason: DeathReason<H::Cause>,
    ) {
        let Some(actor) = self.actor(id) else { return };
        if actor.reason.is_some() {
            return;
        }
        actor.reason = Some(reason);
        match actor.worker {
            Some(worker) => {
                self.turn_away(shared, id, worker);
                shared.stop(worker);
            }
            None => self.bury(shared, id),
        }
    }

    /// Fails the calls that an actor on its way out has not begun. Its worker may be waiting for what waits for
    /// them: calls that it made itself.
    fn turn_away(&mut self, shared: &Shared<H>, id: ActorId, worker: WorkerId) {
        let mut calls = self.unbegun(shared, id);
        if let Some(actor) = self.actor(id) {
            actor.turned_away = true;
        }
        if let Some(known) = self.worker(worker.0) {
            calls.extend(known.queue.iter(&shared.records).map(|call| shared.records.id(call)));
        }
        for call in calls {
            let reason = self.reason(id).unwrap_or(DeathReason::Killed);
            let why = || Failure::ActorDied { actor: id, reason };
            // What its worker has claimed is for that to end.
            let _ = self.abandon(shared, call, why);
        }
    }

    /// The calls that no worker of the actor was handed, in the order in which they came; none is in its line any
    /// more.
    fn unbegun(&mut self, shared: &Shared<H>, id: ActorId) -> Vec<TaskId> {
        let Some(actor) = self.actor(id) else { return Vec::new() };
        let mut calls = actor.mailbox.empty(&shared.records);
        if actor.out_of_order && shared.actor(id).is_some_and(|(gate, _)| gate.unfinished() > 0) {
            // Those that wait for objects are in no line.
            let waits = |record: &Record<H::Spec>, phase| {
                phase == Phase::Waiting && record.is(CALL) && record.actor.get() == id.to_bits()
            };
            let all = shared.records.from(0).filter(|(_, record, phase)| waits(record, *phase));
            calls.extend(all.map(|(task, ..)| split(task.to_bits()).0));
        }
        calls.into_iter().map(|call| shared.records.id(call)).collect()
    }

    /// Its last handle is gone, or it `closes` to whoever has one.
    pub(super) fn release(&mut self, shared: &Shared<H>, id: ActorId, closes: bool) {
        let Some(actor) = self.actor(id) else { return };
        actor.released = true;
        if closes && let Some((gate, _)) = shared.actor(id) {
            gate.close();
        }
        self.end_if_unused(shared, id);
    }

    pub(super) fn end_if_unused(&mut self, shared: &Shared<H>, id: ActorId) {
        let Some(actor) = self.actor(id) else { return };
        if !actor.released || actor.state != ActorState::Alive {
            return;
        }
        if shared.actor(id).is_some_and(|(gate, _)| gate.unfinished() == 0) {
            self.end_actor(shared, id, DeathReason::NoHandles);
        }
    }

    /// An actor is dead for good: whoever still waits for it is told.
    fn bury(&mut self, shared: &Shared<H>, id: ActorId) {
        let Some(actor) = self.actor(id) else { return };
        if actor.state == ActorState::Dead {
            return;
        }
        let reason = actor.reason.get_or_insert(DeathReason::Killed).clone();
        let (creation, lived) = (actor.creation, actor.lived);
        let calls = self.unbegun(shared, id);
        self.change(shared, id, ActorState::Dead);
        for call in calls {
            let reason = reason.clone();
            self.fail(shared, call, Failure::ActorDied { actor: id, reason });
        }
        self.end_creation(shared, id, creation, lived, reason);
    }

    fn end_creation(
        &mut self,
        shared: &Shared<H>,
        id: ActorId,
        creation: TaskId,
        lived: bool,
        reason: DeathReason<H::Cause>,
    ) {
        let Some((record, _)) = shared.records.live(creation) else { return };
        let (index, _) = split(creation.to_bits());
        if record.place() == Place::Lane {
            self.leave_lane(shared, index);
        }
        let act = match reason {
            // What it made is sealed, or what its constructor failed with.
            _ if lived => Act::Finish(creation),
            DeathReason::CreationFailed => Act::Finish(creation),
            DeathReason::Dependency { object, .. } => Act::FailByDependency(creation, object),
            DeathReason::Cancelled => Act::Fail(creation, Box::new(Failure::Cancelled)),
            reason => Act::Fail(creation, Box::new(Failure::ActorDied { actor: id, reason })),
        };
        self.end(shared, creation, act);
    }

    /// Forgets a dead actor.
    pub(super) fn forget(&mut self, shared: &Shared<H>, id: ActorId) {
        if self.actor(id).is_none_or(|actor| actor.state != ActorState::Dead) {
            return;
        }
        let (index, _) = split(id.to_bits());
        self.actors[index as usize] = None;
        if shared.actors.get(index).is_some_and(crate::actor_gate::ActorGate::free) {
            shared.actors.give(index);
        }
    }

    /// Whether a record is the creation of an actor that lives, and not a task that waits.
    pub(super) fn is_housed(&self, record: &crate::record::Record<H::Spec>) -> bool {
        record.is(CREATION) && {
            let (index, _) = split(record.actor.get());
            let actor = self.actors.get(index as usize).and_then(Option::as_ref);
            actor.is_some_and(|actor| actor.state == ActorState::Alive)
        }
    }
}
