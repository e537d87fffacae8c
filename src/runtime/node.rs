//! The node: the scheduler, the store's owner, and the peers it serves, as the host of the scheduler.
//!
//! Any thread of the process may run any of this: the one that submits, the one that waits and helps, the
//! service thread when nobody else is awake. A client's up ring is served by one of them at a time, who
//! never waits for another: whoever finds it taken sets the pending bit again and goes on.
//!
//! Invariant: user code never runs here.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use rustyray_ipc::{Consumer, Ticket, WorkProducer};
use rustyray_scheduler::{
    ActorId, CallRefusal, CallerId, DeathReason, Demand, Failure, Host as SchedulerHost, JobId,
    NewActor, NewCall, NewTask, ObjectKey, Outcome, PoolId, QueueFull, Readiness, Refusal, Retries,
    Scheduler, TaskId, WorkerId,
};
use rustyray_store::{Client, ClientId, ObjectId, PinKind, Status};

use super::{
    control::{Control, Words},
    doorbells::Doorbells,
    pool,
    submission::Wanted,
    uplink::{self, UP_BLOCKED, UP_COMPLETE, UP_REQUEST, UP_SUBMIT, UP_SUBMIT_BODY, UP_UNBLOCKED},
    worker::{FAILED, FLAG_EXIT, REPORTED},
};
use crate::{
    call::Ids,
    error::{Error, Result},
    registry,
    spec::{self, ENTRY_WORDS, HEADER_WORDS, Header, Kind},
};

/// The attempt in whose name the node itself settles an object; no worker ever has it.
const BY_NODE: u16 = u16::MAX;

/// A task, call or construction as the scheduler keeps it.
pub(crate) struct Job {
    words: Box<[u64]>,
    returns: Ids,
    /// References that the job holds until it ends: arguments, references inside them, its returns.
    held: Vec<ObjectId>,
    retries: Retries,
    name: Option<Box<str>>,
    /// The words again, as an object, when they do not fit an entry.
    body: OnceLock<ObjectId>,
}

impl Job {
    fn header(&self) -> Option<Header> {
        Header::parse(&self.words).ok()
    }

    /// The name by which the job appears in errors.
    fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.to_string();
        }
        let Some(header) = self.header() else { return "?".into() };
        let known = match header.kind {
            Kind::Task => registry::function(header.function).map(|f| f.name().to_owned()),
            Kind::Construct => {
                registry::actor_class(header.function).map(|class| class.name().to_owned())
            }
            Kind::Method | Kind::Stop => registry::actor_class(header.function).and_then(|class| {
                let method = class.methods.get(usize::from(header.index))?;
                Some(format!("{}::{}", class.name(), method.name))
            }),
        };
        known.unwrap_or_else(|| format!("{:016x}", header.function))
    }
}

/// Another process of the session.
pub(crate) struct Peer {
    up: Mutex<Option<Consumer<Words>>>,
    work: RwLock<Option<WorkProducer<Words>>>,
    pub(crate) pid: AtomicU32,
    stopping: AtomicBool,
    runs_tasks: AtomicBool,
    /// The process, to be killed by.
    pub(crate) process: Mutex<Option<Arc<rustyray_ipc::ProcessHandle>>>,
}

/// An actor, as its token names it.
struct Resident {
    actor: ActorId,
    label: String,
    name: Option<String>,
    detached: bool,
}

/// Actors by token, by the scheduler's id, and by name.
#[derive(Default)]
struct Actors {
    by_token: HashMap<ObjectId, Resident>,
    by_id: HashMap<ActorId, ObjectId>,
    by_name: HashMap<String, ObjectId>,
}

