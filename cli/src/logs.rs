//! `rustyray logs`: what workers wrote.

use std::time::Duration;

use clap::Args;
use rustyray::{
    Error,
    state::{Line, Logs},
};

use crate::{exit::Failure, print, target::Target};

/// Which lines.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Only what the worker with this process id wrote
    #[arg(long, short, value_name = "PID")]
    worker: Option<u32>,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
    /// Go on with what is written from now on, until the node ends
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

/// How often a follower asks.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut inspector = options.target.inspector()?;
    let mut wanted = Logs::new();
    if let Some(worker) = options.worker {
        wanted = wanted.worker(worker);
    }
    let lines = inspector.logs(&wanted)?;
    let skipped = options.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    show(&lines[skipped..], options)?;
    let mut last = lines.last().map_or(0, |line| line.number);
    if !options.follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(PAUSE);
        let lines = match inspector.logs(&wanted.clone().after(last)) {
            Ok(lines) => lines,
            Err(Error::NodeGone { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        show(&lines, options)?;
        last = lines.last().map_or(last, |line| line.number);
    }
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
