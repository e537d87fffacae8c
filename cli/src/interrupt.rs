//! Ctrl-C as a way to say that it is enough.

use std::{
    io, process,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Hears of the first Ctrl-C. One more, or one that nobody waits for any more, ends this process as it always does.
#[derive(Debug)]
pub(crate) struct Interrupt(Receiver<()>);

impl Interrupt {
    /// Listens from here on. Where that is impossible Ctrl-C ends the process at once, as without all this.
    pub(crate) fn listen() -> Interrupt {
        let (tells, hears) = mpsc::channel();
        let spawned =
            thread::Builder::new().name("interrupts".into()).spawn(move || listen(&tells));
        if spawned.is_ok() {
            // It listens, or has given up.
            let _ = hears.recv();
        }
        Interrupt(hears)
    }

    /// Waits for that long, or until it is interrupted.
    pub(crate) fn wait(self, longest: Duration) {
        if self.0.recv_timeout(longest) == Err(RecvTimeoutError::Disconnected) {
            thread::sleep(longest);
        }
    }
}

/// Says that it listens, and then that it was interrupted.
fn listen(tells: &Sender<()>) -> io::Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let _ = tells.send(());
        interrupts.recv().await;
        if tells.send(()).is_ok() {
            interrupts.recv().await;
        }
        process::exit(INTERRUPTED)
    })
}
