//! Going apart: what a thread does that shares a core with its peer while another core is idle.
//!
//! Linux wakes a thread on the core that it slept on, or on its waker's, and looks for an idle one no further than a
//! cache is shared, which the cores of a virtual machine often do not. Two threads that came to share a core, for
//! somebody had the other for a moment, stay there: they sleep in turn, so neither waits for long enough
//! to be moved by the kernel (who ran within `sched_migration_cost_ns`, half a millisecond, is too warm for that). To its
//! members such a pair looks like a crowd, and who is in a crowd does not spin, which keeps the pair together.
//!
//! How many threads of the machine are runnable does not tell a pair from a crowd: `/proc/loadavg` counts those, too,
//! that sleep and are owed no time (delayed dequeuing, Linux 6.12). So a thread tries: it goes to another core by
//! forbidding itself the present one for a moment. Where that did not help, for the other core is somebody else's, it tries
//! more and more rarely.

use nix::{
    sched::{sched_getaffinity, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};
use rustyray_memory::sync::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A move costs about 0.1 ms.
const FIRST_PAUSE_NS: u64 = 2_000_000;
const LONGEST_PAUSE_NS: u64 = 1_280_000_000;
/// So many wakes in a row by a thread on the same core are no chance.
const ROW: u64 = 4;

/// When threads of a process go apart. All words are hints: Relaxed, and no harm if two threads overwrite each other's.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    is_allowed: AtomicBool,
    /// How many wakes, of late, were by a thread on the core of the one that was woken.
    in_a_row: AtomicU64,
    /// When the next move may be.
    not_before_ns: AtomicU64,
    pause_ns: AtomicU64,
}

impl Apart {
    /// Threads of this process may be moved from now on.
    pub(crate) fn allow(&self) {
        self.is_allowed.store(true, Relaxed);
    }

    /// This thread was woken, at `now_ns`, by one that ran on the same core: `at_once`, when that one ran as soon as this
    /// thread slept. Goes to another core if it is time to; whether it did.
    pub(crate) fn go(&self, now_ns: u64, at_once: bool) -> bool {
        self.is_allowed.load(Relaxed) && self.is_time(now_ns, at_once) && leave_core().is_ok()
    }

    /// A thread was woken by one on another core.
    pub(crate) fn is_apart(&self) {
        if self.in_a_row.load(Relaxed) != 0 {
            self.in_a_row.store(0, Relaxed);
        }
    }

    fn is_time(&self, now_ns: u64, at_once: bool) -> bool {
        let in_a_row = self.in_a_row.load(Relaxed) + 1;
        self.in_a_row.store(in_a_row, Relaxed);
        let not_before = self.not_before_ns.load(Relaxed);
        if now_ns < not_before || !(at_once || in_a_row >= ROW) {
            return false;
        }
        let last_pause = self.pause_ns.load(Relaxed).max(FIRST_PAUSE_NS);
        let helped = now_ns >= not_before + 4 * last_pause;
        let pause = if helped { FIRST_PAUSE_NS } else { (2 * last_pause).min(LONGEST_PAUSE_NS) };
        self.pause_ns.store(pause, Relaxed);
        self.not_before_ns.store(now_ns + pause, Relaxed);
        self.in_a_row.store(0, Relaxed);
        true
    }
}

/// Moves this thread to any other core that it may use.
///
/// # Errors
/// Where it may use this one only.
fn leave_core() -> nix::Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let mut others = allowed;
    others.unset(sched_getcpu()?)?;
    sched_setaffinity(this, &others)?;
    sched_setaffinity(this, &allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn it_goes_at_once_or_after_a_row_of_wakes() {
        let apart = Apart::default();
        assert!(apart.is_time(100 * MS, true));
        let apart = Apart::default();
        let row: Vec<bool> = (0..ROW).map(|n| apart.is_time(100 * MS * n, false)).collect();
        assert_eq!(row, [false, false, false, true]);
        let apart = Apart::default();
        for n in 0..100 {
            assert!(!apart.is_time(100 * MS + n, false), "not in a row");
            assert!(!apart.is_time(100 * MS + n, false));
            apart.is_apart();
        }
    }

    #[test]
    fn where_it_does_not_help_it_goes_rarely_and_where_it_did_at_once() {
        let apart = Apart::default();
        let goes: Vec<u64> = (100..10_000).filter(|&ms| apart.is_time(ms * MS, true)).collect();
        let pauses: Vec<u64> = goes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(
            pauses,
            [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1280, 1280, 1280, 1280, 1280, 1280]
        );
        let later = 10_000 + 5 * 1280;
        assert!(apart.is_time(later * MS, true), "it helped for long");
        assert!(apart.is_time((later + 2) * MS, true));
    }

    #[test]
    fn a_thread_leaves_its_core_and_may_use_as_many_as_before() {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).expect("cores");
        let before = sched_getcpu().expect("a core");
        // Pinned, it cannot be moved between the two looks.
        let mut here = nix::sched::CpuSet::new();
        here.set(before).expect("a core");
        sched_setaffinity(this, &here).expect("allowed");
        assert!(leave_core().is_err(), "there is no other");
        assert_eq!(sched_getaffinity(this), Ok(here));
        sched_setaffinity(this, &allowed).expect("allowed");
        if crate::crowding::cores() > 1 {
            leave_core().expect("there is another");
        }
        assert_eq!(sched_getaffinity(this), Ok(allowed));
    }

    #[test]
    fn who_may_not_does_not_go() {
        assert!(!Apart::default().go(100 * MS, true));
    }
}
