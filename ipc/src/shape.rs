//! How large a ring is, and where its words lie.
//!
//! | word | what | written by |
//! | --- | --- | --- |
//! | 0 | tail: positions below it are reserved | producers |
//! | 8 | head: positions below it are passed | consumer |
//! | 16 + i × stride | header of entry i ([`crate::entry`]) | whoever holds the entry |
//! | following `payload_words` | payload of entry i | producer, before it publishes |
//!
//! Tail, head and every entry begin on a cache line of their own, so that the two sides meet only at
//! the entry which passes between them. A payload of seven words makes an entry of one line.

use rustyray_memory::{LINE_WORDS, Memory, sync::Ordering::Relaxed};

use crate::entry::MAX_PAYLOAD_WORDS;

const TAIL: usize = 0;
const HEAD: usize = LINE_WORDS;
const ENTRIES: usize = 2 * LINE_WORDS;

/// The number and size of a ring's entries. Both sides must name the same shape.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{Consumer, Producer, RingShape};
/// use rustyray_memory::Heap;
///
/// const SHAPE: RingShape = RingShape { entries: 4, payload_words: 7 };
/// assert_eq!(SHAPE.words(), 16 + 4 * 8);
///
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// Producer::new(Arc::clone(&memory), SHAPE).push(&[1]).expect("there is room");
/// SHAPE.reset(&memory); // for the next pair of processes
/// assert!(Consumer::new(memory, SHAPE).is_empty());
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct RingShape {
    /// How many entries the ring has: a power of two.
    pub entries: usize,
    /// The longest payload of one entry, in words; at most 255. Seven fills one cache line.
    pub payload_words: usize,
}

impl RingShape {
    /// How many words of memory a ring of this shape takes.
    ///
    /// # Panics
    /// When `entries` is no power of two or `payload_words` is above 255.
    pub const fn words(self) -> usize {
        assert!(self.entries.is_power_of_two(), "a ring has a power of two of entries");
        assert!(self.payload_words <= MAX_PAYLOAD_WORDS, "a payload has at most 255 words");
        ENTRIES + self.entries * self.stride()
    }

    /// Makes the ring in `span` new: empty, at position zero.
    ///
    /// For memory that a former client used. Zeroed memory is an empty ring already. No process may
    /// hold a half of the ring meanwhile.
    ///
    /// # Panics
    /// When `span` has fewer than [`RingShape::words`] words.
    pub fn reset(self, span: &impl Memory) {
        self.check(span);
        span.word(TAIL).store(0, Relaxed);
        span.word(HEAD).store(0, Relaxed);
        for position in 0..self.entries as u64 {
            span.word(self.header(position)).store(0, Relaxed);
        }
    }

    /// # Panics
    /// When `span` is too small for a ring of this shape.
    pub(crate) fn check(self, span: &impl Memory) {
        let (needed, found) = (self.words(), span.len_words());
        assert!(found >= needed, "a ring of {needed} words in a memory of {found}");
    }

    const fn stride(self) -> usize {
        (1 + self.payload_words).next_multiple_of(LINE_WORDS)
    }

    /// The word that counts reserved positions.
    pub(crate) const fn tail(self) -> usize {
        TAIL
    }

    /// The word that counts passed positions.
    pub(crate) const fn head(self) -> usize {
        HEAD
    }

    /// The header of the entry that `position` falls on; its payload follows.
    #[inline]
    pub(crate) const fn header(self, position: u64) -> usize {
        ENTRIES + (position as usize & (self.entries - 1)) * self.stride()
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    #[test]
    fn entries_and_cursors_begin_on_lines_of_their_own() {
        for payload_words in [0, 1, 7, 8, 15, 255] {
            let shape = RingShape { entries: 4, payload_words };
            for position in 0..9 {
                assert_eq!(shape.header(position) % LINE_WORDS, 0);
                assert!(shape.header(position) + payload_words < shape.words());
            }
            assert_eq!(shape.header(1), shape.header(5));
        }
        assert_eq!(RingShape { entries: 4, payload_words: 7 }.words(), (2 + 4) * LINE_WORDS);
    }
}
