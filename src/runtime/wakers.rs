//! The wakers of futures that wait for objects and are polled by somebody else's executor, and, in the node's
//! process, of what tasks wait for (`node/awaited.rs`).
//!
//! They live in private memory; the shared side only says which *group* of objects has news. Whoever serves
//! the doorbell takes the dirty groups and looks at the objects waited for in each.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};

use parking_lot::Mutex;
use rustyray_store::ObjectId;

use crate::contained::contain;

const SHARDS: usize = 64;

/// The futures that wait for objects of one group.
type Group = Vec<(ObjectId, Waker)>;

/// The waiting futures of one process.
#[derive(Debug)]
pub(super) struct Wakers {
    shards: Box<[Mutex<HashMap<u32, Group>>]>,
    len: AtomicUsize,
    /// Those who were taken out and are not woken yet.
    #[cfg(test)]
    waking: AtomicUsize,
}

impl Wakers {
    pub(super) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect();
        Wakers {
            shards,
            len: AtomicUsize::new(0),
            #[cfg(test)]
            waking: AtomicUsize::new(0),
        }
    }

    fn shard(&self, group: u32) -> &Mutex<HashMap<u32, Group>> {
        &self.shards[group as usize % SHARDS]
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Notes that `waker` is to be woken when `id` is settled. The caller subscribes and re-checks after.
    pub(super) fn insert(&self, group: u32, id: ObjectId, waker: &Waker) {
        let mut shard = self.shard(group).lock();
        let waiting = shard.entry(group).or_default();
        if !waiting.iter().any(|(known, other)| *known == id && other.will_wake(waker)) {
            waiting.push((id, waker.clone()));
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes back a waker; whether it was there.
    pub(super) fn remove(&self, group: u32, id: ObjectId, waker: &Waker) -> bool {
        let mut shard = self.shard(group).lock();
        let Some(waiting) = shard.get_mut(&group) else { return false };
        let Some(at) = waiting.iter().position(|(known, it)| *known == id && it.will_wake(waker))
        else {
            return false;
        };
        let removed = waiting.swap_remove(at);
        if waiting.is_empty() {
            shard.remove(&group);
        }
        drop(shard);
        self.len.fetch_sub(1, Ordering::Relaxed);
        drop(removed);
        true
    }

    /// Whether anybody waits for this object, or for any was taken out and not woken yet.
    #[cfg(test)]
    pub(super) fn has(&self, group: u32, id: ObjectId) -> bool {
        let shard = self.shard(group).lock();
        shard.get(&group).is_some_and(|waiting| waiting.iter().any(|(known, _)| *known == id))
            // Acquire: pairs with the end of `settle`; what the wakers did is seen.
            || self.waking.load(Ordering::Acquire) > 0
    }

    /// Wakes those of `group` whose object is not pending any more.
    pub(super) fn settle(&self, group: u32, is_pending: impl Fn(ObjectId) -> bool) {
        if self.is_empty() {
            return;
        }
        let mut shard = self.shard(group).lock();
        let Some(waiting) = shard.get_mut(&group) else { return };
        let woken: Group = waiting.extract_if(.., |(id, _)| !is_pending(*id)).collect();
        if waiting.is_empty() {
            shard.remove(&group);
        }
        #[cfg(test)]
        let taken = woken.len();
        #[cfg(test)]
        self.waking.fetch_add(taken, Ordering::Relaxed); // under the lock, which whoever asks takes too
        drop(shard);
        self.len.fetch_sub(woken.len(), Ordering::Relaxed);
        // Outside the lock: a waker may run anything.
        woken.into_iter().for_each(|(_, waker)| wake(waker));
        #[cfg(test)]
        self.waking.fetch_sub(taken, Ordering::Release); // pairs with `has`
    }

    /// Wakes everybody, as when the runtime ends.
    pub(super) fn wake_all(&self) {
        for shard in &self.shards {
            let waiting = std::mem::take(&mut *shard.lock());
            self.len.fetch_sub(waiting.values().map(Vec::len).sum(), Ordering::Relaxed);
            waiting.into_values().flatten().for_each(|(_, waker)| wake(waker));
        }
    }
}

/// Wakes, on whichever thread of the runtime serves the doorbell. A waker is its executor's code, and may drop the task:
/// where that panics, the panic hook has said so, and neither the thread nor those behind are to suffer.
fn wake(waker: Waker) {
    contain(|| waker.wake());
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind, panic_any},
        sync::Arc,
        task::Wake,
    };

    use rustyray_store::{Config, Node};

    use super::*;

    /// Panics with something whose drop panics.
    struct Spiteful;

    impl Wake for Spiteful {
        fn wake(self: Arc<Self>) {
            panic_any(Payload);
        }
    }

    struct Payload;

    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("what a waker panicked with is dropped");
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_from_being_woken() {
        let store = Node::create(Config { capacity_bytes: 16 << 20, ..Config::default() })
            .expect("a store");
        let id = store.client().reserve().expect("a slot");
        let (wakers, woken) = (Wakers::new(), Arc::new(Woken::default()));
        let wait = |group| {
            wakers.insert(group, id, &Waker::from(Arc::new(Spiteful)));
            wakers.insert(group, id, &Waker::from(Arc::clone(&woken)));
        };
        // What a test itself panics with must have a drop that does not.
        let gets_out = |code: &dyn Fn()| {
            catch_unwind(AssertUnwindSafe(code)).map_err(std::mem::forget).is_err()
        };
        wait(0);
        assert!(!gets_out(&|| wakers.settle(0, |_| false)));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(wakers.is_empty());
        (0..3).for_each(wait);
        assert!(!gets_out(&|| wakers.wake_all()));
        assert_eq!(woken.0.load(Ordering::Relaxed), 4);
        assert!(wakers.is_empty());
        store.client().release(id);
    }
}
