//! An actor that ends in order, by `exit_actor` or at the shutdown, and those who call it: who waits is told, also by
//! an actor whose process waits for them before it ends, and who goes on calling keeps nobody from ending.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{collections::VecDeque, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustyray::prelude::*;

/// More calls than a process makes by way of the node.
const OFTEN: u32 = 60;

#[rustyray::actor]
struct Leaver;

#[rustyray::actor_methods]
impl Leaver {
    pub fn new() -> Self {
        Leaver
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Asks for the end on a thread of its own and in a task of tokio's: what that says.
    pub async fn leave_from_elsewhere(&self) -> [Option<String>; 2] {
        let thread = std::thread::spawn(rustyray::exit_actor);
        let task = tokio::spawn(async { rustyray::exit_actor() });
        let told = [thread.join().expect("no panic"), task.await.expect("no panic")];
        told.map(|told| told.err().map(|refused| refused.to_string()))
    }

    /// Has the other ask after this actor, waits for nothing, and ends.
    pub async fn leave(
        &self,
        me: LeaverHandle,
        other: AskerHandle,
    ) -> rustyray::Result<ObjectRef<String>> {
        for _ in 0..OFTEN {
            other.nothing().await?.get().await?;
        }
        let asked = other.ask_after(me, None).await?;
        rustyray::exit_actor()?;
        Ok(asked)
    }

    /// Has the other ask after this actor, and waits for what it says.
    pub async fn hear(
        &self,
        me: LeaverHandle,
        other: AskerHandle,
        file: String,
    ) -> rustyray::Result<String> {
        other.ask_after(me, Some(file)).await?.get().await
    }

    /// Ends when the file is there.
    pub async fn leave_when(&self, file: String) -> rustyray::Result<()> {
        while !Path::new(&file).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rustyray::exit_actor()
    }

    /// Says that it has begun by making a file, and ends when the other is there.
    pub async fn finish_when(&self, begun: String, file: String) -> u32 {
        std::fs::write(begun, "").expect("it can be written");
        while !Path::new(&file).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        7
    }
}

#[rustyray::actor]
struct Asker;

#[rustyray::actor_methods]
impl Asker {
    pub fn new() -> Self {
        Asker
    }

    pub fn nothing(&mut self) {}

    pub async fn ask_often(&mut self, leaver: LeaverHandle) -> rustyray::Result<()> {
        for _ in 0..OFTEN {
            leaver.pid().await?.get().await?;
        }
        Ok(())
    }

    /// Calls, then makes the file, and gives what the call ended with.
    pub async fn ask_after(
        &mut self,
        leaver: LeaverHandle,
        file: Option<String>,
    ) -> rustyray::Result<String> {
        let asked = leaver.pid().await;
        if let Some(file) = file {
            std::fs::write(file, "").expect("it can be written");
        }
        let pid = match asked {
            Ok(asked) => asked.get().await,
            Err(refused) => Err(refused),
        };
        Ok(match pid {
            Ok(pid) => format!("process {pid}"),
            Err(error) => error.to_string(),
        })
    }
}

/// Its calls block threads, two at a time.
#[rustyray::actor(max_concurrency = 2)]
struct Porter;

#[rustyray::actor_methods]
impl Porter {
    pub fn new() -> Self {
        Porter
    }

    pub fn nothing(&self) {}

    /// Whether the file is there, for which it waits a while.
    pub fn wait_for(&self, file: String) -> bool {
        let mut looks = 0..20_000;
        while !Path::new(&file).exists() && looks.next().is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Path::new(&file).exists()
    }

