//! What must hold at every step of a node, and of every message.

use std::collections::BTreeMap;

use smolring::ring::{
    Output,
    index::Index,
    item::Value,
    message::{Carried, Envelope, OpId, Peer, Sync},
    name::Name,
    version::Version,
};

use super::{Checker, LINK_BYTES_MAX, LINKS_MAX, Seen, members_of, shown};
use crate::{
    sim::Plan,
    world::{EPOCH_MS, Host, Micros, encode_peer, first_line},
};

/// The clocks of hosts differ by less than this while none jumps.
const CLOCK_OFF_MS_MAX: u64 = 70_000;

impl Checker {
    /// A node has left gracefully: what it had promised to have is held by another of its ring.
    pub fn check_left_behind(&self, now: Micros, host: &Host, hosts: &[Host], plan: &Plan) {
        let up = host.up().expect("it is just leaving");
        let has_waited = up.leaves_since.is_some_and(|at| now >= at + plan.request_timeout);
        let mates = hosts.iter().filter(|it| {
            // One whose life has ended meanwhile may be known as it was then.
            let is_same = it.crashed_at < up.leaves_since;
            let is_known = up.node.view().is_alive(it.address);
            it.index != host.index && it.is_up() && is_same && is_known
        });
        let mates: Vec<_> = mates.collect();
        // One that crashes at the same time may have been the only other; it may be back by now.
        let mut others = hosts.iter().filter(|it| it.index != host.index);
        let has_crashed = others.any(|it| it.lost_at >= up.leaves_since);
        // Where all leave there is nobody to hold anything.
        let all_leave = mates.iter().all(|it| it.up().is_some_and(|up| up.leaves_since.is_some()));
        if has_waited || has_crashed || all_leave {
            return;
        }
        for (name, &version) in &self.floors[host.index] {
            let holds = |it: &&&Host| {
                let held = it.index().get(name).map(|held| held.version);
                held >= Some(version) || self.is_deleted(name, version, held)
            };
            // One that has just crashed held it when this one decided to leave.
            let view = up.node.view();
            let is_there = |it: &&Host| {
                it.is_up() || view.is_alive(it.address) || it.crashed_at >= up.leaves_since
            };
            let others = hosts.iter().filter(|it| it.index != host.index && is_there(it));
            let holder = others.collect::<Vec<_>>().iter().find(holds).is_some();
            assert!(holder, "{host} has left with {name} {version}");
        }
    }

    pub fn memory_lost(&mut self, host: usize) {
        self.floors[host].clear();
    }

    /// Looks into a node after a step.
    pub fn inspect(&mut self, now: Micros, host: &Host, wanted: &[Output], plan: &Plan) {
        let up = host.up().expect("it has taken a step");
        assert!(up.links.len() <= LINKS_MAX, "{host} has {} links", up.links.len());
        let members = up.node.view().members().len();
        assert!(members <= plan.hosts, "{host} knows {members} members");
        self.inspect_index(now, host, up.node.index());
        for output in wanted {
            match output {
                Output::Store { name, version, value, .. } if *value != Value::Tombstone => {
                    let content = match value {
                        Value::Content { content, .. } => content,
                        Value::Arrived { arrival, .. } => &host.store.arrivals[arrival],
                        Value::Tombstone => continue,
                    };
                    let put = self.put_of(content);
                    let put = put.unwrap_or_else(|| panic!("{host} holds what nobody has put"));
                    self.learn(put, name, *version);
                }
                Output::Store { name, version, value: Value::Tombstone, .. } => {
                    self.tombstones.insert((name.clone(), *version));
                }
                _ => {}
            }
        }
        for it in self.pending.values().filter(|it| (it.host, it.life) == (host.index, host.life)) {
            let Some(begun_at) = it.begun_at else { continue };
            let deadline = (begun_at + plan.request_timeout).max(up.resumed_at);
            assert!(now <= deadline, "{host} answers {:?} too late", it.wish);
        }
    }

