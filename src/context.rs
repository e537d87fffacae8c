//! Where the current code runs: which task, which actor, which process.

use std::cell::RefCell;

use rustyray_store::ObjectId;

use crate::{
    call::Returns,
    error::Result,
    runtime::current,
    spec::{Header, Kind},
};

/// What is known about the code that asks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Context {
    /// The session: one for each start of a node.
    pub node_id: u64,
    /// The process id of this worker, or of the driver.
    pub worker_id: u32,
    /// The task that is running, in a worker.
    pub task_id: Option<u64>,
    /// The first object that the task returns.
    pub returns: Option<ObjectId>,
    /// Which attempt of the task this is, from 0; for an actor's constructor, which incarnation.
    pub attempt: u16,
    /// Whether the code runs in an actor.
    pub in_actor: bool,
    /// The actor that the code runs in: what its handles call [`ActorHandle::id`](crate::ActorHandle::id).
    pub actor_id: Option<ObjectId>,
    /// How often that actor was restarted: 0 in its first process.
    pub incarnation: u32,
}

#[derive(Clone)]
struct Running {
    task: u64,
    attempt: u16,
    returns: Option<ObjectId>,
    kind: Kind,
    method: u16,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Where the current code runs.
///
/// # Errors
/// [`crate::Error::NotInitialized`] when no runtime is running.
pub fn context() -> Result<Context> {
    let running = RUNNING.with(|running| running.borrow().clone());
    current::with(|core| {
        let actor = core.occupant();
        let constructing = running.as_ref().filter(|running| running.kind == Kind::Construct);
        Context {
            actor_id: constructing
                .and_then(|running| running.returns)
                .or_else(|| actor.as_ref().map(|actor| actor.token())),
            incarnation: constructing
                .map(|running| u32::from(running.attempt))
                .or_else(|| actor.as_ref().map(|actor| actor.incarnation()))
                .unwrap_or(0),
            node_id: core.session(),
            worker_id: std::process::id(),
            task_id: running.as_ref().map(|running| running.task),
            returns: running.as_ref().and_then(|running| running.returns),
            attempt: running.as_ref().map_or(0, |running| running.attempt),
            in_actor: actor.is_some() || running.is_some_and(|running| running.kind != Kind::Task),
        }
    })
}

/// What kind of call this thread runs, and its method.
pub(crate) fn running_call() -> Option<(Kind, u16)> {
    RUNNING.with(|running| running.borrow().as_ref().map(|running| (running.kind, running.method)))
}

/// Whether this thread runs a task or a call just now.
pub(crate) fn is_running() -> bool {
    RUNNING.with(|running| running.borrow().is_some())
}

/// While it lives, this thread runs a task.
pub(crate) struct TaskContext {
    outer: Option<Running>,
}

impl TaskContext {
    pub(crate) fn enter(header: &Header, returns: &Returns) -> TaskContext {
        let running = Running {
            task: header.task,
            attempt: header.attempt,
            returns: returns.ids.as_slice().first().copied(),
            kind: header.kind,
            method: header.index,
        };
        TaskContext { outer: RUNNING.with(|slot| slot.borrow_mut().replace(running)) }
    }
}

impl Drop for TaskContext {
    fn drop(&mut self) {
        let outer = self.outer.take();
        RUNNING.with(|slot| *slot.borrow_mut() = outer);
    }
}
