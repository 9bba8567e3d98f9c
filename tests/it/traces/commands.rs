//! The commands of a script, carried out in a world whose network is exact.

use std::{collections::BTreeMap, time::Duration};

use smolring::ring::{
    Config, Input, StoreFault,
    codec::Decoder,
    limits::FORGET_AFTER,
    message::{Condition, Message, Request},
    name::Name,
    version::{Stamp, Version},
};

use crate::{
    sim::{
        Fault, Plan, Shows, Sim, Wish,
        plan::{SCRIPT_FILE_BYTES_MAX, duration},
        transcript::{Transcript, address_of, letter, letters},
    },
    world::{
        Arrival, Host, KEEP_VERSIONS, Micros, Rng, STORE_BYTES_MAX, Timeline, World, encode, ms,
    },
};

const RING: &str = "smolring";
/// How long a script may take to settle after a fault.
const SETTLING_MAX: Micros = ms(20_000);

/// The world of one script.
pub struct Script {
    pub world: World<Sim>,
    /// The room of the stores for which the script gives it.
    rooms: BTreeMap<usize, usize>,
    /// Hosts that can never be in the ring of the others.
    pub strays: Vec<usize>,
    /// Commands that faults have made impossible are skipped.
    pub is_disturbed: bool,
}

/// How a node is started.
struct Start {
    /// The host whose address it advertises, if that is not its own.
    address: Option<usize>,
    ring: String,
    prevs: Vec<usize>,
}

impl Start {
    /// From words such as `as D of blue after A B`.
    fn of(words: &[&str]) -> Self {
        let mut start = Self { address: None, ring: RING.into(), prevs: Vec::new() };
        match words {
            [] => {}
            ["as", name, rest @ ..] => {
                start = Self { address: Some(host_of(name)), ..Self::of(rest) };
            }
            ["of", ring, rest @ ..] => {
                start = Self { ring: (*ring).to_owned(), ..Self::of(rest) };
            }
            ["after" | "with", prevs @ ..] => start.prevs = hosts_of(prevs),
            _ => panic!("a node does not start {words:?}"),
        }
        start
    }
}

impl Script {
    /// A world with a host for each letter that the commands name.
    pub fn new(commands: &[&str]) -> Self {
        let words = || commands.iter().flat_map(|command| command.split([' ', '(', ')']));
        let letters = words().filter(|word| is_name(word)).map(host_of);
        let hosts = letters.max().map_or(0, |last| last + 1);
        let mut plan = Plan::script(&mut Rng(0), RING, hosts);
        if words().any(|word| word == "clock") {
            plan.faults.push(Fault::ClockJump);
        }
        if words().any(|word| word == "room") {
            plan.small_store = Some((hosts, 0));
        }
        let hosts = (0..hosts).map(|host| Host::new(host, address_of(letter(host)))).collect();
        let world = Sim::world(plan, Timeline::new(0, true), hosts, Shows::Nothing, true);
        Self { world, rooms: BTreeMap::new(), strays: Vec::new(), is_disturbed: false }
    }

    /// Carries out a command, and returns what followed.
    pub fn show(&mut self, command: &str) -> String {
        let now = self.now();
        self.world.scene.transcript.get_or_insert_with(Transcript::default).begin(now);
        let is_settled = self.carry_out(command);
        let shown = self.transcript().expect("it was made above").take(is_settled);
        if is_hidden(command) { String::new() } else { shown }
    }

    /// Carries out a command, and returns whether all that follows has happened.
    pub fn carry_out(&mut self, command: &str) -> bool {
        let command = command.trim_start_matches('(').trim_end_matches(')');
        let waits = self.begin(command.trim_end_matches(" &")) && !command.ends_with(" &");
        if waits {
            self.settle();
        }
        waits
    }

