//! Many arguments, many results, long chains, wide fans, deep recursion.
//!
//! The sizes are small enough for every day. `RUSTYRAY_SCALE=full` takes those that a node is to bear: chains
//! of 100,000, fans of 10,000, a million queued tasks.

use rustyray::{manual, prelude::*};

#[rustyray::remote]
fn one() -> u64 {
    1
}

#[rustyray::remote]
fn increment(value: u64) -> u64 {
    value + 1
}

#[rustyray::remote]
async fn sum(values: Vec<ObjectRef<u64>>) -> rustyray::Result<u64> {
    Ok(rustyray::get_all(&values).await?.iter().sum())
}

#[rustyray::remote(num_returns = 3000)]
fn many() -> Vec<u64> {
    (0..3_000).collect()
}

#[rustyray::remote(num_returns = 3)]
fn three(fail: bool) -> Result<(u64, String, Vec<u8>), String> {
    if fail { Err("all three".into()) } else { Ok((1, "two".into(), vec![3; 3])) }
}

#[rustyray::remote]
async fn fib(n: u64) -> rustyray::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let (left, right) = (fib_remote::remote(n - 1).await?, fib_remote::remote(n - 2).await?);
    Ok(left.get().await? + right.get().await?)
}

/// The same with calls that block their thread.
#[rustyray::remote]
fn fib_blocking(n: u64) -> rustyray::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let submit = |n| rustyray::block_on(fib_blocking_remote::remote(n));
    let (left, right) = (submit(n - 1)?, submit(n - 2)?);
    Ok(left.get_blocking()? + right.get_blocking()?)
}

/// Sorts by splitting off one element at a time: as deep as the list is long.
#[rustyray::remote]
fn deep_sort(mut values: Vec<u64>) -> rustyray::Result<Vec<u64>> {
    let Some(last) = values.pop() else { return Ok(values) };
    let sorted = rustyray::block_on(deep_sort_remote::remote(values))?;
    let mut sorted = sorted.get_blocking()?;
    sorted.insert(sorted.partition_point(|&value| value < last), last);
    Ok(sorted)
}

#[rustyray::remote]
async fn merge_sort(values: Vec<u64>) -> rustyray::Result<Vec<u64>> {
    if values.len() <= 8 {
        let mut values = values;
        values.sort_unstable();
        return Ok(values);
    }
    let (left, right) = values.split_at(values.len() / 2);
    let left = merge_sort_remote::remote(left.to_vec()).await?;
    let right = merge_sort_remote::remote(right.to_vec()).await?;
    let (left, right) = (left.get().await?, right.get().await?);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut merged = Vec::with_capacity(values.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        merged.push(if a <= b { left.next() } else { right.next() }.expect("it was peeked at"));
    }
    merged.extend(left.chain(right));
    Ok(merged)
}

#[rustyray::remote]
fn waits_for(path: String) -> u64 {
    while !std::path::Path::new(&path).exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    0
}

/// `full` when the scale asks for it, else `ordinary`.
fn scale(ordinary: u64, full: u64) -> u64 {
    if std::env::var("RUSTYRAY_SCALE").is_ok_and(|scale| scale == "full") { full } else { ordinary }
}

#[rustyray::test(num_cpus = 2)]
async fn a_chain_is_followed_to_its_end() -> rustyray::Result<()> {
    let len = scale(5_000, 100_000);
    let mut last = one_remote::remote().await?;
    for _ in 1..len {
        last = increment_remote::remote(last).await?;
    }
    assert_eq!(last.get().await?, len);
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_task_takes_ten_thousand_references() -> rustyray::Result<()> {
    let width = scale(2_000, 10_000);
    let mut values = Vec::new();
    for _ in 0..width {
        values.push(one_remote::remote().await?);
    }
    assert_eq!(sum_remote::remote(values).await?.get().await?, width);
    Ok(())
}

/// Takes any number of integers, each an argument of its own, and adds them.
#[manual::linkme::distributed_slice(manual::FUNCTIONS)]
#[linkme(crate = rustyray::manual::linkme)]
static SUM_OF_ARGUMENTS: manual::Function = manual::Function::new(
    "tasks_scale::sum_of_arguments",
    concat!(file!(), ":", line!()),
    |call| {
        let how_many: u64 = call.arg("how_many")?;
        let sum = (0..how_many).try_fold(0, |sum, _| Ok(sum + call.arg::<u64, _>("value")?));
        sum.and_then(|sum: u64| call.finish(manual::Plain(sum)))
    },
);

/// The sum of what these refer to, each passed as an argument.
async fn sum_of_arguments(values: &[ObjectRef<u64>]) -> rustyray::Result<ObjectRef<u64>> {
    manual::submit(&SUM_OF_ARGUMENTS, &manual::TaskOptions::new(), |arguments| {
        arguments.push::<u64, _>("how_many", values.len() as u64)?;
        values.iter().try_for_each(|value| arguments.push::<u64, _>("value", value))
    })
    .await
}

#[rustyray::test(num_cpus = 2)]
async fn a_task_depends_on_ten_thousand_arguments() -> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let root = waits_for_remote::remote(gate.to_string_lossy().into_owned()).await?;
    // None of them is there when the task is submitted, and some of them twice.
    let mut values = Vec::new();
    for _ in 0..10_000 {
        values.push(increment_remote::remote(&root).await?);
    }
    values.extend_from_within(..10);
    let sum = sum_of_arguments(&values).await?;
    std::fs::write(&gate, "").expect("the directory is there");
    assert_eq!(sum.get().await?, 10_010);
    // All of them are there.
    assert_eq!(sum_of_arguments(&values).await?.get().await?, 10_010);
    // One of them fails: the task fails with it, and says with which.
    let failing = fails_remote::remote().await?;
    values[5_000] = failing.clone();
    let error = sum_of_arguments(&values).await?.get().await.expect_err("one argument failed");
    let Error::DependencyFailed { dependency, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*dependency, failing.id().to_string());
    Ok(())
}

