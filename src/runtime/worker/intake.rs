//! The direct lines by which an actor's calls come. The protocol is in [`crate::runtime::line`].
//!
//! A line's calls begin in order. One that waits for an argument is kept as the line's *head*, and nothing
//! behind it is claimed; one that may go out of order stands *aside* meanwhile. Either ends there when it is cancelled.
//!
//! # An end in order
//! When the node asks for the end, what has come by the lines until then is answered. What comes later is *late*, and
//! refused at once: a caller that goes on calling would keep the actor from its end, and calls that run may wait for
//! others that do not begin. When the actor asks for its end itself, all that has not begun is late.

use std::sync::Arc;

use rustyray_ipc::{Ticket, WorkConsumer};
use rustyray_store::{ObjectId, Status};

use super::{
    Seat, Worker,
    aside::Aside,
    calls::{Order, rest_of},
};
use crate::{
    call::{Failure, FailureKind, Ids, Returns},
    error::Error,
    runtime::{
        Core,
        control::{LINE_ROOM, Words},
        line::{Line, LineEnd, LineId, LineState},
    },
    spec::{Argument, ENTRY_WORDS, Header, Kind, Submitter},
};

/// How many calls are taken from each line before it is the turn of what else there is.
const ROUNDS: usize = 16;

/// One line, in the process that takes calls from it.
pub(super) struct Intake {
    line: Line,
    queue: WorkConsumer<Words>,
    /// The call that waits for its arguments.
    head: Option<Waiting>,
    aside: Aside,
    /// How many were claimed since the producer was last asked whether it wants room.
    claimed: usize,
    /// From here on all is late: the end was asked for.
    late: Option<Ticket>,
}

/// A call whose arguments are not all there.
pub(super) struct Waiting {
    pub(super) order: Order,
    /// What names it.
    who: Option<Submitter>,
    pub(super) arguments: Vec<ObjectId>,
}

impl Waiting {
    /// Whether it can begin, or fail.
    fn is_ready(&self, core: &Core) -> bool {
        self.is_cancelled(core)
            || self.arguments.iter().all(|&id| core.client.status(id) != Status::Pending)
    }

    pub(super) fn is_cancelled(&self, core: &Core) -> bool {
        self.who.is_some_and(|who| core.interrupts.is_interrupted(who))
    }
}

impl Intake {
    /// Whether there is something to be claimed, passed or begun.
    fn has_next(&self, core: &Core) -> bool {
        match &self.head {
            Some(head) => head.is_ready(core),
            // What was taken back is to be passed: its producer may wait for the room.
            None => !self.queue.is_caught_up(),
        }
    }

    /// Whether what comes next is late.
    fn is_late(&self) -> bool {
        self.head.is_none() && self.late.is_some_and(|late| self.queue.has_come_to(late))
    }

    /// Tells the producer of room, if it waits for some.
    fn tell_of_room(&mut self, core: &Core) {
        self.claimed = 0;
        if self.line.is_room_wanted() {
            core.doorbells().ring(self.line.producer_of());
        }
    }

    /// What its calls wait for.
    fn awaited(&self) -> impl Iterator<Item = ObjectId> {
        let head = self.head.iter().flat_map(|head| head.arguments.iter().copied());
        head.chain(self.aside.awaited())
    }

    fn has_cancelled(&self, core: &Core) -> bool {
        self.head.as_ref().is_some_and(|head| head.is_cancelled(core)) || self.aside.has_cancelled()
    }

    fn is_over(&self) -> bool {
        self.line.state() != LineState::Open
    }

    /// Takes out what waits for its arguments and was cancelled.
    fn take_cancelled(&mut self, core: &Core, cancelled: &mut Vec<Order>) {
        let head = self.head.take_if(|head| head.is_cancelled(core));
        cancelled.extend(head.map(|waiting| waiting.order));
        self.aside.take_cancelled(cancelled);
    }

    /// Whether something that was claimed waits for its arguments.
    fn has_waiting(&self) -> bool {
        self.head.is_some() || !self.aside.is_empty()
    }

