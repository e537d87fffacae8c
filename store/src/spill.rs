//! Objects on disk: what was used least recently goes to files when memory runs short, and comes back
//! when somebody wants it.
//!
//! # Spilling
//! The copy is made while the object is still sealed, under a reference of the node's own; only then is
//! the slot detached, and only if nobody has the object pinned:
//!
//! ```text
//! spiller:  write the file;  state ← spilling;  fence(SeqCst);  read the pins  (any → state ← sealed)
//! viewer:   set my pin bit;                     fence(SeqCst);  read the state (not sealed → take it back)
//! ```
//! Whichever fence comes first, the spiller sees the pin or the viewer sees that the object is away;
//! nobody uses a location that was read before its pin was validated.
//!
//! # Files
//! One per object, in a directory of this store's own that goes with the store. A file begins with
//! magic, length, fingerprint and checksum; a copy that does not match them is an error of that object.
//! One lock serialises all moves between memory and disk.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustyray_memory::sync::{Ordering, fence};

use crate::{
    ObjectId, Refusal, Reply,
    core::{Core, Extent},
    fingerprint::checksum,
    geometry::PAGE_BYTES,
    place::Place,
    slot::Header,
    state::Phase,
};

const MAGIC: u64 = 0x7275_7374_7370_0001;
const HEADER_BYTES: usize = 32;

/// What is on disk.
#[derive(Debug, Default)]
pub(crate) struct Spills {
    dir: Option<PathBuf>,
    /// The process that made the directory, and removes it.
    owner: u32,
    /// Slot → bytes of its file.
    files: HashMap<u32, u64>,
    bytes: u64,
}

impl Spills {
    /// A directory of its own under `parent`.
    pub(crate) fn open(parent: Option<&Path>, session: u64) -> io::Result<Self> {
        let owner = std::process::id();
        let dir = match parent {
            None => None,
            Some(parent) => {
                let dir = parent.join(format!("rustyray-spill-{owner}-{session:x}"));
                fs::create_dir_all(&dir)?;
                Some(dir)
            }
        };
        Ok(Spills { dir, owner, files: HashMap::new(), bytes: 0 })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn path(&self, index: u32) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{index:x}")))
    }

    fn insert(&mut self, index: u32, len_bytes: u64) {
        self.files.insert(index, len_bytes);
        self.bytes += len_bytes;
    }

