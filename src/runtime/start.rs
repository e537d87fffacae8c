//! Starting a node in this process, attaching to one elsewhere, and ending either.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::errno::Errno;
use rustyray_ipc::{BindError, Listener, Patience};
use rustyray_scheduler::Config;

use super::{
    Core, Link, background,
    control::Control,
    current,
    doorbells::Doorbells,
    guard::Guard,
    machine,
    node::{self, Node, memory, review, spares::Kept},
    places,
    pool::{self, Pool},
    printer, program,
    wire::Role,
    worker,
};
use crate::{
    error::{Error, Result},
    notice, registry,
};

/// What a node is started with.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    pub(crate) cpus: Option<f64>,
    pub(crate) gpus: f64,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) max_workers: usize,
    pub(crate) custom: Vec<(String, f64)>,
    pub(crate) store: rustyray_store::Config,
    pub(crate) limits: memory::Limits,
    /// How long a worker beyond those stays that has nothing to do.
    pub(crate) idle_time: Duration,
    pub(crate) grace: Duration,
    pub(crate) socket: Option<PathBuf>,
    /// Listen in the directory of the user's nodes, to be found there.
    pub(crate) visible: bool,
    /// The node is all that this process is for.
    pub(crate) daemon: bool,
    /// Workers to begin with; as many as cpus, at most one per core, where it is not said.
    pub(crate) first_workers: Option<usize>,
    /// Record tasks that end from the beginning.
    pub(crate) record: bool,
    /// Record where in programs objects are made.
    pub(crate) record_sites: bool,
    /// Where metrics are served.
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<std::net::SocketAddr>,
}

/// For how long quick tasks queue rather than wake a worker: about what that costs on a machine where all cores have
/// something to do. What can be measured at the start, before they have, is much less.
const WAKE_COST: Duration = Duration::from_micros(100);

/// How many cpus this process may use.
pub(crate) fn available_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn session() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    now ^ u64::from(std::process::id()) << 40
        ^ COUNT.fetch_add(1, Ordering::Relaxed).rotate_left(32)
}

/// Starts the guard of the sockets at `paths`, beside what else is to be started. Without one a node runs as
/// well, and leaves its sockets behind when it is killed.
fn guard_of(paths: Vec<PathBuf>) -> Option<std::thread::JoinHandle<Option<Guard>>> {
    let starting = std::thread::Builder::new().name("rustyray-guard".into());
    if paths.is_empty() {
        return None;
    }
    starting.spawn(move || Guard::of(&paths).ok()).ok()
}

fn cannot_listen(error: &BindError) -> Error {
    let (reason, errno) = match error {
        BindError::Io { source, .. } => (format!(": {source}"), source.raw_os_error()),
        BindError::ForeignOwner { .. } => (String::new(), Some(Errno::EPERM as i32)),
        _ => (String::new(), None),
    };
    Error::Io {
        context: "listening for other processes".into(),
        message: format!("{error}{reason}"),
        errno,
    }
}

/// Starts a node in this process.
pub(crate) fn node(config: NodeConfig) -> Result<Arc<Core>> {
    registry::check()?;
    let background = background::handle()?;
    background.spawn(async { notice::wait_for_nobody() });
    let session = session();
    let visible = config.visible.then(places::new_entry);
    let guard = guard_of(config.socket.iter().chain(&visible).cloned().collect());
    let (control, descriptor) =
        Control::create(session).map_err(|error| Error::io("making the control memory", &error))?;
    control.set_wake_cost(Patience::calibrated().wake_cost());
    if config.record_sites {
        control.record_sites();
    }
    let capacity_bytes = config.store.capacity_bytes;
    let store = rustyray_store::Node::create(config.store).map_err(super::store_error::<()>)?;
    let doorbells = Arc::new(Doorbells::new(&control));
    store.connect_wake(Arc::clone(&doorbells) as _);
    let cpus = config.cpus.unwrap_or(available_cpus() as f64);
    let memory_bytes = config.memory_bytes.unwrap_or_else(|| {
        let total = machine::memory().map_or(0, |memory| memory.total_bytes);
        total.saturating_sub(capacity_bytes)
    });
    let scheduler = Config {
        cpus,
        gpus: config.gpus,
        memory_bytes,
        custom: config.custom,
        worker_limit: config.max_workers,
        actor_limit: pool::most_actors(config.max_workers),
        wake_cost: WAKE_COST,
        ..Config::default()
    };
    let _context = background.enter();
    let guard = guard.and_then(|starting| starting.join().ok().flatten());
    let mut listeners = Vec::new();
    if let Some(path) = &config.socket {
        listeners.push(Listener::bind(path).map_err(|error| cannot_listen(&error))?);
    }
    if let Some(path) = visible {
        match Listener::bind(path) {
            Ok(listener) => listeners.push(listener),
            // Nobody could attach to it, and that is all it is for.
            Err(error) if config.daemon && listeners.is_empty() => {
                return Err(cannot_listen(&error));
            }
            // To a program it is no reason not to run: its node is just not found there.
            Err(_) => {}
        }
    }
    let sockets: Vec<_> = listeners.iter().map(|listener| listener.path().to_owned()).collect();
    let pool = Pool::new(
        session,
        descriptor,
        sockets.clone(),
        config.daemon,
        config.max_workers,
        config.gpus > 0.0,
    );
    let usual = (cpus.ceil() as usize).clamp(1, available_cpus());
    let first = config.first_workers.unwrap_or(usual.min(config.max_workers));
    let kept = Kept { own: first.max(usual), other: usual, idle_time: config.idle_time };
    let node = Node::new(
        store,
        control.clone(),
        Arc::clone(&doorbells),
        pool,
        scheduler,
        config.limits,
        kept,
    );
    let client = Arc::clone(&node.client);
    let core = Arc::new(Core::new(
        session,
        sockets.clone(),
        client,
        Link::Node(Arc::clone(&node)),
        control,
        doorbells,
        config.grace,
        node::OWN_JOB,
    ));
    core.let_go_for_room();
    let serving = Arc::clone(&core);
    std::thread::Builder::new()
        .name("rustyray-node".into())
        .spawn(move || serve(&serving))
        .map_err(|error| Error::io("starting the node's thread", &error))?;
    if !listeners.is_empty() {
        pool::listen_for_others(&node, listeners, guard);
    }
    memory::watch(&node);
    review::watch(&node);
    if config.record {
        // For good: the watch is never dropped.
        std::mem::forget(node.watch());
    }
    #[cfg(feature = "metrics")]
    if let Some(address) = config.metrics {
        super::metrics::serve(&node, address)?;
    }
    node.scheduler().workers_expected(program::OWN, first);
    pool::start(&node, program::OWN, first);
    Ok(core)
}

