//! Dependencies: one, many, chains, diamonds; and what a failure does to what comes after it.

use rustyray_scheduler::{Failure, ObjectKey, Outcome, Readiness};

use crate::fake::World;

#[test]
fn a_task_runs_when_its_arguments_are_there() {
    let world = World::cpus(1);
    let (one, other) = (world.object(), world.object());
    let (name, task, made) = world.submit(&[one, other]);
    assert_eq!(world.run_all(), []);
    world.seal(one);
    assert_eq!(world.run_all(), []);
    assert_eq!(world.scheduler.producer(made), Some(task));
    world.seal(other);
    assert_eq!(world.run_all(), [name]);
    assert_eq!(world.readiness(made), Readiness::Ready);
    assert_eq!(world.scheduler.producer(made), None, "it has ended");
    world.assert_at_rest();
}

#[test]
fn an_argument_that_is_told_twice_counts_once() {
    let world = World::cpus(1);
    let (one, other) = (world.object(), world.object());
    world.submit(&[one, other]);
    world.seal(one);
    world.seal(one);
    assert_eq!(world.run_all(), []);
    world.seal(other);
    assert_eq!(world.run_all().len(), 1);
}

#[test]
fn the_same_argument_twice_is_waited_for_once_each() {
    let world = World::cpus(1);
    let one = world.object();
    world.submit(&[one, one, one]);
    world.seal(one);
    assert_eq!(world.run_all().len(), 1);
    world.assert_at_rest();
}

#[test]
fn a_diamond_joins_after_both_sides() {
    let world = World::cpus(2);
    let (top, _, a) = world.submit(&[]);
    let (left, _, b) = world.submit(&[a]);
    let (right, _, c) = world.submit(&[a]);
    let (bottom, ..) = world.submit(&[b, c]);
    let ran = world.run_all();
    assert_eq!(ran[0], top);
    assert_eq!(ran[3], bottom);
    let mut sides = [ran[1], ran[2]];
    sides.sort_unstable();
    assert_eq!(sides, [left, right]);
    world.assert_at_rest();
}

#[test]
fn a_chain_of_a_hundred_thousand_runs() {
    let world = World::cpus(1);
    let start = world.object();
    let mut last = start;
    for _ in 0..100_000 {
        last = world.submit(&[last]).2;
    }
    world.seal(start);
    assert_eq!(world.run_all().len(), 100_000);
    assert_eq!(world.readiness(last), Readiness::Ready);
    world.assert_at_rest();
}

#[test]
fn a_failure_reaches_the_end_of_a_chain_of_a_hundred_thousand_at_once() {
    let world = World::cpus(1);
    let start = world.object();
    let mut last = (0, start);
    for _ in 0..100_000 {
        let (name, _, made) = world.submit(&[last.1]);
        last = (name, made);
    }
    world.fail(start, "the original");
    assert_eq!(world.readiness(last.1), Readiness::Failed);
    let Some(Failure::Dependency { cause, .. }) = world.failure(last.0) else {
        panic!("it failed by its dependency")
    };
    assert_eq!(cause, "the original");
    assert_eq!(world.host().failures.len(), 100_000);
    assert_eq!(world.host().finished.len(), 100_000);
    world.assert_at_rest();
}

#[test]
fn ten_thousand_wait_for_one_and_one_for_ten_thousand() {
    let world = World::cpus(4);
    let start = world.object();
    let made: Vec<ObjectKey> = (0..10_000).map(|_| world.submit(&[start]).2).collect();
    let (last, ..) = world.submit(&made);
    world.seal(start);
    let ran = world.run_all();
    assert_eq!(ran.len(), 10_001);
    assert_eq!(ran.last(), Some(&last));
    world.assert_at_rest();
}

#[test]
fn a_failed_argument_fails_at_once_though_others_are_missing() {
    let world = World::cpus(1);
    let (bad, missing) = (world.object(), world.object());
    let (name, _, made) = world.submit(&[missing, bad]);
    world.fail(bad, "broken");
    assert!(
        matches!(world.failure(name), Some(Failure::Dependency { object, .. }) if object == bad)
    );
    assert_eq!(world.readiness(made), Readiness::Failed);
    // Its other argument comes and finds nobody.
    world.seal(missing);
    assert_eq!(world.run_all(), []);
    world.assert_at_rest();
}

#[test]
fn a_task_with_an_argument_that_has_failed_already_fails_when_it_is_submitted() {
    let world = World::cpus(1);
    let bad = world.object();
    world.fail(bad, "broken");
    let pending = world.object();
    for dependencies in [&[bad][..], &[pending, bad], &[bad, pending]] {
        let (name, _, made) = world.submit(dependencies);
        assert!(matches!(world.failure(name), Some(Failure::Dependency { .. })));
        assert_eq!(world.readiness(made), Readiness::Failed);
    }
    world.seal(pending);
    world.assert_at_rest();
}

#[test]
fn an_error_of_a_task_is_sealed_by_its_worker_and_fails_what_follows() {
    let world = World::cpus(1);
    let (_, _, made) = world.submit(&[]);
    let (after, ..) = world.submit(&[made]);
    let entry = world.begin(1).expect("it was pushed");
    world.complete(1, &entry, Outcome::Failed { retry: false });
    let Some(Failure::Dependency { cause, .. }) = world.failure(after) else { panic!("failed") };
    assert_eq!(cause, "own");
    world.assert_at_rest();
}

#[test]
fn an_object_whose_slot_is_used_again_is_another_object() {
    let world = World::cpus(1);
    let old = world.object();
    let (first, waiting, _) = world.submit(&[old]);
    assert_eq!(world.cancel(waiting), rustyray_scheduler::Cancelled::Unstarted);
    assert_eq!(world.failure(first), Some(Failure::Cancelled));
    // The cancelled task's edge is still in the slot's list.
    let new = ObjectKey { generation: old.generation + 1, ..old };
    world.revive(new);
    let (second, ..) = world.submit(&[new]);
    world.scheduler.settled(old, Readiness::Ready);
    assert_eq!(world.run_all(), [], "the old object is not the new one");
    world.seal(new);
    assert_eq!(world.run_all(), [second]);
    world.assert_at_rest();
}
