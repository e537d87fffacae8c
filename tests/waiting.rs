//! What users rely on when they wait: for long, for many, from anywhere.
//!
//! `RUSTYRAY_LONG=1` waits a minute for a task where the ordinary run waits a second.

use std::{
    future::{Future, IntoFuture},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use rustyray::prelude::*;

#[rustyray::remote]
fn pause(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

#[rustyray::remote]
async fn pause_later(ms: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    ms
}

#[rustyray::remote]
fn echo(value: u64) -> u64 {
    value
}

#[rustyray::test(num_cpus = 2)]
async fn a_thousand_waits_over_a_thousand_references_give_each_once() -> rustyray::Result<()> {
    let mut left = Vec::new();
    for value in 0..1_000 {
        left.push(echo_remote::remote(value).await?);
    }
    let mut seen = Vec::new();
    while !left.is_empty() {
        let (ready, pending) = rustyray::wait(&left, 1, None).await?;
        assert_eq!((ready.len(), pending.len()), (1, left.len() - 1));
        seen.push(ready[0].get().await?);
        left = pending;
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    Ok(())
}

/// Waiting for all of many is looked at once for each, not once for each and each.
#[rustyray::test(num_cpus = 2)]
async fn waiting_for_many_polls_as_often_as_there_are() -> rustyray::Result<()> {
    for num_returns in [1, 250, 500] {
        let mut references = Vec::new();
        for value in 0..500 {
            references.push(echo_remote::remote(value).await?);
        }
        let polls = AtomicUsize::new(0);
        let mut wait = std::pin::pin!(rustyray::wait(&references, num_returns, None));
        let waited = std::future::poll_fn(|context| {
            polls.fetch_add(1, Ordering::Relaxed);
            wait.as_mut().poll(context)
        });
        let (ready, pending) = waited.await?;
        assert_eq!((ready.len(), pending.len()), (num_returns, 500 - num_returns));
        assert!(ready.iter().all(ObjectRef::is_ready));
        // Each wake but a few for no reason finds at least one more.
        let polls = polls.into_inner();
        assert!(polls <= 2 * num_returns + 2, "{polls} polls for {num_returns}");
    }
    Ok(())
}

#[rustyray::test(num_cpus = 1)]
async fn a_long_task_is_simply_waited_for() -> rustyray::Result<()> {
    let ms = if std::env::var_os("RUSTYRAY_LONG").is_some() { 60_000 } else { 1_000 };
    let started = Instant::now();
    assert_eq!(pause_remote::remote(ms).await?.get().await?, ms);
    assert_eq!(pause_later_remote::remote(ms).await?.get().await?, ms);
    assert!(started.elapsed() >= Duration::from_millis(2 * ms));
    let reference = pause_remote::remote(ms).await?;
    assert_eq!(std::thread::spawn(move || reference.get_blocking()).join().expect("ends")?, ms);
    Ok(())
}

/// One thread waits for objects of two runtimes at once, and is woken for either.
#[test]
fn objects_of_two_runtimes_are_waited_for_together() {
    let first = rustyray::blocking::init().expect("a node starts");
    let submit = |ms| rustyray::block_on(pause_remote::remote(ms)).expect("submitted");
    let here = submit(300);
    let (there, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let runtime = rustyray::blocking::init().expect("another node starts");
            (rustyray::block_on(pause_remote::remote(100)).expect("submitted"), runtime)
        });
        other.join().expect("no panic")
    });
    let (mut here, mut there) = (here.into_future(), there.into_future());
    let mut order = Vec::new();
    rustyray::block_on(std::future::poll_fn(|context| {
        for (name, future) in [("here", &mut here), ("there", &mut there)] {
            if !order.contains(&name)
                && let Poll::Ready(value) = std::pin::Pin::new(future).poll(context)
            {
                value.expect("a value");
                order.push(name);
            }
        }
        if order.len() == 2 { Poll::Ready(()) } else { Poll::Pending }
    }));
    assert_eq!(order.len(), 2);
    rustyray::block_on(second.shutdown()).expect("it ends");
    rustyray::block_on(first.shutdown()).expect("it ends");
}

#[rustyray::remote]
fn busy(us: u64) -> u64 {
    let started = Instant::now();
    while started.elapsed() < Duration::from_micros(us) {
        std::hint::spin_loop();
    }
    us
}

/// Two threads wait, each for a task of its own; which is done first changes from round to round. Whoever is
/// awake when the other's result comes sees to it that the other learns of it.
#[rustyray::test(num_cpus = 2)]
async fn threads_that_wait_beside_each_other_all_get_their_answers() -> rustyray::Result<()> {
    let (done, rounds) = std::sync::mpsc::channel();
    for round in 0..400_u64 {
        for us in [round * 7919 % 300, round * 104_729 % 300] {
            let (reference, done) = (busy_remote::remote(us).await?, done.clone());
            std::thread::spawn(move || {
                let answer = rustyray::blocking::get(&reference);
                // Nobody listens any more when the test has failed.
                let _ = done.send(answer.map(|answer| answer == us));
            });
        }
        for _ in 0..2 {
            let answer = rounds.recv_timeout(Duration::from_secs(60));
            assert!(answer.unwrap_or_else(|_| panic!("round {round}: a thread sleeps on"))?);
        }
    }
    Ok(())
}

