//! The receiving half that the ring and the work queue share: where the consumer stands.
//!
//! The consumer's position is private; what it stores to the head word is for the producers only and
//! is never read back, so nothing a peer writes there can move it.

use rustyray_memory::{
    Memory,
    sync::Ordering::{Relaxed, Release},
};

use crate::{RingShape, entry::Header};

/// The peer wrote something that no correct peer writes. The ring cannot be used any further: its
/// position stays where it is, and every later look says the same.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{Consumer, Garbage, Producer, RingShape};
/// use rustyray_memory::{Heap, Memory, sync::Ordering::Relaxed};
///
/// const SHAPE: RingShape = RingShape { entries: 2, payload_words: 7 };
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// Producer::new(Arc::clone(&memory), SHAPE).push(&[1]).expect("there is room");
/// // A peer gone mad scribbles over the entry's header.
/// memory.word(16).store(u64::MAX, Relaxed);
/// assert_eq!(Consumer::new(memory, SHAPE).pop(&mut [0; 7]), Err(Garbage { position: 0 }));
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("entry {position} of the ring holds nothing a peer may write")]
pub struct Garbage {
    /// The position of the entry.
    pub position: u64,
}

/// The receiving half of a ring.
#[derive(Debug)]
pub(crate) struct Cursor<M> {
    span: M,
    shape: RingShape,
    position: u64,
}

impl<M: Memory> Cursor<M> {
    pub(crate) fn new(span: M, shape: RingShape) -> Self {
        shape.check(&span);
        let position = span.word(shape.head()).load(Relaxed);
        Cursor { span, shape, position }
    }

    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn entries(&self) -> usize {
        self.shape.entries
    }

    #[inline]
    pub(crate) fn header(&self, position: u64) -> Header<'_> {
        Header::new(self.span.word(self.shape.header(position)), position, self.shape.entries)
    }

    pub(crate) fn garbage(&self, position: u64) -> Garbage {
        Garbage { position }
    }

    /// Copies the first `len` words of `position`'s payload.
    #[inline]
    pub(crate) fn copy(
        &self,
        position: u64,
        len: usize,
        into: &mut [u64],
    ) -> Result<usize, Garbage> {
        if len > self.shape.payload_words {
            return Err(self.garbage(position));
        }
        assert!(
            len <= into.len(),
            "a payload of {len} words does not fit into {} words",
            into.len()
        );
        let header = self.shape.header(position);
        for (offset, word) in into[..len].iter_mut().enumerate() {
            // Relaxed: the header's Acquire has made the payload visible.
            *word = self.span.word(header + 1 + offset).load(Relaxed);
        }
        Ok(len)
    }

    /// Moves on to `position`; the producers may reuse every entry before it.
    #[inline]
    pub(crate) fn pass_to(&mut self, position: u64) {
        self.position = position;
        // Release: every look at the passed entries comes before; pairs with the Acquire of
        // `Lane::head`.
        self.span.word(self.shape.head()).store(position, Release);
    }

    /// How many positions are reserved and not passed, as far as the producers say.
    pub(crate) fn len(&self) -> usize {
        let tail = self.span.word(self.shape.tail()).load(Relaxed);
        (tail.saturating_sub(self.position) as usize).min(self.shape.entries)
    }
}
