//! What a future left with the runtime to be woken, and takes back when it is given up.

use std::{fmt, sync::Arc, task::Waker};

use rustyray_store::{ObjectId, Status};

use super::Core;

/// The waker that a future under somebody else's executor has among those that wait for an object, if it has one there.
/// It is taken back with this: the object may never be settled, and who waited may be gone long before.
#[derive(Default)]
pub(crate) struct Enlisted(Option<Box<Entry>>);

struct Entry {
    core: Arc<Core>,
    id: ObjectId,
    waker: Waker,
}

impl Enlisted {
    /// Has `waker` woken once the object is settled; `false` when it is.
    pub(super) fn enlist(&mut self, core: &Arc<Core>, id: ObjectId, waker: &Waker) -> bool {
        let is_known = self.0.as_ref().is_some_and(|entry| {
            entry.id == id && entry.waker.will_wake(waker) && Arc::ptr_eq(&entry.core, core)
        });
        if !is_known {
            let entry = Entry { core: Arc::clone(core), id, waker: waker.clone() };
            self.0 = Some(Box::new(entry));
        }
        core.wake_when_settled(id, waker)
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
            self.core.forget_waker(self.id, &self.waker);
        }
    }
}
