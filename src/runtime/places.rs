//! Where the nodes of this user are found: a directory that only the user may enter, with a socket in it for
//! each node that runs.
//!
//! The directory is `$RUSTYRAY_DIR` where that is set, else `rustyray` in `$XDG_RUNTIME_DIR`, else
//! `rustyray-UID` among the temporary files. A node's socket is `PID-N.sock`: what it listens on *is* its
//! entry, so an entry whose node was killed says so itself, by refusing the connection. Whoever looks
//! removes such an entry; mostly the node's guard has done so before.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nix::errno::Errno;
use rustyray_ipc::{BindError, BlockingConnection};

use crate::error::{Error, Result};

/// The directory of this user's nodes; it may not exist yet.
pub(crate) fn directory() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(directory) = set("RUSTYRAY_DIR") {
        return directory.into();
    }
    let own = nix::unistd::geteuid();
    if let Some(directory) = set("XDG_RUNTIME_DIR").map(PathBuf::from)
        // After `su` it may still be somebody else's.
        && fs::metadata(&directory).is_ok_and(|found| found.uid() == own.as_raw())
    {
        return directory.join("rustyray");
    }
    std::env::temp_dir().join(format!("rustyray-{own}"))
}

/// The entry of a node that starts in this process now.
pub(crate) fn new_entry() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    directory().join(format!("{}-{count}.sock", std::process::id()))
}

/// The sockets of the user's nodes that are alive, the longest-running first.
pub(crate) fn nodes() -> Result<Vec<PathBuf>> {
    let directory = directory();
    let io = |error: io::Error| Error::io_at("looking for nodes in", &directory, &error);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        let Ok(file) = fs::symlink_metadata(&path) else { continue };
        if file.file_type().is_socket() && is_alive(&path) {
            found.push(((file.mtime(), file.mtime_nsec()), path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Whether somebody listens there; an entry that nobody listens on is removed.
fn is_alive(path: &Path) -> bool {
    matches!(rustyray_ipc::remove_stale(path), Err(BindError::InUse { .. }))
}

/// The only node of this user.
///
/// # Errors
/// [`Error::NoNode`] when there is none, [`Error::SeveralNodes`] when there are more.
pub(crate) fn only_node() -> Result<PathBuf> {
    let mut nodes = nodes()?;
    match nodes.len() {
        0 => Err(Error::NoNode { directory: directory().display().to_string() }),
        1 => Ok(nodes.remove(0)),
        _ => Err(Error::SeveralNodes {
            sockets: nodes.iter().map(|path| path.display().to_string()).collect(),
        }),
    }
}

/// Connects to the node that listens at `socket`; nothing is said yet.
///
/// # Errors
/// [`Error::NodeGone`] when nobody listens there any more, [`Error::Io`] when there is no socket, or it is somebody
/// else's.
pub(crate) fn connect(socket: &Path) -> Result<BlockingConnection> {
    let is_socket = || fs::metadata(socket).is_ok_and(|found| found.file_type().is_socket());
    BlockingConnection::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused if is_socket() => {
            Error::NodeGone { socket: socket.display().to_string() }
        }
        io::ErrorKind::ConnectionRefused => Error::Io {
            context: format!("connecting to the node at {}", socket.display()),
            message: "that is no socket".into(),
            errno: Some(Errno::ENOTSOCK as i32),
        },
        _ => Error::io_at("connecting to the node at", socket, &error),
    })
}

/// The node at `socket` is stuck, or stopped.
pub(crate) fn no_answer(socket: &Path, waited: Duration) -> Error {
    Error::Io {
        context: format!("talking to the node at {}", socket.display()),
        message: format!("it did not answer within {} s", waited.as_secs()),
        errno: Some(Errno::ETIMEDOUT as i32),
    }
}
