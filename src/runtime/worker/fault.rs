//! Named points at which a test can have a worker killed. Nothing in release builds.
//!
//! `RUSTYRAY_WORKER_KILL_AT=<point>:<passes>` kills each worker with SIGKILL the next time it comes to that point
//! after it has passed it so often. In the order in which a task comes to them:
//!
//! | point | the task was | and is not yet |
//! | --- | --- | --- |
//! | `claimed` | claimed | begun |
//! | `ran` | run, its result sealed if it has one | reported |
//! | `half` | run, the first of several results sealed | sealed as a whole |
//! | `reported` | reported | seen: the node may sleep |

/// Kills this process if that was asked for here.
#[inline]
pub(crate) fn point(_name: &'static str) {
    #[cfg(debug_assertions)]
    if armed::is_at(_name) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    };

    /// The point, and how many times to pass it first.
    static ARMED: LazyLock<Option<(String, AtomicI64)>> = LazyLock::new(|| {
        let value = std::env::var("RUSTYRAY_WORKER_KILL_AT").ok()?;
        let (name, passes) = value.split_once(':').unwrap_or((&value, "0"));
        Some((name.to_owned(), AtomicI64::new(passes.parse().ok()?)))
    });

    pub(super) fn is_at(name: &str) -> bool {
        let Some((at, passes)) = &*ARMED else { return false };
        // Relaxed: a count of passes, nothing hangs on it.
        at == name && passes.fetch_sub(1, Ordering::Relaxed) == 0
    }
}
