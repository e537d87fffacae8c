//! Nobody sleeps through a ring: threads of one process.
#![cfg(not(rustyray_loom))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use rustyray_ipc::{
    BELL_WORDS, Bell, Consumer, Leave, Patience, Producer, RingShape, Ringer, Slept,
};
use rustyray_memory::{Heap, Memory, sync::Ordering::Relaxed};

fn bell() -> (Arc<Heap>, Bell<Arc<Heap>>, Ringer<Arc<Heap>>) {
    let memory = Arc::new(Heap::new(BELL_WORDS));
    (Arc::clone(&memory), Bell::new(Arc::clone(&memory)), Ringer::new(memory))
}

/// Whether a ringer would make a system call.
fn is_raised(memory: &Heap) -> bool {
    memory.word(0).load(Relaxed) & 1 == 1
}

fn until(what: impl Fn() -> bool) {
    while !what() {
        thread::yield_now();
    }
}

#[test]
fn a_recheck_that_finds_something_keeps_from_sleeping() {
    let (_, bell, _) = bell();
    assert_eq!(bell.sleep(|| true, None), Slept::Recheck);
}

#[test]
fn a_sleeper_wakes_when_its_time_is_up() {
    let (_, bell, _) = bell();
    let start = Instant::now();
    let timeout = Duration::from_millis(5);
    while bell.sleep(|| false, Some(timeout)) != Slept::TimedOut {}
    assert!(start.elapsed() >= timeout);
}

#[test]
fn ringing_between_the_last_look_and_the_sleep_is_not_missed() {
    let (_, bell, ringer) = bell();
    // The recheck runs after the announcement: a ring right after it must end the sleep.
    let slept = bell.sleep(
        || {
            ringer.ring();
            false
        },
        None,
    );
    assert_eq!(slept, Slept::Woken);
}

#[test]
fn a_kick_and_a_local_wake_are_not_missed_either() {
    let (_, bell, ringer) = bell();
    for wake in [&(|| ringer.kick()) as &dyn Fn(), &|| bell.wake_local()] {
        let slept = bell.sleep(
            || {
                wake();
                false
            },
            None,
        );
        assert_eq!(slept, Slept::Woken);
    }
}

#[test]
fn only_the_first_ring_that_rings_nobody_leaves_a_mark() {
    let (memory, bell, ringer) = bell();
    ringer.ring();
    let before = memory.word(0).load(Relaxed);
    ringer.ring();
    assert_eq!(memory.word(0).load(Relaxed), before, "nobody sleeps");

    let woken = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| while bell.sleep(|| woken.load(SeqCst), None) != Slept::Recheck {});
        until(|| is_raised(&memory));
        let first = bell.attend();
        let second = bell.attend();
        assert!(!is_raised(&memory));
        ringer.ring();
        let before = memory.word(0).load(Relaxed);
        ringer.ring();
        assert_eq!(memory.word(0).load(Relaxed), before, "somebody attends");
        assert_eq!(first.leave(), Leave::StillAttended);
        assert!(bell.is_attended());
        // The sleeper may be between two sleeps (it saw the word change); wait until it lies down.
        let mut last = second;
        loop {
            match last.leave() {
                Leave::MustRecheck | Leave::NothingMissed => break,
                Leave::NobodySleeps => last = bell.attend(),
                Leave::StillAttended => unreachable!("there is one attendant"),
            }
        }
        woken.store(true, SeqCst);
        ringer.ring();
    });
    assert!(!bell.is_attended());
}

/// Whoever leaves while others sleep looks once more only if somebody meant to ring meanwhile.
#[test]
fn who_leaves_looks_once_more_for_what_was_rung_for() {
    let (memory, bell, ringer) = bell();
    let woken = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| while bell.sleep(|| woken.load(SeqCst), None) != Slept::Recheck {});
        // Until the sleeper lies under a raised flag, what a leaving attendant finds may be another's doing.
        let owed = |rings: bool| {
            loop {
                until(|| is_raised(&memory));
                let attendant = bell.attend();
                if rings {
                    ringer.ring();
                }
                match attendant.leave() {
                    Leave::NobodySleeps => continue,
                    owed => break owed,
                }
            }
        };
        assert_eq!(owed(false), Leave::NothingMissed);
        assert_eq!(owed(true), Leave::MustRecheck);
        assert_eq!(owed(false), Leave::NothingMissed, "the mark is for one look");
        woken.store(true, SeqCst);
        ringer.ring();
    });
}

