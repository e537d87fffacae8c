//! What becomes of queued, running and later calls when an actor ends: the table in `docs/actors.md`, cell by
//! cell, with real SIGKILL.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{path::PathBuf, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustyray::{ActorEnd, prelude::*};

/// A directory of one test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("rustyray-restarts-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory can be made");
        Scratch(path)
    }

    fn path(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// What the actor wrote: `label@incarnation` for each call that began.
    fn journal(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn until(&self, line: &str) {
        for _ in 0..20_000 {
            if self.journal().iter().any(|written| written == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{line} did not come about: {:?}", self.journal());
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.0.join(name), "").expect("it can be written");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[rustyray::actor]
struct Victim {
    directory: PathBuf,
    incarnation: u32,
}

#[rustyray::actor_methods]
impl Victim {
    /// Fails when there is a file `forbidden`; waits while there is a file `slow`.
    pub fn new(directory: String) -> Result<Self, String> {
        let directory = PathBuf::from(directory);
        let incarnation = rustyray::context().incarnation;
        if directory.join("forbidden").exists() {
            return Err("it is forbidden".to_owned());
        }
        let victim = Victim { directory, incarnation };
        if victim.directory.join("slow").exists() {
            let pid = std::process::id().to_string();
            std::fs::write(victim.directory.join("pid"), pid).map_err(|error| error.to_string())?;
            victim.write("constructing");
            victim.wait_for("go");
        }
        Ok(victim)
    }

    /// Begins, and ends when a file `go.INCARNATION` is there.
    pub fn hold(&mut self, label: String) -> u32 {
        self.write(&label);
        self.wait_for(&format!("go.{}", self.incarnation));
        self.incarnation
    }

    pub fn note(&mut self, label: String) -> u32 {
        self.write(&label);
        self.incarnation
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Ends the actor, once a file `go.INCARNATION` is there.
    pub fn leave(&mut self, label: String) -> u32 {
        self.hold(label);
        rustyray::exit_actor().expect("this is an actor");
        self.incarnation
    }

    fn write(&self, label: &str) {
        use std::io::Write;
        let path = self.directory.join("journal");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.expect("it can be opened");
        // In one piece: the process may be killed at any moment.
        let line = format!("{label}@{}\n", self.incarnation);
        file.write_all(line.as_bytes()).expect("it can be written");
    }

    fn wait_for(&self, name: &str) {
        for _ in 0..30_000 {
            if self.directory.join(name).exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn sigkill(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).expect("it is alive");
}

/// What came of one call.
#[derive(Debug, PartialEq)]
enum Came {
    /// Its result: the incarnation that ran it.
    Back(u32),
    Unavailable,
    Died,
}

async fn came(call: rustyray::Result<ObjectRef<u32>>) -> Came {
    let result = match call {
        Ok(call) => call.get().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(incarnation) => Came::Back(incarnation),
        Err(Error::ActorUnavailable { .. }) => Came::Unavailable,
        Err(Error::ActorDied { .. }) => Came::Died,
        Err(other) => panic!("neither a result nor the actor's end: {other:?}"),
    }
}

/// An actor that runs one call and has two queued, and its process.
struct Scene {
    scratch: Scratch,
    victim: VictimHandle,
    pid: u32,
    running: rustyray::Result<ObjectRef<u32>>,
    queued: [rustyray::Result<ObjectRef<u32>>; 2],
}

impl Scene {
    async fn set(name: &str, max_restarts: i32, max_task_retries: i32) -> rustyray::Result<Scene> {
        let scratch = Scratch::new(name);
        // A second incarnation holds nobody up.
        scratch.touch("go.1");
        let options =
            Victim::options().max_restarts(max_restarts).max_task_retries(max_task_retries);
        let victim = options.remote(scratch.path()).await?;
        let pid = victim.pid().await?.get().await?;
        let running = victim.hold("running".to_owned()).await;
        let queued =
            [victim.note("first".to_owned()).await, victim.note("second".to_owned()).await];
        scratch.until("running@0").await;
        Ok(Scene { scratch, victim, pid, running, queued })
    }

    /// What came of the running, the two queued and a later call, and what the actor wrote.
    async fn end(self) -> ([Came; 4], Vec<String>) {
        let running = came(self.running).await;
        let [first, second] = self.queued;
        let (first, second) = (came(first).await, came(second).await);
        let later = came(self.victim.note("later".to_owned()).await).await;
        ([running, first, second, later], self.scratch.journal())
    }
}

use Came::{Back, Died, Unavailable};

#[rustyray::test]
async fn a_crash_without_restarts_fails_every_call_whatever_retries_are_left()
-> rustyray::Result<()> {
    for retries in [0, 1] {
        let scene = Scene::set(&format!("crash-0-{retries}"), 0, retries).await?;
        sigkill(scene.pid);
        let (came, journal) = scene.end().await;
        assert_eq!(came, [Died, Died, Died, Died]);
        assert_eq!(journal, ["running@0"]);
    }
    Ok(())
}

#[rustyray::test]
async fn a_crash_with_a_restart_fails_the_running_call_only() -> rustyray::Result<()> {
    let scene = Scene::set("crash-1-0", 1, 0).await?;
    sigkill(scene.pid);
    let (came, journal) = scene.end().await;
    assert_eq!(came, [Unavailable, Back(1), Back(1), Back(1)]);
    assert_eq!(journal, ["running@0", "first@1", "second@1", "later@1"]);
    Ok(())
}

#[rustyray::test]
async fn a_crash_with_a_restart_and_retries_runs_the_running_call_again_first()
-> rustyray::Result<()> {
    let scene = Scene::set("crash-1-1", 1, 1).await?;
    sigkill(scene.pid);
    let (came, journal) = scene.end().await;
    assert_eq!(came, [Back(1), Back(1), Back(1), Back(1)]);
    assert_eq!(journal, ["running@0", "running@1", "first@1", "second@1", "later@1"]);
    Ok(())
}

#[rustyray::test]
async fn restart_is_a_crash_that_was_asked_for() -> rustyray::Result<()> {
    let scene = Scene::set("restart", 1, 0).await?;
    scene.victim.restart().await?;
    let (came, journal) = scene.end().await;
    assert_eq!(came, [Unavailable, Back(1), Back(1), Back(1)]);
    assert_eq!(journal, ["running@0", "first@1", "second@1", "later@1"]);
    Ok(())
}

#[rustyray::test]
async fn kill_is_final_whatever_restarts_and_retries_are_left() -> rustyray::Result<()> {
    let scene = Scene::set("kill", 5, 5).await?;
    scene.victim.kill().await?;
    let victim = scene.victim.clone();
    let (came, journal) = scene.end().await;
    assert_eq!(came, [Died, Died, Died, Died]);
    assert_eq!(journal, ["running@0"]);
    assert_eq!(victim.died().await?.reason, ActorEnd::Killed);
    Ok(())
}

#[rustyray::test]
async fn exit_ends_the_running_call_in_order_and_no_other_begins() -> rustyray::Result<()> {
    for restarts in [0, 5] {
        let scratch = Scratch::new(&format!("exit-{restarts}"));
        let victim = Victim::options()
            .max_restarts(restarts)
            .max_task_retries(restarts)
            .remote(scratch.path())
            .await?;
        let running = victim.leave("running".to_owned()).await;
        let queued =
            [victim.note("first".to_owned()).await, victim.note("second".to_owned()).await];
        scratch.until("running@0").await;
        scratch.touch("go.0");
        assert_eq!(came(running).await, Back(0));
        for queued in queued {
            assert_eq!(came(queued).await, Died);
        }
        assert_eq!(came(victim.note("later".to_owned()).await).await, Died);
        assert_eq!(victim.died().await?.reason, ActorEnd::Exited);
        assert_eq!(scratch.journal(), ["running@0"]);
    }
    Ok(())
}

#[rustyray::test]
async fn a_constructor_that_fails_at_the_restart_fails_what_waited_for_it() -> rustyray::Result<()>
{
    for (retries, running) in [(0, Unavailable), (1, Died)] {
        let scene = Scene::set(&format!("unmade-{retries}"), 3, retries).await?;
        scene.scratch.touch("forbidden");
        sigkill(scene.pid);
        let victim = scene.victim.clone();
        let (came, journal) = scene.end().await;
        assert_eq!(came, [running, Died, Died, Died]);
        assert_eq!(journal, ["running@0"]);
        let death = victim.died().await?;
        assert_eq!(death.reason, ActorEnd::NotConstructed);
        assert!(death.cause.expect("there is one").to_string().contains("it is forbidden"));
        let error = victim.note("late".to_owned()).await?.get().await.expect_err("it is dead");
        let Error::ActorDied { cause: Some(cause), .. } = &error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("it is forbidden"), "{cause}");
    }
    Ok(())
}

#[rustyray::test]
async fn a_crash_of_the_constructor_is_a_crash() -> rustyray::Result<()> {
    let scratch = Scratch::new("constructing");
    scratch.touch("slow");
    let victim = Victim::options().max_restarts(1).remote(scratch.path()).await?;
    let queued = victim.note("first".to_owned()).await;
    scratch.until("constructing@0").await;
    let pid = std::fs::read_to_string(scratch.0.join("pid")).expect("it was written");
    sigkill(pid.parse().expect("a pid"));
    scratch.until("constructing@1").await;
    scratch.touch("go");
    assert_eq!(came(queued).await, Back(1));
    assert_eq!(came(victim.note("later".to_owned()).await).await, Back(1));
    Ok(())
}

#[rustyray::test]
async fn the_last_handle_s_end_lets_every_call_run() -> rustyray::Result<()> {
    let scene = Scene::set("dropped", 0, 0).await?;
    let Scene { scratch, victim, running, queued, .. } = scene;
    let death = victim.death().await?;
    drop(victim);
    scratch.touch("go.0");
    assert_eq!(came(running).await, Back(0));
    for queued in queued {
        assert_eq!(came(queued).await, Back(0));
    }
    assert_eq!(death.get().await?.reason, ActorEnd::Unreachable);
    assert_eq!(scratch.journal(), ["running@0", "first@0", "second@0"]);
    Ok(())
}

/// Calls an actor many times while it is killed again and again, and gives what came of each call.
#[rustyray::remote(num_cpus = 0.0)]
async fn storm(
    victim: VictimHandle,
    name: String,
    calls: u32,
) -> rustyray::Result<Vec<(String, String)>> {
    let mut made = Vec::new();
    for call in 0..calls {
        let label = format!("{name}-{call:04}");
        made.push((label.clone(), victim.note(label).await?));
        if call % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut came = Vec::new();
    for (label, call) in made {
        came.push((
            label,
            match call.get().await {
                Ok(_) => "ran".to_owned(),
                Err(Error::ActorUnavailable { .. }) => "unavailable".to_owned(),
                Err(other) => return Err(other),
            },
        ));
    }
    Ok(came)
}

#[rustyray::test]
async fn no_call_runs_twice_or_out_of_order_however_often_the_actor_is_killed()
-> rustyray::Result<()> {
    let scratch = Scratch::new("storm");
    let victim = Victim::options().max_restarts(-1).remote(scratch.path()).await?;
    let mut storms = Vec::new();
    for name in ["a", "b"] {
        storms.push(storm_remote::remote(&victim, name, 400).await?);
    }
    let mut kills = 0;
    while !storms.iter().all(ObjectRef::is_ready) {
        if let Ok(pid) = victim.pid().await?.get_timeout(Duration::from_secs(20)).await
            && kills < 8
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
            kills += 1;
        }
    }
    assert!(kills > 0, "the storm was over before anything happened");
    let journal = scratch.journal();
    for (name, storm) in ["a", "b"].iter().zip(storms) {
        let of_this = |line: &&String| line.starts_with(&format!("{name}-"));
        let ran: Vec<_> = journal.iter().filter(of_this).collect();
        let labels: Vec<&str> =
            ran.iter().map(|line| line.split('@').next().expect("a label")).collect();
        assert!(labels.is_sorted(), "in order: {labels:?}");
        assert!(labels.windows(2).all(|pair| pair[0] != pair[1]), "at most once: {labels:?}");
        for (label, came) in storm.get().await? {
            if came == "ran" {
                assert!(labels.contains(&label.as_str()), "{label} is said to have run");
            }
        }
    }
    Ok(())
}
