//! One call as the code that runs it sees it: arguments in, results out.
//!
//! The macros expand to code against this module, and code without macros is written against it too:
//!
//! ```
//! use rustyray::manual::{self, Function, Plain};
//!
//! #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
//! #[linkme(crate = rustyray::manual::linkme)]
//! static ADD: Function = Function::new("docs::add", concat!(file!(), ":", line!()), |call| {
//!     let a: i64 = call.arg("a")?;
//!     let b: i64 = call.arg("b")?;
//!     call.finish(Plain(a + b))
//! });
//! ```

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustyray_store::{ObjectId, Status};

use crate::{
    contained::Contained,
    context,
    error::{Cause, Error},
    object::{ObjectRef, View},
    residence::Resident,
    runtime::{Core, record::Began, worker::fault},
    spec::{Argument, Arguments, Header, Submitter},
    value::Value,
};

/// Why a call has no result.
#[derive(Debug)]
pub struct Failure(
    // In a box, since what has none of it is moved at each step of a call.
    Box<FailureKind>,
);

#[derive(Debug)]
pub(crate) enum FailureKind {
    /// The function returned an `Err`.
    Returned { message: String, cause: Option<Cause> },
    /// It panicked.
    Panicked { message: String, location: String },
    /// It did not run, since an argument failed.
    Downstream(Error),
    /// It could not run, or its result could not be stored.
    Runtime(Error),
    /// It was cancelled.
    Cancelled,
    /// It ran longer than it may.
    TimedOut { timeout_ms: u32 },
    /// Another attempt has already given the result; this one is dropped.
    Late,
}

impl Failure {
    /// The failure of a function that returned an error with this message.
    pub fn message(message: impl fmt::Display) -> Failure {
        Failure::of(FailureKind::Returned { message: message.to_string(), cause: None })
    }

    #[cold]
    pub(crate) fn of(kind: FailureKind) -> Failure {
        Failure(Box::new(kind))
    }

    pub(crate) fn kind(&self) -> &FailureKind {
        &self.0
    }

    pub(crate) fn into_kind(self) -> FailureKind {
        *self.0
    }

    pub(crate) fn is_late(&self) -> bool {
        matches!(self.kind(), FailureKind::Late)
    }

