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
        guard.word().store(1, Ordering::Relaxed);
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
        self.word().load(Ordering::Relaxed) == 1
    }

    /// Ends it: from now on nothing shared is touched.
    pub(crate) fn abandon(&self) {
        self.word().store(0, Ordering::Relaxed);
    }
}
