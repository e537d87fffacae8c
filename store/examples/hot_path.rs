//! What a small get and a small put cost, in a loop.
//!
//! `cargo run --release -p rustyray-store --example hot_path [iterations]`; under `strace -c -f` it
//! shows that neither makes a system call. The loops run in the node's own process, on one thread, with
//! everything in the processor's caches: it does not show what contention or cold memory cost. Each figure is the
//! best of twenty batches, so that a busy machine does not show either.

use std::{hint::black_box, time::Instant};

use rustyray_store::{Config, Node, View};

/// Runs `body` the given number of times, in batches, and prints the best batch's time for one run.
fn best(what: &str, iterations: u64, mut body: impl FnMut(u64)) {
    const BATCHES: u64 = 20;
    let len = (iterations / BATCHES).max(1);
    let batch = |batch: u64| {
        let begun = Instant::now();
        (batch * len..(batch + 1) * len).for_each(&mut body);
        begun.elapsed().as_nanos() as f64 / len as f64
    };
    let ns = (0..BATCHES).map(batch).fold(f64::INFINITY, f64::min);
    println!("{what:<44} {ns:8.1} ns");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let iterations: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let node = Node::create(Config { capacity_bytes: 1 << 30, ..Config::default() })?;
    let client = node.client();
    let id = client.put(&[7u64; 16])?;

    best("get: pin, check, read, unpin (128 B)", iterations, |_| {
        let view: View<[u64; 16]> = client.view(id).expect("it is held");
        black_box(view[3]);
    });
    best("retain + release, not the first", iterations, |_| {
        client.retain(id).expect("it is held");
        client.release(id);
    });
    best("reserve + put + drop (128 B)", iterations, |i| {
        client.release(client.put(&[i; 16]).expect("there is room"));
    });
    let text = "a string of some thirty bytes.".to_owned();
    best("reserve + put + drop (String of 30 B)", iterations, |_| {
        client.release(client.put(&text).expect("there is room"));
    });

    let large = vec![1u64; 16 << 20];
    let mut copy = vec![0u64; 16 << 20];
    copy.copy_from_slice(&large);
    for round in 0..4 {
        let begun = Instant::now();
        copy.copy_from_slice(black_box(&large));
        let memcpy = begun.elapsed();
        black_box(&mut copy);
        let begun = Instant::now();
        let id = client.put(&large)?;
        let put = begun.elapsed();
        client.release(id);
        println!(
            "128 MiB, round {round}: put {put:?}, warm memcpy {memcpy:?}, ratio {:.2}",
            memcpy.as_secs_f64() / put.as_secs_f64()
        );
    }
    println!("{:?}", node.stats());
    Ok(())
}
