//! `rustyray logs`: what workers wrote.

use std::time::Duration;

use clap::Args;
use rustyray::{
    Error,
    state::{Inspector, Line, Logs},
};

use crate::{exit::Failure, print, target::Target};

/// Which lines.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Only what the worker with this process id wrote
    #[arg(long, short, value_name = "PID", allow_negative_numbers = true)]
    worker: Option<u32>,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<usize>,
    /// Go on with what is written from now on, until the node ends
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// How often a follower looks whether anybody reads what it writes.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut inspector = options.target.inspector()?;
    let mut wanted = Logs::new();
    if let Some(worker) = options.worker {
        wanted = wanted.worker(worker);
    }
    if options.follow {
        // From the first question on the node knows that somebody follows, and does not end before he was told all.
        wanted = wanted.wait(LOOK);
    }
    let lines = inspector.logs(&wanted)?;
    let skipped = options.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    show(&lines[skipped..], options)?;
    if options.follow {
        return follow(&mut inspector, wanted, lines.last().map_or(0, |line| line.number), options);
    }
    if lines.is_empty() && !options.target.json {
        print::aside(match options.worker {
            Some(pid) => format!("(nothing is kept of a worker with the process id {pid})"),
            None => "(no worker has written anything)".to_owned(),
        });
    }
    Ok(())
}

/// Shows what comes after the line of the number `last`, until the node ends, or nobody reads it any more.
fn follow(
    inspector: &mut Inspector,
    wanted: Logs,
    mut last: u64,
    options: &Options,
) -> Result<(), Failure> {
    while !print::has_no_reader() {
        let lines = match inspector.logs(&wanted.clone().after(last)) {
            Ok(lines) => lines,
            Err(Error::NodeGone { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        show(&lines, options)?;
        last = lines.last().map_or(last, |line| line.number);
    }
    Ok(())
}

/// Shows lines; as JSON one object each.
fn show(lines: &[Line], options: &Options) -> Result<(), Failure> {
    let mut said = String::new();
    for line in lines {
        if options.target.json {
            said += &serde_json::to_string(line).map_err(|e| Failure::new(e.to_string()))?;
        } else if options.worker.is_some() {
            said += &line.text;
        } else {
            said += &format!("{} {}", line.worker, line.text);
        }
        said.push('\n');
    }
    print::text(&said)
}
