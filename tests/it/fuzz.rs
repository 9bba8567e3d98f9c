//! Two bodies that bytes of chance must not break: the codec, and a node that hears nonsense.
//!
//! `fuzz/` runs them under libFuzzer for as long as one likes. Here the same bodies get a bounded
//! number of inputs in every test run.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use smolring::ring::{
    Config, Input, LinkId, Node, Output, RequestId,
    codec::{Decoder, Encode, Reject},
    limits::{LINE_BYTES_MAX, MEMBERS_MAX, PEER_LINKS_MAX, SYNC_WINDOW_REQUESTS},
    message::{
        Check, Content, ForwardGet, ForwardPut, Item, Message, OpId, Peer, Request, Status, Sync,
    },
    name::{Name, encode as encode_name},
    table::{BUCKETS, Digest, Table},
    version::{Stamp, Time, Version},
    view::{Member, State, View, ViewHash},
};

/// Largest file of the decoders that are tested here.
pub const FILE_BYTES_MAX: usize = 300;

// ---- the codec

/// Any bytes, in any cuts: no panic, the same messages however they are cut, little kept back;
/// and what decodes, encodes to something that decodes to the same.
pub fn codec(data: &[u8]) {
    let Some((&[mode, seed], stream)) = data.split_first_chunk() else { return };
    let decoder = || decoder(mode & 1 == 1);
    let whole = decode_all(decoder(), stream, || usize::MAX);
    assert_eq!(whole, decode_all(decoder(), stream, || 1));
    let mut state = u32::from(seed);
    let cut = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize
    };
    assert_eq!(whole, decode_all(decoder(), stream, cut));
    for message in whole.iter().flatten() {
        assert_round_trip(message);
    }
}

/// A decoder for a client's connection, or for another node's.
pub fn decoder(is_peer: bool) -> Decoder {
    let mut decoder = Decoder::new(FILE_BYTES_MAX);
    if is_peer {
        decoder.trust_peer();
    }
    decoder
}

/// Feeds a decoder as a connection does, in pieces of the sizes that `cut` gives.
pub fn decode_all(
    mut decoder: Decoder,
    mut stream: &[u8],
    mut cut: impl FnMut() -> usize,
) -> Vec<Result<Message, Reject>> {
    let (mut messages, mut buffer) = (Vec::new(), Vec::new());
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(cut().clamp(1, stream.len()));
        stream = rest;
        buffer.extend_from_slice(piece);
        loop {
            let (taken, message) = decoder.decode(&buffer);
            buffer.drain(..taken);
            let is_done = message.is_none();
            messages.extend(message);
            if is_done {
                break;
            }
        }
        assert!(buffer.len() < LINE_BYTES_MAX, "{} bytes are kept back", buffer.len());
    }
    messages
}

/// Encodes the message and decodes it.
pub fn assert_round_trip(message: &Message) {
    let bytes = encode(message);
    let line_bytes = bytes.iter().position(|&byte| byte == b'\n').expect("a line has an end") + 1;
    if line_bytes > LINE_BYTES_MAX {
        // A prefix may be as long as its line; encoded, it is up to three times as long.
        return assert!(matches!(message, Message::Request(Request::List { .. })), "{message:?}");
    }
    assert_eq!(decode_all(decoder(true), &bytes, || usize::MAX), [Ok(message.clone())]);
}

/// A message as it goes over the wire.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        Message::Request(request) => encode_request(request, &mut out),
        Message::Peer(peer) => {
            if let Some(content) = peer.encode(&mut out) {
                out.extend_from_slice(content);
            }
        }
    }
    out
}

fn encode_request(request: &Request, out: &mut Vec<u8>) {
    let line = match request {
        Request::Put { name, content } => format!("PUT {} len={}\n", name.wire(), content.len()),
        Request::Get { name } => format!("GET {}\n", name.wire()),
        Request::List { prefix, after, limit } => {
            let (prefix, after) = (encode_name(prefix), encode_name(after));
            format!("LIST prefix={prefix} after={after} limit={limit}\n")
        }
        Request::Ring => "RING\n".into(),
        Request::Ping => "PING\n".into(),
        Request::Info => "INFO\n".into(),
        Request::Quit => "QUIT\n".into(),
    };
    out.extend_from_slice(line.as_bytes());
    if let Request::Put { content, .. } = request {
        out.extend_from_slice(content);
    }
}

// ---- the node

const STORE_BYTES_MAX: usize = 1000;
const STARTED_MS: u64 = 1_700_000_000_000;
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Any messages on any links in any order, any breaks and any time: no panic, every request is
/// answered once, nothing is said on a link that is closed, and all that can grow has a bound.
pub fn node(data: &[u8]) {
    let mut source = Source(data);
    let mut world = World::new(&mut source);
    while !source.0.is_empty() {
        world.step(&mut source);
    }
    // Whatever has happened: within the timeout everything that was asked is answered.
    let end = world.now + REQUEST_TIMEOUT;
    while world.now < end {
        world.now = world.node.deadline().clamp(world.now, end);
        world.handle(Input::Wake);
    }
    assert!(world.waiting.is_empty(), "{:?} never answered", world.waiting);
}

