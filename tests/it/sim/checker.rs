//! What must hold: during faults at every step, and in calm for the ring as a whole.
//!
//! The checker sees what clients see, and looks into tables and views besides. It allows no
//! exceptions but those that are stated here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

use smolring::ring::{
    Event, RequestId,
    index::Digest,
    message::{Answer, OpId, Status},
    name::Name,
    version::Version,
};

use super::{
    clients::{self, Wish},
    faults::Fault,
    plan::Plan,
};
use crate::world::{Host, Micros, ms};

mod steps;

/// Links that one node may have at any time: far more than any run needs at once.
const LINKS_MAX: usize = 48;
/// Bytes that may wait in one link.
const LINK_BYTES_MAX: usize = 16 << 20;

/// How much longer than other requests a LIST may take where faults are few.
const LIST_PATIENCE: Micros = ms(400);

/// Acknowledgements that are remembered, of each name.
const ACKS_KEPT: usize = 20;
/// This long after the ring has healed, what was under way before must have come through.
const HEALED_FOR_MIN: Micros = ms(1000);

/// A request that has no answer yet.
struct Pending {
    host: usize,
    life: u32,
    client: Option<usize>,
    wish: Wish,
    asked_at: Micros,
    /// When the node was given it.
    begun_at: Option<Micros>,
    /// The versions that this host promised to have when the request was sent.
    floors: BTreeMap<Name, Version>,
    /// The versions that others in its ring promised to have then.
    known: Vec<Ack>,
    /// The hash of its circle then.
    circle: Option<u64>,
    /// There is one ring only.
    never_splits: bool,
}

impl Pending {
    /// A host that has promised a version, still runs, and agrees with the host that was asked
    /// about their ring, both then and now.
    fn witness(&self, ack: &Ack, hosts: &[Host]) -> Option<usize> {
        // A node that leaves takes no part in what others begin.
        let is_one_ring = self.never_splits && is_staying(hosts, self.host, self.life);
        let agrees =
            |host| is_one_ring || (self.circle.is_some() && circle_of(hosts, host) == self.circle);
        let witness = |&&(host, life): &&(usize, u32)| {
            is_staying(hosts, host, life) && agrees(host) && agrees(self.host)
        };
        ack.holders.iter().find(witness).map(|&(host, _)| host)
    }
}

/// What a host held when it was last inspected.
#[derive(Default)]
struct Seen {
    life: u32,
    digest: Digest,
    versions: BTreeMap<Name, Version>,
}

/// How often a FORWARD was sent by its creator, and handled by each host.
#[derive(Default)]
struct Travel {
    sent: usize,
    handled: BTreeMap<usize, usize>,
}

/// An acknowledged PUT, and the lives of hosts that held it then.
struct Ack {
    version: Version,
    holders: Vec<(usize, u32)>,
}

pub struct Checker {
    never_splits: bool,
    pub has_small_store: bool,
    patience: Option<Micros>,
    faults_come_in_pairs: bool,
    min_copies: usize,
    pub acknowledged: usize,
    /// Requests that were answered 504.
    pub given_up: usize,
    /// Times that a node went on without what was out of reach.
    pub gave_up: usize,
    /// Times that a node has reported a new list of members.
    pub lists: usize,
    /// Messages that nodes have received.
    pub messages: u64,
    /// Requests that are asked in calm, at the end.
    pub last_requests: Vec<RequestId>,
    pub(super) last_answers: BTreeMap<RequestId, Answer>,
    /// Since when there is one ring again, once there is calm.
    pub healed_at: Option<Micros>,
    asked: u64,
    puts: u64,
    pending: BTreeMap<RequestId, Pending>,
    /// The name of each PUT, and the PUT of each version. A PUT may have several: its creator raises
    /// the version above what others hold.
    pub(super) put_names: BTreeMap<u64, Name>,
    pub(super) put_versions: BTreeMap<(Name, Version), u64>,
    /// Versions that say that their name was deleted.
    pub(super) tombstones: BTreeSet<(Name, Version)>,
    /// PUTs whose contents do not have their numbers.
    contents: BTreeMap<Vec<u8>, u64>,
    pub tombstone_ttl: Micros,
    /// Parts of the ring are apart for so long that one may bring back what the other has deleted.
    pub forgets_while_apart: bool,
    /// Which hosts keep files on a disk, a bit each.
    pub keepers: u64,
    /// Whether a clock may jump so far back that stamps are given out again.
    may_repeat: bool,
    pub(super) acked: BTreeSet<u64>,
    /// Stores do not confirm at once.
    pub is_store_slow: bool,
    /// The circles that PUTs have closed while the creator's store may not yet have confirmed.
    closed: BTreeMap<(usize, u32, Name, Version), Vec<SocketAddr>>,
    /// The host that was asked, and its life.
    put_lives: BTreeMap<u64, (usize, u32)>,
    /// For each host, the acknowledged version of each name that a read there must reach.
    pub(super) floors: Vec<BTreeMap<Name, Version>>,
    /// The last PUTs of each name that were acknowledged.
    acks: BTreeMap<Name, VecDeque<Ack>>,
    seen: Vec<Seen>,
    travels: BTreeMap<(OpId, u64), Travel>,
    /// Messages received since the silence began, by kind.
    pub(super) heard_in_silence: BTreeMap<&'static str, usize>,
    pub(super) silences: usize,
}

