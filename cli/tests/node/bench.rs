//! What the tests work with: a directory for nodes, and the command run in it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place where nodes are found, and nobody else's.
pub struct Place {
    directory: tempfile::TempDir,
}

/// A node in the background, which is killed when it is dropped.
pub struct Daemon {
    pub pid: u32,
    pub socket: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        Place { directory: tempfile::tempdir().expect("a directory for nodes") }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rustyray"));
        command.args(arguments).env("RUSTYRAY_DIR", self.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command starts")
    }

    /// Runs the command with `--json`, which must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }

    /// Runs the command until what it prints satisfies `wanted`.
    pub fn wait_for(&self, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let value = self.json(arguments);
            if wanted(&value) {
                return value;
            }
            assert!(started.elapsed() < PATIENCE, "{arguments:?} still says {value:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn start(&self, arguments: &[&str]) -> Daemon {
        let value = self.json(&[&["start", "--daemon", "--num-cpus", "2"], arguments].concat());
        Daemon {
            pid: value["pid"].as_u64().expect("a process id") as u32,
            socket: value["socket"].as_str().expect("a path").into(),
        }
    }

    /// The sockets that are there.
    pub fn entries(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path()).expect("the directory is there");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.pid as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
}

/// Whether a process runs; one that has ended and was not waited for does not.
pub fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < PATIENCE, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All that a command printed.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
