//! What the commands print: tables for people, JSON for programs.
//!
//! A reader that has had enough (`rustyray list tasks | head`) is no error. Nothing here panics where nobody reads, as
//! `println!` and `eprintln!` do.

use std::{
    fmt::Display,
    io::{self, Write},
    os::fd::AsFd,
};

use comfy_table::{ContentArrangement, Table, presets};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustyray::state::Row;
use serde::Serialize;

use crate::exit::Failure;

/// Writes to standard output.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("writing to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error: what is said beside the answer.
pub(crate) fn aside(line: impl Display) {
    // Somebody who does not listen any more cannot be told.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether whoever reads standard output has gone. A pipe says so without being written to.
pub(crate) fn has_no_reader() -> bool {
    let out = io::stdout();
    let mut fds = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| events.intersects(gone))
}

/// Writes a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut rendered = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("writing JSON: {error}")))?;
    rendered.push('\n');
    text(&rendered)
}

/// A column: its heading, and the field that it shows.
pub(crate) type Column<R> = (&'static str, fn(&R) -> String);

/// Rows as a table.
pub(crate) fn table<R>(rows: &[R], columns: &[Column<R>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(heading, _)| heading.to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| match cell(row) {
            empty if empty.is_empty() => "-".to_owned(),
            cell => cell,
        }));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A field of a row, in one line.
pub(crate) fn cell(row: &impl Row, field: &str) -> String {
    line(&row.field(field).unwrap_or_default(), LONGEST)
}

/// The first line of a text, at most so many characters of it.
pub(crate) fn line(text: &str, longest: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(longest).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

/// A number of things: `1 worker`, `2 workers`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Characters of a cell.
const LONGEST: usize = 72;

/// A number of bytes with a unit, as people read it.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    format!("{amount:.1} {unit}")
}

/// A time with a unit, as people read it.
pub(crate) fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        1_000_000_000..60_000_000_000 => format!("{:.1} s", ns as f64 / 1e9),
        _ => {
            let seconds = ns / 1_000_000_000;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            if hours > 0 {
                format!("{hours} h {minutes:02} min")
            } else {
                format!("{minutes} min {seconds:02} s")
            }
        }
    }
}

/// An amount of a resource, without digits that say nothing.
pub(crate) fn amount(amount: f64) -> String {
    let text = format!("{amount:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!((duration(999), duration(1_500)), ("999 ns".into(), "1.5 µs".into()));
        assert_eq!(duration(1_500_000), "1.5 ms");
        assert_eq!(duration(61_000_000_000), "1 min 01 s");
        assert_eq!(duration(7_260_000_000_000), "2 h 01 min");
        assert_eq!(amount(2.0), "2");
        assert_eq!(amount(0.5), "0.5");
        assert_eq!((count(1, "task"), count(0, "task")), ("1 task".into(), "0 tasks".into()));
        assert_eq!(
            (line("ab\nc", 9), line("abc", 2), line("abc", 3)),
            ("ab…".into(), "ab…".into(), "abc".into())
        );
    }
}
