//! Arguments: what may stand at a call, and how it reaches a parameter.
//!
//! At the call, [`IntoArg<P>`] says what is accepted for a parameter of type `P`; in the worker,
//! [`Parameter`](crate::call::Parameter) makes the parameter from what arrived. Both decide by traits alone:
//!
//! | parameter | accepted at the call | arrives as |
//! | --- | --- | --- |
//! | `T` | `T`, `&T`, [`ObjectRef<T>`], `&ObjectRef<T>` | an owned value, once the object is sealed |
//! | [`View<T>`] | [`ObjectRef<T>`], `&ObjectRef<T>`, `T` | zero-copy, pinned while the view lives |
//! | [`ObjectRef<T>`] | [`ObjectRef<T>`], `&ObjectRef<T>` | the reference itself, unresolved |
//!
//! An argument that is a reference is a dependency: the task waits for it. A reference inside a value is
//! passed through; the task holds it until it ends.

use std::sync::Arc;

use rustyray_store::ObjectId;

use crate::{
    error::{Error, Result},
    object::{ObjectRef, View},
    runtime::Core,
    spec::SpecWriter,
    value::Value,
};

/// Collects the arguments of one task or call.
///
/// ```
/// # use rustyray::{Result, manual::{self, ArgWriter, Function, Plain, TaskOptions}};
/// // What several functions take first is written by one.
/// fn place(args: &mut ArgWriter<'_>, x: i64, y: i64) -> Result<()> {
///     args.push::<i64, _>("x", x)?;
///     args.push::<i64, _>("y", y)
/// }
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static FAR: Function = Function::new("docs::far", concat!(file!(), ":", line!()), |call| {
///     let (x, y): (i64, i64) = (call.arg("x")?, call.arg("y")?);
///     call.finish(Plain(x.abs() + y.abs()))
/// });
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let far = manual::submit::<i64>(&FAR, TaskOptions::new(), |args| place(args, 3, -4));
/// assert_eq!(far.await?.get().await?, 7);
/// # Ok(())
/// # }
/// ```
pub struct ArgWriter<'a> {
    core: &'a Arc<Core>,
    pub(crate) spec: SpecWriter,
    pub(crate) dependencies: Vec<ObjectId>,
    pub(crate) held: Held<'a>,
}

/// References that a task holds from its submission on; released again unless taken.
pub(crate) struct Held<'a> {
    core: &'a Arc<Core>,
    ids: Vec<ObjectId>,
}

impl Held<'_> {
    pub(crate) fn ids(&self) -> &[ObjectId] {
        &self.ids
    }

    /// Takes one more reference, which the caller knows to be alive.
    pub(crate) fn hold(&mut self, id: ObjectId) -> Result<()> {
        self.core.retain(id)?;
        self.ids.push(id);
        Ok(())
    }

    /// Hands the references over: whoever takes them releases them.
    pub(crate) fn take(&mut self) -> Vec<ObjectId> {
        std::mem::take(&mut self.ids)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for &id in &self.ids {
            self.core.release(id);
        }
    }
}

impl std::fmt::Debug for ArgWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArgWriter")
            .field("dependencies", &self.dependencies)
            .finish_non_exhaustive()
    }
}

