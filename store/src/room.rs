//! For how long a thread waits for room in the store.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::Geometry;

thread_local! {
    static WAITS: Cell<bool> = const { Cell::new(true) };
}

/// Runs `put`, in which a put that finds no room fails at once, whatever [`crate::Config::put_timeout`] says: for a
/// thread that others wait for, and that can come back later.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use rustyray_store::{Config, Error, Node, without_waiting};
///
/// # fn main() -> Result<(), Error> {
/// let hour = Duration::from_secs(3600);
/// let node = Node::create(Config {
///     capacity_bytes: 64 << 20,
///     spill_dir: None,
///     put_timeout: hour,
///     ..Config::default()
/// })?;
/// let client = node.client();
/// let large = client.put(&vec![1_u8; 40 << 20])?;
/// let started = Instant::now();
/// let refused = without_waiting(|| client.put(&vec![2_u8; 40 << 20]));
/// assert!(matches!(refused, Err(Error::StoreFull { .. })));
/// assert!(started.elapsed() < hour);
/// # client.release(large);
/// # Ok(())
/// # }
/// ```
pub fn without_waiting<R>(put: impl FnOnce() -> R) -> R {
    struct AsBefore(bool);
    impl Drop for AsBefore {
        fn drop(&mut self) {
            WAITS.set(self.0);
        }
    }
    let _as_before = AsBefore(WAITS.replace(false));
    put()
}

/// Until when this thread waits for room from now on; for ever where that is `None`.
pub(crate) fn wait_until(geometry: &Geometry) -> Option<Instant> {
    let patience = if WAITS.get() { geometry.put_timeout_ms } else { 0 };
    Instant::now().checked_add(Duration::from_millis(patience))
}
