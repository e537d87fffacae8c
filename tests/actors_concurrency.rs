//! What may overlap in an actor, and what an actor that waits for itself is told.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    cell::Cell,
    future::poll_fn,
    rc::Rc,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use rustyray::prelude::*;

/// How long calls wait for each other before they give up: more than any machine takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A place where calls meet: counts how many are inside at one time.
#[derive(Default)]
struct Room {
    inside: Mutex<usize>,
    changed: Condvar,
    most: AtomicUsize,
}

impl Room {
    /// Enters, waits until `together` are inside or have been, and leaves; gives whether they came.
    fn meet(&self, together: usize) -> bool {
        let mut inside = self.inside.lock().expect("no panics");
        *inside += 1;
        self.most.fetch_max(*inside, Ordering::Relaxed);
        self.changed.notify_all();
        let come = |_: &mut usize| self.most.load(Ordering::Relaxed) < together;
        let (mut inside, waited) =
            self.changed.wait_timeout_while(inside, PATIENCE, come).expect("no panics");
        *inside -= 1;
        !waited.timed_out()
    }
}

#[rustyray::actor(max_concurrency = 3, concurrency_groups(io = 2))]
#[derive(Default)]
struct Hall {
    room: Room,
    foyer: Room,
    log: Mutex<Vec<u32>>,
    alone: Cell2,
}

/// Whether somebody is inside who should be alone.
#[derive(Default)]
struct Cell2(AtomicUsize);

#[rustyray::actor_methods]
impl Hall {
    pub fn new() -> Self {
        Hall::default()
    }

    pub fn meet(&self, together: u64) -> bool {
        self.room.meet(together as usize)
    }

    pub fn most(&self) -> u64 {
        self.room.most.load(Ordering::Relaxed) as u64
    }

    #[method(concurrency_group = "io")]
    pub fn meet_in_foyer(&self, together: u64) -> bool {
        self.foyer.meet(together as usize)
    }

    /// Lets those in the room believe that many have come.
    #[method(concurrency_group = "io")]
    pub fn let_go(&self) {
        let _inside = self.room.inside.lock().expect("no panics");
        self.room.most.fetch_max(100, Ordering::Relaxed);
        self.room.changed.notify_all();
    }

    pub async fn meet_async(&self, together: u64) -> bool {
        let inside = {
            let mut inside = self.room.inside.lock().expect("no panics");
            *inside += 1;
            self.room.most.fetch_max(*inside, Ordering::Relaxed);
            *inside
        };
        let _ = inside;
        let came = async {
            while self.room.most.load(Ordering::Relaxed) < together as usize {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, came).await.is_ok();
        *self.room.inside.lock().expect("no panics") -= 1;
        came
    }

    /// Others never see the actor while this runs.
    pub fn alone(&mut self, number: u32) -> u32 {
        self.alone.0.store(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(1));
        self.alone.0.store(0, Ordering::Relaxed);
        self.log.lock().expect("no panics").push(number);
        number
    }

    pub fn disturbed(&self) -> bool {
        self.alone.0.load(Ordering::Relaxed) != 0
    }

    pub fn note(&self, number: u32) {
        self.log.lock().expect("no panics").push(number);
    }

    pub fn log(&mut self) -> Vec<u32> {
        std::mem::take(self.log.get_mut().expect("no panics"))
    }
}

#[rustyray::test]
async fn sync_shared_calls_overlap_on_threads_up_to_the_limit() -> rustyray::Result<()> {
    let hall = Hall::remote().await?;
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(hall.meet(3).await?);
    }
    assert_eq!(rustyray::get_all(&calls).await?, vec![true; 12]);
    assert_eq!(hall.most().await?.get().await?, 3, "no more than three are ever inside");
    Ok(())
}

/// One thread sleeps from an earlier call when two come at once, each of which waits for the other.
#[rustyray::test(num_cpus = 2)]
async fn calls_meet_on_threads_that_slept() -> rustyray::Result<()> {
    for _ in 0..20 {
        let hall = Hall::remote().await?;
        hall.note(0).await?.get().await?;
        let calls = [hall.meet(2).await?, hall.meet(2).await?];
        assert_eq!(rustyray::get_all(&calls).await?, [true, true]);
    }
    Ok(())
}

