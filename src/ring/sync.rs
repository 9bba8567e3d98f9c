//! Catching up: anti-entropy with the predecessor.
//!
//! CHECK carries a digest of the sender's table. Where it differs from the own one, a node asks its
//! predecessor for the digests of the buckets, then for the names in those that differ, and pulls
//! what is newer there. (Demers et al., "Epidemic algorithms", 1987; the buckets are a Merkle tree
//! of two levels.) Data so moves in the direction of the ring, and after at most one turn every
//! member holds the newest version of everything.
//!
//! Nothing is ever pushed and nothing is removed: an empty node cannot spread its emptiness.
//!
//! A newcomer has caught up once it has done this with a predecessor that has itself caught up.
//! Where nobody has, a CHECK that found the same digest all round the ring says the same.

use std::{collections::VecDeque, time::Duration};

use super::{
    event::{Event, LinkId, Output},
    limits::{SYNC_DOUBLINGS_MAX, SYNC_NAMES_MAX, SYNC_WINDOW_BYTES, SYNC_WINDOW_REQUESTS},
    message::{Peer, Sync},
    name::Name,
    node::Node,
    table::{Digest, Kept},
    version::{Time, Version},
};

/// The state of catching up.
#[derive(Debug, Default)]
pub(super) struct Catchup {
    session: Option<Session>,
    /// When the next session may begin, and how often the last ones found nothing.
    not_before: Time,
    in_vain: u32,
    /// The digests compared last, theirs and ours, and since when they have been these.
    compared: Option<(Digest, Digest, Time)>,
    /// The digests between which the last session found nothing.
    vain: Option<(Digest, Digest)>,
}

/// One comparison with the predecessor.
#[derive(Debug)]
struct Session {
    link: LinkId,
    /// When the predecessor was last heard.
    heard: Time,
    /// Whether the predecessor has caught up itself.
    pred_ready: bool,
    /// Buckets whose names are still to be asked for, from a name on.
    buckets: VecDeque<(u8, Option<Name>)>,
    /// Files still to be asked for, with their bytes.
    wanted: VecDeque<(Name, usize)>,
    /// Files asked for, with their bytes, in the order of the answers.
    pulling: VecDeque<(Name, usize)>,
    pulling_bytes: usize,
    /// Questions about names and digests that are not answered.
    questions: usize,
    pulled: usize,
    /// Files that could not be kept.
    refused: usize,
}

impl Catchup {
    pub(super) fn link_down(&mut self, link: LinkId) {
        self.session.take_if(|session| session.link == link);
    }

    pub(super) fn deadline(&self, timeout: Duration) -> Option<Time> {
        self.session.as_ref().map(|session| session.heard + timeout)
    }
}

impl Node {
    /// A CHECK has brought the digest of the node at the other end of `link`. If that is the
    /// predecessor and there is something to catch up with, begins a session.
    pub(super) fn compare(
        &mut self,
        now: Time,
        link: LinkId,
        digest: Digest,
        pred_ready: bool,
        out: &mut Vec<Output>,
    ) {
        let predecessor = self.view.predecessor(self.config.address);
        if self.links.get(&link).and_then(|link| link.peer) != predecessor
            || self.catchup.session.is_some()
        {
            return;
        }
        let pair = (digest, self.table.digest());
        if pair.0 == pair.1 {
            self.catchup = Catchup::default();
            if pred_ready && !self.ready && self.is_member() {
                self.become_ready(out);
            }
            return;
        }
        // What a predecessor has that is itself catching up will still be there when it has done so.
        if self.ready && !pred_ready {
            return;
        }
        // While something is on its way round, digests differ and nobody has missed anything. So
        // there is no hurry, unless they stay as they are; and none if that was looked into.
        let last = self.catchup.compared.filter(|&(theirs, mine, _)| (theirs, mine) == pair);
        let since = last.map_or(now, |(.., since)| since);
        self.catchup.compared = Some((pair.0, pair.1, since));
        let is_still = now.since(since) >= self.config.check_interval / 2;
        let is_news = is_still && self.catchup.vain != Some(pair);
        if self.ready && !is_news && now < self.catchup.not_before {
            return;
        }
        self.catchup.session = Some(Session {
            link,
            heard: now,
            pred_ready,
            buckets: VecDeque::new(),
            wanted: VecDeque::new(),
            pulling: VecDeque::new(),
            pulling_bytes: 0,
            questions: 1,
            pulled: 0,
            refused: 0,
        });
        out.push(Output::Send { link, message: Peer::Sync(Sync::Buckets) });
    }

