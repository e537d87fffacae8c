//! Work that is no longer wanted: cancelled, limited in time, or waited for only so long.
//!
//! `cargo run --example cancellation`

use std::time::Duration;

use rustyray::prelude::*;

/// A task that looks now and then whether it is still wanted.
#[rustyray::remote]
fn search(needle: u64) -> Option<u64> {
    let mut candidate = 0_u64;
    while !rustyray::context().is_cancelled() {
        candidate += 1;
        if candidate == needle {
            return Some(candidate);
        }
    }
    None
}

/// A task that may run for 50 ms.
#[rustyray::remote(timeout_ms = 50, max_retries = 0)]
async fn slow() -> u8 {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    0
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let hopeless = search_remote::remote(0).await?;
    match hopeless.get_timeout(Duration::from_millis(100)).await {
        Err(Error::GetTimeout { .. }) => println!("not found yet: it goes on"),
        other => println!("{other:?}"),
    }
    hopeless.cancel(CancelOptions::default()).await?;
    println!("{}", hopeless.get().await.expect_err("it was cancelled"));

    let overdue = slow_remote::remote().await?;
    println!("{}", overdue.get().await.expect_err("it takes too long"));

    // The first of several is enough; the others are let go.
    let mut racers = Vec::new();
    for needle in [3_000_000, 1_000, 2_000_000] {
        racers.push(search_remote::remote(needle).await?);
    }
    let (first, rest) = rustyray::wait(&racers, 1, None).await?;
    println!("the first is {:?}", first[0].get().await?);
    for loser in rest {
        loser.cancel(CancelOptions::default()).await?;
    }
    Ok(())
}
