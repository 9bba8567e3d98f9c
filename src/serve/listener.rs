//! The listening socket: given by systemd or bound here, on IPv4, IPv6 or both.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

use listenfd::ListenFd;

use super::descriptors;

/// Connections that the system keeps for a listener until they are accepted. The standard library's
/// 128 are too few where many clients connect at once. The system may have a smaller limit of its
/// own.
const BACKLOG_CONNECTIONS: i32 = 4096;

/// Why a server cannot start. Its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process listens there.
    #[error("Port {0} is already in use")]
    PortTaken(u16),
    /// Ports below 1024 need a privilege.
    #[error("Permission denied - cannot bind to port {0}")]
    Forbidden(u16),
    /// `--ip` is no address of this host.
    #[error("{0} is no address of this host: choose one with --ip")]
    NoAddress(IpAddr),
    /// Something that the service needs besides its port is not available.
    #[error("{0}")]
    Service(String),
    /// Any other failure of a socket, a thread or the signals.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
}

/// The sockets that systemd hands over, in its order. This works once: the variables that describe
/// them are removed from the environment.
pub(super) fn given() -> Result<VecDeque<TcpListener>, Error> {
    let mut sockets = ListenFd::from_env();
    (0..sockets.len())
        .filter_map(|number| sockets.take_tcp_listener(number).transpose())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::System("use the sockets of LISTEN_FDS", error))
}

/// Listens at a socket that was given, or else binds `port` of `ip`; `None` is every address, IPv6
/// and IPv4. Does not block.
pub(super) fn listen(
    given: Option<TcpListener>,
    ip: Option<IpAddr>,
    port: u16,
) -> Result<(TcpListener, SocketAddr), Error> {
    let listener = given.map_or_else(|| bind(ip, port), Ok)?;
    let opened = listener.set_nonblocking(true).and_then(|()| listener.local_addr());
    let address = opened.map_err(|error| Error::System("listen", error))?;
    descriptors::raise_limit();
    Ok((listener, address))
}

fn bind(ip: Option<IpAddr>, port: u16) -> Result<TcpListener, Error> {
    let bound = match ip {
        Some(ip) => TcpListener::bind((ip, port)),
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
            // A host without IPv6.
            Err(error) if is_without_ipv6(&error) => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            }
            bound => bound,
        },
    };
    let bound = bound.and_then(|listener| {
        lengthen_queue(&listener)?;
        Ok(listener)
    });
    bound.map_err(|error| match (error.kind(), ip) {
        (io::ErrorKind::AddrInUse, _) => Error::PortTaken(port),
        (io::ErrorKind::PermissionDenied, _) => Error::Forbidden(port),
        (io::ErrorKind::AddrNotAvailable, Some(ip)) => Error::NoAddress(ip),
        _ => Error::System("listen", error),
    })
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Lets more connections wait to be accepted.
pub(crate) fn lengthen_queue(listener: &TcpListener) -> io::Result<()> {
    Ok(rustix::net::listen(listener, BACKLOG_CONNECTIONS)?)
}
