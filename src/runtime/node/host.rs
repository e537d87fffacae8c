//! The node as the host of its scheduler.

use std::sync::{Arc, Weak, atomic::Ordering};

use rustyray_ipc::Ticket;
use rustyray_scheduler::{
    ActorId, DeathReason, Failure, GpuShare, GroupId, GroupState, Host as SchedulerHost, ObjectKey,
    PoolId, QueueFull, Readiness, TaskId, WorkerId,
};
use rustyray_store::{Status, without_waiting};

use super::{Node, cause::Cause, client_of, id, job::Job, key};
use crate::{
    error::Error,
    runtime::{pool, trace::Span, wire::ToClient},
    spec::{self, ENTRY_WORDS, HEADER_WORDS},
};

/// The places in a worker's queue that only the order to end takes, which is given once.
const FOR_THE_END: usize = 1;

impl Node {
    /// Writes into `words`, which are the job's or a head of them, which attempt they are for.
    pub(super) fn address(&self, words: &mut [u64], job: &Job, task: u64, attempt: u16) {
        if attempt > 0 {
            for &id in job.returns.as_slice() {
                // Settled or gone: the attempt finds that out itself.
                let _ = self.store.set_attempt(id, attempt);
            }
            if job.is_stream()
                && let Some(end) = job.first_return()
                && let Some(grant) = self.stream_head(end)
            {
                spec::regrant(words, grant);
            }
        }
        let retried = job.retries.on_error && attempt < job.retries.max;
        spec::address(words, task, attempt, retried);
    }

    /// A job has ended, in whatever way: who waits for it is told, and what it held is let go.
    pub(super) fn job_is_over(&self, task: TaskId, attempt: u16, job: Job) {
        let (mut failed, mut keeps) = (None, false);
        for &id in job.returns.as_slice() {
            match self.readiness(id) {
                // What was lost while its task ran again is made by a further run.
                Readiness::Pending if job.again.is_some() => {}
                Readiness::Pending => {
                    // Its words were lost, and nobody could tell what it was to make.
                    let reason = format!("`{}` ended without it", job.name());
                    let lost = Error::ObjectLost { object: id.to_string(), reason };
                    self.settle_failed(id, &lost);
                    failed.get_or_insert(id);
                }
                settled => {
                    match settled {
                        Readiness::Failed => {
                            failed.get_or_insert(id);
                        }
                        _ => keeps |= self.is_worth_lineage(id),
                    }
                    self.scheduler().settled(key(id), settled);
                }
            }
        }
        if let Some(id) = failed {
            self.remember_failure(task, attempt, &job, id);
        }
        if job.is_limited
            && let Some(token) = job.called()
        {
            self.discount_call(token);
        }
        match &job.again {
            Some(_) => self.ended_again(job, attempt),
            None if keeps && job.keeps_lineage() => self.keep_lineage(job, attempt),
            None => self.release_all(&job),
        }
    }
}

/// The node, as its scheduler sees it.
pub(crate) struct Host(pub(super) Weak<Node>);

impl Host {
    fn node(&self) -> Option<Arc<Node>> {
        self.0.upgrade()
    }
}

impl SchedulerHost for Host {
    type Spec = Job;
    type Cause = Cause;

    fn subscribe(&self, object: ObjectKey) -> Readiness {
        let Some(node) = self.node() else { return Readiness::Failed };
        match node.await_for_task(id(object)) {
            Status::Pending => Readiness::Pending,
            Status::Sealed => Readiness::Ready,
            _ => Readiness::Failed,
        }
    }

    fn cause(&self, object: ObjectKey) -> Cause {
        let id = id(object);
        let error =
            self.node().and_then(|node| node.error_of(id)).unwrap_or_else(|| Error::ObjectLost {
                object: id.to_string(),
                reason: "it was released before the task that takes it could run".into(),
            });
        Cause::Failed(Arc::new(error))
    }

