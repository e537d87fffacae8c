//! Named points at which a test can have the process killed. Nothing in release builds.

/// Kills this process with SIGKILL if `RUSTYRAY_STORE_KILL_AT` names this point.
#[inline]
pub(crate) fn point(_name: &'static str) {
    #[cfg(debug_assertions)]
    armed::point(_name);
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    /// The point, and how many times to pass it first: `name` or `name:3`.
    static ARMED: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();

    pub(super) fn point(name: &str) {
        let armed = ARMED.get_or_init(|| {
            let value = std::env::var("RUSTYRAY_STORE_KILL_AT").ok()?;
            let (name, passes) = value.split_once(':').unwrap_or((&value, "0"));
            Some((name.to_owned(), AtomicU32::new(passes.parse().ok()?)))
        });
        let Some((at, passes)) = armed else { return };
        // Relaxed: a count of passes, nothing hangs on it.
        if at == name
            && passes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_err()
        {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }
}
