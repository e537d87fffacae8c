//! `rustyray list` and `rustyray summary`: what there is, row by row or counted.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use rustyray::state::{
    ActorInfo, GroupInfo, Listing, ObjectInfo, Row, TaskCount, TaskInfo, WorkerInfo,
};
use serde::Serialize;

use crate::{
    exit::Failure,
    print::{self, Column, cell},
    target::Target,
};

/// What is listed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum What {
    /// Tasks, calls and constructions of actors: under way, failed, and recorded ones that finished
    Tasks,
    /// Actors
    Actors,
    /// Objects, the largest first
    Objects,
    /// Workers and attached programs
    Workers,
    /// Placement groups
    #[value(alias = "groups")]
    PlacementGroups,
}

/// Which rows.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// What to list
    what: What,
    /// Only rows whose field is this value (NAME=VALUE), is not (NAME!=VALUE), or contains it (NAME=~PART), whatever the
    /// case of its letters; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// At most that many rows
    #[arg(long, short, value_name = "ROWS", default_value_t = 100, value_parser = limit, allow_negative_numbers = true)]
    limit: u64,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `NAME=VALUE`, or `NAME!=VALUE`.
fn filter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is NAME=VALUE")?;
    let value = value.trim();
    Ok(match name.strip_suffix('!') {
        Some(name) => (name.trim().to_owned(), format!("!{value}")),
        None => (name.trim().to_owned(), value.to_owned()),
    })
}

/// How many, of which a command that shows some shows one at least.
pub(crate) fn limit(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|&limit| limit > 0)
        .ok_or_else(|| "it is a number from 1 on".to_owned())
}

/// Rows that these filters let through.
fn filtered(filters: &[(String, String)]) -> Listing {
    filters.iter().fold(Listing::new(), |listing, (name, value)| listing.filter(name, value))
}

impl Options {
    fn listing(&self) -> Listing {
        filtered(&self.filter).limit(self.limit)
    }

    fn print<R: Row + Serialize>(&self, rows: &[R], columns: &[Column<R>]) -> Result<(), Failure> {
        if self.target.json {
            return print::json(&rows);
        }
        if rows.is_empty() {
            return print::text("There are none.\n");
        }
        print::text(&print::table(rows, columns))?;
        if rows.len() as u64 == self.limit {
            let limit = self.limit;
            print::aside(format_args!(
                "(the first {limit}; `--limit` shows more, `--filter` others)"
            ));
        }
        Ok(())
    }
}

/// Runs `rustyray list`.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut inspector = options.target.inspector()?;
    let listing = options.listing();
    match options.what {
        What::Tasks => {
            let tasks = inspector.tasks(&listing)?;
            options.print(&tasks, TASKS)?;
            if tasks.is_empty() && !options.target.json && !inspector.node()?.recording {
                print::aside(
                    "(those that finished are listed as long as tasks are recorded: while `rustyray timeline` \
                     or the dashboard runs, or from the beginning with `rustyray start --record`)",
                );
            }
            Ok(())
        }
        What::Actors => options.print(&inspector.actors(&listing)?, ACTORS),
        What::Objects => options.print(&inspector.objects(&listing)?, OBJECTS),
        What::Workers => options.print(&inspector.workers(&listing)?, WORKERS),
        What::PlacementGroups => options.print(&inspector.groups(&listing)?, GROUPS),
    }
}

const TASKS: &[Column<TaskInfo>] = &[
    ("task", |row| cell(row, "id")),
    ("name", |row| cell(row, "name")),
    ("state", |row| cell(row, "state")),
    ("worker", |row| cell(row, "worker")),
    ("attempt", |row| cell(row, "attempt")),
    ("time", |row| row.duration_ns.map(print::duration).unwrap_or_default()),
    ("error", error),
];

/// A task's error, without what the other columns say.
fn error(row: &TaskInfo) -> String {
    let error = row.error.as_deref().unwrap_or_default();
    let again = format!("task `{}` ", row.name);
    print::line(error.strip_prefix(&again).unwrap_or(error), 120)
}

const ACTORS: &[Column<ActorInfo>] = &[
    ("actor", |row| cell(row, "id")),
    ("class", |row| cell(row, "class")),
    ("name", |row| cell(row, "name")),
    ("state", |row| cell(row, "state")),
    ("worker", |row| cell(row, "worker")),
    ("calls", |row| cell(row, "unfinished")),
    ("restarts", |row| cell(row, "restarts")),
    ("reason", |row| cell(row, "reason")),
];

pub(crate) const OBJECTS: &[Column<ObjectInfo>] = &[
    ("object", |row| cell(row, "id")),
    ("state", |row| cell(row, "state")),
    ("size", |row| print::bytes(row.size_bytes)),
    ("type", |row| cell(row, "type_name")),
    ("held by", |row| cell(row, "holders")),
    ("viewed by", |row| cell(row, "pins")),
    ("made at", |row| cell(row, "site")),
];

