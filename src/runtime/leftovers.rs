//! What an attached program keeps for others and needs no more, while it rests.
//!
//! A process holds what it submits until the node has taken it over, and what it calls by a line until that is settled.
//! Threads that wait or submit let go of it in passing, and nobody tells them: that would cost the node something for
//! each entry. In a program that does neither, for it has all that it wanted, a thread of its own looks once a second,
//! as long as there may be something. When there is nothing it sleeps until there is.
//!
//! It has no part in the doorbell, so that nobody wakes it for anything else. A worker has no such thread: its main
//! thread waits for work.
//!
//! Who finds no room in the store lets go of it before it waits for some, in every process: there may be no more room
//! than what is kept.

use std::{
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use super::{Core, Link, uplink::Uplink};

/// How often it is looked whether something is needed no more.
const LOOK: Duration = Duration::from_secs(1);

impl Core {
    /// Lets go of what is needed no more, and waits for nobody.
    pub(crate) fn let_go(&self) {
        if let Link::Uplink(uplink) = &self.link {
            uplink.let_go(|id| self.release(id));
        }
        self.lines.let_go(self);
    }

    /// Has whoever finds no room in the store let go first.
    pub(super) fn let_go_for_room(self: &Arc<Self>) {
        let core = Arc::downgrade(self);
        self.client.let_go_for_room(move || {
            if let Some(core) = core.upgrade() {
                core.let_go();
            }
        });
    }
}

/// Starts the thread. Where there can be none, the program lets go of what it keeps with its next submission.
pub(super) fn watch(core: &Arc<Core>) {
    let Link::Uplink(uplink) = &core.link else { return };
    let (core, uplink) = (Arc::downgrade(core), Arc::clone(uplink));
    let looks = move || {
        uplink.look_by(thread::current());
        while let Some(rests) = look(&core, &uplink) {
            match rests {
                true => thread::park(),
                false => thread::park_timeout(LOOK),
            }
        }
    };
    let _ = thread::Builder::new().name("rustyray-leftovers".into()).spawn(looks);
}

/// Lets go of what is needed no more; whether nothing is left. `None` when the runtime is over.
fn look(core: &Weak<Core>, uplink: &Uplink) -> Option<bool> {
    let core = core.upgrade().filter(|core| !core.is_closed())?;
    core.let_go();
    Some(uplink.holds_nothing() && !core.lines.are_open())
}
