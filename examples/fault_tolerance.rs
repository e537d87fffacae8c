//! What happens when things go wrong: a process that dies is an event, and an error comes with its causes.
//!
//! `cargo run --example fault_tolerance`

#![allow(unreachable_pub)] // what is `pub` in an actor is what other processes may call

use rustyray::prelude::*;

/// Dies on its first attempt, as code does that a library took down with it. It is run again.
#[rustyray::remote(max_retries = 2)]
fn fragile() -> u32 {
    let attempt = rustyray::context().attempt;
    if attempt == 0 {
        std::process::abort();
    }
    attempt
}

#[rustyray::remote]
fn parse(text: String) -> Result<i64, std::num::ParseIntError> {
    text.parse()
}

#[rustyray::remote]
fn double(number: i64) -> i64 {
    2 * number
}

/// An actor whose process may die once; its state begins anew.
#[rustyray::actor(max_restarts = 1)]
struct Counter {
    count: u32,
}

#[rustyray::actor_methods]
impl Counter {
    pub fn new() -> Self {
        Counter { count: 0 }
    }

    pub fn count(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    pub fn crash(&mut self) {
        std::process::abort();
    }
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let attempt = fragile_remote::remote().await?.get().await?;
    println!("it worked on attempt {attempt}");

    // Nobody ran `double`: it failed with the error of what it takes.
    let number = parse_remote::remote("twelve".to_owned()).await?;
    let doubled = double_remote::remote(&number).await?;
    let error = doubled.get().await.expect_err("`twelve` is no number");
    println!("{error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(found) = cause {
        println!("  caused by: {found}");
        cause = found.source();
    }

    let counter = Counter::remote().await?;
    println!("it counts {}", counter.count().await?.get().await?);
    match counter.crash().await?.get().await {
        // The call may have run, so it is not run twice unless that was asked for.
        Err(Error::ActorUnavailable { reason, .. }) => println!("it was lost: {reason}"),
        other => println!("{other:?}"),
    }
    println!("it counts {} again", counter.count().await?.get().await?);
    Ok(())
}
