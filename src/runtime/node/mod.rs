//! The node: the scheduler, the store's owner, and the peers it serves, as the host of the scheduler.
//!
//! Any thread of the process may run any of this: the one that submits, the one that waits and helps, the
//! service thread when nobody else is awake. A client's up ring is served by one of them at a time, who
//! never waits for another: whoever finds it taken sets the pending bit again and goes on.
//!
//! Invariant: user code never runs here.

mod actors;
mod awaited;
mod cancel;
mod cause;
mod crowd;
mod groups;
mod host;
pub(super) mod inspect;
mod job;
mod lineage;
mod lines;
pub(super) mod memory;
mod peers;
mod recorded;
mod relief;
pub(super) mod review;
mod serve;
pub(super) mod spares;
mod streams;
mod submit;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize},
    },
};

use parking_lot::{Mutex, RwLock};
use rustyray_ipc::{Consumer, WorkProducer};
use rustyray_scheduler::{ObjectKey, Readiness, Scheduler, TaskId, WorkerId};
use rustyray_store::{
    Client, ClientId, ObjectId, PinKind, SealError, Status, Value, without_waiting,
};
use tokio::sync::Notify;

use self::{actors::Actors, host::Host, job::Job, lines::Places};
pub(crate) use self::{
    actors::{Claim, Place},
    relief::ON_TOP,
    submit::Handed,
};
use super::{
    background,
    control::{Control, Words},
    doorbells::Doorbells,
    history::{Ends, History},
    pool,
    record::{Batch, Record},
    sites::MadeAt,
    store_error,
    submission::Wanted,
    texts::Texts,
    wakers::Wakers,
};
use crate::{
    call::Ids,
    error::Error,
    spec::{Header, Kind},
};

/// The attempt in whose name the node itself settles an object; no worker ever has it.
const BY_NODE: u16 = u16::MAX;

/// The job of the node's own process.
pub(crate) const OWN_JOB: u32 = 1;

/// What comes from another process, for one thread at a time.
struct Inbound {
    up: Consumer<Words>,
    /// What it has recorded lately.
    batch: Batch,
}

/// Another process of the session.
pub(crate) struct Peer {
    up: Mutex<Option<Inbound>>,
    work: RwLock<Option<WorkProducer<Words>>>,
    pub(crate) pid: AtomicU32,
    /// It was asked to end, or, attached by itself, has hung up.
    pub(crate) stopping: AtomicBool,
    runs_tasks: AtomicBool,
    /// Whose work a driver submits; 0 in a worker, whose tasks say so themselves.
    pub(crate) job: AtomicU32,
    /// The objects that a task waits for, while it sleeps there.
    awaits: Mutex<Option<relief::Asleep>>,
    /// Tasks that run there on top of others, by number.
    on_top: Mutex<std::collections::HashMap<u64, relief::OnTop>>,
    /// The socket, for the rare words that are no answer.
    pub(crate) line: Mutex<Option<Arc<rustyray_ipc::Connection>>>,
    /// How many of those wait until what was said before is heard.
    unheard: Arc<AtomicUsize>,
    /// The program that it runs, by its pool.
    pool: AtomicU32,
    /// What became of the tasks that whoever had this number ran; counted by whoever drains `up`.
    ends: Ends,
    /// It was killed on purpose: an actor by its handle, a task that was cancelled, what nobody wants any more.
    killed: AtomicBool,
    /// It was killed since memory ran short.
    shortage: Mutex<Option<Arc<memory::Shortage>>>,
    /// The process, to be killed by.
    pub(crate) process: Mutex<Option<Arc<rustyray_ipc::ProcessHandle>>>,
}

/// The node of a session.
pub(crate) struct Node {
    pub(crate) store: Arc<rustyray_store::Node>,
    pub(crate) client: Arc<Client>,
    pub(crate) control: Control,
    pub(crate) doorbells: Arc<Doorbells>,
    /// Those of this process's futures, and of what tasks wait for.
    pub(super) wakers: Arc<Wakers>,
    pub(crate) peers: Box<[Peer]>,
    scheduler: OnceLock<Scheduler<Host>>,
    actors: RwLock<Actors>,
    groups: RwLock<groups::Groups>,
    lines: Places,
    actor_ended: Notify,
    /// Every actor ends once its calls are done.
    draining: AtomicBool,
    /// Counts calls that wait for their arguments aside.
    out_of_order: AtomicU64,
    relief: relief::Relief,
    /// Results can be lost, and are made again.
    keeps_lineage: bool,
    streams: streams::Streams,
    pub(super) memory: memory::Monitor,
    spares: spares::Spares,
    crowd: crowd::Crowd,
    reviews: review::Reviews,
    /// The number of the next driver's job.
    pub(crate) next_job: AtomicU32,
    pub(crate) pool: pool::Pool,
    pub(crate) history: History,
    pub(crate) record: Record,
    pub(crate) texts: Texts,
    pub(crate) made_at: MadeAt,
    pub(crate) closing: AtomicBool,
    /// The words of a task or a call found no room in the store when its turn came.
    lacks_room: AtomicBool,
    /// How much was submitted here since somebody waited, about.
    submitted: AtomicU64,
    /// Held while somebody is told to stop, and all that it has submitted.
    cancelling: Mutex<()>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("pool", &self.pool).finish_non_exhaustive()
    }
}

fn key(id: ObjectId) -> ObjectKey {
    ObjectKey { index: id.index, generation: id.generation }
}

fn id(key: ObjectKey) -> ObjectId {
    ObjectId { index: key.index, generation: key.generation }
}

fn client_of(worker: WorkerId) -> ClientId {
    ClientId::new(worker.0 as u8)
}

