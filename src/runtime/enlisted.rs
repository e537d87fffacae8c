//! What a future left with the runtime to be woken, and takes back when it is given up.

use std::{
    fmt,
    sync::Arc,
    task::{Wake, Waker},
};

use rustyray_store::{ObjectId, Status};

use super::Core;

/// The waker that a future under somebody else's executor has among those that wait for an object, if it has one there.
/// It is taken back with this: the object may never be settled, and who waited may be gone long before.
#[derive(Default)]
pub(crate) struct Enlisted(Option<Box<Entry>>);

struct Entry {
    core: Arc<Core>,
    id: ObjectId,
    waker: OwnWaker,
}

/// A waker of one future, that wakes its task. All futures of a task have the same waker, and those that wait are told
/// apart by theirs: one that is given up would take back what another still waits by.
#[derive(Debug)]
pub(crate) struct OwnWaker {
    task: Waker,
    own: Waker,
}

struct Through(Waker);

impl Wake for Through {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
    }
}

impl OwnWaker {
    pub(crate) fn of(task: &Waker) -> OwnWaker {
        let own = Waker::from(Arc::new(Through(task.clone())));
        OwnWaker { task: task.clone(), own }
    }

    /// Whether it wakes this task.
    pub(crate) fn is_of(&self, task: &Waker) -> bool {
        self.task.will_wake(task)
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.own
    }
}

impl Enlisted {
    /// Has `waker` woken once the object is settled; `false` when it is.
    pub(super) fn enlist(&mut self, core: &Arc<Core>, id: ObjectId, waker: &Waker) -> bool {
        let known = self.0.take().filter(|entry| {
            entry.id == id && entry.waker.is_of(waker) && Arc::ptr_eq(&entry.core, core)
        });
        let entry = self.0.insert(known.unwrap_or_else(|| {
            let core = Arc::clone(core);
            Box::new(Entry { core, id, waker: OwnWaker::of(waker) })
        }));
        core.wake_when_settled(id, entry.waker.waker())
    }
}

impl fmt::Debug for Enlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Enlisted").field(&self.0.as_ref().map(|entry| entry.id)).finish()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Of what is settled it is taken out by whoever serves the doorbell.
        if !matches!(self.core.client.status(self.id), Status::Sealed | Status::Failed) {
            self.core.forget_waker(self.id, self.waker.waker());
        }
    }
}
