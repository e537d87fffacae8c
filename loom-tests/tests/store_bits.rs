//! Bits against generations: whoever sets a bit and whoever frees the slot cannot miss each other, and
//! no dead object is forgotten.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{EndSeal, Header, Hold, Phase, Pinned, SLOT_WORDS, Slot},
};

const ONE: ClientId = ClientId::new(1);
/// Its bits lie in another word than those of ONE.
const TWO: ClientId = ClientId::new(65);

/// A sealed object that client ONE refers to.
fn sealed(heap: &Heap) -> Slot<'_, Heap> {
    let slot = Slot::new(heap, 0);
    slot.hold_unchecked(ONE);
    assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
    let _ = slot.state().transition_to_sealing(0, 0, ONE);
    slot.set_header(Header { location: 1, len_bytes: 2, fingerprint: 3 });
    assert_eq!(slot.state().transition_to_sealed(0, ONE, false), EndSeal::Sealed);
    slot
}

/// Frees if it can, as the node does after being told that the object may be dead.
fn collect(slot: Slot<'_, Heap>) -> bool {
    let Some(before) = slot.begin_free() else { return false };
    assert!(slot.free(before));
    true
}

#[test]
fn a_pin_that_succeeds_reads_the_object_it_asked_for() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        sealed(&heap);
        let viewer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                match slot.pin(0, TWO) {
                    Pinned::Kept => {
                        let header = slot.header();
                        assert_eq!((header.location, header.len_bytes), (1, 2));
                        assert!(slot.state().load().is_alive(0));
                        if slot.unpin(TWO) {
                            collect(slot);
                        }
                    }
                    Pinned::Gone { perhaps_dead } => {
                        if perhaps_dead {
                            collect(slot);
                        }
                    }
                    other => panic!("{other:?}"),
                }
            })
        };
        let slot = Slot::new(&*heap, 0);
        if slot.unhold(ONE) {
            collect(slot);
        }
        viewer.join().expect("the viewer");
        let slot = Slot::new(&*heap, 0);
        let now = slot.state().load();
        assert_eq!((now.phase(), now.generation()), (Phase::Free, 1), "nobody forgot it");
        assert!(slot.is_unreferenced());
    });
}

#[test]
fn the_last_of_two_holders_is_noticed() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        let slot = sealed(&heap);
        assert_eq!(slot.hold(0, TWO), Hold::Held);
        let other = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                slot.unhold(TWO) && collect(slot)
            })
        };
        let slot = Slot::new(&*heap, 0);
        let here = slot.unhold(ONE) && collect(slot);
        let there = other.join().expect("the other holder");
        assert!(here ^ there, "exactly one freed it: {here} {there}");
    });
}

#[test]
fn a_stale_hold_never_counts_for_the_next_generation() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        sealed(&heap);
        let late = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                match slot.hold(0, TWO) {
                    Hold::Held => {
                        assert!(slot.state().load().is_alive(0));
                        if slot.unhold(TWO) {
                            collect(slot);
                        }
                    }
                    Hold::Gone { perhaps_dead } => {
                        if perhaps_dead {
                            collect(slot);
                        }
                    }
                    Hold::Undecided { .. } => panic!("the freer lives"),
                }
            })
        };
        let slot = Slot::new(&*heap, 0);
        let reused = slot.unhold(ONE) && collect(slot) && {
            // The slot is used again at once, and let go of again.
            slot.hold_unchecked(ONE);
            assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(1));
            if slot.unhold(ONE) {
                collect(slot);
            }
            true
        };
        late.join().expect("the late holder");
        let now = Slot::new(&*heap, 0).state().load();
        let generation = if reused { 2 } else { 1 };
        assert_eq!((now.phase(), now.generation()), (Phase::Free, generation));
    });
}
