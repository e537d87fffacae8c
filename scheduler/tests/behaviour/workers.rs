//! Workers: who gets what, and what deaths and waits mean for it.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use rustyray_scheduler::{Config, Demand, Failure, JobId, NewActor, Outcome, PoolId, WorkerId};

use crate::fake::{Wish, World};

#[test]
fn tasks_spread_over_idle_workers_and_then_queue() {
    let world = World::cpus(2);
    let names: Vec<u64> = (0..5).map(|_| world.submit(&[]).0).collect();
    let queued = world.queue(1).len() + world.queue(2).len();
    assert_eq!(queued, 5);
    assert!(!world.queue(1).is_empty() && !world.queue(2).is_empty());
    assert_eq!(world.run_all().len(), names.len());
    world.assert_at_rest();
}

#[test]
fn an_idle_worker_gets_what_waits_behind_anothers_task() {
    let world = World::cpus(2);
    for _ in 0..10 {
        world.submit(&[]);
    }
    let held = world.begin(1).expect("busy for long");
    while world.run(2).is_some() {}
    assert_eq!(world.queue(1), [held.job.name], "nothing waits behind it");
    world.complete(1, &held, Outcome::Done);
    world.assert_at_rest();
}

#[test]
fn what_a_dead_worker_had_not_begun_costs_no_attempt() {
    let world = World::cpus(1);
    let (first, ..) = world.submit(&[]);
    let (second, ..) = world.submit(&[]);
    world.begin(1).expect("the first");
    world.die(1);
    let Some(Failure::WorkerDied { worker, attempt, cause }) = world.failure(first) else {
        panic!("it may not run twice")
    };
    assert_eq!((worker, attempt, cause.as_str()), (WorkerId(1), 0, "worker 1 died"));
    world.join(1);
    assert_eq!(world.run_all(), [second]);
    world.assert_at_rest();
}

#[test]
fn retries_are_counted() {
    let world = World::cpus(1);
    let (name, ..) = world.submit_as(&[], Wish { retries: 2, ..Wish::default() });
    for attempt in 0..3 {
        let entry = world.begin(1).expect("it runs again");
        assert_eq!(entry.attempt, attempt);
        world.die(1);
        world.join(1);
    }
    assert!(matches!(world.failure(name), Some(Failure::WorkerDied { attempt: 2, .. })));
    let (name, ..) = world.submit_as(&[], Wish { retries: 1, ..Wish::default() });
    for _ in 0..2 {
        let entry = world.begin(1).expect("it runs again");
        world.complete(1, &entry, Outcome::Failed { retry: true });
    }
    assert_eq!(world.failure(name), Some(Failure::RetriesSpent { attempt: 1 }));
    world.assert_at_rest();
}

#[test]
fn a_late_word_of_an_earlier_attempt_is_nothing() {
    let world = World::cpus(1);
    let (_, task, _) = world.submit_as(&[], Wish { retries: 1, ..Wish::default() });
    world.begin(1).expect("begun");
    world.die(1);
    world.join(1);
    world.scheduler.completed(WorkerId(1), task, 0, Outcome::Done, 0);
    world.scheduler.completed(WorkerId(2), task, 1, Outcome::Done, 0);
    assert_eq!(world.run_all().len(), 1, "the second attempt still runs");
    world.assert_at_rest();
}

#[test]
fn a_task_that_waits_gives_its_cpu_and_what_is_behind_it_to_others() {
    let world = World::cpus(1);
    let (parent, ..) = world.submit(&[]);
    let entry = world.begin(1).expect("the parent");
    let (child, ..) = world.submit(&[]);
    assert_eq!(world.queue(1).len(), 2);
    world.scheduler.blocked(WorkerId(1));
    assert_eq!(world.queue(1), [parent]);
    assert_eq!(world.host().asked, 1, "somebody else is to run the child");
    world.join(2);
    assert_eq!(world.run_all(), [child]);
    world.scheduler.unblocked(WorkerId(1));
    world.complete(1, &entry, Outcome::Done);
    world.assert_at_rest();
}

#[test]
fn a_hundred_tasks_that_wait_for_each_other_all_run() {
    let world = World::new(Config { cpus: 1.0, max_workers: 256, ..Config::default() });
    let mut workers = 0;
    let mut running = Vec::new();
    for _ in 0..100 {
        world.submit(&[]);
        if let Some(&(worker, _)) = running.last() {
            world.scheduler.blocked(WorkerId(worker));
        }
        while workers < world.host().asked {
            workers += 1;
            world.join(workers as u16);
        }
        let begun = (1..=workers as u16).find_map(|worker| Some((worker, world.begin(worker)?)));
        running.push(begun.expect("it has a worker of its own"));
    }
    while let Some((worker, entry)) = running.pop() {
        world.complete(worker, &entry, Outcome::Done);
        if let Some(&(worker, _)) = running.last() {
            world.scheduler.unblocked(WorkerId(worker));
        }
    }
    world.assert_at_rest();
}

