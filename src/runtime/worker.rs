//! A worker process: takes tasks from its work queue, runs them, and says what came of them.
//!
//! The main thread runs user code; a second one watches the socket, and ends the process when the node is
//! gone, whatever the main thread is doing. A task's results are sealed first, then its completion is
//! published, then whoever waits for either is woken: a worker that dies in between has left a sealed
//! result that counts, or none.
//!
//! A worker with nothing to do spins for the calibrated time and then sleeps on its doorbell.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustyray_ipc::{BlockingConnection, WorkConsumer};
use rustyray_store::{Client, ClientId, Geometry, ObjectId, Transport, Wake};

use super::{
    Core, Link, background,
    boot::Birth,
    control::{Control, Words},
    current,
    doorbells::Doorbells,
    executor::Executor,
    uplink::{UP_COMPLETE, Uplink},
    wire::{PROTOCOL, Role, ToClient, ToNode},
};
use crate::{
    call::{Call, End, Failure, FailureKind, Finished, Ids, Later, Returns},
    context::TaskContext,
    error::{Error, Result},
    registry::{self, ActorClass},
    spec::{self, ENTRY_WORDS, HEADER_WORDS, Header, Kind},
};

/// How a task ended, in the second byte of the first word of a completion.
pub(super) const DONE: u64 = 0;
/// Its error is sealed in its returns.
pub(super) const FAILED: u64 = 1;
/// Nothing is sealed: the node runs it again.
pub(super) const REPORTED: u64 = 2;
/// The actor is to end after this call.
pub(super) const FLAG_EXIT: u64 = 1 << 16;

thread_local! {
    /// Where and why the code of the current task panicked.
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    /// The actor asked to end.
    static EXIT: Cell<bool> = const { Cell::new(false) };
}

/// Asks for the end of the actor that lives here, after the current call; `false` outside an actor.
pub(crate) fn exit_actor() -> bool {
    EXIT.replace(true);
    true
}

/// Becomes a worker; gives the exit code.
pub(crate) fn run(birth: Birth) -> i32 {
    // The node alone decides how a worker ends; should it be killed, so is this process.
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a value that is no message").to_owned();
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        // A thread that is ending has nothing to report to.
        let _ = PANIC.try_with(|slot| {
            eprintln!("panicked at {location}: {message}");
            *slot.borrow_mut() = Some((message, location));
        });
    }));
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

/// Shakes hands with the node and joins its session.
pub(crate) fn attach(socket: BlockingConnection, role: Role, nonce: u64) -> Result<Arc<Core>> {
    let socket = Arc::new(socket);
    let lost = |what: &str| Error::Io {
        context: format!("joining a node: {what}"),
        message: "the node hung up or sent something else".into(),
        errno: None,
    };
    let io = |error: std::io::Error| Error::io("joining a node", &error);
    let frame = |error: rustyray_ipc::FrameError| io(error.into());
    let hello = ToNode::Hello {
        protocol: PROTOCOL,
        role,
        nonce,
        pid: process::id(),
        digest: registry::digest(),
    };
    socket.send(&hello.to_bytes(), &[]).map_err(frame)?;
    let (welcome, descriptors) = loop {
        let message =
            socket.recv().map_err(frame)?.ok_or_else(|| lost("waiting for its welcome"))?;
        match ToClient::from_bytes(&message.bytes) {
            Ok(ToClient::Explain) => {
                let entries = ToNode::Entries { names: registry::entries() };
                socket.send(&entries.to_bytes(), &[]).map_err(frame)?;
            }
            Ok(ToClient::Refused { error }) => return Err(Error::from_bytes("refusal", &error)),
            Ok(welcome @ ToClient::Welcome { .. }) => break (welcome, message.fds),
            Ok(ToClient::Bye | ToClient::Answer { .. }) | Err(_) => {
                return Err(lost("waiting for its welcome"));
            }
        }
    };
    let ToClient::Welcome { client, session, geometry, .. } = welcome else {
        return Err(lost("reading its welcome"));
    };
    let client = ClientId::new(client);
    let mut descriptors = descriptors.into_iter();
    let control = descriptors.next().ok_or_else(|| lost("taking the control memory"))?;
    let control = Control::attach(control, session).map_err(io)?;
    let doorbells = Arc::new(Doorbells::new(&control));
    let uplink =
        Arc::new(Uplink::new(&control, client, Arc::clone(&doorbells), Arc::clone(&socket)));
    let geometry = Geometry::from_words(&geometry).map_err(super::store_error::<()>)?;
    let store = Client::attach(
        geometry,
        descriptors.collect(),
        client,
        Arc::clone(&uplink) as Arc<dyn Transport>,
        Arc::clone(&doorbells) as Arc<dyn Wake>,
    )
    .map_err(super::store_error::<()>)?;
    let core = Arc::new(Core::new(
        session,
        store,
        Link::Uplink(uplink),
        control,
        doorbells,
        Duration::ZERO,
    ));
    socket.send(&ToNode::Ready.to_bytes(), &[]).map_err(frame)?;
    watch_node(&core, socket, role);
    current::register(&core);
    Ok(core)
}

