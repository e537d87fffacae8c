//! What the node tells observers: a walk over its tables, a bounded part at a time.
//!
//! It runs on the background thread, among everything else that is done there, so it gives way after each part.

#![expect(
    clippy::field_reassign_with_default,
    reason = "a row with many fields is filled in from several sources"
)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::Ordering,
    time::Duration,
};

use rustyray_ipc::Connection;
use rustyray_scheduler::{
    ActorId, ActorState, Cursor, GroupId, GroupState, PoolId, ResourceInfo, Resources, TaskInfo,
    TaskState, UNITS_PER_ONE, WorkerId,
};
use rustyray_store::{ClientId, ClientSet, ObjectId, Residence};
use tokio::time::timeout;

use super::{Node, client_of, job::Job};
use crate::{
    error::{Error, Result},
    runtime::{
        history::Failed,
        pool::TELLING,
        record::{End, Ended},
        wire::{ToClient, ToNode},
    },
    spec::{self, Kind},
    state::{self, Listing, Logs, Query, Report},
    type_name,
};

/// Rows of one message.
const PART: usize = 2048;
/// Tasks, actors and groups that are looked at in one go.
const PAGE: usize = 256;
/// Slots of the object table that are looked at in one go.
const SLOTS: u32 = 4096;
/// The most rows of one listing.
const MOST: u64 = 200_000;

/// Answers an observer until its connection ends, or the node closes. Who waits for what workers write is answered
/// until these have ended, and told all that they wrote.
pub(crate) async fn serve(node: &Node, connection: &Connection) {
    let (mut watch, mut follower) = (None, None);
    loop {
        let message = tokio::select! {
            message = connection.recv() => message,
            () = over(node, follower.is_some()) => return,
        };
        let Ok(Some(message)) = message else { return };
        let Ok(ToNode::Inspect { query }) = ToNode::from_bytes(&message.bytes) else { return };
        if matches!(&query, Query::Logs(logs) if logs.wait_ms > 0) {
            follower.get_or_insert_with(|| node.pool.output.follower());
        }
        let answered = tokio::select! {
            answered = answer(node, connection, query, &mut watch) => answered,
            () = over(node, follower.is_some()) => false,
        };
        if !answered {
            return;
        }
    }
}

/// Ready when nothing more is said to an observer: it may have stopped reading, and keeps nothing of the node.
async fn over(node: &Node, is_follower: bool) {
    node.pool.until_closed().await;
    if is_follower {
        node.pool.emptied().await;
        tokio::time::sleep(TELLING).await;
    }
}

/// Tells the lines that are asked for as soon as there are any; `false` when they were the last.
async fn follow(node: &Node, connection: &Connection, logs: &Logs) -> bool {
    let wait = Duration::from_millis(logs.wait_ms);
    let (lines, more) = tokio::select! {
        lines = timeout(wait, node.pool.output.next_lines(logs)) => (lines.unwrap_or_default(), true),
        () = node.pool.emptied() => (node.pool.output.lines(logs), false),
    };
    rows(connection, Ok(lines), Report::Lines).await && more
}

/// Answers one question; `false` when that could not be done.
async fn answer<'a>(
    node: &'a Node,
    connection: &Connection,
    query: Query,
    watch: &mut Option<Watch<'a>>,
) -> bool {
    // What clients have published and nobody has looked at belongs to the present.
    node.help();
    match query {
        Query::Node => say(connection, Report::Node(Box::new(node.overview().await)), true).await,
        Query::Tasks(listing) => rows(connection, node.tasks(&listing).await, Report::Tasks).await,
        Query::CountTasks => {
            rows(connection, Ok(node.count_tasks().await), Report::TaskCounts).await
        }
        Query::Actors(listing) => {
            rows(connection, node.list_actors(&listing), Report::Actors).await
        }
        Query::Objects(listing) => {
            rows(connection, node.objects(&listing).await, Report::Objects).await
        }
        Query::Workers(listing) => rows(connection, node.workers(&listing), Report::Workers).await,
        Query::Groups(listing) => rows(connection, node.groups(&listing), Report::Groups).await,
        Query::Logs(logs) if logs.wait_ms > 0 => follow(node, connection, &logs).await,
        Query::Logs(logs) => {
            rows(connection, Ok(node.pool.output.lines(&logs)), Report::Lines).await
        }
        Query::Record => {
            watch.get_or_insert_with(|| node.watch());
            say(connection, Report::Recording, true).await
        }
    }
}

