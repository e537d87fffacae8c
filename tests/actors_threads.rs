//! An actor whose process is given no further thread: its calls wait for one, and keep nothing else from running.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{path::Path, time::Duration};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustyray::prelude::*;

/// How long something may take that does happen: more than any machine takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks in one millisecond that [`PATIENCE`] has.
const LOOKS: u32 = 30_000;

fn exists_soon(file: &str) -> bool {
    (0..LOOKS).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        Path::new(file).exists()
    })
}

fn write(file: &str) {
    std::fs::write(file, "").expect("it can be written");
}

/// Starts a thread that ends when the file is there; whether one can be had.
fn start_thread_until(file: &str, then: impl FnOnce() + Send + 'static) -> bool {
    let file = file.to_owned();
    let waits = move || {
        assert!(exists_soon(&file), "the test makes it");
        then();
    };
    std::thread::Builder::new().spawn(waits).is_ok()
}

/// Has four calls on threads, as far as there are any.
#[rustyray::actor(max_concurrency = 4)]
struct Depot;

#[rustyray::actor_methods]
impl Depot {
    pub fn new() -> Self {
        Depot
    }

    /// Makes the one file, and keeps its thread until the other is there.
    pub fn hold(&self, began: String, file: String) -> bool {
        write(&began);
        exists_soon(&file)
    }

    /// Waits without a thread.
    pub async fn see(&self, file: String) {
        while !Path::new(&file).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn seven(&self) -> u32 {
        7
    }

    /// From now on, and until the file is there, no thread can be started here.
    pub async fn starve(&self, file: String) {
        let (soft, hard) = getrlimit(Resource::RLIMIT_AS).expect("it has a limit");
        let relax = move || setrlimit(Resource::RLIMIT_AS, soft, hard).expect("as it was");
        assert!(start_thread_until(&file, relax), "this one can");
        let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB"));
        let size: u64 = size.and_then(|size| size.trim().parse().ok()).expect("in kibibytes");
        // Less than a stack takes.
        let little = (size << 10) + (1 << 20);
        setrlimit(Resource::RLIMIT_AS, little, hard).expect("it may be less");
        // Stacks of threads that were here may be used again.
        while start_thread_until(&file, || ()) {}
    }
}

#[rustyray::test]
async fn a_call_waits_for_a_thread_that_cannot_be_had_and_keeps_nothing_else_from_running()
-> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let depot = Depot::remote().await?;
    // Calls go to threads one by one while another waits on the main thread: this one is to block the only thread.
    let waiting = depot.see(path("seen")).await?;
    let first = depot.hold(path("first"), path("first-done")).await?;
    assert!(exists_soon(&path("first")), "it begins");
    write(&path("seen"));
    waiting.get_timeout(PATIENCE).await?;
    depot.starve(path("enough")).await?.get_timeout(PATIENCE).await?;
    // This one is for a thread that goes on to take what comes after it.
    let second = depot.hold(path("second"), path("second-done")).await?;
    for _ in 0..10 {
        assert_eq!(depot.seven().await?.get_timeout(PATIENCE).await?, 7, "the main thread is free");
    }
    assert!(!Path::new(&path("second")).exists(), "there is no thread for it");
    // Nothing tells the actor that there is one now.
    write(&path("enough"));
    assert!(exists_soon(&path("second")), "it begins beside the first");
    write(&path("second-done"));
    assert!(second.get_timeout(PATIENCE).await?);
    write(&path("first-done"));
    assert!(first.get_timeout(PATIENCE).await?);
    Ok(())
}
