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

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use rustyray_store::{ObjectId, Status};

use crate::{
    context,
    error::{Cause, Error},
    object::{ObjectRef, View},
    residence::Resident,
    runtime::{Core, record::Began, worker::fault},
    spec::{Argument, Arguments},
    value::Value,
};

/// Why a call has no result.
#[derive(Debug)]
pub struct Failure(pub(crate) FailureKind);

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
        Failure(FailureKind::Returned { message: message.to_string(), cause: None })
    }

    pub(crate) fn is_late(&self) -> bool {
        matches!(self.0, FailureKind::Late)
    }

    /// The failure of a function that returned `error`, with its chain of causes.
    pub fn error(error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure(FailureKind::Returned {
            message: error.to_string(),
            cause: error.source().map(Cause::chain),
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(FailureKind::Runtime(error))
    }
}

/// Proof that a call gave its result, or said what will.
#[must_use = "a call ends by returning it"]
pub struct Finished(pub(crate) End);

/// How a call ended.
pub(crate) enum End {
    /// The results are sealed.
    Sealed,
    /// The results are sealed when the future is done.
    Later(Later),
    /// The actor is constructed.
    Constructed(Resident),
    /// The actor is constructed when the future is done.
    ConstructedLater(Rest<Resident>),
}

/// The rest of a call that waits for something.
pub(crate) type Later = Rest<()>;

/// What is left of a call, with what it comes to.
type Rest<T> = Pin<Box<dyn Future<Output = Result<T, Failure>>>>;

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
    pub(crate) core: Arc<Core>,
    pub(crate) ids: Ids,
    pub(crate) attempt: u16,
    /// Of a stream: the grant with which it begins.
    pub(crate) grant: Option<ObjectId>,
    /// What is recorded of its beginning.
    pub(crate) began: Began,
}

/// The objects that a call returns; nearly always one.
#[derive(Clone, Debug)]
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

impl Returns {
    /// Of a hook, whose result nobody asks for.
    pub(crate) fn none(core: &Arc<Core>) -> Returns {
        let ids = Ids::none();
        Returns { core: Arc::clone(core), ids, attempt: 0, grant: None, began: Began::default() }
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

    pub(crate) fn seal<T: Value>(&self, index: usize, value: &T) -> Result<(), Failure> {
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
        if self.core.is_interrupted() {
            return Err(Failure(FailureKind::Cancelled));
        }
        self.core.seal_value(id, self.attempt, value)
    }

    /// Seals one of several results. One that has its value from an earlier attempt, which ended half way or was
    /// run for another, does not keep the rest from being sealed.
    fn seal_one<T: Value>(&self, index: usize, value: &T) -> Result<(), Failure> {
        if index == 1 {
            fault::point("half");
        }
        match self.seal(index, value) {
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
        Failure(FailureKind::Downstream(Error::downstream(task, id.to_string(), error)))
    }

    /// Gives the result.
    ///
    /// # Errors
    /// What the function returned as an error, or what storing the result failed with.
    #[inline]
    pub fn finish<O: Outcome<M>, M>(&mut self, outcome: O) -> Result<Finished, Failure> {
        outcome.seal(self.returns)?;
        Ok(Finished(End::Sealed))
    }

    /// Gives the result of `future` once it is done.
    pub fn finish_async<O: Outcome<M>, M>(
        &mut self,
        future: impl Future<Output = O> + 'static,
    ) -> Result<Finished, Failure> {
        let returns = self.returns.clone();
        Ok(Finished(End::Later(Box::pin(async move { future.await.seal(&returns) }))))
    }
}

/// What a function gives back, and how it becomes objects. `M` only tells the implementations apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a remote function",
    label = "cannot be stored or sent",
    note = "derive it: `#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]`"
)]
pub trait Outcome<M> {
    /// Seals the result into `returns`.
    #[doc(hidden)]
    fn seal(self, returns: &Returns) -> Result<(), Failure>;
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
#[derive(Clone, Copy, Debug)]
pub struct FallibleSeveral<T, E>(pub Result<T, E>);

impl<T: Value> Outcome<()> for Plain<T> {
    #[inline]
    fn seal(self, returns: &Returns) -> Result<(), Failure> {
        returns.seal(0, &self.0)
    }
}

impl<T: Value, E: IntoCause<M>, M> Outcome<M> for Fallible<T, E> {
    #[inline]
    fn seal(self, returns: &Returns) -> Result<(), Failure> {
        match self.0 {
            Ok(value) => returns.seal(0, &value),
            Err(error) => Err(error.failure()),
        }
    }
}

impl<T: SeveralReturns> Outcome<()> for Several<T> {
    fn seal(self, returns: &Returns) -> Result<(), Failure> {
        self.0.seal(returns)
    }
}

impl<T: SeveralReturns, E: IntoCause<M>, M> Outcome<M> for FallibleSeveral<T, E> {
    fn seal(self, returns: &Returns) -> Result<(), Failure> {
        match self.0 {
            Ok(values) => values.seal(returns),
            Err(error) => Err(error.failure()),
        }
    }
}

/// A value whose members become objects of their own.
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
    fn seal(self, returns: &Returns) -> Result<(), Failure>;

    /// The references to `ids`, which the caller has reserved and counted.
    #[doc(hidden)]
    fn refs(core: &Arc<Core>, ids: &[ObjectId]) -> Self::Refs;
}

macro_rules! several {
    ($count:literal: $($member:ident $at:tt),+) => {
        impl<$($member: Value),+> SeveralReturns for ($($member,)+) {
            type Refs = ($(ObjectRef<$member>,)+);
            const COUNT: Option<usize> = Some($count);

            fn seal(self, returns: &Returns) -> Result<(), Failure> {
                returns.expect($count)?;
                $(returns.seal_one($at, &self.$at)?;)+
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

    fn seal(self, returns: &Returns) -> Result<(), Failure> {
        returns.expect(N)?;
        self.iter().enumerate().try_for_each(|(at, value)| returns.seal_one(at, value))
    }

    fn refs(core: &Arc<Core>, ids: &[ObjectId]) -> Self::Refs {
        std::array::from_fn(|at| ObjectRef::adopt(core, ids[at]))
    }
}

impl<T: Value> SeveralReturns for Vec<T> {
    type Refs = Vec<ObjectRef<T>>;
    const COUNT: Option<usize> = None;

    fn seal(self, returns: &Returns) -> Result<(), Failure> {
        returns.expect(self.len())?;
        self.iter().enumerate().try_for_each(|(at, value)| returns.seal_one(at, value))
    }

    fn refs(core: &Arc<Core>, ids: &[ObjectId]) -> Self::Refs {
        ids.iter().map(|&id| ObjectRef::adopt(core, id)).collect()
    }
}

/// Whether a function that returns `T` can have this `num_returns`.
pub const fn returns_match<T: SeveralReturns>(num_returns: usize) -> bool {
    match T::COUNT {
        Some(count) => count == num_returns,
        None => true,
    }
}

/// An error type whose message and chain of causes can be kept. `M` only tells the implementations apart.
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
