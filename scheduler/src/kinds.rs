//! Kinds of tasks: pool, priority and demand, and whether they create actors; interned, so that a record names its
//! kind by a number. Jobs are not part of it: they come and go for as long as a node runs, and kinds stay.
//!
//! Looking a kind up reads a hash table that only grows; entering a new one takes a lock, which happens once
//! for each kind there ever is.

use std::sync::OnceLock;

use parking_lot::Mutex;
use rustyray_memory::sync::LOOM;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};

use crate::{
    Config, Demand, PoolId, Refusal, UNITS_PER_ONE,
    chunks::Chunks,
    ledger::{Catalogue, Ledger, Need},
};

/// The most kinds there can ever be.
const MAX_KINDS: usize = if LOOM { 8 } else { 1 << 14 };
const CHUNK: usize = if LOOM { 4 } else { 1 << 8 };

/// What tasks of a kind have in common besides what they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) pool: PoolId,
    pub(crate) priority: i32,
    /// They create actors. These may have to wait for the end of others, and no task is to wait behind them.
    pub(crate) creates: bool,
}

/// A kind of tasks: they are served first come, first served.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) pool: PoolId,
    pub(crate) priority: i32,
    pub(crate) creates: bool,
    pub(crate) demand: Demand,
    pub(crate) need: Need,
    /// Kinds of one shape (pool and need) share a worker's queue under one lease.
    pub(crate) shape: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Kinds {
    pub(crate) catalogue: Catalogue,
    pub(crate) total: Ledger,
    offer: Demand,
    kinds: Chunks<OnceLock<Kind>>,
    /// Kind + 1 by hash, probed upwards; zero = empty.
    table: Box<[AtomicU32]>,
    growing: Mutex<Growing>,
}

#[derive(Debug, Default)]
struct Growing {
    kinds: u32,
    shapes: Vec<(PoolId, Need)>,
}

impl Kinds {
    pub(crate) fn new(config: &Config) -> Self {
        let mut offer = Demand::cpus(config.cpus)
            .with_gpus(config.gpus.floor())
            .with_memory(config.memory_bytes);
        for (name, amount) in &config.custom {
            offer = offer.with_custom(name, *amount);
        }
        let catalogue = Catalogue::new(&config.custom);
        let all = catalogue.need(&offer).unwrap_or_default();
        Kinds {
            total: Ledger::new(&all, Ledger::whole_gpus(all.gpu)),
            catalogue,
            offer,
            kinds: Chunks::new(MAX_KINDS / CHUNK, CHUNK, OnceLock::new),
            table: (0..2 * MAX_KINDS).map(|_| AtomicU32::new(0)).collect(),
            growing: Mutex::default(),
        }
    }

    /// The kind of this number.
    #[inline]
    pub(crate) fn at(&self, kind: u32) -> &Kind {
        self.kinds.get(kind).and_then(OnceLock::get).expect("the number of a kind that was found")
    }

    /// What the machine offers in all.
    pub(crate) fn offer(&self) -> String {
        self.offer.to_string()
    }

    /// The demand in numbers, when the machine can ever have as much.
    pub(crate) fn need(&self, demand: &Demand) -> Result<Need, Refusal> {
        if demand.gpu > UNITS_PER_ONE && !demand.gpu.is_multiple_of(UNITS_PER_ONE) {
            return Err(Refusal::PartialGpus { demand: demand.to_string() });
        }
        match self.catalogue.need(demand) {
            Some(need) if self.total.holds(&need) => Ok(need),
            _ => Err(Refusal::Unschedulable { demand: demand.to_string(), exists: self.offer() }),
        }
    }

    /// The number of a kind.
    #[inline]
    pub(crate) fn find(&self, sort: Sort, demand: &Demand) -> Result<u32, Refusal> {
        let Sort { pool, priority, creates } = sort;
        let same = |kind: &Kind| {
            kind.priority == priority
                && kind.pool == pool
                && kind.creates == creates
                && kind.demand == *demand
        };
        let mixed = (u64::from(pool.0) << 33)
            .wrapping_add(u64::from(priority as u32) << 1 | u64::from(creates))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ demand.hash_word();
        let mut at = (mixed ^ mixed >> 32) as usize & (self.table.len() - 1);
        // Acquire: pairs with the Release of `add`; the kind is whole.
        while let Some(kind) = self.table[at].load(Acquire).checked_sub(1) {
            if same(self.at(kind)) {
                return Ok(kind);
            }
            at = (at + 1) & (self.table.len() - 1);
        }
        self.add(at, sort, demand, same)
    }

