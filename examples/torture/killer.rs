//! Who kills and stops processes at random.
//!
//! Signals go through pidfds to processes that were seen to be children of this one, so that a number which
//! is used again never hits a stranger.

use std::time::Duration;

use nix::sys::signal::Signal;
use rustyray_ipc::ProcessHandle;

/// A child of this process, safe to signal.
pub struct Target {
    process: ProcessHandle,
    pub pid: u32,
}

impl Target {
    /// The process with this number, if it is a living child of this one.
    pub fn child(pid: u32) -> Option<Target> {
        let process = ProcessHandle::open(pid as i32).ok()?;
        // Looked at after it was opened: what the handle names is what was looked at, or is gone.
        (parent_of(pid)? == std::process::id()).then_some(Target { process, pid })
    }

    /// Whether the signal reached it.
    pub fn signal(&self, signal: Signal) -> bool {
        self.process.signal(signal).is_ok()
    }

    /// Stops it for a while.
    pub fn pause(&self, how_long: Duration) -> bool {
        let stopped = self.signal(Signal::SIGSTOP);
        std::thread::sleep(how_long);
        self.signal(Signal::SIGCONT);
        stopped
    }
}

/// The state and parent of a process.
fn stat_of(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn parent_of(pid: u32) -> Option<u32> {
    stat_of(pid).map(|(_, parent)| parent)
}

/// Whether the process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    stat_of(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The living children of a process.
pub fn children_of(parent: u32) -> Vec<u32> {
    let Ok(found) = std::fs::read_dir("/proc") else { return Vec::new() };
    found
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| parent_of(pid) == Some(parent) && is_alive(pid))
        .collect()
}
