//! Placing by cost: where waking a worker costs more than the task does, the task queues behind a busy one.
//!
//! What a sort of tasks takes is an estimate ([`super::estimates`]), and an estimate can be wrong: while tasks are
//! queued behind a busy worker and another is idle, the host has that reviewed every now and then. A worker that
//! is still at the same task by then, for longer than a wakeup costs, is *slow* until that has ended: what waits
//! behind it goes to others, and its sort of tasks is taken for long until more is known.

use std::time::Instant;

use super::{State, workers::wake_cost_ns};
use crate::{Host, record::Record, shared::Shared};

/// How many busy workers are looked at for a task that is quick.
const CANDIDATES: usize = 8;

impl<H: Host> State<H> {
    /// A busy worker that will have done this task sooner than an idle one is awake; or `Err` when there is one
    /// whose queue is full for the moment.
    pub(super) fn sooner(
        &mut self,
        shared: &Shared<H>,
        record: &Record<H::Spec>,
    ) -> Result<Option<u16>, ()> {
        let budget = wake_cost_ns(shared);
        let expected = self.estimates.expected_ns(record.alike.get());
        let Some(expected) = expected.map(u64::from).filter(|&expected| expected < budget) else {
            return Ok(None);
        };
        if record.group.get() != 0 {
            return Ok(None);
        }
        let kind = shared.kinds.at(record.kind.get());
        let Some(feeders) = self.feeders.get(kind.shape as usize) else { return Ok(None) };
        let mut full = false;
        for worker in feeders.busy.iter().take(CANDIDATES) {
            let Some(Some(known)) = self.workers.get(usize::from(worker)) else { continue };
            if known.slow || known.expected_ns + expected > budget {
                continue;
            }
            let last = known.queue.last().map(|last| shared.records.at(last).kind.get());
            let first = last.is_none_or(|last| shared.kinds.at(last).priority < kind.priority);
            if !first && known.feeds {
                return Ok(Some(worker));
            }
            full |= !first && known.blocked == 0 && known.doomed.is_none();
        }
        if full { Err(()) } else { Ok(None) }
    }

    /// Whether what waits behind a worker's task is worth waking another for.
    pub(super) fn is_worth_waking(&self, shared: &Shared<H>, worker: u16) -> bool {
        let Some(Some(known)) = self.workers.get(usize::from(worker)) else { return false };
        let running = known.queue.first().map(|first| shared.records.at(first).expected_ns.get());
        known.slow || known.expected_ns - u64::from(running.unwrap_or(0)) >= wake_cost_ns(shared)
    }

    /// What waits behind a task that runs for longer than a wakeup costs goes to idle workers.
    pub(super) fn review(&mut self, shared: &Shared<H>, now: Instant) {
        let wake_cost = shared.config.wake_cost;
        let behind: Vec<u16> = self.behind.iter().collect();
        for worker in behind {
            let Some(known) = self.worker(worker) else { continue };
            match known.seen {
                Some((since, at)) if since == known.since => {
                    if now.duration_since(at) < wake_cost {
                        continue;
                    }
                }
                _ => {
                    known.seen = Some((known.since, now));
                    continue;
                }
            }
            known.slow = true;
            if let Some(first) = known.queue.first() {
                self.estimates.forget(shared.records.at(first).alike.get());
            }
            self.refit(shared, worker);
            self.dirty = true;
        }
    }

    /// Whether something waits behind a worker that is not known to be slow, while another has nothing to do.
    pub(super) fn wants_review(&self) -> bool {
        self.behind_len > 0
            && self.behind.iter().any(|worker| {
                let known = self.workers.get(usize::from(worker)).and_then(Option::as_ref);
                known.is_some_and(|known| !known.slow && !self.pools[known.pool].idle.is_empty())
            })
    }
}
