//! A run from one seed: faults, then calm, and what must hold then.

use std::net::SocketAddr;

use smolring::ring::limits::LINK_SILENCE_MAX;

use super::{
    clients::Client,
    lives::skew,
    plan::{Plan, TTL_LONG},
    scene::{Event, Shows, Sim},
};
use crate::world::{Host, Micros, Timeline, World, ms};

/// Older versions are followed with pauses of up to 32 check intervals.
const VERSIONS_FOLLOW_MAX: Micros = ms(120_000);
/// How long a content may stay that no file has: what is offered waits 30 s for its version.
const LEFT_BEHIND_MAX: Micros = ms(40_000);

/// After this much calm an operator looks at nodes that are in no ring.
const OPERATOR_LOOKS_AFTER: Micros = ms(15_000);

/// What one seed has seen.
pub struct Report {
    /// How long after the last fault the ring was one again.
    pub healed_after: Micros,
    pub acknowledged: usize,
    pub given_up: usize,
    pub messages: u64,
}

/// What it costs that two members cannot reach each other.
#[derive(Debug)]
pub struct Parted {
    /// PUTs that were acknowledged within 20 s before.
    pub well: usize,
    /// The same while they cannot.
    pub parted: usize,
    /// How often any node's list has changed within 40 s.
    pub lists: usize,
}

impl World<Sim> {
    /// A whole run: faults, calm, and what must hold then. Panics if something does not.
    pub fn run(seed: u64, shows: Shows) -> Report {
        let mut time = Timeline::new(seed, false);
        let plan = Plan::new(&mut time.rng);
        let mut world = Self::of_seed(plan, time, shows);
        let guard = Where(seed);
        world.tell(None, || format!("seed {seed}"));
        world.set_the_stage();
        world.run_until(world.scene.plan.calm_at);
        let report = world.calm();
        std::mem::forget(guard);
        report
    }

    fn of_seed(plan: Plan, mut time: Timeline<Event>, shows: Shows) -> Self {
        let address = |index| SocketAddr::from(([10, 0, 0, index as u8], 4043));
        let host = |index| {
            let mut host = Host::new(index, address(index));
            host.skew_ms = skew(&mut time.rng);
            host
        };
        let hosts = (0..plan.hosts).map(host).collect();
        Sim::world(plan, time, hosts, shows, false)
    }

    /// Two members cannot reach each other for as long as it lasts, and everything else is well.
    /// Returns what the ring did in the last third of that, beside what it did before.
    pub fn part_a_pair(seed: u64, hosts: usize, shows: Shows) -> Parted {
        let mut time = Timeline::new(seed, false);
        let plan = Plan::quiet(&mut time.rng, hosts);
        let mut world = Self::of_seed(plan, time, shows);
        let guard = Where(seed);
        world.set_the_stage();
        let seconds = |count: u64| ms(count * 1000);
        world.run_until(seconds(20));
        let before = world.scene.checker.acknowledged;
        world.run_until(seconds(40));
        let well = world.scene.checker.acknowledged - before;
        world.tell(None, || "# n0 and n1 cannot reach each other".to_owned());
        for (from, to) in [(0, 1), (1, 0)] {
            world.network.routes[from][to].blocked_until = seconds(160);
        }
        world.break_routes(&[(0, 1), (1, 0)]);
        world.run_until(seconds(120));
        let (before, lists) = (world.scene.checker.acknowledged, world.scene.checker.lists);
        world.run_until(seconds(160));
        let parted = (world.scene.checker.acknowledged - before) / 2;
        std::mem::forget(guard);
        Parted { well, parted, lists: world.scene.checker.lists - lists }
    }

    /// Two parts of a ring cannot reach each other for longer than deletions are remembered, while clients
    /// put, get and delete at both. Then they are one again.
    pub fn part_for_long(seed: u64, hosts: usize, shows: Shows) -> Report {
        let mut time = Timeline::new(seed, false);
        let seconds = |count: u64| ms(count * 1000);
        let plan = Plan {
            tombstone_ttl: seconds(10),
            keepers: 0,
            calm_at: seconds(70),
            ..Plan::quiet(&mut time.rng, hosts)
        };
        let mut world = Self::of_seed(plan, time, shows);
        let guard = Where(seed);
        world.scene.checker.forgets_while_apart = true;
        world.set_the_stage();
        world.run_until(seconds(20));
        world.tell(None, || "# n0 is on one side, all others are on the other".to_owned());
        let routes: Vec<_> = (1..hosts).flat_map(|it| [(0, it), (it, 0)]).collect();
        for &(from, to) in &routes {
            world.network.routes[from][to].blocked_until = seconds(60);
        }
        world.break_routes(&routes);
        world.run_until(seconds(70));
        let report = world.calm();
        std::mem::forget(guard);
        report
    }

    fn set_the_stage(&mut self) {
        let plan = self.scene.plan.clone();
        self.tell(None, || format!("{plan:?}"));
        self.start(0, false);
        for host in 1..plan.hosts {
            let at = self.time.rng.range(0, plan.calm_at.min(ms(20_000)) / 2);
            let at = if self.time.rng.chance(70) { at / 8 } else { at };
            self.plan_at(at, Event::Start { host, keeps: true });
        }
        for client in 0..plan.clients {
            self.scene.clients.push(Client::default());
            self.plan_at(ms(client as u64), Event::Turn { client });
        }
        self.plan_at(plan.first_fault_at, Event::Fault);
    }

