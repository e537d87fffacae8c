//! The store in the node's own process: what goes in comes out, and what is let go of is gone.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rustyray_store::{
    AttemptError, Client, ClientSet, Config, Error, Node, ObjectId, PinError, PinKind, RefSink,
    SealError, Stale, Status, View, ViewError, Wake,
};

fn config() -> Config {
    Config {
        capacity_bytes: 64 << 20,
        max_objects: 1 << 16,
        put_timeout: Duration::from_millis(20),
        ..Config::default()
    }
}

fn store() -> (Arc<Node>, Arc<Client>) {
    let node = Node::create(config()).expect("a store");
    let client = node.client();
    (node, client)
}

#[test]
fn a_value_comes_out_as_it_went_in() {
    let (_node, client) = store();
    let value = vec!["one".to_owned(), String::new(), "a longer one than fits inline".to_owned()];
    let id = client.put(&value).expect("put");
    assert_eq!(client.status(id), Status::Sealed);
    let view: View<Vec<String>> = client.view(id).expect("view");
    assert_eq!(view.len(), 3);
    assert_eq!(view[2].as_str(), value[2]);
    assert_eq!(view.to_owned_value().expect("owned"), value);
    let again: View<Vec<String>> = client.view(id).expect("a checked view");
    assert_eq!(again[0].as_str(), "one");
}

#[test]
fn values_of_all_sizes_come_out_as_they_went_in() {
    let (node, client) = store();
    for len in [0usize, 1, 7, 100, 4000, 70_000, 262_144, 3_000_000, 100, 3_000_001] {
        let value: Vec<u64> = (0..len as u64 / 8).collect();
        let id = client.put(&value).expect("put");
        assert_eq!(
            client.view::<Vec<u64>>(id).expect("view").to_owned_value().expect("owned"),
            value
        );
        client.release(id);
        assert_eq!(client.status(id), Status::Gone);
    }
    assert_eq!(node.stats().objects, 0);
    assert_eq!(node.stats().used_bytes, node.stats().leased_bytes);
    let unit = client.put(&()).expect("a value without bytes");
    client.view::<()>(unit).expect("view");
}

#[test]
fn vectors_of_numbers_are_native_slices() {
    let (_node, client) = store();
    let floats: Vec<f64> = (0..1000).map(f64::from).collect();
    let view: View<Vec<f64>> = client.view(client.put(&floats).expect("put")).expect("view");
    assert_eq!(view.as_slice(), floats);
    assert_eq!(view.as_slice().as_ptr() as usize % 64, 0);
    let bytes: View<Vec<u8>> = client.view(client.put(&vec![1u8, 2]).expect("put")).expect("view");
    assert_eq!(bytes.as_slice(), [1, 2]);
}

#[test]
fn bytes_are_read_where_they_lie() {
    let (_node, client) = store();
    for len in [0usize, 1, 8, 1000, 1 << 20] {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let id = client.put_bytes(&data).expect("put");
        let view: View<Bytes> = client.view(id).expect("view");
        let bytes = view.bytes();
        assert_eq!(bytes, data);
        if len > 0 {
            assert_eq!(bytes.as_ptr() as usize % 64, 0);
            assert_eq!(bytes.as_ptr(), view.as_ptr());
        }
        drop(view);
        client.release(id);
        assert_eq!(bytes, data, "the bytes keep the object in place");
        assert_eq!(client.status(id), if len > 0 { Status::Sealed } else { Status::Gone });
        drop(bytes);
        assert_eq!(client.status(id), Status::Gone);
    }
}

