//! The task that a worker is at: since when, for whoever looks meanwhile or afterwards.
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | when it began, in ticks of the session's clock; 0 while there is none that is recorded |
//! | 1 | which task, by the scheduler's number |
//! | 2 | which attempt |
//!
//! The worker alone writes it, for one task at a time: those that run on top of a sleeping one, and the calls of
//! actors, which may overlap, are not told. The first word is 0 while the others change, and no two of its tasks began
//! at one tick, so a reader that finds it the same before and after has read what belongs together. A worker may be
//! killed between any two stores: then the first word is 0 and nothing is told, or all of it is there.

use rustyray_memory::{
    LINE_WORDS, Memory,
    sync::{
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

use crate::runtime::control::Words;

/// Words that it takes: a cache line, in which nobody else writes.
pub(crate) const BEGUN_WORDS: usize = LINE_WORDS;

const BEGAN: usize = 0;
const TASK: usize = 1;
const ATTEMPT: usize = 2;

/// What a worker began last and has not ended, in shared memory.
#[derive(Debug)]
pub(crate) struct Begun(Words);

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnderWay {
    /// In ticks.
    pub(crate) began: u64,
    pub(crate) task: u64,
    pub(crate) attempt: u16,
}

impl Begun {
    pub(crate) fn new(words: Words) -> Begun {
        Begun(words)
    }

    /// The worker: a task begins.
    #[inline]
    pub(crate) fn set(&self, UnderWay { began, task, attempt }: UnderWay) {
        self.0.word(BEGAN).store(0, Relaxed);
        // Pairs with the fence in `get`: who reads one of the next two sees that the first word has changed.
        fence(Release);
        self.0.word(TASK).store(task, Relaxed);
        self.0.word(ATTEMPT).store(attempt.into(), Relaxed);
        // Release: pairs with the acquire in `get`.
        self.0.word(BEGAN).store(began, Release);
    }

    /// The worker: it has ended.
    #[inline]
    pub(crate) fn clear(&self) {
        self.0.word(BEGAN).store(0, Relaxed);
    }

    /// What is under way, as far as it is told; `None` also when it is just changing.
    pub(crate) fn get(&self) -> Option<UnderWay> {
        // Acquire: pairs with the release in `set`, so that the other two are of this task or a later one.
        let began = self.0.word(BEGAN).load(Acquire);
        let task = self.0.word(TASK).load(Relaxed);
        let attempt = self.0.word(ATTEMPT).load(Relaxed) as u16;
        // Pairs with the fence in `set`.
        fence(Acquire);
        let is_whole = began != 0 && self.0.word(BEGAN).load(Relaxed) == began;
        is_whole.then_some(UnderWay { began, task, attempt })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use rustyray_memory::{Mapped, Span};

    use super::*;

    fn begun() -> Begun {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4096).expect("it grows");
        let mapped = Mapped::new(&file, 512).expect("it can be mapped");
        Begun::new(Span::new(Arc::new(mapped), 0, BEGUN_WORDS))
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
