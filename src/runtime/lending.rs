//! References that are taken all at once for a value that is being read, and handed to each reference in it.
//!
//! Who reads a value with thousands of references would take each by itself, which is most of the work. In the node's
//! process the store takes them together ([`Loan`]); while the value is read, on this thread, each reference in it
//! finds the one that was taken for it. What is read in another order, or twice, takes one by itself as ever; what is
//! not read is given back at the end.

use std::cell::RefCell;

use rustyray_store::{Loan, ObjectId, Pin};

use super::current::Key;

thread_local! {
    /// What was taken for the value that this thread reads, and of which runtime it is.
    static LENT: RefCell<Option<(Key, Loan)>> = const { RefCell::new(None) };
}

/// Reads the value behind `pin`, an object of `runtime`.
#[inline]
pub(crate) fn reading<R>(runtime: Key, pin: &Pin, read: impl FnOnce() -> R) -> R {
    match pin.lend() {
        Some(loan) => {
            let _scope = Scope::enter(runtime, loan);
            read()
        }
        None => read(),
    }
}

/// The runtime of the object, when a reference to it was taken for who asks: he has it from here on.
#[inline]
pub(crate) fn take(id: ObjectId) -> Option<Key> {
    LENT.with(|lent| match &mut *lent.borrow_mut() {
        Some((runtime, loan)) => loan.take(id).then_some(*runtime),
        None => None,
    })
}

/// While it lives, references of this thread are handed out of its loan.
struct Scope {
    /// Of the value that this thread was reading already.
    outer: Option<(Key, Loan)>,
}

impl Scope {
    fn enter(runtime: Key, loan: Loan) -> Scope {
        Scope { outer: LENT.replace(Some((runtime, loan))) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // What is left of it ends outside the borrow.
        drop(LENT.replace(self.outer.take()));
    }
}
