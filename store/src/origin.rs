//! Where objects come from: what it takes to make one again when its bytes are lost.
//!
//! Only what is on disk can be lost: its file may be damaged, cut short or removed. The store then has whoever runs
//! tasks make the object anew, under the same id: it goes back to *reserved* (`state.rs`), waits for a value as it did
//! at first, and everybody who wants it waits with it. What that takes, the *origin*, is opaque here but for the
//! objects that it holds, which are what the object is made from. To keep how data was made rather than copies of it is
//! what Ray calls lineage, after Spark (Zaharia et al., "Resilient distributed datasets", 2012).
//!
//! # What an origin keeps
//! As long as an object lives, its origin holds what it was made from, in the name of the node. Such an object that
//! nobody else refers to any more costs nothing as long as there is room. When memory runs short, it is not
//! written to disk if it has an origin itself: its bytes are let go of, and made again should anybody ask for them. So
//! what is held only for its sake is on disk only where nobody could make it again, which is what was put.
//!
//! # Bounds
//! The newest origins are kept, as many as there is room for ([`crate::Config::origin_bytes`]), and they hold a
//! quarter of the table's slots at most. Beyond, the oldest is dropped: what has none is lost with its file.
//!
//! Called by the node's process alone. Everything is under the ledger's lock, but that the objects of a dropped
//! origin are let go of after it, one after the other, however long the chain is that hangs on them.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use crate::{Node, ObjectId, Refusal, core::Core, place::Place, slot::Header, state::Phase};

/// The attempt of an object that was lost and that nobody makes yet.
const LOST: u16 = u16::MAX;
/// What keeping one costs beside its recipe and each object that it holds.
const FIXED_BYTES: u64 = 160;
const HELD_BYTES: u64 = 32;

/// Where one or several objects come from.
pub struct Origin {
    held: Vec<ObjectId>,
    recipe_bytes: u64,
    recipe: Arc<dyn Any + Send + Sync>,
}

impl Origin {
    /// Made by `recipe`, which takes `recipe_bytes` of memory, from the objects `held`. The node's process has
    /// counted one reference for each of these, which the origin takes over.
    pub fn new(
        recipe: Arc<dyn Any + Send + Sync>,
        recipe_bytes: u64,
        held: Vec<ObjectId>,
    ) -> Origin {
        Origin { held, recipe_bytes, recipe }
    }

    fn cost_bytes(&self) -> u64 {
        FIXED_BYTES + self.recipe_bytes + HELD_BYTES * self.held.len() as u64
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("held", &self.held).finish_non_exhaustive()
    }
}

/// An object whose bytes were lost. It waits for a value again, of an attempt that
/// [`Node::set_attempt`](crate::Node::set_attempt) is to name.
#[non_exhaustive]
pub struct Lost {
    /// The object; held for as long as [`Recovery::lost`] runs.
    pub id: ObjectId,
    /// What became of its bytes.
    pub what: String,
    /// What [`Client::reserve_as`](crate::Client::reserve_as) was told of it.
    pub tag: u8,
    /// How many bytes it had.
    pub len_bytes: u64,
    /// How it is made, and from what, unless that is not kept. The origin holds the latter.
    pub origin: Option<(Arc<dyn Any + Send + Sync>, Vec<ObjectId>)>,
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { id, what, .. } = self;
        f.debug_struct("Lost").field("id", id).field("what", what).finish_non_exhaustive()
    }
}

/// Who makes objects again.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use rustyray_store::{Config, Lost, Node, Origin, PinError, Recovery, ViewError};
///
/// #[derive(Default)]
/// struct Tasks(Mutex<Vec<Lost>>);
///
/// impl Recovery for Tasks {
///     fn lost(&self, lost: Lost) {
///         self.0.lock().expect("no panic").push(lost); // to be run again
///     }
/// }
///
/// # let directory = std::env::temp_dir().join(format!("rustyray-doc-lost-{}", std::process::id()));
/// let spill_dir = Some(directory.clone());
/// let node = Node::create(Config { capacity_bytes: 16 << 20, spill_dir, ..Config::default() })?;
/// let tasks = Arc::new(Tasks::default());
/// node.connect_recovery(tasks.clone());
/// assert!(node.can_lose());
///
/// let client = node.client();
/// let sevens = || vec![7_u64; 1 << 18]; // 2 MiB
/// let result = client.put(&sevens())?;
/// node.keep_origin(&[result], Origin::new(Arc::new(7_u64), 8, Vec::new()));
///
/// // Others need the room: it goes to disk, where somebody removes it.
/// let others = (0..8).map(|_| client.put(&vec![0_u64; 1 << 18])).collect::<Result<Vec<_>, _>>()?;
/// for own in std::fs::read_dir(&directory)? {
///     for file in std::fs::read_dir(own?.path())? {
///         # let file = file?;
///         # if file.file_name() == "lock" { continue }
///         # let file: std::io::Result<_> = Ok(file);
///         std::fs::remove_file(file?.path())?;
///     }
/// }
///
/// // Whoever wants it finds that it is being made.
/// assert!(matches!(client.view::<Vec<u64>>(result), Err(ViewError::Pin(PinError::Pending(_)))));
/// let lost = tasks.0.lock().expect("no panic").pop().expect("it was told");
/// assert_eq!(lost.id, result);
/// let (recipe, arguments) = lost.origin.expect("it was kept");
/// assert_eq!((recipe.downcast_ref(), arguments.len()), (Some(&7_u64), 0));
///
/// // Another attempt makes it again.
/// node.set_attempt(result, 1)?;
/// client.seal_value(result, 1, &sevens())?;
/// assert_eq!(client.view::<Vec<u64>>(result)?[0], 7);
/// # client.release(result);
/// # others.into_iter().for_each(|id| client.release(id));
/// # drop((client, node));
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Recovery: Send + Sync {
    /// Has the object made again, or settles it with an error. Called on whatever thread asked for the object, with
    /// no lock of the store held.
    fn lost(&self, lost: Lost);
}

