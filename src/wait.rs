//! Waiting for some of many objects.
//!
//! To be woken when `k` of `p` pending objects have settled it is enough to watch `p - k + 1` of them: before `k`
//! have settled, one of those has. So a wait for the first of many watches all and ends with the first wakeup, and
//! a wait for all watches one after the other; nothing is looked at again that was seen settled.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    object::ObjectRef,
    runtime::{Alarm, trace::Span},
};

mod sealed {
    pub trait Sealed {}
}

/// What [`wait`] takes: references that it borrows, and clones, or a vector of them that it takes apart.
pub trait References<T>: sealed::Sealed {
    /// The references.
    fn as_slice(&self) -> &[ObjectRef<T>];

    /// Those that are settled, at most `num_returns` of them, and the rest, each in their order.
    fn split(self, num_returns: usize) -> (Vec<ObjectRef<T>>, Vec<ObjectRef<T>>);
}

impl<C: ?Sized> sealed::Sealed for &C {}

impl<T, C: AsRef<[ObjectRef<T>]> + ?Sized> References<T> for &C {
    fn as_slice(&self) -> &[ObjectRef<T>] {
        (**self).as_ref()
    }

    fn split(self, num_returns: usize) -> (Vec<ObjectRef<T>>, Vec<ObjectRef<T>>) {
        let references = self.as_ref();
        let mut ready = Vec::with_capacity(num_returns);
        let mut pending = Vec::with_capacity(references.len() - num_returns);
        for (at, reference) in references.iter().enumerate() {
            if ready.len() == num_returns {
                pending.extend_from_slice(&references[at..]);
                break;
            }
            let to = if reference.is_ready() { &mut ready } else { &mut pending };
            to.push(reference.clone());
        }
        (ready, pending)
    }
}

impl<T> sealed::Sealed for Vec<ObjectRef<T>> {}

impl<T> References<T> for Vec<ObjectRef<T>> {
    fn as_slice(&self) -> &[ObjectRef<T>] {
        self
    }

    fn split(mut self, num_returns: usize) -> (Vec<ObjectRef<T>>, Vec<ObjectRef<T>>) {
        let (mut end, mut found) = (0, 0);
        while found < num_returns && end < self.len() {
            found += usize::from(self[end].is_ready());
            end += 1;
        }
        // What is settled by now and was not a moment ago waits for the next time.
        let mut ready = Vec::with_capacity(found);
        ready.extend(self.extract_if(..end, |reference| {
            let taken = found > 0 && reference.is_ready();
            found -= usize::from(taken);
            taken
        }));
        (ready, self)
    }
}

/// Waits until `num_returns` of the references are settled, or until `timeout` has passed; gives those that
/// are and those that are left, each in their order. At most `num_returns` are in the first.
///
/// The references are borrowed, and then cloned, or given away as a vector, which costs nothing for those that
/// are left: `(ready, rest) = wait(rest, 1, None).await?` takes as long for the last of many as for the first.
/// Dropping the future gives up waiting and has no other effect.
///
/// # Errors
/// [`Error::InvalidArgument`] when `num_returns` is above the number of references,
/// [`Error::TaskCancelled`] when the task that waits is cancelled.
pub async fn wait<T>(
    references: impl References<T>,
    num_returns: usize,
    timeout: Option<Duration>,
) -> Result<(Vec<ObjectRef<T>>, Vec<ObjectRef<T>>)> {
    let len = references.as_slice().len();
    if num_returns > len {
        return Err(Error::invalid(format!(
            "num_returns is {num_returns}, and there are {len} references"
        )));
    }
    let enough = Enough {
        references: references.as_slice(),
        wanted: num_returns,
        next: 0,
        watched: Vec::new(),
        deadline: timeout.map(|timeout| Instant::now() + timeout),
        alarm: None,
    };
    Span::wait(len, num_returns).within(enough).await?;
    Ok(references.split(num_returns))
}

/// Ready when some of many references are settled, or when it is time.
struct Enough<'a, T> {
    references: &'a [ObjectRef<T>],
    /// How many more must settle.
    wanted: usize,
    /// The first that was not looked at yet.
    next: usize,
    /// Those that were looked at and were pending.
    watched: Vec<usize>,
    deadline: Option<Instant>,
    alarm: Option<Alarm>,
}

impl<T> Enough<'_, T> {
    /// Drops what has settled from the watched, and looks at more until enough are watched.
    fn look(&mut self) {
        let Enough { references, wanted, watched, .. } = self;
        watched.retain(|&at| {
            let settled = *wanted > 0 && references[at].is_ready();
            *wanted -= usize::from(settled);
            !settled
        });
        while self.wanted > 0 && self.references.len() - self.next >= self.wanted {
            if self.references[self.next].is_ready() {
                self.wanted -= 1;
            } else {
                self.watched.push(self.next);
            }
            self.next += 1;
        }
    }

    /// Has the waker woken for the watched; `false` when one of them has just settled.
    fn watch(&self, context: &mut Context<'_>) -> bool {
        self.watched.iter().all(|&at| {
            let reference = &self.references[at];
            reference.core().is_ok_and(|core| {
                core.poll_among_others(reference.object_id(), context).is_pending()
            })
        })
    }
}

impl<T> Future for Enough<'_, T> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        loop {
            this.look();
            if this.wanted == 0 {
                return Poll::Ready(Ok(()));
            }
            this.references[0].core()?.check_uninterrupted()?;
            if this.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Poll::Ready(Ok(()));
            }
            if this.watch(context) {
                break;
            }
        }
        if let Some(deadline) = this.deadline {
            this.alarm.get_or_insert_with(|| Alarm::set(deadline, context.waker().clone()));
        }
        Poll::Pending
    }
}
