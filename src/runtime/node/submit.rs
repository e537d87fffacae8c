//! Submissions: what was asked for becomes a [`Job`] and goes to the scheduler.

use std::sync::OnceLock;

use rustyray_scheduler::{
    CallerId, Demand, GroupId, JobId, NewTask, ObjectKey, Placement, Refusal, Retries, TaskId,
    Turn, WorkerId,
};
use rustyray_store::ObjectId;

use super::{
    Node,
    host::Host,
    job::{self, Job, Words},
    key,
    relief::ON_TOP,
};
use crate::{
    call::Ids,
    error::{Error, Result},
    runtime::submission::{Occupied, Wanted, WithinWanted},
    spec::{self, BY_LINE, Header, Kind, Submitter},
};

/// What becomes a job: its words, what it returns, the references that were taken for it, and who asks for it.
pub(crate) struct Handed {
    pub(super) words: Words,
    pub(super) returns: Ids,
    pub(super) held: Vec<ObjectId>,
    pub(super) caller: CallerId,
}

impl Handed {
    /// What this process asks for itself.
    #[inline]
    pub(crate) fn own(words: Vec<u64>, returns: Ids, held: Vec<ObjectId>) -> Handed {
        Handed { words: job::words_of(words), returns, held, caller: CallerId(0) }
    }
}

impl Node {
    /// Hands a task, a construction or a call to the scheduler. When it is refused, the references that were taken for
    /// it are released.
    pub(crate) fn submit(
        &self,
        wanted: &Wanted,
        handed: Handed,
        dependencies: &[ObjectId],
    ) -> Result<()> {
        self.submit_in(&mut self.scheduler().turn(), wanted, handed, dependencies)
    }

    /// The same of a task of this process, when it is the time to look which have ended.
    #[inline]
    pub(crate) fn submit_after_completions(
        &self,
        wanted: &Wanted,
        handed: Handed,
        dependencies: &[ObjectId],
    ) -> Result<()> {
        self.say_after_completions(|turn| self.submit_in(turn, wanted, handed, dependencies))
    }

    /// The same, and a task is dispatched with what else is said in this turn.
    pub(super) fn submit_in(
        &self,
        turn: &mut Turn<'_, Host>,
        wanted: &Wanted,
        handed: Handed,
        dependencies: &[ObjectId],
    ) -> Result<()> {
        let Handed { words, returns, mut held, caller } = handed;
        let header = Header::parse(&words).map_err(|error| Error::invalid(error.to_string()))?;
        // An actor's token lives as long as its handles, not as long as its construction is kept.
        let own = if header.kind == Kind::Construct { &[] } else { returns.as_slice() };
        let kept = own.iter().take_while(|&&id| self.client.retain(id).is_ok()).count();
        let holds_returns = kept > 0 && kept == own.len();
        if !holds_returns {
            held.extend(&own[..kept]);
            let rest = own.iter().skip(kept + 1).filter(|&&id| self.client.retain(id).is_ok());
            held.extend(rest);
        }
        let retries = Retries {
            max: u16::try_from(wanted.retries).unwrap_or(u16::MAX - 2),
            on_error: wanted.on_error,
        };
        let by_line = (wanted.parent & BY_LINE != 0).then_some(wanted.parent);
        let note = match (spec::submitter_of(&words), by_line) {
            ([0, 0], Some(word)) => Submitter::note_of(word),
            (known, _) => known,
        };
        let job = Job {
            words,
            returns,
            held,
            holds_returns,
            retries,
            pool: self.pool_of(caller),
            name: wanted
                .extension
                .name
                .as_deref()
                .filter(|_| header.kind == Kind::Task)
                .map(Into::into),
            body: OnceLock::new(),
            is_limited: false,
            again: None,
        };
        if job.is_stream()
            && let Some(end) = job.first_return()
        {
            self.begin_stream(end);
        }
        let dependencies = &*keys(dependencies);
        let made = keys(job.returns.as_slice());
        if wanted.parent & ON_TOP != 0
            && let Some(id) = job.first_return()
        {
            self.note_child(wanted.parent, id);
        }
        let outcome = match header.kind {
            Kind::Task => {
                let placement = match self.placement_of(wanted, caller) {
                    Ok(placement) => placement,
                    Err(error) => {
                        self.release_all(&job);
                        return Err(error);
                    }
                };
                turn.submit(NewTask {
                    spec: job,
                    pool: self.pool_of(caller),
                    job: JobId(header.job),
                    demand: &demand(wanted),
                    dependencies,
                    returns: &made,
                    placement,
                    priority: i32::from(wanted.priority),
                    alike: header.function,
                    retries,
                    parent: parent_of(wanted),
                    note,
                })
                .map(drop)
                .map_err(|refused| (refused.spec, refused.why))
            }
            Kind::Construct => {
                turn.bring();
                return self.construct(wanted, &header, job, dependencies, &made, caller);
            }
            Kind::Method => {
                turn.bring();
                return self.call(&header, job, dependencies, &made, caller, wanted);
            }
            Kind::Stop | Kind::Gpus | Kind::Attach => {
                return Err(Error::invalid("a word to a worker is not submitted"));
            }
        };
        outcome.map_err(|(job, why)| self.refused(job, why))
    }

