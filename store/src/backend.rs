//! Where a store's memory comes from, and how another process gets at it.
//!
//! | backend | shared by | what it does not give |
//! | --- | --- | --- |
//! | [`Backend::Memfd`] | descriptors, passed over a socket | |
//! | [`Backend::Heap`] | nobody: all clients are in the node's process | protection of sealed objects, the strict tier |
//! | `Backend::SharedMemory` | names | protection of sealed objects, the strict tier, and cleaning up after a node that is killed: its segments keep their names and their memory |
//!
//! With memfds the size is sealed, so that no access within a mapping raises SIGBUS. A named segment can be
//! truncated by whoever knows its name: there that is a promise.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
    unistd::ftruncate,
};
use rustyray_memory::{Mapped, Region, WORD_BYTES};

use crate::{Error, Geometry, segment::Segment, table::Table};

/// Where a store's memory comes from.
///
/// # Examples
/// ```
/// use rustyray_store::{Backend, Config};
///
/// assert_eq!(Config::default().backend, Backend::Memfd);
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Two memfds, which every process maps by descriptor. They have no name and go with the last process
    /// that maps them.
    #[default]
    Memfd,
    /// Memory of the node's own process: for programs of one process, and for tests.
    Heap,
    /// Two named segments, for systems without memfd.
    #[cfg(feature = "shared_memory")]
    SharedMemory,
}

/// The memory of a store, for a client that attaches to it.
///
/// # Examples
/// ```
/// use rustyray_store::{Config, Node, Segments};
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let segments = node.admit()?.segments;
/// // SAFETY: nobody writes by them: they are duplicated, as they are on their way over a socket, and closed.
/// let descriptors = unsafe { segments.descriptors() };
/// let received = descriptors.iter().map(|descriptor| descriptor.try_clone().expect("duplicated"));
/// // In the other process:
/// let segments = Segments::from(received.collect::<Vec<_>>());
/// # assert!(matches!(segments, Segments::Descriptors(_)));
/// # Ok::<(), rustyray_store::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Segments {
    /// What [`Segments::descriptors`] gives.
    Descriptors(Descriptors),
    /// The client is in the node's own process.
    Process(Local),
    /// The names of the segments.
    #[cfg(feature = "shared_memory")]
    Names {
        /// The object table's.
        table: String,
        /// The objects'.
        data: String,
    },
}

/// Descriptors of the memory: the table's, then the objects'.
#[doc(hidden)]
#[derive(Debug)]
pub struct Descriptors(Vec<OwnedFd>);

/// Memory of this process.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Local {
    table: Arc<Table>,
    data: Arc<Segment>,
}

impl Segments {
    /// The descriptors to pass to the client's process, in this order; none when the memory is not reached by
    /// descriptors.
    ///
    /// # Safety
    /// Whoever has them can write to objects that others read. So nothing is done with them, nor with duplicates of
    /// them, but to pass them on to who [attaches](crate::Client::attach) by them.
    #[allow(unsafe_code, reason = "it has a contract, and does nothing by itself")]
    pub unsafe fn descriptors(&self) -> &[OwnedFd] {
        self.as_descriptors()
    }

    pub(crate) fn as_descriptors(&self) -> &[OwnedFd] {
        match self {
            Segments::Descriptors(Descriptors(descriptors)) => descriptors,
            _ => &[],
        }
    }
}

impl From<Vec<OwnedFd>> for Segments {
    fn from(descriptors: Vec<OwnedFd>) -> Self {
        Segments::Descriptors(Descriptors(descriptors))
    }
}

/// The node's memory, and what it needs to let others get at it.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) table: Arc<Table>,
    pub(crate) data: Arc<Segment>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Memfd {
        table: OwnedFd,
    },
    Heap,
    #[cfg(feature = "shared_memory")]
    Named {
        table: String,
        data: String,
    },
}

