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
use rustyray_store::{ObjectId, PinError, RefSink, Status, ViewError};

use crate::{
    error::{Error, Result},
    runtime::{
        Core, Enlisted,
        current::{self, Key},
        deadline, executor, lending,
        trace::Span,
    },
    type_name,
    value::Value,
};

/// A reference to an object of the store: its value, or the promise of one.
///
/// It is cheap to clone, to send to another thread, and to pass to another process as an argument or within
/// a value. The object lives as long as any process holds a reference to it, a stored value contains one, or
/// a task takes it as an argument. A reference that outlives its runtime refers to nothing any more.
///
/// Awaiting a reference is [`ObjectRef::get`].
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::remote]
/// fn half(number: u64) -> Result<u64, String> {
///     if number % 2 == 0 { Ok(number / 2) } else { Err(format!("{number} is odd")) }
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let good = half_remote::remote(8).await?;
/// assert_eq!(good.get().await?, 4);
/// assert_eq!(format!("{good:?}"), format!("ObjectRef<u64>({}, ready)", good.id()));
///
/// let bad = half_remote::remote(7).await?;
/// assert!(bad.get().await.is_err());
/// assert_eq!(format!("{bad:?}"), format!("ObjectRef<u64>({}, failed)", bad.id()));
/// assert_eq!(bad.to_string(), bad.id().to_string());
/// # Ok(())
/// # }
/// ```
///
/// ```
/// # use rustyray::prelude::*;
/// use std::time::Duration;
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let numbers = rustyray::put(&vec![3_u64, 4]).await?;
/// assert!(numbers.is_ready());
/// let same = numbers.clone();
/// assert_eq!(same.id(), numbers.id());
///
/// // An owned copy, by any of these.
/// assert_eq!(numbers.get().await?, [3, 4]);
/// assert_eq!((&numbers).await?, [3, 4]);
/// assert_eq!(numbers.get_timeout(Duration::from_secs(1)).await?, [3, 4]);
/// assert_eq!(numbers.get_blocking()?, [3, 4]);
/// assert_eq!(numbers.get_blocking_timeout(Duration::from_secs(1))?, [3, 4]);
///
/// // The value where it lies.
/// assert_eq!(numbers.view().await?.len(), 2);
/// assert_eq!(numbers.view_blocking()?[1], 4);
/// # Ok(())
/// # }
/// ```
pub struct ObjectRef<T> {
    generation: u64,
    index: u32,
    runtime: Key,
    value: PhantomData<fn() -> T>,
}

const _: () = assert!(size_of::<ObjectRef<()>>() == 16);

impl<T> ObjectRef<T> {
    /// The owner of a reference that was already counted: it is released when this is dropped.
    pub(crate) fn adopt(core: &Arc<Core>, id: ObjectId) -> Self {
        ObjectRef::adopt_as(core.key(), id)
    }

    /// The same by the key of its runtime.
    #[inline]
    fn adopt_as(runtime: Key, id: ObjectId) -> Self {
        let ObjectId { index, generation } = id;
        ObjectRef { generation, index, runtime, value: PhantomData }
    }

    #[inline]
    pub(crate) fn object_id(&self) -> ObjectId {
        ObjectId { index: self.index, generation: self.generation }
    }

    /// The runtime that the object is of.
    pub(crate) fn core(&self) -> Result<Arc<Core>> {
        current::of(self.runtime, Arc::clone).ok_or_else(|| ended(self.object_id()))
    }

    pub(crate) fn belongs_to(&self, core: &Arc<Core>) -> bool {
        self.runtime == core.key()
    }

    /// The object's name within its session: the slot of the object table and the generation of its use.
    pub fn id(&self) -> ObjectId {
        self.object_id()
    }

    /// Has what is known of the object brought near.
    #[inline]
    pub(crate) fn approach(&self) {
        let _ = current::of(self.runtime, |core| core.client.approach(self.object_id()));
    }

    /// Whether the object is settled: its value, or the error in its place, can be had without waiting.
    pub fn is_ready(&self) -> bool {
        self.settled().is_settled()
    }

