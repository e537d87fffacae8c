//! Whether this process may still use what it attached to: not when it was forked off.
//!
//! A forked child inherits the mappings, the private counts and the open files, but not the right to what is its
//! parent's there: bits, places in rings, answers that come by a socket. One word in a page that the kernel wipes in
//! the child (`MADV_WIPEONFORK`) tells them apart.
//!
//! One of the crate's unsafe files: it makes an atomic of that word.

use std::io;

use memmap2::{MmapMut, MmapRaw};
use nix::{errno::Errno, libc};

use crate::sync::{AtomicU64, Ordering};

const PAGE_BYTES: usize = 4096;

/// What the kernel leaves of the word in a forked child.
const WIPED: u64 = 0;
const OURS: u64 = 1;
const ABANDONED: u64 = 2;

/// Why shared memory may not be touched.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NotOurs {
    /// This process was forked off the one that attached.
    Forked,
    /// This process's part in it has ended.
    Closed,
}

/// The word.
///
/// # Examples
/// ```
/// use rustyray_memory::{ForkGuard, NotOurs};
///
/// let guard = ForkGuard::new()?;
/// assert_eq!(guard.check(), Ok(())); // a child that is forked off now has `Err(NotOurs::Forked)`
/// guard.abandon();
/// assert_eq!(guard.check(), Err(NotOurs::Closed));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ForkGuard {
    page: MmapRaw,
}

impl ForkGuard {
    /// One that says that all is this process's.
    ///
    /// # Errors
    /// When there is no memory, or the kernel does not know the advice.
    pub fn new() -> io::Result<Self> {
        let guard = ForkGuard { page: MmapMut::map_anon(PAGE_BYTES)?.into() };
        let address = guard.page.as_mut_ptr().cast();
        // SAFETY: the page was mapped just now, anonymous and private, as the advice asks; nobody
        // refers to it yet.
        let result = unsafe { libc::madvise(address, PAGE_BYTES, libc::MADV_WIPEONFORK) };
        Errno::result(result)?;
        guard.word().store(OURS, Ordering::Relaxed);
        Ok(guard)
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped, aligned, writable, accessed through this atomic only, and lives
        // as long as `self`.
        unsafe { &*self.page.as_mut_ptr().cast::<AtomicU64>() }
    }

    /// Whether shared memory may be touched.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.word().load(Ordering::Relaxed) == OURS
    }

    /// Whether shared memory may be touched.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub fn check(&self) -> Result<(), NotOurs> {
        match self.word().load(Ordering::Relaxed) {
            OURS => Ok(()),
            WIPED => Err(NotOurs::Forked),
            _ => Err(NotOurs::Closed),
        }
    }

    /// Whether this process was forked off the one that made this.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.check() == Err(NotOurs::Forked)
    }

    /// Ends it: from now on nothing shared is touched.
    pub fn abandon(&self) {
        // Relaxed, and failing in a forked child: there it has ended already.
        let word = self.word();
        let _ = word.compare_exchange(OURS, ABANDONED, Ordering::Relaxed, Ordering::Relaxed);
    }
}
