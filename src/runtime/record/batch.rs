//! What one process recorded lately, as it was written.

use super::{
    BATCH,
    ended::{Ended, KILLED, RECORD_WORDS, SHORT_WORDS},
};

/// Where the words of a record say how many they are: in bits of the first that mean nothing more by now.
const LEN: u32 = 32;

/// The records of one process that are not put away yet. Whoever drains the process's ring has it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Each record's words, one after the other.
    words: Vec<u64>,
    tasks: usize,
    /// The process id.
    worker: u32,
}

impl Batch {
    /// For what this process will record.
    pub(crate) fn of(worker: u32) -> Batch {
        Batch { words: Vec::new(), tasks: 0, worker }
    }

    /// Notes an entry for which [`super::is_record`] holds; whether it is time to put them away.
    #[inline]
    pub(crate) fn note(&mut self, entry: &[u64]) -> bool {
        if self.words.capacity() == 0 {
            self.words.reserve_exact(BATCH * RECORD_WORDS);
        }
        let at = self.words.len();
        match entry.first_chunk::<SHORT_WORDS>() {
            // A copy of known length is a few instructions.
            Some(short) if entry.len() == SHORT_WORDS => self.words.extend_from_slice(short),
            _ => self.words.extend_from_slice(entry),
        }
        self.words[at] = u64::from(entry[0] as u32) | (entry.len() as u64) << LEN;
        self.tasks += 1;
        self.tasks == BATCH
    }

    /// Notes an attempt whose process can say nothing of it any more.
    pub(crate) fn note_killed(&mut self, ended: Ended) {
        let (words, len) = ended.to_words(KILLED << 8);
        self.note(&words[..len]);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks == 0
    }

    /// The words, how many tasks they are, and of which process; they are noted no more.
    pub(super) fn take(&mut self, into: impl FnOnce(&[u64], usize, u32)) {
        into(&self.words, self.tasks, self.worker);
        self.words.clear();
        self.tasks = 0;
    }
}

/// The entries in a batch's words, the oldest first.
pub(super) fn entries(words: &[u64]) -> impl Iterator<Item = &[u64]> {
    let mut rest = words;
    std::iter::from_fn(move || {
        let len = (rest.first()? >> LEN) as usize;
        let (entry, behind) = rest.split_at_checked(len.max(1))?;
        rest = behind;
        Some(entry)
    })
}

/// What a batch's words say. A record that says nothing is left out.
pub(super) fn read(words: &[u64], worker: u32) -> impl Iterator<Item = Ended> {
    entries(words).filter_map(move |entry| Ended::from_words(entry, worker))
}