    /// The failure of a function that returned `error`, with its chain of causes.
    ///
    /// ```
    /// # use rustyray::manual::{self, Failure, Function, Plain, TaskOptions};
    /// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static PARSE: Function = Function::new("docs::parse", concat!(file!(), ":", line!()), |call| {
    ///     let text: String = call.arg("text")?;
    ///     let number: u64 = text.parse().map_err(|error| Failure::error(&error))?;
    ///     call.finish(Plain(number))
    /// });
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let number = manual::submit::<u64>(&PARSE, TaskOptions::new(), |args| {
    ///     args.push::<String, _>("text", "seven")
    /// });
    /// let error = number.await?.get().await.unwrap_err();
    /// assert!(error.to_string().ends_with("invalid digit found in string"), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn error(error: &(dyn std::error::Error + 'static)) -> Failure {
        let (message, cause) = match error.downcast_ref::<Error>() {
            Some(ours) => {
                let (message, cause) = ours.returned();
                (message, Some(cause))
            }
            None => (error.to_string(), error.source().map(Cause::chain)),
        };
        Failure::of(FailureKind::Returned { message, cause })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::of(FailureKind::Runtime(error))
    }
}

/// Proof that a call gave its result, or said what will.
///
/// ```
/// # use rustyray::manual::{self, Call, Failure, Finished, Function, Plain, TaskOptions};
/// // A body can leave its end to a function that several share.
/// fn with_length(call: &mut Call<'_>, text: String) -> Result<Finished, Failure> {
///     call.finish(Plain(text.len()))
/// }
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static LENGTH: Function = Function::new("docs::length", concat!(file!(), ":", line!()), |call| {
///     let text: String = call.arg("text")?;
///     with_length(call, text)
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let length = manual::submit::<usize>(&LENGTH, TaskOptions::new(), |args| {
///     args.push::<String, _>("text", "four")
/// });
/// assert_eq!(length.await?.get().await?, 4);
/// # Ok(())
/// # }
/// ```
#[must_use = "a call ends by returning it"]
pub struct Finished(pub(crate) End);

/// How a call ended.
pub(crate) enum End {
    /// The results are sealed.
    Sealed,
    /// The results are sealed when the future is done.
    Later(Later),
    /// The actor is constructed.
    Constructed(Contained<Resident>),
    /// The actor is constructed when the future is done.
    ConstructedLater(Rest<Contained<Resident>>),
}

/// The rest of a call that waits for something.
pub(crate) type Later = Rest<()>;

/// What is left of a call, with what it comes to: a future that may be dropped wherever it waits.
pub(crate) struct Rest<T>(Contained<Boxed<T>>);

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Failure>>>>;

impl<T> Rest<T> {
    pub(crate) fn new(future: impl Future<Output = Result<T, Failure>> + 'static) -> Rest<T> {
        Rest(Contained::new(Box::pin(future)))
    }

    /// It is not polled any more: what its code had is dropped.
    #[cold]
    pub(crate) fn abandon(&mut self) {
        self.0 = Contained::none();
    }
}

impl<T> Future for Rest<T> {
    type Output = Result<T, Failure>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.0.get_mut() else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            // Whoever polls catches what it panics with.
            drop(self.0.take());
        }
        polled
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            End::Sealed => "Finished(sealed)",
            End::Later(_) => "Finished(later)",
            End::Constructed(_) | End::ConstructedLater(_) => "Finished(constructed)",
        })
    }
}

/// A call in the process that runs it.
///
/// ```
/// # use rustyray::{View, manual::{self, Call, Failure, Finished, Function, Plain, TaskOptions}};
/// // Arguments come in the order of the parameters, owned or in place.
/// fn scaled(call: &mut Call<'_>) -> Result<Finished, Failure> {
///     let by: u64 = call.arg("by")?;
///     let numbers: View<Vec<u64>> = call.arg("numbers")?;
///     call.finish(Plain(numbers.iter().map(|number| number * by).sum::<u64>()))
/// }
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static SCALED: Function = Function::new("docs::scaled", concat!(file!(), ":", line!()), scaled);
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let numbers = rustyray::put(&vec![1_u64, 2, 3]).await?;
/// let sum = manual::submit::<u64>(&SCALED, TaskOptions::new(), |args| {
///     args.push::<u64, _>("by", 10)?;
///     args.push::<View<Vec<u64>>, _>("numbers", &numbers)
/// });
/// assert_eq!(sum.await?.get().await?, 60);
///
/// // One that was forgotten fails the task, by its name.
/// let sum = manual::submit::<u64>(&SCALED, TaskOptions::new(), |args| {
///     args.push::<u64, _>("by", 10)
/// });
/// let error = sum.await?.get().await.unwrap_err();
/// assert!(error.to_string().contains("argument `numbers` is missing"), "{error}");
/// # Ok(())
/// # }
/// ```
pub struct Call<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) arguments: Arguments<'a>,
    pub(crate) returns: &'a Returns,
    pub(crate) actor: Option<&'a Resident>,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("returns", &self.returns.ids).finish_non_exhaustive()
    }
}

/// The objects that a call returns, and the attempt in whose name they are sealed.
#[derive(Clone)]
pub struct Returns {
    pub(crate) ids: Ids,
    pub(crate) attempt: u16,
    /// Of a stream: the grant with which it begins.
    pub(crate) grant: Option<ObjectId>,
    /// What is recorded of its beginning.
    pub(crate) began: Began,
}

/// The objects that a call returns; nearly always one.
///
/// The tag is a word, so that whoever moves this moves words: what is read across the bounds of what was written just
/// before waits until that has left the processor's store buffer, at each of the moves of a call.
#[derive(Clone, Debug)]
#[repr(u64)]
pub(crate) enum Ids {
    One(ObjectId),
    Several(Arc<[ObjectId]>),
}

impl Ids {
    pub(crate) fn none() -> Ids {
        Ids::Several([].into())
    }

    pub(crate) fn from_vec(ids: Vec<ObjectId>) -> Ids {
        match ids.as_slice() {
            &[id] => Ids::One(id),
            _ => Ids::Several(ids.into()),
        }
    }

