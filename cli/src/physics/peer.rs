//! The other process: this executable, started again, with shared memory or a socket as its input.
//!
//! The two share one cache line whose first word says whose turn it is: odd for the peer, even for the
//! one who measures, [`OVER`] for the end. Who has the turn owns the other seven words.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::Pid,
};

use crate::shared::{Words, futex_wait, futex_wake, memfd};

/// Whose turn it is.
pub(super) const TURN: usize = 0;
/// What travels with the turn, in the same line.
pub(super) const PAYLOAD: [usize; 7] = [1, 2, 3, 4, 5, 6, 7];
/// How many messages of the ring are read.
pub(super) const HEAD: usize = 8;
/// Where the ring begins, and how many entries of eight words it has.
pub(super) const RING: usize = 16;
pub(super) const RING_ENTRIES: u64 = 1024;
const LEN_BYTES: usize = (RING + 8 * RING_ENTRIES as usize) * 8;

/// The turn that ends the peer.
pub(super) const OVER: u64 = u64::MAX;

const VARIABLE: &str = "RUSTYRAY_PHYSICS_PEER";

/// How the two wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Spin,
    Futex,
    FutexOneCore,
    Ring,
}

impl Mode {
    const ALL: [(&str, Mode); 4] = [
        ("spin", Mode::Spin),
        ("futex", Mode::Futex),
        ("futex-one-core", Mode::FutexOneCore),
        ("ring", Mode::Ring),
    ];

    fn name(self) -> &'static str {
        Mode::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    /// Waits until `turn` is not `mine` any more; gives what it is, [`OVER`] when the other is `lost`.
    #[inline]
    fn wait(self, turn: &AtomicU64, mine: u64, mut lost: impl FnMut() -> bool) -> u64 {
        let mut looks = 0_u64;
        loop {
            // Acquire: pairs with the other's Release; its payload is there.
            let now = turn.load(Acquire);
            if now != mine {
                return now;
            }
            let mut look = false;
            match self {
                Mode::Spin | Mode::Ring => {
                    std::hint::spin_loop();
                    looks += 1;
                    look = looks.is_multiple_of(1 << 20);
                }
                Mode::Futex | Mode::FutexOneCore => {
                    look |= !futex_wait(turn, mine as u32, Duration::from_secs(1));
                }
            }
            if look && lost() {
                return OVER;
            }
        }
    }

    #[inline]
    fn wake(self, turn: &AtomicU64) {
        match self {
            Mode::Spin | Mode::Ring => {}
            Mode::Futex | Mode::FutexOneCore => futex_wake(turn),
        }
    }
}

/// Becomes the peer of a measurement, and ends the process, if it was started to be one. A program that
/// measures limits calls this first.
pub fn be_the_peer_if_asked() {
    let Some(mode) = env::var_os(VARIABLE) else { return };
    // The one who measures may be killed: nobody would end this process then.
    let _ = set_pdeathsig(Signal::SIGKILL);
    let Ok(input) = io::stdin().as_fd().try_clone_to_owned() else { std::process::exit(2) };
    let outcome = match mode.to_str() {
        Some("socket") => echo(UnixStream::from(input)),
        Some("nothing") => Ok(()),
        Some(name) => match Mode::ALL.iter().find(|(known, _)| *known == name) {
            Some(&(_, mode)) => Words::map(&File::from(input)).map(|words| serve(mode, &words)),
            None => Err(io::Error::other(format!("no peer is called {name}"))),
        },
        None => Err(io::Error::other("no peer is called that")),
    };
    std::process::exit(i32::from(outcome.is_err()));
}

fn serve(mode: Mode, words: &Words) {
    if mode == Mode::Ring {
        return drain(words);
    }
    let turn = words.at(TURN);
    let mut mine = 0;
    loop {
        // The parent's death is this process's, by signal.
        let asked = mode.wait(turn, mine, || false);
        if asked == OVER {
            return;
        }
        if asked.is_multiple_of(2) {
            mine = asked;
            continue;
        }
        for word in PAYLOAD {
            words.at(word).fetch_add(1, Relaxed);
        }
        mine = asked + 1;
        // Release: pairs with the Acquire of the one who measures.
        if turn.compare_exchange(asked, mine, Release, Relaxed).is_err() {
            return;
        }
        mode.wake(turn);
    }
}

