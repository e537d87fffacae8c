//! What `#[rustyray::main]` and `#[rustyray::test]` expand to.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::{ExitCode, Termination},
};

use crate::{
    builder::{Builder, shutdown_blocking},
    error::Report,
    runtime::{background, executor::block_on},
};

/// Starts the runtime, runs `body`, and shuts down in order. An error is printed with its causes, and the
/// exit code is 1.
pub fn run_main<F: Future<Output: Exit<M>>, M>(builder: Builder, body: F) -> ExitCode {
    let started = builder.start_blocking().and_then(|runtime| Ok((runtime, background::handle()?)));
    let tokio = match started {
        Ok((_, tokio)) => tokio,
        Err(error) => {
            eprintln!("{}", Report(&error));
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
/// # Panics
/// When the runtime cannot be started, and when `body` panics.
pub fn run_test<F: Future>(builder: Builder, body: F) -> F::Output {
    if let Err(error) = builder.start_blocking() {
        panic!("the runtime did not start: {}", Report(&error));
    }
    let tokio = background::handle().unwrap_or_else(|error| panic!("{}", Report(&error)));
    let _tokio = tokio.enter();
    let outcome = catch_unwind(AssertUnwindSafe(|| block_on(body)));
    let _ = shutdown_blocking();
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// What `main` may end with. `M` only tells the implementations apart.
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
                eprintln!("{}", Report(&*error.into()));
                ExitCode::FAILURE
            }
        }
    }
}
