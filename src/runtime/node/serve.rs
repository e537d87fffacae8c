//! Serving the up rings: what clients publish is taken, in order, by whoever helps.

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use rustyray_scheduler::{CallerId, Outcome, TaskId, Turn, WorkerId, WorkerInfo};
use rustyray_store::{ClientId, ObjectId};

use super::{
    Inbound, Node,
    host::Host,
    job::Words,
    relief::{Asleep, ON_TOP},
    submit::Handed,
    words_of,
};
use crate::{
    runtime::{
        control::MOST_PUBLISHED,
        line::{LineEnd, LineId},
        lines::Asked,
        record::{Batch, is_record},
        submission::{Extension, Wanted},
        uplink::{
            self, ALSO, MORE, RESTS, UP_BLOCKED, UP_CALL_LOST, UP_COMPLETE, UP_EXIT, UP_LINE,
            UP_LINE_DONE, UP_RECORD, UP_REQUEST, UP_ROOM, UP_SITE, UP_STREAM, UP_SUBMIT,
            UP_SUBMIT_BODY, UP_TEXT, UP_UNBLOCKED,
        },
        worker::{CANCELLED, FAILED, FLAG_EXIT, RAN_SHIFT, REPORTED},
    },
    spec::{self, ENTRY_WORDS, Known, Submitter},
};

/// How many tasks are submitted, while tasks are queued, before it is looked which have ended.
const TOGETHER: u64 = 16;

/// How many entries of a ring are served before one looks at the others.
const LOOK: usize = 256;

/// What is in a ring after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// As many were served as are at a time.
    Perhaps,
}

impl Node {
    /// One bounded step: takes what clients published, dispatches what is ready. `true` when there is more.
    #[inline]
    pub(crate) fn help(&self) -> bool {
        if self.submitted.load(Ordering::Relaxed) != 0 {
            self.submitted.store(0, Ordering::Relaxed);
        }
        let mut more = self.take_completions();
        if self.scheduler().backlog() > 0 {
            self.dispatch();
            more |= self.relieve_if_all_sleep();
        }
        more
    }

    /// Takes what clients published so far; whether there was anything.
    #[inline]
    pub(crate) fn take_completions(&self) -> bool {
        if !self.control.has_pending() {
            return false;
        }
        for client in self.control.take_pending().iter() {
            self.drain(client);
        }
        true
    }

    /// The same before something is submitted. A result is seen before the completion that frees its worker: without
    /// this look the next task would go past that worker, which is awake, to one that sleeps. Who has not waited since
    /// its last task, and has tasks queued behind others, does not look each time: then several completions are taken
    /// for little more than one.
    #[inline]
    pub(crate) fn take_completions_at_times(&self) {
        if self.is_time_to_look() {
            self.take_completions();
        }
    }

