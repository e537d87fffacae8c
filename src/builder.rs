//! Starting, finding and ending runtimes.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    amount::{Amount, units},
    error::{Error, Result},
    runtime::{
        Core, EnterGuard, Limits, Link, current,
        start::{self, NodeConfig},
    },
};

/// How long workers may take to finish what they were given when the runtime is shut down; of an attached driver,
/// how long it waits for the actors that it has called.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How long a worker beyond those that are kept stays with nothing to do.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// As good as for ever, and short enough to be reckoned with.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The share of the machine's memory that may be in use before workers are ended.
const THRESHOLD: f64 = 0.95;

/// The most workers of one node: the rest of its 255 clients may be drivers.
pub(crate) const MAX_WORKERS: usize = 240;

/// Starts a node in this process with other than the defaults.
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> rustyray::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("rustyray-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).expect("a directory");
/// # rustyray::block_on(async {
/// let runtime = rustyray::Builder::new()
///     // What there is to give out.
///     .num_cpus(2.0)
///     .num_gpus(0.0)
///     .memory(1 << 30)
///     .resource("camera", 1.0)
///     // Workers.
///     .first_workers(1)
///     .max_workers(8)
///     .worker_memory(4 << 30)
///     .memory_threshold(0.9)
///     .shutdown_grace(Duration::from_secs(2))
///     // Objects.
///     .object_store_memory(64 << 20)
///     .object_store_reserve(1 << 20)
///     .spill_dir(&directory)
///     .lineage_memory(1 << 20)
///     // Who finds it, and what it keeps for them.
///     .socket(directory.join("node.sock"))
///     .visible(false)
///     .record(true)
///     .start()
///     .await?;
/// assert_eq!(runtime.socket(), Some(directory.join("node.sock").as_path()));
/// rustyray::shutdown().await
/// # })?;
/// # std::fs::remove_dir_all(&directory).expect("it is empty");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing starts before `start`"]
pub struct Builder {
    config: NodeConfig,
}

impl Builder {
    /// As many cpus as the process may use, no gpus, 30% of the machine's memory for objects.
    pub fn new() -> Self {
        Builder {
            config: NodeConfig {
                cpus: None,
                gpus: 0.0,
                memory_bytes: None,
                max_workers: MAX_WORKERS,
                custom: Vec::new(),
                store: rustyray_store::Config::default(),
                idle_time: IDLE_TIME,
                limits: Limits { threshold: THRESHOLD, workers_bytes: None },
                grace: GRACE,
                socket: None,
                visible: true,
                daemon: false,
                first_workers: None,
                record: false,
                record_sites: std::env::var_os("RUSTYRAY_RECORD_CALL_SITES")
                    .is_some_and(|value| value != "0"),
                #[cfg(feature = "metrics")]
                metrics: None,
            },
        }
    }

    /// How many cpus the node has to give, from 0 to 400,000; fractions count to 1/10000. By default as many as this
    /// process may use. Also how many workers it starts with, at most one per core.
    pub fn num_cpus(mut self, cpus: impl Amount) -> Self {
        self.config.cpus = Some(units(cpus));
        self
    }

    /// How many gpus the node has to give, from 0 to 400,000; none by default. They are numbered from 0, and on a
    /// node that has some a task finds the numbers of its own, none included, in `CUDA_VISIBLE_DEVICES`.
    pub fn num_gpus(mut self, gpus: impl Amount) -> Self {
        self.config.gpus = units(gpus);
        self
    }

    /// How many worker processes there can be, those in which actors live included; from 1 to 240, which is the
    /// default. There are more workers than cpus only while tasks wait for others: where even these are too
    /// few, what is waited for runs in the process that waits. Of each sixteen, one is kept for tasks. Where actors live
    /// in all the others, further actors wait until one ends, and tasks too where there are fewer than sixteen; standard
    /// error and `rustyray status` say so.
    pub fn max_workers(mut self, workers: usize) -> Self {
        self.config.max_workers = workers;
        self
    }

    /// How much memory the node has to give to tasks and actors that ask for some, in bytes; by default what
    /// the machine, or the control group of this process, has beyond the object store.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.config.memory_bytes = Some(bytes);
        self
    }

    /// The share of the machine's memory, or of what the control group of this process may use, that may be in
    /// use; 0.95 by default. Above it workers are killed, one by one, before the system has to kill somebody:
    /// first those with nothing to do, then those of tasks that may be run again, then those of other tasks, and
    /// those of actors last; among equals the one that began last. A worker that uses less than a quarter of
    /// what workers use on average is left alone. The task fails with [`Error::OutOfMemory`] or, if it has
    /// retries, is run again: when it would have had room without the others, that waits until there is room,
    /// and up to 16 times is not counted among its retries. Standard error says who was killed, and why.
    ///
    /// 1 turns that off.
    pub fn memory_threshold(mut self, share: f64) -> Self {
        self.config.limits.threshold = share;
        self
    }

    /// How much memory the workers may use together, in bytes, not counting objects nor what processes that they
    /// start use; no limit by default. Above it workers are killed as above [`Builder::memory_threshold`].
    pub fn worker_memory(mut self, bytes: u64) -> Self {
        self.config.limits.workers_bytes = Some(bytes);
        self
    }

    /// How much of a custom resource the node has to give, from 0 to 400,000; fractions count to 1/10000. `cpu`, `gpu` and
    /// `memory` are no such names.
    pub fn resource(mut self, name: impl Into<String>, amount: impl Amount) -> Self {
        self.config.custom.push((name.into(), units(amount)));
        self
    }

    /// How many bytes of objects are kept in memory, from 64 KiB to 64 TiB. By default 30% of the machine's memory, at
    /// most half of what is available when the node starts, and within what the control group allows.
    pub fn object_store_memory(mut self, bytes: u64) -> Self {
        self.config.store.capacity_bytes = bytes;
        self
    }

    /// How many bytes of memory for objects are made ready before anybody puts something there, which then costs
    /// what copying it does; by default a sixteenth of [`Builder::object_store_memory`], at most 256 MiB. A thread
    /// does that while a processor has nothing to do, or somebody puts objects there, and 2 MiB a second where neither comes to
    /// be; as long as the machine has memory to spare. Nobody waits for it. What was used before is ready in any case.
    pub fn object_store_reserve(mut self, bytes: u64) -> Self {
        self.config.store.reserve_bytes = Some(bytes);
        self
    }

    /// Where objects go that memory has no room for; by default the directory for temporary files, if that is
    /// on a disk, else `/var/tmp`, if that is. Nothing is written there before memory runs short.
    pub fn spill_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.store.spill_dir = Some(path.into());
        self
    }

    /// How much memory the node may use to remember how results were made, in bytes; 64 MiB by default. A result whose
    /// file in the spill directory is damaged or gone is made again from that, by its task, within its
    /// retries; beyond, what was made first is forgotten first, and is [`Error::ObjectLost`] with its file. 0
    /// remembers nothing.
    pub fn lineage_memory(mut self, bytes: u64) -> Self {
        self.config.store.origin_bytes = bytes;
        self
    }

    /// Has the kernel seal every object (`F_SEAL_WRITE`, fcntl(2)), so that not even a hostile process of this user can
    /// change it; without it, seals are against accidents.
    ///
    /// Each object is then a memfd of its own: whole pages, which nobody used before, some 25 system calls for a put and
    /// the first view of it together, and a descriptor of the node's process as long as it is in memory
    /// (`RLIMIT_NOFILE` says how many there can be). So it is for objects that are few and large. A put fails with
    /// [`Error::Io`] while another process has the object's memory mapped for writing.
    ///
    /// ```
    /// # fn main() -> rustyray::Result<()> {
    /// let builder = rustyray::Builder::new().strict_objects();
    /// # rustyray::block_on(async {
    /// builder.start().await?;
    /// let numbers = rustyray::put(&vec![7_u64; 1000]).await?;
    /// assert_eq!(numbers.view().await?.len(), 1000); // read in place, as any other
    /// rustyray::shutdown().await
    /// # })
    /// # }
    /// ```
    pub fn strict_objects(mut self) -> Self {
        self.config.store.tier = rustyray_store::Tier::Strict;
        self
    }

    /// Where the node listens for other processes that want to attach, besides its place among the user's
    /// nodes ([`Builder::visible`]): a path of at most 107 bytes in a directory of this user's that nobody else may
    /// write to. A missing directory is made, and a socket that nobody listens on any more is replaced.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.socket = Some(path.into());
        self
    }

    /// Whether the node has a place in the directory of this user's nodes, where `rustyray status` and
    /// `connect("auto")` find it; true by default. The directory is `$RUSTYRAY_DIR`, or `rustyray` in
    /// `$XDG_RUNTIME_DIR`, or `rustyray-UID` among the temporary files. Other users cannot enter it.
    pub fn visible(mut self, visible: bool) -> Self {
        self.config.visible = visible;
        self
    }

    /// How many workers are started with the node; by default as many as it has cpus, at most one per core.
    /// Others follow when they are needed.
    pub fn first_workers(mut self, workers: usize) -> Self {
        self.config.first_workers = Some(workers);
        self
    }

    /// How long a worker stays that has nothing to do, beyond those that the node starts with and one per cpu;
    /// 10 s by default, at least 10 ms. It ends after at least so long and less than twice that. Workers that run
    /// something, wait for something, or live for an actor stay.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// /// The processes of tasks that wait for one another: each takes a worker.
    /// #[rustyray::remote]
    /// async fn processes(depth: u32) -> rustyray::Result<Vec<u32>> {
    ///     let mut below = match depth {
    ///         0 => Vec::new(),
    ///         _ => processes_remote::remote(depth - 1).await?.get().await?,
    ///     };
    ///     below.push(std::process::id());
    ///     Ok(below)
    /// }
    ///
    /// # fn main() -> rustyray::Result<()> {
    /// // A program that has work now and then, and wants its memory back in between.
    /// let builder = rustyray::Builder::new().num_cpus(1.0);
    /// let builder = builder.idle_worker_time(Duration::from_millis(50));
    /// # rustyray::block_on(async {
    /// let runtime = builder.start().await?;
    /// let mut four = processes_remote::remote(3).await?.get().await?;
    /// four.sort();
    /// four.dedup();
    /// assert_eq!(four.len(), 4);
    /// // All but one end: it has one cpu.
    /// while runtime.worker_pids().len() > 1 {
    ///     std::thread::sleep(Duration::from_millis(10));
    /// }
    /// rustyray::shutdown().await
    /// # })
    /// # }
    /// ```
    pub fn idle_worker_time(mut self, time: Duration) -> Self {
        self.config.idle_time = time.clamp(Duration::from_millis(10), FAR);
        self
    }

    /// Records from the beginning when tasks begin and end, as the timeline shows it: the newest 100,000. By
    /// default that is done only while somebody looks.
    pub fn record(mut self, record: bool) -> Self {
        self.config.record = record;
        self
    }

    /// Records where in programs objects are made: the place of each `put` and of each call with a result, in
    /// every process of the session. `rustyray memory` shows it. By default it is done where
    /// `RUSTYRAY_RECORD_CALL_SITES` is set in the environment, to anything but 0.
    ///
    /// It costs some hundred nanoseconds for each object; nothing where it is off.
    ///
    /// ```
    /// use rustyray::state::{Inspector, Listing};
    ///
    /// # fn main() -> rustyray::Result<()> {
    /// let builder = rustyray::Builder::new().record_call_sites(true);
    /// let runtime = rustyray::block_on(builder.start())?;
    /// let numbers = rustyray::blocking::put(&vec![7_u64; 1000])?;
    ///
    /// let mut inspector = Inspector::connect(runtime.socket().expect("it can be found"))?;
    /// let rows = inspector.objects(&Listing::new().filter("id", numbers.id().to_string()))?;
    /// let site = rows[0].site.as_deref().expect("it is recorded");
    /// assert!(site.contains(&format!("{}:", file!())), "{site}");
    /// # drop(inspector);
    /// # rustyray::blocking::shutdown()
    /// # }
    /// ```
    pub fn record_call_sites(mut self, record: bool) -> Self {
        self.config.record_sites = record;
        self
    }

    /// Serves metrics for Prometheus at `http://address/metrics`. The address must be a loopback one: what is
    /// served is for whoever may connect.
    ///
    /// ```
    /// use std::net::{Ipv4Addr, SocketAddr};
    ///
    /// # fn main() -> rustyray::Result<()> {
    /// # rustyray::block_on(async {
    /// # use std::{io::{Read, Write}, net::{TcpListener, TcpStream}};
    /// # let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    /// let here = SocketAddr::from((Ipv4Addr::LOCALHOST, free));
    /// rustyray::Builder::new().metrics(here).start().await?;
    /// // As Prometheus asks for them:
    /// let mut asked = TcpStream::connect(here).expect("it listens");
    /// asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    /// let mut answer = String::new();
    /// asked.read_to_string(&mut answer).expect("it answers");
    /// assert!(answer.contains("\nrustyray_tasks_failed_total 0\n"), "{answer}");
    /// rustyray::shutdown().await?;
    ///
    /// let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9090));
    /// let refused = rustyray::Builder::new().metrics(everywhere).start().await;
    /// assert!(refused.unwrap_err().to_string().contains("loopback"));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, address: std::net::SocketAddr) -> Self {
        self.config.metrics = Some(address);
        self
    }

    /// Says that the node is all this process is for, as `rustyray start` does: `rustyray stop` may end it.
    ///
    /// ```
    /// use rustyray::state::Inspector;
    ///
    /// # fn main() -> rustyray::Result<()> {
    /// // A program of one's own in the place of `rustyray start`.
    /// let builder = rustyray::Builder::new().num_cpus(1.0).daemon();
    /// let node = rustyray::block_on(builder.start())?;
    /// let mut inspector = Inspector::connect(node.socket().expect("it can be found"))?;
    /// assert!(inspector.node()?.daemon);
    /// # drop(inspector);
    /// # rustyray::blocking::shutdown()
    /// # }
    /// ```
    pub fn daemon(mut self) -> Self {
        self.config.daemon = true;
        self
    }

    /// How long workers may take to finish what they were given when the runtime is shut down; 5 s by
    /// default. Three quarters of it are for actors, which answer the calls that they have and run `on_stop`.
    /// Those that take longer are killed.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace.min(FAR);
        self
    }

    /// Starts the node. It becomes the runtime of this thread and of the tokio runtime that it belongs to.
    ///
    /// That blocks this thread for some milliseconds, in which memory is mapped and threads are started; workers are
    /// not waited for. It is done by the first poll, and nothing is left to cancel.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for options that cannot be, and when this thread or its tokio runtime has a runtime
    /// already; [`Error::Io`] when the system refuses memory, threads or the socket, or no directory can be made for
    /// what is spilled.
    pub async fn start(self) -> Result<Runtime> {
        self.start_blocking()
    }

    pub(crate) fn start_blocking(self) -> Result<Runtime> {
        let amounts =
            [("num_cpus", self.config.cpus.unwrap_or(1.0)), ("num_gpus", self.config.gpus)];
        let custom = self.config.custom.iter().map(|(name, amount)| (name.as_str(), *amount));
        for (name, amount) in amounts.into_iter().chain(custom) {
            if !(0.0..=400_000.0).contains(&amount) {
                return Err(Error::invalid(format!(
                    "{name} is {amount}, it lies between 0 and 400000"
                )));
            }
        }
        // Two of a name could not be told apart by those who look.
        for (name, by) in [("cpu", "num_cpus"), ("gpu", "num_gpus"), ("memory", "memory")] {
            if self.config.custom.iter().any(|(custom, _)| custom == name) {
                return Err(Error::invalid(format!(
                    "`{name}` is no custom resource: how much there is says `{by}`"
                )));
            }
        }
        if self.config.custom.iter().any(|(custom, _)| custom.is_empty()) {
            return Err(Error::invalid("a custom resource has a name"));
        }
        let share = self.config.limits.threshold;
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::invalid(format!(
                "memory_threshold is {share}, it lies above 0 and is at most 1"
            )));
        }
        if !(1..=MAX_WORKERS).contains(&self.config.max_workers) {
            let workers = self.config.max_workers;
            return Err(Error::invalid(format!(
                "max_workers is {workers}, it lies between 1 and {MAX_WORKERS}"
            )));
        }
        not_taken()?;
        let core = start::node(self.config)?;
        current::register(&core);
        Ok(Runtime { core })
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

