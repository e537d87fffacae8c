//! What the runtime tells the scheduler: of workers, of what nobody wants any more, of groups and of actors. Each is
//! an event for the owner of the token.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use crate::{
    ActorId, ActorState, CallerId, CancelMode, Cancelled, DeathReason, GroupId, GroupState, Host,
    JobId, NewGroup, Outcome, PoolId, Refusal, Scheduler, TaskId, Withdrawn, WorkerId,
    actor_gate::NOWHERE,
    event::Event,
    record::Record,
    shared::{MAX_GATES, Shared},
    state::State,
};

impl<H: Host> Scheduler<H> {
    /// A worker says how an attempt ended, and how many nanoseconds it ran; zero when it does not know. Of an
    /// attempt that nobody waits for any more it is ignored.
    #[inline]
    pub fn completed(
        &self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        outcome: Outcome,
        ran_ns: u64,
    ) {
        self.post(Event::Completed { worker, task, attempt, outcome, ran_ns });
    }

    /// Whether tasks are queued behind those that run, as of a moment ago. Lock-free.
    #[inline]
    pub fn is_queueing(&self) -> bool {
        self.shared.is_queueing.load(Relaxed)
    }

    /// Whether tasks are queued behind a busy worker while another is idle, as they are when they were expected
    /// to be quick, and nobody knows better yet: [`Scheduler::review`] is to be called in a while.
    /// [`Host::review_wanted`] says when this comes to be so. Lock-free.
    #[inline]
    pub fn wants_review(&self) -> bool {
        self.shared.wants_review.load(Relaxed)
    }

    /// Looks whether what was expected to be quick is: what waits behind a task that has run for longer than a
    /// wakeup costs goes to idle workers. Answers when to look again, if at all.
    pub fn review(&self, now: Instant) -> Option<Duration> {
        self.post(Event::Review(now));
        self.wants_review().then_some(self.shared.config.wake_cost)
    }

    /// Workers were started without being asked for.
    pub fn workers_expected(&self, pool: PoolId, how_many: usize) {
        self.post(Event::Expected(pool, how_many));
    }

    /// A worker is ready for work. Of a worker that had its id before, [`Scheduler::worker_left`] was told.
    pub fn worker_joined(&self, worker: WorkerId, pool: PoolId) {
        self.post(Event::Joined(worker, pool));
    }

    /// Workers that were asked for will not come.
    pub fn spawn_failed(&self, pool: PoolId, how_many: usize) {
        self.post(Event::SpawnFailed(pool, how_many));
    }

    /// A worker is gone: what it had not begun goes to others, what it ran is run again or fails. When this
    /// returns the host is not asked about the worker's queue any more.
    pub fn worker_left(&self, worker: WorkerId, cause: H::Cause) {
        self.visit(|state, shared| state.leave(shared, worker, &cause));
    }

    /// A worker's task waits for something: its cpu, and what is queued behind it, go to others.
    pub fn blocked(&self, worker: WorkerId) {
        self.post(Event::Blocked(worker));
    }

    /// A worker's task goes on.
    pub fn unblocked(&self, worker: WorkerId) {
        self.post(Event::Unblocked(worker));
    }

    /// Dispatches what can be dispatched: what a full queue held up is tried again.
    pub fn dispatch(&self) {
        self.post(Event::Dispatch);
    }

    /// Tasks that are ready and in no worker's queue.
    #[inline]
    pub fn backlog(&self) -> usize {
        self.shared.backlog.load(Relaxed)
    }

    // --- cancelling --------------------------------------------------------------------------------------

    /// Cancels a task or a call. What has not begun fails with [`Failure::Cancelled`](crate::Failure::Cancelled); what is running is
    /// told to stop by [`Host::interrupt`], or by force loses its worker and is not run again.
    pub fn cancel(&self, task: TaskId, mode: CancelMode) -> Cancelled {
        if !self.is_telling()
            && let Some(mut owner) = self.token.enter()
        {
            let cancelled = owner.state().cancel(&self.shared, task, mode);
            self.finish(owner);
            return cancelled;
        }
        if self.shared.records.live(task).is_none() {
            return Cancelled::Unknown;
        }
        self.post(Event::Cancel(task, mode));
        Cancelled::Underway
    }

    /// The same for who has to know that all has been said when it returns: waits for its turn.
    ///
    /// Not from within [`Host`].
    pub fn cancel_in_turn(&self, task: TaskId, mode: CancelMode) -> Cancelled {
        if self.shared.records.live(task).is_none() {
            return Cancelled::Unknown;
        }
        self.visit(|state, shared| state.cancel(shared, task, mode))
    }

    /// The same with what the task submitted and has not ended, and what that submitted, and so on. Gives those of them
    /// that may have begun, now or in an earlier attempt: only they can have done anything that is unknown here.
    ///
    /// Not from within [`Host`].
    pub fn cancel_with_all(&self, task: TaskId, force: bool) -> Vec<TaskId> {
        let mut begun = Vec::new();
        let mode = CancelMode { force, recursive: true };
        // In one turn: nothing begins in between, which would be cancelled and not be given.
        self.visit(|state, shared| {
            let _ = state.cancel_seeing(shared, task, mode, |task| begun.push(task));
        });
        begun
    }

    /// Takes a task that is ready and has not begun out of the schedule, for the host to have it run by other
    /// means; of one that waits for objects `look` sees the spec.
    ///
    /// Not from within [`Host`].
    pub fn withdraw(&self, task: TaskId, look: impl FnOnce(&H::Spec)) -> Withdrawn {
        self.visit(|state, shared| state.withdraw(shared, task, look))
    }

