//! How long does it take from a result that is sealed to the one who waits for it?
//!
//! The worker takes the time just before it returns; the driver takes it when `get` has returned. *Awake*:
//! the result comes at once, while the driver still looks. *Asleep*: it comes after 20 ms, when the driver
//! sleeps in the kernel. Each on a quiet machine, and while as many threads as there are cores do nothing
//! but spin, which is where spinning for the result would be the worst one can do.
//!
//! It does not show what starting the task cost, and the time of serialising two words is in it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use criterion::{Criterion, criterion_group};
use rustyray::Builder;
use rustyray_benches::{wait, with_runtime_of};

/// The time that all processes of the machine agree on, in nanoseconds.
fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

#[rustyray::remote]
fn seal_after(ms: u64) -> u64 {
    thread::sleep(Duration::from_millis(ms));
    now_ns()
}

fn latency(ms: u64) -> Duration {
    let sealed_ns = wait(async { seal_after_remote::remote(ms).await?.get().await });
    // A clock that was set back meanwhile shows nothing.
    Duration::from_nanos(now_ns().saturating_sub(sealed_ns))
}

fn both(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    for (what, ms) in [("awake", 0), ("asleep", 20)] {
        group.bench_function(what, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| latency(ms)).sum());
        });
    }
    group.finish();
}

fn quiet(criterion: &mut Criterion) {
    both(criterion, "seal to wake, quiet");
}

fn crowded(criterion: &mut Criterion) {
    let over = AtomicBool::new(false);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        both(criterion, "seal to wake, all cores busy");
        over.store(true, Ordering::Relaxed);
    });
}

criterion_group!(benches, quiet, crowded);

fn main() {
    // No memory is made ready meanwhile: that is not the question.
    with_runtime_of(Builder::new().object_store_reserve(0), benches);
    Criterion::default().configure_from_args().final_summary();
}
