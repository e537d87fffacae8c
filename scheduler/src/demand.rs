//! What a task needs while it runs, in fixed point: the same numbers that the ledger counts in.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Units of one whole cpu, gpu or custom resource.
pub const UNITS_PER_ONE: u64 = 10_000;

/// A part of one gpu, as a worker holds it.
///
/// # Examples
/// ```
/// use rustyray_scheduler::{GpuShare, UNITS_PER_ONE};
///
/// let half = GpuShare { gpu: 0, share: 5_000 };
/// assert_eq!(u64::from(half.share) * 2, UNITS_PER_ONE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GpuShare {
    /// Which gpu, counted from zero.
    pub gpu: u32,
    /// How much of it, in ten-thousandths.
    pub share: u32,
}

/// What a task or an actor needs while it runs: cpus, gpus, memory and custom resources, fractional to
/// 1/10000. Keep one per function; submitting only borrows it.
///
/// # Examples
/// ```
/// use rustyray_scheduler::Demand;
///
/// let demand = Demand::cpus(0.5).with_gpus(1.0).with_memory(1 << 30).with_custom("licence", 2.0);
/// assert_eq!(demand.to_string(), "cpus 0.5, gpus 1, memory 1073741824 bytes, licence 2");
/// assert_eq!(Demand::default(), Demand::cpus(1.0));
/// assert_eq!(Demand::none().with_custom("licence", 0.0), Demand::none());
/// ```
#[derive(Clone, Debug)]
pub struct Demand {
    pub(crate) cpu: u64,
    pub(crate) gpu: u64,
    pub(crate) memory_bytes: u64,
    /// Sorted by name, none of them zero.
    pub(crate) custom: Vec<(Arc<str>, u64)>,
    hash: u64,
}

/// Whole units and ten-thousandths of `amount`; what is negative or no number counts as none.
pub(crate) fn units(amount: f64) -> u64 {
    (amount * UNITS_PER_ONE as f64).round().clamp(0.0, (u64::MAX >> 16) as f64) as u64
}

impl Demand {
    /// Nothing but a worker.
    pub fn none() -> Self {
        Demand { cpu: 0, gpu: 0, memory_bytes: 0, custom: Vec::new(), hash: 0 }.hashed()
    }

    /// That many cpus.
    pub fn cpus(cpus: f64) -> Self {
        Demand { cpu: units(cpus), ..Demand::none() }.hashed()
    }

    /// And that many gpus. A part below one is a part of one gpu; above one only whole gpus are given
    /// out, so a demand such as 1.5 is refused at submission.
    #[must_use]
    pub fn with_gpus(self, gpus: f64) -> Self {
        Demand { gpu: units(gpus), ..self }.hashed()
    }

    /// And that much memory, in bytes.
    #[must_use]
    pub fn with_memory(self, memory_bytes: u64) -> Self {
        Demand { memory_bytes, ..self }.hashed()
    }

    /// And that much of a custom resource; what was said of it before is forgotten.
    #[must_use]
    pub fn with_custom(mut self, name: &str, amount: f64) -> Self {
        self.custom.retain(|(known, _)| &**known != name);
        let amount = units(amount);
        if amount > 0 {
            let at = self.custom.partition_point(|(known, _)| &**known < name);
            self.custom.insert(at, (Arc::from(name), amount));
        }
        self.hashed()
    }

    /// A hash of all of it.
    pub(crate) fn hash_word(&self) -> u64 {
        self.hash
    }

    fn hashed(mut self) -> Self {
        // Computed once for each demand, and compared before anything else is.
        let mix =
            |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        let mut hash = mix(mix(mix(0, self.cpu), self.gpu), self.memory_bytes);
        for (name, amount) in &self.custom {
            hash = name.bytes().fold(hash, |hash, byte| mix(hash, u64::from(byte)));
            hash = mix(hash, *amount);
        }
        self.hash = hash;
        self
    }
}

impl Default for Demand {
    /// One cpu.
    fn default() -> Self {
        Demand::cpus(1.0)
    }
}

impl PartialEq for Demand {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.cpu == other.cpu
            && self.gpu == other.gpu
            && self.memory_bytes == other.memory_bytes
            && self.custom == other.custom
    }
}

impl Eq for Demand {}

impl Hash for Demand {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = UNITS_PER_ONE as f64;
        write!(f, "cpus {}", self.cpu as f64 / one)?;
        if self.gpu > 0 {
            write!(f, ", gpus {}", self.gpu as f64 / one)?;
        }
        if self.memory_bytes > 0 {
            write!(f, ", memory {} bytes", self.memory_bytes)?;
        }
        for (name, amount) in &self.custom {
            write!(f, ", {name} {}", *amount as f64 / one)?;
        }
        Ok(())
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_naming_does_not_matter() {
        let one = Demand::cpus(1.0).with_custom("a", 1.0).with_custom("b", 2.0);
        let other = Demand::cpus(1.0).with_custom("b", 2.0).with_custom("a", 1.0);
        assert_eq!(one, other);
        assert_eq!(one.to_string(), "cpus 1, a 1, b 2");
    }

    #[test]
    fn what_is_no_amount_counts_as_none() {
        assert_eq!(Demand::cpus(-1.0), Demand::none());
        assert_eq!(Demand::cpus(f64::NAN), Demand::none());
        assert_eq!(Demand::none().with_custom("a", 0.0), Demand::none());
        assert_ne!(Demand::cpus(0.0001), Demand::none());
    }
}