/// A node, and what its driver knows of it.
struct World {
    node: Node,
    now: Time,
    links: BTreeSet<LinkId>,
    waiting: BTreeSet<RequestId>,
    asked: u64,
    is_leaving: bool,
    has_left: bool,
}

impl World {
    fn new(source: &mut Source<'_>) -> Self {
        let config = Config {
            address: address(0),
            prev: source.flag().then(|| address(1)),
            check_interval: CHECK_INTERVAL,
            check_timeout: CHECK_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            min_copies: usize::from(source.byte() % 3),
            max_file_bytes: FILE_BYTES_MAX,
            seed: 0,
            started_ms: STARTED_MS,
        };
        let node = Node::new(config, Table::new(STORE_BYTES_MAX));
        let (links, waiting) = (BTreeSet::new(), BTreeSet::new());
        Self { node, now: Time(0), links, waiting, asked: 0, is_leaving: false, has_left: false }
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.byte() % 16 {
            0 => self.links.extend(self.node.accept()),
            1..=7 => {
                let message = self.peer(source);
                assert_round_trip(&Message::Peer(message.clone()));
                if let Some(link) = self.link(source) {
                    self.handle(Input::Received { link, message });
                }
            }
            8..=10 => {
                let request = request(source);
                assert_round_trip(&Message::Request(request.clone()));
                self.asked += 1;
                let id = RequestId(self.asked);
                self.waiting.insert(id);
                self.handle(Input::Request { id, request });
            }
            11 => {
                if let Some(link) = self.link(source) {
                    self.links.remove(&link);
                    self.handle(Input::LinkDown { link, why: "it broke".into() });
                }
            }
            12 => {
                if let Some(link) = self.link(source) {
                    self.handle(Input::Progress { link });
                }
            }
            13 => {
                let steps_us = [0, 1, 1_000, 1_000_000, 3_000_000, 90_000_000_000];
                self.now = self.now + Duration::from_micros(source.pick(&steps_us));
                self.handle(Input::Wake);
            }
            14 => {
                self.now = self.now.max(self.node.deadline());
                self.handle(Input::Wake);
            }
            _ if source.byte() == 0 => self.handle(Input::Leave),
            _ => {}
        }
    }

    fn link(&self, source: &mut Source<'_>) -> Option<LinkId> {
        let links: Vec<_> = self.links.iter().copied().collect();
        (!links.is_empty()).then(|| source.pick(&links))
    }