/// While it lives, tasks that end are recorded.
pub(crate) struct Watch<'a>(&'a Node);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.0.record.leave() {
            self.0.control.set_recording(None);
        }
    }
}

async fn say(connection: &Connection, report: Report, last: bool) -> bool {
    connection.send(&ToClient::Report { report, last }.to_bytes(), &[]).await.is_ok()
}

/// Sends the rows in parts; the last part, which may be empty, says so.
async fn rows<R: Clone>(
    connection: &Connection,
    rows: Result<Vec<R>>,
    report: fn(Vec<R>) -> Report,
) -> bool {
    match rows {
        Ok(mut rows) => {
            while rows.len() > PART {
                let rest = rows.split_off(PART);
                if !say(connection, report(rows), false).await {
                    return false;
                }
                rows = rest;
            }
            say(connection, report(rows), true).await
        }
        Err(error) => {
            let refused = ToClient::Refused { error: error.to_bytes() };
            connection.send(&refused.to_bytes(), &[]).await.is_ok()
        }
    }
}

/// Takes the rows that are wanted, up to the limit.
struct Taking<'a, R> {
    listing: &'a Listing,
    limit: usize,
    rows: Vec<R>,
}

impl<'a, R: state::Row> Taking<'a, R> {
    fn new(listing: &'a Listing) -> Result<Self> {
        listing.check::<R>()?;
        Ok(Taking { listing, limit: listing.limit.min(MOST) as usize, rows: Vec::new() })
    }

    /// `false` once there is no room for more.
    fn take(&mut self, row: R) -> bool {
        if self.rows.len() < self.limit && self.listing.takes(&row) {
            self.rows.push(row);
        }
        self.rows.len() < self.limit
    }
}

