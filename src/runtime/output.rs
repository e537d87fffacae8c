//! What workers write: the newest lines of each, kept in the node's memory.
//!
//! A worker has room of its own, so that one that writes much does not push out what the others said; the
//! output of the workers that ended last is kept as well. Nothing is written to disk.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    pin::pin,
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::state::{Line, Logs, Stream};

/// What a worker writes to both of its streams at the end of a line, with a name, when an actor lives there from then
/// on. In the stream it stands between what was written before and what the actor writes, however late it is read.
const MOVED_IN: &str = "\x1erustyray: here lives ";
/// What that begins with, and no text has.
pub(super) const MARK: u8 = b'\x1e';

/// Tells whoever reads this worker's output that from here on it is this actor's.
pub(crate) fn say_moved_in(actor: &str) {
    // One line, which a pipe takes as a whole.
    let name: String = actor.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let said = format!("{MOVED_IN}{name}\n");
    // Where nobody reads, nobody needs it.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(said.as_bytes()).and_then(|()| stdout.flush());
    let _ = std::io::stderr().write_all(said.as_bytes());
}

/// What a worker wrote in this line, and the actor that lives there after it, where that was said.
pub(crate) fn split_moved_in(line: &str) -> (&str, Option<&str>) {
    line.rsplit_once(MOVED_IN).map_or((line, None), |(before, actor)| (before, Some(actor)))
}

/// Bytes of text that are kept of one worker.
const WORKER_BYTES: usize = 256 << 10;
/// How many workers' output is kept; beyond it goes that of the one that wrote least recently.
const WORKERS: usize = 512;
/// Bytes of a line. One that is longer comes as several.
pub(super) const LINE_BYTES: usize = 8 << 10;

/// The kept output of all workers.
#[derive(Debug)]
pub(crate) struct Output {
    started: Instant,
    kept: Mutex<Kept>,
    /// Rung after each line that was kept.
    news: Notify,
    /// How many observers are to be told all of it, to the end.
    followers: watch::Sender<usize>,
}

/// While it lives, the node does not end before its holder was told the rest, within reason.
#[derive(Debug)]
pub(crate) struct Follower<'a>(&'a Output);

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.0.followers.send_modify(|followers| *followers -= 1);
    }
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
        Output {
            started: Instant::now(),
            kept: Mutex::default(),
            news: Notify::new(),
            followers: watch::Sender::new(0),
        }
    }

    /// What keeps the lines of a worker's stream.
    pub(crate) fn keeper(self: &Arc<Self>, worker: u32, stream: Stream) -> impl Fn(&str) + use<> {
        let output = Arc::clone(self);
        move |text| output.keep(worker, stream, text)
    }

    fn keep(&self, worker: u32, stream: Stream, text: &str) {
        let at_ms = self.started.elapsed().as_millis() as u64;
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
        drop(kept);
        self.news.notify_waiters();
    }

    /// The lines that are asked for, the oldest first.
    pub(crate) fn lines(&self, wanted: &Logs) -> Vec<Line> {
        let kept = self.kept.lock();
        let rings = kept.workers.iter().filter(|(pid, _)| wanted.worker.is_none_or(|w| w == **pid));
        // From the newest on, so that who has most of them already is told the rest without a walk through all.
        let is_new = |line: &&Line| line.number > wanted.after;
        let mut lines: Vec<Line> = rings
            .flat_map(|(_, ring)| ring.lines.iter().rev().take_while(is_new))
            .cloned()
            .collect();
        lines.sort_by_key(|line| line.number);
        lines
    }

    /// The same, as soon as there are any.
    pub(crate) async fn next_lines(&self, wanted: &Logs) -> Vec<Line> {
        loop {
            let mut news = pin!(self.news.notified());
            // From here on it hears of every line; what is there already it sees below.
            news.as_mut().enable();
            let lines = self.lines(wanted);
            if !lines.is_empty() {
                return lines;
            }
            news.await;
        }
    }

    /// One more who is to be told all of it.
    pub(crate) fn follower(&self) -> Follower<'_> {
        self.followers.send_modify(|followers| *followers += 1);
        Follower(self)
    }

    /// Ready when none is left who was to be told all of it.
    pub(crate) async fn all_told(&self) {
        let _ = self.followers.subscribe().wait_for(|&followers| followers == 0).await;
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
    fn what_a_line_began_with_is_not_the_actors() {
        assert_eq!(split_moved_in("a line"), ("a line", None));
        assert_eq!(split_moved_in(&format!("{MOVED_IN}Clock")), ("", Some("Clock")));
        assert_eq!(split_moved_in(&format!("begun{MOVED_IN}Clock")), ("begun", Some("Clock")));
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
