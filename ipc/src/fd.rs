//! Descriptors: passing them over a socket, and watching a process through one.
//!
//! Everything here wraps one system call. Descriptors that arrive are close-on-exec from the start and
//! owned from the moment the kernel made them, so no error path leaks one.

#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::{
        signal::Signal,
        socket::{
            AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
            getsockopt, recvmsg, sendmsg, socketpair, sockopt,
        },
    },
    unistd::geteuid,
};
use tokio::io::{Interest, unix::AsyncFd};

/// More than the kernel passes with one message (`SCM_MAX_FD`), so nothing is ever cut off.
const MOST_FDS: usize = 256;

/// Who is at the other end of a socket, as the kernel saw it when the connection was made.
///
/// # Examples
/// ```
/// use rustyray_ipc::{BlockingConnection, Peer, pair};
///
/// let (ours, _theirs) = pair()?;
/// let Peer { pid, uid, .. } = BlockingConnection::from_fd(ours)?.peer();
/// assert_eq!(pid, std::process::id() as i32, "who made the pair");
/// assert_eq!(uid, nix::unistd::geteuid().as_raw());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Process id, in this process's namespace.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// Two connected stream sockets, close-on-exec, blocking.
///
/// # Errors
/// When the process has too many descriptors open.
///
/// # Examples
/// ```
/// use rustyray_ipc::{BlockingConnection, pair};
///
/// let (ours, theirs) = pair()?; // one of them for a child process
/// let (ours, theirs) = (BlockingConnection::from_fd(ours)?, BlockingConnection::from_fd(theirs)?);
/// ours.send(b"hello", &[])?;
/// assert_eq!(theirs.recv()?.expect("a frame").bytes, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// The peer of a connected Unix socket.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok(Peer { pid: credentials.pid(), uid: credentials.uid(), gid: credentials.gid() })
}

/// Refuses a listener of another user: whoever can put a socket where this user looks for one could otherwise
/// hand it memory of his.
pub(crate) fn refuse_stranger(peer: Peer) -> io::Result<()> {
    if peer.uid == geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("process {} of user {} listens there, not one of this user's", peer.pid, peer.uid),
    ))
}

/// Sends what the socket takes of `bytes`; `fds` travel with the first byte of it.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    let parts = [IoSlice::new(bytes)];
    // No SIGPIPE: a peer that is gone is an error, not the end of this process.
    Ok(sendmsg::<()>(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Receives up to `bytes.len()` bytes, and adds the descriptors that came with them to `fds`. Zero
/// means that the peer has closed.
pub(crate) fn recv(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = cmsg_space!([RawFd; MOST_FDS]);
    let mut parts = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            for fd in received {
                // SAFETY: the kernel has just made this descriptor for us, by SCM_RIGHTS, and nobody
                // else in the process knows of it.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    Ok(message.bytes)
}

/// Registers `fd` with tokio's reactor.
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub(crate) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, always gives the same descriptor, and stays open until it is
    // dropped, which only the `AsyncFd` that owns it does, after it has deregistered it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// Opens a descriptor that stands for the process `pid`.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(result)?;
    // SAFETY: the call succeeded, so this is a new descriptor (close-on-exec by itself) that is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A descriptor that stands for the process at the other end of `socket`, without the detour by a
/// process id that may have been reused. `ENOPROTOOPT` before Linux 6.5.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(getsockopt(&socket, sockopt::PeerPidfd)?)
}

/// Sends `signal` to the process that `pidfd` stands for.
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let (fd, signal) = (pidfd.as_raw_fd(), signal as libc::c_int);
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: pidfd_send_signal accepts a null siginfo and then touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, 0) };
    Errno::result(result)?;
    Ok(())
}
