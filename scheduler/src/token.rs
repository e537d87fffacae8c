//! Who may place: one owner at a time, for whom nobody ever waits.
//!
//! The state of workers, leases, queues and mailboxes has one owner: whoever has the *token*. A thread with
//! an event takes the token if it is free and applies the event itself; that is two exchanges, and no event
//! is stored. If somebody else has the token, the thread leaves the event in the inbox, marks the token, and
//! goes away: the owner applies it before it gives the token back. So nobody blocks, nobody spins, and no
//! system call is made. That one thread does the work of those that come meanwhile is the idea of flat combining
//! (Hendler, Incze, Shavit and Tzafrir, 2010), but that nobody waits here for what he left to be done.
//!
//! # States of the word
//! - *free*: nobody owns the state, and the inbox holds no event whose sender has marked the token.
//! - *held*: its owner applies what it came with.
//! - *marked*: held, and the owner has to look into the inbox before it can let go.
//!
//! # No event is stranded
//! A sender pushes its event (1) and then exchanges the word (2): free → held, which makes it the owner, or
//! held/marked → marked. An owner that lets go exchanges held → free (3), and fails if it is marked; then it
//! exchanges marked → held (4), takes the inbox (5), and tries again. All of (2), (3) and (4) are
//! read-modify-writes of one word, so they have one order. If (2) found the word held or marked, then the (3)
//! that frees it comes after a (4) that comes after (2), and (5) sees (1): the mark is written with Release
//! and taken with Acquire. This holds for marked → marked, too: a mere load of a marked word could be a load
//! of an old mark whose (4) and (5) have gone by.
//!
//! # Order
//! Events of one thread are applied in the order in which it came with them: those it left are in the inbox
//! in order, and it can only become the owner itself after the word was free, when all it marked were taken.
//!
//! # Ending
//! There is nothing to end: an owner that is done lets go, and the inbox drops what is left with it.

use std::{
    cell::UnsafeCell,
    sync::mpsc::{SyncSender, sync_channel},
};

use rustyray_memory::sync::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::inbox::{Inbox, Taken};

const FREE: u32 = 0;
const HELD: u32 = 1;
const MARKED: u32 = 2;

/// A state with one owner at a time, and what is left for it.
pub struct Token<T, E> {
    word: AtomicU32,
    inbox: Inbox<E>,
    state: UnsafeCell<T>,
}

// SAFETY: `state` is only reached through an `Owner`, and the word admits one at a time: `enter` and
// `knock` make one only by exchanging free for held, it ends by exchanging held for free, and `hand_over` ends
// it for the one that `visit` makes.
unsafe impl<T: Send, E: Send> Sync for Token<T, E> {}

impl<T, E> Token<T, E> {
    /// A state that nobody owns yet.
    pub fn new(state: T) -> Self {
        Token { word: AtomicU32::new(FREE), inbox: Inbox::new(), state: UnsafeCell::new(state) }
    }

