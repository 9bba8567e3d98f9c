//! What clients ask: what is answered at once, what goes round the ring, what waits until the node is
//! ready.

use std::collections::VecDeque;

use super::{
    clocks,
    entry::IndexEntry,
    event::{ArrivedPut, Output, RequestId},
    item::{Body, Content, Item, ItemValue},
    limits::{FILE_BYTES_CEILING, OPERATIONS_MAX, READY_WAIT},
    message::{Answer, Condition, FileRow, Info, Refusal, Request, Status},
    name::Name,
    node::{Node, Phase},
    operations::Task,
    size,
    version::{Stamp, Time, Version},
    versions::Versions,
};

/// Names with versions ahead of this node's clock, of which it remembers the last.
const BEYOND_MAX: usize = 1024;

/// Requests that wait until this node is ready.
const WAITING_MAX: usize = 1024;
/// Of these, the LISTs: each may be answered with a thousand names, and all are at once.
const LISTS_MAX: usize = 64;

/// Requests that wait until this node is ready.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<(Time, RequestId, Request)>);

impl Waiting {
    /// They wait equally long, so the first is the first due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.0.front().map(|&(until, ..)| until)
    }
}

impl Node {
    pub(super) fn request(
        &mut self,
        now: Time,
        id: RequestId,
        request: Request,
        out: &mut Vec<Output>,
    ) {
        let answer = match request {
            Request::Put { name, content, only_if } => {
                self.put(now, id, name, content, only_if, out)
            }
            Request::Delete { name, only_if } => self.delete(now, id, name, only_if, out),
            Request::Get { name, version } => self.get(now, id, name, version, out),
            // Its driver answers those that it can.
            Request::Pull { name, .. } => {
                let reason = format!("{} cannot be pulled from here", name.wire());
                Some(Answer::Refused(Refusal::new(Status::NotFound, reason)))
            }
            Request::Trace { version } => {
                self.traces(id, version, out);
                None
            }
            Request::Log { name } => self.log(now, id, name),
            Request::List { prefix, after, limit, hashes } => {
                self.list(now, id, prefix, after, limit, hashes)
            }
            Request::Ring => {
                Some(Answer::Ring { members: self.rows(now), me: self.config.address })
            }
            Request::Ping => Some(Answer::Pong { me: self.config.address }),
            Request::Info => Some(Answer::Info(Box::new(self.info()))),
            Request::Forget { address } => Some(self.forget(now, address, out)),
            Request::Quit => Some(Answer::Bye),
        };
        if let Some(answer) = answer {
            out.push(Output::Reply { id, answer });
        }
    }

    fn put(
        &mut self,
        now: Time,
        id: RequestId,
        name: Name,
        content: Content,
        only_if: Option<Condition>,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        let may = self.may_put(now, &name, content.len(), only_if);
        match may.and_then(|()| self.version(now, &name)) {
            Ok(version) => {
                self.begin(now, id, name, Task::Write(Item::file(version, content)), out)
            }
            Err(refusal) => Some(Answer::Refused(refusal)),
        }
    }

    /// A file that has arrived in the store is put.
    pub(super) fn put_arrived(
        &mut self,
        now: Time,
        id: RequestId,
        put: ArrivedPut,
        out: &mut Vec<Output>,
    ) {
        let ArrivedPut { name, arrival, hash, bytes, only_if } = put;
        self.upload_ends(arrival);
        let may = self.may_put(now, &name, bytes, only_if);
        let answer = match may.and_then(|()| self.version(now, &name)) {
            Ok(version) => {
                let value = ItemValue::File { hash, body: Body::Arrived { arrival, bytes } };
                self.begin(now, id, name, Task::Write(Item { version, value }), out)
            }
            Err(refusal) => Some(Answer::Refused(refusal)),
        };
        out.extend(answer.map(|answer| Output::Reply { id, answer }));
    }

    fn delete(
        &mut self,
        now: Time,
        id: RequestId,
        name: Name,
        only_if: Option<Condition>,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        let may = self.may_write().and_then(|()| self.allows(&name, only_if));
        // A node that is ready holds all names that were acknowledged; another one cannot know.
        let held = self.held(&name, None).filter(|held| held.body().is_some());
        if may.is_ok() && self.ready && held.is_none() && self.refused.get(&name).is_none() {
            let found = self.held(&name, None);
            return Some(self.found(&name, None, found));
        }
        match may.and_then(|()| self.version(now, &name)) {
            Ok(version) => self.begin(now, id, name, Task::Write(Item::tombstone(version)), out),
            Err(refusal) => Some(Answer::Refused(refusal)),
        }
    }

