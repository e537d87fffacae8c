//! Where waking a worker costs more than a task does, tasks queue; where it does not, they spread.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use rustyray_scheduler::{Config, Outcome};

use crate::fake::{Wish, World};

const WAKE_COST: Duration = Duration::from_micros(80);

/// Two workers, and one sort of tasks that is known to run that long.
fn world(ran: Duration) -> World {
    let world = World::new(Config { cpus: 2.0, wake_cost: WAKE_COST, ..Config::default() });
    (1..=2).for_each(|worker| world.join(worker));
    world.ran_ns.store(ran.as_nanos() as u64, Relaxed);
    world.submit(&[]);
    world.run_all();
    world
}

fn queued(world: &World) -> [usize; 2] {
    let mut queued = [world.queue(1).len(), world.queue(2).len()];
    queued.sort_unstable();
    queued
}

#[test]
fn quick_tasks_queue_for_as_long_as_a_wakeup_costs() {
    let world = world(Duration::from_micros(10));
    for _ in 0..8 {
        world.submit(&[]);
    }
    assert_eq!(queued(&world), [0, 8], "eight times ten is eighty");
    world.submit(&[]);
    assert_eq!(queued(&world), [1, 8], "that is more than a wakeup");
    assert_eq!(world.run_all().len(), 9);
    world.assert_at_rest();
}

#[test]
fn long_tasks_spread_at_once() {
    let world = world(Duration::from_millis(100));
    world.submit(&[]);
    world.submit(&[]);
    assert_eq!(queued(&world), [1, 1]);
}

#[test]
fn what_is_not_known_yet_spreads() {
    let world = world(Duration::from_micros(1));
    let other = || Wish { alike: 12_345, ..Wish::default() };
    world.submit_as(&[], other());
    world.submit_as(&[], other());
    assert_eq!(queued(&world), [1, 1]);
}

#[test]
fn a_full_queue_of_quick_tasks_wakes_nobody_and_is_refilled() {
    let world =
        World::new(Config { cpus: 2.0, wake_cost: WAKE_COST, queue_depth: 4, ..Config::default() });
    (1..=2).for_each(|worker| world.join(worker));
    world.ran_ns.store(1000, Relaxed);
    world.submit(&[]);
    world.run_all();
    for _ in 0..20 {
        world.submit(&[]);
    }
    assert_eq!(queued(&world), [0, 4]);
    assert_eq!(world.scheduler.backlog(), 16);
    assert_eq!(world.run_all().len(), 20);
    world.assert_at_rest();
}

#[test]
fn what_waits_behind_a_task_that_is_slow_for_once_is_given_to_others() {
    let world = world(Duration::from_micros(1));
    for _ in 0..10 {
        world.submit(&[]);
    }
    assert_eq!(queued(&world), [0, 10]);
    let busy = if world.queue(1).is_empty() { 2 } else { 1 };
    let slow = world.begin(busy).expect("it is there");
    assert!(world.scheduler.wants_review());
    assert_eq!(world.host().reviews_wanted, 1, "the host is told once");
    let start = Instant::now();
    assert_eq!(world.scheduler.review(start), Some(WAKE_COST));
    assert_eq!(queued(&world), [0, 10], "nobody knows yet");
    let _ = world.scheduler.review(start + 2 * WAKE_COST);
    assert_eq!(queued(&world), [1, 9], "nothing waits behind it");
    while world.run(3 - busy).is_some() {}
    world.complete(busy, &slow, Outcome::Done);
    assert!(!world.scheduler.wants_review(), "an idle scheduler wants no timer");
    assert_eq!(world.scheduler.review(start + 9 * WAKE_COST), None);
    world.assert_at_rest();
}

#[test]
fn a_task_that_goes_on_is_not_taken_for_slow() {
    let world = world(Duration::from_micros(1));
    for _ in 0..10 {
        world.submit(&[]);
    }
    let busy = if world.queue(1).is_empty() { 2 } else { 1 };
    let start = Instant::now();
    for round in 0..5 {
        let _ = world.scheduler.review(start + round * 3 * WAKE_COST);
        world.run(busy).expect("it goes on");
    }
    assert_eq!(queued(&world), [0, 5]);
}

#[test]
fn a_worker_that_is_known_to_be_slow_is_not_looked_at_again() {
    let config = Config { cpus: 1.0, wake_cost: WAKE_COST, ..Config::default() };
    let world = World::new(config);
    (1..=2).for_each(|worker| world.join(worker));
    world.ran_ns.store(1000, Relaxed);
    world.submit(&[]);
    world.run_all();
    for _ in 0..3 {
        world.submit(&[]);
    }
    let busy = if world.queue(1).is_empty() { 2 } else { 1 };
    let slow = world.begin(busy).expect("it is there");
    let start = Instant::now();
    assert_eq!(world.scheduler.review(start), Some(WAKE_COST));
    assert_eq!(world.scheduler.review(start + 2 * WAKE_COST), None, "there is no cpu for others");
    assert!(!world.scheduler.wants_review());
    world.complete(busy, &slow, Outcome::Done);
    assert!(world.scheduler.wants_review(), "the next one may be slow, too");
    assert_eq!(world.host().reviews_wanted, 2);
    assert_eq!(world.run_all().len(), 2);
    world.assert_at_rest();
}

#[test]
fn quick_tasks_queue_for_a_worker_beside_a_slow_one() {
    let world = world(Duration::from_micros(1));
    for _ in 0..3 {
        world.submit(&[]);
    }
    let busy = if world.queue(1).is_empty() { 2 } else { 1 };
    let slow = world.begin(busy).expect("it is there");
    let start = Instant::now();
    let _ = world.scheduler.review(start);
    let _ = world.scheduler.review(start + 2 * WAKE_COST);
    for _ in 0..5 {
        world.submit(&[]);
    }
    assert_eq!(world.queue(busy).len(), 1, "nothing is put behind it");
    assert_eq!(world.queue(3 - busy).len(), 7);
    while world.run(3 - busy).is_some() {}
    world.complete(busy, &slow, Outcome::Done);
    world.assert_at_rest();
}
