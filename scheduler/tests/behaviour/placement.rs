//! Resources: gpus by id, and groups of bundles.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use rustyray_scheduler::{
    Config, DeathReason, Demand, Failure, GpuShare, GroupId, GroupState, JobId, NewActor, NewGroup,
    Outcome, Placement, Refusal, Strategy, WorkerId,
};

use crate::fake::{Wish, World};

fn world(cpus: f64, gpus: f64) -> World {
    let world = World::new(Config { cpus, gpus, ..Config::default() });
    (1..=4).for_each(|worker| world.join(worker));
    world
}

fn group(world: &World, bundles: &[Demand]) -> Result<GroupId, Refusal> {
    let (strategy, job) = (Strategy::Pack, JobId(0));
    world.scheduler.create_group(NewGroup { bundles, strategy, job, detached: false, by: None })
}

fn within(group: GroupId) -> Wish {
    Wish { placement: Placement::within(group), ..Wish::default() }
}

#[test]
fn gpus_are_given_out_by_id_and_told_of_before_the_first_push() {
    let world = world(4.0, 2.0);
    let half = || Wish { demand: Demand::cpus(1.0).with_gpus(0.5), ..Wish::default() };
    world.submit_as(&[], half());
    world.submit_as(&[], half());
    world.submit_as(&[], Wish { demand: Demand::cpus(1.0).with_gpus(1.0), ..Wish::default() });
    let granted = world.host().granted.clone();
    let half = GpuShare { gpu: 0, share: 5000 };
    assert_eq!(granted[0].1, [half]);
    assert_eq!(granted[1].1, [half], "parts go where parts are");
    assert_eq!(granted[2].1, [GpuShare { gpu: 1, share: 10_000 }]);
    world.run_all();
    // The next task on such a worker is told that it has none.
    world.host().granted.clear();
    for _ in 0..4 {
        world.submit(&[]);
    }
    let granted = world.host().granted.clone();
    assert_eq!(granted.len(), 3);
    assert!(granted.iter().all(|(_, gpus)| gpus.is_empty()));
    world.run_all();
    world.assert_at_rest();
}

#[test]
fn tasks_of_a_group_that_wait_for_a_worker_are_counted() {
    let world = World::new(Config { cpus: 4.0, worker_limit: 1, ..Config::default() });
    world.join(1);
    let group = group(&world, &[Demand::cpus(2.0)]).expect("it fits");
    let (running, ..) = world.submit(&[]);
    let waiting = [(); 2].map(|()| world.submit_as(&[], within(group)).0);
    assert_eq!(world.scheduler.awaiting_workers(), 2, "what they need is there");
    assert_eq!(world.run(1), Some(running));
    assert_eq!(world.run_all(), waiting);
    assert_eq!(world.scheduler.awaiting_workers(), 0);
    world.scheduler.remove_group(group);
}

#[test]
fn what_waits_keeps_its_gpu() {
    let world = world(1.0, 1.0);
    world.submit_as(&[], Wish { demand: Demand::cpus(1.0).with_gpus(1.0), ..Wish::default() });
    let (worker, entry) = (1..=4).find_map(|w| Some((w, world.begin(w)?))).expect("begun");
    world.scheduler.blocked(WorkerId(worker));
    let free = world.scheduler.resources().free;
    assert_eq!((free.cpu, free.gpu), (10_000, 0));
    world.scheduler.unblocked(WorkerId(worker));
    world.complete(worker, &entry, Outcome::Done);
    world.assert_at_rest();
}

#[test]
fn a_demand_that_can_never_be_met_is_refused_and_given_back() {
    let world = world(4.0, 1.0);
    let refused = world
        .try_submit(&[], Wish { demand: Demand::cpus(5.0), ..Wish::default() })
        .expect_err("too much");
    assert!(matches!(refused.why, Refusal::Unschedulable { .. }));
    assert_eq!(refused.spec.returns.len(), 1);
    let partial = world
        .try_submit(&[], Wish { demand: Demand::none().with_gpus(1.5), ..Wish::default() })
        .expect_err("only whole ones");
    assert!(matches!(partial.why, Refusal::PartialGpus { .. }));
    world.assert_at_rest();
}

