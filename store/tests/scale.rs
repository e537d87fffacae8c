//! Many clients and many objects: as many as there may be, and what each costs.
//!
//! The tests that are ignored are the full size; `cargo test --release -p rustyray-store --test scale -- --ignored
//! --nocapture --test-threads 1` runs them and prints what they measured.

mod direct;

use std::sync::Arc;

use direct::join;
use rustyray_store::{Config, Error, Node, View};

fn node(capacity_bytes: u64) -> Arc<Node> {
    Node::create(Config { capacity_bytes, ..Config::default() }).expect("a store")
}

#[test]
fn as_many_clients_as_there_are_bits_share_objects() {
    let node = node(1 << 30);
    let clients: Vec<_> = (1..256).map(|_| join(&node).expect("admitted")).collect();
    assert!(matches!(join(&node), Err(Error::TooManyClients)));
    assert_eq!(node.stats().clients, 256);
    let ids: Vec<_> =
        clients.iter().map(|client| client.put(&client.id().get()).expect("put")).collect();
    for (at, client) in clients.iter().enumerate() {
        let (next, id) = (&clients[(at + 1) % clients.len()], ids[at]);
        next.retain(id).expect("somebody holds it");
        client.release(id);
        let view: View<u8> = next.view(id).expect("view");
        assert_eq!(view.to_owned_value().expect("owned"), client.id().get());
    }
    for (at, id) in ids.iter().enumerate() {
        clients[(at + 1) % clients.len()].release(*id);
    }
    node.collect(usize::MAX);
    assert!(node.leaks().is_empty());
}

/// Bytes of memory that this process has, what it maps of shared memory included.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}

/// `alive` objects at once, and `session` in all; what each of those that are alive costs in bytes.
fn run(alive: u64, session: u64) -> u64 {
    let node = node(2 << 30);
    // The node's own: another one in this process would map the same memory once more.
    let client = node.client();
    // The buffer of ids is there before it is measured.
    let mut ids = vec![client.put(&u64::MAX).expect("put"); alive as usize];
    client.release(ids[0]);
    let before = resident_bytes();
    for (value, id) in ids.iter_mut().enumerate() {
        *id = client.put(&(value as u64)).expect("put");
    }
    let each = resident_bytes().saturating_sub(before) / alive;
    // Of the data a line each, and what is open or full but for a few.
    let used = node.stats().used_bytes;
    assert!(used <= alive * 64 + (8 << 20), "{used} bytes of data for {alive} objects");
    // Each of the rest takes the place of the one that is oldest.
    for value in alive..session {
        let id = &mut ids[(value % alive) as usize];
        client.release(*id);
        *id = client.put(&value).expect("put");
    }
    for at in (0..alive).step_by(997) {
        let view: View<u64> = client.view(ids[at as usize]).expect("view");
        let value = view.to_owned_value().expect("owned");
        assert_eq!(value % alive, at);
        assert!(value + alive >= session, "{value} is of the last round");
    }
    ids.iter().for_each(|&id| client.release(id));
    node.collect(usize::MAX);
    assert!(node.leaks().is_empty());
    each
}

#[test]
fn a_hundred_thousand_objects_live_at_once_and_half_a_million_in_a_session() {
    run(100_000, 500_000);
}

#[test]
#[ignore = "takes a minute and half a gigabyte"]
fn a_million_objects_live_at_once_and_ten_million_in_a_session() {
    let begun = std::time::Instant::now();
    let each = run(1_000_000, 10_000_000);
    println!(
        "10,000,000 objects in {:?}; {each} bytes for each of 1,000,000 alive",
        begun.elapsed()
    );
    // 128 of table, 64 of data, 36 of private memory. Other tests of the process would be in the figure.
    assert!(each < 300, "{each} bytes an object");
}

#[test]
#[ignore = "takes five gigabytes"]
fn an_object_is_larger_than_two_gigabytes() {
    const LEN: usize = (2 << 30) + (256 << 20);
    let text = std::fs::read_to_string("/proc/meminfo").expect("this is Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<usize>().ok());
    if kib.unwrap_or(0) << 10 < 3 * LEN {
        println!("skipped: {kib:?} KiB of memory are available, it takes {} KiB", (3 * LEN) >> 10);
        return;
    }
    let node = node(LEN as u64 + (64 << 20));
    let client = node.client();
    let numbers: Vec<u64> = (0..LEN as u64 / 8).collect();
    let id = client.put(&numbers).expect("put");
    let view: View<Vec<u64>> = client.view(id).expect("view");
    assert_eq!(view.as_slice().len(), numbers.len());
    assert!(view.as_slice() == numbers, "it comes out as it went in");
    drop(view);
    client.release(id);
    drop(numbers);
    let mut writer = client.create_bytes(LEN).expect("create");
    writer[LEN - 1] = 7;
    let id = client.reserve().expect("reserve");
    client.seal_bytes(id, 0, writer).expect("seal");
    let bytes = client.view::<bytes::Bytes>(id).expect("view").bytes();
    assert_eq!((bytes.len(), bytes[LEN - 1]), (LEN, 7));
}
