//! The members of the ring: MEET, the merging of views, going and coming back.

use std::{net::SocketAddr, time::Duration};

use super::{
    coverage::Covers,
    event::{Event, LinkId, Output},
    limits::{PROTOCOL, REST_MAX},
    message::{Answer, Greeting, Peer, Refusal, Role, Row, Status},
    node::{Node, Phase},
    short_links::RESTART_MS_MAX,
    version::Time,
    view::{Cause, Member, MemberState, View, ViewHash},
};

/// How often within [`BACKS_WITHIN`] a node comes back at once after it was declared gone.
const BACKS_AT_ONCE: usize = 3;
/// The time over which that is counted.
const BACKS_WITHIN: Duration = Duration::from_secs(60);
/// MEETs that one link carries; more mean that both ends contradict each other for ever.
const MEETS_PER_LINK_MAX: u32 = 64;

/// Remarks about other nodes that are remembered, so that they are not repeated.
const SAID_MAX: usize = 64;

impl Node {
    /// The MEET with which this node greets others.
    pub(super) fn greeting(&self, now: Time, link: LinkId, role: Role) -> Peer {
        Peer::Meet(Box::new(Greeting {
            node: self.config.address,
            role,
            protocol: PROTOCOL,
            ring: self.config.ring.clone(),
            clock_ms: self.clocks.own(now),
            knew: self.links.get(&link).map_or(0, |entry| entry.knew),
            view: self.view.clone(),
            covers: self.offered(),
        }))
    }

    /// What others may take from this node. A full one may lack files that others brought; but whatever
    /// was acknowledged with it as a member, it has.
    pub(super) fn offered(&self) -> Covers {
        let mut sound = match self.storing.is_confirmed_up_to(self.refused.learned_at()) {
            // Until the store has confirmed what it has pulled, it may have to go back.
            false => self.refused.settled().clone(),
            true if self.refused.is_empty() => return self.covers.clone(),
            true => self.refused.sound().clone(),
        };
        if self.covers.has(self.config.address, self.me.brings) {
            sound.add(self.config.address, self.me.brings);
        }
        sound
    }

    /// The other end of a link says which node it is and which members it knows.
    pub(super) fn met(
        &mut self,
        now: Time,
        link: LinkId,
        greeting: Greeting,
        out: &mut Vec<Output>,
    ) {
        let Greeting { node, role, protocol, ref ring, clock_ms, .. } = greeting;
        let entry = self.links.get_mut(&link).expect("received() looked it up");
        entry.meets += 1;
        if entry.meets > MEETS_PER_LINK_MAX {
            return self.nonsense(now, link, "two nodes cannot agree on one view", out);
        }
        let mine = &self.config.ring;
        let why_not = if protocol != PROTOCOL {
            Some(format!("it speaks protocol {protocol} and this node {PROTOCOL}: update one"))
        } else if ring != mine {
            Some(format!("it is of the ring {ring}, and this node of {mine}; see --ring"))
        } else if entry.peer.is_some_and(|peer| peer != node) {
            Some(format!("{node} answers there, which is not the node that was meant"))
        } else {
            None
        };
        if let Some(why) = why_not {
            return self.turn_away(now, link, node, &why, out);
        }
        if node == self.config.address {
            return self.met_itself(now, link, out);
        }
        let is_first = entry.peer.replace(node).is_none();
        entry.set_offer(&greeting.view, self.config.address, greeting.covers.clone());
        entry.is_visitor = role == Role::Visitor;
        if is_first {
            entry.knew = self.view.get(node).map_or(0, |member| member.brings);
        }
        self.hear_of_brings(greeting.knew);
        match role {
            Role::Newcomer => self.newcomer(now, link, &greeting, out),
            Role::Visitor => self.visited(now, link, node, is_first, &greeting.view, out),
            Role::Member => self.member_met(now, link, node, is_first, &greeting.view, out),
        }
        if clock_ms > 0 && self.view.is_alive(node) {
            self.clocks.heard(now, node, clock_ms);
        }
    }

