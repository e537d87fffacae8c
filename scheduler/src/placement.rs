//! Placement groups: resources reserved together, as bundles, before the tasks that use them come.

use crate::{Demand, GroupId, JobId, WorkerId};

/// How the bundles of a group lie. On one machine they all lie together; both are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Close together.
    #[default]
    Pack,
    /// Apart, as far as there are machines.
    Spread,
}

/// A group to be reserved: all of its bundles, or none yet.
#[derive(Clone, Debug)]
pub struct NewGroup<'a> {
    /// What each bundle holds.
    pub bundles: &'a [Demand],
    /// How they lie.
    pub strategy: Strategy,
    /// Whose it is; it ends with its job unless detached.
    pub job: JobId,
    /// It outlives its job.
    pub detached: bool,
    /// The worker whose task asks for it, if one does: nobody is left to use what a task makes whose job has
    /// ended.
    pub by: Option<WorkerId>,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// It waits for its resources.
    Pending,
    /// Its resources are reserved.
    Ready,
    /// It was removed.
    Removed,
}

/// Out of which resources a task runs or an actor lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Those of the parent's group, in any bundle, if the parent captures; the machine's otherwise.
    #[default]
    Inherit,
    /// The machine's, whatever the parent has.
    Free,
    /// A group's.
    Group {
        /// That group.
        group: GroupId,
        /// One of its bundles, or any that has room.
        bundle: Option<u16>,
        /// What this task or actor submits runs in the group as well, unless told otherwise.
        capture_children: bool,
    },
}

impl Placement {
    /// Any bundle of `group`.
    pub const fn within(group: GroupId) -> Self {
        Placement::Group { group, bundle: None, capture_children: false }
    }

    /// This bundle of `group`.
    pub const fn bundle(group: GroupId, bundle: u16) -> Self {
        Placement::Group { group, bundle: Some(bundle), capture_children: false }
    }
}
