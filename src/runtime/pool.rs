//! Worker processes: started, let in, listened to, and buried.
//!
//! One async task on the background thread sees each process through its whole life. A connection that
//! ends is a process that is ending: no more work is dispatched to it; its exit, which the pidfd tells of,
//! is what allows its memory to be used again.

use std::{
    fmt,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::{Child, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant, UNIX_EPOCH},
};

use nix::sys::signal::Signal;
use rustyray_ipc::{Connection, Listener, ProcessHandle};
use rustyray_scheduler::PoolId;
use rustyray_store::{ClientId, ObjectId};
use tokio::{sync::watch, time::timeout};

use super::{
    background, boot, forward,
    guard::Guard,
    node::{Claim, Node, Place, inspect},
    output::Output,
    program::{Card, Program, Programs},
    seat::{Seat, ended},
    starter,
    wire::{BUSY, NO_LIMIT, PROTOCOL, Question, Role, ToClient, ToNode},
};
use crate::{
    cancel::CancelOptions,
    error::{Error, Result},
    registry,
};

/// How long a process may take from its start to its being ready.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a process may live on after its connection ended.
const GRACE: Duration = Duration::from_secs(2);
/// How long a worker that ended counts as there while what it wrote is not read to its end.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long a node that ends waits for those who follow what its workers wrote to ask for the rest.
pub(crate) const TELLING: Duration = Duration::from_secs(1);

/// In how many of so many workers actors may live: one in sixteen is kept for tasks, where there are so many, since
/// actors end when their owners like and what they wait for may be a task.
pub(crate) fn most_actors(max_workers: usize) -> usize {
    max_workers - max_workers / 16
}

/// What the pool keeps about itself.
pub(crate) struct Pool {
    pub(crate) session: u64,
    pub(crate) control: OwnedFd,
    /// Where the node listens.
    pub(crate) sockets: Vec<PathBuf>,
    /// The node is all that this process is for.
    pub(crate) daemon: bool,
    pub(crate) started: Instant,
    /// The same by the calendar.
    pub(crate) started_at_ms: u64,
    pub(crate) programs: Programs,
    pub(crate) output: Arc<Output>,
    /// How many workers there can be.
    max_workers: usize,
    /// The node has gpus to give.
    gives_gpus: bool,
    nonces: AtomicU64,
    alive: watch::Sender<usize>,
    /// The same, read without a lock.
    count: AtomicUsize,
    failures: AtomicUsize,
    closed: watch::Sender<bool>,
    /// Nobody listens at the socket, and its file is gone.
    deaf: watch::Sender<bool>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} processes)", *self.alive.borrow())
    }
}

impl Pool {
    pub(crate) fn new(
        session: u64,
        control: OwnedFd,
        sockets: Vec<PathBuf>,
        daemon: bool,
        max_workers: usize,
        gives_gpus: bool,
    ) -> Pool {
        let deaf = watch::Sender::new(sockets.is_empty());
        Pool {
            session,
            control,
            sockets,
            daemon,
            max_workers,
            gives_gpus,
            started: Instant::now(),
            started_at_ms: UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as u64,
            programs: Programs::new(),
            output: Arc::new(Output::new()),
            nonces: AtomicU64::new(session.rotate_left(17)),
            alive: watch::Sender::new(0),
            count: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            closed: watch::Sender::new(false),
            deaf,
        }
    }

    /// How many workers there are, those included that are just being started.
    pub(crate) fn alive(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn count(&self, change: impl FnOnce(&mut usize)) {
        self.alive.send_modify(|alive| {
            change(alive);
            self.count.store(*alive, Ordering::Relaxed);
        });
    }

    /// How many workers there can be.
    pub(crate) fn max_workers(&self) -> usize {
        self.max_workers
    }

    /// In how many of them actors may live.
    pub(crate) fn max_actors(&self) -> usize {
        most_actors(self.max_workers)
    }

    /// Whether no further worker can be started.
    pub(crate) fn is_full(&self) -> bool {
        self.alive() >= self.max_workers
    }

    /// No further process is let in, and attached drivers are let go.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Ready once no further process is let in.
    pub(crate) fn until_closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closed = self.closed.subscribe();
        async move {
            let _ = closed.wait_for(|&closed| closed).await;
        }
    }

