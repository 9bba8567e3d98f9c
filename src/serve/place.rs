//! Where a socket listens, and where a client is: at an address of IP, or on this machine at a socket of
//! Unix.

use std::{
    fmt::{self, Display},
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use rustix::net::{AddressFamily, SocketAddrUnix, getsockname};

use crate::printable::Printable;

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address, with the real port.
    Ip(SocketAddr),
    /// At this path; with `@` in front, at a name that is no path.
    Unix(String),
}

impl Place {
    /// Of a socket that listens, of any family.
    pub(super) fn of(listener: &TcpListener) -> io::Result<Self> {
        let address = getsockname(listener)?;
        if address.address_family() != AddressFamily::UNIX {
            return listener.local_addr().map(Self::Ip);
        }
        let address = SocketAddrUnix::try_from(address)?;
        let path = address.path_bytes().map(|path| String::from_utf8_lossy(path).into_owned());
        Ok(Self::Unix(path.or_else(|| abstract_name(&address)).unwrap_or_default()))
    }

    /// The address, if it is one of IP.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_name(address: &SocketAddrUnix) -> Option<String> {
    address.abstract_name().map(|name| format!("@{}", String::from_utf8_lossy(name)))
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &SocketAddrUnix) -> Option<String> {
    None
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", Printable(path)),
        }
    }
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// At an address; a client that came by IPv4 has one of IPv4.
    Ip(SocketAddr),
    /// At this address, as a trusted proxy says.
    Forwarded(IpAddr),
    /// On this machine: a socket of Unix does not say more.
    Unix,
}

impl Peer {
    /// Without the port.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Forwarded(ip) => Some(*ip),
            Self::Unix => None,
        }
    }

    /// The client that a proxy names, which is this peer: the last address of `X-Forwarded-For`. The
    /// peer itself if there is none.
    pub(crate) fn forwards_for(self, list: Option<&str>) -> Self {
        let last = list.and_then(|list| list.rsplit(',').next()).map(str::trim);
        let address = |text: &str| {
            let with_port = || text.parse::<SocketAddr>().ok().map(|it| it.ip());
            let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
            bare.parse().ok().or_else(with_port)
        };
        last.and_then(address).map_or(self, |ip: IpAddr| Self::Forwarded(ip.to_canonical()))
    }
}

impl Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Forwarded(ip) => ip.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_on_its_line() {
        let place = Place::Unix("/a\n\u{202e}".into());
        assert_eq!(place.to_string(), "unix:/a\\n\\u{202e}");
    }

    #[test]
    fn the_last_address_that_a_proxy_names_is_the_client() {
        let proxy = Peer::Ip(([127, 0, 0, 1], 5).into());
        for (list, shown) in [
            (None, "127.0.0.1:5"),
            (Some("203.0.113.7"), "203.0.113.7"),
            (Some("10.0.0.1, 203.0.113.7:4711"), "203.0.113.7"),
            (Some("x, 2001:db8::1"), "2001:db8::1"),
            (Some("[2001:db8::1]:80"), "2001:db8::1"),
            (Some("::ffff:203.0.113.7"), "203.0.113.7"),
            (Some("203.0.113.7, unknown"), "127.0.0.1:5"),
            (Some(""), "127.0.0.1:5"),
        ] {
            assert_eq!(proxy.forwards_for(list).to_string(), shown, "{list:?}");
        }
    }
}