impl Node {
    /// Has tasks that end recorded.
    pub(crate) fn watch(&self) -> Watch<'_> {
        if self.record.watch() {
            self.control.set_recording(Some(self.record.clock()));
        }
        Watch(self)
    }

    /// The process id behind each number; 0 for none.
    fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> =
            self.peers.iter().map(|peer| peer.pid.load(Ordering::Relaxed)).collect();
        pids[ClientId::NODE.index()] = std::process::id();
        pids
    }

    pub(crate) async fn overview(&self) -> state::NodeInfo {
        let mut node = state::NodeInfo::default();
        node.pid = std::process::id();
        node.session = format!("{:016x}", self.pool.session);
        node.version = env!("CARGO_PKG_VERSION").to_owned();
        node.program = self.pool.programs.own().path.clone();
        node.daemon = self.pool.daemon;
        node.sockets = self.pool.sockets.iter().map(|path| path.display().to_string()).collect();
        node.uptime_ms = self.pool.started.elapsed().as_millis() as u64;
        node.resources = resources(&self.scheduler().resources());
        node.store = self.store_overview();
        node.recording = self.record.is_watched();
        node.started_unix_ms = self.pool.started_at_ms;
        let totals = &mut node.totals;
        let workers = self.scheduler().workers();
        totals.workers = workers.len() as u64;
        totals.idle_workers =
            workers.iter().filter(|w| w.queued == 0 && w.actor.is_none()).count() as u64;
        totals.drivers = self.drivers().count() as u64;
        let mut alive = 0;
        let mut from = Some(Cursor::default());
        while let Some(at) = from {
            let page = self.scheduler().actors(at, PAGE);
            let count = |counts: fn(ActorState) -> bool| {
                page.items.iter().filter(|actor| counts(actor.state)).count() as u64
            };
            totals.actors += count(|state| state != ActorState::Dead);
            alive += count(|state| state == ActorState::Alive);
            from = page.next;
            tokio::task::yield_now().await;
        }
        // The creations of actors that live are no tasks any more.
        totals.tasks = (self.scheduler().live() as u64).saturating_sub(alive);
        let held: usize = workers.iter().map(|worker| worker.queued).sum();
        totals.queued_tasks = totals.tasks.saturating_sub(held as u64);
        totals.crowded_out = self.crowded_out() as u64;
        for peer in &self.peers {
            totals.finished_tasks += peer.ends.finished.get();
            totals.retried_tasks += peer.ends.retried.get();
        }
        totals.retried_tasks += self.scheduler().attempts_lost();
        totals.failed_tasks = self.history.failed.load(Ordering::Relaxed);
        totals.crashed_workers = self.history.crashed_workers.load(Ordering::Relaxed);
        node
    }

    fn store_overview(&self) -> state::Store {
        let stats = self.store.stats();
        let mut store = state::Store::default();
        store.capacity_bytes = stats.capacity_bytes;
        store.used_bytes = stats.used_bytes;
        store.peak_used_bytes = stats.peak_used_bytes;
        store.spilled_bytes = stats.spilled_bytes;
        store.objects = stats.objects;
        store.pinned_bytes = self.store.pinned_bytes();
        store
    }

    /// Attached processes that run no tasks.
    fn drivers(&self) -> impl Iterator<Item = (u32, PoolId)> {
        self.peers.iter().filter_map(|peer| {
            let pid = peer.pid.load(Ordering::Relaxed);
            let is_driver = pid != 0
                && !peer.runs_tasks.load(Ordering::Relaxed)
                && !peer.stopping.load(Ordering::Relaxed);
            is_driver.then(|| (pid, PoolId(peer.pool.load(Ordering::Relaxed))))
        })
    }

    async fn tasks(&self, listing: &Listing) -> Result<Vec<state::TaskInfo>> {
        listing.check::<state::TaskInfo>()?;
        let limit = listing.limit.min(MOST) as usize;
        let pids = self.pids();
        let full = |info: &TaskInfo, job: &Job| {
            (*info, job.name(), job.header().map(|header| header.kind), job.first_return())
        };
        let row = |(info, name, kind, returns): (TaskInfo, _, _, _)| {
            self.task(&info, name, kind, returns, &pids)
        };
        // What runs is first in some worker's queue.
        let workers = match listing.may_take("state", "running") {
            true => self.scheduler().workers(),
            false => Vec::new(),
        };
        let running: Vec<_> = workers
            .iter()
            .filter_map(|worker| {
                let found = self.scheduler().task(worker.first?, full)?;
                Some((row(found), self.began(client_of(worker.id), worker.first?)))
            })
            .collect();
        // After all of them began.
        let scale = self.record.scale();
        let dated = running.into_iter().map(|(mut task, began)| {
            task.started_ns = began.map(|ticks| scale.ns(ticks));
            task
        });
        let mut rows: Vec<state::TaskInfo> = dated.collect();
        rows.retain(|task| task.state == state::TaskState::Running && listing.takes(task));
        let failures = match listing.may_take("state", "failed") {
            true => self.history.failures(),
            false => Vec::new(),
        };
        rows.extend(failures.iter().map(failed_task).filter(|task| listing.takes(task)));
        // The others that live, until there are enough: of many more than that not all are looked at.
        let mut live: [Vec<state::TaskInfo>; 3] = Default::default();
        let states = ["queued", "ready", "waiting"];
        let wanted = states.map(|state| listing.may_take("state", state));
        let enough =
            |live: &[Vec<_>; 3]| rows.len() + live.iter().map(Vec::len).sum::<usize>() >= limit;
        let mut from = wanted.contains(&true).then(Cursor::default);
        while let Some(at) = from.filter(|_| !enough(&live)) {
            // The scheduler may be locked meanwhile: nothing here asks it, or waits for whoever does.
            let page = self.scheduler().tasks(at, PAGE, |info, job| {
                let rank = rank(info.state)?;
                wanted[rank].then(|| (rank, full(info, job)))
            });
            for (rank, found) in page.items.into_iter().flatten() {
                let task = row(found);
                if listing.takes(&task) {
                    live[rank].push(task);
                }
            }
            from = page.next;
            tokio::task::yield_now().await;
        }
        rows.extend(live.into_iter().flatten());
        let ended = ["finished", "failed"].iter().any(|state| listing.may_take("state", state));
        let told = told(&failures);
        let (mut recorded, scale) = self.recorded_beside(&told);
        while ended && rows.len() < limit {
            let part: Vec<Ended> = recorded.by_ref().take(PART).collect();
            if part.is_empty() {
                break;
            }
            let tasks = part.iter().map(|ended| self.ended_task(ended, &scale));
            rows.extend(tasks.filter(|task| listing.takes(task)));
            tokio::task::yield_now().await;
        }
        self.date_failures(&mut rows);
        rows.truncate(limit);
        Ok(rows)
    }

    /// Counts tasks by name and state: those that live, those that failed and are kept, and what was recorded.
    async fn count_tasks(&self) -> Vec<state::TaskCount> {
        let mut counts: HashMap<(Named, state::TaskState), u64> = HashMap::new();
        let mut from = Some(Cursor::default());
        while let Some(at) = from {
            let page = self.scheduler().tasks(at, PAGE, |info, job| {
                let named = match (job.own_name(), job.header()) {
                    (Some(name), _) => Named::Own(name.to_owned()),
                    (None, Some(head)) => Named::Code(head.kind as u8, head.function, head.index),
                    (None, None) => Named::Own("?".to_owned()),
                };
                *counts.entry((named, state_of(info.state))).or_default() += 1;
            });
            from = page.next;
            tokio::task::yield_now().await;
        }
        let failures = self.history.failures();
        let told = told(&failures);
        for failed in failures {
            let named = Named::Own(failed.name);
            *counts.entry((named, state::TaskState::Failed)).or_default() += 1;
        }
        for ended in self.recorded_beside(&told).0 {
            let state = match ended.end {
                End::Finished => state::TaskState::Finished,
                End::Failed | End::Retried | End::Killed => state::TaskState::Failed,
            };
            let named = match ended.name {
                0 => Named::Code(ended.kind as u8, ended.function, ended.index),
                text => Named::Text(text),
            };
            *counts.entry((named, state)).or_default() += 1;
        }
        let mut by_name: BTreeMap<(String, &'static str), state::TaskCount> = BTreeMap::new();
        for ((named, state), tasks) in counts {
            let name = match named {
                Named::Own(name) => name,
                Named::Text(text) => self.texts.get(text).unwrap_or_else(|| number(text)),
                Named::Code(kind, function, index) => {
                    let kind = Kind::from_byte(kind).unwrap_or(Kind::Task);
                    spec::name_of(kind, function, index)
                }
            };
            let count = by_name.entry((name.clone(), state.name())).or_default();
            (count.name, count.state) = (name, state);
            count.tasks += tasks;
        }
        by_name.into_values().collect()
    }

    fn task(
        &self,
        info: &TaskInfo,
        name: String,
        kind: Option<Kind>,
        returns: Option<ObjectId>,
        pids: &[u32],
    ) -> state::TaskInfo {
        let mut task = state::TaskInfo::default();
        task.id = number(info.id.to_bits());
        task.name = name;
        task.kind = kind_of(kind.unwrap_or(Kind::Task));
        task.attempt = info.attempt;
        task.actor = info.actor.map(|actor| self.actor_name(actor));
        task.parent = info.parent.map(|parent| number(parent.to_bits()));
        task.returns = returns.map(|id| id.to_string());
        let pid = |worker: WorkerId| pids.get(usize::from(worker.0)).copied();
        (task.state, task.worker, task.awaits) = match info.state {
            TaskState::Waiting { objects } => {
                (state::TaskState::Waiting, None, Some(objects as u64))
            }
            TaskState::Ready => (state::TaskState::Ready, None, None),
            TaskState::Queued { worker } => (state::TaskState::Queued, pid(worker), None),
            TaskState::Running { worker } => (state::TaskState::Running, pid(worker), None),
        };
        task
    }

    /// What an actor is called: the id of its token, by which `list actors` knows it.
    fn actor_name(&self, actor: ActorId) -> String {
        match self.actors.read().by_id.get(&actor) {
            Some(token) => token.to_string(),
            None => number(actor.to_bits()),
        }
    }

    fn list_actors(&self, listing: &Listing) -> Result<Vec<state::ActorInfo>> {
        let mut taking = Taking::new(listing)?;
        let pids = self.pids();
        let mut from = Some(Cursor::default());
        while let Some(at) = from {
            let page = self.scheduler().actors(at, PAGE);
            for info in page.items {
                let mut actor = state::ActorInfo::default();
                {
                    let actors = self.actors.read();
                    let token = actors.by_id.get(&info.id);
                    actor.id = token.map_or_else(|| number(info.id.to_bits()), |t| t.to_string());
                    if let Some(resident) = token.and_then(|token| actors.by_token.get(token)) {
                        actor.class =
                            resident.label.split(" (").next().unwrap_or_default().to_owned();
                        actor.name.clone_from(&resident.name);
                        actor.detached = resident.detached;
                    }
                }
                actor.state = match info.state {
                    ActorState::Pending => state::ActorState::Pending,
                    ActorState::Alive => state::ActorState::Alive,
                    ActorState::Restarting => state::ActorState::Restarting,
                    ActorState::Dead => state::ActorState::Dead,
                };
                actor.worker =
                    info.worker.and_then(|worker| pids.get(usize::from(worker.0)).copied());
                actor.unfinished = info.unfinished as u64;
                actor.restarts = info.restarts;
                if info.state == ActorState::Dead {
                    let reason = self.scheduler().actor_reason(info.id);
                    actor.reason = Some(match self.actor_died(info.id, reason.as_ref()) {
                        Error::ActorDied { reason, cause: None, .. } => reason,
                        Error::ActorDied { reason, cause: Some(cause), .. } => {
                            format!("{reason}: {cause}")
                        }
                        other => other.to_string(),
                    });
                }
                if !taking.take(actor) {
                    return Ok(taking.rows);
                }
            }
            from = page.next;
        }
        Ok(taking.rows)
    }

    /// What a group is called: the id of its token, and the name that it was given.
    fn group_name(&self, group: GroupId) -> (String, Option<String>) {
        let groups = self.groups.read();
        match groups.by_id.get(&group) {
            Some(token) => {
                let name = groups.by_token.get(token).and_then(|(_, name)| name.clone());
                (token.to_string(), name)
            }
            None => (number(group.to_bits()), None),
        }
    }

    async fn objects(&self, listing: &Listing) -> Result<Vec<state::ObjectInfo>> {
        /// The largest so far; those beyond the limit are dropped when there are twice as many.
        fn keep_largest(rows: &mut Vec<state::ObjectInfo>, limit: usize) {
            rows.sort_by_key(|object| std::cmp::Reverse(object.size_bytes));
            rows.truncate(limit);
        }
        listing.check::<state::ObjectInfo>()?;
        let limit = listing.limit.min(MOST) as usize;
        let pids = self.pids();
        let pid = |clients: ClientSet| -> Vec<u32> {
            clients.iter().filter_map(|client| pids.get(client.index()).copied()).collect()
        };
        let mut rows: Vec<state::ObjectInfo> = Vec::new();
        // What is smaller than all that were found so far is not looked at any closer.
        let mut smallest = None;
        let mut from = Some(0);
        while let Some(at) = from {
            let (objects, next) = self.store.list(at, SLOTS);
            for found in objects {
                if smallest.is_some_and(|smallest| found.len_bytes <= smallest) {
                    continue;
                }
                let mut object = state::ObjectInfo::default();
                object.id = found.id.to_string();
                object.state = match found.residence {
                    Residence::Pending => state::ObjectState::Pending,
                    Residence::Memory => state::ObjectState::Memory,
                    Residence::Disk => state::ObjectState::Disk,
                    _ => state::ObjectState::Failed,
                };
                object.size_bytes = found.len_bytes;
                object.type_name = found.type_name.map(|name| type_name::unarchived(&name));
                object.holders = pid(found.holders);
                object.pins = pid(found.pins);
                object.site = self.made_at.get(found.id, &self.texts);
                if listing.takes(&object) {
                    rows.push(object);
                }
            }
            if rows.len() > 2 * limit {
                keep_largest(&mut rows, limit);
                smallest = rows.last().map(|object| object.size_bytes);
            }
            from = next;
            tokio::task::yield_now().await;
        }
        keep_largest(&mut rows, limit);
        Ok(rows)
    }

    fn workers(&self, listing: &Listing) -> Result<Vec<state::WorkerInfo>> {
        let mut taking = Taking::new(listing)?;
        let pids = self.pids();
        let mut paths: HashMap<PoolId, String> = HashMap::new();
        let mut path = |pool: PoolId| {
            let found = || self.pool.programs.get(pool).map(|program| program.path.clone());
            paths.entry(pool).or_insert_with(|| found().unwrap_or_default()).clone()
        };
        for info in self.scheduler().workers() {
            let mut worker = process(pids.get(usize::from(info.id.0)).copied().unwrap_or_default());
            worker.state = match () {
                () if info.retired => state::WorkerState::Ending,
                () if info.blocked => state::WorkerState::Blocked,
                () if info.queued > 0 => state::WorkerState::Busy,
                () => state::WorkerState::Idle,
            };
            worker.program = path(info.pool);
            worker.actor = info.actor.map(|actor| self.actor_name(actor));
            worker.task = info.running.map(|task| number(task.to_bits()));
            worker.queued = info.queued as u64;
            worker.gpus = info.gpus.iter().map(|share| share.gpu).collect();
            taking.take(worker);
        }
        for (pid, pool) in self.drivers() {
            let mut driver = process(pid);
            driver.state = state::WorkerState::Driver;
            driver.program = path(pool);
            taking.take(driver);
        }
        Ok(taking.rows)
    }

    fn groups(&self, listing: &Listing) -> Result<Vec<state::GroupInfo>> {
        let mut taking = Taking::new(listing)?;
        let mut from = Some(Cursor::default());
        while let Some(at) = from {
            let page = self.scheduler().groups(at, PAGE);
            for info in page.items {
                let mut group = state::GroupInfo::default();
                (group.id, group.name) = self.group_name(info.id);
                group.state = match info.state {
                    GroupState::Pending => state::GroupState::Pending,
                    GroupState::Ready => state::GroupState::Ready,
                    GroupState::Removed => state::GroupState::Removed,
                };
                group.bundles = info.bundles.iter().map(bundle).collect();
                if !taking.take(group) {
                    return Ok(taking.rows);
                }
            }
            from = page.next;
        }
        Ok(taking.rows)
    }
}