    fn handle(&mut self, input: Input) {
        let is_wake = matches!(input, Input::Wake);
        self.is_leaving |= matches!(input, Input::Leave);
        let mut out = Vec::new();
        self.node.handle(self.now, input, &mut out);
        assert!(out.len() <= 3 * (self.waiting.len() + PEER_LINKS_MAX + SYNC_WINDOW_REQUESTS));
        for output in out {
            self.carry_out(output);
        }
        assert!(self.links.len() <= PEER_LINKS_MAX + 2, "{} links", self.links.len());
        assert!(self.node.view().members().len() <= MEMBERS_MAX);
        let is_in_own_view = self.node.view().is_alive(address(0));
        assert!(is_in_own_view || self.is_leaving, "a node is in its own view");
        assert!(self.node.table().bytes() <= STORE_BYTES_MAX);
        assert!(!is_wake || self.node.deadline() > self.now, "the node would wake for ever");
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Reply { id, answer } => {
                assert!(self.waiting.remove(&id), "{id:?} is answered twice");
                let mut line = Vec::new();
                answer.encode(&mut line);
                let end = line.iter().position(|&byte| byte == b'\n').expect("a line has an end");
                assert!(end < LINE_BYTES_MAX);
            }
            Output::Connect { link, .. } => assert!(self.links.insert(link), "{link:?} twice"),
            Output::Send { link, message } => {
                assert!(self.links.contains(&link), "{link:?} is closed: {message:?}");
                assert_round_trip(&Message::Peer(message));
            }
            Output::Disconnect { link } => assert!(self.links.remove(&link), "{link:?} is closed"),
            Output::Notify(event) => drop(event.to_string()),
            Output::Left => assert!(!std::mem::replace(&mut self.has_left, true), "left twice"),
        }
    }

    /// A message that another node might send, or would not.
    fn peer(&self, source: &mut Source<'_>) -> Peer {
        let op = OpId { creator: source.address(), count: source.number() };
        match source.byte() % 8 {
            0 | 1 => {
                let node = source.address();
                Peer::Meet { node, join: source.byte() < 32, view: self.view(source) }
            }
            2 => Peer::Check(Check {
                op,
                digest: self.digest(source),
                ready: source.flag(),
                same: source.flag(),
                hops: source.number() as usize,
                view: self.view(source),
            }),
            3 => {
                let ready = source.flag();
                Peer::Checked { op, ready, view: source.flag().then(|| self.view(source)) }
            }
            4 => {
                let version = self.version(source);
                Peer::ForwardPut(ForwardPut {
                    op,
                    view: self.circle(source),
                    name: source.name(),
                    version,
                    copies: source.number() as usize,
                    refused: source.flag().then_some(Status::InsufficientStorage),
                    item: source.flag().then(|| source.item(version)),
                })
            }
            5 => Peer::ForwardGet(ForwardGet {
                op,
                view: self.circle(source),
                name: source.name(),
                hops: source.number() as usize,
                found: self.item(source),
            }),
            _ => Peer::Sync(self.sync(source)),
        }
    }

    fn sync(&self, source: &mut Source<'_>) -> Sync {
        let (bucket, name) = (source.byte(), source.name());
        match source.byte() % 6 {
            0 => Sync::Buckets,
            1 => Sync::Digests {
                ready: source.flag(),
                digests: vec![Digest(source.number().into()); BUCKETS],
            },
            2 => Sync::Names { bucket, after: source.flag().then_some(name) },
            3 => {
                let files: BTreeMap<_, _> = (0..source.byte() % 8)
                    .map(|_| (source.name(), (source.number() as usize, self.version(source))))
                    .collect();
                let files = files.into_iter().map(|(name, (len, version))| (name, len, version));
                Sync::Listed { bucket, more: source.flag(), files: files.collect() }
            }
            4 => Sync::Pull { name },
            _ => Sync::Item { name, item: self.item(source) },
        }
    }

    /// The node's own view with some entries changed, or a strange one.
    fn view(&self, source: &mut Source<'_>) -> View {
        let mut view = if source.flag() { self.node.view().clone() } else { View::default() };
        let news = if source.byte() == 0 { MEMBERS_MAX as u8 } else { source.byte() % 4 };
        for i in 0..news {
            let address = if news > 4 { address(i) } else { source.address() };
            let state = if source.flag() {
                State::Alive
            } else {
                State::Gone { since_ms: source.pick(&[0, STARTED_MS, u64::MAX]) }
            };
            let position = source.pick(&[0, 1, 2, 1 << 127, u128::MAX]);
            let incarnation = source.pick(&[0, 1, STARTED_MS, STARTED_MS + 1, u64::MAX]);
            view.set(address, Member { incarnation, state, position });
        }
        while view.members().len() > MEMBERS_MAX {
            view.forget(STARTED_MS);
            view = View::default();
        }
        view
    }

    fn item(&self, source: &mut Source<'_>) -> Option<Item> {
        let version = self.version(source);
        source.flag().then(|| source.item(version))
    }

    fn circle(&self, source: &mut Source<'_>) -> ViewHash {
        if source.byte() >= 64 { self.node.view().circle_hash() } else { ViewHash(0) }
    }

    fn digest(&self, source: &mut Source<'_>) -> Digest {
        if source.flag() { self.node.table().digest() } else { Digest(source.number().into()) }
    }

    fn version(&self, source: &mut Source<'_>) -> Version {
        let held = self.node.table().list("", "").next().map(|(_, item)| item.version);
        let wall_ms = STARTED_MS + self.now.0 / 1000;
        let stamps = [Stamp(0), Stamp::at_ms(wall_ms), Stamp::at_ms(wall_ms + 60_000)];
        let stamp = source.pick(&[stamps[0], stamps[1], stamps[2], Stamp(u64::MAX)]);
        let any = Version { stamp, node: source.address() };
        if source.flag() { held.unwrap_or(any) } else { any }
    }
}

fn request(source: &mut Source<'_>) -> Request {
    match source.byte() % 8 {
        0..=2 => {
            let content = vec![b'x'; source.pick(&[0, 1, 100, FILE_BYTES_MAX])].into();
            Request::Put { name: source.name(), content }
        }
        3 | 4 => Request::Get { name: source.name() },
        5 => Request::List { prefix: String::new(), after: "a".into(), limit: 1 },
        6 => Request::Ring,
        _ => Request::Info,
    }
}

fn address(i: u8) -> SocketAddr {
    ([127, 0, 1, i], 4043).into()
}

/// Bytes of chance, made into parts of messages. Once they are used up it gives zeros.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    fn number(&mut self) -> u64 {
        self.pick(&[0, 1, 2, 3, 4, 5, MEMBERS_MAX as u64, u64::MAX])
    }

    fn address(&mut self) -> SocketAddr {
        address(self.byte() % 4)
    }

    fn name(&mut self) -> Name {
        Name::new(self.pick(&["a", "b", "c/d", "é"])).expect("these are names")
    }

    fn item(&mut self, version: Version) -> Item {
        let content = Content::from(vec![b'y'; self.pick(&[0, 1, 100, 500])]);
        Item { version, hash: blake3::hash(&content), content }
    }
}

// The path is said because `fuzz/` includes this file from elsewhere.
#[cfg(test)]
#[path = "fuzz/tests.rs"]
mod tests;
