//! This process's ends of the direct lines by which it calls actors. The protocol is in [`super::line`].
//!
//! Every call of an actor goes through the actor's [`Route`], under its lock: at first by way of the node, then by
//! a line, and by the node again when the line is closed. That is so in the node's own process too, where the way by
//! the node is the scheduler: a call by a line is known to neither, and that is most of the work saved.
//!
//! # What is kept of a call
//! Its words stay in the line's queue until somebody claims them or takes them back, so all that is kept here are the
//! references that it holds ([`Kept`]). The actor's own token is held once for all of a line's calls.
//!
//! # Nothing that found no room is forgotten
//! Whoever is told of room sends what found none before, but waits for no route: it may be the one thread that
//! sees to the doorbell, and the route's holder may wait for that. If it finds a route taken it leaves a note
//! ([`Missed`]), and whoever lets go of the route sends in its place.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustyray_ipc::{Missed, Ticket, WorkProducer};
use rustyray_store::{ClientId, ObjectId, Pin, Status, without_waiting};

use super::{
    Core, Link,
    control::Words,
    current,
    line::{Line, LineEnd, LineId, LineState, OFTEN},
    node::{Handed, Place},
    submission::Wanted,
    uplink::Uplink,
    wire::LineNews,
};
use crate::{
    call::Ids,
    error::{Error, Result},
    registry,
    spec::{self, ENTRY_WORDS, Header},
};

/// After how many further calls a process asks again for a line when there was none just then.
const AGAIN: u32 = 4 * OFTEN;

/// How many unsettled calls of a line are few.
const MANY: usize = 64;

/// How far behind the oldest call that is not known to be settled [`Open::sweep`] has what is known of the results brought
/// near.
const NEAR: usize = 4;

/// A call of an actor, as it goes by whichever way.
pub(crate) struct LineCall {
    /// The words of the call ([`crate::spec`]).
    pub(crate) words: Vec<u64>,
    pub(crate) kept: Kept,
    /// The references that are arguments.
    pub(crate) dependencies: Vec<ObjectId>,
    /// The node keeps a place for it among the actor's unfinished calls.
    pub(crate) is_counted: bool,
}

/// What is kept of a call that goes by a line until it is settled.
pub(crate) struct Kept {
    /// The word of the task or call that calls, 0 for none.
    pub(crate) parent: u64,
    pub(crate) returns: Ids,
    /// The references that the call carries, as arguments or inside them.
    pub(crate) held: Vec<ObjectId>,
}

impl Kept {
    #[inline]
    fn is_settled(&self, core: &Core) -> bool {
        self.pending(core).is_none()
    }

    /// The first result that is not there yet.
    fn pending(&self, core: &Core) -> Option<ObjectId> {
        self.returns.as_slice().iter().copied().find(|&id| core.is_pending(id))
    }

    fn makes(&self, id: ObjectId) -> bool {
        self.returns.as_slice().contains(&id)
    }

    /// Takes a reference to each result, which may be dropped before the node, or the actor, has seen the call.
    #[inline]
    fn hold_returns(&self, core: &Core) {
        self.returns.as_slice().iter().for_each(|&id| core.retain_held(id));
    }

    /// The end of it: lets go of what is held.
    #[inline]
    fn release(&self, core: &Core) {
        let held = self.held.iter().chain(self.returns.as_slice());
        held.for_each(|&id| core.release(id));
    }

    /// Settles a call that cannot be read any more where it was to run.
    fn lose(&self, core: &Core, body: ObjectId) {
        for &id in self.returns.as_slice() {
            let reason = format!("the call that makes it was lost with object {body}");
            core.fail(id, 0, &Error::ObjectLost { object: id.to_string(), reason });
        }
        self.release(core);
    }

    /// Settles a call that does not run, or may have run and whose actor is gone.
    fn fail(&self, core: &Core, error: &Error) {
        self.returns.as_slice().iter().for_each(|&id| core.fail(id, 0, error));
        self.release(core);
    }
}

impl LineCall {
    /// What the node is told of the call.
    fn wanted(&self) -> Wanted {
        Wanted { parent: self.kept.parent, is_counted: self.is_counted, ..Wanted::default() }
    }

    /// What the call holds when it goes by the node. The token comes first: that is how the node knows whose call it is.
    fn held_with(&self, token: ObjectId) -> Vec<ObjectId> {
        [token].into_iter().chain(self.kept.held.iter().copied()).collect()
    }

    /// Puts the words into the store where they are too long for this way. It may wait for room.
    fn put_for(&self, core: &Core, token: ObjectId, by: By) -> Result<Put> {
        Ok(match by {
            By::Line => {
                let (body, head) = put_body(core, &self.words)?;
                Put::ForLine(body, head)
            }
            By::Node => self.put_for_node(core, token)?.map_or(Put::Nothing, Put::ForNode),
        })
    }

    fn put_for_node(&self, core: &Core, token: ObjectId) -> Result<Option<Pin>> {
        if let Link::Node(_) = &core.link {
            return Ok(None);
        }
        let nested = nested_of(&self.held_with(token), &self.dependencies);
        Uplink::put_long(core, &self.wanted(), &nested, &self.words)
    }