#[test]
fn a_full_queue_is_tried_again() {
    let world = World::cpus(1);
    world.host().room = 0;
    let (name, ..) = world.submit(&[]);
    assert_eq!(world.scheduler.backlog(), 1);
    world.scheduler.dispatch();
    assert_eq!(world.scheduler.backlog(), 1);
    world.host().room = 1;
    world.scheduler.dispatch();
    assert_eq!(world.run_all(), [name]);
    world.assert_at_rest();
}

#[test]
fn more_workers_are_asked_for_as_far_as_the_cpus_go() {
    let world = World::new(Config { cpus: 3.0, ..Config::default() });
    for _ in 0..10 {
        world.submit(&[]);
    }
    assert_eq!(world.host().asked, 3);
    world.scheduler.spawn_failed(crate::fake::POOL, 1);
    world.scheduler.dispatch();
    assert_eq!(world.host().asked, 4, "one that did not come is asked for again");
}

#[test]
fn a_retired_worker_gets_nothing_more() {
    let world = World::cpus(2);
    assert_eq!(world.scheduler.idle_workers().len(), 2);
    assert!(world.scheduler.retire(WorkerId(1)));
    assert!(!world.scheduler.retire(WorkerId(1)), "once");
    assert_eq!(world.host().stopped, [WorkerId(1)]);
    for _ in 0..3 {
        world.submit(&[]);
    }
    assert!(world.queue(1).is_empty());
    assert!(!world.scheduler.retire(WorkerId(2)), "it has something to do");
    world.die(1);
    assert_eq!(world.run_all().len(), 3);
    world.assert_at_rest();
}

#[test]
fn where_there_can_be_no_more_workers_idle_ones_make_place_for_those_of_another_pool() {
    let world = World::new(Config { cpus: 2.0, worker_limit: 2, ..Config::default() });
    world.join(1);
    world.join(2);
    let (running, ..) = world.submit(&[]);
    let (busy, idle) = if world.queue(1).is_empty() { (2, 1) } else { (1, 2) };
    let other = || Wish { pool: PoolId(1), ..Wish::default() };
    let (task, ..) = world.submit_as(&[], other());
    assert_eq!(world.host().stopped, [WorkerId(idle)]);
    world.scheduler.dispatch();
    assert_eq!(world.host().stopped.len(), 1, "once, however long it takes");
    assert_eq!(world.host().asked, 0, "there is no place yet");
    world.die(idle);
    assert_eq!(world.host().asked, 1);
    world.join_pool(idle, PoolId(1));
    assert_eq!(world.run(idle), Some(task));
    // The one that has something to do stays.
    assert_eq!(world.run(busy), Some(running));
    assert_eq!(world.host().stopped.len(), 1);
    world.assert_at_rest();
}

#[test]
fn workers_are_kept_for_tasks_whatever_lives() {
    let world =
        World::new(Config { cpus: 8.0, worker_limit: 3, actor_limit: 2, ..Config::default() });
    (1..=3).for_each(|worker| world.join(worker));
    let actors = [(); 2].map(|()| world.actor(0, 0));
    assert_eq!(world.run_all().len(), 2, "both live");
    let (_, further, _) = world.actor(0, 0);
    assert!(world.run_all().is_empty(), "it waits for the end of one");
    assert_eq!((world.scheduler.awaiting_workers(), world.scheduler.awaiting_places()), (1, 1));
    assert_eq!(world.host().asked, 0, "no further worker would help");
    let (task, ..) = world.submit(&[]);
    assert_eq!(world.run_all(), [task]);
    let (actor, ..) = actors[0];
    let worker = world.scheduler.actor_worker(actor).expect("it lives");
    world.scheduler.kill_actor(actor, false);
    world.die(worker.0);
    assert_eq!(world.run_all(), [further]);
    assert_eq!(world.scheduler.awaiting_workers(), 0);
}

#[test]
fn a_place_is_free_again_when_a_constructor_fails_or_a_worker_is_lost() {
    let world =
        World::new(Config { cpus: 8.0, worker_limit: 3, actor_limit: 1, ..Config::default() });
    (1..=3).for_each(|worker| world.join(worker));
    world.actor(0, 0);
    let (worker, entry) = (1..=3).find_map(|w| Some((w, world.begin(w)?))).expect("begun");
    let (_, second, _) = world.actor(1, 0);
    world.complete(worker, &entry, Outcome::Failed { retry: false });
    assert_eq!(world.run_all(), [second]);
    let (_, third, _) = world.actor(0, 0);
    let lived = (1..=3).find(|&worker| world.scheduler.actor_of(WorkerId(worker)).is_some());
    world.die(lived.expect("the second one lives"));
    // Who has lived is constructed again, and the other goes on waiting, or the other way round: one at a time.
    let constructed = world.run_all();
    assert!(constructed == [second] || constructed == [third], "{constructed:?}");
    assert_eq!(world.scheduler.awaiting_places(), 1);
}

