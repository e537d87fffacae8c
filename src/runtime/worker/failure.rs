//! Failures of user code: a panic is caught and kept, an error gets the name of what failed.

use std::{
    any::{Any, TypeId},
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    process,
    task::{Context, Poll},
};

use super::forked::end_if_forked;
use crate::{
    call::{Failure, FailureKind, Rest},
    contained, context,
    error::Error,
    runtime::Core,
};

/// What is said of a panic that came with no text.
const NO_MESSAGE: &str = "a value that is no message";

/// What the hook was told of a panic.
struct Said {
    message: String,
    location: String,
    /// Of what it came with.
    payload: TypeId,
}

thread_local! {
    /// The last panic that began on this thread. Its code may have caught it.
    static PANIC: RefCell<Option<Said>> = const { RefCell::new(None) };
}

/// Keeps where and why user code panics, and says so.
pub(super) fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or(NO_MESSAGE).to_owned();
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        // A thread that is ending has nothing to report to.
        let _ = PANIC.try_with(|slot| {
            // Here it is certain which task it is.
            let name =
                context::running_name().map_or_else(String::new, |name| format!("`{name}` "));
            crate::notice!("{name}panicked at {location}: {message}");
            let payload = panic.payload().type_id();
            *slot.borrow_mut() = Some(Said { message, location, payload });
        });
    }));
}

impl Failure {
    /// The public error of a failed call.
    pub(crate) fn into_error(self, task: &str, attempt: u16) -> Error {
        let (task, worker, attempt) = (task.to_owned(), process::id(), u32::from(attempt));
        match self.into_kind() {
            FailureKind::Returned { message, cause } => {
                Error::TaskFailed { task, worker, attempt, message, cause }
            }
            FailureKind::Panicked { message, location } => {
                Error::TaskPanicked { task, worker, attempt, message, location }
            }
            FailureKind::Runtime(
                error @ (Error::FunctionNotFound { .. }
                | Error::TypeMismatch { .. }
                | Error::ObjectStoreFull { .. }),
            ) => error,
            FailureKind::Runtime(error) => Error::TaskFailed {
                task,
                worker,
                attempt,
                message: error.to_string(),
                cause: std::error::Error::source(&error).map(crate::error::Cause::chain),
            },
            FailureKind::Downstream(error) => error,
            FailureKind::Late | FailureKind::Cancelled => Error::TaskCancelled { task },
            FailureKind::TimedOut { timeout_ms } => {
                Error::TaskTimedOut { task, timeout_ms: u64::from(timeout_ms) }
            }
        }
    }
}

/// Runs user code: a panic becomes a failure, and a process that was forked off in it ends.
pub(super) fn guarded<R>(
    core: &Core,
    code: impl FnOnce() -> Result<R, Failure>,
) -> Result<R, Failure> {
    caught(core, code).unwrap_or_else(Err)
}

/// Runs the polls of what is left of a call, each as [`guarded`].
pub(super) async fn guarded_rest<T>(core: &Core, mut rest: Rest<T>) -> Result<T, Failure> {
    std::future::poll_fn(move |context| poll_guarded(core, &mut rest, context)).await
}

/// Polls what is left of a call once, as [`guarded`].
pub(super) fn poll_guarded<T>(
    core: &Core,
    rest: &mut Rest<T>,
    context: &mut Context<'_>,
) -> Poll<Result<T, Failure>> {
    caught(core, || Pin::new(rest).poll(context))
        .unwrap_or_else(|panicked| Poll::Ready(Err(panicked)))
}

/// The one way into user code, and the one way out of it.
fn caught<R>(core: &Core, code: impl FnOnce() -> R) -> Result<R, Failure> {
    let outcome = catch_unwind(AssertUnwindSafe(code));
    end_if_forked(core);
    outcome.map_err(panicked)
}

/// The failure of code that panicked with this. What the hook was told is of another panic where the code goes on with
/// one of another thread, or exchanged the hook.
#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Failure {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or(NO_MESSAGE).to_owned();
    let of_this = |said: &Said| said.message == message && said.payload == (*payload).type_id();
    let said = PANIC.take().filter(of_this);
    let location = said.map_or_else(|| "an unknown place".to_owned(), |said| said.location);
    contained::discard(payload);
    Failure::of(FailureKind::Panicked { message, location })
}
