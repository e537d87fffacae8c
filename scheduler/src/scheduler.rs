//! The scheduler: one state behind one lock, decisions inside, callbacks outside.
//!
//! Every public method changes the state, dispatches what can be dispatched, and then, without the lock,
//! tells the host what came of it; so callbacks may call back. Pushing into a worker's queue happens
//! inside, since the order of pushes is the order of a caller's calls.
//!
//! No work is lost: a task is in exactly one place (waiting for objects, ready, queued at a worker, or held
//! by its actor), and each event that could let it go on (an object settles, a worker joins, completes,
//! blocks or leaves, an actor comes alive) ends in [`State::dispatch`].
//!
//! Invariant: the lock is never held while user code, or a callback that could come back, runs. It is held
//! for some hundred nanoseconds on the way of a task.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
};

use parking_lot::Mutex;

use crate::{
    ActorId, ActorState, CallError, CallRefusal, CallerId, Completion, Config, DeathReason, Demand,
    Failure, Host, NewActor, NewCall, NewTask, ObjectKey, Outcome, PoolId, Readiness, Refusal,
    Retries, SubmitError, TaskId, UNITS_PER_ONE, WorkerId, demand::units,
};

/// How far the ready queue is searched past tasks that do not fit.
const LOOK_AHEAD: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    Ready,
    At { worker: u16, ticket: u64 },
}

struct Task<S> {
    spec: S,
    demand: Demand,
    pending: usize,
    failed: Option<ObjectKey>,
    attempt: u16,
    retries: Retries,
    priority: i32,
    place: Place,
    actor: Option<ActorId>,
    caller: CallerId,
    is_creation: bool,
    pool: PoolId,
}

#[derive(Default)]
struct Worker {
    /// In the order of their pushes; the first is running, as far as anybody knows.
    queue: VecDeque<TaskId>,
    /// What is reserved while the queue is not empty, or while its actor lives.
    lease: Option<Demand>,
    actor: Option<ActorId>,
    blocked: u32,
}

struct Actor<C> {
    creation: TaskId,
    worker: Option<u16>,
    state: ActorState,
    callers: HashMap<CallerId, VecDeque<TaskId>>,
    unfinished: usize,
    max_pending: usize,
    restarts: u32,
    max_restarts: u32,
    max_task_retries: u16,
    reason: Option<DeathReason<C>>,
    /// Nobody can call any more: it ends when its calls are done.
    released: bool,
}

/// What the host is told once the lock is released.
enum Act<S, C> {
    Fail(TaskId, S, Failure<C>),
    FailByDependency(TaskId, S, ObjectKey),
    Finish(TaskId, S),
    Kill(WorkerId),
    Stop(WorkerId),
    Need(PoolId, usize),
    Changed(ActorId, ActorState),
}

/// Amounts in the units of a [`Demand`].
#[derive(Clone, Default)]
struct Amounts {
    /// Below zero while tasks that were blocked go on beside those that took their place.
    cpu: i64,
    gpu: u64,
    memory_bytes: u64,
    custom: HashMap<String, u64>,
}

impl Amounts {
    fn holds(&self, demand: &Demand) -> bool {
        let custom = |name: &str| self.custom.get(name).copied().unwrap_or(0);
        self.cpu >= demand.cpu as i64
            && self.gpu >= demand.gpu
            && self.memory_bytes >= demand.memory_bytes
            && demand.custom.iter().all(|(name, amount)| custom(name) >= *amount)
    }

    fn take(&mut self, demand: &Demand) {
        self.cpu -= demand.cpu as i64;
        self.gpu -= demand.gpu;
        self.memory_bytes -= demand.memory_bytes;
        for (name, amount) in &demand.custom {
            if let Some(left) = self.custom.get_mut(&**name) {
                *left -= amount;
            }
        }
    }

    fn give(&mut self, demand: &Demand) {
        self.cpu += demand.cpu as i64;
        self.gpu += demand.gpu;
        self.memory_bytes += demand.memory_bytes;
        for (name, amount) in &demand.custom {
            if let Some(left) = self.custom.get_mut(&**name) {
                *left += amount;
            }
        }
    }
}

