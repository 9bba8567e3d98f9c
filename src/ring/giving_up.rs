//! What happens where files are out of reach: where no live member covers what a gone member brought.
//!
//! Every CHECK collects what all that it passes can give. As long as a pair is missing from that,
//! no node is ready, and what is not found everywhere is answered 503. If that lasts for
//! [`give_up_after`](super::Config::give_up_after), a node asks every live member, one after the
//! other, for all files that it has. Then no live member has more than this node has, so it may say
//! that it covers the pair; the others learn that from it by catching up. The view notes what was
//! given up in [`lost`](super::view::Member::lost): members that come back and do have the files
//! bring them again.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{
    coverage::Covers,
    event::{Event, LinkTarget, Output},
    message::Role,
    node::{Node, Phase},
    short_links::Purpose,
    version::Time,
};

/// What a node is doing about files that are out of reach.
#[derive(Debug, Default)]
pub(super) struct GivingUp {
    /// Since when something is out of reach.
    since: Option<Time>,
    /// Members that are given up without waiting.
    at_once: BTreeSet<SocketAddr>,
    /// Live members that are still to be asked, and the one that is being asked.
    to_ask: Option<Vec<SocketAddr>>,
}

impl GivingUp {
    /// An operator says that this member will not return.
    pub(super) fn at_once(&mut self, member: SocketAddr) {
        self.at_once.insert(member);
    }
}

impl Node {
    /// A CHECK has collected what the others can give.
    pub(super) fn look_for_lost(&mut self, now: Time, held: &Covers, out: &mut Vec<Output>) {
        let lacks = self
            .covers
            .lacks(&self.view, self.config.address)
            .filter(|&(member, it)| !held.has(member, it));
        let lost: Vec<_> = lacks.map(|(member, _)| member).collect();
        if lost.is_empty() {
            self.giving_up = GivingUp::default();
            return;
        }
        let since = *self.giving_up.since.get_or_insert(now);
        let is_due = now.since(since) >= self.config.give_up_after;
        let is_told = lost.iter().all(|member| self.giving_up.at_once.contains(member));
        if !(is_due || is_told) || self.phase != Phase::Member {
            return;
        }
        if self.giving_up.to_ask.is_none() {
            let mut others = self.view.circle();
            others.retain(|&it| it != self.config.address);
            self.giving_up.to_ask = Some(others);
        }
        self.ask_next(now, out);
    }

    /// Asks the next member for what it has, or goes on without what no member has.
    pub(super) fn ask_next(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(to_ask) = &mut self.giving_up.to_ask else { return };
        to_ask.retain(|&member| self.view.is_alive(member));
        if let Some(&member) = to_ask.last() {
            if !self.catchup.is_busy() && self.short_links.count(|it| it == Purpose::Visit) == 0 {
                self.visit(now, member, out);
            }
            return;
        }
        self.give_up(now, out);
    }

    /// The member that was asked last has given what it has.
    pub(super) fn asked(&mut self, now: Time, member: SocketAddr, out: &mut Vec<Output>) {
        if let Some(to_ask) = &mut self.giving_up.to_ask {
            to_ask.retain(|&it| it != member);
            self.ask_next(now, out);
        }
    }

    fn give_up(&mut self, now: Time, out: &mut Vec<Output>) {
        self.giving_up = GivingUp::default();
        let lacks: Vec<_> = self.covers.lacks(&self.view, self.config.address).collect();
        for &(member, brings) in &lacks {
            self.learned.add(member, brings);
            if let Some(mut entry) = self.view.get(member) {
                entry.lost = entry.lost.max(brings);
                self.view.set(member, entry);
            }
        }
        self.me.lost = self.view.get(self.config.address).map_or(0, |me| me.lost);
        self.unsettled = true;
        let members = lacks.into_iter().map(|(member, _)| member).collect();
        out.push(Output::Notify(Event::GaveUp { members }));
        self.note_change(out);
        self.begin_check(now, out);
    }

    /// Opens a link to a member that is not the predecessor, to ask it for files.
    pub(super) fn visit(&mut self, now: Time, member: SocketAddr, out: &mut Vec<Output>) {
        self.open_short_link(now, Purpose::Visit, LinkTarget::Node(member), Role::Visitor, out);
    }

    /// A visit came to nothing; the next CHECK begins again.
    pub(super) fn visit_failed(&mut self) {
        self.giving_up.to_ask = None;
    }
}
