//! A process's side of the store: reserve, refer, wait, and get at memory.
//!
//! Writing and sealing are in `seal`, reading is in `pin` and `view`. Nothing here makes a system call
//! or takes a lock but where a request goes to the node: a batch of slots, a block, a large extent, a
//! list of nested references, a spilled object.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use crossbeam::queue::ArrayQueue;
use parking_lot::Mutex;
use rustyray_memory::{
    NotOurs,
    sync::{AtomicU32, AtomicU64, Ordering},
};

use crate::{
    ClientId, ClientSet, Error, Geometry, Inline, ObjectId, Pin, PinError, Refusal, Reply, Request,
    Segments, Stale, Tier, TransportError, Writer, backend,
    core::Core,
    dirty::{DIRTY_GROUPS, Dirty},
    fault,
    geometry::PAGE_BYTES,
    holdings::{Holdings, NotHeld, NotPinned},
    lease::{Closed, OpenBlock, Placed},
    own_blocks::OwnBlocks,
    place::Place,
    room,
    sealed::Mapped,
    segment::Segment,
    serve::MAX_GRANT,
    slot::Owner,
    state::Phase,
    table::Table,
};

/// How a client's requests reach the node; any thread of the client's process may call, several at once. What the
/// client relies on is said where it is [attached](Client::attach).
pub trait Transport: Send + Sync {
    /// Carries a request to [`crate::Node::serve`], once, and its reply back; blocks until then.
    ///
    /// # Errors
    /// When the node cannot be reached.
    fn call(&self, request: Request) -> Result<Reply, TransportError>;
}

/// How a client wakes others; called by whatever thread sealed or freed something, so it is not to block.
pub trait Wake: Send + Sync {
    /// Something that these clients wait for has happened; their dirty maps say where.
    fn wake(&self, clients: ClientSet);

    /// The node has sealed what this thread asked it to seal, and has woken by itself those who wait for it, perhaps itself
    /// too.
    fn sealed_by_node(&self) {}
}

/// What an object is to somebody who wants its value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has no value yet.
    Pending,
    /// It has a value.
    Sealed,
    /// It has an error.
    Failed,
    /// The id names no living object.
    Gone,
}

/// A process's side of the store; its threads share it, and any of them may call anything. The crate's documentation
/// shows how it is used.
pub struct Client {
    geometry: Geometry,
    holdings: Arc<Holdings>,
    segment: Arc<Segment>,
    open_block: OpenBlock,
    /// Granted slots, not yet reserved.
    stock: ArrayQueue<u32>,
    /// How many slots to ask for next.
    grant: AtomicU32,
    /// Held while asking for slots or for a block; knows which blocks this process can write to.
    refill: Mutex<OwnBlocks>,
    /// Per type (by fingerprint): how large its last value was, to guess the next one.
    pub(crate) hints: Box<[AtomicU64]>,
    /// The strict objects that are mapped here.
    pub(crate) mapped: Mapped,
    link: Link,
    /// Lets go of what the process keeps and needs no more.
    let_go: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The way to the node.
enum Link {
    /// This is the node's process.
    Home(Arc<Core>),
    Away {
        transport: Arc<dyn Transport>,
        wake: Arc<dyn Wake>,
    },
}

/// Slots asked for at once: that many at first, and twice as many each time.
const FIRST_GRANT: u32 = 64;
/// How long to let others make room before asking for memory again.
const ROOM_POLL: Duration = Duration::from_millis(1);
/// The same while the disk takes nothing: each time it is asked costs more.
const DISK_POLL: Duration = Duration::from_millis(20);
pub(crate) const HINTS: usize = 256;

/// What became of asking for memory.
enum Room<P> {
    Found(P),
    /// There is none just now; why nothing could be spilled, if it was that.
    None(Option<std::io::Error>),
}

fn disk_error(reply: Reply) -> Option<std::io::Error> {
    match reply {
        Reply::CannotSpill { errno } => Some(std::io::Error::from_raw_os_error(errno)),
        _ => None,
    }
}

impl Client {
    /// Attaches this process to a store, with what [`crate::Node::admit`] gave for it.
    ///
    /// # Errors
    /// When the memory is not that of a store of this version, or cannot be mapped.
    ///
    /// # Safety
    /// The client writes where it is told that memory was lent to it, and reads what others sealed as what does not
    /// change. So
    /// - `geometry`, `segments` and `client` are those of one [`Admission`](crate::Admission), by which nobody else is
    ///   attached and which has not been reaped, and nothing but the node and its clients writes to the segments;
    /// - `transport` has [`crate::Node::serve`] of the node that admitted it answer each request, once, under the number
    ///   `client`, and gives the reply to that very request, or an error.
    #[allow(unsafe_code, reason = "it has a contract, and does nothing by itself")]
    pub unsafe fn attach(
        geometry: Geometry,
        segments: impl Into<Segments>,
        client: ClientId,
        transport: Arc<dyn Transport>,
        wake: Arc<dyn Wake>,
    ) -> Result<Arc<Client>, Error> {
        let (table, segment) = backend::attach(segments.into(), geometry)?;
        let holdings = Arc::new(Holdings::new(table, client)?);
        Ok(Self::new(geometry, holdings, segment, Link::Away { transport, wake }))
    }

