//! The record of tasks that ended, while somebody wants it.
//!
//! A worker reads one word of the control memory before it begins a task: whether anybody records. Only then
//! does it look at the clock, and sends the two times along with the completion, which goes through its up
//! ring anyway. The node keeps the newest [`KEPT`] in private memory, 104 bytes each.
//!
//! So a process's own ring bounds what it has not handed over yet, a worker that is killed takes with it
//! nothing that it has published, and while nobody looks the price is one load and a branch.

use std::{
    cell::Cell,
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use rustyray_store::ObjectId;

use crate::spec::Kind;

/// How many tasks are kept.
pub(crate) const KEPT: usize = 100_000;

/// Words of an entry of an up ring that carries a record, at most.
pub(crate) const RECORD_WORDS: usize = 12;
/// Of one that has nothing but what every task has.
pub(crate) const SHORT_WORDS: usize = 7;

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
    /// When it began, where how long it takes is measured and nothing else is recorded; otherwise 0.
    pub(crate) sampled_ns: u64,
}

impl Began {
    /// One task in eight is measured, by chance: tasks may come in any pattern.
    #[inline]
    pub(crate) fn sampled() -> Began {
        thread_local! {
            static CHANCE: Cell<u64> = const { Cell::new(0) };
        }
        let chance = CHANCE.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        CHANCE.set(chance);
        let sampled_ns = if chance >> 61 == 0 { now_ns() } else { 0 };
        Began { sampled_ns, ..Began::default() }
    }

    /// For how many nanoseconds it has run, at least one; 0 where that is not measured.
    #[inline]
    pub(crate) fn ran_ns(&self) -> u32 {
        if self.sampled_ns == 0 { 0 } else { between(self.sampled_ns, now_ns()) }
    }
}

