//! A plasma-style object store in shared memory.
//!
//! From Plasma, the store of Apache Arrow and of Ray, it has that an object is created, sealed once, and then read by
//! every process where it lies. What differs is that objects are promised before they have a value, and that to
//! read, to refer and to let go are steps on shared words, of which as a rule nobody is told.
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
//! The examples below go on with a `node` and the `client` of its own process.
//!
//! # Promises
//! An object can be named before it has a value, and whoever wants the value waits for it.
//! ```
//! # use std::sync::Arc;
//! # use rustyray_store::*;
//! # let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
//! # let client = node.client();
//! use std::time::Duration;
//!
//! let [id, failing] = [client.reserve()?, client.reserve_as(7)?]; // 7: where it comes from
//! assert_eq!(client.status(id), Status::Pending);
//! assert!(matches!(client.pin(id), Err(PinError::Pending(_))));
//!
//! // A task answers for it from now on: its second attempt, so what the first one seals comes late.
//! node.set_attempt(id, 1)?;
//! assert!(matches!(client.seal_value(id, 0, &41_u64), Err(SealError::Late { .. })));
//! let waiting = {
//!     let client = Arc::clone(&client);
//!     std::thread::spawn(move || client.wait(&[id], 1, None))
//! };
//! client.seal_value(id, 1, &42_u64)?;
//! assert_eq!(waiting.join().expect("no panic")?, [true]);
//! assert_eq!(node.set_attempt(id, 2), Err(AttemptError::AlreadySealed(id)));
//!
//! client.fail(failing, 0, b"no luck")?;
//! let error = client.get::<u64>(failing, Some(Duration::ZERO)).expect_err("it failed");
//! let ViewError::Failed(pin) = error else { panic!("{error}") };
//! assert_eq!((&*pin, pin.kind()), (&b"no luck"[..], PinKind::Failed));
//!
//! let more = client.put(&43_u64)?;
//! let both: Vec<View<u64>> = client.get_all(&[id, more], None)?;
//! assert_eq!(both.iter().map(|view| view.to_native()).collect::<Vec<_>>(), [42, 43]);
//! assert!(matches!(client.view::<String>(id), Err(ViewError::TypeMismatch { .. })));
//!
//! // References are counted: each `retain` has its `release`.
//! client.retain(more)?;
//! client.release(more);
//! assert!(client.holds(more));
//! drop(both);
//! client.release(more);
//! assert_eq!((client.status(more), client.retain(more)), (Status::Gone, Err(Stale::Gone(more))));
//! # drop(pin); client.release(id); client.release(failing);
//! # assert!(node.shutdown().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Writing in place
//! What is large is better written where it will lie.
//! ```
//! # use std::sync::Arc;
//! # use rustyray_store::*;
//! # let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
//! # let client = node.client();
//! let mut writer: BytesWriter = client.create_bytes(3)?;
//! writer.copy_from_slice(b"abc");
//! let id = client.reserve()?;
//! client.seal_bytes(id, 0, writer)?;
//! let copied = client.put_bytes(b"abc")?;
//! for id in [id, copied] {
//!     assert_eq!(client.view::<bytes::Bytes>(id)?.bytes(), "abc");
//! }
//! assert!(client.len_bytes(id) >= 3, "the bytes, and what describes them");
//!
//! // A value in two steps: first its bytes, later its seal.
//! let Written { writer, nested, fingerprint } = client.write_value(&vec![1_u64, 2])?;
//! assert_eq!(fingerprint, rustyray_store::fingerprint::<Vec<u64>>());
//! let numbers = client.reserve()?;
//! client.seal(numbers, 0, writer, fingerprint, &nested)?;
//! assert_eq!(client.view::<Vec<u64>>(numbers)?.as_slice(), [1, 2]);
//!
//! // Where processes of the same user may mean harm, an object can have a file that the kernel seals.
//! let strict = client.put_in(Tier::Strict, &7_u64)?;
//! let bytes = client.put_bytes_in(Tier::Strict, b"abc")?;
//! let written = client.write_value_in(Tier::Strict, &8_u64)?;
//! drop((written, client.create_bytes_in(Tier::Strict, 10)?, client.create_in(Tier::Strict, 10)?));
//! assert_eq!(client.view::<u64>(strict)?.to_native(), 7);
//! # for id in [id, copied, numbers, strict, bytes] { client.release(id); }
//! # assert!(node.shutdown().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Looking inside
//! ```
//! # use std::sync::Arc;
//! # use rustyray_store::*;
//! # let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
//! # let client = node.client();
//! let id = client.put(&vec![0_u8; 1 << 20])?;
//! let (listed, more): (Vec<Listed>, _) = node.list(0, 1 << 20);
//! assert!(more.is_none());
//! assert_eq!((listed[0].id, listed[0].residence), (id, Residence::Memory));
//! assert!(listed[0].holders.contains(ClientId::NODE));
//!
//! let stats: Stats = node.stats();
//! assert!(stats.objects == 1 && stats.used_bytes >= 1 << 20);
//!
//! let leaks: Vec<Leak> = node.leaks();
//! assert_eq!(leaks[0].id, id, "all that is alive");
//! let report: LeakReport = node.shutdown();
//! let of: &ClientLeaks = &report.clients[0];
//! assert_eq!((of.client, of.references), (ClientId::NODE, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A transport of one's own
//! [`Node::host`] and [`Client::join`] bring a client's requests to the node. A program that has connections already
//! can carry them itself, as words, and wake the clients itself.
//! ```
//! # use std::sync::Arc;
//! # use rustyray_store::*;
//! # let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
//! # let client = node.client();
//! struct Words(Arc<Node>, ClientId);
//!
//! impl Transport for Words {
//!     fn call(&self, request: Request) -> Result<Reply, TransportError> {
//!         let there: [u64; 8] = request.to_words(); // goes to the node's process, which does this:
//!         let request = Request::from_words(there).ok_or(TransportError::Closed)?;
//!         // SAFETY: this is the transport of client `self.1`, which the request comes from.
//!         let back = unsafe { self.0.serve(self.1, request) }.to_words();
//!         Reply::from_words(back).ok_or(TransportError::Closed)
//!     }
//! }
//!
//! /// Brings every client named to look at its subscriptions: by a doorbell, say.
//! struct Doorbells;
//!
//! impl Wake for Doorbells {
//!     fn wake(&self, clients: ClientSet) {
//!         assert!(!clients.is_empty());
//!     }
//! }
//!
//! node.connect_wake(Arc::new(Doorbells));
//! let Admission { client: number, geometry, segments } = node.admit()?;
//! // SAFETY: they are only counted. To be passed to the other process they would be sent over a socket.
//! assert_eq!(unsafe { segments.descriptors() }.len(), 2);
//! assert_eq!(Geometry::from_words(&geometry.to_words())?, node.geometry());
//! let transport = Arc::new(Words(Arc::clone(&node), number));
//! let doorbells = Arc::new(Doorbells);
//! // SAFETY: all of it is of the admission above, and used once; `Words` goes to the same node.
//! let other = unsafe { Client::attach(geometry, segments, number, transport, doorbells) }?;
//! assert_eq!((other.id(), other.geometry()), (number, client.geometry()));
//!
//! // Waiting without a thread: a subscription reports in a group of objects.
//! let id = other.reserve()?;
//! assert_eq!(client.subscribe(id), Status::Pending);
//! client.retain(id)?;
//! other.seal_value(id, 0, &5_u64)?;
//! let mut groups = Vec::new();
//! client.drain_dirty(&mut |group| groups.push(group));
//! assert_eq!(groups, [client.dirty_group(id)]);
//! assert!(groups[0] < DIRTY_GROUPS);
//!
//! // The other process is gone, whatever it still held.
//! let promised = other.reserve()?;
//! client.retain(promised)?;
//! other.abandon();
//! // SAFETY: nobody uses `other` from here on, and nobody has a view of its.
//! let left: Reaped = unsafe { node.reap(number) };
//! assert_eq!(left.orphans, [promised], "nobody else will settle it");
//! client.fail(promised, 0, b"its process is gone")?;
//! assert_eq!(client.view::<u64>(id)?.to_native(), 5, "what is settled stays");
//! assert_eq!(node.collect(100), 0, "nobody else let go of anything");
//! # client.release(id); client.release(promised);
//! # assert!(node.shutdown().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Origins
//! A spilled object whose file is damaged can be made again, if the node knows how.
//! ```
//! # use std::sync::Arc;
//! # use rustyray_store::*;
//! # let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
//! # let client = node.client();
//! struct Tasks;
//!
//! impl Recovery for Tasks {
//!     fn lost(&self, lost: Lost) {
//!         // Runs `lost.origin` again, or settles the object with an error.
//!         eprintln!("{}: {}", lost.id, lost.what);
//!     }
//! }
//!
//! node.connect_recovery(Arc::new(Tasks));
//! assert!(!node.can_lose(), "this store has no directory to spill to");
//! let argument = client.put(&20_u64)?;
//! let result = client.put(&21_u64)?;
//! // The recipe is the program's own; the reference to the argument is the origin's now.
//! node.keep_origin(&[result], Origin::new(Arc::new("add one"), 8, vec![argument]));
//! assert_eq!(node.origins().0, 1);
//! assert!(client.holds(argument));
//! assert!(node.want_again(result).is_none(), "it is in memory");
//! client.release(result);
//! assert_eq!(node.origins().0, 0);
//! assert!(!client.holds(argument));
//! # assert!(node.shutdown().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Values in messages
//! ```
//! use rustyray_store::{ObjectId, OwnedValue, RefSink, Value, ValueSerializer, decode, encode};
//! use rkyv::{Archive, Place, Serialize, rancor::{Error, Fallible, Source}};
//!
//! let words = encode(&7_u64, |bytes, nested| {
//!     assert!(nested.is_empty());
//!     [u64::from_le_bytes(bytes.try_into().expect("eight bytes"))]
//! })?;
//! assert_eq!(decode::<u64>(&words, 8)?, 7);
//! assert!(<u64 as Value>::type_name().contains("u64"));
//! let archived = <u64 as Value>::check(&[7, 0, 0, 0, 0, 0, 0, 0]);
//! assert_eq!(<u64 as OwnedValue>::from_archived(&archived?.clone())?, 7);
//!
//! /// A reference inside a value: the object that holds the value then holds this one.
//! struct Reference(ObjectId);
//!
//! impl Archive for Reference {
//!     type Archived = <[u64; 2] as Archive>::Archived;
//!     type Resolver = <[u64; 2] as Archive>::Resolver;
//!     fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
//!         self.0.to_words().resolve(resolver, out);
//!     }
//! }
//!
//! impl<S: Fallible + RefSink + ?Sized> Serialize<S> for Reference {
//!     fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
//!         serializer.hold(self.0)?;
//!         Ok(Default::default())
//!     }
//! }
//!
//! let id = ObjectId { index: 3, generation: 9 };
//! assert_eq!(ObjectId::from_words(id.to_words()), Some(id));
//! encode(&Reference(id), |_, nested| assert_eq!(nested, [id]))?;
//!
//! /// What refuses to be written when it holds other references than it should.
//! struct Checked<T>(T, Vec<ObjectId>);
//!
//! impl<T> Archive for Checked<T> {
//!     type Archived = ();
//!     type Resolver = ();
//!     fn resolve(&self, (): Self::Resolver, _: Place<Self::Archived>) {}
//! }
//!
//! impl<T: Value> Serialize<ValueSerializer> for Checked<T> {
//!     fn serialize(&self, serializer: &mut ValueSerializer) -> Result<(), Error> {
//!         let before = serializer.position();
//!         // The serializer writes a value where it stands, and takes note of the references in it.
//!         self.0.write_to(serializer)?;
//!         let is_right = serializer.position() > before && serializer.nested() == self.1;
//!         is_right.then_some(()).ok_or_else(|| Error::new(std::fmt::Error))
//!     }
//! }
//!
//! let both = [3, 4].map(|index| Reference(ObjectId { index, generation: 9 }));
//! let ids = both.each_ref().map(|reference| reference.0);
//! let (pair, single) = (Checked(both, ids.to_vec()), Checked(Reference(id), vec![]));
//! encode(&pair, |_, nested| assert_eq!(nested, ids))?;
//! encode(&single, |_, _| ()).expect_err("it holds one, and should hold none");
//! # assert_ne!(<u64 as Value>::fingerprint(), <i64 as Value>::fingerprint());
//! # Ok::<(), rkyv::rancor::Error>(())
//! ```
//!
//! What requests and replies are made of (`FileAt`, `SealRequest`, `Refusal`), and what the segments are made of
//! (`Descriptors`, `Local`), are the store's own affair and not shown here.
//!
//! Unsafe code is in the modules that say so here, and nowhere else. What a program has to vouch for that carries
//! requests itself is said where it does: [`Client::attach`], [`Node::serve`], [`Node::reap`], [`Segments::descriptors`].

