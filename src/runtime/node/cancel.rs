//! Cancelling: the task behind an object is found and stopped, or never begun.

use rustyray_scheduler::CancelMode;
use rustyray_store::ObjectId;

use super::{Node, key};
use crate::cancel::CancelOptions;

impl Node {
    /// Cancels what is to make the object. A worker that runs it is told by [`super::host::Host`].
    pub(crate) fn cancel(&self, id: ObjectId, options: CancelOptions) {
        let CancelOptions { force, recursive } = options;
        if let Some(task) = self.scheduler().producer(key(id)) {
            let _ = self.scheduler().cancel(task, CancelMode { force, recursive });
            self.dispatch();
        } else {
            self.interrupt_on_top(id);
        }
    }
}
