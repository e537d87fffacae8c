//! What the scheduler does, seen from a host that keeps its objects and queues in plain memory.

mod actors;
mod at_random;
mod by_cost;
mod cancelling;
mod dependencies;
mod fake;
mod listings;
mod panics;
mod placement;
mod threads;
mod turns;
mod workers;
