//! Calls from the moment their entry was claimed: begun, waited for, ended.

use std::{
    cell::OnceCell,
    fmt,
    sync::Arc,
    task::{Poll, Waker},
};

use rustyray_ipc::UnderWay;
use rustyray_memory::Clock;
use rustyray_store::{ObjectId, without_waiting};

use super::{
    Seat, Worker,
    actor::take_exit,
    failure::{guarded, guarded_rest, poll_guarded},
    fault,
    lanes::Slot,
    limits::Limit,
};
use crate::{
    call::{Call, End, Failure, FailureKind, Finished, Ids, Later, Returns},
    context::{self, Running, TaskContext},
    error::{Error, Result},
    registry,
    residence::Resident,
    runtime::{
        Core, executor::Executor, foreground, node::ON_TOP, record::Began, submission::Extension,
        trace,
    },
    spec::{HEADER_WORDS, Header, Kind, Submitter},
};

/// A claimed call that is not begun at once, with its words.
pub(super) struct Order {
    pub(super) header: Header,
    rest: Box<[u64]>,
    /// What names it, once somebody asked and it could be told.
    who: OnceCell<Submitter>,
}

impl Order {
    pub(super) fn new(header: Header, rest: &[u64]) -> Order {
        Order { header, rest: rest.into(), who: OnceCell::new() }
    }

    pub(super) fn rest(&self) -> &[u64] {
        &self.rest
    }

    /// Whether it was cancelled.
    pub(super) fn is_cancelled(&self, core: &Arc<Core>) -> bool {
        core.interrupts.any()
            && self.who(core).is_some_and(|who| core.interrupts.is_interrupted(who))
    }

    /// What names it. Words that lie elsewhere are read only where nothing else does, and are not waited for.
    fn who(&self, core: &Arc<Core>) -> Option<Submitter> {
        if let Some(&who) = self.who.get() {
            return Some(who);
        }
        let who = match self.header.task {
            0 => without_waiting(|| self.returns(core).who(&self.header)),
            _ => self.header.who(None),
        };
        who.map(|who| *self.who.get_or_init(|| who))
    }

    /// Runs the call's code up to where it waits.
    pub(super) fn begin(&self, core: &Arc<Core>, actor: Option<&Resident>) -> Begun {
        begin(core, &self.header, &self.rest, actor, |_, _| ())
    }
}

/// What a call returns into, the mark that it is the one that runs, and how far it got.
pub(super) type Begun = (Returns, Option<TaskContext>, Result<Finished, Failure>);

/// Runs the code that an entry names up to where it waits. `rest` are the words after its header;
/// `about_to` is told of a task just before it begins.
pub(super) fn begin(
    core: &Arc<Core>,
    header: &Header,
    rest: &[u64],
    actor: Option<&Resident>,
    about_to: impl FnOnce(&Running, &Returns),
) -> Begun {
    fault::point("claimed");
    let body = match header.body.map(|id| core.body_words(id)).transpose() {
        Ok(body) => body,
        Err(error) => return lost(&error),
    };
    let parts = match header.split(body.as_deref().unwrap_or(rest)) {
        Ok(parts) => parts,
        Err(error) => return lost(&error),
    };
    // Few have one, and it is large.
    let extension = match parts.extension() {
        bytes if bytes.is_empty() => None,
        bytes => match Extension::from_bytes(&bytes) {
            Ok(extension) => Some(Arc::new(extension)),
            Err(error) => return lost(&error),
        },
    };
    let ids = {
        let mut ids = parts.returns().filter_map(|id| id.ok());
        match header.returns {
            1 => ids.next().map_or_else(|| Ids::Several([].into()), Ids::One),
            _ => Ids::Several(ids.collect::<Vec<ObjectId>>().into()),
        }
    };
    // It is settled when the code has run, and was written by another core last.
    ids.as_slice().first().into_iter().for_each(|&id| core.client.approach_to_settle(id));
    let returns = Returns {
        ids,
        attempt: header.attempt,
        grant: header.grant,
        began: match core.control().recording() {
            Some(clock) => began(core, clock, header, extension.as_deref(), parts.submitter),
            None if header.kind == Kind::Task => Began::sampled(),
            None => Began::default(),
        },
    };
    if header.kind == Kind::Method
        && core
            .own_caller()
            .is_some_and(|actor| !actor.begins(returns.ids.as_slice().first().copied()))
    {
        return (returns, None, Err(Failure::of(FailureKind::Late)));
    }
    let running =
        Running { header: *header, returns: returns.ids.as_slice().first().copied(), extension };
    core.set_job(header.job);
    if header.kind == Kind::Task {
        core.interrupts.begin(&running);
        about_to(&running, &returns);
        if returns.began.at != 0 && header.task & ON_TOP == 0 {
            let (began, attempt) = (returns.began.at, header.attempt);
            core.begun.set(UnderWay { began, task: header.task, attempt });
        }
    }
    let span = trace::Span::task(core, &running);
    let context = TaskContext::enter(running);
    if core.is_interrupted() {
        return (returns, Some(context), Err(Failure::of(FailureKind::Cancelled)));
    }
    let mut call = Call { core, arguments: parts.arguments, returns: &returns, actor };
    let outcome = span.enter(|| code(header).and_then(|code| guarded(core, || code(&mut call))));
    (returns, Some(context), outcome.map(|finished| span.follow(finished)))
}

