//! Words in a mapping that other processes may share.
//!
//! Unsafe code here turns an address inside a mapping into an atomic word.

use std::{fs::File, io};

use crate::{Memory, Region, WORD_BYTES, sync::AtomicU64};

/// Words in a mapping.
///
/// # Examples
/// ```
/// use rustyray_memory::{Mapped, Memory, Region, WORD_BYTES, sync::Ordering::Relaxed};
///
/// // Anonymous bytes are shared with nobody; `Mapped::new` maps those of a file.
/// let memory = Mapped::over(Region::anonymous(100 * WORD_BYTES)?);
/// assert_eq!(memory.len_words(), 100);
/// assert_eq!(memory.word(99).load(Relaxed), 0);
/// assert_eq!(memory.address(1).addr() - memory.address(0).addr(), WORD_BYTES);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Mapped {
    region: Region,
    len_words: usize,
}

impl Mapped {
    /// Maps the first `len_words` words of `file`, shared and writable.
    ///
    /// The file must be at least that long and must not shrink while it is mapped: a word beyond its
    /// end raises SIGBUS. A memfd sealed with `F_SEAL_SHRINK` cannot.
    ///
    /// # Errors
    /// When the file is shorter than that, when `len_words` is zero, or when the mapping is refused.
    pub fn new(file: &File, len_words: usize) -> io::Result<Self> {
        let len_bytes = len_words
            .checked_mul(WORD_BYTES)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a mapping that long"))?;
        Ok(Self::over(Region::map(file, len_bytes)?))
    }

    /// The words of a writable region, of which every process accesses these bytes as words only.
    pub fn over(region: Region) -> Self {
        let len_words = region.len_bytes() / WORD_BYTES;
        Mapped { region, len_words }
    }

    /// The address of the word at `index`, for a system call such as futex(2).
    ///
    /// # Panics
    /// When `index` is not below the number of words.
    pub fn address(&self, index: usize) -> *const AtomicU64 {
        std::ptr::from_ref(self.word(index))
    }
}

impl Memory for Mapped {
    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len_words, "word {index} of a mapping of {} words", self.len_words);
        // SAFETY: `index < len_words`, and the region has at least `len_words * 8` bytes.
        let word = unsafe { self.region.start().cast::<AtomicU64>().add(index) };
        // SAFETY: the region begins at a page, hence aligned for words, is readable and writable, and lives
        // as long as `self`, which the returned lifetime borrows; every process accesses these bytes only
        // through atomics (the invariant of this crate).
        unsafe { word.as_ref() }
    }

    fn len_words(&self) -> usize {
        self.len_words
    }
}
