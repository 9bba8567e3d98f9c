//! The network: connections modelled as TCP, and the state of the routes between hosts.
//!
//! A connection has two ends and two pipes; a pipe carries segments in order. Every segment has one
//! [`Event::Arrive`] on the timeline, a permit for the first of its pipe: where the route is
//! blocked it is planned again, as TCP would retransmit, so nothing overtakes and nothing is lost
//! except by a break. A break cuts a pipe at any byte; then comes a reset.

use std::collections::{BTreeMap, VecDeque};

use smolring::ring::{LinkId, codec::Decoder};

use super::{
    Event,
    timeline::{Micros, Timeline, ms},
};

/// Names a connection.
pub type ConnectionId = u64;

/// Bytes that the sockets of a connection take before the sender has to wait.
const SOCKET_BYTES: usize = 16 << 10;

/// What travels in a pipe.
#[derive(Debug)]
pub enum Segment {
    Bytes(Vec<u8>),
    /// The other end has closed, after everything that it sent.
    Fin,
    /// The connection broke.
    Reset,
    /// No node takes the connection.
    Refused,
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    pub host: usize,
    /// The life of the host that this end belongs to.
    pub life: u32,
    /// Whether a node reads and writes here.
    pub is_open: bool,
    /// Its name at the node; an incoming connection has one once it has begun to speak.
    pub link: Option<LinkId>,
    pub decoder: Decoder,
    /// Received, not yet decoded.
    pub unread: Vec<u8>,
}

/// What one end has written and the other has not yet read.
#[derive(Debug, Default)]
pub struct Pipe {
    segments: VecDeque<Segment>,
    /// Bytes in the segments.
    pub bytes: usize,
    /// When the last segment arrives: nothing arrives before it.
    due: Micros,
    /// Whether what is written from now on is lost.
    is_cut: bool,
    /// Nothing of it arrives before.
    stalled_until: Micros,
}

#[derive(Debug)]
pub struct Connection {
    /// First the end that has connected, then the one that has accepted.
    pub ends: [End; 2],
    /// Each carries what the end of the same index has written.
    pub pipes: [Pipe; 2],
    /// The other host has taken it.
    pub is_established: bool,
    /// The connection request has arrived, and was answered.
    pub is_dialled: bool,
    /// Something was sent on it.
    has_begun: bool,
}

/// The state of the route from one host to another.
#[derive(Clone, Copy, Default, Debug)]
pub struct Route {
    pub blocked_until: Micros,
    /// Whether connecting is refused while the route is blocked. Else there is no answer.
    pub refuses: bool,
    pub slow_until: Micros,
    pub slow_latency: Micros,
    pub slow_byte_nanos: u64,
}

/// All connections and routes.
pub struct Network {
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub routes: Vec<Vec<Route>>,
    /// Until when each host refuses connections although it runs.
    pub refusing_until: Vec<Micros>,
    /// Latency of a route that is not slow.
    pub latency: Micros,
    /// Every message arrives whole and after just the latency, what is sent before a connection is
    /// taken included; what is stopped by a pause or a block waits until it is released.
    pub is_exact: bool,
    /// Connections on which contents are pulled break off, or are slow, now and then.
    pub is_rough: bool,
    /// How long a client takes to send a large content, where that is exact.
    pub upload_takes: Micros,
    /// The share of connects that are lost on their way, in percent; the driver then tries another
    /// socket.
    pub swallowed: u64,
    file_bytes_max: usize,
    made: ConnectionId,
}

impl Network {
    pub fn new(hosts: usize, latency: Micros, file_bytes_max: usize, is_exact: bool) -> Self {
        Self {
            connections: BTreeMap::new(),
            routes: vec![vec![Route::default(); hosts]; hosts],
            refusing_until: vec![0; hosts],
            latency,
            is_exact,
            is_rough: !is_exact,
            upload_takes: 0,
            swallowed: 0,
            file_bytes_max,
            made: 0,
        }
    }

    /// The host at one end of a connection.
    pub fn host_at(&self, id: ConnectionId, end: usize) -> Option<usize> {
        self.connections.get(&id).map(|it| it.ends[end].host)
    }