    /// Hands the call to the node, which sends it on; `put` is what was put for it, if anything was.
    fn by_node(self, core: &Core, token: ObjectId, put: Option<Pin>) -> Result<Sent> {
        let (wanted, held) = (self.wanted(), self.held_with(token));
        let sent = match &core.link {
            Link::Node(node) => {
                core.retain_held(token);
                node.take_completions_at_times();
                let LineCall { words, kept: Kept { returns, .. }, dependencies, .. } = self;
                node.submit(&wanted, Handed::own(words, returns, held), &dependencies)
            }
            Link::Uplink(uplink) => {
                let nested = nested_of(&held, &self.dependencies);
                if put.is_none() && Uplink::is_long(&nested, &self.words) {
                    return Ok(Sent::Not(self, By::Node));
                }
                let returns = self.kept.returns.as_slice();
                returns.iter().chain([&token]).for_each(|&id| core.retain_held(id));
                uplink.submit_put(core, &wanted, &nested, &self.words, put, held, returns)
            }
        };
        sent.map(|()| Sent::Away)
    }
}

/// The way by which a call goes.
#[derive(Clone, Copy)]
enum By {
    Line,
    Node,
}

/// What was put into the store for a call before its route was taken.
enum Put {
    /// Nothing: its words fit into an entry, as far as is known, or the node's process hands them to itself.
    Nothing,
    /// What is behind the header, and the head that names it.
    ForLine(ObjectId, Vec<u64>),
    /// What is handed to the node.
    ForNode(Pin),
}

impl Put {
    /// It is not needed.
    fn release(self, core: &Core) {
        match self {
            Put::Nothing => {}
            Put::ForLine(body, _) => core.release(body),
            Put::ForNode(pin) => {
                let body = pin.id();
                drop(pin);
                core.release(body);
            }
        }
    }
}

/// What came of a call whose route was taken.
enum Sent {
    Away,
    /// It goes by this way, for which its words are to be put first.
    Not(LineCall, By),
}

/// The references that are held and are no dependency.
pub(crate) fn nested_of(held: &[ObjectId], dependencies: &[ObjectId]) -> Vec<ObjectId> {
    let mut dependencies = dependencies.iter().peekable();
    let nested = held.iter().filter(|&id| dependencies.next_if_eq(&id).is_none());
    nested.copied().collect()
}

/// Whether a thread waits for a route. One that others need meanwhile does not: who has the route may wait for what
/// that thread does. In the node's process that goes for whoever helps, in another one for the thread that hears of the
/// node's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    No,
    Yes,
}

/// What was taken back: the words of a call, or their head, and what was kept of it.
type Taken = (Vec<u64>, Kept);

/// Somebody has the route.
struct IsTaken;

/// What came of cancelling a call by a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It never ran.
    BeforeItBegan,
    /// This process may be running it.
    Begun(ClientId),
    /// No call by a line of this process makes the object.
    NotHere,
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

impl Route {
    /// Whether the next call goes by a line, or may be given one.
    fn may_have_line(&self) -> bool {
        self.line.is_some() || self.calls >= OFTEN.saturating_add(self.refused)
    }

    /// The call that was sent by the line and whose words are in this object.
    fn take_with_body(&mut self, body: ObjectId) -> Option<Kept> {
        let open = self.line.as_mut()?;
        let at = open.sent.iter().position(|(_, kept)| kept.held.contains(&body))?;
        open.remove(at).map(|(_, kept)| kept)
    }

    /// What the calls of the line are to make, of those that may not be settled.
    fn returns(&self) -> impl Iterator<Item = ObjectId> {
        let calls = self.line.iter().flat_map(|open| {
            let overflowed = open.overflow.iter().map(|(_, kept)| kept);
            open.sent.iter().map(|(_, kept)| kept).chain(overflowed)
        });
        calls.flat_map(|kept| kept.returns.as_slice()).copied()
    }

    fn unsettled(&self, core: &Core) -> Vec<ObjectId> {
        self.returns().filter(|&id| core.is_pending(id)).collect()
    }

    fn makes(&self, id: ObjectId) -> bool {
        self.returns().any(|returned| returned == id)
    }
}

/// A route, and whether somebody came by who found it taken. Handles share it, so that a call looks for nothing.
#[derive(Default)]
pub(crate) struct Way {
    route: Mutex<Route>,
    missed: Missed,
    /// The handles that share it. There are other shares, for a moment each.
    handles: AtomicUsize,
}

impl Way {
    /// One more handle knows it.
    pub(crate) fn join(self: &Arc<Self>) -> Arc<Way> {
        self.handles.fetch_add(1, Ordering::Relaxed);
        Arc::clone(self)
    }

