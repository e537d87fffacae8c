//! What every thread of the node reaches without the token: the host, the records, who waits for what, the
//! kinds of tasks, and the gates of actors and groups.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use rustyray_memory::sync::{AtomicU32, LOOM};

use crate::{
    ActorId, Config, GroupId, Host, WorkerId,
    actor_gate::ActorGate,
    chunks::Chunks,
    dependents::Dependents,
    free_list::FreeList,
    group_gate::GroupGate,
    ids::{join, split},
    kinds::Kinds,
    plain::Plain64,
    records::Records,
};

const CHUNK: usize = if LOOM { 4 } else { 1 << 10 };
const CHUNKS: usize = if LOOM { 1 } else { 1 << 12 };

/// The most actors, and the most groups, there can be at one time.
pub(crate) const MAX_GATES: usize = CHUNK * CHUNKS;

/// See the module.
pub(crate) struct Shared<H: Host> {
    pub(crate) host: H,
    pub(crate) config: Config,
    pub(crate) records: Records<H::Spec>,
    pub(crate) dependents: Dependents,
    pub(crate) kinds: Kinds,
    pub(crate) actors: Gates<ActorGate>,
    pub(crate) groups: Gates<GroupGate>,
    /// The actor that each worker is, by number; 0 of one that is none. By the owner of the token.
    pub(crate) residents: Box<[Plain64]>,
    /// Ready tasks that are at no worker.
    pub(crate) backlog: AtomicUsize,
    /// Tasks wait behind a busy worker while another is idle.
    pub(crate) wants_review: AtomicBool,
    /// Tasks wait behind a running one.
    pub(crate) is_queueing: AtomicBool,
    /// Calls of the host that panicked.
    pub(crate) panics: AtomicUsize,
    /// Attempts that ended with their worker and were followed by another.
    pub(crate) attempts_lost: AtomicU64,
}

impl<H: Host> Shared<H> {
    pub(crate) fn new(host: H, config: Config) -> Self {
        Shared {
            kinds: Kinds::new(&config),
            residents: (0..config.max_workers).map(|_| Plain64::default()).collect(),
            host,
            config,
            records: Records::new(),
            dependents: Dependents::new(),
            actors: Gates::new(ActorGate::new, |gate| &gate.spare),
            groups: Gates::new(GroupGate::new, |gate| &gate.spare),
            backlog: AtomicUsize::new(0),
            wants_review: AtomicBool::new(false),
            is_queueing: AtomicBool::new(false),
            panics: AtomicUsize::new(0),
            attempts_lost: AtomicU64::new(0),
        }
    }

    /// An attempt that had begun, if so, is lost with its worker, and there will be another.
    pub(crate) fn count_lost(&self, begun: bool) {
        // Relaxed: a number for people, and nothing follows from it.
        self.attempts_lost.fetch_add(u64::from(begun), Relaxed);
    }

    /// The gate of an actor, whatever its generation, and the generation that is asked for.
    #[inline]
    pub(crate) fn actor(&self, actor: ActorId) -> Option<(&ActorGate, u64)> {
        let (index, generation) = split(actor.to_bits());
        Some((self.actors.get(index)?, generation))
    }

    /// The gate of a group, whatever its generation.
    pub(crate) fn group(&self, group: GroupId) -> Option<&GroupGate> {
        self.groups.get(split(group.to_bits()).0)
    }

    /// Has the host kill a worker, within the turn that decides it: in a later one another may have its id.
    pub(crate) fn kill(&self, worker: WorkerId) {
        self.guarded((), || self.host.kill(worker));
    }

    /// Has the host end a worker in good order, within the turn that decides it.
    pub(crate) fn stop(&self, worker: WorkerId) {
        self.guarded((), || self.host.stop(worker));
    }

    /// Notes which actor a worker is from now on. By the owner of the token.
    pub(crate) fn set_resident(&self, worker: u16, actor: Option<ActorId>) {
        if let Some(resident) = self.residents.get(usize::from(worker)) {
            resident.set(actor.map_or(0, ActorId::to_bits));
        }
    }

    pub(crate) fn set_backlog(&self, backlog: usize) {
        self.backlog.store(backlog, Relaxed);
    }
}

/// Gates by index, used again when they are given back.
pub(crate) struct Gates<T> {
    gates: Chunks<T>,
    spare: fn(&T) -> &AtomicU32,
    free: FreeList,
    touched: AtomicU32,
}

impl<T> Gates<T> {
    fn new(make: fn() -> T, spare: fn(&T) -> &AtomicU32) -> Self {
        Gates {
            gates: Chunks::new(CHUNKS, CHUNK, make),
            spare,
            free: FreeList::default(),
            touched: AtomicU32::new(0),
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.gates.get(index)
    }

    /// A gate that is the caller's from now on.
    pub(crate) fn take(&self) -> Option<(u32, &T)> {
        let index = match self.free.pop(|index| self.gates.get(index).map(self.spare)) {
            Some(index) => index,
            None => {
                let max = self.gates.capacity() as u32;
                let next = |touched| (touched < max).then_some(touched + 1);
                self.touched
                    .fetch_update(
                        rustyray_memory::sync::Ordering::Relaxed,
                        rustyray_memory::sync::Ordering::Relaxed,
                        next,
                    )
                    .ok()?
            }
        };
        Some((index, self.gates.reach(index)?))
    }

    /// Gives a gate back.
    pub(crate) fn give(&self, index: u32) {
        if let Some(gate) = self.gates.get(index) {
            self.free.push(index, (self.spare)(gate));
        }
    }
}

/// The name of an actor.
pub(crate) fn actor_id(index: u32, generation: u64) -> ActorId {
    ActorId::from_bits(join(index, generation))
}
