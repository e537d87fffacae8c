//! The actor that lives in this process, as the code of the process knows it: who it is, and which calls
//! it made to itself.
//!
//! A method that waits for a call of its own actor waits for ever when that call cannot begin before the
//! method ends. That can be told for certain, so waiting for it is refused with [`Error::Deadlock`]:
//!
//! | the waiting call | the awaited call of the same actor | |
//! | --- | --- | --- |
//! | `&mut self` | any | cannot begin |
//! | `&self` | `&mut self` | cannot begin |
//! | `&self` | `&self`, in another lane, or in one that takes several calls | may begin |
//! | `&self` | `&self`, in the same lane, which takes one call | cannot begin |
//! | `on_start` | any | cannot begin |
//!
//! The awaited call is dropped: what was reported as a deadlock never runs. Waiting with a timeout is not
//! refused. Circles through other actors are not looked for: whether an actor in the circle will give up
//! waiting cannot be known.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use rustyray_store::ObjectId;

use super::{Core, submission::Extension};
use crate::{
    error::Error,
    registry::{ActorClass, Method},
    spec::Kind,
};

/// How many calls to itself are remembered before those that ended are looked for.
const MANY: usize = 1024;

/// See the module.
pub(crate) struct Occupant {
    class: &'static ActorClass,
    token: ObjectId,
    incarnation: u32,
    extension: Option<Arc<Extension>>,
    /// For each method its lane, and whether that takes one call only.
    lanes: Vec<(usize, bool)>,
    own: Mutex<Own>,
    /// How many there are, for those who would find none.
    count: AtomicUsize,
}

/// The calls of the actor to itself.
struct Own {
    calls: HashMap<ObjectId, OwnCall>,
    /// With so many, those that ended are looked for: twice as many as were left the last time.
    many: usize,
}

/// A call of the actor to itself.
struct OwnCall {
    method: u16,
    /// It was reported as a deadlock and is not run.
    is_dropped: bool,
}

impl Occupant {
    pub(crate) fn new(
        class: &'static ActorClass,
        token: ObjectId,
        incarnation: u32,
        extension: Option<Arc<Extension>>,
        lanes: Vec<(usize, bool)>,
    ) -> Occupant {
        Occupant {
            class,
            token,
            incarnation,
            extension,
            lanes,
            own: Mutex::new(Own { calls: HashMap::new(), many: MANY }),
            count: AtomicUsize::new(0),
        }
    }

    pub(crate) fn token(&self) -> ObjectId {
        self.token
    }

    /// Its name and what it occupies, where its options say.
    pub(crate) fn extension(&self) -> Option<&Arc<Extension>> {
        self.extension.as_ref()
    }

    /// How often the actor was constructed before.
    pub(crate) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Notes that the actor called itself.
    pub(crate) fn called(&self, core: &Core, result: ObjectId, method: u16) {
        let mut own = self.own.lock();
        if own.calls.len() >= own.many {
            own.calls.retain(|&id, call| call.is_dropped || core.is_pending(id));
            own.many = (2 * own.calls.len()).max(MANY);
        }
        own.calls.insert(result, OwnCall { method, is_dropped: false });
        self.count.store(own.calls.len(), Ordering::Relaxed);
        core.note_own_call();
    }

    /// A call begins; `false` when it must not, since it was reported as a deadlock.
    pub(crate) fn begins(&self, result: Option<ObjectId>) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let Some(result) = result else { return true };
        let mut own = self.own.lock();
        let call = own.calls.remove(&result);
        self.count.store(own.calls.len(), Ordering::Relaxed);
        !call.is_some_and(|call| call.is_dropped)
    }

    /// Fails `awaited` if the running call would wait for it for ever.
    pub(crate) fn refuse_deadlock(&self, core: &Core, awaited: ObjectId) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some((kind, waiting)) = crate::context::running_call() else { return };
        let mut own = self.own.lock();
        let Some(call) = own.calls.get_mut(&awaited) else { return };
        if !self.excludes(kind, waiting, call.method) {
            return;
        }
        call.is_dropped = true;
        let waiting = match kind {
            Kind::Method => self.method(waiting).map_or("?", |method| method.name),
            _ => "on_start",
        };
        let awaited_method = self.method(call.method).map_or("?", |method| method.name);
        let error = Error::Deadlock {
            actor: self.class.name().to_owned(),
            waiting: waiting.to_owned(),
            awaited: awaited_method.to_owned(),
        };
        drop(own);
        core.fail(awaited, 0, &error);
    }

    fn method(&self, index: u16) -> Option<&'static Method> {
        self.class.methods.get(usize::from(index))
    }

    /// Whether `awaited` cannot begin before `waiting` ends.
    fn excludes(&self, kind: Kind, waiting: u16, awaited: u16) -> bool {
        if kind != Kind::Method {
            return true;
        }
        let is_exclusive = |index| self.method(index).is_some_and(|method| method.is_exclusive);
        if is_exclusive(waiting) || is_exclusive(awaited) {
            return true;
        }
        let lane = |index: u16| self.lanes.get(usize::from(index));
        lane(waiting) == lane(awaited) && lane(waiting).is_some_and(|&(_, is_single)| is_single)
    }
}
