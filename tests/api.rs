//! The API that programs rely on, name by name and with its shapes: what compiles here compiles in theirs. What each
//! thing does is tested elsewhere.
#![deny(unused_imports)]
#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{future::Future, ops::DerefMut, path::Path, time::Duration};

use rustyray::{
    Builder, Bundle, Bytes, CancelOptions, Context, Error, ObjectRef, PlacementGroup,
    PlacementStrategy, Runtime, View,
};

/// A module whose macros are all that it takes of the prelude; and one that does without.
mod first_program {
    use rustyray::prelude::*;

    #[rustyray::remote]
    pub fn add(a: i64, b: i64) -> i64 {
        a + b
    }
}

mod without_the_prelude {
    #[rustyray::actor]
    #[derive(Debug)]
    pub struct Counter {
        value: i64,
    }

    #[rustyray::actor_methods]
    impl Counter {
        pub fn new(start: i64) -> Self {
            Counter { value: start }
        }
        pub fn with_step(start: i64, step: i64) -> Self {
            Counter { value: start * step }
        }
        pub async fn checked(start: i64) -> Result<Self, String> {
            if start < 0 { Err("below zero".into()) } else { Ok(Counter { value: start }) }
        }
        pub async fn increment(&mut self) -> i64 {
            self.value += 1;
            self.value
        }
        pub fn value(&self) -> i64 {
            self.value
        }
        pub fn leave(&mut self) -> rustyray::Result<()> {
            rustyray::exit_actor()
        }
    }
}

use first_program::add_remote;
use without_the_prelude::{Counter, CounterHandle};

#[rustyray::remote(
    num_cpus = 1.0,
    num_gpus = 0.5,
    resources(tpu = 1.0),
    memory = 1024,
    max_retries = 3,
    retry_exceptions = true,
    timeout_ms = 60_000,
    num_returns = 2,
    name = "a name"
)]
async fn everything(fail: bool) -> Result<(u64, String), String> {
    if fail { Err("it was to".into()) } else { Ok((1, "two".into())) }
}

#[rustyray::remote(num_returns = "streaming")]
fn items(up_to: u64) -> impl Iterator<Item = u64> {
    0..up_to
}

#[rustyray::remote]
fn looks_at(bytes: View<Bytes>, inside: Vec<ObjectRef<u64>>) -> u64 {
    bytes.len() as u64 + inside.len() as u64
}

/// Gives what `f` does: a future of this very result.
async fn of<T>(future: impl Future<Output = rustyray::Result<T>>) -> rustyray::Result<T> {
    future.await
}

fn is<T>(_: &T) {}
fn crosses_threads<T: Clone + std::fmt::Debug + Send + Sync>(_: &T) {}

/// A node that keeps all of its files in a directory.
fn runtime(directory: &Path) -> Builder {
    Builder::new()
        .num_cpus(4.0)
        .num_gpus(1.0)
        .resource("tpu", 2.0)
        .object_store_memory(64 << 20)
        .spill_dir(directory.join("spilled"))
        .visible(false)
}

