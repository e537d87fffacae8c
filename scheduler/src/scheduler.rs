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
    ActorId, ActorInfo, ActorState, CallError, CallRefusal, CallerId, CancelMode, Cancelled,
    Config, Cursor, DeathReason, Demand, Failure, GpuShare, GroupId, GroupInfo, GroupState, Host,
    JobId, NewActor, NewCall, NewGroup, NewTask, ObjectKey, Outcome, Page, Placement, PoolId,
    Readiness, Refusal, ResourceInfo, Retries, Running, SubmitError, TaskId, TaskInfo, TaskState,
    UNITS_PER_ONE, WorkerId, WorkerInfo,
    ledger::{Catalogue, Ledger, Need},
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
    need: Need,
    job: JobId,
    parent: Option<TaskId>,
    group: Option<(GroupId, Option<u16>)>,
    captures: bool,
    cancelled: bool,
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
    lease: Option<Lease>,
    actor: Option<ActorId>,
    blocked: u32,
    pool: PoolId,
    /// The gpus that the process was last told of.
    told: Vec<GpuShare>,
    retired: bool,
    /// Why what runs there fails, if the process was killed for a reason.
    doomed: Option<Doom>,
}

#[derive(Clone, Copy)]
enum Doom {
    Cancelled,
    Group(GroupId),
}

/// What a worker holds.
#[derive(Clone, PartialEq)]
struct Lease {
    need: Need,
    gpus: Vec<GpuShare>,
    of: Option<(GroupId, u16)>,
}

struct Group {
    needs: Vec<Need>,
    bundles: Vec<Ledger>,
    gpus: Vec<Vec<GpuShare>>,
    state: GroupState,
    job: JobId,
    detached: bool,
    /// Leases out of it.
    leases: usize,
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
    job: JobId,
    group: Option<GroupId>,
    detached: bool,
    out_of_order: bool,
    max_handed: usize,
}

/// What the host is told once the lock is released.
enum Act<S, C> {
    Fail(TaskId, u16, S, Failure<C>),
    FailByDependency(TaskId, u16, S, ObjectKey),
    Finish(TaskId, u16, S),
    Interrupt(WorkerId, TaskId, u16),
    Grouped(GroupId, GroupState),
    Kill(WorkerId),
    Stop(WorkerId),
    Need(PoolId, usize),
    Changed(ActorId, ActorState, Option<DeathReason<C>>),
}

