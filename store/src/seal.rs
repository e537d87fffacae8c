//! Writing objects: `create`, the typed `put`, and the seal that all of them end with.

use std::{ptr::NonNull, sync::Arc};

use bytes::Bytes;
use rkyv::{Archived, rancor, vec::ArchivedVec};
use rustyray_memory::{
    Mapped,
    sync::{AtomicU64, Ordering},
};

use crate::{
    BytesWriter, Client, Error, ObjectId, Refusal, Reply, Request, SealError, SealRequest, Tier,
    Value, ValueSerializer, Writer,
    client::HINTS,
    fault,
    geometry::MAX_NESTED,
    inline::{self, InlineWords},
    place::{FINGERPRINT_BITS, FINGERPRINT_MASK, INLINE_BYTES, Place},
    room::without_waiting,
    slot::{Header, Slot},
    state::{BeginSeal, EndSeal},
};

/// A value that was serialised into its place and waits for its seal.
#[derive(Debug)]
pub struct Written {
    /// The bytes.
    pub writer: Writer,
    /// The objects that the value refers to.
    pub nested: Vec<ObjectId>,
    /// The fingerprint of its type.
    pub fingerprint: u64,
}

/// Bytes of one entry in the list of nested references.
const NESTED_BYTES: usize = 16;

/// Where the list of nested references begins behind a value.
fn list_at(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// Bytes of a value and its list.
fn footprint(len: usize, nested: usize) -> usize {
    if nested == 0 { len } else { list_at(len) + nested * NESTED_BYTES }
}

/// What is left of a fingerprint beside the 40 bits of a guess.
const HINT_SHIFT: u32 = FINGERPRINT_BITS - 24;

/// Bytes added to a guess, for what comes after the part that did not fit.
const SLACK: usize = 256;

/// A value that was serialised: its bytes, and the references in it.
struct Serialised {
    len: usize,
    nested: Vec<ObjectId>,
}

/// There was not room enough; so much gets past what did not fit.
struct TooSmall {
    wanted: usize,
}

/// A value that its slot has room for.
struct Small {
    words: InlineWords,
    len: usize,
}

/// What came of trying whether a value is such a one.
enum Tried {
    Fits(Small),
    /// It is to be written to memory of its own.
    Not(Tries),
}

/// How often it was tried to serialise a value, and with how much room it is to be tried next; after none, how much is to
/// be found out.
#[derive(Default)]
struct Tries {
    tries: u32,
    capacity: usize,
}

/// A guess how much a value takes: as much as the last one of its type.
struct Hint<'a> {
    word: &'a AtomicU64,
    seen: u64,
    /// What is left of the type's fingerprint.
    of: u64,
}

impl Hint<'_> {
    /// 0 when nothing is known.
    fn bytes(&self) -> usize {
        if self.seen >> 40 == self.of { self.seen as usize & ((1 << 40) - 1) } else { 0 }
    }

    /// A value took so much.
    #[inline]
    fn learn(&self, bytes: usize) {
        let now = self.of << 40 | bytes as u64;
        if now != self.seen {
            self.word.store(now, Ordering::Relaxed);
        }
    }
}

/// The room for the second try: as the last one of its type had, if this may be much like it.
fn larger(wanted: usize, hinted: usize) -> usize {
    let enough = wanted + SLACK;
    if (wanted..4 * enough).contains(&hinted) { hinted } else { enough }
}

/// Serialises a value into `capacity` bytes.
///
/// # Safety
/// As for [`ValueSerializer::with`].
#[inline]
unsafe fn serialise<T: Value>(
    value: &T,
    destination: NonNull<u8>,
    capacity: usize,
) -> Result<Result<Serialised, TooSmall>, rancor::Error> {
    let write = |serializer: &mut ValueSerializer| {
        let result = value.write_to(serializer);
        if let Some(wanted) = serializer.wanted() {
            return Ok(Err(TooSmall { wanted }));
        }
        result.map(|()| {
            let nested = serializer.nested().to_vec();
            Ok(Serialised { len: serializer.position(), nested })
        })
    };
    // SAFETY: the caller's.
    unsafe { ValueSerializer::with(destination, capacity, write) }?
}

