//! The hot path makes no system call: counted, over a million operations each.

mod counted;

use std::{hint::black_box, sync::Arc};

use rustyray_store::{Client, Config, Node, ObjectId, View};

const TIMES: u64 = 1_000_000;

/// A store with an object, whose block is full and read-only, and blocks that were used before.
fn store() -> (Arc<Node>, Arc<Client>, ObjectId) {
    let config = Config { capacity_bytes: 256 << 20, ..Config::default() };
    let node = Node::create(config).expect("a store");
    let client = node.client();
    let id = client.put(&[7u64; 16]).expect("put");
    for value in 0..200_000u64 {
        client.release(client.put(&[value; 8]).expect("put"));
    }
    (node, client, id)
}

/// Counts, or says why it cannot.
fn count(what: &str, times: u64, operation: impl FnMut(u64)) {
    match counted::count(times, operation) {
        Ok(counted) => assert_eq!(
            counted,
            counted::Counted { operations: 0, last: -1 },
            "of {times} runs of `{what}`, so many made a system call"
        ),
        Err(error) => println!("skipped: system calls cannot be counted here: {error}"),
    }
}

#[test]
fn neither_get_nor_put_nor_counting_references_makes_a_system_call() {
    let (node, client, id) = store();
    count("view", TIMES, |_| {
        let view: View<[u64; 16]> = client.view(id).expect("view");
        black_box(view[3]);
    });
    count("retain and release", TIMES, |_| {
        client.retain(id).expect("held");
        client.release(id);
    });
    count("put, get and drop of a number", TIMES, |at| {
        let id = client.put(&at).expect("put");
        let value = client.inline(id).and_then(|inline| inline.value::<u64>());
        assert_eq!(value, Some(at));
        client.release(id);
    });
    count("put and drop", TIMES, |at| client.release(client.put(&[at; 4]).expect("put")));
    let text = "a text of some thirty bytes...".to_owned();
    count("put of a text", TIMES, |_| client.release(client.put(&text).expect("put")));
    client.release(id);
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn the_count_sees_a_system_call() {
    let seen = counted::count(10, |at| {
        if at % 2 == 0 {
            black_box(nix::unistd::getppid());
        }
    });
    match seen {
        Ok(counted) => {
            assert_eq!((counted.operations, counted.last), (5, nix::libc::SYS_getppid));
        }
        Err(error) => println!("skipped: system calls cannot be counted here: {error}"),
    }
}
