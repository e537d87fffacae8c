//! Exit codes that scripts can rely on, and what is said with them.

use std::{
    io::PipeWriter,
    os::unix::{net::UnixListener, process::CommandExt},
};

use crate::bench::{Place, is_alive, said, until};

#[test]
fn without_a_node() {
    let place = Place::new();
    for arguments in [&["status"][..], &["list", "tasks"], &["memory"], &["logs"], &["stop"]] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        let said = said(&output);
        assert!(said.contains("no node of this user is running"), "{said}");
        assert!(said.contains("help: start one with `rustyray start`"), "{said}");
    }
    let nowhere = place.path().join("nowhere.sock");
    let output = place.run(&["status", "--address", nowhere.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("without `--address`"), "{}", said(&output));
    let output = place.run(&["stop", "--all"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(said(&output), "No node that `rustyray start` started is running.\n");
}

#[test]
fn what_is_no_socket_is_a_wrong_command_line() {
    let place = Place::new();
    let file = place.path().join("file");
    std::fs::write(&file, "").expect("a file");
    for path in [file.as_path(), place.path()] {
        let output = place.run(&["status", "--address", path.to_str().expect("text")]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("that is no socket"), "{}", said(&output));
    }
}

#[test]
fn with_two_nodes() {
    let place = Place::new();
    let (one, other) = (place.start(&[]), place.start(&[]));
    let output = place.run(&["status"]);
    assert_eq!(output.status.code(), Some(4));
    let said = said(&output);
    for daemon in [&one, &other] {
        let line = format!("\n  {}  process {}: ", daemon.socket.display(), daemon.pid);
        let command = said.split_once(&line).and_then(|(_, rest)| rest.lines().next());
        assert!(command.is_some_and(|command| command.contains("start --daemon")), "{said}");
    }
    assert!(said.contains("--address"), "{said}");
    let socket = one.socket.to_str().expect("text");
    assert_eq!(place.json(&["status", "--address", socket])["pid"], one.pid);
    assert_eq!(place.json(&["--address", socket, "status"])["pid"], one.pid);
    let other_socket = other.socket.to_str().expect("text");
    let last = ["--address", socket, "status", "--address", other_socket];
    assert_eq!(place.json(&last)["pid"], other.pid, "what is said last counts");
    for wrong in [&["stop", "--all"][..], &["start"], &["physics"]] {
        let output = place.run(&[&["--address", socket], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    // Both, in one go.
    let stopped = place.json(&["stop", "--all"]);
    assert_eq!(stopped["stopped"].as_array().map(Vec::len), Some(2), "{stopped}");
    assert!(!is_alive(one.pid) && !is_alive(other.pid));
    assert_eq!(place.entries(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn with_an_address_that_was_given() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let socket = elsewhere.path().join("node.sock");
    let socket = socket.to_str().expect("text");
    for arguments in [&["start", "--daemon", "--address", socket][..], &["status"], &["stop"]] {
        let mut arguments = arguments.to_vec();
        if arguments.len() == 1 {
            arguments.extend(["--address", socket]);
        }
        let output = place.run(&arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn with_a_stale_socket() {
    let place = Place::new();
    let socket = place.path().join("1-0.sock");
    drop(UnixListener::bind(&socket).expect("a socket"));
    let output = place.run(&["status", "--address", socket.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(5));
    assert!(said(&output).contains("nobody listens"), "{}", said(&output));
    // Found in the directory it is no node, and is cleared away.
    let output = place.run(&["status"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(!socket.exists());
}

#[test]
fn without_permission() {
    let place = Place::new();
    let node = place.start(&[]);
    let mut command = place.command(&["status", "--address"]);
    command.arg(&node.socket);
    if nix::unistd::geteuid().is_root() {
        // Somebody who is not root; the command may lie where only root may look.
        let copy = tempfile::tempdir().expect("a directory");
        let program = copy.path().join("rustyray");
        // By another process: one that a test beside this one starts would inherit the copy while it is open
        // for writing, and nobody can run it until that has ended.
        let original = env!("CARGO_BIN_EXE_rustyray");
        let copied = std::process::Command::new("cp").arg(original).arg(&program).status();
        assert!(copied.expect("cp").success());
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(copy.path(), everyone).expect("the directory is ours");
        let mut as_nobody = std::process::Command::new(program);
        as_nobody.args(["status", "--address"]).arg(&node.socket).uid(65534).gid(65534);
        let output = as_nobody.output().expect("it starts");
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        assert!(said(&output).contains("help: a node is for its own user alone"));
        // Nor where the way to it is open.
        for path in [place.path(), &node.socket] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(path, open).expect("it is ours");
        }
        let output = as_nobody.output().expect("it starts");
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        assert!(said(&output).contains("of user 0 listens there"), "{}", said(&output));
        return;
    }
    let locked = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(place.path(), locked).expect("the directory is ours");
    let output = command.output().expect("it starts");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(place.path(), open).expect("the directory is ours");
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
}

#[test]
fn with_a_wrong_command_line() {
    let place = Place::new();
    for arguments in [
        &["dance"][..],
        &["list", "dances"],
        &["list", "tasks", "--filter", "x"],
        &["list", "tasks", "--limit", "0"],
        &["memory", "--limit", "0"],
        &["timeline", "--limit", "0"],
        &["summary", "--limit", "-1"],
        &["logs", "--tail", "-1"],
        &["stop", "--timeout", "-1"],
        &["timeline", "--seconds", "soon"],
        &["physics", "--seconds", "nan"],
        &["microbenchmark", "--warm-up", "-1"],
        &["microbenchmark", "--scale", "nan"],
        &["start", "--num-cpus", "-1"],
        &["start", "--daemon", "--num-cpus", "-1"],
        &["start", "--daemon", "--object-store-memory", "1"],
        &["start", "--daemon", "--resource", "cpu=3"],
        &["start", "--daemon", "--resource", "=3"],
        &[],
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
    let output = place.run(&["microbenchmark", "--address", "node.sock"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("measures a node of its own"), "{}", said(&output));
    let _node = place.start(&[]);
    let output = place.run(&["list", "tasks", "--filter", "colour=red"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("there are id, name, state"), "{}", said(&output));
    let states = [
        ("tasks", "waiting, ready, queued, running, finished, failed"),
        ("actors", "pending, alive, restarting, dead"),
        ("objects", "pending, memory, disk, failed"),
        ("workers", "idle, busy, blocked, ending, driver"),
        ("placement-groups", "pending, ready, removed"),
    ];
    for (of, states) in states {
        let wrong = [
            ("state=done", format!("`state` is never `done`; it is one of {states}")),
            ("state!=done", format!("`state` is never `done`; it is one of {states}")),
            ("colour=red", "there is no field `colour`".to_owned()),
        ];
        for (filter, told) in wrong {
            for what in ["list", "summary"] {
                let output = place.run(&[what, of, "--filter", filter]);
                assert_eq!(output.status.code(), Some(2), "{of}: {}", said(&output));
                assert!(said(&output).contains(&told), "{of}: {}", said(&output));
            }
        }
        for state in states.split(", ") {
            let output = place.run(&["list", of, "--filter", &format!("state={state}")]);
            assert_eq!(output.status.code(), Some(0), "{of} {state}: {}", said(&output));
        }
    }
    let output = place.run(&["list", "actors", "--filter", "detached=yes"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("it is one of true, false"), "{}", said(&output));
}

#[test]
fn a_node_that_is_killed_leaves_nothing_to_be_found() {
    let place = Place::new();
    let node = place.start(&[]);
    assert_eq!(place.json(&["status"])["daemon"], true);
    let pid = nix::unistd::Pid::from_raw(node.pid as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it is there");
    until("its entry is gone", || !node.socket.exists());
    assert_eq!(place.run(&["status"]).status.code(), Some(3));
}

#[test]
fn a_node_in_a_program_is_not_stopped_by_mistake() {
    let place = Place::new();
    let socket = place.path().join("mine.sock");
    let builder = rustyray::Builder::new().num_cpus(1.0).visible(false).socket(&socket);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let output = place.run(&["stop"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("lives in a program"), "{}", said(&output));
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[test]
fn a_node_that_is_stopped_is_killed_by_force() {
    let place = Place::new();
    let node = place.start(&[]);
    let pid = nix::unistd::Pid::from_raw(node.pid as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("it is there");
    let stopped = place.json(&["stop", "--force"]);
    assert_eq!(stopped["stopped"], serde_json::json!([node.pid]), "{stopped}");
    assert!(!is_alive(node.pid));
    until("its entry is gone", || !node.socket.exists());
}

#[test]
fn a_node_that_nobody_could_find_does_not_start() {
    let place = Place::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(place.path(), open).expect("the directory is ours");
    let output = place.run(&["start", "--daemon"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("may be written by others"), "{}", said(&output));
    // Elsewhere it is found by its address.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let socket = elsewhere.path().join("node.sock");
    let node = place.start(&["--socket", socket.to_str().expect("text")]);
    assert_eq!(node.socket, socket);
    let status = place.json(&["status", "--address", socket.to_str().expect("text")]);
    assert_eq!(status["pid"], node.pid);
}

/// A pipe that nobody reads any more.
fn unread() -> PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

#[test]
fn codes_are_the_same_where_nobody_listens() {
    let place = Place::new();
    for (arguments, code) in [
        (&["status"][..], 3),
        (&["list", "dances"], 2),
        (&["list", "--help"], 0),
        (&["microbenchmark", "--list"], 0),
        (&["microbenchmark", "no such row"], 2),
        (&["physics", "--seconds", "0.001", "--copy-mib", "1"], 0),
        (&["physics", "--seconds", "0.001", "--copy-mib", "1", "--json"], 0),
    ] {
        let mut command = place.command(arguments);
        let status = command.stdout(unread()).stderr(unread()).status().expect("it starts");
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn who_follows_ends_with_whoever_reads_it() {
    let place = Place::new();
    let _node = place.start(&[]);
    let mut command = place.command(&["logs", "--follow"]);
    let status = command.stdout(unread()).status().expect("it starts");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_file_for_figures_that_cannot_be_written_is_complained_of_before_anything_is_measured() {
    let place = Place::new();
    let file = place.path().join("nowhere").join("figures.json");
    let output = place.run(&["microbenchmark", "--save", file.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).starts_with("error: writing "), "{}", said(&output));
}