    pub(crate) fn of_node(core: Arc<Core>) -> Arc<Client> {
        Self::new(
            core.geometry,
            Arc::clone(&core.holdings),
            Arc::clone(&core.segment),
            Link::Home(core),
        )
    }

    fn new(
        geometry: Geometry,
        holdings: Arc<Holdings>,
        segment: Arc<Segment>,
        link: Link,
    ) -> Arc<Self> {
        Arc::new(Client {
            geometry,
            holdings,
            segment,
            open_block: OpenBlock::new(geometry.block_bytes),
            stock: ArrayQueue::new(2 * MAX_GRANT as usize),
            grant: AtomicU32::new(FIRST_GRANT),
            refill: Mutex::default(),
            hints: (0..HINTS).map(|_| AtomicU64::new(0)).collect(),
            mapped: Mapped::default(),
            link,
            let_go: OnceLock::new(),
        })
    }

    /// The client's number.
    pub fn id(&self) -> ClientId {
        self.holdings.client
    }

    /// The sizes of the store.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn table(&self) -> &Table {
        &self.holdings.table
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// The object at this place of a block is written: this process writes there no more.
    #[inline]
    pub(crate) fn finish(&self, placed: Placed) {
        if !self.open_block.finish(placed) {
            let bytes = self.geometry.block_bytes;
            self.refill.lock().finished(placed.block, bytes, &self.segment);
        }
    }

    pub(crate) fn open_block(&self) -> &OpenBlock {
        &self.open_block
    }

    /// Whether this process may touch what is shared: not when it was forked off, nor after
    /// [`Client::abandon`].
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.holdings.fork.is_ours()
    }

    /// The same, with the reason why not.
    #[inline]
    pub(crate) fn check_ours(&self) -> Result<(), NotOurs> {
        self.holdings.fork.check()
    }