    /// A question of the successor, or an answer of the predecessor.
    pub(super) fn sync(&mut self, now: Time, link: LinkId, sync: Sync, out: &mut Vec<Output>) {
        let answer = match sync {
            Sync::Buckets => {
                Some(Sync::Digests { ready: self.ready, digests: self.table.digests() })
            }
            Sync::Names { bucket, after } => Some(self.names(bucket, after.as_ref())),
            Sync::Pull { name } => {
                let item = self.table.get(&name).cloned();
                Some(Sync::Item { name, item })
            }
            answer => {
                self.sync_answer(now, link, answer, out);
                None
            }
        };
        if let Some(answer) = answer {
            out.push(Output::Send { link, message: Peer::Sync(answer) });
        }
    }

    /// A predecessor that no longer answers is given up; the next CHECK begins again.
    pub(super) fn catchup_timeout(&mut self, now: Time) {
        let timeout = self.config.check_timeout;
        self.catchup.session.take_if(|session| now >= session.heard + timeout);
    }

    fn names(&self, bucket: u8, after: Option<&Name>) -> Sync {
        let mut files: Vec<(Name, usize, Version)> = (self.table.bucket(bucket, after))
            .take(SYNC_NAMES_MAX + 1)
            .map(|(name, item)| (name.clone(), item.content.len(), item.version))
            .collect();
        let more = files.len() > SYNC_NAMES_MAX;
        files.truncate(SYNC_NAMES_MAX);
        Sync::Listed { bucket, more, files }
    }

    fn sync_answer(&mut self, now: Time, link: LinkId, answer: Sync, out: &mut Vec<Output>) {
        let Some(mut session) = self.catchup.session.take_if(|session| session.link == link) else {
            return;
        };
        session.heard = now;
        match answer {
            Sync::Digests { ready, digests } if session.questions > 0 => {
                session.questions -= 1;
                session.pred_ready = ready;
                let pairs = digests.iter().zip(self.table.digests()).enumerate();
                let differing = pairs.filter(|(_, (theirs, mine))| **theirs != *mine);
                session.buckets = differing.map(|(i, _)| (i as u8, None)).collect();
            }
            Sync::Listed { bucket, more, files } if session.questions > 0 => {
                session.questions -= 1;
                if let Some((last, ..)) = files.last().filter(|_| more) {
                    session.buckets.push_front((bucket, Some(last.clone())));
                }
                let lacks = |name: &Name, version| {
                    self.table.get(name).is_none_or(|held| held.version < version)
                };
                let newer = files.into_iter().filter(|(name, _, version)| lacks(name, *version));
                session.wanted.extend(newer.map(|(name, bytes, _)| (name, bytes)));
            }
            Sync::Item { name, item } => {
                let asked = session.pulling.pop_front();
                let Some((_, bytes)) = asked.filter(|(asked, _)| *asked == name) else { return };
                session.pulling_bytes -= bytes;
                match item.map(|item| self.keep(now, &name, item)) {
                    Some(Ok(Kept::New)) => session.pulled += 1,
                    Some(Err(_)) => session.refused += 1,
                    _ => {}
                }
            }
            _ => return,
        }
        session.ask(out);
        if session.is_done() {
            self.session_done(now, &session, out);
        } else {
            self.catchup.session = Some(session);
        }
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
            // The successor lacks them too, perhaps, and need not wait for the next round.
            self.begin_check(now, out);
        }
        if session.pred_ready && session.refused == 0 && !self.ready && self.is_member() {
            self.become_ready(out);
        }
    }
}

impl Session {
    /// Asks on, as far as the windows allow. Files come first: they are what it is all for.
    fn ask(&mut self, out: &mut Vec<Output>) {
        let mut send = |message| {
            out.push(Output::Send { link: self.link, message: Peer::Sync(message) });
        };
        while self.questions + self.pulling.len() < SYNC_WINDOW_REQUESTS {
            let room = SYNC_WINDOW_BYTES.saturating_sub(self.pulling_bytes);
            let fits = |&(_, bytes): &(Name, usize)| self.pulling.is_empty() || bytes <= room;
            if self.wanted.front().is_some_and(fits)
                && let Some((name, bytes)) = self.wanted.pop_front()
            {
                self.pulling_bytes += bytes;
                self.pulling.push_back((name.clone(), bytes));
                send(Sync::Pull { name });
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
    }
}
