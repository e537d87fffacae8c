//! Waiting for some of many objects.
//!
//! To be woken when `k` of `p` pending objects have settled it is enough to watch `p - k + 1` of them: before `k`
//! have settled, one of those has. So a wait for the first of many watches all and ends with the first wakeup, and
//! a wait for all watches one after the other; nothing is looked at again that was seen settled.
//!
//! In between there may be `k` wakeups, each of which would look at `p - k + 1` objects. Where both are many, all
//! `p` are watched once instead, each by a waker of its own, which counts ([`Tally`]); the waiter is woken by the
//! `k`th. So every object is looked at a bounded number of times, whatever `k` is.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustyray_store::ObjectId;

use crate::{
    error::{Error, Result},
    object::ObjectRef,
    runtime::{Alarm, Core, OwnWaker, deadline, trace::Span},
};

mod sealed {
    pub trait Sealed {}
}

/// What [`wait`] takes: references that it borrows, and clones, or a vector of them that it takes apart.
///
/// ```
/// # use rustyray::{References, blocking, prelude::*};
/// # fn main() -> rustyray::Result<()> {
/// // A wait of one's own that takes what `wait` takes.
/// fn first<T>(references: impl References<T>) -> rustyray::Result<Option<ObjectRef<T>>> {
///     if references.as_slice().is_empty() {
///         return Ok(None);
///     }
///     blocking::wait(references, 1, None).map(|(ready, _)| ready.into_iter().next())
/// }
///
/// blocking::init()?;
/// let numbers = vec![blocking::put(&1_u64)?, blocking::put(&2)?];
/// assert_eq!(first(&numbers)?.as_ref(), Some(&numbers[0])); // borrowed
/// assert!(first(Vec::<ObjectRef<u64>>::new())?.is_none());
///
/// // Without waiting: what is settled now, at most one of it, and the rest.
/// let (ready, rest) = numbers.split(1); // taken apart
/// assert_eq!((ready.len(), rest.len()), (1, 1));
/// # drop((ready, rest));
/// # blocking::shutdown()
/// # }
/// ```
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
/// An error in an object's place settles it, too, and so does the end of its runtime. A timeout of zero only looks.
/// Dropping the future gives up waiting and has no other effect, but for what was given away.
///
/// ```
/// # use rustyray::prelude::*;
/// use std::time::Duration;
///
/// #[rustyray::remote]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let mut squares = Vec::new();
/// for number in 0..4 {
///     squares.push(square_remote::remote(number).await?);
/// }
/// let (ready, pending) = rustyray::wait(&squares, 2, None).await?;
/// assert_eq!((ready.len(), pending.len()), (2, 2));
/// // A vector is taken apart instead of cloned.
/// let (ready, _) = rustyray::wait(squares, 4, Some(Duration::from_secs(60))).await?;
/// assert_eq!(ready.len(), 4);
/// # Ok(())
/// # }
/// ```
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
        count: None,
        deadline: timeout.map(|timeout| deadline(Instant::now(), timeout)),
        alarm: None,
        enlisted: None,
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
    /// Who counts instead, where both those that must settle and those to be watched are many.
    count: Option<Count>,
    deadline: Option<Instant>,
    alarm: Option<Alarm>,
    /// What is to be woken for the watched, where that is to be taken back.
    enlisted: Option<OwnWaker>,
}

/// With at most so many wakeups, or so many that each looks at, nobody needs to count.
const FEW: usize = 8;

/// How many of the watched are still to settle, and whom to wake then.
struct Tally {
    left: AtomicUsize,
    waiter: Mutex<Waker>,
}

/// The waker of one watched object.
struct Watch(Arc<Tally>);

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        looked();
        // AcqRel: whoever counts the last has seen what the others settled, and the waiter sees it after its wake.
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.waiter.lock().wake_by_ref();
        }
    }
}

/// All pending objects, watched once each.
struct Count {
    tally: Arc<Tally>,
    watching: Vec<(Arc<Core>, ObjectId, Waker)>,
    /// Those before were seen settled.
    settled: usize,
}

impl Count {
    /// Watches all of these that are pending, until `wanted` of them have settled.
    fn of<T>(
        references: &[ObjectRef<T>],
        at: &[usize],
        wanted: usize,
        waiter: &Waker,
    ) -> Result<Count> {
        let left = AtomicUsize::new(wanted);
        let tally = Arc::new(Tally { left, waiter: Mutex::new(waiter.clone()) });
        let mut watching = Vec::with_capacity(at.len());
        for &at in at {
            looked();
            let (core, id) = (references[at].core()?, references[at].object_id());
            let waker = Waker::from(Arc::new(Watch(Arc::clone(&tally))));
            if core.wake_when_settled(id, &waker) {
                watching.push((core, id, waker));
            } else if core.forget_waker(id, &waker) {
                // It has settled meanwhile, and nobody counts it but this.
                waker.wake();
            }
        }
        Ok(Count { tally, watching, settled: 0 })
    }

    fn is_over(&self) -> bool {
        // Acquire: pairs with the count of the last. It goes on below zero, which is far above.
        matches!(self.tally.left.load(Ordering::Acquire), 0 | LAST..)
    }

    /// Says whom to wake. Has the executor of this thread, if it is one of ours, serve the doorbell by which that comes,
    /// by watching one that is pending, if there is any.
    fn attend(&mut self, context: &mut Context<'_>) {
        self.tally.waiter.lock().clone_from(context.waker());
        while let Some((core, id, _)) = self.watching.get(self.settled) {
            looked();
            if core.is_pending(*id) {
                return core.attend(*id, context.waker());
            }
            self.settled += 1;
        }
    }
}

