//! A note for who has a lock: what a visitor came for is seen by one of the two.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::{
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread,
};
use rustyray_ipc::Missed;

/// A lock as weak as a lock may be: who finds it taken has seen nothing of who let go of it.
struct Lock(AtomicBool);

impl Lock {
    fn is_taken_by_me(&self) -> bool {
        !self.0.load(Relaxed) && self.0.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    fn let_go(&self) {
        self.0.store(false, Release);
    }
}

/// What is to be seen, whether it was, the lock under which one looks, and the note.
struct Place {
    news: AtomicUsize,
    seen: AtomicUsize,
    lock: Lock,
    missed: Missed,
}

impl Place {
    fn new(is_taken: bool) -> Arc<Place> {
        Arc::new(Place {
            news: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
            lock: Lock(AtomicBool::new(is_taken)),
            missed: Missed::new(),
        })
    }

    /// Looks at what there is, or leaves it to who has the lock.
    fn visit(&self) {
        loop {
            if !self.lock.is_taken_by_me() {
                self.missed.note();
                if !self.lock.is_taken_by_me() {
                    return;
                }
            }
            self.missed.forget();
            self.seen.store(self.news.load(Relaxed), Relaxed);
            self.lock.let_go();
            if !self.missed.is_noted() {
                return;
            }
        }
    }
}

/// What comes while another has the lock is seen by the visitor that brings it, or by that other.
#[test]
fn what_a_visitor_misses_is_seen() {
    loom::model(|| {
        let place = Place::new(true);
        let holding = {
            let place = Arc::clone(&place);
            thread::spawn(move || {
                place.lock.let_go();
                if place.missed.is_noted() {
                    place.visit();
                }
            })
        };
        place.news.store(1, Relaxed);
        place.visit();
        holding.join().expect("the holder");
        assert_eq!(place.seen.load(Relaxed), 1, "it is left, and nobody knows");
    });
}

/// The same of two visitors, of which one has seen nothing yet of what the other brings.
#[test]
fn what_one_visitor_brings_another_sees() {
    loom::model(|| {
        let place = Place::new(false);
        let visiting = {
            let place = Arc::clone(&place);
            thread::spawn(move || place.visit())
        };
        place.news.store(1, Relaxed);
        place.visit();
        visiting.join().expect("the other");
        assert_eq!(place.seen.load(Relaxed), 1, "it is left, and nobody knows");
    });
}
