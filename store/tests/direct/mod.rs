//! A client of a store in the node's own process: its requests are answered on the spot.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Weak};

use rustyray_store::{
    Admission, Client, ClientId, ClientSet, Error, Node, Reaped, Reply, Request, Transport,
    TransportError, Wake,
};

/// The transport of one client.
pub(crate) struct Direct {
    node: Weak<Node>,
    client: ClientId,
}

impl Transport for Direct {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let node = self.node.upgrade().ok_or(TransportError::Closed)?;
        // As it would travel.
        let request = Request::from_words(request.to_words()).expect("a request");
        // SAFETY: only `join_as` makes one of these, for the client of this number, and each request comes here once.
        let reply = unsafe { node.serve(self.client, request) };
        Ok(Reply::from_words(reply.to_words()).expect("a reply"))
    }
}

/// Wakes nobody.
pub(crate) struct Silent;

impl Wake for Silent {
    fn wake(&self, _clients: ClientSet) {}
}

/// One more client.
pub(crate) fn join(node: &Arc<Node>) -> Result<Arc<Client>, Error> {
    Ok(join_by(node, |direct| direct)?.0)
}

/// The same with a transport of its own, by way of a direct one.
pub(crate) fn join_by<T: Transport + 'static>(
    node: &Arc<Node>,
    by: impl FnOnce(Direct) -> T,
) -> Result<(Arc<Client>, Arc<T>), Error> {
    join_as(node, node.admit()?, by)
}

/// The same for who has been admitted.
pub(crate) fn join_as<T: Transport + 'static>(
    node: &Arc<Node>,
    admission: Admission,
    by: impl FnOnce(Direct) -> T,
) -> Result<(Arc<Client>, Arc<T>), Error> {
    let Admission { client, geometry, segments } = admission;
    let transport = Arc::new(by(Direct { node: Arc::downgrade(node), client }));
    let carried: Arc<dyn Transport> = Arc::clone(&transport) as _;
    // SAFETY: all of it is of one admission, which is used up here. The requests go through `Direct` to the node that
    // admitted it: what the tests put before that passes each on, and its reply back.
    let client = unsafe { Client::attach(geometry, segments, client, carried, Arc::new(Silent)) }?;
    Ok((client, transport))
}

/// Has a client end as if its process had been killed, and the node clear away what it leaves.
pub(crate) fn end(node: &Node, client: &Client) -> Reaped {
    client.abandon();
    // SAFETY: these tests do nothing more by a client that they end here, and drop what they had of it, or keep it
    // unread. It was of this process, and another one has its number only after this.
    unsafe { node.reap(client.id()) }
}
