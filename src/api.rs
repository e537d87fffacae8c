//! Putting objects and waiting for them.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustyray_store::BytesWriter;

use crate::{
    error::{Error, Result},
    object::{ObjectRef, Settled},
    runtime::{Alarm, Core, current, store_error},
    value::Value,
};

/// Stores a value and gives a reference to it.
///
/// # Errors
/// [`Error::NotInitialized`] without a runtime, [`Error::ObjectStoreFull`] when there is no room,
/// [`Error::Serialization`] when the value cannot be archived.
pub async fn put<T: Value>(value: &T) -> Result<ObjectRef<T>> {
    put_now(value)
}

pub(crate) fn put_now<T: Value>(value: &T) -> Result<ObjectRef<T>> {
    current::with(|core| Ok(ObjectRef::adopt(core, core.put_id(value)?)))?
}

/// Stores bytes as they are. A view of them is a [`Bytes`] over the shared memory.
///
/// # Errors
/// As [`put`].
pub async fn put_bytes(bytes: impl AsRef<[u8]>) -> Result<ObjectRef<Bytes>> {
    current::with(|core| {
        core.check_open()?;
        let id = core.client.put_bytes(bytes.as_ref()).map_err(store_error::<Bytes>)?;
        Ok(ObjectRef::adopt(core, id))
    })?
}

/// Reserves `len` bytes of the store to be written in place.
///
/// # Errors
/// As [`put`].
pub async fn create(len: usize) -> Result<ObjectWriter> {
    current::with(|core| {
        core.check_open()?;
        let writer = core.client.create_bytes(len).map_err(store_error::<Bytes>)?;
        Ok(ObjectWriter { core: Arc::clone(core), writer })
    })?
}

/// An object that is being written in place. Dropped before [`ObjectWriter::seal`], it never was.
pub struct ObjectWriter {
    core: Arc<Core>,
    writer: BytesWriter,
}

impl ObjectWriter {
    /// Makes the bytes an object; nobody can change them from here on.
    ///
    /// # Errors
    /// [`Error::ShutDown`] when the runtime ended meanwhile.
    pub fn seal(self) -> Result<ObjectRef<Bytes>> {
        let ObjectWriter { core, writer } = self;
        let id = core.client.reserve().map_err(store_error::<Bytes>)?;
        let reference = ObjectRef::adopt(&core, id);
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

/// The values of all references, in their order.
///
/// # Errors
/// The error of the first reference, in order, that has one. Dropping the future gives up waiting.
pub async fn get_all<T: Value>(references: &[ObjectRef<T>]) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(references.len());
    for reference in references {
        values.push(reference.get().await?);
    }
    Ok(values)
}

/// Waits until `num_returns` of the references are settled, or until `timeout` has passed; gives those that
/// are and those that are left, each in the order of `references`. At most `num_returns` are in the first.
///
/// # Errors
/// [`Error::InvalidArgument`] when `num_returns` is above the number of references,
/// [`Error::TaskCancelled`] when the task that waits is cancelled.
pub async fn wait<T>(
    references: &[ObjectRef<T>],
    num_returns: usize,
    timeout: Option<Duration>,
) -> Result<(Vec<ObjectRef<T>>, Vec<ObjectRef<T>>)> {
    if num_returns > references.len() {
        return Err(Error::invalid(format!(
            "num_returns is {num_returns}, and there are {} references",
            references.len()
        )));
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut alarm = None;
    // Those not seen settled yet. Of `left` that wait for `missing` more, one among any `left - missing + 1`
    // must be next: no more than these are watched, so waiting for all of them goes from one to the next.
    let mut left: Vec<&ObjectRef<T>> = references.iter().rev().collect();
    let mut missing = num_returns;
    std::future::poll_fn(|context| {
        loop {
            if missing == 0 {
                return Poll::Ready(Ok::<(), Error>(()));
            }
            left[0].core().check_uninterrupted()?;
            let watched = left.len() - missing + 1;
            let from = left.len() - watched;
            let mut settled = 0;
            let mut at = left.len();
            while at > from && settled < missing {
                at -= 1;
                if left[at].is_ready() {
                    left.swap_remove(at);
                    settled += 1;
                }
            }
            missing -= settled;
            if settled == 0 {
                break;
            }
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Poll::Ready(Ok(()));
        }
        for reference in left.iter().rev().take(left.len() - missing + 1) {
            let mut watch = Settled { core: reference.core(), id: reference.object_id() };
            if Pin::new(&mut watch).poll(context).is_ready() {
                // Settled between the two looks: look again.
                context.waker().wake_by_ref();
                break;
            }
        }
        if let Some(deadline) = deadline {
            alarm.get_or_insert_with(|| Alarm::set(deadline, context.waker().clone()));
        }
        Poll::Pending
    })
    .await?;
    let (mut ready, mut pending) = (Vec::with_capacity(num_returns), Vec::new());
    for reference in references {
        if ready.len() < num_returns && reference.is_ready() {
            ready.push(reference.clone());
        } else {
            pending.push(reference.clone());
        }
    }
    Ok((ready, pending))
}

/// Asks for the end of the actor that runs this code, after the current call. Later calls fail with
/// [`Error::ActorDied`]; it is not restarted.
///
/// # Errors
/// [`Error::InvalidArgument`] outside an actor.
pub fn exit_actor() -> Result<()> {
    if !crate::context::context().in_actor() {
        return Err(Error::invalid("`exit_actor` was called outside an actor"));
    }
    crate::runtime::worker::exit_actor();
    Ok(())
}
