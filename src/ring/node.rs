//! The node: every transition of the protocol, without a socket, a clock or a thread.
//!
//! [`Node::handle`] takes one [`Input`] and appends what is to be done to a list of [`Output`]s,
//! which its driver carries out in order. [`Node::deadline`] says when the node wants an
//! [`Input::Wake`].
//!
//! This file has the node's state and its timers. How it joins a ring is in `joining.rs` and how it
//! leaves one in `leaving.rs`; which members the ring has in `membership.rs` and `checks.rs`; the
//! connections between nodes in `links.rs` and `short_links.rs`; what clients ask in `requests.rs`,
//! what travels round in `operations.rs` and `forward.rs`, what is kept in `keeping.rs`; catching
//! up in `sync.rs`, and when it is ready in `coverage.rs`.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use super::{
    arriving::Arriving,
    checks::Reports,
    clocks::Clocks,
    commits::Commits,
    config::Config,
    coverage::{Covers, Own},
    event::{Event, Input, LinkId, LinkTarget, Output},
    giving_up::GivingUp,
    index::Index,
    joining::Joining,
    keeping::Storing,
    limits::{CLAIM_INTERVALS, PEER_LINKS_MAX},
    links::{Link, Next},
    message::{Envelope, Peer},
    name::Name,
    operations::Operations,
    refused::Refused,
    requests::Waiting,
    rng::Rng,
    short_links::{Seeking, ShortLinks},
    sync::Catchup,
    traced::Traced,
    version::{Clock, Stamp, Time},
    view::{Member, MemberState, View, ViewHash},
};

/// A node in a ring is woken at least this often: to notice that it was stopped before others,
/// which give it at least [`CHECK_TIMEOUT_MIN`](super::limits::CHECK_TIMEOUT_MIN), can have gone on
/// without it.
const HEARTBEAT: Duration = Duration::from_millis(150);
/// A node that is woken this much too late has been stopped.
const DOUBT_AFTER: Duration = Duration::from_millis(100);

/// Where a node is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It has not yet found its place, or has lost it.
    Joining,
    /// It is in a ring, perhaps of one.
    Member,
    /// It answers what is in flight and takes nothing new.
    Finishing { until: Time },
    /// It counts itself out and waits until its predecessor has linked past it.
    Leaving { until: Time },
    /// It has said [`Output::Left`].
    Left,
}

