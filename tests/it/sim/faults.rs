//! Faults: what a run suffers, one at a time or all at once.

use smolring::ring::StoreFault;

use super::scene::{Event, Sim};
use crate::world::{Host, Micros, Running, World, ms};

/// Between two blackouts a ring has this much time to form and to acknowledge something.
const BLACKOUT_GAP: Micros = ms(4000);

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A node ends without notice and comes back with what it held.
    Crash,
    /// A node ends without notice and comes back with nothing.
    CrashAndForget,
    /// A machine loses its power: nothing tells the others that its connections are gone.
    PowerCut,
    /// All machines lose their power at once. They come back one after the other, in any order.
    Blackout,
    /// A node does nothing for a while.
    Pause,
    /// Nothing passes between two groups.
    Partition,
    /// Nothing passes in one direction.
    OneWay,
    /// A host's connections are slow.
    Slow,
    /// A host that runs takes no connections.
    Refuse,
    /// A connection breaks, perhaps in the middle of a message.
    Break,
    /// All connections of a host break.
    BreakAll,
    /// A node leaves gracefully and comes back later.
    Leave,
    /// A clock jumps, and is put right later.
    ClockJump,
    /// A store is full, or fails, for a while.
    Disk,
}

/// A crash that is to come.
#[derive(Clone, Copy)]
pub struct PlannedCrash {
    /// How many more of its node's outputs it carries out before it crashes.
    pub outputs: u64,
    pub is_silent: bool,
    /// How long it is down after that.
    pub length: Micros,
    /// Whether it comes back with what it held.
    pub keeps: bool,
}

impl Fault {
    pub const ALL: [Self; 14] = [
        Self::Crash,
        Self::CrashAndForget,
        Self::PowerCut,
        Self::Blackout,
        Self::Pause,
        Self::Partition,
        Self::OneWay,
        Self::Slow,
        Self::Refuse,
        Self::Break,
        Self::BreakAll,
        Self::Leave,
        Self::ClockJump,
        Self::Disk,
    ];

    /// Faults after which no two members go on without knowing of each other.
    pub const WHOLE: [Self; 8] = [
        Self::Crash,
        Self::CrashAndForget,
        Self::PowerCut,
        Self::Blackout,
        Self::Leave,
        Self::ClockJump,
        Self::Pause,
        Self::Disk,
    ];

    /// Faults after which a member counts as gone only if it is. Rings never part.
    pub const HONEST: [Self; 7] = [
        Self::Crash,
        Self::CrashAndForget,
        Self::PowerCut,
        Self::Blackout,
        Self::Leave,
        Self::ClockJump,
        Self::Disk,
    ];
}

impl World<Sim> {
    /// Something goes wrong; then the next fault is planned.
    pub fn fault(&mut self) {
        if self.time.now >= self.scene.plan.calm_at {
            return;
        }
        let fault = self.time.rng.pick(&self.scene.plan.faults);
        let host = self.time.rng.index(self.hosts.len());
        let length = self.time.rng.range(ms(1), self.scene.plan.fault_length);
        let length = if self.time.rng.chance(30) { length / 20 } else { length };
        self.inflict(fault, host, length);
        let gap = match self.scene.plan.patience {
            Some(_) if self.scene.plan.faults_come_in_pairs && self.time.rng.chance(50) => {
                self.time.rng.range(0, ms(50))
            }
            Some(_) => self.scene.plan.fault_gap,
            None => self.time.rng.range(0, 2 * self.scene.plan.fault_gap),
        };
        self.plan_after(gap, Event::Fault);
    }

