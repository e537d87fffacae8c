//! When memory runs short: what is not looked at goes to disk, and comes back as it was.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustyray_store::{Client, Config, Error, Node, PinError, Status, ViewError};

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
        .collect()
}

fn value(of: u64) -> Vec<u64> {
    (0..VALUE_WORDS).map(|i| i * of).collect()
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
fn a_damaged_copy_is_an_error_of_that_object() {
    let (_node, client, dir) = store("damaged");
    let ids: Vec<_> = (0..20).map(|i| client.put(&value(i)).expect("put")).collect();
    let damaged = files(&dir);
    for path in &damaged {
        let mut bytes = std::fs::read(path).expect("read");
        *bytes.last_mut().expect("not empty") ^= 1;
        std::fs::write(path, bytes).expect("written");
    }
    let mut found = 0;
    for &id in &ids {
        match client.view::<Vec<u64>>(id) {
            Ok(_) => {}
            Err(ViewError::Pin(PinError::Corrupt { .. })) => found += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(found >= damaged.len(), "{found} of {} were found", damaged.len());
    drop((client, _node));
    std::fs::remove_dir(dir).expect("removed");
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