#[test]
fn what_waits_behind_another_is_taken_while_others_wait_for_resources() {
    let world = World::cpus(3);
    let wish = |cpus| Wish { demand: Demand::cpus(cpus), ..Wish::default() };
    let busy: Vec<_> = (0..3).map(|_| world.submit_as(&[], wish(1.0)).0).collect();
    let running: Vec<_> = (1..=3).filter_map(|w| world.begin(w).map(|entry| (w, entry))).collect();
    assert_eq!(running.len(), busy.len());
    // Behind one of them; and those that need more than is ever free meanwhile.
    let (behind, ..) = world.submit_as(&[], wish(1.0));
    let (large, ..) = world.submit_as(&[], wish(2.0));
    let host = (1..=3).find(|&worker| world.queue(worker).contains(&behind)).expect("handed over");
    let (other, entry) = running.iter().find(|(worker, _)| *worker != host).expect("there are two");
    world.complete(*other, entry, Outcome::Done);
    assert_eq!(world.queue(*other), [behind], "an idle worker takes it");
    for (worker, entry) in running.iter().filter(|(worker, _)| worker != other) {
        world.complete(*worker, entry, Outcome::Done);
    }
    let ran = world.run_all();
    assert!(ran.contains(&behind) && ran.contains(&large), "{ran:?}");
    world.assert_at_rest();
}

#[test]
fn a_listing_says_who_is_youngest_and_may_be_run_again() {
    let world = World::cpus(3);
    let retriable = Wish { retries: 1, ..Wish::default() };
    let (_, first, _) = world.submit_as(&[], retriable.clone());
    let (_, second, _) = world.submit_as(&[], retriable);
    let (_, third, _) = world.submit(&[]);
    let mut workers = world.scheduler.workers();
    workers.sort_by_key(|worker| worker.since);
    let said: Vec<_> = workers.iter().map(|info| (info.running, info.retriable)).collect();
    assert_eq!(said, [(Some(first), true), (Some(second), true), (Some(third), false)]);
}

#[test]
fn a_condemned_worker_gets_nothing_more_and_what_it_ran_is_not_charged() {
    let world = World::cpus(1);
    let wish = Wish { retries: 1, ..Wish::default() };
    let (name, task, _) = world.submit_as(&[], wish);
    let (behind, ..) = world.submit(&[]);
    for death in 0..Config::MAX_SPARED {
        let running = world.begin(1).expect("it was handed over");
        assert_eq!((running.task, running.attempt), (task, death));
        assert!(!world.scheduler.condemn(WorkerId(1), None, true, |_| panic!("it runs a task")));
        let mut seen = None;
        let look = |job: Option<&crate::fake::Job>| seen = job.map(|job| job.name);
        assert!(world.scheduler.condemn(WorkerId(1), Some(task), true, look));
        assert_eq!(world.host().killed.len(), usize::from(death) + 1);
        assert_eq!(seen, Some(name));
        assert!(!world.scheduler.condemn(WorkerId(1), Some(task), true, |_| ()), "once");
        assert_eq!(world.queue(1).len(), 1, "what waited behind it was taken back");
        world.die(1);
        world.join(1);
    }
    // From here on it counts.
    for _ in 0..2 {
        assert_eq!(world.begin(1).map(|running| running.task), Some(task));
        assert!(world.scheduler.condemn(WorkerId(1), Some(task), true, |_| ()));
        world.die(1);
        world.join(1);
    }
    let attempt = Config::MAX_SPARED + 1;
    let failed = world.failure(name);
    assert!(
        matches!(failed, Some(Failure::WorkerDied { attempt: last, .. }) if last == attempt),
        "{failed:?}"
    );
    assert_eq!(world.run_all(), [behind]);
    world.assert_at_rest();
}

