//! Reply cells: where a process finds the answers to what it asked by an entry of its ring.
//!
//! A cell is a line of its own: its state, then the words of the answer. The entry names the cell.
//!
//! ```text
//! asker:    take a free cell;  state ← asked;  publish the entry, with the cell's number
//! answerer: write the answer;  state ← answered (Release);  ring
//! asker:    state = answered?  (Acquire)  read the answer;  state ← free;  give the cell back
//! ```
//! Each entry is answered once at most, so that a cell which was given back is written by nobody until it
//! is asked anew. A question that is given up keeps its cell: the answer may still come.
//!
//! Which cells are free is known to the asking process alone. When it dies the answerer writes on into
//! memory that nobody reads; it is cleared before another process gets it. When the answerer dies, whoever
//! waits learns that from elsewhere.
//!
//! Who may call: any thread of the asking process asks, any thread of the answering one answers.

use rustyray_memory::{
    Memory,
    sync::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

const FREE: u64 = 0;
const ASKED: u64 = 1;
const ANSWERED: u64 = 2;

/// How many cells there are, and how long an answer can be.
///
/// # Examples
/// ```
/// use rustyray_ipc::{Asker, CellShape};
/// use rustyray_memory::Heap;
///
/// const SHAPE: CellShape = CellShape { cells: 2, answer_words: 7 };
/// let asker = Asker::new(Heap::new(SHAPE.words()), SHAPE);
/// let questions = [asker.ask(), asker.ask()];
/// assert!(questions.iter().all(Option::is_some));
/// assert!(asker.ask().is_none(), "two are under way");
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct CellShape {
    /// How many questions can be under way at once: 64 at most.
    pub cells: usize,
    /// Words of the longest answer.
    pub answer_words: usize,
}

impl CellShape {
    /// Words of memory that cells of this shape take.
    ///
    /// # Panics
    /// When there are more cells than 64, or none.
    pub const fn words(self) -> usize {
        assert!(self.cells > 0 && self.cells <= 64, "there are 1 to 64 cells");
        self.cells * self.stride()
    }

    const fn stride(self) -> usize {
        (1 + self.answer_words).next_multiple_of(rustyray_memory::LINE_WORDS)
    }

    const fn state(self, cell: usize) -> usize {
        cell * self.stride()
    }

    const fn answer(self, cell: usize) -> usize {
        self.state(cell) + 1
    }
}

/// The asking process's side.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{Asker, CellShape, answer};
/// use rustyray_memory::Heap;
///
/// const SHAPE: CellShape = CellShape { cells: 4, answer_words: 2 };
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// let asker = Asker::new(Arc::clone(&memory), SHAPE);
///
/// let question = asker.ask().expect("a free cell");
/// let cell = question.cell() as u64; // goes to the other process, by a ring
/// assert!(!question.is_answered());
///
/// assert!(answer(&memory, SHAPE, cell, &[6, 7])); // there
/// assert!(!answer(&memory, SHAPE, 1000, &[0]), "no cell of ours");
///
/// assert!(asker.take_untold(), "somebody who may sleep is to be woken");
/// assert_eq!(question.read::<2>().expect("an answer"), [6, 7]);
/// ```
#[derive(Debug)]
pub struct Asker<M> {
    span: M,
    shape: CellShape,
    /// A bit for each free cell.
    free: AtomicU64,
    /// A bit for each question whose asker may sleep, and was not told of the answer.
    untold: AtomicU64,
}

impl<M: Memory> Asker<M> {
    /// The asker's side of the cells in `span`, all of them free.
    ///
    /// # Panics
    /// When `span` is too small for the shape.
    pub fn new(span: M, shape: CellShape) -> Self {
        let (needed, found) = (shape.words(), span.len_words());
        assert!(found >= needed, "cells of {needed} words in a memory of {found}");
        let free = AtomicU64::new(u64::MAX >> (64 - shape.cells));
        Asker { span, shape, free, untold: AtomicU64::new(0) }
    }

    /// A cell for a question; `None` while all of them are asked.
    pub fn ask(&self) -> Option<Question<'_, M>> {
        let mut free = self.free.load(Relaxed);
        while free != 0 {
            // Acquire: pairs with the Release in `Question::read`, so that the cell is asked after it was
            // free, and not the other way round.
            match self.free.compare_exchange_weak(free, free & (free - 1), Acquire, Relaxed) {
                Ok(_) => {
                    let cell = free.trailing_zeros() as usize;
                    // Relaxed: the entry that names the cell publishes it.
                    self.span.word(self.shape.state(cell)).store(ASKED, Relaxed);
                    // Relaxed: who keeps the doorbell silent sees it at the last look, for which the
                    // bell's fences account.
                    self.untold.fetch_or(1 << cell, Relaxed);
                    return Some(Question { asker: self, cell });
                }
                Err(now) => free = now,
            }
        }
        None
    }

    /// Whether an answer came of which its asker, who may sleep, was not told yet. For a thread that keeps
    /// the doorbell silent: it says so for each answer once at most, and has to wake who sleeps.
    pub fn take_untold(&self) -> bool {
        let untold = self.untold.load(Relaxed);
        if untold == 0 {
            return false;
        }
        let answered = (0..self.shape.cells)
            .filter(|cell| untold >> cell & 1 == 1 && self.is_answered(*cell))
            .fold(0, |bits, cell| bits | 1 << cell);
        answered != 0 && self.untold.fetch_and(!answered, Relaxed) & answered != 0
    }

    #[inline]
    fn is_answered(&self, cell: usize) -> bool {
        // Acquire: pairs with the Release in `answer`; the words of the answer are there.
        self.span.word(self.shape.state(cell)).load(Acquire) == ANSWERED
    }
}