    /// Whether what a client believes to be the newest version of a name is that here.
    fn allows(&self, name: &Name, only_if: Option<Condition>) -> Result<(), Refusal> {
        let Some(condition) = only_if else { return Ok(()) };
        if !self.ready {
            let reason = "this node does not know yet which version is the newest; try another";
            return Err(Refusal::new(Status::Unavailable, reason));
        }
        let held = self.index.get(name).filter(|held| !held.is_tombstone());
        let newest = held.map(|held| held.version).max(self.refused.get(name));
        let is_so = match condition {
            Condition::Newest(version) => newest == Some(version),
            Condition::Absent => newest.is_none(),
        };
        if is_so {
            return Ok(());
        }
        let name = name.wire();
        let reason = match newest {
            Some(newest) => format!("the newest version of {name} is {newest}"),
            None => format!("there is no file {name}"),
        };
        Err(Refusal::new(Status::PreconditionFailed, reason))
    }

    fn may_write(&self) -> Result<(), Refusal> {
        self.may_operate()?;
        let (min, live) = (self.config.min_copies, self.live);
        if live < min {
            let reason = format!("min-copies is {min} and only {live} members are alive");
            return Err(Refusal::new(Status::Unavailable, reason));
        }
        Ok(())
    }

    /// Whether a file of this many bytes would be taken now. Its content need not be here yet.
    pub fn may_put(
        &self,
        now: Time,
        name: &Name,
        bytes: usize,
        only_if: Option<Condition>,
    ) -> Result<(), Refusal> {
        self.may_write()?;
        if bytes > self.config.max_file_bytes {
            let reason = size::beyond(bytes as u64, self.config.max_file_bytes);
            return Err(Refusal::new(Status::ContentTooLarge, reason));
        }
        if bytes > FILE_BYTES_CEILING && !self.goes_apart(bytes) {
            let most = size::in_words(FILE_BYTES_CEILING as u64);
            let reason = format!("a member keeps files in memory, and takes at most {most}");
            return Err(Refusal::new(Status::ContentTooLarge, reason));
        }
        if !self.has_room(now, name, bytes) {
            let (status, why) = self.why_full();
            return Err(Refusal::new(status, why));
        }
        self.allows(name, only_if)
    }

    /// The version of a new write of this name: later than all that this node has seen of the name,
    /// and than all stamps that it has heard of. A node whose clock is so wrong that others would not
    /// believe it gives out none.
    pub(super) fn version(&mut self, now: Time, name: &Name) -> Result<Version, Refusal> {
        let me = self.config.address;
        if let Some(off_ms) = self.clocks.is_off() {
            let reason = format!(
                "{me}'s clock is {}: set it right, or ask another member",
                clocks::in_words(off_ms)
            );
            return Err(Refusal::new(Status::Unavailable, reason));
        }
        let stamp = self.clock.tick(self.clocks.own(now), self.clocks.latest(now));
        let held = self.index.get(name).map(|held| held.version.stamp);
        let refused = self.refused.get(name).map(|version| version.stamp);
        let known = held.into_iter().chain(refused);
        let stamp = known.fold(stamp, |stamp, known| stamp.max(known.next()));
        // This node may have given one out that its clock has only now come to.
        let mut stamp = stamp.above_if_near(self.beyond.get(name).copied());
        self.clock.observe(stamp, self.clocks.latest(now));
        if stamp > self.clock.highest() {
            stamp = self.stamp_beyond(name, stamp);
        }
        Ok(Version { stamp, node: me })
    }

    /// This stamp or a later one, for names with a version from a time when a clock was wrong: this
    /// node's clock does not go that far ahead, so it would not remember what it has given out.
    pub(super) fn stamp_beyond(&mut self, name: &Name, stamp: Stamp) -> Stamp {
        let stamp = stamp.above_if_near(self.beyond.get(name).copied());
        let stamp = self.clock.above_given(stamp.above_if_near(self.operations.highest(name)));
        if self.beyond.len() >= BEYOND_MAX {
            self.beyond.pop_first();
        }
        self.beyond.insert(name.clone(), stamp);
        stamp
    }

