//! Streams: the results of a task that gives one after the other.
//!
//! The caller reserves the objects that the items will be, ahead of their production and as many as may be
//! unconsumed at one time, and *grants* them to the producer: a grant is a small object that lists them and
//! names the grant that will follow it. The producer seals item after item into the granted objects; where
//! a grant ends it waits for the next one, which the caller seals when it has consumed enough. So an item
//! reaches its consumer as a result does, by one compare-and-swap and without a message, and a producer
//! that is ahead sleeps as anybody does who waits for an object.
//!
//! - *The end* is the task's one return object: sealed with the number of items, or failed with the error
//!   of the task. Retries, cancellation and timeouts are those of any task.
//! - *A retried attempt* begins with the latest grant that the caller has told the node of ([`Head`]); it
//!   passes over what comes before, and finds what was sealed after sealed. Nothing is delivered twice.
//! - *A dropped stream* seals nothing as its last grant. The producer finds that there, or when it looks between
//!   two items, and stops; it stops too when a grant is gone, as they all are with a consumer that dies.
//! - *A grant that is lost* is an error of the task: only a consumer may end a stream early. So that none is, the
//!   consumer keeps those in memory that may still be needed.
//!
//! The producer's half is in `items`.

use std::{
    borrow::Borrow,
    collections::VecDeque,
    fmt,
    future::poll_fn,
    marker::PhantomData,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_core::{FusedStream, Stream};
use rustyray_store::{ObjectId, PinError, PinKind, SealError, Status, ViewError, without_waiting};

use crate::{
    args::ArgWriter,
    error::{Error, Result},
    object::ObjectRef,
    options::TaskOptions,
    registry::Function,
    runtime::{
        Core, Enlisted, background::Alarm, current, executor::block_on, submission::Wanted,
        words_of,
    },
    spec::Kind,
    submit::{Invocation, submit_words},
    type_name,
};

/// How many items may be unconsumed where the options do not say.
pub(crate) const BACKPRESSURE: u32 = 64;
/// How many may be at most: each takes a slot of the store from the beginning.
pub(crate) const MOST_BACKPRESSURE: u32 = 1 << 16;

/// The items of a task that gives one after the other, as references, in their order.
///
/// It is a [`Stream`], has [`next`](ObjectRefStream::next) for programs without the traits of the `futures`
/// crates, and is an iterator for programs without async: `for item in stream` blocks until the next item
/// is there. An item is an [`ObjectRef`] that is settled already. An item that is an `Err` fails at its
/// `get`, and the stream goes on; an error of the task as a whole (an `Err` in the place of all items, a panic, a
/// crash after the retries are spent) is the last item.
///
/// At most as many items as the task's `backpressure` are made ahead of the consumer. Dropping the stream
/// stops the task.
///
/// ```
/// use rustyray::prelude::*;
///
/// #[rustyray::remote(num_returns = "streaming", backpressure = 8)]
/// fn squares(to: u64) -> impl Iterator<Item = u64> {
///     (0..to).map(|n| n * n)
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let mut squares = squares_remote::remote(100).await?;
/// let mut sum = 0;
/// while let Some(square) = squares.next().await {
///     sum += square.get().await?;
/// }
/// assert_eq!(sum, 328_350);
/// # Ok(())
/// # }
/// ```
///
/// ```
/// # use rustyray::prelude::*;
/// #[rustyray::remote(num_returns = "streaming")]
/// fn count(to: u64) -> impl Iterator<Item = u64> {
///     0..to
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// // Without async, one by one or by a loop.
/// let mut numbers = count_remote::remote(3).await?;
/// assert_eq!(numbers.next_blocking().expect("the first").get_blocking()?, 0);
/// let rest: Vec<_> = numbers.into_iter().map(|item| item.get_blocking()).collect();
/// assert_eq!(rest.into_iter().collect::<rustyray::Result<Vec<_>>>()?, [1, 2]);
///
/// // How many there were, once all are made; and no more of them, when they are not wanted.
/// let numbers = count_remote::options().backpressure(1000).remote(5).await?;
/// assert_eq!(numbers.completed().get().await?, 5);
/// numbers.cancel(CancelOptions::default()).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a stream stops its task"]
pub struct ObjectRefStream<T> {
    core: Arc<Core>,
    /// Sealed with the number of items, or failed.
    end: ObjectRef<u64>,
    /// Granted and not consumed, each counted once.
    items: VecDeque<ObjectId>,
    /// The index of the first of them.
    index: u64,
    /// The grants that a producer may still begin with.
    grants: VecDeque<Kept>,
    /// The grant that follows them; not given yet.
    next_grant: ObjectId,
    /// How many consumed items make the next grant.
    batch: usize,
    /// Consumed since the last grant.
    consumed: usize,
    /// The next grant is given where no more items than these are granted.
    ask_at: usize,
    /// There was no room for the grant without which there is no further item.
    room: Option<AwaitedRoom>,
    /// Where an error of the task becomes an item.
    last: ObjectId,
    /// What wakes for the next item, and for the end.
    enlisted: [Enlisted; 2],
    is_done: bool,
    value: PhantomData<fn() -> T>,
}

/// Submits one run of a streaming `function`.
///
/// # Errors
/// As [`crate::manual::submit`].
#[track_caller]
pub fn submit_stream<Out>(
    function: &'static Function,
    options: impl Borrow<TaskOptions>,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> impl Future<Output = Result<ObjectRefStream<Out>>> {
    let site = Location::caller();
    async move {
        current::with(|core| {
            let options = options.borrow();
            options.demand.check()?;
            let mut wanted = Wanted::task(options);
            let call = Invocation::new(Kind::Task, function.id(), 0, site);
            ObjectRefStream::submit(core, call, &mut wanted, options.backpressure, arguments)
        })?
    }
}

impl<T> ObjectRefStream<T> {
    pub(crate) fn submit(
        core: &Arc<Core>,
        call: Invocation<'_>,
        wanted: &mut Wanted,
        backpressure: u32,
        arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
    ) -> Result<Self> {
        core.check_open()?;
        if backpressure > MOST_BACKPRESSURE {
            let what =
                format!("a backpressure of {backpressure}, at most {MOST_BACKPRESSURE} can be");
            return Err(Error::invalid(what));
        }
        let window = backpressure.max(1) as usize;
        let mut reserved = Reserved { core, ids: Vec::with_capacity(window + 3) };
        let first_grant = reserved.one()?;
        let next_grant = reserved.one()?;
        let last = reserved.one()?;
        let items = (0..window).map(|_| reserved.one()).collect::<Result<VecDeque<_>>>()?;
        let grant = Grant { base: 0, items: items.iter().copied().collect(), next: next_grant };
        let given = give(core, first_grant, &grant)?;
        let ids =
            submit_words(core, Invocation { grant: Some(first_grant), ..call }, wanted, arguments)?;
        reserved.ids.clear();
        Ok(ObjectRefStream {
            core: Arc::clone(core),
            end: ObjectRef::adopt(core, ids.as_slice()[0]),
            items,
            index: 0,
            grants: VecDeque::from([given]),
            next_grant,
            batch: window.div_ceil(2),
            consumed: 0,
            ask_at: usize::MAX,
            room: None,
            last,
            enlisted: Default::default(),
            is_done: false,
            value: PhantomData,
        })
    }

    /// The next item, once it is there; `None` after the last.
    ///
    /// Dropping the future loses no item.
    pub async fn next(&mut self) -> Option<ObjectRef<T>> {
        poll_fn(|context| self.poll_item(context)).await
    }

    /// The next item, blocking this thread until it is there.
    pub fn next_blocking(&mut self) -> Option<ObjectRef<T>> {
        block_on(self.next())
    }

    /// A reference to the number of items, which is there when the last one is made: to wait for the whole,
    /// or to cancel it.
    pub fn completed(&self) -> ObjectRef<u64> {
        self.end.clone()
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<ObjectRef<T>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        if let Err(error) = self.core.check_uninterrupted() {
            return Poll::Ready(self.end_with(&error));
        }
        let Some(&front) = self.items.front() else {
            // The last grant failed for want of room.
            return self.poll_grant(context);
        };
        let [for_item, for_end] = &mut self.enlisted;
        if self.core.poll_settled(front, context, for_item).is_ready() {
            return Poll::Ready(Some(self.consume(front)));
        }
        if self.core.poll_settled(self.end.object_id(), context, for_end).is_pending() {
            return Poll::Pending;
        }
        // Items are sealed before the end.
        if !self.core.is_pending(front) {
            return Poll::Ready(Some(self.consume(front)));
        }
        Poll::Ready(self.ended())
    }

    /// Grants the next items where there are none, as soon as there is room for that; the first of them. Nothing tells of
    /// room: it is looked for now and then, and as long as a put would wait for it.
    fn poll_grant(&mut self, context: &mut Context<'_>) -> Poll<Option<ObjectRef<T>>> {
        let error = match without_waiting(|| self.grant()) {
            Ok(()) => {
                self.room = None;
                return self.poll_item(context);
            }
            Err(error) => error,
        };
        let [_, for_end] = &mut self.enlisted;
        if self.core.poll_settled(self.end.object_id(), context, for_end).is_ready() {
            // All items that it was to make are consumed.
            return Poll::Ready(self.ended());
        }
        let timeout = self.core.client.geometry().put_timeout();
        let room = self.room.get_or_insert_with(|| AwaitedRoom::new(timeout));
        if self.core.is_over() || room.is_over() {
            return Poll::Ready(self.end_with(&error));
        }
        self.core.let_go();
        room.look_again(context);
        Poll::Pending
    }

    /// The whole is settled: the last item, which is its error if it failed.
    fn ended(&mut self) -> Option<ObjectRef<T>> {
        match self.core.error_of(self.end.object_id()) {
            None => {
                self.is_done = true;
                None
            }
            Some(error) => {
                let error = self.core.met_here(error);
                self.end_with(&error)
            }
        }
    }

    fn consume(&mut self, front: ObjectId) -> ObjectRef<T> {
        let item = ObjectRef::adopt(&self.core, front);
        self.items.pop_front();
        if self.core.is_closed() {
            self.is_done = true;
            return item;
        }
        // An item of the second grant is made: whoever made it has read that grant, and so will whoever
        // begins again from now on.
        if let Some(&Kept { base, id, .. }) = self.grants.get(1)
            && base == self.index
            && let Some(passed) = self.grants.pop_front()
        {
            self.core.advance_stream(self.end.object_id(), id);
            self.core.release(passed.id);
        }
        self.index += 1;
        self.consumed += 1;
        if self.consumed >= self.batch && self.items.len() <= self.ask_at {
            // Without room for it the stream goes on with what is granted, and asks again when half of that is left: it
            // is a look at all that is stored.
            if without_waiting(|| self.grant()).is_err() {
                self.ask_at = self.items.len() / 2;
            }
        }
        item
    }

    /// Grants as many items as were consumed.
    fn grant(&mut self) -> Result<()> {
        let core = Arc::clone(&self.core);
        let mut reserved = Reserved { core: &core, ids: Vec::with_capacity(self.batch + 1) };
        let next = reserved.one()?;
        let items = (0..self.batch).map(|_| reserved.one()).collect::<Result<Vec<_>>>()?;
        let base = self.index + self.items.len() as u64;
        let given = give(&core, self.next_grant, &Grant { base, items, next })?;
        let items = reserved.ids.drain(..).skip(1);
        self.items.extend(items);
        self.grants.push_back(given);
        self.next_grant = next;
        self.consumed = self.consumed.saturating_sub(self.batch);
        self.ask_at = usize::MAX;
        Ok(())
    }

    /// The last item, which is an error.
    fn end_with(&mut self, error: &Error) -> Option<ObjectRef<T>> {
        self.is_done = true;
        self.core.fail(self.last, 0, error);
        self.core.retain_held(self.last);
        Some(ObjectRef::adopt(&self.core, self.last))
    }
}

impl<T> Stream for ObjectRefStream<T> {
    type Item = ObjectRef<T>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<ObjectRef<T>>> {
        self.poll_item(context)
    }
}

impl<T> FusedStream for ObjectRefStream<T> {
    fn is_terminated(&self) -> bool {
        self.is_done
    }
}

/// The items of an [`ObjectRefStream`], each blocking the thread until it is there.
///
/// ```
/// use rustyray::{BlockingItems, prelude::*};
///
/// #[rustyray::remote(num_returns = "streaming")]
/// fn lines() -> impl Iterator<Item = String> {
///     ["to be", "or not"].into_iter().map(str::to_owned)
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let items: BlockingItems<String> = lines_remote::remote().await?.into_iter();
/// let words: usize = items
///     .map(|line| Ok(line.get_blocking()?.split(' ').count()))
///     .sum::<rustyray::Result<usize>>()?;
/// assert_eq!(words, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlockingItems<T>(ObjectRefStream<T>);

impl<T> IntoIterator for ObjectRefStream<T> {
    type Item = ObjectRef<T>;
    type IntoIter = BlockingItems<T>;

    fn into_iter(self) -> BlockingItems<T> {
        BlockingItems(self)
    }
}

impl<T> Iterator for BlockingItems<T> {
    type Item = ObjectRef<T>;

    fn next(&mut self) -> Option<ObjectRef<T>> {
        self.0.next_blocking()
    }
}

impl<T> Drop for ObjectRefStream<T> {
    fn drop(&mut self) {
        let core = &self.core;
        // Whoever still produces finds this where it looks for more. There is always room for nothing.
        let _ = core.seal_value(self.next_grant, 0, &());
        let grants = self.grants.drain(..).map(|kept| kept.id);
        for id in self.items.drain(..).chain(grants).chain([self.next_grant, self.last]) {
            core.release(id);
        }
    }
}

/// What it gives, how far the whole is, and how many were taken: `ObjectRefStream<u64>(9d-2, pending, 3 taken)`. The id
/// is that of [`ObjectRefStream::completed`].
impl<T> fmt::Debug for ObjectRefStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, state) = (self.end.id(), self.end.state());
        write!(
            f,
            "ObjectRefStream<{}>({id}, {state}, {} taken)",
            type_name::short::<T>(),
            self.index
        )
    }
}

