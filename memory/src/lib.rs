//! Words of memory that threads and processes share, and a clock that they agree on.
//!
//! The algorithms of the store, the scheduler and the rings are written over [`Memory`]: 64-bit words
//! addressed by index. Over a mapping ([`Mapped`], of a [`Region`]) the words are shared between processes, over the
//! heap ([`Heap`]) they are what loom and the property tests run on. [`Span`] is a bounds-checked
//! window of either. [`Clock`] is for times that one process takes and another reads.
//!
//! ```
//! use std::fs::File;
//! use nix::sys::memfd::{MFdFlags, memfd_create};
//! use rustyray_memory::{LINE_WORDS, Mapped, Memory, Span, WORD_BYTES, sync::Ordering::{Acquire, Release}};
//!
//! // Memory that can be given to another process as a descriptor: two cache lines of it.
//! let file = File::from(memfd_create("words", MFdFlags::MFD_CLOEXEC)?);
//! file.set_len((2 * LINE_WORDS * WORD_BYTES) as u64)?;
//!
//! // Each process maps it; here both mappings are in one.
//! let (ours, theirs) = (Mapped::new(&file, 2 * LINE_WORDS)?, Mapped::new(&file, 2 * LINE_WORDS)?);
//! let second_line = Span::new(ours, LINE_WORDS, LINE_WORDS);
//! second_line.word(0).store(7, Release);
//! assert_eq!(theirs.word(LINE_WORDS).load(Acquire), 7);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Invariant: a word is only ever accessed as an atomic; nobody makes a reference to plain bytes that
//! another process may still write.

#![warn(clippy::print_stderr, clippy::print_stdout)]

mod clock;
#[cfg(not(rustyray_loom))]
mod fork;
pub mod futex;
mod heap;
#[cfg(not(rustyray_loom))]
mod mapped;
mod prefetch;
#[cfg(not(rustyray_loom))]
mod region;
pub mod sync;

pub use clock::{Clock, Scale};
pub use heap::Heap;
pub use prefetch::{prefetch_all_for_write, prefetch_for_read, prefetch_for_write};
#[cfg(not(rustyray_loom))]
pub use {
    fork::{ForkGuard, NotOurs},
    mapped::Mapped,
    region::Region,
};

use std::sync::Arc;

use sync::AtomicU64;

/// Bytes of one word.
pub const WORD_BYTES: usize = 8;

/// Words of one cache line.
pub const LINE_WORDS: usize = 8;

/// A fixed number of shared 64-bit words.
///
/// # Panics
/// [`Memory::word`] panics when `index` is not below [`Memory::len_words`]; an index that a peer wrote
/// is checked before it gets here.
///
/// # Examples
/// An algorithm that is written over any memory runs over the heap in a test and over a mapping in earnest:
/// ```
/// use rustyray_memory::{Heap, Memory, sync::Ordering::Relaxed};
///
/// fn total(memory: &impl Memory) -> u64 {
///     (0..memory.len_words()).map(|index| memory.word(index).load(Relaxed)).sum()
/// }
///
/// let memory = Heap::new(3);
/// assert_eq!(total(&memory), 0);
/// memory.word(2).store(5, Relaxed);
/// assert_eq!(total(&memory), 5);
/// ```
pub trait Memory: Send + Sync + 'static {
    /// The word at `index`.
    fn word(&self, index: usize) -> &AtomicU64;

    /// How many words there are.
    fn len_words(&self) -> usize;
}

impl<M: Memory + ?Sized> Memory for Arc<M> {
    fn word(&self, index: usize) -> &AtomicU64 {
        (**self).word(index)
    }

    fn len_words(&self) -> usize {
        (**self).len_words()
    }
}

/// A window of another memory: words `start .. start + len` of it.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_memory::{Heap, Memory, Span, sync::Ordering::Relaxed};
///
/// let span = Span::new(Arc::new(Heap::new(16)), 4, 8);
/// span.word(0).store(7, Relaxed);
/// assert_eq!(span.memory().word(4).load(Relaxed), 7);
/// assert_eq!(span.len_words(), 8);
/// ```
#[derive(Clone, Debug)]
pub struct Span<M> {
    memory: M,
    start: usize,
    len: usize,
}

impl<M: Memory> Span<M> {
    /// The window of `len` words that begins at word `start` of `memory`.
    ///
    /// # Panics
    /// When the window does not lie within `memory`.
    pub fn new(memory: M, start: usize, len: usize) -> Self {
        let end = start.checked_add(len).expect("the end of a span fits in usize");
        assert!(
            end <= memory.len_words(),
            "span {start}..{end} lies outside a memory of {} words",
            memory.len_words()
        );
        Span { memory, start, len }
    }

    /// The memory behind the window.
    pub fn memory(&self) -> &M {
        &self.memory
    }
}

impl<M: Memory> Memory for Span<M> {
    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len, "word {index} of a span of {} words", self.len);
        self.memory.word(self.start + index)
    }

    fn len_words(&self) -> usize {
        self.len
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;
    use sync::Ordering::Relaxed;

    #[test]
    fn a_span_is_a_window_of_its_memory() {
        let memory = Arc::new(Heap::new(16));
        let span = Span::new(Arc::clone(&memory), 4, 8);
        span.word(0).store(7, Relaxed);
        assert_eq!(memory.word(4).load(Relaxed), 7);
        assert_eq!(span.len_words(), 8);
    }

    #[test]
    #[should_panic(expected = "word 8 of a span of 8 words")]
    fn a_span_refuses_an_index_beyond_its_end() {
        Span::new(Heap::new(16), 4, 8).word(8);
    }

    #[test]
    #[should_panic(expected = "lies outside a memory of 16 words")]
    fn a_span_refuses_to_reach_beyond_its_memory() {
        let _ = Span::new(Heap::new(16), 12, 8);
    }
}
