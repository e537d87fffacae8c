//! What does it cost to put an object, by its size, into warm memory and into cold?
//!
//! *Warm* is what follows another object of that size that was let go of: its pages come again. *Cold* is an object
//! that finds none: the first of its size in a new store. Beside each stands a copy of as many bytes between warm
//! pages, taken in turns with the puts, so that a busy machine slows both; the ratio is that of the medians. Beside
//! the small ones stands an insert into a `HashMap` of one process.
//!
//! pyarrow's plasma, on the machine whose figures `ray-suite.md` gives: 2,905 small creates and seals a second,
//! one in 344 µs; 800 MB into warm pages at 9.2 GB/s.
//!
//! All in the process of the node, and one at a time. It does not show what contention costs, nor that a worker's
//! put of a large object asks the node for memory, which is a message.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use rustyray_benches::with_runtime;

fn small(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put and drop a small object");
    group.bench_function("a number", |bencher| {
        bencher.iter(|| rustyray::blocking::put(black_box(&0_u64)).expect("there is room"));
    });
    for len in [8, 64, 1 << 10, 16 << 10, 128 << 10_usize] {
        let bytes = vec![7_u8; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_with_input(BenchmarkId::new("bytes", len), &bytes, |bencher, bytes| {
            bencher.iter(|| rustyray::block_on(rustyray::put_bytes(bytes)).expect("there is room"));
        });
        let mut copy = bytes.clone();
        group.bench_with_input(BenchmarkId::new("floor: memcpy", len), &bytes, |bencher, bytes| {
            bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(bytes)));
        });
    }
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

criterion_group!(benches, small);

fn timed(body: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    body();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Puts of `len` bytes and copies of as many in turns, in a store of their own.
fn pairs(len: usize) -> rustyray::Result<()> {
    // There is to be room for the object, for what it leaves, and for the pages of small ones; and a store as
    // large as most are has the largest blocks.
    let room = (3 * len as u64).max(2 << 30);
    let builder = rustyray::Builder::new().object_store_memory(room).object_store_reserve(0);
    rustyray::block_on(builder.start())?;
    let bytes = vec![7_u8; len];
    let mut copy = vec![1_u8; len];
    let put = || drop(rustyray::block_on(rustyray::put_bytes(&bytes)).expect("there is room"));
    let cold = timed(put);
    let turns = ((1_usize << 32) / len).clamp(7, 201);
    let (mut copies, mut puts) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        copies.push(timed(|| black_box(&mut copy).copy_from_slice(black_box(&bytes))));
        puts.push(timed(put));
    }
    let (copied, warm) = (median(copies), median(puts));
    let gigabytes = |time: Duration| len as f64 / time.as_nanos() as f64;
    println!(
        "{:>9} KiB  cold {:6.2} GB/s   warm {:6.2} GB/s   memcpy {:6.2} GB/s   warm put at {:.2} of memcpy",
        len >> 10,
        gigabytes(cold),
        gigabytes(warm),
        gigabytes(copied),
        copied.as_secs_f64() / warm.as_secs_f64()
    );
    rustyray::blocking::shutdown()
}

/// Bytes of memory that are free for what asks.
fn available_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<usize>().ok());
    kib.unwrap_or(0) << 10
}

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
    // `cargo test` runs benches with `--test`, to see that they work.
    let all = !std::env::args().any(|argument| argument == "--test");
    println!("\nputs and copies in turns, medians");
    for shift in (if all { 18..=30 } else { 18..=21 }).step_by(2) {
        let len = 1 << shift;
        if available_bytes() < 6 * len {
            println!("{:>9} KiB  skipped: there is not memory enough", len >> 10);
            continue;
        }
        pairs(len).unwrap_or_else(|error| panic!("{error}"));
    }
}
