//! What the scheduler asks of the runtime around it: [`Host`], and the words they exchange.
//!
//! The scheduler knows nothing of sockets, of processes or of shared memory. Waking a worker is part of
//! [`Host::push`]; where arguments and results are is part of [`Host::Spec`].

use crate::{ActorId, GpuShare, GroupId, GroupState, ObjectKey, PoolId, TaskId, WorkerId};

/// Whether an object can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is sealed.
    Ready,
    /// It holds an error, or is gone.
    Failed,
    /// Not yet.
    Pending,
}

/// The worker's queue has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker's queue is full")]
pub struct QueueFull;

/// How an attempt ended, as its worker reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its results are sealed.
    Done,
    /// It ended in an error of its own.
    Failed {
        /// Nothing was sealed and the error may be retried. Otherwise the worker has sealed the error,
        /// and only the bookkeeping is left to do.
        retry: bool,
    },
    /// It noticed that it was cancelled and sealed nothing.
    Cancelled,
}

/// Why a task will not produce its results.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<C> {
    /// An object it depends on failed.
    Dependency {
        /// That object.
        object: ObjectKey,
        /// The original error.
        cause: C,
    },
    /// Its worker died while the task may have been running, and its retries are spent.
    WorkerDied {
        /// That worker.
        worker: WorkerId,
        /// The last attempt, counted from zero.
        attempt: u16,
        /// Why the worker left.
        cause: C,
    },
    /// It failed with an error to be retried, and its retries are spent.
    RetriesSpent {
        /// The last attempt, counted from zero.
        attempt: u16,
    },
    /// It was cancelled.
    Cancelled,
    /// Its job has ended.
    JobEnded,
    /// The host has taken it out of the schedule: [`crate::Scheduler::withdraw`].
    Withdrawn,
    /// The placement group that it ran in, or was to run in, was removed.
    GroupRemoved {
        /// That group.
        group: GroupId,
    },
    /// It was called on an actor that is dead for good.
    ActorDied {
        /// That actor.
        actor: ActorId,
        /// Why it is dead.
        reason: DeathReason<C>,
    },
    /// The actor's worker died while the call may have been running; it is not run twice.
    ActorUnavailable {
        /// That actor; it may be alive again.
        actor: ActorId,
        /// Why the worker left.
        cause: C,
    },
}

/// Why an actor is dead for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeathReason<C> {
    /// Its constructor failed.
    CreationFailed,
    /// An argument of its constructor failed.
    Dependency {
        /// That argument.
        object: ObjectKey,
        /// The original error.
        cause: C,
    },
    /// It ended itself.
    Exited,
    /// Somebody killed it.
    Killed,
    /// Its last handle was dropped.
    NoHandles,
    /// Its worker died, and its restarts are spent.
    Crashed {
        /// How often it was restarted.
        restarts: u32,
        /// Why the last worker left.
        cause: C,
    },
    /// So many workers in a row died before they had begun to construct it; that many, 10, are its last.
    NeverBegun {
        /// How many.
        workers: u32,
        /// Why the last one left.
        cause: C,
    },
    /// Its creation was cancelled.
    Cancelled,
    /// It ended, and [`crate::Scheduler::forget_actor`] forgot it.
    Forgotten,
    /// Its job has ended, and it was not detached.
    JobEnded,
    /// The placement group that it lived in was removed.
    GroupRemoved {
        /// That group.
        group: GroupId,
    },
}

/// Where an actor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// Its constructor waits for arguments, for resources or for a worker, or is running.
    Pending,
    /// It takes calls.
    Alive,
    /// Its worker died, and another one is being prepared.
    Restarting,
    /// It is dead for good.
    Dead,
}

