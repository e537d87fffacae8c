//! What is settled while the store has no room at all: nobody waits for it for ever.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::time::Duration;

use rustyray::{Bundle, PlacementGroup, PlacementStrategy, prelude::*};
use rustyray_store::without_waiting;

/// By then what was to come has come, or never will.
const LONG: Duration = Duration::from_secs(60);

#[rustyray::actor(num_cpus = 0)]
struct Resident;

#[rustyray::actor_methods]
impl Resident {
    pub fn new() -> Self {
        Resident
    }

    pub fn lives(&self) {}
}

/// Fills the store with what cannot be moved, to the last byte.
async fn fill() -> rustyray::Result<Vec<View<Vec<u8>>>> {
    let mut kept = Vec::new();
    for len in [1 << 16, 1 << 12, 1] {
        let put = || without_waiting(|| rustyray::blocking::put(&vec![3_u8; len]));
        while let Ok(object) = put() {
            kept.push(object.view().await?);
        }
    }
    Ok(kept)
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn a_group_whose_turn_comes_is_ready() -> rustyray::Result<()> {
    let of_one = || PlacementGroup::create([Bundle::new().num_cpus(1.0)], PlacementStrategy::Pack);
    let (first, second) = (of_one().await?, of_one().await?);
    first.ready().await?;
    assert!(!second.wait(Duration::ZERO).await?);
    let kept = fill().await?;
    first.remove().await?;
    assert!(second.wait(LONG).await?);
    drop(kept);
    Ok(())
}

#[rustyray::test(num_cpus = 1, object_store_memory = "8MiB")]
async fn an_actors_death_is_told_if_not_how_it_died() -> rustyray::Result<()> {
    let resident = Resident::remote().await?;
    resident.lives().await?.get().await?;
    let death = resident.death().await?;
    let kept = fill().await?;
    resident.kill().await?;
    let told = death.get_timeout(LONG).await;
    assert!(told.is_err() && death.is_ready(), "{told:?}");
    drop(kept);
    Ok(())
}
