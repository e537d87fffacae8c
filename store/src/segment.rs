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
    fcntl::{FallocateFlags, fallocate},
    libc,
    sys::mman::{ProtFlags, mprotect},
};

use rustyray_memory::{
    Region,
    sync::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    Error, fault,
    geometry::{HUGE_PAGE_BYTES, PAGE_BYTES},
    hands,
};

/// Prepared at once. Meanwhile no other thread of this process can map or protect anything.
const PREPARED_BYTES: u64 = 128 << 10;

/// The data segment, mapped.
#[derive(Debug)]
pub(crate) struct Segment {
    region: Region,
    /// The memfd, of which the region is a mapping that is read-only at first.
    file: Option<File>,
    /// Whether the system may put huge pages behind it: no longer once it said that it never does.
    has_huge_pages: AtomicBool,
}

impl Segment {
    /// Maps `len_bytes` of a memfd.
    pub(crate) fn of_file(file: File, len_bytes: usize) -> Result<Self, Error> {
        let region = Region::map_read_only_aligned(&file, len_bytes, HUGE_PAGE_BYTES as usize)
            .map_err(crate::backend::refused)?;
        Ok(Segment { region, file: Some(file), has_huge_pages: AtomicBool::new(true) })
    }

    /// A segment whose pages are writable at all times, to everybody.
    pub(crate) fn unguarded(region: Region) -> Self {
        Segment { region, file: None, has_huge_pages: AtomicBool::new(false) }
    }

    /// A file of this process's own to write, on huge pages if there is enough of it.
    pub(crate) fn writable(file: &File, len_bytes: usize) -> io::Result<Self> {
        let is_huge = len_bytes as u64 >= HUGE_PAGE_BYTES;
        let region = if is_huge {
            Region::map_aligned(file, len_bytes, HUGE_PAGE_BYTES as usize)?
        } else {
            Region::map(file, len_bytes)?
        };
        Ok(Segment { region, file: None, has_huge_pages: AtomicBool::new(is_huge) })
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

    /// Has the system provide pages (and page tables) for a piece that is writable: huge ones where a whole
    /// one fits, which is ten times as fast to populate and costs nothing to protect. A large piece by several threads.
    ///
    /// # Errors
    /// When memory cannot be had, instead of the SIGBUS that touching it would raise.
    pub(crate) fn populate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), Error> {
        assert!(self.contains(offset_bytes, len_bytes), "a piece beyond the segment");
        fault::fail("populate")
            .map_err(|source| Error::Os { doing: "getting memory from the system", source })?;
        hands::divide(offset_bytes, len_bytes, |offset_bytes, len_bytes| {
            self.provide(offset_bytes, len_bytes, libc::MADV_POPULATE_WRITE, len_bytes)
        })
    }

