//! Task records, the dependency graph, queues, resources and actors: who runs what, and when.
//!
//! A library over [`Host`], which knows how to reach a worker and what an object's state is; nothing in
//! here knows of sockets, processes or shared memory.

mod config;
mod demand;
mod host;
mod ids;
mod ledger;
mod placement;
mod scheduler;
mod snapshot;
mod submission;

pub use config::Config;
pub use demand::{Demand, GpuShare, UNITS_PER_ONE};
pub use host::{ActorState, DeathReason, Failure, Host, Outcome, QueueFull, Readiness};
pub use ids::{ActorId, CallerId, GroupId, JobId, ObjectKey, PoolId, TaskId, WorkerId};
pub use placement::{GroupState, NewGroup, Placement, Strategy};
pub use scheduler::Scheduler;
pub use snapshot::{
    ActorInfo, Cursor, GroupInfo, Page, ResourceInfo, Resources, Running, TaskInfo, TaskState,
    WorkerInfo,
};
pub use submission::{
    CallError, CallRefusal, CancelMode, Cancelled, NewActor, NewCall, NewTask, Refusal, Retries,
    SubmitError,
};