    /// In an index, versions only ever grow.
    fn inspect_index(&mut self, now: Micros, host: &Host, index: &Index) {
        // By which clock a ring goes is not known here; faults do not turn clocks further than this.
        let now_ms = EPOCH_MS + now / 1000 + CLOCK_OFF_MS_MAX;
        // A deletion that is forgotten takes all before it along, also where there was no room for it.
        let is_forgotten = |name: &Name, version: Version| {
            let later = self.tombstones.range((name.clone(), version)..);
            let mut deletions = later.take_while(|(it, _)| it == name);
            deletions.any(|(_, it)| {
                it.stamp.wall_ms() + self.tombstone_ttl / 1000 <= now_ms || self.may_repeat
            })
        };
        let seen = &mut self.seen[host.index];
        if seen.life == host.life && seen.digest == index.digest() {
            return;
        }
        let before = match seen.life == host.life {
            true => std::mem::take(&mut seen.versions),
            false => BTreeMap::new(),
        };
        let mut after: BTreeMap<Name, Version> = BTreeMap::new();
        // What the store could not keep may go; what it has confirmed may not.
        let held: Box<dyn Iterator<Item = _>> = match self.has_small_store {
            true => Box::new(host.store.confirmed().map(|(name, held)| (name.clone(), held))),
            false => Box::new(index.all().map(|(name, held)| (name, held.version))),
        };
        for (name, version) in held {
            let newest = after.entry(name).or_insert(version);
            *newest = version.max(*newest);
        }
        for (name, version) in &before {
            let now = after.get(name);
            let text = || shown(now.copied());
            let is_later = now >= Some(version) || (now.is_none() && is_forgotten(name, *version));
            assert!(is_later, "{host} had {name} {version} and now has {}", text());
        }
        *seen = Seen { life: host.life, digest: index.digest(), versions: after };
    }

    pub fn sent(&mut self, host: &Host, message: &Envelope) {
        if let Peer::ForwardPut(forward) = &message.message
            && forward.carried == Carried::Tombstone
        {
            self.tombstones.insert((forward.name.clone(), forward.version));
        }
        if let Some((op, view)) = forwarded(message)
            && op.creator == host.address
        {
            self.travels.entry((op, view)).or_default().sent += 1;
        }
    }

    /// The circle that a PUT of this node has closed counts when it is answered, which may be later.
    fn note_closed(&mut self, host: &Host, message: &Envelope) {
        if let Peer::ForwardPut(forward) = &message.message
            && forward.op.creator == host.address
            && let Some(up) = host.up()
            && up.node.view().circle_hash() == forward.view
        {
            let closed = (host.index, host.life, forward.name.clone(), forward.version);
            self.closed.insert(closed, members_of(host));
        }
    }

    /// A node is about to handle a message. A node that handles one sending twice lets the message
    /// circle.
    pub fn handled(&mut self, host: &Host, message: &Envelope) {
        self.note_closed(host, message);
        let host = host.index;
        self.messages += 1;
        *self.heard_in_silence.entry(kind(message)).or_default() += 1;
        if let Some(key) = forwarded(message) {
            let travel = self.travels.entry(key).or_default();
            let handled = travel.handled.entry(host).or_default();
            *handled += 1;
            let (handled, sent) = (*handled, travel.sent);
            assert!(
                handled <= sent,
                "n{host} handles {} {handled} times, sent {sent}",
                first_line(&encode_peer(message))
            );
        }
    }

    pub fn queued(&self, bytes: usize) {
        assert!(bytes <= LINK_BYTES_MAX, "{bytes} bytes wait in one link");
    }
}

fn forwarded(message: &Envelope) -> Option<(OpId, u64)> {
    match &message.message {
        Peer::ForwardPut(it) => Some((it.op, it.view.0)),
        Peer::ForwardGet(it) => Some((it.op, it.view.0)),
        _ => None,
    }
}

fn kind(message: &Envelope) -> &'static str {
    match message.message {
        Peer::Meet(_) => "MEET",
        Peer::Refuse { .. } => "REFUSE",
        Peer::Check(_) => "CHECK",
        Peer::Checked { .. } => "CHECKED",
        Peer::ForwardPut(_) => "FORWARD PUT",
        Peer::ForwardGet(_) => "FORWARD GET",
        Peer::Offer(_) => "OFFER",
        Peer::Keep(_) => "KEEP",
        Peer::Sync(Sync::Item { .. }) => "SYNC ITEM",
        Peer::Sync(_) => "SYNC",
    }
}
