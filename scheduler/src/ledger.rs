//! The ledger: how much of each resource is given out to nobody, for the machine and for each bundle.
//!
//! Amounts are whole numbers, so that what was taken and given back a million times is what it was. Cpus may
//! go below zero, while a task that was blocked goes on beside the one that took its place; everything else
//! is only ever given out when it is there. Gpus are given out by id: a part of one gpu, or whole ones.
//!
//! Invariant: what [`Ledger::take`] took is given back by [`Ledger::give`] exactly once, with the shares that
//! it answered.

use std::sync::Arc;

use crate::{Demand, GpuShare, Resources, UNITS_PER_ONE};

const ONE: u32 = UNITS_PER_ONE as u32;

/// Names of custom resources, as indices.
#[derive(Debug, Default)]
pub(crate) struct Catalogue(Vec<Arc<str>>);

impl Catalogue {
    pub(crate) fn new(custom: &[(String, f64)]) -> Self {
        let mut names: Vec<Arc<str>> = custom.iter().map(|(name, _)| Arc::from(&**name)).collect();
        names.sort_unstable();
        names.dedup();
        Catalogue(names)
    }

    fn index(&self, name: &str) -> Option<u16> {
        self.0.iter().position(|known| &**known == name).map(|at| at as u16)
    }

    fn name(&self, index: u16) -> &str {
        &self.0[usize::from(index)]
    }

    /// The demand in numbers; `None` when it names what there is not.
    pub(crate) fn need(&self, demand: &Demand) -> Option<Need> {
        let custom = demand.custom.iter().map(|(name, amount)| Some((self.index(name)?, *amount)));
        Some(Need {
            cpu: demand.cpu,
            gpu: demand.gpu,
            memory_bytes: demand.memory_bytes,
            custom: custom.collect::<Option<Box<[_]>>>()?,
        })
    }
}

/// A demand in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) cpu: u64,
    pub(crate) gpu: u64,
    pub(crate) memory_bytes: u64,
    /// By the catalogue's index, ascending.
    pub(crate) custom: Box<[(u16, u64)]>,
}

/// What is free of each resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) cpu: i64,
    memory_bytes: u64,
    custom: Vec<(u16, u64)>,
    /// What is left of each gpu, by ascending id.
    gpus: Vec<GpuShare>,
}

impl Ledger {
    /// A ledger over this much, with these gpus.
    pub(crate) fn new(need: &Need, gpus: Vec<GpuShare>) -> Self {
        Ledger {
            cpu: need.cpu as i64,
            memory_bytes: need.memory_bytes,
            custom: need.custom.to_vec(),
            gpus,
        }
    }

    /// A ledger over this much, with gpus of its own: to see what would fit.
    pub(crate) fn whole(need: &Need) -> Self {
        let mut gpus = Ledger::whole_gpus(need.gpu);
        if gpus.is_empty() && need.gpu > 0 {
            gpus.push(GpuShare { gpu: 0, share: need.gpu as u32 });
        }
        Ledger::new(need, gpus)
    }

    /// As many whole gpus as these units hold.
    pub(crate) fn whole_gpus(units: u64) -> Vec<GpuShare> {
        (0..(units / UNITS_PER_ONE) as u32).map(|gpu| GpuShare { gpu, share: ONE }).collect()
    }

    fn custom(&self, index: u16) -> u64 {
        self.custom.iter().find(|(known, _)| *known == index).map_or(0, |(_, amount)| *amount)
    }

    /// Whether this much is free now.
    pub(crate) fn holds(&self, need: &Need) -> bool {
        // What asks for no cpu runs even while they are oversubscribed.
        (need.cpu == 0 || self.cpu >= need.cpu as i64)
            && self.memory_bytes >= need.memory_bytes
            && (need.gpu == 0 || self.has_gpus(need.gpu))
            && need.custom.iter().all(|&(index, amount)| self.custom(index) >= amount)
    }