    fn member_met(
        &mut self,
        now: Time,
        link: LinkId,
        node: SocketAddr,
        is_first: bool,
        view: &View,
        out: &mut Vec<Output>,
    ) {
        let is_short = self.short_links.is_short(link);
        if is_first && !is_short && self.next_link() != Some(link) {
            // Another node keeps one link to this; an older one is left over from a broken cable.
            self.close_incoming(
                |older, it| older != link && it.peer == Some(node) && !it.is_visitor,
                out,
            );
        }
        if self.phase == Phase::Joining {
            return self.member_met_while_joining(now, link, is_first, view, out);
        }
        self.meet(now, node, view, out);
        self.relinked(now, link, out);
        // The first MEET of a link is answered in any case, later ones only with news.
        if is_first || self.full != view.full_hash() {
            self.tell(now, link, out);
        } else if let Some(entry) = self.links.get_mut(&link) {
            entry.meets = 1;
        }
        self.short_link_met(link, node, out);
    }

    /// Two views meet: within one ring they merge; where two rings meet, each side vouches first.
    fn meet(&mut self, now: Time, node: SocketAddr, view: &View, out: &mut Vec<Output>) {
        let same_ring = view.is_alive(self.config.address) && self.view.is_alive(node);
        // They have gone on without this node, which has not gone on without them.
        let theirs = view.get(self.config.address);
        let was_out = self.view.is_alive(node)
            && theirs.is_some_and(|it| matches!(it.state, MemberState::Gone { .. }));
        if !same_ring && view.is_alive(node) && self.phase == Phase::Member {
            self.view.vouch(view);
            self.me = self.view.get(self.config.address).expect("a node is in its own view");
            let is_known = view.is_alive(self.config.address) || self.view.is_alive(node);
            if !is_known && self.live > 1 && view.circle().len() > 1 {
                out.push(Output::Notify(Event::Met { member: node }));
            }
        }
        self.absorb(now, view, out);
        if was_out && view.is_alive(node) {
            self.count_back(now, out);
        }
    }

    /// The successor has answered on a new link. If that replaces one that broke, what the broken
    /// one carried is lost: a new incarnation of the successor makes a new circle, and every
    /// creator sends what it has in flight again.
    fn relinked(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let Some(next) = self.next.as_mut().filter(|next| next.link == link) else { return };
        if next.met.replace(now).is_some() {
            return;
        }
        next.pace.sample(now.since(next.linked));
        let is_retry = next.is_retry;
        self.reached_next();
        let Some(next) = &self.next else { return };
        if !is_retry {
            // A newcomer need not wait for the next round to learn what it lacks.
            return self.begin_check(now, out);
        }
        let member = next.peer;
        if let Some(mut entry) = self.view.get(member).filter(Member::is_alive) {
            entry.incarnation = entry.incarnation.saturating_add(1);
            self.view.set(member, entry);
            out.push(Output::Notify(Event::Relinked { member }));
            self.note_change(out);
        }
    }

