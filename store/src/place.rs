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
    /// In the slot itself, in which nothing else is to be found then ([`crate::models::Slot::set_inline`]).
    Inline {
        /// How many bytes.
        len_bytes: u64,
    },
    /// In a sealed file of its own, which only the node can name.
    File {
        /// Which file it was made as; says nothing to anybody.
        key: u64,
    },
}

const KIND_SHIFT: u32 = 56;

/// The kind of places in the slot.
const INLINE: u64 = 4;

/// How many bytes a slot has room for.
pub(crate) const INLINE_BYTES: usize = 24;

/// How many bits of a fingerprint count: for as many the word of such a place has room, besides the length. Of a
/// thousand types two have the same one in two sessions out of 10¹⁰; what is then taken for a value of the other is
/// checked to be a valid archive all the same.
pub(crate) const FINGERPRINT_BITS: u32 = 51;
pub(crate) const FINGERPRINT_MASK: u64 = (1 << FINGERPRINT_BITS) - 1;

/// Where the length is in such a word, above the fingerprint.
const INLINE_LEN_SHIFT: u32 = FINGERPRINT_BITS;
const _: () = assert!((INLINE_BYTES as u64) < 1 << (KIND_SHIFT - INLINE_LEN_SHIFT));

impl Place {
    /// The place as a word.
    pub fn to_word(self) -> u64 {
        match self {
            Place::Empty => 0,
            Place::Block { offset_bytes } => 1 << KIND_SHIFT | offset_bytes,
            Place::Extent { offset_bytes } => 2 << KIND_SHIFT | offset_bytes,
            Place::File { key } => 3 << KIND_SHIFT | key,
            Place::Inline { len_bytes } => INLINE << KIND_SHIFT | len_bytes << INLINE_LEN_SHIFT,
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
            INLINE => {
                let len_bytes = offset_bytes >> INLINE_LEN_SHIFT;
                (len_bytes <= INLINE_BYTES as u64).then_some(Place::Inline { len_bytes })
            }
            _ => None,
        }
    }

    /// The word of the slot's own place, which has room for the fingerprint: it needs none elsewhere then.
    #[inline]
    pub(crate) fn inline_word(len_bytes: u64, fingerprint: u64) -> u64 {
        Place::Inline { len_bytes }.to_word() | fingerprint & FINGERPRINT_MASK
    }

    /// The length and the fingerprint in such a word; `None` when it tells of another place.
    #[inline]
    pub(crate) fn in_inline_word(word: u64) -> Option<(u64, u64)> {
        let len_bytes = (word >> INLINE_LEN_SHIFT) & ((1 << (KIND_SHIFT - INLINE_LEN_SHIFT)) - 1);
        (word >> KIND_SHIFT == INLINE).then_some((len_bytes, word & FINGERPRINT_MASK))
    }

    /// Whether the bytes are in memory that they take up: the segment's, or a file's.
    pub(crate) fn takes_memory(self) -> bool {
        !matches!(self, Place::Empty | Place::Inline { .. })
    }

    /// Where the bytes begin in the data segment; 0 when they are not there.
    #[inline]
    pub fn offset_bytes(self) -> u64 {
        match self {
            Place::Empty | Place::File { .. } | Place::Inline { .. } => 0,
            Place::Block { offset_bytes } | Place::Extent { offset_bytes } => offset_bytes,
        }
    }
}
