//! Versions that a full node had no room for.
//!
//! Nothing that was refused on its way round was acknowledged in that circle. So what a node covered
//! before, it still has, and others can take it from there; what it has compared since without having
//! to refuse anything, it has as well. When that is all that was ever brought, no member can have
//! acknowledged what is still refused: it is nowhere, and is forgotten.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    coverage::Covers,
    item::Ticket,
    name::Name,
    version::{Stamp, Version},
    view::View,
};

/// Refused versions that one full node remembers.
const REFUSED_MAX: usize = 65_536;

/// What a node knows of but could not keep: so it neither asks for it again and again, nor answers an
/// older version as if that were the newest.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// With their bytes; a tombstone has none.
    files: BTreeMap<Name, (Version, Option<usize>)>,
    /// There were more than it remembers.
    has_forgotten: bool,
    /// What it has learned and does have, while anything is refused.
    sound: Covers,
    /// What the store was given last when this node learned something.
    learned_at: Ticket,
    /// What it had learned when the store had last confirmed all of that.
    settled: Covers,
}

impl Refused {
    /// Whether anything was refused that is not here by now.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.has_forgotten
    }

    /// Whether this node knows of every file, though it may not hold it.
    pub(super) fn is_complete(&self) -> bool {
        !self.has_forgotten
    }

    /// There was no room for a version of this many bytes, or for a tombstone.
    pub(super) fn add(&mut self, name: &Name, version: Version, bytes: Option<usize>) {
        if self.files.get(name).is_some_and(|&(known, _)| known >= version) {
            return;
        }
        if self.files.len() >= REFUSED_MAX && !self.files.contains_key(name) {
            self.has_forgotten = true;
        } else {
            self.files.insert(name.clone(), (version, bytes));
        }
    }

    /// This version of a file is here now.
    pub(super) fn kept(&mut self, name: &Name, version: Version) {
        if self.files.get(name).is_some_and(|&(refused, _)| refused <= version) {
            self.files.remove(name);
        }
    }

    /// Forgets tombstones that are older than `before`, but those of names for which `is_busy` says so.
    pub(super) fn forget_deleted(
        &mut self,
        before: Stamp,
        is_busy: impl Fn(&Name) -> bool,
    ) -> Vec<(Name, Version)> {
        let is_old =
            |(version, bytes): &(Version, Option<usize>)| bytes.is_none() && version.stamp < before;
        let old = self.files.iter().filter(|(name, it)| is_old(it) && !is_busy(name));
        let old: Vec<_> = old.map(|(name, it)| (name.clone(), it.0)).collect();
        for (name, _) in &old {
            self.files.remove(name);
        }
        old
    }

    /// The refused version of this name, if there is one.
    pub(super) fn get(&self, name: &Name) -> Option<Version> {
        self.files.get(name).map(|&(version, _)| version)
    }

    /// What was refused, in the order of names after `after`: name, bytes if it is a file, version.
    pub(super) fn list(
        &self,
        after: &str,
    ) -> impl Iterator<Item = (&Name, Option<usize>, Version)> {
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let files = self.files.range::<str, _>(range);
        files.map(|(name, &(version, bytes))| (name, bytes, version))
    }

    /// A comparison with another member has found nothing that had no room.
    pub(super) fn all_known(&mut self) {
        self.has_forgotten = false;
    }

    /// What the node has learned and does have, though there are files that it has not.
    pub(super) fn sound(&self) -> &Covers {
        &self.sound
    }

    /// The first is refused; until then the node has had all that it has learned.
    pub(super) fn begin(&mut self, learned: Covers) {
        self.sound = learned;
    }

    /// The node has all that another member covers. What the store has been given may still fail.
    pub(super) fn learned(&mut self, covers: &Covers, last_ticket: Ticket, is_settled: bool) {
        let before = is_settled.then(|| self.sound.clone());
        if self.sound.add_all(covers) {
            self.learned_at = last_ticket;
            self.settled = before.unwrap_or_else(|| std::mem::take(&mut self.settled));
        }
    }

    /// What the store was given last when this node learned something.
    pub(super) fn learned_at(&self) -> Ticket {
        self.learned_at
    }

    /// What the node had learned when the store had last confirmed all of that.
    pub(super) fn settled(&self) -> &Covers {
        &self.settled
    }

    /// A member has raised its number in the circle of this node.
    pub(super) fn note_raise(&mut self, member: SocketAddr, from: u64, brings: u64) {
        if self.sound.has(member, from) {
            self.sound.add(member, brings);
        }
    }

    /// The store could not keep this. If the node has learned something since, it lacks some of that.
    pub(super) fn failed(&mut self, ticket: Ticket) {
        if ticket <= self.learned_at {
            self.start_over();
        }
    }

    /// The node has to compare again what it has learned.
    pub(super) fn start_over(&mut self) {
        (self.sound, self.settled) = (Covers::default(), Covers::default());
    }

    /// Drops what is known of addresses that are not in the view.
    pub(super) fn prune(&mut self, view: &View) {
        self.sound.prune(view);
    }

    /// What was refused is nowhere.
    pub(super) fn clear(&mut self) {
        self.files.clear();
        self.has_forgotten = false;
    }
}