    /// Whether this is the first time that something is to be sent on a connection.
    pub fn begins(&mut self, id: ConnectionId) -> bool {
        let it = self.connections.get_mut(&id);
        it.is_some_and(|it| !std::mem::replace(&mut it.has_begun, true))
    }

    /// Whether the opener of a connection has stopped waiting for it.
    pub fn is_given_up(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|it| !it.ends[0].is_open)
    }

    /// What is about to arrive of what this end has written, if that is bytes.
    pub fn first_bytes(&self, id: ConnectionId, end: usize) -> Option<&[u8]> {
        match self.connections.get(&id)?.pipes[end].segments.front()? {
            Segment::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// What this end has written arrives late, and all that comes after it.
    pub fn stall(&mut self, id: ConnectionId, end: usize, until: Micros) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pipes[end].stalled_until = until;
        }
    }

    /// Until when nothing arrives of what this end has written.
    pub fn is_stalled(&self, id: ConnectionId, end: usize, now: Micros) -> Option<Micros> {
        Some(self.connections.get(&id)?.pipes[end].stalled_until).filter(|it| *it > now)
    }

    pub fn is_refusing(&self, host: usize, now: Micros) -> bool {
        self.refusing_until[host] > now
    }

    /// Bytes that this end has written and the other has not yet read.
    pub fn queued(&self, id: ConnectionId, end: usize) -> usize {
        self.connections.get(&id).map_or(0, |it| it.pipes[end].bytes)
    }

    pub fn is_blocked(&self, from: usize, to: usize, now: Micros) -> bool {
        self.routes[from][to].blocked_until > now
    }

    /// Begins to connect; what is written meanwhile waits.
    pub fn connect<E>(
        &mut self,
        time: &mut Timeline<E>,
        (host, life): (usize, u32),
        link: LinkId,
        to: usize,
    ) -> ConnectionId {
        self.made += 1;
        let end = |host, life, is_open, link| {
            let decoder = Decoder::new(self.file_bytes_max);
            End { host, life, is_open, link, decoder, unread: Vec::new() }
        };
        let ends = [end(host, life, true, Some(link)), end(to, 0, false, None)];
        let connection = Connection {
            ends,
            pipes: Default::default(),
            is_established: false,
            is_dialled: false,
            has_begun: false,
        };
        self.connections.insert(self.made, connection);
        let delay = self.delay(time, host, to, 0);
        time.after(delay, Event::Dial { connection: self.made });
        self.made
    }

    /// The other host has taken the connection in its present life.
    pub fn establish<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId, life: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        (connection.is_established, connection.is_dialled) = (true, true);
        connection.ends[1].life = life;
        connection.ends[1].is_open = true;
        if self.is_exact {
            return;
        }
        let waiting = std::mem::take(&mut connection.pipes[0]).segments;
        for segment in waiting {
            self.push(time, id, 0, segment);
        }
    }

    /// Writes a message, cut into pieces. Now and then two messages share a piece.
    pub fn write<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId, end: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = &mut connection.pipes[end];
        if !connection.ends[end].is_open || pipe.is_cut {
            return;
        }
        if self.is_exact {
            return self.push(time, id, end, Segment::Bytes(bytes.to_vec()));
        }
        let mut rest = bytes;
        if let Some(Segment::Bytes(last)) = pipe.segments.back_mut()
            && time.rng.chance(40)
        {
            let (head, tail) = rest.split_at(time.rng.index(rest.len() + 1));
            last.extend_from_slice(head);
            pipe.bytes += head.len();
            rest = tail;
        }
        while !rest.is_empty() {
            let cut = if time.rng.chance(50) { rest.len() } else { 1 + time.rng.index(rest.len()) };
            self.push(time, id, end, Segment::Bytes(rest[..cut].to_vec()));
            rest = &rest[cut..];
        }
    }

    /// Closes an end gracefully: what it has written arrives, then the other end learns of it.
    pub fn close<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId, end: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.ends[end].is_open = false;
        self.push(time, id, end, Segment::Fin);
        self.sweep(id);
    }

    /// An end is gone without closing. `resets`: its system sends the other end a reset.
    pub fn abandon<E>(
        &mut self,
        time: &mut Timeline<E>,
        id: ConnectionId,
        end: usize,
        resets: bool,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.ends[end].is_open = false;
        self.cut(time, id, end, resets);
        self.sweep(id);
    }

    /// Breaks a connection: each end gets some of what is under way to it, then a reset.
    pub fn reset<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId) {
        self.cut(time, id, 0, true);
        self.cut(time, id, 1, true);
    }

    /// Breaks a connection, and loses all that is under way on it.
    pub fn break_and_lose<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for pipe in &mut connection.pipes {
            pipe.segments.clear();
            pipe.bytes = 0;
        }
        self.reset(time, id);
    }

    /// Refuses a connection request.
    pub fn refuse<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_dialled = true;
        }
        self.push(time, id, 1, Segment::Refused);
        self.sweep(id);
    }

    /// Takes the first segment out of a pipe. Also returns whether that has let a waiting sender go
    /// on.
    pub fn take(&mut self, id: ConnectionId, end: usize) -> Option<(Segment, bool)> {
        let pipe = &mut self.connections.get_mut(&id)?.pipes[end];
        let segment = pipe.segments.pop_front()?;
        let before = pipe.bytes;
        pipe.bytes -= segment.len();
        Some((segment, before > SOCKET_BYTES))
    }

    /// Forgets a connection whose ends are both closed.
    pub fn sweep(&mut self, id: ConnectionId) {
        let Some(it) = self.connections.get(&id) else { return };
        // In an exact network the other end receives what was sent before the opener gave up.
        let is_over = it.is_dialled || !self.is_exact;
        if is_over && it.ends.iter().all(|end| !end.is_open) {
            self.connections.remove(&id);
        }
    }

    /// Connections with an end in this life of a host, and which end.
    pub fn of(&self, host: usize, life: u32) -> Vec<(ConnectionId, usize)> {
        let is_there = |end: &End| end.is_open && (end.host, end.life) == (host, life);
        let ends = self.connections.iter().flat_map(|(&id, it)| {
            it.ends.iter().enumerate().map(move |(i, end)| (id, i, is_there(end)))
        });
        ends.filter(|&(.., is_there)| is_there).map(|(id, i, _)| (id, i)).collect()
    }

    fn push<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId, end: usize, segment: Segment) {
        let Some(connection) = self.connections.get(&id) else { return };
        let bytes = segment.len();
        let [from, to] = [end, 1 - end].map(|i| connection.ends[i].host);
        let due = time.now + self.delay(time, from, to, bytes);
        let connection = self.connections.get_mut(&id).expect("it was there above");
        let pipe = &mut connection.pipes[end];
        if pipe.is_cut {
            return;
        }
        pipe.bytes += bytes;
        pipe.segments.push_back(segment);
        if connection.is_established || end == 1 || self.is_exact {
            pipe.due = pipe.due.max(due);
            time.at(pipe.due, Event::Arrive { connection: id, end });
        }
    }

    /// Loses the end of what is under way, from any byte on, and perhaps resets the receiver.
    fn cut<E>(&mut self, time: &mut Timeline<E>, id: ConnectionId, end: usize, resets: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = &mut connection.pipes[end];
        if pipe.is_cut {
            return;
        }
        if !self.is_exact {
            let kept = time.rng.index(pipe.segments.len() + 1);
            pipe.segments.truncate(kept);
            if let Some(Segment::Bytes(last)) = pipe.segments.back_mut() {
                last.truncate(time.rng.index(last.len() + 1));
            }
        }
        pipe.bytes = pipe.segments.iter().map(Segment::len).sum();
        if resets {
            self.push(time, id, end, Segment::Reset);
            self.connections.get_mut(&id).expect("it was there above").pipes[end].is_cut = true;
        }
    }

    fn delay<E>(&self, time: &mut Timeline<E>, from: usize, to: usize, bytes: usize) -> Micros {
        let route = self.routes[from][to];
        if self.is_exact {
            self.latency
        } else if route.slow_until > time.now {
            let jitter = time.rng.range(0, route.slow_latency / 2 + 1);
            route.slow_latency + jitter + bytes as u64 * route.slow_byte_nanos / 1000
        } else {
            self.latency + time.rng.range(0, self.latency / 2 + 1)
        }
    }
}

/// How soon a segment is tried again where the route is blocked.
pub fn retransmission<E>(time: &mut Timeline<E>) -> Micros {
    ms(200) + time.rng.range(0, ms(200))
}