    /// The same, and has `say` say what it has to in one turn with it. So the next task is handed out before it is tidied up
    /// after the last.
    #[inline]
    pub(super) fn say_after_completions<R>(&self, say: impl FnOnce(&mut Turn<'_, Host>) -> R) -> R {
        let mut turn = self.scheduler().turn();
        if !self.is_time_to_look() || !self.control.has_pending() {
            return say(&mut turn);
        }
        // A ring is somebody's until what was in it is brought: who waits for it acts on that. So one at a time, and
        // of one that no other comes after it is brought with the rest.
        let mut last = None;
        for client in self.control.take_pending().iter() {
            turn.bring();
            drop(last);
            last = self.drain_into(client, &mut turn);
        }
        let said = say(&mut turn);
        turn.bring();
        drop(last);
        said
    }

    fn is_time_to_look(&self) -> bool {
        let submitted = self.submitted.load(Ordering::Relaxed);
        // Not in one step: nobody counts on the number.
        self.submitted.store(submitted.wrapping_add(1), Ordering::Relaxed);
        submitted.is_multiple_of(TOGETHER) || !self.scheduler().is_queueing()
    }

    /// Dispatches what a full queue held up, and tells the workers how much waits.
    pub(crate) fn dispatch(&self) {
        self.scheduler().dispatch();
        let backlog = self.scheduler().backlog() as u64;
        self.control.set_backlog(backlog);
        if backlog == 0 {
            self.nobody_waits();
        }
    }

    /// What needs no haste: frees what clients dropped, ends actors that nobody can reach.
    pub(crate) fn tidy(&self) {
        while self.store.collect(1024) > 0 {}
        // Nobody tells of room, which may come by what others let go of: it is tried again.
        if self.lacks_room.swap(false, Ordering::Relaxed) {
            self.dispatch();
        }
        self.release_unreachable_actors();
        self.let_strangers_go();
        self.tell_of_crowd();
    }

    /// Notes when a task began and ended, if the entry says so.
    #[inline]
    fn note(&self, entry: &[u64], batch: &mut Batch) {
        if !is_record(entry) {
            return;
        }
        // The task has not ended for the scheduler.
        let submitter = match entry {
            [first, task, ..] if first & 0xff == UP_COMPLETE && task & ON_TOP == 0 => {
                self.scheduler().note(TaskId::from_bits(*task)).unwrap_or_default()
            }
            _ => [0; 2],
        };
        let is_time = match submitter {
            [0, 0] => batch.note(entry),
            short if Submitter::is_short(short) => batch.note(entry),
            submitter => batch.note_nested(entry, submitter),
        };
        if is_time {
            self.record.put_away(batch);
        }
    }

    /// Ends the idle workers of programs that no driver is attached for.
    fn let_strangers_go(&self) {
        let unattended = self.pool.programs.unattended();
        if unattended.is_empty() {
            return;
        }
        let workers = self.scheduler().workers();
        let idle = |worker: &&WorkerInfo| {
            let has_nothing = worker.queued == 0 && worker.actor.is_none() && !worker.retired;
            has_nothing && unattended.contains(&worker.pool)
        };
        for worker in workers.iter().filter(idle) {
            self.scheduler().retire(worker.id);
        }
    }

    fn drain(&self, client: ClientId) {
        let mut turn = self.scheduler().turn();
        let ring = self.drain_into(client, &mut turn);
        turn.bring();
        drop(ring);
    }

    /// Serves what is in a ring, unless somebody is at it; gives the ring, which is to be kept until the turn is brought.
    fn drain_into(
        &self,
        client: ClientId,
        turn: &mut Turn<'_, Host>,
    ) -> Option<MutexGuard<'_, Option<Inbound>>> {
        let Some(up) = self.peers[client.index()].up.try_lock() else {
            // Who is at it may have seen the ring before the entry that set the bit.
            self.control.set_pending(client);
            return None;
        };
        self.drain_locked(client, up, LOOK, turn)
    }

