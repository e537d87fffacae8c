//! Where the producers of streams are to begin, should they have to begin again.
//!
//! A consumer that has passed a grant lets go of it, and tells the node of the next one first. The node holds
//! that one, for an attempt that starts later, and names it to an attempt that lags behind its consumer.
//!
//! Invariant: an entry is there only while the stream's end is pending. Whoever enters one looks at the end
//! under the lock, and whoever ends the task takes the entry out after the end was settled.

use std::collections::HashMap;

use parking_lot::Mutex;
use rustyray_store::{ObjectId, Status};

use super::Node;

/// The first grant that may still be needed, by the stream's end; none while it is the one in the words.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<ObjectId, ObjectId>>);

impl Node {
    /// A consumer has passed all grants before this one.
    pub(crate) fn advance_stream(&self, end: ObjectId, grant: ObjectId) {
        if self.scheduler().producer(super::key(end)).is_none() {
            // Its call went past the node, and is not made again.
            return;
        }
        let passed = {
            let mut streams = self.streams.0.lock();
            if self.client.status(end) != Status::Pending || self.client.retain(grant).is_err() {
                return;
            }
            streams.insert(end, grant)
        };
        if let Some(passed) = passed {
            self.client.release(passed);
        }
    }

    /// The grant with which the stream's producer is to begin, where it is not the first.
    pub(crate) fn stream_head(&self, end: ObjectId) -> Option<ObjectId> {
        self.streams.0.lock().get(&end).copied()
    }

    /// The stream's task has ended.
    pub(super) fn end_stream(&self, end: ObjectId) {
        let grant = self.streams.0.lock().remove(&end);
        if let Some(grant) = grant {
            self.client.release(grant);
        }
    }
}