    /// Does not wait for what follows, and returns whether the caller has to.
    fn begin(&mut self, command: &str) -> bool {
        let (head, content) = command.split_once(" \"").unwrap_or((command, ""));
        let words: Vec<_> = head.split(' ').collect();
        let host = words.get(1).filter(|word| is_name(word)).map_or(0, |word| host_of(word));
        if !self.is_possible(words[0], host) {
            assert!(self.is_disturbed, "now is no time for this: {command}");
            return true;
        }
        match words[..] {
            ["ring", ..] => self.ring(&words[1..]),
            [verb @ ("start" | "restart"), _, ..] => {
                self.start(host, Start::of(&words[2..]), verb == "restart");
            }
            ["room", _, bytes] => {
                let bytes = bytes.parse().expect(command);
                self.rooms.insert(host, bytes);
                self.world.scene.plan.small_store = Some((host, bytes));
                return false;
            }
            ["clock", _, time] => self.set_clock(host, time),
            ["put", _, name, ..] => {
                let content = match words[3..] {
                    ["of", bytes] => "x".repeat(bytes.parse().expect(command)),
                    _ => content.trim_end_matches('"').to_owned(),
                };
                let (name, content) = (Name::new(name).expect(command), content.into());
                let only_if = match words[3..] {
                    ["if", "none"] => Some(Condition::Absent),
                    ["if", version] => Some(Condition::Newest(self.version(version))),
                    _ => None,
                };
                self.ask(host, Request::Put { name, content, only_if });
            }
            ["get", _, name, ..] => {
                let version = words.get(3).map(|version| self.version(version));
                self.ask(host, Request::Get { name: Name::new(name).expect(command), version });
            }
            ["delete", _, name] => {
                let name = Name::new(name).expect(command);
                self.ask(host, Request::Delete { name, only_if: None });
            }
            ["log", _, name] => {
                self.ask(host, Request::Log { name: Name::new(name).expect(command) });
            }
            ["disk", _, state] => {
                self.world.scene.plan.keepers |= 1 << host;
                self.world.scene.checker.keepers |= 1 << host;
                self.world.scene.checker.is_store_slow = true;
                let disk = &mut self.world.scene.disks[host];
                match state {
                    "works" => disk.fault = None,
                    "full" => disk.fault = Some((StoreFault::Full, Micros::MAX)),
                    "broken" => disk.fault = Some((StoreFault::Broken, Micros::MAX)),
                    delay => disk.delay = Some(seconds(delay)),
                }
                self.world.scene.checker.has_small_store |= disk.fault.is_some();
                return false;
            }
            ["offer", bytes, time] => {
                self.world.scene.plan.offer_bytes = bytes.parse().expect(command);
                self.world.network.upload_takes = seconds(time);
                return false;
            }
            ["apart", bytes] => {
                self.world.scene.plan.apart_bytes = bytes.parse().expect(command);
                return false;
            }
            ["ttl", time] => {
                self.world.scene.plan.tombstone_ttl = seconds(time);
                self.world.scene.checker.tombstone_ttl = seconds(time);
                self.world.scene.checker.forgets_while_apart = true;
                return false;
            }
            ["list", _] => {
                let (prefix, after) = (String::new(), String::new());
                self.ask(host, Request::List { prefix, after, limit: 10, hashes: false });
            }
            ["forget", _, member] => {
                let address = address_of(letter(host_of(member)));
                self.ask(host, Request::Forget { address });
            }
            ["show", "brings"] => {
                if let Some(transcript) = self.transcript() {
                    transcript.shows_brings = true;
                }
            }
            ["leave", _] => {
                self.world.running(host).leaves_since = Some(self.now());
                self.world.step(host, Input::Leave);
            }
            ["kill", _] => self.world.crash(host, false),
            ["pause", _] => self.world.pause(host),
            ["resume", _] => self.world.resume(host, self.world.hosts[host].life),
            ["cut", ..] => self.cut(&words[1..]),
            ["heal"] => self.heal(),
            ["run", time, ..] => {
                self.run(seconds(time));
                let is_quiet = words.last() == Some(&"quietly");
                if let Some(transcript) = self.transcript() {
                    transcript.is_quiet = is_quiet;
                }
            }
            ["deliver"] => {}
            ["deliver", count] => {
                let count: u64 = count.parse().expect(command);
                self.deliver(count);
                return false;
            }
            ["files"] => self.files(),
            _ => panic!("no such command: {command}"),
        }
        true
    }

