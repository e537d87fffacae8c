//! What is handed in, and how it is refused. A refusal gives the spec back.

use crate::{Demand, GroupId, JobId, ObjectKey, Placement, PoolId, TaskId, WorkerId};

/// How often a task may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts beyond the first. `u16::MAX` is as good as always.
    pub max: u16,
    /// Whether an error of the task's own is a reason, too, and not only its worker's death.
    pub on_error: bool,
}

impl Default for Retries {
    /// Three, for a worker's death only.
    fn default() -> Self {
        Retries { max: 3, on_error: false }
    }
}

impl Retries {
    /// Run at most once.
    pub const NONE: Retries = Retries { max: 0, on_error: false };
}

/// A task to be run.
#[derive(Clone, Debug)]
pub struct NewTask<'a, S> {
    /// What to run.
    pub spec: S,
    /// Which workers can run it.
    pub pool: PoolId,
    /// Whose it is: jobs of equal priority get equal turns.
    pub job: JobId,
    /// What it needs while it runs.
    pub demand: &'a Demand,
    /// What must be sealed before it runs.
    pub dependencies: &'a [ObjectKey],
    /// The objects that it is to make; [`crate::Scheduler::producer`] finds it by any of them.
    pub returns: &'a [ObjectKey],
    /// Out of which resources it runs.
    pub placement: Placement,
    /// Higher goes first; within one priority (of one job and demand) first come, first served.
    pub priority: i32,
    /// What it is like: tasks of one number are expected to run as long as those before them did. The
    /// function's number, say.
    pub alike: u64,
    /// How often it may be run again.
    pub retries: Retries,
    /// The task that submitted it, for recursive cancellation.
    pub parent: Option<TaskId>,
    /// What is to be had by its id as long as it lives, and without the spec: [`crate::Scheduler::note`].
    pub note: [u64; 2],
}

/// An actor to be created: its spec runs the constructor.
#[derive(Clone, Debug)]
pub struct NewActor<'a, S> {
    /// The constructor. Kept until the actor is dead for good, since a restart runs it again.
    pub spec: S,
    /// Which workers can run it.
    pub pool: PoolId,
    /// Whose it is.
    pub job: JobId,
    /// What it holds while it lives.
    pub demand: &'a Demand,
    /// What must be sealed before the constructor runs.
    pub dependencies: &'a [ObjectKey],
    /// The objects that its constructor makes; the creation is found by them, to be cancelled.
    pub returns: &'a [ObjectKey],
    /// Out of which resources it lives.
    pub placement: Placement,
    /// Higher is placed first.
    pub priority: i32,
    /// How often it may be restarted after its worker's death; `u32::MAX` is always.
    pub max_restarts: u32,
    /// How often a call that may have been running when the worker died is run again; zero is
    /// at-most-once.
    pub max_task_retries: u16,
    /// Calls that may be unfinished at one time; zero is any number.
    pub max_pending_calls: usize,
    /// Calls that its worker is handed at one time, at most [`crate::Config::MAX_QUEUE_DEPTH`]; zero is
    /// [`crate::Config::queue_depth`]. The others wait here, where they can still be cancelled.
    pub max_handed: usize,
    /// A call that waits for an argument does not hold up later ones of its caller.
    pub out_of_order: bool,
    /// It outlives its job.
    pub detached: bool,
    /// The task that created it, for recursive cancellation.
    pub parent: Option<TaskId>,
}

/// A call of an actor's method.
#[derive(Clone, Debug)]
pub struct NewCall<'a, S> {
    /// What to run.
    pub spec: S,
    /// What must be sealed before it runs.
    pub dependencies: &'a [ObjectKey],
    /// The objects that it is to make; [`crate::Scheduler::producer`] finds it by any of them.
    pub returns: &'a [ObjectKey],
    /// How often it may be run again; as the actor says if `None`.
    pub retries: Option<Retries>,
    /// The task that called, for recursive cancellation.
    pub parent: Option<TaskId>,
    /// As [`NewTask::note`].
    pub note: [u64; 2],
}

