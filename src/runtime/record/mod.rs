//! The record of tasks that ended, while somebody wants it.
//!
//! A worker reads one word of the control memory before it begins a task: whether anybody records, and by which
//! [`rustyray_memory::Clock`]. Only then does it look at the clock, and it sends the two times along with the
//! completion, which goes through its up ring anyway ([`Ended::to_words`]). Whoever drains the ring notes the words
//! as they are in the [`Batch`] of that process, which the ring's lock guards, and puts them away by the dozen in
//! the [`Record`]. What they say, and when that was by the system's clock, is found out when somebody reads.
//!
//! So each process has a ring of its own for what it records, and it is the one that its completions are in:
//!
//! - *Bounded*: an up ring has its 1024 entries, a batch its [`BATCH`] tasks, and the record the newest [`KEPT`],
//!   ten megabytes at most.
//! - *Without loss*: where a ring is full its process waits for the node, as it does for its completions. A ring
//!   beside it, written over when it is full, would be one more thing to read for the node, and would have to lose
//!   tasks or be read as often.
//! - *Whole*: an entry is published by one store, so a process that is killed while it writes one leaves nothing
//!   half written, and the node takes what was published before it clears the ring away. Which task it was at it
//!   has said in [`rustyray_ipc::Begun`], and the node records that attempt as one that ended with its process.
//! - *For nothing* while nobody looks: one load and a branch.
//! - *In one line* while somebody does: within what a task was submitted is not told to its worker and back again. The
//!   node, which hands it out, has that in the scheduler's record, and adds it to what it notes.
//!
//! What is lost when a process is killed: that a call of an actor had begun, or a task on top of one that sleeps, if
//! it had not ended; those may be several at a time, and have no place there.

mod batch;
mod ended;
mod kept;

pub(crate) use self::{
    batch::Batch,
    ended::{Began, End, Ended, NO_ACTOR, is_record},
    kept::{Newest, Record},
};

/// How many tasks are kept.
pub(crate) const KEPT: usize = 100_000;

/// How many tasks of one process are put away at a time: so few that what they wait in stays in the cache beside all else
/// that whoever drains the ring works with.
const BATCH: usize = 64;
