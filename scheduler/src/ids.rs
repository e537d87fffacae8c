//! Names of things: what a number may be confused with is kept apart by type.

/// An object of the store, as the scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Index of the object's slot.
    pub index: u32,
    /// How often the slot has been used; an older generation is another object.
    pub generation: u64,
}

/// A task: the index of its record and the record's generation, so that a stale id finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    pub(crate) const NONE: TaskId = TaskId(0);

    /// The task that `index` and `generation` name. Generations of live tasks are never zero, so no
    /// task's bits are zero.
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        TaskId(((generation as u64) << 32) | index as u64)
    }

    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

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
    pub(crate) const fn new(index: u32) -> Self {
        ActorId(index as u64 + 1)
    }

    pub(crate) const fn index(self) -> Option<u32> {
        if self.0 == 0 || self.0 > u32::MAX as u64 { None } else { Some((self.0 - 1) as u32) }
    }

    /// The id as one word; never zero for an actor that was created.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The id that [`ActorId::to_bits`] made; any other number is an id that finds nothing.
    pub const fn from_bits(bits: u64) -> Self {
        ActorId(bits)
    }
}

/// Whoever calls an actor: calls of one caller run in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);

/// Workers that can run the same functions: one executable and one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u32);

/// A driver's work as a whole: jobs of equal priority get equal turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u32);
