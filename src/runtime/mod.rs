//! The runtime of one process: a node, or a client of one.
//!
//! [`Core`] is what everything public leads to. It owns the process's store client and doorbell and knows
//! how to wait; whether it submits straight to a scheduler or through an up ring is [`Link`]'s matter.

#[cfg(feature = "metrics")]
mod accept;
mod attendance;
pub(crate) mod background;
pub(crate) mod boot;
pub(crate) mod control;
pub(crate) mod current;
mod cut;
mod doorbells;
mod enlisted;
pub(crate) mod executor;
pub(crate) mod foreground;
mod forward;
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
mod objects;
pub(crate) mod occupant;
mod on_top;
mod output;
mod owner;
pub(crate) mod places;
mod pool;
pub(crate) mod printer;
mod program;
pub(crate) mod record;
#[cfg(feature = "metrics")]
mod scrapers;
mod seat;
pub(crate) mod sites;
pub(crate) mod start;
mod starter;
#[cfg(test)]
mod strangers;
pub(crate) mod submission;
mod texts;
pub(crate) mod trace;
mod uplink;
mod waiting;
mod wakers;
pub(crate) mod wire;
pub(crate) mod worker;

pub(crate) use self::{
    node::{Handed, memory::Limits, words_of},
    objects::store_error,
    waiting::deadline,
};
pub use current::EnterGuard;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use rustyray_ipc::{Begun, Bell};
use rustyray_store::{Client, ClientId, ObjectId, PinKind};

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
pub(crate) use self::{
    background::Alarm,
    enlisted::{Enlisted, OwnWaker},
    node::Claim,
};
use crate::error::{Error, Result};

/// What objects are, as they are marked when they are reserved. What bears none was put.
pub(crate) mod tag {
    /// The result of a task.
    pub(crate) const TASK: u8 = 1;
    /// The result of an actor's method.
    pub(crate) const METHOD: u8 = 2;
    /// An item of a stream, or what keeps one going.
    pub(crate) const ITEM: u8 = 3;
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
    /// The slot of the occupant's token, plus one; 0 without an occupant. All that calls of other actors look at.
    occupied: AtomicU64,
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
            occupied: AtomicU64::new(0),
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

    /// The actor that lives in this process, if it is the one of this token.
    #[inline]
    pub(crate) fn occupant_of(&self, token: ObjectId) -> Option<Arc<Occupant>> {
        // Relaxed: who runs the occupant's code was given it after it moved in, and it moves out after the last of that.
        if self.occupied.load(Ordering::Relaxed) != u64::from(token.index) + 1 {
            return None;
        }
        self.occupant().filter(|occupant| occupant.token() == token)
    }

    /// An actor lives in this process from now on.
    pub(crate) fn move_in(&self, occupant: Occupant) {
        self.occupant_told.store(false, Ordering::Relaxed);
        self.occupied.store(u64::from(occupant.token().index) + 1, Ordering::Relaxed);
        *self.occupant.write() = Some(Arc::new(occupant));
    }

    /// No actor lives here any more.
    pub(crate) fn move_out(&self) {
        self.occupied.store(0, Ordering::Relaxed);
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
        match pin.kind() {
            PinKind::Value => Ok(node::words_of(&pin)),
            // They were lost, and this says how.
            PinKind::Failed => Err(Error::from_bytes(id, &pin)),
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core(session {:x}, {:?})", self.session, self.client.id())
    }
}

impl Core {
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether nothing that is waited for here comes: the runtime is closed, or that of the process which this one was
    /// forked off. A child must not wait, for it has its parent's doorbell, which it would keep from being rung.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
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

    /// What the store failed with; where the node could not be asked, what became of that.
    #[cold]
    pub(crate) fn store_failed<T: ?Sized>(&self, error: rustyray_store::Error) -> Error {
        match error {
            rustyray_store::Error::Transport(_) => self.ended(error.to_string()),
            error => store_error::<T>(error),
        }
    }

    /// Has this process know that it is over, and nobody else: whoever waits goes on to wait.
    fn forget(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Ends every wait of this process; what is not settled then never will be.
    pub(crate) fn close(&self) {
        self.forget();
        if let Link::Uplink(uplink) = &self.link {
            uplink.close();
        }
        self.wakers.wake_all();
        self.bell.wake_local();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Builder;

    #[test]
    fn what_became_of_lost_words_is_not_taken_for_them() {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let core = &runtime.core;
        let body = core.client.reserve().expect("room");
        let lost =
            Error::ObjectLost { object: body.to_string(), reason: "its file is gone".into() };
        core.fail(body, 0, &lost);
        assert_eq!(core.body_words(body), Err(lost));
        core.release(body);
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
