//! One doorbell per process: how a process sleeps until there is something for it.
//!
//! The bell carries no payload, only "look again" at everything it stands for (rings, bitmaps, cells).
//! Threads of the owning process do one of three things with it:
//! - *attend*: awake, and looking at everything the bell stands for, again and again. While anybody
//!   attends, ringing costs the ringer a fence and a load, no system call.
//! - *sleep*: in the kernel until somebody rings. An attendant that goes to sleep is a *helper*: woken, it
//!   attends again, so it alone need be woken. A *deputy* ([`Bell::sleep`]) stands in where no helper
//!   sleeps: it is woken only then, and a process whose threads wait by themselves leaves it in peace. A
//!   thread *aside* ([`Bell::sleep_aside`]) sees to nothing but its own affair.
//!
//!   What a helper or a thread aside waits for is one of the things that the bell stands for: an attendant
//!   that sees it come while they sleep [passes it on](Bell::pass_on).
//! - neither: running code of its own.
//!
//! # The shared word
//! Bit 0 is the flag *ring me*; bit 1 is *missed*: somebody meant to ring while the flag was down; the bits above count
//! rings. The low 32 bits are the futex word, so every ring and every change of the flag keeps a thread that was about
//! to sleep awake.
//!
//! It is an event count (Reed and Kanodia, 1979) between processes: who means to sleep notes the count, looks, and
//! sleeps only as long as the count is as noted. The flag spares ringers the system call, and its fences are those of
//! Dekker's mutual exclusion: each side writes, fences, and reads what the other writes.
//!
//! Beside it lies a hint, on which core the last ringer ran that woke somebody: who is woken there shares the core with it,
//! and may [go apart](crate::apart).
//!
//! # Protocol
//! - *Publish and ring* (anybody): publish; fence; if the flag is up, take it down and count one ring
//!   by one compare-and-swap; who succeeds wakes the helpers that sleep, and all sleepers if the kernel
//!   says that there was no helper. Who finds it down sets *missed*, unless it is set.
//! - *Attend*: join the [roster](crate::roster); the first takes the flag down.
//! - *Leave*: leave the roster; whoever leaves nobody attending but somebody asleep puts the flag up and takes
//!   *missed* down, in one step; if it was up, fences and looks once more at everything.
//! - *Sleep*: note the word; join the roster as a sleeper; if nobody attends, put the flag up, take *missed* down
//!   unless aside, and note the word as it is then; fence; look once more; sleep while the word is as noted; leave the
//!   roster, a helper by attending again.
//! - *Pass on* (an attendant that saw what others wait for): count one ring; fence; wake the helpers and
//!   those aside, if the roster says that there are any.
//!
//! # No entry is left unseen
//! Take a publication, and the ringer's fence F after it.
//! 1. *The ringer took the flag down.* It counts a ring: those about to sleep find that the word has
//!    changed, and look again. If the kernel counts no helper, all in the kernel are woken and look. If it
//!    counts one, that helper returns as an attendant, looks at everything, and leaves or sleeps only by
//!    case 2: so those that sleep on lose nothing, though the flag is down.
//! 2. *The ringer found it down* (at its last look, perhaps because another ringer was faster), and it
//!    goes up later. The ringer set *missed*, or found it set. If it set it, the step that puts the flag up finds it,
//!    and that thread looks after it has acquired the publication by it. If it found it set, take the step that takes
//!    down the mark that it saw: it puts the flag up, and its thread fences (call it G) and looks once more. F and G
//!    are SeqCst, so one comes first: if F, the look after G sees the publication; if G, the ringer would have found
//!    the flag up. Forbidden is that both miss. Who goes to sleep looks whether the mark was set or not, and a thread
//!    aside, which does not look at everything, leaves the mark to the attendant that is leaving.
//! 3. *It found it down and nobody puts it up.* Then somebody attends, or nobody sleeps, or a faster
//!    ringer is waking sleepers, who look. An attendant looks again before it leaves, and the last one to
//!    leave while others sleep is case 2. Who is awake either does not wait, or goes to sleep later,
//!    which is case 2 or finds an attendant.
//!
//! *A sleeper never sleeps on a stale word.* It notes the word before it joins the roster. If it finds
//! an attendant there, the last attendant to leave finds the sleeper in the same roster word, hence puts
//! the flag up after the note was taken: the word differs from the note unless the flag was up in the
//! note already; in both cases the sleeper sleeps only under a raised flag or not at all. If it finds no
//! attendant, it takes the note by the very operation that puts the flag up.
//!
//! *A flag is never taken down while it is needed.* Only ringers and first attendants take it down.
//! A first attendant has joined the roster before, and leaves after: if it is the last to leave, or the
//! last leaves later, the flag goes up after it went down (the roster's transitions order the two). A
//! flag that is up although somebody attends is possible for a moment; it costs one needless ring.
//!
//! # Crashes
//! A ringer that dies between taking the flag down and waking leaves sleepers that later ringers take to
//! be awake. Whoever reaps a dead process therefore [kicks](Ringer::kick) every surviving bell once,
//! whatever its flag. One that is only *stopped* there, by a debugger or a signal, does the same to them until it goes
//! on, and nobody reaps it: so somebody [looks after](Ringer::look_after) every bell at times. Where all sleep the flag
//! is up, but for a ringer that is about to wake; one that stays down with a word that does not change is of an owner
//! who is busy, to whom a kick is nothing, or of one that is asleep and was not woken. The owner's death needs nothing:
//! the next owner of the memory starts from a zeroed word, or from any other.

