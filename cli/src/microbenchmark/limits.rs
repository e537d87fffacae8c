//! Ray's stated limits of one node, on the same work: does it pass, and how long does it take?
//!
//! Besides, what a queued task costs in time and memory, at numbers from a thousand to a million: flat is
//! what one wants. It does not show what they cost beside other work. The one large object lies in memory that nobody
//! had: on a virtual machine whose host backs memory only when it is touched, nearly all of its time is the host's, and
//! a second run, to which the host has the memory still, may take a tenth.

use std::{
    fmt, fs,
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, Table};
use rustyray::{Builder, prelude::*};
use serde::Serialize;

use super::{
    Options,
    report::{Machine, STYLE},
    tally::Board,
    watch::Watch,
    work::{
        many_remote, small_value_remote, sum_of_arguments, sum_of_pages_remote,
        wait_at_the_gate_remote,
    },
};
use crate::{exit::Failure, print};

/// One limit.
#[derive(Debug, Serialize)]
struct Passed {
    name: String,
    seconds: f64,
    /// What Ray takes, in seconds.
    ray_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    submit_ns_per_task: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_queued_task: Option<f64>,
}

impl Passed {
    fn new(name: String, seconds: f64, ray_seconds: Option<f64>) -> Self {
        Passed { name, seconds, ray_seconds, submit_ns_per_task: None, bytes_per_queued_task: None }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    rustyray: &'static str,
    optimised: bool,
    machine: Machine,
    scale: f64,
    passed: Vec<Passed>,
}

pub(super) fn main(options: &Options) -> Result<(), Failure> {
    let passed = run(options).map_err(|error| Failure::new(error.to_string()))?;
    let report = Report {
        rustyray: env!("CARGO_PKG_VERSION"),
        optimised: !cfg!(debug_assertions),
        machine: Machine::this(),
        scale: options.scale,
        passed,
    };
    if options.json { print::json(&report) } else { print::text(&format!("{report}\n")) }
}

fn run(options: &Options) -> Result<Vec<Passed>, Box<dyn std::error::Error>> {
    let scaled = |whole: usize| ((whole as f64 * options.scale) as usize).max(1);
    let largest = match options.largest_mib {
        Some(mib) => mib << 20,
        None => scaled(free_bytes() as usize / 4) as u64,
    };
    let board = Board::put_up()?;
    let watch = Watch::start(Duration::from_secs(options.patience.max(1)));
    let passed = rustyray::block_on(async {
        let room = (largest + largest / 8).max(1 << 30);
        Builder::new().object_store_memory(room).start().await?;
        let mut passed = Vec::new();
        watch.enter("many arguments");
        passed.push(arguments(scaled(10_000)).await?);
        watch.enter("many returns");
        passed.push(returns().await?);
        watch.enter("many objects in one get");
        passed.push(objects(scaled(10_000)).await?);
        for tasks in [1_000, 10_000, 100_000, 1_000_000] {
            watch.enter("queued tasks");
            passed.push(queued(&board, &watch, scaled(tasks), tasks).await?);
        }
        watch.enter("one large object");
        passed.push(large_object(largest).await?);
        watch.enter("shutting down");
        rustyray::shutdown().await?;
        Ok::<_, Error>(passed)
    })?;
    Ok(passed)
}

async fn arguments(count: usize) -> rustyray::Result<Passed> {
    let mut values = Vec::with_capacity(count);
    for at in 0..count {
        values.push(rustyray::put(&(at as i64)).await?);
    }
    let start = Instant::now();
    let sum = sum_of_arguments(&values).await?.get().await?;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(sum, (0..count as i64).sum::<i64>(), "every argument arrives");
    Ok(Passed::new(format!("{count} object arguments to one task"), seconds, Some(17.2)))
}

async fn returns() -> rustyray::Result<Passed> {
    let start = Instant::now();
    let references = many_remote::remote(3000).await?;
    let values = rustyray::get_all(&references).await?;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(values, (0..3000).collect::<Vec<i64>>(), "every return arrives");
    Ok(Passed::new("3000 returns from one task".to_owned(), seconds, Some(5.7)))
}

async fn objects(count: usize) -> rustyray::Result<Passed> {
    let mut references = Vec::with_capacity(count);
    for at in 0..count {
        references.push(rustyray::put(&(at as i64)).await?);
    }
    let start = Instant::now();
    let values = rustyray::get_all(&references).await?;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(values, (0..count as i64).collect::<Vec<_>>(), "every object is got");
    Ok(Passed::new(format!("{count} objects in one get"), seconds, Some(23.5)))
}

/// The slot of a task's result in the shared table: two cache lines.
const SLOT_BYTES: f64 = 128.0;

/// Queues tasks while every worker is occupied, then lets them run.
async fn queued(
    board: &Board,
    watch: &Watch,
    count: usize,
    whole: usize,
) -> rustyray::Result<Passed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    board.set_gate(true);
    let mut occupied: Vec<ObjectRef<Vec<u8>>> = Vec::with_capacity(cores);
    for _ in 0..cores {
        occupied.push(wait_at_the_gate_remote::remote().await?);
    }
    let mut tasks: Vec<ObjectRef<Vec<u8>>> = Vec::with_capacity(count);
    while board.held() < cores as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let memory_before = private_bytes();
    let start = Instant::now();
    for _ in 0..count {
        tasks.push(small_value_remote::remote().await?);
    }
    let submitted = start.elapsed();
    let memory = private_bytes().saturating_sub(memory_before);
    assert!(tasks.iter().all(|task| !task.is_ready()), "nothing runs while the gate is closed");
    board.set_gate(false);
    watch.moved();
    for task in tasks.iter().chain(&occupied) {
        assert_eq!(task.get().await?, b"ok");
        watch.moved();
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut passed = Passed::new(
        format!("{count} queued tasks"),
        seconds,
        (whole == 1_000_000).then_some(184.0),
    );
    passed.submit_ns_per_task = Some(submitted.as_nanos() as f64 / count as f64);
    passed.bytes_per_queued_task = Some(memory as f64 / count as f64 + SLOT_BYTES);
    Ok(passed)
}

async fn large_object(len: u64) -> rustyray::Result<Passed> {
    let start = Instant::now();
    let mut writer = rustyray::create(len as usize).await?;
    writer.fill(1);
    let object = writer.seal()?;
    let sum = sum_of_pages_remote::remote(&object).await?.get().await?;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(sum, len.div_ceil(4096), "every page is read in another process");
    // Ray's figure is for 100 GiB.
    let ray_seconds = 29.7 * len as f64 / (100_u64 << 30) as f64;
    Ok(Passed::new(
        format!("one object of {:.2} GiB, read in another process", len as f64 / (1 << 30) as f64),
        seconds,
        Some(ray_seconds),
    ))
}

/// The private memory of this process that is in use. Shared memory would count what the store keeps ready.
fn private_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) << 10
}

fn free_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(1 << 20) * 1024
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RustyRay {}, {}", self.rustyray, self.machine)?;
        if !self.optimised {
            writeln!(f, "Caution: not optimised: built without --release.")?;
        }
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header(["", "seconds", "Ray", "ratio", "submitting", "memory"]);
        for passed in &self.passed {
            let ray = passed.ray_seconds;
            table.add_row([
                passed.name.clone(),
                format!("{:.4}", passed.seconds),
                ray.map_or_else(String::new, |ray| format!("{ray:.2}")),
                ray.map_or_else(String::new, |ray| format!("{:.0}×", ray / passed.seconds)),
                passed
                    .submit_ns_per_task
                    .map_or_else(String::new, |ns| format!("{ns:.0} ns a task")),
                passed
                    .bytes_per_queued_task
                    .map_or_else(String::new, |bytes| format!("{bytes:.0} B a task")),
            ]);
        }
        table
            .column_iter_mut()
            .skip(1)
            .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")
    }
}
