//! References inside values: a container keeps what it refers to.

use rustyray_store::*;

use crate::{Over, store};

/// A reference inside a value, as the runtime has it.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Ref(pub(crate) ObjectId);

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

pub(crate) fn what_was_written_for_a_slot_may_refer_to_others_all_the_same(over: Over) {
    let (node, client) = store(over);
    let inner = client.put(&5u64).expect("put");
    let Written { mut writer, fingerprint, .. } = client.write_value(&[1u64, 2, 3]).expect("room");
    writer.truncate(8);
    let outer = client.reserve().expect("reserve");
    client.seal(outer, 0, writer, fingerprint, &[inner]).expect("seal");
    client.release(inner);
    assert_eq!(client.status(inner), Status::Sealed, "the other one holds it");
    assert_eq!(*client.pin(outer).expect("pin"), 1u64.to_le_bytes());
    client.release(outer);
    assert_eq!(client.status(inner), Status::Gone);
    assert_eq!(node.stats().objects, 0);
}

pub(crate) fn a_container_keeps_what_it_refers_to(over: Over) {
    let (node, client) = store(over);
    let inner = client.put(&5u64).expect("put");
    let both = [Ref(inner), Ref(inner)].to_vec();
    let one = client.put(&both).expect("put");
    let two = client.put(&both).expect("put");
    client.release(inner);
    assert_eq!(client.status(inner), Status::Sealed);
    client.release(one);
    assert_eq!(client.status(inner), Status::Sealed);
    let outer = client.put(&[Ref(two)].to_vec()).expect("put");
    // As few bytes as fit a slot.
    let alone = client.put(&Ref(two)).expect("put");
    assert!(client.inline(alone).is_none(), "what it holds has no room there");
    client.release(two);
    assert_eq!(*client.view::<u64>(inner).expect("view"), 5);
    client.release(outer);
    assert_eq!(client.status(inner), Status::Sealed);
    client.release(alone);
    assert_eq!(client.status(inner), Status::Gone);
    assert_eq!(node.stats().objects, 0);
    let stale = client.put(&[Ref(inner)].to_vec());
    assert!(matches!(stale, Err(Error::Nested(Stale::Gone(id))) if id == inner));
    assert_eq!(node.stats().objects, 0);
}

pub(crate) fn what_a_container_holds_is_lent_together_and_each_let_go_by_itself(over: Over) {
    let (node, client) = store(over);
    let inner: Vec<_> = (0..70u64).map(|n| client.put(&n).expect("put")).collect();
    // Not in the order of the slots, and some more than once.
    let order = (0..140).map(|at| inner[at * 37 % if at < 70 { 70 } else { 9 }]);
    let held: Vec<_> = order.collect();
    let container = client.put(&held.iter().map(|&id| Ref(id)).collect::<Vec<_>>()).expect("put");
    inner.iter().for_each(|&id| client.release(id));
    let pin = client.pin(container).expect("pin");
    let mut loans = [pin.lend().expect("many"), pin.lend().expect("many")];
    for (at, &id) in held.iter().enumerate() {
        assert!(!loans[0].take(container), "it is not among them");
        assert!(loans[0].take(id), "one is lent of each, each time");
        assert!(at >= 100 || loans[1].take(id), "whatever else is lent");
    }
    assert!(!loans[0].take(held[0]), "there are no more");
    drop((loans, pin));
    client.release(container);
    assert_eq!(client.status(container), Status::Gone, "it is kept by none of them");
    assert_eq!(node.stats().objects, 70);
    // What was taken is let go, and what was not taken went with its loan.
    held[..100].iter().for_each(|&id| client.release(id));
    assert!(held.iter().all(|&id| client.holds(id) && client.status(id) == Status::Sealed));
    let mut left = std::collections::HashMap::new();
    held.iter().for_each(|&id| *left.entry(id).or_insert(0) += 1);
    for &id in &held {
        client.release(id);
        let left = left.get_mut(&id).expect("counted");
        *left -= 1;
        let expected = if *left == 0 { Status::Gone } else { Status::Sealed };
        assert_eq!(client.status(id), expected, "{left} are left");
    }
    assert_eq!(node.stats().objects, 0);
}

pub(crate) fn threads_borrow_from_containers_that_end_and_nothing_is_lost_or_left(over: Over) {
    let (node, client) = store(over);
    for _ in 0..100 {
        let inner: Vec<_> = (0..100u64).map(|n| client.put(&n).expect("put")).collect();
        let value: Vec<_> = inner.iter().map(|&id| Ref(id)).collect();
        let containers = [(); 2].map(|()| client.put(&value).expect("put"));
        inner.iter().for_each(|&id| client.release(id));
        std::thread::scope(|scope| {
            for container in containers {
                for thread in 0..2 {
                    let (client, inner) = (&client, &inner);
                    client.retain(container).expect("it is there");
                    scope.spawn(move || {
                        let pin = client.pin(container).expect("it is there");
                        client.release(container);
                        let mut loan = pin.lend().expect("many");
                        // One of the two does not read to the end.
                        let (read, _) = inner.split_at(if thread == 0 { 100 } else { 60 });
                        assert!(read.iter().all(|&id| loan.take(id)));
                        drop((loan, pin));
                        for &id in read {
                            assert_eq!(client.status(id), Status::Sealed, "this thread has it");
                            client.retain(id).expect("this thread has it");
                            client.release(id);
                            assert!(client.holds(id), "and has it still");
                            client.release(id);
                        }
                    });
                }
                client.release(container);
            }
        });
        assert_eq!(node.stats().objects, 0, "nobody has anything");
    }
}

pub(crate) fn a_long_chain_of_containers_goes_without_recursion(over: Over) {
    let (node, client) = store(over);
    let mut last = client.put(&0u64).expect("put");
    for _ in 0..50_000 {
        let next = client.put(&[Ref(last)].to_vec()).expect("put");
        client.release(last);
        last = next;
    }
    client.release(last);
    assert_eq!(node.stats().objects, 0);
}