    fn drain_locked<'a>(
        &self,
        client: ClientId,
        mut up: MutexGuard<'a, Option<Inbound>>,
        most: usize,
        turn: &mut Turn<'_, Host>,
    ) -> Option<MutexGuard<'a, Option<Inbound>>> {
        let Some(inbound) = &mut *up else { return Some(up) };
        match self.drain_ring(client, inbound, false, most, turn) {
            Ok(Left::Nothing) => {}
            // Its turn comes again, after the others': by who looks next, or whom that wakes.
            Ok(Left::Perhaps) => {
                self.control.set_pending(client);
                self.doorbells.ring(ClientId::NODE);
            }
            Err(what) => {
                // Nothing more of it is looked at.
                self.record.put_away(&mut inbound.batch);
                *up = None;
                turn.bring();
                // While the ring is ours: its number is given to no other process before that.
                self.banish(client, &format!("it published {what}"));
                drop(up);
                return None;
            }
        }
        Some(up)
    }

    /// Serves everything that a client has published, also when another thread is at it: what it asks by its
    /// socket comes after.
    pub(crate) fn catch_up(&self, client: ClientId) {
        let mut turn = self.scheduler().turn();
        // What it publishes meanwhile is not waited for: no ring has more than this.
        let up = self.peers[client.index()].up.lock();
        let ring = self.drain_locked(client, up, MOST_PUBLISHED, &mut turn);
        turn.bring();
        drop(ring);
    }

    /// Serves what is in a process's ring, `most` entries of it, of which the scheduler is told in this turn; says what is
    /// wrong when there is something that no process of ours writes.
    pub(super) fn drain_ring(
        &self,
        client: ClientId,
        inbound: &mut Inbound,
        dead: bool,
        most: usize,
        turn: &mut Turn<'_, Host>,
    ) -> Result<Left, String> {
        let Inbound { up, batch } = inbound;
        let mut entry = [0; ENTRY_WORDS];
        for _ in 0..most {
            let front = if dead { up.front_after_death(&mut entry) } else { up.front(&mut entry) };
            match front {
                Ok(Some(len)) => {
                    self.serve(client, &entry[..len], batch, turn)?;
                    up.advance();
                }
                Ok(None) => return Ok(Left::Nothing),
                Err(garbage) => return Err(garbage.to_string()),
            }
        }
        Ok(Left::Perhaps)
    }

    fn serve(
        &self,
        client: ClientId,
        entry: &[u64],
        batch: &mut Batch,
        turn: &mut Turn<'_, Host>,
    ) -> Result<(), String> {
        let Some(&first) = entry.first() else { return Err("an empty entry".into()) };
        let worker = WorkerId(u16::from(client.get()));
        if !matches!(first & 0xff, UP_COMPLETE | UP_SUBMIT | UP_RECORD) {
            // In order with what the others tell of.
            turn.bring();
        }
        match first & 0xff {
            UP_COMPLETE if entry.len() >= 3 => {
                let ends = &self.peers[client.index()].ends;
                let outcome = match first >> 8 & 0xff {
                    REPORTED => {
                        ends.retried.add();
                        Outcome::Failed { retry: true }
                    }
                    FAILED => Outcome::Failed { retry: false },
                    CANCELLED => Outcome::Cancelled,
                    _ => {
                        ends.finished.add();
                        Outcome::Done
                    }
                };
                self.note(entry, batch);
                if entry[1] & ON_TOP != 0 {
                    turn.bring();
                    self.top_ended(client, entry[1], outcome);
                    return Ok(());
                }
                let task = TaskId::from_bits(entry[1]);
                if let &[_, _, _, index, generation] = entry {
                    self.not_made_again(worker, ObjectId { index: index as u32, generation });
                }
                let ran_ns = first >> RAN_SHIFT;
                turn.completed(worker, task, entry[2] as u16, outcome, ran_ns);
                if first & FLAG_EXIT != 0 {
                    turn.bring();
                    self.actor_exits(worker);
                }
            }
            UP_RECORD => {
                self.note(entry, batch);
                if first & FLAG_EXIT != 0 {
                    turn.bring();
                    self.actor_exits(worker);
                }
            }
            UP_EXIT => self.actor_exits(worker),
            UP_LINE if entry.len() >= 3 => {
                let token = ObjectId { index: entry[1] as u32, generation: entry[2] };
                let line = self.grant_line(client, token).unwrap_or(Asked::NotNow);
                uplink::answer_line(&self.control.cells(client), first >> 8, line);
                self.doorbells.ring(client);
            }
            UP_LINE_DONE if entry.len() >= 3 => {
                let end = LineEnd::from_word(entry[2]);
                self.line_done(client, LineId::from_word(entry[1]), end);
            }
            UP_CALL_LOST if entry.len() >= 3 => {
                let body = ObjectId { index: entry[1] as u32, generation: entry[2] };
                self.call_is_lost(client, body);
            }
            UP_SUBMIT => self.accept_words(client, &entry[1..], turn)?,
            UP_SUBMIT_BODY if entry.len() >= 3 => {
                let body = ObjectId { index: entry[1] as u32, generation: entry[2] };
                // Its sender keeps it, and keeps it in memory, until this entry is passed.
                let pin = self.client.pin(body).map_err(|error| error.to_string())?;
                self.accept_words(client, &words_of(&pin), turn)?;
            }
            UP_REQUEST if entry.len() >= 9 => {
                let words = std::array::from_fn(|at| entry[1 + at]);
                let request =
                    rustyray_store::Request::from_words(words).ok_or("a request that is none")?;
                // SAFETY: what is in the process's ring was put there by its `Uplink`, which is the transport of its
                // client (`worker/attach.rs`), and each entry is passed once: the ring is served by one thread at a
                // time, which goes on to the next.
                let reply = unsafe { self.store.serve(client, request) };
                uplink::answer(&self.control.cells(client), first >> 8, &reply.to_words());
                self.doorbells.ring(client);
            }
            UP_BLOCKED => {
                let names = entry[1..].as_chunks::<2>().0.iter();
                let awaited =
                    names.map(|&[index, generation]| ObjectId { index: index as u32, generation });
                let is_cut = first & MORE != 0;
                if first & ALSO != 0 {
                    self.sleeps_also(client, awaited, is_cut);
                } else {
                    let (awaited, rests) = (awaited.collect(), first & RESTS != 0);
                    self.scheduler().blocked(worker);
                    self.dispatch();
                    self.sleeps(client, Asleep { awaited, is_cut, rests });
                }
            }
            UP_STREAM if entry.len() >= 5 => {
                let id =
                    |at: usize| ObjectId { index: entry[at] as u32, generation: entry[at + 1] };
                self.advance_stream(id(1), id(3));
            }
            UP_TEXT => self.texts.hear(entry)?,
            UP_SITE if entry.len() >= 4 => {
                let id = ObjectId { index: entry[1] as u32, generation: entry[2] };
                self.made_at.keep(id, entry[3]);
            }
            UP_ROOM => {
                self.dispatch();
            }
            UP_UNBLOCKED => {
                self.wakes(client);
                self.scheduler().unblocked(worker);
            }
            kind => return Err(format!("an entry of unknown kind {kind}, or too short for it")),
        }
        Ok(())
    }

    /// Takes a submission of a client: the references are held here before the client's entry is passed.
    fn accept_words(
        &self,
        client: ClientId,
        words: &[u64],
        turn: &mut Turn<'_, Host>,
    ) -> Result<(), String> {
        let accepted = Wanted::from_words(words).map_err(|error| error.to_string()).and_then(
            |(mut wanted, nested, spec)| {
                let Known { header, returns, dependencies, extension, .. } =
                    spec::read(spec).map_err(|e| e.to_string())?;
                wanted.extension = Extension::from_bytes(&extension).map_err(|e| e.to_string())?;
                let mut held = nested;
                held.extend(&dependencies);
                held.retain(|&id| self.client.retain(id).is_ok());
                for &id in returns.as_slice() {
                    // From here on the object is the task's, whatever becomes of the client.
                    let _ = self.store.set_attempt(id, 0);
                }
                Ok((wanted, header, returns, dependencies, held, spec))
            },
        );
        let (wanted, header, returns, dependencies, held, spec) = accepted?;
        let handed = Handed {
            words: Words::from_slice(spec),
            returns: returns.clone(),
            held,
            caller: CallerId(u64::from(client.get())),
        };
        if let Err(error) = self.submit_in(turn, &wanted, handed, &dependencies) {
            // Before anybody is told of it: whoever made it did not wait, and cannot give the name back itself.
            if let (Some(name), Some(&token)) = (&wanted.extension.name, returns.as_slice().first())
            {
                self.drop_claim(name, token);
            }
            self.remember_refusal(&wanted, &header, &returns, &error);
            returns.as_slice().iter().for_each(|&id| self.settle_failed(id, &error));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Builder, Runtime,
        runtime::Link,
        spec::{Kind, SpecWriter},
    };

    /// A node, and a client of it that is no process.
    fn node_with_client() -> (Runtime, ClientId) {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = builder.start_blocking().expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let client = ClientId::new(200);
        node.joined(client, std::process::id(), crate::runtime::program::OWN, false);
        (runtime, client)
    }

    #[test]
    fn nobody_keeps_the_node_at_one_ring_and_all_that_is_published_is_served() {
        let (runtime, client) = node_with_client();
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let producer = node.control.up_producer(client);
        let publish = |how_many| {
            for _ in 0..how_many {
                producer.push(&[UP_ROOM]).expect("there is room");
            }
        };
        {
            let mut up = node.peers[client.index()].up.lock();
            let inbound = up.as_mut().expect("it has joined");
            publish(LOOK + 1);
            let mut look = || {
                let mut turn = node.scheduler().turn();
                node.drain_ring(client, inbound, false, LOOK, &mut turn)
                    .expect("all is as it is to be")
            };
            assert_eq!(look(), Left::Perhaps);
            assert_eq!(producer.len(), 1, "it is the others' turn");
            assert_eq!(look(), Left::Nothing);
            publish(3 * LOOK);
        }
        // Said once: what a look leaves is looked at again.
        node.control.set_pending(client);
        node.doorbells.ring(ClientId::NODE);
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !producer.is_empty() {
            assert!(std::time::Instant::now() < deadline, "{} are left", producer.len());
            std::thread::yield_now();
        }
        // Who asks by the socket has been heard before, whatever was published.
        publish(3 * LOOK);
        node.catch_up(client);
        assert!(producer.is_empty());
        crate::block_on(runtime.shutdown()).expect("it ends");
    }

    #[test]
    fn who_is_turned_out_keeps_nobody_who_helps_though_standard_error_is_not_read() {
        let (runtime, client) = node_with_client();
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let producer = node.control.up_producer(client);
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            // Whoever writes there now waits, as at a pipe that is full.
            let unread = std::io::stderr().lock();
            scope.spawn(move || {
                // Nobody else reads the ring.
                let up = node.peers[client.index()].up.lock();
                producer.push(&[u64::MAX]).expect("there is room");
                let mut turn = node.scheduler().turn();
                let ring = node.drain_locked(client, up, LOOK, &mut turn);
                assert!(ring.is_none(), "it is no entry");
                let _ = done.send(());
            });
            let helped = wait.recv_timeout(Duration::from_secs(60));
            drop(unread);
            helped.expect("it waits for standard error");
        });
        assert!(node.peers[client.index()].up.lock().is_none(), "it is turned out");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }

    #[test]
    fn the_words_of_a_submission_stay_in_memory_until_the_node_has_read_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("node.sock");
        let spilled = directory.path().join("spilled");
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false).socket(&socket);
        let builder = builder.object_store_memory(16 << 20).spill_dir(&spilled);
        let runtime = builder.start_blocking().expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        // Of another thread, since each has one runtime.
        let connect = || crate::blocking::connect(&socket).expect("it lets us in");
        let driver = std::thread::scope(|scope| scope.spawn(connect).join().expect("no panic"));
        let core = &driver.core;
        let Link::Uplink(uplink) = &core.link else { panic!("it is attached") };
        let client = core.client.id();
        let result = core.client.reserve().expect("there is room");
        core.retain(result).expect("it is held");
        let mut spec = SpecWriter::new(Vec::new(), Kind::Task, 7, 0);
        spec.push_return(result);
        spec.push_value(&vec![7; 1 << 20]);
        let spec = spec.finish(&[]);
        let wanted = Wanted::default();
        let mut words = vec![0; Wanted::words(&[], &spec)];
        wanted.write(&[], &spec, &mut words);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let body = core.client.put_bytes(&bytes).expect("there is room");
        // Nobody reads its ring meanwhile.
        let up = node.peers[client.index()].up.lock();
        let pin = core.client.pin(body).expect("it is in memory");
        assert!(uplink.publish_body(pin).is_some(), "there is room in the ring");
        uplink.ring_node();
        for _ in 0..48 {
            runtime.core.put_id(&vec![1_u64; 128 << 10]).expect("others make room");
        }
        let listed = |path| {
            std::fs::read_dir(path).expect("listed").map(|file| file.expect("listed").path())
        };
        let files = listed(spilled).flat_map(listed);
        let removed = files.map(std::fs::remove_file).filter(Result::is_ok);
        assert!(removed.count() > 0, "nothing was spilled");
        drop(up);
        node.catch_up(client);
        assert!(node.peers[client.index()].up.lock().is_some(), "it was turned out");
        let settled = crate::runtime::deadline(std::time::Instant::now(), Duration::from_secs(60));
        core.block_until_settled(result, Some(settled)).expect("it is submitted, and runs");
        let error = core.error_of(result).expect("there is no such function");
        assert!(matches!(error, crate::Error::FunctionNotFound { .. }), "{error}");
        crate::block_on(driver.shutdown()).expect("it lets go");
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