/// A call whose words cannot be read.
#[cold]
fn lost(error: &dyn fmt::Display) -> Begun {
    crate::notice!("rustyray: the words of a task are lost: {error}");
    (Returns::none(), None, Err(Failure::message(error)))
}

/// What is recorded of a call that begins now.
fn began(
    core: &Core,
    clock: Clock,
    header: &Header,
    extension: Option<&Extension>,
    submitter: Option<Submitter>,
) -> Began {
    let (name, sampled) = match header.kind {
        Kind::Task => (extension.and_then(|extension| extension.name.as_deref()), Began::sampled()),
        _ => (None, Began::default()),
    };
    Began {
        at: clock.ticks(),
        name: name.map_or(0, |name| core.tell(name)),
        submitter: submitter.map_or([0; 2], Submitter::to_words),
        names_actor: header.kind == Kind::Method && !core.is_occupant_told(),
        ..sampled
    }
}

/// A future that ends where it waits when its task is cancelled or overdue; a panic becomes a failure.
pub(super) async fn stoppable(
    core: &Core,
    who: Option<Submitter>,
    limit: Option<&Limit>,
    mut future: Later,
) -> Result<(), Failure> {
    std::future::poll_fn(move |context| {
        if who.is_some_and(|who| core.interrupts.is_interrupted(who)) {
            return Poll::Ready(Err(Failure::of(FailureKind::Cancelled)));
        }
        if let Some(limit) = limit
            && limit.is_overdue()
        {
            // What it comes to is said by the limit.
            return Poll::Ready(Ok(()));
        }
        poll_guarded(core, &mut future, context)
    })
    .await
}

/// The code that an entry names.
fn code(header: &Header) -> Result<registry::Body, Failure> {
    let missing = |name: String| Failure::from(Error::FunctionNotFound { name });
    let index = usize::from(header.index);
    match header.kind {
        Kind::Task => registry::function(header.function)
            .map(registry::Function::body)
            .ok_or_else(|| missing(format!("{:016x}", header.function))),
        Kind::Construct => registry::actor_class(header.function)
            .and_then(|class| class.constructors.get(index))
            .map(|constructor| constructor.body)
            .ok_or_else(|| missing(format!("{:016x}", header.function))),
        Kind::Method => registry::actor_class(header.function)
            .and_then(|class| class.methods.get(index))
            .map(|method| method.body)
            .ok_or_else(|| missing(format!("method {index} of {:016x}", header.function))),
        Kind::Stop | Kind::Gpus | Kind::Attach => Err(missing("a word to the worker".into())),
    }
}

/// A call whose future is not done yet.
pub(super) struct InFlight {
    header: Header,
    returns: Returns,
    future: Later,
    /// Given back when the call has ended.
    _slot: Option<Slot>,
    exits: bool,
    running: Option<Running>,
}

impl InFlight {
    /// What names it.
    fn who(&self) -> Option<Submitter> {
        self.returns.who(&self.header)
    }
}

impl Worker {
    /// Acts on how far a call got.
    pub(super) fn end(
        &mut self,
        seat: &mut Seat,
        header: Header,
        (returns, context, outcome): Begun,
    ) {
        match outcome.map(|finished| finished.0) {
            Ok(End::Sealed) => self.complete(&header, &returns, Ok(()), take_exit()),
            Err(failure) => self.complete(&header, &returns, Err(failure), take_exit()),
            Ok(End::Later(future)) => self.wait(seat, header, returns, future),
            Ok(End::Constructed(actor)) => self.settle(seat, &header, &returns, actor),
            Ok(End::ConstructedLater(rest)) => {
                let _tokio = foreground::handle().map(|handle| handle.enter());
                match seat.executor.run(guarded_rest(&self.core, rest)) {
                    Ok(actor) => self.settle(seat, &header, &returns, actor),
                    Err(failure) => self.complete(&header, &returns, Err(failure), take_exit()),
                }
            }
        }
        drop(context);
    }

