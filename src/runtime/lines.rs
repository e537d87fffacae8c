//! This process's ends of the direct lines by which it calls actors. The protocol is in [`super::line`].
//!
//! Every call of an actor from a process other than the node's goes through the actor's [`Route`], under its
//! lock: at first by way of the node, then by a line, and by the node again when the line is closed.
//!
//! # Nothing that found no room is forgotten
//! Whoever is told of room sends what found none before, but waits for no route: it may be the one thread that
//! sees to the doorbell, and the route's holder may wait for that. If it finds a route taken it leaves a note
//! ([`Missed`]), and whoever lets go of the route sends in its place.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustyray_ipc::{Missed, Ticket, WorkProducer};
use rustyray_store::{ClientId, ObjectId, Status};

use super::{
    Core,
    control::Words,
    line::{Line, LineId, LineState, OFTEN},
    node::Place,
    submission::Wanted,
    uplink::Uplink,
};
use crate::{
    call::Ids,
    error::{Error, Result},
    registry,
    spec::{self, ENTRY_WORDS},
};

/// After how many further calls a process asks again for a line when there was none just then.
const AGAIN: u32 = 4 * OFTEN;

/// How many unsettled calls of a line are few.
const MANY: usize = 64;

/// A call of an actor, as it goes by whichever way.
pub(crate) struct LineCall {
    /// The words of the call ([`crate::spec`]).
    pub(crate) words: Vec<u64>,
    /// The task that calls.
    pub(crate) parent: u64,
    /// The references inside its arguments.
    pub(crate) nested: Vec<ObjectId>,
    pub(crate) returns: Ids,
    /// The references that are held for it.
    pub(crate) held: Vec<ObjectId>,
    /// The words again, as an object, when they do not fit an entry.
    pub(crate) body: Option<ObjectId>,
    /// The node keeps a place for it among the actor's unfinished calls.
    pub(crate) is_counted: bool,
}

impl LineCall {
    fn by_node(self, core: &Core, uplink: &Uplink) -> Result<()> {
        let Self { parent, is_counted, .. } = self;
        let wanted = Wanted { parent, is_counted, ..Wanted::default() };
        uplink.submit(core, &wanted.to_words(&self.nested, &self.words), self.held)
    }

    /// The words behind the header, as an object.
    fn body(&mut self, core: &Core) -> Result<ObjectId> {
        if let Some(body) = self.body {
            return Ok(body);
        }
        let words = &self.words[spec::HEADER_WORDS..];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let body = core.client.put_bytes(&bytes).map_err(super::store_error::<()>)?;
        self.held.push(body);
        Ok(*self.body.insert(body))
    }

    fn is_settled(&self, core: &Core) -> bool {
        self.returns.as_slice().iter().all(|&id| !core.is_pending(id))
    }

    pub(crate) fn release(self, core: &Core) {
        self.held.into_iter().for_each(|id| core.release(id));
    }

    /// Settles a call that may have run and whose actor is gone.
    fn fail(self, core: &Core, error: &Error) {
        self.returns.as_slice().iter().for_each(|&id| core.fail(id, 0, error));
        self.release(core);
    }
}

/// What came of asking for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<T> {
    /// Here it is.
    Granted(T),
    /// The actor is not alive just now, or there are too many lines.
    NotNow,
    /// The node has to see this actor's calls, or the actor is in the process that asks.
    Never,
}

/// The way to one actor.
#[derive(Default)]
struct Route {
    /// How many went by the node since the last line was closed, or refused.
    calls: u32,
    /// How many more than usual there have to be before the next ask.
    refused: u32,
    line: Option<Open>,
    /// The actor is known not to limit its unfinished calls.
    is_unlimited: bool,
}

/// A route, and whether somebody came by who found it taken.
#[derive(Default)]
struct Way {
    route: Mutex<Route>,
    missed: Missed,
}

/// A line that is open, as far as this process knows.
struct Open {
    line: Line,
    consumer: ClientId,
    queue: WorkProducer<Words>,
    /// What was pushed and may not be settled, oldest first.
    sent: VecDeque<(Ticket, LineCall)>,
    /// From how many on all of `sent` is looked through.
    many: usize,
    /// What found no room.
    overflow: VecDeque<LineCall>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Lines {
    ways: Mutex<HashMap<ObjectId, Arc<Way>>>,
    /// Lines with calls that found no room.
    overflowing: AtomicUsize,
    /// Some calls were not settled when this process went to rest.
    unsettled: AtomicBool,
}

impl Lines {
    fn way(&self, token: ObjectId) -> Arc<Way> {
        Arc::clone(self.ways.lock().entry(token).or_default())
    }

