//! Frames on a stream socket: bytes with a length, and the descriptors that belong to them.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | length of the body, little-endian |
//! | 4..6 | number of descriptors, little-endian |
//! | 6..8 | `RR` |
//! | 8.. | body |
//!
//! A frame's descriptors travel with the first byte of its header; the kernel never delivers the bytes
//! of one message together with the descriptors of another, and the receiver never reads beyond the
//! frame it is at, so descriptors cannot come to belong to another frame.
//!
//! [`Incoming`] and [`Outgoing`] keep what has arrived or gone so far, whoever drives them, so that a
//! call which is cancelled, or runs into its timeout, leaves the stream in order.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use crate::fd;

/// The longest body of one frame.
///
/// # Examples
/// ```
/// use rustyray_ipc::{BlockingConnection, FrameError, MAX_FRAME_BYTES, pair};
///
/// let (ours, _theirs) = pair()?;
/// let too_long = vec![0; MAX_FRAME_BYTES + 1];
/// let error = BlockingConnection::from_fd(ours)?.send(&too_long, &[]).expect_err("too long");
/// assert!(matches!(error, FrameError::TooLarge { .. }));
/// # Ok::<(), std::io::Error>(())
/// ```
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// The most descriptors of one frame.
///
/// # Examples
/// ```
/// use std::os::fd::AsFd;
/// use rustyray_ipc::{BlockingConnection, FrameError, MAX_FRAME_FDS, pair};
///
/// let (ours, theirs) = pair()?;
/// let too_many = vec![theirs.as_fd(); MAX_FRAME_FDS + 1];
/// let error = BlockingConnection::from_fd(ours)?.send(b"", &too_many).expect_err("too many");
/// assert!(matches!(error, FrameError::TooManyDescriptors { .. }));
/// # Ok::<(), std::io::Error>(())
/// ```
pub const MAX_FRAME_FDS: usize = 16;

const HEADER_BYTES: usize = 8;
const MARK: [u8; 2] = *b"RR";

/// One received frame.
///
/// # Examples
/// ```
/// use std::{fs::File, io::Read, os::fd::AsFd};
/// use rustyray_ipc::{BlockingConnection, Message, pair};
///
/// let (ours, theirs) = pair()?;
/// let (ours, theirs) = (BlockingConnection::from_fd(ours)?, BlockingConnection::from_fd(theirs)?);
/// ours.send(b"read this", &[File::open("/proc/self/comm")?.as_fd()])?;
///
/// let Message { bytes, mut fds } = theirs.recv()?.expect("a frame");
/// assert_eq!((&*bytes, fds.len()), (&b"read this"[..], 1));
/// let mut text = String::new();
/// File::from(fds.remove(0)).read_to_string(&mut text)?;
/// assert!(!text.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Message {
    /// The body.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Why a frame was not sent or received.
///
/// # Examples
/// ```
/// use std::{io::Write, os::unix::net::UnixStream};
/// use rustyray_ipc::{BlockingConnection, FrameError, Rubbish};
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// theirs.write_all(b"GET / HTTP/1.1")?;
/// let error = BlockingConnection::from_fd(ours.into())?.recv().expect_err("another protocol");
/// assert!(matches!(error, FrameError::Garbage(Rubbish::NoMark)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The body to be sent is longer than [`MAX_FRAME_BYTES`]. Nothing was sent.
    #[error("a frame of {len_bytes} bytes is longer than {MAX_FRAME_BYTES} bytes")]
    TooLarge {
        /// Its length.
        len_bytes: usize,
    },
    /// There are more descriptors to be sent than [`MAX_FRAME_FDS`]. Nothing was sent.
    #[error("{count} descriptors are more than the {MAX_FRAME_FDS} of one frame")]
    TooManyDescriptors {
        /// How many.
        count: usize,
    },
    /// The peer sent something that is no frame. The connection is of no further use.
    #[error("the peer sent something that is no frame: {0}")]
    Garbage(#[from] Rubbish),
    /// The kernel refused, or the timeout is over (`TimedOut`; the call can be repeated).
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What was wrong with a frame.
///
/// # Examples
/// ```
/// use std::{io::Write, os::unix::net::UnixStream};
/// use rustyray_ipc::{BlockingConnection, FrameError, Rubbish};
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// theirs.write_all(&[9, 0, 0])?;
/// drop(theirs); // it died in the middle of a frame
/// let error = BlockingConnection::from_fd(ours.into())?.recv().expect_err("no frame");
/// assert!(matches!(error, FrameError::Garbage(Rubbish::Truncated)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rubbish {
    /// The header does not begin a frame.
    #[error("no frame begins here")]
    NoMark,
    /// The header claims a body that is too long.
    #[error("a body of {len_bytes} bytes")]
    TooLarge {
        /// The length it claims.
        len_bytes: usize,
    },
    /// Other descriptors came than the header says, or at another place.
    #[error("{found} descriptors where {claimed} were announced")]
    Descriptors {
        /// How many the header says.
        claimed: usize,
        /// How many came.
        found: usize,
    },
    /// The peer closed in the middle of a frame.
    #[error("it ends in the middle")]
    Truncated,
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => error,
            FrameError::Garbage(_) => io::Error::new(io::ErrorKind::InvalidData, error),
            FrameError::TooLarge { .. } | FrameError::TooManyDescriptors { .. } => {
                io::Error::new(io::ErrorKind::InvalidInput, error)
            }
        }
    }
}

