//! Reviews: the net below placing by cost.
//!
//! Quick tasks queue behind a busy worker for about as long as waking an idle one would take, by an estimate of
//! what such tasks take. An estimate can be wrong, so while something is queued like that the scheduler is asked
//! to look again every [`PAUSE`]: what waits behind a task that turns out to be long goes to others, one or two
//! pauses later. A timer of the background thread does it, which runs only as long as there is something to
//! review, and at rest not at all.
//!
//! Lost wakeups: the scheduler says that it wants reviews, and then the timer is armed by a swap; the timer
//! disarms itself by a swap, and then asks whether reviews are wanted. Of the two swaps one comes first. If it is
//! the arming one, the other acquires what was said before it, and the timer goes on. If it is the disarming one,
//! the other finds the timer disarmed, and wakes it.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use super::Node;

/// Between two reviews: the timer is no finer.
const PAUSE: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Default)]
pub(super) struct Reviews {
    armed: AtomicBool,
    wake: Notify,
}

impl Reviews {
    /// The scheduler wants reviews from now on.
    pub(super) fn arm(&self) {
        // AcqRel: pairs with the swap of `disarm`; see the module.
        if !self.armed.swap(true, AcqRel) {
            self.wake.notify_one();
        }
    }

    fn disarm(&self) {
        // AcqRel: pairs with the swap of `arm`.
        self.armed.swap(false, AcqRel);
    }
}

/// Has the placing of a session reviewed until that ends.
pub(crate) fn watch(node: &Arc<Node>) {
    let own = Arc::clone(node);
    node.until_closed(async move { look(&own).await });
}

async fn look(node: &Node) {
    let reviews = &node.reviews;
    loop {
        reviews.wake.notified().await;
        while reviews.armed.load(Relaxed) {
            sleep(PAUSE).await;
            // What has ended by now is not slow, though nobody has said so yet.
            node.take_completions();
            if node.scheduler().review(Instant::now()).is_none() {
                reviews.disarm();
                if node.scheduler().wants_review() {
                    reviews.arm();
                }
            }
        }
    }
}
