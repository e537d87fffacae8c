//! Arrays of `ndarray` over vectors of numbers in the store.
//!
//! A vector of numbers becomes an array of any shape where it lies: borrowed from its view, or together with
//! the view, which then holds the object in place.

use std::fmt;

use ndarray::{ArrayView, Dimension, IntoDimension, ShapeError};

use crate::{Native, View};

/// An array over an object that it holds in place. Cloning it copies no number.
///
/// # Examples
/// ```
/// use rustyray_store::{Config, Node, PinnedArray, View};
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let id = client.put(&vec![1.0_f64, 2.0, 3.0, 4.0])?;
/// let view: View<Vec<f64>> = client.view(id)?;
/// client.release(id);
/// assert_eq!(view.as_array((2, 2))?[[1, 0]], 3.0);
/// assert!(view.as_array((3, 2)).is_err(), "there are four numbers");
///
/// let array: PinnedArray<f64, _> = view.into_array((2, 2))?; // holds the object in place
/// assert_eq!(array.view().sum(), 10.0);
/// assert_eq!(array.numbers().len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PinnedArray<N: Native, D>
where
    Vec<N>: crate::Value,
{
    numbers: View<Vec<N>>,
    shape: D,
}

impl<N, D> PinnedArray<N, D>
where
    N: Native,
    Vec<N>: crate::Value<Archived = rkyv::vec::ArchivedVec<N::Archived>>,
    D: Dimension,
{
    /// The array.
    pub fn view(&self) -> ArrayView<'_, N, D> {
        ArrayView::from_shape(self.shape.clone(), self.numbers.as_slice())
            .expect("the shape was compared with the numbers")
    }

    /// The view that holds the object in place.
    pub fn numbers(&self) -> &View<Vec<N>> {
        &self.numbers
    }
}

impl<N: Native, D: Clone> Clone for PinnedArray<N, D>
where
    Vec<N>: crate::Value,
{
    fn clone(&self) -> Self {
        PinnedArray { numbers: self.numbers.clone(), shape: self.shape.clone() }
    }
}

impl<N: Native, D: fmt::Debug> fmt::Debug for PinnedArray<N, D>
where
    Vec<N>: crate::Value,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedArray")
            .field("object", &self.numbers.id())
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl<N> View<Vec<N>>
where
    N: Native,
    Vec<N>: crate::Value<Archived = rkyv::vec::ArchivedVec<N::Archived>>,
{
    /// The numbers as an array of this shape, the last axis varying fastest.
    ///
    /// # Errors
    /// When the shape has another number of elements than there are numbers.
    ///
    /// # Examples
    /// ```
    /// use rustyray_store::{Config, Node, View};
    ///
    /// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
    /// let client = node.client();
    /// let id = client.put(&vec![1.0_f64, 2.0, 3.0, 4.0])?;
    /// let view: View<Vec<f64>> = client.view(id)?;
    /// client.release(id);
    /// assert_eq!(view.as_array((2, 2))?[[1, 0]], 3.0);
    /// assert!(view.as_array((3, 2)).is_err(), "there are four numbers");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_array<I: IntoDimension>(
        &self,
        shape: I,
    ) -> Result<ArrayView<'_, N, I::Dim>, ShapeError> {
        let shape = shape.into_dimension();
        exactly(&shape, self.as_slice().len())?;
        ArrayView::from_shape(shape, self.as_slice())
    }

    /// The same, as an array that holds the object in place.
    ///
    /// # Errors
    /// When the shape has another number of elements than there are numbers.
    ///
    /// # Examples
    /// See [`PinnedArray`]:
    /// ```
    /// use rustyray_store::{Config, Node, PinnedArray, View};
    ///
    /// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
    /// let client = node.client();
    /// let id = client.put(&vec![1.0_f64, 2.0, 3.0, 4.0])?;
    /// let view: View<Vec<f64>> = client.view(id)?;
    /// client.release(id);
    /// let array: PinnedArray<f64, _> = view.into_array((2, 2))?; // holds the object in place
    /// assert_eq!(array.view().sum(), 10.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_array<I: IntoDimension>(
        self,
        shape: I,
    ) -> Result<PinnedArray<N, I::Dim>, ShapeError> {
        let shape = shape.into_dimension();
        exactly(&shape, self.as_slice().len())?;
        Ok(PinnedArray { numbers: self, shape })
    }
}

/// `ndarray` takes a slice that is longer than the shape; here that is an error too.
fn exactly<D: Dimension>(shape: &D, len: usize) -> Result<(), ShapeError> {
    match shape.size_checked() {
        Some(size) if size == len => Ok(()),
        _ => Err(ShapeError::from_kind(ndarray::ErrorKind::IncompatibleShape)),
    }
}
