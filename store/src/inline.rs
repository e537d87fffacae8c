//! Values of so few bytes that their slot has room for them: a number, an outcome, a short text.
//!
//! Such a value takes no memory besides its slot, and the cache line that says it is there brings it along. Whoever
//! reads it has a copy, for which nothing is pinned.

use std::{fmt, ops::Deref};

#[cfg(not(rustyray_loom))]
use crate::OwnedValue;
use crate::place::INLINE_BYTES;

/// The words of a slot that its bytes take.
pub(crate) type InlineWords = [u64; INLINE_BYTES / 8];

/// A copy of an object's bytes that were in its slot. The bytes are an allegation, as are all that another process
/// wrote.
///
/// # Examples
/// ```
/// use rustyray_store::{Config, Node};
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let (small, large) = (client.put(&7_u64)?, client.put(&vec![7_u64; 100])?);
/// let inline = client.inline(small).expect("it fits the slot");
/// assert_eq!(*inline, 7_u64.to_le_bytes());
/// assert_eq!((inline.value::<u64>(), inline.value::<i64>()), (Some(7), None));
/// assert!(client.inline(large).is_none());
/// # client.release(small);
/// # client.release(large);
/// # assert!(node.shutdown().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// Objects are aligned to 64, and their archives may count on it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Inline {
    bytes: [u8; INLINE_BYTES],
    len_bytes: u8,
    fingerprint: u64,
}

impl Inline {
    /// What is in the words, of which at most all bytes count.
    #[inline]
    pub(crate) fn new(words: InlineWords, len_bytes: u64, fingerprint: u64) -> Self {
        let len_bytes = len_bytes.min(INLINE_BYTES as u64) as u8;
        Inline { bytes: to_bytes(words), len_bytes, fingerprint }
    }

    /// A value of one's own; `None` when they are not the bytes of a `T`.
    #[cfg(not(rustyray_loom))]
    #[inline]
    pub fn value<T: OwnedValue>(&self) -> Option<T> {
        if self.fingerprint != T::fingerprint() {
            return None;
        }
        T::from_archived(T::check(self).ok()?).ok()
    }
}

impl Deref for Inline {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len_bytes)]
    }
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inline").field(&&**self).finish()
    }
}

#[inline]
pub(crate) fn to_bytes(words: InlineWords) -> [u8; INLINE_BYTES] {
    let mut bytes = [0; INLINE_BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The words that have these bytes.
#[inline]
pub(crate) fn to_words(bytes: [u8; INLINE_BYTES]) -> InlineWords {
    let mut words = InlineWords::default();
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(chunk.try_into().expect("eight bytes"));
    }
    words
}
