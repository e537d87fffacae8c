//! Programs whose tasks a node runs: its own, and those of drivers that attached.
//!
//! A worker runs the functions of one program, so the workers of a program are a pool of their own. The node's
//! own program is pool 0. A driver that attaches brings the descriptor of its executable; when that is another
//! file than the node's, or has other functions, its tasks run in workers that are started from it, in its
//! directory and with its environment. Drivers that run the same file share a pool.
//!
//! A program is kept as long as the node runs: objects and actors of it may outlive its drivers. Its workers
//! do not: see [`Programs::unattended`].

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;
use rustyray_scheduler::PoolId;

use super::wire;
use crate::{
    error::{Error, Result},
    registry,
};

/// The pool of workers that run the node's own program.
pub(crate) const OWN: PoolId = PoolId(0);

/// Which file an executable is: device, inode, and when it was last written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    file: (u64, u64),
    written: (i64, i64),
}

impl Identity {
    fn of(executable: &File) -> io::Result<Identity> {
        let found = executable.metadata()?;
        Ok(Identity {
            file: (found.dev(), found.ino()),
            written: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// A program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) pool: PoolId,
    pub(crate) digest: u64,
    pub(crate) entries: Vec<String>,
    /// Path of the executable, for people.
    pub(crate) path: String,
    identity: Option<Identity>,
    home: Option<Home>,
    drivers: Mutex<usize>,
}

/// How the workers of an attached program are started.
#[derive(Debug)]
struct Home {
    executable: File,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    fn own() -> Program {
        let executable = File::open("/proc/self/exe");
        Program {
            pool: OWN,
            digest: registry::digest(),
            entries: registry::entries(),
            path: own_path(),
            identity: executable.and_then(|executable| Identity::of(&executable)).ok(),
            home: None,
            drivers: Mutex::new(1),
        }
    }

    /// What workers are started from, and how.
    pub(crate) fn launch(&self) -> Launch<'_> {
        match &self.home {
            None => Launch {
                // The very file that this process runs, even when another build has replaced it.
                executable: "/proc/self/exe".into(),
                directory: None,
                environment: None,
            },
            Some(home) => Launch {
                executable: format!("/proc/self/fd/{}", home.executable.as_raw_fd()),
                // It may have been removed; then workers start where the node did.
                directory: home.directory.is_dir().then_some(home.directory.as_path()),
                environment: Some(&home.environment),
            },
        }
    }

    /// A driver of this program has left.
    pub(crate) fn detach(&self) {
        let mut drivers = self.drivers.lock();
        *drivers = drivers.saturating_sub(1);
    }
}

/// How a worker is started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) executable: String,
    pub(crate) directory: Option<&'a std::path::Path>,
    /// Instead of this process's own.
    pub(crate) environment: Option<&'a [(OsString, OsString)]>,
}

fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "?".into(), |path| path.display().to_string())
}

/// This process's program, as it describes itself to a node.
pub(crate) fn describe() -> wire::Program {
    wire::Program {
        path: own_path(),
        entries: registry::entries(),
        names: registry::names(),
        directory: std::env::current_dir()
            .map(|path| path.into_os_string().into_vec())
            .unwrap_or_default(),
        environment: std::env::vars_os()
            .map(|(name, value)| (name.into_vec(), value.into_vec()))
            .collect(),
    }
}

/// The programs of a node, by pool.
#[derive(Debug)]
pub(crate) struct Programs(Mutex<Vec<Arc<Program>>>);

/// What a driver's first word says of its program.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) digest: u64,
    identity: Option<Identity>,
    executable: Option<File>,
}

impl Card {
    pub(crate) fn new(digest: u64, executable: Option<OwnedFd>) -> Card {
        let executable = executable.map(File::from);
        let identity = executable.as_ref().and_then(|file| Identity::of(file).ok());
        Card { digest, identity, executable }
    }
}

impl Programs {
    pub(crate) fn new() -> Programs {
        Programs(Mutex::new(vec![Arc::new(Program::own())]))
    }

    pub(crate) fn own(&self) -> Arc<Program> {
        Arc::clone(&self.0.lock()[0])
    }

    /// The program of a pool.
    pub(crate) fn get(&self, pool: PoolId) -> Option<Arc<Program>> {
        self.0.lock().get(pool.0 as usize).cloned()
    }

    /// The program that a driver shows the card of, which counts it among its drivers from now on. A driver
    /// that brings no executable can only be of the node's own.
    pub(crate) fn attach(&self, card: &Card) -> Option<Arc<Program>> {
        let programs = self.0.lock();
        let known = programs.iter().find(|program| match card.identity {
            None => program.pool == OWN && program.digest == card.digest,
            Some(_) => program.identity == card.identity && program.digest == card.digest,
        })?;
        *known.drivers.lock() += 1;
        Some(Arc::clone(known))
    }

    /// Takes in the program of a driver that is unlike all known ones.
    ///
    /// # Errors
    /// [`Error::RegistryMismatch`] when it brings no executable to start workers from.
    pub(crate) fn add(
        &self,
        card: Card,
        described: wire::Program,
        pid: u32,
    ) -> Result<Arc<Program>> {
        let Some(executable) = card.executable else {
            let difference = registry::difference(&registry::entries(), &described.entries)
                .unwrap_or_else(|| "only their order differs".into());
            return Err(Error::RegistryMismatch { pid, difference });
        };
        registry::learn(&described.names);
        let os = |(name, value)| (OsString::from_vec(name), OsString::from_vec(value));
        let mut programs = self.0.lock();
        // Another driver of the same program may have come at the same time.
        let known = programs.iter().find(|program| {
            program.digest == card.digest
                && program.identity.is_some()
                && program.identity == card.identity
        });
        if let Some(known) = known {
            *known.drivers.lock() += 1;
            return Ok(Arc::clone(known));
        }
        let program = Arc::new(Program {
            pool: PoolId(programs.len() as u32),
            digest: card.digest,
            entries: described.entries,
            path: described.path,
            identity: card.identity,
            home: Some(Home {
                executable,
                directory: PathBuf::from(OsString::from_vec(described.directory)),
                environment: described.environment.into_iter().map(os).collect(),
            }),
            drivers: Mutex::new(1),
        });
        programs.push(Arc::clone(&program));
        Ok(program)
    }

    /// The pools that no driver is attached for: their workers may end when they have nothing to do.
    pub(crate) fn unattended(&self) -> Vec<PoolId> {
        let programs = self.0.lock();
        let nobody = |program: &&Arc<Program>| *program.drivers.lock() == 0;
        programs.iter().filter(nobody).map(|program| program.pool).collect()
    }
}
