//! What one process is at: which task, and since when, for whoever looks meanwhile or after it was killed.
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | when it began, in ticks of a clock that all processes agree on; 0 while there is nothing to tell |
//! | 1 | which task |
//! | 2 | which attempt |
//!
//! One thread writes, for one task at a time, and nobody waits for anybody: a sequence lock, as Linux has them, whose
//! sequence is the time. Where its fences have to be is Boehm's ("Can seqlocks get along with programming language
//! memory models?", 2012).
//! The first word is 0 while the others change, and no two of a process's tasks began at one tick, so a reader that
//! finds it the same before and after has read what belongs together. The two ways in which that could fail, and what
//! forbids them:
//!
//! - A reader reads the old time and a new task, and the old time again: the writer fences after it has taken the
//!   old time away, the reader before it looks at the time again.
//! - It reads the new time and an old task: the time is stored with Release and read with Acquire.
//!
//! A process may be killed between any two stores: then the first word is 0 and nothing is told, or all of it is there.

use rustyray_memory::{
    LINE_WORDS, Memory,
    sync::{
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

/// Words of a [`Begun`]: a cache line, in which nobody else writes.
///
/// # Examples
/// ```
/// use rustyray_ipc::{BEGUN_WORDS, Begun};
/// use rustyray_memory::{Heap, Span};
///
/// // One for each of eight workers, side by side.
/// let memory = Heap::new(8 * BEGUN_WORDS);
/// let fourth = Begun::new(Span::new(memory, 3 * BEGUN_WORDS, BEGUN_WORDS));
/// assert_eq!(fourth.get(), None);
/// ```
pub const BEGUN_WORDS: usize = LINE_WORDS;

const BEGAN: usize = 0;
const TASK: usize = 1;
const ATTEMPT: usize = 2;

/// What one process is at, and since when: three shared words that one of its threads writes and any process reads,
/// also after the writer was killed. Nobody waits for anybody: it is a sequence lock whose sequence is the time.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{BEGUN_WORDS, Begun, UnderWay};
/// use rustyray_memory::{Clock, Heap};
///
/// let memory = Arc::new(Heap::new(BEGUN_WORDS));
/// let (worker, onlooker) = (Begun::new(Arc::clone(&memory)), Begun::new(memory));
/// assert_eq!(onlooker.get(), None);
///
/// let task = UnderWay { began: Clock::best().ticks(), task: 7, attempt: 0 };
/// worker.set(task);
/// assert_eq!(onlooker.get(), Some(task), "also when the worker was killed since");
/// worker.clear();
/// assert_eq!(onlooker.get(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Begun<M>(M);

/// What a [`Begun`] tells.
///
/// # Examples
/// ```
/// use rustyray_ipc::UnderWay;
/// use rustyray_memory::{Clock, Scale};
///
/// let clock = Clock::best();
/// let mut scale = Scale::new(clock);
/// let told = UnderWay { began: clock.ticks(), task: 7, attempt: 0 };
/// // Much later: for how many nanoseconds has it run?
/// let now = clock.ticks();
/// scale.go_on();
/// let ran_ns = scale.ns(now) - scale.ns(told.began);
/// # assert!(ran_ns < 1_000_000_000_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// When it began, in ticks of the [`Clock`](rustyray_memory::Clock) that the processes have agreed on; later for
    /// each task of the process, and never 0.
    pub began: u64,
    /// Which task, as the two sides number them.
    pub task: u64,
    /// Which attempt at it.
    pub attempt: u16,
}

impl<M: Memory> Begun<M> {
    /// The words in `span`, of [`BEGUN_WORDS`], all zero at first. The other calls panic when there are too few.
    pub fn new(span: M) -> Self {
        Begun(span)
    }

    /// A task begins. By the one thread that writes.
    #[inline]
    pub fn set(&self, UnderWay { began, task, attempt }: UnderWay) {
        self.0.word(BEGAN).store(0, Relaxed);
        // Release: pairs with the fence in `get`; who reads one of the next two sees that the time is another.
        fence(Release);
        self.0.word(TASK).store(task, Relaxed);
        self.0.word(ATTEMPT).store(attempt.into(), Relaxed);
        // Release: pairs with the Acquire in `get`.
        self.0.word(BEGAN).store(began, Release);
    }

    /// It has ended. By the one thread that writes.
    #[inline]
    pub fn clear(&self) {
        self.0.word(BEGAN).store(0, Relaxed);
    }

    /// What is under way, as far as it is told; `None` also when it is just changing. Any thread of any process may
    /// look: what it gets belongs together, and may be over by then.
    pub fn get(&self) -> Option<UnderWay> {
        // Acquire: pairs with the Release in `set`, so that the other two are of this task or a later one.
        let began = self.0.word(BEGAN).load(Acquire);
        let task = self.0.word(TASK).load(Relaxed);
        let attempt = self.0.word(ATTEMPT).load(Relaxed) as u16;
        // Acquire: pairs with the fence in `set`.
        fence(Acquire);
        let is_whole = began != 0 && self.0.word(BEGAN).load(Relaxed) == began;
        is_whole.then_some(UnderWay { began, task, attempt })
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustyray_memory::Heap;

    use super::*;

    fn begun() -> Begun<Heap> {
        Begun::new(Heap::new(BEGUN_WORDS))
    }

    #[test]
    fn what_was_begun_is_told_until_it_ends() {
        let begun = begun();
        assert_eq!(begun.get(), None);
        let task = UnderWay { began: 5, task: 7, attempt: 2 };
        begun.set(task);
        assert_eq!(begun.get(), Some(task));
        begun.clear();
        assert_eq!(begun.get(), None);
    }

    #[test]
    fn what_is_read_meanwhile_belongs_together() {
        let (begun, over) = (begun(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                // What was begun last is still there for a reader that had no turn before.
                while seen == 0 || !over.load(Ordering::Relaxed) {
                    let Some(UnderWay { began, task, attempt }) = begun.get() else { continue };
                    assert_eq!((task, attempt), (began * 3, began as u16));
                    seen += 1;
                }
            });
            for began in 1..=200_000 {
                begun.set(UnderWay { began, task: began * 3, attempt: began as u16 });
                if began % 3 == 0 {
                    begun.clear();
                }
            }
            over.store(true, Ordering::Relaxed);
            reader.join().expect("all of it belonged together");
        });
    }
}
