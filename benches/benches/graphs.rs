//! What do dependencies cost: chains, fans out and in, trees?
//!
//! Every task takes the results of others as arguments and is submitted before they are there, so the node
//! starts it when the last of them is sealed. The figures are for each task. A fan in is a task whose
//! arguments are two results, in a tree, since a function has as many parameters as it has; a fan out is a
//! thousand tasks that wait for one result.
//!
//! It does not show graphs whose tasks do something: then these costs are what is lost.

use criterion::{Criterion, Throughput, criterion_group};
use rustyray::prelude::*;
use rustyray_benches::{wait, with_runtime};

#[rustyray::remote]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

const TASKS: usize = 1000;

fn graphs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("graphs");
    group.throughput(Throughput::Elements(TASKS as u64)).sample_size(20);
    group.bench_function("chain of 1000", |bencher| {
        bencher.iter(|| {
            let end = wait(async {
                let mut last = add_remote::remote(0, 1).await?;
                for _ in 1..TASKS {
                    last = add_remote::remote(last, 1).await?;
                }
                last.get().await
            });
            assert_eq!(end, TASKS as i64);
        });
    });
    group.bench_function("fan out to 1000", |bencher| {
        bencher.iter(|| {
            let sum: i64 = wait(async {
                let first = add_remote::remote(0, 1).await?;
                let mut rest = Vec::with_capacity(TASKS);
                for at in 0..TASKS as i64 {
                    rest.push(add_remote::remote(&first, at).await?);
                }
                Ok(rustyray::get_all(&rest).await?.iter().sum())
            });
            assert_eq!(sum, (1..=TASKS as i64).sum::<i64>());
        });
    });
    group.bench_function("tree in of 1024", |bencher| {
        bencher.iter(|| {
            let sum = wait(async {
                let mut level: Vec<ObjectRef<i64>> = Vec::with_capacity(512);
                for at in 0..512_i64 {
                    level.push(add_remote::remote(at, at).await?);
                }
                while level.len() > 1 {
                    let mut next = Vec::with_capacity(level.len() / 2);
                    for pair in level.chunks(2) {
                        next.push(add_remote::remote(&pair[0], &pair[1]).await?);
                    }
                    level = next;
                }
                level[0].get().await
            });
            assert_eq!(sum, 511 * 512);
        });
    });
    group.finish();
}

criterion_group!(benches, graphs);

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
}
