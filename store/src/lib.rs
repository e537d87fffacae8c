//! A plasma-style object store in shared memory.
//!
//! One process, the *node*, owns the memory; it and any number of other processes (*clients*) put
//! values into it and read them where they lie. See `DESIGN.md` for the layouts and the protocols.
//!
//! A program that wants the store and nothing else makes a [`Node`], lets other processes in with
//! [`Node::host`], each over a Unix socket that it got as it likes, and they attach with [`Client::join`]:
//!
//! ```
//! use std::{os::unix::net::UnixStream, sync::Arc};
//! use rustyray_store::{Client, Config, Node, View};
//!
//! let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() })?;
//! // Normally the two ends are in two processes; `examples/two_processes.rs` shows that.
//! let (ours, theirs) = UnixStream::pair().expect("a socket pair");
//! let hosting = {
//!     let node = Arc::clone(&node);
//!     std::thread::spawn(move || node.host(ours))
//! };
//! let client = Client::join(theirs)?;
//! let id = client.put(&vec![1.0, 2.5])?;
//!
//! let numbers: View<Vec<f64>> = node.client().get(id, None)?;
//! assert_eq!(numbers.as_slice(), [1.0, 2.5]);
//!
//! client.release(id);
//! drop(client);
//! hosting.join().expect("no panic")?;
//! assert_eq!(numbers.as_slice(), [1.0, 2.5], "a view keeps its object");
//! drop(numbers);
//! assert!(node.shutdown().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How objects are named to another process (an [`ObjectId`] is two numbers), who waits for what, and who
//! holds a reference while an id is on its way is the program's to arrange: the sender keeps its reference
//! until the receiver has [retained](Client::retain) its own.
//!
//! Unsafe code is in the modules that say so here, and nowhere else.

#![deny(unsafe_code)]

#[cfg(not(rustyray_loom))]
mod alarm;
#[cfg(all(feature = "ndarray", not(rustyray_loom)))]
mod array;
#[cfg(not(rustyray_loom))]
mod backend;
#[cfg(all(feature = "arrow", not(rustyray_loom)))]
#[allow(unsafe_code)]
mod batch;
mod blocks;
#[cfg(not(rustyray_loom))]
mod chunks;
#[cfg(not(rustyray_loom))]
mod client;
#[cfg(not(rustyray_loom))]
mod config;
#[cfg(not(rustyray_loom))]
mod core;
mod deadmap;
#[cfg(all(test, not(rustyray_loom)))]
mod deaths;
mod dirty;
#[cfg(not(rustyray_loom))]
mod encode;
mod entry;
#[cfg(not(rustyray_loom))]
mod error;
#[cfg(not(rustyray_loom))]
mod fault;
#[cfg(not(rustyray_loom))]
mod fingerprint;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod fork;
#[cfg(all(not(rustyray_loom), any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(not(rustyray_loom))]
mod geometry;
#[cfg(not(rustyray_loom))]
mod holdings;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod hosting;
mod id;
#[cfg(not(rustyray_loom))]
mod leaks;
mod lease;
#[cfg(not(rustyray_loom))]
mod listing;
#[cfg(not(rustyray_loom))]
mod machine;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod native;
#[cfg(not(rustyray_loom))]
mod node;
#[cfg(not(rustyray_loom))]
mod origin;
#[cfg(not(rustyray_loom))]
mod own_blocks;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod pin;
mod place;
#[cfg(not(rustyray_loom))]
mod reap;
#[cfg(not(rustyray_loom))]
mod request;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod reserve;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod seal;
#[cfg(not(rustyray_loom))]
mod sealed;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod segment;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod serializer;
#[cfg(not(rustyray_loom))]
mod serve;
mod slot;
#[cfg(not(rustyray_loom))]
mod space;
#[cfg(not(rustyray_loom))]
mod spill;
mod state;
#[cfg(not(rustyray_loom))]
mod stock;
#[cfg(not(rustyray_loom))]
mod strict;
#[cfg(not(rustyray_loom))]
mod table;
#[cfg(not(rustyray_loom))]
mod tier;
mod type_names;
#[cfg(not(rustyray_loom))]
mod value;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod view;
#[cfg(not(rustyray_loom))]
mod waiting;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod writer;

pub use dirty::DIRTY_GROUPS;
pub use id::{ClientId, ClientSet, ObjectId};
#[cfg(not(rustyray_loom))]
pub use {
    backend::{Backend, Local, Segments},
    client::{Client, Status, Transport, Wake},
    config::{Config, Stats},
    encode::{decode, encode},
    error::{AttemptError, Error, PinError, SealError, Stale, TransportError, ViewError},
    fingerprint::fingerprint,
    geometry::Geometry,
    leaks::{ClientLeaks, Leak, LeakReport},
    listing::{Listed, Residence},
    native::Native,
    node::{Admission, Node, Reaped},
    origin::{Lost, Origin, Recovery},
    pin::{Pin, PinKind},
    request::{Refusal, Reply, Request, SealRequest},
    seal::Written,
    sealed::FileAt,
    serializer::{RefSink, ValueSerializer},
    tier::Tier,
    value::{OwnedValue, Value, ValueDeserializer},
    view::View,
    writer::{BytesWriter, Writer},
};

#[cfg(all(feature = "ndarray", not(rustyray_loom)))]
pub use array::PinnedArray;
#[cfg(all(feature = "arrow", not(rustyray_loom)))]
pub use batch::{ArchivedBatch, Batch, BatchResolver};

/// The protocols over shared words, for the models that explore them. Not for use.
#[doc(hidden)]
pub mod models {
    pub use crate::{
        blocks::{Block, Blocks},
        deadmap::{DeadMap, words as dead_map_words},
        dirty::Dirty,
        entry::{Entry, NotAcquired},
        lease::{Closed, OpenBlock, Placed},
        place::Place,
        slot::{Header, Hold, Owner, Pinned, SLOT_WORDS, Slot},
        state::{BeginSeal, GENERATIONS, Phase, Rename, Snapshot, StateWord},
        type_names::TypeNames,
    };
}
