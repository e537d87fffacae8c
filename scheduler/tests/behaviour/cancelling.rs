//! Cancelling at every point of a task's way.

use std::collections::BTreeSet;

use rustyray_scheduler::{
    ActorState, CallerId, CancelMode, Cancelled, Demand, Failure, GroupState, JobId, NewActor,
    NewGroup, Outcome, Readiness, Strategy, TaskId, WorkerId,
};

use crate::fake::{Wish, World};

#[test]
fn what_waits_for_an_argument_is_cancelled() {
    let world = World::cpus(1);
    let argument = world.object();
    let (name, task, made) = world.submit(&[argument]);
    let (after, ..) = world.submit(&[made]);
    assert_eq!(world.cancel(task), Cancelled::Unstarted);
    assert_eq!(world.failure(name), Some(Failure::Cancelled));
    assert!(matches!(world.failure(after), Some(Failure::Dependency { .. })));
    world.seal(argument);
    assert_eq!(world.run_all(), []);
    assert_eq!(world.cancel(task), Cancelled::Unknown);
    world.assert_at_rest();
}

#[test]
fn what_is_queued_is_taken_back_and_what_is_ready_leaves_its_lane() {
    let world = World::cpus(1);
    let depth = 128;
    let tasks: Vec<_> = (0..depth + 10).map(|_| world.submit(&[])).collect();
    let running = world.begin(1).expect("the first");
    assert_eq!(running.task, tasks[0].1);
    for at in [1, 5, depth, depth + 9] {
        assert_eq!(world.cancel(tasks[at].1), Cancelled::Unstarted, "{at}");
        assert_eq!(world.failure(tasks[at].0), Some(Failure::Cancelled));
    }
    world.complete(1, &running, Outcome::Done);
    assert_eq!(world.run_all().len(), depth + 10 - 5);
    world.assert_at_rest();
}

#[test]
fn what_runs_is_interrupted_and_not_run_again() {
    let world = World::cpus(1);
    let (name, task, _) = world.submit_as(&[], Wish { retries: 5, ..Wish::default() });
    let entry = world.begin(1).expect("pushed");
    assert_eq!(world.cancel(task), Cancelled::Running { worker: WorkerId(1) });
    assert_eq!(world.host().interrupted, [(WorkerId(1), task, 0)]);
    world.complete(1, &entry, Outcome::Failed { retry: true });
    assert_eq!(world.failure(name), Some(Failure::Cancelled));
    world.assert_at_rest();
}

#[test]
fn a_result_that_was_made_before_the_interrupt_counts() {
    let world = World::cpus(1);
    let (name, task, made) = world.submit(&[]);
    let entry = world.begin(1).expect("pushed");
    let _ = world.cancel(task);
    world.complete(1, &entry, Outcome::Done);
    assert_eq!(world.failure(name), None);
    assert_eq!(world.readiness(made), Readiness::Ready);
}

#[test]
fn by_force_the_worker_dies_and_only_the_task_with_it() {
    let world = World::cpus(1);
    let (name, task, _) = world.submit_as(&[], Wish { retries: 5, ..Wish::default() });
    let (behind, ..) = world.submit(&[]);
    world.begin(1).expect("pushed");
    let force = CancelMode { force: true, recursive: false };
    assert_eq!(world.scheduler.cancel(task, force), Cancelled::Running { worker: WorkerId(1) });
    assert_eq!(world.host().killed, [WorkerId(1)]);
    world.die(1);
    assert_eq!(world.failure(name), Some(Failure::Cancelled));
    world.join(1);
    assert_eq!(world.run_all(), [behind]);
    world.assert_at_rest();
}

#[test]
fn recursion_reaches_what_was_submitted_and_nothing_else() {
    let world = World::cpus(8);
    let submit = |parent: Option<TaskId>| world.submit_as(&[], Wish { parent, ..Wish::default() });
    let (_, root, _) = submit(None);
    let (_, child, _) = submit(Some(root));
    let (_, other, _) = submit(None);
    let running: Vec<_> = (1..=8).filter_map(|w| world.begin(w).map(|e| (w, e))).collect();
    assert_eq!(running.len(), 3);
    let waits = world.object();
    let leaf = world.submit_as(&[waits], Wish { parent: Some(child), ..Wish::default() });
    let ended = submit(Some(root));
    let (worker, entry) = (1..=8).find_map(|w| world.begin(w).map(|e| (w, e))).expect("pushed");
    world.complete(worker, &entry, Outcome::Done);
    let mode = CancelMode { force: false, recursive: true };
    assert!(matches!(world.scheduler.cancel(root, mode), Cancelled::Running { .. }));
    let interrupted: Vec<TaskId> = world.host().interrupted.iter().map(|(_, t, _)| *t).collect();
    assert!(interrupted.contains(&root) && interrupted.contains(&child));
    assert!(!interrupted.contains(&other) && !interrupted.contains(&ended.1));
    assert_eq!(world.failure(leaf.0), Some(Failure::Cancelled));
}

