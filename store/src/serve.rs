//! The node's answers to its clients' rare questions.

use std::collections::HashSet;

use rustyray_memory::sync::{AtomicU32, Ordering, fence};

use crate::{
    ClientId, ObjectId, Refusal, Reply, Request,
    blocks::Block,
    core::{Core, Extent, Lease},
    geometry::{HUGE_PAGE_BYTES, MAX_NESTED, PAGE_BYTES, extent_bytes, roomy_extent_bytes},
    place::Place,
    space::LastUser,
    state::Phase,
};

/// A request that is being answered.
struct Serving<'a>(&'a AtomicU32);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of a reap, which then sees all that was lent.
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// The most slots granted at once: whoever asks waits for the node, which has to be woken where it has nothing to do.
pub(crate) const MAX_GRANT: u32 = 4096;

impl Core {
    /// Answers one request of a client.
    pub(crate) fn serve(&self, client: ClientId, request: Request) -> Reply {
        let Some(_serving) = self.begin_serving(client) else {
            return Reply::Refused(Refusal::UnknownClient);
        };
        match request {
            Request::Slots { count } => self.grant_slots(client, count.min(MAX_GRANT)),
            Request::Lease { closing } => self.lease(client, closing),
            Request::Unplace { block } => self.unplace(client, block),
            Request::Extent { len_bytes } => self.extent(client, len_bytes),
            Request::Shrink { offset_bytes, len_bytes } => {
                self.shrink(client, offset_bytes, len_bytes)
            }
            Request::GiveBack { offset_bytes, is_populated } => {
                self.give_back(client, offset_bytes, is_populated)
            }
            Request::Hold { id, attempt, offset_bytes, count } => {
                self.hold_nested(id, attempt, offset_bytes, count)
            }
            Request::Restore { id } => self.restore(id),
            Request::Usage => self.usage(),
            Request::Create { len_bytes } => self.make_strict(client, len_bytes),
            Request::Drop { key } => self.drop_strict(client, key),
            Request::Seal(seal) => self.seal_strict(client, seal),
            Request::Find { id } => self.find_strict(id),
        }
    }