    fn has_gpus(&self, gpu: u64) -> bool {
        if gpu <= UNITS_PER_ONE {
            return self.gpus.iter().any(|free| u64::from(free.share) >= gpu);
        }
        let whole = self.gpus.iter().filter(|free| free.share == ONE).count();
        whole as u64 >= gpu / UNITS_PER_ONE
    }

    /// Takes this much, all of it or nothing; answers the gpus.
    pub(crate) fn take(&mut self, need: &Need) -> Option<Vec<GpuShare>> {
        if !self.holds(need) {
            return None;
        }
        self.cpu -= need.cpu as i64;
        self.memory_bytes -= need.memory_bytes;
        for &(index, amount) in &need.custom {
            if let Some((_, left)) = self.custom.iter_mut().find(|(known, _)| *known == index) {
                *left -= amount;
            }
        }
        Some(if need.gpu == 0 { Vec::new() } else { self.take_gpus(need.gpu) })
    }

    fn take_gpus(&mut self, gpu: u64) -> Vec<GpuShare> {
        if gpu <= UNITS_PER_ONE {
            // The fullest one that still has room, so that whole ones stay whole.
            let fits = self.gpus.iter_mut().filter(|free| u64::from(free.share) >= gpu);
            let best = fits.min_by_key(|free| (free.share, free.gpu));
            return best
                .map(|free| {
                    free.share -= gpu as u32;
                    GpuShare { gpu: free.gpu, share: gpu as u32 }
                })
                .into_iter()
                .collect();
        }
        let whole = self.gpus.iter_mut().filter(|free| free.share == ONE);
        whole
            .take((gpu / UNITS_PER_ONE) as usize)
            .map(|free| {
                free.share = 0;
                GpuShare { gpu: free.gpu, share: ONE }
            })
            .collect()
    }

    /// Gives back what [`Ledger::take`] took.
    pub(crate) fn give(&mut self, need: &Need, gpus: &[GpuShare]) {
        self.cpu += need.cpu as i64;
        self.memory_bytes += need.memory_bytes;
        for &(index, amount) in &need.custom {
            if let Some((_, left)) = self.custom.iter_mut().find(|(known, _)| *known == index) {
                *left += amount;
            }
        }
        for given in gpus {
            if let Some(free) = self.gpus.iter_mut().find(|free| free.gpu == given.gpu) {
                free.share += given.share;
            }
        }
    }

    /// Takes this much of exactly these gpus, whether or not it is there.
    pub(crate) fn withdraw(&mut self, need: &Need, gpus: &[GpuShare]) {
        self.cpu -= need.cpu as i64;
        self.memory_bytes = self.memory_bytes.saturating_sub(need.memory_bytes);
        for &(index, amount) in &need.custom {
            if let Some((_, left)) = self.custom.iter_mut().find(|(known, _)| *known == index) {
                *left = left.saturating_sub(amount);
            }
        }
        for given in gpus {
            if let Some(free) = self.gpus.iter_mut().find(|free| free.gpu == given.gpu) {
                free.share = free.share.saturating_sub(given.share);
            }
        }
    }

