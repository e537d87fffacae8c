//! Whole programs in small, as users write them: tasks, actors and references together. All run side by side.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::time::Duration;

use rustyray::{
    CancelOptions,
    manual::{self, Function, Plain, TaskOptions},
    prelude::*,
};

// --- one result, many who want it ------------------------------------------------------------------------

#[rustyray::remote(num_cpus = 0.0)]
fn slow_square(x: i64) -> i64 {
    std::thread::sleep(Duration::from_millis(100));
    x * x
}

#[rustyray::remote(num_cpus = 0.0)]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[rustyray::test]
async fn ten_getters_wait_for_one_task_at_one_time() -> rustyray::Result<()> {
    let square = slow_square_remote::remote(12).await?;
    let runtime = rustyray::Runtime::current()?;
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let (runtime, square) = (runtime.clone(), square.clone());
            std::thread::spawn(move || {
                let _entered = runtime.enter();
                square.get_blocking()
            })
        })
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    let background = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let background = background.expect("a runtime of tokio's");
    for _ in 0..5 {
        let square = square.clone();
        tasks.spawn_on(async move { square.get().await }, background.handle());
    }
    for thread in threads {
        assert_eq!(thread.join().expect("no panic")?, 144);
    }
    while let Some(got) = tasks.join_next().await {
        assert_eq!(got.expect("no panic")?, 144);
    }
    drop(background);
    Ok(())
}

#[rustyray::test]
async fn one_reference_goes_to_three_consumers() -> rustyray::Result<()> {
    let square = slow_square_remote::remote(3).await?;
    let mut sums = Vec::new();
    for consumer in 1..=3 {
        sums.push(add_remote::remote(&square, consumer).await?);
    }
    drop(square);
    assert_eq!(rustyray::get_all(&sums).await?, [10, 11, 12]);
    Ok(())
}

// --- who calls whom --------------------------------------------------------------------------------------

#[rustyray::actor]
#[derive(Default)]
struct Ledger {
    entries: Vec<i64>,
}

#[rustyray::actor_methods]
impl Ledger {
    pub fn new() -> Self {
        Ledger::default()
    }

    pub fn enter(&mut self, amount: i64) -> i64 {
        self.entries.push(amount);
        self.entries.iter().sum()
    }

    pub fn balance(&self) -> i64 {
        self.entries.iter().sum()
    }
}

#[rustyray::actor]
struct Clerk {
    ledger: LedgerHandle,
}

#[rustyray::actor_methods]
impl Clerk {
    pub fn new(ledger: LedgerHandle) -> Self {
        Clerk { ledger }
    }

    /// An actor calls an actor.
    pub async fn book(&mut self, amount: i64) -> rustyray::Result<i64> {
        self.ledger.enter(amount).await?.get().await
    }

    /// An actor calls a task, and passes its reference on without looking.
    pub async fn book_sum(&mut self, a: i64, b: i64) -> rustyray::Result<i64> {
        let sum = add_remote::remote(a, b).await?;
        self.ledger.enter(&sum).await?.get().await
    }
}

/// A task calls an actor.
#[rustyray::remote(num_cpus = 0.0)]
async fn book_through(clerk: ClerkHandle, amount: i64) -> rustyray::Result<i64> {
    clerk.book(amount).await?.get().await
}

#[rustyray::test]
async fn actors_call_actors_and_tasks_and_tasks_call_actors() -> rustyray::Result<()> {
    let ledger = Ledger::remote().await?;
    let clerk = Clerk::remote(&ledger).await?;
    assert_eq!(clerk.book(1).await?.get().await?, 1);
    assert_eq!(clerk.book_sum(2, 3).await?.get().await?, 6);
    assert_eq!(book_through_remote::remote(&clerk, 4).await?.get().await?, 10);
    assert_eq!(ledger.balance().await?.get().await?, 10);
    Ok(())
}

#[rustyray::remote(num_cpus = 0.0, num_returns = 3)]
fn split(total: i64) -> (i64, i64, i64) {
    (total / 2, total / 3, total - total / 2 - total / 3)
}

