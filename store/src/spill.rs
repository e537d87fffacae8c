//! Objects on disk: what was used least recently goes to files when memory runs short, and comes back
//! when somebody wants it.
//!
//! # Spilling
//! The copy is made while the object is still sealed, under a reference of the node's own; only then is
//! the slot detached, and only if nobody has the object pinned: see `Slot::begin_spill`. Nobody uses a location that was read before its pin was validated.
//!
//! # Files
//! One per object, in a directory of this store's own (0700) that is made with the first of them and goes
//! with the store. A file begins with magic, length, fingerprint and checksum. What a file must say is also
//! kept in the node's memory: a file that was damaged, cut short, removed, or replaced by that of another
//! object is an error of that object. One lock serialises all moves between memory and disk.
//!
//! While its store lives the directory's lock file is locked. A node that is killed leaves the directory
//! behind; the next store that is made over the same parent removes every directory of this user whose lock
//! nobody holds.
//!
//! A disk that is full, or breaks, is an error of whoever needed the room; everything else goes on.
//!
//! An object whose file gives nothing back is made again, where somebody can: `origin.rs`.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    unistd::geteuid,
};

use crate::{
    Error, Lost, ObjectId, Refusal, Reply,
    core::{Core, Extent},
    fault,
    fingerprint::Checksum,
    geometry::PAGE_BYTES,
    place::Place,
    slot::Header,
    state::Phase,
};

const MAGIC: u64 = 0x7275_7374_7370_0001;
const HEADER_BYTES: usize = 32;
/// Bytes moved at once, a multiple of 8.
const CHUNK_BYTES: usize = 256 << 10;
const PREFIX: &str = "rustyray-spill-";
const LOCK: &str = "lock";

/// What is on disk.
#[derive(Debug, Default)]
pub(crate) struct Spills {
    parent: Option<PathBuf>,
    session: u64,
    own: Option<Own>,
    files: HashMap<u32, Spilled>,
    bytes: u64,
}

/// The directory of this store.
#[derive(Debug)]
struct Own {
    dir: PathBuf,
    /// The process that made it, and removes it.
    owner: u32,
    _lock: Flock<File>,
}

/// What the file of an object must say.
#[derive(Copy, Clone, Debug)]
struct Spilled {
    /// Which object of the slot it is.
    generation: u64,
    len_bytes: u64,
    fingerprint: u64,
    checksum: u64,
    is_strict: bool,
}

