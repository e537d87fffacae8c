//! Objects that tasks wait for though no task of the scheduler makes them: what calls by direct lines give, of
//! which the node never hears.
//!
//! Whoever settles such an object wakes those who wait for it, the node among them, and tells it nothing. So the
//! node waits as a future does: its waker, which whoever serves the doorbell wakes, tells the scheduler.

use std::{
    sync::{Arc, Weak},
    task::{Wake, Waker},
};

use rustyray_store::{ObjectId, Status};

use super::{Node, key};

/// Tells the scheduler that an object is settled.
struct Tell {
    node: Weak<Node>,
    id: ObjectId,
}

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        if let Some(node) = self.node.upgrade() {
            node.scheduler().settled(key(self.id), node.readiness(self.id));
        }
    }
}

impl Node {
    /// What an object is that a task is to wait for; while it is pending, the scheduler is told when that changes.
    pub(super) fn await_for_task(self: &Arc<Self>, id: ObjectId) -> Status {
        let status = self.client.subscribe(id);
        if status != Status::Pending || self.scheduler().producer(key(id)).is_some() {
            // The end of the task that makes it tells the scheduler.
            return status;
        }
        let waker = Waker::from(Arc::new(Tell { node: Arc::downgrade(self), id }));
        self.wakers.insert(self.client.dirty_group(id), id, &waker);
        // It may have been settled before the waker was there to be found.
        self.client.subscribe(id)
    }
}
