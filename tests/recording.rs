//! What is recorded of tasks while their processes are killed, again and again, and while others read it: every
//! attempt whose code ran is there once, whole, and in its time.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustyray::{
    prelude::*,
    state::{Inspector, Listing, TaskInfo, TaskState},
};

/// Writes down that an attempt began.
fn note(journal: &str, value: u64) {
    let attempt = rustyray::context().attempt;
    let mut file = std::fs::File::options().append(true).open(journal).expect("it is there");
    // One write, so that a line is there as a whole or not at all.
    file.write_all(format!("{value} {attempt}\n").as_bytes()).expect("there is room");
}

/// Long enough to be killed at.
#[rustyray::remote(max_retries = -1)]
fn takes_a_while(journal: String, value: u64) -> u64 {
    note(&journal, value);
    std::thread::sleep(Duration::from_micros(300 * (value % 8)));
    value
}

/// Is killed so often, and then is no more.
#[rustyray::remote(max_retries = 2)]
fn is_killed(times: u32) -> u32 {
    let attempt = rustyray::context().attempt;
    if attempt < times {
        kill(Pid::this(), Signal::SIGKILL).expect("it can");
        std::thread::sleep(Duration::from_secs(60));
    }
    attempt
}

#[rustyray::remote(max_retries = 1, retry_exceptions = true)]
fn fails_once() -> Result<u32, String> {
    match rustyray::context().attempt {
        0 => Err("not yet".to_owned()),
        attempt => Ok(attempt),
    }
}

#[rustyray::remote(max_retries = 1, retry_exceptions = true)]
fn always_fails() -> Result<u32, String> {
    Err("never".to_owned())
}

#[rustyray::actor]
struct Clerk;

#[rustyray::actor_methods]
impl Clerk {
    pub fn new() -> Self {
        Clerk
    }

    pub fn refuses(&self) -> Result<u32, String> {
        Err("it will not".to_owned())
    }
}

/// Calls a clerk; how often it was refused.
#[rustyray::remote]
async fn calls(times: usize) -> rustyray::Result<usize> {
    let (clerk, mut refused) = (Clerk::remote().await?, 0);
    // Often enough for the calls to go by a direct line.
    for _ in 0..times {
        refused += usize::from(clerk.refuses().await?.get().await.is_err());
    }
    Ok(refused)
}

