//! The memory monitor: ends a worker before memory runs out, and the kernel ends whom it likes.
//!
//! **When.** There are two limits: a share of what the machine, or the control group around this process, has
//! ([`Limits::threshold`]), and how much the workers may use together, if that is said ([`Limits::workers`]).
//! What is used of either is looked at as often as the room that is left could be filled meanwhile, at most
//! every 20 ms and at least once a second, and only while something runs: whoever hands a worker a task *arms*
//! the monitor, at the price of one load. In between the kernel may tell of processes that stall
//! ([`Pressure`]), so that what grows on direct lines, or in the background of an actor, is seen as well; where
//! it does not, lines that are open count as something that runs.
//!
//! **Whom.** As in Ray: those whose death costs least. First a worker with nothing to do, then tasks that may be
//! run again, then other tasks, then actors that may be restarted, then other actors; among equals the one that
//! began last. A worker that uses less than a quarter of the average is left alone: its death would help nobody.
//! One is ended at a time, and the next look is taken once it is gone.
//!
//! **What then.** The task fails with [`Error::OutOfMemory`], or is run again. When it was only in the way of
//! others, that is, had room enough had they not been there, its death is not counted among its retries (at
//! most [`Config::MAX_SPARED`] times), and is told to the scheduler only when there is room again, or nothing
//! else runs that could make any, or a minute has passed. It keeps its cpu until then, so that fewer tasks run
//! while memory is short. One that has outgrown the limit by itself is charged as for any death, at once.
//!
//! Lost wakeups: the monitor disarms itself and then asks the scheduler who runs. A task is handed to a worker by
//! the owner of the scheduler's token, and the question needs the token, too. So either the question comes after
//! and finds the task, or the hand-over comes after and finds the monitor disarmed.
//!
//! [`Config::MAX_SPARED`]: rustyray_scheduler::Config::MAX_SPARED

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustyray_ipc::Pressure;
use rustyray_scheduler::{WorkerId, WorkerInfo};
use rustyray_store::ClientId;
use tokio::{sync::Notify, time::sleep};

use super::{Node, client_of};
use crate::{
    error::Error,
    runtime::{machine, start::available_cpus, trace},
};

/// What memory the processes of a session may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The share of the machine's memory that may be in use, by whomever; 1 for no limit.
    pub(crate) threshold: f64,
    /// What the workers may use together, objects not counted, in bytes.
    pub(crate) workers_bytes: Option<u64>,
}

/// The extremes between two looks.
const SOONEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_secs(1);
/// What one core can fill in a second, in bytes: fresh pages are slower than that.
const FILLED_PER_CORE: u64 = 2 << 30;
/// How long a task waits at most until there is room for it again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Monitor {
    limits: Limits,
    armed: AtomicBool,
    wake: Notify,
}

/// Which limit it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Machine,
    Workers,
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    of: Of,
    used_bytes: u64,
    limit_bytes: u64,
}

/// Why a worker was ended.
#[derive(Debug)]
pub(crate) struct Shortage {
    reading: Reading,
    worker: u32,
    worker_bytes: u64,
    /// It was only in the way of others.
    spares: bool,
}

/// Who may be ended, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Idle,
    Retriable,
    Task,
    RestartableActor,
    Actor,
}

/// A worker and what it uses by itself.
#[derive(Clone, Debug)]
struct Candidate {
    info: WorkerInfo,
    pid: u32,
    bytes: u64,
}

impl Candidate {
    fn class(&self) -> Class {
        match (self.info.actor.is_some(), self.info.queued > 0, self.info.retriable) {
            (false, false, _) => Class::Idle,
            (false, true, true) => Class::Retriable,
            (false, true, false) => Class::Task,
            (true, _, true) => Class::RestartableActor,
            (true, _, false) => Class::Actor,
        }
    }
}