impl Client {
    /// Gets memory for an object of `len` bytes, to be written and then sealed.
    ///
    /// # Errors
    /// When `len` is 0, larger than the store, or when there is no room within the put timeout.
    pub fn create(self: &Arc<Self>, len: usize) -> Result<Writer, Error> {
        self.create_in(Tier::Ordinary, len)
    }

    /// The same for an object of a tier of its own.
    ///
    /// # Errors
    /// As for [`Client::create`], and when the store cannot have such objects.
    pub fn create_in(self: &Arc<Self>, tier: Tier, len: usize) -> Result<Writer, Error> {
        if len == 0 {
            return Err(Error::ZeroLength);
        }
        self.create_reserved(tier, len, len)
    }

    /// Gets memory for an object of `len` plain bytes, to be read as [`Bytes`] once it is sealed.
    ///
    /// # Errors
    /// As for [`Client::create`], but that `len` may be 0.
    pub fn create_bytes(self: &Arc<Self>, len: usize) -> Result<BytesWriter, Error> {
        self.create_bytes_in(Tier::Ordinary, len)
    }

    /// The same for an object of a tier of its own.
    ///
    /// # Errors
    /// As for [`Client::create_bytes`], and when the store cannot have such objects.
    pub fn create_bytes_in(self: &Arc<Self>, tier: Tier, len: usize) -> Result<BytesWriter, Error> {
        let whole = len.checked_next_multiple_of(8);
        let total = whole.and_then(|len| len.checked_add(size_of::<Archived<Bytes>>()));
        // What cannot be reckoned with is larger than any store.
        let total = total.unwrap_or(usize::MAX);
        Ok(BytesWriter { writer: self.create_reserved(tier, total, total)?, len })
    }

    /// Gives a reserved object its value. Of the fingerprint 51 bits count, as many as [`crate::fingerprint`] gives;
    /// 0 is that of bytes without a type. `nested` are the objects that the value refers to; the caller
    /// holds a reference to each until this returns, and the object holds them as long as it lives.
    ///
    /// # Errors
    /// When `attempt` is not the current one, when the object has a value or is gone, when a nested
    /// object is gone. The memory is given back.
    ///
    /// # Panics
    /// When the writer is of another client.
    pub fn seal(
        &self,
        id: ObjectId,
        attempt: u16,
        writer: Writer,
        fingerprint: u64,
        nested: &[ObjectId],
    ) -> Result<(), SealError> {
        assert!(std::ptr::eq(&raw const **writer.client(), self), "a writer of another client");
        let mut writer = self.with_list(writer, nested)?;
        writer.give_tail_back(footprint(writer.len(), nested.len()));
        self.settle(id, attempt, writer, fingerprint, nested.len(), false)
    }

    /// Writes the list of nested references behind the value, in larger memory if need be.
    fn with_list(&self, mut writer: Writer, nested: &[ObjectId]) -> Result<Writer, SealError> {
        if nested.is_empty() {
            return Ok(writer);
        }
        if nested.len() > MAX_NESTED as usize {
            let (found, limit) = (nested.len(), MAX_NESTED);
            return Err(Error::TooManyReferences { found, limit }.into());
        }
        let (at, total) = (list_at(writer.len()), footprint(writer.len(), nested.len()));
        // There is no room for a list in a slot.
        let is_inline = matches!(writer.place(), Place::Inline { .. });
        if is_inline || writer.capacity() < total {
            let mut larger = writer.client().create_reserved(writer.tier(), writer.len(), total)?;
            larger.copy_from_slice(&writer);
            writer = larger;
        }
        let list = &mut writer.reserved_mut()[at..total];
        for (entry, id) in list.chunks_exact_mut(NESTED_BYTES).zip(nested) {
            let [index, generation] = id.to_words();
            entry[..8].copy_from_slice(&index.to_le_bytes());
            entry[8..].copy_from_slice(&generation.to_le_bytes());
        }
        Ok(writer)
    }

