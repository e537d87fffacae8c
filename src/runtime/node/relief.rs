//! Relief: when no further worker can be started, a worker that waits runs what it waits for.
//!
//! A task that waits for a task gives its cpu back, and a spare worker runs the other one. That ends where there
//! can be no more workers. If all of them wait then, what they wait for is taken out of the schedule and run
//! *on top* of a task that waits for it, in its process: the awaited task itself or, where that waits for
//! objects, one that is to make them. So what runs on top is always something the task below needs, and the
//! one below can wait for it in peace.
//!
//! - Whoever goes to sleep in a task names objects it waits for (`UP_BLOCKED`). Who serves the node relieves
//!   one that sleeps whenever all do and tasks are ready that have no worker.
//! - At first it names a few, and the others only where tasks are ready that have no worker: any of them may be what
//!   it can go on with, and the others may never come before it does.
//! - An actor whose calls wait while it takes others says so only then, too, also of calls that wait for their
//!   arguments on a direct line, of which nobody else knows. It comes last: what runs on top keeps it from its calls.
//! - Whoever sleeps already when that comes to be so is asked once.
//! - The scheduler gives the task back ([`rustyray_scheduler::Scheduler::withdraw`]): the node keeps it with the
//!   worker, under a number of its own ([`ON_TOP`]), until the worker reports it.
//! - A worker that dies leaves what was on top to be scheduled again, as a further attempt.
//! - To cancel it by force costs its worker, and those below it an attempt each. It is found by what it makes, or by
//!   within what it was submitted, which the node keeps for it since the scheduler knows of it no more.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use rustyray_scheduler::{JobId, NewTask, Outcome, Placement, TaskId, Withdrawn, WorkerInfo};
use rustyray_store::{ClientId, ObjectId};

use super::{
    Node, Peer,
    cause::{Cause, Crash},
    client_of,
    job::Job,
    key,
    submit::demand_of,
};
use crate::{
    error::Error,
    runtime::{
        submission::{Extension, Occupied, WithinWanted},
        wire::ToClient,
    },
    spec::{self, Known, Submitter},
};

/// Marks the number of a task that runs on top of another; no task of the scheduler has this bit.
pub(crate) const ON_TOP: u64 = 1 << 63;
const _: () = assert!(ON_TOP > 1 << TaskId::BITS);

/// How far the objects are followed for which a task waits, beyond those that it names.
const LOOKS: usize = 4096;

/// Tasks on their way out of the schedule.
#[derive(Default)]
pub(super) struct Relief {
    wanted: Mutex<HashMap<TaskId, Wanted>>,
    /// How many these are: all that is looked at ordinarily.
    count: AtomicUsize,
    next: AtomicU64,
    /// How many workers sleep in a task.
    asleep: AtomicUsize,
    /// How many rest whose actors have calls that wait.
    resting: AtomicUsize,
    /// Those that sleep were asked what they wait for, since there last was no task without a worker.
    asked: AtomicBool,
    /// How many tasks run on top of others.
    on_top: AtomicUsize,
}

/// For what a worker sleeps.
#[derive(Clone)]
pub(super) struct Asleep {
    pub(super) awaited: Vec<ObjectId>,
    /// There are others that it has not named.
    pub(super) is_cut: bool,
    /// It lives for an actor that takes calls meanwhile.
    pub(super) rests: bool,
}

/// For whom a task is withdrawn, and whether it is.
struct Wanted {
    client: ClientId,
    descent: Descent,
    is_withdrawn: bool,
}

/// Where a task comes from that the scheduler knows no more.
#[derive(Clone, Copy, Default)]
pub(super) struct Descent {
    /// The task within which it was submitted.
    parent: Option<TaskId>,
    /// Out of which resources it ran there, if that is known: also what it inherited.
    placement: Option<Placement>,
    /// The words of its submitter, as the scheduler kept them.
    note: [u64; 2],
}

/// A task that runs on top of another.
pub(super) struct OnTop {
    attempt: u16,
    job: Job,
    descent: Descent,
    /// What it has submitted, by the first result of each.
    children: Vec<ObjectId>,
    /// It is killed, and not run again.
    is_cancelled: bool,
}

