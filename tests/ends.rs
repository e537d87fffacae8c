//! Ends that come at a bad moment: whoever waits is told, and nothing is taken from those who live.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork},
};
use rustyray::prelude::*;

#[rustyray::remote(max_retries = 3)]
fn again(value: u64) -> u64 {
    2 * value
}

#[rustyray::remote(max_retries = 0)]
fn once(value: u64) -> u64 {
    3 * value
}

#[rustyray::actor]
struct Resident;

#[rustyray::actor_methods]
impl Resident {
    pub fn new() -> Self {
        Resident
    }

    pub fn same(&self, value: u64) -> u64 {
        value
    }

    /// Answers nobody until the file is there, and leaves another then.
    pub fn wait_for(&self, file: String, seen: String) {
        for _ in 0..60_000 {
            if Path::new(&file).exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::write(seen, "").expect("it can be written");
    }
}

#[rustyray::remote]
fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// Waits for a task that takes more than a frame of a socket holds.
#[rustyray::remote]
fn length_of_much() -> rustyray::Result<usize> {
    rustyray::block_on(async { length_remote::remote(vec![1; MUCH]).await?.get().await })
}

const MUCH: usize = 17 << 20;

/// For what comes at once, or never.
const LONG: Duration = Duration::from_secs(60);

const SOCKET: &str = "RUSTYRAY_TEST_SOCKET";
const KILL_AT: &str = "RUSTYRAY_STORE_KILL_AT";
const KEPT: &str = "RUSTYRAY_TEST_KEPT";

/// This test binary, started again for one ignored test; killed if the test ends before it.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(scenario: &str, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Process {
        Process::start_as(scenario, |command| command.env(variable, value))
    }

    fn start_as(scenario: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this executable"));
        command.args([scenario, "--exact", "--ignored", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = with(&mut command).spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Process { child, output }
    }

    /// Waits until it says so.
    fn says(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).expect("readable"), 0, "no {word}");
        }
    }

    /// Has it go on.
    fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().expect("piped")).expect("it reads");
    }

    fn ends_well(mut self) {
        self.output.by_ref().lines().for_each(drop);
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In such a process: says so, and waits until it may go on.
fn say_and_wait(word: &str) {
    println!("{word}");
    std::io::stdin().read_line(&mut String::new()).expect("readable");
}

/// Its standard error is a pipe that nobody reads, as after `program 2>&1 | head`.
fn unheard(command: &mut Command) -> &mut Command {
    let (read, write) = std::io::pipe().expect("a pipe");
    drop(read);
    command.stderr(write)
}

fn node(socket: &Path) -> rustyray::Runtime {
    let builder = rustyray::Builder::new().num_cpus(1.0).first_workers(1).visible(false);
    let builder = builder.object_store_memory(64 << 20).shutdown_grace(Duration::from_secs(1));
    rustyray::block_on(builder.socket(socket).start()).expect("a node starts")
}

// --- a worker dies while it seals --------------------------------------------------------------------------

/// Every process of this session dies at its fourth seal, this one too: it seals no more than the three errors.
#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_workers_die_sealing() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = node(&directory.path().join("node.sock"));
    let sealed_again = async |first: u64, count: u64| {
        for value in first..first + count {
            let result = again_remote::remote(value).await?;
            assert_eq!(result.get_timeout(LONG).await?, 2 * value);
        }
        Ok::<_, Error>(())
    };
    rustyray::block_on(async {
        // Each worker makes three of them, and the next one the fourth.
        sealed_again(0, 10).await?;
        let mut value = 0;
        let error = loop {
            match once_remote::remote(value).await?.get_timeout(LONG).await {
                Ok(tripled) => assert_eq!(tripled, 3 * value),
                Err(error) => break error,
            }
            value += 1;
        };
        assert!(matches!(error, Error::WorkerCrashed { .. }) && value < 4, "{value}: {error}");
        // The next worker: what it dies of is the token of an actor.
        sealed_again(0, 3).await?;
        let unborn = Resident::options().max_restarts(0).remote().await?;
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send(rustyray::block_on(unborn.ready())));
        let ready = told.recv_timeout(LONG).expect("it is settled");
        let error = ready.expect_err("it died when it was constructed");
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        // And this one, when it answers.
        let resident = Resident::options().max_restarts(0).remote().await?;
        let mut answers = 0;
        let error = loop {
            match resident.same(answers).await?.get_timeout(LONG).await {
                Ok(answer) => assert_eq!(answer, answers),
                Err(error) => break error,
            }
            answers += 1;
        };
        assert!(matches!(error, Error::ActorDied { .. }) && answers < 4, "{answers}: {error}");
        Ok::<_, Error>(())
    })
    .expect("all of it is settled");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[cfg(debug_assertions)]
