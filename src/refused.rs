//! Calls that are not made give their arguments back.

use std::{error, fmt};

use crate::error::Error;

/// A call that was not made, and what it was given: what the `try_…` methods of a handle return as an error.
///
/// ```
/// # use rustyray::prelude::*;
/// # #[rustyray::actor(max_pending_calls = 2)]
/// # struct Sink;
/// # #[rustyray::actor_methods]
/// # impl Sink {
/// #     pub fn new() -> Self { Sink }
/// #     pub fn take(&mut self, chunk: Vec<u8>) -> usize { chunk.len() }
/// # }
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// # let sink = Sink::remote().await?;
/// let mut chunk = vec![7; 1 << 16];
/// let size = loop {
///     match sink.try_take(chunk).await {
///         Ok(size) => break size,
///         Err(refused) => {
///             println!("{refused}");
///             chunk = refused.arguments;
///             sink.room().await?;
///         }
///     }
/// };
/// # assert_eq!(size.get().await?, 1 << 16);
/// # Ok(())
/// # }
/// ```
///
/// `?` makes an [`Error`] of it, and drops the arguments.
pub struct Refused<A> {
    /// Why it was not made.
    pub error: Error,
    /// What was to be passed: the argument where the method takes one, otherwise a tuple of them.
    pub arguments: A,
}

impl<A> fmt::Debug for Refused<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<A> fmt::Display for Refused<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<A> error::Error for Refused<A> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.error.source()
    }
}

impl<A> From<Refused<A>> for Error {
    fn from(refused: Refused<A>) -> Error {
        refused.error
    }
}
