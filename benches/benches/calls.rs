//! What does it cost to run something in another process and have its result?
//!
//! Every task and call crosses to a worker process and back; results are the two bytes `ok`. One at a time
//! it is the time of a round trip, a thousand at a time the throughput of one submitter. It does not show
//! what many submitters reach together.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use criterion::{Criterion, Throughput, criterion_group};
use rustyray::prelude::*;
use rustyray_benches::{wait, with_runtime};

#[rustyray::remote]
fn ok() -> Vec<u8> {
    b"ok".to_vec()
}

#[rustyray::actor]
struct Answerer;

#[rustyray::actor_methods]
impl Answerer {
    pub fn new() -> Self {
        Answerer
    }

    pub fn ok(&self) -> Vec<u8> {
        b"ok".to_vec()
    }

    pub async fn ok_later(&self) -> Vec<u8> {
        b"ok".to_vec()
    }
}

const BATCH: usize = 1000;

fn tasks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tasks");
    group.bench_function("one, and its result", |bencher| {
        bencher.iter(|| wait(async { ok_remote::remote().await?.get().await }));
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("1000, and their results", |bencher| {
        bencher.iter(|| {
            wait(async {
                let mut results: Vec<ObjectRef<Vec<u8>>> = Vec::with_capacity(BATCH);
                for _ in 0..BATCH {
                    results.push(ok_remote::remote().await?);
                }
                rustyray::get_all(&results).await
            })
        });
    });
    group.finish();
}

fn actor_calls(criterion: &mut Criterion) {
    let actor = wait(Answerer::remote());
    let mut group = criterion.benchmark_group("actor calls");
    group.bench_function("one, and its result", |bencher| {
        bencher.iter(|| wait(async { actor.ok().await?.get().await }));
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("1000, and their results", |bencher| {
        bencher.iter(|| {
            wait(async {
                let mut results = Vec::with_capacity(BATCH);
                for _ in 0..BATCH {
                    results.push(actor.ok().await?);
                }
                rustyray::get_all(&results).await
            })
        });
    });
    group.bench_function("1000 of an async method", |bencher| {
        bencher.iter(|| {
            wait(async {
                let mut results = Vec::with_capacity(BATCH);
                for _ in 0..BATCH {
                    results.push(actor.ok_later().await?);
                }
                rustyray::get_all(&results).await
            })
        });
    });
    group.finish();
}

criterion_group!(benches, tasks, actor_calls);

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
}
