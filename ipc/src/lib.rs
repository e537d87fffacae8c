//! What processes use to reach each other: rings, doorbells, sockets, descriptors, peer death.
//!
//! Two planes:
//! - *Hot*, over shared words, no system call while both sides are awake: [`Producer`]/[`Consumer`]
//!   (a ring), [`WorkProducer`]/[`WorkConsumer`] (a queue whose entries can be taken back), [`Bell`]
//!   and [`Ringer`] (sleeping until there is something), [`Patience`] (how long to spin first), [`Asker`]
//!   and [`answer`] (cells for the answers to what was asked by an entry), [`LineHead`] (of a queue that is
//!   given out to one pair of processes after the other), [`Missed`] (a note for who has a lock), [`Begun`] (what a process is at, for whoever looks).
//! - *Cold*, over the kernel: [`Listener`], [`Connection`] and [`BlockingConnection`] (frames and
//!   descriptors over Unix sockets), [`ProcessHandle`] (peer death), [`Pressure`] (memory that runs short).
//!
//! ```
//! use std::{sync::Arc, thread};
//! use rustyray_ipc::{BELL_WORDS, Bell, Consumer, Patience, Producer, RingShape, Ringer};
//! use rustyray_memory::{Heap, Span};
//!
//! const SHAPE: RingShape = RingShape { entries: 8, payload_words: 7 };
//!
//! // Between two processes this is a `Mapped` of a file that both of them have.
//! let memory = Arc::new(Heap::new(SHAPE.words() + BELL_WORDS));
//! let ring = Span::new(Arc::clone(&memory), 0, SHAPE.words());
//! let bell = Span::new(memory, SHAPE.words(), BELL_WORDS);
//!
//! let sender = {
//!     let (ring, bell) = (Producer::new(ring.clone(), SHAPE), Ringer::new(bell.clone()));
//!     thread::spawn(move || {
//!         for number in 1..=3 {
//!             ring.push(&[number, number * number]).expect("there is room for eight");
//!             bell.ring();
//!         }
//!     })
//! };
//!
//! let (mut ring, bell) = (Consumer::new(ring, SHAPE), Bell::new(bell));
//! let mut entry = [0; 7];
//! for number in 1..=3 {
//!     // Looks, spins for as long as that has paid lately, and then sleeps on the bell.
//!     let len = Patience::calibrated()
//!         .wait(&bell, None, || ring.pop(&mut entry).transpose(), || false)
//!         .expect("it waits for as long as it takes")?;
//!     assert_eq!(entry[..len], [number, number * number]);
//! }
//! sender.join().expect("no panic");
//! assert!(ring.is_empty());
//! # Ok::<(), rustyray_ipc::Garbage>(())
//! ```
//!
//! The hot plane is written over [`rustyray_memory::Memory`], so that the code which runs over shared
//! mappings is the code that the models explore.
//!
//! Invariant: unsafe code lives in `fd` only.

#![warn(clippy::print_stderr, clippy::print_stdout)]
#![deny(unsafe_code)]

mod apart;
mod begun;
mod bell;
mod cells;
mod cursor;
mod entry;
mod lane;
mod line_head;
mod missed;
mod pending;
mod ring;
mod roster;
mod shape;
mod work;

#[cfg(not(rustyray_loom))]
mod blocking;
#[cfg(not(rustyray_loom))]
mod connection;
mod crowding;
#[cfg(not(rustyray_loom))]
mod fd;
#[cfg(not(rustyray_loom))]
mod frame;
#[cfg(all(not(rustyray_loom), any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(not(rustyray_loom))]
mod listener;
mod patience;
#[cfg(not(rustyray_loom))]
mod pressure;
#[cfg(not(rustyray_loom))]
mod process;
mod wake_cost;

pub use begun::{BEGUN_WORDS, Begun, UnderWay};
pub use bell::{Attendant, BELL_WORDS, Bell, Leave, Napped, Ringer, Slept};
pub use cells::{Asker, CellShape, Question, answer};
pub use cursor::Garbage;
pub use lane::Full;
pub use line_head::{LINE_HEAD_WORDS, LineHead, LineState};
pub use missed::Missed;
pub use patience::Patience;
pub use pending::{PENDING_WORDS, Pending};
pub use ring::{Consumer, Producer};
pub use shape::RingShape;
pub use work::{Ticket, WorkConsumer, WorkProducer};

#[cfg(not(rustyray_loom))]
pub use {
    blocking::BlockingConnection,
    connection::Connection,
    fd::{Peer, pair},
    frame::{FrameError, MAX_FRAME_BYTES, MAX_FRAME_FDS, Message, Rubbish},
    listener::{AcceptError, BindError, Listener, remove_stale},
    pressure::Pressure,
    process::ProcessHandle,
};
