//! What the store holds, for those who list it: a bounded part at a time, copied out of the table without a
//! lock. What comes or goes meanwhile may be missed, or be seen as it was.

use crate::{ClientSet, Node, ObjectId, state::Phase};

/// Where the bytes of a listed object are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Residence {
    /// It has no value yet.
    Pending,
    /// In memory.
    Memory,
    /// On disk, or on the way there or back.
    Disk,
    /// It holds an error in the place of its value.
    Failed,
}

/// An object, as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The object.
    pub id: ObjectId,
    /// Where its bytes are.
    pub residence: Residence,
    /// How many there are; 0 while it has no value.
    pub len_bytes: u64,
    /// The name of its type, where it is known.
    pub type_name: Option<String>,
    /// The processes that refer to it.
    pub holders: ClientSet,
    /// The processes that have a view of it.
    pub pins: ClientSet,
}

impl Node {
    /// Looks at up to `slots` slots of the table from `from` on: the objects there, and where to go on; `None`
    /// at the end.
    pub fn list(&self, from: u32, slots: u32) -> (Vec<Listed>, Option<u32>) {
        let touched = self.core.touched_slots().end;
        let end = from.saturating_add(slots).min(touched);
        let objects = (from..end).filter_map(|index| self.look(index)).collect();
        (objects, (end < touched).then_some(end))
    }

    fn look(&self, index: u32) -> Option<Listed> {
        let core = &self.core;
        let slot = core.table.slot(index);
        let seen = slot.state().load();
        let residence = match seen.phase() {
            Phase::Free | Phase::Granted | Phase::Retired | Phase::Freeing => return None,
            Phase::Reserved | Phase::Sealing => Residence::Pending,
            Phase::Sealed => Residence::Memory,
            Phase::Spilling | Phase::Spilled | Phase::Restoring => Residence::Disk,
            Phase::Failed => Residence::Failed,
        };
        let header = match residence {
            Residence::Pending => Default::default(),
            _ => slot.header(),
        };
        Some(Listed {
            id: core.geometry.id(index, seen.generation()),
            residence,
            len_bytes: header.len_bytes,
            type_name: core.table.type_names().find(header.fingerprint),
            holders: slot.holders(),
            pins: slot.pins(),
        })
    }
}