#[test]
fn every_name_has_the_shape_that_programs_rely_on() {
    rustyray::block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node");
        let started: Runtime = of(runtime(directory.path()).socket(&path).start()).await?;
        is::<Runtime>(&started);

        // --- objects
        let number: ObjectRef<u64> = of(rustyray::put(&7_u64)).await?;
        crosses_threads(&number);
        let bytes: ObjectRef<Bytes> = of(rustyray::put_bytes(b"seven")).await?;
        let mut writer: rustyray::ObjectWriter = of(rustyray::create(3)).await?;
        let target: &mut [u8] = writer.deref_mut();
        target.copy_from_slice(b"abc");
        let written: ObjectRef<Bytes> = writer.seal()?;
        drop(of(rustyray::create(3)).await?);
        let seven: u64 = number.get().await?;
        let view: View<u64> = number.view().await?;
        assert_eq!((seven, view.to_native()), (7, 7));
        let shared: Bytes = bytes.view().await?.into();
        assert_eq!(shared, &b"seven"[..]);
        let within: u64 = of(number.get_timeout(Duration::from_secs(60))).await?;
        let (ready, _id): (bool, rustyray::ObjectId) = (number.is_ready(), number.id());
        assert!(ready && within == 7);
        assert_eq!((&number).await?, 7);
        assert_eq!(number.clone().await?, 7);
        let all: Vec<u64> = of(rustyray::get_all(&[number.clone(), number.clone()])).await?;
        assert_eq!(all, [7, 7]);
        let references = vec![number.clone(), number.clone()];
        let (ready, pending): (Vec<ObjectRef<u64>>, Vec<ObjectRef<u64>>) =
            of(rustyray::wait(&references, 1, Some(Duration::from_secs(60)))).await?;
        assert_eq!((ready.len(), pending.len()), (1, 1));

        // --- tasks
        let x: ObjectRef<i64> = add_remote::remote(1, 2).await?;
        let y: ObjectRef<i64> = add_remote::remote(&x, 10).await?;
        assert_eq!(y.get().await?, 13);
        assert_eq!(first_program::add(1, 2), 3);
        let options = add_remote::options()
            .num_cpus(0.5)
            .num_gpus(0.0)
            .resource("tpu", 0.5)
            .memory(1 << 10)
            .max_retries(1)
            .retry_exceptions(false)
            .timeout_ms(60_000)
            .name("adding");
        assert_eq!(options.remote(x.clone(), &y).await?.get().await?, 16);
        let (one, two): (ObjectRef<u64>, ObjectRef<String>) =
            everything_remote::remote(false).await?;
        assert_eq!((one.get().await?, two.get().await?), (1, "two".into()));
        let (failed, _) = everything_remote::remote(true).await?;
        let Err(Error::TaskFailed { message, .. }) = failed.get().await else { panic!("it fails") };
        assert_eq!(message, "it was to");
        let mut stream: rustyray::ObjectRefStream<u64> = items_remote::remote(3).await?;
        let first: ObjectRef<u64> = stream.next().await.expect("the first");
        assert_eq!(first.get().await?, 0);
        let looked: ObjectRef<u64> = looks_at_remote::remote(&written, vec![one]).await?;
        assert_eq!(looked.get().await?, 4);
        of(looked.cancel(CancelOptions { force: false, recursive: false })).await?;

        // --- actors
        let c: CounterHandle = of(Counter::remote(0)).await?;
        let d: CounterHandle = of(Counter::remote_with_step(2, 5)).await?;
        let e: CounterHandle = of(Counter::remote_checked(3)).await?;
        let n: ObjectRef<i64> = of(c.increment()).await?;
        assert_eq!(n.get().await?, 1);
        assert_eq!(d.value().await?.get().await?, 10);
        let named: CounterHandle =
            Counter::options().name("global").get_if_exists(true).detached().remote(4).await?;
        let found: CounterHandle = of(Counter::get("global")).await?;
        assert_eq!(found.clone().value().await?.get().await?, 4);
        of(named.kill()).await?;
        e.leave().await?.get().await?;
        let error = loop {
            match e.value().await?.get().await {
                Err(error) => break error,
                Ok(_) => std::thread::yield_now(),
            }
        };
        assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");

        // --- where the code runs
        let context: Context = rustyray::context();
        let _ = (context.node_id, context.job_id, context.worker_id, context.task_id);
        let _ = (context.attempt, context.is_cancelled());

        of(rustyray::shutdown()).await?;
        of(rustyray::shutdown()).await
    })
    .expect("all of it works");
}

#[test]
fn an_amount_is_a_whole_number_or_a_fraction() {
    rustyray::block_on(async {
        let half: f32 = 0.5;
        let cores: usize = 4;
        let builder = Builder::new().num_cpus(cores).num_gpus(2).resource("tpu", 3_u64);
        let builder = builder.resource("camera", half).visible(false);
        builder.start().await?;
        let options = add_remote::options().num_cpus(1).num_gpus(0).resource("tpu", 1_u32);
        assert_eq!(options.remote(1, 2).await?.get().await?, 3);
        let options = add_remote::options().num_cpus(half).num_gpus(0.5).resource("tpu", 0.5);
        assert_eq!(options.remote(1, 2).await?.get().await?, 3);
        let options = Counter::options().num_cpus(1).num_gpus(1).resource("tpu", 1_i64);
        assert_eq!(options.remote(5).await?.value().await?.get().await?, 5);
        let bundles = [Bundle::new().num_cpus(1).num_gpus(0.5).resource("tpu", 1)];
        PlacementGroup::create(bundles, PlacementStrategy::Pack).await?.ready().await?;
        of(rustyray::shutdown()).await
    })
    .expect("all of them are amounts");
}

