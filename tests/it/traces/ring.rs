//! The ring that a script acts on: nodes, connections and time, none of them real.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use smolring::ring::{
    Config, Input, LinkId, Node, Output, RequestId,
    codec::Decoder,
    message::{Envelope, Item, Message, Peer, Request},
    name::Name,
    table::Table,
    version::Time,
};

use super::show::{Trace, address_of, letter_of, letters};
use crate::fuzz::encode;

const LATENCY_US: u64 = 1_000;
const STARTED_MS: u64 = 1_700_000_000_000;
const STORE_BYTES_MAX: usize = 1 << 20;
const RING: &str = "smolring";

#[derive(Default)]
pub(super) struct Ring {
    now_us: u64,
    hosts: BTreeMap<char, Host>,
    /// What those that have ended held.
    disks: BTreeMap<char, Vec<(Name, Item)>>,
    wires: Vec<Wire>,
    /// How far the wall clock of a host is ahead, and how much room it has: where a script says so.
    clocks_ms: BTreeMap<char, i64>,
    rooms: BTreeMap<char, usize>,
    /// Under way, by arrival, then by the order of sending.
    queue: BTreeMap<(u64, u64), Packet>,
    /// Stopped by a pause or a cut.
    held: Vec<Packet>,
    /// Pairs that cannot hear each other.
    cut: BTreeSet<(char, char)>,
    sent: u64,
    trace: Trace,
}

struct Host {
    node: Node,
    started_us: u64,
    is_paused: bool,
    /// Wire and end of each link.
    links: BTreeMap<LinkId, (usize, usize)>,
}

/// A connection; end 0 has opened it.
struct Wire {
    nodes: [char; 2],
    links: [Option<LinkId>; 2],
    is_open: [bool; 2],
    /// Nothing has been sent on it yet.
    is_new: bool,
    decoders: [Decoder; 2],
}

struct Packet {
    wire: usize,
    /// The end that it goes to.
    end: usize,
    what: What,
}

enum What {
    Open,
    Bytes(Vec<u8>),
    Down(&'static str),
}

/// How a node is started.
struct Start {
    /// The name that it goes by, if that is not its own.
    address: Option<char>,
    ring: String,
    prevs: Vec<char>,
}

impl Start {
    /// Of words such as `as D of blue after A B`.
    fn of(words: &[&str]) -> Self {
        let mut start = Self { address: None, ring: RING.into(), prevs: Vec::new() };
        match words {
            [] => {}
            ["as", name, rest @ ..] => {
                start = Self { address: name.chars().next(), ..Self::of(rest) };
            }
            ["of", ring, rest @ ..] => {
                start = Self { ring: (*ring).to_owned(), ..Self::of(rest) };
            }
            ["after" | "with", prevs @ ..] => start.prevs = prevs.concat().chars().collect(),
            _ => panic!("a node does not start {words:?}"),
        }
        start
    }
}

impl Ring {
    /// Carries out a command, and says what followed.
    pub(super) fn command(&mut self, command: &str) -> String {
        self.trace.begin(self.now_us);
        let waits = self.carry_out(command.trim_end_matches(" &")) && !command.ends_with(" &");
        if waits {
            self.settle();
        }
        self.trace.take(waits)
    }