#[test]
fn what_a_worker_was_sealing_when_it_died_is_settled() {
    for point in ["seal.claimed:3", "seal.written:3"] {
        Process::start("driver_whose_workers_die_sealing", KILL_AT, point).ends_well();
    }
}

// --- nothing can be waited by ------------------------------------------------------------------------------

#[test]
#[ignore = "a node for the test below"]
fn node_without_descriptors() {
    let socket = std::env::var_os(SOCKET).expect("the parent names the socket");
    let _runtime = node(Path::new(&socket));
    say_and_wait("LISTENS");
    let theirs = rustyray::block_on(Resident::get("theirs")).expect("it has a name");
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it can be had");
    // What is open stays open, and is looked at a few at a time.
    setrlimit(Resource::RLIMIT_NOFILE, 8, hard).expect("less is always possible");
    println!("LIMITED");
    // The driver hangs up, so its actor ends.
    let call = async || theirs.same(1).await?.get().await;
    while rustyray::block_on(call()).is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Wherever there is room.
    for _ in 0..4 {
        std::mem::forget(rustyray::blocking::put(&vec![2_u64; 1 << 20]).expect("there is room"));
    }
    say_and_wait("WRITTEN");
    std::process::exit(0);
}

#[test]
fn what_a_driver_reads_stays_when_its_node_cannot_wait_for_its_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let mut node = Process::start("node_without_descriptors", SOCKET, &socket);
    node.says("LISTENS");
    let driver = rustyray::blocking::connect(&socket).expect("it lets us in");
    let theirs = rustyray::block_on(Resident::options().name("theirs").remote()).expect("made");
    rustyray::block_on(theirs.ready()).expect("it is constructed");
    let numbers = rustyray::blocking::put(&vec![1_u64; 1 << 20]).expect("there is room");
    let view = numbers.view_blocking().expect("it is there");
    node.go();
    node.says("LIMITED");
    // Views can be read as long as this process lives.
    rustyray::block_on(driver.shutdown()).expect("it lets go");
    node.says("WRITTEN");
    assert!(view.iter().all(|number| *number == 1), "somebody else has written there");
    node.go();
    node.ends_well();
}

// --- an actor does not answer ------------------------------------------------------------------------------

#[test]
fn a_driver_lets_go_of_an_actor_that_does_not_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name);
    let text = |name: &str| place(name).to_string_lossy().into_owned();
    let node = node(&place("node.sock"));
    std::thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let driver = rustyray::blocking::connect(place("node.sock")).expect("it lets us in");
            rustyray::block_on(async {
                let resident = Resident::remote().await?;
                // Often enough for a line.
                for value in 0..60 {
                    assert_eq!(resident.same(value).await?.get().await?, value);
                }
                drop(resident.wait_for(text("gate"), text("seen")).await?);
                driver.shutdown().await
            })
            .expect("it lets go");
            assert!(!place("seen").exists(), "it has waited for the answer");
        });
        driver.join().expect("no panic");
    });
    assert_eq!(node.direct_lines(), 1, "the call went by a line");
    std::fs::write(place("gate"), "").expect("it can be written");
    rustyray::block_on(node.shutdown()).expect("it ends");
}

// --- nobody reads what is said -----------------------------------------------------------------------------

#[test]
#[ignore = "a driver for the test below"]
fn driver_that_nobody_hears() {
    let builder = rustyray::Builder::new().max_workers(1).visible(false);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        let resident = Resident::remote().await?;
        assert_eq!(resident.same(1).await?.get().await?, 1);
        let crowded_out = once_remote::remote(7).await?;
        // The node says meanwhile that nothing can run here.
        std::thread::sleep(Duration::from_secs(3));
        drop(resident);
        assert_eq!(crowded_out.get_timeout(LONG).await?, 21);
        Ok::<_, Error>(())
    })
    .expect("the actor ends, and the task has its worker");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[test]
fn a_node_goes_on_when_nobody_reads_its_standard_error() {
    Process::start_as("driver_that_nobody_hears", unheard).ends_well();
}

// --- a program leaves something behind ---------------------------------------------------------------------

