//! Arrow record batches: copied once when they are stored, and not at all when they are read.
//!
//! Each buffer is written at a multiple of 64 bytes, as Arrow recommends. What a view gives is a record batch
//! whose buffers are the object's bytes, and whose owner is the object's pin: the object stays in place until
//! the last array goes that was made of it.
//!
//! One of the crate's unsafe files: it makes Arrow buffers of sealed shared memory.

use std::{panic::AssertUnwindSafe, ptr::NonNull, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, RecordBatch, RecordBatchOptions, StringViewArray, make_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::{ArrayData, transform::MutableArrayData};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use rkyv::{
    Archive, Deserialize, Place, Serialize,
    rancor::Fallible,
    ser::Writer,
    vec::{ArchivedVec, VecResolver},
};

use crate::{Pin, View};

/// Where the bytes of a buffer begin: at a multiple of this.
const ALIGN_BYTES: usize = 64;

/// A record batch as a value of the store.
///
/// Making one of a [`RecordBatch`] copies nothing; storing it copies each buffer into its place. A column that
/// is a small part of larger buffers is copied out of them first, so that they are not stored with it. (What
/// views in nested columns point at is stored whole.)
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use arrow_array::{ArrayRef, Int64Array, RecordBatch};
/// use rustyray_store::{Batch, Config, Node};
///
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
/// let batch = RecordBatch::try_from_iter([("number", column)])?;
/// let value = Batch::try_from(&batch)?;
/// assert_eq!(value.record_batch()?, batch);
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let id = client.put(&value)?;
/// let read: RecordBatch = client.view::<Batch>(id)?.record_batch()?; // where it lies
/// client.release(id);
/// assert_eq!(read, batch);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Archive, Serialize, Deserialize)]
pub struct Batch {
    /// The schema, as the beginning of an Arrow IPC stream.
    schema: Vec<u8>,
    rows: u64,
    /// The arrays of all columns, each followed by its children.
    arrays: Vec<Node>,
}

/// One array without its children.
#[derive(Debug, Archive, Serialize, Deserialize)]
struct Node {
    len: u64,
    offset: u64,
    nulls: Option<Nulls>,
    buffers: Vec<Block>,
}

/// Which items of an array are null.
#[derive(Debug, Archive, Serialize, Deserialize)]
struct Nulls {
    bits: Block,
    offset: u64,
}

/// A buffer.
#[derive(Clone, Debug)]
struct Block(Buffer);

impl Archive for Block {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_len(self.0.len(), resolver, out);
    }
}

impl<S: Fallible + Writer + ?Sized> Serialize<S> for Block {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        let at = serializer.pos().next_multiple_of(ALIGN_BYTES);
        serializer.write(&[0; ALIGN_BYTES][..at - serializer.pos()])?;
        serializer.write(self.0.as_slice())?;
        Ok(VecResolver::from_pos(at))
    }
}

impl<D: Fallible + ?Sized> Deserialize<Block, D> for ArchivedVec<u8> {
    fn deserialize(&self, _: &mut D) -> Result<Block, D::Error> {
        Ok(Block(Buffer::from_slice_ref(self.as_slice())))
    }
}

impl TryFrom<&RecordBatch> for Batch {
    type Error = ArrowError;

    fn try_from(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let mut schema = Vec::new();
        StreamWriter::try_new(&mut schema, &batch.schema())?.finish()?;
        let mut arrays = Vec::with_capacity(batch.num_columns());
        for column in batch.columns() {
            flatten(&compact(column.to_data())?, &mut arrays);
        }
        Ok(Batch { schema, rows: batch.num_rows() as u64, arrays })
    }
}

impl Batch {
    /// The record batch.
    ///
    /// # Errors
    /// When what was stored is not a valid batch.
    pub fn record_batch(&self) -> Result<RecordBatch, ArrowError> {
        let nodes = self.arrays.iter().map(|node| Parts {
            len: node.len,
            offset: node.offset,
            nulls: node.nulls.as_ref().map(|nulls| (nulls.bits.0.clone(), nulls.offset)),
            buffers: node.buffers.iter().map(|block| block.0.clone()).collect(),
        });
        assemble(&self.schema, self.rows, nodes)
    }
}

impl View<Batch> {
    /// The record batch where it lies. Its arrays hold the object in place, whether or not the view lives.
    ///
    /// # Errors
    /// When what was stored is not a valid batch: buffers that are too short for their array, offsets beyond
    /// them, text that is not UTF-8. That is looked at each time, which for text reads all of it.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    /// use rustyray_store::{Batch, Config, Node};
    ///
    /// let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    /// let batch = RecordBatch::try_from_iter([("number", column)])?;
    ///
    /// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
    /// let client = node.client();
    /// let id = client.put(&Batch::try_from(&batch)?)?;
    /// let read: RecordBatch = client.view::<Batch>(id)?.record_batch()?; // where it lies
    /// client.release(id);
    /// assert_eq!(read, batch);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record_batch(&self) -> Result<RecordBatch, ArrowError> {
        let pin = Arc::new(AssertUnwindSafe(self.pin().clone()));
        let nodes = self.arrays.iter().map(|node| Parts {
            len: node.len.to_native(),
            offset: node.offset.to_native(),
            nulls: node
                .nulls
                .as_ref()
                .map(|nulls| (buffer(&nulls.bits, &pin), nulls.offset.to_native())),
            buffers: node.buffers.iter().map(|block| buffer(block, &pin)).collect(),
        });
        assemble(&self.schema, self.rows.to_native(), nodes)
    }
}