    /// Takes out what was claimed and waits.
    fn take_waiting(&mut self) -> impl Iterator<Item = Order> {
        self.head.take().map(|head| head.order).into_iter().chain(self.aside.take_all())
    }
}

/// The lines of one actor.
#[derive(Default)]
pub(super) struct Intakes {
    lines: Vec<Intake>,
    /// Whose turn it is.
    turn: usize,
}

impl Intakes {
    /// Whether something that waits for its arguments was cancelled.
    pub(super) fn has_cancelled(&self, core: &Core) -> bool {
        self.lines.iter().any(|line| line.has_cancelled(core))
    }

    /// Whether a call can be claimed, or a line is to be given up.
    pub(super) fn has_next(&self, core: &Core) -> bool {
        self.lines.iter().any(|line| line.has_next(core) || line.aside.has_news() || line.is_over())
    }

    /// The arguments that calls wait for.
    pub(super) fn awaited(&self, core: &Core) -> impl Iterator<Item = ObjectId> {
        let arguments = self.lines.iter().flat_map(Intake::awaited);
        arguments.filter(|&id| core.client.status(id) == Status::Pending)
    }

    /// Whether there are any.
    pub(super) fn await_any(&self, core: &Core) -> bool {
        self.awaited(core).next().is_some()
    }

    /// Whether nothing is left on any line of what is to be answered.
    pub(super) fn are_empty(&self) -> bool {
        self.lines.iter().all(|line| {
            let is_done = || line.queue.is_empty() || line.is_late();
            line.is_over() || (!line.has_waiting() && is_done())
        })
    }

    /// Whether something that was claimed waits for its arguments.
    pub(super) fn have_waiting(&self) -> bool {
        self.lines.iter().any(Intake::has_waiting)
    }

    /// Whether there is something that is to be refused.
    pub(super) fn has_late(&self) -> bool {
        self.lines.iter().any(|line| line.is_late() && !line.queue.is_caught_up())
    }

    /// The node asks for the end: what comes from now on is late.
    pub(super) fn answer_no_more(&mut self) {
        for line in &mut self.lines {
            line.late = Some(line.queue.next_ticket());
        }
    }

    /// All that has not begun is late; gives what was claimed of it.
    pub(super) fn begin_no_more(&mut self) -> Vec<Order> {
        let mut waiting = Vec::new();
        for line in &mut self.lines {
            line.late = Some(Ticket::from_raw(0));
            waiting.extend(line.take_waiting());
        }
        waiting
    }
}

impl Worker {
    /// Takes calls from a line from now on, if it is one to the actor that lives here.
    pub(super) fn attach_line(&mut self, header: &Header) {
        let id = LineId::from_word(header.function);
        let control = self.core.control();
        let line = Line::new(control, id).filter(|line| {
            self.home.is_some()
                && line.state() == LineState::Open
                && line.consumer_of() == self.core.client.id()
        });
        match line.zip(control.line_consumer(id)) {
            Some((line, queue)) => {
                let (head, aside, claimed, late) = (None, Aside::new(&self.core), 0, None);
                self.intakes.lines.push(Intake { line, queue, head, aside, claimed, late });
            }
            None => self.uplink.line_done(id, LineEnd::Consumer),
        }
        // Before anything is claimed from the line.
        self.reports.publish(header, &Returns::none(), super::DONE, false);
    }

    /// Fails what waits, for its arguments or for a lane, and was cancelled. That takes no lane: who has the last one may
    /// wait for it.
    pub(super) fn fail_cancelled(&mut self) {
        if !self.core.interrupts.any() {
            return;
        }
        let mut cancelled = Vec::new();
        if let Some(home) = &mut self.home {
            home.take_cancelled(&self.core, &mut cancelled);
        }
        for line in &mut self.intakes.lines {
            line.take_cancelled(&self.core, &mut cancelled);
        }
        for order in cancelled {
            self.fail_waited(&order, Failure::of(FailureKind::Cancelled));
        }
    }

