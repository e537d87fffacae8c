//! Strict objects as every process sees them: files of the node's, opened by their place below `/proc`, which
//! needs no message that carries descriptors.
//!
//! A file is taken for what the node said only if it is the inode that the node named; one that is read must
//! have all seals, which the kernel keeps and nobody can take away. So it does not matter who else can open
//! it.

use std::{
    any::TypeId,
    collections::HashMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    ptr::NonNull,
    sync::{Arc, OnceLock, Weak},
};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use parking_lot::Mutex;
use rustyray_memory::Region;

use crate::{
    Client, Error, ObjectId, PinError, PinKind, Refusal, Reply, Request, fault,
    geometry::HUGE_PAGE_BYTES,
};

/// What a sealed file has: no write of any kind, no other size, no further seals.
pub(crate) const SEALS: SealFlag = SealFlag::F_SEAL_WRITE
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

/// Where a file of the node's can be opened.
#[doc(hidden)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FileAt {
    /// The node's process.
    pub pid: u32,
    /// Its descriptor.
    pub descriptor: u32,
    /// The file that must be found there.
    pub inode: u64,
}

impl FileAt {
    /// Opens the file.
    pub(crate) fn open(self, for_writing: bool) -> io::Result<File> {
        let path = match self.pid {
            pid if pid == std::process::id() => format!("/proc/self/fd/{}", self.descriptor),
            pid => format!("/proc/{pid}/fd/{}", self.descriptor),
        };
        let file = OpenOptions::new().read(true).write(for_writing).open(path)?;
        if file.metadata()?.ino() != self.inode {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the node's descriptors are not those below /proc (is this another pid namespace?)",
            ));
        }
        Ok(file)
    }
}

/// A strict object, mapped.
#[derive(Debug)]
pub(crate) struct SealedFile {
    region: Region,
    pub(crate) len_bytes: usize,
    pub(crate) fingerprint: u64,
    pub(crate) kind: PinKind,
    /// As which type its bytes were checked, these very ones.
    checked: OnceLock<TypeId>,
}

impl SealedFile {
    fn map(at: FileAt, len_bytes: u64) -> io::Result<Region> {
        let file = at.open(false)?;
        fault::point("strict.opened");
        let seals = fcntl(&file, FcntlArg::F_GET_SEALS)?;
        if !SealFlag::from_bits_truncate(seals).contains(SEALS) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is not sealed"));
        }
        // One that has no bytes of its own has the list of what it holds: there is something to map.
        match len_bytes.max(1) {
            // Where there are huge pages behind it they can be mapped as such.
            HUGE_PAGE_BYTES.. => {
                let align_bytes = HUGE_PAGE_BYTES as usize;
                Region::map_read_only_aligned(&file, len_bytes as usize, align_bytes)
            }
            len_bytes => Region::map_read_only(&file, len_bytes as usize),
        }
    }

    /// The first of its bytes, of which there are `len_bytes`; they stay while this lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.region.start()
    }

    /// Whether its bytes were checked as this type.
    pub(crate) fn is_checked(&self, as_type: TypeId) -> bool {
        self.checked.get() == Some(&as_type)
    }

    /// Notes that its bytes are a valid value of this type. Of several types the first is known.
    pub(crate) fn set_checked(&self, as_type: TypeId) {
        let _ = self.checked.set(as_type);
    }
}

/// The strict objects that this process has views of, by slot: each is mapped once.
#[derive(Debug, Default)]
pub(crate) struct Mapped(Mutex<HashMap<u32, (u64, Weak<SealedFile>)>>);

impl Client {
    /// The file of an object that this process has pinned; `None` when it is not a strict one.
    #[cold]
    pub(crate) fn sealed_file(&self, id: ObjectId) -> Result<Option<Arc<SealedFile>>, PinError> {
        let mut mapped = self.mapped.0.lock();
        if let Some((generation, file)) = mapped.get(&id.index)
            && *generation == id.generation
            && let Some(file) = file.upgrade()
        {
            return Ok(Some(file));
        }
        let restore = |source| PinError::Restore { id, source };
        let (at, len_bytes, fingerprint, is_failed) =
            match self.ask(Request::Find { id }).map_err(restore)? {
                Reply::File { at, len_bytes, fingerprint, is_failed, .. } => {
                    (at, len_bytes, fingerprint, is_failed)
                }
                Reply::Refused(Refusal::NotStrict) => return Ok(None),
                Reply::Stale(id) => return Err(PinError::Stale(self.stale(id))),
                _ => return Err(restore(Error::Protocol("a file was asked for"))),
            };
        let region = SealedFile::map(at, len_bytes).map_err(|source| {
            restore(Error::Os { doing: "opening the file of a strict object", source })
        })?;
        let kind = if is_failed { PinKind::Failed } else { PinKind::Value };
        let file = Arc::new(SealedFile {
            region,
            len_bytes: len_bytes as usize,
            fingerprint,
            kind,
            checked: OnceLock::new(),
        });
        // What nobody views any more is forgotten when there is more of it than of the rest.
        if mapped.len() >= 64 && mapped.len().is_power_of_two() {
            mapped.retain(|_, (_, file)| file.strong_count() > 0);
        }
        mapped.insert(id.index, (id.generation, Arc::downgrade(&file)));
        Ok(Some(file))
    }
}
