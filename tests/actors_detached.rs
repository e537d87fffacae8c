//! A detached actor outlives the driver that made it, however that ends, and keeps its state for the next one.
//!
//! The drivers are processes of their own, attached to the node of the test: this test binary, started again to
//! run one ignored test.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustyray::prelude::*;

#[rustyray::actor]
struct Ledger {
    entries: Vec<u64>,
}

#[rustyray::actor_methods]
impl Ledger {
    pub fn new() -> Self {
        Ledger { entries: Vec::new() }
    }

    pub fn enter(&mut self, entry: u64) -> u64 {
        self.entries.push(entry);
        self.entries.len() as u64
    }

    pub fn entries(&self) -> Vec<u64> {
        self.entries.clone()
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

const SOCKET: &str = "RUSTYRAY_TEST_SOCKET";

fn attached<T>(body: impl AsyncFnOnce() -> rustyray::Result<T>) -> T {
    let socket = PathBuf::from(std::env::var_os(SOCKET).expect("the parent names the socket"));
    let outcome = rustyray::block_on(async {
        rustyray::connect(&socket).await?;
        body().await
    });
    outcome.unwrap_or_else(|error| panic!("{error}"))
}

/// Makes a detached actor and one that is not, and says where they live.
async fn make() -> rustyray::Result<()> {
    let kept = Ledger::options().name("kept").detached().remote().await?;
    let lost = Ledger::options().name("lost").remote().await?;
    for entry in [3, 1, 4] {
        kept.enter(entry).await?.get().await?;
        lost.enter(entry).await?.get().await?;
    }
    let (kept_pid, lost_pid) = (kept.pid().await?.get().await?, lost.pid().await?.get().await?);
    println!("MADE {kept_pid} {lost_pid}");
    std::mem::forget((kept, lost));
    Ok(())
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_makes_and_shuts_down() {
    attached(async || {
        make().await?;
        rustyray::shutdown().await
    });
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_makes_and_exits() {
    attached(make);
    std::process::exit(0);
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_makes_and_waits() {
    attached(make);
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_finds() {
    let found = attached(async || {
        let kept = Ledger::get("kept").await?;
        kept.enter(15).await?.get().await?;
        let entries = kept.entries().await?.get().await?;
        rustyray::shutdown().await?;
        Ok(entries)
    });
    println!("FOUND {found:?}");
}

/// A driver, killed if the test ends before it.
struct Driver {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Driver {
    fn start(scenario: &str, socket: &PathBuf) -> Driver {
        let program = std::env::current_exe().expect("this program");
        let mut process = Command::new(program)
            .args([scenario, "--exact", "--ignored", "--nocapture"])
            .env(SOCKET, socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Driver { process, output }
    }

    /// What follows `word` in the driver's output.
    fn says(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("readable") > 0 {
            // libtest begins the line.
            if let Some((_, rest)) = line.trim_end().split_once(word) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the driver ended without a word of {word}");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One driver makes the actors and ends as `end` has it; another finds what is left.
async fn survives(scenario: &str, end: impl FnOnce(&mut Driver)) -> rustyray::Result<()> {
    let socket =
        std::env::temp_dir().join(format!("rustyray-detached-{scenario}-{}", std::process::id()));
    rustyray::Builder::new().num_cpus(2.0).socket(&socket).start().await?;
    let mut driver = Driver::start(scenario, &socket);
    let said = driver.says("MADE");
    let pids: Vec<i32> = said.split(' ').map(|pid| pid.parse().expect("a pid")).collect();
    end(&mut driver);
    driver.process.wait().expect("it ended");
    // What is not detached goes with its driver.
    let is_there = |pid: i32| kill(Pid::from_raw(pid), None).is_ok();
    for _ in 0..30_000 {
        if !is_there(pids[1]) && Ledger::get("lost").await.is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!is_there(pids[1]), "the other actor outlived its driver");
    assert!(matches!(Ledger::get("lost").await, Err(Error::ActorNotFound { .. })));
    assert_eq!(Driver::start("driver_that_finds", &socket).says("FOUND"), "[3, 1, 4, 15]");
    let kept = Ledger::get("kept").await?;
    assert_eq!(kept.pid().await?.get().await?, pids[0] as u32, "it was never restarted");
    assert_eq!(kept.entries().await?.get().await?, [3, 1, 4, 15]);
    rustyray::shutdown().await?;
    assert!(!is_there(pids[0]), "it ends with the node");
    Ok(())
}

#[test]
fn a_detached_actor_survives_its_driver_s_shutdown() -> rustyray::Result<()> {
    rustyray::block_on(survives("driver_that_makes_and_shuts_down", |_| ()))
}

#[test]
fn a_detached_actor_survives_its_driver_s_exit() -> rustyray::Result<()> {
    rustyray::block_on(survives("driver_that_makes_and_exits", |_| ()))
}

#[test]
fn a_detached_actor_survives_the_sigkill_of_its_driver() -> rustyray::Result<()> {
    rustyray::block_on(survives("driver_that_makes_and_waits", |driver| {
        let pid = Pid::from_raw(driver.process.id() as i32);
        kill(pid, Signal::SIGKILL).expect("it is alive");
    }))
}
