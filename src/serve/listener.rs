//! The listening socket: bound here, on IPv4, IPv6 or both.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{
        self, AddressFamily, SocketType,
        sockopt::{set_ipv6_v6only, set_socket_reuseaddr},
    },
};

use crate::cli::counted;

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
    #[error("{0} is no address of this host: choose one with --ip or SMOLRING_IP")]
    NoAddress(IpAddr),
    /// Something that the service needs besides its port is not available.
    #[error("{0}")]
    Service(String),
    /// The shutdown was over before these connections had their answers. Nothing failed before that.
    #[error("{} cut off", connections(*.0))]
    CutOff(usize),
    /// Any other failure of a socket, a thread or the signals.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
}

fn connections(cut: usize) -> String {
    format!("{} {}", counted(cut, "connection"), if cut == 1 { "was" } else { "were" })
}

/// Binds `port` of `ip`; `None` is every address, IPv6 and IPv4. Does not block.
pub(super) fn listen(ip: Option<IpAddr>, port: u16) -> Result<TcpListener, Error> {
    let bound = match ip {
        Some(ip) => bind((ip, port).into()),
        None => match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
            // A host without IPv6.
            Err(error) if is_without_ipv6(&error) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
            bound => bound,
        },
    };
    bound.map_err(|error| match (error.kind(), ip) {
        (io::ErrorKind::AddrInUse, _) => Error::PortTaken(port),
        (io::ErrorKind::PermissionDenied, _) => Error::Forbidden(port),
        (io::ErrorKind::AddrNotAvailable, Some(ip)) => Error::NoAddress(ip),
        _ => Error::System("listen", error),
    })
}

/// Binds an address, and lets many connections wait there. Every address of IPv6 is every address of
/// IPv4 as well, whatever the system's default is.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if address.ip() != Ipv6Addr::UNSPECIFIED {
        let listener = TcpListener::bind(address)?;
        lengthen_queue(&listener)?;
        return Ok(listener);
    }
    let socket = net::socket(AddressFamily::INET6, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    // As the standard library does it.
    set_socket_reuseaddr(&socket, true)?;
    set_ipv6_v6only(&socket, false)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG_CONNECTIONS)?;
    Ok(socket.into())
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Lets more connections wait to be accepted.
pub(crate) fn lengthen_queue(listener: &TcpListener) -> io::Result<()> {
    Ok(net::listen(listener, BACKLOG_CONNECTIONS)?)
}
