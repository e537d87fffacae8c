//! The block that a process has open for small objects.
//!
//! Everything about it is one word, so that threads place objects with one compare-and-swap and
//! nothing can be torn:
//!
//! ```text
//! bits 0..16   objects placed, given-up ones not counted
//! bits 16..32  how far the block is used, in units of 64 bytes
//! bits 32..38  of the objects placed, those that are still being written; 63: so many that nobody knows
//! bits 38..63  the block
//! bit 63       a block is open
//! ```
//! That the same word comes back later does no harm: it says the same about the same block.
//!
//! # Who may write to a block
//! The process that leases it, while it is open; after that, until the last object in it that is being written
//! is finished, which is before that object is sealed. So of the sealed objects only those in the open block, or
//! beside an unfinished one, are within reach of a stray store of their writer. A block that the node lends to
//! the same process again at once stays writable throughout.

use rustyray_memory::sync::{AtomicU64, Ordering};

#[cfg(not(rustyray_loom))]
use crate::geometry::{MAX_BLOCK_BYTES, MAX_CAPACITY_BYTES};

/// Objects begin at multiples of this.
pub(crate) const UNIT_BYTES: u64 = 64;

const PLACED_BITS: u32 = 16;
const USED_BITS: u32 = 16;
const WRITING_BITS: u32 = 6;
const USED_AT: u32 = PLACED_BITS;
const WRITING_AT: u32 = USED_AT + USED_BITS;
const BLOCK_AT: u32 = WRITING_AT + WRITING_BITS;
const OPEN: u64 = 1 << 63;

/// More are being written than there are numbers for.
const MANY: u64 = (1 << WRITING_BITS) - 1;
/// So many objects are placed in a block at most. Those that take up memory are fewer; others give all of it back.
const MOST_PLACED: u64 = (1 << PLACED_BITS) - 1;

#[cfg(not(rustyray_loom))]
const _: () = assert!(MAX_BLOCK_BYTES / UNIT_BYTES < 1 << PLACED_BITS);
#[cfg(not(rustyray_loom))]
const _: () = assert!(MAX_BLOCK_BYTES / UNIT_BYTES < 1 << USED_BITS);
/// Blocks are this large in a store of the largest capacity.
#[cfg(not(rustyray_loom))]
const _: () = assert!(MAX_CAPACITY_BYTES / MAX_BLOCK_BYTES <= 1 << (63 - BLOCK_AT));

/// The open block of a process.
#[derive(Debug)]
pub struct OpenBlock {
    word: AtomicU64,
    units: u64,
}

/// A place in a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The block.
    pub block: u32,
    /// Where the place begins in the segment.
    pub offset_bytes: u64,
}

#[derive(Copy, Clone)]
struct Parts {
    block: u32,
    used: u64,
    placed: u64,
    writing: u64,
}

/// A block that was open.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which it was.
    pub block: u32,
    /// Objects placed in it.
    pub placed: u32,
    /// How many of them are being written; `None` when that was lost count of.
    pub writing: Option<u32>,
}

impl Parts {
    fn of(word: u64) -> Option<Self> {
        (word & OPEN != 0).then_some(Parts {
            block: ((word & !OPEN) >> BLOCK_AT) as u32,
            used: word >> USED_AT & ((1 << USED_BITS) - 1),
            placed: word & ((1 << PLACED_BITS) - 1),
            writing: word >> WRITING_AT & MANY,
        })
    }

    fn to_word(self) -> u64 {
        OPEN | u64::from(self.block) << BLOCK_AT
            | self.writing << WRITING_AT
            | self.used << USED_AT
            | self.placed
    }
}

fn units(len_bytes: u64) -> u64 {
    len_bytes.div_ceil(UNIT_BYTES)
}

impl OpenBlock {
    /// None is open yet; all of them are of that size.
    pub fn new(block_bytes: u64) -> Self {
        OpenBlock { word: AtomicU64::new(0), units: block_bytes / UNIT_BYTES }
    }

