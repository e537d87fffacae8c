//! The guard of a node's socket files.
//!
//! A node that is killed cannot remove the files on which it listens, and its workers are killed with it. So
//! a node that listens has one more process, which does nothing but wait for the node's end and remove the
//! files then. It is the driver's executable, started as workers are, and costs nothing while it
//! waits.
//!
//! It is there, and has been told of the files, before there are any, and ends after they are gone: there is no
//! moment at which a node could be killed and leave one. What it removes is a socket that nobody listens on,
//! under the lock that listening takes, so that a node which has taken the place meanwhile keeps it.

use std::{
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use rustyray_ipc::{BindError, remove_stale};

use super::boot;
use crate::error::{Error, Result};

/// The node's hold on its guard. To be dropped when the files are gone.
#[derive(Debug)]
pub(crate) struct Guard {
    process: Child,
    /// Closed by the end of the node, whatever that is.
    _life: UnixStream,
}

impl Guard {
    /// Has the files at `paths`, on which this process is about to listen, removed when it ends without having
    /// done so itself.
    pub(crate) fn of(paths: &[PathBuf]) -> Result<Guard> {
        let io =
            |error: std::io::Error| Error::io("starting the guard of the socket files", &error);
        let (mut ours, theirs) = UnixStream::pair().map_err(io)?;
        let process = boot::spawn_guard(OwnedFd::from(theirs))?;
        let mut told = (paths.len() as u64).to_le_bytes().to_vec();
        for path in paths {
            let path = std::path::absolute(path).map_err(io)?;
            let bytes = path.as_os_str().as_bytes();
            told.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            told.extend_from_slice(bytes);
        }
        // It need not have read them: what is in the socket outlives this process.
        ours.write_all(&told).map_err(io)?;
        Ok(Guard { process, _life: ours })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the guard process does.
pub(super) fn run() {
    let mut life = std::io::stdin().lock();
    let Some(count) = read_number(&mut life) else { return };
    let paths: Option<Vec<PathBuf>> = (0..count.min(16)).map(|_| read_path(&mut life)).collect();
    let Some(paths) = paths else { return };
    // Nothing more is ever written: this ends with the node.
    let _ = life.read(&mut [0]);
    paths.iter().for_each(|path| remove(path));
}

/// Removes the socket unless somebody listens on it.
fn remove(path: &Path) {
    for _ in 0..50 {
        match remove_stale(path) {
            // Another node, or a process that this one was just starting and that is not yet another program.
            Err(BindError::InUse { .. }) => std::thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
}

fn read_number(from: &mut impl Read) -> Option<u64> {
    let mut number = [0; 8];
    from.read_exact(&mut number).ok()?;
    Some(u64::from_le_bytes(number))
}

fn read_path(from: &mut impl Read) -> Option<PathBuf> {
    let mut path = vec![0; read_number(from)?.min(4096) as usize];
    from.read_exact(&mut path).ok()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&path)))
}
