//! The one world in which tests run nodes: hosts, their connections and a network, in one thread and
//! in virtual time.
//!
//! The simulator (`sim`), the golden traces (`traces`), fuzzing (`fuzz`) and the test of seeking
//! all run in it. What each of them observes, checks or does differently is its [`Scene`]. A node
//! takes its steps in [`World::step`], and all that it wants done is done in [`World::carry_out`].
//!
//! The network has two modes. As the simulator uses it, it cuts messages into pieces, delays them
//! at random and sends again what was stopped. If it [is exact](Network::is_exact), as for traces,
//! every message arrives whole after one latency, and what is stopped waits until it is released.

use smolring::ring::{
    Config, Event as Note, Input, LinkId, Node, Output, RequestId, StoreFault,
    index::Index,
    item::ArrivalId,
    message::{Answer, Envelope},
    version::Time,
};

mod arrivals;
mod host;
mod network;
mod pulls;
mod store;
mod timeline;
mod wire;

pub use host::{
    Arrival, EPOCH_MS, Host, KEEP_VERSIONS, Running, STORE_BYTES_MAX, State, lone_config,
};
pub use network::{ConnectionId, Network};
pub use pulls::Pull;
pub use timeline::{Micros, Rng, Timeline, ms};
pub use wire::{encode, encode_peer, first_line};

/// A host that wakes more often than this at one instant is in a busy loop.
const WAKES_PER_MOMENT_MAX: usize = 20;

/// What can happen in any scene.
pub enum Event<E> {
    /// A node's deadline has come.
    Wake { host: usize, life: u32, at: Micros },
    /// A segment that this end has written arrives at the other.
    Arrive { connection: ConnectionId, end: usize },
    /// A connection request arrives.
    Dial { connection: ConnectionId },
    /// A paused host goes on.
    Resume { host: usize, life: u32 },
    /// A store reports what became of the content of a file.
    Stored { host: usize, life: u32 },
    /// A content that is pulled may be here.
    Pull { host: usize, life: u32, arrival: ArrivalId },
    /// What a client sends in pieces is there.
    Upload { host: usize, life: u32, id: RequestId },
    /// Something that only this scene plans.
    Scene(E),
}

/// What a test adds to the world. Every function is told what happens, when it happens.
pub trait Scene: Sized {
    /// What the scene plans for later.
    type Event;

    /// The time of a planned event has come.
    fn happen(world: &mut World<Self>, event: Self::Event);

    /// The host at a place, as a node names it.
    fn locate(world: &World<Self>, place: &str) -> usize {
        let host = world.hosts.iter().position(|host| host.address.to_string() == place);
        host.unwrap_or_else(|| panic!("there is no host at {place}"))
    }

    /// A node has taken a step, and wants this done.
    fn stepped(_world: &mut World<Self>, _host: usize, _wanted: &[Output]) {}

    /// Whether the host has just crashed, before the next output was carried out.
    fn crashes_now(_world: &mut World<Self>, _host: usize) -> bool {
        false
    }

    /// A connection request, or what `end` has written, is about to arrive at a host that runs.
    /// Returns whether the scene has changed anything about that.
    fn passes(_world: &mut World<Self>, _connection: ConnectionId, _end: Option<usize>) -> bool {
        false
    }

    /// A node connects to a host.
    fn connects(_world: &mut World<Self>, _host: usize, _to: usize) {}

