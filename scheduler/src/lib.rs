//! Task records, the dependency graph, queues, resources and actors: who runs what, and when.
//!
//! A library over [`Host`], which knows how to reach a worker and what an object's state is; nothing in
//! here knows of sockets, processes or shared memory.
//!
//! # How it is built
//! A task is a *record* that never moves, named by index and generation. What several threads race for is one
//! word each, with a file of its own that says what each state obliges to: `gate` (a task against its objects and
//! its cancellation), `dependents` (who waits for an object against its settling), `actor_gate` (calls against an
//! actor's end), `token` (who may place). Everything else, in `state`, is plain code that the owner of the token
//! runs. No thread waits for another on the way of a task, and no lock is taken there.
//!
//! Unsafe code is in the modules that say so here: the cells of `record` and `token`, the nodes of `inbox`, and
//! the places that promise what `record` asks for.

#![deny(unsafe_code)]

mod actor_gate;
mod chunks;
mod config;
mod demand;
mod dependents;
mod event;
mod free_list;
mod gate;
mod group_gate;
mod guarded;
mod host;
mod ids;
#[allow(unsafe_code)]
mod inbox;
mod kinds;
mod ledger;
mod listing;
mod placement;
mod plain;
mod queue;
#[allow(unsafe_code)]
mod record;
#[allow(unsafe_code)]
mod records;
#[allow(unsafe_code)]
mod scheduler;
mod shared;
mod snapshot;
#[allow(unsafe_code)]
mod state;
mod submission;
#[allow(unsafe_code)]
mod submit;
#[allow(unsafe_code)]
mod token;
mod told;

pub use config::Config;
pub use demand::{Demand, GpuShare, UNITS_PER_ONE};
pub use host::{ActorState, DeathReason, Failure, Host, Outcome, QueueFull, Readiness};
pub use ids::{ActorId, CallerId, GroupId, JobId, ObjectKey, PoolId, TaskId, WorkerId};
pub use placement::{GroupState, NewGroup, Placement, Strategy};
pub use scheduler::Scheduler;
pub use snapshot::{
    ActorInfo, Cursor, GroupInfo, Page, ResourceInfo, Resources, TaskInfo, TaskState, WorkerInfo,
};
pub use submission::{
    CallError, CallRefusal, CancelMode, Cancelled, NewActor, NewCall, NewTask, Refusal, Retries,
    SubmitError, Withdrawn,
};

/// The protocols by themselves, for the models that explore them. Not for use.
#[doc(hidden)]
pub mod models {
    pub use crate::{
        dependents::{Dependents, NoRoom},
        free_list::FreeList,
        gate::{Gate, Met, Phase},
        inbox::{Inbox, Taken},
        token::{Owner, Token, Visitor},
    };
}