impl Checker {
    pub fn new(plan: &Plan) -> Self {
        let hosts = plan.hosts;
        Self {
            never_splits: plan.never_splits,
            has_small_store: plan.small_store.is_some() || plan.faults.contains(&Fault::Disk),
            patience: plan.patience,
            faults_come_in_pairs: plan.faults_come_in_pairs,
            min_copies: plan.min_copies,
            acknowledged: 0,
            given_up: 0,
            gave_up: 0,
            lists: 0,
            messages: 0,
            last_requests: Vec::new(),
            last_answers: BTreeMap::new(),
            healed_at: None,
            asked: 0,
            puts: 0,
            pending: BTreeMap::new(),
            put_names: BTreeMap::new(),
            put_versions: BTreeMap::new(),
            tombstones: BTreeSet::new(),
            tombstone_ttl: plan.tombstone_ttl,
            forgets_while_apart: false,
            keepers: plan.keepers,
            contents: BTreeMap::new(),
            may_repeat: plan.faults.contains(&Fault::ClockJump),
            acked: BTreeSet::new(),
            is_store_slow: plan.store_delay > 0,
            closed: BTreeMap::new(),
            put_lives: BTreeMap::new(),
            floors: vec![BTreeMap::new(); hosts],
            acks: BTreeMap::new(),
            seen: (0..hosts).map(|_| Seen::default()).collect(),
            travels: BTreeMap::new(),
            heard_in_silence: BTreeMap::new(),
            silences: 0,
        }
    }

    // ---- requests

    /// Numbers a PUT.
    pub fn next_put(&mut self, name: &Name) -> u64 {
        self.puts += 1;
        self.put_names.insert(self.puts, name.clone());
        self.puts
    }

    /// Numbers a PUT whose content does not have its number: one number for all PUTs of that
    /// content.
    pub fn put_of_content(&mut self, name: &Name, content: &[u8]) -> u64 {
        if let Some(&put) = self.contents.get(content) {
            return put;
        }
        let put = self.next_put(name);
        self.contents.insert(content.to_vec(), put);
        put
    }

    /// The PUT that this content came with.
    pub fn put_of(&self, content: &[u8]) -> Option<u64> {
        clients::put_of(content).or_else(|| self.contents.get(content).copied())
    }

    /// A request is sent. What its answer must reach is decided now.
    pub fn asked(
        &mut self,
        now: Micros,
        hosts: &[Host],
        host: usize,
        client: Option<usize>,
        wish: Wish,
    ) -> RequestId {
        self.asked += 1;
        let (id, life, asked_at) = (RequestId(self.asked), hosts[host].life, now);
        let floors = self.floors[host].clone();
        if let Wish::Put { put, .. } = wish {
            self.put_lives.insert(put, (host, life));
        }
        let known = match &wish {
            Wish::Get { name } | Wish::Put { name, .. } | Wish::Delete { name } => {
                self.known(&hosts[host], name, hosts)
            }
            _ => Vec::new(),
        };
        let circle = circle_of(hosts, host);
        let begun_at = None;
        let never_splits = self.never_splits;
        let pending = Pending {
            host,
            life,
            client,
            wish,
            asked_at,
            begun_at,
            floors,
            known,
            circle,
            never_splits,
        };
        self.pending.insert(id, pending);
        id
    }

