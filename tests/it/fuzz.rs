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
    coverage::{Covers, Lacks},
    limits::{
        INCARNATION_MAX, LINE_BYTES_MAX, MEMBERS_MAX, PEER_LINKS_MAX, PROTOCOL, SCOUTS_MAX,
        SEEKS_MAX, SYNC_WINDOW_REQUESTS, VETS_MAX,
    },
    message::{
        Check, Content, Envelope, ForwardGet, ForwardPut, Greeting, Item, Message, OpId, Peer,
        Report, Request, Role, Status, Sync,
    },
    name::{Name, encode as encode_name},
    table::{BUCKETS, Digest, Table},
    version::{Stamp, Time, Version},
    view::{Cause, Member, State, View, ViewHash},
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
        // A prefix may be as long as its line; encoded, it is up to three times as long. A REFUSE
        // may say as much, and gets a stamp.
        let is_list = matches!(message, Message::Request(Request::List { .. }));
        let is_refuse =
            matches!(message, Message::Peer(Envelope { message: Peer::Refuse { .. }, .. }));
        return assert!(is_list || is_refuse, "{message:?}");
    }
    assert_eq!(decode_all(decoder(true), &bytes, || usize::MAX), [Ok(written(message))]);
}

/// The message as it is written: what people read has no control characters.
fn written(message: &Message) -> Message {
    let mut message = message.clone();
    if let Message::Peer(Envelope { message: Peer::Refuse { reason, .. }, .. }) = &mut message {
        *reason = reason.replace(|c: char| c.is_control(), "?");
    }
    message
}

/// What a node says decodes, and encodes to the same bytes. (What is said of addresses that the
/// view does not know is left out, so the messages themselves may differ.)
fn assert_is_said_well(message: Envelope) {
    let bytes = encode(&Message::Peer(message));
    match &decode_all(decoder(true), &bytes, || usize::MAX)[..] {
        [Ok(message)] => assert_eq!(encode(message), bytes),
        other => panic!("{other:?}"),
    }
}

/// A message as it goes over the wire.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    let content = match message {
        // Not as a client writes it: keys in another order, and with nothing in them.
        Message::Request(Request::List { prefix, after, limit }) => {
            let (prefix, after) = (encode_name(prefix), encode_name(after));
            return format!("LIST prefix={prefix} after={after} limit={limit}\n").into();
        }
        Message::Request(request) => request.encode(&mut out),
        Message::Peer(peer) => peer.encode(&mut out),
    };
    out.extend_from_slice(content.map(|it| &it[..]).unwrap_or_default());
    out
}

// ---- the node

const STORE_BYTES_MAX: usize = 1000;
const STARTED_MS: u64 = 1_700_000_000_000;
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
const RING: &str = "fuzz";
/// The latest time that a clock of a peer shows here.
const CLOCK_MS_MAX: u64 = 1 << 62;
/// Links that a node opens beyond the one to its successor: to each member that may take it in, and
/// what it does as a member.
const ERRANDS_MAX: usize = MEMBERS_MAX + VETS_MAX + SEEKS_MAX + 2 * SCOUTS_MAX;

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
    /// Wakes in a row after which the node wanted another at once.
    wakes: usize,
}

impl World {
    fn new(source: &mut Source<'_>) -> Self {
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
            seed: 0,
            started_ms: STARTED_MS,
        };
        let node = Node::new(config, Table::new(STORE_BYTES_MAX));
        Self {
            node,
            now: Time(0),
            links: BTreeSet::new(),
            waiting: BTreeSet::new(),
            asked: 0,
            is_leaving: false,
            has_left: false,
            wakes: 0,
        }
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.byte() % 17 {
            0 => self.links.extend(self.node.accept()),
            1..=7 => {
                let message = self.envelope(source);
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
                    let why = source.pick(&["it broke", "connection refused"]).into();
                    self.handle(Input::LinkDown { link, why });
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
            15 => {
                let wall_ms = STARTED_MS + self.now.0 / 1000;
                let walls_ms = [0, wall_ms, wall_ms - 50_000, wall_ms + 75_000, wall_ms * 2];
                self.node.set_clock(self.now, source.pick(&walls_ms));
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
        let links = self.links.len();
        assert!(links <= PEER_LINKS_MAX + 1 + ERRANDS_MAX, "{links} links");
        assert!(self.node.view().members().len() <= MEMBERS_MAX + 1);
        let is_alive = self.node.view().is_alive(address(0));
        assert!(is_alive || !self.node.is_member(), "a member is alive in its own view");
        let me = self.node.address();
        assert!(self.node.view().get(me).is_some(), "a node is in its own view");
        assert!(is_alive || !self.node.is_ready(), "a node that is out is not ready");
        assert!(self.node.table().bytes() <= STORE_BYTES_MAX);
        // Several dead members in a row are passed over one after the other, at one moment.
        self.wakes = if is_wake && self.node.deadline() <= self.now { self.wakes + 1 } else { 0 };
        assert!(self.wakes <= MEMBERS_MAX, "the node would wake for ever");
        if self.wakes > 0 {
            self.handle(Input::Wake);
        }
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
                assert_is_said_well(message);
            }
            Output::Disconnect { link } => assert!(self.links.remove(&link), "{link:?} is closed"),
            Output::Notify(event) => drop(event.to_string()),
            Output::Left => assert!(!std::mem::replace(&mut self.has_left, true), "left twice"),
        }
    }

