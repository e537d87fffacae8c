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

mod inspector;
mod query;
mod row;

pub(crate) use self::query::{Query, Report};
pub use self::{
    inspector::{Inspector, nodes},
    query::{Listing, Logs},
    row::{
        ActorInfo, Bundle, GroupInfo, Line, NodeInfo, ObjectInfo, Resource, Row, Store, Stream,
        TaskCount, TaskInfo, TaskKind, TaskState, Totals, WorkerInfo,
    },
};