#[test]
fn a_group_is_reserved_as_a_whole_and_gives_all_back() {
    let world = world(4.0, 0.0);
    let first = group(&world, &[Demand::cpus(2.0), Demand::cpus(1.0)]).expect("it fits");
    assert_eq!(world.host().groups, [(first, GroupState::Ready)]);
    assert_eq!(world.scheduler.resources().free.cpu, 10_000);
    let second = group(&world, &[Demand::cpus(1.0), Demand::cpus(1.0)]).expect("one day");
    assert_eq!(world.scheduler.group_state(second), Some(GroupState::Pending));
    assert_eq!(world.scheduler.resources().free.cpu, 10_000, "all or nothing");
    world.scheduler.remove_group(first);
    assert_eq!(world.scheduler.group_state(second), Some(GroupState::Ready));
    assert_eq!(world.scheduler.group_state(first), None);
    world.scheduler.remove_group(second);
    world.assert_at_rest();
    assert!(matches!(
        group(&world, &[Demand::cpus(3.0), Demand::cpus(3.0)]),
        Err(Refusal::Unschedulable { .. })
    ));
}

#[test]
fn tasks_of_a_group_use_its_bundles_and_nothing_else() {
    let world = world(4.0, 0.0);
    let bundles = [Demand::cpus(1.0), Demand::cpus(2.0)];
    let id = group(&world, &bundles).expect("it fits");
    for _ in 0..4 {
        world.submit_as(&[], within(id));
    }
    assert_eq!(world.scheduler.resources().free.cpu, 10_000, "the machine's are not touched");
    let busy = (1..=4).filter(|&worker| !world.queue(worker).is_empty()).count();
    assert_eq!(busy, 3);
    let big =
        Wish { demand: Demand::cpus(2.0), placement: Placement::bundle(id, 1), ..Wish::default() };
    let (name, ..) = world.submit_as(&[], big.clone());
    assert!(world.run_all().contains(&name));
    for (bundle, right) in [(0, false), (1, true), (2, false)] {
        let placement = Placement::bundle(id, bundle);
        let tried = world.try_submit(&[], Wish { placement, ..big.clone() });
        assert_eq!(tried.is_ok(), right, "{bundle}");
    }
    world.run_all();
    world.scheduler.remove_group(id);
    world.assert_at_rest();
    let late = world.try_submit(&[], within(id)).expect_err("it is gone");
    assert_eq!(late.why, Refusal::NoSuchGroup { group: id });
}

#[test]
fn what_waits_for_its_group_runs_when_that_is_ready() {
    let world = world(4.0, 0.0);
    let (_, all, _) = world.submit_as(&[], Wish { demand: Demand::cpus(4.0), ..Wish::default() });
    let (worker, entry) = (1..=4).find_map(|w| Some((w, world.begin(w)?))).expect("begun");
    assert_eq!(entry.task, all);
    let id = group(&world, &[Demand::cpus(1.0)]).expect("one day");
    let (name, ..) = world.submit_as(&[], within(id));
    assert_eq!(world.scheduler.backlog(), 1);
    world.complete(worker, &entry, Outcome::Done);
    assert_eq!(world.run_all(), [name]);
    world.scheduler.remove_group(id);
    world.assert_at_rest();
}

#[test]
fn a_removed_group_ends_what_is_in_it() {
    let world = world(4.0, 0.0);
    let id = group(&world, &[Demand::cpus(1.0), Demand::cpus(1.0)]).expect("it fits");
    let (actor, ..) = world.actor_with(|new| NewActor { placement: Placement::within(id), ..new });
    world.run_all();
    let waits = world.object();
    let (waiting, ..) = world.submit_as(&[waits], within(id));
    let (running, ..) = world.submit_as(&[], Wish { retries: 3, ..within(id) });
    let (queued, ..) = world.submit_as(&[], Wish { retries: 3, ..within(id) });
    let (worker, _) = (1..=4).find_map(|w| Some((w, world.begin(w)?))).expect("begun");
    world.scheduler.remove_group(id);
    let removed = Some(Failure::GroupRemoved { group: id });
    assert_eq!(world.failure(waiting), removed);
    assert_eq!(world.failure(queued), removed);
    assert!(world.host().killed.contains(&WorkerId(worker)));
    assert_ne!(world.scheduler.resources().free.cpu, 40_000, "not before they are gone");
    world.reap();
    assert_eq!(world.failure(running), removed, "and it is not run again");
    let reason = DeathReason::GroupRemoved { group: id };
    assert_eq!(world.scheduler.actor_reason(actor), Some(reason));
    world.seal(waits);
    world.assert_at_rest();
}