/// Calls that were short are all run by one thread. Those that then wait for each other are not.
#[rustyray::test(num_cpus = 2)]
async fn calls_meet_after_ones_that_were_short() -> rustyray::Result<()> {
    for round in 0..8 {
        let hall = Hall::remote().await?;
        let mut short = Vec::new();
        for _ in 0..200 {
            short.push(hall.disturbed().await?);
        }
        rustyray::get_all(&short).await?;
        if round % 2 == 0 {
            // Nobody looks any more whether calls are short.
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        let second = match round % 4 {
            0 | 1 => hall.meet(3).await?,
            _ => hall.meet_async(3).await?,
        };
        let calls = [hall.meet(3).await?, second, hall.meet(3).await?];
        assert_eq!(rustyray::get_all(&calls).await?, [true; 3]);
        assert_eq!(hall.alone(7).await?.get().await?, 7);
        assert_eq!(hall.log().await?.get().await?, [7]);
    }
    Ok(())
}

#[rustyray::test]
async fn async_shared_calls_overlap_up_to_the_limit() -> rustyray::Result<()> {
    let hall = Hall::remote().await?;
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(hall.meet_async(3).await?);
    }
    assert_eq!(rustyray::get_all(&calls).await?, vec![true; 12]);
    assert_eq!(hall.most().await?.get().await?, 3, "no more than three are ever inside");
    Ok(())
}

/// Waits until it is called, and keeps the wakers of all who ever waited.
#[rustyray::actor(max_concurrency = 8)]
#[derive(Default)]
struct Ward {
    called: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

#[rustyray::actor_methods]
impl Ward {
    pub fn new() -> Self {
        Ward::default()
    }

