//! The map of rings that have entries: an entry's bit is set whenever nobody is about to look at its ring.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::{sync::Mutex, thread};
use rustyray_ipc::{Consumer, PENDING_WORDS, Pending, Producer, RingShape};
use rustyray_memory::Heap;

const SHAPE: RingShape = RingShape { entries: 2, payload_words: 1 };
const RING: u8 = 5;

type Up = Mutex<Consumer<Arc<Heap>>>;

fn setup() -> (Arc<Pending<Heap>>, Producer<Arc<Heap>>, Arc<Up>) {
    let pending = Arc::new(Pending::new(Heap::new(PENDING_WORDS)));
    let ring = Arc::new(Heap::new(SHAPE.words()));
    let producer = Producer::new(Arc::clone(&ring), SHAPE);
    (pending, producer, Arc::new(Mutex::new(Consumer::new(ring, SHAPE))))
}

fn publish(pending: &Pending<Heap>, producer: &Producer<Arc<Heap>>) {
    producer.push(&[1]).expect("room");
    pending.set(RING);
}

/// One step of the node: takes the bits and reads the rings they name, or leaves a ring that is in other
/// hands to the next step.
fn step(pending: &Pending<Heap>, up: &Up) -> usize {
    if pending.take()[0] >> RING & 1 == 0 {
        return 0;
    }
    let Ok(mut up) = up.try_lock() else {
        pending.set(RING);
        return 0;
    };
    let mut served = 0;
    while up.pop(&mut [0]).expect("well formed").is_some() {
        served += 1;
    }
    served
}

#[test]
fn an_entry_is_served_or_its_bit_is_set() {
    loom::model(|| {
        let (pending, producer, up) = setup();
        publish(&pending, &producer);
        let publishing = {
            let pending = Arc::clone(&pending);
            thread::spawn(move || publish(&pending, &producer))
        };
        let mut served = step(&pending, &up);
        publishing.join().expect("the producer");
        served += step(&pending, &up);
        assert_eq!(served, 2, "an entry is left that no bit tells of");
        assert!(pending.is_empty());
    });
}

#[test]
fn a_ring_in_other_hands_is_looked_at_again() {
    loom::model(|| {
        let (pending, producer, up) = setup();
        publish(&pending, &producer);
        let other = {
            let (pending, up) = (Arc::clone(&pending), Arc::clone(&up));
            thread::spawn(move || step(&pending, &up))
        };
        let publishing = {
            let pending = Arc::clone(&pending);
            thread::spawn(move || publish(&pending, &producer))
        };
        let mut served = step(&pending, &up);
        publishing.join().expect("the producer");
        served += other.join().expect("the other thread of the node");
        served += step(&pending, &up);
        assert_eq!(served, 2, "an entry is left that no bit tells of");
    });
}
