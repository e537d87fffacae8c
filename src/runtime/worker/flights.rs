//! The calls of an actor that wait in the middle of their futures.
//!
//! Each has a *berth*, whose waker it is polled with. A call is polled once in the next free berth before anything
//! is kept of it, and most are done then; one that waits takes the berth and is polled again when its waker was
//! woken. So what a turn of the main thread costs does not depend on how many calls wait.
//!
//! A berth and its waker are used again. A waker that outlives its call wakes the one that has the berth by then,
//! which is polled once in vain.
//!
//! # No wake is lost
//! A waker raises the berth's mark before it puts the berth on the list, and only who raised it does; the main
//! thread takes the berth off the list and then the mark down, before it polls. A wake that finds the mark up
//! happened before that poll, which therefore sees what the waker's owner did; one that comes later puts the berth
//! on the list again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use crossbeam::queue::SegQueue;

/// See the module; `C` is what is kept of a call.
pub(super) struct Flights<C> {
    berths: Vec<Berth<C>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
}

struct Berth<C> {
    waker: Waker,
    due: Arc<Due>,
    call: Option<Box<C>>,
}

/// The berths whose wakers were woken.
struct Woken {
    berths: SegQueue<usize>,
    thread: Waker,
}

/// Whether a berth is on the list.
struct Due {
    berth: usize,
    is_listed: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Due {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: a release for the swap in `Flights::next_woken`, also by way of a wake that finds the mark up.
        if !self.is_listed.swap(true, Ordering::AcqRel) {
            self.woken.berths.push(self.berth);
            self.woken.thread.wake_by_ref();
        }
    }
}

impl<C> Flights<C> {
    /// None yet; `thread` wakes the one that polls.
    pub(super) fn new(thread: Waker) -> Flights<C> {
        let woken = Woken { berths: SegQueue::new(), thread };
        Flights { berths: Vec::new(), free: Vec::new(), woken: Arc::new(woken) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.berths.len()
    }

    /// A berth in which no call is, and its waker.
    pub(super) fn free_berth(&mut self) -> (usize, &Waker) {
        let berth = match self.free.last() {
            Some(&berth) => berth,
            None => {
                let berth = self.berths.len();
                let woken = Arc::clone(&self.woken);
                let due = Arc::new(Due { berth, is_listed: AtomicBool::new(false), woken });
                let waker = Waker::from(Arc::clone(&due));
                self.berths.push(Berth { waker, due, call: None });
                self.free.push(berth);
                berth
            }
        };
        (berth, &self.berths[berth].waker)
    }

    /// The call waits: it takes the berth in which it was polled.
    pub(super) fn keep(&mut self, berth: usize, call: Box<C>) {
        if self.free.last() == Some(&berth) {
            self.free.pop();
        }
        self.berths[berth].call = Some(call);
    }

    /// How many berths are on the list.
    pub(super) fn woken(&self) -> usize {
        self.woken.berths.len()
    }

    /// The next berth on the list and the call in it, which is to be polled and then kept or ended.
    pub(super) fn next_woken(&mut self) -> Option<(usize, Box<C>)> {
        loop {
            let berth = self.woken.berths.pop()?;
            // Acquire: pairs with the release in `wake_by_ref`; what the waker did is visible to the poll.
            self.berths[berth].due.is_listed.swap(false, Ordering::Acquire);
            if let Some(call) = self.berths[berth].call.take() {
                return Some((berth, call));
            }
        }
    }

    /// A call that meets the condition, as [`Flights::next_woken`] gives one.
    pub(super) fn find(&mut self, condition: impl Fn(&C) -> bool) -> Option<(usize, Box<C>)> {
        let meets = |berth: &mut Berth<C>| berth.call.take_if(|call| condition(call));
        let mut berths = self.berths.iter_mut().enumerate();
        berths.find_map(|(at, berth)| Some((at, meets(berth)?)))
    }

    /// The waker of a berth.
    pub(super) fn waker(&self, berth: usize) -> &Waker {
        &self.berths[berth].waker
    }

    /// The call that was in the berth has ended.
    pub(super) fn end(&mut self, berth: usize) {
        self.free.push(berth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Thread(AtomicBool);

    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_berth_is_listed_once_for_all_wakes_before_its_turn() {
        let thread = Arc::new(Thread::default());
        let mut flights = Flights::<()>::new(Waker::from(Arc::clone(&thread)));
        let (berth, waker) = flights.free_berth();
        let waker = waker.clone();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(thread.0.load(Ordering::Relaxed), "the thread that polls was woken");
        assert_eq!(flights.woken(), 1);
        // Nobody is in the berth: there is nothing to be polled, and the next wake counts again.
        assert!(flights.next_woken().is_none());
        waker.wake();
        assert_eq!((flights.woken(), flights.free_berth().0), (1, berth));
    }

    #[test]
    fn who_waits_keeps_the_berth_until_the_call_has_ended() {
        let mut flights = Flights::new(Waker::noop().clone());
        assert!(flights.is_empty());
        let (first, _) = flights.free_berth();
        flights.keep(first, Box::new(6));
        let (second, _) = flights.free_berth();
        assert_ne!(first, second);
        flights.keep(second, Box::new(7));
        flights.waker(second).wake_by_ref();
        flights.waker(first).wake_by_ref();
        let (at, waiting) = flights.next_woken().expect("two were woken");
        assert_eq!((at, *waiting), (second, 7), "in the order of the wakes");
        flights.keep(at, waiting);
        let (at, ended) = flights.next_woken().expect("the other one");
        assert_eq!((at, *ended), (first, 6));
        flights.end(at);
        assert!(!flights.is_empty());
        assert_eq!(flights.free_berth().0, first);
        assert!(flights.find(|&call| call == 6).is_none());
        let (at, _) = flights.find(|&call| call == 7).expect("it waits");
        flights.end(at);
        assert!(flights.is_empty() && flights.next_woken().is_none());
    }
}