    /// Takes the token if it is free.
    #[inline]
    #[must_use]
    pub fn enter(&self) -> Option<Owner<'_, T, E>> {
        // Acquire: pairs with the Release of `let_go`; what the last owner did is visible.
        let entered = self.word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok();
        entered.then(|| Owner { token: self })
    }

    /// Leaves an event for the owner. Who is answered an owner is the owner, and has to look into the inbox.
    #[must_use]
    pub fn leave(&self, event: E) -> Option<Owner<'_, T, E>> {
        self.inbox.push(event);
        self.knock()
    }

    /// Leaves an event without telling anybody: the caller calls [`Token::knock`] later.
    pub fn leave_quietly(&self, event: E) {
        self.inbox.push(event);
    }

    /// Sees to it that what is in the inbox is looked at, by the owner that there is or by the caller.
    #[must_use]
    pub fn knock(&self) -> Option<Owner<'_, T, E>> {
        let mut seen = self.word.load(Relaxed);
        loop {
            let (next, owner) = if seen == FREE { (HELD, true) } else { (MARKED, false) };
            // Acquire: as in `enter`. Release: pairs with the Acquire of `look_again`; the events that the
            // caller has left are visible to who takes the mark.
            match self.word.compare_exchange_weak(seen, next, AcqRel, Relaxed) {
                Ok(_) => return owner.then(|| Owner { token: self }),
                Err(now) => seen = now,
            }
        }
    }

    /// Waits to be the owner: for questions off the hot path. Whoever has the token hands it over, so the
    /// wait is as long as that one's turn. Never to be called by who has the token.
    pub fn visit(&self, event: impl FnOnce(Visitor) -> E) -> Owner<'_, T, E> {
        if let Some(owner) = self.enter() {
            return owner;
        }
        let (door, opened) = sync_channel(1);
        if let Some(owner) = self.leave(event(Visitor { token: self.address(), door })) {
            // The visitor in the inbox finds nobody at its door and is passed over.
            return owner;
        }
        match opened.recv() {
            // Only `hand_over` sends, it sends for this token, and it gives up its owner by that: this one is
            // the same. The channel makes its effects visible.
            Ok(()) => Owner { token: self },
            Err(_) => unreachable!("a visitor is kept until it is let in"),
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether events were left that nobody has taken, as of a moment ago.
    #[inline]
    pub fn has_mail(&self) -> bool {
        !self.inbox.is_empty()
    }
}

impl<T, E> std::fmt::Debug for Token<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = self.word.load(Relaxed);
        f.debug_struct("Token").field("word", &word).field("inbox", &self.inbox).finish()
    }
}

/// The owner of the state. It ends by [`Owner::let_go`] or [`Owner::hand_over`]. One that is dropped, as by a panic,
/// gives the token back without looking into the inbox: the next owner finds what is there.
#[must_use]
pub struct Owner<'a, T, E> {
    token: &'a Token<T, E>,
}

impl<T, E> std::fmt::Debug for Owner<'_, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Owner")
    }
}

impl<'a, T, E> Owner<'a, T, E> {
    /// The state.
    #[inline]
    pub fn state(&mut self) -> &mut T {
        // SAFETY: there is one `Owner` at a time, see the `Sync` of `Token`; `&mut self` makes the borrow the
        // only one that it gave out.
        unsafe { &mut *self.token.state.get() }
    }

    /// Gives the token back; when events were left in the meantime the caller keeps it, and takes them.
    #[inline]
    pub fn let_go(self) -> Result<(), Self> {
        // Release: pairs with the Acquire of `enter` and `knock`.
        let freed = self.token.word.compare_exchange(HELD, FREE, Release, Relaxed).is_ok();
        if freed {
            std::mem::forget(self);
            return Ok(());
        }
        Err(self)
    }

    /// Takes what was left, oldest first.
    pub fn look_again(&mut self) -> Taken<E> {
        // Acquire: pairs with the Release of `knock`; the events whose mark this takes are visible. The inbox
        // is emptied after that, so an event that comes later comes with a mark that is still to be taken.
        self.token.word.swap(HELD, Acquire);
        self.token.inbox.take()
    }

    /// Makes a waiting visitor the owner. Answers the caller, who keeps the token, when the visitor does not
    /// wait any more.
    pub fn hand_over(self, visitor: &Visitor) -> Result<(), Self> {
        if visitor.token != self.token.address() || visitor.door.send(()).is_err() {
            return Err(self);
        }
        // It is the visitor's now.
        std::mem::forget(self);
        Ok(())
    }
}

impl<T, E> Drop for Owner<'_, T, E> {
    fn drop(&mut self) {
        // Release: as in `let_go`. A mark that is lost by this is a sender's whose event the next owner takes, who
        // comes with the next event: better late than never.
        self.token.word.swap(FREE, Release);
    }
}

/// A thread that waits to be made the owner, as it stands in the inbox.
#[derive(Debug)]
pub struct Visitor {
    token: usize,
    door: SyncSender<()>,
}
