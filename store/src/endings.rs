//! Objects whose end the node wants to hear of.
//!
//! Whatever stands behind an object and is no value, an actor behind its token say, ends with the object. The last
//! reference goes in any process, by itself or with a container that it was in, and what it referred to is freed by
//! whichever thread comes to it first: one that tidies up, that makes room for a request, or that clears up after a
//! dead process. So the slot itself carries the wish, and every way of freeing it ends in `Core::end`, which grants it.
//!
//! A mark in the slot's word of nested references keeps all this from the way of an object that has no such wish: that
//! word is read anyway.

use crossbeam::queue::SegQueue;

use crate::{ClientId, ClientSet, Node, ObjectId, Stale, core::Core};

/// Which watched objects are gone, in the order in which they went.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    gone: SegQueue<ObjectId>,
}

impl Core {
    /// The object, which was watched, is gone.
    #[cold]
    pub(crate) fn tell_of_end(&self, id: ObjectId) {
        self.endings.gone.push(id);
        if let Some(wake) = self.wake.get() {
            let mut node = ClientSet::EMPTY;
            node.insert(ClientId::NODE);
            wake.wake(node);
        }
    }
}

impl Node {
    /// Has the end of this object told by [`Node::next_ended`]; the node is woken then ([`Node::connect_wake`]).
    /// Watching it once more changes nothing.
    ///
    /// ```
    /// # use rustyray_store::{Config, Node};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() })?;
    /// # let client = node.client();
    /// let lamp = client.put(&7u64)?;
    /// node.watch_end(lamp)?;
    /// assert_eq!(node.next_ended(), None);
    /// client.release(lamp);
    /// assert_eq!(node.next_ended(), Some(lamp));
    /// assert!(node.watch_end(lamp).is_err(), "it is gone");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is gone already; then nobody is told.
    pub fn watch_end(&self, id: ObjectId) -> Result<(), Stale> {
        // While it is held nobody frees it.
        self.client().retain(id)?;
        self.core.table.slot(id.index).set_is_watched();
        self.client().release(id);
        Ok(())
    }

    /// An object that was watched and is gone, each once, in the order in which they went; `None` when there is no
    /// further one by now. Any thread may ask.
    ///
    /// ```
    /// # use rustyray_store::{Config, Node};
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() })?;
    /// # let client = node.client();
    /// let [one, other] = [client.put(&1_u64)?, client.put(&2_u64)?];
    /// node.watch_end(one)?;
    /// node.watch_end(other)?;
    /// client.release(other);
    /// client.release(one);
    /// let ended: Vec<_> = std::iter::from_fn(|| node.next_ended()).collect();
    /// assert_eq!(ended, [other, one]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_ended(&self) -> Option<ObjectId> {
        self.core.endings.gone.pop()
    }
}
