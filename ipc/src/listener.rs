//! The socket that a node listens on.
//!
//! The socket's directory is what keeps other users out (0700, and owned by this user), and the socket itself
//! is closed to them (0600); that the peer is the same user is checked for every connection all the same, so a
//! place such as `/tmp` will do.
//!
//! Binding replaces a socket whose listener is gone. Looking and replacing happen under a lock on the
//! directory, so that of two nodes which start together only one takes the path.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::{UnixListener as StdListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    unistd::geteuid,
};
use tokio::net::UnixListener;

use crate::{Connection, Peer};

/// The longest path of a socket: 108 bytes in the kernel, one of them the final zero.
const MAX_PATH_BYTES: usize = 107;

/// Why a path cannot be listened on.
///
/// # Examples
/// ```
/// use rustyray_ipc::{BindError, Listener};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _entered = runtime.enter();
/// let error = Listener::bind(format!("/tmp/{}", "x".repeat(200))).expect_err("too long");
/// assert!(matches!(error, BindError::PathTooLong { len_bytes: 205, .. }));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The path is too long for a socket.
    #[error("the socket path {path:?} has {len_bytes} bytes; the limit is {MAX_PATH_BYTES}")]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        len_bytes: usize,
    },
    /// The directory, or what lies at the path, belongs to another user.
    #[error("{path:?} belongs to user {owner_uid}, not to this one")]
    ForeignOwner {
        /// What belongs to somebody else.
        path: PathBuf,
        /// Whose it is.
        owner_uid: u32,
    },
    /// Other users may write into the directory, and could put a socket of theirs in its place.
    #[error("{path:?} may be written by others (mode {mode:03o}); 700 is right")]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Something that is no socket lies at the path.
    #[error("{path:?} exists and is no socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Somebody listens there.
    #[error("somebody listens on {path:?} already")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{doing} {path:?}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why a connection was not accepted. The listener goes on: after either, [`Listener::accept`] can be called again.
///
/// # Examples
/// How a node goes on whatever happens:
/// ```
/// use std::time::Duration;
/// use rustyray_ipc::{AcceptError, Connection, Listener};
///
/// async fn next(listener: &Listener) -> Connection {
///     loop {
///         match listener.accept().await {
///             Ok(connection) => return connection,
///             Err(AcceptError::ForeignPeer { .. }) => {}
///             // Too many open descriptors: that passes.
///             Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
///         }
///     }
/// }
/// # let directory = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let listener = Listener::bind(directory.path().join("socket"))?;
/// let _client = Connection::connect(listener.path()).await?;
/// assert_eq!(next(&listener).await.peer().pid, std::process::id() as i32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The peer belongs to another user; the connection is closed.
    #[error("process {} of user {} tried to connect", .peer.pid, .peer.uid)]
    ForeignPeer {
        /// Who it was.
        peer: Peer,
    },
    /// The kernel refused: too many open descriptors, as a rule (`EMFILE`, `ENFILE`). The connection still waits to be
    /// accepted, so that the next try fails as well: wait before it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A listening socket. Dropping it removes the socket from the file system.
///
/// # Examples
/// ```
/// use rustyray_ipc::{AcceptError, BindError, BlockingConnection, Connection, Listener, remove_stale};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("socket");
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let listener = Listener::bind(&path)?;
/// assert_eq!(listener.path(), path);
///
/// let client = Connection::connect(&path).await?; // or, in a thread that may block:
/// let blocking = BlockingConnection::connect(&path)?;
/// let accepted: Result<Connection, AcceptError> = listener.accept().await;
/// client.send(b"hello", &[]).await?;
/// assert_eq!(accepted?.recv().await?.expect("a frame").bytes, b"hello");
/// # drop(blocking);
///
/// assert!(matches!(Listener::bind(&path), Err(BindError::InUse { .. })));
/// assert!(matches!(remove_stale(&path), Err(BindError::InUse { .. })));
///
/// drop(listener);
/// assert!(!path.exists(), "it removes its socket");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket's file, so that only our own is removed.
    file: (u64, u64),
}

