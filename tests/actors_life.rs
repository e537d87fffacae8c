//! How actors come to be, are found, watched, restarted, and end.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{path::PathBuf, time::Duration};

use rustyray::{
    ActorEnd, Death,
    prelude::*,
    rkyv::{
        Archive, Archived, Place,
        rancor::Fallible,
        with::{ArchiveWith, DeserializeWith, SerializeWith},
    },
    state::Inspector,
};

/// A directory of one test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("rustyray-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory can be made");
        Scratch(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn append(path: &str, line: &str) {
    use std::io::Write;
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("it can be opened");
    writeln!(file, "{line}").expect("it can be written");
}

fn lines(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits for a condition that other processes bring about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what} did not come about");
}

/// An actor that writes down what happens to it.
#[rustyray::actor]
struct Diarist {
    diary: String,
}

#[rustyray::actor_methods]
impl Diarist {
    pub fn new(diary: String) -> Self {
        append(&diary, "new");
        Diarist { diary }
    }

    /// Fails when the file says so, which a restart may find and the first start not.
    pub fn unless(diary: String, forbidden: String) -> Result<Self, String> {
        match std::path::Path::new(&forbidden).exists() {
            true => Err("it is forbidden".to_owned()),
            false => Ok(Diarist::new(diary)),
        }
    }

    fn on_start(&mut self) {
        append(&self.diary, "start");
    }

    async fn on_stop(&mut self) {
        append(&self.diary, "stop");
    }

    pub fn note(&mut self, text: String) {
        append(&self.diary, &text);
    }

    pub fn slow_note(&mut self, text: String, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
        append(&self.diary, &text);
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn incarnation(&self) -> u32 {
        rustyray::context().incarnation
    }

    pub fn leave(&mut self) {
        rustyray::exit_actor().expect("this is an actor");
    }

    pub fn whoami(&self) -> Option<String> {
        rustyray::context().actor_id.map(|id| id.to_string())
    }
}

/// An actor whose `on_start` fails.
#[rustyray::actor]
struct Reluctant;

#[rustyray::actor_methods]
impl Reluctant {
    pub fn new() -> Self {
        Reluctant
    }

    async fn on_start(&mut self) -> Result<(), String> {
        Err("not today".to_owned())
    }