    /// Whether this process was forked off the one that attached. What is shared is that one's alone: here every
    /// operation on it fails, with [`Error::Forked`].
    ///
    /// ```
    /// # use rustyray_store::{Config, Node};
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() })?;
    /// assert!(!node.client().is_forked(), "this very process made it");
    /// # Ok::<(), rustyray_store::Error>(())
    /// ```
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.holdings.fork.is_forked()
    }

    /// Touch nothing shared any more: references and views that are dropped from now on stay counted
    /// until this process is reaped. Views can still be read.
    pub fn abandon(&self) {
        self.holdings.fork.abandon();
    }

    /// Asks the node.
    pub(crate) fn ask(&self, request: Request) -> Result<Reply, Error> {
        let reply = match &self.link {
            Link::Home(core) => core.serve(self.id(), request),
            Link::Away { transport, .. } => transport.call(request)?,
        };
        match reply {
            Reply::Refused(Refusal::Garbage) => Err(Error::Protocol("the node refused a request")),
            Reply::Refused(Refusal::UnknownClient) => Err(Error::UnknownClient(self.id().get())),
            Reply::Refused(Refusal::Closed) => Err(Error::Closed),
            Reply::Refused(Refusal::NoFiles) => Err(Error::Os {
                doing: "making the file of a strict object (each takes a descriptor of the node's)",
                source: nix::errno::Errno::EMFILE.into(),
            }),
            Reply::Refused(Refusal::TableFull) => {
                Err(Error::TableFull { max_objects: self.geometry.max_objects })
            }
            Reply::Refused(Refusal::NoMemory) => Err(Error::Os {
                doing: "getting memory from the system",
                source: nix::errno::Errno::ENOMEM.into(),
            }),
            reply => Ok(reply),
        }
    }

    // ---- references -------------------------------------------------------------------------------

    /// Reserves an object, which the caller then refers to once.
    ///
    /// # Errors
    /// When the table is full, or the node cannot be asked for slots.
    #[inline]
    pub fn reserve(&self) -> Result<ObjectId, Error> {
        self.reserve_as(0)
    }

    /// The same, with a word on where the object comes from, which is kept with it: see [`crate::Lost::tag`].
    ///
    /// # Errors
    /// As [`Client::reserve`].
    pub fn reserve_as(&self, tag: u8) -> Result<ObjectId, Error> {
        self.check_ours()?;
        loop {
            let index = match &self.link {
                Link::Home(core) => core
                    .free_slots
                    .pop()
                    .ok_or(Error::TableFull { max_objects: self.geometry.max_objects })?,
                Link::Away { .. } => self.granted()?,
            };
            if let Some(id) = self.reserve_slot(index, tag) {
                return Ok(id);
            }
        }
    }

    /// `None` when the slot is not ours to take: somebody wrote where he should not have.
    fn reserve_slot(&self, index: u32, tag: u8) -> Option<ObjectId> {
        let slot = self.table().slot(index);
        let generation = slot.state().load().generation();
        let adopted = self.holdings.adopt(index, generation, || {
            fault::point("reserve.held");
            slot.set_owner(Owner { client: Some(self.id()), attempt: 0, tag, losses: 0 });
            slot.state().transition_to_reserved(self.id()).is_some()
        });
        adopted.then(|| self.geometry.id(index, generation))
    }

    /// A slot of this client's stock.
    fn granted(&self) -> Result<u32, Error> {
        if let Some(index) = self.stock.pop() {
            return Ok(index);
        }
        let _refill = self.refill.lock();
        if let Some(index) = self.stock.pop() {
            return Ok(index);
        }
        // Relaxed: a guess, changed under the lock only. No client hoards much of the table.
        let wanted = self.grant.load(Ordering::Relaxed);
        let most = (self.geometry.max_objects / 1024).clamp(FIRST_GRANT, MAX_GRANT);
        self.grant.store((2 * wanted).min(most), Ordering::Relaxed);
        let Reply::Slots { first, count } = self.ask(Request::Slots { count: wanted })? else {
            return Err(Error::Protocol("slots were asked for"));
        };
        fault::point("slots.granted");
        let mut next = u64::from(first);
        for _ in 0..count {
            if next >= u64::from(self.geometry.max_objects) {
                break;
            }
            let index = next as u32;
            let slot = self.table().slot(index);
            next = slot.next();
            let seen = slot.state().load();
            if seen.phase() == Phase::Granted && self.stock.push(index).is_err() {
                break;
            }
        }
        self.stock.pop().ok_or(Error::Protocol("the node granted no slots"))
    }

    /// Counts one more reference of this process. Somebody must hold one meanwhile: the caller, the
    /// sender, or a container.
    ///
    /// # Errors
    /// When the id names no living object; also when the node died while it looked whether it was one.
    #[inline]
    pub fn retain(&self, id: ObjectId) -> Result<(), Stale> {
        if !self.is_ours() || self.holdings.retain_again(id) {
            return Ok(());
        }
        self.retain_first(id)
    }

    #[inline(never)]
    fn retain_first(&self, id: ObjectId) -> Result<(), Stale> {
        loop {
            let (result, perhaps_dead) = self.holdings.retain(id);
            fault::point("retain.held");
            if perhaps_dead {
                self.perhaps_dead(id.index);
            }
            match result {
                Ok(()) => return Ok(()),
                Err(NotHeld::Stale(stale)) => return Err(stale),
                // It will never be anything else.
                Err(NotHeld::Undecided) => self.await_node().map_err(|_| Stale::Gone(id))?,
            }
        }
    }

    /// After the node has left something undecided for long: an error when it is dead, and will never decide.
    #[cold]
    pub(crate) fn await_node(&self) -> Result<(), NotOurs> {
        self.check_ours()?;
        match &self.link {
            // It is another thread of this process that decides.
            Link::Home(_) => Ok(()),
            // Whoever answers lives, whatever it says; and whoever counts us no more is none of ours.
            Link::Away { .. } => self.ask(Request::Usage).map(drop).map_err(|_| NotOurs::Closed),
        }
    }

    /// Counts one reference of this process less; with the last one of all processes the object goes:
    /// at once in the node's process, with the next [`crate::Node::collect`] elsewhere.
    #[inline]
    pub fn release(&self, id: ObjectId) {
        if self.is_ours() && !self.holdings.release_one_of_many(id) {
            self.release_last(id);
        }
    }

    #[inline(never)]
    fn release_last(&self, id: ObjectId) {
        if self.holdings.release(id) {
            fault::point("release.cleared");
            self.perhaps_dead(id.index);
        }
    }

    /// What is wrong with an id that names no living object.
    pub(crate) fn stale(&self, id: ObjectId) -> Stale {
        self.table().stale(id)
    }

    /// Whether this process refers to the object.
    pub fn holds(&self, id: ObjectId) -> bool {
        // What is counted in a forked child is its parent's; and a thread of it that was counting is not there to end that.
        !self.is_forked() && self.holdings.holds(id)
    }

    /// In the node's process: what the node holds for a container, which the caller has pinned.
    pub(crate) fn nested_of(&self, container: ObjectId) -> Option<Arc<[ObjectId]>> {
        match &self.link {
            Link::Home(core) => core.nested_of(container),
            Link::Away { .. } => None,
        }
    }

    /// Nobody may refer to the object in the slot any more.
    pub(crate) fn perhaps_dead(&self, index: u32) {
        match &self.link {
            Link::Home(core) => {
                core.try_free(index);
            }
            Link::Away { .. } => {
                self.table().dead().mark(index);
                fault::point("release.marked");
            }
        }
    }

    // ---- waiting ----------------------------------------------------------------------------------

    /// What the object is now: one load.
    #[inline]
    pub fn status(&self, id: ObjectId) -> Status {
        let Some(generation) = self.geometry.generation(id) else { return Status::Gone };
        status(self.table().slot(id.index).state().load(), generation)
    }

    /// How many bytes the value of a sealed object has; of one that somebody holds.
    #[inline]
    pub fn len_bytes(&self, id: ObjectId) -> u64 {
        match self.geometry.generation(id) {
            Some(_) => self.table().slot(id.index).header().len_bytes,
            None => 0,
        }
    }

    /// Asks to be woken when the object settles, and what it is now. The wakeup comes through
    /// [`Wake`], and [`Client::drain_dirty`] then names the object's group. Asking again is harmless;
    /// it is to be asked again for each object that settled in the meantime and was reserved anew.
    pub fn subscribe(&self, id: ObjectId) -> Status {
        let Some(generation) = self.geometry.generation(id) else { return Status::Gone };
        let slot = self.table().slot(id.index);
        match status(slot.state().load(), generation) {
            Status::Pending if self.is_ours() => status(slot.subscribe(self.id()), generation),
            settled => settled,
        }
    }

    /// The group under which a subscription to the object reports.
    pub fn dirty_group(&self, id: ObjectId) -> u32 {
        id.index % DIRTY_GROUPS
    }

    /// Takes the groups in which something that this client subscribed to has happened.
    pub fn drain_dirty(&self, look: &mut dyn FnMut(u32)) {
        if !self.is_ours() {
            return;
        }
        Dirty::take(&self.table().dirty(self.id()), look);
    }

    /// After the node has settled an object as this process asked it to.
    pub(crate) fn sealed_by_node(&self) {
        if let Link::Away { wake, .. } = &self.link {
            wake.sealed_by_node();
        }
    }

    /// After an object was settled by this process.
    pub(crate) fn announce(&self, id: ObjectId) {
        let slot = self.table().slot(id.index);
        let waiters = slot.waiters();
        if waiters != 0 {
            fault::point("seal.unannounced");
            let clients = self.table().announce(id.index, waiters);
            match &self.link {
                Link::Home(core) => {
                    if let Some(wake) = core.wake.get() {
                        wake.wake(clients);
                    }
                }
                Link::Away { wake, .. } => wake.wake(clients),
            }
            // Those who were woken may have let go of the object already, and the slot may hold another
            // one that somebody waits for: only while this process holds the object are the bits its.
            if self.retain(id).is_ok() {
                slot.woken(waiters);
                self.release(id);
            }
        }
    }

    // ---- memory -----------------------------------------------------------------------------------

    /// Gets memory for `capacity` bytes, of which the value takes the first `len`.
    pub(crate) fn create_reserved(
        self: &Arc<Self>,
        tier: Tier,
        len: usize,
        capacity: usize,
    ) -> Result<Writer, Error> {
        self.check_ours()?;
        let mut capacity = capacity;
        if capacity > 0 && (tier == Tier::Strict || self.geometry.is_strict) {
            let (key, file) = self.place_strict(capacity as u64)?;
            fault::point("create.placed");
            return Ok(Writer::in_file(Arc::clone(self), key, file, len, capacity));
        }
        let place = match capacity as u64 {
            0 => Place::Empty,
            bytes if bytes < self.geometry.large_bytes => self.place_small(bytes)?,
            bytes => {
                let (place, granted) = self.place_large(bytes)?;
                capacity = granted as usize;
                place
            }
        };
        fault::point("create.placed");
        Ok(Writer::new(Arc::clone(self), place, len, capacity))
    }

    #[inline]
    fn place_small(&self, len_bytes: u64) -> Result<Place, Error> {
        if let Some(placed) = self.open_block.place(len_bytes) {
            return Ok(Place::Block { offset_bytes: placed.offset_bytes });
        }
        self.wait_for_room(len_bytes, || {
            let mut blocks = self.refill.lock();
            if let Some(placed) = self.open_block.place(len_bytes) {
                return Ok(Room::Found(Place::Block { offset_bytes: placed.offset_bytes }));
            }
            let closed = self.open_block.close();
            fault::point("lease.closed");
            let closing = closed.map(|closed| (closed.block, closed.placed));
            let reply = self.ask(Request::Lease { closing });
            let block_bytes = self.geometry.block_bytes;
            let lent = match &reply {
                &Ok(Reply::Extent { offset_bytes, .. }) => {
                    Some((offset_bytes / block_bytes) as u32)
                }
                _ => None,
            };
            if let Some(closed) = closed.filter(|closed| Some(closed.block) != lent) {
                blocks.closed(closed, block_bytes, &self.segment);
            }
            let reply = reply?;
            let Reply::Extent { offset_bytes, len_bytes: granted, is_warm } = reply else {
                return self.no_room(reply, len_bytes);
            };
            fault::point("lease.granted");
            let block = (offset_bytes / block_bytes) as u32;
            if granted != block_bytes || !self.segment.contains(offset_bytes, block_bytes) {
                return Err(Error::Protocol("the node lent a block that is none"));
            }
            let result = blocks.lent(block, block_bytes, &self.segment).and_then(|()| {
                if is_warm { Ok(()) } else { self.segment.populate(offset_bytes, block_bytes) }
            });
            if let Err(error) = result {
                let closed = Closed { block, placed: 0, writing: Some(0) };
                blocks.closed(closed, block_bytes, &self.segment);
                let _ = self.ask(Request::GiveBack { offset_bytes, is_populated: false });
                return Err(error);
            }
            self.open_block.open(block);
            Ok(match self.open_block.place(len_bytes) {
                Some(placed) => Room::Found(Place::Block { offset_bytes: placed.offset_bytes }),
                None => Room::None(None),
            })
        })
    }

    /// An extent, and how many bytes it has.
    fn place_large(&self, len_bytes: u64) -> Result<(Place, u64), Error> {
        self.wait_for_room(len_bytes, || {
            let reply = self.ask(Request::Extent { len_bytes })?;
            let Reply::Extent { offset_bytes, len_bytes: granted, is_warm } = reply else {
                return self.no_room(reply, len_bytes);
            };
            fault::point("extent.granted");
            if granted < len_bytes || !self.segment.contains(offset_bytes, granted) {
                return Err(Error::Protocol("the node lent an extent that is none"));
            }
            let bytes = self.geometry.block_bytes;
            let lent = self.refill.lock().lent_extent(offset_bytes, granted, bytes, &self.segment);
            let result = lent.and_then(|()| {
                if is_warm { Ok(()) } else { self.segment.populate(offset_bytes, granted) }
            });
            if let Err(error) = result {
                self.segment.forbid_writes(offset_bytes, granted);
                let _ = self.ask(Request::GiveBack { offset_bytes, is_populated: false });
                return Err(error);
            }
            Ok(Room::Found((Place::Extent { offset_bytes }, granted)))
        })
    }

    /// A file for a strict object, and where this process has mapped it for writing.
    #[cold]
    fn place_strict(&self, len_bytes: u64) -> Result<(u64, Segment), Error> {
        let os = |source| Error::Os { doing: "mapping the file of a strict object", source };
        self.wait_for_room(len_bytes, || {
            let reply = self.ask(Request::Create { len_bytes })?;
            let Reply::File { key, at, len_bytes: granted, .. } = reply else {
                return self.no_room(reply, len_bytes);
            };
            fault::point("strict.granted");
            if granted < len_bytes {
                let _ = self.ask(Request::Drop { key });
                return Err(Error::Protocol("the node lent a file that is too short"));
            }
            let mapped = at
                .open(true)
                .and_then(|file| Segment::writable(&file, granted as usize))
                .map_err(os)
                .and_then(|file| file.populate(0, granted).map(|()| file));
            match mapped {
                Ok(file) => Ok(Room::Found((key, file))),
                Err(error) => {
                    let _ = self.ask(Request::Drop { key });
                    Err(error)
                }
            }
        })
    }

    /// Gives the tail of an extent back to the node. This process may not write there any more, from
    /// before the node hears of it: it may lend the tail to another thread of this process at once.
    pub(crate) fn shrink(&self, offset_bytes: u64, from_bytes: u64, to_bytes: u64) {
        let (from, to) =
            (from_bytes.next_multiple_of(PAGE_BYTES), to_bytes.next_multiple_of(PAGE_BYTES));
        if from > to {
            self.segment.forbid_writes(offset_bytes + to, from - to);
            fault::point("shrink.forbidden");
            // If the node cannot be told, the tail goes back with the rest.
            let _ = self.ask(Request::Shrink { offset_bytes, len_bytes: to });
        }
    }

    fn no_room<P>(&self, reply: Reply, len_bytes: u64) -> Result<Room<P>, Error> {
        match reply {
            Reply::Full { .. } | Reply::CannotSpill { .. } => Ok(Room::None(disk_error(reply))),
            Reply::Refused(Refusal::NotStrict) => Err(Error::NotStrict),
            Reply::Refused(Refusal::TooLarge) => Err(self.too_large(len_bytes)),
            _ => Err(Error::Protocol("memory was asked for")),
        }
    }

    fn too_large(&self, requested_bytes: u64) -> Error {
        match self.ask(Request::Usage) {
            Ok(Reply::Full { capacity_bytes, used_bytes, pinned_bytes, spilled_bytes }) => {
                Error::TooLarge {
                    capacity_bytes,
                    used_bytes,
                    pinned_bytes,
                    spilled_bytes,
                    requested_bytes,
                }
            }
            Ok(_) => Error::Protocol("sizes were asked for"),
            Err(error) => error,
        }
    }

    /// Has `let_go` run by each thread of this process that found no room, before it waits for some: what the process
    /// keeps for others and needs no more may be what takes it. It waits for nobody. Only the first that is given counts.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// # use rustyray_store::{Config, Node};
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
    /// # let client = node.client();
    /// let kept = Arc::new(Mutex::new(vec![client.put(&vec![1_u8; 40 << 20])?]));
    /// let (keeps, releases) = (Arc::clone(&kept), Arc::downgrade(&client));
    /// client.let_go_for_room(move || {
    ///     let Some(client) = releases.upgrade() else { return };
    ///     kept.lock().expect("no panic").drain(..).for_each(|id| client.release(id));
    /// });
    /// client.put(&vec![2_u8; 40 << 20])?;
    /// assert!(keeps.lock().expect("no panic").is_empty());
    /// # Ok::<(), rustyray_store::Error>(())
    /// ```
    pub fn let_go_for_room(&self, let_go: impl Fn() + Send + Sync + 'static) {
        let _ = self.let_go.set(Box::new(let_go));
    }

    /// Lets others make room, after there was none; `disk` is why nothing could be spilled, if it was that.
    fn await_room(&self, disk: Option<&std::io::Error>) {
        if let Some(let_go) = self.let_go.get() {
            let_go();
        }
        std::thread::sleep(if disk.is_none() { ROOM_POLL } else { DISK_POLL });
    }

    /// Tries until there is room or the time for it is up.
    fn wait_for_room<P>(
        &self,
        len_bytes: u64,
        mut attempt: impl FnMut() -> Result<Room<P>, Error>,
    ) -> Result<P, Error> {
        let mut deadline = None;
        loop {
            let disk = match attempt()? {
                Room::Found(place) => return Ok(place),
                Room::None(disk) => disk,
            };
            let until = *deadline.get_or_insert_with(|| room::wait_until(&self.geometry));
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(self.store_full(len_bytes, disk));
            }
            self.await_room(disk.as_ref());
        }
    }

    /// What a put without room says; `disk` is why nothing could be spilled, if it was that.
    fn store_full(&self, requested_bytes: u64, disk: Option<std::io::Error>) -> Error {
        match self.ask(Request::Usage) {
            Ok(Reply::Full { capacity_bytes, used_bytes, pinned_bytes, spilled_bytes }) => {
                match disk {
                    None => Error::StoreFull {
                        capacity_bytes,
                        used_bytes,
                        pinned_bytes,
                        spilled_bytes,
                        requested_bytes,
                    },
                    Some(source) => Error::CannotSpill {
                        capacity_bytes,
                        used_bytes,
                        pinned_bytes,
                        spilled_bytes,
                        requested_bytes,
                        source,
                    },
                }
            }
            Ok(_) => Error::Protocol("sizes were asked for"),
            Err(error) => error,
        }
    }

    /// Says that this thread will soon look at the object: what other cores wrote of it is brought near. A hint.
    ///
    /// ```
    /// # use rustyray_store::{Config, Node};
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
    /// # let client = node.client();
    /// let ids = [client.put(&1_u64)?, client.put(&2_u64)?, client.put(&3_u64)?];
    /// let mut sum = 0;
    /// for (at, &id) in ids.iter().enumerate() {
    ///     ids.get(at + 2).into_iter().for_each(|&id| client.approach(id));
    ///     sum += client.view::<u64>(id)?.to_owned_value()?;
    /// }
    /// assert_eq!(sum, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn approach(&self, id: ObjectId) {
        if self.geometry.generation(id).is_some() {
            self.table().slot(id.index).approach();
        }
    }

    /// Says that this thread will soon settle the object. A hint.
    #[inline]
    pub fn approach_to_settle(&self, id: ObjectId) {
        if self.geometry.generation(id).is_some() {
            self.table().slot(id.index).approach_to_settle();
        }
    }

    /// A copy of the bytes of a sealed object, if they are so few that they are in its slot: without a pin.
    #[inline]
    pub fn inline(&self, id: ObjectId) -> Option<Inline> {
        let generation = self.geometry.generation(id)?;
        // In a store of strict objects, what the slots say counts for nothing.
        if self.geometry.is_strict || !self.is_ours() {
            return None;
        }
        self.table().slot(id.index).read_inline(generation)
    }

    // ---- views ------------------------------------------------------------------------------------

    /// Holds the object in place and gives its bytes: its value, or its error when it failed. A
    /// spilled object is brought back first.
    ///
    /// # Errors
    /// When it has no value yet, is gone, or cannot be brought back.
    #[inline]
    pub fn pin(self: &Arc<Self>, id: ObjectId) -> Result<Pin, PinError> {
        /// How often a restored object may be spilled again before its pin.
        const RESTORES: u32 = 1000;
        self.check_ours()?;
        for _ in 0..RESTORES {
            let (result, perhaps_dead) = self.holdings.pin(id);
            if perhaps_dead {
                self.perhaps_dead(id.index);
            }
            match result {
                Ok(()) => {
                    fault::point("pin.set");
                    return Pin::new(self, id);
                }
                Err(NotPinned::Away) => {
                    fault::point("pin.away");
                    self.restore(id)?;
                    fault::point("pin.restored");
                }
                Err(NotPinned::Undecided) => self.await_node()?,
                Err(why) => return Err((why, id, &**self).into()),
            }
        }
        Err((NotPinned::Away, id, &**self).into())
    }

    #[cold]
    fn restore(&self, id: ObjectId) -> Result<(), PinError> {
        let until = room::wait_until(&self.geometry);
        loop {
            let reply = self
                .ask(Request::Restore { id })
                .map_err(|source| PinError::Restore { id, source })?;
            match reply {
                Reply::Done => return Ok(()),
                Reply::Stale(id) => return Err(PinError::Stale(self.table().stale(id))),
                Reply::Refused(Refusal::SpillMissing) => return Err(PinError::SpillMissing(id)),
                Reply::Refused(Refusal::SpillDamaged) => {
                    return Err(PinError::SpillDamaged { id, what: "is damaged" });
                }
                Reply::Refused(Refusal::SpillTruncated) => {
                    return Err(PinError::SpillDamaged { id, what: "was cut short" });
                }
                Reply::Full { .. } | Reply::CannotSpill { .. } => {
                    let disk = disk_error(reply);
                    if until.is_some_and(|until| Instant::now() >= until) {
                        return Err(PinError::Restore { id, source: self.store_full(0, disk) });
                    }
                    self.await_room(disk.as_ref());
                }
                Reply::CannotRestore { errno } => {
                    let source = std::io::Error::from_raw_os_error(errno);
                    let source = Error::Os { doing: "reading a spilled object back", source };
                    return Err(PinError::Restore { id, source });
                }
                _ => {
                    let source = Error::Protocol("an object was to be brought back");
                    return Err(PinError::Restore { id, source });
                }
            }
        }
    }
}

