//! What a service manager and a server tell each other: sockets that are open already (`LISTEN_FDS`),
//! and how far the server is (`NOTIFY_SOCKET`).

use std::{
    collections::VecDeque,
    env, io,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// The first of the descriptors that are handed over, unless the environment says another.
const FIRST_DESCRIPTOR: usize = 3;

/// The sockets that were handed over.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Those that can be served, in their order. One of the family of Unix is among them in the type of
    /// TCP: it is accepted by [`Acceptor`](super::accept::Acceptor), which knows.
    pub(crate) listeners: VecDeque<TcpListener>,
    /// A sentence for each that cannot be served.
    pub(crate) refused: Vec<String>,
}

impl Given {
    /// Takes them. This works once: the variables that describe them are removed from the environment.
    pub(crate) fn take() -> Self {
        let mut sockets = ListenFd::from_env();
        let mut given = Self::default();
        for number in 0..sockets.len() {
            match take(&mut sockets, number) {
                Ok(listener) => given.listeners.push_back(listener),
                Err(why) => given.refused.push(format!(
                    "socket {} of LISTEN_FDS is not served: {why}",
                    FIRST_DESCRIPTOR + number
                )),
            }
        }
        given
    }

    /// Why there is nothing to serve, if sockets were handed over and none can be served.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.listeners.is_empty() && !self.refused.is_empty() {
            true => Err(self.refused.join("; ")),
            false => Ok(()),
        }
    }
}

fn take(sockets: &mut ListenFd, number: usize) -> Result<TcpListener, &'static str> {
    let taken = match sockets.take_tcp_listener(number) {
        Ok(listener) => listener,
        Err(_) => {
            let unix = sockets.take_unix_listener(number).ok().flatten();
            unix.map(|listener| OwnedFd::from(listener).into())
        }
    };
    if let Some(listener) = taken {
        return match socket_acceptconn(&listener) {
            Ok(true) => Ok(listener),
            _ => Err("it does not listen; with systemd, set Accept=no"),
        };
    }
    if sockets.take_udp_socket(number).is_ok_and(|it| it.is_some()) {
        return Err("it is of UDP");
    }
    if sockets.take_unix_datagram(number).is_ok_and(|it| it.is_some()) {
        return Err("it is for datagrams");
    }
    Err("it is no socket of a server")
}

/// Tells the service manager how far this process is, as `READY=1`, if there is one that wants to know.
/// Does not block for long: the message is a few bytes.
pub(crate) fn notify(state: &str) -> io::Result<()> {
    let Some(place) = env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else {
        return Ok(());
    };
    let socket = UnixDatagram::unbound()?;
    match place.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => connect_abstract(&socket, name)?,
        None => socket.connect(&place)?,
    }
    socket.send(state.as_bytes()).map(drop)
}

/// A name that is no file, as containers use it.
#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &[u8]) -> io::Result<()> {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Other systems have nothing like it.
#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &UnixDatagram, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
