//! Panics of user code wherever it can run in a worker: within a call, in what a call leaves to be dropped, and in the
//! payload of a panic itself. Each is its own call's, and takes neither the process nor another call with it.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    io::Write as _,
    panic::{catch_unwind, panic_any, resume_unwind},
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use rkyv::{
    Archived, Place,
    rancor::Fallible,
    with::{ArchiveWith, DeserializeWith, SerializeWith},
};
use rustyray::{CancelOptions, prelude::*};

/// Panics when it wakes.
struct Alarmed(AtomicBool);

impl Wake for Alarmed {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
        panic!("it is woken");
    }
}

/// How long something may take that does happen: more than any machine takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Panics when it is dropped, also where it is what a panic came with.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_any(Spiteful);
        }
    }
}

/// An argument that says when it has arrived, and panics when it is dropped in an actor's process.
#[derive(Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Parcel {
    #[rkyv(with = Announced)]
    file: String,
}

impl Drop for Parcel {
    fn drop(&mut self) {
        assert!(!rustyray::context().in_actor(), "the parcel is dropped");
    }
}

/// Makes the file that a text names where that is read.
#[derive(Debug)]
pub struct Announced;

impl ArchiveWith<String> for Announced {
    type Archived = Archived<String>;
    type Resolver = rkyv::Resolver<String>;

    fn resolve_with(file: &String, resolver: Self::Resolver, to: Place<Self::Archived>) {
        rkyv::Archive::resolve(file, resolver, to);
    }
}

impl<S: Fallible<Error: rkyv::rancor::Source> + rkyv::ser::Writer + ?Sized> SerializeWith<String, S>
    for Announced
{
    fn serialize_with(file: &String, to: &mut S) -> Result<Self::Resolver, S::Error> {
        rkyv::Serialize::serialize(file, to)
    }
}

impl<D: Fallible + ?Sized> DeserializeWith<Archived<String>, String, D> for Announced {
    fn deserialize_with(file: &Archived<String>, _: &mut D) -> Result<String, D::Error> {
        std::fs::write(file.as_str(), "").expect("it can be written");
        Ok(file.as_str().to_owned())
    }
}

/// A result that panics when it is dropped where it was made.
#[derive(Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Fragile(u64);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(rustyray::context().task_name.is_none(), "the result is dropped");
    }
}

fn write(file: &str) {
    std::fs::write(file, "").expect("it can be written");
}