#[rustyray::remote(max_retries = 0)]
fn fails() -> Result<u64, String> {
    Err("it was to".into())
}

#[rustyray::test(num_cpus = 2)]
async fn one_object_goes_to_ten_thousand_tasks() -> rustyray::Result<()> {
    let width = scale(2_000, 10_000);
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let root = waits_for_remote::remote(gate.to_string_lossy().into_owned()).await?;
    let mut values = Vec::new();
    for _ in 0..width {
        values.push(increment_remote::remote(&root).await?);
    }
    std::fs::write(gate, "").expect("the directory is there");
    assert_eq!(rustyray::get_all(&values).await?, vec![1; width as usize]);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_task_returns_three_thousand_objects() -> rustyray::Result<()> {
    let many = many_remote::remote().await?;
    assert_eq!(rustyray::get_all(&many).await?, (0..3_000).collect::<Vec<_>>());
    let (one, two, three) = three_remote::remote(false).await?;
    assert_eq!(
        (one.get().await?, two.get().await?, three.get().await?),
        (1, "two".into(), vec![3; 3])
    );
    let (one, two, three) = three_remote::remote(true).await?;
    let errors = [one.get().await.err(), two.get().await.err(), three.get().await.err()];
    for error in errors {
        let Some(Error::TaskFailed { message, .. }) = error else { panic!("{error:?}") };
        assert_eq!(message, "all three");
    }
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn recursive_tasks_finish_on_one_cpu() -> rustyray::Result<()> {
    assert_eq!(fib_remote::remote(8).await?.get().await?, 21);
    assert_eq!(fib_blocking_remote::remote(8).await?.get().await?, 21);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn recursion_of_depth_a_hundred_finishes_on_one_cpu() -> rustyray::Result<()> {
    let values: Vec<u64> = (0..100).map(|n| n * 7_919 % 101).collect();
    let mut sorted = values.clone();
    sorted.sort_unstable();
    assert_eq!(deep_sort_remote::remote(values.clone()).await?.get().await?, sorted);
    assert_eq!(merge_sort_remote::remote(values).await?.get().await?, sorted);
    Ok(())
}

/// An object's place in the shared table: two cache lines.
const SLOT_BYTES: u64 = 128;

/// While the only cpu is taken, everything else is queued; then everything is done.
#[rustyray::test(num_cpus = 1)]
async fn a_million_tasks_are_queued() -> rustyray::Result<()> {
    let tasks = scale(20_000, 1_000_000);
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let first = waits_for_remote::remote(gate.to_string_lossy().into_owned()).await?;
    let before = resident_bytes();
    let mut values = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        values.push(one_remote::remote().await?);
    }
    // What it takes here, and its result's slot in the shared table.
    let each = resident_bytes().saturating_sub(before) / tasks + SLOT_BYTES;
    println!("{tasks} queued tasks, {each} bytes each");
    std::fs::write(gate, "").expect("the directory is there");
    assert_eq!(first.get().await?, 0);
    for value in &values {
        assert_eq!(value.get().await?, 1);
    }
    if tasks == 1_000_000 {
        assert!(each < 512 + 16, "{each} bytes a task, with the reference to its result");
    }
    Ok(())
}

/// Private memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("RssAnon in kB");
    kib.trim().parse::<u64>().expect("a number") << 10
}

/// Takes what is waited for through a task that has not been able to run.
#[rustyray::remote]
fn by_way_of_another(n: u64) -> rustyray::Result<u64> {
    if n == 0 {
        return Ok(0);
    }
    let inner = rustyray::block_on(by_way_of_another_remote::remote(n - 1))?;
    rustyray::block_on(increment_remote::remote(inner))?.get_blocking()
}

#[test]
fn where_no_more_workers_can_be_what_is_waited_for_runs_on_top() {
    let started = rustyray::Builder::new().num_cpus(1.0).max_workers(4).start();
    let runtime = rustyray::block_on(started).expect("a node starts");
    rustyray::block_on(async {
        assert_eq!(fib_blocking_remote::remote(10).await?.get().await?, 55);
        assert_eq!(fib_remote::remote(10).await?.get().await?, 55);
        assert_eq!(by_way_of_another_remote::remote(40).await?.get().await?, 40);
        let values: Vec<u64> = (0..60).rev().collect();
        let sorted = deep_sort_remote::remote(values).await?.get().await?;
        assert_eq!(sorted, (0..60).collect::<Vec<_>>());
        assert!(runtime.worker_pids().len() <= 4, "{:?}", runtime.worker_pids());
        Ok::<(), Error>(())
    })
    .expect("all of it ends");
    rustyray::blocking::shutdown().expect("it ends");
}
