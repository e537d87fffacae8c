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
//! Calls that are short are not handed over one by one: see [`super::lead`].
//!
//! Where the system gives no further thread, what is on the board waits for those there are: these may wait for it in
//! turn, so it is tried again, by who takes the actor's calls, which never waits on the board itself. Where there is
//! no thread at all the actor's own runs the calls.
//!
//! Invariant: a thread of the crew reads the actor and never has it for itself. The actor's own thread begins
//! no exclusive call while the crew is at work, so calls of one caller do not overtake each other there.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    Worker,
    actor::take_exit,
    calls::{Order, stoppable},
    lanes::Lanes,
    lead::{Desk, Led},
    report::Reports,
};
use crate::{
    call::{End, Failure},
    residence::Resident,
    runtime::{Core, current, executor::Executor, foreground},
};

/// After how long a thread is tried to be started again that could not be had.
const AGAIN: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Crew {
    shared: Arc<Shared>,
}

/// A call for a thread of the crew, with a slot of its lane.
pub(super) struct Call {
    pub(super) order: Order,
    pub(super) lane: usize,
}

/// The actor, where any thread can read it. Who has it is counted as busy until it was let go of.
pub(super) type SharedActor = Arc<dyn Any + Send + Sync>;

/// What a thread of the crew is to do.
enum Errand {
    Run(Call, SharedActor),
    /// To run this call, and those that come after it.
    Lead(Box<Worker>, Call),
}

/// What the actor's own thread and its crew share.
pub(super) struct Shared {
    core: Arc<Core>,
    reports: Arc<Reports>,
    lanes: Arc<Lanes>,
    board: Mutex<Board>,
    changed: Condvar,
    most: usize,
    /// Calls that were handed over and have not ended, and threads that lead, or did when they began the call that they
    /// run.
    busy: AtomicUsize,
    /// A call asked for the actor's end.
    exited: AtomicBool,
    /// Calls on the board may wait for a thread that could not be had. Written with the board's lock.
    is_short: AtomicBool,
    /// That was said.
    has_been_short: AtomicBool,
    pub(super) desk: Desk,
}

#[derive(Default)]
struct Board {
    errands: VecDeque<Errand>,
    threads: usize,
    idle: usize,
    /// A thread was woken, or started, and has not looked yet.
    coming: bool,
    /// How many slots were given back of which the actor's thread was not told.
    untold: usize,
    closed: bool,
}

