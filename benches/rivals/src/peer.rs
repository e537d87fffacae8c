//! The other process: this executable with `--peer`.

use std::{
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use crate::Outcome;

/// The peer, killed when this is dropped.
pub(crate) struct Peer(Child);

impl Peer {
    pub(crate) fn start(what: &str, name: &str) -> Outcome<Peer> {
        let executable = std::env::current_exe()?;
        Ok(Peer(Command::new(executable).args(["--peer", what, name]).spawn()?))
    }

    /// Waits for the end of a peer that knows that it is over; one that does not is killed.
    pub(crate) fn join(mut self) {
        let start = Instant::now();
        while !self.is_gone() && start.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn dies_with_its_parent() {
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
}

/// Looks until there is something, spinning; fails when `lost` says that nobody is left who could send it.
pub(crate) fn poll<T>(
    mut look: impl FnMut() -> Outcome<Option<T>>,
    mut lost: impl FnMut() -> bool,
) -> Outcome<T> {
    let mut looks = 0_u64;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        looks += 1;
        if looks.is_multiple_of(1 << 20) && lost() {
            return Err("the other process has ended".into());
        }
        std::hint::spin_loop();
    }
}
