//! Objects on disk.

use crate::{ObjectId, Refusal, Reply, core::Core};

/// What is on disk.
#[derive(Debug, Default)]
pub(crate) struct Spills {}

impl Spills {
    pub(crate) fn open(_dir: Option<&std::path::Path>) -> Result<Self, crate::Error> {
        Ok(Spills::default())
    }
    pub(crate) fn bytes(&self) -> u64 {
        0
    }
    pub(crate) fn remove(&mut self, _index: u32) {}
}

impl Core {
    pub(crate) fn keep_below_high_water(&self, _len_bytes: u64) {}
    pub(crate) fn spill_for(&self, _len_bytes: u64) -> bool {
        false
    }
    pub(crate) fn restore(&self, _id: ObjectId) -> Reply {
        Reply::Refused(Refusal::SpillUnreadable)
    }
}
