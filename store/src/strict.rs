//! Strict objects: each in a memfd of its own, which the kernel seals. The node's side.
//!
//! ```text
//! writer                              node
//! asks for a file              ─────►  makes a memfd of that size (F_SEAL_SHRINK, F_SEAL_GROW)
//! opens /proc/<node>/fd/<n>, maps it writable, writes, unmaps it
//! asks for the seal            ─────►  punches the tail out; F_SEAL_WRITE (EBUSY: somebody still maps it
//!                                      writable: rejected); holds what the value refers to; seals the slot
//! ```
//! Whoever reads asks the node which file is the object's, opens it for reading, looks at its seals himself,
//! and maps it. Which file that is, how long the value is and of which type is kept in the node's private
//! memory, and so is which objects were sealed: whatever the table says of an object, it is not sealed twice. So no
//! process can exchange one sealed object for another.
//!
//! The seal is the node's single step, so that a writer which dies leaves a file without an owner or a
//! sealed object, and nothing in between.
//!
//! A strict object that goes to disk is told from any other bytes by a checksum under a key that only the
//! node knows; when it comes back it gets a new file, which is sealed before it is compared.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    sys::resource::{Resource, getrlimit, setrlimit},
};

use crate::{
    ClientId, Error, ObjectId, Refusal, Reply,
    backend::sized_memfd,
    core::Core,
    geometry::{MAX_NESTED, PAGE_BYTES},
    place::Place,
    request::SealRequest,
    sealed::{FileAt, SEALS},
    slot::Header,
    state::{BeginSeal, EndSeal},
};

/// The files of a store's strict objects.
#[derive(Debug, Default)]
pub(crate) struct Files {
    last_key: u64,
    /// Being written, by key.
    open: HashMap<u64, Open>,
    /// Sealed, by slot.
    sealed: HashMap<u32, Sealed>,
    /// By slot: the first generation that can be sealed there. Those before it were, or are not to be any more.
    unsealed_from: HashMap<u32, u64>,
    /// The store has ended: there are none any more.
    is_closed: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    len_bytes: u64,
    client: ClientId,
}

/// The file of a sealed object.
#[derive(Debug)]
pub(crate) struct Sealed {
    generation: u64,
    file: File,
    /// Bytes that it takes.
    footprint_bytes: u64,
    pub(crate) len_bytes: u64,
    pub(crate) fingerprint: u64,
    is_failed: bool,
}

fn at(file: &File) -> io::Result<FileAt> {
    Ok(FileAt {
        pid: std::process::id(),
        descriptor: file.as_raw_fd() as u32,
        inode: file.metadata()?.ino(),
    })
}

/// A file for a strict object. Each takes a descriptor of the node's: before half of those that the process may
/// have are taken, its soft limit is raised to the hard one.
pub(crate) fn make_file(len_bytes: u64) -> Result<File, Error> {
    let file = File::from(sized_memfd(c"rustyray-strict", len_bytes, false)?);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && file.as_raw_fd() as u64 >= soft / 2
    {
        // If it cannot be raised, the last descriptor is an error of the put that wants it.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    Ok(file)
}

/// Has the kernel refuse every change of the file from now on.
///
/// # Errors
/// EBUSY when somebody maps it writable.
fn seal_file(file: &File) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_ADD_SEALS(SEALS)).map(|_| ())
}

impl Files {
    /// What the object's bytes are in, if it is strict.
    pub(crate) fn find(&self, index: u32, generation: u64) -> Option<&Sealed> {
        self.sealed.get(&index).filter(|sealed| sealed.generation == generation)
    }

    fn key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    /// Takes note that the object is sealed; false when it was before.
    fn begin_seal(&mut self, index: u32, generation: u64) -> bool {
        let from = self.unsealed_from.entry(index).or_default();
        if generation < *from {
            return false;
        }
        *from = generation + 1;
        true
    }

    /// The bytes of the object, the last one that was sealed in the slot, are lost: it can be sealed again.
    pub(crate) fn lose(&mut self, index: u32, generation: u64) {
        if let Some(from) = self.unsealed_from.get_mut(&index)
            && *from == generation + 1
        {
            *from = generation;
        }
    }

