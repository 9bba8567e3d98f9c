//! Short links: to be taken in, to try a newcomer's address, to seek members that are gone, to see
//! whether a member lives, to ask a member for files.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{
    event::{Event, LinkId, LinkTarget, Output},
    limits::SEEKS_MAX,
    message::{Peer, Role},
    node::{Node, Phase},
    version::Time,
    view::{Cause, Member, MemberState, View},
};

/// The longest time between two attempts to find a gone member, in check intervals.
const SEEK_INTERVALS_MAX: u32 = 32;

/// A member that left gracefully is sought for as long as a restart may take, since it may be
/// started again without being told of its ring.
pub(super) const RESTART_MS_MAX: u64 = 60_000;
/// A member that has been gone for this long is sought less often.
const LONG_GONE_MS: u64 = 600_000;

/// What a short link is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To be taken in.
    Join,
    /// Whether a newcomer, which waits on another link, is where it says.
    Vet(LinkId),
    /// Whether a gone member is back, or another ring can be found.
    Seek,
    /// Whether a member behind a silent successor lives.
    Scout,
    /// To catch up with a member that is not the predecessor.
    Visit,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ShortLink {
    pub(super) purpose: Purpose,
    pub(super) place: LinkTarget,
    begun: Time,
    pub(super) until: Time,
}

/// All that are under way.
#[derive(Debug, Default)]
pub(super) struct ShortLinks(BTreeMap<LinkId, ShortLink>);

impl ShortLinks {
    pub(super) fn is_short(&self, link: LinkId) -> bool {
        self.0.contains_key(&link)
    }

    pub(super) fn get(&self, link: LinkId) -> Option<ShortLink> {
        self.0.get(&link).copied()
    }

    /// Sets another time than usual at which a short link ends.
    pub(super) fn end_at(&mut self, link: LinkId, until: Time) {
        if let Some(short) = self.0.get_mut(&link) {
            short.until = until;
        }
    }

    pub(super) fn end(&mut self, link: LinkId) -> Option<ShortLink> {
        self.0.remove(&link)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.0.values().map(|short| short.until).min()
    }

    /// A link has carried something: a visit may go on for as long as it does.
    pub(super) fn heard(&mut self, link: LinkId, until: Time) {
        if let Some(short) = self.0.get_mut(&link).filter(|it| it.purpose == Purpose::Visit) {
            short.until = until;
        }
    }

    /// This node was stopped, and no other node is to blame for the time that it lost.
    pub(super) fn put_off(&mut self, by: Duration) {
        self.0.values_mut().for_each(|short| short.until = short.until + by);
    }

    /// Whether a newcomer is just being taken in.
    pub(super) fn has_newcomer(&self) -> bool {
        self.0.values().any(|short| matches!(short.purpose, Purpose::Vet(_)))
    }

    pub(super) fn count(&self, which: impl Fn(Purpose) -> bool) -> usize {
        self.0.values().filter(|short| which(short.purpose)).count()
    }

    pub(super) fn links(&self, which: impl Fn(Purpose) -> bool) -> Vec<LinkId> {
        let chosen = self.0.iter().filter(|(_, short)| which(short.purpose));
        chosen.map(|(&link, _)| link).collect()
    }

    pub(super) fn leads_to(&self, place: LinkTarget) -> bool {
        self.0.values().any(|short| short.place == place)
    }
}

/// When members that are gone are sought next.
#[derive(Debug, Default)]
pub(super) struct Seeking {
    next: BTreeMap<SocketAddr, (Time, u32)>,
    at: Option<Time>,
    /// Which of the configured members are known by which name, and when those that are not are
    /// tried next.
    pub(super) prevs: BTreeMap<usize, SocketAddr>,
    prev_at: Time,
    prev_tries: u32,
    /// When this node saw a member leave, by a clock that does not jump.
    left: BTreeMap<SocketAddr, Time>,
}

