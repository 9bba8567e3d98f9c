//! What else may be spoken at a node's port: a connection whose first bytes are not of the line protocol is
//! handed over, with what was read of it.

use std::{future::Future, net::TcpStream, pin::Pin, rc::Rc};

use async_io::Async;

use crate::serve::{Peer, thread::AcceptedConnection};

/// What serves such connections, on the thread of the node.
pub(crate) trait Face {
    /// Takes over a connection, of which `read` was read already. It still counts as one of the node's clients.
    fn serve(&self, stream: Async<TcpStream>, peer: Peer, read: Vec<u8>) -> Visit;

    /// The node is about to end: every answer is its connection's last from now on. The connections are
    /// woken after that.
    fn drain(&self);
}

/// A connection that was handed over.
pub(crate) struct Visit {
    /// What is seen of it: whether it is idle, and may be closed for another.
    pub(crate) connection: Rc<dyn AcceptedConnection>,
    /// Serves it until its end.
    pub(crate) work: Pin<Box<dyn Future<Output = ()>>>,
}
