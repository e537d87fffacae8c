//! The node's side of the store: the owner of its memory.

use std::{
    collections::{BTreeSet, HashMap},
    io::Write,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use crate::{
    AttemptError, Backend, Client, ClientId, ClientSet, Config, Error, Geometry, Leak, LeakReport,
    ObjectId, Refusal, Reply, Request, Segments, Stats, Tier, Wake,
    backend::Memory,
    blocks::Blocks,
    core::{Core, Ledger, Water},
    deadmap,
    endings::Endings,
    geometry::{MAX_BLOCK_BYTES, MAX_CAPACITY_BYTES, PAGE_BYTES},
    holdings::Holdings,
    origin::Origins,
    reserve::Reserve,
    slot::Owner,
    space::Space,
    spill::Spills,
    state::{GENERATIONS, Phase, Rename},
    stock::FreeSlots,
};

/// The owner of a store's memory. It lives in one process, whose end is the end of the store.
#[derive(Debug)]
pub struct Node {
    pub(crate) core: Arc<Core>,
    client: Arc<Client>,
    memory: Memory,
    /// The sockets of clients that joined, to hang up on them.
    pub(crate) hosted: Mutex<HashMap<ClientId, UnixStream>>,
}

/// What a new client needs.
#[derive(Debug)]
pub struct Admission {
    /// The client's number.
    pub client: ClientId,
    /// The sizes of the store.
    pub geometry: Geometry,
    /// What it attaches to.
    pub segments: Segments,
}

/// What was left of a dead client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reaped {
    /// Clients whose wait may be over: they have been marked and woken.
    pub wake: ClientSet,
    /// Objects that others refer to, that the dead client, or one that died before it, had reserved and was to seal
    /// itself: nobody else will, so fail them. Until that is done each further reap tells of them again.
    pub orphans: Vec<ObjectId>,
    /// Objects that died with it.
    pub freed: usize,
}

impl Node {
    /// Makes a store.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the system refuses memory.
    pub fn create(config: Config) -> Result<Arc<Node>, Error> {
        let geometry = geometry(&config)?;
        let memory = Memory::create(config.backend, geometry)?;
        let (table, segment) = (Arc::clone(&memory.table), Arc::clone(&memory.data));
        let holdings = Arc::new(Holdings::new(Arc::clone(&table), ClientId::NODE)?);
        let clients = ClientSet::from_iter([ClientId::NODE]);
        table.set_clients(clients);
        let water = config.spill_dir.is_some().then_some(Water {
            high_bytes: (geometry.capacity_bytes as f64 * config.high_water) as u64,
            low_bytes: (geometry.capacity_bytes as f64 * config.low_water) as u64,
        });
        let core = Arc::new(Core {
            geometry,
            table,
            segment,
            holdings,
            free_slots: FreeSlots::new(geometry.max_objects),
            blocks: Blocks::new((geometry.capacity_bytes / geometry.block_bytes) as usize),
            ledger: Mutex::new(Ledger {
                space: Space::new(geometry.capacity_bytes),
                extents: Default::default(),
                blocks: Default::default(),
                nested: Default::default(),
                files: Default::default(),
                origins: Origins::new(config.origin_bytes, config.max_objects as usize / 4),
                clients,
                leaving: ClientSet::EMPTY,
                ownerless: BTreeSet::new(),
                spills: Spills::new(config.spill_dir.as_deref(), geometry.base_generation)
                    .map_err(|source| Error::SpillDir {
                        path: config.spill_dir.clone().unwrap_or_default(),
                        source,
                    })?,
            }),
            wake: OnceLock::new(),
            recovery: OnceLock::new(),
            serving: (0..=u8::MAX).map(|_| Default::default()).collect(),
            water,
            spill_key: random()?,
            reserve: Reserve::new(config.reserve_bytes, geometry.capacity_bytes),
            endings: Endings::default(),
            moving: Mutex::new(()),
        });
        Reserve::start(&core);
        let client = Client::of_node(Arc::clone(&core));
        Ok(Arc::new(Node { core, client, memory, hosted: Mutex::default() }))
    }

    /// Says how to wake clients that wait for an object; until then nobody is woken. The first call
    /// counts.
    pub fn connect_wake(&self, wake: Arc<dyn Wake>) {
        let _ = self.core.wake.set(wake);
    }

    /// The client of the node's own process; its requests are answered without a message.
    pub fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// The sizes of the store.
    pub fn geometry(&self) -> Geometry {
        self.core.geometry
    }

