//! Mailboxes: the calls that an actor's worker has not been handed yet, in a line for each caller.
//!
//! # Order
//! A call takes its place in its caller's line when it is handed in, and the first of a line that waits for an
//! argument holds up that line alone; the other callers go on. With `out_of_order` a call only enters its line
//! when it waits for nothing. A line is in the list of *turns* while its first call can be handed over, and lines
//! take turns. A call that may go at once, in front of nobody, goes to the worker without entering a line.
//!
//! What comes back (the worker died before it began, or the call is run again) goes to the front of its line.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use super::State;
use crate::{
    ActorId, DeathReason, Failure, Host, TaskId,
    gate::Phase,
    ids::split,
    queue::Queue,
    record::{CALL, Place, Record},
    records::Records,
    shared::Shared,
};

/// A caller's number is its own hash, mixed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// One caller's calls.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    queue: Queue,
    /// It is in the list of turns.
    listed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    lines: HashMap<u64, Line, BuildHasherDefault<Mixed>>,
    turns: VecDeque<u64>,
}

impl Mailbox {
    /// Takes all calls out.
    pub(super) fn empty<S>(&mut self, all: &Records<S>) -> Vec<u32> {
        self.turns.clear();
        let mut calls = Vec::new();
        for (_, mut line) in self.lines.drain() {
            while let Some(call) = line.queue.pop(all) {
                calls.push(call);
            }
        }
        // First come, first told.
        calls.sort_unstable_by_key(|&call| all.at(call).order.get());
        calls
    }

    /// Puts a call into its caller's line.
    fn line_up<S>(&mut self, all: &Records<S>, index: u32, at_front: bool) {
        let caller = all.at(index).caller.get();
        let line = self.lines.entry(caller).or_default();
        match at_front {
            true => line.queue.push_front(all, index, Place::Line),
            false => line.queue.push_back(all, index, Place::Line),
        }
        self.list(all, caller);
    }

    /// Lists a line whose first call can be handed over.
    fn list<S>(&mut self, all: &Records<S>, caller: u64) {
        let Some(line) = self.lines.get_mut(&caller) else { return };
        let Some(first) = line.queue.first() else {
            // Listed or not, an empty line is forgotten; its turn passes.
            self.lines.remove(&caller);
            return;
        };
        if !line.listed && all.at(first).gate.load().1 == Phase::Released {
            line.listed = true;
            self.turns.push_back(caller);
        }
    }

    /// The call whose turn it is, still in its line.
    fn next<S>(&mut self, all: &Records<S>) -> Option<u32> {
        loop {
            let caller = *self.turns.front()?;
            let first = self.lines.get(&caller).and_then(|line| line.queue.first());
            match first {
                Some(first) if all.at(first).gate.load().1 == Phase::Released => {
                    return Some(first);
                }
                _ => {
                    self.turns.pop_front();
                    if let Some(line) = self.lines.get_mut(&caller) {
                        line.listed = false;
                    }
                }
            }
        }
    }

    /// The call that [`Mailbox::next`] found has left its line.
    fn passed<S>(&mut self, all: &Records<S>) {
        let Some(caller) = self.turns.pop_front() else { return };
        if let Some(line) = self.lines.get_mut(&caller) {
            line.listed = false;
        }
        self.list(all, caller);
    }

    fn leave<S>(&mut self, all: &Records<S>, record: &Record<S>, index: u32) {
        let caller = record.caller.get();
        if let Some(line) = self.lines.get_mut(&caller) {
            line.queue.remove(all, index);
        }
        self.list(all, caller);
    }
}

impl<H: Host> State<H> {
    /// A call was handed in.
    pub(super) fn admit(&mut self, shared: &Shared<H>, task: TaskId, ready: bool) {
        let Some((record, _)) = shared.records.live(task) else { return };
        let (index, _) = split(task.to_bits());
        let id = ActorId::from_bits(record.actor.get());
        record.order.set(self.next_order());
        let Some(actor) = self.actor(id) else {
            let reason = DeathReason::Forgotten;
            return self.fail(shared, task, Failure::ActorDied { actor: id, reason });
        };
        if let Some(reason) = actor.refuses() {
            return self.fail(shared, task, Failure::ActorDied { actor: id, reason });
        }
        if ready && actor.mailbox.lines.is_empty() && self.hand_call(shared, id, index) {
            return;
        }
        let Some(actor) = self.actor(id) else { return };
        if ready || !actor.out_of_order {
            actor.mailbox.line_up(&shared.records, index, false);
            self.serve(shared, id);
        }
    }

