//! Memory that runs short: who is ended for it, what becomes of the work, and what is said.
//!
//! The workers are limited to a few hundred MiB, which they really use; the machine's own limit is far away.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustyray::prelude::*;

const MIB: u64 = 1 << 20;
/// What the workers may use together here.
const LIMIT: u64 = 320 * MIB;
/// What fits once, and not twice.
const MUCH: u64 = 200 * MIB;

/// Uses so much memory.
fn fill(bytes: u64) -> Vec<u8> {
    let mut filled = vec![0; bytes as usize];
    filled.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    filled
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Uses ever more, without end.
#[rustyray::remote(max_retries = 1)]
fn devours() -> u64 {
    let mut all = Vec::new();
    loop {
        all.push(fill(8 * MIB));
    }
}

/// Uses much until the gate is there; gives the attempt. Each attempt leaves a mark.
#[rustyray::remote(num_cpus = 1.0, max_retries = 1)]
fn holds(name: String, directory: String) -> u32 {
    let attempt = rustyray::context().attempt;
    let directory = Path::new(&directory);
    let filled = fill(MUCH);
    std::fs::write(directory.join(format!("{name}-{attempt}")), "").expect("it can be written");
    wait_for(&directory.join("gate"));
    drop(filled);
    attempt
}

#[rustyray::remote(max_retries = 0)]
fn holds_once(name: String, directory: String) -> u32 {
    holds(name, directory)
}

#[rustyray::remote]
fn double(value: u64) -> u64 {
    value * 2
}

/// Asks for more than it is allowed: the allocator ends the process.
#[rustyray::remote(max_retries = 0)]
fn is_refused() -> u64 {
    let now = std::fs::read_to_string("/proc/self/statm").expect("it is there");
    let pages: u64 = now.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
    let limit = pages * 4096 + 64 * MIB;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_AS, limit, limit)
        .expect("a limit may be lowered");
    fill(256 * MIB).len() as u64
}

#[rustyray::actor]
struct Hoard {
    filled: Vec<u8>,
}

#[rustyray::actor_methods]
impl Hoard {
    pub fn new() -> Self {
        Hoard { filled: Vec::new() }
    }

    pub fn fill(&mut self, bytes: u64) -> u64 {
        self.filled = fill(bytes);
        self.filled.len() as u64
    }
}

fn limited(cpus: f64) -> rustyray::Builder {
    rustyray::Builder::new().num_cpus(cpus).visible(false).worker_memory(LIMIT)
}

#[test]
fn a_task_that_exhausts_memory_is_ended_and_says_how_much_it_used() {
    rustyray::block_on(limited(1.0).start()).expect("a node starts");
    let outcome = rustyray::block_on(async {
        let error = devours_remote::remote().await?.get().await.expect_err("it is ended");
        let Error::OutOfMemory { task, worker, attempt, of, used, limit, held } = &error else {
            panic!("{error:?}")
        };
        assert!(task.ends_with("::devours"), "{error}");
        assert!(*worker != 0 && of.contains("workers"), "{error}");
        // Alone too much, it was charged: once run again, no more.
        assert_eq!((*attempt, *limit), (1, LIMIT));
        assert!(*used > LIMIT && *held > LIMIT / 2 && held <= used, "{error}");
        let said = error.to_string();
        assert!(said.contains(&limit.to_string()) && said.contains(&held.to_string()), "{said}");
        assert!(error.help().is_some_and(|help| help.contains("worker_memory")));
        // Who comes after has a new worker.
        assert_eq!(double_remote::remote(4).await?.get().await?, 8);
        Ok::<_, Error>(())
    });
    outcome.expect("as said");
    rustyray::blocking::shutdown().expect("it ends");
}

