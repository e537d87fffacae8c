//! Waiting for a future on the thread that wants its result.
//!
//! A future that awaits an object has nothing to poll but one shared word. So the executor keeps the words
//! that its futures wait for as *interests*: after a poll that ended in `Pending` it helps the runtime,
//! watches the interests for the calibrated spin budget, and only then asks to be woken and sleeps, on
//! the process's own doorbell. A result that arrives within the budget costs no system call, no registry
//! and no second thread.
//!
//! Outside this executor (in a task of tokio, say) a future registers its waker with the runtime instead,
//! whose service thread wakes it.
//!
//! Protocol of sleeping: the waiter bit of every interest is set, then [`Core::wait`] re-checks them and
//! `woken` after it announced that it sleeps. A seal after that finds the waiter bit and rings; a wake by
//! a foreign thread sets `woken` first and then rings. Neither can be missed.

use std::{
    cell::RefCell,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustyray_store::{ObjectId, Status};
use tokio::runtime::Handle;

use super::{Core, foreground};
use crate::contained::contain;

/// An object that a future of this thread's executor waits for.
struct Interest {
    core: Arc<Core>,
    id: ObjectId,
    waker: Waker,
    /// One that is wanted as well and expected later: see [`look_ahead`].
    ahead: Option<ObjectId>,
}

/// For how long an executor may sleep for something later than the first that it waits for.
const AHEAD: Duration = Duration::from_millis(1);

thread_local! {
    /// `None` outside the executor.
    static INTERESTS: RefCell<Option<Vec<Interest>>> = const { RefCell::new(None) };
}

/// Notes that `waker`'s future waits for `id`; `false` when no executor of ours runs on this thread.
pub(super) fn watch(core: &Arc<Core>, id: ObjectId, waker: &Waker) -> bool {
    INTERESTS.with(|interests| match &mut *interests.borrow_mut() {
        Some(interests) => {
            interests.push(Interest {
                core: Arc::clone(core),
                id,
                waker: waker.clone(),
                ahead: None,
            });
            true
        }
        None => false,
    })
}

/// Notes that whoever was just noted to wait for `id` wants `ahead` as well, which is expected later. Where many
/// results come one after the other, each wake costs more than they do: so when this thread has to sleep it has
/// itself woken for `ahead`, and for `id` only when [`AHEAD`] has passed.
pub(crate) fn look_ahead(id: ObjectId, ahead: ObjectId) {
    INTERESTS.with(|interests| {
        if let Some(interest) = interests.borrow_mut().as_mut().and_then(|all| all.last_mut())
            && interest.id == id
        {
            interest.ahead = Some(ahead);
        }
    });
}

/// Wakes the executor's thread, wherever it waits.
struct Parker {
    woken: AtomicBool,
    thread: Thread,
    /// The runtime whose doorbell the thread sleeps on, while it does.
    bell: Mutex<Option<Arc<Core>>>,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: whatever the waker's owner wrote is visible to the poll that `swap` lets begin.
        if self.woken.swap(true, Ordering::AcqRel) || thread::current().id() == self.thread.id() {
            return;
        }
        match &*self.bell.lock() {
            Some(core) => core.wake_waiters(),
            None => self.thread.unpark(),
        }
    }
}

impl Parker {
    fn take(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel)
    }
}

/// While it lives, interests of this thread are collected; nested scopes keep their own.
struct Scope {
    outer: Option<Vec<Interest>>,
}

impl Scope {
    fn enter() -> Scope {
        Scope { outer: INTERESTS.with(|interests| interests.borrow_mut().replace(Vec::new())) }
    }

    /// What was collected.
    fn take(&self) -> Vec<Interest> {
        INTERESTS.with(|interests| {
            interests.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
        })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let outer = self.outer.take();
        // A thread that is ending has no interests left to restore.
        let _ = INTERESTS.try_with(|interests| *interests.borrow_mut() = outer);
    }
}

/// Polls futures on one thread and waits for what they wait for.
pub(crate) struct Executor {
    parker: Arc<Parker>,
    waker: Waker,
    waiting: RefCell<Vec<Interest>>,
}

