//! The control memory: one memfd, mapped by the node and by every client.
//!
//! | words | what |
//! | --- | --- |
//! | 0 | magic and protocol version |
//! | 1 | session |
//! | 8 … 11 | *pending*: a bit for each client whose up ring has entries, set by the client, taken by the node |
//! | 16 | *backlog*: how many tasks are ready and in no worker's queue; written by the node, a hint |
//! | 24 | *recording*: while somebody wants to know when tasks begin and end, by which clock; otherwise 0; written by the node |
//! | 32 | *sites*: 1 where it is recorded where objects are made; never changes |
//! | 40 | *wake cost*: nanoseconds that it takes to wake a thread, as the node has measured; never changes |
//! | [`HEADER_WORDS`] … | one area for each of 256 clients |
//! | … | direct lines ([`super::line`]), [`LINES`] of them |
//!
//! An area is the client's doorbell, its reply cells, its up ring (client to node), its work queue (node to
//! client) and the task that it is at ([`rustyray_ipc::Begun`]). The file is sparse: an area that nobody uses has no memory.

use std::{fs::File, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use rustyray_ipc::{
    BEGUN_WORDS, BELL_WORDS, Bell, CellShape, Consumer, LINE_HEAD_WORDS, PENDING_WORDS, Pending,
    Producer, RingShape, Ringer, WorkConsumer, WorkProducer,
};
use rustyray_memory::{
    Clock, LINE_WORDS, Mapped, Memory, Span, WORD_BYTES,
    sync::{
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};
use rustyray_store::{ClientId, ClientSet};

use super::wire::PROTOCOL;
use crate::spec::ENTRY_WORDS;

/// The words of one process's part, or of the header.
pub(crate) type Words = Span<Arc<Mapped>>;

const MAGIC: u64 = 0x5255_5354_5952_4159;
const CLIENTS: usize = 256;

const HEADER_WORDS: usize = 512;
const PENDING: usize = 8;
const BACKLOG: usize = 16;
const RECORDING: usize = 24;
const SITES: usize = 32;
const WAKE_COST: usize = 40;

/// How many requests of one process may be under way at once, and how long the answers are.
pub(crate) const CELLS: CellShape = CellShape { cells: 64, answer_words: 8 };
const UP: RingShape = RingShape { entries: 1024, payload_words: ENTRY_WORDS };
const WORK: RingShape = RingShape { entries: 256, payload_words: ENTRY_WORDS };

/// The most that a process has published and the node has not passed.
pub(super) const MOST_PUBLISHED: usize = UP.entries;

/// After how many claimed entries an actor whose calls overlap tells the node that there is room in its queue.
pub(super) const WORK_ROOM: usize = WORK.entries / 2;

const AREA_CELLS: usize = BELL_WORDS;
const AREA_UP: usize = AREA_CELLS + round(CELLS.words());
const AREA_WORK: usize = AREA_UP + round(UP.words());
const AREA_BEGUN: usize = AREA_WORK + round(WORK.words());
const AREA_WORDS: usize = round_to(AREA_BEGUN + BEGUN_WORDS, 512);

/// How many direct lines there can be at one time.
pub(super) const LINES: usize = 512;
const LINE: RingShape = RingShape { entries: 1024, payload_words: ENTRY_WORDS };

/// After how many claimed calls the producer of a line is asked whether it waits for room: when it is told, there is
/// enough for it to be worth waking, and enough left for the actor meanwhile.
pub(super) const LINE_ROOM: usize = LINE.entries / 2;

const LINE_WORDS_EACH: usize = round_to(LINE_HEAD_WORDS + round(LINE.words()), 512);
const FIRST_LINE: usize = HEADER_WORDS + CLIENTS * AREA_WORDS;
const TOTAL_WORDS: usize = FIRST_LINE + LINES * LINE_WORDS_EACH;

const fn round(words: usize) -> usize {
    round_to(words, LINE_WORDS)
}

const fn round_to(words: usize, to: usize) -> usize {
    words.div_ceil(to) * to
}

/// The control memory, as this process maps it.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    memory: Arc<Mapped>,
    pending: Pending<Words>,
}

impl Control {
    /// Makes the control memory of a new session, and the descriptor that clients map it by.
    pub(crate) fn create(session: u64) -> io::Result<(Control, OwnedFd)> {
        let descriptor =
            memfd_create(c"rustyray-control", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let file = File::from(descriptor);
        file.set_len((TOTAL_WORDS * WORD_BYTES) as u64)?;
        // No client can shorten the file under the others, which would be their SIGBUS.
        fcntl(
            &file,
            FcntlArg::F_ADD_SEALS(
                SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL,
            ),
        )?;
        let memory = Arc::new(Mapped::new(&file, TOTAL_WORDS)?);
        memory.word(1).store(session, Relaxed);
        memory.word(0).store(MAGIC ^ u64::from(PROTOCOL), Release);
        Ok((Control::over(memory), file.into()))
    }

    /// Maps the control memory of the session `session`.
    pub(crate) fn attach(descriptor: OwnedFd, session: u64) -> io::Result<Control> {
        let memory = Arc::new(Mapped::new(&File::from(descriptor), TOTAL_WORDS)?);
        let magic = memory.word(0).load(Acquire);
        if magic != MAGIC ^ u64::from(PROTOCOL) || memory.word(1).load(Relaxed) != session {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the control memory is of another version or session",
            ));
        }
        Ok(Control::over(memory))
    }

    fn over(memory: Arc<Mapped>) -> Control {
        let pending = Pending::new(Span::new(Arc::clone(&memory), PENDING, PENDING_WORDS));
        Control { memory, pending }
    }

    fn span(&self, client: ClientId, at: usize, len: usize) -> Words {
        let start = HEADER_WORDS + client.index() * AREA_WORDS + at;
        Span::new(Arc::clone(&self.memory), start, len)
    }

    pub(crate) fn bell(&self, client: ClientId) -> Bell<Words> {
        Bell::new(self.span(client, 0, BELL_WORDS))
    }

    pub(crate) fn ringer(&self, client: ClientId) -> Ringer<Words> {
        Ringer::new(self.span(client, 0, BELL_WORDS))
    }

    pub(crate) fn cells(&self, client: ClientId) -> Words {
        self.span(client, AREA_CELLS, CELLS.words())
    }

    pub(crate) fn up_producer(&self, client: ClientId) -> Producer<Words> {
        Producer::new(self.span(client, AREA_UP, UP.words()), UP)
    }

    pub(crate) fn up_consumer(&self, client: ClientId) -> Consumer<Words> {
        Consumer::new(self.span(client, AREA_UP, UP.words()), UP)
    }

    pub(crate) fn work_producer(&self, client: ClientId) -> WorkProducer<Words> {
        WorkProducer::new(self.span(client, AREA_WORK, WORK.words()), WORK)
    }

    pub(crate) fn work_consumer(&self, client: ClientId) -> WorkConsumer<Words> {
        WorkConsumer::new(self.span(client, AREA_WORK, WORK.words()), WORK)
    }

    /// What a worker says of the task that it is at.
    pub(crate) fn begun(&self, client: ClientId) -> Words {
        self.span(client, AREA_BEGUN, BEGUN_WORDS)
    }

    fn line(&self, index: u32, at: usize, len: usize) -> Option<Words> {
        let index = usize::try_from(index).ok().filter(|&index| index < LINES)?;
        Some(Span::new(Arc::clone(&self.memory), FIRST_LINE + index * LINE_WORDS_EACH + at, len))
    }

    /// The words before a direct line's queue; `None` when there is no such line.
    pub(super) fn line_head(&self, index: u32) -> Option<Words> {
        self.line(index, 0, LINE_HEAD_WORDS)
    }

    /// A direct line's queue.
    pub(super) fn line_queue(&self, index: u32) -> Option<(Words, RingShape)> {
        Some((self.line(index, LINE_HEAD_WORDS, LINE.words())?, LINE))
    }

    /// Empties a direct line's queue before it is given out again. Nobody may use it meanwhile.
    pub(super) fn reset_line(&self, index: u32) {
        if let Some((span, shape)) = self.line_queue(index) {
            shape.reset(&span);
        }
    }

    /// Clears a client's area before another process becomes that client. Nobody else may use it meanwhile.
    pub(crate) fn clear(&self, client: ClientId) {
        let area = self.span(client, 0, AREA_WORDS);
        (0..AREA_WORDS).for_each(|word| area.word(word).store(0, Relaxed));
        // Release: whoever learns of the client by a later message sees the area cleared.
        fence(Release);
    }

    /// Says that `client`'s up ring has entries, after they were published.
    pub(crate) fn set_pending(&self, client: ClientId) {
        self.pending.set(client.get());
    }

    /// Takes the set of clients whose up rings have entries.
    pub(crate) fn take_pending(&self) -> ClientSet {
        ClientSet::from_words(self.pending.take())
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The clock by which somebody wants to know when tasks begin and end; `None` while nobody does.
    #[inline]
    pub(crate) fn recording(&self) -> Option<Clock> {
        Clock::from_word(self.memory.word(RECORDING).load(Relaxed))
    }

    /// The node: see [`Control::recording`].
    pub(crate) fn set_recording(&self, clock: Option<Clock>) {
        self.memory.word(RECORDING).store(clock.map_or(0, Clock::to_word), Relaxed);
    }

    /// Whether it is recorded where in programs objects are made.
    pub(crate) fn records_sites(&self) -> bool {
        self.memory.word(SITES).load(Relaxed) != 0
    }

    /// The node, before anybody else has the memory: see [`Control::records_sites`].
    pub(crate) fn record_sites(&self) {
        self.memory.word(SITES).store(1, Relaxed);
    }

    /// What a wakeup costs on this machine.
    pub(crate) fn wake_cost(&self) -> Duration {
        Duration::from_nanos(self.memory.word(WAKE_COST).load(Relaxed))
    }

    /// The node, before anybody else has the memory: see [`Control::wake_cost`].
    pub(crate) fn set_wake_cost(&self, cost: Duration) {
        self.memory.word(WAKE_COST).store(cost.as_nanos() as u64, Relaxed);
    }

    /// How many ready tasks wait for a worker, by the node's last word.
    pub(crate) fn backlog(&self) -> u64 {
        self.memory.word(BACKLOG).load(Relaxed)
    }

    pub(crate) fn set_backlog(&self, tasks: u64) {
        let word = self.memory.word(BACKLOG);
        if word.load(Relaxed) != tasks {
            word.store(tasks, Relaxed);
        }
    }
}