impl<'a> ArgWriter<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, spec: SpecWriter) -> Self {
        ArgWriter { core, spec, dependencies: Vec::new(), held: Held { core, ids: Vec::new() } }
    }

    /// Appends the argument for the next parameter, of type `P`. `name` is the parameter's, for errors.
    ///
    /// # Errors
    /// [`Error::Serialization`] when the value cannot be archived; what putting an object returns when the
    /// value has to become one.
    #[inline]
    pub fn push<P, A: IntoArg<P>>(&mut self, name: &'static str, argument: A) -> Result<()> {
        self.lend(name, &argument)
    }

    /// The same for an argument that the caller keeps, to have it back when the call is not made.
    ///
    /// ```
    /// # use rustyray::{Error, manual::{self, Function, Plain, TaskOptions}};
    /// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
    /// # #[linkme(crate = rustyray::manual::linkme)]
    /// static SUM: Function = Function::new("docs::sum", concat!(file!(), ":", line!()), |call| {
    ///     let numbers: Vec<u64> = call.arg("numbers")?;
    ///     call.finish(Plain(numbers.iter().sum::<u64>()))
    /// });
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let numbers = vec![1_u64, 2, 3];
    /// let too_much = TaskOptions::new().num_cpus(1000.0);
    /// let refused = manual::submit::<u64>(&SUM, too_much, |args| {
    ///     args.lend::<Vec<u64>, _>("numbers", &numbers)
    /// });
    /// assert!(matches!(refused.await, Err(Error::Unschedulable { .. })));
    /// // They are here still, without having been copied.
    /// let sum = manual::submit::<u64>(&SUM, TaskOptions::new(), |args| {
    ///     args.push::<Vec<u64>, _>("numbers", numbers)
    /// });
    /// assert_eq!(sum.await?.get().await?, 6);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ArgWriter::push`].
    #[inline]
    pub fn lend<P, A: IntoArg<P>>(&mut self, name: &'static str, argument: &A) -> Result<()> {
        argument.pass(name, self)
    }

    fn value<T: Value>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let ArgWriter { core, spec, held, .. } = self;
        core.encode(value, |bytes, nested| {
            spec.push_value(bytes);
            nested.iter().try_for_each(|&id| held.hold(id))
        })
        .map_err(|error| match error {
            Error::Serialization { reason, .. } => {
                Error::Serialization { what: format!("argument `{name}`"), reason }
            }
            other => other,
        })
    }

    fn reference<T>(&mut self, reference: &ObjectRef<T>) -> Result<()> {
        let id = reference.object_id();
        if !reference.belongs_to(self.core) {
            return Err(Error::invalid(format!(
                "{reference:?} belongs to another runtime; references cannot cross from one to another"
            )));
        }
        self.held.hold(id)?;
        self.spec.push_reference(id);
        self.dependencies.push(id);
        Ok(())
    }
}

/// What may stand at a call for a parameter of type `P`.
///
/// ```
/// # use rustyray::{ObjectRef, Result, manual::IntoArg, prelude::*};
/// #[rustyray::remote]
/// fn count(words: Vec<String>) -> usize {
///     words.len()
/// }
///
/// // A function of one's own that takes what the generated ones take.
/// async fn twice(words: impl IntoArg<Vec<String>>) -> Result<usize> {
///     Ok(2 * count_remote::remote(words).await?.get().await?)
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let words = vec!["to".to_owned(), "be".to_owned()];
/// let stored = rustyray::put(&words).await?;
/// assert_eq!(twice(&words).await?, 4);
/// assert_eq!(twice(&stored).await?, 4);
/// assert_eq!(twice(words).await?, 4);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not accepted for a parameter of type `{P}`",
    label = "expected `{P}`, `&{P}`, `ObjectRef<{P}>` or `&ObjectRef<{P}>`"
)]
pub trait IntoArg<P> {
    /// Appends the argument to `to`.
    #[doc(hidden)]
    fn pass(&self, name: &'static str, to: &mut ArgWriter<'_>) -> Result<()>;
}

/// What a parameter of type `P` takes, where that is a `View<T>`: what [`IntoArg`] says, with `T` for messages.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not accepted for a parameter of type `{P}`",
    label = "expected `{T}`, `ObjectRef<{T}>` or `&ObjectRef<{T}>`"
)]
pub trait IntoView<P, T>: IntoArg<P> {}

#[diagnostic::do_not_recommend]
impl<A: IntoArg<P>, P, T> IntoView<P, T> for A {}

impl<T: Value> IntoArg<T> for T {
    #[inline]
    fn pass(&self, name: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        to.value(name, self)
    }
}

impl<T: Value> IntoArg<T> for &T {
    #[inline]
    fn pass(&self, name: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        to.value(name, *self)
    }
}

impl IntoArg<String> for &str {
    fn pass(&self, name: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        to.value(name, &(*self).to_owned())
    }
}

impl<T: Value> IntoArg<T> for ObjectRef<T> {
    fn pass(&self, _: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        to.reference(self)
    }
}

impl<T: Value> IntoArg<T> for &ObjectRef<T> {
    fn pass(&self, _: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        to.reference(self)
    }
}

impl<T: Value> IntoArg<View<T>> for ObjectRef<T> {
    fn pass(&self, _: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        to.reference(self)
    }
}

impl<T: Value> IntoArg<View<T>> for &ObjectRef<T> {
    fn pass(&self, _: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        to.reference(self)
    }
}

impl<T: Value> IntoArg<View<T>> for T {
    fn pass(&self, _: &'static str, to: &mut ArgWriter<'_>) -> Result<()> {
        let object = ObjectRef::<T>::adopt(to.core, to.core.put_id(self)?);
        to.reference(&object)
    }
}
