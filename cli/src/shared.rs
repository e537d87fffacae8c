//! Memory that this process shares with others, and sleeping on a word of it.
//!
//! The only unsafe code of this crate: mapping a memfd, and the system call futex(2). What other processes
//! write is accessed as atomics; [`Pages`] belong to this process alone.

use std::{fs::File, io, ptr, sync::atomic::AtomicU64, time::Duration};

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use nix::{
    errno::Errno,
    libc,
    sys::memfd::{MFdFlags, memfd_create},
};

/// Makes a memfd of `len_bytes` zeroes. Its name is seen in `/proc/PID/fd`.
pub(crate) fn memfd(name: &str, len_bytes: usize) -> io::Result<File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.set_len(len_bytes as u64)?;
    Ok(file)
}

/// Words that several processes may map, all of which access them as atomics.
#[derive(Debug)]
pub(crate) struct Words {
    map: MmapRaw,
    len: usize,
}

impl Words {
    /// Maps the whole of `file`, a memfd that nobody shrinks.
    pub(crate) fn map(file: &File) -> io::Result<Words> {
        let len = file.metadata()?.len() as usize / size_of::<AtomicU64>();
        let map = MmapOptions::new().len(len * size_of::<AtomicU64>()).map_raw(file)?;
        Ok(Words { map, len })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The word at `index`.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len, "word {index} of {}", self.len);
        // SAFETY: `index` is below the number of words that were mapped.
        let word = unsafe { self.map.as_ptr().cast::<AtomicU64>().add(index) };
        // SAFETY: the mapping begins at a page, so the word is aligned; it is mapped for reading and
        // writing as long as `self`, which the result borrows; all processes access it as an atomic.
        unsafe { &*word }
    }
}

/// Sleeps while the low half of `word` is `expected`, at most for `timeout`; `false` when that is over. May
/// return for no reason.
pub(crate) fn futex_wait(word: &AtomicU64, expected: u32, timeout: Duration) -> bool {
    let timeout = nix::sys::time::TimeSpec::from(timeout);
    // SAFETY: FUTEX_WAIT reads four aligned bytes, which lie in `word`, and the timeout, which outlives the
    // call and has the layout of `timespec`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            low_half(word),
            libc::FUTEX_WAIT,
            expected,
            ptr::from_ref(timeout.as_ref()),
        )
    };
    Errno::result(result) != Err(Errno::ETIMEDOUT)
}

/// Wakes all who sleep on `word`.
pub(crate) fn futex_wake(word: &AtomicU64) {
    // SAFETY: FUTEX_WAKE uses the address only to find sleepers.
    unsafe { libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAKE, libc::c_int::MAX) };
}

fn low_half(word: &AtomicU64) -> *const u32 {
    const { assert!(cfg!(target_endian = "little")) };
    ptr::from_ref(word).cast()
}

/// Pages of shared memory, as the store's are, that no other process knows of.
#[derive(Debug)]
pub(crate) struct Pages(MmapMut);

impl Pages {
    /// Maps `len_bytes` that nobody has touched yet.
    pub(crate) fn fresh(len_bytes: usize) -> io::Result<Pages> {
        let file = memfd("rustyray-physics", len_bytes)?;
        // SAFETY: the descriptor is closed when this returns and was never given away, so that nobody
        // else can write to the file or shrink it.
        let map = unsafe { MmapOptions::new().len(len_bytes).map_mut(&file) }?;
        Ok(Pages(map))
    }

    /// Copies `bytes` to the beginning.
    pub(crate) fn copy_from(&mut self, bytes: &[u8]) {
        self.0[..bytes.len()].copy_from_slice(bytes);
    }
}
