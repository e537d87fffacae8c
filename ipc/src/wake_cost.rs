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
    },
};

/// What is assumed when nothing could be measured in time.
const ASSUMED: Duration = Duration::from_micros(25);
const ROUNDS: usize = 9;
/// The turn of nobody: the partner ends.
const OVER: u64 = u64::MAX;
const TIME_LIMIT: Duration = Duration::from_micros(800);

/// Measures the cost of one wakeup by a few rounds of ping-pong between two sleeping threads. Takes
/// less than a millisecond: what has not come by then is not waited for.
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
    let mut rounds = Vec::with_capacity(ROUNDS);
    while rounds.len() < ROUNDS {
        let round = Instant::now();
        let asked = 2 * rounds.len() as u64 + 1;
        turn.store(asked, Release);
        futex::wake_all(&turn);
        while turn.load(Acquire) == asked {
            let Some(left) = TIME_LIMIT.checked_sub(start.elapsed()) else { break };
            let _ = futex::wait(&turn, asked as u32, Some(left));
        }
        if turn.load(Acquire) == asked {
            break;
        }
        rounds.push(round.elapsed());
    }
    // Detached: the partner sees this at its next look, and owns what it looks at.
    turn.store(OVER, Release);
    futex::wake_all(&turn);
    // The first round contains the start of the partner.
    let mut rounds = rounds.split_off(rounds.len().min(1));
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).map_or(ASSUMED, |&round| round / 2)
}

fn answer(turn: &AtomicU64) {
    loop {
        let seen = turn.load(Acquire);
        if seen == OVER {
            return;
        }
        if seen.is_multiple_of(2) {
            let _ = futex::wait(turn, seen as u32, None);
        } else if turn.compare_exchange(seen, seen + 1, Release, Acquire).is_ok() {
            futex::wake_all(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_costs_something() {
        assert!(measure() > Duration::ZERO);
    }
}