/// One member of a ring.
#[derive(Debug)]
pub struct Node {
    pub(super) config: Config,
    pub(super) index: Index,
    pub(super) storing: Storing,
    pub(super) refused: Refused,
    /// Stamps that were given out though they are ahead of the clock, by name.
    pub(super) beyond: BTreeMap<Name, Stamp>,
    pub(super) clock: Clock,
    pub(super) clocks: Clocks,
    pub(super) view: View,
    pub(super) phase: Phase,
    pub(super) joining: Joining,
    /// It has begun a ring; until then, another ring may still claim it, and it is not ready.
    pub(super) claimable: Option<Time>,
    /// Whether this node holds everything that was acknowledged in its ring: see `settle_ready`.
    pub(super) ready: bool,
    /// Whether it is told to leave soon, and says that it is not ready.
    pub(super) retires: bool,
    /// Whether an event has said that it is ready.
    is_known_ready: bool,
    /// What it covers, what of that it has learned from others, and what it brings itself.
    pub(super) covers: Covers,
    pub(super) learned: Covers,
    pub(super) own: Own,
    pub(super) giving_up: GivingUp,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) next: Option<Next>,
    pub(super) short_links: ShortLinks,
    pub(super) seeking: Seeking,
    pub(super) operations: Operations,
    pub(super) commits: Commits,
    pub(super) traced: Traced,
    pub(super) arriving: Arriving,
    pub(super) waiting: Waiting,
    pub(super) catchup: Catchup,
    pub(super) reports: Reports,
    /// Whether something may have been acknowledged since this node raised what it brings. If not, members
    /// that have not heard of that have missed nothing.
    pub(super) has_taken_part: bool,
    /// This node's own entry in the view, as it should be.
    pub(super) me: Member,
    /// When it reports what it waits for before it leaves.
    pub(super) says_why_at: Option<Time>,
    /// Members that never answered as the successor: until when they are not tried, and how often that
    /// was so.
    pub(super) unreachable: BTreeMap<SocketAddr, (Time, u32)>,
    /// The last successor that answered did so quickly.
    pub(super) is_quick_ring: bool,
    /// How often in a row this node has stayed out.
    pub(super) rests: u32,
    /// It was told to leave while it stayed out, and ends then, taken in again or not.
    pub(super) leaves_by: Option<Time>,
    /// When it recently found itself declared gone.
    pub(super) backs: VecDeque<Time>,
    /// It was stopped, and does not know whether the others still count it: the number of the CHECK
    /// that will tell when it has gone all round.
    pub(super) doubts: Option<u64>,
    /// Hash of the circle, of the whole view, and the number of live members: cached.
    pub(super) circle: ViewHash,
    pub(super) full: ViewHash,
    pub(super) live: usize,
    /// Live members that keep files on a disk.
    pub(super) keepers: usize,
    /// The view has changed since the links were tended.
    pub(super) untended: bool,
    /// What is covered may have changed since readiness was looked at.
    pub(super) unsettled: bool,
    /// The circle that unfinished operations were last sent round in.
    pub(super) forwarded: ViewHash,
    pub(super) rng: Rng,
    pub(super) links_made: u64,
    pub(super) checks_made: u64,
    pub(super) check_at: Time,
    /// When it is to be woken next.
    deadline: Time,
    /// When it was last woken. It is woken often enough to notice that it was stopped.
    woken_at: Time,
    /// When it last noticed that.
    stopped_until: Time,
    /// Recent remarks about others, so that they are not repeated.
    pub(super) said: VecDeque<(SocketAddr, String)>,
}

impl Node {
    /// A node that holds the files of `index`, whose contents are in the store. It does nothing
    /// before its first input, which may be [`Input::Wake`].
    pub fn new(config: Config, index: Index) -> Self {
        let has_ring = config.last_seen.as_ref().is_some_and(|it| !it.members.is_empty());
        let joins = (!config.prevs.is_empty() || has_ring) && !config.bootstrap;
        let mut me = Member::alive(config.started_ms, 0);
        me.keeps = config.keeps;
        let mut own = Own::default();
        if !joins || !index.is_empty() {
            me.brings = config.started_ms.max(1);
            own.raised(me.brings);
        }
        if config.last_seen.as_ref().is_some_and(|it| it.is_whole) {
            // It has what its earlier lives brought.
            me.brings = me.brings.max(config.started_ms).max(1);
            own.has_all();
        }
        let mut node = Self {
            clock: Clock::new(),
            clocks: Clocks::new(config.started_ms),
            refused: Refused::default(),
            beyond: BTreeMap::new(),
            phase: if joins { Phase::Joining } else { Phase::Member },
            joining: Joining::new(&config),
            claimable: (!joins && !config.bootstrap)
                .then(|| Time(0) + config.check_interval * CLAIM_INTERVALS),
            ready: false,
            retires: false,
            is_known_ready: false,
            covers: Covers::default(),
            learned: Covers::default(),
            own,
            giving_up: GivingUp::default(),
            links: BTreeMap::new(),
            next: None,
            short_links: ShortLinks::default(),
            seeking: Seeking::default(),
            operations: Operations::new(config.seed),
            commits: Commits::default(),
            traced: Traced::default(),
            arriving: Arriving::new(config.seed),
            waiting: Waiting::default(),
            catchup: Catchup::default(),
            reports: Reports::default(),
            has_taken_part: true,
            me,
            says_why_at: None,
            unreachable: BTreeMap::new(),
            is_quick_ring: false,
            rests: 0,
            leaves_by: None,
            backs: VecDeque::new(),
            doubts: None,
            circle: ViewHash(0),
            full: ViewHash(0),
            live: 0,
            keepers: 0,
            untended: true,
            unsettled: true,
            forwarded: ViewHash(0),
            rng: Rng::new(config.seed),
            links_made: 0,
            checks_made: 0,
            check_at: Time(0),
            deadline: Time(0),
            woken_at: Time(0),
            stopped_until: Time(0),
            said: VecDeque::new(),
            storing: Storing::after(&index),
            index,
            view: View::default(),
            config,
        };
        node.show_me();
        // Its next version must be later than all that it holds.
        let latest = node.clocks.latest(Time(0));
        for held in node.index.entries() {
            node.clock.observe(held.version.stamp, latest);
        }
        node.hash_view();
        node.deadline = node.next_deadline();
        node
    }