    /// Lets another process in.
    ///
    /// # Errors
    /// When all numbers are taken, or no descriptor can be had.
    pub fn admit(&self) -> Result<Admission, Error> {
        self.client.check_ours()?;
        let segments = self.memory.segments()?;
        let mut ledger = self.core.ledger.lock();
        let client = (1..=u8::MAX)
            .map(ClientId::new)
            .find(|&client| !ledger.clients.contains(client))
            .ok_or(Error::TooManyClients)?;
        ledger.clients.insert(client);
        // What the number's last owner was marked for is nothing to the new one.
        self.core.table.dirty(client).take(&mut |_| {});
        self.core.table.alarm(client).reset();
        self.core.table.set_clients(ledger.clients);
        Ok(Admission { client, geometry: self.core.geometry, segments })
    }

    /// Answers a request of a client. Any thread may call; it may read or write a spill file.
    ///
    /// # Safety
    /// By requests a client also gives memory back, which is lent to others then. So either the [`Client`] that is
    /// attached under this number gave the request to its [`Transport`](crate::Transport), and it has not been answered
    /// before; or nobody is attached under the number, and nobody has a view of anything in memory that was lent to it.
    #[allow(unsafe_code, reason = "it has a contract, and does nothing by itself")]
    pub unsafe fn serve(&self, client: ClientId, request: Request) -> Reply {
        if !self.client.is_ours() {
            return Reply::Refused(Refusal::Closed);
        }
        self.core.serve(client, request)
    }

    /// Has the objects that a dead client was just sealing wait for a value again, and nothing more: from then on
    /// the next attempt at each can be named ([`Node::set_attempt`]), or the object failed. Reaping does the same,
    /// but it also lets go of what the client held, which may have to outlast that. Idempotent.
    ///
    /// ```
    /// # use rustyray_store::{Config, Node};
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() })?;
    /// let dead = node.admit()?.client; // its process has ended since
    /// // SAFETY: nobody ever attached by it.
    /// unsafe { node.put_back(dead) };
    /// // Its tasks are given to others, under their next attempts; then what it held can go.
    /// // SAFETY: as above.
    /// assert!(unsafe { node.reap(dead) }.orphans.is_empty());
    /// # Ok::<(), rustyray_store::Error>(())
    /// ```
    ///
    /// # Safety
    /// As for [`Node::reap`]: a client that lived would go on writing to the headers of these objects, beside the next
    /// attempt.
    #[allow(unsafe_code, reason = "it has a contract, and does nothing by itself")]
    pub unsafe fn put_back(&self, client: ClientId) {
        if self.client.is_ours() {
            self.core.put_back(client);
        }
    }

    /// Clears away what a dead client left; afterwards its number is free. Idempotent.
    ///
    /// # Safety
    /// What was lent to the client, and what it had views of, is lent to others from then on, so nobody may read or
    /// write there any more: the process that was admitted under this number has ended, or nobody in it attached; or
    /// whoever did has dropped the client with all its writers, pins and views; or has [abandoned](Client::abandon) it,
    /// is in no call of it, and neither reads its views nor writes to its writers from here on.
    ///
    /// And the number is still that process's: nobody else reaps it meanwhile, nor has it been given away again since.
    /// (In a process that was forked off the node's nothing happens, whatever the number.)
    #[allow(unsafe_code, reason = "it has a contract, and does nothing by itself")]
    pub unsafe fn reap(&self, client: ClientId) -> Reaped {
        if !self.client.is_ours() {
            return Reaped::default();
        }
        self.core.reap(client)
    }

    /// Frees up to `limit` of the objects that other processes let go of; how many objects were freed.
    /// One load when there is nothing to do.
    pub fn collect(&self, limit: usize) -> usize {
        if !self.client.is_ours() {
            return 0;
        }
        self.core.collect(limit)
    }

    /// Says which attempt's seal counts, and that a task answers for the object from now on.
    ///
    /// # Errors
    /// When the object is gone, sealed, or being sealed this instant; by a client that has died meanwhile until
    /// [`Node::put_back`].
    pub fn set_attempt(&self, id: ObjectId, attempt: u16) -> Result<(), AttemptError> {
        let core = &self.core;
        let generation = core.geometry.generation(id).ok_or_else(|| core.table.stale(id))?;
        let slot = core.table.slot(id.index);
        match slot.state().transition_to_attempt(generation, attempt) {
            Rename::Renamed => {
                slot.set_owner(Owner { client: None, attempt, ..slot.owner() });
                Ok(())
            }
            Rename::Sealing => Err(AttemptError::Sealing(id)),
            Rename::Sealed => Err(AttemptError::AlreadySealed(id)),
            Rename::Gone => Err(core.table.stale(id).into()),
        }
    }

    /// How many bytes are in objects that somebody has a view of. Looks at all slots.
    pub fn pinned_bytes(&self) -> u64 {
        self.core.pinned_bytes()
    }

    /// What the store holds. Looks at all slots.
    pub fn stats(&self) -> Stats {
        let objects = self
            .core
            .touched_slots()
            .filter(|&index| {
                let phase = self.core.table.slot(index).state().load().phase();
                !matches!(phase, Phase::Free | Phase::Retired | Phase::Granted)
            })
            .count();
        let ledger = self.core.ledger.lock();
        let open = ledger.blocks.values().filter(|lease| lease.is_open).count();
        Stats {
            capacity_bytes: self.core.geometry.capacity_bytes,
            used_bytes: ledger.space.used_bytes(),
            leased_bytes: open as u64 * self.core.geometry.block_bytes,
            peak_used_bytes: ledger.space.peak_used_bytes(),
            spilled_bytes: ledger.spills.bytes(),
            warm_bytes: ledger.space.warm_bytes(),
            reserve_bytes: self.core.reserve.bytes(),
            objects: objects as u64,
            clients: ledger.clients.iter().count() as u32,
        }
    }

    /// All objects that are alive, and who keeps them so.
    pub fn leaks(&self) -> Vec<Leak> {
        self.core.leaks()
    }

    /// Ends the store for everybody, and says what was still alive. Afterwards nothing goes in and nothing is
    /// freed, requests are refused, and what was on disk is gone; views can still be read, for as long as they
    /// live. Of strict objects only what has views keeps its memory. Idempotent: only the first call has something to
    /// say.
    ///
    /// A node that is dropped does the same, and in debug builds writes what was alive to standard error, since
    /// nobody is there to be told.
    pub fn shutdown(&self) -> LeakReport {
        if !self.client.is_ours() {
            return LeakReport::default();
        }
        self.core.reserve.end();
        self.core.collect(usize::MAX);
        let report = self.core.leak_report();
        self.client.abandon();
        self.core.table.alarm(ClientId::NODE).ring();
        for stream in self.hosted.lock().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _turn = self.core.moving.lock();
        self.core.ledger.lock().spills.close();
        self.core.close_files();
        report
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let report = self.shutdown();
        if cfg!(debug_assertions) && !report.is_empty() && !std::thread::panicking() {
            // `eprintln!` panics where nobody reads it.
            let _ = writeln!(std::io::stderr(), "rustyray-store: {report}");
        }
    }
}

