//! Waiting for objects to settle, for processes that have nothing else to wait for.
//!
//! A runtime that sleeps in a place of its own uses [`Client::subscribe`] and [`crate::Wake`] instead.

use std::{
    hint::spin_loop,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{Client, ObjectId, PinError, Status, Value, View, ViewError};

/// How often to look before sleeping.
const LOOKS: u32 = 200;

impl Client {
    /// Waits until `wanted` of the objects are settled or `timeout` has passed; which of them are settled
    /// then, in the order of `ids`. Without a timeout it waits for as long as it takes.
    ///
    /// Linear in the number of objects when all are wanted; otherwise each wakeup looks at all that are
    /// still pending.
    ///
    /// # Errors
    /// When one of the ids names no living object, or the process was forked off.
    pub fn wait(
        &self,
        ids: &[ObjectId],
        wanted: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<bool>, PinError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut settled = vec![false; ids.len()];
        let mut left = wanted.min(ids.len());
        let mut pending: Vec<usize> = (0..ids.len()).collect();
        if let Some(&id) = ids.iter().find(|&&id| self.status(id) == Status::Gone) {
            return Err(PinError::Stale(self.stale(id)));
        }
        if wanted >= ids.len() {
            // All are wanted: one after the other is as good as any order.
            for (at, &id) in ids.iter().enumerate() {
                settled[at] = self.wait_for_one(id, deadline)?;
            }
            return Ok(settled);
        }
        let mut gone = None;
        self.wait_until(deadline, |status| {
            pending.retain(|&at| match status(ids[at]) {
                Status::Pending => true,
                Status::Gone => {
                    gone = Some(ids[at]);
                    true
                }
                Status::Sealed | Status::Failed => {
                    settled[at] = true;
                    left = left.saturating_sub(1);
                    false
                }
            });
            left == 0 || gone.is_some()
        })?;
        gone.map_or(Ok(settled), |id| Err(PinError::Stale(self.stale(id))))
    }

    /// Whether the object was settled in time.
    fn wait_for_one(&self, id: ObjectId, deadline: Option<Instant>) -> Result<bool, PinError> {
        let mut last = Status::Pending;
        self.wait_until(deadline, |status| {
            last = status(id);
            last != Status::Pending
        })?;
        match last {
            Status::Gone => Err(PinError::Stale(self.stale(id))),
            status => Ok(status != Status::Pending),
        }
    }

    /// Calls `look` until it is content or the time is up; which of the two. It is given how to tell an
    /// object's status.
    fn wait_until(
        &self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&dyn Fn(ObjectId) -> Status) -> bool,
    ) -> Result<bool, PinError> {
        if look(&|id| self.status(id)) {
            return Ok(true);
        }
        let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        loop {
            // The store may have ended while this slept.
            self.check_ours()?;
            for _ in 0..LOOKS {
                if look(&|id| self.status(id)) {
                    return Ok(true);
                }
                spin_loop();
            }
            if is_over() {
                return Ok(false);
            }
            let drowsy = self.table().alarm(self.id()).doze();
            if look(&|id| self.subscribe(id)) {
                return Ok(true);
            }
            if self.is_ours() {
                drowsy.sleep(deadline.map(|at| at.saturating_duration_since(Instant::now())));
            }
        }
    }

    /// A view of the object's value, as soon as it has one.
    ///
    /// # Errors
    /// [`PinError::Pending`] when it has none in time, and whatever [`Client::view`] has to say.
    pub fn get<T: Value>(
        self: &Arc<Self>,
        id: ObjectId,
        timeout: Option<Duration>,
    ) -> Result<View<T>, ViewError> {
        self.wait(&[id], 1, timeout)?;
        self.view(id)
    }

    /// Views of all the objects' values, in their order, as soon as all have one.
    ///
    /// # Errors
    /// The first error in the order of `ids`; see [`Client::get`].
    pub fn get_all<T: Value>(
        self: &Arc<Self>,
        ids: &[ObjectId],
        timeout: Option<Duration>,
    ) -> Result<Vec<View<T>>, ViewError> {
        self.wait(ids, ids.len(), timeout)?;
        ids.iter().map(|&id| self.view(id)).collect()
    }
}
