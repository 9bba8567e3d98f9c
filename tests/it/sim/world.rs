//! The world: hosts, network, clients and faults on one timeline.

use std::fmt;

use smolring::ring::limits::LINK_SILENCE_MAX;

use super::{
    checker::Checker,
    clients::Client,
    machine::{Host, Parcel},
    network::{ConnectionId, Network},
    plan::Plan,
    timeline::{Micros, Timeline, ms},
};

/// What can happen.
pub enum Event {
    /// A host opens its eyes at the time that its node asked for.
    Wake { host: usize, life: u32, at: Micros },
    /// A segment that this end has written arrives at the other.
    Arrive { connection: ConnectionId, end: usize },
    /// The question to connect arrives.
    Dial { connection: ConnectionId },
    /// A host starts, with what it held or without.
    Start { host: usize, keeps: bool },
    /// A paused host goes on.
    Resume { host: usize, life: u32 },
    /// A client wants something.
    Turn { client: usize },
    /// What a client wants arrives.
    Ask { host: usize, life: u32, parcel: Parcel },
    /// A clock is put right.
    ClockRight { host: usize },
    /// Time for the next fault.
    Fault,
    /// A partition between these routes is over and takes connections with it.
    Break { routes: Vec<(usize, usize)> },
}

pub struct World {
    pub plan: Plan,
    pub time: Timeline,
    pub network: Network,
    pub hosts: Vec<Host>,
    pub clients: Vec<Client>,
    pub checker: Checker,
    pub trace: Trace,
}

/// What one seed has seen.
pub struct Report {
    /// How long after the last fault the ring was one again.
    pub healed_after: Micros,
    pub acknowledged: usize,
    pub given_up: usize,
    pub messages: u64,
}

/// What two members that cannot reach each other cost.
#[derive(Debug)]
pub struct Parted {
    /// PUTs that were acknowledged within 20 s before.
    pub well: usize,
    /// The same while they cannot.
    pub parted: usize,
    /// How often any node's list has changed within 40 s.
    pub lists: usize,
}

/// How much a replay tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trace {
    Nothing,
    /// Faults, requests, answers, what nodes notify of, and FORWARDs.
    Short,
    /// Every message.
    All,
}

impl World {
    /// A whole run: faults, calm, and what must hold then. Panics if something does not.
    pub fn run(seed: u64, trace: Trace) -> Report {
        let mut time = Timeline::new(seed);
        let plan = Plan::new(&mut time.rng);
        let mut world = Self::new(plan, time, trace);
        let guard = Where(seed);
        world.tell(None, || format!("seed {seed}"));
        world.set_the_stage();
        world.run_until(world.plan.calm_at);
        let report = world.calm();
        std::mem::forget(guard);
        report
    }

    fn new(plan: Plan, mut time: Timeline, trace: Trace) -> Self {
        Self {
            network: Network::new(plan.hosts, plan.latency, plan.file_bytes_max),
            hosts: (0..plan.hosts).map(|i| Host::new(i, &mut time.rng)).collect(),
            clients: Vec::new(),
            checker: Checker::new(&plan),
            trace,
            plan,
            time,
        }
    }

    /// Two members cannot reach each other for as long as it lasts, and everything else is well. Says
    /// what the ring did in its last third, beside what it did before.
    pub fn part_a_pair(seed: u64, hosts: usize, trace: Trace) -> Parted {
        let mut time = Timeline::new(seed);
        let plan = Plan::quiet(&mut time.rng, hosts);
        let mut world = Self::new(plan, time, trace);
        let guard = Where(seed);
        world.set_the_stage();
        let seconds = |count: u64| ms(count * 1000);
        world.run_until(seconds(20));
        let before = world.checker.acknowledged;
        world.run_until(seconds(40));
        let well = world.checker.acknowledged - before;
        world.tell(None, || "# n0 and n1 cannot reach each other".to_owned());
        for (from, to) in [(0, 1), (1, 0)] {
            world.network.routes[from][to].blocked_until = seconds(160);
        }
        world.break_routes(&[(0, 1), (1, 0)]);
        world.run_until(seconds(120));
        let (before, lists) = (world.checker.acknowledged, world.checker.lists);
        world.run_until(seconds(160));
        let parted = (world.checker.acknowledged - before) / 2;
        std::mem::forget(guard);
        Parted { well, parted, lists: world.checker.lists - lists }
    }

    fn set_the_stage(&mut self) {
        let plan = self.plan.clone();
        self.tell(None, || format!("{plan:?}"));
        self.start(0, false);
        for host in 1..plan.hosts {
            let at = self.time.rng.range(0, plan.calm_at.min(ms(20_000)) / 2);
            let at = if self.time.rng.chance(70) { at / 8 } else { at };
            self.time.at(at, Event::Start { host, keeps: true });
        }
        for client in 0..plan.clients {
            self.clients.push(Client::default());
            self.time.at(ms(client as u64), Event::Turn { client });
        }
        self.time.at(plan.first_fault_at, Event::Fault);
    }