const WORKERS: &[Column<WorkerInfo>] = &[
    ("process", |row| cell(row, "pid")),
    ("state", |row| cell(row, "state")),
    ("task", |row| cell(row, "task")),
    ("actor", |row| cell(row, "actor")),
    ("queued", |row| cell(row, "queued")),
    ("gpus", |row| cell(row, "gpus")),
    ("memory", |row| print::bytes(row.rss_bytes)),
    ("cpu", |row| format!("{:.2} s", row.cpu_ms as f64 / 1e3)),
    ("program", |row| cell(row, "program")),
];

const GROUPS: &[Column<GroupInfo>] = &[
    ("group", |row| cell(row, "id")),
    ("name", |row| cell(row, "name")),
    ("state", |row| cell(row, "state")),
    ("bundles", |row| cell(row, "bundles")),
];

/// What is summarised.
#[derive(Clone, Debug, Args)]
pub(crate) struct Summary {
    /// What to count
    #[arg(default_value = "tasks")]
    what: What,
    /// Count only rows whose field is this value (NAME=VALUE), is not (NAME!=VALUE), or contains it (NAME=~PART),
    /// whatever the case of its letters; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// At most that many names, those with the most [default: all]
    #[arg(long, short, value_name = "NAMES", value_parser = limit, allow_negative_numbers = true)]
    limit: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// How many rows are counted; beyond it the counts are said to be of a part.
const COUNTED: u64 = 100_000;

/// Rows of one kind, counted.
#[derive(Debug, Default, Serialize)]
struct Counted {
    name: String,
    states: BTreeMap<String, u64>,
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
}

/// Runs `rustyray summary`.
pub(crate) fn summary(options: &Summary) -> Result<(), Failure> {
    let mut inspector = options.target.inspector()?;
    let all = filtered(&options.filter).limit(COUNTED);
    let mut counted = match options.what {
        What::Tasks => {
            all.check::<TaskCount>()?;
            let mut counts = inspector.count_tasks()?;
            counts.retain(|count| all.takes(count));
            count_tasks(&counts)
        }
        What::Actors => count(&inspector.actors(&all)?, "class", |_| None),
        What::Objects => {
            count(&inspector.objects(&all)?, "type_name", |object| Some(object.size_bytes))
        }
        What::Workers => count(&inspector.workers(&all)?, "program", |_| None),
        What::PlacementGroups => count(&inspector.groups(&all)?, "bundles", |_| None),
    };
    let rows: u64 = counted.iter().map(|row| row.total).sum();
    let names = counted.len();
    counted.truncate(options.limit.map_or(names, |limit| limit.min(names as u64) as usize));
    if options.target.json {
        return print::json(&counted);
    }
    if counted.is_empty() {
        return print::text("There are none.\n");
    }
    let mut columns: Vec<Column<Counted>> = vec![
        ("name", |row| row.name.clone()),
        ("total", |row| row.total.to_string()),
        ("states", |row| {
            let states = row.states.iter().map(|(state, count)| format!("{count} {state}"));
            states.collect::<Vec<_>>().join(", ")
        }),
    ];
    if counted.iter().any(|row| row.size_bytes.is_some()) {
        columns.push(("size", |row| row.size_bytes.map(print::bytes).unwrap_or_default()));
    }
    print::text(&print::table(&counted, &columns))?;
    if counted.len() < names {
        let shown = counted.len();
        print::aside(format_args!("(the first {shown} of {names}; `--limit` shows more)"));
    }
    if rows == COUNTED && !matches!(options.what, What::Tasks) {
        print::aside(format_args!("(of the first {COUNTED} only)"));
    }
    Ok(())
}

fn count_tasks(counts: &[TaskCount]) -> Vec<Counted> {
    let mut counted: BTreeMap<&str, Counted> = BTreeMap::new();
    for count in counts {
        let entry = counted.entry(&count.name).or_default();
        entry.total += count.tasks;
        *entry.states.entry(count.state.to_string()).or_default() += count.tasks;
    }
    in_order(counted)
}

fn in_order<'a>(counted: impl IntoIterator<Item = (&'a str, Counted)>) -> Vec<Counted> {
    let named = |(name, entry): (&str, Counted)| Counted { name: name.to_owned(), ..entry };
    let mut counted: Vec<Counted> = counted.into_iter().map(named).collect();
    counted.sort_by_key(|entry| std::cmp::Reverse((entry.size_bytes, entry.total)));
    counted
}

fn count<R: Row>(rows: &[R], by: &str, size: impl Fn(&R) -> Option<u64>) -> Vec<Counted> {
    let mut counted: BTreeMap<String, Counted> = BTreeMap::new();
    for row in rows {
        let name = row.field(by).unwrap_or_default();
        let entry = counted.entry(name).or_default();
        entry.total += 1;
        *entry.states.entry(row.field("state").unwrap_or_default()).or_default() += 1;
        if let Some(bytes) = size(row) {
            *entry.size_bytes.get_or_insert(0) += bytes;
        }
    }
    in_order(counted.iter_mut().map(|(name, entry)| (name.as_str(), std::mem::take(entry))))
}
