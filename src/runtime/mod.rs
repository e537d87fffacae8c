//! The runtime of one process: a node, or a client of one.
//!
//! [`Core`] is what everything public leads to. It owns the process's store client and doorbell and knows
//! how to wait; whether it submits straight to a scheduler or through an up ring is [`Link`]'s matter.
//!
//! Waiting is the same everywhere: look, *help* (in the node's process: serve the up rings and dispatch),
//! spin for a calibrated time, sleep on the doorbell.

mod attendance;
pub(crate) mod background;
pub(crate) mod boot;
pub(crate) mod control;
pub(crate) mod current;
mod doorbells;
pub(crate) mod executor;
mod guard;
mod history;
mod interrupts;
mod leftovers;
pub(crate) mod lending;
pub(crate) mod line;
pub(crate) mod lines;
mod machine;
#[cfg(feature = "metrics")]
mod metrics;
mod node;
pub(crate) mod occupant;
mod on_top;
mod output;
pub(crate) mod places;
mod pool;
mod program;
pub(crate) mod record;
mod seat;
pub(crate) mod sites;
pub(crate) mod start;
#[cfg(test)]
mod strangers;
pub(crate) mod submission;
mod texts;
pub(crate) mod trace;
mod uplink;
mod wakers;
pub(crate) mod wire;
pub(crate) mod worker;

pub(crate) use self::node::{memory::Limits, words_of};
pub use current::EnterGuard;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use rustyray_ipc::{Begun, Bell, Patience, Slept};
use rustyray_store::{
    Client, ClientId, ObjectId, PinError, PinKind, SealError, Status, View, ViewError,
};

use self::{
    attendance::Attendance,
    control::{Control, Words},
    doorbells::Doorbells,
    interrupts::Interrupts,
    lines::Lines,
    occupant::Occupant,
    on_top::OnTop,
    sites::Sites,
    uplink::Uplink,
    wakers::Wakers,
};
pub(crate) use self::{background::Alarm, node::Claim};
use crate::{
    call::{Failure, FailureKind},
    context::Running,
    error::{Error, Result},
    spec::Submitter,
    value::Value,
};

/// What objects are, as they are marked when they are reserved. What bears none was put.
pub(crate) mod tag {
    /// The result of a task.
    pub(crate) const TASK: u8 = 1;
    /// The result of an actor's method.
    pub(crate) const METHOD: u8 = 2;
    /// An item of a stream, or what keeps one going.
    pub(crate) const ITEM: u8 = 3;
}

/// Why a task that sleeps goes on.
enum Woken<R> {
    Found(R),
    /// It is to name the rest of what it waits for.
    Asked,
    /// It is to run this on top.
    OnTop(Vec<u64>),
}

/// How this process reaches the node.
pub(crate) enum Link {
    /// The node is here.
    Node(Arc<node::Node>),
    /// The node is in another process.
    Uplink(Arc<Uplink>),
}

/// One process's part in a session.
pub struct Core {
    key: current::Key,
    session: u64,
    sockets: Vec<PathBuf>,
    pub(crate) client: Arc<Client>,
    pub(crate) link: Link,
    pub(crate) lines: Lines,
    control: Control,
    bell: Arc<Bell<Words>>,
    doorbells: Arc<Doorbells>,
    wakers: Arc<Wakers>,
    attendance: Attendance,
    reactor: OnceLock<()>,
    occupant: RwLock<Option<Arc<Occupant>>>,
    /// Whether the occupant ever called itself: all that its other calls look at.
    calls_itself: AtomicBool,
    /// Whether a record of one of its calls has told the node that it lives here.
    occupant_told: AtomicBool,
    closed: AtomicBool,
    stopping: AtomicBool,
    grace: Duration,
    /// The driver's own number; in a worker, that of the task it began last.
    job: AtomicU32,
    gpu_ids: RwLock<Arc<[u32]>>,
    pub(crate) interrupts: Interrupts,
    pub(crate) on_top: OnTop,
    /// In a worker: the task that it is at, while tasks are recorded.
    pub(crate) begun: Begun<Words>,
    /// Where it is recorded where objects are made.
    pub(crate) sites: Option<Box<Sites>>,
}

