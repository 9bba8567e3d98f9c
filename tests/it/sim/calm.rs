//! What must hold in calm, for the ring as a whole.

use std::{collections::BTreeMap, net::SocketAddr};

use smolring::ring::message::{Answer, Status};

use super::{
    checker::{Checker, shown},
    plan::TTL_LONG,
};
use crate::world::{Host, Network};

impl Checker {
    /// Whether the live nodes are one ring with the same files, or why not.
    pub fn is_healed(&self, hosts: &[Host]) -> Result<(), String> {
        self.is_one_ring(hosts, true)
    }

    /// The same, perhaps while clients go on to write.
    pub fn is_one_ring(&self, hosts: &[Host], is_still: bool) -> Result<(), String> {
        let live: Vec<_> = hosts.iter().filter_map(|it| Some((it, it.up()?))).collect();
        let Some((first, up)) = live.first() else { return Ok(()) };
        let circle = up.node.view().circle_hash();
        let roomy = live.iter().find(|(_, up)| !up.node.is_full());
        let digest = roomy.map_or(up, |(_, up)| up).node.index().digest();
        let mut members: Vec<SocketAddr> = up.node.view().circle();
        members.sort_unstable();
        if members != live.iter().map(|(host, _)| host.address).collect::<Vec<_>>() {
            return Err(format!("{first} sees {}", up.node.view()));
        }
        for (host, up) in &live {
            if up.leaves_since.is_some() {
                return Err(format!("{host} has not left"));
            }
            if up.node.view().circle_hash() != circle {
                return Err(format!("{host} has another view than {first}"));
            }
            // A full node lacks what it had no room for.
            if is_still && up.node.index().digest() != digest && !up.node.is_full() {
                return Err(format!("{host} holds other files than {first}"));
            }
            let history = roomy.map_or(up, |(_, up)| up).node.index().history();
            if is_still && !self.has_small_store && up.node.index().history() != history {
                return Err(format!("{host} holds other versions than {first}"));
            }
            if !up.node.is_ready() {
                return Err(format!("{host} is not ready"));
            }
        }
        Ok(())
    }

    /// Nothing that was acknowledged is lost while one that held it lives.
    pub fn check_nothing_lost(&self, hosts: &[Host]) {
        let live = || hosts.iter().filter(|host| host.is_up());
        for holder in live() {
            for (name, version) in &self.floors[holder.index] {
                for host in live().filter(|it| it.up().is_some_and(|up| !up.node.is_full())) {
                    let held = host.index().get(name).map(|held| held.version);
                    assert!(
                        held >= Some(*version) || self.is_deleted(name, *version, held),
                        "{name} {version} is lost: {holder} held it, {host} has {}",
                        shown(held)
                    );
                }
            }
        }
    }

    /// In calm a PUT is answered 200, by every node.
    pub fn check_last_puts(&mut self, live: usize, min_copies: usize) {
        for id in std::mem::take(&mut self.last_requests) {
            match self.last_answers.remove(&id) {
                Some(Answer::Stored { copies, .. }) if copies == live => {}
                Some(Answer::Refused(it))
                    if self.has_small_store && it.status == Status::InsufficientStorage => {}
                // A disk that has failed is tried again after a while.
                Some(Answer::Refused(it))
                    if self.has_small_store && it.reason.contains("the disk of") => {}
                Some(Answer::Refused(it))
                    if live < min_copies && it.status == Status::Unavailable => {}
                other => panic!("in calm a PUT to {live} nodes is answered {other:?}"),
            }
        }
    }

    /// In calm every node returns the same file.
    pub fn check_last_gets(&mut self) {
        let mut versions = BTreeMap::new();
        for id in std::mem::take(&mut self.last_requests) {
            match self.last_answers.remove(&id) {
                Some(Answer::Found(item)) => {
                    let (version, body) = (item.version, item.body().expect("it was checked"));
                    let name =
                        &self.put_names[&self.put_of(body.content()).expect("it was checked")];
                    let known = *versions.entry(name.clone()).or_insert(version);
                    // A write that had no room everywhere was refused, and one that had room may have it.
                    let newest = (name.clone(), known.max(version));
                    let is_acked =
                        self.put_versions.get(&newest).is_none_or(|it| self.acked.contains(it));
                    assert!(
                        known == version || (self.has_small_store && !is_acked),
                        "two nodes return different versions of {name}: {known} and {version}"
                    );
                }
                Some(Answer::Refused(it)) if it.status == Status::NotFound => {}
                // A full node that is alone knows of files that no node has.
                Some(Answer::Refused(it))
                    if self.has_small_store && it.status == Status::Unavailable => {}
                other => panic!("in calm a GET is answered {other:?}"),
            }
        }
    }

    pub fn begin_silence(&mut self) {
        self.heard_in_silence.clear();
        self.silences = 0;
    }

    /// Without requests the ring does nothing but check. To be called once per check interval.
    pub fn check_silence(&mut self, hosts: &[Host], network: &Network, is_patient: bool) {
        self.silences += 1;
        let live = hosts.iter().filter(|host| host.is_up()).count();
        let checks = (self.silences + 1) * live * live;
        for (&kind, &count) in &self.heard_in_silence {
            let bound = match kind {
                "CHECK" | "CHECKED" => checks,
                // Now and then a full member is compared, in case it has room for what it lacks.
                "SYNC" | "MEET" if self.has_small_store => 2 * live * 260,
                // Older versions may come late where a member is full.
                "SYNC ITEM" if self.has_small_store => 10 * live * live,
                // Members forget a deletion within an interval, not at the same instant.
                "SYNC" if self.tombstone_ttl < TTL_LONG => 2 * live * 260,
                _ => 0,
            };
            assert!(count <= bound, "in silence there were {count} {kind}");
        }
        // A link to the successor, one from the predecessor, and perhaps an attempt to reach each
        // dead member.
        let rings = if live > 1 { 2 } else { 0 };
        // Each of the others may have left one behind that is not closed yet.
        let rings = if is_patient { rings } else { rings + hosts.len() };
        // Members beyond a full one are visited now and then.
        let visits = if self.has_small_store { live } else { 0 };
        let bound = rings + visits + hosts.len() - live;
        for (host, up) in hosts.iter().filter_map(|it| Some((it, it.up()?))) {
            assert!(up.links.len() <= bound, "in silence {host} has {} links", up.links.len());
        }
        let bound = hosts.len() * (bound + 1);
        let connections = network.connections.len();
        assert!(connections <= bound, "in silence there are {connections} connections");
    }
}