/// Ends without removing a group, and with as many references in scope as it is told.
#[test]
#[ignore = "a program for the test below"]
fn program_that_leaves_things() {
    let runtime = rustyray::block_on(rustyray::Builder::new().num_cpus(1.0).visible(false).start())
        .expect("a node starts");
    let kept = std::env::var(KEPT).expect("the parent says how many").parse().expect("a number");
    let kept: Vec<_> = rustyray::block_on(async {
        let all = [rustyray::Bundle::new().num_cpus(1.0)];
        let named = rustyray::PlacementGroup::options().name("left");
        named.create(all, rustyray::PlacementStrategy::Pack).await?.ready().await?;
        (0..kept).map(|number| rustyray::blocking::put(&number)).collect::<Result<_, Error>>()
    })
    .expect("there is room");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
    drop::<Vec<ObjectRef<u64>>>(kept);
}

#[cfg(debug_assertions)]
#[test]
fn what_was_in_scope_at_the_shutdown_is_told_and_a_group_is_not_in_scope() {
    for (kept, told) in [("0", None), ("1", Some("an object")), ("2", Some("2 objects"))] {
        let mut program = Process::start_as("program_that_leaves_things", |command| {
            command.env(KEPT, kept).stderr(Stdio::piped())
        });
        let mut said = String::new();
        let errors = program.child.stderr.take();
        errors.expect("piped").read_to_string(&mut said).expect("text");
        program.ends_well();
        let found = said.lines().find_map(|line| line.strip_prefix("rustyray: references to "));
        let found = found.and_then(|line| line.split_once(" were still in scope"));
        assert_eq!(found.map(|(what, _)| what), told, "{said}");
    }
}

// --- a node dies whose driver waits for answers ------------------------------------------------------------

#[test]
#[ignore = "a node for the test below"]
fn node_that_is_killed() {
    let socket = std::env::var_os(SOCKET).expect("the parent names the socket");
    let directory = Path::new(&socket).with_file_name("spilled");
    let builder = rustyray::Builder::new().first_workers(0).visible(false).socket(&socket);
    let builder = builder.object_store_memory(64 << 20).spill_dir(directory);
    let _runtime = rustyray::block_on(builder.start()).expect("a node starts");
    say_and_wait("LISTENS");
}

#[test]
fn a_driver_is_told_of_each_object_that_went_with_its_node() {
    /// More of what is on disk than questions can be under way.
    const OBJECTS: usize = 160;
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let mut node = Process::start("node_that_is_killed", SOCKET, &socket);
    node.says("LISTENS");
    let driver = rustyray::blocking::connect(&socket).expect("it lets us in");
    let put = |_| rustyray::blocking::put(&vec![1_u64; 128 << 10]).expect("there is room");
    let objects: Vec<_> = (0..OBJECTS).map(put).collect();
    drop(node);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for object in objects {
            let read = object.get_blocking();
            if tell.send(read.is_err()).is_err() {
                break;
            }
        }
    });
    let next = |_| told.recv_timeout(LONG).expect("neither a value nor an error");
    let lost = (0..OBJECTS).map(next).filter(|&lost| lost).count();
    assert!(lost > 64, "{lost} objects were on disk");
    rustyray::block_on(driver.shutdown()).expect("it lets go");
}

// --- more than a frame -------------------------------------------------------------------------------------

#[test]
fn a_task_that_takes_much_runs_on_top_of_the_one_that_waits_for_it() {
    let builder = rustyray::Builder::new().max_workers(1).visible(false);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let much = async { length_of_much_remote::remote().await?.get_timeout(LONG).await };
    assert_eq!(rustyray::block_on(much), Ok(MUCH));
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

// --- the thread that started a worker ----------------------------------------------------------------------

#[test]
fn workers_live_on_when_the_thread_that_has_their_node_gives_way_to_another() {
    let builder = rustyray::Builder::new().num_cpus(1.0).visible(false);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        assert_eq!(length_remote::remote(vec![1; 10]).await?.get_timeout(LONG).await?, 10);
        let workers = runtime.worker_pids();
        let gives_way = || std::thread::sleep(Duration::from_millis(200));
        tokio::spawn(async move { tokio::task::block_in_place(gives_way) })
            .await
            .expect("no panic");
        // The one before ends when it has had nothing to do for ten.
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(runtime.worker_pids(), workers);
        Ok::<_, rustyray::Error>(())
    })
    .expect("all of it runs");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[rustyray::remote(num_returns = "streaming", backpressure = 4)]
