//! The store between processes: what one puts another reads, and what all let go of is gone.

mod process;

use std::{sync::Arc, time::Duration};

use process::{Peer, play};
use rustyray_store::{Config, Node, ObjectId, PinKind, SealError, Status, Tier, View};

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
            let sum = view.iter().sum();
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
                    let refused =
                        client.reserve().is_err() && client.pin(id).is_err() && !client.holds(id);
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
        "keep" => {
            let shared = object(parent.report(&[]));
            client.retain(shared).expect("the parent holds it");
            let _view: View<Vec<u8>> = client.view(shared).expect("view");
            let own = client.put(&vec![1u8; 50_000]).expect("put");
            parent.report_object(own);
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

#[test]
fn what_is_alive_at_the_end_is_listed_by_who_keeps_it() {
    let node = store();
    let client = node.client();
    let shared = client.put(&vec![7u8; 1000]).expect("put");
    let pending = client.reserve().expect("reserve");
    let view: View<Vec<u8>> = client.view(shared).expect("view");
    let viewed = client.put(&vec![8u8; 10]).expect("put");
    let last_view: View<Vec<u8>> = client.view(viewed).expect("view");
    client.release(viewed);
    client.release(client.put(&1u64).expect("put"));
    let peer = Peer::start(&node, ROLES, "keep");
    peer.next();
    peer.answer(&shared.to_words());
    let theirs = peer.next_object();
    let report = node.shutdown();
    let mut alive = vec![shared, pending, viewed, theirs];
    alive.sort_unstable();
    assert_eq!(report.objects.iter().map(|leak| leak.id).collect::<Vec<_>>(), alive);
    let [home, other] = &report.clients[..] else { panic!("{report:?}") };
    assert_eq!((home.client, home.references, home.views), (client.id(), 2, 2));
    assert_eq!((other.client, other.references, other.views), (peer.client, 2, 1));
    let len = |id| report.objects.iter().find(|leak| leak.id == id).expect("alive").len_bytes;
    assert!(len(shared) >= 1000 && len(viewed) >= 10 && len(pending) == 0);
    assert_eq!(home.bytes, len(shared) + len(viewed));
    assert_eq!(other.bytes, len(shared) + len(theirs));
    let said = report.to_string();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("4 objects of "), "{said}");
    assert!(lines[1].contains("client 0 (the node's process): 2 references, 2 views"), "{said}");
    assert!(lines[2].contains(&format!("client {}: 2 references, 1 views", peer.client.get())));
    assert!(lines[2].contains(&theirs.to_string()), "{said}");
    // What was viewed still is.
    assert!(view.as_slice() == [7; 1000] && last_view.as_slice() == [8; 10]);
    assert!(node.shutdown().is_empty());
}

#[test]
fn a_view_outlives_its_reference_the_node_and_the_client() {
    let dir = std::env::temp_dir().join(format!("rustyray-outlive-{}", std::process::id()));
    let node = Node::create(Config {
        capacity_bytes: 64 << 20,
        spill_dir: Some(dir.clone()),
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    let mut views: Vec<View<Vec<u64>>> = Vec::new();
    let mut slices = Vec::new();
    for tier in [Tier::Ordinary, Tier::Strict] {
        for len in [10u64, 1 << 20] {
            let id = client.put_in(tier, &(0..len).collect::<Vec<_>>()).expect("put");
            views.push(client.view(id).expect("view"));
            client.release(id);
            let id = client.put_bytes_in(tier, &vec![5; len as usize]).expect("put");
            slices.push(client.view::<bytes::Bytes>(id).expect("view").bytes().slice(3..));
            client.release(id);
        }
    }
    node.shutdown();
    drop((client, node));
    std::fs::remove_dir(dir).expect("nothing is left in it");
    for (view, slice) in views.iter().zip(&slices) {
        assert!(view.as_slice().iter().enumerate().all(|(i, &word)| word == i as u64));
        assert!(slice.iter().all(|&byte| byte == 5));
    }
    let copy = views[3].clone();
    drop(views);
    assert_eq!(copy.as_slice()[1 << 19], 1 << 19);
}

#[test]
fn a_node_in_a_forked_child_does_nothing() {
    let node = store();
    let client = node.client();
    let id = client.put(&3u64).expect("put");
    let pending = client.reserve().expect("reserve");
    client.subscribe(pending);
    let never = client.reserve().expect("reserve");
    client.seal_value(pending, 0, &1u64).expect("seal");
    let peer = Peer::start(&node, ROLES, "wait");
    peer.next();
    // SAFETY: the child takes no lock that another thread may hold: everything it calls looks first whether it
    // is its turn; then it leaves without running anything else.
    match unsafe { nix::unistd::fork() }.expect("forked") {
        nix::unistd::ForkResult::Child => {
            let mut marks = 0;
            client.drain_dirty(&mut |_| marks += 1);
            client.release(id);
            let refused = node.admit().is_err()
                && node.collect(usize::MAX) == 0
                // SAFETY: this process is not the node's, whose memory it shares, and reaps nobody: that is tested.
                && unsafe { node.reap(peer.client) } == Default::default()
                && node.shutdown().is_empty()
                && client.put(&1u64).is_err()
                && client.create(10).is_err()
                && client.wait(&[never], 1, None).is_err();
            // SAFETY: ends the child at once, without the parent's destructors.
            unsafe { nix::libc::_exit(i32::from(!(refused && marks == 0))) };
        }
        nix::unistd::ForkResult::Parent { child } => {
            let status = nix::sys::wait::waitpid(child, None).expect("waited");
            assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
        }
    }
    assert_eq!(*client.view::<u64>(id).expect("the parent still holds it"), 3);
    assert_eq!(node.stats().clients, 2, "the other process is still admitted");
    let mut marks = 0;
    client.drain_dirty(&mut |_| marks += 1);
    assert_eq!(marks, 1, "the parent's wakeup is the parent's");
    peer.answer(&never.to_words());
}
