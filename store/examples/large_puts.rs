//! What a large put costs: the first one, with and without memory that was made ready, and those after it,
//! against copying as many bytes.
//!
//! `cargo run --release -p rustyray-store --example large_puts [MiB of the largest]`. All in the node's own
//! process, on one thread, puts and copies in turns. *Copy* is into the same bytes every time, which for small
//! objects are then in the processor's caches. *Apart* is a copy into warm pages that were last written 64 MiB
//! ago, as a put's place is where one object is put while another still lives.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rustyray_store::{Config, Node};

const MIB: usize = 1 << 20;

fn timed(body: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    body();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// The first put into a new store, when that much is ready.
fn first(bytes: &[u8], reserve_bytes: u64) -> Result<Duration, Box<dyn std::error::Error>> {
    let config = Config {
        capacity_bytes: 2 * bytes.len() as u64 + (64 << 20),
        reserve_bytes: Some(reserve_bytes),
        ..Config::default()
    };
    let node = Node::create(config)?;
    let client = node.client();
    let begun = Instant::now();
    while node.stats().reserve_bytes < reserve_bytes {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("no processor had the time, or no memory could be spared".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut id = None;
    let time = timed(|| id = client.put_bytes(bytes).ok());
    client.release(id.ok_or("there is room")?);
    Ok(time)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let most: usize = std::env::args().nth(1).map_or(Ok(128), |text| text.parse())?;
    println!(
        "{:>10}  first put: as it is, ready   later puts    copy     apart   put : copy, apart",
        "KiB"
    );
    for len in (18..).step_by(1).map(|shift| 1usize << shift).take_while(|len| *len <= most * MIB) {
        let bytes = vec![7u8; len];
        let as_it_is = first(&bytes, 0)?;
        let ready = first(&bytes, (len + 4 * MIB) as u64)?;

        let config = Config {
            capacity_bytes: (3 * len as u64).max(2 << 30),
            reserve_bytes: Some(0),
            ..Config::default()
        };
        let node = Node::create(config)?;
        let client = node.client();
        let put = || client.release(client.put_bytes(&bytes).expect("there is room"));
        (0..(16 * MIB).div_ceil(len)).for_each(|_| put());
        let mut same = vec![1u8; len];
        let mut apart = vec![1u8; (64 * MIB).max(len)];
        let (mut puts, mut copies, mut aparts) = (vec![], vec![], vec![]);
        for turn in 0..((1 << 32) / len).clamp(7, 401) {
            let at = turn * len % apart.len();
            puts.push(timed(put));
            copies.push(timed(|| black_box(&mut same).copy_from_slice(black_box(&bytes))));
            let to = &mut apart[at..at + len];
            aparts.push(timed(|| black_box(to).copy_from_slice(black_box(&bytes))));
        }
        let (put, copy, apart) = (median(puts), median(copies), median(aparts));
        println!(
            "{:>10}  {:>12.3?} {:>14.3?} {:>9.1} µs {:>7.1} {:>9.1}   {:.2} {:.2}",
            len >> 10,
            as_it_is,
            ready,
            put * 1e6,
            copy * 1e6,
            apart * 1e6,
            copy / put,
            apart / put
        );
    }
    Ok(())
}
