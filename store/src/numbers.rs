//! Vectors of numbers, read as native slices.
//!
//! Archives are little-endian; on a little-endian machine the archive of a number is the number.
//!
//! One of the crate's unsafe files: it looks at archived numbers as numbers.

use rkyv::Archive;

use crate::{Value, View};

#[cfg(target_endian = "big")]
compile_error!("archives are read in place, which needs a little-endian machine");

mod sealed {
    pub trait Sealed {}
}

/// A number whose archive has the very bytes of the number. Implemented for the primitive numbers.
///
/// # Safety
/// `Self` and `Self::Archived` have the same size and alignment, every archive is a valid number, and
/// reading one as the other gives the same number.
pub unsafe trait Number: Archive + Copy + 'static + sealed::Sealed {}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl sealed::Sealed for $number {}
        const _: () = assert!(size_of::<$number>() == size_of::<rkyv::Archived<$number>>());
        const _: () = assert!(align_of::<$number>() == align_of::<rkyv::Archived<$number>>());
        // SAFETY: sizes and alignments are compared above; rkyv archives a number as its little-endian
        // bytes, which on a little-endian machine (checked above) are its bytes, and every pattern of
        // bytes is a valid number.
        unsafe impl Number for $number {}
    )*};
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, f32, f64);

impl<N: Number> View<Vec<N>>
where
    Vec<N>: Value<Archived = rkyv::vec::ArchivedVec<N::Archived>>,
{
    /// The numbers where they lie.
    pub fn as_slice(&self) -> &[N] {
        let archived: &[N::Archived] = self;
        // SAFETY: `Number` promises that the one can be read as the other; same length, and the same
        // borrow.
        unsafe { std::slice::from_raw_parts(archived.as_ptr().cast(), archived.len()) }
    }
}