    /// How often it was polled until it was called.
    pub async fn wait_for(&self, number: u64) -> u64 {
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            self.wakers.lock().expect("no panics").push(context.waker().clone());
            match self.called.load(Ordering::SeqCst) as u64 >= number {
                true => Poll::Ready(polls),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Calls, from a thread that the runtime knows nothing of, all who ever waited.
    pub fn call(&self, number: u64) {
        self.called.store(number as usize, Ordering::SeqCst);
        let wakers = self.wakers.lock().expect("no panics").clone();
        let waking = std::thread::spawn(move || wakers.iter().for_each(Waker::wake_by_ref));
        waking.join().expect("no panics");
    }
}

#[rustyray::test]
async fn calls_that_wait_are_woken_whoever_else_is_that_has_ended() -> rustyray::Result<()> {
    let ward = Ward::remote().await?;
    for number in 1..=20 {
        let mut waiting = Vec::new();
        for _ in 0..5 {
            waiting.push(ward.wait_for(number).await?);
        }
        ward.call(number).await?.get().await?;
        for polls in rustyray::get_all(&waiting).await? {
            assert!(polls >= 2, "it waited, and was woken");
        }
    }
    Ok(())
}

#[rustyray::test]
async fn a_thousand_async_calls_overlap_where_the_limit_is_a_thousand() -> rustyray::Result<()> {
    let hall = Hall::options().max_concurrency(1000).remote().await?;
    let mut calls = Vec::new();
    for _ in 0..1000 {
        calls.push(hall.meet_async(1000).await?);
    }
    assert_eq!(rustyray::get_all(&calls).await?, vec![true; 1000]);
    assert_eq!(hall.most().await?.get().await?, 1000);
    Ok(())
}

#[rustyray::test]
async fn a_thousand_sync_calls_overlap_on_as_many_threads() -> rustyray::Result<()> {
    let hall = Hall::options().max_concurrency(1000).remote().await?;
    let mut calls = Vec::new();
    for _ in 0..1000 {
        calls.push(hall.meet(1000).await?);
    }
    assert_eq!(rustyray::get_all(&calls).await?, vec![true; 1000]);
    Ok(())
}

/// Brings a thousand together from a process that calls by a direct line.
#[rustyray::remote(num_cpus = 0.0)]
async fn bring_together(hall: HallHandle) -> rustyray::Result<bool> {
    for number in 0..100 {
        hall.note(number).await?.get().await?;
    }
    let mut calls = Vec::new();
    for _ in 0..1000 {
        calls.push(hall.meet_async(1000).await?);
    }
    Ok(rustyray::get_all(&calls).await?.into_iter().all(|came| came))
}

#[rustyray::test]
async fn a_thousand_calls_overlap_that_come_by_a_direct_line() -> rustyray::Result<()> {
    let hall = Hall::options().max_concurrency(1000).remote().await?;
    hall.ready().await?;
    assert!(bring_together_remote::remote(&hall).await?.get().await?);
    assert!(rustyray::Runtime::current()?.direct_lines() >= 1);
    Ok(())
}

#[rustyray::test]
async fn more_calls_at_a_time_than_can_be_is_an_error() -> rustyray::Result<()> {
    // With the two of the group it is one too many.
    let error = Hall::options().max_concurrency(1023).remote().await.expect_err("1025 in all");
    let message = error.to_string();
    assert!(message.contains("1025") && message.contains("at most 1024"), "{message}");
    Hall::options().max_concurrency(1022).remote().await?.ready().await
}

#[rustyray::test]
async fn a_concurrency_group_goes_on_behind_a_thousand_calls_that_are_stuck() -> rustyray::Result<()>
{
    let hall = Hall::remote().await?;
    let mut stuck = Vec::new();
    for _ in 0..1000 {
        stuck.push(hall.meet_async(4).await?);
    }
    hall.let_go().await?.get().await?;
    rustyray::get_all(&stuck).await?;
    Ok(())
}

#[rustyray::test]
async fn sync_and_async_calls_share_the_limit() -> rustyray::Result<()> {
    let hall = Hall::remote().await?;
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(hall.meet_async(3).await?);
        calls.push(hall.meet(3).await?);
    }
    assert_eq!(rustyray::get_all(&calls).await?, vec![true; 8]);
    assert_eq!(hall.most().await?.get().await?, 3);
    Ok(())
}

#[rustyray::test]
async fn the_limit_of_one_actor_overrides_that_of_its_class() -> rustyray::Result<()> {
    let hall = Hall::options().max_concurrency(1).remote().await?;
    let calls = [hall.meet(1).await?, hall.meet_async(1).await?, hall.meet(1).await?];
    assert_eq!(rustyray::get_all(&calls).await?, [true; 3]);
    assert_eq!(hall.most().await?.get().await?, 1);
    Ok(())
}

#[rustyray::test]
async fn a_concurrency_group_goes_on_while_the_others_are_stuck() -> rustyray::Result<()> {
    let hall = Hall::remote().await?;
    // Three wait in the room for a fourth that cannot come in, and more are queued behind them.
    let mut stuck = Vec::new();
    for _ in 0..6 {
        stuck.push(hall.meet(4).await?);
    }
    let foyer = [hall.meet_in_foyer(2).await?, hall.meet_in_foyer(2).await?];
    assert_eq!(rustyray::get_all(&foyer).await?, [true; 2]);
    assert!(stuck.iter().all(|call| !call.is_ready()));
    hall.let_go().await?;
    assert_eq!(rustyray::get_all(&stuck).await?, [true; 6]);
    Ok(())
}

#[rustyray::test]
async fn a_group_goes_on_while_the_one_call_that_others_may_have_is_stuck() -> rustyray::Result<()>
{
    let hall = Hall::options().max_concurrency(1).remote().await?;
    let stuck = [hall.meet(4).await?, hall.meet(4).await?];
    let foyer = [hall.meet_in_foyer(2).await?, hall.meet_in_foyer(2).await?];
    assert_eq!(rustyray::get_all(&foyer).await?, [true; 2]);
    assert!(stuck.iter().all(|call| !call.is_ready()));
    hall.let_go().await?;
    assert_eq!(rustyray::get_all(&stuck).await?, [true; 2]);
    assert_eq!(hall.most().await?.get().await?, 100, "as it was let go");
    Ok(())
}

/// One that takes one call at a time, and one of its group beside it.
#[rustyray::actor(concurrency_groups(io = 1))]
struct Clerk;

#[rustyray::actor_methods]
impl Clerk {
    pub fn new() -> Self {
        Clerk
    }