fn not_taken() -> Result<()> {
    if current::is_taken() {
        return Err(Error::invalid(
            "a runtime is running on this thread already: call `rustyray::shutdown` before starting another",
        ));
    }
    Ok(())
}

/// A running runtime. Dropping this does not end it: [`shutdown`] does, or the end of the process.
///
/// ```
/// use rustyray::{Builder, Runtime};
///
/// # fn main() -> rustyray::Result<()> {
/// let one = rustyray::block_on(Builder::new().num_cpus(1.0).start())?;
/// assert_eq!(Runtime::current()?.socket(), one.socket());
///
/// // A thread of one's own says which runtime it means where there are several.
/// let number = std::thread::spawn({
///     let one = one.clone();
///     move || {
///         let _here = one.enter();
///         rustyray::blocking::put(&7)?.get_blocking()
///     }
/// });
/// assert_eq!(number.join().expect("no panic")?, 7);
/// assert!(one.worker_pids().len() <= 1 && one.direct_lines() == 0);
/// rustyray::block_on(one.shutdown())?;
/// assert!(Runtime::current().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Runtime {
    pub(crate) core: Arc<Core>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attached = matches!(self.core.link, Link::Uplink(_));
        f.debug_struct("Runtime")
            .field("session", &format_args!("{:016x}", self.core.session()))
            .field("socket", &self.socket())
            .field("attached", &attached)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// The runtime that this thread means.
    ///
    /// # Errors
    /// [`Error::NotInitialized`] when none is running, or several and none is this thread's.
    pub fn current() -> Result<Runtime> {
        current::get().map(|core| Runtime { core })
    }

    /// Makes this the runtime that the current thread means, while the guard lives: for threads of your own
    /// in a process with several runtimes.
    pub fn enter(&self) -> EnterGuard {
        current::enter(&self.core)
    }

    /// Ends the runtime in order: workers finish what they were given, within the grace
    /// ([`Builder::shutdown_grace`]), and nothing is left behind. In an attached program it lets go of the node, which
    /// goes on, once actors have answered the calls that it made by direct lines, or after 5 s. Idempotent, also from
    /// several threads at once.
    ///
    /// It happens on a thread of its own, and this one goes on with what else it has to do. Dropping the future once
    /// it was polled gives up waiting; the runtime ends all the same.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] in a task or an actor, whose runtime is not theirs to end; see
    /// [`exit_actor`](crate::exit_actor).
    pub async fn shutdown(&self) -> Result<()> {
        self.core.may_shut_down()?;
        let core = Arc::clone(&self.core);
        let (done, ended) = tokio::sync::oneshot::channel();
        let end = move || {
            core.shutdown();
            // Whoever waited may have given up.
            let _ = done.send(());
        };
        match std::thread::Builder::new().name("rustyray-shutdown".into()).spawn(end) {
            Ok(_) => drop(ended.await),
            // Without a thread this one has to do.
            Err(_) => self.core.shutdown(),
        }
        current::unregister(&self.core);
        Ok(())
    }

    /// The store of the node in this process, to look into: for tests. `None` in an attached driver.
    #[doc(hidden)]
    pub fn store(&self) -> Option<Arc<rustyray_store::Node>> {
        match &self.core.link {
            Link::Node(node) => Some(Arc::clone(&node.store)),
            Link::Uplink(_) => None,
        }
    }

    /// Where the node can be reached by other processes of this user; `None` when it cannot. Of several sockets the one
    /// that [`Builder::socket`] names.
    pub fn socket(&self) -> Option<&Path> {
        self.core.socket()
    }

    /// How many direct lines there are between processes that call actors often and those actors; 0 in a process
    /// that is not the node's. See [`crate::actors`].
    pub fn direct_lines(&self) -> usize {
        self.core.direct_lines()
    }

    /// The process ids of the workers that are alive; empty in a process that is not the node's.
    pub fn worker_pids(&self) -> Vec<u32> {
        self.core.worker_pids()
    }
}

