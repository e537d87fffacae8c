//! Waiting for objects to settle.

use std::time::Duration;

use rustyray_store::*;

use crate::{Over, clients::join, store};

/// Long enough for anything that happens at all.
const LONG: Option<Duration> = Some(Duration::from_secs(60));

pub(crate) fn who_waits_for_one_is_woken_when_it_is_sealed(over: Over) {
    let (node, client) = store(over);
    let other = join(&node);
    for i in 0..200u64 {
        let id = client.reserve().expect("reserve");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| *other.get::<u64>(id, LONG).expect("get"));
            if i % 2 == 0 {
                std::thread::yield_now();
            }
            client.seal_value(id, 0, &i).expect("seal");
            assert_eq!(waiter.join().expect("the waiter"), i);
        });
        client.release(id);
    }
    let failed = client.reserve().expect("reserve");
    client.fail(failed, 0, b"no").expect("fail");
    assert!(matches!(other.get::<u64>(failed, LONG), Err(ViewError::Failed(_))));
}

pub(crate) fn all_values_come_in_order(over: Over) {
    let (_node, client) = store(over);
    let ids: Vec<_> = (0..500).map(|_| client.reserve().expect("reserve")).collect();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| client.get_all::<u64>(&ids, LONG).expect("all"));
        for (i, &id) in ids.iter().enumerate().rev() {
            client.seal_value(id, 0, &(i as u64)).expect("seal");
        }
        let values: Vec<u64> =
            waiter.join().expect("the waiter").iter().map(|view| view.to_native()).collect();
        assert_eq!(values, (0..500).collect::<Vec<_>>());
    });
    assert!(client.get_all::<u64>(&[], LONG).expect("none").is_empty());
}

pub(crate) fn some_of_many_are_told_apart_in_order(over: Over) {
    let (_node, client) = store(over);
    let ids: Vec<_> = (0..10).map(|_| client.reserve().expect("reserve")).collect();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| client.wait(&ids, 2, LONG).expect("wait"));
        client.seal_value(ids[7], 0, &7u64).expect("seal");
        client.seal_value(ids[2], 0, &2u64).expect("seal");
        let settled = waiter.join().expect("the waiter");
        let which: Vec<usize> = (0..10).filter(|&i| settled[i]).collect();
        assert_eq!(which, [2, 7]);
    });
    assert_eq!(client.wait(&ids, 0, LONG).expect("none are wanted").len(), 10);
}

pub(crate) fn nobody_waits_longer_than_he_asked_or_for_what_is_gone(over: Over) {
    let (_node, client) = store(over);
    let pending = client.reserve().expect("reserve");
    let sealed = client.put(&1u64).expect("put");
    let short = Some(Duration::from_millis(5));
    assert_eq!(client.wait(&[pending, sealed], 2, short).expect("in time"), [false, true]);
    assert_eq!(client.wait(&[pending], 1, Some(Duration::ZERO)).expect("at once"), [false]);
    assert!(matches!(
        client.get::<u64>(pending, short),
        Err(ViewError::Pin(PinError::Pending(id))) if id == pending
    ));
    client.release(sealed);
    for wanted in [1, 2] {
        assert!(matches!(
            client.wait(&[pending, sealed], wanted, LONG),
            Err(PinError::Stale(Stale::Gone(id))) if id == sealed
        ));
    }
}

pub(crate) fn many_wait_for_the_same_objects(over: Over) {
    let (node, client) = store(over);
    let clients = [join(&node), join(&node), client.clone()];
    let ids: Vec<_> = (0..50).map(|_| client.reserve().expect("reserve")).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            for wanted in [1, 25, 50] {
                let ids = &ids;
                scope.spawn(move || {
                    let settled = client.wait(ids, wanted, LONG).expect("wait");
                    assert!(settled.iter().filter(|&&settled| settled).count() >= wanted);
                });
            }
        }
        for &id in &ids {
            client.seal_value(id, 0, &1u64).expect("seal");
            std::thread::yield_now();
        }
    });
}
