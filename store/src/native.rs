//! Vectors of primitives, read as native slices.
//!
//! Archives are little-endian; on a little-endian machine the archive of a number is the number.
//!
//! # Why a view does not coerce
//! [`View<T>`] derefs to `T::Archived` for every `T`, user's types included, and the archive of a `Vec<f64>` is
//! an `ArchivedVec<f64_le>`. A type derefs to one other type, and Rust has no way to name another for vectors of
//! primitives only: the implementation for all `T` and the one for `Vec<f64>` would overlap (E0119), and an
//! associated type that chooses would have to be implemented for every type anybody stores, by hand. So a
//! `&View<Vec<f64>>` is not taken for a `&[f64]`; everything else that makes a slice is there: `&view[..]`,
//! `view[7]`, `view[2..5]`, `view.iter()`, `for x in &view`, `AsRef<[f64]>`, `==` with slices. Vectors of `u8`,
//! `i8` and `bool` do coerce: their archives are the primitives themselves.
//!
//! One of the crate's unsafe files: it looks at archived numbers as numbers.

use std::{ops::Index, slice::SliceIndex};

use rkyv::{Archive, vec::ArchivedVec};

use crate::{Value, View};

#[cfg(target_endian = "big")]
compile_error!("archives are read in place, which needs a little-endian machine");

mod sealed {
    pub trait Sealed {}
}

/// A primitive whose valid archives have the very bytes of the primitive: numbers, `bool` and `char`.
///
/// # Examples
/// ```
/// use rustyray_store::{Config, Native, Node};
///
/// fn largest<N: Native + PartialOrd>(numbers: &[N]) -> Option<N> {
///     numbers.iter().copied().map(N::to_native).max_by(|a, b| a.partial_cmp(b).expect("no NaN"))
/// }
///
/// let node = Node::create(Config { capacity_bytes: 64 << 20, spill_dir: None, ..Config::default() })?;
/// let client = node.client();
/// let id = client.put(&vec![1.5_f32, -2.0])?;
/// assert_eq!(largest(client.view::<Vec<f32>>(id)?.as_slice()), Some(1.5)); // read where they lie
/// # client.release(id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Safety
/// `Self` and `Self::Archived` have the same size and alignment, every valid archive is a valid `Self`, and
/// reading one as the other gives the same value.
pub unsafe trait Native: Archive + Copy + 'static + sealed::Sealed {
    /// The same value. Archived numbers have a method of that name, so that code that reads a number, in place
    /// or in a native slice, is the same.
    #[inline]
    fn to_native(self) -> Self {
        self
    }
}

macro_rules! natives {
    ($($native:ty),*) => {$(
        impl sealed::Sealed for $native {}
        const _: () = assert!(size_of::<$native>() == size_of::<rkyv::Archived<$native>>());
        const _: () = assert!(align_of::<$native>() == align_of::<rkyv::Archived<$native>>());
        // SAFETY: sizes and alignments are compared above; rkyv archives a primitive as its little-endian
        // bytes, which on a little-endian machine (checked above) are its bytes. Every pattern of bytes is a
        // valid number; the archives of `bool` and `char` are valid only where theirs are.
        unsafe impl Native for $native {}
    )*};
}

natives!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, f32, f64, bool, char);
// Archived with 64 bits.
#[cfg(target_pointer_width = "64")]
natives!(usize, isize);

impl<N: Native> View<Vec<N>>
where
    Vec<N>: Value<Archived = ArchivedVec<N::Archived>>,
{
    /// The values where they lie.
    #[inline]
    pub fn as_slice(&self) -> &[N] {
        let archived: &[N::Archived] = self;
        // SAFETY: `Native` promises that the one can be read as the other; same length, and the same
        // borrow.
        unsafe { std::slice::from_raw_parts(archived.as_ptr().cast(), archived.len()) }
    }

    /// Goes through the values.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, N> {
        self.as_slice().iter()
    }

    /// The value at a place, or those of a range; `None` when it is beyond the end.
    #[inline]
    pub fn get<I: SliceIndex<[N]>>(&self, index: I) -> Option<&I::Output> {
        self.as_slice().get(index)
    }

    /// The first value.
    #[inline]
    pub fn first(&self) -> Option<&N> {
        self.as_slice().first()
    }

    /// The last value.
    #[inline]
    pub fn last(&self) -> Option<&N> {
        self.as_slice().last()
    }

    /// A copy of one's own.
    pub fn to_vec(&self) -> Vec<N> {
        self.as_slice().to_vec()
    }
}

impl<N: Native, I: SliceIndex<[N]>> Index<I> for View<Vec<N>>
where
    Vec<N>: Value<Archived = ArchivedVec<N::Archived>>,
{
    type Output = I::Output;

    /// # Panics
    /// When the index is beyond the end.
    #[inline]
    fn index(&self, index: I) -> &I::Output {
        &self.as_slice()[index]
    }
}

impl<'a, N: Native> IntoIterator for &'a View<Vec<N>>
where
    Vec<N>: Value<Archived = ArchivedVec<N::Archived>>,
{
    type Item = &'a N;
    type IntoIter = std::slice::Iter<'a, N>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<N: Native> AsRef<[N]> for View<Vec<N>>
where
    Vec<N>: Value<Archived = ArchivedVec<N::Archived>>,
{
    #[inline]
    fn as_ref(&self) -> &[N] {
        self.as_slice()
    }
}

/// Vectors, arrays and slices of the same values are equal.
impl<N: Native + PartialEq, S: AsRef<[N]> + ?Sized> PartialEq<S> for View<Vec<N>>
where
    Vec<N>: Value<Archived = ArchivedVec<N::Archived>>,
{
    fn eq(&self, other: &S) -> bool {
        self.as_slice() == other.as_ref()
    }
}
