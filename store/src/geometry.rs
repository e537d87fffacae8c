//! How the store's memory is laid out: what a client must know to attach.
//!
//! The table segment holds, in this order: a header, the type names, the dirty maps of all clients,
//! the map of what may be dead, and the slots. The data segment holds bytes and nothing else.

use std::time::Duration;

use crate::{Error, ObjectId, deadmap, dirty, slot::SLOT_WORDS, state::GENERATIONS, type_names};

/// First word of an encoded geometry and of the table: changes with every change of a layout.
pub(crate) const MAGIC: u64 = 0x7275_7374_7972_0002;

/// Words of the table's header: magic, tick, and the admitted clients.
pub(crate) const HEADER_WORDS: usize = 64;
pub(crate) const HEADER_MAGIC: usize = 0;
pub(crate) const HEADER_TICK: usize = 8;
pub(crate) const HEADER_CLIENTS: usize = 16;

pub(crate) const TYPE_NAMES_AT: usize = HEADER_WORDS;
pub(crate) const DIRTY_AT: usize = TYPE_NAMES_AT + type_names::WORDS;
pub(crate) const DEAD_AT: usize = DIRTY_AT + 256 * dirty::CLIENT_WORDS;

/// Bytes of a page, the unit of large objects.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Bytes of a huge page. One page-table entry instead of 512: it is populated, written for the first time
/// and protected as fast as a single small page, so that pieces that can be made of whole ones are.
pub(crate) const HUGE_PAGE_BYTES: u64 = 2 << 20;

/// More than any store has.
pub(crate) const MAX_CAPACITY_BYTES: u64 = 1 << 46;

/// The most references of one object: as many as there can be objects.
pub(crate) const MAX_NESTED: u32 = deadmap::MAX_SLOTS;

/// The most bytes of a block: a huge page.
pub(crate) const MAX_BLOCK_BYTES: u64 = HUGE_PAGE_BYTES;

/// Bytes of the extent for a large object of `len_bytes`: whole huge pages unless that would waste more
/// than an eighth, else whole pages.
pub(crate) fn extent_bytes(len_bytes: u64) -> u64 {
    match len_bytes.checked_next_multiple_of(HUGE_PAGE_BYTES) {
        Some(huge) if huge - len_bytes <= len_bytes / 8 => huge,
        _ => len_bytes.saturating_add(PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES,
    }
}

/// The same where there is room: whole huge pages from a quarter of one on. Writing to small pages and protecting
/// them costs more than copying to them; what is wasted is taken back when room runs short.
pub(crate) fn roomy_extent_bytes(len_bytes: u64) -> u64 {
    match len_bytes.checked_next_multiple_of(HUGE_PAGE_BYTES) {
        Some(huge)
            if len_bytes >= HUGE_PAGE_BYTES / 4
                && huge - len_bytes <= len_bytes.saturating_mul(3) =>
        {
            huge
        }
        _ => extent_bytes(len_bytes),
    }
}

/// The sizes of a store, as the node tells them to a client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub(crate) capacity_bytes: u64,
    pub(crate) max_objects: u32,
    pub(crate) block_bytes: u64,
    /// Objects from this size on get memory of their own.
    pub(crate) large_bytes: u64,
    /// The public generation of generation 0.
    pub(crate) base_generation: u64,
    pub(crate) put_timeout_ms: u64,
    /// Every object is strict.
    pub(crate) is_strict: bool,
}