    /// Counts a request of the client, whom nobody reaps meanwhile; `None` when it is not admitted, or is being
    /// reaped: what was lent to it now would never come back.
    fn begin_serving(&self, client: ClientId) -> Option<Serving<'_>> {
        let ledger = self.ledger.lock();
        if !ledger.clients.contains(client) || ledger.leaving.contains(client) {
            return None;
        }
        let serving = &self.serving[client.index()];
        // Relaxed: under the ledger's lock, as is the look of whoever reaps.
        serving.fetch_add(1, Ordering::Relaxed);
        Some(Serving(serving))
    }

    fn grant_slots(&self, client: ClientId, count: u32) -> Reply {
        // What was let go of is warm, and to be used before what was never touched.
        self.collect(usize::MAX);
        let (mut first, mut granted) = (u64::MAX, 0);
        while granted < count {
            let Some(index) = self.free_slots.pop() else { break };
            let slot = self.table.slot(index);
            slot.set_next(first);
            if slot.state().transition_to_granted(client) {
                first = index.into();
                granted += 1;
            }
        }
        if granted == 0 {
            return Reply::Refused(Refusal::TableFull);
        }
        Reply::Slots { first: first as u32, count: granted }
    }

    fn lease(&self, client: ClientId, closing: Option<(u32, u32)>) -> Reply {
        let bytes = self.geometry.block_bytes;
        if let Some((block, placed)) = closing {
            let mut ledger = self.ledger.lock();
            match ledger.blocks.get_mut(&block) {
                Some(lease) if lease.client == Some(client) && lease.is_open => {
                    lease.is_open = false
                }
                _ => return Reply::Refused(Refusal::Garbage),
            }
            if self.blocks.close(block, placed) == Block::Empty {
                ledger.take_block_back(block, &self.geometry);
            }
        }
        self.with_room(bytes, |core| {
            let mut ledger = core.ledger.lock();
            let piece = ledger.space.allocate(bytes, bytes, client.get())?;
            let block = (piece.offset_bytes / bytes) as u32;
            core.balance(&mut ledger);
            core.blocks.open(block);
            ledger.blocks.insert(block, Lease { client: Some(client), is_open: true });
            Some(Reply::Extent {
                offset_bytes: piece.offset_bytes,
                len_bytes: bytes,
                is_warm: piece.is_warm,
            })
        })
    }

    fn unplace(&self, client: ClientId, block: u32) -> Reply {
        let mut ledger = self.ledger.lock();
        if ledger.blocks.get(&block).is_none_or(|lease| lease.client != Some(client)) {
            return Reply::Refused(Refusal::Garbage);
        }
        if self.blocks.take_one(block) == Block::Empty {
            ledger.take_block_back(block, &self.geometry);
        }
        Reply::Done
    }

    fn extent(&self, client: ClientId, len_bytes: u64) -> Reply {
        let capacity_bytes = self.geometry.capacity_bytes;
        if len_bytes == 0 || len_bytes > capacity_bytes {
            return Reply::Refused(Refusal::TooLarge);
        }
        // Whole huge pages if there is room for them; if not, what is asked for.
        let roomy = roomy_extent_bytes(len_bytes);
        let wanted = extent_bytes(len_bytes).min(capacity_bytes);
        let least = len_bytes.next_multiple_of(PAGE_BYTES);
        self.with_room(least, |core| {
            let mut ledger = core.ledger.lock();
            let space = &mut ledger.space;
            let has_room = space.used_bytes() + roomy <= capacity_bytes / 2;
            let mut allocate = |len_bytes: u64| {
                let is_huge = len_bytes.is_multiple_of(HUGE_PAGE_BYTES);
                let align = if is_huge { HUGE_PAGE_BYTES } else { PAGE_BYTES };
                space.allocate(len_bytes, align, client.get())
            };
            let piece = has_room
                .then(|| allocate(roomy))
                .flatten()
                .or_else(|| allocate(wanted))
                .or_else(|| allocate(least))?;
            let len_bytes = piece.len_bytes;
            core.balance(&mut ledger);
            let extent = Extent { len_bytes, is_tight: false, client: Some(client) };
            ledger.extents.insert(piece.offset_bytes, extent);
            Some(Reply::Extent {
                offset_bytes: piece.offset_bytes,
                len_bytes,
                is_warm: piece.is_warm,
            })
        })
    }

    /// Allocates; when that fails, makes room as far as it goes and tries again.
    pub(crate) fn with_room(
        &self,
        len_bytes: u64,
        allocate: impl Fn(&Core) -> Option<Reply>,
    ) -> Reply {
        // What clients let go of is warm, and to be used before what was never touched.
        self.collect(usize::MAX);
        self.keep_below_high_water(len_bytes);
        if let Some(reply) = allocate(self) {
            return reply;
        }
        if self.take_waste_back()
            && let Some(reply) = allocate(self)
        {
            return reply;
        }
        loop {
            match self.spill_for(len_bytes) {
                Ok(true) => {}
                Ok(false) => return self.full(0),
                Err(error) => {
                    return Reply::CannotSpill { errno: error.raw_os_error().unwrap_or(0) };
                }
            }
            if let Some(reply) = allocate(self) {
                return reply;
            }
        }
    }

    /// Takes back what sealed objects were given for the sake of huge pages and do not need; whether there was
    /// any. Views do not reach it, and their writers write no more.
    pub(crate) fn take_waste_back(&self) -> bool {
        let loose: HashSet<u64> = {
            let ledger = self.ledger.lock();
            let loose = ledger.extents.iter().filter(|(_, extent)| !extent.is_tight);
            loose.map(|(&offset_bytes, _)| offset_bytes).collect()
        };
        if loose.is_empty() {
            return false;
        }
        let mut any = false;
        for slot in self.touched_slots().map(|index| self.table.slot(index)) {
            let seen = slot.state().load();
            let place = Place::from_word(slot.header().location);
            let Some(Place::Extent { offset_bytes }) = place else { continue };
            if !matches!(seen.phase(), Phase::Sealed | Phase::Failed)
                || !loose.contains(&offset_bytes)
            {
                continue;
            }
            let mut ledger = self.ledger.lock();
            // Still the same object at the same place, and so its extent: whoever frees or moves it waits for the
            // lock. (It may have been on disk in between, and come back to another place.)
            let is_still = slot.state().load() == seen;
            let header = slot.header();
            let is_there =
                Place::from_word(header.location) == Some(Place::Extent { offset_bytes });
            if !is_still || !is_there || slot.state().load() != seen {
                continue;
            }
            let Some(extent) = ledger.extents.get_mut(&offset_bytes) else { continue };
            extent.is_tight = true;
            let kept = extent_bytes(header.len_bytes.max(1));
            if kept < extent.len_bytes {
                let tail = extent.len_bytes - kept;
                extent.len_bytes = kept;
                let last = LastUser::from(extent.client);
                ledger.space.release(offset_bytes + kept, tail, last);
                any = true;
            }
        }
        any
    }

    pub(crate) fn full(&self, pinned_bytes: u64) -> Reply {
        let ledger = self.ledger.lock();
        Reply::Full {
            capacity_bytes: self.geometry.capacity_bytes,
            used_bytes: ledger.space.used_bytes(),
            pinned_bytes,
            spilled_bytes: ledger.spills.bytes(),
        }
    }

    /// The sizes that a failed put reports. Looks at all slots.
    fn usage(&self) -> Reply {
        self.full(self.pinned_bytes())
    }

    /// What is in objects that somebody has a view of. Looks at all slots.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        self.touched_slots()
            .map(|index| self.table.slot(index))
            .filter(|slot| slot.state().load().phase() == Phase::Sealed && !slot.pins().is_empty())
            .map(|slot| slot.header().len_bytes)
            // What clients said.
            .fold(0, u64::saturating_add)
    }

    fn shrink(&self, client: ClientId, offset_bytes: u64, len_bytes: u64) -> Reply {
        let mut ledger = self.ledger.lock();
        let Some(extent) = ledger.extents.get_mut(&offset_bytes) else {
            return Reply::Refused(Refusal::Garbage);
        };
        // In this order: what is longer than the extent may be too long to be rounded up.
        if extent.client != Some(client) || len_bytes > extent.len_bytes {
            return Reply::Refused(Refusal::Garbage);
        }
        let kept = len_bytes.max(1).next_multiple_of(PAGE_BYTES);
        let tail = extent.len_bytes - kept;
        extent.len_bytes = kept;
        if tail > 0 {
            let last = LastUser::Client(client.get());
            ledger.space.release(offset_bytes + kept, tail, last);
        }
        Reply::Done
    }

    fn give_back(&self, client: ClientId, offset_bytes: u64, is_populated: bool) -> Reply {
        let mut ledger = self.ledger.lock();
        if let Some(extent) = ledger.extents.get_mut(&offset_bytes) {
            if extent.client != Some(client) {
                return Reply::Refused(Refusal::Garbage);
            }
            // What has no pages is not warm for anybody: to be populated before it is used.
            extent.client = is_populated.then_some(client);
            ledger.free_extent(offset_bytes);
            return Reply::Done;
        }
        let block = (offset_bytes / self.geometry.block_bytes) as u32;
        match ledger.blocks.get_mut(&block) {
            Some(lease) if lease.client == Some(client) && lease.is_open => lease.is_open = false,
            _ => return Reply::Refused(Refusal::Garbage),
        }
        if self.blocks.close(block, 0) == Block::Empty {
            if let Some(lease) = ledger.blocks.get_mut(&block) {
                lease.client = is_populated.then_some(client);
            }
            ledger.take_block_back(block, &self.geometry);
        }
        // What is not empty, against the client's word, stays in its name and is counted at its end.
        Reply::Done
    }

    /// Takes the node's hold on each object listed at `offset_bytes`, on behalf of the container `id`
    /// that is about to be sealed. What an earlier attempt listed is dropped.
    fn hold_nested(&self, id: ObjectId, attempt: u16, offset_bytes: u64, count: u32) -> Reply {
        let Some(generation) = self.geometry.generation(id) else { return Reply::Stale(id) };
        let len_bytes = u64::from(count) * 16;
        if count > MAX_NESTED || !self.segment.contains(offset_bytes, len_bytes) {
            return Reply::Refused(Refusal::Garbage);
        }
        let mut bytes = vec![0; len_bytes as usize];
        if self.segment.read_at(offset_bytes, &mut bytes).is_err() {
            return Reply::Refused(Refusal::Garbage);
        }
        self.hold_listed(id, attempt, generation, &bytes)
    }

    /// The same for a list that was read already.
    pub(crate) fn hold_listed(
        &self,
        id: ObjectId,
        attempt: u16,
        generation: u64,
        bytes: &[u8],
    ) -> Reply {
        let count = bytes.len() / 16;
        let mut perhaps_dead = Vec::new();
        let mut held = Vec::with_capacity(count);
        let mut refusal = None;
        for pair in bytes.chunks_exact(16) {
            let word = |at: usize| {
                u64::from_le_bytes(pair[at..at + 8].try_into().expect("a chunk of eight bytes"))
            };
            let Some(inner) = ObjectId::from_words([word(0), word(8)]) else {
                refusal = Some(Reply::Refused(Refusal::Garbage));
                break;
            };
            let (result, dead) = self.retain(inner);
            perhaps_dead.extend(dead.then_some(inner.index));
            if result.is_err() || inner == id {
                if result.is_ok() {
                    held.push(inner);
                }
                refusal = Some(Reply::Stale(inner));
                break;
            }
            held.push(inner);
        }
        if refusal.is_none() {
            let slot = self.table.slot(id.index);
            let mut ledger = self.ledger.lock();
            let seen = slot.state().load();
            if !seen.is_alive(generation) {
                refusal = Some(Reply::Stale(id));
            } else if seen.phase() != Phase::Reserved {
                refusal = Some(Reply::Refused(Refusal::AlreadySealed));
            } else if seen.aux() != attempt {
                refusal = Some(Reply::Refused(Refusal::Late));
            } else {
                slot.set_nested(count as u64);
                let entry = (generation, std::mem::take(&mut held).into());
                let before = ledger.nested.insert(id.index, entry);
                held.extend(before.iter().flat_map(|(_, ids)| &**ids));
                // SeqCst: against a freer, which sets *freeing*, fences, and then reads `nested`. One
                // of us sees the other; a new generation cannot get here before the lock is let go.
                fence(Ordering::SeqCst);
                if slot.state().load() != seen {
                    let entry = ledger.nested.remove(&id.index);
                    held.extend(entry.iter().flat_map(|(_, ids)| &**ids));
                    refusal = Some(Reply::Stale(id));
                }
            }
        }
        for inner in held {
            if self.holdings.release(inner) {
                perhaps_dead.push(inner.index);
            }
        }
        for index in perhaps_dead {
            self.try_free(index);
        }
        refusal.unwrap_or(Reply::Done)
    }

    /// Whether a place that a client wrote into a slot lies in memory that is lent to somebody.
    pub(crate) fn block_of(&self, location: u64) -> Option<u32> {
        match Place::from_word(location)? {
            Place::Block { offset_bytes } => {
                Some((offset_bytes / self.geometry.block_bytes) as u32)
            }
            _ => None,
        }
    }
}
