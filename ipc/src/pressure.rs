//! Being told by the kernel that processes stall for want of memory: its pressure stall information
//! (`/proc/pressure/memory`, Documentation/accounting/psi.rst).
//!
//! A trigger costs nothing until it fires, so this works where a timer would have to run for ever. It tells of
//! a machine in trouble, not of one that will be: it is the net below those who look by the clock.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
};

use nix::fcntl::OFlag;
use tokio::io::{Interest, unix::AsyncFd};

use crate::fd;

/// Some process has stalled for 100 ms within 2 s; windows of whole 2 s are for those without privileges, too.
const TRIGGER: &[u8] = b"some 100000 2000000\0";

/// A trigger that has been set: it fires when some process of the machine has stalled for want of memory for 100 ms
/// within 2 s, and at most once in these 2 s. It is taken back when this is dropped.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rustyray_ipc::Pressure;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// match Pressure::watch() {
///     Ok(pressure) => {
///         // As long as there is memory this waits; a program would give something up afterwards.
///         let _ = tokio::time::timeout(Duration::from_millis(1), pressure.fired()).await;
///     }
///     // A kernel without pressure information, or a container without access to it.
///     Err(error) => assert!(error.raw_os_error().is_some(), "{error}"),
/// }
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Pressure(AsyncFd<OwnedFd>);

impl Pressure {
    /// Sets a trigger.
    ///
    /// # Errors
    /// Where the kernel has no pressure stall information, or none that can be waited for (before Linux 5.2), or does
    /// not let this process have a trigger.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled, where there could be a trigger.
    pub fn watch() -> io::Result<Pressure> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open("/proc/pressure/memory")?;
        file.write_all(TRIGGER)?;
        fd::register(file.into(), Interest::PRIORITY).map(Pressure)
    }

    /// Ready when it has fired since the last time; never again once it cannot tell any more, for its runtime has
    /// ended. Cancellation-safe.
    pub async fn fired(&self) {
        match self.0.ready(Interest::PRIORITY).await {
            Ok(mut ready) => ready.clear_ready(),
            // It will not tell any more.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether one can be set is the kernel's to say; one that is set waits.
    #[tokio::test]
    async fn a_trigger_that_is_set_does_not_fire_by_itself() {
        let Ok(pressure) = Pressure::watch() else { return };
        let fired = tokio::time::timeout(Duration::from_millis(50), pressure.fired()).await;
        // Unless the machine stalls just now.
        let stalls = std::fs::read_to_string("/proc/pressure/memory").expect("it was opened");
        assert!(fired.is_err() || !stalls.contains("some avg10=0.00"), "it fired: {stalls}");
    }
}
