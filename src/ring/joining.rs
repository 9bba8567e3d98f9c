//! How a node comes into a ring.
//!
//! A newcomer greets a member that it was told of: MEET as=newcomer. That member opens a link of
//! its own to the address that the newcomer advertises, and takes it in only when the newcomer
//! itself answers there: a wrong address is reported to its owner and disturbs no member. From then
//! on it is the newcomer's predecessor. All members that were configured are asked, one shortly
//! after the other.
//!
//! A node that was configured with itself as the first of the list begins the ring if it finds
//! none; so every node can be given the same list, and all can start at once. Nodes that only know
//! each other in a circle find that they are all joining: the one with the lowest address begins.
//!
//! A node that comes back with files on its disk asks the members that it has last seen. It begins no
//! ring alone: any of them may have gone on without it. Of several that are back, the one with the
//! lowest address begins, and counts the others as gone with what they may have. So they are waited for
//! like members of a ring that died in it; see `giving_up.rs`. If the lowest does not begin, since no
//! other asks it or it has ended, another does later. A member of a ring that seeks a node which is
//! joining is asked too.
//!
//! A node that the others declare gone again and again comes back this way as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{
    config::{Config, LastSeen},
    coverage::Covers,
    event::{LinkId, LinkTarget, Output},
    giving_up::GivingUp,
    limits::{CLAIM_INTERVALS, MEMBERS_MAX, VETS_MAX},
    message::{Greeting, Role},
    node::{Node, Phase},
    short_links::Purpose,
    version::Time,
    view::{Cause, Member, MemberState, View},
};

/// After this long without an answer the next candidate is asked as well.
const NEXT_CANDIDATE: Duration = Duration::from_millis(250);

/// A node that is joining leaves it for this many times the usual wait to one with a lower address to
/// begin the ring.
const LOWER_BEGINS_WITHIN: u32 = 2;

/// What is known on the way into a ring.
#[derive(Debug, Default)]
pub(super) struct Joining {
    since: Time,
    /// The next candidate, and when it is asked.
    at: Time,
    candidate: usize,
    /// How often all have been asked in vain.
    rounds: u32,
    /// Why each candidate did not take this node in, by its name as users write it.
    failed: BTreeMap<LinkTarget, String>,
    /// Candidates that are this node itself.
    itself: BTreeSet<usize>,
    /// Candidates that have said that they are joining too, and which nodes these are.
    fellows: BTreeMap<LinkTarget, SocketAddr>,
    /// Nodes that have asked this one to take them in while it is joining, when they last did, and whether
    /// they come with files.
    asked_by: BTreeMap<SocketAddr, (Time, bool)>,
    /// Other members that have greeted this node: they know it from an earlier life.
    callers: BTreeSet<SocketAddr>,
    /// Members of the ring in which this node was in its last life, while it is not in one again.
    last_seen: Option<LastSeen>,
    /// The last reason for waiting that was reported.
    said: String,
    /// When this node was taken in itself.
    in_since: Option<Time>,
    /// The last newcomer that this node took in.
    taken_in: Option<(SocketAddr, Time)>,
    /// Newcomers that wait for their address to be tried, by the link on which they wait.
    newcomers: BTreeMap<LinkId, (SocketAddr, Member)>,
}

impl Joining {
    pub(super) fn new(config: &Config) -> Self {
        let prevs = config.prevs.iter().enumerate();
        let itself = prevs.filter(|(_, prev)| prev.parse() == Ok(config.address));
        let last_seen = config.last_seen.clone().filter(|it| !it.members.is_empty());
        Self { itself: itself.map(|(n, _)| n).collect(), last_seen, ..Self::default() }
    }

    /// Whether this node was taken in a moment ago, and may not know it yet.
    pub(super) fn was_just_taken_in(&self, node: SocketAddr, now: Time) -> bool {
        let within = Duration::from_secs(1);
        self.taken_in.is_some_and(|(it, at)| it == node && now.since(at) < within)
    }

