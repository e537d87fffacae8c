//! Marks: what was marked as perhaps dead, or as settled, is found by a look that comes after, or by one
//! that is under way.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId, DIRTY_GROUPS,
    models::{DeadMap, Dirty, dead_map_words},
};

const SLOTS: u32 = 200;

#[test]
fn no_mark_of_a_dead_object_is_lost() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(dead_map_words(SLOTS)));
        let marker = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let map = DeadMap::new(&*heap, 0, SLOTS);
                map.mark(3);
                map.mark(130);
            })
        };
        let map = DeadMap::new(&*heap, 0, SLOTS);
        let mut found = Vec::new();
        map.take(usize::MAX, |slot| found.push(slot));
        marker.join().expect("the marker");
        map.take(usize::MAX, |slot| found.push(slot));
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, [3, 130]);
        assert!(map.is_empty());
    });
}

/// A collector that stops early leaves what it did not look at to the next.
#[test]
fn a_limited_look_loses_nothing() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(dead_map_words(SLOTS)));
        DeadMap::new(&*heap, 0, SLOTS).mark(3);
        let marker = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || DeadMap::new(&*heap, 0, SLOTS).mark(4))
        };
        let map = DeadMap::new(&*heap, 0, SLOTS);
        let mut found = Vec::new();
        map.take(1, |slot| found.push(slot));
        marker.join().expect("the marker");
        map.take(usize::MAX, |slot| found.push(slot));
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, [3, 4]);
    });
}

#[test]
fn no_mark_of_a_settled_object_is_lost() {
    const CLIENT: ClientId = ClientId::new(0);
    loom::model(|| {
        // More than one client's map takes.
        let heap = Arc::new(Heap::new(DIRTY_GROUPS as usize / 64 + 16));
        let sealer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || Dirty::new(&*heap, 0, CLIENT).mark(70))
        };
        let dirty = Dirty::new(&*heap, 0, CLIENT);
        let mut found = Vec::new();
        dirty.take(&mut |group| found.push(group));
        sealer.join().expect("the sealer");
        dirty.take(&mut |group| found.push(group));
        found.dedup();
        assert_eq!(found, [70]);
    });
}
