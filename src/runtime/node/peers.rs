//! Processes that come and go, and how each is ended.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Waker},
};

use rustyray_scheduler::{CallerId, JobId, PoolId, WorkerId};
use rustyray_store::ClientId;

use super::{
    Inbound, Node,
    cause::{Cause, Crash},
};
use crate::{
    error::Error,
    runtime::{background, program, record::Batch, seat::Vacated, trace, wire::ToClient},
    spec,
};

/// How many news may wait for a process to hear what it was told before.
const MOST_UNHEARD: usize = 1 << 14;

impl Node {
    /// A process has mapped everything and takes part from now on.
    pub(crate) fn joined(&self, client: ClientId, pid: u32, pool: PoolId, runs_tasks: bool) {
        let peer = &self.peers[client.index()];
        peer.pool.store(pool.0, Ordering::Relaxed);
        let up = self.control.up_consumer(client);
        *peer.up.lock() = Some(Inbound { up, batch: Batch::of(pid) });
        *peer.work.write() = Some(self.control.work_producer(client));
        peer.stopping.store(false, Ordering::Relaxed);
        peer.killed.store(false, Ordering::Relaxed);
        peer.pid.store(pid, Ordering::Relaxed);
        peer.runs_tasks.store(runs_tasks, Ordering::Relaxed);
        trace::say!(debug, pid, pool = pool.0, runs_tasks, "a process joined");
        // A driver may have published before its ring was here to be looked at.
        self.control.set_pending(client);
        self.doorbells.ring(ClientId::NODE);
        if runs_tasks {
            self.scheduler().worker_joined(WorkerId(u16::from(client.get())), pool);
            self.dispatch();
        }
        // `close` may have looked before this process was here to be asked.
        if runs_tasks && self.closing.load(Ordering::Acquire) {
            self.stop(client);
        }
    }

    /// The workers that can run what `caller` submits: those of its own program.
    pub(super) fn pool_of(&self, caller: CallerId) -> PoolId {
        match self.peers.get(caller.0 as usize) {
            Some(peer) if caller.0 != 0 => PoolId(peer.pool.load(Ordering::Relaxed)),
            _ => program::OWN,
        }
    }

    /// A driver has hung up, and its process may live on: what it was working at ends. What it holds is released
    /// when the process is gone, which may still write to it.
    pub(crate) fn hung_up(self: &Arc<Self>, client: ClientId) {
        // What it submitted before is its own.
        self.catch_up(client);
        self.end_work_of(client);
        self.dispatch();
    }

    /// Its calls that have not begun are nobody's, and so is the work of a driver.
    fn end_work_of(self: &Arc<Self>, client: ClientId) {
        self.scheduler().caller_left(CallerId(u64::from(client.get())));
        let job = self.peers[client.index()].job.load(Ordering::Relaxed);
        if job != 0 {
            self.scheduler().job_ended(JobId(job));
            self.pursue(JobId(job));
        }
    }

    /// A process is dead: what it published counts, what it held is released, what it ran is run again or
    /// failed.
    pub(crate) fn left(self: &Arc<Self>, vacated: Vacated, how: &str, runs_tasks: bool) {
        let client = vacated.client();
        let peer = &self.peers[client.index()];
        // Before anybody names the next attempt at its tasks, or fails them: neither can be done while it is sealing.
        vacated.put_back(&self.store);
        if let Some(inbound) = &mut *peer.up.lock() {
            let mut turn = self.scheduler().turn();
            if let Err(what) = self.drain_ring(client, inbound, true, usize::MAX, &mut turn) {
                crate::notice_aside!(
                    "rustyray: process {client:?}, which ended, had published {what}"
                );
            }
            turn.bring();
        }
        if runs_tasks {
            self.record_killed(client);
        }
        if let Some(inbound) = &mut *peer.up.lock() {
            self.record.put_away(&mut inbound.batch);
        }
        let pid = peer.pid.load(Ordering::Relaxed);
        let cause = match peer.shortage.lock().take() {
            Some(shortage) => Cause::Memory(shortage),
            None => Cause::Crash(Arc::new(Crash { pid, how: how.to_owned() })),
        };
        if runs_tasks {
            let killed = peer.killed.load(Ordering::Relaxed) && matches!(cause, Cause::Crash(_));
            let asked = killed
                || peer.stopping.load(Ordering::Relaxed)
                || self.closing.load(Ordering::Relaxed);
            if !asked {
                self.history.crashed_workers.fetch_add(1, Ordering::Relaxed);
            }
            trace::say!(debug, pid, how, asked, "a worker left");
            self.scheduler().worker_left(WorkerId(u16::from(client.get())), cause.clone());
        }
        self.forget_claims(client);
        self.forget_places(client);
        self.end_work_of(client);
        peer.job.store(0, Ordering::Relaxed);
        *peer.up.lock() = None;
        *peer.work.write() = None;
        self.wakes(client);
        self.free_from_top(client, &cause);
        *peer.process.lock() = None;
        *peer.line.lock() = None;
        let reaped = vacated.reap(&self.store);
        for orphan in reaped.orphans {
            let lost = Error::ObjectLost {
                object: orphan.to_string(),
                reason: format!("the process that was to make it ended ({how})"),
            };
            self.settle_failed(orphan, &lost);
        }
        // After reaping: nothing is half sealed any more.
        self.forget_lines(client, &cause);
        // Whoever the dead process was about to wake is woken, and looks again.
        self.living().for_each(|client| self.doorbells.kick(client));
        peer.pid.store(0, Ordering::Relaxed);
        peer.runs_tasks.store(false, Ordering::Relaxed);
        self.control.clear(client);
        self.dispatch();
    }