#[test]
fn an_amount_that_cannot_be_is_refused_where_it_is_asked_for() {
    let what = |refused: Error| match refused {
        Error::InvalidArgument { what } => what,
        other => panic!("{other:?}"),
    };
    rustyray::block_on(async {
        let spill = tempfile::tempdir().expect("a directory");
        runtime(spill.path()).start().await?;
        let refused = add_remote::options().num_cpus(-1).remote(1, 2).await.unwrap_err();
        let range = "an amount of a resource lies between 0 and 400000";
        assert_eq!(what(refused), format!("`num_cpus` is -1: {range}"));
        let refused = add_remote::options().num_gpus(f64::NAN).remote(1, 2).await.unwrap_err();
        assert_eq!(what(refused), format!("`num_gpus` is NaN: {range}"));
        let refused = items_remote::options().resource("tpu", 1e9).remote(1).await.unwrap_err();
        assert_eq!(what(refused), format!("`tpu` is 1000000000: {range}"));
        let refused = Counter::options().num_cpus(-0.5).remote(1).await.unwrap_err();
        assert_eq!(what(refused), format!("`num_cpus` is -0.5: {range}"));
        let refused = Counter::options().max_concurrency(0).remote(1).await.unwrap_err();
        assert!(what(refused).starts_with("`max_concurrency` is 0"));
        let bundles = [Bundle::new(), Bundle::new().num_cpus(-2)];
        let refused = PlacementGroup::create(bundles, PlacementStrategy::Pack).await.unwrap_err();
        assert_eq!(what(refused), format!("`num_cpus` is -2: {range}"));
        of(rustyray::shutdown()).await
    })
    .expect("nothing else is wrong");
}

#[rustyray::remote]
fn zeroes(len: usize) -> Vec<u8> {
    vec![0; len]
}

#[test]
fn what_is_larger_than_the_store_finds_it_full() {
    const STORE: u64 = 64 << 20;
    let beyond = vec![0_u8; STORE as usize + 1];
    let check = |refused: Error| {
        let Error::ObjectStoreFull { requested, capacity, .. } = &refused else {
            panic!("{refused:?}")
        };
        assert!(*requested > STORE && *capacity == STORE, "{refused}");
        assert!(refused.to_string().contains("larger than the object store"), "{refused}");
        assert!(refused.help().expect("something can be done").contains("object_store_memory"));
    };
    rustyray::block_on(async {
        let spill = tempfile::tempdir().expect("a directory");
        runtime(spill.path()).start().await?;
        check(rustyray::put(&beyond).await.unwrap_err());
        check(rustyray::put_bytes(&beyond).await.unwrap_err());
        check(rustyray::create(beyond.len()).await.map(drop).unwrap_err());
        check(zeroes_remote::remote(beyond.len()).await?.get().await.unwrap_err());
        of(rustyray::shutdown()).await
    })
    .expect("nothing else is wrong");
}

#[rustyray::remote]
async fn asks(counter: CounterHandle) -> rustyray::Result<String> {
    Ok(counter.value().await?.get().await.unwrap_err().to_string())
}

#[test]
fn that_an_actor_is_dead_arrives_where_the_result_is_asked_for() {
    rustyray::block_on(async {
        let spill = tempfile::tempdir().expect("a directory");
        runtime(spill.path()).start().await?;
        let counter = Counter::remote(0).await?;
        counter.kill().await?;
        counter.died().await?;
        let (here, there) = (counter.value().await?, asks_remote::remote(&counter).await?);
        let error = here.get().await.unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");
        assert_eq!(there.get().await?, error.to_string());
        of(rustyray::shutdown()).await
    })
    .expect("the calls themselves are made");
}

#[test]
fn a_view_of_bytes_is_as_good_as_bytes() {
    rustyray::block_on(async {
        let spill = tempfile::tempdir().expect("a directory");
        runtime(spill.path()).start().await?;
        let seven = rustyray::put_bytes(b"seven").await?;
        let view: View<Bytes> = seven.view().await?;
        drop(seven);
        let (head, all): (Bytes, Bytes) = (view.slice(..3), view.slice(..));
        assert_eq!((&head[..], &all), (&b"sev"[..], &view.bytes()));
        assert_eq!((view.len(), view[0], &view[3..]), (5, b's', &b"en"[..]));
        assert_eq!(view, b"seven");
        assert_eq!(view, b"seven"[..]);
        assert_eq!(view, all);
        assert_ne!(view, head);
        let taken = |bytes: &dyn AsRef<[u8]>| bytes.as_ref().to_vec();
        assert_eq!((taken(&view), view.to_vec()), (b"seven".to_vec(), b"seven".to_vec()));
        // Over the shared memory, and longer than the view.
        assert_eq!(all.as_ptr(), view.as_ptr());
        drop(view);
        assert_eq!(all, &b"seven"[..]);
        of(rustyray::shutdown()).await
    })
    .expect("it can be read");
}

