//! Catching up: anti-entropy with the predecessor.
//!
//! CHECK carries two digests of the sender's index: of the newest version of each name, and of all
//! versions. Where one differs from its own, a node asks its predecessor for the digests of the
//! buckets, then for the versions in those that differ, and pulls what it lacks. (Demers et al., "Epidemic algorithms", 1987; the buckets are a Merkle tree
//! of two levels.) So data moves in the direction of the ring, and after at most one turn every
//! member holds the newest version of everything.
//!
//! Nothing is ever pushed and nothing is removed: an empty node cannot empty others. What is deleted
//! is a version too, a tombstone. Only the newest versions count for what a node covers; older ones are
//! pulled where there is room.
//!
//! What the predecessor covered when a session began, this node covers when the session is done, or
//! at once where both tables are equal (see `coverage.rs`). A predecessor that is full has nothing to
//! give: then the nearest one before it that is not full is visited, over a link of its own.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::{
    arriving::Awaited,
    coverage::Covers,
    event::{Event, LinkId, Output},
    index::{Digest, IndexEntry, Kept},
    item::{ArrivalId, Body, Item},
    limits::SYNC_WINDOW_REQUESTS,
    message::{FileRow, Peer, Report, Sync},
    name::Name,
    node::Node,
    short_links::Purpose,
    version::{Stamp, Time, Version},
};

/// Bytes of files that one synchronisation has asked for and not yet got.
const SYNC_WINDOW_BYTES: usize = 4 << 20;
/// When one answer of a synchronisation lists so many versions, it lists no further name.
const SYNC_VERSIONS_MAX: usize = 256;
/// A synchronisation that found nothing is not repeated sooner than this many check intervals,
/// doubled each time up to this many doublings.
const SYNC_DOUBLINGS_MAX: u32 = 5;

/// Of the newest version of each name, and of all versions.
pub(super) type Digests = (Digest, Digest);

/// The state of catching up.
#[derive(Debug, Default)]
pub(super) struct Catchup {
    session: Option<Session>,
    /// When the next session may begin, and how often the last ones found nothing.
    not_before: Time,
    in_vain: u32,
    /// The digests compared last, theirs and ours, and since when they have not changed.
    compared: Option<(Digests, Digests, Time)>,
    /// The digests between which the last session found nothing.
    vain: Option<(Digests, Digests)>,
}

/// One comparison with another member.
#[derive(Debug)]
struct Session {
    link: LinkId,
    /// The other member.
    with: SocketAddr,
    /// When it was last heard.
    heard: Time,
    /// What it covered when the session began.
    offer: Covers,
    /// Buckets whose names are still to be asked for, from a name on.
    buckets: VecDeque<(u8, Option<Name>)>,
    /// Versions still to be asked for.
    wanted: VecDeque<Wanted>,
    /// Versions asked for, in the order of the answers.
    pulling: VecDeque<Wanted>,
    pulling_bytes: usize,
    /// Questions about names and digests that are not answered.
    questions: usize,
    pulled: usize,
    /// Large contents that are on their way.
    awaited: Awaited,
    /// Whether there was no room for something.
    has_refused: bool,
    /// Whether a large content did not come.
    has_failed: bool,
}

/// A version to be pulled.
#[derive(Debug)]
struct Wanted {
    name: Name,
    version: Version,
    bytes: usize,
}

impl Catchup {
    pub(super) fn link_down(&mut self, link: LinkId) {
        self.session.take_if(|session| session.link == link);
    }

    pub(super) fn deadline(&self, timeout: Duration) -> Option<Time> {
        let asking = self.session.as_ref().filter(|session| session.is_asking());
        asking.map(|session| session.heard + timeout)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.session.is_some()
    }

    /// The store could not keep something, which may have come by this session.
    pub(super) fn could_not_keep(&mut self) {
        if let Some(session) = &mut self.session {
            session.has_refused = true;
        }
    }
}

