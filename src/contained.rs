//! What belongs to user code and is dropped by the runtime: its drop may panic, and the panic goes no further.
//!
//! Where a call runs, a panic is caught and becomes its error. But much that is the user's is dropped elsewhere: the
//! future of a call that is cancelled, with all that its code had; an argument of a call that never began; an actor
//! at its end; and what a panic came with. There a panic would unwind through the runtime's own code: end the
//! process, or a thread that still had to say what became of a call. It is said by the panic hook, and nobody else is
//! to hear of it: what these belonged to has its outcome already.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::runtime::{current, worker::end_if_forked};

/// Runs user code whose panics are nobody's.
pub(crate) fn contain(code: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code)) {
        discard(payload);
    }
}

/// Drops what a panic came with, whose drop may panic in turn, with something whose drop may panic: that is leaked.
#[cold]
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(worse);
    }
}

/// Owns something of the user's, or nothing any more, in a process that runs calls.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) const fn new(value: T) -> Contained<T> {
        Contained(Some(value))
    }

    /// Owns nothing.
    pub(crate) const fn none() -> Contained<T> {
        Contained(None)
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }

    /// Gives it up, to who runs user code and catches its panics.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Contained<T> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        fn drop_contained<T>(value: T) {
            contain(|| drop(value));
            // Its drop may have forked.
            let _ = current::peek(|core| end_if_forked(core));
        }
        if let Some(value) = self.0.take() {
            drop_contained(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    /// Panics with another one in its drop.
    struct Spiteful;

    impl Drop for Spiteful {
        fn drop(&mut self) {
            panic_any(Spiteful);
        }
    }

    #[test]
    fn nothing_gets_out_of_a_drop_that_panics() {
        drop(Contained::new(Spiteful));
        contain(|| panic_any(Spiteful));
        discard(Box::new(Spiteful));
    }

    #[test]
    fn who_takes_it_drops_it() {
        let mut contained = Contained::new(Spiteful);
        assert!(contained.get().is_some() && contained.get_mut().is_some());
        let taken = contained.take();
        assert!(contained.get().is_none());
        drop(contained);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(taken))).map_err(std::mem::forget).is_err());
        drop(Contained::<Spiteful>::none());
    }
}