    /// Does not wait for what follows, and says whether that is to be waited for.
    fn carry_out(&mut self, command: &str) -> bool {
        let (head, content) = command.split_once(" \"").unwrap_or((command, ""));
        let words: Vec<_> = head.split(' ').collect();
        let node = words.get(1).and_then(|word| word.chars().next()).unwrap_or('?');
        match words[..] {
            ["ring", ..] => self.ring(&words[1..]),
            [verb @ ("start" | "restart"), _, ..] => {
                self.start(node, Start::of(&words[2..]), verb == "restart");
            }
            ["room", _, bytes] => {
                self.rooms.insert(node, bytes.parse().expect(command));
                return false;
            }
            ["clock", _, time] => {
                let seconds: f64 = time.trim_end_matches('s').parse().expect(command);
                self.clocks_ms.insert(node, (seconds * 1000.0) as i64);
                let wall_ms = self.wall_ms(node);
                if let Some(host) = self.hosts.get_mut(&node) {
                    host.node.set_clock(Time(self.now_us - host.started_us), wall_ms);
                }
            }
            ["put", _, name] => {
                let content = content.trim_end_matches('"').to_owned().into();
                self.ask(node, Request::Put { name: Name::new(name).unwrap(), content });
            }
            ["get", _, name] => self.ask(node, Request::Get { name: Name::new(name).unwrap() }),
            ["list", _] => {
                let (prefix, after) = (String::new(), String::new());
                self.ask(node, Request::List { prefix, after, limit: 10 });
            }
            ["forget", _, member] => {
                let address = address_of(member.chars().next().expect(command));
                self.ask(node, Request::Forget { address });
            }
            ["show", "brings"] => self.trace.shows_brings = true,
            ["leave", _] => self.handle(node, Input::Leave),
            ["kill", _] => self.end(node, "the link broke"),
            ["pause", _] => self.hosts.get_mut(&node).expect(command).is_paused = true,
            ["resume", _] => {
                self.hosts.get_mut(&node).expect(command).is_paused = false;
                self.release();
            }
            ["cut", ..] => self.cut(&words[1..]),
            ["heal"] => {
                self.cut.clear();
                self.release();
            }
            ["run", time, ..] => {
                self.run(time.trim_end_matches('s').parse().expect(command));
                self.trace.is_quiet = words.last() == Some(&"quietly");
            }
            ["deliver"] => {}
            ["deliver", count] => {
                let mut left: u32 = count.parse().expect(command);
                while left > 0 {
                    left -= u32::from(self.step(u64::MAX).expect("nothing is under way"));
                }
                return false;
            }
            ["files"] => self.files(),
            _ => panic!("no such command: {command}"),
        }
        true
    }

    /// Nodes that have found each other, and whose CHECKs begin a tenth of a second apart.
    fn ring(&mut self, names: &[&str]) {
        let mut prev = None;
        for name in names.concat().chars() {
            let prevs = prev.replace(name).into_iter().collect();
            self.start(name, Start { prevs, ..Start::of(&[]) }, false);
            self.settle();
            self.now_us += 100_000;
        }
        self.run(1.0);
        self.settle();
        self.trace.begin(self.now_us);
        let view = prev.map(|name| self.hosts[&name].node.view().to_string());
        self.trace.line(self.now_us, letters(&view.expect("ring A B C")));
    }

    fn settle(&mut self) {
        while !self.queue.is_empty() {
            self.step(u64::MAX);
        }
    }

    fn run(&mut self, seconds: f64) {
        let until_us = self.now_us + Duration::from_secs_f64(seconds).as_micros() as u64;
        while self.step(until_us).is_some() {}
        self.now_us = until_us;
    }

    fn wall_ms(&self, name: char) -> u64 {
        let ahead_ms = self.clocks_ms.get(&name).copied().unwrap_or(0);
        (STARTED_MS + self.now_us / 1000).checked_add_signed(ahead_ms).expect("after 1970")
    }

    fn start(&mut self, name: char, start: Start, keeps_files: bool) {
        let Start { address, ring, prevs } = start;
        let config = Config {
            address: address_of(address.unwrap_or(name)),
            bootstrap: prevs.is_empty(),
            prevs: prevs.into_iter().map(|prev| address_of(prev).to_string()).collect(),
            ring: ring.into(),
            check_interval: Duration::from_secs(1),
            check_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            forget_after: Duration::from_secs(3600),
            give_up_after: Duration::from_secs(5),
            min_copies: 1,
            max_file_bytes: STORE_BYTES_MAX,
            seed: name.into(),
            started_ms: self.wall_ms(name),
        };
        let room = self.rooms.get(&name).copied().unwrap_or(STORE_BYTES_MAX);
        let mut table = Table::new(room);
        for (name, item) in self.disks.remove(&name).filter(|_| keeps_files).into_iter().flatten() {
            table.put(&name, item);
        }
        let (node, started_us) = (Node::new(config, table), self.now_us);
        let host = Host { node, started_us, is_paused: false, links: BTreeMap::new() };
        assert!(self.hosts.insert(name, host).is_none(), "{name} runs already");
        self.handle(name, Input::Wake);
    }

