//! A note for who has a lock, left by somebody who does not wait for it.
//!
//! ```text
//! visitor: the lock is taken;  note;  fence(SeqCst);  try once more    (taken → leave)
//! holder:  let go of the lock;        fence(SeqCst);  look at the note (there → do what was missed)
//! ```
//! Whichever fence comes first, the visitor finds the lock free, or the holder finds the note. That both miss is what
//! the fences forbid: each side writes, fences, and reads what the other writes, as in Dekker's mutual exclusion. A
//! note too many costs a look.
//!
//! The threads are of one process: its death leaves nothing to be done.

use rustyray_memory::sync::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// A note for who has a lock, left by a visitor that does not wait for it: either the visitor's second try finds the
/// lock free, or its holder, who looks after letting go, finds the note. For threads of one process; every call is one
/// step that waits for nobody.
///
/// # Examples
/// ```
/// use std::sync::Mutex;
/// use rustyray_ipc::Missed;
///
/// let (lock, missed) = (Mutex::new(()), Missed::new());
/// let held = lock.lock();
/// // A visitor, which has something to do under the lock:
/// assert!(lock.try_lock().is_err());
/// missed.note();
/// assert!(lock.try_lock().is_err(), "it leaves");
/// // The holder:
/// drop(held);
/// assert!(missed.is_noted());
/// let _held = lock.lock();
/// missed.forget(); // before it does what the visitor would have done
/// assert!(!missed.is_noted());
/// ```
#[derive(Debug, Default)]
pub struct Missed(AtomicBool);

impl Missed {
    /// A note that is not there yet: nobody has come by.
    pub fn new() -> Missed {
        Missed(AtomicBool::new(false))
    }

    /// By a visitor that found the lock taken, and tries once more after this.
    pub fn note(&self) {
        // Release: pairs with the Acquire in `forget`; what the visitor came for is seen by who does it.
        self.0.store(true, Release);
        // SeqCst: partner of the fence in `is_noted`; forbids that the visitor finds the lock taken while its holder,
        // which has let go of it since, finds no note.
        fence(SeqCst);
    }

    /// By who has the lock, before it does what a visitor would have done.
    pub fn forget(&self) {
        // Acquire: pairs with the Release in `note`. An exchange, so that no note is taken back that was not read.
        if self.0.load(Relaxed) {
            self.0.swap(false, Acquire);
        }
    }

    /// Whether somebody has come by, asked after the lock was let go of.
    pub fn is_noted(&self) -> bool {
        // SeqCst: partner of the fence in `note`.
        fence(SeqCst);
        self.0.load(Relaxed)
    }
}
