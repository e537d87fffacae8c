//! Cancelling: a task, what it submitted, a caller's calls, a job.
//!
//! What has not begun is ended at once, wherever it is: it is taken out of its lane or its actor's mailbox, or
//! back from its worker's queue; one that waits for objects races with whoever releases it, by its gate. An event
//! that was under way for it finds that it has ended. What has begun is its worker's: the host is asked to
//! interrupt it, or to kill the worker, and it is not run again either way.

use super::{State, workers::Doom};
use crate::{
    ActorId, ActorState, CallerId, CancelMode, Cancelled, DeathReason, Failure, Host, JobId,
    TaskId, Withdrawn, WorkerId,
    event::Act,
    gate::Phase,
    ids::split,
    record::{CALL, CANCELLED, CREATION, JOB_ENDED, Place, Record},
    shared::Shared,
};

impl<H: Host> State<H> {
    /// Cancels a task, and with `recursive` what it submitted, and so on.
    pub(crate) fn cancel(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        mode: CancelMode,
    ) -> Cancelled {
        self.cancel_seeing(shared, task, mode, |_| {})
    }

    /// The same; `begun` sees each that may have begun.
    pub(crate) fn cancel_seeing(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        mode: CancelMode,
        mut begun: impl FnMut(TaskId),
    ) -> Cancelled {
        let mut children = if mode.recursive { self.children(shared, task) } else { Vec::new() };
        let first = self.cancel_one(shared, task, mode.force, &mut begun);
        while let Some(child) = children.pop() {
            children.extend(self.children(shared, child));
            let _ = self.cancel_one(shared, child, mode.force, &mut begun);
        }
        first
    }

    fn cancel_one(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        force: bool,
        begun: &mut impl FnMut(TaskId),
    ) -> Cancelled {
        let Some((record, _)) = shared.records.live(task) else { return Cancelled::Unknown };
        // Of the record nothing is known any more once it has ended.
        let is_again = record.attempt.get() > 0;
        let cancelled = self.cancel_record(shared, task, record, force);
        if is_again || matches!(cancelled, Cancelled::Running { .. }) {
            begun(task);
        }
        cancelled
    }

    fn cancel_record(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        record: &Record<H::Spec>,
        force: bool,
    ) -> Cancelled {
        if record.is(CREATION) {
            return self.cancel_creation(shared, record);
        }
        if self.abandon(shared, task, || Failure::Cancelled) {
            return Cancelled::Unstarted;
        }
        let worker = WorkerId(record.worker.get());
        self.stop_running(shared, task, record, force && !record.is(CALL));
        Cancelled::Running { worker }
    }

    /// Gives a task that is ready and has not begun back to the host.
    pub(crate) fn withdraw(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        look: impl FnOnce(&H::Spec),
    ) -> Withdrawn {
        let Some((record, phase)) = shared.records.live(task) else { return Withdrawn::No };
        if record.is(CREATION) || record.is(CALL) {
            return Withdrawn::No;
        }
        if phase == Phase::Waiting {
            self.look(record, look);
            return Withdrawn::Waiting;
        }
        if matches!(record.place(), Place::Nowhere) {
            return Withdrawn::No;
        }
        if self.abandon(shared, task, || Failure::Withdrawn) {
            Withdrawn::Yes
        } else {
            Withdrawn::No
        }
    }

    fn cancel_creation(&mut self, shared: &Shared<H>, record: &Record<H::Spec>) -> Cancelled {
        let actor = ActorId::from_bits(record.actor.get());
        let state = shared.actor(actor).and_then(|(gate, generation)| gate.state(generation));
        if !matches!(state, Some(ActorState::Pending | ActorState::Restarting)) {
            return Cancelled::Unknown;
        }
        let (begun, worker) = (record.place() == Place::Worker, WorkerId(record.worker.get()));
        self.kill_for(shared, actor, DeathReason::Cancelled);
        if begun { Cancelled::Running { worker } } else { Cancelled::Unstarted }
    }

