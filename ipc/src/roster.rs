//! Who of this process is about: how many threads attend the bell, and how many sleep on it.
//!
//! One private word, so that "the last attendant left while somebody sleeps" and "somebody went to
//! sleep while nobody attends" are one order of events, in which exactly one thread is told to raise
//! the bell's flag. See [`crate::bell`] for what that is good for.
//!
//! Every transition is AcqRel and pairs with every other: what a thread did to the bell's flag before
//! its transition comes before what a later one does after its own.

use rustyray_memory::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

const ATTENDANT: u64 = 1;
const SLEEPER: u64 = 1 << 24;
const DEPUTY: u64 = 1 << 48;
const COUNT_MASK: u64 = SLEEPER - 1;

/// What a transition left behind.
#[must_use]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Present {
    pub(crate) attendants: u64,
    /// All who sleep.
    pub(crate) sleepers: u64,
    /// Those of them who wait for nothing of their own.
    pub(crate) deputies: u64,
}

/// The numbers of attendants and sleepers of one process.
#[derive(Debug)]
pub(crate) struct Roster(AtomicU64);

impl Roster {
    pub(crate) fn new() -> Self {
        Roster(AtomicU64::new(0))
    }

    /// An attendant comes.
    #[inline]
    pub(crate) fn transition_to_attending(&self) -> Present {
        self.add(ATTENDANT)
    }

    /// An attendant goes.
    #[inline]
    pub(crate) fn transition_from_attending(&self) -> Present {
        self.add(ATTENDANT.wrapping_neg())
    }

    /// Somebody who does not attend goes to sleep.
    pub(crate) fn transition_to_sleeping(&self) -> Present {
        self.add(SLEEPER)
    }

    /// Somebody goes to sleep who waits for nothing of its own.
    pub(crate) fn transition_to_deputizing(&self) -> Present {
        self.add(SLEEPER + DEPUTY)
    }

    /// An attendant goes to sleep.
    pub(crate) fn transition_from_attending_to_sleeping(&self) -> Present {
        self.add(SLEEPER - ATTENDANT)
    }

    /// A sleeper is awake again, and attends.
    pub(crate) fn transition_from_sleeping_to_attending(&self) -> Present {
        self.add(ATTENDANT.wrapping_sub(SLEEPER))
    }

    /// A sleeper is awake again.
    pub(crate) fn transition_from_sleeping(&self) -> Present {
        self.add(SLEEPER.wrapping_neg())
    }

    /// A deputy is awake again.
    pub(crate) fn transition_from_deputizing(&self) -> Present {
        self.add((SLEEPER + DEPUTY).wrapping_neg())
    }

    /// Who is about just now.
    #[inline]
    pub(crate) fn present(&self) -> Present {
        Present::decode(self.0.load(Acquire))
    }

    #[inline]
    fn add(&self, change: u64) -> Present {
        Present::decode(self.0.fetch_add(change, AcqRel).wrapping_add(change))
    }
}

impl Present {
    #[inline]
    fn decode(word: u64) -> Self {
        Present {
            attendants: word & COUNT_MASK,
            sleepers: (word / SLEEPER) & COUNT_MASK,
            deputies: word / DEPUTY,
        }
    }

    /// Who sleeps and waits for something of its own.
    #[inline]
    pub(crate) fn waiters(self) -> u64 {
        self.sleepers.saturating_sub(self.deputies)
    }
}
