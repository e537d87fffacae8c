//! What do the macros cost at run time, against the same code written by hand?
//!
//! Nothing is expected: they expand to what one writes by hand. Each pair is a task, or an actor's call, there
//! and back, and a thousand of them under way; by macro and by hand take turns, since the machine changes more
//! from one minute to the next than they differ. How much shorter the code is, `tests/claims.rs` counts; how
//! many instructions a call takes in the caller, `benches/src/bin/claims.rs` lets valgrind count.

#![allow(unreachable_pub, missing_debug_implementations)] // the sources are examples

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use rustyray::{ObjectRef, Result};
use rustyray_benches::{wait, with_runtime};

#[path = "../claims/counter.rs"]
mod counter;
#[path = "../claims/counter_by_hand.rs"]
mod counter_by_hand;
#[path = "../claims/task.rs"]
mod task;
#[path = "../claims/task_by_hand.rs"]
mod task_by_hand;

/// One kind of call in both ways.
type Call<'a> = Box<dyn Fn() -> ObjectRef<i64> + 'a>;

fn now<F: Future<Output = Result<ObjectRef<i64>>>>(call: F) -> ObjectRef<i64> {
    wait(call)
}

/// The time that `calls` calls take, one after the other or all under way at once.
fn timed(call: &Call<'_>, calls: u64, together: bool) -> Duration {
    let started = Instant::now();
    if together {
        let results: Vec<_> = (0..calls).map(|_| call()).collect();
        wait(rustyray::get_all(&results));
    } else {
        (0..calls).for_each(|_| _ = std::hint::black_box(wait(call().get())));
    }
    started.elapsed()
}

fn claims(c: &mut Criterion) {
    with_runtime(|| {
        let by_macro = wait(counter::Counter::remote(0));
        let by_hand = wait(counter_by_hand::Counter::remote(0));
        let pairs: [(&str, Call<'_>, Call<'_>); 2] = [
            (
                "task",
                Box::new(|| now(task::add_remote::remote(1, 2))),
                Box::new(|| now(task_by_hand::remote_add(1, 2))),
            ),
            ("call", Box::new(|| now(by_macro.value())), Box::new(|| now(by_hand.value()))),
        ];
        for (name, by_macro, by_hand) in &pairs {
            for together in [false, true] {
                let how = if together { "under way together" } else { "there and back" };
                let mut group = c.benchmark_group(format!("{name}, {how}"));
                for (way, ours, other) in
                    [("by macro", by_macro, by_hand), ("by hand", by_hand, by_macro)]
                {
                    group.bench_function(way, |bencher| {
                        bencher.iter_custom(|calls| {
                            // The other way first, so that both find the machine as the other leaves it.
                            timed(other, calls, together);
                            timed(ours, calls, together)
                        });
                    });
                }
                group.finish();
            }
        }
    });
}

criterion_group!(benches, claims);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