    /// Takes over what is newer in another view; defends this node's own entry.
    pub(super) fn absorb(&mut self, now: Time, view: &View, out: &mut Vec<Output>) {
        let me = self.config.address;
        let theirs = view.get(me);
        let seen = theirs.map_or(self.me, |theirs| theirs.merge(self.me));
        let before = self.view.clone();
        let kept = self.config.forget_after;
        if let Err(full) = self.view.merge(view, self.clocks.ring(now), kept) {
            return out.push(Output::Notify(Event::Nonsense { why: full.to_string() }));
        }
        self.name_who_is_out(now, &before, out);
        let is_back = self.defend(seen, out);
        if let Some(theirs) = theirs {
            self.me.lost = self.me.lost.max(theirs.lost);
            self.hear_of_brings(theirs.brings);
        }
        // A member has gone on without files that this node holds: they are to be followed again.
        let was_given_up = self.view.members().any(|(member, entry)| {
            let known = before.get(member).map_or(0, |it| it.lost);
            entry.lost > known && self.covers.has(member, entry.lost)
        });
        self.show_me();
        // As when this node declares its successor dead: what follows is acknowledged without that
        // member, and a member that left may come back to another part of the ring.
        let has_lost_next = self
            .next
            .as_ref()
            .is_some_and(|next| before.is_alive(next.peer) && !self.view.is_alive(next.peer));
        let is_in = matches!(self.phase, Phase::Member | Phase::Finishing { .. });
        // Others have gone on without what it brings: they are to follow it again.
        let is_lost = self.me.brings > 0 && self.me.lost >= self.me.brings;
        if is_in && (was_given_up || has_lost_next || is_lost) {
            self.raise(now);
        }
        if is_back {
            self.count_back(now, out);
        }
        self.note_change(out);
    }

    /// What others say of this node has been merged into `seen`. Says whether they took it for dead.
    fn defend(&mut self, seen: Member, out: &mut Vec<Output>) -> bool {
        let position = self.me.position;
        match self.phase {
            _ if seen.incarnation == self.me.incarnation && seen.state == self.me.state => {
                self.me.position = seen.position;
            }
            Phase::Leaving { .. } | Phase::Left if seen.is_alive() => {
                self.me.incarnation = seen.incarnation;
            }
            Phase::Leaving { .. } | Phase::Left => {
                self.me.incarnation = seen.incarnation;
                self.me.state = seen.state;
            }
            _ if seen.is_alive() && seen.position == position => {
                self.me.incarnation = seen.incarnation;
            }
            _ if seen.is_alive() => {
                self.me.position = seen.position;
                self.me.incarnation = seen.incarnation.saturating_add(1);
            }
            _ => {
                self.me.incarnation = seen.incarnation.saturating_add(1);
                out.push(Output::Notify(Event::Back));
                return true;
            }
        }
        false
    }

    /// Others say what this node brings: perhaps from an earlier life.
    pub(super) fn hear_of_brings(&mut self, brings: u64) {
        if self.own.heard(brings, self.me.brings) {
            if brings >= self.me.brings {
                // A life that brings something of its own brings more than the earlier one.
                let more = u64::from(self.own.brings_something());
                (self.me.brings, self.me.from) = (brings + more, 0);
                self.me.within = ViewHash(0);
            }
            self.show_me();
            self.unsettled = true;
        }
    }

    /// Covers the number that a member has raised, if this node covered the one before and both are
    /// in the circle in which it was raised: then it takes part in all that is acknowledged there.
    fn learn_of_raises(&mut self) {
        if !matches!(self.phase, Phase::Member | Phase::Finishing { .. }) {
            return;
        }
        let me = self.config.address;
        for (member, entry) in self.view.members() {
            if entry.brings == 0 || member == me || self.covers.has(member, entry.brings) {
                continue;
            }
            // In a circle of that member and this node alone nothing was acknowledged without this one.
            let alone = || {
                let mut two = View::default();
                two.set(me, self.me);
                two.set(member, Member { state: MemberState::Alive, ..entry });
                two.circle_hash()
            };
            let is_here = entry.within == self.circle || entry.within == alone();
            // What was given up counts as covered, but nobody has followed it.
            let was_given_up = entry.from > 0 && entry.from <= entry.lost;
            if is_here && !was_given_up && self.covers.has(member, entry.from) {
                self.unsettled |= self.learned.add(member, entry.brings);
                self.covers.add(member, entry.brings);
                self.refused.note_raise(member, entry.from, entry.brings);
            }
        }
    }

