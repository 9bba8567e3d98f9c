//! Random messages and requests: such as another node or a client might send, or would not.

use std::{collections::BTreeMap, net::SocketAddr};

use smolring::ring::{
    coverage::{Covers, Lacks},
    index::{BUCKETS, Digest},
    limits::{INCARNATION_MAX, MEMBERS_MAX, PROTOCOL},
    message::{
        Carried, Check, Condition, Envelope, Failed, FileRow, ForwardGet, ForwardPut, Greeting,
        Item, Keep, Offer, OpId, Peer, Report, Request, Role, Status, Sync,
    },
    name::Name,
    version::{Stamp, Version},
    view::{Cause, Member, MemberState, View, ViewHash},
};

use super::{
    FILE_BYTES_MAX,
    node::{Fuzz, RING},
};
use crate::world::{EPOCH_MS as STARTED_MS, World};

/// The latest time that a peer's clock shows here.
const CLOCK_MS_MAX: u64 = 1 << 62;

impl World<Fuzz> {
    /// A message that another node might send, or would not.
    pub fn envelope(&self, source: &mut Source<'_>) -> Envelope {
        let stamp = if source.byte() < 64 { self.version(source).stamp } else { Stamp(0) };
        Envelope { stamp, message: self.peer(source) }
    }

    fn peer(&self, source: &mut Source<'_>) -> Peer {
        let op = OpId { creator: source.address(), count: source.number() };
        match source.byte() % 9 {
            0 | 1 => Peer::Meet(Box::new(self.greeting(source))),
            2 => {
                let (digest, history) = (self.digest(source), self.digest(source));
                let hops = source.number() as usize;
                let view = self.view(source);
                let (covers, held) = (covers(source, &view), covers(source, &view));
                let reports = view.members().filter(|_| source.flag());
                let reports: Vec<_> = reports.map(|(member, _)| member).collect();
                let reports = reports.into_iter().map(|it| (it, self.report(source))).collect();
                let check = Check { op, digest, history, hops, view, covers, held, reports };
                Peer::Check(Box::new(check))
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
                    instead: source.flag().then(|| self.version(source)),
                    newest: source.flag().then(|| self.version(source)),
                    refused: refused.map(|status| (status, source.address())),
                    offer: source.flag().then(|| source.number()),
                    carried: match source.byte() % 4 {
                        0 => Carried::Known,
                        1 => Carried::Tombstone,
                        _ => Carried::Content(source.file(version)),
                    },
                }))
            }
            5 => Peer::ForwardGet(Box::new(ForwardGet {
                op,
                view: self.circle(source),
                name: source.name(),
                hops: source.number() as usize,
                lacks: source.flag().then(|| {
                    let covers = covers(source, self.node().view());
                    Lacks::of(&covers, self.node().view(), self.node().address())
                }),
                wanted: source.flag().then(|| self.version(source)),
                found: self.item(source),
            })),
            6 if source.flag() => Peer::Keep(Box::new(Keep {
                op,
                view: self.circle(source),
                hops: source.number() as usize,
                refused: source.flag().then(|| (Status::Unavailable, source.address())),
                failed: match source.flag() {
                    true => Failed::All,
                    false => Failed::Some([self.version(source).stamp].into()),
                },
                pending: match source.flag() {
                    true => Failed::All,
                    false => Failed::Some([self.version(source).stamp].into()),
                },
                waits: Vec::new(),
            })),
            7 if source.flag() => Peer::Offer(Box::new(Offer {
                op,
                view: self.circle(source),
                name: source.name(),
                bytes: source.number() as usize,
                at: source.address(),
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
        let wall_ms = STARTED_MS + self.time.now / 1000;
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
            digest: None,
            started_ms: None,
            round_trip_us: None,
            release: None,
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
                    .map(|_| {
                        let bytes = source.flag().then(|| source.number() as usize);
                        ((source.name(), self.version(source)), bytes)
                    })
                    .collect();
                let row = |((name, version), bytes)| FileRow { name, version, bytes, hash: None };
                let files = files.into_iter().map(row).collect();
                Sync::Listed { bucket, more: source.flag(), files }
            }
            4 => Sync::Pull { name, version: self.version(source) },
            _ => Sync::Item { name, item: self.item(source) },
        }
    }

    /// The node's own view with some entries changed, or a strange one.
    fn view(&self, source: &mut Source<'_>) -> View {
        let mut view = if source.flag() { self.node().view().clone() } else { View::default() };
        let news = if source.byte() == 0 { MEMBERS_MAX as u8 } else { source.byte() % 4 };
        for i in 0..news {
            let address = if news > 4 { address(i) } else { source.address() };
            let since_ms = source.pick(&[0, STARTED_MS, u64::MAX]);
            let cause = source.pick(&Cause::WORDS).0;
            let state = source.pick(&[
                MemberState::Alive,
                MemberState::Alive,
                MemberState::Gone { since_ms, cause },
                MemberState::Left { since_ms },
            ]);
            let position = source.pick(&[0, 1, 2, 1 << 127, u128::MAX]);
            let incarnation = source.pick(&[0, 1, STARTED_MS, STARTED_MS + 1, u64::MAX]);
            let [brings, from, lost] = [(); 3].map(|()| {
                source.pick(&[0, 0, 1, STARTED_MS, STARTED_MS + 1, INCARNATION_MAX, u64::MAX])
            });
            let within = self.circle(source);
            let member = {
                let keeps = source.flag();
                Member { incarnation, state, position, brings, from, within, lost, keeps }
            };
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
        if source.byte() >= 64 { self.node().view().circle_hash() } else { ViewHash(0) }
    }

    fn digest(&self, source: &mut Source<'_>) -> Digest {
        if source.flag() { self.node().index().digest() } else { Digest(source.number().into()) }
    }

    fn version(&self, source: &mut Source<'_>) -> Version {
        let held = self.node().index().list("", "").next().map(|(_, held)| held.version);
        let wall_ms = STARTED_MS + self.time.now / 1000;
        let stamps = [Stamp(0), Stamp::at_ms(wall_ms), Stamp::at_ms(wall_ms + 60_000)];
        let stamp = source.pick(&[stamps[0], stamps[1], stamps[2], Stamp(u64::MAX)]);
        let any = Version { stamp, node: source.address() };
        if source.flag() { held.unwrap_or(any) } else { any }
    }
}

