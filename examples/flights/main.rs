//! How late was each airline? All flights that left New York City in 2013, by RustyRay.
//!
//! ```text
//! cargo run --release --example flights -- --help
//! ```
//!
//! The driver reads the file and puts its columns into the object store once. One task per group (an
//! airline, or a month) runs in a worker process and reads the columns where they lie, through a
//! [`View`]: nothing is copied or sent. An actor folds the tasks' results as they come. In the end
//! the driver computes the same table on one thread and compares.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

mod columns;
mod input;
mod summary;
mod table;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rustyray::prelude::*;

use columns::{By, Flights};
use summary::{Summary, Tally};

/// The file in the repository: see its README for the source and licence.
const DEFAULT_INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights.csv.gz");

/// Delays, cancellations and distances of flights, by airline or month.
#[derive(Debug, Parser)]
#[command(name = "flights")]
struct Options {
    /// A CSV file, as it is or compressed by gzip or zstd, with the columns month, dep_delay,
    /// arr_delay, carrier, air_time and distance (others are ignored). NA or nothing stands for a
    /// delay or time that does not exist
    #[arg(long, value_name = "PATH", default_value = DEFAULT_INPUT, hide_default_value = true)]
    input: PathBuf,
    /// One row, and one task, for each of these
    #[arg(long, value_enum, default_value_t = By::Carrier)]
    by: By,
    /// How often the arrivals of a group are drawn anew to find the interval of their mean delay; 0
    /// leaves the interval out
    #[arg(long, value_name = "N", default_value_t = 1000)]
    resamples: u32,
    /// How many tasks run at a time [default: one per core]
    #[arg(long, value_name = "N")]
    cpus: Option<NonZeroU32>,
}

/// Summarises one group. Runs in a worker process, on the columns in shared memory.
#[rustyray::remote]
fn summarise(flights: View<Flights>, by: By, group: u16, resamples: u32) -> Summary {
    summary::of_group(&flights, by, group, resamples)
}

/// Gathers the rows of the table and their sum.
#[rustyray::actor]
struct Report {
    rows: BTreeMap<u16, Summary>,
    total: Tally,
}

#[rustyray::actor_methods]
impl Report {
    pub fn new() -> Self {
        Report { rows: BTreeMap::new(), total: Tally::default() }
    }

    pub fn fold(&mut self, group: u16, summary: Summary) {
        self.total.merge(&summary.tally);
        self.rows.insert(group, summary);
    }

    pub fn rows(&self) -> Vec<(u16, Summary)> {
        self.rows.iter().map(|(group, summary)| (*group, *summary)).collect()
    }

    pub fn total(&self) -> Tally {
        self.total
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match rustyray::block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (flights, reading) = timed(|| input::read(&options.input));
    let flights = flights?;

    let started = Instant::now();
    let builder = rustyray::Builder::new();
    match options.cpus {
        Some(cpus) => builder.num_cpus(cpus.get()).start().await?,
        None => builder.start().await?,
    };
    let starting = started.elapsed();
    let started = Instant::now();
    let outcome = with_tasks(&flights, options).await;
    let tasks = started.elapsed();
    rustyray::shutdown().await?;
    let (rows, total) = outcome?;

    let (checked, one_thread) = timed(|| summary::of_all(&flights, options.by, options.resamples));

    let mut text = table::text(&flights, options.by, &rows, &total);
    text += &format!(
        "\n{} flights read in {}, runtime started in {}.\n\
         By {} tasks: {}. On one thread: {}.\n",
        flights.len(),
        seconds(reading),
        seconds(starting),
        rows.len(),
        seconds(tasks),
        seconds(one_thread),
    );
    let name = |group| options.by.name(group, &flights).to_string();
    let differences = table::differences(&rows, &checked, name);
    if differences.is_empty() {
        text += "Both give the same table.\n";
    }
    print(&text)?;
    if differences.is_empty() {
        Ok(())
    } else {
        Err(format!("the two tables differ.\n  {}", differences.join("\n  ")).into())
    }
}

/// The table's rows and their sum, computed by worker processes.
async fn with_tasks(
    flights: &Flights,
    options: &Options,
) -> rustyray::Result<(Vec<(u16, Summary)>, Tally)> {
    let columns = rustyray::put(flights).await?;
    let report = Report::remote().await?;
    let groups = options.by.groups(flights);

    let mut running = Vec::with_capacity(groups.len());
    for &group in &groups {
        let summary =
            summarise_remote::remote(&columns, options.by, group, options.resamples).await?;
        // The actor gets the summary itself, as soon as there is one.
        running.push(report.fold(group, &summary).await?);
    }

    // Hidden unless standard error is a terminal.
    let bar = ProgressBar::new(groups.len() as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} groups, {elapsed}")
            .expect("the template is well-formed"),
    );
    while !running.is_empty() {
        let (folded, pending) = rustyray::wait(&running, 1, None).await?;
        for fold in &folded {
            fold.get().await?;
        }
        bar.inc(folded.len() as u64);
        running = pending;
    }
    bar.finish_and_clear();

    let rows = report.rows().await?.get().await?;
    let total = report.total().await?.get().await?;
    Ok((rows, total))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// Writes to standard output; that nobody reads it any more (`| head`) is no error.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes an error and what caused it to standard error.
fn explain(error: &dyn Error) {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!("  caused by: {error}\n");
        cause = error.source();
    }
    // Nothing is left to be done when this fails too.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