    /// A call that waited for objects waits no more.
    pub(super) fn call_released(&mut self, shared: &Shared<H>, task: TaskId) {
        let Some((record, _)) = shared.records.live(task) else { return };
        let id = ActorId::from_bits(record.actor.get());
        let (index, _) = split(task.to_bits());
        let caller = record.caller.get();
        let Some(actor) = self.actor(id).filter(|actor| actor.state != crate::ActorState::Dead)
        else {
            let known = self.actor(id).and_then(|actor| actor.reason.clone());
            let reason = known.unwrap_or(DeathReason::Forgotten);
            return self.fail(shared, task, Failure::ActorDied { actor: id, reason });
        };
        match (record.place(), actor.refuses()) {
            (Place::Line, _) => actor.mailbox.list(&shared.records, caller),
            (Place::Nowhere, Some(reason)) => {
                return self.fail(shared, task, Failure::ActorDied { actor: id, reason });
            }
            (Place::Nowhere, None) => actor.mailbox.line_up(&shared.records, index, false),
            // It was released between its entering and this: its line was served since.
            (Place::Worker | Place::Lane, _) => return,
        }
        self.serve(shared, id);
    }

    /// A call goes back to the front of its line.
    pub(super) fn call_again(&mut self, shared: &Shared<H>, task: TaskId) {
        let Some((record, _)) = shared.records.live(task) else { return };
        let id = ActorId::from_bits(record.actor.get());
        let Some(actor) = self.actor(id) else { return };
        match actor.refuses() {
            Some(reason) => self.fail(shared, task, Failure::ActorDied { actor: id, reason }),
            None => actor.mailbox.line_up(&shared.records, split(task.to_bits()).0, true),
        }
    }

    /// Takes a call out of its line, if it is in one.
    pub(super) fn leave_line(&mut self, shared: &Shared<H>, task: TaskId) {
        let Some((record, _)) = shared.records.live(task) else { return };
        if record.place() != Place::Line {
            return;
        }
        let id = ActorId::from_bits(record.actor.get());
        if let Some(actor) = self.actor(id) {
            actor.mailbox.leave(&shared.records, record, split(task.to_bits()).0);
        }
        self.serve(shared, id);
    }

    /// Hands a living actor the calls whose turn it is, as far as its worker has room.
    pub(super) fn serve(&mut self, shared: &Shared<H>, id: ActorId) {
        while let Some(actor) = self.actor(id)
            && let Some(worker) = actor.open()
            && let Some(index) = actor.mailbox.next(&shared.records)
        {
            if !self.has_room(id, worker.0) {
                return;
            }
            let record = shared.records.at(index);
            let caller = record.caller.get();
            let Some(actor) = self.actor(id) else { return };
            let Some(line) = actor.mailbox.lines.get_mut(&caller) else { return };
            line.queue.remove(&shared.records, index);
            if !self.hand(shared, worker.0, index) {
                if let Some(actor) = self.actor(id)
                    && let Some(line) = actor.mailbox.lines.get_mut(&caller)
                {
                    line.queue.push_front(&shared.records, index, Place::Line);
                }
                return;
            }
            if let Some(actor) = self.actor(id) {
                actor.mailbox.passed(&shared.records);
            }
        }
    }

    fn has_room(&mut self, id: ActorId, worker: u16) -> bool {
        let Some(max) = self.actor(id).map(|actor| actor.max_handed) else { return false };
        self.worker(worker).is_some_and(|known| !known.full && known.queue.len() < max)
    }

    /// Hands a call to its actor at once, if that lives and has room.
    fn hand_call(&mut self, shared: &Shared<H>, id: ActorId, index: u32) -> bool {
        debug_assert!(shared.records.at(index).is(CALL));
        let Some(worker) = self.actor(id).and_then(|actor| actor.open()) else { return false };
        self.has_room(id, worker.0) && self.hand(shared, worker.0, index)
    }
}