/// The runtime around the scheduler.
///
/// Any thread may be inside any of these calls, several at once. Each may call the scheduler again
/// ([`crate::Scheduler::settled`] in particular): what such a call makes possible is done after it, by the
/// outer call before that returns, or by another thread that is at it.
///
/// Some are told in order, *from within* the step that places: [`Host::push`], [`Host::take_back`], [`Host::granted`],
/// [`Host::kill`], [`Host::stop`], [`Host::actor_changed`], [`Host::group_changed`] and [`Host::review_wanted`]. While one of these runs no
/// other thread places anything (nobody waits for it either), so they are to be short, take no lock under
/// which the scheduler is called, and ask the scheduler nothing that has an answer beyond what is said to be
/// lock-free.
///
/// None of them is to panic. Where one does all the same, the scheduler goes on as if it had answered what promises
/// least (a full queue, an entry that was begun).
///
/// # Examples
/// The crate's documentation shows a whole host. What it leaves out can be left to its default:
/// ```
/// use std::{sync::Mutex, time::{Duration, Instant}};
/// use rustyray_scheduler::{
///     ActorId, ActorState, CancelMode, Config, DeathReason, Demand, GpuShare, GroupId, GroupState, Host, JobId,
///     NewGroup, NewTask, ObjectKey, Outcome, Placement, PoolId, Retries, Scheduler, Strategy, TaskId, WorkerId,
/// };
/// # use rustyray_scheduler::{Failure, QueueFull, Readiness};
///
/// #[derive(Default)]
/// struct Watching(Mutex<Vec<String>>);
///
/// impl Host for Watching {
///     // … and when it is asked to take an entry back, the worker has begun it.
/// #     type Spec = ();
/// #     type Cause = ();
/// #     fn subscribe(&self, _: ObjectKey) -> Readiness { Readiness::Ready }
/// #     fn cause(&self, _: ObjectKey) {}
/// #     fn push(&self, _: WorkerId, _: TaskId, _: u16, _: &()) -> Result<u64, QueueFull> { Ok(0) }
/// #     fn take_back(&self, _: WorkerId, _: u64) -> bool { false }
/// #     fn need_workers(&self, _: PoolId, _: usize) {}
/// #     fn fail(&self, _: TaskId, _: &(), _: Failure<()>) {}
/// #     fn finished(&self, _: TaskId, _: u16, _: ()) {}
/// #     fn kill(&self, _: WorkerId) {}
///     fn interrupt(&self, worker: WorkerId, _: TaskId, _: u16) {
///         self.0.lock().unwrap().push(format!("{worker:?} is to ask its task to stop"));
///     }
///
///     fn stop(&self, worker: WorkerId) {
///         self.0.lock().unwrap().push(format!("{worker:?} ends in good order"));
///     }
///
///     fn review_wanted(&self) {
///         self.0.lock().unwrap().push("look again in a while".to_owned()); // and wake who does
///     }
///
///     fn granted(&self, worker: WorkerId, gpus: &[GpuShare]) {
///         self.0.lock().unwrap().push(format!("{worker:?} has {gpus:?}"));
///     }
///
///     fn group_changed(&self, _: GroupId, state: GroupState) {
///         self.0.lock().unwrap().push(format!("group: {state:?}"));
///     }
///
///     fn actor_changed(&self, _: ActorId, state: ActorState, why: Option<&DeathReason<()>>) {
///         self.0.lock().unwrap().push(format!("actor: {state:?}, {why:?}"));
///     }
/// }
///
/// let wake_cost = Duration::from_micros(50);
/// let config = Config { cpus: 2.0, gpus: 1.0, worker_limit: 2, wake_cost, ..Config::default() };
/// let scheduler = Scheduler::new(Watching::default(), config);
/// let told = || std::mem::take(&mut *scheduler.host().0.lock().unwrap());
///
/// let demand = Demand::cpus(1.0).with_gpus(0.5);
/// let (strategy, job) = (Strategy::default(), JobId(0));
/// let new = NewGroup { bundles: &[demand.clone()], strategy, job, detached: false, by: None };
/// let group = scheduler.create_group(new).expect("the machine has as much");
/// scheduler.remove_group(group);
/// assert_eq!(told(), ["group: Ready", "group: Removed"]);
///
/// scheduler.worker_joined(WorkerId(3), PoolId(0));
/// let new = |demand, pool| NewTask {
///     spec: (),
///     pool,
///     job,
///     demand,
///     dependencies: &[],
///     returns: &[ObjectKey { index: 0, generation: 1 }],
///     placement: Placement::default(),
///     priority: 0,
///     alike: 0,
///     retries: Retries::NONE,
///     parent: None,
///     note: [0; 2],
/// };
/// let task = scheduler.submit(new(&demand, PoolId(0))).expect("the machine has as much");
/// assert_eq!(told(), ["WorkerId(3) has [GpuShare { gpu: 0, share: 5000 }]"]);
/// scheduler.cancel(task, CancelMode::default());
/// assert_eq!(told(), ["WorkerId(3) is to ask its task to stop"]);
/// scheduler.completed(WorkerId(3), task, 0, Outcome::Cancelled, 0);
///
/// // A task took 2 µs, less than waking a worker does: the next of its sort queue for one that is awake.
/// let one = Demand::cpus(1.0);
/// let submit = |pool| scheduler.submit(new(&one, pool)).expect("the machine has as much");
/// scheduler.completed(WorkerId(3), submit(PoolId(0)), 0, Outcome::Done, 2_000);
/// scheduler.worker_joined(WorkerId(4), PoolId(0));
/// assert_eq!(told(), ["WorkerId(3) has []"]);
/// let queued = [submit(PoolId(0)), submit(PoolId(0))];
/// assert_eq!(told(), ["look again in a while"]);
/// assert_eq!(scheduler.review(Instant::now()), Some(wake_cost));
///
/// // Both are done. The two workers have nothing to do, and there can be no third for another pool.
/// let awake = scheduler.workers().into_iter().find(|worker| worker.running.is_some());
/// let awake = awake.expect("it has both").id;
/// queued.map(|task| scheduler.completed(awake, task, 0, Outcome::Done, 2_000));
/// submit(PoolId(1));
/// assert!(told()[0].ends_with("ends in good order"));
/// ```
pub trait Host: Send + Sync + 'static {
    /// What to run; opaque here.
    type Spec: Send + Sync + 'static;
    /// Why something failed; opaque here.
    type Cause: Clone + Send + Sync + 'static;

    /// Tells whether `object` can be read. After [`Readiness::Pending`] the runtime calls
    /// [`crate::Scheduler::settled`] for it, once or more, as soon as that has changed.
    fn subscribe(&self, object: ObjectKey) -> Readiness;

    /// The error that the failed `object` holds.
    fn cause(&self, object: ObjectKey) -> Self::Cause;

    /// Puts the task into the worker's queue and wakes the worker. The answer names the entry.
    ///
    /// # Errors
    /// When the queue is full; the scheduler tries again after the worker's next completion.
    fn push(
        &self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        spec: &Self::Spec,
    ) -> Result<u64, QueueFull>;

    /// Takes an entry back; true when the worker has not begun it and never will. Also asked about a
    /// worker that has died, until [`crate::Scheduler::worker_joined`] announces its successor.
    fn take_back(&self, worker: WorkerId, ticket: u64) -> bool;

    /// Asks for `how_many` more workers, each answered by [`crate::Scheduler::worker_joined`] or
    /// counted in [`crate::Scheduler::spawn_failed`].
    fn need_workers(&self, pool: PoolId, how_many: usize);

    /// Seals the error into the task's results. [`Host::finished`] follows.
    fn fail(&self, task: TaskId, spec: &Self::Spec, why: Failure<Self::Cause>);

    /// The task has ended, in whatever way, with this attempt: its arguments are no longer held.
    fn finished(&self, task: TaskId, attempt: u16, spec: Self::Spec);

    /// Kills the worker's process, whatever it is at. [`crate::Scheduler::worker_left`] follows, once it is gone, and
    /// waits for its turn: so told from within, this never meets a successor that has the same id.
    fn kill(&self, worker: WorkerId);

    /// The running task is to be cancelled: tells the worker to ask it to stop. Told from within
    /// whoever cancels or, when another thread held the task at that moment, by that thread.
    fn interrupt(&self, worker: WorkerId, task: TaskId, attempt: u16) {
        let _ = (worker, task, attempt);
    }

    /// Tasks are queued behind a busy worker since they are expected to be quick, and another worker has nothing to
    /// do. Whoever looks after that is to be woken, and to call [`crate::Scheduler::review`] after
    /// [`crate::Config::wake_cost`], and again after what that answers, until it answers `None`.
    ///
    /// Told from within, once each time that comes to be so ([`crate::Scheduler::wants_review`]), and not again while
    /// it is. A host whose `wake_cost` is zero is never told; one that does nothing leaves what waits behind a task
    /// that proves to be long there until it has ended.
    fn review_wanted(&self) {}

    /// Ends a worker in good order: nobody will call its actor again, or it has nothing to do and workers of
    /// another pool need its place. It is given nothing any more.
    ///
    /// [`crate::Scheduler::worker_left`] follows, once it is gone; until then it keeps its place and what it holds. If
    /// the host does not say how, it is killed.
    fn stop(&self, worker: WorkerId) {
        self.kill(worker);
    }

    /// These gpus are the worker's until further notice. Told before the first [`Host::push`] under a
    /// grant of gpus, and before the first one after it.
    fn granted(&self, worker: WorkerId, gpus: &[GpuShare]) {
        let _ = (worker, gpus);
    }

    /// The group's state has changed. One that is removed gives its resources back once those who used
    /// them are gone.
    fn group_changed(&self, group: GroupId, state: GroupState) {
        let _ = (group, state);
    }

    /// The actor's state has changed; with [`ActorState::Dead`] comes the reason. Told in order.
    fn actor_changed(
        &self,
        actor: ActorId,
        state: ActorState,
        reason: Option<&DeathReason<Self::Cause>>,
    ) {
        let _ = (actor, state, reason);
    }
}