/// All origins that are kept.
#[derive(Debug)]
pub(crate) struct Origins {
    limit_bytes: u64,
    held_limit: usize,
    bytes: u64,
    held: usize,
    /// By slot: the object's generation, and where it comes from.
    by_slot: HashMap<u32, (u64, Arc<Origin>)>,
    /// How many origins hold the object in a slot.
    holds: HashMap<u32, u32>,
    /// The objects that have one, oldest first; some may be gone.
    oldest: VecDeque<ObjectId>,
}

impl Origins {
    pub(crate) fn new(limit_bytes: u64, held_limit: usize) -> Self {
        Origins {
            limit_bytes,
            held_limit,
            bytes: 0,
            held: 0,
            by_slot: HashMap::new(),
            holds: HashMap::new(),
            oldest: VecDeque::new(),
        }
    }

    fn of(&self, id: ObjectId) -> Option<&Arc<Origin>> {
        self.by_slot
            .get(&id.index)
            .filter(|(generation, _)| *generation == id.generation)
            .map(|(_, origin)| origin)
    }

    fn insert(&mut self, ids: &[ObjectId], origin: &Arc<Origin>) {
        self.bytes += origin.cost_bytes();
        self.held += origin.held.len();
        for id in &origin.held {
            *self.holds.entry(id.index).or_default() += 1;
        }
        for &id in ids {
            self.by_slot.insert(id.index, (id.generation, Arc::clone(origin)));
            self.oldest.push_back(id);
        }
        if self.oldest.len() > 64 + 2 * self.by_slot.len() {
            let by_slot = &self.by_slot;
            let is_there = |id: &ObjectId| {
                by_slot.get(&id.index).is_some_and(|known| known.0 == id.generation)
            };
            self.oldest.retain(is_there);
        }
    }

    /// Takes the origin of the object in a slot away; it comes back when no other object has it.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Origin> {
        let (_, origin) = self.by_slot.remove(&index)?;
        let origin = Arc::try_unwrap(origin).ok()?;
        self.bytes -= origin.cost_bytes();
        self.held -= origin.held.len();
        for id in &origin.held {
            if let Some(count) = self.holds.get_mut(&id.index) {
                *count -= 1;
                if *count == 0 {
                    self.holds.remove(&id.index);
                }
            }
        }
        Some(origin)
    }

    fn is_over_limit(&self) -> bool {
        self.bytes > self.limit_bytes || self.held > self.held_limit
    }

    /// The oldest object that has an origin.
    fn pop_oldest(&mut self) -> Option<ObjectId> {
        while let Some(id) = self.oldest.pop_front() {
            if self.of(id).is_some() {
                return Some(id);
            }
        }
        None
    }
}

impl Node {
    /// Says whom to tell of objects whose files are lost; until then that is an error of whoever wants them. The first
    /// call counts.
    pub fn connect_recovery(&self, recovery: Arc<dyn Recovery>) {
        let _ = self.core.recovery.set(recovery);
    }

    /// Whether objects can be on disk, and so be lost.
    pub fn can_lose(&self) -> bool {
        self.core.water.is_some()
    }

