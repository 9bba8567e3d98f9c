//! The links between nodes: one to the successor, some from others.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    coverage::Covers,
    event::{Event, LinkId, LinkTarget, Output},
    limits::{CHECK_TIMEOUT_MIN, LINK_SILENCE_MAX, MEMBERS_MAX, REST_MAX, SCOUTS_MAX},
    message::{Body, Item, Peer, Role},
    node::{Node, Phase},
    version::Time,
    view::{Cause, View, ViewHash},
};

/// The bandwidth that is assumed where large contents extend a successor's timeout.
const SLOW_LINE_BYTES_PER_SECOND: f64 = 512.0 * 1024.0;
/// How long a new successor has to greet, in a ring that is quick otherwise.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// The content of a file delays answers on a slow line from this size on.
const LARGE_CONTENT_BYTES: usize = 16 << 10;

/// What is known of a link.
#[derive(Debug)]
pub(super) struct Link {
    /// The node at the other end; of an incoming link, only after its MEET.
    pub(super) peer: Option<SocketAddr>,
    /// The last view that was sent on it.
    pub(super) told: Option<ViewHash>,
    /// MEETs received.
    pub(super) meets: u32,
    /// When it last carried anything, in either direction.
    pub(super) heard: Time,
    /// What the other end covers, as it last said.
    pub(super) offer: Covers,
    /// What the other end brought, as this node knew it before the other greeted.
    pub(super) knew: u64,
    /// The other end was told that it is out of the circle.
    pub(super) is_told_out: bool,
    /// The other end has greeted as a visitor.
    pub(super) is_visitor: bool,
}

impl Link {
    /// The other end says what it covers, with the view in which it does so. If it counts this node
    /// as gone, it goes on without it, and what it covers counts for nothing.
    pub(super) fn set_offer(&mut self, view: &View, me: SocketAddr, covers: Covers) {
        self.offer = if view.is_alive(me) { covers } else { Covers::default() };
    }
}

/// The link to the successor.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) link: LinkId,
    pub(super) peer: SocketAddr,
    /// When this node began to open it.
    pub(super) linked: Time,
    /// When its MEET came.
    pub(super) met: Option<Time>,
    /// When it last showed that it is alive.
    pub(super) heard: Time,
    /// When the oldest question that it has not answered was asked.
    pub(super) asked: Option<Time>,
    /// It replaces a link that broke; what that one carried may be lost.
    pub(super) is_retry: bool,
    /// How quickly it answers.
    pub(super) pace: Pace,
    /// The successor before it was quick, so it is likely to be quick as well.
    is_quick_ring: bool,
    /// Large contents on their way to it.
    pub(super) load: Load,
    /// Members behind it that were asked whether they live: when, and whether they have answered.
    pub(super) scouts: BTreeMap<SocketAddr, Scout>,
}

/// Large contents that are on their way to the successor: what it is asked waits behind them. That
/// they have arrived is known when it answers a CHECK that was sent after them; an answer to an
/// earlier one says nothing about them.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Load {
    /// Bytes that were sent before the CHECK of this count, and that count.
    before: Option<(usize, u64)>,
    /// Bytes that were sent since. The maximum if the link was seen to be congested.
    since: usize,
}

impl Load {
    fn bytes(&self) -> usize {
        self.since.saturating_add(self.before.map_or(0, |(bytes, _)| bytes))
    }

    fn add(&mut self, bytes: usize) {
        self.since = self.since.saturating_add(bytes);
    }

    /// A CHECK of this node's own, the `count`-th, goes out behind it.
    pub(super) fn followed_by(&mut self, count: u64) {
        if self.before.is_none() && self.since > 0 {
            self.before = Some((std::mem::take(&mut self.since), count));
        }
    }

    /// A CHECK of this node's own, the `count`-th, was answered.
    pub(super) fn answered(&mut self, count: u64) {
        self.before.take_if(|(_, check)| count >= *check);
    }
}

/// A member behind a silent successor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scout {
    pub(super) asked: Time,
    pub(super) has_answered: bool,
}

/// How quickly a successor answers: mean and deviation of the round trips, as TCP measures them
/// (Jacobson and Karels, 1988; RFC 6298).
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pace {
    mean: Duration,
    deviation: Duration,
}

impl Pace {
    pub(super) fn sample(&mut self, round_trip: Duration) {
        if self.mean.is_zero() {
            (self.mean, self.deviation) = (round_trip, round_trip / 2);
        } else {
            let error = self.mean.abs_diff(round_trip);
            self.deviation = self.deviation * 3 / 4 + error / 4;
            self.mean = self.mean * 7 / 8 + round_trip / 8;
        }
    }

    /// How long an answer usually takes, in microseconds.
    pub(super) fn round_trip_us(&self) -> Option<u32> {
        let micros = Some(self.mean).filter(|mean| !mean.is_zero())?.as_micros();
        Some(u32::try_from(micros).unwrap_or(u32::MAX))
    }

    /// Whether a successor of its kind is expected to greet within [`FIRST_ANSWER`].
    fn is_quick(&self) -> bool {
        !self.mean.is_zero() && self.mean * 10 < FIRST_ANSWER
    }