    /// The amounts, with the names of custom resources.
    pub(crate) fn resources(&self, catalogue: &Catalogue) -> Resources {
        let named = |&(index, amount): &(u16, u64)| (catalogue.name(index).to_owned(), amount);
        Resources {
            cpu: self.cpu,
            gpu: self.gpus.iter().map(|free| u64::from(free.share)).sum(),
            memory_bytes: self.memory_bytes,
            custom: self.custom.iter().map(named).collect(),
        }
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine() -> (Catalogue, Ledger) {
        let catalogue = Catalogue::new(&[("a".into(), 2.0), ("b".into(), 1.0)]);
        let all = Demand::cpus(4.0).with_memory(1000).with_custom("a", 2.0).with_custom("b", 1.0);
        let need = catalogue.need(&all).expect("known names");
        (catalogue, Ledger::new(&need, Ledger::whole_gpus(4 * UNITS_PER_ONE)))
    }

    fn demands() -> impl Strategy<Value = Demand> {
        let gpus = prop_oneof![Just(0.0), Just(0.3), Just(0.5), Just(1.0), Just(2.0), Just(3.0)];
        (0..4_u32, gpus, 0..800_u64, 0..3_u32, 0..2_u32).prop_map(|(cpus, gpus, memory, a, b)| {
            Demand::cpus(f64::from(cpus) / 2.0)
                .with_gpus(gpus)
                .with_memory(memory)
                .with_custom("a", f64::from(a) * 0.7)
                .with_custom("b", f64::from(b) * 0.5)
        })
    }

    proptest! {
        /// Nothing is given out twice, and the end is the beginning.
        #[test]
        fn what_is_taken_was_free_and_comes_back(
            steps in prop::collection::vec((demands(), any::<prop::sample::Index>(), any::<bool>()), 0..60),
        ) {
            let (catalogue, mut ledger) = machine();
            let full = ledger.clone();
            let mut out: Vec<(Need, Vec<GpuShare>)> = Vec::new();
            for (demand, which, give) in steps {
                if give && !out.is_empty() {
                    let (need, gpus) = out.swap_remove(which.index(out.len()));
                    ledger.give(&need, &gpus);
                    continue;
                }
                let need = catalogue.need(&demand).expect("known names");
                let held = ledger.holds(&need);
                let before = ledger.clone();
                match ledger.take(&need) {
                    Some(gpus) => {
                        prop_assert!(held);
                        let granted: u64 = gpus.iter().map(|share| u64::from(share.share)).sum();
                        prop_assert_eq!(granted, need.gpu);
                        prop_assert!(need.gpu <= UNITS_PER_ONE && gpus.len() <= 1
                            || gpus.iter().all(|share| share.share == ONE));
                        out.push((need, gpus));
                    }
                    None => {
                        prop_assert!(!held);
                        prop_assert_eq!(&before, &ledger);
                    }
                }
                let cpus: u64 = out.iter().map(|(need, _)| need.cpu).sum();
                prop_assert_eq!(ledger.cpu, full.cpu - cpus as i64);
                prop_assert!(ledger.cpu >= 0);
                for gpu in 0..4 {
                    let given: u32 = out.iter().flat_map(|(_, gpus)| gpus)
                        .filter(|share| share.gpu == gpu).map(|share| share.share).sum();
                    prop_assert!(given <= ONE);
                    prop_assert_eq!(given + ledger.gpus[gpu as usize].share, ONE);
                }
                let memory: u64 = out.iter().map(|(need, _)| need.memory_bytes).sum();
                prop_assert_eq!(memory + ledger.memory_bytes, full.memory_bytes);
            }
            for (need, gpus) in out {
                ledger.give(&need, &gpus);
            }
            prop_assert_eq!(full, ledger);
        }
    }

    #[test]
    fn a_part_of_a_gpu_goes_where_parts_are_taken_already() {
        let (catalogue, mut ledger) = machine();
        let half = catalogue.need(&Demand::none().with_gpus(0.5)).expect("known");
        let three = catalogue.need(&Demand::none().with_gpus(3.0)).expect("known");
        let first = ledger.take(&half).expect("free");
        assert_eq!(ledger.take(&half), Some(first.clone()), "the same gpu");
        let whole = ledger.take(&three).expect("three are whole");
        assert!(!whole.iter().any(|share| share.gpu == first[0].gpu));
        assert_eq!(ledger.take(&half), None);
    }

    #[test]
    fn what_nobody_offers_is_no_need() {
        let (catalogue, _) = machine();
        assert_eq!(catalogue.need(&Demand::none().with_custom("c", 1.0)), None);
    }
}
