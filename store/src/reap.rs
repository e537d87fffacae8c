//! What a dead process leaves behind, cleared away.
//!
//! Every step is idempotent and looks at the table only, so reaping may run again after anything: the
//! dead client may have stopped between any two instructions.
//! 0. What it asked for and is still being answered is waited for; nothing more is answered.
//! 1. What it was sealing waits again; the next attempt seals it. This can be had first and by itself
//!    ([`crate::Node::put_back`]): whoever names that attempt, or fails the object, cannot while it is sealing.
//! 2. What it sealed without waking those who wait is announced again.
//! 3. Its stock of slots goes back.
//! 4. Its holder and pin bits are cleared, and whatever nobody refers to any more is freed: also what
//!    it had let go of without getting to say so.
//! 5. Its blocks are closed with the number of objects that live in them, and its extents that no
//!    object refers to are freed.
//! 6. Only then its number can be given to another process. What was its own to seal and is being sealed by another
//!    just now is remembered: if that one dies as well, it waits again, and the new owner of the number knows nothing
//!    of it.

use std::collections::{HashMap, HashSet};

use rustyray_memory::sync::Ordering;

use crate::{
    ClientId, Reaped,
    blocks::Block,
    core::{Core, Lease},
    place::Place,
    state::{Phase, Snapshot},
};

impl Core {
    /// Has what the dead client was sealing wait again.
    pub(crate) fn put_back(&self, client: ClientId) {
        if client == ClientId::NODE {
            return;
        }
        for index in self.touched_slots() {
            self.put_slot_back(index, client);
        }
    }

    fn put_slot_back(&self, index: u32, client: ClientId) {
        let slot = self.table.slot(index);
        if slot.state().load().phase() == Phase::Sealing {
            // That of a living client is left alone.
            let _ = slot.state().transition_from_sealing(client, slot.owner().attempt);
        }
    }

    /// Clears away what the dead client left.
    pub(crate) fn reap(&self, client: ClientId) -> Reaped {
        let mut reaped = Reaped::default();
        {
            let mut ledger = self.ledger.lock();
            if client == ClientId::NODE || !ledger.clients.contains(client) {
                return reaped;
            }
            ledger.leaving.insert(client);
        }
        // What it asked for last may still be under way, and is lent to it before it is cleared away.
        // Acquire: pairs with the Release at the end of each request.
        while self.serving[client.index()].load(Ordering::Acquire) != 0 {
            std::thread::yield_now();
        }
        let mut unowned = Vec::new();
        for index in self.touched_slots() {
            self.reap_slot(index, client, &mut reaped);
            let slot = self.table.slot(index);
            let key = (index, slot.state().load().generation());
            let owner = slot.owner().client;
            // As of now: one that was admitted meanwhile lives, and was before it owned anything.
            let is_gone = |owner| owner == client || !self.table.clients().contains(owner);
            if owner.is_some_and(is_gone) && self.waits_for_owner(key) {
                unowned.push(key);
            }
        }
        self.reap_memory(client);
        self.reap_strict(client);
        let mut ledger = self.ledger.lock();
        ledger.ownerless.extend(unowned);
        ledger.ownerless.retain(|&key| self.waits_for_owner(key));
        // Nobody will seal them: they were the dead client's to do, or those of one that died before it. What another
        // seals just now is looked at again when that one is reaped.
        let reserved = |&(index, generation): &(u32, u64)| {
            let phase = self.table.slot(index).state().load().lasting_phase();
            (phase == Phase::Reserved).then(|| self.geometry.id(index, generation))
        };
        reaped.orphans = ledger.ownerless.iter().filter_map(reserved).collect();
        ledger.space.forget(client.get());
        ledger.clients.remove(client);
        ledger.leaving.remove(client);
        self.table.set_clients(ledger.clients);
        reaped
    }

    /// Whether the object of this generation has no value yet, and a client to answer for it.
    fn waits_for_owner(&self, (index, generation): (u32, u64)) -> bool {
        let slot = self.table.slot(index);
        let seen = slot.state().load();
        matches!(seen.lasting_phase(), Phase::Reserved | Phase::Sealing)
            && seen.generation() == generation
            && slot.owner().client.is_some()
    }

