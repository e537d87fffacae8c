//! Actors: the order of their calls, their deaths and incarnations, their ends.

use rustyray_scheduler::{
    ActorState, CallRefusal, DeathReason, Failure, NewActor, Outcome, Readiness, WorkerId,
};

use crate::fake::World;

/// A world with one worker in which an actor lives.
fn housed(restarts: u32, task_retries: u16) -> (World, rustyray_scheduler::ActorId) {
    let world = World::cpus(1);
    let (actor, ..) = world.actor(restarts, task_retries);
    world.run(1).expect("constructed");
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Alive));
    (world, actor)
}

#[test]
fn calls_of_one_caller_run_in_order_also_when_the_first_waits() {
    let (world, actor) = housed(0, 0);
    let argument = world.object();
    let (first, _) = world.call(actor, 1, &[argument]);
    let (second, _) = world.call(actor, 1, &[]);
    let (other, _) = world.call(actor, 2, &[]);
    assert_eq!(world.run_all(), [other], "only the caller that waits is held up");
    world.seal(argument);
    assert_eq!(world.run_all(), [first, second]);
}

#[test]
fn calls_before_the_actor_lives_are_kept_in_order() {
    let world = World::cpus(1);
    let argument = world.object();
    let (actor, creation, _) = world.actor(0, 0);
    let (first, _) = world.call(actor, 1, &[]);
    let (second, _) = world.call(actor, 1, &[argument]);
    let (third, _) = world.call(actor, 1, &[]);
    world.seal(argument);
    assert_eq!(world.run_all(), [creation, first, second, third]);
}

#[test]
fn out_of_order_lets_later_calls_pass() {
    let world = World::cpus(1);
    let (actor, ..) = world.actor_with(|new| NewActor { out_of_order: true, ..new });
    world.run(1).expect("constructed");
    let argument = world.object();
    let (first, _) = world.call(actor, 1, &[argument]);
    let (second, _) = world.call(actor, 1, &[]);
    assert_eq!(world.run_all(), [second]);
    world.seal(argument);
    assert_eq!(world.run_all(), [first]);
}

#[test]
fn callers_take_turns_and_the_worker_is_handed_so_many_at_a_time() {
    let world = World::cpus(1);
    let (actor, ..) = world.actor_with(|new| NewActor { max_handed: 2, ..new });
    world.run(1).expect("constructed");
    let one: Vec<u64> = (0..6).map(|_| world.call(actor, 1, &[]).0).collect();
    let two: Vec<u64> = (0..2).map(|_| world.call(actor, 2, &[]).0).collect();
    assert_eq!(world.queue(1), one[..2]);
    let ran = world.run_all();
    let place = |name: u64| ran.iter().position(|&ran| ran == name).expect("it ran");
    assert!(place(two[1]) < place(one[5]), "the second caller does not wait for all of the first");
    assert!(one.is_sorted_by_key(|&name| place(name)));
    assert!(two.is_sorted_by_key(|&name| place(name)));
}

#[test]
fn a_call_whose_argument_failed_fails_and_the_next_goes_on() {
    let (world, actor) = housed(0, 0);
    let argument = world.object();
    let (first, _) = world.call(actor, 1, &[argument]);
    let (second, _) = world.call(actor, 1, &[]);
    world.fail(argument, "broken");
    assert!(matches!(world.failure(first), Some(Failure::Dependency { .. })));
    assert_eq!(world.run_all(), [second]);
}

#[test]
fn there_can_be_so_many_unfinished_calls() {
    let world = World::cpus(1);
    let (actor, ..) = world.actor_with(|new| NewActor { max_pending_calls: 3, ..new });
    for _ in 0..3 {
        world.call(actor, 1, &[]);
    }
    let refused = world.try_call(actor, 1, &[]).expect_err("one too many");
    assert_eq!(refused.why, CallRefusal::PendingLimit { limit: 3 });
    assert_eq!(refused.spec.returns.len(), 1, "it is given back");
    world.run_all();
    world.call(actor, 1, &[]);
}

