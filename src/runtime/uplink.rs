//! A client's way to the node: its up ring, and the cells in which the node answers requests.
//!
//! Entries of the up ring, by the low byte of their first word:
//!
//! | entry | words after the first |
//! | --- | --- |
//! | [`UP_SUBMIT`] | a submission ([`super::submission`]) |
//! | [`UP_SUBMIT_BODY`] | index and generation of an object that holds the words of one |
//! | [`UP_COMPLETE`] | task, attempt; then, where a restart failed, the object that holds the error; while tasks are recorded, a record ([`super::record`]) |
//! | [`UP_REQUEST`] | a request to the store; bits 8 … of the first word name the cell for its reply |
//! | [`UP_BLOCKED`] | objects that the sleeping task waits for: index and generation of each; with [`RESTS`] those of an actor's calls that wait, beside which it takes others; with [`ALSO`] beside those that were named; with [`MORE`] there are others |
//! | [`UP_UNBLOCKED`] | none |
//! | [`UP_EXIT`] | none: the actor that lives in the client ends on its own |
//! | [`UP_STREAM`] | the end of a stream and the grant it has come to: index and generation of each |
//! | [`UP_LINE`] | index and generation of an actor's token, to which a direct line is wanted; the cell as above |
//! | [`UP_LINE_DONE`] | the direct line with whose end the client has no more to do, and which that is |
//! | [`UP_CALL_LOST`] | index and generation of the body of a call that came by a direct line and cannot be read |
//! | [`UP_RECORD`] | when a call by a direct line began and ended ([`super::record`]) |
//! | [`UP_TEXT`] | a text that later entries name ([`super::texts`]): its number, its length in bytes, the bytes |
//! | [`UP_SITE`] | index and generation of an object, and the number of the text that says where it was made |
//! | [`UP_ROOM`] | none: the client has claimed from its work queue, and its calls may be long in ending |
//!
//! Of a completion, the upper half of the first word says for how many nanoseconds the task ran, where that was
//! measured.
//!
//! The cells are [`rustyray_ipc::Asker`]'s; the area is cleared before another client gets it.

use std::{
    collections::{HashMap, VecDeque},
    io, mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering as Private},
    },
    thread::Thread,
    time::Duration,
};

use parking_lot::Mutex;
use rustyray_ipc::{Asker, Bell, BlockingConnection, Full, Patience, Producer};
use rustyray_memory::ForkGuard;
use rustyray_store::{
    ClientId, ObjectId, Pin, Reply, Request, Transport, TransportError, ViewError,
};

use super::{
    Core,
    control::{CELLS, Control, Words},
    doorbells::Doorbells,
    line::{LineEnd, LineId},
    lines::Asked,
    node::{Claim, Place},
    submission::{GroupWanted, Wanted},
    texts::Said,
    wire::{BUSY, NO_LIMIT, Question, Role, ToNode},
};
use crate::{
    cancel::CancelOptions,
    error::{Error, Result},
    spec::{self, ENTRY_WORDS},
};

pub(super) const UP_SUBMIT: u64 = 1;
pub(super) const UP_SUBMIT_BODY: u64 = 2;
pub(super) const UP_COMPLETE: u64 = 3;
pub(super) const UP_REQUEST: u64 = 4;
pub(super) const UP_BLOCKED: u64 = 5;
pub(super) const RESTS: u64 = 1 << 8;
pub(super) const ALSO: u64 = 1 << 9;
pub(super) const MORE: u64 = 1 << 10;
pub(super) const UP_UNBLOCKED: u64 = 6;
pub(super) const UP_EXIT: u64 = 7;
pub(super) const UP_STREAM: u64 = 8;
pub(super) const UP_LINE: u64 = 9;
pub(super) const UP_LINE_DONE: u64 = 10;
pub(super) const UP_RECORD: u64 = 11;
pub(super) const UP_TEXT: u64 = 12;
pub(super) const UP_SITE: u64 = 13;
pub(super) const UP_ROOM: u64 = 14;
pub(super) const UP_CALL_LOST: u64 = 15;

/// How many of the objects that somebody sleeps for are named in one entry.
const NAMED: usize = 8;

