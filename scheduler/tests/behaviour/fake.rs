//! A host in plain memory: objects are entries of a map, workers are queues whose entries a test begins and
//! completes by hand.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use rustyray_scheduler::{
    ActorId, ActorState, CallError, CallerId, CancelMode, Cancelled, Config, DeathReason, Demand,
    Failure, GpuShare, GroupId, GroupState, Host, JobId, NewActor, NewCall, NewTask, ObjectKey,
    Outcome, Placement, PoolId, QueueFull, Readiness, Retries, Scheduler, SubmitError, TaskId,
    WorkerId,
};

pub(crate) const POOL: PoolId = PoolId(0);

/// What runs: a name for the test, and what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) name: u64,
    pub(crate) returns: Vec<ObjectKey>,
}

pub(crate) type Cause = String;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    ticket: u64,
    pub(crate) task: TaskId,
    pub(crate) attempt: u16,
    pub(crate) job: Job,
    pub(crate) begun: bool,
}

#[derive(Default)]
pub(crate) struct Inner {
    objects: HashMap<ObjectKey, (Readiness, Option<Cause>)>,
    pub(crate) queues: BTreeMap<u16, VecDeque<Entry>>,
    pub(crate) room: usize,
    tickets: u64,
    pub(crate) asked: usize,
    pub(crate) failures: HashMap<u64, Failure<Cause>>,
    pub(crate) finished: Vec<u64>,
    ended: HashSet<TaskId>,
    pub(crate) killed: Vec<WorkerId>,
    pub(crate) stopped: Vec<WorkerId>,
    pub(crate) interrupted: Vec<(WorkerId, TaskId, u16)>,
    pub(crate) granted: Vec<(WorkerId, Vec<GpuShare>)>,
    pub(crate) actors: Vec<(ActorId, ActorState, Option<DeathReason<Cause>>)>,
    pub(crate) groups: Vec<(GroupId, GroupState)>,
    pub(crate) pushes: Vec<(u16, u64)>,
    /// What else was ready when each failure was told.
    pub(crate) ready_at_failures: Vec<usize>,
    /// How often reviews came to be wanted.
    pub(crate) reviews_wanted: usize,
    /// Callbacks that are to panic, once each.
    pub(crate) panicking: Vec<&'static str>,
    pub(crate) panicked: usize,
    /// What happens while the next failure is told.
    pub(crate) at_failure: Option<Box<dyn FnOnce() + Send>>,
    /// How often each was begun.
    pub(crate) begun: HashMap<u64, usize>,
}

pub(crate) struct Fake {
    inner: Mutex<Inner>,
    scheduler: Mutex<Weak<Scheduler<Fake>>>,
}

impl Fake {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Panics if the callback is to.
    fn perhaps_panic(&self, what: &str) {
        let panics = {
            let mut inner = self.inner();
            let at = inner.panicking.iter().position(|&panicking| panicking == what);
            inner.panicked += usize::from(at.is_some());
            at.map(|at| inner.panicking.remove(at)).is_some()
        };
        assert!(!panics, "on purpose, in `{what}`");
    }

    fn scheduler(&self) -> Option<Arc<Scheduler<Fake>>> {
        self.scheduler.lock().unwrap().upgrade()
    }

    fn settle(&self, object: ObjectKey, readiness: Readiness, cause: Option<Cause>) {
        self.inner().objects.insert(object, (readiness, cause));
        if let Some(scheduler) = self.scheduler() {
            scheduler.settled(object, readiness);
        }
    }
}

impl Host for Fake {
    type Spec = Job;
    type Cause = Cause;

    fn subscribe(&self, object: ObjectKey) -> Readiness {
        self.inner().objects.get(&object).map_or(Readiness::Failed, |(readiness, _)| *readiness)
    }

    fn cause(&self, object: ObjectKey) -> Cause {
        self.perhaps_panic("cause");
        let known = self.inner().objects.get(&object).and_then(|(_, cause)| cause.clone());
        known.unwrap_or_else(|| "gone".into())
    }

    fn push(
        &self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        spec: &Job,
    ) -> Result<u64, QueueFull> {
        self.perhaps_panic("push");
        let mut inner = self.inner();
        inner.tickets += 1;
        let (ticket, room) = (inner.tickets, inner.room);
        let queue = inner.queues.get_mut(&worker.0).expect("pushed to a worker that is there");
        if queue.len() >= room {
            return Err(QueueFull);
        }
        queue.push_back(Entry { ticket, task, attempt, job: spec.clone(), begun: false });
        inner.pushes.push((worker.0, spec.name));
        Ok(ticket)
    }

