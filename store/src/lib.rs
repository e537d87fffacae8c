//! A plasma-style object store in shared memory.

mod client;
mod config;
mod error;
mod fingerprint;
mod geometry;
mod id;
mod machine;
mod node;
mod pin;
mod request;
mod serializer;
mod value;
mod view;
mod writer;

pub use client::{Client, DIRTY_GROUPS, Status, Transport, Wake, Written};
pub use config::{Config, Stats};
pub use error::{AttemptError, Error, PinError, SealError, Stale, TransportError, ViewError};
pub use fingerprint::fingerprint;
pub use geometry::Geometry;
pub use id::{ClientId, ClientSet, ObjectId};
pub use node::{Admission, Leak, Node, Reaped};
pub use pin::{Pin, PinKind};
pub use request::{Refusal, Reply, Request};
pub use serializer::{RefSink, ValueSerializer};
pub use value::{OwnedValue, Value, ValueDeserializer};
pub use view::View;
pub use writer::{BytesWriter, Writer};
