//! The serializer that every value goes through: straight into the object's final place.
//!
//! It writes into memory that was reserved beforehand and never grows it. When the value does not
//! fit, serialising ends with an error and [`ValueSerializer::wanted`] says how much would have been
//! enough to get past this point; the caller starts over in a larger reservation, with the list of
//! references reset.
//!
//! Values see it by a `&mut`, so safe code can swap two that are in use, one within the other. So each knows where it is
//! at home, and away from there it writes nothing and gives no memory; whoever finds another one in its place has failed.
//!
//! One of the crate's unsafe files: it copies into raw memory and hands out scratch memory.

use std::{
    alloc::{Layout, alloc, dealloc},
    cell::Cell,
    fmt,
    ptr::NonNull,
};

use rkyv::{
    rancor::{self, Fallible, Source},
    ser::{
        Allocator, Positional, Sharing, Writer,
        sharing::{Share, SharingState},
    },
};

use crate::ObjectId;

/// Takes note of the object references inside a value while the value is serialised.
pub trait RefSink: Fallible {
    /// The value refers to `id`: its container is to hold it.
    ///
    /// # Errors
    /// When the reference cannot be held.
    fn hold(&mut self, id: ObjectId) -> Result<(), Self::Error>;
}

/// Writes one value into memory that was reserved for it.
pub struct ValueSerializer {
    destination: NonNull<u8>,
    capacity: usize,
    position: usize,
    wanted: Option<usize>,
    scratch: Vec<(NonNull<u8>, Layout)>,
    sharing: Share,
    shared_any: bool,
    nested: Vec<ObjectId>,
    /// Where it was when the value was begun.
    home: *const ValueSerializer,
}

#[derive(Debug, thiserror::Error)]
#[error("the value exchanged its serializer for another one")]
struct Exchanged;

#[derive(Debug, thiserror::Error)]
#[error("the value does not fit the {capacity} bytes that were reserved for it")]
struct Overflow {
    capacity: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("no scratch memory to serialise with")]
struct NoScratch;

thread_local! {
    /// One serializer per thread, so that serialising allocates nothing in the steady state.
    static IDLE: Cell<Option<Box<ValueSerializer>>> = const { Cell::new(None) };
}

impl ValueSerializer {
    /// Runs `body` with this thread's serializer, writing to the `capacity` bytes at `destination`.
    ///
    /// # Errors
    /// When the value put another serializer in its place.
    ///
    /// # Safety
    /// The bytes must be writable, and nobody else may access them until `body` has returned.
    pub(crate) unsafe fn with<R>(
        destination: NonNull<u8>,
        capacity: usize,
        body: impl FnOnce(&mut ValueSerializer) -> R,
    ) -> Result<R, rancor::Error> {
        let mut lent = Lent(Some(IDLE.take().unwrap_or_else(|| {
            Box::new(ValueSerializer {
                destination,
                capacity: 0,
                position: 0,
                wanted: None,
                scratch: Vec::new(),
                sharing: Share::new(),
                shared_any: false,
                nested: Vec::new(),
                home: std::ptr::null(),
            })
        })));
        let serializer = lent.0.as_mut().expect("it was put there");
        serializer.destination = destination;
        serializer.capacity = capacity;
        serializer.position = 0;
        serializer.wanted = None;
        serializer.home = &raw const **serializer;
        let result = body(serializer);
        match lent.0.take_if(|serializer| serializer.is_at_home()) {
            Some(mut serializer) => {
                serializer.reset();
                IDLE.set(Some(serializer));
                Ok(result)
            }
            None => Err(rancor::Error::new(Exchanged)),
        }
    }

    #[inline]
    fn is_at_home(&self) -> bool {
        std::ptr::eq(self, self.home)
    }

    /// Forgets everything about the value that was being written.
    fn reset(&mut self) {
        self.capacity = 0;
        self.position = 0;
        self.nested.clear();
        if std::mem::take(&mut self.shared_any) {
            self.sharing.clear();
        }
        for (pointer, layout) in self.scratch.drain(..) {
            // SAFETY: `push_alloc` allocated it with this layout, and `pop_alloc` has not freed it, or
            // it would not be in the list.
            unsafe { dealloc(pointer.as_ptr(), layout) };
        }
    }

