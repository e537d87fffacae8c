//! A worker process: takes tasks from its work queue, runs them, and says what came of them.
//!
//! The main thread runs user code; a second one watches the socket, and ends the process when the node is
//! gone, whatever the main thread is doing. A task's results are sealed first, then its completion is
//! published: a worker that dies in between has left a sealed result that counts, or none.
//!
//! A worker with nothing to do spins for the calibrated time and then sleeps on its doorbell.
//!
//! What takes calls ([`Worker`]) can be passed on to another thread; what must stay on the main thread
//! ([`Seat`]) cannot. See [`lead`].

mod actor;
mod aside;
mod attach;
mod calls;
mod crew;
mod depth;
mod errands;
mod failure;
pub(crate) mod fault;
mod flights;
mod forked;
mod intake;
mod lanes;
mod lead;
mod limits;
mod on_top;
mod report;

use std::{
    hint::spin_loop,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use rustyray_ipc::{BlockingConnection, Patience, WorkConsumer};
use tokio::runtime::EnterGuard;

use self::{
    actor::Home,
    calls::{InFlight, rest_of},
    crew::Crew,
    flights::Flights,
    intake::Intakes,
    lead::Held,
    limits::Limit,
    report::Reports,
};
pub(crate) use self::{actor::exit_actor, attach::attach, forked::end_if_forked};
use super::{
    Core, Link,
    boot::{self, Birth},
    control::{WORK_ROOM, Words},
    executor::Executor,
    uplink::Uplink,
    wire::Role,
};
use crate::{
    contained::Contained,
    error::Error,
    residence::Resident,
    spec::{ENTRY_WORDS, Header, Kind},
};

/// How a task ended, in the second byte of the first word of a completion.
pub(super) const DONE: u64 = 0;
/// Its error is sealed in its returns.
pub(super) const FAILED: u64 = 1;
/// Nothing is sealed: the node runs it again.
pub(super) const REPORTED: u64 = 2;
/// It was cancelled, and nothing is sealed: the node does that.
pub(super) const CANCELLED: u64 = 3;
/// The actor is to end after this call.
pub(super) const FLAG_EXIT: u64 = 1 << 16;
/// From here on: for how many nanoseconds the task ran, where that was measured.
pub(super) const RAN_SHIFT: u32 = 32;

/// How long a node takes that is awake to look at what has ended, and to hand out what waits: as long as it takes to submit
/// a few tasks. To wake it would cost as much, and have one of its threads take the core of who submits, or ours.
const LOOKED_AT_WITHIN: Duration = Duration::from_micros(20);

/// Whether what is waited for comes while a node that is awake looks by itself.
fn is_soon(ready: &impl Fn() -> bool) -> bool {
    let given_up = Instant::now() + LOOKED_AT_WITHIN;
    let spins = Patience::calibrated().has_cores();
    while !ready() {
        if !spins || Instant::now() >= given_up {
            return false;
        }
        spin_loop();
    }
    true
}

/// Becomes a worker; gives the exit code.
pub(crate) fn run(birth: Birth) -> i32 {
    // The node alone decides how a worker ends; should it be killed, so is this process.
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    // Should the system have to kill somebody for want of memory, then rather a worker than a driver.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    failure::keep_panics();
    let joined = BlockingConnection::from_fd(birth.socket)
        .map_err(|error| Error::io("taking the socket", &error))
        .and_then(|socket| attach(socket, None, Role::Worker, birth.nonce));
    match joined {
        Ok(core) => Box::new(Worker::new(core)).serve(),
        Err(error) => {
            crate::notice!("rustyray: this worker could not join its node: {error}");
            2
        }
    }
}

/// What takes the process's entries, by whichever thread has it.
struct Worker {
    core: Arc<Core>,
    uplink: Arc<Uplink>,
    reports: Arc<Reports>,
    work: WorkConsumer<Words>,
    home: Option<Home>,
    intakes: Intakes,
    /// What was claimed and is not for the thread that claimed it, which claims nothing more.
    held: Option<Held>,
    /// How many entries were claimed since the node was last told of room.
    claimed: usize,
    /// The node asked for the end, after everything that has come until then.
    stopping: bool,
    /// The actor asked for its end: nothing is begun any more.
    exiting: bool,
    /// Those of the next grant that were named already.
    gpus: Vec<u32>,
    /// Of the task that runs now.
    limit: Option<Limit>,
}

/// What only the main thread can have: what belongs to one thread, and may belong to the user.
struct Seat {
    executor: Executor,
    /// The actor of this process.
    resident: Contained<Resident>,
    in_flight: Flights<InFlight>,
    /// The actor's async methods find tokio; from the first one on.
    tokio: Option<EnterGuard<'static>>,
}

impl Worker {
    fn new(core: Arc<Core>) -> Worker {
        let Link::Uplink(uplink) = &core.link else { unreachable!("a worker has an uplink") };
        let uplink = Arc::clone(uplink);
        let work = core.control().work_consumer(core.client.id());
        Worker {
            reports: Arc::new(Reports::new(Arc::clone(&core), Arc::clone(&uplink))),
            core,
            uplink,
            work,
            home: None,
            intakes: Intakes::default(),
            held: None,
            claimed: 0,
            stopping: false,
            exiting: false,
            gpus: Vec::new(),
            limit: None,
        }
    }

    fn serve(mut self: Box<Self>) -> i32 {
        depth::begin();
        self.core.serve();
        let executor = Executor::new();
        let in_flight = Flights::new(executor.waker());
        let mut seat = Seat { executor, resident: Contained::none(), in_flight, tokio: None };
        let attended = Arc::clone(&self.core);
        let _attending = attended.interrupts.attend(seat.executor.waker());
        let (core, reports) = (Arc::downgrade(&self.core), Arc::clone(&self.reports));
        self.core.on_top.set_runner(Box::new(move |words| {
            if let Some(core) = core.upgrade() {
                on_top::run(&core, &reports, &words);
            }
        }));
        loop {
            // The task that it was meant for has ended meanwhile.
            while let Some(words) = self.core.on_top.pop() {
                self.core.on_top.run(words);
            }
            if self.take_all(Some(&mut seat)).is_break() {
                return 3;
            }
            match self.held.take() {
                Some(Held::Shared(call)) => {
                    self = self.hand_over(call);
                    continue;
                }
                Some(Held::Own(order)) => {
                    self.run(&mut seat, order.header, order.rest());
                    continue;
                }
                None => {}
            }
            self.poll_in_flight(&mut seat);
            if self.exiting {
                self.turn_away();
            }
            if self.is_done(Some(&seat)) {
                self.stop(&mut seat);
                return 0;
            }
            if !self.has_next() {
                self.idle(&seat.executor, Some(&seat));
            }
        }
    }

    /// Takes what there is, until something is held: from the node and from each line in turn. Breaks off when the
    /// work queue is damaged. Without the main thread's seat by another thread, which leads.
    fn take_all(&mut self, mut seat: Option<&mut Seat>) -> ControlFlow<()> {
        self.exiting |= self.home.as_ref().is_some_and(Home::has_exited);
        if self.exiting {
            self.turn_away();
            return ControlFlow::Continue(());
        }
        self.fail_cancelled();
        self.begin_parked(seat.as_deref_mut());
        let mut entry = [0; ENTRY_WORDS];
        while self.may_claim() && !self.stopping {
            match self.work.claim(&mut entry) {
                Ok(Some(len)) => {
                    self.tell_of_room();
                    self.take(seat.as_deref_mut(), &entry[..len]);
                }
                Ok(None) => break,
                Err(garbage) => {
                    crate::notice!("rustyray: the work queue is damaged: {garbage}");
                    return ControlFlow::Break(());
                }
            }
        }
        self.take_from_lines(seat);
        if self.stopping {
            self.refuse_late();
        }
        ControlFlow::Continue(())
    }

    /// Lets the node know that it can hand over more, where what was claimed may not end before: the node takes
    /// an end for a sign of room, and calls that overlap may all wait for one that is not here yet.
    ///
    /// A node that finds the queue full leaves more in it than are claimed before it is told again, so it never
    /// waits for a word that does not come.
    fn tell_of_room(&mut self) {
        if self.home.as_ref().is_some_and(Home::overlaps) {
            self.claimed += 1;
            if self.claimed == WORK_ROOM {
                self.claimed = 0;
                self.uplink.has_room();
            }
        }
    }

    /// Whether an entry may be taken from the work queue.
    fn may_claim(&self) -> bool {
        !self.exiting && self.held.is_none() && self.home.as_ref().is_none_or(Home::may_claim)
    }

    /// Whether there is something to be begun, or turned away.
    fn has_next(&self) -> bool {
        if self.exiting {
            return self.intakes.has_next(&self.core);
        }
        self.home.as_ref().is_some_and(|home| home.has_exited() || home.has_next())
            || (self.stopping && self.intakes.has_late())
            || self.has_cancelled()
            || (self.may_claim()
                && ((!self.stopping && !self.work.is_empty()) || self.intakes.has_next(&self.core)))
    }

    /// Whether something was cancelled that waits, for its arguments or for a lane.
    fn has_cancelled(&self) -> bool {
        self.core.interrupts.any()
            && (self.intakes.has_cancelled(&self.core)
                || self.home.as_ref().is_some_and(|home| home.has_cancelled(&self.core)))
    }

    /// Whether nothing is under way here.
    fn is_quiet(&self, seat: Option<&Seat>) -> bool {
        seat.is_none_or(|seat| seat.in_flight.is_empty())
            && self.home.as_ref().is_none_or(Home::is_quiet)
    }

    /// Whether the process is to end now.
    fn is_done(&self, seat: Option<&Seat>) -> bool {
        if seat.is_some_and(|seat| !seat.in_flight.is_empty()) {
            return false;
        }
        if self.exiting {
            return self.home.as_ref().is_none_or(|home| !home.is_at_work());
        }
        (self.stopping || self.core.is_stopping())
            && self.home.as_ref().is_none_or(Home::is_quiet)
            && self.intakes.are_empty()
            && (self.stopping || self.work.is_empty())
    }

    /// Nothing is to be run: say so where the node wants to know, and wait.
    fn idle(&self, executor: &Executor, seat: Option<&Seat>) {
        let ready = || self.has_next() || self.is_done(seat) || !self.core.on_top.is_empty();
        if self.core.control().backlog() > 0 && !is_soon(&ready) {
            self.uplink.ring_node();
        }
        if executor.spin(&self.core, &ready) {
            return;
        }
        self.core.lines.rest(&self.core);
        self.reports.nudge();
        let crew = self.home.as_ref().map(|home| &home.crew);
        let until = crew.and_then(Crew::reinforce_again);
        let ready = || ready() || (until.is_none() && crew.is_some_and(Crew::is_short));
        self.core.interrupts.forget_if(|| {
            self.work.is_empty()
                && self.is_quiet(seat)
                && !self.intakes.have_waiting()
                && self.core.on_top.is_empty()
        });
        // Where tasks wait for a worker, what this actor's calls wait for may be one of them.
        let awaits = self.intakes.await_any(&self.core)
            || seat.is_some_and(|seat| !seat.in_flight.is_empty());
        let is_wanted = || awaits && self.core.control().backlog() > 0;
        let mut awaited = Vec::new();
        // Asked once: what is wanted after this wakes.
        let knew = is_wanted();
        if knew {
            awaited = executor.awaited(&self.core);
            awaited.extend(self.intakes.awaited(&self.core));
        }
        if awaited.is_empty() {
            return executor.sleep(&self.core, until, &|| ready() || (!knew && is_wanted()));
        }
        self.uplink.rests(&awaited);
        executor.sleep(&self.core, until, &ready);
        self.uplink.goes_on();
    }

    /// What runs here may use other gpus from now on.
    fn take_gpus(&mut self, header: &Header, rest: &[u64]) {
        let named = rest.iter().take(header.arguments as usize).map(|&word| word as u32);
        self.gpus.extend(named);
        if header.index == 0 {
            let gpus = std::mem::take(&mut self.gpus);
            boot::show_gpus(&gpus);
            self.core.set_gpu_ids(gpus.into());
        }
    }

    /// Takes an entry that was claimed.
    fn take(&mut self, seat: Option<&mut Seat>, entry: &[u64]) {
        let header = match Header::parse(entry) {
            Ok(header) => header,
            Err(error) => {
                crate::notice!("rustyray: {error}");
                return;
            }
        };
        let rest = rest_of(entry);
        match header.kind {
            Kind::Stop => {
                self.stopping = true;
                self.intakes.answer_no_more();
            }
            Kind::Gpus => self.take_gpus(&header, rest),
            Kind::Attach => self.attach_line(&header),
            Kind::Method => self.take_call(seat, header, rest),
            Kind::Task | Kind::Construct => self.run_own(seat, header, rest),
        }
    }
}