/// Starts a node in this process, with the defaults of [`Builder`].
///
/// ```
/// # fn main() -> rustyray::Result<()> {
/// # rustyray::block_on(async {
/// rustyray::init().await?;
/// let number = rustyray::put(&7).await?;
/// assert_eq!(number.get().await?, 7);
/// rustyray::shutdown().await
/// # })
/// # }
/// ```
///
/// # Errors
/// As [`Builder::start`].
pub async fn init() -> Result<Runtime> {
    Builder::new().start().await
}

/// Attaches to the node that listens at `path`, or, for `"auto"`, to the only node of this user.
///
/// The node may run another program: the tasks and actors of this one then run in workers of their own, which
/// the node starts from this process's executable, in this process's directory and with its environment.
///
/// ```
/// # fn main() -> rustyray::Result<()> {
/// let runtime = rustyray::blocking::init()?;
/// let socket = runtime.socket().expect("it can be found").to_owned();
/// // As another program would, which finds the only node by "auto".
/// let attached = std::thread::spawn(move || {
///     rustyray::block_on(async {
///         let attached = rustyray::connect(socket).await?;
///         let number = rustyray::put(&7).await?.get().await?;
///         attached.shutdown().await?;
///         Ok::<_, rustyray::Error>(number)
///     })
/// });
/// assert_eq!(attached.join().expect("no panic")?, 7);
/// rustyray::blocking::shutdown()
/// # }
/// ```
///
/// It blocks this thread for the handshake: some milliseconds, and with a node that is stuck up to 30 s, after which
/// it fails. It is done by the first poll, and nothing is left to cancel.
///
/// # Errors
/// [`Error::NodeGone`] when nobody listens there any more, [`Error::Io`] when this process cannot connect or gets no
/// answer, [`Error::InvalidArgument`] when this thread has a runtime already or the node is of another version,
/// [`Error::RegistryMismatch`] when a program of the same path has other functions; for `"auto"`, [`Error::NoNode`]
/// and [`Error::SeveralNodes`].
pub async fn connect(path: impl AsRef<Path>) -> Result<Runtime> {
    connect_blocking(path.as_ref())
}