impl Listener {
    /// Listens on `path`. A missing directory is made (0700), a socket nobody listens on any more is
    /// replaced.
    ///
    /// # Errors
    /// See [`BindError`].
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, BindError> {
        let path = path.as_ref();
        let len_bytes = path.as_os_str().as_bytes().len();
        if len_bytes > MAX_PATH_BYTES {
            return Err(BindError::PathTooLong { path: path.into(), len_bytes });
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        make_directory(directory)?;
        let _lock = lock_directory(directory)?;
        clear(path)?;
        let failed = |doing| move |source| BindError::Io { doing, path: path.into(), source };
        let socket = StdListener::bind(path).map_err(failed("cannot listen on"))?;
        // Whatever the umask: nobody else needs it. Who gets in before is looked at like everybody.
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(failed("cannot close to others"))?;
        let made = fs::symlink_metadata(path).map_err(failed("cannot look at"))?;
        socket.set_nonblocking(true).map_err(failed("cannot listen on"))?;
        let socket = UnixListener::from_std(socket).map_err(failed("cannot listen on"))?;
        Ok(Listener { socket, path: path.into(), file: (made.dev(), made.ino()) })
    }

    /// The next connection of a process of this user; one that closes at once was somebody who looked whether the
    /// path is taken. Cancellation-safe: a connection that was not given to anybody is given to the next call.
    ///
    /// # Errors
    /// See [`AcceptError`]; the listener can be used further after each of them.
    pub async fn accept(&self) -> Result<Connection, AcceptError> {
        let (stream, _address) = self.socket.accept().await?;
        let socket = OwnedFd::from(stream.into_std()?);
        let connection = Connection::from_fd(socket)?;
        let peer = connection.peer();
        if peer.uid != geteuid().as_raw() {
            return Err(AcceptError::ForeignPeer { peer });
        }
        Ok(connection)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if ours {
            // Gone already is as good; anything else leaves a socket that the next listener replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket at `path` if nobody listens on it any more, under the lock that [`Listener::bind`]
/// takes, so that one which is just being made is not mistaken for an old one.
///
/// # Errors
/// [`BindError::InUse`] when somebody listens there; otherwise see [`BindError`].
///
/// # Examples
/// ```
/// use std::os::unix::net::UnixListener;
/// use rustyray_ipc::remove_stale;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("socket");
/// drop(UnixListener::bind(&path)?); // leaves its file behind, as a node that was killed does
/// remove_stale(&path)?;
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_stale(path: impl AsRef<Path>) -> Result<(), BindError> {
    let path = path.as_ref();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let _lock = lock_directory(directory)?;
    clear(path)
}

/// Makes `directory` where it is missing, and refuses one that somebody else controls.
fn make_directory(directory: &Path) -> Result<(), BindError> {
    let failed = |doing| move |source| BindError::Io { doing, path: directory.into(), source };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed("cannot make the directory"))?;
    let found = fs::metadata(directory).map_err(failed("cannot look at"))?;
    let shared = found.mode() & 0o1002;
    if shared == 0o1002 && found.uid() == 0 {
        return Ok(()); // As /tmp is: nobody can replace what belongs to somebody else there.
    }
    if shared == 0o0002 {
        let mode = found.mode() & 0o777;
        return Err(BindError::OpenDirectory { path: directory.into(), mode });
    }
    own(directory, &found)
}

fn own(path: &Path, found: &fs::Metadata) -> Result<(), BindError> {
    if found.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(BindError::ForeignOwner { path: path.into(), owner_uid: found.uid() })
}

/// Held while the path is looked at and taken.
fn lock_directory(directory: &Path) -> Result<Flock<File>, BindError> {
    let failed = |source| BindError::Io { doing: "cannot lock", path: directory.into(), source };
    let opened = File::open(directory).map_err(failed)?;
    Flock::lock(opened, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))
}

/// Removes a socket that nobody listens on from `path`, and refuses anything else there.
fn clear(path: &Path) -> Result<(), BindError> {
    let failed = |doing| move |source| BindError::Io { doing, path: path.into(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("cannot look at")(error)),
    };
    own(path, &found)?;
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.into() });
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("cannot replace"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("cannot try")(error)),
    }
}
