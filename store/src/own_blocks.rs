//! Which blocks a process can write to just now (see [`crate::lease`]).
//!
//! A block that was closed may be lent to another thread of this process, as a part of an extent, before the answer
//! to its close is back. So one lock is held from the close of a block until its pages are read-only
//! ([`OwnBlocks::closed`]), and while an extent is made writable ([`OwnBlocks::lent_extent`]): whoever was lent it
//! was so after the close, and waits for the lock of that.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, lease::Closed, segment::Segment};

/// The blocks of a process that are mapped writable there.
#[derive(Debug, Default)]
pub(crate) struct OwnBlocks {
    writable: BTreeSet<u32>,
    /// Closed ones, and how many objects in them are still being written.
    unfinished: BTreeMap<u32, u32>,
}

impl OwnBlocks {
    /// The node has lent the block to this process.
    pub(crate) fn lent(
        &mut self,
        block: u32,
        block_bytes: u64,
        segment: &Segment,
    ) -> Result<(), Error> {
        if !self.writable.contains(&block) {
            segment.allow_writes(u64::from(block) * block_bytes, block_bytes)?;
            self.writable.insert(block);
        }
        Ok(())
    }

    /// The block was closed, and not lent to this process again at once.
    pub(crate) fn closed(&mut self, closed: Closed, block_bytes: u64, segment: &Segment) {
        match closed.writing {
            Some(0) => self.forbid(closed.block, block_bytes, segment),
            Some(writing) => {
                self.unfinished.insert(closed.block, writing);
            }
            // It stays writable until this process has it again.
            None => {}
        }
    }

    /// An object in a closed block is written.
    pub(crate) fn finished(&mut self, block: u32, block_bytes: u64, segment: &Segment) {
        let Some(writing) = self.unfinished.get_mut(&block) else { return };
        *writing -= 1;
        if *writing == 0 {
            self.unfinished.remove(&block);
            self.forbid(block, block_bytes, segment);
        }
    }

    fn forbid(&mut self, block: u32, block_bytes: u64, segment: &Segment) {
        self.writable.remove(&block);
        segment.forbid_writes(u64::from(block) * block_bytes, block_bytes);
    }

    /// The node has lent an extent to this process, where it may once have had blocks: it is made read-only when it
    /// is sealed.
    pub(crate) fn lent_extent(
        &mut self,
        offset_bytes: u64,
        len_bytes: u64,
        block_bytes: u64,
        segment: &Segment,
    ) -> Result<(), Error> {
        let end_bytes = offset_bytes + len_bytes;
        let blocks = (offset_bytes / block_bytes) as u32..end_bytes.div_ceil(block_bytes) as u32;
        self.writable.retain(|block| !blocks.contains(block));
        segment.allow_writes(offset_bytes, len_bytes)
    }
}