    pub(crate) fn settled(&self) -> Settled {
        Settled { id: self.object_id(), runtime: self.runtime }
    }

    /// How far the object is, in a word.
    pub(crate) fn state(&self) -> &'static str {
        let status = current::of(self.runtime, |core| core.client.status(self.object_id()));
        match status {
            Some(Status::Pending) => "pending",
            Some(Status::Sealed) => "ready",
            Some(Status::Failed) => "failed",
            Some(Status::Gone) | None => "gone",
        }
    }

    /// Waits, blocking this thread.
    fn block(&self, deadline: Option<Instant>) -> Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        self.core()?.block_until_settled(self.object_id(), deadline)
    }
}

impl<T: Value> ObjectRef<T> {
    /// The value, once it is there, as an owned copy.
    ///
    /// Dropping the future gives up waiting and has no other effect.
    ///
    /// # Errors
    /// The error of the task that should have made the object; [`crate::Error::ObjectLost`],
    /// [`crate::Error::TypeMismatch`] or [`crate::Error::CorruptObject`] when there is no such value;
    /// [`crate::Error::ShutDown`] when the runtime was shut down.
    pub fn get(&self) -> Get<'_, T> {
        Get { reference: self, span: Span::get(self.object_id()), enlisted: Enlisted::default() }
    }

    /// One look at whether the value is there, for a future that has the rest.
    #[inline]
    fn poll_get(
        &self,
        span: &Span,
        enlisted: &mut Enlisted,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        span.enter(|| {
            loop {
                if self.settled().poll(context, enlisted).is_pending() {
                    return Poll::Pending;
                }
                if let Some(value) = self.value_now() {
                    return Poll::Ready(value);
                }
            }
        })
    }

    /// The same for one of many, where `ahead` is wanted as well and expected later: a thread that has to sleep for the
    /// one may be woken for the other.
    pub(crate) async fn get_looking_ahead(&self, ahead: Option<&ObjectRef<T>>) -> Result<T> {
        let mut get = self.get();
        let mut ahead = ahead.filter(|ahead| ahead.runtime == self.runtime);
        std::future::poll_fn(|context| {
            let polled = Pin::new(&mut get).poll(context);
            if polled.is_pending()
                && let Some(ahead) = ahead.take()
            {
                executor::look_ahead(self.object_id(), ahead.object_id());
            }
            polled
        })
        .await
    }

    /// The same, waiting at most `timeout`. What is there already is given, also by a timeout of zero.
    ///
    /// Dropping the future gives up waiting and has no other effect.
    ///
    /// # Errors
    /// As [`ObjectRef::get`], and [`crate::Error::GetTimeout`].
    pub async fn get_timeout(&self, timeout: Duration) -> Result<T> {
        let get = async {
            let started = Instant::now();
            let deadline = deadline(started, timeout);
            loop {
                self.core()?.settled_by(self.object_id(), started, deadline).await?;
                if let Some(value) = self.value_now() {
                    return value;
                }
            }
        };
        Span::get(self.object_id()).within(get).await
    }

    /// A view of the value in place, once it is there; the object stays where it is while the view lives, also when no
    /// reference is left. An object that is on disk is read back, which blocks this thread as long as that takes.
    ///
    /// Dropping the future gives up waiting and has no other effect.
    ///
    /// # Errors
    /// As [`ObjectRef::get`].
    pub async fn view(&self) -> Result<View<T>> {
        let view = async {
            loop {
                self.settled().wait().await;
                if let Some(view) = self.view_now() {
                    return view;
                }
            }
        };
        Span::get(self.object_id()).within(view).await
    }

    /// [`ObjectRef::get`], blocking this thread. In async code that is a thread that polls nothing else meanwhile.
    ///
    /// # Errors
    /// As [`ObjectRef::get`].
    pub fn get_blocking(&self) -> Result<T> {
        self.blocking(None, Self::value_now)
    }

    /// [`ObjectRef::get_timeout`], blocking this thread.
    ///
    /// # Errors
    /// As [`ObjectRef::get_timeout`].
    pub fn get_blocking_timeout(&self, timeout: Duration) -> Result<T> {
        self.blocking(Some(deadline(Instant::now(), timeout)), Self::value_now)
    }

    /// [`ObjectRef::view`], blocking this thread.
    ///
    /// # Errors
    /// As [`ObjectRef::get`].
    pub fn view_blocking(&self) -> Result<View<T>> {
        self.blocking(None, Self::view_now)
    }

    /// What `look` finds of the settled object, waiting again while it has to be made again.
    #[inline]
    fn blocking<R>(
        &self,
        deadline: Option<Instant>,
        look: impl Fn(&Self) -> Option<Result<R>>,
    ) -> Result<R> {
        Span::get(self.object_id()).enter(|| {
            loop {
                self.block(deadline)?;
                if let Some(found) = look(self) {
                    return found;
                }
            }
        })
    }

    /// A view of an object that is settled; `None` when its bytes prove to be lost, and it is made again.
    #[inline]
    fn view_now(&self) -> Option<Result<View<T>>> {
        // Checking and reading the value may run user code: not while the runtime is borrowed.
        let pinned = current::of(self.runtime, |core| core.client.pin(self.object_id()));
        let pin = match pinned {
            Some(Ok(pin)) => pin,
            Some(Err(PinError::Pending(_))) if self.is_waited_for() => return None,
            Some(Err(error)) => {
                return Some(Err(view_error::<T>(self.runtime, self.object_id(), error.into())));
            }
            None => return Some(Err(ended(self.object_id()))),
        };
        let view = View::from_pin(pin);
        Some(view.map_err(|error| view_error::<T>(self.runtime, self.object_id(), error)))
    }

    #[cold]
    fn is_waited_for(&self) -> bool {
        current::of(self.runtime, |core| core.is_waited_for()).unwrap_or(false)
    }

    /// The value of an object that is settled.
    #[inline]
    fn value_now(&self) -> Option<Result<T>> {
        // Whatever keeps it from being read so is told below.
        let inline = current::of(self.runtime, |core| core.client.inline(self.object_id()));
        if let Some(value) = inline.flatten().and_then(|inline| inline.value()) {
            return Some(Ok(value));
        }
        let view = match self.view_now()? {
            Ok(view) => view,
            Err(error) => return Some(Err(error)),
        };
        let value = lending::reading(self.runtime, view.pin(), || view.to_owned_value());
        Some(value.map_err(|reason| Error::CorruptObject {
            object: self.object_id().to_string(),
            reason: reason.to_string(),
        }))
    }
}

