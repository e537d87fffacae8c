//! What workers write: the newest lines of each, kept in the node's memory.
//!
//! A worker has room of its own, so that one that writes much does not push out what the others said; the
//! output of the workers that ended last is kept as well. Nothing is written to disk.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;

use crate::state::{Line, Logs, Stream};

/// Bytes of text that are kept of one worker.
const WORKER_BYTES: usize = 256 << 10;
/// How many workers' output is kept; beyond it goes that of the one that wrote least recently.
const WORKERS: usize = 512;
/// Bytes of a line; what is beyond is left out.
const LINE_BYTES: usize = 8 << 10;

/// The kept output of all workers.
#[derive(Debug)]
pub(crate) struct Output {
    started: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: u64,
    workers: BTreeMap<u32, Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    bytes: usize,
    lines: VecDeque<Line>,
}

impl Output {
    pub(crate) fn new() -> Output {
        Output { started: Instant::now(), kept: Mutex::default() }
    }

    /// What keeps the lines of a worker's stream.
    pub(crate) fn keeper(self: &Arc<Self>, worker: u32, stream: Stream) -> impl Fn(&str) + use<> {
        let output = Arc::clone(self);
        move |text| output.keep(worker, stream, text)
    }

    fn keep(&self, worker: u32, stream: Stream, text: &str) {
        let at_ms = self.started.elapsed().as_millis() as u64;
        let text = text.trim_end_matches('\r');
        let end = text.floor_char_boundary(LINE_BYTES);
        let mut kept = self.kept.lock();
        kept.lines += 1;
        let line = Line { number: kept.lines, at_ms, worker, stream, text: text[..end].to_owned() };
        if !kept.workers.contains_key(&worker) && kept.workers.len() >= WORKERS {
            let oldest = kept.workers.iter().min_by_key(|(_, ring)| ring.newest());
            if let Some(pid) = oldest.map(|(&pid, _)| pid) {
                kept.workers.remove(&pid);
            }
        }
        kept.workers.entry(worker).or_default().push(line);
    }

    /// The lines that are asked for, the oldest first.
    pub(crate) fn lines(&self, wanted: &Logs) -> Vec<Line> {
        let kept = self.kept.lock();
        let rings = kept.workers.iter().filter(|(pid, _)| wanted.worker.is_none_or(|w| w == **pid));
        let mut lines: Vec<Line> = rings
            .flat_map(|(_, ring)| ring.lines.iter().filter(|line| line.number > wanted.after))
            .cloned()
            .collect();
        lines.sort_by_key(|line| line.number);
        lines
    }
}

impl Ring {
    fn newest(&self) -> u64 {
        self.lines.back().map_or(0, |line| line.number)
    }

    fn push(&mut self, line: Line) {
        /// What an empty line costs.
        const LINE: usize = size_of::<Line>();
        self.bytes += LINE + line.text.len();
        self.lines.push_back(line);
        while self.bytes > WORKER_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= LINE + oldest.text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_of_each_worker_are_kept_within_bounds() {
        let output = Arc::new(Output::new());
        let quiet = output.keeper(1, Stream::Stdout);
        let noisy = output.keeper(2, Stream::Stderr);
        quiet("only this");
        (0..100_000).for_each(|number| noisy(&format!("line {number}")));
        noisy(&"ö".repeat(LINE_BYTES));
        let lines = output.lines(&Logs::new());
        assert_eq!(lines[0].text, "only this");
        assert!(lines.windows(2).all(|pair| pair[0].number < pair[1].number));
        let noisy = output.lines(&Logs::new().worker(2));
        assert!(noisy.len() < WORKER_BYTES / size_of::<Line>(), "{} lines", noisy.len());
        let [.., before, last] = noisy.as_slice() else { panic!("lines are kept") };
        assert_eq!(before.text, "line 99999");
        assert_eq!(last.text.len(), LINE_BYTES);
        assert_eq!(output.lines(&Logs::new().after(before.number)).len(), 1);
    }

    #[test]
    fn output_of_workers_long_gone_makes_room() {
        let output = Arc::new(Output::new());
        (0..2 * WORKERS as u32).for_each(|pid| output.keeper(pid, Stream::Stdout)("x"));
        let lines = output.lines(&Logs::new());
        assert_eq!(lines.len(), WORKERS);
        assert_eq!(lines[0].worker, WORKERS as u32);
    }
}
