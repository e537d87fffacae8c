//! What is still alive, and who keeps it so: for listings, and for the end of a store.

use std::fmt;

use crate::{ClientId, ClientSet, ObjectId, core::Core, state::Phase};

/// An object that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// The object.
    pub id: ObjectId,
    /// Who refers to it; what a container refers to is held by the node.
    pub holders: ClientSet,
    /// Who has a view of it.
    pub pins: ClientSet,
    /// The size of its value; 0 while it has none.
    pub len_bytes: u64,
    /// Whether it has a value or an error.
    pub is_settled: bool,
}

/// Everything that was alive when a store ended. Its `Display` is a line for all and one for each client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeakReport {
    /// The objects, by slot.
    pub objects: Vec<Leak>,
    /// The same by who keeps them, lowest client first.
    pub clients: Vec<ClientLeaks>,
}

/// What one client keeps alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientLeaks {
    /// The client.
    pub client: ClientId,
    /// Objects it refers to.
    pub references: usize,
    /// Objects it has views of.
    pub views: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Which they are.
    pub objects: Vec<ObjectId>,
}

/// Ids that a line names at most.
const NAMED: usize = 8;

impl LeakReport {
    fn of(objects: Vec<Leak>) -> Self {
        let clients = (0..=u8::MAX)
            .map(ClientId::new)
            .filter_map(|client| {
                let kept: Vec<&Leak> = objects
                    .iter()
                    .filter(|leak| leak.holders.contains(client) || leak.pins.contains(client))
                    .collect();
                (!kept.is_empty()).then(|| ClientLeaks {
                    client,
                    references: kept.iter().filter(|leak| leak.holders.contains(client)).count(),
                    views: kept.iter().filter(|leak| leak.pins.contains(client)).count(),
                    bytes: kept.iter().fold(0, |sum: u64, leak| sum.saturating_add(leak.len_bytes)),
                    objects: kept.iter().map(|leak| leak.id).collect(),
                })
            })
            .collect();
        LeakReport { objects, clients }
    }

    /// Whether nothing was alive.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes =
            self.objects.iter().fold(0, |sum: u64, leak| sum.saturating_add(leak.len_bytes));
        write!(f, "{} objects of {bytes} bytes are alive at the end", self.objects.len())?;
        for kept in &self.clients {
            let whose = if kept.client == ClientId::NODE { " (the node's process)" } else { "" };
            write!(
                f,
                "\n  client {}{whose}: {} references, {} views, {} bytes:",
                kept.client.get(),
                kept.references,
                kept.views,
                kept.bytes
            )?;
            kept.objects.iter().take(NAMED).try_for_each(|id| write!(f, " {id}"))?;
            if kept.objects.len() > NAMED {
                write!(f, " and {} more", kept.objects.len() - NAMED)?;
            }
        }
        Ok(())
    }
}

impl Core {
    /// All objects that are alive, and who keeps them so.
    pub(crate) fn leaks(&self) -> Vec<Leak> {
        self.touched_slots()
            .filter_map(|index| {
                let slot = self.table.slot(index);
                let seen = slot.state().load();
                let is_settled = match seen.phase() {
                    Phase::Free | Phase::Granted | Phase::Retired | Phase::Freeing => return None,
                    Phase::Reserved | Phase::Sealing => false,
                    _ => true,
                };
                Some(Leak {
                    id: self.geometry.id(index, seen.generation()),
                    holders: slot.holders(),
                    pins: slot.pins(),
                    len_bytes: if is_settled { slot.header().len_bytes } else { 0 },
                    is_settled,
                })
            })
            .collect()
    }

    pub(crate) fn leak_report(&self) -> LeakReport {
        LeakReport::of(self.leaks())
    }
}