use std::{fmt, time::Duration};

use nix::sched::sched_getcpu;
use rustyray_memory::{
    LINE_WORDS, Memory,
    futex::{self, Wakeup},
    sync::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
        fence,
    },
};

use crate::roster::{Present, Roster};

/// Words of memory that one bell takes: one cache line, zeroed at first.
pub const BELL_WORDS: usize = LINE_WORDS;

const RING_ME: u64 = 1;
const MISSED: u64 = 2;
const ONE_RING: u64 = 4;

/// Which word says where the last ringer ran that woke somebody: a hint.
const CORE: usize = 1;

/// Kinds of sleepers, as the futex tells them apart.
const HELPER: u32 = 1;
const DEPUTY: u32 = 2;
const ASIDE: u32 = 4;

/// How putting the flag up left the word.
struct Raised {
    word: u64,
    /// Somebody meant to ring since it was put up last.
    was_missed: bool,
}

/// The shared word, and everything that is ever done to it.
#[derive(Debug)]
struct Flag<'a>(&'a AtomicU64);

impl<'a> Flag<'a> {
    #[inline]
    fn of(span: &'a impl Memory) -> Self {
        Flag(span.word(0))
    }

    /// The word as it is, for a sleeper who finds somebody attending.
    #[inline]
    fn note(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Up, by who looks at one affair only: what was missed is still to be looked for. Gives the word as it is then.
    #[inline]
    fn transition_to_raised_aside(&self) -> u64 {
        // AcqRel: as for `transition_to_raised`.
        self.0.fetch_or(RING_ME, AcqRel) | RING_ME
    }

    /// Up, and nothing missed from now on: by who looks at everything after that.
    #[inline]
    fn transition_to_raised(&self) -> Raised {
        let mut seen = self.0.load(Relaxed);
        loop {
            let word = (seen | RING_ME) & !MISSED;
            // AcqRel: pairs with `transition_to_rung`, whose publication the caller sees if it was before.
            match self.0.compare_exchange_weak(seen, word, AcqRel, Relaxed) {
                Ok(_) => return Raised { word, was_missed: seen & MISSED != 0 },
                Err(now) => seen = now,
            }
        }
    }

    /// Down, because somebody attends.
    #[inline]
    fn transition_to_attended(&self) {
        // A flag that goes up right after the load belongs to somebody who raised it too late; it
        // costs one needless ring.
        if self.0.load(Relaxed) & RING_ME != 0 {
            self.0.fetch_and(!RING_ME, AcqRel);
        }
    }

    /// Down and one ring more, if it was up; otherwise missed. Whether the caller has to wake the sleepers.
    #[inline]
    #[must_use]
    fn transition_to_rung(&self) -> bool {
        let mut seen = self.0.load(Relaxed);
        loop {
            let rings = seen & RING_ME != 0;
            if !rings && seen & MISSED != 0 {
                return false;
            }
            let rung = if rings { (seen & !RING_ME).wrapping_add(ONE_RING) } else { seen | MISSED };
            // AcqRel: pairs with `transition_to_raised`.
            match self.0.compare_exchange_weak(seen, rung, AcqRel, Relaxed) {
                Ok(_) => return rings,
                Err(now) => seen = now,
            }
        }
    }

    /// One ring more, whatever the flag.
    fn count_ring(&self) {
        // AcqRel: pairs with `transition_to_raised` and `note`.
        self.0.fetch_add(ONE_RING, AcqRel);
    }
}

fn ring(span: &impl Memory) {
    // SeqCst: partner of the fences in `Attendant::leave` and `Bell::sleep_as`; forbids that the flag
    // is read before what the caller published becomes visible.
    fence(SeqCst);
    if Flag::of(span).transition_to_rung() {
        span.word(CORE).store(this_core(), Relaxed);
        if futex::wake(HELPER, span.word(0)) == 0 {
            futex::wake_all(span.word(0));
        }
    }
}

/// The core that this thread runs on, from 1 on; 0 where that cannot be told.
fn this_core() -> u64 {
    sched_getcpu().map_or(0, |core| core as u64 + 1)
}

/// The end of another process's bell that anybody may pull.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use rustyray_ipc::{BELL_WORDS, Bell, Ringer, Slept};
/// use rustyray_memory::Heap;
///
/// let memory = Arc::new(Heap::new(BELL_WORDS));
/// let bell = Bell::new(Arc::clone(&memory));
/// let ringer = Ringer::new(memory); // in another process
///
/// // What is published and rung while the owner falls asleep keeps it awake.
/// let slept = bell.sleep(|| { ringer.ring(); false }, None);
/// assert_eq!(slept, Slept::Woken);
///
/// // Of a process that died: it may have died while it rang.
/// let slept = bell.sleep(|| { ringer.kick(); false }, None);
/// assert_eq!(slept, Slept::Woken);
/// ```
pub struct Ringer<M> {
    span: M,
}

impl<M: Memory> Ringer<M> {
    /// The bell in `span`, whose owner is another process.
    ///
    /// # Panics
    /// When `span` has fewer than [`BELL_WORDS`] words.
    pub fn new(span: M) -> Self {
        check(&span);
        Ringer { span }
    }

