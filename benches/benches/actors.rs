//! What do calls between actors cost, where the driver has no part in them?
//!
//! *Ping-pong*: one actor calls another and waits for its answer, a hundred times; the figure is for one
//! call there and back, between two worker processes. *n:n*: as many clients as servers, each client with a
//! thousand calls under way; the figure is for one call.
//!
//! It does not show calls from the driver (`calls` does).

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use rustyray_benches::{wait, with_runtime};

#[rustyray::actor]
struct Server;

#[rustyray::actor_methods]
impl Server {
    pub fn new() -> Self {
        Server
    }

    pub fn ok(&self) -> Vec<u8> {
        b"ok".to_vec()
    }
}

#[rustyray::actor]
struct Client {
    server: ServerHandle,
}

#[rustyray::actor_methods]
impl Client {
    pub fn new(server: ServerHandle) -> Self {
        Client { server }
    }

    pub async fn rally(&self, calls: u32) -> rustyray::Result<u32> {
        for _ in 0..calls {
            self.server.ok().await?.get().await?;
        }
        Ok(calls)
    }

    pub async fn batch(&self, calls: u32) -> rustyray::Result<u32> {
        let mut results = Vec::with_capacity(calls as usize);
        for _ in 0..calls {
            results.push(self.server.ok().await?);
        }
        Ok(rustyray::get_all(&results).await?.len() as u32)
    }
}

fn client() -> ClientHandle {
    wait(async { Client::remote(Server::remote().await?).await })
}

fn ping_pong(criterion: &mut Criterion) {
    const CALLS: u32 = 100;
    let client = client();
    criterion.bench_function("actor to actor, ping-pong", |bencher| {
        bencher.iter_custom(|times| {
            let start = Instant::now();
            for _ in 0..times {
                assert_eq!(wait(async { client.rally(CALLS).await?.get().await }), CALLS);
            }
            start.elapsed() / CALLS
        });
    });
}

fn n_to_n(criterion: &mut Criterion) {
    const CALLS: u32 = 1000;
    let mut group = criterion.benchmark_group("actor to actor, pipelined");
    for pairs in [1, 2, 4_u32] {
        let clients: Vec<_> = (0..pairs).map(|_| client()).collect();
        group.bench_function(format!("{pairs}:{pairs}"), |bencher| {
            bencher.iter_custom(|times| {
                let mut all = Duration::ZERO;
                for _ in 0..times {
                    let start = Instant::now();
                    wait(async {
                        let mut batches = Vec::with_capacity(clients.len());
                        for client in &clients {
                            batches.push(client.batch(CALLS).await?);
                        }
                        rustyray::get_all(&batches).await
                    });
                    all += start.elapsed();
                }
                all / (CALLS * pairs)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ping_pong, n_to_n);

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
}