/// The attempts that are listed as failures, with their errors.
fn told(failures: &[Failed]) -> HashSet<(u64, u16)> {
    failures.iter().map(|failed| (failed.task, failed.attempt)).collect()
}

/// What tasks are counted by until they are named.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Named {
    Own(String),
    /// By the number of its text.
    Text(u64),
    /// Its kind, and what [`spec::name_of`] names.
    Code(u8, u64, u16),
}

/// The place among those that wait of a task that does not run.
fn rank(state: TaskState) -> Option<usize> {
    match state {
        TaskState::Running { .. } => None,
        TaskState::Queued { .. } => Some(0),
        TaskState::Ready => Some(1),
        TaskState::Waiting { .. } => Some(2),
    }
}

fn state_of(state: TaskState) -> state::TaskState {
    match state {
        TaskState::Running { .. } => state::TaskState::Running,
        TaskState::Queued { .. } => state::TaskState::Queued,
        TaskState::Ready => state::TaskState::Ready,
        TaskState::Waiting { .. } => state::TaskState::Waiting,
    }
}

pub(super) fn number(bits: u64) -> String {
    format!("{bits:x}")
}

pub(super) fn call_number(returns: ObjectId) -> String {
    format!("call-{returns}")
}

pub(super) fn kind_of(kind: Kind) -> state::TaskKind {
    match kind {
        Kind::Construct => state::TaskKind::Construction,
        Kind::Method => state::TaskKind::Method,
        _ => state::TaskKind::Task,
    }
}

