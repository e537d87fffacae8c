//! How a scheduler is set up.

use std::time::Duration;

/// What the machine offers, and how far work is pipelined.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rustyray_scheduler::Config;
///
/// let config = Config {
///     cpus: 4.0,
///     memory_bytes: 8 << 30,
///     custom: vec![("licence".to_owned(), 2.0)],
///     queue_depth: Config::MAX_QUEUE_DEPTH,
///     wake_cost: Duration::from_micros(50),
///     ..Config::default()
/// };
/// assert!(config.worker_limit < config.max_workers);
/// // The deaths of its worker that are nobody's fault, and cost a task no retry, have a bound.
/// assert_eq!(Config::MAX_SPARED, 16);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Cpus to give out.
    pub cpus: f64,
    /// Gpus to give out; whole ones.
    pub gpus: f64,
    /// Memory to give out to tasks that ask for it, in bytes.
    pub memory_bytes: u64,
    /// Custom resources by name.
    pub custom: Vec<(String, f64)>,
    /// How many tasks one worker is handed ahead; at most [`Config::MAX_QUEUE_DEPTH`]. The host's queue
    /// to a worker should have at least this much room.
    pub queue_depth: usize,
    /// Every [`crate::WorkerId`] is below this.
    pub max_workers: usize,
    /// How long it takes to wake a worker that sleeps. Tasks that are known to be quick queue behind a busy worker
    /// for about as long before an idle one is woken for them; [`crate::Scheduler::review`] is the net below
    /// that. Zero wakes idle workers for every task.
    pub wake_cost: Duration,
    /// How many workers there can be at one time.
    pub worker_limit: usize,
    /// In how many of them actors may live at one time: the others are for tasks, whatever lives. Further actors wait.
    pub actor_limit: usize,
}

impl Config {
    /// The largest [`Config::queue_depth`].
    pub const MAX_QUEUE_DEPTH: usize = 1024;
    /// How many deaths of its worker are at most not counted among a task's retries.
    pub const MAX_SPARED: u16 = 16;
}

impl Default for Config {
    /// As many cpus as this process may use, nothing else.
    fn default() -> Self {
        Config {
            cpus: std::thread::available_parallelism().map_or(1, usize::from) as f64,
            gpus: 0.0,
            memory_bytes: 0,
            custom: Vec::new(),
            queue_depth: 128,
            max_workers: 256,
            wake_cost: Duration::ZERO,
            worker_limit: 255,
            actor_limit: 255,
        }
    }
}