    /// Makes the owner look at what was published before this call. No system call unless somebody of
    /// the owner sleeps and nobody attends.
    #[inline]
    pub fn ring(&self) {
        ring(&self.span);
    }

    /// Kicks a bell whose flag is down, and whose word is what the last look at it gave, a good while before: who took the
    /// flag down may have been stopped before it woke anybody. Gives what to bring to the next look.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use rustyray_ipc::{BELL_WORDS, Bell, Ringer, Slept};
    /// # use rustyray_memory::Heap;
    /// # let memory = Arc::new(Heap::new(BELL_WORDS));
    /// # let (bell, ringer) = (Bell::new(Arc::clone(&memory)), Ringer::new(memory));
    /// // Of an owner who sleeps, and was not rung for.
    /// let slept = bell.sleep(|| { assert_eq!(ringer.look_after(None), None); true }, None);
    /// assert_eq!(slept, Slept::Recheck);
    /// // Whoever attends keeps the flag down; it is kicked in vain.
    /// let attendant = bell.attend();
    /// let seen = ringer.look_after(None);
    /// assert!(seen.is_some() && ringer.look_after(seen) != seen);
    /// # drop(attendant);
    /// ```
    #[must_use = "two looks tell what one cannot"]
    pub fn look_after(&self, last: Option<u64>) -> Option<u64> {
        let seen = Flag::of(&self.span).note();
        if seen & RING_ME != 0 {
            return None;
        }
        if last == Some(seen) {
            self.kick();
            return None;
        }
        Some(seen)
    }

