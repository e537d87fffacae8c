//! Copies of what there is, for those who list it.

use super::{State, dispatch::Stall};
use crate::{
    ActorId, ActorInfo, Cursor, GroupId, GroupInfo, Host, JobId, Page, ResourceInfo, TaskId,
    TaskInfo, TaskState, WorkerId, WorkerInfo,
    gate::Phase,
    ids::split,
    ledger::Ledger,
    record::{CANCELLED, Place, Record},
    shared::Shared,
};

impl<H: Host> State<H> {
    /// At most `limit` tasks, from the cursor on; the page may be short when few of many records are live.
    pub(crate) fn tasks<R>(
        &self,
        shared: &Shared<H>,
        from: Cursor,
        limit: usize,
        view: &mut impl FnMut(&TaskInfo, &H::Spec) -> R,
    ) -> Page<R> {
        let (part, next) = shared.records.part(u32::try_from(from.0).unwrap_or(u32::MAX));
        let cursor = |index| Cursor(u64::from(index));
        let mut page = Page { items: Vec::new(), next: next.map(cursor) };
        for (task, record, phase) in part {
            if page.items.len() == limit {
                page.next = Some(cursor(split(task.to_bits()).0));
                break;
            }
            if self.is_housed(record) {
                continue;
            }
            let info = self.info(task, record, phase);
            // SAFETY: the record is live, and we own the token: nobody ends it meanwhile.
            page.items.push(view(&info, unsafe { record.spec() }));
        }
        page
    }

    /// Shows the spec of a record that is live.
    pub(super) fn look(&self, record: &Record<H::Spec>, look: impl FnOnce(&H::Spec)) {
        // SAFETY: the record is live, as the caller says, and we own the token: nobody ends it meanwhile.
        look(unsafe { record.spec() });
    }

    fn info(&self, id: TaskId, record: &Record<H::Spec>, phase: Phase) -> TaskInfo {
        let (index, _) = split(id.to_bits());
        let state = match (phase, record.place()) {
            (Phase::Waiting, _) => TaskState::Waiting { objects: record.gate.pending() },
            (_, Place::Worker) => {
                let worker = WorkerId(record.worker.get());
                let known = self.workers.get(usize::from(worker.0)).and_then(Option::as_ref);
                match known.and_then(|known| known.queue.first()) == Some(index) {
                    true => TaskState::Running { worker },
                    false => TaskState::Queued { worker },
                }
            }
            _ => TaskState::Ready,
        };
        let some = |bits: u64| Some(bits).filter(|&bits| bits != 0);
        TaskInfo {
            id,
            state,
            attempt: record.attempt.get(),
            max_retries: record.max_retries.get(),
            job: JobId(record.job.get()),
            parent: some(record.parent.get()).map(TaskId::from_bits),
            actor: some(record.actor.get()).map(ActorId::from_bits),
            group: some(record.group.get()).map(GroupId::from_bits),
        }
    }

    pub(crate) fn actor_page(
        &self,
        shared: &Shared<H>,
        from: Cursor,
        limit: usize,
    ) -> Page<ActorInfo> {
        page(&self.actors, from, limit, |actor| ActorInfo {
            id: actor.id,
            state: actor.state,
            worker: actor.worker,
            restarts: actor.restarts,
            unfinished: shared.actor(actor.id).map_or(0, |(gate, _)| gate.unfinished()),
            job: actor.job,
            group: actor.group,
        })
    }

    pub(crate) fn group_page(
        &self,
        shared: &Shared<H>,
        from: Cursor,
        limit: usize,
    ) -> Page<GroupInfo> {
        page(&self.groups, from, limit, |group| GroupInfo {
            id: group.shape.id,
            state: group.state,
            bundles: group
                .shape
                .needs
                .iter()
                .map(|need| Ledger::whole(need).resources(&shared.kinds.catalogue))
                .collect(),
            job: group.job,
        })
    }

    pub(crate) fn worker_infos(&self, shared: &Shared<H>) -> Vec<WorkerInfo> {
        let known = self.workers.iter().enumerate();
        known
            .filter_map(|(id, worker)| {
                let worker = worker.as_ref()?;
                let first = worker.queue.first().filter(|_| worker.actor.is_none());
                let retriable = match worker.actor {
                    Some(actor) => self.can_restart(actor),
                    None => first.is_some_and(|first| can_run_again(shared.records.at(first))),
                };
                Some(WorkerInfo {
                    id: WorkerId(id as u16),
                    pool: self.pools[worker.pool].id,
                    running: first.map(|first| shared.records.id(first)),
                    first: worker.queue.first().map(|first| shared.records.id(first)),
                    queued: worker.queue.len(),
                    actor: worker.actor,
                    blocked: worker.blocked > 0,
                    retired: worker.retired,
                    gpus: worker.lease.as_ref().map(|l| l.gpus.clone()).unwrap_or_default(),
                    since: worker.since,
                    retriable,
                })
            })
            .collect()
    }

    pub(crate) fn awaiting_workers(&self) -> usize {
        self.stalled(|stall| matches!(stall, Stall::Worker | Stall::Actors))
    }

    pub(crate) fn awaiting_places(&self) -> usize {
        self.stalled(|stall| stall == Stall::Actors)
    }

    pub(crate) fn idle_workers(&self) -> Vec<WorkerId> {
        self.pools.iter().flat_map(|pool| &pool.idle).copied().map(WorkerId).collect()
    }

    pub(crate) fn resources(&self, shared: &Shared<H>) -> ResourceInfo {
        ResourceInfo {
            total: shared.kinds.total.resources(&shared.kinds.catalogue),
            free: self.free.resources(&shared.kinds.catalogue),
        }
    }

    pub(crate) fn running_on<R>(
        &self,
        shared: &Shared<H>,
        worker: WorkerId,
        look: impl FnOnce(&H::Spec) -> R,
    ) -> Option<R> {
        let known = self.workers.get(usize::from(worker.0))?.as_ref()?;
        let first = known.queue.first().filter(|_| known.actor.is_none())?;
        let mut seen = None;
        self.look(shared.records.at(first), |spec| seen = Some(look(spec)));
        seen
    }

    pub(crate) fn actor_of(&self, worker: WorkerId) -> Option<ActorId> {
        self.workers.get(usize::from(worker.0))?.as_ref()?.actor
    }

    /// Counts, for those who print the scheduler.
    pub(crate) fn counts(&self) -> [(&'static str, usize); 3] {
        [
            ("ready", self.lanes.ready),
            ("workers", self.workers_len),
            ("actors", self.actors.iter().flatten().count()),
        ]
    }
}

fn can_run_again<S>(record: &Record<S>) -> bool {
    record.attempt.get() < record.max_retries.get() && !record.is(CANCELLED)
}

fn page<T, R>(all: &[Option<T>], from: Cursor, limit: usize, view: impl Fn(&T) -> R) -> Page<R> {
    let mut page = Page { items: Vec::new(), next: None };
    for (at, item) in all.iter().enumerate().skip(from.0 as usize) {
        if page.items.len() == limit {
            page.next = Some(Cursor(at as u64));
            break;
        }
        page.items.extend(item.as_ref().map(&view));
    }
    page
}
