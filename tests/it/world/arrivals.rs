//! What arrives at hosts: connections, bytes, requests; read and decoded as the real driver does.

use smolring::ring::{Input, LinkId, message::Message, message::Peer};

use super::{
    Event, Scene, World,
    host::{Arrival, State},
    network::{ConnectionId, Segment, retransmission},
    timeline::ms,
};

impl<S: Scene> World<S> {
    /// Something arrives at a host in a life of it; a paused one finds it later.
    pub fn deliver(&mut self, index: usize, life: u32, arrival: Arrival) {
        let is_same_life = self.hosts[index].life == life;
        let Some(up) = self.hosts[index].up_mut().filter(|_| is_same_life) else {
            if let Arrival::Request { id, .. } = arrival {
                S::loses_request(self, id);
            }
            return;
        };
        if up.is_paused {
            return up.inbox.push_back(arrival);
        }
        match arrival {
            Arrival::Segment { connection, end, segment } => {
                self.receive(index, connection, end, segment);
            }
            Arrival::Request { id, request } => {
                S::takes_request(self, id);
                self.take_request(index, id, request);
            }
            Arrival::Upload { id } => self.upload(index, id),
            Arrival::Pulled { arrival, result } => {
                self.step(index, Input::Pulled { arrival, result });
            }
            Arrival::Stored => {
                if let Some((ticket, result)) = self.hosts[index].store.say() {
                    self.step(index, Input::Stored { ticket, result });
                }
            }
        }
    }

    /// In an exact network, what was stopped goes on, except connections that their openers have
    /// given up.
    pub fn release(&mut self) {
        for event in std::mem::take(&mut self.held) {
            if let Event::Dial { connection } = event
                && self.network.is_given_up(connection)
            {
                self.network.connections.remove(&connection);
                continue;
            }
            self.time.after(self.network.latency, event);
        }
    }

    /// A connection request arrives.
    pub(super) fn dial(&mut self, connection: ConnectionId) {
        let Some(it) = self.network.connections.get(&connection) else { return };
        let (from, to) = (it.ends[0].host, it.ends[1].host);
        let now = self.time.now;
        let routes = [self.network.routes[from][to], self.network.routes[to][from]];
        let blocked: Vec<_> = routes.iter().filter(|it| it.blocked_until > now).collect();
        let refuses = blocked.iter().any(|route| route.refuses);
        let life = self.hosts[to].life;
        if self.network.is_exact && (!blocked.is_empty() || self.hosts[to].is_paused()) {
            return self.held.push(Event::Dial { connection });
        }
        if S::passes(self, connection, None) {
            return self.dial(connection);
        }
        if self.time.rng.chance(self.network.swallowed) {
            return self.time.after(ms(20), Event::Dial { connection });
        }
        match &self.hosts[to].state {
            _ if refuses => self.refuse_here(connection),
            State::Down { is_silent: true, .. } => self.dial_later(connection),
            _ if !blocked.is_empty() => self.dial_later(connection),
            State::Up(_) if !self.network.is_refusing(to, now) => {
                self.network.establish(&mut self.time, connection, life);
            }
            _ => self.network.refuse(&mut self.time, connection),
        }
    }

    fn dial_later(&mut self, connection: ConnectionId) {
        self.time.after(ms(250), Event::Dial { connection });
    }

    fn refuse_here(&mut self, connection: ConnectionId) {
        let end = &self.network.connections[&connection].ends[0];
        let (host, life) = (end.host, end.life);
        let segment = Segment::Refused;
        self.deliver(host, life, Arrival::Segment { connection, end: 0, segment });
    }