    pub fn ask(&self, myself: ClerkHandle) -> rustyray::Result<u32> {
        rustyray::block_on(async move { myself.look_up().await?.get_timeout(PATIENCE).await })
    }

    #[method(concurrency_group = "io")]
    pub fn look_up(&self) -> u32 {
        7
    }
}

#[rustyray::test]
async fn a_sync_call_may_wait_for_one_of_another_group() -> rustyray::Result<()> {
    let clerk = Clerk::remote().await?;
    for _ in 0..50 {
        assert_eq!(clerk.ask(clerk.clone()).await?.get().await?, 7);
    }
    Ok(())
}

/// One call of its group at a time, and one that waits for all the others.
#[rustyray::actor(max_concurrency = 2, concurrency_groups(io = 1))]
struct Doorkeeper;

#[rustyray::actor_methods]
impl Doorkeeper {
    pub fn new() -> Self {
        Doorkeeper
    }

    pub fn nothing(&self) {}

    pub fn alone(&mut self) -> bool {
        true
    }

    pub fn process(&self) -> u32 {
        std::process::id()
    }

    /// Whether the file is there, for which it waits a while.
    #[method(concurrency_group = "io")]
    pub fn waits_for(&self, file: String) -> bool {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !std::path::Path::new(&file).exists() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::path::Path::new(&file).exists()
    }
}

/// Waits until all threads of a process sleep at once: it has claimed what it was given before.
async fn until_asleep(process: u32) {
    let deadline = std::time::Instant::now() + PATIENCE;
    let sleeps = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.expect("listed").path().join("stat"));
        // One that has ended meanwhile is none of those that claim.
        stat.map_or(true, |stat| {
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    };
    loop {
        let mut threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
        if threads.all(sleeps) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "process {process} never sleeps");
        tokio::task::yield_now().await;
    }
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_that_waits_for_others_is_cancelled_while_they_run() -> rustyray::Result<()> {
    for by_line in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("may_end");
        let path = file.to_string_lossy().into_owned();
        let doorkeeper = Doorkeeper::remote().await?;
        for _ in 0..if by_line { 200 } else { 0 } {
            doorkeeper.nothing().await?.get().await?;
        }
        let process = doorkeeper.process().await?.get().await?;
        let running = doorkeeper.waits_for(path.clone()).await?;
        let for_its_lane = doorkeeper.waits_for(path).await?;
        let for_all = doorkeeper.alone().await?;
        until_asleep(process).await;
        for call in [for_its_lane, for_all] {
            call.cancel(CancelOptions::default()).await?;
            let ended = call.get().await;
            assert!(matches!(ended, Err(Error::TaskCancelled { .. })), "{ended:?}");
        }
        std::fs::write(file, "").expect("it can be written");
        assert!(running.get().await?, "both were cancelled before");
    }
    Ok(())
}

#[rustyray::test]
async fn an_exclusive_call_runs_alone_and_in_its_turn() -> rustyray::Result<()> {
    let hall = Hall::remote().await?;
    let mut disturbed = Vec::new();
    let mut last = None;
    for number in 0..60 {
        disturbed.push(hall.disturbed().await?);
        match number % 3 {
            0 => drop(hall.note(number).await?),
            _ => last = Some(hall.alone(number).await?),
        }
        disturbed.push(hall.disturbed().await?);
    }
    last.expect("some ran").get().await?;
    let log = hall.log().await?.get().await?;
    assert_eq!(log, (0..60).collect::<Vec<_>>(), "an exclusive call overtakes nobody");
    assert!(!rustyray::get_all(&disturbed).await?.contains(&true));
    Ok(())
}

/// An actor of one thread: neither `Send` nor `Sync`.
#[rustyray::actor(max_concurrency = 2)]
struct Local {
    count: Rc<Cell<u32>>,
}

#[rustyray::actor_methods]
impl Local {
    pub async fn new() -> Self {
        Local { count: Rc::new(Cell::new(0)) }
    }

