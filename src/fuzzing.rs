//! What a process may say to another, given to the code that reads it: one function per fuzz target.
//!
//! The corpus of each target is replayed by the tests below.

use crate::{
    error::Error,
    runtime::{
        submission::{Extension, Wanted},
        wire::{ToClient, ToNode},
    },
    spec::{self, Header},
};

fn words(data: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    data.chunks(8).map(word).collect()
}

/// A task's words, and a submission's, as a client publishes them.
pub fn specs(data: &[u8]) {
    let words = words(data);
    if let Ok(header) = Header::parse(&words)
        && let Ok(mut parts) = header.split(&words[spec::HEADER_WORDS..])
    {
        let returns = parts.returns().count();
        assert!(returns <= spec::MAX_RETURNS);
        let mut arguments = 0;
        while let Ok(Some(argument)) = parts.arguments.next() {
            if let spec::Argument::Value { words: value, len } = argument {
                assert!(len <= 8 * value.len() && value.len() <= words.len());
            }
            arguments += 1;
            assert!(arguments <= words.len(), "more arguments than words");
        }
    }
    if let Ok(known) = spec::read(&words) {
        assert!(known.returns.as_slice().len() + known.dependencies.len() <= words.len());
        assert!(known.extension.len() <= 8 * words.len());
        let _ = Extension::from_bytes(&known.extension);
    }
    if let Ok((_, nested, rest)) = Wanted::from_words(&words) {
        assert!(2 * nested.len() + rest.len() <= words.len());
        let _ = spec::read(rest);
    }
}

/// A message on the socket, and an error that came as bytes.
pub fn messages(data: &[u8]) {
    if let Ok(message) = ToNode::from_bytes(data) {
        assert!(ToNode::from_bytes(&message.to_bytes()).is_ok_and(|again| again == message));
    }
    if let Ok(message) = ToClient::from_bytes(data) {
        assert!(ToClient::from_bytes(&message.to_bytes()).is_ok_and(|again| again == message));
    }
    let error = Error::from_bytes("an object", data);
    let _ = error.to_string();
    assert_eq!(Error::from_bytes("an object", &error.to_bytes()), error);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    /// Every file of a target's corpus does what it did when it was found: no harm.
    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut files = 0;
        for file in std::fs::read_dir(&corpus).expect("the target has a corpus") {
            run(&std::fs::read(file.expect("listed").path()).expect("readable"));
            files += 1;
        }
        assert!(files > 0, "{} is empty", corpus.display());
    }

    #[test]
    fn the_corpora_do_no_harm() {
        replay("specs", super::specs);
        replay("messages", super::messages);
    }

    /// Words that may mean something to somebody.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![
            3 => 0_u64..8,
            2 => (1_u64..5, 0_u64..4, 0_u64..8, 0_u64..8)
                .prop_map(|(kind, flags, low, high)| (high << 32) + (low << 16) + (flags << 8) + kind),
            2 => (0_u64..3, 0_u64..40).prop_map(|(tag, len)| (len << 8) + tag),
            1 => any::<u64>(),
        ]
    }

    proptest! {
        #[test]
        fn no_words_do_harm(words in proptest::collection::vec(word(), 0..40)) {
            super::specs(&words.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::messages(&bytes);
        }
    }
}