    /// Keeps where these objects come from, for as long as they live and there is room for it. They are settled,
    /// and the caller holds them; at least one.
    pub fn keep_origin(&self, ids: &[ObjectId], origin: Origin) {
        debug_assert!(!ids.is_empty(), "somebody has the origin");
        let core = &self.core;
        let mut dropped = Vec::new();
        {
            let mut ledger = core.ledger.lock();
            let origin = Arc::new(origin);
            ledger.origins.insert(ids, &origin);
            ids.iter().for_each(|id| core.table.slot(id.index).set_has_origin(true));
            drop(origin);
            while ledger.origins.is_over_limit()
                && let Some(oldest) = ledger.origins.pop_oldest()
            {
                core.table.slot(oldest.index).set_has_origin(false);
                dropped.extend(ledger.origins.remove(oldest.index));
            }
        }
        let mut perhaps_dead = Vec::new();
        dropped.into_iter().for_each(|origin| core.let_go(Some(origin), &mut perhaps_dead));
        perhaps_dead.into_iter().for_each(|index| {
            core.try_free(index);
        });
    }

    /// How many objects have an origin that is kept, and what that takes in bytes.
    pub fn origins(&self) -> (usize, u64) {
        let ledger = self.core.ledger.lock();
        (ledger.origins.by_slot.len(), ledger.origins.bytes)
    }

    /// Brings the object back to memory, as far as there is room; if its bytes prove to be lost, it waits for a value
    /// again, and is to be made. The caller holds it.
    pub fn want_again(&self, id: ObjectId) -> Option<Lost> {
        let core = &self.core;
        let generation = core.geometry.generation(id)?;
        if core.table.slot(id.index).state().load().phase() != Phase::Spilled {
            return None;
        }
        core.restore_unless_lost(id, generation).err()
    }
}

/// What became of bytes that were let go of.
const LET_GO: &str = "its bytes were let go of while nobody referred to it";

impl Core {
    /// Drops the references of an origin that nothing has any more.
    pub(crate) fn let_go(&self, origin: Option<Origin>, perhaps_dead: &mut Vec<u32>) {
        for id in origin.into_iter().flat_map(|origin| origin.held) {
            if self.holdings.release(id) {
                perhaps_dead.push(id.index);
            }
        }
    }

    /// Whether the object, which the caller holds once for itself, could be made again and is kept only for the sake
    /// of what was made from it.
    pub(crate) fn is_kept_for_origins_only(&self, index: u32, id: ObjectId) -> bool {
        let slot = self.table.slot(index);
        let is_node = |holder| holder == self.holdings.client;
        if !slot.holders().iter().all(is_node) || self.recovery.get().is_none() {
            return false;
        }
        let ledger = self.ledger.lock();
        let holds = ledger.origins.holds.get(&index).copied().unwrap_or(0) as usize;
        ledger.origins.of(id).is_some() && self.holdings.count(id) == holds + 1
    }

    /// Frees the memory of such an object without writing it to disk; false when somebody views it after all. The
    /// caller holds the lock of moves.
    pub(crate) fn let_go_of_bytes(&self, index: u32, generation: u64, header: Header) -> bool {
        let slot = self.table.slot(index);
        if !slot.begin_spill(generation) {
            return false;
        }
        slot.set_header(Header { location: Place::Empty.to_word(), ..header });
        let moved = slot.state().transition_spill(generation, Phase::Spilling, Phase::Spilled);
        debug_assert!(moved, "one thread at a time moves objects");
        self.free_memory(index, header);
        self.ledger.lock().files.lose(index, generation);
        true
    }

    /// The bytes of a spilled object are lost: it waits for a value again. `None` when nobody makes objects again, or
    /// it is not on disk. The caller holds the object, and the lock of moves.
    pub(crate) fn lose(&self, id: ObjectId, generation: u64, what: String) -> Option<Lost> {
        self.recovery.get()?;
        let slot = self.table.slot(id.index);
        let len_bytes = slot.header().len_bytes;
        if !slot.lose(generation, LOST) {
            return None;
        }
        let mut perhaps_dead = Vec::new();
        // What the value referred to: the next one says anew what it refers to.
        self.drop_nested(id.index, &mut perhaps_dead);
        let origin = {
            let mut ledger = self.ledger.lock();
            if ledger.spills.is_strict(id.index, generation) {
                ledger.files.lose(id.index, generation);
            }
            ledger.spills.remove(id.index);
            let origin = ledger.origins.of(id);
            origin.map(|origin| (Arc::clone(&origin.recipe), origin.held.clone()))
        };
        perhaps_dead.into_iter().for_each(|index| {
            self.try_free(index);
        });
        Some(Lost { id, what, tag: slot.owner().tag, len_bytes, origin })
    }

    /// What was wrong with an object's file.
    pub(crate) fn what_was_lost(&self, index: u32, refusal: Refusal) -> String {
        let path: Option<PathBuf> = self.ledger.lock().spills.path(index);
        let Some(path) = path else { return LET_GO.to_owned() };
        let what = match refusal {
            Refusal::SpillMissing => "is gone",
            Refusal::SpillTruncated => "was cut short",
            _ => "is damaged",
        };
        format!("its file {} {what}", path.display())
    }
}
