//! From a name to a connection.

use super::{
    connection::ClientConnection,
    deadline::{Watch, until},
    error::{Cause, ClientError},
    peer::Peer,
};
use crate::connect::race;

/// Resolves the name, and connects to whichever of its addresses answers first.
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
    match until(end, race(&addresses)).await {
        None => Err(watch.connect_passed(peer)),
        Some(Err(error)) => Err(ClientError::connecting(peer, &error)),
        Some(Ok(stream)) => {
            let connection = ClientConnection::new(stream).await;
            connection.map_err(|error| ClientError::connecting(peer, &error))
        }
    }
}
