//! Tasks and actors run in other processes, and no way of ending leaves anything behind.
//!
//! The scenarios that end abnormally are drivers of their own: this test binary, started again to run one
//! ignored test.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{SigHandler, Signal, kill, signal},
    unistd::Pid,
};
use rustyray::{prelude::*, state::Inspector};
use tempfile::TempDir;

#[rustyray::remote]
fn pid() -> u32 {
    std::process::id()
}

#[rustyray::remote]
fn pause(ms: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(ms));
    std::process::id()
}

#[rustyray::remote]
async fn pid_later() -> u32 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    std::process::id()
}

#[rustyray::actor]
struct Resident {
    calls: u32,
}

#[rustyray::actor_methods]
impl Resident {
    pub fn new() -> Self {
        Resident { calls: 0 }
    }

    pub fn pid(&mut self) -> (u32, u32) {
        self.calls += 1;
        (std::process::id(), self.calls)
    }
}

#[rustyray::test]
async fn tasks_and_actors_run_in_other_processes() -> rustyray::Result<()> {
    let here = std::process::id();
    let sync = pid_remote::remote().await?.get().await?;
    let later = pid_later_remote::remote().await?.get().await?;
    let actor = Resident::remote().await?;
    let (theirs, calls) = actor.pid().await?.get().await?;
    assert_eq!(calls, 1);
    assert_eq!(actor.pid().await?.get().await?, (theirs, 2));
    for other in [sync, later, theirs] {
        assert_ne!(other, here);
        assert!(is_alive(other), "worker {other} should be there");
    }
    Ok(())
}

#[test]
fn shutdown_leaves_no_process_and_init_works_again() {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let runtime = rustyray::blocking::init().expect("a node starts");
        let worker = rustyray::block_on(async { pid_remote::remote().await?.get().await });
        let worker = worker.expect("a task runs");
        assert!(seen.insert(worker), "each runtime has processes of its own");
        let pids = runtime.worker_pids();
        assert!(pids.contains(&worker), "{worker} among {pids:?}");
        rustyray::blocking::shutdown().expect("it ends");
        rustyray::blocking::shutdown().expect("ending twice is fine");
        for pid in pids {
            assert!(!is_alive(pid), "worker {pid} outlived its runtime");
        }
        assert!(matches!(rustyray::blocking::put(&1_u8), Err(Error::NotInitialized { .. })));
    }
}

#[test]
fn several_runtimes_live_side_by_side_in_one_process() {
    let pids: Vec<u32> = std::thread::scope(|scope| {
        let runtimes: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    rustyray::blocking::init().expect("a node starts");
                    let objects: Vec<_> = (0..100_u64)
                        .map(|at| rustyray::blocking::put(&at).expect("there is room"))
                        .collect();
                    let worker =
                        rustyray::block_on(async { pid_remote::remote().await?.get().await });
                    let values = rustyray::blocking::get_all(&objects).expect("they are there");
                    assert_eq!(values, (0..100).collect::<Vec<_>>());
                    rustyray::blocking::shutdown().expect("it ends");
                    worker.expect("a task runs")
                })
            })
            .collect();
        runtimes.into_iter().map(|runtime| runtime.join().expect("no panic")).collect()
    });
    assert_eq!(pids.iter().collect::<HashSet<_>>().len(), 3, "{pids:?}");
}

#[rustyray::remote]
async fn recurses(depth: u32) -> rustyray::Result<Vec<u32>> {
    let mut pids = match depth {
        0 => Vec::new(),
        _ => recurses_remote::remote(depth - 1).await?.get().await?,
    };
    pids.push(std::process::id());
    Ok(pids)
}

