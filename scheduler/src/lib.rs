//! Task records, the dependency graph, queues, resources and actors: who runs what, and when.
//!
//! A library over [`Host`], which knows how to reach a worker and what an object's state is; nothing in
//! here knows of sockets, processes or shared memory. What a task, an actor and a placement group are, and when one is
//! run again, is as in Ray (Moritz et al., "Ray: a distributed framework for emerging AI applications", 2018).
//!
#![doc = concat!("```\n", include_str!("../docs/first_program.rs"), "```\n")]
//!
//! The examples below go on with this host. They name objects `objects[0]`, `objects[1]` and so on.
//!
//! # Tasks
//! A task waits for its objects, for what it demands, and for a worker; until a worker has begun it, it can be had back.
//! ```
//! # mod host { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first_program.rs")); }
//! # use host::{InMemory, Job, run_all, task};
//! # #[allow(unused_imports)] use rustyray_scheduler::*;
//! # let objects: Vec<ObjectKey> = (0..8).map(|index| ObjectKey { index, generation: 1 }).collect();
//! let scheduler = InMemory::start(Config { cpus: 1.0, ..Config::default() });
//! let demand = Demand::default(); // one cpu
//! let parent = scheduler.submit(task("parent", &objects[0], &[], &demand))?;
//! let new = NewTask {
//!     parent: Some(parent),
//!     note: [4, 2],
//!     retries: Retries::NONE,
//!     ..task("child", &objects[1], &objects[7..], &demand)
//! };
//! let child = scheduler.submit(new)?;
//! assert_eq!(scheduler.producer(objects[1]), Some(child));
//! assert_eq!(scheduler.parent(child), Some(parent));
//! assert_eq!(scheduler.note(child), Some([4, 2]));
//! let state = scheduler.task(child, |info: &TaskInfo, spec| (info.state, spec.name));
//! assert_eq!(state, Some((TaskState::Waiting { objects: 1 }, "child")));
//!
//! // What it waits for fails, and so does it: the host is told by `Host::fail`.
//! scheduler.host().settle(objects[7], Readiness::Failed);
//! assert_eq!(scheduler.host().subscribe(objects[1]), Readiness::Failed);
//! assert_eq!(scheduler.host().cause(objects[7]), "object 7 failed");
//!
//! // One task runs, on the one cpu; the next is ready.
//! let next = scheduler.submit(task("next", &objects[2], &[], &demand))?;
//! let all: Page<TaskId> = scheduler.tasks(Cursor::default(), 10, |info, _| info.id);
//! assert_eq!((all.items, scheduler.live()), (vec![parent, next], 2));
//! assert_eq!(scheduler.cancel(next, CancelMode::default()), Cancelled::Unstarted);
//! assert_eq!(scheduler.cancel(next, CancelMode { force: true, recursive: true }), Cancelled::Unknown);
//! // While another thread has its turn, `cancel` does not wait for it, and says so; this waits.
//! assert_eq!(scheduler.cancel_in_turn(next, CancelMode::default()), Cancelled::Unknown);
//!
//! // Or the host has one run by other means.
//! let later = scheduler.submit(task("later", &objects[3], &[objects[6]], &demand))?;
//! assert_eq!(scheduler.withdraw(later, |_| {}), Withdrawn::Waiting);
//! scheduler.host().settle(objects[6], Readiness::Ready);
//! assert_eq!(scheduler.withdraw(later, |_| {}), Withdrawn::Yes);
//!
//! assert_eq!(run_all(&scheduler), ["parent"]);
//! assert_eq!((scheduler.live(), scheduler.backlog(), scheduler.panics()), (0, 0, 0));
//!
//! // Its result was lost: it is made again, which counts as its second attempt.
//! scheduler.resubmit(task("parent", &objects[0], &[], &demand), 1)?;
//! assert_eq!(run_all(&scheduler), ["parent"]);
//!
//! // What can never run is refused at once, and given back.
//! let refused = scheduler.submit(task("large", &objects[4], &[], &Demand::cpus(2.0)));
//! let SubmitError { spec, why } = refused.map(drop).expect_err("there is one cpu");
//! assert!(matches!(why, Refusal::Unschedulable { .. }) && spec.name == "large");
//! # Ok::<(), SubmitError<Job>>(())
//! ```
//!
//! # Workers
//! The host starts workers when it is asked to, and says when one has come or gone.
//! ```
//! # mod host { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first_program.rs")); }
//! # use host::{InMemory, Job, run_all, task};
//! # #[allow(unused_imports)] use rustyray_scheduler::*;
//! # let objects: Vec<ObjectKey> = (0..8).map(|index| ObjectKey { index, generation: 1 }).collect();
//! use std::time::Instant;
//!
//! let scheduler = InMemory::start(Config { cpus: 1.0, ..Config::default() });
//! let (worker, pool) = (WorkerId(9), PoolId(0));
//! scheduler.workers_expected(pool, 3); // one of them comes, two cannot be started
//! scheduler.worker_joined(worker, pool);
//! scheduler.spawn_failed(pool, 2);
//! assert_eq!(scheduler.idle_workers(), [worker]);
//!
//! let demand = Demand::cpus(1.0);
//! let first = scheduler.submit(task("first", &objects[0], &[], &demand))?;
//! let (begun, attempt, _) = scheduler.host().begin(worker).expect("it was pushed");
//! assert_eq!((begun, attempt), (first, 0));
//! assert_eq!(scheduler.running_on(worker, |spec| spec.name), Some("first"));
//! assert_eq!(scheduler.resources().free.cpu, 0);
//! assert!(!scheduler.retire(worker), "it has something to do");
//!
//! // While its task waits for something, its cpu is others'.
//! scheduler.blocked(worker);
//! let ResourceInfo { total, free }: ResourceInfo = scheduler.resources();
//! let whole = Resources { cpu: UNITS_PER_ONE as i64, ..Resources::default() };
//! assert_eq!((free, total), (whole.clone(), whole));
//! scheduler.unblocked(worker);
//!
//! // It is killed: the task is run again, by another worker.
//! assert!(scheduler.condemn(worker, Some(first), false, |spec| {
//!     assert_eq!(spec.map(|spec| spec.name), Some("first"));
//! }));
//! scheduler.worker_left(worker, "killed".to_owned());
//! assert_eq!(run_all(&scheduler), ["first"]);
//! assert_eq!(scheduler.attempts_lost(), 1);
//!
//! let left: Vec<WorkerInfo> = scheduler.workers();
//! assert!(left.iter().all(|info| info.id != worker && info.running.is_none()));
//! assert!(scheduler.retire(left[0].id), "it is idle: the host is told to stop it");
//!
//! // A queue that was full has room again: what it held up is tried once more.
//! scheduler.dispatch();
//! assert_eq!(scheduler.backlog(), 0);
//! assert_eq!(scheduler.awaiting_workers(), 0, "nothing waits for a worker alone");
//!
//! // Quick tasks queue for a busy worker; whether they should have is to be looked at from time to time.
//! assert!(!scheduler.is_queueing() && !scheduler.wants_review(), "nothing is queued");
//! assert_eq!(scheduler.review(Instant::now()), None);
//! # Ok::<(), SubmitError<Job>>(())
//! ```
//!
//! # Actors
//! An actor lives in a worker of its own. Its construction is a task, and so is each call of it.
//! ```
//! # mod host { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first_program.rs")); }
//! # use host::{InMemory, Job, run_all, task};
//! # #[allow(unused_imports)] use rustyray_scheduler::*;
//! # let objects: Vec<ObjectKey> = (0..8).map(|index| ObjectKey { index, generation: 1 }).collect();
//! let scheduler = InMemory::start(Config { cpus: 4.0, ..Config::default() });
//! let demand = Demand::cpus(1.0);
//! let new = |makes: &'static str, at: usize| NewActor {
//!     spec: Job { name: makes, makes: objects[at] },
//!     pool: PoolId(0),
//!     job: JobId(1),
//!     demand: &demand,
//!     dependencies: &[],
//!     returns: &objects[at..=at],
//!     placement: Placement::Free,
//!     priority: 0,
//!     max_restarts: 1,
//!     max_task_retries: 0,
//!     max_pending_calls: 1,
//!     max_handed: 0,
//!     out_of_order: false,
//!     detached: false,
//!     parent: None,
//! };
//! let actor: ActorId = scheduler.create_actor(new("constructor", 0)).expect("one of four cpus");
//! assert_eq!(scheduler.actor_state(actor), Some(ActorState::Pending));
//! assert_eq!(run_all(&scheduler), ["constructor"]);
//! assert_eq!(scheduler.actor_state(actor), Some(ActorState::Alive));
//! let home = scheduler.actor_worker(actor).expect("it lives somewhere");
//! assert_eq!(scheduler.actor_of(home), Some(actor));
//!
//! // Calls of one caller run in order.
//! let call = |name, at: usize| NewCall {
//!     spec: Job { name, makes: objects[at] },
//!     dependencies: &[],
//!     returns: &objects[at..=at],
//!     retries: None,
//!     parent: None,
//!     note: [0; 2],
//! };
//! scheduler.call(actor, CallerId(1), call("method", 1)).expect("it lives");
//! let CallError { why, .. } = scheduler.call(actor, CallerId(1), call("more", 2)).expect_err("one");
//! assert_eq!(why, CallRefusal::PendingLimit { limit: 1 });
//! assert_eq!(run_all(&scheduler), ["method"]);
//! scheduler.caller_left(CallerId(1));
//!
//! // Its worker dies: it is constructed again, once.
//! scheduler.worker_left(home, "killed".to_owned());
//! assert_eq!(scheduler.actor_state(actor), Some(ActorState::Restarting));
//! assert_eq!(run_all(&scheduler), ["constructor"]);
//! assert_eq!(scheduler.actor_restarts(actor), Some(1));
//! let home = scheduler.actor_worker(actor).expect("it lives again");
//! let listed: Vec<ActorInfo> = scheduler.actors(Cursor::default(), 10).items;
//! assert_eq!((listed[0].id, listed[0].worker), (actor, Some(home)));
//! scheduler.worker_left(home, "killed again".to_owned());
//! let why = DeathReason::Crashed { restarts: 1, cause: "killed again".to_owned() };
//! assert_eq!(scheduler.actor_reason(actor), Some(why));
//!
//! // The other ends of an actor: by others, by itself, with its last handle.
//! scheduler.forget_actor(actor);
//! assert_eq!(scheduler.actor_state(actor), None);
//! let others = [3, 4, 5].map(|at| scheduler.create_actor(new("other", at)).expect("it fits"));
//! run_all(&scheduler);
//! scheduler.kill_actor(others[0], false);
//! assert_eq!(scheduler.actor_reason(others[0]), Some(DeathReason::Killed));
//! scheduler.exit_actor(others[1]);
//! assert_eq!(scheduler.actor_reason(others[1]), Some(DeathReason::Exited));
//! scheduler.release_actor(others[2]);
//! assert_eq!(scheduler.actor_reason(others[2]), Some(DeathReason::NoHandles));
//! // A stale id finds nothing, whoever wrote it down.
//! assert_eq!(ActorId::from_bits(others[0].to_bits()), others[0]);
//! ```
//!
//! # Placement groups
//! Resources that are reserved together, all of them or none yet.
//! ```
//! # mod host { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first_program.rs")); }
//! # use host::{InMemory, Job, run_all, task};
//! # #[allow(unused_imports)] use rustyray_scheduler::*;
//! # let objects: Vec<ObjectKey> = (0..8).map(|index| ObjectKey { index, generation: 1 }).collect();
//! let scheduler = InMemory::start(Config { cpus: 2.0, gpus: 1.0, ..Config::default() });
//! let bundles = [Demand::cpus(1.0), Demand::none().with_gpus(0.5)];
//! let job = JobId(3);
//! let new = NewGroup { bundles: &bundles, strategy: Strategy::Pack, job, detached: false, by: None };
//! let group: GroupId = scheduler.create_group(new).expect("the machine has as much");
//! assert_eq!(scheduler.group_state(group), Some(GroupState::Ready));
//! assert_eq!(GroupId::from_bits(group.to_bits()), group);
//! let listed: Vec<GroupInfo> = scheduler.groups(Cursor::default(), 10).items;
//! assert_eq!((listed[0].id, listed[0].bundles[0].cpu), (group, 10_000));
//!
//! // In any bundle that has room, or in one by its number.
//! let (one, half) = (Demand::cpus(1.0), Demand::none().with_gpus(0.5));
//! let anywhere = NewTask { placement: Placement::within(group), ..task("any", &objects[0], &[], &one) };
//! let second =
//!     NewTask { placement: Placement::bundle(group, 1), ..task("gpu", &objects[1], &[], &half) };
//! scheduler.submit(anywhere)?;
//! scheduler.submit(second)?;
//! let mut ran = run_all(&scheduler);
//! ran.sort_unstable();
//! assert_eq!(ran, ["any", "gpu"]);
//!
//! scheduler.remove_group(group);
//! assert_eq!(scheduler.resources().free, scheduler.resources().total);
//! scheduler.job_ended(job); // with whatever else was that job's
//! # Ok::<(), SubmitError<Job>>(())
//! ```
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

#![warn(clippy::print_stderr, clippy::print_stdout)]
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
mod turn;

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
pub use turn::Turn;

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