    /// Waits until no worker is left and nobody listens any more.
    pub(crate) async fn emptied(&self) {
        let _ = self.alive.subscribe().wait_for(|&alive| alive == 0).await;
        let _ = self.deaf.subscribe().wait_for(|&deaf| deaf).await;
    }
}

/// Starts `how_many` workers of a pool; says so to the scheduler when they cannot be had.
pub(crate) fn start(node: &Arc<Node>, pool: PoolId, how_many: usize) {
    let (Ok(background), Some(program)) = (background::handle(), node.pool.programs.get(pool))
    else {
        return node.scheduler().spawn_failed(pool, how_many);
    };
    for _ in 0..how_many {
        if node.closing.load(Ordering::Acquire) {
            return;
        }
        node.pool.count(|alive| *alive += 1);
        let (node, program) = (Arc::clone(node), Arc::clone(&program));
        background.spawn(async move {
            if let Err(error) = life(&node, &program).await {
                if !node.closing.load(Ordering::Acquire) {
                    crate::notice!("rustyray: a worker did not start: {error}");
                    // An executable whose workers never come up is not started for ever.
                    let failures = node.pool.failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20 << failures.min(8))).await;
                }
                node.scheduler().spawn_failed(pool, 1);
                // What waited for it may have another, and nothing else may happen.
                node.dispatch();
            }
            node.pool.count(|alive| *alive -= 1);
        });
    }
}

/// The whole life of one worker process.
async fn life(node: &Arc<Node>, program: &Arc<Program>) -> Result<()> {
    let io = |error: std::io::Error| Error::io("starting a worker", &error);
    let (ours, theirs) = rustyray_ipc::pair().map_err(io)?;
    let nonce = node.pool.nonces.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let (started, gives_gpus) = (Arc::clone(program), node.pool.gives_gpus);
    let mut child =
        starter::run(move || boot::spawn(&started.launch(), theirs, nonce, gives_gpus)).await??;
    let pid = child.id();
    let output = forward::all(&node.pool.output, &mut child);
    let watched = ProcessHandle::open(pid as i32)
        .and_then(|process| Ok((Arc::new(process), Arc::new(Connection::from_fd(ours)?))));
    let (process, connection) = match watched {
        Ok(watched) => watched,
        Err(error) => {
            let _ = child.kill();
            // It has been killed, so this is short.
            let _ = child.wait();
            return Err(io(error));
        }
    };
    let mut given = Given::default();
    let letting_in = let_worker_in(node, program, &connection, nonce, &process, &mut given);
    let joined = timeout(HANDSHAKE, letting_in).await;
    let seat = match joined {
        Ok(Ok(seat)) => seat,
        other => {
            let _ = process.signal(Signal::SIGKILL);
            let how = bury(&process, &mut child).await;
            given.take_back(node).await;
            return Err(match other {
                Ok(Err(error @ Error::RegistryMismatch { .. })) => error,
                Ok(Err(error)) => Error::io(
                    format_args!("worker {pid} {how} before it was ready"),
                    &std::io::Error::other(error.to_string()),
                ),
                _ => Error::io(
                    format_args!("worker {pid} {how}"),
                    &std::io::Error::other("it was not ready within 30 s"),
                ),
            });
        }
    };
    let client = seat.client();
    node.pool.failures.store(0, Ordering::Relaxed);
    node.watch_spares();
    tokio::select! {
        // The socket is closed: the process ends, or has lost its mind.
        () = listen(node, &connection, client) => {}
        // A process that it forked off has the socket, too, and may live on.
        () = ended(&process) => {}
    }
    if timeout(GRACE, ended(&process)).await.is_err() {
        let _ = process.signal(Signal::SIGKILL);
    }
    let how = bury(&process, &mut child).await;
    node.until_there_is_room(client).await;
    node.left(seat.vacated().await, &how, true);
    // Its last words are heard before it counts as gone, and the node with it; unless somebody else has the pipes.
    let _ = timeout(LAST_WORDS, futures_join(output)).await;
    Ok(())
}