pub(crate) fn connect_blocking(path: &Path) -> Result<Runtime> {
    not_taken()?;
    start::connect(path).map(|core| Runtime { core })
}

/// Ends the runtime that this thread means; nothing happens when there is none.
///
/// ```
/// # use rustyray::Error;
/// # fn main() -> rustyray::Result<()> {
/// # rustyray::block_on(async {
/// rustyray::init().await?;
/// let left = rustyray::put(&7).await?;
/// rustyray::shutdown().await?;
/// rustyray::shutdown().await?; // nothing is left to end
///
/// // What was stored went with it; another runtime can follow.
/// assert!(matches!(left.get().await, Err(Error::ShutDown { .. })));
/// rustyray::init().await?;
/// assert_eq!(rustyray::put(&8).await?.get().await?, 8);
/// rustyray::shutdown().await
/// # })
/// # }
/// ```
///
/// # Errors
/// As [`Runtime::shutdown`], which also says what becomes of a future that is dropped.
pub async fn shutdown() -> Result<()> {
    match Runtime::current() {
        Ok(runtime) => runtime.shutdown().await,
        Err(_) => Ok(()),
    }
}

pub(crate) fn shutdown_blocking() -> Result<()> {
    if let Ok(core) = current::get() {
        core.may_shut_down()?;
        core.shutdown();
    }
    Ok(())
}