    /// A node sends a message on this connection.
    fn sends(_world: &mut World<Self>, _sending: Sending<'_>) {}

    /// A node closes its connection to a host.
    fn closes(_world: &mut World<Self>, _host: usize, _to: usize) {}

    /// A host begins to pull a content from another, or has it (`true`), or does not get it (`false`).
    fn pulls(_world: &mut World<Self>, _host: usize, _pull: &Pull, _is_here: Option<bool>) {}

    /// A message has arrived; the node is to be given it.
    fn hears(world: &mut World<Self>, host: usize, link: LinkId, message: Envelope) {
        world.step(host, Input::Received { link, message });
    }

    /// A node's connection to a host has ended; the node is told next.
    fn loses_link(_world: &mut World<Self>, _host: usize, _to: usize, _why: &str) {}

    /// A node is about to be given this request.
    fn takes_request(_world: &mut World<Self>, _id: RequestId) {}

    /// The node that this request was meant for is no longer alive.
    fn loses_request(_world: &mut World<Self>, _id: RequestId) {}

    /// A node has answered.
    fn answers(world: &mut World<Self>, host: usize, id: RequestId, answer: &Answer);

    /// A node has something to report to its users.
    fn notifies(_world: &mut World<Self>, _host: usize, _note: &Note) {}

    /// A paused host goes on.
    fn resumes(_world: &mut World<Self>, _host: usize) {}

    /// How long a host's store takes to report what became of what it is given now, and the result.
    fn stores(_world: &mut World<Self>, _host: usize) -> (Micros, Result<(), StoreFault>) {
        (0, Ok(()))
    }

    /// What is wrong with a host's disk now.
    fn disk_fault(_world: &World<Self>, _host: usize) -> Option<StoreFault> {
        None
    }

    /// A life has ended, and with it what its store had not confirmed.
    fn loses_files(_world: &mut World<Self>, _host: usize) {}

    /// A node has left its ring.
    fn leaves(world: &mut World<Self>, host: usize);
}

/// A message on its way out.
#[derive(Clone, Copy)]
pub struct Sending<'a> {
    pub host: usize,
    pub to: usize,
    pub message: &'a Envelope,
    pub bytes: &'a [u8],
    /// Bytes that wait in front of it.
    pub waiting: usize,
    /// Nothing was sent on this connection before, from either end.
    pub is_first: bool,
}

pub struct World<S: Scene> {
    pub time: Timeline<S::Event>,
    pub network: Network,
    pub hosts: Vec<Host>,
    pub scene: S,
    /// Messages that nodes were given.
    pub delivered: u64,
    /// What was stopped in an exact network.
    held: Vec<Event<S::Event>>,
}

impl<S: Scene> World<S> {
    pub fn new(time: Timeline<S::Event>, network: Network, hosts: Vec<Host>, scene: S) -> Self {
        Self { time, network, hosts, scene, delivered: 0, held: Vec::new() }
    }

    // ---- time

    /// Lets everything happen that is planned before `end`, which is then the present.
    pub fn run_until(&mut self, end: Micros) {
        while self.happen_before(end) {}
        self.time.now = end;
    }

    /// Lets the next event happen, if it is planned before `end`.
    pub fn happen_before(&mut self, end: Micros) -> bool {
        let event = self.time.next(end);
        let is_some = event.is_some();
        match event {
            Some(Event::Wake { host, life, at }) => self.wake(host, life, at),
            Some(Event::Arrive { connection, end }) => self.arrive(connection, end),
            Some(Event::Dial { connection }) => self.dial(connection),
            Some(Event::Resume { host, life }) => self.resume(host, life),
            Some(Event::Stored { host, life }) => self.deliver(host, life, Arrival::Stored),
            Some(Event::Pull { host, life, arrival }) => self.pull(host, life, arrival),
            Some(Event::Upload { host, life, id }) => {
                self.deliver(host, life, Arrival::Upload { id });
            }
            Some(Event::Scene(event)) => S::happen(self, event),
            None => {}
        }
        is_some
    }

    /// Plans something that only this scene knows.
    pub fn plan_at(&mut self, time: Micros, event: S::Event) {
        self.time.at(time, Event::Scene(event));
    }

    pub fn plan_after(&mut self, delay: Micros, event: S::Event) {
        self.time.after(delay, Event::Scene(event));
    }

    // ---- lives

    /// A host begins a life.
    pub fn begin_life(&mut self, host: usize, config: Config, index: Index) {
        self.place_node(host, config, index);
        self.step(host, Input::Wake);
    }

