//! The connections of a transport: how many there may be, and those that are idle.
//!
//! Every request holds a place until its answer is through, one of its host's and one of all. A
//! connection is opened only by a request that finds none idle. So places in use and idle
//! connections together are bounded as well.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use http_client::http_types::{Url, url::Host};
use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::{Limits, connection::Connection, error::ClientError};

/// Where a request goes: what connections are told apart by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    host: Arc<str>,
    port: u16,
}

impl Peer {
    pub(super) fn new(url: &Url) -> Result<Self, ClientError> {
        if url.scheme() != "http" {
            let scheme = url.scheme();
            return Err(ClientError::invalid(format_args!(
                "{scheme} is not spoken here. Take a URL that begins with http://"
            )));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.into(),
            Some(Host::Ipv4(ip)) => ip.to_string().into(),
            Some(Host::Ipv6(ip)) => ip.to_string().into(),
            None => return Err(ClientError::invalid("the URL has no host. Name one")),
        };
        Ok(Self { host, port: url.port().unwrap_or(80) })
    }

    /// An IPv6 address without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

pub(super) struct Pool {
    limits: Limits,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The places of each host of which one is in use.
    hosts: HashMap<Peer, Weak<Semaphore>>,
    in_use: usize,
    /// The one that was used last is at the back.
    idle: VecDeque<Idle>,
}

struct Idle {
    peer: Peer,
    since: Instant,
    connection: Connection,
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections_max.max(1)));
        Self { limits, places, state: Mutex::default() }
    }

    /// Waits for a place.
    pub(super) async fn place(self: &Arc<Self>, peer: &Peer) -> Place {
        let of_host = self.host(peer).acquire_arc().await;
        let of_all = self.places.acquire_arc().await;
        self.state().in_use += 1;
        Place { pool: self.clone(), peer: peer.clone(), _held: [of_host, of_all] }
    }

    fn host(&self, peer: &Peer) -> Arc<Semaphore> {
        let mut state = self.state();
        if let Some(places) = state.hosts.get(peer).and_then(Weak::upgrade) {
            return places;
        }
        // Hosts that nobody asks any more are forgotten when others come.
        if state.hosts.len() >= self.limits.connections_max.saturating_mul(2) {
            state.hosts.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(self.limits.connections_per_host.max(1)));
        state.hosts.insert(peer.clone(), Arc::downgrade(&places));
        places
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .field("in_use", &state.in_use)
            .field("idle", &state.idle.len())
            .finish_non_exhaustive()
    }
}

/// The right to one connection.
pub(super) struct Place {
    pool: Arc<Pool>,
    peer: Peer,
    _held: [SemaphoreGuardArc; 2],
}

impl Place {
    pub(super) fn limits(&self) -> &Limits {
        &self.pool.limits
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// An idle connection that seems alive. If there is none, makes room for a new one.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut dead = Vec::new();
        let mut state = self.pool.state();
        let now = Instant::now();
        let timeout = self.pool.limits.idle_timeout;
        while let Some(oldest) = state.idle.front()
            && now - oldest.since >= timeout
        {
            dead.extend(state.idle.pop_front());
        }
        while let Some(at) = state.idle.iter().rposition(|idle| idle.peer == self.peer) {
            let Some(idle) = state.idle.remove(at) else { break };
            if idle.connection.link().is_quiet() {
                return Some(idle.connection);
            }
            dead.push(idle);
        }
        while state.idle.len() + state.in_use > self.pool.limits.connections_max.max(1) {
            let Some(oldest) = state.idle.pop_front() else { break };
            dead.push(oldest);
        }
        // Closing takes a while; the others need not wait for it.
        drop(state);
        None
    }

    /// Gives a connection to whoever needs it next, and the place as well.
    pub(super) fn give_back(self, connection: Connection) {
        if !self.pool.limits.idle_timeout.is_zero() {
            let idle = Idle { peer: self.peer.clone(), since: Instant::now(), connection };
            self.pool.state().idle.push_back(idle);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.state().in_use -= 1;
    }
}
