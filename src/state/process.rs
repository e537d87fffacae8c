//! The process that a node lives in.

use std::{path::Path, time::Duration};

use nix::sys::signal::Signal;
use rustyray_ipc::{BlockingConnection, ProcessHandle};

use crate::{
    error::{Error, Result},
    runtime::places,
};

/// The longest wait that the clocks know.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The process that a node lives in, known without a word from the node: also when it is stuck, or stopped.
///
/// ```
/// use std::time::Duration;
///
/// use rustyray::state::NodeProcess;
///
/// # fn main() -> rustyray::Result<()> {
/// let runtime = rustyray::blocking::init()?;
/// let process = NodeProcess::of(runtime.socket().expect("it can be found"))?;
/// assert_eq!(process.pid(), std::process::id());
/// assert!(!process.wait_for_end(Duration::ZERO)?); // `terminate` would ask for it
/// # rustyray::blocking::shutdown()
/// # }
/// ```
#[derive(Debug)]
pub struct NodeProcess {
    handle: ProcessHandle,
}

impl NodeProcess {
    /// The process of the node that listens at `socket`.
    ///
    /// # Errors
    /// [`Error::NodeGone`] when nobody listens there any more, [`Error::Io`] when there is no socket or this
    /// user may not connect.
    pub fn of(socket: impl AsRef<Path>) -> Result<NodeProcess> {
        let socket = socket.as_ref();
        NodeProcess::behind(&places::connect(socket)?, socket)
    }

    /// The process at the other end of a connection to `socket`.
    pub(super) fn behind(connection: &BlockingConnection, socket: &Path) -> Result<NodeProcess> {
        let handle = connection.peer_process().map_err(|error| {
            Error::io_at("looking for the process of the node at", socket, &error)
        })?;
        Ok(NodeProcess { handle })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.handle.pid() as u32
    }

    /// Asks it to end, by SIGTERM; with `force` ends it at once, by SIGKILL. Nothing happens when it has ended.
    ///
    /// It is ended whatever it is: a node that [`NodeInfo::daemon`](super::NodeInfo::daemon) does not say to be one
    /// lives in somebody's program.
    ///
    /// # Errors
    /// [`Error::Io`] when the process may not be signalled.
    pub fn terminate(&self, force: bool) -> Result<()> {
        let signal = if force { Signal::SIGKILL } else { Signal::SIGTERM };
        match self.handle.signal(signal) {
            Err(error) if error.raw_os_error() != Some(nix::libc::ESRCH) => {
                Err(Error::io("ending the node's process", &error))
            }
            _ => Ok(()),
        }
    }

    /// Waits for its end, blocking this thread; whether it came within `timeout`.
    ///
    /// # Errors
    /// [`Error::Io`] when the process cannot be watched.
    pub fn wait_for_end(&self, timeout: Duration) -> Result<bool> {
        self.handle
            .exited_blocking(Some(timeout.min(FAR)))
            .map_err(|error| Error::io("watching the node's process", &error))
    }
}
