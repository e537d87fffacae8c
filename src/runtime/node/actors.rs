//! Actors: created, called, found by name, and released when nobody can reach them.
//!
//! An actor is named by its *token*, an object that is sealed when it is constructed and lives as long as
//! its handles.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use rustyray_scheduler::{
    ActorId, ActorState, CallerId, Config, DeathReason, JobId, NewActor, NewCall, ObjectKey,
    WorkerId,
};
use rustyray_store::{ClientId, ObjectId, Status};

use super::{
    Node,
    cause::Cause,
    job::Job,
    submit::{demand, parent_of},
};
use crate::{
    death::{ActorEnd, Death},
    error::{Error, Result},
    registry,
    runtime::submission::Wanted,
    spec::{BY_LINE, Header, Submitter},
};

/// An actor, as its token names it.
pub(super) struct Resident {
    pub(super) actor: ActorId,
    pub(super) class: u64,
    pub(super) label: String,
    pub(super) name: Option<String>,
    pub(super) detached: bool,
    /// Its unfinished calls, where they are limited.
    pub(super) room: Option<Room>,
    /// Its calls may go past the node.
    pub(super) takes_lines: bool,
    /// What is settled when the actor dies, once somebody asked for it.
    obituary: Option<ObjectId>,
    /// Why its constructor failed when it was to be restarted.
    unmade: Option<ObjectId>,
}

/// Actors by token, by the scheduler's id, and by name.
#[derive(Default)]
pub(super) struct Actors {
    pub(super) by_token: HashMap<ObjectId, Resident>,
    pub(super) by_id: HashMap<ActorId, ObjectId>,
    pub(super) by_name: HashMap<String, ObjectId>,
    /// Names of actors that are just being created: for which token, and by whom.
    claims: HashMap<String, (ObjectId, ClientId)>,
}

/// How many calls of an actor are unfinished, and who waits for there to be fewer.
pub(super) struct Room {
    limit: usize,
    /// Counted here and not by the scheduler, so that who was told of room finds it.
    pending: AtomicUsize,
    /// The object that is settled when there is room, where somebody waits for that.
    waiting: Mutex<Option<ObjectId>>,
    /// Places that are counted already, each for a call that a client is about to make.
    kept: Mutex<HashMap<ClientId, usize>>,
}

impl Room {
    fn is_there(&self) -> bool {
        self.pending.load(Ordering::SeqCst) < self.limit
    }

    /// Counts one more call, unless that would be one too many.
    fn count(&self) -> bool {
        let more = |pending| (pending < self.limit).then_some(pending + 1);
        self.pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// A place that was kept for a call of this client is kept no more; whether there was one.
    fn take_kept(&self, client: ClientId) -> bool {
        let mut kept = self.kept.lock();
        let Some(places) = kept.get_mut(&client) else { return false };
        *places -= 1;
        if *places == 0 {
            kept.remove(&client);
        }
        true
    }
}

/// What came of asking for a place among an actor's unfinished calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is kept, until the call comes or its caller ends.
    Kept,
    /// The actor does not limit them.
    NoLimit,
    /// There are as many as there may be.
    Full { limit: u64 },
}

/// What came of claiming a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is kept for the token that claimed it, until the actor is created or its creator ends.
    Kept,
    /// The actor of this token has it.
    Of(ObjectId),
    /// Another actor of the name is being created.
    Busy,
}

