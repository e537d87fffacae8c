//! A task that ended, and the words in which its process says so.

use std::cell::Cell;

use rustyray_memory::Clock;
use rustyray_store::ObjectId;

use crate::{
    runtime::worker::{CANCELLED, FAILED, REPORTED},
    spec::Kind,
};

/// Words of an entry of an up ring that carries a record: of one that has nothing but what every task has.
pub(super) const SHORT_WORDS: usize = 7;
/// Of one that also says within what it was submitted.
const NESTED_WORDS: usize = SHORT_WORDS + 2;
/// Of one that says all there can be.
pub(super) const RECORD_WORDS: usize = 12;

/// How an attempt ended whose process was killed: the node notes it, where workers say other things.
pub(super) const KILLED: u64 = 0xff;

/// What is noted of a call as it begins. Without a time nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Began {
    /// In ticks of the session's clock; 0 for none.
    pub(crate) at: u64,
    /// The number of the text that is its name, where its options gave it one; otherwise 0.
    pub(crate) name: u64,
    /// Within what it was submitted: [`crate::spec::Submitter`] as words, or zeroes.
    pub(crate) submitter: [u64; 2],
    /// It is a method, and no record of this process has said yet of which actor.
    pub(crate) names_actor: bool,
    /// When it began by the system's clock, where the scheduler is told how long it takes; otherwise 0.
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
        let sampled_ns = if chance >> 61 == 0 { Clock::System.ticks() } else { 0 };
        Began { sampled_ns, ..Began::default() }
    }

    /// For how many nanoseconds it has run, at least one; 0 where that is not measured.
    #[inline]
    pub(crate) fn ran_ns(&self) -> u32 {
        if self.sampled_ns == 0 {
            return 0;
        }
        let ran_ns = Clock::System.ticks().saturating_sub(self.sampled_ns);
        u32::try_from(ran_ns).unwrap_or(u32::MAX).max(1)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Failed,
    Retried,
    /// With its process. It is run again, or has failed.
    Killed,
}

/// A task that ended. Times are in ticks of the session's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) task: u64,
    pub(crate) function: u64,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) returns: ObjectId,
    /// The process id.
    pub(crate) worker: u32,
    pub(crate) attempt: u16,
    pub(crate) index: u16,
    pub(crate) kind: Kind,
    pub(crate) end: End,
    /// As in [`Began`].
    pub(crate) name: u64,
    /// As in [`Began`].
    pub(crate) submitter: [u64; 2],
    /// The token of the actor whose method it is, or [`NO_ACTOR`]; in a process whose records have said it, that too.
    pub(crate) actor: ObjectId,
}

/// Stands for no actor; no object has generation 0.
pub(crate) const NO_ACTOR: ObjectId = ObjectId { index: 0, generation: 0 };

/// Bits that say how long a task ran.
const TOOK_BITS: u32 = 40;
/// Set where it is said in [`COARSE`] ticks: of what took longer than minutes.
const IS_COARSE: u64 = 1 << (TOOK_BITS - 1);
const COARSE: u64 = 1 << 12;

/// How long a task ran in 40 bits: to the tick up to minutes, and to some microseconds up to weeks.
fn pack_took(ticks: u64) -> u64 {
    match ticks {
        ..IS_COARSE => ticks,
        _ => IS_COARSE | (ticks / COARSE).min(IS_COARSE - 1),
    }
}

fn unpack_took(timed: u64) -> u64 {
    let took = timed & (IS_COARSE - 1);
    if timed & IS_COARSE == 0 { took } else { took * COARSE }
}

/// Whether an entry of an up ring that has these words may be a record, as far as its length says.
#[inline]
pub(crate) fn is_record(entry: &[u64]) -> bool {
    matches!(entry.len(), SHORT_WORDS | NESTED_WORDS | RECORD_WORDS)
}

/// The record of a task that was not told within what it was submitted, with that in its place; `None` of one that says
/// it itself. Gives the words, and how many they are.
#[inline]
pub(super) fn nested(entry: &[u64], submitter: [u64; 2]) -> Option<([u64; RECORD_WORDS], usize)> {
    if entry.get(SHORT_WORDS..NESTED_WORDS).is_some_and(|said| said != [0; 2]) {
        return None;
    }
    let mut words = [0; RECORD_WORDS];
    words.get_mut(..entry.len())?.copy_from_slice(entry);
    words[SHORT_WORDS..NESTED_WORDS].copy_from_slice(&submitter);
    Some((words, entry.len().max(NESTED_WORDS)))
}

