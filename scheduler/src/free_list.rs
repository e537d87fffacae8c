//! Indices of records that nobody uses, to be used again: a stack that any thread pushes to and pops from, Treiber's
//! ("Systems programming: coping with parallelism", 1986).
//!
//! The links lie in the records themselves. The head carries a tag that changes with every pop: a thread that
//! read a head and its successor, and slept while that head was popped, used and pushed again, finds another
//! tag and starts over. It would have to sleep through exactly 2^32 pops to be fooled.
//!
//! Invariant: an index is in the list, or somebody's, never both. Only who owns an index pushes it.

use rustyray_memory::sync::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// See the module.
#[derive(Debug, Default)]
pub struct FreeList {
    /// Tag (32 bits) and index + 1 (32 bits); zero = empty.
    head: AtomicU64,
}

const INDEX: u64 = 0xffff_ffff;
const TAG: u64 = 1 << 32;

impl FreeList {
    /// An index that is the caller's from now on. `link` finds the link word of an index.
    #[inline]
    pub fn pop<'a>(&self, link: impl Fn(u32) -> Option<&'a AtomicU32>) -> Option<u32> {
        // Acquire: pairs with the Release of `push`; the link, and all that its last owner did, is visible.
        let mut seen = self.head.load(Acquire);
        loop {
            let index = ((seen & INDEX) as u32).checked_sub(1)?;
            // It may be somebody's by now, and the link anything: the tag tells.
            let next = link(index)?.load(Relaxed);
            let popped = (seen & !INDEX).wrapping_add(TAG) | u64::from(next);
            match self.head.compare_exchange_weak(seen, popped, AcqRel, Acquire) {
                Ok(_) => return Some(index),
                Err(now) => seen = now,
            }
        }
    }

    /// The index that would be popped now: a hint.
    #[inline]
    pub fn first(&self) -> Option<u32> {
        ((self.head.load(Relaxed) & INDEX) as u32).checked_sub(1)
    }

    /// Gives an index back, whose link is `link`.
    #[inline]
    pub fn push(&self, index: u32, link: &AtomicU32) {
        let mut seen = self.head.load(Relaxed);
        loop {
            link.store((seen & INDEX) as u32, Relaxed);
            let pushed = seen & !INDEX | u64::from(index + 1);
            // Release: pairs with the Acquire of `pop`.
            match self.head.compare_exchange_weak(seen, pushed, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}
