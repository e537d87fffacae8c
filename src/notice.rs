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

/// The same for a thread that has what a node cannot do without just now, as any has that helps it: another one says it,
/// which may have to wait. Where that has no room for it, it is not said.
macro_rules! notice_aside {
    ($($what:tt)+) => { $crate::notice::say_aside(format_args!($($what)+)) };
}
pub(crate) use notice_aside;

pub(crate) fn say_aside(what: fmt::Arguments<'_>) {
    printer::offer(Stream::Stderr, what.to_string());
}

pub(crate) fn say(what: fmt::Arguments<'_>) {
    if WAITS_FOR_NOBODY.get() {
        say_aside(what);
    } else {
        terminal::write(std::io::stderr().lock(), &what.to_string());
    }
}