    /// Polls a call that may wait: a task has the worker to itself, an actor's calls overlap.
    fn wait(&mut self, seat: &mut Seat, header: Header, mut returns: Returns, future: Later) {
        if header.kind == Kind::Task {
            return self.wait_alone(seat, header, returns, future);
        }
        if seat.tokio.is_none() {
            match foreground::handle() {
                Ok(foreground) => seat.tokio = Some(foreground.enter()),
                Err(error) => {
                    return self.complete(&header, &returns, Err(error.into()), take_exit());
                }
            }
        }
        let mut future = future;
        let (berth, waker) = seat.in_flight.free_berth();
        let who = returns.who(&header);
        let polled = poll(&self.core, &seat.executor, waker, who, &mut future);
        returns.take_begin();
        let exits = take_exit();
        match polled {
            Poll::Ready(outcome) => self.complete(&header, &returns, outcome, exits),
            Poll::Pending => {
                let slot = self.home.as_ref().map(|home| home.take_slot(&header));
                let running = context::current_call();
                let call = InFlight { header, returns, future, _slot: slot, exits, running };
                seat.in_flight.keep(berth, Box::new(call));
            }
        }
    }

    /// Polls a task until it is done: it has the worker to itself.
    fn wait_alone(&mut self, seat: &Seat, header: Header, returns: Returns, future: Later) {
        let foreground = match foreground::handle() {
            Ok(foreground) => foreground,
            Err(error) => {
                return self.complete(&header, &returns, Err(error.into()), take_exit());
            }
        };
        let _tokio = foreground.enter();
        let limit = self.limit.take();
        let stoppable = stoppable(&self.core, returns.who(&header), limit.as_ref(), future);
        let outcome = seat.executor.run(stoppable);
        self.limit = limit;
        self.complete(&header, &returns, outcome, take_exit());
    }

    /// Polls the calls that were woken, and those that were cancelled; the others are left alone.
    pub(super) fn poll_in_flight(&mut self, seat: &mut Seat) {
        if seat.in_flight.is_empty() {
            return;
        }
        let core = Arc::clone(&self.core);
        if core.interrupts.any() {
            let is_cancelled =
                |call: &InFlight| call.who().is_some_and(|who| core.interrupts.is_interrupted(who));
            while let Some((berth, call)) = seat.in_flight.find(is_cancelled) {
                self.poll_again(seat, berth, call);
            }
        }
        // What is woken meanwhile comes in the next turn.
        for _ in 0..seat.in_flight.woken() {
            let Some((berth, call)) = seat.in_flight.next_woken() else { break };
            self.poll_again(seat, berth, call);
        }
    }

    fn poll_again(&mut self, seat: &mut Seat, berth: usize, mut call: Box<InFlight>) {
        let _context = call.running.clone().map(TaskContext::enter);
        let waker = seat.in_flight.waker(berth);
        let who = call.who();
        let polled = poll(&self.core, &seat.executor, waker, who, &mut call.future);
        call.returns.take_begin();
        call.exits |= take_exit();
        match polled {
            Poll::Ready(outcome) => {
                self.complete(&call.header, &call.returns, outcome, call.exits);
                // Within its context: what is dropped here may be the user's.
                drop(call);
                seat.in_flight.end(berth);
            }
            Poll::Pending => seat.in_flight.keep(berth, call),
        }
    }

    /// Reports a call that ended on this thread.
    pub(super) fn complete(
        &mut self,
        header: &Header,
        returns: &Returns,
        outcome: Result<(), Failure>,
        exits: bool,
    ) {
        let outcome = match self.limit.take() {
            Some(limit) => limit.end(outcome),
            None => outcome,
        };
        self.reports.complete(header, returns, outcome, exits);
        self.exiting |= exits;
    }
}

/// Polls a call's future once; one that was cancelled is not polled any more. What it has is dropped before its end is
/// told.
fn poll(
    core: &Core,
    executor: &Executor,
    waker: &Waker,
    who: Option<Submitter>,
    future: &mut Later,
) -> Poll<Result<(), Failure>> {
    if core.interrupts.any() && who.is_some_and(|who| core.interrupts.is_interrupted(who)) {
        future.abandon();
        return Poll::Ready(Err(Failure::of(FailureKind::Cancelled)));
    }
    executor.poll_as(waker, |context| poll_guarded(core, future, context))
}

/// The words after the header of an entry.
pub(super) fn rest_of(entry: &[u64]) -> &[u64] {
    &entry[HEADER_WORDS..]
}
