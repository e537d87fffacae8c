//! Processes that were let in and do not keep to the protocol: tests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Core, Link, start, uplink};
use crate::builder::Builder;

/// What no client of this version publishes.
fn garbage() -> Vec<(&'static str, Vec<u64>)> {
    let ones = vec![u64::MAX; 20];
    vec![
        ("nothing", vec![]),
        ("an unknown kind", vec![99, 1, 2, 3]),
        ("all ones", ones.clone()),
        ("a completion cut short", vec![uplink::UP_COMPLETE, 1]),
        ("a request that is none", [vec![uplink::UP_REQUEST], ones.clone()].concat()[..9].to_vec()),
        ("a submission of noise", [vec![uplink::UP_SUBMIT], ones.clone()].concat()),
        ("a submission of nothing", vec![uplink::UP_SUBMIT]),
        ("a body that is not there", vec![uplink::UP_SUBMIT_BODY, 5, 7]),
    ]
}

/// What a client should not say, and what does no harm: it answers for tasks and actors that are not its own.
fn presumption() -> Vec<Vec<u64>> {
    vec![
        vec![uplink::UP_COMPLETE, u64::MAX, 3],
        vec![uplink::UP_COMPLETE | 1 << 8 | 1 << 16, 0, 0],
        vec![uplink::UP_BLOCKED],
        vec![uplink::UP_UNBLOCKED],
        vec![uplink::UP_EXIT],
    ]
}

fn publish(core: &Core, entry: &[u64]) {
    let Link::Uplink(uplink) = &core.link else { panic!("attached through a socket") };
    assert!(uplink.publish(entry).is_some(), "the node is there");
    uplink.ring_node();
}

fn until_closed(core: &Core, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !core.is_closed() {
        assert!(Instant::now() < deadline, "{what}: it was not hung up on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_driver_that_publishes_garbage_is_hung_up_on_and_the_node_goes_on() {
    let directory =
        std::env::temp_dir().join(format!("rustyray-turned-out-{}", std::process::id()));
    let socket = directory.join("node.sock");
    let runtime =
        Builder::new().num_cpus(1.0).socket(&socket).start_blocking().expect("a node starts");
    let node = runtime.store().expect("the node is here");
    let works = |core: &Arc<Core>| {
        let id = core.put_id(&7_u64).expect("there is room");
        assert_eq!(core.client.view::<u64>(id).expect("it is there").to_native(), 7);
        core.release(id);
    };
    for (what, entry) in garbage() {
        let driver = start::connect(&socket).expect("the node lets it in");
        works(&driver);
        publish(&driver, &entry);
        until_closed(&driver, what);
        drop(driver);
    }
    for entry in presumption() {
        let driver = start::connect(&socket).expect("the node lets it in");
        publish(&driver, &entry);
        // Answered after the entry was served: the node did not mind it.
        works(&driver);
        assert!(!driver.is_closed());
        driver.shutdown();
    }
    assert!(node.stats().clients > 1, "each is kept until its process ends, which is this one");
    crate::block_on(runtime.shutdown()).expect("it ends");
    assert!(!socket.exists(), "the socket file is gone");
    std::fs::remove_dir(directory).expect("nothing else is there");
}