impl Core {
    #[expect(clippy::too_many_arguments, reason = "the one place where all parts meet")]
    pub(crate) fn new(
        session: u64,
        sockets: Vec<PathBuf>,
        client: Arc<Client>,
        link: Link,
        control: Control,
        doorbells: Arc<Doorbells>,
        grace: Duration,
        job: u32,
    ) -> Core {
        let (bell, wakers) = match &link {
            Link::Node(node) => (Arc::new(control.bell(ClientId::NODE)), Arc::clone(&node.wakers)),
            Link::Uplink(uplink) => (Arc::clone(&uplink.bell), Arc::new(Wakers::new())),
        };
        let sites = control.records_sites().then(Box::default);
        let begun = Begun::new(control.begun(client.id()));
        Core {
            key: current::Key::new(),
            session,
            sockets,
            client,
            link,
            lines: Lines::default(),
            control,
            bell,
            doorbells,
            wakers,
            attendance: Attendance::default(),
            reactor: OnceLock::new(),
            occupant: RwLock::default(),
            calls_itself: AtomicBool::new(false),
            occupant_told: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            grace,
            job: AtomicU32::new(job),
            gpu_ids: RwLock::default(),
            interrupts: Interrupts::default(),
            on_top: OnTop::default(),
            begun,
            sites,
        }
    }

    /// What tells it from the other runtimes of the process.
    #[inline]
    pub(crate) fn key(&self) -> current::Key {
        self.key
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    pub(crate) fn job(&self) -> u32 {
        self.job.load(Ordering::Relaxed)
    }

    /// The gpus that what runs in this process may use.
    pub(crate) fn gpu_ids(&self) -> Arc<[u32]> {
        self.gpu_ids.read().clone()
    }

    /// From now on it may use these.
    pub(crate) fn set_gpu_ids(&self, gpus: Arc<[u32]>) {
        *self.gpu_ids.write() = gpus;
    }

    /// What is submitted by threads that know nothing of a task is for this job from now on.
    pub(crate) fn set_job(&self, job: u32) {
        self.job.store(job, Ordering::Relaxed);
    }

    /// Where the node of this session can be reached, as far as this process knows.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.sockets.first().map(PathBuf::as_path)
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn doorbells(&self) -> &Arc<Doorbells> {
        &self.doorbells
    }

    /// The actor that lives in this process.
    pub(crate) fn occupant(&self) -> Option<Arc<Occupant>> {
        match &self.link {
            Link::Node(_) => None,
            Link::Uplink(_) => self.occupant.read().clone(),
        }
    }

    /// An actor lives in this process from now on.
    pub(crate) fn move_in(&self, occupant: Occupant) {
        self.occupant_told.store(false, Ordering::Relaxed);
        *self.occupant.write() = Some(Arc::new(occupant));
    }

    /// No actor lives here any more.
    pub(crate) fn move_out(&self) {
        *self.occupant.write() = None;
    }

    /// The actor that lives in this process has called itself.
    fn note_own_call(&self) {
        // Release: pairs with the acquire in `own_caller`, so that who sees the mark finds the call.
        self.calls_itself.store(true, Ordering::Release);
    }

    /// The actor that lives in this process, if it ever called itself.
    #[inline]
    fn own_caller(&self) -> Option<Arc<Occupant>> {
        if self.calls_itself.load(Ordering::Acquire) { self.occupant() } else { None }
    }

    /// A record that names the occupant was published.
    pub(crate) fn occupant_is_told(&self) {
        // Release: pairs with the acquire in `is_occupant_told`.
        self.occupant_told.store(true, Ordering::Release);
    }

    /// Whether the node knows from a record of an earlier call which actor lives here.
    #[inline]
    pub(crate) fn is_occupant_told(&self) -> bool {
        // Acquire: pairs with the release in `occupant_is_told`, so that a later entry is behind that record in the ring.
        self.occupant_told.load(Ordering::Acquire)
    }

    /// Settles an object that the running call would wait for for ever, with an error that says so.
    #[inline]
    fn refuse_deadlock(&self, id: ObjectId) {
        if let Some(occupant) = self.own_caller() {
            occupant.refuse_deadlock(self, id);
        }
    }

    /// The node asked this worker to end in order.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.bell.wake_local();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How many direct lines are in use.
    pub(crate) fn direct_lines(&self) -> usize {
        match &self.link {
            Link::Node(node) => node.direct_lines(),
            Link::Uplink(_) => 0,
        }
    }

    /// The process ids of the other processes of the session, as far as this one knows.
    pub(crate) fn worker_pids(&self) -> Vec<u32> {
        match &self.link {
            Link::Node(node) => node
                .peers
                .iter()
                .map(|peer| peer.pid.load(Ordering::Relaxed))
                .filter(|&pid| pid != 0)
                .collect(),
            Link::Uplink(_) => Vec::new(),
        }
    }

    /// The words of a task whose entry could not hold them.
    pub(crate) fn body_words(&self, id: ObjectId) -> Result<Vec<u64>> {
        let pin = self.client.pin(id).map_err(|error| Error::ObjectLost {
            object: id.to_string(),
            reason: error.to_string(),
        })?;
        Ok(node::words_of(&pin))
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core(session {:x}, {:?})", self.session, self.client.id())
    }
}

// --- objects ---------------------------------------------------------------------------------------------

impl Core {
    /// Takes one more reference to an object that somebody holds.
    pub(crate) fn retain(&self, id: ObjectId) -> Result<()> {
        self.client.retain(id).map_err(|stale| Error::ObjectLost {
            object: id.to_string(),
            reason: stale.to_string(),
        })
    }

