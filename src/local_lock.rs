//! A fair lock for what belongs to one thread, whose futures share it: whoever reads or writes across an `await` keeps it.
//!
//! Who finds it free takes it and writes nothing that another core could read, which is what it is for: an actor whose
//! calls run on one thread takes and gives back its lock for each of them.
//!
//! Who finds it taken *queues*. Only the first of the queue may take it, and nobody passes the queue: so a writer has
//! its turn though readers keep coming. Whoever changes what the first waits for wakes it: one that lets go of the lock,
//! and one that leaves the queue, with the lock or without.
//!
//! What a waker does when it is cloned, woken or dropped is not known here, and it may come back: that is only done while
//! the queue is not borrowed.

use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    collections::VecDeque,
    future::Future,
    mem,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// See the module.
pub(crate) struct LocalLock<T> {
    value: RefCell<T>,
    queue: Queue,
}

/// Those who wait, first come first.
#[derive(Default)]
struct Queue {
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    /// The number of the next that comes.
    next: Cell<u64>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Wakes the first, who then takes the lock, or joins again with a waker.
    fn wake_first(&self) {
        let none = Waker::noop().clone();
        let first =
            self.waiting.borrow_mut().front_mut().map(|(_, waker)| mem::replace(waker, none));
        first.into_iter().for_each(Waker::wake);
    }

    /// Whether nobody is before this one, which may not have joined.
    fn is_first(&self, number: Option<u64>) -> bool {
        let waiting = self.waiting.borrow();
        waiting.front().is_none_or(|&(first, _)| Some(first) == number)
    }

    /// Has this one wait, or go on waiting; its number.
    fn join(&self, number: Option<u64>, waker: &Waker) -> u64 {
        let is_known =
            |&(of, ref known): &(u64, Waker)| Some(of) == number && known.will_wake(waker);
        if let Some(number) = number
            && self.waiting.borrow().iter().any(is_known)
        {
            return number;
        }
        let waker = waker.clone();
        let number = number.unwrap_or_else(|| self.next.replace(self.next.get() + 1));
        let before = {
            let mut waiting = self.waiting.borrow_mut();
            match waiting.iter_mut().find(|(of, _)| *of == number) {
                Some((_, known)) => Some(mem::replace(known, waker)),
                None => {
                    waiting.push_back((number, waker));
                    None
                }
            }
        };
        drop(before);
        number
    }

    fn leave(&self, number: u64) {
        let left = {
            let mut waiting = self.waiting.borrow_mut();
            let place = waiting.iter().position(|&(of, _)| of == number);
            place.and_then(|place| waiting.remove(place))
        };
        // Before its waker is dropped, which may panic.
        self.wake_first();
        drop(left);
    }
}

/// Wakes the first of the queue, after the lock was let go of.
struct LetGo<'a>(&'a Queue);

impl Drop for LetGo<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.0.wake_first();
        }
    }
}

/// What a reader, or a writer, has of the value: `B` is its borrow.
pub(crate) struct Guard<'a, B> {
    // Dropped in this order.
    borrow: B,
    _let_go: LetGo<'a>,
}

impl<B: Deref> Deref for Guard<'_, B> {
    type Target = B::Target;

    fn deref(&self) -> &B::Target {
        &self.borrow
    }
}

impl<B: DerefMut> DerefMut for Guard<'_, B> {
    fn deref_mut(&mut self) -> &mut B::Target {
        &mut self.borrow
    }
}

impl<T> LocalLock<T> {
    pub(crate) fn new(value: T) -> Self {
        LocalLock { value: RefCell::new(value), queue: Queue::default() }
    }

    /// The value to be read, if nobody writes or waits.
    #[inline]
    pub(crate) fn try_read(&self) -> Option<Guard<'_, Ref<'_, T>>> {
        if self.queue.is_empty() { self.borrow() } else { None }
    }