    #[cold]
    fn add(
        &self,
        mut at: usize,
        sort: Sort,
        demand: &Demand,
        same: impl Fn(&Kind) -> bool,
    ) -> Result<u32, Refusal> {
        let Sort { pool, priority, creates } = sort;
        let need = self.need(demand)?;
        let mut growing = self.growing.lock();
        // Another thread may have been faster; only who has the lock fills a place.
        while let Some(kind) = self.table[at].load(Acquire).checked_sub(1) {
            if same(self.at(kind)) {
                return Ok(kind);
            }
            at = (at + 1) & (self.table.len() - 1);
        }
        let number = growing.kinds;
        let Some(place) = self.kinds.reach(number) else {
            return Err(Refusal::TooManyKinds { limit: MAX_KINDS });
        };
        let known = growing.shapes.iter().position(|shape| shape.0 == pool && shape.1 == need);
        let shape = known.unwrap_or_else(|| {
            growing.shapes.push((pool, need.clone()));
            growing.shapes.len() - 1
        }) as u32;
        let demand = demand.clone();
        let _ = place.set(Kind { pool, priority, creates, demand, need, shape });
        growing.kinds += 1;
        // Release: pairs with the Acquire of `find`.
        self.table[at].store(number + 1, Release);
        Ok(number)
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    fn sort(pool: u32, priority: i32) -> Sort {
        Sort { pool: PoolId(pool), priority, creates: false }
    }

    #[test]
    fn a_kind_is_found_again_and_shapes_are_shared() {
        let kinds = Kinds::new(&Config { cpus: 4.0, ..Config::default() });
        let find = |pool, priority, cpus| {
            kinds.find(sort(pool, priority), &Demand::cpus(cpus)).expect("feasible")
        };
        let one = find(1, 0, 1.0);
        assert_eq!(one, find(1, 0, 1.0));
        let creates = Sort { creates: true, ..sort(1, 0) };
        let creation = kinds.find(creates, &Demand::cpus(1.0)).expect("feasible");
        let others = [find(2, 0, 1.0), find(1, 5, 1.0), find(1, 0, 2.0), creation];
        assert!(!others.contains(&one));
        assert_ne!(kinds.at(others[0]).shape, kinds.at(one).shape);
        assert_eq!(kinds.at(others[1]).shape, kinds.at(one).shape);
        assert_ne!(kinds.at(others[2]).shape, kinds.at(one).shape);
    }

    #[test]
    fn what_can_never_be_is_refused_with_what_there_is() {
        let kinds = Kinds::new(&Config { cpus: 4.0, gpus: 2.0, ..Config::default() });
        let refusal = |demand: Demand| kinds.find(sort(0, 0), &demand).unwrap_err();
        let said = refusal(Demand::cpus(5.0)).to_string();
        assert_eq!(said, "it needs cpus 5, and there are only cpus 4, gpus 2");
        assert!(matches!(
            refusal(Demand::none().with_custom("tpu", 1.0)),
            Refusal::Unschedulable { .. }
        ));
        assert!(matches!(refusal(Demand::none().with_gpus(1.5)), Refusal::PartialGpus { .. }));
    }

    #[test]
    fn there_is_a_limit_and_it_is_said() {
        let kinds = Kinds::new(&Config { cpus: 4.0, ..Config::default() });
        let demand = Demand::cpus(1.0);
        for priority in 0..MAX_KINDS as i32 {
            kinds.find(sort(0, priority), &demand).expect("room");
        }
        let refused = kinds.find(sort(0, -1), &demand);
        assert_eq!(refused, Err(Refusal::TooManyKinds { limit: MAX_KINDS }));
        assert!(kinds.find(sort(0, 5), &demand).is_ok());
    }
}