    /// Versions of a name that were acknowledged, each with the hosts that hold it and agree with this
    /// host about the ring.
    fn known(&self, host: &Host, name: &Name, hosts: &[Host]) -> Vec<Ack> {
        let circle = circle_of(hosts, host.index);
        let agrees = |&(other, life): &(usize, u32)| {
            let is_mate = circle.is_some() && circle_of(hosts, other) == circle;
            is_staying(hosts, other, life) && (self.never_splits || is_mate)
        };
        let acks = self.acks.get(name).into_iter().flatten();
        let known = acks.map(|ack| Ack {
            version: ack.version,
            holders: ack.holders.iter().copied().filter(agrees).collect(),
        });
        known.filter(|ack| !ack.holders.is_empty()).collect()
    }

    pub fn request_begins(&mut self, id: RequestId, now: Micros) {
        self.pending.get_mut(&id).expect("it was asked").begun_at = Some(now);
    }

    pub fn request_lost(&mut self, id: RequestId) -> Option<usize> {
        self.pending.remove(&id)?.client
    }

    /// A life is over; its clients stop waiting.
    pub fn host_lost(&mut self, host: usize, life: u32) -> Vec<usize> {
        let lost: Vec<_> = (self.pending.iter())
            .filter(|(_, it)| (it.host, it.life) == (host, life))
            .map(|(&id, _)| id)
            .collect();
        lost.into_iter().filter_map(|id| self.request_lost(id)).collect()
    }

    /// A node that ends gracefully has answered everything that it was asked.
    pub fn check_all_answered(&self, host: usize, life: u32) {
        let open = self.pending.values().find(|it| (it.host, it.life) == (host, life));
        if let Some(Pending { wish, begun_at: Some(_), .. }) = open {
            panic!("n{host} has left without an answer to {wish:?}");
        }
    }

    pub fn is_anybody_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn check_everybody_answered(&self) {
        if let Some(it) = self.pending.values().next() {
            panic!("n{} has not answered {:?} in time", it.host, it.wish);
        }
    }

    /// Checks an answer. Returns the client that waited for it.
    pub fn answered(
        &mut self,
        now: Micros,
        host: usize,
        id: RequestId,
        answer: &Answer,
        hosts: &[Host],
    ) -> Option<usize> {
        let pending = self.pending.remove(&id);
        let pending = pending.unwrap_or_else(|| panic!("n{host} has answered {} twice", id.0));
        assert_eq!(pending.host, host, "another node answers");
        let taken = pending.begun_at.map_or(0, |at| now - at);
        // A PUT waits for enough members to come back.
        let is_write = matches!(pending.wish, Wish::Put { .. } | Wish::Delete { .. });
        let may_wait = is_write && self.min_copies > 1;
        // A LIST waits until its node is ready, for a while; so does a GET at a node that is alone.
        let is_unready = matches!(answer, Answer::Refused(it) if it.status == Status::Unavailable);
        let waits = matches!(pending.wish, Wish::List | Wish::Log { .. })
            || (matches!(pending.wish, Wish::Get { .. }) && is_unready);
        let more = if self.faults_come_in_pairs { ms(3000) } else { LIST_PATIENCE };
        let patience = self.patience.map(|it| if waits { it + more } else { it });
        if let Some(patience) = patience.filter(|_| !may_wait) {
            assert!(taken <= patience, "n{host} took {} ms for {:?}", taken / 1000, pending.wish);
        }
        if self.last_requests.contains(&id) {
            self.last_answers.insert(id, answer.clone());
        }
        match (&pending.wish, answer) {
            (_, Answer::Refused(it)) if it.status == Status::Unavailable => {}
            (_, Answer::Refused(it))
                if it.status == Status::InsufficientStorage && is_write && self.has_small_store => {
            }
            (wish, Answer::Refused(it)) if it.status == Status::Timeout => {
                self.given_up += 1;
                let is_healed = self.healed_at.is_some_and(|at| now >= at + HEALED_FOR_MIN);
                let live = hosts.iter().filter(|host| host.is_up()).count();
                let has_excuse = is_write && live < self.min_copies;
                assert!(
                    !is_healed || has_excuse,
                    "n{host} gives up {wish:?} though the ring has long healed"
                );
            }
            (Wish::Put { name, put }, Answer::Stored { version, copies }) => {
                self.learn(*put, name, *version);
                self.acked.insert(*put);
                check_later(&pending, *version, hosts);
                self.stored(&pending, name, *version, *copies, hosts);
            }
            (Wish::Delete { name }, Answer::Stored { version, copies }) => {
                self.tombstones.insert((name.clone(), *version));
                check_later(&pending, *version, hosts);
                self.stored(&pending, name, *version, *copies, hosts);
            }
            (Wish::Get { name }, Answer::Found(item)) => {
                self.check_known(&pending, Some(item.version), hosts);
                let content = item.body().map(|body| self.put_of(body.content()));
                let put = content.expect("a tombstone is not found");
                let put = put.unwrap_or_else(|| panic!("n{host} returns what nobody has put"));
                self.learn(put, name, item.version);
                self.check_floor(&pending, name, Some(item.version));
            }
            (Wish::Get { name } | Wish::Delete { name }, Answer::Refused(it))
                if it.status == Status::NotFound =>
            {
                self.check_known(&pending, None, hosts);
                self.check_floor(&pending, name, None);
            }
            (Wish::Log { name }, Answer::Log { versions }) => {
                assert!(versions.is_sorted_by(|one, two| one.version > two.version));
                let newest = versions.first().filter(|it| it.bytes.is_some());
                self.check_floor(&pending, name, newest.map(|it| it.version));
            }
            (Wish::Log { name }, Answer::Refused(it)) if it.status == Status::NotFound => {
                self.check_floor(&pending, name, None);
            }
            (Wish::GetOld { name }, Answer::Found(item)) => {
                let put = item.body().and_then(|body| self.put_of(body.content()));
                self.learn(put.expect("somebody has put it"), name, item.version);
            }
            (Wish::GetOld { .. }, Answer::Refused(it)) if it.status == Status::NotFound => {}
            (Wish::Put { .. }, Answer::Refused(it)) if it.status == Status::PreconditionFailed => {}
            (Wish::List, Answer::Listing { files, .. }) => {
                for name in pending.floors.keys() {
                    let listed = files.iter().find(|it| it.name == *name);
                    self.check_floor(&pending, name, listed.map(|it| it.version));
                }
            }
            (Wish::Other, Answer::Info(_) | Answer::Ring { .. } | Answer::Pong { .. }) => {}
            (wish, answer) => panic!("n{host} answers {wish:?} with {answer:?}"),
        }
        pending.client
    }