    /// Wakes the owner's sleepers unconditionally: for the reaper of a dead process, which may have
    /// taken the flag down and died before it woke anybody.
    pub fn kick(&self) {
        Flag::of(&self.span).count_ring();
        futex::wake_all(self.span.word(0));
    }
}

/// The owning process's end. There must be exactly one for each bell, shared by the process's threads.
///
/// # Examples
/// ```
/// use std::{sync::{Arc, atomic::{AtomicU64, Ordering::{Acquire, Release}}}, thread};
/// use rustyray_ipc::{BELL_WORDS, Bell, Leave};
/// use rustyray_memory::Heap;
///
/// let bell = Arc::new(Bell::new(Heap::new(BELL_WORDS)));
/// let published = Arc::new(AtomicU64::new(0)); // all that this bell stands for
/// let deputy = {
///     let (bell, published) = (Arc::clone(&bell), Arc::clone(&published));
///     thread::spawn(move || {
///         while published.load(Acquire) < 2 {
///             // Looks once more, after it has said that it sleeps.
///             let _ = bell.sleep(|| published.load(Acquire) >= 2, None);
///         }
///     })
/// };
///
/// // While somebody attends, a ring wakes nobody: the attendant sees to it.
/// let attendant = bell.attend();
/// assert!(bell.is_attended());
/// published.store(1, Release);
/// bell.ring();
/// assert_eq!(published.load(Acquire), 1, "what it looks at, again and again");
/// if attendant.leave() == Leave::MustRecheck {
///     // Somebody sleeps, and nobody was rung for what came before this moment.
///     assert_eq!(published.load(Acquire), 1);
/// }
///
/// published.store(2, Release);
/// bell.ring();
/// deputy.join().expect("no panic");
/// assert!(!bell.is_attended());
/// ```
///
/// A thread that waits for an affair of its own, and what an attendant owes it:
/// ```
/// use std::{sync::{Arc, atomic::{AtomicBool, Ordering::{Acquire, Release}}}, thread};
/// use rustyray_ipc::{BELL_WORDS, Bell};
/// use rustyray_memory::Heap;
///
/// let bell = Arc::new(Bell::new(Heap::new(BELL_WORDS)));
/// let answered = Arc::new(AtomicBool::new(false));
/// let waiter = {
///     let (bell, answered) = (Arc::clone(&bell), Arc::clone(&answered));
///     thread::spawn(move || {
///         while !answered.load(Acquire) {
///             let _ = bell.sleep_aside(|| answered.load(Acquire), None);
///         }
///     })
/// };
/// while !bell.is_waited_on() {
///     thread::yield_now();
/// }
/// let attendant = bell.attend();
/// answered.store(true, Release); // it sees the answer come
/// bell.pass_on(); // or `wake_local`, which wakes every sleeper of the process
/// waiter.join().expect("no panic");
/// # bell.wake_local();
/// # drop(attendant);
/// ```
pub struct Bell<M> {
    span: M,
    roster: Roster,
}

/// Why [`Bell::sleep`] returned.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rustyray_ipc::{BELL_WORDS, Bell, Slept};
/// use rustyray_memory::Heap;
///
/// let bell = Bell::new(Heap::new(BELL_WORDS));
/// assert_eq!(bell.sleep(|| true, None), Slept::Recheck);
/// // Nobody rings.
/// while bell.sleep(|| false, Some(Duration::from_millis(1))) != Slept::TimedOut {}
/// ```
#[must_use]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Slept {
    /// Not at all: the recheck found something.
    Recheck,
    /// Until somebody rang, or for no reason: look again.
    Woken,
    /// Until the time was up. Look again all the same.
    TimedOut,
}

/// What a leaving attendant owes.
///
/// # Examples
/// ```
/// use rustyray_ipc::{BELL_WORDS, Bell, Leave};
/// use rustyray_memory::Heap;
///
/// let bell = Bell::new(Heap::new(BELL_WORDS));
/// let (one, other) = (bell.attend(), bell.attend());
/// assert_eq!(one.leave(), Leave::StillAttended);
/// assert_eq!(other.leave(), Leave::NobodySleeps);
/// ```
#[must_use]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Leave {
    /// Nothing: others attend.
    StillAttended,
    /// Nothing: nobody sleeps, and whoever goes to sleep looks before.
    NobodySleeps,
    /// Nothing: somebody sleeps, but nobody meant to ring while it would have rung nobody.
    NothingMissed,
    /// A last look at everything the bell stands for: what was published before this moment rang
    /// nobody. What it finds it must see to, or [`Bell::wake_local`].
    MustRecheck,
}