impl Seeking {
    pub(super) fn has_left(&mut self, member: SocketAddr, now: Time) {
        self.left.insert(member, now);
    }

    pub(super) fn forget(&mut self, member: SocketAddr) {
        self.next.remove(&member);
        self.left.remove(&member);
    }
}

impl Node {
    pub(super) fn open_short_link(
        &mut self,
        now: Time,
        purpose: Purpose,
        place: LinkTarget,
        role: Role,
        out: &mut Vec<Output>,
    ) -> LinkId {
        let peer = match place {
            LinkTarget::Node(address) => Some(address),
            // The node there may have another name: its MEET says which.
            LinkTarget::Prev(_) => None,
        };
        let link = self.new_link(peer);
        let until = now + self.config.check_timeout;
        self.short_links.0.insert(link, ShortLink { purpose, place, begun: now, until });
        out.push(Output::Connect { link, to: place });
        let greeting = self.greeting(now, link, role);
        if role == Role::Member {
            self.links.get_mut(&link).expect("it was just made").told = Some(self.full);
        }
        self.say(link, greeting, out);
        link
    }

    /// Asks a member behind the successor whether it lives.
    pub(super) fn scout(&mut self, now: Time, member: SocketAddr, out: &mut Vec<Output>) -> LinkId {
        self.open_short_link(now, Purpose::Scout, LinkTarget::Node(member), Role::Visitor, out)
    }

    /// The other end of a link has greeted as a member.
    pub(super) fn short_link_met(&mut self, link: LinkId, node: SocketAddr, out: &mut Vec<Output>) {
        let Some(short) = self.short_links.get(link) else { return };
        if let LinkTarget::Prev(n) = short.place {
            self.seeking.prevs.insert(n, node);
        }
        self.short_links.end(link);
        self.close(link, out);
    }

    /// The other end of a link has greeted as a visitor, or has answered one.
    pub(super) fn visited(
        &mut self,
        now: Time,
        link: LinkId,
        node: SocketAddr,
        is_first: bool,
        view: &View,
        out: &mut Vec<Output>,
    ) {
        let Some(short) = self.short_links.get(link) else {
            if self.next_link() == Some(link) {
                return self.successor_is_no_member(now, link, node, out);
            }
            if is_first {
                self.say(link, self.greeting(now, link, Role::Visitor), out);
            }
            return;
        };
        match short.purpose {
            Purpose::Vet(newcomer) if view.is_alive(node) => {
                self.short_links.end(link);
                self.close(link, out);
                let why = "a member of a ring answers there";
                self.vet_failed(now, newcomer, short.place, why, out);
            }
            Purpose::Vet(newcomer) => {
                self.short_links.end(link);
                self.close(link, out);
                self.take_in(now, newcomer, node, out);
            }
            Purpose::Scout => {
                self.short_links.end(link);
                self.close(link, out);
                if let Some(scout) = self.next.as_mut().and_then(|next| next.scouts.get_mut(&node))
                {
                    scout.has_answered = true;
                }
            }
            Purpose::Visit => self.visit_begins(now, link, out),
            // It is not in a ring, or no longer: it will come by itself.
            Purpose::Seek | Purpose::Join => {
                self.short_links.end(link);
                self.close(link, out);
                if short.purpose == Purpose::Join {
                    self.join_failed(now, short.place, "it is still joining itself".into());
                }
            }
        }
    }

    /// A short link has ended, or could not be opened.
    pub(super) fn short_link_failed(
        &mut self,
        now: Time,
        link: LinkId,
        why: &str,
        out: &mut Vec<Output>,
    ) {
        let vets = self.short_links.links(|it| it == Purpose::Vet(link));
        for vet in vets {
            // The newcomer has gone.
            self.short_links.end(vet);
            self.close(vet, out);
        }
        let Some(short) = self.short_links.end(link) else { return };
        match short.purpose {
            Purpose::Join => self.join_failed(now, short.place, why.to_owned()),
            Purpose::Vet(newcomer) => self.vet_failed(now, newcomer, short.place, why, out),
            Purpose::Visit => self.visit_failed(),
            Purpose::Seek | Purpose::Scout => {}
        }
    }

