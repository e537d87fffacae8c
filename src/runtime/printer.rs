//! What workers write and the node says, as it is printed by the program that has the node: by a thread of its own for
//! each stream.
//!
//! To write to standard output is to wait: for its lock, which a program may hold from its beginning to its end, and for
//! whoever reads a pipe or a terminal, who may have stopped. The background thread is what a node cannot do without, so
//! it never does that. It leaves lines in a queue of a fixed length, and the thread behind it does the waiting.
//!
//! A reader that is slow slows down the workers that write much: each of their lines waits for room in the queue, and
//! the pipes behind them fill. Where no line at all was printed for a while ([`STALL`]) nobody knows whether one ever
//! will be, and a worker that waited for that would not work: from then on lines for which there is no room are left
//! out, until there is some again. How many these were is said where they are missing. The node keeps them all the same
//! (`output.rs`).

use std::{
    pin::pin,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::timeout,
};

use super::owner::Owner;
use crate::{state::Stream, terminal};

/// How many lines wait to be printed.
const LINES: usize = 1024;
/// How long nothing may be printed until it is taken for granted that nothing will be.
const STALL: Duration = Duration::from_secs(1);

/// One of the two streams, and the lines that are to be printed there.
#[derive(Debug)]
pub(crate) struct Printer {
    lines: mpsc::Sender<String>,
    /// How many lines were left in the queue. None of these counts orders anything: the queue does.
    queued: AtomicU64,
    /// How many of them are printed.
    printed: watch::Sender<u64>,
    /// Nothing was printed for a while.
    is_stalled: AtomicBool,
    /// How many lines were left out since that was said.
    left_out: AtomicU64,
}

/// Whose the printers are. A child that is forked off has not their threads, and prints nothing here.
static OWNER: Owner = Owner::nobody();
static STDOUT: OnceLock<Option<Printer>> = OnceLock::new();
static STDERR: OnceLock<Option<Printer>> = OnceLock::new();

/// Prints a line in its turn, unless it is left out.
pub(super) async fn print(stream: Stream, line: String) {
    // Where there can be no thread nothing is printed: it is kept.
    if let Some(printer) = of(stream) {
        printer.print(line).await;
    }
}

/// The same without waiting: it is left out where there is no room for it now.
pub(crate) fn offer(stream: Stream, line: String) {
    if let Some(printer) = of(stream) {
        printer.offer(line);
    }
}

fn of(stream: Stream) -> Option<&'static Printer> {
    let (place, write): (_, fn(&str)) = match stream {
        Stream::Stdout => (&STDOUT, |line| terminal::write(std::io::stdout().lock(), line)),
        Stream::Stderr => (&STDERR, |line| terminal::write(std::io::stderr().lock(), line)),
    };
    OWNER.claim().ok()?;
    place.get_or_init(|| Printer::start(place, write)).as_ref()
}

/// Ready when all that was to be printed is, or nothing was printed for a while.
pub(super) async fn all_printed() {
    if !OWNER.is_this() {
        return;
    }
    for printer in [&STDOUT, &STDERR].into_iter().filter_map(|place| place.get()?.as_ref()) {
        printer.all_printed().await;
    }
}

impl Printer {
    /// Starts the thread that prints what is given to the printer at `place`.
    fn start(place: &'static OnceLock<Option<Printer>>, write: fn(&str)) -> Option<Printer> {
        let (lines, mut queue) = mpsc::channel::<String>(LINES);
        let serve = move || {
            while let Some(line) = queue.blocking_recv() {
                // Who sent the line knows it: it was made before.
                let Some(printer) = place.wait() else { return };
                write(&line);
                // What was left out is missing here, unless a line that came after it has said so.
                if let Some(missing) = queue.is_empty().then(|| printer.missing()).flatten() {
                    write(&missing);
                }
                printer.printed.send_modify(|printed| *printed += 1);
            }
        };
        std::thread::Builder::new().name("rustyray-printer".into()).spawn(serve).ok()?;
        Some(Printer {
            lines,
            queued: AtomicU64::new(0),
            printed: watch::Sender::new(0),
            is_stalled: AtomicBool::new(false),
            left_out: AtomicU64::new(0),
        })
    }

    async fn print(&self, line: String) {
        if let Err(line) = self.try_print(line) {
            self.print_with_patience(line).await;
        }
    }

    fn offer(&self, line: String) {
        if self.try_print(line).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives the line back if there is no room for it.
    fn try_print(&self, line: String) -> Result<(), String> {
        match self.lines.try_reserve() {
            Ok(room) => {
                self.is_stalled.store(false, Ordering::Relaxed);
                self.queue(room, line);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(line),
            // It ends with the process only.
            Err(TrySendError::Closed(())) => Ok(()),
        }
    }

    async fn print_with_patience(&self, line: String) {
        if !self.is_stalled.load(Ordering::Relaxed) {
            match self.unless_stalled(self.lines.reserve()).await {
                Some(Ok(room)) => return self.queue(room, line),
                Some(Err(_)) => return,
                None => self.is_stalled.store(true, Ordering::Relaxed),
            }
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// What the future gives, unless nothing is printed for a while before.
    async fn unless_stalled<R>(&self, future: impl Future<Output = R>) -> Option<R> {
        let mut future = pin!(future);
        // Two halves: a program that was stopped for long finds that the first one has passed, and nothing is printed.
        let mut halves = 0;
        while halves < 2 {
            let before = *self.printed.borrow();
            match timeout(STALL / 2, future.as_mut()).await {
                Ok(given) => return Some(given),
                Err(_) if *self.printed.borrow() == before => halves += 1,
                Err(_) => halves = 0,
            }
        }
        None
    }

    fn queue(&self, room: mpsc::Permit<'_, String>, line: String) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        room.send(match self.missing() {
            Some(missing) => format!("{missing}\n{line}"),
            None => line,
        });
    }

    /// How many lines were left out since that was said, in words.
    fn missing(&self) -> Option<String> {
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => None,
            1 => Some("(rustyray) a line is left out here: nobody took it".into()),
            lines => Some(format!("(rustyray) {lines} lines are left out here: nobody took them")),
        }
    }

    async fn all_printed(&self) {
        let wanted = self.queued.load(Ordering::Relaxed);
        let mut printed = self.printed.subscribe();
        let _ = self.unless_stalled(printed.wait_for(|&printed| printed >= wanted)).await;
    }
}
