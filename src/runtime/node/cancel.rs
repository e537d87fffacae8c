//! Cancelling: the task behind an object is found and stopped, or never begun.
//!
//! With all that it has submitted, which is found in three places: what a task has, by the scheduler's lists; what a call
//! by a line has, which the scheduler does not know, by what each task and call notes of its submitter; and what went by
//! a line itself, by those who sent it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustyray_scheduler::{CancelMode, Cursor, JobId, TaskState};
use rustyray_store::{ClientId, ObjectId, Status};

use super::{Node, key};
use crate::{cancel::CancelOptions, runtime::background, spec::Submitter};

/// How long a task whose driver is gone may take to notice.
const NOTICE: Duration = Duration::from_secs(2);
/// How many tasks are looked at in one turn.
const PAGE: usize = 256;

impl Node {
    /// Cancels what is to make the object. A worker that runs it is told by [`super::host::Host`].
    pub(crate) fn cancel(&self, id: ObjectId, options: CancelOptions) {
        self.cancel_all(vec![id], Vec::new(), options);
    }

    /// Cancels what the call by a line has submitted that makes the object; what of that went by a line itself, those
    /// who called it.
    pub(crate) fn cancel_within(&self, id: ObjectId, force: bool) {
        let call = Submitter::Call(id).to_word();
        self.cancel_all(Vec::new(), vec![call], CancelOptions { force, recursive: true });
    }

    /// Cancels what is to make the objects, and what calls by lines have submitted, which are named by their words.
    fn cancel_all(&self, ids: Vec<ObjectId>, calls: Vec<u64>, options: CancelOptions) {
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
        let mut all: Vec<_> =
            ids.into_iter().chain(self.submitted_by(&calls)).map(|id| (id, false)).collect();
        // All that is cancelled and may have called by lines.
        let mut submitters = calls;
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
                    if recursive {
                        let below = self.scheduler().descendants(task);
                        submitters.extend([task].iter().chain(&below).map(|task| task.to_bits()));
                    }
                    // In turn: who asks afterwards whether all were told is not to be answered before.
                    let mode = CancelMode { force, recursive };
                    let _ = self.scheduler().cancel_in_turn(task, mode);
                }
                None => {
                    submitters.extend(self.cancel_on_top(id, force, &mut children));
                    if self.client.status(id) == Status::Pending {
                        self.cancel_call(id);
                        let call = Submitter::Call(id).to_word();
                        if recursive {
                            children.extend(self.submitted_by(&[call]));
                        }
                        submitters.push(call);
                    }
                }
            }
            if recursive {
                all.extend(children.into_iter().map(|child| (child, false)));
            }
        }
        if recursive {
            self.cancel_calls_within(submitters, force);
        }
        drop(cancelling);
        self.dispatch();
    }

    /// What these calls by lines have submitted and is the scheduler's, or runs on top of something, by the first result
    /// of each. Nobody counts who submits what there: all tasks are looked at.
    fn submitted_by(&self, calls: &[u64]) -> Vec<ObjectId> {
        if calls.is_empty() {
            return Vec::new();
        }
        let mut found = self.on_top_by(calls);
        let mut from = Some(Cursor::default());
        while let Some(at) = from {
            let page = self.scheduler().tasks(at, PAGE, |info, spec| {
                let note = self.scheduler().note(info.id).unwrap_or_default();
                let is_theirs = Submitter::noted(note).is_some_and(|word| calls.contains(&word));
                spec.first_return().filter(|_| is_theirs)
            });
            found.extend(page.items.into_iter().flatten());
            from = page.next;
        }
        found
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
