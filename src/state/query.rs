//! What an observer asks, and what the node says.

#![allow(missing_debug_implementations)] // of the resolvers that rkyv makes

use std::time::Duration;

use rkyv::{Archive, Deserialize, Serialize};

use super::row::{
    ActorInfo, GroupInfo, Line, NodeInfo, ObjectInfo, Row, TaskCount, TaskInfo, WorkerInfo,
};
use crate::error::{Error, Result};

/// How many rows a listing has where it was not said.
const DEFAULT_LIMIT: u64 = 100;

/// Which rows of a listing are wanted, and how many.
///
/// ```
/// use rustyray::state::{Listing, Row, TaskInfo, TaskState};
///
/// let listing = Listing::new().filter("state", "running").filter("name", "~resize").limit(20);
/// let mut task = TaskInfo::default();
/// task.name = "pictures::resize".into();
/// assert!(!listing.takes(&task), "it waits");
/// task.state = TaskState::Running;
/// assert!(listing.takes(&task));
/// assert_eq!(task.field("state").as_deref(), Some(TaskState::Running.name()));
///
/// assert!(listing.check::<TaskInfo>().is_ok());
/// assert!(!listing.filter("kind", "!task").takes(&task), "it is one");
///
/// let wrong = Listing::new().filter("colour", "red").check::<TaskInfo>().unwrap_err();
/// assert!(wrong.to_string().contains("there is no field `colour`"));
/// let wrong = Listing::new().filter("state", "done").check::<TaskInfo>().unwrap_err();
/// assert!(wrong.to_string().contains("`state` is never `done`"));
/// ```
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
#[must_use]
pub struct Listing {
    pub(crate) filters: Vec<(String, String)>,
    pub(crate) limit: u64,
}

impl Listing {
    /// All rows, the first 100 of them.
    pub const fn new() -> Listing {
        Listing { filters: Vec::new(), limit: DEFAULT_LIMIT }
    }

    /// Only rows whose field `name` is `value`, whatever the case of its letters, or contains it where `value` begins
    /// with `~`; and only the other ones where it begins with `!`, as in `!failed` and `!~part`. Several filters must all
    /// hold.
    pub fn filter(mut self, name: impl Into<String>, value: impl Into<String>) -> Listing {
        self.filters.push((name.into(), value.into()));
        self
    }

    /// At most that many rows.
    pub const fn limit(mut self, rows: u64) -> Listing {
        self.limit = rows;
        self
    }

    /// Whether a row is wanted.
    pub fn takes(&self, row: &impl Row) -> bool {
        self.filters
            .iter()
            .all(|(name, wanted)| row.field(name).is_some_and(|value| is_as_wanted(&value, wanted)))
    }

    /// Whether rows whose field `name` is `value` may be wanted, by the filters of that field alone.
    pub(crate) fn may_take(&self, name: &str, value: &str) -> bool {
        let mut filters = self.filters.iter().filter(|(field, _)| field == name);
        filters.all(|(_, wanted)| is_as_wanted(value, wanted))
    }

    /// Whether its filters can be asked of rows of this kind.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a filter names a field that the rows do not have, or a value that the field never
    /// has.
    pub fn check<R: Row>(&self) -> Result<()> {
        for (name, wanted) in &self.filters {
            if !R::FIELDS.contains(&name.as_str()) {
                return Err(Error::invalid(format!(
                    "there is no field `{name}` to filter by; there are {}",
                    R::FIELDS.join(", ")
                )));
            }
            let value = wanted.strip_prefix('!').unwrap_or(wanted);
            let words = R::words(name).filter(|words| !words.iter().any(|word| is(word, value)));
            if let Some(words) = words {
                return Err(Error::invalid(format!(
                    "`{name}` is never `{value}`; it is one of {}",
                    words.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// Whether a filter lets a value through.
fn is_as_wanted(value: &str, wanted: &str) -> bool {
    match wanted.strip_prefix('!') {
        Some(unwanted) => !is(value, unwanted),
        None => is(value, wanted),
    }
}

/// Whether a value is the one that is named, or has the part that is.
fn is(value: &str, wanted: &str) -> bool {
    match wanted.strip_prefix('~') {
        Some(part) => value.to_ascii_lowercase().contains(&part.to_ascii_lowercase()),
        None => value.eq_ignore_ascii_case(wanted),
    }
}

impl Default for Listing {
    fn default() -> Self {
        Listing::new()
    }
}

/// Which lines of the workers' output are wanted.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
#[must_use]
pub struct Logs {
    pub(crate) worker: Option<u32>,
    pub(crate) after: u64,
    /// How long the node waits for lines where there are none, in milliseconds.
    pub(crate) wait_ms: u64,
}

/// How long a node waits with its answer at most: less than observers have patience for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Logs {
    /// All lines that are kept.
    pub fn new() -> Logs {
        Logs::default()
    }

    /// Only those of the worker with this process id.
    pub fn worker(mut self, pid: u32) -> Logs {
        self.worker = Some(pid);
        self
    }

    /// Only those that came after the line of this number.
    pub fn after(mut self, number: u64) -> Logs {
        self.after = number;
        self
    }

    /// Where there are none yet: waits for some, for that long (10 seconds at most), and then gives none. Who waits so
    /// again and again follows what is written to its end: a node that is shut down has its workers' last words told
    /// to those who wait before it is gone.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustyray::state::{Inspector, Logs};
    ///
    /// # fn main() -> rustyray::Result<()> {
    /// # let runtime = rustyray::block_on(rustyray::Builder::new().num_cpus(1).visible(false)
    /// #     .socket(std::env::temp_dir().join(format!("rustyray-wait-{}.sock", std::process::id()))).start())?;
    /// let mut inspector = Inspector::connect(runtime.socket().expect("it can be found"))?;
    /// let news = Logs::new().wait(Duration::from_millis(10));
    /// assert!(inspector.logs(&news)?.is_empty()); // nobody writes anything
    /// # drop(inspector);
    /// # rustyray::block_on(runtime.shutdown())
    /// # }
    /// ```
    pub fn wait(mut self, longest: Duration) -> Logs {
        self.wait_ms = longest.min(LONGEST_WAIT).as_millis() as u64;
        self
    }
}

/// From an observer to the node.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) enum Query {
    Node,
    Tasks(Listing),
    CountTasks,
    Actors(Listing),
    Objects(Listing),
    Workers(Listing),
    Groups(Listing),
    Logs(Logs),
    /// Record tasks that end, for as long as this observer stays.
    Record,
}

/// From the node to an observer. Rows come in several of these.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) enum Report {
    Node(Box<NodeInfo>),
    Tasks(Vec<TaskInfo>),
    TaskCounts(Vec<TaskCount>),
    Actors(Vec<ActorInfo>),
    Objects(Vec<ObjectInfo>),
    Workers(Vec<WorkerInfo>),
    Groups(Vec<GroupInfo>),
    Lines(Vec<Line>),
    Recording,
}