/// Room for a grant that somebody waits for.
struct AwaitedRoom {
    /// `None`: for ever.
    until: Option<Instant>,
    /// How long it is until the next look.
    pause: Duration,
    /// Wakes for it.
    alarm: Option<Alarm>,
}

impl AwaitedRoom {
    /// The first and the longest pause between two looks: each asks the node.
    const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

    fn new(timeout: Duration) -> Self {
        let until = Instant::now().checked_add(timeout);
        AwaitedRoom { until, pause: Self::PAUSES[0], alarm: None }
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn look_again(&mut self, context: &Context<'_>) {
        self.alarm = Some(Alarm::set(Instant::now() + self.pause, context.waker().clone()));
        self.pause = (2 * self.pause).min(Self::PAUSES[1]);
    }
}

/// Objects that were reserved for a stream, released again unless taken.
struct Reserved<'a> {
    core: &'a Arc<Core>,
    ids: Vec<ObjectId>,
}

impl Reserved<'_> {
    fn one(&mut self) -> Result<ObjectId> {
        let tag = crate::runtime::tag::ITEM;
        let reserved = self.core.client.reserve_as(tag);
        let id = reserved.map_err(|error| self.core.store_failed::<()>(error))?;
        self.ids.push(id);
        Ok(id)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.ids.iter().for_each(|&id| self.core.release(id));
    }
}

