// A scheduler whose host keeps objects and queues in plain memory: where others reach processes, it pops a queue.

use std::{
    collections::{HashMap, VecDeque},
    slice,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
};

use rustyray_scheduler::{
    Config, Demand, Failure, Host, JobId, NewTask, ObjectKey, Outcome, Placement, PoolId,
    QueueFull, Readiness, Retries, Scheduler, TaskId, WorkerId,
};

/// What to run, and the object that it makes.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) makes: ObjectKey,
}

#[derive(Default)]
pub(crate) struct InMemory {
    scheduler: OnceLock<Weak<Scheduler<InMemory>>>,
    /// What was settled; everything else is pending.
    objects: Mutex<HashMap<ObjectKey, Readiness>>,
    /// What workers were handed and have not begun.
    queue: Mutex<VecDeque<(WorkerId, TaskId, u16, Job)>>,
    workers: AtomicU16,
}

impl InMemory {
    pub(crate) fn start(config: Config) -> Arc<Scheduler<InMemory>> {
        let scheduler = Arc::new(Scheduler::new(InMemory::default(), config));
        let _ = scheduler.host().scheduler.set(Arc::downgrade(&scheduler));
        scheduler
    }

    /// The object was sealed, or failed.
    pub(crate) fn settle(&self, object: ObjectKey, readiness: Readiness) {
        self.objects.lock().unwrap().insert(object, readiness);
        if let Some(scheduler) = self.scheduler.get().and_then(Weak::upgrade) {
            scheduler.settled(object, readiness);
        }
    }

    /// What a worker does: begins the first task of its queue.
    pub(crate) fn begin(&self, worker: WorkerId) -> Option<(TaskId, u16, Job)> {
        let mut queue = self.queue.lock().unwrap();
        let at = queue.iter().position(|entry| entry.0 == worker)?;
        queue.remove(at).map(|(_, task, attempt, job)| (task, attempt, job))
    }
}

impl Host for InMemory {
    type Spec = Job;
    type Cause = String;

    fn subscribe(&self, object: ObjectKey) -> Readiness {
        self.objects.lock().unwrap().get(&object).copied().unwrap_or(Readiness::Pending)
    }

    fn cause(&self, object: ObjectKey) -> String {
        format!("object {} failed", object.index)
    }

    fn push(&self, to: WorkerId, task: TaskId, attempt: u16, job: &Job) -> Result<u64, QueueFull> {
        self.queue.lock().unwrap().push_back((to, task, attempt, job.clone()));
        Ok(task.to_bits())
    }

    fn take_back(&self, worker: WorkerId, ticket: u64) -> bool {
        let entry = (worker, TaskId::from_bits(ticket));
        let mut queue = self.queue.lock().unwrap();
        let at = queue.iter().position(|&(worker, task, ..)| (worker, task) == entry);
        at.and_then(|at| queue.remove(at)).is_some()
    }

    fn need_workers(&self, pool: PoolId, how_many: usize) {
        let Some(scheduler) = self.scheduler.get().and_then(Weak::upgrade) else { return };
        for _ in 0..how_many {
            let worker = WorkerId(self.workers.fetch_add(1, Relaxed));
            scheduler.worker_joined(worker, pool);
        }
    }

    fn fail(&self, _: TaskId, job: &Job, _: Failure<String>) {
        self.settle(job.makes, Readiness::Failed);
    }

    fn finished(&self, _: TaskId, _: u16, _: Job) {}

    fn kill(&self, _: WorkerId) {}
}

/// A task of one cpu that makes `makes` once `needs` are there.
pub(crate) fn task<'a>(
    name: &'static str,
    makes: &'a ObjectKey,
    needs: &'a [ObjectKey],
    demand: &'a Demand,
) -> NewTask<'a, Job> {
    NewTask {
        spec: Job { name, makes: *makes },
        pool: PoolId(0),
        job: JobId(0),
        demand,
        dependencies: needs,
        returns: slice::from_ref(makes),
        placement: Placement::default(),
        priority: 0,
        alike: 0,
        retries: Retries::default(),
        parent: None,
        note: [0; 2],
    }
}

/// All workers run what they have been handed, until nobody has anything; the names in order.
pub(crate) fn run_all(scheduler: &Scheduler<InMemory>) -> Vec<&'static str> {
    let mut ran = Vec::new();
    loop {
        let before = ran.len();
        for worker in scheduler.workers() {
            let Some((task, attempt, job)) = scheduler.host().begin(worker.id) else { continue };
            ran.push(job.name);
            scheduler.host().settle(job.makes, Readiness::Ready);
            scheduler.completed(worker.id, task, attempt, Outcome::Done, 0);
        }
        if ran.len() == before {
            return ran;
        }
    }
}

fn main() {
    let scheduler = InMemory::start(Config { cpus: 2.0, ..Config::default() });
    let [numbers, sum] = [0, 1].map(|index| ObjectKey { index, generation: 1 });
    let demand = Demand::cpus(1.0);

    scheduler.submit(task("sum", &sum, &[numbers], &demand)).expect("one of two cpus");
    scheduler.submit(task("load", &numbers, &[], &demand)).expect("one of two cpus");
    assert_eq!(run_all(&scheduler), ["load", "sum"]);
}
