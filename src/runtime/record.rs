//! The record of tasks that ended, while somebody wants it.
//!
//! A worker reads one word of the control memory before it begins a task: whether anybody records. Only then
//! does it look at the clock, and sends the two times along with the completion, which goes through its up
//! ring anyway. The node keeps the newest [`KEPT`] in private memory, 104 bytes each.
//!
//! So a process's own ring bounds what it has not handed over yet, a worker that is killed takes with it
//! nothing that it has published, and while nobody looks the price is one load and a branch.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use rustyray_store::ObjectId;

use crate::spec::Kind;

/// How many tasks are kept.
pub(crate) const KEPT: usize = 100_000;

/// Words of an entry of an up ring that carries a record.
pub(crate) const RECORD_WORDS: usize = 14;

/// The monotonic clock, which all processes of a machine share.
#[inline]
pub(crate) fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// What is noted of a call as it begins. Without a time nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Began {
    pub(crate) at_ns: u64,
    /// The number of the text that is its name, where its options gave it one; otherwise 0.
    pub(crate) name: u64,
    /// Within what it was submitted: [`Submitter`] as words, or zeroes.
    pub(crate) submitter: [u64; 2],
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Failed,
    Retried,
}

/// A task that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) task: u64,
    pub(crate) function: u64,
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) returns: ObjectId,
    pub(crate) worker: u32,
    pub(crate) attempt: u16,
    pub(crate) index: u16,
    pub(crate) kind: Kind,
    pub(crate) end: End,
    /// As in [`Began`].
    pub(crate) name: u64,
    /// As in [`Began`].
    pub(crate) submitter: [u64; 2],
    /// The token of the actor whose method it is, or [`NO_ACTOR`].
    pub(crate) actor: ObjectId,
}

/// Stands for no actor; no object has generation 0.
pub(crate) const NO_ACTOR: ObjectId = ObjectId { index: 0, generation: 0 };

const _: () = assert!(size_of::<Ended>() <= 104, "100,000 of them are some ten megabytes");

impl Ended {
    /// The words that follow the first of an entry: what [`Ended::from_words`] reads.
    #[inline]
    pub(crate) fn to_words(self, first: u64) -> [u64; RECORD_WORDS] {
        let place = u64::from(self.index) << 16 | (self.kind as u64) << 32;
        [
            first,
            self.task,
            u64::from(self.attempt),
            self.began_ns,
            self.ended_ns,
            self.function,
            place,
            u64::from(self.returns.index),
            self.returns.generation,
            self.name,
            self.submitter[0],
            self.submitter[1],
            u64::from(self.actor.index),
            self.actor.generation,
        ]
    }

    /// Reads an entry of `worker`; `None` when it is no record.
    #[inline]
    pub(crate) fn from_words(entry: &[u64], worker: u32, end: End) -> Option<Ended> {
        let &[_, task, attempt, began_ns, ended_ns, function, place, ref rest @ ..] = entry else {
            return None;
        };
        let &[index, generation, name, first, second, actor, actor_generation] = rest else {
            return None;
        };
        let actor = ObjectId { index: u32::try_from(actor).ok()?, generation: actor_generation };
        let kind = match place >> 32 {
            1 => Kind::Task,
            2 => Kind::Construct,
            3 => Kind::Method,
            _ => return None,
        };
        Some(Ended {
            task,
            function,
            began_ns,
            ended_ns,
            returns: ObjectId { index: u32::try_from(index).ok()?, generation },
            worker,
            attempt: attempt as u16,
            index: (place >> 16) as u16,
            kind,
            end,
            name,
            submitter: [first, second],
            actor,
        })
    }
}

/// The newest tasks that ended while somebody recorded.
#[derive(Debug, Default)]
pub(crate) struct Record {
    watchers: AtomicUsize,
    kept: Mutex<VecDeque<Ended>>,
}

impl Record {
    /// Somebody wants it; whether nobody did before.
    pub(crate) fn watch(&self) -> bool {
        self.watchers.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Somebody has seen enough; whether nobody wants it any more.
    pub(crate) fn leave(&self) -> bool {
        self.watchers.fetch_sub(1, Ordering::Relaxed) == 1
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn keep(&self, ended: Ended) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(ended);
    }

    /// Up to `limit` of what is kept, from the one after the `skip` newest on, the newest first.
    pub(crate) fn part(&self, skip: usize, limit: usize) -> Vec<Ended> {
        self.kept.lock().iter().rev().skip(skip).take(limit).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(task: u64) -> Ended {
        Ended {
            task,
            function: 7,
            began_ns: 1,
            ended_ns: 2,
            returns: ObjectId { index: 3, generation: 4 },
            worker: 5,
            attempt: 6,
            index: 9,
            kind: Kind::Method,
            end: End::Failed,
            name: 8,
            submitter: [7, 6],
            actor: ObjectId { index: 9, generation: 10 },
        }
    }

    #[test]
    fn a_record_survives_the_way() {
        let words = ended(11).to_words(3);
        let back = Ended::from_words(&words, 5, End::Failed).expect("well formed");
        assert_eq!(format!("{back:?}"), format!("{:?}", ended(11)));
        assert!(Ended::from_words(&words[..8], 5, End::Finished).is_none());
        let mut other = words;
        other[6] = u64::MAX;
        assert!(Ended::from_words(&other, 5, End::Finished).is_none());
    }

    #[test]
    fn the_newest_tasks_are_kept() {
        let record = Record::default();
        (0..KEPT as u64 + 10).for_each(|task| record.keep(ended(task)));
        let newest = record.part(0, 3);
        assert_eq!(newest[0].task, KEPT as u64 + 9);
        assert_eq!(record.part(KEPT - 1, 10).len(), 1);
        assert_eq!(record.part(KEPT - 1, 10)[0].task, 10);
    }
}
