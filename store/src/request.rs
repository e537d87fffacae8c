//! The rare questions a client asks the node, as words.

use crate::{ObjectId, sealed::FileAt};

/// What a client asks of the node. None of them is on the hot path.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Slots to reserve objects in.
    Slots {
        /// How many at most.
        count: u32,
    },
    /// A block for small objects, in exchange for the one that is full.
    Lease {
        /// The block that is given up, and how many objects were placed in it.
        closing: Option<(u32, u32)>,
    },
    /// One object that was placed in a closed block will never be sealed.
    Unplace {
        /// The block.
        block: u32,
    },
    /// Memory of its own for a large object.
    Extent {
        /// Bytes needed.
        len_bytes: u64,
    },
    /// The tail of an extent is not needed.
    Shrink {
        /// Where the extent begins.
        offset_bytes: u64,
        /// Bytes that are needed.
        len_bytes: u64,
    },
    /// An extent, or a block in which nothing was placed, is not needed after all.
    GiveBack {
        /// Where it begins.
        offset_bytes: u64,
        /// Whether all its pages were populated by this client.
        is_populated: bool,
    },
    /// The node is to hold the objects listed at `offset_bytes` for as long as `id` lives.
    Hold {
        /// The container.
        id: ObjectId,
        /// The attempt that is about to seal it.
        attempt: u16,
        /// Where the list begins in the data segment.
        offset_bytes: u64,
        /// How many ids it holds.
        count: u32,
    },
    /// A spilled object is to be brought back.
    Restore {
        /// The object.
        id: ObjectId,
    },
    /// A file for a strict object: answered by [`Reply::File`].
    Create {
        /// Bytes needed.
        len_bytes: u64,
    },
    /// A file is not needed after all.
    Drop {
        /// Which.
        key: u64,
    },
    /// A file is written, and its object to be sealed.
    Seal(SealRequest),
    /// The file of a strict object: answered by [`Reply::File`].
    Find {
        /// The object.
        id: ObjectId,
    },
    /// The sizes to report when there was no room: answered by [`Reply::Full`].
    Usage,
}

/// What the node seals a strict object with.
#[doc(hidden)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SealRequest {
    /// The object.
    pub id: ObjectId,
    /// The attempt whose value it is.
    pub attempt: u16,
    /// The file.
    pub key: u64,
    /// Bytes of the value.
    pub len_bytes: u64,
    /// The fingerprint of its type.
    pub fingerprint: u64,
    /// How many references follow the value.
    pub nested: u32,
    /// Whether the value is an error.
    pub is_failed: bool,
}

/// What the node answers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// It is done.
    Done,
    /// A chain of granted slots.
    Slots {
        /// The first of them; each names the next.
        first: u32,
        /// How many there are.
        count: u32,
    },
    /// A piece of the data segment.
    Extent {
        /// Where it begins.
        offset_bytes: u64,
        /// How long it is.
        len_bytes: u64,
        /// The client had it last: its page tables are warm.
        is_warm: bool,
    },
    /// There is no room at the moment.
    Full {
        /// Bytes the store may hold.
        capacity_bytes: u64,
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes of pinned objects.
        pinned_bytes: u64,
        /// Bytes on disk.
        spilled_bytes: u64,
    },
    /// There is no room at the moment, and the disk does not take what could make some.
    CannotSpill {
        /// What the disk said.
        errno: i32,
    },
    /// A spilled object could not be read back.
    CannotRestore {
        /// What the disk, or the memory, said.
        errno: i32,
    },
    /// A file for, or of, a strict object.
    File {
        /// By what name to return or seal it; 0 when it is sealed.
        key: u64,
        /// Where it can be opened.
        at: FileAt,
        /// Bytes of the file, or of the value once it is sealed.
        len_bytes: u64,
        /// The fingerprint of the value's type, once it is sealed.
        fingerprint: u64,
        /// Whether the value is an error.
        is_failed: bool,
    },
    /// The node does not do that.
    Refused(Refusal),
    /// An object named in the request is gone.
    Stale(ObjectId),
}

/// Why the node refused.
#[doc(hidden)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Refusal {
    /// The request made no sense.
    Garbage = 1,
    /// The client is not admitted.
    UnknownClient = 2,
    /// All slots are taken.
    TableFull = 3,
    /// The object can never fit.
    TooLarge = 4,
    /// Another attempt has taken over.
    Late = 5,
    /// The object is sealed already.
    AlreadySealed = 6,
    /// Memory could not be had from the system.
    NoMemory = 7,
    /// The file of a spilled object is gone.
    SpillMissing = 8,
    /// The file of a spilled object is damaged.
    SpillDamaged = 9,
    /// The file of a spilled object was cut short.
    SpillTruncated = 10,
    /// The store has ended.
    Closed = 11,
    /// The store has no strict objects, or this is none.
    NotStrict = 12,
    /// No file could be made or looked at.
    NoFiles = 13,
    /// Somebody still has the object's memory mapped for writing.
    StillWritable = 14,
}

