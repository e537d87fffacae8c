//! How long to spin before sleeping, and the one way in which this workspace waits.
//!
//! A peer that runs answers within a microsecond; waking somebody who sleeps costs tens of them. So a
//! waiter looks, spins for a budget, and only then sleeps: who spins for as long as sleeping would cost loses at most
//! as much again, whatever comes (Karlin, Li, Manasse and Owicki, "Empirical studies of competitive spinning for a
//! shared-memory multiprocessor", 1991). The budget follows what waiting brings:
//! - an answer that came while spinning, or would have come had the waiter spun for a little longer,
//!   raises the budget, up to about twice the measured cost of a wakeup;
//! - an answer that took longer than any budget lowers it, down to a microsecond;
//! - signs of a [crowd](crate::crowding) bring it to nothing for a while: there handing the core over
//!   at once is what lets the peer answer. One sign is seen here: the answer came as soon as a waiter
//!   slept that had spun in vain for longer than a wakeup takes.
//!
//! The budget must be able to exceed the cost of a wakeup: of two that sleep after each message, each
//! would else give up spinning just before the other, still waking, answers.
//!
//! An idle process sleeps in the kernel and uses no time at all.

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rustyray_memory::{
    Memory,
    sync::{AtomicU64, Ordering::Relaxed, spin_loop},
};

use crate::{
    Attendant, Bell, Leave, Napped, Slept,
    crowding::{Crowding, HELD_UP, cores, involuntary_switches},
    wake_cost,
};

const FIRST_BUDGET_NS: u64 = 20_000;
const LEAST_BUDGET_NS: u64 = 1_000;
const MOST_BUDGET_NS: u64 = 200_000;

/// The clock costs as much as several looks, so it is read once in this many.
const LOOKS_PER_CLOCK: u32 = 16;

/// A spin that lasts longer than this is worth the system call that tells whether the core was taken away
/// meanwhile.
const LONG: Duration = Duration::from_micros(4);

/// How many steps a leaving waiter helps before it leaves the rest to a sleeper.
const LAST_STEPS: usize = 8;

/// One process's experience with waiting. Its words are hints: Relaxed throughout.
///
/// # Examples
/// ```
/// use std::{sync::Arc, thread, time::{Duration, Instant}};
/// use rustyray_ipc::{BELL_WORDS, Bell, Patience, Ringer};
/// use rustyray_memory::{Heap, Memory, Span, sync::Ordering::{Acquire, Release}};
///
/// let patience = Patience::new(Duration::from_micros(20), 2); // `calibrated` measures both
/// assert_eq!(patience.wake_cost(), Duration::from_micros(20));
/// assert!(patience.budget() <= 2 * patience.wake_cost());
/// let alone = Patience::new(Duration::from_micros(20), 1);
/// assert!(!alone.has_cores() && alone.budget() == Duration::ZERO);
///
/// let memory = Arc::new(Heap::new(BELL_WORDS + 1));
/// let bell = Bell::new(Span::new(Arc::clone(&memory), 0, BELL_WORDS));
/// let answer = || Some(memory.word(BELL_WORDS).load(Acquire)).filter(|&answer| answer != 0);
///
/// // Nobody answers: it gives up where it would sleep, or when the time is up.
/// assert_eq!(patience.wait_awake(&bell, answer, || false), None);
/// assert_eq!(patience.wait_awake_aside(answer), None);
/// let soon = Instant::now() + Duration::from_millis(1);
/// assert_eq!(patience.wait(&bell, Some(soon), answer, || false), None);
///
/// let answering = {
///     let memory = Arc::clone(&memory);
///     let ringer = Ringer::new(Span::new(Arc::clone(&memory), 0, BELL_WORDS));
///     thread::spawn(move || {
///         memory.word(BELL_WORDS).store(7, Release);
///         ringer.ring();
///     })
/// };
/// // It looks at nothing else, so it does not attend.
/// assert_eq!(patience.wait_aside(&bell, None, answer), Some(7));
/// # answering.join().expect("no panic");
/// ```
#[derive(Debug)]
pub struct Patience {
    wake_cost: Duration,
    spins: bool,
    ceiling_ns: u64,
    budget_ns: AtomicU64,
    crowding: Crowding,
}

/// How one spin ended.
enum Spun<R> {
    /// And whether it is worth to help once more.
    Found(R, bool),
    InVain,
    Deadline,
}

