//! Leading: a thread of the crew takes the actor's calls itself, one after the other.
//!
//! To hand a short call from one thread to another costs several times the call. So the main thread does not
//! hand over single calls as long as they are short: it passes on all that takes them, the [`Worker`], with the
//! first of them. Whoever has it *leads*: it runs that call and takes the next, until one comes that is for
//! the main thread alone, or there is something else to be done there.
//!
//! # A call may wait for others
//! Calls that overlap may wait for each other, so somebody has to take those behind a call that does not end.
//! While the leader runs a call it leaves the worker on the [`Desk`], and takes it from there afterwards. The main
//! thread, which has nothing else to do, looks at the desk once in [`LOOK`]: when the leader still runs the call
//! that it ran at the last look, or began few since, the main thread takes the worker and hands over every call
//! from then on, for as long as they are long. A leader that does not find the worker where it left it is a thread
//! of the crew like any other.
//!
//! # Who has the worker
//! | it is with | who may take it |
//! | --- | --- |
//! | the main thread | nobody |
//! | the leader, between two calls | nobody |
//! | the desk | the main thread, and whichever thread ends a call that it led with: the first that comes |
//!
//! So it is with one at any time, and taking it is one exchange. That a deposed leader comes back and takes what a
//! later one left there does no harm: it leads from then on, and the other, when its call has ended, finds nothing.
//!
//! A leader is counted as busy, and has the actor, for as long as it leads, or runs the call during which it was deposed:
//! not anew for each call. Who leads does not count itself, since nothing of its own runs while it looks.
//!
//! # When it is not worth it
//! After calls that were long there is no leader until so many in a row were short, each time more. Where calls for the
//! main thread and for the crew come in turn, passing the worker to and fro costs more than handing over calls; so the
//! same goes for a few leaders that led for a few calls each.
//!
//! # Nobody is left waiting
//! The main thread sleeps without looking when no call was begun for a while. It says so, fences, and looks whether
//! one has been since; the leader says that it begins a call, fences, and looks whether the main thread sleeps. One
//! sees the other. A leader with nothing to do sleeps on the doorbell in the main thread's place.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crossbeam::atomic::AtomicCell;

use super::{
    Worker,
    calls::Order,
    crew::{Call, Shared},
};
use crate::{residence::Resident, runtime::executor::Executor};

/// How often the main thread looks at what the leader does.
const LOOK: Duration = Duration::from_millis(1);

/// A leader that runs a call at two looks, and began fewer between them, has long ones.
const FEW: u64 = 20;

/// How many looks in vain there are before the main thread sleeps without looking.
const QUIET: u32 = 8;

/// A leader that gives back after fewer calls was not worth it; so many of these in a row, and there is none for a
/// while.
const WORTH: u64 = 8;
const MOST_BRIEF: u32 = 4;

/// A call that is handed over is short when it takes less.
const SHORT: Duration = Duration::from_micros(50);

/// How many calls in a row have to be short before there is a leader again: at first, and at most.
const FIRST_TERM: u32 = 64;
const LONGEST_TERM: u32 = 1 << 16;

/// A call that was claimed by one thread and is for another.
pub(super) enum Held {
    /// For a thread of the crew, which leads.
    Shared(Call),
    /// For the main thread.
    Own(Order),
}

/// How leading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Led {
    /// The main thread has the worker back.
    ToTheEnd,
    /// Somebody took over during the last call.
    Deposed,
}

/// Where the worker lies while its leader runs a call.
pub(super) struct Desk {
    worker: AtomicCell<Option<Box<Worker>>>,
    /// How many calls were begun by who leads, and whether the last one runs; or [`BACK`]. Written by who has the
    /// worker.
    progress: AtomicU64,
    main: Thread,
    /// The main thread sleeps until a call is begun.
    resting: AtomicBool,
    /// How many calls that are handed over have to be short before there is a leader.
    wanted: AtomicU32,
    /// How many it will be the next time.
    term: AtomicU32,
    /// How many leaders in a row were not worth it. Written by who has the worker.
    brief: AtomicU32,
}

