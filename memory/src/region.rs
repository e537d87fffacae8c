//! Bytes that several processes may map: where shared words and objects live, whoever provides them.
//!
//! A region says where its bytes are and keeps them there as long as it lives; it never makes a
//! reference to one. Three kinds:
//! - a file's bytes, normally a memfd's: shared by whoever is given the descriptor;
//! - anonymous bytes of one process;
//! - with the feature `shared_memory`, a segment with a name, for systems without memfd: shared by
//!   whoever knows the name. The maker removes the name when it drops the region; if it is killed, the
//!   name and its memory stay behind.

use std::{fs::File, io, num::NonZeroUsize, ptr::NonNull};

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

/// Mapped bytes.
///
/// # Examples
/// ```
/// use std::fs::File;
/// use nix::sys::memfd::{MFdFlags, memfd_create};
/// use rustyray_memory::{Mapped, Memory, Region, sync::Ordering::Relaxed};
///
/// let file = File::from(memfd_create("region", MFdFlags::MFD_CLOEXEC)?);
/// file.set_len(8192)?;
/// let writable = Region::map(&file, 8192)?;
/// let readable = Region::map_read_only(&file, 4096)?;
/// assert_eq!((writable.len_bytes(), readable.len_bytes()), (8192, 4096));
///
/// Mapped::over(writable).word(0).store(7, Relaxed);
/// // SAFETY: eight bytes that are mapped and readable, and that nobody writes any more.
/// assert_eq!(unsafe { readable.start().cast::<u64>().read() }, 7);
///
/// // Where huge pages could lie behind it.
/// for region in [
///     Region::map_aligned(&file, 8192, 2 << 20)?,
///     Region::map_read_only_aligned(&file, 8192, 2 << 20)?,
/// ] {
///     assert_eq!(region.start().addr().get() % (2 << 20), 0);
/// }
///
/// // A file that is too short is refused here: beyond its end a word would raise SIGBUS.
/// assert!(Region::map(&file, 8193).is_err());
/// assert!(Region::anonymous(0).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    len_bytes: usize,
    _backing: Backing,
}

#[derive(Debug)]
enum Backing {
    Map(#[allow(dead_code, reason = "kept for its drop")] MmapRaw),
    #[cfg(feature = "shared_memory")]
    Named(#[allow(dead_code, reason = "kept for its drop")] named::Named),
}

// SAFETY: a region is an address, a length, and what keeps them mapped; it accesses no byte, and what keeps
// them can be dropped on any thread.
unsafe impl Send for Region {}
// SAFETY: as above; nothing of it changes after it was made.
unsafe impl Sync for Region {}

fn not_empty(len_bytes: usize) -> io::Result<()> {
    if len_bytes > 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "a mapping needs bytes"))
}

impl Region {
    fn of(map: MmapRaw) -> io::Result<Self> {
        let start = NonNull::new(map.as_mut_ptr())
            .ok_or_else(|| io::Error::other("mapped at address zero"))?;
        Ok(Region { start, len_bytes: map.len(), _backing: Backing::Map(map) })
    }

