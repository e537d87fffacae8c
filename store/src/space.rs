//! The node's allocator: which pieces of the data segment are free. All of it is private memory.
//!
//! Memory below the *frontier* has been used before, its pages are populated and stay so: a freed
//! piece is *warm* and handed out again before the frontier moves. It goes first to the client that
//! had it last, whose page tables still map it; only pieces of the same last user are merged, until
//! nothing else fits.

use std::collections::{BTreeMap, BTreeSet};

use crate::ClientId;

/// Who used a free piece last.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum LastUser {
    /// One client, which populated all of it.
    Client(u8),
    /// Several, or nobody.
    Mixed,
    /// Nobody, and it has no memory: that was given back to the system.
    Cold,
}

impl From<Option<ClientId>> for LastUser {
    fn from(client: Option<ClientId>) -> Self {
        client.map_or(LastUser::Mixed, |client| LastUser::Client(client.get()))
    }
}

/// A piece that was handed out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset_bytes: u64,
    pub(crate) len_bytes: u64,
    /// The client had it last: its page tables are warm.
    pub(crate) is_warm: bool,
}

/// The free memory of a store.
#[derive(Debug)]
pub(crate) struct Space {
    capacity_bytes: u64,
    frontier_bytes: u64,
    free: BTreeMap<u64, (u64, LastUser)>,
    /// The same pieces, by length and offset.
    by_len: BTreeSet<(u64, u64)>,
    used_bytes: u64,
    peak_used_bytes: u64,
    /// The part of `used_bytes` that is in files beside the segment.
    files_bytes: u64,
}

/// How many candidates of sufficient length are looked at for one of the client's own.
const CANDIDATES: usize = 32;

impl Space {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        Space {
            capacity_bytes,
            frontier_bytes: 0,
            free: BTreeMap::new(),
            by_len: BTreeSet::new(),
            used_bytes: 0,
            peak_used_bytes: 0,
            files_bytes: 0,
        }
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    pub(crate) fn peak_used_bytes(&self) -> u64 {
        self.peak_used_bytes
    }

    pub(crate) fn warm_bytes(&self) -> u64 {
        self.frontier_bytes
    }

    /// A piece of exactly `len_bytes`, aligned to `align_bytes`; `None` when there is none.
    pub(crate) fn allocate(
        &mut self,
        len_bytes: u64,
        align_bytes: u64,
        client: u8,
    ) -> Option<Piece> {
        // A piece without bytes would begin where another does.
        if len_bytes == 0 || self.used_bytes + len_bytes > self.capacity_bytes {
            return None;
        }
        let piece = self
            .allocate_warm(len_bytes, align_bytes, client)
            .or_else(|| self.allocate_fresh(len_bytes, align_bytes))
            .or_else(|| {
                self.merge_all();
                self.allocate_warm(len_bytes, align_bytes, client)
                    .or_else(|| self.allocate_fresh(len_bytes, align_bytes))
            })?;
        self.used_bytes += len_bytes;
        self.peak_used_bytes = self.peak_used_bytes.max(self.used_bytes);
        Some(piece)
    }

    fn allocate_warm(&mut self, len_bytes: u64, align_bytes: u64, client: u8) -> Option<Piece> {
        let fits = |&&(len, offset): &&(u64, u64)| {
            offset.next_multiple_of(align_bytes) + len_bytes <= offset + len
        };
        let mut others = None;
        let mut own = None;
        for (tried, &(len, offset)) in self.by_len.range((len_bytes, 0)..).filter(fits).enumerate()
        {
            if self.free[&offset].1 == LastUser::Client(client) {
                own = Some((len, offset));
                break;
            }
            others = others.or(Some((len, offset)));
            if tried == CANDIDATES {
                break;
            }
        }
        let (len, offset) = own.or(others)?;
        let (_, last) = self.remove(offset)?;
        let start = offset.next_multiple_of(align_bytes);
        let end = start + len_bytes;
        self.insert(offset, start - offset, last);
        self.insert(end, offset + len - end, last);
        Some(Piece { offset_bytes: start, len_bytes, is_warm: own.is_some() })
    }

