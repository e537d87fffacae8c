//! One slot of the object table: two cache lines, and the protocol of bits against generations.
//!
//! # Bit against generation
//! Setting a holder or pin bit and checking that the slot still holds the object are two steps, and so
//! are looking at all bits and freeing the slot. Both sides therefore announce first and look second:
//!
//! ```text
//! user:   set my bit;         read the state    (gone → take the bit back)
//! freer:  state ← freeing;    read all bits     (any set → state ← what it was)
//! ```
//!
//! All four are `SeqCst`, so they are in one order that both agree on. If the user's bit comes before
//! the freer's state, the freer sees the bit and goes back. If it comes after, the user sees *freeing*
//! (or what came of it), waits for the decision and takes its bit back when the object is gone (or when the decision does
//! not come, because the node was killed before it made it). That
//! both miss each other is the one outcome that order forbids (to announce first and look second is how Dekker's mutual
//! exclusion works). It needs no fence: each side's first step
//! is a read-modify-write ([`total_order`]).
//!
//! # Nobody forgets a dead object
//! A bit that somebody sets in vain, or drops while the freer looks, may keep the freer from freeing.
//! So whoever takes a bit back looks at all bits afterwards (`SeqCst`, both), and if none is set says
//! that the object may be dead; and the freer looks once more after it went back. Of several that drop
//! their bits at the same time, the last one in their total order sees none.
//!
//! Who may call: any process sets and clears the bits of its own client id only, and only through the
//! private entry of the slot (see [`crate::models::Entry`]); the node clears the bits of the dead.

use rustyray_memory::{
    LINE_WORDS, Memory, prefetch_for_read, prefetch_for_write,
    sync::{AtomicU64, Ordering, fence, total_order},
};

use crate::{
    ClientId, ClientSet, Inline,
    inline::InlineWords,
    place::{INLINE_BYTES, Place},
    state::{Phase, Snapshot, StateWord},
};

/// Words of one slot.
pub const SLOT_WORDS: usize = 16;

const STATE: usize = 0;
const LOCATION: usize = 1;
const LENGTH: usize = 2;
const FINGERPRINT: usize = 3;
const WAITERS: usize = 4;
const RECENCY: usize = 5;
const NESTED: usize = 6;
const OWNER: usize = 7;
const HOLDERS: usize = 8;
const PINS: usize = 12;

/// The words that have the bytes of a value which lies in the slot: of its length and type the location tells, and it is
/// never moved, so that nobody asks when it was used.
const INLINE: [usize; INLINE_BYTES / 8] = [LENGTH, FINGERPRINT, RECENCY];

/// In the word of nested references: the node keeps the object's origin.
const ORIGIN: u64 = 1 << 63;
/// In the same word: the node wants to hear of the object's end.
const WATCHED: u64 = 1 << 62;

const _: () = assert!(HOLDERS == LINE_WORDS, "the bits have a line of their own");
const _: () = assert!(PINS + 4 == SLOT_WORDS && SLOT_WORDS == 2 * LINE_WORDS);

/// One slot.
#[derive(Debug)]
pub struct Slot<'a, M> {
    memory: &'a M,
    base: usize,
}

impl<M> Clone for Slot<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Slot<'_, M> {}

/// What the header says of a value: an allegation until it is checked against the segment.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Where the bytes are, as [`crate::place::Place`] packs it.
    pub location: u64,
    /// How many there are.
    pub len_bytes: u64,
    /// The fingerprint of their type.
    pub fingerprint: u64,
}

/// What became of an attempt to hold an object.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Hold {
    /// The bit is set and the object alive.
    Held,
    /// The node has not decided for so long that it may be dead; the bit is not set.
    Undecided {
        /// See [`Hold::Gone`].
        perhaps_dead: bool,
    },
    /// The object is gone; the bit is not set.
    Gone {
        /// Taking the bit back left the slot without any: it may be dead.
        perhaps_dead: bool,
    },
}