    fn options(file: &File, len_bytes: usize) -> io::Result<MmapOptions> {
        not_empty(len_bytes)?;
        let file_bytes = file.metadata()?.len();
        if file_bytes < len_bytes as u64 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("mapping {len_bytes} bytes of a file of {file_bytes} bytes"),
            ));
        }
        let mut options = MmapOptions::new();
        options.len(len_bytes);
        Ok(options)
    }

    /// Maps the first `len_bytes` of `file`, shared and writable.
    ///
    /// The file must not shrink while it is mapped: a byte beyond its end raises SIGBUS. A memfd sealed
    /// with `F_SEAL_SHRINK` cannot.
    ///
    /// # Errors
    /// When the file is shorter than that, when `len_bytes` is zero, or when the mapping is refused.
    pub fn map(file: &File, len_bytes: usize) -> io::Result<Self> {
        Self::of(Self::options(file, len_bytes)?.map_raw(file)?)
    }

    /// The same, for reading only: a store into it faults.
    ///
    /// # Errors
    /// As for [`Region::map`].
    pub fn map_read_only(file: &File, len_bytes: usize) -> io::Result<Self> {
        Self::of(Self::options(file, len_bytes)?.map_raw_read_only(file)?)
    }

    /// The same, beginning at an address that is a multiple of `align_bytes`, itself one of the page size: what the
    /// system needs to put huge pages behind it.
    ///
    /// # Errors
    /// As for [`Region::map`].
    ///
    /// # Panics
    /// When `align_bytes` is zero.
    pub fn map_read_only_aligned(
        file: &File,
        len_bytes: usize,
        align_bytes: usize,
    ) -> io::Result<Self> {
        Self::aligned(file, len_bytes, align_bytes, ProtFlags::PROT_READ)
    }

    /// As [`Region::map`], at an address that is a multiple of `align_bytes`, itself one of the page size.
    ///
    /// # Errors
    /// As for [`Region::map`].
    ///
    /// # Panics
    /// When `align_bytes` is zero.
    pub fn map_aligned(file: &File, len_bytes: usize, align_bytes: usize) -> io::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        Self::aligned(file, len_bytes, align_bytes, protection)
    }

    fn aligned(
        file: &File,
        len_bytes: usize,
        align_bytes: usize,
        protection: ProtFlags,
    ) -> io::Result<Self> {
        Self::options(file, len_bytes)?;
        // What is mapped here is the room: the file comes into it where the address is right.
        let room_bytes = len_bytes
            .checked_add(align_bytes)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let room = MmapOptions::new().len(room_bytes).map_raw_read_only(file)?;
        let start = (room.as_ptr() as usize).next_multiple_of(align_bytes);
        let (Some(at), Some(len)) = (NonZeroUsize::new(start), NonZeroUsize::new(len_bytes)) else {
            return Err(io::Error::other("mapped at address zero"));
        };
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // SAFETY: `start + len_bytes` is within the room, which was mapped just now, to which nobody has
        // a pointer yet, and which unmaps all of it when it is dropped.
        let mapped = unsafe { mmap(Some(at), len, protection, flags, file, 0) };
        let start = mapped.map_err(io::Error::from)?.cast();
        Ok(Region { start, len_bytes, _backing: Backing::Map(room) })
    }

    /// Zeroed bytes of this process, which take no memory until they are touched.
    ///
    /// # Errors
    /// When `len_bytes` is zero, or when the mapping is refused.
    pub fn anonymous(len_bytes: usize) -> io::Result<Self> {
        not_empty(len_bytes)?;
        Self::of(MmapOptions::new().len(len_bytes).no_reserve_swap().map_anon().map(MmapMut::into)?)
    }

    /// A new segment with a name of its own, and that name.
    ///
    /// # Errors
    /// When `len_bytes` is zero, or when the system refuses.
    ///
    /// # Examples
    /// ```
    /// use rustyray_memory::{Mapped, Memory, Region, sync::Ordering::Relaxed};
    ///
    /// let (made, name) = Region::create_named(4096)?;
    /// // Another process, that was told the name:
    /// let found = Mapped::over(Region::open_named(&name, 4096)?);
    /// let made = Mapped::over(made);
    /// made.word(0).store(7, Relaxed);
    /// assert_eq!(found.word(0).load(Relaxed), 7);
    ///
    /// drop(made);
    /// assert!(Region::open_named(&name, 4096).is_err(), "the name went with its maker");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "shared_memory")]
    pub fn create_named(len_bytes: usize) -> io::Result<(Self, String)> {
        not_empty(len_bytes)?;
        let named = named::Named::create(len_bytes)?;
        let name = named.name().to_owned();
        Ok((Self::of_named(named, len_bytes)?, name))
    }

    /// The segment of that name.
    ///
    /// # Errors
    /// When there is none, or when it is shorter than `len_bytes`.
    ///
    /// # Examples
    /// See [`Region::create_named`]. A segment that is too short is refused:
    /// ```
    /// use rustyray_memory::Region;
    ///
    /// let (made, name) = Region::create_named(4096)?;
    /// assert!(Region::open_named(&name, 1 << 20).is_err());
    /// # drop(made);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "shared_memory")]
    pub fn open_named(name: &str, len_bytes: usize) -> io::Result<Self> {
        not_empty(len_bytes)?;
        Self::of_named(named::Named::open(name)?, len_bytes)
    }

    #[cfg(feature = "shared_memory")]
    fn of_named(named: named::Named, len_bytes: usize) -> io::Result<Self> {
        if named.len_bytes() < len_bytes {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("mapping {len_bytes} bytes of a segment of {} bytes", named.len_bytes()),
            ));
        }
        let start = NonNull::new(named.start())
            .ok_or_else(|| io::Error::other("mapped at address zero"))?;
        Ok(Region { start, len_bytes, _backing: Backing::Named(named) })
    }

    /// The first byte, at the beginning of a page.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes there are.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

