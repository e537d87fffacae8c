//! References that a process lends in one step: a bit for each slot, 64 to a word, which stands for one reference
//! more than the slot's entry counts ([`crate::models::Entry`]).
//!
//! Who takes references to many objects at once, out of a container that this process holds them for, would change
//! one word for each. Objects that were made together have slots together, so a bit for each takes one change for
//! many. Whoever drops a reference cannot tell which kind it is, and need not: a bit that is set and one that is
//! counted are worth the same.
//!
//! ```text
//! lender:   hold them all, by the entries;  set the bits
//! dropper:  more than one in the entry → count it down;  else my bit set → clear it
//!           else entry ← in transition, then look once more:  bit set → clear it, entry ← one
//!                                                             else → the last is gone
//! ```
//!
//! Invariant: a bit is set only while the entry counts at least one, of the generation that it is about, or is in
//! transition. So a bit needs no generation of its own.
//!
//! # The last one sees every bit
//! A dropper may find the bit clear, and somebody lends before it steps into transition. But who lends has somebody
//! hold the object meanwhile: that hold and the dropper's own reference make at least two, so the entry is at one for
//! that step only after the lender's hold was dropped. The bit was set before, and dropping the hold is a release that
//! the step acquires: so the look in transition finds the bit, unless its reference was dropped as well.

use rustyray_memory::sync::{AtomicU64, Ordering};

/// Slots of one word.
pub(crate) const SLOTS: u32 = u64::BITS;

/// The bit of a slot in its word.
#[inline]
pub(crate) fn bit_of(index: u32) -> u64 {
    1 << (index % SLOTS)
}

/// The bits of 64 slots.
#[derive(Debug, Default)]
pub struct Lent(AtomicU64);

impl Lent {
    /// Lends a reference to each of these that has none lent; which those are. The caller's process holds them all,
    /// until whoever holds them for the caller lets go.
    #[inline]
    #[must_use]
    pub fn lend(&self, wanted: u64) -> u64 {
        // Relaxed: what orders it before the last drop is the drop of the lender's hold, see the module.
        wanted & !self.0.fetch_or(wanted, Ordering::Relaxed)
    }

    /// Whether one is lent, as of now.
    #[inline]
    pub fn is_lent(&self, bit: u64) -> bool {
        self.0.load(Ordering::Relaxed) & bit != 0
    }

    /// Drops the one that is lent; false when none is. The entry counts at least one of the object, or the caller
    /// has it in transition.
    #[inline]
    #[must_use]
    pub fn take_back(&self, bit: u64) -> bool {
        // Acquire: pairs with the Release below; what others did with the object before they dropped what was lent
        // to them comes before what the last one does. Release: the other side of that.
        self.0.load(Ordering::Acquire) & bit != 0
            && self.0.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_lent_once_and_taken_back_once() {
        let lent = Lent::default();
        assert_eq!(lent.lend(0b011), 0b011);
        assert_eq!(lent.lend(0b110), 0b100, "one has it already");
        assert!(lent.take_back(0b010) && !lent.is_lent(0b010));
        assert!(!lent.take_back(0b010));
        assert!(lent.is_lent(0b001) && lent.is_lent(0b100));
        assert_eq!(bit_of(0), bit_of(SLOTS));
    }
}
