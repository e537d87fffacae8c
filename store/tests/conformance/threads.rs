//! Many threads of one process at once.

use std::sync::Arc;

use rustyray_store::*;

use crate::{Over, store};

/// When it is to wake somebody it lets go of the object at once, and waits for the slot's next one.
struct QuickWaiter {
    client: std::sync::Weak<Client>,
    first: ObjectId,
    second: std::sync::OnceLock<ObjectId>,
}

impl Wake for QuickWaiter {
    fn wake(&self, _clients: ClientSet) {
        self.second.get_or_init(|| {
            let client = self.client.upgrade().expect("it lives");
            client.release(self.first);
            let second = client.reserve().expect("reserve");
            assert_eq!(client.subscribe(second), Status::Pending);
            second
        });
    }
}

pub(crate) fn threads_share_and_drop_one_object_without_losing_it(over: Over) {
    let (node, client) = store(over);
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

pub(crate) fn threads_put_and_drop_without_mixing_up_their_objects(over: Over) {
    let (node, client) = store(over);
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

pub(crate) fn threads_that_give_tails_back_do_not_write_to_each_others_pages(over: Over) {
    let (node, client) = store(over);
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

pub(crate) fn a_wakeup_for_one_object_takes_none_from_the_next_in_its_slot(over: Over) {
    let (node, client) = store(over);
    let first = client.reserve().expect("reserve");
    let waiter = Arc::new(QuickWaiter {
        client: Arc::downgrade(&client),
        first,
        second: Default::default(),
    });
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
