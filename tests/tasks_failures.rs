//! Workers that die, stop, and misbehave, by real signals: no task is lost, none is done twice unnoticed.
//!
//! `RUSTYRAY_LONG=1` stops a worker for 10 s where the ordinary run stops it for one.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        resource::{Resource, setrlimit},
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};
use rustyray::prelude::*;

#[rustyray::remote]
fn double(value: u64) -> u64 {
    value * 2
}

#[rustyray::remote]
fn pid() -> u32 {
    std::process::id()
}

/// Long enough to be killed at.
#[rustyray::remote(max_retries = -1)]
fn takes_a_while(value: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(value % 4));
    value * 2
}

#[rustyray::remote]
fn says_pid_and_waits(path: String, gate: String) -> u32 {
    std::fs::write(&path, std::process::id().to_string()).expect("the directory is there");
    while !Path::new(&gate).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::process::id()
}

#[rustyray::remote(max_retries = 1)]
fn ends_the_process(how: String) -> u64 {
    match how.as_str() {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(7),
        _ => kill(Pid::this(), Signal::SIGKILL).expect("it can"),
    }
    loop {
        std::thread::park();
    }
}

/// May have no more memory than it has, and wants some.
#[rustyray::remote(max_retries = 0)]
fn wants_more_memory_than_there_is() -> usize {
    let has_bytes = std::fs::read_to_string("/proc/self/statm").expect("it is there");
    let has_pages: u64 =
        has_bytes.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    let most = (has_pages * 4096) + (32 << 20);
    setrlimit(Resource::RLIMIT_AS, most, most).expect("it may be lowered");
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    while hoard.len() < 1 << 20 {
        hoard.push(vec![1; 1 << 20]);
    }
    hoard.len()
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in a drop");
    }
}

#[rustyray::remote]
fn panics_in_a_drop() -> u64 {
    let _value = PanicsInDrop;
    7
}

/// A panic while another unwinds ends the process, as everywhere in Rust.
#[rustyray::remote(max_retries = 0)]
fn panics_in_a_drop_while_panicking() -> u64 {
    let _value = PanicsInDrop;
    panic!("the first");
}

#[rustyray::remote]
async fn async_panics_in_a_drop() -> u64 {
    let _value = PanicsInDrop;
    tokio::time::sleep(Duration::from_millis(1)).await;
    7
}

