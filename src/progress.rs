//! A progress bar for a set of references.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use crate::{error::Result, object::ObjectRef, terminal};

/// How often the bar is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// Characters of the bar.
const WIDTH: usize = 32;

/// Waits until all references are settled, and shows how many are: a bar on standard error, where that is a
/// terminal. What workers write meanwhile goes above it.
///
/// A task that failed is settled, too; its error is where it always is, at [`ObjectRef::get`].
///
/// ```
/// # #[rustyray::remote]
/// # fn resize(picture: u32) -> u32 { picture / 2 }
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let mut pictures = Vec::new();
/// for picture in 0..20 {
///     pictures.push(resize_remote::remote(picture).await?);
/// }
/// rustyray::progress("resizing", &pictures).await?;
/// assert!(pictures.iter().all(|picture| picture.is_ready()));
/// # Ok(())
/// # }
/// ```
///
/// Dropping the future gives up waiting and leaves the bar where it was. Once the runtime was shut down nothing is
/// waited for.
///
/// # Errors
/// [`crate::Error::TaskCancelled`] when the task that waits is cancelled.
pub async fn progress<T>(what: &str, references: &[ObjectRef<T>]) -> Result<()> {
    let bar = Bar::new(what, references.len());
    let mut pending = references.to_vec();
    bar.draw(0);
    while !pending.is_empty() {
        let all = pending.len();
        (_, pending) = crate::wait(pending, all, Some(FRAME)).await?;
        bar.draw(references.len() - pending.len());
    }
    Ok(())
}

/// The bar, as it is drawn.
struct Bar<'a> {
    what: &'a str,
    total: usize,
    started: Instant,
    is_shown: bool,
}

impl<'a> Bar<'a> {
    fn new(what: &'a str, total: usize) -> Bar<'a> {
        Bar { what, total, started: Instant::now(), is_shown: std::io::stderr().is_terminal() }
    }

    fn draw(&self, done: usize) {
        if self.is_shown {
            terminal::draw(frame(&render(self.what, done, self.total, self.started.elapsed())));
        }
    }
}

/// Also of one that was given up: what is said next is said on a line of its own.
impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if self.is_shown {
            terminal::leave();
        }
    }
}

/// A line as a terminal is told to show it instead of the last one: cut off where it is wider than the terminal. Wrapped,
/// it would leave its beginning behind with each frame.
fn frame(line: &str) -> String {
    format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h")
}

/// The bar as text.
fn render(what: &str, done: usize, total: usize, elapsed: Duration) -> String {
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    let full = (share * WIDTH as f64) as usize;
    let seconds = elapsed.as_secs_f64();
    let left = match done {
        0 => String::new(),
        done if done == total => format!(" in {seconds:.1} s"),
        done => format!(" {:.0} s left", seconds / done as f64 * (total - done) as f64),
    };
    let (bar, rest) = ("█".repeat(full), "░".repeat(WIDTH - full));
    // What says most comes first: the rest is what a narrow terminal cuts off.
    format!("{what} {done}/{total} {bar}{rest}{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_much_is_left() {
        let half = render("work", 50, 100, Duration::from_secs(10));
        assert!(half.starts_with("work 50/100 █") && half.ends_with("░ 10 s left"), "{half}");
        assert_eq!(half.matches('█').count(), WIDTH / 2);
        let done = render("work", 3, 3, Duration::from_millis(1500));
        assert!(done.starts_with("work 3/3 █") && done.ends_with("█ in 1.5 s"), "{done}");
        assert!(render("nothing", 0, 0, Duration::ZERO).contains("0/0"));
    }

    #[test]
    fn a_frame_is_cut_off_and_leaves_the_terminal_as_it_was() {
        let line = frame("work 1/2");
        let cut = line.find("\x1b[?7l").expect("lines are not wrapped");
        let text = line.find("work 1/2").expect("the line");
        let wrapped = line.find("\x1b[?7h").expect("they are wrapped again");
        assert!(line.starts_with('\r') && cut < text && text < wrapped, "{line:?}");
    }
}