    /// Claims what has come late, which is to be refused.
    pub(super) fn claim_late(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut entry = [0; ENTRY_WORDS];
        for mut intake in std::mem::take(&mut self.intakes.lines) {
            let mut is_over = intake.is_over();
            // What comes meanwhile has the next turn.
            let end = intake.queue.next_ticket();
            while !is_over && intake.is_late() && !intake.queue.has_come_to(end) {
                match intake.queue.claim(&mut entry).map(|len| len.map(|len| &entry[..len])) {
                    Ok(None) => break,
                    Ok(Some(words)) => match Header::parse(words) {
                        Ok(header) => orders.push(Order::new(header, rest_of(words))),
                        Err(error) => crate::notice!("rustyray: {error}"),
                    },
                    Err(garbage) => {
                        crate::notice!("rustyray: a direct line is damaged: {garbage}");
                        is_over = true;
                    }
                }
            }
            if is_over {
                self.uplink.line_done(intake.line.id(), LineEnd::Consumer);
            } else {
                intake.tell_of_room(&self.core);
                self.intakes.lines.push(intake);
            }
        }
        orders
    }

    /// Claims nothing from any line any more: gives what was claimed and has not begun. What was not claimed is its
    /// producer's to take back.
    pub(super) fn give_up_lines(&mut self) -> Vec<Order> {
        let mut waiting = Vec::new();
        for mut intake in std::mem::take(&mut self.intakes).lines {
            let id = intake.line.id();
            waiting.extend(intake.take_waiting());
            self.uplink.line_done(id, LineEnd::Consumer);
        }
        waiting
    }

    /// Takes calls from the lines while they have some, and a few rounds of them at most: then it is the turn of
    /// what else there is.
    pub(super) fn take_from_lines(&mut self, mut seat: Option<&mut Seat>) {
        let mut entry = [0; ENTRY_WORDS];
        for _ in 0..ROUNDS {
            if !self.take_round(seat.as_deref_mut(), &mut entry) {
                return;
            }
        }
    }

    /// Takes one call from each line that has one, beginning with the line whose turn it is. Whether there was any,
    /// and another may be begun.
    fn take_round(&mut self, mut seat: Option<&mut Seat>, entry: &mut [u64; ENTRY_WORDS]) -> bool {
        let mut any = false;
        for _ in 0..self.intakes.lines.len() {
            let Intakes { lines, turn } = &mut self.intakes;
            let at = if *turn < lines.len() { *turn } else { 0 };
            let Some(line) = lines.get(at) else { return false };
            if line.is_over() {
                let over = self.intakes.lines.swap_remove(at);
                self.uplink.line_done(over.line.id(), LineEnd::Consumer);
                continue;
            }
            self.take_aside(seat.as_deref_mut(), at);
            if !self.may_claim() {
                return false;
            }
            any |= self.take_one(seat.as_deref_mut(), at, entry);
            self.intakes.turn = at + 1;
        }
        any && self.may_claim()
    }

    /// Begins the calls of a line that stood aside and have their arguments now.
    fn take_aside(&mut self, mut seat: Option<&mut Seat>, at: usize) {
        if self.intakes.lines[at].aside.is_empty() {
            return;
        }
        // Nobody else may have, while there is always a call that can begin.
        self.core.look_for_others();
        while self.may_claim()
            && let Some(ready) = self.intakes.lines[at].aside.take_ready()
        {
            self.begin_waited(seat.as_deref_mut(), ready);
        }
    }