/// Why a task or an actor was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No worker will ever have that much.
    #[error("it needs {demand}, and there are only {exists}")]
    Unschedulable {
        /// What it asked for.
        demand: String,
        /// What the machine offers in all.
        exists: String,
    },
    /// Gpus beyond one are given out whole.
    #[error("it needs {demand}, and more than one gpu can only be a whole number of them")]
    PartialGpus {
        /// What it asked for.
        demand: String,
    },
    /// The placement group was removed, or never was.
    #[error("there is no such placement group")]
    NoSuchGroup {
        /// That group.
        group: GroupId,
    },
    /// The placement group has no such bundle.
    #[error("the placement group has {bundles} bundles, and no bundle {bundle}")]
    NoSuchBundle {
        /// What was asked for.
        bundle: u16,
        /// How many there are.
        bundles: usize,
    },
    /// It has been run as often as it may.
    #[error("it may be run again {max} times, and has been")]
    RetriesSpent {
        /// That many times.
        max: u16,
    },
    /// Too many kinds of tasks (pool, demand and priority) at one time.
    #[error("there are already {limit} kinds of tasks")]
    TooManyKinds {
        /// The most there can be.
        limit: usize,
    },
    /// The table of tasks is full.
    #[error("there are already {limit} tasks")]
    TooManyTasks {
        /// The most there can be.
        limit: usize,
    },
    /// One task cannot wait for so many objects.
    #[error("it depends on {dependencies} objects, and {limit} is the limit")]
    TooManyDependencies {
        /// How many it depends on.
        dependencies: usize,
        /// The most it can.
        limit: usize,
    },
    /// The table of groups is full.
    #[error("there are already {limit} placement groups")]
    TooManyGroups {
        /// The most there can be.
        limit: usize,
    },
    /// The table of actors is full.
    #[error("there are already {limit} actors")]
    TooManyActors {
        /// The most there can be.
        limit: usize,
    },
}

/// A refused submission.
#[derive(Debug, thiserror::Error)]
#[error("cannot be scheduled: {why}")]
pub struct SubmitError<S> {
    /// What was handed in.
    pub spec: S,
    /// Why it was refused.
    pub why: Refusal,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallRefusal {
    /// As many calls as the actor allows are unfinished.
    #[error("{limit} calls are pending, which is the limit")]
    PendingLimit {
        /// That many.
        limit: usize,
    },
    /// The actor is dead for good, as [`crate::Scheduler::actor_reason`] tells, or takes no further calls
    /// ([`crate::Scheduler::close_actor`]).
    #[error("the actor is dead, or takes no further calls")]
    Died,
    /// There is no such actor.
    #[error("there is no such actor")]
    Unknown,
    /// The call cannot be taken at all.
    #[error("{0}")]
    Refused(Refusal),
}

/// A refused call.
#[derive(Debug, thiserror::Error)]
#[error("cannot be called: {why}")]
pub struct CallError<S> {
    /// What was handed in.
    pub spec: S,
    /// Why it was refused.
    pub why: CallRefusal,
}

/// What withdrawing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// It is the host's: [`crate::Host::fail`] was told so, and [`crate::Host::finished`] gave it back.
    Yes,
    /// It waits for objects, and stays.
    Waiting,
    /// It has begun, has ended, or is none that can be withdrawn.
    No,
}

/// How to cancel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CancelMode {
    /// Kill the worker if the task is running (a task's only; an actor's worker is not killed for a
    /// call).
    pub force: bool,
    /// And whatever it submitted.
    pub recursive: bool,
}

/// What cancelling came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not run; [`crate::Host::fail`] was told.
    Unstarted,
    /// The worker has it. The host asks the worker to stop it; by force the worker was killed.
    Running {
        /// That worker.
        worker: WorkerId,
    },
    /// Another thread holds it this very moment and will cancel it, or report it to the host by
    /// [`crate::Host::interrupt`].
    Underway,
    /// It has ended, or never was.
    Unknown,
}