    fn push(
        &self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        job: &Job,
    ) -> std::result::Result<u64, QueueFull> {
        let node = self.node().ok_or(QueueFull)?;
        let client = client_of(worker);
        let mut entry = [0; ENTRY_WORDS];
        let len = if job.words.len() <= ENTRY_WORDS {
            spec::write_entry(&job.words, &mut entry)
        } else {
            let body = match job.body.get() {
                Some(body) => **body,
                None => {
                    let bytes = spec::bytes_of(&job.words[HEADER_WORDS..]);
                    // Nothing is placed meanwhile, so nobody waits for room here: the task stays ready.
                    let put = without_waiting(|| node.client.put_bytes(&bytes));
                    let body = put.map_err(|_| {
                        node.lacks_room.store(true, Ordering::Relaxed);
                        QueueFull
                    })?;
                    if let Err(body) = job.body.set(Box::new(body)) {
                        node.client.release(*body);
                    }
                    job.body.get().map_or(body, |body| **body)
                }
            };
            let head = spec::head_of(&job.words, body);
            entry[..head.len()].copy_from_slice(&head);
            head.len()
        };
        node.address(&mut entry, job, task.to_bits(), attempt);
        node.memory.arm();
        let peer = &node.peers[client.index()];
        Span::dispatch(&entry[..len], || job.first_return(), &peer.pid).enter(|| {
            let ticket = match &*peer.work.read() {
                Some(work) => {
                    work.push_sparing(FOR_THE_END, &entry[..len]).map_err(|_| QueueFull)?
                }
                None => return Err(QueueFull),
            };
            node.doorbells.ring(client);
            Ok(ticket.get())
        })
    }

    fn take_back(&self, worker: WorkerId, ticket: u64) -> bool {
        let Some(node) = self.node() else { return false };
        let peer = &node.peers[client_of(worker).index()];
        peer.work.read().as_ref().is_some_and(|work| work.take_back(Ticket::from_raw(ticket)))
    }

    fn need_workers(&self, pool: PoolId, how_many: usize) {
        if let Some(node) = self.node() {
            pool::start(&node, pool, how_many);
        }
    }

    fn fail(&self, task: TaskId, job: &Job, why: Failure<Cause>) {
        let Some(node) = self.node() else { return };
        if matches!(why, Failure::Withdrawn) {
            return node.relief.withdrawn(task);
        }
        if let Some(line) = job.attached_line() {
            // Nothing was claimed from it, so nobody is told how.
            return node.close_line(line, None);
        }
        let task = job.name();
        let error = match why {
            Failure::Dependency { object, cause } => {
                let dependency = id(object).to_string();
                Error::downstream(task, dependency, cause.error())
            }
            Failure::WorkerDied { attempt, cause, .. } => cause.error_of(task, attempt),
            Failure::Cancelled | Failure::JobEnded => Error::TaskCancelled { task },
            Failure::GroupRemoved { .. } => {
                Error::PlacementGroupRemoved { what: format!("`{task}` ran in it, or was to") }
            }
            Failure::ActorDied { actor, reason } => node.actor_died(actor, Some(&reason)),
            Failure::ActorUnavailable { actor, cause } => {
                Error::ActorUnavailable { actor: node.label_of(actor), reason: cause.to_string() }
            }
            other => Error::TaskFailed {
                task,
                worker: 0,
                attempt: 0,
                message: format!("{other:?}"),
                cause: None,
            },
        };
        let error = match &job.again {
            Some(again) if !matches!(error, Error::TaskCancelled { .. }) => again.failed(&error),
            _ => error,
        };
        job.returns.as_slice().iter().for_each(|&id| node.settle_failed(id, &error));
    }

    fn finished(&self, task: TaskId, attempt: u16, job: Job) {
        let Some(node) = self.node() else { return };
        if let Some(job) = node.keep_withdrawn(task, attempt, job) {
            node.job_is_over(task, attempt, job);
        }
    }

    fn kill(&self, worker: WorkerId) {
        if let Some(node) = self.node() {
            node.kill(client_of(worker));
        }
    }

