//! The node's private side: what is free, what is lent to whom, and how an object ends.
//!
//! Everything here is private memory of the node's process, whose death ends the store, so it needs no
//! care for crashes. `ledger` is the one lock, taken for blocks, extents, nested references and spilled
//! objects; freeing or reserving a small object takes none.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use rustyray_memory::sync::AtomicU32;

use crate::{
    ClientId, ClientSet, Geometry, ObjectId, Stale, Wake,
    blocks::{Block, Blocks},
    endings::Endings,
    fault,
    holdings::{Holdings, NotHeld},
    origin::{Origins, Recovery},
    place::Place,
    reserve::Reserve,
    segment::Segment,
    slot::Header,
    space::{LastUser, Space},
    spill::Spills,
    state::{Phase, Snapshot},
    stock::FreeSlots,
    strict::Files,
    table::Table,
};

/// The node's private side.
pub(crate) struct Core {
    pub(crate) geometry: Geometry,
    pub(crate) table: Arc<Table>,
    pub(crate) segment: Arc<Segment>,
    /// The references and views of the node's own process, containers' holds included.
    pub(crate) holdings: Arc<Holdings>,
    pub(crate) free_slots: FreeSlots,
    pub(crate) blocks: Blocks,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) wake: OnceLock<Arc<dyn Wake>>,
    /// Whom to tell of objects whose files are lost.
    pub(crate) recovery: OnceLock<Arc<dyn Recovery>>,
    /// How many requests of each client are being answered.
    pub(crate) serving: Box<[AtomicU32]>,
    pub(crate) water: Option<Water>,
    /// Under which strict objects on disk are summed.
    pub(crate) spill_key: [u8; 16],
    /// What is made ready ahead of its use.
    pub(crate) reserve: Reserve,
    pub(crate) endings: Endings,
    /// Held while an object moves between memory and disk.
    pub(crate) moving: Mutex<()>,
}

/// When to spill.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Water {
    pub(crate) high_bytes: u64,
    pub(crate) low_bytes: u64,
}

/// What is lent to whom.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) space: Space,
    /// Memory of large objects: offset → length and the client that asked for it.
    pub(crate) extents: BTreeMap<u64, Extent>,
    /// Blocks in use.
    pub(crate) blocks: HashMap<u32, Lease>,
    /// What a container holds: its generation and the objects.
    pub(crate) nested: HashMap<u32, (u64, Arc<[ObjectId]>)>,
    pub(crate) clients: ClientSet,
    /// Those of them that are being reaped.
    pub(crate) leaving: ClientSet,
    /// Objects without a value whose owners are dead, by slot and generation: an owner's number goes to another
    /// process, which does not answer for them.
    pub(crate) ownerless: BTreeSet<(u32, u64)>,
    pub(crate) spills: Spills,
    pub(crate) files: Files,
    pub(crate) origins: Origins,
}

/// Memory of one large object.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) len_bytes: u64,
    /// No more than the object needs: nothing was given for the sake of huge pages, or it was taken back.
    pub(crate) is_tight: bool,
    /// Who asked for it; `None` once that client is dead.
    pub(crate) client: Option<ClientId>,
}

/// A block in use.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Lease {
    /// Who writes it; `None` once that client is dead.
    pub(crate) client: Option<ClientId>,
    pub(crate) is_open: bool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

impl Core {
    /// Frees the object of the slot if nobody refers to it or views it, and everything that only it
    /// held. How many objects that were.
    pub(crate) fn try_free(&self, index: u32) -> usize {
        let mut freed = 0;
        let mut next = Some(index);
        let mut more = Vec::new();
        while let Some(index) = next {
            if let Some(before) = self.table.slot(index).begin_free() {
                fault::point("free.begun");
                self.end(index, before, &mut more);
                freed += 1;
            }
            next = more.pop();
        }
        freed
    }

    /// Counts one more reference of the node. The second part says that it is to be tried to free the object.
    pub(crate) fn retain(&self, id: ObjectId) -> (Result<(), Stale>, bool) {
        let mut perhaps_dead = false;
        loop {
            let (result, dead) = self.holdings.retain(id);
            perhaps_dead |= dead;
            match result {
                Ok(()) => return (Ok(()), perhaps_dead),
                Err(NotHeld::Stale(stale)) => return (Err(stale), perhaps_dead),
                // Another thread of this process decides.
                Err(NotHeld::Undecided) => {}
            }
        }
    }

    /// The object is gone: gives back its memory, its holds, and its slot.
    pub(crate) fn end(&self, index: u32, before: Snapshot, perhaps_dead: &mut Vec<u32>) {
        let slot = self.table.slot(index);
        match before.phase() {
            Phase::Sealed | Phase::Failed => self.free_memory(index, slot.header()),
            Phase::Spilled => self.ledger.lock().spills.remove(index),
            _ => {}
        }
        let is_watched = slot.is_watched();
        if slot.nested() != 0 {
            self.drop_held(index, perhaps_dead);
        }
        if slot.free(before) {
            self.free_slots.push(index);
        }
        if is_watched {
            self.tell_of_end(self.geometry.id(index, before.generation()));
        }
    }

