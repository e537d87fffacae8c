//! Objects held in place.
#![allow(missing_docs)]
use crate::ObjectId;
use std::ops::Deref;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PinKind {
    Value,
    Failed,
}
#[derive(Clone, Debug)]
pub struct Pin {}
impl Pin {
    pub fn id(&self) -> ObjectId {
        unimplemented!()
    }
    pub fn fingerprint(&self) -> u64 {
        unimplemented!()
    }
    pub fn kind(&self) -> PinKind {
        unimplemented!()
    }
}
impl Deref for Pin {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        unimplemented!()
    }
}
