//! Whether the machine has a processor to spare.
//!
//! `SCHED_IDLE` lets a thread run when no other wants its processor, and that is not enough where what it does is
//! done by the kernel in steps that nobody interrupts: two processes that answer each other within a microsecond leave a
//! processor alone for a moment now and then, and one of them then waits for milliseconds to have it back. So it is
//! looked how much time the processors had nothing to do with, over a while.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::unistd::{SysconfVar, sysconf};

/// Over what time it is looked, and for how long it is then taken to stay so. The system counts by hundredths of a second.
const WHILE: Duration = Duration::from_millis(50);

/// For how long it is waited for a spare processor, where something is to be done at last.
const LONGEST: Duration = Duration::from_secs(1);

/// Looks now and then.
#[derive(Debug)]
pub(crate) struct Quiet {
    /// The last look: when, and for how long the processors had nothing to do until then.
    looked: Option<(Instant, Duration)>,
    waiting_since: Option<Instant>,
    until: Option<Instant>,
}

impl Quiet {
    pub(crate) fn new() -> Quiet {
        Quiet { looked: None, waiting_since: None, until: None }
    }

    /// How long to wait before asking again; `None` when it is quiet, or has been waited for for long enough.
    pub(crate) fn wait(&mut self) -> Option<Duration> {
        // A system that does not tell has nobody waiting for it.
        idle_time().and_then(|idle| self.wait_at(Instant::now(), idle))
    }

    fn wait_at(&mut self, now: Instant, idle: Duration) -> Option<Duration> {
        if self.until.is_some_and(|until| now < until) {
            return None;
        }
        let since = *self.waiting_since.get_or_insert(now);
        let was_quiet = match self.looked {
            Some((at, _)) if now < at + WHILE => return Some(at + WHILE - now),
            Some((at, then)) => idle.saturating_sub(then) >= (now - at) / 2,
            None => false,
        };
        if was_quiet || now >= since + LONGEST {
            let until = was_quiet.then(|| now + WHILE);
            *self = Quiet { looked: Some((now, idle)), waiting_since: None, until };
            return None;
        }
        self.looked = Some((now, idle));
        Some(WHILE)
    }
}

/// For how long all processors together have had nothing to do.
fn idle_time() -> Option<Duration> {
    let ticks = idle_ticks(&fs::read_to_string("/proc/stat").ok()?)?;
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(1000).checked_div(per_second)?))
}

/// The fourth number of the first line, and what waits for disks besides (proc_stat(5)).
fn idle_ticks(stat: &str) -> Option<u64> {
    let mut numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().skip(3);
    let mut next = || numbers.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_machine_is_quiet_when_a_processor_had_nothing_to_do_for_half_of_a_while() {
        let (mut quiet, start, idle) = (Quiet::new(), Instant::now(), Duration::from_secs(3));
        assert_eq!(quiet.wait_at(start, idle), Some(50 * MS), "nothing is known yet");
        assert_eq!(quiet.wait_at(start + 20 * MS, idle + 20 * MS), Some(30 * MS));
        assert_eq!(quiet.wait_at(start + 50 * MS, idle + 20 * MS), Some(50 * MS), "busy");
        assert_eq!(quiet.wait_at(start + 100 * MS, idle + 50 * MS), None, "quiet");
        assert_eq!(quiet.wait_at(start + 140 * MS, idle + 50 * MS), None, "and still");
        assert_eq!(quiet.wait_at(start + 150 * MS, idle + 90 * MS), None, "it was, meanwhile");
        assert_eq!(quiet.wait_at(start + 200 * MS, idle + 90 * MS), Some(50 * MS), "not any more");
    }

    #[test]
    fn on_a_machine_that_is_always_busy_it_gets_a_step_now_and_then() {
        let (mut quiet, start) = (Quiet::new(), Instant::now());
        let steps = (0..4000).filter(|&ms| {
            ms % 50 == 0 && quiet.wait_at(start + ms * MS, Duration::from_secs(3)).is_none()
        });
        assert_eq!(steps.collect::<Vec<_>>(), [1000, 2050, 3100]);
    }

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "cpu  6612699 2590379 1403619 2741901 23705 0 13774 17696 0 0\ncpu0 1 2 3 4 5\n";
        assert_eq!(idle_ticks(stat), Some(2_741_901 + 23_705));
        assert_eq!(idle_ticks("intr 1 2 3 4 5 6"), None);
        assert_eq!(idle_ticks(""), None);
        assert!(idle_time().is_some(), "this one tells");
    }
}
