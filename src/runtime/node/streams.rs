//! Where the producers of streams are to begin, should they have to begin again.
//!
//! A consumer that has passed a grant lets go of it, and tells the node of the next one first. The node holds
//! that one, for an attempt that starts later, and names it to an attempt that lags behind its consumer.
//!
//! Invariant: an entry is there exactly as long as the node has the stream's job, whether that is scheduled, runs on
//! top of another, or is about to be scheduled again. A call that goes past the node has none, and is not made again.

use std::collections::HashMap;

use parking_lot::Mutex;
use rustyray_store::ObjectId;

use super::Node;

/// The first grant that may still be needed, by the stream's end; none while it is the one in the words.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<ObjectId, Option<ObjectId>>>);

impl Node {
    /// There is a job from now on that gives this stream.
    pub(super) fn begin_stream(&self, end: ObjectId) {
        self.streams.0.lock().insert(end, None);
    }

    /// A consumer has passed all grants before this one.
    pub(crate) fn advance_stream(&self, end: ObjectId, grant: ObjectId) {
        let passed = {
            let mut streams = self.streams.0.lock();
            let Some(head) = streams.get_mut(&end) else { return };
            if self.client.retain(grant).is_err() {
                return;
            }
            head.replace(grant)
        };
        if let Some(passed) = passed {
            self.client.release(passed);
        }
    }

    /// The grant with which the stream's producer is to begin, where it is not the first.
    pub(crate) fn stream_head(&self, end: ObjectId) -> Option<ObjectId> {
        self.streams.0.lock().get(&end).copied().flatten()
    }

    /// The stream's job is gone.
    pub(super) fn end_stream(&self, end: ObjectId) {
        let head = self.streams.0.lock().remove(&end).flatten();
        if let Some(grant) = head {
            self.client.release(grant);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Builder, runtime::Link};

    #[test]
    fn where_a_consumer_is_is_kept_as_long_as_the_job_whether_it_is_scheduled_or_not() {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = crate::block_on(builder.start()).expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let [end, first, second] = [(); 3].map(|()| node.client.reserve().expect("room"));
        node.advance_stream(end, first);
        assert_eq!(node.stream_head(end), None, "it has no job");
        node.begin_stream(end);
        assert_eq!(node.stream_head(end), None);
        for grant in [first, second] {
            node.advance_stream(end, grant);
            assert_eq!(node.stream_head(end), Some(grant));
        }
        node.end_stream(end);
        node.advance_stream(end, first);
        assert_eq!(node.stream_head(end), None);
        [end, first, second].iter().for_each(|&id| node.client.release(id));
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
