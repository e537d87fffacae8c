//! The store between processes: what one puts another reads, and what all let go of is gone.

mod process;

use std::{sync::Arc, time::Duration};

use process::{Peer, play};
use rustyray_store::{Config, Node, ObjectId, PinKind, SealError, Status, View};

const ROLES: &str = "in_another_process";

fn store() -> Arc<Node> {
    Node::create(Config {
        capacity_bytes: 64 << 20,
        max_objects: 1 << 16,
        put_timeout: Duration::from_millis(20),
        ..Config::default()
    })
    .expect("a store")
}

fn object(words: [u64; 8]) -> ObjectId {
    ObjectId::from_words([words[0], words[1]]).expect("an object")
}

/// What the other processes of these tests do.
#[test]
fn in_another_process() {
    play(|role, client, parent| match role {
        "put" => {
            for len in [1usize, 1000, 100_000, 5 << 20] {
                let value: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let id = client.put(&value).expect("put");
                parent.report_object(id);
                client.release(id);
                parent.report(&[]);
            }
        }
        "get" => loop {
            let id = object(parent.report(&[]));
            client.retain(id).expect("somebody holds it");
            let view: View<Vec<u64>> = client.view(id).expect("view");
            let sum = view.iter().map(|word| word.to_native()).sum();
            let kept = view.clone();
            drop(view);
            parent.report(&[sum]);
            client.release(id);
            parent.report(&[]);
            drop(kept);
        },
        "seal" => {
            let id = object(parent.report(&[]));
            parent.report(&[matches!(
                client.seal_value(id, 1, &1u64),
                Err(SealError::Late { .. })
            )
            .into()]);
            client.seal_value(id, 2, &7u64).expect("seal");
            let failed = object(parent.report(&[]));
            client.fail(failed, 0, b"no").expect("fail");
            parent.report(&[]);
        }
        "churn" => {
            for i in 0..20_000u64 {
                let id = client.put(&[i; 8]).expect("put");
                assert_eq!(client.view::<[u64; 8]>(id).expect("view")[3], i);
                client.release(id);
            }
            parent.report(&[]);
        }
        "wait" => {
            let id = object(parent.report(&[]));
            assert_eq!(client.subscribe(id), Status::Pending);
            parent.report(&[]);
            while client.status(id) == Status::Pending {
                std::thread::yield_now();
            }
            let mut groups = Vec::new();
            while groups.is_empty() {
                client.drain_dirty(&mut |group| groups.push(group));
            }
            assert_eq!(groups, [client.dirty_group(id)]);
            parent.report(&[]);
        }
        "fork" => {
            let id = client.put(&3u64).expect("put");
            let view: View<u64> = client.view(id).expect("view");
            // SAFETY: the child only reads, drops, and leaves without running anything else.
            match unsafe { nix::unistd::fork() }.expect("forked") {
                nix::unistd::ForkResult::Child => {
                    let kept = view.clone();
                    let read = *kept == 3;
                    drop(kept);
                    drop(view);
                    client.release(id);
                    let refused = client.reserve().is_err() && client.pin(id).is_err();
                    // SAFETY: ends the child at once, without the parent's destructors.
                    unsafe { nix::libc::_exit(i32::from(!(read && refused))) };
                }
                nix::unistd::ForkResult::Parent { child } => {
                    let status = nix::sys::wait::waitpid(child, None).expect("waited");
                    let well = matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0));
                    assert!(client.holds(id) && *view == 3);
                    parent.report(&[well.into(), id.index.into(), id.generation]);
                }
            }
        }
        role => panic!("no such role: {role}"),
    });
}

#[test]
fn what_one_process_puts_another_reads() {
    let node = store();
    let client = node.client();
    let peer = Peer::start(&node, ROLES, "put");
    for len in [1usize, 1000, 100_000, 5 << 20] {
        let id = peer.next_object();
        client.retain(id).expect("the other process holds it");
        peer.answer(&[]);
        peer.next();
        let view: View<Vec<u8>> = client.view(id).expect("view");
        assert_eq!(view.len(), len);
        assert!(view.iter().enumerate().all(|(i, &byte)| byte == i as u8));
        client.release(id);
        assert_eq!(client.status(id), Status::Sealed);
        drop(view);
        assert_eq!(client.status(id), Status::Gone);
        peer.answer(&[]);
    }
}

#[test]
fn a_view_in_another_process_keeps_the_object() {
    let node = store();
    let client = node.client();
    let peer = Peer::start(&node, ROLES, "get");
    for len in [10u64, 100_000] {
        let id = client.put(&(0..len).collect::<Vec<u64>>()).expect("put");
        peer.next();
        peer.answer(&id.to_words());
        assert_eq!(peer.next(), Some(vec![len * (len - 1) / 2]));
        client.release(id);
        assert_eq!(node.collect(usize::MAX), 0);
        peer.answer(&[]);
        peer.next();
        node.collect(usize::MAX);
        assert_eq!(client.status(id), Status::Sealed, "the other process views it");
        peer.answer(&[]);
        while client.status(id) != Status::Gone {
            node.collect(usize::MAX);
        }
    }
}

#[test]
fn another_process_seals_what_was_reserved_here() {
    let node = store();
    let client = node.client();
    let peer = Peer::start(&node, ROLES, "seal");
    let id = client.reserve().expect("reserve");
    node.set_attempt(id, 2).expect("attempt");
    peer.next();
    peer.answer(&id.to_words());
    assert_eq!(peer.next(), Some(vec![1]), "an old attempt comes late");
    peer.answer(&[]);
    peer.next();
    assert_eq!(*client.view::<u64>(id).expect("view"), 7);
    let failed = client.reserve().expect("reserve");
    peer.answer(&failed.to_words());
    peer.next();
    let pin = client.pin(failed).expect("pin");
    assert_eq!((pin.kind(), &pin[..]), (PinKind::Failed, &b"no"[..]));
}

#[test]
fn a_subscriber_in_another_process_is_marked() {
    let node = store();
    let client = node.client();
    let peer = Peer::start(&node, ROLES, "wait");
    let id = client.reserve().expect("reserve");
    peer.next();
    peer.answer(&id.to_words());
    peer.next();
    client.seal_value(id, 0, &1u64).expect("seal");
    peer.answer(&[]);
    peer.next();
}

#[test]
fn processes_put_and_drop_side_by_side_and_leave_nothing() {
    let node = store();
    let before = node.stats();
    let mut peers: Vec<_> = (0..2).map(|_| Peer::start(&node, ROLES, "churn")).collect();
    for peer in &peers {
        while peer.try_next().is_err() {
            node.collect(100);
        }
    }
    peers.iter_mut().for_each(Peer::kill);
    peers.clear();
    node.collect(usize::MAX);
    let after = node.stats();
    assert_eq!((after.objects, after.used_bytes), (before.objects, before.used_bytes));
}

#[test]
fn a_forked_child_touches_nothing_of_its_parents() {
    let node = store();
    let peer = Peer::start(&node, ROLES, "fork");
    let words = peer.next().expect("a report");
    assert_eq!(words[0], 1, "the child read, and was refused the rest");
    let id = ObjectId::from_words([words[1], words[2]]).expect("an object");
    assert_eq!(*node.client().view::<u64>(id).expect("the parent still holds it"), 3);
}
