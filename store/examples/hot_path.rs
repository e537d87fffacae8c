//! What a small get and a small put cost, in a loop.
//!
//! `cargo run --release -p rustyray-store --example hot_path [iterations]`; under `strace -c -f` it
//! shows that neither makes a system call. The loops run in the node's own process, on one thread, with
//! everything in the processor's caches: it does not show what contention or cold memory cost.

use std::{hint::black_box, time::Instant};

use rustyray_store::{Config, Node, View};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let iterations: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let node = Node::create(Config { capacity_bytes: 1 << 30, ..Config::default() })?;
    let client = node.client();
    let id = client.put(&[7u64; 16])?;
    let per = |what: &str, begun: Instant| {
        let ns = begun.elapsed().as_nanos() as f64 / iterations as f64;
        println!("{what:<44} {ns:8.1} ns");
    };

    for round in 0..2 {
        println!("round {round}");
        let begun = Instant::now();
        for _ in 0..iterations {
            let view: View<[u64; 16]> = client.view(id)?;
            black_box(view[3]);
        }
        per("get: pin, check, read, unpin (128 B)", begun);

        let begun = Instant::now();
        for _ in 0..iterations {
            client.retain(id)?;
            client.release(id);
        }
        per("retain + release, not the first", begun);

        let begun = Instant::now();
        for i in 0..iterations {
            client.release(client.put(&[i; 16])?);
        }
        per("reserve + put + drop (128 B)", begun);

        let begun = Instant::now();
        let text = "a string of some thirty bytes.".to_owned();
        for _ in 0..iterations {
            client.release(client.put(&text)?);
        }
        per("reserve + put + drop (String of 30 B)", begun);
    }
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
