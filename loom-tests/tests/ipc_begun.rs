//! What a process is at, written by one thread and read by whoever looks: what is told belongs together.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_ipc::{BEGUN_WORDS, Begun, UnderWay};
use rustyray_memory::Heap;

const FIRST: UnderWay = UnderWay { began: 1, task: 10, attempt: 3 };
const SECOND: UnderWay = UnderWay { began: 2, task: 20, attempt: 4 };

/// One task is under way and makes way for another, with or without an end between.
fn model(ends: bool) {
    loom::model(move || {
        let memory = Arc::new(Heap::new(BEGUN_WORDS));
        let worker = Begun::new(Arc::clone(&memory));
        worker.set(FIRST);
        let looking = {
            let onlooker = Begun::new(memory);
            thread::spawn(move || {
                let found = onlooker.get();
                let belongs_together = found.is_none_or(|found| found == FIRST || found == SECOND);
                assert!(belongs_together, "of two tasks: {found:?}");
            })
        };
        if ends {
            worker.clear();
        }
        worker.set(SECOND);
        looking.join().expect("who looks");
        assert_eq!(worker.get(), Some(SECOND));
    });
}

#[test]
fn what_is_told_of_a_task_belongs_together() {
    model(false);
}

#[test]
fn what_is_told_belongs_together_when_one_ended_before_the_next() {
    model(true);
}
