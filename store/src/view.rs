//! Typed, checked views.
#![allow(missing_docs)]
use crate::*;
use std::{fmt, marker::PhantomData, ops::Deref};

pub struct View<T: Value> {
    _t: PhantomData<fn() -> T>,
}
impl<T: Value> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}
impl<T: Value> Clone for View<T> {
    fn clone(&self) -> Self {
        unimplemented!()
    }
}
impl<T: Value> Deref for View<T> {
    type Target = T::Archived;
    fn deref(&self) -> &T::Archived {
        unimplemented!()
    }
}
#[allow(clippy::missing_errors_doc)]
impl<T: Value> View<T> {
    pub fn id(&self) -> ObjectId {
        unimplemented!()
    }
    pub fn pin(&self) -> &Pin {
        unimplemented!()
    }
    pub fn from_pin(_pin: Pin) -> Result<Self, ViewError> {
        unimplemented!()
    }
    pub fn to_owned_value(&self) -> Result<T, rkyv::rancor::Error>
    where
        T: OwnedValue,
    {
        unimplemented!()
    }
}
impl View<bytes::Bytes> {
    pub fn bytes(&self) -> bytes::Bytes {
        unimplemented!()
    }
}
impl From<View<bytes::Bytes>> for bytes::Bytes {
    fn from(view: View<bytes::Bytes>) -> Self {
        view.bytes()
    }
}
