//! What it costs on this machine, now, to wake a sleeping thread: the yardstick of patience.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustyray_memory::{
    futex,
    sync::{
        AtomicU64,
        Ordering::{Acquire, Release},
        spin_loop,
    },
};

/// What is assumed when nothing could be measured in time.
const ASSUMED: Duration = Duration::from_micros(50);
const LEAST: Duration = Duration::from_micros(30);
const MOST: Duration = Duration::from_micros(100);
const ROUNDS: usize = 3;
/// The turn of nobody: the partner ends.
const OVER: u64 = u64::MAX;
const TIME_LIMIT: Duration = Duration::from_millis(1);
/// For how long the partner is left alone: a core that has been idle for less may still be looking for work, and a thread
/// is woken there within a few microseconds (Linux's haltpoll looks for 50 to 200).
const REST: Duration = Duration::from_micros(150);
/// The kind of sleeper that the partner is.
const PARTNER: u32 = 1;

/// Measures the cost of one wakeup by waking a partner a few times and watching for its answer. Takes about a
/// millisecond: what has not come by then is not waited for.
pub(crate) fn measure() -> Duration {
    let start = Instant::now();
    let turn = Arc::new(AtomicU64::new(0));
    let partner = thread::Builder::new().name("rustyray-calib".into()).spawn({
        let turn = Arc::clone(&turn);
        move || answer(&turn)
    });
    if partner.is_err() {
        return ASSUMED;
    }
    let mut rounds = rounds(&turn, start + TIME_LIMIT);
    // Detached: the partner sees this at its next look, and owns what it looks at.
    turn.store(OVER, Release);
    futex::wake_all(&turn);
    rounds.sort_unstable();
    within_reason(rounds.get(rounds.len() / 2).copied().unwrap_or(ASSUMED))
}

/// What a wakeup may be taken to cost. Who was woken within a few microseconds had not slept for as long as those do that are
/// waited for, and who took longer had to wait for its core.
pub(crate) fn within_reason(cost: Duration) -> Duration {
    cost.clamp(LEAST, MOST)
}

/// How long the answers took of a partner that was asleep.
fn rounds(turn: &AtomicU64, until: Instant) -> Vec<Duration> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    let mut asked = 1;
    while rounds.len() < ROUNDS && Instant::now() < until {
        let rested = Instant::now() + REST;
        while Instant::now() < rested {
            spin_loop();
        }
        let asking = Instant::now();
        turn.store(asked, Release);
        let slept = futex::wake(PARTNER, turn) > 0;
        while turn.load(Acquire) == asked {
            if Instant::now() >= until {
                // It takes so long at least.
                rounds.extend(slept.then(|| asking.elapsed()));
                return rounds;
            }
            spin_loop();
        }
        // Who was awake tells nothing of waking: it may not have lain down yet, or have been woken for no reason.
        rounds.extend(slept.then(|| asking.elapsed()));
        asked += 2;
    }
    rounds
}

fn answer(turn: &AtomicU64) {
    loop {
        let seen = turn.load(Acquire);
        if seen == OVER {
            return;
        }
        if seen.is_multiple_of(2) {
            let _ = futex::wait_as(PARTNER, turn, seen as u32, None);
        } else {
            // It may be over by now.
            let _ = turn.compare_exchange(seen, seen + 1, Release, Acquire);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_costs_something() {
        let turn = Arc::new(AtomicU64::new(0));
        let partner = thread::spawn({
            let turn = Arc::clone(&turn);
            move || answer(&turn)
        });
        let rounds = rounds(&turn, Instant::now() + Duration::from_secs(60));
        turn.store(OVER, Release);
        futex::wake_all(&turn);
        partner.join().expect("no panic");
        assert_eq!(rounds.len(), ROUNDS);
        // It was in the kernel and back.
        assert!(rounds.iter().all(|&round| round > Duration::from_micros(1)), "{rounds:?}");
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        assert_eq!(within_reason(Duration::ZERO), LEAST);
        assert_eq!(within_reason(Duration::from_secs(1)), MOST);
        assert_eq!(within_reason(2 * LEAST), 2 * LEAST);
    }

    /// Who was not asleep is answered within a few hundred nanoseconds, which is no measure of a wakeup.
    #[test]
    fn a_partner_that_is_awake_is_not_counted() {
        let turn = Arc::new(AtomicU64::new(0));
        let awake = thread::spawn({
            let turn = Arc::clone(&turn);
            move || {
                while turn.load(Acquire) != OVER {
                    let seen = turn.load(Acquire);
                    if !seen.is_multiple_of(2) {
                        let _ = turn.compare_exchange(seen, seen + 1, Release, Acquire);
                    }
                    thread::yield_now();
                }
            }
        });
        let rounds = rounds(&turn, Instant::now() + Duration::from_millis(20));
        turn.store(OVER, Release);
        awake.join().expect("no panic");
        assert_eq!(rounds, [], "nobody slept");
    }
}
