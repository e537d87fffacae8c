//! Actors: created, called, found by name, and released when nobody can reach them.
//!
//! An actor is named by its *token*, an object that is sealed when it is constructed and lives as long as
//! its handles.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
};

use rustyray_scheduler::{
    ActorId, ActorState, CallRefusal, CallerId, DeathReason, JobId, NewActor, NewCall, ObjectKey,
    Placement, WorkerId,
};
use rustyray_store::{ClientId, ObjectId, Status};

use super::{Node, cause::Cause, job::Job, submit::demand};
use crate::{
    error::{Error, Result},
    registry,
    runtime::{pool, submission::Wanted},
    spec::Header,
};

/// An actor, as its token names it.
pub(super) struct Resident {
    pub(super) actor: ActorId,
    pub(super) label: String,
    pub(super) name: Option<String>,
    pub(super) detached: bool,
}

/// Actors by token, by the scheduler's id, and by name.
#[derive(Default)]
pub(super) struct Actors {
    pub(super) by_token: HashMap<ObjectId, Resident>,
    pub(super) by_id: HashMap<ActorId, ObjectId>,
    pub(super) by_name: HashMap<String, ObjectId>,
    /// Names of actors that are just being created.
    taken: HashSet<String>,
}

impl Node {
    pub(super) fn construct(
        &self,
        wanted: &Wanted,
        job: Job,
        dependencies: &[ObjectKey],
        returns: &[ObjectKey],
        caller: CallerId,
    ) -> Result<()> {
        let Some(actor) = &wanted.extension.actor else {
            self.release_all(&job);
            return Err(Error::invalid("an actor's construction says nothing of the actor"));
        };
        let token = *job
            .returns
            .as_slice()
            .first()
            .ok_or_else(|| Error::invalid("an actor has a token"))?;
        let name = wanted.extension.name.clone();
        if let Some(name) = &name {
            let mut actors = self.actors.write();
            if actors.by_name.contains_key(name) || !actors.taken.insert(name.clone()) {
                drop(actors);
                self.release_all(&job);
                return Err(Error::ActorNameTaken { name: name.clone() });
            }
        }
        // Without the lock: the scheduler tells of changes from within.
        let created = self.scheduler().create_actor(NewActor {
            spec: job,
            pool: pool::OWN,
            job: JobId(caller.0 as u32),
            demand: &demand(wanted),
            dependencies,
            returns,
            placement: Placement::Inherit,
            priority: 0,
            max_restarts: u32::try_from(actor.max_restarts).unwrap_or(u32::MAX),
            max_task_retries: u16::try_from(actor.max_task_retries).unwrap_or(u16::MAX - 2),
            max_pending_calls: actor.max_pending_calls as usize,
            max_handed: 0,
            out_of_order: false,
            detached: actor.detached,
            parent: None,
        });
        let mut actors = self.actors.write();
        if let Some(name) = &name {
            actors.taken.remove(name);
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
        actors
            .by_token
            .insert(token, Resident { actor: created, label, name, detached: actor.detached });
        drop(actors);
        // It may have ended before it was entered.
        if self.scheduler().actor_state(created) == Some(ActorState::Dead) {
            self.forget_actor(created);
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
    ) -> Result<()> {
        // The token is the first reference that a call holds.
        let token = job.held.first().copied();
        let resident = token.and_then(|token| {
            let actors = self.actors.read();
            actors.by_token.get(&token).map(|resident| (resident.actor, resident.label.clone()))
        });
        let Some((actor, label)) = resident else {
            self.release_all(&job);
            let actor = registry::actor_class(header.function).map_or("?", |class| class.name());
            return Err(Error::ActorDied {
                actor: actor.to_owned(),
                reason: "it was constructed by another session, or is gone".into(),
                cause: None,
            });
        };
        let call = NewCall { spec: job, dependencies, returns, retries: None, parent: None };
        self.scheduler().call(actor, caller, call).map(drop).map_err(|refused| {
            self.release_all(&refused.spec);
            match refused.why {
                CallRefusal::PendingLimit { limit } => Error::PendingCallsLimit {
                    actor: label,
                    pending: limit as u64,
                    limit: limit as u64,
                },
                _ => self.actor_died(actor, self.scheduler().actor_reason(actor).as_ref()),
            }
        })
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

    /// Kills the actor of this token.
    pub(crate) fn kill_actor(&self, token: ObjectId, restart: bool) {
        let actor = self.actors.read().by_token.get(&token).map(|resident| resident.actor);
        if let Some(actor) = actor {
            self.scheduler().kill_actor(actor, restart);
            self.dispatch();
        }
    }

    /// A handle in this process was dropped, perhaps the last.
    pub(crate) fn actor_handle_dropped(&self) {
        self.actor_dropped.store(true, Ordering::Release);
        self.doorbells.ring(ClientId::NODE);
    }

    pub(super) fn release_unreachable_actors(&self) {
        let gone: Vec<_> = {
            let actors = self.actors.read();
            let unreachable = |(token, resident): &(&ObjectId, &Resident)| {
                !resident.detached && self.client.status(**token) == Status::Gone
            };
            actors.by_token.iter().filter(unreachable).map(|(&token, r)| (token, r.actor)).collect()
        };
        for (token, actor) in gone {
            let name = self.forget_name(token);
            drop(name);
            self.scheduler().release_actor(actor);
        }
        self.dispatch();
    }

    pub(super) fn forget_name(&self, token: ObjectId) -> Option<String> {
        let mut actors = self.actors.write();
        let name = actors.by_token.get_mut(&token).and_then(|resident| resident.name.take());
        if let Some(name) = &name {
            actors.by_name.remove(name);
        }
        name
    }

    /// The actor ended for good.
    pub(super) fn forget_actor(&self, actor: ActorId) {
        let token = self.actors.read().by_id.get(&actor).copied();
        let Some(token) = token else { return };
        self.forget_name(token);
        // The entry stays while somebody may still call: the call is told why the actor died.
        if self.client.status(token) == Status::Gone {
            let mut actors = self.actors.write();
            actors.by_token.remove(&token);
            actors.by_id.remove(&actor);
        }
    }

    pub(super) fn actor_died(&self, actor: ActorId, reason: Option<&DeathReason<Cause>>) -> Error {
        let (token, label) = {
            let actors = self.actors.read();
            let token = actors.by_id.get(&actor).copied();
            let label = token.and_then(|token| Some(actors.by_token.get(&token)?.label.clone()));
            (token, label.unwrap_or_else(|| "?".into()))
        };
        let (reason, cause) = match reason {
            None => ("it ended".to_owned(), None),
            Some(DeathReason::CreationFailed) => {
                ("its constructor failed".to_owned(), token.and_then(|token| self.error_of(token)))
            }
            Some(DeathReason::Dependency { cause, .. }) => {
                ("an argument of its constructor failed".to_owned(), Some(cause.error()))
            }
            Some(DeathReason::Exited) => ("it exited on its own".to_owned(), None),
            Some(DeathReason::Killed) => ("it was killed by `kill`".to_owned(), None),
            Some(DeathReason::NoHandles) => ("its last handle was dropped".to_owned(), None),
            Some(DeathReason::Crashed { restarts, cause }) => {
                (format!("its process ended ({cause}) after {restarts} restarts"), None)
            }
            Some(other) => (format!("{other:?}"), None),
        };
        Error::ActorDied { actor: label, reason, cause: cause.map(Box::new) }
    }
}