    /// Fails an object: its bytes are then the error's. When there is no room for them just now, or memory cannot
    /// be had, the object fails without any: whoever waits for it must not wait for ever, nor for others to make
    /// room, and no more must whoever says that it failed.
    ///
    /// # Errors
    /// When `attempt` is not the current one, when the object has a value or is gone.
    pub fn fail(
        self: &Arc<Self>,
        id: ObjectId,
        attempt: u16,
        error_bytes: &[u8],
    ) -> Result<(), SealError> {
        let tier = Tier::Ordinary;
        let len = error_bytes.len();
        let writer = match without_waiting(|| self.create_reserved(tier, len, len)) {
            Ok(mut writer) => {
                writer.copy_from_slice(error_bytes);
                writer
            }
            Err(_) => self.create_reserved(tier, 0, 0)?,
        };
        self.settle(id, attempt, writer, 0, 0, true)
    }

    /// Publishes a value or an error.
    fn settle(
        &self,
        id: ObjectId,
        attempt: u16,
        mut writer: Writer,
        fingerprint: u64,
        nested: usize,
        failed: bool,
    ) -> Result<(), SealError> {
        self.check_ours().map_err(Error::from)?;
        let fingerprint = fingerprint & FINGERPRINT_MASK;
        let stale = || SealError::Stale(self.table().stale(id));
        let generation = self.geometry().generation(id).ok_or_else(stale)?;
        if writer.place().takes_memory() && footprint(writer.len(), nested) == 0 {
            // What has no bytes needs none: the place is given back.
            writer = Writer::new(Arc::clone(writer.client()), Place::Empty, 0, 0);
        }
        let place = writer.place();
        if let Place::File { key } = place {
            let request = SealRequest {
                id,
                attempt,
                key,
                len_bytes: writer.len() as u64,
                fingerprint,
                nested: nested as u32,
                is_failed: failed,
            };
            return self.settle_strict(writer, request);
        }
        if nested > 0 {
            debug_assert!(
                !matches!(place, Place::Inline { .. }),
                "the node reads it in the segment"
            );
            let offset_bytes = place.offset_bytes() + list_at(writer.len()) as u64;
            let count = nested as u32;
            let reply = self.ask(Request::Hold { id, attempt, offset_bytes, count })?;
            match reply {
                Reply::Done => {}
                Reply::Stale(inner) if inner == id => return Err(stale()),
                Reply::Stale(inner) => return Err(SealError::Nested(self.table().stale(inner))),
                Reply::Refused(Refusal::Late) => {
                    let current = self.table().slot(id.index).owner().attempt;
                    return Err(SealError::Late { id, attempt, current });
                }
                Reply::Refused(Refusal::AlreadySealed) => return Err(SealError::AlreadySealed(id)),
                _ => return Err(Error::Protocol("a hold was asked for").into()),
            }
            fault::point("seal.nested");
        }
        writer.finish();
        let len_bytes = writer.len() as u64;
        let is_left = self.publish(id, attempt, generation, failed, |slot| {
            if let Place::Inline { .. } = place {
                slot.set_inline(inline::to_words(writer.inline_bytes()), len_bytes, fingerprint);
            } else {
                slot.set_header(Header { location: place.to_word(), len_bytes, fingerprint });
                slot.touch(self.table().tick());
            }
        })?;
        writer.set_sealed();
        self.published(id, is_left);
        Ok(())
    }

    /// The same for a value that its slot has room for, which took no memory.
    fn settle_small(
        &self,
        id: ObjectId,
        attempt: u16,
        small: Small,
        fingerprint: u64,
    ) -> Result<(), SealError> {
        let stale = || SealError::Stale(self.table().stale(id));
        let generation = self.geometry().generation(id).ok_or_else(stale)?;
        let Small { words, len } = small;
        let is_left = self.publish(id, attempt, generation, false, |slot| {
            slot.set_inline(words, len as u64, fingerprint & FINGERPRINT_MASK);
        })?;
        self.published(id, is_left);
        Ok(())
    }

