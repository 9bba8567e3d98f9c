//! Rings of real drivers over the network in memory, with clients that put and get, take their
//! answers late or not at all, and stop in the middle of a file.
//!
//! `SMOLRING_FIRST=n SMOLRING_SEEDS=1 cargo test --lib rings_of_drivers` repeats one run.

use std::{
    env,
    future::Future,
    io::{Read, Write},
    pin::Pin,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use super::network::{End, Network};
use crate::net::{
    clock::{self, scripted},
    driver::Driver,
    limits::STALL,
    stream::Stream,
};
use crate::ring::{
    Config, Input, Node,
    index::Index,
    limits::{FORGET_AFTER, GIVE_UP_AFTER, KEEP_VERSIONS, TOMBSTONE_TTL},
};

const HOSTS: usize = 3;
const NAMES: usize = 4;
const FILE_BYTES_MAX: usize = 256 << 10;
/// So little that clients have to wait for each other.
const FLIGHT_BYTES_MAX: usize = 1 << 20;
const STEP_MAX_US: usize = 8000;
const TROUBLE: Duration = Duration::from_secs(15);
/// How long a ring may take to be whole, and a client to be answered, after the last fault.
const CALM_MAX: Duration = Duration::from_secs(60);
const SEEDS: u64 = 24;

/// A client with one connection, which is the only one that writes its name.
struct Client {
    name: usize,
    connection: Option<(usize, End)>,
    /// What is still to be sent, and what of the answer is here.
    to_send: Vec<u8>,
    received: Vec<u8>,
    wish: Option<Wish>,
    /// It does nothing before.
    rests_until: Instant,
    /// The number of its last write, and of the last that was acknowledged.
    written: u64,
    acknowledged: u64,
}

#[derive(Clone, Copy)]
enum Wish {
    Put,
    /// Of this name, of which this write was acknowledged before.
    Get {
        name: usize,
        floor: u64,
    },
}

struct Scene {
    network: Rc<Network>,
    /// What keeps the time of each host. Dropped, they end.
    clockworks: Vec<[smol::Task<()>; 2]>,
    clients: Vec<Client>,
    /// Nodes lose each other though they live: then each half of the ring answers what it has.
    splits: bool,
    is_calm: bool,
    answered: usize,
    seed: u64,
}

fn content(name: usize, number: u64, bytes: usize) -> Vec<u8> {
    let line = format!("{name} {number} {bytes}\n");
    line.bytes().cycle().take(bytes.max(line.len())).collect()
}

/// Which write of this name it is.
fn number_of(name: usize, body: &[u8]) -> u64 {
    let line = String::from_utf8_lossy(body.split(|byte| *byte == b'\n').next().unwrap_or(body));
    let words: Vec<u64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
    let [of, number, bytes] = words[..] else { panic!("{line}") };
    assert_eq!(of, name as u64, "the content of another name");
    assert_eq!(body, content(name, number, bytes as usize), "it is whole");
    number
}

impl Scene {
    fn new(seed: u64) -> Self {
        scripted::begin();
        let network = Network::new(HOSTS, seed);
        let client = |name| Client {
            name,
            connection: None,
            to_send: Vec::new(),
            received: Vec::new(),
            wish: None,
            rests_until: clock::now(),
            written: 0,
            acknowledged: 0,
        };
        let clients = (0..NAMES).map(client).collect();
        let splits = seed % 2 == 1;
        let (clockworks, is_calm, answered) = (Vec::new(), false, 0);
        let mut scene = Self { network, clockworks, clients, splits, is_calm, answered, seed };
        (0..HOSTS).for_each(|host| scene.start(host));
        scene
    }

    fn start(&mut self, host: usize) {
        let others = (0..HOSTS).filter(|other| *other != host);
        let is_first = self.network.hosts.borrow().iter().all(Option::is_none);
        let config = Config {
            address: Network::address(host),
            prevs: others.map(|it| Network::address(it).to_string()).collect(),
            ring: "scripted".into(),
            bootstrap: is_first,
            check_interval: Duration::from_millis(500),
            check_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            forget_after: FORGET_AFTER,
            give_up_after: GIVE_UP_AFTER,
            min_copies: 1,
            max_file_bytes: FILE_BYTES_MAX,
            apart_bytes: usize::MAX,
            offer_bytes: usize::MAX,
            tombstone_ttl: TOMBSTONE_TTL,
            keeps: false,
            last_seen: None,
            seed: self.seed,
            started_ms: clock::wall_ms(),
            release: None,
        };
        let config = if is_first { Config { prevs: Vec::new(), ..config } } else { config };
        let node = Node::new(config, Index::new(64 << 20, KEEP_VERSIONS));
        let (opener, on_event) = (self.network.opener(host), Box::new(|_: &_| {}));
        let driver =
            Driver::new(node, FILE_BYTES_MAX, FLIGHT_BYTES_MAX, 16, opener, None, on_event);
        let spawn = |task: Pin<Box<dyn Future<Output = ()>>>| driver.executor.spawn(task);
        let clockwork =
            [spawn(Box::pin(driver.clone().keep_time())), spawn(Box::pin(driver.clone().sweep()))];
        match self.clockworks.get_mut(host) {
            Some(old) => *old = clockwork,
            None => self.clockworks.push(clockwork),
        }
        driver.drive(Input::Wake);
        self.network.hosts.borrow_mut()[host] = Some(driver);
    }

    fn live(&self) -> Vec<Rc<Driver>> {
        self.network.hosts.borrow().iter().flatten().cloned().collect()
    }

    /// Lets every task do what it can.
    fn settle(&self) {
        while self.live().iter().any(|driver| driver.executor.try_tick()) {}
    }

    /// Whether all nodes are members of one ring, are ready and hold the same files.
    fn is_whole(&self) -> bool {
        let live = self.live();
        let state = |driver: &Rc<Driver>| {
            driver.see(|node| (node.is_ready(), node.view().circle(), node.index().digest()))
        };
        let first = state(&live[0]);
        live.len() == HOSTS
            && first.0
            && first.1.len() == HOSTS
            && live.iter().all(|driver| state(driver) == first)
    }

    fn step(&mut self) {
        self.settle();
        self.network.deliver();
        self.settle();
        for n in 0..self.clients.len() {
            self.act(n);
        }
        scripted::advance(Duration::from_micros(1 + self.network.below(STEP_MAX_US) as u64));
    }

    /// Something goes wrong.
    fn disturb(&mut self) {
        let network = self.network.clone();
        let victim = network.below(HOSTS);
        if self.splits && network.once_in(100) && !network.is_any_frozen() {
            let time = Duration::from_millis(network.below(1500) as u64);
            network.freeze(victim, (victim + 1) % HOSTS, time);
        }
        if self.splits && network.once_in(100) {
            network.break_one();
        }
        let down = network.hosts.borrow().iter().position(Option::is_none);
        match down {
            Some(down) if network.once_in(200) => self.start(down),
            // What only it has would be lost.
            None if network.once_in(200) && self.is_whole() => network.kill(victim),
            _ => {}
        }
    }

    fn act(&mut self, n: usize) {
        let network = self.network.clone();
        let floors: Vec<u64> = self.clients.iter().map(|it| it.acknowledged).collect();
        let client = &mut self.clients[n];
        if clock::now() < client.rests_until {
            return;
        }
        if client.connection.is_none() {
            let host = network.below(HOSTS);
            client.connection = network.connect(None, host).ok().map(|end| (host, end));
            (client.to_send, client.received, client.wish) = Default::default();
        }
        if client.wish.is_none() {
            client.ask(&network, &floors, self.is_calm);
        }
        let Some((_, end)) = &client.connection else { return };
        let mut is_alive = true;
        while is_alive && !client.to_send.is_empty() {
            match end.io().write(&client.to_send) {
                Ok(sent) => drop(client.to_send.drain(..sent)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => is_alive = false,
            }
        }
        // Sometimes it stops in the middle of sending, or takes nothing for long.
        if !self.is_calm && network.once_in(400) {
            let time = STALL.as_millis() as usize + 4000;
            client.rests_until = clock::now() + Duration::from_millis(network.below(time) as u64);
            return;
        }
        let mut buffer = [0; 4096];
        let most = 1 + network.below(buffer.len());
        match end.io().read(&mut buffer[..most]) {
            Ok(0) => is_alive = false,
            Ok(read) => client.received.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => is_alive = false,
        }
        let is_answered = client.take_answer(self.splits, self.seed);
        self.answered += usize::from(is_answered);
        if !is_alive {
            client.connection = None;
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for host in 0..HOSTS {
            if !thread::panicking() && self.network.hosts.borrow()[host].is_some() {
                self.network.kill(host);
            }
        }
    }
}

impl Client {
    fn ask(&mut self, network: &Network, floors: &[u64], is_calm: bool) {
        if network.once_in(2) && !is_calm {
            self.written += 1;
            let bytes = match network.once_in(4) {
                true => network.below(FILE_BYTES_MAX),
                false => network.below(2000),
            };
            let content = content(self.name, self.written, bytes);
            self.to_send = format!("PUT {} len={}\n", self.name, content.len()).into_bytes();
            self.to_send.extend(content);
            self.wish = Some(Wish::Put);
        } else {
            let name = network.below(NAMES);
            self.to_send = format!("GET {name}\n").into_bytes();
            self.wish = Some(Wish::Get { name, floor: floors[name] });
        }
    }

    /// Looks whether the answer is whole, and whether it is right.
    fn take_answer(&mut self, splits: bool, seed: u64) -> bool {
        let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else { return false };
        let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
        let bytes = line.split(' ').find_map(|word| word.strip_prefix("len="));
        let bytes: usize = bytes.map_or(0, |it| it.parse().expect("a number"));
        if self.received.len() < end + 1 + bytes {
            return false;
        }
        let body: Vec<u8> = self.received.drain(..=end + bytes).skip(end + 1).collect();
        let status = &line[..3];
        match self.wish.take() {
            // A refusal may come before all of the file is sent; then the connection is closed.
            _ if status == "408" => {}
            Some(Wish::Put) if status == "200" => self.acknowledged = self.written,
            Some(Wish::Get { name, floor }) if status == "200" => {
                let number = number_of(name, &body);
                assert!(splits || number >= floor, "seed {seed}: {number} of {name}, not {floor}");
            }
            Some(Wish::Get { floor, .. }) if status == "404" => {
                assert!(splits || floor == 0, "seed {seed}: {line}");
            }
            wish => {
                assert!(wish.is_some(), "seed {seed}: {line} was not asked for");
                assert!(["503", "504", "507"].contains(&status), "seed {seed}: {line}");
            }
        }
        true
    }
}

/// What must hold when all has been calm for a while.
fn check_calm(scene: &mut Scene) {
    let seed = scene.seed;
    scene.is_calm = true;
    let down = scene.network.hosts.borrow().iter().position(Option::is_none);
    down.into_iter().for_each(|down| scene.start(down));
    let end = clock::now() + CALM_MAX;
    let is_idle = |scene: &Scene| {
        scene.clients.iter().all(|it| !matches!(it.wish, Some(Wish::Put)))
            && !scene.network.is_any_frozen()
    };
    while !(is_idle(scene) && scene.is_whole()) {
        assert!(clock::now() < end, "seed {seed}: the ring is not whole again");
        scene.step();
    }
    // Every client is served, and every node has what was acknowledged.
    let answered = scene.answered;
    while scene.answered < answered + 10 * NAMES {
        assert!(clock::now() < end, "seed {seed}: clients are not answered");
        scene.step();
    }
    for driver in scene.live() {
        for client in scene.clients.iter().filter(|it| it.acknowledged > 0) {
            let held = driver.read(&client.name.to_string()).expect("it was acknowledged");
            let number = number_of(client.name, &held);
            let least = client.acknowledged;
            assert!(number >= least, "seed {seed}: {number} of {}, not {least}", client.name);
        }
    }
    // When all clients have gone, nothing of them is left.
    scene.clients.clear();
    let end = clock::now() + CALM_MAX;
    while scene.live().iter().any(|driver| !driver.flight.is_empty() || driver.connections() > 6) {
        assert!(clock::now() < end, "seed {seed}: something stays in flight");
        scene.step();
    }
}

#[test]
fn rings_of_drivers_survive_stalls_half_messages_and_breaks() {
    let variable = |name| env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let first = variable("SMOLRING_FIRST").unwrap_or(0);
    let (mut answered, mut acknowledged) = (0, 0);
    for seed in first..first + variable("SMOLRING_SEEDS").unwrap_or(SEEDS) {
        let mut scene = Scene::new(seed);
        let end = clock::now() + TROUBLE;
        while clock::now() < end {
            scene.step();
            scene.disturb();
        }
        acknowledged += scene.clients.iter().map(|it| it.acknowledged).sum::<u64>();
        check_calm(&mut scene);
        answered += scene.answered;
    }
    println!("{answered} answers; {acknowledged} as the numbers of the last acknowledged writes");
    assert!(answered > 1000 && acknowledged > 100, "{answered}, {acknowledged}");
}