impl Node {
    /// A CHECK has brought the digests of the node at the other end of `link`. If that is the
    /// predecessor and there is something to catch up with, begins a session.
    pub(super) fn compare(
        &mut self,
        now: Time,
        link: LinkId,
        theirs: Digests,
        pred_is_full: bool,
        out: &mut Vec<Output>,
    ) {
        let predecessor = self.view.predecessor(self.config.address);
        let Some(entry) = self.links.get(&link) else { return };
        if entry.peer != predecessor || self.catchup.session.is_some() {
            return;
        }
        let mut offer = entry.offer.clone();
        if pred_is_full && self.may_have_roomy_mate() {
            // Another one has more: also what was kept though a full member could not keep it.
            offer.keep_only(entry.peer);
        }
        let gives = self.gains_by(&offer);
        if pred_is_full
            && !gives
            && self.covers.lacks(&self.view, self.config.address).next().is_some()
            && self.visit_before(now, out)
        {
            return;
        }
        let pair = (theirs, (self.index.digest(), self.index.history()));
        if pair.0.0 == pair.1.0 {
            if self.has_followed(&offer, pred_is_full, out) && self.covers_more(now, out) {
                self.begin_check(now, out);
            }
            if pair.0 == pair.1 && !pred_is_full {
                self.catchup = Catchup::default();
                return;
            }
        }
        let gives = gives && pair.0.0 != pair.1.0;
        // While something is on its way round, digests differ though no member has missed anything.
        // So there is no hurry, unless they stay as they are; and none if a session found nothing.
        let last = self.catchup.compared.filter(|&(theirs, mine, _)| (theirs, mine) == pair);
        let since = last.map_or(now, |(.., since)| since);
        self.catchup.compared = Some((pair.0, pair.1, since));
        let is_still = now.since(since) >= self.config.check_interval / 2;
        let is_vain = self.catchup.vain == Some(pair) && !self.storing.may_be_tried_again(now);
        let is_news = is_still && !is_vain;
        if !gives && !is_news && now < self.catchup.not_before {
            return;
        }
        // What a full predecessor lacks, others may have. But it may have what this full node lacks.
        let has_more = !self.refused.is_empty() && !self.has_all_of(&offer);
        if pred_is_full && !gives && !has_more && self.visit_before(now, out) {
            return;
        }
        self.begin_session(now, link, offer, out);
    }

    /// This node has all that another member covers. Says whether that is news.
    fn has_followed(&mut self, offer: &Covers, is_full: bool, out: &mut Vec<Output>) -> bool {
        let is_settled = self.storing.is_confirmed_up_to(self.refused.learned_at());
        self.refused.learned(offer, self.storing.last_ticket(), is_settled);
        let is_news = self.learn(offer);
        // A full node that has all that was ever brought lacks only what was not acknowledged. A member
        // with room may have that all the same.
        let may_be_there = is_full && self.may_have_roomy_mate();
        if !self.refused.is_empty() && !may_be_there && self.has_all_brought() {
            self.refused.clear();
            self.note_room(true, out);
            self.unsettled = true;
        }
        is_news
    }

    /// Whether this node, which is full, has nevertheless all that any member brings.
    fn has_all_brought(&self) -> bool {
        let me = self.config.address;
        let mut sound = self.refused.sound().clone();
        if self.own.is_covered(sound.of(me)) {
            sound.add(me, self.me.brings);
        }
        sound.lacks(&self.view, me).next().is_none()
    }

    /// Whether this node, which is full, has nevertheless all that another one offers.
    fn has_all_of(&self, offer: &Covers) -> bool {
        let offered = self.offered();
        self.view.brought().all(|(member, _)| offered.of(member) >= offer.of(member))
    }

    /// Whether what was learned makes this node cover more than before.
    fn covers_more(&mut self, now: Time, out: &mut Vec<Output>) -> bool {
        let before = self.covers.clone();
        self.settle_ready(now, out);
        before != self.covers
    }

    /// Whether the other covers more than this node of what it lacks: all that a member brings, or
    /// what that member brought in an earlier life and has to follow itself.
    fn gains_by(&self, offer: &Covers) -> bool {
        let me = self.config.address;
        let learned = self.learned.of(me);
        let mut lacks = self.covers.lacks(&self.view, self.config.address);
        lacks.any(|(member, _)| offer.of(member) > self.covers.of(member))
            || (!self.own.is_covered(learned) && offer.of(me) > learned)
    }