async fn there_is(file: &str) {
    while !Path::new(file).exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[rustyray::remote]
fn pid() -> u32 {
    std::process::id()
}

#[rustyray::remote(max_retries = 0)]
fn panics_spitefully() -> u64 {
    panic_any(Spiteful)
}

/// Begins, which it says by the file, and waits with something that panics when it is dropped.
#[rustyray::remote(max_retries = 0)]
async fn waits_with_spite(file: String) {
    let _local = Spiteful;
    write(&file);
    std::future::pending().await
}

#[rustyray::remote(max_retries = 2, retry_exceptions = true)]
fn gives_what_panics(file: String) -> Fragile {
    let mut runs = std::fs::File::options().append(true).create(true).open(file).expect("a file");
    runs.write_all(b"x").expect("it can be written");
    Fragile(7)
}

/// Goes on with the panic of another thread, perhaps after one of its own that it caught.
#[rustyray::remote(max_retries = 0)]
fn goes_on_with_a_panic(caught_another: bool) -> u64 {
    if caught_another {
        let caught = catch_unwind(|| panic!("caught long ago"));
        assert!(caught.is_err());
    }
    let other = std::thread::spawn(|| -> u64 { panic!("what went {}", "wrong") });
    other.join().unwrap_or_else(|payload| resume_unwind(payload))
}

/// Goes on with what is no message, after a panic of its own that it caught and that had none either.
#[rustyray::remote(max_retries = 0)]
fn goes_on_without_a_message() {
    let caught = catch_unwind(|| panic_any(5_u8));
    assert!(caught.is_err());
    resume_unwind(Box::new(5_u32));
}

#[rustyray::actor(max_concurrency = 4)]
struct Shop {
    sold: u64,
}

#[rustyray::actor_methods]
impl Shop {
    pub fn new() -> Self {
        Shop { sold: 0 }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// On a thread of its own.
    pub fn panic_spitefully(&self) -> u64 {
        panic_any(Spiteful)
    }

    pub fn send(&self, parcel: Parcel) -> u64 {
        std::mem::forget(parcel);
        self.sold
    }

    /// Has the shop to itself.
    pub fn sell(&mut self) -> u64 {
        self.sold += 1;
        self.sold
    }

    /// Has the shop to itself until the file is there.
    pub async fn close_until(&mut self, file: String) {
        there_is(&file).await;
    }

    pub async fn wait_with_spite(&self, file: String) {
        let _local = Spiteful;
        write(&file);
        std::future::pending().await
    }
}

/// Does not start, and panics when it is dropped.
#[rustyray::actor]
struct Reluctant;

impl Drop for Reluctant {
    fn drop(&mut self) {
        panic!("it is dropped");
    }
}

#[rustyray::actor_methods]
impl Reluctant {
    pub fn new() -> Self {
        Reluctant
    }

    fn on_start(&mut self) -> Result<(), String> {
        Err("not today".to_owned())
    }
}

const GENTLY: CancelOptions = CancelOptions { force: false, recursive: false };

#[rustyray::test(num_cpus = 1)]
async fn what_a_panic_comes_with_may_panic_in_its_drop() -> rustyray::Result<()> {
    let worker = pid_remote::remote().await?.get().await?;
    let task = panics_spitefully_remote::remote().await?;
    let error = task.get_timeout(PATIENCE).await.expect_err("it panics");
    assert!(matches!(error, Error::TaskPanicked { .. }), "{error:?}");
    assert_eq!(pid_remote::remote().await?.get().await?, worker, "it goes on");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn so_it_may_on_the_threads_of_an_actor() -> rustyray::Result<()> {
    let shop = Shop::remote().await?;
    // More than it has threads.
    for _ in 0..5 {
        let call = shop.panic_spitefully().await?;
        let error = call.get_timeout(PATIENCE).await.expect_err("it panics");
        assert!(matches!(error, Error::TaskPanicked { .. }), "{error:?}");
    }
    assert_eq!(shop.sell().await?.get_timeout(PATIENCE).await?, 1, "nobody is in the shop");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn what_a_cancelled_task_had_may_panic_in_its_drop() -> rustyray::Result<()> {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("begun").to_string_lossy().into_owned();
    let worker = pid_remote::remote().await?.get().await?;
    let task = waits_with_spite_remote::remote(file.clone()).await?;
    there_is(&file).await;
    task.cancel(GENTLY).await?;
    let error = task.get_timeout(PATIENCE).await.expect_err("it is cancelled");
    assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");

    let late = waits_with_spite_remote::options().timeout_ms(50).remote(file).await?;
    let error = late.get_timeout(PATIENCE).await.expect_err("its time is up");
    assert!(matches!(error, Error::TaskTimedOut { .. }), "{error:?}");
    assert_eq!(pid_remote::remote().await?.get().await?, worker, "it goes on");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn what_a_cancelled_call_had_may_panic_in_its_drop() -> rustyray::Result<()> {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("begun").to_string_lossy().into_owned();
    let shop = Shop::remote().await?;
    let process = shop.pid().await?.get().await?;
    let call = shop.wait_with_spite(file.clone()).await?;
    there_is(&file).await;
    call.cancel(GENTLY).await?;
    let error = call.get_timeout(PATIENCE).await.expect_err("it is cancelled");
    assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
    assert_eq!(shop.sell().await?.get_timeout(PATIENCE).await?, 1);
    assert_eq!(shop.pid().await?.get().await?, process, "it goes on");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn the_argument_of_a_call_that_never_began_may_panic_in_its_drop() -> rustyray::Result<()> {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = |name: &str| scratch.path().join(name).to_string_lossy().into_owned();
    let shop = Shop::remote().await?;
    let closed = shop.close_until(file("open")).await?;
    // Read by a thread of the shop's, which waits to be let in.
    let sent = shop.send(Parcel { file: file("arrived") }).await?;
    there_is(&file("arrived")).await;
    sent.cancel(GENTLY).await?;
    let error = sent.get_timeout(PATIENCE).await.expect_err("it is cancelled");
    assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
    write(&file("open"));
    closed.get_timeout(PATIENCE).await?;
    assert_eq!(shop.sell().await?.get_timeout(PATIENCE).await?, 1, "nobody is in the shop");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn an_actor_that_is_none_may_panic_in_its_drop() -> rustyray::Result<()> {
    let reluctant = Reluctant::remote().await?;
    let error = reluctant.ready().await.expect_err("it does not start");
    assert!(format!("{error:?}").contains("not today"), "{error:?}");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_result_that_panics_in_its_drop_was_given() -> rustyray::Result<()> {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("runs");
    let given = gives_what_panics_remote::remote(file.to_string_lossy().into_owned()).await?;
    assert_eq!(given.get_timeout(PATIENCE).await?.0, 7);
    // What would be run again is so before this, on the one worker.
    pid_remote::remote().await?.get().await?;
    pid_remote::remote().await?.get().await?;
    assert_eq!(std::fs::read_to_string(file).expect("it ran"), "x", "and is not asked for again");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_panic_that_came_from_another_thread_says_what_it_says() -> rustyray::Result<()> {
    for caught_another in [false, true] {
        let task = goes_on_with_a_panic_remote::remote(caught_another).await?;
        let error = task.get().await.expect_err("it panics");
        let Error::TaskPanicked { message, location, .. } = &error else { panic!("{error:?}") };
        assert_eq!(message, "what went wrong");
        assert_eq!(location, "an unknown place");
    }
    let error = goes_on_without_a_message_remote::remote().await?.get().await.expect_err("so here");
    let Error::TaskPanicked { message, location, .. } = &error else { panic!("{error:?}") };
    assert_eq!(message, "a value that is no message");
    assert_eq!(location, "an unknown place");
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_waker_that_panics_takes_nobody_with_it() -> rustyray::Result<()> {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("open").to_string_lossy().into_owned();
    let shop = Shop::remote().await?;
    let call = shop.close_until(file.clone()).await?;
    let (alarmed, waited) = (Arc::new(Alarmed(AtomicBool::new(false))), call.clone());
    let waker = Waker::from(Arc::clone(&alarmed));
    // Under no executor of the runtime's, which has the waker woken by whoever sees the result.
    let waits = std::thread::spawn(move || {
        let mut get = pin!(waited.get());
        assert!(get.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        write(&file);
        while !alarmed.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    call.get_timeout(PATIENCE).await?;
    waits.join().expect("it is woken");
    assert_eq!(shop.sell().await?.get_timeout(PATIENCE).await?, 1);
    Ok(())
}