#[cold]
fn view_error<T>(runtime: Key, id: ObjectId, error: ViewError) -> Error {
    current::of(runtime, |core| core.view_error::<T>(id, error)).unwrap_or_else(|| ended(id))
}

/// What is wrong with a reference that outlived its runtime.
#[cold]
fn ended(id: ObjectId) -> Error {
    Error::ShutDown { what: format!("object {id} went with it") }
}

impl<T> Clone for ObjectRef<T> {
    #[inline]
    fn clone(&self) -> Self {
        let _ = current::of(self.runtime, |core| core.retain_held(self.object_id()));
        ObjectRef { ..*self }
    }
}

impl<T> Drop for ObjectRef<T> {
    #[inline]
    fn drop(&mut self) {
        // What was of a runtime that was shut down went with it.
        let _ = current::of(self.runtime, |core| core.release(self.object_id()));
    }
}

impl<T> PartialEq for ObjectRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.object_id() == other.object_id() && self.runtime == other.runtime
    }
}

impl<T> Eq for ObjectRef<T> {}

impl<T> Hash for ObjectRef<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object_id().hash(state);
    }
}

/// What it refers to, and how far that is: `ObjectRef<i64>(1f-2, ready)`. The state is `pending`, `ready`,
/// `failed` where an error is in the value's place, or `gone` once the runtime was shut down. Nothing is
/// waited for.
impl<T> fmt::Debug for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, value) = (self.object_id(), type_name::short::<T>());
        write!(f, "ObjectRef<{value}>({id}, {})", self.state())
    }
}

/// The object's id, by which `rustyray list objects` shows it.
impl<T> fmt::Display for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.object_id().to_string())
    }
}

