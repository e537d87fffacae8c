//! What a store is asked to be, and what it says of itself.

use std::{path::PathBuf, time::Duration};

use crate::{Backend, Tier};

/// How to make a store.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of objects the store may keep in memory; rounded up to whole pages.
    pub capacity_bytes: u64,
    /// Slots of the object table: how many objects may live at once. The table is sparse: an unused
    /// slot costs nothing.
    pub max_objects: u32,
    /// Where unpinned objects go when memory runs short; `None` keeps everything in memory. Nothing is
    /// written there before that.
    pub spill_dir: Option<PathBuf>,
    /// Spilling starts when this share of the capacity is in use.
    pub high_water: f64,
    /// Spilling stops when no more than this share is in use.
    pub low_water: f64,
    /// What the node may keep of where objects come from, to make them again when their files are lost, in bytes:
    /// [`crate::Node::keep_origin`].
    pub origin_bytes: u64,
    /// How long a put waits for room before it fails.
    pub put_timeout: Duration,
    /// Bytes of fresh memory to have ready ahead of their use, so that the first objects find pages that are
    /// there; `None` for a sixteenth of the capacity, at most 256 MiB. A thread of the node's process provides
    /// them when a processor has nothing else to do, as long as the machine has memory to spare; nobody waits
    /// for it. 0 for none.
    pub reserve_bytes: Option<u64>,
    /// How every object is kept from being changed; each may ask for more. The strict tier needs memfds.
    pub tier: Tier,
    /// Where the memory comes from.
    pub backend: Backend,
}

impl Default for Config {
    /// 30% of the machine's memory, bounded by half of what is available now and by the limits of this
    /// process's control groups; 4 Mi objects; spilling from 90% on down to 80%, to the directory for
    /// temporary files if that is on a disk, else to `/var/tmp` if that is.
    fn default() -> Self {
        Config {
            capacity_bytes: crate::machine::default_capacity_bytes(),
            max_objects: 4 << 20,
            spill_dir: crate::machine::default_spill_dir(),
            high_water: 0.9,
            low_water: 0.8,
            origin_bytes: 64 << 20,
            put_timeout: Duration::from_secs(10),
            reserve_bytes: None,
            tier: Tier::Ordinary,
            backend: Backend::Memfd,
        }
    }
}

/// What a store holds.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes the store may keep in memory.
    pub capacity_bytes: u64,
    /// Bytes in use: extents, and blocks that hold an object or are leased.
    pub used_bytes: u64,
    /// The part of `used_bytes` in blocks that clients have open for small objects.
    pub leased_bytes: u64,
    /// The largest `used_bytes` so far.
    pub peak_used_bytes: u64,
    /// Bytes of objects on disk.
    pub spilled_bytes: u64,
    /// Bytes that were populated at least once; they are handed out again first.
    pub warm_bytes: u64,
    /// Bytes beyond these that were never used and are ready all the same.
    pub reserve_bytes: u64,
    /// Objects that are alive, with or without a value.
    pub objects: u64,
    /// Clients admitted, the node's own process included.
    pub clients: u32,
}
