//! How the command ends: codes that scripts can rely on, and errors as people read them.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | it failed, for a reason that none of the others says |
//! | 2 | the command line is wrong |
//! | 3 | no node is running |
//! | 4 | several nodes are running, and `--address` does not say which is meant |
//! | 5 | the node at the address is gone: its socket is stale |
//! | 6 | no permission |

use std::process::ExitCode;

use rustyray::{Error, state::NodeProcess};

use crate::print;

/// Something else than a `rustyray::Error` that went wrong.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The runtime's.
    Runtime(Error),
    /// The command's own: what was wrong, and what to do.
    Own {
        /// What was wrong.
        what: String,
        /// What to do about it.
        help: Option<String>,
        /// The exit code.
        code: u8,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Runtime(error)
    }
}

impl Failure {
    /// A failure of the command itself.
    pub(crate) fn new(what: impl Into<String>) -> Failure {
        Failure::Own { what: what.into(), help: None, code: 1 }
    }

    /// The same, with what to do about it.
    pub(crate) fn with_help(what: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::Own { what: what.into(), help: Some(help.into()), code: 1 }
    }

    /// The same, of the operating system.
    pub(crate) fn io(doing: &str, error: &std::io::Error) -> Failure {
        Failure::new(format!("{doing}: {error}"))
    }

    /// The same, with another exit code than 1.
    pub(crate) fn and_code(self, code: u8) -> Failure {
        match self {
            Failure::Own { what, help, .. } => Failure::Own { what, help, code },
            runtime => runtime,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Own { code, .. } => *code,
            Failure::Runtime(Error::InvalidArgument { .. }) => 2,
            Failure::Runtime(Error::NoNode { .. }) => 3,
            Failure::Runtime(Error::SeveralNodes { .. }) => 4,
            Failure::Runtime(Error::NodeGone { .. }) => 5,
            Failure::Runtime(Error::Io { errno: Some(errno), .. }) => match *errno {
                // Where no socket is, no node is.
                nix::libc::ENOENT => 3,
                nix::libc::EACCES | nix::libc::EPERM => 6,
                nix::libc::ENOTSOCK => 2,
                _ => 1,
            },
            _ => 1,
        }
    }
}

/// Which process a node lives in, and what that was started with. The node is not asked: it may be stuck.
fn lives_in(socket: &str) -> String {
    let Ok(process) = NodeProcess::of(socket) else { return String::new() };
    format!("  process {}: {}", process.pid(), started_with(process.pid()))
}

/// What a process was started with; of one that does not say so its name.
fn started_with(pid: u32) -> String {
    let known = |what| std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let words = String::from_utf8_lossy(&known("cmdline")).replace('\0', " ");
    match words.trim() {
        // It is ending.
        "" => format!("[{}]", String::from_utf8_lossy(&known("comm")).trim()),
        words => print::line(words, 72),
    }
}

/// What an error says, with a line for each of what may be many.
fn told(error: &Error) -> String {
    match error {
        Error::SeveralNodes { sockets } => {
            let listed: String =
                sockets.iter().map(|socket| format!("\n  {socket}{}", lives_in(socket))).collect();
            format!("{} nodes of this user are running:{listed}", sockets.len())
        }
        error => error.to_string(),
    }
}

/// What to do about what the operating system says when a node is looked for.
fn help_with(error: &Error) -> Option<&'static str> {
    let Error::Io { errno: Some(errno), .. } = error else { return None };
    Some(match *errno {
        nix::libc::ENOENT | nix::libc::ENOTSOCK => {
            "without `--address` the command finds the node that runs"
        }
        nix::libc::EACCES | nix::libc::EPERM => {
            "a node is for its own user alone: be that user, or start a node of your own"
        }
        nix::libc::ETIMEDOUT => {
            "its process may be stopped or stuck; `rustyray stop --force` with its address kills it"
        }
        _ => return None,
    })
}

/// Prints a failure and gives the exit code.
pub(crate) fn end(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let (what, help) = match &failure {
        Failure::Runtime(error) => {
            let mut what = told(error);
            let mut cause = std::error::Error::source(error);
            while let Some(found) = cause {
                what.push_str(&format!("\n  caused by: {found}"));
                cause = found.source();
            }
            (what, error.help().or_else(|| help_with(error)).map(str::to_owned))
        }
        Failure::Own { what, help, .. } => (what.clone(), help.clone()),
    };
    print::aside(format_args!("error: {what}"));
    if let Some(help) = help {
        print::aside(format_args!("help: {help}"));
    }
    ExitCode::from(failure.code())
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_process_that_has_nothing_to_say_of_itself_is_named() {
        let mut shell = Command::new("sh");
        shell.arg0("shell").args(["-c", "read line"]).stdin(Stdio::piped());
        let mut child = shell.spawn().expect("it starts");
        let pid = child.id();
        let until = |said: &str| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while started_with(pid) != said {
                assert!(Instant::now() < deadline, "it is {}", started_with(pid));
                std::thread::yield_now();
            }
        };
        until("shell -c read line");
        child.kill().expect("it lives");
        // It has ended, and is known until somebody waits for it.
        until("[sh]");
        child.wait().expect("it has ended");
    }
}
