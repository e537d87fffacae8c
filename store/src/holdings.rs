//! What one process holds: its private counts, and through them its bits in the object table.
//!
//! Every reference and view of the process goes through here, so that the shared bits are touched only
//! on 0→1 and 1→0 and in order (see [`crate::models::Entry`]).

use std::sync::Arc;

use rustyray_memory::{
    ForkGuard,
    sync::{AtomicU64, Ordering},
};

use crate::{
    ClientId, Error, ObjectId, Stale,
    chunks::Chunks,
    entry::{Entry, NotAcquired},
    lent::{self, Lent},
    slot::{Hold, Pinned},
    table::Table,
};

/// A process's part in the object table.
#[derive(Debug)]
pub(crate) struct Holdings {
    pub(crate) table: Arc<Table>,
    pub(crate) client: ClientId,
    pub(crate) fork: ForkGuard,
    entries: Chunks<Entries>,
    lent: Chunks<Lent>,
}

/// What a process knows of one slot.
#[derive(Debug, Default)]
struct Entries {
    references: Entry,
    pins: Entry,
    /// As which type the object of `checked_generation` was checked here.
    checked_type: AtomicU64,
    /// The public generation that `checked_type` is about; 0 is never issued.
    checked_generation: AtomicU64,
}

/// What came of [`Holdings::lend`].
#[derive(Copy, Clone, Debug)]
pub(crate) struct Lending {
    /// How many objects were looked at.
    pub(crate) count: usize,
    /// Those of them that have one reference more now; each other one had one lent before.
    pub(crate) lent: u64,
}

/// Why an object could not be pinned.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotPinned {
    Pending,
    Away,
    Gone,
    /// See [`NotHeld::Undecided`].
    Undecided,
}

/// Why an object could not be held.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotHeld {
    Stale(Stale),
    /// The node does not get to say whether it is gone: it may have been killed.
    Undecided,
}

impl Holdings {
    pub(crate) fn new(table: Arc<Table>, client: ClientId) -> Result<Self, Error> {
        let os = |source| Error::Os { doing: "marking a page to be wiped on fork", source };
        let fork = ForkGuard::new().map_err(os)?;
        let slots = table.geometry().max_objects as usize;
        let lent = Chunks::new(slots.div_ceil(lent::SLOTS as usize));
        Ok(Holdings { table, client, fork, entries: Chunks::new(slots), lent })
    }

    /// Counts a reference to an object that nobody else knows of yet.
    pub(crate) fn adopt(
        &self,
        index: u32,
        generation: u64,
        publish: impl FnOnce() -> bool,
    ) -> bool {
        let slot = self.table.slot(index);
        let references = &self.entries.get(index).references;
        let mut is_first = false;
        let counted = references.acquire(generation, || {
            is_first = true;
            slot.hold_unchecked(self.client);
            if publish() {
                return Ok(());
            }
            let _ = slot.unhold(self.client);
            Err(())
        });
        if counted.is_ok() && !is_first {
            // The object exists already, and somebody here refers to it: it is no new one.
            let _ = references.release(generation, || ());
        }
        counted.is_ok() && is_first
    }

    /// Counts one more reference where this process holds one; false when nothing was done.
    #[inline]
    pub(crate) fn retain_again(&self, id: ObjectId) -> bool {
        let Some(generation) = self.table.geometry().generation(id) else { return false };
        self.entries
            .peek(id.index)
            .is_some_and(|entries| entries.references.acquire_again(generation))
    }

    /// Counts one reference less where this process holds more than one; false when nothing was done.
    #[inline]
    pub(crate) fn release_one_of_many(&self, id: ObjectId) -> bool {
        let Some(generation) = self.table.geometry().generation(id) else { return false };
        self.entries.peek(id.index).is_some_and(|Entries { references, .. }| {
            references.release_one_of_many(generation)
                || references.is_counted(generation) && self.take_back(id.index)
        })
    }

    /// Takes back a reference to the slot's object that is lent, if one is.
    #[inline]
    fn take_back(&self, index: u32) -> bool {
        self.lent.peek(index / lent::SLOTS).is_some_and(|lent| lent.take_back(lent::bit_of(index)))
    }

    /// Counts one more reference to each of the first of these, in one step; how many those are, one at least. The
    /// caller knows that this process holds each of them throughout.
    pub(crate) fn lend(&self, ids: &[ObjectId]) -> Lending {
        let word = ids[0].index / lent::SLOTS;
        let (mut wanted, mut count) = (0, 0);
        for id in ids {
            let bit = lent::bit_of(id.index);
            if id.index / lent::SLOTS != word || wanted & bit != 0 {
                break;
            }
            wanted |= bit;
            count += 1;
        }
        Lending { count, lent: self.lent.get(word).lend(wanted) }
    }

