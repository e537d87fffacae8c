//! What is settled while the store has no room at all: nobody waits for it for ever.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    future::Future,
    pin::pin,
    sync::mpsc,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use rustyray::{Bundle, PlacementGroup, PlacementStrategy, prelude::*};
use rustyray_store::without_waiting;

/// By then what was to come has come, or never will.
const LONG: Duration = Duration::from_secs(60);

#[rustyray::actor(num_cpus = 0)]
struct Resident;

#[rustyray::actor_methods]
impl Resident {
    pub fn new() -> Self {
        Resident
    }

    pub fn lives(&self) {}

    pub fn takes(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }
}

/// Fills the store with what cannot be moved, to the last byte.
async fn fill() -> rustyray::Result<Vec<View<Vec<u8>>>> {
    let mut kept = Vec::new();
    // The least that takes room: what is smaller lies in its slot.
    for len in [1 << 16, 1 << 12, 9] {
        let put = || without_waiting(|| rustyray::blocking::put(&vec![3_u8; len]));
        while let Ok(object) = put() {
            kept.push(object.view().await?);
        }
    }
    Ok(kept)
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn a_group_whose_turn_comes_is_ready() -> rustyray::Result<()> {
    let of_one = || PlacementGroup::create([Bundle::new().num_cpus(1.0)], PlacementStrategy::Pack);
    let (first, second) = (of_one().await?, of_one().await?);
    first.ready().await?;
    assert!(!second.wait(Duration::ZERO).await?);
    let kept = fill().await?;
    first.remove().await?;
    assert!(second.wait(LONG).await?);
    drop(kept);
    Ok(())
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn an_actors_death_is_told_if_not_how_it_died() -> rustyray::Result<()> {
    let resident = Resident::remote().await?;
    resident.lives().await?.get().await?;
    let death = resident.death().await?;
    let kept = fill().await?;
    resident.kill().await?;
    let told = death.get_timeout(LONG).await;
    assert!(told.is_err() && death.is_ready(), "{told:?}");
    drop(kept);
    Ok(())
}

/// Whether a thread of this process waits for something.
fn is_asleep(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("a thread");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn a_call_that_waits_for_room_keeps_nobody_from_its_actor() -> rustyray::Result<()> {
    let resident = Resident::remote().await?;
    // Often enough for a line of its own.
    for _ in 0..200 {
        resident.lives().await?.get().await?;
    }
    waits_for_room_apart(resident).await
}

#[test]
fn nor_does_one_that_an_attached_program_makes_by_way_of_the_node() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let builder = rustyray::Builder::new().num_cpus(1.0).object_store_memory(8 << 20);
    let builder = builder.visible(false).socket(&socket);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let calls = || {
        let driver = rustyray::blocking::connect(&socket).expect("it lets us in");
        let called = rustyray::block_on(async {
            let resident = Resident::remote().await?;
            resident.lives().await?.get().await?;
            waits_for_room_apart(resident).await
        });
        rustyray::block_on(driver.shutdown()).expect("it lets go");
        called.expect("all of it works");
    };
    thread::scope(|scope| scope.spawn(calls).join()).expect("no panic");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[rustyray::remote(num_cpus = 0)]
async fn counts(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// What a task is submitted with is kept until the node has taken it over.
#[rustyray::remote(num_cpus = 0)]
async fn submits_and_puts() -> rustyray::Result<usize> {
    let counted = counts_remote::remote(vec![2; 5 << 20]).await?;
    drop(rustyray::put(&vec![3_u8; 5 << 20]).await?);
    counted.get().await
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn a_task_that_finds_no_room_lets_go_of_what_it_keeps_no_longer() -> rustyray::Result<()> {
    assert_eq!(submits_and_puts_remote::remote().await?.get().await?, 5 << 20);
    Ok(())
}

/// While another thread makes a call that there is no room for, this one calls.
async fn waits_for_room_apart(resident: ResidentHandle) -> rustyray::Result<()> {
    let kept = fill().await?;
    let (started, start) = mpsc::channel();
    let large = {
        let (resident, runtime) = (resident.clone(), rustyray::Runtime::current()?);
        thread::spawn(move || {
            let _here = runtime.enter();
            started.send(nix::unistd::gettid().as_raw()).expect("somebody waits");
            rustyray::block_on(async { resident.takes(vec![2; 3000]).await?.get().await })
        })
    };
    let waiting = start.recv().expect("it runs");
    while !is_asleep(waiting) {
        thread::yield_now();
    }
    resident.lives().await?.get().await?;
    drop(kept);
    assert_eq!(large.join().expect("no panic")?, 3000, "there was room in time");
    Ok(())
}

#[rustyray::remote(num_returns = "streaming", backpressure = 32)]
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn items_that_are_made_are_not_kept_back_for_want_of_room_for_more() -> rustyray::Result<()> {
    let mut items = count_remote::remote(100).await?;
    assert_eq!(items.next().await.expect("the first").get().await?, 0);
    let kept = fill().await?;
    let (taken, all_taken) = mpsc::channel();
    let gives_room = thread::spawn(move || {
        let in_time = all_taken.recv_timeout(LONG).is_ok();
        drop(kept);
        in_time
    });
    for n in 1..32 {
        assert_eq!(items.next().await.expect("it is made ahead").get().await?, n);
    }
    let _ = taken.send(());
    for n in 32..100 {
        assert_eq!(items.next().await.expect("there is room again").get().await?, n);
    }
    assert!(items.next().await.is_none());
    assert!(gives_room.join().expect("no panic"), "each item waited for room");
    Ok(())
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn who_waits_for_room_for_further_items_keeps_no_thread() -> rustyray::Result<()> {
    let mut items = count_remote::remote(100).await?;
    let kept = fill().await?;
    for n in 0..32 {
        assert_eq!(items.next().await.expect("it is made ahead").get().await?, n);
    }
    {
        let mut next = pin!(items.next());
        let looked = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(looked.is_pending(), "there is no room");
        // Of the same thread, which is not held up.
        drop(kept);
        assert_eq!(next.await.expect("there is room again").get().await?, 32);
    }
    for n in 33..100 {
        assert_eq!(items.next().await.expect("there is room").get().await?, n);
    }
    assert!(items.next().await.is_none());
    Ok(())
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn the_end_of_a_stream_takes_no_room() -> rustyray::Result<()> {
    let mut items = count_remote::remote(32).await?;
    let kept = fill().await?;
    for n in 0..32 {
        assert_eq!(items.next().await.expect("it is made ahead").get().await?, n);
    }
    assert_eq!(items.completed().get().await?, 32);
    assert!(items.next().await.is_none(), "there were no more");
    drop(kept);
    Ok(())
}
