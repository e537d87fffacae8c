//! The actor that lives in a worker's process: it settles in, takes its calls, runs its hooks, and ends.
//!
//! A call is claimed only when its lane has room, so what cannot begin stays where the node can take it back.
//! Only an actor with concurrency groups claims ahead: the next entry may be of a group that has room. What
//! is claimed and cannot begin is *parked*, in order, in its lane.
//!
//! An exclusive call that finds the crew at work waits *at the gate*, and nothing begins after it.

use std::{cell::Cell, collections::VecDeque, sync::Arc};

use super::{
    Seat, Worker,
    calls::{self, Order},
    crew::{Call as SharedCall, Crew, SharedActor},
    failure::{guarded, guarded_rest},
    lanes::{Lanes, Slot},
    lead::Held,
    limits::Limit,
};
use crate::{
    call::{Call, End, Failure, FailureKind, Returns},
    contained::Contained,
    context,
    death::{ActorEnd, Death},
    error::Error,
    options::MAX_CONCURRENCY,
    registry::{self, ActorClass},
    residence::Resident,
    runtime::{Core, executor::Executor, foreground, occupant::Occupant, output},
    spec::{self, Header, Kind},
};

/// The most calls that are claimed and parked: as many as the node hands over, so that those of one group keep
/// none of another from being claimed.
const MOST_PARKED: usize = MAX_CONCURRENCY as usize;

thread_local! {
    /// The actor asked to end.
    static EXIT: Cell<bool> = const { Cell::new(false) };
    /// It ends in any case, and this thread sees to it.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// Asks for the end of the actor that lives here, after the call that runs on this thread; `false` where none does.
pub(crate) fn exit_actor() -> bool {
    let running = context::running_call();
    let is_heard = matches!(running, Some((Kind::Construct | Kind::Method, _))) || ENDS.get();
    if is_heard {
        EXIT.set(true);
    }
    is_heard
}

/// Whether the call that runs on this thread asked for the actor's end since this was last asked.
pub(super) fn take_exit() -> bool {
    EXIT.take()
}

/// The actor of this process, as who takes its calls knows it.
pub(super) struct Home {
    class: &'static ActorClass,
    /// Where any thread can read it.
    shared: Option<SharedActor>,
    lanes: Arc<Lanes>,
    pub(super) crew: Crew,
    parked: Vec<VecDeque<Order>>,
    /// Calls that wait for their arguments let later ones pass.
    out_of_order: bool,
    /// An exclusive call that waits for the crew.
    gate: Option<Order>,
    /// Who takes the calls is a thread of the crew.
    pub(super) leads: bool,
}

impl Home {
    fn parked(&self) -> usize {
        self.parked.iter().map(VecDeque::len).sum()
    }

    /// Whether several calls can be under way at one time.
    pub(super) fn overlaps(&self) -> bool {
        self.lanes.total() > 1
    }

    /// Whether another entry may be claimed.
    pub(super) fn may_claim(&self) -> bool {
        self.gate.is_none()
            && match self.parked.as_slice() {
                [_] => self.lanes.has_room(0),
                _ => self.parked() < MOST_PARKED,
            }
            // After the room: it may be that of the call that asked for the end.
            && !self.has_exited()
    }

    /// Whether something that was claimed can begin now.
    pub(super) fn has_next(&self) -> bool {
        match &self.gate {
            Some(_) => !self.is_at_work(),
            None => self.first_parked().is_some(),
        }
    }

    /// Whether everything that was claimed has ended or is in flight on the actor's own thread.
    pub(super) fn is_quiet(&self) -> bool {
        self.gate.is_none() && self.parked() == 0 && !self.is_at_work()
    }

    /// Whether calls run on other threads.
    pub(super) fn is_at_work(&self) -> bool {
        self.crew.is_busy(self.leads)
    }

    /// Whether a call on another thread asked for the actor's end.
    pub(super) fn has_exited(&self) -> bool {
        self.crew.has_exited()
    }

    /// Whether something that was claimed and cannot begin was cancelled.
    pub(super) fn has_cancelled(&self, core: &Arc<Core>) -> bool {
        self.gate.iter().chain(self.parked.iter().flatten()).any(|order| order.is_cancelled(core))
    }

    /// Takes that out.
    pub(super) fn take_cancelled(&mut self, core: &Arc<Core>, cancelled: &mut Vec<Order>) {
        cancelled.extend(self.gate.take_if(|order| order.is_cancelled(core)));
        for lane in &mut self.parked {
            while let Some(at) = lane.iter().position(|order| order.is_cancelled(core)) {
                cancelled.extend(lane.remove(at));
            }
        }
    }

    fn first_parked(&self) -> Option<usize> {
        (0..self.parked.len())
            .find(|&lane| !self.parked[lane].is_empty() && self.lanes.has_room(lane))
            .filter(|_| !self.has_exited())
    }

    /// Whether a call may begin after later ones of its caller, when it waits for an argument.
    pub(super) fn is_out_of_order(&self, header: &Header) -> bool {
        self.out_of_order || self.method(header).is_some_and(|method| method.out_of_order)
    }

    /// The slot of a call that began without one.
    pub(super) fn take_slot(&self, header: &Header) -> Slot {
        self.lanes.enter_for(self.lanes.of(header.index))
    }

    fn method(&self, header: &Header) -> Option<&'static registry::Method> {
        self.class.methods.get(usize::from(header.index))
    }
}

