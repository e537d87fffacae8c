//! The calls of a line that stand aside: each waits for an argument, and later ones may pass it.
//!
//! There may be any number: that many wait must keep nobody from passing. So each is kept with one of the arguments
//! that it waits for, and nobody looks at it before that is settled; then it is ready, or kept with the next. What a
//! look costs does not depend on how many stand aside.
//!
//! # No argument is missed
//! An argument is entered among the wakers of the process, then subscribed to, which says whether it is settled by now.
//! If it was not, whoever settles it marks it and rings, and the thread of this process that finds the mark puts it on
//! the list before it passes the ring on. Who takes the calls looks at the list again after each.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Wake, Waker},
};

use crossbeam::queue::SegQueue;
use rustyray_store::{ObjectId, Status};

use super::{calls::Order, intake::Waiting};
use crate::runtime::Core;

/// See the module.
pub(super) struct Aside {
    core: Arc<Core>,
    waiting: HashMap<ObjectId, Kept>,
    ready: VecDeque<Waiting>,
    /// Arguments that are settled, and whose calls were not looked at since.
    settled: Arc<SegQueue<ObjectId>>,
}

/// The calls that are kept with one argument.
struct Kept {
    waker: Waker,
    calls: Vec<Waiting>,
}

/// Puts an argument on the list.
struct Due {
    argument: ObjectId,
    settled: Arc<SegQueue<ObjectId>>,
}

impl Wake for Due {
    fn wake(self: Arc<Self>) {
        self.settled.push(self.argument);
    }
}

impl Aside {
    pub(super) fn new(core: &Arc<Core>) -> Aside {
        Aside {
            core: Arc::clone(core),
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            settled: Arc::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.ready.is_empty()
    }

    /// Keeps a call until its arguments are settled.
    pub(super) fn push(&mut self, call: Waiting) {
        let core = &self.core;
        let mut arguments = call.arguments.iter().copied();
        let Some(argument) = arguments.find(|&id| core.client.status(id) == Status::Pending) else {
            return self.ready.push_back(call);
        };
        let kept = self.waiting.entry(argument).or_insert_with(|| {
            let settled = Arc::clone(&self.settled);
            let waker = Waker::from(Arc::new(Due { argument, settled }));
            if !core.wake_when_seen(argument, &waker) {
                self.settled.push(argument);
            }
            Kept { waker, calls: Vec::new() }
        });
        kept.calls.push(call);
    }

    /// Whether a call may have become ready.
    pub(super) fn has_news(&self) -> bool {
        !self.ready.is_empty() || !self.settled.is_empty()
    }

    /// A call whose arguments are all settled.
    pub(super) fn take_ready(&mut self) -> Option<Waiting> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            let settled = self.settled.pop()?;
            let kept = self.waiting.remove(&settled);
            kept.into_iter().flat_map(|kept| kept.calls).for_each(|call| self.push(call));
        }
    }

    /// What the calls wait for, one argument of each.
    pub(super) fn awaited(&self) -> impl Iterator<Item = ObjectId> {
        self.waiting.keys().copied()
    }

    pub(super) fn has_cancelled(&self) -> bool {
        let waiting = self.waiting.values().flat_map(|kept| &kept.calls);
        self.ready.iter().chain(waiting).any(|call| call.is_cancelled(&self.core))
    }

    /// Takes out what was cancelled.
    pub(super) fn take_cancelled(&mut self, cancelled: &mut Vec<Order>) {
        let Aside { core, waiting, ready, .. } = self;
        let is_cancelled = |call: &mut Waiting| call.is_cancelled(core);
        let (gone, stay) = ready.drain(..).partition(|call| call.is_cancelled(core));
        *ready = stay;
        cancelled.extend(VecDeque::into_iter(gone).map(|call| call.order));
        waiting.retain(|&argument, kept| {
            cancelled.extend(kept.calls.extract_if(.., is_cancelled).map(|call| call.order));
            if kept.calls.is_empty() {
                core.forget_waker(argument, &kept.waker);
            }
            !kept.calls.is_empty()
        });
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Order> {
        let mut all: Vec<_> = self.ready.drain(..).collect();
        for (argument, kept) in self.waiting.drain() {
            self.core.forget_waker(argument, &kept.waker);
            all.extend(kept.calls);
        }
        all.into_iter().map(|call| call.order)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.take_all().for_each(drop);
    }
}
