//! What a driver can do it can do from wherever it is: attached to a node of another process, within a task, within
//! an actor. One body of each kind runs in all three places.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustyray::{
    ActorEnd, Bundle, PlacementGroup, PlacementStrategy,
    prelude::*,
    state::{Inspector, Listing},
};

const GENTLY: CancelOptions = CancelOptions { force: false, recursive: false };
const FORCE: CancelOptions = CancelOptions { force: true, recursive: false };
const RECURSIVE: CancelOptions = CancelOptions { force: false, recursive: true };
const PACK: PlacementStrategy = PlacementStrategy::Pack;

#[rustyray::remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[rustyray::remote]
fn works_until_cancelled(begun: String, ended: String) -> u64 {
    std::fs::write(begun, "").expect("it can be written");
    while !rustyray::context().is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(ended, "").expect("it can be written");
    7
}

#[rustyray::remote]
fn is_stuck(begun: String) -> u64 {
    std::fs::write(begun, "").expect("it can be written");
    loop {
        std::thread::park();
    }
}

#[rustyray::remote]
async fn spawns_and_waits(begun: String, ended: String) -> rustyray::Result<u64> {
    works_until_cancelled_remote::remote(begun, ended).await?.get().await
}

/// Its child does not begin while there is no cpu.
#[rustyray::remote(num_cpus = 0)]
async fn waits_for_its_turn(submitted: String) -> rustyray::Result<u64> {
    let child = add_remote::remote(1, 2).await?;
    std::fs::write(submitted, "").expect("it can be written");
    child.get().await
}

#[rustyray::remote(timeout_ms = 20, max_retries = 0)]
fn overtime() -> u64 {
    loop {
        std::thread::park();
    }
}

/// Submits a task that asks for a cpu.
#[rustyray::remote(num_cpus = 0)]
async fn submits() -> rustyray::Result<u64> {
    add_remote::options().num_cpus(1.0).remote(1, 2).await?.get().await
}

struct Marks<'a>(&'a Path);

