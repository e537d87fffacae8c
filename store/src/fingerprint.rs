//! Type fingerprints: what two processes compare before one reads what the other wrote.
//!
//! `TypeId` is not stable between builds, so the fingerprint is made of the archived type's name,
//! size and alignment, and of the format that rkyv is built for (little endian, 64-bit pointers).

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::{Value, place::FINGERPRINT_BITS};

/// The rkyv format that this crate is built for: changes whenever archives change their layout.
const FORMAT: u64 = 0x726b_7976_0008_1e64;

/// The fingerprint of the archive of `T`.
pub fn fingerprint<T: Value>() -> u64 {
    T::fingerprint()
}

/// The fingerprint of the archived type `A`; never 0.
pub(crate) fn of<A>() -> u64 {
    let name = std::any::type_name::<A>().as_bytes();
    let mut hash = FORMAT ^ mix(size_of::<A>() as u64, align_of::<A>() as u64 | 1 << 32);
    let mut chunks = name.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes"));
        hash = mix(hash ^ word, 0x9e37_79b9_7f4a_7c15);
    }
    let mut tail = [0; 8];
    tail[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    hash = mix(hash ^ u64::from_le_bytes(tail), 0xd6e8_feb8_6659_fd93);
    (mix(hash ^ name.len() as u64, 0xa076_1d64_78bd_642f) >> (u64::BITS - FINGERPRINT_BITS)).max(1)
}

/// A checksum of bytes, to tell whether a copy is whole.
#[derive(Debug)]
pub(crate) enum Checksum {
    /// Against accidents.
    Plain(u64),
    /// Against somebody who may write what is summed, and does not know the key.
    Keyed(Box<SipHasher24>),
}

impl Checksum {
    pub(crate) fn of_len(len_bytes: u64) -> Self {
        Checksum::Plain(mix(len_bytes ^ FORMAT, 0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn under_key(key: &[u8; 16], len_bytes: u64) -> Self {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write_u64(len_bytes);
        Checksum::Keyed(Box::new(hasher))
    }

    /// The bytes that follow: a multiple of 8 of them, but the last ones.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if let Checksum::Keyed(hasher) = self {
            return hasher.write(bytes);
        }
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.add_word(u64::from_le_bytes(word.try_into().expect("a chunk of eight bytes")));
        }
        if !words.remainder().is_empty() {
            let mut word = [0; 8];
            word[..words.remainder().len()].copy_from_slice(words.remainder());
            self.add_word(u64::from_le_bytes(word));
        }
    }

    fn add_word(&mut self, word: u64) {
        if let Checksum::Plain(hash) = self {
            *hash = mix(*hash ^ word, 0xd6e8_feb8_6659_fd93);
        }
    }

    pub(crate) fn finish(self) -> u64 {
        match self {
            Checksum::Plain(hash) => hash,
            Checksum::Keyed(hasher) => hasher.finish(),
        }
    }
}

/// Folds the 128-bit product: every bit of the input reaches every bit of the result.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_differ_by_their_fingerprint() {
        let all = [of::<u64>(), of::<i64>(), of::<u32>(), of::<()>(), of::<[u8; 8]>()];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "fingerprints {all:x?}");
        }
    }

    #[test]
    fn a_checksum_tells_changed_and_exchanged_bytes() {
        let of = |parts: &[&[u8]]| {
            let mut checksum = Checksum::of_len(parts.iter().map(|part| part.len() as u64).sum());
            parts.iter().for_each(|part| checksum.add(part));
            checksum.finish()
        };
        let whole = of(&[b"one half, and the other"]);
        assert_eq!(of(&[b"one half", b", and the other"]), whole);
        assert_ne!(of(&[b"one half", b", and the othes"]), whole);
        assert_ne!(of(&[b", and the other", b"one half"]), whole);
        assert_ne!(of(&[b"one half, and the other\0"]), whole);
    }

    #[test]
    fn a_fingerprint_is_the_same_each_time() {
        assert_eq!(fingerprint::<Vec<String>>(), fingerprint::<Vec<String>>());
    }
}
