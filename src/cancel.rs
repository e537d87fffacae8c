//! Cancelling what was submitted.

use crate::{
    error::Result,
    object::ObjectRef,
    runtime::{Link, lines::Cancelled},
    stream::ObjectRefStream,
};

/// How to cancel.
///
/// ```
/// # use rustyray::{Error, prelude::*};
/// #[rustyray::remote]
/// async fn wait_for_ever() {
///     std::future::pending().await
/// }
///
/// #[rustyray::remote]
/// async fn wait_for_that() -> rustyray::Result<()> {
///     wait_for_ever_remote::remote().await?.get().await
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// // An async task can be asked; no worker is killed for it.
/// let waits = wait_for_ever_remote::remote().await?;
/// waits.cancel(CancelOptions::default()).await?;
/// assert!(matches!(waits.get().await, Err(Error::TaskCancelled { .. })));
///
/// // With all that it submitted, which would wait for ever otherwise.
/// let waits = wait_for_that_remote::remote().await?;
/// waits.cancel(CancelOptions { recursive: true, ..CancelOptions::default() }).await?;
/// assert!(matches!(waits.get().await, Err(Error::TaskCancelled { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CancelOptions {
    /// Kill the worker process if the task is running. Without it the code is only asked to stop: an async
    /// task is dropped at its next `await`, a blocking wait of the task ends with an error, and other code
    /// sees [`Context::is_cancelled`](crate::Context::is_cancelled). An actor's process is not killed for a
    /// call.
    pub force: bool,
    /// Cancel what the task or call has submitted as well, and what that has: tasks, and calls of actors. The actors that
    /// it has created live on, and what another has come to submit for it (a thread of its own) is not known as its.
    /// Actors learn of calls that reached them past the node a moment after this has returned. Where `force` kills the
    /// process that made such calls, those that have begun go on, none of the others begins, and all that have not
    /// ended fail as [`Error::ObjectLost`](crate::Error::ObjectLost): nobody is left who knows which calls were the task's.
    pub recursive: bool,
}

impl<T> ObjectRef<T> {
    /// Cancels the task or call that is to make this object, wherever it stands: waiting, queued or running.
    ///
    /// The object fails with [`Error::TaskCancelled`](crate::Error::TaskCancelled) and so does what depends
    /// on it; the task is not run again. What is there already stays: nothing happens then, nor for an object
    /// that was put. What is cancelled besides, by [`CancelOptions::recursive`], fails in the same way but where it
    /// says so.
    ///
    /// The node has acted when this returns. In another process than the node's it blocks this thread for a round trip
    /// to the node. It is done by the first poll, and nothing is left to cancel.
    ///
    /// ```
    /// # use rustyray::prelude::*;
    /// # use rustyray::Error;
    /// #[rustyray::remote]
    /// fn endless() -> u64 {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// # #[rustyray::main]
    /// # async fn main() -> rustyray::Result<()> {
    /// let result = endless_remote::remote().await?;
    /// result.cancel(CancelOptions { force: true, ..CancelOptions::default() }).await?;
    /// assert!(matches!(result.get().await, Err(Error::TaskCancelled { .. })));
    ///
    /// let result = endless_remote::remote().await?;
    /// result.cancel_blocking(CancelOptions { force: true, recursive: true })?;
    /// assert!(matches!(result.get().await, Err(Error::TaskCancelled { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::ShutDown`](crate::Error::ShutDown) or [`Error::NotInitialized`](crate::Error::NotInitialized) when the
    /// runtime is gone.
    pub async fn cancel(&self, options: CancelOptions) -> Result<()> {
        self.cancel_blocking(options)
    }

    /// [`ObjectRef::cancel`], blocking this thread.
    ///
    /// ```
    /// # fn main() -> rustyray::Result<()> {
    /// # use rustyray::CancelOptions;
    /// rustyray::blocking::init()?;
    /// let there = rustyray::blocking::put(&7)?;
    /// there.cancel_blocking(CancelOptions::default())?; // what is there already stays
    /// assert_eq!(there.get_blocking()?, 7);
    /// rustyray::blocking::shutdown()
    /// # }
    /// ```
    /// # Errors
    /// As [`ObjectRef::cancel`].
    pub fn cancel_blocking(&self, options: CancelOptions) -> Result<()> {
        let core = self.core()?;
        core.check_open()?;
        let id = self.object_id();
        match (core.lines.cancel(&core, id), &core.link) {
            (Cancelled::BeforeItBegan, _) => Ok(()),
            (Cancelled::Begun(consumer), _) if options.recursive => {
                core.cancel_calls(&[(consumer, id)], options.force)
            }
            (Cancelled::Begun(consumer), _) => core.interrupt_call(consumer, id),
            (Cancelled::NotHere, Link::Node(node)) => {
                node.cancel(id, options);
                Ok(())
            }
            (Cancelled::NotHere, Link::Uplink(uplink)) => uplink.cancel(id, options),
        }
    }
}

impl<T> ObjectRefStream<T> {
    /// Cancels the task that makes the items. Those that are made can still be consumed; the error is the
    /// last item.
    ///
    /// # Errors
    /// As [`ObjectRef::cancel`].
    pub async fn cancel(&self, options: CancelOptions) -> Result<()> {
        self.completed().cancel(options).await
    }
}