    /// How long an answer may take, `timeout_max` at the most.
    pub(super) fn timeout(&self, timeout_max: Duration) -> Duration {
        match self.mean.is_zero() {
            true => timeout_max,
            false => (self.mean * 2 + self.deviation * 8).max(CHECK_TIMEOUT_MIN).min(timeout_max),
        }
    }
}

impl Next {
    /// How long it may take to answer: longer behind large contents, if the line is slow.
    pub(super) fn timeout(&self, timeout_max: Duration) -> Duration {
        let laden = Duration::from_secs_f64(self.load.bytes() as f64 / SLOW_LINE_BYTES_PER_SECOND);
        self.pace.timeout(timeout_max).saturating_add(laden).min(timeout_max)
    }

    /// The same before it has greeted: a link of a ring that is quick otherwise has less time.
    fn first_timeout(&self, timeout_max: Duration) -> Duration {
        match self.met.is_none() && self.is_quick_ring {
            true => FIRST_ANSWER.min(timeout_max),
            false => self.timeout(timeout_max),
        }
    }

    /// When it counts as dead if nothing is heard.
    pub(super) fn dead_at(&self, timeout_max: Duration) -> Option<Time> {
        self.asked.map(|asked| self.heard.max(asked) + self.first_timeout(timeout_max))
    }

    /// When those behind it are to be asked, as it may be dead.
    fn doubted_at(&self, timeout_max: Duration) -> Option<Time> {
        let half = self.timeout(timeout_max) / 2;
        self.asked.filter(|_| self.scouts.is_empty()).map(|asked| self.heard.max(asked) + half)
    }

    /// When it is to be looked at next.
    pub(super) fn alarm(&self, timeout_max: Duration) -> Option<Time> {
        let dead_at = self.dead_at(timeout_max)?;
        Some(self.doubted_at(timeout_max).map_or(dead_at, |it| it.min(dead_at)))
    }
}