    fn reap_slot(&self, index: u32, client: ClientId, reaped: &mut Reaped) {
        let slot = self.table.slot(index);
        let seen = slot.state().load();
        match seen.phase() {
            Phase::Free | Phase::Retired => return,
            Phase::Granted => {
                if seen.aux() == u16::from(client.get()) && slot.state().transition_to_freeing(seen)
                {
                    slot.forget(client);
                    self.end(index, seen, &mut Vec::new());
                }
                return;
            }
            Phase::Sealing => self.put_slot_back(index, client),
            Phase::Reserved => {}
            // It has a value or an error, wherever that is now: the dead client may have put it there and
            // woken nobody.
            _ => {
                let id = self.geometry.id(index, seen.generation());
                reaped.wake.extend(self.announce(id));
            }
        }
        slot.forget(client);
        reaped.freed += self.try_free(index);
    }

    fn reap_memory(&self, client: ClientId) {
        let (mut blocks, mut extents) = {
            let ledger = self.ledger.lock();
            let blocks: Vec<u32> = ledger
                .blocks
                .iter()
                .filter(|(_, lease)| lease.client == Some(client))
                .map(|(&block, _)| block)
                .collect();
            let extents: Vec<u64> = ledger
                .extents
                .iter()
                .filter(|(_, extent)| extent.client == Some(client))
                .map(|(&offset, _)| offset)
                .collect();
            (blocks, extents)
        };
        // A count holds only if nothing was freed in the block meanwhile; there is an end to that,
        // since nobody places anything there any more.
        while !blocks.is_empty() || !extents.is_empty() {
            let glances: HashMap<u32, u64> =
                blocks.iter().map(|&block| (block, self.blocks.glance(block))).collect();
            let Some(live) = self.count_live(&glances) else {
                std::thread::yield_now();
                continue;
            };
            for offset in extents.drain(..) {
                let mut ledger = self.ledger.lock();
                let Some(extent) = ledger.extents.get_mut(&offset) else { continue };
                if extent.client != Some(client) {
                    continue;
                }
                extent.client = None;
                if !live.extents.contains(&offset) {
                    ledger.free_extent(offset);
                }
            }
            blocks.retain(|&block| {
                let count = live.blocks.get(&block).copied().unwrap_or(0);
                let mut ledger = self.ledger.lock();
                let Some(lease) = ledger.blocks.get_mut(&block) else { return false };
                if lease.client != Some(client) {
                    return false;
                }
                let Some(settled) = self.blocks.settle(block, glances[&block], count) else {
                    return true;
                };
                *lease = Lease { client: None, is_open: false };
                if settled == Block::Empty {
                    ledger.take_block_back(block, &self.geometry);
                }
                false
            });
        }
    }

    /// The objects that live in each of these blocks, and all extents that an object refers to; `None`
    /// when one of them is just being freed or moved, so that it cannot be told.
    fn count_live(&self, blocks: &HashMap<u32, u64>) -> Option<Live> {
        let mut live = Live::default();
        for index in self.touched_slots() {
            let slot = self.table.slot(index);
            let seen = slot.state().load();
            let location = slot.header().location;
            match seen.phase() {
                Phase::Sealed | Phase::Failed => {
                    match Place::from_word(location) {
                        Some(Place::Extent { offset_bytes }) => {
                            live.extents.insert(offset_bytes);
                        }
                        Some(Place::Block { .. }) => {
                            let block = self.block_of(location)?;
                            *live.blocks.entry(block).or_default() += 1;
                        }
                        _ => {}
                    }
                    if slot.state().load() != seen {
                        return None;
                    }
                }
                Phase::Freeing | Phase::Spilling | Phase::Restoring => {
                    let unsettled = !is_reservation(seen)
                        && (blocks.is_empty()
                            || self.block_of(location).is_none_or(|b| blocks.contains_key(&b)));
                    if unsettled {
                        return None;
                    }
                }
                _ => {}
            }
        }
        Some(live)
    }
}

/// Whether a slot that is being freed never had a value.
fn is_reservation(seen: Snapshot) -> bool {
    seen.phase() == Phase::Freeing
        && (seen.aux() == Phase::Reserved as u16 || seen.aux() == Phase::Granted as u16)
}

#[derive(Debug, Default)]
struct Live {
    blocks: HashMap<u32, u32>,
    extents: HashSet<u64>,
}