    /// Whether this node itself was taken in recently.
    pub(super) fn was_taken_in_lately(&self, now: Time) -> bool {
        self.in_since.is_some_and(|at| now.since(at) < Duration::from_secs(10))
    }

    /// How long it has been in a ring since it was last taken in.
    pub(super) fn has_been_in_for(&self, now: Time) -> Duration {
        now.since(self.in_since.unwrap_or_default())
    }

    /// A candidate has answered that it is joining too.
    pub(super) fn found_fellow(&mut self, place: LinkTarget, node: SocketAddr) {
        self.fellows.insert(place, node);
    }

    /// A node that is joining too has asked this one to take it in.
    fn note_asked(&mut self, now: Time, node: SocketAddr, brings: bool) {
        if self.asked_by.len() < MEMBERS_MAX || self.asked_by.contains_key(&node) {
            self.asked_by.insert(node, (now, brings));
        }
    }

    /// The next candidate is asked at once.
    pub(super) fn try_now(&mut self, now: Time) {
        (self.since, self.at) = (self.since.min(now), self.at.min(now));
    }
}

impl Node {
    // ---- the newcomer's side

    pub(super) fn joining_deadline(&self) -> Option<Time> {
        (self.phase == Phase::Joining).then_some(self.joining.at)
    }

    /// Where to ask: the configured members, and those that are known from before.
    fn candidates(&self) -> Vec<LinkTarget> {
        let configured = (0..self.config.prevs.len()).filter(|n| !self.joining.itself.contains(n));
        let known = self.view.members().map(|(member, _)| member);
        let known = known.filter(|&member| member != self.config.address);
        let last_seen = self.joining.last_seen.iter().flat_map(|it| it.members.iter().copied());
        let callers = self.joining.callers.iter().copied();
        let told = configured.map(LinkTarget::Prev).chain(last_seen.map(LinkTarget::Node));
        told.chain(callers.chain(known).map(LinkTarget::Node)).collect()
    }

    /// Asks the next candidate, or begins a ring.
    pub(super) fn join_on(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.phase != Phase::Joining || now < self.joining.at {
            return;
        }
        if self.may_begin(now) {
            return self.begin_ring(out);
        }
        let candidates = self.candidates();
        if self.joining.candidate >= candidates.len() {
            self.joining.candidate = 0;
            // Soon at first, since others may be starting as well.
            let wait = match self.joining.rounds {
                0..20 => self.config.check_interval / 4,
                20..40 => self.config.check_interval,
                _ => self.config.check_interval * 4,
            };
            self.joining.rounds = self.joining.rounds.saturating_add(1);
            self.joining.at = now + wait;
            return self.say_what_for(out);
        }
        let place = candidates[self.joining.candidate];
        self.joining.candidate += 1;
        self.joining.at = now + NEXT_CANDIDATE.min(self.config.check_interval / 4);
        if !self.short_links.leads_to(place) {
            self.open_short_link(now, Purpose::Join, place, Role::Newcomer, out);
        }
    }

    /// Whether this node is the one to begin a ring.
    fn may_begin(&self, now: Time) -> bool {
        let waited = self.config.check_interval * CLAIM_INTERVALS;
        let candidates = self.candidates();
        let all_failed = candidates.iter().all(|place| self.joining.failed.contains_key(place));
        if now < self.joining.since + waited || !all_failed {
            return false;
        }
        if self.knows_others() {
            // It has been in a ring of which no member is left to take it in.
            return true;
        }
        // A lower one that does not begin may not be asked by any, or may have ended. The next is the
        // lowest of those that this node has asked; and any in the end, since two rings would meet.
        let waits = now.since(self.joining.since);
        let patience = waited * LOWER_BEGINS_WITHIN;
        let Joining { fellows, asked_by, .. } = &self.joining;
        let is_asked = asked_by.values().any(|&(at, _)| now.since(at) < patience * 2);
        // One that has been in a ring begins before one that is new.
        let is_lower = |other: &SocketAddr| {
            let brings = self.me.brings > 0;
            let is_theirs = asked_by.get(other).map_or(brings, |&(_, it)| it);
            (!is_theirs, *other) < (!brings, self.config.address)
        };
        let has_lower = fellows.values().any(is_lower);
        let is_lowest = !has_lower && !asked_by.keys().any(is_lower);
        let is_next = is_lowest || (waits >= patience && !has_lower) || waits >= patience * 2;
        let is_next = is_asked && is_next;
        if self.joining.last_seen.is_some() {
            return is_next;
        }
        // All that it was told of are waiting, one of them for this node: a circle.
        let all_wait = candidates.iter().all(|place| self.joining.fellows.contains_key(place));
        let is_circle = all_wait && is_next && self.joining.itself.is_empty();
        self.joining.itself.contains(&0) || (is_circle && !candidates.is_empty())
    }

