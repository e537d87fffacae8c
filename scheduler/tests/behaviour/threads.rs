//! Several threads at once: submitting, settling, completing, cancelling and listing beside each other.

use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use rustyray_scheduler::{
    ActorId, CancelMode, Cancelled, Cursor, Failure, ObjectKey, Outcome, Readiness, Withdrawn,
};

use crate::fake::World;

const PER_THREAD: usize = 2000;

/// Workers run what they are given, on threads of their own, until `done` says that nothing will come.
fn serve(world: &World, workers: &[u16], done: &AtomicBool) {
    loop {
        let finished = done.load(SeqCst);
        let mut ran = false;
        for &worker in workers {
            while let Some(entry) = world.begin(worker) {
                world.complete(worker, &entry, Outcome::Done);
                ran = true;
            }
        }
        if finished && !ran {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn chains_from_many_threads_all_run() {
    let world = World::cpus(4);
    let done = AtomicBool::new(false);
    let left = AtomicUsize::new(3);
    thread::scope(|scope| {
        for workers in [[1, 2], [3, 4]] {
            let (world, done) = (&world, &done);
            scope.spawn(move || serve(world, &workers, done));
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last: Option<ObjectKey> = None;
                for at in 0..PER_THREAD {
                    let dependencies = last.filter(|_| at % 7 != 0);
                    last = Some(world.submit(dependencies.as_slice()).2);
                    if at % 500 == 0 {
                        let _ = world.scheduler.workers();
                    }
                }
                let last = last.expect("some");
                while world.readiness(last) == Readiness::Pending {
                    thread::yield_now();
                }
                if left.fetch_sub(1, SeqCst) == 1 {
                    done.store(true, SeqCst);
                }
            });
        }
    });
    world.run_all();
    assert_eq!(world.host().finished.len(), 3 * PER_THREAD);
    world.assert_at_rest();
}

#[test]
fn objects_that_settle_while_tasks_come_are_not_missed() {
    let world = World::cpus(2);
    let objects: Vec<ObjectKey> = (0..PER_THREAD).map(|_| world.object()).collect();
    let failing = |at: usize| at % 10 == 3;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for pair in objects.windows(2) {
                    world.submit(pair);
                }
            });
        }
        scope.spawn(|| {
            for (at, &object) in objects.iter().enumerate() {
                if failing(at) { world.fail(object, "broken") } else { world.seal(object) }
            }
        });
    });
    world.run_all();
    let submitted = 2 * (PER_THREAD - 1);
    assert_eq!(world.host().finished.len(), submitted);
    let bad = (1..PER_THREAD).filter(|&at| failing(at) || failing(at - 1)).count();
    assert_eq!(world.host().failures.len(), 2 * bad);
    world.assert_at_rest();
}

#[test]
fn a_task_is_cancelled_or_run_and_never_both() {
    let world = World::cpus(2);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| serve(&world, &[1, 2], &done));
        scope.spawn(|| {
            for at in 0..PER_THREAD {
                let (_, task, _) = world.submit(&[]);
                if at % 2 == 0 {
                    let _ = world.cancel(task);
                }
            }
            done.store(true, SeqCst);
        });
    });
    world.run_all();
    let inner = world.host();
    assert_eq!(inner.finished.len(), PER_THREAD);
    for name in inner.failures.keys() {
        assert!(!inner.begun.contains_key(name), "{name} was run and cancelled");
    }
    assert_eq!(inner.failures.len() + inner.begun.len(), PER_THREAD);
    drop(inner);
    world.assert_at_rest();
}

#[test]
fn each_callers_calls_run_in_its_order() {
    let world = World::cpus(1);
    let (actor, ..) = world.actor(0, 0);
    world.run_all();
    let calls: Vec<Vec<u64>> = thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                let world = &world;
                scope.spawn(move || call_on(world, actor, caller))
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("it called")).collect()
    });
    let ran = world.run_all();
    assert_eq!(ran.len(), 3 * PER_THREAD);
    let place: std::collections::HashMap<u64, usize> =
        ran.iter().enumerate().map(|(at, &name)| (name, at)).collect();
    for calls in calls {
        assert!(calls.is_sorted_by_key(|name| place[name]));
    }
    assert_eq!(world.scheduler.actors(Cursor::default(), 1).items[0].unfinished, 0);
}

fn call_on(world: &World, actor: ActorId, caller: u64) -> Vec<u64> {
    let call = |at: usize| {
        let argument = at.is_multiple_of(5).then(|| world.object());
        let (name, _) = world.call(actor, caller, argument.as_slice());
        argument.into_iter().for_each(|argument| world.seal(argument));
        name
    };
    (0..PER_THREAD).map(call).collect()
}

#[test]
fn what_was_cancelled_has_failed_whoever_was_at_it_meanwhile() {
    let world = World::cpus(1);
    let argument = world.object();
    let (_, waiting, _) = world.submit(&[argument]);
    let (name, cancelled, _) = world.submit(&[argument]);
    let (entered, is_entered) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let withdrawn = world.scheduler.withdraw(waiting, |_| {
                entered.send(()).expect("somebody waits");
                // Nobody else has a turn meanwhile: time enough for who does not wait for one.
                thread::sleep(Duration::from_millis(50));
            });
            assert_eq!(withdrawn, Withdrawn::Waiting);
        });
        is_entered.recv().expect("it has its turn");
        let outcome = world.scheduler.cancel_in_turn(cancelled, CancelMode::default());
        assert_eq!(outcome, Cancelled::Unstarted);
        assert_eq!(world.failure(name), Some(Failure::Cancelled));
    });
}
