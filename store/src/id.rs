//! Names of objects and of the processes that use them.

use std::fmt;

/// Names an object: a slot of the object table and the generation in which the slot held it.
///
/// Generations start at a number drawn when the store is created, so an id of another session names
/// nothing here. Generation 0 is never issued.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Which slot of the object table.
    pub index: u32,
    /// Which of the objects that the slot has held.
    pub generation: u64,
}

impl ObjectId {
    /// The id as words, for a message or a shared entry.
    pub const fn to_words(self) -> [u64; 2] {
        [self.index as u64, self.generation]
    }

    /// The id that [`ObjectId::to_words`] wrote; `None` when the words are not one.
    pub const fn from_words(words: [u64; 2]) -> Option<Self> {
        if words[0] > u32::MAX as u64 || words[1] == 0 {
            return None;
        }
        Some(ObjectId { index: words[0] as u32, generation: words[1] })
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.index, self.generation)
    }
}

/// Names a process that uses the store: 0 is the node's own, the others are given out by the node.
///
/// # Examples
/// ```
/// use rustyray_store::ClientId;
///
/// let client = ClientId::new(3);
/// assert_eq!((client.get(), client.index()), (3, 3));
/// assert_ne!(client, ClientId::NODE);
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u8);

impl ClientId {
    /// The process that the node runs in.
    pub const NODE: ClientId = ClientId(0);

    /// The client with this number.
    pub const fn new(number: u8) -> Self {
        ClientId(number)
    }

    /// The client's number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The client's number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of clients.
///
/// # Examples
/// ```
/// use rustyray_store::{ClientId, ClientSet};
///
/// let mut set = ClientSet::from_words([0b10, 0, 0, 0]);
/// assert!(set.contains(ClientId::new(1)));
/// set.insert(ClientId::new(64));
/// set.remove(ClientId::new(1));
/// set.extend(ClientSet::from_iter([ClientId::NODE]));
/// assert_eq!(set.iter().map(ClientId::index).collect::<Vec<_>>(), [0, 64]);
/// assert_eq!(set.to_words(), [1, 1, 0, 0]);
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSet([u64; 4]);

impl ClientSet {
    /// The set of nobody.
    ///
    /// ```
    /// use rustyray_store::{ClientId, ClientSet};
    ///
    /// let mut both = ClientSet::EMPTY;
    /// both.insert(ClientId::NODE);
    /// both.insert(ClientId::new(7));
    /// assert_eq!(both.to_words(), [1 << 7 | 1, 0, 0, 0]);
    /// ```
    pub const EMPTY: ClientSet = ClientSet([0; 4]);

    /// The set whose members are the bits of `words`, client 0 lowest.
    pub const fn from_words(words: [u64; 4]) -> Self {
        ClientSet(words)
    }

    /// The members as bits, client 0 lowest.
    pub const fn to_words(self) -> [u64; 4] {
        self.0
    }

    /// Adds a client.
    pub fn insert(&mut self, client: ClientId) {
        self.0[client.index() / 64] |= 1 << (client.index() % 64);
    }

    /// Takes a client out.
    pub fn remove(&mut self, client: ClientId) {
        self.0[client.index() / 64] &= !(1 << (client.index() % 64));
    }

    /// Whether the client is a member.
    pub fn contains(&self, client: ClientId) -> bool {
        self.0[client.index() / 64] & (1 << (client.index() % 64)) != 0
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Adds all members of `other`.
    pub fn extend(&mut self, other: ClientSet) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// The members, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = ClientId> + use<> {
        self.0.into_iter().zip(0u8..).flat_map(|(mut word, at)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as u8)?;
                word &= word - 1;
                Some(ClientId(at * 64 + bit))
            })
        })
    }
}

impl FromIterator<ClientId> for ClientSet {
    fn from_iter<I: IntoIterator<Item = ClientId>>(clients: I) -> Self {
        let mut set = ClientSet::EMPTY;
        clients.into_iter().for_each(|client| set.insert(client));
        set
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_gives_its_members_lowest_first(members in prop::collection::btree_set(any::<u8>(), 0..64)) {
            let set: ClientSet = members.iter().copied().map(ClientId::new).collect();
            let given: Vec<u8> = set.iter().map(ClientId::get).collect();
            prop_assert!(given.is_sorted());
            prop_assert_eq!(given.into_iter().collect::<BTreeSet<_>>(), members);
        }
    }
}