impl Memory {
    /// Makes the memory of a new store.
    pub(crate) fn create(backend: Backend, geometry: Geometry) -> Result<Self, Error> {
        let table_bytes = geometry.table_words() * WORD_BYTES;
        let data_bytes = geometry.capacity_bytes as usize;
        let (table, data, origin) = match backend {
            Backend::Memfd => {
                let table = sized_memfd(c"rustyray-table", table_bytes as u64, true)?;
                let data = sized_memfd(c"rustyray-data", geometry.capacity_bytes, true)?;
                let file = File::from(duplicate(&table)?);
                let region = Region::map(&file, table_bytes).map_err(refused)?;
                (region, Segment::of_file(data.into(), data_bytes)?, Origin::Memfd { table })
            }
            Backend::Heap => {
                let table = Region::anonymous(table_bytes).map_err(refused)?;
                let data = Region::anonymous(data_bytes).map_err(refused)?;
                (table, Segment::unguarded(data), Origin::Heap)
            }
            #[cfg(feature = "shared_memory")]
            Backend::SharedMemory => {
                let (table, table_name) = Region::create_named(table_bytes).map_err(refused)?;
                let (data, data_name) = Region::create_named(data_bytes).map_err(refused)?;
                let origin = Origin::Named { table: table_name, data: data_name };
                (table, Segment::unguarded(data), origin)
            }
        };
        let table = Arc::new(Table::new(Mapped::over(table), geometry, true)?);
        Ok(Memory { table, data: Arc::new(data), origin })
    }

    /// What a new client attaches to.
    pub(crate) fn segments(&self) -> Result<Segments, Error> {
        Ok(match &self.origin {
            Origin::Memfd { table } => {
                let data = self.data.descriptor().ok_or(Error::Protocol("no data segment"))?;
                vec![duplicate(table)?, duplicate(&data)?].into()
            }
            Origin::Heap => Segments::Process(Local {
                table: Arc::clone(&self.table),
                data: Arc::clone(&self.data),
            }),
            #[cfg(feature = "shared_memory")]
            Origin::Named { table, data } => {
                Segments::Names { table: table.clone(), data: data.clone() }
            }
        })
    }
}

/// Maps what a client attaches to.
pub(crate) fn attach(
    segments: Segments,
    geometry: Geometry,
) -> Result<(Arc<Table>, Arc<Segment>), Error> {
    let table_bytes = geometry.table_words() * WORD_BYTES;
    let data_bytes = geometry.capacity_bytes as usize;
    let (table, data) = match segments {
        Segments::Descriptors(Descriptors(descriptors)) => {
            let [table, data]: [OwnedFd; 2] = descriptors
                .try_into()
                .map_err(|_| Error::Protocol("a client attaches with two descriptors"))?;
            [&table, &data].into_iter().try_for_each(cannot_shrink)?;
            let table = Region::map(&File::from(table), table_bytes).map_err(refused)?;
            (table, Segment::of_file(data.into(), data_bytes)?)
        }
        Segments::Process(local) => {
            if *local.table.geometry() != geometry {
                return Err(Error::Protocol("the memory is that of another store"));
            }
            return Ok((local.table, local.data));
        }
        #[cfg(feature = "shared_memory")]
        Segments::Names { table, data } => {
            let table = Region::open_named(&table, table_bytes).map_err(refused)?;
            (table, Segment::unguarded(Region::open_named(&data, data_bytes).map_err(refused)?))
        }
    };
    Ok((Arc::new(Table::new(Mapped::over(table), geometry, false)?), Arc::new(data)))
}

/// Refuses what somebody could shorten under those who have it mapped, which would be their SIGBUS.
fn cannot_shrink(descriptor: &OwnedFd) -> Result<(), Error> {
    let seals = fcntl(descriptor, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    match seals {
        Ok(seals) if seals.contains(SealFlag::F_SEAL_SHRINK) => Ok(()),
        _ => Err(Error::Protocol("the store's memory could shrink")),
    }
}

pub(crate) fn refused(source: std::io::Error) -> Error {
    Error::Os { doing: "mapping the store's memory", source }
}

/// A memfd that stays as long as it is; `is_final` says that nothing else about it can be sealed later.
pub(crate) fn sized_memfd(
    name: &std::ffi::CStr,
    len_bytes: u64,
    is_final: bool,
) -> Result<OwnedFd, Error> {
    let os = |doing| move |errno: nix::errno::Errno| Error::Os { doing, source: errno.into() };
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memfd = memfd_create(name, flags).map_err(os("creating shared memory"))?;
    ftruncate(&memfd, len_bytes as i64).map_err(os("sizing shared memory"))?;
    let mut seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    seals.set(SealFlag::F_SEAL_SEAL, is_final);
    fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals)).map_err(os("fixing the size of shared memory"))?;
    Ok(memfd)
}

fn duplicate(descriptor: &impl AsFd) -> Result<OwnedFd, Error> {
    let descriptor: BorrowedFd<'_> = descriptor.as_fd();
    descriptor
        .try_clone_to_owned()
        .map_err(|source| Error::Os { doing: "duplicating a descriptor", source })
}