    fn take_back(&self, worker: WorkerId, ticket: u64) -> bool {
        self.perhaps_panic("take_back");
        let mut inner = self.inner();
        let Some(queue) = inner.queues.get_mut(&worker.0) else { return false };
        let at = queue.iter().position(|entry| entry.ticket == ticket && !entry.begun);
        at.map(|at| queue.remove(at)).is_some()
    }

    fn need_workers(&self, _: PoolId, how_many: usize) {
        self.perhaps_panic("need_workers");
        self.inner().asked += how_many;
    }

    fn fail(&self, task: TaskId, spec: &Job, why: Failure<Cause>) {
        self.perhaps_panic("fail");
        let meanwhile = self.inner().at_failure.take();
        meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        assert!(!self.inner().ended.contains(&task), "it has ended before");
        let cause = match &why {
            Failure::Dependency { cause, .. } => cause.clone(),
            other => format!("{other:?}"),
        };
        let before = self.inner().failures.insert(spec.name, why);
        assert_eq!(before, None, "failed once");
        let ready = self.scheduler().map_or(0, |scheduler| scheduler.backlog());
        self.inner().ready_at_failures.push(ready);
        for &object in &spec.returns {
            let pending = self.subscribe(object) == Readiness::Pending;
            if pending {
                self.settle(object, Readiness::Failed, Some(cause.clone()));
            }
        }
    }

    fn finished(&self, task: TaskId, _: u16, spec: Job) {
        self.perhaps_panic("finished");
        assert!(self.inner().ended.insert(task), "a task ends once");
        self.inner().finished.push(spec.name);
        for object in spec.returns {
            let readiness = self.subscribe(object);
            if let (Some(scheduler), true) = (self.scheduler(), readiness != Readiness::Pending) {
                scheduler.settled(object, readiness);
            }
        }
    }

    fn kill(&self, worker: WorkerId) {
        self.perhaps_panic("kill");
        self.inner().killed.push(worker);
    }

    fn interrupt(&self, worker: WorkerId, task: TaskId, attempt: u16) {
        self.perhaps_panic("interrupt");
        self.inner().interrupted.push((worker, task, attempt));
    }

    fn stop(&self, worker: WorkerId) {
        self.perhaps_panic("stop");
        self.inner().stopped.push(worker);
    }

    fn review_wanted(&self) {
        self.perhaps_panic("review_wanted");
        self.inner().reviews_wanted += 1;
    }

    fn granted(&self, worker: WorkerId, gpus: &[GpuShare]) {
        self.perhaps_panic("granted");
        self.inner().granted.push((worker, gpus.to_vec()));
    }

    fn group_changed(&self, group: GroupId, state: GroupState) {
        self.perhaps_panic("group_changed");
        self.inner().groups.push((group, state));
    }

    fn actor_changed(
        &self,
        actor: ActorId,
        state: ActorState,
        reason: Option<&DeathReason<Cause>>,
    ) {
        self.perhaps_panic("actor_changed");
        self.inner().actors.push((actor, state, reason.cloned()));
    }
}

/// What a task of a test is, where it is not the default.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) demand: Demand,
    pub(crate) pool: PoolId,
    pub(crate) job: u32,
    pub(crate) priority: i32,
    pub(crate) alike: u64,
    pub(crate) retries: u16,
    pub(crate) placement: Placement,
    pub(crate) parent: Option<TaskId>,
}

impl Default for Wish {
    fn default() -> Self {
        Wish {
            demand: Demand::cpus(1.0),
            pool: POOL,
            job: 0,
            priority: 0,
            alike: 0,
            retries: 0,
            placement: Placement::default(),
            parent: None,
        }
    }
}

/// A scheduler over a fake host.
pub(crate) struct World {
    pub(crate) scheduler: Arc<Scheduler<Fake>>,
    objects: AtomicU32,
    names: AtomicU64,
    /// How long tasks are said to have run.
    pub(crate) ran_ns: AtomicU64,
}

impl World {
    pub(crate) fn new(config: Config) -> World {
        let inner = Inner { room: 256, ..Inner::default() };
        let fake = Fake { inner: Mutex::new(inner), scheduler: Mutex::new(Weak::new()) };
        let scheduler = Arc::new(Scheduler::new(fake, config));
        *scheduler.host().scheduler.lock().unwrap() = Arc::downgrade(&scheduler);
        World {
            scheduler,
            objects: AtomicU32::new(0),
            names: AtomicU64::new(0),
            ran_ns: AtomicU64::new(0),
        }
    }

    /// With that many cpus and as many workers.
    pub(crate) fn cpus(cpus: u16) -> World {
        let world = World::new(Config { cpus: f64::from(cpus), ..Config::default() });
        (1..=cpus).for_each(|worker| world.join(worker));
        world
    }

