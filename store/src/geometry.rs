//! How the store's memory is laid out: what a client must know to attach.

use crate::Error;

/// The sizes of a store, as the node tells them to a client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub(crate) capacity_bytes: u64,
}

impl Geometry {
    /// Words of an encoded geometry.
    pub const WORDS: usize = 8;

    /// The geometry as words.
    pub fn to_words(self) -> [u64; Self::WORDS] {
        [self.capacity_bytes; 8]
    }

    /// The geometry that [`Geometry::to_words`] wrote.
    ///
    /// # Errors
    /// When the words are not one.
    pub fn from_words(_words: &[u64]) -> Result<Self, Error> {
        unimplemented!()
    }
}