    /// Takes the next call of a line, if there is one. Its words are copied to `entry`.
    fn take_one(
        &mut self,
        seat: Option<&mut Seat>,
        at: usize,
        entry: &mut [u64; ENTRY_WORDS],
    ) -> bool {
        let core = &self.core;
        let intake = &mut self.intakes.lines[at];
        if intake.head.is_some() {
            let Some(head) = intake.head.take_if(|head| head.is_ready(core)) else { return false };
            self.begin_waited(seat, head);
            return true;
        }
        if intake.is_late() {
            return false;
        }
        let entry = match intake.queue.claim(entry) {
            Ok(Some(len)) => &entry[..len],
            // It may have passed what was taken back.
            Ok(None) => {
                intake.tell_of_room(core);
                return false;
            }
            Err(garbage) => {
                crate::notice!("rustyray: a direct line is damaged: {garbage}");
                let over = self.intakes.lines.swap_remove(at);
                self.uplink.line_done(over.line.id(), LineEnd::Consumer);
                return false;
            }
        };
        intake.claimed += 1;
        if intake.claimed >= LINE_ROOM || intake.queue.is_caught_up() {
            intake.tell_of_room(core);
        }
        let header = match Header::parse(entry) {
            Ok(header) if header.kind == Kind::Method => header,
            other => {
                crate::notice!("rustyray: what came by a direct line is no call: {other:?}");
                return true;
            }
        };
        let rest = rest_of(entry);
        let (who, arguments) = match references_of(core, &header, rest) {
            Ok(known) => known,
            Err(error) => {
                self.fail_waited(&Order::new(header, rest), Failure::message(error));
                return true;
            }
        };
        let is_waiting = arguments.iter().any(|&id| core.client.status(id) == Status::Pending);
        let waiting = |arguments| Waiting { order: Order::new(header, rest), who, arguments };
        if !is_waiting {
            match arguments.is_empty() {
                true => self.take_call(seat, header, rest),
                false => self.begin_waited(seat, waiting(arguments)),
            }
            return true;
        }
        let may_pass = self.home.as_ref().is_some_and(|home| home.is_out_of_order(&header));
        let intake = &mut self.intakes.lines[at];
        if may_pass {
            intake.aside.push(waiting(arguments));
            return true;
        }
        // Whoever settles them rings this process, which looks again.
        for &id in &arguments {
            core.subscribe(id);
        }
        intake.head = Some(waiting(arguments));
        true
    }

    /// Begins a call whose arguments are all settled; one of them may have failed. One that was cancelled fails.
    fn begin_waited(&mut self, seat: Option<&mut Seat>, waiting: Waiting) {
        let core = Arc::clone(&self.core);
        if waiting.is_cancelled(&core) {
            return self.fail_waited(&waiting.order, Failure::of(FailureKind::Cancelled));
        }
        let failed = waiting.arguments.iter().find_map(|&id| Some((id, core.error_of(id)?)));
        match failed {
            None => self.take_call(seat, waiting.order.header, waiting.order.rest()),
            Some((id, error)) => {
                let task = waiting.order.header.name();
                let error = Error::downstream(task, id.to_string(), error);
                self.fail_waited(&waiting.order, Failure::of(FailureKind::Downstream(error)));
            }
        }
    }

    /// Fails a call that cannot begin.
    pub(super) fn fail_waited(&mut self, order: &Order, failure: Failure) {
        let returns = order.returns(&self.core);
        self.complete(&order.header, &returns, Err(failure), false);
    }
}

impl Order {
    /// The objects that the call returns.
    pub(super) fn returns(&self, core: &Arc<Core>) -> Returns {
        let body = self.header.body.and_then(|id| core.body_words(id).ok());
        let parts = self.header.split(body.as_deref().unwrap_or(self.rest()));
        let ids = parts.map(|parts| parts.returns().filter_map(|id| id.ok()).collect::<Vec<_>>());
        let ids = Ids::from_vec(ids.unwrap_or_default());
        Returns::of(ids, self.header.attempt)
    }
}

/// What names a call, and the references among its arguments.
fn references_of(
    core: &Core,
    header: &Header,
    rest: &[u64],
) -> Result<(Option<Submitter>, Vec<ObjectId>), String> {
    if header.arguments == 0 && header.body.is_none() {
        return Ok((None, Vec::new()));
    }
    let body = header.body.map(|id| core.body_words(id)).transpose();
    let body = body.map_err(|error| error.to_string())?;
    let parts = header.split(body.as_deref().unwrap_or(rest)).map_err(|error| error.to_string())?;
    let who = header.who(parts.returns().find_map(|id| id.ok()));
    let (mut arguments, mut references) = (parts.arguments, Vec::new());
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        if let Argument::Reference(id) = argument {
            references.push(id);
        }
    }
    Ok((who, references))
}
