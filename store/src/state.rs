//! The state word of a slot: in which phase of its life the slot is, and whose turn it is.
//!
//! ```text
//! bits 0..4    phase
//! bits 4..20   aux: the attempt (reserved), the client (granted, sealing), with a mark when nobody refers to
//!              the object any more (sealing), the phase to go back to (freeing)
//! bits 20..60  generation, counted from the session's base
//! ```
//!
//! ```text
//!        ┌──────────────────────────────────────────────────────────────────┐
//!        ▼                                                                  │ next generation
//!      free ──► granted ──► reserved ◄──► sealing ──► sealed | failed ──► freeing ──► retired
//!        └─────────────────────▲ │                     │  ▲               ▲ ▲
//!           (the node itself)    └─────────────────────┼──┼───────────────┘ │
//!                                              spilling ──► spilled ────────┘
//!                                                      ▲       ▼   └──► reserved
//!                                                      └── restoring      (lost)
//! ```
//!
//! What each phase obliges its holder to:
//! - *free*: the node's; nobody else may touch the slot but to set a bit and take it back.
//! - *granted*: in the stock of client `aux`, which alone may reserve it.
//! - *reserved*: waits for the seal of attempt `aux`.
//! - *sealing*: client `aux` alone writes the header, and sees to an object that was left to it meanwhile; if it
//!   dies, reaping puts the slot back.
//! - *sealed*, *failed*: header and bytes do not change as long as a bit is set.
//! - *freeing*: one thread of the node looks whether any bit is set, then frees or goes back.
//! - *spilling*, *restoring*: one thread of the node moves the bytes; nobody may rely on the location.
//! - *spilled*: the bytes are on disk. If they prove lost, the object is reserved again for the attempt that is
//!   to make them anew: it was settled, and waits once more.
//! - *retired*: all generations are used up; the slot is never used again.
//!
//! Invariant: every change of the word is a compare-and-swap from the exact value seen, so a word that
//! went on (other generation, other attempt) never changes by accident.

use rustyray_memory::sync::{AtomicU64, LOOM, Ordering};

use crate::ClientId;

/// Generations that one slot goes through before it retires.
pub const GENERATIONS: u64 = if LOOM { 3 } else { 1 << 39 };

const PHASE_BITS: u32 = 4;
const AUX_BITS: u32 = 16;
const GENERATION_BITS: u32 = 40;

/// In `aux` of a slot that is being sealed: nobody refers to the object.
const LEFT: u16 = 1 << 8;

const _: () = assert!(PHASE_BITS + AUX_BITS + GENERATION_BITS <= u64::BITS);
const _: () = assert!(GENERATIONS <= 1 << GENERATION_BITS);

/// Where a slot is in its life.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Unused.
    Free = 0,
    /// In a client's stock.
    Granted = 1,
    /// Waits for its value.
    Reserved = 2,
    /// A client is writing the header.
    Sealing = 3,
    /// Has a value.
    Sealed = 4,
    /// Has an error.
    Failed = 5,
    /// The node is looking whether it may be freed.
    Freeing = 6,
    /// The node is moving the bytes to disk.
    Spilling = 7,
    /// The bytes are on disk.
    Spilled = 8,
    /// The node is bringing the bytes back.
    Restoring = 9,
    /// Used up.
    Retired = 10,
}

const PHASES: [Phase; 11] = [
    Phase::Free,
    Phase::Granted,
    Phase::Reserved,
    Phase::Sealing,
    Phase::Sealed,
    Phase::Failed,
    Phase::Freeing,
    Phase::Spilling,
    Phase::Spilled,
    Phase::Restoring,
    Phase::Retired,
];

/// What the state word said at one moment.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Snapshot(u64);

impl Snapshot {
    const fn new(phase: Phase, aux: u16, generation: u64) -> Self {
        Snapshot(phase as u64 | (aux as u64) << PHASE_BITS | generation << (PHASE_BITS + AUX_BITS))
    }

    /// The phase; a word that no process of ours wrote reads as retired, which nobody touches.
    #[inline]
    pub fn phase(self) -> Phase {
        let number = (self.0 & ((1 << PHASE_BITS) - 1)) as usize;
        PHASES.get(number).copied().unwrap_or(Phase::Retired)
    }

    /// The attempt, client or phase that goes with the phase.
    pub fn aux(self) -> u16 {
        (self.0 >> PHASE_BITS) as u16
    }

    /// The generation, counted from the session's base.
    #[inline]
    pub fn generation(self) -> u64 {
        self.0 >> (PHASE_BITS + AUX_BITS) & ((1 << GENERATION_BITS) - 1)
    }