    fn granted(&self, worker: WorkerId, gpus: &[GpuShare]) {
        let Some(node) = self.node() else { return };
        let client = client_of(worker);
        let told = {
            let work = node.peers[client.index()].work.read();
            let entries = spec::gpus(gpus.iter().map(|held| (held.gpu, held.share)));
            work.as_ref().is_some_and(|work| {
                entries.iter().all(|entry| work.push_sparing(FOR_THE_END, entry).is_ok())
            })
        };
        if !told {
            // It would run with gpus that are not its own.
            node.kill(client);
        }
    }

    fn interrupt(&self, worker: WorkerId, task: TaskId, _: u16) {
        if let Some(node) = self.node() {
            node.tell(client_of(worker), &ToClient::Interrupt { task: task.to_bits() });
        }
    }

    fn review_wanted(&self) {
        if let Some(node) = self.node() {
            node.reviews.arm();
        }
    }

    fn stop(&self, worker: WorkerId) {
        if let Some(node) = self.node() {
            node.stop(client_of(worker));
        }
    }

    fn group_changed(&self, group: GroupId, state: GroupState) {
        let Some(node) = self.node() else { return };
        match state {
            GroupState::Pending => {}
            GroupState::Ready => node.group_is_ready(group),
            GroupState::Removed => node.group_is_gone(group),
        }
    }

    fn actor_changed(
        &self,
        actor: ActorId,
        state: rustyray_scheduler::ActorState,
        reason: Option<&DeathReason<Cause>>,
    ) {
        if state == rustyray_scheduler::ActorState::Dead
            && let Some(node) = self.node()
        {
            node.forget_actor(actor, reason);
            // Its process may be as good as before, when it was never constructed.
            node.watch_spares();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::OnceLock,
        time::{Duration, Instant},
    };

    use nix::sys::signal::Signal;
    use rustyray_scheduler::Retries;
    use rustyray_store::ClientId;

    use super::{super::job::Words, *};
    use crate::{
        Builder,
        call::Ids,
        runtime::{Link, program},
    };

    fn job(words: Words, returns: Ids) -> Job {
        Job {
            words,
            returns,
            held: Vec::new(),
            holds_returns: false,
            retries: Retries::NONE,
            pool: program::OWN,
            name: Some("never".into()),
            body: OnceLock::new(),
            is_limited: false,
            again: None,
        }
    }

    #[test]
    fn what_a_task_was_to_make_and_did_not_is_lost_when_it_is_over() {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let id = node.client.reserve().expect("room");
        node.job_is_over(TaskId::from_bits(0), 0, job(Words::new(), Ids::One(id)));
        let error = node.error_of(id);
        assert!(matches!(&error, Some(Error::ObjectLost { .. })), "{error:?}");
        node.client.release(id);
        crate::block_on(runtime.shutdown()).expect("it ends");
    }

    #[test]
    fn a_worker_whose_queue_is_full_can_be_told_to_end() {
        let builder = Builder::new().num_cpus(1.0).visible(false).shutdown_grace(Duration::MAX);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let runs_tasks =
            |&client: &u8| node.peers[usize::from(client)].runs_tasks.load(Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_secs(60);
        let client = loop {
            match (1..=u8::MAX).find(runs_tasks) {
                Some(client) => break ClientId::new(client),
                None => assert!(Instant::now() < deadline, "there is no worker"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let peer = &node.peers[client.index()];
        let signal = |signal| {
            let process = peer.process.lock();
            process.as_ref().expect("it lives").signal(signal).expect("it can be told");
        };
        signal(Signal::SIGSTOP);
        let status = format!("/proc/{}/stat", peer.pid.load(Ordering::Relaxed));
        while !std::fs::read_to_string(&status).expect("it lives").contains(") T ") {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::yield_now();
        }
        // Of these it takes as many as there are.
        let nothing = spec::gpus([]).remove(0);
        let nothing = job(Words::from_slice(&nothing), Ids::Several([].into()));
        let (host, worker) = (Host(Arc::downgrade(node)), WorkerId(u16::from(client.get())));
        while host.push(worker, TaskId::from_bits(0), 0, &nothing).is_ok() {}
        node.stop(client);
        signal(Signal::SIGCONT);
        crate::block_on(runtime.shutdown()).expect("it ends");
        assert!(!peer.killed.load(Ordering::Relaxed), "it ended by itself");
    }
}