    fn all_ways(&self) -> Vec<Arc<Way>> {
        self.ways.lock().values().map(Arc::clone).collect()
    }

    /// Does something with a route, and then what others would have done meanwhile.
    fn with_route<R>(&self, core: &Core, way: &Way, f: impl FnOnce(&mut Route) -> R) -> R {
        let done = f(&mut way.route.lock());
        self.make_up(core, way);
        done
    }

    /// After a route was let go of: sends on it what somebody missed to send.
    fn make_up(&self, core: &Core, way: &Way) {
        // What was left on this route, if anything, was counted before it was let go of.
        if self.overflowing.load(Ordering::Relaxed) > 0 && way.missed.is_noted() {
            self.flush_way(core, way);
        }
    }

    /// Sends a call on its way to the actor of this token.
    pub(crate) fn call(
        &self,
        core: &Arc<Core>,
        uplink: &Uplink,
        token: ObjectId,
        call: LineCall,
    ) -> Result<()> {
        let (way, is_counted) = (self.way(token), call.is_counted);
        let send = |route: &mut Route| self.call_by(core, uplink, token, route, call);
        self.with_route(core, &way, send).inspect_err(|_| {
            if is_counted {
                // Without the route: the thread that hears the answer may be waiting for it. The node is gone when
                // this fails too.
                let _ = uplink.drop_place(token);
            }
        })
    }

    fn call_by(
        &self,
        core: &Arc<Core>,
        uplink: &Uplink,
        token: ObjectId,
        route: &mut Route,
        call: LineCall,
    ) -> Result<()> {
        route.calls = route.calls.saturating_add(1);
        if route.line.is_none() && route.calls > OFTEN + route.refused {
            match self.ask(core, uplink, token)? {
                Asked::Granted(line) => route.line = Some(line),
                Asked::NotNow => (route.calls, route.refused) = (0, AGAIN),
                Asked::Never => route.refused = u32::MAX - OFTEN,
            }
        }
        match &mut route.line {
            None => call.by_node(core, uplink),
            Some(open) => {
                open.sweep(core);
                self.send(core, open, call)
            }
        }
    }

    /// Has the node keep a place for one more unfinished call of an actor of this class; whether it does, since
    /// only some actors limit them.
    pub(crate) fn keep_place(
        &self,
        core: &Core,
        uplink: &Uplink,
        token: ObjectId,
        class: u64,
    ) -> Result<bool> {
        let way = self.way(token);
        if self.with_route(core, &way, |route| route.is_unlimited) {
            return Ok(false);
        }
        match uplink.keep_place(token)? {
            Place::Kept => Ok(true),
            Place::NoLimit => {
                self.with_route(core, &way, |route| route.is_unlimited = true);
                Ok(false)
            }
            Place::Full { limit } => {
                let actor = registry::class_name(class).unwrap_or_else(|| "?".into());
                Err(Error::PendingCallsLimit { actor, pending: limit, limit })
            }
        }
    }

    /// Asks the node for a line, and waits for its answer.
    fn ask(&self, core: &Core, uplink: &Uplink, token: ObjectId) -> Result<Asked<Open>> {
        let id = match uplink.ask_line(token)? {
            Asked::Granted(id) => id,
            Asked::NotNow => return Ok(Asked::NotNow),
            Asked::Never => return Ok(Asked::Never),
        };
        let (Some(line), Some(queue)) =
            (Line::new(core.control(), id), core.control().line_producer(id))
        else {
            return Ok(Asked::Never);
        };
        let consumer = line.consumer_of();
        let (sent, overflow) = (VecDeque::new(), VecDeque::new());
        Ok(Asked::Granted(Open { line, consumer, queue, sent, many: MANY, overflow }))
    }

    fn send(&self, core: &Arc<Core>, open: &mut Open, call: LineCall) -> Result<()> {
        if open.overflow.is_empty() {
            match open.push(core, call)? {
                None => {
                    core.doorbells().ring(open.consumer);
                    return Ok(());
                }
                Some(call) => {
                    self.overflowing.fetch_add(1, Ordering::Relaxed);
                    open.overflow.push_back(call);
                }
            }
        } else {
            open.overflow.push_back(call);
        }
        // Somebody has to send the rest when there is room, and this thread may not come back.
        core.start_reactor();
        self.flush_one(core, open);
        Ok(())
    }

