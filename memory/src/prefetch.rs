//! Asking for a cache line before it is needed.
//!
//! A line that another core has just written takes a hundred nanoseconds to come, and whoever needs it for an atomic
//! operation waits for all of them. Who knows early what it will write to asks then, and works on meanwhile.
//!
//! Unsafe code here is instructions that compilers have no safe name for.

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

/// The same of all the lines that a value lies in.
///
/// ```
/// use rustyray_memory::prefetch_all_for_write;
///
/// prefetch_all_for_write(&[0_u64; 100]);
/// ```
#[inline]
pub fn prefetch_all_for_write<T>(value: &T) {
    const LINE_BYTES: usize = 64;
    let first = std::ptr::from_ref(value).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(LINE_BYTES) {
        prefetch_for_write(first.wrapping_add(offset));
    }
    // It may begin anywhere in its first line.
    prefetch_for_write(first.wrapping_add(size_of::<T>().saturating_sub(1)));
}

/// Asks for the line at this address, to be read: a hint, whatever is there.
///
/// ```
/// use rustyray_memory::prefetch_for_read;
///
/// let words = [0_u64; 8];
/// prefetch_for_read(&raw const words);
/// ```
#[inline]
#[allow(unsafe_code)]
pub fn prefetch_for_read<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("prefetcht0 [{}]", in(reg) address, options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
