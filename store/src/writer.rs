//! Objects being written: memory that nobody else reads or writes yet.
//!
//! One of the crate's unsafe files: it makes mutable slices of shared memory.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::Arc,
};

use crate::{
    Client, Request, Tier, fault,
    geometry::{PAGE_BYTES, extent_bytes, roomy_extent_bytes},
    lease::Placed,
    place::{INLINE_BYTES, Place},
    segment::Segment,
};

/// Memory for one object, to be written and then sealed. Dropped unsealed, it is given back.
///
/// Its bytes are those of whatever was there before; they begin at a multiple of 64.
///
/// # Examples
/// ```
/// use rustyray_store::{Config, Node};
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let mut writer = client.create(1000)?;
/// writer[..3].copy_from_slice(b"abc");
/// writer.truncate(3);
/// assert!(writer.len() == 3 && !writer.is_empty());
/// let id = client.reserve()?;
/// client.seal(id, 0, writer, 0, &[])?; // 0: bytes without a type
/// assert_eq!(&*client.pin(id)?, b"abc");
///
/// drop(client.create(1000)?); // given back
/// # client.release(id);
/// # assert!(node.shutdown().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    client: Arc<Client>,
    place: Place,
    len: usize,
    /// Bytes reserved: `len`, the room for the list of nested references, and in an extent all of it.
    capacity: usize,
    /// The file of a strict object, mapped.
    file: Option<Segment>,
    /// The bytes of a value that goes into its slot.
    inline: [u8; INLINE_BYTES],
    /// Nobody writes there any more.
    is_finished: bool,
    /// Nothing is given back: the object was sealed.
    is_sealed: bool,
}

impl Writer {
    pub(crate) fn new(client: Arc<Client>, place: Place, len: usize, capacity: usize) -> Self {
        let (file, inline) = (None, [0; INLINE_BYTES]);
        Writer { client, place, len, capacity, file, inline, is_finished: false, is_sealed: false }
    }

    /// A value that goes into its slot.
    pub(crate) fn inline(client: Arc<Client>, value: &[u8]) -> Self {
        let len = value.len();
        let mut writer = Writer::new(client, Place::Inline { len_bytes: len as u64 }, len, len);
        writer.inline[..len].copy_from_slice(value);
        writer
    }

    pub(crate) fn in_file(
        client: Arc<Client>,
        key: u64,
        file: Segment,
        len: usize,
        capacity: usize,
    ) -> Self {
        let place = Place::File { key };
        let mut writer = Writer::new(client, place, len, capacity);
        writer.file = Some(file);
        writer
    }

    /// This process writes to the file no more: it has it mapped no more. The caller has it sealed, or gone.
    pub(crate) fn close_file(mut self) {
        self.file = None;
        self.is_sealed = true;
    }

    pub(crate) fn tier(&self) -> Tier {
        if self.file.is_some() { Tier::Strict } else { Tier::Ordinary }
    }

