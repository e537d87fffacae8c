//! How many calls of an actor may be under way: one lane for each concurrency group, and one for the rest.
//!
//! A call takes a slot of its lane before it begins and gives it back when it has ended; one that the main thread
//! runs takes it where it waits, since nothing else begins before. Only who takes the actor's calls takes slots; any
//! thread gives them back, and sees to it that that thread learns of it. So a lane is two counts: who takes slots writes
//! one without asking the others, who in turn write the other.

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
    /// Slots that were taken. Written by who takes the actor's calls.
    taken: AtomicUsize,
    /// Slots that were given back.
    given_back: AtomicUsize,
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
            .map(|limit| Lane {
                limit,
                taken: AtomicUsize::new(0),
                given_back: AtomicUsize::new(0),
            })
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
        let Lane { limit, taken, given_back } = &self.lanes[lane];
        // Acquire: pairs with the release in `leave`; what the ended call did comes before what begins.
        let given_back = given_back.load(Ordering::Acquire);
        taken.load(Ordering::Relaxed).wrapping_sub(given_back) < *limit
    }

    /// Takes a slot of a lane that has room, which is to be given back. By who takes the actor's calls.
    pub(super) fn enter(&self, lane: usize) {
        let taken = &self.lanes[lane].taken;
        taken.store(taken.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The same, with a slot that gives itself back.
    pub(super) fn enter_for(self: &Arc<Self>, lane: usize) -> Slot {
        self.enter(lane);
        Slot { lanes: Arc::clone(self), lane }
    }

    /// Gives a slot back.
    pub(super) fn leave(&self, lane: usize) {
        // Release: pairs with the acquire in `has_room`.
        self.lanes[lane].given_back.fetch_add(1, Ordering::Release);
    }

    /// The same by who takes the actor's calls: as if the slot had not been taken.
    pub(super) fn leave_again(&self, lane: usize) {
        let taken = &self.lanes[lane].taken;
        taken.store(taken.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lanes.leave(self.lane);
    }
}
