//! The one error type of the public API, and the form in which it crosses processes.
//!
//! A failed task seals its [`Error`] into its return objects; whoever gets one of them receives the same
//! error, with the same fields and the same chain of causes, whatever the number of processes between.

use std::{fmt, io, num::NonZeroUsize, path::Path};

use rkyv::{
    Archive, Deserialize, Serialize, rancor,
    validation::{Validator, archive::ArchiveValidator, shared::SharedValidator},
};

/// How deep an error from another process may be nested, its texts included.
const DEEPEST: usize = 128;

/// What RustyRay's operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, each with the facts that help to mend it.
///
/// `Display` is one line; [`std::error::Error::source`] walks the causes that the failing code reported;
/// [`Error::help`] says what to do, where that is known. `Debug`, which `unwrap` and a `main` that ends with an
/// error print, has all three, each on a line of its own.
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::remote(name = "load")]
/// fn load(path: String) -> Result<String, std::io::Error> {
///     let missing = || std::io::Error::other("no such table");
///     Err(std::io::Error::new(std::io::ErrorKind::NotFound, Outer(missing())))
/// }
/// # #[derive(Debug)]
/// # struct Outer(std::io::Error);
/// # impl std::fmt::Display for Outer {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("cannot load") }
/// # }
/// # impl std::error::Error for Outer {
/// #     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> { Some(&self.0) }
/// # }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let table = load_remote::remote("tables/7".to_owned()).await?;
/// let error = table.get().await.unwrap_err();
/// let rustyray::Error::TaskFailed { worker, .. } = &error else { unreachable!() };
/// assert_eq!(error.to_string(), format!("task `load` failed on worker {worker}: cannot load"));
/// assert_eq!(
///     format!("{error:?}"),
///     format!("task `load` failed on worker {worker}: cannot load\n  caused by: no such table")
/// );
///
/// let error = rustyray::Error::NoNode { directory: "/run/user/1000/rustyray".into() };
/// assert_eq!(
///     format!("{error:?}"),
///     "no node of this user is running (looked in /run/user/1000/rustyray)\n  \
///      help: start one with `rustyray start`, or a program that calls `rustyray::init`"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Archive, Serialize, Deserialize, thiserror::Error)]
#[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rancor::Source))]
#[rkyv(deserialize_bounds(__D::Error: rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rancor::Source)))]
#[non_exhaustive]
pub enum Error {
    /// No runtime is running, or several are and none belongs to this thread.
    #[error("{what}")]
    NotInitialized {
        /// What was looked for and what was found.
        what: String,
    },
    /// No node of this user is running.
    #[error("no node of this user is running (looked in {directory})")]
    NoNode {
        /// Where nodes have their sockets.
        directory: String,
    },
    /// Several nodes of this user are running, and it was not said which is meant.
    #[error("{} nodes of this user are running: {}", .sockets.len(), .sockets.join(", "))]
    SeveralNodes {
        /// Their sockets.
        sockets: Vec<String>,
    },
    /// There is a socket, and the node that listened on it is gone.
    #[error("nobody listens on {socket} any more")]
    NodeGone {
        /// The socket.
        socket: String,
    },
    /// The object was not ready before the timeout passed; it may still become ready.
    #[error("object {object} was not ready within {waited_ms} ms")]
    GetTimeout {
        /// The object waited for.
        object: String,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The task, or the actor's method, returned an `Err`.
    #[error("task `{task}` failed{}: {message}", Place(.worker, .attempt))]
    TaskFailed {
        /// The name of the task, or `Class::method`.
        task: String,
        /// The process id of the worker that ran it, 0 when it never ran.
        worker: u32,
        /// Which attempt failed, from 0.
        attempt: u32,
        /// The message of the error it returned.
        message: String,
        /// The chain of causes below that error.
        #[source]
        cause: Option<Cause>,
    },
    /// The task, or the actor's method, panicked.
    #[error("task `{task}` panicked{} at {location}: {message}", Place(.worker, .attempt))]
    TaskPanicked {
        /// The name of the task, or `Class::method`.
        task: String,
        /// The process id of the worker that ran it.
        worker: u32,
        /// Which attempt panicked, from 0.
        attempt: u32,
        /// The panic's message.
        message: String,
        /// `file:line:column` of the panic.
        location: String,
    },
    /// The task could not run because an object that it takes as an argument failed.
    #[error("task `{task}` did not run: its argument {dependency} failed{}", Via(.via))]
    DependencyFailed {
        /// The name of the task that did not run.
        task: String,
        /// The object that it takes and that failed.
        dependency: String,
        /// The tasks by which the failure came, nearest first; the middle of a long way is left out.
        via: Vec<String>,
        /// The original error.
        #[source]
        #[rkyv(omit_bounds)]
        cause: Box<Error>,
    },
    /// The task was cancelled.
    #[error("task `{task}` was cancelled")]
    TaskCancelled {
        /// The name of the task.
        task: String,
    },
    /// The task ran longer than its `timeout_ms`.
    #[error("task `{task}` ran longer than its timeout of {timeout_ms} ms")]
    TaskTimedOut {
        /// The name of the task.
        task: String,
        /// Its timeout, in milliseconds.
        timeout_ms: u64,
    },
    /// The worker process that ran the task ended, and no retries are left.
    #[error(
        "the worker that ran `{task}` ended ({how}) on attempt {attempt}, and no retries are left"
    )]
    WorkerCrashed {
        /// The name of the task.
        task: String,
        /// The process id of the worker.
        worker: u32,
        /// Which attempt it was, from 0.
        attempt: u32,
        /// How the process ended.
        how: String,
    },
    /// Memory ran short, and the task was ended before the system would have ended somebody. See
    /// [`Builder::memory_threshold`](crate::Builder::memory_threshold) for who is chosen.
    #[error(
        "memory ran short: {used} of at most {limit} bytes of {of} memory were used; worker {worker}, which \
         used {held} of them, was killed while it ran `{task}`, attempt {attempt}"
    )]
    OutOfMemory {
        /// The name of the task.
        task: String,
        /// The process id of its worker.
        worker: u32,
        /// Which attempt it was, from 0.
        attempt: u32,
        /// Whose memory was short: the machine's, or what the workers may use.
        of: String,
        /// Bytes in use.
        used: u64,
        /// Bytes that may be.
        limit: u64,
        /// Bytes that the worker used, objects not counted.
        held: u64,
    },
    /// The actor is dead.
    #[error("actor `{actor}` is dead: {reason}")]
    ActorDied {
        /// The class of the actor, with its name where it has one.
        actor: String,
        /// Why it died.
        reason: String,
        /// The error that its constructor returned, where that is the reason.
        #[source]
        #[rkyv(omit_bounds)]
        cause: Option<Box<Error>>,
    },
    /// The actor's process ended while the call may have been running; the actor is being restarted.
    #[error("actor `{actor}` was lost during the call, which may have run: {reason}")]
    ActorUnavailable {
        /// The class of the actor, with its name where it has one.
        actor: String,
        /// How its process ended.
        reason: String,
    },
    /// A method waits for a call of its own actor that cannot begin before the method ends. That call is
    /// dropped.
    #[error(
        "`{actor}::{waiting}` waits for `{actor}::{awaited}` of the same actor, which cannot begin before it ends"
    )]
    Deadlock {
        /// The class of the actor.
        actor: String,
        /// The method that waits.
        waiting: String,
        /// The method that was called.
        awaited: String,
    },
    /// Another actor already has this name.
    #[error("an actor named `{name}` already exists")]
    ActorNameTaken {
        /// The name.
        name: String,
    },
    /// No actor has this name.
    #[error("no actor is named `{name}`")]
    ActorNotFound {
        /// The name.
        name: String,
    },
    /// The actor already has as many unfinished calls as `max_pending_calls` allows.
    #[error("actor `{actor}` already has {pending} unfinished calls, its limit is {limit}")]
    PendingCallsLimit {
        /// The class of the actor.
        actor: String,
        /// Unfinished calls.
        pending: u64,
        /// `max_pending_calls`.
        limit: u64,
    },
    /// The object existed and is gone, and it cannot be made again.
    #[error("object {object} is lost: {reason}")]
    ObjectLost {
        /// The object.
        object: String,
        /// What happened to it.
        reason: String,
    },
    /// The object store has no room, and nothing in it could be spilled in time; or never will have, because the
    /// object is larger than the store.
    #[error(
        "{}: {requested} bytes asked for, {used} of {capacity} bytes used, {pinned} pinned, {spilled} spilled",
        if .requested > .capacity { "the object is larger than the object store" } else { "the object store is full" }
    )]
    ObjectStoreFull {
        /// Bytes asked for.
        requested: u64,
        /// Bytes that the store may hold in memory.
        capacity: u64,
        /// Bytes in use.
        used: u64,
        /// Bytes that live views keep in place.
        pinned: u64,
        /// Bytes that were moved to disk.
        spilled: u64,
    },
    /// The object holds a value of another type, or the actor of the name is of another class.
    #[error("{} `{found}`, not `{expected}`", Holder(.object))]
    TypeMismatch {
        /// The object, or the actor.
        object: String,
        /// The type asked for.
        expected: String,
        /// The type that was stored.
        found: String,
    },
    /// The bytes of the object are not a valid archive of its type.
    #[error("object {object} is corrupt: {reason}")]
    CorruptObject {
        /// The object.
        object: String,
        /// What the check found.
        reason: String,
    },
    /// The value could not be serialised.
    #[error("`{what}` cannot be serialised: {reason}")]
    Serialization {
        /// The type, or the argument's name.
        what: String,
        /// What the serialiser said.
        reason: String,
    },
    /// The task or actor asks for more than this node will ever have.
    #[error("`{task}` can never run here: it asks for {demand}, the node has {available}")]
    Unschedulable {
        /// The name of the task or actor.
        task: String,
        /// What it asks for.
        demand: String,
        /// What exists.
        available: String,
    },
    /// The placement group was removed, with what ran in it and what waited for it.
    #[error("the placement group was removed: {what}")]
    PlacementGroupRemoved {
        /// What was under way.
        what: String,
    },
    /// No function of this name is registered in the worker's executable.
    #[error("no function or actor `{name}` is registered in this executable")]
    FunctionNotFound {
        /// The name or id that was looked for.
        name: String,
    },
    /// Two processes that should run the same program have different functions registered.
    #[error("process {pid} was refused: its registered functions differ: {difference}")]
    RegistryMismatch {
        /// The process that was refused.
        pid: u32,
        /// Names that only one side has.
        difference: String,
    },
    /// The runtime ended before the operation was done.
    #[error("the runtime was shut down: {what}")]
    ShutDown {
        /// What was under way.
        what: String,
    },
    /// The node that this process was attached to has ended, in order or not, before this process let go of it.
    #[error("the node that this process was attached to has ended: {what}")]
    NodeEnded {
        /// What was under way, or where the node was.
        what: String,
    },
    /// An option or argument has a value that cannot be.
    #[error("{what}")]
    InvalidArgument {
        /// What was given and what is allowed.
        what: String,
    },
    /// The operating system refused something.
    #[error("{context}: {message}")]
    Io {
        /// What was attempted, on what.
        context: String,
        /// The operating system's message.
        message: String,
        /// Its error number, where there is one.
        errno: Option<i32>,
    },
}

