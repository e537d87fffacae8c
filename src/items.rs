//! The producer's half of a stream: item after item is sealed into what the consumer has granted.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use rustyray_store::ObjectId;

use crate::{
    call::{Call, End, Failure, Finished, Ids, IntoCause, Outcome, Rest, Returns},
    context,
    error::Error,
    object::Settled,
    runtime::Core,
    stream::{Grant, Granted, is_dropped, read_grant},
};

/// Takes the items of one streaming task or call, in their order.
///
/// ```
/// # use rustyray::manual::{
/// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Items, Method, Plain, Residence,
/// # };
/// # struct Tape(Vec<u64>);
/// // All at once, or one by one with a look at whether anybody wants more.
/// #[manual::linkme::distributed_slice(manual::ACTORS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static TAPE: ActorClass = ActorClass::new(
///     "docs::Tape",
///     concat!(file!(), ":", line!()),
///     &[Constructor::new("new", |call| Residence::<Tape>::construct(call, Plain(Tape(vec![5, 6]))))],
///     &[
///         Method::new("all", |call| {
///             call.shared_stream(|tape: &Tape, to: &mut Items<'_>| {
///                 to.send_all(tape.0.iter().copied().map(Plain))
///             })
///         }),
///         Method::new("endless", |call| {
///             call.shared_stream(|tape: &Tape, to: &mut Items<'_>| {
///                 for number in tape.0.iter().cycle() {
///                     if !to.send(Plain(*number))? {
///                         break; // the stream was dropped
///                     }
///                 }
///                 Ok(())
///             })
///         }),
///     ],
/// );
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// # let new = const { TAPE.constructor("new") };
/// # let options = ActorOptions::new();
/// let tape: ActorHandle<Tape> = manual::create(&TAPE, new, options, |_| Ok(())).await?;
/// let all = tape.call_stream::<u64>(const { TAPE.method("all") }, |_| Ok(())).await?;
/// assert_eq!(all.completed().get().await?, 2);
///
/// let mut endless = tape.call_stream::<u64>(const { TAPE.method("endless") }, |_| Ok(())).await?;
/// for number in [5, 6, 5] {
///     assert_eq!(endless.next().await.expect("there is always one").get().await?, number);
/// }
/// let end = endless.completed();
/// drop(endless);
/// assert!(end.get().await? >= 3); // it saw that, and stopped
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Items<'a> {
    core: &'a Arc<Core>,
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
    pub(crate) fn open(core: &'a Arc<Core>, returns: &'a Returns) -> Result<Self, Failure> {
        let first = returns
            .grant
            .ok_or_else(|| Error::invalid("a stream was called as if it were a plain function"))?;
        let mut items = Items {
            core,
            returns,
            task: context::running_name().unwrap_or_else(|| "?".into()),
            granted: VecDeque::new(),
            next_grant: first,
            index: 0,
            base: 0,
            is_stopped: false,
        };
        items.take_grant()?;
        Ok(items)
    }

    /// Reads the grant that is due and settled.
    ///
    /// # Errors
    /// When it was lost: that is not the consumer's wish to have no more.
    fn take_grant(&mut self) -> Result<(), Failure> {
        let core = self.core;
        let end = self.returns.ids.as_slice().first();
        let grant = find_grant(
            self.next_grant,
            self.index,
            |id| read_grant(core, id),
            || end.and_then(|&end| core.stream_head(end)),
        )?;
        match grant {
            Some(Grant { base, items, next }) => {
                self.base = self.base.max(base);
                self.granted = items.into();
                self.next_grant = next;
            }
            None => self.is_stopped = true,
        }
        Ok(())
    }

    fn slot(&mut self) -> Slot {
        let core = self.core;
        if self.is_stopped || is_dropped(core, self.next_grant) {
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
        let (core, attempt) = (self.core, self.returns.attempt);
        match item.seal(core, &Returns::of(Ids::One(slot), 0)) {
            // An earlier attempt made it, or the consumer does not want it any more.
            Ok(()) => {}
            Err(failure) if failure.is_late() => {}
            Err(failure) => core.fail(slot, 0, &failure.into_error(&self.task, attempt)),
        }
    }

    /// Gives one item, blocking while the consumer is too far behind; `false` when nobody wants any more.
    ///
    /// # Errors
    /// When the task is cancelled meanwhile, or what the consumer said it wants was lost.
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
                    self.core.block_until_settled(self.next_grant, None)?;
                    self.take_grant()?;
                }
            }
        }
    }

    /// Gives all items of an iterator, blocking while the consumer is too far behind.
    ///
    /// # Errors
    /// When the task is cancelled meanwhile, or what the consumer said it wants was lost.
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
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # use std::{pin::Pin, task::{Context, Poll}};
    /// # struct Countdown(u64);
    /// # impl futures_core::Stream for Countdown {
    /// #     type Item = u64;
    /// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
    /// #         let next = self.0.checked_sub(1);
    /// #         Poll::Ready(next.inspect(|&next| self.0 = next))
    /// #     }
    /// # }
    /// # struct Clock(u64);
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static CLOCK: ActorClass = ActorClass::new(
    ///     "docs::Clock",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| Residence::<Clock>::construct(call, Plain(Clock(3))))],
    ///     // `Countdown` is a `Stream` of `u64`.
    ///     &[Method::new("ticks", |call| {
    ///         call.shared_stream_async(async |clock: &Clock, to| {
    ///             to.send_stream(manual::outcomes(Countdown(clock.0), Plain)).await
    ///         })
    ///     })],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { CLOCK.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let clock: ActorHandle<Clock> = manual::create(&CLOCK, new, options, |_| Ok(())).await?;
    /// let mut ticks = clock.call_stream::<u64>(const { CLOCK.method("ticks") }, |_| Ok(())).await?;
    /// let mut seen = Vec::new();
    /// while let Some(tick) = ticks.next().await {
    ///     seen.push(tick.get().await?);
    /// }
    /// assert_eq!(seen, [2, 1, 0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Dropping the future drops `items` and the item that waits, if one does; those before are given.
    ///
    /// # Errors
    /// When what the consumer said it wants was lost.
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
                        Settled { id: self.next_grant, runtime: self.core.key() }.wait().await;
                        self.take_grant()?;
                    }
                }
            }
        }
    }

    /// Says how many items there are.
    fn finish(self) -> Result<(), Failure> {
        self.returns.seal(self.core, 0, &self.index)
    }
}

