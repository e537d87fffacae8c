//! Reaping: a client that dies at any step of sealing leaves an object that is sealed and announced, or one
//! that waits for the next attempt; nobody sleeps on, and nothing that nobody refers to is forgotten.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{BeginSeal, EndSeal, Header, Phase, Rename, SLOT_WORDS, Slot},
};

const DEAD: ClientId = ClientId::new(1);
const LIVING: ClientId = ClientId::new(65);

/// A slot that an object is reserved in, to which these refer.
fn reserved_for(holders: &[ClientId]) -> Arc<Heap> {
    let heap = Arc::new(Heap::new(SLOT_WORDS));
    let slot = Slot::new(&*heap, 0);
    holders.iter().for_each(|&holder| slot.hold_unchecked(holder));
    assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
    heap
}

fn collect(slot: Slot<'_, Heap>) -> bool {
    slot.begin_free().is_some_and(|before| {
        assert!(slot.free(before));
        true
    })
}

/// The dead client's steps, up to its death.
fn seal_until(slot: Slot<'_, Heap>, steps: usize) {
    if steps >= 1 {
        assert_eq!(slot.state().transition_to_sealing(0, 0, DEAD), BeginSeal::Begun);
    }
    if steps >= 2 {
        slot.set_header(Header { location: 1, len_bytes: 1, fingerprint: 1 });
    }
    if steps >= 3 {
        assert_eq!(slot.state().transition_to_sealed(0, DEAD, false), EndSeal::Sealed);
    }
}

/// The first that is done after a death, before the next attempt is named.
fn put_back(slot: Slot<'_, Heap>) {
    if slot.state().load().phase() == Phase::Sealing {
        let _ = slot.state().transition_from_sealing(DEAD, slot.owner().attempt);
    }
}

/// What reaping does to a slot, in its order; whether it woke anybody.
fn reap(slot: Slot<'_, Heap>) -> bool {
    let mut woke = false;
    match slot.state().load().phase() {
        Phase::Sealing => put_back(slot),
        Phase::Sealed => woke = slot.waiters() != 0,
        _ => {}
    }
    slot.forget(DEAD);
    if slot.is_unreferenced() {
        collect(slot);
    }
    woke
}

#[test]
fn a_death_at_any_step_of_sealing_leaves_nobody_asleep_and_nothing_forgotten() {
    for steps in 0..=3 {
        loom::model(move || {
            let heap = reserved_for(&[DEAD, LIVING]);
            let slot = Slot::new(&*heap, 0);
            let dying = {
                let heap = Arc::clone(&heap);
                thread::spawn(move || {
                    let slot = Slot::new(&*heap, 0);
                    seal_until(slot, steps);
                    reap(slot)
                })
            };
            let pending =
                matches!(slot.subscribe(LIVING).phase(), Phase::Reserved | Phase::Sealing);
            if slot.unhold(LIVING) {
                collect(slot);
            }
            let woke = dying.join().expect("the reaper");
            assert!(steps < 3 || !pending || woke || slot.state().load().generation() == 1);
            assert_eq!(slot.state().load().generation(), 1, "nobody refers to it any more");
            assert!(slot.is_unreferenced());
        });
    }
}

/// The next attempt races with the reaping of the last one: exactly one of them seals.
#[test]
fn the_next_attempt_seals_where_the_dead_one_did_not() {
    for steps in 0..=3 {
        loom::model(move || {
            let heap = reserved_for(&[LIVING]);
            let slot = Slot::new(&*heap, 0);
            let dying = {
                let heap = Arc::clone(&heap);
                thread::spawn(move || {
                    let slot = Slot::new(&*heap, 0);
                    if slot.state().transition_to_sealing(0, 0, DEAD) != BeginSeal::Begun {
                        // Late: the other attempt was named before.
                        return false;
                    }
                    if steps == 3 {
                        slot.set_header(Header { location: 1, len_bytes: 1, fingerprint: 1 });
                        return slot.state().transition_to_sealed(0, DEAD, false)
                            == EndSeal::Sealed;
                    }
                    reap(slot);
                    false
                })
            };
            let mut renamed = slot.state().transition_to_attempt(0, 1);
            let sealed = dying.join().expect("the dead one");
            if renamed == Rename::Sealing && !sealed {
                // It was sealing when it died; reaped, it can be named anew.
                renamed = slot.state().transition_to_attempt(0, 1);
            }
            let again = renamed == Rename::Renamed
                && slot.state().transition_to_sealing(0, 1, LIVING) == BeginSeal::Begun
                && slot.state().transition_to_sealed(0, LIVING, false) == EndSeal::Sealed;
            assert!(sealed ^ again, "sealed by the dead: {sealed}, by the next: {again}");
        });
    }
}

/// The next attempt is named once what the dead one was sealing was put back, and seals while the rest is reaped.
///
/// It is the reaper that is spawned. Loom compares each step with the last one at the same word: a thread that looks
/// and then changes what it saw hides from it that another has looked before, so that it would never try a look in
/// between. A look after a change it does see, and tries it earlier.
#[test]
fn the_next_attempt_seals_while_the_dead_one_is_reaped() {
    for steps in 0..=2 {
        loom::model(move || {
            let heap = reserved_for(&[DEAD, LIVING]);
            let slot = Slot::new(&*heap, 0);
            seal_until(slot, steps);
            put_back(slot);
            assert_eq!(slot.state().transition_to_attempt(0, 1), Rename::Renamed);
            let reaping = {
                let heap = Arc::clone(&heap);
                thread::spawn(move || reap(Slot::new(&*heap, 0)))
            };
            assert_eq!(slot.state().transition_to_sealing(0, 1, LIVING), BeginSeal::Begun);
            let end = slot.state().transition_to_sealed(0, LIVING, false);
            assert_eq!(end, EndSeal::Sealed, "it was taken from it");
            let woke = reaping.join().expect("the reaper");
            assert!(!woke, "nobody waits");
            assert_eq!(slot.state().load().phase(), Phase::Sealed);
            assert!(slot.holders().contains(LIVING) && !slot.holders().contains(DEAD));
        });
    }
}