fn counts_up(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

// --- a child of the node's own process ends ----------------------------------------------------------------

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_children_shut_down() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = node(&directory.path().join("node.sock"));
    let works = || rustyray::block_on(async { again_remote::remote(4).await?.get().await });
    assert_eq!(works().expect("it runs"), 8);
    let ends: [fn() -> rustyray::Result<()>; 2] =
        [rustyray::blocking::shutdown, || rustyray::block_on(rustyray::shutdown())];
    for end in ends {
        // SAFETY: the child does nothing that the parent's other threads may hold a lock for.
        match unsafe { fork() }.expect("forked") {
            ForkResult::Child => {
                // It may wait for what never comes.
                nix::unistd::alarm::set(LONG.as_secs() as u32);
                let is_over = end().is_ok() && rustyray::Runtime::current().is_err();
                // SAFETY: it ends the process, and nothing of the parent's is torn down.
                unsafe { nix::libc::_exit(i32::from(!is_over)) }
            }
            ForkResult::Parent { child } => {
                let ended = waitpid(child, None).expect("a child");
                assert_eq!(ended, WaitStatus::Exited(child, 0));
            }
        }
        // The parent's node is none the worse.
        assert_eq!(works().expect("it runs"), 8);
    }
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[test]
fn a_child_that_shuts_down_ends() {
    Process::start_as("driver_whose_children_shut_down", |command| command).ends_well();
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_child_starts_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = node(&directory.path().join("node.sock"));
    let works = || rustyray::block_on(async { again_remote::remote(4).await?.get().await });
    assert_eq!(works().expect("it runs"), 8);
    let counted = rustyray::block_on(async { counts_up_remote::remote(100).await });
    let mut items = counted.expect("it is submitted");
    // SAFETY: the child does nothing that the parent's other threads may hold a lock for.
    match unsafe { fork() }.expect("forked") {
        ForkResult::Child => {
            // It may wait for what never comes.
            nix::unistd::alarm::set(LONG.as_secs() as u32);
            let is_told = |error: &rustyray::Error| error.to_string().contains("forked child");
            let mut last = None;
            while let Some(item) = items.next_blocking() {
                last = Some(item);
            }
            let ended =
                last.is_some_and(|item| item.get_blocking().is_err_and(|why| is_told(&why)));
            rustyray::blocking::shutdown().expect("it is over here");
            let builder = rustyray::Builder::new().num_cpus(1.0).first_workers(0).visible(false);
            let started = rustyray::block_on(builder.start());
            let refused = started.as_ref().is_err_and(is_told);
            // SAFETY: it ends the process, and nothing of the parent's is torn down.
            unsafe { nix::libc::_exit(i32::from(!refused) | i32::from(!ended) << 1) }
        }
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None).expect("a child");
            assert_eq!(ended, WaitStatus::Exited(child, 0));
        }
    }
    // The parent's node is none the worse.
    assert_eq!(works().expect("it runs"), 8);
    drop(items);
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[test]
fn a_child_that_starts_a_node_where_its_parent_has_one_is_refused() {
    Process::start_as("driver_whose_child_starts_another", |command| command).ends_well();
}

// --- what users spawn blocks -------------------------------------------------------------------------------

/// Blocks a thread of tokio's for as long as its process lives, and waits beside it.
#[rustyray::remote(max_retries = 0, timeout_ms = 200)]
async fn blocks_beside() {
    tokio::spawn(async {
        loop {
            std::thread::park();
        }
    });
    std::future::pending().await
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_that_blocks_where_it_spawns() {
    let builder = rustyray::Builder::new().num_cpus(1.0).first_workers(0).visible(false);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let (tell, told) = mpsc::channel();
    rustyray::block_on(async {
        drop(tokio::spawn(async move {
            // No worker is there yet: the node has to start one and let it in.
            let sum = again_remote::remote(2).await.expect("submitted").get_blocking();
            let late = blocks_beside_remote::remote().await.expect("submitted").get_blocking();
            let _ = tell.send((sum, late));
        }));
    });
    let (sum, late) = told.recv_timeout(LONG).expect("the node is kept from its work");
    assert_eq!(sum.expect("it is run"), 4);
    assert!(matches!(late, Err(rustyray::Error::TaskTimedOut { .. })), "{late:?}");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

/// Neither the node, in the driver, nor the limit of a task, in its worker.
#[test]
fn a_task_of_tokio_that_blocks_keeps_nothing_else_from_its_work() {
    Process::start_as("driver_that_blocks_where_it_spawns", |command| command).ends_well();
}