struct State<H: Host> {
    config: Config,
    total: Amounts,
    free: Amounts,
    next: u64,
    tasks: HashMap<TaskId, Task<H::Spec>>,
    waiting: HashMap<ObjectKey, Vec<TaskId>>,
    ready: BTreeMap<Reverse<i32>, VecDeque<TaskId>>,
    ready_len: usize,
    workers: HashMap<u16, Worker>,
    /// Workers with nothing to do, the one that was busy last at the end: its caches are warm, and it
    /// may not be asleep yet.
    idle: Vec<u16>,
    starting: usize,
    actors: HashMap<ActorId, Actor<H::Cause>>,
    acts: Vec<Act<H::Spec, H::Cause>>,
}

/// See the module; shared by all threads of the node.
pub struct Scheduler<H: Host> {
    host: H,
    state: Mutex<State<H>>,
}

impl<H: Host> fmt::Debug for Scheduler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Scheduler")
            .field("tasks", &state.tasks.len())
            .field("ready", &state.ready_len)
            .field("workers", &state.workers.len())
            .field("actors", &state.actors.len())
            .finish_non_exhaustive()
    }
}

impl<H: Host> Scheduler<H> {
    /// A scheduler that gives out what `config` says.
    pub fn new(host: H, config: Config) -> Self {
        let total = Amounts {
            cpu: units(config.cpus) as i64,
            gpu: units(config.gpus),
            memory_bytes: config.memory_bytes,
            custom: config
                .custom
                .iter()
                .map(|(name, amount)| (name.clone(), units(*amount)))
                .collect(),
        };
        let state = State {
            config,
            free: total.clone(),
            total,
            next: 1,
            tasks: HashMap::new(),
            waiting: HashMap::new(),
            ready: BTreeMap::new(),
            ready_len: 0,
            workers: HashMap::new(),
            idle: Vec::new(),
            starting: 0,
            actors: HashMap::new(),
            acts: Vec::new(),
        };
        Scheduler { host, state: Mutex::new(state) }
    }

