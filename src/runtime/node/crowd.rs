//! A crowd: actors live in all the workers in which they may, so further actors wait until one ends. Some workers are
//! kept for tasks ([`max_actors`](crate::runtime::pool::Pool::max_actors)) unless there can only be a few: then tasks
//! wait as well.
//!
//! Nobody can go on for them, and nothing tells whoever waits for them why. So standard error does, once each time
//! that this comes to be so and has lasted for [`PATIENCE`]: a program that creates and drops many actors passes
//! through it all the time. It is looked for where the node tidies up, once a second and more.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Node;
use crate::builder::MAX_WORKERS;

/// How long it lasts before something is said.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of it.
#[derive(Clone, Copy, Default)]
enum Seen {
    /// There is none.
    #[default]
    No,
    /// There has been one since then, and nothing was said.
    Since(Instant),
    /// That was said.
    Said,
}

/// See the module.
#[derive(Default)]
pub(super) struct Crowd {
    seen: Mutex<Seen>,
}

impl Node {
    /// Says so when tasks and actors wait for workers that only actors could leave.
    pub(super) fn tell_of_crowd(&self) {
        let mut seen = self.crowd.seen.lock();
        let may_be = self.scheduler().backlog() > 0
            && self.actors.read().by_id.len() >= self.pool.max_actors();
        *seen = match (*seen, may_be) {
            (_, false) => Seen::No,
            // It is over when nothing is ready any more.
            (Seen::Said, true) => Seen::Said,
            (Seen::Since(since), true) if since.elapsed() < PATIENCE => Seen::Since(since),
            (Seen::Since(_), true) => match self.crowded_out() {
                0 => Seen::No,
                waiting => {
                    self.say_crowded(waiting);
                    Seen::Said
                }
            },
            (Seen::No, true) if self.crowded_out() > 0 => Seen::Since(Instant::now()),
            (Seen::No, true) => Seen::No,
        };
    }

    /// How many tasks and actors wait for a worker while actors live in all in which they may.
    pub(super) fn crowded_out(&self) -> usize {
        let all_have_actors = self.pool.is_full()
            && self.scheduler().workers().iter().all(|worker| worker.actor.is_some());
        match all_have_actors {
            true => self.scheduler().awaiting_workers(),
            false => self.scheduler().awaiting_places(),
        }
    }

    #[cold]
    fn say_crowded(&self, waiting: usize) {
        let limit = self.pool.max_actors();
        let raise = match self.pool.max_workers() < MAX_WORKERS {
            true => ", or raise `max_workers`",
            false => "",
        };
        crate::notice_aside!(
            "rustyray: actors live in all {limit} workers in which they may, and {waiting} tasks or actors wait \
             for one: drop handles of actors{raise}"
        );
    }
}
