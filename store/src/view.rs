//! Typed views: the archive of a value in place, checked once per process and object. A strict one is checked once
//! per mapping, which lasts as long as somebody views it: what the table says of it, its generation and attempt
//! included, may be said by somebody who means harm, and so does not show that bytes are those that were checked.
//!
//! One of the crate's unsafe files: it makes typed references into checked bytes.

use std::{
    any::TypeId,
    fmt,
    hash::{Hash, Hasher},
    ops::{Deref, RangeBounds},
    ptr::NonNull,
    sync::Arc,
};

use bytes::Bytes;

use crate::{Client, ObjectId, OwnedValue, Pin, PinKind, Value, ViewError};

/// A value of type `T` where it lies, as its archive. Keeps the object in place while it lives.
///
/// # Examples
/// ```
/// use rustyray_store::{Config, Node, Pin, PinKind, View};
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let id = client.put(&vec![1.0_f64, 2.0, 3.0])?;
/// let pin: Pin = client.pin(id)?;
/// assert_eq!(pin.kind(), PinKind::Value);
/// assert_eq!(pin.fingerprint(), rustyray_store::fingerprint::<Vec<f64>>());
///
/// let view: View<Vec<f64>> = View::from_pin(pin)?;
/// client.release(id); // the view keeps the object
/// assert_eq!((view.first(), view.last(), view.get(1)), (Some(&1.0), Some(&3.0), Some(&2.0)));
/// assert_eq!(view.iter().sum::<f64>(), 6.0);
/// assert_eq!((view.to_vec(), view.to_owned_value()?), (vec![1.0, 2.0, 3.0], vec![1.0, 2.0, 3.0]));
/// assert_eq!(view.pin().id(), view.id());
///
/// let id = client.put_bytes(b"abc")?;
/// let view: View<bytes::Bytes> = client.view(id)?;
/// assert_eq!(view, *b"abc");
/// assert_eq!(view.to_vec(), b"abc");
/// let (bytes, end): (bytes::Bytes, bytes::Bytes) = (view.bytes(), view.slice(1..));
/// client.release(id);
/// drop(view);
/// assert_eq!((bytes, end), ("abc".into(), "bc".into()), "so do its bytes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct View<T: Value> {
    root: NonNull<T::Archived>,
    pin: Pin,
}

// SAFETY: a view is a shared reference to a `T::Archived` and the pin that keeps it; nothing in it is
// tied to a thread, and it hands out `&T::Archived` only.
unsafe impl<T: Value> Send for View<T> where T::Archived: Sync {}
// SAFETY: as above.
unsafe impl<T: Value> Sync for View<T> where T::Archived: Sync {}

impl<T: Value> View<T> {
    /// The value behind a pin, checked to be a `T`.
    ///
    /// # Errors
    /// When the object failed, is of another type, or its bytes are not a valid archive.
    pub fn from_pin(pin: Pin) -> Result<Self, ViewError> {
        if pin.kind() == PinKind::Failed {
            return Err(ViewError::Failed(pin));
        }
        if pin.fingerprint() != T::fingerprint() {
            return Err(mismatch::<T>(&pin));
        }
        if is_checked::<T::Archived>(&pin)
            && let Some(at) = pin.len().checked_sub(size_of::<T::Archived>())
        {
            let root = NonNull::from(&pin[at..]).cast();
            return Ok(View { root, pin });
        }
        match T::check(&pin) {
            Ok(archived) => {
                let root = NonNull::from(archived);
                set_checked::<T::Archived>(&pin);
                Ok(View { root, pin })
            }
            Err(source) => {
                Err(ViewError::Corrupt { id: pin.id(), expected: T::type_name(), source })
            }
        }
    }

    /// The object.
    pub fn id(&self) -> ObjectId {
        self.pin.id()
    }

