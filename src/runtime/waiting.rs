//! Waiting, which is the same everywhere: look, *help* (in the node's process: serve the up rings and dispatch), spin
//! for a calibrated time, sleep on the doorbell.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use rustyray_ipc::{Patience, Slept};
use rustyray_store::{ObjectId, Status};

use super::{Alarm, Core, Enlisted, Link, OwnWaker, executor};
use crate::error::{Error, Result};

/// Why a task that sleeps goes on.
enum Woken<R> {
    Found(R),
    /// It is to name the rest of what it waits for.
    Asked,
    /// It is to run this on top.
    OnTop(Vec<u64>),
}

/// When a wait that began at `started` gives up. What lies beyond all clocks, as `Duration::MAX` does, is a hundred
/// years away.
pub(crate) fn deadline(started: Instant, timeout: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    started + timeout.min(FAR)
}

impl Core {
    /// Wakes whoever of this process waits for something of its own on the doorbell.
    pub(crate) fn wake_waiters(&self) {
        self.bell.pass_on();
    }

    /// One bounded step of what the doorbell stands for; `true` when there may be more.
    #[inline]
    pub(crate) fn help(&self) -> bool {
        let more = match &self.link {
            Link::Node(node) => node.help(),
            Link::Uplink(_) => false,
        };
        self.lines.tend(self);
        if !self.wakers.is_empty() || self.bell.is_waited_on() {
            self.look_for_others();
        }
        more
    }

    /// Looks for what sleeping threads and futures of this process wait for, and tells them.
    pub(crate) fn look_for_others(&self) {
        let mut has_news = false;
        self.client.drain_dirty(&mut |group| {
            has_news = true;
            self.wakers.settle(group, |id| self.is_pending(id));
        });
        if let Link::Uplink(uplink) = &self.link {
            has_news |= uplink.has_news();
        }
        if has_news {
            self.bell.pass_on();
        }
    }

    /// This thread alone takes what this process is to run, from now on.
    pub(crate) fn serve(&self) {
        self.attendance.serve();
    }

    /// Whether it does.
    pub(crate) fn serves(&self) -> bool {
        self.attendance.serves()
    }

    /// This thread does not any more.
    pub(crate) fn cease_to_serve(&self) {
        self.attendance.cease();
    }

    /// Polls within the spin budget, helping meanwhile.
    #[inline]
    pub(crate) fn spin<R>(&self, mut poll: impl FnMut() -> Option<R>) -> Option<R> {
        let patience = Patience::calibrated();
        if self.attendance.may_attend() {
            return patience.wait_awake(&self.bell, poll, || self.help());
        }
        patience.wait_awake_aside(|| {
            self.help();
            poll()
        })
    }

    /// The same, and sleeps on the doorbell when that is used up.
    fn wait_on_bell<R>(
        &self,
        deadline: Option<Instant>,
        mut poll: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let patience = Patience::calibrated();
        let found = if self.attendance.may_attend() {
            patience.wait(&self.bell, deadline, poll, || self.help())
        } else {
            patience.wait_aside(&self.bell, deadline, || {
                self.help();
                poll()
            })
        };
        // This thread was told by a mark, which is there still.
        self.look_for_others();
        found
    }

    /// Polls until it gives something or `deadline` passes: helps, spins, sleeps.
    ///
    /// A task that is about to sleep says so to the node, which gives its cpu, and what is queued behind it,
    /// to others meanwhile: tasks that wait for tasks cannot starve each other.
    pub(crate) fn wait<R>(
        &self,
        deadline: Option<Instant>,
        awaited: &dyn Fn() -> Vec<ObjectId>,
        mut poll: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let uplink = match &self.link {
            Link::Uplink(uplink) if crate::context::running().is_some() => uplink,
            _ => return self.wait_letting_go(deadline, poll),
        };
        if let Some(found) = self.spin(&mut poll) {
            return Some(found);
        }
        let awaited = awaited();
        loop {
            let mut unnamed = uplink.blocks(&awaited);
            let woken = loop {
                // Where tasks wait for a worker, any of these may be needed to go on.
                let is_asked = || !unnamed.is_empty() && self.control.backlog() > 0;
                // What it came to, or what is to be done before it can.
                let woken = self.wait_letting_go(deadline, || match poll() {
                    Some(found) => Some(Woken::Found(found)),
                    None if is_asked() => Some(Woken::Asked),
                    None => self.on_top.pop().map(Woken::OnTop),
                });
                match woken {
                    Some(Woken::Asked) => uplink.blocks_also(std::mem::take(&mut unnamed)),
                    woken => break woken,
                }
            };
            uplink.goes_on();
            match woken {
                Some(Woken::Found(found)) => return Some(found),
                Some(Woken::OnTop(words)) => self.on_top.run(words),
                Some(Woken::Asked) | None => return None,
            }
            if let Some(found) = poll() {
                return Some(found);
            }
        }
    }

