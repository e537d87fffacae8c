//! Words on the heap of one process: for models, for property tests, and for private tables.

use crate::{Memory, sync::AtomicU64};

/// Words on the heap, all zero at first.
///
/// # Examples
/// ```
/// use rustyray_memory::{Heap, Memory, sync::Ordering::Relaxed};
///
/// let memory = Heap::new(2);
/// memory.word(1).fetch_add(3, Relaxed);
/// assert_eq!([0, 1].map(|index| memory.word(index).load(Relaxed)), [0, 3]);
/// ```
#[derive(Debug)]
pub struct Heap {
    words: Box<[AtomicU64]>,
}

impl Heap {
    /// A memory of `len_words` zeroed words.
    pub fn new(len_words: usize) -> Self {
        Heap { words: (0..len_words).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Memory for Heap {
    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[index]
    }

    fn len_words(&self) -> usize {
        self.words.len()
    }
}
