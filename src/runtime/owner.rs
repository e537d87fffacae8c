//! Whose the statics are: the process's that began to use them, and not of a child that was forked off it.
//!
//! Such a child has what they refer to, but not the threads that make it go: what it gives them would never be done, and
//! what the system keeps behind them (an event queue, an eventfd) it shares with its parent. So it is refused.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::store_error;
use crate::error::{Error, Result};

/// The process that uses something.
#[derive(Debug)]
pub(crate) struct Owner(AtomicU32);

/// No process has this number.
const NOBODY: u32 = 0;

impl Owner {
    pub(crate) const fn nobody() -> Owner {
        Owner(AtomicU32::new(NOBODY))
    }

    /// Makes what is nobody's yet this process's.
    ///
    /// # Errors
    /// When it is the parent's of this process.
    pub(crate) fn claim(&self) -> Result<()> {
        let this = std::process::id();
        // Relaxed: nothing is read by it, and no two processes see the same word.
        match self.0.compare_exchange(NOBODY, this, Relaxed, Relaxed) {
            Err(owner) if owner != this => Err(Self::forked()),
            _ => Ok(()),
        }
    }

    /// Whether it is this process's.
    pub(crate) fn is_this(&self) -> bool {
        self.0.load(Relaxed) == std::process::id()
    }

    fn forked() -> Error {
        store_error::<()>(rustyray_store::Error::Forked)
    }
}