    /// The value to be written, if nobody reads, writes or waits.
    #[inline]
    pub(crate) fn try_write(&self) -> Option<Guard<'_, RefMut<'_, T>>> {
        if self.queue.is_empty() { self.borrow_mut() } else { None }
    }

    pub(crate) async fn read(&self) -> Guard<'_, Ref<'_, T>> {
        Turn { queue: &self.queue, number: None, take: || self.borrow() }.await
    }

    pub(crate) async fn write(&self) -> Guard<'_, RefMut<'_, T>> {
        Turn { queue: &self.queue, number: None, take: || self.borrow_mut() }.await
    }

    fn borrow(&self) -> Option<Guard<'_, Ref<'_, T>>> {
        let borrow = self.value.try_borrow().ok()?;
        Some(Guard { borrow, _let_go: LetGo(&self.queue) })
    }

    fn borrow_mut(&self) -> Option<Guard<'_, RefMut<'_, T>>> {
        let borrow = self.value.try_borrow_mut().ok()?;
        Some(Guard { borrow, _let_go: LetGo(&self.queue) })
    }
}

/// Waits until `take` gives the lock, which is tried by the first of the queue only.
struct Turn<'a, F> {
    queue: &'a Queue,
    /// Its place in the queue, once it had to wait.
    number: Option<u64>,
    take: F,
}

impl<G, F: Fn() -> Option<G> + Unpin> Future for Turn<'_, F> {
    type Output = G;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<G> {
        let turn = &mut *self;
        if let Some(taken) = turn.try_take() {
            return Poll::Ready(taken);
        }
        turn.number = Some(turn.queue.join(turn.number, context.waker()));
        // The waker may have let go of the lock when it was cloned, while this one was not there to be woken.
        turn.try_take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<G, F: Fn() -> Option<G>> Turn<'_, F> {
    fn try_take(&mut self) -> Option<G> {
        if !self.queue.is_first(self.number) {
            return None;
        }
        let taken = (self.take)()?;
        if let Some(number) = self.number.take() {
            // The next may read, too.
            self.queue.leave(number);
        }
        Some(taken)
    }
}