impl Worker {
    /// The actor, of which a call was taken for a thread of the crew.
    pub(super) fn shared_actor(&self) -> SharedActor {
        let shared = self.home.as_ref().and_then(|home| home.shared.as_ref());
        Arc::clone(shared.expect("a call is for the crew only if the actor can be read there"))
    }

    /// Takes a claimed call of the actor: begins it, or keeps it until it can begin.
    pub(super) fn take_call(&mut self, seat: Option<&mut Seat>, header: Header, rest: &[u64]) {
        let Some(home) = &mut self.home else {
            return self.run_own(seat, header, rest);
        };
        let lane = home.lanes.of(header.index);
        if !home.parked[lane].is_empty() || !home.lanes.has_room(lane) {
            home.parked[lane].push_back(Order::new(header, rest));
            return;
        }
        self.begin_call(seat, header, rest);
    }

    /// Begins a call whose lane has room.
    fn begin_call(&mut self, seat: Option<&mut Seat>, header: Header, rest: &[u64]) {
        let Some(home) = &mut self.home else { return };
        let method = home.method(&header);
        if method.is_some_and(|method| method.is_exclusive) && home.is_at_work() {
            home.gate = Some(Order::new(header, rest));
            return;
        }
        let lane = home.lanes.of(header.index);
        // Also where its lane takes one at a time: those of the other lanes are not to wait for it.
        if method.is_some_and(|method| method.is_threaded)
            && home.overlaps()
            && let Some(actor) = &home.shared
        {
            home.lanes.enter(lane);
            let call = SharedCall { order: Order::new(header, rest), lane };
            // A future that is polled here may wait for this thread, which then cannot give away the rest.
            match seat.is_none_or(|seat| seat.in_flight.is_empty() && home.crew.may_lead()) {
                true => self.held = Some(Held::Shared(call)),
                false => home.crew.hand(call, Arc::clone(actor)),
            }
            return;
        }
        self.run_own(seat, header, rest);
    }

    /// Begins what was claimed before and can begin now.
    pub(super) fn begin_parked(&mut self, mut seat: Option<&mut Seat>) {
        while self.held.is_none()
            && let Some(home) = &mut self.home
        {
            let is_at_work = home.is_at_work();
            let order = match home.gate.take_if(|_| !is_at_work) {
                Some(order) => order,
                None if home.gate.is_some() => return,
                None => {
                    let Some(lane) = home.first_parked() else { return };
                    let Some(order) = home.parked[lane].pop_front() else { return };
                    order
                }
            };
            self.begin_call(seat.as_deref_mut(), order.header, order.rest());
        }
    }

    /// Runs on the main thread, or keeps for it, what is for that alone.
    pub(super) fn run_own(&mut self, seat: Option<&mut Seat>, header: Header, rest: &[u64]) {
        match seat {
            Some(seat) => self.run(seat, header, rest),
            None => self.held = Some(Held::Own(Order::new(header, rest))),
        }
    }

    /// Runs a call on this thread, up to where it waits.
    pub(super) fn run(&mut self, seat: &mut Seat, header: Header, rest: &[u64]) {
        let (core, limit, reports) = (&self.core, &mut self.limit, &self.reports);
        let (resident, executor) = (seat.resident.get(), &seat.executor);
        let begun = calls::begin(core, &header, rest, resident, |running, returns| {
            *limit = Limit::set(running, returns, reports, executor.waker());
        });
        self.end(seat, header, begun);
    }