/// What became of an attempt to pin an object.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pinned {
    /// The bit is set; header and bytes stay as they are.
    Kept,
    /// See [`Hold::Undecided`].
    Undecided {
        /// See [`Hold::Gone`].
        perhaps_dead: bool,
    },
    /// It has no value yet; the bit is not set.
    Pending {
        /// See [`Hold::Gone`].
        perhaps_dead: bool,
    },
    /// Its bytes are on disk, or on the way; the bit is not set.
    Away {
        /// See [`Hold::Gone`].
        perhaps_dead: bool,
    },
    /// The object is gone; the bit is not set.
    Gone {
        /// See [`Hold::Gone`].
        perhaps_dead: bool,
    },
}

impl<'a, M: Memory> Slot<'a, M> {
    /// The slot whose words begin at `base`.
    #[inline]
    pub fn new(memory: &'a M, base: usize) -> Self {
        Slot { memory, base }
    }

    #[inline]
    fn word(&self, index: usize) -> &'a AtomicU64 {
        self.memory.word(self.base + index)
    }

    /// Has what is known of the object brought near for somebody who will soon look at it.
    #[inline]
    pub fn approach(&self) {
        prefetch_for_read(std::ptr::from_ref(self.word(STATE)));
    }

    /// The same for somebody who will soon settle it.
    #[inline]
    pub fn approach_to_settle(&self) {
        prefetch_for_write(std::ptr::from_ref(self.word(STATE)));
    }

    /// The state word.
    #[inline]
    pub fn state(&self) -> StateWord<'a> {
        StateWord::new(self.word(STATE))
    }

    /// The header. Only the state that was loaded before says what it means.
    #[inline]
    pub fn header(&self) -> Header {
        // Relaxed: the Acquire load of the state came before, and as long as the caller's bit is set
        // (or the caller is the node's freeing thread) nobody writes.
        let location = self.word(LOCATION).load(Ordering::Relaxed);
        let (len_bytes, fingerprint) = Place::in_inline_word(location).unwrap_or_else(|| {
            let word = |index| self.word(index).load(Ordering::Relaxed);
            (word(LENGTH), word(FINGERPRINT))
        });
        Header { location, len_bytes, fingerprint }
    }

    /// Writes the header. Only in phases *sealing*, *spilling* and *restoring*, by the one who put the
    /// slot there; the transition that ends the phase publishes it.
    pub fn set_header(&self, header: Header) {
        // Release: see `read_inline`.
        fence(Ordering::Release);
        self.word(LOCATION).store(header.location, Ordering::Relaxed);
        self.word(LENGTH).store(header.len_bytes, Ordering::Relaxed);
        self.word(FINGERPRINT).store(header.fingerprint, Ordering::Relaxed);
    }

    /// Writes the header of a value of `len_bytes` that lies in the slot, and its bytes. When, and by whom: see
    /// [`Slot::set_header`].
    pub fn set_inline(&self, words: InlineWords, len_bytes: u64, fingerprint: u64) {
        debug_assert!(len_bytes <= INLINE_BYTES as u64, "a place that is none");
        // Release: see `read_inline`.
        fence(Ordering::Release);
        let location = Place::inline_word(len_bytes, fingerprint);
        self.word(LOCATION).store(location, Ordering::Relaxed);
        for (index, word) in INLINE.into_iter().zip(words) {
            self.word(index).store(word, Ordering::Relaxed);
        }
    }

    /// The bytes of the sealed object of this generation, if they are in the slot. Nothing keeps the slot as it is
    /// meanwhile: what was read is the object's if the state and the owner are the same before and after (a sequence
    /// lock, of which these two words are the sequence: the state never says the same of two objects, nor the owner of
    /// an object and of the same one made again).
    #[inline]
    pub fn read_inline(&self, generation: u64) -> Option<Inline> {
        // Acquire: before the state. Where the object was lost since, the owner is another one afterwards.
        let owner = self.word(OWNER).load(Ordering::Acquire);
        let before = self.state().load();
        if !before.is_alive(generation) || before.phase() != Phase::Sealed {
            return None;
        }
        // Relaxed, here and below: the state says afterwards whether they belong together.
        let location = self.word(LOCATION).load(Ordering::Relaxed);
        let (len_bytes, fingerprint) = Place::in_inline_word(location)?;
        let words = INLINE.map(|index| self.word(index).load(Ordering::Relaxed));
        // Acquire: pairs with the Release fences of whoever writes these words for the next object. If one of his
        // words was read, the state that he left or entered before is seen next; and the owner, who is another one
        // where this object was lost and made again.
        fence(Ordering::Acquire);
        let is_still =
            self.state().is_still(before) && self.word(OWNER).load(Ordering::Relaxed) == owner;
        is_still.then(|| Inline::new(words, len_bytes, fingerprint))
    }

    /// The bytes that are in the slot, which the caller has pinned.
    pub(crate) fn inline(&self, header: Header) -> Inline {
        let words = INLINE.map(|index| self.word(index).load(Ordering::Relaxed));
        Inline::new(words, header.len_bytes, header.fingerprint)
    }

    /// The slot that follows in a chain of granted ones.
    pub fn next(&self) -> u64 {
        self.word(FINGERPRINT).load(Ordering::Relaxed)
    }

    /// Node: chains a granted slot.
    pub fn set_next(&self, next: u64) {
        // Release: see `read_inline`.
        fence(Ordering::Release);
        self.word(FINGERPRINT).store(next, Ordering::Relaxed);
    }

    /// When the object was last pinned, in ticks of the store.
    pub fn recency(&self) -> u64 {
        self.word(RECENCY).load(Ordering::Relaxed)
    }

    /// Notes that the object, whose bytes are not in the slot, was used in this tick.
    #[inline]
    pub fn touch(&self, tick: u64) {
        let word = self.word(RECENCY);
        if word.load(Ordering::Relaxed) != tick {
            // Release: see `read_inline`.
            fence(Ordering::Release);
            word.store(tick, Ordering::Relaxed);
        }
    }

    /// How many references the node holds for this object, and what else is to be done when it ends: whether the
    /// node keeps its origin, and wants to hear of it. The node alone writes it.
    pub fn nested(&self) -> u64 {
        self.word(NESTED).load(Ordering::Relaxed)
    }

    /// How many references the node holds for this object, and nothing else.
    #[inline]
    pub fn nested_count(&self) -> u64 {
        self.nested() & !(ORIGIN | WATCHED)
    }

    /// Node: see [`Slot::nested`]. The marks stay.
    pub fn set_nested(&self, count: u64) {
        let counted = |word| Some(word & (ORIGIN | WATCHED) | count);
        let _ = self.word(NESTED).fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// Node: whether it keeps the object's origin.
    pub fn set_has_origin(&self, has_origin: bool) {
        self.set_mark(ORIGIN, has_origin);
    }

    /// Node: whether it wants to hear of the object's end.
    pub fn set_is_watched(&self) {
        self.set_mark(WATCHED, true);
    }

    /// Node: whether it wants to hear of the object's end.
    pub fn is_watched(&self) -> bool {
        self.nested() & WATCHED != 0
    }

    fn set_mark(&self, mark: u64, is_set: bool) {
        let _ = match is_set {
            true => self.word(NESTED).fetch_or(mark, Ordering::Relaxed),
            false => self.word(NESTED).fetch_and(!mark, Ordering::Relaxed),
        };
    }

    /// Who answers for the object's value while it waits for one.
    pub fn owner(&self) -> Owner {
        Owner::from_word(self.word(OWNER).load(Ordering::Acquire))
    }

    /// Names who answers for the object's value. Release: pairs with the Acquire of a reap.
    pub fn set_owner(&self, owner: Owner) {
        self.word(OWNER).store(owner.to_word(), Ordering::Release);
    }

    // ---- holders and pins -------------------------------------------------------------------------

    #[inline]
    fn bit(client: ClientId) -> (usize, u64) {
        (client.index() / 64, 1 << (client.index() % 64))
    }

    #[inline]
    fn set(&self, line: usize, client: ClientId) {
        let (word, bit) = Self::bit(client);
        // SeqCst: against the freer, see the module.
        self.word(line + word).fetch_or(bit, Ordering::SeqCst);
    }

    #[inline]
    fn clear(&self, line: usize, client: ClientId) {
        let (word, bit) = Self::bit(client);
        // SeqCst: what this client did with the object happens before whoever sees the bit gone frees it;
        // and of several that drop their bits at once, one must see none left.
        self.word(line + word).fetch_and(!bit, Ordering::SeqCst);
    }

    fn members(&self, line: usize) -> ClientSet {
        // Acquire: pairs with the release of whoever cleared its bit.
        ClientSet::from_words(std::array::from_fn(|i| self.word(line + i).load(Ordering::Acquire)))
    }

    /// The clients that refer to the object.
    pub fn holders(&self) -> ClientSet {
        self.members(HOLDERS)
    }

    /// The clients that have a view of the object.
    pub fn pins(&self) -> ClientSet {
        self.members(PINS)
    }

    /// Whether no bit is set. SeqCst: against whoever sets or clears one, see the module.
    #[inline]
    pub fn is_unreferenced(&self) -> bool {
        (HOLDERS..SLOT_WORDS).all(|i| self.word(i).load(Ordering::SeqCst) == 0)
    }

    /// Clears a bit; whether the object may be dead.
    #[inline]
    fn take_back(&self, line: usize, client: ClientId) -> bool {
        self.clear(line, client);
        total_order();
        self.is_unreferenced()
    }

    /// Sets the bit of a reservation that only this client knows of yet: nothing to re-check.
    pub fn hold_unchecked(&self, client: ClientId) {
        self.set(HOLDERS, client);
    }

    /// Sets the holder bit of `client` if the slot holds the object of this generation.
    pub fn hold(&self, generation: u64, client: ClientId) -> Hold {
        if !self.state().load().is_alive(generation) {
            return Hold::Gone { perhaps_dead: false };
        }
        self.set(HOLDERS, client);
        total_order();
        let now = self.decided();
        if now.phase() == Phase::Freeing {
            return Hold::Undecided { perhaps_dead: self.take_back(HOLDERS, client) };
        }
        if now.is_alive(generation) {
            Hold::Held
        } else {
            Hold::Gone { perhaps_dead: self.take_back(HOLDERS, client) }
        }
    }

    /// Clears the holder bit of `client`; true when the object may be dead.
    #[must_use]
    pub fn unhold(&self, client: ClientId) -> bool {
        self.take_back(HOLDERS, client)
    }

    /// Sets the pin bit of `client` if the slot holds the value or the error of this generation.
    #[inline]
    pub fn pin(&self, generation: u64, client: ClientId) -> Pinned {
        let before = self.state().load();
        if !before.is_alive(generation) {
            return Pinned::Gone { perhaps_dead: false };
        }
        if matches!(before.phase(), Phase::Reserved | Phase::Sealing) {
            return Pinned::Pending { perhaps_dead: false };
        }
        self.set(PINS, client);
        // Against the freer, see the module; and the spiller, see `spill`.
        total_order();
        let now = self.decided();
        if now.is_alive(generation) && matches!(now.phase(), Phase::Sealed | Phase::Failed) {
            return Pinned::Kept;
        }
        let perhaps_dead = self.take_back(PINS, client);
        if now.phase() == Phase::Freeing {
            Pinned::Undecided { perhaps_dead }
        } else if !now.is_alive(generation) {
            Pinned::Gone { perhaps_dead }
        } else if matches!(now.phase(), Phase::Reserved | Phase::Sealing) {
            Pinned::Pending { perhaps_dead }
        } else {
            Pinned::Away { perhaps_dead }
        }
    }

    /// Clears the pin bit of `client`; true when the object may be dead.
    #[inline]
    #[must_use]
    pub fn unpin(&self, client: ClientId) -> bool {
        self.take_back(PINS, client)
    }

    /// The state, once the node's freeing thread has decided; still *freeing* when it takes so long that the node
    /// may have been killed at it.
    #[inline]
    fn decided(&self) -> Snapshot {
        self.state().decided(self.state().load())
    }

    /// Node: the state, once the freeing thread, which is one of this process, has decided.
    pub(crate) fn settled(&self) -> Snapshot {
        loop {
            let seen = self.decided();
            if seen.phase() != Phase::Freeing {
                return seen;
            }
        }
    }

    /// Reap: clears both bits of a dead client; whether it had any.
    pub fn forget(&self, client: ClientId) -> bool {
        let (word, bit) = Self::bit(client);
        // SeqCst: of several that drop their bits at once, the reaper among them, one must see none left.
        let held = self.word(HOLDERS + word).fetch_and(!bit, Ordering::SeqCst);
        let pinned = self.word(PINS + word).fetch_and(!bit, Ordering::SeqCst);
        total_order();
        (held | pinned) & bit != 0
    }

    // ---- freeing ----------------------------------------------------------------------------------

    /// Node: takes the object out of use if nobody refers to it or views it. The caller then owns the
    /// slot in phase *freeing* and calls [`Slot::free`] with the snapshot. One that is just being sealed is left to
    /// its sealer, who so need not look at the bits himself: their line is then only where references are counted.
    pub fn begin_free(&self) -> Option<Snapshot> {
        loop {
            let seen = self.state().load();
            let can = seen.can_be_freed() || seen.phase() == Phase::Sealing;
            if !can || !self.is_unreferenced() {
                return None;
            }
            if seen.phase() == Phase::Sealing {
                if self.state().leave_to_sealer(seen) {
                    return None;
                }
                continue; // It is sealed, or waits again.
            }
            if !self.state().transition_to_freeing(seen) {
                continue; // Somebody named another attempt, seals, or frees: look again which it was.
            }
            // Against whoever sets a bit, see the module.
            total_order();
            if self.is_unreferenced() {
                return Some(seen);
            }
            self.state().transition_from_freeing(seen);
            // Whoever dropped its bit meanwhile saw *freeing* and left the object to us.
            total_order();
        }
    }

    /// Node: ends what [`Slot::begin_free`] began. True when the slot can be used again.
    #[must_use]
    pub fn free(&self, before: Snapshot) -> bool {
        // Release: see `read_inline`.
        fence(Ordering::Release);
        for index in [LOCATION, LENGTH, FINGERPRINT, WAITERS, RECENCY, NESTED, OWNER] {
            self.word(index).store(0, Ordering::Relaxed);
        }
        self.state().transition_to_free(before)
    }

    // ---- spilling ---------------------------------------------------------------------------------

    /// Node: takes a sealed object out of its place unless somebody views it. If true, the slot is in
    /// phase *spilling* and the caller's to move on; nobody relies on the location any more.
    ///
    /// ```text
    /// spiller:  state ← spilling;  read the pins    (any → state ← sealed)
    /// viewer:   set my pin bit;    read the state   (not sealed → take it back)
    /// ```
    #[must_use]
    pub fn begin_spill(&self, generation: u64) -> bool {
        if !self.state().transition_spill(generation, Phase::Sealed, Phase::Spilling) {
            return false;
        }
        // Against a viewer, see above: the pins are read after the state changed, in the one order of all
        // `SeqCst` steps.
        fence(Ordering::SeqCst);
        if self.pins().is_empty() {
            return true;
        }
        let back = self.state().transition_spill(generation, Phase::Spilling, Phase::Sealed);
        debug_assert!(back, "one thread at a time moves objects");
        false
    }

    /// Node: the object's bytes on disk are lost; it waits for a value of `attempt` again. False when the slot is
    /// not in phase *spilled*, and when its bytes were lost as often as there are numbers for.
    #[must_use]
    pub fn lose(&self, generation: u64, attempt: u16) -> bool {
        // Before the phase says that it waits: whoever sees that sees who answers for it.
        let Owner { tag, losses, .. } = self.owner();
        let losses = losses.checked_add(1);
        let (Phase::Spilled, Some(losses)) = (self.settled().phase(), losses) else {
            return false;
        };
        self.set_owner(Owner { client: None, attempt, tag, losses });
        self.leave_spilled(generation, || self.state().transition_to_lost(generation, attempt))
    }

    /// Node: takes a step from phase *spilled*, in which the caller keeps the object by a hold. False when it is in
    /// another one. Who looked at the bits before there was that hold may be about to free it, and puts it back.
    #[must_use]
    pub(crate) fn leave_spilled(&self, generation: u64, step: impl Fn() -> bool) -> bool {
        loop {
            if step() {
                return true;
            }
            let seen = self.settled();
            if !seen.is_alive(generation) || seen.phase() != Phase::Spilled {
                return false;
            }
        }
    }

    // ---- waiters ----------------------------------------------------------------------------------

    /// Asks to be woken when the object gets its value. Clients share the 64 bits (client modulo 64):
    /// a wakeup too many only makes somebody look again.
    ///
    /// ```text
    /// waiter:  set my bit;        read the state    (settled → do not wait)
    /// sealer:  state ← sealed;    read the waiters  (any → wake them)
    /// ```
    /// All four are `SeqCst`: whichever write comes first, the waiter sees the value or the sealer sees
    /// the waiter. To find the bit set is as good as setting it, since that look is in the order too.
    pub fn subscribe(&self, client: ClientId) -> Snapshot {
        let bit = 1 << (client.index() % 64);
        if self.word(WAITERS).load(Ordering::SeqCst) & bit == 0 {
            self.word(WAITERS).fetch_or(bit, Ordering::SeqCst);
        }
        total_order();
        self.state().load()
    }

    /// The sealer, after it published: who asked to be woken, bit = client modulo 64. The bits stay
    /// set until [`Slot::woken`], so that if the sealer dies in between a reap wakes them.
    #[inline]
    pub fn waiters(&self) -> u64 {
        total_order();
        // SeqCst: against a subscriber, see `subscribe`.
        self.word(WAITERS).load(Ordering::SeqCst)
    }

    /// These waiters have been woken. The caller holds the object meanwhile: in the slot's next object
    /// the same bits may be those of somebody who has only begun to wait.
    pub fn woken(&self, waiters: u64) {
        self.word(WAITERS).fetch_and(!waiters, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;
    use crate::state::EndSeal;
    use rustyray_memory::Heap;

    const CLIENT: ClientId = ClientId::new(3);

    #[test]
    fn a_granted_slot_is_not_freed_by_a_late_mark() {
        let heap = Heap::new(SLOT_WORDS);
        let slot = Slot::new(&heap, 0);
        assert!(slot.state().transition_to_granted(CLIENT));
        assert_eq!(slot.begin_free(), None, "it is in a client's stock");
        assert_eq!(slot.state().transition_to_reserved(CLIENT), Some(0));
        assert!(slot.begin_free().is_some());
    }

    #[test]
    fn what_a_freer_only_looks_at_stays_what_it_was() {
        let heap = Heap::new(SLOT_WORDS);
        let slot = Slot::new(&heap, 0);
        assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
        let _ = slot.state().transition_to_sealing(0, 0, CLIENT);
        assert_eq!(slot.state().transition_to_sealed(0, CLIENT, true), EndSeal::Sealed);
        let before = slot.begin_free().expect("nobody refers to it");
        assert_eq!(slot.state().load().phase(), Phase::Freeing);
        assert_eq!(slot.state().load().lasting_phase(), Phase::Failed);
        slot.state().transition_from_freeing(before);
        assert_eq!(slot.state().load().lasting_phase(), Phase::Failed);
    }
}

/// Who answers for an object that waits for its value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The client that reserved it and is to seal it; `None` once it belongs to a task.
    pub client: Option<ClientId>,
    /// The attempt whose seal counts.
    pub attempt: u16,
    /// What whoever reserved the object says of where it comes from.
    pub tag: u8,
    /// How often its bytes were lost: by this one tells those that it has from those that it had before.
    pub losses: u16,
}

impl Owner {
    fn to_word(self) -> u64 {
        let client = self.client.map_or(0, |client| 1 << 24 | u64::from(client.get()) << 16);
        u64::from(self.losses) << 40 | u64::from(self.tag) << 32 | client | u64::from(self.attempt)
    }

    fn from_word(word: u64) -> Self {
        let client = (word >> 24 & 1 == 1).then(|| ClientId::new((word >> 16) as u8));
        let (tag, losses) = ((word >> 32) as u8, (word >> 40) as u16);
        Owner { client, attempt: word as u16, tag, losses }
    }
}
