//! What the owner of the token is told, by itself or through the inbox.

use std::{sync::Arc, time::Instant};

use crate::{
    ActorId, CancelMode, GroupId, Host, JobId, ObjectKey, Outcome, PoolId, TaskId, WorkerId,
    group_gate::Shape, token::Visitor,
};

/// See the module.
pub(crate) enum Event {
    /// A task was submitted; with `ready` it waits for nothing.
    New {
        task: TaskId,
        ready: bool,
    },
    /// The last object that a task waited for is there.
    Released(TaskId),
    /// An object that a task waited for failed.
    Failed(TaskId, ObjectKey),
    /// An actor, before its creation comes.
    Actor(Box<NewActorState>),
    Completed {
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        outcome: Outcome,
        /// Zero when nobody measured it.
        ran_ns: u64,
    },
    Cancel(TaskId, CancelMode),
    Expected(PoolId, usize),
    Joined(WorkerId, PoolId),
    SpawnFailed(PoolId, usize),
    Blocked(WorkerId),
    Unblocked(WorkerId),
    Dispatch,
    KillActor {
        actor: ActorId,
        restart: bool,
    },
    ExitActor(ActorId),
    ReleaseActor {
        actor: ActorId,
        closes: bool,
    },
    ForgetActor(ActorId),
    Group {
        shape: Arc<Shape>,
        job: JobId,
        detached: bool,
        by: Option<WorkerId>,
    },
    RemoveGroup(GroupId),
    /// What is queued behind quick tasks is to be looked at.
    Review(Instant),
    /// Somebody waits to be the owner.
    Visit(Visitor),
}

/// What an actor is, beyond its gate.
pub(crate) struct NewActorState {
    pub(crate) id: ActorId,
    pub(crate) creation: TaskId,
    pub(crate) max_restarts: u32,
    pub(crate) max_handed: usize,
    pub(crate) out_of_order: bool,
    pub(crate) detached: bool,
}

/// What the host is told once the token is given back.
pub(crate) enum Act<H: Host> {
    /// It has ended, and what it made is sealed.
    Finish(TaskId),
    /// It has ended, and the host seals why.
    Fail(TaskId, Box<crate::Failure<H::Cause>>),
    /// It has ended since this object failed.
    FailByDependency(TaskId, ObjectKey),
    Interrupt(WorkerId, TaskId, u16),
    Need(PoolId, usize),
}
