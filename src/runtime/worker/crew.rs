//! The threads on which an actor's sync `&self` calls overlap.
//!
//! A call that blocks its thread can overlap with others only on threads. They are started when they are
//! needed, at most as many as calls may overlap, and sleep when there is nothing for them. One is woken or
//! started at a time: a thread that takes a call while more are waiting sees to the next, so that a burst of
//! short calls is done by the few that are awake already.
//!
//! The actor's own thread, which may sleep until there is a slot, is not told of each that was given back: it
//! is told of many at once while calls are waiting on the board, and always when the last of those is taken.
//! So whatever the calls that run then wait for, that thread has looked since.
//!
//! Invariant: a thread of the crew reads the actor and never has it for itself. The actor's own thread begins
//! no exclusive call while the crew is at work, so calls of one caller do not overtake each other there.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    actor::take_exit,
    calls::{Order, stoppable},
    lanes::Slot,
    report::Reports,
};
use crate::{
    call::{End, Failure},
    residence::Resident,
    runtime::{Core, background, current, executor::Executor},
};

/// See the module.
pub(super) struct Crew {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    reports: Arc<Reports>,
    board: Mutex<Board>,
    changed: Condvar,
    most: usize,
    /// Calls that were handed over and have not ended.
    busy: AtomicUsize,
}

#[derive(Default)]
struct Board {
    orders: VecDeque<(Order, Resident2, Slot)>,
    threads: usize,
    idle: usize,
    /// A thread was woken, or started, and has not looked yet.
    coming: bool,
    /// How many slots were given back of which the actor's thread was not told.
    untold: usize,
    closed: bool,
}

/// An actor that may be read by any thread.
type Resident2 = Arc<dyn std::any::Any + Send + Sync>;

impl Crew {
    pub(super) fn new(core: Arc<Core>, reports: Arc<Reports>, most: usize) -> Crew {
        let shared = Shared {
            core,
            reports,
            board: Mutex::default(),
            changed: Condvar::new(),
            most,
            busy: AtomicUsize::new(0),
        };
        Crew { shared: Arc::new(shared) }
    }

    /// Whether a call that was handed over has not ended.
    pub(super) fn is_busy(&self) -> bool {
        // Acquire: pairs with the release in `Shared::work`.
        self.shared.busy.load(Ordering::Acquire) > 0
    }

    /// Hands a call over.
    pub(super) fn hand(&self, order: Order, actor: Resident2, slot: Slot) {
        let shared = &self.shared;
        shared.busy.fetch_add(1, Ordering::Relaxed);
        let mut board = shared.board.lock();
        board.orders.push_back((order, actor, slot));
        shared.reinforce(board);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.board.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Has a further thread come for what is on the board, if none is coming already.
    fn reinforce(self: &Arc<Self>, mut board: MutexGuard<'_, Board>) {
        if board.coming || board.orders.is_empty() {
            return;
        }
        if board.idle > 0 {
            board.coming = true;
            drop(board);
            self.changed.notify_one();
            return;
        }
        if board.threads < self.most {
            (board.coming, board.threads) = (true, board.threads + 1);
            drop(board);
            let theirs = Arc::clone(self);
            let name = "rustyray-call".to_owned();
            let started = std::thread::Builder::new().name(name).spawn(move || theirs.work());
            if let Err(error) = started {
                self.do_without(&error);
            }
        }
    }

    /// No further thread can be had: the others will do, and where there is none, this one.
    #[cold]
    fn do_without(&self, error: &std::io::Error) {
        let mut board = self.board.lock();
        board.coming = false;
        board.threads -= 1;
        if board.threads == 0 {
            eprintln!("rustyray: no thread for a call, which runs alone: {error}");
            while let Some(order) = board.orders.pop_front() {
                drop(board);
                self.run(&Executor::new(), order);
                self.core.wake_waiters();
                board = self.board.lock();
            }
        }
    }

    fn work(self: &Arc<Self>) {
        let _runtime = current::enter(&self.core);
        let executor = Executor::new();
        self.core.interrupts.attend(executor.waker());
        let mut board = self.board.lock();
        board.coming = false;
        loop {
            let order = board.orders.pop_front();
            let tell = board.untold > 0
                && (board.orders.is_empty() || board.untold >= self.most.div_ceil(2));
            if tell {
                board.untold = 0;
            }
            match order {
                Some(order) => {
                    self.reinforce(board);
                    if tell {
                        self.core.wake_waiters();
                    }
                    self.run(&executor, order);
                    board = self.board.lock();
                    board.untold += 1;
                }
                None if tell => {
                    drop(board);
                    self.core.wake_waiters();
                    board = self.board.lock();
                }
                None if board.closed => return,
                None => {
                    board.idle += 1;
                    self.changed.wait(&mut board);
                    board.idle -= 1;
                    board.coming = false;
                }
            }
        }
    }

    /// Runs a call to its end and gives its slot back; the actor's thread is to be told.
    fn run(&self, executor: &Executor, (order, actor, slot): (Order, Resident2, Slot)) {
        let resident = Resident::Anywhere(actor);
        let (returns, context, outcome) = order.begin(&self.core, Some(&resident));
        let outcome = match outcome.map(|finished| finished.0) {
            Ok(End::Sealed) => Ok(()),
            Ok(End::Later(future)) => match background::handle() {
                Ok(background) => {
                    let _tokio = background.enter();
                    let task = order.header.task;
                    executor.run(stoppable(&self.core, task, None, future))
                }
                Err(error) => Err(error.into()),
            },
            Ok(End::Constructed(_) | End::ConstructedLater(_)) => {
                Err(Failure::message("a method ended as a constructor does"))
            }
            Err(failure) => Err(failure),
        };
        self.reports.complete(&order.header, &returns, outcome, take_exit());
        drop(context);
        drop(resident);
        // Release: pairs with the acquire in `Crew::is_busy`.
        self.busy.fetch_sub(1, Ordering::Release);
        drop(slot);
    }
}
