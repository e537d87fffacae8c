//! Objects held in place: the bytes stay where and what they are for as long as a pin lives.
//!
//! One of the crate's unsafe files: it makes slices of sealed shared memory.

use std::{fmt, ops::Deref, sync::Arc};

use crate::{Client, ObjectId, PinError, holdings::NotPinned, place::Place, state::Phase};

/// Whether an object has a value or an error.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PinKind {
    /// The bytes are the object's value.
    Value,
    /// The object failed; the bytes are the error's.
    Failed,
}

/// The bytes of a settled object, held in place. Keeps the mapping they are in, also beyond the end of
/// the store.
pub struct Pin {
    client: Arc<Client>,
    id: ObjectId,
    offset_bytes: u64,
    len_bytes: u64,
    fingerprint: u64,
    kind: PinKind,
}

/// No bytes, at a multiple of what objects are aligned to: the archive of a type without bytes.
#[repr(align(64))]
struct Nothing([u8; 0]);
static NOTHING: Nothing = Nothing([]);

impl Pin {
    /// Reads the header of an object that the caller has just counted a pin for, and takes that over.
    pub(crate) fn new(client: &Arc<Client>, id: ObjectId) -> Result<Self, PinError> {
        let slot = client.table().slot(id.index);
        // A freer that has not seen the pin yet may be looking just now: what it will go back to counts.
        let kind = match slot.state().load().lasting_phase() {
            Phase::Failed => PinKind::Failed,
            _ => PinKind::Value,
        };
        let header = slot.header();
        slot.touch(client.table().tick());
        let mut pin = Pin {
            client: Arc::clone(client),
            id,
            offset_bytes: 0,
            len_bytes: 0,
            fingerprint: header.fingerprint,
            kind,
        };
        match Place::from_word(header.location) {
            Some(Place::Empty) if header.len_bytes == 0 => Ok(pin),
            Some(Place::Block { offset_bytes } | Place::Extent { offset_bytes })
                if client.segment().contains(offset_bytes, header.len_bytes) =>
            {
                pin.offset_bytes = offset_bytes;
                pin.len_bytes = header.len_bytes;
                Ok(pin)
            }
            // Dropping `pin` takes the count back.
            _ => Err(PinError::Corrupt {
                id,
                what: format!(
                    "{} bytes at {:#x} are not in the segment",
                    header.len_bytes, header.location
                ),
            }),
        }
    }

    /// The object.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The fingerprint of the value's type; 0 when it was sealed without one.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether the bytes are a value or an error.
    pub fn kind(&self) -> PinKind {
        self.kind
    }

    /// The client that holds the pin.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Deref for Pin {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.len_bytes == 0 {
            return &NOTHING.0;
        }
        // SAFETY: `new` read the place from the header of a settled object after this process's pin bit
        // was validated; settled bytes do not change and, while the bit is set, do not move. The pin is
        // counted until `self` is dropped, and `client` keeps the mapping.
        unsafe { self.client.segment().bytes(self.offset_bytes, self.len_bytes) }
    }
}

impl AsRef<[u8]> for Pin {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        let (result, _) = self.client.holdings().pin(self.id);
        debug_assert!(result.is_ok(), "what is pinned can be pinned again");
        Pin { client: Arc::clone(&self.client), ..*self }
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        if self.client.is_ours() && self.client.holdings().unpin(self.id) {
            self.client.perhaps_dead(self.id.index);
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("len_bytes", &self.len_bytes)
            .finish_non_exhaustive()
    }
}

impl From<(NotPinned, ObjectId, &Client)> for PinError {
    fn from((why, id, client): (NotPinned, ObjectId, &Client)) -> Self {
        match why {
            NotPinned::Pending => PinError::Pending(id),
            NotPinned::Gone => PinError::Stale(client.table().stale(id)),
            NotPinned::Away => {
                PinError::Corrupt { id, what: "its bytes come and go without end".to_owned() }
            }
        }
    }
}
