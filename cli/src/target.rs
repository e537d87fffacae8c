//! Which node is meant, and how what it says is printed.

use std::path::PathBuf;

use clap::Args;
use rustyray::state::Inspector;

use crate::exit::Failure;

/// What all commands that look at a node have in common.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The node's socket; without it, the only node of this user that is running
    #[arg(long, value_name = "SOCKET", global = true)]
    pub(crate) address: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Target {
    /// Connects to the node that is meant.
    pub(crate) fn inspector(&self) -> Result<Inspector, Failure> {
        Ok(match &self.address {
            Some(socket) => Inspector::connect(socket)?,
            None => Inspector::find()?,
        })
    }
}
