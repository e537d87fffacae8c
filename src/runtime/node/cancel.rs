//! Cancelling: the task behind an object is found and stopped, or never begun.
//!
//! With all that it has submitted, which is found in three places: what a task has, by the scheduler's lists; what a call
//! by a line has, which the scheduler does not know, by what each task and call notes of its submitter; and what went by
//! a line itself, by those who sent it.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustyray_scheduler::{CancelMode, Cursor, JobId, TaskId, TaskState};
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
        self.cancel_all(vec![id], HashSet::new(), options);
    }

    /// Has the calls by lines stopped that make the objects, each by the process that may be running it, and cancels what
    /// they have submitted; what of that went by a line itself, those who called it.
    pub(crate) fn cancel_calls(&self, calls: &[(ClientId, ObjectId)], force: bool) {
        self.interrupt_calls(calls);
        let words = calls.iter().map(|&(_, id)| Submitter::Call(id).to_word()).collect();
        self.cancel_all(Vec::new(), words, CancelOptions { force, recursive: true });
    }

    /// Cancels what is to make the objects, and what calls by lines have submitted, which are named by their words.
    fn cancel_all(&self, ids: Vec<ObjectId>, mut calls: HashSet<u64>, options: CancelOptions) {
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
        let mut all: Vec<_> = ids.into_iter().map(|id| (id, false)).collect();
        // All that is cancelled and may have called by lines.
        let mut submitters = Vec::new();
        loop {
            let Some((id, is_last)) = all.pop() else {
                if calls.is_empty() {
                    break;
                }
                // Of all calls that are known by now at once: it is one look at all tasks.
                all.extend(self.submitted_by(&calls).into_iter().map(|id| (id, false)));
                submitters.extend(mem::take(&mut calls));
                continue;
            };
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
            // In turn: who asks afterwards whether all were told is not to be answered before.
            match producer {
                Some(task) if recursive => {
                    let begun = self.scheduler().cancel_with_all(task, force);
                    submitters.extend(begun.into_iter().map(TaskId::to_bits));
                }
                Some(task) => {
                    let mode = CancelMode { force, recursive };
                    let _ = self.scheduler().cancel_in_turn(task, mode);
                }
                None => {
                    submitters.extend(self.cancel_on_top(id, force, &mut children));
                    if self.client.status(id) == Status::Pending {
                        self.cancel_call(id);
                        if recursive {
                            calls.insert(Submitter::Call(id).to_word());
                        }
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
    fn submitted_by(&self, calls: &HashSet<u64>) -> Vec<ObjectId> {
        #[cfg(test)]
        tests::SCANS.fetch_add(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, time::Instant};

    use super::*;
    use crate::{builder::Builder, prelude::*};

    /// How often all tasks were looked at for what calls have submitted.
    pub(super) static SCANS: AtomicUsize = AtomicUsize::new(0);

    const PATIENCE: Duration = Duration::from_secs(60);

    /// More than go by the node before there is a line.
    const OFTEN: u64 = 64;

    const MANY: usize = 64;

    /// Where many wait at once.
    #[rustyray::actor(max_concurrency = 128)]
    #[derive(Default)]
    struct Hall {
        waiting: AtomicUsize,
    }

    /// One of them, until it waits no more.
    struct Waiting<'a>(&'a AtomicUsize);

    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[rustyray::actor_methods]
    impl Hall {
        pub(super) fn new() -> Self {
            Hall::default()
        }

        pub(super) async fn waits(&self) -> u64 {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let _waiting = Waiting(&self.waiting);
            std::future::pending().await
        }

        pub(super) async fn how_many_wait(&self) -> usize {
            self.waiting.load(Ordering::Relaxed)
        }
    }

    #[rustyray::remote(num_cpus = 0)]
    async fn crowds(hall: HallHandle) -> rustyray::Result<u64> {
        for _ in 0..OFTEN {
            assert_eq!(hall.how_many_wait().await?.get().await?, 0);
        }
        let mut all = Vec::new();
        for _ in 0..MANY {
            all.push(hall.waits().await?);
        }
        Ok(rustyray::get_all(&all).await?.len() as u64)
    }

    #[test]
    fn all_tasks_are_looked_at_once_for_all_the_calls_by_lines_that_a_task_has_made() {
        crate::block_on(async {
            let runtime = Builder::new().num_cpus(1.0).visible(false).start().await?;
            let hall = Hall::remote().await?;
            let deadline = Instant::now() + PATIENCE;
            let wait = || {
                assert!(Instant::now() < deadline, "it never comes");
                tokio::time::sleep(Duration::from_millis(1))
            };
            let task = crowds_remote::remote(&hall).await?;
            while hall.how_many_wait().await?.get().await? < MANY {
                wait().await;
            }
            let before = SCANS.load(Ordering::Relaxed);
            let scans = || SCANS.load(Ordering::Relaxed) - before;
            task.cancel(CancelOptions { force: false, recursive: true }).await?;
            while hall.how_many_wait().await?.get().await? > 0 || scans() == 0 {
                wait().await;
            }
            assert_eq!(scans(), 1, "for {MANY} calls");
            runtime.shutdown().await
        })
        .expect("it ends");
    }
}
