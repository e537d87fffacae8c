//! Who submitted whom, for recursive cancellation: each task has a list of those it submitted that have not
//! ended. What a task submitted is on its own once that task has ended.

use super::State;
use crate::{
    Host, TaskId,
    ids::split,
    record::{JOB_ENDED, NONE, Record},
    shared::Shared,
};

impl<H: Host> State<H> {
    /// Enters a task with its parent; whether that only has not ended yet, unlike its job.
    pub(super) fn adopt(
        &mut self,
        shared: &Shared<H>,
        task: TaskId,
        record: &Record<H::Spec>,
    ) -> bool {
        let Some((parent, _)) = shared.records.live(TaskId::from_bits(record.parent.get())) else {
            record.parent.set(0);
            return false;
        };
        let (index, _) = split(task.to_bits());
        let older = parent.child.get();
        record.older_sibling.set(older);
        record.younger_sibling.set(NONE);
        if older != NONE {
            shared.records.at(older).younger_sibling.set(index);
        }
        parent.child.set(index);
        parent.is(JOB_ENDED)
    }

    /// Takes a task that ends out of its parent's list.
    pub(super) fn disown(&mut self, shared: &Shared<H>, task: TaskId, record: &Record<H::Spec>) {
        let parent = TaskId::from_bits(record.parent.get());
        if parent.to_bits() == 0 {
            return;
        }
        let (older, younger) = (record.older_sibling.get(), record.younger_sibling.get());
        if older != NONE {
            shared.records.at(older).younger_sibling.set(younger);
        }
        if younger != NONE {
            shared.records.at(younger).older_sibling.set(older);
        } else if let Some((parent, _)) = shared.records.live(parent) {
            debug_assert_eq!(parent.child.get(), split(task.to_bits()).0);
            parent.child.set(older);
        }
        record.parent.set(0);
    }

    /// Lets the children of a task that ends go their own way.
    pub(super) fn orphan(&mut self, shared: &Shared<H>, record: &Record<H::Spec>) {
        let mut child = record.child.get();
        while child != NONE {
            let record = shared.records.at(child);
            record.parent.set(0);
            child = record.older_sibling.get();
        }
    }

    /// The tasks that a task submitted and that have not ended.
    pub(super) fn children(&self, shared: &Shared<H>, task: TaskId) -> Vec<TaskId> {
        let Some((record, _)) = shared.records.live(task) else { return Vec::new() };
        let first = Some(record.child.get()).filter(|&child| child != NONE);
        let older = |&child: &u32| {
            Some(shared.records.at(child).older_sibling.get()).filter(|&older| older != NONE)
        };
        std::iter::successors(first, older).map(|child| shared.records.id(child)).collect()
    }
}