fn failed_task(failed: &Failed) -> state::TaskInfo {
    let error = failed.error();
    let mut task = state::TaskInfo::default();
    task.id = number(failed.task);
    task.name.clone_from(&failed.name);
    task.state = state::TaskState::Failed;
    task.kind = kind_of(failed.kind);
    task.attempt = failed.attempt;
    task.returns = failed.returns.map(|id| id.to_string());
    task.worker = match &error {
        Error::TaskFailed { worker, .. }
        | Error::TaskPanicked { worker, .. }
        | Error::OutOfMemory { worker, .. }
        | Error::WorkerCrashed { worker, .. } => Some(*worker).filter(|&pid| pid != 0),
        _ => None,
    };
    task.error = Some(error.to_string());
    task.help = error.help().map(str::to_owned);
    let mut cause = std::error::Error::source(&error);
    while let Some(found) = cause {
        task.causes.push(found.to_string());
        cause = found.source();
    }
    task
}

/// The amounts of one thing, by name.
fn amounts(of: &Resources) -> Vec<(String, f64)> {
    let parts = |parts: f64| parts / UNITS_PER_ONE as f64;
    let mut amounts = vec![("cpu".to_owned(), parts(of.cpu as f64))];
    if of.gpu > 0 {
        amounts.push(("gpu".to_owned(), parts(of.gpu as f64)));
    }
    if of.memory_bytes > 0 {
        amounts.push(("memory".to_owned(), of.memory_bytes as f64));
    }
    amounts.extend(of.custom.iter().map(|(name, amount)| (name.clone(), parts(*amount as f64))));
    amounts
}