    /// The process ends, and its links with it.
    fn end(&mut self, name: char, why: &'static str) {
        let host = self.hosts.remove(&name).expect("it does not run");
        let files = host.node.table().list("", "");
        self.disks.insert(name, files.map(|(name, item)| (name.clone(), item.clone())).collect());
        for wire in 0..self.wires.len() {
            for end in 0..2 {
                if self.wires[wire].nodes[end] == name && self.wires[wire].is_open[end] {
                    self.wires[wire].is_open[end] = false;
                    self.push(Packet { wire, end: 1 - end, what: What::Down(why) });
                }
            }
        }
    }

    fn cut(&mut self, words: &[&str]) {
        let side = |words: &[&str]| words.concat().chars().collect::<Vec<_>>();
        let mut sides = words.split(|word| *word == "|").map(side);
        let (one, other) = (sides.next().unwrap(), sides.next().expect("cut A B | C D"));
        for (&a, &b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
            self.cut.extend([(a, b), (b, a)]);
        }
    }

    /// What was held goes on, but for connections that their openers have given up.
    fn release(&mut self) {
        for packet in std::mem::take(&mut self.held) {
            if !matches!(packet.what, What::Open) || self.wires[packet.wire].is_open[0] {
                self.push(packet);
            }
        }
    }

    fn ask(&mut self, name: char, request: Request) {
        let request = Message::Request(request);
        let way = format!("client -> {name}");
        self.trace.message(self.now_us, &way, &encode(&request), &request);
        let Message::Request(request) =
            decode(&mut Decoder::new(STORE_BYTES_MAX), &encode(&request))
        else {
            panic!("a request decodes to one");
        };
        self.sent += 1;
        self.handle(name, Input::Request { id: RequestId(self.sent), request });
    }

    fn files(&mut self) {
        for (name, host) in &self.hosts {
            let files = host.node.table().list("", "").map(|(name, item)| {
                format!(" {}={}", name.wire(), self.trace.short("v", item.version.to_string()))
            });
            let line = format!("{name} holds{}", files.collect::<String>());
            self.trace.line(self.now_us, line);
        }
    }

    // ---- events

    fn push(&mut self, packet: Packet) {
        self.sent += 1;
        self.queue.insert((self.now_us + LATENCY_US, self.sent), packet);
    }

    /// What comes next, unless that is after `until_us`: `Some(true)` if a message arrived.
    fn step(&mut self, until_us: u64) -> Option<bool> {
        let awake = self.hosts.iter().filter(|(_, host)| !host.is_paused);
        let due = awake.map(|(&name, host)| (host.node.deadline().0 + host.started_us, name)).min();
        let arrival = self.queue.keys().next().map(|&(at_us, _)| at_us);
        let at_us = arrival.into_iter().chain(due.map(|due| due.0)).min()?;
        if at_us > until_us {
            return None;
        }
        self.now_us = self.now_us.max(at_us);
        if arrival == Some(at_us) {
            let (_, packet) = self.queue.pop_first()?;
            return Some(self.arrive(packet));
        }
        self.handle(due?.1, Input::Wake);
        Some(false)
    }

