//! Hosts, and the driver of each: it owns a node and carries out what the node wants done.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use smolring::ring::{
    Config, Input, LinkId, Node, RequestId,
    limits::FORGET_AFTER,
    message::{Item, Request},
    name::Name,
    table::Table,
    version::{Stamp, Version},
};

use super::{
    clients::content,
    network::{ConnectionId, Segment},
    plan::duration,
    timeline::{Micros, Rng, ms},
    world::{Event, World},
};

/// The wall clock when the simulation begins, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Clocks are apart by up to this much, unless one jumps.
const SKEW_MS_MAX: u64 = 57_000;
/// What most tables take: more than any run puts.
pub const STORE_BYTES_MAX: usize = 1 << 30;

/// A machine. It keeps its address, whatever happens to it.
pub struct Host {
    pub index: usize,
    pub address: SocketAddr,
    /// Counts its lives; 0 before the first.
    pub life: u32,
    pub state: State,
    /// When it last lost what it held.
    pub lost_at: Option<Micros>,
    /// When a life of it ended last without notice.
    pub crashed_at: Option<Micros>,
    /// It is about to crash, in the middle of what it does.
    pub doom: Option<Doom>,
    /// How much its clock is ahead of the simulation's.
    pub skew_ms: u64,
    /// How wrong its clock is beyond that, for a while.
    pub jump_ms: i64,
    /// When it woke last, and how often in that moment.
    pub wakes: (Micros, usize),
}

pub enum State {
    /// It does not run. What it held waits for its next life.
    Down {
        held: Table,
        /// Whether its system still answers that nobody is there.
        is_silent: bool,
    },
    Up(Box<Running>),
}

/// A life of a host.
pub struct Running {
    pub node: Node,
    pub born: Micros,
    pub prev: Option<usize>,
    /// It handles nothing now.
    pub is_paused: bool,
    /// The end of its last pause.
    pub resumed_at: Micros,
    /// When it was asked to leave.
    pub leaves_since: Option<Micros>,
    /// What arrived while it was paused.
    pub inbox: VecDeque<Parcel>,
    /// Its connections, by the names that the node knows.
    pub links: BTreeMap<LinkId, (ConnectionId, usize)>,
    /// When its node is to be woken next.
    pub wake_at: Option<Micros>,
}

/// A crash that is to come.
#[derive(Clone, Copy)]
pub struct Doom {
    /// It carries out so many more of its node's wishes, and the next one not.
    pub outputs: u64,
    pub is_silent: bool,
    /// How long it is down then.
    pub length: Micros,
    /// Whether it comes back with what it held.
    pub keeps: bool,
}

/// What arrives at a host.
pub enum Parcel {
    Segment { connection: ConnectionId, end: usize, segment: Segment },
    Request { id: RequestId, request: Request },
}

impl Host {
    pub fn new(index: usize, rng: &mut Rng) -> Self {
        let held = Table::new(STORE_BYTES_MAX);
        Self {
            index,
            address: SocketAddr::from(([10, 0, 0, index as u8], 4043)),
            life: 0,
            state: State::Down { held, is_silent: false },
            lost_at: None,
            crashed_at: None,
            doom: None,
            skew_ms: skew(rng),
            jump_ms: 0,
            wakes: (0, 0),
        }
    }

    pub fn up(&self) -> Option<&Running> {
        match &self.state {
            State::Up(up) => Some(up),
            State::Down { .. } => None,
        }
    }

    pub fn up_mut(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Up(up) => Some(up),
            State::Down { .. } => None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.up().is_some()
    }

    /// What its clock shows, in milliseconds since 1970.
    pub fn wall_ms(&self, now: Micros) -> u64 {
        (EPOCH_MS + now / ms(1) + self.skew_ms).saturating_add_signed(self.jump_ms)
    }

    /// What it holds, running or not.
    pub fn table(&self) -> &Table {
        match &self.state {
            State::Up(up) => up.node.table(),
            State::Down { held, .. } => held,
        }
    }
}

/// Most clocks are nearly right.
fn skew(rng: &mut Rng) -> u64 {
    let most = rng.pick(&[0, 100, 4000, SKEW_MS_MAX]);
    rng.range(0, most + 1)
}

impl Running {
    /// Whether an operator would send newcomers here: it is in a ring.
    pub fn has_joined(&self) -> bool {
        self.leaves_since.is_none() && (self.node.is_ready() || self.node.view().circle().len() > 1)
    }
}

impl World {
    // ---- lives

