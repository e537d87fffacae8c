//! The tokio runtime that a program's own code finds: whatever it spawns, its timers and its sockets.
//!
//! It is another than that of the background, since nobody knows what users run there. A task of theirs that blocks keeps
//! this thread from the rest of what they spawned; the node does its work meanwhile, which is what such a task may be
//! waiting for. It has one thread, is started when it is first needed and kept until the process ends.

use tokio::runtime::{Handle, Id};

use super::background::Place;
use crate::error::Result;

static FOREGROUND: Place = Place::empty();

/// Whether that is this runtime, which is of all nodes and so says nothing of which is meant.
pub(crate) fn is(id: Id) -> bool {
    FOREGROUND.has(id)
}

/// The runtime of the program's own code.
///
/// # Errors
/// When the process cannot have another thread, or was forked off one that has it.
pub(crate) fn handle() -> Result<&'static Handle> {
    FOREGROUND.runtime("rustyray-async")
}