    pub(super) fn short_links_due(&mut self, now: Time, out: &mut Vec<Output>) {
        let due = self.short_links.0.iter().filter(|(_, short)| now >= short.until);
        let due: Vec<_> = due.map(|(&link, _)| link).collect();
        for link in due {
            let short = self.short_links.get(link);
            let given = short.map_or(self.config.check_timeout, |it| it.until.since(it.begun));
            let why = format!("no answer for {given:?}");
            self.close(link, out);
            self.short_link_failed(now, link, &why, out);
        }
    }

    pub(super) fn seeking_deadline(&self) -> Option<Time> {
        self.seeking.at.filter(|_| self.phase == Phase::Member)
    }

    /// Seeks members that are gone, the most recent first, and configured members that are not in
    /// the view. So a network that has healed becomes one ring again without an operator.
    pub(super) fn seek(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.phase != Phase::Member {
            return;
        }
        let wall_ms = self.clocks.ring(now);
        let me = self.config.address;
        let window = Duration::from_millis(RESTART_MS_MAX);
        self.seeking.left.retain(|_, left| now.since(*left) < window);
        let left_lately = |member: &SocketAddr| self.seeking.left.contains_key(member);
        let mut gone: Vec<(SocketAddr, u64)> = (self.view.members())
            .filter(|(_, entry)| !entry.is_alive())
            .filter(|(member, entry)| {
                *member != me && (is_sought(entry, wall_ms) || left_lately(member))
            })
            .map(|(member, entry)| (member, entry.out_since_ms().unwrap_or(0)))
            .collect();
        gone.sort_unstable_by_key(|&(member, since_ms)| (std::cmp::Reverse(since_ms), member));
        let known: BTreeSet<_> = gone.iter().map(|&(member, _)| member).collect();
        self.seeking.next.retain(|member, _| known.contains(member));
        let is_long = |since_ms| wall_ms.saturating_sub(since_ms) > LONG_GONE_MS;
        for &(member, since_ms) in &gone {
            let at = now + self.seek_delay(0, is_long(since_ms));
            self.seeking.next.entry(member).or_insert((at, 0));
        }
        // Members that have waited longest come first, so that many others cannot keep one out.
        gone.retain(|(member, _)| {
            now >= self.seeking.next[member].0
                && !self.short_links.leads_to(LinkTarget::Node(*member))
        });
        gone.sort_by_key(|(member, _)| self.seeking.next[member].0);
        let free = SEEKS_MAX.saturating_sub(self.short_links.count(|it| it == Purpose::Seek));
        for (member, since_ms) in gone.into_iter().take(free) {
            let tries = self.seeking.next[&member].1;
            let is_long = is_long(since_ms);
            let delay = self.seek_delay(tries + 1, is_long);
            self.seeking.next.insert(member, (now + delay, tries.saturating_add(1)));
            self.open_short_link(now, Purpose::Seek, LinkTarget::Node(member), Role::Member, out);
        }
        self.seek_prevs(now, out);
        let at = self.seeking.next.values().map(|&(at, _)| at).min();
        // Where all places are taken, one that comes free is noticed at the next check.
        self.seeking.at = at.filter(|&at| at > now);
    }

    /// Half a check interval at first; later so often that one of the live members does within each
    /// interval, or less often if the member has been gone for long.
    fn seek_delay(&mut self, tries: u32, is_long: bool) -> Duration {
        let interval = self.config.check_interval;
        let most = match is_long {
            true => interval * SEEK_INTERVALS_MAX,
            false => interval * (self.live.clamp(1, SEEK_INTERVALS_MAX as usize) as u32),
        };
        let delay = (interval / 2 * 2u32.pow(tries.min(16))).min(most);
        // Between three quarters and all of it, so that not all members try at once.
        delay * 3 / 4 + delay / 4 * self.rng.below(256) as u32 / 256
    }