impl<M: Memory> Bell<M> {
    /// The bell in `span`, owned by this process.
    ///
    /// # Panics
    /// When `span` has fewer than [`BELL_WORDS`] words.
    pub fn new(span: M) -> Self {
        check(&span);
        Bell { span, roster: Roster::new() }
    }

    /// Declares that this thread is awake and will look at everything the bell stands for, again and
    /// again, until it leaves. Short: a thread that attends and does not look keeps its process deaf.
    #[inline]
    pub fn attend(&self) -> Attendant<'_, M> {
        self.attended(self.roster.transition_to_attending())
    }

    /// The caller has joined those who attend: the first of them takes the flag down.
    #[inline]
    fn attended(&self, present: Present) -> Attendant<'_, M> {
        if present.attendants == 1 {
            self.flag().transition_to_attended();
        }
        Attendant { bell: self }
    }

    /// Whether any thread of this process attends just now.
    #[inline]
    pub fn is_attended(&self) -> bool {
        self.roster.present().attendants > 0
    }

    /// As [`Ringer::ring`], from a thread of the owning process.
    #[inline]
    pub fn ring(&self) {
        ring(&self.span);
    }

    /// Whether a thread sleeps that waits for an affair of its own: an attendant looks for it, too.
    #[inline]
    pub fn is_waited_on(&self) -> bool {
        self.roster.present().waiters() > 0
    }

    /// Wakes the helpers and those aside that sleep, whoever attends: for an attendant that saw something
    /// come that one of them may wait for. A system call only if one sleeps.
    pub fn pass_on(&self) {
        if self.announce_locally().waiters() > 0 {
            futex::wake(HELPER | ASIDE, self.span.word(0));
        }
    }

    /// Wakes every sleeper of this process, whoever attends: for something that concerns one sleeper
    /// and that no attendant sees to. A system call only if somebody sleeps.
    pub fn wake_local(&self) {
        if self.announce_locally().sleepers > 0 {
            futex::wake_all(self.span.word(0));
        }
    }

    /// Keeps those awake who are about to sleep; says who is asleep already.
    fn announce_locally(&self) -> Present {
        self.flag().count_ring();
        // SeqCst: partner of the fence in `sleep_as`; forbids that this misses the sleeper in the
        // roster while the sleeper's recheck misses what the caller did, or saw, before this call.
        fence(SeqCst);
        self.roster.present()
    }

    /// Sleeps until somebody rings and no helper sleeps, or `timeout` has passed, unless `recheck` finds
    /// something first.
    ///
    /// `recheck` looks at everything the bell stands for; it runs after the caller's sleep has been
    /// announced, at most once. Returns for no reason at times: the caller looks again and comes back.
    pub fn sleep(&self, recheck: impl FnMut() -> bool, timeout: Option<Duration>) -> Slept {
        let _asleep = Asleep(self, Roster::transition_from_deputizing);
        let (noted, present) = self.note(Roster::transition_to_deputizing);
        self.sleep_as(DEPUTY, noted, present, recheck, timeout)
    }

    /// As [`Bell::sleep`], for a thread that waits for one affair of its own, and looks at nothing else.
    /// Before, it has made known what that is, so that attendants [pass it on](Bell::pass_on).
    pub fn sleep_aside(&self, recheck: impl FnMut() -> bool, timeout: Option<Duration>) -> Slept {
        let _asleep = Asleep(self, Roster::transition_from_sleeping);
        let (noted, present) = self.note(Roster::transition_to_sleeping);
        self.sleep_as(ASIDE, noted, present, recheck, timeout)
    }

    /// Notes the word, then joins the roster, in this order.
    fn note(&self, join: impl FnOnce(&Roster) -> Present) -> (u64, Present) {
        let noted = self.flag().note();
        (noted, join(&self.roster))
    }

    /// The caller is on the roster, and leaves it afterwards.
    fn sleep_as(
        &self,
        kind: u32,
        mut noted: u64,
        present: Present,
        mut recheck: impl FnMut() -> bool,
        timeout: Option<Duration>,
    ) -> Slept {
        if present.attendants == 0 {
            noted = match kind {
                ASIDE => self.flag().transition_to_raised_aside(),
                _ => self.flag().transition_to_raised().word,
            };
        }
        // SeqCst: partner of the fences in `ring` and `wake_local`; forbids that the recheck comes
        // before the announcement.
        fence(SeqCst);
        if recheck() {
            return Slept::Recheck;
        }
        match futex::wait_as(kind, self.span.word(0), noted as u32, timeout) {
            Wakeup::Woken | Wakeup::Changed => Slept::Woken,
            Wakeup::TimedOut => Slept::TimedOut,
        }
    }

    /// Whether the last who woke somebody by this bell ran on the core that this thread runs on now.
    pub(crate) fn was_rung_nearby(&self) -> bool {
        let here = this_core();
        here != 0 && self.span.word(CORE).load(Relaxed) == here
    }

    #[inline]
    fn leave(&self) -> Leave {
        let present = self.roster.transition_from_attending();
        if present.attendants > 0 {
            return Leave::StillAttended;
        }
        if present.sleepers == 0 {
            return Leave::NobodySleeps;
        }
        if !self.flag().transition_to_raised().was_missed {
            return Leave::NothingMissed;
        }
        // SeqCst: partner of the fence in `ring`; forbids that the caller's last look comes before
        // the flag is up.
        fence(SeqCst);
        Leave::MustRecheck
    }

    fn flag(&self) -> Flag<'_> {
        Flag::of(&self.span)
    }
}

