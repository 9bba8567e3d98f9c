//! The node: every transition of the protocol, without a socket, a clock or a thread.
//!
//! [`Node::handle`] takes one [`Input`] and appends what is to be done to a list of [`Output`]s,
//! which its driver carries out in order. [`Node::deadline`] says when the node wants an
//! [`Input::Wake`]. This file keeps the circle: links, CHECK, MEET, coming and going. What travels
//! on the circle is in `forward.rs`, catching up is in `sync.rs`.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use super::{
    forward::Operations,
    limits::{LINK_SILENCE_MAX, MEETS_PER_LINK_MAX, MEMBERS_MAX, PEER_LINKS_MAX},
    message::{Answer, Check, OpId, Peer, Request},
    rng::Rng,
    sync::Catchup,
    table::Table,
    version::{Clock, Time},
    view::{Member, State, View, ViewHash},
};

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where other nodes reach this one; its name in the ring.
    pub address: SocketAddr,
    /// A member to be inserted after; `None` begins a ring.
    pub prev: Option<SocketAddr>,
    /// How often the next node is checked.
    pub check_interval: Duration,
    /// After this long without an answer to CHECK the next node counts as dead.
    pub check_timeout: Duration,
    /// After this long a request is answered 504.
    pub request_timeout: Duration,
    /// A PUT is refused while fewer members than this are alive.
    pub min_copies: usize,
    /// The largest file that a client may put.
    pub max_file_bytes: usize,
    /// Seed of everything random that this node does.
    pub seed: u64,
    /// The wall clock at [`Time`] zero, in milliseconds since 1970. The incarnation of a new node
    /// begins here, so a restarted node is newer than its earlier life.
    pub started_ms: u64,
}

/// Names a connection between two nodes, on this side of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// Names a client's request until it is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u64);

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// A client asks. Exactly one [`Output::Reply`] follows, at once or later.
    Request {
        /// For the reply.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// Another node says something.
    Received {
        /// On which link.
        link: LinkId,
        /// What.
        message: Peer,
    },
    /// A link takes bytes or brings them: whoever is at its other end is not dead, only slow.
    Progress {
        /// Which link.
        link: LinkId,
    },
    /// A link could not be opened, or has ended. The node forgets its name.
    LinkDown {
        /// Which link.
        link: LinkId,
        /// Why, for people.
        why: String,
    },
    /// The time that [`Node::deadline`] named has come.
    Wake,
    /// Finish what is in flight, leave the ring in order, and say [`Output::Left`].
    Leave,
}

/// What a node wants done.
#[derive(Debug)]
pub enum Output {
    /// Answer a client.
    Reply {
        /// Its request.
        id: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// Open a link to another node. Messages may be sent on it at once; they wait.
    Connect {
        /// Its name from now on.
        link: LinkId,
        /// Whom to connect to.
        to: SocketAddr,
    },
    /// Send a message. Messages on one link arrive in order, or not at all.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        message: Peer,
    },
    /// Close a link once everything sent on it is out. Nothing more is heard of it.
    Disconnect {
        /// Which link.
        link: LinkId,
    },
    /// Something that people may want to see.
    Notify(Event),
    /// The node has left its ring, and may end.
    Left,
}

/// Something that people may want to see.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The list of members is now this.
    List(View),
    /// The first contact with the ring that was to be joined has failed; it is tried again.
    JoinFailed {
        /// The member that was asked.
        prev: SocketAddr,
        /// Why.
        why: String,
    },
    /// This node has declared its successor dead.
    Dead {
        /// The member.
        member: SocketAddr,
        /// Why.
        why: String,
    },
    /// The link to the successor broke, but the successor lives; what was lost is sent again.
    Relinked {
        /// The member.
        member: SocketAddr,
    },
    /// Two rings have become one.
    Met {
        /// The node of the other ring.
        member: SocketAddr,
    },
    /// The others had declared this node dead; it is back.
    Back,
    /// This node holds what the ring holds.
    Ready,
    /// A CHECK of this node has gone all round.
    Circle {
        /// Members that it has visited, this one included.
        members: usize,
    },
    /// Files were pulled from the predecessor.
    CaughtUp {
        /// How many.
        files: usize,
    },
    /// A link was closed because of what came over it.
    Nonsense {
        /// What it was.
        why: String,
    },
}

