//! An observer's end of a connection to a node.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustyray_ipc::BlockingConnection;

use super::{
    process::NodeProcess,
    query::{Listing, Logs, Query, Report},
    row::{ActorInfo, GroupInfo, Line, NodeInfo, ObjectInfo, TaskCount, TaskInfo, WorkerInfo},
};
use crate::{
    error::{Error, Result},
    registry,
    runtime::{
        places,
        wire::{PROTOCOL, Role, ToClient, ToNode},
    },
};

/// How long a node may take for one step of an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The sockets of the nodes of this user that are running, the longest-running first. Entries of nodes that
/// were killed are removed.
///
/// # Errors
/// [`Error::Io`] when the directory of the user's nodes cannot be read.
pub fn nodes() -> Result<Vec<PathBuf>> {
    places::nodes()
}

/// A connection to a node, to look into it.
///
/// ```
/// use std::time::Duration;
///
/// use rustyray::state::{Inspector, Listing, Logs, nodes};
///
/// #[rustyray::remote]
/// fn shout(word: String) -> usize {
///     println!("{word}!");
///     word.len()
/// }
///
/// # fn main() -> rustyray::Result<()> {
/// let runtime = rustyray::blocking::init()?;
/// let socket = runtime.socket().expect("it can be found");
/// assert!(nodes()?.iter().any(|node| node == socket));
///
/// // `Inspector::find()` does, where only one node runs.
/// let mut inspector = Inspector::connect(socket)?;
/// assert_eq!(inspector.socket(), socket);
/// inspector.record()?; // tasks that end are kept from now on
/// let shouted = rustyray::block_on(shout_remote::remote("hello".to_owned()))?;
/// assert_eq!(shouted.get_blocking()?, 5);
///
/// let finished = Listing::new().filter("state", "finished").filter("name", "~shout").limit(10);
/// let line = loop {
///     // What a worker says, and that a task has ended, may be on its way after its result was seen.
///     let lines = inspector.logs(&Logs::new())?;
///     if !inspector.tasks(&finished)?.is_empty() && !lines.is_empty() {
///         break lines.into_iter().next().expect("a line");
///     }
/// #   std::thread::sleep(Duration::from_millis(1));
/// };
/// assert_eq!(line.text, "hello!");
/// assert!(inspector.logs(&Logs::new().worker(line.worker).after(line.number))?.is_empty());
/// let counted = inspector.count_tasks()?;
/// assert!(counted.iter().any(|count| count.name.ends_with("shout") && count.tasks == 1));
///
/// let node = inspector.node()?;
/// assert_eq!((node.totals.finished_tasks, node.totals.actors), (1, 0));
/// assert!(!inspector.objects(&Listing::new())?.is_empty());
/// assert!(!inspector.workers(&Listing::new())?.is_empty());
/// assert!(inspector.actors(&Listing::new())?.is_empty());
/// assert!(inspector.groups(&Listing::new())?.is_empty());
/// assert!(!inspector.process().wait_for_end(Duration::ZERO)?); // `terminate` would ask for it
/// # drop(inspector);
/// # rustyray::blocking::shutdown()
/// # }
/// ```
pub struct Inspector {
    connection: BlockingConnection,
    process: NodeProcess,
    socket: PathBuf,
}

