//! Putting objects and getting many.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::Arc,
};

use bytes::Bytes;
use rustyray_store::{BytesWriter, ObjectId};

use crate::{
    error::{Error, Result},
    object::ObjectRef,
    runtime::{Core, current, sites::Site, trace::Span},
    value::Value,
};

/// Stores a value and gives a reference to it. The object lives as long as somebody refers to it.
///
/// The value is copied by the first poll, and nothing is left to cancel. Where the store has no room, that blocks this
/// thread until others have let go of enough, or enough is on disk, for at most 10 s.
///
/// ```
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let words = rustyray::put(&vec!["to".to_owned(), "be".to_owned()]).await?;
/// assert_eq!(words.get().await?, ["to", "be"]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotInitialized`] without a runtime, [`Error::ObjectStoreFull`] when there is no room, or the
/// value is larger than the store, [`Error::Serialization`] when it cannot be archived, [`Error::ShutDown`] when the
/// node is gone.
#[track_caller]
pub fn put<T: Value>(value: &T) -> impl Future<Output = Result<ObjectRef<T>>> {
    let site = Location::caller();
    async move { put_now(value, site) }
}

pub(crate) fn put_now<T: Value>(value: &T, site: Site) -> Result<ObjectRef<T>> {
    let span = Span::put(std::any::type_name::<T>);
    span.enter(|| {
        current::with(|core| {
            let id = put_at(core, core.put_id(value)?, site);
            span.made(id);
            Ok(ObjectRef::adopt(core, id))
        })?
    })
}

/// Notes where an object was put, where that is recorded.
#[inline]
fn put_at(core: &Core, id: ObjectId, site: Site) -> ObjectId {
    if let Some(sites) = &core.sites {
        sites.note_put(core, id, site);
    }
    id
}

/// Stores bytes as they are. A view of them is a [`Bytes`] over the shared memory. They are copied by the first poll, as
/// [`put`] copies a value.
///
/// ```
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let bytes = rustyray::put_bytes(b"as they are").await?;
/// assert_eq!(&bytes.view().await?[..], b"as they are");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`put`].
#[track_caller]
pub fn put_bytes(bytes: impl AsRef<[u8]>) -> impl Future<Output = Result<ObjectRef<Bytes>>> {
    let site = Location::caller();
    async move {
        current::with(|core| {
            core.check_open()?;
            let span = Span::put(std::any::type_name::<Bytes>);
            let failed = |error| core.store_failed::<Bytes>(error);
            let put = || core.client.put_bytes(bytes.as_ref()).map_err(failed);
            let id = span.enter(put)?;
            span.made(id);
            Ok(ObjectRef::adopt(core, put_at(core, id, site)))
        })?
    }
}

/// Reserves `len` bytes of the store to be written in place. Until they are written they hold zeroes, or what an
/// earlier object left there.
///
/// It is done by the first poll, and nothing is left to cancel. Where the store has no room, that blocks this thread as
/// [`put`] does.
///
/// ```
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let mut writer = rustyray::create(4).await?;
/// writer.copy_from_slice(&[1, 2, 3, 4]);
/// let bytes = writer.seal()?;
/// assert_eq!(&bytes.get().await?[..], [1, 2, 3, 4]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`put`].
pub async fn create(len: usize) -> Result<ObjectWriter> {
    current::with(|core| {
        core.check_open()?;
        let failed = |error| core.store_failed::<Bytes>(error);
        let writer = core.client.create_bytes(len).map_err(failed)?;
        Ok(ObjectWriter { core: Arc::clone(core), writer })
    })?
}

/// An object that is being written in place. Dropped before [`ObjectWriter::seal`], it never was.
///
/// ```
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let given_up = rustyray::create(1 << 20).await?;
/// drop(given_up);
/// let writer = rustyray::create(1 << 20).await?;
/// assert_eq!(writer.len(), 1 << 20);
/// let unwritten = writer.seal()?;
/// assert!(unwritten.is_ready());
/// # Ok(())
/// # }
/// ```
pub struct ObjectWriter {
    core: Arc<Core>,
    writer: BytesWriter,
}

impl ObjectWriter {
    /// Makes the bytes an object; nobody can change them from here on.
    ///
    /// # Errors
    /// [`Error::ShutDown`] when the runtime ended meanwhile.
    #[track_caller]
    pub fn seal(self) -> Result<ObjectRef<Bytes>> {
        let ObjectWriter { core, writer } = self;
        let id = core.client.reserve().map_err(|error| core.store_failed::<Bytes>(error))?;
        let reference = ObjectRef::adopt(&core, put_at(&core, id, Location::caller()));
        core.client.seal_bytes(id, 0, writer).map_err(|error| Error::ObjectLost {
            object: id.to_string(),
            reason: error.to_string(),
        })?;
        Ok(reference)
    }
}

impl Deref for ObjectWriter {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.writer
    }
}

impl DerefMut for ObjectWriter {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.writer
    }
}

impl fmt::Debug for ObjectWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectWriter({} bytes)", self.writer.len())
    }
}

/// How far behind the first value that is missing [`get_all`] looks for one to be woken for: a wake costs as much as
/// so many results of short calls.
const AHEAD: usize = 128;

/// How far ahead of the value that it takes [`get_all`] has what is known of the objects brought near.
const NEAR: usize = 4;

/// The values of all references, in their order.
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::remote]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let mut squares = Vec::new();
/// for number in 0..4 {
///     squares.push(square_remote::remote(number).await?);
/// }
/// assert_eq!(rustyray::get_all(&squares).await?, [0, 1, 4, 9]);
/// # Ok(())
/// # }
/// ```
///
/// Dropping the future gives up waiting and has no other effect.
///
/// # Errors
/// The error of the first reference, in order, that has one; what [`ObjectRef::get`] gives.
pub async fn get_all<T: Value>(references: &[ObjectRef<T>]) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(references.len());
    for (at, reference) in references.iter().enumerate() {
        references.get(at + NEAR).into_iter().for_each(ObjectRef::approach);
        values.push(reference.get_looking_ahead(references.get(at + AHEAD)).await?);
    }
    Ok(values)
}

/// Asks for the end of the actor that runs this code, after the current call. Later calls fail with
/// [`Error::ActorDied`]; it is not restarted.
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::actor]
/// struct Shop;
///
/// #[rustyray::actor_methods]
/// impl Shop {
///     pub fn new() -> Self {
///         Shop
///     }
///
///     pub fn close(&mut self) -> rustyray::Result<u64> {
///         rustyray::exit_actor()?;
///         Ok(17)
///     }
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let shop = Shop::remote().await?;
/// let closed = shop.close().await?;
/// assert_eq!(closed.get().await?, 17); // the current call still answers
/// assert_eq!(shop.died().await?.reason, rustyray::ActorEnd::Exited);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`] outside an actor, and on a thread that runs none of its calls: one that a method started,
/// or tokio's in a task that was spawned there.
pub fn exit_actor() -> Result<()> {
    if !crate::context::context().in_actor() {
        return Err(Error::invalid("`exit_actor` was called outside an actor"));
    }
    if !crate::runtime::worker::exit_actor() {
        return Err(Error::invalid(
            "`exit_actor` was called on a thread that runs no call of the actor",
        ));
    }
    Ok(())
}