struct State<H: Host> {
    config: Config,
    catalogue: Catalogue,
    total: Ledger,
    free: Ledger,
    groups: BTreeMap<GroupId, Group>,
    unreserved: VecDeque<GroupId>,
    producers: HashMap<ObjectKey, TaskId>,
    next: u64,
    tasks: BTreeMap<TaskId, Task<H::Spec>>,
    waiting: HashMap<ObjectKey, Vec<TaskId>>,
    ready: BTreeMap<Reverse<i32>, VecDeque<TaskId>>,
    ready_len: usize,
    workers: BTreeMap<u16, Worker>,
    /// Workers with nothing to do, the one that was busy last at the end: its caches are warm, and it
    /// may not be asleep yet.
    idle: Vec<u16>,
    starting: usize,
    actors: BTreeMap<ActorId, Actor<H::Cause>>,
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
        let catalogue = Catalogue::new(&config.custom);
        let need = catalogue.need(&offer(&config)).unwrap_or_default();
        let total = Ledger::new(&need, Ledger::whole_gpus(need.gpu));
        let state = State {
            config,
            catalogue,
            free: total.clone(),
            total,
            groups: BTreeMap::new(),
            unreserved: VecDeque::new(),
            producers: HashMap::new(),
            next: 1,
            tasks: BTreeMap::new(),
            waiting: HashMap::new(),
            ready: BTreeMap::new(),
            ready_len: 0,
            workers: BTreeMap::new(),
            idle: Vec::new(),
            starting: 0,
            actors: BTreeMap::new(),
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
            Act::Fail(task, attempt, spec, why) => {
                self.host.fail(task, &spec, why);
                self.host.finished(task, attempt, spec);
            }
            Act::FailByDependency(task, attempt, spec, object) => {
                let cause = self.host.cause(object);
                self.host.fail(task, &spec, Failure::Dependency { object, cause });
                self.host.finished(task, attempt, spec);
            }
            Act::Finish(task, attempt, spec) => self.host.finished(task, attempt, spec),
            Act::Interrupt(worker, task, attempt) => self.host.interrupt(worker, task, attempt),
            Act::Grouped(group, state) => self.host.group_changed(group, state),
            Act::Kill(worker) => self.host.kill(worker),
            Act::Stop(worker) => self.host.stop(worker),
            Act::Need(pool, how_many) => self.host.need_workers(pool, how_many),
            Act::Changed(actor, state, reason) => {
                self.host.actor_changed(actor, state, reason.as_ref());
            }
        }
    }

    /// Takes a task.
    ///
    /// # Errors
    /// When the machine will never have what it demands; the spec is given back.
    pub fn submit(&self, new: NewTask<'_, H::Spec>) -> Result<TaskId, SubmitError<H::Spec>> {
        self.resubmit(new, 0)
    }

    /// Takes a task that has ended before, to make its results again: its first attempt from here on is
    /// `attempt`, and counts against its retries.
    ///
    /// # Errors
    /// As [`Scheduler::submit`], and when `attempt` is beyond its retries.
    pub fn resubmit(
        &self,
        new: NewTask<'_, H::Spec>,
        attempt: u16,
    ) -> Result<TaskId, SubmitError<H::Spec>> {
        if attempt > new.retries.max {
            let why = Refusal::RetriesSpent { max: new.retries.max };
            return Err(SubmitError { spec: new.spec, why });
        }
        self.change(|state, host| {
            let (group, captures) = state.placed(new.placement, new.parent);
            let need = match state.need(new.demand, group) {
                Ok(need) => need,
                Err(why) => return Err(SubmitError { spec: new.spec, why }),
            };
            let task = Task {
                spec: new.spec,
                need,
                job: new.job,
                parent: new.parent,
                group,
                captures,
                cancelled: false,
                pending: 0,
                failed: None,
                attempt,
                retries: new.retries,
                priority: new.priority,
                place: Place::Waiting,
                actor: None,
                caller: CallerId(0),
                is_creation: false,
                pool: new.pool,
            };
            Ok(state.add(host, task, new.dependencies, new.returns))
        })
    }

    /// The task that was submitted to make `object`, if it has not ended.
    pub fn producer(&self, object: ObjectKey) -> Option<TaskId> {
        self.state.lock().producers.get(&object).copied()
    }

    /// Cancels a task or a call. What has not begun fails with [`Failure::Cancelled`]; what is running is
    /// told to stop by [`Host::interrupt`], or by force loses its worker and is not run again.
    pub fn cancel(&self, task: TaskId, mode: CancelMode) -> Cancelled {
        self.change(|state, host| {
            let first = state.cancel(host, task, mode.force);
            if mode.recursive {
                let mut parents = vec![task];
                while let Some(parent) = parents.pop() {
                    let of = |(&id, task): (&TaskId, &Task<_>)| {
                        (task.parent == Some(parent)).then_some(id)
                    };
                    let children: Vec<TaskId> = state.tasks.iter().filter_map(of).collect();
                    for child in children {
                        parents.push(child);
                        let _ = state.cancel(host, child, mode.force);
                    }
                }
            }
            first
        })
    }

    /// A caller is gone: its calls that have not begun are cancelled.
    pub fn caller_left(&self, caller: CallerId) {
        self.change(|state, host| {
            let of = |(&id, task): (&TaskId, &Task<_>)| {
                let call = task.actor.is_some() && !task.is_creation && task.caller == caller;
                call.then_some(id)
            };
            let calls: Vec<TaskId> = state.tasks.iter().filter_map(of).collect();
            for call in calls {
                let _ = state.abandon(host, call, Failure::Cancelled);
            }
        });
    }

    /// A job is over: its tasks that have not begun fail, those that run are interrupted, its actors and
    /// groups end unless they are detached.
    pub fn job_ended(&self, job: JobId) {
        self.change(|state, host| {
            let of = |(&id, task): (&TaskId, &Task<_>)| {
                (task.actor.is_none() && task.job == job).then_some(id)
            };
            let tasks: Vec<TaskId> = state.tasks.iter().filter_map(of).collect();
            for id in tasks {
                if !state.abandon(host, id, Failure::JobEnded) {
                    let _ = state.cancel(host, id, false);
                }
            }
            let mine = |(&id, actor): (&ActorId, &Actor<_>)| {
                (actor.job == job && !actor.detached).then_some(id)
            };
            let actors: Vec<ActorId> = state.actors.iter().filter_map(mine).collect();
            actors.into_iter().for_each(|actor| state.kill_actor(actor, DeathReason::JobEnded));
            let ours = |(&id, group): (&GroupId, &Group)| {
                (group.job == job && !group.detached).then_some(id)
            };
            let groups: Vec<GroupId> = state.groups.iter().filter_map(ours).collect();
            groups.into_iter().for_each(|group| state.remove_group(host, group));
        });
    }

    // --- groups ------------------------------------------------------------------------------------------

    /// Reserves a group's bundles, all of them as soon as all are free; [`Host::group_changed`] tells when.
    ///
    /// # Errors
    /// When the machine will never have as much.
    pub fn create_group(&self, new: NewGroup<'_>) -> Result<GroupId, Refusal> {
        self.change(|state, _| {
            let mut all = state.total.clone();
            let mut needs = Vec::with_capacity(new.bundles.len());
            for bundle in new.bundles {
                let need = state.need(bundle, None)?;
                if all.take(&need).is_none() {
                    let demands: Vec<String> = new.bundles.iter().map(Demand::to_string).collect();
                    let exists = offer(&state.config).to_string();
                    return Err(Refusal::Unschedulable { demand: demands.join("; "), exists });
                }
                needs.push(need);
            }
            state.next += 1;
            let id = GroupId::from_bits(state.next);
            let group = Group {
                needs,
                bundles: Vec::new(),
                gpus: Vec::new(),
                state: GroupState::Pending,
                job: new.job,
                detached: new.detached,
                leases: 0,
            };
            state.groups.insert(id, group);
            state.unreserved.push_back(id);
            Ok(id)
        })
    }

    /// Removes a group: what is queued in it fails with [`Failure::GroupRemoved`], what runs or lives in it
    /// is killed, and its resources are free when that is gone.
    pub fn remove_group(&self, group: GroupId) {
        self.change(|state, host| state.remove_group(host, group));
    }

    /// Where a group stands; `None` when it is gone.
    pub fn group_state(&self, group: GroupId) -> Option<GroupState> {
        self.state.lock().groups.get(&group).map(|group| group.state)
    }

    // --- workers -----------------------------------------------------------------------------------------

    /// Workers with nothing to do, the one that has been idle longest first.
    pub fn idle_workers(&self) -> Vec<WorkerId> {
        self.state.lock().idle.iter().copied().map(WorkerId).collect()
    }

    /// Gives the worker nothing any more; `false` when it has something to do. The host stops it, and
    /// [`Scheduler::worker_left`] follows.
    pub fn retire(&self, worker: WorkerId) -> bool {
        self.change(|state, _| {
            let Some(at) = state.idle.iter().position(|&idle| idle == worker.0) else {
                return false;
            };
            state.idle.remove(at);
            if let Some(known) = state.workers.get_mut(&worker.0) {
                known.retired = true;
            }
            true
        })
    }

    /// The task that was given to its worker last, among those that can be run again: the one whose death
    /// costs least.
    pub fn youngest_retriable(&self) -> Option<Running> {
        self.youngest(true)
    }

    /// The task that was given to its worker last.
    pub fn youngest_running(&self) -> Option<Running> {
        self.youngest(false)
    }

    fn youngest(&self, retriable: bool) -> Option<Running> {
        let state = self.state.lock();
        let running = state.workers.iter().filter_map(|(&worker, known)| {
            let &id = known.queue.front()?;
            let task = state.tasks.get(&id)?;
            let fits = task.actor.is_none() && (!retriable || task.attempt < task.retries.max);
            fits.then_some(Running { worker: WorkerId(worker), task: id, attempt: task.attempt })
        });
        running.max_by_key(|running| running.task)
    }

    /// The actor that lives in a worker.
    pub fn actor_of(&self, worker: WorkerId) -> Option<ActorId> {
        self.state.lock().workers.get(&worker.0)?.actor
    }

    // --- listings ----------------------------------------------------------------------------------------

    /// At most `limit` tasks, each made into what is wanted of it.
    pub fn tasks<R>(
        &self,
        from: Cursor,
        limit: usize,
        mut view: impl FnMut(&TaskInfo, &H::Spec) -> R,
    ) -> Page<R> {
        let state = self.state.lock();
        let mut page = Page { items: Vec::new(), next: None };
        for (&id, task) in state.tasks.range(TaskId::from_bits(from.0)..) {
            if page.items.len() == limit {
                page.next = Some(Cursor(id.to_bits()));
                break;
            }
            page.items.push(view(&state.task_info(id, task), &task.spec));
        }
        page
    }

    /// At most `limit` actors.
    pub fn actors(&self, from: Cursor, limit: usize) -> Page<ActorInfo> {
        let state = self.state.lock();
        let mut page = Page { items: Vec::new(), next: None };
        for (&id, actor) in state.actors.range(ActorId::from_bits(from.0)..) {
            if page.items.len() == limit {
                page.next = Some(Cursor(id.to_bits()));
                break;
            }
            page.items.push(ActorInfo {
                id,
                state: actor.state,
                worker: actor.worker.map(WorkerId),
                restarts: actor.restarts,
                unfinished: actor.unfinished,
                job: actor.job,
                group: actor.group,
            });
        }
        page
    }

    /// At most `limit` groups.
    pub fn groups(&self, from: Cursor, limit: usize) -> Page<GroupInfo> {
        let state = self.state.lock();
        let mut page = Page { items: Vec::new(), next: None };
        for (&id, group) in state.groups.range(GroupId::from_bits(from.0)..) {
            if page.items.len() == limit {
                page.next = Some(Cursor(id.to_bits()));
                break;
            }
            let bundle =
                |need| Ledger::new(need, Ledger::whole_gpus(need.gpu)).resources(&state.catalogue);
            page.items.push(GroupInfo {
                id,
                state: group.state,
                bundles: group.needs.iter().map(bundle).collect(),
                job: group.job,
            });
        }
        page
    }

    /// All workers.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let state = self.state.lock();
        let info = |(&id, worker): (&u16, &Worker)| WorkerInfo {
            id: WorkerId(id),
            pool: worker.pool,
            running: worker.queue.front().copied().filter(|_| worker.actor.is_none()),
            queued: worker.queue.len(),
            actor: worker.actor,
            blocked: worker.blocked > 0,
            retired: worker.retired,
            gpus: worker.lease.as_ref().map(|lease| lease.gpus.clone()).unwrap_or_default(),
        };
        state.workers.iter().map(info).collect()
    }

    /// What the machine offers, and what is free.
    pub fn resources(&self) -> ResourceInfo {
        let state = self.state.lock();
        ResourceInfo {
            total: state.total.resources(&state.catalogue),
            free: state.free.resources(&state.catalogue),
        }
    }

    // --- events ------------------------------------------------------------------------------------------

    /// An object that somebody waits for was sealed or failed.
    pub fn settled(&self, object: ObjectKey, readiness: Readiness) {
        if self.state.lock().waiting.contains_key(&object) {
            self.change(|state, _| state.settle(object, readiness == Readiness::Failed));
        }
    }

    /// A worker says how an attempt ended.
    pub fn completed(&self, worker: WorkerId, task: TaskId, attempt: u16, outcome: Outcome) {
        self.change(|state, _| state.complete(worker.0, task, attempt, outcome));
    }

    /// Workers were started without being asked for.
    pub fn workers_expected(&self, how_many: usize) {
        self.state.lock().starting += how_many;
    }

    /// A worker is ready for work.
    pub fn worker_joined(&self, worker: WorkerId, pool: PoolId) {
        self.change(|state, _| {
            state.starting = state.starting.saturating_sub(1);
            state.workers.insert(worker.0, Worker { pool, ..Worker::default() });
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
        self.change(|state, host| state.leave(host, worker, cause));
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
            let (group, captures) = state.placed(new.placement, new.parent);
            let need = match state.need(new.demand, group) {
                Ok(need) => need,
                Err(why) => return Err(SubmitError { spec: new.spec, why }),
            };
            state.next += 1;
            let id = ActorId::from_bits(state.next);
            let task = Task {
                spec: new.spec,
                need,
                job: new.job,
                parent: new.parent,
                group,
                captures,
                cancelled: false,
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
                job: new.job,
                group: group.map(|(group, _)| group),
                detached: new.detached,
                out_of_order: new.out_of_order,
                max_handed: match new.max_handed {
                    0 => state.config.queue_depth,
                    some => some.min(Config::MAX_QUEUE_DEPTH),
                },
            };
            state.actors.insert(id, actor);
            let creation = state.add(host, task, new.dependencies, new.returns);
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
                need: Need::default(),
                job: state.actors[&actor].job,
                parent: call.parent,
                group: state.actors[&actor].group.map(|group| (group, None)),
                captures: state.captures(actor),
                cancelled: false,
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
            let id = state.add(host, task, call.dependencies, call.returns);
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
            if !restart {
                return state.kill_actor(actor, DeathReason::Killed);
            }
            if let Some(worker) = state.actors.get(&actor).and_then(|known| known.worker) {
                state.acts.push(Act::Kill(WorkerId(worker)));
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

    /// Forgets a dead actor: it is unknown from here on. Until then its reason is kept.
    pub fn forget_actor(&self, actor: ActorId) {
        self.change(|state, _| {
            if state.actors.get(&actor).is_some_and(|known| known.state == ActorState::Dead) {
                state.actors.remove(&actor);
            }
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
    /// The demand in numbers, when there can ever be as much.
    fn need(
        &self,
        demand: &Demand,
        group: Option<(GroupId, Option<u16>)>,
    ) -> Result<Need, Refusal> {
        if demand.gpu > UNITS_PER_ONE && !demand.gpu.is_multiple_of(UNITS_PER_ONE) {
            return Err(Refusal::PartialGpus { demand: demand.to_string() });
        }
        let need = self.catalogue.need(demand);
        let holds = |ledger: &Ledger| need.as_ref().is_some_and(|need| ledger.holds(need));
        let (fits, exists) = match group {
            None => (holds(&self.total), offer(&self.config).to_string()),
            Some((id, bundle)) => {
                let known = self.groups.get(&id).filter(|g| g.state != GroupState::Removed);
                let Some(group) = known else { return Err(Refusal::NoSuchGroup { group: id }) };
                let bundles = group.needs.len();
                let whole = |need: &Need| Ledger::new(need, Ledger::whole_gpus(need.gpu));
                let partly = |need: &Need| {
                    let mut gpus = Ledger::whole_gpus(need.gpu);
                    if gpus.is_empty() && need.gpu > 0 {
                        gpus.push(GpuShare { gpu: 0, share: need.gpu as u32 });
                    }
                    Ledger::new(need, gpus)
                };
                let fits = match bundle {
                    Some(bundle) => match group.needs.get(usize::from(bundle)) {
                        Some(need) => holds(&partly(need)),
                        None => return Err(Refusal::NoSuchBundle { bundle, bundles }),
                    },
                    None => group.needs.iter().any(|need| holds(&partly(need))),
                };
                let all = |need: &Need| format!("{:?}", whole(need).resources(&self.catalogue));
                let exists: Vec<String> = group.needs.iter().map(all).collect();
                (fits, format!("bundles of {}", exists.join("; ")))
            }
        };
        match need {
            Some(need) if fits => Ok(need),
            _ => Err(Refusal::Unschedulable { demand: demand.to_string(), exists }),
        }
    }

    /// The group and the bundle, and whether children follow.
    fn placed(
        &self,
        placement: Placement,
        parent: Option<TaskId>,
    ) -> (Option<(GroupId, Option<u16>)>, bool) {
        match placement {
            Placement::Free => (None, false),
            Placement::Group { group, bundle, capture_children } => {
                (Some((group, bundle)), capture_children)
            }
            Placement::Inherit => {
                let parent = parent.and_then(|parent| self.tasks.get(&parent));
                match parent.filter(|parent| parent.captures) {
                    Some(parent) => (parent.group.map(|(group, _)| (group, None)), true),
                    None => (None, false),
                }
            }
        }
    }

    fn captures(&self, actor: ActorId) -> bool {
        let creation = self.actors.get(&actor).and_then(|actor| self.tasks.get(&actor.creation));
        creation.is_some_and(|creation| creation.captures)
    }

    fn task_info(&self, id: TaskId, task: &Task<H::Spec>) -> TaskInfo {
        let state = match task.place {
            Place::Waiting if task.pending > 0 => TaskState::Waiting { objects: task.pending },
            Place::Waiting | Place::Ready => TaskState::Ready,
            Place::At { worker, .. } => {
                let first = self.workers.get(&worker).and_then(|known| known.queue.front());
                match first == Some(&id) {
                    true => TaskState::Running { worker: WorkerId(worker) },
                    false => TaskState::Queued { worker: WorkerId(worker) },
                }
            }
        };
        TaskInfo {
            id,
            state,
            attempt: task.attempt,
            max_retries: task.retries.max,
            job: task.job,
            parent: task.parent,
            actor: task.actor,
            group: task.group.map(|(group, _)| group),
        }
    }

    /// Enters a task, waiting for its dependencies or ready.
    fn add(
        &mut self,
        host: &H,
        mut task: Task<H::Spec>,
        dependencies: &[ObjectKey],
        returns: &[ObjectKey],
    ) -> TaskId {
        self.next += 1;
        let id = TaskId::from_bits(self.next);
        self.producers.extend(returns.iter().map(|&object| (object, id)));
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

    /// Takes the record of a task that has ended.
    fn remove(&mut self, id: TaskId) -> Option<Task<H::Spec>> {
        let task = self.tasks.remove(&id)?;
        if self.tasks.is_empty() {
            self.producers.clear();
        }
        Some(task)
    }

    // --- cancelling --------------------------------------------------------------------------------------

    /// Fails a task that has not begun; `false` when it has.
    fn abandon(&mut self, host: &H, id: TaskId, why: Failure<H::Cause>) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        if task.is_creation {
            return false;
        }
        if let Place::At { worker, ticket } = task.place {
            if !host.take_back(WorkerId(worker), ticket) {
                return false;
            }
            if let Some(known) = self.workers.get_mut(&worker) {
                known.queue.retain(|&queued| queued != id);
            }
            self.rest_if_empty(worker);
        }
        let Some(task) = self.remove(id) else { return false };
        if task.place == Place::Ready {
            self.unready(id, task.priority);
        }
        if let Some(actor) = task.actor
            && let Some(known) = self.actors.get_mut(&actor)
        {
            known.unfinished = known.unfinished.saturating_sub(1);
            if let Some(calls) = known.callers.get_mut(&task.caller) {
                calls.retain(|&call| call != id);
            }
            self.end_if_unused(actor);
        }
        self.acts.push(Act::Fail(id, task.attempt, task.spec, why));
        true
    }

    fn unready(&mut self, id: TaskId, priority: i32) {
        if let Some(queue) = self.ready.get_mut(&Reverse(priority)) {
            let before = queue.len();
            queue.retain(|&ready| ready != id);
            self.ready_len -= before - queue.len();
        }
    }

    fn cancel(&mut self, host: &H, id: TaskId, force: bool) -> Cancelled {
        let Some(task) = self.tasks.get_mut(&id) else { return Cancelled::Unknown };
        if let (true, Some(actor)) = (task.is_creation, task.actor) {
            let begun = matches!(task.place, Place::At { .. });
            let known = self.actors.get(&actor);
            if known.is_none_or(|actor| actor.state == ActorState::Alive) {
                return Cancelled::Unknown;
            }
            let worker = known.and_then(|actor| actor.worker).map(WorkerId);
            self.kill_actor(actor, DeathReason::Cancelled);
            return match worker {
                Some(worker) if begun => Cancelled::Running { worker },
                _ => Cancelled::Unstarted,
            };
        }
        if self.abandon(host, id, Failure::Cancelled) {
            return Cancelled::Unstarted;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Cancelled::Unknown };
        let Place::At { worker, .. } = task.place else { return Cancelled::Unknown };
        task.cancelled = true;
        task.retries = Retries::NONE;
        let (attempt, is_call) = (task.attempt, task.actor.is_some());
        let worker = WorkerId(worker);
        if force && !is_call {
            if let Some(known) = self.workers.get_mut(&worker.0) {
                known.doomed = Some(Doom::Cancelled);
            }
            self.acts.push(Act::Kill(worker));
        } else {
            self.acts.push(Act::Interrupt(worker, id, attempt));
        }
        Cancelled::Running { worker }
    }

    fn kill_actor(&mut self, actor: ActorId, reason: DeathReason<H::Cause>) {
        let Some(known) = self.actors.get_mut(&actor) else { return };
        if known.state == ActorState::Dead {
            return;
        }
        known.reason.get_or_insert(reason);
        match known.worker {
            Some(worker) => self.acts.push(Act::Kill(WorkerId(worker))),
            None => self.bury(actor),
        }
    }

    // --- groups ------------------------------------------------------------------------------------------

    fn reserve_groups(&mut self) {
        while let Some(&id) = self.unreserved.front() {
            let Some(group) = self.groups.get_mut(&id) else {
                self.unreserved.pop_front();
                continue;
            };
            let mut free = self.free.clone();
            let shares: Option<Vec<_>> = group.needs.iter().map(|need| free.take(need)).collect();
            let Some(shares) = shares else { return };
            self.unreserved.pop_front();
            self.free = free;
            let bundle = |(need, gpus): (&Need, &Vec<GpuShare>)| Ledger::new(need, gpus.clone());
            group.bundles = group.needs.iter().zip(&shares).map(bundle).collect();
            group.gpus = shares;
            group.state = GroupState::Ready;
            self.acts.push(Act::Grouped(id, GroupState::Ready));
        }
    }

    fn remove_group(&mut self, host: &H, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.state == GroupState::Removed {
            return;
        }
        group.state = GroupState::Removed;
        self.unreserved.retain(|&waiting| waiting != id);
        let of = |(&task, known): (&TaskId, &Task<_>)| {
            known.group.is_some_and(|(group, _)| group == id).then_some(task)
        };
        let tasks: Vec<TaskId> = self.tasks.iter().filter_map(of).collect();
        for task in tasks {
            let Some(known) = self.tasks.get(&task) else { continue };
            match (known.actor, known.place) {
                (Some(actor), _) => {
                    self.kill_actor(actor, DeathReason::GroupRemoved { group: id });
                }
                (None, _) if self.abandon(host, task, Failure::GroupRemoved { group: id }) => {}
                (None, Place::At { worker, .. }) => {
                    if let Some(known) = self.tasks.get_mut(&task) {
                        known.retries = Retries::NONE;
                    }
                    if let Some(known) = self.workers.get_mut(&worker) {
                        known.doomed = Some(Doom::Group(id));
                    }
                    self.acts.push(Act::Kill(WorkerId(worker)));
                }
                _ => {}
            }
        }
        self.acts.push(Act::Grouped(id, GroupState::Removed));
        self.dissolve(id);
    }

    /// Gives a removed group's resources back, once nobody uses them.
    fn dissolve(&mut self, id: GroupId) {
        let done = |group: &&mut Group| group.state == GroupState::Removed && group.leases == 0;
        if self.groups.get_mut(&id).filter(|group| done(group)).is_none() {
            return;
        }
        if let Some(group) = self.groups.remove(&id) {
            for (need, gpus) in group.needs.iter().zip(&group.gpus) {
                self.free.give(need, gpus);
            }
        }
    }

    /// Takes what a task needs, out of its group or of the machine.
    fn lease(&mut self, id: TaskId) -> Option<Lease> {
        let task = self.tasks.get(&id)?;
        let Some((id, bundle)) = task.group else {
            let gpus = self.free.take(&task.need)?;
            return Some(Lease { need: task.need.clone(), gpus, of: None });
        };
        let group = self.groups.get_mut(&id)?;
        let bundles = group.bundles.iter_mut().enumerate();
        for (index, ledger) in bundles {
            if bundle.is_none_or(|bundle| usize::from(bundle) == index)
                && let Some(gpus) = ledger.take(&task.need)
            {
                group.leases += 1;
                return Some(Lease { need: task.need.clone(), gpus, of: Some((id, index as u16)) });
            }
        }
        None
    }

    fn give(&mut self, lease: &Lease) {
        let Some((id, index)) = lease.of else { return self.free.give(&lease.need, &lease.gpus) };
        if let Some(group) = self.groups.get_mut(&id) {
            group.leases -= 1;
            if let Some(bundle) = group.bundles.get_mut(usize::from(index)) {
                bundle.give(&lease.need, &lease.gpus);
            }
        }
        self.dissolve(id);
    }

    /// The cpu account that a lease draws on.
    fn cpu_of(&mut self, of: Option<(GroupId, u16)>) -> Option<&mut i64> {
        match of {
            None => Some(&mut self.free.cpu),
            Some((id, index)) => {
                let group = self.groups.get_mut(&id)?;
                Some(&mut group.bundles.get_mut(usize::from(index))?.cpu)
            }
        }
    }

    // --- dependencies ------------------------------------------------------------------------------------

    /// A task waits for nothing any more. A call stays with its actor, which feeds it in its turn.
    fn make_ready(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if let (Some(object), true) = (task.failed, task.actor.is_none() || task.is_creation) {
            let creation_of = task.actor;
            if let Some(actor) = creation_of {
                self.end(actor, DeathReason::CreationFailed);
            }
            if let Some(task) = self.remove(id) {
                self.acts.push(Act::FailByDependency(id, task.attempt, task.spec, object));
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
        self.reserve_groups();
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
            let (is_creation, pool) = (task.is_creation, task.pool);
            let of_pool = |&&worker: &&u16| self.workers[&worker].pool == pool;
            let idle = self.idle.iter().rev().find(of_pool).copied();
            let pushed = match idle {
                Some(worker) => match self.lease(id) {
                    Some(lease) => self.push(host, worker, id, Some(lease)),
                    None => false,
                },
                None => false,
            };
            if pushed {
                spare = self.free.clone();
                continue;
            }
            if !is_creation
                && let Some(worker) = self.shortest_of(id)
                && self.push(host, worker, id, None)
            {
                continue;
            }
            let task = &self.tasks[&id];
            let fits = match task.group {
                None => spare.take(&task.need).is_some(),
                Some((group, _)) => self.groups.get(&group).is_some_and(|group| {
                    group.bundles.iter().any(|bundle| bundle.holds(&task.need))
                }),
            };
            if fits && idle.is_none() {
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

    /// The worker with the shortest queue among those that run tasks like this one.
    fn shortest_of(&self, id: TaskId) -> Option<u16> {
        let depth = self.config.queue_depth;
        let task = self.tasks.get(&id)?;
        let like = |lease: &Lease| {
            let same = match (task.group, lease.of) {
                (None, None) => true,
                (Some((group, bundle)), Some((of, index))) => {
                    group == of && bundle.is_none_or(|bundle| bundle == index)
                }
                _ => false,
            };
            same && lease.need == task.need
        };
        self.workers
            .iter()
            .filter(|(_, worker)| {
                worker.actor.is_none()
                    && worker.pool == task.pool
                    && worker.blocked == 0
                    && worker.doomed.is_none()
                    && (1..depth).contains(&worker.queue.len())
                    && worker.lease.as_ref().is_some_and(like)
            })
            .min_by_key(|(_, worker)| worker.queue.len())
            .map(|(&id, _)| id)
    }

    /// Puts a task into a worker's queue, with its resources if the worker has none yet.
    fn push(&mut self, host: &H, worker: u16, id: TaskId, lease: Option<Lease>) -> bool {
        let Some(known) = self.workers.get_mut(&worker) else { return false };
        if let Some(lease) = &lease
            && lease.gpus != known.told
        {
            host.granted(WorkerId(worker), &lease.gpus);
            known.told.clone_from(&lease.gpus);
        }
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Ok(ticket) = host.push(WorkerId(worker), id, task.attempt, &task.spec) else {
            if let Some(lease) = lease {
                self.give(&lease);
            }
            return false;
        };
        task.place = Place::At { worker, ticket };
        if let Some(lease) = lease {
            known.lease = Some(lease);
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
        let known = &self.workers[&worker];
        let spare = |lease: &Lease| match lease.of {
            None => self.free.holds(&lease.need),
            Some((group, _)) => self
                .groups
                .get(&group)
                .is_some_and(|group| group.bundles.iter().any(|bundle| bundle.holds(&lease.need))),
        };
        let served = self.idle.iter().any(|idle| self.workers[idle].pool == known.pool);
        if !served || !known.lease.as_ref().is_some_and(spare) {
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
        let (blocked, retired) = (known.blocked > 0, known.retired || known.doomed.is_some());
        if let Some(mut lease) = known.lease.take() {
            if blocked {
                lease.need.cpu = 0;
            }
            self.give(&lease);
            if !retired {
                self.idle.push(worker);
            }
        }
    }

    // --- events ------------------------------------------------------------------------------------------

    fn complete(&mut self, worker: u16, id: TaskId, attempt: u16, outcome: Outcome) {
        let known = self.tasks.get_mut(&id);
        let Some(task) = known.filter(|task| {
            task.attempt == attempt
                && matches!(task.place, Place::At { worker: at, .. } if at == worker)
        }) else {
            return;
        };
        let (actor, is_creation) = (task.actor, task.is_creation);
        let cancelled = task.cancelled;
        let again = matches!(outcome, Outcome::Failed { retry: true })
            && task.attempt < task.retries.max
            && !cancelled;
        let unsealed = match outcome {
            Outcome::Done | Outcome::Failed { retry: false } => None,
            _ if cancelled => Some(Failure::Cancelled),
            Outcome::Cancelled => Some(Failure::Cancelled),
            Outcome::Failed { retry: true } => Some(Failure::RetriesSpent { attempt }),
        };
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
                    return;
                }
                if let Some(actor) = self.actors.get_mut(&actor) {
                    actor.unfinished = actor.unfinished.saturating_sub(1);
                }
                if let Some(task) = self.remove(id) {
                    self.acts.push(match unsealed {
                        Some(why) => Act::Fail(id, attempt, task.spec, why),
                        None => Act::Finish(id, attempt, task.spec),
                    });
                }
                self.end_if_unused(actor);
            }
            None => {
                self.rest_if_empty(worker);
                if again {
                    self.make_ready(id);
                    return;
                }
                if let Some(task) = self.remove(id) {
                    self.acts.push(match unsealed {
                        Some(why) => Act::Fail(id, attempt, task.spec, why),
                        None => Act::Finish(id, attempt, task.spec),
                    });
                }
            }
        }
    }

    fn constructed(&mut self, actor: ActorId, worker: u16, well: bool) {
        if well {
            if let Some(known) = self.actors.get_mut(&actor) {
                known.state = ActorState::Alive;
            }
            self.acts.push(Act::Changed(actor, ActorState::Alive, None));
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

    fn leave(&mut self, host: &H, worker: WorkerId, cause: H::Cause) {
        let Some(gone) = self.workers.remove(&worker.0) else { return };
        self.idle.retain(|&idle| idle != worker.0);
        if let Some(mut lease) = gone.lease {
            if gone.blocked > 0 {
                lease.need.cpu = 0;
            }
            self.give(&lease);
        }
        if let Some(actor) = gone.actor {
            return self.lose_actor(host, actor, worker, &gone.queue, cause);
        }
        for id in gone.queue.into_iter().rev() {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            let begun = match task.place {
                Place::At { ticket, .. } => !host.take_back(worker, ticket),
                _ => false,
            };
            if !begun || task.attempt < task.retries.max {
                task.attempt += u16::from(begun);
                task.place = Place::Ready;
                self.ready.entry(Reverse(task.priority)).or_default().push_front(id);
                self.ready_len += 1;
            } else if let Some(task) = self.remove(id) {
                let attempt = task.attempt;
                let why = match gone.doomed {
                    Some(Doom::Group(group)) => Failure::GroupRemoved { group },
                    _ if task.cancelled => Failure::Cancelled,
                    _ => Failure::WorkerDied { worker, attempt, cause: cause.clone() },
                };
                self.acts.push(Act::Fail(id, attempt, task.spec, why));
            }
        }
    }

    /// An actor's process is gone: what it may have run is not run twice unless retries allow it.
    fn lose_actor(
        &mut self,
        host: &H,
        actor: ActorId,
        worker: WorkerId,
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
            let begun = match task.place {
                Place::At { ticket, .. } => !host.take_back(worker, ticket),
                _ => false,
            };
            if again && (!begun || task.attempt < task.retries.max) {
                task.attempt += u16::from(begun);
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
            if let Some(task) = self.remove(id) {
                self.acts.push(Act::Fail(id, task.attempt, task.spec, why));
            }
            if let Some(known) = self.actors.get_mut(&actor) {
                known.unfinished = known.unfinished.saturating_sub(1);
            }
        }
        if !again {
            return self.bury(actor);
        }
        self.acts.push(Act::Changed(actor, ActorState::Restarting, None));
        if let Some(task) = self.tasks.get_mut(&creation) {
            task.attempt += 1;
            self.make_ready(creation);
        }
    }

    fn block(&mut self, host: &H, worker: u16) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        known.blocked += 1;
        let behind = match known.actor {
            None => known.queue.len().saturating_sub(1),
            Some(_) => 0,
        };
        if known.blocked == 1
            && let Some((need, of)) = known.lease.as_ref().map(|lease| (lease.need.cpu, lease.of))
            && let Some(cpu) = self.cpu_of(of)
        {
            *cpu += need as i64;
        }
        self.retrieve(host, worker, behind);
    }

    fn unblock(&mut self, worker: u16) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        if known.blocked == 0 {
            return;
        }
        known.blocked -= 1;
        if known.blocked == 0
            && let Some((need, of)) = known.lease.as_ref().map(|lease| (lease.need.cpu, lease.of))
            && let Some(cpu) = self.cpu_of(of)
        {
            *cpu -= need as i64;
        }
    }

    // --- actors ------------------------------------------------------------------------------------------

    /// Hands a living actor the calls whose turn it is.
    fn feed(&mut self, host: &H, actor: ActorId) {
        let Some(known) = self.actors.get(&actor) else { return };
        let (ActorState::Alive, Some(worker)) = (known.state, known.worker) else { return };
        let (out_of_order, max_handed) = (known.out_of_order, known.max_handed);
        let callers: Vec<CallerId> = known.callers.keys().copied().collect();
        for caller in callers {
            let mut at = 0;
            while let Some(&id) =
                self.actors[&actor].callers.get(&caller).and_then(|calls| calls.get(at))
            {
                let Some(task) = self.tasks.get(&id) else { break };
                if let Some(object) = task.failed {
                    if let Some(task) = self.remove(id) {
                        self.acts.push(Act::FailByDependency(id, task.attempt, task.spec, object));
                    }
                } else if task.pending > 0 {
                    if !out_of_order {
                        break;
                    }
                    at += 1;
                    continue;
                } else if self.workers.get(&worker).is_none_or(|w| w.queue.len() >= max_handed)
                    || !self.push(host, worker, id, None)
                {
                    break;
                }
                let failed = !self.tasks.contains_key(&id);
                if let Some(known) = self.actors.get_mut(&actor) {
                    if let Some(calls) = known.callers.get_mut(&caller) {
                        calls.remove(at);
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
            if let Some(task) = self.remove(id) {
                let reason = reason.clone();
                let why = Failure::ActorDied { actor, reason };
                self.acts.push(Act::Fail(id, task.attempt, task.spec, why));
            }
        }
        if let Some(task) = self.remove(creation) {
            if task.place == Place::Ready {
                self.unready(creation, task.priority);
            }
            // What a constructor failed with is sealed already, and counts.
            let why = match &reason {
                DeathReason::CreationFailed | DeathReason::Dependency { .. } => None,
                DeathReason::Cancelled => Some(Failure::Cancelled),
                _ => Some(Failure::ActorDied { actor, reason: reason.clone() }),
            };
            self.acts.push(match why {
                Some(why) => Act::Fail(creation, task.attempt, task.spec, why),
                None => Act::Finish(creation, task.attempt, task.spec),
            });
        }
        self.acts.push(Act::Changed(actor, ActorState::Dead, Some(reason)));
    }
}

/// All that the machine offers, as a demand.
fn offer(config: &Config) -> Demand {
    let mut all =
        Demand::cpus(config.cpus).with_gpus(config.gpus.floor()).with_memory(config.memory_bytes);
    for (name, amount) in &config.custom {
        all = all.with_custom(name, *amount);
    }
    all
}
