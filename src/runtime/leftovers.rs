//! What an attached program keeps for others and needs no more, while it rests.
//!
//! A process holds what it submits until the node has taken it over, and what it calls by a line until that is settled.
//! Threads that wait or submit let go of it in passing, and nobody tells them: that would cost the node something for
//! each entry. In a program that does neither, for it has all that it wanted, a thread of its own looks once a second,
//! as long as there may be something. When there is nothing it sleeps until there is.
//!
//! It has no part in the doorbell, so that nobody wakes it for anything else. A worker has no such thread: its main
//! thread waits for work.

use std::{
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use super::{Core, Link, uplink::Uplink};

/// How often it is looked whether something is needed no more.
const LOOK: Duration = Duration::from_secs(1);

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
    uplink.let_go(|id| core.release(id));
    core.lines.let_go(&core);
    Some(uplink.holds_nothing() && !core.lines.are_open())
}
