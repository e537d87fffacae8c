//! The tokio runtime that a program's own code finds: whatever it spawns, its timers and its sockets.
//!
//! It is another than that of the background, since nobody knows what users run there. A task of theirs that blocks keeps
//! this thread from the rest of what they spawned; the node does its work meanwhile, which is what such a task may be
//! waiting for. It has one thread, is started when it is first needed and kept until the process ends.

use std::sync::OnceLock;

use tokio::runtime::{Handle, Id, Runtime};

use super::background;
use crate::error::Result;

static FOREGROUND: OnceLock<std::io::Result<Runtime>> = OnceLock::new();

/// Whether that is this runtime, which is of all nodes and so says nothing of which is meant.
pub(crate) fn is(id: Id) -> bool {
    matches!(FOREGROUND.get(), Some(Ok(foreground)) if foreground.handle().id() == id)
}

/// The runtime of the program's own code.
///
/// # Errors
/// When the process cannot have another thread.
pub(crate) fn handle() -> Result<&'static Handle> {
    background::of(&FOREGROUND, "rustyray-async")
}
