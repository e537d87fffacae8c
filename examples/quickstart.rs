//! A function becomes a task: it runs in another process, and its result can be passed on before it is there.
//!
//! `cargo run --example quickstart`

use rustyray::prelude::*;

#[rustyray::remote]
fn square(number: u64) -> u64 {
    number * number
}

#[rustyray::remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    // Each call answers at once, with a reference to a result that is still to come.
    let squares: Vec<ObjectRef<u64>> = {
        let mut squares = Vec::new();
        for number in 1..=10 {
            squares.push(square_remote::remote(number).await?);
        }
        squares
    };

    // References are arguments like any other: these tasks wait for what they take.
    let mut sum = rustyray::put(&0_u64).await?;
    for square in &squares {
        sum = add_remote::remote(&sum, square).await?;
    }
    println!("the squares of 1 to 10 make {}", sum.get().await?);

    // The function itself is still there, and runs here.
    assert_eq!(square(3), 9);
    Ok(())
}