    fn inflict(&mut self, fault: Fault, host: usize, length: Micros) {
        let millis = length / ms(1);
        match fault {
            Fault::Crash | Fault::CrashAndForget | Fault::PowerCut if self.hosts[host].is_up() => {
                let is_silent = fault == Fault::PowerCut;
                let keeps = fault == Fault::Crash || (is_silent && self.time.rng.chance(70));
                let outputs = self.time.rng.range(0, 10);
                let planned = PlannedCrash { outputs, is_silent, length, keeps };
                match self.time.rng.chance(50) {
                    true => self.scene.crashes[host] = Some(planned),
                    false => self.crash_as_planned(host, planned),
                }
            }
            Fault::Blackout if self.time.now >= self.scene.next_blackout => {
                self.scene.next_blackout = self.time.now + length + BLACKOUT_GAP;
                self.tell(None, || "# all lose power".to_owned());
                for host in 0..self.hosts.len() {
                    if self.hosts[host].is_up() {
                        let length = self.time.rng.range(ms(1), length.max(ms(2)));
                        let keeps = self.scene.plan.keeps(host);
                        let planned = PlannedCrash { outputs: 0, is_silent: true, length, keeps };
                        self.crash_as_planned(host, planned);
                    }
                }
            }
            Fault::Disk => {
                let fault = self.time.rng.pick(&[StoreFault::Full, StoreFault::Broken]);
                self.tell(Some(host), || format!("# its store is {fault:?} for {millis} ms"));
                self.scene.disks[host].fault = Some((fault, self.time.now + length));
            }
            Fault::Pause if self.hosts[host].is_up() => {
                self.tell(Some(host), || format!("# {fault:?} for {millis} ms"));
                self.pause_for(host, length);
            }
            Fault::Partition | Fault::OneWay => self.part(fault == Fault::OneWay, length),
            Fault::Slow => {
                let slow_latency = self.time.rng.range(ms(1), ms(500));
                let slow_byte_nanos = self.time.rng.range(0, 20_000);
                self.tell(Some(host), || format!("# is slow for {millis} ms"));
                let until = self.time.now + length;
                for other in 0..self.hosts.len() {
                    for (from, to) in [(host, other), (other, host)] {
                        let route = &mut self.network.routes[from][to];
                        route.slow_until = route.slow_until.max(until);
                        route.slow_latency = slow_latency;
                        route.slow_byte_nanos = slow_byte_nanos;
                    }
                }
            }
            Fault::Refuse => {
                self.tell(Some(host), || format!("# refuses connections for {millis} ms"));
                self.network.refusing_until[host] = self.time.now + length;
            }
            Fault::Break => {
                let all: Vec<_> = self.network.connections.keys().copied().collect();
                if let Some(connection) = self.time.rng.pick_any(&all) {
                    let [a, b] = [0, 1].map(|i| self.network.connections[&connection].ends[i].host);
                    self.tell(Some(a), || format!("# its connection to n{b} breaks"));
                    self.network.reset(&mut self.time, connection);
                }
            }
            Fault::BreakAll => {
                self.tell(Some(host), || "# its connections break".to_owned());
                let pairs: Vec<_> =
                    (0..self.hosts.len()).flat_map(|it| [(it, host), (host, it)]).collect();
                self.break_routes(&pairs);
            }
            Fault::ClockJump => {
                let by_ms = self.time.rng.pick(&[75_000, 600_000, 100_000_000]);
                let jump_ms = if self.time.rng.chance(50) { by_ms } else { -by_ms };
                self.tell(Some(host), || {
                    format!("# its clock jumps by {jump_ms} ms for {millis} ms")
                });
                self.hosts[host].jump_ms = jump_ms;
                self.plan_after(length, Event::ClockRight { host });
            }
            Fault::Leave if self.hosts[host].is_up() => {
                self.leave(host);
                let keeps = self.time.rng.chance(80);
                let later = length + 3 * self.scene.plan.check_timeout;
                self.plan_after(later, Event::Start { host, keeps });
            }
            _ => {}
        }
    }

