//! What runs in other processes: the functions and actors of Ray's suite. Each counts itself and returns the
//! bytes `ok`, unless the row is about what it returns.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use rustyray::{
    manual::{self, Function, Plain},
    prelude::*,
};

use super::tally;

fn ok() -> Vec<u8> {
    tally::count();
    b"ok".to_vec()
}

#[rustyray::remote]
pub(super) fn small_value() -> Vec<u8> {
    ok()
}

/// Submits `calls` tasks and gets them.
pub(super) async fn small_values(calls: usize) -> rustyray::Result<()> {
    let mut results: Vec<ObjectRef<Vec<u8>>> = Vec::with_capacity(calls);
    for _ in 0..calls {
        results.push(small_value_remote::remote().await?);
    }
    rustyray::get_all(&results).await.map(drop)
}

#[rustyray::remote]
pub(super) async fn do_put_small(puts: u32) -> rustyray::Result<Vec<u8>> {
    for _ in 0..puts {
        rustyray::put(&0_i64).await?;
    }
    Ok(ok())
}

#[rustyray::remote]
pub(super) async fn do_put(puts: u32, len: u64) -> rustyray::Result<Vec<u8>> {
    for _ in 0..puts {
        rustyray::put(&vec![0_i64; len as usize]).await?;
    }
    Ok(ok())
}

#[rustyray::remote]
pub(super) async fn create_object_containing_ref(
    references: u32,
) -> rustyray::Result<Vec<ObjectRef<i64>>> {
    tally::count();
    let mut made = Vec::with_capacity(references as usize);
    for _ in 0..references {
        made.push(rustyray::put(&1_i64).await?);
    }
    Ok(made)
}

/// Reads what the driver has put, in another process.
#[rustyray::remote]
pub(super) fn read_integer(value: i64) -> i64 {
    tally::count();
    value
}

/// Reads the first and the last word of what the driver has put, in another process.
#[rustyray::remote]
pub(super) fn read_ends(values: View<Vec<i64>>) -> (i64, i64) {
    tally::count();
    let ends = values.first().zip(values.last());
    ends.map_or((-1, -1), |(first, last)| (*first, *last))
}

/// `ray.remote` class `Actor` of the suite.
#[rustyray::actor]
pub(super) struct Server;

#[rustyray::actor_methods]
impl Server {
    pub fn new() -> Self {
        Server
    }

    pub fn small_value(&self) -> Vec<u8> {
        ok()
    }

    pub fn small_value_arg(&self, _x: i64) -> Vec<u8> {
        ok()
    }

    pub async fn small_value_batch(&self, calls: u32) -> rustyray::Result<Vec<u8>> {
        small_values(calls as usize).await?;
        Ok(ok())
    }
}

/// Class `AsyncActor` of the suite.
#[rustyray::actor]
pub(super) struct AsyncServer;

#[rustyray::actor_methods]
impl AsyncServer {
    pub fn new() -> Self {
        AsyncServer
    }

    pub async fn small_value(&self) -> Vec<u8> {
        ok()
    }

    pub async fn small_value_with_arg(&self, _x: i64) -> Vec<u8> {
        ok()
    }
}

/// Calls each server `calls` times and gets all results.
async fn call_each<S>(
    servers: &[S],
    calls: u32,
    call: impl AsyncFn(&S) -> rustyray::Result<ObjectRef<Vec<u8>>>,
) -> rustyray::Result<Vec<u8>> {
    let mut results = Vec::with_capacity(servers.len() * calls as usize);
    for server in servers {
        for _ in 0..calls {
            results.push(call(server).await?);
        }
    }
    rustyray::get_all(&results).await?;
    Ok(ok())
}

/// Makes `calls` calls, to the servers in turn, and gets all results.
async fn call_in_turn<S>(
    servers: &[S],
    calls: u32,
    call: impl AsyncFn(&S) -> rustyray::Result<ObjectRef<Vec<u8>>>,
) -> rustyray::Result<Vec<u8>> {
    let mut results = Vec::with_capacity(calls as usize);
    for server in servers.iter().cycle().take(calls as usize) {
        results.push(call(server).await?);
    }
    rustyray::get_all(&results).await?;
    Ok(ok())
}

