//! Objects and references to them: what a reference costs nobody, and what becomes of it.

use std::time::Duration;

use rustyray::{Builder, Error, ObjectRef};

#[rustyray::remote]
fn nap(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

/// Runs `body` on a runtime of its own.
fn with_runtime(body: impl AsyncFnOnce() -> rustyray::Result<()>) {
    let builder = Builder::new()
        .num_cpus(2.0)
        .object_store_memory(64 << 20)
        .shutdown_grace(Duration::from_millis(100));
    rustyray::block_on(async {
        builder.start().await?;
        body().await?;
        rustyray::shutdown().await
    })
    .expect("it works");
}

fn put(values: std::ops::Range<u64>) -> Vec<ObjectRef<u64>> {
    values.map(|value| rustyray::blocking::put(&value).expect("there is room")).collect()
}

#[test]
fn wait_borrows_its_references_or_takes_them_apart() {
    with_runtime(async || {
        let all = put(0..5);
        let ids = |references: &[ObjectRef<u64>]| {
            references.iter().map(ObjectRef::id).collect::<Vec<_>>()
        };
        let (ready, rest) = rustyray::wait(&all, 2, None).await?;
        assert_eq!((ids(&ready), ids(&rest)), (ids(&all[..2]), ids(&all[2..])));
        let (ready, rest) = rustyray::wait(&all[1..], 4, None).await?;
        assert_eq!((ids(&ready), rest.len()), (ids(&all[1..]), 0));
        let array = [all[3].clone(), all[4].clone()];
        let (ready, rest) = rustyray::wait(&array, 1, None).await?;
        assert_eq!((ids(&ready), ids(&rest)), (ids(&array[..1]), ids(&array[1..])));
        let (ready, rest) = rustyray::wait(all.clone(), 3, None).await?;
        assert_eq!((ids(&ready), ids(&rest)), (ids(&all[..3]), ids(&all[3..])));
        let (ready, rest) = rustyray::wait(Vec::<ObjectRef<u64>>::new(), 0, None).await?;
        assert!(ready.is_empty() && rest.is_empty());
        let error = rustyray::wait(&all, 6, None).await.expect_err("there are five");
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
        Ok(())
    });
}

#[test]
fn wait_finds_the_settled_among_the_pending_in_their_order() {
    with_runtime(async || {
        // They are killed when the runtime ends.
        let slow = [nap_remote::remote(60_000).await?, nap_remote::remote(60_000).await?];
        let fast = put(0..3);
        let mixed = [&slow[0], &fast[0], &slow[1], &fast[1], &fast[2]].map(ObjectRef::clone);
        for owned in [false, true] {
            let waited = match owned {
                false => rustyray::wait(&mixed, 2, None).await?,
                true => rustyray::wait(mixed.to_vec(), 2, None).await?,
            };
            let (ready, rest) = waited;
            assert!(ready == [fast[0].clone(), fast[1].clone()], "{ready:?}");
            assert!(rest == [slow[0].clone(), slow[1].clone(), fast[2].clone()], "{rest:?}");
            let timeout = Some(Duration::from_millis(1));
            let (ready, rest) = rustyray::wait(&mixed, 4, timeout).await?;
            assert_eq!((ready.len(), rest.len()), (3, 2), "it is time");
            assert!(ready == fast, "{ready:?}");
        }
        Ok(())
    });
}

#[test]
fn a_wait_for_all_of_many_ends_with_the_last() {
    with_runtime(async || {
        let mut tasks = Vec::new();
        for at in 0..300 {
            tasks.push(nap_remote::remote(at % 3).await?);
        }
        for wanted in [1, 150, 300] {
            let (ready, rest) = rustyray::wait(&tasks, wanted, None).await?;
            assert_eq!((ready.len(), rest.len()), (wanted, 300 - wanted));
            assert!(ready.iter().all(ObjectRef::is_ready));
        }
        let mut left = tasks;
        while !left.is_empty() {
            let before = left.len();
            (_, left) = rustyray::wait(left, 1, None).await?;
            assert_eq!(left.len(), before - 1);
        }
        Ok(())
    });
}

#[test]
fn waits_of_another_executor_are_woken() {
    let runtime = Builder::new().num_cpus(2.0).object_store_memory(64 << 20);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    tokio.expect("a tokio runtime").block_on(async {
        runtime.start().await.expect("started");
        let mut tasks = Vec::new();
        for at in 0..40 {
            tasks.push(nap_remote::remote(20 + at % 5).await.expect("submitted"));
        }
        let first = rustyray::wait(&tasks, 1, None).await.expect("one settles");
        assert_eq!(first.0.len(), 1);
        let (ready, rest) = rustyray::wait(tasks, 40, None).await.expect("all settle");
        assert_eq!((ready.len(), rest.len()), (40, 0));
        rustyray::shutdown().await.expect("shut down");
    });
}

#[test]
fn a_reference_is_used_on_any_thread_and_goes_with_its_runtime() {
    let kept = std::sync::Mutex::new(None);
    with_runtime(async || {
        let one = rustyray::put(&1u64).await?;
        let id = one.id();
        // A thread that has no runtime of its own, beside other tests' runtimes.
        let (value, copy) = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let copy = one.clone();
                drop(one.clone());
                (copy.get_blocking(), copy)
            });
            thread.join().expect("the thread")
        });
        assert_eq!(value?, 1);
        drop(one);
        assert_eq!(copy.get().await?, 1, "the copy keeps it");
        assert_eq!(copy.id(), id);
        *kept.lock().expect("not poisoned") = Some(copy);
        Ok(())
    });
    let kept = kept.into_inner().expect("not poisoned").expect("it was kept");
    assert!(kept.is_ready(), "there is nothing to wait for");
    let error = kept.clone().get_blocking().expect_err("its runtime is gone");
    assert!(matches!(error, Error::ShutDown { .. }), "{error:?}");
    with_runtime(async || {
        let other = rustyray::put(&2u64).await?;
        assert!(kept != other);
        assert!(kept.get().await.is_err(), "it is not of this runtime");
        drop(kept);
        assert_eq!(other.get().await?, 2);
        Ok(())
    });
}

#[test]
fn references_that_are_read_out_of_a_value_outlive_it_each_by_itself() {
    with_runtime(async || {
        let mut put = put(0..300);
        // Some are in it twice.
        put.extend_from_within(100..150);
        let expected: Vec<u64> = (0..300).chain(100..150).collect();
        let container = rustyray::put(&put).await?;
        drop(put);
        let (mut one, other) = (container.get().await?, container.get().await?);
        drop(container);
        assert_eq!(rustyray::get_all(&one).await?, expected);
        // Half of one and a copy of the other go at the same time.
        let (half, copy) = (one.split_off(150), other.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| drop(half));
            scope.spawn(|| drop(copy));
        });
        assert_eq!(rustyray::get_all(&one).await?, expected[..150]);
        drop(one);
        assert_eq!(rustyray::get_all(&other).await?, expected);
        Ok(())
    });
}
