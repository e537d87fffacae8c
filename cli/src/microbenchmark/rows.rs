//! The rows of Ray's suite: what one call of each does, how much it counts for, and Ray's figures.

use std::{future::Future, pin::Pin, time::Duration};

use rustyray::{Bundle, PlacementGroup, PlacementStrategy, Result, prelude::*};

use super::{
    measure::{Bencher, Work},
    report::RAY_GIGABYTE,
    work::{
        AsyncClient, AsyncServer, Client, Server, create_object_containing_ref_remote,
        do_put_remote, do_put_small_remote, read_ends_remote, read_integer_remote,
        small_value_remote, small_values, work_async_remote, work_remote,
    },
};

/// What a row's figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    PerSecond,
    GigabytesPerSecond,
}

/// What a row cannot be faster than.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    /// One atomic addition, so many times for each of what the row counts.
    AtomicAdd(f64),
    /// A cache line to another process and back.
    RoundTrip,
    /// So many messages to another process for each of what the row counts.
    Messages(f64),
    /// A copy into memory that was touched before.
    Memcpy,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// One row.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    /// Whether one call is one operation, whose time is worth knowing.
    pub(super) one_call: bool,
    /// What Ray publishes for 64 cores.
    pub(super) ray_64: f64,
    /// Ray 2.60 on two virtual cores of the kind that RustyRay was built on.
    pub(super) ray_2: f64,
    pub(super) limit: Limit,
    pub(super) run: for<'a> fn(&'a mut Bencher<'_>) -> Running<'a>,
}

macro_rules! rows {
    ($($name:literal, $unit:ident, $one_call:literal, $ray_64:literal, $ray_2:literal, $limit:expr, $run:expr;)*) => {
        /// All rows, in Ray's order.
        pub(super) static ROWS: &[Row] = &[$(Row {
            name: $name,
            unit: Unit::$unit,
            one_call: $one_call,
            ray_64: $ray_64,
            ray_2: $ray_2,
            limit: $limit,
            run: $run,
        }),*];
    };
}

macro_rules! run {
    ($run:ident) => {
        |bencher| Box::pin($run(bencher))
    };
}

rows! {
    "single client get calls (Plasma Store)", PerSecond, true, 10_620.0, 1_831.0,
        Limit::AtomicAdd(1.0), run!(get_calls);
    "single client put calls (Plasma Store)", PerSecond, true, 5_173.0, 1_060.0,
        Limit::AtomicAdd(1.0), run!(put_calls);
    "multi client put calls (Plasma Store)", PerSecond, false, 16_526.0, 825.0,
        Limit::AtomicAdd(1.0), run!(multi_put_calls);
    "single client put gigabytes", GigabytesPerSecond, false, 19.9, 0.77,
        Limit::Memcpy, run!(put_gigabytes);
    "single client tasks and get batch", PerSecond, false, 5.80, 1.14,
        Limit::Messages(1000.0), run!(tasks_and_get_batch);
    "multi client put gigabytes", GigabytesPerSecond, false, 38.1, 5.2,
        Limit::Memcpy, run!(multi_put_gigabytes);
    "single client get object containing 10k refs", PerSecond, false, 13.4, 9.5,
        Limit::AtomicAdd(10_000.0), run!(get_object_of_references);
    "single client wait 1k refs", PerSecond, false, 5.08, 1.16,
        Limit::Messages(1000.0), run!(wait_for_references);
    "single client tasks sync", PerSecond, true, 981.0, 341.0,
        Limit::RoundTrip, run!(tasks_sync);
    "single client tasks async", PerSecond, false, 8_041.0, 617.0,
        Limit::Messages(1.0), run!(tasks_async);
    "multi client tasks async", PerSecond, false, 21_230.0, 986.0,
        Limit::Messages(1.0), run!(multi_tasks_async);
    "1:1 actor calls sync", PerSecond, true, 2_012.0, 463.0,
        Limit::RoundTrip, run!(actor_sync);
    "1:1 actor calls async", PerSecond, false, 8_664.0, 2_258.0,
        Limit::Messages(1.0), run!(actor_async);
    "1:1 actor calls concurrent", PerSecond, false, 5_775.0, 2_334.0,
        Limit::Messages(1.0), run!(actor_concurrent);
    "1:n actor calls async", PerSecond, false, 8_038.0, 1_829.0,
        Limit::Messages(1.0), run!(one_to_n);
    "n:n actor calls async", PerSecond, false, 27_376.0, 1_862.0,
        Limit::Messages(1.0), run!(n_to_n);
    "n:n actor calls with arg async", PerSecond, false, 2_759.0, 842.0,
        Limit::Messages(1.0), run!(n_to_n_with_argument);
    "1:1 async-actor calls sync", PerSecond, true, 1_460.0, 299.0,
        Limit::RoundTrip, run!(async_actor_sync);
    "1:1 async-actor calls async", PerSecond, false, 4_260.0, 1_243.0,
        Limit::Messages(1.0), run!(async_actor_async);
    "1:1 async-actor calls with args async", PerSecond, false, 2_836.0, 873.0,
        Limit::Messages(1.0), run!(async_actor_with_arguments);
    "1:n async-actor calls async", PerSecond, false, 7_383.0, 1_002.0,
        Limit::Messages(1.0), run!(one_to_n_async);
    "n:n async-actor calls async", PerSecond, false, 23_675.0, 1_079.0,
        Limit::Messages(1.0), run!(n_to_n_async);
    "placement group create/removal", PerSecond, false, 765.0, 186.0,
        Limit::AtomicAdd(1.0), run!(placement_groups);
}