    pub(crate) fn as_slice(&self) -> &[ObjectId] {
        match self {
            Ids::One(id) => std::slice::from_ref(id),
            Ids::Several(ids) => ids,
        }
    }
}

impl fmt::Debug for Returns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Returns({:?}, attempt {})", self.ids, self.attempt)
    }
}

thread_local! {
    /// When the call that is polled on this thread was let into its actor, where it is recorded and had to wait; else 0.
    static BEGINS: Cell<u64> = const { Cell::new(0) };
}

impl Returns {
    /// What names the task or call that returns into these.
    #[inline]
    pub(crate) fn who(&self, header: &Header) -> Option<Submitter> {
        header.who(self.ids.as_slice().first().copied())
    }

    /// Of a hook, whose result nobody asks for.
    pub(crate) fn none() -> Returns {
        Returns::of(Ids::none(), 0)
    }

    /// Into these objects, by this attempt; nothing else is known.
    pub(crate) fn of(ids: Ids, attempt: u16) -> Returns {
        Returns { ids, attempt, grant: None, began: Began::default() }
    }

    /// The call has waited for others of its actor, and its code begins now. To be said where its future is polled.
    #[cold]
    pub(crate) fn begin_now(&self, core: &Core) {
        if self.began.at != 0
            && let Some(clock) = core.control().recording()
        {
            BEGINS.set(clock.ticks());
        }
    }

    /// Takes down what the call's future said, which was just polled on this thread, of when its code began.
    #[inline]
    pub(crate) fn take_begin(&mut self) {
        if self.began.at != 0 {
            let at = BEGINS.take();
            if at != 0 {
                self.began.at = at;
            }
        }
    }

    fn expect(&self, results: usize) -> Result<(), Failure> {
        let asked = self.ids.as_slice().len();
        if asked == results {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the function gave {results} results, the call asked for {asked}"
        ))
        .into())
    }

    pub(crate) fn seal<T: Value>(
        &self,
        core: &Core,
        index: usize,
        value: &T,
    ) -> Result<(), Failure> {
        let ids = self.ids.as_slice();
        if ids.is_empty() {
            // A hook, whose result nobody asks for.
            return Ok(());
        }
        let Some(&id) = ids.get(index) else {
            return Err(Failure::from(Error::invalid(format!(
                "the function gives at least {} results, the call asked for {}",
                index + 1,
                ids.len()
            ))));
        };
        if core.is_interrupted() {
            return Err(Failure::of(FailureKind::Cancelled));
        }
        core.seal_value(id, self.attempt, value)
    }

    /// Seals one of several results. One that has its value from an earlier attempt, which ended half way or was
    /// run for another, does not keep the rest from being sealed.
    fn seal_one<T: Value>(&self, core: &Core, index: usize, value: &T) -> Result<(), Failure> {
        if index == 1 {
            fault::point("half");
        }
        match self.seal(core, index, value) {
            Err(failure) if failure.is_late() => Ok(()),
            sealed => sealed,
        }
    }
}

impl<'a> Call<'a> {
    /// The next argument, for a parameter of type `P`: an owned value or a [`View`].
    ///
    /// # Errors
    /// When there is no further argument, when the object behind it is gone or of another type, or when its
    /// bytes are not a valid archive.
    #[inline]
    pub fn arg<P: Parameter<K>, K>(&mut self, name: &'static str) -> Result<P, Failure> {
        let argument = self
            .arguments
            .next()
            .map_err(|error| Error::invalid(format!("argument `{name}`: {error}")))?
            .ok_or_else(|| Error::invalid(format!("argument `{name}` is missing")))?;
        let of = match &argument {
            Argument::Reference(id) => Some(*id),
            Argument::Value { .. } => None,
        };
        P::from_arg(argument, self.core).map_err(|error| match of {
            Some(id) => self.failed_argument(id, error),
            None => Failure::from(error),
        })
    }

    /// What became of an argument after it was there; the task did not run for want of it.
    #[cold]
    fn failed_argument(&self, id: ObjectId, error: Error) -> Failure {
        if self.core.client.status(id) != Status::Failed {
            return Failure::from(error);
        }
        let task = context::running_name().unwrap_or_else(|| "?".into());
        Failure::of(FailureKind::Downstream(Error::downstream(task, id.to_string(), error)))
    }

