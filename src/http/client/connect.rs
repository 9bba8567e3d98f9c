//! From a name to a connection.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use async_io::Async;

use super::{
    connection::ClientConnection,
    deadline::{Watch, until},
    error::{Cause, ClientError},
    peer::Peer,
};

/// Resolves the name and tries its addresses, one after another, until one takes the connection.
pub(super) async fn connect(peer: &Peer, watch: &Watch) -> Result<ClientConnection, ClientError> {
    let end = watch.connect_end();
    // An address needs no resolver; a name is looked up by `getaddrinfo`, on smol's threads for
    // blocking calls.
    let resolved = until(end, async_net::resolve((peer.host(), peer.port()))).await;
    let unresolved = |why: &dyn std::fmt::Display| {
        let what = format_args!("{peer} has no address: {why}. Check the name");
        ClientError::new(Cause::NameNotResolved, what)
    };
    let addresses = match resolved {
        None => return Err(watch.connect_passed(peer)),
        Some(Err(error)) => return Err(unresolved(&error)),
        Some(Ok(addresses)) => addresses,
    };
    let mut error = unresolved(&"the list is empty");
    for (tried, &address) in addresses.iter().enumerate() {
        let share = share(end, addresses.len() - tried);
        error = match until(share, open(address)).await {
            Some(Ok(connection)) => return Ok(connection),
            Some(Err(error)) => ClientError::connecting(peer, &error),
            None => watch.connect_passed(peer),
        };
    }
    Err(error)
}

async fn open(address: SocketAddr) -> io::Result<ClientConnection> {
    ClientConnection::new(Async::<TcpStream>::connect(address).await?).await
}

/// The deadline of one of `parts` attempts, so that the others have their turn.
fn share(end: Option<Instant>, parts: usize) -> Option<Instant> {
    let now = Instant::now();
    let left = end?.saturating_duration_since(now);
    Some(now + left / u32::try_from(parts).unwrap_or(u32::MAX))
}
