//! From an address or a name to a TCP connection, quickly if any of its addresses answers.
//!
//! The first packet of a connection may reach a listener that is just closing, a host without
//! power, or a network that is down: it is lost, and no error comes back. The system sends it again
//! after a second, then after two, four and so on. A new socket sends one at once. So a connect
//! that gets no answer is tried again on another socket while the first still waits, and the socket
//! that connects first is the connection.
//!
//! A name may have several addresses. They are tried in turn, IPv6 and IPv4 alternating: an address
//! that does not answer does not hold up the next one, and an address that refuses is not tried
//! again.
//!
//! Nothing here ends by itself while an address is silent. The caller decides how long to wait, and
//! drops the future then.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::{SocketAddr, TcpStream},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use async_io::{Async, Timer};
use async_net::AsyncToSocketAddrs;
use smol::future;

/// How long each socket in turn has for an answer before the next one is opened. The last applies
/// to all further ones.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(30),
    Duration::from_millis(50),
    Duration::from_millis(250),
];
/// Sockets that wait for an answer from one address.
const SOCKETS_PER_ADDRESS_MAX: usize = 3;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// The pause before a name that is not known is looked up again.
const LOOKUP_PAUSE: Duration = Duration::from_millis(100);

/// Connects to an address, `(HOST, PORT)`, or `HOST:PORT`. A name is looked up on smol's threads for
/// blocking work.
pub async fn connect(to: impl AsyncToSocketAddrs) -> io::Result<Async<TcpStream>> {
    race(&async_net::resolve(to).await?).await
}

/// The same within `timeout`. A name that is not known is looked up again until then: it may belong
/// to a container that is just starting. A refusal is an error at once.
pub async fn connect_within(
    timeout: Duration,
    to: impl AsyncToSocketAddrs + Clone,
) -> io::Result<Async<TcpStream>> {
    let mut unknown = None;
    let connecting = async {
        loop {
            match async_net::resolve(to.clone()).await {
                Ok(addresses) => return race(&addresses).await,
                Err(error) => unknown = Some(error),
            }
            Timer::after(LOOKUP_PAUSE).await;
        }
    };
    let connected = future::or(async { Some(connecting.await) }, async {
        Timer::after(timeout).await;
        None
    });
    connected.await.unwrap_or_else(|| {
        let late = || {
            let message = format!("no connection within {timeout:?}");
            io::Error::new(io::ErrorKind::TimedOut, message)
        };
        Err(unknown.unwrap_or_else(late))
    })
}

/// Connects to whichever of these addresses answers first. If all refuse, the error is that of the last
/// to do so.
pub async fn race(addresses: &[SocketAddr]) -> io::Result<Async<TcpStream>> {
    race_with(addresses, |address| Box::pin(open(address))).await
}