/// An Arrow buffer over bytes of the object that `pin` holds.
fn buffer(bytes: &ArchivedVec<u8>, pin: &Arc<AssertUnwindSafe<Pin>>) -> Buffer {
    if bytes.is_empty() {
        return Buffer::default();
    }
    let owner = Arc::clone(pin) as Arc<dyn arrow_buffer::alloc::Allocation>;
    // SAFETY: the bytes are those of an archive that was checked, within the sealed object that the pin holds;
    // they do not change or move as long as `owner` lives.
    unsafe {
        Buffer::from_custom_allocation(NonNull::from(bytes.as_slice()).cast(), bytes.len(), owner)
    }
}

/// An array of its own when it is a small part of larger buffers.
fn compact(data: ArrayData) -> Result<ArrayData, ArrowError> {
    let whole = data.get_buffer_memory_size();
    if whole <= 4096 {
        return Ok(data);
    }
    // The text that views point at is shared, copied or not, until it is collected.
    match data.data_type() {
        DataType::Utf8View => {
            let array = StringViewArray::from(data);
            let small = array.total_buffer_bytes_used() < whole / 2;
            return Ok(if small { array.gc().into_data() } else { array.into_data() });
        }
        DataType::BinaryView => {
            let array = BinaryViewArray::from(data);
            let small = array.total_buffer_bytes_used() < whole / 2;
            return Ok(if small { array.gc().into_data() } else { array.into_data() });
        }
        _ if data.get_slice_memory_size()? >= whole / 2 => return Ok(data),
        _ => {}
    }
    let mut copy = MutableArrayData::new(vec![&data], false, data.len());
    copy.try_extend(0, 0, data.len())?;
    Ok(copy.freeze())
}

/// Appends the array and its children.
fn flatten(data: &ArrayData, nodes: &mut Vec<Node>) {
    nodes.push(Node {
        len: data.len() as u64,
        offset: data.offset() as u64,
        nulls: data.nulls().map(|nulls| Nulls {
            bits: Block(nulls.buffer().clone()),
            offset: nulls.offset() as u64,
        }),
        buffers: data.buffers().iter().cloned().map(Block).collect(),
    });
    data.child_data().iter().for_each(|child| flatten(child, nodes));
}

/// What one array is made of, but for its children.
struct Parts {
    len: u64,
    offset: u64,
    nulls: Option<(Buffer, u64)>,
    buffers: Vec<Buffer>,
}

fn assemble(
    schema: &[u8],
    rows: u64,
    mut nodes: impl Iterator<Item = Parts>,
) -> Result<RecordBatch, ArrowError> {
    let schema: SchemaRef = StreamReader::try_new(schema, None)?.schema();
    let columns: Vec<ArrayRef> = columns(&schema, &mut nodes)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn columns(
    schema: &Schema,
    nodes: &mut impl Iterator<Item = Parts>,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let fields = schema.fields().iter();
    fields.map(|field| array(field.data_type(), nodes).map(make_array)).collect()
}

/// The next array and its children, checked.
fn array(
    data_type: &DataType,
    nodes: &mut impl Iterator<Item = Parts>,
) -> Result<ArrayData, ArrowError> {
    let malformed = |what: &str| ArrowError::InvalidArgumentError(format!("a stored batch {what}"));
    let parts = nodes.next().ok_or_else(|| malformed("has fewer arrays than its schema"))?;
    let len = parts.len as usize;
    let nulls = match parts.nulls {
        None => None,
        Some((bits, offset)) => {
            let end = parts.len.checked_add(offset).filter(|&end| end <= bits.len() as u64 * 8);
            end.ok_or_else(|| malformed("has fewer null bits than items"))?;
            Some(NullBuffer::new(BooleanBuffer::new(bits, offset as usize, len)))
        }
    };
    let mut children = Vec::new();
    for child in child_types(data_type) {
        children.push(array(child, nodes)?);
    }
    ArrayData::builder(data_type.clone())
        .len(len)
        .offset(parts.offset as usize)
        .nulls(nulls)
        .buffers(parts.buffers)
        .child_data(children)
        .build()
}

/// The types of an array's children, in their order.
fn child_types(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::Dictionary(_, values) => vec![values],
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}
