//! Within one process: what the same shape of work costs where nothing has to cross.

use std::time::Duration;

use kameo::{
    Actor,
    actor::Spawn,
    error::SendError,
    message::{Context, Message},
};

use crate::{
    Outcome,
    sample::{Figure, Unit, sample, sample_many},
};

const BATCH: u32 = 1000;

#[derive(Actor)]
struct Answerer;

struct Ask;

impl Message<Ask> for Answerer {
    type Reply = Vec<u8>;

    async fn handle(&mut self, _: Ask, _: &mut Context<Self, Self::Reply>) -> Vec<u8> {
        b"ok".to_vec()
    }
}

pub(crate) fn kameo(time: Duration) -> Outcome<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let actor = runtime.block_on(async { Answerer::spawn(Answerer) });
    // From a task, as code of tokio does it, not from the thread that blocks.
    let asked = || {
        let actor = actor.clone();
        let task = runtime.spawn(async move {
            for _ in 0..BATCH {
                assert_eq!(actor.ask(Ask).await?, b"ok");
            }
            Ok::<_, SendError<Ask>>(())
        });
        runtime.block_on(task)
    };
    let ask = sample_many("asks, one after the other", time, BATCH, || Ok(asked()??))?;
    let piped = || {
        let actor = actor.clone();
        let task = runtime.spawn(async move {
            let mut pending = Vec::with_capacity(BATCH as usize);
            for _ in 0..BATCH {
                pending.push(actor.ask(Ask).enqueue().await.expect("the actor runs"));
            }
            for answer in pending {
                assert_eq!(answer.await?, b"ok");
            }
            Ok::<_, SendError<Ask>>(())
        });
        runtime.block_on(task)
    };
    let pipelined = sample_many("1000 pipelined asks", time, BATCH, || Ok(piped()??))?;
    Ok(vec![ask, pipelined])
}

pub(crate) fn tokio(time: Duration) -> Outcome<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    // From a task, as code of tokio does it, not from the thread that blocks.
    let run = |tasks: u32| {
        runtime.block_on(async move {
            tokio::spawn(async move {
                let spawned: Vec<_> =
                    (0..tasks).map(|_| tokio::spawn(async { b"ok".to_vec() })).collect();
                for task in spawned {
                    assert_eq!(task.await?, b"ok");
                }
                Ok::<_, tokio::task::JoinError>(())
            })
            .await?
        })
    };
    let many = sample_many("1000 spawns, and their results", time, BATCH, || Ok(run(BATCH)?))?;
    Ok(vec![spawn_and_join(&runtime, time)?, many])
}

fn spawn_and_join(runtime: &tokio::runtime::Runtime, time: Duration) -> Outcome<Figure> {
    sample_many("spawn and join, one after the other", time, BATCH, || {
        Ok(runtime.block_on(async {
            tokio::spawn(async {
                for _ in 0..BATCH {
                    assert_eq!(tokio::spawn(async { b"ok".to_vec() }).await?, b"ok");
                }
                Ok::<_, tokio::task::JoinError>(())
            })
            .await?
        })?)
    })
}

pub(crate) fn rayon(time: Duration) -> Outcome<Vec<Figure>> {
    let scope = sample_many("scope of 1000 tasks", time, BATCH, || {
        let mut results = vec![Vec::new(); BATCH as usize];
        rayon::scope(|scope| {
            for result in &mut results {
                scope.spawn(|_| *result = b"ok".to_vec());
            }
        });
        assert!(results.iter().all(|result| result == b"ok"));
        Ok(())
    })?;
    let join = rayon::scope(|_| {
        sample("join of two closures", Unit::Nanoseconds, time, 1000, || {
            let (left, right) = rayon::join(|| std::hint::black_box(1), || std::hint::black_box(2));
            assert_eq!(left + right, 3);
            Ok(())
        })
        .map_err(|error| error.to_string())
    })?;
    Ok(vec![scope, join])
}
