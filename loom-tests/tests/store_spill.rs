//! Spilling: whoever views an object reads the bytes it was sealed with, and what somebody views stays where
//! it is; what comes back from disk is whole.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{BeginSeal, EndSeal, Header, Phase, Pinned, SLOT_WORDS, Slot},
};

const VIEWER: ClientId = ClientId::new(1);
const MAKER: ClientId = ClientId::new(2);
const HERE: Header = Header { location: 1, len_bytes: 2, fingerprint: 3 };
const AWAY: Header = Header { location: 0, ..HERE };
const BACK: Header = Header { location: 9, ..HERE };

/// A sealed object that the node refers to.
fn sealed(heap: &Heap) -> Slot<'_, Heap> {
    let slot = Slot::new(heap, 0);
    slot.hold_unchecked(ClientId::NODE);
    assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
    let _ = slot.state().transition_to_sealing(0, 0, ClientId::NODE);
    slot.set_header(HERE);
    assert_eq!(slot.state().transition_to_sealed(0, ClientId::NODE, false), EndSeal::Sealed);
    slot
}

fn spill(slot: Slot<'_, Heap>) -> bool {
    let spilled = slot.begin_spill(0);
    if spilled {
        slot.set_header(AWAY);
        assert!(slot.state().transition_spill(0, Phase::Spilling, Phase::Spilled));
    }
    spilled
}

#[test]
fn what_somebody_views_is_not_moved() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        sealed(&heap);
        let viewer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                match slot.pin(0, VIEWER) {
                    Pinned::Kept => {
                        assert_eq!(slot.header(), HERE, "the place that the bytes are in");
                        // It stays so as long as the pin is there.
                        thread::yield_now();
                        assert_eq!(slot.header(), HERE);
                        assert!(!slot.unpin(VIEWER), "the node refers to it");
                    }
                    Pinned::Away { perhaps_dead } => assert!(!perhaps_dead),
                    other => panic!("{other:?}"),
                }
            })
        };
        let slot = Slot::new(&*heap, 0);
        let spilled = spill(slot);
        viewer.join().expect("the viewer");
        let phase = if spilled { Phase::Spilled } else { Phase::Sealed };
        assert_eq!(slot.state().load().phase(), phase);
        assert!(slot.pins().is_empty());
    });
}

#[test]
fn what_comes_back_is_whole() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        assert!(spill(sealed(&heap)));
        let viewer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                for _ in 0..2 {
                    match slot.pin(0, VIEWER) {
                        Pinned::Kept => {
                            assert_eq!(slot.header(), BACK);
                            let _ = slot.unpin(VIEWER);
                        }
                        Pinned::Away { .. } => {}
                        other => panic!("{other:?}"),
                    }
                }
            })
        };
        let slot = Slot::new(&*heap, 0);
        assert!(slot.state().transition_spill(0, Phase::Spilled, Phase::Restoring));
        slot.set_header(BACK);
        assert!(slot.state().transition_spill(0, Phase::Restoring, Phase::Sealed));
        viewer.join().expect("the viewer");
    });
}

/// The attempt that makes it again.
const AGAIN: u16 = 5;

#[test]
fn what_was_lost_is_seen_again_only_as_it_was_made_again() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        assert!(spill(sealed(&heap)));
        let maker = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                match slot.state().transition_to_sealing(0, AGAIN, MAKER) {
                    BeginSeal::Begun => {
                        slot.set_header(BACK);
                        assert_eq!(
                            slot.state().transition_to_sealed(0, MAKER, false),
                            EndSeal::Sealed
                        );
                        true
                    }
                    // It is not lost yet.
                    BeginSeal::Sealed => false,
                    other => panic!("{other:?}"),
                }
            })
        };
        let viewer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                match slot.pin(0, VIEWER) {
                    Pinned::Kept => {
                        assert_eq!(slot.header(), BACK);
                        // By which it is told from the bytes that it had before.
                        assert_eq!(slot.owner().losses, 1);
                        let _ = slot.unpin(VIEWER);
                    }
                    Pinned::Away { perhaps_dead } | Pinned::Pending { perhaps_dead } => {
                        assert!(!perhaps_dead);
                    }
                    other => panic!("{other:?}"),
                }
            })
        };
        let slot = Slot::new(&*heap, 0);
        assert!(slot.lose(0, AGAIN));
        let made = maker.join().expect("the maker");
        viewer.join().expect("the viewer");
        let phase = if made { Phase::Sealed } else { Phase::Reserved };
        assert_eq!(slot.state().load().phase(), phase);
        assert!(slot.pins().is_empty());
    });
}
