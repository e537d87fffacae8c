//! Where a node may listen, and who may connect.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener as StdListener,
    },
    path::PathBuf,
};

use nix::unistd::{Uid, chown, geteuid};
use rustyray_ipc::{BindError, BlockingConnection, Connection, Listener};
use tempfile::TempDir;

/// A directory of a test's own, private to this user.
fn place() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn a_path_that_is_too_long_is_told_with_its_length() {
    let place = place();
    let longest = 107 - place.path().as_os_str().len() - 1;
    let fits = place.path().join("x".repeat(longest));
    let listener = Listener::bind(&fits).expect("107 bytes fit");
    Connection::connect(listener.path()).await.expect("connected");
    let error = Listener::bind(place.path().join("x".repeat(longest + 1))).expect_err("too long");
    assert!(matches!(&error, BindError::PathTooLong { len_bytes: 108, .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("108") && said.contains("107"), "{said}");
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_left_alone() {
    let place = place();
    let (path, owner) = if geteuid().is_root() {
        let somebody = Uid::from_raw(54_321);
        let socket = place.path().join("socket");
        drop(StdListener::bind(&socket).expect("bound"));
        chown(&socket, Some(somebody), None).expect("given away");
        let error = Listener::bind(&socket).expect_err("somebody else's socket");
        assert!(
            matches!(&error, BindError::ForeignOwner { path, owner_uid: 54_321 } if *path == socket),
            "{error:?}"
        );
        assert!(socket.exists(), "it is still there");
        let directory = place.path().join("directory");
        fs::create_dir(&directory).expect("made");
        chown(&directory, Some(somebody), None).expect("given away");
        (directory.join("socket"), 54_321)
    } else {
        (PathBuf::from("/usr/rustyray-socket"), fs::metadata("/usr").expect("a directory").uid())
    };
    let error = Listener::bind(&path).expect_err("somebody else's directory");
    assert!(
        matches!(&error, BindError::ForeignOwner { owner_uid, .. } if *owner_uid == owner),
        "{error:?}"
    );
    assert!(error.to_string().contains(&owner.to_string()), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_directory_that_others_may_write_to_is_refused() {
    let place = place();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("opened");
    let error = Listener::bind(place.path().join("socket")).expect_err("anybody could replace it");
    assert!(matches!(&error, BindError::OpenDirectory { mode: 0o777, .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_socket_or_is_in_use_is_not_replaced() {
    let place = place();
    let file = place.path().join("file");
    fs::write(&file, b"precious").expect("written");
    assert!(matches!(Listener::bind(&file), Err(BindError::NotASocket { .. })));
    assert_eq!(fs::read(&file).expect("read"), b"precious");
    let link = place.path().join("link");
    symlink(&file, &link).expect("linked");
    assert!(matches!(Listener::bind(&link), Err(BindError::NotASocket { .. })));
    let socket = place.path().join("socket");
    let first = Listener::bind(&socket).expect("bound");
    assert!(matches!(Listener::bind(&socket), Err(BindError::InUse { .. })));
    drop(first);
    assert!(!socket.exists(), "it goes with its listener");
    // One whose listener was killed is replaced.
    drop(StdListener::bind(&socket).expect("bound"));
    // A process that another test starts has a copy of the listener until it runs its own program.
    let taken_over = loop {
        match Listener::bind(&socket) {
            Err(BindError::InUse { .. }) => tokio::task::yield_now().await,
            bound => break bound,
        }
    };
    taken_over.expect("taken over");
}

#[tokio::test]
async fn a_missing_directory_is_made_for_this_user_only() {
    let place = place();
    let listener = Listener::bind(place.path().join("deep/er/socket")).expect("bound");
    for directory in ["deep", "deep/er"] {
        let mode = fs::metadata(place.path().join(directory)).expect("made").mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    drop(listener);
}

const SOCKET: &str = "RUSTYRAY_IPC_TEST_SOCKET";

/// In a process of its own, of another user where that is possible: listens until its input ends.
#[test]
fn listens_elsewhere() {
    let Some(path) = std::env::var_os(SOCKET) else { return };
    let _listener = StdListener::bind(path).expect("bound");
    println!("listening");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

#[tokio::test]
async fn who_connects_to_somebody_elses_socket_is_told_so() {
    use std::{
        io::BufRead,
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };
    let place = place();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("opened");
    let socket = place.path().join("socket");
    // Somebody else, if this user can be one; or a process of this user.
    let is_stranger = geteuid().is_root();
    // Where the other user can read it. Copied by another process: one that a test beside this one starts
    // would inherit the copy while it is open for writing, and nobody can run it until that has ended.
    let program = place.path().join("program");
    let original = std::env::current_exe().expect("this program");
    let copied = Command::new("cp").arg(original).arg(&program).status();
    assert!(copied.expect("cp").success());
    let mut command = Command::new(program);
    command
        .args(["listens_elsewhere", "--exact", "--nocapture", "--test-threads=1"])
        .env(SOCKET, &socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if is_stranger {
        command.uid(54_321);
    }
    let mut child = command.spawn().expect("a process");
    let mut said = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(
        said.by_ref().map_while(Result::ok).any(|line| line.ends_with("listening")),
        "it listens"
    );
    let results = [
        Connection::connect(&socket).await.map(|_| ()),
        BlockingConnection::connect(&socket).map(|_| ()),
    ];
    for result in results {
        match result {
            Ok(()) => assert!(!is_stranger, "a stranger was let through"),
            Err(error) => {
                assert!(
                    is_stranger && error.kind() == std::io::ErrorKind::PermissionDenied,
                    "{error}"
                );
                assert!(error.to_string().contains("user 54321"), "{error}");
            }
        }
    }
    drop(child.stdin.take());
    child.wait().expect("waited");
}
