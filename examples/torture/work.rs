//! What runs in the workers.

use std::{fs::OpenOptions, hash::Hasher, io::Write, path::Path, time::Duration};

use rustyray::prelude::*;

/// The bytes that stand for `seed`: the same in every process, and different at every place.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut rng = fastrand::Rng::with_seed(seed);
    rng.fill(&mut bytes);
    bytes
}

/// A number that tells byte strings apart.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Makes a value out of nothing: its result outlives the worker.
#[rustyray::remote(max_retries = 20)]
pub fn produce(seed: u64, len: u64) -> Vec<u8> {
    pattern(seed, len as usize)
}

/// Reads a value where it lies.
#[rustyray::remote(max_retries = 20)]
pub fn examine(bytes: View<Bytes>) -> (u64, u64) {
    (bytes.len() as u64, digest(&bytes))
}

/// Takes a value by copy, of a task that may still run.
#[rustyray::remote(max_retries = 20)]
pub fn examine_copy(bytes: Vec<u8>) -> (u64, u64) {
    (bytes.len() as u64, digest(&bytes))
}

/// Takes references as they are, follows them, and gives them back.
#[rustyray::remote(max_retries = 20)]
pub async fn follow(
    references: Vec<ObjectRef<Bytes>>,
) -> Result<Vec<(ObjectRef<Bytes>, u64)>, Error> {
    let mut found = Vec::new();
    for reference in references {
        let digest = digest(&reference.view().await?);
        found.push((reference, digest));
    }
    Ok(found)
}

/// Tasks that wait for tasks: gives the number of leaves.
#[rustyray::remote(max_retries = 20)]
pub fn tree(depth: u32, width: u32) -> Result<u64, Error> {
    if depth == 0 {
        return Ok(1);
    }
    rustyray::block_on(async {
        let mut below = Vec::new();
        for _ in 0..width {
            below.push(tree_remote::remote(depth - 1, width).await?);
        }
        let mut leaves = 0;
        for branch in below {
            leaves += branch.get().await?;
        }
        Ok(leaves)
    })
}

/// Leaves a mark for each time it ran, then takes a while: the more time to be killed in.
fn leave_mark(path: &str, pause_us: u64) -> u64 {
    let mut file =
        OpenOptions::new().create(true).append(true).open(path).expect("a place for marks");
    file.write_all(b"x").expect("a mark is left");
    std::thread::sleep(Duration::from_micros(pause_us));
    std::fs::metadata(path).expect("the mark is there").len()
}

/// How often the marked task ran.
pub fn marks(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// Every mark that is left, of whichever driver: none ran more often than its name says it may. How many there
/// are.
pub fn check_marks(directory: &Path) -> Result<u64, String> {
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let most = path.extension().and_then(|most| most.to_str()?.parse().ok());
        let most: u64 = most.ok_or_else(|| format!("{} is no mark", path.display()))?;
        let runs = marks(&path);
        if runs > most {
            return Err(format!("a task that may run {most} times ran {runs} times"));
        }
        seen += 1;
    }
    Ok(seen)
}

/// May run once.
#[rustyray::remote(max_retries = 0)]
pub fn once(path: String, pause_us: u64) -> u64 {
    leave_mark(&path, pause_us)
}

/// May run three times.
#[rustyray::remote(max_retries = 2)]
pub fn thrice(path: String, pause_us: u64) -> u64 {
    leave_mark(&path, pause_us)
}

/// Fails in the way it is told.
#[rustyray::remote(max_retries = 20)]
pub fn fail(panics: bool, number: u64) -> Result<u64, String> {
    if panics {
        panic!("panic number {number}");
    }
    Err(format!("failure number {number}"))
}

/// Counts what it is given, in the order in which it comes.
#[rustyray::actor]
#[derive(Debug)]
pub struct Ledger {
    entries: u64,
    sum: u64,
}

#[rustyray::actor_methods]
impl Ledger {
    pub fn new() -> Self {
        Ledger { entries: 0, sum: 0 }
    }

    /// Process, entries and sum after this one.
    pub fn add(&mut self, amount: u64) -> (u32, u64, u64) {
        self.entries += 1;
        self.sum += amount;
        (std::process::id(), self.entries, self.sum)
    }
}

/// As [`Ledger`], and starts anew when its process is killed.
#[rustyray::actor(max_restarts = 1000000)]
#[derive(Debug)]
pub struct Phoenix {
    entries: u64,
    sum: u64,
}

#[rustyray::actor_methods]
impl Phoenix {
    pub fn new() -> Self {
        Phoenix { entries: 0, sum: 0 }
    }

    /// Process, entries and sum after this one.
    pub fn add(&mut self, amount: u64) -> (u32, u64, u64) {
        self.entries += 1;
        self.sum += amount;
        (std::process::id(), self.entries, self.sum)
    }
}