impl Spills {
    /// For objects that go to a directory of their own under `parent`, once there are any.
    pub(crate) fn new(parent: Option<&Path>, session: u64) -> io::Result<Self> {
        if let Some(parent) = parent {
            fs::create_dir_all(parent)?;
            sweep(parent);
        }
        Ok(Spills { parent: parent.map(Path::to_owned), session, ..Spills::default() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the file of an object is, or will be; makes the directory.
    fn place(&mut self, index: u32) -> io::Result<PathBuf> {
        let parent = self.parent.as_deref().ok_or(io::ErrorKind::NotFound)?;
        let own = match &mut self.own {
            Some(own) => own,
            none => none.insert(Own::make(parent, self.session)?),
        };
        Ok(own.file(index))
    }

    fn insert(&mut self, index: u32, spilled: Spilled) {
        self.files.insert(index, spilled);
        self.bytes += spilled.len_bytes;
    }

    fn find(&self, index: u32) -> Option<(PathBuf, Spilled)> {
        Some((self.own.as_ref()?.file(index), *self.files.get(&index)?))
    }

    /// Where the file of the object in the slot is, or was.
    pub(crate) fn path(&self, index: u32) -> Option<PathBuf> {
        Some(self.find(index)?.0)
    }

    /// Whether the object is on disk, and was strict.
    pub(crate) fn is_strict(&self, index: u32, generation: u64) -> bool {
        let spilled = self.files.get(&index);
        spilled.is_some_and(|spilled| spilled.generation == generation && spilled.is_strict)
    }

    /// Removes the file of an object.
    pub(crate) fn remove(&mut self, index: u32) {
        if let Some(spilled) = self.files.remove(&index) {
            self.bytes -= spilled.len_bytes;
            if let Some(own) = &self.own {
                // Gone already is as good; what cannot be removed goes with the directory.
                let _ = fs::remove_file(own.file(index));
            }
        }
    }

    /// Removes everything, for good.
    pub(crate) fn close(&mut self) {
        *self = Spills::default();
    }
}

impl Own {
    fn make(parent: &Path, session: u64) -> io::Result<Self> {
        let owner = std::process::id();
        let dir = parent.join(format!("{PREFIX}{owner}-{session:x}"));
        DirBuilder::new().mode(0o700).create(&dir)?;
        // Locked before it has the name by which others would find it unlocked.
        let unnamed = dir.join("unlocked");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        fs::rename(&unnamed, dir.join(LOCK))?;
        Ok(Own { dir, owner, _lock: lock })
    }

    fn file(&self, index: u32) -> PathBuf {
        self.dir.join(format!("{index:x}"))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A forked child drops a copy of this, which is not its to act on.
        if self.owner == std::process::id() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Removes what stores of this user left under `parent` when their nodes were killed.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && fs::symlink_metadata(entry.path())
                .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
        if !is_ours {
            continue;
        }
        let Ok(file) = File::open(entry.path().join(LOCK)) else { continue };
        if let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Why the file of an object gives nothing back.
enum Unreadable {
    Refused(Refusal),
    /// There is no room for it.
    NoRoom(Reply),
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Unreadable::Refused(Refusal::SpillMissing),
            io::ErrorKind::UnexpectedEof => Unreadable::Refused(Refusal::SpillTruncated),
            _ => Unreadable::Io(error),
        }
    }
}

fn header_bytes(header: &Header, checksum: u64) -> [u8; HEADER_BYTES] {
    let words = [MAGIC, header.len_bytes, header.fingerprint, checksum];
    std::array::from_fn(|i| words[i / 8].to_le_bytes()[i % 8])
}

impl Core {
    /// Before `len_bytes` more are lent: if that passes the high-water mark, spills down to the low one.
    pub(crate) fn keep_below_high_water(&self, len_bytes: u64) {
        let Some(water) = self.water else { return };
        self.table.advance_tick();
        if self.ledger.lock().space.used_bytes() + len_bytes > water.high_bytes {
            self.take_waste_back();
        }
        let used_bytes = self.ledger.lock().space.used_bytes();
        if used_bytes + len_bytes > water.high_bytes {
            self.collect(usize::MAX);
            let _turn = self.moving.lock();
            // A disk that is full is an error once there is no room at all.
            let _ = self.spill_until(|used_bytes| used_bytes + len_bytes <= water.low_bytes);
        }
    }

    /// Spills about `len_bytes`; false when nothing can be spilled.
    pub(crate) fn spill_for(&self, len_bytes: u64) -> io::Result<bool> {
        if self.water.is_none() {
            return Ok(false);
        }
        let _turn = self.moving.lock();
        let before = self.ledger.lock().space.used_bytes();
        Ok(self.spill_until(|used_bytes| used_bytes + len_bytes <= before)? > 0)
    }

    /// Spills the least recently used first, until `enough` of the bytes in use; how many objects.
    /// The caller holds the lock of moves.
    ///
    /// # Errors
    /// When nothing could be spilled because the disk did not take it.
    fn spill_until(&self, enough: impl Fn(u64) -> bool) -> io::Result<usize> {
        let mut candidates: Vec<(u64, u32)> = self
            .touched_slots()
            .filter_map(|index| {
                let slot = self.table.slot(index);
                let can = slot.state().load().phase() == Phase::Sealed
                    && slot.pins().is_empty()
                    && Place::from_word(slot.header().location).is_some_and(Place::takes_memory);
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
                Err(error) if spilled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(spilled)
    }

    /// Moves one object to disk, unless it is viewed or goes meanwhile.
    fn spill(&self, index: u32) -> io::Result<bool> {
        let slot = self.table.slot(index);
        let id = self.geometry.id(index, slot.state().load().generation());
        let (held, dead) = self.retain(id);
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
        let (header, source) = match self.strict_source(index, generation)? {
            Some((header, file)) => (header, Source::File(file)),
            None => {
                let header = slot.header();
                match Place::from_word(header.location) {
                    Some(Place::Block { offset_bytes } | Place::Extent { offset_bytes })
                        if !self.geometry.is_strict
                            && self.segment.contains(offset_bytes, header.len_bytes) =>
                    {
                        (header, Source::Segment { offset_bytes })
                    }
                    _ => return Ok(false),
                }
            }
        };
        if self.is_kept_for_origins_only(index, id) {
            return Ok(self.let_go_of_bytes(index, generation, header));
        }
        let path = self.ledger.lock().spills.place(index)?;
        let written = self.write_file(&path, &source, &header);
        if written.is_err() || !slot.begin_spill(generation) {
            let _ = fs::remove_file(&path);
            return written.map(|_| false);
        }
        let spilled = Spilled {
            generation,
            len_bytes: header.len_bytes,
            fingerprint: header.fingerprint,
            checksum: written?,
            is_strict: source.is_strict(),
        };
        slot.set_header(Header { location: Place::Empty.to_word(), ..header });
        self.ledger.lock().spills.insert(index, spilled);
        let moved = slot.state().transition_spill(generation, Phase::Spilling, Phase::Spilled);
        debug_assert!(moved, "one thread at a time moves objects");
        self.free_memory(index, header);
        Ok(true)
    }

    /// A strict object's true header, and its file.
    fn strict_source(&self, index: u32, generation: u64) -> io::Result<Option<(Header, File)>> {
        let ledger = self.ledger.lock();
        let Some(sealed) = ledger.files.find(index, generation) else { return Ok(None) };
        let header = Header {
            location: Place::File { key: 0 }.to_word(),
            len_bytes: sealed.len_bytes,
            fingerprint: sealed.fingerprint,
        };
        Ok(Some((header, sealed.try_clone()?)))
    }

    /// The checksum of an object's bytes: under a key that nobody else knows where somebody may mean harm.
    fn checksum(&self, header: &Header, is_strict: bool) -> Checksum {
        if is_strict {
            Checksum::under_key(&self.spill_key, header.len_bytes)
        } else {
            Checksum::of_len(header.len_bytes)
        }
    }

    /// Copies an object's bytes to a new file; their checksum.
    fn write_file(&self, path: &Path, source: &Source, header: &Header) -> io::Result<u64> {
        fault::fail("spill.write")?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&[0; HEADER_BYTES])?;
        let mut checksum = self.checksum(header, source.is_strict());
        in_chunks(header.len_bytes, |done, chunk| {
            match source {
                Source::Segment { offset_bytes } => {
                    self.segment.read_at(offset_bytes + done, chunk)?;
                }
                Source::File(file) => file.read_exact_at(chunk, done)?,
            }
            checksum.add(chunk);
            file.write_all(chunk)
        })?;
        let checksum = checksum.finish();
        file.write_all_at(&header_bytes(header, checksum), 0)?;
        Ok(checksum)
    }

    /// Brings a spilled object back; done also when it is in memory already.
    pub(crate) fn restore(&self, id: ObjectId) -> Reply {
        let Some(generation) = self.geometry.generation(id) else { return Reply::Stale(id) };
        let (held, dead) = self.retain(id);
        let reply = match held {
            Ok(()) => self.restore_or_lose(id, generation),
            Err(_) => Reply::Stale(id),
        };
        if dead || held.is_ok() && self.holdings.release(id) {
            self.try_free(id.index);
        }
        reply
    }

    /// Brings it back; or, when its file gives nothing back, has it made again: it then waits for a value.
    fn restore_or_lose(&self, id: ObjectId, generation: u64) -> Reply {
        match (self.restore_unless_lost(id, generation), self.recovery.get()) {
            (Err(lost), Some(recovery)) => recovery.lost(lost),
            (Ok(reply), _) => return reply,
            (Err(_), None) => {}
        }
        Reply::Done
    }

    /// Brings it back, or says that it waits for a value again and is to be made.
    pub(crate) fn restore_unless_lost(&self, id: ObjectId, generation: u64) -> Result<Reply, Lost> {
        let _turn = self.moving.lock();
        let reply = self.restore_held(id, generation);
        let refusal = match reply {
            Reply::Refused(
                refusal @ (Refusal::SpillMissing | Refusal::SpillDamaged | Refusal::SpillTruncated),
            ) => refusal,
            _ => return Ok(reply),
        };
        match self.lose(id, generation, self.what_was_lost(id.index, refusal)) {
            Some(lost) => Err(lost),
            None => Ok(reply),
        }
    }

    fn restore_held(&self, id: ObjectId, generation: u64) -> Reply {
        let slot = self.table.slot(id.index);
        if slot.settled().phase() != Phase::Spilled {
            return Reply::Done;
        }
        let (path, spilled) = {
            let ledger = self.ledger.lock();
            if ledger.files.find(id.index, generation).is_some() {
                // It is in memory, whatever the table says.
                return Reply::Done;
            }
            match ledger.spills.find(id.index) {
                Some((path, spilled)) if spilled.generation == generation => (path, spilled),
                _ => return Reply::Refused(Refusal::SpillMissing),
            }
        };
        let &Spilled { len_bytes, fingerprint, .. } = &spilled;
        let header = Header { location: Place::Empty.to_word(), len_bytes, fingerprint };
        let restored = if spilled.is_strict {
            self.restore_to_file(id, generation, &path, &header, spilled.checksum)
        } else {
            self.restore_to_extent(&path, &header, spilled.checksum)
        };
        let header = match restored {
            Ok(header) => header,
            Err(Unreadable::Refused(refusal)) => return Reply::Refused(refusal),
            Err(Unreadable::NoRoom(reply)) => return reply,
            Err(Unreadable::Io(error)) => {
                return Reply::CannotRestore { errno: error.raw_os_error().unwrap_or(0) };
            }
        };
        let restores =
            || slot.state().transition_spill(generation, Phase::Spilled, Phase::Restoring);
        if !slot.leave_spilled(generation, restores) {
            self.free_memory(id.index, header);
            return Reply::Stale(id);
        }
        slot.set_header(header);
        slot.touch(self.table.tick());
        let moved = slot.state().transition_spill(generation, Phase::Restoring, Phase::Sealed);
        debug_assert!(moved, "one thread at a time moves objects");
        self.ledger.lock().spills.remove(id.index);
        Reply::Done
    }

    /// An object's bytes in an extent again; its header then. One that has none but holds others needs no extent any
    /// more: the node knows what it holds.
    fn restore_to_extent(
        &self,
        path: &Path,
        header: &Header,
        expected: u64,
    ) -> Result<Header, Unreadable> {
        if header.len_bytes == 0 {
            return Ok(*header);
        }
        let len_bytes = header.len_bytes.next_multiple_of(PAGE_BYTES);
        let offset_bytes = self.room_to_restore(len_bytes, || {
            let mut ledger = self.ledger.lock();
            let piece = ledger.space.allocate(len_bytes, PAGE_BYTES, 0)?;
            self.balance(&mut ledger);
            // The pages are in nobody's page tables yet.
            ledger
                .extents
                .insert(piece.offset_bytes, Extent { len_bytes, is_tight: true, client: None });
            Some(piece.offset_bytes)
        })?;
        let mut checksum = self.checksum(header, false);
        let read = read_file(path, header, expected, |done, chunk| {
            checksum.add(chunk);
            match self.segment.write_at(offset_bytes + done, chunk) {
                Err(Error::Os { source, .. }) => Err(source),
                _ => Ok(()),
            }
        });
        let whole = read.and_then(|()| compare(checksum, expected));
        whole.inspect_err(|_| {
            self.ledger.lock().free_extent(offset_bytes);
        })?;
        Ok(Header { location: Place::Extent { offset_bytes }.to_word(), ..*header })
    }

    /// A strict object's bytes in a file again; its header then.
    fn restore_to_file(
        &self,
        id: ObjectId,
        generation: u64,
        path: &Path,
        header: &Header,
        expected: u64,
    ) -> Result<Header, Unreadable> {
        self.room_to_restore(header.len_bytes.next_multiple_of(PAGE_BYTES), || {
            self.charge_strict(header.len_bytes).then_some(0)
        })?;
        self.restore_strict(
            id.index,
            generation,
            header,
            |file| read_file(path, header, expected, |done, chunk| file.write_all_at(chunk, done)),
            |file| {
                let mut checksum = self.checksum(header, true);
                in_chunks(header.len_bytes, |done, chunk| {
                    file.read_exact_at(chunk, done)?;
                    checksum.add(chunk);
                    Ok(())
                })?;
                compare(checksum, expected)
            },
        )
    }

    /// Room for an object that comes back; if need be, others go to disk for it.
    fn room_to_restore(
        &self,
        len_bytes: u64,
        allocate: impl Fn() -> Option<u64>,
    ) -> Result<u64, Unreadable> {
        if let Some(place) = allocate() {
            return Ok(place);
        }
        self.collect(usize::MAX);
        loop {
            if let Some(place) = allocate() {
                return Ok(place);
            }
            let before = self.ledger.lock().space.used_bytes();
            match self.spill_until(|used_bytes| used_bytes + len_bytes <= before) {
                Ok(0) => return Err(Unreadable::NoRoom(self.full(0))),
                Ok(_) => {}
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    return Err(Unreadable::NoRoom(Reply::CannotSpill { errno }));
                }
            }
        }
    }
}

/// Where the bytes of an object that goes to disk are.
#[derive(Debug)]
enum Source {
    Segment {
        offset_bytes: u64,
    },
    /// The sealed file of a strict one.
    File(File),
}

impl Source {
    fn is_strict(&self) -> bool {
        matches!(self, Source::File(_))
    }
}

/// Gives `step` a buffer for each piece of `len_bytes`, and where the piece begins.
fn in_chunks(
    len_bytes: u64,
    mut step: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES.min(len_bytes as usize)];
    let mut done = 0;
    while done < len_bytes {
        let len = CHUNK_BYTES.min((len_bytes - done) as usize);
        step(done, &mut buffer[..len])?;
        done += len as u64;
    }
    Ok(())
}

/// Gives the pieces of an object's file to `take`, if it begins as it must.
fn read_file(
    path: &Path,
    header: &Header,
    expected: u64,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> Result<(), Unreadable> {
    fault::fail("spill.read")?;
    let mut file = File::open(path)?;
    let found_bytes = file.metadata()?.len();
    let wanted_bytes = HEADER_BYTES as u64 + header.len_bytes;
    if found_bytes < wanted_bytes {
        return Err(Unreadable::Refused(Refusal::SpillTruncated));
    }
    let mut found = [0; HEADER_BYTES];
    file.read_exact(&mut found)?;
    if found != header_bytes(header, expected) || found_bytes > wanted_bytes {
        return Err(Unreadable::Refused(Refusal::SpillDamaged));
    }
    in_chunks(header.len_bytes, |done, chunk| {
        file.read_exact(chunk)?;
        take(done, chunk)
    })?;
    Ok(())
}

fn compare(checksum: Checksum, expected: u64) -> Result<(), Unreadable> {
    if checksum.finish() == expected {
        return Ok(());
    }
    Err(Unreadable::Refused(Refusal::SpillDamaged))
}