/// How many times something is kept in transit before it is looked how far the node has come: that is in a cache line
/// which the node writes for each entry.
const TOGETHER: u32 = 16;

/// References that the client holds for the node until it has passed an entry.
#[derive(Default)]
struct InTransit {
    /// The position of the entry, and one of the references.
    held: VecDeque<(u64, ObjectId)>,
    /// The same of an object whose bytes the node reads when it comes to the entry: so long they stay in memory, since
    /// to bring them back may take long, and fail.
    pinned: VecDeque<(u64, Pin)>,
    /// How many times there came more since it was looked.
    unlooked: u32,
    /// There was nothing, so who looks once in a while does not: it is to be woken when there is.
    nobody_looks: bool,
}

/// A client's end of the way to the node.
pub(crate) struct Uplink {
    client: ClientId,
    pub(super) role: Role,
    control: Control,
    up: Producer<Words>,
    cells: Asker<Words>,
    pub(super) bell: Arc<Bell<Words>>,
    doorbells: Arc<Doorbells>,
    socket: Arc<BlockingConnection>,
    questions: AtomicU64,
    answers: Mutex<HashMap<u64, Option<ObjectId>>>,
    in_transit: Mutex<InTransit>,
    looks: OnceLock<Thread>,
    /// The texts that the node was told.
    pub(super) said: Said,
    closed: AtomicBool,
    /// A child that is forked off has all of this too, and no right to any of it: it neither writes what its parent
    /// writes nor takes what its parent is answered.
    fork: ForkGuard,
    /// This process has ended the connection.
    hung_up: AtomicBool,
}

impl Uplink {
    pub(crate) fn new(
        control: &Control,
        client: ClientId,
        role: Role,
        doorbells: Arc<Doorbells>,
        socket: Arc<BlockingConnection>,
    ) -> io::Result<Self> {
        Ok(Uplink {
            client,
            role,
            control: control.clone(),
            up: control.up_producer(client),
            cells: Asker::new(control.cells(client), CELLS),
            bell: Arc::new(control.bell(client)),
            doorbells,
            socket,
            questions: AtomicU64::new(0),
            answers: Mutex::new(HashMap::new()),
            in_transit: Mutex::default(),
            looks: OnceLock::new(),
            said: Said::default(),
            closed: AtomicBool::new(false),
            fork: ForkGuard::new()?,
            hung_up: AtomicBool::new(false),
        })
    }

    /// The node is gone: every wait ends with an error.
    pub(crate) fn close(&self) {
        self.closed.store(true, Private::Release);
        // A pin keeps its client, which has this for its way to the node. A node that lives still reads all at once.
        self.in_transit.lock().pinned.clear();
        self.bell.wake_local();
        self.have_looked();
    }

