//! Free slots: the node's stack of them, lock-free, most recently freed first (its lines are warm).
//!
//! The stack, Treiber's ("Systems programming: coping with parallelism", 1986), lives in the node's private memory. The
//! head carries a tag that counts every change, so a slot that is popped and pushed again in between does not fool a
//! compare-and-swap.

use rustyray_memory::sync::{AtomicU32, AtomicU64, Ordering};

use crate::chunks::Chunks;

/// The free slots of a store.
#[derive(Debug)]
pub(crate) struct FreeSlots {
    /// Tag in the upper half, slot plus one in the lower; 0 there is the bottom.
    head: AtomicU64,
    /// Below each slot, the one beneath it, plus one.
    links: Chunks<AtomicU32>,
    /// Slots from here on have never been used.
    unused: AtomicU32,
    slots: u32,
}

impl FreeSlots {
    pub(crate) fn new(slots: u32) -> Self {
        FreeSlots {
            head: AtomicU64::new(0),
            links: Chunks::new(slots as usize),
            unused: AtomicU32::new(0),
            slots,
        }
    }

    /// How many slots have ever been used: all others are free and zero.
    pub(crate) fn touched(&self) -> u32 {
        self.unused.load(Ordering::Acquire).min(self.slots)
    }

    /// A free slot; `None` when all are taken.
    #[inline]
    pub(crate) fn pop(&self) -> Option<u32> {
        // Acquire: pairs with the Release of the push, for the link.
        let mut head = self.head.load(Ordering::Acquire);
        while head as u32 != 0 {
            let slot = head as u32 - 1;
            let below = self.links.get(slot).load(Ordering::Relaxed);
            let next = (head >> 32).wrapping_add(1) << 32 | u64::from(below);
            match self.head.compare_exchange_weak(head, next, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return Some(slot),
                Err(now) => head = now,
            }
        }
        self.unused
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |unused| {
                (unused < self.slots).then_some(unused + 1)
            })
            .ok()
    }

    /// Gives a slot back.
    #[inline]
    pub(crate) fn push(&self, slot: u32) {
        let link = self.links.get(slot);
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.store(head as u32, Ordering::Relaxed);
            let next = (head >> 32).wrapping_add(1) << 32 | u64::from(slot + 1);
            // Release: pairs with the Acquire of the pop.
            match self.head.compare_exchange_weak(head, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_freed_last_is_used_first() {
        let free = FreeSlots::new(3);
        assert_eq!(
            [free.pop(), free.pop(), free.pop(), free.pop()],
            [Some(0), Some(1), Some(2), None]
        );
        free.push(1);
        free.push(0);
        assert_eq!([free.pop(), free.pop(), free.pop()], [Some(0), Some(1), None]);
        assert_eq!(free.touched(), 3);
    }
}
