//! Handles to actors, and making actors.

use std::{
    borrow::Borrow,
    fmt,
    future::poll_fn,
    marker::PhantomData,
    panic::Location,
    sync::{Arc, OnceLock},
    task::Poll,
    time::{Duration, Instant},
};

use rkyv::{
    Archive, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    rancor::{Fallible, Source},
    rend::{u32_le, u64_le},
    ser::Writer,
    string::{ArchivedString, StringResolver},
};
use rustyray_store::{ObjectId, RefSink};

use crate::{
    args::ArgWriter,
    call::SeveralReturns,
    death::Death,
    error::{Error, Result},
    object::ObjectRef,
    options::ActorOptions,
    refused::Refused,
    registry::{self, ActorClass, ConstructorIndex, MethodIndex},
    runtime::{Alarm, Claim, Core, Link, current, lines::Way, sites::Site, submission::Wanted},
    spec::Kind,
    stream::{BACKPRESSURE, ObjectRefStream},
    submit::{Invocation, returns_of, submit_words},
    type_name,
};

/// A handle to an actor of class `A`: cheap to clone, to send, and to pass to other processes.
///
/// Calls through one handle, or through handles of one process, run in the order in which they were made.
/// The actor ends with its last handle, wherever that is, unless it was made detached.
///
/// ```
/// # use rustyray::prelude::*;
/// # #[rustyray::actor]
/// # struct Counter;
/// # #[rustyray::actor_methods]
/// # impl Counter {
/// #     pub fn new() -> Self { Counter }
/// #     pub fn count(&mut self) -> u64 { 1 }
/// # }
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let counter = Counter::options().name("visits").remote().await?;
/// assert_eq!(counter.to_string(), format!("Counter \"visits\" {}", counter.id()));
/// assert_eq!(format!("{counter:?}"), format!("CounterHandle({counter})"));
/// # Ok(())
/// # }
/// ```
///
/// ```
/// # use rustyray::{ActorEnd, Death, prelude::*};
/// #[rustyray::actor(max_restarts = 1)]
/// struct Clerk {
///     letters: u64,
/// }
///
/// #[rustyray::actor_methods]
/// impl Clerk {
///     pub fn new() -> Self {
///         Clerk { letters: 0 }
///     }
///
///     pub fn write(&mut self) -> u64 {
///         self.letters += 1;
///         self.letters
///     }
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let clerk = Clerk::options().name("clerk").remote().await?;
/// clerk.ready().await?; // it is constructed
/// assert_eq!(clerk.name(), Some("clerk"));
/// assert_eq!(clerk.write().await?.get().await?, 1);
///
/// clerk.restart().await?; // a new process, constructed again
/// let letters = loop {
///     // A call that was on its way meanwhile may have run or not.
///     match clerk.write().await?.get().await {
///         Err(rustyray::Error::ActorUnavailable { .. }) => {}
///         letters => break letters?,
///     }
/// };
/// assert_eq!(letters, 1);
///
/// let death: ObjectRef<Death> = clerk.death().await?; // settled when it dies for good
/// clerk.kill().await?;
/// assert_eq!(death.get().await?.reason, ActorEnd::Killed);
/// assert_eq!(clerk.died().await?.cause, None);
/// # Ok(())
/// # }
/// ```
pub struct ActorHandle<A> {
    core: Arc<Core>,
    /// The object that the construction settles. Who refers to it has a handle.
    token: ObjectId,
    class: u64,
    /// Under which any process finds the actor.
    name: Option<Arc<str>>,
    /// By which calls go, once there was one.
    way: OnceLock<Arc<Way>>,
    actor: PhantomData<fn() -> A>,
}

impl<A> ActorHandle<A> {
    fn adopt(core: &Arc<Core>, token: ObjectId, class: u64, name: Option<Arc<str>>) -> Self {
        let (core, way) = (Arc::clone(core), OnceLock::new());
        ActorHandle { core, token, class, name, way, actor: PhantomData }
    }

