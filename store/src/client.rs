//! A process's side of the store.
#![allow(missing_docs, clippy::missing_errors_doc)]
use std::{os::fd::OwnedFd, sync::Arc};

use crate::*;

pub const DIRTY_GROUPS: u32 = 4096;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Sealed,
    Failed,
    Gone,
}

pub trait Transport: Send + Sync {
    fn call(&self, request: Request) -> Result<Reply, TransportError>;
}
pub trait Wake: Send + Sync {
    fn wake(&self, clients: ClientSet);
}
#[derive(Debug)]
pub struct Written {
    pub writer: Writer,
    pub nested: Vec<ObjectId>,
    pub fingerprint: u64,
}
#[derive(Debug)]
pub struct Client {}
impl Client {
    pub fn attach(
        _geometry: Geometry,
        _descriptors: Vec<OwnedFd>,
        _client: ClientId,
        _transport: Arc<dyn Transport>,
        _wake: Arc<dyn Wake>,
    ) -> Result<Arc<Client>, Error> {
        unimplemented!()
    }
    pub fn id(&self) -> ClientId {
        unimplemented!()
    }
    pub fn reserve(&self) -> Result<ObjectId, Error> {
        unimplemented!()
    }
    pub fn retain(&self, _id: ObjectId) -> Result<(), Stale> {
        unimplemented!()
    }
    pub fn release(&self, _id: ObjectId) {
        unimplemented!()
    }
    pub fn holds(&self, _id: ObjectId) -> bool {
        unimplemented!()
    }
    pub fn status(&self, _id: ObjectId) -> Status {
        unimplemented!()
    }
    pub fn subscribe(&self, _id: ObjectId) -> Status {
        unimplemented!()
    }
    pub fn dirty_group(&self, _id: ObjectId) -> u32 {
        unimplemented!()
    }
    pub fn drain_dirty(&self, _look: &mut dyn FnMut(u32)) {
        unimplemented!()
    }
    pub fn create(self: &Arc<Self>, _len: usize) -> Result<Writer, Error> {
        unimplemented!()
    }
    pub fn create_bytes(self: &Arc<Self>, _len: usize) -> Result<BytesWriter, Error> {
        unimplemented!()
    }
    pub fn seal(
        &self,
        _id: ObjectId,
        _attempt: u16,
        _writer: Writer,
        _fingerprint: u64,
        _nested: &[ObjectId],
    ) -> Result<(), SealError> {
        unimplemented!()
    }
    pub fn seal_bytes(
        &self,
        _id: ObjectId,
        _attempt: u16,
        _writer: BytesWriter,
    ) -> Result<(), SealError> {
        unimplemented!()
    }
    pub fn fail(
        self: &Arc<Self>,
        _id: ObjectId,
        _attempt: u16,
        _error: &[u8],
    ) -> Result<(), SealError> {
        unimplemented!()
    }
    pub fn pin(self: &Arc<Self>, _id: ObjectId) -> Result<Pin, PinError> {
        unimplemented!()
    }
    pub fn write_value<T: Value>(self: &Arc<Self>, _value: &T) -> Result<Written, Error> {
        unimplemented!()
    }
    pub fn seal_value<T: Value>(
        self: &Arc<Self>,
        _id: ObjectId,
        _attempt: u16,
        _value: &T,
    ) -> Result<(), SealError> {
        unimplemented!()
    }
    pub fn put<T: Value>(self: &Arc<Self>, _value: &T) -> Result<ObjectId, Error> {
        unimplemented!()
    }
    pub fn put_bytes(self: &Arc<Self>, _bytes: &[u8]) -> Result<ObjectId, Error> {
        unimplemented!()
    }
    pub fn view<T: Value>(self: &Arc<Self>, _id: ObjectId) -> Result<View<T>, ViewError> {
        unimplemented!()
    }
    pub fn abandon(&self) {
        unimplemented!()
    }
}
