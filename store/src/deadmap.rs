//! Which objects may be dead: a bit per slot, and three levels of bits above it that say where to look.
//!
//! A client that drops the last bit of an object marks the slot and goes on; only the node frees.
//! Marking is idempotent, so a mark too many costs a look and the map never overflows.
//!
//! ```text
//! marker:    set the bit below;    read the bit above  (clear → set it)
//! collector: clear the bit above;  read the word below
//! ```
//! All four are `SeqCst`: whichever write comes first, the marker sees the bit above cleared and sets it
//! again, or the collector sees the bit below. A marker that finds a bit set goes on to the one above it
//! all the same: whoever set it may have died before he got there.
//!
//! A bit for what there is not, which no process of ours sets, is passed over.
//!
//! A marker that dies half-way leaves a bit that nothing above points to; reaping it looks at every
//! object it held.

use rustyray_memory::{
    Memory,
    sync::{Ordering, total_order},
};

/// Levels of the map, the lowest with a bit per slot and the highest with a single word.
const LEVELS: usize = 4;

/// The most slots that a map can be of.
pub(crate) const MAX_SLOTS: u32 = 64 * 64 * 64 * 64;

/// The map over the words that begin at `base`.
#[derive(Copy, Clone, Debug)]
pub struct DeadMap<'a, M> {
    memory: &'a M,
    slots: u32,
    bases: [usize; LEVELS],
}

/// Where each level begins, and where the map ends, counted from its first word.
const fn layout(slots: u32) -> ([usize; LEVELS], usize) {
    let mut bases = [0; LEVELS];
    let mut words = (slots as usize).div_ceil(64);
    let mut at = 0;
    let mut level = 0;
    while level < LEVELS {
        bases[level] = at;
        at += words;
        words = words.div_ceil(64);
        level += 1;
    }
    (bases, at)
}

/// Words of a map of that many slots.
pub const fn words(slots: u32) -> usize {
    layout(slots).1
}

impl<'a, M: Memory> DeadMap<'a, M> {
    /// The map of `slots` slots whose words begin at `base`.
    ///
    /// # Panics
    /// When there are more slots than a map has bits for.
    pub fn new(memory: &'a M, base: usize, slots: u32) -> Self {
        assert!(slots <= MAX_SLOTS, "{slots} slots are more than a map has bits for");
        let (mut bases, _) = layout(slots);
        bases.iter_mut().for_each(|word| *word += base);
        DeadMap { memory, slots, bases }
    }

    /// Marks a slot.
    pub fn mark(&self, slot: u32) {
        let mut index = slot as usize;
        for base in self.bases {
            let (word, bit) = (self.memory.word(base + index / 64), 1 << (index % 64));
            // SeqCst, both: against the collector, see the module; and it releases the bits of the slot
            // to whoever finds the mark.
            if word.load(Ordering::SeqCst) & bit == 0 {
                word.fetch_or(bit, Ordering::SeqCst);
            }
            total_order();
            index /= 64;
        }
    }

    /// Whether nothing is marked: one load.
    pub fn is_empty(&self) -> bool {
        self.memory.word(self.bases[LEVELS - 1]).load(Ordering::Relaxed) == 0
    }

    /// Takes up to `limit` marks and gives their slots to `look`; how many there were.
    pub fn take(&self, limit: usize, mut look: impl FnMut(u32)) -> usize {
        let mut left = limit;
        if !self.is_empty() && left > 0 {
            self.descend(LEVELS - 1, 0, &mut left, &mut look);
        }
        limit - left
    }

    /// How many bits of a level stand for something.
    fn bits_of(&self, level: usize) -> usize {
        (self.slots as usize).div_ceil(1 << (6 * level))
    }

    /// Takes what is below word `index` of `level`; false when the limit was reached before the end.
    fn descend(
        &self,
        level: usize,
        index: usize,
        left: &mut usize,
        look: &mut impl FnMut(u32),
    ) -> bool {
        let word = self.memory.word(self.bases[level] + index);
        // SeqCst: against markers, see the module.
        let mut bits = word.swap(0, Ordering::SeqCst);
        total_order();
        while bits != 0 {
            let below = index * 64 + bits.trailing_zeros() as usize;
            let done = if below >= self.bits_of(level) {
                true
            } else if *left == 0 {
                false
            } else if level == 0 {
                *left -= 1;
                look(below as u32);
                true
            } else {
                self.descend(level - 1, below, left, look)
            };
            if !done {
                // What is left stays marked, all the way up.
                word.fetch_or(bits, Ordering::AcqRel);
                return false;
            }
            bits &= bits - 1;
        }
        true
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;
    use rustyray_memory::Heap;

    #[test]
    fn marks_are_found_once_and_in_order() {
        let heap = Heap::new(words(300_000));
        let map = DeadMap::new(&heap, 0, 300_000);
        let marked = [0, 1, 63, 64, 4095, 4096, 262_143, 262_144, 299_999];
        marked.iter().for_each(|&slot| map.mark(slot));
        map.mark(64);
        let mut found = Vec::new();
        assert_eq!(map.take(usize::MAX, |slot| found.push(slot)), marked.len());
        assert_eq!(found, marked);
        assert!(map.is_empty());
        assert_eq!(map.take(usize::MAX, |_| panic!("nothing is left")), 0);
    }

    proptest::proptest! {
        /// Whatever a process writes there, what is found is a slot, and once.
        #[test]
        fn a_bit_for_what_there_is_not_is_passed_over(
            slots in 1..20_000_u32,
            rubbish in proptest::collection::vec((0..400_usize, proptest::num::u64::ANY), 0..20),
            beyond in 0..8_usize,
        ) {
            let len = words(slots);
            let heap = Heap::new(len + beyond);
            (len..len + beyond).for_each(|at| heap.word(at).store(u64::MAX, Ordering::Relaxed));
            for (at, bits) in rubbish {
                heap.word(at % len).store(bits, Ordering::Relaxed);
            }
            let map = DeadMap::new(&heap, 0, slots);
            map.mark(slots - 1);
            let mut found = Vec::new();
            map.take(usize::MAX, |slot| found.push(slot));
            let most = found.len();
            proptest::prop_assert!(found.contains(&(slots - 1)));
            proptest::prop_assert!(found.iter().all(|&slot| slot < slots));
            found.dedup();
            proptest::prop_assert_eq!(found.len(), most);
            for at in len..len + beyond {
                proptest::prop_assert_eq!(heap.word(at).load(Ordering::Relaxed), u64::MAX);
            }
        }
    }

    #[test]
    fn a_limit_leaves_the_rest_marked() {
        let heap = Heap::new(words(10_000));
        let map = DeadMap::new(&heap, 0, 10_000);
        (0..10_000).step_by(7).for_each(|slot| map.mark(slot));
        let mut found = Vec::new();
        while map.take(10, |slot| found.push(slot)) == 10 {}
        assert_eq!(found, (0..10_000).step_by(7).collect::<Vec<_>>());
    }
}
