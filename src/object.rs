//! References to objects, and the ways to what they refer to.

use std::{
    fmt,
    future::{Future, IntoFuture},
    hash::{Hash, Hasher},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rkyv::{
    Archive, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    rancor::{Fallible, Source},
    rend::{u32_le, u64_le},
};
pub use rustyray_store::View;
use rustyray_store::{ObjectId, RefSink};

use crate::{
    error::Result,
    runtime::{Core, current},
    value::Value,
};

/// A reference to an object of the store: its value, or the promise of one.
///
/// It is cheap to clone, to send to another thread, and to pass to another process as an argument or within
/// a value. The object lives as long as any process holds a reference to it, a stored value contains one, or
/// a task takes it as an argument.
///
/// Awaiting a reference is [`ObjectRef::get`].
pub struct ObjectRef<T> {
    core: Arc<Core>,
    id: ObjectId,
    value: PhantomData<fn() -> T>,
}

impl<T> ObjectRef<T> {
    /// The owner of a reference that was already counted: it is released when this is dropped.
    pub(crate) fn adopt(core: &Arc<Core>, id: ObjectId) -> Self {
        ObjectRef { core: Arc::clone(core), id, value: PhantomData }
    }

    pub(crate) fn object_id(&self) -> ObjectId {
        self.id
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn belongs_to(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.core, core)
    }

    /// The object's name within its session: the slot of the object table and the generation of its use.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Whether the object is settled: its value, or the error in its place, can be had without waiting.
    pub fn is_ready(&self) -> bool {
        !self.core.is_pending(self.id)
    }
}

impl<T: Value> ObjectRef<T> {
    /// The value, once it is there, as an owned copy.
    ///
    /// Dropping the future gives up waiting and has no other effect.
    ///
    /// # Errors
    /// The error of the task that should have made the object; [`crate::Error::ObjectLost`],
    /// [`crate::Error::TypeMismatch`] or [`crate::Error::CorruptObject`] when there is no such value.
    pub fn get(&self) -> Get<'_, T> {
        Get { settled: Settled { core: &self.core, id: self.id }, value: PhantomData }
    }

    /// The same, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`ObjectRef::get`], and [`crate::Error::GetTimeout`].
    pub async fn get_timeout(&self, timeout: Duration) -> Result<T> {
        self.core.settled_within(self.id, timeout).await?;
        self.core.get_sealed(self.id)
    }

    /// A view of the value in place, once it is there; the object stays where it is while the view lives.
    ///
    /// # Errors
    /// As [`ObjectRef::get`].
    pub async fn view(&self) -> Result<View<T>> {
        Settled { core: &self.core, id: self.id }.await;
        self.core.view_sealed(self.id)
    }

    /// [`ObjectRef::get`], blocking this thread.
    ///
    /// # Errors
    /// As [`ObjectRef::get`].
    pub fn get_blocking(&self) -> Result<T> {
        self.core.block_until_settled(self.id, None)?;
        self.core.get_sealed(self.id)
    }

    /// [`ObjectRef::get_timeout`], blocking this thread.
    ///
    /// # Errors
    /// As [`ObjectRef::get_timeout`].
    pub fn get_blocking_timeout(&self, timeout: Duration) -> Result<T> {
        self.core.block_until_settled(self.id, Some(Instant::now() + timeout))?;
        self.core.get_sealed(self.id)
    }

    /// [`ObjectRef::view`], blocking this thread.
    ///
    /// # Errors
    /// As [`ObjectRef::get`].
    pub fn view_blocking(&self) -> Result<View<T>> {
        self.core.block_until_settled(self.id, None)?;
        self.core.view_sealed(self.id)
    }
}

impl<T> Clone for ObjectRef<T> {
    #[inline]
    fn clone(&self) -> Self {
        self.core.retain_held(self.id);
        ObjectRef { core: Arc::clone(&self.core), id: self.id, value: PhantomData }
    }
}

impl<T> Drop for ObjectRef<T> {
    #[inline]
    fn drop(&mut self) {
        self.core.release(self.id);
    }
}

impl<T> PartialEq for ObjectRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && Arc::ptr_eq(&self.core, &other.core)
    }
}

impl<T> Eq for ObjectRef<T> {}

impl<T> Hash for ObjectRef<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<T> fmt::Debug for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_ready() { "ready" } else { "pending" };
        write!(f, "ObjectRef<{}>({}, {state})", std::any::type_name::<T>(), self.id)
    }
}

impl<T: Value> IntoFuture for ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = GetOwned<T>;

    fn into_future(self) -> GetOwned<T> {
        GetOwned { reference: self }
    }
}

impl<'a, T: Value> IntoFuture for &'a ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = Get<'a, T>;

    fn into_future(self) -> Get<'a, T> {
        self.get()
    }
}

/// Ready once the object is sealed or failed.
pub(crate) struct Settled<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) id: ObjectId,
}

impl Future for Settled<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.core.poll_settled(self.id, context)
    }
}

/// The future of [`ObjectRef::get`].
#[must_use = "futures do nothing unless awaited"]
pub struct Get<'a, T> {
    settled: Settled<'a>,
    value: PhantomData<fn() -> T>,
}

impl<T: Value> Future for Get<'_, T> {
    type Output = Result<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match Pin::new(&mut self.settled).poll(context) {
            Poll::Ready(()) => Poll::Ready(self.settled.core.get_sealed(self.settled.id)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Get<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Get({})", self.settled.id)
    }
}

/// The future of awaiting an [`ObjectRef`] by value.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct GetOwned<T> {
    reference: ObjectRef<T>,
}

impl<T: Value> Future for GetOwned<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.reference.get()).poll(context)
    }
}

/// An [`ObjectRef`] inside an archived value.
#[derive(Clone, Copy, Debug, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[rkyv(crate = rkyv)]
#[repr(C)]
pub struct ArchivedObjectRef {
    generation: u64_le,
    index: u32_le,
    reserved: u32_le,
}

impl ArchivedObjectRef {
    /// The object referred to.
    pub fn id(&self) -> ObjectId {
        ObjectId { index: self.index.to_native(), generation: self.generation.to_native() }
    }
}

impl<T> Archive for ObjectRef<T> {
    type Archived = ArchivedObjectRef;
    type Resolver = ();

    fn resolve(&self, (): (), out: Place<ArchivedObjectRef>) {
        rkyv::munge::munge!(let ArchivedObjectRef { generation, index, reserved } = out);
        generation.write(self.id.generation.into());
        index.write(self.id.index.into());
        reserved.write(0.into());
    }
}

impl<T, S: Fallible + RefSink + ?Sized> Serialize<S> for ObjectRef<T> {
    fn serialize(&self, serializer: &mut S) -> Result<(), S::Error> {
        serializer.hold(self.id)
    }
}

impl<T, D: Fallible<Error: Source> + ?Sized> Deserialize<ObjectRef<T>, D> for ArchivedObjectRef {
    fn deserialize(&self, _: &mut D) -> Result<ObjectRef<T>, D::Error> {
        let core = current::get().map_err(D::Error::new)?;
        core.retain(self.id()).map_err(D::Error::new)?;
        Ok(ObjectRef::adopt(&core, self.id()))
    }
}
