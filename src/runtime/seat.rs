//! A process's place in the store, on the node's side, from its admission to its end.
//!
//! The store has to be told the truth of when a process is gone: what was lent to it, and what it had views of, is lent
//! to others from then on. So its end is told by types. A [`Seat`] is a number of the store's and the process that was
//! admitted under it; a [`Vacated`] is had of a seat by waiting for the end of that process, and of nothing else; and
//! there is one of each, so that a number is reaped once, before the store gives it to anybody else.

use std::{sync::Arc, time::Duration};

use rustyray_ipc::ProcessHandle;
use rustyray_store::{ClientId, Reaped};

/// How long to wait before one looks again whether a process lives that cannot be waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A number of the store's, and the process that has it.
#[derive(Debug)]
pub(super) struct Seat {
    client: ClientId,
    process: Arc<ProcessHandle>,
}

impl Seat {
    /// Before anything of the admission is given to a process: it is `process` that will have it, and nobody else.
    pub(super) fn of(client: ClientId, process: &Arc<ProcessHandle>) -> Seat {
        Seat { client, process: Arc::clone(process) }
    }

    /// The number.
    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    /// Waits until the process has ended.
    pub(super) async fn vacated(self) -> Vacated {
        ended(&self.process).await;
        Vacated(self.client)
    }
}

/// A number of the store's whose process has ended.
#[derive(Debug)]
pub(crate) struct Vacated(ClientId);

impl Vacated {
    /// The number.
    pub(super) fn client(&self) -> ClientId {
        self.0
    }

    /// Has the store put back what the process was sealing.
    pub(super) fn put_back(&self, store: &rustyray_store::Node) {
        // SAFETY: the process that was admitted under this number has ended, or there would not be a `self`; and the
        // number is its own until `self` is used up.
        unsafe { store.put_back(self.0) };
    }

    /// Has the store clear away what the process left.
    pub(super) fn reap(self, store: &rustyray_store::Node) -> Reaped {
        // SAFETY: as above.
        unsafe { store.reap(self.0) }
    }
}

/// Waits until a process has ended, and for no less: what it had is somebody else's then. Where no descriptor can be
/// had to wait by, one looks until one can.
pub(super) async fn ended(process: &ProcessHandle) {
    while process.exited().await.is_err() && process.is_alive() {
        tokio::time::sleep(LOOK).await;
    }
}
