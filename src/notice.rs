//! What this library says on standard error.
//!
//! That may be a pipe which nobody reads any more, as after `program 2>&1 | head`, and `eprintln!` would panic: in a
//! thread that a node cannot do without, or in the middle of something. Where nobody listens there is nobody to tell,
//! and all goes on. Clippy's `print_stderr` holds this, for the whole crate.

use std::{cell::Cell, fmt};

use crate::{runtime::printer, state::Stream, terminal};

thread_local! {
    /// This thread is not to wait for whoever has standard error or reads it.
    static WAITS_FOR_NOBODY: Cell<bool> = const { Cell::new(false) };
}

/// From now on what this thread says is printed by another, which may have to wait: a node cannot do without this one.
pub(crate) fn wait_for_nobody() {
    WAITS_FOR_NOBODY.set(true);
}

/// Says a line, as `eprintln!` does, to whoever listens.
macro_rules! notice {
    ($($what:tt)+) => { $crate::notice::say(format_args!($($what)+)) };
}
pub(crate) use notice;

pub(crate) fn say(what: fmt::Arguments<'_>) {
    if WAITS_FOR_NOBODY.get() {
        printer::offer(Stream::Stderr, what.to_string());
    } else {
        terminal::write(std::io::stderr().lock(), &what.to_string());
    }
}