#[test]
fn of_all_that_is_cancelled_those_are_told_that_may_have_begun() {
    let world = World::cpus(2);
    let submit = |parent: Option<TaskId>, waits_for: &[_]| {
        world.submit_as(waits_for, Wish { parent, retries: 1, ..Wish::default() }).1
    };
    let root = submit(None, &[]);
    let again = submit(Some(root), &[]);
    let running: Vec<_> = (1..=2).filter_map(|w| world.begin(w).map(|e| (w, e))).collect();
    assert_eq!(running.len(), 2);
    let waits = world.object();
    let child = submit(Some(root), &[waits]);
    let _leaf = submit(Some(child), &[waits]);
    let (worker, entry) = running.iter().find(|(_, e)| e.task == again).expect("it began");
    world.complete(*worker, entry, Outcome::Failed { retry: true });
    let _queued = submit(Some(again), &[]);
    let mut begun = world.scheduler.cancel_with_all(root, false);
    begun.sort();
    assert_eq!(begun, [root, again]);
    assert!(world.scheduler.cancel_with_all(child, false).is_empty(), "it has ended");
}

#[test]
fn a_deep_tree_is_cancelled_without_recursion() {
    let world = World::cpus(1);
    let waits = world.object();
    let (_, root, _) = world.submit(&[waits]);
    let mut parent = root;
    for _ in 0..50_000 {
        let wish = Wish { parent: Some(parent), ..Wish::default() };
        parent = world.submit_as(&[waits], wish).1;
    }
    let mode = CancelMode { force: false, recursive: true };
    assert_eq!(world.scheduler.cancel(root, mode), Cancelled::Unstarted);
    assert_eq!(world.host().failures.len(), 50_001);
    world.assert_at_rest();
}

#[test]
fn calls_that_have_not_begun_are_cancelled_and_their_line_goes_on() {
    let world = World::cpus(1);
    let (actor, ..) = world.actor(0, 0);
    world.run(1).expect("constructed");
    let waits = world.object();
    let (first, first_task) = world.call(actor, 1, &[waits]);
    let (second, second_task) = world.call(actor, 1, &[]);
    let (third, _) = world.call(actor, 1, &[]);
    assert_eq!(world.run(1), None, "the first holds up the line");
    assert_eq!(world.cancel(second_task), Cancelled::Unstarted);
    assert_eq!(world.cancel(first_task), Cancelled::Unstarted);
    assert_eq!(world.run_all(), [third]);
    let cancelled = Some(Failure::Cancelled);
    assert_eq!((world.failure(first), world.failure(second)), (cancelled.clone(), cancelled));
}

#[test]
fn a_caller_that_left_takes_its_calls_with_it() {
    let world = World::cpus(1);
    let (actor, ..) = world.actor(0, 0);
    world.run(1).expect("constructed");
    let waits = world.object();
    let (gone, _) = world.call(actor, 1, &[waits]);
    let (also, _) = world.call(actor, 1, &[]);
    let (stays, _) = world.call(actor, 2, &[]);
    let apart = |caller| CallerId(caller).apart(3).0;
    let (aside, _) = world.call(actor, apart(1), &[waits]);
    let (stays_aside, _) = world.call(actor, apart(2), &[waits]);
    world.scheduler.caller_left(CallerId(1));
    for gone in [gone, also, aside] {
        assert_eq!(world.failure(gone), Some(Failure::Cancelled));
    }
    assert_eq!(world.run_all(), [stays]);
    world.seal(waits);
    assert_eq!(world.run_all(), [stays_aside]);
}