    /// How many bytes the object has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the object has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the object shorter. Nothing happens when it is not longer than `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The bytes of a value that goes into its slot.
    pub(crate) fn inline_bytes(&self) -> [u8; INLINE_BYTES] {
        self.inline
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The first byte.
    pub(crate) fn address(&self) -> NonNull<u8> {
        match &self.file {
            Some(file) => file.address(0),
            None => self.client.segment().address(self.place.offset_bytes()),
        }
    }

    /// All that is reserved, for writing beyond the value.
    pub(crate) fn reserved_mut(&mut self) -> &mut [u8] {
        if self.capacity == 0 {
            return &mut [];
        }
        if let Place::Inline { .. } = self.place {
            return &mut self.inline[..self.capacity];
        }
        // SAFETY: `Client::create_reserved` got `capacity` bytes at this place from the node (or from a
        // block the node leased to us, or in a file that is mapped as long as `self`) and made them writable; until the seal nobody else knows the
        // place, and `&mut self` makes this the only slice of it in this process. A memfd's bytes are
        // initialised.
        unsafe { std::slice::from_raw_parts_mut(self.address().as_ptr(), self.capacity) }
    }

    /// The object's footprint shrinks to `capacity`: the rest goes back if it can.
    pub(crate) fn give_tail_back(&mut self, capacity: usize) {
        debug_assert!(capacity <= self.capacity && capacity >= self.len);
        match self.place {
            Place::Empty | Place::Inline { .. } => {}
            // The node gives the rest of a file back when it seals it.
            Place::File { .. } => self.capacity = capacity,
            Place::Block { .. } => {
                let placed = self.placed();
                self.client.open_block().trim(placed, self.capacity as u64, Some(capacity as u64));
                self.capacity = capacity;
            }
            // The node takes the rest back when room runs short.
            Place::Extent { .. } if self.capacity as u64 == roomy_extent_bytes(capacity as u64) => {
            }
            Place::Extent { offset_bytes } => {
                let kept = extent_bytes(capacity as u64) as usize;
                let waste = self.capacity.saturating_sub(kept);
                if waste > (64 << 10).max(self.capacity / 16) {
                    self.client.shrink(offset_bytes, self.capacity as u64, kept as u64);
                    self.capacity = kept;
                }
            }
        }
    }

    fn placed(&self) -> Placed {
        let offset_bytes = self.place.offset_bytes();
        let block = (offset_bytes / self.client.geometry().block_bytes) as u32;
        Placed { block, offset_bytes }
    }

    /// What is to be written is written: from here on stores there fault, or will once the block is full. Before
    /// the seal, since a sealed object may be gone at any moment, and the memory somebody else's.
    pub(crate) fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        match self.place {
            Place::Empty | Place::Inline { .. } | Place::File { .. } => {}
            Place::Block { .. } => self.client.finish(self.placed()),
            Place::Extent { offset_bytes } => {
                let len_bytes = (self.capacity as u64).next_multiple_of(PAGE_BYTES);
                self.client.segment().forbid_writes(offset_bytes, len_bytes);
            }
        }
    }

    /// The object was sealed: the memory is its own now.
    pub(crate) fn set_sealed(&mut self) {
        self.is_sealed = true;
    }
}

impl Deref for Writer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        if let Place::Inline { .. } = self.place {
            return &self.inline[..self.len];
        }
        // SAFETY: see `reserved_mut`; `len <= capacity`, and a shared borrow of `self` excludes writes.
        unsafe { std::slice::from_raw_parts(self.address().as_ptr(), self.len) }
    }
}

impl DerefMut for Writer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.reserved_mut()[..len]
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_sealed || !self.client.is_ours() {
            return;
        }
        fault::point("abort.begun");
        self.finish();
        match self.place {
            Place::Empty | Place::Inline { .. } => {}
            Place::File { key } => {
                self.file = None;
                let _ = self.client.ask(Request::Drop { key });
            }
            Place::Block { .. } => {
                let placed = self.placed();
                if !self.client.open_block().trim(placed, self.capacity as u64, None) {
                    // If the node cannot be told, reaping this process counts again.
                    let _ = self.client.ask(Request::Unplace { block: placed.block });
                }
            }
            Place::Extent { offset_bytes } => {
                let _ = self.client.ask(Request::GiveBack { offset_bytes, is_populated: true });
            }
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("place", &self.place).field("len", &self.len).finish()
    }
}

/// Memory for an object of plain bytes, which is read as [`bytes::Bytes`] once it is sealed with
/// [`Client::seal_bytes`].
#[derive(Debug)]
pub struct BytesWriter {
    pub(crate) writer: Writer,
    pub(crate) len: usize,
}

impl Deref for BytesWriter {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.writer[..self.len]
    }
}

impl DerefMut for BytesWriter {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.writer[..len]
    }
}
