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
    client.release(two);
    assert_eq!(*client.view::<u64>(inner).expect("view"), 5);
    client.release(outer);
    assert_eq!(client.status(inner), Status::Gone);
    assert_eq!(node.stats().objects, 0);
    let stale = client.put(&[Ref(inner)].to_vec());
    assert!(matches!(stale, Err(Error::Nested(Stale::Gone(id))) if id == inner));
    assert_eq!(node.stats().objects, 0);
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