impl Monitor {
    pub(super) fn new(limits: Limits) -> Monitor {
        // What is never looked at need not be armed.
        Monitor { limits, armed: AtomicBool::new(!limits.any()), wake: Notify::new() }
    }

    /// A worker is handed something.
    #[inline]
    pub(super) fn arm(&self) {
        if !self.armed.load(Ordering::Relaxed) {
            self.arm_now();
        }
    }

    #[cold]
    fn arm_now(&self) {
        if !self.armed.swap(true, Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }
}

impl Limits {
    fn any(&self) -> bool {
        self.threshold < 1.0 || self.workers_bytes.is_some()
    }

    /// What of the limits is used, that of which least is left.
    fn reading(&self, workers_bytes: impl FnOnce() -> u64) -> Option<Reading> {
        let machine = (self.threshold < 1.0).then(machine::memory).flatten().map(|now| Reading {
            of: Of::Machine,
            used_bytes: now.total_bytes.saturating_sub(now.available_bytes),
            limit_bytes: (now.total_bytes as f64 * self.threshold) as u64,
        });
        let workers = self.workers_bytes.map(|limit_bytes| Reading {
            of: Of::Workers,
            used_bytes: workers_bytes(),
            limit_bytes,
        });
        [machine, workers].into_iter().flatten().min_by_key(Reading::left)
    }
}

impl Reading {
    fn left(&self) -> i64 {
        self.limit_bytes as i64 - self.used_bytes as i64
    }

    /// When what is left could be gone.
    fn lasts(&self) -> Duration {
        let filled = FILLED_PER_CORE as f64 * available_cpus() as f64;
        Duration::from_secs_f64(self.left().max(0) as f64 / filled).clamp(SOONEST, LATEST)
    }
}

impl Shortage {
    /// The error of what ran there.
    pub(super) fn error(&self, task: String, attempt: u16) -> Error {
        Error::OutOfMemory {
            task,
            worker: self.worker,
            attempt: u32::from(attempt),
            of: self.reading.of.to_string(),
            used: self.reading.used_bytes,
            limit: self.reading.limit_bytes,
            held: self.worker_bytes,
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Of::Machine => "the machine's",
            Of::Workers => "the workers'",
        })
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { of, used_bytes, limit_bytes } = self.reading;
        let Shortage { worker, worker_bytes, .. } = self;
        write!(
            f,
            "{used_bytes} of at most {limit_bytes} bytes of {of} memory were used; worker {worker}, which used \
             {worker_bytes} of them, was killed"
        )
    }
}

/// What a process uses for itself, in bytes: neither objects, which are shared, nor code. Zero for one that is
/// gone.
fn private_bytes(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = statm.split(' ').skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    resident.saturating_sub(shared) * page.unwrap_or(4096) as u64
}

/// Whose end costs least, of those whose end helps.
fn choose(candidates: &[Candidate]) -> Option<&Candidate> {
    let all: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
    let least = all / (4 * candidates.len().max(1) as u64);
    let helps = candidates.iter().filter(|candidate| candidate.bytes >= least.max(1));
    helps.min_by_key(|candidate| (candidate.class(), std::cmp::Reverse(candidate.info.since)))
}

/// Watches over the memory of a session until that ends.
pub(crate) fn watch(node: &Arc<Node>) {
    let limits = node.memory.limits;
    if !limits.any() {
        return;
    }
    let own = Arc::clone(node);
    node.until_closed(async move { look(&own).await });
}

