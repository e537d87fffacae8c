//! How long does it take to start a runtime, to have a first result from it, and to end it?
//!
//! Start to first result is what a program pays before its first task is done; the floor beside it is the
//! start and end of a process that does nothing, of which a runtime starts one for each core.
//!
//! It does not show the start of a program itself, nor that of a node in another process.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group};

#[rustyray::remote]
fn one() -> i64 {
    1
}

fn lifetime(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("runtime");
    group.sample_size(20);
    let phases = || {
        let started = Instant::now();
        rustyray::blocking::init().expect("it starts");
        let running = Instant::now();
        let result = rustyray::block_on(async { one_remote::remote().await?.get().await });
        assert_eq!(result.expect("it runs"), 1);
        let first = Instant::now();
        rustyray::blocking::shutdown().expect("it ends");
        let ended = Instant::now();
        [running - started, first - started, ended - first]
    };
    for (at, what) in ["start", "start to first result", "stop"].into_iter().enumerate() {
        group.bench_function(what, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| phases()[at]).sum::<Duration>());
        });
    }
    group.bench_function("floor: start and end of a process", |bencher| {
        bencher.iter(|| {
            let ended = Command::new("/bin/true").status().expect("it starts");
            assert!(ended.success());
        });
    });
    group.finish();
}

criterion_group!(benches, lifetime);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