#[test]
fn what_is_created_is_written_in_place_or_given_back() {
    let (node, client) = store();
    client.release(client.put(&1u8).expect("put"));
    let before = node.stats();
    for len in [1usize, 5000, 5 << 20] {
        let mut writer = client.create(len).expect("create");
        writer.fill(7);
        drop(writer);
        assert_eq!(node.stats().used_bytes, before.used_bytes);
        assert_eq!(node.stats().objects, 0);
        let mut writer = client.create(len).expect("create");
        writer.fill(9);
        writer.truncate(len - 1);
        let id = client.reserve().expect("reserve");
        assert_eq!(client.status(id), Status::Pending);
        assert!(matches!(client.pin(id), Err(PinError::Pending(_))));
        client.seal(id, 0, writer, 42, &[]).expect("seal");
        let pin = client.pin(id).expect("pin");
        assert_eq!((pin.len(), pin.fingerprint(), pin.kind()), (len - 1, 42, PinKind::Value));
        assert!(pin.iter().all(|&byte| byte == 9));
        client.release(id);
    }
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn an_object_lives_until_its_last_reference_and_view_go() {
    let (node, client) = store();
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

#[test]
fn a_stale_reference_never_reads_the_next_object() {
    let (_node, client) = store();
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

#[test]
fn a_reference_of_another_session_is_told_apart() {
    let (_node, client) = store();
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

#[test]
fn an_object_is_sealed_once_and_by_the_current_attempt() {
    let (node, client) = store();
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

#[test]
fn a_failed_object_gives_its_error() {
    let (_node, client) = store();
    let id = client.reserve().expect("reserve");
    client.fail(id, 0, b"what went wrong").expect("fail");
    assert_eq!(client.status(id), Status::Failed);
    let pin = client.pin(id).expect("pin");
    assert_eq!((pin.kind(), &pin[..]), (PinKind::Failed, &b"what went wrong"[..]));
    assert!(matches!(
        client.view::<u64>(id),
        Err(ViewError::Failed(pin)) if &pin[..] == b"what went wrong"
    ));
}

#[test]
fn a_mismatch_names_both_types() {
    let (_node, client) = store();
    let id = client.put(&vec![1u32]).expect("put");
    let error = client.view::<Vec<u64>>(id).expect_err("another type");
    let ViewError::TypeMismatch { expected, found, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(expected.contains("u64") && found.contains("u32"), "{error}");
}

#[test]
fn bytes_that_are_no_archive_are_refused() {
    let (_node, client) = store();
    let mut writer = client.create(64).expect("create");
    writer.fill(0xff);
    let id = client.reserve().expect("reserve");
    client.seal(id, 0, writer, rustyray_store::fingerprint::<Vec<String>>(), &[]).expect("seal");
    assert!(matches!(client.view::<Vec<String>>(id), Err(ViewError::Corrupt { .. })));
    let mut writer = client.create(3).expect("create");
    writer.fill(0);
    let short = client.reserve().expect("reserve");
    client.seal(short, 0, writer, rustyray_store::fingerprint::<u64>(), &[]).expect("seal");
    assert!(matches!(client.view::<u64>(short), Err(ViewError::Corrupt { .. })));
}

#[test]
fn sizes_that_cannot_be_are_errors_of_their_own() {
    let (node, client) = store();
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

#[test]
fn a_full_table_is_an_error() {
    let node = Node::create(Config { max_objects: 4, ..config() }).expect("a store");
    let client = node.client();
    let ids: Vec<_> = (0..4).map(|_| client.reserve().expect("reserve")).collect();
    assert!(matches!(client.reserve(), Err(Error::TableFull { max_objects: 4 })));
    ids.into_iter().for_each(|id| client.release(id));
    client.reserve().expect("there are slots again");
}

#[test]
fn put_and_drop_recycle_slots_and_memory() {
    let (node, client) = store();
    for i in 0..200_000u64 {
        client.release(client.put(&[i; 16]).expect("put"));
    }
    let warm = node.stats().warm_bytes;
    assert!(warm <= 4 * client.put(&0u8).map_or(0, |_| 1 << 20), "{warm} bytes were touched");
    assert!(client.put(&1u8).expect("put").index < 4);
}

/// A reference inside a value, as the runtime has it.
#[derive(Debug, PartialEq, Clone)]
struct Ref(ObjectId);

impl rkyv::Archive for Ref {
    type Archived = <[u64; 2] as rkyv::Archive>::Archived;
    type Resolver = <[u64; 2] as rkyv::Archive>::Resolver;
    fn resolve(&self, resolver: Self::Resolver, out: rkyv::Place<Self::Archived>) {
        self.0.to_words().resolve(resolver, out);
    }
}

impl<S: RefSink + ?Sized> rkyv::Serialize<S> for Ref {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        serializer.hold(self.0)?;
        Ok([(); 2])
    }
}

#[test]
fn a_container_keeps_what_it_refers_to() {
    let (node, client) = store();
    let inner = client.put(&5u64).expect("put");
    let both = [Ref(inner), Ref(inner)].to_vec();
    let one = client.put(&both).expect("put");
    let two = client.put(&both).expect("put");
    client.release(inner);
    assert_eq!(client.status(inner), Status::Sealed);
    client.release(one);
    assert_eq!(client.status(inner), Status::Sealed);
    let outer = client.put(&[Ref(two)].to_vec()).expect("put");
    client.release(two);
    assert_eq!(*client.view::<u64>(inner).expect("view"), 5);
    client.release(outer);
    assert_eq!(client.status(inner), Status::Gone);
    assert_eq!(node.stats().objects, 0);
    let stale = client.put(&[Ref(inner)].to_vec());
    assert!(matches!(stale, Err(Error::Nested(Stale::Gone(id))) if id == inner));
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn a_long_chain_of_containers_goes_without_recursion() {
    let (node, client) = store();
    let mut last = client.put(&0u64).expect("put");
    for _ in 0..50_000 {
        let next = client.put(&[Ref(last)].to_vec()).expect("put");
        client.release(last);
        last = next;
    }
    client.release(last);
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn threads_share_and_drop_one_object_without_losing_it() {
    let (node, client) = store();
    let id = client.put(&1u64).expect("put");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    client.retain(id).expect("the first reference still stands");
                    let view: View<u64> = client.view(id).expect("view");
                    assert_eq!(*view, 1);
                    client.release(id);
                }
            });
        }
    });
    client.release(id);
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn threads_put_and_drop_without_mixing_up_their_objects() {
    let (node, client) = store();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let client = &client;
            scope.spawn(move || {
                for i in 0..20_000u64 {
                    let id = client.put(&[thread, i]).expect("put");
                    let view: View<[u64; 2]> = client.view(id).expect("view");
                    assert_eq!(view.to_owned_value().expect("owned"), [thread, i]);
                    client.release(id);
                }
            });
        }
    });
    assert_eq!(node.stats().objects, 0);
    assert_eq!(node.stats().used_bytes, node.stats().leased_bytes);
}

