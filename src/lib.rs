//! Ray Core for Rust on one machine: tasks and actors in worker processes, and an object store in shared
//! memory that they read without copying.
//!
//! ```
//! use rustyray::prelude::*;
//!
//! #[rustyray::remote]
//! fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! #[rustyray::main]
//! async fn main() -> rustyray::Result<()> {
//!     let x = add_remote::remote(1, 2).await?; // a reference, at once
//!     let y = add_remote::remote(&x, 10).await?; // the task waits for its argument
//!     assert_eq!(y.get().await?, 13);
//!     Ok(())
//! }
//! ```
//!
//! A worker is this very executable, started again; it never reaches `main`. What a program does in static
//! initialisers it does in every worker.
//!
//! Linux only: the runtime rests on memfd, futex, pidfd and SCM_RIGHTS.

#![warn(clippy::print_stderr, clippy::print_stdout)]

extern crate self as rustyray;

mod actor;
#[doc = include_str!("../docs/actors.md")]
pub mod actors {}
mod amount;
mod api;
mod args;
pub mod blocking;
mod builder;
mod call;
mod cancel;
mod contained;
mod context;
pub mod death;
mod entry;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod items;
mod local_lock;
pub mod manual;
mod notice;
mod object;
mod options;
mod placement;
mod progress;
mod refused;
mod registry;
mod residence;
mod runtime;
mod spec;
pub mod state;
mod stream;
mod submit;
#[cfg(feature = "opentelemetry")]
pub mod telemetry;
mod terminal;
mod type_name;
mod value;
mod wait;

pub use bytes::Bytes;
pub use rkyv;
pub use rustyray_macros::{actor, actor_methods, main, remote, test};
#[cfg(feature = "ndarray")]
pub use rustyray_store::PinnedArray;
#[cfg(feature = "arrow")]
pub use rustyray_store::{ArchivedBatch, Batch};
pub use rustyray_store::{Native, ObjectId};

pub use crate::{
    actor::ActorHandle,
    amount::Amount,
    api::{ObjectWriter, create, exit_actor, get_all, put, put_bytes},
    builder::{Builder, Runtime, connect, init, shutdown},
    cancel::CancelOptions,
    context::{Context, Resources, context},
    death::{ActorEnd, Death},
    error::{Cause, Error, Result},
    object::{ArchivedObjectRef, Get, GetOwned, ObjectRef, View},
    placement::{Bundle, PlacementGroup, PlacementGroupOptions, PlacementStrategy},
    progress::progress,
    refused::Refused,
    runtime::{EnterGuard, executor::block_on},
    stream::{BlockingItems, ObjectRefStream},
    value::Value,
    wait::{References, wait},
};

pub(crate) use crate::notice::{notice, notice_aside};

/// The guide's pages, whose code is compiled and run.
#[cfg(doctest)]
mod guide {
    macro_rules! pages {
        ($($page:ident = $path:literal;)*) => {$(
            #[doc = include_str!($path)]
            mod $page {}
        )*};
    }
    pages! {
        readme = "../README.md";
        objects = "../docs/guide/objects.md";
        tasks = "../docs/guide/tasks.md";
        actors = "../docs/guide/actors.md";
        failures = "../docs/guide/failures.md";
        performance = "../docs/guide/performance.md";
        observing = "../docs/guide/observing.md";
        from_ray = "../docs/guide/from-ray.md";
        limits = "../docs/guide/limits.md";
    }
}

/// What a program needs: `use rustyray::prelude::*`.
pub mod prelude {
    pub use rustyray_store::Native as _;

    #[doc(hidden)]
    pub use crate::manual::WithPrelude as _;
    pub use crate::{Bytes, CancelOptions, Error, ObjectRef, ObjectRefStream, View};
}