impl Node {
    pub(crate) fn new(
        store: Arc<rustyray_store::Node>,
        control: Control,
        doorbells: Arc<Doorbells>,
        pool: pool::Pool,
        config: rustyray_scheduler::Config,
        memory: memory::Limits,
        kept: spares::Kept,
    ) -> Arc<Node> {
        let peer = |_| Peer {
            up: Mutex::new(None),
            work: RwLock::new(None),
            pid: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            runs_tasks: AtomicBool::new(false),
            job: AtomicU32::new(0),
            awaits: Mutex::default(),
            on_top: Mutex::default(),
            line: Mutex::new(None),
            unheard: Arc::default(),
            pool: AtomicU32::new(0),
            ends: Ends::default(),
            shortage: Mutex::new(None),
            process: Mutex::new(None),
        };
        let node = Arc::new(Node {
            client: store.client(),
            control,
            doorbells,
            wakers: Arc::new(Wakers::new()),
            peers: (0..256).map(peer).collect(),
            scheduler: OnceLock::new(),
            actors: RwLock::default(),
            groups: RwLock::default(),
            lines: Places::default(),
            actor_ended: Notify::new(),
            draining: AtomicBool::new(false),
            out_of_order: AtomicU64::new(0),
            relief: relief::Relief::default(),
            keeps_lineage: store.can_lose(),
            store,
            streams: streams::Streams::default(),
            memory: memory::Monitor::new(memory),
            spares: spares::Spares::new(kept),
            crowd: crowd::Crowd::default(),
            reviews: review::Reviews::default(),
            next_job: AtomicU32::new(OWN_JOB + 1),
            pool,
            history: History::default(),
            record: Record::new(),
            texts: Texts::default(),
            made_at: MadeAt::default(),
            closing: AtomicBool::new(false),
            lacks_room: AtomicBool::new(false),
            submitted: AtomicU64::new(0),
            cancelling: Mutex::new(()),
        });
        let scheduler = Scheduler::new(Host(Arc::downgrade(&node)), config);
        assert!(node.scheduler.set(scheduler).is_ok(), "a new node has no scheduler yet");
        node.store.connect_recovery(Arc::new(lineage::Rescue(Arc::downgrade(&node))));
        node
    }

    pub(crate) fn scheduler(&self) -> &Scheduler<Host> {
        self.scheduler.get().expect("set by `new`")
    }

    pub(super) fn error_of(&self, id: ObjectId) -> Option<Error> {
        let pin = self.client.pin(id).ok()?;
        (pin.kind() == PinKind::Failed).then(|| Error::from_bytes(id, &pin))
    }

    /// Settles an object that is the node's to settle, unless it is settled already, and tells who waits for it. With
    /// an error when there is no room for the value just now: nobody is to wait for ever, nor this thread at all.
    fn settle<T: Value>(&self, id: ObjectId, value: &T) {
        match without_waiting(|| self.client.seal_value(id, 0, value)) {
            Err(SealError::Store(error)) => self.settle_failed(id, &store_error::<T>(error)),
            // Another thread was faster, or nobody wants it any more.
            Ok(()) | Err(_) => self.scheduler().settled(key(id), self.readiness(id)),
        }
    }

    /// Settles an object with an error, unless it is settled already, and tells who waits for it.
    pub(crate) fn settle_failed(&self, id: ObjectId, error: &Error) {
        // Whoever still runs for it comes too late from here on. What a dead process was sealing has been put back.
        let _ = self.store.set_attempt(id, BY_NODE);
        let _ = self.client.fail(id, BY_NODE, &error.to_bytes());
        self.scheduler().settled(key(id), self.readiness(id));
    }

    /// Keeps the error of a task that has just ended, for those who look later.
    #[cold]
    fn remember_failure(&self, task: TaskId, attempt: u16, job: &Job, id: ObjectId) {
        let Ok(pin) = self.client.pin(id) else { return };
        if pin.kind() == PinKind::Failed {
            let kind = job.header().map_or(Kind::Task, |header| header.kind);
            let returns = job.first_return();
            self.history.fail(task.to_bits(), attempt, job.name(), kind, returns, &pin);
        }
    }

    /// Keeps the error of what was submitted from another process and never came to be a task, whose submitter did
    /// not wait for it; not of calls, which know their actor's end or its limit.
    #[cold]
    fn remember_refusal(&self, wanted: &Wanted, header: &Header, returns: &Ids, error: &Error) {
        if header.kind == Kind::Method {
            return;
        }
        let own = wanted.extension.name.clone().filter(|_| header.kind == Kind::Task);
        let name = own.unwrap_or_else(|| header.name());
        let (task, first) = (self.relief.number(), returns.as_slice().first().copied());
        self.history.fail(task, 0, name, header.kind, first, &error.to_bytes());
    }

    /// Has the background do this for as long as the session lasts.
    fn until_closed(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(background) = background::handle() else { return };
        let closed = self.pool.until_closed();
        background.spawn(async move {
            tokio::select! {
                () = closed => {}
                () = work => {}
            }
        });
    }

    pub(super) fn readiness(&self, id: ObjectId) -> Readiness {
        match self.client.status(id) {
            Status::Pending => Readiness::Pending,
            Status::Sealed => Readiness::Ready,
            _ => Readiness::Failed,
        }
    }

    pub(super) fn release_all(&self, job: &Job) {
        if job.is_stream()
            && let Some(end) = job.first_return()
        {
            self.end_stream(end);
        }
        job.held.iter().for_each(|&id| self.client.release(id));
        if job.holds_returns {
            job.returns.as_slice().iter().for_each(|&id| self.client.release(id));
        }
        if let Some(body) = job.body.get() {
            self.client.release(**body);
        }
    }
}

/// The words in an object's bytes.
pub(crate) fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|&chunk| u64::from_le_bytes(chunk)).collect()
}
