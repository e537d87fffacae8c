//! What does this machine allow at best?
//!
//! Between two processes that do nothing else: the round trip of a cache line while both spin, of a futex,
//! of a socket; the wake of one whose core has gone to rest; 64-byte messages through a ring. Within one: copies into shared memory that was touched
//! before and that was not, an atomic addition, a system call. No runtime can be faster than these, so every
//! figure of [`crate::microbenchmark`] is also given as a multiple of the one that it rests on.
//!
//! It shows the machine as it is now: beside other programs the round trips are many times longer. It says
//! nothing of what is between the two cores (a shared cache, or none) or of a third core.
//!
//! ```standalone_crate
//! use std::{process::ExitCode, time::Duration};
//!
//! use clap::Parser;
//! use rustyray_cli::physics::{self, Limits};
//!
//! #[derive(Parser)]
//! struct CommandLine {
//!     #[command(flatten)]
//!     options: physics::Options,
//! }
//!
//! fn main() {
//!     // The other process of a round trip is this program, started again.
//!     physics::be_the_peer_if_asked();
//!
//!     let limits = Limits::measure(Duration::from_millis(2), 1 << 20).expect("it can be measured");
//!     assert!(limits.spin_round_trip_ns > 0.0 && limits.memcpy_warm_gb_per_s > 0.0);
//!     assert!(limits.to_string().contains("round trip, futex"));
//!
//!     // The same, printed.
//!     let line = CommandLine::parse_from(["physics", "--seconds", "0.002", "--copy-mib", "1", "--json"]);
//!     assert_eq!(physics::main(&line.options), ExitCode::SUCCESS);
//! }
//! ```

mod peer;

use std::{
    fmt,
    io::{self, Read, Write},
    process::ExitCode,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread,
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

pub use peer::be_the_peer_if_asked;
use peer::{HEAD, Mode, PAYLOAD, Peer, RING, RING_ENTRIES};

use crate::{
    exit::{self, Failure},
    print,
    seconds::seconds,
    shared::{Pages, futex_wake},
};

/// How long a peer sleeps before it is woken from its rest.
const ASLEEP: Duration = Duration::from_millis(20);

/// How to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long each limit is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// How many bytes are copied at a time, in MiB; more than the caches hold
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    copy_mib: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the machine allows. Times are medians.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    /// One addition to a word that no other core uses.
    pub atomic_add_ns: f64,
    /// A system call that does nothing.
    pub system_call_ns: f64,
    /// Waking a futex on which nobody sleeps.
    pub futex_wake_nobody_ns: f64,
    /// 64 bytes to another process and back, both spinning.
    pub spin_round_trip_ns: f64,
    /// The same, each sleeping on a futex in between, wherever the kernel runs them.
    pub futex_round_trip_ns: f64,
    /// The same, both on one core.
    pub futex_one_core_round_trip_ns: f64,
    /// From waking another process, asleep on a futex for 20 ms, until it has answered one that spins.
    pub futex_wake_asleep_ns: f64,
    /// 64 bytes to another process and back through a Unix stream socket.
    pub socket_round_trip_ns: f64,
    /// 64-byte messages to another process that spins on a ring, per second.
    pub ring_messages_per_s: f64,
    /// Copying into shared memory that was touched before.
    pub memcpy_warm_gb_per_s: f64,
    /// Copying into shared memory that this process has not touched. On a virtual machine its host has it mostly,
    /// since it was given back a moment before; where the host has to back it first, it takes several times as long.
    pub memcpy_cold_gb_per_s: f64,
    /// Starting a process that ends at once, and waiting for its end.
    pub process_start_ms: f64,
}

