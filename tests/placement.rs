//! What users rely on when they reserve resources together.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustyray::{ActorEnd, Bundle, PlacementGroup, PlacementStrategy, prelude::*};

const PACK: PlacementStrategy = PlacementStrategy::Pack;

#[rustyray::remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[rustyray::remote]
fn holds(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

/// Submits a task that asks for a resource of which only the group has any left.
#[rustyray::remote(num_cpus = 0)]
async fn submits() -> rustyray::Result<u64> {
    add_remote::options().num_cpus(1.0).remote(1, 2).await?.get().await
}

#[rustyray::remote]
async fn creates_and_removes(of: f64) -> rustyray::Result<bool> {
    let group = PlacementGroup::create([Bundle::new().resource("tpu", of)], PACK).await?;
    group.ready().await?;
    let found = PlacementGroup::get("nobody's").await.is_err();
    group.remove().await?;
    Ok(found)
}

#[rustyray::remote(num_cpus = 0)]
async fn uses(group: PlacementGroup) -> rustyray::Result<u64> {
    add_remote::options().placement_group(&group, -1).remote(20, 2).await?.get().await
}

#[rustyray::actor(num_cpus = 1)]
struct Resident;

#[rustyray::actor_methods]
impl Resident {
    pub fn new() -> Self {
        Resident
    }

    pub async fn submits(&self) -> rustyray::Result<u64> {
        add_remote::remote(3, 4).await?.get().await
    }

    /// Submits a task on a thread that runs no call of this actor, as far as the runtime knows.
    pub fn submits_aside(&self) -> rustyray::Result<u64> {
        let aside = std::thread::spawn(|| {
            rustyray::block_on(async { add_remote::remote(5, 6).await?.get().await })
        });
        aside.join().expect("it does not panic")
    }

    pub fn rests(&self) {}

    /// Makes another that asks for a cpu.
    pub async fn settles(&self) -> rustyray::Result<ResidentHandle> {
        let resident = Resident::remote().await?;
        resident.ready().await?;
        Ok(resident)
    }
}

#[rustyray::test(num_cpus = 2)]
async fn a_group_is_reserved_used_and_given_back() -> rustyray::Result<()> {
    let group = PlacementGroup::create([Bundle::new().num_cpus(1.0); 2], PACK).await?;
    group.ready().await?;
    assert!(group.wait(Duration::ZERO).await?);
    // Everything is reserved: what does not say so waits.
    let outside = add_remote::remote(1, 1).await?;
    for bundle in [0, 1, -1] {
        let inside = add_remote::options().placement_group(&group, bundle).remote(1, 2).await?;
        assert_eq!(inside.get().await?, 3);
    }
    assert!(!outside.is_ready(), "it ran on what is reserved for others");
    let error = add_remote::options().placement_group(&group, 2).remote(1, 2).await;
    assert!(matches!(error, Err(Error::InvalidArgument { .. })), "{error:?}");
    group.remove().await?;
    group.remove().await?;
    assert_eq!(outside.get().await?, 2);
    let error = add_remote::options().placement_group(&group, 0).remote(1, 2).await;
    assert!(matches!(error, Err(Error::PlacementGroupRemoved { .. })), "{error:?}");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_group_waits_for_its_resources() -> rustyray::Result<()> {
    let first = PlacementGroup::create([Bundle::new().num_cpus(2.0)], PACK).await?;
    let second = PlacementGroup::create([Bundle::new().num_cpus(2.0)], PACK).await?;
    first.ready().await?;
    assert!(!second.wait(Duration::from_millis(20)).await?);
    first.remove().await?;
    second.ready().await?;
    let error = PlacementGroup::create([Bundle::new().num_cpus(2.0); 2], PACK).await;
    let Err(Error::Unschedulable { demand, available, .. }) = &error else { panic!("{error:?}") };
    assert!(demand.contains("cpus 2") && available.contains("cpus 2"), "{demand}, {available}");
    let strict = PlacementStrategy::StrictSpread;
    let error = PlacementGroup::create([Bundle::new().num_cpus(0.1); 2], strict).await;
    assert!(matches!(error, Err(Error::Unschedulable { .. })), "{error:?}");
    let error = PlacementGroup::create([], PACK).await;
    assert!(matches!(error, Err(Error::InvalidArgument { .. })), "{error:?}");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn what_runs_in_a_group_ends_with_it() -> rustyray::Result<()> {
    let group = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    let running = holds_remote::options().placement_group(&group, 0).remote(600_000).await?;
    let queued = holds_remote::options().placement_group(&group, 0).remote(600_000).await?;
    let pending = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    group.ready().await?;
    group.remove().await?;
    for task in [running, queued] {
        let error = task.get().await.expect_err("its group is gone");
        assert!(matches!(error, Error::PlacementGroupRemoved { .. }), "{error:?}");
    }
    pending.ready().await?;
    pending.remove().await?;
    assert_eq!(add_remote::remote(1, 1).await?.get().await?, 2);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_group_that_is_removed_before_it_is_ready_says_so() -> rustyray::Result<()> {
    let first = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    let second = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    first.ready().await?;
    second.remove().await?;
    let error = second.ready().await.expect_err("it is gone");
    assert!(matches!(error, Error::PlacementGroupRemoved { .. }), "{error:?}");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn child_tasks_are_captured_when_asked() -> rustyray::Result<()> {
    let group = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    group.ready().await?;
    let inside = || submits_remote::options().placement_group(&group, 0);
    assert_eq!(inside().capture_child_tasks(true).remote().await?.get().await?, 3);
    // Otherwise the child waits for the machine's only cpu, which the group has.
    let outside = inside().remote().await?;
    assert!(matches!(
        outside.get_timeout(Duration::from_millis(50)).await,
        Err(Error::GetTimeout { .. })
    ));
    group.remove().await?;
    Ok(())
}

/// Makes an actor that asks for a cpu, of which only the group has any, and gives it.
#[rustyray::remote(num_cpus = 0)]
async fn settles() -> rustyray::Result<ResidentHandle> {
    let resident = Resident::remote().await?;
    resident.ready().await?;
    Ok(resident)
}

#[rustyray::test(num_cpus = 1)]
async fn actors_are_captured_as_tasks_are() -> rustyray::Result<()> {
    let group = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    group.ready().await?;
    let inside = settles_remote::options().placement_group(&group, 0).capture_child_tasks(true);
    let resident = inside.remote().await?.get_timeout(PATIENCE).await?;
    group.remove().await?;
    assert_eq!(resident.died().await?.reason, ActorEnd::GroupRemoved);
    // Of an actor, which made it, it is the same.
    let group = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    group.ready().await?;
    let inside = Resident::options().num_cpus(0.0).placement_group(&group, 0);
    let first = inside.capture_child_tasks(true).remote().await?;
    let second = first.settles().await?.get_timeout(PATIENCE).await?;
    group.remove().await?;
    assert_eq!(second.died().await?.reason, ActorEnd::GroupRemoved);
    Ok(())
}

/// How long something may take that does happen: more than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Submits what only the group has the means for, and does not wait for it.
#[rustyray::remote(num_cpus = 0)]
async fn leaves_behind() -> rustyray::Result<Vec<ObjectRef<u64>>> {
    Ok(vec![add_remote::options().resource("tpu", 1.0).remote(1, 2).await?])
}

/// Waits for that.
#[rustyray::remote(num_cpus = 0)]
async fn waits_on_top() -> rustyray::Result<Vec<ObjectRef<u64>>> {
    leaves_behind_remote::remote().await?.get().await
}

/// Is killed by a signal, and says so when it runs again.
#[rustyray::remote(num_cpus = 0)]
fn dies_once(begun: String, again: String) {
    if rustyray::context().attempt > 0 {
        std::fs::write(again, "").expect("the directory is there");
    } else if !Path::new(&begun).exists() {
        std::fs::write(begun, "").expect("the directory is there");
        std::process::abort();
    }
}

/// Waits for that one, which runs on top of it, as this on top of what waits for this.
#[rustyray::remote(num_cpus = 0)]
async fn waits_for_the_dead(begun: String, again: String, deep: bool) -> rustyray::Result<()> {
    match deep {
        true => waits_for_the_dead_remote::remote(begun, again, false).await?.get().await,
        false => {
            let dies = dies_once_remote::options().resource("tpu", 1.0);
            dies.remote(begun, again).await?.get().await
        }
    }
}

#[test]
fn what_runs_on_top_of_another_captures_as_it_would_elsewhere() {
    let builder = rustyray::Builder::new().num_cpus(1.0).resource("tpu", 1.0).max_workers(1);
    rustyray::block_on(async {
        let runtime = builder.visible(false).start().await?;
        let bundle = Bundle::new().num_cpus(1.0).resource("tpu", 1.0);
        let group = PlacementGroup::create([bundle], PACK).await?;
        group.ready().await?;
        let waits = waits_on_top_remote::options().placement_group(&group, 0);
        let left = waits.capture_child_tasks(true).remote().await?.get_timeout(PATIENCE).await?;
        assert_eq!(left[0].get_timeout(PATIENCE).await?, 3);
        // Nobody waits for the second attempt: it runs only where it is as the first was.
        let directory = tempfile::tempdir().expect("a directory");
        let [begun, again] = ["begun", "again"].map(|name| directory.path().join(name));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let waits = waits_for_the_dead_remote::options().placement_group(&group, 0);
        let waits = waits.capture_child_tasks(true).remote(text(&begun), text(&again), true);
        waits.await?.get_timeout(PATIENCE).await?;
        let deadline = Instant::now() + PATIENCE;
        while !again.exists() {
            assert!(Instant::now() < deadline, "it is not run again");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        group.remove().await?;
        runtime.shutdown().await
    })
    .expect("it works");
}

#[rustyray::test(num_cpus = 2)]
async fn an_actor_lives_in_a_group() -> rustyray::Result<()> {
    let bundles = [Bundle::new().num_cpus(1.0), Bundle::new().num_cpus(1.0)];
    let group = PlacementGroup::create(bundles, PACK).await?;
    let actor =
        Resident::options().placement_group(&group, 0).capture_child_tasks(true).remote().await?;
    assert_eq!(actor.submits().await?.get().await?, 7);
    group.remove().await?;
    let error = actor.submits().await;
    let error = match error {
        Ok(call) => call.get().await.expect_err("its group is gone"),
        Err(error) => error,
    };
    assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");
    Ok(())
}

/// The node sees the first calls of an actor, and those that follow them go past it. What an actor captures is the same
/// by either way.
#[rustyray::test(num_cpus = 1)]
async fn an_actor_captures_what_its_calls_submit_however_they_came() -> rustyray::Result<()> {
    let group = PlacementGroup::create([Bundle::new().num_cpus(1.0)], PACK).await?;
    group.ready().await?;
    let inside = || Resident::options().num_cpus(0.0).placement_group(&group, 0);
    let captures = inside().capture_child_tasks(true).remote().await?;
    let others = inside().remote().await?;
    for before in [0, 100] {
        for _ in 0..before {
            captures.rests().await?.get().await?;
            others.rests().await?.get().await?;
        }
        // There is no cpu outside of the group.
        assert_eq!(captures.submits().await?.get().await?, 7, "{before} calls before");
        assert_eq!(captures.submits_aside().await?.get().await?, 11, "{before} calls before");
        let waits = others.submits().await?;
        let waited = waits.get_timeout(Duration::from_millis(50)).await;
        assert!(matches!(waited, Err(Error::GetTimeout { .. })), "{before}: {waited:?}");
        waits.cancel(CancelOptions::default()).await?;
    }
    assert!(rustyray::Runtime::current()?.direct_lines() > 0);
    group.remove().await?;
    Ok(())
}

#[rustyray::test(num_cpus = 2, resources(tpu = 1))]
async fn groups_have_names_and_cross_processes() -> rustyray::Result<()> {
    let bundles = || [Bundle::new().num_cpus(1.0)];
    let group = PlacementGroup::options().name("shared").create(bundles(), PACK).await?;
    assert_eq!(PlacementGroup::get("shared").await?, group);
    let taken = PlacementGroup::options().name("shared").create(bundles(), PACK).await;
    assert!(matches!(taken, Err(Error::InvalidArgument { .. })), "{taken:?}");
    assert_eq!(uses_remote::remote(group.clone()).await?.get().await?, 22);
    group.remove().await?;
    assert!(PlacementGroup::get("shared").await.is_err());
    assert!(creates_and_removes_remote::remote(1.0).await?.get().await?);
    let error = creates_and_removes_remote::remote(2.0).await?.get().await.expect_err("too much");
    assert!(error.to_string().contains("tpu 2"), "{error}");
    Ok(())
}

/// Creates an actor of a name in a group that is gone, and then one outside; what came of the first.
#[rustyray::remote(num_cpus = 0)]
async fn names_twice() -> rustyray::Result<String> {
    let group = PlacementGroup::create([Bundle::new()], PACK).await?;
    group.remove().await?;
    let nowhere = Resident::options().name("settler").placement_group(&group, 0).remote().await?;
    let refused = nowhere.ready().await.expect_err("there is no such group");
    Resident::options().name("settler").num_cpus(0.0).remote().await?.ready().await?;
    Ok(refused.to_string())
}

#[rustyray::test(num_cpus = 1)]
async fn an_actor_that_found_no_group_leaves_its_name_to_others() -> rustyray::Result<()> {
    let refused = names_twice_remote::remote().await?.get().await?;
    assert!(refused.contains("placement group was removed"), "{refused}");
    Ok(())
}
