//! The scheduler as a whole, by two threads at once: what a host sees of it, whichever of them has the token.
#![cfg(rustyray_loom)]

use std::sync::{Arc, Mutex, PoisonError};

use loom::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use rustyray_scheduler::{
    ActorId, CallerId, CancelMode, Cancelled, Config, Demand, Failure, Host, JobId, NewActor,
    NewCall, NewTask, ObjectKey, Outcome, Placement, PoolId, QueueFull, Readiness, Retries,
    Scheduler, TaskId, WorkerId,
};

const OBJECT: ObjectKey = ObjectKey { index: 0, generation: 1 };
const WORKER: WorkerId = WorkerId(0);

/// What was pushed, in order, and how often each ended; no thread waits for another in it.
#[derive(Default)]
struct Log {
    pushed: Vec<(u32, TaskId)>,
    finished: Vec<u32>,
    failed: Vec<u32>,
}

struct Fake {
    sealed: AtomicBool,
    log: Mutex<Log>,
}

impl Fake {
    fn log<R>(&self, with: impl FnOnce(&mut Log) -> R) -> R {
        with(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host for Fake {
    type Spec = Arc<u32>;
    type Cause = ();

    fn subscribe(&self, _: ObjectKey) -> Readiness {
        if self.sealed.load(Ordering::Acquire) { Readiness::Ready } else { Readiness::Pending }
    }

    fn cause(&self, _: ObjectKey) {}

    fn push(&self, _: WorkerId, task: TaskId, _: u16, spec: &Arc<u32>) -> Result<u64, QueueFull> {
        self.log(|log| log.pushed.push((**spec, task)));
        Ok(0)
    }

    /// All that was pushed was begun.
    fn take_back(&self, _: WorkerId, _: u64) -> bool {
        false
    }

    fn need_workers(&self, _: PoolId, _: usize) {}

    fn fail(&self, _: TaskId, spec: &Arc<u32>, _: Failure<()>) {
        self.log(|log| log.failed.push(**spec));
    }

    fn finished(&self, _: TaskId, _: u16, spec: Arc<u32>) {
        self.log(|log| log.finished.push(*spec));
    }

    fn kill(&self, _: WorkerId) {}
}

/// A scheduler with one worker.
fn world() -> Arc<Scheduler<Fake>> {
    let fake = Fake { sealed: AtomicBool::new(false), log: Mutex::default() };
    let config = Config { cpus: 1.0, max_workers: 2, ..Config::default() };
    let scheduler = Scheduler::new(fake, config);
    scheduler.worker_joined(WORKER, PoolId(0));
    Arc::new(scheduler)
}

fn seal(scheduler: &Scheduler<Fake>) {
    scheduler.host().sealed.store(true, Ordering::Release);
    scheduler.settled(OBJECT, Readiness::Ready);
}

fn submit(scheduler: &Scheduler<Fake>, spec: Arc<u32>, dependencies: &[ObjectKey]) -> TaskId {
    let demand = Demand::cpus(1.0);
    let submitted = scheduler.submit(NewTask {
        spec,
        pool: PoolId(0),
        job: JobId(0),
        demand: &demand,
        dependencies,
        returns: &[],
        placement: Placement::Free,
        priority: 0,
        alike: 0,
        retries: Retries::NONE,
        parent: None,
        note: [0; 2],
    });
    submitted.expect("it can be scheduled")
}

/// An actor that lives.
fn actor(scheduler: &Scheduler<Fake>) -> ActorId {
    let demand = Demand::cpus(1.0);
    let created = scheduler.create_actor(NewActor {
        spec: Arc::new(0),
        pool: PoolId(0),
        job: JobId(0),
        demand: &demand,
        dependencies: &[],
        returns: &[],
        placement: Placement::Free,
        priority: 0,
        max_restarts: 0,
        max_task_retries: 0,
        max_pending_calls: 0,
        max_handed: 0,
        out_of_order: false,
        detached: false,
        parent: None,
    });
    let creation = scheduler.host().log(|log| log.pushed[0].1);
    scheduler.completed(WORKER, creation, 0, Outcome::Done, 0);
    created.expect("it can be scheduled")
}

fn call(scheduler: &Scheduler<Fake>, actor: ActorId, spec: u32, dependencies: &[ObjectKey]) {
    let spec = Arc::new(spec);
    let call =
        NewCall { spec, dependencies, returns: &[], retries: None, parent: None, note: [0; 2] };
    let caller = CallerId(u64::from(*call.spec) / 10);
    scheduler.call(actor, caller, call).map(drop).expect("it lives");
}

fn pushed(scheduler: &Scheduler<Fake>) -> Vec<u32> {
    scheduler.host().log(|log| log.pushed.iter().map(|(name, _)| *name).collect())
}

#[test]
fn a_task_whose_object_is_sealed_meanwhile_is_handed_over_once() {
    loom::model(|| {
        let scheduler = world();
        let sealing = {
            let scheduler = Arc::clone(&scheduler);
            thread::spawn(move || seal(&scheduler))
        };
        submit(&scheduler, Arc::new(1), &[OBJECT]);
        sealing.join().unwrap();
        assert_eq!(pushed(&scheduler), [1]);
    });
}

#[test]
fn each_callers_calls_are_handed_over_in_its_order() {
    loom::model(|| {
        let scheduler = world();
        let actor = actor(&scheduler);
        let other = {
            let scheduler = Arc::clone(&scheduler);
            thread::spawn(move || {
                call(&scheduler, actor, 11, &[OBJECT]);
                call(&scheduler, actor, 12, &[]);
            })
        };
        seal(&scheduler);
        call(&scheduler, actor, 21, &[]);
        other.join().unwrap();
        let mut pushed = pushed(&scheduler);
        let place = |name| pushed.iter().position(|&known| known == name);
        assert!(place(11) < place(12), "{pushed:?}");
        pushed.sort_unstable();
        assert_eq!(pushed, [0, 11, 12, 21]);
    });
}

#[test]
fn a_cancelled_task_that_completes_ends_once() {
    loom::model(|| {
        let scheduler = world();
        let task = submit(&scheduler, Arc::new(1), &[]);
        let worker = {
            let scheduler = Arc::clone(&scheduler);
            thread::spawn(move || scheduler.completed(WORKER, task, 0, Outcome::Done, 0))
        };
        let cancelled = scheduler.cancel(task, CancelMode::default());
        assert_ne!(cancelled, Cancelled::Unstarted, "it had begun");
        worker.join().unwrap();
        scheduler.host().log(|log| {
            assert_eq!(log.finished, [1]);
            assert!(log.failed.is_empty(), "its result was sealed");
        });
    });
}

#[test]
fn a_waiting_task_is_cancelled_or_handed_over() {
    loom::model(|| {
        let scheduler = world();
        let task = submit(&scheduler, Arc::new(1), &[OBJECT]);
        let sealing = {
            let scheduler = Arc::clone(&scheduler);
            thread::spawn(move || seal(&scheduler))
        };
        let _ = scheduler.cancel(task, CancelMode::default());
        sealing.join().unwrap();
        let failed = scheduler.host().log(|log| log.failed.len());
        assert_eq!(pushed(&scheduler).len() + failed, 1);
    });
}

#[test]
fn what_never_ran_is_dropped_with_the_scheduler() {
    loom::model(|| {
        let spec = Arc::new(1);
        let scheduler = world();
        let other = {
            let (scheduler, spec) = (Arc::clone(&scheduler), Arc::clone(&spec));
            thread::spawn(move || {
                let _ = submit(&scheduler, spec, &[OBJECT]);
            })
        };
        submit(&scheduler, Arc::clone(&spec), &[]);
        other.join().unwrap();
        drop(scheduler);
        assert_eq!(Arc::strong_count(&spec), 1);
    });
}