/// The actor that a record names, if it does.
#[inline]
pub(super) fn actor_of(entry: &[u64]) -> Option<ObjectId> {
    let &[index, generation] = entry.get(RECORD_WORDS - 2..)? else { return None };
    let actor = ObjectId { index: u32::try_from(index).ok()?, generation };
    (actor != NO_ACTOR).then_some(actor)
}

/// When the task of a record ended.
#[inline]
pub(super) fn ended_at(entry: &[u64]) -> u64 {
    match entry {
        [_, _, _, began, timed, ..] => began.saturating_add(unpack_took(*timed)),
        _ => 0,
    }
}

impl Ended {
    /// The words of an entry that begins with `first`, and how many of them: what [`Ended::from_words`] reads.
    ///
    /// | word | holds |
    /// | --- | --- |
    /// | 0, 1 | the entry's first word, whose second byte says how it ended; the task |
    /// | 2 | attempt (16 bits), method (16), kind (8), the upper bits of the first return's index (24) |
    /// | 3, 4 | when it began; how long it ran (40), the lower bits of that index (24) |
    /// | 5, 6 | function, generation of the first return |
    /// | 7, 8 | submitter, where there is any of these five |
    /// | 9 … 11 | name, actor (2), where there is any of these three |
    ///
    /// Nearly all tasks are the first seven words, which lie in one cache line with the entry's head: a process says
    /// once which actor lives in it, and within what a task was submitted the node knows, which handed it out ([`nested`]).
    #[inline]
    pub(crate) fn to_words(self, first: u64) -> ([u64; RECORD_WORDS], usize) {
        let returns = u64::from(self.returns.index);
        let named = u64::from(self.attempt)
            | u64::from(self.index) << 16
            | (self.kind as u64) << 32
            | (returns >> 24) << 40;
        let words = [
            first,
            self.task,
            named,
            self.began,
            pack_took(self.ended.saturating_sub(self.began)) | returns << TOOK_BITS,
            self.function,
            self.returns.generation,
            self.submitter[0],
            self.submitter[1],
            self.name,
            u64::from(self.actor.index),
            self.actor.generation,
        ];
        let len = if self.name != 0 || self.actor != NO_ACTOR {
            RECORD_WORDS
        } else if self.submitter != [0; 2] {
            NESTED_WORDS
        } else {
            SHORT_WORDS
        };
        (words, len)
    }

