//! What does it cost to put and get objects in the process that owns the node?
//!
//! Each figure stands beside a floor from one process: an insert into a `HashMap` for the small put, a copy
//! into memory that was touched before for the large one. It does not show what it costs to wait for
//! another process; see `calls`.

use std::{collections::HashMap, hint::black_box};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use rustyray_benches::with_runtime;

fn small(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("small object");
    let object = rustyray::blocking::put(&0_u64).expect("there is room");
    group.bench_function("get", |bencher| {
        bencher.iter(|| black_box(object.get_blocking().expect("it is there")));
    });
    group.bench_function("view", |bencher| {
        bencher.iter(|| black_box(*object.view_blocking().expect("it is there")));
    });
    group.bench_function("put and drop", |bencher| {
        bencher.iter(|| rustyray::blocking::put(black_box(&0_u64)).expect("there is room"));
    });
    let mut map = HashMap::new();
    let mut key = 0_u64;
    group.bench_function("floor: insert into and remove from a HashMap", |bencher| {
        bencher.iter(|| {
            key += 1;
            map.insert(key, Box::new(0_u64));
            black_box(map.remove(&key))
        });
    });
    group.finish();
}

fn large(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put by size, warm");
    for len in [1 << 10, 64 << 10, 1 << 20, 64 << 20_usize] {
        let bytes = vec![7_u8; len];
        let mut floor = vec![1_u8; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_with_input(BenchmarkId::new("put_bytes", len), &bytes, |bencher, bytes| {
            bencher.iter(|| rustyray::block_on(rustyray::put_bytes(bytes)).expect("there is room"));
        });
        group.bench_with_input(BenchmarkId::new("floor: memcpy", len), &bytes, |bencher, bytes| {
            bencher.iter(|| black_box(&mut floor).copy_from_slice(black_box(bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, small, large);

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
}
