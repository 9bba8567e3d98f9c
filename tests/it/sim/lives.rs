//! The lives of hosts: how they are started, and how they end.

use smolring::ring::{
    Config, Input,
    limits::FORGET_AFTER,
    name::Name,
    version::{Stamp, Version},
};

use super::{
    clients::content,
    faults::PlannedCrash,
    plan::duration,
    scene::{Event, Sim, in_ms},
};
use crate::world::{EPOCH_MS, Event as Planned, Host, Micros, Rng, Running, World, ms};

/// Clocks differ by up to this much, unless one jumps.
const SKEW_MS_MAX: u64 = 57_000;

/// Most clocks are nearly right.
pub fn skew(rng: &mut Rng) -> u64 {
    let most = rng.pick(&[0, 100, 4000, SKEW_MS_MAX]);
    rng.range(0, most + 1)
}

impl World<Sim> {
    // ---- lives

    /// A host begins a life with what it holds, or with nothing.
    pub fn start(&mut self, index: usize, keeps: bool) {
        self.start_as(index, keeps, None);
    }

    /// The same. The operator may say after which member, or that it is to begin a ring.
    pub fn start_as(&mut self, index: usize, keeps: bool, told: Option<Option<usize>>) {
        if self.hosts[index].is_up() {
            return;
        }
        let away = self.time.now - self.hosts[index].down_since;
        // What it holds may have been deleted and the deletion forgotten: that is set aside.
        if !keeps || away >= self.scene.plan.tombstone_ttl {
            self.hosts[index].store.clear();
            self.hosts[index].last_seen = None;
            self.hosts[index].lost_at = Some(self.time.now);
            self.scene.checker.memory_lost(index);
        }
        if self.hosts[index].life == 0 && index == 0 {
            self.stock();
        }
        let room = self.scene.plan.store_bytes_max(index);
        let keep_versions = self.scene.plan.keep_versions;
        self.hosts[index].keep_versions = keep_versions;
        let held = self.hosts[index].store.open(room, keep_versions);
        let has_ring = self.returns_by_itself(index);
        // One that keeps files goes back to its ring by itself.
        let prev = match told {
            Some(prev) => prev,
            None if has_ring && self.time.rng.chance(80) => None,
            None => self.choose_prev(index),
        };
        if prev.is_none() && !has_ring && told.is_none() {
            self.restart_waiting_nodes();
        }
        // An operator who is sure that there is no ring need not have the node wait for one.
        let may_bootstrap = !has_ring
            && prev.is_none()
            && (self.scene.plan.patience.is_some() || self.time.rng.chance(50));
        let bootstrap = told == Some(None) || may_bootstrap;
        let last_seen = self.hosts[index].last_seen.clone();
        let last_seen = last_seen.filter(|_| has_ring);
        let host = &mut self.hosts[index];
        if self.time.rng.chance(30) {
            host.skew_ms = skew(&mut self.time.rng);
        }
        let config = Config {
            address: host.address,
            prevs: prev.iter().map(|&prev| self.hosts[prev].address.to_string()).collect(),
            ring: self.scene.plan.ring.into(),
            bootstrap,
            forget_after: FORGET_AFTER,
            give_up_after: duration(self.scene.plan.give_up_after),
            check_interval: duration(self.scene.plan.check_interval),
            check_timeout: duration(self.scene.plan.check_timeout),
            request_timeout: duration(self.scene.plan.request_timeout),
            min_copies: self.scene.plan.min_copies,
            max_file_bytes: self.scene.plan.file_bytes_max,
            apart_bytes: self.scene.plan.apart_bytes,
            offer_bytes: self.scene.plan.offer_bytes,
            tombstone_ttl: duration(self.scene.plan.tombstone_ttl),
            keeps: self.scene.plan.keeps(index),
            last_seen,
            seed: self.time.rng.next(),
            started_ms: self.hosts[index].wall_ms(self.time.now),
            release: None,
        };
        let files = held.len();
        self.tell(Some(index), || match prev {
            Some(prev) => format!("starts after n{prev} with {files} files"),
            None if has_ring => format!("starts again with {files} files"),
            None => format!("starts a ring with {files} files"),
        });
        self.begin_life(index, config, held);
        if let Some(up) = self.hosts[index].up_mut() {
            up.prev = prev;
        }
    }

