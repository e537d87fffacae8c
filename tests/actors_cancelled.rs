//! Cancelling with all that was submitted, where that goes through actors: whichever way each call went.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::time::Duration;

use rustyray::{CancelOptions, Error, prelude::*};

const RECURSIVE: CancelOptions = CancelOptions { force: false, recursive: true };

/// How long something may take that does happen: more than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than go by the node before there is a line.
const OFTEN: u64 = 64;

/// More than a line has room for.
const MANY: u64 = 1500;

#[rustyray::remote(num_cpus = 0)]
async fn never() -> u64 {
    std::future::pending().await
}

/// Keeps references, for whoever looks after them when their owner is gone.
#[rustyray::actor]
#[derive(Default)]
struct Keeper {
    kept: Vec<ObjectRef<u64>>,
}

#[rustyray::actor_methods]
impl Keeper {
    pub fn new() -> Self {
        Keeper::default()
    }

    pub fn keep(&mut self, kept: Vec<ObjectRef<u64>>) -> u64 {
        self.kept.extend(kept);
        self.kept.len() as u64
    }

    pub fn take(&mut self) -> Vec<ObjectRef<u64>> {
        std::mem::take(&mut self.kept)
    }
}

/// Waits for others.
#[rustyray::actor(max_concurrency = 8)]
struct Waiter;

#[rustyray::actor_methods]
impl Waiter {
    pub fn new() -> Self {
        Waiter
    }

    pub async fn number(&self, number: u64) -> u64 {
        number
    }

    pub async fn waits(&self) -> u64 {
        std::future::pending().await
    }

    /// Waits for a task of its own.
    pub async fn waits_for_its_own(&self, keeper: KeeperHandle) -> rustyray::Result<u64> {
        let own = never_remote::remote().await?;
        keeper.keep(vec![own.clone()]).await?.get().await?;
        own.get().await
    }

    /// Waits for another's call that does the same, which goes by a line, for one that goes by the node, and for a task.
    pub async fn waits_for_others(
        &self,
        others: Vec<WaiterHandle>,
        keeper: KeeperHandle,
    ) -> rustyray::Result<u64> {
        let [often, seldom] = &others[..] else { panic!("there are two") };
        for number in 0..OFTEN {
            assert_eq!(often.number(number).await?.get().await?, number);
        }
        let mut all = vec![seldom.waits().await?, never_remote::remote().await?];
        all.push(often.waits_for_its_own(keeper.clone()).await?);
        keeper.keep(all.clone()).await?.get().await?;
        Ok(rustyray::get_all(&all).await?.len() as u64)
    }
}

/// Calls by a line: what begins, what waits for an argument, what waits behind that, and more than there is room for;
/// and by the node.
#[rustyray::remote(num_cpus = 0)]
async fn calls(
    often: WaiterHandle,
    seldom: WaiterHandle,
    keeper: KeeperHandle,
    pending: Vec<ObjectRef<u64>>,
) -> rustyray::Result<u64> {
    for number in 0..OFTEN {
        assert_eq!(often.number(number).await?.get().await?, number);
    }
    let mut all = vec![often.waits().await?, seldom.waits().await?];
    all.push(often.number(&pending[0]).await?);
    for number in 0..MANY {
        all.push(often.number(number).await?);
    }
    keeper.keep(all.clone()).await?.get().await?;
    Ok(rustyray::get_all(&all).await?.len() as u64)
}

#[rustyray::remote(num_cpus = 0)]
async fn cancels(what: Vec<ObjectRef<u64>>) -> rustyray::Result<()> {
    what[0].cancel(RECURSIVE).await
}

/// So many references that others have kept.
async fn kept(keeper: &KeeperHandle, how_many: usize) -> rustyray::Result<Vec<ObjectRef<u64>>> {
    let mut all = Vec::new();
    while all.len() < how_many {
        tokio::time::sleep(Duration::from_millis(1)).await;
        all.extend(keeper.take().await?.get_timeout(PATIENCE).await?);
    }
    Ok(all)
}

async fn assert_cancelled(all: &[ObjectRef<u64>]) {
    for (at, one) in all.iter().enumerate() {
        let came = one.get_timeout(PATIENCE).await;
        assert!(matches!(came, Err(Error::TaskCancelled { .. })), "{at}: {came:?}");
    }
}

#[rustyray::test(num_cpus = 1)]
async fn the_calls_that_a_task_made_are_cancelled_with_it() -> rustyray::Result<()> {
    let (often, seldom) = (Waiter::remote().await?, Waiter::remote().await?);
    let keeper = Keeper::remote().await?;
    let pending = seldom.waits().await?;
    let others = vec![pending.clone()];
    let task = calls_remote::remote(&often, &seldom, &keeper, others).await?;
    let made = kept(&keeper, 3 + MANY as usize).await?;
    task.cancel(RECURSIVE).await?;
    assert_cancelled(std::slice::from_ref(&task)).await;
    assert_cancelled(&made).await;
    // What it did not submit goes on, and the actors live.
    assert!(!pending.is_ready());
    pending.cancel(CancelOptions::default()).await?;
    for actor in [often, seldom] {
        assert_eq!(actor.number(7).await?.get_timeout(PATIENCE).await?, 7);
    }
    Ok(())
}

/// What a call that came by a line has submitted, whoever cancels it.
#[rustyray::test(num_cpus = 1)]
async fn what_a_call_has_submitted_is_cancelled_with_it_however_it_came() -> rustyray::Result<()> {
    let waiter = Waiter::remote().await?;
    for calls_before in [0, OFTEN] {
        for number in 0..calls_before {
            assert_eq!(waiter.number(number).await?.get().await?, number);
        }
        for by_another in [false, true] {
            let (often, seldom) = (Waiter::remote().await?, Waiter::remote().await?);
            let keeper = Keeper::remote().await?;
            let others = vec![often, seldom];
            let call = waiter.waits_for_others(others, keeper.clone()).await?;
            let made = kept(&keeper, 4).await?;
            match by_another {
                false => call.cancel(RECURSIVE).await?,
                true => cancels_remote::remote(vec![call.clone()]).await?.get().await?,
            }
            assert_cancelled(std::slice::from_ref(&call)).await;
            assert_cancelled(&made).await;
        }
    }
    assert_eq!(waiter.number(7).await?.get_timeout(PATIENCE).await?, 7);
    Ok(())
}