    /// The same for an object that this process holds already, which cannot fail.
    #[inline]
    pub(crate) fn retain_held(&self, id: ObjectId) {
        if self.client.retain(id).is_err() {
            // A forked child or a closed session: the clone counts nothing, and so does its drop.
            debug_assert!(self.is_closed() || !self.client.holds(id), "a held object went away");
        }
    }

    #[inline]
    pub(crate) fn release(&self, id: ObjectId) {
        self.client.release(id);
    }

    /// Whether the object may still be sealed or failed.
    #[inline]
    pub(crate) fn is_pending(&self, id: ObjectId) -> bool {
        self.client.status(id) == Status::Pending && !self.is_over()
    }

    /// Whether the task that this thread runs was asked to stop.
    #[inline]
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupts.any()
            && crate::context::submitter().is_some_and(|who| self.interrupts.is_interrupted(who))
    }

    /// The task that this thread runs ends here, since it was asked to stop.
    fn interrupted(&self) -> Error {
        Error::TaskCancelled { task: crate::context::running_name().unwrap_or_else(|| "?".into()) }
    }

    /// Ends what the running task does here if it was asked to stop.
    #[inline]
    pub(crate) fn check_uninterrupted(&self) -> Result<()> {
        if self.is_interrupted() { Err(self.interrupted()) } else { Ok(()) }
    }

    /// What the task that this thread runs makes of the error of what it waited for. The news of two cancellations
    /// come by different ways, and a task that was cancelled with its children is not to fail by theirs.
    pub(crate) fn met_here(&self, error: Error) -> Error {
        if let Error::TaskCancelled { .. } = error
            && let Link::Uplink(uplink) = &self.link
            && crate::context::running().is_some()
        {
            if !self.is_interrupted() {
                // With the node gone there is no more news.
                let _ = uplink.hear_of_cancellations();
            }
            return self.check_uninterrupted().err().unwrap_or(error);
        }
        error
    }

    /// A task is to be run on top of one that waits here.
    pub(crate) fn put_on_top(&self, words: Vec<u64>) {
        self.on_top.push(words);
        self.bell.wake_local();
    }

    /// The task is to stop: whoever waits for it here looks again. Gives it if this process is at it, for
    /// [`Core::fail_interrupted`].
    pub(crate) fn interrupt(&self, task: u64) -> Option<Running> {
        self.interrupt_who(Submitter::Task(task));
        self.interrupts.begun(task)
    }

    /// Code that cannot be stopped may take its time: whoever waits for its result learns at once that there will be
    /// none. This may wait for the node.
    pub(crate) fn fail_interrupted(&self, running: &Running) {
        if let Some(id) = running.returns {
            let cancelled = Error::TaskCancelled { task: running.name() };
            self.fail(id, running.header.attempt, &cancelled);
        }
    }

