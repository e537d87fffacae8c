//! All task records: found by id, taken from the free list, given back to it.
//!
//! A [`TaskId`] is an index and the generation of the record's [`crate::gate::Gate`].
//!
//! Memory: a record is [`RECORD_BYTES`] and the spec, so that a million queued tasks are a few hundred
//! megabytes with everything they hold. Records are used again, last in first out, and never given back.

use std::ops::Range;

use rustyray_memory::{
    prefetch_all_for_write,
    sync::{AtomicU32, LOOM, Ordering::Relaxed},
};

use crate::{
    TaskId,
    chunks::Chunks,
    free_list::FreeList,
    gate::Phase,
    ids::{join, split},
    record::Record,
};

/// What a record takes beside the spec, at most.
pub(crate) const RECORD_BYTES: usize = 168;

const _: () = assert!(size_of::<Record<[u64; 0]>>() <= RECORD_BYTES || LOOM);
/// A spec of a hundred bytes leaves a queued task far below 512.
const _: () = assert!(size_of::<Record<[u64; 16]>>() <= 512 || LOOM);

const CHUNK: usize = if LOOM { 4 } else { 1 << 12 };
const CHUNKS: usize = if LOOM { 4 } else { 1 << 12 };
/// How many records are looked at in one turn by who goes through all.
const PART: u32 = 1 << 12;

/// The most tasks there can be at one time.
pub(crate) const MAX_TASKS: usize = CHUNK * CHUNKS;

/// See the module.
pub(crate) struct Records<S> {
    records: Chunks<Record<S>>,
    free: FreeList,
    /// Those below were taken at least once.
    touched: AtomicU32,
}

impl<S> Records<S> {
    pub(crate) fn new() -> Self {
        Records {
            records: Chunks::new(CHUNKS, CHUNK, Record::new),
            free: FreeList::default(),
            touched: AtomicU32::new(0),
        }
    }

    /// Takes a free record, with its index and generation.
    #[inline]
    pub(crate) fn take(&self) -> Option<(TaskId, &Record<S>)> {
        let link = |index| self.records.get(index).map(|record| &record.spare);
        let index = match self.free.pop(link) {
            Some(index) => index,
            None => self.touch()?,
        };
        let record = self.records.reach(index)?;
        if let Some(next) = self.free.first() {
            // After many tasks at a time it has not been touched for long.
            self.prefetch(next);
        }
        let (generation, _) = record.gate.load();
        Some((TaskId::from_bits(join(index, generation)), record))
    }

    fn touch(&self) -> Option<u32> {
        let max = self.records.capacity() as u32;
        let next = |touched| (touched < max).then_some(touched + 1);
        self.touched.fetch_update(Relaxed, Relaxed, next).ok()
    }

    /// Asks for the lines of a record that is about to be used.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(record) = self.records.get(index) {
            prefetch_all_for_write(record);
        }
    }

    /// Gives a record back that has ended, or was never published.
    #[inline]
    pub(crate) fn give(&self, id: TaskId, record: &Record<S>) {
        if record.gate.free() {
            self.free.push(split(id.to_bits()).0, &record.spare);
        }
    }

    /// The record of this index.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &Record<S> {
        self.records.get(index).expect("the index of a record that is in a list")
    }

    /// The record, if the id is that of a task that has not ended.
    #[inline]
    pub(crate) fn live(&self, id: TaskId) -> Option<(&Record<S>, Phase)> {
        let (index, generation) = split(id.to_bits());
        let record = self.records.get(index)?;
        let phase = record.gate.phase(generation)?;
        (!matches!(phase, Phase::Free | Phase::Ended)).then_some((record, phase))
    }

    /// The record of the id, whatever became of it.
    #[inline]
    pub(crate) fn of(&self, id: TaskId) -> Option<(&Record<S>, u64)> {
        let (index, generation) = split(id.to_bits());
        Some((self.records.get(index)?, generation))
    }

    /// The id of the task in a record that is in a list.
    #[inline]
    pub(crate) fn id(&self, index: u32) -> TaskId {
        TaskId::from_bits(join(index, self.at(index).gate.load().0))
    }

    /// How many tasks live, by a look at one word of each record that was ever used.
    pub(crate) fn count(&self) -> usize {
        let records = (0..self.touched.load(Relaxed)).filter_map(|index| self.records.get(index));
        let live =
            |record: &&Record<S>| !matches!(record.gate.load().1, Phase::Free | Phase::Ended);
        records.filter(live).count()
    }

    /// Live tasks from this index on.
    pub(crate) fn from(&self, first: u32) -> impl Iterator<Item = (TaskId, &Record<S>, Phase)> {
        self.among(first..self.touched.load(Relaxed))
    }

    /// Those among so many records as may be looked at in one turn, and where the next part of them begins.
    pub(crate) fn part(
        &self,
        first: u32,
    ) -> (impl Iterator<Item = (TaskId, &Record<S>, Phase)>, Option<u32>) {
        let (end, all) = (first.saturating_add(PART), self.touched.load(Relaxed));
        (self.among(first..end.min(all)), Some(end).filter(|&end| end < all))
    }

    fn among(&self, range: Range<u32>) -> impl Iterator<Item = (TaskId, &Record<S>, Phase)> {
        range.filter_map(|index| {
            let record = self.records.get(index)?;
            let (generation, phase) = record.gate.load();
            let live = !matches!(phase, Phase::Free | Phase::Ended);
            live.then(|| (TaskId::from_bits(join(index, generation)), record, phase))
        })
    }
}

impl<S> Drop for Records<S> {
    fn drop(&mut self) {
        // Specs of tasks that never ended.
        let live: Vec<u32> = self.from(0).map(|(id, ..)| split(id.to_bits()).0).collect();
        for index in live {
            // SAFETY: nobody else is here any more, a live record holds a spec, and each is met once.
            drop(unsafe { self.at(index).take_spec() });
        }
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let records = Records::<u64>::new();
        let (id, record) = records.take().expect("room");
        record.gate.publish(split(id.to_bits()).1, 0);
        // SAFETY: nobody else is here, and the record has no spec.
        unsafe { record.put_spec(7) };
        assert!(records.live(id).is_some());
        record.gate.end();
        // SAFETY: the record was ended here, and its spec is taken once.
        assert_eq!(unsafe { record.take_spec() }, 7);
        assert!(records.live(id).is_none());
        records.give(id, record);
        let (next, _) = records.take().expect("room");
        assert_ne!(id, next);
        assert_eq!(split(id.to_bits()).0, split(next.to_bits()).0, "the same record");
        assert!(records.live(id).is_none());
        for bits in [0, 1, u64::MAX, u64::MAX >> 28] {
            assert!(records.live(TaskId::from_bits(bits)).is_none());
        }
    }

    #[test]
    fn what_never_ended_is_dropped_with_the_table() {
        let shared = std::sync::Arc::new(());
        let records = Records::new();
        for _ in 0..3 {
            let (id, record) = records.take().expect("room");
            // SAFETY: nobody else is here, and the record has no spec.
            unsafe { record.put_spec(shared.clone()) };
            record.gate.publish(split(id.to_bits()).1, 1);
        }
        assert_eq!(std::sync::Arc::strong_count(&shared), 4);
        drop(records);
        assert_eq!(std::sync::Arc::strong_count(&shared), 1);
    }
}
