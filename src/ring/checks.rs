//! CHECK: the pulse of the ring.
//!
//! Each node sends one every interval, and at once where there is news or doubt. It goes round, and
//! every node that it passes answers its sender, takes over the view, compares its own table with
//! the sender's, and adds its own report. When it comes back, the node that began it knows what all
//! the others hold and what their clocks show.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    coverage::Covers,
    event::{Event, LinkId, Output},
    limits::MEMBERS_MAX,
    message::{Check, OpId, Peer, Report},
    node::{Node, Phase},
    version::Time,
    view::{View, ViewHash},
};

/// A CHECK that took longer than this to go round says nothing about the clocks that it has read.
const CLOCK_ROUND_MAX: Duration = Duration::from_secs(1);

/// What the last CHECK that came back has collected.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// What each member says of itself.
    pub(super) of: BTreeMap<SocketAddr, Report>,
    /// What the others of a circle can give together.
    pub(super) held: Option<(ViewHash, Covers)>,
    /// What CHECKs up to this one have collected does not count: this node leaves, and others may have
    /// begun to leave since.
    pub(super) held_after: u64,
    /// The circle in which all other members are leaving too: none will be left to hold anything.
    pub(super) nobody_stays: Option<ViewHash>,
    /// When the CHECKs that are under way were sent: by count, the newest only.
    sent: Option<(u64, Time)>,
}

impl Node {
    /// What this node says of itself.
    pub(super) fn report(&self, now: Time) -> Report {
        Report {
            clock_ms: self.clocks.own(now),
            ready: self.ready,
            full: !self.refused.is_empty(),
            files: self.index.len(),
            bytes: self.index.bytes(),
            leaving: self.phase != Phase::Member,
            digest: Some(self.index.digest()),
            started_ms: Some(self.config.started_ms),
            round_trip_us: self.next.as_ref().and_then(|next| next.pace.round_trip_us()),
            release: self.config.release,
        }
    }

    /// A CHECK comes round: take over its view, answer it, pass it on, compare the tables.
    pub(super) fn check(
        &mut self,
        now: Time,
        link: LinkId,
        mut check: Check,
        out: &mut Vec<Output>,
    ) {
        let theirs = check.view.full_hash();
        self.absorb(now, &check.view, out);
        if self.phase == Phase::Joining {
            return;
        }
        let view = (self.full != theirs).then(|| self.view.clone());
        if let Some(entry) = self.links.get_mut(&link) {
            entry.told = Some(self.full);
            entry.set_offer(&check.view, self.config.address, std::mem::take(&mut check.covers));
        }
        let op = check.op;
        self.say(link, Peer::Checked { op, view }, out);
        let theirs = (check.digest, check.history);
        let is_full = |peer| check.reports.get(&peer).is_some_and(|it: &Report| it.full);
        let peer = self.links.get(&link).and_then(|entry| entry.peer);
        let pred_is_full = peer.is_some_and(is_full);
        if op.creator == self.config.address {
            self.check_returned(now, check, out);
        } else if self.view.is_alive(op.creator)
            && check.hops < MEMBERS_MAX
            && self.next.as_ref().map(|next| next.peer) == self.view.successor(self.config.address)
        {
            if self.phase == Phase::Member {
                // A member that leaves cannot give it later.
                check.held.add_all(&self.offered());
            }
            check.reports.insert(self.config.address, self.report(now));
            check.hops += 1;
            self.send_check(now, check, out);
        }
        self.compare(now, link, theirs, pred_is_full, out);
    }

    /// A CHECK of this node has gone all round.
    fn check_returned(&mut self, now: Time, check: Check, out: &mut Vec<Output>) {
        let Check { op, hops, held, reports, .. } = check;
        out.push(Output::Notify(Event::Circle { members: hops.saturating_add(1) }));
        self.forward_dropped(op.count, out);
        if let Some((_, sent)) = self.reports.sent.filter(|&(count, _)| count == op.count)
            && now.since(sent) <= CLOCK_ROUND_MAX
        {
            let me = self.config.address;
            let others = reports.iter().filter(|(it, _)| **it != me && self.view.is_alive(**it));
            for (&member, report) in others {
                self.clocks.measured(member, report.clock_ms, sent, now);
            }
        }
        for (member, off_ms) in self.clocks.news(self.config.address) {
            out.push(Output::Notify(Event::Clock { member, off_ms }));
        }
        self.unsettled |= self.doubts.take_if(|doubts| op.count >= *doubts).is_some();
        self.look_for_lost(now, &held, out);
        let mut circle = self.view.circle().into_iter();
        let is_whole = circle.all(|it| it == self.config.address || reports.contains_key(&it));
        if op.count > self.reports.held_after && is_whole {
            self.reports.held = Some((self.circle, held));
            let me = self.config.address;
            let all_leave = reports.iter().all(|(it, report)| *it == me || report.leaving);
            self.reports.nobody_stays = all_leave.then_some(self.circle);
        }
        self.reports.of = reports;
    }

    /// The successor has answered a CHECK.
    pub(super) fn checked(
        &mut self,
        now: Time,
        link: LinkId,
        op: OpId,
        view: Option<View>,
        out: &mut Vec<Output>,
    ) {
        if let Some(next) = self.next.as_mut().filter(|next| next.link == link)
            && op.creator == self.config.address
        {
            next.load.answered(op.count);
            if let Some((_, sent)) = self.reports.sent.filter(|&(count, _)| count == op.count) {
                next.pace.sample(now.since(sent));
            }
        }
        if let Some(view) = view {
            self.absorb(now, &view, out);
        }
    }

    fn send_check(&mut self, now: Time, mut check: Check, out: &mut Vec<Output>) {
        let Some(next) = &mut self.next else { return };
        next.asked.get_or_insert(now);
        if check.op.creator == self.config.address {
            next.load.followed_by(check.op.count);
        }
        let link = next.link;
        self.links.get_mut(&link).expect("the next link is a link").told = Some(self.full);
        (check.digest, check.history) = (self.index.digest(), self.index.history());
        (check.view, check.covers) = (self.view.clone(), self.offered());
        self.say(link, Peer::Check(Box::new(check)), out);
    }

    /// Sends a CHECK of this node's own on its way.
    pub(super) fn begin_check(&mut self, now: Time, out: &mut Vec<Output>) {
        self.checks_made += 1;
        self.reports.sent = Some((self.checks_made, now));
        let op = OpId { creator: self.config.address, count: self.checks_made };
        let check = Check {
            op,
            digest: self.index.digest(),
            history: self.index.history(),
            hops: 0,
            view: View::default(),
            covers: Covers::default(),
            held: Covers::default(),
            reports: BTreeMap::from([(self.config.address, self.report(now))]),
        };
        self.send_check(now, check, out);
    }
}