#[cfg(feature = "shared_memory")]
mod named {
    use std::io;

    use shared_memory::{Shmem, ShmemConf};

    /// A segment with a name. Its maker removes the name when it drops it; a process that was forked off
    /// the maker does not.
    pub(super) struct Named {
        segment: Shmem,
        maker: u32,
    }

    impl Named {
        fn of(segment: Result<Shmem, shared_memory::ShmemError>) -> io::Result<Self> {
            let segment = segment.map_err(io::Error::other)?;
            Ok(Named { segment, maker: std::process::id() })
        }

        pub(super) fn create(len_bytes: usize) -> io::Result<Self> {
            Self::of(ShmemConf::new().size(len_bytes).create())
        }

        pub(super) fn open(name: &str) -> io::Result<Self> {
            Self::of(ShmemConf::new().os_id(name).open())
        }

        pub(super) fn name(&self) -> &str {
            self.segment.get_os_id()
        }

        pub(super) fn start(&self) -> *mut u8 {
            self.segment.as_ptr()
        }

        pub(super) fn len_bytes(&self) -> usize {
            self.segment.len()
        }
    }

    impl Drop for Named {
        fn drop(&mut self) {
            if self.maker != std::process::id() {
                self.segment.set_owner(false);
            }
        }
    }

    impl std::fmt::Debug for Named {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Named").field("name", &self.name()).finish_non_exhaustive()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_needs_bytes_and_a_file_that_has_them() {
        assert!(Region::anonymous(0).is_err());
        assert_eq!(Region::anonymous(5000).expect("mapped").len_bytes(), 5000);
        let file = File::open("/proc/self/exe").expect("this program");
        let len_bytes = file.metadata().expect("its size").len() as usize;
        assert!(Region::map_read_only(&file, len_bytes).is_ok());
        let error = Region::map_read_only(&file, len_bytes + 1).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_aligned_region_begins_where_it_should_and_holds_the_file() {
        let file = File::open("/proc/self/exe").expect("this program");
        let region = Region::map_read_only_aligned(&file, 5000, 2 << 20).expect("mapped");
        assert_eq!((region.start().as_ptr() as usize % (2 << 20), region.len_bytes()), (0, 5000));
        // SAFETY: the first four bytes of the region, which is mapped and readable.
        assert_eq!(unsafe { region.start().cast::<[u8; 4]>().read() }, *b"\x7fELF");
        let len_bytes = file.metadata().expect("its size").len() as usize;
        assert!(Region::map_read_only_aligned(&file, len_bytes + 1, 4096).is_err());
    }

    #[cfg(feature = "shared_memory")]
    #[test]
    fn a_named_segment_is_found_by_its_name_while_its_maker_lives() {
        let (made, name) = Region::create_named(8192).expect("made");
        let found = Region::open_named(&name, 8192).expect("found");
        // SAFETY: the byte is mapped and writable, and no other thread knows of it.
        unsafe { made.start().write(7) };
        // SAFETY: the same byte, mapped once more.
        assert_eq!(unsafe { found.start().read() }, 7);
        assert!(Region::open_named(&name, 1 << 20).is_err(), "it is shorter");
        drop(made);
        assert!(Region::open_named(&name, 8192).is_err(), "the name is gone");
    }
}
