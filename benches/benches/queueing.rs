//! What does it cost to submit a task, and to dispatch one that is queued?
//!
//! *Submit*: the time of `remote()` alone, in batches that are got afterwards, outside the time. *Dispatch*:
//! tasks that were queued while every worker was occupied, from the moment at which the workers are free to
//! the last result, for each task; so what is measured is dispatching, running nothing, and sealing.
//!
//! It does not show the way back of single results (`calls` does), nor submitting from other processes.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group};
use rustyray::prelude::*;
use rustyray_benches::{wait, with_runtime};

#[rustyray::remote]
fn nothing() {}

#[rustyray::remote]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Occupies its worker while the file exists; makes a file of its own to say so.
#[rustyray::remote]
fn occupy(gate: String, name: u32) {
    let _ = fs::write(format!("{gate}-{name}"), []);
    while Path::new(&gate).exists() {
        thread::sleep(Duration::from_micros(100));
    }
}

/// Keeps every worker occupied while it is closed.
struct Gate {
    path: PathBuf,
    occupied: Vec<ObjectRef<()>>,
}

impl Gate {
    fn close() -> Gate {
        let path = std::env::temp_dir().join(format!("rustyray-bench-gate-{}", std::process::id()));
        fs::write(&path, []).expect("the temporary directory can be written");
        let workers = thread::available_parallelism().map_or(1, usize::from) as u32;
        let gate = path.to_string_lossy().into_owned();
        let occupied: Vec<_> =
            (0..workers).map(|name| wait(occupy_remote::remote(gate.as_str(), name))).collect();
        for name in 0..workers {
            let there = PathBuf::from(format!("{gate}-{name}"));
            while !there.exists() {
                thread::sleep(Duration::from_micros(100));
            }
            fs::remove_file(there).expect("it exists");
        }
        Gate { path, occupied }
    }

    fn open(&self) {
        fs::remove_file(&self.path).expect("the gate was closed");
    }

    fn wait(self) {
        wait(async { rustyray::get_all(&self.occupied).await });
    }
}

fn submit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("submit");
    group.bench_function("without arguments", |bencher| {
        bencher.iter_custom(|times| {
            let mut results = Vec::with_capacity(times as usize);
            let start = Instant::now();
            wait(async {
                for _ in 0..times {
                    results.push(nothing_remote::remote().await?);
                }
                Ok(())
            });
            let elapsed = start.elapsed();
            wait(async { rustyray::get_all(&results).await });
            elapsed
        });
    });
    group.bench_function("with two values", |bencher| {
        bencher.iter_custom(|times| {
            let mut results = Vec::with_capacity(times as usize);
            let start = Instant::now();
            wait(async {
                for at in 0..times as i64 {
                    results.push(add_remote::remote(at, 1).await?);
                }
                Ok(())
            });
            let elapsed = start.elapsed();
            wait(async { rustyray::get_all(&results).await });
            elapsed
        });
    });
    group.bench_function("with two references", |bencher| {
        let (a, b) =
            wait(async { Ok((rustyray::put(&1_i64).await?, rustyray::put(&2_i64).await?)) });
        bencher.iter_custom(|times| {
            let mut results = Vec::with_capacity(times as usize);
            let start = Instant::now();
            wait(async {
                for _ in 0..times {
                    results.push(add_remote::remote(&a, &b).await?);
                }
                Ok(())
            });
            let elapsed = start.elapsed();
            wait(async { rustyray::get_all(&results).await });
            elapsed
        });
    });
    group.finish();
}

fn dispatch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    group.sample_size(10);
    for queued in [1_000_u32, 10_000, 100_000] {
        group.bench_function(format!("each of {queued} queued tasks"), |bencher| {
            bencher.iter_custom(|times| {
                let mut all = Duration::ZERO;
                for _ in 0..times {
                    let gate = Gate::close();
                    let mut results = Vec::with_capacity(queued as usize);
                    wait(async {
                        for _ in 0..queued {
                            results.push(nothing_remote::remote().await?);
                        }
                        Ok(())
                    });
                    let start = Instant::now();
                    gate.open();
                    wait(async { rustyray::get_all(&results).await });
                    all += start.elapsed();
                    gate.wait();
                }
                all / queued
            });
        });
    }
    group.finish();
}

criterion_group!(benches, submit, dispatch);

fn main() {
    with_runtime(benches);
    Criterion::default().configure_from_args().final_summary();
}