impl Node {
    pub(super) fn construct(
        &self,
        wanted: &Wanted,
        header: &Header,
        job: Job,
        dependencies: &[ObjectKey],
        returns: &[ObjectKey],
        caller: CallerId,
    ) -> Result<()> {
        let Some(actor) = &wanted.extension.actor else {
            self.release_all(&job);
            return Err(Error::invalid("an actor's construction says nothing of the actor"));
        };
        let placement = match self.home_of(wanted, caller) {
            Ok(placement) => placement,
            Err(error) => {
                self.release_all(&job);
                return Err(error);
            }
        };
        let token = *job
            .returns
            .as_slice()
            .first()
            .ok_or_else(|| Error::invalid("an actor has a token"))?;
        let name = wanted.extension.name.clone();
        if let Some(name) = &name
            && self.claim_name(name, token, ClientId::new(caller.0 as u8)) != Claim::Kept
        {
            self.release_all(&job);
            return Err(Error::ActorNameTaken { name: name.clone() });
        }
        let class = header.function;
        // What overlaps, or may go first, has to be at the worker.
        let is_overlapping = actor.max_concurrency > 1 || registry::has_groups(class);
        // Without the lock: the scheduler tells of changes from within.
        let created = self.scheduler().create_actor(NewActor {
            spec: job,
            pool: self.pool_of(caller),
            job: JobId(header.job),
            demand: &demand(wanted),
            dependencies,
            returns,
            placement,
            priority: 0,
            max_restarts: u32::try_from(actor.max_restarts).unwrap_or(u32::MAX),
            max_task_retries: u16::try_from(actor.max_task_retries).unwrap_or(u16::MAX - 2),
            // Counted by `Room`.
            max_pending_calls: 0,
            max_handed: if is_overlapping { Config::MAX_QUEUE_DEPTH } else { 0 },
            out_of_order: actor.out_of_order,
            detached: actor.detached,
            parent: None,
        });
        let mut actors = self.actors.write();
        if let Some(name) = &name {
            actors.claims.remove(name);
        }
        let created = match created {
            Ok(created) => created,
            Err(refused) => {
                drop(actors);
                return Err(self.refused(refused.spec, refused.why));
            }
        };
        let label = match &name {
            Some(name) => format!("{} ({name})", actor.class),
            None => actor.class.clone(),
        };
        if actor.detached {
            let _ = self.client.retain(token);
        }
        if let Some(name) = &name {
            actors.by_name.insert(name.clone(), token);
        }
        actors.by_id.insert(created, token);
        let resident = Resident {
            actor: created,
            class,
            label,
            name,
            detached: actor.detached,
            room: (actor.max_pending_calls > 0).then(|| Room {
                limit: actor.max_pending_calls as usize,
                pending: AtomicUsize::new(0),
                waiting: Mutex::default(),
                kept: Mutex::default(),
            }),
            takes_lines: actor.max_task_retries == 0 && actor.max_pending_calls == 0,
            obituary: None,
            unmade: None,
        };
        actors.by_token.insert(token, resident);
        drop(actors);
        if self.store.watch_end(token).is_err() {
            // Nobody waited for it to be entered.
            self.release_unreachable(token);
        }
        // It may have ended before it was entered.
        if self.scheduler().actor_state(created) == Some(ActorState::Dead) {
            self.forget_actor(created, self.scheduler().actor_reason(created).as_ref());
        }
        Ok(())
    }

    pub(super) fn call(
        &self,
        header: &Header,
        job: Job,
        dependencies: &[ObjectKey],
        returns: &[ObjectKey],
        caller: CallerId,
        wanted: &Wanted,
    ) -> Result<()> {
        let token = job.called();
        let client = ClientId::new(caller.0 as u8);
        let resident = token.and_then(|token| {
            let actors = self.actors.read();
            actors.by_token.get(&token).map(|resident| (resident.actor, resident.room.is_some()))
        });
        let Some((actor, is_limited)) = resident else {
            self.release_all(&job);
            let actor = registry::class_name(header.function);
            return Err(Error::ActorDied {
                actor: actor.unwrap_or_else(|| "?".into()),
                reason: "it was constructed by another session, or is gone".into(),
                cause: None,
            });
        };
        let caller = if !dependencies.is_empty()
            && registry::is_out_of_order(header.function, header.index)
        {
            // In a line of its own it holds up nobody.
            let number = self.out_of_order.fetch_add(1, Ordering::Relaxed);
            caller.apart(number)
        } else {
            caller
        };
        let job = Job { is_limited, ..job };
        let note = match wanted.parent & BY_LINE {
            0 => [0; 2],
            _ => Submitter::note_of(wanted.parent),
        };
        let parent = parent_of(wanted);
        let call = NewCall { spec: job, dependencies, returns, retries: None, parent, note };
        let token = token.filter(|_| is_limited);
        let is_counted =
            wanted.is_counted && token.is_some_and(|token| self.take_place(token, client));
        let uncounted = token.filter(|_| !is_counted);
        if let Some(limit) = uncounted.and_then(|token| self.count_call(token)) {
            self.release_all(&call.spec);
            let (actor, limit) = (self.label_of(actor), limit as u64);
            return Err(Error::PendingCallsLimit { actor, pending: limit, limit });
        }
        self.scheduler().call(actor, caller, call).map(drop).map_err(|refused| {
            self.release_all(&refused.spec);
            token.into_iter().for_each(|token| self.discount_call(token));
            self.actor_died(actor, self.scheduler().actor_reason(actor).as_ref())
        })
    }

    pub(super) fn label_of(&self, actor: ActorId) -> String {
        let actors = self.actors.read();
        let resident = actors.by_id.get(&actor).and_then(|token| actors.by_token.get(token));
        resident.map_or_else(|| "?".into(), |resident| resident.label.clone())
    }

