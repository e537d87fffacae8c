//! Stages that overlap: each item goes through its own chain of tasks, and nobody waits for a whole stage.
//!
//! `cargo run --example pipeline`

use rustyray::prelude::*;

/// Stage one: makes a signal with some noise.
#[rustyray::remote]
fn record(seed: u32) -> Vec<f32> {
    let noise =
        |at: u32| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 65_536.0;
    (0..10_000).map(|at| (at as f32 / 50.0).sin() + noise(at) - 0.5).collect()
}

/// Stage two: smooths it. The view reads the signal where it lies, without a copy.
#[rustyray::remote]
fn smooth(signal: View<Vec<f32>>) -> Vec<f32> {
    signal[..].windows(16).map(|window| window.iter().sum::<f32>() / 16.0).collect()
}

/// Stage three: counts how often it crosses zero.
#[rustyray::remote]
fn crossings(signal: View<Vec<f32>>) -> usize {
    let signs: Vec<bool> = signal.iter().map(|value| *value > 0.0).collect();
    signs.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let mut results = Vec::new();
    for seed in 0..24 {
        let signal = record_remote::remote(seed).await?;
        let smoothed = smooth_remote::remote(&signal).await?;
        results.push(crossings_remote::remote(&smoothed).await?);
        // The signals themselves are let go of here; each lives until its own next stage has read it.
    }
    rustyray::progress("signals", &results).await?;
    let crossings = rustyray::get_all(&results).await?;
    println!("{} crossings in {} signals", crossings.iter().sum::<usize>(), crossings.len());
    Ok(())
}
