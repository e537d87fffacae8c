//! How many objects live in each block of small objects; node-private.
//!
//! A client bumps through a block it leases without telling anybody how many objects it placed; the
//! node hears of it when the block is closed. Frees count down from the
//! start (the word wraps below zero):
//!
//! ```text
//! balance = placed (known once closed) − freed − given up,   plus CLOSED once closed
//! ```
//! Exactly one update makes the balance equal CLOSED, and whoever made it takes the block back.

use rustyray_memory::sync::{AtomicU64, Ordering};

const CLOSED: u64 = 1 << 40;

/// What an update found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Block {
    /// The block is closed and nothing lives in it: the caller takes it back.
    Empty,
    /// It is still in use.
    InUse,
}

/// The balances of all blocks.
#[derive(Debug)]
pub struct Blocks {
    balances: Box<[AtomicU64]>,
}

impl Blocks {
    /// The balances of that many blocks, all of them 0.
    pub fn new(blocks: usize) -> Self {
        Blocks { balances: (0..blocks).map(|_| AtomicU64::new(0)).collect() }
    }

    fn balance(&self, block: u32) -> Option<&AtomicU64> {
        self.balances.get(block as usize)
    }

    fn judge(balance: u64) -> Block {
        if balance == CLOSED { Block::Empty } else { Block::InUse }
    }

    /// The block is leased anew.
    pub fn open(&self, block: u32) {
        if let Some(balance) = self.balance(block) {
            balance.store(0, Ordering::Release);
        }
    }

    /// One object of the block was freed, or one place given up. AcqRel: the reads of whoever freed
    /// the others come before the block is used again.
    #[inline]
    pub fn take_one(&self, block: u32) -> Block {
        self.balance(block).map_or(Block::InUse, |balance| {
            Self::judge(balance.fetch_sub(1, Ordering::AcqRel).wrapping_sub(1))
        })
    }

    /// The block's writer is done with it and placed that many objects. AcqRel: see `take_one`.
    pub fn close(&self, block: u32, placed: u32) -> Block {
        self.balance(block).map_or(Block::InUse, |balance| {
            let change = CLOSED + u64::from(placed);
            Self::judge(balance.fetch_add(change, Ordering::AcqRel).wrapping_add(change))
        })
    }

    /// What the balance is now, for [`Blocks::settle`].
    pub fn glance(&self, block: u32) -> u64 {
        self.balance(block).map_or(CLOSED, |balance| balance.load(Ordering::Acquire))
    }

    /// The block's writer is dead and `live` objects were counted in it: closes it with that count if
    /// nothing was freed since the glance.
    pub fn settle(&self, block: u32, glanced: u64, live: u32) -> Option<Block> {
        let to = CLOSED + u64::from(live);
        self.balance(block)?
            .compare_exchange(glanced, to, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        Some(Self::judge(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_update_finds_the_block_empty() {
        let blocks = Blocks::new(1);
        assert_eq!(blocks.take_one(0), Block::InUse);
        assert_eq!(blocks.close(0, 2), Block::InUse);
        assert_eq!(blocks.take_one(0), Block::Empty);
        blocks.open(0);
        assert_eq!(blocks.close(0, 0), Block::Empty);
    }

    #[test]
    fn a_recount_holds_only_if_nothing_was_freed_meanwhile() {
        let blocks = Blocks::new(1);
        let glanced = blocks.glance(0);
        assert_eq!(blocks.take_one(0), Block::InUse);
        assert_eq!(blocks.settle(0, glanced, 3), None);
        let glanced = blocks.glance(0);
        assert_eq!(blocks.settle(0, glanced, 1), Some(Block::InUse));
        assert_eq!(blocks.take_one(0), Block::Empty);
    }
}