impl<T: Value> IntoFuture for ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = GetOwned<T>;

    fn into_future(self) -> GetOwned<T> {
        let span = Span::get(self.object_id());
        GetOwned { enlisted: Enlisted::default(), reference: self, span }
    }
}

impl<'a, T: Value> IntoFuture for &'a ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = Get<'a, T>;

    fn into_future(self) -> Get<'a, T> {
        self.get()
    }
}

/// Ready once the object is sealed or failed, or its runtime shut down.
#[derive(Copy, Clone)]
pub(crate) struct Settled {
    pub(crate) id: ObjectId,
    pub(crate) runtime: Key,
}

impl Settled {
    /// Whether it is.
    #[inline]
    pub(crate) fn is_settled(self) -> bool {
        current::of(self.runtime, |core| !core.is_pending(self.id)).unwrap_or(true)
    }
}

impl Settled {
    /// Ready once it is; registers the waker otherwise, for as long as `enlisted` is kept.
    #[inline]
    fn poll(self, context: &mut Context<'_>, enlisted: &mut Enlisted) -> Poll<()> {
        if self.is_settled() {
            return Poll::Ready(());
        }
        match current::of(self.runtime, Arc::clone) {
            Some(core) => core.poll_settled(self.id, context, enlisted),
            None => Poll::Ready(()),
        }
    }

    /// Waits until it is.
    pub(crate) async fn wait(self) {
        let mut enlisted = Enlisted::default();
        std::future::poll_fn(|context| self.poll(context, &mut enlisted)).await;
    }
}

/// The future of [`ObjectRef::get`].
///
/// ```
/// # use rustyray::{Get, prelude::*};
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// // Two that are waited for at the same time.
/// let (a, b) = (rustyray::put(&3_u64).await?, rustyray::put(&4_u64).await?);
/// let both: [Get<'_, u64>; 2] = [a.get(), b.get()];
/// let mut sum = 0;
/// for number in both {
///     sum += number.await?;
/// }
/// assert_eq!(sum, 7);
/// # Ok(())
/// # }
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Get<'a, T> {
    reference: &'a ObjectRef<T>,
    span: Span,
    enlisted: Enlisted,
}

impl<T: Value> Future for Get<'_, T> {
    type Output = Result<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let Get { reference, span, enlisted } = &mut *self;
        reference.poll_get(span, enlisted, context)
    }
}

impl<T> fmt::Debug for Get<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Get({})", self.reference.object_id())
    }
}

/// The future of awaiting an [`ObjectRef`] by value.
///
/// ```
/// # use rustyray::{GetOwned, prelude::*};
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// // It has the reference, and can go where a borrow of one could not.
/// let answer: GetOwned<u64> = {
///     let number = rustyray::put(&42).await?;
///     number.into_future()
/// };
/// assert_eq!(answer.await?, 42);
/// # Ok(())
/// # }
/// ```
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct GetOwned<T> {
    /// Taken back while there is still the reference.
    enlisted: Enlisted,
    reference: ObjectRef<T>,
    span: Span,
}

impl<T: Value> Future for GetOwned<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let GetOwned { enlisted, reference, span } = &mut *self;
        reference.poll_get(span, enlisted, context)
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
        generation.write(self.generation.into());
        index.write(self.index.into());
        reserved.write(0.into());
    }
}

impl<T, S: Fallible + RefSink + ?Sized> Serialize<S> for ObjectRef<T> {
    fn serialize(&self, serializer: &mut S) -> Result<(), S::Error> {
        serializer.hold(self.object_id())
    }
}

impl<T, D: Fallible<Error: Source> + ?Sized> Deserialize<ObjectRef<T>, D> for ArchivedObjectRef {
    fn deserialize(&self, _: &mut D) -> Result<ObjectRef<T>, D::Error> {
        let id = self.id();
        if let Some(runtime) = lending::take(id) {
            return Ok(ObjectRef::adopt_as(runtime, id));
        }
        // In the runtime's process the container that this is in holds the object meanwhile.
        current::peek(|core| core.retain(id).map(|()| ObjectRef::adopt(core, id)))
            .and_then(|result| result)
            .map_err(D::Error::new)
    }
}