    /// Whether the host is in a state in which it can be told this.
    fn is_possible(&self, verb: &str, host: usize) -> bool {
        let Some(it) = self.world.hosts.get(host) else { return true };
        match verb {
            "start" | "restart" => !it.is_up(),
            "kill" | "put" | "get" | "delete" | "log" | "list" | "forget" => it.is_up(),
            "leave" => it.up().is_some_and(|up| !up.is_paused && up.leaves_since.is_none()),
            "pause" => it.is_up() && !it.is_paused(),
            "resume" => it.is_paused(),
            _ => true,
        }
    }

    /// The version that a short form stands for. Without a transcript there is none of it.
    fn version(&self, short: &str) -> Version {
        let transcript = self.world.scene.transcript.as_ref();
        let long = transcript.map(|transcript| transcript.long("v", short));
        let none = Version { stamp: Stamp(1), node: address_of('A') };
        long.map_or(none, |long| long.parse().expect("it is a version"))
    }

    fn now(&self) -> Micros {
        self.world.time.now
    }

    fn transcript(&mut self) -> Option<&mut Transcript> {
        self.world.scene.transcript.as_mut()
    }

    /// Nodes that have found each other, and whose CHECKs begin a tenth of a second apart.
    fn ring(&mut self, names: &[&str]) {
        let mut prev = None;
        for host in hosts_of(names) {
            let prevs = prev.replace(host).into_iter().collect();
            if !self.world.hosts[host].is_up() {
                self.start(host, Start { prevs, ..Start::of(&[]) }, false);
            }
            self.settle();
            self.world.time.now += ms(100);
        }
        self.run(ms(1000));
        self.settle();
        let (now, last) = (self.now(), prev.expect("ring A B C"));
        let view = self.world.hosts[last].up().map(|up| up.node.view().to_string());
        if let Some(transcript) = self.transcript() {
            transcript.begin(now);
            transcript.line(now, letters(&view.expect("it has just been started")));
        }
    }

    /// Runs until nothing is under way.
    fn settle(&mut self) {
        let end = self.now() + SETTLING_MAX;
        while self.world.time.has_under_way() && self.world.happen_before(end) {}
    }

    fn run(&mut self, length: Micros) {
        let until = self.now() + length;
        self.world.run_until(until + 1);
        self.world.time.now = until;
    }

    /// Runs until `count` messages have arrived.
    fn deliver(&mut self, count: u64) {
        let end = self.world.delivered + count;
        let latest = self.now() + SETTLING_MAX;
        while self.world.delivered < end && self.world.happen_before(latest) {}
        assert!(self.is_disturbed || self.world.delivered == end, "nothing is under way");
    }

    fn start(&mut self, host: usize, start: Start, keeps_files: bool) {
        let Start { address, ring, prevs } = start;
        self.strays.retain(|stray| *stray != host);
        if address.is_some() || ring != RING {
            self.strays.push(host);
        }
        let (plan, prev) = (&self.world.scene.plan, prevs.last().copied());
        let config = Config {
            address: address_of(letter(address.unwrap_or(host))),
            bootstrap: prevs.is_empty() && !(keeps_files && plan.keeps(host)),
            prevs: prevs.into_iter().map(|prev| address_of(letter(prev)).to_string()).collect(),
            ring: ring.into(),
            check_interval: duration(plan.check_interval),
            check_timeout: duration(plan.check_timeout),
            request_timeout: duration(plan.request_timeout),
            forget_after: FORGET_AFTER,
            give_up_after: duration(plan.give_up_after),
            apart_bytes: plan.apart_bytes,
            offer_bytes: plan.offer_bytes,
            tombstone_ttl: duration(plan.tombstone_ttl),
            keeps: plan.keeps(host),
            last_seen: self.world.hosts[host].last_seen.clone().filter(|_| plan.keeps(host)),
            min_copies: plan.min_copies,
            max_file_bytes: SCRIPT_FILE_BYTES_MAX,
            seed: letter(host).into(),
            started_ms: self.world.hosts[host].wall_ms(self.now()),
            release: None,
        };
        let room = self.rooms.get(&host).copied().unwrap_or(STORE_BYTES_MAX);
        let away = self.now() - self.world.hosts[host].down_since;
        if !keeps_files || away >= self.world.scene.plan.tombstone_ttl {
            self.world.hosts[host].store.clear();
            self.world.hosts[host].last_seen = None;
            self.world.hosts[host].lost_at = Some(self.now());
            self.world.scene.checker.memory_lost(host);
        }
        let held = self.world.hosts[host].store.open(room, KEEP_VERSIONS);
        self.world.begin_life(host, config, held);
        if let Some(up) = self.world.hosts[host].up_mut() {
            up.prev = prev;
        }
    }