    /// A place for `len_bytes`; `None` when the open block has none.
    #[inline]
    pub fn place(&self, len_bytes: u64) -> Option<Placed> {
        // Acquire: pairs with the Release of `open`, so that the block's pages are writable.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let parts = Parts::of(word)?;
            let used = parts.used + units(len_bytes);
            if used > self.units || parts.placed == MOST_PLACED {
                return None;
            }
            let writing = if parts.writing == MANY { MANY } else { parts.writing + 1 };
            let next = Parts { used, placed: parts.placed + 1, writing, ..parts }.to_word();
            match self.word.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => {
                    let offset_bytes =
                        (u64::from(parts.block) * self.units + parts.used) * UNIT_BYTES;
                    return Some(Placed { block: parts.block, offset_bytes });
                }
                Err(now) => word = now,
            }
        }
    }

    /// Gives the tail of a place back, if nothing was placed behind it. `None` as new length gives up
    /// the place itself: false when the block is closed, so that the node must be told.
    pub fn trim(&self, placed: Placed, len_bytes: u64, new_len: Option<u64>) -> bool {
        let start = placed.offset_bytes / UNIT_BYTES % self.units;
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let Some(parts) = Parts::of(word).filter(|parts| parts.block == placed.block) else {
                return false;
            };
            let is_last = parts.used == start + units(len_bytes);
            let used = if is_last { start + units(new_len.unwrap_or(0)) } else { parts.used };
            let gone = u64::from(new_len.is_none());
            let placed = parts.placed - gone;
            let next = Parts { used, placed, ..parts }.to_word();
            if next == word {
                return true;
            }
            match self.word.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// The object at this place is written: nobody writes there any more. False when its block is closed, so
    /// that whoever closed it must be told. Release: what was written comes before the block is closed.
    #[inline]
    #[must_use]
    pub fn finish(&self, placed: Placed) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let Some(parts) = Parts::of(word).filter(|parts| parts.block == placed.block) else {
                return false;
            };
            if parts.writing == MANY {
                return true;
            }
            let next = Parts { writing: parts.writing - 1, ..parts }.to_word();
            match self.word.compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Closes the open block.
    pub fn close(&self) -> Option<Closed> {
        let parts = Parts::of(self.word.swap(0, Ordering::AcqRel))?;
        Some(Closed {
            block: parts.block,
            placed: parts.placed as u32,
            writing: (parts.writing != MANY).then_some(parts.writing as u32),
        })
    }

    /// Opens a block, whose pages are writable. Release: pairs with the Acquire of `place`.
    pub fn open(&self, block: u32) {
        let parts = Parts { block, used: 0, placed: 0, writing: 0 };
        self.word.store(parts.to_word(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other_and_the_last_can_be_trimmed() {
        let open = OpenBlock::new(4096);
        assert_eq!(open.place(1), None);
        open.open(3);
        let one = open.place(100).expect("room");
        assert_eq!(one, Placed { block: 3, offset_bytes: 3 * 4096 });
        let two = open.place(1000).expect("room");
        assert_eq!(two.offset_bytes, 3 * 4096 + 128);
        assert!(open.trim(two, 1000, Some(10)));
        let three = open.place(64).expect("room");
        assert_eq!(three.offset_bytes, two.offset_bytes + 64);
        assert!(open.finish(two));
        assert!(open.finish(one) && open.trim(one, 100, None));
        assert_eq!(open.place(4096), None);
        let closed = Closed { block: 3, placed: 2, writing: Some(1) };
        assert_eq!(open.close(), Some(closed));
        assert!(!open.finish(three) && !open.trim(three, 64, None));
        assert_eq!(open.close(), None);
    }

    #[test]
    fn a_block_is_full_when_there_is_no_number_for_one_more() {
        let open = OpenBlock::new(4096);
        open.open(1);
        for _ in 0..MOST_PLACED {
            let placed = open.place(64).expect("they take no memory");
            assert!(open.trim(placed, 64, Some(0)) && open.finish(placed));
        }
        assert_eq!(open.place(64), None);
        let closed = Closed { block: 1, placed: MOST_PLACED as u32, writing: Some(0) };
        assert_eq!(open.close(), Some(closed));
    }

    #[test]
    fn when_too_many_are_being_written_nobody_knows_how_many() {
        let open = OpenBlock::new(1 << 20);
        open.open(1);
        let places: Vec<_> = (0..MANY).map(|_| open.place(1).expect("room")).collect();
        assert!(places.into_iter().all(|placed| open.finish(placed)));
        let closed = Closed { block: 1, placed: MANY as u32, writing: None };
        assert_eq!(open.close(), Some(closed));
    }
}