    /// Drops what the container in the slot holds, and its origin.
    fn drop_held(&self, index: u32, perhaps_dead: &mut Vec<u32>) {
        let origin = self.ledger.lock().origins.remove(index);
        self.table.slot(index).set_has_origin(false);
        self.let_go(origin, perhaps_dead);
        self.drop_nested(index, perhaps_dead);
    }

    /// Drops what the container in the slot holds.
    pub(crate) fn drop_nested(&self, index: u32, perhaps_dead: &mut Vec<u32>) {
        let dropped = self.ledger.lock().nested.remove(&index);
        self.table.slot(index).set_nested(0);
        for &id in dropped.iter().flat_map(|(_, ids)| &**ids) {
            if self.holdings.release(id) {
                perhaps_dead.push(id.index);
            }
        }
    }

    /// What the container holds, which the caller has pinned.
    pub(crate) fn nested_of(&self, container: ObjectId) -> Option<Arc<[ObjectId]>> {
        let generation = self.geometry.generation(container)?;
        let ledger = self.ledger.lock();
        let (of, ids) = ledger.nested.get(&container.index)?;
        (*of == generation).then(|| Arc::clone(ids))
    }

    /// Gives back the memory of a value.
    pub(crate) fn free_memory(&self, index: u32, header: Header) {
        if self.geometry.is_strict {
            // Whatever the slot says.
            return self.free_strict(index);
        }
        match Place::from_word(header.location) {
            Some(Place::File { .. }) => self.free_strict(index),
            Some(Place::Block { offset_bytes }) => {
                let block = (offset_bytes / self.geometry.block_bytes) as u32;
                if self.blocks.take_one(block) == Block::Empty {
                    self.ledger.lock().take_block_back(block, &self.geometry);
                }
            }
            Some(Place::Extent { offset_bytes }) => {
                self.ledger.lock().free_extent(offset_bytes);
            }
            Some(Place::Empty | Place::Inline { .. }) | None => {}
        }
    }

    /// After memory was lent or a file was made: has fresh memory follow, and gives free memory back to the
    /// system where it and the files of strict objects are more than the store may have.
    pub(crate) fn balance(&self, ledger: &mut Ledger) {
        self.reserve.follow(ledger.space.warm_bytes());
        if ledger.space.has_files() && self.reserve.end() {
            self.give_reserve_back(ledger);
        }
        for (offset_bytes, len_bytes) in ledger.space.cool() {
            self.segment.punch(offset_bytes, len_bytes);
        }
    }

    /// Frees up to `limit` of the objects that clients marked as perhaps dead.
    pub(crate) fn collect(&self, limit: usize) -> usize {
        let mut freed = 0;
        self.table.dead().take(limit, |index| freed += self.try_free(index));
        freed
    }

    /// After an object was settled: marks it for those who wait and wakes them.
    pub(crate) fn announce(&self, id: ObjectId) -> ClientSet {
        let slot = self.table.slot(id.index);
        if slot.waiters() == 0 {
            return ClientSet::EMPTY;
        }
        // Only while it is held is it sure that these wait for this object, and not for the slot's next.
        let (held, dead) = self.retain(id);
        let mut clients = ClientSet::EMPTY;
        if held.is_ok() {
            let waiters = slot.waiters();
            clients = self.table.announce(id.index, waiters);
            if let Some(wake) = self.wake.get() {
                wake.wake(clients);
            }
            slot.woken(waiters);
        }
        if dead || held.is_ok() && self.holdings.release(id) {
            self.try_free(id.index);
        }
        clients
    }

    /// Slots that have ever been in use.
    pub(crate) fn touched_slots(&self) -> std::ops::Range<u32> {
        0..self.free_slots.touched()
    }
}

impl Ledger {
    /// A closed block in which nothing lives any more.
    pub(crate) fn take_block_back(&mut self, block: u32, geometry: &Geometry) {
        if let Some(lease) = self.blocks.remove(&block) {
            let offset_bytes = u64::from(block) * geometry.block_bytes;
            let last = LastUser::from(lease.client);
            self.space.release(offset_bytes, geometry.block_bytes, last);
        }
    }

    /// The memory of a large object; whether there was any at that place.
    pub(crate) fn free_extent(&mut self, offset_bytes: u64) -> bool {
        let Some(extent) = self.extents.remove(&offset_bytes) else { return false };
        let last = LastUser::from(extent.client);
        self.space.release(offset_bytes, extent.len_bytes, last);
        true
    }
}
