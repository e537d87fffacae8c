//! The store between processes that have nothing else between them: one hosts, the others join.

use std::{
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustyray_store::{
    Backend, Client, Config, Error, Node, ObjectId, PinError, Status, TransportError, View,
    ViewError,
};

const ROLE: &str = "RUSTYRAY_STORE_ALONE_ROLE";
const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn store(backend: Backend) -> Arc<Node> {
    Node::create(Config {
        capacity_bytes: 64 << 20,
        max_objects: 1 << 12,
        put_timeout: Duration::from_millis(20),
        backend,
        ..Config::default()
    })
    .expect("a store")
}

/// What the process does that joins: its socket is its standard input.
#[test]
fn joins() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (role, ids) = role.split_once(' ').unwrap_or((&role, ""));
    let ids: Vec<ObjectId> = ids
        .split_terminator(' ')
        .map(|id| id.split_once('-').expect("two parts"))
        .map(|(index, generation)| ObjectId {
            index: index.parse().expect("a number"),
            generation: generation.parse().expect("a number"),
        })
        .collect();
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().expect("cloned");
    let nothing = std::fs::File::open("/dev/null").expect("opened");
    nix::unistd::dup2_stdin(nothing).expect("replaced");
    let client = Client::join(UnixStream::from(stdin)).expect("joined");
    match role {
        "answer" => {
            let view: View<Vec<u64>> = client.get(ids[0], LONG).expect("get");
            let sum: u64 = view.as_slice().iter().sum();
            client.seal_value(ids[1], 0, &sum).expect("seal");
        }
        "promise" => {
            let promised = client.reserve().expect("reserve");
            client.put(&vec![1u8; 1 << 20]).expect("put");
            let _writer = client.create(1 << 20).expect("create");
            let _view: View<u64> = client.view(ids[0]).expect("view");
            let words = [u64::from(promised.index), promised.generation];
            client.seal_value(ids[1], 0, &words).expect("seal");
            // Until it is killed.
            let _ = client.get::<u64>(ids[2], None);
        }
        "leave" => {
            let view: View<u64> = client.view(ids[0]).expect("view");
            client.put(&vec![1u8; 1 << 20]).expect("put");
            drop(client);
            // A view keeps the client, and the process lives on.
            assert_eq!(*view, 5);
            drop(view);
            // Until it is killed.
            nix::unistd::pause();
        }
        "stay" => {
            let own = client.put(&vec![1_u8; 1 << 20]).expect("put");
            let _view: View<Vec<u8>> = client.view(own).expect("view");
            client.seal_value(ids[0], 0, &()).expect("seal");
            // Until it is killed.
            nix::unistd::pause();
        }
        role => panic!("no such role: {role}"),
    }
    std::process::exit(0);
}

struct Other {
    child: Child,
    hosting: Option<JoinHandle<Result<(), Error>>>,
    /// The host's end of the socket.
    socket: UnixStream,
}