    /// A handle is dropped; whether it was the last.
    #[must_use]
    fn part(&self) -> bool {
        // Release and Acquire, of each other: what the other handles called is seen by who drops the last.
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// A line that is open, as far as this process knows.
struct Open {
    line: Line,
    consumer: ClientId,
    queue: WorkProducer<Words>,
    /// The actor's, of which a reference is held while a call is not settled.
    token: ObjectId,
    holds_token: bool,
    /// What was pushed and may not be settled, oldest first. The words are in the queue until they are claimed.
    sent: VecDeque<(Ticket, Kept)>,
    /// From how many on all of `sent` is looked through.
    many: usize,
    /// From how many on the oldest of them are looked at. Those that are not settled are what the consumer is just at:
    /// who looks at them each time takes the memory away that it is about to write.
    sweep_from: usize,
    /// What found no room, with its words.
    overflow: VecDeque<(Vec<u64>, Kept)>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Lines {
    ways: Mutex<HashMap<ObjectId, Arc<Way>>>,
    /// How many lines are open.
    open: AtomicUsize,
    /// Lines with calls that found no room.
    overflowing: AtomicUsize,
    /// Some calls were not settled when this process went to rest.
    unsettled: AtomicBool,
    /// A thread waits for routes, to hear what could not be heard at once.
    hears: Mutex<bool>,
}

impl Lines {
    /// The way to the actor of this token, for a handle that parts with it by [`Lines::leave`].
    pub(crate) fn way(&self, token: ObjectId) -> Arc<Way> {
        self.ways.lock().entry(token).or_default().join()
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
    #[inline]
    pub(crate) fn call(
        &self,
        core: &Arc<Core>,
        way: &Way,
        token: ObjectId,
        call: LineCall,
    ) -> Result<()> {
        match self.call_at_once(core, way, call) {
            None => Ok(()),
            Some(call) => self.call_any(core, way, token, call),
        }
    }

    /// Sends a call by the actor's line, as nearly all go, where there is one that has room for it; gives it back otherwise.
    #[inline]
    fn call_at_once(&self, core: &Arc<Core>, way: &Way, call: LineCall) -> Option<LineCall> {
        if call.words.len() > ENTRY_WORDS {
            return Some(call);
        }
        let mut route = way.route.lock();
        let Some(open) = &mut route.line else { return Some(call) };
        open.sweep(core);
        let ticket = match open.overflow.is_empty() {
            true => open.push(&call.words),
            false => None,
        };
        let Some(ticket) = ticket else { return Some(call) };
        core.doorbells().ring(open.consumer);
        let LineCall { words, kept, .. } = call;
        open.keep(core, &kept);
        open.sent.push_back((ticket, kept));
        drop(route);
        spec::give_back(words);
        self.make_up(core, way);
        None
    }

    /// The same by whichever way there is.
    #[inline(never)]
    fn call_any(
        &self,
        core: &Arc<Core>,
        way: &Way,
        token: ObjectId,
        mut call: LineCall,
    ) -> Result<()> {
        let is_counted = call.is_counted;
        let mut put = self.put_ahead(core, way, token, &call);
        let sent = loop {
            let ready = match put {
                Ok(ready) => ready,
                Err(error) => {
                    call.kept.held.into_iter().for_each(|id| core.release(id));
                    break Err(error);
                }
            };
            // Not in a closure, into which the call would be moved.
            let called = self.call_by(core, token, &mut way.route.lock(), call, ready);
            self.make_up(core, way);
            match called {
                Ok(Sent::Away) => break Ok(()),
                Ok(Sent::Not(back, by)) => {
                    put = back.put_for(core, token, by);
                    call = back;
                }
                Err(error) => break Err(error),
            }
        };
        sent.inspect_err(|_| {
            if is_counted && let Link::Uplink(uplink) = &core.link {
                // Without the route: the thread that hears the answer may be waiting for it. The node is gone when
                // this fails too.
                let _ = uplink.drop_place(token);
            }
        })
    }

    /// Puts words into the store that no entry has room for, for the way by which the call is likely to go. Without the
    /// route, which others must not wait for while this waits for room in the store.
    fn put_ahead(&self, core: &Core, way: &Way, token: ObjectId, call: &LineCall) -> Result<Put> {
        if call.words.len() <= ENTRY_WORDS {
            return Ok(Put::Nothing);
        }
        let by = match self.with_route(core, way, |route| route.may_have_line()) {
            true => By::Line,
            false => By::Node,
        };
        call.put_for(core, token, by)
    }

    /// A handle to the actor is dropped that knew the way. If it was the last of this process, the line lets go of the
    /// actor as soon as the calls that it has are settled.
    pub(crate) fn leave(&self, core: &Arc<Core>, way: &Arc<Way>) {
        if way.part() {
            Arc::new(LetGo { core: Arc::downgrade(core), way: Arc::downgrade(way) }).now();
        }
    }

    fn call_by(
        &self,
        core: &Arc<Core>,
        token: ObjectId,
        route: &mut Route,
        mut call: LineCall,
        put: Put,
    ) -> Result<Sent> {
        if route.line.is_none() {
            route.calls = route.calls.saturating_add(1);
            if route.calls > OFTEN + route.refused {
                match ask(core, token) {
                    Ok(Asked::Granted(line)) => {
                        route.line = Some(line);
                        self.open.fetch_add(1, Ordering::Relaxed);
                        if let Link::Uplink(uplink) = &core.link {
                            // From now on it is looked once in a while what is kept of settled calls.
                            uplink.have_looked();
                        }
                    }
                    Ok(Asked::NotNow) => (route.calls, route.refused) = (0, AGAIN),
                    Ok(Asked::Never) => route.refused = u32::MAX - OFTEN,
                    Err(error) => {
                        put.release(core);
                        call.kept.held.into_iter().for_each(|id| core.release(id));
                        return Err(error);
                    }
                }
            }
        }
        let Some(open) = &mut route.line else {
            let put = match put {
                Put::ForNode(pin) => Some(pin),
                put => {
                    put.release(core);
                    None
                }
            };
            return call.by_node(core, token, put);
        };
        match put {
            Put::ForLine(body, head) => {
                call.kept.held.push(body);
                call.words = head;
            }
            put => put.release(core),
        }
        if call.words.len() > ENTRY_WORDS {
            // Another thread was given the line just now.
            return Ok(Sent::Not(call, By::Line));
        }
        open.sweep(core);
        self.send(core, open, call);
        Ok(Sent::Away)
    }

    /// Has the node keep a place for one more unfinished call of an actor of this class; whether it does, since
    /// only some actors limit them.
    pub(crate) fn keep_place(
        &self,
        core: &Core,
        uplink: &Uplink,
        way: &Way,
        token: ObjectId,
        class: u64,
    ) -> Result<bool> {
        if self.with_route(core, way, |route| route.is_unlimited) {
            return Ok(false);
        }
        match uplink.keep_place(token)? {
            Place::Kept => Ok(true),
            Place::NoLimit => {
                self.with_route(core, way, |route| route.is_unlimited = true);
                Ok(false)
            }
            Place::Full { limit } => {
                let actor = registry::class_name(class).unwrap_or_else(|| "?".into());
                Err(Error::PendingCallsLimit { actor, pending: limit, limit })
            }
        }
    }

    fn send(&self, core: &Arc<Core>, open: &mut Open, call: LineCall) {
        let LineCall { words, kept, .. } = call;
        open.keep(core, &kept);
        if open.overflow.is_empty() {
            if let Some(ticket) = open.push(&words) {
                open.sent.push_back((ticket, kept));
                core.doorbells().ring(open.consumer);
                return spec::give_back(words);
            }
            self.overflowing.fetch_add(1, Ordering::Relaxed);
        }
        open.overflow.push_back((words, kept));
        // Somebody has to send the rest when there is room, and this thread may not come back.
        core.start_reactor();
        self.flush_one(core, open);
    }

    /// Sends what found no room before, as far as there is room now; not before the consumer has said that there
    /// is. When something is left, a wish for room was raised since the last push.
    fn flush_one(&self, core: &Core, open: &mut Open) {
        if open.line.is_wish_standing() {
            return;
        }
        let (mut asked, mut any) = (false, false);
        while let Some((words, kept)) = open.overflow.pop_front() {
            match open.push(&words) {
                Some(ticket) => {
                    open.sent.push_back((ticket, kept));
                    (asked, any) = (false, true);
                }
                None => {
                    open.overflow.push_front((words, kept));
                    if mem::replace(&mut asked, true) {
                        break;
                    }
                    open.line.want_room();
                }
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
        if let Link::Node(node) = &core.link {
            // Whoever has said it may have been within the scheduler, and waits for no route.
            let mut is_left = false;
            for news in node.take_line_news() {
                if !self.hear(core, &news, Waits::No) {
                    node.keep_line_news(news);
                    is_left = true;
                }
            }
            if is_left {
                self.hear_elsewhere(core);
            }
        }
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

    /// Whether there is any line, whose calls may hold something.
    pub(crate) fn are_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Lets go of what settled calls hold, and waits for nobody; whether there are others, or may be.
    pub(crate) fn let_go(&self, core: &Core) -> bool {
        self.needed(core).iter().fold(false, |others, way| {
            // Whoever has it makes a call.
            let Some(mut route) = way.route.try_lock() else { return true };
            let left = route.line.as_mut().is_some_and(|open| {
                open.sweep_all(core);
                open.is_under_way()
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

    /// Cancels the call by a line that makes this object: it is failed if no actor has begun it; otherwise the process
    /// that may run it is given, which is to be told.
    pub(crate) fn cancel(&self, core: &Core, id: ObjectId) -> Cancelled {
        let mut ways = self.all_ways().into_iter();
        let found = ways
            .find_map(|way| self.with_route(core, &way, |route| self.take_to_cancel(route, id)));
        Self::cancelled(core, found)
    }

    /// The consumer of the line by which a call goes that makes this object, and the call if it was not claimed.
    fn take_to_cancel(&self, route: &mut Route, id: ObjectId) -> Option<(ClientId, Option<Taken>)> {
        let open = route.line.as_mut()?;
        let overflowed = !open.overflow.is_empty();
        let taken = open.take_back(id);
        if overflowed && open.overflow.is_empty() {
            self.overflowing.fetch_sub(1, Ordering::Relaxed);
        }
        let is_here = taken.is_some() || open.sent.iter().any(|(_, kept)| kept.makes(id));
        is_here.then_some((open.consumer, taken))
    }

    /// Cancels the calls by lines that these have submitted, and what those that have begun may have submitted in turn.
    fn cancel_within(&self, core: &Core, submitters: &HashSet<u64>, force: bool) {
        let mut begun = Vec::new();
        for way in self.all_ways() {
            let found = self.with_route(core, &way, |route| {
                let open = route.line.as_mut()?;
                let overflowed = !open.overflow.is_empty();
                let found = open.take_back_within(core, submitters);
                if overflowed && open.overflow.is_empty() {
                    self.overflowing.fetch_sub(1, Ordering::Relaxed);
                }
                Some((open.consumer, found))
            });
            let Some((consumer, found)) = found else { continue };
            for (id, taken) in found {
                if let Cancelled::Begun(consumer) = Self::cancelled(core, Some((consumer, taken))) {
                    begun.push((consumer, id));
                }
            }
        }
        if !begun.is_empty() {
            // With the node gone there is nobody to be told.
            let _ = core.cancel_calls(&begun, force);
        }
    }

    /// Without the route, fails what was taken.
    fn cancelled(core: &Core, found: Option<(ClientId, Option<Taken>)>) -> Cancelled {
        match found {
            None => Cancelled::NotHere,
            Some((consumer, None)) => Cancelled::Begun(consumer),
            Some((_, Some((words, kept)))) => {
                let task =
                    Header::parse(&words).map_or_else(|_| "?".into(), |header| header.name());
                kept.fail(core, &Error::TaskCancelled { task });
                Cancelled::BeforeItBegan
            }
        }
    }

    /// Waits until every call by a line that was made until now is settled, or `deadline`: before this process ends
    /// in order. Not for what other threads call meanwhile, which may have no end, nor for what the node has taken over.
    pub(crate) fn drain(&self, core: &Core, deadline: Option<Instant>) {
        let is_over = || core.is_closed() || deadline.is_some_and(|at| Instant::now() >= at);
        let unsettled = |way: Arc<Way>| {
            let calls = self.with_route(core, &way, |route| route.unsettled(core));
            calls.into_iter().map(move |id| (Arc::clone(&way), id))
        };
        let calls: Vec<_> = self.all_ways().into_iter().flat_map(unsettled).collect();
        for (way, id) in calls {
            while core.is_pending(id) && !is_over() {
                self.flush(core);
                // A while at a time: what waits for room is sent in between.
                let soon = Instant::now() + Duration::from_millis(100);
                let until = deadline.map_or(soon, |deadline| deadline.min(soon));
                let waited = core.block_until_settled(id, Some(until));
                if waited.is_err() && !self.with_route(core, &way, |route| route.makes(id)) {
                    break;
                }
            }
        }
    }

    /// In the node's process: has a thread of its own wait for the routes of what nobody who helps may wait for. It goes
    /// on for as long as there is such news.
    #[cold]
    fn hear_elsewhere(&self, core: &Core) {
        let mut hears = self.hears.lock();
        // Else it looks for more, with this lock, before it ends.
        if *hears {
            return;
        }
        // None when it was shut down: nobody waits any more.
        let Some(core) = current::of(core.key(), Arc::clone) else { return };
        let hear = move || core.lines.hear_all(&core);
        // Without a thread it is tried again by whoever helps next.
        *hears = thread::Builder::new().name("rustyray-lines".into()).spawn(hear).is_ok();
    }

    fn hear_all(&self, core: &Core) {
        let Link::Node(node) = &core.link else { return };
        loop {
            let all = {
                let mut hears = self.hears.lock();
                let all = node.take_line_news();
                *hears = !all.is_empty();
                all
            };
            if all.is_empty() {
                return;
            }
            for news in all {
                self.hear(core, &news, Waits::Yes);
            }
        }
    }

    /// The node has news of a line. False when nothing was waited for, that line's route may be taken, and it is to be
    /// heard again.
    pub(crate) fn hear(&self, core: &Core, news: &LineNews, waits: Waits) -> bool {
        match news {
            LineNews::Closed { line, error } => {
                let id = LineId::from_word(*line);
                let error = Error::from_bytes("the loss of an actor", error);
                // Under the route's lock: no other call goes before those that go by the node now.
                let close = |_: &Way, route: &mut Route| self.closed(core, route, id, &error);
                let is_heard = self.find_route(core, waits, close).is_ok();
                if is_heard {
                    done_with(core, id);
                }
                is_heard
            }
            LineNews::Scarce => {
                let give_back = |way: &Way, route: &mut Route| -> Option<()> {
                    self.give_back(core, way, route);
                    // There may be others.
                    None
                };
                self.find_route(core, waits, give_back).is_ok()
            }
            &LineNews::Cancelled { index, generation } => {
                let id = ObjectId { index, generation };
                let take = |_: &Way, route: &mut Route| self.take_to_cancel(route, id);
                let Ok(found) = self.find_route(core, waits, take) else { return false };
                if let Cancelled::Begun(consumer) = Self::cancelled(core, found) {
                    // With the node gone there is nobody to be told.
                    let _ = core.interrupt_call(consumer, id);
                }
                true
            }
            LineNews::CancelledWithin { submitters, force } => {
                // What comes of it may wait for the node, as who helps that does not.
                if waits == Waits::No {
                    return false;
                }
                self.cancel_within(core, &submitters.iter().copied().collect(), *force);
                true
            }
            &LineNews::Lost { index, generation } => {
                let body = ObjectId { index, generation };
                let take = |_: &Way, route: &mut Route| route.take_with_body(body);
                let Ok(lost) = self.find_route(core, waits, take) else { return false };
                if let Some(kept) = lost {
                    kept.lose(core, body);
                }
                true
            }
        }
    }

    /// Does something with the route for which there is something to be done; an error when that may be one that is
    /// taken, and is not waited for.
    fn find_route<R>(
        &self,
        core: &Core,
        waits: Waits,
        mut f: impl FnMut(&Way, &mut Route) -> Option<R>,
    ) -> std::result::Result<Option<R>, IsTaken> {
        let mut is_certain = true;
        for way in self.all_ways() {
            let route = match waits {
                Waits::No => way.route.try_lock(),
                Waits::Yes => Some(way.route.lock()),
            };
            let Some(mut route) = route else {
                is_certain = false;
                continue;
            };
            let done = f(&way, &mut route);
            drop(route);
            self.make_up(core, &way);
            if done.is_some() {
                return Ok(done);
            }
        }
        if is_certain { Ok(None) } else { Err(IsTaken) }
    }

    /// Gives the route's line back, if this process has no handle to the actor and every call is settled.
    fn give_back(&self, core: &Core, way: &Way, route: &mut Route) {
        if way.handles.load(Ordering::Relaxed) > 0 {
            return;
        }
        let Some(open) = &mut route.line else { return };
        open.sweep_all(core);
        if open.is_under_way() {
            return;
        }
        let id = open.line.id();
        (route.line, route.calls) = (None, 0);
        self.open.fetch_sub(1, Ordering::Relaxed);
        // With the route: what is called next goes by the node, which knows by then.
        done_with(core, id);
    }

    /// The node closed this line: what its consumer had not claimed goes by the node, what it had may have run. `None`
    /// when it is not this route's.
    fn closed(&self, core: &Core, route: &mut Route, id: LineId, error: &Error) -> Option<()> {
        let open = route.line.take_if(|open| open.line.id() == id)?;
        (route.calls, route.refused) = (0, 0);
        self.open.fetch_sub(1, Ordering::Relaxed);
        if !open.overflow.is_empty() {
            self.overflowing.fetch_sub(1, Ordering::Relaxed);
        }
        // Others wait for the route: this waits for no room, to bring words back or to put them anew.
        without_waiting(|| open.end(core, error));
        Some(())
    }
}

/// Lets go of what the calls of a line hold, whose actor this process has no handle to any more, when the last of
/// them is settled.
struct LetGo {
    core: Weak<Core>,
    way: Weak<Way>,
}

impl LetGo {
    fn now(self: Arc<Self>) {
        let (Some(core), Some(way)) = (self.core.upgrade(), self.way.upgrade()) else { return };
        loop {
            let last = {
                let Some(mut route) = way.route.try_lock() else {
                    // Who has it may do something else. The service thread of the node, and the reactor of another
                    // process, let go once in a while.
                    core.start_reactor();
                    return;
                };
                let Some(open) = &mut route.line else { return };
                open.sweep_all(&core);
                open.last().and_then(|kept| kept.pending(&core))
            };
            core.lines.make_up(&core, &way);
            let Some(last) = last else { return };
            if core.wake_when_settled(last, &Waker::from(Arc::clone(&self))) || core.is_closed() {
                return;
            }
        }
    }
}

impl Wake for LetGo {
    fn wake(self: Arc<Self>) {
        self.now();
    }
}

/// This process has no more to do with a line.
fn done_with(core: &Core, line: LineId) {
    match &core.link {
        Link::Node(node) => node.line_done(ClientId::NODE, line, LineEnd::Producer),
        Link::Uplink(uplink) => uplink.line_done(line, LineEnd::Producer),
    }
}

/// Asks the node for a line, and waits for its answer.
fn ask(core: &Core, token: ObjectId) -> Result<Asked<Open>> {
    let asked = match &core.link {
        Link::Node(node) => node.grant_line(ClientId::NODE, token).unwrap_or(Asked::NotNow),
        Link::Uplink(uplink) => uplink.ask_line(token)?,
    };
    let id = match asked {
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
    Ok(Asked::Granted(Open {
        line,
        consumer,
        queue,
        token,
        holds_token: false,
        sent,
        many: MANY,
        sweep_from: 0,
        overflow,
    }))
}

/// Sends by the node what was on a line and never ran. `entry` has the words of the call, or their head.
fn resubmit(core: &Core, token: ObjectId, entry: &[u64], kept: Kept) {
    let Kept { parent, returns, held } = kept;
    let sent = match whole(core, entry) {
        Ok((words, dependencies)) => {
            let kept = Kept { parent, returns: returns.clone(), held };
            let call = LineCall { words, kept, dependencies, is_counted: false };
            match call.put_for_node(core, token) {
                Ok(put) => call.by_node(core, token, put).map(drop),
                Err(error) => {
                    call.kept.held.into_iter().for_each(|id| core.release(id));
                    Err(error)
                }
            }
        }
        Err(error) => {
            held.into_iter().for_each(|id| core.release(id));
            Err(error)
        }
    };
    for &id in returns.as_slice() {
        if let Err(error) = &sent {
            core.fail(id, 0, error);
        }
        core.release(id);
    }
}

/// All words of a call of which an entry may have the head only, and the references that are its arguments.
fn whole(core: &Core, entry: &[u64]) -> Result<(Vec<u64>, Vec<ObjectId>)> {
    let malformed = |error: spec::Malformed| Error::invalid(error.to_string());
    let body = Header::parse(entry).map_err(malformed)?.body;
    let words = match body {
        None => entry.to_vec(),
        Some(body) => spec::joined(entry, &core.body_words(body)?),
    };
    let known = spec::read(&words).map_err(malformed)?;
    Ok((words, known.dependencies))
}

/// Puts the words behind the header into the store; the object, and the head that names it.
#[cold]
fn put_body(core: &Core, words: &[u64]) -> Result<(ObjectId, Vec<u64>)> {
    let rest = &words[spec::HEADER_WORDS..];
    let put = core.client.put_bytes(&spec::bytes_of(rest));
    let body = put.map_err(|error| core.store_failed::<()>(error))?;
    Ok((body, spec::head_of(words, body)))
}

impl Open {
    /// Holds what a call needs until it is settled: its results, and the actor.
    #[inline]
    fn keep(&mut self, core: &Core, kept: &Kept) {
        kept.hold_returns(core);
        if !mem::replace(&mut self.holds_token, true) {
            core.retain_held(self.token);
        }
    }

    /// Publishes a call, of which its consumer is to be told; `None` when there is no room. The caller still holds what the
    /// call needs, and keeps it.
    #[inline]
    fn push(&mut self, words: &[u64]) -> Option<Ticket> {
        debug_assert_ne!(
            self.line.state(),
            LineState::Over,
            "the producer has not said it is done"
        );
        self.queue.push_alone(words).ok()
    }

    /// Lets go of what settled calls hold: at the front if it is time, everywhere when there are many.
    fn sweep(&mut self, core: &Core) {
        if self.sent.len() >= self.many {
            self.sweep_all(core);
        }
        if self.sent.len() < self.sweep_from {
            return;
        }
        while self.sent.front().is_some_and(|(_, kept)| kept.is_settled(core)) {
            if let Some((_, soon)) = self.sent.get(NEAR) {
                soon.returns.as_slice().iter().for_each(|&id| core.client.approach(id));
            }
            self.sent.pop_front().into_iter().for_each(|(_, kept)| kept.release(core));
        }
        let len = self.sent.len();
        self.sweep_from = len + (len / 4).min(MANY / 2);
    }

    /// Lets go of what settled calls hold, and asks to be woken when the last one is; whether it is not yet.
    fn rest(&mut self, core: &Core) -> bool {
        self.sweep_all(core);
        while let Some((_, kept)) = self.sent.back() {
            // Of several results some may be there: who makes them may die in between.
            let pending = kept.pending(core);
            if pending.is_some_and(|id| core.client.subscribe(id) == Status::Pending) {
                return true;
            }
            // Settled since it was looked at: nobody rings for it.
            self.sweep_all(core);
        }
        false
    }

    /// Takes back the call that makes this object, unless its consumer has claimed it.
    fn take_back(&mut self, id: ObjectId) -> Option<Taken> {
        if let Some(at) = self.overflow.iter().position(|(_, kept)| kept.makes(id)) {
            return self.overflow.remove(at);
        }
        let at = self.sent.iter().position(|(_, kept)| kept.makes(id))?;
        let mut entry = [0; ENTRY_WORDS];
        let len = self.queue.take_back_into(self.sent[at].0, &mut entry)?;
        self.remove(at).map(|(_, kept)| (entry[..len].to_vec(), kept))
    }

    /// The same of all that these have submitted. Gives what names each, and the call if it was taken back.
    fn take_back_within(
        &mut self,
        core: &Core,
        submitters: &HashSet<u64>,
    ) -> Vec<(ObjectId, Option<Taken>)> {
        let theirs = |kept: &Kept| {
            let first = kept.returns.as_slice().first().copied();
            first.filter(|_| submitters.contains(&kept.parent))
        };
        let mut found = Vec::new();
        for (words, kept) in mem::take(&mut self.overflow) {
            match theirs(&kept) {
                Some(id) => found.push((id, Some((words, kept)))),
                None => self.overflow.push_back((words, kept)),
            }
        }
        let mut entry = [0; ENTRY_WORDS];
        for (ticket, kept) in mem::take(&mut self.sent) {
            let theirs = theirs(&kept).filter(|_| !kept.is_settled(core));
            let taken = theirs.and_then(|_| self.queue.take_back_into(ticket, &mut entry));
            match (theirs, taken) {
                (Some(id), Some(len)) => found.push((id, Some((entry[..len].to_vec(), kept)))),
                (theirs, _) => {
                    found.extend(theirs.map(|id| (id, None)));
                    self.sent.push_back((ticket, kept));
                }
            }
        }
        self.sweep_from = self.sweep_from.min(self.sent.len());
        found
    }

    /// Takes a call out of those that may not be settled.
    fn remove(&mut self, at: usize) -> Option<(Ticket, Kept)> {
        let removed = self.sent.remove(at);
        self.sweep_from = self.sweep_from.min(self.sent.len());
        removed
    }

    /// Nothing is claimed any more: what was not goes by the node, and what was may have run.
    fn end(self, core: &Core, error: &Error) {
        let mut entry = [0; ENTRY_WORDS];
        for (ticket, kept) in self.sent {
            if kept.is_settled(core) {
                kept.release(core);
            } else if let Some(len) = self.queue.take_back_into(ticket, &mut entry) {
                resubmit(core, self.token, &entry[..len], kept);
            } else {
                kept.fail(core, error);
            }
        }
        for (words, kept) in self.overflow {
            resubmit(core, self.token, &words, kept);
        }
        if self.holds_token {
            core.release(self.token);
        }
    }

    /// The call that was made last, if it may not be settled.
    fn last(&self) -> Option<&Kept> {
        let overflowed = self.overflow.back().map(|(_, kept)| kept);
        overflowed.or(self.sent.back().map(|(_, kept)| kept))
    }

    /// Whether there are calls that may not be settled.
    fn is_under_way(&self) -> bool {
        !self.sent.is_empty() || !self.overflow.is_empty()
    }

    fn sweep_all(&mut self, core: &Core) {
        self.sent.retain(|(_, kept)| {
            let is_settled = kept.is_settled(core);
            if is_settled {
                kept.release(core);
            }
            !is_settled
        });
        self.many = (2 * self.sent.len()).max(MANY);
        self.sweep_from = self.sent.len();
        if self.holds_token && !self.is_under_way() {
            self.holds_token = false;
            core.release(self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        builder::Builder,
        runtime::{Link, uplink::tests::node_and_driver, wire::ToClient},
    };

    #[test]
    fn of_the_handles_that_share_a_way_one_is_the_last_whoever_looks_at_it_meanwhile() {
        let lines = Lines::default();
        for _ in 0..1000 {
            let first = lines.way(ObjectId { index: 1, generation: 1 });
            let second = first.join();
            let _looks = lines.all_ways();
            let last = std::thread::scope(|scope| {
                let parting = [first, second].map(|way| scope.spawn(move || way.part()));
                parting.map(|thread| thread.join().expect("no panic"))
            });
            assert_eq!(last.iter().filter(|&&is_last| is_last).count(), 1);
        }
    }

    /// Whoever helps the node waits for no route, and what it could not hear is heard when the route is let go of,
    /// though nobody helps then.
    #[test]
    fn news_of_a_line_whose_route_is_taken_wait_for_it_elsewhere() {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = builder.start_blocking().expect("a node starts");
        let (core, token) = (&runtime.core, runtime.core.client.reserve().expect("there is room"));
        let Link::Node(node) = &core.link else { panic!("it is in this process") };
        let way = core.lines.way(token);
        let route = way.route.lock();
        for generation in 1..4 {
            node.keep_line_news(LineNews::Cancelled { index: token.index, generation });
        }
        std::thread::scope(|scope| {
            scope.spawn(|| core.lines.tend(core)).join().expect("no panic");
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let until = |hears: bool| {
            while *core.lines.hears.lock() != hears {
                assert!(Instant::now() < deadline, "nobody waits for it, or for ever");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        until(true);
        drop(route);
        until(false);
        assert!(node.take_line_news().is_empty(), "all was heard");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }

    /// The thread that listens to the node waits for no route: whoever has it may wait for the news of the end.
    #[test]
    fn the_end_of_a_node_is_heard_of_while_a_closed_line_waits_for_its_route() {
        let (runtime, driver, _directory) = node_and_driver(Builder::new());
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let token = driver.core.client.reserve().expect("there is room");
        let way = driver.core.lines.way(token);
        let route = way.route.lock();
        let line = LineId { index: 0, generation: 1 }.to_word();
        let error = Error::invalid("an actor is gone").to_bytes();
        let said = ToClient::OfLines(LineNews::Closed { line, error }).to_bytes();
        let peer = &node.peers[driver.core.client.id().index()];
        let connection = peer.line.lock().clone().expect("it is attached");
        crate::block_on(connection.send(&said, &[])).expect("it listens");
        connection.shutdown().expect("it is open");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !driver.core.is_closed() {
            assert!(Instant::now() < deadline, "nobody hears that the node is gone");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(route);
        crate::block_on(driver.shutdown()).expect("it lets go");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
