//! Values that do what they like while they are written.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rkyv::{
    Archive, Place, Serialize, rancor,
    ser::{Allocator as _, Writer as _},
};
use rustyray_store::{Client, Config, Node, ValueSerializer};

fn store() -> (Arc<Node>, Arc<Client>) {
    let config = Config { capacity_bytes: 16 << 20, spill_dir: None, ..Config::default() };
    let node = Node::create(config).expect("a store");
    let client = node.client();
    (node, client)
}

/// Exchanges the serializer that it is given for the one that it has; then it panics, if it is to.
struct Exchange<'a>(RefCell<&'a mut ValueSerializer>, bool);

impl Archive for Exchange<'_> {
    type Archived = [u8; 32];
    type Resolver = ();
    fn resolve(&self, (): (), out: Place<[u8; 32]>) {
        out.write([1; 32]);
    }
}

impl Serialize<ValueSerializer> for Exchange<'_> {
    fn serialize(&self, serializer: &mut ValueSerializer) -> Result<(), rancor::Error> {
        std::mem::swap(&mut **self.0.borrow_mut(), serializer);
        assert!(!self.1, "on purpose");
        Ok(())
    }
}

/// Puts such a value while it is written itself, and goes on.
struct Outer(Arc<Client>, bool);

impl Archive for Outer {
    type Archived = [u8; 32];
    type Resolver = ();
    fn resolve(&self, (): (), out: Place<[u8; 32]>) {
        out.write([2; 32]);
    }
}

impl Serialize<ValueSerializer> for Outer {
    fn serialize(&self, serializer: &mut ValueSerializer) -> Result<(), rancor::Error> {
        let Outer(client, panics) = self;
        let layout = std::alloc::Layout::new::<[u64; 8]>();
        // SAFETY: the layout has a size.
        let scratch = unsafe { serializer.push_alloc(layout) }?;
        let inner = Exchange(RefCell::new(&mut *serializer), *panics);
        let put = catch_unwind(AssertUnwindSafe(|| client.put(&inner)));
        assert_eq!(put.is_err(), *panics);
        assert!(put.is_err() || put.is_ok_and(|put| put.is_err()), "sealed with another's bytes");
        // SAFETY: it was allocated above, and is as large.
        unsafe { scratch.cast::<[u64; 8]>().write([7; 8]) };
        let written = serializer.write(&[9; 32]);
        assert!(written.is_err(), "into another's memory");
        // SAFETY: as it was allocated.
        unsafe { serializer.pop_alloc(scratch.cast(), layout) }?;
        Ok(())
    }
}

#[test]
fn a_serializer_that_is_exchanged_for_another_writes_nothing() {
    let (node, client) = store();
    for panics in [false, true] {
        client.put(&Outer(Arc::clone(&client), panics)).expect_err("it was exchanged");
        // The next one is as good as ever.
        let text = "a".repeat(100);
        let id = client.put(&text).expect("put");
        let view = client.view::<String>(id).expect("view");
        assert_eq!(view.as_str(), text);
        drop(view);
        client.release(id);
    }
    assert_eq!(node.stats().objects, 0);
}
