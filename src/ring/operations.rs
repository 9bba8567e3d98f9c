//! The creator's side of a PUT, a DELETE or a GET that goes round the ring: begun, sent, sent again when the
//! circle changes, and answered when it comes back or is due. What the other members do with it is
//! in `forward.rs`, which also says why it is done so.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{
    commits::could_not_keep,
    coverage::Lacks,
    event::{Output, RequestId},
    item::{ArrivalId, Body, Item},
    keeping::Reply,
    limits::{BYTES_PER_SECOND_MIN, OPERATION_BYTES_MAX, OPERATIONS_MAX},
    message::{Answer, Carried, Failed, ForwardGet, ForwardPut, OpId, Peer, Refusal, Status},
    name::Name,
    node::{Node, Phase},
    version::{Stamp, Time, Version},
    view::ViewHash,
};

/// An operation may be under way this long before the successor is asked whether it lives.
const PATIENCE_MIN: Duration = Duration::from_millis(50);

/// What this node has on its way round the ring, by count.
#[derive(Debug)]
pub(super) struct Operations {
    open: BTreeMap<u64, Operation>,
    /// Those that are due before others that were made earlier: their request had to wait, or the
    /// others have large contents.
    early: BTreeSet<(Time, u64)>,
    /// When the last of them is due.
    latest: Time,
    made: u64,
    bytes: usize,
    /// How long operations are under way, on average.
    usual: Duration,
    /// When it is checked whether the oldest is unusually slow.
    doubt_at: Option<Time>,
}

#[derive(Debug)]
struct Operation {
    request: RequestId,
    begun: Time,
    until: Time,
    name: Name,
    what: Task,
    /// The circle in which its version was raised above what others held, and the version before.
    raised: Option<(ViewHash, Version)>,
    /// How many CHECKs this node had begun when it sent this last.
    checks: u64,
    /// The first KEEP that was sent after this.
    keep: u64,
    /// Its circle has closed, and it waits for that KEEP: what its client is answered then.
    closed: Option<Closed>,
    /// A KEEP has said that a member could not keep it: why, and which.
    failed: Option<(Status, SocketAddr)>,
}

/// A write whose circle has closed.
#[derive(Debug)]
struct Closed {
    circle: ViewHash,
    at: Time,
    answer: Answer,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A PUT of a file, or a DELETE: the PUT of a tombstone.
    Write(Item),
    /// A GET of the newest version, or of this one.
    Read(Option<Version>),
}

