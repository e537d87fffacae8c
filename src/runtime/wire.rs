//! What the node and its clients say to each other over the socket: the handshake, and rare words after it.
//!
//! ```text
//! client                         node
//!   Hello {nonce, digest, …}  →         protocol, uid, nonce and registry are compared
//!                             ←  Explain            only when the digests differ
//!   Program {names, …}        →
//!                             ←  Refused {error}    and the connection ends, or
//!                             ←  Welcome {…} + descriptors
//!   Ready                     →         mapped; work may be dispatched
//!          … rings from here on …
//!   Ask                       →
//!                             ←  Answer
//!                             ←  Bye                end now, in order
//! ```
//!
//! An attaching driver sends the descriptor of its executable along with its first word. When its program is
//! not the node's, that executable is what workers are started from for it. An observer is let in by its
//! version alone:
//!
//! ```text
//! observer                       node
//!   Hello {…}                 →
//!                             ←  Observe, or Refused {error}
//!   Inspect {query}           →
//!                             ←  Report {…, last}   several, until the last
//! ```
//!
//! A connection that ends is a client that died: both sides act on that, nobody waits for a last word.

use rkyv::{Archive, Deserialize, Serialize, rancor};
use rustyray_ipc::MAX_FRAME_BYTES;
use rustyray_store::ObjectId;

use super::submission::GroupWanted;
use crate::{
    registry::Names,
    state::{Query, Report},
};

/// Grows with every change of a message, an entry or a layout; two sides that differ do not talk.
pub(crate) const PROTOCOL: u32 = 8;

/// What a process wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Started by the node, runs tasks and actors.
    Worker,
    /// Attached by itself, puts, gets, submits and calls.
    Driver,
    /// Looks, and takes no part.
    Observer,
}

/// From a client to the node.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) enum ToNode {
    /// The first word.
    Hello { protocol: u32, role: Role, nonce: u64, pid: u32, digest: u64 },
    /// What is behind a digest that differed.
    Program(Program),
    /// Everything is mapped.
    Ready,
    /// A question, answered by [`ToClient::Answer`] of the same number.
    Ask { number: u64, question: Question },
    /// What an observer wants to see, answered by one or more [`ToClient::Report`].
    Inspect { query: Query },
}

/// A program, as it describes itself: what it can run, and how it was started.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Path of the executable, for people.
    pub(crate) path: String,
    /// The registry's entries, to be compared.
    pub(crate) entries: Vec<String>,
    /// The registry's names, to speak of tasks by.
    pub(crate) names: Names,
    /// The working directory.
    pub(crate) directory: Vec<u8>,
    /// The environment's variables.
    pub(crate) environment: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a client asks once in a while.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Which actor has this name?
    ActorNamed(String),
    /// Of which class is the actor of this token? The answer has its number for a generation.
    ClassOf { index: u32, generation: u64 },
    /// Kill the actor of this token; with `restart` it is constructed again if its restarts allow.
    KillActor { index: u32, generation: u64, restart: bool },
    /// Keep this name for an actor that the client is about to create under this token. The answer is nothing
    /// when it is kept, the token of the actor that has the name, or [`BUSY`].
    ClaimName { name: String, index: u32, generation: u64 },
    /// The actor of this name and token is not created after all.
    DropClaim { name: String, index: u32, generation: u64 },
    /// Which object is settled when the actor of this token has room for another call? The answer is nothing when
    /// it has.
    Room { index: u32, generation: u64 },
    /// Keep a place for one more unfinished call of the actor of this token, which the client is about to make.
    /// The answer is nothing when it is kept, [`NO_LIMIT`] when the actor has no limit, or else the limit.
    KeepPlace { index: u32, generation: u64 },
    /// The call that a place was kept for is not made.
    DropPlace { index: u32, generation: u64 },
    /// Which object is settled when the actor of this token dies?
    Obituary { index: u32, generation: u64 },
    /// Create a placement group under this token. The answer is the token, or nothing when the token holds
    /// the error.
    CreateGroup { wanted: GroupWanted, index: u32, generation: u64 },
    /// Which placement group has this name?
    GroupNamed(String),
    /// Remove the placement group of this token.
    RemoveGroup { index: u32, generation: u64 },
    /// Cancel what is to make this object.
    Cancel { index: u32, generation: u64, force: bool, recursive: bool },
    /// Tell this client to stop the call by a direct line that returns the object.
    InterruptCall { client: u8, index: u32, generation: u64 },
    /// The same of many such calls, and cancel what they have submitted: for each the client, and the object.
    CancelCalls { calls: Vec<(u8, u32, u64)>, force: bool },
    /// Whether every cancellation that had begun has been told. The answer is nothing, and comes after them.
    Cancelled,
    /// With which grant is the producer of the stream that ends in this object to begin?
    StreamHead { index: u32, generation: u64 },
}

/// The answer to [`Question::ClaimName`] while another actor of the name is being created: ask again.
pub(crate) const BUSY: ObjectId = ObjectId { index: u32::MAX, generation: 0 };

/// The answer to [`Question::KeepPlace`] of an actor that does not limit its unfinished calls.
pub(crate) const NO_LIMIT: ObjectId = ObjectId { index: u32::MAX, generation: 0 };