/// Reads the messages of the ring until it is over.
fn drain(words: &Words) {
    let mut position = 0_u64;
    loop {
        let entry = RING + 8 * (position % RING_ENTRIES) as usize;
        // Acquire: pairs with the producer's Release; the message is whole.
        while words.at(entry).load(Acquire) != position + 1 {
            // Release: the entries before `position` are read; pairs with the producer's Acquire.
            words.at(HEAD).store(position, Release);
            if words.at(TURN).load(Relaxed) == OVER {
                return;
            }
            std::hint::spin_loop();
        }
        let sum: u64 = (1..8).map(|offset| words.at(entry + offset).load(Relaxed)).sum();
        assert_eq!(sum, 7 * position, "the message is the one that was sent");
        position += 1;
        if position.is_multiple_of(64) {
            words.at(HEAD).store(position, Release);
        }
    }
}

fn echo(mut socket: UnixStream) -> io::Result<()> {
    let mut bytes = [0; 64];
    while socket.read_exact(&mut bytes).is_ok() {
        socket.write_all(&bytes)?;
    }
    Ok(())
}

/// The peer, as the one who measures has it. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
    words: Option<Words>,
}

impl Peer {
    pub(super) fn start(mode: Mode) -> io::Result<Peer> {
        let file = memfd("rustyray-physics", LEN_BYTES)?;
        let words = Words::map(&file)?;
        let child = start(mode.name(), file.into())?;
        Ok(Peer { child, words: Some(words) })
    }

    /// One that sends back what it gets, and the way to it.
    pub(super) fn start_on_socket() -> io::Result<(Peer, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Peer { child: start("socket", theirs.into())?, words: None }, ours))
    }

    /// Starts one that has nothing to do, and waits for its end.
    pub(super) fn start_and_end() -> io::Result<()> {
        start("nothing", File::open("/dev/null")?.into())?.wait().map(drop)
    }

    /// Gives the peer, which waits as `theirs`, its turn, and waits as `ours` for it to pass it back.
    ///
    /// # Panics
    /// When the peer is gone.
    #[inline]
    pub(super) fn pass(&mut self, theirs: Mode, ours: Mode, turn: u64) {
        let Peer { child, words } = self;
        let word = words.as_ref().expect("a peer that was given memory").at(TURN);
        // Release: the payload is there when the peer sees its turn; pairs with its Acquire.
        word.store(turn, Release);
        theirs.wake(word);
        let lost = || !matches!(child.try_wait(), Ok(None));
        assert_eq!(ours.wait(word, turn, lost), turn + 1, "the peer passes the turn back");
    }

    /// Whether the peer has ended.
    pub(super) fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn words(&self) -> &Words {
        self.words.as_ref().expect("a peer that was given memory")
    }

    /// Waits for the end of a peer that knows that it is over.
    pub(super) fn join(&mut self) {
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(words) = &self.words {
            words.at(TURN).store(OVER, Release);
            futex_wake(words.at(TURN));
        }
        self.join();
    }
}

fn start(what: &str, input: OwnedFd) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .env(VARIABLE, what)
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .spawn()
}

/// Keeps this thread, and the processes that it starts, on the core it is on, while it lives.
#[derive(Debug)]
pub(super) struct OneCore(CpuSet);

impl OneCore {
    pub(super) fn pin() -> io::Result<OneCore> {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this)?;
        let core = (0..CpuSet::count()).find(|&core| before.is_set(core).unwrap_or(false));
        let mut one = CpuSet::new();
        one.set(core.unwrap_or(0))?;
        sched_setaffinity(this, &one)?;
        Ok(OneCore(before))
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}