    /// Visits the nearest member before this one that is not full. Says whether there is one, or may be.
    fn visit_before(&mut self, now: Time, out: &mut Vec<Output>) -> bool {
        if self.short_links.count(|it| it == Purpose::Visit) > 0 {
            return true;
        }
        let has_all = |it: Option<&Report>| it.is_some_and(|it| it.ready && !it.full);
        let is_roomy = |it: Option<&Report>| it.is_some_and(|it| !it.full);
        let roomy = self.before(has_all).or_else(|| self.before(is_roomy));
        if let Some(member) = roomy {
            self.visit(now, member, out);
        }
        roomy.is_some() || self.before(|it| it.is_none()).is_some()
    }

    /// Whether another member is ready and not full, as far as this node knows.
    fn may_have_roomy_mate(&self) -> bool {
        self.before(|it| it.is_none_or(|it| it.ready && !it.full)).is_some()
    }

    /// The nearest member before this one that reports this of itself.
    fn before(&self, is_so: impl Fn(Option<&Report>) -> bool) -> Option<SocketAddr> {
        let mut before = self.config.address;
        // A node that leaves is in the circle no more: it would go round for ever.
        for _ in 0..self.live {
            let member = self.view.predecessor(before).filter(|it| *it != self.config.address)?;
            if is_so(self.reports.of.get(&member)) {
                return Some(member);
            }
            before = member;
        }
        None
    }

    /// A member that is visited has answered.
    pub(super) fn visit_begins(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        if self.catchup.session.is_some() {
            return self.end_visit(link, out);
        }
        let offer = self.links.get(&link).map_or(Covers::default(), |entry| entry.offer.clone());
        self.begin_session(now, link, offer, out);
    }

    fn begin_session(&mut self, now: Time, link: LinkId, offer: Covers, out: &mut Vec<Output>) {
        let Some(with) = self.links.get(&link).and_then(|entry| entry.peer) else { return };
        self.catchup.session = Some(Session {
            link,
            with,
            heard: now,
            offer,
            buckets: VecDeque::new(),
            wanted: VecDeque::new(),
            pulling: VecDeque::new(),
            pulling_bytes: 0,
            questions: 1,
            pulled: 0,
            awaited: Awaited::new(),
            has_refused: false,
            has_failed: false,
        });
        self.say(link, Peer::Sync(Sync::Buckets), out);
    }

    fn end_visit(&mut self, link: LinkId, out: &mut Vec<Output>) {
        if self.short_links.get(link).is_some_and(|short| short.purpose == Purpose::Visit) {
            self.short_links.end(link);
            self.close(link, out);
        }
    }

    /// A question from another node, or an answer to one of this node's.
    pub(super) fn sync(&mut self, now: Time, link: LinkId, sync: Sync, out: &mut Vec<Output>) {
        let answer = match sync {
            Sync::Buckets => Sync::Digests { digests: self.index.digests() },
            Sync::Names { bucket, after } => self.names(bucket, after.as_ref()),
            Sync::Pull { name, version } => {
                let held = self.index.version(&name, version).or_else(|| self.index.get(&name));
                let item = held.as_ref().map(IndexEntry::item);
                let is_large = item.as_ref().is_some_and(|it| it.len() >= self.config.apart_bytes);
                let item = match item {
                    Some(item) if is_large && self.keeps_at(link) => {
                        Some(item.apart(self.config.address))
                    }
                    item => item,
                };
                Sync::Item { name, item }
            }
            answer => return self.sync_answer(now, link, answer, out),
        };
        self.say(link, Peer::Sync(answer), out);
    }

    /// A member that no longer answers is given up; the next CHECK begins again.
    pub(super) fn catchup_timeout(&mut self, now: Time) {
        let timeout = self.config.check_timeout;
        self.catchup
            .session
            .take_if(|session| session.is_asking() && now >= session.heard + timeout);
    }

