//! The sending half that the ring and the work queue share: reserve a position, write, publish.
//!
//! # Protocol
//! 1. Reserve: compare-and-swap the tail from `p` to `p + 1`, provided `p - head < entries`.
//! 2. Write the payload's words, relaxed: between reserving and publishing the entry is this thread's.
//! 3. Publish: store the header with Release.
//!
//! There is room at `p` only if the consumer has passed `p - entries`, and it stores its head (Release)
//! after its last look at the entry. The producer's Acquire of the head therefore comes after that
//! look, so overwriting is safe. (Vyukov's bounded queue, see [`crate::entry`], tells of room by the entry, which the
//! consumer then has to write; a head that only one side writes is Lamport's ring.) The head is read afresh only when
//! the ring seems full; `seen_head` is
//! a copy of it in the producers' own memory, so a push that finds room touches no line the consumer
//! writes to.
//!
//! No user code and no call that can panic or block lies between 1 and 3: a thread that stops there
//! leaves the later entries of its own process invisible until it goes on. When it never goes on, its
//! whole process is dead (a ring's producers all live in one), and only the survivor's half matters:
//! the consumer sees a position that stays vacant, which looks like an empty ring.

use rustyray_memory::{
    Memory, prefetch_for_write,
    sync::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use crate::{
    RingShape,
    entry::{Header, Turn},
};

/// There is no room: the consumer has not passed enough entries. Nothing was written.
///
/// # Examples
/// ```
/// use rustyray_ipc::{Full, Producer, RingShape};
/// use rustyray_memory::Heap;
///
/// const SHAPE: RingShape = RingShape { entries: 2, payload_words: 1 };
/// let producer = Producer::new(Heap::new(SHAPE.words()), SHAPE);
/// producer.push(&[1])?;
/// producer.push(&[2])?;
/// assert_eq!(producer.push(&[3]), Err(Full));
/// # Ok::<(), Full>(())
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the ring is full")]
pub struct Full;

/// The sending half of a ring.
#[derive(Debug)]
pub(crate) struct Lane<M> {
    span: M,
    shape: RingShape,
    seen_head: AtomicU64,
}

impl<M: Memory> Lane<M> {
    pub(crate) fn new(span: M, shape: RingShape) -> Self {
        shape.check(&span);
        // Relaxed: an old head only makes the first full-looking push read it afresh.
        let seen_head = AtomicU64::new(span.word(shape.head()).load(Relaxed));
        Lane { span, shape, seen_head }
    }

    #[inline]
    pub(crate) fn push(&self, payload: &[u64]) -> Result<u64, Full> {
        self.push_sparing(0, payload)
    }

    /// The same, as long as `spare` places more would be left.
    #[inline]
    pub(crate) fn push_sparing(&self, spare: usize, payload: &[u64]) -> Result<u64, Full> {
        self.check(payload);
        let position = self.reserve(spare)?;
        self.fill(position, payload);
        Ok(position)
    }

    /// The same where nobody else pushes meanwhile, so that there is no race for the position.
    #[inline]
    pub(crate) fn push_alone(&mut self, payload: &[u64]) -> Result<u64, Full> {
        self.check(payload);
        let tail = self.span.word(self.shape.tail());
        let position = tail.load(Relaxed);
        if !self.has_room(position, 0) {
            return Err(Full);
        }
        // Relaxed: as in `reserve`.
        tail.store(position.wrapping_add(1), Relaxed);
        self.fill(position, payload);
        Ok(position)
    }

    #[inline]
    fn check(&self, payload: &[u64]) {
        assert!(
            payload.len() <= self.shape.payload_words,
            "a payload of {} words in a ring of {}",
            payload.len(),
            self.shape.payload_words
        );
    }

    /// Writes the entry of a position that was reserved, and publishes it.
    #[inline]
    fn fill(&self, position: u64, payload: &[u64]) {
        let shape = self.shape;
        let header = shape.header(position);
        for (offset, &word) in payload.iter().enumerate() {
            self.span.word(header + 1 + offset).store(word, Relaxed);
        }
        self.header(position).transition_to_published(payload.len());
        // The consumer has looked at the next entry the last time round, and whoever pushes it would wait for that.
        let next = self.span.word(shape.header(position.wrapping_add(1)));
        prefetch_for_write(std::ptr::from_ref(next));
    }

    #[inline]
    fn reserve(&self, spare: usize) -> Result<u64, Full> {
        let tail = self.span.word(self.shape.tail());
        let mut position = tail.load(Relaxed);
        loop {
            if !self.has_room(position, spare) {
                return Err(Full);
            }
            // Relaxed: the tail only gives out positions; the header publishes.
            match tail.compare_exchange_weak(position, position.wrapping_add(1), Relaxed, Relaxed) {
                Ok(_) => return Ok(position),
                Err(now) => position = now,
            }
        }
    }

    #[inline]
    fn has_room(&self, position: u64, spare: usize) -> bool {
        let entries = self.shape.entries.saturating_sub(spare) as u64;
        // Acquire: pairs with the Release below of the sibling that read the head for us.
        if position.wrapping_sub(self.seen_head.load(Acquire)) < entries {
            return true;
        }
        let head = self.head();
        // Release: hands on what `head` acquired. Siblings may store out of order; an older head
        // only sends the next one here again.
        self.seen_head.store(head, Release);
        // A head beyond the position is a stale position or a lie; either way the difference wraps
        // to something large, and there is no room.
        position.wrapping_sub(head) < entries
    }

    #[inline]
    fn head(&self) -> u64 {
        // Acquire: pairs with the consumer's Release in `Cursor::pass`.
        self.span.word(self.shape.head()).load(Acquire)
    }

    /// Positions below this are passed.
    pub(crate) fn passed(&self) -> u64 {
        self.head().min(self.span.word(self.shape.tail()).load(Relaxed))
    }

    /// How many positions are reserved and not passed.
    pub(crate) fn len(&self) -> usize {
        let head = self.head();
        let tail = self.span.word(self.shape.tail()).load(Relaxed);
        (tail.saturating_sub(head) as usize).min(self.shape.entries)
    }

    /// Copies the payload of an entry that is published into `into`; its length.
    pub(crate) fn copy(&self, position: u64, into: &mut [u64]) -> Option<usize> {
        let Turn::Published(len) = self.header(position).turn() else { return None };
        // The consumer has no business there, but may have scribbled.
        let len = len.min(self.shape.payload_words);
        let header = self.shape.header(position);
        for (offset, word) in into[..len].iter_mut().enumerate() {
            *word = self.span.word(header + 1 + offset).load(Relaxed);
        }
        Some(len)
    }

    /// The header of `position`'s entry.
    #[inline]
    pub(crate) fn header(&self, position: u64) -> Header<'_> {
        Header::new(self.span.word(self.shape.header(position)), position, self.shape.entries)
    }
}