/// Nanoseconds from one time to another, at least one.
fn between(began_ns: u64, ended_ns: u64) -> u32 {
    u32::try_from(ended_ns.saturating_sub(began_ns)).unwrap_or(u32::MAX).max(1)
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

/// What room is filled with until there is something to keep: not zeroes, whose pages would be left untouched.
const NOTHING: Ended = Ended {
    task: u64::MAX,
    function: 0,
    began_ns: 0,
    ended_ns: 0,
    returns: NO_ACTOR,
    worker: 0,
    attempt: 0,
    index: 0,
    kind: Kind::Task,
    end: End::Finished,
    name: 0,
    submitter: [0; 2],
    actor: NO_ACTOR,
};

const _: () = assert!(size_of::<Ended>() <= 104, "100,000 of them are some ten megabytes");

/// How long a task ran is told in these many nanoseconds, so that 40 bits hold a day and a half.
const GRAIN_NS: u64 = 128;
const DURATION_BITS: u32 = 40;
const MOST_GRAINS: u64 = (1 << DURATION_BITS) - 1;

impl Ended {
    /// As [`Began::ran_ns`]: of a task, for actors' calls are not placed by what they take.
    pub(crate) fn ran_ns(&self) -> u32 {
        if self.kind == Kind::Task { between(self.began_ns, self.ended_ns) } else { 0 }
    }

    /// The words of an entry that begins with `first`, and how many of them: what [`Ended::from_words`] reads.
    ///
    /// | word | holds |
    /// | --- | --- |
    /// | 0, 1 | the entry's first word, the task |
    /// | 2 | attempt (16 bits), method (16), kind (8), the upper bits of the first return's index (24) |
    /// | 3, 4 | when it began; how long it ran (40), the lower bits of that index (24) |
    /// | 5, 6 | function, generation of the first return |
    /// | 7 … 11 | name, submitter (2), actor (2), where there is any of them |
    ///
    /// Nearly all tasks are the first seven words, which lie in one cache line with the entry's head.
    #[inline]
    pub(crate) fn to_words(self, first: u64) -> ([u64; RECORD_WORDS], usize) {
        let took = (self.ended_ns.saturating_sub(self.began_ns) / GRAIN_NS).min(MOST_GRAINS);
        let returns = u64::from(self.returns.index);
        let named = u64::from(self.attempt)
            | u64::from(self.index) << 16
            | (self.kind as u64) << 32
            | (returns >> 24) << 40;
        let words = [
            first,
            self.task,
            named,
            self.began_ns,
            took | returns << DURATION_BITS,
            self.function,
            self.returns.generation,
            self.name,
            self.submitter[0],
            self.submitter[1],
            u64::from(self.actor.index),
            self.actor.generation,
        ];
        let is_plain = words[SHORT_WORDS..] == [0; RECORD_WORDS - SHORT_WORDS];
        (words, if is_plain { SHORT_WORDS } else { RECORD_WORDS })
    }

    /// Reads an entry of `worker`; `None` when it is no record.
    #[inline]
    pub(crate) fn from_words(entry: &[u64], worker: u32, end: End) -> Option<Ended> {
        let (short, rest) = entry.split_at_checked(SHORT_WORDS)?;
        let &[_, task, named, began_ns, timed, function, generation] = short else { return None };
        let (name, submitter, actor) = match rest {
            [] => (0, [0; 2], NO_ACTOR),
            &[name, first, second, index, generation] => {
                let index = u32::try_from(index).ok()?;
                (name, [first, second], ObjectId { index, generation })
            }
            _ => return None,
        };
        let kind = match named >> 32 & 0xff {
            1 => Kind::Task,
            2 => Kind::Construct,
            3 => Kind::Method,
            _ => return None,
        };
        let index = timed >> DURATION_BITS | (named >> 40) << 24;
        let took_ns = (timed & MOST_GRAINS) * GRAIN_NS;
        Some(Ended {
            task,
            function,
            began_ns,
            ended_ns: began_ns.saturating_add(took_ns),
            returns: ObjectId { index: u32::try_from(index).ok()?, generation },
            worker,
            attempt: named as u16,
            index: (named >> 16) as u16,
            kind,
            end,
            name,
            submitter,
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
        self.make_room();
        self.watchers.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Has the pages of all that will be kept at hand: a page that is touched first while a task is noted costs
    /// that task as much as hundreds of notes.
    fn make_room(&self) {
        if self.kept.lock().capacity() >= KEPT {
            return;
        }
        let mut room = VecDeque::from(vec![NOTHING; KEPT]);
        room.clear();
        let mut kept = self.kept.lock();
        room.extend(kept.drain(..));
        *kept = room;
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
            ended_ns: 1 + GRAIN_NS,
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
        let (words, len) = ended(11).to_words(3);
        assert_eq!(len, RECORD_WORDS);
        let back = Ended::from_words(&words, 5, End::Failed).expect("well formed");
        assert_eq!(format!("{back:?}"), format!("{:?}", ended(11)));
        let mut plain = ended(12);
        (plain.name, plain.submitter, plain.actor) = (0, [0; 2], NO_ACTOR);
        plain.returns.index = u32::MAX - 1;
        plain.ended_ns = 1 + 9 * GRAIN_NS;
        let (short, len) = plain.to_words(3);
        assert_eq!(len, SHORT_WORDS);
        let back = Ended::from_words(&short[..len], 5, End::Failed).expect("well formed");
        assert_eq!(format!("{back:?}"), format!("{plain:?}"));
        plain.ended_ns = u64::MAX;
        let (short, len) = plain.to_words(3);
        let back = Ended::from_words(&short[..len], 5, End::Failed).expect("well formed");
        assert_eq!(back.returns, plain.returns, "a long time spills over nothing");
        assert!(back.ended_ns > 100_000_000_000_000, "{back:?}");
        for len in (0..SHORT_WORDS).chain(SHORT_WORDS + 1..RECORD_WORDS) {
            assert!(Ended::from_words(&words[..len], 5, End::Finished).is_none(), "{len} words");
        }
        let mut other = words;
        other[2] = u64::MAX;
        assert!(Ended::from_words(&other, 5, End::Finished).is_none());
    }

    #[test]
    fn the_newest_tasks_are_kept() {
        let record = Record::default();
        (0..2).for_each(|task| record.keep(ended(task)));
        assert!(record.watch());
        assert_eq!(record.part(0, 10).len(), 2, "what was kept before is kept");
        (2..KEPT as u64 + 10).for_each(|task| record.keep(ended(task)));
        let newest = record.part(0, 3);
        assert_eq!(newest[0].task, KEPT as u64 + 9);
        assert_eq!(record.part(KEPT - 1, 10).len(), 1);
        assert_eq!(record.part(KEPT - 1, 10)[0].task, 10);
    }
}
