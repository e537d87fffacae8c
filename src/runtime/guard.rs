//! The guard of a socket file.
//!
//! A node that is killed cannot remove the file on which it listens, and its workers are killed with it. So
//! a node that listens at a path has one more process, which does nothing but wait for the node's end and
//! remove the file then. It is the driver's executable, started as workers are, and costs nothing while it
//! waits. A file that another node has put in the place meanwhile is another file, and stays.

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::Child,
};

use super::boot;
use crate::error::{Error, Result};

/// The node's hold on its guard: dropped, the guard ends without removing anything.
#[derive(Debug)]
pub(crate) struct Guard {
    process: Child,
    /// Closed by the end of the node, whatever that is.
    _life: UnixStream,
}

impl Guard {
    /// Has the file at `path`, which this process listens on, removed when this process is killed.
    pub(crate) fn of(path: &Path) -> Result<Guard> {
        let io = |error: std::io::Error| Error::io("starting the guard of the socket file", &error);
        let (mut ours, theirs) = UnixStream::pair().map_err(io)?;
        let process = boot::spawn_guard(OwnedFd::from(theirs))?;
        let path = std::path::absolute(path).map_err(io)?;
        let bytes = path.as_os_str().as_bytes();
        ours.write_all(&(bytes.len() as u64).to_le_bytes()).map_err(io)?;
        ours.write_all(bytes).map_err(io)?;
        // The guard knows the file by now, not only its name.
        ours.read_exact(&mut [0]).map_err(io)?;
        Ok(Guard { process, _life: ours })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The node removes the file itself; the guard must not be there when it lets go of the socket.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the guard process does.
pub(super) fn run() {
    let mut life = std::io::stdin().lock();
    let mut len = [0; 8];
    if life.read_exact(&mut len).is_err() {
        return;
    }
    let mut path = vec![0; u64::from_le_bytes(len).min(4096) as usize];
    if life.read_exact(&mut path).is_err() {
        return;
    }
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
    let identity =
        |path: &Path| fs::symlink_metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let Some(ours) = identity(&path) else { return };
    let known = nix::unistd::write(std::io::stdin(), &[1]).is_ok();
    // Nothing more is ever written: this ends with the node.
    let _ = life.read(&mut [0]);
    if known && identity(&path) == Some(ours) {
        let _ = fs::remove_file(&path);
    }
}
