//! The names of the types that are stored, so that a mismatch can name both.
//!
//! An open-addressed table of fingerprints in shared memory. Whoever stores the first value of a type
//! claims an entry and writes the name; a reader takes a name only once its length is published. A
//! writer that dies in between leaves a type without a name, and a full table leaves the later ones
//! without: names are for messages only.

use rustyray_memory::{Memory, sync::Ordering};

/// Entries of the table.
const ENTRIES: usize = 1024;
/// Words of one entry: fingerprint, length of the name, the name.
const ENTRY_WORDS: usize = 32;
const NAME_BYTES: usize = (ENTRY_WORDS - 2) * 8;
/// How far from its home an entry may be.
const PROBES: usize = 16;

/// Words of the table.
pub(crate) const WORDS: usize = ENTRIES * ENTRY_WORDS;

/// The table.
#[derive(Copy, Clone, Debug)]
pub struct TypeNames<'a, M> {
    memory: &'a M,
    base: usize,
}

impl<'a, M: Memory> TypeNames<'a, M> {
    /// The table whose words begin at `base`.
    pub fn new(memory: &'a M, base: usize) -> Self {
        TypeNames { memory, base }
    }

    fn entries(&self, fingerprint: u64) -> impl Iterator<Item = usize> + use<M> {
        let base = self.base;
        (0..PROBES)
            .map(move |i| base + (fingerprint as usize % ENTRIES + i) % ENTRIES * ENTRY_WORDS)
    }

    /// Makes the name known; one load when it is already.
    #[inline]
    pub fn register(&self, fingerprint: u64, name: impl FnOnce() -> &'static str) {
        for entry in self.entries(fingerprint) {
            let word = self.memory.word(entry);
            let mut seen = word.load(Ordering::Relaxed);
            if seen == 0 {
                match word.compare_exchange(0, fingerprint, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return self.write(entry, name()),
                    Err(now) => seen = now,
                }
            }
            if seen == fingerprint {
                return;
            }
        }
    }

    fn write(&self, entry: usize, name: &str) {
        let name = &name.as_bytes()[..name.len().min(NAME_BYTES)];
        for (i, chunk) in name.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.memory.word(entry + 2 + i).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        // Release: pairs with the Acquire of a reader.
        self.memory.word(entry + 1).store(name.len() as u64, Ordering::Release);
    }

    /// The name that goes with a fingerprint, if it is known.
    pub fn find(&self, fingerprint: u64) -> Option<String> {
        let entry = self
            .entries(fingerprint)
            .find(|&entry| self.memory.word(entry).load(Ordering::Relaxed) == fingerprint)?;
        let len = self.memory.word(entry + 1).load(Ordering::Acquire) as usize;
        if len == 0 || len > NAME_BYTES {
            return None;
        }
        let bytes: Vec<u8> = (0..len.div_ceil(8))
            .flat_map(|i| self.memory.word(entry + 2 + i).load(Ordering::Relaxed).to_le_bytes())
            .take(len)
            .collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;
    use rustyray_memory::Heap;

    #[test]
    fn names_are_found_by_their_fingerprint() {
        let heap = Heap::new(WORDS);
        let names = TypeNames::new(&heap, 0);
        names.register(7, || "alpha::Beta");
        names.register(7 + ENTRIES as u64, || "gamma");
        names.register(7, || panic!("it is known"));
        assert_eq!(names.find(7).as_deref(), Some("alpha::Beta"));
        assert_eq!(names.find(7 + ENTRIES as u64).as_deref(), Some("gamma"));
        assert_eq!(names.find(8), None);
    }
}
