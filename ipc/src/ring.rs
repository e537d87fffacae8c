//! A bounded ring of fixed-size entries, from the threads of one process to one process.
//!
//! The producers' half is a [`Lane`], the consumer's a [`Cursor`]; the protocol of each stands there, the
//! states of an entry in [`crate::entry`]. In a ring a published entry is the consumer's: nobody claims it
//! and nobody takes it back.
//!
//! A consumer *passes* an entry only when it has done what the producer waits for, such as taking references
//! of its own; [`Consumer::front`] and [`Consumer::advance`] are two steps for that reason.
//!
//! # Crashes
//! All producers of a ring are threads of one process. When it is killed between reserving and publishing,
//! the consumer finds a vacant entry and stops before it. Whoever reaps the dead process reads on with
//! [`Consumer::front_after_death`], so that everything which was published counts. What the producer wrote
//! is data, never an address or a trusted length.

use rustyray_memory::Memory;

use crate::{Full, Garbage, RingShape, cursor::Cursor, entry::Turn, lane::Lane};

/// The producers' half: any thread of the producing process may push.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{Consumer, Full, Producer, RingShape};
/// use rustyray_memory::Heap;
///
/// const SHAPE: RingShape = RingShape { entries: 2, payload_words: 7 };
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// let producer = Producer::new(Arc::clone(&memory), SHAPE);
/// assert!(producer.is_empty());
///
/// let position = producer.push(&[1])?;
/// producer.push(&[2])?;
/// assert_eq!(producer.push(&[3]), Err(Full), "nothing is overwritten");
/// assert_eq!(producer.len(), 2);
///
/// let mut consumer = Consumer::new(memory, SHAPE);
/// consumer.pop(&mut [0; 7]).expect("an entry that a producer wrote");
/// assert!(producer.passed() > position, "what the first entry asked for is done");
/// producer.push(&[3])?;
/// # Ok::<(), Full>(())
/// ```
#[derive(Debug)]
pub struct Producer<M> {
    lane: Lane<M>,
}

impl<M: Memory> Producer<M> {
    /// The producers' half of the ring in `span`.
    ///
    /// # Panics
    /// When `span` is too small for the shape.
    pub fn new(span: M, shape: RingShape) -> Self {
        Producer { lane: Lane::new(span, shape) }
    }

    /// Publishes an entry and gives its position.
    ///
    /// # Errors
    /// [`Full`] when the consumer has not passed enough entries; nothing was written.
    ///
    /// # Panics
    /// When `payload` is longer than an entry.
    #[inline]
    pub fn push(&self, payload: &[u64]) -> Result<u64, Full> {
        self.lane.push(payload)
    }

    /// The consumer has passed all positions below this one.
    #[inline]
    pub fn passed(&self) -> u64 {
        self.lane.passed()
    }

    /// How many entries the consumer has not passed.
    pub fn len(&self) -> usize {
        self.lane.len()
    }

    /// Whether the consumer has passed every entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The consumer's half: one at a time, in the consuming process.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{Consumer, Garbage, Producer, RingShape};
/// use rustyray_memory::Heap;
///
/// const SHAPE: RingShape = RingShape { entries: 4, payload_words: 7 };
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// let producer = Producer::new(Arc::clone(&memory), SHAPE);
/// for payload in [&[1, 2][..], &[3], &[4]] {
///     producer.push(payload).expect("there is room for four");
/// }
///
/// let mut consumer = Consumer::new(memory, SHAPE);
/// let mut entry = [0; 7];
/// assert_eq!(consumer.len(), 3);
/// // In two steps, where something must be done before the producer learns that the entry was passed:
/// assert_eq!(consumer.front(&mut entry)?, Some(2));
/// assert_eq!(entry[..2], [1, 2]);
/// consumer.advance();
/// // In one:
/// assert_eq!(consumer.pop(&mut entry)?, Some(1));
/// // The producer's process is dead: what it published before counts all the same.
/// assert_eq!(consumer.front_after_death(&mut entry)?, Some(1));
/// consumer.advance();
/// assert_eq!(consumer.front_after_death(&mut entry)?, None);
/// assert!(consumer.is_empty());
/// # Ok::<(), Garbage>(())
/// ```
#[derive(Debug)]
pub struct Consumer<M> {
    cursor: Cursor<M>,
}

impl<M: Memory> Consumer<M> {
    /// The consumer's half of the ring in `span`, from where its last consumer left it.
    ///
    /// # Panics
    /// When `span` is too small for the shape.
    pub fn new(span: M, shape: RingShape) -> Self {
        Consumer { cursor: Cursor::new(span, shape) }
    }

    /// Copies the first entry into `into` and gives its length, without passing it.
    ///
    /// # Errors
    /// [`Garbage`] when the entry cannot be one.
    ///
    /// # Panics
    /// When `into` is shorter than the payload.
    #[inline]
    pub fn front(&mut self, into: &mut [u64]) -> Result<Option<usize>, Garbage> {
        let position = self.cursor.position();
        match self.cursor.header(position).turn() {
            Turn::Published(len) => self.cursor.copy(position, len, into).map(Some),
            Turn::Vacant => Ok(None),
            Turn::Claimed | Turn::TakenBack | Turn::Garbage => Err(self.cursor.garbage(position)),
        }
    }

