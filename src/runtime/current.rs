//! Which runtime a free function such as [`crate::put`] means.
//!
//! Several runtimes may live side by side in one process, as when tests run in parallel. The one that is
//! meant is, in this order: the one this thread entered or started; the one started within the tokio
//! runtime that this thread belongs to; the only one there is. Anything else is an error that says so. A
//! thread whose runtime was shut down has none until it starts another: it never falls back on one that
//! somebody else started.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::RwLock;

use super::{Core, background, foreground};
use crate::error::{Error, Result};

thread_local! {
    static CURRENT: RefCell<Own> = const { RefCell::new(Own::None) };
}

/// What a thread knows of a runtime of its own.
#[derive(Clone, Debug)]
enum Own {
    /// It never had one.
    None,
    /// It started or entered this one.
    Runtime(Arc<Core>),
    /// It had one, which was shut down.
    Ended,
}

impl Own {
    fn live(&self) -> Option<&Arc<Core>> {
        match self {
            Own::Runtime(core) if !core.is_closed() => Some(core),
            _ => None,
        }
    }
}

/// Tells the runtimes that this process has had from each other. What a reference to an object carries instead
/// of the runtime itself: copying it counts nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u32);

impl Key {
    /// The key of a new runtime. They come round after four billion.
    pub(crate) fn new() -> Key {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: all that matters is that no two get the same.
        Key(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

struct Entry {
    core: Arc<Core>,
    tokio: Option<tokio::runtime::Id>,
}

static RUNTIMES: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

/// The tokio runtime of the user's that this thread belongs to.
fn tokio_id() -> Option<tokio::runtime::Id> {
    let id = tokio::runtime::Handle::try_current().ok().map(|handle| handle.id());
    id.filter(|&id| !background::is(id) && !foreground::is(id))
}

/// Runs `f` on the runtime that is meant here.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Arc<Core>) -> R) -> Result<R> {
    // The borrow ends before `f` runs user code that might enter another runtime.
    let core = CURRENT.with(|current| current.borrow().live().map(Arc::clone));
    match core {
        Some(core) => Ok(f(&core)),
        None => Ok(f(&find()?)),
    }
}

/// The same for an `f` that runs no user code, which spares it the counting.
#[inline]
pub(crate) fn peek<R>(f: impl FnOnce(&Arc<Core>) -> R) -> Result<R> {
    let mut f = Some(f);
    let near = CURRENT.with(|current| {
        let current = current.borrow();
        current.live().and_then(|core| f.take().map(|f| f(core)))
    });
    match (near, f) {
        (None, Some(f)) => Ok(f(&find()?)),
        (Some(result), _) => Ok(result),
        (None, None) => unreachable!("what was run gave a result"),
    }
}

/// The runtime that is meant here.
pub(crate) fn get() -> Result<Arc<Core>> {
    with(Arc::clone)
}

/// Runs `f`, which must not run user code, on the runtime with this key: `None` once it was shut down.
///
/// On a thread that started or entered that runtime this takes no lock and counts nothing.
#[inline]
pub(crate) fn of<R>(key: Key, f: impl FnOnce(&Arc<Core>) -> R) -> Option<R> {
    let mut f = Some(f);
    let near = CURRENT.try_with(|current| match &*current.try_borrow().ok()? {
        Own::Runtime(core) if core.key() == key => f.take().map(|f| f(core)),
        _ => None,
    });
    match (near, f) {
        (Ok(Some(result)), _) => Some(result),
        (_, Some(f)) => far(key).map(|core| f(&core)),
        (_, None) => None,
    }
}

/// The runtime with this key, from wherever.
#[cold]
fn far(key: Key) -> Option<Arc<Core>> {
    let runtimes = RUNTIMES.read();
    runtimes.iter().find(|entry| entry.core.key() == key).map(|entry| Arc::clone(&entry.core))
}

#[cold]
fn find() -> Result<Arc<Core>> {
    let runtimes = RUNTIMES.read();
    let mut live = runtimes.iter().filter(|entry| !entry.core.is_closed());
    let found = if let Some(id) = tokio_id()
        && let Some(entry) = live.clone().find(|entry| entry.tokio == Some(id))
    {
        Ok(Arc::clone(&entry.core))
    } else if let Some(gone) = lost(&runtimes) {
        return Err(gone);
    } else if CURRENT.with(|current| !matches!(*current.borrow(), Own::None)) {
        Err("the runtime of this thread was shut down".to_owned())
    } else {
        match (live.next(), live.count()) {
            (Some(entry), 0) => Ok(Arc::clone(&entry.core)),
            (None, _) => Err("no runtime is running in this process".to_owned()),
            (Some(_), others) => Err(format!(
                "{} runtimes run in this process, and none was started or entered on this thread",
                others + 1
            )),
        }
    };
    found.map_err(|what| Error::NotInitialized { what })
}

/// The error of what would mean a runtime of this thread, or of its tokio runtime, whose node has ended.
fn lost(runtimes: &[Entry]) -> Option<Error> {
    let own = CURRENT.with(|current| match &*current.borrow() {
        Own::Runtime(core) => core.gone(),
        _ => None,
    });
    own.or_else(|| {
        let id = tokio_id()?;
        runtimes.iter().filter(|entry| entry.tokio == Some(id)).find_map(|entry| entry.core.gone())
    })
}

/// Makes `core` the runtime of this thread and of the tokio runtime it belongs to.
pub(crate) fn register(core: &Arc<Core>) {
    RUNTIMES.write().push(Entry { core: Arc::clone(core), tokio: tokio_id() });
    // What was there before ends outside the borrow: it may have been the last share of another runtime.
    drop(CURRENT.with(|current| current.replace(Own::Runtime(Arc::clone(core)))));
}

/// Forgets `core`, everywhere but on threads that entered it; there it counts as closed.
pub(crate) fn unregister(core: &Arc<Core>) {
    // The caller's own share of `core` outlives this, so that no other is the last: ending a runtime drops
    // references, which look for it here.
    RUNTIMES.write().retain(|entry| !Arc::ptr_eq(&entry.core, core));
    CURRENT.with(|current| {
        let mut current = current.borrow_mut();
        if matches!(&*current, Own::Runtime(own) if Arc::ptr_eq(own, core)) {
            *current = Own::Ended;
        }
    });
}

/// Whether this thread or its tokio runtime already has a runtime of its own.
pub(crate) fn is_taken() -> bool {
    let here = CURRENT.with(|current| current.borrow().live().is_some());
    here || tokio_id().is_some_and(|id| {
        RUNTIMES.read().iter().any(|entry| entry.tokio == Some(id) && !entry.core.is_closed())
    })
}

/// While it lives, the runtime that this thread means is the one it was made for.
///
/// ```
/// use rustyray::{Builder, Runtime, blocking, block_on};
///
/// # fn main() -> rustyray::Result<()> {
/// // Two runtimes of one process, each started on a thread of its own.
/// let start = || std::thread::spawn(|| block_on(Builder::new().num_cpus(1.0).start()));
/// let (one, other) = (start().join().expect("no panic")?, start().join().expect("no panic")?);
///
/// let here = one.enter();
/// let number = blocking::put(&7)?;
/// {
///     let _there = other.enter();
///     assert_eq!(Runtime::current()?.socket(), other.socket());
/// }
/// // The guard is gone, and the thread means what it meant before.
/// assert_eq!(Runtime::current()?.socket(), one.socket());
/// assert_eq!(number.get_blocking()?, 7);
/// drop(here);
/// # block_on(one.shutdown())?;
/// # block_on(other.shutdown())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the runtime is left when the guard is dropped"]
pub struct EnterGuard {
    previous: Own,
    /// A guard is dropped on the thread that made it.
    not_send: std::marker::PhantomData<*const ()>,
}

/// Makes `core` this thread's runtime until the guard is dropped.
pub(crate) fn enter(core: &Arc<Core>) -> EnterGuard {
    let previous = CURRENT.with(|current| current.replace(Own::Runtime(Arc::clone(core))));
    EnterGuard { previous, not_send: std::marker::PhantomData }
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        let previous = std::mem::replace(&mut self.previous, Own::None);
        // A thread that is ending has no current runtime left to restore.
        let _ = CURRENT.try_with(|current| current.replace(previous));
    }
}