    /// The permit of one segment: it has come through, or must be sent again.
    pub(super) fn arrive(&mut self, connection: ConnectionId, end: usize) {
        let Some(it) = self.network.connections.get(&connection) else { return };
        let (from, to) = (&it.ends[end], &it.ends[1 - end]);
        let (sender, receiver, life) = ((from.host, from.life), to.host, to.life);
        let (is_open, is_established, is_dialled) = (to.is_open, it.is_established, it.is_dialled);
        let is_off = matches!(self.hosts[receiver].state, State::Down { is_silent: true, .. });
        let is_blocked = self.network.is_blocked(sender.0, receiver, self.time.now);
        if self.network.is_exact && (is_blocked || self.hosts[receiver].is_paused()) {
            return self.held.push(Event::Arrive { connection, end });
        }
        if self.network.is_exact && !is_dialled {
            // The connection request was stopped, and has not arrived yet.
            return self.time.after(self.network.latency, Event::Arrive { connection, end });
        }
        if let Some(later) = self.network.is_stalled(connection, end, self.time.now) {
            return self.time.at(later, Event::Arrive { connection, end });
        }
        if is_off || is_blocked {
            let delay = retransmission(&mut self.time);
            return self.time.after(delay, Event::Arrive { connection, end });
        }
        if is_open && S::passes(self, connection, Some(end)) {
            return self.arrive(connection, end);
        }
        let Some((segment, eased)) = self.network.take(connection, end) else { return };
        if is_open {
            self.deliver(receiver, life, Arrival::Segment { connection, end: 1 - end, segment });
        } else if is_established
            && (self.hosts[receiver].life != life || !self.hosts[receiver].is_up())
        {
            // No host knows this connection any more.
            self.network.abandon(&mut self.time, connection, 1 - end, true);
        }
        if eased {
            self.progress(sender, connection, end);
        }
    }

    fn progress(&mut self, (host, life): (usize, u32), connection: ConnectionId, end: usize) {
        let is_same_life = self.hosts[host].life == life;
        let Some(up) = self.hosts[host].up().filter(|up| is_same_life && !up.is_paused) else {
            return;
        };
        let Some(it) = self.network.connections.get(&connection) else { return };
        if let Some(link) = it.ends[end].link.filter(|link| up.links.contains_key(link)) {
            self.step(host, Input::Progress { link });
        }
    }

    fn receive(&mut self, host: usize, connection: ConnectionId, end: usize, segment: Segment) {
        let Some(it) = self.network.connections.get_mut(&connection) else { return };
        let from = it.ends[1 - end].host;
        let here = &mut it.ends[end];
        if !here.is_open {
            return;
        }
        let why = match segment {
            Segment::Bytes(bytes) => {
                here.unread.extend_from_slice(&bytes);
                return self.read(host, connection, end);
            }
            Segment::Fin => "",
            Segment::Reset => "the link broke",
            Segment::Refused => "connection refused",
        };
        let link = here.link;
        here.is_open = false;
        self.network.sweep(connection);
        let Some(link) = link else { return };
        if self.running(host).links.remove(&link).is_some() {
            S::loses_link(self, host, from, why);
            self.step(host, Input::LinkDown { link, why: why.to_owned() });
        }
    }

    /// Decodes what there is to read.
    fn read(&mut self, host: usize, connection: ConnectionId, end: usize) {
        let mut read_any = false;
        loop {
            let Some(it) = self.network.connections.get_mut(&connection) else { return };
            let here = &mut it.ends[end];
            if !here.is_open {
                return;
            }
            let (taken, message) = here.decoder.decode(&here.unread);
            here.unread.drain(..taken);
            let message = match message {
                None => break,
                Some(Ok(Message::Peer(message))) => message,
                Some(other) => panic!("n{host} cannot read what a node wrote: {other:?}"),
            };
            read_any = true;
            if matches!(message.message, Peer::Meet(_)) {
                here.decoder.trust_peer();
            }
            let link = here.link;
            let Some(link) = link.or_else(|| self.accept(host, connection, end)) else { return };
            self.delivered += 1;
            S::hears(self, host, link, message);
        }
        if !read_any && let Some(link) = self.network.connections[&connection].ends[end].link {
            self.step(host, Input::Progress { link });
        }
    }

    /// Names an incoming connection that has begun to speak.
    pub fn accept(&mut self, host: usize, connection: ConnectionId, end: usize) -> Option<LinkId> {
        let up = self.running(host);
        let link = up.node.accept()?;
        up.links.insert(link, (connection, end));
        let it = self.network.connections.get_mut(&connection).expect("it is being read");
        it.ends[end].link = Some(link);
        Some(link)
    }
}
