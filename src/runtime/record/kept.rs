//! The newest tasks that ended while somebody recorded.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use rustyray_memory::{Clock, Scale};

use super::{
    BATCH, KEPT,
    batch::{self, Batch, Common},
    ended::{Ended, RECORD_WORDS},
};

/// Words that all that is kept may take, and the batch that is just put away.
const ROOM: usize = (KEPT + 2 * BATCH) * RECORD_WORDS;

/// A batch among the words that are kept.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Counted from the first word that was ever kept.
    at: u64,
    len: usize,
    common: Common,
}

/// Whole batches, the oldest first.
#[derive(Debug, Default)]
struct Kept {
    words: VecDeque<u64>,
    /// How many words were there before the first.
    gone: u64,
    batches: VecDeque<Place>,
    tasks: usize,
}

impl Kept {
    /// Has the pages of all that will be kept at hand: a page that is touched first while a task is noted costs
    /// that task as much as hundreds of notes.
    fn make_room(&mut self) {
        if self.words.capacity() < ROOM {
            // Not zeroes, whose pages would be left untouched.
            let mut room = VecDeque::from(vec![u64::MAX; ROOM]);
            room.clear();
            room.extend(&self.words);
            self.words = room;
        }
    }

    fn push(&mut self, words: &[u64], common: Common) {
        while let Some(oldest) = self.batches.front()
            && self.tasks - oldest.common.tasks + common.tasks >= KEPT
        {
            self.words.drain(..oldest.len);
            self.gone += oldest.len as u64;
            self.tasks -= oldest.common.tasks;
            self.batches.pop_front();
        }
        let at = self.gone + self.words.len() as u64;
        self.words.extend(words);
        self.tasks += common.tasks;
        self.batches.push_back(Place { at, len: words.len(), common });
    }

    /// What a batch says, or nothing where it has made room for others.
    fn read(&self, place: Place, into: &mut Vec<Ended>) {
        let Some(at) = place.at.checked_sub(self.gone) else { return };
        let words: Vec<u64> = self.words.range(at as usize..).take(place.len).copied().collect();
        into.extend(batch::read(&words, place.common));
    }
}

/// The newest tasks that ended while somebody recorded.
#[derive(Debug)]
pub(crate) struct Record {
    /// What all processes of the session take times by.
    clock: Clock,
    /// Since the session began.
    scale: Mutex<Scale>,
    watchers: AtomicUsize,
    kept: Mutex<Kept>,
}

impl Record {
    /// The record of a session that begins now.
    pub(crate) fn new() -> Record {
        let clock = Clock::best();
        Record {
            clock,
            scale: Mutex::new(Scale::new(clock)),
            watchers: AtomicUsize::new(0),
            kept: Mutex::default(),
        }
    }

    /// What all processes of the session take times by.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// What times up to now mean, in nanoseconds since the session began.
    pub(crate) fn scale(&self) -> Scale {
        let mut scale = self.scale.lock();
        scale.go_on();
        scale.clone()
    }

    /// Somebody wants it; whether nobody did before.
    pub(crate) fn watch(&self) -> bool {
        self.kept.lock().make_room();
        self.watchers.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Somebody has seen enough; whether nobody wants it any more.
    pub(crate) fn leave(&self) -> bool {
        self.watchers.fetch_sub(1, Ordering::Relaxed) == 1
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Keeps what a process recorded.
    #[cold]
    pub(crate) fn put_away(&self, batch: &mut Batch) {
        if !batch.is_empty() {
            batch.take(|words, common| self.kept.lock().push(words, common));
        }
    }

    /// What was put away so far, from the task that ended last on.
    pub(crate) fn newest(&self) -> Newest<'_> {
        let mut batches: Vec<Place> = self.kept.lock().batches.iter().copied().collect();
        batches.sort_unstable_by_key(|batch| batch.common.latest);
        Newest { record: self, batches, found: Vec::new(), left: KEPT }
    }
}

/// Tasks that ended, the newest first. The record goes on meanwhile, and what makes room for newer ones before it
/// was read is left out.
#[derive(Debug)]
pub(crate) struct Newest<'a> {
    record: &'a Record,
    /// Those that were not read, the newest last.
    batches: Vec<Place>,
    /// What was read, the newest last.
    found: Vec<Ended>,
    /// How many may still be given.
    left: usize,
}

impl Iterator for Newest<'_> {
    type Item = Ended;

    fn next(&mut self) -> Option<Ended> {
        self.left = self.left.checked_sub(1)?;
        // In a batch that ended later there may be a task that did.
        while let Some(batch) = self.batches.pop_if(|batch| {
            self.found.last().is_none_or(|newest| newest.ended < batch.common.latest)
        }) {
            self.record.kept.lock().read(batch, &mut self.found);
            self.found.sort_by_key(|ended| ended.ended);
        }
        self.found.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;
    use crate::runtime::record::ended::tests::{entry, plain};

    /// Puts tasks of one process away that ended at these times.
    fn put_away(record: &Record, worker: u32, times: impl Iterator<Item = u64>) {
        let mut batch = Batch::of(worker);
        for ended in times {
            let mut task = plain(ended);
            (task.began, task.ended) = (ended - 1, ended);
            if batch.note(&entry(&task)) {
                record.put_away(&mut batch);
            }
        }
        record.put_away(&mut batch);
    }

    #[test]
    fn the_newest_tasks_are_kept() {
        let record = Record::new();
        put_away(&record, 1, 1..3);
        assert!(record.watch());
        assert_eq!(record.newest().count(), 2, "what was kept before is kept");
        put_away(&record, 1, 3..KEPT as u64 + 1000);
        let newest: Vec<_> = record.newest().map(|ended| ended.task).collect();
        assert_eq!(newest.len(), KEPT);
        assert!(newest.iter().copied().eq((1000..KEPT as u64 + 1000).rev()));
        let kept = record.kept.lock();
        assert!(kept.tasks < KEPT + BATCH && kept.words.capacity() < ROOM + 1024, "{}", kept.tasks);
    }

    #[test]
    fn tasks_of_many_processes_are_told_in_the_order_in_which_they_ended() {
        let record = Record::new();
        // One that has little to say, from all the time; one that is behind; one that is in front.
        put_away(&record, 1, (1..20).map(|at| at * 500));
        put_away(&record, 2, (1..1000).map(|at| 3 * at));
        put_away(&record, 3, (1..1000).map(|at| 5000 + 3 * at));
        let newest: Vec<_> = record.newest().map(|ended| ended.ended).collect();
        assert_eq!(newest.len(), 19 + 999 + 999);
        assert!(newest.is_sorted_by_key(|&ended| Reverse(ended)), "{newest:?}");
        assert_eq!(record.newest().map(|ended| ended.worker).max(), Some(3));
    }

    #[test]
    fn what_is_gone_before_it_is_read_is_left_out() {
        let record = Record::new();
        let (whole, last) = (2 * BATCH as u64, 2 * BATCH as u64 + 30);
        put_away(&record, 1, 1..last + 1);
        let mut newest = record.newest();
        assert_eq!(newest.next().map(|ended| ended.ended), Some(last));
        put_away(&record, 1, 1000..1000 + KEPT as u64);
        // The batch that it had read already.
        assert!(newest.map(|ended| ended.ended).eq((whole + 1..last).rev()));
    }
}