/// Runs until a file appears.
#[rustyray::remote]
fn lingers(path: String) {
    while !Path::new(&path).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A session that records, in a directory of its own.
struct Session {
    directory: tempfile::TempDir,
    runtime: rustyray::Runtime,
}

impl Session {
    fn new() -> Session {
        let directory = tempfile::tempdir().expect("a directory");
        let builder = rustyray::Builder::new().num_cpus(2.0).visible(false).record(true);
        let builder = builder.socket(directory.path().join("node.sock"));
        let runtime = rustyray::block_on(builder.start()).expect("a node starts");
        Session { directory, runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn inspector(&self) -> Inspector {
        Inspector::connect(self.path("node.sock")).expect("it listens")
    }

    /// The rows of tasks once they are as wanted: a completion may be on its way after its result was seen.
    fn wait_for(&self, wanted: impl Fn(&[TaskInfo]) -> bool) -> Vec<TaskInfo> {
        let (mut inspector, until) = (self.inspector(), Instant::now() + Duration::from_secs(60));
        loop {
            let rows = inspector.tasks(&Listing::new().limit(200_000)).expect("it answers");
            if wanted(&rows) {
                return rows;
            }
            assert!(Instant::now() < until, "it is never as wanted: {rows:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns when there is no task that has not ended.
    fn wait_until_idle(&self) {
        let (mut inspector, until) = (self.inspector(), Instant::now() + Duration::from_secs(60));
        while inspector.node().expect("it answers").totals.tasks > 0 {
            assert!(Instant::now() < until, "there are tasks that do not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(self) {
        rustyray::block_on(self.runtime.shutdown()).expect("it ends");
    }
}

fn has_ended(row: &&TaskInfo) -> bool {
    matches!(row.state, TaskState::Finished | TaskState::Failed)
}

/// Holds rows against what must be true of them at any time. They were read before `now_ns`.
fn are_whole(rows: &[TaskInfo], now_ns: u64) {
    let mut seen = HashSet::new();
    let mut by_worker: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
    for row in rows.iter().filter(has_ended) {
        assert!(seen.insert((&row.id, row.attempt)), "it is there twice: {row:#?}");
        assert!(row.name.contains("takes_a_while"), "{row:#?}");
        assert_eq!(row.state == TaskState::Failed, row.error.is_some(), "{row:#?}");
        let span = row.started_ns.zip(row.duration_ns).map(|(at, time)| (at, at + time));
        let span = span.unwrap_or_else(|| panic!("it ended without a time: {row:#?}"));
        assert!(span.1 <= now_ns, "it ends after {now_ns}: {row:#?}");
        by_worker.entry(row.worker.expect("it ran somewhere")).or_default().push(span);
    }
    for (worker, mut spans) in by_worker {
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{worker} was at two tasks at one time: {pair:?}");
        }
    }
}

/// Reads all there is, until it is over; how often.
fn read(session: &Session, over: &AtomicBool) -> usize {
    let (mut inspector, mut times) = (session.inspector(), 0);
    while !over.load(Ordering::Relaxed) {
        let rows = inspector.tasks(&Listing::new().limit(200_000)).expect("it answers");
        let now_ns = (inspector.node().expect("it answers").uptime_ms + 1) * 1_000_000;
        are_whole(&rows, now_ns);
        let counted = inspector.count_tasks().expect("it answers");
        assert!(counted.iter().all(|count| count.name.contains("takes_a_while")), "{counted:#?}");
        times += 1;
    }
    times
}

/// Runs tasks until it is over, and then sees whether each attempt that began is told of once; how many began that
/// came to nothing.
fn run_and_compare(session: &Session, is_over: impl Fn(usize) -> bool) -> usize {
    let journal = session.path("journal");
    std::fs::write(&journal, "").expect("it can be written");
    let mut results: Vec<ObjectRef<u64>> = Vec::new();
    let path = journal.display().to_string();
    while !is_over(results.len()) {
        let first = results.len() as u64;
        for value in first..first + 40 {
            // Some have a name of their own, which takes a longer record.
            let options = takes_a_while_remote::options();
            let options = match value % 3 {
                0 => options.name("takes_a_while, named"),
                _ => options,
            };
            let result = options.remote(&path, &value);
            results.push(rustyray::block_on(result).expect("submitted"));
        }
        for (value, result) in (first..).zip(&results[first as usize..]) {
            assert_eq!(result.get_blocking().expect("it is run again"), value);
        }
    }
    // A result that was sealed counts, though its process is killed before it says so: then the task runs once more.
    session.wait_until_idle();
    let written = std::fs::read_to_string(&journal).expect("it is there");
    let began: Vec<(String, u16)> = written
        .lines()
        .map(|line| {
            let (value, attempt) = line.split_once(' ').expect("two numbers");
            let value: usize = value.parse().expect("a number");
            (results[value].to_string(), attempt.parse().expect("a number"))
        })
        .collect();
    let attempts = |rows: &[TaskInfo]| -> HashMap<(String, u16), Vec<TaskState>> {
        let mut attempts: HashMap<_, Vec<TaskState>> = HashMap::new();
        for row in rows.iter().filter(has_ended) {
            let returns = row.returns.clone().expect("it returns something");
            attempts.entry((returns, row.attempt)).or_default().push(row.state);
        }
        attempts
    };
    let rows = session.wait_for(|rows| {
        let told = attempts(rows);
        began.iter().all(|attempt| told.contains_key(attempt))
    });
    let told = attempts(&rows);
    assert!(told.values().all(|states| states.len() == 1), "told twice: {told:#?}");
    for result in &results {
        let of = told.iter().filter(|((returns, _), _)| *returns == result.to_string());
        let mut states: Vec<_> = of.map(|((_, attempt), states)| (attempt, states[0])).collect();
        states.sort_unstable_by_key(|&(attempt, _)| attempt);
        let (last, before) = states.split_last().expect("it ran");
        assert_eq!(last.1, TaskState::Finished, "{states:?}");
        assert!(before.iter().all(|&(_, state)| state == TaskState::Failed), "{states:?}");
    }
    let killed = session.inspector().node().expect("it answers").totals.crashed_workers;
    assert!(killed > 1, "nobody was killed");
    began.len() - results.len()
}

#[test]
fn attempts_are_told_once_while_workers_are_killed_and_others_read() {
    let session = Session::new();
    let _entered = session.runtime.enter();
    let (over, kills) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let workers = session.runtime.worker_pids();
                if !workers.is_empty() {
                    let worker = workers[fastrand::usize(..workers.len())];
                    // It may have ended by itself.
                    if kill(Pid::from_raw(worker as i32), Signal::SIGKILL).is_ok() {
                        kills.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(Duration::from_millis(fastrand::u64(5..25)));
            }
        });
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read(&session, &over))).collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let in_vain = run_and_compare(&session, |_| kills.load(Ordering::Relaxed) >= 40);
            assert!(in_vain > 0, "nobody was killed while at a task");
        }));
        over.store(true, Ordering::Relaxed);
        killer.join().expect("it killed");
        for reader in readers {
            assert!(reader.join().expect("what it read was whole") > 0);
        }
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    session.end();
}

#[test]
#[ignore = "a driver for the test below, which has its workers killed"]
fn driver_whose_workers_are_killed() {
    let session = Session::new();
    let _entered = session.runtime.enter();
    run_and_compare(&session, |tasks| tasks >= 120);
    session.end();
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "there are no points in release builds")]
fn attempts_are_told_once_where_workers_are_killed_at_any_point_of_a_task() {
    for point in ["claimed:3", "ran:2", "reported:2"] {
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

#[test]
fn a_killed_attempt_is_told_with_its_times_and_its_reason() {
    let session = Session::new();
    let _entered = session.runtime.enter();
    let (twice, thrice, once) = rustyray::block_on(async {
        let twice = is_killed_remote::remote(2).await?;
        let thrice = is_killed_remote::options().name("thrice").remote(&3).await?;
        let once = fails_once_remote::remote().await?;
        Ok::<_, Error>((twice, thrice, once))
    })
    .expect("submitted");
    assert_eq!(twice.get_blocking().expect("the third time"), 2);
    assert!(matches!(thrice.get_blocking(), Err(Error::WorkerCrashed { .. })));
    assert_eq!(once.get_blocking().expect("the second time"), 1);

    let rows = session.wait_for(|rows| rows.iter().filter(has_ended).count() == 3 + 3 + 2);
    let of = |result: String| {
        let mut of: Vec<_> =
            rows.iter().filter(|row| row.returns.as_ref() == Some(&result)).collect();
        of.sort_unstable_by_key(|row| row.attempt);
        assert!(of.iter().all(|row| row.started_ns.is_some() && row.duration_ns.is_some()));
        assert!(of.windows(2).all(|pair| pair[0].started_ns <= pair[1].started_ns), "{of:#?}");
        of
    };
    let said = |row: &TaskInfo| row.error.clone().unwrap_or_default();
    let twice = of(twice.to_string());
    let states: Vec<_> = twice.iter().map(|row| (row.attempt, row.state)).collect();
    let failed = TaskState::Failed;
    assert_eq!(states, [(0, failed), (1, failed), (2, TaskState::Finished)]);
    assert!(twice[..2].iter().all(|row| said(row).contains("its process ended")), "{twice:#?}");
    assert!(twice.iter().all(|row| row.name.ends_with("is_killed")), "{twice:#?}");
    let workers: HashSet<_> = twice.iter().map(|row| row.worker.expect("one")).collect();
    assert_eq!(workers.len(), 3, "each ran in a process of its own: {twice:#?}");
    // The last attempt is told as what became of the task, and not a second time.
    let thrice = of(thrice.to_string());
    assert!(thrice.iter().all(|row| row.state == failed && row.name == "thrice"), "{thrice:#?}");
    assert_eq!(thrice.len(), 3);
    assert!(said(thrice[2]).contains("SIGKILL"), "{thrice:#?}");
    let once = of(once.to_string());
    assert_eq!(once.len(), 2);
    assert!(said(once[0]).contains("was run again"), "{once:#?}");

    let counted = session.inspector().count_tasks().expect("it answers");
    let mut counted: Vec<_> = counted
        .iter()
        .map(|count| (count.name.rsplit(':').next().unwrap_or_default(), count.state, count.tasks))
        .collect();
    counted.sort_unstable_by_key(|&(name, state, _)| (name, state.name()));
    let finished = TaskState::Finished;
    assert_eq!(
        counted,
        [
            ("fails_once", failed, 1),
            ("fails_once", finished, 1),
            ("is_killed", failed, 2),
            ("is_killed", finished, 1),
            ("thrice", failed, 3),
        ]
    );
    session.end();
}

#[test]
fn failures_are_told_once_and_those_of_calls_by_a_direct_line_as_well() {
    const CALLS: usize = 40;
    let session = Session::new();
    let _entered = session.runtime.enter();
    let failed = rustyray::block_on(always_fails_remote::remote()).expect("submitted");
    assert!(failed.get_blocking().is_err());
    let calls = rustyray::block_on(calls_remote::remote(CALLS)).expect("submitted");
    assert_eq!(calls.get_blocking().expect("it runs"), CALLS);
    let rows = session.wait_for(|rows| rows.iter().filter(has_ended).count() == 2 + 2 + CALLS);
    let failed = |name: &'static str| {
        let of = rows.iter().filter(move |row| row.name.ends_with(name));
        of.filter(|row| row.state == TaskState::Failed && row.started_ns.is_some())
    };
    let mut attempts: Vec<_> = failed("always_fails").map(|row| row.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 1], "{rows:#?}");
    assert_eq!(failed("Clerk::refuses").count(), CALLS, "{rows:#?}");
    let by_line = failed("Clerk::refuses").filter(|row| row.id.starts_with("call-"));
    assert!(by_line.count() > 0, "no call went by a direct line, which was to be tried too");
    session.end();
}