    /// The first host may begin with more files than one synchronisation asks for at once.
    fn stock(&mut self) {
        for n in 0..self.scene.plan.stock {
            let name = Name::new(&format!("stock/{n}")).expect("this is a name");
            let put = self.scene.checker.next_put(&name);
            let content = content(put, 20);
            let stamp = Stamp::at_ms(EPOCH_MS - 2000);
            let version = Version { stamp, node: self.hosts[0].address };
            self.hosts[0].store.put(&name, version, content.into());
        }
    }

    /// Whether a host has the members of its ring on its disk.
    fn returns_by_itself(&self, host: usize) -> bool {
        let last_seen = self.hosts[host].last_seen.as_ref();
        self.scene.plan.returns
            && self.scene.plan.keeps(host)
            && last_seen.is_some_and(|it| !it.members.is_empty())
    }

    /// The operator names a live member, if there is one. Some start the first node of a ring as
    /// they always did, without one; then the nodes that knew it must find it.
    fn choose_prev(&mut self, index: usize) -> Option<usize> {
        let address = self.hosts[index].address;
        let knows = |up: &Running| up.has_joined() && up.node.view().get(address).is_some();
        let is_known = self.hosts.iter().any(|host| host.up().is_some_and(knows));
        let is_calm = self.time.now >= self.scene.plan.calm_at;
        if index == 0 && self.scene.plan.first_forgets_prev && is_known && !is_calm {
            return None;
        }
        let joined = |it: &&Host| it.index != index && it.up().is_some_and(Running::has_joined);
        let joined: Vec<_> = self.hosts.iter().filter(joined).map(|it| it.index).collect();
        // Those that go back to their ring by themselves will be in it, once they are started.
        let returns = |it: &&Host| it.index != index && self.returns_by_itself(it.index);
        let returning: Vec<_> = self.hosts.iter().filter(returns).map(|it| it.index).collect();
        let up: Vec<_> = returning.iter().copied().filter(|&it| self.hosts[it].is_up()).collect();
        let best = [joined, up, returning].into_iter().find(|it| !it.is_empty());
        self.time.rng.pick_any(&best.unwrap_or_default())
    }

    /// Where a new ring begins, the operator restarts the nodes that wait for an old one; else
    /// there might be two rings in the end that never hear of each other.
    fn restart_waiting_nodes(&mut self) {
        for host in 0..self.hosts.len() {
            let up = self.hosts[host].up();
            if up.is_some_and(|up| up.leaves_since.is_none() && !up.has_joined()) {
                self.crash(host, false);
                self.plan_after(ms(10), Event::Start { host, keeps: true });
            }
        }
    }

    /// A life ends without notice. `is_silent`: the machine is off, and nothing tells the others.
    pub fn crash(&mut self, index: usize, is_silent: bool) {
        self.scene.crashes[index] = None;
        self.hosts[index].crashed_at = Some(self.time.now);
        let life = self.hosts[index].life;
        if self.hosts[index].is_up() {
            self.end_life(index, is_silent);
            self.clients_lost(index, life);
        }
    }

    /// A host handles nothing for this long.
    pub fn pause_for(&mut self, index: usize, length: Micros) {
        let host = &self.hosts[index];
        if host.is_up() && !host.is_paused() {
            let life = host.life;
            self.pause(index);
            self.time.after(length, Planned::Resume { host: index, life });
        }
    }

    /// Asks a node to leave its ring gracefully.
    pub fn leave(&mut self, index: usize) {
        let now = self.time.now;
        let Some(up) = self.hosts[index].up_mut().filter(|up| !up.is_paused) else { return };
        if up.leaves_since.is_none() {
            up.leaves_since = Some(now);
            self.tell(Some(index), || "# is asked to leave".to_owned());
            self.step(index, Input::Leave);
        }
    }

    /// A host crashes, and will come back.
    pub fn crash_as_planned(&mut self, index: usize, planned: PlannedCrash) {
        self.tell(Some(index), || {
            let how = if planned.is_silent { "loses power" } else { "crashes" };
            let what = if planned.keeps { "" } else { " and forgets" };
            format!("# {how}{what} for {}", in_ms(planned.length))
        });
        self.crash(index, planned.is_silent);
        self.plan_after(planned.length, Event::Start { host: index, keeps: planned.keeps });
    }
}