    /// Counts one more reference. The second part says that `perhaps_dead` must be told.
    #[inline]
    pub(crate) fn retain(&self, id: ObjectId) -> (Result<(), NotHeld>, bool) {
        let Some(generation) = self.table.geometry().generation(id) else {
            return (Err(NotHeld::Stale(Stale::Foreign(id))), false);
        };
        let slot = self.table.slot(id.index);
        let mut dead = false;
        let entry = &self.entries.get(id.index).references;
        let result = entry.acquire(generation, || match slot.hold(generation, self.client) {
            Hold::Held => Ok(()),
            Hold::Gone { perhaps_dead } => {
                dead = perhaps_dead;
                Err(NotHeld::Stale(self.table.stale(id)))
            }
            Hold::Undecided { perhaps_dead } => {
                dead = perhaps_dead;
                Err(NotHeld::Undecided)
            }
        });
        let result = result.map_err(|why| match why {
            NotAcquired::OtherGeneration => NotHeld::Stale(self.table.stale(id)),
            NotAcquired::Refused(why) => why,
        });
        (result, dead)
    }

    /// Counts one reference less; true when the object may be dead.
    #[inline]
    #[must_use]
    pub(crate) fn release(&self, id: ObjectId) -> bool {
        let Some(generation) = self.table.geometry().generation(id) else { return false };
        let Some(entries) = self.entries.peek(id.index) else { return false };
        let slot = self.table.slot(id.index);
        let (spare, last) = (|| self.take_back(id.index), || slot.unhold(self.client));
        entries.references.release_unless(generation, spare, last).unwrap_or(false)
    }

    /// How many references this process counts.
    pub(crate) fn count(&self, id: ObjectId) -> usize {
        let Some(generation) = self.table.geometry().generation(id) else { return 0 };
        match self.entries.peek(id.index).map_or(0, |entries| entries.references.count(generation))
        {
            0 => 0,
            counted => {
                let lent = self.lent.peek(id.index / lent::SLOTS);
                let is_lent = |lent: &Lent| lent.is_lent(lent::bit_of(id.index));
                counted + usize::from(lent.is_some_and(is_lent))
            }
        }
    }

    /// Whether this process holds a reference.
    pub(crate) fn holds(&self, id: ObjectId) -> bool {
        self.table.geometry().generation(id).is_some_and(|generation| {
            self.entries
                .peek(id.index)
                .is_some_and(|entries| entries.references.is_held(generation))
        })
    }

    /// Counts one more view. The second part says that `perhaps_dead` must be told.
    #[inline]
    pub(crate) fn pin(&self, id: ObjectId) -> (Result<(), NotPinned>, bool) {
        let Some(generation) = self.table.geometry().generation(id) else {
            return (Err(NotPinned::Gone), false);
        };
        let slot = self.table.slot(id.index);
        let mut dead = false;
        let result = self.entries.get(id.index).pins.acquire(generation, || {
            let (why, perhaps_dead) = match slot.pin(generation, self.client) {
                Pinned::Kept => return Ok(()),
                Pinned::Pending { perhaps_dead } => (NotPinned::Pending, perhaps_dead),
                Pinned::Away { perhaps_dead } => (NotPinned::Away, perhaps_dead),
                Pinned::Gone { perhaps_dead } => (NotPinned::Gone, perhaps_dead),
                Pinned::Undecided { perhaps_dead } => (NotPinned::Undecided, perhaps_dead),
            };
            dead = perhaps_dead;
            Err(why)
        });
        let result = result.map_err(|why| match why {
            NotAcquired::OtherGeneration => NotPinned::Gone,
            NotAcquired::Refused(why) => why,
        });
        (result, dead)
    }

    /// Counts one view less; true when the object may be dead.
    #[inline]
    #[must_use]
    pub(crate) fn unpin(&self, id: ObjectId) -> bool {
        let Some(generation) = self.table.geometry().generation(id) else { return false };
        let Some(entries) = self.entries.peek(id.index) else { return false };
        let slot = self.table.slot(id.index);
        entries.pins.release(generation, || slot.unpin(self.client)).unwrap_or(false)
    }

    /// Whether this process has checked the object, which the caller has pinned, as a `type_key`.
    #[inline]
    pub(crate) fn is_checked(&self, id: ObjectId, type_key: u64) -> bool {
        self.entries.peek(id.index).is_some_and(|entries| {
            // Acquire: pairs with the Release below, so that the type read next was stored for this
            // generation. While the caller has the object pinned nobody stores for another one.
            entries.checked_generation.load(Ordering::Acquire) == id.generation
                && entries.checked_type.load(Ordering::Relaxed) == type_key
        })
    }

    /// Notes that the object, which the caller has pinned, is a valid `type_key`.
    pub(crate) fn set_checked(&self, id: ObjectId, type_key: u64) {
        let entries = self.entries.get(id.index);
        entries.checked_type.store(type_key, Ordering::Relaxed);
        // Release: pairs with the Acquire above.
        entries.checked_generation.store(id.generation, Ordering::Release);
    }
}
