//! Where the current code runs: which task, which actor, which process.
//!
//! A worker notes on its thread what it is about to run; whoever asks gets a copy. Threads that user code
//! starts itself know their process and nothing of the task.

use std::{cell::RefCell, fmt, marker::PhantomData, sync::Arc};

use rustyray_store::ObjectId;

use crate::{
    options::UNIT,
    runtime::{
        Core, current,
        submission::{Extension, Occupied},
    },
    spec::{Header, Kind, Submitter},
};

/// What is known about the code that asks.
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::remote(name = "census", num_cpus = 0.5)]
/// fn describe() -> (bool, String, f64) {
///     let context = rustyray::context();
///     assert!(context.task_id.is_some() && !context.in_actor() && !context.is_cancelled());
///     (context.returns.is_some(), context.task_name.unwrap_or_default(), context.resources.cpus)
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let described = describe_remote::remote().await?;
/// assert_eq!(described.get().await?, (true, "census".to_owned(), 0.5));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Context {
    /// The session: one for each start of a node, which `rustyray status` writes in hexadecimal. `None` when no
    /// runtime is running.
    pub node_id: Option<u64>,
    /// The driver whose work this is, counted from 1; a task's is that of whoever submitted it.
    pub job_id: Option<u32>,
    /// The process id of this worker, or of the driver.
    pub worker_id: u32,
    /// The task or call that is running, in a worker; `rustyray list tasks` writes it in hexadecimal. `None` in
    /// a call that came to its actor past the node, and has no number: `returns` tells of each call which it is.
    pub task_id: Option<u64>,
    /// The name of that task: its own, its function's, or `Class::method`.
    pub task_name: Option<String>,
    /// The first object that the task returns.
    pub returns: Option<ObjectId>,
    /// Which attempt of the task this is, from 0; for an actor's constructor, which incarnation.
    pub attempt: u32,
    /// The actor in whose process the code runs, as its handle's `id` names it.
    pub actor_id: Option<ObjectId>,
    /// The name under which that actor is registered, where it has one.
    pub actor_name: Option<String>,
    /// How often that actor was restarted: 0 in its first process.
    pub incarnation: u32,
    /// What the task, or the actor, occupies.
    pub resources: Resources,
    core: Option<Arc<Core>>,
}

/// What a task or an actor occupies while it runs.
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::remote(num_cpus = 0.25, memory = 1000, resources(camera = 1.0))]
/// fn occupied() -> (f64, u64, Vec<(String, f64)>) {
///     let resources = rustyray::context().resources;
///     assert!(resources.gpus == 0.0 && resources.gpu_ids.is_empty());
///     (resources.cpus, resources.memory_bytes, resources.custom)
/// }
///
/// # fn main() -> rustyray::Result<()> {
/// let builder = rustyray::Builder::new().resource("camera", 2.0);
/// # rustyray::block_on(async {
/// builder.start().await?;
/// let occupied = occupied_remote::remote().await?.get().await?;
/// assert_eq!(occupied, (0.25, 1000, vec![("camera".to_owned(), 1.0)]));
/// rustyray::shutdown().await
/// # })
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Resources {
    /// Cpus.
    pub cpus: f64,
    /// Gpus, perhaps a part of one.
    pub gpus: f64,
    /// Which gpus these are; `CUDA_VISIBLE_DEVICES` names the same.
    pub gpu_ids: Vec<u32>,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Custom resources by name.
    pub custom: Vec<(String, f64)>,
}

impl Context {
    /// Whether somebody has cancelled the task that asks. Code that can end early looks now and then; what
    /// it returns then is of no interest to anybody.
    pub fn is_cancelled(&self) -> bool {
        let who = self.task_id.map(Submitter::Task).or(self.returns.map(Submitter::Call));
        match (&self.core, who) {
            (Some(core), Some(who)) => core.interrupts.is_interrupted(who),
            _ => false,
        }
    }

    /// Whether the code runs in an actor.
    pub fn in_actor(&self) -> bool {
        self.actor_id.is_some()
    }
}

/// A number as listings write it.
struct Hexadecimal(u64);

impl fmt::Debug for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("node_id", &self.node_id.map(Hexadecimal))
            .field("job_id", &self.job_id)
            .field("worker_id", &self.worker_id)
            .field("task_id", &self.task_id.map(Hexadecimal))
            .field("task_name", &self.task_name)
            .field("attempt", &self.attempt)
            .field("actor_id", &self.actor_id)
            .field("actor_name", &self.actor_name)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

/// A task or call, as the thread that runs it knows it.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) header: Header,
    pub(crate) returns: Option<ObjectId>,
    pub(crate) extension: Option<Arc<Extension>>,
}

// It is moved with each call, and what is larger is not moved word by word.
const _: () = assert!(size_of::<Running>() <= 128);

impl Running {
    /// The name by which the call appears in errors.
    pub(crate) fn name(&self) -> String {
        let own = self.extension.as_ref().and_then(|extension| extension.name.clone());
        match own {
            Some(name) if self.header.kind == Kind::Task => name,
            _ => self.header.name(),
        }
    }
}

