//! The doorbell: whoever sleeps is woken by what is published for it, whoever attends meanwhile. A wakeup
//! that is lost leaves a model with nobody to go on, which loom reports as a deadlock.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_ipc::{BELL_WORDS, Bell, Consumer, Leave, Producer, RingShape, Ringer};
use rustyray_memory::{
    Heap, Memory,
    sync::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

const SHAPE: RingShape = RingShape { entries: 2, payload_words: 1 };

/// Something that one thread publishes and one thread takes.
#[derive(Default)]
struct Affair(AtomicU64);

impl Affair {
    fn publish(&self) {
        self.0.store(1, Release);
    }

    fn is_published(&self) -> bool {
        self.0.load(Acquire) == 1
    }

    fn take(&self) -> bool {
        self.0.compare_exchange(1, 2, AcqRel, Relaxed).is_ok()
    }

    fn is_taken(&self) -> bool {
        self.0.load(Acquire) == 2
    }
}

fn bell() -> (Arc<Heap>, Arc<Bell<Arc<Heap>>>) {
    let memory = Arc::new(Heap::new(BELL_WORDS));
    (Arc::clone(&memory), Arc::new(Bell::new(memory)))
}

#[test]
fn an_entry_of_a_ring_is_seen_or_its_consumer_is_woken() {
    loom::model(|| {
        let (memory, bell) = bell();
        let ring = Arc::new(Heap::new(SHAPE.words()));
        let producer = Producer::new(Arc::clone(&ring), SHAPE);
        let pushing = thread::spawn(move || {
            let ringer = Ringer::new(memory);
            for number in 1..=2 {
                producer.push(&[number]).expect("room");
                ringer.ring();
            }
        });
        let mut consumer = Consumer::new(ring, SHAPE);
        for number in 1..=2 {
            let mut into = [0];
            while consumer.pop(&mut into).expect("well formed").is_none() {
                let _ = bell.sleep(|| !consumer.is_empty(), None);
            }
            assert_eq!(into, [number]);
        }
        pushing.join().expect("the producer");
    });
}

/// An attendant looks once and leaves while another thread goes to sleep: between them they see it.
#[test]
fn the_last_to_leave_looks_for_those_who_sleep() {
    loom::model(|| {
        let (memory, bell) = bell();
        let affair = Arc::new(Affair::default());
        let ringing = {
            let affair = Arc::clone(&affair);
            thread::spawn(move || {
                affair.publish();
                Ringer::new(memory).ring();
            })
        };
        let sleeping = {
            let (bell, affair) = (Arc::clone(&bell), Arc::clone(&affair));
            thread::spawn(move || {
                while !affair.take() && !affair.is_taken() {
                    let _ = bell.sleep(|| affair.is_published() || affair.is_taken(), None);
                }
            })
        };
        let attendant = bell.attend();
        let look = || {
            if affair.take() {
                bell.wake_local();
            }
        };
        look();
        if attendant.leave() == Leave::MustRecheck {
            look();
        }
        ringing.join().expect("the ringer");
        sleeping.join().expect("the sleeper");
        assert!(affair.is_taken());
    });
}

/// What a ringer finds marked as missed another one may just have looked at.
#[test]
fn a_mark_that_another_left_is_for_what_comes_after_it_too() {
    loom::model(|| {
        let (memory, bell) = bell();
        let affairs: Arc<[Affair; 2]> = Arc::default();
        let ringing = {
            let affairs = Arc::clone(&affairs);
            thread::spawn(move || {
                let ringer = Ringer::new(memory);
                for affair in &*affairs {
                    affair.publish();
                    ringer.ring();
                }
            })
        };
        let is_all_taken = |affairs: &[Affair; 2]| affairs.iter().all(Affair::is_taken);
        let sleeping = {
            let (bell, affairs) = (Arc::clone(&bell), Arc::clone(&affairs));
            thread::spawn(move || {
                loop {
                    affairs.iter().for_each(|affair| _ = affair.take());
                    if is_all_taken(&affairs) {
                        return;
                    }
                    let more = || affairs.iter().any(Affair::is_published);
                    let _ = bell.sleep(|| more() || is_all_taken(&affairs), None);
                }
            })
        };
        let attendant = bell.attend();
        let look = || {
            if affairs.iter().filter(|affair| affair.take()).count() > 0 {
                bell.wake_local();
            }
        };
        look();
        if attendant.leave() == Leave::MustRecheck {
            look();
        }
        ringing.join().expect("the ringer");
        sleeping.join().expect("the sleeper");
        assert!(is_all_taken(&affairs));
    });
}

/// Who goes to sleep aside, just as the attendant leaves, looks at its own affair, and not for what was missed.
#[test]
fn a_mark_is_not_taken_by_who_sleeps_aside() {
    loom::model(|| {
        let (memory, bell) = bell();
        let affair = Arc::new(Affair::default());
        let sleeping = {
            let (bell, affair) = (Arc::clone(&bell), Arc::clone(&affair));
            thread::spawn(move || {
                while !affair.take() && !affair.is_taken() {
                    let _ = bell.sleep(|| affair.is_published() || affair.is_taken(), None);
                }
            })
        };
        let aside = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || {
                let _ = bell.sleep_aside(|| true, None);
            })
        };
        let attendant = bell.attend();
        affair.publish();
        Ringer::new(memory).ring();
        if attendant.leave() == Leave::MustRecheck && affair.take() {
            bell.wake_local();
        }
        aside.join().expect("the thread aside");
        sleeping.join().expect("the sleeper");
        assert!(affair.is_taken());
    });
}

