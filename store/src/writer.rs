//! Objects being written.
#![allow(missing_docs)]
use std::ops::{Deref, DerefMut};

#[derive(Debug)]
pub struct Writer {}
impl Writer {
    pub fn truncate(&mut self, _len: usize) {
        unimplemented!()
    }
}
impl Deref for Writer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        unimplemented!()
    }
}
impl DerefMut for Writer {
    fn deref_mut(&mut self) -> &mut [u8] {
        unimplemented!()
    }
}
#[derive(Debug)]
pub struct BytesWriter {}
impl Deref for BytesWriter {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        unimplemented!()
    }
}
impl DerefMut for BytesWriter {
    fn deref_mut(&mut self) -> &mut [u8] {
        unimplemented!()
    }
}