    pub(crate) fn host(&self) -> MutexGuard<'_, Inner> {
        self.scheduler.host().inner()
    }

    pub(crate) fn join(&self, worker: u16) {
        self.join_pool(worker, POOL);
    }

    pub(crate) fn join_pool(&self, worker: u16, pool: PoolId) {
        self.host().queues.insert(worker, VecDeque::new());
        self.scheduler.worker_joined(WorkerId(worker), pool);
    }

    /// The worker dies.
    pub(crate) fn die(&self, worker: u16) {
        self.scheduler.worker_left(WorkerId(worker), format!("worker {worker} died"));
        self.host().queues.remove(&worker);
    }

    /// An object that is not there yet.
    pub(crate) fn object(&self) -> ObjectKey {
        let index = self.objects.fetch_add(1, Relaxed);
        let object = ObjectKey { index, generation: 1 };
        self.host().objects.insert(object, (Readiness::Pending, None));
        object
    }

    pub(crate) fn seal(&self, object: ObjectKey) {
        self.scheduler.host().settle(object, Readiness::Ready, None);
    }

    pub(crate) fn fail(&self, object: ObjectKey, cause: &str) {
        self.scheduler.host().settle(object, Readiness::Failed, Some(cause.into()));
    }

    pub(crate) fn readiness(&self, object: ObjectKey) -> Readiness {
        self.scheduler.host().subscribe(object)
    }

    pub(crate) fn job(&self) -> Job {
        let returns = vec![self.object()];
        Job { name: self.names.fetch_add(1, Relaxed), returns }
    }

    /// Submits a task; answers its name, its id and what it makes.
    pub(crate) fn submit(&self, dependencies: &[ObjectKey]) -> (u64, TaskId, ObjectKey) {
        self.submit_as(dependencies, Wish::default())
    }

    pub(crate) fn submit_as(
        &self,
        dependencies: &[ObjectKey],
        wish: Wish,
    ) -> (u64, TaskId, ObjectKey) {
        self.try_submit(dependencies, wish).expect("it can be scheduled")
    }

    pub(crate) fn try_submit(
        &self,
        dependencies: &[ObjectKey],
        wish: Wish,
    ) -> Result<(u64, TaskId, ObjectKey), SubmitError<Job>> {
        let spec = self.job();
        let (name, returns) = (spec.name, spec.returns.clone());
        let task = self.scheduler.submit(NewTask {
            spec,
            pool: wish.pool,
            job: JobId(wish.job),
            demand: &wish.demand,
            dependencies,
            returns: &returns,
            placement: wish.placement,
            priority: wish.priority,
            alike: wish.alike,
            retries: Retries { max: wish.retries, on_error: true },
            parent: wish.parent,
            note: [name, !name],
        })?;
        Ok((name, task, returns[0]))
    }

    /// A new actor with these many restarts and task retries; answers it, its creation's name and its token.
    pub(crate) fn actor(&self, restarts: u32, task_retries: u16) -> (ActorId, u64, ObjectKey) {
        self.actor_with(|new| NewActor {
            max_restarts: restarts,
            max_task_retries: task_retries,
            ..new
        })
    }

    pub(crate) fn actor_with(
        &self,
        wish: impl FnOnce(NewActor<'_, Job>) -> NewActor<'_, Job>,
    ) -> (ActorId, u64, ObjectKey) {
        self.actor_on(&[], wish)
    }

    /// The same, whose constructor takes these.
    pub(crate) fn actor_on(
        &self,
        dependencies: &[ObjectKey],
        wish: impl FnOnce(NewActor<'_, Job>) -> NewActor<'_, Job>,
    ) -> (ActorId, u64, ObjectKey) {
        let spec = self.job();
        let (name, returns, demand) = (spec.name, spec.returns.clone(), Demand::cpus(1.0));
        let new = NewActor {
            spec,
            pool: POOL,
            job: JobId(0),
            demand: &demand,
            dependencies,
            returns: &returns,
            placement: Placement::default(),
            priority: 0,
            max_restarts: 0,
            max_task_retries: 0,
            max_pending_calls: 0,
            max_handed: 0,
            out_of_order: false,
            detached: false,
            parent: None,
        };
        let actor = self.scheduler.create_actor(wish(new)).expect("it can be scheduled");
        (actor, name, returns[0])
    }

    pub(crate) fn call(
        &self,
        actor: ActorId,
        caller: u64,
        dependencies: &[ObjectKey],
    ) -> (u64, TaskId) {
        self.try_call(actor, caller, dependencies).expect("it can be called")
    }

    pub(crate) fn try_call(
        &self,
        actor: ActorId,
        caller: u64,
        dependencies: &[ObjectKey],
    ) -> Result<(u64, TaskId), CallError<Job>> {
        let spec = self.job();
        let (name, returns) = (spec.name, spec.returns.clone());
        let call = NewCall {
            spec,
            dependencies,
            returns: &returns,
            retries: None,
            parent: None,
            note: [0; 2],
        };
        let task = self.scheduler.call(actor, CallerId(caller), call)?;
        Ok((name, task))
    }

    pub(crate) fn cancel(&self, task: TaskId) -> Cancelled {
        self.scheduler.cancel(task, CancelMode::default())
    }

    /// The worker begins the first entry that it has not begun.
    pub(crate) fn begin(&self, worker: u16) -> Option<Entry> {
        let mut inner = self.host();
        let entry = inner.queues.get_mut(&worker)?.iter_mut().find(|entry| !entry.begun)?;
        entry.begun = true;
        let entry = entry.clone();
        *inner.begun.entry(entry.job.name).or_default() += 1;
        Some(entry)
    }

    /// The worker completes what it has begun.
    pub(crate) fn complete(&self, worker: u16, entry: &Entry, outcome: Outcome) {
        if let Some(queue) = self.host().queues.get_mut(&worker) {
            queue.retain(|other| other.ticket != entry.ticket);
        }
        let seal = match outcome {
            Outcome::Done => Some((Readiness::Ready, None)),
            Outcome::Failed { retry: false } => Some((Readiness::Failed, Some("own".into()))),
            _ => None,
        };
        if let Some((readiness, cause)) = seal {
            for &object in &entry.job.returns {
                if self.readiness(object) == Readiness::Pending {
                    self.host().objects.insert(object, (readiness, cause.clone()));
                }
            }
        }
        let ran_ns = self.ran_ns.load(Relaxed);
        self.scheduler.completed(WorkerId(worker), entry.task, entry.attempt, outcome, ran_ns);
    }

    /// The worker runs one entry, well; answers its name.
    pub(crate) fn run(&self, worker: u16) -> Option<u64> {
        let entry = self.begin(worker)?;
        self.complete(worker, &entry, Outcome::Done);
        Some(entry.job.name)
    }

    /// Workers run, in turn, until none has anything; answers the names in order.
    pub(crate) fn run_all(&self) -> Vec<u64> {
        let mut ran = Vec::new();
        loop {
            let workers: Vec<u16> = self.host().queues.keys().copied().collect();
            let before = ran.len();
            ran.extend(workers.into_iter().filter_map(|worker| self.run(worker)));
            if ran.len() == before {
                return ran;
            }
        }
    }

    /// The names in a worker's queue.
    pub(crate) fn queue(&self, worker: u16) -> Vec<u64> {
        let inner = self.host();
        inner.queues.get(&worker).into_iter().flatten().map(|entry| entry.job.name).collect()
    }

    pub(crate) fn failure(&self, name: u64) -> Option<Failure<Cause>> {
        self.host().failures.get(&name).cloned()
    }

    /// Nothing is left, and all that was taken was given back.
    pub(crate) fn assert_at_rest(&self) {
        let resources = self.scheduler.resources();
        assert_eq!(resources.free, resources.total);
        assert_eq!(self.scheduler.backlog(), 0);
        let page = self.scheduler.tasks(Default::default(), usize::MAX, |info, _| *info);
        assert!(page.items.is_empty(), "{:?}", page.items);
        let workers = self.scheduler.workers();
        assert!(workers.iter().all(|worker| worker.queued == 0 && worker.actor.is_none()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whatever a callback found wrong was caught.
        if !std::thread::panicking() {
            assert_eq!(self.scheduler.panics(), self.host().panicked, "a callback panicked");
        }
    }
}

impl World {
    /// Those whom the scheduler had killed or stopped die, and others come in their place; how many.
    pub(crate) fn reap(&self) -> usize {
        let condemned = {
            let mut inner = self.host();
            let mut condemned = std::mem::take(&mut inner.killed);
            condemned.append(&mut inner.stopped);
            condemned.retain(|worker| inner.queues.contains_key(&worker.0));
            condemned.sort_unstable();
            condemned.dedup();
            condemned
        };
        for worker in &condemned {
            self.die(worker.0);
            self.join(worker.0);
        }
        condemned.len()
    }

    /// Another object in a slot that was used before.
    pub(crate) fn revive(&self, object: ObjectKey) {
        self.host().objects.insert(object, (Readiness::Pending, None));
    }
}