impl Task {
    fn written(&self) -> Option<&Item> {
        match self {
            Self::Write(item) => Some(item),
            Self::Read(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        self.written().map_or(0, Item::len)
    }

    fn bytes_in_memory(&self) -> usize {
        self.written().map_or(0, Item::bytes_in_memory)
    }
}

impl Operations {
    /// The count begins at a random number, so that an answer to an earlier life of this node is
    /// not taken for one to this.
    pub(super) fn new(seed: u64) -> Self {
        let (open, early, made) = (BTreeMap::new(), BTreeSet::new(), seed >> 16 << 16);
        Self { open, early, latest: Time(0), made, bytes: 0, usual: Duration::ZERO, doubt_at: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// When the first is due, or is to be looked at.
    pub(super) fn deadline(&self) -> Option<Time> {
        let doubt_at = self.doubt_at.filter(|_| !self.open.is_empty());
        [self.due_at(), doubt_at].into_iter().flatten().min()
    }

    fn due_at(&self) -> Option<Time> {
        self.first_due().map(|(until, _)| until)
    }

    /// All operations have the same timeout, so the first made is the first due, with few
    /// exceptions.
    fn first_due(&self) -> Option<(Time, u64)> {
        let first = self.open.first_key_value().map(|(&count, operation)| (operation.until, count));
        first.into_iter().chain(self.early.first().copied()).min()
    }

    /// An operation that is under way for longer than this is unusually slow.
    fn patience(&self) -> Duration {
        (self.usual * 4).max(PATIENCE_MIN)
    }

    /// A version that is on its way round.
    pub(super) fn written(&self, name: &Name, version: Version) -> Option<&Item> {
        let puts = self.open.values().filter(|it| it.name == *name);
        puts.filter_map(|it| it.what.written()).find(|item| item.version == version)
    }

    /// The length of a file that has arrived in the store in pieces, and is on its way round.
    pub(super) fn arrived(&self, wanted: ArrivalId) -> Option<usize> {
        let bodies = self.open.values().filter_map(|it| it.what.written()?.body());
        let mut arrived = bodies.filter_map(|body| match *body {
            Body::Arrived { arrival, bytes } if arrival == wanted => Some(bytes),
            _ => None,
        });
        arrived.next()
    }

    /// The highest stamp of the PUTs of this name that are under way.
    pub(super) fn highest(&self, name: &Name) -> Option<Stamp> {
        let puts = self.open.values().filter(|it| it.name == *name);
        puts.filter_map(|it| it.what.written()).map(|item| item.version.stamp).max()
    }

    fn begin(&mut self, operation: Operation) -> u64 {
        self.made = self.made.wrapping_add(1);
        self.bytes += operation.what.bytes_in_memory();
        if self.open.is_empty() {
            self.doubt_at = Some(operation.begun + self.patience());
        }
        if self.open.is_empty() || operation.until >= self.latest {
            self.latest = operation.until;
        } else {
            self.early.insert((operation.until, self.made));
        }
        self.open.insert(self.made, operation);
        self.made
    }

    fn end(&mut self, count: u64) -> Option<Operation> {
        let operation = self.open.remove(&count)?;
        self.early.remove(&(operation.until, count));
        self.bytes -= operation.what.bytes_in_memory();
        Some(operation)
    }

    /// The same, of one that has come back.
    fn finish(&mut self, now: Time, count: u64) -> Operation {
        let operation = self.end(count).expect("it was looked up");
        self.usual = self.usual * 7 / 8 + now.since(operation.begun) / 8;
        operation
    }
}

impl Node {
    /// Whether the node has so much on its way round that its driver should read no further
    /// requests for a while.
    pub fn is_busy(&self) -> bool {
        self.operations.bytes >= OPERATION_BYTES_MAX
            || self.operations.open.len() >= OPERATIONS_MAX / 2
    }

    /// Sends an operation on its way, or answers it at once where the circle has one member.
    pub(super) fn begin(
        &mut self,
        now: Time,
        id: RequestId,
        name: Name,
        what: Task,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        // A large file may take its time on a slow line, at the rate that clients are held to.
        let seconds = what.bytes() / BYTES_PER_SECOND_MIN;
        let until = now + self.config.request_timeout + Duration::from_secs(seconds as u64);
        self.begin_until(now, until, id, name, what, out)
    }

    /// The same, with a deadline of its own.
    pub(super) fn begin_until(
        &mut self,
        now: Time,
        until: Time,
        id: RequestId,
        name: Name,
        what: Task,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        if self.live == 1 {
            return self.alone(now, until, id, &name, what, out);
        }
        let operation = Operation {
            request: id,
            begun: now,
            until,
            name,
            what,
            raised: None,
            checks: 0,
            keep: 0,
            closed: None,
            failed: None,
        };
        let count = self.operations.begin(operation);
        self.send_operation(count, out);
        None
    }

    /// The answer of a node that is alone in its circle. A write is answered when the store has
    /// confirmed it.
    fn alone(
        &mut self,
        now: Time,
        until: Time,
        id: RequestId,
        name: &Name,
        what: Task,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        let mut item = match what {
            Task::Write(item) => item,
            Task::Read(wanted) => {
                // It may have been asked while there was a member that knew more.
                let lacks = self.covers.lacks(&self.view, self.config.address).next().is_some();
                return Some(match lacks {
                    true => self.not_ready(),
                    false => self.found(name, wanted, self.held(name, wanted)),
                });
            }
        };
        if self.index.get(name).is_some_and(|held| held.version >= item.version) {
            // Another write has come in while this one was on its way.
            match self.version(now, name) {
                Ok(version) => item.version = version,
                Err(refusal) => return Some(Answer::Refused(refusal)),
            }
        }
        let answer = Answer::Stored { version: item.version, copies: 1 };
        self.keep_own(now, name, item, Reply { id, until, answer }, out);
        None
    }

    fn send_operation(&mut self, count: u64, out: &mut Vec<Output>) {
        let link = self.next_link();
        let (at, all_keep) = (self.config.address, self.keepers == self.live);
        let offer_bytes = self.config.offer_bytes;
        let body = self.operations.open.get(&count).and_then(|it| it.what.written()?.body());
        if !all_keep && matches!(body, Some(Body::Arrived { .. })) {
            // A member has come that has no disk and cannot pull it. Put again, it comes in memory.
            return self.give_up_on(count, out);
        }
        let (Some(operation), Some(link)) = (self.operations.open.get_mut(&count), link) else {
            return;
        };
        operation.checks = self.checks_made;
        (operation.closed, operation.failed) = (None, None);
        if matches!(operation.what, Task::Write(_)) {
            operation.keep = self.commits.follow();
        }
        let op = OpId { creator: self.config.address, count };
        let (view, name) = (self.circle, operation.name.clone());
        let message = match &operation.what {
            Task::Write(item) => {
                let version = item.version;
                let (carried, offer) = match item.body() {
                    Some(Body::Arrived { arrival, bytes }) => {
                        let offer = (*bytes >= offer_bytes).then_some(arrival.0);
                        (Carried::Content(item.clone().apart(at)), offer)
                    }
                    Some(_) => (Carried::Content(item.clone()), None),
                    None => (Carried::Tombstone, None),
                };
                let instead = operation.raised.map(|(_, before)| before);
                let (newest, refused, copies) = (None, None, 1);
                let forward = ForwardPut {
                    op,
                    view,
                    name,
                    version,
                    copies,
                    instead,
                    newest,
                    refused,
                    offer,
                    carried,
                };
                Peer::ForwardPut(Box::new(forward))
            }
            Task::Read(wanted) => {
                let wanted = *wanted;
                let found = self.held(&name, wanted).map(|item| self.travelling(item));
                let lacks = Lacks::of(&self.offered(), &self.view, self.config.address);
                let lacks = (!self.ready).then_some(lacks);
                let forward = ForwardGet { op, view, name, hops: 0, lacks, wanted, found };
                Peer::ForwardGet(Box::new(forward))
            }
        };
        self.say(link, message, out);
    }

    /// After a change of the view: everything unfinished goes round again, in the new circle.
    pub(super) fn forward_anew(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.phase == Phase::Joining {
            // It is in no circle at all; when it is taken in again it goes on.
            return;
        }
        self.offer_anew(out);
        // Alone, a node answers from what it holds; but a PUT waits for enough members to return.
        let is_alone = self.live <= 1;
        let too_few = self.live < self.config.min_copies;
        let open = self.operations.open.iter();
        let counts: Vec<_> =
            open.map(|(&count, it)| (count, it.what.written().is_some())).collect();
        for (count, is_write) in counts {
            if !is_alone {
                self.send_operation(count, out);
            } else if !(is_write && too_few)
                && let Some(operation) = self.operations.end(count)
            {
                let Operation { request: id, until, name, what, .. } = operation;
                let answer = self.alone(now, until, id, &name, what, out);
                out.extend(answer.map(|answer| Output::Reply { id, answer }));
            }
        }
    }

    /// A CHECK of this node has come back, the `check`-th. It took the same way as all messages, so
    /// what was sent before it and has not come back was dropped on the way: by a node that had yet
    /// to hear of the circle that this node already knew. It is sent again. (Not so a KEEP, which
    /// waits for disks.)
    pub(super) fn forward_dropped(&mut self, check: u64, out: &mut Vec<Output>) {
        let open = self.operations.open.iter();
        let dropped: Vec<_> = open
            .filter(|(_, it)| it.checks < check && it.closed.is_none())
            .map(|(&count, _)| count)
            .collect();
        for count in dropped {
            self.send_operation(count, out);
        }
    }

    /// Answers what has been under way for too long, and doubts the successor where an operation is
    /// unusually slow.
    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((_, count)) = self.operations.first_due().filter(|(until, _)| now >= *until)
        {
            self.give_up_on(count, out);
        }
        let Some((_, oldest)) = self.operations.open.first_key_value() else {
            self.operations.doubt_at = None;
            return;
        };
        if self.operations.doubt_at.is_none_or(|at| now < at) {
            return;
        }
        let patience = self.operations.patience();
        let doubts_at = oldest.begun + patience;
        if now < doubts_at {
            self.operations.doubt_at = Some(doubts_at);
        } else {
            self.operations.doubt_at = Some(now + self.config.check_interval / 4);
            self.begin_check(now, out);
        }
    }

    /// Answers everything that is still under way: this node is about to leave the circle.
    pub(super) fn abandon(&mut self, out: &mut Vec<Output>) {
        while let Some((&count, _)) = self.operations.open.first_key_value() {
            self.give_up_on(count, out);
        }
        self.storing_due(Time(u64::MAX), out);
        self.abandon_arrivals(out);
    }

    fn give_up_on(&mut self, count: u64, out: &mut Vec<Output>) {
        let Some(operation) = self.operations.end(count) else { return };
        let reason = match operation.what.written().map(Item::body) {
            Some(Some(_)) => "the circle did not close in time; the file may be kept: put it again",
            Some(None) => {
                "the circle did not close in time; the file may be deleted: delete it again"
            }
            None => "the ring did not answer in time; try again",
        };
        let answer = Answer::Refused(Refusal::new(Status::Timeout, reason));
        out.push(Output::Reply { id: operation.request, answer });
    }

    pub(super) fn put_returned(&mut self, now: Time, forward: &ForwardPut, out: &mut Vec<Output>) {
        let ForwardPut { op, view, version, copies, newest, refused, .. } = *forward;
        let Some(operation) = self.operations.open.get(&op.count) else { return };
        let is_ours = operation.what.written().is_some_and(|it| it.version == version);
        // An earlier attempt may return late: its circle is not the one that counts now. And too many
        // members may have died meanwhile; they may come back before the deadline.
        if !is_ours || view != self.circle || copies != self.live || copies < self.config.min_copies
        {
            return;
        }
        let own = self.index.get(&operation.name).map(|held| held.version);
        let newest = newest.max(own.filter(|&own| own != version));
        let is_outdone = newest.is_some_and(|newest| newest >= version);
        if is_outdone && refused.is_none() && operation.raised.is_none_or(|(it, _)| it != view) {
            return self.raise_version(now, op.count, newest.unwrap_or(version), out);
        }
        let answer = match refused {
            // It is not kept where the others do not believe its time.
            Some((Status::Unavailable, by)) => {
                let operation = self.operations.finish(now, op.count);
                let reason = format!(
                    "{by} does not believe the time of this write: its clock or that of {} is \
                     wrong. The file may be kept by some: set the clocks right and put it again",
                    self.config.address
                );
                let answer = Answer::Refused(Refusal::new(Status::Timeout, reason));
                return out.push(Output::Reply { id: operation.request, answer });
            }
            Some((status, by)) => could_not_keep(status, by),
            None => Answer::Stored { version, copies },
        };
        if !self.has_keepers() {
            return self.write_done(now, op.count, None, answer, out);
        }
        let operation = self.operations.open.get_mut(&op.count).expect("it is open");
        operation.closed = Some(Closed { circle: view, at: now, answer });
        let (name, Task::Write(item)) = (operation.name.clone(), operation.what.clone()) else {
            return;
        };
        // Its own disk works while the others' do. What has arrived in pieces is on it already, and others
        // pull it from there.
        self.has_taken_part = true;
        if !matches!(item.body(), Some(Body::Arrived { .. })) {
            self.keep_closed(now, &name, item, out);
        }
        self.finish_kept(now, op.count, out);
    }

    /// A KEEP has come back: what was forwarded before it is on all disks, but for what failed.
    pub(super) fn kept(
        &mut self,
        now: Time,
        number: u64,
        refused: Option<((Status, SocketAddr), &Failed)>,
        pending: &Failed,
        out: &mut Vec<Output>,
    ) {
        let mut closed = Vec::new();
        for (&count, operation) in &mut self.operations.open {
            let Some(put) = operation.what.written() else { continue };
            // It may have failed behind a KEEP that was sent before it.
            if let Some((by, failed)) = refused
                && failed.has(put.version.stamp)
            {
                operation.failed.get_or_insert(by);
            }
            if operation.keep <= number
                && operation.failed.is_none()
                && pending.has(put.version.stamp)
            {
                operation.keep = self.commits.ask_again(now);
            }
            if operation.keep <= number && operation.closed.is_some() {
                closed.push(count);
            }
        }
        for count in closed {
            self.finish_kept(now, count, out);
        }
    }

    /// Answers a write if its circle has closed, and a KEEP behind it has come back in that.
    fn finish_kept(&mut self, now: Time, count: u64, out: &mut Vec<Output>) {
        let Some(operation) = self.operations.open.get_mut(&count) else { return };
        let is_kept = self.commits.has(operation.keep);
        let closed = operation.closed.take_if(|it| it.circle == self.circle && is_kept);
        let failed = operation.failed;
        if let Some(Closed { at, answer, .. }) = closed {
            let answer = failed.map_or(answer, |(status, by)| could_not_keep(status, by));
            self.write_done(now, count, Some(at), answer, out);
        }
    }

    /// A write is done but for this node's own store. `closed`: when its circle had closed, if a KEEP was
    /// awaited after that.
    fn write_done(
        &mut self,
        now: Time,
        count: u64,
        closed: Option<Time>,
        answer: Answer,
        out: &mut Vec<Output>,
    ) {
        let operation = self.operations.finish(now, count);
        if let Task::Write(item) = operation.what {
            let version = item.version;
            let reply = Reply { id: operation.request, until: operation.until, answer };
            self.keep_own(now, &operation.name, item, reply, out);
            self.trace(operation.name, version, (operation.begun, closed, now));
        }
    }

    /// Some member held a later version already: the PUT goes round once more, with one above that.
    fn raise_version(&mut self, now: Time, count: u64, newest: Version, out: &mut Vec<Output>) {
        self.clock.observe(newest.stamp, self.clocks.latest(now));
        let circle = self.circle;
        let name = self.operations.open[&count].name.clone();
        match self.version(now, &name) {
            Ok(mut version) => {
                if newest.stamp >= version.stamp {
                    version.stamp = self.stamp_beyond(&name, newest.stamp.next());
                }
                let operation = self.operations.open.get_mut(&count).expect("it is open");
                if let Task::Write(item) = &mut operation.what {
                    operation.raised = Some((circle, item.version));
                    item.version = version;
                }
                self.send_operation(count, out);
            }
            Err(refusal) => {
                let operation = self.operations.finish(now, count);
                // It has been round once, so it may have been kept somewhere.
                let refusal = Refusal { status: Status::Timeout, ..refusal };
                let answer = Answer::Refused(refusal);
                out.push(Output::Reply { id: operation.request, answer });
            }
        }
    }

    pub(super) fn get_returned(&mut self, now: Time, forward: ForwardGet, out: &mut Vec<Output>) {
        let ForwardGet { op, view, name, hops, lacks, wanted, found } = forward;
        let open = self.operations.open.get(&op.count);
        let is_ours = open.is_some_and(|it| {
            matches!(it.what, Task::Read(asked) if asked == wanted) && it.name == name
        });
        if !is_ours || view != self.circle || hops.saturating_add(1) != self.live {
            return;
        }
        let operation = self.operations.finish(now, op.count);
        let answer = match found {
            // No member of the circle holds all that was ever acknowledged, so there may be more.
            _ if !self.ready && lacks.is_some_and(|lacks| !lacks.is_none()) => {
                let gone = self
                    .covers
                    .lacks(&self.view, self.config.address)
                    .map(|(member, _)| member.to_string());
                let gone: Vec<_> = gone.collect();
                let reason =
                    format!("no live member holds all that {} had; try again", gone.join(", "));
                Answer::Refused(Refusal::new(Status::Unavailable, reason))
            }
            // It is pulled, since this node lacks it.
            Some(item) if matches!(item.body(), Some(Body::Apart { .. })) => {
                let version = item.version;
                let held = self.held(&name, Some(version));
                match (held, self.coming(&name, version)) {
                    (None, Some(arrival)) => {
                        let (id, until) = (operation.request, operation.until);
                        return self.await_arrival(arrival, id, until, out);
                    }
                    (held, _) => self.found(&name, wanted, held),
                }
            }
            found => self.found(&name, wanted, found),
        };
        out.push(Output::Reply { id: operation.request, answer });
    }
}