#[test]
fn a_job_that_ended_leaves_what_is_detached() {
    let world = World::cpus(4);
    let wish = |job| Wish { job, ..Wish::default() };
    let (_, _, _) = world.submit_as(&[], wish(7));
    let running = (1..=4).find_map(|w| world.begin(w).map(|e| (w, e))).expect("pushed");
    let waits = world.object();
    let (queued, ..) = world.submit_as(&[waits], wish(7));
    let (others, ..) = world.submit_as(&[], wish(8));
    let (mortal, ..) =
        world.actor_with(|new| rustyray_scheduler::NewActor { job: JobId(7), ..new });
    let (lasting, ..) = world.actor_with(|new| rustyray_scheduler::NewActor {
        job: JobId(7),
        detached: true,
        ..new
    });
    let ran = world.run_all();
    assert!(ran.contains(&others));
    world.scheduler.job_ended(JobId(7));
    assert_eq!(world.failure(queued), Some(Failure::JobEnded));
    assert_eq!(world.host().interrupted.len(), 1);
    let worker = world.scheduler.actor_worker(mortal).expect("it lives");
    assert_eq!(world.host().killed, [worker]);
    world.die(worker.0);
    assert_eq!(
        world.scheduler.actor_reason(mortal),
        Some(rustyray_scheduler::DeathReason::JobEnded)
    );
    assert_eq!(world.scheduler.actor_state(lasting), Some(rustyray_scheduler::ActorState::Alive));
    world.complete(running.0, &running.1, Outcome::Cancelled);
    assert_eq!(world.failure(running.1.job.name), Some(Failure::JobEnded));
}

#[test]
fn a_job_with_many_tasks_ends_in_turns_and_none_of_them_begins_meanwhile() {
    let world = World::cpus(2);
    let wish = |job| Wish { job, ..Wish::default() };
    let many: Vec<u64> = (0..20_000).map(|_| world.submit_as(&[], wish(7)).0).collect();
    let (kept, ..) = world.submit_as(&[], wish(8));
    let begun = (1..=2).filter_map(|worker| Some((worker, world.begin(worker)?)));
    let begun: Vec<_> = begun.filter(|(_, entry)| many.contains(&entry.job.name)).collect();
    assert_eq!(begun.len(), 2);
    let pushed = || world.host().pushes.iter().filter(|(_, name)| *name != kept).count();
    let before = pushed();
    world.scheduler.job_ended(JobId(7));
    assert_eq!(pushed(), before);
    let turns: BTreeSet<usize> = world.host().ready_at_failures.iter().copied().collect();
    assert!(turns.len() >= 5, "others have theirs in between: {turns:?}");
    assert_eq!(world.host().interrupted.len(), 2);
    for (worker, entry) in begun {
        world.complete(worker, &entry, Outcome::Cancelled);
    }
    assert_eq!(world.run_all(), [kept]);
    for task in many {
        assert_eq!(world.failure(task), Some(Failure::JobEnded));
    }
    world.assert_at_rest();
}

#[test]
fn what_a_task_asks_for_whose_job_has_ended_ends_with_it() {
    let world = World::cpus(3);
    let (_, running, _) = world.submit_as(&[], Wish { job: 7, ..Wish::default() });
    let dying = (1..=3).find(|&worker| world.begin(worker).is_some()).expect("it was placed");
    let (actor, ..) = world.actor_with(|new| NewActor { job: JobId(7), detached: true, ..new });
    world.run_all();
    let home = world.scheduler.workers().into_iter().find(|worker| worker.actor == Some(actor));
    let home = home.expect("it lives").id;
    world.scheduler.job_ended(JobId(7));
    let group = |by, detached| {
        let (bundles, strategy, job) = ([Demand::cpus(0.1)], Strategy::Pack, JobId(7));
        let new = NewGroup { bundles: &bundles, strategy, job, detached, by: Some(by) };
        let group = world.scheduler.create_group(new).expect("the machine has as much");
        world.scheduler.group_state(group)
    };
    // It runs until it notices.
    assert_eq!(group(WorkerId(dying), false), None);
    assert_eq!(group(WorkerId(dying), true), Some(GroupState::Ready));
    let argument = world.object();
    for dependencies in [&[][..], &[argument]] {
        let child = Wish { job: 7, parent: Some(running), ..Wish::default() };
        let (child, ..) = world.submit_as(dependencies, child);
        assert_eq!(world.failure(child), Some(Failure::JobEnded));
    }
    // A detached actor goes on, and what it asks for lives.
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Alive));
    assert_eq!(group(home, false), Some(GroupState::Ready));
}
