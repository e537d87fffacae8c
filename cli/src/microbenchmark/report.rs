//! What was measured, as a table and as JSON.

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde::Serialize;

use super::{
    beside::Beside,
    measure::{Measured, Pace},
    rows::{Limit, Row, Unit},
};
use crate::physics::{Limits, Nanos};

/// Ray counts 100 Mi words of 8 bytes as 0.8 GB.
pub(super) const RAY_GIGABYTE: f64 = 1.048_576;

/// A line below the header and no other.
pub(super) const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// What came of a row.
#[derive(Debug)]
pub(super) enum Outcome {
    Measured(Measured),
    Failed { reason: String },
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    rustyray: &'static str,
    optimised: bool,
    unix_time_s: u64,
    machine: Machine,
    /// How many programs wanted a core in the minute before.
    load_average: f64,
    warm_up_s: f64,
    trials: u32,
    trial_s: f64,
    scale: f64,
    limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<Beside>,
    rows: Vec<RowReport>,
}

/// What it ran on.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
}

/// One row of it.
#[derive(Debug, Serialize)]
pub(super) struct RowReport {
    name: &'static str,
    unit: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    ray_64_cores: f64,
    ray_2_cores: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ray_here: Option<f64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    mean: f64,
    deviation: f64,
    trials: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ns: Option<u64>,
    operations: u64,
    calls_in_other_processes: u64,
    other_processes: usize,
    times_ray_64_cores: f64,
    times_ray_2_cores: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    times_ray_here: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitReport>,
}

/// The limit that a figure rests on, in the figure's unit, and how many times longer the row takes.
#[derive(Debug, Serialize)]
struct LimitReport {
    name: &'static str,
    value: f64,
    times_longer: f64,
}

impl Limit {
    fn report(self, limits: &Limits, mean: f64) -> LimitReport {
        let (name, value) = match self {
            Limit::AtomicAdd(times) => ("atomic add", 1e9 / limits.atomic_add_ns / times),
            Limit::RoundTrip => ("round trip", 1e9 / limits.spin_round_trip_ns),
            Limit::Messages(times) => ("ring", limits.ring_messages_per_s / times),
            // In Ray's gigabytes, which are 1.05 of others'.
            Limit::Memcpy => ("memcpy", limits.memcpy_warm_gb_per_s / RAY_GIGABYTE),
        };
        LimitReport { name, value, times_longer: value / mean }
    }
}

impl RowReport {
    pub(super) fn new(
        row: &Row,
        outcome: Outcome,
        limits: Option<&Limits>,
        beside: Option<&Beside>,
    ) -> Self {
        let ray_here = beside.and_then(|beside| beside.mean(row.name));
        let (state, reason, figures) = match outcome {
            Outcome::Failed { reason } => ("failed", Some(reason), None),
            Outcome::Measured(measured) => {
                let mean = measured.mean();
                let figures = Figures {
                    mean,
                    deviation: measured.deviation(),
                    p50_ns: measured.percentile_ns(0.5),
                    p99_ns: measured.percentile_ns(0.99),
                    operations: measured.operations,
                    calls_in_other_processes: measured.calls,
                    other_processes: measured.processes,
                    times_ray_64_cores: mean / row.ray_64,
                    times_ray_2_cores: mean / row.ray_2,
                    times_ray_here: ray_here.map(|ray| mean / ray),
                    limit: limits.map(|limits| row.limit.report(limits, mean)),
                    trials: measured.trials,
                };
                ("measured", None, Some(figures))
            }
        };
        RowReport {
            name: row.name,
            unit: match row.unit {
                Unit::PerSecond => "/s",
                Unit::GigabytesPerSecond => "GB/s",
            },
            state,
            reason,
            ray_64_cores: row.ray_64,
            ray_2_cores: row.ray_2,
            ray_here,
            figures,
        }
    }

