//! Whether other programs want the cores that we would spin on.
//!
//! Spinning is the best use of a core of one's own and the worst of one that somebody else is waiting
//! for, perhaps the very peer whose answer is awaited. Signs of the latter:
//! - the kernel took the core away from this thread (an involuntary context switch) in the middle of a
//!   spin, or held it up for long there. What happens outside of a spin says nothing: a thread that wakes
//!   another is often preempted by it, whatever the other cores do;
//! - the peer ran as soon as this thread slept (see [`crate::patience`]);
//! - this thread may run on one core only.
//!
//! A pair of threads that shares a core while another is idle gives the same sign, so it is [tried](crate::apart) first
//! whether they can go apart.
//!
//! A sign forbids spinning for a while; each further sign soon after doubles the while, and a spin that
//! ends without one halves it.

use std::time::{Duration, Instant};

use nix::{
    sched::{CpuSet, sched_getaffinity},
    sys::resource::{UsageWho, getrusage},
    unistd::Pid,
};
use rustyray_memory::sync::{AtomicU64, Ordering::Relaxed};

use crate::apart::Apart;

const FIRST_WHILE_NS: u64 = 10_000_000;
const LONGEST_WHILE_NS: u64 = 320_000_000;

/// A pause in the middle of a spin that only somebody else's running explains.
pub(crate) const HELD_UP: Duration = Duration::from_micros(300);

/// What a process knows of its neighbours. All words are hints: Relaxed, and no harm if two threads
/// overwrite each other's.
#[derive(Debug)]
pub(crate) struct Crowding {
    since: Instant,
    /// Nanoseconds after `since` until which nobody spins.
    until_ns: AtomicU64,
    while_ns: AtomicU64,
    apart: Apart,
}

impl Crowding {
    pub(crate) fn new() -> Self {
        Crowding {
            since: Instant::now(),
            until_ns: AtomicU64::new(0),
            while_ns: AtomicU64::new(FIRST_WHILE_NS),
            apart: Apart::default(),
        }
    }

    /// Whether a sign was seen lately. No clock is read while there was none.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        let until = self.until_ns.load(Relaxed);
        if until == 0 {
            return false;
        }
        if self.now_ns() < until {
            return true;
        }
        self.until_ns.store(0, Relaxed);
        false
    }

    /// Looks for signs, after a spin in vain, in the midst of which there had been so many involuntary
    /// switches. Two system calls.
    pub(crate) fn look(&self, held_up: bool, before: Option<i64>) {
        let switched = before.is_some_and(|before| involuntary_switches() > before);
        if held_up || switched || cores() == 1 {
            self.sign();
        } else {
            let shorter = (self.while_ns.load(Relaxed) / 2).max(FIRST_WHILE_NS);
            self.while_ns.store(shorter, Relaxed);
        }
    }

    /// A sign was seen.
    pub(crate) fn sign(&self) {
        let period = self.while_ns.load(Relaxed);
        self.until_ns.store(self.now_ns() + period, Relaxed);
        self.while_ns.store((period * 2).min(LONGEST_WHILE_NS), Relaxed);
    }

    /// Threads of this process may [go apart](crate::apart) from now on.
    pub(crate) fn let_go_apart(&self) {
        self.apart.allow();
    }

    /// This thread was woken: `nearby`, by one that ran on the same core; `at_once`, as soon as it slept, after a spin for
    /// longer than a wakeup takes. The peer had waited for this very core then: no wonder where it is the only one left, and
    /// to be mended where another is idle.
    pub(crate) fn woken(&self, nearby: bool, at_once: bool) {
        if !nearby {
            self.apart.is_apart();
        } else if self.apart.go(self.now_ns(), at_once) {
            self.until_ns.store(0, Relaxed);
            return;
        }
        if at_once {
            self.sign();
        }
    }

    fn now_ns(&self) -> u64 {
        self.since.elapsed().as_nanos() as u64
    }
}

/// How often the core was taken away from this thread. A system call.
pub(crate) fn involuntary_switches() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.involuntary_context_switches())
}

/// How many cores this thread may run on.
pub(crate) fn cores() -> usize {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return 1 };
    (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).take(2).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_forbids_spinning_and_each_further_one_for_longer() {
        let crowding = Crowding::new();
        assert!(!crowding.is_crowded());
        crowding.sign();
        let first = crowding.until_ns.load(Relaxed);
        crowding.sign();
        assert!(crowding.until_ns.load(Relaxed) - first >= FIRST_WHILE_NS);
        for _ in 0..20 {
            crowding.sign();
        }
        assert!(crowding.is_crowded());
        assert_eq!(crowding.while_ns.load(Relaxed), LONGEST_WHILE_NS);
    }

    #[test]
    fn the_while_ends() {
        let crowding = Crowding::new();
        crowding.sign();
        while crowding.is_crowded() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(crowding.until_ns.load(Relaxed), 0);
    }
}
