//! Which of the tasks and calls that this process runs have been cancelled. Each is named as it would be as a
//! submitter: calls that came by direct lines have no number.
//!
//! The thread that listens to the node notes them and wakes the threads that wait; the thread that runs a
//! task looks whenever it waits or seals, and user code by `context().is_cancelled()`. A task that ended is
//! forgotten, so the set is empty but for the moments between a cancellation and the end of what was
//! cancelled. A cancellation that comes too late is forgotten when the process has nothing to do.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
};

use parking_lot::Mutex;

use rustyray_store::{ClientId, ObjectId};

use super::{Core, Link};
use crate::{
    context::Running,
    error::{Error, Result},
    spec::Submitter,
};

/// The cancelled tasks of one process.
#[derive(Default)]
pub(crate) struct Interrupts {
    /// Whether there is one: all that is looked at as long as nobody cancels.
    any: AtomicBool,
    tasks: Mutex<HashSet<Submitter>>,
    /// Of the executors that run tasks here.
    wakers: Mutex<Vec<Waker>>,
    /// The task that the worker began last, which may have ended.
    begun: Mutex<Option<Running>>,
}

impl Interrupts {
    /// `waker` is woken for each cancellation from now on, while what this gives lives.
    pub(super) fn attend(&self, waker: Waker) -> Attending<'_> {
        self.wakers.lock().push(waker.clone());
        Attending { interrupts: self, waker }
    }

    /// The worker begins a task.
    #[inline]
    pub(super) fn begin(&self, running: &Running) {
        *self.begun.lock() = Some(running.clone());
    }

    /// The task, if it is the one that was begun last.
    pub(super) fn begun(&self, task: u64) -> Option<Running> {
        self.begun.lock().as_ref().filter(|running| running.header.task == task).cloned()
    }

    /// The tasks are to stop.
    pub(super) fn insert(&self, stopped: impl IntoIterator<Item = Submitter>) {
        let mut tasks = self.tasks.lock();
        tasks.extend(stopped);
        // Release: pairs with the acquire in `is_interrupted`, so that who sees the mark finds the task.
        self.any.store(true, Ordering::Release);
        drop(tasks);
        self.wakers.lock().iter().for_each(Waker::wake_by_ref);
    }

    /// Whether the task was asked to stop.
    #[inline]
    pub(crate) fn is_interrupted(&self, task: Submitter) -> bool {
        self.any.load(Ordering::Acquire) && self.tasks.lock().contains(&task)
    }

    /// Whether any task was asked to stop.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The task has ended; tells whether it had been asked to.
    #[inline]
    pub(super) fn take(&self, task: Submitter) -> bool {
        if !self.any() {
            return false;
        }
        let mut tasks = self.tasks.lock();
        let was_there = tasks.remove(&task);
        self.any.store(!tasks.is_empty(), Ordering::Release);
        was_there
    }

    /// Forgets what is there now, if `is_idle` says that nothing is left which it could mean: a task is
    /// cancelled only after it was handed out, so one that is noted already can be seen by `is_idle`.
    pub(super) fn forget_if(&self, is_idle: impl FnOnce() -> bool) {
        if !self.any() {
            return;
        }
        let noted: Vec<Submitter> = self.tasks.lock().iter().copied().collect();
        if is_idle() {
            let mut tasks = self.tasks.lock();
            noted.iter().for_each(|task| {
                tasks.remove(task);
            });
            self.any.store(!tasks.is_empty(), Ordering::Release);
        }
    }
}

/// Has a waker woken for each cancellation.
#[must_use = "nobody is woken after it was dropped"]
pub(super) struct Attending<'a> {
    interrupts: &'a Interrupts,
    waker: Waker,
}

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        let mut wakers = self.interrupts.wakers.lock();
        if let Some(at) = wakers.iter().rposition(|waker| waker.will_wake(&self.waker)) {
            wakers.swap_remove(at);
        }
    }
}