impl Inspector {
    /// Connects to the only node of this user that is running.
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::SeveralNodes`], and as [`Inspector::connect`].
    pub fn find() -> Result<Inspector> {
        const TRIES: u32 = 3;
        for _ in 1..TRIES {
            match Inspector::connect(places::only_node()?) {
                // It was dying when it was found. Whoever looks again finds who is left.
                Err(Error::NodeGone { .. }) => {}
                found => return found,
            }
        }
        Inspector::connect(places::only_node()?)
    }

    /// Connects to the node that listens at `socket`. A node that does not answer is given up after 20 s, here and in
    /// everything that is asked of it.
    ///
    /// # Errors
    /// [`Error::NodeGone`] when nobody listens there any more, [`Error::Io`] when there is no socket, this user may
    /// not connect, or the node does not answer; [`Error::InvalidArgument`] when it is of another version.
    pub fn connect(socket: impl AsRef<Path>) -> Result<Inspector> {
        let socket = socket.as_ref();
        let connection = places::connect(socket)?;
        let process = NodeProcess::behind(&connection, socket)?;
        let inspector = Inspector { connection, process, socket: socket.to_owned() };
        inspector
            .connection
            .set_timeout(Some(PATIENCE))
            .map_err(|error| Error::io_at("talking to the node at", socket, &error))?;
        inspector.say(&ToNode::Hello {
            protocol: PROTOCOL,
            role: Role::Observer,
            nonce: 0,
            pid: std::process::id(),
            digest: registry::digest(),
        })?;
        match inspector.hear()? {
            ToClient::Observe => Ok(inspector),
            ToClient::Refused { error } => Err(Error::from_bytes("refusal", &error)),
            _ => Err(inspector.confused()),
        }
    }

    /// Where the node listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The process that the node lives in, to end it or to wait for its end.
    pub fn process(&self) -> &NodeProcess {
        &self.process
    }

    /// The node as a whole.
    ///
    /// # Errors
    /// [`Error::NodeGone`] when the node ends meanwhile, [`Error::Io`] when it does not answer.
    pub fn node(&mut self) -> Result<NodeInfo> {
        let mut node = None;
        self.ask(Query::Node, |report| {
            if let Report::Node(found) = report {
                node = Some(*found);
            }
        })?;
        node.ok_or_else(|| self.confused())
    }

    /// How many tasks of which name stand where: of those that have not ended, those that failed and are kept, and
    /// those that were recorded. They are counted at the node, so that a million take no longer to be told than
    /// ten.
    ///
    /// # Errors
    /// As [`Inspector::node`].
    pub fn count_tasks(&mut self) -> Result<Vec<TaskCount>> {
        let mut counts = Vec::new();
        self.ask(Query::CountTasks, |report| {
            if let Report::TaskCounts(more) = report {
                counts.extend(more);
            }
        })?;
        Ok(counts)
    }

    /// Records from now on what becomes of tasks, for as long as this inspector lives. Without it the node keeps
    /// tasks that failed, and those that have not ended.
    ///
    /// # Errors
    /// As [`Inspector::node`].
    pub fn record(&mut self) -> Result<()> {
        self.ask(Query::Record, |_| {})
    }

    /// The workers' output that is kept, the oldest line first.
    ///
    /// # Errors
    /// As [`Inspector::node`].
    pub fn logs(&mut self, logs: &Logs) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        self.ask(Query::Logs(logs.clone()), |report| {
            if let Report::Lines(more) = report {
                lines.extend(more);
            }
        })?;
        Ok(lines)
    }

    fn ask(&mut self, query: Query, mut take: impl FnMut(Report)) -> Result<()> {
        self.say(&ToNode::Inspect { query })?;
        loop {
            match self.hear()? {
                ToClient::Report { report, last } => {
                    take(report);
                    if last {
                        return Ok(());
                    }
                }
                ToClient::Refused { error } => return Err(Error::from_bytes("refusal", &error)),
                _ => return Err(self.confused()),
            }
        }
    }

    fn say(&self, message: &ToNode) -> Result<()> {
        self.connection.send(&message.to_bytes(), &[]).map_err(|error| self.failed(error.into()))
    }

    fn hear(&self) -> Result<ToClient> {
        let message = self.connection.recv().map_err(|error| self.failed(error.into()))?;
        let message = message.ok_or_else(|| self.gone())?;
        ToClient::from_bytes(&message.bytes).map_err(|_| self.confused())
    }

    fn gone(&self) -> Error {
        Error::NodeGone { socket: self.socket.display().to_string() }
    }

    fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.gone(),
            io::ErrorKind::TimedOut => places::no_answer(&self.socket, PATIENCE),
            _ => Error::io_at("talking to the node at", &self.socket, &error),
        }
    }

    fn confused(&self) -> Error {
        let unexpected = io::Error::from(io::ErrorKind::InvalidData);
        Error::io_at("understanding the node at", &self.socket, &unexpected)
    }
}

macro_rules! listings {
    ($($(#[$about:meta])* $method:ident: $kind:ident <- $variant:ident;)*) => {
        impl Inspector {$(
            $(#[$about])*
            ///
            /// # Errors
            /// [`Error::InvalidArgument`] for a filter by a field that there is not, and as
            /// [`Inspector::node`].
            pub fn $method(&mut self, listing: &Listing) -> Result<Vec<$kind>> {
                listing.check::<$kind>()?;
                let mut rows: Vec<$kind> = Vec::new();
                self.ask(Query::$variant(listing.clone()), |report| {
                    if let Report::$variant(more) = report {
                        rows.extend(more);
                    }
                })?;
                Ok(rows)
            }
        )*}
    };
}
listings! {
    /// Tasks, calls and constructions: those that run, those that failed, those that have not begun, and what
    /// was recorded of the others, the newest first. Of more that have not begun than are asked for, the node
    /// looks only for as many: which ones is not said.
    tasks: TaskInfo <- Tasks;
    /// Actors; dead ones too while somebody has a handle.
    actors: ActorInfo <- Actors;
    /// Objects.
    objects: ObjectInfo <- Objects;
    /// Workers and attached processes.
    workers: WorkerInfo <- Workers;
    /// Placement groups.
    groups: GroupInfo <- Groups;
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").field("socket", &self.socket).finish_non_exhaustive()
    }
}