/// Counts that went below zero.
const LAST: usize = usize::MAX / 2;

impl Drop for Count {
    fn drop(&mut self) {
        for (core, id, waker) in &self.watching {
            core.forget_waker(*id, waker);
        }
    }
}

/// Counts, in tests, how often an object is looked at, watched or woken for.
#[inline]
fn looked() {
    #[cfg(test)]
    tests::LOOKS.fetch_add(1, Ordering::Relaxed);
}

impl<T> Enough<'_, T> {
    /// Drops what has settled from the watched, and looks at more until enough are watched.
    fn look(&mut self) {
        let Enough { references, wanted, watched, .. } = self;
        watched.retain(|&at| {
            looked();
            let settled = *wanted > 0 && references[at].is_ready();
            *wanted -= usize::from(settled);
            !settled
        });
        while self.wanted > 0 && self.references.len() - self.next >= self.wanted {
            looked();
            if self.references[self.next].is_ready() {
                self.wanted -= 1;
            } else {
                self.watched.push(self.next);
            }
            self.next += 1;
        }
    }

    /// Has the waker woken for the watched; `false` when one of them has just settled.
    fn watch(&mut self, context: &mut Context<'_>) -> bool {
        if self.enlisted.as_ref().is_some_and(|own| !own.is_of(context.waker())) {
            self.leave();
        }
        let Enough { references, watched, enlisted, .. } = self;
        watched.iter().all(|&at| {
            looked();
            let reference = &references[at];
            reference.core().is_ok_and(|core| {
                let id = reference.object_id();
                core.poll_among_others(id, context, enlisted).is_pending()
            })
        })
    }

    /// Takes back what was to be woken. For what has settled it is, or was, and those are not among the watched.
    fn leave(&mut self) {
        let Some(own) = self.enlisted.take() else { return };
        for &at in &self.watched {
            if let Ok(core) = self.references[at].core() {
                core.forget_waker(self.references[at].object_id(), own.waker());
            }
        }
    }
}

impl<T> Drop for Enough<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> Future for Enough<'_, T> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        loop {
            if this.count.is_none() {
                this.look();
            } else if this.count.as_ref().is_some_and(Count::is_over) {
                this.wanted = 0;
            }
            if this.wanted == 0 {
                return Poll::Ready(Ok(()));
            }
            this.references[0].core()?.check_uninterrupted()?;
            if this.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Poll::Ready(Ok(()));
            }
            if let Some(count) = &mut this.count {
                count.attend(context);
                // After the waiter was said: the last may have been counted before.
                if !count.is_over() {
                    break;
                }
            } else if this.wanted > FEW && this.watched.len() > FEW {
                this.watched.extend(this.next..this.references.len());
                let (references, watched) = (this.references, &this.watched);
                this.count = Some(Count::of(references, watched, this.wanted, context.waker())?);
            } else if this.watch(context) {
                break;
            }
        }
        if let Some(deadline) = this.deadline {
            this.alarm.get_or_insert_with(|| Alarm::set(deadline, context.waker().clone()));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::Builder;

    pub(super) static LOOKS: AtomicUsize = AtomicUsize::new(0);

    /// Whether it was woken.
    struct Bell(std::sync::atomic::AtomicBool);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    /// How often objects are looked at while `wanted` of `all` settle one by one, each noticed before the next.
    fn looks(core: &Arc<Core>, all: usize, wanted: usize, from_the_end: bool) -> usize {
        let reserve = |_| ObjectRef::<u64>::adopt(core, core.client.reserve().expect("room"));
        let references: Vec<_> = (0..all).map(reserve).collect();
        let bell = Arc::new(Bell(true.into()));
        let waker = Waker::from(Arc::clone(&bell));
        let mut wait = std::pin::pin!(wait(&references, wanted, None));
        LOOKS.store(0, Ordering::Relaxed);
        let mut settled: VecDeque<_> = references.iter().collect();
        loop {
            if bell.0.swap(false, Ordering::Acquire)
                && let Poll::Ready(found) = wait.as_mut().poll(&mut Context::from_waker(&waker))
            {
                let (ready, pending) = found.expect("all goes well");
                assert_eq!((ready.len(), pending.len()), (wanted, all - wanted));
                assert!(ready.iter().all(ObjectRef::is_ready));
                assert_eq!(settled.len(), all - wanted, "it waited for more than it was to");
                return LOOKS.load(Ordering::Relaxed);
            }
            let next = if from_the_end { settled.pop_back() } else { settled.pop_front() };
            let next = next.expect("it ends before");
            core.client.seal_value(next.object_id(), 0, &7_u64).expect("sealed");
            // Whoever serves the doorbell; the node's thread does, too. A waker is left until it has run.
            let deadline = Instant::now() + Duration::from_secs(60);
            while core.is_waker_left(next.object_id()) {
                core.help();
                assert!(Instant::now() < deadline, "nobody is woken");
            }
        }
    }

    #[test]
    fn however_many_are_waited_for_each_is_looked_at_a_few_times() {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let core = &runtime.core;
        for all in [200, 400, 800, 1600] {
            for wanted in [1, 2, all / 4, all / 2, 3 * all / 4, all - 1, all] {
                for from_the_end in [false, true] {
                    let looks = looks(core, all, wanted, from_the_end);
                    assert!(looks <= 24 * all, "{looks} looks for {wanted} of {all}");
                }
            }
        }
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