    /// A message that another node might send, or would not.
    fn envelope(&self, source: &mut Source<'_>) -> Envelope {
        let stamp = if source.byte() < 64 { self.version(source).stamp } else { Stamp(0) };
        Envelope { stamp, message: self.peer(source) }
    }

    fn peer(&self, source: &mut Source<'_>) -> Peer {
        let op = OpId { creator: source.address(), count: source.number() };
        match source.byte() % 9 {
            0 | 1 => Peer::Meet(Box::new(self.greeting(source))),
            2 => {
                let (digest, hops) = (self.digest(source), source.number() as usize);
                let view = self.view(source);
                let (covers, held) = (covers(source, &view), covers(source, &view));
                let reports = view.members().filter(|_| source.flag());
                let reports: Vec<_> = reports.map(|(member, _)| member).collect();
                let reports = reports.into_iter().map(|it| (it, self.report(source))).collect();
                Peer::Check(Box::new(Check { op, digest, hops, view, covers, held, reports }))
            }
            3 => Peer::Checked { op, view: source.flag().then(|| self.view(source)) },
            4 => {
                let version = self.version(source);
                let refused = source.pick(&[
                    None,
                    Some(Status::InsufficientStorage),
                    Some(Status::Unavailable),
                ]);
                Peer::ForwardPut(Box::new(ForwardPut {
                    op,
                    view: self.circle(source),
                    name: source.name(),
                    version,
                    copies: source.number() as usize,
                    newest: source.flag().then(|| self.version(source)),
                    refused: refused.map(|status| (status, source.address())),
                    item: source.flag().then(|| source.item(version)),
                }))
            }
            5 => Peer::ForwardGet(Box::new(ForwardGet {
                op,
                view: self.circle(source),
                name: source.name(),
                hops: source.number() as usize,
                lacks: source.flag().then(|| {
                    let covers = covers(source, self.node.view());
                    Lacks::of(&covers, self.node.view(), self.node.address())
                }),
                found: self.item(source),
            })),
            6 => Peer::Refuse {
                node: source.address(),
                is_joining: source.flag(),
                reason: source.pick(&["", "no", "its clock is wrong : 5"]).into(),
            },
            _ => Peer::Sync(self.sync(source)),
        }
    }

    fn greeting(&self, source: &mut Source<'_>) -> Greeting {
        let view = self.view(source);
        let roles = [Role::Member, Role::Member, Role::Newcomer, Role::Visitor];
        Greeting {
            node: source.address(),
            role: source.pick(&roles),
            protocol: if source.byte() == 0 { 1 } else { PROTOCOL },
            ring: if source.byte() == 0 { "other".into() } else { RING.into() },
            clock_ms: self.clock_ms(source),
            knew: source.pick(&[0, 0, STARTED_MS, STARTED_MS + 1, INCARNATION_MAX]),
            covers: covers(source, &view),
            view,
        }
    }

    fn clock_ms(&self, source: &mut Source<'_>) -> u64 {
        let wall_ms = STARTED_MS + self.now.0 / 1000;
        source.pick(&[wall_ms, wall_ms + 100_000, wall_ms - 31_000, 0, CLOCK_MS_MAX])
    }

    fn report(&self, source: &mut Source<'_>) -> Report {
        Report {
            clock_ms: self.clock_ms(source),
            ready: source.flag(),
            full: source.flag(),
            files: source.number() as usize,
            bytes: source.number() as usize,
            leaving: source.flag(),
        }
    }

    fn sync(&self, source: &mut Source<'_>) -> Sync {
        let (bucket, name) = (source.byte(), source.name());
        match source.byte() % 6 {
            0 => Sync::Buckets,
            1 => Sync::Digests { digests: vec![Digest(source.number().into()); BUCKETS] },
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
            let since_ms = source.pick(&[0, STARTED_MS, u64::MAX]);
            let cause = source.pick(&Cause::WORDS).0;
            let state = source.pick(&[
                State::Alive,
                State::Alive,
                State::Gone { since_ms, cause },
                State::Left { since_ms },
            ]);
            let position = source.pick(&[0, 1, 2, 1 << 127, u128::MAX]);
            let incarnation = source.pick(&[0, 1, STARTED_MS, STARTED_MS + 1, u64::MAX]);
            let [brings, from, lost] = [(); 3].map(|()| {
                source.pick(&[0, 0, 1, STARTED_MS, STARTED_MS + 1, INCARNATION_MAX, u64::MAX])
            });
            let within = self.circle(source);
            let member = Member { incarnation, state, position, brings, from, within, lost };
            view.set(address, member);
        }
        if view.members().len() > MEMBERS_MAX {
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

/// Of some members what they bring, or another number.
fn covers(source: &mut Source<'_>, view: &View) -> Covers {
    let mut covers = Covers::default();
    for (member, entry) in view.members() {
        let number = source.pick(&[0, entry.brings, entry.brings, 1, STARTED_MS, u64::MAX]);
        covers.add(member, number);
    }
    covers
}

fn request(source: &mut Source<'_>) -> Request {
    match source.byte() % 9 {
        0..=2 => {
            let content = vec![b'x'; source.pick(&[0, 1, 100, FILE_BYTES_MAX])].into();
            Request::Put { name: source.name(), content }
        }
        3 | 4 => Request::Get { name: source.name() },
        5 => Request::List { prefix: String::new(), after: "a".into(), limit: 1 },
        6 => Request::Ring,
        7 => Request::Forget { address: source.address() },
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