    /// Reads an entry of `worker`, in which `actor` lives; `None` when it is no record.
    pub(super) fn from_words(entry: &[u64], worker: u32, actor: ObjectId) -> Option<Ended> {
        let (short, rest) = entry.split_at_checked(SHORT_WORDS)?;
        let &[first, task, named, began, timed, function, generation] = short else { return None };
        let (submitter, name) = match *rest {
            [] => ([0; 2], 0),
            [first, second] => ([first, second], 0),
            [first, second, name, _, _] => ([first, second], name),
            _ => return None,
        };
        let end = match first >> 8 & 0xff {
            REPORTED => End::Retried,
            FAILED | CANCELLED => End::Failed,
            KILLED => End::Killed,
            _ => End::Finished,
        };
        let kind = match named >> 32 & 0xff {
            1 => Kind::Task,
            2 => Kind::Construct,
            3 => Kind::Method,
            _ => return None,
        };
        let index = timed >> TOOK_BITS | (named >> 40) << 24;
        Some(Ended {
            task,
            function,
            began,
            ended: ended_at(entry),
            returns: ObjectId { index: u32::try_from(index).ok()?, generation },
            worker,
            attempt: named as u16,
            index: (named >> 16) as u16,
            kind,
            end,
            name,
            submitter,
            actor: match kind {
                Kind::Method => actor_of(entry).unwrap_or(actor),
                _ => NO_ACTOR,
            },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn ended(task: u64) -> Ended {
        Ended {
            task,
            function: 7,
            began: 1,
            ended: 130,
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

    /// One that has nothing but what every task has.
    pub(in crate::runtime::record) fn plain(task: u64) -> Ended {
        Ended { name: 0, submitter: [0; 2], actor: NO_ACTOR, ..ended(task) }
    }

    /// What a process publishes of it.
    pub(in crate::runtime::record) fn entry(ended: &Ended) -> Vec<u64> {
        let (words, len) = ended.to_words(3 | FAILED << 8);
        words[..len].to_vec()
    }

    fn there_and_back(ended: &Ended) -> Ended {
        Ended::from_words(&entry(ended), ended.worker, NO_ACTOR).expect("well formed")
    }

    #[test]
    fn a_record_survives_the_way() {
        let (long, mut short) = (ended(11), plain(12));
        short.returns.index = u32::MAX - 1;
        let nested = Ended { submitter: [7, 6], ..plain(13) };
        let named = Ended { name: 8, ..plain(14) };
        let lengths = [long, named, nested, short].map(|task| entry(&task).len());
        assert_eq!(lengths, [RECORD_WORDS, RECORD_WORDS, NESTED_WORDS, SHORT_WORDS]);
        for task in [long, named, nested, short] {
            assert!(is_record(&entry(&task)));
            assert_eq!(format!("{:?}", there_and_back(&task)), format!("{task:?}"));
        }
    }

    #[test]
    fn within_what_a_task_was_submitted_may_be_said_by_who_handed_it_out() {
        let named = Ended { name: 8, kind: Kind::Task, ..plain(14) };
        for task in [plain(12), named] {
            let (words, len) = nested(&entry(&task), [5, 4]).expect("it does not say");
            let back = Ended::from_words(&words[..len], task.worker, NO_ACTOR);
            let whole = Ended { submitter: [5, 4], ..task };
            assert_eq!(back.map(|back| format!("{back:?}")), Some(format!("{whole:?}")));
        }
        assert!(nested(&entry(&ended(11)), [5, 4]).is_none(), "it says it itself");
    }

    #[test]
    fn how_it_ended_is_said_by_the_first_word() {
        for (outcome, end) in [
            (0, End::Finished),
            (FAILED, End::Failed),
            (REPORTED, End::Retried),
            (CANCELLED, End::Failed),
            (KILLED, End::Killed),
        ] {
            let (words, len) = plain(1).to_words(3 | outcome << 8);
            assert_eq!(
                Ended::from_words(&words[..len], 5, NO_ACTOR).map(|ended| ended.end),
                Some(end)
            );
        }
    }

    #[test]
    fn a_method_is_of_the_actor_that_it_names_or_else_of_the_one_that_lives_there() {
        let lives_there = ObjectId { index: 1, generation: 2 };
        let (long, short) = (entry(&ended(11)), entry(&plain(12)));
        let actor =
            |entry: &[u64]| Ended::from_words(entry, 5, lives_there).map(|ended| ended.actor);
        assert_eq!(actor(&long), Some(ended(11).actor));
        assert_eq!(actor(&short), Some(lives_there));
        assert_eq!((actor_of(&long), actor_of(&short)), (Some(ended(11).actor), None));
        let task = Ended { kind: Kind::Task, ..plain(13) };
        assert_eq!(actor(&entry(&task)), Some(NO_ACTOR), "it only runs where one lives");
    }

    #[test]
    fn a_long_time_is_told_coarsely_and_spills_over_nothing() {
        for took in
            [0, 1, IS_COARSE - 1, IS_COARSE, IS_COARSE * 3 + 1, IS_COARSE * COARSE, u64::MAX]
        {
            let mut task = plain(1);
            task.ended = task.began.saturating_add(took);
            let back = there_and_back(&task);
            let took = (task.ended - task.began).min(COARSE * (IS_COARSE - 1));
            let grain = if took < IS_COARSE { 1 } else { COARSE };
            assert_eq!(back.ended - back.began, took / grain * grain);
            assert_eq!((back.returns, back.attempt, back.kind), (task.returns, 6, Kind::Method));
        }
    }

    #[test]
    fn what_is_no_record_is_not_read() {
        let words = entry(&ended(11));
        for len in (0..SHORT_WORDS).chain([8, 10, 11]) {
            assert!(Ended::from_words(&words[..len], 5, NO_ACTOR).is_none(), "{len} words");
            assert!(!is_record(&words[..len]), "{len} words");
        }
        let mut other = words;
        other[2] = u64::MAX;
        assert!(Ended::from_words(&other, 5, NO_ACTOR).is_none());
    }
}
