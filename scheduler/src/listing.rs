//! Listings and other questions about the whole. Each waits for its turn at the token, and is asked in portions,
//! so that nothing else waits for long: not for the hot path.

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    ActorId, ActorInfo, Cursor, GroupInfo, Host, Page, ResourceInfo, Scheduler, TaskId, TaskInfo,
    WorkerId, WorkerInfo, ids::split,
};

impl<H: Host> Scheduler<H> {
    /// At most `limit` tasks, each made into what is wanted of it. A page may be short, or empty, and not be the
    /// last one.
    pub fn tasks<R>(
        &self,
        from: Cursor,
        limit: usize,
        mut view: impl FnMut(&TaskInfo, &H::Spec) -> R,
    ) -> Page<R> {
        self.visit(|state, shared| state.tasks(shared, from, limit, &mut view))
    }

    /// How many tasks have not ended, the creations of actors that live among them. It waits for nobody, and
    /// looks at one word for each task that was ever there at one time: some milliseconds for a million.
    pub fn live(&self) -> usize {
        self.shared.records.count()
    }

    /// How many attempts, of tasks and of calls, ended with their worker and were followed by another.
    pub fn attempts_lost(&self) -> u64 {
        self.shared.attempts_lost.load(Relaxed)
    }

    /// The task if it has not ended, made into what is wanted of it.
    pub fn task<R>(
        &self,
        task: TaskId,
        mut view: impl FnMut(&TaskInfo, &H::Spec) -> R,
    ) -> Option<R> {
        let (index, _) = split(task.to_bits());
        let at = Cursor(u64::from(index));
        let mut view =
            |info: &TaskInfo, spec: &H::Spec| (info.id == task).then(|| view(info, spec));
        self.visit(|state, shared| state.tasks(shared, at, 1, &mut view)).items.pop()?
    }

    /// At most `limit` actors.
    pub fn actors(&self, from: Cursor, limit: usize) -> Page<ActorInfo> {
        self.visit(|state, shared| state.actor_page(shared, from, limit))
    }

    /// At most `limit` groups.
    pub fn groups(&self, from: Cursor, limit: usize) -> Page<GroupInfo> {
        self.visit(|state, shared| state.group_page(shared, from, limit))
    }

    /// All workers.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.visit(|state, shared| state.worker_infos(shared))
    }

    /// What the machine offers, and what is free.
    pub fn resources(&self) -> ResourceInfo {
        self.visit(|state, shared| state.resources(shared))
    }

    /// Workers with nothing to do, the one that has been idle longest first.
    pub fn idle_workers(&self) -> Vec<WorkerId> {
        self.visit(|state, _| state.idle_workers())
    }

    /// How many tasks, actors to be created included, find all that they need but a worker: where that
    /// stays above zero, [`Config::worker_limit`](crate::Config::worker_limit) is too low for what lives in workers.
    pub fn awaiting_workers(&self) -> usize {
        self.visit(|state, _| state.awaiting_workers())
    }

    /// How many of them are actors that wait for the end of another, since so many live as may:
    /// [`Config::actor_limit`](crate::Config::actor_limit).
    pub fn awaiting_places(&self) -> usize {
        self.visit(|state, _| state.awaiting_places())
    }

    /// Gives the worker nothing any more and has the host stop it; `false` when it has something to do.
    /// [`Scheduler::worker_left`] follows.
    pub fn retire(&self, worker: WorkerId) -> bool {
        self.visit(|state, shared| state.retire(shared, worker))
    }

    /// Gives a worker nothing any more and has the host kill it, through no fault of what runs there; `false` when it
    /// does not run `task` any more (for a worker with an actor or without anything, `None`). What it has not begun goes
    /// to others.
    ///
    /// Before it is killed `look` sees what runs there, from within as some calls of [`Host`](crate::Host) are told.
    ///
    /// [`Scheduler::worker_left`] follows. With `spares`, that death is then not counted among the retries of a
    /// task that has any, at most [`Config::MAX_SPARED`](crate::Config::MAX_SPARED) times.
    pub fn condemn(
        &self,
        worker: WorkerId,
        task: Option<TaskId>,
        spares: bool,
        look: impl FnOnce(Option<&H::Spec>),
    ) -> bool {
        self.visit(|state, shared| state.condemn(shared, worker, task, spares, look))
    }

    /// Lets `look` see what a worker was told to run, unless it lives for an actor; `None` when that is nothing.
    pub fn running_on<R>(&self, worker: WorkerId, look: impl FnOnce(&H::Spec) -> R) -> Option<R> {
        self.visit(|state, shared| state.running_on(shared, worker, look))
    }

    /// The actor that lives in a worker.
    pub fn actor_of(&self, worker: WorkerId) -> Option<ActorId> {
        self.visit(|state, _| state.actor_of(worker))
    }
}