/// Counts, by files, how often each value was begun, and dies once for every value.
#[rustyray::remote(max_retries = 1)]
fn dies_once(marks: String, value: u64) -> u64 {
    let mark = Path::new(&marks).join(value.to_string());
    if std::fs::File::create_new(mark).is_ok() {
        std::process::abort();
    }
    value
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    fn pid(&self, name: &str) -> Pid {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let said = std::fs::read_to_string(self.at(name)).unwrap_or_default();
            match said.parse() {
                Ok(pid) => return Pid::from_raw(pid),
                Err(_) => assert!(Instant::now() < deadline, "`{name}` says no pid"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[rustyray::test(num_cpus = 1)]
async fn a_worker_that_is_killed_before_its_task_is_replaced() -> rustyray::Result<()> {
    for _ in 0..3 {
        let worker = pid_remote::remote().await?.get().await?;
        kill(Pid::from_raw(worker as i32), Signal::SIGKILL).expect("it is there");
        // Submitted while the node may not know yet.
        assert_eq!(double_remote::remote(4).await?.get().await?, 8);
    }
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_task_whose_worker_is_killed_meanwhile_runs_again() -> rustyray::Result<()> {
    let files = Files::new();
    let task = says_pid_and_waits_remote::remote(files.text("pid"), files.text("gate")).await?;
    let behind = double_remote::remote(4).await?;
    let first = files.pid("pid");
    kill(first, Signal::SIGKILL).expect("it is there");
    std::fs::write(files.at("gate"), "").expect("the directory is there");
    let second = task.get().await?;
    assert_ne!(second as i32, first.as_raw());
    assert_eq!(behind.get().await?, 8);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_process_that_ends_is_an_error_that_says_how() -> rustyray::Result<()> {
    let said = [("abort", "SIGABRT"), ("exit", "code 7"), ("kill", "SIGKILL")];
    for (how, word) in said {
        let error = ends_the_process_remote::remote(how).await?.get().await.expect_err("it ends");
        let Error::WorkerCrashed { task, worker, attempt: 1, how } = &error else {
            panic!("{error:?}")
        };
        assert!(how.contains(word), "{how}");
        assert!(task.ends_with("::ends_the_process") && *worker != 0, "{error}");
    }
    assert_eq!(double_remote::remote(4).await?.get().await?, 8);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn an_allocation_that_fails_ends_its_worker_and_nothing_else() -> rustyray::Result<()> {
    let task = wants_more_memory_than_there_is_remote::remote().await?;
    let behind = double_remote::remote(4).await?;
    let error = task.get().await.expect_err("there is no more");
    let Error::WorkerCrashed { how, .. } = &error else { panic!("{error:?}") };
    assert!(how.contains("SIGABRT"), "{how}");
    assert_eq!(behind.get().await?, 8);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_panic_in_a_drop_is_that_task_s_own() -> rustyray::Result<()> {
    for task in
        [panics_in_a_drop_remote::remote().await?, async_panics_in_a_drop_remote::remote().await?]
    {
        let error = task.get().await.expect_err("it panics");
        let Error::TaskPanicked { message, .. } = &error else { panic!("{error:?}") };
        assert_eq!(message, "in a drop");
    }
    let worse = panics_in_a_drop_while_panicking_remote::remote().await?;
    let error = worse.get().await.expect_err("it ends");
    assert!(matches!(error, Error::WorkerCrashed { .. }), "{error:?}");
    assert_eq!(double_remote::remote(4).await?.get().await?, 8);
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_stopped_worker_loses_and_doubles_nothing() -> rustyray::Result<()> {
    let files = Files::new();
    let task = says_pid_and_waits_remote::remote(files.text("pid"), files.text("gate")).await?;
    let stopped = files.pid("pid");
    kill(stopped, Signal::SIGSTOP).expect("it is there");
    let mut values = Vec::new();
    for value in 0..200 {
        values.push(double_remote::remote(value).await?);
    }
    // What it had been given and not begun goes to the other one.
    assert_eq!(rustyray::get_all(&values).await?, (0..200).map(|v| v * 2).collect::<Vec<_>>());
    let long = std::env::var_os("RUSTYRAY_LONG").is_some();
    let pause = Duration::from_secs(if long { 10 } else { 1 });
    assert!(matches!(task.get_timeout(pause).await, Err(Error::GetTimeout { .. })));
    kill(stopped, Signal::SIGCONT).expect("it is there");
    std::fs::write(files.at("gate"), "").expect("the directory is there");
    // The same process, the same attempt.
    assert_eq!(task.get().await? as i32, stopped.as_raw());
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_thousand_tasks_survive_a_worker_killed_every_50_ms() -> rustyray::Result<()> {
    let runtime = rustyray::Runtime::current()?;
    let done = AtomicBool::new(false);
    let mut values = Vec::new();
    for value in 0..1_000 {
        values.push(takes_a_while_remote::remote(value).await?);
    }
    let (results, killed) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut killed = 0;
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                let pids = runtime.worker_pids();
                if let Some(&pid) = pids.get(killed % pids.len().max(1)) {
                    killed += usize::from(kill(Pid::from_raw(pid as i32), Signal::SIGKILL).is_ok());
                }
            }
            killed
        });
        let results: Vec<_> = values.iter().map(ObjectRef::get_blocking).collect();
        done.store(true, Ordering::Relaxed);
        (results, killer.join().expect("no panic"))
    });
    for (value, result) in results.into_iter().enumerate() {
        assert_eq!(result?, value as u64 * 2);
    }
    assert!(killed > 0, "nobody was killed");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn tasks_that_die_once_each_are_all_run_again() -> rustyray::Result<()> {
    let files = Files::new();
    let mut values = Vec::new();
    for value in 0..20 {
        // What merely waits behind a task that dies is not charged for it.
        values.push(dies_once_remote::remote(files.text("."), value).await?);
    }
    assert_eq!(rustyray::get_all(&values).await?, (0..20).collect::<Vec<_>>());
    Ok(())
}

// --- killed at a point ---------------------------------------------------------------------------------------

/// How many tasks are run while each worker is killed at its third.
const AT_A_POINT: u64 = 24;

#[rustyray::remote(max_retries = -1, num_returns = 3)]
fn twice_thrice_and_often(value: u64) -> (u64, u64, Vec<u32>) {
    (2 * value, 3 * value, vec![std::process::id(); 500])
}

/// Its own pid is its result: of two attempts that both gave one, which it was can be told.
#[rustyray::remote(max_retries = 0)]
fn own_pid(marks: String, value: u64) -> u32 {
    let mark = Path::new(&marks).join(value.to_string());
    std::fs::File::create_new(mark).expect("it is run once");
    std::process::id()
}

#[test]
#[ignore = "a driver for the test below, which has its workers killed"]
fn driver_whose_workers_are_killed() {
    let point = std::env::var("RUSTYRAY_WORKER_KILL_AT").expect("the parent says where");
    rustyray::block_on(async {
        let runtime = rustyray::Builder::new().num_cpus(2.0).visible(false).start().await?;
        let (mut ones, mut threes) = (Vec::new(), Vec::new());
        for value in 0..AT_A_POINT {
            ones.push(takes_a_while_remote::remote(value).await?);
            threes.push(twice_thrice_and_often_remote::remote(value).await?);
        }
        let mut workers = HashSet::new();
        for (value, (one, (two, three, often))) in (0..).zip(ones.iter().zip(&threes)) {
            assert_eq!(one.get().await?, 2 * value);
            assert_eq!((two.get().await?, three.get().await?), (2 * value, 3 * value));
            workers.extend(often.get().await?);
        }
        assert!(workers.len() > 4, "nobody was killed: {workers:?} did all");
        // What may not be run twice: a result that was sealed counts, also when nobody was told of it.
        let files = Files::new();
        let mut pids = Vec::new();
        for value in 0..AT_A_POINT {
            pids.push(own_pid_remote::remote(files.text("."), value).await?);
        }
        let mut crashed = 0;
        for pid in &pids {
            match pid.get().await {
                Ok(pid) => assert_ne!(pid, 0),
                Err(Error::WorkerCrashed { how, .. }) => {
                    assert!(how.contains("SIGKILL"), "{how}");
                    crashed += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        // Only at these had a task nothing to show for it.
        let lost = point.starts_with("claimed") || point.starts_with("half");
        assert!(lost || crashed == 0, "{crashed} results were sealed, and were lost");
        // And nobody gets another answer later.
        for pid in &pids {
            let (first, second) = (pid.get().await, pid.get().await);
            assert_eq!(first.ok(), second.ok());
        }
        drop(runtime);
        rustyray::shutdown().await
    })
    .expect("every result is there");
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "there are no points in release builds")]
fn a_worker_killed_at_any_point_of_a_task_loses_and_doubles_nothing() {
    for point in ["claimed:2", "ran:2", "half:1", "reported:2"] {
        let test = std::env::current_exe().expect("this test");
        let output = std::process::Command::new(test)
            .args(["--ignored", "--exact", "driver_whose_workers_are_killed", "--nocapture"])
            .env("RUSTYRAY_WORKER_KILL_AT", point)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{point}: {said}");
    }
}

#[rustyray::remote]
async fn tries_to_end_all(blocking: bool) -> String {
    let ended = match blocking {
        true => rustyray::blocking::shutdown(),
        false => rustyray::shutdown().await,
    };
    ended.map_or_else(|error| error.to_string(), |()| "it did".into())
}

#[rustyray::test]
async fn a_task_cannot_end_the_runtime_that_it_runs_in() -> rustyray::Result<()> {
    for attempt in 0..10 {
        let said = tries_to_end_all_remote::remote(attempt % 2 == 0).await?.get().await?;
        assert!(said.contains("the program that started it"), "{said}");
    }
    Ok(())
}

/// Gives the code with which the child that it forks off ends: that comes out of the task as its parent does.
fn forked(in_the_child: impl FnOnce()) -> i32 {
    // SAFETY: the child does nothing that the parent's other threads may hold a lock for.
    match unsafe { fork() }.expect("forked") {
        ForkResult::Child => {
            in_the_child();
            -1
        }
        ForkResult::Parent { child } => match waitpid(child, None).expect("a child") {
            WaitStatus::Exited(_, code) => code,
            other => panic!("{other:?}"),
        },
    }
}

/// The same of a child that ends within the task, with whether `finds` is true of what it finds there.
fn forked_within(finds: impl FnOnce() -> bool) -> i32 {
    forked(|| {
        // It may wait for what never comes.
        nix::unistd::alarm::set(30);
        let code = i32::from(!finds());
        // SAFETY: it ends the process, and nothing of the parent's is torn down.
        unsafe { nix::libc::_exit(code) }
    })
}

fn is_of_a_fork<T>(outcome: rustyray::Result<T>) -> bool {
    outcome.is_err_and(|error| error.to_string().contains("fork"))
}

/// Its child does what would wait for somebody else.
#[rustyray::remote(max_retries = 0)]
fn forks_and_waits_within(pending: Vec<ObjectRef<u64>>) -> Vec<i32> {
    let [pending] = &pending[..] else { panic!("one is given") };
    let short = Duration::from_secs(1);
    vec![
        forked_within(|| is_of_a_fork(pending.get_blocking_timeout(short))),
        forked_within(|| is_of_a_fork(rustyray::block_on(pending.get_timeout(short)))),
        forked_within(|| is_of_a_fork(rustyray::block_on(pending.get()))),
        forked_within(|| is_of_a_fork(rustyray::block_on(Forking::get("nobody")))),
        forked_within(|| is_of_a_fork(rustyray::block_on(double_remote::remote(1)))),
        forked_within(|| {
            is_of_a_fork(rustyray::block_on(pending.cancel(CancelOptions::default())))
        }),
    ]
}

#[rustyray::test]
async fn a_forked_child_waits_for_nobody() -> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let pending = says_pid_and_waits_remote::remote(path("pid"), path("gate")).await?;
    let waits = double_of_remote::remote(&pending).await?;
    let codes = forks_and_waits_within_remote::remote(vec![waits.clone()]).await?.get().await?;
    assert_eq!(codes, [0; 6]);
    // What its parent waits for is none the worse.
    std::fs::write(path("gate"), "").expect("the directory is there");
    assert_eq!(waits.get().await?, 2 * u64::from(pending.get().await?));
    Ok(())
}

#[rustyray::remote]
fn double_of(value: u32) -> u64 {
    2 * u64::from(value)
}

#[rustyray::actor]
struct Forking {
    code: i32,
}

#[rustyray::actor_methods]
impl Forking {
    pub fn new() -> Self {
        Forking { code: -1 }
    }

    fn on_start(&mut self) {
        self.code = forked(|| {});
    }

    pub fn code(&self) -> i32 {
        self.code
    }
}

#[rustyray::test]
async fn a_forked_child_that_comes_out_of_a_hook_ends_there() -> rustyray::Result<()> {
    assert_eq!(Forking::remote().await?.code().await?.get().await?, 1);
    Ok(())
}

#[rustyray::remote(max_retries = 0)]
fn forks(panics: bool) -> i32 {
    forked(|| {
        if panics {
            std::panic::resume_unwind(Box::new(()));
        }
    })
}

#[rustyray::remote(max_retries = 0)]
async fn forks_and_waits() -> i32 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let code = forked(|| {});
    tokio::time::sleep(Duration::from_millis(1)).await;
    code
}

#[rustyray::test]
async fn a_forked_child_that_comes_out_of_a_task_ends_there() -> rustyray::Result<()> {
    for panics in [false, true] {
        assert_eq!(forks_remote::remote(panics).await?.get().await?, 1, "panics: {panics}");
    }
    assert_eq!(forks_and_waits_remote::remote().await?.get().await?, 1);
    // Nothing of what the workers share with the node came to harm.
    let mut doubled = Vec::new();
    for value in 0..100 {
        doubled.push(double_remote::remote(value).await?);
    }
    let expected: Vec<u64> = (0..100).map(|value| 2 * value).collect();
    assert_eq!(rustyray::get_all(&doubled).await?, expected);
    Ok(())
}

/// Dies, and leaves a child that has everything that this process had open, and never ends by itself.
#[rustyray::remote(max_retries = 0)]
fn leaves_a_child_and_dies(path: String) {
    // SAFETY: the child does nothing but sleep.
    match unsafe { fork() }.expect("forked") {
        ForkResult::Child => loop {
            nix::unistd::pause();
        },
        ForkResult::Parent { child } => {
            std::fs::write(path, child.to_string()).expect("the directory is there");
            std::process::abort();
        }
    }
}

#[rustyray::test]
async fn a_worker_s_death_is_noticed_though_a_child_of_it_lives_on() -> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("child");
    let died = leaves_a_child_and_dies_remote::remote(path.display().to_string()).await?;
    let error = died.get_timeout(Duration::from_secs(60)).await.expect_err("it died");
    let child = std::fs::read_to_string(&path).expect("it was written before");
    let child = Pid::from_raw(child.parse().expect("a process id"));
    // Without a signal: that it is there.
    kill(child, None).expect("the child lives");
    kill(child, Signal::SIGKILL).expect("it can be killed");
    assert!(
        matches!(&error, Error::WorkerCrashed { how, .. } if how.contains("SIGABRT")),
        "{error}"
    );
    Ok(())
}
