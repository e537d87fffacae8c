//! Where an actor lives in its process, and how its calls get at it.
//!
//! An actor is behind a lock that is fair: `&mut self` methods write, `&self` methods read. Whether other
//! threads of the process may read as well is decided by the actor's type, by the compiler: an actor that is
//! `Send` and `Sync` may live *anywhere*, so that its sync `&self` methods can overlap on threads; any other
//! lives *here*, on the thread that constructed it, where only async methods overlap. So does one of whose methods none
//! is to overlap on threads: the lock of what is of one thread costs a call next to nothing.
//!
//! Invariant: only the actor's own thread writes, constructs and drops; every future is polled where it
//! was made.

use std::{
    any::Any,
    cell::{Ref, RefMut},
    fmt,
    future::Future,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    call::{Call, Constructed, End, Failure, Finished, Outcome, Rest, Returns},
    contained::Contained,
    context,
    error::Error,
    local_lock::{Guard, LocalLock},
    registry,
    runtime::Core,
};

/// An actor behind its lock, of a type that only its code knows.
#[derive(Clone)]
pub(crate) enum Resident {
    /// Of one thread.
    Here(Rc<dyn Any>),
    /// Of all threads of the process.
    Anywhere(Arc<dyn Any + Send + Sync>),
}

impl Resident {
    #[inline]
    pub(crate) fn lock<A: 'static>(&self) -> Result<Lock<'_, A>, Failure> {
        let lock = match self {
            Resident::Here(actor) => actor.downcast_ref().map(Lock::Here),
            Resident::Anywhere(actor) => actor.downcast_ref().map(Lock::Anywhere),
        };
        lock.ok_or_else(|| {
            Error::invalid(format!("the actor here is no `{}`", std::any::type_name::<A>())).into()
        })
    }
}

/// An actor's lock. Both kinds are fair.
pub(crate) enum Lock<'a, A> {
    Here(&'a LocalLock<A>),
    Anywhere(&'a RwLock<A>),
}

/// The actor, for a method that shares it.
pub(crate) enum Reading<'a, A> {
    Here(Guard<'a, Ref<'a, A>>),
    Anywhere(RwLockReadGuard<'a, A>),
}

/// The actor, for a method that has it to itself.
pub(crate) enum Writing<'a, A> {
    Here(Guard<'a, RefMut<'a, A>>),
    Anywhere(RwLockWriteGuard<'a, A>),
}

impl<'a, A> Lock<'a, A> {
    /// Without waiting, if it is free.
    #[inline]
    pub(crate) fn try_read(&self) -> Option<Reading<'a, A>> {
        match self {
            Lock::Here(lock) => lock.try_read().map(Reading::Here),
            Lock::Anywhere(lock) => lock.try_read().ok().map(Reading::Anywhere),
        }
    }

    /// The same to write.
    #[inline]
    pub(crate) fn try_write(&self) -> Option<Writing<'a, A>> {
        match self {
            Lock::Here(lock) => lock.try_write().map(Writing::Here),
            Lock::Anywhere(lock) => lock.try_write().ok().map(Writing::Anywhere),
        }
    }

    pub(crate) async fn read(&self) -> Reading<'a, A> {
        match self {
            Lock::Here(lock) => Reading::Here(lock.read().await),
            Lock::Anywhere(lock) => Reading::Anywhere(lock.read().await),
        }
    }

    pub(crate) async fn write(&self) -> Writing<'a, A> {
        match self {
            Lock::Here(lock) => Writing::Here(lock.write().await),
            Lock::Anywhere(lock) => Writing::Anywhere(lock.write().await),
        }
    }
}

impl<A> Deref for Reading<'_, A> {
    type Target = A;

    #[inline]
    fn deref(&self) -> &A {
        match self {
            Reading::Here(actor) => actor,
            Reading::Anywhere(actor) => actor,
        }
    }
}

impl<A> Deref for Writing<'_, A> {
    type Target = A;

    #[inline]
    fn deref(&self) -> &A {
        match self {
            Writing::Here(actor) => actor,
            Writing::Anywhere(actor) => actor,
        }
    }
}

impl<A> DerefMut for Writing<'_, A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut A {
        match self {
            Writing::Here(actor) => actor,
            Writing::Anywhere(actor) => actor,
        }
    }
}

/// Puts a constructed actor where its type allows it to live.
///
/// `Residence::<A>::construct(call, Plain(actor))` means this function for an `A` that is `Send` and
/// `Sync`, and that of [`ResidenceHere`], which has to be in scope, for any other. The choice needs the
/// actor's type by name: in a function that is generic over `A` it is the one its bounds allow.
pub struct Residence<A>(PhantomData<fn() -> A>);

impl<A> fmt::Debug for Residence<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Residence<{}>", crate::type_name::short::<A>())
    }
}

