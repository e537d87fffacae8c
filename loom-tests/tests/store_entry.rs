//! Private 0↔1: of two threads of one process, one dropping the last reference and one making the
//! first, the shared bit ends as the counts do; also where some of what is counted is lent.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{Entry, Hold, Lent, SLOT_WORDS, Slot},
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
                    Hold::Gone { .. } | Hold::Undecided { .. } => Err(()),
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

const LENT: u64 = 1 << 5;

/// What a process counts of one slot.
struct Counted {
    heap: Heap,
    entry: Entry,
    lent: Lent,
}

impl Counted {
    /// Drops one reference; whether it was the last.
    fn drop_one(&self) -> bool {
        let Counted { heap, entry, lent } = self;
        if entry.release_one_of_many(0) || entry.is_counted(0) && lent.take_back(LENT) {
            return false;
        }
        let last = || Slot::new(heap, 0).unhold(PROCESS);
        entry.release_unless(0, || lent.take_back(LENT), last).is_some()
    }

    fn is_held(&self) -> bool {
        Slot::new(&self.heap, 0).holders().contains(PROCESS)
    }
}

/// A container holds the object; one thread borrows it from the container, which then ends, and another drops a
/// reference of its own meanwhile: it may have looked for what is lent before, and been held up by a copy.
#[test]
fn what_is_lent_keeps_the_bit_until_it_is_dropped() {
    loom::model(|| {
        let all =
            Counted { heap: Heap::new(SLOT_WORDS), entry: Entry::default(), lent: Lent::default() };
        let slot = Slot::new(&all.heap, 0);
        assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
        slot.hold_unchecked(OTHER);
        slot.hold_unchecked(PROCESS);
        // The container's, and the other thread's.
        assert_eq!(all.entry.acquire(0, || Ok::<(), ()>(())), Ok(()));
        assert!(all.entry.acquire_again(0));
        let all = Arc::new(all);
        let other = {
            let all = Arc::clone(&all);
            thread::spawn(move || {
                assert!(all.is_held());
                usize::from(all.drop_one())
            })
        };
        assert_eq!(all.entry.acquire(0, || Err(())), Ok(()), "the container holds it");
        assert!(!all.drop_one());
        assert_eq!(all.lent.lend(LENT), LENT);
        // The container's.
        let mut lasts = usize::from(all.drop_one());
        assert!(all.is_held(), "it is lent");
        lasts += usize::from(all.drop_one());
        lasts += other.join().expect("the other thread");
        assert_eq!(lasts, 1, "one of them was the last");
        assert!(!all.is_held() && !all.entry.is_held(0) && !all.lent.is_lent(LENT));
    });
}
