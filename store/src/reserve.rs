//! Fresh memory that is made ready before anybody asks for it.
//!
//! A page that was never touched costs the first put into it 10 to 60 times what copying to it does. So a thread
//! of the node's process, which runs only when a processor has nothing better to do (`SCHED_IDLE`), goes ahead
//! of the allocator's frontier and has the system provide pages: huge ones where it can. Whoever is lent them
//! only has to have them mapped.
//!
//! It owns nothing and nobody waits for it but another thread, at the end. It never allocates and writes to no
//! byte: the pages are asked for through the node's read-only mapping, and asking for a page that is there already,
//! which somebody may be writing to, changes nothing. So it needs no lock, it may stop between any two
//! instructions, and to be late or wrong about the frontier costs time only.
//!
//! It sleeps once so much is ready as was asked for, and is woken when half of that is used up. While nobody takes any it
//! waits until a processor [has nothing to do](crate::quiet), or takes a step a second. It stops when
//! little memory is left to the machine or to the control group of this process, or none can be had; and for
//! good when the store ends, or has strict objects, which need the memory elsewhere. Another thread, which does nothing
//! else and is scheduled like any, then gives back what the last step made ready.

use std::{
    sync::{Arc, OnceLock, Weak},
    thread::Thread,
    time::Instant,
};

use nix::libc;
use rustyray_memory::sync::{AtomicBool, AtomicU64, Ordering, fence};

use crate::{
    core::{Core, Ledger},
    geometry::HUGE_PAGE_BYTES,
    machine,
    quiet::Quiet,
};

/// Made ready at once: then it looks whether it should go on. The kernel lets nobody else have the processor meanwhile, which on
/// a virtual machine takes two milliseconds.
const STEP_BYTES: u64 = HUGE_PAGE_BYTES;

/// So many times as long as a step it rests after one that nobody waits for, so that of those who are woken meanwhile not all
/// meet one.
const RESTS: u32 = 1;

/// The part of the capacity that is kept ready by default, and the most of it.
const DEFAULT_SHARE: u64 = 16;
const DEFAULT_MOST_BYTES: u64 = 256 << 20;

