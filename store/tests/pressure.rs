//! When memory runs short: what is not looked at goes to disk, and comes back as it was.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rustyray_store::{
    Client, Config, Error, Lost, Node, PinError, Recovery, Status, ViewError, fingerprint,
    without_waiting,
};

const VALUE_WORDS: u64 = 128 << 10;

fn store(name: &str) -> (Arc<Node>, Arc<Client>, PathBuf) {
    let dir = std::env::temp_dir().join(format!("rustyray-{name}-{}", std::process::id()));
    let node = Node::create(Config {
        capacity_bytes: 16 << 20,
        max_objects: 1 << 14,
        put_timeout: Duration::from_millis(20),
        spill_dir: Some(dir.clone()),
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    (node, client, dir)
}

fn files(dir: &PathBuf) -> Vec<PathBuf> {
    let own = std::fs::read_dir(dir).expect("a directory").next().expect("the store's own");
    std::fs::read_dir(own.expect("an entry").path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.ends_with("lock"))
        .collect()
}

fn value(of: u64) -> Vec<u64> {
    (0..VALUE_WORDS).map(|i| i * of).collect()
}

#[test]
fn what_was_written_shorter_to_nothing_takes_no_place_from_others() {
    let (node, client, _) = store("nothing");
    let seven: Vec<_> = (0..4).map(|_| client.put_bytes(&[7; 100]).expect("put")).collect();
    let without_bytes = |nested: &[_], reserved| {
        let mut writer = client.create(reserved).expect("room");
        writer.truncate(0);
        let id = client.reserve().expect("reserve");
        client.seal(id, 0, writer, 0, nested).expect("seal");
        id
    };
    let used_bytes = node.stats().used_bytes;
    let empty = [without_bytes(&[], 100), without_bytes(&[], 2 << 20)];
    assert_eq!(node.stats().used_bytes, used_bytes, "they need no room");
    // This one has a list of what it holds.
    let holding = without_bytes(&[seven[0]], 2 << 20);
    let fill = |of: u8| -> Vec<_> {
        (0..5).map(|_| client.put_bytes(&vec![of; 2 << 20]).expect("put")).collect()
    };
    fill(1).into_iter().chain(fill(2)).for_each(|id| client.release(id));
    for id in [empty[0], empty[1], holding] {
        assert!(client.pin(id).expect("it is there").is_empty());
    }
    let kept: Vec<_> =
        fill(7).into_iter().map(|id| (id, client.pin(id).expect("it is there"))).collect();
    empty.into_iter().chain([holding]).for_each(|id| client.release(id));
    let others = without_waiting(|| client.put_bytes(&vec![9; 2 << 20]));
    for (_, pin) in &kept {
        assert!(pin[..2 << 20].iter().all(|&byte| byte == 7), "a sealed object changed");
    }
    let ids = kept.into_iter().map(|(id, _)| id).chain(seven).chain(others);
    ids.collect::<Vec<_>>().into_iter().for_each(|id| client.release(id));
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn more_than_fits_is_spilled_and_comes_back() {
    let (node, client, dir) = store("spill");
    let ids: Vec<_> = (0..40).map(|i| client.put(&value(i)).expect("put")).collect();
    let stats = node.stats();
    assert!(stats.spilled_bytes > 20 << 20 && stats.used_bytes <= 16 << 20, "{stats:?}");
    assert_eq!(files(&dir).len() as u64, stats.spilled_bytes / (VALUE_WORDS * 8));
    for _ in 0..2 {
        for (i, &id) in ids.iter().enumerate() {
            assert_eq!(client.status(id), Status::Sealed);
            let view = client.view::<Vec<u64>>(id).expect("view");
            assert_eq!(view.to_owned_value().expect("owned"), value(i as u64));
        }
    }
    ids.into_iter().for_each(|id| client.release(id));
    let stats = node.stats();
    assert_eq!((stats.objects, stats.spilled_bytes), (0, 0));
    assert!(files(&dir).is_empty());
    drop((client, node));
    assert_eq!(std::fs::read_dir(&dir).expect("the parent stays").count(), 0);
    std::fs::remove_dir(dir).expect("removed");
}

#[test]
fn small_objects_are_spilled_too() {
    let (node, client, dir) = store("small");
    let ids: Vec<_> = (0..3000u64).map(|i| client.put(&vec![i; 1000]).expect("put")).collect();
    assert!(node.stats().spilled_bytes > 0);
    for (i, &id) in ids.iter().enumerate().step_by(37) {
        assert_eq!(client.view::<Vec<u64>>(id).expect("view")[999], i as u64);
    }
    ids.into_iter().for_each(|id| client.release(id));
    assert_eq!(node.stats().objects, 0);
    drop((client, node));
    std::fs::remove_dir(dir).expect("removed");
}

#[test]
fn what_is_viewed_stays_and_a_put_without_room_fails_with_the_sizes() {
    let (node, client, dir) = store("pinned");
    let views: Vec<_> = (0..11)
        .map(|i| {
            let id = client.put(&value(i)).expect("put");
            let view = client.view::<Vec<u64>>(id).expect("view");
            client.release(id);
            view
        })
        .collect();
    let error = client.put(&vec![0u64; 1 << 20]).expect_err("no room");
    let Error::StoreFull { capacity_bytes, pinned_bytes, requested_bytes, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(capacity_bytes, 16 << 20);
    assert!(pinned_bytes >= 11 * VALUE_WORDS * 8 && requested_bytes >= 8 << 20);
    for (i, view) in views.iter().enumerate() {
        assert_eq!(view[3], 3 * i as u64);
    }
    drop(views);
    client.put(&vec![0u64; 1 << 20]).expect("there is room again");
    drop((client, node));
    std::fs::remove_dir(dir).expect("removed");
}

#[test]
fn what_takes_no_room_is_settled_at_once_where_there_is_none() {
    let node = Node::create(Config {
        capacity_bytes: 1 << 20,
        max_objects: 1 << 12,
        spill_dir: None,
        put_timeout: Duration::from_secs(3600),
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    client.release(client.put(&"x".repeat(1000)).expect("there is room"));
    // The least that is not in its slot.
    for len in [1 << 14, 1 << 10, 9] {
        while without_waiting(|| client.put(&vec![7_u8; len])).is_ok() {}
    }
    let small = without_waiting(|| client.put(&"ok".to_owned()));
    assert!(small.is_ok(), "{small:?}, since others of its type were larger");
    let [failed, unit] = [(); 2].map(|()| client.reserve().expect("a slot"));
    let (done, wait) = mpsc::channel();
    let settling = Arc::clone(&client);
    thread::spawn(move || {
        settling.fail(failed, 0, &[1; 500]).expect("it was pending");
        settling.seal_value(unit, 0, &()).expect("it was pending");
        done.send(()).expect("somebody waits");
    });
    wait.recv_timeout(Duration::from_secs(60)).expect("it waits for room");
    let failure = client.view::<()>(failed).expect_err("it failed");
    let ViewError::Failed(pin) = failure else { panic!("{failure:?}") };
    assert_eq!(pin.len(), 0, "there was no room for its error");
    client.view::<()>(unit).expect("a value");
}

/// Does something to every file; how many there are, and what then becomes of views of all objects.
fn after(name: &str, harm: impl Fn(&[PathBuf])) -> (usize, Vec<Result<u64, PinError>>) {
    let (node, client, dir) = store(name);
    let ids: Vec<_> = (0..20).map(|i| client.put(&value(i)).expect("put")).collect();
    let spilled = files(&dir);
    harm(&spilled);
    let mut results = Vec::new();
    for &id in &ids {
        results.push(match client.view::<Vec<u64>>(id) {
            Ok(view) => Ok(view[1]),
            Err(ViewError::Pin(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        });
        // It goes as any other, and makes room for those that follow.
        client.release(id);
    }
    assert_eq!((node.stats().objects, node.stats().spilled_bytes), (0, 0));
    drop((client, node));
    std::fs::remove_dir(dir).expect("removed");
    assert!(
        results
            .iter()
            .enumerate()
            .all(|(i, found)| found.as_ref().map_or(true, |&word| word == i as u64))
    );
    (spilled.len(), results)
}

#[test]
fn a_damaged_copy_is_an_error_of_that_object() {
    // The first byte of the header, the last of the value, and one in between.
    for at in [|_| 0, |len| len - 1, |len: usize| len / 2] {
        let (files, results) = after("damaged", |files| {
            for path in files {
                let mut bytes = std::fs::read(path).expect("read");
                let at = at(bytes.len());
                bytes[at] ^= 1;
                std::fs::write(path, bytes).expect("written");
            }
        });
        let damaged = results.iter().filter(|found| {
            matches!(found, Err(PinError::SpillDamaged { what: "is damaged", .. }))
        });
        assert_eq!(damaged.count(), files);
    }
}

#[test]
fn a_copy_that_was_cut_short_or_removed_is_an_error_of_its_own() {
    for keep in [0, 31, 32, 1000] {
        let (files, results) = after("truncated", |files| {
            for path in files {
                let file = std::fs::OpenOptions::new().write(true).open(path).expect("opened");
                file.set_len(keep).expect("cut");
            }
        });
        let cut = results.iter().filter(|found| {
            matches!(found, Err(PinError::SpillDamaged { what: "was cut short", .. }))
        });
        assert_eq!(cut.count(), files);
    }
    let (files, results) = after("removed", |files| {
        files.iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    });
    let gone = results.iter().filter(|found| matches!(found, Err(PinError::SpillMissing(_))));
    assert_eq!(gone.count(), files);
}

#[test]
fn the_copy_of_another_object_is_not_taken_for_its_own() {
    let (files, results) = after("exchanged", |files| {
        let first = std::fs::read(&files[0]).expect("read");
        for pair in files.windows(2) {
            std::fs::copy(&pair[1], &pair[0]).expect("copied");
        }
        std::fs::write(&files[files.len() - 1], first).expect("written");
    });
    assert!(files > 1);
    let found = results.iter().filter(|found| matches!(found, Err(PinError::SpillDamaged { .. })));
    assert_eq!(found.count(), files);
}

#[test]
fn what_was_used_least_recently_goes_first() {
    let (_node, client, dir) = store("recency");
    let ids: Vec<_> = (0..10).map(|i| client.put(&value(i)).expect("put")).collect();
    assert!(files_or_none(&dir).is_empty(), "nothing touches the disk before memory runs short");
    let favourite = ids[0];
    let mut more = Vec::new();
    for i in 10..30 {
        assert_eq!(client.view::<Vec<u64>>(favourite).expect("view")[1], 0);
        more.push(client.put(&value(i)).expect("put"));
        let spilled: Vec<_> = files_or_none(&dir);
        let name = format!("{:x}", favourite.index);
        assert!(spilled.iter().all(|path| !path.ends_with(&name)), "it was used just now");
    }
    assert!(files(&dir).len() >= 15);
    drop((client, _node));
    std::fs::remove_dir(dir).expect("removed");
}

fn files_or_none(dir: &PathBuf) -> Vec<PathBuf> {
    let is_empty = std::fs::read_dir(dir).expect("a directory").next().is_none();
    if is_empty { Vec::new() } else { files(dir) }
}

#[test]
fn spilled_bytes_are_nobody_elses_to_read_and_go_at_shutdown() {
    use std::os::unix::fs::PermissionsExt;
    let (node, client, dir) = store("private");
    let ids: Vec<_> = (0..30).map(|i| client.put(&value(i)).expect("put")).collect();
    let own =
        std::fs::read_dir(&dir).expect("a directory").next().expect("its own").expect("an entry");
    assert_eq!(own.metadata().expect("metadata").permissions().mode() & 0o777, 0o700);
    for path in files(&dir) {
        assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
    }
    let view = client.view::<Vec<u64>>(ids[29]).expect("view");
    assert_eq!(node.shutdown().objects.len(), 30);
    assert_eq!(std::fs::read_dir(&dir).expect("a directory").count(), 0);
    assert_eq!(view[3], 3 * 29, "what is viewed stays");
    assert!(matches!(client.view::<Vec<u64>>(ids[0]), Err(ViewError::Pin(PinError::Closed))));
    assert!(matches!(client.put(&1u64), Err(Error::Closed)));
    std::fs::remove_dir(dir).expect("removed");
}

const LONELY: &str = "RUSTYRAY_STORE_TEST_LONELY_DIR";

/// Runs a test in a process of its own, which has a store of its own, for limits and deaths of a whole process.
/// In this process such a test does nothing.
fn lonely(test: &str, dir: &std::path::Path) -> std::process::Output {
    std::process::Command::new(std::env::current_exe().expect("the test binary"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(LONELY, dir)
        .output()
        .expect("a process")
}

#[test]
fn a_killed_node() {
    let Ok(dir) = std::env::var(LONELY) else { return };
    let config =
        Config { capacity_bytes: 16 << 20, spill_dir: Some(dir.into()), ..Config::default() };
    let node = Node::create(config).expect("a store");
    let _ids: Vec<_> = (0..30).map(|i| node.client().put(&value(i)).expect("put")).collect();
    assert!(node.stats().spilled_bytes > 0);
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).expect("killed");
}

#[test]
fn what_a_killed_node_left_on_disk_is_removed_by_the_next() {
    use std::os::unix::process::ExitStatusExt;
    let dir = std::env::temp_dir().join(format!("rustyray-orphans-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("made");
    // Another store that lives, and something that is none of a store's.
    let config = |dir: &PathBuf| Config {
        capacity_bytes: 16 << 20,
        spill_dir: Some(dir.clone()),
        ..Config::default()
    };
    let living = Node::create(config(&dir)).expect("a store");
    let ids: Vec<_> = (0..30).map(|i| living.client().put(&value(i)).expect("put")).collect();
    std::fs::create_dir(dir.join("something else")).expect("made");
    assert_eq!(lonely("a_killed_node", &dir).status.signal(), Some(9));
    let count = || std::fs::read_dir(&dir).expect("a directory").count();
    assert_eq!(count(), 3, "it left its directory behind");
    let _next = Node::create(config(&dir)).expect("a store");
    assert_eq!(count(), 2);
    for (i, &id) in ids.iter().enumerate() {
        assert_eq!(living.client().view::<Vec<u64>>(id).expect("view")[1], i as u64);
    }
    drop((living, _next));
    std::fs::remove_dir_all(dir).expect("removed");
}

#[test]
fn a_node_whose_disk_takes_little() {
    use nix::sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigHandler, Signal, signal},
    };
    let Ok(dir) = std::env::var(LONELY) else { return };
    let node = Node::create(Config {
        capacity_bytes: 16 << 20,
        spill_dir: Some(dir.into()),
        put_timeout: Duration::from_millis(50),
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    // SAFETY: no handler runs; writes beyond the limit fail with an error instead.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("ignored");
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("a limit");
    setrlimit(Resource::RLIMIT_FSIZE, 600 << 10, hard).expect("set");
    let mut kept = Vec::new();
    let error = loop {
        match client.put(&value(kept.len() as u64)) {
            Ok(id) => kept.push(id),
            Err(error) => break error,
        }
    };
    let Error::CannotSpill { capacity_bytes, used_bytes, requested_bytes, source, .. } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(source.raw_os_error(), Some(nix::errno::Errno::EFBIG as i32));
    assert!(
        capacity_bytes == 16 << 20 && used_bytes <= capacity_bytes && requested_bytes >= 1 << 20
    );
    assert!((10..16).contains(&kept.len()), "{} fitted", kept.len());
    assert!(node.stats().spilled_bytes == 0);
    for (i, &id) in kept.iter().enumerate() {
        assert_eq!(client.view::<Vec<u64>>(id).expect("view")[1], i as u64, "nothing was lost");
    }
    client.put(&7u64).expect("what fits goes in");
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).expect("set");
    for i in 0..20 {
        kept.push(client.put(&value(i)).expect("the disk takes it again"));
    }
    assert!(node.stats().spilled_bytes > 0);
    kept.into_iter().for_each(|id| client.release(id));
    drop((client, node));
    println!("well");
}

#[test]
fn a_disk_that_is_full_is_an_error_of_that_put_only() {
    let dir = std::env::temp_dir().join(format!("rustyray-full-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("made");
    let output = lonely("a_node_whose_disk_takes_little", &dir);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("well"), "{said}\n{output:?}");
    std::fs::remove_dir(dir).expect("nothing is left in it");
}

#[test]
fn a_put_waits_for_room_until_somebody_makes_some() {
    let dir = std::env::temp_dir().join(format!("rustyray-room-{}", std::process::id()));
    let node = Node::create(Config {
        capacity_bytes: 16 << 20,
        spill_dir: Some(dir.clone()),
        put_timeout: Duration::from_secs(120),
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    let half = client.create(9 << 20).expect("create");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| client.create(9 << 20).map(|writer| writer.len()));
        // It is waiting, or will find the room at once: it gets it either way.
        std::thread::yield_now();
        drop(half);
        assert_eq!(waiter.join().expect("the waiter").expect("room"), 9 << 20);
    });
    drop((client, node));
    std::fs::remove_dir(dir).expect("removed");
}

#[test]
fn a_directory_that_cannot_be_is_an_error_at_once() {
    let spill_dir = Some("/proc/nothing/here".into());
    let error = Node::create(Config { spill_dir, ..Config::default() }).expect_err("no directory");
    assert!(matches!(&error, Error::SpillDir { path, .. } if path.ends_with("here")), "{error:?}");
}

#[test]
fn spilling_and_viewing_do_not_get_into_each_others_way() {
    let (node, client, dir) = store("race");
    let ids: Vec<_> = (0..20).map(|i| client.put(&value(i)).expect("put")).collect();
    std::thread::scope(|scope| {
        for thread in 0..3usize {
            let (client, ids) = (&client, &ids);
            scope.spawn(move || {
                for step in 0..60 {
                    let i = (step * 7 + thread * 5) % ids.len();
                    let view = client.view::<Vec<u64>>(ids[i]).expect("view");
                    assert_eq!(view[1000], 1000 * i as u64);
                    assert_eq!(view[VALUE_WORDS as usize - 1], (VALUE_WORDS - 1) * i as u64);
                }
            });
        }
    });
    ids.into_iter().for_each(|id| client.release(id));
    assert_eq!(node.stats().objects, 0);
    drop((client, node));
    std::fs::remove_dir(dir).expect("removed");
}

#[test]
fn what_was_given_for_the_sake_of_huge_pages_is_taken_back_when_room_runs_short() {
    const MIB: usize = 1 << 20;
    let config = Config {
        capacity_bytes: 32 << 20,
        spill_dir: None,
        put_timeout: Duration::ZERO,
        ..Config::default()
    };
    let node = Node::create(config).expect("a store");
    let client = node.client();
    let mut writer = client.create(MIB).expect("room");
    let mut pins = Vec::new();
    let put = |i: u8| {
        let id = client.put_bytes(&vec![i; MIB - 64])?;
        let pin = client.pin(id).expect("a pin");
        client.release(id);
        Ok::<_, Error>(pin)
    };
    pins.push(put(0).expect("room"));
    assert_eq!(node.stats().used_bytes, 4 << 20, "a huge page each");
    writer.fill(1);
    let full = loop {
        match put(pins.len() as u8) {
            Ok(pin) => pins.push(pin),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::StoreFull { .. }), "{full:?}");
    assert_eq!(pins.len(), 30, "only what is being written has its huge page still");
    assert_eq!(node.stats().used_bytes, 32 << 20);
    for (i, pin) in pins.iter().enumerate() {
        assert!(pin[..MIB - 64].iter().all(|&byte| byte == i as u8), "object {i}");
    }
    writer.fill(2);
    let id = client.reserve().expect("a slot");
    client.seal(id, 0, writer, 0, &[]).expect("sealed");
    let last = client.pin(id).expect("a pin");
    pins.push(put(30).expect("what it was given is taken back too"));
    assert!(last.iter().all(|&byte| byte == 2));
    assert!(pins[30][..MIB - 64].iter().all(|&byte| byte == 30));
    client.release(id);
    drop((pins, last));
    assert_eq!(node.stats().used_bytes, node.stats().leased_bytes);
}

/// Views small objects, each with others before and behind it that go: each holds what the store cannot use.
fn held_bytes_per_small_object(capacity_bytes: u64, objects: usize) -> u64 {
    let config = Config { capacity_bytes, spill_dir: None, ..Config::default() };
    let node = Node::create(config).expect("a store");
    let client = node.client();
    let mut pins = Vec::new();
    let mut gone = Vec::new();
    let begun = node.stats().used_bytes;
    for _ in 0..objects {
        let id = client.put(&7u64).expect("room");
        pins.push(client.pin(id).expect("a pin"));
        client.release(id);
        // Until the next block.
        let used = node.stats().used_bytes;
        while node.stats().used_bytes == used {
            gone.push(client.put(&[0u8; 8000]).expect("room"));
        }
    }
    gone.into_iter().for_each(|id| client.release(id));
    (node.stats().used_bytes - begun) / objects as u64
}

#[test]
fn a_few_dozen_views_of_small_objects_do_not_fill_a_small_store() {
    for (capacity_mib, most_kib) in [(4, 64), (64, 128), (256, 512)] {
        let held = held_bytes_per_small_object(capacity_mib << 20, 40);
        let with_the_open_one = most_kib * 1024 * 41 / 40;
        assert!(held <= with_the_open_one, "{held} bytes each in a store of {capacity_mib} MiB");
    }
}

/// Nobody makes it again but the test.
struct Nobody;

impl Recovery for Nobody {
    fn lost(&self, _: Lost) {}
}

#[test]
fn what_is_made_again_is_checked_again_though_the_attempt_is_the_same() {
    let (node, client, dir) = store("again");
    node.connect_recovery(Arc::new(Nobody));
    let id = client.put(&"a".repeat(2 << 20)).expect("put");
    let len = client.pin(id).expect("it is there").len();
    assert_eq!(client.view::<String>(id).expect("a view").len(), 2 << 20);
    let others: Vec<_> = (0..16).map(|i| client.put(&value(i)).expect("put")).collect();
    for file in files(&dir) {
        std::fs::remove_file(file).expect("removed");
    }
    assert!(matches!(client.view::<String>(id), Err(ViewError::Pin(PinError::Pending(_)))));
    others.into_iter().for_each(|id| client.release(id));
    node.set_attempt(id, 0).expect("it waits for a value");
    let mut writer = client.create(len).expect("room");
    writer.fill(0xb0);
    client.seal(id, 0, writer, fingerprint::<String>(), &[]).expect("it waits for a value");
    let error = client.view::<String>(id).expect_err("it is no text");
    assert!(matches!(error, ViewError::Corrupt { .. }), "{error:?}");
    client.release(id);
    drop((client, node));
    std::fs::remove_dir(dir).expect("it is empty");
}
