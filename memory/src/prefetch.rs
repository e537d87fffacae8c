//! Asking for a cache line before it is needed.
//!
//! A line that another core has just written takes a hundred nanoseconds to come, and whoever needs it for an atomic
//! operation waits for all of them. Who knows early what it will write to asks then, and works on meanwhile.
//!
//! Unsafe code here is one instruction that compilers have no safe name for.

/// Asks for the line at this address, to be written to: a hint, whatever is there.
///
/// ```
/// use rustyray_memory::prefetch_for_write;
///
/// let words = [0_u64; 8];
/// prefetch_for_write(&raw const words);
/// ```
#[inline]
#[allow(unsafe_code)]
pub fn prefetch_for_write<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction changes nothing that can be observed, and does not fault at any address.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