fn resources(extension: Option<&Extension>, otherwise: Occupied, gpu_ids: &[u32]) -> Resources {
    let occupied = extension.and_then(|extension| extension.occupied).unwrap_or(otherwise);
    let parts = |parts: u32| f64::from(parts) / f64::from(UNIT);
    Resources {
        cpus: parts(occupied.cpus),
        gpus: parts(occupied.gpus),
        gpu_ids: gpu_ids.to_vec(),
        memory_bytes: occupied.memory_bytes,
        custom: extension.map_or_else(Vec::new, |extension| {
            let custom = extension.custom.iter();
            custom.map(|(name, amount)| (name.clone(), parts(*amount))).collect()
        }),
    }
}

thread_local! {
    /// What this thread runs, the innermost last.
    static RUNNING: RefCell<Vec<Running>> = const { RefCell::new(Vec::new()) };
}

/// Where the current code runs: in a task, an actor, or a driver.
///
/// ```
/// let context = rustyray::context();
/// assert_eq!(context.worker_id, std::process::id());
/// assert_eq!(context.task_id, None);
/// assert!(!context.is_cancelled());
/// ```
pub fn context() -> Context {
    let running = current_call();
    let running = running.as_ref();
    let core = current::get().ok();
    let actor = core.as_ref().and_then(|core| core.occupant());
    let constructing = running.filter(|running| running.header.kind == Kind::Construct);
    let job = running.map(|running| running.header.job);
    let gpu_ids = core.as_ref().map(|core| core.gpu_ids()).unwrap_or_default();
    // Of the actor that is being constructed, or lives here; otherwise of the task.
    let actor_extension = match constructing {
        Some(running) => running.extension.as_ref(),
        None => actor.as_ref().and_then(|actor| actor.extension()),
    };
    let resources = match running {
        _ if actor.is_some() || constructing.is_some() => {
            resources(actor_extension.map(|extension| &**extension), Occupied::default(), &gpu_ids)
        }
        Some(running) => resources(running.extension.as_deref(), Occupied::ORDINARY, &gpu_ids),
        None => Resources::default(),
    };
    Context {
        node_id: core.as_ref().map(|core| core.session()),
        job_id: job.or_else(|| core.as_ref().map(|core| core.job())).filter(|&job| job != 0),
        worker_id: std::process::id(),
        task_id: running.map(|running| running.header.task).filter(|&task| task != 0),
        task_name: running.map(Running::name),
        returns: running.and_then(|running| running.returns),
        attempt: running.map_or(0, |running| u32::from(running.header.attempt)),
        actor_id: constructing
            .and_then(|running| running.returns)
            .or_else(|| actor.as_ref().map(|actor| actor.token())),
        actor_name: actor_extension.and_then(|extension| extension.name.clone()),
        incarnation: constructing
            .map(|running| u32::from(running.header.attempt))
            .or_else(|| actor.as_ref().map(|actor| actor.incarnation()))
            .unwrap_or(0),
        resources,
        core,
    }
}

/// The task or call that this thread runs just now.
pub(crate) fn current_call() -> Option<Running> {
    RUNNING.with(|running| running.borrow().last().cloned())
}

/// Its number and whose work it is.
pub(crate) fn running() -> Option<(u64, u32)> {
    RUNNING.with(|running| {
        running.borrow().last().map(|running| (running.header.task, running.header.job))
    })
}

/// The word by which what is submitted here names the task or call that this thread runs, and whose work it is.
#[inline]
pub(crate) fn parent() -> Option<(u64, u32)> {
    RUNNING.with(|running| {
        let running = running.borrow();
        let Running { header, returns, .. } = running.last()?;
        Some((header.who(*returns).map_or(0, Submitter::to_word), header.job))
    })
}

/// The task or call that this thread runs just now, as what it submits names it.
#[cold]
pub(crate) fn submitter() -> Option<Submitter> {
    RUNNING.with(|running| {
        running.borrow().last().and_then(|running| running.header.who(running.returns))
    })
}

/// What kind of call it is, and its method.
pub(crate) fn running_call() -> Option<(Kind, u16)> {
    RUNNING.with(|running| {
        running.borrow().last().map(|running| (running.header.kind, running.header.index))
    })
}

/// The name of the task that this thread runs just now; a thread that is ending runs nothing any more.
pub(crate) fn running_name() -> Option<String> {
    let name = |running: &RefCell<Vec<Running>>| running.borrow().last().map(Running::name);
    RUNNING.try_with(name).ok().flatten()
}

/// While it lives, this thread runs a task. Those of one thread end in the reverse order of their beginnings.
pub(crate) struct TaskContext {
    /// How many ran there before.
    outer: usize,
    _of_this_thread: PhantomData<*const ()>,
}

impl TaskContext {
    #[inline]
    pub(crate) fn enter(running: Running) -> TaskContext {
        let outer = RUNNING.with(|stack| {
            let mut stack = stack.borrow_mut();
            stack.push(running);
            stack.len() - 1
        });
        TaskContext { outer, _of_this_thread: PhantomData }
    }
}

impl Drop for TaskContext {
    fn drop(&mut self) {
        // A thread that is ending runs nothing any more.
        let _ = RUNNING.try_with(|stack| stack.borrow_mut().truncate(self.outer));
    }
}
