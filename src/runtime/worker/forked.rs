//! The end of a process that a task forked off, where it comes back out of the task's code.
//!
//! It has everything that its parent had, the rings and the queue of work included, and would go on as a second worker
//! with the same name: take what its parent is to run, and tell the node what its parent tells it. So it ends where
//! user code returns to the worker, before it writes anything that is shared. One that executes another program, or
//! ends within the task, is none of the worker's business.

use std::{io::stderr, os::fd::AsFd};

use crate::runtime::{Core, boot};

/// What is said of it.
const WORDS: &[u8] =
    b"rustyray: a process that a task forked off came out of the task's code, and ends there: let it end or \
      execute a program within the task\n";

/// Ends this process if it was forked off the worker.
#[inline]
pub(crate) fn end_if_forked(core: &Core) {
    if core.client.is_forked() {
        end();
    }
}

#[cold]
fn end() -> ! {
    // Not through a lock, which another thread of the parent may have had.
    let _ = nix::unistd::write(stderr().as_fd(), WORDS);
    boot::end_at_once(1)
}
