//! Cancelling: the task behind an object is found and stopped, or never begun.

use rustyray_scheduler::CancelMode;
use rustyray_store::ObjectId;

use super::{Node, key};
use crate::cancel::CancelOptions;

impl Node {
    /// Cancels what is to make the object. A worker that runs it is told by [`super::host::Host`].
    pub(crate) fn cancel(&self, id: ObjectId, options: CancelOptions) {
        let CancelOptions { force, recursive } = options;
        let mut all = vec![(id, false)];
        while let Some((id, is_last)) = all.pop() {
            let producer = self.scheduler().producer(key(id));
            // First what runs on top of others, which is out of the scheduler's sight: with a worker that is killed
            // it would come back as one more attempt.
            if recursive
                && !is_last
                && let Some(task) = producer
                && let tops @ [_, ..] = &*self.on_top_within(task)
            {
                all.push((id, true));
                all.extend(tops.iter().map(|&top| (top, false)));
                continue;
            }
            let mut children = Vec::new();
            match producer {
                Some(task) => {
                    let _ = self.scheduler().cancel(task, CancelMode { force, recursive });
                }
                None => self.cancel_on_top(id, force, &mut children),
            }
            if recursive {
                all.extend(children.into_iter().map(|child| (child, false)));
            }
        }
        self.dispatch();
    }
}
