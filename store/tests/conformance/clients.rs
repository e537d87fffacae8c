//! Several clients of one store. They are in one process here, so that they can be over memory that no other
//! process reaches; `tests/processes.rs` has them in processes of their own.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use rustyray_store::*;

use crate::{
    Over,
    containers::Ref,
    direct::{self, Direct},
    store,
};

/// One more client.
pub(crate) fn join(node: &Arc<Node>) -> Arc<Client> {
    direct::join(node).expect("admitted")
}

pub(crate) fn what_one_client_puts_another_reads(over: Over) {
    let (node, one) = store(over);
    let two = join(&node);
    for len in [1usize, 1000, 100_000, 3 << 20] {
        let value: Vec<u8> = (0..len).map(|i| i as u8).collect();
        for (from, to) in [(&one, &two), (&two, &one)] {
            let id = from.put(&value).expect("put");
            to.retain(id).expect("the other holds it");
            from.release(id);
            assert_eq!(to.view::<Vec<u8>>(id).expect("view").as_slice(), value);
            to.release(id);
            node.collect(usize::MAX);
            assert_eq!((one.status(id), two.status(id)), (Status::Gone, Status::Gone));
        }
    }
    assert_eq!(node.stats().objects, 0);
}

pub(crate) fn a_view_of_one_client_keeps_the_object_of_another(over: Over) {
    let (node, one) = store(over);
    let two = join(&node);
    let id = one.put(&vec![7u32; 10]).expect("put");
    let view = two.view::<Vec<u32>>(id).expect("view");
    one.release(id);
    assert_eq!(node.collect(usize::MAX), 0);
    assert_eq!((one.status(id), view.as_slice()), (Status::Sealed, &[7; 10][..]));
    drop(view);
    assert_eq!(node.collect(usize::MAX), 1);
    assert_eq!(two.retain(id), Err(Stale::Gone(id)));
}

pub(crate) fn a_container_of_one_client_keeps_what_another_put(over: Over) {
    let (node, one) = store(over);
    let two = join(&node);
    let inner = one.put(&5u64).expect("put");
    let outer = two.put(&[Ref(inner)].to_vec()).expect("put");
    one.release(inner);
    node.collect(usize::MAX);
    assert_eq!(*two.view::<u64>(inner).expect("view"), 5);
    two.release(outer);
    assert_eq!(node.collect(usize::MAX), 2);
    assert_eq!(node.stats().objects, 0);
}

/// Creates an object in what the client gives back, before the client hears that it was taken back: as another
/// thread of its process may.
struct Thief {
    direct: Direct,
    client: OnceLock<Weak<Client>>,
    stolen: Mutex<Option<Writer>>,
}

impl Transport for Thief {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let reply = self.direct.call(request)?;
        if let Request::Shrink { .. } = request {
            let client = self.client.get().and_then(Weak::upgrade).expect("it lives");
            *self.stolen.lock().expect("no panic") = Some(client.create(1 << 20).expect("create"));
        }
        Ok(reply)
    }
}

pub(crate) fn what_was_given_back_can_be_written_by_who_has_it_next(over: Over) {
    let (node, _home) = store(over);
    let by = |direct| Thief { direct, client: OnceLock::new(), stolen: Mutex::default() };
    let (client, thief) = direct::join_by(&node, by).expect("attached");
    thief.client.set(Arc::downgrade(&client)).expect("once");
    let mut writer = client.create(6 << 20).expect("create");
    writer.fill(1);
    let end = writer.as_ptr_range().end;
    writer.truncate(1 << 20);
    let id = client.reserve().expect("reserve");
    client.seal(id, 0, writer, 1, &[]).expect("seal");
    let mut stolen = thief.stolen.lock().expect("no panic").take().expect("the tail went back");
    assert!(stolen.as_ptr() < end, "it is a part of the tail");
    stolen.fill(2);
    assert!(client.pin(id).expect("pin").iter().all(|&byte| byte == 1));
}