fn resources(info: &ResourceInfo) -> Vec<state::Resource> {
    let free = amounts(&info.free);
    let used = |(name, total): (String, f64)| {
        let free = free.iter().find(|(other, _)| *other == name).map_or(0.0, |(_, free)| *free);
        let mut resource = state::Resource::default();
        (resource.used, resource.name, resource.total) = (total - free, name, total);
        resource
    };
    amounts(&info.total).into_iter().map(used).collect()
}

fn bundle(of: &Resources) -> state::Bundle {
    let mut bundle = state::Bundle::default();
    let amounts = amounts(of).into_iter().filter(|(_, amount)| *amount > 0.0);
    bundle.resources = amounts
        .map(|(name, total)| {
            let mut resource = state::Resource::default();
            (resource.name, resource.total) = (name, total);
            resource
        })
        .collect();
    bundle
}

/// What the kernel knows of a process; zeroes for one that has just ended.
fn process(pid: u32) -> state::WorkerInfo {
    let mut worker = state::WorkerInfo::default();
    worker.pid = pid;
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).ok();
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    let resident = read("statm").and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    worker.rss_bytes = resident.unwrap_or(0) * page.unwrap_or(4096) as u64;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    let used = read("stat").and_then(|text| {
        // The name of the program may hold anything; the fields after its last bracket do not.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(user + system)
    });
    worker.cpu_ms = used.unwrap_or(0) * 1000 / ticks.unwrap_or(100).max(1) as u64;
    worker
}
