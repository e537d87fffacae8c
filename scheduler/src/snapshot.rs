//! What there is at one moment, for those who list it: small copies, taken off the hot path.

use crate::{ActorId, ActorState, GpuShare, GroupId, GroupState, JobId, PoolId, TaskId, WorkerId};

/// Where a listing goes on. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(crate) u64);

/// A part of a listing. What comes or goes while one lists may be missed or met once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is there.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for that many objects.
    Waiting {
        /// That many; one more while its submission is still at work.
        objects: usize,
    },
    /// It waits for resources, for a worker or, as a call, for its turn.
    Ready,
    /// It is in a worker's queue, behind what runs there.
    Queued {
        /// That worker.
        worker: WorkerId,
    },
    /// It is what its worker was told to run, as far as is known here.
    Running {
        /// That worker.
        worker: WorkerId,
    },
}

/// A task, a call or an actor's creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Its name.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// The attempt, counted from zero.
    pub attempt: u16,
    /// How often it may be run again.
    pub max_retries: u16,
    /// Whose it is.
    pub job: JobId,
    /// Who submitted it.
    pub parent: Option<TaskId>,
    /// The actor that it calls or creates.
    pub actor: Option<ActorId>,
    /// The group that it runs in.
    pub group: Option<GroupId>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Its name.
    pub id: WorkerId,
    /// What it can run.
    pub pool: PoolId,
    /// What it was told to run first, unless it lives for an actor.
    pub running: Option<TaskId>,
    /// What is first in its queue, be it an actor's call or a task.
    pub first: Option<TaskId>,
    /// How many tasks it was handed, the running one included.
    pub queued: usize,
    /// The actor that lives there.
    pub actor: Option<ActorId>,
    /// Its task waits, and its cpus are given to others.
    pub blocked: bool,
    /// It is ending, and gets nothing any more.
    pub retired: bool,
    /// The gpus that it holds.
    pub gpus: Vec<GpuShare>,
    /// When it began what runs, as far as is known here: a number that grows, in no unit of time. Who began later has
    /// the larger one.
    pub since: u64,
    /// What it runs may be run again should it die, or the actor that lives there be restarted.
    pub retriable: bool,
}

/// An actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorInfo {
    /// Its name.
    pub id: ActorId,
    /// Where it stands.
    pub state: ActorState,
    /// Where it lives.
    pub worker: Option<WorkerId>,
    /// How often it was restarted.
    pub restarts: u32,
    /// Calls that have not ended, those with the worker included.
    pub unfinished: usize,
    /// Whose it is.
    pub job: JobId,
    /// The group that it lives in.
    pub group: Option<GroupId>,
}

/// A placement group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub id: GroupId,
    /// Where it stands.
    pub state: GroupState,
    /// What each bundle holds.
    pub bundles: Vec<Resources>,
    /// Whose it is.
    pub job: JobId,
}

/// Amounts of resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Cpus in ten-thousandths; below zero while tasks that were blocked go on beside those that took
    /// their place.
    pub cpu: i64,
    /// Gpus in ten-thousandths.
    pub gpu: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Custom resources in ten-thousandths.
    pub custom: Vec<(String, u64)>,
}

/// What the machine offers and what of it is given out to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceInfo {
    /// All there is.
    pub total: Resources,
    /// What is left of it.
    pub free: Resources,
}
