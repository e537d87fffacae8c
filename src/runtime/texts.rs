//! Texts that processes tell the node once and name by number from then on: names that options give to tasks,
//! and places in source files.
//!
//! A text's number is a hash of it, so that whoever has it can say it without asking. It is said by an entry
//! of the up ring before the first entry that names it, which is all the order there is. Nobody says any while
//! nobody looks.
//!
//! What the node keeps is private memory and bounded: beyond [`KEPT`] texts new ones are unknown, and what
//! they would have told is left out.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use parking_lot::Mutex;

use super::{Core, Link, uplink::UP_TEXT};
use crate::spec::ENTRY_WORDS;

/// How many texts the node keeps.
const KEPT: usize = 1 << 16;

/// Words of an entry before the text: its kind, the text's number, its length.
const HEAD_WORDS: usize = 3;

/// The longest text, in bytes; of a longer one the end is said, which of a path is the more telling part.
const LONGEST: usize = 8 * (ENTRY_WORDS - HEAD_WORDS);

/// The number of a text, never 0.
fn number_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish().max(1)
}

/// The end of `text` that an entry has room for.
fn end_of(text: &str) -> &str {
    let cut = text.len().saturating_sub(LONGEST);
    let cut = (cut..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(cut);
    &text[cut..]
}

/// The entry by which a client says a text.
fn entry_of(number: u64, text: &str) -> Vec<u64> {
    let mut entry = vec![UP_TEXT, number, text.len() as u64];
    entry.extend(text.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    }));
    entry
}

/// The texts that the node was told.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<HashMap<u64, Box<str>>>);

impl Texts {
    fn keep(&self, number: u64, text: &str) {
        let mut texts = self.0.lock();
        if texts.len() < KEPT {
            texts.entry(number).or_insert_with(|| text.into());
        }
    }

    /// Keeps a text of the node's own, and gives its number.
    pub(crate) fn say(&self, text: &str) -> u64 {
        let text = end_of(text);
        let number = number_of(text);
        self.keep(number, text);
        number
    }

    /// Takes an entry of an up ring; what is wrong with it otherwise.
    pub(super) fn hear(&self, entry: &[u64]) -> Result<(), &'static str> {
        let &[_, number, len, ref words @ ..] = entry else { return Err("a text without a head") };
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let text = bytes.get(..len).ok_or("a text shorter than it says")?;
        self.keep(number, &String::from_utf8_lossy(text));
        Ok(())
    }

    /// The text of this number, where it is known.
    pub(crate) fn get(&self, number: u64) -> Option<String> {
        self.0.lock().get(&number).map(|text| text.to_string())
    }
}

/// The numbers of the texts that a client has said.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<HashSet<u64>>);

impl Core {
    /// Sees to it that the node knows `text`, and gives its number.
    pub(crate) fn tell(&self, text: &str) -> u64 {
        match &self.link {
            Link::Node(node) => node.texts.say(text),
            Link::Uplink(uplink) => {
                let text = end_of(text);
                let number = number_of(text);
                // Under the lock: a second thread must not name it before it is said.
                let mut said = uplink.said.0.lock();
                if said.len() < KEPT && said.insert(number) {
                    uplink.publish(&entry_of(number, text));
                }
                number
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_survives_the_way_and_a_long_one_keeps_its_end() {
        let texts = Texts::default();
        for text in ["", "x", "src/main.rs:12:9", &"ü".repeat(200)] {
            let end = end_of(text);
            let entry = entry_of(number_of(end), end);
            assert!(entry.len() <= ENTRY_WORDS, "{} words", entry.len());
            texts.hear(&entry).expect("well formed");
            assert_eq!(texts.get(number_of(end)).as_deref(), Some(end));
            assert!(text.ends_with(end));
        }
        assert!(texts.hear(&[UP_TEXT, 7, 9, 1]).is_err());
        assert!(texts.hear(&[UP_TEXT, 7, u64::MAX]).is_err());
        assert!(texts.hear(&[UP_TEXT]).is_err());
    }

    #[test]
    fn there_is_a_bound_to_what_is_kept() {
        let texts = Texts::default();
        (0..KEPT as u64 + 10).for_each(|number| texts.keep(number, "x"));
        assert!(texts.get(KEPT as u64 - 1).is_some());
        assert!(texts.get(KEPT as u64 + 1).is_none());
    }
}