impl Limits {
    /// Measures them all, each for about `time`, copying `copy_bytes` at a time.
    ///
    /// # Errors
    /// When the system refuses memory, a socket, or a second process.
    pub fn measure(time: Duration, copy_bytes: usize) -> io::Result<Limits> {
        let word = AtomicU64::new(0);
        let (memcpy_warm_gb_per_s, memcpy_cold_gb_per_s) = memcpy(time, copy_bytes)?;
        Ok(Limits {
            atomic_add_ns: each_ns(time, 10_000, || {
                word.fetch_add(1, Relaxed);
            }),
            system_call_ns: each_ns(time, 100, || {
                nix::unistd::getppid();
            }),
            futex_wake_nobody_ns: each_ns(time, 100, || futex_wake(&word)),
            spin_round_trip_ns: round_trip(time, Mode::Spin, 100)?,
            futex_round_trip_ns: round_trip(time, Mode::Futex, 1)?,
            futex_one_core_round_trip_ns: round_trip(time, Mode::FutexOneCore, 1)?,
            futex_wake_asleep_ns: wake_asleep(time)?,
            socket_round_trip_ns: socket(time)?,
            ring_messages_per_s: ring(time)?,
            memcpy_warm_gb_per_s,
            memcpy_cold_gb_per_s,
            process_start_ms: process_start(time)?,
        })
    }

    fn rows(&self) -> [(&'static str, String); 12] {
        let time = |ns: f64| format!("{}", Nanos(ns));
        [
            ("uncontended atomic add", time(self.atomic_add_ns)),
            ("system call that does nothing", time(self.system_call_ns)),
            ("futex wake, nobody waits", time(self.futex_wake_nobody_ns)),
            ("round trip, 64 B, both spinning", time(self.spin_round_trip_ns)),
            ("round trip, futex", time(self.futex_round_trip_ns)),
            ("round trip, futex, on one core", time(self.futex_one_core_round_trip_ns)),
            ("futex wake, asleep for 20 ms", time(self.futex_wake_asleep_ns)),
            ("round trip, 64 B, Unix socket", time(self.socket_round_trip_ns)),
            ("64 B messages through a ring", format!("{:.1} M/s", self.ring_messages_per_s / 1e6)),
            ("memcpy, touched pages", format!("{:.2} GB/s", self.memcpy_warm_gb_per_s)),
            ("memcpy, fresh pages", format!("{:.2} GB/s", self.memcpy_cold_gb_per_s)),
            ("start and end of a process", format!("{:.2} ms", self.process_start_ms)),
        ]
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for (what, figure) in self.rows() {
            table.add_row([what, &figure]);
        }
        if let Some(figures) = table.column_mut(1) {
            figures.set_cell_alignment(CellAlignment::Right);
        }
        table.fmt(f)
    }
}

/// A time, in the unit that suits it.
pub(crate) struct Nanos(pub(crate) f64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ns if ns < 10.0 => write!(f, "{ns:.1} ns"),
            ns if ns < 1e3 => write!(f, "{ns:.0} ns"),
            ns if ns < 1e6 => write!(f, "{:.2} µs", ns / 1e3),
            ns => write!(f, "{:.2} ms", ns / 1e6),
        }
    }
}

/// Runs the subcommand.
pub fn main(options: &Options) -> ExitCode {
    let time = options.seconds.clamp(Duration::from_millis(1), Duration::from_secs(3600));
    exit::end(match Limits::measure(time, options.copy_mib.max(1) << 20) {
        Ok(limits) if options.json => print::json(&limits),
        Ok(limits) => print::text(&format!("{limits}\n")),
        Err(error) => Err(Failure::io("measuring the limits", &error)),
    })
}

