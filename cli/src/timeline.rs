//! `rustyray timeline`: when which worker ran what, as a file for Perfetto and for Chrome's tracing page.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use rustyray::manual::MAX_CONCURRENCY;
use rustyray::state::{Inspector, Listing, NodeInfo, TaskInfo, TaskState};
use serde_json::{Value, json};

use crate::{
    exit::Failure, interrupt::Interrupt, list::limit, print, seconds::seconds, target::Target,
};

/// Which tasks, and where to.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The file to write; `-` for standard output
    #[arg(long, short, value_name = "FILE", default_value = "timeline.json")]
    out: PathBuf,
    /// Record for that long first, or until Ctrl-C; without it, what the node has recorded, or 5 seconds if it does not record
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    seconds: Option<Duration>,
    /// At most that many tasks, the newest
    #[arg(long, short, value_name = "TASKS", default_value_t = 100_000, value_parser = limit, allow_negative_numbers = true)]
    limit: u64,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Options {
    /// The file to write, as it is: where there can be none, one need not wait to learn of it. `None` for standard
    /// output.
    fn file(&self) -> Result<Option<File>, Failure> {
        let open = |path| File::options().write(true).create(true).truncate(false).open(path);
        let wanted = (self.out.as_os_str() != "-").then_some(&self.out);
        wanted.map(open).transpose().map_err(|error| self.unwritten(&error))
    }

    /// Writes the timeline in place of what the file had, which whoever kills the recording keeps.
    fn write(&self, file: &mut File, text: &str) -> Result<(), Failure> {
        let written = file.metadata().and_then(|found| {
            if found.is_file() {
                file.set_len(0)?;
            }
            file.write_all(text.as_bytes())
        });
        written.map_err(|error| self.unwritten(&error))
    }

    fn unwritten(&self, error: &io::Error) -> Failure {
        Failure::io(&format!("writing {}", self.out.display()), error)
    }
}

/// How long is recorded where nothing was said and nothing is there.
const A_WHILE: Duration = Duration::from_secs(5);

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut inspector = options.target.inspector()?;
    let mut file = options.file()?;
    let recorded = inspector.node()?.recording;
    if let Some(time) = options.seconds.or((!recorded).then_some(A_WHILE)) {
        inspector.record()?;
        let interrupt = Interrupt::listen();
        if !options.target.json {
            let seconds = time.as_secs_f64();
            print::aside(format_args!("recording for {seconds} s … (Ctrl-C ends it earlier)"));
        }
        interrupt.wait(time);
    }
    let (node, tasks) = collect(&mut inspector, options.limit)?;
    let events = chrome_trace(&node, &tasks);
    let count = tasks.len();
    let text = events.to_string();
    let Some(file) = &mut file else { return print::text(&text) };
    options.write(file, &text)?;
    if options.target.json {
        return print::json(&json!({ "file": options.out, "tasks": count }));
    }
    if count == 0 {
        let file = options.out.display();
        return print::text(&format!("No task ended while it was recorded: {file} shows none.\n"));
    }
    print::text(&format!(
        "{} in {}: open it at https://ui.perfetto.dev\n",
        print::count(count as u64, "task"),
        options.out.display()
    ))
}

/// How many calls of one actor overlap at most. With that many tracks for each the numbers of two workers never meet,
/// and the largest process id there can be, below 2^22, leaves them within the 32 bits that readers have for them.
const TRACKS: u64 = MAX_CONCURRENCY as u64;

/// The tasks whose times are known.
fn collect(inspector: &mut Inspector, limit: u64) -> Result<(NodeInfo, Vec<TaskInfo>), Failure> {
    let node = inspector.node()?;
    let mut tasks = inspector.tasks(&Listing::new().limit(limit))?;
    tasks.retain(|task| task.started_ns.is_some() && task.duration_ns.is_some());
    Ok((node, tasks))
}

/// A time as the format has it: in microseconds, with a fraction.
fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// A task on a track: from when, for how long in nanoseconds, and which.
struct Slice<'a> {
    task: &'a TaskInfo,
    began: u64,
    time: u64,
    track: u64,
}

impl Slice<'_> {
    /// The last nanosecond that is this slice's, however its two times are rounded.
    fn last(&self) -> u64 {
        self.began + self.time.saturating_sub(3)
    }

    fn to_event(&self, process: u32) -> Value {
        let Slice { task, began, time, track } = self;
        let mut event = json!({
            "name": task.name, "cat": task.kind.to_string(), "ph": "X",
            "ts": us(*began), "dur": us(*time), "pid": process, "tid": track,
            "args": { "task": task.id, "state": task.state.to_string(), "attempt": task.attempt },
        });
        if task.state == TaskState::Failed {
            event["cname"] = json!("terrible");
        }
        for (name, value) in [
            ("returns", &task.returns),
            ("actor", &task.actor),
            ("parent", &task.parent),
            ("error", &task.error),
        ] {
            if let Some(value) = value {
                event["args"][name] = json!(value);
            }
        }
        event
    }
}

