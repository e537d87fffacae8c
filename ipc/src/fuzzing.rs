//! What a peer may send, given to the code that reads it: one function per fuzz target. Nothing a peer
//! sends may make it panic, run on, or believe a length.
//!
//! The corpus of each target is replayed by the tests below.

use std::{io::Write, os::unix::net::UnixStream, sync::Arc};

use rustyray_memory::{Heap, Memory, sync::Ordering::Relaxed};

use crate::{
    Bell, Consumer, FrameError, MAX_FRAME_BYTES, MAX_FRAME_FDS, Producer, RingShape, Ringer,
    WorkConsumer, WorkProducer, frame::Incoming,
};

/// Bytes on a socket whose other end then closes, read as frames.
pub fn frames(data: &[u8]) {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    theirs.write_all(&data[..data.len().min(64 << 10)]).expect("the buffer has room");
    drop(theirs);
    let mut incoming = Incoming::default();
    loop {
        match incoming.pull(std::os::fd::AsFd::as_fd(&ours)) {
            Ok(Some(message)) => {
                assert!(message.bytes.len() <= MAX_FRAME_BYTES);
                assert!(message.fds.len() <= MAX_FRAME_FDS);
            }
            Ok(None) => return,
            Err(error) => {
                let again = incoming.pull(std::os::fd::AsFd::as_fd(&ours));
                assert!(
                    !matches!(error, FrameError::Garbage(_))
                        || matches!(again, Err(FrameError::Garbage(_))),
                    "garbage is garbage for good"
                );
                return;
            }
        }
    }
}

const SHAPE: RingShape = RingShape { entries: 4, payload_words: 7 };

/// The words of a ring and of a doorbell, as a peer left them, seen from both ends.
pub fn ring(data: &[u8]) {
    let memory = || {
        let memory = Arc::new(Heap::new(SHAPE.words()));
        for (at, chunk) in data.chunks(8).take(SHAPE.words()).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            memory.word(at).store(u64::from_le_bytes(word), Relaxed);
        }
        memory
    };
    let mut into = [0; 7];
    let mut consumer = Consumer::new(memory(), SHAPE);
    for _ in 0..2 * SHAPE.entries {
        match consumer.front(&mut into) {
            Ok(Some(len)) => {
                assert!(len <= SHAPE.payload_words);
                consumer.advance();
            }
            Ok(None) => break,
            Err(garbage) => {
                assert_eq!(consumer.front(&mut into), Err(garbage), "garbage is garbage for good");
                break;
            }
        }
    }
    assert!(consumer.len() <= SHAPE.entries);
    let mut reaping = Consumer::new(memory(), SHAPE);
    let mut found = 0;
    while let Ok(Some(len)) = reaping.front_after_death(&mut into) {
        assert!(len <= SHAPE.payload_words);
        reaping.advance();
        found += 1;
        assert!(found <= SHAPE.entries, "the dead publish nothing any more");
    }
    let mut worker = WorkConsumer::new(memory(), SHAPE);
    let _ = worker.is_empty();
    for _ in 0..2 * SHAPE.entries {
        let Ok(Some(len)) = worker.claim(&mut into) else { break };
        assert!(len <= SHAPE.payload_words);
    }
    let producer = Producer::new(memory(), SHAPE);
    for number in 0..2 * SHAPE.entries as u64 {
        let _ = producer.push(&[number; 7]);
        assert!(producer.len() <= SHAPE.entries);
        let _ = producer.passed();
    }
    let node = WorkProducer::new(memory(), SHAPE);
    if let Ok(ticket) = node.push(&[1]) {
        let _ = node.take_back(ticket);
    }
    Ringer::new(memory()).ring();
    let bell = Bell::new(memory());
    bell.ring();
    bell.wake_local();
    let _ = bell.attend().leave();
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    /// Every file of a target's corpus does what it did when it was found: no harm.
    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut files = 0;
        for file in std::fs::read_dir(&corpus).expect("the target has a corpus") {
            run(&std::fs::read(file.expect("listed").path()).expect("readable"));
            files += 1;
        }
        assert!(files > 0, "{} is empty", corpus.display());
    }

    #[test]
    fn the_corpus_of_frames_does_no_harm() {
        replay("frames", super::frames);
    }

    #[test]
    fn the_corpus_of_rings_does_no_harm() {
        replay("rings", super::ring);
    }

    /// Words of which many are plausible: a ring of nothing but noise is found out at once.
    fn words() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            3 => 0_u64..16,
            3 => (0_u64..16, 0_u64..4, 0_u64..12).prop_map(|(turn, state, len)| (turn << 10) + (state << 8) + len),
            1 => any::<u64>(),
            1 => Just(u64::MAX),
        ];
        proptest::collection::vec(word, 0..=super::SHAPE.words())
            .prop_map(|words| words.into_iter().flat_map(u64::to_le_bytes).collect())
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm_as_frames(len in 0_u32..40, fds in 0_u16..3, data in proptest::collection::vec(any::<u8>(), 0..64)) {
            super::frames(&data);
            let mut framed = Vec::from(len.to_le_bytes());
            framed.extend(fds.to_le_bytes());
            framed.extend(b"RR");
            framed.extend(data);
            super::frames(&framed);
        }

        #[test]
        fn no_words_do_harm_as_a_ring(data in words()) {
            super::ring(&data);
        }
    }
}