impl Refusal {
    fn from_word(word: u64) -> Option<Self> {
        use Refusal::*;
        [
            Garbage,
            UnknownClient,
            TableFull,
            TooLarge,
            Late,
            AlreadySealed,
            NoMemory,
            SpillMissing,
            SpillDamaged,
            SpillTruncated,
            Closed,
            NotStrict,
            NoFiles,
            StillWritable,
        ]
        .into_iter()
        .find(|&refusal| refusal as u64 == word)
    }
}

impl Request {
    /// The request as words.
    pub fn to_words(self) -> [u64; 8] {
        let mut words = [0; 8];
        let body: (u64, [u64; 5]) = match self {
            Request::Slots { count } => (1, [count.into(), 0, 0, 0, 0]),
            Request::Lease { closing: None } => (2, [0, 0, 0, 0, 0]),
            Request::Lease { closing: Some((block, placed)) } => {
                (2, [1, block.into(), placed.into(), 0, 0])
            }
            Request::Unplace { block } => (3, [block.into(), 0, 0, 0, 0]),
            Request::Extent { len_bytes } => (4, [len_bytes, 0, 0, 0, 0]),
            Request::Shrink { offset_bytes, len_bytes } => (5, [offset_bytes, len_bytes, 0, 0, 0]),
            Request::GiveBack { offset_bytes, is_populated } => {
                (6, [offset_bytes, is_populated.into(), 0, 0, 0])
            }
            Request::Hold { id, attempt, offset_bytes, count } => {
                let [index, generation] = id.to_words();
                (7, [index, generation, attempt.into(), offset_bytes, count.into()])
            }
            Request::Restore { id } => {
                let [index, generation] = id.to_words();
                (8, [index, generation, 0, 0, 0])
            }
            Request::Usage => (9, [0; 5]),
            Request::Create { len_bytes } => (10, [len_bytes, 0, 0, 0, 0]),
            Request::Drop { key } => (11, [key, 0, 0, 0, 0]),
            Request::Seal(seal) => {
                let [index, generation] = seal.id.to_words();
                let flags = u64::from(seal.is_failed) << 16 | u64::from(seal.nested) << 32;
                words[6] = seal.fingerprint;
                let about = u64::from(seal.attempt) | flags;
                (12, [index, generation, about, seal.key, seal.len_bytes])
            }
            Request::Find { id } => {
                let [index, generation] = id.to_words();
                (13, [index, generation, 0, 0, 0])
            }
        };
        words[0] = body.0;
        words[1..6].copy_from_slice(&body.1);
        words
    }

    /// The request that [`Request::to_words`] wrote; `None` when the words are not one.
    pub fn from_words(words: [u64; 8]) -> Option<Self> {
        let [kind, a, b, c, d, e, f, _] = words;
        let small = |word: u64| u32::try_from(word).ok();
        Some(match kind {
            1 => Request::Slots { count: small(a)? },
            2 if a == 0 => Request::Lease { closing: None },
            2 if a == 1 => Request::Lease { closing: Some((small(b)?, small(c)?)) },
            3 => Request::Unplace { block: small(a)? },
            4 => Request::Extent { len_bytes: a },
            5 => Request::Shrink { offset_bytes: a, len_bytes: b },
            6 => Request::GiveBack { offset_bytes: a, is_populated: b == 1 },
            7 => Request::Hold {
                id: ObjectId::from_words([a, b])?,
                attempt: u16::try_from(c).ok()?,
                offset_bytes: d,
                count: small(e)?,
            },
            8 => Request::Restore { id: ObjectId::from_words([a, b])? },
            9 => Request::Usage,
            10 => Request::Create { len_bytes: a },
            11 => Request::Drop { key: a },
            12 => Request::Seal(SealRequest {
                id: ObjectId::from_words([a, b])?,
                attempt: c as u16,
                key: d,
                len_bytes: e,
                fingerprint: f,
                nested: (c >> 32) as u32,
                is_failed: c >> 16 & 1 == 1,
            }),
            13 => Request::Find { id: ObjectId::from_words([a, b])? },
            _ => return None,
        })
    }
}