const RUNS: u64 = 1;
const ONE_CALL: u64 = 2;
/// The worker is for the main thread.
const BACK: u64 = u64::MAX;

impl Desk {
    /// The desk of the actor whose own thread this is.
    pub(super) fn new() -> Desk {
        Desk {
            worker: AtomicCell::new(None),
            progress: AtomicU64::new(0),
            main: thread::current(),
            resting: AtomicBool::new(false),
            wanted: AtomicU32::new(0),
            term: AtomicU32::new(FIRST_TERM),
            brief: AtomicU32::new(0),
        }
    }

    /// Whether a leader would do: calls are short, as far as is known.
    pub(super) fn may_be_used(&self) -> bool {
        self.wanted.load(Relaxed) == 0
    }

    /// The moment at which a call that was handed over begins, if it matters.
    pub(super) fn time(&self) -> Option<Instant> {
        (!self.may_be_used()).then(Instant::now)
    }

    /// A call that was handed over has ended.
    pub(super) fn learn(&self, began: Option<Instant>) {
        let Some(began) = began else { return };
        if began.elapsed() < SHORT {
            // Two threads that are short together may count one: a hint.
            let wanted = self.wanted.load(Relaxed);
            self.wanted.store(wanted.saturating_sub(1), Relaxed);
        } else {
            self.wanted.store(self.term.load(Relaxed), Relaxed);
        }
    }

    /// The leader begins a call.
    fn leave(&self, worker: Box<Worker>) {
        let begun = self.progress.load(Relaxed) & !RUNS;
        self.progress.store((begun + ONE_CALL) | RUNS, Relaxed);
        self.worker.store(Some(worker));
        // SeqCst: partner of the fence in `rest`; forbids that the main thread misses this call while this thread
        // misses that it sleeps.
        fence(SeqCst);
        if self.resting.load(Relaxed) && self.resting.swap(false, Relaxed) {
            self.main.unpark();
        }
    }

    /// The leader's call has ended.
    fn take(&self) -> Option<Box<Worker>> {
        let worker = self.worker.take()?;
        let progress = match self.progress.load(Relaxed) {
            // Another leader left it for the main thread, which this thread will do as well.
            BACK => 0,
            progress => progress & !RUNS,
        };
        self.progress.store(progress, Relaxed);
        Some(worker)
    }

    /// The main thread is to have the worker.
    pub(super) fn give_back(&self, worker: Box<Worker>) {
        let calls = self.progress.load(Relaxed) / ONE_CALL;
        let brief = if calls < WORTH { self.brief.load(Relaxed) + 1 } else { 0 };
        self.brief.store(brief % MOST_BRIEF, Relaxed);
        if brief == MOST_BRIEF {
            self.do_without(calls);
        }
        self.progress.store(BACK, Relaxed);
        self.worker.store(Some(worker));
        // After both: what the main thread misses it finds now.
        self.main.unpark();
    }

    /// There is no thread to lead: the main thread is to have the worker, and hands calls over for a while.
    pub(super) fn decline(&self, worker: Box<Worker>) {
        self.do_without(0);
        self.give_back(worker);
    }

    /// On the main thread, after a leader was sent: returns with the worker, which is back or was taken.
    fn watch(&self) -> Box<Worker> {
        let (mut seen, mut few, mut quiet) = (0, 0, 0);
        let mut looked = Instant::now();
        loop {
            thread::park_timeout(LOOK);
            let progress = self.progress.load(Relaxed);
            if progress == BACK {
                match self.worker.take() {
                    Some(worker) => return worker,
                    None => continue, // not there yet, or somebody leads again
                }
            }
            if looked.elapsed() < LOOK {
                continue; // woken for something else
            }
            looked = Instant::now();
            let (runs, begun) = (progress & RUNS != 0, progress.wrapping_sub(seen) / ONE_CALL);
            few = if runs && begun < FEW { few + 1 } else { 0 };
            if (runs && progress == seen) || few == 2 {
                if let Some(worker) = self.worker.take() {
                    self.do_without(progress / ONE_CALL);
                    return worker;
                }
                few = 0;
            }
            quiet = if progress == seen { quiet + 1 } else { 0 };
            seen = progress;
            if quiet == QUIET {
                self.rest(seen);
                quiet = 0;
            }
        }
    }

