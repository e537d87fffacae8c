//! Whoever comes to the node's socket and is not one of its own is sent away, and the node goes on.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    fs::Permissions,
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

#[rustyray::remote]
fn double(number: u64) -> u64 {
    2 * number
}

const SOCKET: &str = "RUSTYRAY_TEST_STRANGER";

/// What became of a stranger, as its exit code.
const FORBIDDEN: i32 = 10;
const HUNG_UP_ON: i32 = 11;
const ANSWERED: i32 = 12;

/// A node that listens in a directory of its own.
fn node(name: &str) -> (PathBuf, rustyray::Runtime) {
    let socket = std::env::temp_dir()
        .join(format!("rustyray-{name}-{}", std::process::id()))
        .join("node.sock");
    let builder = rustyray::Builder::new().num_cpus(1.0).socket(&socket);
    (socket, rustyray::block_on(builder.start()).expect("a node starts"))
}

/// The node is none the worse.
fn still_works() {
    let doubled = rustyray::block_on(async { double_remote::remote(21).await?.get().await });
    assert_eq!(doubled.expect("a task runs"), 42);
}

fn end(socket: &Path) {
    rustyray::blocking::shutdown().expect("it ends");
    assert!(!socket.exists());
    let _ = std::fs::remove_dir(socket.parent().expect("a directory"));
}

#[test]
#[ignore = "what the test below starts as another user"]
fn stranger() {
    let path = std::env::var_os(SOCKET).expect("the parent names the socket");
    let code = match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => FORBIDDEN,
        Err(error) => panic!("neither in nor out: {error}"),
        Ok(mut socket) => {
            let _ = socket.write_all(b"\x04\0\0\0\0\0RRlet ");
            match socket.read(&mut [0]) {
                Ok(1) => ANSWERED,
                _ => HUNG_UP_ON,
            }
        }
    };
    std::process::exit(code);
}

/// The directory keeps other users out; where it does not, each connection is looked at.
#[test]
fn a_process_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let (socket, _runtime) = node("stranger");
    let directory = socket.parent().expect("a directory");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(directory), 0o700, "nobody else may even look");
    assert_eq!(mode(&socket), 0o600, "nor knock");
    let knock = || {
        // By the magic link: the other user need not be able to reach this executable by its path.
        Command::new("/proc/self/exe")
            .args(["stranger", "--exact", "--ignored"])
            .env(SOCKET, &socket)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .uid(65534)
            .gid(65534)
            .status()
            .expect("a process of another user starts")
            .code()
    };
    assert_eq!(knock(), Some(FORBIDDEN));
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours to change");
    };
    open(directory, 0o755);
    assert_eq!(knock(), Some(FORBIDDEN), "the socket itself is closed to others");
    open(&socket, 0o777);
    assert_eq!(knock(), Some(HUNG_UP_ON), "its user is looked at");
    still_works();
    end(&socket);
}

fn frame(len: u32, descriptors: u16, mark: &[u8; 2], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(len.to_le_bytes());
    bytes.extend(descriptors.to_le_bytes());
    bytes.extend(mark);
    bytes.extend(body);
    bytes
}

#[test]
fn whoever_sends_garbage_is_hung_up_on_and_the_node_goes_on() {
    let (socket, _runtime) = node("garbage");
    let noise: Vec<u8> =
        (0..4096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let all: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("noise", noise.clone()),
        ("another mark", frame(4, 0, b"XX", b"body")),
        ("the largest length", frame(u32::MAX, 0, b"RR", b"body")),
        ("a frame cut short", frame(100, 0, b"RR", b"body")),
        ("descriptors that do not come", frame(4, 7, b"RR", b"body")),
        ("a body of noise", frame(4096, 0, b"RR", &noise)),
        ("a body of nothing", frame(0, 0, b"RR", b"")),
    ];
    for (what, bytes) in all {
        let mut stranger = UnixStream::connect(&socket).expect("the node listens");
        // It may hang up before everything is written.
        let _ = stranger.write_all(&bytes);
        let _ = stranger.shutdown(Shutdown::Write);
        stranger.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut answer = Vec::new();
        match stranger.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{what}: the node does not hang up: {error}"),
        }
        still_works();
    }
    end(&socket);
}

/// Those who connect and say nothing keep nobody else waiting.
#[test]
fn silent_strangers_keep_nobody_waiting() {
    let (socket, runtime) = node("silence");
    let connect = |_| UnixStream::connect(&socket).expect("the node listens");
    let silent: Vec<UnixStream> = (0..64).map(connect).collect();
    still_works();
    let path = socket.clone();
    let other = std::thread::spawn(move || {
        rustyray::blocking::connect(&path).expect("there is room for a driver");
        let put = rustyray::blocking::put(&7_u64).expect("it can put");
        assert_eq!(put.get_blocking().expect("and get"), 7);
        rustyray::blocking::shutdown().expect("it leaves");
    });
    other.join().expect("a driver is let in meanwhile");
    drop(silent);
    let _runtime = runtime.enter();
    still_works();
    end(&socket);
}