#[test]
fn workers_that_a_recursion_needed_end_when_they_are_idle() {
    let builder = rustyray::Builder::new().num_cpus(1.0).visible(false);
    let builder = builder.idle_worker_time(Duration::from_millis(200));
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let actor = rustyray::block_on(Resident::remote()).expect("it is made");
    let living = || rustyray::block_on(async { actor.pid().await?.get().await });
    let (home, _) = living().expect("it answers");
    for round in 0..2 {
        let pids = rustyray::block_on(async { recurses_remote::remote(12).await?.get().await });
        let pids: HashSet<u32> = pids.expect("it comes back").into_iter().collect();
        assert_eq!(pids.len(), 13, "each that waits has a worker: {pids:?}");
        // One for the only cpu, and the actor's.
        let deadline = Instant::now() + Duration::from_secs(60);
        while runtime.worker_pids().len() > 2 {
            assert!(Instant::now() < deadline, "round {round}: {:?}", runtime.worker_pids());
            std::thread::sleep(Duration::from_millis(10));
        }
        let (now, calls) = living().expect("it answers");
        assert_eq!((now, calls), (home, round + 2), "the actor stays where it is");
        let worker = rustyray::block_on(async { pid_remote::remote().await?.get().await });
        let worker = worker.expect("a task runs");
        assert!(runtime.worker_pids().contains(&worker), "a worker is kept, and is used again");
    }
    rustyray::blocking::shutdown().expect("it ends");
}

#[test]
fn a_worker_that_runs_something_is_not_idle() {
    let builder = rustyray::Builder::new().num_cpus(3.0).first_workers(1).visible(false);
    let builder = builder.idle_worker_time(Duration::from_millis(20));
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    // More than are kept on a machine of two cores, all of them at work for several looks.
    let pids = rustyray::block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(pause_remote::remote(500).await?);
        }
        rustyray::get_all(&tasks).await
    });
    let pids: HashSet<u32> = pids.expect("nobody is ended").into_iter().collect();
    assert!(!pids.is_empty() && pids.len() <= 3, "{pids:?}");
    assert!(!runtime.worker_pids().is_empty());
    rustyray::blocking::shutdown().expect("it ends");
}

// --- abnormal ends -----------------------------------------------------------------------------------------

const SOCKET: &str = "RUSTYRAY_TEST_SOCKET";

/// What the drivers below do first: start a node that listens, run something on two workers, name them.
fn start_and_report() -> rustyray::Runtime {
    let socket = std::env::var_os(SOCKET).expect("the parent names the socket");
    let builder = rustyray::Builder::new().num_cpus(2.0).socket(PathBuf::from(&socket));
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let worker = rustyray::block_on(async { pid_remote::remote().await?.get().await });
    worker.expect("a task runs");
    // One worker is kept busy, so that it is killed at work.
    let busy = rustyray::block_on(pause_remote::remote(600_000)).expect("submitted");
    std::mem::forget(busy);
    for pid in runtime.worker_pids() {
        println!("WORKER {pid}");
    }
    assert!(PathBuf::from(socket).exists(), "it listens");
    println!("READY");
    runtime
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_waits() {
    // A script without job control has what it starts in the background ignore the signal, which is inherited.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.expect("it can be had");
    let _runtime = start_and_report();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_panics() {
    let _runtime = start_and_report();
    panic!("on purpose");
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_exits() {
    let _runtime = start_and_report();
    std::process::exit(3);
}

#[rustyray::remote]
fn speaks(gate: String) {
    println!("good morning");
    for _ in 0..5 {
        eprintln!("again and again");
    }
    for _ in 0..2 {
        eprintln!("and again");
    }
    eprintln!("good night");
    // Who has spoken is asked while it runs.
    while !std::path::Path::new(&gate).exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[rustyray::actor]
struct Speaker;

#[rustyray::actor_methods]
impl Speaker {
    pub fn new() -> Self {
        Speaker
    }

    pub fn speaks(&self) {
        println!("an actor says");
    }
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_workers_speak() {
    let gate = std::env::var(SOCKET).expect("the parent names it");
    let builder = rustyray::Builder::new().num_cpus(2.0).visible(false);
    rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        let task = speaks_remote::remote(gate).await?;
        let actor = Speaker::remote().await?;
        actor.speaks().await?.get().await?;
        task.get().await
    })
    .expect("they run");
    rustyray::blocking::shutdown().expect("it ends");
}

#[test]
fn what_workers_write_comes_with_pid_and_actor_and_is_folded() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let mut child = Command::new(std::env::current_exe().expect("this executable"))
        .args(["driver_whose_workers_speak", "--exact", "--ignored", "--nocapture"])
        .env(SOCKET, &gate)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    // The gate opens once what is to be read of each stream was read.
    let read = |stream: Box<dyn std::io::Read + Send>, mut awaited: Vec<&'static str>| {
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream).lines().map(|line| line.expect("text"));
            let mut kept = Vec::new();
            while !awaited.is_empty()
                && let Some(line) = lines.next()
            {
                awaited.retain(|what| !line.contains(what));
                kept.push(line);
            }
            // Whoever writes more is not to fail of it.
            std::thread::spawn(move || lines.for_each(drop));
            kept
        })
    };
    let stdout = Box::new(child.stdout.take().expect("piped"));
    let stdout = read(stdout, vec!["good morning", "an actor says"]);
    let stderr = read(Box::new(child.stderr.take().expect("piped")), vec!["good night"]);
    let (stdout, stderr) = (stdout.join().expect("read"), stderr.join().expect("read"));
    std::fs::write(&gate, "").expect("it can be written");
    assert!(child.wait().expect("it ends").success());
    let line = |said: &str| stdout.iter().find(|line| line.ends_with(said)).expect("it was said");
    let (_, spoken) = line("good morning").rsplit_once("(worker ").expect("a pid");
    let (pid, _) = spoken.split_once(") ").expect("a pid");
    assert!(pid.parse::<u32>().is_ok() && line("an actor says").contains("Speaker "), "{stdout:?}");
    let prefix = format!("(worker {pid}) ");
    let its: Vec<_> = stderr.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
    let often = ["again and again", "the last line came 4 times more"];
    let once = ["and again", "the last line came once more", "good night"];
    assert_eq!(its, [&often[..], &once].concat(), "{stderr:?}");
}

