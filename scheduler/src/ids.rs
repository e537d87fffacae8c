//! Names of things: what a number may be confused with is kept apart by type.

/// An object of the store, as the scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Index of the object's slot.
    pub index: u32,
    /// How often the slot has been used; an older generation is another object.
    pub generation: u64,
}

/// A task; never given twice, so that a stale id finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    /// How many bits an id has at most: those above are for whoever keeps one with a mark.
    pub const BITS: u32 = 62;

    /// The id as one word, for a queue entry.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The id that [`TaskId::to_bits`] made; any other number is an id that finds nothing.
    pub const fn from_bits(bits: u64) -> Self {
        TaskId(bits)
    }
}

/// A worker process; below [`crate::Config::max_workers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// An actor, through all its incarnations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId(u64);

impl ActorId {
    /// The id as one word; never zero for an actor that was created.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The id that [`ActorId::to_bits`] made; any other number is an id that finds nothing.
    pub const fn from_bits(bits: u64) -> Self {
        ActorId(bits)
    }
}

/// Whoever calls an actor, a number below 256: calls of one caller run in order, but for those [apart](CallerId::apart).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);

impl CallerId {
    const APART: u64 = 1 << 63;

    /// The same caller, for a call that holds up none of its others: each number is a line of its own.
    #[must_use]
    pub const fn apart(self, number: u64) -> CallerId {
        CallerId(self.0 & 0xff | number << 8 | Self::APART)
    }

    /// The caller as it calls in order.
    pub(crate) const fn in_order(self) -> CallerId {
        if self.0 & Self::APART == 0 { self } else { CallerId(self.0 & 0xff) }
    }
}

/// Workers that can run the same functions: one executable and one registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u32);

/// A driver's work as a whole: jobs of equal priority get equal turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u32);

/// A group of reserved bundles; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(u64);

impl GroupId {
    /// The id as one word; never zero for a group that was created.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The id that [`GroupId::to_bits`] made; any other number is an id that finds nothing.
    pub const fn from_bits(bits: u64) -> Self {
        GroupId(bits)
    }
}

pub(crate) const INDEX_BITS: u32 = 28;

/// An index (28 bits) and a generation as one word.
#[inline]
pub(crate) const fn join(index: u32, generation: u64) -> u64 {
    generation << INDEX_BITS | index as u64
}

/// What [`join`] joined.
#[inline]
pub(crate) const fn split(bits: u64) -> (u32, u64) {
    ((bits & ((1 << INDEX_BITS) - 1)) as u32, bits >> INDEX_BITS)
}
