//! Events left for the owner of the token: any thread pushes, the owner takes all there are, oldest first.
//!
//! A Treiber stack ("Systems programming: coping with parallelism", 1986) that is only ever emptied as a whole, so there
//! is nothing to be mistaken about between reading the head and replacing it: a node that came back with the same
//! address is a head like any other. The owner turns the taken chain round. An event costs an allocation, and is only left when somebody else has the
//! token at that moment.

use std::ptr;

use rustyray_memory::sync::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

struct Node<E> {
    event: E,
    below: *mut Node<E>,
}

/// See the module.
pub struct Inbox<E> {
    head: AtomicPtr<Node<E>>,
}

// SAFETY: a node is reached by one thread at a time (who pushes it, then who took it with a swap), so sharing
// an inbox only moves events between threads.
unsafe impl<E: Send> Send for Inbox<E> {}
// SAFETY: as above.
unsafe impl<E: Send> Sync for Inbox<E> {}

impl<E> Inbox<E> {
    /// An empty inbox.
    pub fn new() -> Self {
        Inbox { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Leaves an event.
    pub fn push(&self, event: E) {
        let node = Box::into_raw(Box::new(Node { event, below: ptr::null_mut() }));
        let mut seen = self.head.load(Relaxed);
        loop {
            // SAFETY: `node` came from a box just now, and nobody else knows it before the exchange below.
            unsafe { (*node).below = seen };
            // Release: pairs with the Acquire of `take`; the node is whole.
            match self.head.compare_exchange_weak(seen, node, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Whether there was nothing a moment ago.
    pub fn is_empty(&self) -> bool {
        self.head.load(Relaxed).is_null()
    }

    /// Takes all that is there, and gives it oldest first.
    pub fn take(&self) -> Taken<E> {
        // Acquire: pairs with the Release of every `push` in the chain (each is a read-modify-write of the
        // head, so they form one release sequence).
        let mut top = self.head.swap(ptr::null_mut(), Acquire);
        let mut oldest = ptr::null_mut::<Node<E>>();
        while !top.is_null() {
            // SAFETY: the swap made the chain ours alone; `top` is a node of it that was never freed.
            let below = unsafe { (*top).below };
            // SAFETY: as above.
            unsafe { (*top).below = oldest };
            oldest = top;
            top = below;
        }
        Taken { next: oldest }
    }
}

impl<E> Default for Inbox<E> {
    fn default() -> Self {
        Inbox::new()
    }
}

impl<E> Drop for Inbox<E> {
    fn drop(&mut self) {
        self.take().for_each(drop);
    }
}

impl<E> std::fmt::Debug for Inbox<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox(empty: {})", self.is_empty())
    }
}

/// What was taken; the rest is dropped with it.
pub struct Taken<E> {
    next: *mut Node<E>,
}

impl<E> std::fmt::Debug for Taken<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Taken(empty: {})", self.next.is_null())
    }
}

impl<E> Iterator for Taken<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: the chain is ours alone, its nodes came from boxes, and `next` moves past each at once.
        let node = unsafe { Box::from_raw(self.next) };
        self.next = node.below;
        Some(node.event)
    }
}

impl<E> Drop for Taken<E> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
