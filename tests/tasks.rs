//! What users rely on when they run tasks.

use std::{fmt, time::Duration};

use rustyray::prelude::*;

#[rustyray::remote]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[rustyray::remote]
fn sum(values: View<Vec<f64>>) -> f64 {
    values.as_slice().iter().sum()
}

#[rustyray::remote]
fn numbers(len: u64) -> Vec<u64> {
    (0..len).collect()
}

#[rustyray::remote(num_returns = 2)]
fn halves(values: Vec<u64>) -> (Vec<u64>, Vec<u64>) {
    let (left, right) = values.split_at(values.len() / 2);
    (left.to_vec(), right.to_vec())
}

#[derive(Debug)]
struct Broken {
    cause: std::num::ParseIntError,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number is broken")
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[rustyray::remote]
fn parse(text: String) -> Result<i64, Broken> {
    text.parse().map_err(|cause| Broken { cause })
}

#[rustyray::remote]
fn divide(a: i64, b: i64) -> i64 {
    a / b
}

#[rustyray::remote(max_retries = 0)]
fn die() -> u8 {
    std::process::abort()
}

/// Dies until the file exists, which it makes first.
#[rustyray::remote(max_retries = 3)]
fn die_once(marker: String) -> u32 {
    if std::fs::File::create_new(&marker).is_ok() {
        std::process::abort();
    }
    std::process::id()
}

#[rustyray::remote]
fn references(values: Vec<ObjectRef<i64>>) -> Vec<ObjectRef<i64>> {
    values
}

#[rustyray::remote]
async fn sum_later(values: Vec<ObjectRef<i64>>) -> rustyray::Result<i64> {
    Ok(rustyray::get_all(&values).await?.iter().sum())
}

#[rustyray::remote]
async fn spawn_and_add(depth: u32) -> rustyray::Result<i64> {
    if depth == 0 {
        return Ok(1);
    }
    let left = add_remote::remote(1, 1).await?;
    left.get().await
}

#[rustyray::remote]
fn pause(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

mod one {
    #[rustyray::remote]
    pub(crate) fn name() -> String {
        "one".into()
    }
}

mod two {
    #[rustyray::remote]
    pub(crate) fn name() -> String {
        "two".into()
    }
}

#[rustyray::test]
async fn values_and_references_stand_in_any_position() -> rustyray::Result<()> {
    let x = add_remote::remote(1, 2).await?;
    let y = add_remote::remote(&x, 10).await?;
    let z = add_remote::remote(100, &y).await?;
    let both = add_remote::remote(x, z.clone()).await?;
    assert_eq!(both.get().await?, 3 + 113);
    assert_eq!(z.await?, 113);
    Ok(())
}

#[rustyray::test]
async fn functions_of_one_name_do_not_collide() -> rustyray::Result<()> {
    assert_eq!(one::name_remote::remote().await?.get().await?, "one");
    assert_eq!(two::name_remote::remote().await?.get().await?, "two");
    #[rustyray::remote]
    fn name() -> String {
        "inner".into()
    }
    assert_eq!(name_remote::remote().await?.get().await?, "inner");
    Ok(())
}

#[rustyray::test]
async fn a_view_reads_in_place_what_was_put_once() -> rustyray::Result<()> {
    let values = rustyray::put(&vec![0.5_f64; 100_000]).await?;
    let view = values.view().await?;
    assert_eq!(view.as_slice().len(), 100_000);
    let sums = [sum_remote::remote(&values).await?, sum_remote::remote(&values).await?];
    assert_eq!(rustyray::get_all(&sums).await?, [50_000.0, 50_000.0]);
    // A value may stand where a view is taken.
    assert_eq!(sum_remote::remote(vec![1.0, 2.0]).await?.get().await?, 3.0);
    Ok(())
}

#[rustyray::test]
async fn arguments_and_results_of_any_size_travel() -> rustyray::Result<()> {
    for len in [0, 1, 40, 1_000, 1_000_000] {
        let made = numbers_remote::remote(len).await?;
        let (left, right) = halves_remote::remote(&made).await?;
        let mut both = left.get().await?;
        both.extend(right.get().await?);
        assert_eq!(both, (0..len).collect::<Vec<_>>());
        let (left, right) = halves_remote::remote(both).await?;
        assert_eq!(left.get().await?.len() + right.get().await?.len(), len as usize);
    }
    Ok(())
}

#[rustyray::test]
async fn an_error_arrives_with_its_message_and_chain() -> rustyray::Result<()> {
    assert_eq!(parse_remote::remote("42").await?.get().await?, 42);
    let failed = parse_remote::remote("forty-two").await?;
    let error = failed.get().await.expect_err("it is no number");
    let Error::TaskFailed { task, message, cause, worker, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(task.ends_with("::parse"), "{task}");
    assert_eq!(message, "the number is broken");
    assert_ne!(*worker, std::process::id());
    assert_eq!(cause.as_ref().expect("a cause").message, "invalid digit found in string");
    // The same error again, and in whatever takes it.
    assert_eq!(failed.get().await.expect_err("still"), error);
    let downstream = add_remote::remote(&failed, 1).await?;
    let further = add_remote::remote(1, &downstream).await?;
    let Error::DependencyFailed { cause, via, .. } =
        further.get().await.expect_err("it cannot run")
    else {
        panic!("another error")
    };
    assert_eq!(*cause, error);
    assert_eq!(via.len(), 1, "{via:?}");
    Ok(())
}

#[rustyray::test]
async fn a_panic_arrives_with_its_message_and_place() -> rustyray::Result<()> {
    let error =
        divide_remote::remote(1, 0).await?.get().await.expect_err("nothing divides by zero");
    let Error::TaskPanicked { message, location, .. } = &error else { panic!("{error:?}") };
    assert!(message.contains("divide by zero"), "{message}");
    assert!(location.contains("tests/tasks.rs"), "{location}");
    // The worker goes on.
    assert_eq!(divide_remote::remote(6, 3).await?.get().await?, 2);
    Ok(())
}

#[rustyray::test]
async fn a_worker_that_dies_is_an_error_of_its_task_and_of_nothing_else() -> rustyray::Result<()> {
    let error = die_remote::remote().await?.get().await.expect_err("it aborts");
    let Error::WorkerCrashed { how, task, .. } = &error else { panic!("{error:?}") };
    assert!(how.contains("SIGABRT"), "{how}");
    assert!(task.ends_with("::die"), "{task}");
    assert_eq!(add_remote::remote(1, 1).await?.get().await?, 2);
    Ok(())
}

#[rustyray::test]
async fn a_task_whose_worker_died_is_run_again() -> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let marker = directory.path().join("died").to_string_lossy().into_owned();
    let survivor = die_once_remote::remote(marker).await?.get().await?;
    assert_ne!(survivor, std::process::id());
    Ok(())
}

#[rustyray::test]
async fn references_inside_values_travel_and_keep_their_objects() -> rustyray::Result<()> {
    let mut values = Vec::new();
    for at in 0..100_i64 {
        values.push(rustyray::put(&at).await?);
    }
    let back = references_remote::remote(values).await?;
    // The task's arguments are gone: its result alone keeps the objects.
    let back = back.get().await?;
    assert_eq!(rustyray::get_all(&back).await?, (0..100).collect::<Vec<_>>());
    assert_eq!(sum_later_remote::remote(back).await?.get().await?, 4950);
    Ok(())
}

#[rustyray::test]
async fn tasks_submit_tasks() -> rustyray::Result<()> {
    assert_eq!(spawn_and_add_remote::remote(1).await?.get().await?, 2);
    Ok(())
}

#[rustyray::test]
async fn thousands_of_tasks_give_all_their_results() -> rustyray::Result<()> {
    let mut sums = Vec::new();
    for at in 0..5_000 {
        sums.push(add_remote::remote(at, 1).await?);
    }
    let sums = rustyray::get_all(&sums).await?;
    assert_eq!(sums, (1..=5_000).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::test]
async fn a_chain_of_references_is_followed_to_its_end() -> rustyray::Result<()> {
    let mut last = add_remote::remote(0, 1).await?;
    for _ in 1..1_000 {
        last = add_remote::remote(last, 1).await?;
    }
    assert_eq!(last.get().await?, 1_000);
    Ok(())
}

#[rustyray::test]
async fn waiting_gives_what_is_ready_and_what_is_left_in_order() -> rustyray::Result<()> {
    let slow = pause_remote::remote(60_000).await?;
    let quick = rustyray::put(&7_u64).await?;
    let references = [slow.clone(), quick.clone()];
    let (ready, pending) = rustyray::wait(&references, 1, None).await?;
    assert_eq!((ready, pending), (vec![quick], vec![slow.clone()]));
    let (ready, pending) = rustyray::wait(&references, 2, Some(Duration::from_millis(20))).await?;
    assert_eq!((ready.len(), pending.len()), (1, 1));
    assert!(matches!(
        rustyray::wait(&references, 3, None).await,
        Err(Error::InvalidArgument { .. })
    ));
    let error = slow.get_timeout(Duration::from_millis(20)).await.expect_err("it sleeps");
    assert!(matches!(error, Error::GetTimeout { .. }), "{error:?}");
    assert!(!slow.is_ready());
    Ok(())
}

#[rustyray::test]
async fn a_result_is_awaited_from_a_task_of_tokio() -> rustyray::Result<()> {
    let paused = pause_remote::remote(50).await?;
    let added = add_remote::remote(1, 2).await?;
    let elsewhere = tokio::spawn(async move { (paused.get().await, added.get().await) });
    let (paused, added) = elsewhere.await.expect("no panic");
    assert_eq!((paused?, added?), (50, 3));
    Ok(())
}

#[rustyray::test]
async fn what_can_never_run_is_refused_with_what_exists() -> rustyray::Result<()> {
    let error =
        add_remote::options().num_cpus(1000.0).remote(1, 2).await.expect_err("too many cpus");
    let Error::Unschedulable { demand, available, .. } = &error else { panic!("{error:?}") };
    assert!(demand.contains("1000"), "{demand}");
    assert!(!available.is_empty());
    let error =
        add_remote::options().resource("tpu", 1.0).remote(1, 2).await.expect_err("no such thing");
    assert!(matches!(error, Error::Unschedulable { .. }), "{error:?}");
    Ok(())
}

#[rustyray::test]
async fn bytes_are_stored_as_they_are_and_written_in_place() -> rustyray::Result<()> {
    let bytes = rustyray::put_bytes(b"plain bytes").await?;
    assert_eq!(&bytes.get().await?[..], b"plain bytes");
    let mut writer = rustyray::create(3).await?;
    writer.copy_from_slice(b"abc");
    let written = writer.seal()?;
    let view: Bytes = written.view().await?.into();
    drop(written);
    assert_eq!(&view[..], b"abc");
    Ok(())
}

/// Fails at the bottom of as many tasks that wait for one another.
#[rustyray::remote(name = "fails below")]
async fn fails_below(depth: u32) -> rustyray::Result<u64> {
    match depth {
        0 => divided_remote::remote(7, 0).await?.get().await,
        _ => fails_below_remote::remote(depth - 1).await?.get().await,
    }
}

#[rustyray::remote(name = "divided")]
fn divided(number: u64, by: u64) -> Result<u64, String> {
    number.checked_div(by).ok_or_else(|| "division by zero".to_owned())
}

#[rustyray::test]
async fn a_deep_failure_is_told_line_by_line() -> rustyray::Result<()> {
    let error = fails_below_remote::remote(3).await?.get().await.unwrap_err();
    let lines: Vec<String> = format!("{error:?}").lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 5, "{error:?}");
    for line in &lines {
        assert!(line.ends_with("division by zero"), "who failed, and of what in the end: {line}");
        assert!(line.matches("failed").count() <= 2, "{line}");
    }
    assert!(lines[4].starts_with("  caused by: task `divided` failed on worker "), "{}", lines[4]);

    // The errors themselves are there, and not their texts alone.
    let (mut inner, mut depth) = (&error, 0);
    while let Error::TaskFailed { cause: Some(cause), .. } = inner {
        (inner, depth) = (cause.error().expect("each is an error of ours"), depth + 1);
    }
    let Error::TaskFailed { task, message, .. } = inner else { panic!("{inner:?}") };
    assert_eq!((depth, &**task, &**message), (4, "divided", "division by zero"));
    let sources = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    assert_eq!(sources.count(), 4);
    Ok(())
}

/// Two functions and two actors of the same names in different scopes, which one macro writes.
#[allow(dead_code, unreachable_pub)] // what is generated, and what is `pub` for other processes
mod namesakes {
    use rustyray::prelude::*;

    macro_rules! namesakes {
        () => {
            pub(crate) async fn first() -> rustyray::Result<(u64, u64)> {
                #[rustyray::remote]
                fn same(value: u64) -> u64 {
                    value + 1
                }
                #[rustyray::actor]
                struct Same;
                #[rustyray::actor_methods]
                impl Same {
                    pub fn new() -> Self {
                        Same
                    }
                    pub fn number(&self) -> u64 {
                        1
                    }
                }
                let actor = Same::remote().await?;
                Ok((
                    same_remote::remote(10).await?.get().await?,
                    actor.number().await?.get().await?,
                ))
            }

            pub(crate) async fn second() -> rustyray::Result<(u64, u64)> {
                #[rustyray::remote]
                fn same(value: u64) -> u64 {
                    value + 2
                }
                #[rustyray::actor]
                struct Same;
                #[rustyray::actor_methods]
                impl Same {
                    pub fn new() -> Self {
                        Same
                    }
                    pub fn number(&self) -> u64 {
                        2
                    }
                }
                let actor = Same::remote().await?;
                Ok((
                    same_remote::remote(10).await?.get().await?,
                    actor.number().await?.get().await?,
                ))
            }
        };
    }
    namesakes!();
}

#[rustyray::test]
async fn namesakes_of_one_macro_are_told_from_each_other() -> rustyray::Result<()> {
    assert_eq!((namesakes::first().await?, namesakes::second().await?), ((11, 1), (12, 2)));
    Ok(())
}
