//! The word that says where a task record stands, for those who race for it.
//!
//! | bits | what |
//! | --- | --- |
//! | 0..24 | what it waits for: objects that are not there, and one for its submitter while that is at it |
//! | 24..28 | phase |
//! | 28..64 | generation of the record |
//!
//! Phases, and what each obliges:
//! - *free*: in the free list, or in the hands of who took it from there and fills it.
//! - *waiting*: whoever takes the last of what it waits for releases it; whoever learns that one of them
//!   failed, or that nobody wants it any more, may fail or cancel it first. Exactly one of them succeeds, and
//!   brings it to the owner of the token.
//! - *released*, *failed*, *cancelled*: the token's owner alone goes on from here.
//! - *ended*: in the hands of who tells the host; it frees the record.
//!
//! Every transition names the generation, so that a stale id finds nothing: neither the counter nor the phase
//! of a record that was used again can be touched by who remembers an earlier task in it. The generation has
//! 34 bits; the record of one that would go beyond is not used again.

use rustyray_memory::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{TaskId, ids::INDEX_BITS};

/// The most that one task can wait for.
pub(crate) const MAX_PENDING: usize = (1 << 24) - 2;

const PENDING: u64 = (1 << 24) - 1;
const PHASE_SHIFT: u32 = 24;
const PHASE: u64 = 0xf << PHASE_SHIFT;
const GENERATION_SHIFT: u32 = 28;
/// So that an id has no more than [`TaskId::BITS`](crate::TaskId::BITS).
pub(crate) const LAST_GENERATION: u64 = (1 << (TaskId::BITS - INDEX_BITS)) - 1;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nobody's task.
    Free,
    /// For objects.
    Waiting,
    /// All objects are there.
    Released,
    /// One of them failed.
    Failed,
    /// Cancelled while it waited.
    Cancelled,
    /// Over; the host is being told.
    Ended,
}

impl Phase {
    fn of(word: u64) -> Phase {
        match (word & PHASE) >> PHASE_SHIFT {
            1 => Phase::Waiting,
            2 => Phase::Released,
            3 => Phase::Failed,
            4 => Phase::Cancelled,
            5 => Phase::Ended,
            _ => Phase::Free,
        }
    }

    const fn bits(self) -> u64 {
        (self as u64) << PHASE_SHIFT
    }
}

/// What came of taking something that a task waits for.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It was the last: the caller brings the task on.
    Released,
    /// There is more, or the task is past waiting.
    Not,
}

/// See the module.
#[derive(Debug)]
pub struct Gate(AtomicU64);

impl Default for Gate {
    fn default() -> Self {
        Gate::new()
    }
}

impl Gate {
    /// A free record of the first generation; zero is never one, so that an id of zero bits finds nothing.
    pub fn new() -> Self {
        Gate(AtomicU64::new(1 << GENERATION_SHIFT))
    }

    /// The generation, and the phase that it is in.
    #[inline]
    pub fn load(&self) -> (u64, Phase) {
        // Acquire: pairs with the Release of `publish`; who sees a live phase sees what was filled in.
        let word = self.0.load(Acquire);
        (word >> GENERATION_SHIFT, Phase::of(word))
    }

    /// The phase, if it is still this generation.
    #[inline]
    pub fn phase(&self, generation: u64) -> Option<Phase> {
        let (now, phase) = self.load();
        (now == generation).then_some(phase)
    }

    /// What it waits for, as of now.
    pub fn pending(&self) -> usize {
        (self.0.load(Relaxed) & PENDING) as usize
    }

    /// Free → waiting for that much, the submitter included; or released at once for nothing. By who took the
    /// record from the free list.
    #[inline]
    pub fn publish(&self, generation: u64, pending: usize) {
        debug_assert!(pending <= MAX_PENDING + 1);
        let phase = if pending == 0 { Phase::Released } else { Phase::Waiting };
        // Release: pairs with the Acquire of `load`.
        self.0.store(generation << GENERATION_SHIFT | phase.bits() | pending as u64, Release);
    }