/// A stream whose first item never comes.
#[rustyray::remote(num_returns = "streaming")]
fn never() -> impl futures_core::Stream<Item = u64> {
    struct Never;
    impl futures_core::Stream for Never {
        type Item = u64;

        fn poll_next(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
            Poll::Pending
        }
    }
    Never
}

/// Whoever looks at the same object again and again, each time for a while, leaves nothing there.
/// Futures of one task have one waker, and each is to be woken for as long as it waits.
#[test]
fn a_wait_that_is_given_up_takes_the_waker_of_no_other() {
    struct Thread(std::thread::Thread, AtomicUsize);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::Release);
            self.0.unpark();
        }
    }
    let builder = rustyray::Builder::new().num_cpus(1.0).visible(false);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    for gives_up in [0, 1] {
        let slow = rustyray::block_on(pause_remote::remote(300)).expect("submitted");
        let both = [slow.clone(), slow.clone()];
        let thread = Arc::new(Thread(std::thread::current(), AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&thread));
        let context = &mut Context::from_waker(&waker);
        let mut stays = Box::pin(slow.get());
        let mut leaves: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 2] = [
            Box::pin(async { drop(slow.get().await) }),
            Box::pin(async { drop(rustyray::wait(&both, 2, None).await) }),
        ];
        assert!(stays.as_mut().poll(context).is_pending());
        assert!(leaves[gives_up].as_mut().poll(context).is_pending());
        // As where the task was woken for something else.
        assert!(stays.as_mut().poll(context).is_pending());
        drop(leaves);
        let until = Instant::now() + Duration::from_secs(60);
        while thread.1.load(Ordering::Acquire) == 0 && Instant::now() < until {
            std::thread::park_timeout(Duration::from_secs(1));
        }
        assert!(thread.1.load(Ordering::Acquire) > 0, "the result came, and nobody was woken");
        let Poll::Ready(value) = stays.as_mut().poll(context) else { panic!("it was woken") };
        assert_eq!(value.expect("it ends well"), 300);
    }
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[test]
fn a_wait_that_is_given_up_under_another_executor_leaves_no_waker() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let builder = rustyray::Builder::new().num_cpus(4.0).visible(false);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let long = 1_000_000;
    let (one, other, mut stream) = rustyray::block_on(async {
        let (one, other) = (pause_later_remote::remote(long), pause_later_remote::remote(long));
        Ok::<_, Error>((one.await?, other.await?, never_remote::remote().await?))
    })
    .expect("submitted");
    let both = [one.clone(), other.clone()];
    let nobody = Arc::new(Nobody);
    let polled = |waiting: &mut dyn FnMut(&mut Context<'_>) -> bool| {
        let waker = Waker::from(Arc::clone(&nobody));
        assert!(waiting(&mut Context::from_waker(&waker)), "nothing comes of it yet");
        assert!(Arc::strong_count(&nobody) > 2, "it is to be woken");
    };
    let given_up = |what: &str| {
        // An alarm goes when the background gets to it.
        let is_left = || Arc::strong_count(&nobody) > 1;
        let left = (0..60_000).all(|_| {
            std::thread::sleep(Duration::from_millis(u64::from(is_left())));
            is_left()
        });
        assert!(!left, "{what} left {}", Arc::strong_count(&nobody) - 1);
    };
    macro_rules! give_up {
        ($($future:expr),+ $(,)?) => {$({
            let mut future = Box::pin($future);
            polled(&mut |context| future.as_mut().poll(context).is_pending());
            drop(future);
            given_up(stringify!($future));
        })+};
    }
    for _ in 0..3 {
        give_up!(
            one.get(),
            one.view(),
            one.clone().into_future(),
            one.get_timeout(Duration::from_secs(1_000)),
            rustyray::wait(&both, 1, None),
            rustyray::wait(&both, 2, Some(Duration::from_secs(1_000))),
        );
    }
    let end = stream.completed();
    let mut next = Box::pin(stream.next());
    polled(&mut |context| next.as_mut().poll(context).is_pending());
    drop(next);
    drop(stream);
    given_up("a stream");
    let by_force = CancelOptions { force: true, recursive: false };
    rustyray::block_on(async {
        end.cancel(by_force).await?;
        one.cancel(by_force).await?;
        other.cancel(by_force).await
    })
    .expect("they are cancelled");
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}
