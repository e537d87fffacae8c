//! The rows of listings, and their fields by name.

#![allow(missing_debug_implementations)] // of the resolvers that rkyv makes

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

/// A row of a listing, whose fields can be asked for by name: for filters and for tables.
///
/// ```
/// use rustyray::state::{Row, TaskInfo};
///
/// let task = TaskInfo::default();
/// assert!(TaskInfo::FIELDS.contains(&"state"));
/// assert_eq!(task.field("state").as_deref(), Some("waiting"));
/// assert!(TaskInfo::words("state").is_some_and(|words| words.contains(&"waiting")));
/// assert_eq!(TaskInfo::words("name"), None); // it can be anything
/// assert_eq!(task.field("colour"), None);
/// ```
pub trait Row {
    /// The names of the fields, in the order in which a table shows them.
    const FIELDS: &'static [&'static str];

    /// The field of this name as text, empty when there is nothing to say; `None` when no field has this
    /// name.
    fn field(&self, name: &str) -> Option<String>;

    /// All that the field of this name can be, where that is one of a few words.
    fn words(name: &str) -> Option<&'static [&'static str]> {
        let _ = name;
        None
    }
}

/// A field as text.
trait Cell {
    /// All that it can be, where that is one of a few words.
    const WORDS: Option<&'static [&'static str]> = None;

    fn text(&self) -> String;
}

macro_rules! cell_by_display {
    ($($kind:ty),*) => {$(
        impl Cell for $kind {
            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
cell_by_display!(String, u16, u32, u64, i64, f64);

impl Cell for bool {
    const WORDS: Option<&'static [&'static str]> = Some(&["true", "false"]);

    fn text(&self) -> String {
        self.to_string()
    }
}

impl<T: Cell> Cell for Option<T> {
    fn text(&self) -> String {
        self.as_ref().map(T::text).unwrap_or_default()
    }
}

impl<T: Cell> Cell for Vec<T> {
    fn text(&self) -> String {
        self.iter().map(T::text).collect::<Vec<_>>().join(", ")
    }
}

macro_rules! record {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_about])* pub $field: $kind,)*
        }
    };
}

macro_rules! row {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)* }) => {
        record! { $(#[$about])* $name { $($(#[$field_about])* $field: $kind,)* } }

        impl Row for $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn field(&self, name: &str) -> Option<String> {
                match name {
                    $(stringify!($field) => Some(self.$field.text()),)*
                    _ => None,
                }
            }

            fn words(name: &str) -> Option<&'static [&'static str]> {
                match name {
                    $(stringify!($field) => <$kind as Cell>::WORDS,)*
                    _ => None,
                }
            }
        }
    };
}

macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$variant_about:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_about])* #[cfg_attr(feature = "serde", serde(rename = $text))] $variant,)*
        }

        impl $name {
            /// The word for it, as `Display` writes it.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl Cell for $name {
            const WORDS: Option<&'static [&'static str]> = Some(&[$($text),*]);

            fn text(&self) -> String {
                self.name().to_owned()
            }
        }
    };
}

named! {
    /// Where a task stands.
    TaskState {
        /// It waits for objects.
        #[default]
        Waiting = "waiting",
        /// It waits for resources, for a worker or, as a call, for its turn.
        Ready = "ready",
        /// It is in a worker's queue, behind what runs there.
        Queued = "queued",
        /// A worker runs it.
        Running = "running",
        /// It gave its result.
        Finished = "finished",
        /// It gave an error.
        Failed = "failed",
    }
}

named! {
    /// What kind of task it is.
    TaskKind {
        /// A function.
        #[default]
        Task = "task",
        /// The construction of an actor.
        Construction = "construction",
        /// A call of an actor's method.
        Method = "call",
    }
}

named! {
    /// Where an actor stands.
    ActorState {
        /// It waits for resources or a worker, or is being constructed.
        #[default]
        Pending = "pending",
        /// It takes calls.
        Alive = "alive",
        /// Its process died, and it is constructed again.
        Restarting = "restarting",
        /// It takes no calls any more.
        Dead = "dead",
    }
}