    /// Claims the slot, has `write` say there what the value is, and publishes it. Whether nobody may refer to the object
    /// any more, and it was left to this process to say so.
    #[inline]
    fn publish(
        &self,
        id: ObjectId,
        attempt: u16,
        generation: u64,
        failed: bool,
        write: impl FnOnce(Slot<'_, Mapped>),
    ) -> Result<bool, SealError> {
        let slot = self.table().slot(id.index);
        loop {
            match slot.state().transition_to_sealing(generation, attempt, self.id()) {
                BeginSeal::Begun => break,
                BeginSeal::Late { current } => {
                    return Err(SealError::Late { id, attempt, current });
                }
                BeginSeal::Sealed => return Err(SealError::AlreadySealed(id)),
                BeginSeal::Gone => return Err(SealError::Stale(self.table().stale(id))),
                BeginSeal::Undecided => self.await_node().map_err(Error::from)?,
            }
        }
        fault::point("seal.claimed");
        write(slot);
        fault::point("seal.written");
        match slot.state().transition_to_sealed(generation, self.id(), failed) {
            EndSeal::Taken => {
                let current = slot.owner().attempt;
                Err(SealError::Late { id, attempt, current })
            }
            end => Ok(end == EndSeal::Left),
        }
    }

    /// After an object was published: wakes those who wait for it.
    #[inline]
    fn published(&self, id: ObjectId, is_left: bool) {
        fault::point("seal.published");
        self.announce(id);
        if is_left {
            self.perhaps_dead(id.index);
        }
    }

    /// Has the node seal and publish what was written to a file.
    fn settle_strict(&self, writer: Writer, request: SealRequest) -> Result<(), SealError> {
        let SealRequest { id, attempt, .. } = request;
        writer.close_file();
        fault::point("strict.unmapped");
        let reply = self.ask(Request::Seal(request))?;
        fault::point("strict.sealed");
        match reply {
            Reply::Done => {
                self.sealed_by_node();
                Ok(())
            }
            Reply::Stale(inner) if inner == id => Err(SealError::Stale(self.table().stale(id))),
            Reply::Stale(inner) => Err(SealError::Nested(self.table().stale(inner))),
            Reply::Refused(Refusal::StillWritable) => Err(SealError::StillWritable(id)),
            Reply::Refused(Refusal::AlreadySealed) => Err(SealError::AlreadySealed(id)),
            Reply::Refused(Refusal::Late) => {
                let current = self.table().slot(id.index).owner().attempt;
                Err(SealError::Late { id, attempt, current })
            }
            _ => Err(Error::Protocol("a seal was asked for").into()),
        }
    }

    /// Gives a reserved object the bytes that were written. See [`Client::seal`] for the errors.
    ///
    /// # Errors
    /// See [`Client::seal`].
    pub fn seal_bytes(
        &self,
        id: ObjectId,
        attempt: u16,
        mut writer: BytesWriter,
    ) -> Result<(), SealError> {
        let len = writer.len;
        let root = len.next_multiple_of(8);
        // The archive of `Bytes` is what `ArchivedVec` resolves to: let rkyv lay it out.
        let mut out = std::mem::MaybeUninit::<ArchivedVec<u8>>::zeroed();
        // SAFETY: `out` is the place of an archived vector, and `root` is where it will be copied to,
        // relative to which the resolver points at the bytes at position 0.
        let place = unsafe { rkyv::Place::new_unchecked(root, out.as_mut_ptr()) };
        ArchivedVec::resolve_from_len(len, rkyv::vec::VecResolver::from_pos(0), place);
        let bytes: [u8; size_of::<ArchivedVec<u8>>()] =
            // SAFETY: all bytes are initialised: zeroed first, and resolving writes whole fields.
            unsafe { std::mem::transmute(out) };
        writer.writer[root..].copy_from_slice(&bytes);
        writer.writer[len..root].fill(0);
        let fingerprint = <Bytes as Value>::fingerprint();
        self.table().type_names().register(fingerprint, <Bytes as Value>::type_name);
        self.seal(id, attempt, writer.writer, fingerprint, &[])
    }

    /// Serialises a value straight into its place.
    ///
    /// # Errors
    /// When the value refuses, or there is no room for it within the put timeout.
    pub fn write_value<T: Value>(self: &Arc<Self>, value: &T) -> Result<Written, Error> {
        self.write_value_in(Tier::Ordinary, value)
    }

    /// The same for an object of a tier of its own.
    ///
    /// # Errors
    /// As for [`Client::write_value`], and when the store cannot have such objects.
    pub fn write_value_in<T: Value>(
        self: &Arc<Self>,
        tier: Tier,
        value: &T,
    ) -> Result<Written, Error> {
        match self.try_small(tier, value)? {
            Tried::Fits(small) => {
                let bytes = inline::to_bytes(small.words);
                let writer = Writer::inline(Arc::clone(self), &bytes[..small.len]);
                Ok(Written { writer, nested: Vec::new(), fingerprint: T::fingerprint() })
            }
            Tried::Not(tries) => self.write_large(tier, value, tries),
        }
    }

    /// Serialises a value that its slot has room for: those are put there however large others of their type are, since
    /// they are to need no room.
    #[inline]
    fn try_small<T: Value>(&self, tier: Tier, value: &T) -> Result<Tried, Error> {
        self.check_ours()?;
        let fingerprint = T::fingerprint();
        self.table().type_names().register(fingerprint, T::type_name);
        let least = size_of::<T::Archived>();
        if least > INLINE_BYTES || tier == Tier::Strict || self.geometry().is_strict {
            return Ok(Tried::Not(Tries::default()));
        }
        let mut words = InlineWords::default();
        // SAFETY: the words are this function's.
        let tried = unsafe { serialise(value, NonNull::from(&mut words).cast(), INLINE_BYTES) };
        let capacity = match tried.map_err(Error::Serialize)? {
            Ok(Serialised { len, nested }) if nested.is_empty() => {
                self.hint(fingerprint).learn(len);
                return Ok(Tried::Fits(Small { words, len }));
            }
            Ok(Serialised { len, nested }) => footprint(len, nested.len()),
            Err(TooSmall { wanted }) => larger(wanted, self.hint(fingerprint).bytes()),
        };
        Ok(Tried::Not(Tries { tries: 1, capacity }))
    }

    /// What the last values of a type took.
    #[inline]
    fn hint(&self, fingerprint: u64) -> Hint<'_> {
        let word = &self.hints[fingerprint as usize % HINTS];
        // Relaxed: a guess.
        Hint { word, seen: word.load(Ordering::Relaxed), of: fingerprint >> HINT_SHIFT }
    }

