//! The ring and the work queue do what a plain queue does, step by step, also when the producing
//! process dies between two steps of a push.
#![cfg(not(rustyray_loom))]

use std::{collections::VecDeque, sync::Arc};

use proptest::prelude::*;
use rustyray_ipc::{Consumer, Full, Producer, RingShape, Ticket, WorkConsumer, WorkProducer};
use rustyray_memory::{Heap, Memory, sync::Ordering::Relaxed};

const SHAPE: RingShape = RingShape { entries: 8, payload_words: 7 };

fn memory() -> Arc<Heap> {
    Arc::new(Heap::new(SHAPE.words()))
}

/// Where the shared tail lies: a producer that dies after reserving leaves it one further.
const TAIL: usize = 0;

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u64>),
    Take,
    TakeBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(any::<u64>(), 0..=7).prop_map(Step::Push),
        3 => Just(Step::Take),
        1 => (0usize..40).prop_map(Step::TakeBack),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn a_ring_is_a_bounded_queue(steps in steps()) {
        let memory = memory();
        let producer = Producer::new(Arc::clone(&memory), SHAPE);
        let mut consumer = Consumer::new(memory, SHAPE);
        let mut model = VecDeque::new();
        let (mut pushed, mut passed) = (0, 0);
        for step in steps {
            match step {
                Step::Push(payload) => {
                    let expected = if model.len() < 8 { Ok(pushed) } else { Err(Full) };
                    prop_assert_eq!(producer.push(&payload), expected);
                    if expected.is_ok() {
                        pushed += 1;
                        model.push_back(payload);
                    }
                }
                Step::Take | Step::TakeBack(_) => {
                    let mut into = [0; 7];
                    let shown = consumer.front(&mut into).unwrap();
                    // Looking again shows the same.
                    prop_assert_eq!(consumer.front(&mut into).unwrap(), shown);
                    let expected = model.pop_front();
                    prop_assert_eq!(shown.map(|len| into[..len].to_vec()), expected);
                    if shown.is_some() {
                        consumer.advance();
                        passed += 1;
                    }
                }
            }
            prop_assert_eq!(consumer.is_empty(), model.is_empty());
            prop_assert_eq!((consumer.len(), producer.len()), (model.len(), model.len()));
            prop_assert_eq!(producer.passed(), passed);
        }
    }

    #[test]
    fn a_work_queue_is_a_bounded_queue_with_holes(steps in steps()) {
        let memory = memory();
        let producer = WorkProducer::new(Arc::clone(&memory), SHAPE);
        let mut consumer = WorkConsumer::new(memory, SHAPE);
        // What occupies the queue: payload, or nothing where it was taken back.
        let mut model: VecDeque<Option<Vec<u64>>> = VecDeque::new();
        let mut tickets: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::Push(payload) => {
                    let pushed = producer.push(&payload);
                    prop_assert_eq!(pushed.is_ok(), model.len() < 8);
                    if let Ok(ticket) = pushed {
                        tickets.push(ticket);
                        model.push_back(Some(payload));
                    }
                }
                Step::Take => {
                    let mut into = [0; 7];
                    let claimed = consumer.claim(&mut into).unwrap();
                    let mut expected = None;
                    while expected.is_none() && !model.is_empty() {
                        expected = model.pop_front().unwrap();
                    }
                    prop_assert_eq!(claimed.map(|len| into[..len].to_vec()), expected);
                }
                Step::TakeBack(which) => {
                    let Some(&ticket) = tickets.get(which) else { continue };
                    let first = tickets.len() - model.len();
                    let entry = which.checked_sub(first).map(|index| &mut model[index]);
                    let there = entry.is_some_and(|entry| entry.take().is_some());
                    prop_assert_eq!(producer.take_back(ticket), there);
                    prop_assert!(!producer.take_back(Ticket::from_raw(ticket.get())));
                }
            }
            prop_assert_eq!(consumer.is_empty(), model.iter().all(Option::is_none));
            prop_assert_eq!(producer.len(), model.len());
        }
    }

    /// A process of several threads dies: some positions are published, others only reserved.
    #[test]
    fn what_a_dead_process_published_is_found_and_nothing_else(
        before in 0u64..20,
        fates in prop::collection::vec(any::<bool>(), 0..=8),
    ) {
        let memory = memory();
        let producer = Producer::new(Arc::clone(&memory), SHAPE);
        let mut consumer = Consumer::new(Arc::clone(&memory), SHAPE);
        let mut into = [0; 7];
        for number in 0..before {
            producer.push(&[number]).unwrap();
            consumer.front(&mut into).unwrap();
            consumer.advance();
        }
        let mut published = Vec::new();
        for (offset, &publishes) in fates.iter().enumerate() {
            if publishes {
                let position = producer.push(&[offset as u64, 1, 2]).unwrap();
                published.push((position, offset as u64));
            } else {
                // Reserve and die.
                memory.word(TAIL).fetch_add(1, Relaxed);
            }
        }
        // The survivor that does not know of the death sees the entries up to the first hole.
        let mut seen = 0;
        while let Some(len) = consumer.front(&mut into).unwrap() {
            prop_assert_eq!(&into[..len], &[published[seen].1, 1, 2]);
            consumer.advance();
            seen += 1;
        }
        prop_assert_eq!(seen, fates.iter().take_while(|&&publishes| publishes).count());
        // The one that knows finds the rest.
        while let Some(len) = consumer.front_after_death(&mut into).unwrap() {
            prop_assert_eq!(&into[..len], &[published[seen].1, 1, 2]);
            consumer.advance();
            seen += 1;
        }
        prop_assert_eq!(seen, published.len());
    }

    /// Rubbish anywhere in the memory is an error or an entry, never a panic, a hang or a way out.
    #[test]
    fn rubbish_in_the_memory_does_no_harm(
        words in prop::collection::vec((0..SHAPE.words(), any::<u64>()), 0..30),
        near in prop::collection::vec((0u64..8, 0u64..0x5000), 0..8),
    ) {
        let memory = memory();
        let producer = WorkProducer::new(Arc::clone(&memory), SHAPE);
        let mut consumer = Consumer::new(Arc::clone(&memory), SHAPE);
        let mut worker = WorkConsumer::new(Arc::clone(&memory), SHAPE);
        for (index, word) in words {
            memory.word(index).store(word, Relaxed);
        }
        for (entry, header) in near {
            memory.word(16 + entry as usize * 8).store(header, Relaxed);
        }
        let mut into = [0; 7];
        for _ in 0..20 {
            let _ = producer.push(&[1]);
            let _ = producer.take_back(Ticket::from_raw(3));
            prop_assert!(producer.len() <= 8 && consumer.len() <= 8);
            if let Ok(Some(len)) = consumer.front(&mut into) {
                prop_assert!(len <= 7);
                consumer.advance();
            }
            if let Ok(claimed) = worker.claim(&mut into) {
                prop_assert!(claimed.is_none_or(|len| len <= 7));
            }
            let _ = worker.is_empty();
        }
    }
}

