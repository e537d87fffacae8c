//! What one thread has to tell of several tasks, brought to the owner of the token in one turn.
//!
//! Each event that is brought alone costs the token, a round of dispatching and a round of telling the host. Who
//! empties a ring has many at hand: it brings them together, in the order in which it was told, [`TOGETHER`] at most,
//! so that nobody who waits for a worker waits for long.
//!
//! Between being told and being brought an event is like one that was left in the inbox: its task is published, and may
//! be cancelled or met by others.

use smallvec::SmallVec;

use crate::{Host, NewTask, Outcome, Scheduler, SubmitError, TaskId, WorkerId, event::Event};

/// How many events are brought at a time.
const TOGETHER: usize = 16;

/// Several events of one thread; they are brought when it is dropped, if not before.
///
/// # Examples
/// ```
/// # mod host { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first_program.rs")); }
/// # use host::{InMemory, Job, run_all, task};
/// # use rustyray_scheduler::*;
/// # let objects: Vec<ObjectKey> = (0..8).map(|index| ObjectKey { index, generation: 1 }).collect();
/// let scheduler = InMemory::start(Config { cpus: 1.0, ..Config::default() });
/// let demand = Demand::default();
/// let mut turn = scheduler.turn();
/// turn.submit(task("first", &objects[0], &[], &demand))?;
/// turn.submit(task("second", &objects[1], &[], &demand))?;
/// assert_eq!(scheduler.live(), 2, "both are known");
/// drop(turn);
/// assert_eq!(run_all(&scheduler), ["first", "second"]);
/// # Ok::<(), SubmitError<Job>>(())
/// ```
pub struct Turn<'a, H: Host> {
    scheduler: &'a Scheduler<H>,
    events: SmallVec<[Event; TOGETHER]>,
}

impl<H: Host> Scheduler<H> {
    /// A turn in which nothing was said yet.
    #[inline]
    pub fn turn(&self) -> Turn<'_, H> {
        Turn { scheduler: self, events: SmallVec::new() }
    }
}

impl<H: Host> Turn<'_, H> {
    /// As [`Scheduler::submit`], and its task is dispatched when the turn is brought.
    ///
    /// # Errors
    /// As [`Scheduler::submit`].
    #[inline]
    pub fn submit(&mut self, new: NewTask<'_, H::Spec>) -> Result<TaskId, SubmitError<H::Spec>> {
        if !new.dependencies.is_empty() {
            // What waits for objects is told of at once, after what came before.
            self.bring();
        }
        let scheduler = self.scheduler;
        scheduler.resubmit_with(new, 0, |event| self.add(event))
    }

    /// As [`Scheduler::completed`].
    #[inline]
    pub fn completed(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        outcome: Outcome,
        ran_ns: u64,
    ) {
        self.add(Event::Completed { worker, task, attempt, outcome, ran_ns });
    }

    /// Brings what was said so far.
    #[inline]
    pub fn bring(&mut self) {
        if !self.events.is_empty() {
            self.scheduler.post_all(self.events.drain(..));
        }
    }

    #[inline]
    fn add(&mut self, event: Event) {
        self.events.push(event);
        if self.events.len() == TOGETHER {
            self.bring();
        }
    }
}

impl<H: Host> Drop for Turn<'_, H> {
    fn drop(&mut self) {
        self.bring();
    }
}

impl<H: Host> std::fmt::Debug for Turn<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("events", &self.events.len()).finish_non_exhaustive()
    }
}