    /// Waits, and lets go of what was kept until the node took it over, or until a call by a line was settled,
    /// for it may be that which is waited for: an actor ends with its last handle, and a call holds one. Nobody
    /// tells of either, so as long as there is any the sleep is a short one.
    fn wait_letting_go<R>(
        &self,
        deadline: Option<Instant>,
        mut poll: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let mut pause = Duration::from_millis(1);
        // All lines are looked at, which is too much for who is answered soon.
        let mut has_calls = self.lines.has_routes();
        loop {
            let kept = match &self.link {
                Link::Node(_) => false,
                Link::Uplink(uplink) => uplink.let_go(|id| self.release(id)),
            } || has_calls;
            let short = kept.then(|| Instant::now() + pause);
            let until = [deadline, short].into_iter().flatten().min();
            let found = self.wait_on_bell(until, &mut poll);
            if found.is_some() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return found;
            }
            has_calls = has_calls && self.lines.let_go(self);
            pause = (2 * pause).min(Duration::from_secs(1));
        }
    }

    /// Serves the doorbell of the node until the runtime is closed or a second has passed.
    pub(super) fn serve_until_idle(&self) {
        while self.help() {}
        let recheck = || {
            self.look_for_others();
            self.lines.tend(self);
            self.control.has_pending() || self.is_closed()
        };
        let slept = self.bell.sleep(recheck, Some(Duration::from_secs(1)));
        if slept != Slept::TimedOut {
            while self.help() {}
        }
    }

    /// Blocks this thread until the object is settled.
    pub(crate) fn block_until_settled(
        &self,
        id: ObjectId,
        deadline: Option<Instant>,
    ) -> Result<()> {
        if !self.is_pending(id) {
            return Ok(());
        }
        let started = Instant::now();
        let settled = || (!self.is_pending(id) || self.is_interrupted()).then_some(());
        if deadline.is_none() {
            self.refuse_deadlock(id);
        }
        if self.spin(settled).is_none() {
            self.subscribe(id);
            self.wait(deadline, &|| vec![id], settled).ok_or_else(|| Error::GetTimeout {
                object: id.to_string(),
                waited_ms: started.elapsed().as_millis() as u64,
            })?;
        }
        if self.is_pending(id) && self.is_interrupted() {
            return Err(self.interrupted());
        }
        Ok(())
    }

    /// Ready once the object is settled; registers the waker otherwise, for as long as `enlisted` is kept.
    #[inline]
    pub(crate) fn poll_settled(
        self: &Arc<Self>,
        id: ObjectId,
        context: &mut Context<'_>,
        enlisted: &mut Enlisted,
    ) -> Poll<()> {
        if !self.is_pending(id) {
            return Poll::Ready(());
        }
        self.refuse_deadlock(id);
        self.poll_pending(id, context, enlisted)
    }

    /// The same where a deadlock is no matter, since the wait ends by itself.
    fn poll_pending(
        self: &Arc<Self>,
        id: ObjectId,
        context: &mut Context<'_>,
        enlisted: &mut Enlisted,
    ) -> Poll<()> {
        if !self.is_pending(id) || self.is_interrupted() {
            return Poll::Ready(());
        }
        if executor::watch(self, id, context.waker()) {
            return Poll::Pending;
        }
        self.poll_elsewhere(id, context, enlisted)
    }

    /// The same under somebody else's executor, whose thread may not be kept for long.
    #[cold]
    fn poll_elsewhere(
        self: &Arc<Self>,
        id: ObjectId,
        context: &mut Context<'_>,
        enlisted: &mut Enlisted,
    ) -> Poll<()> {
        if self.spin(|| (!self.is_pending(id)).then_some(())).is_some() {
            return Poll::Ready(());
        }
        if enlisted.enlist(self, id, context.waker()) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Registers a waker for one of many objects, unless it is settled: as [`Core::poll_settled`], but does not spin
    /// for it. It is the one in `own`, or a new one, and whoever gives up takes it back.
    pub(crate) fn poll_among_others(
        self: &Arc<Self>,
        id: ObjectId,
        context: &mut Context<'_>,
        own: &mut Option<OwnWaker>,
    ) -> Poll<()> {
        if !self.is_pending(id) {
            return Poll::Ready(());
        }
        self.refuse_deadlock(id);
        if executor::watch(self, id, context.waker()) {
            return Poll::Pending;
        }
        let own = own.get_or_insert_with(|| OwnWaker::of(context.waker()));
        if self.wake_when_settled(id, own.waker()) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Has `waker` woken by whoever serves the doorbell once the object is settled; `false` when it is.
    pub(crate) fn wake_when_settled(self: &Arc<Self>, id: ObjectId, waker: &Waker) -> bool {
        self.start_reactor();
        self.wake_when_seen(id, waker) && !self.is_over()
    }

    /// The same, as soon as a thread of this process looks that waits or serves anyway; `false` when it is settled.
    pub(crate) fn wake_when_seen(&self, id: ObjectId, waker: &Waker) -> bool {
        self.wakers.insert(self.client.dirty_group(id), id, waker);
        self.client.subscribe(id) == Status::Pending
    }

    /// Takes back what [`Core::wake_when_settled`] was told; whether the waker was not woken and will not be.
    pub(crate) fn forget_waker(&self, id: ObjectId, waker: &Waker) -> bool {
        self.wakers.remove(self.client.dirty_group(id), id, waker)
    }

    /// Has the executor on this thread, where it is one of ours, wait for this object too.
    pub(crate) fn attend(self: &Arc<Self>, id: ObjectId, waker: &Waker) {
        executor::watch(self, id, waker);
    }

    /// Whether somebody waits for the object.
    #[cfg(test)]
    pub(crate) fn is_waker_left(&self, id: ObjectId) -> bool {
        self.wakers.has(self.client.dirty_group(id), id)
    }

    /// Waits for the object until the deadline of a wait that began when `started` says.
    pub(crate) async fn settled_by(
        self: &Arc<Self>,
        id: ObjectId,
        started: Instant,
        deadline: Instant,
    ) -> Result<()> {
        let waited = || started.elapsed().as_millis() as u64;
        let timed_out = || Error::GetTimeout { object: id.to_string(), waited_ms: waited() };
        let (mut alarm, mut enlisted) = (None, Enlisted::default());
        std::future::poll_fn(|context| {
            if let Poll::Ready(()) = self.poll_pending(id, context, &mut enlisted) {
                return Poll::Ready(Ok(()));
            }
            if Instant::now() >= deadline {
                return Poll::Ready(Err(timed_out()));
            }
            alarm.get_or_insert_with(|| Alarm::set(deadline, context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Sees to it that somebody serves the doorbell when no thread of this process waits on it: in the node's
    /// process the service thread does, elsewhere a thread that is started when it is first needed.
    pub(super) fn start_reactor(self: &Arc<Self>) {
        // In a child that was forked off the doorbell is its parent's.
        if matches!(self.link, Link::Node(_)) || self.client.is_forked() {
            return;
        }
        self.reactor.get_or_init(|| {
            let core = Arc::downgrade(self);
            let serve = move || {
                let mut let_go = Instant::now();
                while let Some(core) = core.upgrade() {
                    if core.is_closed() {
                        return;
                    }
                    // As in `wait_letting_go`, for those who wait under another executor.
                    if let_go.elapsed() >= Duration::from_secs(1) {
                        core.let_go();
                        let_go = Instant::now();
                    }
                    let _ = core.bell.sleep(
                        || {
                            core.look_for_others();
                            core.lines.tend(&core);
                            core.is_closed()
                        },
                        Some(Duration::from_secs(1)),
                    );
                }
            };
            // Without the thread futures are woken only by threads that wait; there is no better answer to
            // a process that cannot have another thread.
            let _ = std::thread::Builder::new().name("rustyray-reactor".into()).spawn(serve);
        });
    }
}