    /// Nothing passes from one group of hosts to the other, and perhaps not back either.
    fn part(&mut self, is_one_way: bool, length: Micros) {
        let hosts = self.hosts.len();
        let mut is_left: Vec<_> = (0..hosts).map(|_| self.time.rng.chance(50)).collect();
        if self.time.rng.chance(50) {
            let alone = self.time.rng.index(hosts);
            is_left = (0..hosts).map(|host| host == alone).collect();
        }
        let refuses = self.time.rng.chance(30);
        let mut routes = Vec::new();
        for from in 0..hosts {
            for to in 0..hosts {
                if is_left[from] != is_left[to] && (is_left[from] || !is_one_way) {
                    routes.push((from, to));
                }
            }
        }
        let until = self.time.now + length;
        for &(from, to) in &routes {
            let route = &mut self.network.routes[from][to];
            route.blocked_until = route.blocked_until.max(until);
            route.refuses = refuses;
        }
        self.tell(None, || {
            let of = |side| (0..hosts).filter(|&it| is_left[it] == side).collect::<Vec<_>>();
            let arrow = if is_one_way { "-/->" } else { "<-/->" };
            format!("# {:?} {arrow} {:?} for {} ms", of(true), of(false), length / ms(1))
        });
        if self.time.rng.chance(50) {
            self.plan_at(until, Event::Break { routes });
        }
    }

    /// Breaks the connections that were made along these routes.
    pub fn break_routes(&mut self, routes: &[(usize, usize)]) {
        let along = self.network.connections.iter().filter(|(_, connection)| {
            routes.contains(&(connection.ends[0].host, connection.ends[1].host))
        });
        let along: Vec<_> = along.map(|(&id, _)| id).collect();
        for connection in along {
            self.network.reset(&mut self.time, connection);
        }
    }

    /// Everything that has begun to go wrong ends, and operators put their nodes right.
    pub fn end_faults(&mut self) {
        let now = self.time.now;
        for route in self.network.routes.iter_mut().flatten() {
            route.blocked_until = now;
            route.slow_until = now;
        }
        self.network.refusing_until.fill(now);
        self.network.is_rough = false;
        self.network.upload_takes = 0;
        self.scene.disks.iter_mut().for_each(|disk| disk.fault = None);
        self.release();
        for host in &mut self.hosts {
            host.jump_ms = 0;
        }
        for index in 0..self.hosts.len() {
            let life = self.hosts[index].life;
            self.scene.crashes[index] = None;
            self.resume(index, life);
        }
        let some_stay_down = self.time.rng.chance(25);
        for index in 0..self.hosts.len() {
            let is_leaving = self.hosts[index].up().is_some_and(|up| up.leaves_since.is_some());
            let stays_down = some_stay_down && self.time.rng.chance(30) && index > 0;
            let is_wanted = self.scene.plan.starts_all || self.hosts[index].life > 0;
            if !stays_down && !is_leaving && is_wanted {
                self.start(index, true);
            }
        }
        self.restart_stranded();
    }

    /// Where some stay down, others may wait for these: an operator reads what they wait for, and has them
    /// go on without. Where all are up they find each other.
    pub fn go_on_without_the_dead(&mut self) {
        if self.hosts.iter().all(Host::is_up) {
            return;
        }
        let live = |it: &&Host| it.up().is_some_and(|up| up.leaves_since.is_none());
        let joined = |it: &&Host| it.up().is_some_and(Running::has_joined);
        let ring = self.hosts.iter().find(joined).map(|it| it.index);
        let waiting: Vec<_> = self.hosts.iter().filter(live).filter(|it| !joined(it)).collect();
        let waiting: Vec<_> = waiting.into_iter().map(|it| it.index).collect();
        match (ring, waiting.first()) {
            (None, Some(&first)) => {
                self.crash(first, false);
                self.start_as(first, true, Some(None));
            }
            (Some(ring), _) => {
                for host in waiting {
                    self.crash(host, false);
                    self.start_as(host, true, Some(Some(ring)));
                }
            }
            _ => {}
        }
    }

    /// A node that waits for one that will not come is started after another one.
    fn restart_stranded(&mut self) {
        for index in 0..self.hosts.len() {
            let Some(up) = self.hosts[index].up().filter(|up| !up.has_joined()) else { continue };
            let waits_in_vain = up.prev.is_some_and(|prev| {
                let prev = &self.hosts[prev];
                prev.up().is_none_or(|up| up.leaves_since.is_some())
            });
            if waits_in_vain {
                self.crash(index, false);
                self.start(index, true);
            }
        }
    }
}
