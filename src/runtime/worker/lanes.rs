//! How many calls of an actor may be under way: one lane for each concurrency group, and one for the rest.
//!
//! A call takes a slot of its lane before it begins and gives it back when it has ended; one that the main thread
//! runs takes it where it waits, since nothing else begins before. Only who takes the actor's calls takes slots; any
//! thread gives them back, and sees to it that that thread learns of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::registry::ActorClass;

/// The lanes of one actor.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// The lane of each method.
    of_method: Vec<usize>,
}

struct Lane {
    limit: usize,
    running: AtomicUsize,
}

/// A slot of a lane, given back when dropped.
pub(super) struct Slot {
    lanes: Arc<Lanes>,
    lane: usize,
}

impl Lanes {
    /// The lanes of an actor of `class` whose options allow so many overlapping calls.
    pub(super) fn new(class: &ActorClass, max_concurrency: usize) -> Lanes {
        let groups: Vec<_> =
            class.options.iter().flat_map(|options| options.groups).flatten().collect();
        let limits = groups.iter().map(|&(_, limit)| limit as usize);
        let lanes = std::iter::once(max_concurrency.max(1))
            .chain(limits)
            .map(|limit| Lane { limit, running: AtomicUsize::new(0) })
            .collect();
        let lane_of = |group: Option<&str>| {
            let at = group.and_then(|group| groups.iter().position(|&(name, _)| name == group));
            at.map_or(0, |at| at + 1)
        };
        let of_method = class.methods.iter().map(|method| lane_of(method.group)).collect();
        Lanes { lanes, of_method }
    }

    /// The lane that a method's calls are in.
    pub(super) fn of(&self, method: u16) -> usize {
        self.of_method.get(usize::from(method)).copied().unwrap_or(0)
    }

    /// For each method its lane, and whether that takes one call only.
    pub(super) fn of_method(&self) -> Vec<(usize, bool)> {
        self.of_method.iter().map(|&lane| (lane, self.lanes[lane].limit == 1)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The most calls that can be under way in all lanes together.
    pub(super) fn total(&self) -> usize {
        self.lanes.iter().map(|lane| lane.limit).fold(0, usize::saturating_add)
    }

    pub(super) fn has_room(&self, lane: usize) -> bool {
        // Acquire: pairs with the release in `Slot::drop`; what the ended call did comes before what begins.
        self.lanes[lane].running.load(Ordering::Acquire) < self.lanes[lane].limit
    }

    /// Takes a slot of a lane that has room.
    pub(super) fn enter(self: &Arc<Self>, lane: usize) -> Slot {
        self.lanes[lane].running.fetch_add(1, Ordering::Relaxed);
        Slot { lanes: Arc::clone(self), lane }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `has_room`.
        self.lanes.lanes[self.lane].running.fetch_sub(1, Ordering::Release);
    }
}