impl Marks<'_> {
    fn text(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    fn wait(&self, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.0.join(name).exists() {
            assert!(Instant::now() < deadline, "`{name}` does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn assert_cancelled<T: std::fmt::Debug>(outcome: rustyray::Result<T>, name: &str) {
    match outcome {
        Err(Error::TaskCancelled { task }) => assert!(task.ends_with(name), "{task}"),
        other => panic!("expected `{name}` to be cancelled, got {other:?}"),
    }
}

/// Cancels what waits, what runs, by force and with its children, and lets time run out. Wants two cpus.
#[rustyray::remote(num_cpus = 0, max_retries = 0)]
async fn cancels(directory: String) -> rustyray::Result<()> {
    let marks = Marks(Path::new(&directory));
    let stuck = is_stuck_remote::options().num_cpus(2.0).remote(marks.text("stuck")).await?;
    marks.wait("stuck");
    let waiting = add_remote::remote(&stuck, 1).await?;
    let queued = works_until_cancelled_remote::remote(marks.text("a"), marks.text("b")).await?;
    let timeout = waiting.get_timeout(Duration::from_millis(10)).await;
    assert!(matches!(timeout, Err(Error::GetTimeout { .. })), "{timeout:?}");
    waiting.cancel(GENTLY).await?;
    queued.cancel(GENTLY).await?;
    assert_cancelled(waiting.get().await, "::add");
    assert_cancelled(queued.get().await, "::works_until_cancelled");
    let parent = waits_for_its_turn_remote::remote(marks.text("submitted")).await?;
    marks.wait("submitted");
    parent.cancel(RECURSIVE).await?;
    assert_cancelled(parent.get().await, "::waits_for_its_turn");
    stuck.cancel(FORCE).await?;
    assert_cancelled(stuck.get().await, "::is_stuck");

    let (begun, ended) = (marks.text("begun"), marks.text("ended"));
    let running = works_until_cancelled_remote::remote(begun, ended).await?;
    marks.wait("begun");
    running.cancel(GENTLY).await?;
    assert_cancelled(running.get().await, "::works_until_cancelled");
    marks.wait("ended");

    let (begun, ended) = (marks.text("child begun"), marks.text("child ended"));
    let parent = spawns_and_waits_remote::remote(begun, ended).await?;
    marks.wait("child begun");
    parent.cancel(RECURSIVE).await?;
    assert_cancelled(parent.get().await, "::spawns_and_waits");
    marks.wait("child ended");

    let error = overtime_remote::remote().await?.get().await.expect_err("it takes too long");
    assert!(matches!(error, Error::TaskTimedOut { timeout_ms: 20, .. }), "{error:?}");
    assert!(!Path::new(&marks.text("a")).exists(), "a cancelled task was begun");
    assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3);
    Ok(())
}

/// Creates groups, waits for them, uses them, finds them by name, and removes them. Wants two cpus.
#[rustyray::remote(num_cpus = 0, max_retries = 0)]
async fn reserves() -> rustyray::Result<()> {
    let all = || [Bundle::new().num_cpus(2.0)];
    let group = PlacementGroup::options().name("all").create(all(), PACK).await?;
    group.ready().await?;
    assert_eq!(PlacementGroup::get("all").await?, group);
    let second = PlacementGroup::create(all(), PACK).await?;
    assert!(!second.wait(Duration::from_millis(10)).await?, "everything is reserved");
    let outside = add_remote::remote(1, 1).await?;
    let inside = add_remote::options().placement_group(&group, 0).remote(20, 2).await?;
    assert_eq!(inside.get().await?, 22);
    let captured = submits_remote::options().placement_group(&group, 0).capture_child_tasks(true);
    assert_eq!(captured.remote().await?.get().await?, 3);
    assert!(!outside.is_ready(), "it ran on what is reserved for others");
    group.remove().await?;
    // Another process learns it where it asks for the result, the node's own at once.
    let late = match add_remote::options().placement_group(&group, 0).remote(1, 2).await {
        Ok(late) => late.get().await,
        Err(error) => Err(error),
    };
    assert!(matches!(late, Err(Error::PlacementGroupRemoved { .. })), "{late:?}");
    assert!(PlacementGroup::get("all").await.is_err());
    second.ready().await?;
    second.remove().await?;
    assert_eq!(outside.get().await?, 2);
    let never = PlacementGroup::create([Bundle::new().num_cpus(3.0)], PACK).await;
    assert!(matches!(never, Err(Error::Unschedulable { .. })), "{never:?}");
    Ok(())
}

#[rustyray::actor(num_cpus = 0)]
struct Deputy;

#[rustyray::actor_methods]
impl Deputy {
    pub fn new() -> Self {
        Deputy
    }

    pub async fn cancels(&mut self, directory: String) -> rustyray::Result<()> {
        cancels(directory).await
    }

    pub async fn reserves(&mut self) -> rustyray::Result<()> {
        reserves().await
    }

    pub fn rests(&self) {}
}

/// Calls actors, by way of the node and by a line, lets go of them, and waits for their end.
#[rustyray::remote(num_cpus = 0)]
async fn outlives() -> rustyray::Result<()> {
    for calls in [1, 60] {
        let deputy = Deputy::remote().await?;
        for _ in 0..calls {
            deputy.rests().await?.get().await?;
        }
        let death = deputy.death().await?;
        drop(deputy);
        assert_eq!(death.get().await?.reason, ActorEnd::Unreachable);
    }
    Ok(())
}

/// Reserves all there is, and keeps it.
async fn reserves_for_good() -> rustyray::Result<()> {
    PlacementGroup::create([Bundle::new().num_cpus(2.0)], PACK).await?.ready().await
}

/// Runs `body` in a driver that is attached to a node in this process, with two cpus.
fn attached(body: impl AsyncFnOnce(&Path) -> rustyray::Result<()> + Send) {
    attached_thread(|path| rustyray::block_on(body(path)));
}

/// The same where `body` does not run under this crate's executor.
fn attached_thread(body: impl FnOnce(&Path) -> rustyray::Result<()> + Send) {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let builder = rustyray::Builder::new().num_cpus(2.0).visible(false).socket(&socket);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    std::thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let driver = rustyray::blocking::connect(&socket).expect("it lets us in");
            let outcome = body(directory.path());
            rustyray::block_on(driver.shutdown()).expect("it lets go");
            outcome.expect("all of it works");
        });
        driver.join().expect("no panic");
    });
    // What the driver had is free for others, though its process lives on.
    rustyray::block_on(reserves_for_good()).expect("there is room");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn an_attached_driver_cancels() {
    attached(async |path| cancels(text(path)).await);
}

#[test]
fn a_task_of_an_attached_driver_cancels() {
    attached(async |path| cancels_remote::remote(text(path)).await?.get().await);
}

#[test]
fn an_actor_of_an_attached_driver_cancels() {
    attached(async |path| Deputy::remote().await?.cancels(text(path)).await?.get().await);
}