/// An attendant that goes to sleep itself is a sleeper like any other.
#[test]
fn an_attendant_that_goes_to_sleep_is_woken() {
    loom::model(|| {
        let (memory, bell) = bell();
        let affair = Arc::new(Affair::default());
        let ringing = {
            let affair = Arc::clone(&affair);
            thread::spawn(move || {
                affair.publish();
                Ringer::new(memory).ring();
            })
        };
        while !affair.take() {
            let attendant = bell.attend();
            let _ = attendant.sleep(|| affair.is_published(), None);
        }
        ringing.join().expect("the ringer");
    });
}

#[test]
fn a_local_wake_is_not_missed() {
    loom::model(|| {
        let (_, bell) = bell();
        let affair = Arc::new(Affair::default());
        let waking = {
            let (bell, affair) = (Arc::clone(&bell), Arc::clone(&affair));
            thread::spawn(move || {
                // Somebody attends, so nobody else would be rung.
                let attendant = bell.attend();
                affair.publish();
                bell.wake_local();
                let _ = attendant.leave();
            })
        };
        while !affair.take() {
            let _ = bell.sleep(|| affair.is_published(), None);
        }
        waking.join().expect("the waker");
    });
}

/// A ringer dies after it took the flag down and before it woke anybody; a kick makes up for it.
#[test]
fn a_kick_makes_up_for_a_ringer_that_died() {
    loom::model(|| {
        let (memory, bell) = bell();
        let affair = Arc::new(Affair::default());
        let dying = {
            let (memory, affair) = (Arc::clone(&memory), Arc::clone(&affair));
            thread::spawn(move || {
                affair.publish();
                // What `Ringer::ring` does, up to its wake.
                rustyray_memory::sync::fence(rustyray_memory::sync::Ordering::SeqCst);
                let word = memory.word(0);
                let seen = word.load(Relaxed);
                if seen & 1 == 1 {
                    let _ = word.compare_exchange(seen, (seen & !1) + 4, AcqRel, Relaxed);
                }
            })
        };
        let reaping = thread::spawn(move || {
            dying.join().expect("the ringer");
            Ringer::new(memory).kick();
        });
        while !affair.take() {
            let _ = bell.sleep(|| affair.is_published(), None);
        }
        reaping.join().expect("the reaper");
    });
}