/// The trace event format: a complete event for each task, on a track for each worker, and an arrow to each from
/// the one that submitted it. Calls of one actor may overlap; those get tracks of their own beside it.
fn chrome_trace(node: &NodeInfo, tasks: &[TaskInfo]) -> Value {
    let mut by_worker: BTreeMap<u32, Vec<&TaskInfo>> = BTreeMap::new();
    for task in tasks {
        by_worker.entry(task.worker.unwrap_or_default()).or_default().push(task);
    }
    let mut events = vec![json!({
        "name": "process_name", "ph": "M", "pid": node.pid,
        "args": { "name": format!("rustyray {}", node.session) },
    })];
    let mut slices = Vec::with_capacity(tasks.len());
    for (worker, mut tasks) in by_worker {
        tasks.sort_by_key(|task| task.started_ns);
        // When the last slice of each track ends. A nanosecond between two: who reads a fraction may round it down.
        let mut tracks: Vec<u64> = Vec::new();
        for task in tasks {
            let (began, time) = (task.started_ns.unwrap_or(0), task.duration_ns.unwrap_or(0));
            let track = tracks.iter().position(|&free| free < began).unwrap_or(tracks.len());
            let thread = u64::from(worker) * TRACKS + track as u64;
            if track == tracks.len() {
                tracks.push(0);
                let name = if track == 0 {
                    format!("worker {worker}")
                } else {
                    format!("worker {worker} +{track}")
                };
                events.push(json!({
                    "name": "thread_name", "ph": "M", "pid": node.pid, "tid": thread,
                    "args": { "name": name },
                }));
            }
            tracks[track] = began + time;
            slices.push(Slice { task, began, time, track: thread });
        }
    }
    events.extend(slices.iter().map(|slice| slice.to_event(node.pid)));
    events.extend(arrows(node.pid, &slices));
    json!({ "displayTimeUnit": "ns", "traceEvents": events })
}

/// An arrow to each task from the one that submitted it, where both are there: out of that one's slice at the
/// latest moment at which it can have done so. Of a task that ran several times, the attempt that had begun by then
/// is the one.
fn arrows(process: u32, slices: &[Slice<'_>]) -> Vec<Value> {
    let mut attempts: HashMap<&str, Vec<&Slice<'_>>> = HashMap::new();
    for slice in slices {
        attempts.entry(&slice.task.id).or_default().push(slice);
    }
    let mut events = Vec::new();
    let submitted = slices.iter().filter_map(|slice| Some((slice, slice.task.parent.as_deref()?)));
    for (number, (slice, parent)) in submitted.enumerate() {
        let begun = attempts.get(parent).into_iter().flatten();
        let begun = begun.filter(|parent| parent.began <= slice.began);
        let Some(parent) = begun.max_by_key(|parent| parent.began) else { continue };
        events.push(json!({
            "name": "submits", "cat": "submission", "ph": "s", "id": number,
            "ts": us(slice.began.min(parent.last())), "pid": process, "tid": parent.track,
        }));
        // `bp`: it ends in the slice that is there, not in the next one.
        events.push(json!({
            "name": "submits", "cat": "submission", "ph": "f", "bp": "e", "id": number,
            "ts": us(slice.began), "pid": process, "tid": slice.track,
        }));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_calls_get_tracks_of_their_own() {
        let task = |began, time| {
            let mut task = TaskInfo::default();
            (task.worker, task.started_ns, task.duration_ns) = (Some(7), Some(began), Some(time));
            task
        };
        let tasks = [task(0, 100), task(50, 100), task(101, 10), task(111, 10)];
        let trace = chrome_trace(&NodeInfo::default(), &tasks);
        let events = trace["traceEvents"].as_array().expect("events");
        let tracks: Vec<u64> = events
            .iter()
            .filter(|event| event["ph"] == "X")
            .map(|event| event["tid"].as_u64().expect("a track"))
            .collect();
        let beside = [1, 2].map(|track| 7 * TRACKS + track);
        assert_eq!(tracks, [7 * TRACKS, beside[0], 7 * TRACKS, beside[1]]);
        assert_eq!(events.iter().filter(|event| event["name"] == "thread_name").count(), 3);
    }

    #[test]
    fn an_arrow_leads_from_the_attempt_that_submitted_a_task() {
        let task = |id: &str, worker, (began, time), attempt| {
            let mut task = TaskInfo::default();
            (task.id, task.worker, task.attempt) = (id.to_owned(), Some(worker), attempt);
            (task.started_ns, task.duration_ns) = (Some(began), Some(time));
            task
        };
        let child = |id: &str, span, parent: &str| {
            let mut task = task(id, 8, span, 0);
            task.parent = Some(parent.to_owned());
            task
        };
        let tasks = [
            task("a", 7, (0, 10), 0),
            task("a", 9, (20, 30), 1),
            child("first", (5, 2), "a"),
            child("late", (15, 2), "a"),
            child("again", (25, 2), "a"),
            child("of one that is not here", (30, 2), "b"),
            child("of one that began later", (0, 2), "late"),
        ];
        let trace = chrome_trace(&NodeInfo::default(), &tasks);
        let ends = |phase: &str| -> Vec<(u64, u64, u64)> {
            let events = trace["traceEvents"].as_array().expect("events").iter();
            let number = |value: &Value| value.as_u64().expect("a number");
            let ns = |value: &Value| (value.as_f64().expect("a time") * 1e3).round() as u64;
            let mut ends: Vec<_> = events
                .filter(|event| event["ph"] == phase)
                .map(|event| (number(&event["id"]), number(&event["tid"]), ns(&event["ts"])))
                .collect();
            ends.sort_unstable_by_key(|&(_, _, at)| at);
            ends
        };
        let (from, to) = (ends("s"), ends("f"));
        assert_eq!(
            from.iter().map(|&(id, ..)| id).collect::<Vec<_>>(),
            to.iter().map(|&(id, ..)| id).collect::<Vec<_>>()
        );
        assert_eq!(
            from.iter().map(|&(_, track, at)| (track, at)).collect::<Vec<_>>(),
            [(7 * TRACKS, 5), (7 * TRACKS, 7), (9 * TRACKS, 25)]
        );
        assert_eq!(
            to.iter().map(|&(_, track, at)| (track, at)).collect::<Vec<_>>(),
            [(8 * TRACKS, 5), (8 * TRACKS, 15), (8 * TRACKS, 25)]
        );
    }
}