/// Lets in whoever connects, until the node closes.
pub(crate) fn listen_for_others(node: &Arc<Node>, listeners: Vec<Listener>, guard: Option<Guard>) {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let serving = listeners.iter().map(|listener| accept(&node, listener));
        futures_join(serving.collect()).await;
        // First the sockets and their files, then the guard.
        drop(listeners);
        drop(guard);
        node.pool.deaf.send_replace(true);
    });
}

/// Runs all of the futures at once; `Ready` when all are.
async fn futures_join(futures: Vec<impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        for slot in &mut futures {
            if let Some(future) = slot
                && future.as_mut().poll(context).is_ready()
            {
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn accept(node: &Arc<Node>, listener: &Listener) {
    let mut closed = node.pool.closed.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.wait_for(|&closed| closed) => return,
        };
        match accepted {
            Ok(connection) => drop(tokio::spawn(attend(Arc::clone(node), connection))),
            Err(error) => {
                crate::notice!("rustyray: a process was not let in: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// The whole stay of a process that connected by itself.
async fn attend(node: Arc<Node>, connection: Connection) {
    let connection = Arc::new(connection);
    let Ok(process) = connection.peer_process().map(Arc::new) else { return };
    let mut closed = node.pool.closed.subscribe();
    let mut given = Given::default();
    let letting_in = let_visitor_in(&node, &connection, &process, &mut given);
    let Ok(Ok(visitor)) = timeout(HANDSHAKE, letting_in).await else {
        if given.seat.is_some() {
            let _ = connection.shutdown();
        }
        tokio::select! {
            () = given.take_back(&node) => {}
            _ = closed.wait_for(|&closed| closed) => {}
        }
        return;
    };
    let (seat, program) = match visitor {
        Visitor::Driver(seat, program) => (seat, program),
        Visitor::Observer => {
            inspect::serve(&node, &connection).await;
            return;
        }
    };
    let client = seat.client();
    tokio::select! {
        () = listen(&node, &connection, client) => {}
        // What it forked off may keep the socket open.
        () = ended(&process) => {}
        _ = closed.wait_for(|&closed| closed) => {
            // The node has it too, and may be kept by somebody in this process, which lives on.
            let _ = connection.shutdown();
            return;
        }
    }
    program.detach();
    node.peers[client.index()].stopping.store(true, Ordering::Relaxed);
    node.hung_up(client);
    // Its memory may be used again only when nothing of it is left that could write.
    node.left(seat.vacated().await, "ended", false);
}

/// A process that connected by itself and was let in.
enum Visitor {
    Driver(Seat, Arc<Program>),
    Observer,
}

/// Answers what a client asks, until its connection ends.
async fn listen(node: &Arc<Node>, connection: &Connection, client: ClientId) {
    while let Ok(Some(message)) = connection.recv().await {
        let Ok(ToNode::Ask { number, question }) = ToNode::from_bytes(&message.bytes) else {
            return;
        };
        // What the client submitted before it asked comes first.
        node.catch_up(client);
        let token = match question {
            Question::ActorNamed(name) => node.actor_named(&name),
            Question::ClassOf { index, generation } => {
                let class = node.class_of(ObjectId { index, generation });
                class.map(|class| ObjectId { index: 0, generation: class })
            }
            Question::CreateGroup { wanted, index, generation } => {
                let token = ObjectId { index, generation };
                match node.create_group(&wanted, token, client) {
                    Ok(()) => Some(token),
                    Err(error) => {
                        node.refuse_group(token, &error);
                        None
                    }
                }
            }
            Question::GroupNamed(name) => node.group_named(&name),
            Question::RemoveGroup { index, generation } => {
                node.remove_group(ObjectId { index, generation });
                None
            }
            Question::Cancel { index, generation, force, recursive } => {
                let options = CancelOptions { force, recursive };
                node.cancel(ObjectId { index, generation }, options);
                None
            }
            Question::InterruptCall { client, index, generation } => {
                node.interrupt_calls(&[(ClientId::new(client), ObjectId { index, generation })]);
                None
            }
            Question::CancelCalls { calls, force } => {
                let calls = calls.into_iter().map(|(client, index, generation)| {
                    (ClientId::new(client), ObjectId { index, generation })
                });
                node.cancel_calls(&calls.collect::<Vec<_>>(), force);
                None
            }
            Question::Cancelled => {
                node.finish_cancelling();
                None
            }
            Question::StreamHead { index, generation } => {
                node.stream_head(ObjectId { index, generation })
            }
            Question::KillActor { index, generation, restart } => {
                node.kill_actor(ObjectId { index, generation }, restart);
                None
            }
            Question::ClaimName { name, index, generation } => {
                match node.claim_name(&name, ObjectId { index, generation }, client) {
                    Claim::Kept => None,
                    Claim::Of(token) => Some(token),
                    Claim::Busy => Some(BUSY),
                }
            }
            Question::DropClaim { name, index, generation } => {
                node.drop_claim(&name, ObjectId { index, generation });
                None
            }
            Question::Room { index, generation } => node.room(ObjectId { index, generation }),
            Question::KeepPlace { index, generation } => {
                match node.keep_place(ObjectId { index, generation }, client) {
                    Place::Kept => None,
                    Place::NoLimit => Some(NO_LIMIT),
                    Place::Full { limit } => Some(ObjectId { index: u32::MAX, generation: limit }),
                }
            }
            Question::DropPlace { index, generation } => {
                node.drop_place(ObjectId { index, generation }, client);
                None
            }
            Question::Obituary { index, generation } => {
                node.obituary(ObjectId { index, generation })
            }
        };
        let answer =
            ToClient::Answer { number, token: token.map(|token| (token.index, token.generation)) };
        if connection.send(&answer.to_bytes(), &[]).await.is_err() {
            return;
        }
    }
}

/// Waits for the end of a process and says how it ended.
async fn bury(process: &ProcessHandle, child: &mut Child) -> String {
    ended(process).await;
    // It does not block any more.
    match child.wait() {
        Ok(status) => describe(status),
        Err(error) => format!("ended in an unknown way: {error}"),
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(signal), _) => match Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "ended".into(),
    }
}

/// What a process has of the node that is being let in, which may be given up at any moment.
#[derive(Default)]
struct Given {
    /// Its place, until it has joined.
    seat: Option<Seat>,
    /// It counts among the drivers of this program, until it is let in.
    program: Option<Arc<Program>>,
}

impl Given {
    /// The process never joined. It may have mapped what it was given, and write there for as long as it lives.
    async fn take_back(self, node: &Node) {
        if let Some(program) = self.program {
            program.detach();
        }
        if let Some(seat) = self.seat {
            seat.vacated().await.reap(&node.store);
        }
    }
}

/// One side of a handshake.
struct Handshake<'a> {
    connection: &'a Arc<Connection>,
}

/// The first word of a process.
struct Hello {
    role: Role,
    nonce: u64,
    pid: u32,
    digest: u64,
    executable: Option<OwnedFd>,
}

impl Handshake<'_> {
    async fn next(&self) -> Result<(ToNode, Vec<OwnedFd>)> {
        let message = self.connection.recv().await.map_err(frame_error)?.ok_or_else(|| {
            Error::io("letting a process in", &std::io::ErrorKind::UnexpectedEof.into())
        })?;
        let said = ToNode::from_bytes(&message.bytes)
            .map_err(|error| Error::invalid(error.to_string()))?;
        Ok((said, message.fds))
    }

    async fn say(&self, message: ToClient) -> Result<()> {
        self.connection.send(&message.to_bytes(), &[]).await.map_err(frame_error)
    }

    /// Tells the process why it is not let in.
    async fn refuse(&self, error: Error) -> Error {
        let _ = self.say(ToClient::Refused { error: error.to_bytes() }).await;
        error
    }

    async fn hello(&self) -> Result<Hello> {
        let (said, descriptors) = self.next().await?;
        let ToNode::Hello { protocol, role, nonce, pid, digest } = said else {
            let what = "the first word of a process is not its name";
            return Err(self.refuse(Error::invalid(what)).await);
        };
        if protocol != PROTOCOL {
            let what =
                format!("process {pid} speaks version {protocol}, the node speaks {PROTOCOL}");
            return Err(self.refuse(Error::invalid(what)).await);
        }
        Ok(Hello { role, nonce, pid, digest, executable: descriptors.into_iter().next() })
    }

    /// What is behind a digest.
    async fn program(&self) -> Result<super::wire::Program> {
        self.say(ToClient::Explain).await?;
        match self.next().await? {
            (ToNode::Program(program), _) => Ok(program),
            _ => {
                let what = "a process does not say what it has registered";
                Err(self.refuse(Error::invalid(what)).await)
            }
        }
    }

    /// Gives the process its place and its descriptors, and waits until it has mapped everything.
    async fn admit(
        &self,
        node: &Arc<Node>,
        program: &Program,
        hello: &Hello,
        process: &Arc<ProcessHandle>,
        given: &mut Given,
    ) -> Result<Seat> {
        let admission = match node.store.admit().map_err(super::store_error::<()>) {
            Ok(admission) => admission,
            Err(error) => return Err(self.refuse(error).await),
        };
        let client = admission.client;
        // The process at the other end is this one, and what it is sent goes to no other.
        given.seat = Some(Seat::of(client, process));
        node.control.clear(client);
        let job = match hello.role {
            Role::Driver => node.next_job.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        let welcome = ToClient::Welcome {
            client: client.get(),
            session: node.pool.session,
            node_pid: std::process::id(),
            pool: program.pool.0,
            job,
            geometry: admission.geometry.to_words().to_vec(),
        };
        let mut descriptors = vec![node.pool.control.as_fd()];
        // SAFETY: they are sent to the process, which attaches by them (`worker/attach.rs`), and dropped here.
        let of_the_store = unsafe { admission.segments.descriptors() };
        descriptors.extend(of_the_store.iter().map(|descriptor| descriptor.as_fd()));
        let sent =
            self.connection.send(&welcome.to_bytes(), &descriptors).await.map_err(frame_error);
        let ready = match sent {
            Ok(()) => self.next().await,
            Err(error) => Err(error),
        };
        match (ready, given.seat.take()) {
            (Ok((ToNode::Ready, _)), Some(seat)) => {
                let peer = &node.peers[client.index()];
                *peer.process.lock() = Some(Arc::clone(process));
                *peer.line.lock() = Some(Arc::clone(self.connection));
                peer.job.store(job, Ordering::Relaxed);
                node.joined(client, hello.pid, program.pool, hello.role == Role::Worker);
                Ok(seat)
            }
            (other, seat) => {
                given.seat = seat;
                Err(other
                    .err()
                    .unwrap_or_else(|| Error::invalid("a process did not say that it is ready")))
            }
        }
    }
}

fn frame_error(error: rustyray_ipc::FrameError) -> Error {
    Error::io("letting a process in", &error.into())
}

/// Shakes hands with a worker that was started; when it is refused it is told why.
async fn let_worker_in(
    node: &Arc<Node>,
    program: &Arc<Program>,
    connection: &Arc<Connection>,
    nonce: u64,
    process: &Arc<ProcessHandle>,
    given: &mut Given,
) -> Result<Seat> {
    let handshake = Handshake { connection };
    let hello = handshake.hello().await?;
    let pid = hello.pid;
    if hello.role != Role::Worker || hello.nonce != nonce {
        let what = format!("process {pid} is not the one that was started");
        return Err(handshake.refuse(Error::invalid(what)).await);
    }
    if hello.digest != program.digest {
        let theirs = handshake.program().await?;
        let difference = registry::difference(&program.entries, &theirs.entries)
            .unwrap_or_else(|| "only their order differs".into());
        return Err(handshake.refuse(Error::RegistryMismatch { pid, difference }).await);
    }
    handshake.admit(node, program, &hello, process, given).await
}

/// Shakes hands with a process that connected by itself; when it is refused it is told why.
async fn let_visitor_in(
    node: &Arc<Node>,
    connection: &Arc<Connection>,
    process: &Arc<ProcessHandle>,
    given: &mut Given,
) -> Result<Visitor> {
    let handshake = Handshake { connection };
    let mut hello = handshake.hello().await?;
    match hello.role {
        Role::Observer => {
            handshake.say(ToClient::Observe).await?;
            return Ok(Visitor::Observer);
        }
        Role::Worker => {
            let what = format!("process {} is not one that was started", hello.pid);
            return Err(handshake.refuse(Error::invalid(what)).await);
        }
        Role::Driver => {}
    }
    let card = Card::new(hello.digest, hello.executable.take());
    let program = match node.pool.programs.attach(&card) {
        Some(program) => program,
        None => {
            let described = handshake.program().await?;
            match node.pool.programs.add(card, described, hello.pid) {
                Ok(program) => program,
                Err(error) => return Err(handshake.refuse(error).await),
            }
        }
    };
    given.program = Some(Arc::clone(&program));
    let seat = handshake.admit(node, &program, &hello, process, given).await?;
    given.program = None;
    Ok(Visitor::Driver(seat, program))
}

#[cfg(test)]
mod tests {
    use rustyray_ipc::BlockingConnection;

    use super::*;
    use crate::{builder::Builder, runtime::Link};

    /// A process with other functions, of which no workers can be started, is told what differs.
    #[test]
    fn a_process_with_other_functions_is_refused_with_their_names() {
        let directory =
            std::env::temp_dir().join(format!("rustyray-refusal-{}", std::process::id()));
        let socket = directory.join("node.sock");
        let _runtime =
            Builder::new().num_cpus(1.0).socket(&socket).start_blocking().expect("a node starts");
        let connection = BlockingConnection::connect(&socket).expect("it listens");
        let say = |message: ToNode| connection.send(&message.to_bytes(), &[]).expect("it reads");
        let hear = || {
            let message = connection.recv().expect("readable").expect("an answer");
            ToClient::from_bytes(&message.bytes).expect("well formed")
        };
        let (pid, digest) = (std::process::id(), registry::digest() ^ 1);
        say(ToNode::Hello { protocol: PROTOCOL, role: Role::Driver, nonce: 0, pid, digest });
        assert_eq!(hear(), ToClient::Explain);
        let mut program = crate::runtime::program::describe();
        program.entries.push("other::task@src/other.rs:1:1".into());
        say(ToNode::Program(program));
        let ToClient::Refused { error } = hear() else { panic!("it was let in") };
        let error = Error::from_bytes("refusal", &error);
        assert!(matches!(error, Error::RegistryMismatch { .. }), "{error:?}");
        assert!(error.to_string().contains("only it has other::task@src/other.rs:1:1"), "{error}");
        crate::blocking::shutdown().expect("it ends");
        assert!(!socket.exists(), "the socket file is gone");
        std::fs::remove_dir(directory).expect("nothing else is there");
    }

    /// The wait for a process may be given up while it has a place and says nothing: the place is free when it is
    /// gone.
    #[test]
    fn who_is_let_in_and_never_joins_leaves_its_place() {
        let directory = std::env::temp_dir().join(format!("rustyray-never-{}", std::process::id()));
        let socket = directory.join("node.sock");
        let runtime = Builder::new()
            .num_cpus(1.0)
            .first_workers(0)
            .socket(&socket)
            .start_blocking()
            .expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let _tokio = background::handle().expect("it runs").enter();
        let (ours, theirs) = rustyray_ipc::pair().expect("a pair");
        let connection = Arc::new(Connection::from_fd(ours).expect("a socket"));
        let here = std::process::id();
        // Who never joins is another process.
        let mut other = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let process = Arc::new(ProcessHandle::open(other.id() as i32).expect("it lives"));
        let theirs = BlockingConnection::from_fd(theirs).expect("a socket");
        let hello = ToNode::Hello {
            protocol: PROTOCOL,
            role: Role::Driver,
            nonce: 0,
            pid: here,
            digest: registry::digest(),
        };
        let executable = std::fs::File::open("/proc/self/exe").expect("it can be read");
        theirs.send(&hello.to_bytes(), &[executable.as_fd()]).expect("there is room");
        let mut given = Given::default();
        let waiter = &mut std::task::Context::from_waker(std::task::Waker::noop());
        {
            let mut letting_in =
                std::pin::pin!(let_visitor_in(node, &connection, &process, &mut given));
            let welcomed = std::thread::spawn(move || {
                let message = theirs.recv().expect("readable").expect("an answer");
                let answer = ToClient::from_bytes(&message.bytes).expect("well formed");
                assert!(matches!(answer, ToClient::Welcome { .. }), "{answer:?}");
                theirs
            });
            while !welcomed.is_finished() {
                assert!(letting_in.as_mut().poll(waiter).is_pending(), "it said nothing more");
                std::thread::yield_now();
            }
            drop(welcomed.join().expect("it is welcome"));
        }
        let client = given.seat.as_ref().expect("it has a place").client();
        assert!(given.program.is_some());
        let mut taking_back = std::pin::pin!(given.take_back(node));
        assert!(taking_back.as_mut().poll(waiter).is_pending(), "it lives");
        assert_ne!(node.store.admit().expect("there are others").client, client);
        other.kill().expect("it lives");
        background::handle().expect("it runs").block_on(taking_back);
        other.wait().expect("it has ended");
        assert_eq!(node.store.admit().expect("it is free").client, client);
        crate::blocking::shutdown().expect("it ends");
        std::fs::remove_dir(directory).expect("nothing else is there");
    }

    /// A process of another version is told so before anything else is compared.
    #[test]
    fn a_process_of_another_version_is_refused() {
        let directory =
            std::env::temp_dir().join(format!("rustyray-version-{}", std::process::id()));
        let socket = directory.join("node.sock");
        let _runtime =
            Builder::new().num_cpus(1.0).socket(&socket).start_blocking().expect("a node starts");
        let connection = BlockingConnection::connect(&socket).expect("it listens");
        let hello = ToNode::Hello {
            protocol: PROTOCOL + 1,
            role: Role::Driver,
            nonce: 0,
            pid: std::process::id(),
            digest: registry::digest(),
        };
        connection.send(&hello.to_bytes(), &[]).expect("it reads");
        let message = connection.recv().expect("readable").expect("an answer");
        let Ok(ToClient::Refused { error }) = ToClient::from_bytes(&message.bytes) else {
            panic!("it was let in")
        };
        let error = Error::from_bytes("refusal", &error).to_string();
        assert!(error.contains("speaks version"), "{error}");
        crate::blocking::shutdown().expect("it ends");
        std::fs::remove_dir(directory).expect("nothing else is there");
    }
}