/// The service thread: does what is to be done while no other thread of the process is awake to do it.
fn serve(core: &Core) {
    let Link::Node(node) = &core.link else { return };
    notice::wait_for_nobody();
    let mut let_go = Instant::now();
    let mut bells = [None; 1 << u8::BITS];
    while !core.is_closed() {
        // Asleep unless the doorbell rings; once a second it tidies up.
        core.serve_until_idle();
        if let_go.elapsed() >= Duration::from_secs(1) {
            core.let_go();
            node.look_after_bells(&mut bells);
            let_go = Instant::now();
        }
        node.tidy();
    }
}

/// Attaches to the node that listens at `path`.
pub(crate) fn connect(path: &std::path::Path) -> Result<Arc<Core>> {
    registry::check()?;
    let found;
    let path = if path == std::path::Path::new("auto") {
        found = places::only_node()?;
        &found
    } else {
        path
    };
    worker::attach(places::connect(path)?, Some(path), Role::Driver, 0)
}

impl Core {
    /// Whether this is the end that may end the runtime: a worker is the node's, and would take from the task that
    /// runs here what it lives on.
    pub(crate) fn may_shut_down(&self) -> Result<()> {
        match &self.link {
            Link::Uplink(uplink) if uplink.role == Role::Worker => Err(Error::invalid(
                "the runtime is not to be shut down by a task or an actor: the program that started it does that",
            )),
            _ => Ok(()),
        }
    }

    /// Ends the runtime in order. Actors answer the calls that they have and run `on_stop`, for at most three
    /// quarters of the grace, while tasks go on; then workers finish what they were given, and then all ends.
    ///
    /// In a child that was forked off it is over: what could end it in order are threads that the child has not, and
    /// workers and a connection that are its parent's.
    pub(crate) fn shutdown(self: &Arc<Self>) {
        if self.client.is_forked() {
            self.forget();
            return current::unregister(self);
        }
        let grace = self.grace;
        if let Link::Node(node) = &self.link {
            // Then every actor has the calls that were made before.
            self.lines.drain(self, Instant::now().checked_add(grace * 3 / 4));
            if let Ok(background) = background::handle() {
                let (done, wait) = std::sync::mpsc::channel::<()>();
                let node = Arc::clone(node);
                background.spawn(async move {
                    let deadline = tokio::time::Instant::now() + grace;
                    let _ = tokio::time::timeout(grace * 3 / 4, node.drain_actors()).await;
                    node.close();
                    if tokio::time::timeout_at(deadline, node.pool.emptied()).await.is_err() {
                        node.kill_all();
                        node.pool.emptied().await;
                    }
                    // One that has stopped reading is not waited for.
                    let _ = tokio::time::timeout(pool::TELLING, node.pool.output.all_told()).await;
                    printer::all_printed().await;
                    drop(done);
                });
                let _ = wait.recv();
            } else {
                node.close();
            }
        }
        if let Link::Uplink(uplink) = &self.link {
            self.lines.drain(self, Instant::now().checked_add(grace));
            uplink.hang_up();
        }
        self.close();
        current::unregister(self);
        if let Link::Node(node) = &self.link {
            node.let_go_of_groups();
            let left = node.store.shutdown().objects.len();
            if cfg!(debug_assertions) && left > 0 {
                let objects =
                    if left == 1 { "an object".into() } else { format!("{left} objects") };
                crate::notice!(
                    "rustyray: references to {objects} were still in scope at the shutdown, which ended them \
                     (harmless; only a debug build says so)"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Builder;

    #[test]
    fn no_more_workers_begin_than_there_may_be() {
        let builder = Builder::new().num_cpus(8.0).max_workers(1).visible(false);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        assert_eq!(node.pool.alive(), 1);
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
