//! Words in a mapping that other processes may share.
//!
//! The only unsafe code of the crate: turning an address inside a mapping into an atomic word.

use std::{fs::File, io};

use memmap2::{MmapOptions, MmapRaw};

use crate::{Memory, WORD_BYTES, sync::AtomicU64};

/// Words in a shared, writable mapping of a file (normally a memfd).
#[derive(Debug)]
pub struct Mapped {
    map: MmapRaw,
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
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a mapping needs words"))?;
        let file_bytes = file.metadata()?.len();
        if file_bytes < len_bytes as u64 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("mapping {len_bytes} bytes of a file of {file_bytes} bytes"),
            ));
        }
        let map = MmapOptions::new().len(len_bytes).map_raw(file)?;
        Ok(Mapped { map, len_words })
    }

    /// The address of the word at `index`, for a system call such as futex(2).
    ///
    /// # Panics
    /// When `index` is not below the number of words.
    pub fn address(&self, index: usize) -> *const AtomicU64 {
        std::ptr::from_ref(self.word(index))
    }

    /// The mapping itself, for advice such as `MADV_POPULATE_WRITE`.
    pub fn as_raw(&self) -> &MmapRaw {
        &self.map
    }
}

impl Memory for Mapped {
    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len_words, "word {index} of a mapping of {} words", self.len_words);
        let base: *const AtomicU64 = self.map.as_ptr().cast();
        // SAFETY: `index < len_words`, and `new` mapped `len_words * 8` bytes.
        let word = unsafe { base.add(index) };
        // SAFETY: the mapping is page-aligned, hence word-aligned, readable and writable, and lives as
        // long as `self`, which the returned lifetime borrows; every process accesses these bytes only
        // through atomics (the invariant of this crate).
        unsafe { &*word }
    }

    fn len_words(&self) -> usize {
        self.len_words
    }
}