    /// One more call of an actor that limits them is unfinished; the limit, when that would be one too many.
    fn count_call(&self, token: ObjectId) -> Option<usize> {
        let actors = self.actors.read();
        let room = actors.by_token.get(&token)?.room.as_ref()?;
        (!room.count()).then_some(room.limit)
    }

    /// Counts a call of this actor that `client` is about to make.
    pub(crate) fn keep_place(&self, token: ObjectId, client: ClientId) -> Place {
        let actors = self.actors.read();
        let room = actors.by_token.get(&token).and_then(|resident| resident.room.as_ref());
        let Some(room) = room else { return Place::NoLimit };
        if !room.count() {
            return Place::Full { limit: room.limit as u64 };
        }
        *room.kept.lock().entry(client).or_default() += 1;
        Place::Kept
    }

    /// The call that a place was kept for has come.
    fn take_place(&self, token: ObjectId, client: ClientId) -> bool {
        let actors = self.actors.read();
        let room = actors.by_token.get(&token).and_then(|resident| resident.room.as_ref());
        room.is_some_and(|room| room.take_kept(client))
    }

    /// The call that a place was kept for does not come.
    pub(crate) fn drop_place(&self, token: ObjectId, client: ClientId) {
        if self.take_place(token, client) {
            self.discount_call(token);
        }
    }

    /// The places that were kept for the calls of a dead process are free again.
    pub(super) fn forget_places(&self, client: ClientId) {
        let kept: Vec<_> = {
            let actors = self.actors.read();
            let places = |room: &Room| room.kept.lock().get(&client).copied().unwrap_or(0);
            let of = |(&token, resident): (&ObjectId, &Resident)| {
                let places = places(resident.room.as_ref()?);
                (places > 0).then_some((token, places))
            };
            actors.by_token.iter().filter_map(of).collect()
        };
        for (token, places) in kept {
            (0..places).for_each(|_| self.drop_place(token, client));
        }
    }

    /// A call that was counted has ended.
    pub(super) fn discount_call(&self, token: ObjectId) {
        {
            let actors = self.actors.read();
            let room = actors.by_token.get(&token).and_then(|resident| resident.room.as_ref());
            let Some(room) = room else { return };
            // SeqCst, as in `room`: either this finds who waits, or who is about to wait finds the room.
            room.pending.fetch_sub(1, Ordering::SeqCst);
        }
        self.tell_all_of_room(token);
    }

    /// The object that is settled when the actor of this token has room for another call; `None` when it has. One for
    /// all who wait at one time: of those that give up nothing is left.
    pub(crate) fn room(&self, token: ObjectId) -> Option<ObjectId> {
        let (id, actor, is_there) = {
            let actors = self.actors.read();
            let resident = actors.by_token.get(&token)?;
            let room = resident.room.as_ref().filter(|room| !room.is_there())?;
            let mut waiting = room.waiting.lock();
            let id = match *waiting {
                Some(id) => id,
                None => *waiting.insert(self.client.reserve().ok()?),
            };
            drop(waiting);
            // SeqCst: partner of the one in `count_call`, which may have looked at who waits before.
            (id, resident.actor, room.is_there())
        };
        if is_there || self.scheduler().actor_state(actor) == Some(ActorState::Dead) {
            self.tell_all_of_room(token);
        }
        Some(id)
    }

    /// Whoever waits for room looks again.
    fn tell_all_of_room(&self, token: ObjectId) {
        let waiting = {
            let actors = self.actors.read();
            let room = actors.by_token.get(&token).and_then(|resident| resident.room.as_ref());
            room.and_then(|room| room.waiting.lock().take())
        };
        if let Some(id) = waiting {
            self.settle(id, &());
            self.client.release(id);
        }
    }

    /// The actor that lives in `worker` ends on its own.
    pub(super) fn actor_exits(&self, worker: WorkerId) {
        if let Some(actor) = self.scheduler().actor_of(worker) {
            self.scheduler().exit_actor(actor);
        }
    }

    /// The actor of this name: its token.
    pub(crate) fn actor_named(&self, name: &str) -> Option<ObjectId> {
        self.actors.read().by_name.get(name).copied()
    }

    /// The class of the actor of this token.
    pub(crate) fn class_of(&self, token: ObjectId) -> Option<u64> {
        self.actors.read().by_token.get(&token).map(|resident| resident.class)
    }