    /// Serialises a value straight into memory of its own.
    fn write_large<T: Value>(
        self: &Arc<Self>,
        tier: Tier,
        value: &T,
        Tries { mut tries, mut capacity }: Tries,
    ) -> Result<Written, Error> {
        let fingerprint = T::fingerprint();
        let hint = self.hint(fingerprint);
        let least = size_of::<T::Archived>();
        if tries == 0 {
            // The first try is a small one in any case: what does not fit says at once how much it wants.
            // What has no bytes takes no room, so that it can be sealed where there is none.
            capacity = match hint.bytes() {
                0 if least == 0 => 0,
                0 => least + SLACK,
                hinted => hinted.max(least),
            };
            let small = self.geometry().large_bytes as usize - 1;
            if capacity > small && tier != Tier::Strict && !self.geometry().is_strict {
                capacity = small.min(least + SLACK);
            }
        }
        loop {
            tries += 1;
            let mut writer = self.create_reserved(tier, capacity, capacity)?;
            let destination = if capacity == 0 { NonNull::dangling() } else { writer.address() };
            // SAFETY: the writer's memory is ours alone, writable, and `capacity` bytes long; nobody
            // uses the writer meanwhile.
            let tried = unsafe { serialise(value, destination, capacity) };
            let wanted = match tried.map_err(Error::Serialize)? {
                Ok(Serialised { len, nested }) => match footprint(len, nested.len()) {
                    needed if needed <= capacity => {
                        writer.truncate(len);
                        writer.give_tail_back(needed);
                        hint.learn(needed);
                        return Ok(Written { writer, nested, fingerprint });
                    }
                    needed => needed,
                },
                Err(TooSmall { wanted }) => wanted,
            };
            // Each further try doubles what is asked for, which ends with too large a request.
            capacity = if tries == 1 {
                larger(wanted, hint.bytes())
            } else {
                (wanted + SLACK).max(2 * capacity)
            };
        }
    }

