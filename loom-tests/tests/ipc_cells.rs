//! Reply cells: an answer is whole and belongs to the question, also when cells go from thread to thread; and
//! whoever sleeps until it comes is woken.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_ipc::{
    Asker, BELL_WORDS, Bell, CellShape, Consumer, Producer, RingShape, Ringer, answer,
};
use rustyray_memory::Heap;

const RING: RingShape = RingShape { entries: 2, payload_words: 2 };
const ONE: CellShape = CellShape { cells: 1, answer_words: 2 };

/// Answers the question that is asked next: to `n`, `n` and `n + 1`.
fn answer_one(ring: Arc<Heap>, cells: &Arc<Heap>) {
    let mut consumer = Consumer::new(ring, RING);
    let mut entry = [0; 2];
    while consumer.pop(&mut entry).expect("well formed").is_none() {
        thread::yield_now();
    }
    let [cell, n] = entry;
    assert!(answer(cells, ONE, cell, &[n, n + 1]));
}

#[test]
fn an_answer_is_whole() {
    loom::model(|| {
        let (ring, cells) = (Arc::new(Heap::new(RING.words())), Arc::new(Heap::new(ONE.words())));
        let producer = Producer::new(Arc::clone(&ring), RING);
        let asker = Asker::new(Arc::clone(&cells), ONE);
        let answering = thread::spawn(move || answer_one(ring, &cells));
        let mut question = asker.ask().expect("a free cell");
        assert!(asker.ask().is_none(), "there is one cell");
        producer.push(&[question.cell() as u64, 7]).expect("room");
        loop {
            match question.read() {
                Ok(answer) => break assert_eq!(answer, [7, 8]),
                Err(unanswered) => question = unanswered,
            }
            thread::yield_now();
        }
        answering.join().expect("who answers");
        assert!(asker.ask().is_some(), "the cell is free again");
    });
}

/// A cell that one thread gives back and another takes at once: each has its own answer.
#[test]
fn a_cell_goes_from_question_to_question() {
    loom::model(|| {
        let cells = Arc::new(Heap::new(ONE.words()));
        let asker = Arc::new(Asker::new(Arc::clone(&cells), ONE));
        // Answers its own question: what matters is who had the cell before.
        let ask = move |asker: &Asker<Arc<Heap>>, n: u64| {
            asker.ask().map(|question| {
                assert!(answer(&cells, ONE, question.cell() as u64, &[n, n + 1]));
                assert_eq!(question.read().expect("answered"), [n, n + 1]);
            })
        };
        let other = {
            let (asker, ask) = (Arc::clone(&asker), ask.clone());
            thread::spawn(move || (ask(&asker, 10), ask(&asker, 20)))
        };
        let here = ask(&asker, 30);
        let (first, second) = other.join().expect("the other thread");
        let asked = [first, second, here].into_iter().flatten().count();
        assert!(asked >= 1, "the cell was free in the beginning");
    });
}

#[test]
fn who_sleeps_until_the_answer_comes_is_woken() {
    loom::model(|| {
        let (ring, cells) = (Arc::new(Heap::new(RING.words())), Arc::new(Heap::new(ONE.words())));
        let words = Arc::new(Heap::new(BELL_WORDS));
        let bell = Bell::new(Arc::clone(&words));
        let producer = Producer::new(Arc::clone(&ring), RING);
        let asker = Asker::new(Arc::clone(&cells), ONE);
        let answering = thread::spawn(move || {
            answer_one(ring, &cells);
            Ringer::new(words).ring();
        });
        let question = asker.ask().expect("a free cell");
        producer.push(&[question.cell() as u64, 7]).expect("room");
        while !question.is_answered() {
            let _ = bell.sleep(|| question.is_answered(), None);
        }
        assert_eq!(question.read().expect("answered"), [7, 8]);
        answering.join().expect("who answers");
    });
}