pub(crate) fn what_is_lent_to_a_client_while_it_is_reaped_comes_back(over: Over) {
    let (node, one) = store(over);
    one.release(one.put(&1u64).expect("put"));
    let before = node.stats();
    for round in 0..20 {
        let Admission { client, .. } = node.admit().expect("admitted");
        std::thread::scope(|scope| {
            for request in [
                Request::Slots { count: 10 },
                Request::Lease { closing: None },
                Request::Extent { len_bytes: 300_000 },
                Request::Create { len_bytes: 5000 },
            ] {
                let node = &node;
                scope.spawn(move || {
                    // Few enough that there is always room.
                    for _ in 0..30 {
                        // SAFETY: nobody attaches under this number, so nobody uses what is lent to it.
                        let reply = unsafe { node.serve(client, request) };
                        if reply == Reply::Refused(Refusal::UnknownClient) {
                            break;
                        }
                    }
                });
            }
            for _ in 0..round {
                std::thread::yield_now();
            }
            // SAFETY: as above; and it is reaped once, before the next is admitted.
            unsafe { node.reap(client) };
        });
        let after = node.stats();
        assert_eq!((after.used_bytes, after.objects), (before.used_bytes, before.objects));
    }
    for _ in 0..1 << 16 {
        one.reserve().expect("no slot was lost");
    }
    assert!(matches!(one.reserve(), Err(Error::TableFull { .. })));
}

pub(crate) fn what_a_dead_client_left_is_cleared_away(over: Over) {
    let (node, one) = store(over);
    let kept = one.put(&[1u64; 8]).expect("put");
    let before = node.stats();
    let two = join(&node);
    let number = two.id();
    let promised = two.reserve().expect("reserve");
    one.retain(promised).expect("retain");
    let _view = two.view::<[u64; 8]>(kept).expect("view");
    let inline = two.put(&2u64).expect("put");
    let small = two.put(&[2u64; 8]).expect("put");
    let large = two.put(&vec![3u8; 2 << 20]).expect("put");
    let writer = two.create(1 << 20).expect("create");
    let reaped = direct::end(&node, &two);
    assert_eq!(reaped.orphans, [promised]);
    assert!([inline, small, large].iter().all(|&id| one.status(id) == Status::Gone));
    drop(writer);
    one.fail(promised, 0, b"its sealer is dead").expect("fail");
    one.release(promised);
    let after = node.stats();
    assert_eq!((after.objects, after.used_bytes), (before.objects, before.used_bytes));
    assert!(matches!(two.reserve(), Err(Error::Closed)));
    assert_eq!(join(&node).id(), number, "the number is free");
}

pub(crate) fn the_end_of_a_watched_object_is_told_however_it_comes(over: Over) {
    let (node, one) = store(over);
    let two = join(&node);
    let watched = || {
        let id = one.put(&5u64).expect("put");
        node.watch_end(id).expect("it is alive");
        node.watch_end(id).expect("and still is");
        id
    };
    let given_to_two = || {
        let id = watched();
        two.retain(id).expect("alive");
        one.release(id);
        id
    };
    let ended = || std::iter::from_fn(|| node.next_ended()).collect::<Vec<_>>();

    let unwatched = one.put(&4u64).expect("put");
    one.release(unwatched);
    let by_its_owner = watched();
    assert_eq!(ended(), []);
    one.release(by_its_owner);
    assert_eq!(ended(), [by_its_owner]);
    assert_eq!(node.watch_end(by_its_owner), Err(Stale::Gone(by_its_owner)));

    let inner = watched();
    let outer = one.put(&[Ref(inner)].to_vec()).expect("put");
    one.release(inner);
    assert_eq!(ended(), []);
    one.release(outer);
    assert_eq!(ended(), [inner]);

    let collected = given_to_two();
    two.release(collected);
    assert_eq!(ended(), []);
    assert_eq!(node.collect(usize::MAX), 1);
    assert_eq!(ended(), [collected]);

    // Freed to make room for another client, which asks for so much that it does not have it.
    let freed_by_the_way = given_to_two();
    two.release(freed_by_the_way);
    let large = one.put(&vec![0u8; 3 << 20]).expect("put");
    assert_eq!((node.collect(usize::MAX), ended()), (0, vec![freed_by_the_way]));
    one.release(large);

    let held_by_the_dead = given_to_two();
    assert_eq!(direct::end(&node, &two).freed, 1);
    assert_eq!(ended(), [held_by_the_dead]);
    assert_eq!(node.stats().objects, 0);
}