#[test]
fn a_ring_that_was_reset_is_a_new_one() {
    let memory = memory();
    let producer = Producer::new(Arc::clone(&memory), SHAPE);
    for number in 0..5 {
        producer.push(&[number]).unwrap();
    }
    drop(producer);
    SHAPE.reset(&memory);
    let producer = Producer::new(Arc::clone(&memory), SHAPE);
    let mut consumer = Consumer::new(memory, SHAPE);
    assert!(consumer.is_empty());
    assert_eq!(producer.push(&[9]), Ok(0));
    let mut into = [0; 7];
    assert_eq!(consumer.front(&mut into), Ok(Some(1)));
    assert_eq!(into[0], 9);
}

#[test]
fn garbage_stays_garbage() {
    let memory = memory();
    let mut consumer = Consumer::new(Arc::clone(&memory), SHAPE);
    memory.word(16).store(u64::MAX, Relaxed);
    let mut into = [0; 7];
    for _ in 0..2 {
        assert_eq!(consumer.front(&mut into).unwrap_err().position, 0);
    }
    assert!(!consumer.is_empty());
}

#[test]
fn every_entry_of_several_threads_arrives_once_and_in_each_threads_order() {
    const EACH: u64 = 20_000;
    let memory = memory();
    let producer = Producer::new(Arc::clone(&memory), SHAPE);
    let mut consumer = Consumer::new(memory, SHAPE);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let producer = &producer;
            scope.spawn(move || {
                for number in 0..EACH {
                    while producer.push(&[thread, number, !number]).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut next = [0; 3];
        let mut into = [0; 7];
        while next != [EACH; 3] {
            match consumer.front(&mut into).unwrap() {
                None => std::thread::yield_now(),
                Some(len) => {
                    let [thread, number, inverse] = into[..len].try_into().unwrap();
                    assert_eq!((number, inverse), (next[thread as usize], !number));
                    next[thread as usize] += 1;
                    consumer.advance();
                }
            }
        }
        assert!(consumer.is_empty());
    });
}

#[test]
fn every_piece_of_work_is_claimed_or_taken_back_never_both() {
    const EACH: u64 = 20_000;
    let memory = memory();
    let producer = WorkProducer::new(Arc::clone(&memory), SHAPE);
    let mut consumer = WorkConsumer::new(memory, SHAPE);
    let (taken, mut claimed) = std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..2)
            .map(|thread| {
                let producer = &producer;
                scope.spawn(move || {
                    let mut taken = Vec::new();
                    for number in 0..EACH {
                        let id = thread * EACH + number;
                        let ticket = loop {
                            match producer.push(&[id]) {
                                Ok(ticket) => break ticket,
                                Err(Full) => std::thread::yield_now(),
                            }
                        };
                        if number % 3 == 0 && producer.take_back(ticket) {
                            taken.push(id);
                        }
                    }
                    taken
                })
            })
            .collect();
        let mut claimed = Vec::new();
        let mut into = [0; 7];
        while !pushers.iter().all(|pusher| pusher.is_finished()) || !consumer.is_empty() {
            match consumer.claim(&mut into).unwrap() {
                Some(1) => claimed.push(into[0]),
                Some(len) => panic!("{len} words of one"),
                None => std::thread::yield_now(),
            }
        }
        let taken: Vec<u64> = pushers.into_iter().flat_map(|p| p.join().unwrap()).collect();
        (taken, claimed)
    });
    claimed.extend(taken);
    claimed.sort_unstable();
    assert_eq!(claimed, (0..2 * EACH).collect::<Vec<_>>());
}
