//! One thread that uses the runtime in every way at random, and knows what must come of it.

use std::{fmt::Debug, path::PathBuf, time::Duration};

use rustyray::prelude::*;

use crate::{count::Count, work::*};

/// Longer than anything takes that is not stuck, on a machine that is busy.
const STUCK: Duration = Duration::from_secs(120);

/// An invariant does not hold.
#[derive(Debug)]
pub struct Violation(pub String);

impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        Violation(format!("an error that nothing explains: {error} ({error:?})"))
    }
}

macro_rules! check {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(Violation(format!($($what)+)));
        }
    };
}

/// A result that was acknowledged: it must be there, unchanged, as long as the reference is.
enum Kept {
    Put(ObjectRef<Bytes>),
    Made(ObjectRef<Vec<u8>>),
}

struct Keepsake {
    seed: u64,
    len: usize,
    kept: Kept,
}

/// A value of which a view is held, with its digest.
struct Window {
    view: Bytes,
    digest: u64,
}

/// An actor and what is known of its state.
struct Account<H> {
    handle: H,
    pid: u32,
    entries: u64,
    sum: u64,
}

/// What the player holds at most.
const KEEPSAKES_BYTES: usize = 48 << 20;
const WINDOWS_BYTES: usize = 8 << 20;
const ACCOUNTS: usize = 2;