    /// The same of whatever runs here.
    pub(crate) fn interrupt_who(&self, who: Submitter) {
        self.interrupts.insert(who);
        self.bell.wake_local();
    }

    /// The call by a line that makes this object is to stop, which this process may be running.
    pub(crate) fn interrupt_call(&self, consumer: ClientId, id: ObjectId) -> Result<()> {
        match &self.link {
            Link::Node(node) => {
                node.interrupt_call(consumer, id);
                Ok(())
            }
            Link::Uplink(uplink) => uplink.interrupt_call(consumer, id),
        }
    }

    /// Asks for this process's doorbell to be rung when the object is settled. Gives what it is now.
    pub(crate) fn subscribe(&self, id: ObjectId) -> Status {
        self.client.subscribe(id)
    }

    /// Stores `value`; the caller owns one reference to it.
    pub(crate) fn put_id<T: Value>(&self, value: &T) -> Result<ObjectId> {
        self.check_open()?;
        self.client.put(value).map_err(|error| store_error::<T>(error))
    }

    /// The owned value of a settled object.
    #[inline]
    pub(crate) fn get_sealed<T: Value>(&self, id: ObjectId) -> Result<T> {
        // Whatever keeps it from being read so is told below.
        if let Some(value) = self.client.inline(id).and_then(|inline| inline.value()) {
            return Ok(value);
        }
        let view = self.view_sealed::<T>(id)?;
        view.to_owned_value().map_err(|reason| Error::CorruptObject {
            object: id.to_string(),
            reason: reason.to_string(),
        })
    }

    /// A view of a settled object.
    #[inline]
    pub(crate) fn view_sealed<T: Value>(&self, id: ObjectId) -> Result<View<T>> {
        loop {
            match self.client.view::<T>(id) {
                Err(ViewError::Pin(PinError::Pending(_))) if self.is_waited_for() => {
                    // It was lost, and is being made again.
                    self.block_until_settled(id, None)?;
                }
                view => return view.map_err(|error| self.view_error::<T>(id, error)),
            }
        }
    }