impl Relief {
    /// Notes for whom the task is to be withdrawn; `false` when it is on its way out already, for whomever.
    fn insert(&self, task: TaskId, client: ClientId, descent: Descent) -> bool {
        match self.wanted.lock().entry(task) {
            // Another thread is at it, or the scheduler has not said yet that it let go: what is known of
            // it must not be forgotten.
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(Wanted { client, descent, is_withdrawn: false });
                self.count.fetch_add(1, Ordering::Release);
                true
            }
        }
    }

    fn remove(&self, task: TaskId) -> Option<Wanted> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let wanted = self.wanted.lock().remove(&task);
        if wanted.is_some() {
            self.count.fetch_sub(1, Ordering::Release);
        }
        wanted
    }

    /// A number for a task that the scheduler does not know.
    pub(super) fn number(&self) -> u64 {
        ON_TOP | self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Those that sleep as this one does.
    fn count_of(&self, asleep: &Asleep) -> &AtomicUsize {
        if asleep.rests { &self.resting } else { &self.asleep }
    }

    /// The scheduler has let go of it.
    pub(super) fn withdrawn(&self, task: TaskId) {
        if let Some(wanted) = self.wanted.lock().get_mut(&task) {
            wanted.is_withdrawn = true;
        }
    }
}

impl Node {
    /// A worker sleeps in a task until one of these is settled.
    pub(super) fn sleeps(&self, client: ClientId, asleep: Asleep) {
        self.wakes(client);
        self.relief.count_of(&asleep).fetch_add(1, Ordering::Relaxed);
        *self.peers[client.index()].awaits.lock() = Some(asleep);
    }

    /// It does so for these as well.
    pub(super) fn sleeps_also(
        &self,
        client: ClientId,
        awaited: impl Iterator<Item = ObjectId>,
        is_cut: bool,
    ) {
        if let Some(asleep) = &mut *self.peers[client.index()].awaits.lock() {
            asleep.awaited.extend(awaited);
            asleep.is_cut = is_cut;
        }
    }