    /// Whether the slot holds the object of this generation, in whatever phase.
    #[inline]
    pub fn is_alive(self, generation: u64) -> bool {
        self.generation() == generation
            && !matches!(self.phase(), Phase::Free | Phase::Granted | Phase::Retired)
    }

    /// The phase, looking through *freeing* at the one that it came from and may go back to.
    #[inline]
    pub fn lasting_phase(self) -> Phase {
        match self.phase() {
            Phase::Freeing => PHASES.get(self.aux() as usize).copied().unwrap_or(Phase::Retired),
            phase => phase,
        }
    }

    /// Whether the freeing thread may take the object out of use. A granted slot is none: it is in a
    /// client's stock, which would then have it twice.
    #[inline]
    pub(crate) fn can_be_freed(self) -> bool {
        matches!(self.phase(), Phase::Reserved | Phase::Sealed | Phase::Failed | Phase::Spilled)
    }

    fn with(self, phase: Phase, aux: u16) -> Snapshot {
        Snapshot::new(phase, aux, self.generation())
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({}) of generation {}", self.phase(), self.aux(), self.generation())
    }
}

/// What became of an attempt to begin sealing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum BeginSeal {
    /// The caller writes the header now, and finishes.
    Begun,
    /// Another attempt is the current one.
    Late {
        /// That attempt.
        current: u16,
    },
    /// It is sealed, or being sealed.
    Sealed,
    /// The object is gone.
    Gone,
    /// The node has not decided whether it is gone for so long that it may be dead.
    Undecided,
}

/// What became of a seal that had begun.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum EndSeal {
    /// It is sealed.
    Sealed,
    /// It is sealed, and nobody referred to it when somebody looked: it may be dead.
    Left,
    /// The slot was taken from the client, which only happens to one that was declared dead.
    Taken,
}

/// What became of naming a new attempt.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rename {
    /// Only the new attempt can seal now.
    Renamed,
    /// A client is sealing this instant.
    Sealing,
    /// It is sealed.
    Sealed,
    /// The object is gone.
    Gone,
}

/// The state word of one slot.
#[derive(Copy, Clone, Debug)]
pub struct StateWord<'a>(&'a AtomicU64);

impl<'a> StateWord<'a> {
    /// The word, seen as a state.
    pub fn new(word: &'a AtomicU64) -> Self {
        StateWord(word)
    }

    /// What it says now. SeqCst: in the order of the bits that were set or cleared before (see
    /// [`crate::models::Slot`]); and it acquires from whoever finished sealing or moving, so that the
    /// header read afterwards is the one that belongs to this state.
    #[inline]
    pub fn load(self) -> Snapshot {
        Snapshot(self.0.load(Ordering::SeqCst))
    }

    /// Whether it says the same as before. Whoever asks has set a fence between what he read and this, which is all
    /// the order that it takes. Acquire, where Relaxed would do: loom has a relaxed load read what the fences rule out.
    #[inline]
    pub(crate) fn is_still(self, seen: Snapshot) -> bool {
        self.0.load(Ordering::Acquire) == seen.0
    }

    /// What it says once the node's freeing thread has decided, where that looks at it just now; *freeing* when the
    /// decision does not come: whoever waits asks then whether the node lives.
    #[inline]
    pub(crate) fn decided(self, mut seen: Snapshot) -> Snapshot {
        for _ in 0..PATIENCE {
            if seen.phase() != Phase::Freeing {
                break;
            }
            pause();
            seen = self.load();
        }
        seen
    }