impl Node {
    /// The link on which to send to the successor.
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
            if answered {
                next.scouts.clear();
            } else {
                next.load.add(usize::MAX);
            }
        }
        self.short_links.heard(link, now + self.config.check_timeout);
    }

    /// A large content that goes out to the successor keeps what comes behind it.
    pub(super) fn note_load(&mut self, link: LinkId, message: &Peer) {
        let body = message.item().and_then(Item::body);
        let bytes = match body {
            Some(Body::Apart { .. }) | None => 0,
            Some(body) => body.len(),
        };
        if let Some(next) = self.next.as_mut().filter(|next| next.link == link)
            && bytes >= LARGE_CONTENT_BYTES
        {
            next.load.add(bytes);
        }
    }

    /// Tells the other end of a link the whole view, unless it was the last one sent on that link.
    pub(super) fn tell(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let Some(entry) = self.links.get_mut(&link).filter(|entry| !entry.is_visitor) else {
            return;
        };
        if entry.told.replace(self.full) != Some(self.full) {
            self.say(link, self.greeting(now, link, Role::Member), out);
        }
    }

    pub(super) fn new_link(&mut self, peer: Option<SocketAddr>) -> LinkId {
        self.links_made += 1;
        let link = LinkId(self.links_made);
        let entry = Link {
            peer,
            told: None,
            meets: 0,
            heard: Time(0),
            offer: Covers::default(),
            knew: 0,
            is_told_out: false,
            is_visitor: false,
        };
        self.links.insert(link, entry);
        link
    }

    /// The successor has answered: this node can reach it.
    pub(super) fn reached_next(&mut self) {
        let Some(next) = &self.next else { return };
        self.is_quick_ring = next.pace.is_quick();
        self.unreachable.remove(&next.peer);
    }

    /// Whether this node has tried to reach a member again and again, and lately.
    pub(super) fn is_unreachable(&self, now: Time, member: SocketAddr) -> bool {
        self.unreachable.get(&member).is_some_and(|&(until, _)| now < until)
    }

    /// A successor never answered on its link. After some attempts the next one is put off.
    fn note_unreachable(&mut self, now: Time, member: SocketAddr) {
        if self.unreachable.len() >= MEMBERS_MAX {
            self.unreachable.pop_first();
        }
        let (until, fails) = self.unreachable.entry(member).or_insert((now, 0));
        *fails += 1;
        if let Some(doublings) = fails.checked_sub(2) {
            let delay = self.config.check_interval * 2u32.pow(doublings.min(8));
            *until = now + delay.min(REST_MAX);
        }
    }

    /// Whether this node was taken in lately, between its predecessor and this successor: the two could
    /// reach each other until then, and the predecessor is the one to judge.
    pub(super) fn came_between(&self, now: Time, successor: SocketAddr) -> bool {
        self.phase == Phase::Member
            && self.joining.was_taken_in_lately(now)
            && self.view.predecessor(self.config.address).is_some_and(|it| it != successor)
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
            linked: now,
            met: None,
            heard: now,
            asked: Some(now),
            is_retry,
            pace: Pace::default(),
            is_quick_ring: self.is_quick_ring,
            load: Load::default(),
            scouts: BTreeMap::new(),
        });
        out.push(Output::Connect { link, to: LinkTarget::Node(to) });
        self.tell(now, link, out);
    }

    /// Ends a link once everything sent on it is out.
    pub(super) fn close(&mut self, link: LinkId, out: &mut Vec<Output>) {
        if self.links.remove(&link).is_some() {
            self.catchup.link_down(link);
            out.push(Output::Disconnect { link });
        }
    }

    /// Closes a link that has brought something that no correct node sends.
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
        self.short_link_failed(now, link, &why, out);
        if let Some(next) = self.next.take_if(|next| next.link == link) {
            // One quick retry for a link that has held for a while, or that was not itself a retry.
            let held = next.met.is_some_and(|met| now.since(met) >= self.config.check_interval);
            if held || !next.is_retry {
                let (pace, scouts) = (next.pace, next.scouts);
                self.link_next(now, next.peer, true, out);
                let next = self.next.as_mut().expect("it was just made");
                (next.pace, next.scouts) = (pace, scouts);
            } else {
                let cause = match why.contains("refused") {
                    true => Cause::Refused,
                    false => Cause::Broken,
                };
                self.successor_died(now, next, cause, why, out);
            }
        }
    }

    /// Looks whether the successor is still there, and asks those behind it if that is in doubt.
    pub(super) fn check_next(&mut self, now: Time, out: &mut Vec<Output>) {
        let timeout = self.config.check_timeout;
        let is_dead = |next: &mut Next| next.dead_at(timeout).is_some_and(|at| now >= at);
        if let Some(next) = self.next.take_if(is_dead) {
            self.close(next.link, out);
            let why = format!("no answer for {:?}", next.first_timeout(timeout));
            return self.successor_died(now, next, Cause::Silent, why, out);
        }
        let doubted_at = self.next.as_ref().and_then(|next| next.doubted_at(timeout));
        if doubted_at.is_some_and(|at| now >= at) {
            self.send_scouts(now, out);
        }
    }

    /// Asks the members behind the successor whether they live while it may still answer, so that
    /// several dead ones in a row cost no more time than one.
    fn send_scouts(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(next) = &self.next else { return };
        let (mut behind, mut members) = (next.peer, Vec::new());
        while let Some(member) = self.view.successor(behind)
            && member != self.config.address
            && member != next.peer
            && members.len() < SCOUTS_MAX
        {
            members.push(member);
            behind = member;
        }
        for member in members {
            self.scout(now, member, out);
            let scout = Scout { asked: now, has_answered: false };
            let next = self.next.as_mut().expect("it is there");
            next.scouts.insert(member, scout);
        }
        if let Some(next) = &mut self.next
            && next.scouts.is_empty()
        {
            // No member is behind it: it is not looked at again before it counts as dead.
            let scout = Scout { asked: now, has_answered: true };
            next.scouts.insert(next.peer, scout);
        }
    }

    /// The successor counts as dead. If the one behind it was asked already, it has that much less
    /// time to answer.
    fn successor_died(
        &mut self,
        now: Time,
        dead: Next,
        cause: Cause,
        why: String,
        out: &mut Vec<Output>,
    ) {
        if dead.met.is_none() && cause != Cause::Refused {
            self.note_unreachable(now, dead.peer);
            // One broken link may be chance; silence, or a second break, is not.
            let is_plain = cause == Cause::Silent || self.is_unreachable(now, dead.peer);
            if is_plain && self.came_between(now, dead.peer) {
                let why = format!("it cannot reach its successor {}: {why}", dead.peer);
                return self.stay_out(now, why, out);
            }
        }
        self.declare_dead(now, dead.peer, cause, why, out);
        let Some(peer) = self.view.successor(self.config.address) else { return };
        let Some(scout) = dead.scouts.get(&peer).filter(|it| !it.has_answered) else { return };
        self.link_next(now, peer, true, out);
        let next = self.next.as_mut().expect("it was just made");
        next.pace = dead.pace;
        (next.heard, next.asked) = (scout.asked, Some(scout.asked));
        next.scouts = dead.scouts;
    }

    /// A node that keeps a link to this one sends a CHECK every interval. One that has been silent
    /// for this long has lost its power or its cable, and no system would ever report the link as
    /// down.
    pub(super) fn close_silent(&mut self, now: Time, out: &mut Vec<Output>) {
        self.close_incoming(|_, it| now >= it.heard + LINK_SILENCE_MAX, out);
    }

    pub(super) fn close_incoming(
        &mut self,
        which: impl Fn(LinkId, &Link) -> bool,
        out: &mut Vec<Output>,
    ) {
        let next = self.next_link();
        let is_own = |link| Some(link) == next || self.short_links.is_short(link);
        let incoming = self.links.iter().filter(|(link, _)| !is_own(**link));
        let chosen: Vec<_> =
            incoming.filter(|(link, it)| which(**link, it)).map(|(&link, _)| link).collect();
        for link in chosen {
            self.close(link, out);
        }
    }
}