    /// Passes the first entry, which [`Consumer::front`] has given.
    #[inline]
    pub fn advance(&mut self) {
        self.cursor.pass_to(self.cursor.position().wrapping_add(1));
    }

    /// Copies the first entry out and passes it.
    ///
    /// # Errors
    /// As [`Consumer::front`].
    pub fn pop(&mut self, into: &mut [u64]) -> Result<Option<usize>, Garbage> {
        let len = self.front(into)?;
        if len.is_some() {
            self.advance();
        }
        Ok(len)
    }

    /// As [`Consumer::front`], for the ring of a process that is known to be dead: skips what it had
    /// reserved and not published.
    ///
    /// # Errors
    /// As [`Consumer::front`].
    pub fn front_after_death(&mut self, into: &mut [u64]) -> Result<Option<usize>, Garbage> {
        for _ in 0..self.cursor.entries() {
            if let Some(len) = self.front(into)? {
                return Ok(Some(len));
            }
            if self.cursor.len() == 0 {
                return Ok(None);
            }
            self.advance();
        }
        Ok(None)
    }

    /// Whether no published entry is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.cursor.header(self.cursor.position()).turn() == Turn::Vacant
    }

    /// How many entries the producers have reserved and this half has not passed.
    pub fn len(&self) -> usize {
        self.cursor.len()
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use std::{collections::VecDeque, sync::Arc, thread};

    use proptest::prelude::*;
    use rustyray_memory::{Heap, sync::Ordering::Relaxed};

    use super::*;

    const SHAPE: RingShape = RingShape { entries: 8, payload_words: 3 };

    fn ring() -> (Producer<Arc<Heap>>, Consumer<Arc<Heap>>, Arc<Heap>) {
        let memory = Arc::new(Heap::new(SHAPE.words()));
        (
            Producer::new(Arc::clone(&memory), SHAPE),
            Consumer::new(Arc::clone(&memory), SHAPE),
            memory,
        )
    }

    proptest! {
        /// Any sequence of pushes and pops behaves as a bounded queue does.
        #[test]
        fn it_is_a_bounded_queue(steps in prop::collection::vec((any::<bool>(), 0..4_usize), 0..200)) {
            let (producer, mut consumer, _) = ring();
            let mut model = VecDeque::new();
            let mut into = [0; 3];
            for (at, (push, len)) in steps.into_iter().enumerate() {
                if push {
                    let payload = vec![at as u64; len];
                    let pushed = producer.push(&payload);
                    prop_assert_eq!(pushed.is_ok(), model.len() < SHAPE.entries);
                    if pushed.is_ok() {
                        model.push_back(payload);
                    }
                } else {
                    let popped = consumer.pop(&mut into).unwrap();
                    let expected = model.pop_front();
                    prop_assert_eq!(popped.map(|len| into[..len].to_vec()), expected);
                }
                prop_assert_eq!(consumer.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn entries_of_several_threads_arrive_once_and_in_each_ones_order() {
        const EACH: u64 = 20_000;
        let (producer, mut consumer, _) = ring();
        let producer = &producer;
        thread::scope(|scope| {
            for thread in 0..3_u64 {
                scope.spawn(move || {
                    for at in 0..EACH {
                        while producer.push(&[thread, at]).is_err() {
                            thread::yield_now();
                        }
                    }
                });
            }
            let mut next = [0; 3];
            let mut into = [0; 3];
            while next.iter().sum::<u64>() < 3 * EACH {
                match consumer.pop(&mut into).expect("entries are well formed") {
                    Some(len) => {
                        assert_eq!(len, 2);
                        assert_eq!(into[1], next[into[0] as usize], "out of order");
                        next[into[0] as usize] += 1;
                    }
                    None => thread::yield_now(),
                }
            }
        });
        assert!(consumer.is_empty());
    }

    #[test]
    fn a_reservation_whose_producer_died_stops_the_consumer_and_reap_skips_it() {
        let (producer, mut consumer, memory) = ring();
        producer.push(&[1]).expect("free");
        // Killed between reserving and publishing, while another thread published after it.
        memory.word(SHAPE.tail()).fetch_add(1, Relaxed);
        producer.push(&[3]).expect("free");
        let mut into = [0; 3];
        assert_eq!(consumer.pop(&mut into), Ok(Some(1)));
        assert_eq!(consumer.pop(&mut into), Ok(None));
        assert_eq!(consumer.front_after_death(&mut into), Ok(Some(1)));
        assert_eq!(into[0], 3);
        consumer.advance();
        assert_eq!(consumer.front_after_death(&mut into), Ok(None));
    }

    #[test]
    fn a_length_beyond_the_entry_is_garbage() {
        let (producer, mut consumer, memory) = ring();
        producer.push(&[1]).expect("free");
        memory.word(SHAPE.header(0)).fetch_or(0xff, Relaxed);
        assert_eq!(consumer.front(&mut [0; 3]), Err(Garbage { position: 0 }));
    }

    #[test]
    fn passed_follows_the_consumer() {
        let (producer, mut consumer, _) = ring();
        let position = producer.push(&[1]).expect("free");
        assert!(producer.passed() <= position);
        consumer.pop(&mut [0; 3]).expect("well formed");
        assert!(producer.passed() > position);
    }
}