impl Error {
    /// What to do about the error, where that is known.
    ///
    /// ```
    /// use rustyray::Error;
    ///
    /// let error = Error::ObjectStoreFull { requested: 9, capacity: 8, used: 8, pinned: 8, spilled: 0 };
    /// assert!(error.help().expect("something can be done").contains("object_store_memory"));
    /// assert_eq!(Error::TaskCancelled { task: "f".into() }.help(), None);
    /// ```
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Error::NotInitialized { .. } => {
                "call `rustyray::init().await` first, or put `#[rustyray::main]` on `main`; on a thread of \
                 your own while several runtimes run, enter one with `Runtime::enter`"
            }
            Error::NoNode { .. } => {
                "start one with `rustyray start`, or a program that calls `rustyray::init`"
            }
            Error::SeveralNodes { .. } => {
                "say which one is meant: `--address <socket>`, or `rustyray::connect(socket)` in a program"
            }
            Error::NodeGone { .. } => {
                "the node was killed or has ended; `rustyray status` without an address finds what runs"
            }
            Error::NodeEnded { .. } => {
                "its objects, actors and tasks ended with it: attach with `rustyray::connect` to another one, started \
                 by `rustyray start` or by a program, and begin anew"
            }
            Error::ObjectStoreFull { requested, capacity, .. } if requested > capacity => {
                "raise `Builder::object_store_memory`, or store the value in several parts"
            }
            Error::ObjectStoreFull { .. } => {
                "drop references or views that are no longer needed, raise `Builder::object_store_memory`, or \
                 set `Builder::spill_dir`"
            }
            Error::WorkerCrashed { how, .. }
                if how.contains("SIGSEGV") || how.contains("SIGBUS") =>
            {
                "a stack that overflows ends a worker like this, and so does unsafe code; run the function itself, \
                 without `remote`, under a debugger"
            }
            Error::WorkerCrashed { .. } => {
                "look at the worker's output above; a task that is safe to run again can have more `max_retries`"
            }
            Error::OutOfMemory { .. } => {
                "have fewer tasks run beside each other (`memory = …` or a larger `num_cpus` on the task), have \
                 each use less, or allow more (`Builder::worker_memory`, `Builder::memory_threshold`)"
            }
            Error::Unschedulable { .. } => {
                "lower the task's demand, or start the runtime with more through `Builder`"
            }
            Error::PendingCallsLimit { .. } => {
                "await earlier calls before making more, or raise `max_pending_calls`"
            }
            Error::RegistryMismatch { .. } => {
                "run driver and workers from one build of the program"
            }
            Error::Deadlock { .. } => {
                "call the method on `self` instead of through a handle, or return without waiting"
            }
            Error::ActorNameTaken { .. } => "choose another name, or ask for `get_if_exists(true)`",
            _ => return None,
        })
    }

    /// The error as bytes that [`Error::from_bytes`] reads in another process.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match rkyv::to_bytes::<rancor::Error>(self) {
            Ok(bytes) => bytes.into_vec(),
            // Serialising into memory fails only when memory does; an empty error still arrives as one.
            Err(_) => Vec::new(),
        }
    }

    /// Reads what [`Error::to_bytes`] wrote; bytes that are no error, or one that is caused by more than
    /// [`DEEPEST`] others, become a `CorruptObject`. No bytes at all are what the store keeps of an error that it
    /// has no room for.
    pub(crate) fn from_bytes(object: impl fmt::Display, bytes: &[u8]) -> Error {
        if bytes.is_empty() {
            let reason = "it failed, and there was no room in the store to keep why";
            return Error::ObjectLost { object: object.to_string(), reason: reason.into() };
        }
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        // Reading goes down from cause to cause, as far as the stack has room: whoever wrote the bytes must
        // not be the one to say how far that is.
        let bounds = ArchiveValidator::with_max_depth(&aligned, NonZeroUsize::new(DEEPEST));
        let mut validator = Validator::new(bounds, SharedValidator::new());
        let archived = rkyv::api::access_with_context::<ArchivedError, _, rancor::Error>(
            &aligned,
            &mut validator,
        );
        archived.and_then(rkyv::deserialize::<Error, rancor::Error>).unwrap_or_else(|reason| {
            Error::CorruptObject {
                object: object.to_string(),
                reason: format!("it failed, and its error cannot be read: {reason}"),
            }
        })
    }

    /// The error of `task`, which did not run because `dependency` failed with `error`: the original error,
    /// and the way that it came.
    pub(crate) fn downstream(task: String, dependency: String, error: Error) -> Error {
        const LONGEST: usize = 16;
        match error {
            Error::DependencyFailed { task: before, mut via, cause, .. } => {
                via.insert(0, before);
                if via.len() > LONGEST {
                    // The near end and the far end tell the most.
                    via.remove(LONGEST / 2);
                }
                Error::DependencyFailed { task, dependency, via, cause }
            }
            original => Error::DependencyFailed {
                task,
                dependency,
                via: Vec::new(),
                cause: Box::new(original),
            },
        }
    }

    /// An error of the operating system, with what was attempted.
    pub(crate) fn io(context: impl fmt::Display, error: &io::Error) -> Error {
        // What we refuse by ourselves is refused all the same.
        let refused = error.kind() == io::ErrorKind::PermissionDenied;
        Error::Io {
            context: context.to_string(),
            message: error.to_string(),
            errno: error.raw_os_error().or(refused.then_some(nix::libc::EPERM)),
        }
    }

    /// The same for an operation on a path.
    pub(crate) fn io_at(verb: &str, path: &Path, error: &io::Error) -> Error {
        Error::io(format_args!("{verb} {}", path.display()), error)
    }

    /// The error that a task returned as its own and that is in this one, as its cause.
    fn within(&self) -> Option<&Error> {
        match self {
            Error::TaskFailed { cause: Some(cause), .. } => cause.error(),
            _ => None,
        }
    }

    /// What the task that returns this error as its own says, and the cause of that: who failed, and of what in the
    /// end. What is between is told by the causes alone, or the line would have all of the chain.
    pub(crate) fn returned(&self) -> (String, Cause) {
        let chain = || std::iter::successors(Some(self), |error| error.within());
        let message = match (self, chain().last()) {
            (Error::TaskFailed { task, worker, attempt, .. }, Some(last))
                if self.within().is_some() =>
            {
                let last = match last {
                    Error::TaskFailed { message, .. } => message.clone(),
                    last => last.to_string(),
                };
                format!("task `{task}` failed{}: {last}", Place(worker, attempt))
            }
            _ => self.to_string(),
        };
        let kept = match self.within() {
            Some(within) if chain().count() >= LONGEST_CHAIN => within,
            _ => self,
        };
        (message, Cause::chain(kept))
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Error {
        Error::InvalidArgument { what: what.into() }
    }
}

