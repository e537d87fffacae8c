//! Sleeping on the low half of a shared word: futex(2), shared between processes.
//!
//! The kernel compares and goes to sleep in one step with respect to a wake on the same word, so a
//! change followed by a wake is never missed: either the comparison sees the change, or the wake finds
//! the sleeper.
//!
//! Under loom the same contract is kept by a mutex and a condition variable, one pair for all words: a
//! model in which everybody sleeps and nobody wakes is reported as a deadlock.

use std::time::Duration;

use crate::sync::AtomicU64;

/// Why a sleeper goes on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Wakeup {
    /// Woken, or interrupted, or for no reason.
    Woken,
    /// The word was not as expected.
    Changed,
    /// The time is up. A model has no time.
    TimedOut,
}

#[cfg(not(rustyray_loom))]
pub use os::{wait, wake_all};

#[cfg(rustyray_loom)]
pub use model::{wait, wake_all};

#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod os {
    use std::ptr;

    use nix::{errno::Errno, libc};

    use super::*;

    /// The address of the low 32 bits of `word`.
    fn low_half(word: &AtomicU64) -> *const u32 {
        const { assert!(cfg!(target_endian = "little")) };
        ptr::from_ref(word).cast()
    }

    /// Sleeps while the low half of `word` is `expected`, for at most `timeout`.
    pub fn wait(word: &AtomicU64, expected: u32, timeout: Option<Duration>) -> Wakeup {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: FUTEX_WAIT reads four bytes at the address, which lie in `word` and are aligned, and
        // reads the timespec, which is null or outlives the call; it writes nothing.
        let result = unsafe {
            libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAIT, expected, timeout)
        };
        match Errno::result(result) {
            Err(Errno::EAGAIN) => Wakeup::Changed,
            Err(Errno::ETIMEDOUT) => Wakeup::TimedOut,
            // EINTR is a reason to look again, as a wake is. EINVAL, EFAULT and ENOSYS cannot be:
            // looking again is right (if busy) even then.
            _ => Wakeup::Woken,
        }
    }

    /// Wakes everybody in every process who sleeps on `word`.
    pub fn wake_all(word: &AtomicU64) {
        // SAFETY: FUTEX_WAKE uses the address only to find sleepers.
        unsafe {
            libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAKE, libc::c_int::MAX)
        };
    }
}

#[cfg(rustyray_loom)]
mod model {
    use crate::sync::Ordering::SeqCst;
    use loom::sync::{Condvar, Mutex};

    use super::*;

    loom::lazy_static! {
        static ref KERNEL: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    /// As the kernel's.
    ///
    /// # Panics
    /// Outside a model.
    pub fn wait(word: &AtomicU64, expected: u32, _timeout: Option<Duration>) -> Wakeup {
        let bucket = KERNEL.0.lock().unwrap();
        if word.load(SeqCst) as u32 != expected {
            return Wakeup::Changed;
        }
        drop(KERNEL.1.wait(bucket).unwrap());
        Wakeup::Woken
    }

    /// As the kernel's.
    ///
    /// # Panics
    /// Outside a model.
    pub fn wake_all(_word: &AtomicU64) {
        let _bucket = KERNEL.0.lock().unwrap();
        KERNEL.1.notify_all();
    }
}
