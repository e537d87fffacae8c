//! The scheduler's face: what any thread may call, none of which waits for another thread.
//!
//! Submitting and the resolving of dependencies run on the caller's thread without the token; whatever
//! concerns workers, leases, queues or actors is an [`Event`] for its owner, who is the caller if the token is
//! free ([`crate::token`]). Whoever owned the token tells the host what came of it after giving it back.
//!
//! # Callbacks that call back
//! What a callback of the host makes possible (an error that is sealed fails those who depend on it, and so on)
//! is not done inside that callback: a thread that is telling the host leaves its events in the inbox, and looks
//! there when it has told all. So nothing recurses along the graph, however long its chains are.
//!
//! # What waits
//! Questions about the whole ([`Scheduler::tasks`] and its like, and [`Scheduler::worker_left`]) are asked by a
//! thread that is made the owner: it waits for the turn of the one that is.

use std::{
    cell::Cell,
    fmt,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use rustyray_memory::sync::thread_local;
use smallvec::SmallVec;

use crate::{
    ActorId, ActorState, CallError, CallRefusal, CallerId, CancelMode, Cancelled, Config,
    DeathReason, Failure, GroupId, GroupState, Host, JobId, NewActor, NewCall, NewGroup, NewTask,
    ObjectKey, Outcome, Placement, PoolId, Readiness, Refusal, SubmitError, TaskId, WorkerId,
    actor_gate::NOWHERE,
    event::{Act, Event, NewActorState},
    gate::{MAX_PENDING, Met},
    group_gate,
    ids::split,
    inbox::Inbox,
    record::{ANY_BUNDLE, CALL, CAPTURES, CREATION, Record},
    records::MAX_TASKS,
    shared::{MAX_GATES, Shared, actor_id},
    state::{Acts, State, estimate_place},
    token::{Owner, Token},
};

thread_local! {
    /// The scheduler whose host this thread is telling something.
    #[allow(clippy::missing_const_for_thread_local, reason = "loom's macro knows no such form")]
    static TELLING: Cell<usize> = Cell::new(0);
}

/// See the module; shared by all threads of the node.
pub struct Scheduler<H: Host> {
    pub(crate) shared: Shared<H>,
    token: Token<State<H>, Event>,
    /// What is to be told by a thread that is telling already.
    untold: Inbox<Act<H>>,
}

impl<H: Host> fmt::Debug for Scheduler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Scheduler");
        match self.token.enter() {
            Some(mut owner) => {
                for (name, count) in owner.state().counts() {
                    output.field(name, &count);
                }
                self.finish(owner);
            }
            None => {
                output.field("token", &self.token);
            }
        }
        output.finish_non_exhaustive()
    }
}

/// Marks the thread as one that is telling, until it is dropped.
struct Telling(usize);

impl Drop for Telling {
    fn drop(&mut self) {
        TELLING.with(|telling| telling.set(self.0));
    }
}

/// What a record is filled with.
struct Filling<'a, S> {
    spec: S,
    flags: u32,
    kind: u32,
    job: JobId,
    attempt: u16,
    max_retries: u16,
    actor: u64,
    caller: u64,
    group: u64,
    bundle: u16,
    alike: u64,
    parent: Option<TaskId>,
    returns: &'a [ObjectKey],
}

impl<H: Host> Scheduler<H> {
    /// A scheduler that gives out what `config` says.
    pub fn new(host: H, config: Config) -> Self {
        let shared = Shared::new(host, config);
        let state = State::new(&shared);
        Scheduler { token: Token::new(state), shared, untold: Inbox::new() }
    }

    /// The host.
    pub fn host(&self) -> &H {
        &self.shared.host
    }

    // --- the token ---------------------------------------------------------------------------------------

    fn is_telling(&self) -> bool {
        let this = std::ptr::from_ref(self).addr();
        TELLING.with(|telling| telling.get() == this)
    }

    /// Brings an event to the owner of the token.
    #[inline]
    fn post(&self, event: Event) {
        if self.is_telling() {
            return self.token.leave_quietly(event);
        }
        let owner = match self.token.enter() {
            Some(mut owner) => {
                owner.state().apply(&self.shared, event);
                owner
            }
            None => match self.token.leave(event) {
                Some(mut owner) => {
                    self.take_mail(&mut owner);
                    owner
                }
                None => return,
            },
        };
        self.finish(owner);
    }

