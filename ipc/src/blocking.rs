//! A connected socket for threads that may block: frames both ways.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    FrameError, Message, Peer, ProcessHandle, fd,
    frame::{Incoming, Outgoing},
};

/// A connected socket whose calls block. Share it by reference: one lock for sending and one for
/// receiving, so neither holds up the other.
///
/// # Examples
/// ```
/// use std::{io, time::Duration};
/// use rustyray_ipc::{BlockingConnection, FrameError, pair};
///
/// let (ours, theirs) = pair()?;
/// let (ours, theirs) = (BlockingConnection::from_fd(ours)?, BlockingConnection::from_fd(theirs)?);
/// assert!(ours.peer_process()?.is_alive());
/// assert_eq!(ours.peer().pid, std::process::id() as i32);
///
/// // Nothing comes: with a timeout the call can be repeated later.
/// theirs.set_timeout(Some(Duration::from_millis(1)))?;
/// let error = theirs.recv().expect_err("nothing was sent");
/// assert!(matches!(error, FrameError::Io(error) if error.kind() == io::ErrorKind::TimedOut));
///
/// ours.send(b"ping", &[])?;
/// theirs.set_timeout(None)?;
/// assert_eq!(theirs.recv()?.expect("a frame").bytes, b"ping");
///
/// ours.shutdown()?;
/// assert!(theirs.recv()?.is_none(), "the peer has closed");
/// let _socket = theirs.into_fd();
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Debug)]
pub struct BlockingConnection {
    socket: UnixStream,
    peer: Peer,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
}

impl BlockingConnection {
    /// A connection over a connected stream socket, which becomes blocking.
    ///
    /// # Errors
    /// When `socket` is no connected Unix socket.
    pub fn from_fd(socket: OwnedFd) -> io::Result<Self> {
        let peer = fd::peer(socket.as_fd())?;
        let socket = UnixStream::from(socket);
        socket.set_nonblocking(false)?;
        Ok(BlockingConnection {
            socket,
            peer,
            incoming: Mutex::default(),
            outgoing: Mutex::default(),
        })
    }

    /// Connects to the listener at `path`.
    ///
    /// # Errors
    /// When nobody listens there, or this user may not connect; `PermissionDenied` also when another user
    /// listens there.
    ///
    /// # Examples
    /// ```
    /// use std::io;
    /// use rustyray_ipc::BlockingConnection;
    ///
    /// let error = BlockingConnection::connect("/nowhere/socket").expect_err("nobody listens");
    /// assert_eq!(error.kind(), io::ErrorKind::NotFound);
    /// ```
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let connection = BlockingConnection::from_fd(UnixStream::connect(path)?.into())?;
        fd::refuse_stranger(connection.peer)?;
        Ok(connection)
    }

    /// How long one step of a call may block from now on; `None` is for ever. A frame that arrives in
    /// pieces may take several steps.
    ///
    /// # Errors
    /// When `timeout` is zero.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)?;
        self.socket.set_write_timeout(timeout)
    }

    /// Sends one frame. Blocks while the socket's buffer is full.
    ///
    /// # Errors
    /// When the frame is too large, the peer is gone (`BrokenPipe`), or the timeout is over
    /// (`TimedOut`): then the frame has not gone at all, or what is left of it goes before the next one.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), FrameError> {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.is_half_sent() {
            outgoing.push(self.socket.as_fd(), &[]).map_err(timed_out)?;
        }
        outgoing.begin(bytes, fds.len())?;
        outgoing.push(self.socket.as_fd(), fds).map_err(timed_out)?;
        Ok(())
    }

    /// Receives the next frame; `None` when the peer has closed.
    ///
    /// # Errors
    /// [`FrameError::Garbage`] when the peer sends something that is no frame, now and ever after;
    /// `TimedOut` when the timeout is over: the next call goes on where this one was.
    pub fn recv(&self) -> Result<Option<Message>, FrameError> {
        lock(&self.incoming).pull(self.socket.as_fd()).map_err(|error| match error {
            FrameError::Io(error) => timed_out(error).into(),
            error => error,
        })
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The process at the other end, to learn of its death.
    ///
    /// # Errors
    /// When the process is gone, or has too many descriptors open.
    pub fn peer_process(&self) -> io::Result<ProcessHandle> {
        ProcessHandle::of_peer(self.socket.as_fd(), self.peer)
    }

    /// Ends both directions: a thread that blocks in [`BlockingConnection::recv`] gets `None`.
    ///
    /// # Errors
    /// When the connection has ended already.
    pub fn shutdown(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Both)
    }

    /// The socket itself. What was received of an unfinished frame is lost.
    pub fn into_fd(self) -> OwnedFd {
        self.socket.into()
    }
}

/// A frame's state is whole between any two of its steps, so a panic elsewhere leaves it usable.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return io::Error::new(io::ErrorKind::TimedOut, "the peer did not answer in time");
    }
    error
}