/// The node of a session.
pub(crate) struct Node {
    pub(crate) store: Arc<rustyray_store::Node>,
    pub(crate) client: Arc<Client>,
    pub(crate) control: Control,
    pub(crate) doorbells: Arc<Doorbells>,
    pub(crate) peers: Box<[Peer]>,
    scheduler: OnceLock<Scheduler<Host>>,
    actors: RwLock<Actors>,
    actor_dropped: AtomicBool,
    pub(crate) pool: pool::Pool,
    pub(crate) closing: AtomicBool,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// The node, as its scheduler sees it.
pub(crate) struct Host(Weak<Node>);

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
    ) -> Arc<Node> {
        let peer = |_| Peer {
            up: Mutex::new(None),
            work: RwLock::new(None),
            pid: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            runs_tasks: AtomicBool::new(false),
            process: Mutex::new(None),
        };
        let node = Arc::new(Node {
            client: store.client(),
            store,
            control,
            doorbells,
            peers: (0..256).map(peer).collect(),
            scheduler: OnceLock::new(),
            actors: RwLock::default(),
            actor_dropped: AtomicBool::new(false),
            pool,
            closing: AtomicBool::new(false),
        });
        let scheduler = Scheduler::new(Host(Arc::downgrade(&node)), config);
        assert!(node.scheduler.set(scheduler).is_ok(), "a new node has no scheduler yet");
        node
    }

    pub(crate) fn scheduler(&self) -> &Scheduler<Host> {
        self.scheduler.get().expect("set by `new`")
    }

    // --- peers -------------------------------------------------------------------------------------------

    /// A process has mapped everything and takes part from now on.
    pub(crate) fn joined(&self, client: ClientId, pid: u32, runs_tasks: bool) {
        let peer = &self.peers[client.index()];
        *peer.up.lock() = Some(self.control.up_consumer(client));
        *peer.work.write() = Some(self.control.work_producer(client));
        peer.stopping.store(false, Ordering::Relaxed);
        peer.pid.store(pid, Ordering::Relaxed);
        peer.runs_tasks.store(runs_tasks, Ordering::Relaxed);
        if runs_tasks {
            self.scheduler().worker_joined(WorkerId(u16::from(client.get())), pool::OWN);
            self.dispatch();
        }
        // `close` may have looked before this process was here to be asked.
        if runs_tasks && self.closing.load(Ordering::Acquire) {
            self.stop(client);
        }
    }

    /// A process is dead: what it published counts, what it held is released, what it ran is run again or
    /// failed. Idempotent.
    pub(crate) fn left(&self, client: ClientId, how: &str, runs_tasks: bool) {
        let peer = &self.peers[client.index()];
        if let Some(up) = &mut *peer.up.lock() {
            self.drain_ring(client, up, true);
        }
        if runs_tasks {
            let pid = peer.pid.load(Ordering::Relaxed);
            let cause = Crash { pid, how: how.to_owned() };
            self.scheduler()
                .worker_left(WorkerId(u16::from(client.get())), Cause::Crash(Arc::new(cause)));
        }
        *peer.up.lock() = None;
        *peer.work.write() = None;
        *peer.process.lock() = None;
        let reaped = self.store.reap(client);
        for orphan in reaped.orphans {
            let lost = Error::ObjectLost {
                object: orphan.to_string(),
                reason: format!("the process that was to make it ended ({how})"),
            };
            self.settle_failed(orphan, &lost);
        }
        // Whoever the dead process was about to wake is woken, and looks again.
        for other in 0..=u8::MAX {
            if self.peers[usize::from(other)].pid.load(Ordering::Relaxed) != 0 || other == 0 {
                self.doorbells.kick(ClientId::new(other));
            }
        }
        peer.pid.store(0, Ordering::Relaxed);
        peer.runs_tasks.store(false, Ordering::Relaxed);
        self.control.clear(client);
        self.dispatch();
    }

    // --- serving -----------------------------------------------------------------------------------------

    /// One bounded step: takes what clients published, dispatches what is ready. `true` when there is more.
    #[inline]
    pub(crate) fn help(&self) -> bool {
        let mut more = false;
        if self.control.has_pending() {
            for client in self.control.take_pending().iter() {
                self.drain(client);
            }
            more = true;
        }
        if self.scheduler().backlog() > 0 {
            more |= self.dispatch();
        }
        more
    }

    fn dispatch(&self) -> bool {
        let more = self.scheduler().step(64);
        self.control.set_backlog(self.scheduler().backlog() as u64);
        more
    }

    /// What needs no haste: frees what clients dropped, ends actors that nobody can reach.
    pub(crate) fn tidy(&self) {
        let mut freed = 0;
        while let now @ 1.. = self.store.collect(1024) {
            freed += now;
        }
        if freed > 0 || self.actor_dropped.swap(false, Ordering::AcqRel) {
            self.release_unreachable_actors();
        }
    }

    fn drain(&self, client: ClientId) {
        let Some(mut up) = self.peers[client.index()].up.try_lock() else {
            // Somebody is at it, and may have seen the ring before the entry that set the bit.
            self.control.set_pending(client);
            return;
        };
        if let Some(up) = &mut *up {
            self.drain_ring(client, up, false);
        }
    }

    fn drain_ring(&self, client: ClientId, up: &mut Consumer<Words>, dead: bool) {
        let mut entry = [0; ENTRY_WORDS];
        loop {
            let front = if dead { up.front_after_death(&mut entry) } else { up.front(&mut entry) };
            match front {
                Ok(Some(len)) => {
                    self.serve(client, &entry[..len]);
                    up.advance();
                }
                Ok(None) => return,
                Err(garbage) => {
                    eprintln!("rustyray: process {client:?} wrote what is no entry: {garbage}");
                    self.kill(client);
                    return;
                }
            }
        }
    }

    fn serve(&self, client: ClientId, entry: &[u64]) {
        let Some(&first) = entry.first() else { return };
        let worker = WorkerId(u16::from(client.get()));
        match first & 0xff {
            UP_COMPLETE if entry.len() >= 3 => {
                let outcome = match first >> 8 & 0xff {
                    REPORTED => Outcome::Failed { retry: true },
                    FAILED => Outcome::Failed { retry: false },
                    _ => Outcome::Done,
                };
                let task = TaskId::from_bits(entry[1]);
                self.scheduler().completed(worker, task, entry[2] as u16, outcome);
                if first & FLAG_EXIT != 0 {
                    let actor = self
                        .actors
                        .read()
                        .by_id
                        .keys()
                        .copied()
                        .find(|&actor| self.scheduler().actor_worker(actor) == Some(worker));
                    if let Some(actor) = actor {
                        self.scheduler().exit_actor(actor);
                    }
                }
            }
            UP_SUBMIT => self.accept_words(client, &entry[1..]),
            UP_SUBMIT_BODY if entry.len() >= 3 => {
                let body = ObjectId { index: entry[1] as u32, generation: entry[2] };
                match self.client.pin(body) {
                    Ok(pin) => self.accept_words(client, &words_of(&pin)),
                    Err(error) => {
                        eprintln!("rustyray: a submission of {client:?} is lost: {error}")
                    }
                }
            }
            UP_REQUEST if entry.len() >= 9 => {
                let words = std::array::from_fn(|at| entry[1 + at]);
                if let Some(request) = rustyray_store::Request::from_words(words) {
                    let reply = self.store.serve(client, request);
                    uplink::answer(&self.control.cells(client), first >> 8, reply);
                    self.doorbells.ring(client);
                }
            }
            UP_BLOCKED => {
                self.scheduler().blocked(worker);
                self.dispatch();
            }
            UP_UNBLOCKED => self.scheduler().unblocked(worker),
            kind => {
                eprintln!("rustyray: process {client:?} sent an entry of unknown kind {kind}");
                self.kill(client);
            }
        }
    }

    /// Takes a submission of a client: the references are held here before the client's entry is passed.
    fn accept_words(&self, client: ClientId, words: &[u64]) {
        let accepted = Wanted::from_words(words).map_err(|error| error.to_string()).and_then(
            |(wanted, nested, spec)| {
                let (returns, dependencies) = spec::references(spec).map_err(|e| e.to_string())?;
                let mut held = nested;
                held.extend(&dependencies);
                held.retain(|&id| self.client.retain(id).is_ok());
                for &id in &returns {
                    // From here on the object is the task's, whatever becomes of the client.
                    let _ = self.store.set_attempt(id, 0);
                }
                Ok((wanted, returns, dependencies, held, spec.to_vec()))
            },
        );
        match accepted {
            Ok((wanted, returns, dependencies, held, spec)) => {
                let returns = Ids::from_vec(returns);
                let caller = CallerId(u64::from(client.get()));
                if let Err(error) =
                    self.submit(&wanted, spec.into(), returns.clone(), &dependencies, held, caller)
                {
                    returns.as_slice().iter().for_each(|&id| self.settle_failed(id, &error));
                }
            }
            Err(error) => {
                eprintln!("rustyray: a submission of {client:?} was refused: {error}");
                self.kill(client);
            }
        }
    }

    /// Hands a task, a construction or a call to the scheduler. `held` are references that were taken for
    /// it; when it is refused they are released.
    pub(crate) fn submit(
        &self,
        wanted: &Wanted,
        words: Box<[u64]>,
        returns: Ids,
        dependencies: &[ObjectId],
        mut held: Vec<ObjectId>,
        caller: CallerId,
    ) -> Result<()> {
        let header = Header::parse(&words).map_err(|error| Error::invalid(error.to_string()))?;
        if header.kind != Kind::Construct {
            // An actor's token lives as long as its handles, not as long as its construction is kept.
            held.extend(returns.as_slice().iter().filter(|&&id| self.client.retain(id).is_ok()));
        }
        let retries = Retries {
            max: u16::try_from(wanted.retries).unwrap_or(u16::MAX - 2),
            on_error: wanted.on_error,
        };
        let job = Job {
            words,
            returns,
            held,
            retries,
            name: wanted
                .extension
                .name
                .as_deref()
                .filter(|_| header.kind == Kind::Task)
                .map(Into::into),
            body: OnceLock::new(),
        };
        let few: [ObjectKey; 1];
        let many: Vec<ObjectKey>;
        let dependencies: &[ObjectKey] = match dependencies {
            [] => &[],
            &[one] => {
                few = [key(one)];
                &few
            }
            several => {
                many = several.iter().map(|&id| key(id)).collect();
                &many
            }
        };
        let outcome = match header.kind {
            Kind::Task => self
                .scheduler()
                .submit(NewTask {
                    spec: job,
                    pool: pool::OWN,
                    job: JobId(caller.0 as u32),
                    demand: &demand(wanted),
                    dependencies,
                    priority: i32::from(wanted.priority),
                    retries,
                    parent: None,
                })
                .map(drop)
                .map_err(|refused| (refused.spec, refused.why)),
            Kind::Construct => return self.construct(wanted, job, dependencies, caller),
            Kind::Method => return self.call(&header, job, dependencies, caller),
            Kind::Stop => return Err(Error::invalid("a stop is not submitted")),
        };
        outcome.map_err(|(job, why)| self.refused(job, why))
    }

    fn refused(&self, job: Job, why: Refusal) -> Error {
        let task = job.name();
        self.release_all(&job);
        match why {
            Refusal::Unschedulable { demand, exists } => {
                Error::Unschedulable { task, demand, available: exists }
            }
            other => Error::invalid(format!("`{task}` cannot be scheduled: {other}")),
        }
    }

    fn construct(
        &self,
        wanted: &Wanted,
        job: Job,
        dependencies: &[ObjectKey],
        caller: CallerId,
    ) -> Result<()> {
        let Some(actor) = &wanted.extension.actor else {
            self.release_all(&job);
            return Err(Error::invalid("an actor's construction says nothing of the actor"));
        };
        let token = *job
            .returns
            .as_slice()
            .first()
            .ok_or_else(|| Error::invalid("an actor has a token"))?;
        let mut actors = self.actors.write();
        let name = wanted.extension.name.clone();
        if let Some(name) = &name
            && actors.by_name.contains_key(name)
        {
            drop(actors);
            self.release_all(&job);
            return Err(Error::ActorNameTaken { name: name.clone() });
        }
        let created = self.scheduler().create_actor(NewActor {
            spec: job,
            pool: pool::OWN,
            job: JobId(caller.0 as u32),
            demand: &demand(wanted),
            dependencies,
            priority: 0,
            max_restarts: u32::try_from(actor.max_restarts).unwrap_or(u32::MAX),
            max_task_retries: u16::try_from(actor.max_task_retries).unwrap_or(u16::MAX - 2),
            max_pending_calls: actor.max_pending_calls as usize,
            parent: None,
        });
        let created = match created {
            Ok(created) => created,
            Err(refused) => {
                drop(actors);
                return Err(self.refused(refused.spec, refused.why));
            }
        };
        let label = match &name {
            Some(name) => format!("{} ({name})", actor.class),
            None => actor.class.clone(),
        };
        if actor.detached {
            let _ = self.client.retain(token);
        }
        if let Some(name) = &name {
            actors.by_name.insert(name.clone(), token);
        }
        actors.by_id.insert(created, token);
        actors
            .by_token
            .insert(token, Resident { actor: created, label, name, detached: actor.detached });
        Ok(())
    }

    fn call(
        &self,
        header: &Header,
        job: Job,
        dependencies: &[ObjectKey],
        caller: CallerId,
    ) -> Result<()> {
        // The token is the first reference that a call holds.
        let token = job.held.first().copied();
        let resident = token.and_then(|token| {
            let actors = self.actors.read();
            actors.by_token.get(&token).map(|resident| (resident.actor, resident.label.clone()))
        });
        let Some((actor, label)) = resident else {
            self.release_all(&job);
            let actor = registry::actor_class(header.function).map_or("?", |class| class.name());
            return Err(Error::ActorDied {
                actor: actor.to_owned(),
                reason: "it was constructed by another session, or is gone".into(),
                cause: None,
            });
        };
        let call = NewCall { spec: job, dependencies, retries: None, parent: None };
        self.scheduler().call(actor, caller, call).map(drop).map_err(|refused| {
            self.release_all(&refused.spec);
            match refused.why {
                CallRefusal::PendingLimit { limit } => Error::PendingCallsLimit {
                    actor: label,
                    pending: limit as u64,
                    limit: limit as u64,
                },
                _ => self.actor_died(actor, self.scheduler().actor_reason(actor).as_ref()),
            }
        })
    }

    // --- actors ------------------------------------------------------------------------------------------

    /// The actor of this name: its token.
    pub(crate) fn actor_named(&self, name: &str) -> Option<ObjectId> {
        self.actors.read().by_name.get(name).copied()
    }

    /// Kills the actor of this token.
    pub(crate) fn kill_actor(&self, token: ObjectId, restart: bool) {
        let actor = self.actors.read().by_token.get(&token).map(|resident| resident.actor);
        if let Some(actor) = actor {
            self.scheduler().kill_actor(actor, restart);
            self.dispatch();
        }
    }

    /// A handle in this process was dropped, perhaps the last.
    pub(crate) fn actor_handle_dropped(&self) {
        self.actor_dropped.store(true, Ordering::Release);
        self.doorbells.ring(ClientId::NODE);
    }

    fn release_unreachable_actors(&self) {
        let gone: Vec<_> = {
            let actors = self.actors.read();
            let unreachable = |(token, resident): &(&ObjectId, &Resident)| {
                !resident.detached && self.client.status(**token) == Status::Gone
            };
            actors.by_token.iter().filter(unreachable).map(|(&token, r)| (token, r.actor)).collect()
        };
        for (token, actor) in gone {
            let name = self.forget_name(token);
            drop(name);
            self.scheduler().release_actor(actor);
        }
        self.dispatch();
    }

    fn forget_name(&self, token: ObjectId) -> Option<String> {
        let mut actors = self.actors.write();
        let name = actors.by_token.get_mut(&token).and_then(|resident| resident.name.take());
        if let Some(name) = &name {
            actors.by_name.remove(name);
        }
        name
    }

    /// The actor ended for good.
    fn forget_actor(&self, actor: ActorId) {
        let token = self.actors.read().by_id.get(&actor).copied();
        let Some(token) = token else { return };
        self.forget_name(token);
        // The entry stays while somebody may still call: the call is told why the actor died.
        if self.client.status(token) == Status::Gone {
            let mut actors = self.actors.write();
            actors.by_token.remove(&token);
            actors.by_id.remove(&actor);
        }
    }

    fn actor_died(&self, actor: ActorId, reason: Option<&DeathReason<Cause>>) -> Error {
        let (token, label) = {
            let actors = self.actors.read();
            let token = actors.by_id.get(&actor).copied();
            let label = token.and_then(|token| Some(actors.by_token.get(&token)?.label.clone()));
            (token, label.unwrap_or_else(|| "?".into()))
        };
        let (reason, cause) = match reason {
            None => ("it ended".to_owned(), None),
            Some(DeathReason::CreationFailed) => {
                ("its constructor failed".to_owned(), token.and_then(|token| self.error_of(token)))
            }
            Some(DeathReason::Dependency { cause, .. }) => {
                ("an argument of its constructor failed".to_owned(), Some(cause.error()))
            }
            Some(DeathReason::Exited) => ("it exited on its own".to_owned(), None),
            Some(DeathReason::Killed) => ("it was killed by `kill`".to_owned(), None),
            Some(DeathReason::NoHandles) => ("its last handle was dropped".to_owned(), None),
            Some(DeathReason::Crashed { restarts, cause }) => {
                (format!("its process ended ({cause}) after {restarts} restarts"), None)
            }
            Some(other) => (format!("{other:?}"), None),
        };
        Error::ActorDied { actor: label, reason, cause: cause.map(Box::new) }
    }

    // --- objects -----------------------------------------------------------------------------------------

    fn error_of(&self, id: ObjectId) -> Option<Error> {
        let pin = self.client.pin(id).ok()?;
        (pin.kind() == PinKind::Failed).then(|| Error::from_bytes(id, &pin))
    }

    /// Settles an object with an error, unless it is settled already, and tells who waits for it.
    fn settle_failed(&self, id: ObjectId, error: &Error) {
        // Whoever still runs for it comes too late from here on.
        let _ = self.store.set_attempt(id, BY_NODE);
        let _ = self.client.fail(id, BY_NODE, &error.to_bytes());
        self.scheduler().settled(key(id), self.readiness(id));
    }

    fn readiness(&self, id: ObjectId) -> Readiness {
        match self.client.status(id) {
            Status::Pending => Readiness::Pending,
            Status::Sealed => Readiness::Ready,
            _ => Readiness::Failed,
        }
    }

    fn release_all(&self, job: &Job) {
        job.held.iter().for_each(|&id| self.client.release(id));
        if let Some(&body) = job.body.get() {
            self.client.release(body);
        }
    }

    // --- ending ------------------------------------------------------------------------------------------

    fn kill(&self, client: ClientId) {
        if let Some(process) = &*self.peers[client.index()].process.lock() {
            let _ = process.signal(nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Asks a worker to end after what it has been given.
    pub(crate) fn stop(&self, client: ClientId) {
        let peer = &self.peers[client.index()];
        if peer.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        let pushed = peer.work.read().as_ref().is_some_and(|work| work.push(&spec::stop()).is_ok());
        if pushed {
            self.doorbells.ring(client);
        } else {
            self.kill(client);
        }
    }

    /// Asks every worker to end; those that do not are killed by the pool.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.pool.close();
        for client in 1..=u8::MAX {
            if self.peers[usize::from(client)].runs_tasks.load(Ordering::Relaxed) {
                self.stop(ClientId::new(client));
            }
        }
    }

    pub(crate) fn kill_all(&self) {
        let workers = (1..=u8::MAX)
            .filter(|&client| self.peers[usize::from(client)].runs_tasks.load(Ordering::Relaxed));
        workers.for_each(|client| self.kill(ClientId::new(client)));
    }
}

/// The words in an object's bytes.
pub(crate) fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|&chunk| u64::from_le_bytes(chunk)).collect()
}

