//! Whether this process may still use what it attached to: not when it was forked off.
//!
//! A forked child inherits the mappings and the private counts, but not the right to its parent's
//! bits. One word in a page that the kernel wipes in the child (`MADV_WIPEONFORK`) tells them apart.
//!
//! One of the crate's unsafe files: it makes an atomic of that word.

use memmap2::{MmapMut, MmapRaw};
use nix::{errno::Errno, libc};
use rustyray_memory::sync::{AtomicU64, Ordering};

use crate::Error;

const PAGE_BYTES: usize = 4096;

/// What the kernel leaves of the word in a forked child.
const WIPED: u64 = 0;
const OURS: u64 = 1;
const ABANDONED: u64 = 2;

/// Why shared memory may not be touched.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotOurs {
    /// This process was forked off the one that attached.
    Forked,
    /// The store, or this process's part in it, has ended.
    Closed,
}

/// The word.
#[derive(Debug)]
pub(crate) struct ForkGuard {
    page: MmapRaw,
}

impl ForkGuard {
    pub(crate) fn new() -> Result<Self, Error> {
        let os = |source| Error::Os { doing: "marking a page to be wiped on fork", source };
        let guard = ForkGuard { page: MmapMut::map_anon(PAGE_BYTES).map_err(os)?.into() };
        let address = guard.page.as_mut_ptr().cast();
        // SAFETY: the page was mapped just now, anonymous and private, as the advice asks; nobody
        // refers to it yet.
        let result = unsafe { libc::madvise(address, PAGE_BYTES, libc::MADV_WIPEONFORK) };
        Errno::result(result).map_err(|errno| os(errno.into()))?;
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
    pub(crate) fn is_ours(&self) -> bool {
        self.word().load(Ordering::Relaxed) == OURS
    }

    /// Whether shared memory may be touched, and if not, why.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), NotOurs> {
        match self.word().load(Ordering::Relaxed) {
            OURS => Ok(()),
            WIPED => Err(NotOurs::Forked),
            _ => Err(NotOurs::Closed),
        }
    }

    /// Ends it: from now on nothing shared is touched.
    pub(crate) fn abandon(&self) {
        // Relaxed, and failing in a forked child: there it has ended already.
        let word = self.word();
        let _ = word.compare_exchange(OURS, ABANDONED, Ordering::Relaxed, Ordering::Relaxed);
    }
}
