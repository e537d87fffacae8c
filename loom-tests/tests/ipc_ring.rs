//! The ring: what is consumed is whole, comes once, and in the order in which each producer published it;
//! what was not passed is not overwritten.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_ipc::{Consumer, Full, Producer, RingShape};
use rustyray_memory::Heap;

const SHAPE: RingShape = RingShape { entries: 2, payload_words: 2 };

fn ring(shape: RingShape) -> (Arc<Producer<Arc<Heap>>>, Consumer<Arc<Heap>>) {
    let memory = Arc::new(Heap::new(shape.words()));
    (Arc::new(Producer::new(Arc::clone(&memory), shape)), Consumer::new(memory, shape))
}

fn push(producer: &Producer<Arc<Heap>>, payload: &[u64]) {
    while producer.push(payload) == Err(Full) {
        thread::yield_now();
    }
}

fn pop(consumer: &mut Consumer<Arc<Heap>>, into: &mut [u64]) -> usize {
    loop {
        match consumer.pop(into).expect("well formed") {
            Some(len) => return len,
            None => thread::yield_now(),
        }
    }
}

#[test]
fn what_is_consumed_is_whole_and_comes_once() {
    loom::model(|| {
        let (producer, mut consumer) = ring(SHAPE);
        let other = {
            let producer = Arc::clone(&producer);
            thread::spawn(move || push(&producer, &[20, 21]))
        };
        push(&producer, &[10, 11]);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut into = [0; 2];
            assert_eq!(pop(&mut consumer, &mut into), 2);
            assert_eq!(into[1], into[0] + 1, "of one entry");
            seen.push(into[0]);
        }
        other.join().expect("the other producer");
        seen.sort_unstable();
        assert_eq!(seen, [10, 20]);
        assert!(consumer.is_empty());
    });
}

#[test]
fn an_entry_is_not_overwritten_before_it_is_passed() {
    const ONE: RingShape = RingShape { entries: 1, payload_words: 1 };
    loom::model(|| {
        let (producer, mut consumer) = ring(ONE);
        let pushing = thread::spawn(move || {
            for number in 1..=3 {
                push(&producer, &[number]);
            }
        });
        for number in 1..=3 {
            let mut into = [0];
            let shown = loop {
                match consumer.front(&mut into).expect("well formed") {
                    Some(len) => break len,
                    None => thread::yield_now(),
                }
            };
            assert_eq!((shown, into), (1, [number]));
            // As long as it is not passed it stays.
            assert_eq!(consumer.front(&mut into), Ok(Some(1)));
            assert_eq!(into, [number]);
            consumer.advance();
        }
        pushing.join().expect("the producer");
    });
}
