//! Medians of batches.

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Nanoseconds,
    PerSecond,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    what: &'static str,
    unit: Unit,
    median: f64,
    least: f64,
    most: f64,
}

/// Runs batches of `batch` operations for `time`; each run of `operation` is one.
pub(crate) fn sample(
    what: &'static str,
    unit: Unit,
    time: Duration,
    batch: u32,
    mut operation: impl FnMut() -> crate::Outcome,
) -> crate::Outcome<Figure> {
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 3 || start.elapsed() < time {
        let before = Instant::now();
        for _ in 0..batch {
            operation()?;
        }
        samples.push(before.elapsed().as_nanos() as f64 / f64::from(batch));
    }
    Ok(figure(what, unit, samples, 1.0))
}

/// The same where one run of `operation` counts for `counts`.
pub(crate) fn sample_many(
    what: &'static str,
    time: Duration,
    counts: u32,
    mut operation: impl FnMut() -> crate::Outcome,
) -> crate::Outcome<Figure> {
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 3 || start.elapsed() < time {
        let before = Instant::now();
        operation()?;
        samples.push(before.elapsed().as_nanos() as f64);
    }
    Ok(figure(what, Unit::PerSecond, samples, f64::from(counts)))
}

fn figure(what: &'static str, unit: Unit, mut ns: Vec<f64>, counts: f64) -> Figure {
    // The first batch finds everything cold.
    ns.remove(0);
    let mut samples: Vec<f64> = match unit {
        Unit::Nanoseconds => ns,
        Unit::PerSecond => ns.into_iter().map(|ns| counts * 1e9 / ns).collect(),
    };
    samples.sort_unstable_by(f64::total_cmp);
    Figure {
        what,
        unit,
        median: samples[samples.len() / 2],
        least: samples[0],
        most: samples[samples.len() - 1],
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { what, unit, median, least, most } = self;
        match unit {
            Unit::Nanoseconds => {
                let us = |ns: &f64| format!("{:.2}", ns / 1e3);
                write!(f, "{what}: {} µs ({}–{})", us(median), us(least), us(most))
            }
            Unit::PerSecond => write!(f, "{what}: {median:.0} /s ({least:.0}–{most:.0})"),
        }
    }
}
