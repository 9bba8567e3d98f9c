//! Who is in the ring: MEET and CHECK, coming, going, and coming back.

use std::net::SocketAddr;

use super::{
    event::{Event, LinkId, Output},
    limits::{MEETS_PER_LINK_MAX, MEMBERS_MAX},
    message::{Check, OpId, Peer},
    node::{Node, Phase},
    version::Time,
    view::{Full, Member, State, View},
};

impl Node {
    /// The other end of a link says who it is and whom it knows.
    pub(super) fn met(
        &mut self,
        now: Time,
        link: LinkId,
        node: SocketAddr,
        join: bool,
        view: View,
        out: &mut Vec<Output>,
    ) {
        let entry = self.links.get_mut(&link).expect("received() looked it up");
        entry.meets += 1;
        if entry.meets > MEETS_PER_LINK_MAX {
            return self.nonsense(now, link, "two nodes cannot agree on one view", out);
        }
        if node == self.config.address || entry.peer.is_some_and(|peer| peer != node) {
            let why = format!("{node} answers there, which is not the node that was meant");
            return self.nonsense(now, link, &why, out);
        }
        let is_first = entry.peer.replace(node).is_none();
        if join && self.phase != Phase::Member {
            // Even on the link to the successor, which must then be opened anew.
            out.push(Output::Disconnect { link });
            return self.link_down(now, link, "this node takes no one in now".into(), out);
        }
        if join {
            return self.tell(link, out);
        }
        let is_probe = self.probe.as_ref().is_some_and(|probe| probe.link == link);
        if is_first && !is_probe {
            // Another node keeps one link to this; an older one is left over of a broken cable.
            self.close_incoming(|older, it| older != link && it.peer == Some(node), out);
        }
        if is_probe
            && matches!(self.phase, Phase::Joining { .. })
            && let Err(full) = self.take_place(&view, node)
        {
            out.push(Output::Disconnect { link });
            return self.link_down(now, link, full.to_string(), out);
        }
        self.meet(now, node, &view, out);
        self.relinked(now, link, out);
        // The first MEET of a link is answered in any case, later ones only with news.
        if is_first || self.full != view.full_hash() {
            self.tell(link, out);
        } else if let Some(entry) = self.links.get_mut(&link) {
            entry.meets = 1;
        }
        if is_probe {
            self.probe = None;
            self.close(link, out);
        }
    }

    /// Two views meet: within one ring they merge; where two rings meet, each side vouches first.
    fn meet(&mut self, now: Time, node: SocketAddr, view: &View, out: &mut Vec<Output>) {
        let same_ring = view.is_alive(self.config.address) && self.view.is_alive(node);
        if !same_ring && view.is_alive(node) && self.phase == Phase::Member {
            self.ready &= !self.has_missed_something(node, view);
            self.view.vouch(view);
            self.me = self.view.get(self.config.address).expect("a node is in its own view");
            if self.view.get(node).is_some() {
                out.push(Output::Notify(Event::Met { member: node }));
            }
        }
        self.absorb(now, view, out);
    }

    /// Whether the other ring is the one to catch up with: it remembers an earlier life of this node,
    /// which knows nothing of it; or it has gone on without this node and is the larger of the two,
    /// or the one with the lowest address. Whom both call alive is in theirs.
    fn has_missed_something(&self, node: SocketAddr, view: &View) -> bool {
        let me = self.config.address;
        let remembers_earlier = view.get(me).is_some_and(|it| it.incarnation < self.me.incarnation);
        let has_restarted = self.view.get(node).is_none() && remembers_earlier;
        let theirs = view.circle();
        let mut ours = self.view.circle();
        ours.retain(|&it| !view.is_alive(it));
        let is_smaller = (ours.len(), theirs.iter().min()) < (theirs.len(), ours.iter().min());
        has_restarted || (!view.is_alive(me) && is_smaller)
    }

