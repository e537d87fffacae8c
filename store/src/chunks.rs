//! A private array that grows by chunks as it is used and never moves: an item per slot.

use std::sync::OnceLock;

const CHUNK: usize = 1024;

/// An array of `T`, all default at first.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Box<[OnceLock<Box<[T]>>]>,
}

impl<T: Default> Chunks<T> {
    pub(crate) fn new(len: usize) -> Self {
        Chunks { chunks: (0..len.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// The item at `index`; makes its chunk if need be.
    ///
    /// # Panics
    /// When `index` is beyond the array.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &T {
        let (chunk, item) = (index as usize / CHUNK, index as usize % CHUNK);
        &self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| T::default()).collect())[item]
    }

    /// The item at `index`, if anybody has used its chunk.
    #[inline]
    pub(crate) fn peek(&self, index: u32) -> Option<&T> {
        let (chunk, item) = (index as usize / CHUNK, index as usize % CHUNK);
        self.chunks.get(chunk)?.get().map(|items| &items[item])
    }
}
