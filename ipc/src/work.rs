//! A bounded queue from the node to one worker, whose entries can be taken back until they are claimed.
//!
//! It is a ring ([`crate::Producer`], [`crate::Consumer`]) with one difference: a published entry is not
//! simply the consumer's. It is *claimed* by compare-and-swap on its header, by the worker to run it, or
//! *taken back* by the node to give it to somebody else, and exactly one of the two succeeds.
//!
//! Only the worker passes entries, in order, so the node never waits for a worker that is stopped: an entry
//! that was taken back merely keeps its place until the worker comes by.
//!
//! # Crashes
//! When the worker dies, the node knows every task that it pushed and did not see completed; the queue's
//! words are reset before another process gets them. When the node dies, so do its workers.

use rustyray_memory::Memory;

use crate::{
    Full, Garbage, RingShape,
    cursor::Cursor,
    entry::{Claim, Turn},
    lane::Lane,
};

/// Names an entry of a work queue.
///
/// # Examples
/// ```
/// use rustyray_ipc::{RingShape, Ticket, WorkProducer};
/// use rustyray_memory::Heap;
///
/// const SHAPE: RingShape = RingShape { entries: 2, payload_words: 7 };
/// let queue = WorkProducer::new(Heap::new(SHAPE.words()), SHAPE);
/// let number = queue.push(&[1]).expect("there is room").get(); // kept as a word in a table, say
/// assert!(queue.take_back(Ticket::from_raw(number)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// The ticket as a number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The ticket that [`Ticket::get`] gave.
    pub fn from_raw(ticket: u64) -> Self {
        Ticket(ticket)
    }
}

/// The node's half: any of its threads may push and take back.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{RingShape, WorkConsumer, WorkProducer};
/// use rustyray_memory::Heap;
///
/// const SHAPE: RingShape = RingShape { entries: 4, payload_words: 7 };
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// let node = WorkProducer::new(Arc::clone(&memory), SHAPE);
/// let mut worker = WorkConsumer::new(memory, SHAPE);
///
/// let first = node.push(&[10]).expect("there is room");
/// let second = node.push(&[20]).expect("there is room");
/// assert_eq!(worker.claim(&mut [0; 7]), Ok(Some(1)));
/// assert!(!node.take_back(first), "the worker has begun it");
/// assert!(node.take_back(second), "now somebody else may run it");
/// assert_eq!(node.len(), 1, "it keeps its place until the worker comes by");
/// assert_eq!(worker.claim(&mut [0; 7]), Ok(None));
/// assert!(node.is_empty());
/// ```
#[derive(Debug)]
pub struct WorkProducer<M> {
    lane: Lane<M>,
}

impl<M: Memory> WorkProducer<M> {
    /// The node's half of the queue in `span`.
    ///
    /// # Panics
    /// When `span` is too small for the shape.
    pub fn new(span: M, shape: RingShape) -> Self {
        WorkProducer { lane: Lane::new(span, shape) }
    }

    /// Publishes an entry.
    ///
    /// # Errors
    /// [`Full`] when the worker has not passed enough entries; nothing was written.
    ///
    /// # Panics
    /// When `payload` is longer than an entry.
    #[inline]
    pub fn push(&self, payload: &[u64]) -> Result<Ticket, Full> {
        self.lane.push(payload).map(Ticket)
    }

    /// The same for a half that is nobody else's, which is cheaper.
    ///
    /// ```
    /// # use rustyray_ipc::{Full, RingShape, WorkProducer};
    /// # use rustyray_memory::Heap;
    /// # const SHAPE: RingShape = RingShape { entries: 2, payload_words: 7 };
    /// let mut queue = WorkProducer::new(Heap::new(SHAPE.words()), SHAPE);
    /// let first = queue.push_alone(&[1])?;
    /// queue.push_alone(&[2])?;
    /// assert_eq!(queue.push_alone(&[3]), Err(Full));
    /// assert!(queue.take_back(first));
    /// # Ok::<(), Full>(())
    /// ```
    ///
    /// # Errors
    /// As [`WorkProducer::push`].
    ///
    /// # Panics
    /// As [`WorkProducer::push`].
    #[inline]
    pub fn push_alone(&mut self, payload: &[u64]) -> Result<Ticket, Full> {
        self.lane.push_alone(payload).map(Ticket)
    }

    /// Publishes an entry as long as `spare` places more are left, for what is not to be refused.
    ///
    /// ```
    /// # use rustyray_ipc::{Full, RingShape, WorkProducer};
    /// # use rustyray_memory::Heap;
    /// # const SHAPE: RingShape = RingShape { entries: 2, payload_words: 7 };
    /// let queue = WorkProducer::new(Heap::new(SHAPE.words()), SHAPE);
    /// queue.push_sparing(1, &[1])?;
    /// assert_eq!(queue.push_sparing(1, &[2]), Err(Full));
    /// queue.push(&[3])?;
    /// # Ok::<(), Full>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`] when there would be fewer; nothing was written.
    ///
    /// # Panics
    /// When `payload` is longer than an entry.
    #[inline]
    pub fn push_sparing(&self, spare: usize, payload: &[u64]) -> Result<Ticket, Full> {
        self.lane.push_sparing(spare, payload).map(Ticket)
    }

