//! Who waits for an object, and who makes it: a word or three for each slot of the object table, reached by
//! the slot's index.
//!
//! # Dependents
//! A list of *edges* for each slot; an edge names a waiting task and the generation of the object it waits
//! for. Anybody pushes an edge; whoever learns that the object has settled takes the whole list and brings
//! each task on. The lists take no lock, and no thread waits for another.
//!
//! # No wakeup is lost
//! Whoever waits pushes its edge (1) and then asks the host whether the object has settled (2). Whoever is
//! told that it has settled (3) takes the list (4). Both (1) and (4) are read-modify-writes of the head, so
//! one comes first. If it is (1), then (4) finds the edge. If it is (4), then (1) reads what (4) wrote, or
//! what was pushed after it: (4) is a release and (1) an acquire, so (3) is visible to (2), and who waits
//! takes the list itself. No fence is needed, since both go through the same word.
//!
//! # Generations
//! A list may hold edges of several generations for a moment: a task that was cancelled leaves its edge
//! behind, and the slot is used again. Who takes the list for generation *g* brings on those of *g*, tells
//! those of earlier ones that their object is gone, and pushes those of later ones back, as if they waited
//! from now on: each of those is asked about again, by (2).
//!
//! An edge names its task by id, so that one of a task that has ended finds nothing. It is 24 bytes that stay until
//! the object settles or its slot is used again: tasks that are cancelled while they wait cost that much each,
//! for as long as what they waited for is pending.
//!
//! # Producers
//! The slot also names the task that is to make the object. Whoever reads it checks the generation after the
//! task; who writes it writes the generation before the task. So what is read is the task of that object, or
//! one that has ended, or none.