    /// Where a task that `caller` asks for runs; what one of the scheduler's tasks submits, that finds by itself.
    fn placement_of(&self, wanted: &Wanted, caller: CallerId) -> Result<Placement> {
        let within = wanted.extension.within.map(WithinWanted::to_within);
        Ok(match self.placement(within)? {
            Placement::Inherit if wanted.parent & ON_TOP != 0 => {
                captured(self.placement_on_top(wanted.parent))
            }
            // Within a call that came past the node, which is no task to inherit of: its actor is.
            Placement::Inherit if parent_of(wanted).is_none() && caller != CallerId(0) => {
                self.captured_within(caller)
            }
            placement => placement,
        })
    }

    /// The same of an actor, which is the child of no task and captured all the same.
    pub(super) fn home_of(&self, wanted: &Wanted, caller: CallerId) -> Result<Placement> {
        Ok(match (self.placement_of(wanted, caller)?, parent_of(wanted)) {
            (Placement::Inherit, Some(parent)) => captured(self.scheduler().placement(parent)),
            (placement, _) => placement,
        })
    }

    /// Where what `caller` submits runs, when nothing is said of that: with its actor, if that captures.
    fn captured_within(&self, CallerId(caller): CallerId) -> Placement {
        let captured = self.scheduler().captured_by(WorkerId(caller as u16));
        captured.map_or(Placement::Inherit, anywhere_in)
    }

    pub(super) fn refused(&self, job: Job, why: Refusal) -> Error {
        let task = job.name();
        self.release_all(&job);
        match why {
            Refusal::Unschedulable { demand, exists } => {
                Error::Unschedulable { task, demand, available: exists }
            }
            Refusal::NoSuchGroup { .. } => {
                Error::PlacementGroupRemoved { what: format!("`{task}` was to run in it") }
            }
            other => Error::invalid(format!("`{task}` cannot be scheduled: {other}")),
        }
    }
}

/// The task that submits, where that is one of the scheduler's or was.
pub(super) fn parent_of(wanted: &Wanted) -> Option<TaskId> {
    let is_task = wanted.parent != 0 && wanted.parent & BY_LINE == 0;
    is_task.then(|| TaskId::from_bits(wanted.parent))
}

/// Where what a task submits runs that itself runs there.
fn captured(parent: Option<Placement>) -> Placement {
    match parent {
        Some(Placement::Group { group, capture_children: true, .. }) => anywhere_in(group),
        _ => Placement::Free,
    }
}

fn anywhere_in(group: GroupId) -> Placement {
    Placement::Group { group, bundle: None, capture_children: true }
}

/// The scheduler's names of objects; of one, which is the rule, without asking for memory.
fn keys(ids: &[ObjectId]) -> Keys {
    match ids {
        &[id] => Keys::One([key(id)]),
        several => Keys::Several(several.iter().map(|&id| key(id)).collect()),
    }
}

enum Keys {
    One([ObjectKey; 1]),
    Several(Vec<ObjectKey>),
}

impl std::ops::Deref for Keys {
    type Target = [ObjectKey];

    fn deref(&self) -> &[ObjectKey] {
        match self {
            Keys::One(key) => key,
            Keys::Several(keys) => keys,
        }
    }
}

pub(super) fn demand(wanted: &Wanted) -> Demand {
    let &Wanted { cpus, gpus, memory_bytes, .. } = wanted;
    demand_of(Occupied { cpus, gpus, memory_bytes }, &wanted.extension.custom)
}

pub(super) fn demand_of(occupied: Occupied, custom: &[(String, u32)]) -> Demand {
    let parts = |parts: u32| f64::from(parts) / f64::from(crate::options::UNIT);
    let mut demand = Demand::cpus(parts(occupied.cpus));
    if occupied.gpus > 0 {
        demand = demand.with_gpus(parts(occupied.gpus));
    }
    if occupied.memory_bytes > 0 {
        demand = demand.with_memory(occupied.memory_bytes);
    }
    for (name, amount) in custom {
        demand = demand.with_custom(name, parts(*amount));
    }
    demand
}