    /// A PUT is acknowledged: every member of the creator's circle must hold it, except those that
    /// have lost what they held since the PUT was sent.
    fn stored(
        &mut self,
        pending: &Pending,
        name: &Name,
        version: Version,
        copies: usize,
        hosts: &[Host],
    ) {
        self.acknowledged += 1;
        let creator = &hosts[pending.host];
        assert_eq!(version.node, creator.address, "{creator} has made another node's version");
        if let Some(&floor) = pending.floors.get(name) {
            assert!(
                version > floor,
                "{creator} puts {name} as {version}, which is not later than {floor}"
            );
        }
        let closed = self.closed.remove(&(creator.index, pending.life, name.clone(), version));
        // It may have waited for a KEEP when that circle changed.
        let closed = closed.filter(|it| it.len() == copies);
        let is_alone = copies == 1 && self.is_store_slow;
        let circle = match closed {
            Some(closed) if closed.len() == copies || !is_alone => closed,
            // Others may have gone since the circle closed, or come while its store was busy.
            _ if is_alone => vec![creator.address],
            _ => members_of(creator),
        };
        assert_eq!(copies, circle.len(), "{creator} counts copies wrong");
        assert!(copies >= self.min_copies, "{creator} acknowledges {copies} copies");
        let mut holders = Vec::new();
        for host in hosts.iter().filter(|host| circle.contains(&host.address)) {
            let held = match self.keepers >> host.index & 1 == 1 {
                // It is on its disk, and not only on its way there.
                true => host.store.newest_confirmed(name),
                false => host.index().get(name).map(|held| held.version),
            };
            if held >= Some(version) {
                let floor = self.floors[host.index].entry(name.clone()).or_insert(version);
                *floor = version.max(*floor);
                holders.push((host.index, host.life));
            } else {
                let has_excuse = host.lost_at.is_some_and(|at| at >= pending.asked_at);
                assert!(
                    has_excuse,
                    "{creator} acknowledges {name} {version}, but {host} has {}",
                    shown(held)
                );
            }
        }
        let acks = self.acks.entry(name.clone()).or_default();
        acks.push_back(Ack { version, holders });
        if acks.len() > ACKS_KEPT {
            acks.pop_front();
        }
    }