    /// Whether it has been in a ring already.
    fn knows_others(&self) -> bool {
        self.view.members().len() > 1
    }

    fn begin_ring(&mut self, out: &mut Vec<Output>) {
        self.phase = Phase::Member;
        if !self.own.brings_something() {
            self.me.brings = self.me.incarnation.max(self.me.brings + 1);
            self.own.raised(self.me.brings);
        }
        self.name_last_seen();
        self.show_me();
        self.close_join_links(out);
        self.unsettled = true;
        self.note_change(out);
    }

    /// Members of its last ring of which this one knows nothing count as gone. Each may have
    /// acknowledged something until this node was last there, and even without it.
    fn name_last_seen(&mut self) {
        let Some(LastSeen { members, alive_ms, .. }) = self.joining.last_seen.take() else {
            return;
        };
        let state = MemberState::Gone { since_ms: alive_ms, cause: Cause::Unknown };
        for member in members {
            if self.view.get(member).is_none() {
                self.view.set(member, Member { state, brings: alive_ms, ..Member::alive(0, 0) });
            }
        }
    }

    fn close_join_links(&mut self, out: &mut Vec<Output>) {
        for link in self.short_links.links(|it| it == Purpose::Join) {
            self.short_links.end(link);
            self.close(link, out);
        }
    }

    pub(super) fn join_failed(&mut self, now: Time, place: LinkTarget, why: String) {
        self.joining.fellows.remove(&place);
        self.joining.failed.insert(place, why);
        // With several to ask there is no need to wait for the clock.
        if self.joining.candidate > 0 {
            self.joining.at = self.joining.at.min(now + self.config.check_interval / 20);
        }
    }

    fn say_what_for(&mut self, out: &mut Vec<Output>) {
        let name = |place: &LinkTarget| match place {
            LinkTarget::Prev(n) => self.config.prevs[*n].clone(),
            LinkTarget::Node(address) => address.to_string(),
        };
        let failed = self.joining.failed.iter();
        let failed: Vec<_> = failed.map(|(place, why)| format!("{}: {why}", name(place))).collect();
        if failed.is_empty() {
            return;
        }
        let hint = match self.joining.last_seen {
            Some(_) if self.joining.fellows.is_empty() => {
                ". It waits, since they may have newer files; --bootstrap goes on without them"
            }
            _ => "",
        };
        let why = format!("no member takes this node in yet; {}{hint}", failed.join("; "));
        if self.joining.said != why {
            self.joining.said = why.clone();
            self.say_waiting(why, out);
        }
    }

    /// A member greets this node, which is not in the ring, or no longer.
    pub(super) fn member_met_while_joining(
        &mut self,
        now: Time,
        link: LinkId,
        is_first: bool,
        view: &View,
        out: &mut Vec<Output>,
    ) {
        let seen = view.get(self.config.address);
        let is_answer =
            matches!(self.short_links.get(link), Some(short) if short.purpose == Purpose::Join);
        if let Some(entry) = seen.filter(|entry| is_answer && entry.is_alive()) {
            return self.was_taken_in(now, link, entry, view, out);
        }
        // There is a ring: this node need not begin one, at least for a while.
        self.joining.since = now;
        if let Some(peer) = self.links.get(&link).and_then(|entry| entry.peer) {
            self.note_caller(peer);
        }
        if let Some(short) = self.short_links.get(link)
            && short.purpose == Purpose::Join
        {
            self.joining.fellows.remove(&short.place);
        }
        if let Some(entry) = seen {
            self.me.incarnation = self.me.incarnation.max(entry.incarnation.saturating_add(1));
            self.show_me();
        }
        if is_first {
            self.say(link, self.greeting(now, link, Role::Visitor), out);
        }
    }