impl<F> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.queue.leave(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls once, with a waker of its own; whether it is ready, and its wakes.
    fn poll<F: Future>(future: Pin<&mut F>) -> (Option<F::Output>, Arc<Wakes>) {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        match future.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => (Some(output), wakes),
            Poll::Pending => (None, wakes),
        }
    }

    fn woken(wakes: &Wakes) -> bool {
        wakes.0.load(Ordering::Relaxed) > 0
    }

    thread_local! {
        static SHARED: LocalLock<u32> = const {
            LocalLock {
                value: RefCell::new(0),
                queue: Queue { waiting: RefCell::new(VecDeque::new()), next: Cell::new(0) },
            }
        };
    }

    /// Comes back to the lock when it is dropped.
    struct ComesBack(Arc<AtomicUsize>);

    impl Wake for ComesBack {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for ComesBack {
        fn drop(&mut self) {
            SHARED.with(|lock| {
                let mut late = Box::pin(lock.write());
                let _ = late.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            });
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_may_come_back_to_the_lock_when_it_is_dropped() {
        let times = Arc::new(AtomicUsize::new(0));
        let came = || times.load(Ordering::Relaxed);
        let waker = || Waker::from(Arc::new(ComesBack(Arc::clone(&times))));
        SHARED.with(|lock| {
            let writing = lock.try_write().expect("free");
            let mut first = Box::pin(lock.write());
            let mut second = Box::pin(lock.read());
            assert!(first.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
            assert!(second.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
            assert_eq!(came(), 0, "they are kept");
            assert!(first.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
            let replaced = came();
            assert!(replaced > 0, "one is kept in the place of another");
            drop(second);
            assert!(came() > replaced, "the second leaves");
            assert!(first.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
            drop(writing);
            assert!(first.as_mut().poll(&mut Context::from_waker(&waker())).is_ready());
            assert!(lock.try_write().is_some(), "nobody is left");
        });
    }

    /// As a waker may that is cloned to join.
    #[test]
    fn who_joins_when_the_lock_was_let_go_of_just_now_takes_it() {
        let lock = LocalLock::new(0);
        let writing = RefCell::new(lock.try_write());
        let take = || {
            let taken = lock.borrow();
            drop(writing.take());
            taken
        };
        let mut late = pin!(Turn { queue: &lock.queue, number: None, take });
        let (taken, wakes) = poll(late.as_mut());
        assert!(taken.is_some() || woken(&wakes), "it waits, and nobody has the lock");
        drop(taken);
        assert!(lock.try_write().is_some(), "nobody is left");
    }

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let lock = LocalLock::new(1);
        let (one, other) = (lock.try_read().expect("free"), lock.try_read().expect("read only"));
        assert_eq!((*one, *other), (1, 1));
        assert!(lock.try_write().is_none());
        drop((one, other));
        let mut writer = lock.try_write().expect("free again");
        *writer += 1;
        assert!(lock.try_read().is_none() && lock.try_write().is_none());
        drop(writer);
        assert_eq!(*lock.try_read().expect("free again"), 2);
    }

    #[test]
    fn nobody_passes_a_writer_that_waits() {
        let lock = LocalLock::new(0);
        let reading = lock.try_read().expect("free");
        let (mut writer, mut late) = (pin!(lock.write()), pin!(lock.read()));
        let (none, writer_wakes) = poll(writer.as_mut());
        assert!(none.is_none());
        assert!(lock.try_read().is_none(), "the writer came before");
        let (none, late_wakes) = poll(late.as_mut());
        assert!(none.is_none() && !woken(&writer_wakes));
        drop(reading);
        assert!(woken(&writer_wakes) && !woken(&late_wakes));
        assert!(poll(late.as_mut()).0.is_none(), "it is the writer's turn");
        let writing = poll(writer.as_mut()).0.expect("its turn");
        let (none, late_wakes) = poll(late.as_mut());
        assert!(none.is_none());
        drop(writing);
        assert!(woken(&late_wakes));
        assert!(poll(late.as_mut()).0.is_some());
        assert!(lock.try_write().is_some(), "nobody is left");
    }

    #[test]
    fn one_reader_lets_the_next_in() {
        let lock = LocalLock::new(0);
        let writing = lock.try_write().expect("free");
        let (mut first, mut second) = (pin!(lock.read()), pin!(lock.read()));
        let (_, first_wakes) = poll(first.as_mut());
        let (_, second_wakes) = poll(second.as_mut());
        drop(writing);
        assert!(woken(&first_wakes) && !woken(&second_wakes));
        let _reading = poll(first.as_mut()).0.expect("its turn");
        assert!(woken(&second_wakes));
        assert!(poll(second.as_mut()).0.is_some());
    }

    #[test]
    fn who_stops_waiting_does_not_keep_the_next_from_its_turn() {
        let lock = LocalLock::new(0);
        let reading = lock.try_read().expect("free");
        let mut writer = Box::pin(lock.write());
        let (_, writer_wakes) = poll(writer.as_mut());
        let mut late = pin!(lock.read());
        let (_, late_wakes) = poll(late.as_mut());
        drop(writer);
        assert!(woken(&late_wakes), "nothing keeps it any more");
        assert!(poll(late.as_mut()).0.is_some());
        drop(reading);
        assert!(!woken(&writer_wakes));

        // One that was woken, and is dropped before it takes the lock.
        let writing = lock.try_write().expect("free");
        let mut first = Box::pin(lock.write());
        let (_, first_wakes) = poll(first.as_mut());
        let mut second = pin!(lock.write());
        let (_, second_wakes) = poll(second.as_mut());
        drop(writing);
        assert!(woken(&first_wakes) && !woken(&second_wakes));
        drop(first);
        assert!(woken(&second_wakes));
        assert!(poll(second.as_mut()).0.is_some());
    }
}