impl Crew {
    pub(super) fn new(core: Arc<Core>, reports: Arc<Reports>, lanes: Arc<Lanes>) -> Crew {
        let most = lanes.total();
        let shared = Shared {
            core,
            reports,
            lanes,
            board: Mutex::default(),
            changed: Condvar::new(),
            most,
            busy: AtomicUsize::new(0),
            exited: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
            has_been_short: AtomicBool::new(false),
            desk: Desk::new(),
        };
        Crew { shared: Arc::new(shared) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether a call that is not the main thread's has not ended, besides one that leads, who asks.
    pub(super) fn is_busy(&self, leads: bool) -> bool {
        // Acquire: pairs with the release in `Shared::end_one`.
        self.shared.busy.load(Ordering::Acquire) > usize::from(leads)
    }

    /// Whether one of its calls asked for the actor's end.
    pub(super) fn has_exited(&self) -> bool {
        // Acquire: pairs with the release in `Shared::run`.
        self.shared.exited.load(Ordering::Acquire)
    }

    /// Whether calls have been short enough lately for a thread of the crew to lead.
    pub(super) fn may_lead(&self) -> bool {
        self.shared.desk.may_be_used()
    }

    /// Whether it is to be tried again to have a further thread.
    pub(super) fn is_short(&self) -> bool {
        self.shared.is_short.load(Ordering::Relaxed)
    }

    /// Tries that, where it is to be; when the next time is.
    pub(super) fn reinforce_again(&self) -> Option<Instant> {
        if !self.is_short() {
            return None;
        }
        let board = self.shared.board.lock();
        self.shared.is_short.store(false, Ordering::Relaxed);
        self.shared.reinforce(board);
        self.is_short().then(|| Instant::now() + AGAIN)
    }

    /// Hands a call over.
    pub(super) fn hand(&self, call: Call, actor: SharedActor) {
        self.shared.begin_one();
        self.shared.post(Errand::Run(call, actor));
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.board.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Has a thread of the crew lead, beginning with this call.
    pub(super) fn send_leader(self: &Arc<Self>, worker: Box<Worker>, call: Call) {
        self.post(Errand::Lead(worker, call));
    }

    fn post(self: &Arc<Self>, errand: Errand) {
        let mut board = self.board.lock();
        board.errands.push_back(errand);
        self.reinforce(board);
    }

    /// Has a further thread come for what is on the board, if none is coming already.
    fn reinforce(self: &Arc<Self>, mut board: MutexGuard<'_, Board>) {
        if board.coming || board.errands.is_empty() {
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
        if board.threads > 0 {
            return self.wait_for_thread(board, error);
        }
        crate::notice!("rustyray: no thread for a call, which runs alone: {error}");
        while let Some(errand) = board.errands.pop_front() {
            drop(board);
            match errand {
                Errand::Run(call, actor) => drop(self.run_handed(&Executor::new(), call, actor)),
                Errand::Lead(mut worker, call) => {
                    let actor = worker.shared_actor();
                    self.begin_one();
                    worker.exiting |= self.run_handed(&Executor::new(), call, actor);
                    self.desk.give_back(worker);
                }
            }
            self.core.wake_waiters();
            board = self.board.lock();
        }
    }

    /// Leaves what is on the board until there is a thread for it. What takes the actor's calls does not lie there
    /// with the call that was to be led with: it goes back to the main thread.
    fn wait_for_thread(&self, mut board: MutexGuard<'_, Board>, error: &std::io::Error) {
        if !self.has_been_short.swap(true, Ordering::Relaxed) {
            let threads = board.threads;
            crate::notice!("rustyray: no further thread, calls wait for one of {threads}: {error}");
        }
        let mut back = None;
        for errand in std::mem::take(&mut board.errands) {
            board.errands.push_back(match errand {
                Errand::Lead(worker, call) => {
                    let actor = worker.shared_actor();
                    self.begin_one();
                    back = Some(worker);
                    Errand::Run(call, actor)
                }
                run => run,
            });
        }
        self.is_short.store(!board.errands.is_empty(), Ordering::Relaxed);
        drop(board);
        if let Some(worker) = back {
            self.desk.decline(worker);
        }
        // Who takes the actor's calls may sleep, and tries again.
        self.core.wake_waiters();
    }

    fn work(self: &Arc<Self>) {
        let _runtime = current::enter(&self.core);
        let executor = Executor::new();
        let _attending = self.core.interrupts.attend(executor.waker());
        let mut board = self.board.lock();
        board.coming = false;
        loop {
            let errand = board.errands.pop_front();
            let tell = board.untold > 0
                && (board.errands.is_empty() || board.untold >= self.most.div_ceil(2));
            if tell {
                board.untold = 0;
            }
            match errand {
                Some(errand) => {
                    self.reinforce(board);
                    if tell {
                        self.core.wake_waiters();
                    }
                    let told = match errand {
                        Errand::Run(call, actor) => {
                            let timing = self.desk.time();
                            self.run_handed(&executor, call, actor);
                            self.desk.learn(timing);
                            false
                        }
                        Errand::Lead(worker, call) => {
                            self.lead(&executor, worker, call) == Led::ToTheEnd
                        }
                    };
                    board = self.board.lock();
                    board.untold += usize::from(!told);
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

    /// Counts one more that is busy: a call, or who leads.
    pub(super) fn begin_one(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less, which has let go of the actor.
    pub(super) fn end_one(&self) {
        // Release: pairs with the acquire in `Crew::is_busy`.
        self.busy.fetch_sub(1, Ordering::Release);
    }

    /// Runs a call that was handed over and gives its slot back; who takes the actor's calls is to be told. Whether the
    /// call asked for the actor's end.
    fn run_handed(&self, executor: &Executor, call: Call, actor: SharedActor) -> bool {
        let resident = Resident::Anywhere(actor);
        let exits = self.run(executor, &call.order, &resident);
        drop(resident);
        self.end_one();
        self.lanes.leave(call.lane);
        self.tell_of_exit(exits);
        exits
    }

    /// After the slot of a call was given back that may have asked for the actor's end.
    pub(super) fn tell_of_exit(&self, exits: bool) {
        if exits {
            // At once: calls that run, here too, may wait for those that are turned away.
            self.core.wake_waiters();
        }
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Runs a call to its end. Whether it asked for the actor's end.
    pub(super) fn run(&self, executor: &Executor, order: &Order, resident: &Resident) -> bool {
        let (mut returns, context, outcome) = order.begin(&self.core, Some(resident));
        let outcome = match outcome.map(|finished| finished.0) {
            Ok(End::Sealed) => Ok(()),
            Ok(End::Later(future)) => match foreground::handle() {
                Ok(foreground) => {
                    let _tokio = foreground.enter();
                    let who = returns.who(&order.header);
                    let ended = executor.run(stoppable(&self.core, who, None, future));
                    returns.take_begin();
                    ended
                }
                Err(error) => Err(error.into()),
            },
            Ok(End::Constructed(_) | End::ConstructedLater(_)) => {
                Err(Failure::message("a method ended as a constructor does"))
            }
            Err(failure) => Err(failure),
        };
        let exits = take_exit();
        self.reports.complete(&order.header, &returns, outcome, exits);
        if exits {
            // Before the slot is given back: nothing is to begin in it. Release: pairs with the acquire in
            // `Crew::has_exited`; who sees it also tells the node of what was reported.
            self.exited.store(true, Ordering::Release);
        }
        drop(context);
        exits
    }
}
