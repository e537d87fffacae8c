//! Arrow record batches: what comes out is what went in, lies where it was stored, and stays while it is used.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, ListArray,
    RecordBatch, RecordBatchOptions, StringArray, StringViewArray, StructArray,
    types::{Int8Type, Int32Type},
};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema};
use rustyray_store::{Batch, Client, Config, Node, Status, View, ViewError};

fn store() -> (Arc<Node>, Arc<Client>) {
    let node = Node::create(Config { capacity_bytes: 64 << 20, ..Config::default() });
    let node = node.expect("a store");
    let client = node.client();
    (node, client)
}

/// A batch with arrays of every layout: fixed, bits, offsets, views, children, dictionaries, and nulls.
fn batch(rows: i32) -> RecordBatch {
    let texts = |row: i32| (row % 5 != 0).then(|| format!("row number {row} of a batch"));
    let lists = (0..rows).map(|row| Some((0..row % 4).map(move |at| Some(row + at))));
    let dictionary: DictionaryArray<Int8Type> =
        (0..rows).map(|row| Some(["one", "two", "three"][row as usize % 3])).collect();
    let pair = StructArray::from(vec![
        (
            Arc::new(Field::new("x", DataType::Float64, true)),
            Arc::new(Float64Array::from_iter((0..rows).map(|row| Some(f64::from(row) / 7.0))))
                as ArrayRef,
        ),
        (
            Arc::new(Field::new("y", DataType::Boolean, true)),
            Arc::new(BooleanArray::from_iter(
                (0..rows).map(|row| (row % 3 > 0).then_some(row % 2 == 0)),
            )),
        ),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("number", Arc::new(Int32Array::from_iter_values(0..rows))),
        ("text", Arc::new(StringArray::from_iter((0..rows).map(texts)))),
        ("view", Arc::new(StringViewArray::from_iter((0..rows).map(texts)))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("dictionary", Arc::new(dictionary)),
        ("pair", Arc::new(pair)),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .expect("columns of the same length")
}

fn put(client: &Arc<Client>, batch: &RecordBatch) -> rustyray_store::ObjectId {
    client.put(&Batch::try_from(batch).expect("a batch")).expect("put")
}

/// Every buffer of an array and its children.
fn buffers(data: &ArrayData) -> Vec<(usize, usize)> {
    let own = data.buffers().iter().chain(data.nulls().map(|nulls| nulls.buffer()));
    own.filter(|buffer| !buffer.is_empty())
        .map(|buffer| (buffer.as_ptr() as usize, buffer.len()))
        .chain(data.child_data().iter().flat_map(buffers))
        .collect()
}

#[test]
fn a_batch_is_read_where_it_lies() {
    let (_node, client) = store();
    for rows in [0, 1, 1000, 100_000] {
        let stored = batch(rows);
        let view: View<Batch> = client.view(put(&client, &stored)).expect("view");
        let read = view.record_batch().expect("a batch");
        assert_eq!(read, stored);
        let place = view.pin().as_ptr_range();
        let place = place.start as usize..place.end as usize;
        let all: Vec<_> =
            read.columns().iter().flat_map(|column| buffers(&column.to_data())).collect();
        assert!(rows == 0 || all.len() >= 10, "{all:x?}");
        for (at, len) in all {
            assert!(place.contains(&at) && at + len <= place.end, "{at:x} is in the object");
            assert_eq!(at % 64, 0, "{at:x} is aligned");
        }
    }
}

#[test]
fn the_last_array_holds_the_object() {
    let (node, client) = store();
    let stored = batch(10_000);
    let id = put(&client, &stored);
    let read = client.view::<Batch>(id).expect("view").record_batch().expect("a batch");
    client.release(id);
    assert_eq!(client.status(id), Status::Sealed);
    let column = Arc::clone(read.column_by_name("number").expect("a column"));
    drop(read);
    let part = column.slice(5000, 10);
    drop(column);
    assert_eq!(client.status(id), Status::Sealed, "a slice of one column holds it");
    assert_eq!(part.to_data(), stored.column(0).slice(5000, 10).to_data());
    drop(part);
    assert_eq!(client.status(id), Status::Gone);
    assert_eq!(node.stats().objects, 0);
}

#[test]
fn an_owned_batch_holds_nothing() {
    let (_node, client) = store();
    let stored = batch(100);
    let id = put(&client, &stored);
    let owned = client.view::<Batch>(id).expect("view").to_owned_value().expect("owned");
    client.release(id);
    assert_eq!(client.status(id), Status::Gone);
    assert_eq!(owned.record_batch().expect("a batch"), stored);
}

#[test]
fn a_slice_is_stored_without_what_it_leaves_out() {
    let (_node, client) = store();
    let part = batch(100_000).slice(40_000, 50);
    let view: View<Batch> = client.view(put(&client, &part)).expect("view");
    assert_eq!(view.record_batch().expect("a batch"), part);
    assert!(view.pin().len() < 64 << 10, "{} bytes", view.pin().len());
    let most = batch(1000).slice(3, 990);
    let view: View<Batch> = client.view(put(&client, &most)).expect("view");
    assert_eq!(view.record_batch().expect("a batch"), most);
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let (_node, client) = store();
    let options = RecordBatchOptions::new().with_row_count(Some(7));
    let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)
        .expect("rows");
    let view: View<Batch> = client.view(put(&client, &none)).expect("view");
    assert_eq!(view.record_batch().expect("a batch").num_rows(), 7);
}

#[test]
fn a_damaged_batch_is_an_error() {
    let (_node, client) = store();
    let whole = {
        let view: View<Batch> = client.view(put(&client, &batch(100))).expect("view");
        view.pin().to_vec()
    };
    let seal = |bytes: &[u8]| {
        let mut writer = client.create(bytes.len()).expect("create");
        writer.copy_from_slice(bytes);
        let id = client.reserve().expect("reserve");
        let fingerprint = rustyray_store::fingerprint::<Batch>();
        client.seal(id, 0, writer, fingerprint, &[]).expect("seal");
        client.view::<Batch>(id)
    };
    assert!(matches!(seal(&whole[..whole.len() / 2]), Err(ViewError::Corrupt { .. })));
    assert_eq!(seal(&whole).expect("view").record_batch().expect("a batch"), batch(100));
    // Whatever single byte is wrong: an error or another batch, never a crash.
    let (mut refused, step) = (0, whole.len() / 500 + 1);
    for at in (0..whole.len()).step_by(step).chain(whole.len() - 200..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        refused += usize::from(seal(&bytes).map_or(true, |view| view.record_batch().is_err()));
    }
    assert!(refused > 50, "{refused} damaged batches were refused");
}
