//! Who keeps an object, what names it, and what does not.

use rustyray_store::*;

use crate::{Over, config, store};

pub(crate) fn an_object_lives_until_its_last_reference_and_view_go(over: Over) {
    let (node, client) = store(over);
    let id = client.put(&17u64).expect("put");
    client.retain(id).expect("retain");
    client.release(id);
    assert_eq!(client.status(id), Status::Sealed);
    let view: View<u64> = client.view(id).expect("view");
    let other = view.clone();
    client.release(id);
    drop(view);
    assert_eq!(*other, 17);
    assert!(!client.holds(id));
    drop(other);
    assert_eq!(client.status(id), Status::Gone);
    assert_eq!(client.retain(id), Err(Stale::Gone(id)));
    assert!(matches!(client.pin(id), Err(PinError::Stale(Stale::Gone(_)))));
    assert!(node.leaks().is_empty());
}

pub(crate) fn a_stale_reference_never_reads_the_next_object(over: Over) {
    let (_node, client) = store(over);
    let old = client.put(&1u64).expect("put");
    client.release(old);
    let new = client.put(&2u64).expect("put");
    assert_eq!(old.index, new.index, "the slot freed last is used first");
    assert!(matches!(
        client.view::<u64>(old),
        Err(ViewError::Pin(PinError::Stale(Stale::Gone(id)))) if id == old
    ));
    assert_eq!(client.retain(old), Err(Stale::Gone(old)));
    client.release(old);
    assert_eq!(*client.view::<u64>(new).expect("view"), 2);
}

pub(crate) fn a_reference_of_another_session_is_told_apart(over: Over) {
    let (_node, client) = store(over);
    let id = client.put(&1u64).expect("put");
    for foreign in [
        ObjectId { generation: id.generation + 1, ..id },
        ObjectId { generation: id.generation.wrapping_add(1 << 50), ..id },
        ObjectId { index: id.index + 1, ..id },
        ObjectId { index: u32::MAX, ..id },
    ] {
        assert_eq!(client.retain(foreign), Err(Stale::Foreign(foreign)));
        assert_eq!(client.status(foreign), Status::Gone);
    }
}

pub(crate) fn an_object_is_sealed_once_and_by_the_current_attempt(over: Over) {
    let (node, client) = store(over);
    let id = client.reserve().expect("reserve");
    node.set_attempt(id, 2).expect("attempt");
    assert!(matches!(
        client.seal_value(id, 1, &1u64),
        Err(SealError::Late { attempt: 1, current: 2, .. })
    ));
    client.seal_value(id, 2, &2u64).expect("seal");
    assert!(matches!(client.seal_value(id, 2, &3u64), Err(SealError::AlreadySealed(_))));
    assert!(matches!(client.fail(id, 2, b"no"), Err(SealError::AlreadySealed(_))));
    assert_eq!(node.set_attempt(id, 3), Err(AttemptError::AlreadySealed(id)));
    assert_eq!(*client.view::<u64>(id).expect("view"), 2);
    client.release(id);
    assert!(matches!(client.seal_value(id, 2, &3u64), Err(SealError::Stale(_))));
    assert_eq!(node.stats().objects, 0);
}

pub(crate) fn sizes_that_cannot_be_are_errors_of_their_own(over: Over) {
    let (node, client) = store(over);
    assert!(matches!(client.create(0), Err(Error::ZeroLength)));
    assert!(matches!(client.create(65 << 20), Err(Error::TooLarge { .. })));
    let half = client.create(40 << 20).expect("create");
    let error = client.create(40 << 20).expect_err("no room");
    let Error::StoreFull { capacity_bytes, used_bytes, requested_bytes, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((capacity_bytes, requested_bytes), (64 << 20, 40 << 20));
    assert_eq!(used_bytes, node.stats().used_bytes);
    drop(half);
    client.create(40 << 20).expect("there is room again");
}

pub(crate) fn a_full_table_is_an_error(over: Over) {
    let node = Node::create(Config { max_objects: 4, ..config(over) }).expect("a store");
    let client = node.client();
    let ids: Vec<_> = (0..4).map(|_| client.reserve().expect("reserve")).collect();
    assert!(matches!(client.reserve(), Err(Error::TableFull { max_objects: 4 })));
    ids.into_iter().for_each(|id| client.release(id));
    client.reserve().expect("there are slots again");
}
