//! A task, call or construction as the node keeps it until it ends.

use std::sync::OnceLock;

use rustyray_scheduler::{PoolId, Retries};
use rustyray_store::ObjectId;
use smallvec::SmallVec;

use super::lineage::Again;
use crate::{
    call::Ids,
    runtime::line::LineId,
    spec::{self, Header, Kind},
};

/// The words of a job. Those of a task with one result and a number or a reference to take lie in the scheduler's record,
/// where one who has it has them too; a piece of memory for each would have to be asked for by one thread, and most often
/// be given back by another.
pub(super) type Words = SmallVec<[u64; WORDS]>;

const WORDS: usize = 9;

/// The same words as a job keeps them.
pub(super) fn words_of(words: Vec<u64>) -> Words {
    if words.len() <= WORDS { Words::from_slice(&words) } else { words.into() }
}

/// A task, call or construction as the scheduler keeps it.
pub(crate) struct Job {
    pub(super) words: Words,
    pub(super) returns: Ids,
    /// References that the job holds until it ends: arguments and references inside them.
    pub(super) held: Vec<ObjectId>,
    /// And one to each of its returns.
    pub(super) holds_returns: bool,
    pub(super) retries: Retries,
    /// The workers that can run it.
    pub(super) pool: PoolId,
    pub(super) name: Option<Box<str>>,
    /// The words again, as an object, when they do not fit an entry.
    pub(super) body: OnceLock<Box<ObjectId>>,
    /// It is a call of an actor that limits its unfinished calls.
    pub(super) is_limited: bool,
    /// It runs again, for a result that was lost.
    pub(super) again: Option<Box<Again>>,
}

impl Job {
    pub(super) fn header(&self) -> Option<Header> {
        Header::parse(&self.words).ok()
    }

    /// The direct line that the entry attaches an actor to.
    pub(super) fn attached_line(&self) -> Option<LineId> {
        let header = self.header().filter(|header| header.kind == Kind::Attach)?;
        Some(LineId::from_word(header.function))
    }

    /// The token of the actor that is called: the first reference that a call holds.
    pub(super) fn called(&self) -> Option<ObjectId> {
        let is_call = self.words.first().is_some_and(|word| word & 0xff == Kind::Method as u64);
        self.held.first().copied().filter(|_| is_call)
    }

    /// Whether it is a task that can be run again for results that are lost.
    pub(super) fn keeps_lineage(&self) -> bool {
        let is_task = self.words.first().is_some_and(|word| word & 0xff == Kind::Task as u64);
        is_task && !self.is_stream()
    }

    /// Whether its results are the items of a stream.
    pub(super) fn is_stream(&self) -> bool {
        spec::is_stream(&self.words)
    }

    /// The first object that it returns.
    pub(super) fn first_return(&self) -> Option<ObjectId> {
        self.returns.as_slice().first().copied()
    }

    /// The name that its options give it.
    pub(super) fn own_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name by which the job appears in errors.
    pub(super) fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.to_string();
        }
        self.header().map_or_else(|| "?".into(), |header| header.name())
    }
}