fn demand(wanted: &Wanted) -> Demand {
    let parts = |parts: u32| f64::from(parts) / f64::from(crate::options::UNIT);
    let mut demand = Demand::cpus(parts(wanted.cpus));
    if wanted.gpus > 0 {
        demand = demand.with_gpus(parts(wanted.gpus));
    }
    if wanted.memory_bytes > 0 {
        demand = demand.with_memory(wanted.memory_bytes);
    }
    for (name, amount) in &wanted.extension.custom {
        demand = demand.with_custom(name, parts(*amount));
    }
    demand
}

/// Why something failed, as the scheduler carries it.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// A process ended.
    Crash(Arc<Crash>),
    /// An object failed with this error.
    Failed(Arc<Error>),
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Crash {
    pid: u32,
    how: String,
}

impl Cause {
    fn error(&self) -> Error {
        match self {
            Cause::Failed(error) => (**error).clone(),
            Cause::Crash(crash) => Error::WorkerCrashed {
                task: "?".into(),
                worker: crash.pid,
                attempt: 0,
                how: crash.how.clone(),
            },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Crash(crash) => write!(f, "process {}, {}", crash.pid, crash.how),
            Cause::Failed(error) => error.fmt(f),
        }
    }
}

impl Host {
    fn node(&self) -> Option<Arc<Node>> {
        self.0.upgrade()
    }
}

