//! The driver of each host: it reads, lets the node take its steps, and carries out what the node
//! wants done, as the real one does with sockets.

use smolring::ring::{
    Event as Note, Input, LinkId, Output,
    codec::Encode,
    message::{Envelope, Message, Peer},
    version::Time,
};

use super::{
    machine::{Parcel, State},
    network::{ConnectionId, Segment, retransmission},
    timeline::{Micros, ms},
    world::{Event, World},
};

/// A host that wakes more often than this in one moment runs hot.
const WAKES_PER_MOMENT_MAX: usize = 20;

impl World {
    // ---- what arrives

    /// Something arrives at a host in a life of it; a paused one finds it later.
    pub fn post(&mut self, index: usize, life: u32, parcel: Parcel) {
        let is_same_life = self.hosts[index].life == life;
        let Some(up) = self.hosts[index].up_mut().filter(|_| is_same_life) else {
            if let Parcel::Request { id, .. } = parcel {
                self.request_lost(id);
            }
            return;
        };
        if up.is_paused {
            return up.inbox.push_back(parcel);
        }
        match parcel {
            Parcel::Segment { connection, end, segment } => {
                self.receive(index, connection, end, segment);
            }
            Parcel::Request { id, request } => {
                self.checker.request_begins(id, self.time.now);
                self.step(index, Input::Request { id, request });
            }
        }
    }