#[test]
fn a_task_that_runs_is_told_with_the_time_at_which_it_began() {
    let session = Session::new();
    let _entered = session.runtime.enter();
    let (first, go) = (session.path("first"), session.path("go"));
    let text = |path: &Path| path.display().to_string();
    let before = rustyray::block_on(lingers_remote::remote(text(&first))).expect("submitted");
    std::fs::write(&first, "").expect("it can be written");
    before.get_blocking().expect("it ends");
    let running = rustyray::block_on(lingers_remote::remote(text(&go))).expect("submitted");
    let is_it = |row: &&TaskInfo| row.returns.as_ref() == Some(&running.to_string());
    let rows = session.wait_for(|rows| {
        rows.iter().any(|row| is_it(&row) && row.started_ns.is_some())
            && rows.iter().any(|row| row.state == TaskState::Finished)
    });
    let row = rows.iter().find(is_it).expect("it is there");
    assert_eq!((row.state, row.duration_ns), (TaskState::Running, None), "{row:#?}");
    let ended = rows.iter().find(|row| row.state == TaskState::Finished).expect("it is there");
    assert!(row.started_ns >= ended.started_ns, "{rows:#?}");
    // And it keeps that time when it has ended.
    std::fs::write(&go, "").expect("it can be written");
    running.get_blocking().expect("it ends");
    let ended = session.wait_for(|rows| rows.iter().filter(has_ended).count() == 2);
    let ended = ended.iter().find(is_it).expect("it is there");
    assert!(ended.started_ns == row.started_ns, "{ended:#?} {row:#?}");
    session.end();
}