    /// Has the system provide pages for a piece that nobody can write to yet, or that somebody is writing to:
    /// no byte changes, and no page becomes writable.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub(crate) fn prepare(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), Error> {
        assert!(self.contains(offset_bytes, len_bytes), "a piece beyond the segment");
        // Reading a hole in a file gives it a page. Anonymous memory would be given the page of zeroes that all
        // share; but that is writable at all times.
        let advice = match self.file {
            Some(_) => libc::MADV_POPULATE_READ,
            None => libc::MADV_POPULATE_WRITE,
        };
        self.provide(offset_bytes, len_bytes, advice, PREPARED_BYTES)
    }

    /// `advice` on all of it, so many bytes at once; on huge pages where whole ones fit.
    fn provide(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        advice: i32,
        most_bytes: u64,
    ) -> Result<(), Error> {
        let populate = |offset_bytes, len_bytes| {
            self.advise(offset_bytes, len_bytes, advice)
                .map_err(|errno| os("getting memory from the system", errno))
        };
        let first = offset_bytes.next_multiple_of(HUGE_PAGE_BYTES);
        let end = (offset_bytes + len_bytes) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        if first < end && self.has_huge_pages.load(Ordering::Relaxed) {
            // A page in each, for there must be something to collapse. If all of it is there already, as
            // one huge page, that maps the whole.
            for offset_bytes in (first..end).step_by(HUGE_PAGE_BYTES as usize) {
                populate(offset_bytes, PAGE_BYTES)?;
            }
            // This asks for huge pages whatever the system's policy for shared memory, which normally is
            // to have none. What has none afterwards, for want of contiguous memory, gets small pages.
            if self.advise(first, end - first, libc::MADV_COLLAPSE) == Err(Errno::EINVAL) {
                self.has_huge_pages.store(false, Ordering::Relaxed);
            }
        }
        let end = offset_bytes + len_bytes;
        (offset_bytes..end)
            .step_by(most_bytes.max(1) as usize)
            .try_for_each(|offset_bytes| populate(offset_bytes, most_bytes.min(end - offset_bytes)))
    }

    /// Gives the system advice that changes no byte.
    fn advise(&self, offset_bytes: u64, len_bytes: u64, advice: i32) -> Result<(), Errno> {
        let address = self.address(offset_bytes).as_ptr();
        loop {
            // SAFETY: the callers checked that the pages are within our mapping, and all kinds of advice
            // they give leave all bytes as they are.
            let result = unsafe { libc::madvise(address.cast(), len_bytes as usize, advice) };
            match Errno::result(result) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                // Populating met a page that was just moving. Collapsing met one that cannot.
                Err(Errno::EAGAIN) if advice != libc::MADV_COLLAPSE => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Gives the memory of a free piece back to the system; it reads as zeroes then.
    pub(crate) fn punch(&self, offset_bytes: u64, len_bytes: u64) {
        let Some(file) = &self.file else { return };
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // What cannot be given back is taken again later, as it is.
        let _ = fallocate(file, flags, offset_bytes as i64, len_bytes as i64);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_populated_piece_can_be_written_whatever_its_pages_and_its_neighbours_cannot() {
        populate_and_write(2);
    }

    #[test]
    fn a_large_piece_is_populated_by_several_threads() {
        populate_and_write(40);
    }

    /// A piece of so many huge pages, and a small one on both sides of them.
    fn populate_and_write(huge_pages: u64) {
        let file = File::from(
            nix::sys::memfd::memfd_create(c"test", nix::sys::memfd::MFdFlags::empty())
                .expect("a memfd"),
        );
        let len_bytes = (huge_pages + 2) * HUGE_PAGE_BYTES;
        file.set_len(len_bytes).expect("sized");
        let segment = Segment::of_file(file, len_bytes as usize).expect("mapped");
        let at = HUGE_PAGE_BYTES - PAGE_BYTES;
        let len = huge_pages * HUGE_PAGE_BYTES + 2 * PAGE_BYTES;
        assert!(segment.populate(at, len).is_err(), "it cannot be written yet");
        segment.allow_writes(at, len).expect("writable");
        for _ in 0..2 {
            segment.populate(at, len).expect("populated");
        }
        let mut resident = vec![0u8; (len / PAGE_BYTES) as usize];
        let start = segment.address(at).as_ptr().cast();
        // SAFETY: the range is mapped, and `resident` has a byte for each of its pages.
        let result = unsafe { libc::mincore(start, len as usize, resident.as_mut_ptr()) };
        assert_eq!(Errno::result(result), Ok(0));
        assert!(resident.iter().all(|page| page & 1 == 1), "every page is there");
        for offset_bytes in [at, at + len / 2, at + len - 1] {
            // SAFETY: within the piece, which is writable and of which nobody else knows.
            unsafe { segment.address(offset_bytes).write(7) };
        }
        segment.forbid_writes(at, len);
        let mut bytes = vec![0; len as usize];
        segment.read_at(at, &mut bytes).expect("read");
        assert_eq!(bytes.iter().filter(|&&byte| byte == 7).count(), 3);
    }
}
