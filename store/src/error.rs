//! What can go wrong, one enum per family of operations.

use std::{io, path::PathBuf};

use rustyray_memory::NotOurs;

use crate::ObjectId;

/// Why the store could not be made, joined, or asked for room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was no room within the time allowed.
    #[error(
        "the object store is full: {requested_bytes} bytes asked for, {used_bytes} of \
         {capacity_bytes} in use, {pinned_bytes} pinned, {spilled_bytes} spilled"
    )]
    StoreFull {
        /// Bytes the store may hold in memory.
        capacity_bytes: u64,
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes of objects that somebody has a view of, so that they cannot be spilled.
        pinned_bytes: u64,
        /// Bytes on disk.
        spilled_bytes: u64,
        /// Bytes this operation asked for.
        requested_bytes: u64,
    },
    /// The object is larger than the store.
    #[error("an object of {requested_bytes} bytes does not fit a store of {capacity_bytes} bytes")]
    TooLarge {
        /// Bytes the store may hold in memory.
        capacity_bytes: u64,
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes of objects that somebody has a view of.
        pinned_bytes: u64,
        /// Bytes on disk.
        spilled_bytes: u64,
        /// Bytes this operation asked for.
        requested_bytes: u64,
    },
    /// `create(0)`: there is nothing to write.
    #[error("an object of zero bytes cannot be created")]
    ZeroLength,
    /// A value refers to more objects than there can be.
    #[error("a value with {found} references; an object can have at most {limit}")]
    TooManyReferences {
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: u32,
    },
    /// All slots of the object table are taken.
    #[error("all {max_objects} slots of the object table are taken")]
    TableFull {
        /// Slots in the table.
        max_objects: u32,
    },
    /// This store cannot have strict objects: they need memfds.
    #[error("the store's backend has no strict objects")]
    NotStrict,
    /// Another process has the memory of a strict object mapped for writing, so that it could still change.
    #[error("the object was not sealed: its memory is still mapped for writing by another process")]
    StillWritable,
    /// All client numbers are taken.
    #[error("all client numbers are taken")]
    TooManyClients,
    /// The client is unknown to the node, or was reaped.
    #[error("client {0} is not admitted")]
    UnknownClient(u8),
    /// The value refused to be serialised.
    #[error("the value could not be serialised")]
    Serialize(#[source] rkyv::rancor::Error),
    /// The value holds a reference that names no living object.
    #[error("the value holds a reference to an object that does not exist")]
    Nested(#[source] Stale),
    /// A configuration that makes no sense.
    #[error("the configuration is not usable: {0}")]
    Config(&'static str),
    /// There was no room within the time allowed, and the disk did not take what could have made some.
    /// What is stored already is not touched by that.
    #[error(
        "no room for {requested_bytes} bytes: {used_bytes} of {capacity_bytes} are in use, \
         {pinned_bytes} pinned, and nothing more can be spilled to disk beyond {spilled_bytes}"
    )]
    CannotSpill {
        /// Bytes the store may hold in memory.
        capacity_bytes: u64,
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes of objects that somebody has a view of, so that they cannot be spilled.
        pinned_bytes: u64,
        /// Bytes on disk.
        spilled_bytes: u64,
        /// Bytes this operation asked for.
        requested_bytes: u64,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The directory for spilled objects cannot be used.
    #[error("no directory for spilled objects can be made under {path:?}")]
    SpillDir {
        /// Where it was to be.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The operating system refused.
    #[error("{doing}")]
    Os {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The node could not be reached.
    #[error("the node could not be asked")]
    Transport(#[from] TransportError),
    /// The other side said something that makes no sense.
    #[error("protocol: {0}")]
    Protocol(&'static str),
    /// The process at the other end of a socket belongs to another user.
    #[error(
        "process {pid} of user {uid} is at the other end; only this user's processes may share a store"
    )]
    ForeignPeer {
        /// The process.
        pid: i32,
        /// Its user.
        uid: u32,
    },
    /// This process was forked off a client; it may not touch what its parent holds.
    #[error("a forked child may not use its parent's store")]
    Forked,
    /// The store has ended, or this process's part in it.
    #[error("the store has ended")]
    Closed,
}

impl From<NotOurs> for Error {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::Forked => Error::Forked,
            NotOurs::Closed => Error::Closed,
        }
    }
}

impl From<NotOurs> for PinError {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::Forked => PinError::Forked,
            NotOurs::Closed => PinError::Closed,
        }
    }
}

