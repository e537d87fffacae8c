//! A clock that all processes of a machine agree on, for times that are taken often and read seldom.
//!
//! There are two of them. The *counter* is the one that the processor has for this: the time-stamp counter of
//! x86-64, the virtual counter of AArch64. Reading it is one instruction, less than half of what the system's
//! clock takes, and gives *ticks* of whatever length. The *system's* clock is `CLOCK_MONOTONIC`, and its ticks are
//! nanoseconds.
//!
//! Whether the counters of all cores run together, at one speed and through every sleep, only the kernel
//! knows: it compares them when it starts and watches them from then on. So the counter is used where the
//! kernel itself tells the time by it, and nowhere else. One process decides, and tells the others which clock
//! it is ([`Clock::to_word`]).
//!
//! How long a tick is nobody needs to know while times are taken. Who reads them has a [`Scale`], which begins
//! before the first is taken, and goes on whenever somebody reads: then both clocks are looked at, and what was
//! between two looks is between what they showed.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Where the kernel says by what it tells the time.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// What times are taken by, agreed on by all processes of a machine: the processor's counter where the kernel itself
/// tells the time by it, the system's clock elsewhere.
///
/// # Examples
/// ```
/// use rustyray_memory::Clock;
///
/// // One process decides and tells the others, by a word that they share.
/// let word = Clock::best().to_word();
/// let theirs = Clock::from_word(word).expect("a clock");
/// let began = theirs.ticks();
/// assert!(Clock::best().ticks() >= began, "times of two processes can be compared");
/// assert_eq!(Clock::from_word(0), None, "nobody has decided yet");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    System,
    /// The processor's counter, where the kernel vouches for it, in ticks of whatever length.
    Counter,
}

impl Clock {
    /// The counter where the kernel tells the time by it, else the system's clock. Reads a file: one look for
    /// a whole machine of processes is enough.
    pub fn best() -> Clock {
        match std::fs::read_to_string(SOURCE) {
            Ok(source) if counter::SOURCE.is_some_and(|ours| ours == source.trim()) => {
                Clock::Counter
            }
            _ => Clock::System,
        }
    }

    /// A word that says which clock it is; never 0.
    pub fn to_word(self) -> u64 {
        match self {
            Clock::System => 1,
            Clock::Counter => 2,
        }
    }

    /// What [`Clock::to_word`] said; `None` for every other word.
    #[inline]
    pub fn from_word(word: u64) -> Option<Clock> {
        match word {
            1 => Some(Clock::System),
            2 => Some(Clock::Counter),
            _ => None,
        }
    }

    /// The time in ticks, which are of one length and count up. The counter is read as soon as the processor comes to
    /// it: that is not ordered against the loads and stores around it, by some tens of nanoseconds.
    #[inline]
    pub fn ticks(self) -> u64 {
        match self {
            Clock::System => system_ns(),
            Clock::Counter => counter::read(),
        }
    }
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    ticks: u64,
    ns: u64,
}

/// How often both clocks are looked at for a [`Moment`]: whoever was interrupted between the two looks again.
const LOOKS: usize = 8;

impl Moment {
    fn now(clock: Clock) -> Moment {
        let look = || {
            let (before, ns, after) = (clock.ticks(), system_ns(), clock.ticks());
            let between = after.saturating_sub(before);
            (between, Moment { ticks: before + between / 2, ns })
        };
        let best = (0..LOOKS).map(|_| look()).min_by_key(|&(between, _)| between);
        best.map_or(Moment { ticks: 0, ns: 0 }, |(_, moment)| moment)
    }
}

/// How many moments a scale remembers.
const MOMENTS: usize = 512;

/// What ticks are in nanoseconds of the system's clock: between any two moments at which both were looked at, as
/// many for each.
///
/// What it says of a tick before its last moment stays as it is when the scale goes on, but for a few nanoseconds
/// when it has so many that it forgets every other one.
///
/// # Examples
/// ```
/// use rustyray_memory::{Clock, Scale};
///
/// let clock = Clock::best();
/// let mut scale = Scale::new(clock);
/// let (began, ended) = (clock.ticks(), clock.ticks());
/// // … much later, if at all
/// scale.go_on();
/// assert!(scale.ns(began) <= scale.ns(ended));
/// ```
#[derive(Clone, Debug)]
pub struct Scale {
    clock: Clock,
    /// In order. The first is never forgotten.
    moments: Vec<Moment>,
}

impl Scale {
    /// A scale that begins now: of a tick before this it says 0.
    pub fn new(clock: Clock) -> Scale {
        Scale { clock, moments: vec![Moment::now(clock)] }
    }

    /// Goes on up to now: a look at both clocks, eight times over.
    pub fn go_on(&mut self) {
        self.add(Moment::now(self.clock));
    }