impl SchedulerHost for Host {
    type Spec = Job;
    type Cause = Cause;

    fn subscribe(&self, object: ObjectKey) -> Readiness {
        let Some(node) = self.node() else { return Readiness::Failed };
        match node.client.subscribe(id(object)) {
            Status::Pending => Readiness::Pending,
            Status::Sealed => Readiness::Ready,
            _ => Readiness::Failed,
        }
    }

    fn cause(&self, object: ObjectKey) -> Cause {
        let id = id(object);
        let error =
            self.node().and_then(|node| node.error_of(id)).unwrap_or_else(|| Error::ObjectLost {
                object: id.to_string(),
                reason: "it was released before the task that takes it could run".into(),
            });
        Cause::Failed(Arc::new(error))
    }

    fn push(
        &self,
        worker: WorkerId,
        task: TaskId,
        attempt: u16,
        job: &Job,
    ) -> std::result::Result<u64, QueueFull> {
        let node = self.node().ok_or(QueueFull)?;
        let client = client_of(worker);
        if attempt > 0 {
            for &id in job.returns.as_slice() {
                // Settled or gone: the attempt finds that out itself.
                let _ = node.store.set_attempt(id, attempt);
            }
        }
        let retried = job.retries.on_error && attempt < job.retries.max;
        let mut entry = [0; ENTRY_WORDS];
        let len = if job.words.len() <= ENTRY_WORDS {
            entry[..job.words.len()].copy_from_slice(&job.words);
            job.words.len()
        } else {
            let body = match job.body.get() {
                Some(&body) => body,
                None => {
                    let bytes: Vec<u8> = job.words[HEADER_WORDS..]
                        .iter()
                        .flat_map(|word| word.to_le_bytes())
                        .collect();
                    // A store without room is room later: the task stays ready.
                    let body = node.client.put_bytes(&bytes).map_err(|_| QueueFull)?;
                    if let Err(body) = job.body.set(body) {
                        node.client.release(body);
                    }
                    *job.body.get().unwrap_or(&body)
                }
            };
            let head = spec::head_of(&job.words, body);
            entry[..head.len()].copy_from_slice(&head);
            head.len()
        };
        spec::address(&mut entry, task.to_bits(), attempt, retried);
        let peer = &node.peers[client.index()];
        let ticket = match &*peer.work.read() {
            Some(work) => work.push(&entry[..len]).map_err(|_| QueueFull)?,
            None => return Err(QueueFull),
        };
        node.doorbells.ring(client);
        Ok(ticket.get())
    }