    /// A call of the actor.
    #[inline]
    fn invocation(&self, method: MethodIndex, site: Site, is_tried: bool) -> Invocation<'_> {
        let way = self.way.get_or_init(|| self.core.lines.way(self.token));
        let (token, way) = (Some(self.token), Some(&**way));
        let call = Invocation::new(Kind::Method, self.class, method.0, site);
        Invocation { token, way, is_tried, ..call }
    }

    /// The name under which the actor is registered, where it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Calls a method and gives the reference to its result at once. It is done by the first poll; what is to be
    /// cancelled then is the call ([`ObjectRef::cancel`]).
    ///
    /// # Errors
    /// [`Error::PendingCallsLimit`] when the actor has too many unfinished calls, and what submitting a task returns.
    /// That the actor is dead, as any error of the call itself, arrives where the result is read.
    #[track_caller]
    pub fn call<Out>(
        &self,
        method: MethodIndex,
        arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
    ) -> impl Future<Output = Result<ObjectRef<Out>>> {
        let site = Location::caller();
        async move {
            let ids = self.submit(method, 1, site, false, arguments)?;
            Ok(ObjectRef::adopt(&self.core, ids.as_slice()[0]))
        }
    }

    /// The same for a method that returns several objects.
    ///
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence, Several,
    /// # };
    /// # struct Pair(u64, u64);
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static PAIR: ActorClass = ActorClass::new(
    ///     "docs::Pair",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| Residence::<Pair>::construct(call, Plain(Pair(3, 4))))],
    ///     &[Method::new("parts", |call| call.shared(|pair: &Pair| Several((pair.0, pair.1))))],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { PAIR.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let pair: ActorHandle<Pair> = manual::create(&PAIR, new, options, |_| Ok(())).await?;
    /// let parts = const { PAIR.method("parts") };
    /// let (left, right) = pair.call_several::<(u64, u64)>(parts, 2, |_| Ok(())).await?;
    /// assert_eq!((left.get().await?, right.get().await?), (3, 4));
    ///
    /// // What the method cannot give is refused here, before it runs.
    /// assert!(pair.call_several::<(u64, u64)>(parts, 3, |_| Ok(())).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ActorHandle::call`].
    #[track_caller]
    pub fn call_several<Out: SeveralReturns>(
        &self,
        method: MethodIndex,
        num_returns: u16,
        arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
    ) -> impl Future<Output = Result<Out::Refs>> {
        let site = Location::caller();
        async move {
            let ids =
                self.submit(method, returns_of::<Out>(num_returns)?, site, false, arguments)?;
            Ok(Out::refs(&self.core, ids.as_slice()))
        }
    }

    /// The same for a method that gives one object after the other.
    ///
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # struct Shelf(Vec<String>);
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static SHELF: ActorClass = ActorClass::new(
    ///     "docs::Shelf",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| {
    ///         let books = call.arg("books")?;
    ///         Residence::<Shelf>::construct(call, Plain(Shelf(books)))
    ///     })],
    ///     &[Method::new("books", |call| {
    ///         call.shared_stream(|shelf: &Shelf, to| to.send_all(shelf.0.iter().cloned().map(Plain)))
    ///     })],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { SHELF.constructor("new") };
    /// # let options = ActorOptions::new();
    /// # let names = vec!["Emma".to_owned(), "Ulysses".to_owned()];
    /// # let shelf: ActorHandle<Shelf> =
    /// #     manual::create(&SHELF, new, options, |args| args.push::<Vec<String>, _>("books", names)).await?;
    /// let mut books = shelf.call_stream::<String>(const { SHELF.method("books") }, |_| Ok(())).await?;
    /// assert_eq!(books.next().await.expect("the first").get().await?, "Emma");
    /// assert_eq!(books.next().await.expect("the second").get().await?, "Ulysses");
    /// assert!(books.next().await.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ActorHandle::call`].
    #[track_caller]
    pub fn call_stream<Out>(
        &self,
        method: MethodIndex,
        arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
    ) -> impl Future<Output = Result<ObjectRefStream<Out>>> {
        let site = Location::caller();
        async move { self.submit_stream(method, site, false, arguments) }
    }

    /// [`ActorHandle::call`] with `arguments` that are given back when the call is not made; `write` pushes each
    /// of them by [`ArgWriter::lend`].
    ///
    /// A call that is one too many for the actor is refused here, whichever process makes it: one other than
    /// the node's asks the node first, when the actor limits its unfinished calls.
    ///
    /// ```
    /// # use rustyray::{Error, manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # }};
    /// # struct Scale;
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static SCALE: ActorClass = ActorClass::new(
    ///     "docs::Scale",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| Residence::<Scale>::construct(call, Plain(Scale)))],
    ///     &[Method::new("weigh", |call| {
    ///         let load: Vec<u8> = call.arg("load")?;
    ///         call.exclusive(move |_: &mut Scale| Plain(load.len()))
    ///     })
    ///     .exclusive()],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { SCALE.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let scale: ActorHandle<Scale> = manual::create(&SCALE, new, options, |_| Ok(())).await?;
    /// let weigh = const { SCALE.method("weigh") };
    /// let try_weigh = async |load: Vec<u8>| {
    ///     let write = |load: &Vec<u8>, args: &mut manual::ArgWriter<'_>| {
    ///         args.lend::<Vec<u8>, _>("load", load)
    ///     };
    ///     scale.try_call::<usize, _>(weigh, load, write).await
    /// };
    /// assert_eq!(try_weigh(vec![0; 80]).await?.get().await?, 80);
    ///
    /// scale.kill().await?;
    /// scale.died().await?;
    /// let refused = try_weigh(vec![0; 80]).await.unwrap_err();
    /// assert!(matches!(refused.error, Error::ActorDied { .. }));
    /// assert_eq!(refused.arguments.len(), 80); // for somebody else
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ActorHandle::call`], and [`Error::ActorDied`] when the actor is known to be dead.
    #[track_caller]
    pub fn try_call<Out, G>(
        &self,
        method: MethodIndex,
        arguments: G,
        write: impl FnOnce(&G, &mut ArgWriter<'_>) -> Result<()>,
    ) -> impl Future<Output = Result<ObjectRef<Out>, Refused<G>>> {
        let site = Location::caller();
        async move {
            let tried = self.submit(method, 1, site, true, |to| write(&arguments, to));
            let ids = tried.map_err(|error| Refused { error, arguments })?;
            Ok(ObjectRef::adopt(&self.core, ids.as_slice()[0]))
        }
    }

    /// The same for a method that returns several objects.
    ///
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence, Several,
    /// # };
    /// # struct Knife;
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static KNIFE: ActorClass = ActorClass::new(
    ///     "docs::Knife",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| Residence::<Knife>::construct(call, Plain(Knife)))],
    ///     &[Method::new("cut", |call| {
    ///         let bread: String = call.arg("bread")?;
    ///         call.shared(move |_: &Knife| {
    ///             let (left, right) = bread.split_at(bread.len() / 2);
    ///             Several([left.to_owned(), right.to_owned()])
    ///         })
    ///     })],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { KNIFE.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let knife: ActorHandle<Knife> = manual::create(&KNIFE, new, options, |_| Ok(())).await?;
    /// let cut = const { KNIFE.method("cut") };
    /// let bread = "loaf".to_owned();
    /// let halves = knife.try_call_several::<[String; 2], _>(cut, 2, bread, |bread, args| {
    ///     args.lend::<String, _>("bread", bread)
    /// });
    /// let [left, right] = halves.await?;
    /// assert_eq!((left.get().await?, right.get().await?), ("lo".to_owned(), "af".to_owned()));
    ///
    /// // Three pieces it cannot be: the bread comes back whole.
    /// let bread = "loaf".to_owned();
    /// let refused = knife.try_call_several::<[String; 2], _>(cut, 3, bread, |bread, args| {
    ///     args.lend::<String, _>("bread", bread)
    /// });
    /// assert_eq!(refused.await.unwrap_err().arguments, "loaf");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ActorHandle::try_call`].
    #[track_caller]
    pub fn try_call_several<Out: SeveralReturns, G>(
        &self,
        method: MethodIndex,
        num_returns: u16,
        arguments: G,
        write: impl FnOnce(&G, &mut ArgWriter<'_>) -> Result<()>,
    ) -> impl Future<Output = Result<Out::Refs, Refused<G>>> {
        let site = Location::caller();
        async move {
            let tried = returns_of::<Out>(num_returns).and_then(|returns| {
                self.submit(method, returns, site, true, |to| write(&arguments, to))
            });
            let ids = tried.map_err(|error| Refused { error, arguments })?;
            Ok(Out::refs(&self.core, ids.as_slice()))
        }
    }

    /// The same for a method that gives one object after the other.
    ///
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # struct Reader;
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static READER: ActorClass = ActorClass::new(
    ///     "docs::Reader",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| Residence::<Reader>::construct(call, Plain(Reader)))],
    ///     &[Method::new("letters", |call| {
    ///         let text: String = call.arg("text")?;
    ///         call.shared_stream(move |_: &Reader, to| to.send_all(text.chars().map(Plain)))
    ///     })],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { READER.constructor("new") };
    /// # let options = ActorOptions::new();
    /// let reader: ActorHandle<Reader> = manual::create(&READER, new, options, |_| Ok(())).await?;
    /// let letters = const { READER.method("letters") };
    /// let read = async |text: String| {
    ///     let write = |text: &String, args: &mut manual::ArgWriter<'_>| {
    ///         args.lend::<String, _>("text", text)
    ///     };
    ///     reader.try_call_stream::<char, _>(letters, text, write).await
    /// };
    /// let mut both = read("it".to_owned()).await?;
    /// assert_eq!(both.next().await.expect("the first").get().await?, 'i');
    /// assert_eq!(both.completed().get().await?, 2);
    ///
    /// reader.kill().await?;
    /// reader.died().await?;
    /// assert_eq!(read("them".to_owned()).await.unwrap_err().arguments, "them");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ActorHandle::try_call`].
    #[track_caller]
    pub fn try_call_stream<Out, G>(
        &self,
        method: MethodIndex,
        arguments: G,
        write: impl FnOnce(&G, &mut ArgWriter<'_>) -> Result<()>,
    ) -> impl Future<Output = Result<ObjectRefStream<Out>, Refused<G>>> {
        let site = Location::caller();
        async move {
            let tried = self.submit_stream(method, site, true, |to| write(&arguments, to));
            tried.map_err(|error| Refused { error, arguments })
        }
    }

    fn submit_stream<Out>(
        &self,
        method: MethodIndex,
        site: Site,
        is_tried: bool,
        arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
    ) -> Result<ObjectRefStream<Out>> {
        let call = self.invocation(method, site, is_tried);
        ObjectRefStream::submit(&self.core, call, &mut Wanted::default(), BACKPRESSURE, arguments)
    }

    fn submit(
        &self,
        method: MethodIndex,
        returns: usize,
        site: Site,
        is_tried: bool,
        arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
    ) -> Result<crate::call::Ids> {
        let core = &self.core;
        let call = Invocation { returns, ..self.invocation(method, site, is_tried) };
        let ids = submit_words(core, call, &mut Wanted::default(), arguments)?;
        if let Some(actor) = core.occupant_of(self.token) {
            ids.as_slice().iter().for_each(|&id| actor.called(core, id, method.0));
        }
        Ok(ids)
    }

    /// Waits until the actor is constructed, for the first time. Dropping the future gives up waiting and has no other
    /// effect.
    ///
    /// # Errors
    /// The error of its constructor, or [`Error::ActorDied`] when it ended before.
    pub async fn ready(&self) -> Result<()> {
        crate::object::Settled { id: self.token, runtime: self.core.key() }.wait().await;
        self.core.error_of(self.token).map_or(Ok(()), Err)
    }

    /// Kills the actor: its process ends at once, whatever it is doing, and is not restarted. Calls that it
    /// has not answered fail with [`Error::ActorDied`].
    ///
    /// The node has acted when this returns; [`ActorHandle::died`] waits for the end. In another process than the
    /// node's it blocks this thread for a round trip to the node. It is done by the first poll.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn kill(&self) -> Result<()> {
        self.end(false)
    }

    /// Kills the actor's process as [`ActorHandle::kill`] does, and lets it be constructed again as after
    /// a crash, if it has restarts left. Without any it is dead. Blocks and is done as that is.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn restart(&self) -> Result<()> {
        self.end(true)
    }

    fn end(&self, restart: bool) -> Result<()> {
        self.core.check_open()?;
        match &self.core.link {
            Link::Node(node) => node.kill_actor(self.token, restart),
            Link::Uplink(uplink) => uplink.kill_actor(self.token, restart)?,
        }
        Ok(())
    }

    /// Waits until the actor has fewer unfinished calls than its `max_pending_calls`, so that the next call is
    /// not refused: backpressure for those who make calls faster than they are answered.
    ///
    /// The arguments of the call are not made before there is room for it, and so are not lost. It is no
    /// reservation: with several callers another one may be faster.
    ///
    /// ```
    /// # use rustyray::prelude::*;
    /// # #[rustyray::actor(max_pending_calls = 4)]
    /// # struct Sink;
    /// # #[rustyray::actor_methods]
    /// # impl Sink {
    /// #     pub fn new() -> Self { Sink }
    /// #     pub fn take(&mut self, chunk: Vec<u8>) -> usize { chunk.len() }
    /// # }
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let sink = Sink::remote().await?;
    /// for size in 0..100 {
    ///     sink.room().await?;
    ///     sink.take(vec![0; size]).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Dropping the future gives up waiting and has no other effect.
    ///
    /// # Errors
    /// When the runtime is gone. A dead actor has room, and says so when it is called.
    pub async fn room(&self) -> Result<()> {
        loop {
            self.core.check_open()?;
            let waiting = match &self.core.link {
                Link::Node(node) => node.room(self.token),
                Link::Uplink(uplink) => uplink.room(self.token)?,
            };
            let Some(waiting) = waiting else { return Ok(()) };
            if self.core.retain(waiting).is_ok() {
                ObjectRef::<()>::adopt(&self.core, waiting).get().await?;
            }
        }
    }

    /// The object that is settled when the actor dies for good, with what it died of.
    ///
    /// It is no handle: the actor may end while it is held. See [`crate::death`] for what to do with it. In another
    /// process than the node's it blocks this thread for a round trip to the node. It is done by the first poll.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn death(&self) -> Result<ObjectRef<Death>> {
        self.core.check_open()?;
        let obituary = match &self.core.link {
            Link::Node(node) => node.obituary(self.token),
            Link::Uplink(uplink) => {
                // The construction may be on its way to the node still; the question comes after it.
                uplink.obituary(self.token)?
            }
        };
        let gone = || self.core.ended(format!("actor {} went with it", self.token));
        let obituary = obituary.ok_or_else(gone)?;
        self.core.retain(obituary)?;
        Ok(ObjectRef::adopt(&self.core, obituary))
    }

    /// Waits until the actor is dead for good, and tells what it died of. A restart is no death.
    ///
    /// Dropping the future gives up waiting and has no other effect. The handle keeps the actor alive
    /// meanwhile; [`ActorHandle::death`] does not.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn died(&self) -> Result<Death> {
        self.death().await?.get().await
    }

    /// What names the actor within its session.
    pub fn id(&self) -> ObjectId {
        self.token
    }
}

