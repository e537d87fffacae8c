//! The word of an actor that callers look at: whether it can be called, and how many calls are unfinished.
//!
//! | bits | what |
//! | --- | --- |
//! | 0..24 | unfinished calls |
//! | 24..27 | state |
//! | 27 | closed: it takes no further call |
//! | 28..64 | generation |
//!
//! A caller counts its call here before it hands it in, so that a limit holds however many call at once, and
//! so that the owner of the token does not end an actor with a call under way. The state is changed, and the gate
//! closed, by the token's owner alone.

use rustyray_memory::sync::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    ActorState, CallRefusal,
    gate::LAST_GENERATION,
    plain::{Plain16, Plain32, Plain64},
};

const UNFINISHED: u64 = (1 << 24) - 1;
const STATE_SHIFT: u32 = 24;
const STATE: u64 = 0x7 << STATE_SHIFT;
const CLOSED: u64 = 1 << 27;
const GENERATION_SHIFT: u32 = 28;

/// Where the actor lives: none.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What callers know of an actor.
#[derive(Debug)]
pub(crate) struct ActorGate {
    word: AtomicU64,
    pub(crate) spare: AtomicU32,
    // Written before the actor is published.
    pub(crate) max_pending: Plain32,
    pub(crate) max_task_retries: Plain16,
    pub(crate) job: Plain32,
    pub(crate) group: Plain64,
    pub(crate) captures: Plain32,
    // By the owner of the token.
    pub(crate) worker: Plain32,
    pub(crate) restarts: Plain32,
}

const fn bits(state: ActorState) -> u64 {
    let number = match state {
        ActorState::Pending => 1,
        ActorState::Alive => 2,
        ActorState::Restarting => 3,
        ActorState::Dead => 4,
    };
    number << STATE_SHIFT
}

const fn state(word: u64) -> Option<ActorState> {
    match (word & STATE) >> STATE_SHIFT {
        1 => Some(ActorState::Pending),
        2 => Some(ActorState::Alive),
        3 => Some(ActorState::Restarting),
        4 => Some(ActorState::Dead),
        _ => None,
    }
}

impl ActorGate {
    pub(crate) fn new() -> Self {
        ActorGate {
            word: AtomicU64::new(1 << GENERATION_SHIFT),
            spare: AtomicU32::new(0),
            max_pending: Plain32::default(),
            max_task_retries: Plain16::default(),
            job: Plain32::default(),
            group: Plain64::default(),
            captures: Plain32::default(),
            worker: Plain32::default(),
            restarts: Plain32::default(),
        }
    }

    /// The generation that is, or is next.
    pub(crate) fn generation(&self) -> u64 {
        self.word.load(Relaxed) >> GENERATION_SHIFT
    }

    /// Where the actor stands, if it is still this generation.
    #[inline]
    pub(crate) fn state(&self, generation: u64) -> Option<ActorState> {
        // Acquire: pairs with the Release of `publish` and `change`.
        let word = self.word.load(Acquire);
        if word >> GENERATION_SHIFT == generation { state(word) } else { None }
    }

    /// A new actor: pending, without calls.
    pub(crate) fn publish(&self, generation: u64) {
        // Release: pairs with the Acquire of `state` and `begin`.
        self.word.store(generation << GENERATION_SHIFT | bits(ActorState::Pending), Release);
    }

    /// Counts a call, unless the actor is dead, closed or has too many.
    #[inline]
    pub(crate) fn begin(&self, generation: u64) -> Result<(), CallRefusal> {
        let mut seen = self.word.load(Acquire);
        loop {
            match state(seen) {
                Some(ActorState::Dead) if seen >> GENERATION_SHIFT == generation => {
                    return Err(CallRefusal::Died);
                }
                Some(_) if seen >> GENERATION_SHIFT == generation => {}
                _ => return Err(CallRefusal::Unknown),
            }
            if seen & CLOSED != 0 {
                return Err(CallRefusal::Died);
            }
            let limit = match self.max_pending.get() {
                0 => UNFINISHED - 1,
                limit => u64::from(limit),
            };
            if seen & UNFINISHED >= limit {
                return Err(CallRefusal::PendingLimit { limit: limit as usize });
            }
            // Acquire: as in `state`. Release: the owner of the token that finds no unfinished call has seen
            // all that were handed in before.
            match self.word.compare_exchange_weak(seen, seen + 1, AcqRel, Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    /// Counts a call off.
    #[inline]
    pub(crate) fn end(&self, generation: u64) {
        let mut seen = self.word.load(Relaxed);
        while seen >> GENERATION_SHIFT == generation && seen & UNFINISHED > 0 {
            match self.word.compare_exchange_weak(seen, seen - 1, AcqRel, Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Unfinished calls.
    pub(crate) fn unfinished(&self) -> usize {
        (self.word.load(Acquire) & UNFINISHED) as usize
    }

    /// Changes the state. By the owner of the token.
    pub(crate) fn change(&self, to: ActorState) {
        let mut seen = self.word.load(Relaxed);
        // AcqRel: pairs with `begin`.
        while let Err(now) =
            self.word.compare_exchange_weak(seen, seen & !STATE | bits(to), AcqRel, Relaxed)
        {
            seen = now;
        }
    }

    /// Takes no further call. By the owner of the token.
    pub(crate) fn close(&self) {
        // AcqRel: pairs with `begin`, which comes before this and is counted, or is refused.
        self.word.fetch_or(CLOSED, AcqRel);
    }

    /// Forgets the actor; `false` when the gate is used up.
    #[must_use]
    pub(crate) fn free(&self) -> bool {
        // A caller may still count itself in or off: it names its generation, and finds another.
        let generation = self.generation();
        self.word.store((generation + 1).min(LAST_GENERATION) << GENERATION_SHIFT, Release);
        generation < LAST_GENERATION - 1
    }
}