    /// A host begins a life with what it holds, or with nothing.
    pub fn start(&mut self, index: usize, keeps: bool) {
        let State::Down { held, .. } = &self.hosts[index].state else { return };
        let mut table = Table::new(self.plan.store_bytes_max(index));
        for (name, item) in held.list("", "").filter(|_| keeps) {
            table.put(name, item.clone());
        }
        if !keeps {
            self.hosts[index].lost_at = Some(self.time.now);
            self.checker.memory_lost(index);
        }
        if self.hosts[index].life == 0 && index == 0 {
            self.stock(&mut table);
        }
        let prev = self.choose_prev(index);
        if prev.is_none() {
            self.stop_those_who_wait();
        }
        // Whoever is sure that there is no ring need not wait for one.
        let bootstrap =
            prev.is_none() && (self.plan.patience.is_some() || self.time.rng.chance(50));
        let host = &mut self.hosts[index];
        if self.time.rng.chance(30) {
            host.skew_ms = skew(&mut self.time.rng);
        }
        host.life += 1;
        let config = Config {
            address: host.address,
            prevs: prev.iter().map(|&prev| self.hosts[prev].address.to_string()).collect(),
            ring: "sim".into(),
            bootstrap,
            forget_after: FORGET_AFTER,
            give_up_after: duration(self.plan.give_up_after),
            check_interval: duration(self.plan.check_interval),
            check_timeout: duration(self.plan.check_timeout),
            request_timeout: duration(self.plan.request_timeout),
            min_copies: self.plan.min_copies,
            max_file_bytes: self.plan.file_bytes_max,
            seed: self.time.rng.next(),
            started_ms: self.hosts[index].wall_ms(self.time.now),
        };
        let files = table.len();
        self.tell(Some(index), || match prev {
            Some(prev) => format!("starts after n{prev} with {files} files"),
            None => format!("starts a ring with {files} files"),
        });
        self.hosts[index].state = State::Up(Box::new(Running {
            node: Node::new(config, table),
            born: self.time.now,
            prev,
            is_paused: false,
            resumed_at: 0,
            leaves_since: None,
            inbox: VecDeque::new(),
            links: BTreeMap::new(),
            wake_at: None,
        }));
        self.step(index, Input::Wake);
    }

    /// The first host may begin with more files than one synchronisation asks for at once.
    fn stock(&mut self, table: &mut Table) {
        for n in 0..self.plan.stock {
            let name = Name::new(&format!("stock/{n}")).expect("this is a name");
            let put = self.checker.next_put(&name);
            let content = content(put, 20);
            let hash = blake3::hash(&content);
            let stamp = Stamp::at_ms(EPOCH_MS - 2000);
            let version = Version { stamp, node: self.hosts[0].address };
            table.put(&name, Item { version, hash, content: content.into() });
        }
    }

    /// The operator names a live member, if there is one. Some start the first node of a ring as
    /// they always did, without one; then those who knew it must find it.
    fn choose_prev(&mut self, index: usize) -> Option<usize> {
        let address = self.hosts[index].address;
        let knows = |up: &Running| up.has_joined() && up.node.view().get(address).is_some();
        let is_known = self.hosts.iter().any(|host| host.up().is_some_and(knows));
        let is_calm = self.time.now >= self.plan.calm_at;
        if index == 0 && self.plan.first_forgets_prev && is_known && !is_calm {
            return None;
        }
        let joined = |it: &&Host| it.index != index && it.up().is_some_and(Running::has_joined);
        let joined: Vec<_> = self.hosts.iter().filter(joined).map(|it| it.index).collect();
        self.time.rng.pick_any(&joined)
    }

    /// Where a new ring begins, the operator starts those anew who wait for an old one; else there
    /// might be two rings in the end that never heard of each other.
    fn stop_those_who_wait(&mut self) {
        for host in 0..self.hosts.len() {
            let up = self.hosts[host].up();
            if up.is_some_and(|up| up.leaves_since.is_none() && !up.has_joined()) {
                self.crash(host, false);
                self.time.after(ms(10), Event::Start { host, keeps: true });
            }
        }
    }

    /// A life ends without notice. `is_silent`: the machine is off, and nobody says so.
    pub fn crash(&mut self, index: usize, is_silent: bool) {
        let host = &mut self.hosts[index];
        let life = host.life;
        host.crashed_at = Some(self.time.now);
        host.doom = None;
        let empty = State::Down { held: Table::new(0), is_silent };
        let State::Up(up) = std::mem::replace(&mut host.state, empty) else { return };
        let mut held = Table::new(STORE_BYTES_MAX);
        for (name, item) in up.node.table().list("", "") {
            held.put(name, item.clone());
        }
        host.state = State::Down { held, is_silent };
        for (connection, end) in self.network.of(index, life) {
            self.network.abandon(&mut self.time, connection, end, !is_silent);
        }
        self.clients_lost(index, life);
    }

    pub fn pause(&mut self, index: usize, length: Micros) {
        let life = self.hosts[index].life;
        if let Some(up) = self.hosts[index].up_mut().filter(|up| !up.is_paused) {
            up.is_paused = true;
            self.time.after(length, Event::Resume { host: index, life });
        }
    }

    /// Asks a node to leave its ring in order.
    pub fn leave(&mut self, index: usize) {
        let now = self.time.now;
        let Some(up) = self.hosts[index].up_mut().filter(|up| !up.is_paused) else { return };
        if up.leaves_since.is_none() {
            up.leaves_since = Some(now);
            self.tell(Some(index), || "# is asked to leave".to_owned());
            self.step(index, Input::Leave);
        }
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
        self.tell(Some(index), || "goes on".to_owned());
        for parcel in inbox {
            self.post(index, life, parcel);
        }
        self.plan_wake(index);
    }

    /// A host crashes, and will come back.
    pub fn meet_doom(&mut self, index: usize, doom: Doom) {
        self.tell(Some(index), || {
            let how = if doom.is_silent { "loses power" } else { "crashes" };
            let what = if doom.keeps { "" } else { " and forgets" };
            format!("# {how}{what} for {} ms", doom.length / ms(1))
        });
        self.crash(index, doom.is_silent);
        self.time.after(doom.length, Event::Start { host: index, keeps: doom.keeps });
    }
}