/// When it is to wake somebody it lets go of the object at once, and waits for the slot's next one.
struct QuickWaiter {
    client: Arc<Client>,
    first: ObjectId,
    second: std::sync::OnceLock<ObjectId>,
}

impl Wake for QuickWaiter {
    fn wake(&self, _clients: ClientSet) {
        self.second.get_or_init(|| {
            self.client.release(self.first);
            let second = self.client.reserve().expect("reserve");
            assert_eq!(self.client.subscribe(second), Status::Pending);
            second
        });
    }
}

#[test]
fn a_wakeup_for_one_object_takes_none_from_the_next_in_its_slot() {
    let (node, client) = store();
    let first = client.reserve().expect("reserve");
    let waiter =
        Arc::new(QuickWaiter { client: Arc::clone(&client), first, second: Default::default() });
    node.connect_wake(Arc::clone(&waiter) as _);
    assert_eq!(client.subscribe(first), Status::Pending);
    client.seal_value(first, 0, &1u64).expect("seal");
    let second = *waiter.second.get().expect("it was woken");
    assert_eq!((second.index, client.status(first)), (first.index, Status::Gone));
    client.drain_dirty(&mut |_| {});
    client.seal_value(second, 0, &2u64).expect("seal");
    let mut groups = Vec::new();
    client.drain_dirty(&mut |group| groups.push(group));
    assert_eq!(groups, [client.dirty_group(second)], "who waits for the second one is told");
}

#[test]
fn a_type_without_bytes_but_with_an_alignment_can_be_stored() {
    let (_node, client) = store();
    let id = client.put(&[0u64; 0]).expect("put");
    for _ in 0..2 {
        let view: View<[u64; 0]> = client.view(id).expect("view");
        assert_eq!(view.as_ptr() as usize % align_of::<u64>(), 0);
    }
}

#[test]
fn threads_that_give_tails_back_do_not_write_to_each_others_pages() {
    let (node, client) = store();
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let client = &client;
            scope.spawn(move || {
                for step in 0..150 {
                    let mut writer = client.create(3 << 20).expect("create");
                    writer.fill(thread as u8);
                    writer.truncate((300 + (step * 7 + thread * 13) % 11 * 100) << 10);
                    let len = writer.len();
                    let id = client.reserve().expect("reserve");
                    client.seal(id, 0, writer, 1, &[]).expect("seal");
                    let pin = client.pin(id).expect("pin");
                    assert_eq!(pin.len(), len);
                    assert!(pin.iter().step_by(4096).all(|&byte| byte == thread as u8));
                    client.release(id);
                }
            });
        }
    });
    assert_eq!(node.stats().used_bytes, node.stats().leased_bytes);
}