named! {
    /// Where an object is.
    ObjectState {
        /// Nowhere yet: it is still being made.
        #[default]
        Pending = "pending",
        /// In the store's memory.
        Memory = "memory",
        /// In a file, since memory had no room for it.
        Disk = "disk",
        /// An error stands in its place.
        Failed = "failed",
    }
}

named! {
    /// What a process of the session does.
    WorkerState {
        /// Nothing: it is a worker without work.
        #[default]
        Idle = "idle",
        /// It runs tasks.
        Busy = "busy",
        /// Its task waits for others.
        Blocked = "blocked",
        /// It gets no tasks any more.
        Ending = "ending",
        /// It is a program that attached, and runs no tasks.
        Driver = "driver",
    }
}

named! {
    /// Where a placement group stands.
    GroupState {
        /// It waits for resources.
        #[default]
        Pending = "pending",
        /// Its resources are reserved.
        Ready = "ready",
        /// It was removed.
        Removed = "removed",
    }
}

named! {
    /// Where a line was written.
    Stream {
        /// Standard output.
        #[default]
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
    }
}

row! {
    /// A task, a call or an actor's construction.
    TaskInfo {
        /// Its name within the session.
        id: String,
        /// The name of what it runs, or the one that its options give it.
        name: String,
        /// Where it stands.
        state: TaskState,
        /// What kind it is.
        kind: TaskKind,
        /// The process id of the worker that has or had it.
        worker: Option<u32>,
        /// Which attempt it is, from 0.
        attempt: u16,
        /// How long its last attempt ran, in nanoseconds; where it was recorded.
        duration_ns: Option<u64>,
        /// When its last attempt began, in nanoseconds since the node's start; where it was recorded.
        started_ns: Option<u64>,
        /// The actor that it calls or constructs.
        actor: Option<String>,
        /// The task that submitted it.
        parent: Option<String>,
        /// How many objects it still waits for.
        awaits: Option<u64>,
        /// The first object that it returns.
        returns: Option<String>,
        /// Its error.
        error: Option<String>,
        /// The chain of causes below its error, the nearest first.
        causes: Vec<String>,
        /// What to do about the error, where that is known.
        help: Option<String>,
    }
}

row! {
    /// How many tasks of one name stand where.
    TaskCount {
        /// The name of what they run, or the one that their options give them.
        name: String,
        /// Where they stand.
        state: TaskState,
        /// How many there are.
        tasks: u64,
    }
}

row! {
    /// An actor.
    ActorInfo {
        /// Its name within the session.
        id: String,
        /// Its class.
        class: String,
        /// Its registered name.
        name: Option<String>,
        /// Where it stands.
        state: ActorState,
        /// The process id of the worker in which it lives.
        worker: Option<u32>,
        /// Calls that have not ended.
        unfinished: u64,
        /// How often it was restarted.
        restarts: u32,
        /// Whether it outlives its handles.
        detached: bool,
        /// Why it died.
        reason: Option<String>,
    }
}

row! {
    /// An object.
    ObjectInfo {
        /// Its name within the session.
        id: String,
        /// Where it is.
        state: ObjectState,
        /// How many bytes its value or its error has.
        size_bytes: u64,
        /// Its type, without the modules that types lie in: `Vec<f64>`.
        type_name: Option<String>,
        /// The process ids of those who refer to it.
        holders: Vec<u32>,
        /// The process ids of those who look at it in place.
        pins: Vec<u32>,
        /// Where it was put, or where the call was made that it is the result of: `file:line:column`, and
        /// what was called; where that is recorded ([`crate::Builder::record_call_sites`]).
        site: Option<String>,
    }
}

