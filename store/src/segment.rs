//! The data segment of a process: one mapping of the whole of it, read-only but where this process
//! is writing.
//!
//! The memfd is as long as the store's capacity and cannot shrink (`F_SEAL_SHRINK`), so no access
//! within the mapping raises SIGBUS for being beyond the end; pages are populated before anybody
//! writes to them, so none does for want of memory. Writing is allowed piece by piece
//! ([`Segment::allow_writes`]) and taken back ([`Segment::forbid_writes`]); both keep the page tables,
//! so that a piece used again is as fast as ordinary memory.
//!
//! One of the crate's unsafe files: it hands out addresses and changes their protection.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
};

use memmap2::{MmapOptions, MmapRaw};
use nix::{
    errno::Errno,
    libc,
    sys::mman::{ProtFlags, mprotect},
};

use crate::Error;

/// The data segment, mapped.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    map: MmapRaw,
    len_bytes: u64,
}

impl Segment {
    /// Maps `len_bytes` of the segment.
    pub(crate) fn new(descriptor: OwnedFd, len_bytes: u64) -> Result<Self, Error> {
        let os = |source| Error::Os { doing: "mapping the data segment", source };
        let file = File::from(descriptor);
        if file.metadata().map_err(os)?.len() < len_bytes {
            return Err(Error::Protocol("the data segment is shorter than the store"));
        }
        let map =
            MmapOptions::new().len(len_bytes as usize).map_raw_read_only(&file).map_err(os)?;
        Ok(Segment { file, map, len_bytes })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Whether the piece lies within the segment.
    #[inline]
    pub(crate) fn contains(&self, offset_bytes: u64, len_bytes: u64) -> bool {
        offset_bytes.checked_add(len_bytes).is_some_and(|end| end <= self.len_bytes)
    }

    /// The address of a byte.
    ///
    /// # Panics
    /// When it lies beyond the segment.
    #[inline]
    pub(crate) fn address(&self, offset_bytes: u64) -> NonNull<u8> {
        assert!(offset_bytes <= self.len_bytes, "byte {offset_bytes} lies beyond the segment");
        // SAFETY: the mapping is `len_bytes` long and the offset is within it (or at its end).
        let address = unsafe { self.map.as_mut_ptr().add(offset_bytes as usize) };
        NonNull::new(address).expect("a mapping is not at address zero")
    }

    /// Allows this process to write to whole pages.
    pub(crate) fn allow_writes(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), Error> {
        self.protect(offset_bytes, len_bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
            .map_err(|errno| os("making a piece of the data segment writable", errno))
    }

    /// Has stores into these whole pages fault from now on. When the system's limit of mappings
    /// (`vm.max_map_count`) does not let us, the pages stay writable: the seal is then a promise.
    pub(crate) fn forbid_writes(&self, offset_bytes: u64, len_bytes: u64) {
        let _ = self.protect(offset_bytes, len_bytes, ProtFlags::PROT_READ);
    }

    fn protect(&self, offset_bytes: u64, len_bytes: u64, to: ProtFlags) -> Result<(), Errno> {
        assert!(self.contains(offset_bytes, len_bytes), "a piece beyond the segment");
        // SAFETY: the pages are within a shared mapping of ours that lives as long as `self`. References
        // into them are to sealed objects, which stay readable; a piece is only made writable while the
        // node has lent it to this process, and only made read-only by its writer at the end of that.
        unsafe { mprotect(self.address(offset_bytes).cast(), len_bytes as usize, to) }
    }

    /// Has the system provide pages (and page tables) for a piece that is writable.
    ///
    /// # Errors
    /// When memory cannot be had, instead of the SIGBUS that touching it would raise.
    pub(crate) fn populate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), Error> {
        assert!(self.contains(offset_bytes, len_bytes), "a piece beyond the segment");
        let address = self.address(offset_bytes).as_ptr();
        loop {
            // SAFETY: the pages are within a mapping of ours; populating them changes no byte.
            let result = unsafe {
                libc::madvise(address.cast(), len_bytes as usize, libc::MADV_POPULATE_WRITE)
            };
            match Errno::result(result) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(os("getting memory from the system", errno)),
            }
        }
    }

    /// The bytes of a sealed object.
    ///
    /// # Safety
    /// While the result lives, nobody writes there: the bytes belong to a sealed object that this
    /// process has pinned. (What enforces it: the pages are read-only in every process but, for small
    /// objects, the one that wrote the block, which goes on behind them.)
    #[inline]
    pub(crate) unsafe fn bytes(&self, offset_bytes: u64, len_bytes: u64) -> &[u8] {
        assert!(self.contains(offset_bytes, len_bytes), "an object beyond the segment");
        // SAFETY: within the mapping (checked), readable, initialised (a memfd is zeroed), and not
        // written while borrowed, as the caller promises.
        unsafe {
            std::slice::from_raw_parts(self.address(offset_bytes).as_ptr(), len_bytes as usize)
        }
    }

    /// A copy of bytes that somebody may be writing: what it holds is an allegation.
    pub(crate) fn copy(&self, offset_bytes: u64, into: &mut [u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.read_exact_at(into, offset_bytes)
    }
}

fn os(doing: &'static str, errno: Errno) -> Error {
    Error::Os { doing, source: errno.into() }
}
