//! Direct lines: the way of an actor's calls from one process straight to another, past the node.
//!
//! A line is a work queue in the control memory. Its producer is a process that calls an actor often, its
//! consumer is the actor's process. The node gives lines out and takes them back; it never reads one.
//!
//! # Why
//! By way of the node a call crosses two rings and is handled by a thread of the node's process, which may
//! have to be woken for it. By a line it crosses one, and the only process that may have to be woken is
//! the one that is to run it. Asking for a line costs a round trip to the node, so a process asks after
//! [`OFTEN`] calls of one actor.
//!
//! # Life of a line
//! ```text
//!              grant                      consumer's process gone, or it refused
//!   free ───────────────► open ──────────────────────────────────────────► closed
//!     ▲                    │ producer's process gone, or it gives it back     │
//!     │                    ▼                                                  │
//!     └──────────────── orphaned ◄────────────────────────────────────────────┘
//!        consumer done                    (and free when the producer is done)
//! ```
//! Only the node writes the state word ([`LineHead`]), under its own lock. It names the generation: a line that was given
//! out again is another line, and who comes with an old generation is turned away.
//!
//! - *open*: the producer pushes, the consumer claims.
//! - *closed*: the consumer will claim nothing any more. The producer takes back what is left and says that
//!   it is done.
//! - *orphaned*: the producer's process is dead, or has given the line back. The consumer claims nothing more and says
//!   that it is done.
//!
//! A line is free again when each end has said that it is done, or is dead. So no two processes ever produce, or
//! consume, on one line at one time.
//!
//! There are so many lines and no more. When one is asked for and there is none, whoever has some is told, and gives
//! back those that it cannot use: to actors to which it has no handle and whose calls are all settled.
//!
//! # Calls of one caller stay in order
//! *Switching over*. The producer asks for the line through its up ring, under the lock by which all its
//! calls of that actor go. The node serves the ring in order: every earlier call is with the scheduler by
//! then. (In the node's own process there is no ring: what was called before was handed to the scheduler at
//! once.) The node submits to the scheduler, as a call of the same caller, an entry that says "attach line n".
//! The scheduler keeps a caller's calls in order, so the actor's process claims that entry after it has
//! claimed every earlier call, and looks at the line only from then on. Every later call goes by the line,
//! since the producer's lock is released only when the answer is there. So nothing that goes by the line can
//! overtake what went by the node.
//!
//! *Back again*. When a line closes, the producer takes back, under the same lock and in order, what the
//! consumer had not claimed, and submits it to the node before it lets any other call through. The
//! consumer's process is dead or will claim nothing more, so what it had claimed comes before.
//!
//! *Waiting for an argument*. The consumer that finds an argument pending keeps the call as the head of its
//! line and claims nothing behind it; other lines and the node's queue go on.
//!
//! # At most once
//! Claiming is a compare-and-swap on the entry, and so is taking back: exactly one wins
//! ([`rustyray_ipc::WorkProducer`]). What the producer got back never ran and goes to the node. What it did
//! not get back may have run: it fails with what the node says of the death, unless its result is there.
//! The node says so only after it has reaped the dead process, so nothing is half sealed any more.
//! What is cancelled is taken back in the same way; of what is claimed the consumer is told, by way of the node. Who
//! cancels a task or a call with all that it has submitted does not know what of that went by a line: the node tells
//! every producer, who knows of each call within what it was made, and of those that have begun asks for the same again.
//! Actors whose calls are retried, or that limit their pending calls, get no lines: the node has to know
//! their calls.
//!
//! # Nothing in transit is lost
//! The producer holds every reference that a call carries (the actor's token, arguments, references inside
//! them, results) until the call's results are settled. So the actor does not end by its last handle, and
//! no argument is freed, while a call is on a line. A process that ends in order waits first for the calls that it
//! had made by then; a driver that lets go of the node for a while only, after which they run for as long as its
//! process lives.
//!
//! # An end in order
//! The node tells the consumer to end by an entry of its own queue. The consumer answers what has come by its lines
//! until it claims that entry. What comes later it claims and fails at once, so that no producer keeps it from its end,
//! nor waits for it. An actor that exits on its own does that with all that it has not begun. Only when the calls that
//! run have ended does the consumer say that it is done: a line that it gave up before would fail what runs, too. Then
//! the producer takes back what is left and hands it to the node, which refuses it with what the actor died of.
//!
//! # Deaths, instruction by instruction
//! | who dies | when | what happens |
//! | --- | --- | --- |
//! | producer | before its ask is published | nothing was asked |
//! | | after, before it reads the answer | the line is orphaned and empty; the consumer attaches, finds it so, and is done |
//! | | between reserving and publishing an entry | the entry stays vacant; the line is orphaned |
//! | | after publishing | the call runs if the consumer claims it before it sees the line orphaned, and is dropped otherwise: its results were the producer's reservations, and fail as `ObjectLost` |
//! | consumer | before it claims "attach" | the scheduler gives the entry to its successor, which refuses it, or fails it; either closes the line |
//! | | between claiming an entry and sealing its result | the producer cannot take it back and fails it |
//! | | after sealing | the result counts |
//! | node | at any time | ends everybody |
//!
//! # Waking
//! The producer rings the consumer's doorbell after each push, which costs nothing while the consumer is awake.
//! When the ring is full the producer keeps calls in private memory, raises [`LineHead::want_room`], fences, and
//! tries once more; the consumer, having claimed, or passed what was taken back, fences and looks at the flag, and
//! rings the producer when it is up. One of the two sees the other: the producer finds room, or the consumer finds
//! the flag. While the flag is up the producer does not try again: the consumer has other things to do than to share
//! its cache lines with one that looks whether it has moved.

