//! What all listening sockets share.

use std::{io, net::TcpListener};

/// Connections that the system keeps for a listener until they are accepted. The standard
/// library's 128 are few where many connect at once. The system may have a smaller limit of its own.
const BACKLOG_CONNECTIONS: i32 = 4096;

/// Lengthens the queue of a listener.
pub(crate) fn lengthen(listener: &TcpListener) -> io::Result<()> {
    Ok(rustix::net::listen(listener, BACKLOG_CONNECTIONS)?)
}

/// The connection was gone before we took it; the next one need not be.
pub(crate) fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