impl Geometry {
    /// Words of an encoded geometry.
    ///
    /// ```
    /// # use rustyray_store::{Config, Geometry, Node};
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() })?;
    /// let mut message = vec![0; 2 + Geometry::WORDS]; // after two words of the program's own
    /// message[2..].copy_from_slice(&node.geometry().to_words());
    /// assert_eq!(Geometry::from_words(&message[2..])?, node.geometry());
    /// assert!(Geometry::from_words(&message).is_err());
    /// # Ok::<(), rustyray_store::Error>(())
    /// ```
    pub const WORDS: usize = 8;

    /// How long a put waits for room, [`crate::Config::put_timeout`]; for who waits for it elsewhere.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustyray_store::{Config, Node};
    /// let put_timeout = Duration::from_secs(3);
    /// let node = Node::create(Config { capacity_bytes: 64 << 20, put_timeout, ..Config::default() })?;
    /// assert_eq!(node.geometry().put_timeout(), put_timeout);
    /// # Ok::<(), rustyray_store::Error>(())
    /// ```
    pub fn put_timeout(&self) -> Duration {
        Duration::from_millis(self.put_timeout_ms)
    }

    /// The geometry as words.
    pub fn to_words(self) -> [u64; Self::WORDS] {
        [
            MAGIC,
            self.capacity_bytes,
            self.max_objects.into(),
            self.block_bytes,
            self.large_bytes,
            self.base_generation,
            self.put_timeout_ms,
            self.is_strict.into(),
        ]
    }

    /// The geometry that [`Geometry::to_words`] wrote.
    ///
    /// # Errors
    /// When the words are not one that this version can work with.
    pub fn from_words(words: &[u64]) -> Result<Self, Error> {
        let &[magic, capacity_bytes, max_objects, block_bytes, large_bytes, base, timeout, strict] =
            words
        else {
            return Err(Error::Protocol("a geometry has eight words"));
        };
        let geometry = Geometry {
            capacity_bytes,
            max_objects: u32::try_from(max_objects)
                .map_err(|_| Error::Protocol("the object table is too large"))?,
            block_bytes,
            large_bytes,
            base_generation: base,
            put_timeout_ms: timeout,
            is_strict: strict == 1,
        };
        let sound = magic == MAGIC
            && strict <= 1
            && (1..=deadmap::MAX_SLOTS).contains(&geometry.max_objects)
            && block_bytes.is_power_of_two()
            && (PAGE_BYTES..=MAX_BLOCK_BYTES).contains(&block_bytes)
            && large_bytes <= block_bytes
            && capacity_bytes.is_multiple_of(PAGE_BYTES)
            && (block_bytes..MAX_CAPACITY_BYTES).contains(&capacity_bytes)
            && (1..1 << 62).contains(&base);
        if sound { Ok(geometry) } else { Err(Error::Protocol("the geometry makes no sense")) }
    }

    /// Where the slots begin, in words of the table.
    pub(crate) fn slots_at(&self) -> usize {
        (DEAD_AT + deadmap::words(self.max_objects)).next_multiple_of(SLOT_WORDS)
    }

    /// Words of the table segment.
    pub(crate) fn table_words(&self) -> usize {
        self.slots_at() + self.max_objects as usize * SLOT_WORDS
    }

    /// The generation within the session that an id names, if it can be of this session at all.
    #[inline]
    pub(crate) fn generation(&self, id: ObjectId) -> Option<u64> {
        let generation = id.generation.wrapping_sub(self.base_generation);
        (generation < GENERATIONS && id.index < self.max_objects).then_some(generation)
    }

    /// The id of the object that a slot holds in a generation.
    pub(crate) fn id(&self, index: u32, generation: u64) -> ObjectId {
        ObjectId { index, generation: self.base_generation + generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_is_huge_pages_when_little_is_wasted() {
        for (len_bytes, extent) in [
            (1, PAGE_BYTES),
            (PAGE_BYTES + 1, 2 * PAGE_BYTES),
            (HUGE_PAGE_BYTES, HUGE_PAGE_BYTES),
            (HUGE_PAGE_BYTES + 1, HUGE_PAGE_BYTES + PAGE_BYTES),
            (15 * HUGE_PAGE_BYTES / 8, 2 * HUGE_PAGE_BYTES),
            (100 * HUGE_PAGE_BYTES + 1, 101 * HUGE_PAGE_BYTES),
        ] {
            assert_eq!(extent_bytes(len_bytes), extent, "{len_bytes} bytes");
        }
        for (len_bytes, extent) in [
            (HUGE_PAGE_BYTES / 4 - 1, HUGE_PAGE_BYTES / 4),
            (HUGE_PAGE_BYTES / 4, HUGE_PAGE_BYTES),
            (HUGE_PAGE_BYTES / 2, HUGE_PAGE_BYTES),
            (HUGE_PAGE_BYTES + 1, 2 * HUGE_PAGE_BYTES),
        ] {
            assert_eq!(
                roomy_extent_bytes(len_bytes),
                extent,
                "{len_bytes} bytes where there is room"
            );
        }
        assert!(roomy_extent_bytes(u64::MAX) >= u64::MAX / PAGE_BYTES * PAGE_BYTES);
        assert!(extent_bytes(u64::MAX) >= u64::MAX / PAGE_BYTES * PAGE_BYTES);
    }
}
