//! What users rely on when tasks are to end early, to be run again, or to know where they run.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustyray::prelude::*;

const FORCE: CancelOptions = CancelOptions { force: true, recursive: false };
const RECURSIVE: CancelOptions = CancelOptions { force: false, recursive: true };

/// Says that it has begun by making the file, and then works until it is cancelled.
#[rustyray::remote]
fn works_until_cancelled(begun: String, ended: String) -> u64 {
    touch(&begun);
    while !rustyray::context().is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    touch(&ended);
    7
}

/// Never looks.
#[rustyray::remote]
fn is_stuck(begun: String) -> u64 {
    touch(&begun);
    loop {
        std::thread::park();
    }
}

#[rustyray::remote]
async fn waits_for_ever(begun: String, dropped: String) -> u64 {
    struct OnDrop(String);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            touch(&self.0);
        }
    }
    let _guard = OnDrop(dropped);
    touch(&begun);
    std::future::pending().await
}

/// Waits, blocking, for something that never comes.
#[rustyray::remote]
fn blocks_on(inner: Vec<ObjectRef<u64>>, begun: String, ended: String) -> rustyray::Result<u64> {
    touch(&begun);
    let value = inner[0].get_blocking();
    touch(&ended);
    value
}

#[rustyray::remote]
async fn spawns_and_waits(begun: String, ended: String) -> rustyray::Result<u64> {
    let child = works_until_cancelled_remote::remote(begun, ended).await?;
    child.get().await
}

#[rustyray::remote]
async fn cancels(inner: Vec<ObjectRef<u64>>) -> rustyray::Result<()> {
    inner[0].cancel(CancelOptions::default()).await
}

