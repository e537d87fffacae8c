//! The words before a direct line's queue: whose it is, whether it is open, and whether its producer wants room.
//!
//! A line is a [`WorkProducer`](crate::WorkProducer) in one process and a [`WorkConsumer`](crate::WorkConsumer)
//! in another, given out by a third, again and again. The state word names the *use*, by its generation:
//!
//! ```text
//!   over ──► open ──► closed      the consumer is gone
//!                └──► orphaned    the producer is gone
//! ```
//! Only who gives lines out writes it, one transition at a time. Who comes with another use's generation finds
//! that use to be over, whatever has become of the line since.
//!
//! # Room
//! The producer of a full queue raises its wish for room and tries once more; the consumer, when it has claimed,
//! looks at the wish, takes it back, and tells the producer. Each writes, fences, and reads what the other
//! writes: so the producer finds room, or the consumer finds the wish.

use rustyray_memory::{
    LINE_WORDS, Memory,
    sync::{
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

/// Words of a [`LineHead`]: its state, its ends, and the producer's wish for room, a cache line each; zeroed at first.
///
/// # Examples
/// ```
/// use rustyray_ipc::{LINE_HEAD_WORDS, LineHead, LineState, RingShape};
/// use rustyray_memory::{Heap, Span};
///
/// // A line is its head and its queue.
/// const QUEUE: RingShape = RingShape { entries: 8, payload_words: 7 };
/// let line = Heap::new(LINE_HEAD_WORDS + QUEUE.words());
/// let head = LineHead::new(Span::new(line, 0, LINE_HEAD_WORDS), 1);
/// assert_eq!(head.state(), LineState::Over);
/// ```
pub const LINE_HEAD_WORDS: usize = 3 * LINE_WORDS;

const STATE: usize = 0;
const ENDS: usize = LINE_WORDS;
const WANT_ROOM: usize = 2 * LINE_WORDS;

const OPEN: u64 = 1;
const CLOSED: u64 = 2;
const ORPHANED: u64 = 3;

/// What a line's state word says of one use of it.
///
/// # Examples
/// ```
/// use rustyray_ipc::{LINE_HEAD_WORDS, LineHead, LineState};
/// use rustyray_memory::Heap;
///
/// let head = LineHead::new(Heap::new(LINE_HEAD_WORDS), 1);
/// head.transition_to_open(7, 9);
/// assert_eq!(head.state(), LineState::Open);
/// head.transition_to_orphaned();
/// assert_eq!(head.state(), LineState::Orphaned, "the consumer claims what is left, and that is all");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineState {
    /// The producer pushes, the consumer claims.
    Open,
    /// The consumer claims nothing any more.
    Closed,
    /// The producer is dead.
    Orphaned,
    /// That use is over.
    Over,
}

/// The words before the queue of a direct line, by which three processes agree on one *use* of it: the producer, the
/// consumer, and who gives lines out, which alone opens and ends a use. Each has one for each use that it has to do
/// with, and any of its threads may call.
///
/// A use is named by its generation: who comes with another's finds it to be [`LineState::Over`], whatever has become
/// of the line since. Who finds it [`LineState::Open`] sees the ends, and what was done to the queue before.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{LINE_HEAD_WORDS, LineHead, LineState};
/// use rustyray_memory::Heap;
///
/// let memory = Arc::new(Heap::new(LINE_HEAD_WORDS));
/// let node = LineHead::new(Arc::clone(&memory), 1);
/// assert_eq!(node.state(), LineState::Over, "it was never given out");
/// node.transition_to_open(7, 9);
///
/// let producer = LineHead::new(Arc::clone(&memory), 1);
/// assert_eq!((producer.state(), producer.producer(), producer.consumer()), (LineState::Open, 7, 9));
/// producer.want_room(); // its queue was full
/// assert!(producer.is_wish_standing());
/// assert!(node.is_room_wanted(), "asked by the consumer, when it has made room");
/// assert!(!node.is_room_wanted() && !producer.is_wish_standing(), "once for each wish");
///
/// node.transition_to_closed(); // process 9 is gone
/// assert_eq!(producer.state(), LineState::Closed);
/// // The next use: whoever still has the one before finds it over.
/// let next = LineHead::new(memory, 2);
/// next.transition_to_open(7, 8);
/// assert_eq!(producer.state(), LineState::Over);
/// next.transition_to_orphaned(); // process 7 is gone
/// assert_eq!(next.state(), LineState::Orphaned);
/// ```
#[derive(Clone, Debug)]
pub struct LineHead<M> {
    span: M,
    generation: u32,
}

impl<M: Memory> LineHead<M> {
    /// The head in `span`, of [`LINE_HEAD_WORDS`], of the use with this generation. The other calls panic when
    /// there are too few words.
    pub fn new(span: M, generation: u32) -> Self {
        LineHead { span, generation }
    }

    /// Where this use stands.
    #[inline]
    pub fn state(&self) -> LineState {
        // Acquire: pairs with the Release in `write`; what was done before, the ends included, is visible.
        let word = self.span.word(STATE).load(Acquire);
        if (word >> 32) as u32 != self.generation {
            return LineState::Over;
        }
        match word & 0xff {
            OPEN => LineState::Open,
            CLOSED => LineState::Closed,
            ORPHANED => LineState::Orphaned,
            _ => LineState::Over,
        }
    }

    /// Opens the line between two processes, neither of which uses it yet. By who gives it out.
    pub fn transition_to_open(&self, producer: u8, consumer: u8) {
        let ends = u64::from(producer) | u64::from(consumer) << 8;
        self.span.word(ENDS).store(ends, Relaxed);
        self.span.word(WANT_ROOM).store(0, Relaxed);
        self.write(OPEN);
    }

    /// The consumer is gone. By who gave it out.
    pub fn transition_to_closed(&self) {
        self.write(CLOSED);
    }

    /// The producer is gone. By who gave it out.
    pub fn transition_to_orphaned(&self) {
        self.write(ORPHANED);
    }

    fn write(&self, state: u64) {
        let word = u64::from(self.generation) << 32 | state;
        // Release: pairs with the Acquire in `state`.
        self.span.word(STATE).store(word, Release);
    }

    /// Who pushes, once the state was found to be open.
    pub fn producer(&self) -> u8 {
        self.span.word(ENDS).load(Relaxed) as u8
    }

    /// Who claims, once the state was found to be open.
    pub fn consumer(&self) -> u8 {
        (self.span.word(ENDS).load(Relaxed) >> 8) as u8
    }

    /// The producer found no room. It tries once more after this: then it finds room, or the consumer finds its wish.
    pub fn want_room(&self) {
        self.span.word(WANT_ROOM).store(1, Relaxed);
        // SeqCst: partner of the fence in `is_room_wanted`; forbids that the producer finds the queue full
        // while the consumer, which has made room since, finds no wish for it.
        fence(SeqCst);
    }

    /// Whether the producer's last wish was not answered yet. Until it is, there is no use in trying again.
    #[inline]
    pub fn is_wish_standing(&self) -> bool {
        // Relaxed: who answers tells the producer afterwards, who looks again then.
        self.span.word(WANT_ROOM).load(Relaxed) != 0
    }

    /// Whether the producer waits for room, which the consumer has just made; asked once for each wish.
    pub fn is_room_wanted(&self) -> bool {
        // SeqCst: partner of the fence in `want_room`.
        fence(SeqCst);
        let wish = self.span.word(WANT_ROOM);
        wish.load(Relaxed) != 0 && wish.swap(0, Relaxed) != 0
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use std::sync::Arc;

    use rustyray_memory::Heap;

    use super::*;

    #[test]
    fn a_use_is_over_for_who_comes_with_another_s_generation() {
        let memory = Arc::new(Heap::new(LINE_HEAD_WORDS));
        let [first, second] = [7, 8].map(|use_| LineHead::new(Arc::clone(&memory), use_));
        assert_eq!(first.state(), LineState::Over);
        first.transition_to_open(2, 9);
        assert_eq!((first.state(), second.state()), (LineState::Open, LineState::Over));
        assert_eq!((first.producer(), first.consumer()), (2, 9));
        first.transition_to_closed();
        assert_eq!(first.state(), LineState::Closed);
        second.transition_to_open(4, 5);
        assert_eq!((first.state(), second.state()), (LineState::Over, LineState::Open));
        second.transition_to_orphaned();
        assert_eq!(second.state(), LineState::Orphaned);
    }

    #[test]
    fn room_is_wanted_once_for_each_wish() {
        let line = LineHead::new(Arc::new(Heap::new(LINE_HEAD_WORDS)), 1);
        line.transition_to_open(1, 2);
        assert!(!line.is_room_wanted());
        line.want_room();
        assert!(line.is_room_wanted());
        assert!(!line.is_room_wanted());
    }
}
