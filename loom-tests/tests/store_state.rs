//! The state word: of two attempts one seals, and what a reader finds is whole; a waiter does not sleep
//! through the seal.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{BeginSeal, EndSeal, GENERATIONS, Header, Hold, Phase, Rename, SLOT_WORDS, Slot},
};

fn reserved(heap: &Heap) -> Slot<'_, Heap> {
    let slot = Slot::new(heap, 0);
    slot.hold_unchecked(ClientId::NODE);
    assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
    slot
}

/// Seals as attempt `attempt`, with a header made of it.
fn seal(slot: Slot<'_, Heap>, attempt: u16, client: ClientId) -> bool {
    if slot.state().transition_to_sealing(0, attempt, client) != BeginSeal::Begun {
        return false;
    }
    let n = u64::from(attempt) + 1;
    slot.set_header(Header { location: n, len_bytes: n, fingerprint: n });
    slot.state().transition_to_sealed(0, client, false) != EndSeal::Taken
}

#[test]
fn one_of_two_attempts_seals_and_its_header_is_whole() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        reserved(&heap);
        let old = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || seal(Slot::new(&*heap, 0), 0, ClientId::new(1)))
        };
        let slot = Slot::new(&*heap, 0);
        let renamed = slot.state().transition_to_attempt(0, 1) == Rename::Renamed;
        let new = seal(slot, 1, ClientId::new(2));
        let old = old.join().expect("the old attempt");
        assert_eq!(renamed, new);
        assert!(old ^ new, "exactly one sealed: {old} {new}");
        assert_eq!(slot.state().load().phase(), Phase::Sealed);
        let header = slot.header();
        let n = if old { 1 } else { 2 };
        assert_eq!((header.location, header.len_bytes, header.fingerprint), (n, n, n));
    });
}

#[test]
fn a_waiter_sees_the_value_or_the_sealer_sees_the_waiter() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        reserved(&heap);
        let sealer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                assert!(seal(slot, 0, ClientId::new(1)));
                slot.waiters() != 0
            })
        };
        let pending = Slot::new(&*heap, 0).subscribe(ClientId::new(2)).phase() != Phase::Sealed;
        let woken = sealer.join().expect("the sealer");
        assert!(!pending || woken, "it sleeps and nobody wakes it");
    });
}

#[test]
fn an_object_let_go_of_while_it_is_sealed_is_not_forgotten() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        reserved(&heap);
        let collect = |slot: Slot<'_, Heap>| {
            slot.begin_free().is_some_and(|before| {
                assert!(slot.free(before));
                true
            })
        };
        let sealer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                let client = ClientId::new(1);
                if slot.state().transition_to_sealing(0, 0, client) == BeginSeal::Begun
                    && slot.state().transition_to_sealed(0, client, false) == EndSeal::Left
                {
                    collect(slot);
                }
            })
        };
        let slot = Slot::new(&*heap, 0);
        if slot.unhold(ClientId::NODE) {
            collect(slot);
        }
        sealer.join().expect("the sealer");
        assert_eq!(Slot::new(&*heap, 0).state().load().generation(), 1, "it was freed");
    });
}

/// A slot whose generations are used up is never used again, and a stale reference to it stays stale.
#[test]
fn a_slot_retires_rather_than_begin_anew() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        let stale = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                for generation in 0..2 {
                    if slot.hold(generation, ClientId::new(65)) == Hold::Held {
                        assert!(slot.state().load().is_alive(generation));
                        let _ = slot.unhold(ClientId::new(65));
                    }
                }
            })
        };
        let slot = Slot::new(&*heap, 0);
        for generation in 0..GENERATIONS {
            slot.hold_unchecked(ClientId::NODE);
            assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(generation));
            let _ = slot.unhold(ClientId::NODE);
            let before = loop {
                match slot.begin_free() {
                    Some(before) => break before,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(slot.free(before), generation + 1 < GENERATIONS);
        }
        stale.join().expect("the stale holder");
        assert_eq!(slot.state().load().phase(), Phase::Retired);
        assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), None);
        assert!(!slot.state().transition_to_granted(ClientId::new(1)));
    });
}
