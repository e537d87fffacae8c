//! How a row is measured: Ray's method, then the time of single operations where a row has them.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rustyray::Result;

use super::{report::Outcome, tally::Board, watch::Watch};

/// For how long things are measured. [`Ray's`](super) is 1 s of warming up and 4 trials of 2 s.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    pub(super) warm_up: Duration,
    pub(super) trials: u32,
    pub(super) trial: Duration,
    /// Which part of each row's work is done.
    pub(super) scale: f64,
}

/// What one operation of a row comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// How much it counts for, in the row's unit.
    pub(super) counts: f64,
    /// How many tasks and actor calls it makes, all told.
    pub(super) calls: u64,
}

/// What was measured of a row.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// The row's unit per second, one figure for each trial.
    pub(super) trials: Vec<f64>,
    /// The times of single operations in nanoseconds, sorted; empty where a row has none.
    pub(super) latencies_ns: Vec<u64>,
    pub(super) operations: u64,
    /// Calls that ran in other processes, and how many processes that were.
    pub(super) calls: u64,
    pub(super) processes: usize,
}

/// As many samples of single operations as are kept.
const MAX_SAMPLES: usize = 2_000_000;

/// Measures one row.
pub(super) struct Bencher<'a> {
    pace: &'a Pace,
    board: &'a Board,
    watch: &'a Watch,
    progress: &'a ProgressBar,
    one_call: bool,
    measured: Option<Result<Measured, String>>,
}

impl<'a> Bencher<'a> {
    pub(super) fn new(
        pace: &'a Pace,
        board: &'a Board,
        watch: &'a Watch,
        progress: &'a ProgressBar,
        one_call: bool,
    ) -> Self {
        Bencher { pace, board, watch, progress, one_call, measured: None }
    }

    /// How much of `whole` is to be done.
    pub(super) fn scaled(&self, whole: u32) -> u32 {
        ((f64::from(whole) * self.pace.scale) as u32).max(1)
    }

    /// What came of the row, whose code has ended with `ended`.
    pub(super) fn outcome(self, ended: Result<()>) -> Outcome {
        match (ended, self.measured) {
            (Err(error), _) => Outcome::Failed { reason: error.to_string() },
            (Ok(()), Some(Ok(measured))) => Outcome::Measured(measured),
            (Ok(()), Some(Err(reason))) => Outcome::Failed { reason },
            (Ok(()), None) => Outcome::Failed { reason: "the row measured nothing".to_owned() },
        }
    }

    /// Measures `operation`.
    pub(super) async fn measure(
        &mut self,
        work: Work,
        mut operation: impl AsyncFnMut() -> Result<()>,
    ) -> Result<()> {
        let before = self.board.read();
        let mut operations = 0_u64;

        let start = Instant::now();
        while operations == 0 || start.elapsed() < self.pace.warm_up {
            operation().await?;
            operations += 1;
            self.watch.moved();
        }
        self.progress.inc(1);

        // Few looks at the clock: a tenth of what the warm-up did lies between two of them.
        let scale = self.pace.trial.as_secs_f64() / self.pace.warm_up.as_secs_f64();
        let step = (operations as f64 * scale.min(1.0)) as u64 / 10 + 1;
        let mut trials = Vec::new();
        for _ in 0..self.pace.trials {
            let start = Instant::now();
            let mut done = 0_u64;
            let elapsed = loop {
                for _ in 0..step {
                    operation().await?;
                }
                done += step;
                self.watch.moved();
                let elapsed = start.elapsed();
                if elapsed >= self.pace.trial {
                    break elapsed;
                }
            };
            operations += done;
            trials.push(work.counts * done as f64 / elapsed.as_secs_f64());
            self.progress.inc(1);
        }

        let mut latencies_ns = Vec::new();
        if self.one_call {
            let start = Instant::now();
            let mut before = start;
            while latencies_ns.len() < MAX_SAMPLES && before - start < self.pace.trial {
                operation().await?;
                let after = Instant::now();
                latencies_ns.push((after - before).as_nanos() as u64);
                before = after;
            }
            operations += latencies_ns.len() as u64;
            self.watch.moved();
            latencies_ns.sort_unstable();
        }
        self.progress.inc(1);

        let checked = self.board.read().since(&before).and_then(|(calls, processes)| {
            let expected = operations * work.calls;
            if calls == expected {
                return Ok((calls, processes));
            }
            Err(format!("{operations} operations made {expected} calls, and {calls} ran elsewhere"))
        });
        self.measured = Some(checked.map(|(calls, processes)| Measured {
            trials,
            latencies_ns,
            operations,
            calls,
            processes,
        }));
        Ok(())
    }
}

impl Measured {
    pub(super) fn mean(&self) -> f64 {
        self.trials.iter().sum::<f64>() / self.trials.len() as f64
    }

    /// The standard deviation of the trials, as numpy's: of the whole population.
    pub(super) fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.trials.iter().map(|trial| (trial - mean).powi(2)).sum();
        (squares / self.trials.len() as f64).sqrt()
    }

    /// The time that `part` of the single operations did not exceed, in nanoseconds.
    pub(super) fn percentile_ns(&self, part: f64) -> Option<u64> {
        let last = self.latencies_ns.len().checked_sub(1)?;
        Some(self.latencies_ns[(last as f64 * part).round() as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(trials: &[f64], latencies_ns: &[u64]) -> Measured {
        Measured {
            trials: trials.to_vec(),
            latencies_ns: latencies_ns.to_vec(),
            operations: 1,
            calls: 0,
            processes: 0,
        }
    }

    #[test]
    fn mean_and_deviation_are_those_of_all_trials() {
        let measured = measured(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], &[]);
        assert_eq!((measured.mean(), measured.deviation()), (5.0, 2.0));
        assert_eq!(measured.percentile_ns(0.5), None);
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<u64> = (1..=101).collect();
        let measured = measured(&[1.0], &times);
        assert_eq!(measured.percentile_ns(0.5), Some(51));
        assert_eq!(measured.percentile_ns(0.99), Some(100));
    }
}