/// Where a node is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It has not yet found its place.
    Joining { since: Time, failed: bool },
    /// It is in a ring, perhaps of one.
    Member,
    /// It answers what is in flight and takes nothing new.
    Finishing { until: Time },
    /// It counts itself gone and waits until its predecessor has linked past it.
    Leaving { until: Time },
    /// It has said [`Output::Left`].
    Left,
}

/// What is known of a link.
#[derive(Debug)]
pub(super) struct Link {
    /// Who is at the other end; of an incoming link, only after its MEET.
    pub(super) peer: Option<SocketAddr>,
    /// The last view that was sent on it.
    told: Option<ViewHash>,
    /// MEETs received.
    meets: u32,
    /// When it last brought something, or took something.
    heard: Time,
}

/// The link to the successor.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) link: LinkId,
    pub(super) peer: SocketAddr,
    /// When its MEET came.
    met: Option<Time>,
    /// When the oldest question that it has not answered was asked.
    asked: Option<Time>,
    /// It stands for a link that broke; what that one carried may be lost.
    is_retry: bool,
}

/// A short link to a member of another ring, or to the ring that is to be joined.
#[derive(Debug)]
struct Probe {
    link: LinkId,
    peer: SocketAddr,
    until: Time,
}

/// One member of a ring.
#[derive(Debug)]
pub struct Node {
    pub(super) config: Config,
    pub(super) table: Table,
    pub(super) clock: Clock,
    pub(super) view: View,
    pub(super) phase: Phase,
    /// Whether this node holds everything that was acknowledged before it came.
    pub(super) ready: bool,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) next: Option<Next>,
    pub(super) operations: Operations,
    pub(super) catchup: Catchup,
    /// This node's own entry in the view, as it should be.
    me: Member,
    /// Hash of the circle, of the whole view, and the number of live members: kept, not counted.
    pub(super) circle: ViewHash,
    pub(super) full: ViewHash,
    pub(super) live: usize,
    /// The view has changed since the links were tended.
    untended: bool,
    probe: Option<Probe>,
    rng: Rng,
    links_made: u64,
    checks_made: u64,
    check_at: Time,
}

impl Node {
    /// A node that holds the files of `table`. It does nothing before its first input, which may
    /// be [`Input::Wake`].
    pub fn new(config: Config, table: Table) -> Self {
        let me = Member { incarnation: config.started_ms, state: State::Alive, position: 0 };
        let mut view = View::default();
        view.set(config.address, me);
        let mut node = Self {
            clock: Clock::new(),
            phase: match config.prev {
                Some(_) => Phase::Joining { since: Time(0), failed: false },
                None => Phase::Member,
            },
            ready: config.prev.is_none(),
            links: BTreeMap::new(),
            next: None,
            operations: Operations::new(config.seed),
            catchup: Catchup::default(),
            me,
            circle: ViewHash(0),
            full: ViewHash(0),
            live: 0,
            untended: true,
            probe: None,
            rng: Rng::new(config.seed),
            links_made: 0,
            checks_made: 0,
            check_at: Time(0),
            table,
            view,
            config,
        };
        // Its next version must be later than all that it holds.
        for (_, item) in node.table.list("", "") {
            node.clock.observe(item.version.stamp);
        }
        node.hash_view();
        node
    }