    /// The same for several, in one turn.
    fn post_all(&self, events: SmallVec<[Event; 4]>) {
        if events.is_empty() {
            return;
        }
        if self.is_telling() {
            return events.into_iter().for_each(|event| self.token.leave_quietly(event));
        }
        let owner = match self.token.enter() {
            Some(mut owner) => {
                for event in events {
                    owner.state().apply(&self.shared, event);
                }
                owner
            }
            None => {
                events.into_iter().for_each(|event| self.token.leave_quietly(event));
                let Some(mut owner) = self.token.knock() else { return };
                self.take_mail(&mut owner);
                owner
            }
        };
        self.finish(owner);
    }

    fn take_mail(&self, owner: &mut Owner<'_, State<H>, Event>) {
        for event in owner.look_again() {
            owner.state().apply(&self.shared, event);
        }
    }

    /// Brings the state to rest, gives the token back, and tells the host what came of it.
    #[inline]
    fn finish<'a>(&'a self, mut owner: Owner<'a, State<H>, Event>) {
        loop {
            let mut acts = Acts::<H>::new();
            loop {
                owner.state().dispatch(&self.shared);
                acts.append(&mut owner.state().acts);
                match self.give_up(owner) {
                    None => break,
                    Some(again) => owner = again,
                }
                self.take_mail(&mut owner);
            }
            if !acts.is_empty() {
                self.tell(acts);
            }
            // What the callbacks left, unless an outer call of this thread looks itself.
            if !self.token.has_mail() || self.is_telling() {
                return;
            }
            match self.token.knock() {
                Some(again) => owner = again,
                None => return,
            }
            self.take_mail(&mut owner);
        }
    }

    /// Gives the token back, or to who waits for it; the owner again when there is more to do.
    #[inline]
    fn give_up<'a>(
        &'a self,
        mut owner: Owner<'a, State<H>, Event>,
    ) -> Option<Owner<'a, State<H>, Event>> {
        while let Some(visitor) = owner.state().visitors.pop() {
            // The others wait in the inbox again: a visitor looks there before it gives the token back.
            for other in std::mem::take(&mut owner.state().visitors) {
                self.token.leave_quietly(Event::Visit(other));
            }
            match owner.hand_over(&visitor) {
                Ok(()) => return None,
                Err(again) => owner = again,
            }
            self.take_mail(&mut owner);
            owner.state().dispatch(&self.shared);
        }
        owner.let_go().err()
    }

    /// Asks the owner of the state, as its owner.
    pub(crate) fn visit<R>(&self, ask: impl FnOnce(&mut State<H>, &Shared<H>) -> R) -> R {
        let mut owner = self.token.visit(Event::Visit);
        let answer = ask(owner.state(), &self.shared);
        self.take_mail(&mut owner);
        self.finish(owner);
        answer
    }

    fn tell(&self, acts: Acts<H>) {
        if self.is_telling() {
            return acts.into_iter().for_each(|act| self.untold.push(act));
        }
        let before = TELLING.with(|telling| telling.replace(std::ptr::from_ref(self).addr()));
        let _telling = Telling(before);
        acts.into_iter().for_each(|act| self.tell_one(act));
        while !self.untold.is_empty() {
            self.untold.take().for_each(|act| self.tell_one(act));
        }
    }

    fn tell_one(&self, act: Act<H>) {
        let host = &self.shared.host;
        let (task, why) = match act {
            Act::Finish(task) => (task, None),
            Act::Fail(task, why) => (task, Some(*why)),
            Act::FailByDependency(task, object) => {
                (task, Some(Failure::Dependency { object, cause: host.cause(object) }))
            }
            Act::Interrupt(worker, task, attempt) => return host.interrupt(worker, task, attempt),
            Act::Kill(worker) => return host.kill(worker),
            Act::Stop(worker) => return host.stop(worker),
            Act::Need(pool, how_many) => return host.need_workers(pool, how_many),
        };
        let Some((record, _)) = self.shared.records.of(task) else { return };
        if let Some(why) = why {
            // SAFETY: the record was ended when this act was made, there is one such act for a task, and it is
            // told by one thread, which saw the record's filling when it took the token or the act.
            host.fail(task, unsafe { record.spec() }, why);
        }
        let attempt = record.attempt.get();
        // SAFETY: as above; the spec is taken here only.
        let spec = unsafe { record.take_spec() };
        self.shared.records.give(task, record);
        host.finished(task, attempt, spec);
    }

    // --- submitting --------------------------------------------------------------------------------------

    /// Takes a task.
    ///
    /// # Errors
    /// When the machine, or its group, will never have what it demands, or a table is full; the spec is given
    /// back.
    #[inline]
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
        let placed = if attempt > new.retries.max {
            Err(Refusal::RetriesSpent { max: new.retries.max })
        } else {
            self.kind_of(new.pool, new.job, new.priority, new.demand, new.placement, new.parent)
        };
        let (kind, group, bundle, captures) = match placed {
            Ok(placed) => placed,
            Err(why) => return Err(SubmitError { spec: new.spec, why }),
        };
        let filling = Filling {
            spec: new.spec,
            flags: if captures { CAPTURES } else { 0 },
            kind,
            job: new.job,
            attempt,
            max_retries: new.retries.max,
            actor: 0,
            caller: 0,
            group,
            bundle,
            alike: new.alike,
            parent: new.parent,
            returns: new.returns,
        };
        self.enter(filling, new.dependencies, None).map_err(|(spec, why)| SubmitError { spec, why })
    }

    /// Takes an actor; its construction is a task.
    ///
    /// # Errors
    /// As [`Scheduler::submit`].
    pub fn create_actor(
        &self,
        new: NewActor<'_, H::Spec>,
    ) -> Result<ActorId, SubmitError<H::Spec>> {
        let placed =
            self.kind_of(new.pool, new.job, new.priority, new.demand, new.placement, new.parent);
        let (kind, group, bundle, captures) = match placed {
            Ok(placed) => placed,
            Err(why) => return Err(SubmitError { spec: new.spec, why }),
        };
        let Some((index, gate)) = self.shared.actors.take() else {
            let why = Refusal::TooManyActors { limit: MAX_GATES };
            return Err(SubmitError { spec: new.spec, why });
        };
        let id = actor_id(index, gate.generation());
        gate.max_pending.set(u32::try_from(new.max_pending_calls).unwrap_or(0));
        gate.max_task_retries.set(new.max_task_retries);
        gate.job.set(new.job.0);
        gate.group.set(group);
        gate.captures.set(u32::from(captures));
        gate.worker.set(NOWHERE);
        gate.restarts.set(0);
        gate.publish(gate.generation());
        let filling = Filling {
            spec: new.spec,
            flags: CREATION | if captures { CAPTURES } else { 0 },
            kind,
            job: new.job,
            attempt: 0,
            max_retries: 0,
            actor: id.to_bits(),
            caller: 0,
            group,
            bundle,
            alike: 0,
            parent: new.parent,
            returns: new.returns,
        };
        let depth = match new.max_handed {
            0 => self.shared.config.queue_depth,
            some => some,
        };
        let actor = NewActorState {
            id,
            creation: TaskId::from_bits(0),
            max_restarts: new.max_restarts,
            max_handed: depth.clamp(1, Config::MAX_QUEUE_DEPTH),
            out_of_order: new.out_of_order,
            detached: new.detached,
        };
        match self.enter(filling, new.dependencies, Some(actor)) {
            Ok(_) => Ok(id),
            Err((spec, why)) => {
                if gate.free() {
                    self.shared.actors.give(index);
                }
                Err(SubmitError { spec, why })
            }
        }
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
        let Some((gate, generation)) = self.shared.actor(actor) else {
            return Err(CallError { spec: call.spec, why: CallRefusal::Unknown });
        };
        if let Err(why) = gate.begin(generation) {
            return Err(CallError { spec: call.spec, why });
        }
        let max_retries = call.retries.map_or(gate.max_task_retries.get(), |retries| retries.max);
        let filling = Filling {
            spec: call.spec,
            flags: CALL | if gate.captures.get() != 0 { CAPTURES } else { 0 },
            kind: u32::MAX,
            job: JobId(gate.job.get()),
            attempt: 0,
            max_retries,
            actor: actor.to_bits(),
            caller: caller.0,
            group: gate.group.get(),
            bundle: ANY_BUNDLE,
            alike: 0,
            parent: call.parent,
            returns: call.returns,
        };
        self.enter(filling, call.dependencies, None).map_err(|(spec, why)| {
            gate.end(generation);
            CallError { spec, why: CallRefusal::Refused(why) }
        })
    }

    /// The kind of a task, the group and bundle that it runs in, and whether its children follow.
    #[inline]
    fn kind_of(
        &self,
        pool: PoolId,
        job: JobId,
        priority: i32,
        demand: &crate::Demand,
        placement: Placement,
        parent: Option<TaskId>,
    ) -> Result<(u32, u64, u16, bool), Refusal> {
        let kind = self.shared.kinds.find(pool, job, priority, demand)?;
        let inherited = || {
            let (record, _) = self.shared.records.live(parent?)?;
            let group = GroupId::from_bits(record.group.get());
            let captures = record.is(CAPTURES) && group.to_bits() != 0;
            // Still the parent's, or nobody's.
            self.shared.records.live(parent?)?;
            captures.then_some((group, ANY_BUNDLE, true))
        };
        let named = match placement {
            Placement::Inherit => inherited(),
            placement => group_gate::named(placement),
        };
        let Some((group, bundle, captures)) = named else { return Ok((kind, 0, 0, false)) };
        let gate = self.shared.group(group).ok_or(Refusal::NoSuchGroup { group })?;
        gate.check(group, bundle, kind, &self.shared.kinds)?;
        Ok((kind, group.to_bits(), bundle, captures))
    }

    /// Fills a record and brings it on.
    #[inline]
    fn enter(
        &self,
        filling: Filling<'_, H::Spec>,
        dependencies: &[ObjectKey],
        actor: Option<NewActorState>,
    ) -> Result<TaskId, (H::Spec, Refusal)> {
        let shared = &self.shared;
        let mut pending = SmallVec::<[ObjectKey; 8]>::new();
        let mut failed = None;
        for &object in dependencies {
            match shared.host.subscribe(object) {
                Readiness::Ready => {}
                Readiness::Failed => failed = failed.or(Some(object)),
                Readiness::Pending => pending.push(object),
            }
        }
        if pending.len() > MAX_PENDING {
            let dependencies = pending.len();
            let why = Refusal::TooManyDependencies { dependencies, limit: MAX_PENDING };
            return Err((filling.spec, why));
        }
        let Some((task, record)) = shared.records.take() else {
            return Err((filling.spec, Refusal::TooManyTasks { limit: MAX_TASKS }));
        };
        let told = filling.flags & (CALL | CREATION) != 0
            || filling.parent.is_some()
            || filling.group != 0;
        for &object in filling.returns {
            shared.dependents.set_producer(object, task);
        }
        fill(record, filling);
        let (_, generation) = split(task.to_bits());
        if pending.is_empty() && failed.is_none() {
            record.gate.publish(generation, 0);
            let new = Event::New { task, ready: true };
            match actor {
                None => self.post(new),
                Some(actor) => {
                    let actor = Event::Actor(Box::new(NewActorState { creation: task, ..actor }));
                    self.post_all(SmallVec::from_iter([actor, new]));
                }
            }
            return Ok(task);
        }
        // One more for this thread, while it is at it.
        record.gate.publish(generation, pending.len() + 1);
        let mut events = SmallVec::<[Event; 4]>::new();
        if let Some(actor) = actor {
            events.push(Event::Actor(Box::new(NewActorState { creation: task, ..actor })));
        }
        if told {
            events.push(Event::New { task, ready: false });
        }
        self.post_all(events);
        for &object in &pending {
            if failed.is_some() {
                break;
            }
            if shared.dependents.add(object, task).is_err() {
                failed = Some(object);
                break;
            }
            // It may have settled before the edge was there to be found.
            match shared.host.subscribe(object) {
                Readiness::Pending => {}
                settled => self.settled(object, settled),
            }
        }
        match failed {
            Some(object) if record.gate.fail(generation) => {
                self.post(Event::Failed(task, object));
            }
            Some(_) => {}
            None if record.gate.meet(generation, 1) == Met::Released => {
                self.post(Event::Released(task));
            }
            None => {}
        }
        Ok(task)
    }

    // --- objects -----------------------------------------------------------------------------------------

    /// An object that somebody waits for was sealed or failed.
    pub fn settled(&self, object: ObjectKey, readiness: Readiness) {
        let shared = &self.shared;
        let mut events = SmallVec::<[Event; 4]>::new();
        let mut settled = SmallVec::<[(ObjectKey, Readiness); 2]>::new();
        settled.push((object, readiness));
        while let Some((object, readiness)) = settled.pop() {
            if readiness == Readiness::Pending {
                continue;
            }
            let later = shared.dependents.drain(object, |task, awaited| {
                let Some((record, generation)) = shared.records.of(task) else { return };
                if awaited == object && readiness == Readiness::Ready {
                    if record.gate.meet(generation, 1) == Met::Released {
                        events.push(Event::Released(task));
                    }
                } else if record.gate.fail(generation) {
                    events.push(Event::Failed(task, awaited));
                }
            });
            settled.extend(later.into_iter().map(|key| (key, shared.host.subscribe(key))));
        }
        self.post_all(events);
    }

    /// The task that was submitted to make `object`; it may have ended.
    #[inline]
    pub fn producer(&self, object: ObjectKey) -> Option<TaskId> {
        let task = self.shared.dependents.producer(object)?;
        self.shared.records.live(task).map(|_| task)
    }

    // --- workers -----------------------------------------------------------------------------------------

    /// A worker says how an attempt ended, and how many nanoseconds it ran; zero when it does not know. Of an
    /// attempt that nobody waits for any more it is ignored.
    #[inline]
    pub fn completed(
        &self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        outcome: Outcome,
        ran_ns: u64,
    ) {
        self.post(Event::Completed { worker, task, attempt, outcome, ran_ns });
    }

    /// Whether tasks are queued behind a busy worker while another is idle, as they are when they were expected
    /// to be quick: [`Scheduler::review`] is to be called in about [`Config::wake_cost`]. Lock-free.
    #[inline]
    pub fn wants_review(&self) -> bool {
        self.shared.wants_review.load(Relaxed)
    }

    /// Looks whether what was expected to be quick is: what waits behind a task that has run for longer than a
    /// wakeup costs goes to idle workers. Answers when to look again, if at all. Waits for its turn.
    pub fn review(&self, now: Instant) -> Option<Duration> {
        self.visit(|state, shared| state.review(shared, now))
    }

    /// Workers were started without being asked for.
    pub fn workers_expected(&self, pool: PoolId, how_many: usize) {
        self.post(Event::Expected(pool, how_many));
    }

    /// A worker is ready for work. Of a worker that had its id before, [`Scheduler::worker_left`] was told.
    pub fn worker_joined(&self, worker: WorkerId, pool: PoolId) {
        self.post(Event::Joined(worker, pool));
    }

    /// Workers that were asked for will not come.
    pub fn spawn_failed(&self, pool: PoolId, how_many: usize) {
        self.post(Event::SpawnFailed(pool, how_many));
    }

    /// A worker is gone: what it had not begun goes to others, what it ran is run again or fails. When this
    /// returns the host is not asked about the worker's queue any more.
    pub fn worker_left(&self, worker: WorkerId, cause: H::Cause) {
        self.visit(|state, shared| state.leave(shared, worker, &cause));
    }

    /// A worker's task waits for something: its cpu, and what is queued behind it, go to others.
    pub fn blocked(&self, worker: WorkerId) {
        self.post(Event::Blocked(worker));
    }

    /// A worker's task goes on.
    pub fn unblocked(&self, worker: WorkerId) {
        self.post(Event::Unblocked(worker));
    }

    /// Dispatches what can be dispatched: what a full queue held up is tried again. `false` when nothing more
    /// can be done now.
    pub fn step(&self, _budget: usize) -> bool {
        self.post(Event::Step);
        false
    }

    /// Tasks that are ready and in no worker's queue.
    #[inline]
    pub fn backlog(&self) -> usize {
        self.shared.backlog.load(Relaxed)
    }

    // --- cancelling --------------------------------------------------------------------------------------

    /// Cancels a task or a call. What has not begun fails with [`Failure::Cancelled`]; what is running is
    /// told to stop by [`Host::interrupt`], or by force loses its worker and is not run again.
    pub fn cancel(&self, task: TaskId, mode: CancelMode) -> Cancelled {
        if !self.is_telling()
            && let Some(mut owner) = self.token.enter()
        {
            let cancelled = owner.state().cancel(&self.shared, task, mode);
            self.finish(owner);
            return cancelled;
        }
        if self.shared.records.live(task).is_none() {
            return Cancelled::Unknown;
        }
        self.post(Event::Cancel(task, mode));
        Cancelled::Underway
    }

    /// A caller is gone: its calls that have not begun are cancelled.
    pub fn caller_left(&self, caller: CallerId) {
        self.post(Event::CallerLeft(caller));
    }

    /// A job is over: its tasks that have not begun fail, those that run are interrupted, its actors and
    /// groups end unless they are detached.
    pub fn job_ended(&self, job: JobId) {
        self.post(Event::JobEnded(job));
    }

    // --- groups ------------------------------------------------------------------------------------------

    /// Reserves a group's bundles, all of them as soon as all are free; [`Host::group_changed`] tells when.
    ///
    /// # Errors
    /// When the machine will never have as much.
    pub fn create_group(&self, new: NewGroup<'_>) -> Result<GroupId, Refusal> {
        let kinds = &self.shared.kinds;
        let needs: Box<[_]> =
            new.bundles.iter().map(|bundle| kinds.need(bundle)).collect::<Result<_, _>>()?;
        if new.bundles.len() > 1 {
            let mut all = kinds.total.clone();
            if needs.iter().any(|need| all.take(need).is_none()) {
                let demands: Vec<String> = new.bundles.iter().map(ToString::to_string).collect();
                let (demand, exists) = (demands.join(" | "), kinds.offer());
                return Err(Refusal::Unschedulable { demand, exists });
            }
        }
        let Some((index, gate)) = self.shared.groups.take() else {
            return Err(Refusal::TooManyGroups { limit: MAX_GATES });
        };
        let shape = gate.publish(index, needs);
        let id = shape.id;
        self.post(Event::Group { shape, job: new.job, detached: new.detached });
        Ok(id)
    }

    /// Removes a group: what is queued in it fails with [`Failure::GroupRemoved`], what runs or lives in it
    /// is killed, and its resources are free when that is gone.
    pub fn remove_group(&self, group: GroupId) {
        self.post(Event::RemoveGroup(group));
    }

    /// Where a group stands; `None` when it is gone. Waits for its turn.
    pub fn group_state(&self, group: GroupId) -> Option<GroupState> {
        self.visit(|state, _| state.group_state(group))
    }

    // --- actors ------------------------------------------------------------------------------------------

    /// Kills an actor's process; with `restart` it is constructed again if its restarts allow.
    pub fn kill_actor(&self, actor: ActorId, restart: bool) {
        self.post(Event::KillActor { actor, restart });
    }

    /// An actor's worker said that it ends on purpose.
    pub fn exit_actor(&self, actor: ActorId) {
        self.post(Event::ExitActor(actor));
    }

    /// The last handle of an actor is gone: it ends when its calls are done.
    pub fn release_actor(&self, actor: ActorId) {
        self.post(Event::ReleaseActor(actor));
    }

    /// Forgets a dead actor: it is unknown from here on. Until then its reason is kept.
    pub fn forget_actor(&self, actor: ActorId) {
        self.post(Event::ForgetActor(actor));
    }

    /// What an actor is about. Lock-free.
    pub fn actor_state(&self, actor: ActorId) -> Option<ActorState> {
        let (gate, generation) = self.shared.actor(actor)?;
        gate.state(generation)
    }

    /// The worker in which an actor lives. Lock-free.
    pub fn actor_worker(&self, actor: ActorId) -> Option<WorkerId> {
        let (gate, generation) = self.shared.actor(actor)?;
        gate.state(generation)?;
        let worker = gate.worker.get();
        (worker != NOWHERE).then_some(WorkerId(worker as u16))
    }

    /// How often an actor was restarted. Lock-free.
    pub fn actor_restarts(&self, actor: ActorId) -> Option<u32> {
        let (gate, generation) = self.shared.actor(actor)?;
        gate.state(generation)?;
        Some(gate.restarts.get())
    }

    /// Why an actor is dead. Waits for its turn.
    pub fn actor_reason(&self, actor: ActorId) -> Option<DeathReason<H::Cause>> {
        self.visit(|state, _| state.reason(actor))
    }
}

/// Fills a record that was taken and is not published.
#[inline]
fn fill<S>(record: &Record<S>, filling: Filling<'_, S>) {
    record.begin(filling.flags);
    record.kind.set(filling.kind);
    record.job.set(filling.job.0);
    record.attempt.set(filling.attempt);
    record.max_retries.set(filling.max_retries);
    record.actor.set(filling.actor);
    record.caller.set(filling.caller);
    record.group.set(filling.group);
    record.bundle.set(filling.bundle);
    record.alike.set(estimate_place(filling.alike));
    record.parent.set(filling.parent.map_or(0, TaskId::to_bits));
    // SAFETY: the caller took the record from the free list, and no spec is left in one that lies there.
    unsafe { record.put_spec(filling.spec) };
}