    /// A member that is no candidate yet can take this node in as well.
    fn note_caller(&mut self, member: SocketAddr) {
        let mut configured = (0..self.config.prevs.len()).filter_map(|n| self.prev_address(n));
        let is_candidate = configured.any(|it| it == member)
            || self.candidates().contains(&LinkTarget::Node(member));
        if !is_candidate && self.joining.callers.len() < MEMBERS_MAX {
            self.joining.callers.insert(member);
        }
    }

    fn was_taken_in(
        &mut self,
        now: Time,
        link: LinkId,
        entry: Member,
        view: &View,
        out: &mut Vec<Output>,
    ) {
        if let Some(short) = self.short_links.end(link)
            && let (LinkTarget::Prev(n), Some(peer)) =
                (short.place, self.links.get(&link).and_then(|entry| entry.peer))
        {
            self.seeking.prevs.insert(n, peer);
        }
        self.me.position = entry.position;
        self.me.incarnation = self.me.incarnation.max(entry.incarnation);
        self.phase = Phase::Member;
        self.joining.in_since = Some(now);
        self.joining.failed.clear();
        self.joining.callers.clear();
        self.show_me();
        self.absorb(now, view, out);
        // A ring that knows one of them has gone on with what they had.
        let knows = |it: &LastSeen| it.members.iter().any(|member| view.get(*member).is_some());
        self.joining.last_seen.take_if(|it| knows(it));
        self.name_last_seen();
        self.note_change(out);
        self.close(link, out);
        self.close_join_links(out);
        // Nodes on other links may be waiting for it.
        self.untended = true;
        let incoming: Vec<_> = self.links.keys().copied().collect();
        for link in incoming {
            self.greet_again(now, link, out);
        }
    }

    /// Greets as a member on a link on which it greeted as something else.
    fn greet_again(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        if !self.short_links.is_short(link) && self.links[&link].meets > 0 {
            self.tell(now, link, out);
        }
    }

    /// Stays out of the ring for a while, and then asks to be taken in.
    pub(super) fn rest(&mut self, now: Time, delay: Duration, out: &mut Vec<Output>) {
        self.phase = Phase::Joining;
        self.joining.since = now + delay;
        self.joining.at = now + delay;
        self.joining.candidate = 0;
        self.joining.rounds = 0;
        self.joining.failed.clear();
        self.backs.clear();
        // Out of the ring it cannot know what no member has.
        self.giving_up = GivingUp::default();
        // The others go on without it, and raise no number for that. So it has to follow all that
        // they cover, even what it brought itself.
        self.learned = Covers::default();
        self.refused.start_over();
        if self.view.brought().all(|(member, _)| member == self.config.address) {
            self.own.start_over(self.me.brings);
        }
        self.unsettled = true;
        let (since_ms, cause) = (self.clocks.ring(now), Cause::Broken);
        self.view.set(
            self.config.address,
            Member { state: MemberState::Gone { since_ms, cause }, ..self.me },
        );
        self.note_change(out);
        // Told, the others need not find out by a timeout.
        let links = self.links.keys().copied().filter(|&link| !self.short_links.is_short(link));
        for link in links.collect::<Vec<_>>() {
            self.tell(now, link, out);
        }
        if let Some(next) = self.next.take() {
            self.close(next.link, out);
        }
        self.close_incoming(|_, _| true, out);
    }