#[rustyray::remote(max_retries = 0)]
fn stumbles() {
    eprint!("stumbles: ");
    panic!("a stone");
}

#[rustyray::remote]
fn walks() {
    eprintln!("walks: step");
}

#[rustyray::actor]
struct Walker;

#[rustyray::actor_methods]
impl Walker {
    pub fn new() -> Self {
        Walker
    }

    pub fn walks(&self) {
        eprintln!("the actor: step");
    }

    pub fn stumbles(&self) {
        panic!("a root");
    }
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_one_worker_runs_one_after_the_other() {
    let gate = std::env::var(SOCKET).expect("the parent names it");
    let builder = rustyray::Builder::new().num_cpus(1.0).max_workers(1).visible(false);
    rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        for _ in 0..50 {
            stumbles_remote::remote().await?.get().await.expect_err("it panics");
            walks_remote::remote().await?.get().await?;
        }
        let walker = Walker::remote().await?;
        walker.walks().await?.get().await?;
        walker.stumbles().await?.get().await.expect_err("it panics");
        // What is read after the end may be lost.
        let until = Instant::now() + Duration::from_secs(60);
        while !std::fs::exists(&gate).expect("the directory is there") {
            assert!(Instant::now() < until, "the last line was not read");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, Error>(())
    })
    .expect("all run");
    rustyray::blocking::shutdown().expect("it ends");
}

