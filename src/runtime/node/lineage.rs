//! Lineage: a task's result that was lost after it was made is made again, by running its task again.
//!
//! What is in memory is not lost. What went to disk is, when its file turns out to be damaged, cut short or removed.
//! The store then lets the object wait for a value again ([`rustyray_store::Recovery`]), and its task is scheduled
//! as a further attempt, within its retries. Whoever wants the object waits for that as they would for a task
//! that was never finished: `get` and `view`, and a worker whose task takes the object, which gives its cpu back
//! meanwhile. What cannot be made again becomes [`Error::ObjectLost`], which says what became of the file
//! and why nobody can help: it fails whoever wants the object, and those who depend on it.
//!
//! # What is kept
//! When a task has ended its words (what it runs, its options, its small arguments) are kept with its results for as
//! long as one of them lives, and the objects it took as arguments stay with them (`store/src/origin.rs` says what
//! becomes of these when memory runs short). An argument that is lost too is made again first, by its own task.
//! [`LEAST_BYTES`] says for which results that is done: a task that returns less does not pay for it.
//!
//! # One run for several
//! A task with several results seals those that are lost and finds the others sealed. While it runs for one, another
//! may be lost; it waits then for the same attempt, which may have passed it already. So whoever sees the run
//! end looks at all results, under the lock under which a run is begun, and begins another for those that wait.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::Mutex;
use rustyray_scheduler::{PoolId, Readiness, Retries};
use rustyray_store::{Lost, ObjectId, Origin, Recovery};

use super::{
    Node,
    job::{Job, Words},
    relief::Descent,
};
use crate::{call::Ids, error::Error, runtime::tag, spec};

/// Results of fewer bytes keep no lineage: their files are not worth it, and their tasks are not to pay for it.
pub(super) const LEAST_BYTES: u64 = 1 << 10;

/// How a task is run again.
pub(super) struct Recipe {
    words: Vec<u64>,
    returns: Ids,
    retries: Retries,
    pool: PoolId,
    name: Option<Box<str>>,
    runs: Mutex<Runs>,
}

/// How often it was run.
struct Runs {
    /// The last attempt.
    attempt: u16,
    /// It is being run again.
    again: bool,
}

/// What a job that runs again is for.
pub(crate) struct Again {
    recipe: Arc<Recipe>,
    /// What was lost, and what became of it.
    object: ObjectId,
    what: String,
}

impl Again {
    /// The error of an object that could not be made again, since its task ended with this one.
    #[cold]
    pub(super) fn failed(&self, error: &Error) -> Error {
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        lost(self.object, &self.what, &why)
    }
}

fn lost(object: ObjectId, what: &str, why: &str) -> Error {
    Error::ObjectLost {
        object: object.to_string(),
        reason: format!("{what}, and it cannot be made again: {why}"),
    }
}

/// The node, as its store tells it of what was lost.
pub(super) struct Rescue(pub(super) Weak<Node>);

impl Recovery for Rescue {
    fn lost(&self, lost: Lost) {
        if let Some(node) = self.0.upgrade() {
            node.make_again(lost);
        }
    }
}

impl Node {
    /// Whether an ended task keeps its lineage for this result.
    #[inline]
    pub(super) fn is_worth_lineage(&self, id: ObjectId) -> bool {
        self.keeps_lineage && self.client.len_bytes(id) >= LEAST_BYTES
    }

    /// Keeps what it takes to run an ended task again: what the job held goes over to its results.
    #[cold]
    pub(super) fn keep_lineage(&self, mut job: Job, attempt: u16) {
        let returns: HashSet<ObjectId> = job.returns.as_slice().iter().copied().collect();
        let (own, mut from): (Vec<_>, Vec<_>) =
            job.held.drain(..).partition(|id| returns.contains(id));
        job.held = own;
        if job.retries.max == 0 {
            // Only that it may not be run again is kept.
            job.held.append(&mut from);
        }
        let words = std::mem::take(&mut job.words);
        let recipe = Recipe {
            words: if job.retries.max == 0 { Vec::new() } else { words.into_vec() },
            returns: job.returns.clone(),
            retries: job.retries,
            pool: job.pool,
            name: job.name.take(),
            runs: Mutex::new(Runs { attempt, again: false }),
        };
        let returned = size_of_val(job.returns.as_slice());
        let bytes = size_of::<Recipe>() + size_of_val(&recipe.words[..]) + returned;
        let alive: Vec<ObjectId> =
            returns.into_iter().filter(|&id| self.readiness(id) == Readiness::Ready).collect();
        if alive.is_empty() {
            job.held.append(&mut from);
        } else {
            self.store.keep_origin(&alive, Origin::new(Arc::new(recipe), bytes as u64, from));
        }
        self.release_all(&job);
    }