    /// A link meant for another node leads to this one.
    pub(super) fn met_itself(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let short = self.short_links.get(link);
        if let Some(LinkTarget::Prev(n)) = short.map(|short| short.place) {
            self.seeking.prevs.insert(n, self.config.address);
            self.joining.itself.insert(n);
            let why = format!("{} is this node itself", self.config.prevs[n]);
            self.mention(self.config.address, &why, out);
            out.push(Output::Disconnect { link });
            self.links.remove(&link);
            self.short_links.end(link);
            self.joining.failed.remove(&LinkTarget::Prev(n));
            return;
        }
        if short.is_none() && self.next_link() != Some(link) {
            // This node's own question: the answer tells it its address.
            return self.say(link, self.greeting(now, link, Role::Visitor), out);
        }
        let why = "this node itself answers there";
        out.push(Output::Disconnect { link });
        self.link_down(now, link, why.to_owned(), out);
    }

    // ---- the member's side

    /// A node asks to be taken in, as this one's successor.
    pub(super) fn newcomer(
        &mut self,
        now: Time,
        link: LinkId,
        greeting: &Greeting,
        out: &mut Vec<Output>,
    ) {
        let node = greeting.node;
        let why_not = match self.phase {
            Phase::Joining => {
                let brings = greeting.view.get(node).is_some_and(|it| it.brings > 0);
                self.joining.note_asked(now, node, brings);
                Some("it is still joining itself".to_owned())
            }
            Phase::Member
                if self.short_links.count(|it| matches!(it, Purpose::Vet(_))) < VETS_MAX =>
            {
                let mut ring = self.view.circle();
                ring.retain(|&member| member != node);
                (ring.len() >= MEMBERS_MAX)
                    .then(|| format!("the ring is full: it has room for {MEMBERS_MAX} members"))
            }
            Phase::Member => Some("too many nodes ask to be taken in; try again".to_owned()),
            _ => Some("this member is leaving; try another".to_owned()),
        };
        if let Some(why) = why_not {
            return self.refuse(now, link, &why, out);
        }
        let entry = greeting.view.get(node).unwrap_or_else(|| Member::alive(0, 0));
        self.joining.newcomers.retain(|waiting, _| self.links.contains_key(waiting));
        self.joining.newcomers.insert(link, (node, entry));
        let vet = Purpose::Vet(link);
        let vet = self.open_short_link(now, vet, LinkTarget::Node(node), Role::Visitor, out);
        self.short_links.end_at(vet, now + self.config.check_timeout / 2);
    }

    /// The newcomer was reached at its address.
    pub(super) fn take_in(
        &mut self,
        now: Time,
        newcomer: LinkId,
        node: SocketAddr,
        out: &mut Vec<Output>,
    ) {
        let Some((expected, entry)) = self.joining.newcomers.remove(&newcomer) else { return };
        let may = matches!(self.phase, Phase::Member | Phase::Finishing { .. });
        if expected != node || !may || !self.links.contains_key(&newcomer) {
            return;
        }
        let earlier = self.view.get(node).unwrap_or(entry);
        let mut ring = self.view.clone();
        ring.set(node, Member { state: MemberState::Left { since_ms: 0 }, ..earlier });
        let both = earlier.merge(entry);
        let member = Member {
            incarnation: both.incarnation.saturating_add(1),
            state: MemberState::Alive,
            position: ring.position_after(self.config.address),
            keeps: entry.keeps,
            ..both
        };
        self.joining.taken_in = Some((node, now));
        self.view.set(node, member);
        self.note_change(out);
        self.say(newcomer, self.greeting(now, newcomer, Role::Member), out);
    }

    /// The newcomer could not be reached at its address.
    pub(super) fn vet_failed(
        &mut self,
        now: Time,
        newcomer: LinkId,
        place: LinkTarget,
        why: &str,
        out: &mut Vec<Output>,
    ) {
        self.joining.newcomers.remove(&newcomer);
        let (LinkTarget::Node(node), true) = (place, self.links.contains_key(&newcomer)) else {
            return;
        };
        let reason = format!(
            "this member cannot reach the newcomer at {node} ({why}); is its --advertise right?"
        );
        self.mention(node, &format!("it asks to be taken in, and is not there: {why}"), out);
        self.refuse(now, newcomer, &reason, out);
    }
}