/// Half of the cores, at least one: how many actors, or pairs, some rows have.
fn half_of_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

// --- objects ---------------------------------------------------------------------------------------------

async fn get_calls(bencher: &mut Bencher<'_>) -> Result<()> {
    let value = rustyray::put(&0_i64).await?;
    assert_eq!(read_integer_remote::remote(&value).await?.get().await?, 0);
    bencher.measure(Work { counts: 1.0, calls: 0 }, async || value.get().await.map(drop)).await
}

async fn put_calls(bencher: &mut Bencher<'_>) -> Result<()> {
    let value = rustyray::put(&7_i64).await?;
    assert_eq!(read_integer_remote::remote(&value).await?.get().await?, 7);
    bencher
        .measure(Work { counts: 1.0, calls: 0 }, async || rustyray::put(&0_i64).await.map(drop))
        .await
}

async fn multi_put_calls(bencher: &mut Bencher<'_>) -> Result<()> {
    let puts = bencher.scaled(100);
    let work = Work { counts: 10.0 * f64::from(puts), calls: 10 };
    bencher
        .measure(work, async || {
            let mut tasks = Vec::with_capacity(10);
            for _ in 0..10 {
                tasks.push(do_put_small_remote::remote(puts).await?);
            }
            rustyray::get_all(&tasks).await.map(drop)
        })
        .await
}

async fn put_gigabytes(bencher: &mut Bencher<'_>) -> Result<()> {
    // Not zeroes, of which the kernel has one page for all: then the copy would read nothing.
    let mut array = vec![1_i64; bencher.scaled(100 << 20) as usize];
    let (first, last) = (0, array.len() - 1);
    (array[first], array[last]) = (3, 4);
    let stored = rustyray::put(&array).await?;
    assert_eq!(read_ends_remote::remote(&stored).await?.get().await?, (3, 4));
    drop(stored);
    let counts = 8e-9 * array.len() as f64 / RAY_GIGABYTE;
    bencher.measure(Work { counts, calls: 0 }, async || rustyray::put(&array).await.map(drop)).await
}

async fn multi_put_gigabytes(bencher: &mut Bencher<'_>) -> Result<()> {
    let len = u64::from(bencher.scaled(10 << 20));
    let counts = 100.0 * 8e-9 * len as f64 / RAY_GIGABYTE;
    bencher
        .measure(Work { counts, calls: 10 }, async || {
            let mut tasks = Vec::with_capacity(10);
            for _ in 0..10 {
                tasks.push(do_put_remote::remote(10, len).await?);
            }
            rustyray::get_all(&tasks).await.map(drop)
        })
        .await
}