/// Starts the thread that acts on the node's last words, or on its death.
fn watch_node(core: &Arc<Core>, socket: Arc<BlockingConnection>, role: Role) {
    let core = Arc::clone(core);
    let watch = move || {
        while let Ok(Some(message)) = socket.recv() {
            match ToClient::from_bytes(&message.bytes) {
                Ok(ToClient::Bye) if role == Role::Worker => core.stop(),
                Ok(ToClient::Answer { number, token }) => {
                    if let Link::Uplink(uplink) = &core.link {
                        let token = token.map(|(index, generation)| ObjectId { index, generation });
                        uplink.answered(number, token);
                    }
                }
                _ => {}
            }
        }
        // The node is gone.
        match role {
            Role::Worker => super::boot::end(0),
            Role::Driver => core.close(),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("rustyray-node-watch".into()).spawn(watch)
    {
        eprintln!("rustyray: no thread to watch the node: {error}");
        super::boot::end(2);
    }
}

/// A call whose future is not done yet.
struct InFlight {
    header: Header,
    returns: Returns,
    /// What the call's end means.
    future: Later,
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

/// The actor that lives in this process.
struct Resident {
    class: &'static ActorClass,
    cell: Rc<dyn Any>,
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

    /// Acts on how a call ended, or on what it waits for.
    fn end(
        &mut self,
        executor: &Executor,
        header: Header,
        returns: Returns,
        outcome: Result<Finished, Failure>,
    ) {
        match outcome.map(|finished| finished.0) {
            Ok(End::Sealed) => self.complete(&header, &returns, Ok(())),
            Err(failure) => self.complete(&header, &returns, Err(failure)),
            Ok(End::Later(future)) => self.begin(executor, InFlight { header, returns, future }),
            Ok(End::Constructed(cell)) => self.settle(&header, &returns, cell),
            Ok(End::ConstructedLater(future)) => {
                let _tokio = background::handle().map(|handle| handle.enter());
                match executor.run(guarded_future(future)).flatten() {
                    Ok(cell) => self.settle(&header, &returns, cell),
                    Err(failure) => self.complete(&header, &returns, Err(failure)),
                }
            }
        }
    }

    /// Begins a call that may wait: a task has the worker to itself, an actor's calls overlap.
    fn begin(&mut self, executor: &Executor, mut call: InFlight) {
        let Ok(background) = background::handle() else {
            let failure =
                Failure::message("this process cannot have the thread that async code needs");
            return self.complete(&call.header, &call.returns, Err(failure));
        };
        let _tokio = background.enter();
        if call.header.kind == Kind::Task {
            let outcome = executor.run(guarded_future(call.future)).flatten();
            return self.complete(&call.header, &call.returns, outcome);
        }
        match executor.poll(|context| poll_guarded(&mut call, context)) {
            Poll::Ready(outcome) => self.complete(&call.header, &call.returns, outcome),
            Poll::Pending => self.in_flight.push_back(call),
        }
    }

    fn poll_in_flight(&mut self, executor: &Executor) {
        if self.in_flight.is_empty() {
            return;
        }
        let Ok(background) = background::handle() else { return };
        let _tokio = background.enter();
        for _ in 0..self.in_flight.len() {
            let Some(mut call) = self.in_flight.pop_front() else { break };
            let _context = TaskContext::enter(&call.header, &call.returns);
            match executor.poll(|context| poll_guarded(&mut call, context)) {
                Poll::Ready(outcome) => self.complete(&call.header, &call.returns, outcome),
                Poll::Pending => self.in_flight.push_back(call),
            }
        }
    }

    /// The actor is constructed: it lives here from now on.
    fn settle(&mut self, header: &Header, returns: &Returns, cell: Rc<dyn Any>) {
        let Some(class) = registry::actor_class(header.function) else {
            let failure = Error::FunctionNotFound { name: format!("{:016x}", header.function) };
            return self.complete(header, returns, Err(failure.into()));
        };
        self.actor = Some(Resident { class, cell });
        let sealed = match class.on_start {
            None => Ok(()),
            Some(hook) => self.hook(hook),
        };
        let outcome = sealed.and_then(|()| match returns.ids.as_slice().first() {
            Some(&id) => self.core.seal_value(id, returns.attempt, &()),
            None => Ok(()),
        });
        self.complete(header, returns, outcome);
    }

    /// Runs `on_start` or `on_stop`.
    fn hook(&self, hook: registry::Body) -> Result<(), Failure> {
        let returns =
            Returns { core: Arc::clone(&self.core), ids: Ids::Several([].into()), attempt: 0 };
        let cell = self.actor.as_ref().map(|actor| &actor.cell);
        let mut call = Call {
            core: &self.core,
            arguments: spec::Arguments::none(),
            returns: &returns,
            actor: cell,
        };
        match guarded(|| hook(&mut call))?.0 {
            End::Later(future) => {
                let executor = Executor::new();
                let _tokio =
                    background::handle().map(|handle| handle.enter()).map_err(Failure::from)?;
                executor.run(guarded_future(future)).flatten()
            }
            _ => Ok(()),
        }
    }

    /// Ends the process in order.
    fn stop(&mut self, _: &Executor) {
        if let Some(hook) = self.actor.as_ref().and_then(|actor| actor.class.on_stop)
            && let Err(failure) = self.hook(hook)
        {
            eprintln!("rustyray: on_stop failed: {failure:?}");
        }
        self.actor = None;
    }

    /// Seals a failure where there is one, and publishes the completion.
    fn complete(&mut self, header: &Header, returns: &Returns, outcome: Result<(), Failure>) {
        let doorbells = Arc::clone(self.core.doorbells());
        doorbells.deferring(|| match outcome {
            Ok(()) | Err(Failure(FailureKind::Late)) => self.publish(header, DONE),
            Err(failure) => {
                let error =
                    failure.into_error(&name_of(header, self.actor.as_ref()), header.attempt);
                if header.retried {
                    eprintln!("attempt {} failed and is run again: {error}", header.attempt);
                    self.publish(header, REPORTED);
                } else {
                    for &id in returns.ids.as_slice() {
                        self.core.fail(id, returns.attempt, &error);
                    }
                    self.publish(header, FAILED);
                }
            }
        });
    }

    fn publish(&mut self, header: &Header, outcome: u64) {
        let exit = if EXIT.take() { FLAG_EXIT } else { 0 };
        let entry = [UP_COMPLETE | outcome << 8 | exit, header.task, u64::from(header.attempt)];
        if let Some(position) = self.uplink.publish(&entry) {
            self.last_published = position;
            self.unseen = true;
        }
    }
}

/// The name by which a call appears in errors.
fn name_of(header: &Header, actor: Option<&Resident>) -> String {
    match header.kind {
        Kind::Task => registry::function(header.function).map(|f| f.name().to_owned()),
        Kind::Construct => {
            registry::actor_class(header.function).map(|class| class.name().to_owned())
        }
        Kind::Method | Kind::Stop => actor.and_then(|actor| {
            let method = actor.class.methods.get(usize::from(header.index))?;
            Some(format!("{}::{}", actor.class.name(), method.name))
        }),
    }
    .unwrap_or_else(|| format!("{:016x}", header.function))
}

impl Failure {
    /// The public error of a failed call.
    fn into_error(self, task: &str, attempt: u16) -> Error {
        let (task, worker, attempt) = (task.to_owned(), process::id(), u32::from(attempt));
        match self.0 {
            FailureKind::Returned { message, cause } => {
                Error::TaskFailed { task, worker, attempt, message, cause }
            }
            FailureKind::Panicked { message, location } => {
                Error::TaskPanicked { task, worker, attempt, message, location }
            }
            FailureKind::Runtime(
                error @ (Error::FunctionNotFound { .. } | Error::TypeMismatch { .. }),
            ) => error,
            FailureKind::Runtime(error) => Error::TaskFailed {
                task,
                worker,
                attempt,
                message: error.to_string(),
                cause: std::error::Error::source(&error).map(crate::error::Cause::chain),
            },
            FailureKind::Late => Error::TaskCancelled { task },
        }
    }
}

/// Runs user code; a panic becomes a failure.
fn guarded<R>(code: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|_| Err(panicked()))
}

/// Runs the polls of a user's future; a panic becomes a failure.
async fn guarded_future<F: Future>(future: F) -> Result<F::Output, Failure> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(panicked())),
        }
    })
    .await
}

fn poll_guarded(call: &mut InFlight, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    catch_unwind(AssertUnwindSafe(|| call.future.as_mut().poll(context)))
        .unwrap_or_else(|_| Poll::Ready(Err(panicked())))
}

fn panicked() -> Failure {
    let (message, location) = PANIC
        .take()
        .unwrap_or_else(|| ("a panic whose message was lost".into(), "an unknown place".into()));
    Failure(FailureKind::Panicked { message, location })
}