async fn open(address: SocketAddr) -> io::Result<Async<TcpStream>> {
    let stream = Async::<TcpStream>::connect(address).await?;
    if is_to_itself(stream.get_ref()) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

async fn race_with<C: Connecting>(
    addresses: &[SocketAddr],
    open: impl Fn(SocketAddr) -> C,
) -> io::Result<Async<TcpStream>> {
    let mut race = Race { addresses: in_turn(addresses).into(), sockets: Vec::new() };
    let mut error = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    let mut tries = 0;
    while !race.addresses.is_empty() {
        race.begin(&open);
        let pause = PAUSES[tries.min(PAUSES.len() - 1)];
        tries += 1;
        let timer = async {
            Timer::after(pause).await;
            None
        };
        match future::or(async { Some(race.ended().await) }, timer).await {
            None => {}
            Some((_, Ok(stream))) => return Ok(stream),
            Some((address, Err(why))) => {
                race.failed(address, &why);
                error = why;
            }
        }
    }
    Err(error)
}

/// A socket that is being connected.
trait Connecting: Future<Output = io::Result<Async<TcpStream>>> + Unpin {}

impl<C: Future<Output = io::Result<Async<TcpStream>>> + Unpin> Connecting for C {}

/// The sockets, one of which will be the connection.
struct Race<C> {
    /// Those that have not refused. The first is tried next.
    addresses: VecDeque<SocketAddr>,
    /// The oldest first.
    sockets: Vec<(SocketAddr, C)>,
}

impl<C: Connecting> Race<C> {
    /// Tries the next address. Its first socket stays open to the end, since an answer may take
    /// longer than all pauses together; where there are too many others, the oldest of them is
    /// closed.
    fn begin(&mut self, open: impl Fn(SocketAddr) -> C) {
        let address = self.addresses[0];
        self.addresses.rotate_left(1);
        let to_it = self.sockets.iter().enumerate().filter(|(_, socket)| socket.0 == address);
        let to_it: Vec<_> = to_it.map(|(i, _)| i).collect();
        if to_it.len() >= SOCKETS_PER_ADDRESS_MAX {
            drop(self.sockets.remove(to_it[1]));
        }
        self.sockets.push((address, open(address)));
    }

    /// Waits for the first socket that connects or fails, and removes it.
    async fn ended(&mut self) -> (SocketAddr, io::Result<Async<TcpStream>>) {
        future::poll_fn(|cx| {
            for i in 0..self.sockets.len() {
                if let Poll::Ready(result) = Pin::new(&mut self.sockets[i].1).poll(cx) {
                    return Poll::Ready((self.sockets.remove(i).0, result));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Removes an address that has refused, with all of its sockets. After another error, for example
    /// when there are no descriptors left for a second socket, the others of the address go on.
    fn failed(&mut self, address: SocketAddr, why: &io::Error) {
        if is_refusal(why) || !self.sockets.iter().any(|socket| socket.0 == address) {
            self.sockets.retain(|socket| socket.0 != address);
            self.addresses.retain(|it| *it != address);
        }
    }
}

/// Whether the error means that there will be no connection, however often it is tried.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied,
    };
    matches!(
        error.kind(),
        AddrNotAvailable
            | ConnectionRefused
            | HostUnreachable
            | NetworkUnreachable
            | PermissionDenied
    )
}

/// The addresses with IPv6 and IPv4 alternating, beginning with the family that the resolver put first.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let of = |family| addresses.iter().filter(move |it| it.is_ipv6() == family);
    let (mut some, mut others) = (of(first), of(!first));
    let mut turns = Vec::new();
    loop {
        let pair = [some.next(), others.next()];
        if pair == [None, None] || turns.len() >= ADDRESSES_MAX {
            return turns;
        }
        for address in pair.into_iter().flatten() {
            if !turns.contains(address) {
                turns.push(*address);
            }
        }
    }
}

/// Whether a socket is connected to itself. If nothing listens at a port, the system may give a
/// connection to it that same port.
fn is_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        net::TcpListener,
        rc::Rc,
    };

    use super::*;

    type Socket = Pin<Box<dyn Future<Output = io::Result<Async<TcpStream>>>>>;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A socket that never gets an answer, and is counted while it waits.
    fn silent(waiting: &Rc<Cell<usize>>) -> Socket {
        struct Counted(Rc<Cell<usize>>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        waiting.set(waiting.get() + 1);
        let counted = Counted(waiting.clone());
        Box::pin(async move {
            let _counted = counted;
            future::pending().await
        })
    }

    #[test]
    fn where_nobody_answers_another_socket_is_tried_and_few_wait_at_once() {
        let (_listener, address) = listener();
        let (tries, waiting, most) = (Cell::new(0), Rc::<Cell<usize>>::default(), Cell::new(0));
        let connected = smol::block_on(race_with(&[address], |to| {
            tries.set(tries.get() + 1);
            most.set(most.get().max(waiting.get()));
            match tries.get() {
                ..6 => silent(&waiting),
                _ => Box::pin(Async::<TcpStream>::connect(to)),
            }
        }));
        assert_eq!(connected.unwrap().get_ref().peer_addr().unwrap(), address);
        assert_eq!((tries.get(), waiting.get()), (6, 0));
        assert!(most.get() < SOCKETS_PER_ADDRESS_MAX, "{} wait and one is opened", most.get());
    }

    #[test]
    fn an_answer_that_is_slower_than_all_pauses_counts() {
        let (_listener, address) = listener();
        let (tries, waiting, answer) = (Cell::new(0), Rc::default(), smol::channel::bounded(1));
        let connected = smol::block_on(race_with(&[address], |to| {
            tries.set(tries.get() + 1);
            if tries.get() == 6 {
                answer.0.try_send(()).unwrap();
            }
            let answer = answer.1.clone();
            match tries.get() {
                1 => Box::pin(async move {
                    answer.recv().await.unwrap();
                    Async::<TcpStream>::connect(to).await
                }),
                _ => silent(&waiting),
            }
        }));
        assert_eq!(connected.unwrap().get_ref().peer_addr().unwrap(), address);
    }

    #[test]
    fn an_address_that_swallows_everything_keeps_nobody_from_the_next() {
        let (_listener, good) = listener();
        let (swallows, waiting) = (address("[::1]:1"), Rc::default());
        let connected = smol::block_on(race_with(&[swallows, good], |to| match to == good {
            true => Box::pin(Async::<TcpStream>::connect(to)),
            false => silent(&waiting),
        }));
        assert_eq!(connected.unwrap().get_ref().peer_addr().unwrap(), good);
    }

    #[test]
    fn an_address_that_refuses_is_tried_once_and_the_last_refusal_is_the_error() {
        let tried = RefCell::new(Vec::new());
        let refuse = |to: SocketAddr| -> Socket {
            tried.borrow_mut().push(to);
            Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
        };
        let addresses = ["[::1]:1", "127.0.0.1:1", "127.0.0.1:2"].map(address);
        let error = smol::block_on(race_with(&addresses, refuse)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(*tried.borrow(), addresses);
        let nowhere = smol::block_on(race(&[])).unwrap_err();
        assert!(nowhere.to_string().contains("no address"), "{nowhere}");
    }

    #[test]
    fn the_families_take_turns() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "[::1]:1"].map(address);
        let turns = ["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"].map(address);
        assert_eq!(in_turn(&given), turns);
    }

    #[test]
    fn a_name_that_nobody_knows_is_told_from_a_node_that_is_silent() {
        let unknown = connect_within(Duration::from_millis(300), "name.invalid:1");
        let error = smol::block_on(unknown).unwrap_err();
        assert!(!error.to_string().contains("within"), "{error}");
    }

    #[test]
    fn a_connection_to_itself_is_none() {
        use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};
        let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&stream, &address("127.0.0.1:0")).unwrap();
        let own = SocketAddr::try_from(getsockname(&stream).unwrap()).unwrap();
        // On a system that does not do that, there is nothing to test.
        if connect(&stream, &own).is_ok() {
            assert!(is_to_itself(&TcpStream::from(stream)));
        }
        let (listener, address) = listener();
        let other = TcpStream::connect(address).unwrap();
        assert!(!is_to_itself(&other));
        drop(listener);
    }
}
