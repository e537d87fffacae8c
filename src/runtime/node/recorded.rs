//! Recorded tasks, as observers are told of them; and what is recorded of those whose process was killed.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
};

use rustyray_ipc::{Begun, UnderWay};
use rustyray_memory::Scale;
use rustyray_scheduler::{TaskId, TaskInfo, TaskState, WorkerId};
use rustyray_store::{ClientId, ObjectId};

use super::{
    Node,
    inspect::{call_number, kind_of, number},
    job::Job,
};
use crate::{
    runtime::record::{End, Ended, NO_ACTOR, Newest},
    spec::{self, HEADER_WORDS, Submitter},
    state,
};

impl Node {
    /// The tasks that were recorded, the newest first, and what their times mean.
    pub(super) fn recorded(&self) -> (Newest<'_>, Scale) {
        for peer in &self.peers {
            if let Some(inbound) = &mut *peer.up.lock() {
                self.record.put_away(&mut inbound.batch);
            }
        }
        // In this order: no task that is recorded ends after the scale does.
        (self.record.newest(), self.record.scale())
    }

    /// The same without those attempts that are listed with their errors, as failures.
    pub(super) fn recorded_beside(
        &self,
        failures: &HashSet<(u64, u16)>,
    ) -> (impl Iterator<Item = Ended>, Scale) {
        let (recorded, scale) = self.recorded();
        let is_told = |ended: &Ended| match ended.end {
            End::Failed | End::Killed => failures.contains(&(ended.task, ended.attempt)),
            End::Finished | End::Retried => false,
        };
        (recorded.filter(move |ended| !is_told(ended)), scale)
    }

    pub(super) fn ended_task(&self, ended: &Ended, scale: &Scale) -> state::TaskInfo {
        let mut task = state::TaskInfo::default();
        task.id = if ended.task == 0 {
            // A call that came by a direct line has no number; what it returned names it.
            call_number(ended.returns)
        } else {
            number(ended.task)
        };
        task.name = self
            .texts
            .get(ended.name)
            .unwrap_or_else(|| spec::name_of(ended.kind, ended.function, ended.index));
        let [first, second] = ended.submitter;
        task.parent = Submitter::from_words(first, second).map(|submitter| match submitter {
            Submitter::Task(task) => number(task),
            Submitter::Call(returns) => call_number(returns),
        });
        task.actor = match ended.kind {
            spec::Kind::Construct => Some(ended.returns.to_string()),
            _ => Some(ended.actor).filter(|&actor| actor != NO_ACTOR).map(|id| id.to_string()),
        };
        task.state = match ended.end {
            End::Finished => state::TaskState::Finished,
            End::Failed | End::Retried | End::Killed => state::TaskState::Failed,
        };
        task.error = match ended.end {
            End::Retried => Some("this attempt failed, and the task was run again".to_owned()),
            End::Killed => Some("its process ended during this attempt".to_owned()),
            // Of a call by a direct line, or of one of more failures than are kept.
            End::Failed => Some("it failed, and its error is known to its caller alone".to_owned()),
            End::Finished => None,
        };
        task.kind = kind_of(ended.kind);
        task.worker = Some(ended.worker);
        task.attempt = ended.attempt;
        task.returns = Some(ended.returns.to_string());
        task.started_ns = Some(scale.ns(ended.began));
        task.duration_ns = Some(scale.ns(ended.ended) - scale.ns(ended.began));
        task
    }

    /// Says of failed tasks when they ran, where that was recorded.
    pub(super) fn date_failures(&self, rows: &mut [state::TaskInfo]) {
        let failed = rows.iter_mut().filter(|row| row.state == state::TaskState::Failed);
        let mut undated: HashMap<(String, u16), &mut state::TaskInfo> = failed
            .filter(|row| row.started_ns.is_none())
            .map(|row| ((row.id.clone(), row.attempt), row))
            .collect();
        if undated.is_empty() {
            return;
        }
        let (recorded, scale) = self.recorded();
        for ended in recorded.filter(|ended| matches!(ended.end, End::Failed | End::Killed)) {
            if let Some(row) = undated.remove(&(number(ended.task), ended.attempt)) {
                let dated = self.ended_task(&ended, &scale);
                (row.started_ns, row.duration_ns) = (dated.started_ns, dated.duration_ns);
                row.worker = row.worker.or(dated.worker);
                row.parent = dated.parent;
            }
            if undated.is_empty() {
                break;
            }
        }
    }

    /// When the task began that runs in a process, where that is recorded.
    pub(super) fn began(&self, client: ClientId, task: TaskId) -> Option<u64> {
        let under_way = Begun::new(self.control.begun(client)).get()?;
        (under_way.task == task.to_bits()).then_some(under_way.began)
    }

    /// Records the attempt that a process was at when it was killed. What it published before was served.
    pub(super) fn record_killed(&self, client: ClientId) {
        let begun = Begun::new(self.control.begun(client));
        let Some(UnderWay { began, task, attempt }) = begun.get() else { return };
        begun.clear();
        let worker = self.peers[client.index()].pid.load(Ordering::Relaxed);
        let here = WorkerId(u16::from(client.get()));
        // It may have ended, and been reported, before its process was killed.
        let ended = self.scheduler().task(TaskId::from_bits(task), |info: &TaskInfo, job: &Job| {
            let is_here = match info.state {
                TaskState::Queued { worker } | TaskState::Running { worker } => worker == here,
                TaskState::Waiting { .. } | TaskState::Ready => false,
            };
            let is_it = is_here && info.attempt == attempt;
            let header = job.header().filter(|_| is_it)?;
            let parts = header.split(job.words.get(HEADER_WORDS..)?).ok()?;
            Some(Ended {
                task,
                function: header.function,
                began,
                ended: self.record.clock().ticks(),
                returns: job.first_return().unwrap_or(ObjectId { index: 0, generation: 0 }),
                worker,
                attempt,
                index: header.index,
                kind: header.kind,
                end: End::Killed,
                name: job.own_name().map_or(0, |name| self.texts.say(name)),
                submitter: parts.submitter.map_or([0; 2], Submitter::to_words),
                actor: NO_ACTOR,
            })
        });
        if let Some(ended) = ended.flatten()
            && let Some(inbound) = &mut *self.peers[client.index()].up.lock()
        {
            inbound.batch.note_killed(ended);
        }
    }
}
