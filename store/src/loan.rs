//! The references inside a container, taken all at once by who reads its value in the node's process, and given to
//! each reference as it is read.
//!
//! The node holds them for the container, in this very process, and the container is pinned: so none of them can go
//! meanwhile, and one step takes those of 64 slots ([`crate::models::Lent`]). In another process each is taken by
//! itself: there the first one is a bit in the shared table.

use std::{fmt, sync::Arc};

use crate::{Client, ObjectId, Pin, holdings::Lending, lent};

/// Fewer are not worth it.
const FEW: u64 = 8;

/// One reference to each object that a container holds; dropping it drops those that were not taken.
///
/// # Examples
/// ```
/// use rustyray_store::{Config, Loan, Node, ObjectId, RefSink, ValueSerializer};
/// use rkyv::{Archive, Deserialize, Place, Serialize, rancor::Fallible};
///
/// /// A value that holds an object.
/// struct Reference(ObjectId);
///
/// impl Archive for Reference {
///     type Archived = ();
///     type Resolver = ();
///     fn resolve(&self, (): (), _: Place<()>) {}
/// }
///
/// impl<S: Fallible + RefSink + ?Sized> Serialize<S> for Reference {
///     fn serialize(&self, serializer: &mut S) -> Result<(), S::Error> {
///         serializer.hold(self.0)
///     }
/// }
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let inner: Vec<ObjectId> = (0..100_u64).map(|n| client.put(&n)).collect::<Result<_, _>>()?;
/// let container = client.put(&inner.iter().map(|&id| Reference(id)).collect::<Vec<_>>())?;
/// inner.iter().for_each(|&id| client.release(id));
///
/// let pin = client.pin(container)?;
/// let mut loan: Loan = pin.lend().expect("the node holds many for it");
/// assert!(loan.take(inner[0]), "the caller has a reference to this one");
/// assert!(!loan.take(inner[7]), "they come in the order in which the container has them");
/// drop((loan, pin));
/// client.release(container);
/// assert!(client.holds(inner[0]) && !client.holds(inner[1]));
/// client.release(inner[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loan {
    client: Arc<Client>,
    ids: Arc<[ObjectId]>,
    /// Those before were taken.
    next: usize,
    /// To those from here on there are no references.
    end: usize,
}

impl Loan {
    /// Hands over the reference to `id` if that is the next one: whoever takes it releases it.
    #[inline]
    #[must_use]
    pub fn take(&mut self, id: ObjectId) -> bool {
        let is_next = self.next < self.end && self.ids[self.next] == id;
        self.next += usize::from(is_next);
        is_next
    }

    /// Takes a reference to each, as far as that goes.
    fn fill(&mut self) {
        let ids = Arc::clone(&self.ids);
        while self.end < ids.len() {
            let rest = &ids[self.end..];
            let Lending { count, lent } = self.client.holdings().lend(rest);
            let is_lent = |id: &&ObjectId| lent & lent::bit_of(id.index) != 0;
            for (at, id) in rest[..count].iter().enumerate() {
                // One that has a reference lent already is taken by itself.
                if !is_lent(&id) && self.client.retain(*id).is_err() {
                    debug_assert!(false, "what a container holds went away");
                    rest[at..count].iter().filter(is_lent).for_each(|&id| self.client.release(id));
                    return;
                }
                self.end += 1;
            }
        }
    }
}

impl Pin {
    /// A reference to each object that this one holds, where that is little work for many: in the node's own process,
    /// of an object that holds eight or more. `None` elsewhere, and of a client that was forked or has been abandoned:
    /// there each is [retained](Client::retain) by itself.
    ///
    /// For who reads a value in place and finds references in it, in the order in which they were written:
    /// ```
    /// # use rustyray_store::{Config, Node};
    /// # let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() })?;
    /// # let client = node.client();
    /// let plain = client.put(&7_u64)?;
    /// assert!(client.pin(plain)?.lend().is_none(), "it holds none: see `Loan` for one that does");
    /// # client.release(plain);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lend(&self) -> Option<Loan> {
        let client = self.client();
        if client.table().slot(self.id().index).nested_count() < FEW || !client.is_ours() {
            return None;
        }
        // As long as this pin keeps the container, the node holds each of these for it.
        let ids = client.nested_of(self.id())?;
        let mut loan = Loan { client: Arc::clone(client), ids, next: 0, end: 0 };
        loan.fill();
        Some(loan)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.ids[self.next..self.end].iter().for_each(|&id| self.client.release(id));
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loan({} of {} left)", self.end - self.next, self.ids.len())
    }
}