/// A question that is under way. Dropped unanswered it keeps its cell.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{Asker, CellShape, answer};
/// use rustyray_memory::Heap;
///
/// const SHAPE: CellShape = CellShape { cells: 1, answer_words: 1 };
/// let memory = Arc::new(Heap::new(SHAPE.words()));
/// let asker = Asker::new(Arc::clone(&memory), SHAPE);
/// let question = asker.ask().expect("a free cell");
/// let question = question.read::<1>().expect_err("not yet: the question comes back");
/// answer(&memory, SHAPE, question.cell() as u64, &[7]);
/// assert!(question.is_answered());
/// assert_eq!(question.read::<1>().expect("an answer"), [7]);
/// assert!(asker.ask().is_some(), "the cell is free again");
/// ```
#[derive(Debug)]
#[must_use = "its cell is lost when it is dropped unanswered"]
pub struct Question<'a, M> {
    asker: &'a Asker<M>,
    cell: usize,
}

impl<M: Memory> Question<'_, M> {
    /// What the entry has to name.
    pub fn cell(&self) -> usize {
        self.cell
    }

    /// Whether the answer is there.
    #[inline]
    pub fn is_answered(&self) -> bool {
        self.asker.is_answered(self.cell)
    }

    /// The first `N` words of the answer, once it is there; the cell is free again. Gives the question back
    /// when it is not.
    ///
    /// # Errors
    /// The question itself, unanswered.
    ///
    /// # Panics
    /// When answers have fewer words than `N`.
    pub fn read<const N: usize>(self) -> Result<[u64; N], Self> {
        let Question { asker: Asker { span, shape, free, untold }, cell } = self;
        assert!(N <= shape.answer_words, "{N} words of {}", shape.answer_words);
        if !self.is_answered() {
            return Err(self);
        }
        let answer = std::array::from_fn(|at| span.word(shape.answer(cell) + at).load(Relaxed));
        span.word(shape.state(cell)).store(FREE, Relaxed);
        untold.fetch_and(!(1 << cell), Relaxed);
        // Release: pairs with the Acquire in `Asker::ask`.
        free.fetch_or(1 << cell, Release);
        Ok(answer)
    }
}

/// Answers the question in `cell`, a number that came from the asker; false when there is no such cell, and
/// nothing was written. The asker is to be rung.
///
/// # Panics
/// When the answer is longer than the shape says, or `span` too small for it.
///
/// # Examples
/// ```
/// use rustyray_ipc::{CellShape, answer};
/// use rustyray_memory::Heap;
///
/// const SHAPE: CellShape = CellShape { cells: 2, answer_words: 1 };
/// let memory = Heap::new(SHAPE.words());
/// assert!(answer(&memory, SHAPE, 1, &[7]));
/// assert!(!answer(&memory, SHAPE, 2, &[7]), "there are cells 0 and 1");
/// ```
pub fn answer(span: &impl Memory, shape: CellShape, cell: u64, words: &[u64]) -> bool {
    assert!(words.len() <= shape.answer_words, "{} words of {}", words.len(), shape.answer_words);
    let Some(cell) = usize::try_from(cell).ok().filter(|&cell| cell < shape.cells) else {
        return false;
    };
    for (at, &word) in words.iter().enumerate() {
        span.word(shape.answer(cell) + at).store(word, Relaxed);
    }
    // Release: pairs with the Acquire in `Question::is_answered`.
    span.word(shape.state(cell)).store(ANSWERED, Release);
    true
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use std::sync::Arc;

    use rustyray_memory::Heap;

    use super::*;

    const SHAPE: CellShape = CellShape { cells: 3, answer_words: 9 };

    #[test]
    fn a_cell_is_free_again_when_its_answer_was_read() {
        let memory = Arc::new(Heap::new(SHAPE.words()));
        let asker = Asker::new(Arc::clone(&memory), SHAPE);
        let questions: Vec<_> = (0..3).map(|_| asker.ask().expect("a free cell")).collect();
        assert!(asker.ask().is_none());
        for question in questions {
            let cell = question.cell() as u64;
            let question = question.read::<2>().expect_err("it was not answered");
            assert!(answer(&memory, SHAPE, cell, &[cell, 7, 8]));
            assert_eq!(question.read().expect("answered"), [cell, 7]);
            assert_eq!(asker.ask().map(|again| again.cell() as u64), Some(cell));
            assert!(asker.ask().is_none(), "no other one is free");
        }
    }

    #[test]
    fn a_cell_that_is_none_is_not_answered() {
        let memory = Heap::new(SHAPE.words());
        for cell in [3, 1 << 32, u64::MAX] {
            assert!(!answer(&memory, SHAPE, cell, &[1; 9]));
        }
        assert!((0..SHAPE.words()).all(|at| memory.word(at).load(Relaxed) == 0));
    }

    #[test]
    fn a_question_that_is_given_up_keeps_its_cell() {
        let memory = Arc::new(Heap::new(SHAPE.words()));
        let asker = Asker::new(Arc::clone(&memory), SHAPE);
        let given_up = asker.ask().expect("a free cell").cell() as u64;
        let next = asker.ask().expect("another");
        assert!(answer(&memory, SHAPE, given_up, &[1]));
        assert!(!next.is_answered(), "the late answer is nobody else's");
        assert_ne!(next.cell() as u64, given_up);
    }
}
