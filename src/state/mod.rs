//! Looking into a running node from outside: what it has, what it does, what it did.
//!
//! [`Inspector`] is what the command `rustyray` and its dashboard are built on, and what a program of your own
//! can use. It speaks with the node over the node's socket only: it takes none of the places that workers and
//! drivers have, maps none of the node's memory, and needs none of the functions of the program that it looks
//! at.
//!
//! ```
//! use rustyray::state::{Inspector, Listing};
//!
//! # fn main() -> rustyray::Result<()> {
//! let runtime = rustyray::blocking::init()?;
//! let _kept = rustyray::blocking::put(&[1_u64; 100])?;
//!
//! let mut inspector = Inspector::connect(runtime.socket().expect("it can be found"))?;
//! assert_eq!(inspector.node()?.pid, std::process::id());
//! let large = Listing::new().filter("state", "memory").limit(10);
//! assert!(inspector.objects(&large)?.iter().any(|object| object.size_bytes >= 800));
//! # drop(inspector);
//! # rustyray::blocking::shutdown()
//! # }
//! ```
//!
//! A listing is a walk over what changes meanwhile: it shows everything that was there all the time, and may
//! or may not show what came or went. The node looks at a bounded part at a time and does its work in between.
//!
//! The rows are plain data, whose fields filters and tables find by name:
//!
//! ```
//! use rustyray::state::{
//!     ActorInfo, ActorState, Bundle, GroupInfo, GroupState, Inspector, Line, Listing, Logs, NodeInfo,
//!     ObjectInfo, ObjectState, Resource, Row, Store, Stream, TaskCount, TaskInfo, TaskKind, TaskState,
//!     Totals, WorkerInfo, WorkerState, nodes,
//! };
//!
//! fn first_column<R: Row>() -> &'static str {
//!     R::FIELDS[0]
//! }
//! # fn main() -> rustyray::Result<()> {
//! assert_eq!(first_column::<TaskInfo>(), "id");
//! assert_eq!([first_column::<ActorInfo>(), first_column::<ObjectInfo>()], ["id"; 2]);
//! assert_eq!((first_column::<WorkerInfo>(), first_column::<GroupInfo>()), ("pid", "id"));
//! assert_eq!((first_column::<TaskCount>(), first_column::<Line>()), ("name", "number"));
//!
//! let task = TaskInfo::default();
//! assert_eq!((task.state, task.kind), (TaskState::Waiting, TaskKind::Task));
//! assert_eq!(task.field("kind").as_deref(), Some(task.kind.name()));
//! assert_eq!(Stream::Stderr.name(), "stderr");
//! let states = [ActorState::Alive.name(), ObjectState::Disk.name(), WorkerState::Busy.name(), GroupState::Ready.name()];
//! assert_eq!(states, ["alive", "disk", "busy", "ready"]);
//! assert!(Listing::new().filter("state", "done").check::<ActorInfo>().is_err());
//!
//! let runtime = rustyray::blocking::init()?;
//! assert!(!nodes()?.is_empty());
//! let mut inspector = Inspector::connect(runtime.socket().expect("it can be found"))?;
//! let node: NodeInfo = inspector.node()?;
//! let (store, totals): (Store, Totals) = (node.store, node.totals);
//! assert!(store.used_bytes <= store.capacity_bytes && totals.failed_tasks == 0);
//! let cpu: &Resource = node.resources.iter().find(|found| found.name == "cpu").expect("some");
//! assert!(cpu.used <= cpu.total);
//! let bundles: Vec<Bundle> =
//!     inspector.groups(&Listing::new())?.into_iter().flat_map(|group| group.bundles).collect();
//! assert!(bundles.is_empty());
//! assert!(inspector.logs(&Logs::new().worker(0).after(0))?.is_empty());
//! # drop(inspector);
//! # rustyray::blocking::shutdown()
//! # }
//! ```

mod inspector;
mod process;
mod query;
mod row;

pub(crate) use self::query::{Query, Report};
pub use self::{
    inspector::{Inspector, nodes},
    process::NodeProcess,
    query::{Listing, Logs},
    row::{
        ActorInfo, ActorState, Bundle, GroupInfo, GroupState, Line, NodeInfo, ObjectInfo,
        ObjectState, Resource, Row, Store, Stream, TaskCount, TaskInfo, TaskKind, TaskState,
        Totals, WorkerInfo, WorkerState,
    },
};