    /// Whether it is any use to wait here for an object that has no value.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.is_over() && !self.is_interrupted()
    }

    #[cold]
    pub(crate) fn view_error<T: ?Sized>(&self, id: ObjectId, error: ViewError) -> Error {
        match error {
            ViewError::Failed(pin) => {
                debug_assert_eq!(pin.kind(), PinKind::Failed);
                self.met_here(Error::from_bytes(id, &pin))
            }
            ViewError::TypeMismatch { expected, found, .. } => Error::TypeMismatch {
                object: id.to_string(),
                expected: expected.to_string(),
                found: found.to_string(),
            },
            error @ ViewError::Corrupt { .. } => {
                Error::CorruptObject { object: id.to_string(), reason: error.to_string() }
            }
            _ if self.is_pending(id) && self.is_interrupted() => self.interrupted(),
            _ if self.is_closed() => self.ended(format!("object {id} went with it")),
            ViewError::Pin(PinError::Restore { source, .. }) => store_error::<T>(source),
            ViewError::Pin(PinError::Forked) => store_error::<T>(rustyray_store::Error::Forked),
            other => Error::ObjectLost { object: id.to_string(), reason: other.to_string() },
        }
    }

    /// The error that a settled object holds, `None` when it holds a value.
    pub(crate) fn error_of(&self, id: ObjectId) -> Option<Error> {
        match self.client.status(id) {
            Status::Sealed | Status::Pending => None,
            _ => match self.client.pin(id) {
                Ok(pin) if pin.kind() == PinKind::Failed => Some(Error::from_bytes(id, &pin)),
                Ok(_) => None,
                Err(error) => {
                    Some(Error::ObjectLost { object: id.to_string(), reason: error.to_string() })
                }
            },
        }
    }

    /// Seals `value` as the result `id` in the name of `attempt`.
    #[inline]
    pub(crate) fn seal_value<T: Value>(
        &self,
        id: ObjectId,
        attempt: u16,
        value: &T,
    ) -> Result<(), Failure> {
        self.client.seal_value(id, attempt, value).map_err(|error| match error {
            SealError::Late { .. } | SealError::AlreadySealed { .. } => Failure(FailureKind::Late),
            SealError::Store(error) => Failure::from(store_error::<T>(error)),
            // Nobody refers to the result any more: it is dropped.
            SealError::Stale(_) => Failure(FailureKind::Late),
            other => Failure::from(Error::ObjectLost {
                object: id.to_string(),
                reason: other.to_string(),
            }),
        })
    }

    /// Seals `error` in the place of the result `id`; a result that is there already stays.
    pub(crate) fn fail(&self, id: ObjectId, attempt: u16, error: &Error) {
        // Late, stale or sealed: somebody else settled it, which is all that is wanted. A store that has no
        // room for an error is handled by the store itself, which keeps the failed state without bytes.
        let _ = self.client.fail(id, attempt, &error.to_bytes());
    }

    /// A stream of this process has consumed all that came before this grant.
    pub(crate) fn advance_stream(&self, end: ObjectId, grant: ObjectId) {
        match &self.link {
            Link::Node(node) => node.advance_stream(end, grant),
            Link::Uplink(uplink) => uplink.advance_stream(self, end, grant),
        }
    }

    /// The grant with which the producer of a stream is to begin, should the first one be gone.
    pub(crate) fn stream_head(&self, end: ObjectId) -> Option<ObjectId> {
        match &self.link {
            Link::Node(node) => node.stream_head(end),
            Link::Uplink(uplink) => uplink.stream_head(end).ok().flatten(),
        }
    }

    /// Archives `value` for an argument and gives its bytes and the references inside it to `f`.
    pub(crate) fn encode<T: Value, R>(
        &self,
        value: &T,
        f: impl FnOnce(&[u8], &[ObjectId]) -> Result<R>,
    ) -> Result<R> {
        rustyray_store::encode(value, f).map_err(|error| Error::Serialization {
            what: std::any::type_name::<T>().to_owned(),
            reason: error.to_string(),
        })?
    }

    /// Reads an argument that was archived by [`Core::encode`].
    #[inline]
    pub(crate) fn decode<T: Value>(&self, words: &[u64], len: usize) -> Result<T> {
        rustyray_store::decode(words, len).map_err(|error| Error::Serialization {
            what: std::any::type_name::<T>().to_owned(),
            reason: error.to_string(),
        })
    }
}

/// What the store said, in the words of the public error.
#[cold]
pub(crate) fn store_error<T: ?Sized>(error: rustyray_store::Error) -> Error {
    use rustyray_store::Error as Store;
    match error {
        Store::StoreFull {
            capacity_bytes,
            used_bytes,
            pinned_bytes,
            spilled_bytes,
            requested_bytes,
        }
        | Store::TooLarge {
            capacity_bytes,
            used_bytes,
            pinned_bytes,
            spilled_bytes,
            requested_bytes,
        } => Error::ObjectStoreFull {
            requested: requested_bytes,
            capacity: capacity_bytes,
            used: used_bytes,
            pinned: pinned_bytes,
            spilled: spilled_bytes,
        },
        Store::Serialize { .. }
        | Store::Nested { .. }
        | Store::ZeroLength
        | Store::TooManyReferences { .. } => Error::Serialization {
            what: std::any::type_name::<T>().to_owned(),
            reason: error.to_string(),
        },
        Store::Config(what) => Error::invalid(format!("object store: {what}")),
        Store::Transport(_) | Store::Forked | Store::Closed => {
            Error::ShutDown { what: error.to_string() }
        }
        other => {
            Error::Io { context: "object store".into(), message: other.to_string(), errno: None }
        }
    }
}

// --- waiting ---------------------------------------------------------------------------------------------

/// When a wait that began at `started` gives up. What lies beyond all clocks, as `Duration::MAX` does, is a hundred
/// years away.
pub(crate) fn deadline(started: Instant, timeout: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    started + timeout.min(FAR)
}