#[test]
fn an_attached_driver_reserves() {
    attached(async |_| reserves().await);
}

#[test]
fn an_attached_driver_that_lets_go_gives_back_what_it_reserved() {
    attached(async |_| reserves_for_good().await);
}

#[test]
fn a_task_of_an_attached_driver_reserves() {
    attached(async |_| reserves_remote::remote().await?.get().await);
}

#[test]
fn an_actor_of_an_attached_driver_reserves() {
    attached(async |_| Deputy::remote().await?.reserves().await?.get().await);
}

#[test]
fn an_attached_driver_outlives_the_actors_that_it_called() {
    attached(async |_| outlives().await);
}

#[test]
fn an_attached_driver_under_another_executor_outlives_the_actors_that_it_called() {
    attached_thread(|_| {
        let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        tokio.block_on(outlives())
    });
}

#[test]
fn a_task_of_an_attached_driver_outlives_the_actors_that_it_called() {
    attached(async |_| outlives_remote::remote().await?.get().await);
}

/// A node in this process that others attach to.
fn node(socket: &Path) -> rustyray::Runtime {
    let builder = rustyray::Builder::new().num_cpus(2.0).visible(false).socket(socket);
    rustyray::block_on(builder.start()).expect("a node starts")
}

#[test]
fn what_a_driver_asks_for_and_the_machine_has_not_is_listed_as_failed() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let runtime = node(&socket);
    std::thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let driver = rustyray::blocking::connect(&socket).expect("it lets us in");
            let refused = rustyray::block_on(async {
                let options = add_remote::options().num_cpus(99.0).name("vast");
                options.remote(1, 2).await?.get().await
            });
            assert!(matches!(refused, Err(Error::Unschedulable { .. })), "{refused:?}");
            rustyray::block_on(driver.shutdown()).expect("it lets go");
        });
        driver.join().expect("no panic");
    });
    let mut inspector = Inspector::connect(&socket).expect("it listens");
    let failed = inspector.tasks(&Listing::new().filter("state", "failed")).expect("it answers");
    let names: Vec<_> = failed.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["vast"]);
    let error = failed[0].error.as_deref().expect("it is told");
    assert!(error.contains("99"), "{error}");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[test]
fn a_driver_whose_node_ends_is_told_so_and_can_attach_to_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let sockets = ["first", "second"].map(|name| directory.path().join(name));
    let first = node(&sockets[0]);
    std::thread::scope(|scope| {
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let (joined, join) = std::sync::mpsc::channel::<()>();
        let [at_first, at_second] = &sockets;
        let driver = scope.spawn(move || {
            let driver = rustyray::blocking::connect(at_first).expect("it lets us in");
            drop(rustyray::blocking::put(&1_u64).expect("there is room"));
            joined.send(()).expect("somebody waits");
            end.recv().expect("the node ends");
            // Until it is noticed that nobody is at the other end, memory that is there is used.
            let error = loop {
                match rustyray::blocking::put(&1_u64) {
                    Ok(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, Error::NodeEnded { .. }), "{error:?}");
            assert!(error.to_string().contains("first"), "{error}");
            assert!(error.help().is_some_and(|help| help.contains("rustyray::connect")));
            let other = rustyray::blocking::connect(at_second).expect("it lets us in");
            rustyray::blocking::put(&2_u64).expect("there is room");
            for driver in [driver, other] {
                rustyray::block_on(driver.shutdown()).expect("it lets go");
            }
            let error = rustyray::blocking::put(&3_u64).expect_err("it let go itself");
            assert!(matches!(error, Error::NotInitialized { .. }), "{error:?}");
        });
        join.recv().expect("the driver joins");
        rustyray::block_on(first.shutdown()).expect("it ends");
        let second = node(at_second);
        ended.send(()).expect("the driver waits");
        driver.join().expect("no panic");
        rustyray::block_on(second.shutdown()).expect("it ends");
    });
}

#[rustyray::test(num_cpus = 2)]
async fn tasks_and_actors_of_the_node_s_own_driver_do_both() -> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    std::fs::create_dir(&first).expect("it can be made");
    std::fs::create_dir(&second).expect("it can be made");
    cancels_remote::remote(text(&first)).await?.get().await?;
    let deputy = Deputy::remote().await?;
    deputy.cancels(text(&second)).await?.get().await?;
    reserves_remote::remote().await?.get().await?;
    deputy.reserves().await?.get().await
}