impl<A> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        self.core.retain_held(self.token);
        let clone = ActorHandle::adopt(&self.core, self.token, self.class, self.name.clone());
        if let Some(way) = self.way.get() {
            clone.way.get_or_init(|| way.join());
        }
        clone
    }
}

impl<A> Drop for ActorHandle<A> {
    fn drop(&mut self) {
        self.core.release(self.token);
        if let Some(way) = self.way.get() {
            self.core.lines.leave(&self.core, way);
        }
    }
}

/// The actor as [`ActorHandle`]'s `Display` has it.
impl<A> fmt::Debug for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorHandle({self})")
    }
}

/// The actor's class, its registered name where it has one, and its id, by which `rustyray list actors` shows
/// it.
impl<A> fmt::Display for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", type_name::short::<A>())?;
        if let Some(name) = &self.name {
            write!(f, "{name:?} ")?;
        }
        write!(f, "{}", self.token)
    }
}

impl<A> PartialEq for ActorHandle<A> {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token && Arc::ptr_eq(&self.core, &other.core)
    }
}

impl<A> Eq for ActorHandle<A> {}

/// Constructs an actor of `class` and gives a handle to it at once.
///
/// An error of the constructor is the cause of the [`Error::ActorDied`] that calls give, and what
/// [`ActorHandle::ready`] returns.
///
/// It is done by the first poll, but where the options ask for a name: then it may wait until it is said who has that
/// name, and in another process than the node's blocks this thread for a round trip to the node. Dropping the future
/// meanwhile leaves nothing behind.
///
/// # Errors
/// [`Error::ActorNameTaken`] when another actor has the name that the options ask for, [`Error::TypeMismatch`] when
/// `get_if_exists` finds one of another class, [`Error::InvalidArgument`] for options that cannot be, and what submitting a
/// task returns.
#[track_caller]
pub fn create<A: 'static>(
    class: &'static ActorClass,
    constructor: ConstructorIndex,
    options: impl Borrow<ActorOptions>,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> impl Future<Output = Result<ActorHandle<A>>> {
    let site = Location::caller();
    async move { create_at(class, constructor, options.borrow(), site, arguments).await }
}