    /// The one transition. `now` never goes back from one call to the next.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        // Of one stop a node may first hear by many messages.
        let late = now.since(self.deadline.max(self.stopped_until));
        if late > DOUBT_AFTER {
            self.stopped_until = now;
            self.doubt_itself(now, late, out);
        }
        match input {
            Input::Request { id, request } => self.request(now, id, request, out),
            Input::Received { link, message } => self.received(now, link, message, out),
            Input::Progress { link } => self.heard(now, link, false),
            Input::LinkDown { link, why } => self.link_down(now, link, why, out),
            Input::Stored { ticket, result } => self.stored(now, ticket, result, out),
            Input::Upload { arrival, name, bytes } => {
                self.upload_begins(arrival, name, bytes, out);
            }
            Input::UploadBroken { arrival } => self.upload_ends(arrival),
            Input::Put { id, put } => self.put_arrived(now, id, put, out),
            Input::Pulled { arrival, result } => self.pulled(now, arrival, result, out),
            Input::Damaged { ticket, asked_by } => self.damaged(now, ticket, asked_by, out),
            Input::Wake => self.wake(now, out),
            Input::Retire => self.retires = true,
            Input::Leave => self.leave(now, out),
        }
        if self.untended {
            self.tend(now, out);
        }
        if self.unsettled {
            self.settle_ready(now, out);
        }
        self.step_out(now, out);
        self.commit(out);
        self.deadline = self.next_deadline();
    }

    /// This node should have been woken a while ago: it was stopped, perhaps for so long that the
    /// others go on without it. Until it knows better, it asks them for everything; and it allows
    /// time for the messages that they have sent meanwhile to arrive.
    fn doubt_itself(&mut self, now: Time, late: Duration, out: &mut Vec<Output>) {
        let is_in = matches!(self.phase, Phase::Member | Phase::Finishing { .. });
        if let Some(next) = self.next.as_mut().filter(|next| next.asked.is_some()) {
            (next.heard, next.asked) = (now, Some(now));
        }
        self.short_links.put_off(late);
        if is_in && self.live > 1 && self.doubts.is_none() {
            self.begin_check(now, out);
            self.doubts = Some(self.checks_made);
            (self.ready, self.unsettled) = (false, true);
        }
    }

    /// Sets the wall clock: it may have been put right, or the machine may have slept. Versions
    /// still go forward.
    pub fn set_clock(&mut self, now: Time, wall_ms: u64) {
        self.clocks.set_own(now, wall_ms);
    }

    /// When the node next wants [`Input::Wake`].
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    fn next_deadline(&self) -> Time {
        let leaving = match self.phase {
            Phase::Finishing { until } | Phase::Leaving { until } => Some(until),
            _ => None,
        };
        let others = [
            self.next.as_ref().and_then(|next| next.alarm(self.config.check_timeout)),
            self.short_links.deadline(),
            self.operations.deadline(),
            self.waiting.deadline(),
            self.storing.deadline(),
            self.catchup.deadline(self.config.check_timeout),
            self.arriving.deadline(self.woken_at, self.commits.holds_keeps()),
            self.commits.deadline(),
            self.joining_deadline(),
            self.seeking_deadline(),
            leaving,
            self.leaves_by,
            self.says_why_at,
            self.claimable,
        ];
        let heartbeat = if self.live > 1 { self.woken_at + HEARTBEAT } else { self.check_at };
        others.into_iter().flatten().fold(self.check_at.min(heartbeat), Time::min)
    }

    /// Names an incoming connection that has begun to speak as a node. `None`: there are too many.
    pub fn accept(&mut self) -> Option<LinkId> {
        (self.links.len() < PEER_LINKS_MAX).then(|| self.new_link(None))
    }

    /// What it should know when it starts again: its incarnation, the other members that have not left,
    /// and the time, in milliseconds since 1970. `None`: it is not in its ring.
    pub fn to_remember(&self) -> Option<(u64, Vec<SocketAddr>, u64)> {
        if !matches!(self.phase, Phase::Member | Phase::Finishing { .. }) {
            return None;
        }
        let others = self.view.members().filter(|(member, entry)| {
            *member != self.config.address && !matches!(entry.state, MemberState::Left { .. })
        });
        let members = others.map(|(member, _)| member).collect();
        Some((self.me.incarnation, members, self.clocks.ring(self.woken_at)))
    }

    /// The name of its ring.
    pub fn ring_name(&self) -> &str {
        &self.config.ring
    }

    /// Where other nodes reach this one.
    pub fn address(&self) -> SocketAddr {
        self.config.address
    }

    /// Where a link is to lead: an address, or what an operator has written.
    pub fn place(&self, place: LinkTarget) -> String {
        match place {
            LinkTarget::Node(address) => address.to_string(),
            LinkTarget::Prev(n) => self.config.prevs.get(n).cloned().unwrap_or_default(),
        }
    }

    /// The members, as this node knows them.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The files that this node holds.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Whether this node is in a ring and holds what was acknowledged there.
    pub fn is_ready(&self) -> bool {
        self.ready && self.is_member()
    }

    /// Whether a client's file of this length is to arrive in the store in pieces ([`Input::Put`]), and
    /// not in memory.
    pub fn takes_apart(&self, bytes: usize) -> bool {
        self.goes_apart(bytes)
    }

    /// Whether there are files in its ring that this node had no room for.
    pub fn is_full(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Whether this node is in a ring, perhaps alone.
    pub fn is_member(&self) -> bool {
        self.phase == Phase::Member
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. } | Phase::Left)
    }

    /// Says something to another node.
    pub(super) fn say(&mut self, link: LinkId, message: Peer, out: &mut Vec<Output>) {
        self.note_load(link, &message);
        let message = Envelope { stamp: self.clock.highest(), message };
        out.push(Output::Send { link, message });
    }

    fn received(&mut self, now: Time, link: LinkId, envelope: Envelope, out: &mut Vec<Output>) {
        let Some(entry) = self.links.get(&link) else { return };
        let has_met = entry.meets > 0;
        let Envelope { stamp, message } = envelope;
        if message.is_absurd() {
            let why = "it speaks of a time that is thousands of years away";
            return self.nonsense(now, link, why, out);
        }
        self.clock.observe(stamp, self.clocks.latest(now));
        self.heard(now, link, true);
        let is_in = self.phase != Phase::Joining;
        match message {
            Peer::Meet(greeting) => self.met(now, link, *greeting, out),
            Peer::Refuse { node, is_joining, reason } => {
                self.was_refused(now, link, node, is_joining, reason, out);
            }
            _ if !has_met => self.nonsense(now, link, "a link must begin with MEET", out),
            Peer::Check(check) if is_in => self.check(now, link, *check, out),
            Peer::Checked { op, view } if is_in => self.checked(now, link, op, view, out),
            Peer::ForwardPut(forward) if is_in => self.forward_put(now, link, forward, out),
            Peer::ForwardGet(forward) if is_in => self.forward_get(now, link, forward, out),
            Peer::Offer(offer) if is_in => self.offer_comes(now, link, offer, out),
            Peer::Keep(keep) if is_in => self.keep_comes(now, link, keep, out),
            Peer::Sync(sync) => self.sync(now, link, sync, out),
            // It is out of the ring, which the sender will learn.
            _ => {}
        }
    }

    /// Brings links and operations in line with a view that has changed. The successor hears of
    /// the new view before anything is sent in it.
    pub(super) fn tend(&mut self, now: Time, out: &mut Vec<Output>) {
        self.untended = false;
        if self.forwarded == ViewHash(0) && self.phase == Phase::Member {
            // It has begun a ring; a node that joins one hears of the list when it changes.
            out.push(Output::Notify(Event::List(self.view.clone())));
        }
        let successor = match self.phase {
            Phase::Joining => None,
            _ => self.view.successor(self.config.address),
        };
        if self.next.as_ref().map(|next| next.peer) != successor {
            if let Some(next) = self.next.take() {
                self.close(next.link, out);
            }
            if let Some(peer) = successor {
                if self.is_unreachable(now, peer) {
                    return self.do_without(now, peer, out);
                }
                self.link_next(now, peer, false, out);
            }
        }
        if self.next_link().is_some_and(|link| self.links[&link].told != Some(self.full)) {
            self.begin_check(now, out);
        }
        self.tell_who_is_out(now, out);
        // News of members that are gone does not change the circle, and what is under way in it
        // arrives.
        if std::mem::replace(&mut self.forwarded, self.circle) != self.circle {
            self.forward_anew(now, out);
        }
    }

    /// The one place that says whether this node is ready.
    pub(super) fn settle_ready(&mut self, now: Time, out: &mut Vec<Output>) {
        self.unsettled = false;
        let me = self.config.address;
        self.covers = self.learned.clone();
        if self.own.is_covered(self.learned.of(me)) {
            self.covers.add(me, self.me.brings);
        }
        let was_ready = self.ready;
        let is_claimable = self.claimable.is_some() && self.live == 1;
        let is_in = matches!(self.phase, Phase::Member | Phase::Finishing { .. });
        if self.live <= 1 {
            self.doubts = None;
        }
        let is_sure = !is_claimable && self.doubts.is_none();
        self.ready =
            is_in && is_sure && self.covers.lacks(&self.view, self.config.address).next().is_none();
        // A doubt that is soon over is not reported.
        self.is_known_ready &= self.ready || self.doubts.is_some();
        if self.ready && !was_ready && !std::mem::replace(&mut self.is_known_ready, true) {
            out.push(Output::Notify(Event::Ready));
        }
        self.answer_waiting(now, out);
    }

    /// This node has come to cover more.
    pub(super) fn learn(&mut self, covers: &Covers) -> bool {
        let is_news = self.learned.add_all(covers);
        self.unsettled |= is_news;
        is_news
    }

    /// From now on this node may hold files that others have not followed.
    pub(super) fn raise(&mut self, now: Time) {
        if self.has_taken_part {
            self.me.from = self.me.brings;
        }
        self.has_taken_part = false;
        self.me.brings = self.clocks.ring(now).max(self.me.brings + 1);
        self.me.within = self.view.circle_hash();
        self.own.raised(self.me.brings);
        self.show_me();
        self.unsettled = true;
    }

    fn wake(&mut self, now: Time, out: &mut Vec<Output>) {
        self.woken_at = now;
        self.check_next(now, out);
        self.short_links_due(now, out);
        self.expire(now, out);
        self.waiting_due(now, out);
        self.storing_due(now, out);
        self.catchup_timeout(now);
        self.arriving_due(now, out);
        self.commit_due(now);
        self.join_on(now, out);
        self.unsettled |= self.claimable.take_if(|until| now >= *until).is_some();
        if now >= self.check_at {
            self.check_at = now + self.config.check_interval;
            let brought = self.view.forget(self.clocks.ring(now), self.config.forget_after);
            self.show_me();
            if brought && self.ready {
                // A node that comes later must find a member that brings what is here.
                self.raise(now);
            }
            self.note_change(out);
            self.forget_deleted(now, out);
            self.begin_check(now, out);
            self.close_silent(now, out);
            if self.live == 1 && self.phase == Phase::Member {
                // No CHECK will come back to say so.
                self.look_for_lost(now, &Covers::default(), out);
            }
        }
        self.seek(now, out);
        self.say_why(now, out);
    }
}
