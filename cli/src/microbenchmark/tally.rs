//! Who did the work: every call counts itself, in memory that all processes of the session see.
//!
//! The driver puts up a *board*, a memfd; a worker finds it among the open files of its parent, which is the
//! driver, takes a line of it and counts there what it runs. So a row can say, after each of its operations,
//! that exactly as many calls ran as were made, and in which processes; a call that ran in the driver, or
//! twice, or not at all, is an error of the row. Counting costs one addition to a word that no other
//! process writes.
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | how many lines are taken |
//! | 1 | 1 while the [gate](hold) is closed |
//! | 2 | how many calls wait at the gate |
//! | 8·k | k-th line, from 1: process id; calls |

use std::{
    fs::{self, File},
    io,
    os::unix::process::parent_id,
    process,
    sync::{
        OnceLock,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use crate::shared::{Words, memfd};

const NAME: &str = "rustyray-tally";
const TAKEN: usize = 0;
const GATE: usize = 1;
const HELD: usize = 2;
const LINE: usize = 8;
/// More than processes that a session starts in a run of the suite.
const LINES: usize = 4096;

/// The board, as the driver has it.
#[derive(Debug)]
pub(super) struct Board {
    words: Words,
    /// Keeps the memfd among the open files of this process, where workers find it.
    _file: File,
}

/// What was counted up to a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) calls: u64,
    /// Which processes counted something, and how much.
    by: Vec<(u32, u64)>,
}

impl Board {
    /// Puts up the board; once in a process, before the runtime starts.
    pub(super) fn put_up() -> io::Result<Board> {
        let file = memfd(NAME, (LINES + 1) * LINE * 8)?;
        Ok(Board { words: Words::map(&file)?, _file: file })
    }

    /// What was counted so far.
    pub(super) fn read(&self) -> Counted {
        // Acquire: pairs with the AcqRel of `Line::take`.
        let taken = (self.words.at(TAKEN).load(Acquire) as usize).min(LINES);
        let by: Vec<_> = (1..=taken)
            .map(|line| {
                let pid = self.words.at(line * LINE).load(Relaxed) as u32;
                // Acquire: a call is counted before its result is sealed, and the result was seen.
                (pid, self.words.at(line * LINE + 1).load(Acquire))
            })
            .filter(|&(_, calls)| calls > 0)
            .collect();
        Counted { calls: by.iter().map(|(_, calls)| calls).sum(), by }
    }

    /// Closes or opens the gate.
    pub(super) fn set_gate(&self, closed: bool) {
        self.words.at(GATE).store(u64::from(closed), Release);
    }

    /// How many calls wait at the gate.
    pub(super) fn held(&self) -> u64 {
        self.words.at(HELD).load(Acquire)
    }
}

impl Counted {
    /// What was counted since `before`: how many calls, and in how many processes.
    ///
    /// # Errors
    /// When one of them was the driver.
    pub(super) fn since(&self, before: &Counted) -> Result<(u64, usize), String> {
        let earlier =
            |pid| before.by.iter().find(|(p, _)| *p == pid).map_or(0, |&(_, calls)| calls);
        let new: Vec<_> = self
            .by
            .iter()
            .filter(|&&(pid, calls)| calls > earlier(pid))
            .map(|&(pid, _)| pid)
            .collect();
        if new.contains(&process::id()) {
            return Err("calls ran in the driver's own process".to_owned());
        }
        Ok((self.calls - before.calls, new.len()))
    }
}

/// A worker's line of the board.
struct Line {
    words: Words,
    at: usize,
}

impl Line {
    /// Finds the board of the parent and takes a line.
    fn take() -> Option<Line> {
        let open = fs::read_dir(format!("/proc/{}/fd", parent_id())).ok()?;
        let path = open.flatten().map(|entry| entry.path()).find(|path| {
            fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains(NAME))
        })?;
        let file = File::options().read(true).write(true).open(path).ok()?;
        let words = Words::map(&file).ok()?;
        let line = words.at(TAKEN).fetch_add(1, AcqRel) as usize + 1;
        let at = line * LINE;
        if at + 1 >= words.len() {
            return None;
        }
        words.at(at).store(process::id().into(), Relaxed);
        Some(Line { words, at })
    }

    fn of_this_process() -> Option<&'static Line> {
        static LINE: OnceLock<Option<Line>> = OnceLock::new();
        LINE.get_or_init(Line::take).as_ref()
    }
}

/// Counts one call of this process. Where there is no board, as in a program that only borrows the remote
/// functions, it counts nothing.
#[inline]
pub(super) fn count() {
    if let Some(line) = Line::of_this_process() {
        line.words.at(line.at + 1).fetch_add(1, Release);
    }
}

/// Waits until the gate is open.
pub(super) fn hold() {
    if let Some(line) = Line::of_this_process() {
        line.words.at(HELD).fetch_add(1, AcqRel);
        // Acquire: pairs with `Board::set_gate`.
        while line.words.at(GATE).load(Acquire) == 1 {
            std::thread::sleep(Duration::from_micros(200));
        }
        line.words.at(HELD).fetch_sub(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_driver_itself_are_an_error() {
        let counted = |by: &[(u32, u64)]| Counted {
            calls: by.iter().map(|(_, calls)| calls).sum(),
            by: by.to_vec(),
        };
        let other = process::id() + 1;
        let before = counted(&[(process::id(), 4), (other, 1)]);
        assert_eq!(counted(&[(process::id(), 4), (other, 8)]).since(&before), Ok((7, 1)));
        assert!(counted(&[(process::id(), 5), (other, 1)]).since(&before).is_err());
    }
}