    /// So many of what it waits for are there.
    #[inline]
    pub fn meet(&self, generation: u64, how_many: usize) -> Met {
        let mut seen = self.0.load(Relaxed);
        loop {
            if seen >> GENERATION_SHIFT != generation || Phase::of(seen) != Phase::Waiting {
                return Met::Not;
            }
            let left = (seen & PENDING).saturating_sub(how_many as u64);
            let phase = if left == 0 { Phase::Released } else { Phase::Waiting };
            let next = seen & !(PENDING | PHASE) | phase.bits() | left;
            // Release and Acquire: whoever releases the task has seen what all the others did before they
            // met theirs (each is a read-modify-write, so they form one release sequence).
            match self.0.compare_exchange_weak(seen, next, AcqRel, Relaxed) {
                Ok(_) if left == 0 => return Met::Released,
                Ok(_) => return Met::Not,
                Err(now) => seen = now,
            }
        }
    }

    /// Waiting → failed; whether it was the caller that did it, who brings the task on then.
    #[must_use]
    pub fn fail(&self, generation: u64) -> bool {
        self.leave_waiting(generation, Phase::Failed)
    }

    /// Waiting → cancelled; whether it was the caller that did it, who brings the task on then.
    #[must_use]
    pub fn cancel(&self, generation: u64) -> bool {
        self.leave_waiting(generation, Phase::Cancelled)
    }

    fn leave_waiting(&self, generation: u64, phase: Phase) -> bool {
        let mut seen = self.0.load(Relaxed);
        while seen >> GENERATION_SHIFT == generation && Phase::of(seen) == Phase::Waiting {
            let next = seen & !(PENDING | PHASE) | phase.bits();
            // AcqRel: as in `meet`.
            match self.0.compare_exchange_weak(seen, next, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Released, failed or cancelled → ended. By the token's owner.
    #[inline]
    pub fn end(&self) {
        let word = self.0.load(Relaxed);
        debug_assert!(!matches!(Phase::of(word), Phase::Free | Phase::Waiting | Phase::Ended));
        self.0.store(word & !(PENDING | PHASE) | Phase::Ended.bits(), Relaxed);
    }

    /// → free, with the next generation; `false` when there is none, and the record is used up. By who has
    /// told the host, or could not submit.
    #[inline]
    #[must_use]
    pub fn free(&self) -> bool {
        let generation = self.0.load(Relaxed) >> GENERATION_SHIFT;
        if generation == LAST_GENERATION {
            return false;
        }
        self.0.store((generation + 1) << GENERATION_SHIFT, Relaxed);
        true
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;
    use crate::ids::{join, split};

    #[test]
    fn a_record_goes_through_its_phases() {
        let gate = Gate::new();
        let (generation, phase) = gate.load();
        assert_eq!((generation, phase), (1, Phase::Free));
        gate.publish(1, 3);
        assert_eq!(gate.meet(1, 1), Met::Not);
        assert_eq!(gate.meet(2, 2), Met::Not, "another generation");
        assert_eq!(gate.meet(1, 2), Met::Released);
        assert_eq!(gate.meet(1, 1), Met::Not, "past waiting");
        assert!(!gate.fail(1) && !gate.cancel(1));
        gate.end();
        assert_eq!(gate.phase(1), Some(Phase::Ended));
        assert!(gate.free());
        assert_eq!(gate.phase(1), None);
        assert_eq!(gate.load(), (2, Phase::Free));
    }

    #[test]
    fn one_of_those_who_end_the_waiting_does() {
        let gate = Gate::new();
        gate.publish(1, 2);
        assert!(gate.fail(1));
        assert!(!gate.cancel(1));
        assert_eq!(gate.meet(1, 2), Met::Not);
        assert_eq!(gate.phase(1), Some(Phase::Failed));
    }

    #[test]
    fn a_generation_never_wraps() {
        let gate = Gate(AtomicU64::new(LAST_GENERATION << GENERATION_SHIFT));
        gate.publish(LAST_GENERATION, 0);
        gate.end();
        assert!(!gate.free());
        let largest = join((1 << INDEX_BITS) - 1, LAST_GENERATION);
        assert_eq!(largest, (1 << TaskId::BITS) - 1, "two bits are its owner's");
        assert_eq!(split(largest), ((1 << INDEX_BITS) - 1, LAST_GENERATION));
    }
}