    fn arrive(&mut self, packet: Packet) -> bool {
        let Packet { wire, end, .. } = packet;
        let Wire { nodes, is_open, links, decoders, .. } = &mut self.wires[wire];
        let (to, from) = (nodes[end], nodes[1 - end]);
        let host = self.hosts.get_mut(&to);
        if self.cut.contains(&(from, to)) || host.as_ref().is_some_and(|host| host.is_paused) {
            self.held.push(packet);
            return false;
        }
        match packet.what {
            What::Open if host.is_some() => is_open[end] = true,
            What::Open => {
                let what = What::Down("connection refused");
                self.push(Packet { wire, end: 0, what });
            }
            What::Bytes(bytes) if is_open[end] => {
                let host = host.expect("its end of the wire is open");
                let link = *links[end].get_or_insert_with(|| {
                    let link = host.node.accept().expect("there are few links");
                    decoders[end].trust_peer();
                    host.links.insert(link, (wire, end));
                    link
                });
                let Message::Peer(message) = decode(&mut decoders[end], &bytes) else {
                    panic!("a node's message decodes to one");
                };
                self.receive(to, link, message);
                return true;
            }
            What::Down(why) if is_open[end] => {
                is_open[end] = false;
                if let Some(link) = links[end] {
                    host.expect("its end of the wire is open").links.remove(&link);
                    if !why.is_empty() {
                        self.trace.line(self.now_us, format!("{to} -x {from}  {why}"));
                    }
                    self.handle(to, Input::LinkDown { link, why: why.into() });
                }
            }
            What::Bytes(_) | What::Down(_) => {}
        }
        false
    }

    /// Hands a message to a node, and notes whether a CHECK made a difference.
    fn receive(&mut self, to: char, link: LinkId, message: Envelope) {
        let op = match &message.message {
            Peer::Check(check) => Some(check.op),
            _ => None,
        };
        let view = |ring: &Self| ring.hosts.get(&to).map(|host| host.node.view().full_hash());
        let before = view(self);
        self.trace.check_arrives(op, to);
        self.handle(to, Input::Received { link, message });
        self.trace.check_has_arrived(op, before != view(self));
    }

    fn handle(&mut self, name: char, input: Input) {
        let host = self.hosts.get_mut(&name).expect("it does not run");
        assert!(!host.is_paused, "{name} is paused");
        let mut out = Vec::new();
        host.node.handle(Time(self.now_us - host.started_us), input, &mut out);
        for output in out {
            self.output(name, output);
        }
    }

    fn output(&mut self, name: char, output: Output) {
        let place = |ring: &Self, link| ring.hosts[&name].links[&link];
        match output {
            Output::Connect { link, to } => {
                let wire = self.wires.len();
                let [a, b] = [(); 2].map(|()| Decoder::new(STORE_BYTES_MAX));
                let mut decoders = [a, b];
                decoders[0].trust_peer();
                let to = self.hosts[&name].node.place(to).parse().expect("all places are names");
                let (nodes, links) = ([name, letter_of(to)], [Some(link), None]);
                let is_open = [true, false];
                self.wires.push(Wire { nodes, links, is_open, is_new: true, decoders });
                self.hosts.get_mut(&name).expect("it runs").links.insert(link, (wire, 0));
                self.push(Packet { wire, end: 1, what: What::Open });
            }
            Output::Send { link, message } => {
                let (wire, end) = place(self, link);
                let to = self.wires[wire].nodes[1 - end];
                let is_new = std::mem::take(&mut self.wires[wire].is_new);
                let way = format!("{name} {} {to}", if is_new { "=>" } else { "->" });
                let message = Message::Peer(message);
                let bytes = encode(&message);
                self.trace.message(self.now_us, &way, &bytes, &message);
                self.push(Packet { wire, end: 1 - end, what: What::Bytes(bytes) });
            }
            Output::Disconnect { link } => {
                let (wire, end) = place(self, link);
                self.wires[wire].is_open[end] = false;
                self.hosts.get_mut(&name).expect("it runs").links.remove(&link);
                let to = self.wires[wire].nodes[1 - end];
                self.trace.line(self.now_us, format!("{name} -| {to}"));
                self.push(Packet { wire, end: 1 - end, what: What::Down("") });
            }
            Output::Reply { answer, .. } => self.trace.answer(self.now_us, name, &answer),
            Output::Notify(event) => self.trace.event(self.now_us, name, &event),
            Output::Left => {
                self.trace.line(self.now_us, format!("{name}: has left, and ends"));
                self.end(name, "");
            }
        }
    }
}

fn decode(decoder: &mut Decoder, bytes: &[u8]) -> Message {
    let (taken, message) = decoder.decode(bytes);
    assert_eq!(taken, bytes.len());
    message.expect("the message is whole").expect("what encodes also decodes")
}
