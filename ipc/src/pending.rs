//! Which of many rings have entries: a bit for each, so that one consumer need not look at all of them.
//!
//! ```text
//! producer: publish the entry;  fence(SeqCst);  read my bit    (clear → set it)
//! consumer: take the bits;      fence(SeqCst);  read the rings whose bits were set
//! ```
//! Whichever fence comes first, the producer finds its bit taken and sets it again, or the consumer finds
//! the entry. That both miss is what the fences forbid (Dekker's mutual exclusion rests on the same). A bit too many
//! costs a look at an empty ring.
//!
//! Who finds a ring in another thread's hands, who may have seen it before the entry came, sets the bit
//! again. A producer that dies between publishing and setting its bit leaves an entry that nobody is told
//! of: whoever reaps it reads its ring to the end.

use rustyray_memory::{
    Memory,
    sync::{
        AtomicU64, LOOM,
        Ordering::{AcqRel, Relaxed, SeqCst},
        fence,
    },
};

/// Words of a map: a bit for each of 256 rings (fewer in a model).
///
/// # Examples
/// ```
/// use rustyray_ipc::{PENDING_WORDS, Pending};
/// use rustyray_memory::Heap;
///
/// let pending = Pending::new(Heap::new(PENDING_WORDS));
/// pending.set(255);
/// assert_eq!(pending.take()[PENDING_WORDS - 1], 1 << 63);
/// ```
pub const PENDING_WORDS: usize = if LOOM { 1 } else { 4 };

/// The map in the first [`PENDING_WORDS`] words of `span`, all zero at first.
///
/// # Examples
/// ```
/// use rustyray_ipc::{PENDING_WORDS, Pending};
/// use rustyray_memory::Heap;
///
/// let pending = Pending::new(Heap::new(PENDING_WORDS));
/// pending.set(3);
/// pending.set(70);
/// pending.set(3); // costs a load
/// assert_eq!(pending.take(), [1 << 3, 1 << (70 - 64), 0, 0]);
/// assert!(pending.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Pending<M> {
    span: M,
}

impl<M: Memory> Pending<M> {
    /// The map in `span`.
    ///
    /// # Panics
    /// When `span` is shorter than a map.
    pub fn new(span: M) -> Self {
        assert!(span.len_words() >= PENDING_WORDS, "a map takes {PENDING_WORDS} words");
        Pending { span }
    }

    fn bit(&self, ring: u8) -> (&AtomicU64, u64) {
        (self.span.word(usize::from(ring) / 64), 1 << (ring % 64))
    }

    /// Says that `ring` has entries, after they were published.
    #[inline]
    pub fn set(&self, ring: u8) {
        let (word, bit) = self.bit(ring);
        // SeqCst: pairs with the one in `take`. Forbidden: we see the old bit, and its taker the old ring.
        fence(SeqCst);
        if word.load(Relaxed) & bit == 0 {
            // AcqRel: pairs with `take`, so that its caller sees what was published.
            word.fetch_or(bit, AcqRel);
        }
    }

    /// Takes all bits; the rings are to be looked at after that.
    #[inline]
    pub fn take(&self) -> [u64; PENDING_WORDS] {
        let mut taken = [0; PENDING_WORDS];
        let mut any = false;
        for (at, bits) in taken.iter_mut().enumerate() {
            let word = self.span.word(at);
            if word.load(Relaxed) != 0 {
                // AcqRel: pairs with `set`.
                *bits = word.swap(0, AcqRel);
                any = true;
            }
        }
        if any {
            // SeqCst: pairs with the one in `set`.
            fence(SeqCst);
        }
        taken
    }

    /// Whether no bit is set.
    #[inline]
    pub fn is_empty(&self) -> bool {
        (0..PENDING_WORDS).all(|at| self.span.word(at).load(Relaxed) == 0)
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;
    use rustyray_memory::Heap;

    #[test]
    fn bits_are_taken_once() {
        let pending = Pending::new(Heap::new(PENDING_WORDS));
        assert!(pending.is_empty());
        [0, 63, 64, 255, 64].into_iter().for_each(|ring| pending.set(ring));
        assert!(!pending.is_empty());
        assert_eq!(pending.take(), [1 << 63 | 1, 1, 0, 1 << 63]);
        assert!(pending.is_empty());
        assert_eq!(pending.take(), [0; 4]);
    }
}
