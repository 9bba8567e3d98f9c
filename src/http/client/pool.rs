//! The connections of a transport: how many there may be, and those that are idle.
//!
//! Every request holds a permit of its host and one of the total until its answer is complete. A
//! connection is opened only by a request that finds none idle. So connections in use and idle ones
//! together are bounded as well.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::{connection::ClientConnection, peer::Peer};

/// How large answers may be, and how many connections a transport keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an answer's body, after chunks are put together. Default: 16 MiB.
    pub body_bytes_max: u64,
    /// Connections to one host and port, in use and idle; at least 1. Further requests wait in line
    /// until their deadlines. An answer whose body is neither read nor dropped is in use. Default:
    /// 32.
    pub connections_per_host: usize,
    /// Connections in all, in use and idle; at least 1. Default: 256.
    pub connections_max: usize,
    /// How long an idle connection may be used again. It should be less than the servers' own, so
    /// that they do not close it just as it is used: Node's is 5 s. Zero: no connection is used
    /// twice. Default: 4 s.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            connections_per_host: 32,
            connections_max: 256,
            idle_timeout: Duration::from_secs(4),
        }
    }
}

pub(super) struct Pool {
    limits: Limits,
    permits: Arc<Semaphore>,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    /// The permits of each host that has any in use.
    hosts: HashMap<Peer, Weak<Semaphore>>,
    in_use: usize,
    /// The one that was used last is at the back.
    idle: VecDeque<Idle>,
}

struct Idle {
    peer: Peer,
    since: Instant,
    connection: ClientConnection,
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Self {
        let permits = Arc::new(Semaphore::new(limits.connections_max.max(1)));
        Self { limits, permits, state: Mutex::default() }
    }

    /// Waits until one more connection to this peer may be in use.
    pub(super) async fn permit(self: &Arc<Self>, peer: &Peer) -> ConnectionPermit {
        let of_host = self.host(peer).acquire_arc().await;
        let of_all = self.permits.acquire_arc().await;
        self.state().in_use += 1;
        ConnectionPermit { pool: self.clone(), peer: peer.clone(), _held: [of_host, of_all] }
    }

    fn host(&self, peer: &Peer) -> Arc<Semaphore> {
        let mut state = self.state();
        if let Some(permits) = state.hosts.get(peer).and_then(Weak::upgrade) {
            return permits;
        }
        // Hosts that are not asked any more are forgotten when others come.
        if state.hosts.len() >= self.limits.connections_max.saturating_mul(2) {
            state.hosts.retain(|_, permits| permits.strong_count() > 0);
        }
        let permits = Arc::new(Semaphore::new(self.limits.connections_per_host.max(1)));
        state.hosts.insert(peer.clone(), Arc::downgrade(&permits));
        permits
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
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

/// The right to use one connection to a peer.
pub(super) struct ConnectionPermit {
    pool: Arc<Pool>,
    peer: Peer,
    _held: [SemaphoreGuardArc; 2],
}

impl ConnectionPermit {
    pub(super) fn limits(&self) -> &Limits {
        &self.pool.limits
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// An idle connection that seems alive. If there is none, makes room for a new one.
    pub(super) fn take(&self) -> Option<ClientConnection> {
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

    /// Closes the connections to this peer that have been idle since before `began`, when a request
    /// began that got no answer in time: what has silenced one connection may have silenced all.
    pub(super) fn distrust(&self, began: Instant) {
        let mut state = self.pool.state();
        let (suspect, good) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|idle| idle.peer == self.peer && idle.since < began);
        state.idle = good;
        drop(state);
        // Closing takes a while; the others need not wait for it.
        drop::<VecDeque<Idle>>(suspect);
    }

    /// Keeps a connection for the next request to this peer, and frees the permit.
    pub(super) fn give_back(self, connection: ClientConnection) {
        if !self.pool.limits.idle_timeout.is_zero() {
            let idle = Idle { peer: self.peer.clone(), since: Instant::now(), connection };
            self.pool.state().idle.push_back(idle);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.pool.state().in_use -= 1;
    }
}