    /// Objects were lost: has them made again, and before them those that they are made from, where these are lost
    /// too.
    #[cold]
    fn make_again(&self, lost: Lost) {
        let mut all = vec![lost];
        while let Some(lost) = all.pop() {
            let Some((recipe, from)) = lost.origin else {
                let why = no_lineage(lost.tag, lost.len_bytes);
                self.settle_failed(lost.id, &self::lost(lost.id, &lost.what, &why));
                continue;
            };
            let Ok(recipe) = recipe.downcast::<Recipe>() else { continue };
            let Some(attempt) = recipe.begin() else { continue };
            let again = Again { recipe, object: lost.id, what: lost.what };
            let attempt = match attempt {
                Ok(attempt) => attempt,
                Err(why) => {
                    self.settle_failed(again.object, &self::lost(again.object, &again.what, &why));
                    continue;
                }
            };
            all.extend(from.iter().filter_map(|&id| self.store.want_again(id)));
            self.schedule_again(self.job_again(again, from), attempt, Descent::default());
        }
    }

    /// The job of a task that runs again, made `from` these objects.
    fn job_again(&self, again: Again, from: Vec<ObjectId>) -> Job {
        let recipe = &again.recipe;
        let mut held = from;
        held.extend_from_slice(recipe.returns.as_slice());
        held.retain(|&id| self.client.retain(id).is_ok());
        Job {
            words: Words::from_slice(&recipe.words),
            returns: recipe.returns.clone(),
            held,
            holds_returns: false,
            retries: recipe.retries,
            pool: recipe.pool,
            name: recipe.name.clone(),
            body: OnceLock::new(),
            is_limited: false,
            again: Some(Box::new(again)),
        }
    }

    /// A task that ran again has ended. Another of its results may have been lost while it ran.
    #[cold]
    pub(super) fn ended_again(&self, mut job: Job, attempt: u16) {
        let Some(again) = &job.again else { return self.release_all(&job) };
        let is_waiting = |id: &ObjectId| self.readiness(*id) == Readiness::Pending;
        let next = {
            let mut runs = again.recipe.runs.lock();
            let waits = job.returns.as_slice().iter().any(is_waiting);
            let next = (waits && attempt < job.retries.max).then(|| attempt + 1);
            *runs = Runs { attempt: next.unwrap_or(attempt), again: next.is_some() };
            next
        };
        if let Some(next) = next {
            if let Some(body) = job.body.take() {
                self.client.release(*body);
            }
            return self.schedule_again(job, next, Descent::default());
        }
        for &id in job.returns.as_slice().iter().filter(|id| is_waiting(id)) {
            self.settle_failed(id, &lost(id, "its file gave nothing back", &again.recipe.spent()));
        }
        self.release_all(&job);
    }
}

impl Recipe {
    /// Begins another run and gives its attempt; `None` while there is one under way, or why there cannot be
    /// another.
    fn begin(&self) -> Option<Result<u16, String>> {
        let mut runs = self.runs.lock();
        if runs.again {
            return None;
        }
        if runs.attempt >= self.retries.max {
            return Some(Err(self.spent()));
        }
        *runs = Runs { attempt: runs.attempt + 1, again: true };
        Some(Ok(runs.attempt))
    }

    fn spent(&self) -> String {
        let name = match &self.name {
            Some(name) => name.to_string(),
            None => spec::Header::parse(&self.words).map_or_else(|_| "?".into(), |it| it.name()),
        };
        match self.retries.max {
            0 => String::from("its task may not be run again (max_retries = 0)"),
            1 => format!("the one retry of its task `{name}` is used up"),
            all => format!("the {all} retries of its task `{name}` are used up"),
        }
    }
}

/// Why there is no lineage of an object.
fn no_lineage(tag: u8, len_bytes: u64) -> String {
    match tag {
        tag::TASK if len_bytes < LEAST_BYTES => {
            format!("no lineage is kept of results below {LEAST_BYTES} bytes")
        }
        tag::TASK => "its lineage was dropped for that of newer results".into(),
        tag::METHOD => "it was returned by an actor's method, which is not run twice".into(),
        tag::ITEM => "it was an item of a stream, which is not run twice".into(),
        _ => "it was put, so no task can make it".into(),
    }
}
