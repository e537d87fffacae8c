//! Several clients of one store. They are in one process here, so that they can be over memory that no other
//! process reaches; `tests/processes.rs` has them in processes of their own.

use std::sync::Arc;

use rustyray_store::*;

use crate::{Over, containers::Ref, store};

/// A client's requests, answered at once.
struct Direct {
    node: Arc<Node>,
    client: ClientId,
}

impl Transport for Direct {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let request = Request::from_words(request.to_words()).expect("a request");
        Ok(Reply::from_words(self.node.serve(self.client, request).to_words()).expect("a reply"))
    }
}

struct Silent;

impl Wake for Silent {
    fn wake(&self, _clients: ClientSet) {}
}

/// One more client.
pub(crate) fn join(node: &Arc<Node>) -> Arc<Client> {
    let Admission { client, geometry, segments, .. } = node.admit().expect("admitted");
    let transport = Arc::new(Direct { node: Arc::clone(node), client });
    Client::attach(geometry, segments, client, transport, Arc::new(Silent)).expect("attached")
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

pub(crate) fn what_a_dead_client_left_is_cleared_away(over: Over) {
    let (node, one) = store(over);
    let kept = one.put(&1u64).expect("put");
    let before = node.stats();
    let two = join(&node);
    let number = two.id();
    let promised = two.reserve().expect("reserve");
    one.retain(promised).expect("retain");
    let _view = two.view::<u64>(kept).expect("view");
    let small = two.put(&2u64).expect("put");
    let large = two.put(&vec![3u8; 2 << 20]).expect("put");
    let writer = two.create(1 << 20).expect("create");
    // As its death would.
    two.abandon();
    let reaped = node.reap(number);
    assert_eq!(reaped.orphans, [promised]);
    assert_eq!((one.status(small), one.status(large)), (Status::Gone, Status::Gone));
    drop(writer);
    one.fail(promised, 0, b"its sealer is dead").expect("fail");
    one.release(promised);
    let after = node.stats();
    assert_eq!((after.objects, after.used_bytes), (before.objects, before.used_bytes));
    assert!(matches!(two.reserve(), Err(Error::Closed)));
    assert_eq!(join(&node).id(), number, "the number is free");
}
