//! Leases: what a worker holds while it has tasks of one shape, or while its actor lives.
//!
//! A lease is taken out of the machine's ledger or out of a group's bundle, once for all tasks of its shape that
//! are handed to the worker one after the other.

use super::State;
use crate::{
    GpuShare, Host,
    ids::split,
    ledger::Ledger,
    record::{ANY_BUNDLE, CREATION, Record},
    shared::Shared,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Lease {
    /// Any kind of the shape.
    pub(super) kind: u32,
    pub(super) shape: u32,
    pub(super) gpus: Vec<GpuShare>,
    /// The group's index and the bundle, if it is not the machine's.
    pub(super) source: Option<(u32, u16)>,
    /// Its cpus are given to others while its task waits.
    pub(super) cpu_returned: bool,
    pub(super) of_actor: bool,
}

impl<H: Host> State<H> {
    /// Takes what a task needs.
    pub(super) fn lease(&mut self, shared: &Shared<H>, record: &Record<H::Spec>) -> Option<Lease> {
        let kind = record.kind.get();
        let known = shared.kinds.at(kind);
        let of_actor = record.is(CREATION);
        let (gpus, source) = match record.group.get() {
            0 => {
                let gpus = self.free.take(&known.need)?;
                if of_actor {
                    self.attainable.withdraw(&known.need, &gpus);
                }
                (gpus, None)
            }
            group => {
                let (index, _) = split(group);
                let group = self.groups.get_mut(index as usize)?.as_mut()?;
                let bundle = record.bundle.get();
                let any = bundle == ANY_BUNDLE;
                let bundles = group.bundles.iter_mut().enumerate();
                let mut bundles = bundles.filter(|(at, _)| any || *at == usize::from(bundle));
                let found = bundles
                    .find_map(|(at, ledger)| ledger.take(&known.need).map(|gpus| (gpus, at)));
                let (gpus, at) = found?;
                group.leases += 1;
                (gpus, Some((index, at as u16)))
            }
        };
        self.task_leases += usize::from(!of_actor);
        Some(Lease { kind, shape: known.shape, gpus, source, cpu_returned: false, of_actor })
    }

    /// Whether what a task needs is there now.
    pub(super) fn is_free(&self, shared: &Shared<H>, record: &Record<H::Spec>) -> bool {
        let need = &shared.kinds.at(record.kind.get()).need;
        match record.group.get() {
            0 => self.free.holds(need),
            group => {
                let (index, bundle) = (split(group).0, record.bundle.get());
                let Some(Some(group)) = self.groups.get(index as usize) else { return false };
                match group.bundles.get(usize::from(bundle)) {
                    Some(ledger) => ledger.holds(need),
                    None => group.bundles.iter().any(|ledger| ledger.holds(need)),
                }
            }
        }
    }

    fn ledger(&mut self, source: Option<(u32, u16)>) -> Option<&mut Ledger> {
        match source {
            None => Some(&mut self.free),
            Some((index, bundle)) => {
                let group = self.groups.get_mut(index as usize)?.as_mut()?;
                group.bundles.get_mut(usize::from(bundle))
            }
        }
    }

    /// Gives a lease back.
    pub(super) fn give(&mut self, shared: &Shared<H>, lease: Lease) {
        let need = &shared.kinds.at(lease.kind).need;
        if let Some(ledger) = self.ledger(lease.source) {
            if lease.cpu_returned {
                ledger.cpu -= need.cpu as i64;
            }
            ledger.give(need, &lease.gpus);
        }
        self.task_leases -= usize::from(!lease.of_actor);
        self.dirty = true;
        match lease.source {
            Some((index, _)) => {
                if let Some(Some(group)) = self.groups.get_mut(index as usize) {
                    group.leases -= 1;
                }
                self.dissolve(shared, index);
            }
            None if lease.of_actor => self.attainable.give(need, &lease.gpus),
            None => {}
        }
    }

    /// Gives only the cpus of a worker's lease to others, or takes them back though others may have them.
    pub(super) fn lend_cpus(&mut self, shared: &Shared<H>, worker: u16, lend: bool) {
        let Some(Some(known)) = self.workers.get_mut(usize::from(worker)) else { return };
        let Some(lease) = &mut known.lease else { return };
        if lease.cpu_returned == lend {
            return;
        }
        lease.cpu_returned = lend;
        let (cpu, source) = (shared.kinds.at(lease.kind).need.cpu as i64, lease.source);
        if let Some(ledger) = self.ledger(source) {
            ledger.cpu += if lend { cpu } else { -cpu };
        }
        self.dirty |= lend;
    }
}