impl<A: Send + Sync + 'static> Residence<A> {
    /// Ends a constructor: this process is the actor from now on.
    ///
    /// # Errors
    /// What the constructor returned as an error.
    pub fn construct<C: Constructed<A, M>, M>(
        _: &mut Call<'_>,
        actor: C,
    ) -> Result<Finished, Failure> {
        Ok(Finished(End::Constructed(anywhere(actor.actor()?))))
    }

    /// Ends an async constructor.
    ///
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Fallible, Method, Plain, Residence,
    /// # };
    /// # struct Link(String);
    /// # async fn dial(to: String) -> Result<Link, String> {
    /// #     if to.is_empty() { Err("nobody there".to_owned()) } else { Ok(Link(to)) }
    /// # }
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static LINK: ActorClass = ActorClass::new(
    ///     "docs::Link",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("dial", |call| {
    ///         let to: String = call.arg("to")?;
    ///         Residence::<Link>::construct_async(call, async { Fallible(dial(to).await) })
    ///     })],
    ///     &[Method::new("to", |call| call.shared(|link: &Link| Plain(link.0.clone())))],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let dial = async |to: &str| {
    ///     let constructor = const { LINK.constructor("dial") };
    ///     manual::create(&LINK, constructor, ActorOptions::new(), |args| {
    ///         args.push::<String, _>("to", to)
    ///     })
    ///     .await
    /// };
    /// let link: ActorHandle<Link> = dial("Ada").await?;
    /// let to = link.call::<String>(const { LINK.method("to") }, |_| Ok(())).await?;
    /// assert_eq!(to.get().await?, "Ada");
    ///
    /// let nobody: ActorHandle<Link> = dial("").await?;
    /// assert!(format!("{:?}", nobody.ready().await.unwrap_err()).contains("nobody there"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// None here; an error of the constructor comes when `future` is done.
    pub fn construct_async<C: Constructed<A, M>, M>(
        _: &mut Call<'_>,
        future: impl Future<Output = C> + 'static,
    ) -> Result<Finished, Failure> {
        let constructed = async move { Ok(anywhere(future.await.actor()?)) };
        Ok(Finished(End::ConstructedLater(Rest::new(constructed))))
    }
}

/// An actor that may live anywhere, which the running call constructs: it does if its calls are to overlap on threads.
fn anywhere<A: Send + Sync + 'static>(actor: A) -> Contained<Resident> {
    let of = context::current_call().map(|running| running.header);
    let overlaps = of.is_none_or(|header| {
        registry::actor_class(header.function)
            .is_none_or(|class| class.overlaps_on_threads(header.extra as usize))
    });
    match overlaps {
        true => Contained::new(Resident::Anywhere(Arc::new(RwLock::new(actor)))),
        false => here(actor),
    }
}

/// What [`Residence`] means for actors that belong to one thread.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// # use rustyray::manual::{
/// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
/// # };
/// use rustyray::manual::ResidenceHere as _;
///
/// // Not `Send`: it stays on the thread that makes it.
/// struct Tally(Rc<Cell<u64>>);
///
/// #[manual::linkme::distributed_slice(manual::ACTORS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static TALLY: ActorClass = ActorClass::new(
///     "docs::Tally",
///     concat!(file!(), ":", line!()),
///     &[
///         Constructor::new("new", |call| {
///             Residence::<Tally>::construct(call, Plain(Tally(Rc::default())))
///         }),
///         Constructor::new("later", |call| {
///             let tally = async { Plain(Tally(Rc::new(Cell::new(10)))) };
///             Residence::<Tally>::construct_async(call, tally)
///         }),
///     ],
///     &[Method::new("add", |call| {
///         call.shared(|tally: &Tally| {
///             tally.0.update(|count| count + 1);
///             Plain(tally.0.get())
///         })
///     })],
/// );
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// for (constructor, count) in
///     [(const { TALLY.constructor("new") }, 1), (const { TALLY.constructor("later") }, 11)]
/// {
///     let options = ActorOptions::new();
///     let tally: ActorHandle<Tally> =
///         manual::create(&TALLY, constructor, options, |_| Ok(())).await?;
///     let added = tally.call::<u64>(const { TALLY.method("add") }, |_| Ok(())).await?;
///     assert_eq!(added.get().await?, count);
/// }
/// # Ok(())
/// # }
/// ```
pub trait ResidenceHere {
    /// The actor's type.
    type Actor: 'static;

    /// Ends a constructor: this process is the actor from now on.
    ///
    /// # Errors
    /// What the constructor returned as an error.
    fn construct<C: Constructed<Self::Actor, M>, M>(
        _: &mut Call<'_>,
        actor: C,
    ) -> Result<Finished, Failure> {
        Ok(Finished(End::Constructed(here(actor.actor()?))))
    }

    /// Ends an async constructor.
    ///
    /// # Errors
    /// None here; an error of the constructor comes when `future` is done.
    fn construct_async<C: Constructed<Self::Actor, M>, M>(
        _: &mut Call<'_>,
        future: impl Future<Output = C> + 'static,
    ) -> Result<Finished, Failure> {
        let constructed = async move { Ok(here(future.await.actor()?)) };
        Ok(Finished(End::ConstructedLater(Rest::new(constructed))))
    }
}