    /// All faults end; the ring must heal, serve, and fall silent.
    pub fn calm(&mut self) -> Report {
        self.tell(None, || "calm".to_owned());
        let calm_at = self.time.now;
        self.end_faults();
        let (interval, is_short) = (self.scene.plan.check_interval, self.scene.plan.is_calm_short);
        let deadline = calm_at + self.scene.plan.healing_max;
        let mut is_still = !self.scene.plan.is_tireless;
        let mut operator_looks_at = calm_at + OPERATOR_LOOKS_AFTER;
        while let Err(why) = self.scene.checker.is_one_ring(&self.hosts, is_still) {
            assert!(self.time.now < deadline, "the ring has not healed: {why}");
            self.run_until(self.time.now + interval / 4);
            if self.time.now >= operator_looks_at {
                operator_looks_at += OPERATOR_LOOKS_AFTER;
                self.go_on_without_the_dead();
            }
            if self.time.now >= calm_at + interval && is_still {
                self.end_clients();
            }
            is_still |= self.scene.checker.is_one_ring(&self.hosts, false).is_ok();
        }
        self.end_clients();
        // The last requests of clients may still be on their way.
        while self.scene.checker.is_healed(&self.hosts).is_err() && self.time.now < deadline {
            self.run_until(self.time.now + interval / 4);
        }
        self.scene.checker.healed_at = Some(self.time.now);
        let healed_after = self.time.now - calm_at;
        self.tell(None, || "healed".to_owned());
        self.scene.checker.check_nothing_lost(&self.hosts);
        if !is_short || self.scene.checker.is_anybody_waiting() {
            self.run_until(self.time.now + self.scene.plan.request_timeout);
        }
        self.scene.checker.check_everybody_answered();
        self.ask_every_node();
        // Time to notice that a link has no other end.
        if self.scene.plan.is_patient {
            self.run_until(self.time.now + LINK_SILENCE_MAX.as_micros() as Micros);
        }
        self.run_until(self.time.now + if is_short { 1 } else { 3 } * interval);
        if self.scene.plan.apart_bytes < usize::MAX {
            self.let_versions_follow();
            self.leave_nothing_behind();
        }
        self.tell(None, || "silence".to_owned());
        self.scene.checker.begin_silence();
        for _ in 0..if is_short { 1 } else { 4 } {
            self.run_until(self.time.now + interval);
            self.scene.checker.check_silence(
                &self.hosts,
                &self.network,
                self.scene.plan.is_patient,
            );
            let mut healed = self.scene.checker.is_healed(&self.hosts);
            let is_of_versions = healed.as_ref().is_err_and(|why| why.contains("other versions"));
            if is_of_versions || (healed.is_err() && self.scene.plan.tombstone_ttl < TTL_LONG) {
                // Older versions follow when there is time; and members forget a deletion one after the
                // other, within an interval.
                self.run_until(self.time.now + 3 * interval);
                self.scene.checker.silences += 3;
                healed = self.scene.checker.is_healed(&self.hosts);
            }
            assert_eq!(healed, Ok(()), "the ring did not stay healed");
        }
        self.scene.checker.check_nothing_lost(&self.hosts);
        Report {
            healed_after,
            acknowledged: self.scene.checker.acknowledged,
            given_up: self.scene.checker.given_up,
            messages: self.scene.checker.messages,
        }
    }

    /// Large contents may come by SYNC before the write goes round again with another version. Then the
    /// first version is one more of the older ones, which members follow when they have nothing else to do.
    fn let_versions_follow(&mut self) {
        let differs = |why: &String| why.contains("other versions");
        let until = self.time.now + VERSIONS_FOLLOW_MAX;
        while self.scene.checker.is_healed(&self.hosts).is_err_and(|why| differs(&why))
            && self.time.now < until
        {
            self.run_until(self.time.now + self.scene.plan.check_interval);
        }
    }

    /// What was pulled in vain, or offered and not put, is soon forgotten.
    fn leave_nothing_behind(&mut self) {
        let until = self.time.now + LEFT_BEHIND_MAX;
        while let Some(host) = self.hosts.iter().find(|it| it.is_up() && it.store.has_arrivals()) {
            assert!(self.time.now < until, "n{} keeps a content that no file has", host.index);
            self.run_until(self.time.now + self.scene.plan.check_interval);
        }
    }

    /// Every node must take a PUT, and every node must then return it.
    fn ask_every_node(&mut self) {
        self.tell(None, || "last requests".to_owned());
        let live: Vec<_> = (0..self.hosts.len()).filter(|&i| self.hosts[i].is_up()).collect();
        for &host in &live {
            self.ask_last_put(host);
        }
        let delays = self.scene.disks.iter().filter_map(|disk| disk.delay);
        let disks = 4 * delays.fold(self.scene.plan.store_delay, Micros::max);
        // What is pulled may go round twice, with a few KEEPs behind it.
        let intervals = if self.scene.plan.apart_bytes < usize::MAX { 3 } else { 1 };
        self.run_until(self.time.now + intervals * self.scene.plan.check_interval + disks);
        self.scene.checker.check_last_puts(live.len(), self.scene.plan.min_copies);
        for &host in &live {
            self.ask_last_gets(host);
        }
        self.run_until(self.time.now + self.scene.plan.check_interval);
        self.scene.checker.check_last_gets();
    }
}

/// Prints the seed if a run ends in a panic.
struct Where(u64);

impl Drop for Where {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {seed} failed; SMOLRING_SEED={seed} replays it", seed = self.0);
        }
    }
}
