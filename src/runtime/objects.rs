//! What a process does with objects: puts, gets and views them, takes and drops references, and says in the public
//! error's words what the store said.

use rustyray_store::{ObjectId, PinError, PinKind, SealError, Status, View, ViewError};

use super::{Core, Link};
use crate::{
    call::{Failure, FailureKind},
    error::{Error, Result},
    value::Value,
};

impl Core {
    /// Takes one more reference to an object that somebody holds.
    pub(crate) fn retain(&self, id: ObjectId) -> Result<()> {
        self.client.retain(id).map_err(|stale| Error::ObjectLost {
            object: id.to_string(),
            reason: stale.to_string(),
        })
    }

    /// The same for an object that this process holds already, which cannot fail.
    #[inline]
    pub(crate) fn retain_held(&self, id: ObjectId) {
        if self.client.retain(id).is_err() {
            // A forked child or a closed session: the clone counts nothing, and so does its drop.
            debug_assert!(self.is_closed() || !self.client.holds(id), "a held object went away");
        }
    }

    #[inline]
    pub(crate) fn release(&self, id: ObjectId) {
        self.client.release(id);
    }

    /// Whether the object may still be sealed or failed.
    #[inline]
    pub(crate) fn is_pending(&self, id: ObjectId) -> bool {
        self.client.status(id) == Status::Pending && !self.is_over()
    }

    /// Asks for this process's doorbell to be rung when the object is settled. Gives what it is now.
    pub(crate) fn subscribe(&self, id: ObjectId) -> Status {
        self.client.subscribe(id)
    }

    /// Stores `value`; the caller owns one reference to it.
    pub(crate) fn put_id<T: Value>(&self, value: &T) -> Result<ObjectId> {
        self.check_open()?;
        self.client.put(value).map_err(|error| self.store_failed::<T>(error))
    }

    /// The owned value of a settled object.
    #[inline]
    pub(crate) fn get_sealed<T: Value>(&self, id: ObjectId) -> Result<T> {
        // Whatever keeps it from being read so is told below.
        if let Some(value) = self.client.inline(id).and_then(|inline| inline.value()) {
            return Ok(value);
        }
        let view = self.view_sealed::<T>(id)?;
        view.to_owned_value().map_err(|reason| Error::CorruptObject {
            object: id.to_string(),
            reason: reason.to_string(),
        })
    }

    /// A view of a settled object.
    #[inline]
    pub(crate) fn view_sealed<T: Value>(&self, id: ObjectId) -> Result<View<T>> {
        loop {
            match self.client.view::<T>(id) {
                Err(ViewError::Pin(PinError::Pending(_))) if self.is_waited_for() => {
                    // It was lost, and is being made again.
                    self.block_until_settled(id, None)?;
                }
                view => return view.map_err(|error| self.view_error::<T>(id, error)),
            }
        }
    }