/// What is being sent: at most one frame.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Whether a frame was left half sent; [`Outgoing::push`] without descriptors finishes it.
    pub(crate) fn is_half_sent(&self) -> bool {
        self.sent > 0
    }

    /// Puts a frame in line, in place of one of which no byte has gone yet.
    pub(crate) fn begin(&mut self, body: &[u8], fds: usize) -> Result<(), FrameError> {
        debug_assert!(!self.is_half_sent());
        if body.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge { len_bytes: body.len() });
        }
        if fds > MAX_FRAME_FDS {
            return Err(FrameError::TooManyDescriptors { count: fds });
        }
        self.bytes.clear();
        self.bytes.reserve(HEADER_BYTES + body.len());
        self.bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(fds as u16).to_le_bytes());
        self.bytes.extend_from_slice(&MARK);
        self.bytes.extend_from_slice(body);
        Ok(())
    }

    /// Sends until the frame has gone or the socket refuses; `fds` go with its first byte.
    pub(crate) fn push(
        &mut self,
        socket: BorrowedFd<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            let with = if self.sent == 0 { fds } else { &[] };
            match fd::send(socket, &self.bytes[self.sent..], with) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        *self = Outgoing::default();
        Ok(())
    }
}

/// What has been received of the next frame.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    header: [u8; HEADER_BYTES],
    received: usize,
    body: Vec<u8>,
    fds: Vec<OwnedFd>,
    rubbish: Option<Rubbish>,
}

impl Incoming {
    /// Receives until a frame is whole or the socket has no more; `None` when the peer has closed.
    pub(crate) fn pull(&mut self, socket: BorrowedFd<'_>) -> Result<Option<Message>, FrameError> {
        if let Some(rubbish) = self.rubbish {
            return Err(rubbish.into());
        }
        let result = self.pull_rest(socket);
        if let Err(FrameError::Garbage(rubbish)) = result {
            *self = Incoming { rubbish: Some(rubbish), ..Incoming::default() };
        }
        result
    }

    fn pull_rest(&mut self, socket: BorrowedFd<'_>) -> Result<Option<Message>, FrameError> {
        loop {
            let in_header = self.received < HEADER_BYTES;
            let rest = if in_header {
                &mut self.header[self.received..]
            } else {
                &mut self.body[self.received - HEADER_BYTES..]
            };
            if !rest.is_empty() {
                match fd::recv(socket, rest, &mut self.fds) {
                    Ok(0) => return self.closed(),
                    Ok(received) => self.received += received,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                        return self.closed();
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if in_header && self.received == HEADER_BYTES {
                let len = self.check_header()?;
                self.body.resize(len, 0);
            }
            if self.received == HEADER_BYTES + self.body.len() && self.received >= HEADER_BYTES {
                self.check_fds()?;
                let whole = std::mem::take(self);
                return Ok(Some(Message { bytes: whole.body, fds: whole.fds }));
            }
        }
    }

    fn closed(&self) -> Result<Option<Message>, FrameError> {
        if self.received == 0 { Ok(None) } else { Err(Rubbish::Truncated.into()) }
    }

    /// The body's length.
    fn check_header(&self) -> Result<usize, Rubbish> {
        let [a, b, c, d, _, _, mark @ ..] = self.header;
        if mark != MARK {
            return Err(Rubbish::NoMark);
        }
        let len_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
        if len_bytes > MAX_FRAME_BYTES {
            return Err(Rubbish::TooLarge { len_bytes });
        }
        self.check_fds()?;
        Ok(len_bytes)
    }

    fn check_fds(&self) -> Result<(), Rubbish> {
        let claimed = usize::from(u16::from_le_bytes([self.header[4], self.header[5]]));
        let found = self.fds.len();
        if claimed == found && found <= MAX_FRAME_FDS {
            Ok(())
        } else {
            Err(Rubbish::Descriptors { claimed, found })
        }
    }
}