    /// The successor has answered on a new link. If that stands for one that broke, what the
    /// broken one carried is lost: a new incarnation of the successor makes a new circle, and
    /// every creator sends what it has in flight anew.
    fn relinked(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let Some(next) = self.next.as_mut().filter(|next| next.link == link) else { return };
        if next.met.replace(now).is_some() {
            return;
        }
        if !next.is_retry {
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

    /// The place of a newcomer: right after `prev`, in a new life if it was known before.
    fn take_place(&mut self, view: &View, prev: SocketAddr) -> Result<(), Full> {
        let earlier = view.get(self.config.address).map_or(0, |member| member.incarnation);
        let mut ring = view.clone();
        ring.set(self.config.address, Member { state: State::Gone { since_ms: 0 }, ..self.me });
        if ring.circle().len() >= MEMBERS_MAX {
            return Err(Full);
        }
        self.me.position = ring.position_after(prev);
        self.me.incarnation = self.me.incarnation.max(earlier).saturating_add(1);
        self.view.set(self.config.address, self.me);
        self.phase = Phase::Member;
        Ok(())
    }

    /// A CHECK comes round: take over its view, answer it, pass it on, compare the tables.
    pub(super) fn check(&mut self, now: Time, link: LinkId, check: Check, out: &mut Vec<Output>) {
        let theirs = check.view.full_hash();
        self.absorb(now, &check.view, out);
        let view = (self.full != theirs).then(|| self.view.clone());
        if let Some(entry) = self.links.get_mut(&link) {
            entry.told = Some(self.full);
        }
        let Check { op, digest, ready, .. } = check;
        let answer = Peer::Checked { op, ready: self.ready, view };
        out.push(Output::Send { link, message: answer });
        let same = check.same && digest == self.table.digest();
        if op.creator == self.config.address {
            out.push(Output::Notify(Event::Circle { members: check.hops.saturating_add(1) }));
            self.forward_dropped(op.count, out);
            if same && !self.ready && self.phase == Phase::Member {
                self.become_ready(out);
            }
        } else if self.view.is_alive(op.creator) && check.hops < MEMBERS_MAX {
            self.send_check(now, op, same, check.hops + 1, out);
        }
        self.compare(now, link, digest, ready, out);
    }

    fn send_check(&mut self, now: Time, op: OpId, same: bool, hops: usize, out: &mut Vec<Output>) {
        let Some(next) = &mut self.next else { return };
        next.asked.get_or_insert(now);
        let link = next.link;
        self.links.get_mut(&link).expect("the next link is a link").told = Some(self.full);
        let (digest, ready, view) = (self.table.digest(), self.ready, self.view.clone());
        let check = Check { op, digest, ready, same, hops, view };
        out.push(Output::Send { link, message: Peer::Check(check) });
    }

    /// Sends a CHECK of this node's own on its way.
    pub(super) fn begin_check(&mut self, now: Time, out: &mut Vec<Output>) {
        self.checks_made += 1;
        let op = OpId { creator: self.config.address, count: self.checks_made };
        self.send_check(now, op, true, 0, out);
    }

    /// Takes over what another view knows better; defends this node's own entry.
    pub(super) fn absorb(&mut self, now: Time, view: &View, out: &mut Vec<Output>) {
        let wall_ms = self.wall_ms(now);
        // Looked at before the merge, which forgets members that are said to be gone for long.
        let seen = view.get(self.config.address).map_or(self.me, |theirs| theirs.max(self.me));
        if let Err(full) = self.view.merge(view, wall_ms) {
            return out.push(Output::Notify(Event::Nonsense { why: full.to_string() }));
        }
        match self.phase {
            _ if seen == self.me => {}
            Phase::Leaving { .. } | Phase::Left if seen.is_alive() => {
                self.me.incarnation = seen.incarnation;
            }
            Phase::Leaving { .. } | Phase::Left => self.me = seen,
            Phase::Joining { .. } => {
                // Its earlier life is still in the list: take its place, in a new life.
                self.me.position = seen.position;
                self.me.incarnation = seen.incarnation.saturating_add(1);
            }
            _ if seen.is_alive() && seen.position == self.me.position => {
                self.me.incarnation = seen.incarnation;
            }
            _ => {
                self.me.incarnation = seen.incarnation.saturating_add(1);
                self.ready = false;
                out.push(Output::Notify(Event::Back));
            }
        }
        self.view.set(self.config.address, self.me);
        if matches!(self.phase, Phase::Joining { .. }) && self.view.circle().len() > 1 {
            self.phase = Phase::Member;
        }
        self.note_change(out);
    }

    /// To be called whenever the view may have changed.
    pub(super) fn note_change(&mut self, out: &mut Vec<Output>) {
        let (circle, full) = (self.circle, self.full);
        self.hash_view();
        self.untended |= full != self.full;
        if circle != self.circle {
            out.push(Output::Notify(Event::List(self.view.clone())));
        }
    }

    /// Brings up to date what is kept of the view.
    pub(super) fn hash_view(&mut self) {
        self.circle = self.view.circle_hash();
        self.full = self.view.full_hash();
        self.live = self.view.circle().len();
    }

    pub(super) fn declare_dead(
        &mut self,
        now: Time,
        member: SocketAddr,
        why: String,
        out: &mut Vec<Output>,
    ) {
        let Some(mut entry) = self.view.get(member) else { return };
        entry.state = State::Gone { since_ms: self.wall_ms(now) };
        self.view.set(member, entry);
        out.push(Output::Notify(Event::Dead { member, why }));
        self.note_change(out);
    }

    pub(super) fn become_ready(&mut self, out: &mut Vec<Output>) {
        self.ready = true;
        out.push(Output::Notify(Event::Ready));
    }
}