    /// The host.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Changes the state, dispatches, and tells the host, in this order.
    fn change<R>(&self, change: impl FnOnce(&mut State<H>, &H) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state, &self.host);
        state.dispatch(&self.host);
        let acts = std::mem::take(&mut state.acts);
        drop(state);
        for act in acts {
            self.tell(act);
        }
        result
    }

    fn tell(&self, act: Act<H::Spec, H::Cause>) {
        match act {
            Act::Fail(task, spec, why) => {
                self.host.fail(task, &spec, why);
                self.host.finished(task, spec);
            }
            Act::FailByDependency(task, spec, object) => {
                let cause = self.host.cause(object);
                self.host.fail(task, &spec, Failure::Dependency { object, cause });
                self.host.finished(task, spec);
            }
            Act::Finish(task, spec) => self.host.finished(task, spec),
            Act::Kill(worker) => self.host.kill(worker),
            Act::Stop(worker) => self.host.stop(worker),
            Act::Need(pool, how_many) => self.host.need_workers(pool, how_many),
            Act::Changed(actor, state) => self.host.actor_changed(actor, state, None),
        }
    }

    /// Takes a task.
    ///
    /// # Errors
    /// When the machine will never have what it demands; the spec is given back.
    pub fn submit(&self, new: NewTask<'_, H::Spec>) -> Result<TaskId, SubmitError<H::Spec>> {
        self.change(|state, host| {
            if let Some(why) = state.refusal(new.demand) {
                return Err(SubmitError { spec: new.spec, why });
            }
            let task = Task {
                spec: new.spec,
                demand: new.demand.clone(),
                pending: 0,
                failed: None,
                attempt: 0,
                retries: new.retries,
                priority: new.priority,
                place: Place::Waiting,
                actor: None,
                caller: CallerId(0),
                is_creation: false,
                pool: new.pool,
            };
            Ok(state.add(host, task, new.dependencies))
        })
    }

    /// An object that somebody waits for was sealed or failed.
    pub fn settled(&self, object: ObjectKey, readiness: Readiness) {
        if self.state.lock().waiting.contains_key(&object) {
            self.change(|state, _| state.settle(object, readiness == Readiness::Failed));
        }
    }

    /// A worker says how an attempt ended.
    pub fn completed(
        &self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        outcome: Outcome,
    ) -> Completion {
        self.change(|state, _| state.complete(worker.0, task, attempt, outcome))
    }

    /// Workers were started without being asked for.
    pub fn workers_expected(&self, how_many: usize) {
        self.state.lock().starting += how_many;
    }

    /// A worker is ready for work.
    pub fn worker_joined(&self, worker: WorkerId, _pool: PoolId) {
        self.change(|state, _| {
            state.starting = state.starting.saturating_sub(1);
            state.workers.insert(worker.0, Worker::default());
            // Newcomers are taken last.
            state.idle.insert(0, worker.0);
        });
    }

    /// Workers that were asked for will not come.
    pub fn spawn_failed(&self, _pool: PoolId, how_many: usize) {
        self.change(|state, _| state.starting = state.starting.saturating_sub(how_many));
    }

    /// A worker is gone: what it had not begun goes to others, what it ran is run again or fails.
    pub fn worker_left(&self, worker: WorkerId, cause: H::Cause) {
        self.change(|state, _| state.leave(worker, cause));
    }

    /// A worker's task waits for something: its cpu, and what is queued behind it, go to others.
    pub fn blocked(&self, worker: WorkerId) {
        self.change(|state, host| state.block(host, worker.0));
    }

    /// A worker's task goes on.
    pub fn unblocked(&self, worker: WorkerId) {
        self.change(|state, _| state.unblock(worker.0));
    }

    /// Dispatches what can be dispatched; `false` when nothing more can be done now.
    pub fn step(&self, _budget: usize) -> bool {
        self.change(|_, _| ());
        false
    }

    /// Tasks that are ready and in no worker's queue.
    pub fn backlog(&self) -> usize {
        self.state.lock().ready_len
    }

    /// Takes an actor; its construction is a task.
    ///
    /// # Errors
    /// As [`Scheduler::submit`].
    pub fn create_actor(
        &self,
        new: NewActor<'_, H::Spec>,
    ) -> Result<ActorId, SubmitError<H::Spec>> {
        self.change(|state, host| {
            if let Some(why) = state.refusal(new.demand) {
                return Err(SubmitError { spec: new.spec, why });
            }
            state.next += 1;
            let id = ActorId::from_bits(state.next);
            let task = Task {
                spec: new.spec,
                demand: new.demand.clone(),
                pending: 0,
                failed: None,
                attempt: 0,
                retries: Retries::NONE,
                priority: new.priority,
                place: Place::Waiting,
                actor: Some(id),
                caller: CallerId(0),
                is_creation: true,
                pool: new.pool,
            };
            let actor = Actor {
                creation: TaskId::from_bits(0),
                worker: None,
                state: ActorState::Pending,
                callers: HashMap::new(),
                unfinished: 0,
                max_pending: new.max_pending_calls,
                restarts: 0,
                max_restarts: new.max_restarts,
                max_task_retries: new.max_task_retries,
                reason: None,
                released: false,
            };
            state.actors.insert(id, actor);
            let creation = state.add(host, task, new.dependencies);
            if let Some(actor) = state.actors.get_mut(&id) {
                actor.creation = creation;
            }
            Ok(id)
        })
    }

    /// Takes a call of an actor. Calls of one caller run in the order in which they come.
    ///
    /// # Errors
    /// When the actor is dead, unknown, or has too many unfinished calls; the spec is given back.
    pub fn call(
        &self,
        actor: ActorId,
        caller: CallerId,
        call: NewCall<'_, H::Spec>,
    ) -> Result<TaskId, CallError<H::Spec>> {
        self.change(|state, host| {
            let why = match state.actors.get(&actor) {
                None => Some(CallRefusal::Unknown),
                Some(known) if known.state == ActorState::Dead => Some(CallRefusal::Died),
                Some(known) if known.max_pending > 0 && known.unfinished >= known.max_pending => {
                    Some(CallRefusal::PendingLimit { limit: known.max_pending })
                }
                Some(_) => None,
            };
            if let Some(why) = why {
                return Err(CallError { spec: call.spec, why });
            }
            let max = state.actors[&actor].max_task_retries;
            let task = Task {
                spec: call.spec,
                demand: Demand::none(),
                pending: 0,
                failed: None,
                attempt: 0,
                retries: call.retries.unwrap_or(Retries { max, on_error: false }),
                priority: 0,
                place: Place::Waiting,
                actor: Some(actor),
                caller,
                is_creation: false,
                pool: PoolId(0),
            };
            let id = state.add(host, task, call.dependencies);
            if let Some(known) = state.actors.get_mut(&actor) {
                known.unfinished += 1;
                known.callers.entry(caller).or_default().push_back(id);
            }
            state.feed(host, actor);
            Ok(id)
        })
    }

    /// Kills an actor's process; with `restart` it is constructed again if its restarts allow.
    pub fn kill_actor(&self, actor: ActorId, restart: bool) {
        self.change(|state, _| {
            let Some(known) = state.actors.get_mut(&actor) else { return };
            if !restart {
                known.reason.get_or_insert(DeathReason::Killed);
            }
            match known.worker {
                Some(worker) => state.acts.push(Act::Kill(WorkerId(worker))),
                None if !restart => state.bury(actor),
                None => {}
            }
        });
    }

    /// An actor's worker said that it ends on purpose.
    pub fn exit_actor(&self, actor: ActorId) {
        self.change(|state, _| state.end(actor, DeathReason::Exited));
    }

    /// The last handle of an actor is gone: it ends when its calls are done.
    pub fn release_actor(&self, actor: ActorId) {
        self.change(|state, _| {
            if let Some(known) = state.actors.get_mut(&actor) {
                known.released = true;
            }
            state.end_if_unused(actor);
        });
    }

    /// What an actor is about.
    pub fn actor_state(&self, actor: ActorId) -> Option<ActorState> {
        self.state.lock().actors.get(&actor).map(|actor| actor.state)
    }

    /// Why an actor is dead.
    pub fn actor_reason(&self, actor: ActorId) -> Option<DeathReason<H::Cause>> {
        self.state.lock().actors.get(&actor).and_then(|actor| actor.reason.clone())
    }

    /// The worker in which an actor lives.
    pub fn actor_worker(&self, actor: ActorId) -> Option<WorkerId> {
        self.state.lock().actors.get(&actor).and_then(|actor| actor.worker).map(WorkerId)
    }
}

