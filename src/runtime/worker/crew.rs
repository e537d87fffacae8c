//! The threads on which an actor's sync `&self` calls overlap.
//!
//! A call that blocks its thread can overlap with others only on threads. They are started when they are
//! needed, at most as many as calls may overlap, and sleep when there is nothing for them. One is woken at a
//! time: a thread that takes a call while more are waiting wakes the next, so that a burst of short calls is
//! done by the few that are awake already.
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

use parking_lot::{Condvar, Mutex};

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
    most: usize,
}

struct Shared {
    core: Arc<Core>,
    reports: Arc<Reports>,
    board: Mutex<Board>,
    changed: Condvar,
    /// Calls that were handed over and have not ended.
    busy: AtomicUsize,
}

#[derive(Default)]
struct Board {
    orders: VecDeque<(Order, Resident2, Slot)>,
    threads: usize,
    idle: usize,
    /// A thread was woken and has not looked yet.
    waking: bool,
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
            busy: AtomicUsize::new(0),
        };
        Crew { shared: Arc::new(shared), most }
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
        if board.waking {
            return;
        }
        if board.idle > 0 {
            board.waking = true;
            drop(board);
            shared.changed.notify_one();
            return;
        }
        if board.threads < self.most {
            board.threads += 1;
            drop(board);
            let theirs = Arc::clone(shared);
            let name = "rustyray-call".to_owned();
            let started = std::thread::Builder::new().name(name).spawn(move || theirs.work());
            if let Err(error) = started {
                let mut board = shared.board.lock();
                board.threads -= 1;
                if board.threads == 0 {
                    eprintln!("rustyray: no thread for a call, which runs alone: {error}");
                    let order = board.orders.pop_back();
                    drop(board);
                    order.into_iter().for_each(|order| shared.run(&Executor::new(), order));
                }
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.board.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        let _runtime = current::enter(&self.core);
        let executor = Executor::new();
        self.core.interrupts.attend(executor.waker());
        let mut board = self.board.lock();
        loop {
            if let Some(order) = board.orders.pop_front() {
                if !board.orders.is_empty() && board.idle > 0 && !board.waking {
                    board.waking = true;
                    self.changed.notify_one();
                }
                drop(board);
                self.run(&executor, order);
                board = self.board.lock();
                continue;
            }
            if board.closed {
                return;
            }
            board.idle += 1;
            self.changed.wait(&mut board);
            board.idle -= 1;
            board.waking = false;
        }
    }

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
        slot.give_back_and_wake();
    }
}
