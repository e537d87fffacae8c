//! Submitting tasks, actors and calls, and the settling of what they wait for: on the caller's thread, without the
//! token.
//!
//! Who submits fills a record and publishes it with one more thing to wait for than it has: itself. So it can
//! enter its edges one by one while others settle already, and whoever takes the last of what the task waits for,
//! the submitter included, brings it on. The owner of the token hears of a task when it waits for nothing; or
//! before, when somebody may look for it: a call has its place in a line, a child its parent, a group its members.

use rustyray_memory::sync::{Ordering, fence};
use smallvec::SmallVec;

use crate::{
    ActorId, CallError, CallRefusal, CallerId, Config, GroupId, Host, JobId, NewActor, NewCall,
    NewTask, ObjectKey, Placement, Readiness, Refusal, Scheduler, SubmitError, TaskId,
    actor_gate::NOWHERE,
    event::{Event, NewActorState},
    gate::{MAX_PENDING, Met},
    group_gate,
    ids::split,
    kinds::Sort,
    record::{ANY_BUNDLE, CALL, CAPTURES, CREATION, Record},
    records::MAX_TASKS,
    shared::{MAX_GATES, actor_id},
    state::estimate_place,
};

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
    note: [u64; 2],
    returns: &'a [ObjectKey],
}

impl<H: Host> Scheduler<H> {
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
        self.resubmit_with(new, attempt, |event| self.post(event))
    }

    /// The same, and gives the event of a task that waits for nothing to `bring`.
    #[inline]
    pub(crate) fn resubmit_with(
        &self,
        new: NewTask<'_, H::Spec>,
        attempt: u16,
        bring: impl FnOnce(Event),
    ) -> Result<TaskId, SubmitError<H::Spec>> {
        let placed = if attempt > new.retries.max {
            Err(Refusal::RetriesSpent { max: new.retries.max })
        } else {
            let sort = Sort { pool: new.pool, priority: new.priority, creates: false };
            self.kind_of(sort, new.demand, new.placement, new.parent)
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
            note: new.note,
            returns: new.returns,
        };
        self.enter(filling, new.dependencies, None, bring)
            .map_err(|(spec, why)| SubmitError { spec, why })
    }

    /// Takes an actor; its construction is a task.
    ///
    /// # Errors
    /// As [`Scheduler::submit`].
    pub fn create_actor(
        &self,
        new: NewActor<'_, H::Spec>,
    ) -> Result<ActorId, SubmitError<H::Spec>> {
        let sort = Sort { pool: new.pool, priority: new.priority, creates: true };
        let placed = self.kind_of(sort, new.demand, new.placement, new.parent);
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
            note: [0; 2],
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
        match self.enter(filling, new.dependencies, Some(actor), |event| self.post(event)) {
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
            note: call.note,
            returns: call.returns,
        };
        self.enter(filling, call.dependencies, None, |event| self.post(event)).map_err(
            |(spec, why)| {
                gate.end(generation);
                CallError { spec, why: CallRefusal::Refused(why) }
            },
        )
    }

    /// The kind of a task, the group and bundle that it runs in, and whether its children follow.
    #[inline]
    fn kind_of(
        &self,
        sort: Sort,
        demand: &crate::Demand,
        placement: Placement,
        parent: Option<TaskId>,
    ) -> Result<(u32, u64, u16, bool), Refusal> {
        let kind = self.shared.kinds.find(sort, demand)?;
        let inherited = || match self.placement(parent?)? {
            Placement::Group { group, capture_children: true, .. } => {
                Some((group, ANY_BUNDLE, true))
            }
            _ => None,
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

    /// Fills a record and brings it on; by `bring` where there is one event to be told of and nothing to wait for.
    #[inline]
    fn enter(
        &self,
        filling: Filling<'_, H::Spec>,
        dependencies: &[ObjectKey],
        actor: Option<NewActorState>,
        bring: impl FnOnce(Event),
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
                None => bring(new),
                Some(actor) => {
                    let actor = Event::Actor(Box::new(NewActorState { creation: task, ..actor }));
                    self.post_all([actor, new]);
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
        if !events.is_empty() {
            self.post_all(events);
        }
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
        if !events.is_empty() {
            self.post_all(events);
        }
    }

    /// The task within which a task that has not ended was submitted, as long as that has not ended either. Lock-free.
    pub fn parent(&self, task: TaskId) -> Option<TaskId> {
        let (record, _) = self.shared.records.live(task)?;
        let parent = TaskId::from_bits(record.parent.get());
        // Still that task's.
        self.shared.records.live(task)?;
        self.shared.records.live(parent).map(|_| parent)
    }

    /// Out of which resources a task runs that has not ended, with what it inherited. Lock-free.
    #[inline]
    pub fn placement(&self, task: TaskId) -> Option<Placement> {
        let (record, _) = self.shared.records.live(task)?;
        let group = GroupId::from_bits(record.group.get());
        let (bundle, captures) = (record.bundle.get(), record.is(CAPTURES));
        // Still that task's.
        self.shared.records.live(task)?;
        Some(match group.to_bits() {
            0 => Placement::Free,
            _ => Placement::Group {
                group,
                bundle: (bundle != ANY_BUNDLE).then_some(bundle),
                capture_children: captures,
            },
        })
    }

    /// What was noted of a task ([`NewTask::note`]) that has not ended; zeroes of an actor's creation. Lock-free.
    #[inline]
    pub fn note(&self, task: TaskId) -> Option<[u64; 2]> {
        let (record, _) = self.shared.records.live(task)?;
        let note = [record.note[0].get(), record.note[1].get()];
        // Acquire: pairs with the Release in `fill`. Of another task nothing is read without seeing that it is another.
        fence(Ordering::Acquire);
        self.shared.records.live(task).map(|_| note)
    }

    /// The task that was submitted to make `object`; it may have ended.
    #[inline]
    pub fn producer(&self, object: ObjectKey) -> Option<TaskId> {
        let task = self.shared.dependents.producer(object)?;
        self.shared.records.live(task).map(|_| task)
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
    record.spared.set(0);
    record.actor.set(filling.actor);
    record.caller.set(filling.caller);
    record.group.set(filling.group);
    record.bundle.set(filling.bundle);
    record.alike.set(estimate_place(filling.alike));
    record.parent.set(filling.parent.map_or(0, TaskId::to_bits));
    // Release: see `Scheduler::note`.
    fence(Ordering::Release);
    record.note.iter().zip(filling.note).for_each(|(word, note)| word.set(note));
    // SAFETY: the caller took the record from the free list, and no spec is left in one that lies there.
    unsafe { record.put_spec(filling.spec) };
}
