//! Spare workers: those above the number that a program begins with end when they have had nothing to do for a
//! while.
//!
//! There are more workers than cpus when tasks wait for tasks, and each wait may start one. A timer that runs only
//! while there are such spares looks who is idle; whoever was at the last look, too, and has run nothing in
//! between, is retired, the one first that has been idle longest. So a spare ends after at least the idle time and
//! less than twice that.
//!
//! Who retires a worker and who gives it work are one at a time, the owner of the scheduler's token: one that is
//! retired has nothing and gets nothing, and one that lives for an actor is not idle.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustyray_scheduler::{PoolId, WorkerId};

use super::Node;
use crate::runtime::program;

/// How many workers of a program stay, and how long the others do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Of the node's own program.
    pub(crate) own: usize,
    /// Of each other program that drivers are attached for.
    pub(crate) other: usize,
    /// How long a spare stays idle; no limit when there is none.
    /// How long a spare stays idle, at least.
    pub(crate) idle_time: Duration,
}

/// See the module.
pub(super) struct Spares {
    kept: Kept,
    /// The timer runs.
    watched: AtomicBool,
}

impl Spares {
    pub(super) fn new(kept: Kept) -> Spares {
        Spares { kept, watched: AtomicBool::new(false) }
    }

    fn kept_of(&self, pool: PoolId) -> usize {
        if pool == program::OWN { self.kept.own } else { self.kept.other }
    }
}

impl Node {
    /// There may be spares from now on: sees to it that somebody looks after them.
    pub(crate) fn watch_spares(self: &Arc<Self>) {
        // AcqRel: pairs with the swap that ends the timer. Who finds it running has come before that, and the
        // timer looks once more after it.
        if self.pool.alive() <= self.spares.kept.own.min(self.spares.kept.other)
            || self.spares.watched.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let node = Arc::clone(self);
        self.until_closed(async move { node.end_spares().await });
    }

    async fn end_spares(&self) {
        let mut idle_before = HashMap::new();
        loop {
            tokio::time::sleep(self.spares.kept.idle_time).await;
            if self.retire_idle(&mut idle_before) {
                continue;
            }
            self.spares.watched.swap(false, Ordering::AcqRel);
            if !self.has_spares() || self.spares.watched.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    /// How many workers of each program have no actor.
    fn have_tasks(&self) -> HashMap<PoolId, usize> {
        let mut counted = HashMap::new();
        for worker in self.scheduler().workers() {
            if worker.actor.is_none() && !worker.retired {
                *counted.entry(worker.pool).or_default() += 1;
            }
        }
        counted
    }

    fn has_spares(&self) -> bool {
        self.have_tasks().iter().any(|(&pool, &have)| have > self.spares.kept_of(pool))
    }

    /// Retires spares that were idle at the last look and are still; `true` when there may be more to do.
    fn retire_idle(&self, idle_before: &mut HashMap<WorkerId, u64>) -> bool {
        let mut spare: HashMap<PoolId, usize> = self
            .have_tasks()
            .into_iter()
            .map(|(pool, have)| (pool, have.saturating_sub(self.spares.kept_of(pool))))
            .collect();
        let infos: HashMap<_, _> =
            self.scheduler().workers().into_iter().map(|info| (info.id, info)).collect();
        let mut idle_now = HashMap::new();
        for id in self.scheduler().idle_workers() {
            let Some(info) = infos.get(&id) else { continue };
            let left = spare.entry(info.pool).or_default();
            if *left > 0 && idle_before.get(&id) == Some(&info.since) && self.scheduler().retire(id)
            {
                *left -= 1;
            } else {
                idle_now.insert(id, info.since);
            }
        }
        *idle_before = idle_now;
        spare.values().any(|&left| left > 0)
    }
}