#[rustyray::test]
async fn several_returns_are_fanned_out_to_actors() -> rustyray::Result<()> {
    let ledgers = [Ledger::remote().await?, Ledger::remote().await?, Ledger::remote().await?];
    let (a, b, c) = split_remote::remote(100).await?;
    let mut entered = Vec::new();
    for (ledger, part) in ledgers.iter().zip([a, b, c]) {
        entered.push(ledger.enter(part).await?);
    }
    assert_eq!(rustyray::get_all(&entered).await?, [50, 33, 17]);
    Ok(())
}

// --- data through references -----------------------------------------------------------------------------

#[rustyray::remote(num_cpus = 0.0)]
fn matrix(size: u64, seed: f64) -> Vec<f64> {
    (0..size * size).map(|at| seed + at as f64).collect()
}

/// Rows times columns, read where they lie.
#[rustyray::remote(num_cpus = 0.0)]
fn trace_of_product(a: View<Vec<f64>>, b: View<Vec<f64>>, size: u64) -> f64 {
    let size = size as usize;
    let at = |m: &View<Vec<f64>>, row: usize, column: usize| m[row * size + column].to_native();
    (0..size).map(|i| (0..size).map(|k| at(&a, i, k) * at(&b, k, i)).sum::<f64>()).sum()
}

#[rustyray::test]
async fn matrices_are_produced_and_consumed_in_other_processes() -> rustyray::Result<()> {
    const SIZE: u64 = 32;
    let mut made = Vec::new();
    for seed in 0..4 {
        made.push(matrix_remote::remote(SIZE, f64::from(seed)).await?);
    }
    let mut traces = Vec::new();
    for pair in made.windows(2) {
        traces.push(trace_of_product_remote::remote(&pair[0], &pair[1], SIZE).await?);
    }
    for (seed, trace) in rustyray::get_all(&traces).await?.into_iter().enumerate() {
        let (a, b) = (matrix(SIZE, seed as f64), matrix(SIZE, seed as f64 + 1.0));
        let size = SIZE as usize;
        let expected: f64 = (0..size)
            .map(|i| (0..size).map(|k| a[i * size + k] * b[k * size + i]).sum::<f64>())
            .sum();
        assert!((trace - expected).abs() <= 1e-6 * expected.abs(), "{trace} is not {expected}");
    }
    Ok(())
}

#[rustyray::remote(num_cpus = 0.0)]
fn load(rows: u64) -> Vec<f64> {
    (0..rows).map(|row| if row % 10 == 0 { f64::NAN } else { row as f64 }).collect()
}

#[rustyray::remote(num_cpus = 0.0)]
fn preprocess(rows: View<Vec<f64>>) -> Vec<f64> {
    rows.iter().map(|row| row.to_native()).filter(|row| !row.is_nan()).collect()
}

#[rustyray::remote(num_cpus = 0.0)]
fn analyse(rows: View<Vec<f64>>) -> Result<(f64, f64), String> {
    if rows.is_empty() {
        return Err("no rows to analyse".to_owned());
    }
    let sum: f64 = rows.iter().map(|row| row.to_native()).sum();
    Ok((rows.len() as f64, sum / rows.len() as f64))
}

#[rustyray::remote(num_cpus = 0.0)]
fn report(analysed: (f64, f64)) -> String {
    let (rows, mean) = analysed;
    format!("{rows} rows, mean {mean:.1}")
}

#[rustyray::test]
async fn a_pipeline_passes_references_from_stage_to_stage() -> rustyray::Result<()> {
    let loaded = load_remote::remote(1000).await?;
    let clean = preprocess_remote::remote(&loaded).await?;
    let analysed = analyse_remote::remote(&clean).await?;
    let reported = report_remote::remote(&analysed).await?;
    assert_eq!(reported.get().await?, "900 rows, mean 500.0");
    Ok(())
}