    /// Whether it is any use to wait here for an object that has no value.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.is_over() && !self.is_interrupted()
    }

    #[cold]
    pub(crate) fn view_error<T: ?Sized>(&self, id: ObjectId, error: ViewError) -> Error {
        match error {
            ViewError::Failed(pin) => {
                debug_assert_eq!(pin.kind(), PinKind::Failed);
                self.met_here(Error::from_bytes(id, &pin))
            }
            ViewError::TypeMismatch { expected, found, .. } => Error::TypeMismatch {
                object: id.to_string(),
                expected: expected.to_string(),
                found: found.to_string(),
            },
            error @ ViewError::Corrupt { .. } => {
                Error::CorruptObject { object: id.to_string(), reason: error.to_string() }
            }
            _ if self.is_pending(id) && self.is_interrupted() => self.interrupted(),
            _ if self.is_closed() => self.ended(format!("object {id} went with it")),
            ViewError::Pin(PinError::Restore { source, .. }) => self.store_failed::<T>(source),
            ViewError::Pin(PinError::Forked) => store_error::<T>(rustyray_store::Error::Forked),
            other => Error::ObjectLost { object: id.to_string(), reason: other.to_string() },
        }
    }

    /// The error that a settled object holds, `None` when it holds a value.
    pub(crate) fn error_of(&self, id: ObjectId) -> Option<Error> {
        match self.client.status(id) {
            Status::Sealed | Status::Pending => None,
            _ => match self.client.pin(id) {
                Ok(pin) if pin.kind() == PinKind::Failed => Some(Error::from_bytes(id, &pin)),
                Ok(_) => None,
                Err(error) => {
                    Some(Error::ObjectLost { object: id.to_string(), reason: error.to_string() })
                }
            },
        }
    }

    /// Seals `value` as the result `id` in the name of `attempt`.
    #[inline]
    pub(crate) fn seal_value<T: Value>(
        &self,
        id: ObjectId,
        attempt: u16,
        value: &T,
    ) -> Result<(), Failure> {
        self.client.seal_value(id, attempt, value).map_err(|error| match error {
            SealError::Late { .. } | SealError::AlreadySealed { .. } => {
                Failure::of(FailureKind::Late)
            }
            SealError::Store(error) => Failure::from(self.store_failed::<T>(error)),
            // Nobody refers to the result any more: it is dropped.
            SealError::Stale(_) => Failure::of(FailureKind::Late),
            other => Failure::from(Error::ObjectLost {
                object: id.to_string(),
                reason: other.to_string(),
            }),
        })
    }

    /// Seals `error` in the place of the result `id`; a result that is there already stays.
    pub(crate) fn fail(&self, id: ObjectId, attempt: u16, error: &Error) {
        // Late, stale or sealed: somebody else settled it, which is all that is wanted. A store that has no
        // room for an error is handled by the store itself, which keeps the failed state without bytes.
        let _ = self.client.fail(id, attempt, &error.to_bytes());
    }

    /// A stream of this process has consumed all that came before this grant.
    pub(crate) fn advance_stream(&self, end: ObjectId, grant: ObjectId) {
        match &self.link {
            Link::Node(node) => node.advance_stream(end, grant),
            Link::Uplink(uplink) => uplink.advance_stream(self, end, grant),
        }
    }

    /// The grant with which the producer of a stream is to begin, should the first one be gone.
    pub(crate) fn stream_head(&self, end: ObjectId) -> Option<ObjectId> {
        match &self.link {
            Link::Node(node) => node.stream_head(end),
            Link::Uplink(uplink) => uplink.stream_head(end).ok().flatten(),
        }
    }

    /// Archives `value` for an argument and gives its bytes and the references inside it to `f`.
    pub(crate) fn encode<T: Value, R>(
        &self,
        value: &T,
        f: impl FnOnce(&[u8], &[ObjectId]) -> Result<R>,
    ) -> Result<R> {
        rustyray_store::encode(value, f).map_err(|error| Error::Serialization {
            what: std::any::type_name::<T>().to_owned(),
            reason: error.to_string(),
        })?
    }

    /// Reads an argument that was archived by [`Core::encode`].
    #[inline]
    pub(crate) fn decode<T: Value>(&self, words: &[u64], len: usize) -> Result<T> {
        rustyray_store::decode(words, len).map_err(|error| Error::Serialization {
            what: std::any::type_name::<T>().to_owned(),
            reason: error.to_string(),
        })
    }
}

/// What the store said, in the words of the public error.
#[cold]
pub(crate) fn store_error<T: ?Sized>(error: rustyray_store::Error) -> Error {
    use rustyray_store::Error as Store;
    match error {
        Store::StoreFull {
            capacity_bytes,
            used_bytes,
            pinned_bytes,
            spilled_bytes,
            requested_bytes,
        }
        | Store::TooLarge {
            capacity_bytes,
            used_bytes,
            pinned_bytes,
            spilled_bytes,
            requested_bytes,
        } => Error::ObjectStoreFull {
            requested: requested_bytes,
            capacity: capacity_bytes,
            used: used_bytes,
            pinned: pinned_bytes,
            spilled: spilled_bytes,
        },
        Store::Serialize { .. }
        | Store::Nested { .. }
        | Store::ZeroLength
        | Store::TooManyReferences { .. } => Error::Serialization {
            what: std::any::type_name::<T>().to_owned(),
            reason: error.to_string(),
        },
        Store::Config(what) => Error::invalid(format!("object store: {what}")),
        Store::Transport(_) | Store::Forked | Store::Closed => {
            Error::ShutDown { what: error.to_string() }
        }
        other => {
            Error::Io { context: "object store".into(), message: other.to_string(), errno: None }
        }
    }
}
