//! What `#[rustyray::main]` and `#[rustyray::test]` expand to.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::{ExitCode, Termination},
};

use crate::{
    builder::{Builder, shutdown_blocking},
    error::Report,
    runtime::{executor::block_on, foreground},
};

/// Starts the runtime, runs `body`, and shuts down in order. An error is printed with its causes, and the
/// exit code is 1.
///
/// ```
/// use std::process::ExitCode;
///
/// use rustyray::{Builder, manual::run_main};
///
/// // What `#[rustyray::main]` cannot say: options that are known when the program runs.
/// fn main() -> ExitCode {
///     let cpus = std::env::var("DOCS_CPUS").ok().and_then(|cpus| cpus.parse().ok()).unwrap_or(1.0);
///     let code = run_main(Builder::new().num_cpus(cpus), async {
///         assert_eq!(rustyray::put(&7).await?.get().await?, 7);
///         Ok::<(), rustyray::Error>(())
///     });
///     assert!(rustyray::Runtime::current().is_err()); // it has shut down
///     code
/// }
/// ```
pub fn run_main<F: Future<Output: Exit<M>>, M>(builder: Builder, body: F) -> ExitCode {
    let started = builder.start_blocking().and_then(|runtime| Ok((runtime, foreground::handle()?)));
    let tokio = match started {
        Ok((_, tokio)) => tokio,
        Err(error) => {
            crate::notice!("{}", Report(&error));
            return ExitCode::FAILURE;
        }
    };
    let _tokio = tokio.enter();
    let outcome = catch_unwind(AssertUnwindSafe(|| block_on(body)));
    let _ = shutdown_blocking();
    match outcome {
        Ok(output) => output.exit(),
        Err(panic) => resume_unwind(panic),
    }
}

/// Starts the runtime, runs `body`, and shuts down, also when it panics; the panic goes on.
///
/// ```
/// use std::panic::catch_unwind;
///
/// use rustyray::{Builder, manual::run_test};
///
/// # fn main() {
/// let small = || Builder::new().num_cpus(1.0).visible(false);
/// let seven = run_test(small(), async { rustyray::put(&7).await?.get().await });
/// assert_eq!(seven, Ok(7));
///
/// // A test that fails leaves no runtime behind.
/// assert!(catch_unwind(|| run_test(small(), async { panic!("it does not hold") })).is_err());
/// assert!(rustyray::Runtime::current().is_err());
/// # }
/// ```
///
/// # Panics
/// When the runtime cannot be started, and when `body` panics.
pub fn run_test<F: Future>(builder: Builder, body: F) -> F::Output {
    if let Err(error) = builder.start_blocking() {
        panic!("the runtime did not start: {}", Report(&error));
    }
    let tokio = foreground::handle().unwrap_or_else(|error| panic!("{}", Report(&error)));
    let _tokio = tokio.enter();
    let outcome = catch_unwind(AssertUnwindSafe(|| block_on(body)));
    let _ = shutdown_blocking();
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// What `main` may end with. `M` only tells the implementations apart.
///
/// ```
/// use std::process::ExitCode;
///
/// use rustyray::{Builder, manual::{Exit, run_main}};
///
/// # fn main() {
/// // Nothing, an exit code, or a `Result` with any error: as `main` may.
/// fn code<E: Exit<M>, M>(ends_with: E) -> ExitCode {
///     run_main(Builder::new().num_cpus(1.0), async { ends_with })
/// }
/// assert_eq!(code(()), ExitCode::SUCCESS);
/// assert_eq!(code(ExitCode::from(3)), ExitCode::from(3));
/// assert_eq!(code(Err::<(), _>("it is printed")), ExitCode::FAILURE);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`main` cannot end with `{Self}`",
    label = "expected `()`, `ExitCode`, or a `Result` whose error implements `std::error::Error`"
)]
pub trait Exit<M> {
    /// The exit code; an error is printed first.
    #[doc(hidden)]
    fn exit(self) -> ExitCode;
}

/// `main` ends with something that the standard library takes, other than a `Result`.
#[derive(Debug)]
pub enum Plainly {}
/// `main` ends with a `Result`.
#[derive(Debug)]
pub enum Fallibly {}

impl Exit<Plainly> for () {
    fn exit(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl Exit<Plainly> for ExitCode {
    fn exit(self) -> ExitCode {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T: Termination, E: Into<Box<dyn std::error::Error>>> Exit<Fallibly> for Result<T, E> {
    fn exit(self) -> ExitCode {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                crate::notice!("{}", Report(&*error.into()));
                ExitCode::FAILURE
            }
        }
    }
}
