//! The connections between nodes: one to the successor, some from others, a short one to look around.

use std::{net::SocketAddr, time::Duration};

use super::{
    event::{Event, LinkId, Output},
    limits::LINK_SILENCE_MAX,
    message::Peer,
    node::{Node, Phase},
    version::Time,
    view::ViewHash,
};

/// What is known of a link.
#[derive(Debug)]
pub(super) struct Link {
    /// Who is at the other end; of an incoming link, only after its MEET.
    pub(super) peer: Option<SocketAddr>,
    /// The last view that was sent on it.
    pub(super) told: Option<ViewHash>,
    /// MEETs received.
    pub(super) meets: u32,
    /// When it last brought something, or took something.
    pub(super) heard: Time,
}

/// The link to the successor.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) link: LinkId,
    pub(super) peer: SocketAddr,
    /// When its MEET came.
    pub(super) met: Option<Time>,
    /// When it last showed that it lives.
    pub(super) heard: Time,
    /// When the oldest question that it has not answered was asked.
    pub(super) asked: Option<Time>,
    /// Whether it has said that it has caught up.
    pub(super) is_ready: bool,
    /// It stands for a link that broke; what that one carried may be lost.
    pub(super) is_retry: bool,
}

/// A short link to a member of another ring, or to the ring that is to be joined.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) link: LinkId,
    pub(super) peer: SocketAddr,
    pub(super) until: Time,
}

impl Next {
    /// When it counts as dead if nothing is heard: after `timeout` of silence, but not before it
    /// has had half of that to answer.
    pub(super) fn dead_at(&self, timeout: Duration) -> Option<Time> {
        self.asked.map(|asked| (self.heard + timeout).max(asked + timeout / 2))
    }
}

impl Node {
    /// The link to say something on to the successor.
    pub(super) fn next_link(&self) -> Option<LinkId> {
        self.next.as_ref().map(|next| next.link)
    }

    /// A link has carried something. `answered`: a whole message of the other end.
    pub(super) fn heard(&mut self, now: Time, link: LinkId, answered: bool) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.heard = now;
        }
        if let Some(next) = self.next.as_mut().filter(|next| next.link == link) {
            next.heard = now;
            next.asked = next.asked.filter(|_| !answered).map(|_| now);
        }
    }

    /// Tells the other end of a link the whole view, unless that is the last thing it was told.
    pub(super) fn tell(&mut self, link: LinkId, out: &mut Vec<Output>) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        if entry.told.replace(self.full) != Some(self.full) {
            let node = self.config.address;
            let message = Peer::Meet { node, join: false, view: self.view.clone() };
            out.push(Output::Send { link, message });
        }
    }

    pub(super) fn new_link(&mut self, peer: Option<SocketAddr>) -> LinkId {
        self.links_made += 1;
        let link = LinkId(self.links_made);
        self.links.insert(link, Link { peer, told: None, meets: 0, heard: Time(0) });
        link
    }

    /// Opens the link to the successor.
    pub(super) fn link_next(
        &mut self,
        now: Time,
        to: SocketAddr,
        is_retry: bool,
        out: &mut Vec<Output>,
    ) {
        let link = self.new_link(Some(to));
        self.next = Some(Next {
            link,
            peer: to,
            met: None,
            heard: now,
            asked: Some(now),
            is_ready: false,
            is_retry,
        });
        out.push(Output::Connect { link, to });
        self.tell(link, out);
    }

    /// Ends a link once everything sent on it is out.
    pub(super) fn close(&mut self, link: LinkId, out: &mut Vec<Output>) {
        if self.links.remove(&link).is_some() {
            out.push(Output::Disconnect { link });
        }
    }

    /// Ends a link over which came what no node says.
    pub(super) fn nonsense(&mut self, now: Time, link: LinkId, why: &str, out: &mut Vec<Output>) {
        out.push(Output::Notify(Event::Nonsense { why: why.to_owned() }));
        out.push(Output::Disconnect { link });
        self.link_down(now, link, why.to_owned(), out);
    }

    /// A link has ended, or could never be opened.
    pub(super) fn link_down(
        &mut self,
        now: Time,
        link: LinkId,
        why: String,
        out: &mut Vec<Output>,
    ) {
        self.links.remove(&link);
        self.catchup.link_down(link);
        if self.probe.as_ref().is_some_and(|probe| probe.link == link) {
            self.probe_failed(now, why, out);
        } else if let Some(next) = self.next.take_if(|next| next.link == link) {
            // One quick retry for a link that has held for a while, or was never tried again.
            let held = next.met.is_some_and(|met| now.since(met) >= self.config.check_interval);
            if held || !next.is_retry {
                self.link_next(now, next.peer, true, out);
            } else {
                self.declare_dead(now, next.peer, why, out);
            }
        }
    }

    /// Whoever keeps a link to this node sends a CHECK every interval. One that has been silent
    /// for so long has lost its power or its cable, and nobody would ever say that the link is down.
    pub(super) fn close_silent(&mut self, now: Time, out: &mut Vec<Output>) {
        self.close_incoming(|_, it| now >= it.heard + LINK_SILENCE_MAX, out);
    }

    pub(super) fn close_incoming(
        &mut self,
        which: impl Fn(LinkId, &Link) -> bool,
        out: &mut Vec<Output>,
    ) {
        let own = [self.next_link(), self.probe.as_ref().map(|probe| probe.link)];
        let incoming = self.links.iter().filter(|(link, _)| !own.contains(&Some(**link)));
        let chosen: Vec<_> =
            incoming.filter(|(link, it)| which(**link, it)).map(|(&link, _)| link).collect();
        for link in chosen {
            self.catchup.link_down(link);
            self.close(link, out);
        }
    }

    /// Now and then a live ring tries its gone members: one try a check interval, by one of its
    /// members. So a network that has healed becomes one ring again with no operator.
    pub(super) fn look_around(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.probe.is_some() {
            return;
        }
        if let (Phase::Joining { .. }, Some(prev)) = (self.phase, self.config.prev) {
            return self.meet_with(now, prev, true, out);
        }
        if self.phase != Phase::Member || self.rng.below(self.live as u64) != 0 {
            return;
        }
        let gone: Vec<_> = self.view.members().filter(|(_, member)| !member.is_alive()).collect();
        if !gone.is_empty() {
            let pick = self.rng.below(gone.len() as u64) as usize;
            self.meet_with(now, gone[pick].0, false, out);
        }
    }

    fn meet_with(&mut self, now: Time, to: SocketAddr, join: bool, out: &mut Vec<Output>) {
        // Who wants to join may know a member by another of its addresses: its name is in its MEET.
        let link = self.new_link((!join).then_some(to));
        self.probe = Some(Probe { link, peer: to, until: now + self.config.check_timeout });
        let message = Peer::Meet { node: self.config.address, join, view: self.view.clone() };
        out.push(Output::Connect { link, to });
        out.push(Output::Send { link, message });
    }

    /// A member that is gone and stays so is no news; a ring that cannot be joined is.
    pub(super) fn probe_failed(&mut self, now: Time, why: String, out: &mut Vec<Output>) {
        let Some(prev) = self.probe.take().map(|probe| probe.peer).or(self.config.prev) else {
            return;
        };
        if let Phase::Joining { since, failed: false } = self.phase
            && now.since(since) >= self.config.check_timeout
        {
            self.phase = Phase::Joining { since, failed: true };
            out.push(Output::Notify(Event::JoinFailed { prev, why }));
        }
        if matches!(self.phase, Phase::Joining { .. }) {
            self.check_at = self.check_at.min(now + self.config.check_interval / 10);
        }
    }
}
