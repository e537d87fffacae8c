//! The API below the macros: registering, submitting and running by hand.
//!
//! `#[rustyray::remote]` and `#[rustyray::actor]` expand to code against this module and add nothing to it
//! at run time. Here is a task by hand:
//!
//! ```
//! use rustyray::{
//!     ObjectRef, Result,
//!     manual::{self, Function, Plain, TaskOptions},
//! };
//!
//! #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
//! #[linkme(crate = rustyray::manual::linkme)]
//! static ADD: Function = Function::new("docs::add", concat!(file!(), ":", line!()), |call| {
//!     let a = call.arg::<i64, _>("a")?;
//!     let b = call.arg::<i64, _>("b")?;
//!     call.finish(Plain(a + b))
//! });
//!
//! async fn add(a: i64, b: i64) -> Result<ObjectRef<i64>> {
//!     manual::submit(&ADD, &TaskOptions::new(), |arguments| {
//!         arguments.push::<i64, _>("a", a)?;
//!         arguments.push::<i64, _>("b", b)
//!     })
//!     .await
//! }
//!
//! fn main() -> Result<()> {
//!     rustyray::blocking::init()?;
//!     let sum = rustyray::block_on(add(1, 2))?;
//!     assert_eq!(sum.get_blocking()?, 3);
//!     rustyray::blocking::shutdown()
//! }
//! ```

pub use linkme;

/// What [`crate::prelude`] brings into scope besides names, so that the macros can make use of it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Prelude;

/// In scope with the prelude.
#[doc(hidden)]
pub trait WithPrelude {
    /// Says so.
    fn use_it(self);
}

impl WithPrelude for Prelude {
    fn use_it(self) {}
}

/// In scope where the prelude is not.
#[doc(hidden)]
pub trait WithoutPrelude {
    /// Says so.
    fn use_it(self);
}

impl WithoutPrelude for &Prelude {
    fn use_it(self) {}
}

pub use crate::{
    actor::{Actor, ActorHandle, ArchivedActorHandle, Handle, create, get},
    args::{ArgWriter, IntoArg},
    call::{
        Call, Constructed, Failure, Fallible, FallibleReturn, FallibleSeveral, Finished, IntoCause,
        Outcome, Parameter, Plain, Several, SeveralReturns, returns_match,
    },
    entry::{Exit, run_main, run_test},
    items::{Items, outcomes},
    options::{
        ActorOptions, MAX_CONCURRENCY, MAX_CONCURRENCY_GROUPS, MAX_CUSTOM_RESOURCES, TaskOptions,
    },
    registry::{
        ACTORS, ActorClass, Body, Constructor, ConstructorIndex, FUNCTIONS, Function, Method,
        MethodIndex,
    },
    residence::{Residence, ResidenceHere},
    stream::submit_stream,
    submit::{submit, submit_several},
    value::Value,
};
