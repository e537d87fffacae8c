//! The terminal, as the bar of [`crate::progress()`] and all that this process says in lines share it.
//!
//! A bar stays on the lowest line of a terminal, and leaves the cursor behind it. A line that is written there would go on
//! where the bar ends, and the next frame would be drawn over it. So whoever writes a line takes the bar away before it, and
//! draws it again after it, while nobody else writes: the line is above the bar, which a terminal never wraps.
//!
//! Only what goes to a terminal is done so. A file or a pipe gets its lines as they are, and whoever reads it slowly holds
//! up nobody who draws.

use std::io::{IsTerminal, Write};

use parking_lot::Mutex;

/// What a terminal is told to forget the lowest line.
const AWAY: &str = "\r\x1b[K";

/// The bar that is on the terminal, as it was drawn last. Who holds it writes alone, and waits for no other lock: a
/// program may have that of standard output for long, and draw meanwhile.
static BAR: Mutex<Option<String>> = Mutex::new(None);

/// Draws a bar on standard error, which is a terminal, in the place of the one that is there.
pub(crate) fn draw(bar: String) {
    let mut stderr = std::io::stderr().lock();
    let mut drawn = BAR.lock();
    // A terminal that is gone shows nothing.
    let _ = stderr.write_all(bar.as_bytes());
    *drawn = Some(bar);
}

/// Leaves the bar where it is, and goes on below it.
pub(crate) fn leave() {
    let mut stderr = std::io::stderr().lock();
    let mut drawn = BAR.lock();
    if drawn.take().is_some() {
        let _ = stderr.write_all(b"\n");
    }
}

/// Writes a line to standard output or standard error, of which the caller has the lock, above the bar where there is
/// one. Whoever read it may be gone.
///
/// The line goes in one piece: other processes write to the same pipe or terminal. So does the bar with it, by the same
/// stream: where both are terminals they are one.
pub(crate) fn write(mut to: impl Write + IsTerminal, line: &str) {
    let drawn = to.is_terminal().then(|| BAR.lock());
    let written = match drawn.as_deref() {
        Some(Some(bar)) => format!("{AWAY}{line}\n{bar}"),
        _ => format!("{line}\n"),
    };
    let _ = to.write_all(written.as_bytes()).and_then(|()| to.flush());
}
