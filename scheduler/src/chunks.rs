//! A growing array whose elements never move: chunks that are made when first reached.
//!
//! Reading an element is an index, a load and a comparison. Two threads that reach a new chunk at once make
//! it once; nobody else waits for that.

use std::sync::OnceLock;

use rustyray_memory::sync::LOOM;

/// Elements of up to `chunks × per_chunk`, none of them made yet.
pub(crate) struct Chunks<T> {
    chunks: Box<[OnceLock<Box<[T]>>]>,
    shift: u32,
    make: fn() -> T,
}

impl<T> Chunks<T> {
    /// An empty array; `per_chunk` is a power of two.
    pub(crate) fn new(chunks: usize, per_chunk: usize, make: fn() -> T) -> Self {
        assert!(per_chunk.is_power_of_two(), "a chunk's size is a power of two");
        let all = Chunks {
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
            shift: per_chunk.trailing_zeros(),
            make,
        };
        if LOOM {
            // Loom does not see that a chunk was made before others reach it.
            for chunk in 0..chunks {
                let _ = all.reach((chunk << all.shift) as u32);
            }
        }
        all
    }

    /// How many elements there can be.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.len() << self.shift
    }

    /// The element, made now if nobody has reached it before; `None` beyond the capacity.
    #[inline]
    pub(crate) fn reach(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get((index >> self.shift) as usize)?;
        let elements = chunk.get_or_init(|| (0..1 << self.shift).map(|_| (self.make)()).collect());
        elements.get(index as usize & ((1 << self.shift) - 1))
    }

    /// The element, if somebody has reached it before.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let elements = self.chunks.get((index >> self.shift) as usize)?.get()?;
        elements.get(index as usize & ((1 << self.shift) - 1))
    }
}

impl<T> std::fmt::Debug for Chunks<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let made = self.chunks.iter().filter(|chunk| chunk.get().is_some()).count();
        write!(f, "Chunks({made} of {})", self.chunks.len())
    }
}
