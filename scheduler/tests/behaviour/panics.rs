//! Callbacks of the host that panic: the token is given back, and everything else goes on.

use rustyray_scheduler::{CancelMode, Failure, Outcome, WorkerId};

use crate::fake::World;

/// Everything that can be told while one task runs to its end, another fails with its argument, a third is
/// cancelled, and a worker dies.
fn a_day(world: &World) {
    let (_, first, _) = world.submit(&[]);
    let failing = world.object();
    let (_, second, _) = world.submit(&[failing]);
    let waiting = world.object();
    let (_, third, _) = world.submit(&[waiting]);
    world.fail(failing, "on purpose");
    let _ = world.scheduler.cancel(third, CancelMode::default());
    let _ = (first, second);
    if let Some(entry) = world.begin(1) {
        world.complete(1, &entry, Outcome::Done);
    }
    world.scheduler.dispatch();
}

#[test]
fn a_callback_that_panics_keeps_nothing_and_nobody() {
    for what in ["push", "take_back", "cause", "fail", "finished", "need_workers", "kill"] {
        let world = World::cpus(1);
        world.host().panicking.push(what);
        a_day(&world);
        if matches!(what, "take_back" | "kill") {
            // A running task is killed, and what is queued behind it taken back.
            let (_, running, _) = world.submit(&[]);
            let (_, _queued, _) = world.submit(&[]);
            let _ = world.begin(1).expect("it was pushed");
            let _ = world.scheduler.cancel(running, CancelMode { force: true, recursive: false });
            world.scheduler.worker_left(WorkerId(1), "killed".into());
            world.host().queues.remove(&1);
            world.join(1);
        }
        assert_eq!(world.scheduler.panics(), world.host().panicked, "in `{what}`");
        // Whatever it was: the scheduler has its token, and the next ones run.
        let (name, ..) = world.submit(&[]);
        world.scheduler.dispatch();
        let ran = world.run_all();
        assert!(ran.contains(&name), "after `{what}`: {ran:?}");
        assert_ne!(world.failure(name), Some(Failure::Cancelled));
        world.assert_at_rest();
    }
}
