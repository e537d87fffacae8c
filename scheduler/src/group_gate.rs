//! What a submitter looks at before it places a task into a group: whether the group is, and what its bundles
//! hold. Read without a lock; changed by the token's owner, and by who makes the group.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustyray_memory::sync::AtomicU32;

use crate::{
    GroupId, Placement, Refusal, Resources,
    gate::LAST_GENERATION,
    ids::{join, split},
    kinds::Kinds,
    ledger::{Ledger, Need},
    plain::Plain64,
    record::ANY_BUNDLE,
};

/// A group's bundles, as they were asked for.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) id: GroupId,
    pub(crate) needs: Box<[Need]>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupGate {
    pub(crate) spare: AtomicU32,
    generation: Plain64,
    shape: ArcSwapOption<Shape>,
}

impl GroupGate {
    pub(crate) fn new() -> Self {
        let gate = GroupGate {
            spare: AtomicU32::new(0),
            generation: Plain64::default(),
            shape: ArcSwapOption::empty(),
        };
        gate.generation.set(1);
        gate
    }

    /// A new group. By who took the gate from the free list.
    pub(crate) fn publish(&self, index: u32, needs: Box<[Need]>) -> Arc<Shape> {
        let id = GroupId::from_bits(join(index, self.generation.get()));
        let shape = Arc::new(Shape { id, needs });
        self.shape.store(Some(Arc::clone(&shape)));
        shape
    }

    /// The group is removed.
    pub(crate) fn close(&self) {
        self.shape.store(None);
    }

    /// Moves on to the next generation; `false` when there is none.
    #[must_use]
    pub(crate) fn free(&self) -> bool {
        self.generation.set(self.generation.get() + 1);
        self.generation.get() < LAST_GENERATION
    }

    /// Whether the group is there, and can ever hold this much.
    pub(crate) fn check(
        &self,
        group: GroupId,
        bundle: u16,
        kind: u32,
        kinds: &Kinds,
    ) -> Result<(), Refusal> {
        let shape = self.shape.load();
        let Some(shape) = shape.as_deref().filter(|shape| shape.id == group) else {
            return Err(Refusal::NoSuchGroup { group });
        };
        let kind = kinds.at(kind);
        let fits = |need: &Need| Ledger::whole(need).holds(&kind.need);
        let fits = match shape.needs.get(usize::from(bundle)) {
            Some(need) => fits(need),
            None if bundle == ANY_BUNDLE => shape.needs.iter().any(fits),
            None => return Err(Refusal::NoSuchBundle { bundle, bundles: shape.needs.len() }),
        };
        if fits {
            return Ok(());
        }
        let all: Vec<String> =
            shape.needs.iter().map(|need| describe(&Ledger::whole(need), kinds)).collect();
        let exists = format!("bundles of {}", all.join(" | "));
        Err(Refusal::Unschedulable { demand: kind.demand.to_string(), exists })
    }
}

fn describe(ledger: &Ledger, kinds: &Kinds) -> String {
    let Resources { cpu, gpu, memory_bytes, custom } = ledger.resources(&kinds.catalogue);
    let one = crate::UNITS_PER_ONE as f64;
    let mut demand =
        crate::Demand::cpus(cpu as f64 / one).with_gpus(gpu as f64 / one).with_memory(memory_bytes);
    for (name, amount) in custom {
        demand = demand.with_custom(&name, amount as f64 / one);
    }
    demand.to_string()
}

/// The group's bits and the bundle of a placement that names one.
pub(crate) fn named(placement: Placement) -> Option<(GroupId, u16, bool)> {
    let Placement::Group { group, bundle, capture_children } = placement else { return None };
    Some((group, bundle.unwrap_or(ANY_BUNDLE), capture_children))
}

/// The gate's index of a group.
pub(crate) fn index(group: GroupId) -> u32 {
    split(group.to_bits()).0
}