    /// Sets how far a wall clock is ahead.
    fn set_clock(&mut self, host: usize, time: &str) {
        let ahead: f64 = time.trim_end_matches('s').parse().expect("a time such as -40s");
        self.world.hosts[host].jump_ms = (ahead * 1000.0) as i64;
        if self.world.hosts[host].is_up() {
            self.world.set_clock(host);
        }
    }

    fn cut(&mut self, words: &[&str]) {
        let mut sides = words.split(|word| *word == "|").map(hosts_of);
        let (one, other) = (sides.next().expect("cut A B | C"), sides.next().expect("cut A | B"));
        for (&a, &b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
            self.world.network.routes[a][b].blocked_until = Micros::MAX;
            self.world.network.routes[b][a].blocked_until = Micros::MAX;
        }
    }

    fn heal(&mut self) {
        for route in self.world.network.routes.iter_mut().flatten() {
            route.blocked_until = 0;
        }
        self.world.release();
    }

    /// A client asks. What it asks goes through the codec.
    fn ask(&mut self, host: usize, request: Request) {
        let message = Message::Request(request.clone());
        let (now, bytes) = (self.now(), encode(&message));
        if let Some(transcript) = self.transcript() {
            transcript.message(now, &format!("client -> {}", letter(host)), &bytes, &message);
        }
        let decoded = Decoder::new(SCRIPT_FILE_BYTES_MAX).decode(&bytes);
        assert_eq!(decoded, (bytes.len(), Some(Ok(message))), "what encodes also decodes");
        let checker = &mut self.world.scene.checker;
        let wish = match &request {
            Request::Put { name, content, .. } => {
                Wish::Put { name: name.clone(), put: checker.put_of_content(name, content) }
            }
            Request::Get { name, version: None } => Wish::Get { name: name.clone() },
            Request::Get { name, .. } => Wish::GetOld { name: name.clone() },
            Request::Delete { name, .. } => Wish::Delete { name: name.clone() },
            Request::Log { name } => Wish::Log { name: name.clone() },
            Request::List { .. } => Wish::List,
            _ => Wish::Other,
        };
        let id = checker.asked(now, &self.world.hosts, host, None, wish);
        let life = self.world.hosts[host].life;
        self.world.deliver(host, life, Arrival::Request { id, request });
    }

    fn files(&mut self) {
        let now = self.now();
        let Some(transcript) = &mut self.world.scene.transcript else { return };
        for host in self.world.hosts.iter().filter(|host| host.is_up()) {
            let files = host.index().list("", "").map(|(name, held)| {
                let version = transcript.short("v", held.version.to_string());
                format!(" {}={version}", name.wire())
            });
            let files: String = files.collect();
            transcript.line(now, format!("{} holds{files}", letter(host.index)));
        }
    }
}

/// Whether what follows from a command is not shown.
fn is_hidden(command: &str) -> bool {
    command.starts_with('(')
}

/// Whether a word is the name of a node.
fn is_name(word: &str) -> bool {
    word.len() == 1 && word.starts_with(|letter: char| letter.is_ascii_uppercase())
}

fn host_of(name: &str) -> usize {
    assert!(is_name(name), "{name} is not the name of a node");
    usize::from(name.as_bytes()[0] - b'A')
}

fn hosts_of(names: &[&str]) -> Vec<usize> {
    names.iter().map(|name| host_of(name)).collect()
}

fn seconds(text: &str) -> Micros {
    let seconds = text.trim_end_matches('s').parse().expect("a time such as 1.2s");
    Duration::from_secs_f64(seconds).as_micros() as Micros
}
