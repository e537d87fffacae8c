//! The producer's half of a stream: item after item is sealed into what the consumer has granted.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_core::Stream;
use rustyray_store::{ObjectId, Status};

use crate::{
    call::{Call, End, Failure, FailureKind, Finished, Ids, Outcome, Returns},
    context,
    error::Error,
    object::Settled,
    runtime::record::Began,
    stream::{Grant, Granted, read_grant},
};

/// Takes the items of one streaming task or call, in their order.
#[derive(Debug)]
pub struct Items<'a> {
    returns: &'a Returns,
    /// The name of the task, for errors.
    task: String,
    granted: VecDeque<ObjectId>,
    next_grant: ObjectId,
    /// The index of the next item.
    index: u64,
    /// Items before this one have long been delivered: another attempt made them.
    base: u64,
    is_stopped: bool,
}

/// Where an item goes.
enum Slot {
    /// Into this object.
    Granted(ObjectId),
    /// It was delivered already.
    Delivered,
    /// First the next grant must be there.
    Wait,
    /// Nobody wants any more.
    Stopped,
}

impl<'a> Items<'a> {
    pub(crate) fn open(returns: &'a Returns) -> Result<Self, Failure> {
        let first = returns
            .grant
            .ok_or_else(|| Error::invalid("a stream was called as if it were a plain function"))?;
        let mut items = Items {
            returns,
            task: context::running_name().unwrap_or_else(|| "?".into()),
            granted: VecDeque::new(),
            next_grant: first,
            index: 0,
            base: 0,
            is_stopped: false,
        };
        items.take_grant();
        Ok(items)
    }

    /// Reads the grant that is due and settled.
    fn take_grant(&mut self) {
        let core = &self.returns.core;
        let mut granted = read_grant(core, self.next_grant);
        if let Granted::Passed = granted {
            // The consumer is gone, or ahead of this attempt: then the node knows where.
            let end = self.returns.ids.as_slice().first();
            granted = match end.and_then(|&end| core.stream_head(end)) {
                Some(head) => read_grant(core, head),
                None => Granted::Never,
            };
            if let Granted::Given(grant) = &granted
                && grant.base <= self.index
                && self.index > 0
            {
                granted = Granted::Never;
            }
        }
        match granted {
            Granted::Given(Grant { base, items, next }) => {
                self.base = self.base.max(base);
                self.granted = items.into();
                self.next_grant = next;
            }
            Granted::Never | Granted::Passed => self.is_stopped = true,
        }
    }

    fn slot(&mut self) -> Slot {
        let core = &self.returns.core;
        if self.is_stopped || core.client.status(self.next_grant) == Status::Failed {
            self.is_stopped = true;
            return Slot::Stopped;
        }
        if self.index < self.base {
            self.index += 1;
            return Slot::Delivered;
        }
        match self.granted.pop_front() {
            Some(slot) => {
                self.index += 1;
                Slot::Granted(slot)
            }
            None => Slot::Wait,
        }
    }

    fn seal<O: Outcome<M>, M>(&self, slot: ObjectId, item: O) {
        let Returns { core, attempt, .. } = self.returns;
        let ids = Ids::One(slot);
        let place =
            Returns { core: core.clone(), ids, attempt: 0, grant: None, began: Began::default() };
        match item.seal(&place) {
            // An earlier attempt made it, or the consumer does not want it any more.
            Ok(()) | Err(Failure(FailureKind::Late)) => {}
            Err(failure) => core.fail(slot, 0, &failure.into_error(&self.task, *attempt)),
        }
    }

    /// Gives one item, blocking while the consumer is too far behind; `false` when nobody wants any more.
    ///
    /// # Errors
    /// When the task is cancelled meanwhile.
    pub fn send<O: Outcome<M>, M>(&mut self, item: O) -> Result<bool, Failure> {
        loop {
            match self.slot() {
                Slot::Granted(slot) => {
                    self.seal(slot, item);
                    return Ok(true);
                }
                Slot::Delivered => return Ok(true),
                Slot::Stopped => return Ok(false),
                Slot::Wait => {
                    self.returns.core.block_until_settled(self.next_grant, None)?;
                    self.take_grant();
                }
            }
        }
    }

    /// Gives all items of an iterator, blocking while the consumer is too far behind.
    ///
    /// # Errors
    /// When the task is cancelled meanwhile.
    pub fn send_all<O: Outcome<M>, M>(
        &mut self,
        items: impl Iterator<Item = O>,
    ) -> Result<(), Failure> {
        for item in items {
            if !self.send(item)? {
                break;
            }
        }
        Ok(())
    }

