//! Where a client should look after its bell rang: a bit per group of slots, per client.
//!
//! The sealer sets the group's bit, then the summary's, then rings. The client clears the summary
//! first and the groups after it, so a bit set meanwhile is found now or next time. A sealer that dies
//! in between left its waiters' bits in the slot, and reaping it does all of this again.

use rustyray_memory::{LINE_WORDS, Memory, sync::Ordering};

use crate::ClientId;

/// Groups that slots are sorted into.
pub const DIRTY_GROUPS: u32 = 4096;

const GROUP_WORDS: usize = DIRTY_GROUPS as usize / 64;
const _: () = assert!(GROUP_WORDS == 64, "one summary word has a bit for each word of groups");

/// Where the rest of the summary's line begins.
pub(crate) const SPARE_AT: usize = 1;

/// Words of one client's map: the summary on a line of its own, then the groups.
pub(crate) const CLIENT_WORDS: usize = LINE_WORDS + GROUP_WORDS;

/// One client's map.
#[derive(Copy, Clone, Debug)]
pub struct Dirty<'a, M> {
    memory: &'a M,
    base: usize,
}

impl<'a, M: Memory> Dirty<'a, M> {
    /// The map of `client` in the array of maps that begins at `base`.
    pub fn new(memory: &'a M, base: usize, client: ClientId) -> Self {
        Dirty { memory, base: base + client.index() * CLIENT_WORDS }
    }

    /// The group of a slot.
    pub fn group(slot: u32) -> u32 {
        slot % DIRTY_GROUPS
    }

    /// Says that something happened in the slot's group.
    pub fn mark(&self, slot: u32) {
        let group = Self::group(slot) as usize;
        let word = self.memory.word(self.base + LINE_WORDS + group / 64);
        // Release, both: the client that finds the bit sees the object as the sealer left it.
        word.fetch_or(1 << (group % 64), Ordering::Release);
        self.memory.word(self.base).fetch_or(1 << (group / 64), Ordering::Release);
    }

    /// Takes all marks.
    pub fn take(&self, look: &mut dyn FnMut(u32)) {
        let summary = self.memory.word(self.base);
        if summary.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Acquire, both: pairs with the Release of the mark.
        let words = summary.swap(0, Ordering::Acquire);
        for word in (0..64).filter(|word| words >> word & 1 == 1) {
            let groups = self.memory.word(self.base + LINE_WORDS + word).swap(0, Ordering::Acquire);
            for group in (0..64).filter(|group| groups >> group & 1 == 1) {
                look((word * 64 + group) as u32);
            }
        }
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;
    use rustyray_memory::Heap;

    #[test]
    fn each_client_finds_its_own_groups_once() {
        let heap = Heap::new(CLIENT_WORDS * 3);
        let of = |client| Dirty::new(&heap, 0, ClientId::new(client));
        of(1).mark(5);
        of(1).mark(5 + DIRTY_GROUPS);
        of(1).mark(4095);
        of(2).mark(70);
        let taken = |client| {
            let mut groups = Vec::new();
            of(client).take(&mut |group| groups.push(group));
            groups
        };
        assert!(taken(0).is_empty());
        assert_eq!(taken(1), [5, 4095]);
        assert!(taken(1).is_empty());
        assert_eq!(taken(2), [70]);
    }
}