    /// Gives a reserved object a value. See [`Client::seal`] and [`Client::write_value`].
    ///
    /// # Errors
    /// See [`Client::seal`] and [`Client::write_value`].
    pub fn seal_value<T: Value>(
        self: &Arc<Self>,
        id: ObjectId,
        attempt: u16,
        value: &T,
    ) -> Result<(), SealError> {
        match self.try_small(Tier::Ordinary, value)? {
            Tried::Fits(small) => self.settle_small(id, attempt, small, T::fingerprint()),
            Tried::Not(tries) => {
                let written = self.write_large(Tier::Ordinary, value, tries)?;
                self.seal(id, attempt, written.writer, written.fingerprint, &written.nested)
            }
        }
    }

    /// Stores a value as a new object, which the caller then refers to once.
    ///
    /// # Errors
    /// When the value refuses, or there is no room for it within the put timeout.
    pub fn put<T: Value>(self: &Arc<Self>, value: &T) -> Result<ObjectId, Error> {
        self.put_in(Tier::Ordinary, value)
    }

    /// The same for an object of a tier of its own.
    ///
    /// # Errors
    /// As for [`Client::put`]; when the store cannot have such objects; and [`Error::StillWritable`].
    pub fn put_in<T: Value>(self: &Arc<Self>, tier: Tier, value: &T) -> Result<ObjectId, Error> {
        // First, since the value may panic.
        match self.try_small(tier, value)? {
            Tried::Fits(small) => {
                let id = self.reserve()?;
                self.or_release(id, self.settle_small(id, 0, small, T::fingerprint()))
            }
            Tried::Not(tries) => {
                let written = self.write_large(tier, value, tries)?;
                let id = self.reserve()?;
                let Written { writer, nested, fingerprint } = written;
                self.or_release(id, self.seal(id, 0, writer, fingerprint, &nested))
            }
        }
    }

    /// Stores bytes as a new object, which the caller then refers to once; read as [`Bytes`].
    ///
    /// # Errors
    /// When there is no room within the put timeout.
    pub fn put_bytes(self: &Arc<Self>, bytes: &[u8]) -> Result<ObjectId, Error> {
        self.put_bytes_in(Tier::Ordinary, bytes)
    }

    /// The same for an object of a tier of its own.
    ///
    /// # Errors
    /// As for [`Client::put_bytes`]; when the store cannot have such objects; and [`Error::StillWritable`].
    pub fn put_bytes_in(self: &Arc<Self>, tier: Tier, bytes: &[u8]) -> Result<ObjectId, Error> {
        let mut writer = self.create_bytes_in(tier, bytes.len())?;
        writer.copy_from_slice(bytes);
        let id = self.reserve()?;
        self.or_release(id, self.seal_bytes(id, 0, writer))
    }

    fn or_release(&self, id: ObjectId, sealed: Result<(), SealError>) -> Result<ObjectId, Error> {
        let error = match sealed {
            Ok(()) => return Ok(id),
            Err(SealError::Store(error)) => error,
            Err(SealError::Nested(stale)) => Error::Nested(stale),
            Err(SealError::StillWritable(_)) => Error::StillWritable,
            Err(SealError::Late { .. } | SealError::AlreadySealed(_) | SealError::Stale(_)) => {
                Error::Protocol("somebody else sealed an object that was reserved just now")
            }
        };
        self.release(id);
        Err(error)
    }
}