async fn get_object_of_references(bencher: &mut Bencher<'_>) -> Result<()> {
    let references = bencher.scaled(10_000);
    let object = create_object_containing_ref_remote::remote(references).await?;
    let made = object.get().await?;
    assert_eq!(made.len(), references as usize);
    assert_eq!(rustyray::get_all(&made).await?, vec![1; references as usize]);
    drop(made);
    bencher
        .measure(Work { counts: 1.0, calls: 0 }, async || {
            let references = object.get().await?;
            std::hint::black_box(&references);
            Ok(())
        })
        .await
}

async fn wait_for_references(bencher: &mut Bencher<'_>) -> Result<()> {
    let tasks = bencher.scaled(1000);
    bencher
        .measure(Work { counts: 1.0, calls: tasks.into() }, async || {
            let mut not_ready: Vec<ObjectRef<Vec<u8>>> = Vec::with_capacity(tasks as usize);
            for _ in 0..tasks {
                not_ready.push(small_value_remote::remote().await?);
            }
            for _ in 0..tasks {
                (_, not_ready) = rustyray::wait(not_ready, 1, None).await?;
            }
            assert!(not_ready.is_empty());
            Ok(())
        })
        .await
}

// --- tasks -----------------------------------------------------------------------------------------------

async fn tasks_and_get_batch(bencher: &mut Bencher<'_>) -> Result<()> {
    let tasks = bencher.scaled(1000);
    let work = Work { counts: 1.0, calls: tasks.into() };
    bencher.measure(work, async || small_values(tasks as usize).await).await
}

async fn tasks_sync(bencher: &mut Bencher<'_>) -> Result<()> {
    bencher
        .measure(Work { counts: 1.0, calls: 1 }, async || {
            small_value_remote::remote().await?.get().await.map(drop)
        })
        .await
}

async fn tasks_async(bencher: &mut Bencher<'_>) -> Result<()> {
    let tasks = bencher.scaled(1000);
    let work = Work { counts: tasks.into(), calls: tasks.into() };
    bencher.measure(work, async || small_values(tasks as usize).await).await
}

async fn multi_tasks_async(bencher: &mut Bencher<'_>) -> Result<()> {
    let tasks = bencher.scaled(10_000);
    let mut actors = Vec::new();
    for _ in 0..4 {
        actors.push(Server::remote().await?);
    }
    let work = Work { counts: 4.0 * f64::from(tasks), calls: 4 * u64::from(tasks) + 4 };
    bencher
        .measure(work, async || {
            let mut batches = Vec::with_capacity(4);
            for actor in &actors {
                batches.push(actor.small_value_batch(tasks).await?);
            }
            rustyray::get_all(&batches).await.map(drop)
        })
        .await
}

// --- actors ----------------------------------------------------------------------------------------------

async fn actor_sync(bencher: &mut Bencher<'_>) -> Result<()> {
    let actor = Server::remote().await?;
    bencher
        .measure(Work { counts: 1.0, calls: 1 }, async || {
            actor.small_value().await?.get().await.map(drop)
        })
        .await
}

async fn actor_async(bencher: &mut Bencher<'_>) -> Result<()> {
    let actor = Server::remote().await?;
    pipelined(bencher, async |_| actor.small_value().await).await
}

async fn actor_concurrent(bencher: &mut Bencher<'_>) -> Result<()> {
    let actor = Server::options().max_concurrency(16).remote().await?;
    pipelined(bencher, async |_| actor.small_value().await).await
}

async fn async_actor_sync(bencher: &mut Bencher<'_>) -> Result<()> {
    let actor = AsyncServer::remote().await?;
    bencher
        .measure(Work { counts: 1.0, calls: 1 }, async || {
            actor.small_value().await?.get().await.map(drop)
        })
        .await
}

async fn async_actor_async(bencher: &mut Bencher<'_>) -> Result<()> {
    let actor = AsyncServer::remote().await?;
    pipelined(bencher, async |_| actor.small_value().await).await
}

async fn async_actor_with_arguments(bencher: &mut Bencher<'_>) -> Result<()> {
    let actor = AsyncServer::remote().await?;
    pipelined(bencher, async |at| actor.small_value_with_arg(i64::from(at)).await).await
}

