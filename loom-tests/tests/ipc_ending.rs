//! The end of a session: whoever sleeps when it comes is woken and ends, whatever he sleeps as, and whoever
//! is about to sleep does not.
#![cfg(rustyray_loom)]

use std::{sync::Arc, time::Duration};

use loom::{
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
    thread,
};
use rustyray_ipc::{BELL_WORDS, Bell, Patience};
use rustyray_memory::Heap;

struct Process {
    bell: Bell<Arc<Heap>>,
    /// One core: it never spins, and reads no clock.
    patience: Patience,
    closed: AtomicBool,
}

impl Process {
    /// Why a wait ends without what it was for.
    fn end(&self) -> Option<()> {
        self.closed.load(Acquire).then_some(())
    }
}

/// The ways to sleep: a waiter that helps, one that looks at its own affair only, and the service thread.
#[derive(Clone, Copy)]
enum As {
    Helper,
    Aside,
    Service,
}

fn ends(sleepers: [As; 2]) {
    loom::model(move || {
        let process = Arc::new(Process {
            bell: Bell::new(Arc::new(Heap::new(BELL_WORDS))),
            patience: Patience::new(Duration::ZERO, 1),
            closed: AtomicBool::new(false),
        });
        let sleeping = sleepers.map(|how| {
            let process = Arc::clone(&process);
            thread::spawn(move || {
                let Process { bell, patience, .. } = &*process;
                match how {
                    As::Helper => drop(patience.wait(bell, None, || process.end(), || false)),
                    As::Aside => drop(patience.wait_aside(bell, None, || process.end())),
                    As::Service => {
                        while process.end().is_none() {
                            let _ = bell.sleep(|| process.end().is_some(), None);
                        }
                    }
                }
            })
        });
        // What closing does.
        process.closed.store(true, Release);
        process.bell.wake_local();
        sleeping.map(|thread| thread.join().expect("it has ended"));
    });
}

#[test]
fn the_end_wakes_who_helps_and_who_waits_aside() {
    ends([As::Helper, As::Aside]);
}

#[test]
fn the_end_wakes_the_service_thread_and_who_waits_aside() {
    ends([As::Service, As::Aside]);
}