/// From the node to a client.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) enum ToClient {
    /// The digests differ: say which names you have.
    Explain,
    /// No; the bytes are an archived [`crate::Error`].
    Refused { error: Vec<u8> },
    /// Come in. The descriptors that follow are the control memory, then the store's.
    Welcome {
        client: u8,
        session: u64,
        node_pid: u32,
        pool: u32,
        /// The driver's job; 0 for a worker.
        job: u32,
        /// Words of the store's geometry.
        geometry: Vec<u64>,
    },
    /// The answer to a question: the token of the actor that was asked for.
    Answer { number: u64, token: Option<(u32, u64)> },
    /// Run the task of these words on top of one that waits.
    OnTop { words: Vec<u64> },
    /// The task that was cancelled is to stop.
    Interrupt { task: u64 },
    /// The calls that return these objects, and came by direct lines, are to stop.
    InterruptCalls { calls: Vec<(u32, u64)> },
    /// Look.
    Observe,
    /// Part of the answer to an observer's question.
    Report { report: Report, last: bool },
    /// News of the direct lines by which the client calls.
    OfLines(LineNews),
    /// End in order.
    Bye,
    /// So many bytes of a message that is longer than a frame: see [`Parts`].
    Part { bytes: Vec<u8>, last: bool },
}

impl ToClient {
    /// The frames that say it, which are to come one right after the other.
    pub(crate) fn to_frames(&self) -> Vec<Vec<u8>> {
        /// Bytes of a part: with what a message is besides, it is shorter than a frame.
        const PART_BYTES: usize = MAX_FRAME_BYTES / 2;
        let bytes = self.to_bytes();
        if bytes.len() <= MAX_FRAME_BYTES {
            return vec![bytes];
        }
        let parts = bytes.chunks(PART_BYTES);
        let last = parts.len() - 1;
        let part = |(at, part): (usize, &[u8])| {
            ToClient::Part { bytes: part.to_vec(), last: at == last }.to_bytes()
        };
        parts.enumerate().map(part).collect()
    }
}

/// What has come of a message that is longer than a frame.
#[derive(Debug, Default)]
pub(crate) struct Parts(Vec<u8>);

impl Parts {
    /// What a frame says. When it completes a message that is that one; a part that completes none is given as it is.
    pub(crate) fn join(&mut self, frame: &[u8]) -> Result<ToClient, Malformed> {
        match ToClient::from_bytes(frame)? {
            ToClient::Part { bytes, last } => {
                self.0.extend_from_slice(&bytes);
                match last {
                    true => ToClient::from_bytes(&std::mem::take(&mut self.0)),
                    false => Ok(ToClient::Part { bytes, last }),
                }
            }
            whole => Ok(whole),
        }
    }
}

/// What a process is told of the direct lines by which it calls.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) enum LineNews {
    /// This line has lost its consumer; calls that it may have begun fail with the error.
    Closed { line: u64, error: Vec<u8> },
    /// This object was cancelled, and no task that the node knows makes it: a call by a line may.
    Cancelled { index: u32, generation: u64 },
    /// The tasks and calls of these words ([`crate::spec::Submitter::to_word`]) were cancelled with all that they have
    /// submitted: what of that went by a line.
    CancelledWithin { submitters: Vec<u64>, force: bool },
    /// Others want lines, and there are none: those are to be given back that nobody here can use.
    Scarce,
    /// What the call says whose words are behind its head in this object cannot be read, so that its consumer does not
    /// know what it returns.
    Lost { index: u32, generation: u64 },
}

/// A message that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("a message of {bytes} bytes is malformed: {reason}")]
pub(crate) struct Malformed {
    bytes: usize,
    reason: String,
}

macro_rules! as_bytes {
    ($($message:ident),*) => {$(
        impl $message {
            pub(crate) fn to_bytes(&self) -> Vec<u8> {
                rkyv::to_bytes::<rancor::Error>(self).map(|bytes| bytes.into_vec()).unwrap_or_default()
            }

            pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
                let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
                aligned.extend_from_slice(bytes);
                rkyv::from_bytes::<Self, rancor::Error>(&aligned)
                    .map_err(|reason| Malformed { bytes: bytes.len(), reason: reason.to_string() })
            }
        }
    )*};
}
as_bytes!(ToNode, ToClient);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way_and_garbage_is_refused() {
        let hello = ToNode::Hello {
            protocol: PROTOCOL,
            role: Role::Worker,
            nonce: 7,
            pid: 42,
            digest: u64::MAX,
        };
        assert_eq!(ToNode::from_bytes(&hello.to_bytes()).expect("readable"), hello);
        assert!(ToNode::from_bytes(&[0xff; 40]).is_err());
        assert!(ToClient::from_bytes(&[]).is_err());
    }

    #[test]
    fn a_message_of_any_length_is_put_together_from_its_frames() {
        for words in [1, MAX_FRAME_BYTES / 8, 3 * MAX_FRAME_BYTES / 8] {
            let long = ToClient::OnTop { words: (0..words as u64).collect() };
            let mut frames = long.to_frames();
            assert!(frames.iter().all(|frame| frame.len() <= MAX_FRAME_BYTES));
            let mut parts = Parts::default();
            let last = frames.pop().expect("at least one");
            for frame in &frames {
                let part = parts.join(frame).expect("readable");
                assert!(matches!(part, ToClient::Part { last: false, .. }));
            }
            assert_eq!(parts.join(&last).expect("readable"), long, "{words} words");
            assert_eq!(parts.join(&ToClient::Bye.to_bytes()).expect("readable"), ToClient::Bye);
        }
    }
}
