//! The guard of a node's socket files.
//!
//! A node that is killed cannot remove the files on which it listens, and its workers are killed with it. So
//! a node that listens has one more process, which does nothing but wait for the node's end and remove the
//! files then. It is the driver's executable, started as workers are, and costs nothing while it
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
    /// Has the files at `paths`, which this process listens on, removed when this process is killed.
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
        ours.write_all(&told).map_err(io)?;
        // The guard knows the files by now, not only their names.
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
    let Some(count) = read_number(&mut life) else { return };
    let paths: Option<Vec<PathBuf>> = (0..count.min(16)).map(|_| read_path(&mut life)).collect();
    let Some(paths) = paths else { return };
    let identity =
        |path: &Path| fs::symlink_metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let ours: Vec<_> = paths.iter().map(|path| identity(path)).collect();
    let known = nix::unistd::write(std::io::stdin(), &[1]).is_ok();
    // Nothing more is ever written: this ends with the node.
    let _ = life.read(&mut [0]);
    for (path, ours) in paths.iter().zip(ours) {
        if known && ours.is_some() && identity(path) == ours {
            let _ = fs::remove_file(path);
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
