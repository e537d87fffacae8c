//! The scheduler's face: what any thread may call, none of which waits for another thread.
//!
//! Submitting and the resolving of dependencies run on the caller's thread without the token; whatever
//! concerns workers, leases, queues or actors is an [`Event`] for its owner, who is the caller if the token is
//! free ([`crate::token`]). Whoever owned the token tells the host what came of it after giving it back.
//!
//! # Callbacks that call back
//! What a callback of the host makes possible (an error that is sealed fails those who depend on it, and so on)
//! is not done inside that callback: a thread that is telling the host leaves its events in the inbox, and looks
//! there when it has told all. So nothing recurses along the graph, however long its chains are.
//!
//! # What waits
//! Questions about the whole ([`Scheduler::tasks`] and its like, and [`Scheduler::worker_left`]) are asked by a
//! thread that is made the owner: it waits for the turn of the one that is.

use std::{cell::Cell, fmt};

use crate::{
    Config, Failure, Host,
    event::{Act, Event},
    inbox::Inbox,
    shared::Shared,
    state::{Acts, State},
    token::{Owner, Token},
};
use rustyray_memory::sync::thread_local;

thread_local! {
    /// The scheduler whose host this thread is telling something.
    #[allow(clippy::missing_const_for_thread_local, reason = "loom's macro knows no such form")]
    static TELLING: Cell<usize> = Cell::new(0);
}

/// Who runs what, and when; shared by all threads of the node. The crate's documentation shows how it is used.
///
/// Any thread may call anything at any time. What concerns workers, resources, queues and actors is applied by one
/// thread at a time, the caller if nobody is at it, and is otherwise left for who is: so no call waits for another
/// thread's turn, but for those that ask about the whole ([`Scheduler::tasks`] and the other listings), tell of a worker's
/// death, or say that they wait for their turn. Those must not be called from within [`Host`].
pub struct Scheduler<H: Host> {
    pub(crate) shared: Shared<H>,
    pub(crate) token: Token<State<H>, Event>,
    /// What is to be told by a thread that is telling already.
    untold: Inbox<Act<H>>,
}

impl<H: Host> fmt::Debug for Scheduler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Scheduler");
        match self.token.enter() {
            Some(mut owner) => {
                for (name, count) in owner.state().counts() {
                    output.field(name, &count);
                }
                self.finish(owner);
            }
            None => {
                output.field("token", &self.token);
            }
        }
        output.finish_non_exhaustive()
    }
}

/// Marks the thread as one that is telling, until it is dropped.
struct Telling(usize);

impl Drop for Telling {
    fn drop(&mut self) {
        TELLING.with(|telling| telling.set(self.0));
    }
}

impl<H: Host> Scheduler<H> {
    /// A scheduler that gives out what `config` says.
    pub fn new(host: H, config: Config) -> Self {
        let shared = Shared::new(host, config);
        let state = State::new(&shared);
        Scheduler { token: Token::new(state), shared, untold: Inbox::new() }
    }

    /// The host.
    pub fn host(&self) -> &H {
        &self.shared.host
    }

    // --- the token ---------------------------------------------------------------------------------------

    pub(crate) fn is_telling(&self) -> bool {
        let this = std::ptr::from_ref(self).addr();
        TELLING.with(|telling| telling.get() == this)
    }

    /// Brings an event to the owner of the token.
    #[inline]
    pub(crate) fn post(&self, event: Event) {
        if self.is_telling() {
            return self.token.leave_quietly(event);
        }
        let owner = match self.token.enter() {
            Some(mut owner) => {
                owner.state().apply(&self.shared, event);
                owner
            }
            None => match self.token.leave(event) {
                Some(mut owner) => {
                    self.take_mail(&mut owner);
                    owner
                }
                None => return,
            },
        };
        self.finish(owner);
    }

    /// The same for several, in one turn.
    pub(crate) fn post_all(&self, events: impl IntoIterator<Item = Event>) {
        if self.is_telling() {
            return events.into_iter().for_each(|event| self.token.leave_quietly(event));
        }
        let owner = match self.token.enter() {
            Some(mut owner) => {
                for event in events {
                    owner.state().apply(&self.shared, event);
                }
                owner
            }
            None => {
                events.into_iter().for_each(|event| self.token.leave_quietly(event));
                let Some(mut owner) = self.token.knock() else { return };
                self.take_mail(&mut owner);
                owner
            }
        };
        self.finish(owner);
    }

