//! What one task costs the scheduler, from its submission to its end, over a host that does nothing.
//!
//! `cargo run --release -p rustyray-scheduler --example hot_path [tasks]` prints nanoseconds for each row, on one
//! thread; `valgrind --tool=callgrind` with `row=NAME` as a second argument counts the instructions of one row.
//! `strace -c -f` shows that no row makes a system call beyond getting memory. It does not show contention, nor
//! what the host's own work costs: the queues here are a counter each.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use rustyray_scheduler::{
    ActorId, CallerId, Config, Demand, Failure, Host, JobId, NewActor, NewCall, NewGroup, NewTask,
    ObjectKey, Outcome, Placement, PoolId, QueueFull, Readiness, Retries, Scheduler, Strategy,
    TaskId, WorkerId,
};

const POOL: PoolId = PoolId(0);
const WORKERS: usize = 2;

/// Objects are sealed up to a number; what is pushed is remembered in order.
struct Nothing {
    sealed: AtomicU64,
    pushed: [Mutex<VecDeque<TaskId>>; WORKERS],
}

impl Host for Nothing {
    type Spec = [u64; 12];
    type Cause = ();

    fn subscribe(&self, object: ObjectKey) -> Readiness {
        if u64::from(object.index) < self.sealed.load(Relaxed) {
            Readiness::Ready
        } else {
            Readiness::Pending
        }
    }

    fn cause(&self, _: ObjectKey) {}

    fn push(
        &self,
        worker: WorkerId,
        task: TaskId,
        _: u16,
        _: &Self::Spec,
    ) -> Result<u64, QueueFull> {
        let mut pushed = self.pushed[usize::from(worker.0)].lock().map_err(|_| QueueFull)?;
        pushed.push_back(task);
        Ok(0)
    }

    fn take_back(&self, _: WorkerId, _: u64) -> bool {
        false
    }

    fn need_workers(&self, _: PoolId, _: usize) {}

    fn fail(&self, _: TaskId, _: &Self::Spec, _: Failure<()>) {}

    fn finished(&self, _: TaskId, _: u16, spec: Self::Spec) {
        std::hint::black_box(spec);
    }

    fn kill(&self, _: WorkerId) {}
}

struct Bench {
    scheduler: Scheduler<Nothing>,
    demand: Demand,
    objects: u32,
}

impl Bench {
    fn new() -> Self {
        let host = Nothing { sealed: AtomicU64::new(0), pushed: Default::default() };
        let config = Config { cpus: WORKERS as f64, ..Config::default() };
        let bench = Bench {
            scheduler: Scheduler::new(host, config),
            demand: Demand::cpus(1.0),
            objects: 0,
        };
        for worker in 0..WORKERS {
            bench.scheduler.worker_joined(WorkerId(worker as u16), POOL);
        }
        bench
    }

    fn submit(&mut self, dependencies: &[ObjectKey]) -> ObjectKey {
        // Slots are used again, as a store's are.
        let returned = ObjectKey { index: self.objects % (1 << 20), generation: 1 };
        self.objects += 1;
        let submitted = self.scheduler.submit(NewTask {
            spec: [0; 12],
            pool: POOL,
            job: JobId(0),
            demand: &self.demand,
            dependencies,
            returns: &[returned],
            placement: Placement::Inherit,
            priority: 0,
            alike: 7,
            retries: Retries::default(),
            parent: None,
            note: [0; 2],
        });
        submitted.expect("it fits");
        returned
    }

    /// Completes what was pushed, until nothing is left.
    fn drain(&self) {
        let mut ran = true;
        while std::mem::take(&mut ran) {
            for worker in 0..WORKERS {
                loop {
                    let queue = &self.scheduler.host().pushed[worker];
                    let Some(task) = queue.lock().expect("sound").pop_front() else { break };
                    self.complete(worker, task);
                    ran = true;
                }
            }
        }
    }

    fn complete(&self, worker: usize, task: TaskId) {
        self.scheduler.completed(WorkerId(worker as u16), task, 0, Outcome::Done, 0);
    }
}

/// Runs one row and prints what one unit of it took.
fn row(only: Option<&str>, name: &str, units: usize, body: impl FnOnce()) {
    if only.is_some_and(|only| only != name) {
        return;
    }
    let begun = Instant::now();
    body();
    println!("{name:<12} {:8.1} ns", begun.elapsed().as_nanos() as f64 / units as f64);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let tasks: usize = arguments.next().and_then(|tasks| tasks.parse().ok()).unwrap_or(1_000_000);
    let only = arguments.next().map(|row| row.trim_start_matches("row=").to_owned());
    let only = only.as_deref();

    let mut bench = Bench::new();
    // One task at a time.
    row(only, "sync", tasks, || {
        for _ in 0..tasks {
            bench.submit(&[]);
            bench.drain();
        }
    });
    // A thousand, then all of them completed.
    row(only, "batches", tasks, || {
        for _ in 0..tasks / 1000 {
            for _ in 0..1000 {
                bench.submit(&[]);
            }
            bench.drain();
        }
    });
    // All of them queued at one moment.
    row(only, "queued", tasks, || {
        for _ in 0..tasks {
            bench.submit(&[]);
        }
        bench.drain();
    });
    // Each waits for an object that is not there; then it is.
    row(only, "waiting", tasks, || {
        let waits = ObjectKey { index: 1 << 22, generation: 1 };
        for at in 0..tasks as u32 {
            let waits = ObjectKey { index: waits.index + at % 1000, ..waits };
            bench.submit(&[waits]);
        }
        bench.scheduler.host().sealed.store(u64::MAX, Relaxed);
        for at in 0..1000 {
            let waits = ObjectKey { index: waits.index + at, ..waits };
            bench.scheduler.settled(waits, Readiness::Ready);
        }
        bench.drain();
    });
    let actor = actor(&bench);
    row(only, "calls", tasks, || {
        for _ in 0..tasks / 100 {
            for _ in 0..100 {
                call(&bench, actor);
            }
            bench.drain();
        }
    });
    row(only, "groups", tasks, || {
        let bundles = [Demand::cpus(0.001)];
        for _ in 0..tasks {
            let new = NewGroup {
                bundles: &bundles,
                strategy: Strategy::Pack,
                job: JobId(0),
                detached: false,
                by: None,
            };
            let group = bench.scheduler.create_group(new).expect("it fits");
            bench.scheduler.remove_group(group);
        }
    });
}

fn actor(bench: &Bench) -> ActorId {
    let created = bench.scheduler.create_actor(NewActor {
        spec: [0; 12],
        pool: POOL,
        job: JobId(0),
        demand: &bench.demand,
        dependencies: &[],
        returns: &[],
        placement: Placement::Inherit,
        priority: 0,
        max_restarts: 0,
        max_task_retries: 0,
        max_pending_calls: 0,
        max_handed: 0,
        out_of_order: false,
        detached: false,
        parent: None,
    });
    bench.drain();
    created.expect("it fits")
}

fn call(bench: &Bench, actor: ActorId) {
    let call = NewCall {
        spec: [0; 12],
        dependencies: &[],
        returns: &[],
        retries: None,
        parent: None,
        note: [0; 2],
    };
    let called = bench.scheduler.call(actor, CallerId(1), call);
    called.expect("it lives");
}