/// One link of the chain of causes below an error that crossed a process boundary.
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::remote]
/// fn read(path: String) -> Result<u64, std::num::ParseIntError> {
///     path.parse()
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let error = read_remote::remote("seven".to_owned()).await?.get().await.unwrap_err();
/// let rustyray::Error::TaskFailed { message, cause, .. } = error else { unreachable!() };
/// assert_eq!(message, "invalid digit found in string");
/// assert!(cause.is_none(), "that error has no cause");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
#[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rancor::Source))]
#[rkyv(deserialize_bounds(__D::Error: rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rancor::Source)))]
pub struct Cause {
    /// What this cause said of itself.
    pub message: String,
    #[rkyv(omit_bounds)]
    below: Option<Box<Below>>,
}

/// What a cause goes on with.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
#[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rancor::Source))]
#[rkyv(deserialize_bounds(__D::Error: rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rancor::Source)))]
enum Below {
    /// Another cause.
    Cause(#[rkyv(omit_bounds)] Cause),
    /// The error of this library that this cause is; its own causes follow.
    Error(#[rkyv(omit_bounds)] Error),
}

/// How many errors of this library are kept below one another, as causes: a task that fails since one that it waited
/// for did, which waited for another. Of a longer chain the near end and the far end are left.
const LONGEST_CHAIN: usize = 32;

impl Cause {
    /// The chain that begins with `error`.
    pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> Cause {
        let below = match error.downcast_ref::<Error>() {
            Some(ours) => Some(Below::Error(ours.clone())),
            None => error.source().map(|next| Below::Cause(Cause::chain(next))),
        };
        Cause { message: error.to_string(), below: below.map(Box::new) }
    }

    /// The error of this library that this cause is, if it is one: what a task returns as its own error that it got from
    /// another task or from the store.
    ///
    /// ```
    /// # use rustyray::prelude::*;
    /// #[rustyray::remote]
    /// fn inner() -> u64 {
    ///     panic!("out of luck")
    /// }
    ///
    /// #[rustyray::remote]
    /// async fn outer() -> rustyray::Result<u64> {
    ///     inner_remote::remote().await?.get().await
    /// }
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let error = outer_remote::remote().await?.get().await.unwrap_err();
    /// let Error::TaskFailed { cause: Some(cause), .. } = error else { unreachable!() };
    /// assert!(matches!(cause.error(), Some(Error::TaskPanicked { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn error(&self) -> Option<&Error> {
        match self.below.as_deref() {
            Some(Below::Error(error)) => Some(error),
            Some(Below::Cause(_)) | None => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.below.as_deref()? {
            Below::Cause(next) => Some(next),
            Below::Error(error) => error.source(),
        }
    }
}

/// `object 1f-2 holds`, or ``actor `name` is``.
struct Holder<'a>(&'a str);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.starts_with("actor ") {
            true => write!(f, "{} is", self.0),
            false => write!(f, "object {} holds", self.0),
        }
    }
}