    /// The actor is constructed: it lives here from now on, unless its hook fails.
    pub(super) fn settle(
        &mut self,
        seat: &mut Seat,
        header: &Header,
        returns: &Returns,
        resident: Contained<Resident>,
    ) {
        let Some(class) = registry::actor_class(header.function) else {
            let failure = Error::FunctionNotFound { name: format!("{:016x}", header.function) };
            return self.complete(header, returns, Err(failure.into()), false);
        };
        let Some(&token) = returns.ids.as_slice().first() else {
            let failure = Error::invalid("a construction without a token");
            return self.complete(header, returns, Err(failure.into()), false);
        };
        let lanes = Lanes::new(class, header.extra as usize);
        let extension = context::current_call().and_then(|running| running.extension);
        let wanted = extension.as_ref().and_then(|extension| extension.actor.as_ref());
        let out_of_order = wanted.is_some_and(|actor| actor.out_of_order);
        let incarnation = u32::from(header.attempt);
        let name = extension.as_ref().and_then(|extension| extension.name.as_deref());
        let label = match name {
            Some(name) => format!("{} ({name})", class.name()),
            None => class.name().to_owned(),
        };
        let occupant = Occupant::new(class, token, incarnation, extension, lanes.of_method());
        self.core.move_in(occupant);
        let parked = (0..lanes.len()).map(|_| VecDeque::new()).collect();
        let lanes = Arc::new(lanes);
        let (core, reports) = (Arc::clone(&self.core), Arc::clone(&self.reports));
        let crew = Crew::new(core, reports, Arc::clone(&lanes));
        let (gate, leads) = (None, false);
        let shared = match resident.get() {
            Some(Resident::Anywhere(actor)) => Some(Arc::clone(actor)),
            _ => None,
        };
        seat.resident = resident;
        self.home = Some(Home { class, shared, lanes, crew, parked, out_of_order, gate, leads });
        let started = match class.on_start {
            None => Ok(()),
            Some(hook) => self.hook(seat, hook),
        };
        let outcome = started.and_then(|()| self.core.seal_value(token, returns.attempt, &()));
        if matches!(&outcome, Err(failure) if !failure.is_late()) {
            // No actor after all: the process goes back to tasks.
            self.leave_home(seat);
        } else {
            output::say_moved_in(&label);
        }
        self.complete(header, returns, outcome, take_exit());
    }

    /// Drops the actor.
    fn leave_home(&mut self, seat: &mut Seat) {
        // This first, which reads it.
        self.home = None;
        seat.resident = Contained::none();
        self.core.move_out();
    }

    /// Runs `on_start` or `on_stop`.
    fn hook(&self, seat: &Seat, hook: registry::Body) -> Result<(), Failure> {
        let returns = Returns::none();
        let mut call = Call {
            core: &self.core,
            arguments: spec::Arguments::none(),
            returns: &returns,
            actor: seat.resident.get(),
        };
        match guarded(&self.core, || hook(&mut call))?.0 {
            End::Later(rest) => {
                let executor = Executor::new();
                let _tokio =
                    foreground::handle().map(|handle| handle.enter()).map_err(Failure::from)?;
                executor.run(guarded_rest(&self.core, rest))
            }
            _ => Ok(()),
        }
    }

    /// Fails what has not begun: nobody is to wait for an actor on its way out, which may itself be waiting for whoever
    /// does. The lines stay until the calls that run have ended, since who loses one takes for lost what was claimed.
    pub(super) fn turn_away(&mut self) {
        let mut orders = self.take_parked();
        orders.extend(self.intakes.begin_no_more());
        self.refuse(&orders);
        self.refuse_late();
    }

    /// Fails what came when the end had been asked for.
    pub(super) fn refuse_late(&mut self) {
        let late = self.claim_late();
        self.refuse(&late);
    }

    /// What was claimed from the node's queue and has not begun.
    fn take_parked(&mut self) -> Vec<Order> {
        let Some(home) = &mut self.home else { return Vec::new() };
        let parked = home.parked.iter_mut().flat_map(|lane| lane.drain(..));
        home.gate.take().into_iter().chain(parked).collect()
    }

    fn refuse(&mut self, orders: &[Order]) {
        if orders.is_empty() {
            return;
        }
        let death = self.death();
        for order in orders {
            self.fail_waited(order, Failure::of(FailureKind::Downstream(death.clone().into())));
        }
    }

    /// How callers are told of an end in order. When it is not the actor that asked for it they could not call if there
    /// were no handles, so the runtime ends.
    fn death(&self) -> Death {
        let class = self.home.as_ref().map_or("?", |home| home.class.name());
        let extension = self.core.occupant().and_then(|actor| actor.extension().cloned());
        let actor = match extension.and_then(|extension| extension.name.clone()) {
            Some(name) => format!("{class} ({name})"),
            None => class.to_owned(),
        };
        let reason = if self.exiting { ActorEnd::Exited } else { ActorEnd::ShutDown };
        Death { actor, reason, cause: None }
    }

    /// Ends the process in order.
    pub(super) fn stop(&mut self, seat: &mut Seat) {
        let mut orders = self.take_parked();
        orders.extend(self.give_up_lines());
        self.refuse(&orders);
        ENDS.set(true);
        let class = self.home.as_ref().map(|home| home.class);
        if let Some(class) = class
            && let Some(hook) = class.on_stop
            && let Err(failure) = self.hook(seat, hook)
        {
            let error = failure.into_error(&format!("{}::on_stop", class.name()), 0);
            crate::notice!("rustyray: {error}");
        }
        self.leave_home(seat);
        // What this process called by a line, it called. Nobody waits for it here but a node that shuts down, and that
        // has a grace.
        self.core.lines.drain(&self.core, None);
    }
}
