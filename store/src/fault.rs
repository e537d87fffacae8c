//! Named points at which a test can have the process killed, or an operation fail. Nothing in release
//! builds.

use std::io;

/// Kills this process with SIGKILL if `RUSTYRAY_STORE_KILL_AT` names this point.
#[inline]
pub(crate) fn point(_name: &'static str) {
    #[cfg(debug_assertions)]
    if armed::KILL.is_at(_name) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Fails with ENOMEM, once, if `RUSTYRAY_STORE_FAIL_AT` names this point.
///
/// # Errors
/// See above.
#[inline]
pub(crate) fn fail(_name: &'static str) -> io::Result<()> {
    #[cfg(debug_assertions)]
    if armed::FAIL.is_at(_name) {
        return Err(nix::errno::Errno::ENOMEM.into());
    }
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    };

    /// A point, and how many times to pass it first: `name` or `name:3`.
    pub(super) struct Armed(Option<(String, AtomicI64)>);

    pub(super) static KILL: LazyLock<Armed> = LazyLock::new(|| Armed::by("RUSTYRAY_STORE_KILL_AT"));
    pub(super) static FAIL: LazyLock<Armed> = LazyLock::new(|| Armed::by("RUSTYRAY_STORE_FAIL_AT"));

    impl Armed {
        fn by(variable: &str) -> Self {
            let Ok(value) = std::env::var(variable) else { return Armed(None) };
            let (name, passes) = value.split_once(':').unwrap_or((&value, "0"));
            Armed(passes.parse().ok().map(|passes| (name.to_owned(), AtomicI64::new(passes))))
        }

        /// Whether this is the time; once in the life of the process.
        pub(super) fn is_at(&self, name: &str) -> bool {
            let Some((at, passes)) = &self.0 else { return false };
            // Relaxed: a count of passes, nothing hangs on it.
            at == name && passes.fetch_sub(1, Ordering::Relaxed) == 0
        }
    }
}
