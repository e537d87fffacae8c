//! Calls of the host that must not take the scheduler with them.
//!
//! A callback that panics is a defect of the host, whose panic hook has said where. It is not to unwind through
//! whoever has the token, or is telling the host of several things: what is half done would stay so, and the token
//! with it. So each is caught here, and gives the answer that promises least; the scheduler goes on with that, and
//! counts it.
//!
//! A panic of the scheduler's own gives the token back on its way ([`crate::token::Owner`]).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering::Relaxed,
};

use crate::{Host, Scheduler, shared::Shared};

impl<H: Host> Shared<H> {
    /// What `call` gives, or `otherwise` when it panics.
    ///
    /// Unwind safety: what a callback sees of the scheduler are shared references to records, which it cannot leave
    /// half changed, and what it leaves half changed of its own is the host's matter.
    #[inline]
    pub(crate) fn guarded<R>(&self, otherwise: R, call: impl FnOnce() -> R) -> R {
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            self.panics.fetch_add(1, Relaxed);
            otherwise
        })
    }
}

impl<H: Host> Scheduler<H> {
    /// How many calls of the host have panicked; each was taken for the answer that promises least.
    pub fn panics(&self) -> usize {
        self.shared.panics.load(Relaxed)
    }
}