    /// Whether the node is gone, or is not this process's to talk to.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Private::Acquire) || self.fork.is_forked()
    }

    /// Publishes an entry and says so, without ringing; gives its position, `None` when the node is gone.
    pub(crate) fn publish(&self, entry: &[u64]) -> Option<u64> {
        if self.fork.is_forked() {
            return None;
        }
        let mut attempt = 0_u32;
        loop {
            match self.up.push(entry) {
                Ok(position) => {
                    self.control.set_pending(self.client);
                    return Some(position);
                }
                Err(Full) if self.is_closed() => return None,
                Err(Full) => {
                    // The node empties a ring as a whole: let it have the core.
                    self.ring_node();
                    attempt += 1;
                    if attempt < 8 {
                        std::thread::yield_now();
                    } else {
                        std::thread::sleep(Duration::from_micros(100));
                    }
                }
            }
        }
    }

    /// Rings the node, which costs nothing while it is awake.
    pub(crate) fn ring_node(&self) {
        self.doorbells.ring(ClientId::NODE);
    }

    /// Keeps `held` until the node has passed the entry at `position`. Gives what it has passed of what was kept before
    /// to `release`, now and then.
    pub(crate) fn keep_in_transit(
        &self,
        position: u64,
        held: impl IntoIterator<Item = ObjectId>,
        release: impl FnMut(ObjectId),
    ) {
        let mut in_transit = self.in_transit.lock();
        in_transit.held.extend(held.into_iter().map(|id| (position, id)));
        in_transit.unlooked += 1;
        if in_transit.unlooked >= TOGETHER {
            self.release_passed(&mut in_transit, release);
        }
        let wakes = !in_transit.held.is_empty() && mem::take(&mut in_transit.nobody_looks);
        drop(in_transit);
        if wakes {
            self.have_looked();
        }
    }

    /// This thread looks from now on what is held and needed no more ([`super::leftovers`]).
    pub(super) fn look_by(&self, thread: Thread) {
        let _ = self.looks.set(thread);
    }

    /// Wakes the thread that looks, if there is one.
    pub(super) fn have_looked(&self) {
        if let Some(thread) = self.looks.get() {
            thread.unpark();
        }
    }

    /// Whether nothing is held for the node; then the thread that looks is woken when there is something.
    pub(super) fn holds_nothing(&self) -> bool {
        let mut in_transit = self.in_transit.lock();
        in_transit.nobody_looks = in_transit.held.is_empty();
        in_transit.nobody_looks
    }

    /// Gives what the node has taken over since to `release`; whether there is anything left.
    pub(super) fn let_go(&self, release: impl FnMut(ObjectId)) -> bool {
        let mut in_transit = self.in_transit.lock();
        self.release_passed(&mut in_transit, release);
        !in_transit.held.is_empty()
    }

    /// `release` runs under the lock: it lets go of a reference in the store, and comes back to nothing here.
    fn release_passed(&self, in_transit: &mut InTransit, mut release: impl FnMut(ObjectId)) {
        in_transit.unlooked = 0;
        if in_transit.held.is_empty() {
            return;
        }
        let passed = self.up.passed();
        while let Some(&(position, id)) = in_transit.held.front()
            && position < passed
        {
            in_transit.held.pop_front();
            release(id);
        }
        while in_transit.pinned.pop_front_if(|(position, _)| *position < passed).is_some() {}
    }

    /// Hands a submission to the node: what is wanted, the references inside its values, and its words. `held` and
    /// those of `returns` are released once the node has taken them over.
    pub(crate) fn submit(
        &self,
        core: &Core,
        wanted: &Wanted,
        nested: &[ObjectId],
        spec: &[u64],
        held: Vec<ObjectId>,
        returns: &[ObjectId],
    ) -> Result<()> {
        match Self::put_long(core, wanted, nested, spec) {
            Ok(put) => self.submit_put(core, wanted, nested, spec, put, held, returns),
            Err(error) => {
                held.iter().chain(returns).for_each(|&id| core.release(id));
                Err(error)
            }
        }
    }

    /// Whether no entry has room for the words of a submission.
    pub(super) fn is_long(nested: &[ObjectId], spec: &[u64]) -> bool {
        1 + Wanted::words(nested, spec) > ENTRY_WORDS
    }

    /// Puts the words of a submission into the store, where they are too long for an entry. It may wait for room.
    pub(super) fn put_long(
        core: &Core,
        wanted: &Wanted,
        nested: &[ObjectId],
        spec: &[u64],
    ) -> Result<Option<Pin>> {
        if !Self::is_long(nested, spec) {
            return Ok(None);
        }
        let mut words = vec![0; Wanted::words(nested, spec)];
        wanted.write(nested, spec, &mut words);
        let put = core.client.put_bytes(&spec::bytes_of(&words));
        let body = put.map_err(super::store_error::<()>)?;
        core.client.pin(body).map(Some).map_err(|error| {
            core.release(body);
            core.view_error::<()>(body, ViewError::Pin(error))
        })
    }

    /// The same as [`Uplink::submit`] with what [`Uplink::put_long`] gave, and waits for no room.
    #[expect(clippy::too_many_arguments, reason = "they are those of `submit`, and what was put")]
    pub(super) fn submit_put(
        &self,
        core: &Core,
        wanted: &Wanted,
        nested: &[ObjectId],
        spec: &[u64],
        put: Option<Pin>,
        held: Vec<ObjectId>,
        returns: &[ObjectId],
    ) -> Result<()> {
        let body = put.as_ref().map(Pin::id);
        let published = match put {
            Some(pin) => self.publish_body(pin),
            None => {
                let mut entry = [0; ENTRY_WORDS];
                let len = 1 + Wanted::words(nested, spec);
                entry[0] = UP_SUBMIT;
                wanted.write(nested, spec, &mut entry[1..len]);
                self.publish(&entry[..len])
            }
        };
        let held = held.into_iter().chain(returns.iter().copied()).chain(body);
        match published {
            Some(position) => {
                self.ring_node();
                self.keep_in_transit(position, held, |id| core.release(id));
                Ok(())
            }
            None => {
                held.for_each(|id| core.release(id));
                Err(self.gone("something was handed to it"))
            }
        }
    }

    /// Publishes the entry for a submission whose words are in the pinned object; `None` when the node is gone.
    pub(super) fn publish_body(&self, pin: Pin) -> Option<u64> {
        let body = pin.id();
        let position = self.publish(&[UP_SUBMIT_BODY, u64::from(body.index), body.generation]);
        if let Some(position) = position {
            let mut in_transit = self.in_transit.lock();
            // `close` says so before it takes the lock.
            if !self.is_closed() {
                in_transit.pinned.push_back((position, pin));
            }
        }
        position
    }

    /// Tells the node which grant of a stream is the first that may still be needed.
    pub(crate) fn advance_stream(&self, core: &Core, end: ObjectId, grant: ObjectId) {
        let held = core.retain(grant).map_or_else(|_| Vec::new(), |()| vec![grant]);
        let words = [end, grant].map(|id| [u64::from(id.index), id.generation]);
        let entry = [UP_STREAM, words[0][0], words[0][1], words[1][0], words[1][1]];
        match self.publish(&entry) {
            // There is no haste: the node reads it with the next entry that is rung for.
            Some(at) => self.keep_in_transit(at, held, |id| core.release(id)),
            None => held.into_iter().for_each(|id| core.release(id)),
        }
    }

    /// Asks the node for the grant with which a stream's producer is to begin.
    pub(crate) fn stream_head(&self, end: ObjectId) -> Result<Option<ObjectId>> {
        self.ask(Question::StreamHead { index: end.index, generation: end.generation })
    }

    /// The token of the actor of this name.
    pub(crate) fn actor_named(&self, name: &str) -> Result<Option<ObjectId>> {
        self.ask(Question::ActorNamed(name.to_owned()))
    }

    /// The class of the actor of this token.
    pub(crate) fn class_of(&self, token: ObjectId) -> Result<Option<u64>> {
        let ObjectId { index, generation } = token;
        let answer = self.ask(Question::ClassOf { index, generation })?;
        Ok(answer.map(|class| class.generation))
    }

    /// Asks the node to kill an actor.
    pub(crate) fn kill_actor(&self, token: ObjectId, restart: bool) -> Result<()> {
        let ObjectId { index, generation } = token;
        self.ask(Question::KillActor { index, generation, restart }).map(drop)
    }

    /// Claims a name for the actor that is about to be created under `token`.
    pub(crate) fn claim_name(&self, name: &str, token: ObjectId) -> Result<Claim> {
        let ObjectId { index, generation } = token;
        let answer = self.ask(Question::ClaimName { name: name.to_owned(), index, generation })?;
        Ok(match answer {
            None => Claim::Kept,
            Some(BUSY) => Claim::Busy,
            Some(token) => Claim::Of(token),
        })
    }

    /// Gives back a name that was claimed and is not needed.
    pub(crate) fn drop_claim(&self, name: &str, token: ObjectId) -> Result<()> {
        let ObjectId { index, generation } = token;
        self.ask(Question::DropClaim { name: name.to_owned(), index, generation }).map(drop)
    }

    /// The object that is settled when the actor of this token has room for another call.
    pub(crate) fn room(&self, token: ObjectId) -> Result<Option<ObjectId>> {
        self.ask(Question::Room { index: token.index, generation: token.generation })
    }

    /// Has the node keep a place for one more unfinished call of the actor of this token.
    pub(super) fn keep_place(&self, token: ObjectId) -> Result<Place> {
        let ObjectId { index, generation } = token;
        Ok(match self.ask(Question::KeepPlace { index, generation })? {
            None => Place::Kept,
            Some(NO_LIMIT) => Place::NoLimit,
            Some(limit) => Place::Full { limit: limit.generation },
        })
    }

    /// Gives back a place that was kept and is not needed.
    pub(super) fn drop_place(&self, token: ObjectId) -> Result<()> {
        let ObjectId { index, generation } = token;
        self.ask(Question::DropPlace { index, generation }).map(drop)
    }

    /// The object that is settled when the actor of this token dies.
    pub(crate) fn obituary(&self, token: ObjectId) -> Result<Option<ObjectId>> {
        self.ask(Question::Obituary { index: token.index, generation: token.generation })
    }

    /// Asks the node for a placement group; `false` when the token holds the reason why not.
    pub(crate) fn create_group(&self, wanted: GroupWanted, token: ObjectId) -> Result<bool> {
        let ObjectId { index, generation } = token;
        let answer = self.ask(Question::CreateGroup { wanted, index, generation })?;
        Ok(answer.is_some())
    }

    /// The token of the placement group of this name.
    pub(crate) fn group_named(&self, name: &str) -> Result<Option<ObjectId>> {
        self.ask(Question::GroupNamed(name.to_owned()))
    }

    /// Asks the node to remove a placement group.
    pub(crate) fn remove_group(&self, token: ObjectId) -> Result<()> {
        let ObjectId { index, generation } = token;
        self.ask(Question::RemoveGroup { index, generation }).map(drop)
    }

    /// Asks the node to cancel what is to make the object.
    pub(crate) fn cancel(&self, id: ObjectId, options: CancelOptions) -> Result<()> {
        let CancelOptions { force, recursive } = options;
        let ObjectId { index, generation } = id;
        self.ask(Question::Cancel { index, generation, force, recursive }).map(drop)
    }

    /// Has the node tell a process to stop the call by a direct line that makes the object.
    pub(crate) fn interrupt_call(&self, client: ClientId, id: ObjectId) -> Result<()> {
        let ObjectId { index, generation } = id;
        self.ask(Question::InterruptCall { client: client.get(), index, generation }).map(drop)
    }

    /// The same of many such calls, and has the node cancel what they have submitted.
    pub(crate) fn cancel_calls(&self, calls: &[(ClientId, ObjectId)], force: bool) -> Result<()> {
        /// Those of one question, which has to fit into a frame.
        const MOST: usize = 1 << 16;
        for calls in calls.chunks(MOST) {
            let calls = calls.iter().map(|(client, id)| (client.get(), id.index, id.generation));
            self.ask(Question::CancelCalls { calls: calls.collect(), force })?;
        }
        Ok(())
    }

    /// Returns when all is known here that the node has cancelled by now.
    pub(crate) fn hear_of_cancellations(&self) -> Result<()> {
        // What the node says comes in order, so the answer comes last.
        self.ask(Question::Cancelled).map(drop)
    }

    /// The error of what the node does not answer any more.
    #[cold]
    fn gone(&self, what: &str) -> Error {
        if self.fork.is_forked() {
            return super::store_error::<()>(rustyray_store::Error::Forked);
        }
        match self.has_hung_up() {
            true => Error::ShutDown { what: what.into() },
            false => Error::NodeEnded { what: what.into() },
        }
    }

    /// Whether this process has ended the connection itself.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.hung_up.load(Private::Acquire)
    }

    /// Ends the connection.
    pub(crate) fn hang_up(&self) {
        if self.fork.is_forked() {
            return;
        }
        // Release: pairs with the acquire above, which comes after the end that was noticed.
        self.hung_up.store(true, Private::Release);
        // It may have ended already.
        let _ = self.socket.shutdown();
    }

    fn ask(&self, question: Question) -> Result<Option<ObjectId>> {
        let gone = || self.gone("it was asked something");
        if self.is_closed() {
            return Err(gone());
        }
        let number = self.questions.fetch_add(1, Private::Relaxed);
        let message = ToNode::Ask { number, question }.to_bytes();
        self.socket
            .send(&message, &[])
            .map_err(|error| Error::io("asking the node", &error.into()))?;
        let answer = Patience::calibrated().wait_aside(&self.bell, None, || {
            match self.answers.lock().remove(&number) {
                Some(answer) => Some(Some(answer)),
                None => self.is_closed().then_some(None),
            }
        });
        answer.flatten().ok_or_else(gone)
    }

    /// An answer has come.
    pub(super) fn answered(&self, number: u64, token: Option<ObjectId>) {
        self.answers.lock().insert(number, token);
        self.bell.wake_local();
    }

    /// Whether the node has not yet seen everything that was published.
    pub(crate) fn has_unseen(&self) -> bool {
        !self.up.is_empty()
    }

    /// Says that there is room in this process's work queue.
    pub(super) fn has_room(&self) {
        if self.publish(&[UP_ROOM]).is_some() {
            self.ring_node();
        }
    }

    /// Asks the node for a direct line to the actor of this token.
    pub(super) fn ask_line(&self, token: ObjectId) -> Result<Asked<LineId>> {
        let mut entry = [0, u64::from(token.index), token.generation];
        let [said, line] = self
            .ask_in_cell(UP_LINE, &mut entry)
            .ok_or_else(|| self.gone("it was asked for a direct line"))?;
        Ok(match said {
            LINE_GRANTED => Asked::Granted(LineId::from_word(line)),
            LINE_NEVER => Asked::Never,
            _ => Asked::NotNow,
        })
    }

    /// Says that this process has no more to do with its end of a direct line.
    pub(super) fn line_done(&self, line: LineId, end: LineEnd) {
        if self.publish(&[UP_LINE_DONE, line.to_word(), end as u64]).is_some() {
            self.ring_node();
        }
    }

    /// Says that the body of a call by a direct line cannot be read: only its caller knows what it was to return.
    pub(super) fn call_is_lost(&self, body: ObjectId) {
        if self.publish(&[UP_CALL_LOST, u64::from(body.index), body.generation]).is_some() {
            self.ring_node();
        }
    }

    /// Publishes an entry of this kind that names a cell, waits for the answer in it and reads that; `None` when
    /// the node is gone.
    fn ask_in_cell<const N: usize>(&self, kind: u64, entry: &mut [u64]) -> Option<[u64; N]> {
        let question = loop {
            // A node that is gone gives back none of the cells that it has not answered in.
            if self.is_closed() {
                return None;
            }
            match self.cells.ask() {
                Some(question) => break question,
                None => std::thread::sleep(Duration::from_micros(50)),
            }
        };
        entry[0] = kind | (question.cell() as u64) << 8;
        self.publish(entry)?;
        self.ring_node();
        let over = || question.is_answered() || self.is_closed();
        Patience::calibrated().wait_aside(&self.bell, None, || over().then_some(()));
        // What is not answered keeps its cell, which is lost with the session.
        question.read().ok()
    }

    /// A task is about to sleep for these. Names the first few, which is enough as long as every task has a worker;
    /// gives the others, which are to be named when it has not.
    pub(super) fn blocks<'a>(&self, awaited: &'a [ObjectId]) -> &'a [ObjectId] {
        let (first, others) = awaited.split_at(awaited.len().min(NAMED));
        let more = if others.is_empty() { 0 } else { MORE };
        self.publish(&blocked(UP_BLOCKED | more, first));
        self.ring_node();
        others
    }

    /// It sleeps for these as well.
    pub(super) fn blocks_also(&self, awaited: &[ObjectId]) {
        for named in awaited.chunks(NAMED) {
            let is_last = std::ptr::eq(named.as_ptr_range().end, awaited.as_ptr_range().end);
            let more = if is_last { 0 } else { MORE };
            self.publish(&blocked(UP_BLOCKED | ALSO | more, named));
        }
        self.ring_node();
    }

    /// An actor rests, and its calls that wait do so for these: it gives its cpus to others, and what it waits for may
    /// be run here where it cannot be run elsewhere.
    pub(super) fn rests(&self, awaited: &[ObjectId]) {
        let (first, others) = awaited.split_at(awaited.len().min(NAMED));
        self.publish(&blocked(UP_BLOCKED | RESTS, first));
        self.blocks_also(others);
    }

    /// The task that slept, or the actor that rested, goes on.
    pub(super) fn goes_on(&self) {
        self.publish(&[UP_UNBLOCKED]);
    }

    /// Whether an answer came that a sleeping thread of this process is to be told of.
    pub(super) fn has_news(&self) -> bool {
        self.cells.take_untold()
    }
}