    /// Gives the result.
    ///
    /// # Errors
    /// What the function returned as an error, or what storing the result failed with.
    #[inline]
    pub fn finish<O: Outcome<M>, M>(&mut self, outcome: O) -> Result<Finished, Failure> {
        outcome.seal(self.core, self.returns)?;
        Ok(Finished(End::Sealed))
    }

    /// Gives the result of `future` once it is done. When the task is cancelled, the future is dropped at its
    /// next `await`.
    ///
    /// # Errors
    /// None here; what goes wrong with the result comes when `future` is done.
    pub fn finish_async<O: Outcome<M>, M>(
        &mut self,
        future: impl Future<Output = O> + 'static,
    ) -> Result<Finished, Failure> {
        let (core, returns) = (Arc::clone(self.core), self.returns.clone());
        Ok(Finished(End::Later(Rest::new(async move { future.await.seal(&core, &returns) }))))
    }
}

/// What a function gives back, and how it becomes objects. `M` only tells the implementations apart.
///
/// ```
/// # use rustyray::manual::{
/// #     self, Call, Failure, Fallible, Finished, Function, Outcome, Plain, TaskOptions,
/// # };
/// // Whatever a function gives back, logged before it is sealed.
/// fn logged<O: Outcome<M>, M>(call: &mut Call<'_>, outcome: O) -> Result<Finished, Failure> {
///     println!("{} is done", rustyray::context().task_name.unwrap_or_default());
///     call.finish(outcome)
/// }
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static SURE: Function = Function::new("docs::sure", concat!(file!(), ":", line!()), |call| {
///     logged(call, Plain(1_u64))
/// });
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static UNSURE: Function = Function::new("docs::unsure", concat!(file!(), ":", line!()), |call| {
///     logged(call, Fallible(Err::<u64, _>("not today")))
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let sure = manual::submit::<u64>(&SURE, TaskOptions::new(), |_| Ok(())).await?;
/// assert_eq!(sure.get().await?, 1);
/// let unsure = manual::submit::<u64>(&UNSURE, TaskOptions::new(), |_| Ok(())).await?;
/// assert!(unsure.get().await.unwrap_err().to_string().ends_with("not today"));
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a remote function",
    label = "cannot be stored or sent",
    note = "derive it: `#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]`"
)]
pub trait Outcome<M> {
    /// Seals the result into `returns`.
    #[doc(hidden)]
    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure>;
}

/// One value, one object.
#[derive(Clone, Copy, Debug)]
pub struct Plain<T>(pub T);

/// One value, one object, or an error in its place.
#[derive(Clone, Copy, Debug)]
pub struct Fallible<T, E>(pub Result<T, E>);

/// A tuple, an array or a vector: one object for each member.
#[derive(Clone, Copy, Debug)]
pub struct Several<T>(pub T);

/// Several objects, or one error in the place of each.
///
/// ```
/// # use rustyray::manual::{self, FallibleSeveral, Function, TaskOptions};
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static HALVES: Function = Function::new("docs::halves", concat!(file!(), ":", line!()), |call| {
///     let of: u64 = call.arg("of")?;
///     let halves = if of % 2 == 0 { Ok([of / 2; 2]) } else { Err(format!("{of} is odd")) };
///     call.finish(FallibleSeveral(halves))
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let halves = async |of: u64| {
///     let two = TaskOptions::new().num_returns(2);
///     manual::submit_several::<[u64; 2]>(&HALVES, two, |args| args.push::<u64, _>("of", of)).await
/// };
/// let [left, right] = halves(8).await?;
/// assert_eq!((left.get().await?, right.get().await?), (4, 4));
/// let [left, right] = halves(7).await?;
/// assert!(left.get().await.unwrap_err().to_string().ends_with("7 is odd"));
/// assert!(right.get().await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FallibleSeveral<T, E>(pub Result<T, E>);

impl<T: Value> Outcome<()> for Plain<T> {
    #[inline]
    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure> {
        returns.seal(core, 0, &self.0)
    }
}

impl<T: Value, E: IntoCause<M>, M> Outcome<M> for Fallible<T, E> {
    #[inline]
    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure> {
        match self.0 {
            Ok(value) => returns.seal(core, 0, &value),
            Err(error) => Err(error.failure()),
        }
    }
}

impl<T: SeveralReturns> Outcome<()> for Several<T> {
    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure> {
        self.0.seal(core, returns)
    }
}

impl<T: SeveralReturns, E: IntoCause<M>, M> Outcome<M> for FallibleSeveral<T, E> {
    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure> {
        match self.0 {
            Ok(values) => values.seal(core, returns),
            Err(error) => Err(error.failure()),
        }
    }
}

/// A value whose members become objects of their own.
///
/// ```
/// use rustyray::{ObjectRef, manual::SeveralReturns};
///
/// // A tuple and an array say how many objects they become, and each keeps its type.
/// assert_eq!(<(u64, String) as SeveralReturns>::COUNT, Some(2));
/// assert_eq!(<[u64; 5] as SeveralReturns>::COUNT, Some(5));
/// // How many a vector becomes is for the options of the task to say.
/// assert_eq!(<Vec<u64> as SeveralReturns>::COUNT, None);
///
/// fn first((number, _): <(u64, String) as SeveralReturns>::Refs) -> ObjectRef<u64> {
///     number
/// }
/// # let _ = first;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned as several objects",
    label = "expected a tuple, an array or a `Vec` of storable values"
)]
pub trait SeveralReturns {
    /// The references, in the shape of the value.
    type Refs;
    /// How many there are, where the type says so.
    const COUNT: Option<usize>;

    /// Seals the members into `returns`, one each.
    #[doc(hidden)]
    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure>;

    /// The references to `ids`, which the caller has reserved and counted.
    #[doc(hidden)]
    fn refs(core: &Arc<Core>, ids: &[ObjectId]) -> Self::Refs;
}

macro_rules! several {
    ($count:literal: $($member:ident $at:tt),+) => {
        impl<$($member: Value),+> SeveralReturns for ($($member,)+) {
            type Refs = ($(ObjectRef<$member>,)+);
            const COUNT: Option<usize> = Some($count);

            fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure> {
                returns.expect($count)?;
                $(returns.seal_one(core, $at, &self.$at)?;)+
                Ok(())
            }

            fn refs(core: &Arc<Core>, ids: &[ObjectId]) -> Self::Refs {
                ($(ObjectRef::adopt(core, ids[$at]),)+)
            }
        }
    };
}
several!(2: A 0, B 1);
several!(3: A 0, B 1, C 2);
several!(4: A 0, B 1, C 2, D 3);
several!(5: A 0, B 1, C 2, D 3, E 4);
several!(6: A 0, B 1, C 2, D 3, E 4, F 5);
several!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
several!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
several!(9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
several!(10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
several!(11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
several!(12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);

impl<T: Value, const N: usize> SeveralReturns for [T; N] {
    type Refs = [ObjectRef<T>; N];
    const COUNT: Option<usize> = Some(N);

    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure> {
        returns.expect(N)?;
        self.iter().enumerate().try_for_each(|(at, value)| returns.seal_one(core, at, value))
    }

    fn refs(core: &Arc<Core>, ids: &[ObjectId]) -> Self::Refs {
        std::array::from_fn(|at| ObjectRef::adopt(core, ids[at]))
    }
}

impl<T: Value> SeveralReturns for Vec<T> {
    type Refs = Vec<ObjectRef<T>>;
    const COUNT: Option<usize> = None;

    fn seal(self, core: &Arc<Core>, returns: &Returns) -> Result<(), Failure> {
        returns.expect(self.len())?;
        self.iter().enumerate().try_for_each(|(at, value)| returns.seal_one(core, at, value))
    }

    fn refs(core: &Arc<Core>, ids: &[ObjectId]) -> Self::Refs {
        ids.iter().map(|&id| ObjectRef::adopt(core, id)).collect()
    }
}

/// Whether a function that returns `T` can have this `num_returns`.
///
/// ```
/// use rustyray::manual::{TaskOptions, returns_match};
///
/// // A mistake that the compiler finds.
/// const RETURNS: u16 = 2;
/// const _: () = assert!(returns_match::<(u64, String)>(RETURNS as usize));
/// const OPTIONS: TaskOptions = TaskOptions::new().num_returns(RETURNS);
///
/// assert!(!returns_match::<(u64, String)>(3));
/// assert!(returns_match::<Vec<u64>>(3));
/// # let _ = OPTIONS;
/// ```
pub const fn returns_match<T: SeveralReturns>(num_returns: usize) -> bool {
    match T::COUNT {
        Some(count) => count == num_returns,
        None => true,
    }
}

/// An error type whose message and chain of causes can be kept. `M` only tells the implementations apart.
///
/// ```
/// # use rustyray::manual::{self, Call, Failure, Fallible, Finished, Function, IntoCause, TaskOptions};
/// // Any of the errors that programs have: text, boxes, types of their own.
/// fn refuse<E: IntoCause<M>, M>(call: &mut Call<'_>, error: E) -> Result<Finished, Failure> {
///     call.finish(Fallible(Err::<u64, E>(error)))
/// }
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static REFUSE: Function = Function::new("docs::refuse", concat!(file!(), ":", line!()), |call| {
///     match call.arg::<u64, _>("how")? {
///         0 => refuse(call, "a text"),
///         1 => refuse(call, std::io::Error::other("a type")),
///         _ => refuse(call, Box::<dyn std::error::Error + Send + Sync>::from("a box")),
///     }
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// for (how, message) in ["a text", "a type", "a box"].into_iter().enumerate() {
///     let refused = manual::submit::<u64>(&REFUSE, TaskOptions::new(), |args| {
///         args.push::<u64, _>("how", how as u64)
///     });
///     let error = refused.await?.get().await.unwrap_err();
///     assert!(error.to_string().ends_with(message), "{error}");
/// }
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a remote function",
    label = "this error's message and causes cannot be read",
    note = "use a type that implements `std::error::Error`, or `String`, `anyhow::Error`, `Box<dyn Error>`"
)]
pub trait IntoCause<M> {
    /// The failure that it is.
    #[doc(hidden)]
    fn failure(self) -> Failure;
}

/// An error that converts into `Box<dyn Error>`.
#[derive(Debug)]
pub enum ByBox {}
/// An error that converts into `Box<dyn Error + Send + Sync>` and not into `Box<dyn Error>`.
#[derive(Debug)]
pub enum BySendBox {}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn std::error::Error>>> IntoCause<ByBox> for E {
    fn failure(self) -> Failure {
        Failure::error(&*self.into())
    }
}

impl IntoCause<BySendBox> for Box<dyn std::error::Error + Send + Sync> {
    fn failure(self) -> Failure {
        let error: Box<dyn std::error::Error> = self;
        Failure::error(&*error)
    }
}

/// What a constructor gives back: the actor, plain or in a `Result`.
///
/// ```
/// # use rustyray::manual::{
/// #     self, ActorClass, ActorOptions, Call, Constructed, Constructor, Failure, Fallible, Finished,
/// #     Residence,
/// # };
/// struct Door;
///
/// // A constructor may fail: then nobody gets to call the actor, and `ready` says why.
/// fn door<C: Constructed<Door, M>, M>(call: &mut Call<'_>, door: C) -> Result<Finished, Failure> {
///     Residence::<Door>::construct(call, door)
/// }
///
/// #[manual::linkme::distributed_slice(manual::ACTORS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static DOOR: ActorClass = ActorClass::new(
///     "docs::Door",
///     concat!(file!(), ":", line!()),
///     &[Constructor::new("new", |call| {
///         let key: u64 = call.arg("key")?;
///         door(call, Fallible(if key == 7 { Ok(Door) } else { Err("the key does not fit") }))
///     })],
///     &[],
/// );
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let new = const { DOOR.constructor("new") };
/// let open = async |key: u64| {
///     let options = ActorOptions::new();
///     let door = manual::create::<Door>(&DOOR, new, &options, |args| args.push::<u64, _>("key", key));
///     door.await?.ready().await
/// };
/// open(7).await?;
/// assert!(format!("{:?}", open(8).await.unwrap_err()).contains("the key does not fit"));
/// # Ok(())
/// # }
/// ```
pub trait Constructed<A, M> {
    /// The actor.
    #[doc(hidden)]
    fn actor(self) -> Result<A, Failure>;
}

impl<A> Constructed<A, ()> for Plain<A> {
    fn actor(self) -> Result<A, Failure> {
        Ok(self.0)
    }
}

impl<A, E: IntoCause<M>, M> Constructed<A, M> for Fallible<A, E> {
    fn actor(self) -> Result<A, Failure> {
        self.0.map_err(E::failure)
    }
}

/// How a parameter is made from what arrived. `K` only tells the implementations apart; it is inferred.
///
/// ```
/// # use rustyray::{View, manual::{self, Call, Failure, Function, Parameter, Plain, TaskOptions}};
/// // The argument after a number that says how many times it was tried before.
/// fn retried<P: Parameter<K>, K>(call: &mut Call<'_>) -> Result<(u64, P), Failure> {
///     Ok((call.arg("tries")?, call.arg("value")?))
/// }
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static OWNED: Function = Function::new("docs::owned", concat!(file!(), ":", line!()), |call| {
///     let (tries, words) = retried::<Vec<String>, _>(call)?;
///     call.finish(Plain(tries + words.len() as u64))
/// });
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static VIEWED: Function = Function::new("docs::viewed", concat!(file!(), ":", line!()), |call| {
///     let (tries, words) = retried::<View<Vec<String>>, _>(call)?;
///     call.finish(Plain(tries + words.len() as u64))
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let words = rustyray::put(&vec!["to".to_owned(), "be".to_owned()]).await?;
/// let owned = manual::submit::<u64>(&OWNED, TaskOptions::new(), |args| {
///     args.push::<u64, _>("tries", 1)?;
///     args.push::<Vec<String>, _>("value", &words)
/// });
/// let viewed = manual::submit::<u64>(&VIEWED, TaskOptions::new(), |args| {
///     args.push::<u64, _>("tries", 1)?;
///     args.push::<View<Vec<String>>, _>("value", &words)
/// });
/// assert_eq!(owned.await?.get().await?, 3);
/// assert_eq!(viewed.await?.get().await?, 3);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between processes",
    label = "cannot be stored or sent",
    note = "derive it: `#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]`",
    note = "references, pointers, sockets and locks belong to one process: pass the data itself"
)]
pub trait Parameter<K>: Sized {
    /// Makes the parameter.
    #[doc(hidden)]
    fn from_arg(argument: Argument<'_>, core: &Arc<Core>) -> Result<Self, Error>;
}

/// The parameter owns its value.
#[derive(Debug)]
pub enum Owned {}
/// The parameter looks at an object in place.
#[derive(Debug)]
pub enum Borrowed {}

#[diagnostic::do_not_recommend]
impl<T: Value> Parameter<Owned> for T {
    #[inline]
    fn from_arg(argument: Argument<'_>, core: &Arc<Core>) -> Result<Self, Error> {
        match argument {
            Argument::Value { words, len } => core.decode(words, len),
            Argument::Reference(id) => core.get_sealed(id),
        }
    }
}

impl<T: Value> Parameter<Borrowed> for View<T> {
    fn from_arg(argument: Argument<'_>, core: &Arc<Core>) -> Result<Self, Error> {
        match argument {
            Argument::Reference(id) => core.view_sealed(id),
            Argument::Value { .. } => {
                Err(Error::invalid("a view looks at an object, and got a value"))
            }
        }
    }
}

/// The parts of a `Result`, for types that are aliases of one.
///
/// ```
/// use rustyray::manual::{Fallible, FallibleReturn};
///
/// type Answer = std::io::Result<u64>;
///
/// // What a macro cannot see of an alias, the compiler can.
/// fn wrapped(answer: Answer) -> Fallible<<Answer as FallibleReturn>::Ok, <Answer as FallibleReturn>::Err> {
///     Fallible(answer)
/// }
/// assert_eq!(wrapped(Ok(42)).0.expect("an answer"), 42);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is named `Result` and is not `std::result::Result`",
    label = "expected an alias of `std::result::Result`"
)]
pub trait FallibleReturn {
    /// What it holds when all went well.
    type Ok;
    /// What it holds otherwise.
    type Err;
}

impl<T, E> FallibleReturn for Result<T, E> {
    type Ok = T;
    type Err = E;
}