    fn allocate_fresh(&mut self, len_bytes: u64, align_bytes: u64) -> Option<Piece> {
        let start = self.frontier_bytes.next_multiple_of(align_bytes);
        let end = start.checked_add(len_bytes).filter(|&end| end <= self.capacity_bytes)?;
        self.insert(self.frontier_bytes, start - self.frontier_bytes, LastUser::Mixed);
        self.frontier_bytes = end;
        Some(Piece { offset_bytes: start, len_bytes, is_warm: false })
    }

    /// Counts bytes in a file beside the segment; false when there is no room for them.
    pub(crate) fn charge(&mut self, len_bytes: u64) -> bool {
        if self.used_bytes + len_bytes > self.capacity_bytes {
            return false;
        }
        self.files_bytes += len_bytes;
        self.used_bytes += len_bytes;
        self.peak_used_bytes = self.peak_used_bytes.max(self.used_bytes);
        true
    }

    /// Whether there are such bytes.
    pub(crate) fn has_files(&self) -> bool {
        self.files_bytes > 0
    }

    /// Such bytes are gone.
    pub(crate) fn discharge(&mut self, len_bytes: u64) {
        self.files_bytes -= len_bytes;
        self.used_bytes -= len_bytes;
    }

    /// Free pieces whose memory is to be given back to the system, so that the segment's and the files'
    /// together are no more than the capacity.
    pub(crate) fn cool(&mut self) -> Vec<(u64, u64)> {
        if self.files_bytes == 0 {
            return Vec::new();
        }
        let cold_bytes: u64 = self
            .free
            .values()
            .filter(|(_, last)| *last == LastUser::Cold)
            .map(|(len, _)| len)
            .sum();
        let mut over_bytes = (self.frontier_bytes - cold_bytes + self.files_bytes)
            .saturating_sub(self.capacity_bytes);
        let mut cooled = Vec::new();
        for (&offset, (len, last)) in self.free.iter_mut().rev() {
            if over_bytes == 0 {
                break;
            }
            if *last != LastUser::Cold {
                *last = LastUser::Cold;
                over_bytes = over_bytes.saturating_sub(*len);
                cooled.push((offset, *len));
            }
        }
        cooled
    }

    /// Takes a piece back.
    pub(crate) fn release(&mut self, offset_bytes: u64, len_bytes: u64, last: LastUser) {
        self.used_bytes -= len_bytes;
        let (mut offset, mut len) = (offset_bytes, len_bytes);
        if let Some((&before, &(before_len, before_last))) = self.free.range(..offset).next_back()
            && before + before_len == offset
            && before_last == last
        {
            self.remove(before);
            offset = before;
            len += before_len;
        }
        if let Some(&(after_len, after_last)) = self.free.get(&(offset + len))
            && after_last == last
        {
            self.remove(offset + len);
            len += after_len;
        }
        self.insert(offset, len, last);
    }

    /// The client is dead: nobody's page tables are warm for what it used.
    pub(crate) fn forget(&mut self, client: u8) {
        for (_, last) in self.free.values_mut() {
            if *last == LastUser::Client(client) {
                *last = LastUser::Mixed;
            }
        }
    }

    /// Merges what lies side by side, whoever used it, and gives the end back to the frontier.
    fn merge_all(&mut self) {
        let mut merged: Vec<(u64, u64, LastUser)> = Vec::with_capacity(self.free.len());
        for (&offset, &(len, last)) in &self.free {
            match merged.last_mut() {
                Some((before, before_len, before_last)) if *before + *before_len == offset => {
                    *before_len += len;
                    if *before_last != last {
                        *before_last = LastUser::Mixed;
                    }
                }
                _ => merged.push((offset, len, last)),
            }
        }
        self.free.clear();
        self.by_len.clear();
        for (offset, len, last) in merged {
            if offset + len == self.frontier_bytes && len > 0 && offset + len < self.capacity_bytes
            {
                // What follows is fresh: together they may be long enough.
                self.frontier_bytes = offset;
            } else {
                self.insert(offset, len, last);
            }
        }
    }

    fn insert(&mut self, offset: u64, len: u64, last: LastUser) {
        if len > 0 {
            self.free.insert(offset, (len, last));
            self.by_len.insert((len, offset));
        }
    }