    fn seek_prevs(&mut self, now: Time, out: &mut Vec<Output>) {
        if now < self.seeking.prev_at {
            return;
        }
        let tries = self.seeking.prev_tries;
        self.seeking.prev_tries = tries.saturating_add(1);
        let interval = self.config.check_interval;
        self.seeking.prev_at = now + interval * 2u32.pow(tries.min(5));
        for n in 0..self.config.prevs.len() {
            let address = self.prev_address(n);
            let is_known = address.is_some_and(|address| {
                address == self.config.address || self.view.get(address).is_some()
            });
            if !is_known && !self.short_links.leads_to(LinkTarget::Prev(n)) {
                self.open_short_link(now, Purpose::Seek, LinkTarget::Prev(n), Role::Member, out);
            }
        }
    }

    /// The name of the n-th configured member, if that is known.
    pub(super) fn prev_address(&self, n: usize) -> Option<SocketAddr> {
        let known = self.seeking.prevs.get(&n).copied();
        known.or_else(|| self.config.prevs.get(n)?.parse().ok())
    }

    /// A node that was linked to as the successor says that it is not in the ring.
    fn successor_is_no_member(
        &mut self,
        now: Time,
        link: LinkId,
        node: SocketAddr,
        out: &mut Vec<Output>,
    ) {
        if self.joining.was_just_taken_in(node, now) {
            return;
        }
        self.next = None;
        self.close(link, out);
        let why = "it was started anew, and asks to be taken in".to_owned();
        self.declare_dead(now, node, Cause::Restarted, why, out);
    }

    /// Tells the other end of a link why it is refused, and closes the link.
    pub(super) fn turn_away(
        &mut self,
        now: Time,
        link: LinkId,
        node: SocketAddr,
        why: &str,
        out: &mut Vec<Output>,
    ) {
        self.mention(node, why, out);
        self.refuse(now, link, why, out);
    }

    /// The same, without an event.
    pub(super) fn refuse(&mut self, now: Time, link: LinkId, why: &str, out: &mut Vec<Output>) {
        let is_joining = self.phase == Phase::Joining;
        let (node, reason) = (self.config.address, why.to_owned());
        self.say(link, Peer::Refuse { node, is_joining, reason }, out);
        out.push(Output::Disconnect { link });
        self.link_down(now, link, why.to_owned(), out);
    }

    /// The other end has refused this node.
    pub(super) fn was_refused(
        &mut self,
        now: Time,
        link: LinkId,
        node: SocketAddr,
        is_joining: bool,
        why: String,
        out: &mut Vec<Output>,
    ) {
        let short = self.short_links.get(link);
        let is_join = short.is_some_and(|short| short.purpose == Purpose::Join);
        let is_vet = short.is_some_and(|short| matches!(short.purpose, Purpose::Vet(_)));
        if !is_join && !is_vet {
            self.mention(node, &format!("it says: {why}"), out);
        }
        out.push(Output::Disconnect { link });
        self.link_down(now, link, why, out);
        if let Some(short) = short.filter(|_| is_join && is_joining) {
            self.joining.found_fellow(short.place, node);
        }
    }

    pub(super) fn say_waiting(&mut self, why: String, out: &mut Vec<Output>) {
        out.push(Output::Notify(Event::Waiting { why }));
    }
}

fn is_sought(entry: &Member, wall_ms: u64) -> bool {
    match entry.state {
        MemberState::Alive => false,
        MemberState::Gone { .. } => true,
        MemberState::Left { since_ms } => wall_ms.saturating_sub(since_ms) < RESTART_MS_MAX,
    }
}