impl<H: Host> State<H> {
    fn refusal(&self, demand: &Demand) -> Option<Refusal> {
        if demand.gpu > UNITS_PER_ONE && !demand.gpu.is_multiple_of(UNITS_PER_ONE) {
            return Some(Refusal::PartialGpus { demand: demand.to_string() });
        }
        if self.total.holds(demand) {
            return None;
        }
        let mut exists = Demand::cpus(self.config.cpus)
            .with_gpus(self.config.gpus)
            .with_memory(self.config.memory_bytes);
        for (name, amount) in &self.config.custom {
            exists = exists.with_custom(name, *amount);
        }
        Some(Refusal::Unschedulable { demand: demand.to_string(), exists: exists.to_string() })
    }

    /// Enters a task, waiting for its dependencies or ready.
    fn add(&mut self, host: &H, mut task: Task<H::Spec>, dependencies: &[ObjectKey]) -> TaskId {
        self.next += 1;
        let id = TaskId::from_bits(self.next);
        for &object in dependencies {
            match host.subscribe(object) {
                Readiness::Ready => {}
                Readiness::Failed => task.failed = Some(object),
                Readiness::Pending => {
                    task.pending += 1;
                    self.waiting.entry(object).or_default().push(id);
                }
            }
        }
        let free = task.pending == 0 || task.failed.is_some();
        self.tasks.insert(id, task);
        if free {
            self.make_ready(id);
        }
        id
    }

