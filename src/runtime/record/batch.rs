//! What one process recorded lately, as it was written.

use rustyray_store::ObjectId;

use super::{
    BATCH,
    ended::{Ended, KILLED, NO_ACTOR, RECORD_WORDS, SHORT_WORDS, actor_of, ended_at, nested},
};

/// Where the words of a record say how many they are: in bits of the first that mean nothing more by now.
const LEN: u32 = 32;

/// What the records of a batch have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) tasks: usize,
    /// The process id.
    pub(super) worker: u32,
    /// The actor that lived there before the first of them, as far as it was named.
    pub(super) actor: ObjectId,
    /// When the last of the tasks ended, in ticks.
    pub(super) latest: u64,
}

/// The records of one process that are not put away yet. Whoever drains the process's ring has it.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Each record's words, one after the other.
    words: Vec<u64>,
    common: Common,
    /// The actor that lives there now.
    actor: ObjectId,
}

impl Batch {
    /// For what this process will record.
    pub(crate) fn of(worker: u32) -> Batch {
        let common = Common { tasks: 0, worker, actor: NO_ACTOR, latest: 0 };
        Batch { words: Vec::new(), common, actor: NO_ACTOR }
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
            _ => {
                self.words.extend_from_slice(entry);
                self.actor = actor_of(entry).unwrap_or(self.actor);
            }
        }
        self.words[at] = u64::from(entry[0] as u32) | (entry.len() as u64) << LEN;
        self.common.latest = self.common.latest.max(ended_at(entry));
        self.common.tasks += 1;
        self.common.tasks == BATCH
    }

    /// The same of a task that was not told within what it was submitted.
    #[inline]
    pub(crate) fn note_nested(&mut self, entry: &[u64], submitter: [u64; 2]) -> bool {
        match nested(entry, submitter) {
            Some((words, len)) => self.note(&words[..len]),
            None => self.note(entry),
        }
    }

    /// Notes an attempt whose process can say nothing of it any more.
    pub(crate) fn note_killed(&mut self, ended: Ended) {
        let (words, len) = ended.to_words(KILLED << 8);
        self.note(&words[..len]);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.common.tasks == 0
    }

    /// The words, and what they have in common; they are noted no more.
    pub(super) fn take(&mut self, into: impl FnOnce(&[u64], Common)) {
        into(&self.words, self.common);
        self.words.clear();
        self.common = Common { tasks: 0, actor: self.actor, latest: 0, ..self.common };
    }
}

/// The entries in a batch's words, the oldest first.
fn entries(words: &[u64]) -> impl Iterator<Item = &[u64]> {
    let mut rest = words;
    std::iter::from_fn(move || {
        let len = (rest.first()? >> LEN) as usize;
        let (entry, behind) = rest.split_at_checked(len.max(1))?;
        rest = behind;
        Some(entry)
    })
}

/// What a batch's words say. A record that says nothing is left out.
pub(super) fn read(words: &[u64], common: Common) -> impl Iterator<Item = Ended> {
    let mut actor = common.actor;
    entries(words).filter_map(move |entry| {
        actor = actor_of(entry).unwrap_or(actor);
        Ended::from_words(entry, common.worker, actor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::record::ended::tests::{entry, plain};

    #[test]
    fn the_actor_that_a_process_names_once_is_that_of_all_its_methods() {
        let method = |task, actor| entry(&Ended { actor, ..plain(task) });
        let [first, second] = [1, 2].map(|index| ObjectId { index, generation: 7 });
        let mut batch = Batch::of(5);
        let mut told = Vec::new();
        let mut put_away = |batch: &mut Batch| {
            batch.take(|words, common| told.extend(read(words, common).map(|e| (e.task, e.actor))));
        };
        for (task, actor) in [(1, first), (2, NO_ACTOR)] {
            batch.note(&method(task, actor));
        }
        put_away(&mut batch);
        for (task, actor) in [(3, NO_ACTOR), (4, second), (5, NO_ACTOR)] {
            batch.note(&method(task, actor));
        }
        put_away(&mut batch);
        assert!(batch.is_empty());
        assert_eq!(told, [(1, first), (2, first), (3, first), (4, second), (5, second)]);
    }
}