impl Core {
    /// Whether the task that this thread runs was asked to stop.
    #[inline]
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupts.any()
            && crate::context::submitter().is_some_and(|who| self.interrupts.is_interrupted(who))
    }

    /// The task that this thread runs ends here, since it was asked to stop.
    pub(super) fn interrupted(&self) -> Error {
        Error::TaskCancelled { task: crate::context::running_name().unwrap_or_else(|| "?".into()) }
    }

    /// Ends what the running task does here if it was asked to stop.
    #[inline]
    pub(crate) fn check_uninterrupted(&self) -> Result<()> {
        if self.is_interrupted() { Err(self.interrupted()) } else { Ok(()) }
    }

    /// What the task that this thread runs makes of the error of what it waited for. The news of two cancellations
    /// come by different ways, and a task that was cancelled with its children is not to fail by theirs.
    pub(crate) fn met_here(&self, error: Error) -> Error {
        if let Error::TaskCancelled { .. } = error
            && let Link::Uplink(uplink) = &self.link
            && crate::context::running().is_some()
        {
            if !self.is_interrupted() {
                // With the node gone there is no more news.
                let _ = uplink.hear_of_cancellations();
            }
            return self.check_uninterrupted().err().unwrap_or(error);
        }
        error
    }

    /// A task is to be run on top of one that waits here.
    pub(crate) fn put_on_top(&self, words: Vec<u64>) {
        self.on_top.push(words);
        self.bell.wake_local();
    }

    /// The task is to stop: whoever waits for it here looks again. Gives it if this process is at it, for
    /// [`Core::fail_interrupted`].
    pub(crate) fn interrupt(&self, task: u64) -> Option<Running> {
        self.interrupt_all([Submitter::Task(task)]);
        self.interrupts.begun(task)
    }

    /// Code that cannot be stopped may take its time: whoever waits for its result learns at once that there will be
    /// none. This may wait for the node.
    pub(crate) fn fail_interrupted(&self, running: &Running) {
        if let Some(id) = running.returns {
            let cancelled = Error::TaskCancelled { task: running.name() };
            self.fail(id, running.header.attempt, &cancelled);
        }
    }

    /// The same of whatever runs here.
    pub(crate) fn interrupt_all(&self, who: impl IntoIterator<Item = Submitter>) {
        self.interrupts.insert(who);
        self.bell.wake_local();
    }

    /// The call by a line that makes this object is to stop, which this process may be running.
    pub(crate) fn interrupt_call(&self, consumer: ClientId, id: ObjectId) -> Result<()> {
        match &self.link {
            Link::Node(node) => {
                node.interrupt_calls(&[(consumer, id)]);
                Ok(())
            }
            Link::Uplink(uplink) => uplink.interrupt_call(consumer, id),
        }
    }

    /// The calls by lines that make these objects are to stop, each of which that process may be running, and with them
    /// what they have submitted. For that the node goes through all tasks: it is asked once for as many as there are.
    pub(crate) fn cancel_calls(&self, calls: &[(ClientId, ObjectId)], force: bool) -> Result<()> {
        match &self.link {
            Link::Node(node) => {
                node.cancel_calls(calls, force);
                Ok(())
            }
            Link::Uplink(uplink) => uplink.cancel_calls(calls, force),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_attends_is_woken_for_as_long_as_it_does() {
        let interrupts = Interrupts::default();
        let [stays, leaves] = [(); 2].map(|()| Arc::<Count>::default());
        let staying = interrupts.attend(Arc::clone(&stays).into());
        for task in 0..3 {
            let leaving = interrupts.attend(Arc::clone(&leaves).into());
            interrupts.insert([Submitter::Task(task)]);
            drop(leaving);
        }
        interrupts.insert([Submitter::Task(3)]);
        assert_eq!([stays, leaves].map(|count| count.0.load(Ordering::Relaxed)), [4, 3]);
        drop(staying);
        assert!(interrupts.wakers.lock().is_empty());
    }

    #[test]
    fn a_cancellation_is_seen_until_its_task_has_ended() {
        let interrupts = Interrupts::default();
        let (seven, eight) = (Submitter::Task(7), Submitter::Task(8));
        assert!(!interrupts.is_interrupted(seven));
        interrupts.insert([seven]);
        assert!(interrupts.is_interrupted(seven) && !interrupts.is_interrupted(eight));
        assert!(interrupts.take(seven) && !interrupts.take(seven));
        assert!(!interrupts.any());
        interrupts.insert([eight]);
        interrupts.forget_if(|| false);
        assert!(interrupts.is_interrupted(eight));
        interrupts.forget_if(|| true);
        assert!(!interrupts.any());
    }
}
