//! Direct lines: who waits for room finds it or is told of it, and each use of a line has ends of its own.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_ipc::{LINE_HEAD_WORDS, LineHead, LineState, RingShape, WorkConsumer, WorkProducer};
use rustyray_memory::Heap;

/// The queue is full and stays so until its consumer claims: the producer, which tries once more after it has
/// said that it wants room, finds some, or the consumer finds the wish and would tell it.
#[test]
fn who_wants_room_finds_it_or_is_told() {
    const ONE: RingShape = RingShape { entries: 1, payload_words: 1 };
    loom::model(|| {
        let queue = Arc::new(Heap::new(ONE.words()));
        let head = Arc::new(Heap::new(LINE_HEAD_WORDS));
        LineHead::new(Arc::clone(&head), 1).transition_to_open(1, 2);
        let mut producer = WorkProducer::new(Arc::clone(&queue), ONE);
        producer.push(&[7]).expect("room");
        let consuming = {
            let line = LineHead::new(Arc::clone(&head), 1);
            thread::spawn(move || {
                let mut consumer = WorkConsumer::new(queue, ONE);
                let claimed = consumer.claim(&mut [0]).expect("well formed");
                assert!(claimed.is_some(), "it was pushed before");
                line.is_room_wanted()
            })
        };
        let line = LineHead::new(head, 1);
        let has_room = producer.push_alone(&[8]).is_ok() || {
            line.want_room();
            producer.push_alone(&[8]).is_ok()
        };
        let told = consuming.join().expect("the consumer");
        assert!(has_room || told, "the producer waits for a word that does not come");
    });
}

/// The same when what fills the queue is taken back: it is in the way until the consumer, which has nothing to claim,
/// comes by.
#[test]
fn who_wants_room_is_told_when_what_was_taken_back_is_passed() {
    const ONE: RingShape = RingShape { entries: 1, payload_words: 1 };
    loom::model(|| {
        let queue = Arc::new(Heap::new(ONE.words()));
        let head = Arc::new(Heap::new(LINE_HEAD_WORDS));
        LineHead::new(Arc::clone(&head), 1).transition_to_open(1, 2);
        let mut producer = WorkProducer::new(Arc::clone(&queue), ONE);
        let first = producer.push(&[7]).expect("room");
        let consuming = {
            let line = LineHead::new(Arc::clone(&head), 1);
            thread::spawn(move || {
                let mut consumer = WorkConsumer::new(queue, ONE);
                // Otherwise it sleeps.
                if consumer.is_caught_up() {
                    return (false, false);
                }
                let claimed = consumer.claim(&mut [0]).expect("well formed");
                (claimed.is_some(), line.is_room_wanted())
            })
        };
        let taken_back = producer.take_back(first);
        let line = LineHead::new(head, 1);
        let has_room = producer.push_alone(&[8]).is_ok() || {
            line.want_room();
            producer.push_alone(&[8]).is_ok()
        };
        let (claimed, told) = consuming.join().expect("the consumer");
        // What it claims may also be the second entry.
        assert!(taken_back || claimed, "one of the two has it");
        assert!(has_room || told, "the producer waits for a word that does not come");
    });
}

/// A line is opened, closed, and opened again between others. Who finds a use of it open reads the ends of that use.
#[test]
fn each_use_has_its_own_ends() {
    loom::model(|| {
        let memory = Arc::new(Heap::new(LINE_HEAD_WORDS));
        let ends = |line: &LineHead<Arc<Heap>>| (line.producer(), line.consumer());
        let looking = {
            let memory = Arc::clone(&memory);
            thread::spawn(move || {
                let second = LineHead::new(memory, 2);
                if second.state() == LineState::Open {
                    assert_eq!(ends(&second), (3, 4), "the second use's");
                }
            })
        };
        let [first, second] = [1, 2].map(|use_| LineHead::new(Arc::clone(&memory), use_));
        first.transition_to_open(1, 2);
        first.transition_to_closed();
        second.transition_to_open(3, 4);
        assert_eq!(first.state(), LineState::Over);
        looking.join().expect("who looks");
    });
}