impl Core {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether nothing that is waited for here comes: the runtime is closed, or that of the process which this one was
    /// forked off. A child must not wait, for it has its parent's doorbell, which it would keep from being rung.
    fn is_over(&self) -> bool {
        self.is_closed() || self.client.is_forked()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.client.is_forked() {
            return Err(store_error::<()>(rustyray_store::Error::Forked));
        }
        if self.is_closed() {
            return Err(self.gone().unwrap_or_else(|| Error::NotInitialized {
                what: "the runtime was shut down".into(),
            }));
        }
        Ok(())
    }

    /// What whoever uses a runtime is told whose node has ended, and not by its will.
    #[cold]
    pub(crate) fn gone(&self) -> Option<Error> {
        let Link::Uplink(uplink) = &self.link else { return None };
        let socket = self.sockets.first().map_or_else(String::new, |at| at.display().to_string());
        let has_lost_it = self.is_closed() && !uplink.has_hung_up();
        has_lost_it.then(|| Error::NodeEnded { what: format!("it listened on {socket}") })
    }

    /// What becomes of something that was under way when the runtime ended.
    #[cold]
    pub(crate) fn ended(&self, what: String) -> Error {
        match self.gone() {
            Some(_) => Error::NodeEnded { what },
            None => Error::ShutDown { what },
        }
    }