    /// The same before the node is told anything.
    pub fn place_node(&mut self, index: usize, config: Config, files: Index) {
        let (now, host) = (self.time.now, &mut self.hosts[index]);
        assert!(!host.is_up(), "{host} runs already");
        host.life += 1;
        host.state = State::Up(Box::new(Running::new(Node::new(config, files), now)));
    }

    /// A life ends without notice. `is_silent`: the machine is off, and nothing tells the others.
    pub fn end_life(&mut self, index: usize, is_silent: bool) {
        let host = &mut self.hosts[index];
        let life = host.life;
        if !host.is_up() {
            return;
        }
        host.remember();
        // What was on its way to the disk may have come there, up to any record.
        let survive = match (host.store.unconfirmed(), self.network.is_exact) {
            (0, _) | (_, true) => 0,
            (open, false) => self.time.rng.index(open + 1),
        };
        let has_lost = host.store.end_life(survive);
        let held = host.store.open(STORE_BYTES_MAX, host.keep_versions);
        host.state = State::Down { held: held.into(), is_silent };
        host.down_since = self.time.now;
        if has_lost {
            S::loses_files(self, index);
        }
        for (connection, end) in self.network.of(index, life) {
            self.network.abandon(&mut self.time, connection, end, !is_silent);
        }
    }

    /// Closes the connections of a node gracefully.
    pub fn close_links(&mut self, index: usize) {
        let links = std::mem::take(&mut self.running(index).links);
        for (connection, end) in links.into_values() {
            self.network.close(&mut self.time, connection, end);
        }
    }

    /// A host handles nothing from now on.
    pub fn pause(&mut self, index: usize) {
        self.running(index).is_paused = true;
    }

    /// A host goes on: what has arrived meanwhile comes first, then its overdue wake.
    pub fn resume(&mut self, index: usize, life: u32) {
        let now = self.time.now;
        let host = &mut self.hosts[index];
        let is_same_life = host.life == life;
        let Some(up) = host.up_mut().filter(|up| is_same_life && up.is_paused) else { return };
        up.is_paused = false;
        up.resumed_at = now;
        up.wake_at = None;
        let inbox = std::mem::take(&mut up.inbox);
        S::resumes(self, index);
        for arrival in inbox {
            self.deliver(index, life, arrival);
        }
        self.release();
        self.plan_wake(index);
    }

    // ---- a node's turn

    fn wake(&mut self, index: usize, life: u32, at: Micros) {
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
        assert!(host.wakes.1 <= WAKES_PER_MOMENT_MAX, "{host} wakes again and again at once");
        if !self.network.is_exact {
            self.set_clock(index);
        }
        self.step(index, Input::Wake);
    }

    /// Tells a node what its wall clock shows.
    pub fn set_clock(&mut self, index: usize) {
        let now = self.time.now;
        let wall_ms = self.hosts[index].wall_ms(now);
        let up = self.running(index);
        up.node.set_clock(Time(now - up.born), wall_ms);
    }

    /// One transition of a node, and all that it wants done.
    pub fn step(&mut self, index: usize, input: Input) {
        let life = self.hosts[index].life;
        self.step_once(index, input);
        // The store may report at once.
        while self.hosts[index].life == life
            && let Some(up) = self.hosts[index].up_mut()
            && up.stored_at_once > 0
        {
            up.stored_at_once -= 1;
            let (ticket, result) = self.hosts[index].store.say().expect("it is to say something");
            self.step_once(index, Input::Stored { ticket, result });
        }
    }

    fn step_once(&mut self, index: usize, input: Input) {
        let now = self.time.now;
        let up = self.running(index);
        let ended = match input {
            Input::LinkDown { link, .. } => Some(link),
            _ => None,
        };
        let mut out = Vec::new();
        up.node.handle(Time(now - up.born), input, &mut out);
        S::stepped(self, index, &out);
        for output in out {
            if S::crashes_now(self, index) {
                return;
            }
            self.carry_out(index, output, ended);
        }
        self.plan_wake(index);
    }