    fn names(&self, bucket: u8, after: Option<&Name>) -> Sync {
        let mut files: Vec<FileRow> = Vec::new();
        let mut names = self.index.bucket(bucket, after);
        // All versions of a name are in one answer.
        while files.len() < SYNC_VERSIONS_MAX
            && let Some((name, held)) = names.next()
        {
            files.extend(held.iter().map(|held| FileRow {
                name: name.clone(),
                version: held.version,
                bytes: held.kind.bytes(),
                hash: None,
            }));
        }
        let more = names.next().is_some();
        Sync::Listed { bucket, more, files }
    }

    fn sync_answer(&mut self, now: Time, link: LinkId, answer: Sync, out: &mut Vec<Output>) {
        let Some(mut session) = self.catchup.session.take_if(|session| session.link == link) else {
            return;
        };
        session.heard = now;
        match answer {
            Sync::Digests { digests } if session.questions > 0 => {
                session.questions -= 1;
                let pairs = digests.iter().zip(self.index.digests()).enumerate();
                let differing = pairs.filter(|(_, (theirs, mine))| **theirs != *mine);
                session.buckets = differing.map(|(i, _)| (i as u8, None)).collect();
            }
            Sync::Listed { bucket, more, files } if session.questions > 0 => {
                session.questions -= 1;
                if let Some(last) = files.last().filter(|_| more) {
                    session.buckets.push_front((bucket, Some(last.name.clone())));
                }
                self.choose(now, files, &mut session, out);
            }
            Sync::Item { name, item } => {
                let asked = session.pulling.pop_front();
                let Some(asked) = asked.filter(|asked| asked.name == name) else { return };
                session.pulling_bytes -= asked.bytes;
                let is_apart = |item: &Item| matches!(item.body(), Some(Body::Apart { .. }));
                let apart = item.as_ref().filter(|it| is_apart(it)).map(|it| it.version);
                let kept = item.map(|item| self.keep(now, &name, item, None, None, out));
                // Until it is here, or does not come, the session is not done.
                session.awaited.extend(apart.and_then(|version| self.coming(&name, version)));
                match kept {
                    Some(Ok(Kept::New | Kept::Older)) => session.pulled += 1,
                    Some(Err(_)) => session.has_refused = true,
                    _ => {}
                }
            }
            _ => return,
        }
        session.ask(self.clock.highest(), out);
        if session.is_done() {
            self.session_done(now, &session, out);
        } else {
            self.catchup.session = Some(session);
        }
    }

    /// A large content is here, or does not come.
    pub(super) fn arrival_ended(
        &mut self,
        now: Time,
        arrival: ArrivalId,
        is_kept: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = &mut self.catchup.session else { return };
        if !session.awaited.remove(&arrival) {
            return;
        }
        session.heard = now;
        session.has_failed |= !is_kept;
        if let Some(session) = self.catchup.session.take_if(|session| session.is_done()) {
            self.session_done(now, &session, out);
        }
    }

    /// How many versions catching up has yet to bring, as far as that is known.
    pub fn lacking(&self) -> usize {
        let of = |session: &Session| {
            session.wanted.len() + session.pulling.len() + session.awaited.len()
        };
        self.catchup.session.as_ref().map_or(0, of)
    }

    /// Whether the node at the other end of a link keeps files on a disk as this one does, and can pull
    /// contents.
    fn keeps_at(&self, link: LinkId) -> bool {
        let peer = self.links.get(&link).and_then(|entry| entry.peer);
        let peer = peer.filter(|_| self.config.keeps);
        peer.and_then(|peer| self.view.get(peer)).is_some_and(|member| member.keeps)
    }