    /// Ends when the file is there.
    pub fn leave_when(&self, file: String) -> rustyray::Result<()> {
        assert!(self.wait_for(file), "somebody makes it");
        rustyray::exit_actor()
    }
}

fn is_told_of_the_exit(heard: &str) -> bool {
    heard.contains("Leaver") && heard.ends_with("it exited on its own")
}

#[rustyray::test(num_cpus = 1)]
async fn only_a_call_asks_for_its_actor_s_end() -> rustyray::Result<()> {
    let leaver = Leaver::remote().await?;
    for told in leaver.leave_from_elsewhere().await?.get().await? {
        let refused = told.expect("nobody hears it there");
        assert!(refused.contains("runs no call of the actor"), "{refused}");
    }
    leaver.pid().await?.get().await?;
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn who_is_asked_by_an_actor_that_exits_does_not_wait_for_it() -> rustyray::Result<()> {
    for by_line in [false, true] {
        let (leaver, asker) = (Leaver::remote().await?, Asker::remote().await?);
        if by_line {
            asker.ask_often(&leaver).await?.get().await?;
        }
        let asked = leaver.leave(&leaver, &asker).await?.get().await?;
        let heard = asked.get().await?;
        assert!(is_told_of_the_exit(&heard), "{heard}");
        let death = leaver.died().await?;
        assert_eq!(death.reason, rustyray::ActorEnd::Exited);
    }
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_that_is_under_way_does_not_wait_for_one_that_begins_no_more() -> rustyray::Result<()>
{
    for by_line in [false, true] {
        let leaver = Leaver::options().max_concurrency(2).remote().await?;
        let asker = Asker::remote().await?;
        if by_line {
            asker.ask_often(&leaver).await?.get().await?;
        }
        let file = format!("rustyray-exit-{by_line}-{}", std::process::id());
        let file = std::env::temp_dir().join(file);
        let path = file.to_string_lossy().into_owned();
        // Both are under way from here on, and there is room for no third.
        let leaving = leaver.leave_when(path.clone()).await?;
        let heard = leaver.hear(&leaver, &asker, path).await?.get().await?;
        assert!(is_told_of_the_exit(&heard), "{heard}");
        leaving.get().await?;
        std::fs::remove_file(file).expect("it was made");
        assert_eq!(leaver.died().await?.reason, rustyray::ActorEnd::Exited);
    }
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn nothing_begins_in_the_place_of_a_call_on_a_thread_that_asked_for_the_end()
-> rustyray::Result<()> {
    for by_line in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let porter = Porter::remote().await?;
        for _ in 0..if by_line { OFTEN } else { 0 } {
            porter.nothing().await?.get().await?;
        }
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        let path = |file: &Path| file.to_string_lossy().into_owned();
        let staying = porter.wait_for(path(&second)).await?;
        let leaving = porter.leave_when(path(&first)).await?;
        let mut turned_away = Vec::new();
        for _ in 0..4 {
            turned_away.push(porter.wait_for(path(&second)).await?);
        }
        std::fs::write(&first, "").expect("it can be written");
        leaving.get().await.expect("leaving");
        // Only afterwards can the call end that is under way.
        for call in turned_away {
            let told = call.get().await.expect_err("it does not begin").to_string();
            assert!(told.contains("Porter") && told.ends_with("it exited on its own"), "{told}");
        }
        std::fs::write(&second, "").expect("it can be written");
        assert!(staying.get().await.expect("staying"), "it is there");
        assert_eq!(porter.died().await?.reason, rustyray::ActorEnd::Exited);
    }
    Ok(())
}

/// Says at its end how often it was called, if it is told where.
#[rustyray::actor]
struct Counter {
    called: u64,
    file: Option<String>,
}

#[rustyray::actor_methods]
impl Counter {
    pub fn new(file: Option<String>) -> Self {
        Counter { called: 0, file }
    }

    fn on_stop(&mut self) {
        if let Some(file) = &self.file {
            std::fs::write(file, self.called.to_string()).expect("it can be written");
        }
    }

    pub fn call(&mut self) -> u64 {
        std::thread::sleep(Duration::from_millis(2));
        self.called += 1;
        self.called
    }

    pub fn process(&self) -> u32 {
        std::process::id()
    }
}

/// Calls, with many calls under way at any time, until one fails: how many were answered, and what that one failed
/// with.
async fn call_for_ever(counter: &CounterHandle, begun: &str) -> (u64, String) {
    let (mut calls, mut answered) = (VecDeque::new(), 0);
    loop {
        let failed = match counter.call().await {
            Ok(call) => {
                calls.push_back(call);
                if calls.len() < 200 {
                    continue;
                }
                match calls.pop_front().expect("there are so many").get().await {
                    Ok(_) => {
                        answered += 1;
                        if answered == 100 {
                            std::fs::write(begun, "").expect("it can be written");
                        }
                        continue;
                    }
                    Err(failed) => failed,
                }
            }
            Err(refused) => refused,
        };
        // What was called later is not answered either.
        for call in calls {
            call.get().await.expect_err("calls of one caller stay in order");
        }
        return (answered, failed.to_string());
    }
}

#[rustyray::remote(num_cpus = 0.0)]
async fn pester(counter: CounterHandle, begun: String, told: String) {
    let (answered, failed) = call_for_ever(&counter, &begun).await;
    std::fs::write(told, format!("{answered} {failed}")).expect("it can be written");
}

async fn until_exists(file: &Path) {
    for _ in 0..30_000 {
        if file.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("nobody makes {}", file.display());
}

#[test]
fn who_goes_on_calling_does_not_keep_an_actor_from_its_end_at_the_shutdown() {
    // What may be called again is called by way of the node, and the others by lines.
    for retries in [0, 1] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name);
        let path = |name: &str| file(name).to_string_lossy().into_owned();
        let builder = rustyray::Builder::new().num_cpus(2.0).visible(false);
        rustyray::block_on(async {
            let runtime = builder.shutdown_grace(Duration::MAX).start().await?;
            let counter = Counter::options().max_task_retries(retries);
            let counter = counter.remote(Some(path("called"))).await?;
            pester_remote::remote(&counter, path("begun"), path("told")).await?;
            until_exists(&file("begun")).await;
            let ended = tokio::time::timeout(Duration::from_secs(60), runtime.shutdown()).await;
            ended.expect("nothing of the grace is waited for")
        })
        .expect("it ends");
        let called = std::fs::read_to_string(file("called")).expect("`on_stop` ran");
        let told = std::fs::read_to_string(file("told")).expect("the caller was told");
        let (answered, failed) = told.split_once(' ').expect("both");
        assert_eq!(called, answered, "what ran is what was answered");
        assert!(failed.contains("Counter"), "{failed}");
        assert!(failed.ends_with("the runtime was shut down"), "{failed}");
    }
}

/// Has a thread that calls another actor for as long as the process lives.
#[rustyray::actor]
struct Nag;

#[rustyray::actor_methods]
impl Nag {
    pub fn new() -> Self {
        Nag
    }

    pub fn nag(&self, counter: CounterHandle, begun: String) -> u32 {
        std::thread::spawn(move || rustyray::block_on(call_for_ever(&counter, &begun)));
        std::process::id()
    }
}

#[rustyray::test(num_cpus = 2)]
async fn a_process_ends_though_a_thread_of_it_goes_on_calling() -> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let begun = directory.path().join("begun");
    let counter = Counter::remote(None).await?;
    let nag = Nag::remote().await?;
    nag.nag(&counter, begun.to_string_lossy().into_owned()).await?.get().await?;
    until_exists(&begun).await;
    let death = nag.death().await?;
    drop(nag);
    let death = death.get_timeout(Duration::from_secs(30)).await?;
    assert_eq!(death.reason, rustyray::ActorEnd::Unreachable);
    assert_ne!(counter.process().await?.get().await?, 0, "the one that was called lives on");
    Ok(())
}

/// What a call ended with that was under way when its actor exited, and that ended after it, or was killed.
async fn under_way_at_the_exit(by_line: bool, is_killed: bool) -> rustyray::Result<u32> {
    let leaver = Leaver::options().max_concurrency(3).remote().await?;
    let pid = leaver.pid().await?.get().await?;
    for _ in 0..if by_line { OFTEN } else { 0 } {
        leaver.pid().await?.get().await?;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let [begun, leave, finish] =
        ["begun", "leave", "finish"].map(|name| directory.path().join(name));
    let path = |file: &Path| file.to_string_lossy().into_owned();
    let under_way = leaver.finish_when(path(&begun), path(&finish)).await?;
    while !begun.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let leaving = leaver.leave_when(path(&leave)).await?;
    std::fs::write(leave, "").expect("it can be written");
    leaving.get().await?;
    // What comes now begins no more.
    while let Ok(asked) = leaver.pid().await {
        match asked.get().await {
            Ok(_) => {}
            Err(Error::ActorDied { .. }) => break,
            Err(other) => return Err(other),
        }
    }
    assert!(!under_way.is_ready(), "it has not ended");
    match is_killed {
        true => kill(Pid::from_raw(pid as i32), Signal::SIGKILL).expect("it is there"),
        false => std::fs::write(finish, "").expect("it can be written"),
    }
    let came = under_way.get_timeout(Duration::from_secs(60)).await;
    assert_eq!(leaver.died().await?.reason, rustyray::ActorEnd::Exited);
    came
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_that_is_under_way_at_the_exit_gives_its_result() -> rustyray::Result<()> {
    for by_line in [false, true] {
        assert_eq!(under_way_at_the_exit(by_line, false).await?, 7);
        let error = under_way_at_the_exit(by_line, true).await.expect_err("it was killed");
        assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");
    }
    Ok(())
}