#[rustyray::test]
async fn a_stage_that_fails_fails_what_comes_after_it_with_its_message() -> rustyray::Result<()> {
    let loaded = load_remote::remote(1).await?; // its one row is not a number
    let clean = preprocess_remote::remote(&loaded).await?;
    let analysed = analyse_remote::remote(&clean).await?;
    let reported = report_remote::remote(&analysed).await?;
    assert_eq!(clean.get().await?, [0.0; 0], "stages before it are unharmed");
    let error = reported.get().await.expect_err("there is nothing to report");
    let Error::DependencyFailed { task, cause, .. } = &error else { panic!("{error:?}") };
    assert!(task.ends_with("report"), "{task}");
    assert!(cause.to_string().contains("no rows to analyse"), "{cause}");
    let ledger = Ledger::remote().await?;
    let call = ledger.enter(fails_if_remote::remote(true).await?).await?;
    assert!(call.get().await.is_err(), "an actor's call fails likewise");
    assert_eq!(ledger.enter(1).await?.get().await?, 1, "and the actor goes on");
    Ok(())
}

// --- what goes wrong -------------------------------------------------------------------------------------

#[rustyray::remote(num_cpus = 0.0)]
fn fails_if(wrong: bool) -> Result<i64, std::io::Error> {
    match wrong {
        true => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the ledger is not there")),
        false => Ok(1),
    }
}

#[rustyray::test]
async fn conditional_errors_keep_their_message() -> rustyray::Result<()> {
    let mut calls = Vec::new();
    for at in 0..20 {
        calls.push(fails_if_remote::remote(at % 3 == 0).await?);
    }
    for (at, call) in calls.into_iter().enumerate() {
        match call.get().await {
            Ok(value) => assert!(at % 3 != 0 && value == 1),
            Err(Error::TaskFailed { message, .. }) => {
                assert_eq!((at % 3, message.as_str()), (0, "the ledger is not there"));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

#[rustyray::remote(max_retries = 0)]
fn stuck() -> u32 {
    std::thread::sleep(Duration::from_secs(600));
    0
}

#[rustyray::test(num_cpus = 2)]
async fn a_hundred_stuck_tasks_are_cancelled() -> rustyray::Result<()> {
    let mut tasks = Vec::new();
    for _ in 0..100 {
        tasks.push(stuck_remote::remote().await?);
    }
    for task in &tasks {
        task.cancel(CancelOptions { force: true, ..CancelOptions::default() }).await?;
    }
    for task in tasks {
        let error = task.get().await.expect_err("it never ends by itself");
        assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
    }
    assert_eq!(add_remote::remote(1, 2).await?.get().await?, 3, "there are workers again");
    Ok(())
}

/// A function that no process has registered.
static UNREGISTERED: Function =
    Function::new("scenarios::unregistered", concat!(file!(), ":", line!()), |call| {
        call.finish(Plain(0_i64))
    });

#[manual::linkme::distributed_slice(manual::FUNCTIONS)]
#[linkme(crate = rustyray::manual::linkme)]
static NUMBER: Function =
    Function::new("scenarios::number", concat!(file!(), ":", line!()), |call| {
        call.finish(Plain(7_i64))
    });

#[rustyray::test]
async fn a_missing_function_is_an_error_of_the_task() -> rustyray::Result<()> {
    let missing = match manual::submit::<i64>(&UNREGISTERED, &TaskOptions::new(), |_| Ok(())).await
    {
        Ok(missing) => missing.get().await,
        Err(error) => Err(error),
    };
    assert!(matches!(missing, Err(Error::FunctionNotFound { .. })), "{missing:?}");
    Ok(())
}

#[rustyray::test]
async fn a_get_of_the_wrong_type_says_which_is_which() -> rustyray::Result<()> {
    let number = manual::submit::<String>(&NUMBER, &TaskOptions::new(), |_| Ok(())).await?;
    let error = number.get().await.expect_err("it is no text");
    let Error::TypeMismatch { expected, found, .. } = &error else { panic!("{error:?}") };
    assert!(expected.contains("String") && found.contains("i64"), "{error}");
    let right = manual::submit::<i64>(&NUMBER, &TaskOptions::new(), |_| Ok(())).await?;
    assert_eq!(right.get().await?, 7);
    Ok(())
}