    /// Sleeps until a call is begun, or the worker is back.
    fn rest(&self, seen: u64) {
        self.resting.store(true, Relaxed);
        // SeqCst: partner of the fence in `leave`. Who gives the worker back wakes this thread in any case.
        fence(SeqCst);
        if self.progress.load(Relaxed) == seen {
            thread::park();
        }
        self.resting.store(false, Relaxed);
    }

    /// There is no leader for a while, after one that began so many calls.
    fn do_without(&self, calls: u64) {
        let term = match calls > u64::from(LONGEST_TERM) {
            true => FIRST_TERM,
            false => self.term.load(Relaxed),
        };
        self.term.store((term * 2).min(LONGEST_TERM), Relaxed);
        self.wanted.store(term, Relaxed);
    }
}

impl Shared {
    /// Leads, beginning with this call.
    pub(super) fn lead(&self, executor: &Executor, worker: Box<Worker>, call: Call) -> Led {
        let resident = Resident::Anywhere(worker.shared_actor());
        self.begin_one();
        let back = self.lead_on(executor, worker, call, &resident);
        // Before it is counted as busy no more: the main thread drops the actor.
        drop(resident);
        self.end_one();
        match back {
            Some(worker) => {
                self.desk.give_back(worker);
                Led::ToTheEnd
            }
            None => Led::Deposed,
        }
    }

    /// Gives what takes the calls, for the main thread, if this thread has it.
    fn lead_on(
        &self,
        executor: &Executor,
        mut worker: Box<Worker>,
        mut call: Call,
        resident: &Resident,
    ) -> Option<Box<Worker>> {
        worker.set_leads(true);
        loop {
            self.desk.leave(worker);
            let exits = self.run(executor, &call.order, resident);
            let Some(back) = self.desk.take() else {
                self.lanes().leave(call.lane);
                self.tell_of_exit(exits);
                return None;
            };
            worker = back;
            // Somebody else may have left it there, for another one.
            worker.set_leads(true);
            worker.exiting |= exits;
            self.lanes().leave_again(call.lane);
            self.tell_of_exit(exits);
            match worker.next_shared(executor) {
                Some(next) => call = next,
                None => {
                    worker.set_leads(false);
                    return Some(worker);
                }
            }
        }
    }
}

impl Worker {
    /// On the main thread: passes on what takes calls, with the first that may overlap with others. Returns when
    /// it is back.
    pub(super) fn hand_over(self: Box<Self>, call: Call) -> Box<Worker> {
        let Some(home) = &self.home else { unreachable!("an actor's call was taken") };
        let (core, shared) = (Arc::clone(&self.core), Arc::clone(home.crew.shared()));
        core.cease_to_serve();
        shared.desk.progress.store(0, Relaxed);
        shared.send_leader(self, call);
        let mut worker = shared.desk.watch();
        worker.set_leads(false);
        core.serve();
        worker
    }

    /// Whether it is with a thread that leads, which does not wait for itself.
    fn set_leads(&mut self, leads: bool) {
        if let Some(home) = &mut self.home {
            home.leads = leads;
        }
    }

    /// On a thread that leads: the next call for it; `None` when the main thread is wanted.
    fn next_shared(&mut self, executor: &Executor) -> Option<Call> {
        self.core.serve();
        let next = loop {
            if !self.core.on_top.is_empty() || self.take_all(None).is_break() {
                break None;
            }
            match self.held.take() {
                Some(Held::Shared(call)) => break Some(call),
                Some(own) => {
                    self.held = Some(own);
                    break None;
                }
                None if self.is_done(None) => break None,
                None if !self.has_next() => self.idle(executor, None),
                None => {}
            }
        };
        self.core.cease_to_serve();
        next
    }
}