/// For some members what they bring, or another number.
fn covers(source: &mut Source<'_>, view: &View) -> Covers {
    let mut covers = Covers::default();
    for (member, entry) in view.members() {
        let number = source.pick(&[0, entry.brings, entry.brings, 1, STARTED_MS, u64::MAX]);
        covers.add(member, number);
    }
    covers
}

pub fn request(source: &mut Source<'_>) -> Request {
    match source.byte() % 12 {
        0..=2 => {
            let content = vec![b'x'; source.pick(&[0, 1, 100, FILE_BYTES_MAX])].into();
            Request::Put { name: source.name(), content, only_if: condition(source) }
        }
        3 | 4 => {
            let version = source.flag().then_some(Version { stamp: Stamp(5), node: address(1) });
            Request::Get { name: source.name(), version }
        }
        8 | 9 => Request::Delete { name: source.name(), only_if: condition(source) },
        11 => Request::Trace { version: None },
        10 => Request::Log { name: source.name() },
        5 => Request::List { prefix: String::new(), after: "a".into(), limit: 1, hashes: false },
        6 => Request::Ring,
        7 => Request::Forget { address: source.address() },
        _ => Request::Info,
    }
}

fn condition(source: &mut Source<'_>) -> Option<Condition> {
    let version = Version { stamp: Stamp(5), node: address(1) };
    source.pick(&[None, None, Some(Condition::Absent), Some(Condition::Newest(version))])
}

pub fn address(i: u8) -> SocketAddr {
    ([127, 0, 1, i], 4043).into()
}

/// Random bytes, made into parts of messages. Once they are used up it gives zeros.
pub struct Source<'a>(pub &'a [u8]);

impl Source<'_> {
    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
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
        match self.flag() {
            true => self.file(version),
            false => Item::tombstone(version),
        }
    }

    fn file(&mut self, version: Version) -> Item {
        let item = Item::file(version, vec![b'y'; self.pick(&[0, 1, 100, 500])].into());
        if self.byte().is_multiple_of(4) { item.apart(self.address()) } else { item }
    }
}