async fn look(node: &Node) {
    let pressure = Pressure::watch().ok();
    let stalls = async || match &pressure {
        Some(pressure) => pressure.fired().await,
        None => std::future::pending().await,
    };
    // What nobody could be ended for was said.
    let mut said = false;
    loop {
        tokio::select! {
            () = node.memory.wake.notified() => {}
            () = stalls() => {}
        }
        loop {
            let pause = match node.read_memory() {
                Some(reading) if reading.left() < 0 => {
                    let relieved = node.relieve_memory(reading).await;
                    if !relieved && !said {
                        crate::notice!(
                            "rustyray: memory is short, and no worker's end would help: {} of at most {} bytes \
                             of {} memory are used",
                            reading.used_bytes,
                            reading.limit_bytes,
                            reading.of
                        );
                    }
                    said = !relieved;
                    if relieved { SOONEST } else { 10 * SOONEST }
                }
                Some(reading) => reading.lasts(),
                None => LATEST,
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stalls() => {}
            }
            // Relaxed: see the module.
            let was_armed = node.memory.armed.swap(false, Ordering::Relaxed);
            if !was_armed && !node.anything_grows(pressure.is_some()) {
                break;
            }
        }
    }
}

impl Node {
    fn workers_bytes(&self) -> u64 {
        let workers = self.peers.iter().filter(|peer| peer.runs_tasks.load(Ordering::Relaxed));
        workers.map(|peer| private_bytes(peer.pid.load(Ordering::Relaxed))).sum()
    }

    fn read_memory(&self) -> Option<Reading> {
        self.memory.limits.reading(|| self.workers_bytes())
    }

    /// Whether something runs that may need memory.
    fn anything_grows(&self, stalls_are_told: bool) -> bool {
        let workers = self.scheduler().workers();
        workers.iter().any(|worker| worker.queued > 0)
            || self.direct_lines() > 0
                && (!stalls_are_told || self.memory.limits.workers_bytes.is_some())
    }

    fn candidates(&self) -> Vec<Candidate> {
        let known = self.scheduler().workers().into_iter();
        let candidates = known.map(|info| {
            let pid = self.peers[client_of(info.id).index()].pid.load(Ordering::Relaxed);
            Candidate { bytes: private_bytes(pid), info, pid }
        });
        candidates.collect()
    }

    /// Ends one worker and waits until it is gone; `false` when none is worth it.
    async fn relieve_memory(&self, mut reading: Reading) -> bool {
        let candidates = self.candidates();
        let all: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
        if reading.of == Of::Workers {
            reading.used_bytes = all;
        }
        // When others use it all, the workers are not the ones to pay.
        let others = reading.used_bytes.saturating_sub(all);
        if reading.of == Of::Machine && all < reading.limit_bytes / 100 {
            return false;
        }
        let Some(victim) = choose(&candidates) else { return false };
        let room = reading.limit_bytes.saturating_sub(others);
        let shortage = Arc::new(Shortage {
            reading,
            worker: victim.pid,
            worker_bytes: victim.bytes,
            spares: victim.bytes < room - room / 10,
        });
        let (id, running) = (victim.info.id, victim.info.running);
        let client = client_of(id);
        let mut name = victim.info.actor.map(|actor| format!("actor `{}`", self.label_of(actor)));
        let spares = shortage.spares;
        let peer = &self.peers[client.index()];
        let mut process = None;
        let look = |job: Option<&super::Job>| {
            name = name.take().or_else(|| job.map(|job| format!("`{}`", job.name())));
            *peer.shortage.lock() = Some(Arc::clone(&shortage));
            process = peer.process.lock().clone();
        };
        if !self.scheduler().condemn(id, running, spares, look) {
            // It has just ended, or begun something else: one looks again.
            return true;
        }
        let name = name.unwrap_or_else(|| "nothing".into());
        let then = match (victim.class(), spares) {
            (Class::Idle, _) => "",
            (Class::Retriable, true) => "; that is run again when there is room",
            (Class::Retriable, false) => "; that is run again, within its retries",
            (Class::Task, _) => "; that may not be run again",
            (Class::RestartableActor, _) => "; that is restarted",
            (Class::Actor, _) => "; that is not restarted",
        };
        crate::notice!("rustyray: memory ran short: {shortage}; it ran {name}{then}");
        trace::say!(warn, worker = shortage.worker, what = %shortage, "memory ran short");
        if let Some(process) = process {
            let _ = process.exited().await;
        }
        true
    }