impl Other {
    fn start(node: &Arc<Node>, role: &str, ids: &[ObjectId]) -> Other {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
                .expect("a socket pair");
        let socket = UnixStream::from(ours);
        let kept = socket.try_clone().expect("cloned");
        let ids: Vec<String> =
            ids.iter().map(|id| format!("{}-{}", id.index, id.generation)).collect();
        let child = Command::new(std::env::current_exe().expect("the test binary"))
            .args(["joins", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{role} {}", ids.join(" ")))
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .expect("a second process");
        let node = Arc::clone(node);
        let hosting = std::thread::spawn(move || node.host(socket));
        Other { child, hosting: Some(hosting), socket: kept }
    }

    /// Waits until the host has seen it go and cleared up.
    fn gone(&mut self) {
        let hosting = self.hosting.take().expect("hosted");
        hosting.join().expect("no panic").expect("hosted well");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn another_process_reads_and_answers(backend: Backend) {
    let node = store(backend);
    let client = node.client();
    let question = client.put(&(0..1000u64).collect::<Vec<_>>()).expect("put");
    let answer = client.reserve().expect("reserve");
    let mut other = Other::start(&node, "answer", &[question, answer]);
    assert_eq!(*client.get::<u64>(answer, LONG).expect("an answer"), 499_500);
    other.gone();
    assert!(other.child.wait().expect("waited").success());
    client.release(question);
    client.release(answer);
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn another_process_reads_and_answers_over_memfds() {
    another_process_reads_and_answers(Backend::Memfd);
}

#[cfg(feature = "shared_memory")]
#[test]
fn another_process_reads_and_answers_over_named_segments() {
    another_process_reads_and_answers(Backend::SharedMemory);
}

#[test]
fn what_a_killed_process_held_and_promised_is_cleared_away() {
    let node = store(Backend::Memfd);
    let client = node.client();
    let shared = client.put(&5u64).expect("put");
    let ready = client.reserve().expect("reserve");
    let never = client.reserve().expect("reserve");
    let before = node.stats();
    let mut other = Other::start(&node, "promise", &[shared, ready, never]);
    let [index, generation] = client
        .get::<[u64; 2]>(ready, LONG)
        .expect("its promise")
        .to_owned_value()
        .expect("two numbers");
    let promised = ObjectId { index: index as u32, generation };
    client.retain(promised).expect("it holds it");
    other.child.kill().expect("killed");
    other.gone();
    assert!(matches!(client.get::<u64>(promised, LONG), Err(ViewError::Failed(_))));
    client.release(promised);
    client.release(ready);
    let after = node.stats();
    assert_eq!(after.clients, 1);
    assert_eq!(after.objects, before.objects - 1);
    assert_eq!(after.used_bytes - after.leased_bytes, before.used_bytes - before.leased_bytes);
}

#[test]
fn a_process_may_leave_and_live_on() {
    let node = store(Backend::Memfd);
    let client = node.client();
    let shared = client.put(&5u64).expect("put");
    let mut other = Other::start(&node, "leave", &[shared]);
    other.gone();
    assert_eq!(other.child.try_wait().expect("asked"), None, "it lives");
    assert_eq!((node.stats().clients, node.stats().objects), (1, 1));
}

#[test]
fn what_a_process_views_stays_when_its_socket_is_shut_down_until_it_ends() {
    let node = store(Backend::Memfd);
    let ready = node.client().reserve().expect("reserve");
    let mut other = Other::start(&node, "stay", &[ready]);
    node.client().get::<()>(ready, LONG).expect("it is ready");
    let before = node.stats();
    other.socket.shutdown(Shutdown::Both).expect("shut down");
    // Time for a host that takes that for its end.
    std::thread::sleep(Duration::from_millis(200));
    let after = node.stats();
    assert_eq!((after.clients, after.objects), (2, before.objects));
    other.child.kill().expect("killed");
    other.gone();
    let after = node.stats();
    assert_eq!((after.clients, after.objects), (1, 1));
}

#[test]
fn what_a_thread_of_the_host_views_stays_when_somebody_else_shuts_its_socket_down() {
    let node = Node::create(Config {
        capacity_bytes: 1 << 20,
        max_objects: 512,
        put_timeout: Duration::from_millis(20),
        spill_dir: None,
        ..Config::default()
    })
    .expect("a store");
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let kept = theirs.try_clone().expect("cloned");
    let hosting = {
        let node = Arc::clone(&node);
        std::thread::spawn(move || node.host(ours))
    };
    let client = Client::join(theirs).expect("joined");
    let id = client.put(&vec![1_u64; 4096]).expect("put");
    let view: View<Vec<u64>> = client.view(id).expect("view");
    kept.shutdown(Shutdown::Both).expect("shut down");
    hosting.join().expect("no panic").expect("hosted well");
    // Fills what room there is.
    while node.client().put(&vec![2_u64; 4096]).is_ok() {}
    assert!(view.as_slice().iter().all(|&number| number == 1));
}

#[test]
fn a_client_whose_host_is_gone_gets_errors_and_keeps_its_views() {
    let node = store(Backend::Memfd);
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let breaker = ours.try_clone().expect("cloned");
    let hosting = {
        let node = Arc::clone(&node);
        std::thread::spawn(move || node.host(ours))
    };
    let client = Client::join(theirs).expect("joined");
    let id = client.put(&vec![7u64; 100_000]).expect("put");
    let view: View<Vec<u64>> = client.view(id).expect("view");
    // The node keeps the object: what comes now is as if its process had ended.
    node.client().retain(id).expect("retain");
    breaker.shutdown(Shutdown::Both).expect("shut down");
    hosting.join().expect("no panic").expect("hosted");
    drop(node);
    assert!(matches!(
        client.create(1 << 20),
        Err(Error::Closed | Error::Transport(TransportError::Closed))
    ));
    assert_eq!(view.as_slice(), [7; 100_000]);
    assert_eq!(client.status(id), Status::Sealed);
}

#[test]
fn who_speaks_another_language_is_told_so() {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    std::io::Write::write_all(&mut &ours, &[0xff; 4096]).expect("written");
    assert!(matches!(Client::join(theirs), Err(Error::Protocol(_))));
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    drop(ours);
    assert!(matches!(Client::join(theirs), Err(Error::Os { .. })));
    let node =
        Node::create(Config { backend: Backend::Heap, ..Config::default() }).expect("a store");
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    assert!(matches!(node.host(ours), Err(Error::Os { .. })));
    assert_eq!(node.stats().clients, 1, "its number is free again");
    assert!(Client::join(theirs).is_err());
}

#[test]
fn who_waits_is_told_that_the_store_has_ended() {
    let node = store(Backend::Memfd);
    let home = node.client();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let hosting = {
        let node = Arc::clone(&node);
        std::thread::spawn(move || node.host(ours))
    };
    let joined = Client::join(theirs).expect("joined");
    let never = home.reserve().expect("reserve");
    let waiters = [home, joined].map(|client| {
        std::thread::spawn(move || client.wait(&[never], 1, None).expect_err("it has ended"))
    });
    let report = node.shutdown();
    for waiter in waiters {
        assert!(matches!(waiter.join().expect("the waiter"), PinError::Closed));
    }
    hosting.join().expect("no panic").expect("hosted");
    assert_eq!(report.objects.len(), 1);
    assert!(node.shutdown().is_empty(), "it was told once");
}

/// As the process that the test below starts: connects and waits to be thrown out.
#[test]
fn connects_as_a_stranger() {
    let Some(path) = std::env::var_os("RUSTYRAY_STORE_TEST_SOCKET") else { return };
    let stream = UnixStream::connect(path).expect("connected");
    let error = Client::join(stream).expect_err("a stranger");
    assert!(matches!(error, Error::ForeignPeer { uid: 0, .. }), "{error:?}");
}

#[test]
fn strangers_do_not_share_a_store() {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt};
    let dir = std::env::temp_dir().join(format!("rustyray-strangers-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("made");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("opened");
    let (socket, program) = (dir.join("socket"), dir.join("program"));
    let listener = UnixListener::bind(&socket).expect("bound");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).expect("opened");
    let node = store(Backend::Memfd);
    if nix::unistd::geteuid().is_root() {
        // Where the other user can read it. Copied by another process: one that a test beside this one starts
        // would inherit the copy while it is open for writing, and nobody can run it until that has ended.
        let copy = Command::new("cp")
            .arg(std::env::current_exe().expect("this program"))
            .arg(&program)
            .status();
        assert!(copy.expect("cp").success());
        let mut child = Command::new(program)
            .args(["connects_as_a_stranger", "--exact", "--nocapture", "--test-threads=1"])
            .env("RUSTYRAY_STORE_TEST_SOCKET", &socket)
            .stdout(Stdio::null())
            .uid(54_321)
            .spawn()
            .expect("a process");
        let (stream, _) = listener.accept().expect("a connection");
        let error = node.host(stream).expect_err("a stranger");
        assert!(matches!(error, Error::ForeignPeer { uid: 54_321, .. }), "{error:?}");
        assert!(child.wait().expect("waited").success(), "it refuses us as well");
    } else {
        let _own = UnixStream::connect(&socket).expect("connected");
        let (stream, _) = listener.accept().expect("a connection");
        stream.shutdown(Shutdown::Both).expect("shut down");
        assert!(!matches!(node.host(stream), Err(Error::ForeignPeer { .. })));
    }
    assert_eq!(node.stats().clients, 1);
    std::fs::remove_dir_all(dir).expect("removed");
}