/// ` on worker PID, attempt N`, left out where the task never ran.
struct Place<'a>(&'a u32, &'a u32);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (0, _) => Ok(()),
            (worker, 0) => write!(f, " on worker {worker}"),
            (worker, attempt) => write!(f, " on worker {worker}, attempt {attempt}"),
        }
    }
}

/// ` (by way of a, b)`, left out where the argument itself failed.
struct Via<'a>(&'a Vec<String>);

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (by way of {})", self.0.join(", "))
    }
}

/// An error with its causes and its help line, one per line, as `#[rustyray::main]` prints it.
pub(crate) struct Report<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        write_chain(f, self.0)
    }
}

/// The error, what caused it, and what to do: the first advice that the error or one of its causes has.
fn write_chain(
    f: &mut fmt::Formatter<'_>,
    error: &(dyn std::error::Error + 'static),
) -> fmt::Result {
    let help = |error: &(dyn std::error::Error + 'static)| {
        let within = || error.downcast_ref::<Cause>().and_then(Cause::error);
        error.downcast_ref::<Error>().or_else(within)?.help()
    };
    write!(f, "{error}")?;
    let mut advice = help(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, "\n  caused by: {error}")?;
        advice = advice.or_else(|| help(error));
        cause = error.source();
    }
    match advice {
        Some(advice) => write!(f, "\n  help: {advice}"),
        None => Ok(()),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_chain(f, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_causes_without_end_is_not_followed_to_it() {
        let nested = |depth: usize| {
            let innermost = Error::ShutDown { what: "the first".into() };
            (0..depth).fold(innermost, |cause, _| Error::DependencyFailed {
                task: String::new(),
                dependency: String::new(),
                via: Vec::new(),
                cause: Box::new(cause),
            })
        };
        let deep = nested(DEEPEST - 2);
        assert_eq!(Error::from_bytes("an object", &deep.to_bytes()), deep);
        // Making such a thing takes a stack that nobody has by accident.
        let making = std::thread::Builder::new().stack_size(1 << 30);
        let endless = making.spawn(move || nested(100_000).to_bytes()).expect("a thread");
        let bytes = endless.join().expect("made");
        assert!(matches!(Error::from_bytes("an object", &bytes), Error::CorruptObject { .. }));
    }

    #[test]
    fn what_a_stack_overflow_looks_like_is_said_where_it_may_be_one() {
        let helps = |how: &str| {
            let (task, how) = ("deep".into(), how.into());
            let crash = Error::WorkerCrashed { task, worker: 1, attempt: 0, how };
            crash.help().expect("a help").contains("stack")
        };
        assert!(helps("killed by SIGSEGV") && !helps("killed by SIGKILL"));
    }

    #[test]
    fn an_error_that_found_no_room_is_no_corruption() {
        let lost = Error::from_bytes("7@3", &[]);
        assert!(matches!(&lost, Error::ObjectLost { object, .. } if object == "7@3"), "{lost}");
    }

    #[test]
    fn of_a_long_chain_the_ends_are_left() {
        let failed = |task: String, (message, cause)| Error::TaskFailed {
            task,
            worker: 1,
            attempt: 0,
            message,
            cause,
        };
        let innermost = failed("0".into(), ("no luck".into(), None));
        let outermost = (1..1000).fold(innermost, |error, depth| {
            let (message, cause) = error.returned();
            failed(depth.to_string(), (message, Some(cause)))
        });
        assert_eq!(
            outermost.to_string(),
            "task `999` failed on worker 1: task `998` failed on worker 1: no luck"
        );
        let chain = std::iter::successors(Some(&outermost), |error| error.within());
        let tasks: Vec<&str> = chain
            .map(|error| match error {
                Error::TaskFailed { task, .. } => &**task,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(tasks.len(), LONGEST_CHAIN);
        assert_eq!((tasks[0], tasks[LONGEST_CHAIN - 1]), ("999", "0"));
        assert_eq!(Error::from_bytes("an object", &outermost.to_bytes()), outermost);
    }

    #[test]
    fn an_error_crosses_as_bytes_with_its_chain() {
        let inner = io::Error::other("disk on fire");
        let error = Error::DependencyFailed {
            task: "merge".into(),
            dependency: "7@3".into(),
            via: Vec::new(),
            cause: Box::new(Error::TaskFailed {
                task: "load".into(),
                worker: 42,
                attempt: 1,
                message: "cannot load".into(),
                cause: Some(Cause::chain(&inner)),
            }),
        };
        let back = Error::from_bytes("7@3", &error.to_bytes());
        assert_eq!(back, error);
        let report = Report(&back).to_string();
        assert!(
            report.contains("caused by: task `load` failed on worker 42, attempt 1"),
            "{report}"
        );
        assert!(report.contains("caused by: disk on fire"), "{report}");
    }

    #[test]
    fn bytes_that_are_no_error_are_reported_as_such() {
        let error =
            Error::from_bytes("7@3", b"garbage that is long enough to be looked at, perhaps");
        assert!(matches!(error, Error::CorruptObject { .. }), "{error:?}");
    }
}
