//! Tasks that this process is to run on top of one that waits: see `node/relief.rs`.
//!
//! The thread that listens to the node puts them here; whoever sleeps in a task looks here when it is woken, and
//! runs what it finds before it sleeps again. A worker that has nothing to do looks as well: its task may have
//! ended meanwhile.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

/// Runs a task, whose words these are, to its end on the calling thread.
type Runner = Box<dyn Fn(Vec<u64>) + Send + Sync>;

/// What is to be run on top.
#[derive(Default)]
pub(crate) struct OnTop {
    len: AtomicUsize,
    tasks: Mutex<VecDeque<Vec<u64>>>,
    runner: OnceLock<Runner>,
}

impl OnTop {
    /// How tasks are run here; the first call counts.
    pub(super) fn set_runner(&self, runner: Runner) {
        let _ = self.runner.set(runner);
    }

    pub(super) fn push(&self, words: Vec<u64>) {
        let mut tasks = self.tasks.lock();
        tasks.push_back(words);
        // Release: pairs with the acquire in `is_empty`.
        self.len.store(tasks.len(), Ordering::Release);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    pub(super) fn pop(&self) -> Option<Vec<u64>> {
        if self.is_empty() {
            return None;
        }
        let mut tasks = self.tasks.lock();
        let words = tasks.pop_front();
        self.len.store(tasks.len(), Ordering::Release);
        words
    }

    /// Runs a task here and now.
    pub(super) fn run(&self, words: Vec<u64>) {
        if let Some(runner) = self.runner.get() {
            runner(words);
        }
    }
}

impl fmt::Debug for OnTop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnTop({})", self.len.load(Ordering::Relaxed))
    }
}
