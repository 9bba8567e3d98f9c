//! One node in the world, and random input in place of all others.

use std::{collections::BTreeSet, time::Duration};

use smolring::ring::{
    Config, Event as Note, Input, LinkId, Node, Output, RequestId,
    codec::Encode,
    index::Index,
    limits::{
        LINE_BYTES_MAX, MEMBERS_MAX, PEER_LINKS_MAX, SCOUTS_MAX, SEEKS_MAX, SYNC_WINDOW_REQUESTS,
        VETS_MAX,
    },
    message::{Answer, Message},
    version::Time,
};

use super::{
    FILE_BYTES_MAX, assert_is_said_well, assert_round_trip,
    chance::{Source, address, request},
};
use crate::world::{
    EPOCH_MS as STARTED_MS, Host, Micros, Network, Scene, Sending, Timeline, World, ms,
};

const STORE_BYTES_MAX: usize = 1000;
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
pub const RING: &str = "fuzz";
/// Links that a node opens beyond the one to its successor: to each member that may take it in, and
/// what it does as a member.
const ERRANDS_MAX: usize = MEMBERS_MAX + VETS_MAX + SEEKS_MAX + 2 * SCOUTS_MAX;

/// The host of the node.
const NODE: usize = 0;
/// The host that stands for all others. It never runs, and what is sent to it stays under way.
const OTHERS: usize = 1;

/// Any messages on any links in any order, any breaks and any time: no panic, every request is
/// answered once, nothing is sent on a link that is closed, and all that can grow has a bound.
pub fn node(data: &[u8]) {
    let mut source = Source(data);
    let mut world = World::of_one_node(&mut source);
    while !source.0.is_empty() {
        world.take_chance(&mut source);
    }
    // Whatever has happened, every request is answered within the timeout.
    let end = world.time.now + REQUEST_TIMEOUT.as_micros() as Micros;
    while world.time.now < end {
        world.time.now = world.node().deadline().0.clamp(world.time.now, end);
        world.give(Input::Wake);
    }
    assert!(world.scene.waiting.is_empty(), "{:?} never answered", world.scene.waiting);
}

/// What is known about the node's clients, and about its end.
#[derive(Default)]
pub struct Fuzz {
    waiting: BTreeSet<RequestId>,
    asked: u64,
    has_left: bool,
    /// Wakes in a row after which the node wanted another at once.
    wakes: usize,
}

impl Scene for Fuzz {
    type Event = ();

    fn happen(_world: &mut World<Self>, (): ()) {}

    fn locate(_world: &World<Self>, _place: &str) -> usize {
        OTHERS
    }

    fn stepped(world: &mut World<Self>, _host: usize, wanted: &[Output]) {
        let open = world.scene.waiting.len();
        assert!(wanted.len() <= 3 * (open + PEER_LINKS_MAX + SYNC_WINDOW_REQUESTS));
    }

    fn sends(_world: &mut World<Self>, sending: Sending<'_>) {
        assert_is_said_well(sending.bytes);
    }

    fn answers(world: &mut World<Self>, _host: usize, id: RequestId, answer: &Answer) {
        assert!(world.scene.waiting.remove(&id), "{id:?} is answered twice");
        let mut line = Vec::new();
        answer.encode(&mut line);
        let end = line.iter().position(|&byte| byte == b'\n').expect("a line has an end");
        assert!(end < LINE_BYTES_MAX);
    }

    fn notifies(_world: &mut World<Self>, _host: usize, note: &Note) {
        drop(note.to_string());
    }

    fn leaves(world: &mut World<Self>, _host: usize) {
        assert!(!std::mem::replace(&mut world.scene.has_left, true), "left twice");
    }
}

impl World<Fuzz> {
    pub fn of_one_node(source: &mut Source<'_>) -> Self {
        let prevs = match source.byte() % 4 {
            0 => Vec::new(),
            1 => vec![address(1).to_string()],
            2 => vec!["a.host:4043".into(), address(2).to_string()],
            _ => vec![address(0).to_string(), address(1).to_string()],
        };
        let config = Config {
            address: address(0),
            prevs,
            ring: RING.into(),
            bootstrap: source.flag(),
            check_interval: CHECK_INTERVAL,
            check_timeout: CHECK_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            forget_after: Duration::from_secs(86_400),
            give_up_after: GIVE_UP_AFTER,
            min_copies: usize::from(source.byte() % 3),
            max_file_bytes: FILE_BYTES_MAX,
            apart_bytes: 100,
            offer_bytes: 1000,
            tombstone_ttl: Duration::from_secs(20),
            keeps: source.flag(),
            last_seen: None,
            seed: 0,
            started_ms: STARTED_MS,
            release: None,
        };
        let hosts = [NODE, OTHERS].map(|host| Host::new(host, address(host as u8))).into();
        let network = Network::new(2, ms(1), FILE_BYTES_MAX, true);
        let mut world = World::new(Timeline::new(0, true), network, hosts, Fuzz::default());
        world.place_node(NODE, config, Index::new(STORE_BYTES_MAX, 2));
        world
    }

