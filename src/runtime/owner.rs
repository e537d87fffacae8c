//! Whose the statics are: the process's that began to use them, and not of a child that was forked off it.
//!
//! Such a child has what they refer to, but not the threads that make it go: what it gives them would never be done, and
//! what the system keeps behind them (an event queue, an eventfd) it shares with its parent. So it is refused.

use once_cell::race::OnceBox;
use rustyray_memory::ForkGuard;

use super::store_error;
use crate::error::{Error, Result};

/// The process that uses something: the first that claims it. No thread waits for another that is at it: a child may have
/// been forked off meanwhile.
#[derive(Debug)]
pub(crate) struct Owner(OnceBox<ForkGuard>);

impl Owner {
    pub(crate) const fn nobody() -> Owner {
        Owner(OnceBox::new())
    }

    /// Makes what is nobody's yet this process's. No system call but for the first time.
    ///
    /// # Errors
    /// When it is the parent's of this process, or the system has no page for a mark.
    pub(crate) fn claim(&self) -> Result<()> {
        let guard = self.0.get_or_try_init(|| ForkGuard::new().map(Box::new));
        let guard =
            guard.map_err(|error| Error::io("marking a page to be wiped on fork", &error))?;
        match guard.is_forked() {
            true => Err(store_error::<()>(rustyray_store::Error::Forked)),
            false => Ok(()),
        }
    }

    /// Whether it is this process's.
    pub(crate) fn is_this(&self) -> bool {
        self.0.get().is_some_and(|guard| !guard.is_forked())
    }
}