    /// Sends what found no room before, as far as there is room now; not before the consumer has said that there
    /// is. When something is left, a wish for room was raised since the last push.
    fn flush_one(&self, core: &Core, open: &mut Open) {
        if open.line.is_wish_standing() {
            return;
        }
        let (mut asked, mut any) = (false, false);
        while let Some(call) = open.overflow.pop_front() {
            match open.push(core, call) {
                Ok(None) => (asked, any) = (false, true),
                Ok(Some(call)) => {
                    open.overflow.push_front(call);
                    if mem::replace(&mut asked, true) {
                        break;
                    }
                    open.line.want_room();
                }
                // The call has been failed; so will be the others.
                Err(_) => {}
            }
        }
        if any {
            core.doorbells().ring(open.consumer);
        }
        if open.overflow.is_empty() {
            self.overflowing.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends on every line what found no room before. Waits for nobody.
    pub(crate) fn flush(&self, core: &Core) {
        if self.overflowing.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.all_ways().iter().for_each(|way| self.flush_way(core, way));
    }

    /// The same on one line; leaves it to who has the route, if somebody does.
    fn flush_way(&self, core: &Core, way: &Way) {
        loop {
            let once_more = || {
                way.missed.note();
                way.route.try_lock()
            };
            let Some(mut route) = way.route.try_lock().or_else(once_more) else { return };
            way.missed.forget();
            let Some(open) = &mut route.line else { return };
            if open.overflow.is_empty() {
                return;
            }
            self.flush_one(core, open);
            if open.overflow.is_empty() {
                return;
            }
            drop(route);
            if !way.missed.is_noted() {
                return;
            }
        }
    }

    /// While this process waits: does what was left to be done.
    pub(crate) fn tend(&self, core: &Core) {
        self.flush(core);
        if self.unsettled.load(Ordering::Relaxed) {
            self.rest(core);
        }
    }

    /// Before this process sleeps: lets go of what settled calls held, and asks to be woken for the rest.
    pub(crate) fn rest(&self, core: &Core) {
        self.unsettled.store(false, Ordering::Relaxed);
        for way in self.needed(core) {
            if let Some(mut route) = way.route.try_lock() {
                if let Some(open) = &mut route.line {
                    self.unsettled.fetch_or(open.rest(core), Ordering::Relaxed);
                }
                drop(route);
                self.make_up(core, &way);
            }
        }
    }

    /// Whether this process has called an actor that it may call again.
    pub(crate) fn has_routes(&self) -> bool {
        !self.ways.lock().is_empty()
    }

    /// Lets go of what settled calls hold, and waits for nobody; whether there are others, or may be.
    pub(crate) fn let_go(&self, core: &Core) -> bool {
        self.needed(core).iter().fold(false, |others, way| {
            // Whoever has it makes a call.
            let Some(mut route) = way.route.try_lock() else { return true };
            let left = route.line.as_mut().is_some_and(|open| {
                open.sweep_all(core);
                !open.sent.is_empty() || !open.overflow.is_empty()
            });
            drop(route);
            self.make_up(core, way);
            others || left
        })
    }

    /// The routes that are needed still; the others are forgotten.
    fn needed(&self, core: &Core) -> Vec<Arc<Way>> {
        let mut ways = self.ways.lock();
        ways.retain(|&token, way| {
            Arc::strong_count(way) > 1
                || way.route.lock().line.is_some()
                || core.client.holds(token)
        });
        ways.values().map(Arc::clone).collect()
    }

    /// Cancels a call that no actor has begun; whether there was one.
    pub(crate) fn cancel(&self, core: &Core, id: ObjectId) -> bool {
        let cancel = |way: Arc<Way>| {
            self.with_route(core, &way, |route| {
                let open = route.line.as_mut()?;
                let overflowed = !open.overflow.is_empty();
                let call = open.take_back(id);
                if overflowed && open.overflow.is_empty() {
                    self.overflowing.fetch_sub(1, Ordering::Relaxed);
                }
                call
            })
        };
        let Some(call) = self.all_ways().into_iter().find_map(cancel) else { return false };
        let header = spec::Header::parse(&call.words);
        let task = header.map_or_else(|_| "?".into(), |header| header.name());
        call.fail(core, &Error::TaskCancelled { task });
        true
    }

    /// Waits until every call by a line is settled: before this process ends in order.
    pub(crate) fn drain(&self, core: &Core) {
        while !core.is_closed() {
            let pending = self.all_ways().into_iter().find_map(|way| {
                self.with_route(core, &way, |route| {
                    let open = route.line.as_mut()?;
                    if !open.overflow.is_empty() {
                        self.flush_one(core, open);
                    }
                    let mut returns =
                        open.sent.iter().flat_map(|(_, call)| call.returns.as_slice());
                    returns.find(|&&id| core.is_pending(id)).copied()
                })
            });
            let Some(pending) = pending else { return };
            // A while at a time: what waits for room is sent in between.
            let soon = Instant::now() + Duration::from_millis(100);
            let _ = core.block_until_settled(pending, Some(soon));
        }
    }

    /// The node closed a line: what its consumer had not claimed goes by the node, what it had may have run.
    pub(crate) fn closed(&self, core: &Core, uplink: &Uplink, id: LineId, error: &Error) {
        for way in self.all_ways() {
            // Under the route's lock: no other call goes before these.
            self.with_route(core, &way, |route| {
                let Some(open) = route.line.take_if(|open| open.line.id() == id) else { return };
                (route.calls, route.refused) = (0, 0);
                if !open.overflow.is_empty() {
                    self.overflowing.fetch_sub(1, Ordering::Relaxed);
                }
                for (ticket, call) in open.sent {
                    if call.is_settled(core) {
                        call.release(core);
                    } else if open.queue.take_back(ticket) {
                        resubmit(core, uplink, call);
                    } else {
                        call.fail(core, error);
                    }
                }
                open.overflow.into_iter().for_each(|call| resubmit(core, uplink, call));
            });
        }
        uplink.line_done(id);
    }
}

/// Sends by the node what was on a line and never ran.
fn resubmit(core: &Core, uplink: &Uplink, call: LineCall) {
    let returns = call.returns.clone();
    if let Err(error) = call.by_node(core, uplink) {
        returns.as_slice().iter().for_each(|&id| core.fail(id, 0, &error));
    }
}

impl Open {
    /// Publishes a call, of which its consumer is to be told; gives it back when there is no room.
    fn push(&mut self, core: &Core, mut call: LineCall) -> Result<Option<LineCall>> {
        debug_assert_ne!(
            self.line.state(),
            LineState::Over,
            "the producer has not said it is done"
        );
        let pushed = if call.words.len() <= ENTRY_WORDS {
            self.queue.push(&call.words)
        } else {
            match call.body(core) {
                Ok(body) => self.queue.push(&spec::head_of(&call.words, body)),
                Err(error) => {
                    call.fail(core, &error);
                    return Err(error);
                }
            }
        };
        match pushed {
            Ok(ticket) => {
                self.sent.push_back((ticket, call));
                Ok(None)
            }
            Err(_) => Ok(Some(call)),
        }
    }

    /// Lets go of what settled calls hold: at the front each time, everywhere when there are many.
    fn sweep(&mut self, core: &Core) {
        while self.sent.front().is_some_and(|(_, call)| call.is_settled(core)) {
            self.sent.pop_front().into_iter().for_each(|(_, call)| call.release(core));
        }
        if self.sent.len() >= self.many {
            self.sweep_all(core);
        }
    }

    /// Lets go of what settled calls hold, and asks to be woken when the last one is; whether it is not yet.
    fn rest(&mut self, core: &Core) -> bool {
        self.sweep_all(core);
        while let Some((_, call)) = self.sent.back() {
            // Of several results some may be there: who makes them may die in between.
            let mut returns = call.returns.as_slice().iter();
            let pending = returns.find(|&&id| core.is_pending(id));
            if pending.is_some_and(|&id| core.client.subscribe(id) == Status::Pending) {
                return true;
            }
            // Settled since it was looked at: nobody rings for it.
            self.sweep_all(core);
        }
        false
    }

    /// Takes back the call that makes this object, unless its consumer has claimed it.
    fn take_back(&mut self, id: ObjectId) -> Option<LineCall> {
        let makes = |call: &LineCall| call.returns.as_slice().contains(&id);
        if let Some(at) = self.overflow.iter().position(makes) {
            return self.overflow.remove(at);
        }
        let at = self.sent.iter().position(|(_, call)| makes(call))?;
        if !self.queue.take_back(self.sent[at].0) {
            return None;
        }
        self.sent.remove(at).map(|(_, call)| call)
    }

    fn sweep_all(&mut self, core: &Core) {
        for _ in 0..self.sent.len() {
            let Some((ticket, call)) = self.sent.pop_front() else { break };
            match call.is_settled(core) {
                true => call.release(core),
                false => self.sent.push_back((ticket, call)),
            }
        }
        self.many = (2 * self.sent.len()).max(MANY);
    }
}