    pub fn work(&self) -> u32 {
        1
    }
}

#[rustyray::test]
async fn hooks_run_after_the_constructor_and_before_an_orderly_end() -> rustyray::Result<()> {
    let scratch = Scratch::new("hooks");
    let diary = scratch.file("diary");
    let diarist = Diarist::remote(&diary).await?;
    diarist.note("called".to_owned()).await?.get().await?;
    drop(diarist);
    until("its end", || lines(&diary).len() == 4).await;
    assert_eq!(lines(&diary), ["new", "start", "called", "stop"]);
    Ok(())
}

#[rustyray::test]
async fn an_actor_whose_on_start_fails_is_not_constructed() -> rustyray::Result<()> {
    let reluctant = Reluctant::remote().await?;
    let error = reluctant.ready().await.expect_err("it does not start");
    assert!(error.to_string().contains("not today"), "{error}");
    let death = reluctant.died().await?;
    assert_eq!(death.reason, ActorEnd::NotConstructed);
    assert!(death.cause.expect("there is one").to_string().contains("not today"));
    let error = match reluctant.work().await {
        Err(error) => error,
        Ok(call) => call.get().await.expect_err("nobody works"),
    };
    assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");
    Ok(())
}

#[rustyray::test]
async fn an_actor_knows_who_it_is() -> rustyray::Result<()> {
    let scratch = Scratch::new("who");
    let diarist = Diarist::remote(scratch.file("diary")).await?;
    let id = diarist.id().to_string();
    assert_eq!(diarist.whoami().await?.get().await?, Some(id));
    assert_eq!(diarist.incarnation().await?.get().await?, 0);
    Ok(())
}

#[rustyray::test]
async fn a_restarted_actor_is_constructed_again_and_knows_it() -> rustyray::Result<()> {
    let scratch = Scratch::new("restarted");
    let diary = scratch.file("diary");
    let diarist = Diarist::options().max_restarts(2).remote(&diary).await?;
    for incarnation in 0..2 {
        assert_eq!(diarist.incarnation().await?.get().await?, incarnation);
        let pid = diarist.pid().await?.get().await?;
        diarist.restart().await?;
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(diarist.incarnation().await?.get().await?, 2);
    assert_eq!(lines(&diary), ["new", "start", "new", "start", "new", "start"], "killed: no stop");
    diarist.restart().await?;
    let death = diarist.died().await?;
    let ActorEnd::Crashed { how, restarts: 2 } = &death.reason else { panic!("{death:?}") };
    assert!(how.contains("SIGKILL"), "{how}");
    Ok(())
}

#[rustyray::test]
async fn an_error_of_the_constructor_at_a_restart_is_told() -> rustyray::Result<()> {
    let scratch = Scratch::new("unmade");
    let (diary, forbidden) = (scratch.file("diary"), scratch.file("forbidden"));
    let diarist = Diarist::options().max_restarts(5).remote_unless(&diary, &forbidden).await?;
    diarist.ready().await?;
    append(&forbidden, "yes");
    diarist.restart().await?;
    let death = diarist.died().await?;
    assert_eq!(death.reason, ActorEnd::NotConstructed);
    assert!(death.cause.expect("there is one").to_string().contains("it is forbidden"));
    Ok(())
}

/// Watches others, by calls that wait for their deaths.
#[rustyray::actor]
#[derive(Default)]
struct Supervisor {
    deaths: Vec<Death>,
}

#[rustyray::actor_methods]
impl Supervisor {
    pub fn new() -> Self {
        Supervisor::default()
    }

    #[method(out_of_order)]
    pub fn child_died(&mut self, death: Death) {
        self.deaths.push(death);
    }

    /// An actor that watches another itself.
    pub async fn watch(&mut self, child: DiaristHandle) -> rustyray::Result<String> {
        Ok(child.died().await?.to_string())
    }

    pub fn deaths(&self) -> Vec<Death> {
        self.deaths.clone()
    }
}

#[rustyray::test]
async fn who_watches_an_actor_is_told_what_it_died_of() -> rustyray::Result<()> {
    let scratch = Scratch::new("watch");
    let diary = scratch.file("diary");
    let supervisor = Supervisor::remote().await?;
    let mut told = Vec::new();
    let mut children = Vec::new();
    for _ in 0..4 {
        let child = Diarist::remote(&diary).await?;
        child.ready().await?;
        told.push(supervisor.child_died(child.death().await?).await?);
        children.push(child);
    }
    assert_eq!(supervisor.deaths().await?.get().await?, [], "a watch holds up no call");
    let pid = children[0].pid().await?.get().await?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("it is alive");
    told[0].get().await?;
    children[1].kill().await?;
    told[1].get().await?;
    children[2].leave().await?;
    told[2].get().await?;
    let last = children.pop().expect("four were made").death().await?;
    told[3].get().await?;
    let reasons: Vec<_> = supervisor.deaths().await?.get().await?;
    assert!(matches!(reasons[0].reason, ActorEnd::Crashed { restarts: 0, .. }), "{reasons:?}");
    assert_eq!(reasons[1].reason, ActorEnd::Killed);
    assert_eq!(reasons[2].reason, ActorEnd::Exited);
    assert_eq!(reasons[3].reason, ActorEnd::Unreachable);
    assert_eq!(last.get().await?, reasons[3], "the obituary outlives the handle");
    assert_eq!(children[1].died().await?.reason, ActorEnd::Killed, "also who asks late is told");
    Ok(())
}

#[rustyray::test]
async fn an_actor_may_watch_another() -> rustyray::Result<()> {
    let scratch = Scratch::new("mutual");
    let supervisor = Supervisor::remote().await?;
    let child = Diarist::remote(scratch.file("diary")).await?;
    child.ready().await?;
    let watch = supervisor.watch(child.clone()).await?;
    child.kill().await?;
    assert!(watch.get().await?.contains("it was killed"), "{watch:?}");
    Ok(())
}

#[rustyray::remote]
async fn get_or_create(diary: String) -> rustyray::Result<u32> {
    let diarist = Diarist::options().name("the only one").get_if_exists(true).remote(diary).await?;
    let pid = diarist.pid().await?.get().await?;
    // The others find it before it goes.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(pid)
}

#[rustyray::test]
async fn of_many_who_get_or_create_one_creates() -> rustyray::Result<()> {
    let scratch = Scratch::new("race");
    let diary = scratch.file("diary");
    let options = || Diarist::options().name("the only one").get_if_exists(true);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        tasks.push(get_or_create_remote::options().num_cpus(0.0).remote(&diary).await?);
    }
    let mine = options().remote(&diary).await?;
    let pids = rustyray::get_all(&tasks).await?;
    assert!(pids.iter().all(|&pid| pid == pids[0]), "{pids:?}");
    assert_eq!(mine.pid().await?.get().await?, pids[0]);
    assert_eq!(lines(&diary), ["new", "start"]);
    Ok(())
}

#[rustyray::remote]
async fn take_name(diary: String) -> rustyray::Result<()> {
    Diarist::options().name("taken").remote(diary).await?.ready().await
}

#[rustyray::test]
async fn a_name_that_is_taken_is_refused_where_it_is_asked_for() -> rustyray::Result<()> {
    let scratch = Scratch::new("taken");
    let diary = scratch.file("diary");
    let first = Diarist::options().name("taken").remote(&diary).await?;
    let error = take_name_remote::remote(&diary).await?.get().await.expect_err("it is taken");
    assert!(error.to_string().contains("`taken` already exists"), "{error}");
    drop(first);
    // Free again once the first has ended, also while it is on its way.
    let found = Diarist::options().name("taken").get_if_exists(true).remote(&diary).await?;
    found.ready().await?;
    Ok(())
}

#[rustyray::test]
async fn a_detached_actor_lives_without_handles_until_it_is_killed() -> rustyray::Result<()> {
    let scratch = Scratch::new("detached");
    let diary = scratch.file("diary");
    let pid = {
        let made = Diarist::options().name("hermit").detached().remote(&diary).await?;
        made.pid().await?.get().await?
    };
    for _ in 0..50 {
        let found = Diarist::get("hermit").await?;
        assert_eq!(found.pid().await?.get().await?, pid);
    }
    let found = Diarist::get("hermit").await?;
    found.kill().await?;
    assert_eq!(found.died().await?.reason, ActorEnd::Killed);
    assert!(matches!(Diarist::get("hermit").await, Err(Error::ActorNotFound { .. })));
    Ok(())
}

#[rustyray::test]
async fn queued_calls_are_answered_and_on_stop_run_at_shutdown() -> rustyray::Result<()> {
    let scratch = Scratch::new("drain");
    let diary = scratch.file("diary");
    let diarist = Diarist::remote(&diary).await?;
    let mut calls = vec![diarist.slow_note("0".to_owned(), 30).await?];
    // More than a queue to a worker holds.
    for number in 1..700 {
        calls.push(diarist.note(number.to_string()).await?);
    }
    rustyray::shutdown().await?;
    let expected: Vec<String> = ["new", "start"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..700).map(|number| number.to_string()))
        .chain(["stop".to_owned()])
        .collect();
    assert_eq!(lines(&diary), expected);
    Ok(())
}

