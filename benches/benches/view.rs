//! What does a view save over an owned copy, by the size of the value?
//!
//! A view costs the same whatever it is of; an owned value costs a copy, beside which stands a copy of as many
//! bytes between warm pages. Both read one number of the value, so that it does not show what reading all of it
//! costs, which is the same for both; nor the first view of an object in a process, which checks its bytes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use rustyray_benches::with_runtime;

fn view(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a vector of f64");
    for len in [1, 128, 16 << 10, 2 << 20_usize] {
        let numbers: Vec<f64> = (0..len).map(|at| at as f64).collect();
        let stored = rustyray::blocking::put(&numbers).expect("there is room");
        let bytes = len * size_of::<f64>();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_with_input(BenchmarkId::new("view", bytes), &stored, |bencher, stored| {
            bencher.iter(|| {
                let view = stored.view_blocking().expect("it is there");
                black_box(view.as_slice()[len / 2])
            });
        });
        group.bench_with_input(BenchmarkId::new("owned", bytes), &stored, |bencher, stored| {
            bencher.iter(|| black_box(stored.get_blocking().expect("it is there")[len / 2]));
        });
        let mut copy = numbers.clone();
        group.bench_with_input(BenchmarkId::new("floor: memcpy", bytes), &numbers, |bencher, n| {
            bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(n)));
        });
    }
    group.finish();
}

fn bytes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("64 KiB of bytes");
    let data = vec![7_u8; 64 << 10];
    let stored = rustyray::block_on(rustyray::put_bytes(&data)).expect("there is room");
    group.bench_function("view as Bytes", |bencher| {
        bencher.iter(|| black_box(stored.view_blocking().expect("it is there").bytes()));
    });
    group.bench_function("floor: clone a Bytes", |bencher| {
        let bytes = rustyray::Bytes::from(data.clone());
        bencher.iter(|| black_box(bytes.clone()));
    });
    group.finish();
}

criterion_group!(benches, view, bytes);

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
}