impl Executor {
    /// An executor for the current thread.
    pub(crate) fn new() -> Executor {
        let parker = Arc::new(Parker {
            woken: AtomicBool::new(false),
            thread: thread::current(),
            bell: Mutex::new(None),
        });
        let waker = Waker::from(Arc::clone(&parker));
        Executor { parker, waker, waiting: RefCell::new(Vec::new()) }
    }

    /// What wakes the executor's thread.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Polls once.
    pub(crate) fn poll<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
        self.poll_as(&self.waker, poll)
    }

    /// Polls once what is woken by `waker`, which wakes this executor too.
    pub(crate) fn poll_as<R>(
        &self,
        waker: &Waker,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        // What is polled says anew what it waits for.
        self.waiting.borrow_mut().retain(|interest| !interest.waker.will_wake(waker));
        let scope = Scope::enter();
        let polled = poll(&mut Context::from_waker(waker));
        self.waiting.borrow_mut().append(&mut scope.take());
        polled
    }

    /// Runs `future` to its end.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = self.poll(|context| future.as_mut().poll(context)) {
                return output;
            }
            if self.parker.take() {
                continue;
            }
            let core = self.waiting.borrow().first().map(|interest| Arc::clone(&interest.core));
            match core {
                Some(core) => {
                    if !self.spin(&core, &|| false) {
                        self.sleep(&core, None, &|| false);
                    }
                }
                None => {
                    // The future waits for something outside any runtime.
                    while !self.parker.take() {
                        thread::park();
                    }
                }
            }
        }
    }

    /// Whether a future is to be polled again; wakes those whose object is settled.
    fn is_woken(&self) -> bool {
        let mut settled = false;
        self.waiting.borrow_mut().retain(|interest| {
            let pending = interest.core.is_pending(interest.id) && !interest.core.is_interrupted();
            if !pending {
                settled = true;
                contain(|| interest.waker.wake_by_ref());
            }
            pending
        });
        settled || self.parker.woken.load(Ordering::Acquire)
    }

    /// What the futures of this executor wait for at this runtime.
    pub(super) fn awaited(&self, core: &Arc<Core>) -> Vec<ObjectId> {
        let waiting = self.waiting.borrow();
        let ours = waiting.iter().filter(|interest| Arc::ptr_eq(&interest.core, core));
        ours.map(|interest| interest.id).collect()
    }

    /// Waits within the spin budget for a wake or for `ready`; `false` when it is used up.
    pub(crate) fn spin(&self, core: &Arc<Core>, ready: &dyn Fn() -> bool) -> bool {
        let come = core.spin(|| (ready() || self.is_woken()).then_some(())).is_some();
        if come {
            self.parker.take();
        }
        come
    }

    /// Sleeps on the runtime's doorbell until there is a wake or `ready`, or until a moment; a while at most, where
    /// something ahead is waited for.
    pub(crate) fn sleep(&self, core: &Arc<Core>, until: Option<Instant>, ready: &dyn Fn() -> bool) {
        *self.parker.bell.lock() = Some(Arc::clone(core));
        let mut soon = None;
        for interest in self.waiting.borrow_mut().iter_mut() {
            let ahead = interest.ahead.take();
            if !Arc::ptr_eq(&interest.core, core) {
                // An object of another runtime rings that one's doorbell, whose service wakes this thread.
                interest.core.wake_when_settled(interest.id, &self.waker);
            } else if ahead.is_some_and(|ahead| core.subscribe(ahead) == Status::Pending) {
                soon.get_or_insert_with(|| Instant::now() + AHEAD);
            } else {
                core.subscribe(interest.id);
            }
        }
        let deadline = [until, soon].into_iter().flatten().min();
        core.wait(deadline, &|| self.awaited(core), || (ready() || self.is_woken()).then_some(()));
        *self.parker.bell.lock() = None;
        self.parker.take();
    }
}

/// Runs `future` to its end on this thread.
///
/// It waits as the runtime's blocking calls do: it helps, spins for a calibrated time, then sleeps. Timers and sockets
/// of tokio work in it, driven by a thread of their own; on a thread that is in a tokio runtime already they are
/// that one's.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(rustyray::block_on(async { 6 * 7 }), 42);
/// rustyray::block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    // Where the process cannot have that thread, all else works.
    let foreground = match Handle::try_current() {
        Ok(_) => None,
        Err(_) => foreground::handle().ok(),
    };
    let _entered = foreground.map(Handle::enter);
    Executor::new().run(future)
}