    pub(super) fn may_operate(&self) -> Result<(), Refusal> {
        let open = self.operations.len();
        let reason = match self.phase {
            Phase::Joining => "this node is not in its ring yet; try another",
            Phase::Member if open >= OPERATIONS_MAX => {
                "too many operations are in flight; try again"
            }
            Phase::Member => return Ok(()),
            _ => "this node is leaving its ring; try another",
        };
        Err(Refusal::new(Status::Unavailable, reason))
    }

    /// A node that is ready answers what it holds. What it misses, and everything as long as it is
    /// not ready, it asks the ring for.
    fn get(
        &mut self,
        now: Time,
        id: RequestId,
        name: Name,
        version: Option<Version>,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        let until = now + self.config.request_timeout;
        self.get_within(now, until, id, name, version, out)
    }

    fn get_within(
        &mut self,
        now: Time,
        until: Time,
        id: RequestId,
        name: Name,
        version: Option<Version>,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        if let Some(held) = self.at_hand(&name, version) {
            return Some(self.found(&name, version, Some(held.item())));
        }
        if let Err(refusal) = self.may_operate() {
            return Some(Answer::Refused(refusal));
        }
        if self.live == 1 && !self.ready {
            return match self.index.get(&name).filter(|_| self.is_unclaimed()) {
                Some(held) if version.is_none() && !held.is_tombstone() => {
                    Some(Answer::Found(held.item()))
                }
                _ => self.wait(now, id, Request::Get { name, version }),
            };
        }
        self.begin_until(now, until, id, name, Task::Read(version), out)
    }

    /// What a GET is answered with at once, because this node surely has what is asked for. It may be a
    /// tombstone.
    pub fn at_hand(&self, name: &Name, version: Option<Version>) -> Option<IndexEntry> {
        if let Some(wanted) = version {
            // A version never changes.
            return self.index.version(name, wanted);
        }
        let held = self.index.get(name).filter(|_| self.ready && self.refused.is_complete())?;
        let refused = self.refused.get(name);
        refused.is_none_or(|refused| refused <= held.version).then_some(held)
    }

    /// Whether this node knows all names that the ring has acknowledged, and this one is none of them.
    pub fn is_absent(&self, name: &Name) -> bool {
        let held = self.index.get(name).filter(|held| !held.is_tombstone());
        self.ready
            && self.refused.is_complete()
            && held.is_none()
            && self.refused.get(name).is_none()
    }

    /// Whether all that keeps this node from being ready is that another ring may still claim it.
    fn is_unclaimed(&self) -> bool {
        self.claimable.is_some()
            && self.covers.lacks(&self.view, self.config.address).next().is_none()
    }

    /// The request waits a little for this node to become ready.
    fn wait(&mut self, now: Time, id: RequestId, request: Request) -> Option<Answer> {
        if let Err(refusal) = self.may_operate() {
            return Some(Answer::Refused(refusal));
        }
        let is_list =
            |request: &Request| matches!(request, Request::List { .. } | Request::Log { .. });
        let lists =
            || self.waiting.0.iter().filter(|(.., request)| is_list(request)).take(LISTS_MAX);
        if self.waiting.0.len() >= WAITING_MAX
            || (is_list(&request) && lists().count() >= LISTS_MAX)
        {
            return Some(self.not_ready());
        }
        let until = now + READY_WAIT.min(self.config.request_timeout);
        self.waiting.0.push_back((until, id, request));
        None
    }

    pub(super) fn not_ready(&self) -> Answer {
        let gone = self
            .covers
            .lacks(&self.view, self.config.address)
            .filter(|&(it, _)| !self.view.is_alive(it));
        let gone: Vec<_> = gone.map(|(member, _)| member.to_string()).collect();
        let reason = match gone.is_empty() {
            true => "this node is still catching up with its ring; try another".to_owned(),
            false => format!(
                "this node is still catching up with its ring; it lacks what {} had, which is gone",
                gone.join(", ")
            ),
        };
        Answer::Refused(Refusal::new(Status::Unavailable, reason))
    }

    /// This node has become ready, so what waited for that is answered; or it is no longer alone, so
    /// others are asked for the files.
    pub(super) fn answer_waiting(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.waiting.0.is_empty() || !(self.ready || self.live > 1) {
            return;
        }
        let rest = self.config.request_timeout.saturating_sub(READY_WAIT);
        for (until, id, request) in std::mem::take(&mut self.waiting.0) {
            match request {
                // It goes round only for the time that it has left.
                Request::Get { name, version } if self.live > 1 => {
                    let answer = self.get_within(now, until + rest, id, name, version, out);
                    out.extend(answer.map(|answer| Output::Reply { id, answer }));
                }
                request if self.ready => self.request(now, id, request, out),
                request => self.waiting.0.push_back((until, id, request)),
            }
        }
    }