    fn name_who_is_out(&mut self, now: Time, before: &View, out: &mut Vec<Output>) {
        for (member, entry) in self.view.members() {
            let earlier = before.get(member);
            if let (None, MemberState::Left { since_ms }) = (earlier, entry.state)
                && self.clocks.ring(now).saturating_sub(since_ms) < 2 * RESTART_MS_MAX
            {
                // It left shortly before this node came, by clocks that may be a minute apart.
                self.seeking.has_left(member, now);
            }
            let was_alive = earlier.is_some_and(|it| it.is_alive());
            if was_alive && !entry.is_alive() && member != self.config.address {
                if matches!(entry.state, MemberState::Left { .. }) {
                    self.seeking.has_left(member, now);
                }
                out.push(Output::Notify(Event::Out { member, state: entry.state }));
            }
        }
    }

    /// Writes this node's own entry into its view.
    pub(super) fn show_me(&mut self) {
        let entry = match self.phase {
            // It counts itself out until it is taken in.
            Phase::Joining => {
                let known = self.view.get(self.config.address);
                let since_ms = known.and_then(|it| it.out_since_ms()).unwrap_or(0);
                let cause = Cause::Restarted;
                Member { state: MemberState::Gone { since_ms, cause }, ..self.me }
            }
            _ => self.me,
        };
        self.view.set(self.config.address, entry);
    }

    /// A node that is declared gone again and again stays out for a while, so that the others can go
    /// on; then it asks to be taken in, by a member that can reach it.
    fn count_back(&mut self, now: Time, out: &mut Vec<Output>) {
        self.note_back(now);
        let is_in = matches!(self.phase, Phase::Member | Phase::Finishing { .. });
        if self.backs.len() > BACKS_AT_ONCE && is_in {
            if let Phase::Finishing { until } = self.phase {
                // It goes back before it leaves: the others may lack what only it has.
                self.leaves_by = Some(until);
            }
            let why = format!(
                "the others have declared it gone {} times within {BACKS_WITHIN:?}: can its \
                 predecessor reach it at {}?",
                self.backs.len(),
                self.config.address
            );
            self.stay_out(now, why, out);
        }
    }

    fn note_back(&mut self, now: Time) {
        self.backs.push_back(now);
        while self.backs.front().is_some_and(|&at| now.since(at) > BACKS_WITHIN) {
            self.backs.pop_front();
        }
    }

    /// This node stays out of the ring for a while, each time for longer, so that the others can go on;
    /// then it asks to be taken in, by a member that can reach it.
    pub(super) fn stay_out(&mut self, now: Time, why: String, out: &mut Vec<Output>) {
        if self.joining.has_been_in_for(now) > REST_MAX * 2 {
            self.rests = 0;
        }
        let delay = self.config.check_interval * 2u32.pow(self.rests.min(8));
        let delay = delay.min(REST_MAX);
        self.rests += 1;
        let why = format!("this node stays out of the ring for {delay:?}: {why}");
        out.push(Output::Notify(Event::Waiting { why }));
        self.rest(now, delay, out);
    }

    /// To be called whenever the view may have changed.
    pub(super) fn note_change(&mut self, out: &mut Vec<Output>) {
        let (circle, full) = (self.circle, self.full);
        self.hash_view();
        self.untended |= full != self.full;
        if full != self.full {
            self.unsettled = true;
            self.learn_of_raises();
        }
        if circle != self.circle {
            self.clocks.keep_live(&self.view);
            self.learned.prune(&self.view);
            self.refused.prune(&self.view);
            out.push(Output::Notify(Event::List(self.view.clone())));
        }
    }

    /// Updates what is cached of the view.
    pub(super) fn hash_view(&mut self) {
        self.circle = self.view.circle_hash();
        self.full = self.view.full_hash();
        self.live = self.view.circle().len();
        self.keepers = self.view.members().filter(|(_, it)| it.is_alive() && it.keeps).count();
    }