#[test]
fn who_is_to_be_killed_is_killed_before_another_can_have_its_number() {
    let world = World::cpus(2);
    let (actor, ..) = world.actor_with(|new| NewActor { job: JobId(1), ..new });
    let home = (1..=2).find(|&worker| world.run(worker).is_some()).expect("it is constructed");
    assert_eq!(world.scheduler.actor_worker(actor), Some(WorkerId(home)));
    let (queued, ..) = world.submit_as(&[], Wish { job: 1, ..Wish::default() });
    // While the host is told that the task has failed, the actor's worker dies, and another joins in its place.
    let (scheduler, killed) = (Arc::clone(&world.scheduler), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&killed);
    let meanwhile = move || {
        let reused = || {
            scheduler.worker_left(WorkerId(home), "it died by itself".into());
            *seen.lock().unwrap() = std::mem::take(&mut scheduler.host().inner().killed);
            scheduler.worker_joined(WorkerId(home), crate::fake::POOL);
        };
        thread::scope(|scope| scope.spawn(reused).join().expect("nobody has the token"));
    };
    world.host().at_failure = Some(Box::new(meanwhile));
    world.scheduler.job_ended(JobId(1));
    assert!(matches!(world.failure(queued), Some(Failure::JobEnded)));
    assert_eq!(*killed.lock().unwrap(), [WorkerId(home)]);
    assert!(world.host().killed.is_empty(), "who came after it is spared");
    world.assert_at_rest();
}

#[test]
fn a_condemned_worker_charges_what_has_no_retries_or_is_to_be_charged() {
    let world = World::cpus(1);
    for (retries, spares) in [(0, true), (0, false), (1, false)] {
        let wish = Wish { retries, ..Wish::default() };
        let (name, task, _) = world.submit_as(&[], wish);
        for _ in 0..=retries {
            world.begin(1).expect("it was handed over");
            assert!(world.scheduler.condemn(WorkerId(1), Some(task), spares, |_| ()));
            world.die(1);
            world.join(1);
        }
        assert!(matches!(world.failure(name), Some(Failure::WorkerDied { .. })));
    }
    // One with nothing, too.
    assert!(world.scheduler.condemn(WorkerId(1), None, true, |_| ()));
    world.submit(&[]);
    assert!(world.queue(1).is_empty());
    world.die(1);
    world.join(1);
    assert_eq!(world.run_all().len(), 1);
    world.assert_at_rest();
}

#[test]
fn priority_goes_first_and_within_one_first_come_first_served() {
    let world = World::cpus(1);
    let (_, holder, _) = world.submit(&[]);
    world.begin(1).expect("busy");
    let wish = |priority| Wish { priority, ..Wish::default() };
    let low: Vec<u64> = (0..200).map(|_| world.submit_as(&[], wish(-1)).0).collect();
    let high: Vec<u64> = (0..3).map(|_| world.submit_as(&[], wish(5)).0).collect();
    let _ = world.cancel(holder);
    world.die(1);
    world.join(1);
    let ran = world.run_all();
    assert_eq!(ran[..3], high);
    assert_eq!(ran[3..], low);
}

#[test]
fn a_second_job_does_not_wait_for_the_backlog_of_the_first() {
    let world = World::cpus(2);
    let wish = |job| Wish { job, ..Wish::default() };
    let first: Vec<u64> = (0..1000).map(|_| world.submit_as(&[], wish(1)).0).collect();
    let busy: Vec<_> = (1..=2).filter_map(|w| world.begin(w).map(|e| (w, e))).collect();
    let second: Vec<u64> = (0..20).map(|_| world.submit_as(&[], wish(2)).0).collect();
    for (worker, entry) in busy {
        world.complete(worker, &entry, Outcome::Done);
    }
    let ran = world.run_all();
    let place = |name: u64| ran.iter().position(|&ran| ran == name).expect("it ran");
    assert!(place(second[19]) < 60, "it came at {}", place(second[19]));
    assert_eq!(ran.len(), first.len() + second.len() - 2);
    world.assert_at_rest();
}

#[test]
fn jobs_come_and_go_for_as_long_as_the_scheduler_lives() {
    let world = World::cpus(1);
    for job in 1..=20_000 {
        let (name, ..) = world.submit_as(&[], Wish { job, ..Wish::default() });
        assert_eq!(world.run_all(), [name], "of job {job}");
    }
    world.assert_at_rest();
}

#[test]
fn a_task_that_needs_much_is_not_passed_for_ever() {
    let world = World::cpus(2);
    for _ in 0..300 {
        world.submit(&[]);
    }
    let (large, ..) = world.submit_as(&[], Wish { demand: Demand::cpus(2.0), ..Wish::default() });
    // Small ones keep coming, as fast as they are done.
    let mut at = None;
    for round in 0..5000 {
        for worker in [1, 2] {
            if world.run(worker) == Some(large) {
                at = Some(round);
            }
        }
        world.submit(&[]);
        world.submit(&[]);
        if at.is_some() {
            break;
        }
    }
    assert!(at.is_some(), "it was never given both cpus");
    world.run_all();
    world.assert_at_rest();
}