#![warn(clippy::print_stderr, clippy::print_stdout)]
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
#[allow(unsafe_code)]
mod deaths;
mod dirty;
#[cfg(not(rustyray_loom))]
mod encode;
#[cfg(not(rustyray_loom))]
mod endings;
mod entry;
#[cfg(not(rustyray_loom))]
mod error;
#[cfg(not(rustyray_loom))]
mod fault;
#[cfg(not(rustyray_loom))]
mod fingerprint;
#[cfg(all(not(rustyray_loom), any(test, feature = "fuzzing")))]
#[doc(hidden)]
#[allow(unsafe_code)]
pub mod fuzzing;
#[cfg(not(rustyray_loom))]
mod geometry;
#[cfg(not(rustyray_loom))]
mod hands;
#[cfg(not(rustyray_loom))]
mod holdings;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod hosting;
mod id;
mod inline;
#[cfg(not(rustyray_loom))]
mod leaks;
mod lease;
mod lent;
#[cfg(not(rustyray_loom))]
mod listing;
#[cfg(not(rustyray_loom))]
mod loan;
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
mod quiet;
#[cfg(not(rustyray_loom))]
mod reap;
#[cfg(not(rustyray_loom))]
mod request;
#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod reserve;
#[cfg(not(rustyray_loom))]
mod room;
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
pub use inline::Inline;
#[cfg(not(rustyray_loom))]
pub use {
    backend::{Backend, Descriptors, Local, Segments},
    client::{Client, Status, Transport, Wake},
    config::{Config, Stats},
    encode::{decode, encode},
    error::{AttemptError, Error, PinError, SealError, Stale, TransportError, ViewError},
    fingerprint::fingerprint,
    geometry::Geometry,
    leaks::{ClientLeaks, Leak, LeakReport},
    listing::{Listed, Residence},
    loan::Loan,
    native::Native,
    node::{Admission, Node, Reaped},
    origin::{Lost, Origin, Recovery},
    pin::{Pin, PinKind},
    request::{Refusal, Reply, Request, SealRequest},
    room::without_waiting,
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
        lent::Lent,
        place::Place,
        slot::{Header, Hold, Owner, Pinned, SLOT_WORDS, Slot},
        state::{BeginSeal, EndSeal, GENERATIONS, Phase, Rename, Snapshot, StateWord},
        type_names::TypeNames,
    };
}