    /// SeqCst: in the order of the bits and waiters that are read after; and it acquires the header of the
    /// state left and releases that of the state entered.
    #[inline]
    fn swap(self, from: Snapshot, to: Snapshot) -> Result<(), Snapshot> {
        self.0
            .compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::SeqCst)
            .map(|_| ())
            .map_err(Snapshot)
    }

    /// Node: puts a free slot into the stock of `client`. False when it is not free.
    #[must_use]
    pub fn transition_to_granted(self, client: ClientId) -> bool {
        let seen = self.load();
        seen.phase() == Phase::Free
            && self.swap(seen, seen.with(Phase::Granted, client.get().into())).is_ok()
    }

    /// The client whose stock it is in, or the node with a free slot: an object waits for its value.
    /// Its generation; `None` when the slot is in no such phase.
    #[must_use]
    pub fn transition_to_reserved(self, client: ClientId) -> Option<u64> {
        let seen = self.load();
        let ours = match seen.phase() {
            Phase::Free => client == ClientId::NODE,
            Phase::Granted => seen.aux() == u16::from(client.get()),
            _ => false,
        };
        (ours && self.swap(seen, seen.with(Phase::Reserved, 0)).is_ok()).then(|| seen.generation())
    }

    /// Claims the right to write the header.
    pub fn transition_to_sealing(
        self,
        generation: u64,
        attempt: u16,
        client: ClientId,
    ) -> BeginSeal {
        let mut seen = self.load();
        loop {
            if !seen.is_alive(generation) {
                return BeginSeal::Gone;
            }
            match seen.phase() {
                Phase::Reserved if seen.aux() == attempt => {}
                Phase::Reserved => return BeginSeal::Late { current: seen.aux() },
                // Nobody refers to it as far as the node can see; wait for what it decides.
                Phase::Freeing => {
                    seen = self.decided(seen);
                    if seen.phase() == Phase::Freeing {
                        return BeginSeal::Undecided;
                    }
                    continue;
                }
                _ => return BeginSeal::Sealed,
            }
            match self.swap(seen, seen.with(Phase::Sealing, client.get().into())) {
                Ok(()) => return BeginSeal::Begun,
                Err(now) => seen = now,
            }
        }
    }

    /// The sealing client: publishes the header.
    pub fn transition_to_sealed(self, generation: u64, client: ClientId, failed: bool) -> EndSeal {
        let phase = if failed { Phase::Failed } else { Phase::Sealed };
        let to = Snapshot::new(phase, 0, generation);
        for (mark, end) in [(0, EndSeal::Sealed), (LEFT, EndSeal::Left)] {
            let aux = u16::from(client.get()) | mark;
            if self.swap(Snapshot::new(Phase::Sealing, aux, generation), to).is_ok() {
                return end;
            }
        }
        EndSeal::Taken
    }

    /// Node: leaves an object to whoever is sealing it, since nobody refers to it any more. False when the word
    /// says something else by now.
    #[must_use]
    pub(crate) fn leave_to_sealer(self, seen: Snapshot) -> bool {
        let left = seen.with(Phase::Sealing, seen.aux() | LEFT);
        seen == left || self.swap(seen, left).is_ok()
    }

    /// Reap: the client that was sealing is dead; the object waits again.
    #[must_use]
    pub fn transition_from_sealing(self, client: ClientId, attempt: u16) -> bool {
        let mut seen = self.load();
        while seen.phase() == Phase::Sealing && seen.aux() & !LEFT == u16::from(client.get()) {
            match self.swap(seen, seen.with(Phase::Reserved, attempt)) {
                Ok(()) => return true,
                // It was left to the dead client just now.
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Node: from now on only `attempt` can seal.
    pub fn transition_to_attempt(self, generation: u64, attempt: u16) -> Rename {
        let mut seen = self.load();
        loop {
            if !seen.is_alive(generation) {
                return Rename::Gone;
            }
            match seen.phase() {
                Phase::Reserved => {}
                Phase::Sealing => return Rename::Sealing,
                Phase::Freeing => {
                    pause();
                    seen = self.load();
                    continue;
                }
                _ => return Rename::Sealed,
            }
            match self.swap(seen, seen.with(Phase::Reserved, attempt)) {
                Ok(()) => return Rename::Renamed,
                Err(now) => seen = now,
            }
        }
    }

    /// Node: stops everybody who would begin to rely on the object, to look whether anybody does.
    #[must_use]
    pub fn transition_to_freeing(self, seen: Snapshot) -> bool {
        let can = seen.can_be_freed() || seen.phase() == Phase::Granted;
        can && self.swap(seen, seen.with(Phase::Freeing, seen.phase() as u16)).is_ok()
    }

    /// The freeing thread: somebody does rely on it; back to what it was.
    pub fn transition_from_freeing(self, before: Snapshot) {
        let from = before.with(Phase::Freeing, before.phase() as u16);
        let swapped = self.swap(from, before);
        debug_assert!(swapped.is_ok(), "only the freeing thread moves a slot on");
    }

    /// The freeing thread: the object is gone. True when the slot can be used again.
    #[must_use]
    pub fn transition_to_free(self, before: Snapshot) -> bool {
        let from = before.with(Phase::Freeing, before.phase() as u16);
        let next = before.generation() + 1;
        let retires = next >= GENERATIONS;
        let to = if retires {
            before.with(Phase::Retired, 0)
        } else {
            Snapshot::new(Phase::Free, 0, next)
        };
        let swapped = self.swap(from, to);
        debug_assert!(swapped.is_ok(), "only the freeing thread moves a slot on");
        !retires
    }

    /// Node: the bytes on disk are lost; from now on `attempt` can seal. False when the slot is not in phase
    /// *spilled*.
    #[must_use]
    pub fn transition_to_lost(self, generation: u64, attempt: u16) -> bool {
        let from = Snapshot::new(Phase::Spilled, 0, generation);
        self.swap(from, from.with(Phase::Reserved, attempt)).is_ok()
    }

    /// Node: moves between the phases of spilling. False when the slot is not in phase `from` any more.
    #[must_use]
    pub fn transition_spill(self, generation: u64, from: Phase, to: Phase) -> bool {
        let from = Snapshot::new(from, 0, generation);
        self.swap(from, from.with(to, 0)).is_ok()
    }
}

/// So often it is waited a moment for the node to decide before it is asked whether it lives: a thread of it that is
/// put aside at its decision is most often back by then.
const PATIENCE: u32 = 10_000;

/// Waits a moment for a thread of the node that decides within a handful of instructions.
pub(crate) fn pause() {
    #[cfg(rustyray_loom)]
    loom::thread::yield_now();
    #[cfg(not(rustyray_loom))]
    std::thread::yield_now();
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    const CLIENT: ClientId = ClientId::new(7);

    #[test]
    fn a_slot_goes_through_its_life_and_begins_the_next_generation() {
        let word = AtomicU64::new(0);
        let state = StateWord::new(&word);
        assert!(state.transition_to_granted(CLIENT));
        assert_eq!(state.transition_to_reserved(ClientId::new(8)), None);
        assert_eq!(state.transition_to_reserved(CLIENT), Some(0));
        assert_eq!(state.transition_to_sealing(0, 0, CLIENT), BeginSeal::Begun);
        assert_eq!(state.transition_to_sealing(0, 0, CLIENT), BeginSeal::Sealed);
        assert_eq!(state.transition_to_sealed(0, CLIENT, false), EndSeal::Sealed);
        let sealed = state.load();
        assert!(state.transition_to_freeing(sealed));
        assert!(!state.transition_to_freeing(sealed));
        state.transition_from_freeing(sealed);
        assert_eq!(state.load(), sealed);
        assert!(state.transition_to_freeing(sealed));
        assert!(state.transition_to_free(sealed));
        assert_eq!((state.load().phase(), state.load().generation()), (Phase::Free, 1));
        assert_eq!(state.transition_to_sealing(0, 0, CLIENT), BeginSeal::Gone);
    }

    #[test]
    fn only_the_current_attempt_seals() {
        let word = AtomicU64::new(0);
        let state = StateWord::new(&word);
        assert_eq!(state.transition_to_reserved(ClientId::NODE), Some(0));
        assert_eq!(state.transition_to_attempt(0, 2), Rename::Renamed);
        assert_eq!(state.transition_to_sealing(0, 1, CLIENT), BeginSeal::Late { current: 2 });
        assert_eq!(state.transition_to_sealing(0, 2, CLIENT), BeginSeal::Begun);
        assert_eq!(state.transition_to_attempt(0, 3), Rename::Sealing);
        assert!(state.transition_from_sealing(CLIENT, 2));
        assert_eq!(state.transition_to_sealed(0, CLIENT, false), EndSeal::Taken);
        assert_eq!(state.transition_to_attempt(0, 3), Rename::Renamed);
    }

    #[test]
    fn what_was_lost_waits_for_the_attempt_that_makes_it_again() {
        let word = AtomicU64::new(Snapshot::new(Phase::Sealed, 0, 0).0);
        let state = StateWord::new(&word);
        assert!(!state.transition_to_lost(0, 5), "it is in memory");
        assert!(state.transition_spill(0, Phase::Sealed, Phase::Spilling));
        assert!(state.transition_spill(0, Phase::Spilling, Phase::Spilled));
        assert!(state.transition_to_lost(0, 5));
        assert!(!state.transition_to_lost(0, 6), "it waits already");
        assert_eq!(state.transition_to_sealing(0, 0, CLIENT), BeginSeal::Late { current: 5 });
        assert_eq!(state.transition_to_attempt(0, 1), Rename::Renamed);
        assert_eq!(state.transition_to_sealing(0, 1, CLIENT), BeginSeal::Begun);
    }

    #[test]
    fn a_slot_retires_with_its_last_generation() {
        let last = GENERATIONS - 1;
        let word = AtomicU64::new(Snapshot::new(Phase::Free, 0, last).0);
        let state = StateWord::new(&word);
        assert_eq!(state.transition_to_reserved(ClientId::NODE), Some(last));
        let seen = state.load();
        assert!(state.transition_to_freeing(seen));
        assert!(!state.transition_to_free(seen));
        assert_eq!(state.load().phase(), Phase::Retired);
        assert_eq!(state.transition_to_reserved(ClientId::NODE), None);
    }
}