    /// Keeps a name for the actor that `client` is about to create under `token`.
    pub(crate) fn claim_name(&self, name: &str, token: ObjectId, client: ClientId) -> Claim {
        let mut actors = self.actors.write();
        if let Some(&holder) = actors.by_name.get(name) {
            if self.client.status(holder) != Status::Gone {
                return Claim::Of(holder);
            }
            // Nobody can reach it any more, and it only has not been told yet.
            actors.by_name.remove(name);
            if let Some(resident) = actors.by_token.get_mut(&holder) {
                resident.name = None;
            }
        }
        match actors.claims.get(name) {
            Some(&(holder, _)) if holder != token => Claim::Busy,
            Some(_) => Claim::Kept,
            None => {
                actors.claims.insert(name.to_owned(), (token, client));
                Claim::Kept
            }
        }
    }

    /// A name that was kept for `token` is free again.
    pub(crate) fn drop_claim(&self, name: &str, token: ObjectId) {
        let mut actors = self.actors.write();
        if actors.claims.get(name).is_some_and(|&(holder, _)| holder == token) {
            actors.claims.remove(name);
        }
    }

    /// The names that a dead process had kept are free again.
    pub(super) fn forget_claims(&self, client: ClientId) {
        self.actors.write().claims.retain(|_, (_, by)| *by != client);
    }

    /// The object that is settled when the actor of this token dies.
    pub(crate) fn obituary(&self, token: ObjectId) -> Option<ObjectId> {
        let (obituary, dead) = {
            let mut actors = self.actors.write();
            let resident = actors.by_token.get_mut(&token)?;
            let obituary = match resident.obituary {
                Some(obituary) => obituary,
                None => *resident.obituary.insert(self.client.reserve().ok()?),
            };
            (obituary, resident.actor)
        };
        if self.scheduler().actor_state(dead) == Some(ActorState::Dead) {
            self.publish_death(dead, self.scheduler().actor_reason(dead).as_ref());
        }
        Some(obituary)
    }

    /// Settles the obituary of a dead actor, where somebody asked for one.
    fn publish_death(&self, actor: ActorId, reason: Option<&DeathReason<Cause>>) {
        // Who is told of the death does not find it by its name any more.
        let token = self.actors.read().by_id.get(&actor).copied();
        token.into_iter().for_each(|token| drop(self.forget_name(token)));
        let obituary = {
            let actors = self.actors.read();
            let token = actors.by_id.get(&actor);
            token.and_then(|token| actors.by_token.get(token)).and_then(|known| known.obituary)
        };
        let Some(obituary) = obituary else { return };
        self.settle(obituary, &self.death_of(actor, reason));
    }

    /// An actor could not be constructed again, for the reason that is in `error`.
    pub(super) fn not_made_again(&self, worker: WorkerId, error: ObjectId) {
        let Some(actor) = self.scheduler().actor_of(worker) else { return };
        let mut actors = self.actors.write();
        let Some(&token) = actors.by_id.get(&actor) else { return };
        if let Some(resident) = actors.by_token.get_mut(&token)
            && resident.unmade.is_none()
            && self.client.retain(error).is_ok()
        {
            resident.unmade = Some(error);
        }
    }

    /// Kills the actor of this token.
    pub(crate) fn kill_actor(&self, token: ObjectId, restart: bool) {
        let actor = self.actors.read().by_token.get(&token).map(|resident| resident.actor);
        if let Some(actor) = actor {
            self.scheduler().kill_actor(actor, restart);
            self.dispatch();
        }
    }

    /// Ends the actors whose tokens went since it was called last.
    pub(super) fn release_unreachable_actors(&self) {
        let mut any = false;
        while let Some(token) = self.store.next_ended() {
            self.release_unreachable(token);
            any = true;
        }
        if any {
            self.dispatch();
        }
    }

    /// Nobody can reach the actor of this token any more.
    fn release_unreachable(&self, token: ObjectId) {
        drop(self.forget_name(token));
        let actor = self.actors.read().by_token.get(&token).map(|resident| resident.actor);
        let Some(actor) = actor else { return };
        match self.scheduler().actor_state(actor) {
            // Its death may be being told by another thread, which finds it no more after this.
            Some(ActorState::Dead) | None => {
                self.forget_actor(actor, self.scheduler().actor_reason(actor).as_ref());
            }
            Some(_) => self.scheduler().release_actor(actor),
        }
    }

    pub(super) fn forget_name(&self, token: ObjectId) -> Option<String> {
        let mut actors = self.actors.write();
        let name = actors.by_token.get_mut(&token).and_then(|resident| resident.name.take());
        if let Some(name) = &name {
            actors.by_name.remove(name);
        }
        name
    }