    /// A task waits for nothing any more. A call stays with its actor, which feeds it in its turn.
    fn make_ready(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if let (Some(object), true) = (task.failed, task.actor.is_none() || task.is_creation) {
            let creation_of = task.actor;
            if let Some(actor) = creation_of {
                self.end(actor, DeathReason::CreationFailed);
            }
            if let Some(task) = self.tasks.remove(&id) {
                self.acts.push(Act::FailByDependency(id, task.spec, object));
            }
            return;
        }
        if task.actor.is_none() || task.is_creation {
            task.place = Place::Ready;
            self.ready.entry(Reverse(task.priority)).or_default().push_back(id);
            self.ready_len += 1;
        }
    }

    fn settle(&mut self, object: ObjectKey, failed: bool) {
        for id in self.waiting.remove(&object).unwrap_or_default() {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            task.pending = task.pending.saturating_sub(1);
            if failed {
                task.failed.get_or_insert(object);
            }
            if task.place == Place::Waiting && (task.pending == 0 || task.failed.is_some()) {
                self.make_ready(id);
            }
        }
    }

    // --- dispatching -------------------------------------------------------------------------------------

    /// Hands out what is ready, feeds the actors, and takes work back for workers that have none.
    fn dispatch(&mut self, host: &H) {
        let actors: Vec<ActorId> = self
            .actors
            .iter()
            .filter(|(_, actor)| actor.callers.values().any(|calls| !calls.is_empty()))
            .map(|(&id, _)| id)
            .collect();
        actors.into_iter().for_each(|actor| self.feed(host, actor));
        if self.ready_len > 0 {
            self.hand_out(host);
        }
        if self.ready_len == 0 && !self.idle.is_empty() {
            self.take_back(host);
        }
    }

    fn hand_out(&mut self, host: &H) {
        let mut missing = 0_usize;
        let mut spare = self.free.clone();
        let mut skipped: Vec<TaskId> = Vec::new();
        let mut pool = PoolId(0);
        while skipped.len() < LOOK_AHEAD {
            let Some(id) = self.pop_ready() else { break };
            let Some(task) = self.tasks.get(&id) else { continue };
            pool = task.pool;
            let fits = self.free.holds(&task.demand);
            let target = match self.idle.last() {
                Some(&worker) if fits => Some(worker),
                _ if task.is_creation => None,
                _ => self.shortest_of(&task.demand),
            };
            if let Some(worker) = target
                && self.push(host, worker, id)
            {
                spare = self.free.clone();
                continue;
            }
            let demand = &self.tasks[&id].demand;
            if spare.holds(demand) && self.idle.is_empty() {
                spare.take(demand);
                missing += 1;
            }
            skipped.push(id);
        }
        for id in skipped.into_iter().rev() {
            let priority = self.tasks.get(&id).map_or(0, |task| task.priority);
            self.ready.entry(Reverse(priority)).or_default().push_front(id);
            self.ready_len += 1;
        }
        let room = self.config.max_workers.saturating_sub(1 + self.workers.len() + self.starting);
        let wanted = missing.saturating_sub(self.starting).min(room);
        if wanted > 0 {
            self.starting += wanted;
            self.acts.push(Act::Need(pool, wanted));
        }
    }

    fn pop_ready(&mut self) -> Option<TaskId> {
        let mut entry = self.ready.first_entry()?;
        let id = entry.get_mut().pop_front();
        if entry.get().is_empty() {
            entry.remove();
        }
        self.ready_len -= usize::from(id.is_some());
        id
    }

    /// The worker with the shortest queue among those that run tasks with this demand.
    fn shortest_of(&self, demand: &Demand) -> Option<u16> {
        let depth = self.config.queue_depth;
        self.workers
            .iter()
            .filter(|(_, worker)| {
                worker.actor.is_none()
                    && worker.blocked == 0
                    && (1..depth).contains(&worker.queue.len())
                    && worker.lease.as_ref() == Some(demand)
            })
            .min_by_key(|(_, worker)| worker.queue.len())
            .map(|(&id, _)| id)
    }

