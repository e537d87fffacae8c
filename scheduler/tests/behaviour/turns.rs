//! Turns: what is said together is done in order, and by the end of the turn.

use rustyray_scheduler::{
    Cancelled, Demand, JobId, NewTask, Outcome, Placement, PoolId, Retries, TaskId, Turn, WorkerId,
};

use crate::fake::{Fake, World};

/// Says in the turn that a task is wanted; gives its name and its id.
fn submit(world: &World, turn: &mut Turn<'_, Fake>, parent: Option<TaskId>) -> (u64, TaskId) {
    let spec = world.job();
    let (name, returns) = (spec.name, spec.returns.clone());
    let new = NewTask {
        spec,
        pool: PoolId(0),
        job: JobId(0),
        demand: &Demand::default(),
        dependencies: &[],
        returns: &returns,
        placement: Placement::Inherit,
        priority: 0,
        alike: 0,
        retries: Retries::NONE,
        parent,
        note: [name, !name],
    };
    (name, turn.submit(new).expect("it can be scheduled"))
}

#[test]
fn tasks_of_a_turn_run_in_the_order_in_which_they_were_said() {
    let world = World::cpus(1);
    let mut turn = world.scheduler.turn();
    let names: Vec<u64> = (0..40).map(|_| submit(&world, &mut turn, None).0).collect();
    assert_eq!(world.scheduler.live(), names.len(), "all are known before they are brought");
    drop(turn);
    assert_eq!(world.run_all(), names);
    world.assert_at_rest();
}

#[test]
fn what_is_not_brought_yet_can_be_cancelled() {
    let world = World::cpus(1);
    let mut turn = world.scheduler.turn();
    let (first, _) = submit(&world, &mut turn, None);
    let (_, second) = submit(&world, &mut turn, None);
    assert_eq!(world.queue(1), [0; 0], "nothing was brought");
    assert_eq!(world.cancel(second), Cancelled::Unstarted);
    drop(turn);
    assert_eq!(world.run_all(), [first]);
    world.assert_at_rest();
}

#[test]
fn a_task_ends_after_what_it_submitted_before() {
    let world = World::cpus(1);
    let (_, parent, _) = world.submit(&[]);
    let begun = world.begin(1).expect("the parent");
    let mut turn = world.scheduler.turn();
    let (name, child) = submit(&world, &mut turn, Some(parent));
    for object in &begun.job.returns {
        world.seal(*object);
    }
    turn.completed(WorkerId(1), begun.task, begun.attempt, Outcome::Done, 0);
    assert_eq!(world.scheduler.parent(child), Some(parent), "neither is brought");
    assert_eq!(world.scheduler.note(parent), Some([begun.job.name, !begun.job.name]));
    turn.bring();
    assert_eq!(world.scheduler.note(parent), None, "it has ended");
    assert_eq!(world.scheduler.parent(child), None);
    assert_eq!(world.queue(1).last(), Some(&name));
    drop(turn);
}
