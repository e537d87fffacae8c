//! `rustyray stop`: ends a node that was started by `rustyray start`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use rustyray::{
    Error,
    state::{Inspector, NodeProcess, nodes},
};

use crate::{exit::Failure, print, seconds::seconds, target::Target};

/// How to end it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) target: Target,
    /// End all nodes of this user that were started by `rustyray start`
    #[arg(long, conflicts_with = "address")]
    pub(crate) all: bool,
    /// Kill it, with its workers: at once and without order, also when it is stuck, and also when it lives in a program,
    /// which ends with it (with --all those in programs are left alone)
    #[arg(long)]
    force: bool,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Duration,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut stopped = Vec::new();
    let mut failed = None;
    if options.all {
        for socket in nodes()? {
            match stop_daemon(socket, options) {
                Ok(pid) => stopped.extend(pid),
                // The others are to end all the same.
                Err(failure) => failed = Some(failure),
            }
        }
    } else {
        stopped.push(stop(options)?);
    }
    if options.target.json {
        print::json(&serde_json::json!({ "stopped": stopped }))?;
    } else if stopped.is_empty() && failed.is_none() {
        print::text("No node that `rustyray start` started is running.\n")?;
    } else {
        stopped
            .iter()
            .try_for_each(|pid| print::text(&format!("The node in process {pid} has ended.\n")))?;
    }
    failed.map_or(Ok(()), Err)
}

/// Ends the node that is meant; gives the process that it lived in.
fn stop(options: &Options) -> Result<u32, Failure> {
    if options.force {
        // Nothing is asked: it may be stuck.
        let socket = match &options.target.address {
            Some(socket) => socket.clone(),
            None => only_node()?,
        };
        return end(&NodeProcess::of(socket)?, options);
    }
    let mut inspector = options.target.inspector()?;
    let node = inspector.node()?;
    if !node.daemon {
        return Err(Failure::with_help(
            format!("the node lives in a program: {} (process {})", node.program, node.pid),
            "end that program; `--force` kills it",
        ));
    }
    end(inspector.process(), options)
}

/// The only node that there is, asked or not.
fn only_node() -> Result<PathBuf, Failure> {
    let mut found = nodes()?;
    match found.len() {
        // What this says if there is none, or more than one.
        0 | 2.. => Ok(Inspector::find()?.socket().to_owned()),
        _ => Ok(found.remove(0)),
    }
}

/// Ends the node at `socket` if it was started by `rustyray start`; `None` when it was not, or has ended.
fn stop_daemon(socket: PathBuf, options: &Options) -> Result<Option<u32>, Failure> {
    let ask = |socket| {
        let mut inspector = Inspector::connect(socket)?;
        inspector.node().map(|node| (inspector, node))
    };
    match ask(socket) {
        Ok((inspector, node)) if node.daemon => end(inspector.process(), options).map(Some),
        Ok(_) | Err(Error::NodeGone { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn end(process: &NodeProcess, options: &Options) -> Result<u32, Failure> {
    process.terminate(options.force)?;
    if !process.wait_for_end(options.timeout)? {
        return Err(Failure::with_help(
            format!("the node in process {} has not ended yet", process.pid()),
            "wait longer with `--timeout`, or kill it with `--force`",
        ));
    }
    Ok(process.pid())
}