#[test]
fn what_had_begun_fails_and_what_had_not_waits_for_the_next_incarnation() {
    let (world, actor) = housed(1, 0);
    let calls: Vec<u64> = (0..3).map(|_| world.call(actor, 1, &[]).0).collect();
    world.begin(1).expect("the first");
    world.die(1);
    assert!(matches!(world.failure(calls[0]), Some(Failure::ActorUnavailable { .. })));
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Restarting));
    let (later, _) = world.call(actor, 1, &[]);
    world.join(1);
    let ran = world.run_all();
    assert_eq!(ran[1..], [calls[1], calls[2], later], "in order, after the constructor");
    assert_eq!(world.scheduler.actor_restarts(actor), Some(1));
    // The next death is the last.
    let (last, _) = world.call(actor, 1, &[]);
    world.die(1);
    let reason = DeathReason::Crashed { restarts: 1, cause: "worker 1 died".into() };
    assert_eq!(world.failure(last), Some(Failure::ActorDied { actor, reason: reason.clone() }));
    let told = world.host().actors.last().cloned();
    assert_eq!(told, Some((actor, ActorState::Dead, Some(reason))));
    let refused = world.try_call(actor, 1, &[]).expect_err("dead");
    assert_eq!(refused.why, CallRefusal::Died);
    world.assert_at_rest();
}

#[test]
fn an_actor_that_no_worker_begins_to_construct_dies_in_the_end() {
    let world = World::cpus(1);
    let (actor, creation, _) = world.actor(3, 0);
    let (call, _) = world.call(actor, 1, &[]);
    for died in 1..=9 {
        assert_eq!(world.queue(1), [creation]);
        world.die(1);
        assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Pending), "{died} died");
        world.join(1);
    }
    assert_eq!(world.scheduler.actor_restarts(actor), Some(0), "none of them counts");
    world.die(1);
    let reason = DeathReason::NeverBegun { workers: 10, cause: "worker 1 died".into() };
    let died = Failure::ActorDied { actor, reason };
    assert_eq!(world.failure(call), Some(died.clone()));
    assert_eq!(world.failure(creation), Some(died));
    world.assert_at_rest();
}

#[test]
fn deaths_before_a_constructor_began_are_counted_anew_once_it_did() {
    let world = World::cpus(1);
    let (actor, creation, _) = world.actor(1, 0);
    for incarnation in 0..2 {
        for _ in 0..9 {
            world.die(1);
            world.join(1);
        }
        assert_eq!(world.run(1), Some(creation));
        assert_eq!(world.scheduler.actor_restarts(actor), Some(incarnation));
        assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Alive));
        if incarnation == 0 {
            world.die(1);
            world.join(1);
        }
    }
}

#[test]
fn what_had_begun_runs_again_where_that_was_asked_for() {
    let (world, actor) = housed(1, 1);
    let (first, _) = world.call(actor, 1, &[]);
    let (second, _) = world.call(actor, 1, &[]);
    world.begin(1).expect("the first");
    world.die(1);
    world.join(1);
    let ran = world.run_all();
    assert_eq!(ran[1..], [first, second]);
}

#[test]
fn a_constructor_that_fails_leaves_its_worker_to_others() {
    let world = World::cpus(1);
    let (actor, ..) = world.actor(5, 0);
    let (call, _) = world.call(actor, 1, &[]);
    let entry = world.begin(1).expect("pushed");
    world.complete(1, &entry, Outcome::Failed { retry: false });
    let reason = DeathReason::CreationFailed;
    assert_eq!(world.failure(call), Some(Failure::ActorDied { actor, reason }));
    let (task, ..) = world.submit(&[]);
    assert_eq!(world.run_all(), [task]);
    world.assert_at_rest();
}

#[test]
fn a_constructor_whose_argument_fails_says_so() {
    let world = World::cpus(1);
    let argument = world.object();
    let (actor, creation, token) = world.actor_on(&[argument], |new| new);
    let (call, _) = world.call(actor, 1, &[]);
    world.fail(argument, "broken");
    let reason = DeathReason::Dependency { object: argument, cause: "broken".into() };
    assert_eq!(world.failure(call), Some(Failure::ActorDied { actor, reason }));
    assert!(matches!(world.failure(creation), Some(Failure::Dependency { .. })));
    assert_eq!(world.readiness(token), Readiness::Failed);
    world.assert_at_rest();
}

#[test]
fn the_last_handle_ends_it_after_its_calls() {
    let (world, actor) = housed(3, 0);
    let (call, _) = world.call(actor, 1, &[]);
    world.scheduler.release_actor(actor);
    assert!(world.host().stopped.is_empty(), "a call is unfinished");
    assert_eq!(world.run_all(), [call]);
    assert_eq!(world.host().stopped, [WorkerId(1)]);
    world.reap();
    assert_eq!(world.scheduler.actor_reason(actor), Some(DeathReason::NoHandles));
    world.assert_at_rest();
}