    fn plan_wake(&mut self, index: usize) {
        let life = self.hosts[index].life;
        let Some(up) = self.hosts[index].up_mut().filter(|up| !up.is_paused) else { return };
        let deadline = up.born.saturating_add(up.node.deadline().0);
        let at = self.time.when(deadline);
        if up.wake_at.replace(at) != Some(at) {
            self.time.at(at, Event::Wake { host: index, life, at });
        }
    }

    /// Does what a node wants done: the one place where a world does that. A node that was late may
    /// send on the link whose end it is just being told of.
    fn carry_out(&mut self, index: usize, output: Output, ended: Option<LinkId>) {
        let life = self.hosts[index].life;
        match output {
            Output::Reply { id, mut answer } => {
                self.end_upload(index, id);
                answer.read(|ticket| self.hosts[index].store.read(ticket));
                S::answers(self, index, id, &answer);
            }
            Output::Connect { link, to } => {
                let place = self.running(index).node.place(to);
                let to = S::locate(self, &place);
                S::connects(self, index, to);
                let connection = self.network.connect(&mut self.time, (index, life), link, to);
                let before = self.running(index).links.insert(link, (connection, 0));
                assert_eq!(before, None, "{link:?} is opened twice");
            }
            Output::Send { link, .. } if Some(link) == ended => {}
            Output::Send { link, mut message } => {
                message.read(|ticket| self.hosts[index].store.read(ticket));
                self.send(index, link, &message);
            }
            Output::Store { ticket, name, version, value } => {
                let (delay, result) = S::stores(self, index);
                let now = self.time.now;
                let host = &mut self.hosts[index];
                host.store.keep(ticket, name, version, value);
                host.store.unsaid.push_back((ticket, result));
                let up = self.running(index);
                up.stores_until = up.stores_until.max(now + delay);
                let at = up.stores_until;
                if at == now {
                    up.stored_at_once += 1;
                } else {
                    self.time.at(at, Event::Stored { host: index, life });
                }
            }
            Output::Pull { arrival, from, name, of, .. } => {
                self.begin_pull(index, arrival, Pull::new(from, name, of));
            }
            Output::GiveUp { arrival } => {
                self.running(index).pulls.remove(&arrival);
                self.hosts[index].store.arrivals.remove(&arrival);
                self.hosts[index].store.parts.remove(&arrival);
            }
            Output::Discard { ticket } => self.hosts[index].store.discard(ticket),
            Output::Disconnect { link } => {
                let ended = self.running(index).links.remove(&link);
                let (connection, end) = ended.unwrap_or_else(|| panic!("{link:?} is closed"));
                let to = self.network.host_at(connection, 1 - end).unwrap_or(index);
                S::closes(self, index, to);
                self.network.close(&mut self.time, connection, end);
            }
            Output::Notify(note) => {
                // A driver writes that down each time.
                if matches!(note, Note::List(_)) {
                    self.hosts[index].remember();
                }
                S::notifies(self, index, &note);
            }
            Output::Left => {
                self.refuse_uploads(index);
                S::leaves(self, index);
            }
        }
    }

    fn send(&mut self, index: usize, link: LinkId, message: &Envelope) {
        let place = self.running(index).links.get(&link);
        let &(connection, end) = place.unwrap_or_else(|| panic!("{link:?} is closed: {message:?}"));
        let bytes = wire::encode_peer(message);
        let to = self.network.host_at(connection, 1 - end).unwrap_or(index);
        let is_first = self.network.begins(connection);
        let waiting = self.network.queued(connection, end);
        let sending = Sending { host: index, to, message, bytes: &bytes, waiting, is_first };
        S::sends(self, sending);
        self.network.write(&mut self.time, connection, end, &bytes);
    }

    pub fn running(&mut self, index: usize) -> &mut Running {
        self.hosts[index].up_mut().unwrap_or_else(|| panic!("n{index} does not run"))
    }
}