    /// Takes an entry back; `true` means that the worker will never see it.
    #[inline]
    pub fn take_back(&self, ticket: Ticket) -> bool {
        self.lane.header(ticket.0).transition_to_taken_back()
    }

    /// The same, with a copy of the entry's payload in `into`; its length when it was taken back.
    ///
    /// ```
    /// # use rustyray_ipc::{RingShape, WorkProducer};
    /// # use rustyray_memory::Heap;
    /// # const SHAPE: RingShape = RingShape { entries: 2, payload_words: 7 };
    /// let queue = WorkProducer::new(Heap::new(SHAPE.words()), SHAPE);
    /// let ticket = queue.push(&[3, 4]).expect("there is room");
    /// let mut entry = [0; 7];
    /// assert_eq!(queue.take_back_into(ticket, &mut entry), Some(2));
    /// assert_eq!(entry[..2], [3, 4]);
    /// assert_eq!(queue.take_back_into(ticket, &mut entry), None, "once");
    /// ```
    ///
    /// # Panics
    /// When `into` is shorter than the payload.
    pub fn take_back_into(&self, ticket: Ticket, into: &mut [u64]) -> Option<usize> {
        // Before it is taken back: from then on the worker may pass it, and its place be used again. An entry that
        // can be taken back was published all the while, so the copy is whole.
        let len = self.lane.copy(ticket.0, into)?;
        self.take_back(ticket).then_some(len)
    }

    /// How many entries the worker has not passed, those taken back included.
    pub fn len(&self) -> usize {
        self.lane.len()
    }

    /// Whether the worker has passed every entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The worker's half.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{Garbage, RingShape, WorkConsumer, WorkProducer};
/// use rustyray_memory::Heap;
///
/// const SHAPE: RingShape = RingShape { entries: 4, payload_words: 7 };
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// let node = WorkProducer::new(Arc::clone(&memory), SHAPE);
/// let mut worker = WorkConsumer::new(memory, SHAPE);
/// assert!(worker.is_empty());
///
/// let taken_back = node.push(&[1]).expect("there is room");
/// node.push(&[2, 3]).expect("there is room");
/// node.take_back(taken_back);
/// let mut entry = [0; 7];
/// assert_eq!(worker.claim(&mut entry)?, Some(2));
/// assert_eq!(entry[..2], [2, 3]);
/// # Ok::<(), Garbage>(())
/// ```
#[derive(Debug)]
pub struct WorkConsumer<M> {
    cursor: Cursor<M>,
}

impl<M: Memory> WorkConsumer<M> {
    /// The worker's half of the queue in `span`.
    ///
    /// # Panics
    /// When `span` is too small for the shape.
    pub fn new(span: M, shape: RingShape) -> Self {
        WorkConsumer { cursor: Cursor::new(span, shape) }
    }

    /// Claims the next entry that was not taken back, copies it into `into` and gives its length.
    ///
    /// # Errors
    /// [`Garbage`] when the entry cannot be one.
    ///
    /// # Panics
    /// When `into` is shorter than the payload.
    #[inline]
    pub fn claim(&mut self, into: &mut [u64]) -> Result<Option<usize>, Garbage> {
        loop {
            let position = self.cursor.position();
            match self.cursor.header(position).transition_to_claimed() {
                Claim::Mine(len) => {
                    let copied = self.cursor.copy(position, len, into)?;
                    self.cursor.pass_to(position.wrapping_add(1));
                    return Ok(Some(copied));
                }
                Claim::Not(Turn::Vacant) => return Ok(None),
                Claim::Not(Turn::TakenBack) => self.cursor.pass_to(position.wrapping_add(1)),
                Claim::Not(Turn::Published(_)) => {}
                Claim::Not(Turn::Claimed | Turn::Garbage) => {
                    return Err(self.cursor.garbage(position));
                }
            }
        }
    }

    /// Whether every entry was passed: one that was taken back is ahead until this half comes by.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use rustyray_ipc::{RingShape, WorkConsumer, WorkProducer};
    /// # use rustyray_memory::Heap;
    /// # const SHAPE: RingShape = RingShape { entries: 4, payload_words: 7 };
    /// # let memory = Arc::new(Heap::new(SHAPE.words()));
    /// # let node = WorkProducer::new(Arc::clone(&memory), SHAPE);
    /// # let mut worker = WorkConsumer::new(memory, SHAPE);
    /// node.take_back(node.push(&[1]).expect("there is room"));
    /// assert!(worker.is_empty() && !worker.is_caught_up());
    /// assert_eq!(worker.claim(&mut [0; 7]), Ok(None));
    /// assert!(worker.is_caught_up(), "and there is room for another");
    /// ```
    #[inline]
    pub fn is_caught_up(&self) -> bool {
        self.cursor.header(self.cursor.position()).turn() == Turn::Vacant
    }