#[rustyray::test]
async fn five_concurrent_shutdowns_are_one() -> rustyray::Result<()> {
    let scratch = Scratch::new("five");
    let diary = scratch.file("diary");
    let diarist = Diarist::remote(&diary).await?;
    diarist.slow_note("0".to_owned(), 20).await?;
    let runtime = rustyray::Runtime::current()?;
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let runtime = runtime.clone();
            std::thread::spawn(move || rustyray::block_on(runtime.shutdown()))
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic")?;
    }
    assert_eq!(lines(&diary), ["new", "start", "0", "stop"]);
    assert!(runtime.worker_pids().is_empty());
    Ok(())
}

/// Takes its time, and at most three calls at a time.
#[rustyray::actor(max_pending_calls = 3)]
struct Slow;

#[rustyray::actor_methods]
impl Slow {
    pub fn new() -> Self {
        Slow
    }

    pub fn take(&mut self, chunk: Vec<u8>) -> u64 {
        std::thread::sleep(Duration::from_millis(2));
        chunk.len() as u64
    }

    pub fn block(&mut self, file: String) {
        while !std::path::Path::new(&file).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[rustyray::test]
async fn one_call_too_many_is_refused_and_takes_nothing() -> rustyray::Result<()> {
    let scratch = Scratch::new("limit");
    let (slow, gate) = (Slow::remote().await?, scratch.file("gate"));
    slow.ready().await?;
    let chunk = vec![1; 100];
    let mut calls = vec![];
    let blocked = slow.block(gate.clone()).await?;
    for _ in 0..2 {
        calls.push(slow.take(&chunk).await?);
    }
    let refused = slow.take(&chunk).await.expect_err("three are unfinished");
    let Error::PendingCallsLimit { pending: 3, limit: 3, .. } = &refused else {
        panic!("{refused:?}")
    };
    // A value comes back as it was, not as a copy.
    let (given, place) = (chunk.clone(), chunk.as_ptr());
    let given_place = given.as_ptr();
    let refused = slow.try_take(given).await.expect_err("three are unfinished");
    assert!(matches!(refused.error, Error::PendingCallsLimit { pending: 3, limit: 3, .. }));
    assert_eq!((refused.arguments.as_ptr(), &refused.arguments), (given_place, &chunk));
    let stored = rustyray::put(&chunk).await?;
    let refused = slow.try_take(stored.clone()).await.expect_err("three are unfinished");
    assert_eq!(refused.arguments.get().await?, chunk);
    let error: Error = slow.try_take(&chunk).await.expect_err("three are unfinished").into();
    assert_eq!(error.help(), refused.error.help());
    assert_eq!(chunk.as_ptr(), place);
    append(&gate, "open");
    blocked.get().await?;
    slow.room().await?;
    // It was lent, not given.
    calls.push(slow.take(&chunk).await?);
    assert_eq!(rustyray::get_all(&calls).await?, [100; 3]);
    Ok(())
}

#[rustyray::test]
async fn of_those_that_give_up_waiting_for_room_nothing_is_left() -> rustyray::Result<()> {
    let scratch = Scratch::new("given-up");
    let (slow, gate) = (Slow::remote().await?, scratch.file("gate"));
    let mut calls = vec![slow.block(gate.clone()).await?];
    for _ in 0..2 {
        calls.push(slow.block(gate.clone()).await?);
    }
    let runtime = rustyray::Runtime::current()?;
    let socket = runtime.socket().expect("it listens");
    let objects = || Ok::<_, rustyray::Error>(Inspector::connect(socket)?.node()?.store.objects);
    let before = objects()?;
    for _ in 0..100 {
        let mut room = std::pin::pin!(slow.room());
        let poll =
            std::future::poll_fn(|context| std::task::Poll::Ready(room.as_mut().poll(context)));
        assert!(poll.await.is_pending(), "three are unfinished");
    }
    let (after, waiting) = (objects()?, slow.room());
    assert!(after <= before + 1, "{before} objects, and then {after}");
    append(&gate, "open");
    waiting.await?;
    rustyray::get_all(&calls).await?;
    Ok(())
}

#[rustyray::remote(num_cpus = 0.0)]
async fn fill(slow: SlowHandle, calls: u64) -> rustyray::Result<u64> {
    let mut sizes = Vec::new();
    for size in 0..calls {
        slow.room().await?;
        sizes.push(slow.take(vec![0; size as usize]).await?);
    }
    Ok(rustyray::get_all(&sizes).await?.into_iter().sum())
}

#[rustyray::test]
async fn who_waits_for_room_is_never_refused() -> rustyray::Result<()> {
    let slow = Slow::remote().await?;
    let mut sizes = Vec::new();
    for size in 0..60_u64 {
        slow.room().await?;
        sizes.push(slow.take(vec![0; size as usize]).await?);
    }
    assert_eq!(rustyray::get_all(&sizes).await?, (0..60).collect::<Vec<_>>());
    assert_eq!(fill_remote::remote(&slow, 60).await?.get().await?, (0..60).sum::<u64>());
    Ok(())
}

/// Makes calls as fast as they are taken, and says how many were refused and what the others came to.
#[rustyray::remote(num_cpus = 0.0)]
async fn press(slow: SlowHandle, calls: u64) -> rustyray::Result<(u64, u64)> {
    let (mut refusals, mut sizes) = (0, Vec::new());
    for size in 0..calls {
        let mut chunk = vec![0; size as usize];
        let taken = loop {
            match slow.try_take(chunk).await {
                Ok(taken) => break taken,
                Err(refused) => {
                    let Error::PendingCallsLimit { limit: 3, .. } = &refused.error else {
                        return Err(refused.into());
                    };
                    refusals += 1;
                    chunk = refused.arguments;
                    assert_eq!(chunk.len() as u64, size);
                    slow.room().await?;
                }
            }
        };
        sizes.push(taken);
    }
    Ok((refusals, rustyray::get_all(&sizes).await?.into_iter().sum()))
}

#[rustyray::test]
async fn other_processes_get_their_arguments_back_too() -> rustyray::Result<()> {
    let slow = Slow::remote().await?;
    let mut presses = Vec::new();
    for _ in 0..3 {
        presses.push(press_remote::remote(&slow, 40).await?);
    }
    let mut refused = 0;
    for (refusals, sum) in rustyray::get_all(&presses).await? {
        refused += refusals;
        assert_eq!(sum, (0..40).sum::<u64>(), "what was taken is done");
    }
    assert!(refused > 0, "three times forty calls do not find room at once");
    Ok(())
}

/// Presses until its process is killed.
#[rustyray::remote(num_cpus = 0.0, max_retries = 0)]
async fn press_for_ever(slow: SlowHandle, file: String) -> rustyray::Result<()> {
    append(&file, &std::process::id().to_string());
    loop {
        if slow.try_take(vec![0; 10]).await.is_err() {
            slow.room().await?;
        }
    }
}

#[rustyray::test]
async fn a_killed_caller_keeps_no_place() -> rustyray::Result<()> {
    let scratch = Scratch::new("places");
    let slow = Slow::remote().await?;
    for round in 0..6 {
        let file = scratch.file(&format!("pid-{round}"));
        let press = press_for_ever_remote::remote(&slow, &file).await?;
        until("its begin", || !lines(&file).is_empty()).await;
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        let pid: i32 = lines(&file)[0].parse().expect("a pid");
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
        assert!(matches!(press.get().await, Err(Error::WorkerCrashed { .. })));
    }
    // The dead callers' calls end, and there are three places again.
    let gate = scratch.file("gate");
    let mut blocked = None;
    until_async(async || {
        blocked = slow.try_block(gate.clone()).await.ok();
        blocked.is_some()
    })
    .await;
    until_async(async || slow.try_take(vec![1]).await.is_ok()).await;
    until_async(async || slow.try_take(vec![2]).await.is_ok()).await;
    assert!(slow.try_take(vec![3]).await.is_err(), "three are unfinished");
    append(&gate, "open");
    blocked.expect("it was taken").get().await
}

/// Waits for a condition that other processes bring about.
async fn until_async(mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..20_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it did not come about");
}

/// Writes that it has begun, and that it has ended once it may.
#[rustyray::actor]
struct Latecomer;

#[rustyray::actor_methods]
impl Latecomer {
    pub fn new() -> Self {
        Latecomer
    }

    pub fn wait(&self, diary: String, may_end: String) {
        append(&diary, "begun");
        while !std::path::Path::new(&may_end).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        append(&diary, "ended");
    }
}

#[test]
fn while_a_runtime_ends_the_thread_that_waits_for_it_goes_on() {
    let scratch = Scratch::new("goes_on");
    let (diary, may_end) = (scratch.file("diary"), scratch.file("may_end"));
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio.expect("it can be made").block_on(async {
        let builder = rustyray::Builder::new().num_cpus(1.0).visible(false);
        let runtime = builder.shutdown_grace(Duration::MAX).start().await.expect("it starts");
        let latecomer = Latecomer::remote().await.expect("submitted");
        let _waits = latecomer.wait(&diary, &may_end).await.expect("submitted");
        until("the call", || !lines(&diary).is_empty()).await;
        let (ended, ()) = tokio::join!(runtime.shutdown(), async {
            // The end has begun, and waits for the call, which waits for what this thread is about to do.
            append(&may_end, "now");
        });
        ended.expect("it ends");
        assert_eq!(lines(&diary), ["begun", "ended"]);
        assert!(rustyray::Runtime::current().is_err(), "this thread has none any more");
    });
}

#[rustyray::test]
async fn a_spawned_task_can_end_the_runtime() {
    let runtime = rustyray::Runtime::current().expect("there is one");
    let kept = rustyray::put(&7).await.expect("there is room");
    tokio::spawn(async move { runtime.shutdown().await })
        .await
        .expect("no panic")
        .expect("it ends");
    assert!(matches!(kept.get().await, Err(Error::ShutDown { .. })));
}

#[rustyray::actor(num_cpus = 0.0)]
struct Sink;

#[rustyray::actor_methods]
impl Sink {
    pub fn new() -> Self {
        Sink
    }

    pub fn take(&mut self, chunk: Vec<u8>) -> usize {
        chunk.len()
    }
}

#[test]
fn a_call_whose_arguments_found_no_room_goes_out_when_there_is_some() {
    let builder = rustyray::Builder::new().num_cpus(1.0).object_store_memory(64 << 20);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        let sink = Sink::remote().await?;
        // More than a queue's entry has room for.
        assert_eq!(sink.take(vec![1; 2000]).await?.get().await?, 2000);
        let mut kept = Vec::new();
        let full = loop {
            match rustyray::put(&vec![7_u8; 2900]).await {
                Ok(object) => kept.push(object.view().await?),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, Error::ObjectStoreFull { .. }), "{full:?}");
        let large = sink.take(vec![2; 3000]).await?;
        let small = sink.take(vec![2; 3]).await?;
        assert!(
            !large.is_ready() && !small.is_ready(),
            "one found no room, the other is behind it"
        );
        drop(kept);
        assert_eq!((large.get().await?, small.get().await?), (3000, 3));
        Ok::<_, Error>(())
    })
    .expect("both run");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

// --- names of actors that never came to be -----------------------------------------------------------------

/// A number that cannot be written unless it is 0.
#[derive(
    Debug, rustyray::rkyv::Archive, rustyray::rkyv::Serialize, rustyray::rkyv::Deserialize,
)]
#[rkyv(crate = rustyray::rkyv)]
pub struct Unwritable(#[rkyv(with = Panics)] u64);

/// Panics as it writes.
#[derive(Debug)]
pub struct Panics;

impl ArchiveWith<u64> for Panics {
    type Archived = Archived<u64>;
    type Resolver = ();

    fn resolve_with(field: &u64, (): (), out: Place<Self::Archived>) {
        field.resolve((), out);
    }
}

impl<S: Fallible + ?Sized> SerializeWith<u64, S> for Panics {
    fn serialize_with(field: &u64, _: &mut S) -> Result<(), S::Error> {
        assert_eq!(*field, 0, "it cannot be written");
        Ok(())
    }
}

impl<D: Fallible + ?Sized> DeserializeWith<Archived<u64>, u64, D> for Panics {
    fn deserialize_with(field: &Archived<u64>, _: &mut D) -> Result<u64, D::Error> {
        Ok(field.to_native())
    }
}

#[rustyray::actor]
struct Spoiled;

#[rustyray::actor_methods]
impl Spoiled {
    pub fn new(number: Unwritable) -> Self {
        assert_eq!(number.0, 0);
        Spoiled
    }
}

/// Creates an actor whose arguments panic, and then one of the same name.
async fn create_twice(name: &str) -> rustyray::Result<()> {
    let create = |number| Spoiled::options().name(name).remote(Unwritable(number));
    let first = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rustyray::block_on(create(1)).map(drop)
    }));
    assert!(first.is_err(), "{first:?}");
    let second = tokio::time::timeout(Duration::from_secs(60), create(0)).await;
    second.expect("the name is free")?.ready().await
}

#[rustyray::remote]
async fn creates_twice(name: String) -> rustyray::Result<()> {
    create_twice(&name).await
}

#[rustyray::test(num_cpus = 1)]
async fn a_creation_that_panics_gives_its_name_back() -> rustyray::Result<()> {
    create_twice("spoiled").await?;
    creates_twice_remote::remote("spoiled by a task".to_owned()).await?.get().await
}