/// The grant that is `due` for the item of this index, or the one that the consumer has come to meanwhile; `None` when
/// nobody wants any more.
fn find_grant(
    due: ObjectId,
    index: u64,
    read: impl Fn(ObjectId) -> Granted,
    head: impl Fn() -> Option<ObjectId>,
) -> Result<Option<Grant>, Error> {
    let (mut at, mut lost) = (due, None);
    loop {
        match read(at) {
            Granted::Given(grant) if at == due || grant.base > index => return Ok(Some(grant)),
            // The node's is one that was passed: it is left of a consumer that is gone.
            Granted::Given(_) => break,
            Granted::Never => return Ok(None),
            Granted::Gone => {}
            Granted::Lost(error) => lost = Some(error),
        }
        // The consumer is gone, or ahead of this attempt: then the node knows where. It may go on meanwhile.
        match head() {
            Some(head) if head != at => at = head,
            _ => break,
        }
    }
    lost.map_or(Ok(None), Err)
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
        let mut to = Items::open(self.core, self.returns)?;
        to.send_all(items)?;
        to.finish()?;
        Ok(Finished(End::Sealed))
    }

    /// Gives the items of a stream, once it is there, one object each.
    ///
    /// ```
    /// # use rustyray::manual::{self, Function, Plain, TaskOptions};
    /// # use std::{pin::Pin, task::{Context, Poll}};
    /// # struct Countdown(u64);
    /// # impl futures_core::Stream for Countdown {
    /// #     type Item = u64;
    /// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
    /// #         let next = self.0.checked_sub(1);
    /// #         Poll::Ready(next.inspect(|&next| self.0 = next))
    /// #     }
    /// # }
    /// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static DOWN: Function = Function::new("docs::down", concat!(file!(), ":", line!()), |call| {
    ///     let from: u64 = call.arg("from")?;
    ///     // `Countdown` is a `Stream` of `u64`; what leads to it may wait for something first.
    ///     call.finish_stream_async(async move { manual::outcomes(Countdown(from), Plain) })
    /// });
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let mut down = manual::submit_stream::<u64>(&DOWN, TaskOptions::new(), |args| {
    ///     args.push::<u64, _>("from", 2)
    /// })
    /// .await?;
    /// assert_eq!(down.next().await.expect("the first").get().await?, 1);
    /// assert_eq!(down.next().await.expect("the second").get().await?, 0);
    /// assert!(down.next().await.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the call asked for no stream.
    pub fn finish_stream_async<O: Outcome<M>, S: Stream<Item = O> + 'static, M>(
        &mut self,
        items: impl Future<Output = S> + 'static,
    ) -> Result<Finished, Failure> {
        self.stream_later(async move |to: &mut Items<'_>| to.send_stream(items.await).await)
    }

    /// The same for a function that may fail before there is a stream; see [`opened`].
    ///
    /// ```
    /// # use rustyray::manual::{self, Function, Plain, TaskOptions};
    /// # use std::{pin::Pin, task::{Context, Poll}};
    /// # struct Countdown(u64);
    /// # impl futures_core::Stream for Countdown {
    /// #     type Item = u64;
    /// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
    /// #         let next = self.0.checked_sub(1);
    /// #         Poll::Ready(next.inspect(|&next| self.0 = next))
    /// #     }
    /// # }
    /// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static DOWN: Function = Function::new("docs::down_from", concat!(file!(), ":", line!()), |call| {
    ///     let from: String = call.arg("from")?;
    ///     call.finish_opened_async(async move {
    ///         let numbers = manual::opened(from.parse().map(Countdown))?;
    ///         Ok(manual::outcomes(numbers, Plain))
    ///     })
    /// });
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let down = async |from: &str| {
    ///     let push = |args: &mut manual::ArgWriter<'_>| args.push::<String, _>("from", from);
    ///     manual::submit_stream::<u64>(&DOWN, TaskOptions::new(), push).await
    /// };
    /// let mut two = down("2").await?;
    /// assert_eq!(two.next().await.expect("the first").get().await?, 1);
    /// let mut none = down("two").await?;
    /// assert!(none.next().await.expect("the error").get().await.is_err());
    /// assert!(none.next().await.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// None here; what the function returned as an error comes when `items` is done.
    pub fn finish_opened_async<O: Outcome<M>, S: Stream<Item = O> + 'static, M>(
        &mut self,
        items: impl Future<Output = Result<S, Failure>> + 'static,
    ) -> Result<Finished, Failure> {
        self.stream_later(async move |to: &mut Items<'_>| to.send_stream(items.await?).await)
    }

    /// Runs a method that gives items and has the actor to itself.
    ///
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # struct Stack(Vec<u64>);
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static STACK: ActorClass = ActorClass::new(
    ///     "docs::Stack",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| Residence::<Stack>::construct(call, Plain(Stack(vec![1, 2]))))],
    ///     &[
    ///         Method::new("unwind", |call| {
    ///             call.exclusive_stream(|stack: &mut Stack, to| {
    ///                 while let Some(top) = stack.0.pop() {
    ///                     to.send(Plain(top))?;
    ///                 }
    ///                 Ok(())
    ///             })
    ///         })
    ///         .exclusive(),
    ///         Method::new("height", |call| call.shared(|stack: &Stack| Plain(stack.0.len()))),
    ///     ],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { STACK.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let stack: ActorHandle<Stack> = manual::create(&STACK, new, options, |_| Ok(())).await?;
    /// let mut items = stack.call_stream::<u64>(const { STACK.method("unwind") }, |_| Ok(())).await?;
    /// // The call that comes after it sees what it left.
    /// let height = stack.call::<usize>(const { STACK.method("height") }, |_| Ok(())).await?;
    /// assert_eq!(items.next().await.expect("the top").get().await?, 2);
    /// assert_eq!(height.get().await?, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the call asked for no stream, or no such actor lives here.
    pub fn exclusive_stream<A: 'static>(
        &mut self,
        method: impl FnOnce(&mut A, &mut Items<'_>) -> Result<(), Failure> + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?.clone();
        if let Some(mut actor) = resident.lock::<A>()?.try_write() {
            let mut to = Items::open(self.core, self.returns)?;
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
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # struct Text(String);
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static TEXT: ActorClass = ActorClass::new(
    ///     "docs::Text",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| {
    ///         Residence::<Text>::construct(call, Plain(Text("to be".to_owned())))
    ///     })],
    ///     &[Method::new("words", |call| {
    ///         call.shared_stream(|text: &Text, to| {
    ///             to.send_all(text.0.split(' ').map(|word| Plain(word.to_owned())))
    ///         })
    ///     })],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { TEXT.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let text: ActorHandle<Text> = manual::create(&TEXT, new, options, |_| Ok(())).await?;
    /// let mut words = text.call_stream::<String>(const { TEXT.method("words") }, |_| Ok(())).await?;
    /// assert_eq!(words.next().await.expect("the first").get().await?, "to");
    /// assert_eq!(words.next().await.expect("the second").get().await?, "be");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the call asked for no stream, or no such actor lives here.
    pub fn shared_stream<A: 'static>(
        &mut self,
        method: impl FnOnce(&A, &mut Items<'_>) -> Result<(), Failure> + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?.clone();
        if let Some(actor) = resident.lock::<A>()?.try_read() {
            let mut to = Items::open(self.core, self.returns)?;
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
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # struct Tickets(u64);
    /// # async fn printed(number: u64) -> u64 { number }
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static TICKETS: ActorClass = ActorClass::new(
    ///     "docs::Tickets",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| Residence::<Tickets>::construct(call, Plain(Tickets(0))))],
    ///     &[Method::new("take", |call| {
    ///         let count: u64 = call.arg("count")?;
    ///         call.exclusive_stream_async(async move |tickets: &mut Tickets, to| {
    ///             for _ in 0..count {
    ///                 tickets.0 += 1;
    ///                 // Nobody else gets at the tickets while it waits here.
    ///                 to.send(Plain(printed(tickets.0).await))?;
    ///             }
    ///             Ok(())
    ///         })
    ///     })
    ///     .exclusive()],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { TICKETS.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let tickets: ActorHandle<Tickets> = manual::create(&TICKETS, new, options, |_| Ok(())).await?;
    /// let take = const { TICKETS.method("take") };
    /// let _first = tickets.call_stream::<u64>(take, |args| args.push::<u64, _>("count", 2)).await?;
    /// let mut next = tickets.call_stream::<u64>(take, |args| args.push::<u64, _>("count", 2)).await?;
    /// assert_eq!(next.next().await.expect("one more").get().await?, 3);
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # struct Store(Vec<u64>);
    /// # impl Store { async fn read(&self, at: usize) -> u64 { self.0[at] } }
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static STORE: ActorClass = ActorClass::new(
    ///     "docs::Store",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| {
    ///         Residence::<Store>::construct(call, Plain(Store(vec![7, 8, 9])))
    ///     })],
    ///     &[Method::new("read", |call| {
    ///         let from: usize = call.arg("from")?;
    ///         call.shared_stream_async(async move |store: &Store, to| {
    ///             for at in from..store.0.len() {
    ///                 to.send(Plain(store.read(at).await))?;
    ///             }
    ///             Ok(())
    ///         })
    ///     })],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { STORE.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let store: ActorHandle<Store> = manual::create(&STORE, new, options, |_| Ok(())).await?;
    /// let read = const { STORE.method("read") };
    /// let mut read = store.call_stream::<u64>(read, |args| args.push::<usize, _>("from", 1)).await?;
    /// assert_eq!(read.next().await.expect("the first").get().await?, 8);
    /// assert_eq!(read.completed().get().await?, 2);
    /// # Ok(())
    /// # }
    /// ```
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
        let (core, returns) = (Arc::clone(self.core), self.returns.clone());
        Ok(Finished(End::Later(Rest::new(async move {
            let mut to = Items::open(&core, &returns)?;
            run(&mut to).await?;
            to.finish()
        }))))
    }
}

/// The iterator or stream of a function that may fail before it has one. The error is the only item that its caller
/// sees, as one of the task as a whole.
///
/// ```
/// # use rustyray::manual::{self, Function, Plain, TaskOptions};
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static DIGITS: Function = Function::new("docs::digits", concat!(file!(), ":", line!()), |call| {
///     let text: String = call.arg("text")?;
///     let digits = |number: u64| number.to_string().into_bytes().into_iter();
///     let digits = manual::opened(text.parse().map(digits))?;
///     call.finish_stream(digits.map(Plain))
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let digits = async |text: &str| {
///     let push = |args: &mut manual::ArgWriter<'_>| args.push::<String, _>("text", text);
///     manual::submit_stream::<u8>(&DIGITS, TaskOptions::new(), push).await
/// };
/// let mut seven = digits("7").await?;
/// assert_eq!(seven.next().await.expect("a digit").get().await?, b'7');
/// let mut none = digits("seven").await?;
/// assert!(none.next().await.expect("the error").get().await.is_err());
/// assert!(none.next().await.is_none());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The error that is in the place of the items.
pub fn opened<I, E: IntoCause<M>, M>(items: Result<I, E>) -> Result<I, Failure> {
    items.map_err(E::failure)
}

/// The items of a stream, each wrapped as an [`Outcome`].
///
/// ```
/// # use rustyray::manual::{self, Fallible, Function, Plain, TaskOptions};
/// # use std::{pin::Pin, task::{Context, Poll}};
/// # struct Countdown(u64);
/// # impl futures_core::Stream for Countdown {
/// #     type Item = u64;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
/// #         let next = self.0.checked_sub(1);
/// #         Poll::Ready(next.inspect(|&next| self.0 = next))
/// #     }
/// # }
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static LAUNCH: Function = Function::new("docs::launch", concat!(file!(), ":", line!()), |call| {
///     // `Countdown` is a `Stream` of `u64`; an item that is an error does not end it.
///     let checked = |left| Fallible(if left == 1 { Err("no fuel") } else { Ok(left) });
///     call.finish_stream_async(async move { manual::outcomes(Countdown(3), checked) })
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let mut launch = manual::submit_stream::<u64>(&LAUNCH, TaskOptions::new(), |_| Ok(())).await?;
/// assert_eq!(launch.next().await.expect("the first").get().await?, 2);
/// assert!(launch.next().await.expect("the second").get().await.is_err());
/// assert_eq!(launch.next().await.expect("the third").get().await?, 0);
/// # Ok(())
/// # }
/// ```
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustyray_store::Status;

    use super::*;
    use crate::{Builder, call::FailureKind};

    #[test]
    fn a_consumer_that_goes_on_meanwhile_is_followed() {
        let id = |index| ObjectId { index, generation: 7 };
        let error = Error::ObjectLost { object: "4@7".into(), reason: "its file is gone".into() };
        // Grant `n` begins with the item `10 * n`.
        let read = |grant: ObjectId| match grant.index {
            1 | 5 => {
                let (base, next) = (10 * u64::from(grant.index), id(grant.index + 1));
                Granted::Given(Grant { base, items: Vec::new(), next })
            }
            4 => Granted::Lost(error.clone()),
            _ => Granted::Gone,
        };
        // Of which item the grant is that is found where the node names these, one after the other.
        let found = |heads: &[u32]| {
            let heads = Cell::new(heads);
            let head = || {
                let (&first, rest) = heads.get().split_first()?;
                heads.set(rest);
                Some(id(first))
            };
            find_grant(id(2), 20, read, head).map(|grant| grant.map(|grant| grant.base))
        };
        assert_eq!(found(&[5]), Ok(Some(50)));
        assert_eq!(found(&[3, 5]), Ok(Some(50)), "it was passed between the question and the look");
        assert_eq!(found(&[3, 4, 5]), Ok(Some(50)), "what is passed may be lost");
        assert_eq!(found(&[3, 4]), Err(error.clone()));
        assert_eq!(found(&[3]), Ok(None), "the stream has ended");
        assert_eq!(found(&[1]), Ok(None), "whoever was to tell of more is gone");
    }

    #[test]
    fn a_grant_that_is_lost_is_an_error_and_one_that_is_empty_or_gone_is_the_end() {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let core = &runtime.core;
        let reserve = || core.client.reserve().expect("room");
        let opened = |grant| {
            let returns = Returns { grant: Some(grant), ..Returns::of(Ids::One(reserve()), 0) };
            Items::open(core, &returns).map(|items| items.is_stopped)
        };

        let lost = reserve();
        let error =
            Error::ObjectLost { object: lost.to_string(), reason: "its file is gone".into() };
        core.fail(lost, 0, &error);
        let failed = opened(lost).map_err(Failure::into_kind);
        assert!(matches!(&failed, Err(FailureKind::Runtime(told)) if *told == error), "{failed:?}");
        // As the store fails what it has no room to say more of.
        let lost = reserve();
        core.client.fail(lost, 0, &[]).expect("it is reserved");
        let failed = opened(lost);
        assert!(failed.is_err(), "{failed:?}");

        let dropped = reserve();
        core.seal_value(dropped, 0, &()).expect("it takes no room");
        let stopped = opened(dropped);
        assert!(matches!(stopped, Ok(true)), "{stopped:?}");
        core.release(dropped);
        while core.client.status(dropped) != Status::Gone {
            std::thread::yield_now();
        }
        let stopped = opened(dropped);
        assert!(matches!(stopped, Ok(true)), "{stopped:?}");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
