//! What this library says on standard error.
//!
//! That may be a pipe which nobody reads any more, as after `program 2>&1 | head`, and `eprintln!` would panic: in a
//! thread that a node cannot do without, or in the middle of something. Where nobody listens there is nobody to tell,
//! and all goes on. Clippy's `print_stderr` holds this, for the whole crate.

use std::fmt;

use crate::terminal;

/// Says a line, as `eprintln!` does, to whoever listens.
macro_rules! notice {
    ($($what:tt)+) => { $crate::notice::say(format_args!($($what)+)) };
}
pub(crate) use notice;

pub(crate) fn say(what: fmt::Arguments<'_>) {
    terminal::write(std::io::stderr().lock(), &what.to_string());
}
