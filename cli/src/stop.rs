//! `rustyray stop`: ends a node that was started by `rustyray start`.

use std::time::Duration;

use clap::Args;
use rustyray::state::{Inspector, nodes};

use crate::{exit::Failure, print, target::Target};

/// How to end it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// End all nodes of this user that were started by `rustyray start`
    #[arg(long, conflicts_with = "address")]
    all: bool,
    /// End it at once and without order; also when it lives in a program, which ends with it
    #[arg(long)]
    force: bool,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0)]
    timeout: f64,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let timeout = Duration::try_from_secs_f64(options.timeout)
        .map_err(|_| Failure::new("the timeout is a number of seconds"))?;
    let mut stopped = Vec::new();
    if options.all {
        for socket in nodes()? {
            // One that ends meanwhile has ended, which is all that is wanted.
            let Ok(mut inspector) = Inspector::connect(socket) else { continue };
            let Ok(node) = inspector.node() else { continue };
            if node.daemon {
                stopped.push(stop(&mut inspector, options, timeout)?);
            }
        }
    } else {
        stopped.push(stop(&mut options.target.inspector()?, options, timeout)?);
    }
    if options.target.json {
        return print::json(&serde_json::json!({ "stopped": stopped }));
    }
    if stopped.is_empty() {
        return print::text("No node is running.\n");
    }
    stopped
        .iter()
        .try_for_each(|pid| print::text(&format!("The node in process {pid} has ended.\n")))
}

/// Ends one node; gives the process that it lived in.
fn stop(inspector: &mut Inspector, options: &Options, timeout: Duration) -> Result<u32, Failure> {
    let node = inspector.node()?;
    if !node.daemon && !options.force {
        return Err(Failure::with_help(
            format!("the node lives in a program: {} (process {})", node.program, node.pid),
            "end that program; `--force` kills it",
        ));
    }
    inspector.terminate(options.force)?;
    if !inspector.wait_for_end(timeout)? {
        return Err(Failure::with_help(
            format!("the node in process {} has not ended yet", node.pid),
            "wait longer with `--timeout`, or kill it with `--force`",
        ));
    }
    Ok(node.pid)
}