#[test]
fn children_run_in_the_group_that_captures_them() {
    let world = world(4.0, 0.0);
    let id = group(&world, &[Demand::cpus(2.0)]).expect("it fits");
    let placement = Placement::Group { group: id, bundle: None, capture_children: true };
    let (_, parent, _) = world.submit_as(&[], Wish { placement, ..Wish::default() });
    let child = |placement| {
        let wish = Wish { parent: Some(parent), placement, ..Wish::default() };
        let (_, task, _) = world.submit_as(&[], wish);
        let tasks = world.scheduler.tasks(Default::default(), usize::MAX, |info, _| *info);
        tasks.items.iter().find(|info| info.id == task).expect("listed").group
    };
    assert_eq!(child(Placement::Inherit), Some(id));
    assert_eq!(child(Placement::Free), None);
    world.run_all();
    world.scheduler.remove_group(id);
    world.assert_at_rest();
}

#[test]
fn an_actor_captures_by_its_worker_until_that_is_gone() {
    let world = world(4.0, 0.0);
    let id = group(&world, &[Demand::cpus(2.0)]).expect("it fits");
    let placement = Placement::Group { group: id, bundle: None, capture_children: true };
    let (actor, ..) = world.actor_with(|new| NewActor { placement, ..new });
    world.run_all();
    let home = world.scheduler.actor_worker(actor).expect("it lives");
    let captured = || (1..=4).map(|worker| world.scheduler.captured_by(WorkerId(worker)));
    let expected = (1..=4).map(|worker| (worker == home.0).then_some(id));
    assert!(captured().eq(expected));
    world.die(home.0);
    world.join(home.0);
    assert!(captured().all(|group| group.is_none()), "its number is another process's");
    world.scheduler.remove_group(id);
    world.assert_at_rest();
}

#[test]
fn in_a_group_that_outlives_its_job_nothing_of_that_begins_while_it_ends() {
    let world = World::cpus(1);
    let (strategy, job) = (Strategy::Pack, JobId(1));
    let bundles = &[Demand::cpus(1.0)];
    let new = NewGroup { bundles, strategy, job, detached: true, by: None };
    let group = world.scheduler.create_group(new).expect("it fits");
    let wish = |cpus| Wish { job: 1, demand: Demand::cpus(cpus), ..within(group) };
    world.submit_as(&[], wish(1.0));
    let running = world.begin(1).expect("it was handed over");
    let (behind, ..) = world.submit_as(&[], wish(1.0));
    // Of another kind: it is at no worker.
    let (waits, ..) = world.submit_as(&[], wish(0.5));
    assert_eq!(world.queue(1), [running.job.name, behind]);
    let others = Wish { demand: Demand::cpus(0.5), ..within(group) };
    let (other, ..) = world.submit_as(&[], others);
    // The job is ending, and there is room while the host is told so.
    let scheduler = Arc::clone(&world.scheduler);
    let (task, attempt) = (running.task, running.attempt);
    let pushed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pushed);
    let meanwhile = move || {
        let complete = || {
            scheduler.completed(WorkerId(1), task, attempt, Outcome::Cancelled, 0);
            *seen.lock().unwrap() = scheduler.host().inner().pushes.clone();
        };
        thread::scope(|scope| scope.spawn(complete).join().expect("nobody has the token"));
    };
    world.host().queues.get_mut(&1).expect("it is there").retain(|entry| entry.job.name == behind);
    world.host().at_failure = Some(Box::new(meanwhile));
    world.scheduler.job_ended(JobId(1));
    let began = pushed.lock().unwrap().iter().any(|&(_, name)| name == waits);
    assert!(!began, "a task of a job that ends was handed over");
    assert!(matches!(world.failure(waits), Some(Failure::JobEnded)));
    assert_eq!(world.run_all(), [other], "what is another job's goes on");
    world.scheduler.remove_group(group);
    world.assert_at_rest();
}