/// Class `Client` of the suite: calls servers from a process of its own.
#[rustyray::actor]
pub(super) struct Client {
    servers: Vec<ServerHandle>,
}

#[rustyray::actor_methods]
impl Client {
    pub fn new(servers: Vec<ServerHandle>) -> Self {
        Client { servers }
    }

    pub async fn small_value_batch(&self, calls: u32) -> rustyray::Result<Vec<u8>> {
        call_each(&self.servers, calls, async |server| server.small_value().await).await
    }

    pub async fn small_value_batch_arg(&self, calls: u32) -> rustyray::Result<Vec<u8>> {
        let x = rustyray::put(&0_i64).await?;
        call_each(&self.servers, calls, async |server| server.small_value_arg(&x).await).await
    }
}

/// The same for the servers of async methods.
#[rustyray::actor]
pub(super) struct AsyncClient {
    servers: Vec<AsyncServerHandle>,
}

#[rustyray::actor_methods]
impl AsyncClient {
    pub fn new(servers: Vec<AsyncServerHandle>) -> Self {
        AsyncClient { servers }
    }

    pub async fn small_value_batch(&self, calls: u32) -> rustyray::Result<Vec<u8>> {
        call_each(&self.servers, calls, async |server| server.small_value().await).await
    }
}

/// A task that calls servers in turn.
#[rustyray::remote]
pub(super) async fn work(servers: Vec<ServerHandle>, calls: u32) -> rustyray::Result<Vec<u8>> {
    call_in_turn(&servers, calls, async |server| server.small_value().await).await
}

/// The same for the servers of async methods.
#[rustyray::remote]
pub(super) async fn work_async(
    servers: Vec<AsyncServerHandle>,
    calls: u32,
) -> rustyray::Result<Vec<u8>> {
    call_in_turn(&servers, calls, async |server| server.small_value().await).await
}

// --- the limits of one node ------------------------------------------------------------------------------

/// Takes any number of integers, each an argument of its own, and adds them.
#[manual::linkme::distributed_slice(manual::FUNCTIONS)]
#[linkme(crate = rustyray::manual::linkme)]
static SUM_OF_ARGUMENTS: Function = Function::new(
    concat!(module_path!(), "::sum_of_arguments"),
    concat!(file!(), ":", line!()),
    |call| {
        tally::count();
        let how_many: u64 = call.arg("how_many")?;
        let mut sum = 0;
        for _ in 0..how_many {
            sum += call.arg::<i64, _>("value")?;
        }
        call.finish(Plain(sum))
    },
);

/// The sum of what the references refer to, each passed as an argument.
pub(super) async fn sum_of_arguments(
    values: &[ObjectRef<i64>],
) -> rustyray::Result<ObjectRef<i64>> {
    manual::submit(&SUM_OF_ARGUMENTS, &manual::TaskOptions::new(), |arguments| {
        arguments.push::<u64, _>("how_many", values.len() as u64)?;
        values.iter().try_for_each(|value| arguments.push::<i64, _>("value", value))
    })
    .await
}

/// Returns as many objects as the call asks for.
#[rustyray::remote(num_returns = 3000)]
pub(super) fn many(objects: i64) -> Vec<i64> {
    tally::count();
    (0..objects).collect()
}

/// Occupies its worker until the gate is open.
#[rustyray::remote]
pub(super) fn wait_at_the_gate() -> Vec<u8> {
    tally::hold();
    ok()
}

/// Reads an object of plain bytes in place: one byte of each page.
#[rustyray::remote]
pub(super) fn sum_of_pages(bytes: View<Bytes>) -> u64 {
    tally::count();
    bytes.iter().step_by(4096).map(|&byte| u64::from(byte)).sum()
}