impl Reply {
    /// The reply as words.
    pub fn to_words(self) -> [u64; 8] {
        let mut words = [0; 8];
        let body: (u64, [u64; 4]) = match self {
            Reply::Done => (1, [0; 4]),
            Reply::Slots { first, count } => (2, [first.into(), count.into(), 0, 0]),
            Reply::Extent { offset_bytes, len_bytes, is_warm } => {
                (3, [offset_bytes, len_bytes, is_warm.into(), 0])
            }
            Reply::Full { capacity_bytes, used_bytes, pinned_bytes, spilled_bytes } => {
                (4, [capacity_bytes, used_bytes, pinned_bytes, spilled_bytes])
            }
            Reply::Refused(refusal) => (5, [refusal as u64, 0, 0, 0]),
            Reply::Stale(id) => {
                let [index, generation] = id.to_words();
                (6, [index, generation, 0, 0])
            }
            Reply::CannotSpill { errno } => (7, [errno as u64, 0, 0, 0]),
            Reply::CannotRestore { errno } => (8, [errno as u64, 0, 0, 0]),
            Reply::File { key, at, len_bytes, fingerprint, is_failed } => {
                words[5] = at.inode;
                words[6] = fingerprint;
                words[7] = is_failed.into();
                (9, [key, at.pid.into(), at.descriptor.into(), len_bytes])
            }
        };
        words[0] = body.0;
        words[1..5].copy_from_slice(&body.1);
        words
    }

    /// The reply that [`Reply::to_words`] wrote; `None` when the words are not one.
    pub fn from_words(words: [u64; 8]) -> Option<Self> {
        let [kind, a, b, c, d, ..] = words;
        let small = |word: u64| u32::try_from(word).ok();
        Some(match kind {
            1 => Reply::Done,
            2 => Reply::Slots { first: small(a)?, count: small(b)? },
            3 => Reply::Extent { offset_bytes: a, len_bytes: b, is_warm: c == 1 },
            4 => {
                Reply::Full { capacity_bytes: a, used_bytes: b, pinned_bytes: c, spilled_bytes: d }
            }
            5 => Reply::Refused(Refusal::from_word(a)?),
            6 => Reply::Stale(ObjectId::from_words([a, b])?),
            7 => Reply::CannotSpill { errno: a as i32 },
            8 => Reply::CannotRestore { errno: a as i32 },
            9 => Reply::File {
                key: a,
                at: FileAt { pid: small(b)?, descriptor: small(c)?, inode: words[5] },
                len_bytes: d,
                fingerprint: words[6],
                is_failed: words[7] == 1,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_survive_the_way_through_words() {
        let id = ObjectId { index: 3, generation: 1 << 39 };
        for request in [
            Request::Slots { count: 7 },
            Request::Lease { closing: None },
            Request::Lease { closing: Some((1, 2)) },
            Request::Unplace { block: 9 },
            Request::Extent { len_bytes: 1 << 40 },
            Request::Shrink { offset_bytes: 4096, len_bytes: 1 },
            Request::GiveBack { offset_bytes: 4096, is_populated: true },
            Request::Hold { id, attempt: 2, offset_bytes: 64, count: 5 },
            Request::Restore { id },
            Request::Usage,
            Request::Create { len_bytes: 1 << 33 },
            Request::Drop { key: 9 },
            Request::Seal(SealRequest {
                id,
                attempt: u16::MAX,
                key: 7,
                len_bytes: 1 << 33,
                fingerprint: u64::MAX,
                nested: u32::MAX,
                is_failed: true,
            }),
            Request::Find { id },
        ] {
            assert_eq!(Request::from_words(request.to_words()), Some(request));
        }
        for reply in [
            Reply::Done,
            Reply::Slots { first: 1, count: 2 },
            Reply::Extent { offset_bytes: 1, len_bytes: 2, is_warm: true },
            Reply::Full { capacity_bytes: 4, used_bytes: 3, pinned_bytes: 2, spilled_bytes: 1 },
            Reply::Refused(Refusal::TooLarge),
            Reply::Stale(id),
            Reply::CannotSpill { errno: 28 },
            Reply::CannotRestore { errno: 5 },
            Reply::File {
                key: 1,
                at: FileAt { pid: 2, descriptor: 3, inode: u64::MAX },
                len_bytes: 1 << 33,
                fingerprint: 5,
                is_failed: true,
            },
        ] {
            assert_eq!(Reply::from_words(reply.to_words()), Some(reply));
        }
    }

    #[test]
    fn garbage_is_not_a_request() {
        assert_eq!(Request::from_words([0; 8]), None);
        assert_eq!(Request::from_words([1, u64::MAX, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Request::from_words([8, 1, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Reply::from_words([99; 8]), None);
    }
}