    /// Puts a task into a worker's queue, with its resources if the queue was empty.
    fn push(&mut self, host: &H, worker: u16, id: TaskId) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Some(known) = self.workers.get_mut(&worker) else { return false };
        let Ok(ticket) = host.push(WorkerId(worker), id, task.attempt, &task.spec) else {
            return false;
        };
        task.place = Place::At { worker, ticket };
        if known.queue.is_empty() && known.actor.is_none() {
            self.free.take(&task.demand);
            known.lease = Some(task.demand.clone());
            self.idle.retain(|&idle| idle != worker);
        }
        known.queue.push_back(id);
        if task.is_creation
            && let Some(actor) = task.actor
        {
            known.actor = Some(actor);
            if let Some(actor) = self.actors.get_mut(&actor) {
                actor.worker = Some(worker);
            }
        }
        true
    }

    /// Gives what waits behind a running task to workers that have nothing.
    fn take_back(&mut self, host: &H) {
        let longest = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.actor.is_none() && worker.queue.len() > 1)
            .max_by_key(|(_, worker)| worker.queue.len())
            .map(|(&id, worker)| (id, worker.queue.len() / 2));
        let Some((worker, how_many)) = longest else { return };
        if !self.workers[&worker].lease.as_ref().is_some_and(|demand| self.free.holds(demand)) {
            return;
        }
        if self.retrieve(host, worker, how_many) > 0 {
            self.hand_out(host);
        }
    }

    /// Takes back up to `how_many` tasks from the end of a worker's queue; they are ready again.
    fn retrieve(&mut self, host: &H, worker: u16, how_many: usize) -> usize {
        let mut taken = 0;
        for _ in 0..how_many {
            let Some(known) = self.workers.get_mut(&worker) else { break };
            let Some(&id) = known.queue.back() else { break };
            let Some(task) = self.tasks.get_mut(&id) else { break };
            let Place::At { ticket, .. } = task.place else { break };
            if !host.take_back(WorkerId(worker), ticket) {
                break;
            }
            known.queue.pop_back();
            task.place = Place::Ready;
            self.ready.entry(Reverse(task.priority)).or_default().push_front(id);
            self.ready_len += 1;
            taken += 1;
        }
        self.rest_if_empty(worker);
        taken
    }

    /// A worker whose queue has run dry gives its resources back and is idle.
    fn rest_if_empty(&mut self, worker: u16) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        if !known.queue.is_empty() || known.actor.is_some() {
            return;
        }
        if let Some(lease) = known.lease.take() {
            self.free.give(&lease);
            self.idle.push(worker);
        }
    }

    // --- events ------------------------------------------------------------------------------------------

    fn complete(&mut self, worker: u16, id: TaskId, attempt: u16, outcome: Outcome) -> Completion {
        let known = self.tasks.get_mut(&id);
        let Some(task) = known.filter(|task| {
            task.attempt == attempt
                && matches!(task.place, Place::At { worker: at, .. } if at == worker)
        }) else {
            return Completion::Stale;
        };
        let (actor, is_creation) = (task.actor, task.is_creation);
        let again =
            matches!(outcome, Outcome::Failed { retry: true }) && task.attempt < task.retries.max;
        if again {
            task.attempt += 1;
            task.place = Place::Waiting;
        }
        if let Some(known) = self.workers.get_mut(&worker)
            && let Some(at) = known.queue.iter().position(|&queued| queued == id)
        {
            known.queue.remove(at);
        }
        match actor {
            Some(actor) if is_creation => self.constructed(actor, worker, outcome == Outcome::Done),
            Some(actor) => {
                if again {
                    let caller = self.tasks[&id].caller;
                    if let Some(actor) = self.actors.get_mut(&actor) {
                        actor.callers.entry(caller).or_default().push_front(id);
                    }
                    return Completion::Retried;
                }
                if let Some(actor) = self.actors.get_mut(&actor) {
                    actor.unfinished = actor.unfinished.saturating_sub(1);
                }
                if let Some(task) = self.tasks.remove(&id) {
                    self.acts.push(Act::Finish(id, task.spec));
                }
                self.end_if_unused(actor);
            }
            None => {
                self.rest_if_empty(worker);
                if again {
                    self.make_ready(id);
                    return Completion::Retried;
                }
                if let Some(task) = self.tasks.remove(&id) {
                    let spent = matches!(outcome, Outcome::Failed { retry: true });
                    self.acts.push(if spent {
                        Act::Fail(id, task.spec, Failure::RetriesSpent { attempt })
                    } else {
                        Act::Finish(id, task.spec)
                    });
                }
            }
        }
        Completion::Ended
    }

    fn constructed(&mut self, actor: ActorId, worker: u16, well: bool) {
        if well {
            if let Some(known) = self.actors.get_mut(&actor) {
                known.state = ActorState::Alive;
            }
            self.acts.push(Act::Changed(actor, ActorState::Alive));
            self.end_if_unused(actor);
            return;
        }
        // The process is as good as before: it was no actor yet.
        if let Some(known) = self.workers.get_mut(&worker) {
            known.actor = None;
        }
        if let Some(known) = self.actors.get_mut(&actor) {
            known.worker = None;
            known.reason.get_or_insert(DeathReason::CreationFailed);
        }
        self.rest_if_empty(worker);
        self.bury(actor);
    }

    fn leave(&mut self, worker: WorkerId, cause: H::Cause) {
        let Some(gone) = self.workers.remove(&worker.0) else { return };
        self.idle.retain(|&idle| idle != worker.0);
        if let Some(mut lease) = gone.lease {
            if gone.blocked > 0 {
                lease.cpu = 0;
            }
            self.free.give(&lease);
        }
        if let Some(actor) = gone.actor {
            return self.lose_actor(actor, worker, &gone.queue, cause);
        }
        for id in gone.queue.into_iter().rev() {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            if task.attempt < task.retries.max {
                task.attempt += 1;
                task.place = Place::Ready;
                self.ready.entry(Reverse(task.priority)).or_default().push_front(id);
                self.ready_len += 1;
            } else if let Some(task) = self.tasks.remove(&id) {
                let why =
                    Failure::WorkerDied { worker, attempt: task.attempt, cause: cause.clone() };
                self.acts.push(Act::Fail(id, task.spec, why));
            }
        }
    }

    /// An actor's process is gone: what it may have run is not run twice unless retries allow it.
    fn lose_actor(
        &mut self,
        actor: ActorId,
        _worker: WorkerId,
        queue: &VecDeque<TaskId>,
        cause: H::Cause,
    ) {
        let Some(known) = self.actors.get_mut(&actor) else { return };
        known.worker = None;
        let again =
            known.reason.is_none() && !known.released && known.restarts < known.max_restarts;
        if again {
            known.restarts += 1;
            known.state = ActorState::Restarting;
        } else {
            let restarts = known.restarts;
            known.reason.get_or_insert(DeathReason::Crashed { restarts, cause: cause.clone() });
        }
        let creation = known.creation;
        for &id in queue.iter().rev().filter(|&&id| id != creation) {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            if again && task.attempt < task.retries.max {
                task.attempt += 1;
                task.place = Place::Waiting;
                let caller = task.caller;
                if let Some(known) = self.actors.get_mut(&actor) {
                    known.callers.entry(caller).or_default().push_front(id);
                }
                continue;
            }
            let why = if again {
                Failure::ActorUnavailable { actor, cause: cause.clone() }
            } else {
                match self.actors.get(&actor).and_then(|known| known.reason.clone()) {
                    Some(reason) => Failure::ActorDied { actor, reason },
                    None => Failure::ActorUnavailable { actor, cause: cause.clone() },
                }
            };
            if let Some(task) = self.tasks.remove(&id) {
                self.acts.push(Act::Fail(id, task.spec, why));
            }
            if let Some(known) = self.actors.get_mut(&actor) {
                known.unfinished = known.unfinished.saturating_sub(1);
            }
        }
        if !again {
            return self.bury(actor);
        }
        self.acts.push(Act::Changed(actor, ActorState::Restarting));
        if let Some(task) = self.tasks.get_mut(&creation) {
            task.attempt += 1;
            self.make_ready(creation);
        }
    }

    fn block(&mut self, host: &H, worker: u16) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        known.blocked += 1;
        if known.blocked == 1
            && let Some(lease) = &known.lease
        {
            self.free.cpu += lease.cpu as i64;
        }
        if known.actor.is_none() {
            let behind = known.queue.len().saturating_sub(1);
            self.retrieve(host, worker, behind);
        }
    }

    fn unblock(&mut self, worker: u16) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        if known.blocked == 0 {
            return;
        }
        known.blocked -= 1;
        if known.blocked == 0
            && let Some(lease) = &known.lease
        {
            self.free.cpu -= lease.cpu as i64;
        }
    }

    // --- actors ------------------------------------------------------------------------------------------

    /// Hands a living actor the calls whose turn it is.
    fn feed(&mut self, host: &H, actor: ActorId) {
        let Some(known) = self.actors.get(&actor) else { return };
        let (ActorState::Alive, Some(worker)) = (known.state, known.worker) else { return };
        let callers: Vec<CallerId> = known.callers.keys().copied().collect();
        for caller in callers {
            while let Some(&id) = self.actors[&actor].callers.get(&caller).and_then(VecDeque::front)
            {
                let Some(task) = self.tasks.get(&id) else { break };
                if let Some(object) = task.failed {
                    if let Some(task) = self.tasks.remove(&id) {
                        self.acts.push(Act::FailByDependency(id, task.spec, object));
                    }
                } else if task.pending > 0 || !self.push(host, worker, id) {
                    break;
                }
                let failed = !self.tasks.contains_key(&id);
                if let Some(known) = self.actors.get_mut(&actor) {
                    if let Some(calls) = known.callers.get_mut(&caller) {
                        calls.pop_front();
                    }
                    known.unfinished -= usize::from(failed);
                }
            }
        }
        self.end_if_unused(actor);
    }

    fn end_if_unused(&mut self, actor: ActorId) {
        let Some(known) = self.actors.get(&actor) else { return };
        if known.released && known.unfinished == 0 && known.state == ActorState::Alive {
            self.end(actor, DeathReason::NoHandles);
        }
    }

    /// Ends an actor in order, for this reason.
    fn end(&mut self, actor: ActorId, reason: DeathReason<H::Cause>) {
        let Some(known) = self.actors.get_mut(&actor) else { return };
        if known.reason.is_some() {
            return;
        }
        known.reason = Some(reason);
        match known.worker {
            Some(worker) => self.acts.push(Act::Stop(WorkerId(worker))),
            None => self.bury(actor),
        }
    }

    /// An actor is dead for good: whoever still waits for it is told.
    fn bury(&mut self, actor: ActorId) {
        let Some(known) = self.actors.get_mut(&actor) else { return };
        known.state = ActorState::Dead;
        let reason = known.reason.get_or_insert(DeathReason::Killed).clone();
        let calls: Vec<TaskId> = known.callers.drain().flat_map(|(_, calls)| calls).collect();
        known.unfinished = 0;
        let creation = known.creation;
        for id in calls {
            if let Some(task) = self.tasks.remove(&id) {
                let reason = reason.clone();
                self.acts.push(Act::Fail(id, task.spec, Failure::ActorDied { actor, reason }));
            }
        }
        if let Some(task) = self.tasks.remove(&creation) {
            self.acts.push(if matches!(reason, DeathReason::Killed) {
                Act::Fail(creation, task.spec, Failure::ActorDied { actor, reason })
            } else {
                Act::Finish(creation, task.spec)
            });
        }
        self.acts.push(Act::Changed(actor, ActorState::Dead));
    }
}
