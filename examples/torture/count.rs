//! What was done and checked, by kind.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

/// Counts by name, and when to stop. Shared by everything that runs.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    steps: AtomicU64,
    over: AtomicBool,
}

impl Count {
    /// One more of `what`.
    pub fn one(&self, what: &'static str) {
        self.add(what, 1);
    }

    /// Several more of `what`.
    pub fn add(&self, what: &'static str, how_many: u64) {
        *self.0.counts.lock().entry(what).or_default() += how_many;
        self.0.steps.fetch_add(1, Relaxed);
    }

    /// Moves whenever anything is done.
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Relaxed)
    }

    /// How many of everything whose name begins with `prefix`.
    pub fn total(&self, prefix: &str) -> u64 {
        let counts = self.0.counts.lock();
        counts.iter().filter(|(what, _)| what.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    /// Everybody is to come to an end.
    pub fn finish(&self) {
        self.0.over.store(true, Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.0.over.load(Relaxed)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &*self.0.counts.lock() {
            writeln!(f, "{count:>10}  {what}")?;
        }
        Ok(())
    }
}
