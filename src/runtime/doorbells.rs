//! The doorbells of all processes, as one of them rings them.
//!
//! Sealing an object wakes those who wait for it, at once: the value that was sealed is dropped after that, which
//! is code of the user's and may wait for one of those who were woken. An error has no such code, and a worker that
//! fails a task's results has one more thing to publish, the completion in its up ring, which the node should find
//! when it wakes: so a worker *defers* the bells meanwhile, and rings each once when everything is published.
//!
//! Who was woken at once may have looked, and be asleep again, before the completion is there to be seen. So a thread that
//! rang the node for what it sealed rings it *again* for the completion; and so does one that had the node seal a strict
//! object, for which that rang itself. What depends on a result has the node subscribe to it, so a completion that something
//! waits for never lies in a ring unseen; of others nobody is told.

use std::cell::Cell;

use rustyray_ipc::Ringer;
use rustyray_store::{ClientId, ClientSet, Wake};

use super::control::{Control, Words};

thread_local! {
    static DEFERRED: Cell<Option<ClientSet>> = const { Cell::new(None) };
    /// This thread has rung the node for what it sealed, or the node has sealed it, and what came of that was not said yet.
    static HAS_RUNG_NODE: Cell<bool> = const { Cell::new(false) };
}

/// Every process's doorbell.
#[derive(Debug)]
pub(crate) struct Doorbells {
    bells: Box<[Ringer<Words>]>,
}

impl Doorbells {
    pub(crate) fn new(control: &Control) -> Self {
        let bells = (0..=u8::MAX).map(|client| control.ringer(ClientId::new(client))).collect();
        Doorbells { bells }
    }

    #[inline]
    pub(crate) fn ring(&self, client: ClientId) {
        self.bells[client.index()].ring();
    }

    /// Wakes a process whatever its doorbell says: after a death that may have come between taking a flag
    /// down and waking.
    pub(crate) fn kick(&self, client: ClientId) {
        self.bells[client.index()].kick();
    }

    /// As [`Ringer::look_after`].
    pub(crate) fn look_after(&self, client: ClientId, last: Option<u64>) -> Option<u64> {
        self.bells[client.index()].look_after(last)
    }

    /// After the completion was published of what this thread sealed: rings the node once more, if the seal rang it.
    #[inline]
    pub(crate) fn ring_node_again(&self) {
        if HAS_RUNG_NODE.get() {
            HAS_RUNG_NODE.set(false);
            self.ring(ClientId::NODE);
        }
    }

    /// Collects the wakes of `f` on this thread and rings them after it, once each.
    #[inline]
    pub(crate) fn deferring<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Flush<'a>(&'a Doorbells);
        impl Drop for Flush<'_> {
            fn drop(&mut self) {
                if let Some(clients) = DEFERRED.take() {
                    clients.iter().for_each(|client| self.0.ring(client));
                }
            }
        }
        DEFERRED.set(Some(ClientSet::EMPTY));
        let _flush = Flush(self);
        f()
    }
}

impl Wake for Doorbells {
    fn wake(&self, clients: ClientSet) {
        match DEFERRED.get() {
            Some(mut deferred) => {
                deferred.extend(clients);
                DEFERRED.set(Some(deferred));
            }
            None => {
                if clients.contains(ClientId::NODE) {
                    HAS_RUNG_NODE.set(true);
                }
                clients.iter().for_each(|client| self.ring(client));
            }
        }
    }

    /// Who was woken then may have looked, too, and be asleep again.
    fn sealed_by_node(&self) {
        HAS_RUNG_NODE.set(true);
    }
}