    /// What keeps it in place.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// A value of one's own, made from the archive.
    ///
    /// # Errors
    /// When the type refuses.
    pub fn to_owned_value(&self) -> Result<T, rkyv::rancor::Error>
    where
        T: OwnedValue,
    {
        T::from_archived(self)
    }
}

/// Whether these very bytes were checked here as an `A`.
#[inline]
fn is_checked<A: 'static>(pin: &Pin) -> bool {
    match pin.file() {
        // Each copy is one of its own.
        None if pin.is_copy() => false,
        Some(file) => file.is_checked(TypeId::of::<A>()),
        None => {
            let key = type_key::<A>() ^ pin.making();
            pin.client().holdings().is_checked(pin.id(), key)
        }
    }
}

fn set_checked<A: 'static>(pin: &Pin) {
    match pin.file() {
        Some(file) => file.set_checked(TypeId::of::<A>()),
        None => {
            let key = type_key::<A>() ^ pin.making();
            pin.client().holdings().set_checked(pin.id(), key);
        }
    }
}

#[cold]
fn mismatch<T: Value>(pin: &Pin) -> ViewError {
    let found = pin
        .client()
        .table()
        .type_names()
        .find(pin.fingerprint())
        .unwrap_or_else(|| format!("type of fingerprint {:016x}", pin.fingerprint()));
    ViewError::TypeMismatch { id: pin.id(), expected: T::type_name(), found }
}

/// What `TypeId` hashes to, which tells the types of one process apart.
fn type_key<A: 'static>() -> u64 {
    struct Key(u64);
    impl Hasher for Key {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for chunk in bytes.chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                self.write_u64(u64::from_le_bytes(word));
            }
        }
        fn write_u64(&mut self, word: u64) {
            self.0 = self.0.rotate_left(17) ^ word;
        }
    }
    let mut key = Key(0);
    TypeId::of::<A>().hash(&mut key);
    key.finish()
}

impl<T: Value> Deref for View<T> {
    type Target = T::Archived;

    #[inline]
    fn deref(&self) -> &T::Archived {
        // SAFETY: `from_pin` got the address from a check of these very bytes as `T::Archived` (this
        // time or an earlier one by this process, for the same object), which covers alignment, bounds
        // and validity; `pin` keeps them unchanged and in place, and mapped.
        unsafe { self.root.as_ref() }
    }
}

impl<T: Value> Clone for View<T> {
    fn clone(&self) -> Self {
        View { root: self.root, pin: self.pin.clone() }
    }
}

impl<T: Value> fmt::Debug for View<T>
where
    T::Archived: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("View").field(&**self).finish()
    }
}

impl View<Bytes> {
    /// The bytes where they lie; keeps the object in place as long as any slice of them lives.
    pub fn bytes(&self) -> Bytes {
        let inner: &[u8] = self;
        let start = inner.as_ptr() as usize - self.pin.as_ptr() as usize;
        let len = inner.len();
        Bytes::from_owner(self.pin.clone()).slice(start..start + len)
    }

    /// Those of a range, where they lie; they too keep the object in place.
    ///
    /// # Panics
    /// When the range goes beyond the end.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Bytes {
        self.bytes().slice(range)
    }
}

impl AsRef<[u8]> for View<Bytes> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Bytes are equal, whoever has them.
impl<S: AsRef<[u8]> + ?Sized> PartialEq<S> for View<Bytes> {
    fn eq(&self, other: &S) -> bool {
        **self == *other.as_ref()
    }
}

impl From<View<Bytes>> for Bytes {
    fn from(view: View<Bytes>) -> Self {
        view.bytes()
    }
}

impl Client {
    /// A view of the object's value.
    ///
    /// # Errors
    /// When it has no value, failed, is of another type, or its bytes are not a valid archive.
    pub fn view<T: Value>(self: &Arc<Self>, id: ObjectId) -> Result<View<T>, ViewError> {
        View::from_pin(self.pin(id)?)
    }
}