    fn add(&mut self, moment: Moment) {
        if self.moments.len() == MOMENTS {
            let mut at = 0;
            self.moments.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        if self.last().ticks < moment.ticks && self.last().ns <= moment.ns {
            self.moments.push(moment);
        }
    }

    fn last(&self) -> Moment {
        self.moments[self.moments.len() - 1]
    }

    /// When it was `ticks`, in nanoseconds since the scale began. What is later in ticks is not earlier in
    /// nanoseconds. A tick before the first moment, or after the last, counts as that one.
    pub fn ns(&self, ticks: u64) -> u64 {
        let first = self.moments[0];
        let at = self.moments.partition_point(|moment| moment.ticks <= ticks);
        let ns = match (at.checked_sub(1), self.moments.get(at)) {
            (None, _) => first.ns,
            (Some(_), None) => self.last().ns,
            (Some(before), Some(&to)) => {
                let from = self.moments[before];
                let part = u128::from(ticks - from.ticks) * u128::from(to.ns - from.ns);
                // A part of the time between the two, so it fits.
                from.ns + (part / u128::from(to.ticks - from.ticks)) as u64
            }
        };
        ns - first.ns
    }
}

fn system_ns() -> u64 {
    // It cannot fail: every Linux has this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| Duration::from(now).as_nanos() as u64)
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod counter {
    /// What the kernel calls it.
    pub(super) const SOURCE: Option<&str> = Some("tsc");

    #[inline]
    pub(super) fn read() -> u64 {
        // SAFETY: every x86-64 has the instruction. Where a process is forbidden to use it (`PR_SET_TSC`), it
        // ends by a signal, and does so in every `clock_gettime` as well, which is where this is used.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
mod counter {
    /// What the kernel calls it.
    pub(super) const SOURCE: Option<&str> = Some("arch_sys_counter");

    #[inline]
    pub(super) fn read() -> u64 {
        let ticks;
        // SAFETY: it copies a register that Linux lets every process read, and touches nothing else.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
        }
        ticks
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod counter {
    /// There is none that is known here.
    pub(super) const SOURCE: Option<&str> = None;

    pub(super) fn read() -> u64 {
        super::system_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKS: [Clock; 2] = [Clock::System, Clock::Counter];

    #[test]
    fn a_word_says_which_clock_it_is() {
        for clock in CLOCKS {
            assert_eq!(Clock::from_word(clock.to_word()), Some(clock));
            assert_ne!(clock.to_word(), 0);
        }
        for word in [0, 3, u64::MAX] {
            assert_eq!(Clock::from_word(word), None);
        }
    }

    #[test]
    fn time_goes_on_by_the_best_clock() {
        let clock = Clock::best();
        let mut before = clock.ticks();
        for _ in 0..1000 {
            let now = clock.ticks();
            assert!(now >= before, "{clock:?} went back from {before} to {now}");
            before = now;
        }
    }

    #[test]
    fn what_was_taken_by_the_best_clock_is_when_the_systems_says_it_was() {
        let clock = Clock::best();
        let mut scale = Scale::new(clock);
        let start_ns = scale.moments[0].ns;
        let taken: Vec<(u64, u64, u64)> = (0..20)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(5));
                (system_ns(), clock.ticks(), system_ns())
            })
            .collect();
        scale.go_on();
        let mut latest = 0;
        for (before, ticks, after) in taken {
            let ns = start_ns + scale.ns(ticks);
            assert!(ns > latest, "{ns} after {latest}");
            latest = ns;
            // Far less than what a wrong length of a tick comes to in a tenth of a second, far more than a moment
            // is off by.
            let slack = 1_000_000;
            assert!(
                before <= ns + slack && ns <= after + slack,
                "{ns} is not between {before} and {after}"
            );
        }
    }

    /// A scale with these moments.
    fn scale_of(moments: impl IntoIterator<Item = (u64, u64)>) -> Scale {
        let mut moments = moments.into_iter().map(|(ticks, ns)| Moment { ticks, ns });
        let first = moments.next().expect("a scale begins");
        let mut scale = Scale { clock: Clock::System, moments: vec![first] };
        moments.for_each(|moment| scale.add(moment));
        scale
    }

    #[test]
    fn a_scale_keeps_order_and_ends_at_its_ends() {
        let scale = scale_of([(1000, 70), (4000, 1070), (5000, 1080)]);
        let ticks = [0, 999, 1000, 1003, 2500, 3999, 4000, 4500, 5000, u64::MAX];
        let told = ticks.map(|ticks| scale.ns(ticks));
        assert_eq!(told, [0, 0, 0, 1, 500, 999, 1000, 1005, 1010, 1010]);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_ends_no_scale() {
        let scale = scale_of([(5, 9), (5, 10), (4, 11), (10, 8), (10, 19)]);
        assert_eq!([4, 5, 6, 10, 11].map(|ticks| scale.ns(ticks)), [0, 0, 2, 10, 10]);
        let all = scale_of([(0, 0), (u64::MAX, u64::MAX)]);
        assert_eq!(all.ns(u64::MAX - 1), u64::MAX - 1);
    }

    #[test]
    fn what_a_scale_said_stays_as_it_is_and_there_is_a_bound_to_what_it_remembers() {
        let moments = |upto: u64| (0..upto).map(|at| (at * 1000, at * 700 + at % 2));
        let (short, long) =
            (scale_of(moments(MOMENTS as u64)), scale_of(moments(MOMENTS as u64 * 10)));
        let longer = scale_of(moments(200));
        assert!((0..199_000).step_by(333).all(|ticks| longer.ns(ticks) == short.ns(ticks)));
        assert!(
            (0..511_000).step_by(333).all(|ticks| long.ns(ticks).abs_diff(short.ns(ticks)) <= 1)
        );
        assert!(long.moments.len() <= MOMENTS, "{} moments", long.moments.len());
        assert_eq!(long.ns(u64::MAX), (MOMENTS as u64 * 10 - 1) * 700 + 1);
    }
}
