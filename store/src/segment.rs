//! The data segment of a process: one mapping of the whole of it, read-only but where this process
//! is writing.
//!
//! A memfd's is as long as the store's capacity and cannot shrink (`F_SEAL_SHRINK`), so no access
//! within the mapping raises SIGBUS for being beyond the end; pages are populated before anybody
//! writes to them, so none does for want of memory. Writing is allowed piece by piece
//! ([`Segment::allow_writes`]) and taken back ([`Segment::forbid_writes`]); both keep the page tables,
//! so that a piece used again is as fast as ordinary memory. The other backends leave everything
//! writable: an *unguarded* segment.
//!
//! One of the crate's unsafe files: it hands out addresses and changes their protection.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    ptr::NonNull,
};

use nix::{
    errno::Errno,
    libc,
    sys::mman::{ProtFlags, mprotect},
};

use rustyray_memory::{
    Region,
    sync::{AtomicU64, Ordering},
};

use crate::{Error, geometry::PAGE_BYTES};

/// The data segment, mapped.
#[derive(Debug)]
pub(crate) struct Segment {
    region: Region,
    /// The memfd, of which the region is a mapping that is read-only at first.
    file: Option<File>,
}

impl Segment {
    /// Maps `len_bytes` of a memfd.
    pub(crate) fn of_file(file: File, len_bytes: usize) -> Result<Self, Error> {
        let region = Region::map_read_only(&file, len_bytes).map_err(crate::backend::refused)?;
        Ok(Segment { region, file: Some(file) })
    }

    /// A segment whose pages are writable at all times, to everybody.
    pub(crate) fn unguarded(region: Region) -> Self {
        Segment { region, file: None }
    }

    /// The memfd, if it is one.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|file| file.as_fd())
    }

    /// Whether the piece lies within the segment.
    #[inline]
    pub(crate) fn contains(&self, offset_bytes: u64, len_bytes: u64) -> bool {
        offset_bytes.checked_add(len_bytes).is_some_and(|end| end <= self.region.len_bytes() as u64)
    }

    /// The address of a byte.
    ///
    /// # Panics
    /// When it lies beyond the segment.
    #[inline]
    pub(crate) fn address(&self, offset_bytes: u64) -> NonNull<u8> {
        assert!(self.contains(offset_bytes, 0), "byte {offset_bytes} lies beyond the segment");
        // SAFETY: the offset is within the region (or at its end).
        unsafe { self.region.start().add(offset_bytes as usize) }
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
        if self.file.is_none() {
            return Ok(());
        }
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

    /// A copy of bytes that somebody may be writing: what it holds is an allegation. They begin at a
    /// multiple of 8.
    pub(crate) fn read_at(&self, offset_bytes: u64, into: &mut [u8]) -> io::Result<()> {
        let len_bytes = into.len() as u64;
        if !self.contains(offset_bytes, len_bytes) || !offset_bytes.is_multiple_of(8) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Some(file) = &self.file {
            return file.read_exact_at(into, offset_bytes);
        }
        let mut address = self.address(offset_bytes).cast::<AtomicU64>();
        for chunk in into.chunks_mut(8) {
            // SAFETY: the word begins within the region at a multiple of 8, and the region is whole pages, so
            // that it ends within it too; it is mapped as long as `self`. Whoever writes there at the same
            // time does so in error, or is a process of the trust model's (cooperative) kind.
            let word = unsafe { address.as_ref() }.load(Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
            // SAFETY: at most the end of the region, which is whole pages.
            address = unsafe { address.add(1) };
        }
        Ok(())
    }

    /// Writes bytes of an extent that the node has lent to nobody.
    ///
    /// # Errors
    /// When memory for them cannot be had.
    pub(crate) fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> Result<(), Error> {
        let os = |source| Error::Os { doing: "getting memory from the system", source };
        if !self.contains(offset_bytes, bytes.len() as u64) {
            return Err(os(io::ErrorKind::InvalidInput.into()));
        }
        if let Some(file) = &self.file {
            return file.write_all_at(bytes, offset_bytes).map_err(os);
        }
        let page = offset_bytes / PAGE_BYTES * PAGE_BYTES;
        self.populate(page, offset_bytes + bytes.len() as u64 - page)?;
        // SAFETY: within the region (checked), which is writable at all times; nobody else knows the place.
        unsafe {
            self.address(offset_bytes)
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        Ok(())
    }
}

fn os(doing: &'static str, errno: Errno) -> Error {
    Error::Os { doing, source: errno.into() }
}
