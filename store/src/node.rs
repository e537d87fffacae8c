//! The node's side of the store.
use std::{os::fd::OwnedFd, sync::Arc};

use crate::*;

/// The owner of the store's memory.
#[derive(Debug)]
pub struct Node {}

/// What a new client needs.
#[derive(Debug)]
pub struct Admission {
    /// The client's number.
    pub client: ClientId,
    /// The sizes of the store.
    pub geometry: Geometry,
    /// Descriptors to pass to it, in this order.
    pub descriptors: Vec<OwnedFd>,
}

/// What was left of a dead client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reaped {
    /// Clients to ring.
    pub wake: ClientSet,
    /// Unsealed objects that nobody will seal.
    pub orphans: Vec<ObjectId>,
    /// Objects freed.
    pub freed: usize,
}

/// An object that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// The object.
    pub id: ObjectId,
    /// Who refers to it.
    pub holders: ClientSet,
    /// Who has a view of it.
    pub pins: ClientSet,
    /// Its size.
    pub len_bytes: u64,
}

#[allow(missing_docs, clippy::missing_errors_doc)]
impl Node {
    pub fn create(_config: Config) -> Result<Arc<Node>, Error> {
        unimplemented!()
    }
    pub fn connect_wake(&self, _wake: Arc<dyn Wake>) {
        unimplemented!()
    }
    pub fn client(&self) -> Arc<Client> {
        unimplemented!()
    }
    pub fn geometry(&self) -> Geometry {
        unimplemented!()
    }
    pub fn admit(&self) -> Result<Admission, Error> {
        unimplemented!()
    }
    pub fn serve(&self, _client: ClientId, _request: Request) -> Reply {
        unimplemented!()
    }
    pub fn reap(&self, _client: ClientId) -> Reaped {
        unimplemented!()
    }
    pub fn collect(&self, _limit: usize) -> usize {
        unimplemented!()
    }
    pub fn set_attempt(&self, _id: ObjectId, _attempt: u16) -> Result<(), AttemptError> {
        unimplemented!()
    }
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
    pub fn leaks(&self) -> Vec<Leak> {
        unimplemented!()
    }
}
