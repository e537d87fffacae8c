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
    #[cfg(test)]
    death::pass();
}

/// Deaths inside a test's process: a step ends at a point as if the process had been killed there.
#[cfg(test)]
pub(crate) mod death {
    use std::{
        cell::RefCell,
        panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
        sync::Arc,
    };

    use crate::Client;

    struct Killed;

    thread_local! {
        /// Who dies, and how many points it passes before.
        static DOOMED: RefCell<Option<(Arc<Client>, u32)>> = const { RefCell::new(None) };
    }

    /// Takes `step`, a step of `client`, which dies when it has passed so many points; `None` when it did.
    /// What is dropped on the way out does nothing any more.
    pub(crate) fn after<R>(
        client: &Arc<Client>,
        points: u32,
        step: impl FnOnce() -> R,
    ) -> Option<R> {
        DOOMED.set(Some((Arc::clone(client), points)));
        let outcome = catch_unwind(AssertUnwindSafe(step));
        DOOMED.set(None);
        outcome
            .map_err(|why| {
                if why.is::<Killed>() {
                } else {
                    resume_unwind(why)
                }
            })
            .ok()
    }

    /// Runs what is not the doomed one's, which cannot die in it.
    pub(crate) fn spares<R>(step: impl FnOnce() -> R) -> R {
        let doomed = DOOMED.take();
        let result = step();
        DOOMED.set(doomed);
        result
    }

    pub(super) fn pass() {
        let dies = DOOMED.with_borrow_mut(|doomed| match doomed {
            Some((_, 0)) => doomed.take(),
            Some((_, points)) => {
                *points -= 1;
                None
            }
            None => None,
        });
        if let Some((client, _)) = dies {
            client.abandon();
            resume_unwind(Box::new(Killed));
        }
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