    fn take_chance(&mut self, source: &mut Source<'_>) {
        match source.byte() % 17 {
            0 => drop(self.accept_any()),
            1..=7 => {
                let message = self.envelope(source);
                assert_round_trip(&Message::Peer(message.clone()));
                if let Some(link) = self.link(source) {
                    self.give(Input::Received { link, message });
                }
            }
            8..=10 => {
                let request = request(source);
                assert_round_trip(&Message::Request(request.clone()));
                self.scene.asked += 1;
                let id = RequestId(self.scene.asked);
                self.scene.waiting.insert(id);
                self.give(Input::Request { id, request });
            }
            11 => {
                if let Some(link) = self.link(source) {
                    let why = source.pick(&["it broke", "connection refused"]).into();
                    self.break_link(link);
                    self.give(Input::LinkDown { link, why });
                }
            }
            12 => {
                if let Some(link) = self.link(source) {
                    self.give(Input::Progress { link });
                }
            }
            13 => {
                self.time.now += source.pick(&[0, 1, 1_000, 1_000_000, 3_000_000, 90_000_000_000]);
                self.give(Input::Wake);
            }
            14 => {
                self.time.now = self.time.now.max(self.node().deadline().0);
                self.give(Input::Wake);
            }
            15 => {
                let (now, wall_ms) = (self.time.now, STARTED_MS + self.time.now / 1000);
                let walls_ms = [0, wall_ms, wall_ms - 50_000, wall_ms + 75_000, wall_ms * 2];
                self.running(NODE).node.set_clock(Time(now), source.pick(&walls_ms));
            }
            _ if source.byte() == 0 => self.give(Input::Leave),
            _ => {}
        }
    }

    pub fn node(&self) -> &Node {
        &self.hosts[NODE].up().expect("it never ends").node
    }

    /// The open links, oldest first.
    pub fn links(&self) -> Vec<LinkId> {
        self.hosts[NODE].up().expect("it never ends").links.keys().copied().collect()
    }

    fn link(&self, source: &mut Source<'_>) -> Option<LinkId> {
        let links = self.links();
        (!links.is_empty()).then(|| source.pick(&links))
    }

    /// One of the others connects, and begins to speak as a node.
    pub fn accept_any(&mut self) -> Option<LinkId> {
        let connection = self.network.connect(&mut self.time, (OTHERS, 0), LinkId(0), NODE);
        self.network.establish(&mut self.time, connection, self.hosts[NODE].life);
        self.accept(NODE, connection, 1)
    }

    fn break_link(&mut self, link: LinkId) {
        if let Some((connection, _)) = self.running(NODE).links.remove(&link) {
            self.network.connections.remove(&connection);
        }
    }

    /// Gives the node one input, and inspects it.
    pub fn give(&mut self, input: Input) {
        let is_wake = matches!(input, Input::Wake);
        self.step(NODE, input);
        let links = self.links().len();
        assert!(links <= PEER_LINKS_MAX + 1 + ERRANDS_MAX, "{links} links");
        let node = self.node();
        assert!(node.view().members().len() <= MEMBERS_MAX + 1);
        let is_alive = node.view().is_alive(address(0));
        assert!(is_alive || !node.is_member(), "a member is alive in its own view");
        assert!(node.view().get(node.address()).is_some(), "a node is in its own view");
        assert!(is_alive || !node.is_ready(), "a node that is out is not ready");
        assert!(node.index().bytes() <= STORE_BYTES_MAX);
        // Several dead members in a row are passed over one after the other, at one instant.
        let wakes_again = is_wake && node.deadline().0 <= self.time.now;
        self.scene.wakes = if wakes_again { self.scene.wakes + 1 } else { 0 };
        assert!(self.scene.wakes <= MEMBERS_MAX, "the node would wake for ever");
        if wakes_again {
            self.give(Input::Wake);
        }
    }
}