    /// What the next entry that is pushed is to be called, as far as the producers say: the mark between what has come
    /// by now and what comes later.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use rustyray_ipc::{RingShape, WorkConsumer, WorkProducer};
    /// # use rustyray_memory::Heap;
    /// # const SHAPE: RingShape = RingShape { entries: 4, payload_words: 7 };
    /// # let memory = Arc::new(Heap::new(SHAPE.words()));
    /// # let node = WorkProducer::new(Arc::clone(&memory), SHAPE);
    /// # let mut worker = WorkConsumer::new(memory, SHAPE);
    /// node.push(&[1]).expect("there is room");
    /// let now = worker.next_ticket();
    /// assert_eq!(node.push(&[2]), Ok(now));
    /// assert!(!worker.has_come_to(now));
    /// assert_eq!(worker.claim(&mut [0; 7]), Ok(Some(1)));
    /// assert!(worker.has_come_to(now), "nothing is left of what had come then");
    /// ```
    pub fn next_ticket(&self) -> Ticket {
        Ticket(self.cursor.position().wrapping_add(self.cursor.len() as u64))
    }

    /// Whether every entry before this one was passed.
    pub fn has_come_to(&self, ticket: Ticket) -> bool {
        self.cursor.position() >= ticket.0
    }

    /// Whether no entry is there to be claimed: what was taken back does not count.
    #[inline]
    pub fn is_empty(&self) -> bool {
        let first = self.cursor.position();
        for ahead in 0..self.cursor.entries() as u64 {
            match self.cursor.header(first.wrapping_add(ahead)).turn() {
                Turn::TakenBack => {}
                turn => return turn == Turn::Vacant,
            }
        }
        true
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use std::{
        collections::HashSet,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    use proptest::prelude::*;
    use rustyray_memory::Heap;

    use super::*;

    const SHAPE: RingShape = RingShape { entries: 8, payload_words: 2 };

    fn queue() -> (WorkProducer<Arc<Heap>>, WorkConsumer<Arc<Heap>>) {
        let memory = Arc::new(Heap::new(SHAPE.words()));
        (WorkProducer::new(Arc::clone(&memory), SHAPE), WorkConsumer::new(memory, SHAPE))
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        Claim,
        TakeBack(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Push),
            Just(Step::Claim),
            any::<prop::sample::Index>().prop_map(Step::TakeBack),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Every entry is claimed or taken back, never both; claims come in order.
        #[test]
        fn an_entry_goes_to_exactly_one_side(steps in steps()) {
            let (mut producer, mut consumer) = queue();
            let mut tickets = Vec::new();
            let mut claimed = HashSet::new();
            let mut taken = HashSet::new();
            let mut last = None;
            for step in steps {
                match step {
                    Step::Push => {
                        let entry = [tickets.len() as u64];
                        let pushed = match tickets.len() % 2 {
                            0 => producer.push(&entry),
                            _ => producer.push_alone(&entry),
                        };
                        if let Ok(ticket) = pushed {
                            tickets.push(ticket);
                        }
                    }
                    Step::Claim => {
                        let mut into = [0; 2];
                        if consumer.claim(&mut into).unwrap().is_some() {
                            prop_assert!(last < Some(into[0]), "claims come in order");
                            last = Some(into[0]);
                            prop_assert!(!taken.contains(&into[0]));
                            claimed.insert(into[0]);
                        }
                    }
                    Step::TakeBack(_) if tickets.is_empty() => {}
                    Step::TakeBack(at) => {
                        let at = at.index(tickets.len());
                        if producer.take_back(tickets[at]) {
                            prop_assert!(!claimed.contains(&(at as u64)));
                            prop_assert!(taken.insert(at as u64), "taken back twice");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_race_for_entries_loses_and_doubles_none() {
        const ENTRIES: u64 = 30_000;
        let (producer, mut consumer) = queue();
        let done = AtomicBool::new(false);
        let (claimed, taken) = thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let (mut claimed, mut into) = (Vec::new(), [0; 2]);
                loop {
                    let finished = done.load(Ordering::Acquire);
                    match consumer.claim(&mut into).expect("well formed") {
                        Some(_) => claimed.push(into[0]),
                        None if finished => return claimed,
                        None => thread::yield_now(),
                    }
                }
            });
            let mut taken = Vec::new();
            for at in 0..ENTRIES {
                let ticket = loop {
                    match producer.push(&[at]) {
                        Ok(ticket) => break ticket,
                        Err(Full) => thread::yield_now(),
                    }
                };
                if at % 2 == 0 && producer.take_back(ticket) {
                    taken.push(at);
                }
            }
            done.store(true, Ordering::Release);
            (worker.join().expect("the worker ends"), taken)
        });
        let mut all: Vec<u64> = claimed.into_iter().chain(taken).collect();
        all.sort_unstable();
        assert_eq!(all, (0..ENTRIES).collect::<Vec<_>>());
    }
}