    /// The one transition. `now` never goes back from one call to the next.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Request { id, request } => self.request(now, id, request, out),
            Input::Received { link, message } => self.received(now, link, message, out),
            Input::Progress { link } => self.heard(now, link, false),
            Input::LinkDown { link, why } => self.link_down(now, link, why, out),
            Input::Wake => self.wake(now, out),
            Input::Leave => self.leave(now),
        }
        if self.untended {
            self.tend(now, out);
        }
        self.step_out(now, out);
    }

    /// When the node next wants [`Input::Wake`].
    pub fn deadline(&self) -> Time {
        let answer = self.next.as_ref().and_then(|next| next.asked);
        let timeout = self.config.check_timeout;
        let leaving = match self.phase {
            Phase::Finishing { until } | Phase::Leaving { until } => Some(until),
            _ => None,
        };
        let others = [
            answer.map(|asked| asked + timeout),
            self.probe.as_ref().map(|probe| probe.until),
            self.operations.deadline(),
            self.catchup.deadline(timeout),
            leaving,
        ];
        others.into_iter().flatten().fold(self.check_at, Time::min)
    }

    /// Names an incoming connection that has begun to speak as a node. `None`: there are too many.
    pub fn accept(&mut self) -> Option<LinkId> {
        (self.links.len() < PEER_LINKS_MAX).then(|| self.new_link(None))
    }

    /// Where other nodes reach this one.
    pub fn address(&self) -> SocketAddr {
        self.config.address
    }

    /// The members, as this node knows them.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The files that this node holds.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether this node holds what the ring held when it joined, and is in the ring.
    pub fn is_ready(&self) -> bool {
        self.ready && self.is_member()
    }

    pub(super) fn is_member(&self) -> bool {
        self.phase == Phase::Member
    }

    pub(super) fn wall_ms(&self, now: Time) -> u64 {
        self.config.started_ms + now.0 / 1000
    }

    /// The link to say something on to the successor.
    pub(super) fn next_link(&self) -> Option<LinkId> {
        self.next.as_ref().map(|next| next.link)
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

    // ---- what comes over links

    fn received(&mut self, now: Time, link: LinkId, message: Peer, out: &mut Vec<Output>) {
        let Some(entry) = self.links.get(&link) else { return };
        let has_met = entry.meets > 0;
        if message.view().is_some_and(|view| view.is_ahead(self.wall_ms(now))) {
            let why = "its view is ahead of this node's time; are the clocks of both right?";
            return self.nonsense(now, link, why, out);
        }
        self.heard(now, link, true);
        match message {
            Peer::Meet { node, join, view } => self.met(now, link, node, join, view, out),
            _ if !has_met => self.nonsense(now, link, "a link must begin with MEET", out),
            Peer::Check(check) => self.check(now, link, check, out),
            Peer::Checked { view: Some(view), .. } => self.absorb(now, &view, out),
            Peer::Checked { view: None, .. } => {}
            Peer::ForwardPut(forward) => self.forward_put(now, link, forward, out),
            Peer::ForwardGet(forward) => self.forward_get(now, link, forward, out),
            Peer::Sync(sync) => self.sync(now, link, sync, out),
        }
    }

    fn heard(&mut self, now: Time, link: LinkId, answered: bool) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.heard = now;
        }
        if let Some(next) = self.next.as_mut().filter(|next| next.link == link) {
            next.asked = next.asked.filter(|_| !answered).map(|_| now);
        }
    }

    fn met(
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
        if is_first {
            // A node has one link to another; an older one is what is left of a broken cable.
            self.close_incoming(|older, it| older != link && it.peer == Some(node), out);
        }
        let is_probe = self.probe.as_ref().is_some_and(|probe| probe.link == link);
        if is_probe && matches!(self.phase, Phase::Joining { .. }) {
            if view.circle().iter().filter(|&&it| it != self.config.address).count() >= MEMBERS_MAX
            {
                let why = format!("the ring is full: it has {MEMBERS_MAX} members");
                out.push(Output::Disconnect { link });
                return self.link_down(now, link, why, out);
            }
            self.take_place(&view, node);
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
            self.view.vouch(view);
            self.me = self.view.get(self.config.address).expect("a node is in its own view");
            // A ring of one that meets a larger ring has missed what that ring did.
            let others = view.circle().into_iter().filter(|&it| !self.view.is_alive(it)).count();
            if self.live == 1 && others > 1 {
                self.ready = false;
            }
            if self.view.get(node).is_some() {
                out.push(Output::Notify(Event::Met { member: node }));
            }
        }
        self.absorb(now, view, out);
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
    fn take_place(&mut self, view: &View, prev: SocketAddr) {
        let earlier = view.get(self.config.address).map_or(0, |member| member.incarnation);
        let mut ring = view.clone();
        ring.set(self.config.address, Member { state: State::Gone { since_ms: 0 }, ..self.me });
        self.me.position = ring.position_after(prev);
        self.me.incarnation = self.me.incarnation.max(earlier).saturating_add(1);
        self.view.set(self.config.address, self.me);
        self.phase = Phase::Member;
    }

    fn check(&mut self, now: Time, link: LinkId, check: Check, out: &mut Vec<Output>) {
        let theirs = check.view.full_hash();
        self.absorb(now, &check.view, out);
        let view = (self.full != theirs).then(|| self.view.clone());
        if let Some(entry) = self.links.get_mut(&link) {
            entry.told = Some(self.full);
        }
        let Check { op, digest, ready, .. } = check;
        out.push(Output::Send { link, message: Peer::Checked { op, view } });
        let same = check.same && digest == self.table.digest();
        if op.creator == self.config.address {
            out.push(Output::Notify(Event::Circle { members: check.hops.saturating_add(1) }));
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

    fn begin_check(&mut self, now: Time, out: &mut Vec<Output>) {
        self.checks_made += 1;
        let op = OpId { creator: self.config.address, count: self.checks_made };
        self.send_check(now, op, true, 0, out);
    }

    // ---- the view

    /// Takes over what another view knows better; defends this node's own entry.
    fn absorb(&mut self, now: Time, view: &View, out: &mut Vec<Output>) {
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
    fn note_change(&mut self, out: &mut Vec<Output>) {
        let (circle, full) = (self.circle, self.full);
        self.hash_view();
        self.untended |= full != self.full;
        if circle != self.circle {
            out.push(Output::Notify(Event::List(self.view.clone())));
        }
    }

    fn hash_view(&mut self) {
        self.circle = self.view.circle_hash();
        self.full = self.view.full_hash();
        self.live = self.view.circle().len();
    }

    /// Brings links and operations in line with a view that has changed. The successor hears of
    /// the new view before anything is sent in it.
    fn tend(&mut self, now: Time, out: &mut Vec<Output>) {
        self.untended = false;
        let successor = match self.phase {
            Phase::Joining { .. } => None,
            _ => self.view.successor(self.config.address),
        };
        if self.next.as_ref().map(|next| next.peer) != successor {
            if let Some(next) = self.next.take() {
                self.close(next.link, out);
            }
            if let Some(peer) = successor {
                self.link_next(now, peer, false, out);
            }
        }
        if self.next_link().is_some_and(|link| self.links[&link].told != Some(self.full)) {
            self.begin_check(now, out);
        }
        self.forward_anew(out);
        if self.live == 1 && !self.ready && self.phase == Phase::Member {
            self.become_ready(out);
        }
    }

    pub(super) fn become_ready(&mut self, out: &mut Vec<Output>) {
        self.ready = true;
        out.push(Output::Notify(Event::Ready));
    }

    // ---- links

    fn new_link(&mut self, peer: Option<SocketAddr>) -> LinkId {
        self.links_made += 1;
        let link = LinkId(self.links_made);
        self.links.insert(link, Link { peer, told: None, meets: 0, heard: Time(0) });
        link
    }

    fn link_next(&mut self, now: Time, to: SocketAddr, is_retry: bool, out: &mut Vec<Output>) {
        let link = self.new_link(Some(to));
        self.next = Some(Next { link, peer: to, met: None, asked: Some(now), is_retry });
        out.push(Output::Connect { link, to });
        self.tell(link, out);
    }

    fn close(&mut self, link: LinkId, out: &mut Vec<Output>) {
        if self.links.remove(&link).is_some() {
            out.push(Output::Disconnect { link });
        }
    }

    fn nonsense(&mut self, now: Time, link: LinkId, why: &str, out: &mut Vec<Output>) {
        out.push(Output::Notify(Event::Nonsense { why: why.to_owned() }));
        out.push(Output::Disconnect { link });
        self.link_down(now, link, why.to_owned(), out);
    }

    fn link_down(&mut self, now: Time, link: LinkId, why: String, out: &mut Vec<Output>) {
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

    fn declare_dead(&mut self, now: Time, member: SocketAddr, why: String, out: &mut Vec<Output>) {
        let Some(mut entry) = self.view.get(member) else { return };
        entry.state = State::Gone { since_ms: self.wall_ms(now) };
        self.view.set(member, entry);
        out.push(Output::Notify(Event::Dead { member, why }));
        self.note_change(out);
    }

    // ---- time

    fn wake(&mut self, now: Time, out: &mut Vec<Output>) {
        let timeout = self.config.check_timeout;
        let silent = |next: &mut Next| next.asked.is_some_and(|asked| now >= asked + timeout);
        if let Some(next) = self.next.take_if(silent) {
            self.close(next.link, out);
            let why = format!("no answer for {timeout:?}");
            self.declare_dead(now, next.peer, why, out);
        }
        if let Some(probe) = self.probe.take_if(|probe| now >= probe.until) {
            self.close(probe.link, out);
            self.probe_failed(now, format!("no answer for {timeout:?}"), out);
        }
        self.expire(now, out);
        self.catchup_timeout(now);
        if now >= self.check_at {
            self.check_at = now + self.config.check_interval;
            self.view.forget(self.wall_ms(now));
            self.note_change(out);
            self.begin_check(now, out);
            self.look_around(now, out);
            self.close_silent(now, out);
        }
    }

    /// Whoever keeps a link to this node sends a CHECK every interval. One that has been silent
    /// for so long has lost its power or its cable, and nobody would ever say that the link is down.
    fn close_silent(&mut self, now: Time, out: &mut Vec<Output>) {
        self.close_incoming(|_, it| now >= it.heard + LINK_SILENCE_MAX, out);
    }

    fn close_incoming(&mut self, which: impl Fn(LinkId, &Link) -> bool, out: &mut Vec<Output>) {
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
    fn look_around(&mut self, now: Time, out: &mut Vec<Output>) {
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
    fn probe_failed(&mut self, now: Time, why: String, out: &mut Vec<Output>) {
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

    // ---- leaving

    fn leave(&mut self, now: Time) {
        if matches!(self.phase, Phase::Joining { .. } | Phase::Member) {
            self.phase = Phase::Finishing { until: now + self.config.check_timeout };
        }
    }

    /// The steps of leaving: answer what is in flight, say goodbye, wait to be passed over.
    fn step_out(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Phase::Finishing { until } = self.phase
            && (self.operations.is_empty() || now >= until)
        {
            self.abandon(out);
            self.phase = Phase::Leaving { until: now + self.config.check_timeout };
            self.me.state = State::Gone { since_ms: self.wall_ms(now) };
            self.view.set(self.config.address, self.me);
            self.note_change(out);
            self.tend(now, out);
            let incoming: Vec<_> = self.links.keys().copied().collect();
            for link in incoming {
                self.tell(link, out);
            }
        }
        if let Phase::Leaving { until } = self.phase {
            let linked = self.links.keys().any(|&link| Some(link) != self.next_link());
            if self.live == 0 || !linked || now >= until {
                self.phase = Phase::Left;
                out.push(Output::Left);
            }
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::List(view) => write!(f, "{view}"),
            Event::JoinFailed { prev, why } => write!(f, "cannot join the ring at {prev}: {why}"),
            Event::Dead { member, why } => write!(f, "{member} is gone: {why}"),
            Event::Relinked { member } => {
                write!(f, "the link to {member} broke and is back; sending anew")
            }
            Event::Met { member } => write!(f, "met the ring of {member}"),
            Event::Back => f.write_str("the others took this node for dead; it is back"),
            Event::Ready => f.write_str("ready: this node holds what the ring holds"),
            Event::Circle { members } => {
                write!(f, "CHECK performed a complete cycle of {members} members")
            }
            Event::CaughtUp { files } => write!(f, "caught up: {files} files"),
            Event::Nonsense { why } => write!(f, "closed a link: {why}"),
        }
    }
}
