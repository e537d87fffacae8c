//! Waiting: whoever waits gets what it waits for, also when another thread of its process finds it, and
//! nobody is left asleep with something to see to.
#![cfg(rustyray_loom)]

use std::{sync::Arc, time::Duration};

use loom::thread;
use rustyray_ipc::{BELL_WORDS, Bell, Patience, Ringer};
use rustyray_memory::{
    Heap,
    sync::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

struct Process {
    bell: Bell<Arc<Heap>>,
    patience: Patience,
    /// What a peer has published, and how much of it was seen to.
    published: AtomicU64,
    seen: AtomicU64,
}

impl Process {
    /// One core: it never spins, and reads no clock.
    fn new(memory: Arc<Heap>) -> Process {
        Process {
            bell: Bell::new(memory),
            patience: Patience::new(Duration::ZERO, 1),
            published: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        }
    }

    /// Sees to what peers published, and wakes who waits for what came of it.
    fn help(&self) -> bool {
        let seen = self.seen.load(Acquire);
        let more = seen < self.published.load(Acquire);
        if more && self.seen.compare_exchange(seen, seen + 1, AcqRel, Relaxed).is_ok() {
            self.bell.pass_on();
        }
        more
    }

    fn answer(&self, number: u64) -> Option<()> {
        (self.seen.load(Acquire) >= number).then_some(())
    }
}

/// A peer that publishes `count` times and rings each time.
fn peer(process: &Arc<Process>, memory: Arc<Heap>, count: u64) -> thread::JoinHandle<()> {
    let process = Arc::clone(process);
    thread::spawn(move || {
        let ringer = Ringer::new(memory);
        for number in 1..=count {
            process.published.store(number, Release);
            ringer.ring();
        }
    })
}

/// The first answer is for the waiter, who leaves with it; the second for the thread that sleeps on.
#[test]
fn a_waiter_that_leaves_leaves_nothing_unseen() {
    loom::model(|| {
        let memory = Arc::new(Heap::new(BELL_WORDS));
        let process = Arc::new(Process::new(Arc::clone(&memory)));
        let peer = peer(&process, memory, 2);
        let service = {
            let process = Arc::clone(&process);
            thread::spawn(move || {
                process.patience.wait(&process.bell, None, || process.answer(2), || process.help())
            })
        };
        process.patience.wait(&process.bell, None, || process.answer(1), || process.help());
        peer.join().expect("the peer");
        service.join().expect("the service thread");
    });
}

/// A thread that looks at its own affair only does not keep others from being woken.
#[test]
fn a_waiter_aside_keeps_nobody_from_being_woken() {
    loom::model(|| {
        let memory = Arc::new(Heap::new(BELL_WORDS));
        let process = Arc::new(Process::new(Arc::clone(&memory)));
        let peer = peer(&process, memory, 1);
        let aside = {
            let process = Arc::clone(&process);
            thread::spawn(move || {
                process.patience.wait_aside(&process.bell, None, || process.answer(1))
            })
        };
        process.patience.wait(&process.bell, None, || process.answer(1), || process.help());
        peer.join().expect("the peer");
        aside.join().expect("the waiter aside");
    });
}

/// A ring wakes the waiter and not the deputy beside it; the waiter leaves with its answer, and the deputy
/// is woken for the next.
#[test]
fn a_deputy_that_was_not_woken_loses_nothing() {
    loom::model(|| {
        let memory = Arc::new(Heap::new(BELL_WORDS));
        let process = Arc::new(Process::new(Arc::clone(&memory)));
        let peer = peer(&process, memory, 2);
        let deputy = {
            let process = Arc::clone(&process);
            thread::spawn(move || {
                while process.answer(2).is_none() {
                    while process.help() {}
                    let more = || process.seen.load(Acquire) < process.published.load(Acquire);
                    let _ = process.bell.sleep(|| more() || process.answer(2).is_some(), None);
                }
            })
        };
        process.patience.wait(&process.bell, None, || process.answer(1), || process.help());
        // Whatever is left now is for the deputy, which would else sleep on.
        if process.answer(2).is_some() {
            process.bell.wake_local();
        }
        peer.join().expect("the peer");
        deputy.join().expect("the deputy");
    });
}

/// What a thread aside waits for comes while another attends, or sleeps as a helper: it is passed on.
#[test]
fn what_a_waiter_aside_waits_for_is_passed_on() {
    loom::model(|| {
        let memory = Arc::new(Heap::new(BELL_WORDS));
        let process = Arc::new(Process::new(Arc::clone(&memory)));
        let (own, waits) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let peer = {
            let (process, own) = (Arc::clone(&process), Arc::clone(&own));
            thread::spawn(move || {
                own.store(1, Release);
                process.published.store(1, Release);
                Ringer::new(memory).ring();
            })
        };
        let aside = {
            let (process, own, waits) =
                (Arc::clone(&process), Arc::clone(&own), Arc::clone(&waits));
            thread::spawn(move || {
                let own = || (own.load(Acquire) == 1).then_some(());
                process.patience.wait_aside(&process.bell, None, || {
                    waits.swap(1, Relaxed);
                    own()
                })
            })
        };
        let help = || {
            let bell = &process.bell;
            if bell.is_waited_on() && own.load(Acquire) == 1 && waits.swap(0, Relaxed) == 1 {
                bell.pass_on();
            }
            let more = process.seen.load(Acquire) < process.published.load(Acquire);
            more && process.seen.compare_exchange(0, 1, AcqRel, Relaxed).is_ok()
        };
        process.patience.wait(&process.bell, None, || process.answer(1), help);
        peer.join().expect("the peer");
        aside.join().expect("the waiter aside");
    });
}