/// A grant that was given and not passed yet.
struct Kept {
    /// The index of its first item.
    base: u64,
    id: ObjectId,
    /// Has its bytes stay in memory: on disk they might be lost, or find no room to come back.
    _pin: Option<rustyray_store::Pin>,
}

/// Objects for the producer to seal. As words: the index of the first item, how many there are, theirs
/// names, the name of the grant that will follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The index of the first item.
    pub(crate) base: u64,
    pub(crate) items: Vec<ObjectId>,
    pub(crate) next: ObjectId,
}

impl Grant {
    fn to_bytes(&self) -> Vec<u8> {
        let names = self.items.iter().chain([&self.next]);
        let names = names.flat_map(|id| [u64::from(id.index), id.generation]);
        let words = [self.base, self.items.len() as u64].into_iter().chain(names);
        words.flat_map(u64::to_le_bytes).collect()
    }

    fn from_words(words: &[u64]) -> Option<Grant> {
        let &[base, count, ref names @ ..] = words else { return None };
        let name = |&[index, generation]: &[u64; 2]| {
            Some(ObjectId { index: u32::try_from(index).ok()?, generation })
        };
        let mut names = names.as_chunks::<2>().0.iter();
        let items = names.by_ref().take(usize::try_from(count).ok()?).map(name);
        let items: Vec<ObjectId> = items.collect::<Option<_>>()?;
        let next = name(names.next()?)?;
        (items.len() as u64 == count).then_some(Grant { base, items, next })
    }
}

