//! A connected socket under tokio: frames both ways.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use nix::sys::socket::{Shutdown, shutdown};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Mutex,
};

use crate::{
    FrameError, Message, Peer, ProcessHandle, fd,
    frame::{Incoming, Outgoing},
};

/// A connected socket, for use under tokio. Sending and receiving do not disturb each other; several
/// senders take turns frame by frame.
///
/// # Examples
/// ```
/// use rustyray_ipc::{Connection, pair};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let (ours, theirs) = pair()?;
/// let (ours, theirs) = (Connection::from_fd(ours)?, Connection::from_fd(theirs)?);
/// assert!(ours.peer_process()?.is_alive());
/// assert_eq!(ours.peer().pid, std::process::id() as i32);
///
/// // A `recv` that is given up loses nothing.
/// tokio::select! {
///     biased;
///     _ = theirs.recv() => unreachable!("nothing was sent"),
///     sent = ours.send(b"ping", &[]) => sent?,
/// }
/// assert_eq!(theirs.recv().await?.expect("a frame").bytes, b"ping");
///
/// ours.shutdown()?;
/// assert!(theirs.recv().await?.is_none(), "the peer has closed");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    socket: AsyncFd<OwnedFd>,
    peer: Peer,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
}

impl Connection {
    /// A connection over a connected stream socket, which becomes non-blocking.
    ///
    /// # Errors
    /// When `socket` is no connected Unix socket.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn from_fd(socket: OwnedFd) -> io::Result<Self> {
        let peer = fd::peer(socket.as_fd())?;
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Connection {
            socket: fd::register(socket.into(), Interest::READABLE | Interest::WRITABLE)?,
            peer,
            incoming: Mutex::default(),
            outgoing: Mutex::default(),
        })
    }

    /// Connects to the listener at `path`. Cancellation-safe: a connection that nobody is given is closed.
    ///
    /// # Errors
    /// When nobody listens there, or this user may not connect; `PermissionDenied` also when another user
    /// listens there.
    ///
    /// # Examples
    /// ```
    /// use std::io;
    /// use rustyray_ipc::Connection;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let error = Connection::connect("/nowhere/socket").await.expect_err("nobody listens");
    /// assert_eq!(error.kind(), io::ErrorKind::NotFound);
    /// # });
    /// # Ok::<(), io::Error>(())
    /// ```
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let stream = tokio::net::UnixStream::connect(path).await?.into_std()?;
        let connection = Connection::from_fd(stream.into())?;
        fd::refuse_stranger(connection.peer)?;
        Ok(connection)
    }

    /// Sends one frame. Waits while the socket's buffer is full.
    ///
    /// Cancellation: the frame has gone wholly, or not at all, or what is left of it goes before the
    /// next one.
    ///
    /// # Errors
    /// When the frame is too large, or the peer is gone (`BrokenPipe`).
    pub async fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), FrameError> {
        self.send_next(&mut *self.outgoing.lock().await, bytes, fds).await
    }

    /// Sends frames one right after the other: those of no other sender come between them.
    ///
    /// Cancellation: each frame has gone as one that is sent by itself, and those after it have not.
    ///
    /// # Errors
    /// As [`Connection::send`]; the frames before have gone.
    ///
    /// # Examples
    /// ```
    /// use rustyray_ipc::{Connection, pair};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let (ours, theirs) = pair()?;
    /// let (ours, theirs) = (Connection::from_fd(ours)?, Connection::from_fd(theirs)?);
    /// ours.send_in_turn([&b"in two"[..], b" parts"]).await?;
    /// for part in ["in two", " parts"] {
    ///     assert_eq!(theirs.recv().await?.expect("a frame").bytes, part.as_bytes());
    /// }
    /// # Ok::<(), rustyray_ipc::FrameError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn send_in_turn(
        &self,
        frames: impl IntoIterator<Item: AsRef<[u8]>>,
    ) -> Result<(), FrameError> {
        let mut outgoing = self.outgoing.lock().await;
        for frame in frames {
            self.send_next(&mut outgoing, frame.as_ref(), &[]).await?;
        }
        Ok(())
    }

    /// Sends a frame after what is left of the one before.
    async fn send_next(
        &self,
        outgoing: &mut Outgoing,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), FrameError> {
        if outgoing.is_half_sent() {
            self.push(outgoing, &[]).await?;
        }
        outgoing.begin(bytes, fds.len())?;
        self.push(outgoing, fds).await?;
        Ok(())
    }

    async fn push(&self, outgoing: &mut Outgoing, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            if let Ok(result) = ready.try_io(|socket| outgoing.push(socket.as_fd(), fds)) {
                return result;
            }
        }
    }

    /// Receives the next frame; `None` when the peer has closed.
    ///
    /// Cancellation: nothing is lost; the next call goes on where this one was.
    ///
    /// # Errors
    /// [`FrameError::Garbage`] when the peer sends something that is no frame, now and ever after.
    pub async fn recv(&self) -> Result<Option<Message>, FrameError> {
        let mut incoming = self.incoming.lock().await;
        loop {
            let mut ready = self.socket.readable().await?;
            let attempt = ready.try_io(|socket| match incoming.pull(socket.as_fd()) {
                Err(FrameError::Io(error)) => Err(error),
                result => Ok(result),
            });
            match attempt {
                Ok(Ok(result)) => return result,
                Ok(Err(error)) => return Err(error.into()),
                Err(_would_block) => {}
            }
        }
    }

    /// Ends both directions: whoever receives at either end gets `None`.
    ///
    /// # Errors
    /// When the connection has ended already.
    pub fn shutdown(&self) -> io::Result<()> {
        Ok(shutdown(self.socket.as_raw_fd(), Shutdown::Both)?)
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
}