    pub fn add(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    pub async fn meet(&self, together: u32) -> u32 {
        let count = Rc::clone(&self.count);
        count.set(count.get() + 1);
        while count.get() < together {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        count.get()
    }
}

#[rustyray::test]
async fn an_actor_that_is_not_sync_lives_on_one_thread() -> rustyray::Result<()> {
    let local = Local::remote().await?;
    let meeting = [local.meet(2).await?, local.meet(2).await?];
    assert_eq!(rustyray::get_all(&meeting).await?.len(), 2);
    let mut calls = Vec::new();
    for _ in 0..50 {
        calls.push(local.add().await?);
    }
    assert_eq!(rustyray::get_all(&calls).await?, (3..53).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::actor]
#[derive(Default)]
struct Narcissus {
    myself: Option<NarcissusHandle>,
    looks: u32,
    pending: Option<ObjectRef<u32>>,
}

#[rustyray::actor_methods]
impl Narcissus {
    pub fn new() -> Self {
        Narcissus::default()
    }

    pub fn meet(&mut self, myself: NarcissusHandle) {
        self.myself = Some(myself);
    }

    pub fn look(&mut self) -> u32 {
        self.looks += 1;
        self.looks
    }

    pub fn looks(&self) -> u32 {
        self.looks
    }

    pub async fn wait_for_itself(&mut self) -> rustyray::Result<u32> {
        let myself = self.myself.clone().expect("they have met");
        myself.look().await?.get().await
    }

    pub async fn wait_shared(&self) -> rustyray::Result<u32> {
        let myself = self.myself.clone().expect("they have met");
        myself.looks().await?.get().await
    }

    pub fn wait_blocking(&mut self) -> rustyray::Result<u32> {
        let myself = self.myself.clone().expect("they have met");
        rustyray::block_on(myself.look())?.get_blocking()
    }

    /// Calls itself and does not wait.
    pub async fn later(&mut self) -> rustyray::Result<()> {
        let myself = self.myself.clone().expect("they have met");
        self.pending = Some(myself.look().await?);
        Ok(())
    }

    pub async fn seen(&mut self) -> rustyray::Result<u32> {
        self.pending.take().expect("`later` came before").get().await
    }

    /// Gives up after a while.
    pub async fn wait_a_little(&mut self) -> rustyray::Result<bool> {
        let myself = self.myself.clone().expect("they have met");
        let looked = myself.look().await?.get_timeout(Duration::from_millis(5)).await;
        Ok(matches!(looked, Err(Error::GetTimeout { .. })))
    }
}

#[rustyray::test]
async fn waiting_for_oneself_is_reported_as_the_deadlock_it_is() -> rustyray::Result<()> {
    let narcissus = Narcissus::remote().await?;
    narcissus.meet(narcissus.clone()).await?;
    for call in [narcissus.wait_for_itself().await?, narcissus.wait_blocking().await?] {
        let error = call.get().await.expect_err("it can never see itself");
        let message = error.to_string();
        assert!(message.contains("waits for") && message.contains("::look"), "{message}");
        assert!(message.contains("cannot begin before it ends"), "{message}");
    }
    let error = narcissus.wait_shared().await?.get().await.expect_err("one call at a time");
    assert!(error.to_string().contains("::looks"), "{error}");
    assert_eq!(narcissus.looks().await?.get().await?, 0, "what was refused never ran");
    Ok(())
}

#[rustyray::test]
async fn calling_oneself_without_waiting_works() -> rustyray::Result<()> {
    let narcissus = Narcissus::remote().await?;
    narcissus.meet(narcissus.clone()).await?;
    narcissus.later().await?.get().await?;
    // The actor and this process are two callers, whose calls have no order: `seen` would wait for `look` for
    // ever if it began first, and be told so.
    while narcissus.looks().await?.get().await? == 0 {}
    assert_eq!(narcissus.seen().await?.get().await?, 1);
    assert!(narcissus.wait_a_little().await?.get().await?, "a wait with an end is no deadlock");
    Ok(())
}