    /// Each content belongs to one name, and each version to one content, wherever it turns up.
    fn learn(&mut self, put: u64, name: &Name, version: Version) {
        assert_eq!(self.put_names.get(&put), Some(name), "a content has got a wrong name");
        let known = self.put_versions.insert((name.clone(), version), put).unwrap_or(put);
        // A clock may have gone back between two lives of a node, and all may have lost their
        // memory; or far back, and no node holds what was not acknowledged.
        let life = |put| self.put_lives.get(&put);
        let is_unheard = self.may_repeat && !self.acked.contains(&known);
        let is_same = known == put || life(known) != life(put) || is_unheard;
        assert!(is_same, "{name} {version} is of the PUTs {known} and {put}");
    }

    /// What a host has confirmed it returns, or a later version; nothing, if that is a deletion.
    fn check_floor(&self, pending: &Pending, name: &Name, read: Option<Version>) {
        if let Some(&floor) = pending.floors.get(name) {
            let host = pending.host;
            assert!(
                read >= Some(floor) || self.is_deleted(name, floor, read),
                "n{host} returns {name} {}, but has confirmed {floor}",
                shown(read)
            );
        }
    }

    /// Whether nothing is to be read of a name because this version of it, or a later one, is a
    /// deletion.
    pub(super) fn is_deleted(&self, name: &Name, version: Version, read: Option<Version>) -> bool {
        let mut later = self.tombstones.range((name.clone(), version)..);
        let is_brought_back =
            self.forgets_while_apart && self.tombstones.contains(&(name.clone(), version));
        is_brought_back || (read.is_none() && later.next().is_some_and(|(it, _)| it == name))
    }

    /// What others in the ring promised to have must be found, if they still run.
    fn check_known(&self, pending: &Pending, read: Option<Version>, hosts: &[Host]) {
        let (Wish::Get { name } | Wish::Delete { name }) = &pending.wish else { return };
        for ack in pending.known.iter().filter(|ack| read < Some(ack.version)) {
            if let Some(holder) = pending.witness(ack, hosts)
                && !self.is_deleted(name, ack.version, read)
            {
                let (host, wish, version) = (pending.host, &pending.wish, ack.version);
                let read = shown(read);
                panic!("n{host} answers {wish:?} with {read}, but n{holder} has {version}");
            }
        }
    }

    /// A node reports something to its users.
    pub fn notified(&mut self, note: &Event) {
        match note {
            Event::GaveUp { .. } => self.gave_up += 1,
            Event::List(_) => self.lists += 1,
            _ => {}
        }
    }
}

/// A version, or that there is none.
pub fn shown(version: Option<Version>) -> String {
    version.map_or("nothing".to_owned(), |version| version.to_string())
}

/// The circle of a node that counts itself in.
fn members_of(host: &Host) -> Vec<SocketAddr> {
    let up = host.up().expect("it has taken a step");
    let mut circle = up.node.view().circle();
    if up.leaves_since.is_some() && !circle.contains(&host.address) {
        // It has kept its last file and left the circle in the same step.
        circle.push(host.address);
    }
    circle
}

/// Whether this life of a host goes on. A node that leaves takes what it holds with it.
fn is_staying(hosts: &[Host], host: usize, life: u32) -> bool {
    let up = hosts[host].up().filter(|_| hosts[host].life == life);
    up.is_some_and(|up| up.leaves_since.is_none())
}

/// What others in the ring had acknowledged before a PUT began is earlier, if they still run.
fn check_later(pending: &Pending, version: Version, hosts: &[Host]) {
    for ack in pending.known.iter().filter(|ack| version <= ack.version) {
        if let Some(holder) = pending.witness(ack, hosts) {
            let (host, wish, earlier) = (pending.host, &pending.wish, ack.version);
            panic!("n{host} stores {wish:?} as {version}, but n{holder} has had {earlier}");
        }
    }
}

/// The circle of a host, by its hash, if it takes part in one.
fn circle_of(hosts: &[Host], host: usize) -> Option<u64> {
    let address = hosts[host].address;
    let view = hosts[host].up().map(|up| up.node.view())?;
    view.is_alive(address).then(|| view.circle_hash().0)
}