    fn take_mail(&self, owner: &mut Owner<'_, State<H>, Event>) {
        for event in owner.look_again() {
            owner.state().apply(&self.shared, event);
        }
    }

    /// Brings the state to rest, gives the token back, and tells the host what came of it.
    #[inline]
    pub(crate) fn finish<'a>(&'a self, mut owner: Owner<'a, State<H>, Event>) {
        loop {
            let mut acts = Acts::<H>::new();
            loop {
                owner.state().dispatch(&self.shared);
                acts.extend(owner.state().acts.drain(..));
                match self.give_up(owner) {
                    None => break,
                    Some(again) => owner = again,
                }
                self.take_mail(&mut owner);
            }
            if !acts.is_empty() {
                self.tell(&mut acts);
            }
            // What the callbacks left, unless an outer call of this thread looks itself.
            if !self.token.has_mail() || self.is_telling() {
                return;
            }
            match self.token.knock() {
                Some(again) => owner = again,
                None => return,
            }
            self.take_mail(&mut owner);
        }
    }

    /// Gives the token back, or to who waits for it; the owner again when there is more to do.
    #[inline]
    fn give_up<'a>(
        &'a self,
        mut owner: Owner<'a, State<H>, Event>,
    ) -> Option<Owner<'a, State<H>, Event>> {
        while let Some(visitor) = owner.state().visitors.pop() {
            // The others wait in the inbox again: a visitor looks there before it gives the token back.
            for other in std::mem::take(&mut owner.state().visitors) {
                self.token.leave_quietly(Event::Visit(other));
            }
            match owner.hand_over(&visitor) {
                Ok(()) => return None,
                Err(again) => owner = again,
            }
            self.take_mail(&mut owner);
            owner.state().dispatch(&self.shared);
        }
        owner.let_go().err()
    }

    /// Asks the owner of the state, as its owner.
    pub(crate) fn visit<R>(&self, ask: impl FnOnce(&mut State<H>, &Shared<H>) -> R) -> R {
        let mut owner = self.token.visit(Event::Visit);
        let answer = ask(owner.state(), &self.shared);
        self.take_mail(&mut owner);
        self.finish(owner);
        answer
    }

    fn tell(&self, acts: &mut Acts<H>) {
        if self.is_telling() {
            return acts.drain(..).for_each(|act| self.untold.push(act));
        }
        let before = TELLING.with(|telling| telling.replace(std::ptr::from_ref(self).addr()));
        let _telling = Telling(before);
        acts.drain(..).for_each(|act| self.tell_one(act));
        while !self.untold.is_empty() {
            self.untold.take().for_each(|act| self.tell_one(act));
        }
    }

    fn tell_one(&self, act: Act<H>) {
        let host = &self.shared.host;
        let (task, why) = match act {
            Act::Finish(task) => (task, None),
            Act::Fail(task, why) => (task, Some(*why)),
            Act::FailByDependency(task, object) => {
                let cause = self.shared.guarded(None, || Some(host.cause(object)));
                let why =
                    cause.map_or(Failure::Cancelled, |cause| Failure::Dependency { object, cause });
                (task, Some(why))
            }
            Act::Interrupt(worker, task, attempt) => {
                return self.shared.guarded((), || host.interrupt(worker, task, attempt));
            }
            Act::Need(pool, how_many) => {
                return self.shared.guarded((), || host.need_workers(pool, how_many));
            }
        };
        let Some((record, _)) = self.shared.records.of(task) else { return };
        if let Some(why) = why {
            // SAFETY: the record was ended when this act was made, there is one such act for a task, and it is
            // told by one thread, which saw the record's filling when it took the token or the act.
            let spec = unsafe { record.spec() };
            self.shared.guarded((), || host.fail(task, spec, why));
        }
        let attempt = record.attempt.get();
        // SAFETY: as above; the spec is taken here only.
        let spec = unsafe { record.take_spec() };
        self.shared.records.give(task, record);
        self.shared.guarded((), || host.finished(task, attempt, spec));
    }
}
