//! What users rely on when a task gives one object after the other.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use futures_core::Stream;
use rustyray::prelude::*;

#[rustyray::remote(num_returns = "streaming")]
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

/// Notes each item in a file, just before it is made.
#[rustyray::remote(num_returns = "streaming", backpressure = 4)]
fn noted(log: String, to: u64) -> impl Iterator<Item = u64> {
    (0..to).inspect(move |item| note(&log, item))
}

#[rustyray::remote(num_returns = "streaming")]
async fn later(to: u64) -> impl Stream<Item = u64> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ticks { next: 0, to, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
}

/// Items that take their time, as an async stream.
#[rustyray::remote(num_returns = "streaming")]
fn ticks(to: u64) -> impl Stream<Item = u64> {
    Ticks { next: 0, to, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
}

struct Ticks {
    next: u64,
    to: u64,
    sleep: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl Stream for Ticks {
    type Item = u64;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<u64>> {
        std::task::ready!(self.sleep.as_mut().poll(context));
        if self.next == self.to {
            return std::task::Poll::Ready(None);
        }
        self.next += 1;
        self.sleep = Box::pin(tokio::time::sleep(Duration::from_millis(1)));
        std::task::Poll::Ready(Some(self.next - 1))
    }
}

#[rustyray::remote(num_returns = "streaming")]
fn lines(text: String) -> Result<impl Iterator<Item = String>, std::io::Error> {
    match text.is_empty() {
        true => Err(std::io::Error::other("nothing to read")),
        false => Ok(text.split('\n').map(str::to_owned).collect::<Vec<_>>().into_iter()),
    }
}

#[rustyray::remote(num_returns = "streaming")]
async fn checked_ticks(to: u64) -> rustyray::Result<impl Stream<Item = Result<u64, String>>> {
    let to = rustyray::put(&to).await?.get_timeout(Duration::from_secs(60)).await?;
    match to {
        0 => Err(rustyray::Error::TaskCancelled { task: "none".into() }),
        _ => Ok(rustyray::manual::outcomes(ticks(to), |tick| {
            if tick == 1 { Err("one".into()) } else { Ok(tick) }
        })),
    }
}

#[rustyray::actor]
struct Shelf {
    books: Vec<String>,
}

#[rustyray::actor_methods]
impl Shelf {
    pub(crate) fn new(books: Vec<String>) -> Self {
        Shelf { books }
    }

    #[method(num_returns = "streaming")]
    pub(crate) fn books(&self) -> Result<impl Iterator<Item = String>, String> {
        let books = self.books.clone().into_iter();
        if self.books.is_empty() { Err("it is empty".into()) } else { Ok(books) }
    }

    #[method(num_returns = "streaming")]
    pub(crate) async fn taken(&mut self) -> Result<impl Stream<Item = u64> + use<>, String> {
        match self.books.pop() {
            None => Err("it is empty".into()),
            Some(book) => Ok(ticks(book.len() as u64)),
        }
    }
}

#[rustyray::test]
async fn there_may_be_no_stream_but_an_error() {
    let mut read = lines_remote::remote("to be\nor not".to_owned()).await.expect("submitted");
    assert_eq!(read.next().await.expect("the first").get().await.expect("a line"), "to be");
    assert_eq!(read.next().await.expect("the second").get().await.expect("a line"), "or not");
    assert!(read.next().await.is_none());

    let mut none = lines_remote::remote(String::new()).await.expect("submitted");
    let error = none.next().await.expect("the error").get().await.unwrap_err();
    let Error::TaskFailed { message, .. } = &error else { panic!("{error:?}") };
    assert_eq!(message, "nothing to read");
    assert!(none.next().await.is_none());

    let mut three = checked_ticks_remote::remote(3).await.expect("submitted");
    assert_eq!(three.next().await.expect("the first").get().await.expect("a tick"), 0);
    assert!(three.next().await.expect("the second").get().await.is_err());
    assert_eq!(three.next().await.expect("the third").get().await.expect("a tick"), 2);
    assert!(three.next().await.is_none());
    let mut none = checked_ticks_remote::remote(0).await.expect("submitted");
    let error = none.next().await.expect("the error").get().await.unwrap_err();
    assert!(error.to_string().contains("task `none` was cancelled"), "{error}");
    assert!(none.next().await.is_none());

    let shelf = Shelf::remote(vec!["Emma".to_owned()]).await.expect("made");
    let mut books = shelf.books().await.expect("called");
    assert_eq!(books.next().await.expect("a book").get().await.expect("a book"), "Emma");
    assert!(books.next().await.is_none());
    let mut taken = shelf.taken().await.expect("called");
    assert_eq!(taken.next().await.expect("a tick").get().await.expect("a tick"), 0);
    drop(taken);
    let mut none = shelf.books().await.expect("called");
    let error = none.next().await.expect("the error").get().await.unwrap_err();
    assert!(error.to_string().ends_with("it is empty"), "{error}");
    let mut none = shelf.taken().await.expect("called");
    let error = none.next().await.expect("the error").get().await.unwrap_err();
    assert!(error.to_string().ends_with("it is empty"), "{error}");
    assert!(none.next().await.is_none());
}

#[rustyray::remote(num_returns = "streaming")]
fn odd_ones_fail(to: u64) -> impl Iterator<Item = Result<u64, String>> {
    (0..to).map(|n| if n % 2 == 0 { Ok(n) } else { Err(format!("{n} is odd")) })
}

#[rustyray::remote(num_returns = "streaming")]
fn panics_at(at: u64) -> impl Iterator<Item = u64> {
    (0..).inspect(move |&n| assert!(n < at, "cannot go on at {n}"))
}

/// Dies at item `at` of its first attempts, as often as `times`. Every attempt notes what it makes.
#[rustyray::remote(num_returns = "streaming", backpressure = 6, max_retries = 5)]
fn dies_at(log: String, to: u64, at: u64, times: u32) -> impl Iterator<Item = (u64, u32)> {
    let attempt = rustyray::context().attempt;
    (0..to).map(move |item| {
        note(&log, format_args!("{attempt}:{item}"));
        if item == at && attempt < times {
            std::process::abort();
        }
        (item, attempt)
    })
}

#[rustyray::remote]
async fn adds_up(to: u64) -> rustyray::Result<u64> {
    let mut sum = 0;
    let mut items = count_remote::remote(to).await?;
    while let Some(item) = items.next().await {
        sum += item.get().await?;
    }
    Ok(sum)
}

#[rustyray::remote]
fn adds_up_blocking(to: u64) -> rustyray::Result<u64> {
    let mut sum = 0;
    for item in rustyray::block_on(count_remote::remote(to))? {
        sum += item.get_blocking()?;
    }
    Ok(sum)
}

/// Takes a few items, and then dies with the stream in its hands.
#[rustyray::remote(max_retries = 0)]
fn dies_as_consumer(log: String) -> rustyray::Result<u64> {
    let mut items = rustyray::block_on(noted_remote::remote(log, u64::MAX))?;
    for _ in 0..10 {
        items.next_blocking().expect("there is no end").get_blocking()?;
    }
    std::process::abort()
}

fn note(log: &str, line: impl std::fmt::Display) {
    let mut file =
        std::fs::OpenOptions::new().append(true).create(true).open(log).expect("the log opens");
    writeln!(file, "{line}").expect("the log takes a line");
}

fn noted_lines(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn log() -> (tempfile::TempDir, std::path::PathBuf, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let text = path.to_string_lossy().into_owned();
    (directory, path, text)
}

/// Waits until nothing is added to the log any more, for a second.
fn settled_lines(path: &Path) -> Vec<String> {
    let mut seen = noted_lines(path);
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(20));
        let now = noted_lines(path);
        if now.len() != seen.len() {
            (seen, since) = (now, Instant::now());
        }
    }
    seen
}

async fn collect<T: rustyray::Value>(mut items: ObjectRefStream<T>) -> rustyray::Result<Vec<T>> {
    let mut values = Vec::new();
    while let Some(item) = items.next().await {
        values.push(item.get().await?);
    }
    assert!(items.next().await.is_none(), "what has ended stays ended");
    Ok(values)
}

#[rustyray::test(num_cpus = 2)]
async fn items_come_in_order_whatever_makes_them() -> rustyray::Result<()> {
    for to in [0, 1, 63, 64, 65, 1_000] {
        assert_eq!(collect(count_remote::remote(to).await?).await?, (0..to).collect::<Vec<_>>());
    }
    assert_eq!(collect(later_remote::remote(100).await?).await?, (0..100).collect::<Vec<_>>());
    assert_eq!(collect(ticks_remote::remote(100).await?).await?, (0..100).collect::<Vec<_>>());
    let narrow = count_remote::options().backpressure(1).remote(100).await?;
    assert_eq!(collect(narrow).await?, (0..100).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_stream_without_a_limit_is_refused() -> rustyray::Result<()> {
    let refused = count_remote::options().backpressure(u32::MAX).remote(3).await;
    let said = refused.expect_err("there are no so many objects").to_string();
    assert!(said.contains("at most 65536 can be"), "{said}");
    let wide = count_remote::options().backpressure(1 << 16).remote(3).await?;
    assert_eq!(collect(wide).await?, [0, 1, 2]);
    Ok(())
}

#[test]
fn items_are_iterated_without_async() {
    rustyray::blocking::init().expect("a node starts");
    let items = rustyray::block_on(count_remote::remote(200)).expect("submitted");
    let values: Vec<u64> =
        items.into_iter().map(|item| item.get_blocking().expect("a value")).collect();
    assert_eq!(values, (0..200).collect::<Vec<_>>());
    rustyray::blocking::shutdown().expect("it ends");
}

#[rustyray::test(num_cpus = 2)]
async fn a_stream_is_consumed_in_a_task_and_in_a_task_of_tokio() -> rustyray::Result<()> {
    assert_eq!(adds_up_remote::remote(500).await?.get().await?, 499 * 250);
    assert_eq!(adds_up_blocking_remote::remote(500).await?.get().await?, 499 * 250);
    let items = count_remote::remote(300).await?;
    let elsewhere = tokio::spawn(collect(items));
    assert_eq!(elsewhere.await.expect("no panic")?, (0..300).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn no_more_is_made_than_may_be_unconsumed() -> rustyray::Result<()> {
    let (_directory, path, text) = log();
    let mut items = noted_remote::remote(text, 1_000).await?;
    // One more is begun before its place is looked for.
    assert_eq!(settled_lines(&path).len(), 4 + 1);
    for taken in 1..=20_usize {
        let item = items.next().await.expect("there are a thousand");
        assert_eq!(item.get().await?, taken as u64 - 1);
        let made = noted_lines(&path).len();
        assert!(made <= taken + 4 + 1, "{made} made when {taken} were taken");
    }
    let made = settled_lines(&path).len();
    assert!((20 + 2..=20 + 4 + 1).contains(&made), "{made}");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_dropped_stream_stops_its_producer() -> rustyray::Result<()> {
    let (_directory, path, text) = log();
    let mut items = noted_remote::remote(text, u64::MAX).await?;
    for _ in 0..10 {
        items.next().await.expect("there is no end").get().await?;
    }
    drop(items);
    // The only worker is free again, though the stream had no end.
    assert_eq!(collect(count_remote::remote(3).await?).await?, [0, 1, 2]);
    let made = settled_lines(&path).len();
    assert!(made <= 10 + 4 + 1, "{made}");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_consumer_that_dies_stops_its_producer() -> rustyray::Result<()> {
    let (_directory, path, text) = log();
    let error = dies_as_consumer_remote::remote(text).await?.get().await.expect_err("it aborts");
    assert!(matches!(error, Error::WorkerCrashed { .. }), "{error:?}");
    let made = settled_lines(&path).len();
    assert!((10..=10 + 4 + 1).contains(&made), "{made}");
    // Both cpus are free.
    let sums = [adds_up_remote::remote(100).await?, adds_up_remote::remote(100).await?];
    assert_eq!(rustyray::get_all(&sums).await?, [4950, 4950]);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn an_item_may_be_an_error_and_the_stream_goes_on() -> rustyray::Result<()> {
    let mut items = odd_ones_fail_remote::remote(10).await?;
    for n in 0..10 {
        let item = items.next().await.expect("there are ten").get().await;
        match item {
            Ok(value) => assert_eq!((value, n % 2), (n, 0)),
            Err(Error::TaskFailed { task, message, .. }) => {
                assert_eq!(message, format!("{n} is odd"));
                assert!(task.ends_with("::odd_ones_fail"), "{task}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(items.next().await.is_none());
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_panic_is_the_last_item() -> rustyray::Result<()> {
    let mut items = panics_at_remote::remote(7).await?;
    for n in 0..7 {
        assert_eq!(items.next().await.expect("seven are made").get().await?, n);
    }
    let error = items.next().await.expect("the panic").get().await.expect_err("it is an error");
    let Error::TaskPanicked { message, .. } = &error else { panic!("{error:?}") };
    assert!(message.contains("cannot go on at 7"), "{message}");
    assert!(items.next().await.is_none());
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_retried_stream_goes_on_where_it_was() -> rustyray::Result<()> {
    let (_directory, path, text) = log();
    let mut items = dies_at_remote::remote(text, 100, 50, 3).await?;
    let mut attempts = Vec::new();
    for n in 0..100 {
        let (item, attempt) = items.next().await.expect("there are a hundred").get().await?;
        assert_eq!(item, n, "each item once, in order");
        attempts.push(attempt);
    }
    assert!(items.next().await.is_none());
    // What the first attempt had made counts; what no attempt but the last could make is the last one's.
    assert_eq!(attempts[..50], [0; 50]);
    assert_eq!(attempts[50..], [3; 50]);
    let lines = noted_lines(&path);
    assert_eq!(lines.iter().filter(|line| line.starts_with("3:")).count(), 100);
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_stream_whose_retries_are_spent_ends_with_the_crash() -> rustyray::Result<()> {
    let (_directory, _path, text) = log();
    let mut items = dies_at_remote::options().max_retries(1).remote(text, 100, 5, 9).await?;
    for n in 0..5 {
        assert_eq!(items.next().await.expect("five are made").get().await?.0, n);
    }
    let error = items.next().await.expect("the crash").get().await.expect_err("it is an error");
    assert!(matches!(error, Error::WorkerCrashed { attempt: 1, .. }), "{error:?}");
    assert!(items.next().await.is_none());
    Ok(())
}