/// The bytes of a block in a store that is neither large nor tiny.
const LEAST_BLOCK_BYTES: u64 = 64 << 10;

fn geometry(config: &Config) -> Result<Geometry, Error> {
    let capacity_bytes = config
        .capacity_bytes
        .checked_next_multiple_of(PAGE_BYTES)
        .filter(|bytes| (16 * PAGE_BYTES..MAX_CAPACITY_BYTES).contains(bytes))
        .ok_or(Error::Config("the capacity must be between 64 KiB and 64 TiB"))?;
    if !(1..=deadmap::MAX_SLOTS).contains(&config.max_objects) {
        return Err(Error::Config("the object table has between 1 and 16 Mi slots"));
    }
    if !(0.0..=1.0).contains(&config.high_water)
        || !(0.0..=config.high_water).contains(&config.low_water)
    {
        return Err(Error::Config(
            "the low-water mark lies below the high-water mark, both in 0..=1",
        ));
    }
    if config.tier == Tier::Strict && config.backend != Backend::Memfd {
        return Err(Error::Config("the strict tier needs memfds"));
    }
    // 1/512 of the store: neither what writers lease nor small objects that live long, each of which keeps
    // its block from being used again, fill it. In a small store blocks are not as small as that, but 1/64 of it.
    let least = (capacity_bytes / 64).min(LEAST_BLOCK_BYTES);
    let block_bytes =
        (capacity_bytes / 512).max(least).next_power_of_two().clamp(PAGE_BYTES, MAX_BLOCK_BYTES);
    let random: [u8; 8] = random()?;
    Ok(Geometry {
        capacity_bytes,
        max_objects: config.max_objects,
        block_bytes,
        large_bytes: block_bytes / 4,
        base_generation: 1 + u64::from_le_bytes(random) % (GENERATIONS - 1),
        is_strict: config.tier == Tier::Strict,
        put_timeout_ms: config.put_timeout.as_millis().try_into().unwrap_or(u64::MAX),
    })
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let os = |source| Error::Os { doing: "drawing random numbers", source };
    let mut source = std::fs::File::open("/dev/urandom").map_err(os)?;
    std::io::Read::read_exact(&mut source, &mut bytes).map_err(os)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_that_cannot_be_is_refused() {
        for capacity_bytes in [0, 15 * PAGE_BYTES, MAX_CAPACITY_BYTES, u64::MAX - 1, u64::MAX] {
            let config = Config { capacity_bytes, ..Config::default() };
            assert!(matches!(geometry(&config), Err(Error::Config(_))), "{capacity_bytes}");
        }
        let config = Config { capacity_bytes: 16 * PAGE_BYTES - 1, ..Config::default() };
        assert_eq!(geometry(&config).expect("rounded up").capacity_bytes, 16 * PAGE_BYTES);
    }
}
