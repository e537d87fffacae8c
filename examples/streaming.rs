//! A task that gives one object after the other: the first is used while the later ones are being made.
//!
//! `cargo run --example streaming`

/// Primes below `limit`, as they are found. `backpressure` is how far the task may run ahead of whoever
/// consumes.
#[rustyray::remote(num_returns = "streaming", backpressure = 8)]
fn primes(limit: u64) -> impl Iterator<Item = u64> {
    (2..limit).filter(|&number| (2..).take_while(|d| d * d <= number).all(|d| number % d != 0))
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let mut stream = primes_remote::remote(1_000).await?;
    let mut sum = 0;
    while let Some(prime) = stream.next().await {
        sum += prime.get().await?;
    }
    println!("the primes below 1000 make {sum}");

    // Dropping a stream early stops its task.
    let mut endless = primes_remote::remote(u64::MAX).await?;
    for _ in 0..5 {
        if let Some(prime) = endless.next().await {
            println!("{}", prime.get().await?);
        }
    }
    Ok(())
}
