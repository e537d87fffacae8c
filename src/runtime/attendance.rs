//! Which threads of this process may keep its doorbell silent.
//!
//! A thread that attends the doorbell keeps it silent, for the whole process: it has to see what comes for
//! those who sleep, and to pass it on. That is
//! - an object that somebody waits for: its group is marked as dirty;
//! - an answer of the node in a cell.
//!
//! What a worker is to run is seen by one thread only, its *server*: the main thread, or who takes an actor's
//! calls in its place. So in a worker that thread alone attends, and the others, which run methods beside it,
//! wait *aside*: whoever rings wakes the server if that sleeps.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

thread_local! {
    /// Whether this thread takes what a worker is to run.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Who serves in one process, if anybody does.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    has_server: AtomicBool,
}

impl Attendance {
    /// This thread alone takes what the process is to run, from now on.
    pub(super) fn serve(&self) {
        SERVES.set(true);
        if !self.has_server.load(Relaxed) {
            self.has_server.store(true, Relaxed);
        }
    }

    /// Whether it does.
    pub(super) fn serves(&self) -> bool {
        SERVES.get()
    }

    /// This thread does not any more: another will, or nobody until it comes back.
    pub(super) fn cease(&self) {
        SERVES.set(false);
    }

    /// Whether this thread may keep the doorbell silent.
    #[inline]
    pub(super) fn may_attend(&self) -> bool {
        !self.has_server.load(Relaxed) || SERVES.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_serves_attends_where_there_is_one() {
        let attendance = Attendance::default();
        assert!(attendance.may_attend());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                attendance.serve();
                assert!(attendance.may_attend());
                attendance.cease();
                assert!(!attendance.may_attend());
            });
        });
        assert!(!attendance.may_attend());
        attendance.serve();
        assert!(attendance.may_attend());
    }
}