    /// Removes the file of an object.
    pub(crate) fn remove(&mut self, index: u32) {
        if let Some(len_bytes) = self.files.remove(&index) {
            self.bytes -= len_bytes;
            if let Some(path) = self.path(index) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Drop for Spills {
    fn drop(&mut self) {
        // A forked child drops a copy of this, which is not its to act on.
        if self.owner == std::process::id()
            && let Some(dir) = &self.dir
        {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

fn write_file(path: &Path, bytes: &[u8], fingerprint: u64) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    for word in [MAGIC, bytes.len() as u64, fingerprint, checksum(bytes)] {
        file.write_all(&word.to_le_bytes())?;
    }
    file.write_all(bytes)
}

fn read_file(path: &Path, header: &Header) -> Result<Vec<u8>, Refusal> {
    let mut bytes = fs::read(path).map_err(|_| Refusal::SpillUnreadable)?;
    if bytes.len() != HEADER_BYTES + header.len_bytes as usize {
        return Err(Refusal::SpillDamaged);
    }
    let value = bytes.split_off(HEADER_BYTES);
    let expected = [MAGIC, header.len_bytes, header.fingerprint, checksum(&value)];
    let found = bytes
        .chunks_exact(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes")));
    if found.eq(expected) { Ok(value) } else { Err(Refusal::SpillDamaged) }
}

impl Core {
    /// Before `len_bytes` more are lent: if that passes the high-water mark, spills down to the low one.
    pub(crate) fn keep_below_high_water(&self, len_bytes: u64) {
        let Some(water) = self.water else { return };
        self.table.advance_tick();
        let used_bytes = self.ledger.lock().space.used_bytes();
        if used_bytes + len_bytes > water.high_bytes {
            self.collect(usize::MAX);
            let _turn = self.moving.lock();
            self.spill_until(|used_bytes| used_bytes + len_bytes <= water.low_bytes);
        }
    }

    /// Spills about `len_bytes`; false when nothing can be spilled.
    pub(crate) fn spill_for(&self, len_bytes: u64) -> bool {
        if self.water.is_none() {
            return false;
        }
        let _turn = self.moving.lock();
        let before = self.ledger.lock().space.used_bytes();
        self.spill_until(|used_bytes| used_bytes + len_bytes <= before) > 0
    }

    /// Spills the least recently used first, until `enough` of the bytes in use; how many objects.
    /// The caller holds the lock of moves.
    fn spill_until(&self, enough: impl Fn(u64) -> bool) -> usize {
        let mut candidates: Vec<(u64, u32)> = self
            .touched_slots()
            .filter_map(|index| {
                let slot = self.table.slot(index);
                let can = slot.state().load().phase() == Phase::Sealed
                    && slot.pins().is_empty()
                    && slot.header().location != Place::Empty.to_word();
                can.then(|| (slot.recency(), index))
            })
            .collect();
        candidates.sort_unstable();
        let mut spilled = 0;
        for (_, index) in candidates {
            if enough(self.ledger.lock().space.used_bytes()) {
                break;
            }
            match self.spill(index) {
                Ok(true) => spilled += 1,
                Ok(false) => {}
                // The disk is full: what waits for room waits, or fails.
                Err(_) => break,
            }
        }
        spilled
    }

    /// Moves one object to disk, unless it is viewed or goes meanwhile.
    fn spill(&self, index: u32) -> io::Result<bool> {
        let slot = self.table.slot(index);
        let id = self.geometry.id(index, slot.state().load().generation());
        let (held, dead) = self.holdings.retain(id);
        if dead {
            self.try_free(index);
        }
        if held.is_err() {
            return Ok(false);
        }
        let result = self.spill_held(index, id);
        if self.holdings.release(id) {
            self.try_free(index);
        }
        result
    }

    fn spill_held(&self, index: u32, id: ObjectId) -> io::Result<bool> {
        let slot = self.table.slot(index);
        let Some(generation) = self.geometry.generation(id) else { return Ok(false) };
        let seen = slot.state().load();
        if seen.generation() != generation || seen.phase() != Phase::Sealed {
            return Ok(false);
        }
        let header = slot.header();
        let offset_bytes = match Place::from_word(header.location) {
            Some(Place::Block { offset_bytes } | Place::Extent { offset_bytes })
                if self.segment.contains(offset_bytes, header.len_bytes) =>
            {
                offset_bytes
            }
            _ => return Ok(false),
        };
        let Some(path) = self.ledger.lock().spills.path(index) else { return Ok(false) };
        let mut bytes = vec![0; header.len_bytes as usize];
        let written = self
            .segment
            .read_at(offset_bytes, &mut bytes)
            .and_then(|()| write_file(&path, &bytes, header.fingerprint));
        let detached = written.is_ok()
            && slot.state().transition_spill(generation, Phase::Sealed, Phase::Spilling);
        if !detached {
            let _ = fs::remove_file(&path);
            return written.map(|()| false);
        }
        // SeqCst: against a viewer, see the module.
        fence(Ordering::SeqCst);
        if !slot.pins().is_empty() {
            let back = slot.state().transition_spill(generation, Phase::Spilling, Phase::Sealed);
            debug_assert!(back, "one thread at a time moves objects");
            let _ = fs::remove_file(&path);
            return Ok(false);
        }
        slot.set_header(Header { location: Place::Empty.to_word(), ..header });
        self.ledger.lock().spills.insert(index, header.len_bytes);
        let moved = slot.state().transition_spill(generation, Phase::Spilling, Phase::Spilled);
        debug_assert!(moved, "one thread at a time moves objects");
        self.free_memory(header);
        Ok(true)
    }

    /// Brings a spilled object back; done also when it is in memory already.
    pub(crate) fn restore(&self, id: ObjectId) -> Reply {
        let _turn = self.moving.lock();
        let Some(generation) = self.geometry.generation(id) else { return Reply::Stale(id) };
        let (held, dead) = self.holdings.retain(id);
        let reply = match held {
            Ok(()) => self.restore_held(id, generation),
            Err(_) => Reply::Stale(id),
        };
        if dead || held.is_ok() && self.holdings.release(id) {
            self.try_free(id.index);
        }
        reply
    }

    fn restore_held(&self, id: ObjectId, generation: u64) -> Reply {
        let slot = self.table.slot(id.index);
        if slot.state().load().phase() != Phase::Spilled {
            return Reply::Done;
        }
        let header = slot.header();
        let Some(path) = self.ledger.lock().spills.path(id.index) else {
            return Reply::Refused(Refusal::SpillUnreadable);
        };
        let bytes = match read_file(&path, &header) {
            Ok(bytes) => bytes,
            Err(refusal) => return Reply::Refused(refusal),
        };
        let len_bytes = header.len_bytes.next_multiple_of(PAGE_BYTES);
        let allocate = || {
            let mut ledger = self.ledger.lock();
            let piece = ledger.space.allocate(len_bytes, PAGE_BYTES, 0)?;
            // The pages are in nobody's page tables yet.
            ledger.extents.insert(piece.offset_bytes, Extent { len_bytes, client: None });
            Some(piece.offset_bytes)
        };
        let mut place = allocate();
        if place.is_none() {
            self.collect(usize::MAX);
            place = allocate();
        }
        while place.is_none() {
            let before = self.ledger.lock().space.used_bytes();
            if self.spill_until(|used_bytes| used_bytes + len_bytes <= before) == 0 {
                return self.full(0);
            }
            place = allocate();
        }
        let Some(offset_bytes) = place else { return self.full(0) };
        if self.segment.write_at(offset_bytes, &bytes).is_err() {
            self.ledger.lock().free_extent(offset_bytes);
            return Reply::Refused(Refusal::NoMemory);
        }
        if !slot.state().transition_spill(generation, Phase::Spilled, Phase::Restoring) {
            self.ledger.lock().free_extent(offset_bytes);
            return Reply::Stale(id);
        }
        slot.set_header(Header { location: Place::Extent { offset_bytes }.to_word(), ..header });
        slot.touch(self.table.tick());
        let moved = slot.state().transition_spill(generation, Phase::Restoring, Phase::Sealed);
        debug_assert!(moved, "one thread at a time moves objects");
        self.ledger.lock().spills.remove(id.index);
        Reply::Done
    }
}
