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
//!
//! And an actor, without a handle type of its own:
//!
//! ```
//! use rustyray::manual::{
//!     self, ActorClass, ActorHandle, ActorOptions, Constructor, Fallible, Method, Plain, Residence,
//! };
//!
//! struct Counter(i64);
//!
//! static OPTIONS: ActorOptions = ActorOptions::new().max_restarts(1).concurrency_group("look", 2);
//!
//! #[manual::linkme::distributed_slice(manual::ACTORS)]
//! #[linkme(crate = rustyray::manual::linkme)]
//! static COUNTER: ActorClass = ActorClass::new(
//!     "docs::Counter",
//!     concat!(file!(), ":", line!()),
//!     &[Constructor::new("new", |call| {
//!         let start = call.arg::<i64, _>("start")?;
//!         Residence::<Counter>::construct(call, Plain(Counter(start)))
//!     })],
//!     &[
//!         Method::new("add", |call| {
//!             let more = call.arg::<i64, _>("more")?;
//!             call.exclusive(move |counter: &mut Counter| {
//!                 counter.0 += more;
//!                 Fallible(if counter.0 < 10 { Ok(counter.0) } else { Err("too many") })
//!             })
//!         })
//!         .exclusive(),
//!         Method::new("value", |call| call.shared(|counter: &Counter| Plain(counter.0)))
//!             .threaded()
//!             .concurrency_group("look")
//!             .out_of_order(),
//!     ],
//! )
//! .options(&OPTIONS)
//! .on_start(|call| call.exclusive(|_: &mut Counter| Plain(())))
//! .on_stop(|call| call.exclusive_async(async |_: &mut Counter| Plain(())));
//!
//! fn main() -> rustyray::Result<()> {
//!     rustyray::blocking::init()?;
//!     rustyray::block_on(async {
//!         let new = const { COUNTER.constructor("new") };
//!         let counter: ActorHandle<Counter> =
//!             manual::create(&COUNTER, new, &OPTIONS, |args| args.push::<i64, _>("start", 4)).await?;
//!         let add = const { COUNTER.method("add") };
//!         let sum = counter.call::<i64>(add, |args| args.push::<i64, _>("more", 5)).await?;
//!         assert_eq!(sum.get().await?, 9);
//!         let sum = counter.call::<i64>(add, |args| args.push::<i64, _>("more", 5)).await?;
//!         assert!(sum.get().await.unwrap_err().to_string().ends_with("too many"));
//!         let value = counter.call::<i64>(const { COUNTER.method("value") }, |_| Ok(())).await?;
//!         assert_eq!(value.get().await?, 14);
//!         rustyray::shutdown().await
//!     })
//! }
//! ```
//!
//! Several results, items one by one, and async code:
//!
//! ```
//! use rustyray::manual::{self, Failure, Function, Plain, Several, TaskOptions};
//!
//! #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
//! #[linkme(crate = rustyray::manual::linkme)]
//! static DIGITS: Function = Function::new("docs::digits", concat!(file!(), ":", line!()), |call| {
//!     let number = call.arg::<u64, _>("number")?;
//!     if number > 99 {
//!         return Err(Failure::message("it has more than two"));
//!     }
//!     call.finish(Several((number / 10, number % 10)))
//! });
//!
//! #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
//! #[linkme(crate = rustyray::manual::linkme)]
//! static COUNT: Function = Function::new("docs::count", concat!(file!(), ":", line!()), |call| {
//!     let to = call.arg::<u64, _>("to")?;
//!     call.finish_stream((0..to).map(Plain))
//! });
//!
//! #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
//! #[linkme(crate = rustyray::manual::linkme)]
//! static LATER: Function = Function::new("docs::later", concat!(file!(), ":", line!()), |call| {
//!     call.finish_async(async { Plain(7_u64) })
//! });
//!
//! fn main() -> rustyray::Result<()> {
//!     rustyray::blocking::init()?;
//!     rustyray::block_on(async {
//!         let two = TaskOptions::new().num_returns(2);
//!         let digits = manual::submit_several::<(u64, u64)>(&DIGITS, two, |args| {
//!             args.push::<u64, _>("number", 42)
//!         });
//!         let (tens, ones) = digits.await?;
//!         assert_eq!((tens.get().await?, ones.get().await?), (4, 2));
//!
//!         let options = TaskOptions::new();
//!         let numbers = manual::submit_stream::<u64>(&COUNT, options, |args| {
//!             args.push::<u64, _>("to", 3)
//!         });
//!         assert_eq!(numbers.await?.completed().get().await?, 3);
//!
//!         let later = manual::submit::<u64>(&LATER, options, |_| Ok(())).await?;
//!         assert_eq!(later.get().await?, 7);
//!         rustyray::shutdown().await
//!     })
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
    amount::units,
    args::{ArgWriter, IntoArg, IntoView},
    call::{
        Call, Constructed, Failure, Fallible, FallibleReturn, FallibleSeveral, Finished, IntoCause,
        Outcome, Parameter, Plain, Several, SeveralReturns, returns_match,
    },
    entry::{Exit, run_main, run_test},
    items::{Items, opened, outcomes},
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
