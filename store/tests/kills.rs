//! A process is killed between any two steps: nothing of it is left, and nobody else is harmed.
#![cfg(debug_assertions)]

mod process;

use std::{sync::Arc, time::Duration};

use process::{Peer, play};
use rustyray_store::{Client, Config, Node, ObjectId, Status};

const ROLES: &str = "in_another_process";
const KILL_AT: &str = "RUSTYRAY_STORE_KILL_AT";

fn store() -> (Arc<Node>, Arc<Client>) {
    let node = Node::create(Config {
        capacity_bytes: 64 << 20,
        max_objects: 1 << 14,
        put_timeout: Duration::from_millis(20),
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    (node, client)
}

fn object(words: [u64; 8]) -> ObjectId {
    ObjectId::from_words([words[0], words[1]]).expect("an object")
}

/// What the other processes of these tests do: everything that has a point to be killed at.
#[test]
fn in_another_process() {
    play(|role, client, parent| match role {
        "everything" => {
            let shared = object(parent.report(&[]));
            client.retain(shared).expect("the parent holds it");
            let _pin = client.pin(shared).expect("pin");
            let mut kept = Vec::new();
            for i in 0..200u64 {
                let id = client.put(&[i; 100]).expect("put");
                if i % 3 == 0 {
                    client.release(id);
                } else {
                    kept.push(id);
                }
                if i % 50 == 0 {
                    kept.push(client.put(&vec![i; 500_000]).expect("put"));
                    let mut writer = client.create(1 << 20).expect("create");
                    writer.fill(1);
                }
            }
            client.release(shared);
            parent.report(&[]);
        }
        "seal" => {
            let id = object(parent.report(&[]));
            client.seal_value(id, 0, &vec![7u64; 1000]).expect("seal");
            parent.report(&[]);
        }
        "reserve" => {
            let id = client.reserve().expect("reserve");
            parent.report_object(id);
            parent.report(&[]);
        }
        role => panic!("no such role: {role}"),
    });
}

#[test]
fn a_process_killed_at_any_step_leaves_nothing() {
    let (node, client) = store();
    let shared = client.put(&vec![1u64; 100]).expect("put");
    let before = node.stats();
    let mut killed = 0;
    const POINTS: [&str; 11] = [
        "reserve.held",
        "slots.granted",
        "create.placed",
        "lease.closed",
        "lease.granted",
        "extent.granted",
        "seal.claimed",
        "seal.written",
        "seal.published",
        "release.cleared",
        "pin.set",
    ];
    for point in POINTS {
        for passes in [0, 1, 7, 40] {
            let at = format!("{point}:{passes}");
            let mut peer = Peer::start_with(&node, ROLES, "everything", &[(KILL_AT, &at)]);
            peer.next();
            peer.answer(&shared.to_words());
            if peer.next().is_none() {
                assert!(peer.wait_killed(), "ended at {at}");
                killed += 1;
            } else {
                assert_ne!(passes, 0, "{point} was not passed");
                peer.kill();
            }
            let number = peer.client;
            node.reap(number);
            assert_eq!(node.reap(number), Default::default(), "reaping again finds nothing");
            node.collect(usize::MAX);
            let after = node.stats();
            assert_eq!(after.used_bytes, before.used_bytes, "killed at {at}");
            assert_eq!(after.objects, before.objects, "killed at {at}");
            let leaks = node.leaks();
            assert!(
                leaks.iter().all(|leak| leak.holders.iter().count() == 1 && leak.pins.is_empty()),
                "killed at {at}: {leaks:?}"
            );
        }
    }
    assert!(killed >= POINTS.len(), "{killed} were killed at their point");
    assert_eq!(client.view::<Vec<u64>>(shared).expect("view").len(), 100);
}

#[test]
fn an_object_whose_sealer_was_killed_is_sealed_by_the_next_attempt_or_announced() {
    for point in ["seal.claimed", "seal.written", "seal.published", "seal.unannounced"] {
        let (node, client) = store();
        let id = client.reserve().expect("reserve");
        node.set_attempt(id, 0).expect("attempt");
        assert_eq!(client.subscribe(id), Status::Pending);
        let mut peer = Peer::start_with(&node, ROLES, "seal", &[(KILL_AT, point)]);
        peer.next();
        peer.answer(&id.to_words());
        assert_eq!(peer.next(), None, "killed at {point}");
        assert!(peer.wait_killed());
        let reaped = node.reap(peer.client);
        assert!(reaped.orphans.is_empty(), "a task answers for it");
        if point == "seal.published" || point == "seal.unannounced" {
            assert!(reaped.wake.contains(client.id()));
            let mut groups = Vec::new();
            client.drain_dirty(&mut |group| groups.push(group));
            assert_eq!(groups, [client.dirty_group(id)]);
        } else {
            assert_eq!(client.status(id), Status::Pending);
            node.set_attempt(id, 1).expect("attempt");
            client.seal_value(id, 1, &vec![7u64; 1000]).expect("seal");
        }
        assert_eq!(client.view::<Vec<u64>>(id).expect("view").len(), 1000);
        client.release(id);
        assert_eq!(node.stats().objects, 0);
    }
}

#[test]
fn a_reservation_that_nobody_will_seal_is_an_orphan() {
    let (node, client) = store();
    let mut peer = Peer::start(&node, ROLES, "reserve");
    let id = peer.next_object();
    client.retain(id).expect("the other process holds it");
    peer.kill();
    assert_eq!(node.reap(peer.client).orphans, [id]);
    client.fail(id, 0, b"its owner died").expect("fail");
    assert_eq!(client.status(id), Status::Failed);
}