    /// Enters the file of an object; how many bytes the one that it replaces had. That there is one means that
    /// somebody had the node believe that the slot is free.
    #[must_use]
    fn enter(&mut self, index: u32, sealed: Sealed) -> u64 {
        if self.is_closed {
            return sealed.footprint_bytes;
        }
        self.sealed.insert(index, sealed).map_or(0, |before| before.footprint_bytes)
    }

    /// Closes all of them, and those that are asked for from now on: whoever has a view of one has it mapped. How many
    /// bytes they had.
    #[must_use]
    fn close(&mut self) -> u64 {
        self.is_closed = true;
        let open: u64 = self.open.drain().map(|(_, open)| open.len_bytes).sum();
        let sealed: u64 = self.sealed.drain().map(|(_, sealed)| sealed.footprint_bytes).sum();
        open + sealed
    }
}

impl Sealed {
    /// A descriptor of one's own, to read without the ledger's lock.
    pub(crate) fn try_clone(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Core {
    /// Makes a file for a client to write.
    pub(crate) fn make_strict(&self, client: ClientId, len_bytes: u64) -> Reply {
        let capacity_bytes = self.geometry.capacity_bytes;
        if self.segment.descriptor().is_none() {
            return Reply::Refused(Refusal::NotStrict);
        }
        let Some(len_bytes) = len_bytes
            .checked_next_multiple_of(PAGE_BYTES)
            .filter(|&len| len > 0 && len <= capacity_bytes)
        else {
            return Reply::Refused(Refusal::TooLarge);
        };
        self.with_room(len_bytes, |core| {
            core.charge(len_bytes).then(|| {
                let made = make_file(len_bytes).ok().and_then(|file| Some((at(&file).ok()?, file)));
                let mut ledger = core.ledger.lock();
                let Some((at, file)) = made else {
                    ledger.space.discharge(len_bytes);
                    return Reply::Refused(Refusal::NoFiles);
                };
                if ledger.files.is_closed {
                    ledger.space.discharge(len_bytes);
                    return Reply::Refused(Refusal::Closed);
                }
                let key = ledger.files.key();
                ledger.files.open.insert(key, Open { file, len_bytes, client });
                Reply::File { key, at, len_bytes, fingerprint: 0, is_failed: false }
            })
        })
    }

    /// Counts memory outside the data segment; what is free within it goes back to the system if both
    /// together would be more than the store's.
    fn charge(&self, len_bytes: u64) -> bool {
        let mut ledger = self.ledger.lock();
        let charged = ledger.space.charge(len_bytes);
        self.balance(&mut ledger);
        charged
    }

    /// The client gives up a file that it was writing.
    pub(crate) fn drop_strict(&self, client: ClientId, key: u64) -> Reply {
        let mut ledger = self.ledger.lock();
        match ledger.files.open.get(&key) {
            Some(open) if open.client == client => {}
            _ => return Reply::Refused(Refusal::Garbage),
        }
        if let Some(open) = ledger.files.open.remove(&key) {
            ledger.space.discharge(open.len_bytes);
        }
        Reply::Done
    }

    /// The files that a dead client was writing.
    pub(crate) fn reap_strict(&self, client: ClientId) {
        let mut ledger = self.ledger.lock();
        let gone = ledger.files.open.extract_if(|_, open| open.client == client);
        let bytes: u64 = gone.map(|(_, open)| open.len_bytes).sum();
        ledger.space.discharge(bytes);
    }

    /// Seals a file that a client has written, and the object with it.
    pub(crate) fn seal_strict(&self, client: ClientId, request: SealRequest) -> Reply {
        let SealRequest { id, key, .. } = request;
        let Some(generation) = self.geometry.generation(id) else { return Reply::Stale(id) };
        let open = {
            let mut ledger = self.ledger.lock();
            match ledger.files.open.get(&key) {
                Some(open) if open.client == client => ledger.files.open.remove(&key),
                _ => None,
            }
        };
        let Some(open) = open else { return Reply::Refused(Refusal::Garbage) };
        let taken_bytes = open.len_bytes;
        let (reply, kept_bytes) = self.seal_opened(open, generation, request);
        // The object's, from here on, or nobody's.
        self.ledger.lock().space.discharge(taken_bytes - kept_bytes);
        if matches!(reply, Reply::Done) {
            self.announce(id);
        }
        // Nobody may have referred to it by the time it was sealed.
        if self.table.slot(id.index).is_unreferenced() {
            self.try_free(id.index);
        }
        reply
    }

    /// Seals; the second part is how many bytes the sealed file has, 0 when it was not.
    fn seal_opened(&self, open: Open, generation: u64, request: SealRequest) -> (Reply, u64) {
        let SealRequest { id, attempt, key, len_bytes, fingerprint, nested, is_failed } = request;
        let refused = |refusal| (Reply::Refused(refusal), 0);
        // In this order: what is longer than the file may be too long to be reckoned with.
        if len_bytes > open.len_bytes || nested > MAX_NESTED {
            return refused(Refusal::Garbage);
        }
        let list_at = len_bytes.next_multiple_of(8);
        let footprint_bytes = match nested {
            0 => len_bytes,
            count => list_at + u64::from(count) * 16,
        };
        // What has no bytes and holds nothing needs no file.
        if footprint_bytes == 0 || footprint_bytes > open.len_bytes {
            return refused(Refusal::Garbage);
        }
        let kept_bytes = footprint_bytes.next_multiple_of(PAGE_BYTES);
        let tail = (open.len_bytes - kept_bytes) as i64;
        let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if tail > 0 && fallocate(&open.file, punch, kept_bytes as i64, tail).is_err() {
            return refused(Refusal::Garbage);
        }
        match seal_file(&open.file) {
            Ok(()) => {}
            Err(Errno::EBUSY) => return refused(Refusal::StillWritable),
            // Somebody else has sealed it against being sealed.
            Err(_) => return refused(Refusal::Garbage),
        }
        if nested > 0 {
            // It cannot change any more: what is read here is what is in it.
            let mut list = vec![0; nested as usize * 16];
            if open.file.read_exact_at(&mut list, list_at).is_err() {
                return refused(Refusal::Garbage);
            }
            match self.hold_listed(id, attempt, generation, &list) {
                Reply::Done => {}
                reply => return (reply, 0),
            }
        }
        let slot = self.table.slot(id.index);
        loop {
            match slot.state().transition_to_sealing(generation, attempt, ClientId::NODE) {
                BeginSeal::Begun => break,
                BeginSeal::Late { .. } => return refused(Refusal::Late),
                BeginSeal::Sealed => return refused(Refusal::AlreadySealed),
                BeginSeal::Gone => return (Reply::Stale(id), 0),
                // Another thread of this process decides.
                BeginSeal::Undecided => {}
            }
        }
        let sealed = Sealed {
            generation,
            file: open.file,
            footprint_bytes: kept_bytes,
            len_bytes,
            fingerprint,
            is_failed,
        };
        {
            let mut ledger = self.ledger.lock();
            if !ledger.files.begin_seal(id.index, generation) {
                drop(ledger);
                // It does not wait for a value, though the table says so: as it said before.
                let _ = slot.state().transition_from_sealing(ClientId::NODE, attempt);
                return refused(Refusal::AlreadySealed);
            }
            let replaced_bytes = ledger.files.enter(id.index, sealed);
            ledger.space.discharge(replaced_bytes);
        }
        slot.set_header(Header { location: Place::File { key }.to_word(), len_bytes, fingerprint });
        slot.touch(self.table.tick());
        let published = slot.state().transition_to_sealed(generation, ClientId::NODE, is_failed);
        debug_assert_ne!(published, EndSeal::Taken, "nobody takes a slot from the node");
        (Reply::Done, kept_bytes)
    }

    /// Which file is the object's, for somebody who has pinned it.
    pub(crate) fn find_strict(&self, id: ObjectId) -> Reply {
        let Some(generation) = self.geometry.generation(id) else { return Reply::Stale(id) };
        let ledger = self.ledger.lock();
        let Some(sealed) = ledger.files.find(id.index, generation) else {
            return Reply::Refused(Refusal::NotStrict);
        };
        let Ok(at) = at(&sealed.file) else { return Reply::Refused(Refusal::NoFiles) };
        let &Sealed { len_bytes, fingerprint, is_failed, .. } = sealed;
        Reply::File { key: 0, at, len_bytes, fingerprint, is_failed }
    }

    /// The store has ended, and whoever has it still, as a thread that is about to end may for long, is not to keep
    /// what nobody can get at any more: memory, and descriptors of the process.
    pub(crate) fn close_files(&self) {
        let mut ledger = self.ledger.lock();
        let bytes = ledger.files.close();
        ledger.space.discharge(bytes);
    }

    /// The object in the slot is gone, or on disk: so is its file, if it had one.
    pub(crate) fn free_strict(&self, index: u32) {
        let mut ledger = self.ledger.lock();
        if let Some(sealed) = ledger.files.sealed.remove(&index) {
            ledger.space.discharge(sealed.footprint_bytes);
        }
    }

    /// A new file for a strict object that comes back from disk. `fill` writes its bytes; once they cannot
    /// change any more `compare` says whether they are right.
    pub(crate) fn restore_strict<E: From<io::Error>>(
        &self,
        index: u32,
        generation: u64,
        header: &Header,
        fill: impl FnOnce(&File) -> Result<(), E>,
        compare: impl FnOnce(&File) -> Result<(), E>,
    ) -> Result<Header, E> {
        let footprint_bytes = header.len_bytes.next_multiple_of(PAGE_BYTES);
        let made = || -> Result<File, E> {
            let file = make_file(footprint_bytes).map_err(|error| match error {
                Error::Os { source, .. } => source,
                other => io::Error::other(other),
            })?;
            fill(&file)?;
            seal_file(&file).map_err(io::Error::from)?;
            compare(&file)?;
            Ok(file)
        };
        // The caller has charged it.
        let file = made().inspect_err(|_| self.ledger.lock().space.discharge(footprint_bytes))?;
        let mut ledger = self.ledger.lock();
        let key = ledger.files.key();
        let sealed = Sealed {
            generation,
            file,
            footprint_bytes,
            len_bytes: header.len_bytes,
            fingerprint: header.fingerprint,
            is_failed: false,
        };
        let replaced_bytes = ledger.files.enter(index, sealed);
        ledger.space.discharge(replaced_bytes);
        Ok(Header { location: Place::File { key }.to_word(), ..*header })
    }

    /// Room for a strict object that comes back.
    pub(crate) fn charge_strict(&self, len_bytes: u64) -> bool {
        self.charge(len_bytes.next_multiple_of(PAGE_BYTES))
    }
}

const _: () = assert!(SEALS.contains(SealFlag::F_SEAL_WRITE));

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Config, Node, Tier, View};

    #[test]
    fn the_files_of_a_store_go_with_its_end_whoever_still_has_it() {
        let config = Config { capacity_bytes: 1 << 20, spill_dir: None, ..Config::default() };
        let node = Node::create(config).expect("a store");
        let client = node.client();
        // As the thread does that makes memory ready, however long it waits for a processor.
        let core = Arc::clone(&node.core);
        let id = client.put_in(Tier::Strict, &7_u64).expect("room");
        let Reply::File { at: sealed, .. } = core.find_strict(id) else { panic!("it is strict") };
        let made = core.make_strict(ClientId::NODE, 5000);
        let Reply::File { at: open, .. } = made else { panic!("there is room: {made:?}") };
        let view: View<u64> = client.view(id).expect("a view");
        assert!(sealed.open(false).is_ok() && open.open(false).is_ok());

        node.shutdown();
        assert!(sealed.open(false).is_err() && open.open(false).is_err(), "they are open");
        let used_bytes = core.ledger.lock().space.used_bytes();
        assert_eq!((used_bytes, *view), (0, 7.into()), "views can still be read");
        let late = core.make_strict(ClientId::NODE, 5000);
        assert_eq!(late, Reply::Refused(Refusal::Closed), "who asked before the end");
    }
}
