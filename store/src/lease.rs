//! The block that a process has open for small objects.
//!
//! Everything about it is one word, so that threads place objects with one compare-and-swap and
//! nothing can be torn:
//!
//! ```text
//! bits 0..16   objects placed, given-up ones not counted
//! bits 16..36  how far the block is used, in units of 64 bytes
//! bits 36..63  the block
//! bit 63       a block is open
//! ```
//! That the same word comes back later does no harm: it says the same about the same block.

use rustyray_memory::sync::{AtomicU64, Ordering};

use crate::geometry::MAX_BLOCK_BYTES;

/// Objects begin at multiples of this.
pub(crate) const UNIT_BYTES: u64 = 64;

const PLACED_BITS: u32 = 16;
const USED_BITS: u32 = 20;
const OPEN: u64 = 1 << 63;

const _: () = assert!(MAX_BLOCK_BYTES / UNIT_BYTES < 1 << PLACED_BITS);

/// The open block of a process.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    word: AtomicU64,
    units: u64,
}

/// A place in a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) block: u32,
    pub(crate) offset_bytes: u64,
}

#[derive(Copy, Clone)]
struct Parts {
    block: u32,
    used: u64,
    placed: u64,
}

impl Parts {
    fn of(word: u64) -> Option<Self> {
        (word & OPEN != 0).then_some(Parts {
            block: (word >> (PLACED_BITS + USED_BITS)) as u32 & 0x7ff_ffff,
            used: word >> PLACED_BITS & ((1 << USED_BITS) - 1),
            placed: word & ((1 << PLACED_BITS) - 1),
        })
    }

    fn to_word(self) -> u64 {
        OPEN | u64::from(self.block) << (PLACED_BITS + USED_BITS)
            | self.used << PLACED_BITS
            | self.placed
    }
}

fn units(len_bytes: u64) -> u64 {
    len_bytes.div_ceil(UNIT_BYTES)
}

impl OpenBlock {
    pub(crate) fn new(block_bytes: u64) -> Self {
        OpenBlock { word: AtomicU64::new(0), units: block_bytes / UNIT_BYTES }
    }

    /// A place for `len_bytes`; `None` when the open block has none.
    #[inline]
    pub(crate) fn place(&self, len_bytes: u64) -> Option<Placed> {
        // Acquire: pairs with the Release of `open`, so that the block's pages are writable.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let parts = Parts::of(word)?;
            let used = parts.used + units(len_bytes);
            if used > self.units {
                return None;
            }
            let next = Parts { used, placed: parts.placed + 1, ..parts }.to_word();
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
    pub(crate) fn trim(&self, placed: Placed, len_bytes: u64, new_len: Option<u64>) -> bool {
        let start = placed.offset_bytes / UNIT_BYTES % self.units;
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let Some(parts) = Parts::of(word).filter(|parts| parts.block == placed.block) else {
                return false;
            };
            let is_last = parts.used == start + units(len_bytes);
            let used = if is_last { start + units(new_len.unwrap_or(0)) } else { parts.used };
            let gone = u64::from(new_len.is_none());
            let next = Parts { used, placed: parts.placed - gone, ..parts }.to_word();
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

    /// Closes the open block: which it was, and how many objects were placed in it.
    pub(crate) fn close(&self) -> Option<(u32, u32)> {
        let parts = Parts::of(self.word.swap(0, Ordering::AcqRel))?;
        Some((parts.block, parts.placed as u32))
    }

    /// Opens a block, whose pages are writable. Release: pairs with the Acquire of `place`.
    pub(crate) fn open(&self, block: u32) {
        self.word.store(Parts { block, used: 0, placed: 0 }.to_word(), Ordering::Release);
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
        assert!(open.trim(one, 100, None));
        assert_eq!(open.place(4096), None);
        assert_eq!(open.close(), Some((3, 2)));
        assert!(!open.trim(three, 64, None));
        assert_eq!(open.close(), None);
    }
}