/// The entry that says for what somebody sleeps, or for some of it.
fn blocked(first: u64, awaited: &[ObjectId]) -> Vec<u64> {
    let names = awaited.iter().flat_map(|id| [u64::from(id.index), id.generation]);
    std::iter::once(first).chain(names).collect()
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Uplink({:?})", self.client)
    }
}

impl Transport for Uplink {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let mut entry = [0; 9];
        entry[1..].copy_from_slice(&request.to_words());
        let answer = self.ask_in_cell(UP_REQUEST, &mut entry);
        answer.and_then(Reply::from_words).ok_or(TransportError::Closed)
    }
}

/// The first word of the answer to [`UP_LINE`] when there is a line; the second names it.
const LINE_GRANTED: u64 = 1;
/// The same when there will not be one.
const LINE_NEVER: u64 = 2;

/// Answers [`UP_LINE`].
pub(super) fn answer_line(cells: &Words, cell: u64, asked: Asked<LineId>) {
    let words = match asked {
        Asked::Granted(line) => [LINE_GRANTED, line.to_word()],
        Asked::NotNow => [0, 0],
        Asked::Never => [LINE_NEVER, 0],
    };
    answer(cells, cell, &words);
}

/// Answers what a client asked in `cell`; a cell that is none is ignored.
pub(super) fn answer(cells: &Words, cell: u64, words: &[u64]) {
    let _ = rustyray_ipc::answer(cells, CELLS, cell, words);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{Runtime, builder::Builder, runtime::Link};

    /// A node without workers, a program that is attached to it, and where its socket is as long as this lives.
    pub(crate) fn node_and_driver(builder: Builder) -> (Runtime, Runtime, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("node.sock");
        let builder = builder.num_cpus(1.0).first_workers(0).visible(false).socket(&socket);
        let runtime = builder.start_blocking().expect("a node starts");
        // Of another thread, since each has one runtime.
        let connect = || crate::blocking::connect(&socket).expect("it lets us in");
        let driver = std::thread::scope(|scope| scope.spawn(connect).join().expect("no panic"));
        (runtime, driver, directory)
    }

    /// The program waits for nothing and submits nothing more.
    #[test]
    fn what_is_held_for_the_node_is_let_go_of_when_the_program_rests() {
        let (runtime, driver, _directory) = node_and_driver(Builder::new());
        let core = &driver.core;
        let Link::Uplink(uplink) = &core.link else { panic!("it is attached") };
        // The second time nobody has looked for a while.
        for pause in [Duration::ZERO, Duration::from_millis(1500)] {
            std::thread::sleep(pause);
            let held = core.client.reserve().expect("there is room");
            let position = uplink.publish(&[UP_ROOM]).expect("the node lives");
            uplink.ring_node();
            uplink.keep_in_transit(position, [held], |id| core.release(id));
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while core.client.holds(held) {
                assert!(std::time::Instant::now() < deadline, "nobody lets go of it");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        crate::block_on(driver.shutdown()).expect("it lets go");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }

    #[test]
    fn what_a_submission_held_is_let_go_of_when_there_is_no_room_for_its_words() {
        let (runtime, driver, _directory) =
            node_and_driver(Builder::new().object_store_memory(8 << 20));
        let core = &driver.core;
        let Link::Uplink(uplink) = &core.link else { panic!("it is attached") };
        let [held, returned] = [(); 2].map(|()| core.client.reserve().expect("there is room"));
        // More than the whole store takes.
        let words = vec![0; 2 << 20];
        let wanted = Wanted::default();
        uplink
            .submit(core, &wanted, &[], &words, vec![held], &[returned])
            .expect_err("there is no room");
        assert!(!core.client.holds(held), "what it was to be given");
        assert!(!core.client.holds(returned), "what it was to make");
        crate::block_on(driver.shutdown()).expect("it lets go");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
