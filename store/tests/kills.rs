//! A process is killed between any two steps: nothing of it is left, and nobody else is harmed.
#![cfg(debug_assertions)]

mod process;

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use process::{Peer, play};
use rustyray_store::{
    AttemptError, Client, Config, Error, Node, ObjectId, PinError, PinKind, Request, SealError,
    Stale, Status, Tier, Transport,
};

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
                if i % 6 == 0 {
                    let pin = client.pin(id).expect("pin");
                    client.release(id);
                    drop(pin);
                } else if i % 3 == 0 {
                    client.release(id);
                } else {
                    kept.push(id);
                }
                if i % 50 == 0 {
                    kept.push(client.put(&vec![i; 500_000]).expect("put"));
                    let mut writer = client.create(1 << 20).expect("create");
                    writer.fill(1);
                    drop(writer);
                    let mut writer = client.create(4 << 20).expect("create");
                    writer.truncate(1 << 20);
                    let id = client.reserve().expect("reserve");
                    client.seal(id, 0, writer, 1, &[shared]).expect("seal");
                    kept.push(id);
                }
                if i % 20 == 0 {
                    let strict = client.put_in(Tier::Strict, &vec![i; 3000]).expect("put");
                    assert_eq!(client.pin(strict).expect("pin").kind(), PinKind::Value);
                    drop(client.create_in(Tier::Strict, 100_000).expect("create"));
                    let mut writer = client.create_in(Tier::Strict, 100_000).expect("create");
                    writer.truncate(5000);
                    let id = client.reserve().expect("reserve");
                    client.seal(id, 0, writer, 1, &[shared, strict]).expect("seal");
                    client.release(strict);
                    kept.push(id);
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
        "spilled" => {
            let mut ids = Vec::new();
            loop {
                let words = parent.report(&[]);
                if words[1] == 0 {
                    break;
                }
                ids.push(object(words));
            }
            for &id in ids.iter().cycle().take(3 * ids.len()) {
                client.retain(id).expect("the parent holds it");
                let pin = client.pin(id).expect("pin");
                assert_eq!(pin.len(), 256 << 10);
                client.release(id);
            }
            parent.report(&[]);
        }
        "no memory" => {
            let (mut failed, mut stored) = (0, 0);
            for i in 0..20u64 {
                for len in [100, 1 << 20] {
                    for tier in [Tier::Ordinary, Tier::Strict] {
                        match client.put_bytes_in(tier, &vec![i as u8; len]) {
                            Ok(id) => {
                                stored += 1;
                                client.release(id);
                            }
                            Err(Error::Os { source, .. }) => {
                                assert_eq!(source.kind(), std::io::ErrorKind::OutOfMemory);
                                failed += 1;
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            }
            parent.report(&[failed, stored]);
        }
        "bereaved" => {
            // Whoever started this is dead soon: if it went on for ever, nobody would end it.
            nix::unistd::alarm::set(120);
            let id = object(parent.report(&[]));
            client.reserve().expect("the node sees by this that it can go");
            while parent.call(Request::Usage).is_ok() {}
            assert_ne!(client.status(id), Status::Gone, "the node was killed before it was gone");
            assert!(matches!(client.pin(id), Err(PinError::Closed)));
            assert_eq!(client.retain(id), Err(Stale::Gone(id)));
            if client.status(id) == Status::Pending {
                let error = client.seal_value(id, 0, &1_u64).expect_err("nobody decides");
                assert!(matches!(error, SealError::Store(Error::Closed)), "{error:?}");
            }
            assert!(matches!(client.pin(id), Err(PinError::Closed)), "nothing is left undone");
            eprintln!("{BEREAVED_ENDED}");
        }
        "an error without memory" => {
            for _ in 0..2 {
                let id = client.reserve().expect("a slot");
                client.fail(id, 0, b"what went wrong").expect("it fails all the same");
                assert_eq!(client.status(id), Status::Failed);
                let bytes = client.pin(id).expect("settled").len();
                parent.report(&[bytes as u64]);
                client.release(id);
            }
        }
        role => panic!("no such role: {role}"),
    });
}

/// What a process says that got to its end without a node.
const BEREAVED_ENDED: &str = "every operation came to an end";
const DYING_NODE: &str = "RUSTYRAY_STORE_TEST_DYING_NODE";

/// As the process that the test below starts: a node that is killed when it frees its first object, which another process
/// is to use then.
#[test]
fn a_node_in_another_process() {
    let Ok(what) = std::env::var(DYING_NODE) else { return };
    let (node, client) = store();
    let id = match &*what {
        "a value" => client.put(&vec![1_u64; 1000]).expect("put"),
        _ => client.reserve().expect("reserve"),
    };
    let peer = Peer::start(&node, ROLES, "bereaved");
    peer.next();
    peer.answer(&id.to_words());
    while node.stats().objects == 1 {
        std::thread::yield_now();
    }
    client.release(id);
    unreachable!("it is killed as it frees the object");
}

#[test]
fn what_a_node_was_freeing_when_it_was_killed_keeps_nobody_waiting() {
    for what in ["a value", "a reservation"] {
        let node = Command::new(std::env::current_exe().expect("the test binary"))
            .args(["a_node_in_another_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(DYING_NODE, what)
            .env(KILL_AT, "free.begun")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a second process");
        // Until both have ended: the node's process, and the one that it started.
        let output = node.wait_with_output().expect("waited");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(9), "{what}: {said}");
        assert!(said.contains(BEREAVED_ENDED), "{what}: {said}");
    }
}

/// Held by the tests that have strict objects, one of which counts this process's files.
static STRICT: Mutex<()> = Mutex::new(());

/// Files of strict objects that this process keeps open.
fn strict_files() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .expect("a directory")
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("/memfd:rustyray-strict"))
        .count()
}

#[test]
fn a_process_killed_at_any_step_leaves_nothing() {
    let _turn = STRICT.lock().unwrap_or_else(PoisonError::into_inner);
    let (node, client) = store();
    let shared = client.put(&vec![1u64; 100]).expect("put");
    let before = node.stats();
    let mut killed = 0;
    const POINTS: [&str; 21] = [
        "retain.held",
        "unpin.cleared",
        "release.marked",
        "abort.begun",
        "shrink.forbidden",
        "seal.nested",
        "strict.granted",
        "strict.unmapped",
        "strict.sealed",
        "strict.opened",
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
            peer.reap();
            // SAFETY: it has ended, and nobody else is admitted meanwhile.
            let again = unsafe { node.reap(peer.client) };
            assert_eq!(again, Default::default(), "reaping again finds nothing");
            node.collect(usize::MAX);
            let after = node.stats();
            assert_eq!(after.used_bytes, before.used_bytes, "killed at {at}");
            assert_eq!(after.objects, before.objects, "killed at {at}");
            let leaks = node.leaks();
            assert!(
                leaks.iter().all(|leak| leak.holders.iter().count() == 1 && leak.pins.is_empty()),
                "killed at {at}: {leaks:?}"
            );
            assert_eq!(strict_files(), 0, "killed at {at}");
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
        let reaped = peer.reap();
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
fn what_a_dead_process_was_sealing_can_be_settled_before_the_rest_is_reaped() {
    for point in ["seal.claimed", "seal.written"] {
        let (node, client) = store();
        let ids = [(); 2].map(|()| client.reserve().expect("reserve"));
        for id in ids {
            node.set_attempt(id, 0).expect("attempt");
        }
        let [failed, again] = ids;
        let mut dead = Vec::new();
        for id in ids {
            let mut peer = Peer::start_with(&node, ROLES, "seal", &[(KILL_AT, point)]);
            peer.next();
            peer.answer(&id.to_words());
            assert_eq!(peer.next(), None, "killed at {point}");
            assert!(peer.wait_killed());
            assert_eq!(node.set_attempt(id, 1), Err(AttemptError::Sealing(id)));
            dead.push(peer);
        }
        dead[0].put_back();
        dead[0].put_back();
        let other = node.set_attempt(again, 1);
        assert_eq!(other, Err(AttemptError::Sealing(again)), "what another was sealing stays");
        node.set_attempt(failed, 1).expect("it waits again");
        client.fail(failed, 1, b"its sealer died").expect("nobody is sealing it");
        dead[1].put_back();
        node.set_attempt(again, 1).expect("it waits again");
        client.seal_value(again, 1, &vec![7u64; 1000]).expect("nobody is sealing it");
        for mut peer in dead {
            assert_eq!(peer.reap().orphans, []);
        }
        assert_eq!(client.status(failed), Status::Failed);
        assert_eq!(client.view::<Vec<u64>>(again).expect("view").len(), 1000);
        ids.into_iter().for_each(|id| client.release(id));
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
    assert_eq!(peer.reap().orphans, [id]);
    client.fail(id, 0, b"its owner died").expect("fail");
    assert_eq!(client.status(id), Status::Failed);
}

#[test]
fn what_another_was_sealing_when_its_owner_died_is_an_orphan_whoever_has_the_owner_s_number() {
    let (node, client) = store();
    let mut owner = Peer::start(&node, ROLES, "reserve");
    let id = owner.next_object();
    client.retain(id).expect("the other process holds it");
    let mut sealer = Peer::start_with(&node, ROLES, "seal", &[(KILL_AT, "seal.claimed")]);
    sealer.next();
    sealer.answer(&id.to_words());
    assert_eq!(sealer.next(), None, "killed");
    assert!(sealer.wait_killed());
    owner.kill();
    assert_eq!(owner.reap().orphans, [], "it may still be sealed");
    let next = Peer::start(&node, ROLES, "reserve");
    assert_eq!(next.client, owner.client, "the number is used again");
    assert_eq!(sealer.reap().orphans, [id]);
    client.fail(id, 0, b"its owner died").expect("fail");
    assert_eq!(client.status(id), Status::Failed);
}

#[test]
fn a_process_killed_while_objects_come_and_go_from_disk_harms_nobody() {
    let dir = std::env::temp_dir().join(format!("rustyray-kills-{}", std::process::id()));
    let node = Node::create(Config {
        capacity_bytes: 4 << 20,
        max_objects: 1 << 10,
        put_timeout: Duration::from_secs(60),
        spill_dir: Some(dir.clone()),
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    let value = |of: u8| vec![of; 256 << 10];
    let ids: Vec<_> = (0..24)
        .map(|i| {
            let mut writer = client.create(256 << 10).expect("create");
            writer.copy_from_slice(&value(i));
            let id = client.reserve().expect("reserve");
            client.seal(id, 0, writer, 1, &[]).expect("seal");
            id
        })
        .collect();
    let mut killed = 0;
    for point in ["retain.held", "pin.away", "pin.restored", "pin.set"] {
        for passes in [0, 5, 30] {
            let at = format!("{point}:{passes}");
            let mut peer = Peer::start_with(&node, ROLES, "spilled", &[(KILL_AT, &at)]);
            for &id in &ids {
                peer.next();
                peer.answer(&id.to_words());
            }
            peer.next();
            peer.answer(&[0, 0]);
            match peer.next() {
                None => {
                    assert!(peer.wait_killed(), "ended at {at}");
                    killed += 1;
                }
                Some(_) => peer.kill(),
            }
            peer.reap();
            node.collect(usize::MAX);
            for (i, &id) in ids.iter().enumerate() {
                assert_eq!(client.pin(id).expect("pin")[..], value(i as u8), "killed at {at}");
            }
            let leaks = node.leaks();
            assert!(
                leaks.len() == ids.len()
                    && leaks
                        .iter()
                        .all(|leak| leak.holders.iter().count() == 1 && leak.pins.is_empty()),
                "killed at {at}: {leaks:?}"
            );
        }
    }
    assert!(killed >= 8, "{killed} were killed at their point");
    ids.into_iter().for_each(|id| client.release(id));
    let stats = node.stats();
    assert_eq!((stats.objects, stats.used_bytes, stats.spilled_bytes), (0, 0, 0));
    drop((client, node));
    std::fs::remove_dir(dir).expect("removed");
}

#[test]
fn memory_that_cannot_be_had_is_an_error_of_that_put() {
    let _turn = STRICT.lock().unwrap_or_else(PoisonError::into_inner);
    let (node, _client) = store();
    let before = node.stats();
    for (point, passes) in [("populate", 0), ("populate", 1), ("populate", 2), ("populate", 3)] {
        let at = format!("{point}:{passes}");
        let peer = Peer::start_with(&node, ROLES, "no memory", &[("RUSTYRAY_STORE_FAIL_AT", &at)]);
        let [failed, stored] = peer.next().expect("it lives")[..] else { panic!("two numbers") };
        assert_eq!((failed, stored), (1, 79), "{at}");
        peer.answer(&[]);
        drop(peer);
        node.collect(usize::MAX);
        let after = node.stats();
        assert_eq!((after.used_bytes, after.objects), (before.used_bytes, before.objects), "{at}");
    }
}

#[test]
fn an_object_fails_without_its_error_when_memory_for_that_cannot_be_had() {
    let _turn = STRICT.lock().unwrap_or_else(PoisonError::into_inner);
    let (node, _client) = store();
    let at = [("RUSTYRAY_STORE_FAIL_AT", "populate")];
    let peer = Peer::start_with(&node, ROLES, "an error without memory", &at);
    for bytes in [0, 15] {
        assert_eq!(peer.next(), Some(vec![bytes]));
        peer.answer(&[]);
    }
}