row! {
    /// A worker process, or another process that takes part in the session.
    WorkerInfo {
        /// Its process id.
        pid: u32,
        /// What it does.
        state: WorkerState,
        /// The program whose functions it runs.
        program: String,
        /// The actor that lives in it.
        actor: Option<String>,
        /// The task that it was told to run.
        task: Option<String>,
        /// How many tasks it was handed, the running one included.
        queued: u64,
        /// The gpus that it holds.
        gpus: Vec<u32>,
        /// Bytes of its memory that are resident, shared ones included.
        rss_bytes: u64,
        /// Processor time that it has used, in milliseconds.
        cpu_ms: u64,
    }
}

row! {
    /// A placement group.
    GroupInfo {
        /// Its name within the session, as `PlacementGroup::id` gives it.
        id: String,
        /// Its registered name.
        name: Option<String>,
        /// Where it stands.
        state: GroupState,
        /// What each bundle holds.
        bundles: Vec<Bundle>,
    }
}

record! {
    /// A bundle of a placement group.
    Bundle {
        /// What it holds.
        resources: Vec<Resource>,
    }
}

impl Cell for Bundle {
    fn text(&self) -> String {
        let amounts = self.resources.iter().map(|resource| match resource.name.as_str() {
            "memory" => format!("{} bytes of memory", resource.total),
            name => format!("{} {name}", resource.total),
        });
        format!("{{{}}}", amounts.collect::<Vec<_>>().join(", "))
    }
}

row! {
    /// An amount of a resource.
    Resource {
        /// Its name: `cpu`, `gpu`, `memory` (in bytes) or a custom one.
        name: String,
        /// How much there is.
        total: f64,
        /// How much of it is given out. Above the total while tasks that waited go on beside those that took
        /// their place.
        used: f64,
    }
}

row! {
    /// A line that a worker wrote.
    Line {
        /// Its place among all lines of the session.
        number: u64,
        /// When it came, in milliseconds since the node's start.
        at_ms: u64,
        /// The process id of the worker.
        worker: u32,
        /// Where it was written.
        stream: Stream,
        /// What it says.
        text: String,
    }
}

record! {
    /// What the object store holds.
    Store {
        /// Bytes that it may keep in memory.
        capacity_bytes: u64,
        /// Bytes in use.
        used_bytes: u64,
        /// The most that were in use so far.
        peak_used_bytes: u64,
        /// Bytes that views keep in place.
        pinned_bytes: u64,
        /// Bytes on disk.
        spilled_bytes: u64,
        /// Objects that are alive.
        objects: u64,
    }
}

record! {
    /// How many of each there are, or were.
    Totals {
        /// Processes that run tasks.
        workers: u64,
        /// Those of them that have nothing to do.
        idle_workers: u64,
        /// Other processes that are attached.
        drivers: u64,
        /// Actors that are not dead.
        actors: u64,
        /// Tasks that have not ended.
        tasks: u64,
        /// Those of them that no worker has.
        queued_tasks: u64,
        /// Tasks and actors that wait for a worker while actors live in all in which they may.
        crowded_out: u64,
        /// Tasks that gave a result, since the node's start.
        finished_tasks: u64,
        /// Tasks that gave an error, since the node's start.
        failed_tasks: u64,
        /// Attempts that failed and were run again, since the node's start.
        retried_tasks: u64,
        /// Workers that ended without being asked to, since the node's start.
        crashed_workers: u64,
    }
}

record! {
    /// A node as a whole.
    NodeInfo {
        /// The process that it lives in.
        pid: u32,
        /// The session: one for each start of a node.
        session: String,
        /// The version of RustyRay.
        version: String,
        /// The program that it lives in.
        program: String,
        /// Whether it was started by `rustyray start` rather than within a program.
        daemon: bool,
        /// Where it listens.
        sockets: Vec<String>,
        /// When it was started, in milliseconds since 1970.
        started_unix_ms: u64,
        /// How long it has been running, in milliseconds.
        uptime_ms: u64,
        /// Its resources.
        resources: Vec<Resource>,
        /// Its object store.
        store: Store,
        /// Counts.
        totals: Totals,
        /// Whether tasks that end are recorded.
        recording: bool,
    }
}