use rustyray_memory::sync::{
    AtomicU32, AtomicU64, LOOM,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{ObjectKey, TaskId, chunks::Chunks, free_list::FreeList};

const CHUNK: usize = if LOOM { 4 } else { 1 << 15 };
const CHUNKS: usize = if LOOM { 2 } else { 1 << 13 };

/// The end of a list, and the head of an empty one.
const END: u32 = 0;

#[derive(Debug)]
struct Slot {
    /// The first edge's index + 1.
    head: AtomicU32,
    producer: AtomicU64,
    producer_generation: AtomicU64,
}

#[derive(Debug)]
struct Edge {
    /// The next edge's index + 1, in the object's list or in the free list.
    next: AtomicU32,
    task: AtomicU64,
    generation: AtomicU64,
}

/// There is no room for another edge, or no such slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// See the module.
#[derive(Debug)]
pub struct Dependents {
    slots: Chunks<Slot>,
    edges: Chunks<Edge>,
    free: FreeList,
    /// Edges below were taken at least once.
    touched: AtomicU32,
}

impl Default for Dependents {
    fn default() -> Self {
        Dependents::new()
    }
}

impl Dependents {
    /// No edge, no producer.
    pub fn new() -> Self {
        let slot = || Slot {
            head: AtomicU32::new(END),
            producer: AtomicU64::new(0),
            producer_generation: AtomicU64::new(0),
        };
        let edge = || Edge {
            next: AtomicU32::new(END),
            task: AtomicU64::new(0),
            generation: AtomicU64::new(0),
        };
        Dependents {
            slots: Chunks::new(CHUNKS, CHUNK, slot),
            edges: Chunks::new(CHUNKS, CHUNK, edge),
            free: FreeList::default(),
            touched: AtomicU32::new(0),
        }
    }

    fn edge(&self, link: u32) -> Option<&Edge> {
        self.edges.get(link.checked_sub(1)?)
    }

    fn take_edge(&self) -> Option<u32> {
        let link = |index| self.edges.get(index).map(|edge: &Edge| &edge.next);
        if let Some(index) = self.free.pop(link) {
            return Some(index);
        }
        let max = self.edges.capacity() as u32;
        let next = |touched| (touched < max).then_some(touched + 1);
        self.touched.fetch_update(Relaxed, Relaxed, next).ok()
    }

    /// Enters a task that waits for an object. The caller asks about the object again afterwards, and calls
    /// [`Dependents::drain`] itself when it has settled.
    ///
    /// # Errors
    /// When there is no room.
    pub fn add(&self, object: ObjectKey, task: TaskId) -> Result<(), NoRoom> {
        let slot = self.slots.reach(object.index).ok_or(NoRoom)?;
        let index = self.take_edge().ok_or(NoRoom)?;
        let edge = self.edges.reach(index).ok_or(NoRoom)?;
        edge.task.store(task.to_bits(), Relaxed);
        edge.generation.store(object.generation, Relaxed);
        push(slot, index, edge);
        Ok(())
    }

    /// Takes all that wait for this object, which has settled, or for an earlier one in its slot, which is gone;
    /// each with the object that it waits for. Answers the later objects of the same slot
    /// that tasks wait for, which the caller asks about again.
    #[must_use]
    pub fn drain(
        &self,
        object: ObjectKey,
        mut each: impl FnMut(TaskId, ObjectKey),
    ) -> Vec<ObjectKey> {
        let mut later = Vec::new();
        let Some(slot) = self.slots.get(object.index) else { return later };
        // Always exchanged, also when a look would find it empty: who pushes at this moment relies on it.
        // AcqRel: see the module, (4); and pairs with the Release of `push`, the edges are whole.
        let mut link = slot.head.swap(END, AcqRel);
        while let Some(edge) = self.edge(link) {
            let index = link - 1;
            link = edge.next.load(Relaxed);
            let task = TaskId::from_bits(edge.task.load(Relaxed));
            let generation = edge.generation.load(Relaxed);
            let key = ObjectKey { index: object.index, generation };
            if generation > object.generation {
                push(slot, index, edge);
                if !later.contains(&key) {
                    later.push(key);
                }
                continue;
            }
            self.free.push(index, &edge.next);
            each(task, key);
        }
        later
    }

    /// Says who makes an object.
    #[inline]
    pub fn set_producer(&self, object: ObjectKey, task: TaskId) {
        let Some(slot) = self.slots.reach(object.index) else { return };
        slot.producer.store(0, Relaxed);
        // Release, twice: pairs with the Acquire of `producer`; who sees the generation does not see the
        // producer of an earlier one, and who sees the producer sees its generation.
        slot.producer_generation.store(object.generation, Release);
        slot.producer.store(task.to_bits(), Release);
    }

    /// Who makes an object, or made it.
    #[inline]
    pub fn producer(&self, object: ObjectKey) -> Option<TaskId> {
        let slot = self.slots.get(object.index)?;
        // Acquire: pairs with the Release of `set_producer`.
        let task = slot.producer.load(Acquire);
        let same = slot.producer_generation.load(Acquire) == object.generation;
        (same && task != 0).then(|| TaskId::from_bits(task))
    }
}

fn push(slot: &Slot, index: u32, edge: &Edge) {
    let mut seen = slot.head.load(Relaxed);
    loop {
        edge.next.store(seen, Relaxed);
        // AcqRel: see the module, (1); and pairs with the swap of `drain`.
        match slot.head.compare_exchange_weak(seen, index + 1, AcqRel, Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    fn key(generation: u64) -> ObjectKey {
        ObjectKey { index: 7, generation }
    }

    #[test]
    fn each_waits_for_its_generation() {
        let dependents = Dependents::new();
        for (task, generation) in [(1, 3), (2, 4), (3, 5), (4, 4)] {
            dependents.add(key(generation), TaskId::from_bits(task)).expect("room");
        }
        let mut met = Vec::new();
        let later = dependents.drain(key(4), |task, key| met.push((task.to_bits(), key)));
        met.sort_unstable_by_key(|(task, _)| *task);
        assert_eq!(met, [(1, key(3)), (2, key(4)), (4, key(4))]);
        assert_eq!(later, [key(5)]);
        let mut met = Vec::new();
        assert!(dependents.drain(key(5), |task, key| met.push((task.to_bits(), key))).is_empty());
        assert_eq!(met, [(3, key(5))]);
    }

    #[test]
    fn edges_are_used_again() {
        let dependents = Dependents::new();
        for _ in 0..100 {
            for task in 0..10 {
                dependents.add(key(1), TaskId::from_bits(task)).expect("room");
            }
            let _ = dependents.drain(key(1), |_, _| ());
        }
        assert_eq!(dependents.touched.load(Relaxed), 10);
    }

    #[test]
    fn a_producer_is_found_by_its_object_alone() {
        let dependents = Dependents::new();
        assert_eq!(dependents.producer(key(1)), None);
        dependents.set_producer(key(1), TaskId::from_bits(9));
        assert_eq!(dependents.producer(key(1)), Some(TaskId::from_bits(9)));
        assert_eq!(dependents.producer(key(2)), None);
        dependents.set_producer(key(2), TaskId::from_bits(10));
        assert_eq!(dependents.producer(key(1)), None);
        assert_eq!(dependents.producer(ObjectKey { index: u32::MAX, generation: 1 }), None);
    }
}