impl<A: 'static> ResidenceHere for Residence<A> {
    type Actor = A;
}

fn here<A: 'static>(actor: A) -> Contained<Resident> {
    Contained::new(Resident::Here(Rc::new(LocalLock::new(actor))))
}

impl Call<'_> {
    /// Runs a method that has the actor to itself.
    ///
    /// # Errors
    /// What the method returned as an error, or what storing its result failed with.
    pub fn exclusive<A: 'static, O: Outcome<M>, M>(
        &mut self,
        method: impl FnOnce(&mut A) -> O + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?;
        if let Some(mut actor) = resident.lock()?.try_write() {
            method(&mut actor).seal(self.core, self.returns)?;
            return Ok(Finished(End::Sealed));
        }
        let (core, resident, returns) = self.kept(resident);
        later(async move {
            let mut actor = resident.lock()?.write().await;
            returns.begin_now(&core);
            method(&mut actor).seal(&core, &returns)
        })
    }

    /// Runs a method that shares the actor with other shared ones.
    ///
    /// # Errors
    /// As [`Call::exclusive`].
    pub fn shared<A: 'static, O: Outcome<M>, M>(
        &mut self,
        method: impl FnOnce(&A) -> O + 'static,
    ) -> Result<Finished, Failure> {
        let resident = self.resident()?;
        if let Some(actor) = resident.lock()?.try_read() {
            method(&actor).seal(self.core, self.returns)?;
            return Ok(Finished(End::Sealed));
        }
        let (core, resident, returns) = self.kept(resident);
        later(async move {
            let actor = resident.lock()?.read().await;
            returns.begin_now(&core);
            method(&actor).seal(&core, &returns)
        })
    }

    /// Runs an async method that has the actor to itself until it is done.
    ///
    /// # Errors
    /// As [`Call::exclusive`], when its future is done.
    pub fn exclusive_async<A: 'static, O: Outcome<M>, M>(
        &mut self,
        method: impl AsyncFnOnce(&mut A) -> O + 'static,
    ) -> Result<Finished, Failure> {
        let (core, resident, returns) = self.kept(self.resident()?);
        later(async move {
            let lock = resident.lock()?;
            // Nearly always it is free.
            let mut actor = match lock.try_write() {
                Some(actor) => actor,
                None => {
                    let actor = lock.write().await;
                    returns.begin_now(&core);
                    actor
                }
            };
            method(&mut actor).await.seal(&core, &returns)
        })
    }

    /// Runs an async method that shares the actor with other shared ones.
    ///
    /// ```
    /// # use rustyray::manual::{
    /// #     self, ActorClass, ActorHandle, ActorOptions, Constructor, Method, Plain, Residence,
    /// # };
    /// # struct Page(String);
    /// # async fn spoken(text: &str) -> String { text.to_uppercase() }
    /// #[manual::linkme::distributed_slice(manual::ACTORS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static PAGE: ActorClass = ActorClass::new(
    ///     "docs::Page",
    ///     concat!(file!(), ":", line!()),
    ///     &[Constructor::new("new", |call| {
    ///         Residence::<Page>::construct(call, Plain(Page("stop".to_owned())))
    ///     })],
    ///     &[Method::new("spoken", |call| {
    ///         call.shared_async(async |page: &Page| Plain(spoken(&page.0).await))
    ///     })],
    /// );
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// # let new = const { PAGE.constructor("new") };
    /// # let options = ActorOptions::new().max_concurrency(8);
    /// let page: ActorHandle<Page> = manual::create(&PAGE, new, options, |_| Ok(())).await?;
    /// let spoken = page.call::<String>(const { PAGE.method("spoken") }, |_| Ok(())).await?;
    /// assert_eq!(spoken.get().await?, "STOP");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Call::exclusive`], when its future is done.
    pub fn shared_async<A: 'static, O: Outcome<M>, M>(
        &mut self,
        method: impl AsyncFnOnce(&A) -> O + 'static,
    ) -> Result<Finished, Failure> {
        let (core, resident, returns) = self.kept(self.resident()?);
        later(async move {
            let lock = resident.lock()?;
            let actor = match lock.try_read() {
                Some(actor) => actor,
                None => {
                    let actor = lock.read().await;
                    returns.begin_now(&core);
                    actor
                }
            };
            method(&actor).await.seal(&core, &returns)
        })
    }

    /// What a future keeps of the call.
    fn kept(&self, resident: &Resident) -> (Arc<Core>, Resident, Returns) {
        (Arc::clone(self.core), resident.clone(), self.returns.clone())
    }

    pub(crate) fn resident(&self) -> Result<&Resident, Failure> {
        self.actor.ok_or_else(|| Error::invalid("no actor lives in this process").into())
    }
}

fn later(future: impl Future<Output = Result<(), Failure>> + 'static) -> Result<Finished, Failure> {
    Ok(Finished(End::Later(Rest::new(future))))
}