#[rustyray::actor]
struct Other;

#[rustyray::actor_methods]
impl Other {
    pub fn new() -> Self {
        Other
    }
    pub fn value(&self) -> i64 {
        7
    }
}

#[rustyray::remote]
async fn finds_the_wrong_one() -> rustyray::Result<String> {
    let by_name = Other::get("global").await.unwrap_err();
    let options = Other::options().name("global").get_if_exists(true);
    assert_eq!(options.remote().await.unwrap_err(), by_name);
    Ok(by_name.to_string())
}

#[test]
fn an_actor_of_another_class_is_not_what_was_asked_for() {
    rustyray::block_on(async {
        let spill = tempfile::tempdir().expect("a directory");
        runtime(spill.path()).start().await?;
        let counter = Counter::options().name("global").remote(4).await?;
        let error = Other::get("global").await.unwrap_err();
        assert!(matches!(error, Error::TypeMismatch { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "actor `global` is `api::without_the_prelude::Counter`, not `api::Other`"
        );
        let options = Other::options().name("global").get_if_exists(true);
        assert_eq!(options.remote().await.unwrap_err(), error);
        assert_eq!(finds_the_wrong_one_remote::remote().await?.get().await?, error.to_string());
        // Whose name it is has taken no harm.
        assert_eq!(counter.value().await?.get().await?, 4);
        assert_eq!(Counter::get("global").await?.value().await?.get().await?, 4);
        of(rustyray::shutdown()).await
    })
    .expect("nothing else is wrong");
}

#[test]
fn the_same_without_async() {
    let _: fn() -> rustyray::Result<Runtime> = rustyray::blocking::init;
    let _ = |path: &Path| -> rustyray::Result<Runtime> { rustyray::blocking::connect(path) };
    let _ = |number: &ObjectRef<u64>| -> rustyray::Result<u64> { number.get_blocking() };
    let _ = || -> rustyray::Result<ObjectRef<u64>> { rustyray::blocking::put(&7_u64) };
    let _ = |number: &ObjectRef<u64>| -> rustyray::Result<u64> { rustyray::blocking::get(number) };
    let _ =
        |all: &[ObjectRef<u64>]| -> rustyray::Result<Vec<u64>> { rustyray::blocking::get_all(all) };
    let _ = |all: &[ObjectRef<u64>]| -> rustyray::Result<(Vec<_>, Vec<_>)> {
        let (ready, pending): (Vec<ObjectRef<u64>>, Vec<ObjectRef<u64>>) =
            rustyray::blocking::wait(all, 1, None)?;
        Ok((ready, pending))
    };
    let _: fn() -> rustyray::Result<()> = rustyray::blocking::shutdown;
    let _ = || async { of(rustyray::init()).await.map(|runtime: Runtime| drop(runtime)) };
    let _ = |path: &'static str| async move {
        of(rustyray::connect(path)).await.map(|runtime: Runtime| drop(runtime))
    };
}

#[test]
fn every_error_is_there() {
    let name = |error: &Error| match error {
        Error::NotInitialized { .. } => "NotInitialized",
        Error::GetTimeout { .. } => "GetTimeout",
        Error::TaskFailed { .. } => "TaskFailed",
        Error::TaskPanicked { .. } => "TaskPanicked",
        Error::TaskCancelled { .. } => "TaskCancelled",
        Error::TaskTimedOut { .. } => "TaskTimedOut",
        Error::WorkerCrashed { .. } => "WorkerCrashed",
        Error::OutOfMemory { .. } => "OutOfMemory",
        Error::ActorDied { .. } => "ActorDied",
        Error::ActorUnavailable { .. } => "ActorUnavailable",
        Error::ActorNameTaken { .. } => "ActorNameTaken",
        Error::PendingCallsLimit { .. } => "PendingCallsLimit",
        Error::ObjectLost { .. } => "ObjectLost",
        Error::ObjectStoreFull { .. } => "ObjectStoreFull",
        Error::TypeMismatch { .. } => "TypeMismatch",
        Error::CorruptObject { .. } => "CorruptObject",
        Error::Unschedulable { .. } => "Unschedulable",
        Error::FunctionNotFound { .. } => "FunctionNotFound",
        Error::RegistryMismatch { .. } => "RegistryMismatch",
        Error::Io { .. } => "Io",
        _ => "one more",
    };
    let error = Error::TaskCancelled { task: "a task".into() };
    assert_eq!(
        (name(&error), error.to_string()),
        ("TaskCancelled", "task `a task` was cancelled".into())
    );
    let _: Option<&str> = error.help();
    let _: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
}
