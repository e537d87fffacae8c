//! Sleeping on the low half of a shared word: futex(2), shared between processes.
//!
//! The kernel compares and goes to sleep in one step with respect to a wake on the same word, so a
//! change followed by a wake is never missed: either the comparison sees the change, or the wake finds
//! the sleeper.
//!
//! A sleeper may say of which *kind* it is, a bit of its choice, and a waker may wake one kind only; it
//! learns how many it woke. Who was counted returns with [`Wakeup::Woken`], even if its time was up at
//! that moment or a signal came: the kernel asks last whether it was taken off the queue.
//!
//! Under loom the same contract is kept by a mutex and a condition variable: a model in which everybody
//! sleeps and nobody wakes is reported as a deadlock.
//!
//! # Examples
//! ```
//! use std::{sync::Arc, thread};
//! use rustyray_memory::{Heap, Memory, futex::{self, Wakeup}, sync::Ordering::{Acquire, Release}};
//!
//! const READER: u32 = 1;
//! const WRITER: u32 = 2;
//!
//! let memory = Arc::new(Heap::new(1));
//! let writer = {
//!     let memory = Arc::clone(&memory);
//!     thread::spawn(move || {
//!         let word = memory.word(0);
//!         // Sleeping may end for no reason, so whoever sleeps looks again.
//!         while word.load(Acquire) == 0 {
//!             futex::wait_as(WRITER, word, 0, None);
//!         }
//!         word.load(Acquire)
//!     })
//! };
//! let word = memory.word(0);
//! while futex::wake(WRITER, word) == 0 {
//!     assert_eq!(futex::wake(READER, word), 0, "no reader sleeps");
//!     thread::yield_now();
//! }
//! // First the change, then the wake: then nobody sleeps through it.
//! word.store(7, Release);
//! futex::wake_all(word); // or `futex::wake(futex::ANY, word)`, which says how many there were
//! assert_eq!(writer.join().expect("no panic"), 7);
//!
//! assert_eq!(futex::wait(word, 0, None), Wakeup::Changed, "it is 7: no sleep");
//! # assert_eq!(futex::wake(futex::ANY, word), 0);
//! ```

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

/// Sleepers of every kind.
pub const ANY: u32 = u32::MAX;

#[cfg(not(rustyray_loom))]
pub use os::{wait_as, wake};

#[cfg(rustyray_loom)]
pub use model::{wait_as, wake};

/// Sleeps while the low half of `word` is `expected`, for at most `timeout` (`None` is for ever); any waker wakes it.
///
/// May end for no reason, so whoever sleeps looks again, with a load of its own: to be woken orders nothing.
pub fn wait(word: &AtomicU64, expected: u32, timeout: Option<Duration>) -> Wakeup {
    wait_as(ANY, word, expected, timeout)
}

/// Wakes everybody in every process who sleeps on `word`. A system call each time; it is for the caller to know whether
/// anybody sleeps.
pub fn wake_all(word: &AtomicU64) {
    wake(ANY, word);
}

#[cfg(not(rustyray_loom))]
#[allow(unsafe_code)]
mod os {
    use std::ptr;

    use nix::{
        errno::Errno,
        libc,
        time::{ClockId, clock_gettime},
    };

    use super::*;

    /// The address of the low 32 bits of `word`.
    fn low_half(word: &AtomicU64) -> *const u32 {
        const { assert!(cfg!(target_endian = "little")) };
        ptr::from_ref(word).cast()
    }

    /// When `timeout` will have passed, by the clock that the kernel compares with.
    fn deadline(timeout: Duration) -> libc::timespec {
        let never = libc::timespec { tv_sec: libc::time_t::MAX, tv_nsec: 0 };
        let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return never };
        let Some(then) = Duration::from(now).checked_add(timeout) else { return never };
        match libc::time_t::try_from(then.as_secs()) {
            Ok(tv_sec) => libc::timespec { tv_sec, tv_nsec: then.subsec_nanos().into() },
            Err(_) => never,
        }
    }

    /// Sleeps while the low half of `word` is `expected`, for at most `timeout` (`None` is for ever), as one of `kind`,
    /// which is not 0. As [`wait`]: it orders nothing, and may end for no reason.
    pub fn wait_as(
        kind: u32,
        word: &AtomicU64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Wakeup {
        let deadline = timeout.map(deadline);
        let deadline = deadline.as_ref().map_or(ptr::null(), ptr::from_ref);
        let unused = ptr::null::<u32>();
        // SAFETY: FUTEX_WAIT_BITSET reads four bytes at the address, which lie in `word` and are
        // aligned, and reads the timespec, which is null or outlives the call; it writes nothing.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex,
                low_half(word),
                libc::FUTEX_WAIT_BITSET,
                expected,
                deadline,
                unused,
                kind,
            )
        };
        match Errno::result(result) {
            Err(Errno::EAGAIN) => Wakeup::Changed,
            Err(Errno::ETIMEDOUT) => Wakeup::TimedOut,
            // EINTR is a reason to look again, as a wake is. EINVAL, EFAULT and ENOSYS cannot be:
            // looking again is right (if busy) even then.
            _ => Wakeup::Woken,
        }
    }

    /// Wakes those in every process who sleep on `word` as one of these kinds; says how many.
    pub fn wake(kinds: u32, word: &AtomicU64) -> usize {
        let unused = ptr::null::<u32>();
        // SAFETY: FUTEX_WAKE_BITSET uses the address only to find sleepers.
        let woken = unsafe {
            libc::syscall(
                libc::SYS_futex,
                low_half(word),
                libc::FUTEX_WAKE_BITSET,
                libc::c_int::MAX,
                unused,
                unused,
                kinds,
            )
        };
        usize::try_from(woken).unwrap_or(0)
    }
}

#[cfg(rustyray_loom)]
mod model {
    use crate::sync::Ordering::SeqCst;
    use loom::sync::{Condvar, Mutex};

    use super::*;

    /// Who sleeps, on which word and as which kind.
    #[derive(Default)]
    struct Queue {
        sleepers: Vec<(usize, *const AtomicU64, u32)>,
        next: usize,
    }

    // SAFETY: the pointers are compared, never followed.
    #[allow(unsafe_code)]
    unsafe impl Send for Queue {}

    loom::lazy_static! {
        static ref KERNEL: (Mutex<Queue>, Condvar) = (Mutex::new(Queue::default()), Condvar::new());
    }

    /// As the kernel's.
    ///
    /// # Panics
    /// Outside a model.
    pub fn wait_as(
        kind: u32,
        word: &AtomicU64,
        expected: u32,
        _timeout: Option<Duration>,
    ) -> Wakeup {
        let mut queue = KERNEL.0.lock().unwrap();
        if word.load(SeqCst) as u32 != expected {
            return Wakeup::Changed;
        }
        let number = queue.next;
        queue.next += 1;
        queue.sleepers.push((number, word, kind));
        while queue.sleepers.iter().any(|&(sleeper, ..)| sleeper == number) {
            queue = KERNEL.1.wait(queue).unwrap();
        }
        Wakeup::Woken
    }

    /// As the kernel's.
    ///
    /// # Panics
    /// Outside a model.
    pub fn wake(kinds: u32, word: &AtomicU64) -> usize {
        let mut queue = KERNEL.0.lock().unwrap();
        let before = queue.sleepers.len();
        queue.sleepers.retain(|&(_, at, kind)| !std::ptr::eq(at, word) || kind & kinds == 0);
        let woken = before - queue.sleepers.len();
        KERNEL.1.notify_all();
        woken
    }
}