    /// Those whose process is there, the node's own included.
    fn living(&self) -> impl Iterator<Item = ClientId> {
        let lives = |client: &ClientId| {
            *client == ClientId::NODE || self.peers[client.index()].pid.load(Ordering::Relaxed) != 0
        };
        (0..=u8::MAX).map(ClientId::new).filter(lives)
    }

    /// Once in a while: wakes whom a process was about to wake when it was stopped. `seen` is what the last look saw.
    pub(crate) fn look_after_bells(&self, seen: &mut [Option<u64>]) {
        for client in self.living() {
            let bell = &mut seen[client.index()];
            *bell = self.doorbells.look_after(client, *bell);
        }
    }

    /// Ends a process at once, on purpose: it does not count as crashed.
    pub(super) fn kill(&self, client: ClientId) {
        self.peers[client.index()].killed.store(true, Ordering::Relaxed);
        self.strike(client);
    }

    fn strike(&self, client: ClientId) {
        if let Some(process) = &*self.peers[client.index()].process.lock() {
            let _ = process.signal(nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Says something to a process, without waiting for it to be heard: after what it was told before, and before
    /// what its connection is given later. A process that hears nothing, as one that was stopped, is turned out when
    /// [`MOST_UNHEARD`] wait for it.
    pub(super) fn tell(&self, client: ClientId, what: &ToClient) {
        let peer = &self.peers[client.index()];
        let Some(line) = peer.line.lock().clone() else { return };
        let (Ok(background), frames) = (background::handle(), what.to_frames()) else { return };
        // A process that does not hear any more is dying, and is seen to.
        let send = async move { drop(line.send_in_turn(frames).await) };
        // Tasks begin in any order. The first poll is here: it sends, or takes its place in the connection's queue,
        // which is first come, first served.
        let mut send = Box::pin(tokio::task::unconstrained(send));
        if send.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            // Relaxed: nothing hangs on the number but when it is enough.
            let unheard = Arc::clone(&peer.unheard);
            let is_enough = unheard.fetch_add(1, Ordering::Relaxed) + 1 == MOST_UNHEARD;
            background.spawn(async move {
                send.await;
                unheard.fetch_sub(1, Ordering::Relaxed);
            });
            if is_enough {
                self.banish(client, &format!("it has not heard the last {MOST_UNHEARD} news"));
            }
        }
    }

    /// Has nothing more to do with a process that does not keep to the protocol, or does not hear: a worker is killed, a
    /// driver, which is not the node's to kill, is hung up on. What it held is released when it is gone.
    pub(super) fn banish(&self, client: ClientId, why: &str) {
        let peer = &self.peers[client.index()];
        let pid = peer.pid.load(Ordering::Relaxed);
        crate::notice_aside!("rustyray: process {pid} is turned out: {why}");
        if peer.runs_tasks.load(Ordering::Relaxed) {
            self.strike(client);
        } else if let Some(line) = &*peer.line.lock() {
            // It may have hung up by itself.
            let _ = line.shutdown();
        }
    }

    /// Asks a worker to end after what it has been given.
    pub(crate) fn stop(&self, client: ClientId) {
        let peer = &self.peers[client.index()];
        if peer.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        let pushed = peer.work.read().as_ref().is_some_and(|work| work.push(&spec::stop()).is_ok());
        if pushed {
            self.doorbells.ring(client);
        } else {
            self.kill(client);
        }
    }

    /// Asks every worker to end; those that do not are killed by the pool.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.pool.close();
        for client in 1..=u8::MAX {
            if self.peers[usize::from(client)].runs_tasks.load(Ordering::Relaxed) {
                self.stop(ClientId::new(client));
            }
        }
    }

    pub(crate) fn kill_all(&self) {
        let workers = (1..=u8::MAX)
            .filter(|&client| self.peers[usize::from(client)].runs_tasks.load(Ordering::Relaxed));
        workers.for_each(|client| self.kill(ClientId::new(client)));
    }
}

#[cfg(test)]
mod tests {
    use rustyray_ipc::{BlockingConnection, Connection};

    use super::*;
    use crate::{Builder, runtime::Link};

    #[test]
    fn who_hears_nothing_is_hung_up_on_before_too_much_waits_for_it() {
        let builder = Builder::new().num_cpus(1.0).first_workers(0).visible(false);
        let runtime = builder.start_blocking().expect("a node starts");
        let Link::Node(node) = &runtime.core.link else { panic!("it is in this process") };
        let client = ClientId::new(200);
        let theirs = {
            let _tokio = background::handle().expect("it runs").enter();
            let (ours, theirs) = rustyray_ipc::pair().expect("a pair");
            let ours = Connection::from_fd(ours).expect("a socket");
            *node.peers[client.index()].line.lock() = Some(Arc::new(ours));
            BlockingConnection::from_fd(theirs).expect("a socket")
        };
        let told = 2 * MOST_UNHEARD;
        (0..told)
            .for_each(|number| node.tell(client, &ToClient::Interrupt { task: number as u64 }));
        // Without an end it would have to come to all of them.
        let mut heard = 0;
        while heard < told && theirs.recv().is_ok_and(|message| message.is_some()) {
            heard += 1;
        }
        assert!(heard < told, "all that it was told waited for it");
        *node.peers[client.index()].line.lock() = None;
        crate::block_on(runtime.shutdown()).expect("it ends");
    }
}
