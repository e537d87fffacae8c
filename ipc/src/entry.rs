//! The header word of one entry: whose turn it is.
//!
//! A header names the position it was last written for, so that an entry of an earlier lap can never
//! be taken for one of this lap, and needs no clearing between laps. It is the sequence number of Vyukov's bounded
//! queue ("Bounded MPMC queue", 1024cores.net), with what else there is to say of an entry in the same word.
//!
//! | bits | what |
//! | --- | --- |
//! | 0..8 | payload length in words |
//! | 8..10 | state |
//! | 10..64 | position + 1; zero = never written |
//!
//! States of the entry of one position, and what each obliges its holder to:
//! - *vacant* (an earlier position, or zero): the producer that reserved the position writes the
//!   payload and publishes. Nobody else touches the entry.
//! - *published*: the payload is whole and stays as it is until the consumer has passed the position.
//! - *claimed*: the consumer will act on it, or already does. Final.
//! - *taken back*: nobody will ever act on it; the consumer passes over it. Final.
//!
//! 54 bits of position last for eleven years at 50 million entries a second.

use rustyray_memory::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The longest payload a header can describe.
pub(crate) const MAX_PAYLOAD_WORDS: usize = 0xff;

const LENGTH_MASK: u64 = 0xff;
const STATE_SHIFT: u32 = 8;
const STATE_MASK: u64 = 0b11 << STATE_SHIFT;
const TURN_SHIFT: u32 = 10;

const PUBLISHED: u64 = 0b01 << STATE_SHIFT;
const CLAIMED: u64 = 0b10 << STATE_SHIFT;
const TAKEN_BACK: u64 = 0b11 << STATE_SHIFT;

/// What a header says about one position.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    /// Not written for this position yet.
    Vacant,
    /// Whole and unclaimed, with a payload of this many words.
    Published(usize),
    /// Claimed by the consumer.
    Claimed,
    /// Taken back by the producer.
    TakenBack,
    /// Written for a position that this entry never has, or not yet.
    Garbage,
}

/// What became of a claim.
#[must_use]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// The payload of this many words is the consumer's.
    Mine(usize),
    /// The entry was not published, or somebody else was faster; look again.
    Not(Turn),
}

/// One header word.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Header<'a> {
    word: &'a AtomicU64,
    position: u64,
    /// A power of two.
    entries: u64,
}

impl<'a> Header<'a> {
    /// `word` as seen by somebody interested in `position` of a ring of `entries` entries.
    #[inline]
    pub(crate) fn new(word: &'a AtomicU64, position: u64, entries: usize) -> Self {
        Header { word, position, entries: entries as u64 }
    }

    /// Publishes the payload that was written before.
    #[inline]
    pub(crate) fn transition_to_published(self, len: usize) {
        debug_assert!(len <= MAX_PAYLOAD_WORDS);
        // Release: the payload's words come before; pairs with the Acquire of `turn` and of
        // `transition_to_claimed` in the consumer.
        self.word.store(self.turn_bits() | PUBLISHED | len as u64, Release);
    }

    /// What the word says about this position.
    #[inline]
    pub(crate) fn turn(self) -> Turn {
        // Acquire: pairs with the Release of `transition_to_published`; makes the payload visible.
        self.decode(self.word.load(Acquire))
    }

    /// Claims a published entry for the consumer.
    #[inline]
    pub(crate) fn transition_to_claimed(self) -> Claim {
        let seen = self.word.load(Relaxed);
        let Turn::Published(len) = self.decode(seen) else { return Claim::Not(self.decode(seen)) };
        let claimed = (seen & !STATE_MASK) | CLAIMED;
        // Acquire: pairs with the Release of `transition_to_published`. Release: a producer whose
        // `transition_to_taken_back` fails because of this knows that the consumer got this far.
        match self.word.compare_exchange(seen, claimed, AcqRel, Acquire) {
            Ok(_) => Claim::Mine(len),
            Err(now) => Claim::Not(self.decode(now)),
        }
    }

    /// Takes a published entry back; whether it was still there to take.
    #[inline]
    pub(crate) fn transition_to_taken_back(self) -> bool {
        let seen = self.word.load(Relaxed);
        if !matches!(self.decode(seen), Turn::Published(_)) {
            return false;
        }
        let taken = (seen & !STATE_MASK) | TAKEN_BACK;
        // AcqRel: pairs with the consumer's claim, as said there.
        self.word.compare_exchange(seen, taken, AcqRel, Acquire).is_ok()
    }

    #[inline]
    fn turn_bits(self) -> u64 {
        self.turn_number() << TURN_SHIFT
    }

    /// The number that stands for the position. A peer may have left any position: it wraps.
    #[inline]
    fn turn_number(self) -> u64 {
        self.position.wrapping_add(1)
    }

    #[inline]
    fn decode(self, word: u64) -> Turn {
        let turn = word >> TURN_SHIFT;
        let now = self.turn_number();
        if turn == now {
            match word & STATE_MASK {
                PUBLISHED => Turn::Published((word & LENGTH_MASK) as usize),
                CLAIMED => Turn::Claimed,
                TAKEN_BACK => Turn::TakenBack,
                _ => Turn::Garbage,
            }
        } else if turn < now && (turn == 0 || (now - turn) & (self.entries - 1) == 0) {
            // Never written, or for an earlier lap: the one before, unless that one was a hole.
            Turn::Vacant
        } else {
            Turn::Garbage
        }
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_header_goes_through_its_states_lap_after_lap() {
        let word = AtomicU64::new(0);
        for lap in 0..3 {
            let header = Header::new(&word, lap * 4 + 1, 4);
            assert_eq!(header.turn(), Turn::Vacant);
            assert!(!header.transition_to_taken_back());
            assert_eq!(header.transition_to_claimed(), Claim::Not(Turn::Vacant));
            header.transition_to_published(5);
            assert_eq!(header.turn(), Turn::Published(5));
            assert_eq!(header.transition_to_claimed(), Claim::Mine(5));
            assert!(!header.transition_to_taken_back());
            assert_eq!(header.turn(), Turn::Claimed);
        }
    }

    #[test]
    fn a_word_of_a_position_that_cannot_be_is_garbage() {
        let word = AtomicU64::new(0);
        Header::new(&word, 2, 4).transition_to_published(0);
        assert_eq!(Header::new(&word, 6, 4).turn(), Turn::Vacant);
        assert_eq!(Header::new(&word, 10, 4).turn(), Turn::Vacant);
        assert_eq!(Header::new(&word, 7, 4).turn(), Turn::Garbage);
        word.store(u64::MAX, Relaxed);
        assert_eq!(Header::new(&word, 6, 4).turn(), Turn::Garbage);
    }
}