/// The median, in nanoseconds, of what one run of `what` takes in batches of `batch`.
fn each_ns(time: Duration, batch: u32, mut what: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut samples = Vec::new();
    loop {
        let before = Instant::now();
        for _ in 0..batch {
            what();
        }
        samples.push(before.elapsed().as_nanos() as f64 / f64::from(batch));
        if started.elapsed() >= time {
            return median(&mut samples);
        }
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Passes a cache line to a peer and waits until it comes back.
fn round_trip(time: Duration, mode: Mode, batch: u32) -> io::Result<f64> {
    let pinned = (mode == Mode::FutexOneCore).then(peer::OneCore::pin).transpose()?;
    let mut peer = Peer::start(mode)?;
    let mut round = 0_u64;
    let median = each_ns(time, batch, || {
        round += 2;
        for word in PAYLOAD {
            peer.words().at(word).store(round, Relaxed);
        }
        peer.pass(mode, mode, round + 1);
        let sum: u64 = PAYLOAD.iter().map(|&word| peer.words().at(word).load(Relaxed)).sum();
        assert_eq!(sum, 7 * (round + 1), "the peer has read and written the payload");
    });
    drop(peer);
    drop(pinned);
    Ok(median)
}

/// Wakes a peer that has slept long enough for its core to have gone to rest.
fn wake_asleep(time: Duration) -> io::Result<f64> {
    let mut peer = Peer::start(Mode::Futex)?;
    let mut samples = Vec::new();
    let started = Instant::now();
    let mut round = 0_u64;
    while samples.is_empty() || started.elapsed() < time {
        thread::sleep(ASLEEP);
        round += 2;
        let before = Instant::now();
        peer.pass(Mode::Futex, Mode::Spin, round + 1);
        samples.push(before.elapsed().as_nanos() as f64);
    }
    Ok(median(&mut samples))
}

/// Sends 64 bytes through a socket and waits for them.
fn socket(time: Duration) -> io::Result<f64> {
    let (mut peer, mut socket) = Peer::start_on_socket()?;
    let mut bytes = [7_u8; 64];
    let mut outcome = Ok(());
    let median = each_ns(time, 1, || {
        if outcome.is_ok() {
            outcome = socket.write_all(&bytes).and_then(|()| socket.read_exact(&mut bytes));
        }
    });
    drop(socket);
    peer.join();
    outcome.map(|()| median)
}

/// Pushes 64-byte messages through a ring to a peer that reads them as fast as it can.
fn ring(time: Duration) -> io::Result<f64> {
    let mut peer = Peer::start(Mode::Ring)?;
    let started = Instant::now();
    let mut position = 0_u64;
    let mut head = 0;
    while position == 0 || !position.is_multiple_of(4096) || started.elapsed() < time {
        if position - head >= RING_ENTRIES {
            // Half of it at a time: the two stay out of each other's lines.
            head = room(&mut peer, position - RING_ENTRIES / 2)?;
        }
        let words = peer.words();
        let entry = RING + 8 * (position % RING_ENTRIES) as usize;
        for offset in 1..8 {
            words.at(entry + offset).store(position, Relaxed);
        }
        position += 1;
        // Release: pairs with the peer's Acquire; the message is whole.
        words.at(entry).store(position, Release);
    }
    room(&mut peer, position)?;
    Ok(position as f64 / started.elapsed().as_secs_f64())
}

/// Waits until the peer has read `least` messages; gives how many it has read.
fn room(peer: &mut Peer, least: u64) -> io::Result<u64> {
    let mut looks = 0_u64;
    loop {
        let head = peer.words().at(HEAD).load(Acquire);
        if head >= least {
            return Ok(head);
        }
        looks += 1;
        if looks.is_multiple_of(1 << 20) && peer.is_gone() {
            return Err(io::Error::other("the peer of the ring has ended"));
        }
        std::hint::spin_loop();
    }
}

/// Copies into shared memory that was touched, and that was not; in GB/s.
fn memcpy(time: Duration, copy_bytes: usize) -> io::Result<(f64, f64)> {
    let source = vec![1_u8; copy_bytes];
    let gb_per_s = |ns: f64| copy_bytes as f64 / ns;
    let mut pages = Pages::fresh(copy_bytes)?;
    pages.copy_from(&source);
    let warm = each_ns(time, 1, || pages.copy_from(&source));
    let mut failed = None;
    let mut cold = Vec::new();
    let started = Instant::now();
    while cold.is_empty() || started.elapsed() < time {
        match Pages::fresh(copy_bytes) {
            Ok(mut pages) => {
                let before = Instant::now();
                pages.copy_from(&source);
                cold.push(before.elapsed().as_nanos() as f64);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok((gb_per_s(warm), gb_per_s(median(&mut cold)))),
    }
}

fn process_start(time: Duration) -> io::Result<f64> {
    let mut failed = None;
    let ns = each_ns(time, 1, || {
        if let Err(error) = Peer::start_and_end() {
            failed = Some(error);
        }
    });
    failed.map_or(Ok(ns / 1e6), Err)
}
