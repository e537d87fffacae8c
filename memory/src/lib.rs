//! Words of memory that threads and processes share.
//!
//! The algorithms of the store, the scheduler and the rings are written over [`Memory`]: 64-bit words
//! addressed by index. Over a mapping ([`Mapped`], of a [`Region`]) the words are shared between processes, over the
//! heap ([`Heap`]) they are what loom and the property tests run on. [`Span`] is a bounds-checked
//! window of either.
//!
//! Invariant: a word is only ever accessed as an atomic; nobody makes a reference to plain bytes that
//! another process may still write.

pub mod futex;
mod heap;
#[cfg(not(rustyray_loom))]
mod mapped;
#[cfg(not(rustyray_loom))]
mod region;
pub mod sync;

pub use heap::Heap;
#[cfg(not(rustyray_loom))]
pub use {mapped::Mapped, region::Region};

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
