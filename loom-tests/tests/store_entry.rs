//! Private 0↔1: of two threads of one process, one dropping the last reference and one making the
//! first, the shared bit ends as the counts do.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{Entry, Hold, SLOT_WORDS, Slot},
};

const PROCESS: ClientId = ClientId::new(1);
const OTHER: ClientId = ClientId::new(2);

#[test]
fn the_bit_ends_as_the_counts_do() {
    loom::model(|| {
        let shared = Arc::new((Heap::new(SLOT_WORDS), Entry::default()));
        let slot = Slot::new(&shared.0, 0);
        // Somebody else keeps the object alive throughout.
        slot.hold_unchecked(OTHER);
        assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
        let retain = |heap: &Heap, entry: &Entry| {
            let slot = Slot::new(heap, 0);
            if !entry.acquire_again(0) {
                let result = entry.acquire(0, || match slot.hold(0, PROCESS) {
                    Hold::Held => Ok(()),
                    Hold::Gone { .. } => Err(()),
                });
                assert_eq!(result, Ok(()));
            }
            assert!(slot.holders().contains(PROCESS));
        };
        retain(&shared.0, &shared.1);
        let first = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || retain(&shared.0, &shared.1))
        };
        let release = || shared.1.release(0, || Slot::new(&shared.0, 0).unhold(PROCESS));
        let dead = if shared.1.release_one_of_many(0) { None } else { release() };
        assert_ne!(dead, Some(true), "the other holder is still there");
        first.join().expect("the other thread");
        assert!(shared.1.is_held(0));
        assert!(Slot::new(&shared.0, 0).holders().contains(PROCESS));
        let _ = shared.1.release(0, || Slot::new(&shared.0, 0).unhold(PROCESS));
        assert!(!Slot::new(&shared.0, 0).holders().contains(PROCESS));
    });
}