#[test]
fn no_line_has_the_name_of_another_task_and_a_panic_has_that_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let mut child = Command::new(std::env::current_exe().expect("this executable"))
        .args(["driver_whose_one_worker_runs_one_after_the_other", "--exact", "--ignored"])
        .arg("--nocapture")
        .env(SOCKET, &gate)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().expect("piped")).lines() {
        said += &format!("{}\n", line.expect("text"));
        if said.contains("a root") {
            std::fs::write(&gate, "").expect("it can be written");
        }
    }
    assert!(child.wait().expect("it ends").success(), "{said}");
    let with = |what: &str| said.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    let (stumbled, walked) = (with("a stone"), with("walks: step"));
    assert_eq!((stumbled.len(), walked.len()), (50, 50), "{said}");
    let begins = |line: &str, with: &str| line.starts_with("(worker ") && line.contains(with);
    let named = ") stumbles: `processes::stumbles` panicked at tests/processes.rs:";
    assert!(stumbled.iter().all(|line| begins(line, named)), "{stumbled:?}");
    assert!(walked.iter().all(|line| begins(line, ") walks: step")), "{walked:?}");
    let [stepped] = with("the actor: step")[..] else { panic!("once: {said}") };
    assert!(stepped.starts_with("(processes::Walker "), "{stepped}");
    let [fell] = with("a root")[..] else { panic!("once: {said}") };
    assert!(
        fell.starts_with("(processes::Walker ") && fell.contains("Walker::stumbles` panicked at "),
        "{fell}"
    );
    assert!(with("here lives").is_empty(), "{said}");
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_actors_take_all_workers() {
    let gate = std::env::var(SOCKET).expect("the parent names it");
    let builder = rustyray::Builder::new()
        .num_cpus(2.0)
        .max_workers(2)
        .visible(false)
        .socket(format!("{gate}.sock"));
    rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        let actors = [Speaker::remote().await?, Speaker::remote().await?];
        for actor in &actors {
            actor.speaks().await?.get().await?;
        }
        let further = Speaker::remote().await?;
        let (call, task) = (further.speaks().await?, pid_remote::remote().await?);
        // The parent opens the gate once it was said; if it never is, nobody is to wait for ever.
        let until = Instant::now() + Duration::from_secs(60);
        while !std::fs::exists(&gate).expect("the directory is there") {
            assert!(Instant::now() < until, "nothing was said");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!call.is_ready() && !task.is_ready(), "they have no worker");
        let mut inspector = Inspector::connect(format!("{gate}.sock"))?;
        assert_eq!(inspector.node()?.totals.crowded_out, 2);
        drop(actors);
        call.get().await?;
        task.get().await?;
        assert_eq!(inspector.node()?.totals.crowded_out, 0);
        Ok::<_, Error>(())
    })
    .expect("all run");
    rustyray::blocking::shutdown().expect("it ends");
}

#[test]
fn standard_error_says_once_that_actors_have_all_workers_and_others_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let mut child = Command::new(std::env::current_exe().expect("this executable"))
        .args(["driver_whose_actors_take_all_workers", "--exact", "--ignored", "--nocapture"])
        .env(SOCKET, &gate)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = Vec::new();
    for line in stderr.lines().map(|line| line.expect("text")) {
        if line.contains("actors live in all 2 workers in which they may") {
            assert!(
                line.contains("2 tasks or actors wait") && line.contains("`max_workers`"),
                "{line}"
            );
            // Only now do others get a worker.
            std::fs::write(&gate, "").expect("it can be written");
            said.push(line);
        }
    }
    assert!(child.wait().expect("it ends").success());
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn of_many_workers_some_are_kept_for_tasks_whatever_lives() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let builder = rustyray::Builder::new().num_cpus(1.0).max_workers(16).visible(false);
    rustyray::block_on(async {
        let runtime = builder.socket(&socket).start().await?;
        let mut actors = Vec::new();
        for _ in 0..15 {
            let actor = Speaker::remote().await?;
            actor.ready().await?;
            actors.push(actor);
        }
        let further = Speaker::remote().await?;
        let call = further.speaks().await?;
        let task = pid_remote::remote().await?;
        task.get_timeout(Duration::from_secs(60)).await?;
        assert!(!call.is_ready(), "it has no worker");
        let mut inspector = Inspector::connect(&socket)?;
        assert_eq!(inspector.node()?.totals.crowded_out, 1);
        actors.pop();
        call.get().await?;
        assert_eq!(inspector.node()?.totals.crowded_out, 0);
        runtime.shutdown().await
    })
    .expect("all run");
}

struct Driver {
    child: Child,
    workers: Vec<u32>,
    directory: TempDir,
}

/// Where the driver's node listens, which makes the directory in between.
fn socket_in(directory: &TempDir) -> PathBuf {
    directory.path().join("nodes").join("node.sock")
}

/// Starts this binary again as the driver `scenario`.
fn start(scenario: &str) -> (Child, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let child = Command::new(std::env::current_exe().expect("this executable"))
        .args([scenario, "--exact", "--ignored", "--nocapture"])
        .env(SOCKET, socket_in(&directory))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the driver starts");
    (child, directory)
}

