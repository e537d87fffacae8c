//! A worker process: takes tasks from its work queue, runs them, and says what came of them.
//!
//! The main thread runs user code; a second one watches the socket, and ends the process when the node is
//! gone, whatever the main thread is doing. A task's results are sealed first, then its completion is
//! published, then whoever waits for either is woken: a worker that dies in between has left a sealed
//! result that counts, or none.
//!
//! A worker with nothing to do spins for the calibrated time and then sleeps on its doorbell.

mod actor;
mod attach;
mod calls;
mod failure;

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use rustyray_ipc::{BlockingConnection, WorkConsumer};
use rustyray_store::ObjectId;

use self::{actor::Resident, calls::InFlight, failure::guarded};
pub(crate) use self::{actor::exit_actor, attach::attach};
use super::{
    Core, Link, boot::Birth, control::Words, executor::Executor, uplink::Uplink, wire::Role,
};
use crate::{
    call::{Call, Failure, Ids, Returns},
    context::TaskContext,
    error::{Error, Result},
    registry,
    spec::{ENTRY_WORDS, HEADER_WORDS, Header, Kind},
};

/// How a task ended, in the second byte of the first word of a completion.
pub(super) const DONE: u64 = 0;
/// Its error is sealed in its returns.
pub(super) const FAILED: u64 = 1;
/// Nothing is sealed: the node runs it again.
pub(super) const REPORTED: u64 = 2;
/// The actor is to end after this call.
pub(super) const FLAG_EXIT: u64 = 1 << 16;

/// Becomes a worker; gives the exit code.
pub(crate) fn run(birth: Birth) -> i32 {
    // The node alone decides how a worker ends; should it be killed, so is this process.
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    failure::keep_panics();
    let joined = BlockingConnection::from_fd(birth.socket)
        .map_err(|error| Error::io("taking the socket", &error))
        .and_then(|socket| attach(socket, Role::Worker, birth.nonce));
    match joined {
        Ok(core) => Worker::new(core).serve(),
        Err(error) => {
            eprintln!("rustyray: this worker could not join its node: {error}");
            2
        }
    }
}

struct Worker {
    core: Arc<Core>,
    uplink: Arc<Uplink>,
    work: WorkConsumer<Words>,
    entry: Box<[u64; ENTRY_WORDS]>,
    actor: Option<Resident>,
    in_flight: VecDeque<InFlight>,
    last_published: u64,
    unseen: bool,
    stopping: bool,
}

/// How many calls of an actor may be under way at once, where its options do not say.
const DEFAULT_CONCURRENCY: usize = 1000;

impl Worker {
    fn new(core: Arc<Core>) -> Worker {
        let Link::Uplink(uplink) = &core.link else { unreachable!("a worker has an uplink") };
        let uplink = Arc::clone(uplink);
        let work = core.control().work_consumer(core.client.id());
        Worker {
            core,
            uplink,
            work,
            entry: Box::new([0; ENTRY_WORDS]),
            actor: None,
            in_flight: VecDeque::new(),
            last_published: 0,
            unseen: false,
            stopping: false,
        }
    }

    fn serve(mut self) -> i32 {
        let executor = Executor::new();
        loop {
            while self.in_flight.len() < DEFAULT_CONCURRENCY && !self.stopping {
                match self.work.claim(&mut *self.entry) {
                    Ok(Some(_)) => self.take(&executor),
                    Ok(None) => break,
                    Err(garbage) => {
                        eprintln!("rustyray: the work queue is damaged: {garbage}");
                        return 3;
                    }
                }
            }
            self.poll_in_flight(&executor);
            if (self.stopping || self.core.is_stopping())
                && self.in_flight.is_empty()
                && self.work.is_empty()
            {
                self.stop(&executor);
                return 0;
            }
            if self.work.is_empty() {
                self.idle(&executor);
            }
        }
    }

    /// Nothing is to be run: say so where the node wants to know, and wait.
    fn idle(&mut self, executor: &Executor) {
        if self.core.control().backlog() > 0 {
            self.uplink.ring_node();
        }
        let Worker { core, work, .. } = self;
        let ready = || !work.is_empty() || core.is_stopping();
        if executor.spin(core, &ready) {
            return;
        }
        // The node may be asleep with completions unread: they free what the tasks held.
        if std::mem::take(&mut self.unseen) && self.uplink.has_unseen(self.last_published) {
            self.uplink.ring_node();
        }
        executor.sleep(core, &ready);
    }

    /// Runs the entry that was just claimed.
    fn take(&mut self, executor: &Executor) {
        let header = match Header::parse(&*self.entry) {
            Ok(header) => header,
            Err(error) => {
                eprintln!("rustyray: {error}");
                return;
            }
        };
        if header.kind == Kind::Stop {
            self.stopping = true;
            return;
        }
        let core = Arc::clone(&self.core);
        let body = match header.body.map(|id| core.body_words(id)).transpose() {
            Ok(body) => body,
            Err(error) => {
                eprintln!("rustyray: the body of a task is lost: {error}");
                self.publish(&header, FAILED);
                return;
            }
        };
        let entry = self.entry.clone();
        let rest = body.as_deref().unwrap_or(&entry[HEADER_WORDS..]);
        let parts = match header.split(rest) {
            Ok(parts) => parts,
            Err(error) => {
                eprintln!("rustyray: {error}");
                self.publish(&header, FAILED);
                return;
            }
        };
        let ids: Vec<ObjectId> = parts.returns().filter_map(|id| id.ok()).collect();
        let ids = match ids.as_slice() {
            &[id] => Ids::One(id),
            ids => Ids::Several(ids.into()),
        };
        let returns = Returns { core: Arc::clone(&core), ids, attempt: header.attempt };
        let _context = TaskContext::enter(&header, &returns);
        let resident = self.actor.as_ref().map(|actor| Rc::clone(&actor.cell));
        let mut call = Call {
            core: &core,
            arguments: parts.arguments,
            returns: &returns,
            actor: resident.as_ref(),
        };
        let outcome = self.code(&header).and_then(|code| guarded(|| code(&mut call)));
        self.end(executor, header, returns, outcome);
    }

    /// The code that an entry names.
    fn code(&self, header: &Header) -> Result<registry::Body, Failure> {
        let missing = |name: String| Failure::from(Error::FunctionNotFound { name });
        match header.kind {
            Kind::Task => registry::function(header.function)
                .map(registry::Function::body)
                .ok_or_else(|| missing(format!("{:016x}", header.function))),
            Kind::Construct => registry::actor_class(header.function)
                .and_then(|class| class.constructors.get(usize::from(header.index)))
                .map(|constructor| constructor.body)
                .ok_or_else(|| missing(format!("{:016x}", header.function))),
            Kind::Method => self
                .actor
                .as_ref()
                .and_then(|actor| actor.class.methods.get(usize::from(header.index)))
                .map(|method| method.body)
                .ok_or_else(|| missing(format!("method {}", header.index))),
            Kind::Stop => Err(missing("stop".into())),
        }
    }
}