async fn create_at<A: 'static>(
    class: &'static ActorClass,
    constructor: ConstructorIndex,
    options: &ActorOptions,
    site: Site,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> Result<ActorHandle<A>> {
    let core = current::get()?;
    core.check_open()?;
    options.demand.check()?;
    options.check_concurrency(class.options.unwrap_or(options))?;
    let mut wanted = Wanted::actor(class.name(), options);
    let construct = |named: Option<ObjectId>| -> Result<ObjectId> {
        let call = Invocation::new(Kind::Construct, class.id(), constructor.0, site);
        let call = Invocation { token: named, ..call };
        let ids = submit_words(&core, call, &mut wanted, arguments)?;
        Ok(ids.as_slice()[0])
    };
    let Some(name) = &options.name else {
        return Ok(ActorHandle::adopt(&core, construct(None)?, class.id(), None));
    };
    let adopt = |token| ActorHandle::adopt(&core, token, class.id(), Some(name.as_str().into()));
    let token = core.client.reserve().map_err(|error| core.store_failed::<()>(error))?;
    // Released unless it becomes a handle, also when the future is dropped while it waits.
    let reserved = ObjectRef::<()>::adopt(&core, token);
    if let Some(found) = claim(&core, name, token, options.get_if_exists).await? {
        let found = adopt(found);
        return check_class(&core, class, name, found.token).map(|()| found);
    }
    // From here on it is the construction's.
    std::mem::forget(reserved);
    let claimed = Claimed { core: &core, name, token };
    let token = construct(Some(token))?;
    // The actor has it.
    std::mem::forget(claimed);
    Ok(adopt(token))
}