/// A thousand calls, and all their results.
async fn pipelined(
    bencher: &mut Bencher<'_>,
    call: impl AsyncFn(u32) -> Result<ObjectRef<Vec<u8>>>,
) -> Result<()> {
    let calls = bencher.scaled(1000);
    let work = Work { counts: calls.into(), calls: calls.into() };
    bencher
        .measure(work, async || {
            let mut results = Vec::with_capacity(calls as usize);
            for at in 0..calls {
                results.push(call(at).await?);
            }
            rustyray::get_all(&results).await.map(drop)
        })
        .await
}

async fn one_to_n(bencher: &mut Bencher<'_>) -> Result<()> {
    let calls = bencher.scaled(5000);
    let mut servers = Vec::new();
    for _ in 0..half_of_the_cores() {
        servers.push(Server::remote().await?);
    }
    let made = u64::from(calls) * servers.len() as u64;
    let client = Client::remote(servers).await?;
    bencher
        .measure(Work { counts: made as f64, calls: made + 1 }, async || {
            client.small_value_batch(calls).await?.get().await.map(drop)
        })
        .await
}

async fn one_to_n_async(bencher: &mut Bencher<'_>) -> Result<()> {
    let calls = bencher.scaled(5000);
    let mut servers = Vec::new();
    for _ in 0..half_of_the_cores() {
        servers.push(AsyncServer::remote().await?);
    }
    let made = u64::from(calls) * servers.len() as u64;
    let client = AsyncClient::remote(servers).await?;
    bencher
        .measure(Work { counts: made as f64, calls: made + 1 }, async || {
            client.small_value_batch(calls).await?.get().await.map(drop)
        })
        .await
}

async fn n_to_n(bencher: &mut Bencher<'_>) -> Result<()> {
    let calls = bencher.scaled(5000);
    let mut servers = Vec::new();
    for _ in 0..half_of_the_cores() {
        servers.push(Server::remote().await?);
    }
    let work = Work { counts: 4.0 * f64::from(calls), calls: 4 * u64::from(calls) + 4 };
    bencher
        .measure(work, async || {
            let mut tasks = Vec::with_capacity(4);
            for _ in 0..4 {
                tasks.push(work_remote::remote(&servers, calls).await?);
            }
            rustyray::get_all(&tasks).await.map(drop)
        })
        .await
}

async fn n_to_n_async(bencher: &mut Bencher<'_>) -> Result<()> {
    let calls = bencher.scaled(5000);
    let mut servers = Vec::new();
    for _ in 0..half_of_the_cores() {
        servers.push(AsyncServer::remote().await?);
    }
    let work = Work { counts: 4.0 * f64::from(calls), calls: 4 * u64::from(calls) + 4 };
    bencher
        .measure(work, async || {
            let mut tasks = Vec::with_capacity(4);
            for _ in 0..4 {
                tasks.push(work_async_remote::remote(&servers, calls).await?);
            }
            rustyray::get_all(&tasks).await.map(drop)
        })
        .await
}

async fn n_to_n_with_argument(bencher: &mut Bencher<'_>) -> Result<()> {
    let calls = bencher.scaled(1000);
    let mut clients = Vec::new();
    for _ in 0..half_of_the_cores() {
        clients.push(Client::remote(vec![Server::remote().await?]).await?);
    }
    let made = u64::from(calls) * clients.len() as u64;
    bencher
        .measure(Work { counts: made as f64, calls: made + clients.len() as u64 }, async || {
            let mut batches = Vec::with_capacity(clients.len());
            for client in &clients {
                batches.push(client.small_value_batch_arg(calls).await?);
            }
            rustyray::get_all(&batches).await.map(drop)
        })
        .await
}

// --- resources -------------------------------------------------------------------------------------------

async fn placement_groups(bencher: &mut Bencher<'_>) -> Result<()> {
    let groups = bencher.scaled(100);
    bencher
        .measure(Work { counts: groups.into(), calls: 0 }, async || {
            let mut made = Vec::with_capacity(groups as usize);
            for _ in 0..groups {
                let bundles = [Bundle::new().resource("custom", 0.001)];
                made.push(PlacementGroup::create(bundles, PlacementStrategy::Pack).await?);
            }
            for group in &made {
                assert!(group.wait(Duration::from_secs(30)).await?, "there is enough for all");
            }
            for group in &made {
                group.remove().await?;
            }
            Ok(())
        })
        .await
}