/// Why the node did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The node is gone.
    #[error("the node is gone")]
    Closed,
    /// The message could not be carried.
    #[error("the message could not be carried")]
    Io(#[source] io::Error),
}

/// The id names no living object.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stale {
    /// The object existed and is gone.
    #[error("object {0} is gone")]
    Gone(ObjectId),
    /// This store never issued the id: it is of another session, or made up.
    #[error("object {0} is not of this session")]
    Foreign(ObjectId),
}

impl Stale {
    /// The id that was asked for.
    pub fn id(&self) -> ObjectId {
        match *self {
            Stale::Gone(id) | Stale::Foreign(id) => id,
        }
    }
}

/// Why an object could not be sealed or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Another attempt has taken over.
    #[error("attempt {attempt} of object {id} is not the current one ({current})")]
    Late {
        /// The object.
        id: ObjectId,
        /// The attempt that came late.
        attempt: u16,
        /// The attempt whose seal counts.
        current: u16,
    },
    /// The object has a value (or an error) already, or somebody is writing it this instant.
    #[error("object {0} is sealed already")]
    AlreadySealed(ObjectId),
    /// Somebody has the strict object's memory mapped for writing, so that it could still change. It was given
    /// back.
    #[error("object {0} was not sealed: its memory is still mapped for writing by another process")]
    StillWritable(ObjectId),
    /// The object is gone: nobody refers to it any more.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// A nested reference names no living object.
    #[error("a nested reference names no living object")]
    Nested(#[source] Stale),
    /// The store had no room, or could not be asked.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why an object's bytes could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// It has no value yet.
    #[error("object {0} has no value yet")]
    Pending(ObjectId),
    /// It is gone, or never was.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// Its bytes are on disk, and the file is gone.
    #[error("object {0} was spilled, and its file is gone")]
    SpillMissing(ObjectId),
    /// Its bytes are on disk, and are not what was put there.
    #[error("object {id} was spilled, and its file {what}")]
    SpillDamaged {
        /// The object.
        id: ObjectId,
        /// What is wrong with the file.
        what: &'static str,
    },
    /// Its bytes are on disk and could not be brought back.
    #[error("object {id} could not be restored")]
    Restore {
        /// The object.
        id: ObjectId,
        /// Why.
        #[source]
        source: Error,
    },
    /// What the slot says makes no sense.
    #[error("object {id} is corrupt: {what}")]
    Corrupt {
        /// The object.
        id: ObjectId,
        /// What is wrong.
        what: String,
    },
    /// This process was forked off a client; it may not touch what its parent holds.
    #[error("a forked child may not use its parent's store")]
    Forked,
    /// The store has ended, or this process's part in it.
    #[error("the store has ended")]
    Closed,
}

/// Why an object could not be viewed as a `T`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Its bytes could not be reached.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The object failed: the pin reads the error's bytes.
    #[error("the object failed")]
    Failed(crate::Pin),
    /// It is a value of another type.
    #[error("object {id} is a {found}, not a {expected}")]
    TypeMismatch {
        /// The object.
        id: ObjectId,
        /// The archived type asked for.
        expected: &'static str,
        /// The archived type found, as far as it is known.
        found: String,
    },
    /// Its bytes are not a valid archive of the type.
    #[error("object {id} is not a valid {expected}")]
    Corrupt {
        /// The object.
        id: ObjectId,
        /// The archived type asked for.
        expected: &'static str,
        /// What the check found.
        #[source]
        source: rkyv::rancor::Error,
    },
}

/// Why an attempt could not be named.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// The object is gone, or never was.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// It has a value (or an error) already.
    #[error("object {0} is sealed already")]
    AlreadySealed(ObjectId),
    /// A client is sealing it this instant; if that client is dead, reap it first.
    #[error("object {0} is being sealed")]
    Sealing(ObjectId),
}
