//! The same for programs without async: each function blocks its thread as long as it takes.
//!
//! Where async code calls one, the thread polls nothing else meanwhile. A future of the rest of the API is run by
//! [`rustyray::block_on`](crate::block_on).
//!
//! ```
//! use rustyray::blocking;
//!
//! #[rustyray::remote]
//! fn double(number: u64) -> u64 {
//!     2 * number
//! }
//!
//! fn main() -> rustyray::Result<()> {
//!     let runtime = blocking::init()?;
//!     let four = blocking::put(&4_u64)?;
//!     let eight = rustyray::block_on(double_remote::remote(&four))?;
//!     assert_eq!(blocking::get(&eight)?, 8);
//!
//!     let both = [four, eight];
//!     assert_eq!(blocking::get_all(&both)?, [4, 8]);
//!     let (ready, pending): blocking::Waited<u64> = blocking::wait(&both, 2, None)?;
//!     assert_eq!((ready.len(), pending.len()), (2, 0));
//!
//!     // Another program attaches to the node by its socket, or by "auto".
//!     let socket = runtime.socket().expect("it can be found").to_owned();
//!     let attached = std::thread::spawn(move || {
//!         blocking::connect(socket)?;
//!         let number = blocking::get(&blocking::put(&7)?)?;
//!         blocking::shutdown()?;
//!         Ok::<_, rustyray::Error>(number)
//!     });
//!     assert_eq!(attached.join().expect("no panic")?, 7);
//!     blocking::shutdown()
//! }
//! ```

use std::{path::Path, time::Duration};

use crate::{
    builder::Runtime, error::Result, object::ObjectRef, runtime::executor::block_on, value::Value,
    wait::References,
};

/// [`crate::init`], blocking.
///
/// # Errors
/// As [`crate::init`].
pub fn init() -> Result<Runtime> {
    crate::Builder::new().start_blocking()
}

/// [`crate::connect`], blocking.
///
/// # Errors
/// As [`crate::connect`].
pub fn connect(path: impl AsRef<Path>) -> Result<Runtime> {
    crate::builder::connect_blocking(path.as_ref())
}

/// [`crate::put`], blocking.
///
/// # Errors
/// As [`crate::put`].
#[track_caller]
pub fn put<T: Value>(value: &T) -> Result<ObjectRef<T>> {
    crate::api::put_now(value, std::panic::Location::caller())
}

/// [`ObjectRef::get`], blocking.
///
/// # Errors
/// As [`ObjectRef::get`].
pub fn get<T: Value>(reference: &ObjectRef<T>) -> Result<T> {
    reference.get_blocking()
}

/// [`crate::get_all`], blocking.
///
/// # Errors
/// As [`crate::get_all`].
pub fn get_all<T: Value>(references: &[ObjectRef<T>]) -> Result<Vec<T>> {
    references.iter().map(ObjectRef::get_blocking).collect()
}

/// The references that are settled and those that are left, as [`crate::wait`] gives them.
pub type Waited<T> = (Vec<ObjectRef<T>>, Vec<ObjectRef<T>>);

/// [`crate::wait`], blocking.
///
/// # Errors
/// As [`crate::wait`].
pub fn wait<T>(
    references: impl References<T>,
    num_returns: usize,
    timeout: Option<Duration>,
) -> Result<Waited<T>> {
    block_on(crate::wait(references, num_returns, timeout))
}

/// [`crate::shutdown`], blocking.
///
/// # Errors
/// As [`crate::shutdown`].
pub fn shutdown() -> Result<()> {
    crate::builder::shutdown_blocking()
}
