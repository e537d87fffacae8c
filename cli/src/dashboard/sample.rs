//! What the page shows, as the node says it: one sample for all who look, and a short memory of what was.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rustyray::{
    Error, Result,
    state::{
        ActorInfo, GroupInfo, Inspector, Listing, Logs, NodeInfo, ObjectInfo, TaskInfo, WorkerInfo,
    },
};
use serde::Serialize;

use crate::{exit::Failure, target::Target};

/// How old a sample may be to be given to another page.
const FRESH: Duration = Duration::from_millis(700);
/// How many moments are remembered: at one a second, ten minutes.
const REMEMBERED: usize = 600;

/// A moment, for the lines over time.
#[derive(Debug, Serialize)]
struct Moment {
    at_ms: u64,
    store_used: u64,
    store_spilled: u64,
    cpu_used: f64,
    queued: u64,
    finished: u64,
    failed: u64,
}

/// All that the page shows.
#[derive(Debug, Serialize)]
struct Sample<'a> {
    node: NodeInfo,
    running: Vec<TaskInfo>,
    failed: Vec<TaskInfo>,
    waiting: Vec<TaskInfo>,
    finished: Vec<TaskInfo>,
    actors: Vec<ActorInfo>,
    objects: Vec<ObjectInfo>,
    workers: Vec<WorkerInfo>,
    groups: Vec<GroupInfo>,
    history: &'a VecDeque<Moment>,
}

/// Asks the node.
#[derive(Debug)]
pub(super) struct Sampler {
    target: Target,
    inspector: Option<Inspector>,
    session: String,
    history: VecDeque<Moment>,
    last: Option<(Instant, String)>,
}

impl Sampler {
    pub(super) fn new(target: Target) -> std::result::Result<Sampler, Failure> {
        let mut inspector = target.inspector()?;
        inspector.record()?;
        let session = String::new();
        Ok(Sampler {
            target,
            inspector: Some(inspector),
            session,
            history: VecDeque::new(),
            last: None,
        })
    }

    /// All that the page shows, as JSON.
    pub(super) fn state(&mut self) -> String {
        if let Some((at, text)) = &self.last
            && at.elapsed() < FRESH
        {
            return text.clone();
        }
        let text = self.sample().unwrap_or_else(|error| {
            self.inspector = None;
            let gone = serde_json::json!({ "gone": error.to_string(), "help": error.help() });
            gone.to_string()
        });
        self.last = Some((Instant::now(), text.clone()));
        text
    }

    /// The connection; a node that was started again since is found again.
    fn inspector(&mut self) -> Result<&mut Inspector> {
        if self.inspector.is_none() {
            let mut inspector = match &self.target.address {
                Some(socket) => Inspector::connect(socket)?,
                None => Inspector::find()?,
            };
            inspector.record()?;
            self.inspector = Some(inspector);
        }
        self.inspector.as_mut().ok_or_else(|| Error::NoNode { directory: String::new() })
    }

    fn sample(&mut self) -> Result<String> {
        let of = |state: &str, limit| Listing::new().filter("state", state).limit(limit);
        let inspector = self.inspector()?;
        let node = inspector.node()?;
        let running = inspector.tasks(&of("running", 300))?;
        let failed = inspector.tasks(&of("failed", 200))?;
        let mut waiting = inspector.tasks(&of("queued", 100))?;
        waiting.extend(inspector.tasks(&of("ready", 100))?);
        waiting.extend(inspector.tasks(&of("waiting", 100))?);
        let finished = inspector.tasks(&of("finished", 3000))?;
        let actors = inspector.actors(&Listing::new().limit(300))?;
        let objects = inspector.objects(&Listing::new().limit(200))?;
        let workers = inspector.workers(&Listing::new().limit(300))?;
        let groups = inspector.groups(&Listing::new().limit(100))?;
        self.remember(&node);
        let history = &self.history;
        let sample = Sample {
            node,
            running,
            failed,
            waiting,
            finished,
            actors,
            objects,
            workers,
            groups,
            history,
        };
        serde_json::to_string(&sample).map_err(|error| Error::InvalidArgument {
            what: format!("the state cannot be written as JSON: {error}"),
        })
    }

    fn remember(&mut self, node: &NodeInfo) {
        if self.session != node.session {
            self.session.clone_from(&node.session);
            self.history.clear();
        }
        if self.history.len() == REMEMBERED {
            self.history.pop_front();
        }
        let cpu = node.resources.iter().find(|resource| resource.name == "cpu");
        self.history.push_back(Moment {
            at_ms: node.uptime_ms,
            store_used: node.store.used_bytes,
            store_spilled: node.store.spilled_bytes,
            cpu_used: cpu.map_or(0.0, |cpu| cpu.used),
            queued: node.totals.queued_tasks,
            finished: node.totals.finished_tasks,
            failed: node.totals.failed_tasks,
        });
    }

    /// What workers wrote, as JSON.
    pub(super) fn logs(&mut self, worker: Option<u32>, after: u64) -> String {
        let mut wanted = Logs::new().after(after);
        if let Some(pid) = worker {
            wanted = wanted.worker(pid);
        }
        let lines = self.inspector().and_then(|inspector| inspector.logs(&wanted));
        let lines = lines.unwrap_or_default();
        let newest = lines.len().saturating_sub(1000);
        serde_json::to_string(&lines[newest..]).unwrap_or_else(|_| "[]".into())
    }
}
