//! What does it cost to get a small object that is there?
//!
//! Beside it stand what it consists of at least, in one process: a look-up in a `HashMap` and a copy of its bytes.
//! pyarrow's plasma, on the machine whose figures `ray-suite.md` gives, made 6,556 small gets a second, one in
//! 153 µs; Ray 2.60 made 1,831, one in 546 µs.
//!
//! Everything is in the processor's caches. It does not show what it costs to wait for an object that another
//! process makes (see `wakes`), nor what the first look at one costs, which checks its bytes.

use std::{collections::HashMap, hint::black_box};

use criterion::{Criterion, criterion_group};
use rustyray::ObjectRef;
use rustyray_benches::with_runtime;

fn get(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get of a small object");
    let number = rustyray::blocking::put(&7_u64).expect("there is room");
    group.bench_function("a number", |bencher| {
        bencher.iter(|| black_box(number.get_blocking().expect("it is there")));
    });
    group.bench_function("a number, awaited", |bencher| {
        bencher.iter(|| rustyray::block_on(async { (&number).await }).expect("it is there"));
    });
    let text = "a text of some thirty bytes...".to_owned();
    let stored = rustyray::blocking::put(&text).expect("there is room");
    group.bench_function("a text of 30 B", |bencher| {
        bencher.iter(|| black_box(stored.get_blocking().expect("it is there")));
    });
    group.bench_function("clone and drop a reference", |bencher| {
        bencher.iter(|| black_box(number.clone()));
    });
    let map: HashMap<u64, u64> = (0..1000).map(|key| (key, key)).collect();
    group.bench_function("floor: look up in a HashMap", |bencher| {
        bencher.iter(|| black_box(map.get(black_box(&7))));
    });
    group.bench_function("floor: copy a text of 30 B", |bencher| {
        bencher.iter(|| black_box(text.clone()));
    });
    group.finish();
}

fn many(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10,000 references");
    let references: Vec<ObjectRef<u64>> =
        (0..10_000).map(|at| rustyray::blocking::put(&at).expect("there is room")).collect();
    let container = rustyray::blocking::put(&references).expect("there is room");
    group.bench_function("get the object that holds them", |bencher| {
        bencher.iter(|| black_box(container.get_blocking().expect("it is there")));
    });
    group.bench_function("clone and drop them", |bencher| {
        bencher.iter(|| black_box(references.clone()));
    });
    group.bench_function("wait for each of 1000, given away", |bencher| {
        bencher.iter(|| {
            let mut left = references[..1000].to_vec();
            while !left.is_empty() {
                (_, left) = rustyray::blocking::wait(left, 1, None).expect("they are there");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, get, many);

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
}