    pub fn run_until(&mut self, end: Micros) {
        while let Some(event) = self.time.next(end) {
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let is_calm = self.time.now >= self.plan.calm_at;
        match event {
            Event::Start { .. } | Event::Fault | Event::Break { .. } if is_calm => {}
            Event::Wake { host, life, at } => self.wake(host, life, at),
            Event::Arrive { connection, end } => self.arrive(connection, end),
            Event::Dial { connection } => self.dial(connection),
            Event::Start { host, keeps } => self.start(host, keeps),
            Event::Resume { host, life } => self.resume(host, life),
            Event::Turn { client } => self.turn(client),
            Event::Ask { host, life, parcel } => self.post(host, life, parcel),
            Event::ClockRight { host } => self.hosts[host].jump_ms = 0,
            Event::Fault => self.fault(),
            Event::Break { routes } => self.break_routes(&routes),
        }
    }

    /// All faults end; the ring must heal, serve, and fall silent.
    fn calm(&mut self) -> Report {
        self.tell(None, || "calm".to_owned());
        let calm_at = self.time.now;
        self.end_faults();
        let interval = self.plan.check_interval;
        let deadline = calm_at + self.plan.healing_max;
        let mut is_still = !self.plan.is_tireless;
        while let Err(why) = self.checker.is_one_ring(&self.hosts, is_still) {
            assert!(self.time.now < deadline, "the ring has not healed: {why}");
            self.run_until(self.time.now + interval / 4);
            if self.time.now >= calm_at + interval && is_still {
                self.dismiss_clients();
            }
            is_still |= self.checker.is_one_ring(&self.hosts, false).is_ok();
        }
        self.dismiss_clients();
        // What clients have asked last may still be on its way.
        while self.checker.is_healed(&self.hosts).is_err() && self.time.now < deadline {
            self.run_until(self.time.now + interval / 4);
        }
        self.checker.healed_at = Some(self.time.now);
        let healed_after = self.time.now - calm_at;
        self.tell(None, || "healed".to_owned());
        self.checker.check_nothing_lost(&self.hosts);
        self.run_until(self.time.now + self.plan.request_timeout);
        self.checker.check_everybody_answered();
        self.examine();
        // Time to notice that nobody is at the other end of a link.
        if self.plan.is_patient {
            self.run_until(self.time.now + LINK_SILENCE_MAX.as_micros() as Micros);
        }
        self.run_until(self.time.now + 3 * interval);
        self.tell(None, || "silence".to_owned());
        self.checker.begin_silence();
        for _ in 0..4 {
            self.run_until(self.time.now + interval);
            self.checker.check_silence(&self.hosts, &self.network, self.plan.is_patient);
            let healed = self.checker.is_healed(&self.hosts);
            assert_eq!(healed, Ok(()), "the ring did not stay healed");
        }
        self.checker.check_nothing_lost(&self.hosts);
        Report {
            healed_after,
            acknowledged: self.checker.acknowledged,
            given_up: self.checker.given_up,
            messages: self.checker.messages,
        }
    }

    /// Every node must take a PUT, and every node must then return it.
    fn examine(&mut self) {
        self.tell(None, || "exam".to_owned());
        let live: Vec<_> = (0..self.hosts.len()).filter(|&i| self.hosts[i].is_up()).collect();
        for &host in &live {
            self.exam_put(host);
        }
        self.run_until(self.time.now + self.plan.check_interval);
        self.checker.check_exam_puts(live.len(), self.plan.min_copies);
        for &host in &live {
            self.exam_gets(host);
        }
        self.run_until(self.time.now + self.plan.check_interval);
        self.checker.check_exam_gets();
    }

    /// One line of a trace, where one is wanted.
    pub fn tell(&self, host: Option<usize>, what: impl FnOnce() -> String) {
        if self.trace >= Trace::Short {
            self.say(host, &what());
        }
    }

    /// The same for what only a full trace shows.
    pub fn whisper(&self, host: Option<usize>, what: impl FnOnce() -> String) {
        if self.trace >= Trace::All {
            self.say(host, &what());
        }
    }

    fn say(&self, host: Option<usize>, what: &str) {
        let mut text = what.to_owned();
        for host in &self.hosts {
            text = text.replace(&host.address.to_string(), &host.to_string());
        }
        let host = host.map_or("  ".to_owned(), |host| format!("n{host}"));
        eprintln!("{:>11.6} {host} {text}", self.time.now as f64 / 1e6);
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.index)
    }
}

/// Says which seed it was, if a run ends in a panic.
struct Where(u64);

impl Drop for Where {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {seed} failed; SMOLRING_SEED={seed} replays it", seed = self.0);
        }
    }
}
