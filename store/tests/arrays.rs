//! Vectors of numbers as slices and as arrays: where they lie, and as long as somebody looks.

use std::sync::Arc;

use rustyray_store::{Client, Config, Native, Node, Status, Value, View};

fn store() -> (Arc<Node>, Arc<Client>) {
    let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() });
    let node = node.expect("a store");
    let client = node.client();
    (node, client)
}

/// The addresses of the object's bytes.
fn place<T: Value>(view: &View<T>) -> std::ops::Range<usize> {
    let bytes = view.pin().as_ptr_range();
    bytes.start as usize..bytes.end as usize
}

fn holds_in_place<N>(numbers: Vec<N>)
where
    N: Native + PartialEq + std::fmt::Debug,
    Vec<N>: Value<Archived = rkyv::vec::ArchivedVec<N::Archived>>,
{
    let (_node, client) = store();
    let id = client.put(&numbers).expect("put");
    let view: View<Vec<N>> = client.view(id).expect("view");
    assert_eq!(view.as_slice(), numbers);
    assert!(place(&view).contains(&(view.as_slice().as_ptr() as usize)));
    let array = view.as_array((numbers.len() / 4, 4)).expect("rows of four");
    assert_eq!(array.as_ptr(), view.as_slice().as_ptr());
    assert_eq!(array[[1, 2]], numbers[6]);
}

#[test]
fn numbers_of_every_kind_are_arrays_where_they_lie() {
    holds_in_place::<u8>((0..40).collect());
    holds_in_place::<i16>((-20..20).collect());
    holds_in_place::<u32>((0..40_000).collect());
    holds_in_place::<i64>((-20..20).collect());
    holds_in_place::<u128>((0..40).collect());
    holds_in_place::<f32>((0..40).map(|n| n as f32 / 3.0).collect());
    holds_in_place::<f64>((0..400_000).map(|n| f64::from(n) / 3.0).collect());
}

#[test]
fn an_array_holds_its_object_in_place_until_the_last_copy_goes() {
    let (node, client) = store();
    let numbers: Vec<f64> = (0..1_000_000).map(f64::from).collect();
    let id = client.put(&numbers).expect("put");
    let view: View<Vec<f64>> = client.view(id).expect("view");
    let within = place(&view);
    let array = view.into_array([100, 100, 100]).expect("a cube");
    client.release(id);
    assert_eq!(client.status(id), Status::Sealed, "the array holds it");
    assert!(within.contains(&(array.view().as_ptr() as usize)));
    let copy = std::thread::spawn(move || {
        assert_eq!(array.view()[[1, 2, 3]], 10_203.0);
        array.clone()
    });
    let copy = copy.join().expect("the thread");
    assert_eq!(copy.view().sum(), 999_999.0 * 500_000.0);
    assert_eq!(node.stats().objects, 1);
    drop(copy);
    assert_eq!(client.status(id), Status::Gone);
}

#[test]
fn an_array_of_another_size_is_refused() {
    let (_node, client) = store();
    let view: View<Vec<i32>> =
        client.view(client.put(&vec![1, 2, 3, 4]).expect("put")).expect("view");
    assert!(view.as_array((2, 3)).is_err());
    assert!(view.as_array(3).is_err(), "it would leave a number out");
    assert!(view.as_array((usize::MAX, 4)).is_err());
    assert!(view.clone().into_array((1, 5)).is_err());
    assert_eq!(view.as_array((4, 1)).expect("four rows").dim(), (4, 1));
    let none: View<Vec<i32>> =
        client.view(client.put(&Vec::<i32>::new()).expect("put")).expect("view");
    assert_eq!(none.as_array((0, 7)).expect("no rows").len(), 0);
}