use std::ops::Deref;

pub(crate) use rustyray_ipc::LineState;
use rustyray_ipc::{LineHead, WorkConsumer, WorkProducer};
use rustyray_store::ClientId;

use super::control::{Control, Words};

/// How many calls of one actor a process makes by way of the node before it asks for a line.
pub(crate) const OFTEN: u32 = 32;

/// Names one use of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LineId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl LineId {
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.index) | u64::from(self.generation) << 32
    }

    pub(crate) fn from_word(word: u64) -> LineId {
        LineId { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// With which end of a line a process has no more to do. It says so itself: an actor that was started again may live in the
/// process that calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum LineEnd {
    Producer = 0,
    Consumer = 1,
}

impl LineEnd {
    pub(crate) fn from_word(word: u64) -> LineEnd {
        if word == LineEnd::Producer as u64 { LineEnd::Producer } else { LineEnd::Consumer }
    }
}

/// One use of a line, as any of the three processes sees it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    head: LineHead<Words>,
    id: LineId,
}

impl Line {
    /// The line of this name, `None` when there is no such place.
    pub(crate) fn new(control: &Control, id: LineId) -> Option<Line> {
        Some(Line { head: LineHead::new(control.line_head(id.index)?, id.generation), id })
    }

    pub(crate) fn id(&self) -> LineId {
        self.id
    }

    pub(crate) fn producer_of(&self) -> ClientId {
        ClientId::new(self.head.producer())
    }

    pub(crate) fn consumer_of(&self) -> ClientId {
        ClientId::new(self.head.consumer())
    }
}

impl Deref for Line {
    type Target = LineHead<Words>;

    fn deref(&self) -> &LineHead<Words> {
        &self.head
    }
}

/// The two ends of a line's queue.
impl Control {
    pub(crate) fn line_producer(&self, id: LineId) -> Option<WorkProducer<Words>> {
        self.line_queue(id.index).map(|(span, shape)| WorkProducer::new(span, shape))
    }

    pub(crate) fn line_consumer(&self, id: LineId) -> Option<WorkConsumer<Words>> {
        self.line_queue(id.index).map(|(span, shape)| WorkConsumer::new(span, shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_another_generation_is_over() {
        let (control, _) = Control::create(1).expect("memory");
        let id = LineId { index: 3, generation: 7 };
        let line = Line::new(&control, id).expect("there are so many");
        assert_eq!(line.state(), LineState::Over);
        line.transition_to_open(2, 9);
        assert_eq!(line.state(), LineState::Open);
        assert_eq!((line.producer_of(), line.consumer_of()), (ClientId::new(2), ClientId::new(9)));
        let later = Line::new(&control, LineId { generation: 8, ..id }).expect("the same place");
        assert_eq!(later.state(), LineState::Over);
        line.transition_to_closed();
        assert_eq!(line.state(), LineState::Closed);
        later.transition_to_open(4, 5);
        assert_eq!((line.state(), later.state()), (LineState::Over, LineState::Open));
        assert!(Line::new(&control, LineId { index: u32::MAX, generation: 0 }).is_none());
        assert_eq!(LineId::from_word(id.to_word()), id);
    }
}
