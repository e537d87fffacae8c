//! How many times faster than Ray?
//!
//! `ray microbenchmark` is the yardstick that Ray's own releases are measured by. This runs the same work
//! under the same names and by the same method, so that the two tables line up row by row: warm up for a
//! second while counting, then four trials of at least two seconds; mean and standard deviation of what was
//! done per second. Every task and actor call runs in another process, which is counted and checked for each
//! row (`tally`). Where one call is one operation, a further pass takes the time of each: p50 and p99.
//!
//! The driver owns the node, as programs that start RustyRay do, so `put` and `get` in it cross to no other
//! process; in Ray they do. Each figure is also a multiple of the limit of this machine that it rests on
//! ([`crate::physics`]).
//!
//! It does not show how the rows do beside other programs, nor what cold memory costs.
//!
//! ```
//! use std::process::ExitCode;
//!
//! use clap::Parser;
//! use rustyray_cli::microbenchmark;
//!
//! /// A program of one's own around it, as `cargo bench` has one.
//! #[derive(Parser)]
//! struct CommandLine {
//!     #[command(flatten)]
//!     options: microbenchmark::Options,
//! }
//!
//! let measure = |arguments: &[&str]| {
//!     let line = CommandLine::parse_from([&["bench"], arguments].concat());
//!     microbenchmark::main(&line.options)
//! };
//! assert_eq!(measure(&["--list"]), ExitCode::SUCCESS);
//! assert_eq!(measure(&["no such row"]), ExitCode::from(2));
//! ```

mod beside;
mod limits;
mod measure;
mod report;
mod rows;
mod tally;
mod watch;
mod work;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    beside::Beside,
    measure::{Bencher, Pace},
    report::{Report, RowReport},
    rows::ROWS,
    tally::Board,
    watch::Watch,
};
use crate::{
    exit::{self, Failure},
    physics, print,
    seconds::seconds,
};

/// How to measure, and what.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Only the rows whose name contains this
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the JSON to this file, besides what is printed
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a run of Ray's suite on this machine, as `benches/beside_ray/run` leaves it
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// Two trials of a tenth of a second, for a first look
    #[arg(long, conflicts_with_all = ["seconds", "trials"])]
    quick: bool,
    /// How long a trial takes at least
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// How long to warm up
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// How many trials there are
    #[arg(long, value_name = "N", default_value_t = 4)]
    trials: u32,
    /// Do this part of each row's work: shows that it runs, and its figures compare with nothing
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    scale: f64,
    /// Leave out the limits of the machine
    #[arg(long)]
    no_physics: bool,
    /// Instead of the rows: the limits that Ray states for one node, on the same work
    #[arg(long)]
    limits: bool,
    /// With --limits: how large the one object is, in MiB [default: a quarter of the free memory]
    #[arg(long, value_name = "MIB", requires = "limits")]
    largest_mib: Option<u64>,
    /// Give up when nothing has moved for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// List the rows and measure nothing
    #[arg(long)]
    list: bool,
    /// No node is looked at: whoever gives one is told why
    #[arg(long, value_name = "SOCKET", hide = true)]
    address: Option<PathBuf>,
}

/// How long a trial is at least, and at most.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3600);

impl Options {
    fn pace(&self) -> Pace {
        let within = |time: Duration| time.clamp(SHORTEST, LONGEST);
        if self.quick {
            return Pace {
                warm_up: Duration::from_millis(50),
                trials: 2,
                trial: Duration::from_millis(100),
                scale: self.scale,
            };
        }
        Pace {
            warm_up: within(self.warm_up),
            trials: self.trials.max(1),
            trial: within(self.seconds),
            scale: self.scale,
        }
    }
}

/// Runs the subcommand. The exit code is 1 when a row failed.
pub fn main(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(all_went_well) => ExitCode::from(u8::from(!all_went_well)),
        Err(failure) => exit::end(Err(failure)),
    }
}

/// Does and prints what is asked for; `false` when a row failed.
fn measure(options: &Options) -> Result<bool, Failure> {
    if options.address.is_some() {
        let what = "the suite measures a node of its own, and no other: `--address` is not for it";
        let help = "each row counts what its workers ran, and other programs' work would be part of its figures; leave \
                    `--address` out, and best have no other node at work meanwhile";
        return Err(Failure::with_help(what, help).and_code(2));
    }
    if options.list {
        let names: String = ROWS.iter().map(|row| format!("{}\n", row.name)).collect();
        return print::text(&names).map(|()| true);
    }
    if !(options.scale > 0.0 && options.scale <= 1.0) {
        let what = format!("--scale is {}, a part lies above 0 and up to 1", options.scale);
        return Err(Failure::new(what).and_code(2));
    }
    if options.limits {
        return limits::main(options).map(|()| true);
    }
    let pattern = options.pattern.as_deref().unwrap_or_default();
    let chosen: Vec<_> = ROWS.iter().filter(|row| row.name.contains(pattern)).collect();
    if chosen.is_empty() {
        let what = format!("no row's name contains `{pattern}`; --list lists them");
        return Err(Failure::new(what).and_code(2));
    }
    if let Some(path) = &options.save {
        // Where there can be no file, one need not measure to learn of it. What it says stays until there is more.
        let opened = fs::File::options().create(true).append(true).open(path);
        opened.map_err(|error| Failure::io(&format!("writing {}", path.display()), &error))?;
    }
    let report = run(options, &chosen).map_err(|error| Failure::new(error.to_string()))?;
    if options.json {
        print::json(&report)?;
    } else {
        print::text(&format!("{report}\n"))?;
    }
    if let Some(path) = &options.save {
        fs::write(path, serde_json::json!(report).to_string())
            .map_err(|error| Failure::io(&format!("writing {}", path.display()), &error))?;
    }
    Ok(!report.failed())
}

/// An error of a file, with the file's name.
fn named(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

fn run(options: &Options, chosen: &[&rows::Row]) -> Result<Report, Box<dyn std::error::Error>> {
    let pace = options.pace();
    let load_average = Report::load_average();
    let beside = options.beside.as_deref().map(Beside::read).transpose()?;
    let bar = progress(chosen.len() as u64 * (u64::from(pace.trials) + 2) + 1);
    bar.set_message("what the machine allows");
    let limits = match options.no_physics {
        true => None,
        false => {
            let time = pace.trial.min(Duration::from_secs(1));
            let copy_bytes = ((256.0 * pace.scale).ceil() as usize) << 20;
            Some(physics::Limits::measure(time, copy_bytes)?)
        }
    };
    bar.inc(1);
    let board = Board::put_up()?;
    let watch = Watch::start(Duration::from_secs(options.patience.max(1)));
    let rows = rustyray::block_on(async {
        rustyray::Builder::new().resource("custom", 100.0).start().await?;
        let mut reports = Vec::new();
        for row in chosen {
            bar.set_message(row.name);
            watch.enter(row.name);
            let mut bencher = Bencher::new(&pace, &board, &watch, &bar, row.one_call);
            let ended = (row.run)(&mut bencher).await;
            let outcome = bencher.outcome(ended);
            reports.push(RowReport::new(row, outcome, limits.as_ref(), beside.as_ref()));
        }
        watch.enter("shutting down");
        rustyray::shutdown().await?;
        Ok::<_, rustyray::Error>(reports)
    })?;
    bar.finish_and_clear();
    Ok(Report::new(&pace, limits, beside, load_average, rows))
}

fn progress(len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style)
}