    fn cells(&self) -> [String; 8] {
        let none = String::new;
        let name = self.name.to_owned();
        let Some(figures) = &self.figures else {
            let reason = self.reason.as_deref().unwrap_or_default();
            let mut cells = [const { String::new() }; 8];
            (cells[0], cells[1]) = (name, format!("{}: {reason}", self.state));
            return cells;
        };
        let time = |ns: Option<u64>| ns.map_or_else(none, |ns| Nanos(ns as f64).to_string());
        let limit = figures.limit.as_ref();
        [
            name,
            format!("{} ± {} {}", number(figures.mean), number(figures.deviation), self.unit),
            time(figures.p50_ns),
            time(figures.p99_ns),
            figures
                .times_ray_here
                .zip(self.ray_here)
                .map_or_else(none, |(times, ray)| format!("{}× {}", number(times), number(ray))),
            format!("{}×", number(figures.times_ray_2_cores)),
            format!("{}×", number(figures.times_ray_64_cores)),
            limit.map_or_else(none, |limit| {
                format!("{}× {}", number(limit.times_longer), limit.name)
            }),
        ]
    }
}

impl Report {
    pub(super) fn new(
        pace: &Pace,
        limits: Option<Limits>,
        beside: Option<Beside>,
        load_average: f64,
        rows: Vec<RowReport>,
    ) -> Self {
        Report {
            rustyray: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            unix_time_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            machine: Machine::this(),
            load_average,
            warm_up_s: pace.warm_up.as_secs_f64(),
            trials: pace.trials,
            trial_s: pace.trial.as_secs_f64(),
            scale: pace.scale,
            limits,
            beside,
            rows,
        }
    }

    /// Whether a row failed.
    pub(super) fn failed(&self) -> bool {
        self.rows.iter().any(|row| row.state == "failed")
    }

    /// The load average of the last minute; 0 where the system tells none.
    pub(super) fn load_average() -> f64 {
        let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
    }

    /// What a reader has to know before comparing.
    fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        if !self.optimised {
            caveats.push("not optimised: built without --release".to_owned());
        }
        if (self.trials, self.trial_s, self.warm_up_s) != (4, 2.0, 1.0) {
            caveats.push(format!(
                "quicker than Ray's method: {} s of warming up, {} trials of {} s",
                self.warm_up_s, self.trials, self.trial_s
            ));
        }
        if self.load_average > 1.0 {
            caveats.push(format!(
                "beside other programs: a load of {:.1} at first",
                self.load_average
            ));
        }
        if self.scale != 1.0 {
            caveats.push(format!("only {} of each row's work was done", self.scale));
        }
        caveats
    }
}

impl Machine {
    pub(super) fn this() -> Machine {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let memory_kib: Option<u64> = field("/proc/meminfo", "MemTotal")
            .and_then(|value| value.trim_end_matches(" kB").parse().ok());
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib.unwrap_or(0) / 1024,
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, memory_mib, kernel } = self;
        write!(f, "{processor}, {cores} cores, {memory_mib} MiB, Linux {kernel}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RustyRay {}, {}", self.rustyray, self.machine)?;
        self.caveats().iter().try_for_each(|caveat| writeln!(f, "Caution: {caveat}."))?;
        let mut table = Table::new();
        table.load_style(STYLE);
        let here = self.beside.as_ref().map(|beside| format!("Ray {} here", beside.version()));
        let here = here.as_deref().unwrap_or_default();
        table.set_header([
            "",
            "figure",
            "p50",
            "p99",
            here,
            "Ray, 2 cores",
            "Ray, 64 cores",
            "takes",
        ]);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        table
            .column_iter_mut()
            .skip(1)
            .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")?;
        if let Some(limits) = &self.limits {
            write!(f, "\n\nWhat this machine allows (`takes` is a multiple of it):\n{limits}")?;
        }
        Ok(())
    }
}

/// Three significant digits, with separators.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_three_digits() {
        let shown = [1_234_567.8, 999_999.6, 1000.0, 999.4, 12.34, 0.123, -1234.0].map(number);
        assert_eq!(shown, ["1,234,568", "1,000,000", "1,000", "999", "12.3", "0.12", "-1,234"]);
    }
}