#[test]
fn the_younger_of_two_is_ended_and_run_again_when_there_is_room() {
    rustyray::block_on(limited(2.0).start()).expect("a node starts");
    let files = tempfile::tempdir().expect("a directory");
    let path = || files.path().to_string_lossy().into_owned();
    let outcome = rustyray::block_on(async {
        let older = holds_remote::remote("older", path()).await?;
        wait_for(&files.path().join("older-0"));
        let younger = holds_remote::remote("younger", path()).await?;
        // It is ended again and again if it is run again too early; that is no reason to fail.
        assert!(matches!(
            younger.get_timeout(Duration::from_secs(1)).await,
            Err(Error::GetTimeout { .. })
        ));
        std::fs::write(files.path().join("gate"), "").expect("it can be written");
        assert_eq!(older.get().await?, 0);
        let attempt = younger.get().await?;
        assert!((1..=16).contains(&attempt), "attempt {attempt}");
        Ok::<_, Error>(())
    });
    outcome.expect("as said");
    rustyray::blocking::shutdown().expect("it ends");
}

#[test]
fn a_task_is_ended_before_an_actor_that_is_younger_and_uses_more() {
    rustyray::block_on(limited(2.0).start()).expect("a node starts");
    let files = tempfile::tempdir().expect("a directory");
    let outcome = rustyray::block_on(async {
        let task =
            holds_once_remote::remote("task", files.path().to_string_lossy().into_owned()).await?;
        wait_for(&files.path().join("task-0"));
        let hoard = Hoard::remote().await?;
        let bytes = MUCH + 16 * MIB;
        assert_eq!(hoard.fill(bytes).await?.get().await?, bytes);
        let error = task.get().await.expect_err("it is ended");
        assert!(matches!(error, Error::OutOfMemory { attempt: 0, .. }), "{error:?}");
        // Only when nobody else is left.
        assert_eq!(hoard.fill(MIB).await?.get().await?, MIB);
        // It may have what it wants before that is noticed, and uses it until then.
        let dead = loop {
            let call = match hoard.fill(2 * LIMIT).await {
                Ok(call) => call.get().await,
                Err(error) => Err(error),
            };
            match call {
                Ok(bytes) => assert_eq!(bytes, 2 * LIMIT),
                Err(error) => break error,
            }
        };
        let Error::ActorDied { reason, .. } = &dead else { panic!("{dead:?}") };
        assert!(reason.contains("memory ran short"), "{reason}");
        Ok::<_, Error>(())
    });
    outcome.expect("as said");
    rustyray::blocking::shutdown().expect("it ends");
}

#[rustyray::test(num_cpus = 1)]
async fn a_task_to_which_memory_is_refused_ends_alone() -> rustyray::Result<()> {
    let error = is_refused_remote::remote().await?.get().await.expect_err("it is refused");
    let Error::WorkerCrashed { how, .. } = &error else { panic!("{error:?}") };
    assert!(how.contains("SIGABRT"), "{error}");
    assert_eq!(double_remote::remote(4).await?.get().await?, 8);
    Ok(())
}

#[test]
fn limits_that_cannot_be_are_refused() {
    for share in [0.0, -1.0, 1.5, f64::NAN] {
        let start = rustyray::Builder::new().memory_threshold(share).start();
        let refused = rustyray::block_on(start).expect_err("no share");
        assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused:?}");
    }
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_memory_runs_short() {
    a_task_that_exhausts_memory_is_ended_and_says_how_much_it_used();
}

#[test]
fn standard_error_says_who_was_killed_and_why() {
    let output = Command::new(std::env::current_exe().expect("this executable"))
        .args(["driver_whose_memory_runs_short", "--exact", "--ignored", "--nocapture"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<_> = said.lines().filter(|line| line.contains("memory ran short")).collect();
    let [first, second] = lines.as_slice() else { panic!("one line for each attempt: {said}") };
    assert!(first.contains("devours") && first.contains(&LIMIT.to_string()), "{first}");
    assert!(first.ends_with("that is run again, within its retries"), "{first}");
    assert!(second.ends_with("that may not be run again"), "{second}");
}