/// Takes a sleeper off the roster. When its recheck panics it leaves the look it owes to the others.
struct Asleep<'a, M: Memory>(&'a Bell<M>, fn(&Roster) -> Present);

impl<M: Memory> Drop for Asleep<'_, M> {
    fn drop(&mut self) {
        let Asleep(bell, leave) = self;
        let _ = leave(&bell.roster);
        if std::thread::panicking() {
            bell.wake_local();
        }
    }
}

/// How a helper's sleep ended.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rustyray_ipc::{BELL_WORDS, Bell, Napped};
/// use rustyray_memory::Heap;
///
/// let bell = Bell::new(Heap::new(BELL_WORDS));
/// let mut attendant = bell.attend();
/// loop {
///     // Looks at everything that the bell stands for; there is nothing. Then:
///     match attendant.sleep(|| false, Some(Duration::from_millis(1))) {
///         Napped::Woken(again) => attendant = again,
///         Napped::Recheck => unreachable!("the recheck finds nothing here"),
///         Napped::TimedOut => break,
///     }
/// }
/// assert!(!bell.is_attended(), "who is not woken attends no more");
/// ```
#[must_use]
#[derive(Debug)]
pub enum Napped<'a, M: Memory> {
    /// It did not sleep: the recheck found something.
    Recheck,
    /// Somebody rang, or nobody did: it attends again, and looks at everything the bell stands for.
    Woken(Attendant<'a, M>),
    /// The time is up. Look again all the same.
    TimedOut,
}

/// A thread that attends. Dropping it (while unwinding, say) leaves, and wakes the sleepers if
/// somebody has to look.
///
/// # Examples
/// ```
/// use rustyray_ipc::{BELL_WORDS, Bell, Leave, Napped};
/// use rustyray_memory::Heap;
///
/// let bell = Bell::new(Heap::new(BELL_WORDS));
/// let attendant = bell.attend();
/// // What came in the meantime keeps it from sleeping; it attends no more.
/// assert!(matches!(attendant.sleep(|| true, None), Napped::Recheck));
///
/// let attendant = bell.attend();
/// assert_eq!(attendant.leave(), Leave::NobodySleeps);
/// assert!(!bell.is_attended());
/// ```
#[must_use = "attending ends when this is dropped"]
pub struct Attendant<'a, M: Memory> {
    bell: &'a Bell<M>,
}

impl<'a, M: Memory> Attendant<'a, M> {
    /// Ends attending; says what is owed.
    #[inline]
    pub fn leave(self) -> Leave {
        let bell = self.bell;
        std::mem::forget(self);
        bell.leave()
    }

