//! From the pipes of a worker to where its lines are kept, and to the printers of the program that has the node.

use std::{os::fd::OwnedFd, process::Child, sync::Arc, time::Duration};

use tokio::{io::BufReader, net::unix::pipe, time::timeout};

use super::{
    cut::Lines,
    output::{self, Output},
    printer,
};
use crate::state::Stream;

/// Keeps a worker's output, and passes it on to the driver's, each line with the worker's pid and the actor that lives
/// there, where one does; repeated lines folded. Of a task there is no name: when a line is read the next one may
/// run.
///
/// What is given is ready once there is no more of it.
pub(crate) fn all(
    output: &Arc<Output>,
    child: &mut Child,
) -> Vec<impl Future<Output = ()> + use<>> {
    let pid = child.id();
    let stdout = child.stdout.take().map(|pipe| (Stream::Stdout, OwnedFd::from(pipe)));
    let stderr = child.stderr.take().map(|pipe| (Stream::Stderr, OwnedFd::from(pipe)));
    let copied = [stdout, stderr].into_iter().flatten().map(|(stream, pipe)| {
        let keep = output.keeper(pid, stream);
        tokio::spawn(copy_lines(pid, pipe, keep, stream))
    });
    // Each begins now.
    let copied: Vec<_> = copied.collect();
    copied.into_iter().map(|copied| async { drop(copied.await) }).collect()
}

async fn copy_lines(pid: u32, from: OwnedFd, keep: impl Fn(&str), stream: Stream) {
    let Ok(from) = pipe::Receiver::from_owned_fd(from) else { return };
    let mut lines = Lines::of(BufReader::new(from));
    let (mut last, mut repeated) = (None::<String>, 0_usize);
    let mut speaker = format!("worker {pid}");
    loop {
        // What was folded is said after a while; there is no timer where nothing was.
        let next = if repeated > 0 {
            timeout(Duration::from_secs(1), lines.next()).await.ok()
        } else {
            Some(lines.next().await)
        };
        let read = match next {
            Some(Ok(Some(line))) => Some(line),
            Some(_) | None if repeated == 0 => return,
            Some(_) | None => None,
        };
        let (line, moved_in) = read.as_deref().map_or(("", None), output::split_moved_in);
        let is_line = read.is_some() && !(moved_in.is_some() && line.is_empty());
        if is_line {
            keep(line);
        }
        let again = is_line && last.as_deref() == Some(line);
        if again {
            repeated += 1;
            if moved_in.is_none() {
                continue;
            }
        }
        if repeated > 0 {
            let times = if repeated == 1 { "once".into() } else { format!("{repeated} times") };
            let said = format!("({speaker}) the last line came {times} more");
            printer::print(stream, said).await;
            repeated = 0;
        }
        if is_line && !again {
            printer::print(stream, format!("({speaker}) {line}")).await;
            last = Some(line.to_owned());
        }
        if let Some(actor) = moved_in {
            speaker = format!("{actor} {pid}");
            last = None;
        }
    }
}
