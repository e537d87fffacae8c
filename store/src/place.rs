//! Where an object's bytes are, as one word of its slot.

/// A place in the data segment, or beside it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the object has no bytes.
    Empty,
    /// In a block, among other small objects.
    Block {
        /// Where it begins in the segment.
        offset_bytes: u64,
    },
    /// In an extent of its own, which begins where the object does.
    Extent {
        /// Where it begins in the segment.
        offset_bytes: u64,
    },
    /// In a sealed file of its own, which only the node can name.
    File {
        /// Which file it was made as; says nothing to anybody.
        key: u64,
    },
}

const KIND_SHIFT: u32 = 56;

impl Place {
    /// The place as a word.
    pub fn to_word(self) -> u64 {
        match self {
            Place::Empty => 0,
            Place::Block { offset_bytes } => 1 << KIND_SHIFT | offset_bytes,
            Place::Extent { offset_bytes } => 2 << KIND_SHIFT | offset_bytes,
            Place::File { key } => 3 << KIND_SHIFT | key,
        }
    }

    /// The place that a word names; `None` when it names none.
    #[inline]
    pub fn from_word(word: u64) -> Option<Self> {
        let offset_bytes = word & ((1 << KIND_SHIFT) - 1);
        match word >> KIND_SHIFT {
            0 if word == 0 => Some(Place::Empty),
            1 => Some(Place::Block { offset_bytes }),
            2 => Some(Place::Extent { offset_bytes }),
            3 => Some(Place::File { key: offset_bytes }),
            _ => None,
        }
    }

    /// Where the bytes begin in the data segment; 0 when they are not there.
    #[inline]
    pub fn offset_bytes(self) -> u64 {
        match self {
            Place::Empty | Place::File { .. } => 0,
            Place::Block { offset_bytes } | Place::Extent { offset_bytes } => offset_bytes,
        }
    }
}