    /// This node goes on without a member. If that one comes back, it must follow what is
    /// acknowledged from now on: so this node brings more than before.
    pub(super) fn declare_dead(
        &mut self,
        now: Time,
        member: SocketAddr,
        cause: Cause,
        why: String,
        out: &mut Vec<Output>,
    ) {
        let Some(mut entry) = self.view.get(member) else { return };
        entry.state = MemberState::Gone { since_ms: self.clocks.ring(now), cause };
        self.view.set(member, entry);
        if !self.is_leaving() {
            self.raise(now);
        }
        out.push(Output::Notify(Event::Dead { member, why }));
        self.note_change(out);
    }

    /// Reports something about another node, unless the same was reported lately.
    pub(super) fn mention(&mut self, node: SocketAddr, why: &str, out: &mut Vec<Output>) {
        if self.said.iter().any(|(it, said)| *it == node && said == why) {
            return;
        }
        self.said.push_back((node, why.to_owned()));
        if self.said.len() > SAID_MAX {
            self.said.pop_front();
        }
        out.push(Output::Notify(Event::Refused { node, why: why.to_owned() }));
    }

    /// The members for RING, live ones first and in the order of the circle.
    pub(super) fn rows(&self, now: Time) -> Vec<Row> {
        let me = self.config.address;
        let circle = self.view.circle();
        let out = self.view.members().filter(|(_, member)| !member.is_alive());
        let order = circle.into_iter().chain(out.map(|(address, _)| address));
        let row = |address| {
            let member = self.view.get(address).expect("it is of the view");
            let report = match address == me {
                true => Some(self.report(now)),
                false => self.reports.of.get(&address).copied(),
            };
            let report = report.filter(|_| member.is_alive());
            let clock_off_ms = self.clocks.off_ms(address, me).filter(|_| member.is_alive());
            Row { address, member, report, clock_off_ms }
        };
        order.map(row).collect()
    }

    /// A gone member will not return: it is not sought any more, and no node waits for what it alone
    /// had.
    pub(super) fn forget(
        &mut self,
        now: Time,
        address: SocketAddr,
        out: &mut Vec<Output>,
    ) -> Answer {
        let Some(mut entry) = self.view.get(address) else {
            let reason = format!("{address} is no member that this node knows");
            return Answer::Refused(Refusal::new(Status::NotFound, reason));
        };
        if entry.is_alive() || address == self.config.address {
            let reason = format!("{address} is alive; end it first");
            return Answer::Refused(Refusal::new(Status::BadRequest, reason));
        }
        // It must not look as if it had just left, and might be started again.
        let long_ago_ms = self.clocks.ring(now).saturating_sub(RESTART_MS_MAX);
        let since_ms = entry.out_since_ms().unwrap_or(0).min(long_ago_ms);
        entry.state = MemberState::Left { since_ms };
        self.view.set(address, entry);
        self.seeking.forget(address);
        self.giving_up.at_once(address);
        self.note_change(out);
        Answer::Forgotten { address }
    }

    /// A node that is out of the circle and still linked to this one may not know that it is out.
    pub(super) fn tell_who_is_out(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.phase == Phase::Joining {
            return;
        }
        let mut to_tell = Vec::new();
        for (&link, entry) in
            self.links.iter_mut().filter(|(link, _)| !self.short_links.is_short(**link))
        {
            let peer = entry.peer.and_then(|peer| self.view.get(peer));
            let is_out = peer.is_some_and(|peer| !peer.is_alive());
            if is_out && !entry.is_told_out {
                to_tell.push(link);
            }
            entry.is_told_out = is_out;
        }
        for link in to_tell {
            self.tell(now, link, out);
        }
    }

    /// This node knows that it cannot reach its successor: it declares that one dead or, if it has
    /// just come between the two neighbours, stays out itself.
    pub(super) fn do_without(&mut self, now: Time, member: SocketAddr, out: &mut Vec<Output>) {
        if self.came_between(now, member) {
            let why = format!("it cannot reach its successor {member}");
            self.stay_out(now, why, out);
        } else {
            let why = "it still cannot be reached from here".to_owned();
            self.declare_dead(now, member, Cause::Broken, why, out);
        }
        self.tend(now, out);
    }
}