impl Patience {
    /// This process's patience, calibrated to the machine at the first call: that one takes about a
    /// millisecond.
    pub fn calibrated() -> &'static Patience {
        Patience::calibrated_by(wake_cost::measure)
    }

    /// The same, by what another process of this machine has measured: the more start at a time, the worse
    /// each can measure. It changes nothing where this process is calibrated already.
    pub fn calibrated_as(wake_cost: Duration) -> &'static Patience {
        Patience::calibrated_by(|| wake_cost::within_reason(wake_cost))
    }

    fn calibrated_by(wake_cost: impl FnOnce() -> Duration) -> &'static Patience {
        static PATIENCE: OnceLock<Patience> = OnceLock::new();
        PATIENCE.get_or_init(|| {
            let cores = cores().min(thread::available_parallelism().map_or(1, usize::from));
            Patience::new(wake_cost(), cores)
        })
    }

    /// Patience for a machine where waking somebody costs `wake_cost` and this process may use `cores`
    /// cores. With one core it never spins.
    pub fn new(wake_cost: Duration, cores: usize) -> Self {
        let twice_ns = u64::try_from(wake_cost.as_nanos() * 2).unwrap_or(u64::MAX);
        Patience {
            wake_cost,
            spins: cores > 1,
            ceiling_ns: twice_ns.clamp(FIRST_BUDGET_NS, MOST_BUDGET_NS),
            budget_ns: AtomicU64::new(FIRST_BUDGET_NS),
            crowding: Crowding::new(),
        }
    }

    /// Lets threads of this process that wait go to another core where they share theirs with the one who wakes them, and
    /// perhaps need not: for processes whose threads are not their user's to place. A thread may use the
    /// same cores afterwards, but for what another thread changes of that in the same 0.1 ms.
    pub fn let_go_apart(&self) {
        self.crowding.let_go_apart();
    }

    /// The cost of a wakeup that the budget is derived from.
    pub fn wake_cost(&self) -> Duration {
        self.wake_cost
    }

    /// Whether this process may use several cores, so that others can run while one spins.
    pub fn has_cores(&self) -> bool {
        self.spins
    }

    /// For how long a waiter would spin now.
    #[inline]
    pub fn budget(&self) -> Duration {
        if !self.spins || self.crowding.is_crowded() {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.budget_ns.load(Relaxed))
    }

    /// Waits until `poll` gives something, attending `bell` while awake; `None` when `deadline` has
    /// passed.
    ///
    /// `poll` looks for what the caller waits for. `help` looks at everything else that the bell stands
    /// for, in a bounded step, and tells whether there may be more; what helps here is work that would
    /// otherwise need a sleeper to be woken. Together they must see everything the bell stands for,
    /// because others are not woken meanwhile; what others of this process wait for `help`
    /// [passes on](Bell::pass_on). A thread that cannot promise that uses [`Patience::wait_aside`]. Both
    /// are called often, and must neither block nor attend.
    ///
    /// The thread blocks; from async code use it only where blocking is allowed.
    pub fn wait<M: Memory, R>(
        &self,
        bell: &Bell<M>,
        deadline: Option<Instant>,
        mut poll: impl FnMut() -> Option<R>,
        mut help: impl FnMut() -> bool,
    ) -> Option<R> {
        if let Some(found) = poll() {
            return Some(found);
        }
        let mut started = None;
        let mut attendant = bell.attend();
        let mut woken = false;
        loop {
            match self.spin(&mut started, deadline, &mut poll, &mut help) {
                Spun::Found(found, more) => {
                    if woken {
                        self.learn(started);
                    }
                    // As after a long spin, for who slept.
                    leave(attendant, bell, more || woken, &mut help);
                    return Some(found);
                }
                Spun::Deadline => {
                    leave(attendant, bell, true, &mut help);
                    return poll();
                }
                Spun::InVain => {}
            }
            let mut found = None;
            let mut more = false;
            // Shorter spins are in vain because the peer was still waking.
            let asleep_since = (self.budget() >= self.wake_cost).then(Instant::now);
            let napped = attendant.sleep(
                || {
                    more = help();
                    found = poll();
                    more || found.is_some()
                },
                left(deadline),
            );
            match napped {
                Napped::Recheck if found.is_some() => {
                    if more {
                        finish(bell, &mut help);
                    }
                    return found;
                }
                Napped::Recheck => attendant = bell.attend(),
                // Whoever rang may have woken nobody else: all is seen to before this thread leaves.
                Napped::Woken(again) => {
                    let at_once =
                        asleep_since.is_some_and(|since| since.elapsed() < self.wake_cost / 4);
                    self.crowding.woken(bell.was_rung_nearby(), at_once);
                    (attendant, woken) = (again, true);
                }
                Napped::TimedOut => return poll(),
            }
        }
    }

    /// The waking part of [`Patience::wait`]: looks for as long as it would spin, and gives up where it
    /// would go to sleep.
    #[inline]
    pub fn wait_awake<M: Memory, R>(
        &self,
        bell: &Bell<M>,
        mut poll: impl FnMut() -> Option<R>,
        mut help: impl FnMut() -> bool,
    ) -> Option<R> {
        let attendant = bell.attend();
        let spun = self.spin(&mut None, None, &mut poll, &mut help);
        let more = matches!(spun, Spun::Found(_, true));
        leave(attendant, bell, more, &mut help);
        match spun {
            Spun::Found(found, _) => Some(found),
            Spun::Deadline | Spun::InVain => None,
        }
    }

    /// The waking part of [`Patience::wait_aside`], as [`Patience::wait_awake`] is of [`Patience::wait`].
    #[inline]
    pub fn wait_awake_aside<R>(&self, mut poll: impl FnMut() -> Option<R>) -> Option<R> {
        match self.spin(&mut None, None, &mut poll, &mut || false) {
            Spun::Found(found, _) => Some(found),
            Spun::Deadline | Spun::InVain => None,
        }
    }

    /// As [`Patience::wait`], for a thread that looks at its own affair only: it does not attend, so
    /// whoever rings still wakes the threads that sleep on the bell. Who attends meanwhile must know of that
    /// affair, and pass it on.
    pub fn wait_aside<M: Memory, R>(
        &self,
        bell: &Bell<M>,
        deadline: Option<Instant>,
        mut poll: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let mut started = None;
        loop {
            match self.spin(&mut started, deadline, &mut poll, &mut || false) {
                Spun::Found(found, _) => return Some(found),
                Spun::Deadline => return poll(),
                Spun::InVain => {}
            }
            let mut found = None;
            let slept = bell.sleep_aside(
                || {
                    found = poll();
                    found.is_some()
                },
                left(deadline),
            );
            if found.is_none() && slept != Slept::Recheck {
                found = poll();
                if found.is_some() {
                    self.learn(started);
                }
            }
            if found.is_some() || slept == Slept::TimedOut {
                return found;
            }
        }
    }

    /// Looks at least once, and again for as long as the budget lasts or helping makes progress.
    #[inline]
    fn spin<R>(
        &self,
        started: &mut Option<Instant>,
        deadline: Option<Instant>,
        poll: &mut impl FnMut() -> Option<R>,
        help: &mut impl FnMut() -> bool,
    ) -> Spun<R> {
        let budget = self.budget();
        let mut looks = 0_u32;
        let mut spin_start = None;
        let mut last_clock: Option<Instant> = None;
        let mut switches = None;
        loop {
            let progress = help();
            if let Some(found) = poll() {
                if last_clock.is_some() {
                    self.caught();
                }
                // What comes right behind the answer needs nobody woken for it then; who was answered at once, and may
                // be again, takes it along the next time.
                let was_long = switches.is_some();
                return Spun::Found(found, progress || was_long);
            }
            if progress {
                // Things are moving, and seeing to them is no waste: start over.
                (spin_start, last_clock, switches) = (None, None, None);
            } else if budget.is_zero() {
                started.get_or_insert_with(Instant::now);
                return Spun::InVain;
            }
            looks += 1;
            if looks.is_multiple_of(LOOKS_PER_CLOCK) {
                let now = Instant::now();
                started.get_or_insert(now);
                let held_up = last_clock.is_some_and(|last| now - last > HELD_UP);
                if deadline.is_some_and(|deadline| now >= deadline) {
                    return Spun::Deadline;
                }
                let spun = now - *spin_start.get_or_insert(now);
                if spun >= budget || held_up {
                    self.crowding.look(held_up, switches);
                    return Spun::InVain;
                }
                if spun > LONG && switches.is_none() {
                    switches = Some(involuntary_switches());
                }
                last_clock = (!progress).then_some(now);
            }
            spin_loop();
        }
    }

    /// An answer came while spinning.
    fn caught(&self) {
        let budget = self.budget_ns.load(Relaxed);
        if budget < self.ceiling_ns {
            self.budget_ns.store((budget + budget / 8).min(self.ceiling_ns), Relaxed);
        }
    }

    /// An answer came after a sleep: would a longer spin have caught it?
    fn learn(&self, started: Option<Instant>) {
        let Some(started) = started else { return };
        let answered_after = started.elapsed().saturating_sub(self.wake_cost);
        let budget = self.budget_ns.load(Relaxed);
        let learnt = if answered_after.as_nanos() <= u128::from(self.ceiling_ns) {
            (budget * 2).min(self.ceiling_ns)
        } else {
            (budget - budget / 8).max(LEAST_BUDGET_NS)
        };
        self.budget_ns.store(learnt, Relaxed);
    }
}

/// Leaves, and takes a last look, where it is owed to those who meant to ring, or `more` is to be seen to.
#[inline]
fn leave<M: Memory>(
    attendant: Attendant<'_, M>,
    bell: &Bell<M>,
    more: bool,
    help: &mut impl FnMut() -> bool,
) {
    if attendant.leave() == Leave::MustRecheck || more {
        finish(bell, help);
    }
}

/// Helps until there is nothing more, or leaves what is too much to a sleeper.
fn finish<M: Memory>(bell: &Bell<M>, help: &mut impl FnMut() -> bool) {
    for _ in 0..LAST_STEPS {
        if !help() {
            return;
        }
    }
    bell.wake_local();
}

fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}