    /// Sleeps as a helper: until somebody rings or `timeout` has passed, unless `recheck` finds something
    /// first. `recheck` is as for [`Bell::sleep`].
    pub fn sleep(self, recheck: impl FnMut() -> bool, timeout: Option<Duration>) -> Napped<'a, M> {
        let bell = self.bell;
        std::mem::forget(self);
        let asleep = Asleep(bell, Roster::transition_from_sleeping);
        let (noted, present) = bell.note(Roster::transition_from_attending_to_sleeping);
        match bell.sleep_as(HELPER, noted, present, recheck, timeout) {
            Slept::Recheck => Napped::Recheck,
            Slept::TimedOut => Napped::TimedOut,
            Slept::Woken => {
                std::mem::forget(asleep);
                let present = bell.roster.transition_from_sleeping_to_attending();
                Napped::Woken(bell.attended(present))
            }
        }
    }
}

impl<M: Memory> Drop for Attendant<'_, M> {
    fn drop(&mut self) {
        if self.bell.leave() == Leave::MustRecheck {
            self.bell.wake_local();
        }
    }
}

fn check(span: &impl Memory) {
    assert!(
        span.len_words() >= BELL_WORDS,
        "a bell of {BELL_WORDS} words in a memory of {}",
        span.len_words()
    );
}

impl<M: Memory> fmt::Debug for Ringer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ringer").field("word", &self.span.word(0)).finish()
    }
}

impl<M: Memory> fmt::Debug for Bell<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("word", &self.span.word(0))
            .field("present", &self.roster.present())
            .finish()
    }
}

impl<M: Memory> fmt::Debug for Attendant<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attendant").field(self.bell).finish()
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use std::{sync::Arc, thread};

    use nix::{
        sched::{CpuSet, sched_getaffinity, sched_setaffinity},
        unistd::Pid,
    };
    use rustyray_memory::Heap;

    use super::*;

    #[test]
    fn who_looks_after_a_bell_wakes_for_a_ringer_that_is_stopped() {
        let memory = Arc::new(Heap::new(BELL_WORDS));
        let (bell, ringer) = (Bell::new(Arc::clone(&memory)), Ringer::new(Arc::clone(&memory)));
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| bell.sleep(|| false, Some(Duration::from_secs(60))));
            while ringer.look_after(None).is_some() {
                thread::yield_now();
            }
            // Asleep by then, most likely; if not it wakes by itself.
            thread::sleep(Duration::from_millis(100));
            // It goes no further than to this.
            assert!(Flag::of(&memory).transition_to_rung(), "the flag is up");
            ringer.ring();
            let seen = ringer.look_after(None);
            let _ = ringer.look_after(seen);
            assert_eq!(sleeper.join().expect("no panic"), Slept::Woken);
        });
    }

    /// Pins this thread to the `n`th core that it may use; whether there is such a one.
    fn pin(n: usize) -> bool {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).expect("cores");
        let core = (0..CpuSet::count()).filter(|&core| allowed.is_set(core) == Ok(true)).nth(n);
        let Some(core) = core else { return false };
        let mut only = CpuSet::new();
        only.set(core).expect("a core");
        sched_setaffinity(this, &only).expect("allowed");
        true
    }

    #[test]
    fn who_is_woken_can_tell_whether_the_ringer_is_on_the_same_core() {
        for there in [0, 1] {
            let memory = Arc::new(Heap::new(BELL_WORDS));
            let (bell, ringer) = (Bell::new(Arc::clone(&memory)), Ringer::new(memory));
            thread::scope(|scope| {
                let woken = scope.spawn(|| {
                    pin(0);
                    assert!(!bell.was_rung_nearby(), "nobody has rung");
                    while bell.sleep(|| false, Some(Duration::from_secs(60))) != Slept::Woken {}
                    bell.was_rung_nearby()
                });
                let rang = scope.spawn(|| {
                    let is_there = pin(there);
                    while ringer.look_after(None).is_some() {
                        thread::yield_now();
                    }
                    ringer.ring();
                    is_there
                });
                if rang.join().expect("no panic") {
                    assert_eq!(woken.join().expect("no panic"), there == 0);
                }
            });
        }
    }
}
