//! Another process, by a descriptor that keeps meaning the same one after it has ended.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use tokio::io::Interest;

use crate::{Peer, fd};

/// A process, alive or ended. Readiness of its descriptor is what says that it has ended: from then on
/// none of its threads runs, and its memory may be given to somebody else.
///
/// # Examples
/// ```
/// use std::{process::Command, time::Duration};
/// use nix::sys::signal::Signal;
/// use rustyray_ipc::ProcessHandle;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let mut child = Command::new("sleep").arg("1000").spawn()?;
/// let handle = ProcessHandle::open(child.id() as i32)?;
/// assert_eq!(handle.pid(), child.id() as i32);
/// assert!(handle.is_alive());
/// assert!(!handle.exited_blocking(Some(Duration::ZERO))?);
///
/// handle.signal(Signal::SIGKILL)?;
/// handle.exited().await?;
/// assert!(!handle.is_alive(), "it has ended, though nobody has waited for it");
/// child.wait()?;
/// assert!(handle.signal(Signal::SIGKILL).is_err(), "and nobody else is ever hit");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ProcessHandle {
    pidfd: OwnedFd,
    pid: i32,
}

impl ProcessHandle {
    /// The process that `pid` means now. Safe against reuse for a child that was not waited for; else
    /// rather [`crate::Connection::peer_process`].
    ///
    /// # Errors
    /// When there is no such process.
    pub fn open(pid: i32) -> io::Result<Self> {
        Ok(ProcessHandle { pidfd: fd::pidfd_open(pid)?, pid })
    }

    /// The process that `pidfd` stands for, whose id was `pid`.
    ///
    /// # Examples
    /// ```
    /// use rustyray_ipc::ProcessHandle;
    ///
    /// // What another process passed on over a socket; a descriptor of a process can be had by opening one.
    /// # use std::os::fd::AsFd;
    /// let mut child = std::process::Command::new("sleep").arg("1000").spawn()?;
    /// let pid = child.id() as i32;
    /// let pidfd = ProcessHandle::open(pid)?.as_fd().try_clone_to_owned()?;
    /// let handle = ProcessHandle::from_pidfd(pidfd, pid);
    /// assert!(handle.is_alive());
    /// child.kill()?;
    /// assert!(handle.exited_blocking(None)?);
    /// # child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_pidfd(pidfd: OwnedFd, pid: i32) -> Self {
        ProcessHandle { pidfd, pid }
    }

    pub(crate) fn of_peer(socket: BorrowedFd<'_>, peer: Peer) -> io::Result<Self> {
        match fd::peer_pidfd(socket) {
            Ok(pidfd) => Ok(ProcessHandle { pidfd, pid: peer.pid }),
            // Linux before 6.5. A peer that ended and whose id was reused meanwhile is mistaken here.
            Err(error) if error.raw_os_error() == Some(Errno::ENOPROTOOPT as i32) => {
                ProcessHandle::open(peer.pid)
            }
            Err(error) => Err(error),
        }
    }

    /// The process's id; it may mean another process once this one has ended and was waited for.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs. A process that has ended and was not waited for does not.
    pub fn is_alive(&self) -> bool {
        !self.ended_within(PollTimeout::ZERO).unwrap_or(false)
    }

    /// Waits until it has ended. Cancellation-safe; may be called by several tasks.
    ///
    /// # Errors
    /// When the process has too many descriptors open.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub async fn exited(&self) -> io::Result<()> {
        // A descriptor of its own, because one can be registered only once.
        let pidfd = fd::register(self.pidfd.try_clone()?, Interest::READABLE)?;
        pidfd.readable().await?.retain_ready();
        Ok(())
    }

    /// Blocks until it has ended, for at most `timeout`; whether it has.
    ///
    /// # Errors
    /// When the kernel is out of memory.
    pub fn exited_blocking(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = match deadline {
                None => PollTimeout::NONE,
                // Rounded up, so that the last round does not spin.
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let left_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1);
                    PollTimeout::try_from(left_ms + i32::from(!left.is_zero()))
                        .unwrap_or(PollTimeout::MAX)
                }
            };
            if self.ended_within(left)? {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
        }
    }

    /// Sends it a signal; never to another process that came to have its id.
    ///
    /// # Errors
    /// When it has ended and was waited for (`ESRCH`), or belongs to another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        fd::pidfd_signal(self.pidfd.as_fd(), signal)
    }

    fn ended_within(&self, timeout: PollTimeout) -> io::Result<bool> {
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