    /// Gives all items of a stream, waiting while the consumer is too far behind.
    ///
    /// # Errors
    /// None at present.
    pub async fn send_stream<O: Outcome<M>, M>(
        &mut self,
        items: impl Stream<Item = O>,
    ) -> Result<(), Failure> {
        let mut items = pin!(items);
        loop {
            let next = std::future::poll_fn(|context| items.as_mut().poll_next(context)).await;
            let Some(item) = next else { return Ok(()) };
            loop {
                match self.slot() {
                    Slot::Granted(slot) => {
                        self.seal(slot, item);
                        break;
                    }
                    Slot::Delivered => break,
                    Slot::Stopped => return Ok(()),
                    Slot::Wait => {
                        Settled { id: self.next_grant, runtime: self.returns.core.key() }.await;
                        self.take_grant();
                    }
                }
            }
        }
    }

    /// Says how many items there are.
    fn finish(self) -> Result<(), Failure> {
        self.returns.seal(0, &self.index)
    }
}

impl Call<'_> {
    /// Gives the items of an iterator, one object each.
    ///
    /// # Errors
    /// When the call asked for no stream.
    pub fn finish_stream<O: Outcome<M>, M>(
        &mut self,
        items: impl Iterator<Item = O>,
    ) -> Result<Finished, Failure> {
        let mut to = Items::open(self.returns)?;
        to.send_all(items)?;
        to.finish()?;
        Ok(Finished(End::Sealed))
    }

    /// Gives the items of a stream, once it is there, one object each.
    ///
    /// # Errors
    /// When the call asked for no stream.
    pub fn finish_stream_async<O: Outcome<M>, S: Stream<Item = O> + 'static, M>(
        &mut self,
        items: impl Future<Output = S> + 'static,
    ) -> Result<Finished, Failure> {
        self.stream_later(async move |to: &mut Items<'_>| to.send_stream(items.await).await)
    }

    /// Runs a method that gives items and has the actor to itself.
    ///
    /// # Errors
    /// When the call asked for no stream, or no such actor lives here.
    pub fn exclusive_stream<A: 'static>(
        &mut self,
        method: impl FnOnce(&mut A, &mut Items<'_>) -> Result<(), Failure> + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?.clone();
        if let Ok(mut actor) = resident.lock::<A>()?.try_write() {
            let mut to = Items::open(self.returns)?;
            method(&mut actor, &mut to)?;
            to.finish()?;
            return Ok(Finished(End::Sealed));
        }
        self.stream_later(async move |to: &mut Items<'_>| {
            method(&mut *resident.lock()?.write().await, to)
        })
    }

    /// Runs a method that gives items and shares the actor with other shared ones.
    ///
    /// # Errors
    /// When the call asked for no stream, or no such actor lives here.
    pub fn shared_stream<A: 'static>(
        &mut self,
        method: impl FnOnce(&A, &mut Items<'_>) -> Result<(), Failure> + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?.clone();
        if let Ok(actor) = resident.lock::<A>()?.try_read() {
            let mut to = Items::open(self.returns)?;
            method(&actor, &mut to)?;
            to.finish()?;
            return Ok(Finished(End::Sealed));
        }
        self.stream_later(async move |to: &mut Items<'_>| {
            method(&*resident.lock()?.read().await, to)
        })
    }

    /// Runs an async method that gives items and has the actor to itself until the last.
    ///
    /// # Errors
    /// When no such actor lives here.
    pub fn exclusive_stream_async<A: 'static>(
        &mut self,
        method: impl AsyncFnOnce(&mut A, &mut Items<'_>) -> Result<(), Failure> + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?.clone();
        self.stream_later(async move |to: &mut Items<'_>| {
            method(&mut *resident.lock()?.write().await, to).await
        })
    }

    /// Runs an async method that gives items and shares the actor with other shared ones.
    ///
    /// # Errors
    /// When no such actor lives here.
    pub fn shared_stream_async<A: 'static>(
        &mut self,
        method: impl AsyncFnOnce(&A, &mut Items<'_>) -> Result<(), Failure> + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?.clone();
        self.stream_later(async move |to: &mut Items<'_>| {
            method(&*resident.lock()?.read().await, to).await
        })
    }

    fn stream_later(
        &mut self,
        run: impl AsyncFnOnce(&mut Items<'_>) -> Result<(), Failure> + 'static,
    ) -> Result<Finished, Failure> {
        let returns = self.returns.clone();
        Ok(Finished(End::Later(Box::pin(async move {
            let mut to = Items::open(&returns)?;
            run(&mut to).await?;
            to.finish()
        }))))
    }
}

/// The items of a stream, each wrapped as an [`Outcome`].
pub fn outcomes<S: Stream, O>(items: S, wrap: impl FnMut(S::Item) -> O) -> impl Stream<Item = O> {
    struct Wrapped<S, F> {
        items: Pin<Box<S>>,
        wrap: F,
    }

    // The stream is pinned on its own; nothing else is.
    impl<S, F> Unpin for Wrapped<S, F> {}

    impl<S: Stream, O, F: FnMut(S::Item) -> O> Stream for Wrapped<S, F> {
        type Item = O;

        fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<O>> {
            let this = &mut *self;
            this.items.as_mut().poll_next(context).map(|item| item.map(&mut this.wrap))
        }
    }

    Wrapped { items: Box::pin(items), wrap }
}