    /// Ends every actor once the calls that it has are done, and waits until all have ended.
    pub(crate) async fn drain_actors(&self) {
        self.draining.store(true, Ordering::Release);
        loop {
            let ended = self.actor_ended.notified();
            let actors: Vec<_> = self.actors.read().by_id.keys().copied().collect();
            let mut left = actors.into_iter().filter(|&actor| {
                let state = self.scheduler().actor_state(actor);
                state.is_some_and(|state| state != ActorState::Dead)
            });
            let Some(first) = left.next() else { return };
            std::iter::once(first)
                .chain(left)
                .for_each(|actor| self.scheduler().close_actor(actor));
            self.dispatch();
            ended.await;
        }
    }

    /// The actor ended for good.
    pub(super) fn forget_actor(&self, actor: ActorId, reason: Option<&DeathReason<Cause>>) {
        let token = self.actors.read().by_id.get(&actor).copied();
        let Some(token) = token else { return };
        self.publish_death(actor, reason);
        self.tell_all_of_room(token);
        self.actor_ended.notify_waiters();
        // The entry stays while somebody may still call: the call is told why the actor died.
        if self.client.status(token) == Status::Gone {
            self.forget_dead(actor, token);
        } else if self.actors.read().by_token.get(&token).is_some_and(|known| known.detached) {
            // What kept it alive without handles keeps it no more.
            self.let_go_of_detached(token);
        }
    }

    /// Nobody can reach the dead actor of this token any more, nor ask of it.
    fn forget_dead(&self, actor: ActorId, token: ObjectId) {
        let mut actors = self.actors.write();
        let Some(resident) = actors.by_token.remove(&token) else { return };
        actors.by_id.remove(&actor);
        drop(actors);
        self.scheduler().forget_actor(actor);
        let waiting = resident.room.and_then(|room| room.waiting.into_inner());
        let left = [resident.obituary, resident.unmade, waiting];
        left.into_iter().flatten().for_each(|id| self.client.release(id));
    }

    fn let_go_of_detached(&self, token: ObjectId) {
        let mut actors = self.actors.write();
        let Some(resident) = actors.by_token.get_mut(&token) else { return };
        if std::mem::take(&mut resident.detached) {
            drop(actors);
            self.client.release(token);
        }
    }

    pub(super) fn actor_died(&self, actor: ActorId, reason: Option<&DeathReason<Cause>>) -> Error {
        self.death_of(actor, reason).into()
    }

    fn death_of(&self, actor: ActorId, reason: Option<&DeathReason<Cause>>) -> Death {
        let (token, label, unmade) = {
            let actors = self.actors.read();
            let token = actors.by_id.get(&actor).copied();
            let resident = token.and_then(|token| actors.by_token.get(&token));
            let label = resident.map_or_else(|| "?".into(), |resident| resident.label.clone());
            (token, label, resident.and_then(|resident| resident.unmade))
        };
        let mut cause = None;
        let reason = match reason {
            // It takes no further calls, and has not ended.
            None | Some(DeathReason::NoHandles) if self.draining.load(Ordering::Acquire) => {
                ActorEnd::ShutDown
            }
            None | Some(DeathReason::JobEnded) => ActorEnd::JobEnded,
            Some(DeathReason::CreationFailed) => {
                cause = unmade.or(token).and_then(|error| self.error_of(error));
                ActorEnd::NotConstructed
            }
            Some(DeathReason::Dependency { cause: failed, .. }) => {
                cause = Some(failed.error());
                ActorEnd::NotConstructed
            }
            Some(DeathReason::Cancelled) => ActorEnd::Cancelled,
            Some(DeathReason::Exited) => ActorEnd::Exited,
            Some(DeathReason::Killed) => ActorEnd::Killed,
            Some(DeathReason::NoHandles) => ActorEnd::Unreachable,
            Some(DeathReason::Crashed { restarts, cause }) => {
                ActorEnd::Crashed { how: cause.to_string(), restarts: *restarts }
            }
            Some(DeathReason::NeverBegun { workers, cause }) => ActorEnd::Other {
                what: format!(
                    "{workers} workers in a row ended before they had begun to construct it, the last one so: {cause}"
                ),
            },
            Some(DeathReason::GroupRemoved { .. }) => ActorEnd::GroupRemoved,
            Some(other) => ActorEnd::Other { what: format!("{other:?}") },
        };
        Death { actor: label, reason, cause }
    }
}