/// What became of a grant.
#[derive(Debug)]
pub(crate) enum Granted {
    /// Here it is.
    Given(Grant),
    /// It will not come: the stream was dropped.
    Never,
    /// It is gone: the consumer has passed it, or is gone itself.
    Gone,
    /// It was given and cannot be read.
    Lost(Error),
}

/// Reads a grant that is settled.
pub(crate) fn read_grant(core: &Arc<Core>, id: ObjectId) -> Granted {
    match core.client.pin(id) {
        Ok(pin) if pin.kind() == PinKind::Failed => Granted::Lost(Error::from_bytes(id, &pin)),
        Ok(pin) if pin.is_empty() => Granted::Never,
        Ok(pin) => match Grant::from_words(&words_of(&pin)) {
            Some(grant) => Granted::Given(grant),
            None => Granted::Lost(Error::CorruptObject {
                object: id.to_string(),
                reason: "it is no grant of a stream".into(),
            }),
        },
        Err(PinError::Stale(_)) => Granted::Gone,
        Err(error) => Granted::Lost(core.view_error::<()>(id, ViewError::Pin(error))),
    }
}

/// Whether the stream whose next grant this is was dropped.
pub(crate) fn is_dropped(core: &Arc<Core>, id: ObjectId) -> bool {
    // The length may be that of another object, where this one has just gone: what seems to be nothing is read.
    core.client.status(id) == Status::Sealed
        && core.client.len_bytes(id) == 0
        && matches!(read_grant(core, id), Granted::Never)
}

fn give(core: &Arc<Core>, id: ObjectId, grant: &Grant) -> Result<Kept> {
    let bytes = grant.to_bytes();
    let failed = |error| core.store_failed::<()>(error);
    let mut writer = core.client.create_bytes(bytes.len()).map_err(failed)?;
    writer.copy_from_slice(&bytes);
    let lost =
        |error: SealError| Error::ObjectLost { object: id.to_string(), reason: error.to_string() };
    core.client.seal_bytes(id, 0, writer).map_err(lost)?;
    // Where it has gone to disk already it is read from there.
    Ok(Kept { base: grant.base, id, _pin: core.client.pin(id).ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_as_it_was_written_and_not_when_cut_short() {
        let id = |index| ObjectId { index, generation: 40 + u64::from(index) };
        let grant = Grant { base: 128, items: vec![id(1), id(9)], next: id(3) };
        let words = words_of(&grant.to_bytes());
        assert_eq!(Grant::from_words(&words), Some(grant));
        for len in 0..words.len() {
            assert_eq!(Grant::from_words(&words[..len]), None, "{len} words");
        }
        assert_eq!(Grant::from_words(&[0, u64::MAX, 1, 2]), None);
    }
}