/// The random numbers of one step. They follow from the seed and the step's number and from nothing else, so
/// that what came of the steps before, and how fast, does not change what this one sets out to do.
pub fn dice(seed: u64, step: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What a step is about.
#[derive(Copy, Clone, Debug)]
pub enum Act {
    Put,
    Make,
    LookAgain,
    Examine,
    Nest,
    Tree,
    Mark,
    Fail,
    Ledger,
    Phoenix,
    Wait,
    OpenWindow,
}

impl Act {
    pub fn choose(dice: &mut fastrand::Rng) -> Act {
        match dice.u32(0..100) {
            0..20 => Act::Put,
            20..30 => Act::Make,
            30..45 => Act::LookAgain,
            45..55 => Act::Examine,
            55..62 => Act::Nest,
            62..66 => Act::Tree,
            66..76 => Act::Mark,
            76..80 => Act::Fail,
            80..86 => Act::Ledger,
            86..92 => Act::Phoenix,
            92..96 => Act::Wait,
            _ => Act::OpenWindow,
        }
    }
}

/// One thread's part.
pub struct Player {
    seed: u64,
    rng: fastrand::Rng,
    count: Count,
    marks: PathBuf,
    number: u64,
    keepsakes: Vec<Keepsake>,
    windows: Vec<Window>,
    ledgers: Vec<Account<LedgerHandle>>,
    phoenixes: Vec<Account<PhoenixHandle>>,
}

impl Player {
    /// A player whose steps follow from `seed`; tasks leave their marks under `marks`.
    pub fn new(seed: u64, count: Count, marks: PathBuf) -> Player {
        Player {
            seed,
            rng: dice(seed, 0),
            count,
            marks,
            number: 0,
            keepsakes: Vec::new(),
            windows: Vec::new(),
            ledgers: Vec::new(),
            phoenixes: Vec::new(),
        }
    }

    /// Plays until it is over, then lets go of everything.
    pub fn play(mut self) -> Result<(), Violation> {
        let mut number = 0;
        while !self.count.is_over() {
            self.rng = dice(self.seed, number);
            self.number = (self.seed << 36) + (number << 6);
            let act = Act::choose(&mut self.rng);
            let outcome = rustyray::block_on(self.step(act));
            outcome
                .map_err(|Violation(what)| Violation(format!("step {number} ({act:?}): {what}")))?;
            number += 1;
        }
        self.windows.drain(..).try_for_each(Window::close)?;
        rustyray::block_on(async {
            while let Some(keepsake) = self.keepsakes.pop() {
                keepsake.check().await?;
            }
            Ok(())
        })
    }

    async fn step(&mut self, act: Act) -> Result<(), Violation> {
        match act {
            Act::Put => self.put().await,
            Act::Make => self.make().await,
            Act::LookAgain => self.look_again().await,
            Act::Examine => self.examine().await,
            Act::Nest => self.nest().await,
            Act::Tree => self.tree().await,
            Act::Mark => self.mark().await,
            Act::Fail => self.fail().await,
            Act::Ledger => self.ledger().await,
            Act::Phoenix => self.phoenix().await,
            Act::Wait => self.wait().await,
            Act::OpenWindow => self.open_window().await,
        }
    }

    /// A number of its own, for a value or a file: from here on it is known by that.
    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Mostly small, sometimes large.
    fn len(&mut self) -> usize {
        match self.rng.u32(0..100) {
            0..10 => self.rng.usize(0..16),
            10..75 => self.rng.usize(0..4096),
            75..95 => self.rng.usize(0..200_000),
            _ => self.rng.usize(0..4_000_000),
        }
    }

    fn keep(&mut self, seed: u64, len: usize, kept: Kept) {
        self.keepsakes.push(Keepsake { seed, len, kept });
        while self.keepsakes.iter().map(|keepsake| keepsake.len).sum::<usize>() > KEEPSAKES_BYTES
            || self.keepsakes.len() > 2000
        {
            let at = self.rng.usize(..self.keepsakes.len());
            self.keepsakes.swap_remove(at);
        }
    }

    fn any_put(&mut self) -> Option<(u64, usize, ObjectRef<Bytes>)> {
        let start = self.rng.usize(..self.keepsakes.len().max(1));
        let around = self.keepsakes.iter().cycle().skip(start).take(self.keepsakes.len());
        around.into_iter().find_map(|keepsake| match &keepsake.kept {
            Kept::Put(reference) => Some((keepsake.seed, keepsake.len, reference.clone())),
            Kept::Made(_) => None,
        })
    }

    // --- objects -----------------------------------------------------------------------------------------

    async fn put(&mut self) -> Result<(), Violation> {
        let (seed, len) = (self.next_number(), self.len());
        let bytes = pattern(seed, len);
        let reference = if self.rng.bool() {
            rustyray::put_bytes(&bytes).await?
        } else {
            let mut writer = rustyray::create(len).await?;
            if self.rng.u32(0..8) == 0 {
                return Ok(()); // dropped unsealed
            }
            writer.copy_from_slice(&bytes);
            writer.seal()?
        };
        check!(reference.is_ready(), "what was put is not ready");
        self.keep(seed, len, Kept::Put(reference));
        self.count.one("objects put");
        Ok(())
    }

    async fn make(&mut self) -> Result<(), Violation> {
        let (seed, len) = (self.next_number(), self.len());
        let reference = produce_remote::remote(seed, len as u64).await?;
        if self.rng.bool() {
            // Dropped before, while or after it is made.
            self.count.one("results nobody waits for");
            return Ok(());
        }
        if let Some(bytes) = self.outcome("produce", reference.get_timeout(STUCK).await)? {
            check!(bytes == pattern(seed, len), "a task's result of {len} bytes is wrong");
            self.keep(seed, len, Kept::Made(reference));
            self.count.one("results checked");
        }
        Ok(())
    }

    async fn look_again(&mut self) -> Result<(), Violation> {
        for _ in 0..self.rng.usize(1..8) {
            let Some(keepsake) = self.rng.choice(&self.keepsakes) else { return Ok(()) };
            keepsake.check().await?;
            self.count.one("values read again");
        }
        Ok(())
    }

    async fn open_window(&mut self) -> Result<(), Violation> {
        let Some((seed, len, reference)) = self.any_put() else { return Ok(()) };
        let view = reference.view().await?;
        check!(*view == pattern(seed, len)[..], "a view of {len} bytes is wrong");
        let view = view.bytes();
        self.windows.push(Window { digest: digest(&view), view });
        while self.windows.iter().map(|window| window.view.len()).sum::<usize>() > WINDOWS_BYTES
            || self.windows.len() > 12
        {
            let at = self.rng.usize(..self.windows.len());
            self.windows.swap_remove(at).close()?;
            self.count.one("views held and checked again");
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), Violation> {
        let mut references = Vec::new();
        for _ in 0..self.rng.usize(1..12) {
            let (seed, len) = (self.next_number(), self.rng.u64(0..2000));
            references.push(produce_remote::remote(seed, len).await?);
        }
        let wanted = self.rng.usize(0..=references.len());
        let (ready, pending) = rustyray::wait(&references, wanted, Some(STUCK)).await?;
        check!(ready.len() >= wanted, "{} of {wanted} are ready", ready.len());
        check!(
            ready.len() + pending.len() == references.len(),
            "{} ready and {} pending of {}",
            ready.len(),
            pending.len(),
            references.len()
        );
        check!(ready.iter().all(ObjectRef::is_ready), "what is ready is not");
        self.count.one("waits checked");
        Ok(())
    }

    // --- tasks -------------------------------------------------------------------------------------------

    async fn examine(&mut self) -> Result<(), Violation> {
        let (seed, len, found) = if self.rng.bool() {
            let Some((seed, len, reference)) = self.any_put() else { return Ok(()) };
            let examined = examine_remote::remote(&reference).await?;
            drop(reference);
            (seed, len, examined.get_timeout(STUCK).await)
        } else {
            let (seed, len) = (self.next_number(), self.len());
            let made = produce_remote::remote(seed, len as u64).await?;
            let examined = examine_copy_remote::remote(&made).await?;
            drop(made);
            (seed, len, examined.get_timeout(STUCK).await)
        };
        if let Some(found) = self.outcome("examine", found)? {
            let expected = (len as u64, digest(&pattern(seed, len)));
            check!(found == expected, "a task read {found:?} where {expected:?} was stored");
            self.count.one("arguments checked");
        }
        Ok(())
    }

    async fn nest(&mut self) -> Result<(), Violation> {
        let (mut inner, mut digests) = (Vec::new(), Vec::new());
        for _ in 0..self.rng.usize(0..5) {
            let (seed, len) = (self.next_number(), self.len());
            let bytes = pattern(seed, len);
            digests.push(digest(&bytes));
            inner.push(rustyray::put_bytes(&bytes).await?);
        }
        let outer = rustyray::put(&inner).await?;
        drop(inner);
        let followed = follow_remote::remote(&outer).await?;
        if self.rng.bool() {
            drop(outer);
        } else {
            for (reference, &expected) in outer.get_timeout(STUCK).await?.iter().zip(&digests) {
                let found = digest(&reference.view().await?);
                check!(found == expected, "a nested value is wrong");
            }
        }
        if let Some(found) = self.outcome("follow", followed.get_timeout(STUCK).await)? {
            drop(followed);
            check!(
                found.iter().map(|(_, digest)| digest).eq(&digests),
                "a task that followed references read other values"
            );
            for (reference, expected) in &found {
                let again = digest(&reference.view().await?);
                check!(again == *expected, "a value whose reference came back is wrong");
            }
            self.count.one("nested references checked");
        }
        Ok(())
    }

    async fn tree(&mut self) -> Result<(), Violation> {
        let (depth, width) = (self.rng.u32(1..4), self.rng.u32(1..4));
        let leaves = tree_remote::remote(depth, width).await?.get_timeout(STUCK).await;
        if let Some(leaves) = self.outcome("tree", leaves)? {
            let expected = u64::from(width).pow(depth);
            check!(leaves == expected, "a tree has {leaves} leaves, not {expected}");
            self.count.one("trees of tasks checked");
        }
        Ok(())
    }

    async fn mark(&mut self) -> Result<(), Violation> {
        let number = self.next_number();
        let pause_us = self.rng.u64(0..3000);
        let only_once = self.rng.bool();
        let most = if only_once { 1 } else { 3 };
        let path = self.marks.join(format!("{number:x}.{most}"));
        let named = path.to_string_lossy().into_owned();
        let reference = if only_once {
            once_remote::remote(named, pause_us).await?
        } else {
            thrice_remote::remote(named, pause_us).await?
        };
        let outcome = self.outcome("mark", reference.get_timeout(STUCK).await)?;
        let runs = marks(&path);
        check!(runs <= most, "a task that may run {most} times ran {runs} times");
        if let Some(seen) = outcome {
            check!(runs >= 1 && seen >= 1, "a task gave a result and never ran");
            check!(seen <= runs, "the result is of run {seen}, of {runs}");
        }
        // A failed one is left, to see in the end that it was not run later.
        if outcome.is_some() {
            let _ = std::fs::remove_file(&path);
        }
        self.count.one("runs counted");
        Ok(())
    }

    async fn fail(&mut self) -> Result<(), Violation> {
        // What a panic says is printed: not too many different ones.
        let (panics, number) = (self.rng.u32(0..8) == 0, self.rng.u64(..4));
        match fail_remote::remote(panics, number).await?.get_timeout(STUCK).await {
            Err(Error::TaskFailed { message, .. }) if !panics => {
                check!(message == format!("failure number {number}"), "another failure: {message}")
            }
            Err(Error::TaskPanicked { message, .. }) if panics => {
                check!(message == format!("panic number {number}"), "another panic: {message}")
            }
            Err(error) if is_of_a_kill(&error) => {}
            other => return Err(Violation(format!("a task that fails gave {other:?}"))),
        }
        self.count.one("failures checked");
        Ok(())
    }

    // --- actors ------------------------------------------------------------------------------------------

    async fn ledger(&mut self) -> Result<(), Violation> {
        if self.ledgers.len() < ACCOUNTS {
            self.ledgers.push(Account::new(Ledger::remote().await?));
        }
        let at = self.rng.usize(..self.ledgers.len());
        let mut calls = Vec::new();
        for _ in 0..self.rng.usize(1..20) {
            let amount = self.rng.u64(0..1000);
            match self.ledgers[at].handle.add(amount).await {
                Ok(call) => calls.push((amount, call)),
                Err(error) if is_of_a_kill(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut died = false;
        for (amount, call) in calls {
            match self.outcome("add", call.get_timeout(STUCK).await)? {
                Some(found) => {
                    check!(!died, "an actor that had died answered");
                    self.ledgers[at].post(amount, found)?;
                    self.count.one("calls checked");
                }
                None => died = true,
            }
        }
        if died || self.rng.u32(0..40) == 0 {
            self.ledgers.swap_remove(at);
        }
        Ok(())
    }

    async fn phoenix(&mut self) -> Result<(), Violation> {
        if self.phoenixes.is_empty() {
            self.phoenixes.push(Account::new(Phoenix::remote().await?));
        }
        let mut calls = Vec::new();
        for _ in 0..self.rng.usize(1..20) {
            let amount = self.rng.u64(0..1000);
            match self.phoenixes[0].handle.add(amount).await {
                Ok(call) => calls.push((amount, call)),
                Err(error) if is_of_a_kill(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (amount, call) in calls {
            if let Some(found) = self.outcome("add", call.get_timeout(STUCK).await)? {
                self.phoenixes[0].post(amount, found)?;
                self.count.one("calls of restarting actors checked");
            }
        }
        if self.rng.u32(0..60) == 0 {
            self.phoenixes.clear();
        }
        Ok(())
    }

    /// A result, or nothing where a killed process explains its absence.
    fn outcome<T: Debug>(
        &self,
        what: &str,
        outcome: rustyray::Result<T>,
    ) -> Result<Option<T>, Violation> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_of_a_kill(&error) => {
                self.count.one("errors that a kill explains");
                Ok(None)
            }
            Err(error) => Err(Violation(format!("`{what}` gave {error} ({error:?})"))),
        }
    }
}

/// Whether somebody was killed, here or further down.
fn is_of_a_kill(error: &Error) -> bool {
    match error {
        Error::WorkerCrashed { .. } | Error::ActorDied { .. } | Error::ActorUnavailable { .. } => {
            true
        }
        Error::TaskFailed { .. } => error.to_string().contains("SIGKILL"),
        _ => false,
    }
}

impl Keepsake {
    async fn check(&self) -> Result<(), Violation> {
        let Keepsake { seed, len, kept } = self;
        let lost = |error: Error| Violation(format!("a value of {len} bytes is lost: {error:?}"));
        let expected = pattern(*seed, *len);
        let found = match kept {
            Kept::Put(reference) => **reference.view().await.map_err(lost)? == expected[..],
            Kept::Made(reference) => reference.view().await.map_err(lost)?.as_slice() == expected,
        };
        check!(found, "a value of {len} bytes has changed");
        Ok(())
    }
}

impl Window {
    fn close(self) -> Result<(), Violation> {
        check!(digest(&self.view) == self.digest, "{} bytes changed under a view", self.view.len());
        Ok(())
    }
}

impl<H> Account<H> {
    fn new(handle: H) -> Self {
        Account { handle, pid: 0, entries: 0, sum: 0 }
    }

    /// The next call was answered: in order, each once, and by a state that nobody lost.
    fn post(&mut self, amount: u64, found: (u32, u64, u64)) -> Result<(), Violation> {
        if self.pid != found.0 {
            // Another process: it begins anew.
            (self.pid, self.entries, self.sum) = (found.0, 0, 0);
        }
        self.entries += 1;
        self.sum += amount;
        let expected = (self.pid, self.entries, self.sum);
        check!(found == expected, "an actor says {found:?}, not {expected:?}");
        Ok(())
    }
}