    /// Notes which of another member's versions this node lacks, so that they are asked for. Where the
    /// newest of a name has no room, that is remembered as refused.
    fn choose(
        &mut self,
        now: Time,
        files: Vec<FileRow>,
        session: &mut Session,
        out: &mut Vec<Output>,
    ) {
        let was_full = !self.refused.is_empty();
        let since = self.tombstones_since(now);
        let mut forgotten: Option<(Name, Version)> = None;
        for FileRow { name, version, bytes, .. } in files {
            if bytes.is_none() && version.stamp < since {
                forgotten = Some((name.clone(), version));
            }
            let is_deleted =
                forgotten.as_ref().is_some_and(|(it, at)| *it == name && version <= *at);
            if is_deleted || self.index.is_old(&name, version) {
                continue;
            }
            let is_newest = self.index.get(&name).is_none_or(|held| held.version < version);
            let wanted = Wanted { name, version, bytes: bytes.unwrap_or(0) };
            if is_newest && !self.has_room(now, &wanted.name, wanted.bytes) {
                session.has_refused = true;
                self.refused.add(&wanted.name, version, bytes);
            } else if is_newest || self.index.has_room_beside(&wanted.name, wanted.bytes) {
                session.wanted.push_back(wanted);
            }
        }
        self.note_room(was_full, out);
    }

    fn session_done(&mut self, now: Time, session: &Session, out: &mut Vec<Output>) {
        let catchup = &mut self.catchup;
        let in_vain = session.pulled == 0;
        catchup.in_vain = if in_vain { (catchup.in_vain + 1).min(SYNC_DOUBLINGS_MAX) } else { 0 };
        catchup.vain = catchup.compared.filter(|_| in_vain).map(|(theirs, mine, _)| (theirs, mine));
        let delay = self.config.check_interval * 2u32.pow(catchup.in_vain);
        catchup.not_before = now + delay;
        if session.pulled > 0 {
            out.push(Output::Notify(Event::CaughtUp { files: session.pulled }));
        }
        if !session.has_refused && !session.has_failed {
            self.refused.all_known();
        }
        let is_news = match session.has_refused {
            // It does not have all that the other has.
            _ if session.has_failed => false,
            true => self.learn(&session.offer),
            false => {
                let is_full = self.reports.of.get(&session.with).is_some_and(|it| it.full);
                self.has_followed(&session.offer, is_full, out)
            }
        };
        let has_learned = is_news && self.covers_more(now, out);
        if session.pulled > 0 || has_learned {
            // The successor may lack the same, and need not wait for the next round.
            self.begin_check(now, out);
        }
        // The other may have come to cover more meanwhile.
        let offer = self.links.get(&session.link).map(|entry| entry.offer.clone());
        if let Some(offer) = offer.filter(|offer| self.gains_by(offer)) {
            return self.begin_session(now, session.link, offer, out);
        }
        self.end_visit(session.link, out);
        self.asked(now, session.with, out);
    }
}

impl Session {
    /// Asks on, as far as the windows allow. Files come first: they are the purpose of it.
    fn ask(&mut self, stamp: Stamp, out: &mut Vec<Output>) {
        let mut send = |sync| {
            let message = super::message::Envelope { stamp, message: Peer::Sync(sync) };
            out.push(Output::Send { link: self.link, message });
        };
        while self.questions + self.pulling.len() < SYNC_WINDOW_REQUESTS {
            let room = SYNC_WINDOW_BYTES.saturating_sub(self.pulling_bytes);
            let fits = |it: &Wanted| self.pulling.is_empty() || it.bytes <= room;
            if self.wanted.front().is_some_and(fits)
                && let Some(wanted) = self.wanted.pop_front()
            {
                let (name, version) = (wanted.name.clone(), wanted.version);
                self.pulling_bytes += wanted.bytes;
                self.pulling.push_back(wanted);
                send(Sync::Pull { name, version });
            } else if self.wanted.is_empty()
                && let Some((bucket, after)) = self.buckets.pop_front()
            {
                self.questions += 1;
                send(Sync::Names { bucket, after });
            } else {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.questions == 0
            && self.pulling.is_empty()
            && self.wanted.is_empty()
            && self.buckets.is_empty()
            && self.awaited.is_empty()
    }

    /// Whether the other member is to answer something.
    fn is_asking(&self) -> bool {
        self.questions > 0 || !self.pulling.is_empty()
    }
}