    /// A caller is gone: its calls that have not begun are cancelled. As [`Scheduler::job_ended`] it waits for its turn.
    ///
    /// Not from within [`Host`].
    pub fn caller_left(&self, caller: CallerId) {
        self.each_in_turns(|state, shared, task, record| {
            state.abandon_if_by(shared, task, record, caller);
        });
    }

    /// A job is over: its tasks that have not begun fail, those that run are interrupted, its actors and
    /// groups end unless they are detached.
    ///
    /// Waits for its turn, once for each some thousand tasks that there are: others have theirs in between, and of this
    /// job nothing is begun meanwhile. Not from within [`Host`].
    pub fn job_ended(&self, job: JobId) {
        self.visit(|state, shared| state.end_job(shared, job));
        self.each_in_turns(|state, shared, task, record| {
            state.abandon_if_of(shared, task, record, job);
        });
        self.visit(|state, shared| state.job_is_over(shared, job));
    }

    /// Goes through all tasks, some thousand of them in a turn.
    fn each_in_turns(
        &self,
        mut see: impl FnMut(&mut State<H>, &Shared<H>, TaskId, &Record<H::Spec>),
    ) {
        let mut next = Some(0);
        while let Some(first) = next {
            next = self.visit(|state, shared| {
                let (part, next) = shared.records.part(first);
                part.for_each(|(task, record, _)| see(state, shared, task, record));
                next
            });
        }
    }

    // --- groups ------------------------------------------------------------------------------------------

    /// Reserves a group's bundles, all of them as soon as all are free; [`Host::group_changed`] tells when.
    ///
    /// # Errors
    /// When the machine will never have as much.
    pub fn create_group(&self, new: NewGroup<'_>) -> Result<GroupId, Refusal> {
        let kinds = &self.shared.kinds;
        let needs: Box<[_]> =
            new.bundles.iter().map(|bundle| kinds.need(bundle)).collect::<Result<_, _>>()?;
        if new.bundles.len() > 1 {
            let mut all = kinds.total.clone();
            if needs.iter().any(|need| all.take(need).is_none()) {
                let demands: Vec<String> = new.bundles.iter().map(ToString::to_string).collect();
                let (demand, exists) = (demands.join(" | "), kinds.offer());
                return Err(Refusal::Unschedulable { demand, exists });
            }
        }
        let Some((index, gate)) = self.shared.groups.take() else {
            return Err(Refusal::TooManyGroups { limit: MAX_GATES });
        };
        let shape = gate.publish(index, needs);
        let id = shape.id;
        self.post(Event::Group { shape, job: new.job, detached: new.detached, by: new.by });
        Ok(id)
    }

    /// Removes a group: what is queued in it fails with [`Failure::GroupRemoved`](crate::Failure::GroupRemoved), what runs or lives in it
    /// is killed, and its resources are free when that is gone.
    pub fn remove_group(&self, group: GroupId) {
        self.post(Event::RemoveGroup(group));
    }

    /// Where a group stands; `None` when it is gone. Waits for its turn.
    pub fn group_state(&self, group: GroupId) -> Option<GroupState> {
        self.visit(|state, _| state.group_state(group))
    }

    // --- actors ------------------------------------------------------------------------------------------

    /// Kills an actor's process; with `restart` it is constructed again if its restarts allow.
    pub fn kill_actor(&self, actor: ActorId, restart: bool) {
        self.post(Event::KillActor { actor, restart });
    }

    /// An actor's worker said that it ends on purpose.
    pub fn exit_actor(&self, actor: ActorId) {
        self.post(Event::ExitActor(actor));
    }

    /// The last handle of an actor is gone: it ends when its calls are done.
    pub fn release_actor(&self, actor: ActorId) {
        self.post(Event::ReleaseActor { actor, closes: false });
    }

    /// An actor takes no further call, whoever has a handle: it ends when those that it has are done.
    pub fn close_actor(&self, actor: ActorId) {
        self.post(Event::ReleaseActor { actor, closes: true });
    }

    /// Forgets a dead actor: it is unknown from here on. Until then its reason is kept.
    pub fn forget_actor(&self, actor: ActorId) {
        self.post(Event::ForgetActor(actor));
    }

    /// What an actor is about. Lock-free.
    pub fn actor_state(&self, actor: ActorId) -> Option<ActorState> {
        let (gate, generation) = self.shared.actor(actor)?;
        gate.state(generation)
    }

    /// The worker in which an actor lives. Lock-free.
    pub fn actor_worker(&self, actor: ActorId) -> Option<WorkerId> {
        let (gate, generation) = self.shared.actor(actor)?;
        gate.state(generation)?;
        let worker = gate.worker.get();
        (worker != NOWHERE).then_some(WorkerId(worker as u16))
    }

    /// The group that captures what the actor in this worker submits, if there is such an actor and group. Lock-free.
    ///
    /// It is what [`crate::Placement::Inherit`] finds by a task's parent, for calls that the scheduler does not know.
    pub fn captured_by(&self, worker: WorkerId) -> Option<GroupId> {
        let resident = self.shared.residents.get(usize::from(worker.0))?.get();
        // An actor that was forgotten since is of another generation; number 0 is nobody's.
        let (gate, generation) = self.shared.actor(ActorId::from_bits(resident))?;
        gate.state(generation)?;
        let group = GroupId::from_bits(gate.group.get());
        (gate.captures.get() != 0 && group.to_bits() != 0).then_some(group)
    }

    /// How often an actor was restarted. Lock-free.
    pub fn actor_restarts(&self, actor: ActorId) -> Option<u32> {
        let (gate, generation) = self.shared.actor(actor)?;
        gate.state(generation)?;
        Some(gate.restarts.get())
    }

    /// Why an actor is dead. Waits for its turn.
    pub fn actor_reason(&self, actor: ActorId) -> Option<DeathReason<H::Cause>> {
        self.visit(|state, _| state.reason(actor))
    }
}
