//! Cancelling: the task behind an object is found and stopped, or never begun.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustyray_scheduler::{CancelMode, Cursor, JobId, TaskState};
use rustyray_store::{ClientId, ObjectId, Status};

use super::{Node, key};
use crate::{cancel::CancelOptions, runtime::background};

/// How long a task whose driver is gone may take to notice.
const NOTICE: Duration = Duration::from_secs(2);
/// How many tasks are looked at in one turn.
const PAGE: usize = 256;

impl Node {
    /// Cancels what is to make the object. A worker that runs it is told by [`super::host::Host`].
    pub(crate) fn cancel(&self, id: ObjectId, options: CancelOptions) {
        let CancelOptions { force, recursive } = options;
        if recursive {
            // What tasks have submitted before now is to be known of.
            for client in (1..=u8::MAX).map(ClientId::new) {
                if self.peers[client.index()].runs_tasks.load(Ordering::Relaxed) {
                    self.catch_up(client);
                }
            }
        }
        let cancelling = self.cancelling.lock();
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
                    // In turn: who asks afterwards whether all were told is not to be answered before.
                    let mode = CancelMode { force, recursive };
                    let _ = self.scheduler().cancel_in_turn(task, mode);
                }
                None => {
                    self.cancel_on_top(id, force, &mut children);
                    if self.client.status(id) == Status::Pending {
                        self.cancel_call(id);
                    }
                }
            }
            if recursive {
                all.extend(children.into_iter().map(|child| (child, false)));
            }
        }
        drop(cancelling);
        self.dispatch();
    }

    /// Returns when everybody has been told what was being cancelled.
    pub(crate) fn finish_cancelling(&self) {
        drop(self.cancelling.lock());
    }

    /// A driver is gone, and its tasks that ran were asked to stop: those that do not within a while are ended
    /// with their workers, which others wait for.
    pub(crate) fn pursue(self: &Arc<Self>, job: JobId) {
        let Ok(background) = background::handle() else { return };
        let node = Arc::clone(self);
        background.spawn(async move {
            let closed = node.pool.until_closed();
            if tokio::time::timeout(NOTICE, closed).await.is_err() {
                node.end_job(job).await;
            }
        });
    }

    async fn end_job(&self, job: JobId) {
        let options = CancelOptions { force: true, recursive: true };
        let mut from = Some(Cursor::default());
        while let Some(at) = from
            && !self.closing.load(Ordering::Acquire)
        {
            let page = self.scheduler().tasks(at, PAGE, |info, spec| {
                let runs = matches!(info.state, TaskState::Running { .. });
                let is_its = info.job == job && info.actor.is_none() && runs;
                spec.first_return().filter(|_| is_its)
            });
            page.items.into_iter().flatten().for_each(|id| self.cancel(id, options));
            from = page.next;
            tokio::task::yield_now().await;
        }
    }
}
