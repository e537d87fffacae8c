//! How a sealed object is kept from being changed.

/// What a seal is worth. `DESIGN.md` compares the tiers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// Against stray writes: no process but the node and the writer can write where the object is, and
    /// where a large object is not even its writer can, without asking the system to.
    #[default]
    Ordinary,
    /// Against processes of the same user that mean harm as well: the object is in a memfd of its own that the
    /// kernel has sealed. It costs cold memory, whole pages, and a few system calls for each put and for each
    /// first view of a process; and a descriptor of the node's as long as it is in memory.
    Strict,
}