/// The same, and waits until its workers are at work.
fn driver(scenario: &str) -> Driver {
    let (mut child, directory) = start(scenario);
    let mut workers = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    loop {
        let line = lines.next().expect("the driver reports").expect("text");
        if let Some(at) = line.find("WORKER ") {
            workers.push(line[at + 7..].trim().parse().expect("a pid"));
        }
        if line.contains("READY") {
            break;
        }
    }
    // What it prints later is of no interest, and must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    assert!(!workers.is_empty(), "the driver has workers");
    Driver { child, workers, directory }
}

impl Driver {
    /// Waits for the driver's end, and for everything it had to be gone.
    fn leaves_nothing(mut self) {
        self.child.wait().expect("it ends");
        let socket = socket_in(&self.directory);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.workers.iter().any(|&pid| is_alive(pid)) || socket.exists() {
            let left: Vec<_> = self.workers.iter().filter(|&&pid| is_alive(pid)).collect();
            assert!(Instant::now() < deadline, "left: {left:?}, socket: {}", socket.exists());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("the driver is there");
    }
}

/// Whether a process is there and is no zombie.
fn is_alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
        Err(_) => false,
    }
}

#[test]
fn a_driver_that_is_killed_leaves_nothing() {
    let driver = driver("driver_that_waits");
    driver.signal(Signal::SIGKILL);
    driver.leaves_nothing();
}

/// At the very moment at which it begins to listen, and some time before and after.
#[test]
fn a_driver_that_is_killed_while_it_starts_leaves_no_socket() {
    for round in 0..12_u64 {
        let (mut child, directory) = start("driver_that_waits");
        let socket = socket_in(&directory);
        let begun = Instant::now();
        let at_once = |socket: &PathBuf| match round {
            0..8 => socket.exists(),
            _ => begun.elapsed() > Duration::from_millis(3 * (round - 7)),
        };
        while !at_once(&socket) {
            assert!(child.try_wait().expect("it can be asked").is_none(), "it ended by itself");
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not come up");
            std::hint::spin_loop();
        }
        child.kill().expect("it is there");
        Driver { child, workers: Vec::new(), directory }.leaves_nothing();
    }
}

#[test]
fn a_driver_that_is_interrupted_leaves_nothing() {
    let driver = driver("driver_that_waits");
    driver.signal(Signal::SIGINT);
    driver.leaves_nothing();
}

#[test]
fn a_driver_whose_workers_are_stopped_is_killed_and_leaves_nothing() {
    let driver = driver("driver_that_waits");
    for &worker in &driver.workers {
        kill(Pid::from_raw(worker as i32), Signal::SIGSTOP).expect("the worker is there");
    }
    driver.signal(Signal::SIGKILL);
    // A stopped process removes no file, and is gone all the same.
    let workers = driver.workers.clone();
    let mut child = driver.child;
    child.wait().expect("it ends");
    let deadline = Instant::now() + Duration::from_secs(30);
    while workers.iter().any(|&pid| is_alive(pid)) {
        assert!(Instant::now() < deadline, "stopped workers outlived their driver");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A worker whose node died before it looked must end, and not run the program in its place.
#[test]
fn a_worker_that_finds_its_node_gone_never_reaches_main() {
    use std::os::unix::process::CommandExt;
    let run = |name: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().expect("this executable"));
        command.arg("--list").env("RUSTYRAY_WORKER", "1:7").stdin(Stdio::null());
        name.map(|name| command.arg0(name));
        command.output().expect("it runs")
    };
    for name in ["rustyray-worker", "rustyray-guard"] {
        let output = run(Some(name));
        assert!(output.status.success() && output.stdout.is_empty(), "{name}: {output:?}");
    }
    // A variable that was copied to another program means nothing.
    assert!(!run(None).stdout.is_empty());
}

#[test]
fn a_driver_that_panics_leaves_nothing() {
    driver("driver_that_panics").leaves_nothing();
}

#[test]
fn a_driver_that_exits_leaves_nothing() {
    driver("driver_that_exits").leaves_nothing();
}
