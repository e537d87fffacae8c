//! The work queue: an entry is claimed by the worker or taken back by the node, never both and never
//! neither, and what is claimed is whole.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_ipc::{RingShape, WorkConsumer, WorkProducer};
use rustyray_memory::Heap;

const SHAPE: RingShape = RingShape { entries: 2, payload_words: 2 };

#[test]
fn an_entry_goes_to_exactly_one_side_and_whole() {
    loom::model(|| {
        let memory = Arc::new(Heap::new(SHAPE.words()));
        let producer = WorkProducer::new(Arc::clone(&memory), SHAPE);
        let worker = thread::spawn(move || {
            let mut consumer = WorkConsumer::new(memory, SHAPE);
            let mut claimed = Vec::new();
            // The worker comes by three times; what it does not find then is left.
            for _ in 0..3 {
                let mut into = [0; 2];
                if let Some(len) = consumer.claim(&mut into).expect("well formed") {
                    assert_eq!((len, into[1]), (2, into[0] + 1), "whole");
                    claimed.push(into[0]);
                }
            }
            (claimed, consumer)
        });
        let first = producer.push(&[10, 11]).expect("room");
        let second = producer.push(&[20, 21]).expect("room");
        let mut taken = Vec::new();
        if producer.take_back(first) {
            taken.push(10);
        }
        if producer.take_back(second) {
            taken.push(20);
        }
        let (mut all, mut consumer) = worker.join().expect("the worker");
        assert!(all.is_sorted(), "claimed in order");
        while consumer.claim(&mut [0; 2]).expect("well formed").is_some() {
            panic!("it was neither claimed nor taken back, and both were tried");
        }
        all.extend(taken);
        all.sort_unstable();
        assert_eq!(all, [10, 20]);
    });
}

/// The node takes work back from one worker and gives it to another: it runs once.
#[test]
fn what_is_taken_back_for_another_worker_runs_once() {
    const ONE: RingShape = RingShape { entries: 1, payload_words: 1 };
    loom::model(|| {
        let memories = [Arc::new(Heap::new(ONE.words())), Arc::new(Heap::new(ONE.words()))];
        let [slow, idle] = memories.clone().map(|memory| WorkProducer::new(memory, ONE));
        let ticket = slow.push(&[7]).expect("room");
        let workers = memories.map(|memory| {
            thread::spawn(move || {
                let mut consumer = WorkConsumer::new(memory, ONE);
                (0..2).filter(|_| consumer.claim(&mut [0]).expect("well formed").is_some()).count()
            })
        });
        let moved = slow.take_back(ticket);
        if moved {
            let _ = idle.push(&[7]).expect("room");
        }
        let [ran_slow, ran_idle] = workers.map(|worker| worker.join().expect("a worker"));
        assert!(ran_slow + ran_idle <= 1, "it ran twice");
        assert!(!moved || ran_slow == 0, "it ran after it was taken back");
    });
}