    /// It goes on.
    pub(super) fn wakes(&self, client: ClientId) {
        if let Some(asleep) = self.peers[client.index()].awaits.lock().take() {
            self.relief.count_of(&asleep).fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// No task is without a worker.
    #[inline]
    pub(super) fn nobody_waits(&self) {
        if self.relief.asked.load(Ordering::Relaxed) {
            self.relief.asked.store(false, Ordering::Relaxed);
        }
    }

    /// Relieves somebody if nothing else can go on; `true` when there may be more to do.
    #[inline]
    pub(super) fn relieve_if_all_sleep(&self) -> bool {
        // Actors live in the other workers, which take no tasks.
        self.pool.is_full() && self.scheduler().backlog() > 0 && self.relieve_sleepers()
    }

    #[cold]
    fn relieve_sleepers(&self) -> bool {
        let asleep = self.relief.asleep.load(Ordering::Relaxed);
        if self.pool.alive() > asleep + self.actors.read().by_id.len() {
            return false;
        }
        let relieve = |rests| {
            let mut clients = (1..=u8::MAX).map(ClientId::new);
            clients.any(|client| self.relieve(client, rests))
        };
        if asleep > 0 && relieve(false) {
            return true;
        }
        self.ask_sleepers();
        self.relief.resting.load(Ordering::Relaxed) > 0 && !self.runs_any_task() && relieve(true)
    }

    /// Has those that sleep say what they wait for, where they have not: actors whose calls do, and tasks that wait for
    /// many objects.
    fn ask_sleepers(&self) {
        if self.relief.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_cut = |client: ClientId| {
            let awaits = self.peers[client.index()].awaits.lock();
            awaits.as_ref().is_some_and(|asleep| asleep.is_cut)
        };
        for worker in self.scheduler().workers() {
            let client = client_of(worker.id);
            if worker.actor.is_some() || is_cut(client) {
                // It finds the word that says how much waits, which was written before.
                self.doorbells.kick(client);
            }
        }
    }

    /// Whether some worker runs a task that does not wait.
    fn runs_any_task(&self) -> bool {
        let runs =
            |worker: &WorkerInfo| worker.actor.is_none() && worker.queued > 0 && !worker.blocked;
        self.scheduler().workers().iter().any(runs)
    }

    /// Gives a worker something that it needs and sleeps for, in a task or, where it `rests`, beside its calls;
    /// `false` when there is nothing.
    fn relieve(&self, client: ClientId, rests: bool) -> bool {
        let asleep = self.peers[client.index()].awaits.lock().clone();
        let Some(asleep) = asleep.filter(|asleep| asleep.rests == rests) else { return false };
        let mut objects = asleep.awaited;
        for _ in 0..LOOKS + objects.len() {
            let Some(object) = objects.pop() else { return false };
            let Some(task) = self.scheduler().producer(key(object)) else { continue };
            let scheduler = self.scheduler();
            let descent = Descent {
                parent: scheduler.parent(task),
                placement: scheduler.placement(task),
                note: scheduler.note(task).unwrap_or_default(),
            };
            if !self.relief.insert(task, client, descent) {
                continue;
            }
            let needs = |job: &Job| {
                if let Ok(Known { dependencies, .. }) = spec::read(&job.words) {
                    objects.extend(dependencies);
                }
            };
            match self.scheduler().withdraw(task, needs) {
                Withdrawn::Yes => return true,
                Withdrawn::Waiting | Withdrawn::No => drop(self.relief.remove(task)),
            }
        }
        false
    }

    /// A task has ended for the scheduler: gives it back unless it was withdrawn for somebody.
    pub(super) fn keep_withdrawn(&self, task: TaskId, attempt: u16, job: Job) -> Option<Job> {
        match self.relief.remove(task) {
            Some(Wanted { client, descent, is_withdrawn: true }) => {
                self.put_on_top(client, descent, attempt, job);
            }
            _ => return Some(job),
        }
        None
    }

    fn put_on_top(&self, client: ClientId, descent: Descent, attempt: u16, job: Job) {
        let number = self.relief.number();
        let mut words = job.words.to_vec();
        self.address(&mut words, &job, number, attempt);
        let peer = &self.peers[client.index()];
        let top = OnTop { attempt, job, descent, children: Vec::new(), is_cancelled: false };
        peer.on_top.lock().insert(number, top);
        self.relief.on_top.fetch_add(1, Ordering::Relaxed);
        if peer.work.read().is_some() {
            self.tell(client, &ToClient::OnTop { words });
        } else {
            // It died, and may have been cleared away before this was here to be found.
            let (pid, how) = (peer.pid.load(Ordering::Relaxed), "ended".to_owned());
            self.free_from_top(client, &Cause::Crash(Arc::new(Crash { pid, how })));
        }
    }

    /// A worker has reported what ran on top.
    pub(super) fn top_ended(&self, client: ClientId, number: u64, outcome: Outcome) {
        let ended = self.peers[client.index()].on_top.lock().remove(&number);
        let Some(OnTop { attempt, job, descent, is_cancelled, .. }) = ended else { return };
        self.relief.on_top.fetch_sub(1, Ordering::Relaxed);
        let outcome = match outcome {
            Outcome::Failed { retry: true } if is_cancelled => Outcome::Cancelled,
            outcome => outcome,
        };
        match outcome {
            Outcome::Failed { retry: true } => {
                return self.schedule_again(job, attempt + 1, descent);
            }
            Outcome::Cancelled => {
                let cancelled = Error::TaskCancelled { task: job.name() };
                job.returns.as_slice().iter().for_each(|&id| self.settle_failed(id, &cancelled));
            }
            Outcome::Done | Outcome::Failed { retry: false } => {}
        }
        self.job_is_over(TaskId::from_bits(number), attempt, job);
    }

    /// A worker is dead: what was on top there is run again, elsewhere, within its retries.
    pub(super) fn free_from_top(&self, client: ClientId, cause: &Cause) {
        let peer = &self.peers[client.index()];
        let lost: Vec<(u64, OnTop)> = peer.on_top.lock().drain().collect();
        self.relief.on_top.fetch_sub(lost.len(), Ordering::Relaxed);
        for (number, OnTop { attempt, job, descent, is_cancelled, .. }) in lost {
            if attempt < job.retries.max && !is_cancelled {
                self.schedule_again(job, attempt + 1, descent);
                continue;
            }
            let error = match is_cancelled {
                true => Error::TaskCancelled { task: job.name() },
                false => cause.error_of(job.name(), attempt),
            };
            job.returns.as_slice().iter().for_each(|&id| self.settle_failed(id, &error));
            self.job_is_over(TaskId::from_bits(number), attempt, job);
        }
    }

    /// A task that runs on top of another has submitted the one that makes this object.
    #[cold]
    pub(super) fn note_child(&self, parent: u64, child: ObjectId) {
        for peer in &self.peers {
            if let Some(top) = peer.on_top.lock().get_mut(&parent) {
                return top.children.push(child);
            }
        }
    }

    /// Out of which resources a task ran that runs on top of another now.
    #[cold]
    pub(super) fn placement_on_top(&self, number: u64) -> Option<Placement> {
        let of = |peer: &Peer| Some(peer.on_top.lock().get(&number)?.descent.placement);
        self.peers.iter().find_map(of)?
    }

    /// What runs on top somewhere and was submitted by calls of these words, by the first result of each.
    pub(super) fn on_top_by(&self, submitters: &HashSet<u64>) -> Vec<ObjectId> {
        if self.relief.on_top.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let is_theirs = |top: &&OnTop| {
            Submitter::noted(top.descent.note).is_some_and(|word| submitters.contains(&word))
        };
        let of = |peer: &Peer| -> Vec<ObjectId> {
            let on_top = peer.on_top.lock();
            on_top.values().filter(is_theirs).filter_map(|top| top.job.first_return()).collect()
        };
        self.peers.iter().flat_map(of).collect()
    }

    /// What runs on top somewhere and was submitted within this task, or within what that submitted.
    pub(super) fn on_top_within(&self, task: TaskId) -> Vec<ObjectId> {
        if self.relief.on_top.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut parents = HashMap::new();
        let mut tops = Vec::new();
        for peer in &self.peers {
            for (&number, top) in &*peer.on_top.lock() {
                parents.insert(TaskId::from_bits(number), top.descent.parent);
                tops.push((top.descent.parent, top.job.first_return()));
            }
        }
        let up = |of: &TaskId| match parents.get(of) {
            Some(parent) => *parent,
            None => self.scheduler().parent(*of),
        };
        let is_within = |parent| std::iter::successors(parent, up).any(|of| of == task);
        tops.into_iter().filter(|(parent, _)| is_within(*parent)).filter_map(|top| top.1).collect()
    }

    /// Has what runs on top and is to make this object stop; by force with its worker, and what runs below it there
    /// is run again as after any death of a worker. What it has submitted comes to `children`. Its number, if there is
    /// such a task.
    pub(super) fn cancel_on_top(
        &self,
        object: ObjectId,
        force: bool,
        children: &mut Vec<ObjectId>,
    ) -> Option<u64> {
        for (at, peer) in self.peers.iter().enumerate() {
            let makes = |top: &OnTop| top.job.returns.as_slice().contains(&object);
            // Kept until it is told: what is found is its process's, and the number no other's.
            let mut on_top = peer.on_top.lock();
            let Some((&task, top)) = on_top.iter_mut().find(|(_, top)| makes(top)) else {
                continue;
            };
            top.is_cancelled = true;
            children.append(&mut top.children);
            let client = ClientId::new(at as u8);
            match force {
                true => self.kill(client),
                false => self.tell(client, &ToClient::Interrupt { task }),
            }
            return Some(task);
        }
        None
    }

    /// Hands the scheduler a job that was out of its hands, for this attempt.
    pub(super) fn schedule_again(&self, job: Job, attempt: u16, descent: Descent) {
        let Ok(Known { header, extension, dependencies, .. }) = spec::read(&job.words) else {
            return self.job_is_over(TaskId::from_bits(0), attempt, job);
        };
        let extension = Extension::from_bytes(&extension).unwrap_or_default();
        let occupied = extension.occupied.unwrap_or(Occupied::ORDINARY);
        let Descent { parent, placement, note } = descent;
        let placement = match placement {
            Some(placement) => Ok(placement),
            None => self.placement(extension.within.map(WithinWanted::to_within)),
        };
        let returns: Vec<_> = job.returns.as_slice().iter().map(|&id| key(id)).collect();
        let dependencies: Vec<_> = dependencies.into_iter().map(key).collect();
        let (pool, retries) = (job.pool, job.retries);
        let refused = match placement {
            Err(error) => Some((job, error)),
            Ok(placement) => {
                let note = match note {
                    [0, 0] => spec::submitter_of(&job.words),
                    known => known,
                };
                let new = NewTask {
                    spec: job,
                    pool,
                    job: JobId(header.job),
                    demand: &demand_of(occupied, &extension.custom),
                    // It holds them; one that was lost is waited for.
                    dependencies: &dependencies,
                    alike: header.function,
                    returns: &returns,
                    placement,
                    priority: 0,
                    retries,
                    parent,
                    note,
                };
                self.scheduler().resubmit(new, attempt).err().map(|refused| {
                    let error = Error::invalid(format!(
                        "`{}` cannot be scheduled again: {}",
                        refused.spec.name(),
                        refused.why
                    ));
                    (refused.spec, error)
                })
            }
        };
        if let Some((job, error)) = refused {
            let error = match &job.again {
                Some(again) => again.failed(&error),
                None => error,
            };
            job.returns.as_slice().iter().for_each(|&id| self.settle_failed(id, &error));
            self.job_is_over(TaskId::from_bits(0), attempt, job);
        }
        self.dispatch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_out_is_not_forgotten_for_somebody_else() {
        let relief = Relief::default();
        let task = TaskId::from_bits(7);
        assert!(relief.insert(task, ClientId::new(1), Descent::default()));
        relief.withdrawn(task);
        assert!(!relief.insert(task, ClientId::new(2), Descent::default()));
        let wanted = relief.remove(task).expect("it was noted");
        assert!(wanted.is_withdrawn && wanted.client == ClientId::new(1));
        assert!(relief.remove(task).is_none());
        assert_eq!(relief.count.load(Ordering::Relaxed), 0);
    }
}