#[test]
fn an_actor_that_closes_takes_no_further_call_and_ends_after_those_that_it_has() {
    let (world, actor) = housed(3, 0);
    let argument = world.object();
    let (waiting, _) = world.call(actor, 1, &[argument]);
    let (queued, _) = world.call(actor, 1, &[]);
    world.scheduler.close_actor(actor);
    let refused = world.try_call(actor, 2, &[]).expect_err("it is closed");
    assert_eq!(refused.why, CallRefusal::Died);
    assert!(world.host().stopped.is_empty(), "two calls are unfinished");
    world.seal(argument);
    assert_eq!(world.run_all(), [waiting, queued]);
    assert_eq!(world.host().stopped, [WorkerId(1)]);
    world.reap();
    assert_eq!(world.scheduler.actor_reason(actor), Some(DeathReason::NoHandles));
    world.assert_at_rest();
}

#[test]
fn an_actor_that_exits_hands_out_no_more_calls() {
    let (world, actor) = housed(3, 0);
    let (running, _) = world.call(actor, 1, &[]);
    let entry = world.begin(1).expect("pushed");
    world.scheduler.exit_actor(actor);
    let (late, _) = world.call(actor, 1, &[]);
    world.complete(1, &entry, Outcome::Done);
    world.reap();
    let reason = DeathReason::Exited;
    assert_eq!(world.failure(late), Some(Failure::ActorDied { actor, reason }));
    assert_eq!(world.failure(running), None);
    world.assert_at_rest();
}

#[test]
fn an_actor_that_exits_fails_what_it_has_not_begun_before_it_ends() {
    for out_of_order in [false, true] {
        let world = World::cpus(1);
        let (actor, ..) = world.actor_with(|new| NewActor { max_handed: 2, out_of_order, ..new });
        world.run(1).expect("constructed");
        let argument = world.object();
        let calls: Vec<u64> = (0..4).map(|_| world.call(actor, 1, &[]).0).collect();
        let (waiting, _) = world.call(actor, 2, &[argument]);
        let entry = world.begin(1).expect("pushed");
        world.scheduler.exit_actor(actor);
        let (late, _) = world.call(actor, 1, &[]);
        let reason = DeathReason::Exited;
        let died = Some(Failure::ActorDied { actor, reason });
        // Its process is still there: it may wait for whoever waits for these.
        for call in calls[1..].iter().chain([&waiting, &late]) {
            assert_eq!(world.failure(*call), died);
        }
        world.seal(argument);
        world.complete(1, &entry, Outcome::Done);
        world.reap();
        assert_eq!(world.failure(calls[0]), None);
        assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Dead));
        world.assert_at_rest();
    }
}

#[test]
fn kill_with_restart_makes_a_new_incarnation() {
    let (world, actor) = housed(1, 0);
    world.scheduler.kill_actor(actor, true);
    assert_eq!(world.reap(), 1);
    world.run_all();
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Alive));
    world.scheduler.kill_actor(actor, false);
    assert_eq!(world.reap(), 1);
    assert_eq!(world.scheduler.actor_reason(actor), Some(DeathReason::Killed));
    world.scheduler.forget_actor(actor);
    assert_eq!(world.scheduler.actor_state(actor), None);
    assert_eq!(world.try_call(actor, 1, &[]).expect_err("gone").why, CallRefusal::Unknown);
    // Its slot is used again, under another name.
    let (next, ..) = world.actor(0, 0);
    assert_ne!(actor, next);
    assert_eq!(world.scheduler.actor_state(actor), None);
}

#[test]
fn a_worker_that_dies_before_it_begins_to_construct_costs_no_restart() {
    let world = World::cpus(1);
    let (actor, creation, _) = world.actor(0, 0);
    let (call, _) = world.call(actor, 1, &[]);
    assert_eq!(world.queue(1), [creation], "handed over");
    world.die(1);
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Pending));
    world.join(2);
    assert_eq!(world.run_all(), [creation, call]);
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Alive));
    assert_eq!(world.scheduler.actor_restarts(actor), Some(0));

    let world = World::cpus(1);
    let (actor, creation, _) = world.actor(0, 0);
    world.begin(1).expect("it is being constructed");
    world.die(1);
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Dead));
    assert!(world.failure(creation).is_some());
}

#[test]
fn a_creation_that_is_cancelled_before_it_begins_ends_the_actor() {
    let world = World::cpus(1);
    let (_, blocker, _) = world.submit(&[]);
    world.begin(1).expect("busy");
    let (actor, creation, token) = world.actor(3, 0);
    let task = world.scheduler.producer(token).expect("it is to make its token");
    assert_eq!(world.cancel(task), rustyray_scheduler::Cancelled::Unstarted);
    assert_eq!(world.scheduler.actor_state(actor), Some(ActorState::Dead));
    assert_eq!(world.failure(creation), Some(Failure::Cancelled));
    let _ = world.cancel(blocker);
}