    fn remove(&mut self, offset: u64) -> Option<(u64, LastUser)> {
        let (len, last) = self.free.remove(&offset)?;
        self.by_len.remove(&(len, offset));
        Some((len, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn freed_memory_goes_first_to_the_client_that_had_it() {
        let mut space = Space::new(16 * PAGE);
        let one = space.allocate(2 * PAGE, PAGE, 1).expect("room");
        let two = space.allocate(2 * PAGE, PAGE, 2).expect("room");
        space.release(one.offset_bytes, one.len_bytes, LastUser::Client(1));
        space.release(two.offset_bytes, two.len_bytes, LastUser::Client(2));
        let again = space.allocate(2 * PAGE, PAGE, 2).expect("room");
        assert_eq!(again, Piece { is_warm: true, ..two });
        let other = space.allocate(PAGE, PAGE, 2).expect("room");
        assert_eq!((other.offset_bytes, other.is_warm), (one.offset_bytes, false));
        assert_eq!(space.used_bytes(), 3 * PAGE);
        assert_eq!(space.warm_bytes(), 4 * PAGE);
    }

    #[test]
    fn pieces_are_merged_when_nothing_else_fits() {
        let mut space = Space::new(8 * PAGE);
        let pieces: Vec<_> = (0..8).map(|i| space.allocate(PAGE, PAGE, i).expect("room")).collect();
        assert_eq!(space.allocate(PAGE, PAGE, 0), None);
        for (i, piece) in pieces.iter().enumerate() {
            space.release(piece.offset_bytes, PAGE, LastUser::Client(i as u8));
        }
        assert_eq!(space.used_bytes(), 0);
        assert!(space.allocate(8 * PAGE, 8 * PAGE, 0).is_some());
        assert_eq!(space.allocate(PAGE, PAGE, 0), None);
    }

    #[test]
    fn files_and_the_segment_share_the_capacity() {
        let mut space = Space::new(16 * PAGE);
        let one = space.allocate(8 * PAGE, PAGE, 1).expect("room");
        let two = space.allocate(4 * PAGE, PAGE, 1).expect("room");
        assert!(!space.charge(5 * PAGE));
        assert!(space.charge(4 * PAGE));
        assert_eq!(space.allocate(PAGE, PAGE, 1), None);
        assert!(space.cool().is_empty(), "nothing is free");
        space.release(one.offset_bytes, one.len_bytes, LastUser::Client(1));
        assert!(space.charge(6 * PAGE));
        assert_eq!(space.cool(), [(0, 8 * PAGE)]);
        assert!(space.cool().is_empty(), "once");
        let cold = space.allocate(2 * PAGE, PAGE, 1).expect("room");
        assert!(!cold.is_warm);
        space.discharge(10 * PAGE);
        space.release(two.offset_bytes, two.len_bytes, LastUser::Client(1));
        space.release(cold.offset_bytes, cold.len_bytes, LastUser::Client(1));
        assert_eq!(space.used_bytes(), 0);
    }

    proptest::proptest! {
        #[test]
        fn pieces_never_overlap_and_nothing_is_lost(
            steps in proptest::collection::vec((1u64..6, 0u8..3, proptest::bool::ANY), 1..200)
        ) {
            let mut space = Space::new(64 * PAGE);
            let mut live: Vec<(Piece, u8)> = Vec::new();
            for (pages, client, free) in steps {
                if free && !live.is_empty() {
                    let (piece, last) = live.swap_remove(pages as usize % live.len());
                    space.release(piece.offset_bytes, piece.len_bytes, LastUser::Client(last));
                } else {
                    let align = if pages == 4 { 4 * PAGE } else { PAGE };
                    if let Some(piece) = space.allocate(pages * PAGE, align, client) {
                        proptest::prop_assert_eq!(piece.offset_bytes % align, 0);
                        live.push((piece, client));
                    }
                }
                let mut spans: Vec<_> = live
                    .iter()
                    .map(|(piece, _)| (piece.offset_bytes, piece.offset_bytes + piece.len_bytes))
                    .collect();
                spans.sort_unstable();
                proptest::prop_assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
                let used: u64 = live.iter().map(|(piece, _)| piece.len_bytes).sum();
                proptest::prop_assert_eq!(space.used_bytes(), used);
            }
            for (piece, last) in live {
                space.release(piece.offset_bytes, piece.len_bytes, LastUser::Client(last));
            }
            proptest::prop_assert!(space.allocate(64 * PAGE, PAGE, 0).is_some());
        }
    }
}