#[inline]
fn status(seen: crate::state::Snapshot, generation: u64) -> Status {
    if seen.generation() != generation {
        return Status::Gone;
    }
    match seen.phase() {
        Phase::Reserved | Phase::Sealing => Status::Pending,
        Phase::Sealed | Phase::Spilling | Phase::Spilled | Phase::Restoring => Status::Sealed,
        Phase::Failed => Status::Failed,
        Phase::Freeing => match seen.aux() {
            before if before == Phase::Reserved as u16 => Status::Pending,
            before if before == Phase::Failed as u16 => Status::Failed,
            _ => Status::Sealed,
        },
        Phase::Free | Phase::Granted | Phase::Retired => Status::Gone,
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;
    use crate::{Config, Node, View};

    #[test]
    fn the_hot_path_takes_no_lock() {
        let config = Config { capacity_bytes: 64 << 20, ..Config::default() };
        let node = Node::create(config).expect("a store");
        let client = node.client();
        let id = client.put(&[1u64; 16]).expect("put");
        let Link::Home(core) = &client.link else { unreachable!("the node's own client") };
        let (done, wait) = mpsc::channel();
        thread::scope(|scope| {
            // All the locks of the store: whoever took one would wait until they are let go.
            let _held = (core.ledger.lock(), core.moving.lock(), client.refill.lock());
            let client = &client;
            scope.spawn(move || {
                for value in 0..1000u64 {
                    let view: View<[u64; 16]> = client.view(id).expect("view");
                    assert_eq!(view[15], 1);
                    drop(view.clone());
                    client.retain(id).expect("held");
                    client.release(id);
                    client.release(client.put(&value).expect("put"));
                }
                done.send(()).expect("somebody waits");
            });
            wait.recv_timeout(Duration::from_secs(60)).expect("it waits for a lock");
        });
    }
}