#[test]
fn an_attendant_that_unwinds_leaves_the_look_to_the_sleepers() {
    let (memory, bell, _) = bell();
    let published = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| while bell.sleep(|| published.load(SeqCst), None) != Slept::Recheck {});
        until(|| is_raised(&memory));
        let attending = thread::Builder::new().spawn_scoped(scope, || {
            let _attendant = bell.attend();
            // Published without a ring that would wake anybody, and never looked at.
            published.store(true, SeqCst);
            bell.ring();
            std::panic::resume_unwind(Box::new("while attending"));
        });
        assert!(attending.unwrap().join().is_err());
        // The scope ends only if the sleeper sees it.
    });
}

/// Producers ring after each entry while one thread sleeps and others come, attend and go.
#[test]
fn no_entry_is_left_unseen_while_attendants_come_and_go() {
    const ENTRIES: u64 = 20_000;
    const SHAPE: RingShape = RingShape { entries: 64, payload_words: 1 };
    let (_, bell, ringer) = bell();
    let memory = Arc::new(Heap::new(SHAPE.words()));
    let producer = Producer::new(Arc::clone(&memory), SHAPE);
    let consumer = std::sync::Mutex::new(Consumer::new(memory, SHAPE));
    let patience = Patience::new(Duration::from_micros(5), 2);
    let seen = AtomicU64::new(0);
    // One bounded step of what everybody does for everybody.
    let help = || {
        let Ok(mut consumer) = consumer.try_lock() else { return false };
        match consumer.front(&mut [0]).unwrap() {
            None => false,
            Some(_) => {
                consumer.advance();
                if seen.fetch_add(1, SeqCst) + 1 == ENTRIES {
                    bell.wake_local();
                }
                true
            }
        }
    };
    // Who finds the lock taken must know that the holder looks again: it does, before it sleeps.
    let all = || (seen.load(SeqCst) == ENTRIES).then_some(());
    thread::scope(|scope| {
        // The service thread.
        scope.spawn(|| patience.wait(&bell, None, all, help));
        // Threads that wait for something, for a while at a time.
        for _ in 0..2 {
            scope.spawn(|| {
                while all().is_none() {
                    let deadline = Instant::now() + Duration::from_micros(200);
                    patience.wait(&bell, Some(deadline), all, help);
                }
            });
        }
        scope.spawn(|| {
            for number in 0..ENTRIES {
                while producer.push(&[number]).is_err() {
                    thread::yield_now();
                }
                ringer.ring();
                if number % 64 == 0 {
                    thread::sleep(Duration::from_micros(50));
                }
            }
        });
    });
    assert_eq!(seen.load(SeqCst), ENTRIES);
}

#[test]
fn waiting_gives_what_comes_and_nothing_after_the_deadline() {
    let (_, bell, ringer) = bell();
    for cores in [1, 2] {
        let patience = Patience::new(Duration::from_micros(5), cores);
        assert_eq!(patience.budget().is_zero(), cores == 1);
        let soon = || Some(Instant::now() + Duration::from_millis(3));
        assert_eq!(patience.wait(&bell, soon(), || None::<()>, || false), None);
        assert_eq!(patience.wait_aside(&bell, soon(), || None::<()>), None);
        assert_eq!(patience.wait(&bell, Some(Instant::now()), || Some(1), || false), Some(1));

        let word = AtomicU64::new(0);
        let (word, ringer) = (&word, &ringer);
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in 1..=2 {
                    thread::sleep(Duration::from_millis(2));
                    word.store(number, SeqCst);
                    ringer.ring();
                }
            });
            let at_least = |number| move || (word.load(SeqCst) >= number).then_some(number);
            assert_eq!(patience.wait(&bell, None, at_least(1), || false), Some(1));
            assert_eq!(patience.wait_aside(&bell, None, at_least(2)), Some(2));
        });
    }
}

#[test]
fn calibration_is_made_once() {
    let patience = Patience::calibrated();
    assert!(std::ptr::eq(patience, Patience::calibrated()));
    assert!(patience.wake_cost() > Duration::ZERO);
    assert!(patience.budget() <= Duration::from_micros(50));
}
