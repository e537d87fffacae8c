//! Objects held in place: the bytes stay where and what they are for as long as a pin lives.
//!
//! One of the crate's unsafe files: it makes slices of sealed shared memory.

use std::{fmt, ops::Deref, ptr::NonNull, sync::Arc};

use crate::{
    Client, Inline, ObjectId, PinError, fault, holdings::NotPinned, place::Place,
    sealed::SealedFile, state::Phase,
};

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
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_store::{Config, Node, Pin, PinKind};
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let id = client.put(&7_u64)?;
/// let pin: Pin = client.pin(id)?;
/// client.release(id);
/// assert_eq!((pin.id(), pin.kind()), (id, PinKind::Value));
/// assert_eq!(*pin, 7_u64.to_le_bytes(), "the archive, wherever it lies");
/// assert!(Arc::ptr_eq(pin.client(), &client));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pin {
    client: Arc<Client>,
    id: ObjectId,
    /// Where the bytes are, in the segment of `client` or where `keeper` has them.
    start: NonNull<u8>,
    len_bytes: usize,
    fingerprint: u64,
    kind: PinKind,
    keeper: Keeper,
}

/// What has the bytes.
#[derive(Clone)]
enum Keeper {
    /// The segment of the pin's client, or nobody.
    Segment,
    /// The file of a strict object.
    File(Arc<SealedFile>),
    /// A copy of what is in the slot, at an address that lasts.
    Copy { _copy: Arc<Inline> },
}

// SAFETY: a pin is a shared reference to bytes that nobody writes, and what keeps them; nothing in it is tied
// to a thread.
unsafe impl Send for Pin {}
// SAFETY: as above.
unsafe impl Sync for Pin {}

/// No bytes, at a multiple of what objects are aligned to: the archive of a type without bytes.
#[repr(align(64))]
struct Nothing;
static NOTHING: Nothing = Nothing;

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
        // Dropping `pin` takes the count back, whatever is wrong.
        let mut pin = Pin {
            client: Arc::clone(client),
            id,
            start: NonNull::from(&NOTHING).cast(),
            len_bytes: 0,
            fingerprint: header.fingerprint,
            kind,
            keeper: Keeper::Segment,
        };
        let corrupt = || PinError::Corrupt {
            id,
            what: format!("{} bytes at {:#x} are nowhere", header.len_bytes, header.location),
        };
        let place = Place::from_word(header.location).ok_or_else(corrupt)?;
        if place.takes_memory() {
            slot.touch(client.table().tick());
        }
        if client.geometry().is_strict || matches!(place, Place::File { .. }) {
            // What the slot says is anybody's; what the node says is not.
            match client.sealed_file(id)? {
                Some(file) => {
                    pin.start = file.start();
                    pin.len_bytes = file.len_bytes;
                    pin.fingerprint = file.fingerprint;
                    pin.kind = file.kind;
                    pin.keeper = Keeper::File(file);
                    return Ok(pin);
                }
                None if place == Place::Empty && header.len_bytes == 0 => return Ok(pin),
                None => return Err(corrupt()),
            }
        }
        match place {
            Place::Empty if header.len_bytes == 0 => Ok(pin),
            Place::Inline { .. } => {
                let copy = Arc::new(slot.inline(header));
                pin.start = NonNull::from(&copy[..]).cast();
                pin.len_bytes = copy.len();
                pin.keeper = Keeper::Copy { _copy: copy };
                Ok(pin)
            }
            Place::Block { offset_bytes } | Place::Extent { offset_bytes }
                if client.segment().contains(offset_bytes, header.len_bytes) =>
            {
                pin.start = client.segment().address(offset_bytes);
                pin.len_bytes = header.len_bytes as usize;
                Ok(pin)
            }
            _ => Err(corrupt()),
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

    /// Tells the bytes of an object that was made again from those that it had before.
    #[inline]
    pub(crate) fn making(&self) -> u64 {
        self.client.table().slot(self.id.index).owner().losses.into()
    }

    /// The file that has the bytes of a strict object.
    #[inline]
    pub(crate) fn file(&self) -> Option<&SealedFile> {
        match &self.keeper {
            Keeper::File(file) => Some(file),
            Keeper::Segment | Keeper::Copy { .. } => None,
        }
    }

    /// Whether the bytes are a copy of this pin's, of what was in the slot.
    #[inline]
    pub(crate) fn is_copy(&self) -> bool {
        matches!(self.keeper, Keeper::Copy { .. })
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
        // SAFETY: `new` read the place from the header of a settled object after this process's pin bit
        // was validated, and checked that it lies in the segment, or mapped the file that the node named; or
        // there are no bytes, at an address that is aligned for any; or copied what was in the slot. Settled
        // bytes are initialised, do not change and, while the bit is set, do not move: who enforces that is told
        // in `DESIGN.md`. The pin is counted until `self` is dropped, and `client` and `keeper` keep the mappings
        // and the copy.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len_bytes) }
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
        Pin { client: Arc::clone(&self.client), keeper: self.keeper.clone(), ..*self }
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        if self.client.is_ours() && self.client.holdings().unpin(self.id) {
            fault::point("unpin.cleared");
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
            NotPinned::Undecided => PinError::Closed,
            NotPinned::Away => {
                PinError::Corrupt { id, what: "its bytes come and go without end".to_owned() }
            }
        }
    }
}