    /// Somebody wants to connect.
    pub fn dial(&mut self, connection: ConnectionId) {
        let Some(it) = self.network.connections.get(&connection) else { return };
        let (from, to) = (it.ends[0].host, it.ends[1].host);
        let now = self.time.now;
        let routes = [self.network.routes[from][to], self.network.routes[to][from]];
        let blocked: Vec<_> = routes.iter().filter(|it| it.blocked_until > now).collect();
        let refuses = blocked.iter().any(|route| route.refuses);
        let life = self.hosts[to].life;
        if self.time.rng.chance(self.plan.swallowed) {
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
        self.post(host, life, Parcel::Segment { connection, end: 0, segment });
    }

    /// The permit of one segment: it has come through, or must be sent again.
    pub fn arrive(&mut self, connection: ConnectionId, end: usize) {
        let Some(it) = self.network.connections.get(&connection) else { return };
        let (from, to) = (&it.ends[end], &it.ends[1 - end]);
        let (sender, receiver, life) = ((from.host, from.life), to.host, to.life);
        let is_off = matches!(self.hosts[receiver].state, State::Down { is_silent: true, .. });
        if is_off || self.network.is_blocked(sender.0, receiver, self.time.now) {
            let delay = retransmission(&mut self.time);
            return self.time.after(delay, Event::Arrive { connection, end });
        }
        let is_open = to.is_open;
        let Some((segment, eased)) = self.network.take(connection, end) else { return };
        if is_open {
            self.post(receiver, life, Parcel::Segment { connection, end: 1 - end, segment });
        } else if self.hosts[receiver].life != life || !self.hosts[receiver].is_up() {
            // Nobody knows this connection any more.
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
        let end_there = &mut it.ends[end];
        if !end_there.is_open {
            return;
        }
        let why = match segment {
            Segment::Bytes(bytes) => {
                end_there.unread.extend_from_slice(&bytes);
                return self.read(host, connection, end);
            }
            Segment::Fin => "it was closed",
            Segment::Reset => "it broke",
            Segment::Refused => "connection refused",
        };
        let link = end_there.link;
        end_there.is_open = false;
        self.network.sweep(connection);
        let Some(link) = link else { return };
        let up = self.hosts[host].up_mut().expect("only a running host receives");
        if up.links.remove(&link).is_some() {
            self.step(host, Input::LinkDown { link, why: why.to_owned() });
        }
    }

    /// Decodes what there is to read.
    fn read(&mut self, host: usize, connection: ConnectionId, end: usize) {
        let mut read_any = false;
        loop {
            let Some(it) = self.network.connections.get_mut(&connection) else { return };
            let end_there = &mut it.ends[end];
            if !end_there.is_open {
                return;
            }
            let (taken, message) = end_there.decoder.decode(&end_there.unread);
            end_there.unread.drain(..taken);
            let message = match message {
                None => break,
                Some(Ok(Message::Peer(message))) => message,
                Some(other) => panic!("n{host} cannot read what a node wrote: {other:?}"),
            };
            read_any = true;
            if matches!(message.message, Peer::Meet(_)) {
                end_there.decoder.trust_peer();
            }
            let link = end_there.link;
            let Some(link) = link.or_else(|| self.accept(host, connection, end)) else { return };
            self.checker.handled(host, &message);
            self.step(host, Input::Received { link, message });
        }
        if !read_any && let Some(link) = self.network.connections[&connection].ends[end].link {
            self.step(host, Input::Progress { link });
        }
    }

    fn accept(&mut self, host: usize, connection: ConnectionId, end: usize) -> Option<LinkId> {
        let up = self.hosts[host].up_mut().expect("only a running host reads");
        let link = up.node.accept().expect("a node runs out of links");
        up.links.insert(link, (connection, end));
        let it = self.network.connections.get_mut(&connection).expect("it is being read");
        it.ends[end].link = Some(link);
        Some(link)
    }

    // ---- the node's turn

    pub fn wake(&mut self, index: usize, life: u32, at: Micros) {
        let host = &mut self.hosts[index];
        let is_same_life = host.life == life;
        let Some(up) = host.up_mut().filter(|up| is_same_life && !up.is_paused) else { return };
        if up.wake_at.take_if(|it| *it == at).is_none() {
            return;
        }
        if host.wakes.0 != at {
            host.wakes = (at, 0);
        }
        host.wakes.1 += 1;
        assert!(host.wakes.1 <= WAKES_PER_MOMENT_MAX, "n{index} wakes again and again at once");
        self.step(index, Input::Wake);
    }

    /// One transition of a node, and all that it wants done.
    pub fn step(&mut self, index: usize, input: Input) {
        let now = self.time.now;
        let wall_ms = self.hosts[index].wall_ms(now);
        let up = self.hosts[index].up_mut().expect("only a running node takes a step");
        let mut out = Vec::new();
        if matches!(input, Input::Wake) {
            up.node.set_clock(Time(now - up.born), wall_ms);
        }
        up.node.handle(Time(now - up.born), input, &mut out);
        self.checker.inspect(now, &self.hosts[index], &self.plan);
        for output in out {
            if self.is_overtaken_by_doom(index) {
                return;
            }
            self.carry_out(index, output);
        }
        self.plan_wake(index);
    }

    fn is_overtaken_by_doom(&mut self, index: usize) -> bool {
        let Some(doom) = &mut self.hosts[index].doom else { return false };
        if doom.outputs > 0 {
            doom.outputs -= 1;
            return false;
        }
        let doom = *doom;
        self.meet_doom(index, doom);
        true
    }

    pub fn plan_wake(&mut self, index: usize) {
        let life = self.hosts[index].life;
        let Some(up) = self.hosts[index].up_mut().filter(|up| !up.is_paused) else { return };
        let at = (up.born + up.node.deadline().0).max(self.time.now);
        if up.wake_at.replace(at) != Some(at) {
            self.time.at(at, Event::Wake { host: index, life, at });
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        let life = self.hosts[index].life;
        let Some(up) = self.hosts[index].up_mut() else { return };
        match output {
            Output::Reply { id, answer } => self.answered(index, id, &answer),
            Output::Connect { link, to } => {
                let to = up.node.place(to);
                let to = self.hosts.iter().position(|host| host.address.to_string() == to);
                let to = to.expect("a node connects to a host that there is");
                self.whisper(Some(index), || format!("connects to n{to}"));
                let connection = self.network.connect(&mut self.time, (index, life), link, to);
                let up = self.hosts[index].up_mut().expect("it has just taken a step");
                up.links.insert(link, (connection, 0));
            }
            Output::Send { link, message } => {
                let Some(&(connection, end)) = up.links.get(&link) else { return };
                self.send(index, connection, end, &message);
            }
            Output::Disconnect { link } => {
                if let Some((connection, end)) = up.links.remove(&link) {
                    self.network.close(&mut self.time, connection, end);
                }
            }
            Output::Notify(note) => self.notified(index, &note),
            Output::Left => self.left(index),
        }
    }

    fn send(&mut self, index: usize, connection: ConnectionId, end: usize, message: &Envelope) {
        let to = self.network.connections.get(&connection).map(|it| it.ends[1 - end].host);
        let text = || format!("-> n{}  {}", to.unwrap_or(index), brief(message));
        match message.message {
            Peer::ForwardPut(_) | Peer::ForwardGet(_) => self.tell(Some(index), text),
            Peer::Check(_) | Peer::Meet(_) => {
                self.whisper(Some(index), || format!("{}\n{}", text(), members(message)));
            }
            _ => self.whisper(Some(index), text),
        }
        self.checker.sent(&self.hosts[index], message);
        let mut bytes = Vec::new();
        if let Some(content) = message.encode(&mut bytes) {
            bytes.extend_from_slice(content);
        }
        self.network.write(&mut self.time, connection, end, &bytes);
        self.checker.queued(self.network.queued(connection, end));
    }

    fn notified(&mut self, index: usize, note: &Note) {
        match note {
            Note::Circle { .. } => {}
            note => self.tell(Some(index), || format!("* {note}")),
        }
        if let Note::Nonsense { why } = note {
            panic!("n{index} closed a link: {why}");
        }
        self.checker.notified(self.time.now, index, note);
    }

    /// A node has left its ring: its links close in order, and its life ends.
    fn left(&mut self, index: usize) {
        self.tell(Some(index), || "has left".to_owned());
        let host = &self.hosts[index];
        self.checker.check_left_behind(self.time.now, host, &self.hosts, &self.plan);
        let links = std::mem::take(&mut self.hosts[index].up_mut().expect("it left").links);
        for (connection, end) in links.into_values() {
            self.network.close(&mut self.time, connection, end);
        }
        self.checker.check_all_answered(index, self.hosts[index].life);
        self.crash(index, false);
    }
}

/// What a message says of each member.
fn members(message: &Envelope) -> String {
    let mut bytes = Vec::new();
    let _ = message.encode(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().skip(1).map(|line| format!("                 {line}\n")).collect()
}

/// A message on one line, without its view.
pub fn brief(message: &Envelope) -> String {
    let mut bytes = Vec::new();
    let _ = message.encode(&mut bytes);
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}
