//! What is read of a stream of bytes, cut into lines of a bounded length.
//!
//! A line ends at a newline or a carriage return, which is how a bar shows its progress; both together are one end. One
//! that is longer than [`LINE_BYTES`] is cut there, and its rest is the next line: whatever is written, no more than
//! that is kept until it is passed on.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::output::{LINE_BYTES, MARK};

/// The lines of what can be read from `from`.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    /// What is read of the next line.
    begun: Vec<u8>,
    /// The last line was ended by something else than a newline, which may follow and ends nothing more.
    is_ended: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn of(from: R) -> Lines<R> {
        Lines { from, begun: Vec::new(), is_ended: false }
    }

    /// The next line, without its end; `None` after the last. Where the future is dropped nothing is lost.
    ///
    /// # Errors
    /// Of the reading.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let bytes = self.from.fill_buf().await?;
            if bytes.is_empty() {
                let last = std::mem::take(&mut self.begun);
                return Ok((!last.is_empty()).then(|| text(last)));
            }
            let part = &bytes[..bytes.len().min(LINE_BYTES - self.begun.len())];
            let end = part.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let line = &part[..end.unwrap_or(part.len())];
            self.begun.extend_from_slice(line);
            let Some(at) = end else {
                let read = part.len();
                self.from.consume(read);
                if self.begun.len() == LINE_BYTES {
                    self.is_ended = true;
                    return Ok(Some(text(self.cut())));
                }
                continue;
            };
            let is_return = part[at] == b'\r';
            self.from.consume(at + 1);
            let was_ended = std::mem::replace(&mut self.is_ended, is_return);
            // A bar begins with the return that takes it back to where it began.
            let is_none = self.begun.is_empty() && (is_return || was_ended);
            if !is_none {
                return Ok(Some(text(std::mem::take(&mut self.begun))));
            }
        }
    }

    /// Takes of what is read as much as is whole letters, and no part of what is marked.
    fn cut(&mut self) -> Vec<u8> {
        let bytes = &self.begun;
        let whole = match std::str::from_utf8(bytes) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => bytes.len(),
        };
        let marked = bytes.iter().rposition(|&byte| byte == MARK).filter(|&at| at > 0);
        let rest = self.begun.split_off(marked.unwrap_or(whole));
        std::mem::replace(&mut self.begun, rest)
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::output::split_moved_in;

    /// The lines of what comes in such pieces.
    fn lines(written: &[u8], piece: usize) -> Vec<String> {
        let mut lines = Lines::of(tokio::io::BufReader::with_capacity(piece, written));
        let mut read = Vec::new();
        crate::block_on(async {
            while let Some(line) = lines.next().await.expect("readable") {
                read.push(line);
            }
        });
        read
    }

    #[test]
    fn newlines_and_returns_end_lines() {
        for piece in 1..20 {
            let read = lines(b"a\n\nb\r\nc\r\n\r\n1%\r2%\r\r3%\n\nd", piece);
            assert_eq!(read, ["a", "", "b", "c", "1%", "2%", "3%", "", "d"], "{piece}");
        }
    }

    #[test]
    fn long_lines_are_cut_between_letters() {
        let long = format!("a{}", "ö".repeat(LINE_BYTES));
        for written in [long.clone(), format!("{long}\n"), format!("{long}\nnext")] {
            let read = lines(written.as_bytes(), 1000);
            assert!(read.iter().all(|line| line.len() <= LINE_BYTES));
            assert_eq!(read.concat(), written.replace('\n', ""));
        }
        // One that fits exactly is one line.
        let fits = "x".repeat(LINE_BYTES);
        assert_eq!(lines(format!("{fits}\n\ny").as_bytes(), 1000), [fits.as_str(), "", "y"]);
    }

    #[test]
    fn what_is_no_text_is_cut_as_well() {
        let read = lines(&[0xff; 3 * LINE_BYTES], 1 << 16);
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn where_an_actor_moves_in_is_not_cut() {
        let mark = format!("{}rustyray: here lives Clock\n", char::from(MARK));
        for before in LINE_BYTES - mark.len() - 1..LINE_BYTES + 2 {
            let read = lines(format!("{}{mark}", "x".repeat(before)).as_bytes(), 1 << 16);
            let last = read.last().expect("there is one");
            assert_eq!(split_moved_in(last).1, Some("Clock"), "{before}: {last}");
            let spoken: usize = read.iter().map(|line| split_moved_in(line).0.len()).sum();
            assert_eq!(spoken, before);
        }
    }
}