    /// How many bytes have been written.
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many bytes would have been needed to get past the point where the value overflowed.
    pub(crate) fn wanted(&self) -> Option<usize> {
        self.wanted
    }

    /// The references that the value holds, as far as it has been written.
    pub fn nested(&self) -> &[ObjectId] {
        &self.nested
    }
}

/// The serializer while a value is written, which may panic.
struct Lent(Option<Box<ValueSerializer>>);

impl Drop for Lent {
    fn drop(&mut self) {
        // What is in the place of another is kept for good: its scratch memory may be in use, and where that one is at
        // home nobody is to be again.
        self.0.take_if(|serializer| !serializer.is_at_home()).map(Box::leak);
    }
}

impl Drop for ValueSerializer {
    fn drop(&mut self) {
        self.reset();
    }
}

impl fmt::Debug for ValueSerializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueSerializer")
            .field("capacity", &self.capacity)
            .field("position", &self.position)
            .field("nested", &self.nested)
            .finish_non_exhaustive()
    }
}

impl Fallible for ValueSerializer {
    type Error = rancor::Error;
}

impl RefSink for ValueSerializer {
    fn hold(&mut self, id: ObjectId) -> Result<(), rancor::Error> {
        self.nested.push(id);
        Ok(())
    }
}

impl Positional for ValueSerializer {
    #[inline]
    fn pos(&self) -> usize {
        self.position
    }
}

impl Writer<rancor::Error> for ValueSerializer {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), rancor::Error> {
        if !self.is_at_home() {
            return Err(rancor::Error::new(Exchanged));
        }
        if bytes.len() > self.capacity - self.position {
            self.wanted = Some(self.position.saturating_add(bytes.len()));
            return Err(rancor::Error::new(Overflow { capacity: self.capacity }));
        }
        // SAFETY: `position <= capacity`, so the result lies within the destination (or at its end).
        let to = unsafe { self.destination.add(self.position) };
        // SAFETY: `bytes.len()` fits what is left of the destination (checked above), which the caller
        // of `with` promised to be writable and ours alone, so it cannot overlap `bytes`. That call has not returned:
        // this is the serializer that it lent (`is_at_home`), and nobody else is ever at home there after it.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        self.position += bytes.len();
        Ok(())
    }
}

// SAFETY: each allocation comes from the global allocator with the layout asked for, is valid until it
// is popped or the serializer is reset, and is never handed out twice.
unsafe impl Allocator<rancor::Error> for ValueSerializer {
    unsafe fn push_alloc(&mut self, layout: Layout) -> Result<NonNull<[u8]>, rancor::Error> {
        if !self.is_at_home() {
            return Err(rancor::Error::new(Exchanged));
        }
        // SAFETY: the caller promises a layout of non-zero size.
        let pointer = unsafe { alloc(layout) };
        let pointer = NonNull::new(pointer).ok_or_else(|| rancor::Error::new(NoScratch))?;
        self.scratch.push((pointer, layout));
        Ok(NonNull::slice_from_raw_parts(pointer, layout.size()))
    }

    unsafe fn pop_alloc(
        &mut self,
        pointer: NonNull<u8>,
        _layout: Layout,
    ) -> Result<(), rancor::Error> {
        if let Some(at) = self.scratch.iter().rposition(|entry| entry.0 == pointer) {
            let (pointer, layout) = self.scratch.swap_remove(at);
            // SAFETY: it was in the list, so `push_alloc` allocated it with this layout and nobody has
            // freed it since.
            unsafe { dealloc(pointer.as_ptr(), layout) };
        }
        Ok(())
    }
}

impl Sharing<rancor::Error> for ValueSerializer {
    fn start_sharing(&mut self, address: usize) -> SharingState {
        self.shared_any = true;
        Sharing::<rancor::Error>::start_sharing(&mut self.sharing, address)
    }

    fn finish_sharing(&mut self, address: usize, pos: usize) -> Result<(), rancor::Error> {
        self.sharing.finish_sharing(address, pos)
    }
}