    /// After the death of a worker: ready when what it ran may be run again, as far as memory is concerned.
    pub(crate) async fn until_there_is_room(&self, client: ClientId) {
        let held = match &*self.peers[client.index()].shortage.lock() {
            Some(shortage) if shortage.spares => shortage.worker_bytes,
            _ => return,
        };
        let dead = WorkerId(u16::from(client.get()));
        let deadline = Instant::now() + LONGEST_PAUSE;
        let waits = async {
            while Instant::now() < deadline {
                let fits = self.read_memory().is_none_or(|now| now.left() >= held as i64);
                let runs = |worker: &WorkerInfo| {
                    let peer = &self.peers[client_of(worker.id).index()];
                    worker.id != dead && worker.queued > 0 && peer.shortage.lock().is_none()
                };
                if fits || !self.scheduler().workers().iter().any(runs) {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = waits => {}
            () = self.pool.until_closed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rustyray_scheduler::{ActorId, PoolId, TaskId};

    use super::*;

    fn worker(id: u16, since: u64, bytes: u64) -> Candidate {
        let info = WorkerInfo {
            id: WorkerId(id),
            pool: PoolId(0),
            running: Some(TaskId::from_bits(u64::from(id))),
            first: None,
            queued: 1,
            actor: None,
            blocked: false,
            retired: false,
            gpus: Vec::new(),
            since,
            retriable: true,
        };
        Candidate { info, pid: 0, bytes }
    }

    fn chosen(candidates: &[Candidate]) -> Option<u16> {
        choose(candidates).map(|candidate| candidate.info.id.0)
    }

    #[test]
    fn the_youngest_that_can_be_run_again_goes_first_and_actors_go_last() {
        let mut all = vec![worker(1, 10, 100), worker(2, 30, 100), worker(3, 20, 100)];
        assert_eq!(chosen(&all), Some(2));
        all[1].info.retriable = false;
        assert_eq!(chosen(&all), Some(3));
        let mut actor = worker(4, 90, 1000);
        (actor.info.actor, actor.info.running) = (Some(ActorId::from_bits(4)), None);
        let mut mortal = actor.clone();
        (mortal.info.id, mortal.info.retriable) = (WorkerId(5), false);
        all.extend([actor, mortal]);
        all.iter_mut().for_each(|candidate| candidate.bytes = 100);
        let mut idle = worker(6, 0, 100);
        (idle.info.queued, idle.info.running) = (0, None);
        all.push(idle);
        let mut order = Vec::new();
        while let Some(next) = chosen(&all) {
            order.push(next);
            all.retain(|candidate| candidate.info.id.0 != next);
        }
        assert_eq!(order, [6, 3, 1, 2, 4, 5]);
    }

    #[test]
    fn who_uses_little_is_left_alone() {
        let all = [worker(1, 10, 10_000), worker(2, 30, 100), worker(3, 20, 5_000)];
        assert_eq!(chosen(&all), Some(3));
        assert_eq!(chosen(&[worker(1, 0, 0)]), None);
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn one_looks_again_before_what_is_left_can_be_gone() {
        let reading = |used_bytes| Reading { of: Of::Machine, used_bytes, limit_bytes: 1 << 40 };
        assert_eq!(reading(0).lasts(), LATEST);
        assert_eq!(reading((1 << 40) - 1).lasts(), SOONEST);
        assert_eq!(reading(1 << 41).lasts(), SOONEST);
        let some = reading((1 << 40) - (1 << 28) * available_cpus() as u64).lasts();
        assert_eq!(some, Duration::from_millis(125));
        let limits = Limits { threshold: 1.0, workers_bytes: Some(100) };
        assert_eq!(limits.reading(|| 70).map(|now| now.left()), Some(30));
        assert!(!Limits { threshold: 1.0, workers_bytes: None }.any());
    }
}