/// How far fresh memory is ready.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// How much is to be ready beyond the frontier.
    wanted_bytes: u64,
    capacity_bytes: u64,
    /// Where memory begins that was never lent to anybody. Written under the ledger's lock.
    frontier_bytes: AtomicU64,
    /// Up to where pages are there. Written by the thread only.
    ready_to_bytes: AtomicU64,
    is_over: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Reserve {
    /// As much as was asked for, or as a store of this capacity has by default.
    pub(crate) fn new(asked_bytes: Option<u64>, capacity_bytes: u64) -> Self {
        let default = (capacity_bytes / DEFAULT_SHARE).min(DEFAULT_MOST_BYTES);
        Reserve {
            wanted_bytes: asked_bytes.unwrap_or(default).min(capacity_bytes),
            capacity_bytes,
            frontier_bytes: AtomicU64::new(0),
            ready_to_bytes: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// Starts the thread. Without one, whoever is lent fresh memory provides it himself, as ever.
    pub(crate) fn start(core: &Arc<Core>) {
        if core.reserve.wanted_bytes == 0 || core.geometry.is_strict {
            return;
        }
        let weak = Arc::downgrade(core);
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let _ = thread("rustyray-reserve").spawn(move || {
            let same = Weak::clone(&weak);
            if let Ok(ready) = thread("rustyray-ready").spawn(move || keep_ready(&same)) {
                let _ = ready.join();
            }
            // Whoever ended it did not wait for the last step. It is not for the thread that took that one: many wait
            // for the lock, and not until no processor is wanted.
            if let Some(core) = weak.upgrade() {
                core.give_reserve_back(&core.ledger.lock());
            }
        });
    }

    /// The bytes that are ready and that nobody has been lent yet.
    pub(crate) fn bytes(&self) -> u64 {
        // Relaxed, here and below: numbers on which nothing hangs but when memory is provided.
        let frontier = self.frontier_bytes.load(Ordering::Relaxed);
        self.ready_to_bytes.load(Ordering::Relaxed).saturating_sub(frontier)
    }

    /// The frontier is there now.
    pub(crate) fn follow(&self, frontier_bytes: u64) {
        if self.frontier_bytes.load(Ordering::Relaxed) == frontier_bytes {
            return;
        }
        self.frontier_bytes.store(frontier_bytes, Ordering::Relaxed);
        if self.bytes() < self.wanted_bytes / 2
            && self.bytes() < self.capacity_bytes - frontier_bytes
        {
            self.wake();
        }
    }

    /// Nothing is made ready any more.
    ///
    /// True the first time.
    pub(crate) fn end(&self) -> bool {
        let is_first = !self.is_over.swap(true, Ordering::Relaxed);
        // SeqCst: of this and the one in `keep_ready`, one sees what was written before the other.
        fence(Ordering::SeqCst);
        if is_first {
            self.wake();
        }
        is_first
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether the frontier is elsewhere than it was.
    fn has_moved(&self, frontier_bytes: &mut u64) -> bool {
        let last = std::mem::replace(frontier_bytes, self.frontier_bytes.load(Ordering::Relaxed));
        *frontier_bytes != last
    }

    /// The next piece to make ready: where it begins and how long it is.
    fn next(&self) -> Option<(u64, u64)> {
        let frontier = self.frontier_bytes.load(Ordering::Relaxed);
        let from = self.ready_to_bytes.load(Ordering::Relaxed).max(frontier);
        let to = (frontier + self.wanted_bytes).min(self.capacity_bytes);
        let step = from / STEP_BYTES * STEP_BYTES + STEP_BYTES;
        (from < to).then(|| (from, step.min(to) - from))
    }
}

/// What the thread does.
fn keep_ready(core: &Weak<Core>) {
    let idle = libc::sched_param { sched_priority: 0 };
    // SAFETY: it concerns this thread only, and reads `idle`. A system that refuses leaves the thread as it is.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const idle) };
    let mut quiet = Quiet::new();
    let mut frontier_bytes = 0;
    loop {
        let Some(core) = core.upgrade() else { return };
        let reserve = &core.reserve;
        if reserve.thread.set(std::thread::current()).is_ok() {
            // SeqCst: see `end`.
            fence(Ordering::SeqCst);
        }
        if reserve.is_over.load(Ordering::Relaxed) {
            return;
        }
        let next = reserve.next().filter(|(_, len_bytes)| machine::has_spare(*len_bytes));
        // There is no haste while nobody takes any.
        let is_being_used = reserve.has_moved(&mut frontier_bytes);
        if next.is_some()
            && !is_being_used
            && let Some(pause) = quiet.wait()
        {
            drop(core);
            std::thread::park_timeout(pause);
            continue;
        }
        let begun = Instant::now();
        let is_ready = next.is_some_and(|(offset_bytes, len_bytes)| {
            let is_ready = core.segment.prepare(offset_bytes, len_bytes).is_ok();
            if is_ready {
                reserve.ready_to_bytes.store(offset_bytes + len_bytes, Ordering::Relaxed);
            }
            is_ready
        });
        drop(core);
        if !is_ready {
            std::thread::park();
        } else if !is_being_used {
            std::thread::park_timeout(begun.elapsed() * RESTS);
        }
    }
}

impl Core {
    /// Gives memory that nobody was lent yet back to the system.
    pub(crate) fn give_reserve_back(&self, ledger: &Ledger) {
        // Under the lock, so that the frontier stays where it is.
        let frontier_bytes = ledger.space.warm_bytes();
        self.reserve.ready_to_bytes.store(0, Ordering::Relaxed);
        self.segment.punch(frontier_bytes, self.geometry.capacity_bytes - frontier_bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Config, Node, Tier};

    const MIB: u64 = 1 << 20;

    fn store(reserve_bytes: u64) -> Arc<Node> {
        let config = Config {
            capacity_bytes: 128 * MIB,
            reserve_bytes: Some(reserve_bytes),
            spill_dir: None,
            ..Config::default()
        };
        Node::create(config).expect("a store")
    }

    /// The bytes that the system has given to the data segment.
    fn resident_bytes(core: &Core) -> u64 {
        let file = core.segment.descriptor().expect("a memfd");
        nix::sys::stat::fstat(file).expect("its state").st_blocks as u64 * 512
    }

    fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        for round in 0_u32.. {
            if is_so() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(120), "not in time: {what}");
            if round % 256 == 255 {
                hasten();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The threads of this process whose name begins so, each with its number and its scheduling policy.
    fn threads(of: &str) -> Vec<(i32, i32)> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("the threads");
        let of_task = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            // The policy is the 41st field; the name is the second, and the number the first.
            let policy = rest.split_whitespace().nth(38)?.parse().ok()?;
            let (number, name) = name.split_once(' ')?;
            name.starts_with(of).then_some((number.parse().ok()?, policy))
        };
        tasks.filter_map(|task| of_task(task.ok()?)).collect()
    }

    fn policies(of: &str) -> Vec<i32> {
        threads(of).into_iter().map(|(_, policy)| policy).collect()
    }

    /// A thread that runs when no processor is wanted may wait for ever where others want them all, and what is looked
    /// at here is what it does, not when: it gets its share, if the system lets it.
    fn hasten() {
        let share = libc::sched_param { sched_priority: 0 };
        for (thread, _) in threads("(rustyray-ready") {
            // SAFETY: it concerns a thread of this process, whatever it is by now, and reads `share`.
            let _ =
                unsafe { libc::sched_setscheduler(thread, libc::SCHED_OTHER, &raw const share) };
        }
    }

    #[test]
    fn pages_are_there_before_anybody_asks_and_others_follow() {
        let node = store(24 * MIB);
        let core = &node.core;
        eventually("the reserve is ready", || node.stats().reserve_bytes == 24 * MIB);
        assert!(resident_bytes(core) >= 24 * MIB);
        assert_eq!((node.stats().used_bytes, node.stats().warm_bytes), (0, 0), "nobody has it");

        let client = node.client();
        let mut writer = client.create(20 * MIB as usize).expect("room");
        assert!(resident_bytes(core) >= 24 * MIB);
        eventually("it is ready again", || node.stats().reserve_bytes == 24 * MIB);
        let used = node.stats().warm_bytes;
        assert!(used >= 20 * MIB && resident_bytes(core) >= used + 24 * MIB);
        writer.fill(7);
        assert!(writer.iter().all(|&byte| byte == 7));
    }

    #[test]
    fn who_makes_it_ready_runs_when_no_processor_is_wanted() {
        let own = || {
            keep_ready(&Weak::new());
            // SAFETY: it concerns this thread only.
            unsafe { libc::sched_getscheduler(0) }
        };
        let policy = std::thread::spawn(own).join().expect("there is no store, so it ends");
        assert_eq!(policy, libc::SCHED_IDLE);
    }

    #[test]
    fn what_is_written_where_pages_are_made_ready_stays() {
        let node = store(0);
        let client = node.client();
        let mut writer = client.create(16 * MIB as usize).expect("room");
        std::thread::scope(|scope| {
            let core = &node.core;
            scope.spawn(move || {
                for _ in 0..20 {
                    core.segment.prepare(0, 32 * MIB).expect("prepared");
                }
            });
            for round in 0..20 {
                writer.fill(round);
                assert!(writer.iter().all(|&byte| byte == round), "round {round}");
            }
        });
        assert_eq!(node.stats().reserve_bytes, 0, "none was asked for");
    }

    #[test]
    fn strict_objects_have_the_memory_instead() {
        let node = store(32 * MIB);
        let client = node.client();
        eventually("the reserve is ready", || node.stats().reserve_bytes == 32 * MIB);
        let id = client.put_in(Tier::Strict, &7u64).expect("a strict object");
        eventually("it was given back", || {
            node.stats().reserve_bytes == 0 && resident_bytes(&node.core) == 0
        });
        client.release(id);
    }

    #[test]
    fn the_thread_ends_with_its_store_and_nobody_waits_for_it() {
        let node = store(128 * MIB);
        let core = Arc::clone(&node.core);
        eventually("it has begun", || node.stats().reserve_bytes > 0);
        let client = node.client();
        let id = client.put(&vec![3u8; MIB as usize]).expect("room");
        let pin = client.pin(id).expect("a pin");
        node.shutdown();
        {
            // Whoever wants the lock can be looked at meanwhile.
            let _ledger = core.ledger.lock();
            eventually("one of the two has ended", || Arc::weak_count(&core) == 1);
            let waiting = policies("(rustyray-reserv");
            assert!(waiting.contains(&libc::SCHED_OTHER), "{waiting:?}");
            assert!(!waiting.contains(&libc::SCHED_IDLE), "{waiting:?}");
        }
        eventually("the other has ended", || Arc::weak_count(&core) == 0);
        assert!(pin[..MIB as usize].iter().all(|&byte| byte == 3), "views can still be read");
        assert_eq!(core.reserve.bytes(), 0);
        assert!(resident_bytes(&core) <= 4 * MIB, "what nobody used was given back");
    }

    #[test]
    fn it_goes_ahead_of_the_frontier_in_steps_and_never_beyond_the_capacity() {
        let reserve = Reserve::new(Some(20 * MIB), 40 * MIB);
        let mut made = Vec::new();
        let mut go_on = |reserve: &Reserve| {
            while let Some((from, len)) = reserve.next() {
                made.push((from / MIB, len / MIB));
                reserve.ready_to_bytes.store(from + len, Ordering::Relaxed);
            }
        };
        go_on(&reserve);
        assert_eq!(reserve.bytes(), 20 * MIB);
        reserve.follow(3 * MIB);
        go_on(&reserve);
        reserve.follow(31 * MIB);
        assert_eq!(reserve.bytes(), 0);
        go_on(&reserve);
        let whole = |from: u64, to: u64| (from..to).step_by(2).map(|at| (at, 2));
        let expected = whole(0, 22).chain([(22, 1), (31, 1)]).chain(whole(32, 40));
        assert_eq!(made, expected.collect::<Vec<_>>());
        assert_eq!(reserve.bytes(), 9 * MIB);
    }

    #[test]
    fn by_default_a_small_part_of_the_capacity_is_ready() {
        assert_eq!(Reserve::new(None, 64 * MIB).wanted_bytes, 4 * MIB);
        assert_eq!(Reserve::new(None, 64 << 30).wanted_bytes, 256 * MIB);
        assert_eq!(Reserve::new(Some(u64::MAX), 64 * MIB).wanted_bytes, 64 * MIB);
    }
}