    fn take_back(&self, worker: WorkerId, ticket: u64) -> bool {
        let Some(node) = self.node() else { return false };
        let peer = &node.peers[client_of(worker).index()];
        peer.work.read().as_ref().is_some_and(|work| work.take_back(Ticket::from_raw(ticket)))
    }

    fn need_workers(&self, _: PoolId, how_many: usize) {
        if let Some(node) = self.node() {
            pool::start(&node, how_many);
        }
    }

    fn fail(&self, _: TaskId, job: &Job, why: Failure<Cause>) {
        let Some(node) = self.node() else { return };
        let task = job.name();
        let error = match why {
            Failure::Dependency { object, cause } => {
                let dependency = id(object).to_string();
                Error::downstream(task, dependency, cause.error())
            }
            Failure::WorkerDied { attempt, cause, .. } => match cause {
                Cause::Crash(crash) => Error::WorkerCrashed {
                    task,
                    worker: crash.pid,
                    attempt: u32::from(attempt),
                    how: crash.how.clone(),
                },
                Cause::Failed(error) => (*error).clone(),
            },
            Failure::Cancelled => Error::TaskCancelled { task },
            Failure::ActorDied { actor, reason } => node.actor_died(actor, Some(&reason)),
            Failure::ActorUnavailable { cause, .. } => {
                Error::ActorUnavailable { actor: task, reason: cause.to_string() }
            }
            other => Error::TaskFailed {
                task,
                worker: 0,
                attempt: 0,
                message: format!("{other:?}"),
                cause: None,
            },
        };
        job.returns.as_slice().iter().for_each(|&id| node.settle_failed(id, &error));
    }

    fn finished(&self, _: TaskId, job: Job) {
        let Some(node) = self.node() else { return };
        for &id in job.returns.as_slice() {
            match node.readiness(id) {
                Readiness::Pending => {}
                settled => node.scheduler().settled(key(id), settled),
            }
        }
        node.release_all(&job);
    }

    fn kill(&self, worker: WorkerId) {
        if let Some(node) = self.node() {
            node.kill(client_of(worker));
        }
    }

    fn stop(&self, worker: WorkerId) {
        if let Some(node) = self.node() {
            node.stop(client_of(worker));
        }
    }

    fn actor_changed(
        &self,
        actor: ActorId,
        state: rustyray_scheduler::ActorState,
        _: Option<&DeathReason<Cause>>,
    ) {
        if state == rustyray_scheduler::ActorState::Dead
            && let Some(node) = self.node()
        {
            node.forget_actor(actor);
        }
    }
}