#[rustyray::remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[rustyray::remote(timeout_ms = 100)]
fn overtime(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

#[rustyray::remote(timeout_ms = 100)]
async fn overtime_later(ms: u64) -> u32 {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    std::process::id()
}

/// Takes too long on its first attempts.
#[rustyray::remote(timeout_ms = 200, retry_exceptions, max_retries = 5)]
fn slow_at_first(attempts: u32) -> u32 {
    let attempt = rustyray::context().attempt;
    if attempt < attempts {
        std::thread::sleep(Duration::from_secs(600));
    }
    attempt
}

#[rustyray::remote]
fn pid() -> u32 {
    std::process::id()
}

#[rustyray::remote(max_retries = 2, retry_exceptions)]
fn fails_at_first(attempts: u32, how: String) -> Result<u32, String> {
    let attempt = rustyray::context().attempt;
    if attempt >= attempts {
        return Ok(attempt);
    }
    match how.as_str() {
        "error" => Err(format!("attempt {attempt}")),
        "panic" => panic!("attempt {attempt}"),
        _ => std::process::abort(),
    }
}

/// Dies more often than any default allows.
#[rustyray::remote(max_retries = -1)]
fn dies_often(times: u32) -> u32 {
    let attempt = rustyray::context().attempt;
    if attempt < times {
        std::process::abort();
    }
    attempt
}

/// Everything that a task can know of itself, as text.
#[rustyray::remote(num_cpus = 0.5, resources(tpu = 0.25), memory = "1MiB")]
fn knows() -> (Vec<String>, f64, u64, Vec<(String, f64)>) {
    let context = rustyray::context();
    let known = vec![
        format!("{:?}", context.node_id.is_some()),
        format!("{:?}", context.job_id),
        context.task_name.clone().expect("a task has a name"),
        format!("{:?}", context.task_id.is_some()),
        format!("{}", context.worker_id == std::process::id()),
        format!("{}", context.in_actor()),
        format!("{}", context.is_cancelled()),
    ];
    let resources = context.resources;
    (known, resources.cpus, resources.memory_bytes, resources.custom)
}

#[rustyray::remote]
async fn knows_of_its_child() -> rustyray::Result<Option<u32>> {
    job_remote::remote().await?.get().await
}

#[rustyray::remote]
fn job() -> Option<u32> {
    rustyray::context().job_id
}

fn touch(path: &str) {
    std::fs::write(path, "").expect("the directory is there");
}

struct Marks(tempfile::TempDir);

impl Marks {
    fn new() -> Marks {
        Marks(tempfile::tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    fn wait(&self, name: &str) {
        wait_for(&self.at(name));
    }
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} was not made", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn assert_cancelled<T: std::fmt::Debug>(outcome: rustyray::Result<T>, name: &str) {
    match outcome {
        Err(Error::TaskCancelled { task }) => assert!(task.ends_with(name), "{task}"),
        other => panic!("expected `{name}` to be cancelled, got {other:?}"),
    }
}

#[rustyray::test(num_cpus = 1)]
async fn a_running_task_is_asked_to_stop() -> rustyray::Result<()> {
    let marks = Marks::new();
    let task = works_until_cancelled_remote::remote(marks.text("begun"), marks.text("ended"));
    let task = task.await?;
    marks.wait("begun");
    let downstream = add_remote::remote(&task, 1).await?;
    task.cancel(CancelOptions::default()).await?;
    assert_cancelled(task.get().await, "::works_until_cancelled");
    let Err(Error::DependencyFailed { cause, .. }) = downstream.get().await else {
        panic!("what depends on it should fail")
    };
    assert!(matches!(*cause, Error::TaskCancelled { .. }), "{cause:?}");
    marks.wait("ended");
    // Cancelling again, and what has ended, is nothing.
    task.cancel(CancelOptions::default()).await?;
    let done = add_remote::remote(1, 2).await?;
    assert_eq!(done.get().await?, 3);
    done.cancel(FORCE).await?;
    assert_eq!(done.get().await?, 3);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn an_async_task_is_dropped_where_it_waits() -> rustyray::Result<()> {
    let marks = Marks::new();
    let task = waits_for_ever_remote::remote(marks.text("begun"), marks.text("dropped")).await?;
    marks.wait("begun");
    task.cancel(CancelOptions::default()).await?;
    assert_cancelled(task.get().await, "::waits_for_ever");
    marks.wait("dropped");
    assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3);
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_task_that_blocks_in_get_is_woken() -> rustyray::Result<()> {
    let marks = Marks::new();
    let never = is_stuck_remote::remote(marks.text("stuck")).await?;
    let inner = vec![never.clone()];
    let task = blocks_on_remote::remote(inner, marks.text("begun"), marks.text("ended")).await?;
    marks.wait("stuck");
    marks.wait("begun");
    task.cancel(CancelOptions::default()).await?;
    assert_cancelled(task.get().await, "::blocks_on");
    marks.wait("ended");
    never.cancel(FORCE).await?;
    assert_cancelled(never.get().await, "::is_stuck");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn what_waits_or_is_queued_never_begins() -> rustyray::Result<()> {
    let marks = Marks::new();
    let stuck = is_stuck_remote::remote(marks.text("stuck")).await?;
    marks.wait("stuck");
    let queued = works_until_cancelled_remote::remote(marks.text("a"), marks.text("b")).await?;
    let waiting = add_remote::remote(&stuck, 1).await?;
    queued.cancel(CancelOptions::default()).await?;
    waiting.cancel(CancelOptions::default()).await?;
    assert_cancelled(queued.get().await, "::works_until_cancelled");
    assert_cancelled(waiting.get().await, "::add");
    // Its worker is killed and another one takes its place; the task is not run again.
    stuck.cancel(FORCE).await?;
    assert_cancelled(stuck.get().await, "::is_stuck");
    assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3);
    assert!(!marks.at("a").exists(), "a cancelled task was begun");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn children_are_cancelled_when_asked() -> rustyray::Result<()> {
    let marks = Marks::new();
    let task = spawns_and_waits_remote::remote(marks.text("begun"), marks.text("ended")).await?;
    marks.wait("begun");
    task.cancel(RECURSIVE).await?;
    assert_cancelled(task.get().await, "::spawns_and_waits");
    marks.wait("ended");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_task_cancels_another() -> rustyray::Result<()> {
    let marks = Marks::new();
    let task = works_until_cancelled_remote::remote(marks.text("begun"), marks.text("ended"));
    let task = task.await?;
    marks.wait("begun");
    cancels_remote::remote(vec![task.clone()]).await?.get().await?;
    assert_cancelled(task.get().await, "::works_until_cancelled");
    Ok(())
}

#[rustyray::test(num_cpus = 4)]
async fn a_hundred_stuck_tasks_are_cancelled() -> rustyray::Result<()> {
    let marks = Marks::new();
    let mut tasks = Vec::new();
    for at in 0..100 {
        tasks.push(is_stuck_remote::remote(marks.text(&at.to_string())).await?);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while !tasks.is_empty() && std::fs::read_dir(marks.0.path()).expect("there").count() < 4 {
        assert!(Instant::now() < deadline, "four run at a time");
        std::thread::sleep(Duration::from_millis(2));
    }
    for task in &tasks {
        task.cancel(FORCE).await?;
    }
    for task in &tasks {
        assert_cancelled(task.get().await, "::is_stuck");
    }
    assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_task_that_takes_too_long_is_ended() -> rustyray::Result<()> {
    let worker = pid_remote::remote().await?.get().await?;
    // An async task is dropped, and its worker goes on.
    let error = overtime_later_remote::remote(600_000).await?.get().await.expect_err("too long");
    let Error::TaskTimedOut { task, timeout_ms: 100 } = &error else { panic!("{error:?}") };
    assert!(task.ends_with("::overtime_later"), "{task}");
    assert_eq!(pid_remote::remote().await?.get().await?, worker);
    // Code that is stuck takes its worker with it, and nothing else.
    let stuck = overtime_remote::remote(600_000).await?;
    let behind = pid_remote::remote().await?;
    let error = stuck.get().await.expect_err("too long");
    assert!(matches!(error, Error::TaskTimedOut { timeout_ms: 100, .. }), "{error:?}");
    assert_ne!(behind.get().await?, worker);
    // In time.
    assert_eq!(overtime_remote::remote(1).await?.get().await?, 1);
    assert_eq!(overtime_remote::options().timeout_ms(60_000).remote(300).await?.get().await?, 300);
    Ok(())
}

#[rustyray::actor]
struct Tenant;

#[rustyray::actor_methods]
impl Tenant {
    pub fn new() -> Self {
        Tenant
    }

    pub fn is_in(&self) -> bool {
        true
    }
}

/// The worker of a stuck task ends a moment after its error can be seen, and may be handed an actor meanwhile.
#[rustyray::test(num_cpus = 1)]
async fn an_actor_made_right_after_a_timeout_is_not_lost_with_the_stuck_worker()
-> rustyray::Result<()> {
    for _ in 0..5 {
        let stuck = overtime_remote::remote(600_000).await?;
        assert!(matches!(stuck.get().await, Err(Error::TaskTimedOut { .. })));
        let tenant = Tenant::options().max_restarts(0).remote().await?;
        assert!(tenant.is_in().await?.get().await?);
    }
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn the_time_counts_for_each_attempt() -> rustyray::Result<()> {
    assert_eq!(slow_at_first_remote::remote(2).await?.get().await?, 2);
    let error =
        slow_at_first_remote::options().max_retries(1).remote(9).await?.get().await.expect_err("");
    assert!(matches!(error, Error::TaskTimedOut { timeout_ms: 200, .. }), "{error:?}");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn errors_and_panics_are_retried_where_asked() -> rustyray::Result<()> {
    for how in ["error", "panic", "abort"] {
        assert_eq!(fails_at_first_remote::remote(2, how).await?.get().await?, 2, "{how}");
        let spent = fails_at_first_remote::remote(3, how).await?.get().await.expect_err("spent");
        let attempt = match &spent {
            Error::TaskFailed { attempt, message, .. } => {
                assert_eq!((how, message.as_str()), ("error", "attempt 2"));
                attempt
            }
            Error::TaskPanicked { attempt, message, .. } => {
                assert_eq!((how, message.as_str()), ("panic", "attempt 2"));
                attempt
            }
            Error::WorkerCrashed { attempt, .. } => {
                assert_eq!(how, "abort");
                attempt
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(*attempt, 2, "{how}");
    }
    // Without being asked an error is the result.
    let once = fails_at_first_remote::options().retry_exceptions(false).remote(1, "error").await?;
    let error = once.get().await.expect_err("it fails");
    assert!(matches!(error, Error::TaskFailed { attempt: 0, .. }), "{error:?}");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_task_may_be_run_again_without_end() -> rustyray::Result<()> {
    assert_eq!(dies_often_remote::remote(8).await?.get().await?, 8);
    Ok(())
}

#[rustyray::test(num_cpus = 2, resources(tpu = 1))]
async fn a_task_knows_where_it_runs() -> rustyray::Result<()> {
    let (known, cpus, memory_bytes, custom) = knows_remote::remote().await?.get().await?;
    let named = knows_remote::options().name("a name of its own").remote().await?.get().await?.0;
    let expected = ["true", "Some(1)", "?", "true", "true", "false", "false"];
    for (at, (known, expected)) in known.iter().zip(expected).enumerate() {
        assert!(known == expected || (at == 2 && known.ends_with("::knows")), "{known} at {at}");
    }
    assert_eq!(named[2], "a name of its own");
    assert_eq!((cpus, memory_bytes), (0.5, 1 << 20));
    assert_eq!(custom, [("tpu".to_owned(), 0.25)]);
    assert_eq!(knows_of_its_child_remote::remote().await?.get().await?, Some(1));
    // An error says the same name.
    let failing = fails_at_first_remote::options().max_retries(0).name("mine");
    let error = failing.remote(1, "error").await?.get().await.expect_err("it fails");
    assert!(matches!(&error, Error::TaskFailed { task, .. } if task == "mine"), "{error:?}");
    let here = rustyray::context();
    assert_eq!((here.job_id, here.task_id, here.in_actor()), (Some(1), None, false));
    Ok(())
}

#[rustyray::remote(num_gpus = 0.5)]
fn gpus() -> (Vec<u32>, f64, String) {
    let resources = rustyray::context().resources;
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_else(|_| "unset".into());
    std::thread::sleep(Duration::from_millis(20));
    (resources.gpu_ids, resources.gpus, visible)
}

#[rustyray::test(num_cpus = 4, num_gpus = 2)]
async fn gpus_are_given_out_by_name() -> rustyray::Result<()> {
    let mut halves = Vec::new();
    for _ in 0..8 {
        halves.push(gpus_remote::options().num_cpus(0.1).remote().await?);
    }
    for (ids, gpus, visible) in rustyray::get_all(&halves).await? {
        assert!(ids == [0] || ids == [1], "{ids:?}");
        assert_eq!((gpus, visible), (0.5, ids[0].to_string()));
    }
    let (mut ids, gpus, visible) =
        gpus_remote::options().num_gpus(2.0).remote().await?.get().await?;
    ids.sort_unstable();
    assert_eq!((ids, gpus), (vec![0, 1], 2.0));
    assert!(visible == "0,1" || visible == "1,0", "{visible}");
    // Who asks for none gets none, also where others had some.
    let (ids, gpus, visible) = gpus_remote::options().num_gpus(0.0).remote().await?.get().await?;
    assert_eq!((ids, gpus), (vec![], 0.0));
    assert_eq!(visible, "");
    Ok(())
}

/// The variables that this process began with.
#[rustyray::remote]
fn first_variables() -> Vec<u8> {
    std::fs::read("/proc/self/environ").expect("readable")
}

/// C code on other threads may read the environment at any time: what names gpus is not added to it later.
#[rustyray::test(num_cpus = 1, num_gpus = 1)]
async fn a_worker_begins_with_a_name_for_gpus_and_none_in_it() -> rustyray::Result<()> {
    let variables = first_variables_remote::remote().await?.get().await?;
    let mut named = variables.split(|&byte| byte == 0);
    assert!(named.any(|variable| variable == b"CUDA_VISIBLE_DEVICES="));
    let (ids, _, visible) = gpus_remote::options().num_gpus(1.0).remote().await?.get().await?;
    assert_eq!((ids, visible), (vec![0], "0".into()));
    Ok(())
}

// --- on top of one that waits ---------------------------------------------------------------------------------

/// Holds its worker until the file is there.
#[rustyray::remote]
fn waits_for(path: String) -> u64 {
    while !Path::new(&path).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    1
}

/// Says who it is and how often it was begun, and is stuck.
#[rustyray::remote]
fn is_stuck_after(_gate: u64, begun: String) -> u64 {
    let runs = std::fs::read_to_string(&begun).unwrap_or_default().len();
    // Whoever sees the file sees all of it.
    let new = format!("{begun}.new");
    std::fs::write(&new, ".".repeat(runs + 1)).expect("the directory is there");
    std::fs::rename(new, &begun).expect("it is there");
    loop {
        std::thread::park();
    }
}

#[rustyray::remote]
fn touches(path: String) -> u64 {
    touch(&path);
    2
}

/// Submits one more, which cannot run as long as this one does, and works until it is cancelled.
#[rustyray::remote]
fn spawns_and_works(later: String, begun: String, ended: String) -> rustyray::Result<u64> {
    let _later = rustyray::block_on(touches_remote::remote(later))?;
    touch(&begun);
    while !rustyray::context().is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    touch(&ended);
    Ok(3)
}

/// Waits, blocking, for a task of its own.
#[rustyray::remote]
fn waits_for_its_own(later: String, begun: String, ended: String) -> rustyray::Result<u64> {
    rustyray::block_on(spawns_and_works_remote::remote(later, begun, ended))?.get_blocking()
}

#[rustyray::remote]
fn waits_for_its_stuck(begun: String) -> rustyray::Result<u64> {
    rustyray::block_on(is_stuck_after_remote::remote(1, begun))?.get_blocking()
}

fn with_workers(workers: usize, body: impl AsyncFnOnce() -> rustyray::Result<()>) {
    let builder = rustyray::Builder::new().num_cpus(1.0).max_workers(workers).visible(false);
    let builder = builder.shutdown_grace(Duration::from_millis(200));
    rustyray::block_on(async {
        builder.start().await?;
        body().await?;
        rustyray::shutdown().await
    })
    .expect("it works");
}

fn with_one_worker(body: impl AsyncFnOnce() -> rustyray::Result<()>) {
    with_workers(1, body);
}

/// Waits for any of these and for one of its own, blocking, and gives the sum of what has come.
#[rustyray::remote]
fn waits_for_any(of: Vec<ObjectRef<u64>>) -> rustyray::Result<u64> {
    rustyray::block_on(async {
        let mut of = of;
        of.push(add_remote::remote(3, 4).await?);
        let (come, _) = rustyray::wait(of, 1, None).await?;
        Ok(rustyray::get_all(&come).await?.into_iter().sum())
    })
}

/// Calls the actor by a line, with something that has no worker.
#[rustyray::remote]
fn calls_with_its_own(host: HostHandle) -> rustyray::Result<u64> {
    rustyray::block_on(async {
        for number in 0..60 {
            assert_eq!(host.twice(number).await?.get().await?, 2 * number);
        }
        host.twice(add_remote::remote(3, 4).await?).await?.get().await
    })
}

/// Waits for tasks beside other calls.
#[rustyray::actor(num_cpus = 0)]
struct Host;

#[rustyray::actor_methods]
impl Host {
    pub fn new() -> Self {
        Host
    }

    pub async fn adds(&self, one: u64, other: u64) -> rustyray::Result<u64> {
        add_remote::remote(one, other).await?.get().await
    }

    pub fn twice(&self, number: u64) -> u64 {
        2 * number
    }

    pub async fn waits_for(&self, path: String) -> u64 {
        while !Path::new(&path).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        1
    }

    pub async fn sum(&self, of: Vec<ObjectRef<u64>>) -> rustyray::Result<u64> {
        Ok(rustyray::get_all(&of).await?.into_iter().sum())
    }
}

#[test]
fn what_an_async_actor_waits_for_runs_on_top_of_it_where_there_is_no_other_worker() {
    with_one_worker(async || {
        let host = Host::options().max_concurrency(4).remote().await?;
        for round in 0..20 {
            assert_eq!(host.adds(round, 1).await?.get().await?, round + 1);
        }
        // It waits for these before they can run.
        let marks = Marks::new();
        let gate = host.waits_for(marks.text("gate")).await?;
        let one = add_remote::remote(&gate, 1).await?;
        let other = add_remote::remote(&one, 1).await?;
        let sum = host.sum(vec![one, other]).await?;
        assert_eq!(host.adds(1, 1).await?.get().await?, 2);
        touch(&marks.text("gate"));
        assert_eq!(sum.get().await?, 5);
        Ok(())
    });
}

/// How long something may take that does happen: more than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn of_many_that_are_waited_for_any_may_run_on_top() {
    with_workers(2, async || {
        let host = Host::options().max_concurrency(40).remote().await?;
        let marks = Marks::new();
        // More than it names when it goes to sleep, and none comes before it has ended.
        let mut stuck = Vec::new();
        for _ in 0..30 {
            stuck.push(host.waits_for(marks.text("gate")).await?);
        }
        let any = waits_for_any_remote::remote(stuck.clone()).await?;
        assert_eq!(any.get_timeout(PATIENCE).await?, 7);
        touch(&marks.text("gate"));
        assert_eq!(rustyray::get_all(&stuck).await?, [1; 30]);
        Ok(())
    });
}

/// Waits for the next one, with much on its stack: how many there were.
#[rustyray::remote(max_retries = 0)]
fn goes_down(further: u64) -> rustyray::Result<u64> {
    let ballast = std::hint::black_box([1_u8; 256 << 10]);
    let below = match further.checked_sub(1) {
        Some(further) => rustyray::block_on(goes_down_remote::remote(further))?.get_blocking()?,
        None => 0,
    };
    Ok(below + u64::from(std::hint::black_box(&ballast)[7]))
}

#[test]
fn more_run_on_top_of_each_other_than_a_stack_has_room_for() {
    with_one_worker(async || {
        // Four times the stack that is usual.
        let deep = goes_down_remote::remote(127).await?;
        assert_eq!(deep.get_timeout(PATIENCE).await?, 128);
        Ok(())
    });
}

#[test]
fn what_a_call_on_a_line_waits_for_runs_on_top_of_the_actor() {
    with_workers(2, async || {
        let host = Host::remote().await?;
        let task = calls_with_its_own_remote::remote(&host).await?;
        assert_eq!(task.get_timeout(PATIENCE).await?, 14);
        Ok(())
    });
}

#[test]
fn what_runs_on_top_is_cancelled_by_force_and_what_waits_below_runs_again() {
    with_one_worker(async || {
        let marks = Marks::new();
        let gate = waits_for_remote::remote(marks.text("gate")).await?;
        // It becomes ready after the one that waits for it has begun, and there is no other worker.
        let stuck = is_stuck_after_remote::remote(&gate, marks.text("begun")).await?;
        let below = blocks_on_remote::remote(
            vec![stuck.clone()],
            marks.text("below"),
            marks.text("below ended"),
        )
        .await?;
        touch(&marks.text("gate"));
        marks.wait("begun");
        assert!(marks.at("below").exists(), "it does not run on top");
        stuck.cancel(FORCE).await?;
        assert_cancelled(stuck.get().await, "::is_stuck_after");
        // It lost its worker, ran again, and was told.
        let error = below.get().await.expect_err("what it waits for was cancelled");
        assert!(error.to_string().contains("cancelled"), "{error}");
        assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3);
        assert_eq!(std::fs::read_to_string(marks.at("begun")).expect("it was begun"), ".");
        Ok(())
    });
}

#[test]
fn what_runs_on_top_is_cancelled_with_those_it_was_submitted_by_and_those_it_submitted() {
    with_one_worker(async || {
        let marks = Marks::new();
        let (later, begun, ended) = (marks.text("later"), marks.text("begun"), marks.text("ended"));
        let task = waits_for_its_own_remote::remote(later, begun, ended).await?;
        marks.wait("begun");
        task.cancel(RECURSIVE).await?;
        marks.wait("ended");
        task.get().await.expect_err("it was cancelled");
        // There is one worker, and tasks of a kind run in turn: had it not been cancelled, it would run before.
        assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3);
        assert!(!marks.at("later").exists(), "what it submitted was run");

        let task = waits_for_its_stuck_remote::remote(marks.text("stuck")).await?;
        marks.wait("stuck");
        task.cancel(CancelOptions { force: true, recursive: true }).await?;
        assert_cancelled(task.get().await, "::waits_for_its_stuck");
        assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3);
        assert_eq!(std::fs::read_to_string(marks.at("stuck")).expect("it was begun"), ".");
        Ok(())
    });
}