    /// Answers what has waited for too long: the node is not ready.
    pub(super) fn waiting_due(&mut self, now: Time, out: &mut Vec<Output>) {
        while self.waiting.deadline().is_some_and(|until| now >= until) {
            let (_, id, _) = self.waiting.0.pop_front().expect("it has a deadline");
            out.push(Output::Reply { id, answer: self.not_ready() });
        }
    }

    /// This node is about to leave: what waits is refused.
    pub(super) fn refuse_waiting(&mut self, out: &mut Vec<Output>) {
        for (_, id, _) in std::mem::take(&mut self.waiting.0) {
            out.push(Output::Reply { id, answer: self.not_ready() });
        }
    }

    fn list(
        &mut self,
        now: Time,
        id: RequestId,
        prefix: String,
        after: String,
        limit: usize,
        hashes: bool,
    ) -> Option<Answer> {
        if !self.ready {
            return self.wait(now, id, Request::List { prefix, after, limit, hashes });
        }
        if !self.refused.is_complete() {
            let reason = format!("{}: it does not know all names; try another", self.why_full().1);
            return Some(Answer::Refused(Refusal::new(Status::Unavailable, reason)));
        }
        let held = self.index.list(&prefix, &after).map(|(name, held)| {
            let hash = held.kind.hash().filter(|_| hashes);
            let (version, bytes) = (held.version, held.kind.bytes());
            FileRow { name, version, bytes, hash }
        });
        let refused =
            self.refused.list(&after).filter(|(name, ..)| name.as_str().starts_with(&prefix));
        // Of what was refused, the content is elsewhere.
        let refused = refused.map(|(name, bytes, version)| FileRow {
            name: name.clone(),
            version,
            bytes,
            hash: None,
        });
        let mut files: Vec<FileRow> = Vec::new();
        let (mut held, mut refused) = (held.peekable(), refused.peekable());
        while files.len() <= limit {
            let is_refused_next = match (held.peek(), refused.peek()) {
                (None, None) => break,
                (Some(held), Some(refused)) => refused.name <= held.name,
                (held, _) => held.is_none(),
            };
            let next = if is_refused_next {
                // An older version of it may be here.
                let next = refused.next().expect("it was peeked at");
                held.next_if(|it| it.name == next.name);
                next
            } else {
                held.next().expect("it was peeked at")
            };
            files.extend(Some(next).filter(|it| it.bytes.is_some()));
        }
        let more = files.len() > limit;
        files.truncate(limit);
        Some(Answer::Listing { files, more })
    }

    fn log(&mut self, now: Time, id: RequestId, name: Name) -> Option<Answer> {
        if !self.ready {
            return self.wait(now, id, Request::Log { name });
        }
        let row = |version, bytes, hash| FileRow { name: name.clone(), version, bytes, hash };
        let refused = self.refused.list("").find(|(it, ..)| **it == name);
        let mut versions: Vec<_> =
            refused.map(|(_, bytes, version)| row(version, bytes, None)).into_iter().collect();
        let held = self.index.versions(&name).into_iter().flat_map(Versions::iter);
        versions.extend(held.map(|it| row(it.version, it.kind.bytes(), it.kind.hash())));
        match versions.is_empty() {
            true => Some(self.not_found(&name)),
            false => Some(Answer::Log { versions }),
        }
    }

    fn info(&self) -> Info {
        let me = self.config.address;
        Info {
            me,
            ring: self.config.ring.clone(),
            state: match self.phase {
                Phase::Joining => "joining",
                Phase::Member if self.live == 1 => "alone",
                Phase::Member => "member",
                Phase::Finishing { .. } | Phase::Leaving { .. } | Phase::Left => "leaving",
            },
            started_ms: self.config.started_ms,
            clock_off_ms: self.clocks.off_ms(me, me).unwrap_or(0),
            ready: self.is_ready() && !self.retires,
            full: !self.refused.is_empty(),
            members: self.live,
            files: self.index.len(),
            bytes: self.index.bytes(),
            digest: self.index.digest(),
            max_file_bytes: self.config.max_file_bytes,
            max_store_bytes: self.index.bytes_max(),
            keep_versions: self.index.versions_max(),
            tombstone_ttl: self.config.tombstone_ttl,
            min_copies: self.config.min_copies,
            request_timeout: self.config.request_timeout,
        }
    }
}