    /// Ends every wait of this process; what is not settled then never will be.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Link::Uplink(uplink) = &self.link {
            uplink.close();
        }
        self.wakers.wake_all();
        self.bell.wake_local();
    }

    /// Wakes whoever of this process waits for something of its own on the doorbell.
    pub(crate) fn wake_waiters(&self) {
        self.bell.pass_on();
    }

    /// One bounded step of what the doorbell stands for; `true` when there may be more.
    #[inline]
    pub(crate) fn help(&self) -> bool {
        let more = match &self.link {
            Link::Node(node) => node.help(),
            Link::Uplink(_) => false,
        };
        self.lines.tend(self);
        if !self.wakers.is_empty() || self.bell.is_waited_on() {
            self.look_for_others();
        }
        more
    }

    /// Looks for what sleeping threads and futures of this process wait for, and tells them.
    fn look_for_others(&self) {
        let mut has_news = false;
        self.client.drain_dirty(&mut |group| {
            has_news = true;
            self.wakers.settle(group, |id| self.is_pending(id));
        });
        if let Link::Uplink(uplink) = &self.link {
            has_news |= uplink.has_news();
        }
        if has_news {
            self.bell.pass_on();
        }
    }

    /// This thread alone takes what this process is to run, from now on.
    pub(crate) fn serve(&self) {
        self.attendance.serve();
    }

    /// This thread does not any more.
    pub(crate) fn cease_to_serve(&self) {
        self.attendance.cease();
    }

    /// Polls within the spin budget, helping meanwhile.
    #[inline]
    pub(crate) fn spin<R>(&self, mut poll: impl FnMut() -> Option<R>) -> Option<R> {
        let patience = Patience::calibrated();
        if self.attendance.may_attend() {
            return patience.wait_awake(&self.bell, poll, || self.help());
        }
        patience.wait_awake_aside(|| {
            self.help();
            poll()
        })
    }

    /// The same, and sleeps on the doorbell when that is used up.
    fn wait_on_bell<R>(
        &self,
        deadline: Option<Instant>,
        mut poll: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let patience = Patience::calibrated();
        let found = if self.attendance.may_attend() {
            patience.wait(&self.bell, deadline, poll, || self.help())
        } else {
            patience.wait_aside(&self.bell, deadline, || {
                self.help();
                poll()
            })
        };
        // This thread was told by a mark, which is there still.
        self.look_for_others();
        found
    }

    /// Polls until it gives something or `deadline` passes: helps, spins, sleeps.
    ///
    /// A task that is about to sleep says so to the node, which gives its cpu, and what is queued behind it,
    /// to others meanwhile: tasks that wait for tasks cannot starve each other.
    pub(crate) fn wait<R>(
        &self,
        deadline: Option<Instant>,
        awaited: &dyn Fn() -> Vec<ObjectId>,
        mut poll: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let uplink = match &self.link {
            Link::Uplink(uplink) if crate::context::running().is_some() => uplink,
            _ => return self.wait_letting_go(deadline, poll),
        };
        if let Some(found) = self.spin(&mut poll) {
            return Some(found);
        }
        let awaited = awaited();
        loop {
            let mut unnamed = uplink.blocks(&awaited);
            let woken = loop {
                // Where tasks wait for a worker, any of these may be needed to go on.
                let is_asked = || !unnamed.is_empty() && self.control.backlog() > 0;
                // What it came to, or what is to be done before it can.
                let woken = self.wait_letting_go(deadline, || match poll() {
                    Some(found) => Some(Woken::Found(found)),
                    None if is_asked() => Some(Woken::Asked),
                    None => self.on_top.pop().map(Woken::OnTop),
                });
                match woken {
                    Some(Woken::Asked) => uplink.blocks_also(std::mem::take(&mut unnamed)),
                    woken => break woken,
                }
            };
            uplink.goes_on();
            match woken {
                Some(Woken::Found(found)) => return Some(found),
                Some(Woken::OnTop(words)) => self.on_top.run(words),
                Some(Woken::Asked) | None => return None,
            }
            if let Some(found) = poll() {
                return Some(found);
            }
        }
    }

    /// Waits, and lets go of what was kept until the node took it over, or until a call by a line was settled,
    /// for it may be that which is waited for: an actor ends with its last handle, and a call holds one. Nobody
    /// tells of either, so as long as there is any the sleep is a short one.
    fn wait_letting_go<R>(
        &self,
        deadline: Option<Instant>,
        mut poll: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let mut pause = Duration::from_millis(1);
        // All lines are looked at, which is too much for who is answered soon.
        let mut has_calls = self.lines.has_routes();
        loop {
            let kept = match &self.link {
                Link::Node(_) => false,
                Link::Uplink(uplink) => uplink.let_go(|id| self.release(id)),
            } || has_calls;
            let short = kept.then(|| Instant::now() + pause);
            let until = [deadline, short].into_iter().flatten().min();
            let found = self.wait_on_bell(until, &mut poll);
            if found.is_some() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return found;
            }
            has_calls = has_calls && self.lines.let_go(self);
            pause = (2 * pause).min(Duration::from_secs(1));
        }
    }

    /// Serves the doorbell of the node until the runtime is closed or a second has passed.
    fn serve_until_idle(&self) {
        while self.help() {}
        let recheck = || {
            self.look_for_others();
            self.lines.tend(self);
            self.control.has_pending() || self.is_closed()
        };
        let slept = self.bell.sleep(recheck, Some(Duration::from_secs(1)));
        if slept != Slept::TimedOut {
            while self.help() {}
        }
    }

    /// Blocks this thread until the object is settled.
    pub(crate) fn block_until_settled(
        &self,
        id: ObjectId,
        deadline: Option<Instant>,
    ) -> Result<()> {
        if !self.is_pending(id) {
            return Ok(());
        }
        let started = Instant::now();
        let settled = || (!self.is_pending(id) || self.is_interrupted()).then_some(());
        if deadline.is_none() {
            self.refuse_deadlock(id);
        }
        if self.spin(settled).is_none() {
            self.subscribe(id);
            self.wait(deadline, &|| vec![id], settled).ok_or_else(|| Error::GetTimeout {
                object: id.to_string(),
                waited_ms: started.elapsed().as_millis() as u64,
            })?;
        }
        if self.is_pending(id) && self.is_interrupted() {
            return Err(self.interrupted());
        }
        Ok(())
    }

    /// Ready once the object is settled; registers the waker otherwise.
    #[inline]
    pub(crate) fn poll_settled(
        self: &Arc<Self>,
        id: ObjectId,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if !self.is_pending(id) {
            return Poll::Ready(());
        }
        self.refuse_deadlock(id);
        self.poll_pending(id, context)
    }

    /// The same where a deadlock is no matter, since the wait ends by itself.
    fn poll_pending(self: &Arc<Self>, id: ObjectId, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_pending(id) || self.is_interrupted() {
            return Poll::Ready(());
        }
        if executor::watch(self, id, context.waker()) {
            return Poll::Pending;
        }
        self.poll_elsewhere(id, context)
    }

    /// The same under somebody else's executor, whose thread may not be kept for long.
    #[cold]
    fn poll_elsewhere(self: &Arc<Self>, id: ObjectId, context: &mut Context<'_>) -> Poll<()> {
        if self.spin(|| (!self.is_pending(id)).then_some(())).is_some() {
            return Poll::Ready(());
        }
        self.enlist(id, context)
    }

    /// Registers the waker for one of many objects, unless it is settled: as [`Core::poll_settled`], but
    /// does not spin for it.
    pub(crate) fn poll_among_others(
        self: &Arc<Self>,
        id: ObjectId,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if !self.is_pending(id) {
            return Poll::Ready(());
        }
        self.refuse_deadlock(id);
        if executor::watch(self, id, context.waker()) {
            return Poll::Pending;
        }
        self.enlist(id, context)
    }

    fn enlist(self: &Arc<Self>, id: ObjectId, context: &mut Context<'_>) -> Poll<()> {
        if self.wake_when_settled(id, context.waker()) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Has `waker` woken by whoever serves the doorbell once the object is settled; `false` when it is.
    pub(crate) fn wake_when_settled(self: &Arc<Self>, id: ObjectId, waker: &Waker) -> bool {
        self.start_reactor();
        self.wakers.insert(self.client.dirty_group(id), id, waker);
        self.client.subscribe(id) == Status::Pending && !self.is_over()
    }

    /// Takes back what [`Core::wake_when_settled`] was told; whether the waker was not woken and will not be.
    pub(crate) fn forget_waker(&self, id: ObjectId, waker: &Waker) -> bool {
        self.wakers.remove(self.client.dirty_group(id), id, waker)
    }

    /// Has the executor on this thread, where it is one of ours, wait for this object too.
    pub(crate) fn attend(self: &Arc<Self>, id: ObjectId, waker: &Waker) {
        executor::watch(self, id, waker);
    }

    /// Whether somebody waits for the object.
    #[cfg(test)]
    pub(crate) fn is_waker_left(&self, id: ObjectId) -> bool {
        self.wakers.has(self.client.dirty_group(id), id)
    }

    /// Waits for the object until the deadline of a wait that began when `started` says.
    pub(crate) async fn settled_by(
        self: &Arc<Self>,
        id: ObjectId,
        started: Instant,
        deadline: Instant,
    ) -> Result<()> {
        let waited = || started.elapsed().as_millis() as u64;
        let timed_out = || Error::GetTimeout { object: id.to_string(), waited_ms: waited() };
        let mut alarm = None;
        std::future::poll_fn(|context| {
            if let Poll::Ready(()) = self.poll_pending(id, context) {
                return Poll::Ready(Ok(()));
            }
            if Instant::now() >= deadline {
                return Poll::Ready(Err(timed_out()));
            }
            alarm.get_or_insert_with(|| Alarm::set(deadline, context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Sees to it that somebody serves the doorbell when no thread of this process waits on it: in the node's
    /// process the service thread does, elsewhere a thread that is started when it is first needed.
    fn start_reactor(self: &Arc<Self>) {
        // In a child that was forked off the doorbell is its parent's.
        if matches!(self.link, Link::Node(_)) || self.client.is_forked() {
            return;
        }
        self.reactor.get_or_init(|| {
            let core = Arc::downgrade(self);
            let serve = move || {
                let mut let_go = Instant::now();
                while let Some(core) = core.upgrade() {
                    if core.is_closed() {
                        return;
                    }
                    // As in `wait_letting_go`, for those who wait under another executor.
                    if let Link::Uplink(uplink) = &core.link
                        && let_go.elapsed() >= Duration::from_secs(1)
                    {
                        uplink.let_go(|id| core.release(id));
                        core.lines.let_go(&core);
                        let_go = Instant::now();
                    }
                    let _ = core.bell.sleep(
                        || {
                            core.look_for_others();
                            core.lines.tend(&core);
                            core.is_closed()
                        },
                        Some(Duration::from_secs(1)),
                    );
                }
            };
            // Without the thread futures are woken only by threads that wait; there is no better answer to
            // a process that cannot have another thread.
            let _ = std::thread::Builder::new().name("rustyray-reactor".into()).spawn(serve);
        });
    }
}