/// A name that is kept for an actor, and free again unless there comes to be one: its arguments may be refused, or
/// panic as they are written.
struct Claimed<'a> {
    core: &'a Core,
    name: &'a str,
    token: ObjectId,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        match &self.core.link {
            Link::Node(node) => node.drop_claim(self.name, self.token),
            // A node that is gone keeps no names.
            Link::Uplink(uplink) => drop(uplink.drop_claim(self.name, self.token)),
        }
    }
}

/// Claims a name for `token`, or gives the actor that has it, if that is what is wanted.
async fn claim(
    core: &Arc<Core>,
    name: &str,
    token: ObjectId,
    get_if_exists: bool,
) -> Result<Option<ObjectId>> {
    loop {
        let claim = match &core.link {
            Link::Node(node) => node.claim_name(name, token, core.client.id()),
            Link::Uplink(uplink) => uplink.claim_name(name, token)?,
        };
        match claim {
            Claim::Kept => return Ok(None),
            Claim::Of(_) if !get_if_exists => {
                return Err(Error::ActorNameTaken { name: name.to_owned() });
            }
            Claim::Of(found) if core.retain(found).is_ok() => return Ok(Some(found)),
            // It has just ended, or is just being created.
            Claim::Of(_) | Claim::Busy => {}
        }
        let soon = Instant::now() + Duration::from_micros(200);
        let mut alarm = None;
        poll_fn(|context| match Instant::now() >= soon {
            true => Poll::Ready(()),
            false => {
                alarm.get_or_insert_with(|| Alarm::set(soon, context.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }
}

/// A handle to the actor of `class` that has this name. In another process than the node's it blocks this thread for a
/// round trip to the node. It is done by the first poll, and nothing is left to cancel.
///
/// # Errors
/// [`Error::ActorNotFound`] when no living actor has the name, [`Error::TypeMismatch`] when one of another class has
/// it.
pub async fn get<A: 'static>(class: &'static ActorClass, name: &str) -> Result<ActorHandle<A>> {
    let core = current::get()?;
    let token = match &core.link {
        Link::Node(node) => node.actor_named(name),
        Link::Uplink(uplink) => uplink.actor_named(name)?,
    };
    let found = token.filter(|&token| core.retain(token).is_ok());
    let token = found.ok_or_else(|| Error::ActorNotFound { name: name.to_owned() })?;
    let found = ActorHandle::adopt(&core, token, class.id(), Some(name.into()));
    check_class(&core, class, name, token).map(|()| found)
}

/// That the actor of this token, which was found by its name, is one of `class`.
fn check_class(core: &Core, class: &ActorClass, name: &str, token: ObjectId) -> Result<()> {
    let found = match &core.link {
        Link::Node(node) => node.class_of(token),
        Link::Uplink(uplink) => uplink.class_of(token)?,
    };
    // One that is just gone is of no class; a call says what became of it.
    let Some(other) = found.filter(|&found| found != class.id()) else { return Ok(()) };
    let found = match registry::class_name(other) {
        None => "a class of another program".to_owned(),
        Some(same) if same == class.name() => format!("{same} of another build"),
        Some(other) => other,
    };
    let (object, expected) = (format!("actor `{name}`"), class.name().to_owned());
    Err(Error::TypeMismatch { object, expected, found })
}

/// An [`ActorHandle`] inside an archived value.
#[derive(Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[rkyv(crate = rkyv)]
#[repr(C)]
pub struct ArchivedActorHandle<A> {
    generation: u64_le,
    class: u64_le,
    index: u32_le,
    reserved: u32_le,
    /// Empty where the actor has none.
    name: ArchivedString,
    actor: PhantomData<A>,
}

impl<A> fmt::Debug for ArchivedActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArchivedActorHandle({})", self.token())
    }
}

impl<A> ArchivedActorHandle<A> {
    fn token(&self) -> ObjectId {
        ObjectId { index: self.index.to_native(), generation: self.generation.to_native() }
    }
}

impl<A> Archive for ActorHandle<A> {
    type Archived = ArchivedActorHandle<A>;
    type Resolver = StringResolver;

    fn resolve(&self, resolver: StringResolver, out: Place<ArchivedActorHandle<A>>) {
        rkyv::munge::munge!(
            let ArchivedActorHandle { generation, class, index, reserved, name, .. } = out
        );
        ArchivedString::resolve_from_str(self.name().unwrap_or(""), resolver, name);
        generation.write(self.token.generation.into());
        class.write(self.class.into());
        index.write(self.token.index.into());
        reserved.write(0.into());
    }
}

impl<A, S: Fallible<Error: Source> + RefSink + Writer + ?Sized> Serialize<S> for ActorHandle<A> {
    fn serialize(&self, serializer: &mut S) -> Result<StringResolver, S::Error> {
        serializer.hold(self.token)?;
        ArchivedString::serialize_from_str(self.name().unwrap_or(""), serializer)
    }
}

impl<A, D: Fallible<Error: Source> + ?Sized> Deserialize<ActorHandle<A>, D>
    for ArchivedActorHandle<A>
{
    fn deserialize(&self, _: &mut D) -> Result<ActorHandle<A>, D::Error> {
        let core = current::get().map_err(D::Error::new)?;
        core.retain(self.token()).map_err(D::Error::new)?;
        let class = self.class.to_native();
        if registry::actor_class(class).is_none() {
            core.release(self.token());
            return Err(D::Error::new(Error::FunctionNotFound {
                name: format!("actor class {class:016x}"),
            }));
        }
        let name = Some(self.name.as_str()).filter(|name| !name.is_empty());
        Ok(ActorHandle::adopt(&core, self.token(), class, name.map(Into::into)))
    }
}

/// A generated handle: what a user's code calls an actor by.
///
/// ```
/// use rustyray::{ActorEnd, manual::Handle, prelude::*};
///
/// #[rustyray::actor]
/// struct Lamp;
///
/// #[rustyray::actor_methods]
/// impl Lamp {
///     pub fn new() -> Self {
///         Lamp
///     }
///
///     pub fn is_lit(&self) -> bool {
///         true
///     }
/// }
///
/// // For actors of whichever class: a second handle, with the methods of the first.
/// fn another<H: Handle>(handle: &H) -> H {
///     H::from_inner(handle.inner().clone())
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let lamp = Lamp::remote().await?;
/// let same = another(&lamp);
/// drop(lamp); // the second one keeps the actor alive
/// assert!(same.is_lit().await?.get().await?);
/// assert_eq!(same.inner().id(), same.id());
/// # Ok(())
/// # }
/// ```
pub trait Handle: Sized {
    /// The actor's class.
    type Actor;

    /// Wraps a plain handle.
    fn from_inner(inner: ActorHandle<Self::Actor>) -> Self;

    /// The plain handle.
    fn inner(&self) -> &ActorHandle<Self::Actor>;
}

/// A type that `#[rustyray::actor]` stands on.
///
/// ```
/// use rustyray::manual::{Actor, ActorOptions, Handle};
///
/// #[rustyray::actor(max_restarts = 2)]
/// struct Pump;
///
/// #[rustyray::actor_methods]
/// impl Pump {
///     pub fn new() -> Self {
///         Pump
///     }
/// }
///
/// // A set of actors of one class, which gives its handles by the type of the actor.
/// struct Crew<A: Actor> {
///     members: Vec<A::Handle>,
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// assert_eq!(Pump::OPTIONS, ActorOptions::new().max_restarts(2));
/// let crew: Crew<Pump> = Crew { members: vec![Pump::remote().await?, Pump::remote().await?] };
/// assert_ne!(crew.members[0].inner().id(), crew.members[1].inner().id());
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    label = "no `#[rustyray::actor]` on this type's definition",
    note = "put `#[rustyray::actor]` on the struct and `#[rustyray::actor_methods]` on its `impl`"
)]
pub trait Actor: 'static {
    /// The generated handle.
    type Handle: Handle<Actor = Self>;
    /// What the attribute asks for.
    const OPTIONS: ActorOptions;
}