    /// Ends a task or a call that has not begun; `false` when it has.
    pub(super) fn abandon(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        why: impl FnOnce() -> Failure<H::Cause>,
    ) -> bool {
        let Some((record, _)) = shared.records.live(task) else { return false };
        let (index, _) = split(task.to_bits());
        match record.place() {
            Place::Nowhere => {}
            Place::Lane => self.leave_lane(shared, index),
            Place::Line => self.leave_line(shared, task),
            Place::Worker => {
                let worker = record.worker.get();
                let ticket = record.ticket.get();
                if !shared.guarded(false, || shared.host.take_back(WorkerId(worker), ticket)) {
                    return false;
                }
                if let Some(known) = self.worker(worker) {
                    known.queue.remove(&shared.records, index);
                    known.expected_ns -= u64::from(record.expected_ns.get());
                }
                self.refit(shared, worker);
                self.rest_if_empty(shared, worker);
            }
        }
        self.fail(shared, task, why());
        true
    }

    /// Stops a task that has begun.
    fn stop_running(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        record: &Record<H::Spec>,
        kill: bool,
    ) {
        let worker = record.worker.get();
        record.mark(CANCELLED);
        if !kill {
            let attempt = record.attempt.get();
            self.acts.push(Act::Interrupt(WorkerId(worker), task, attempt));
            return;
        }
        // What waits behind it is not to die with it.
        if let Some(known) = self.worker(worker) {
            known.doomed = Some(Doom::Cancelled);
        }
        self.refit(shared, worker);
        self.retrieve(shared, worker, 1);
        shared.kill(WorkerId(worker));
    }

    /// Cancels a call that has not begun, if it is of a caller that is gone.
    pub(crate) fn abandon_if_by(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        record: &Record<H::Spec>,
        caller: CallerId,
    ) {
        if record.is(CALL) && CallerId(record.caller.get()).in_order() == caller {
            let _ = self.abandon(shared, task, || Failure::Cancelled);
        }
    }

    /// Whether a worker runs a task that only has not ended yet, unlike its job.
    pub(super) fn runs_for_ended_job(&self, shared: &Shared<H>, worker: WorkerId) -> bool {
        let known = self.workers.get(usize::from(worker.0)).and_then(Option::as_ref);
        let first = known.and_then(|known| known.queue.first());
        first.is_some_and(|first| shared.records.at(first).is(JOB_ENDED))
    }

    /// A job is over: what workers have of it ends, and its actors and groups, and none of its tasks is placed any
    /// more.
    ///
    /// Its other tasks end in turns ([`Self::abandon_if_of`]), of which there may be millions. What those ask for that
    /// run is refused from here on, so that each of them comes before its part.
    pub(crate) fn end_job(&mut self, shared: &Shared<H>, job: JobId) {
        self.lanes.close(job);
        self.dirty = true;
        let queues = self.workers.iter().flatten().map(|worker| &worker.queue);
        let queued: Vec<u32> = queues.flat_map(|queue| queue.iter(&shared.records)).collect();
        for index in queued {
            self.abandon_if_of(shared, shared.records.id(index), shared.records.at(index), job);
        }
        let mine = |actor: &&super::Actor<H::Cause>| actor.job == job && !actor.detached;
        let actors: Vec<ActorId> =
            self.actors.iter().flatten().filter(mine).map(|actor| actor.id).collect();
        for actor in actors {
            self.kill_for(shared, actor, DeathReason::JobEnded);
        }
        let groups: Vec<_> = self
            .groups
            .iter()
            .flatten()
            .filter(|group| group.job == job && !group.detached)
            .map(|group| group.shape.id)
            .collect();
        for group in groups {
            self.remove_group(shared, group);
        }
    }

    /// No task is left of a job that was over. What its detached actors ask for is placed as ever.
    pub(crate) fn job_is_over(&mut self, shared: &Shared<H>, job: JobId) {
        self.lanes.reopen(shared, job);
        self.dirty = true;
    }

    /// Ends a task, or has it stopped, if it is of a job that is over.
    pub(crate) fn abandon_if_of(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        record: &Record<H::Spec>,
        job: JobId,
    ) {
        let is_housed = record.is(CALL) || record.is(CREATION);
        if is_housed || record.job.get() != job.0 || record.is(JOB_ENDED) {
            return;
        }
        if !self.abandon(shared, task, || Failure::JobEnded) && shared.records.live(task).is_some()
        {
            record.mark(JOB_ENDED);
            self.stop_running(shared, task, record, false);
        }
    }
}
