//! Clients' requests, and operations on their way round the ring.
//!
//! A PUT is stored where it was asked for, then FORWARDed from node to node; each stores it and
//! passes it on. When it comes back to its creator the circle has closed: every live member holds
//! it, and the client is answered. A GET that misses goes round in the same way and collects the
//! newest version there is; every node that it passes learns what was found so far.
//!
//! # Which circle?
//!
//! A FORWARD bears the hash of the circle that it is to close. A node passes it on only if its own
//! circle has the same hash; so one that comes back has visited exactly the members that its
//! creator counts, and no other. On a mismatch the node keeps the file (that never harms), drops
//! the message, and tells the sender its view: the ring has moved on. The news reaches the
//! creator, and at every change of its circle a creator forwards what is unfinished anew. If it was
//! the other node that had yet to hear the news, the creator finds out when its next CHECK comes
//! back before the FORWARD does, and sends that anew. The hash also ends the message of a creator
//! that died: its circle no longer exists, so the first node that knows stops it.
//!
//! Nothing here is a transaction. A PUT that ends in 504 may have been kept by some members, and
//! anti-entropy will then give it to all.

use std::collections::BTreeMap;

use super::{
    event::{LinkId, Output, RequestId},
    limits::{CLOCK_AHEAD_MAX, MEMBERS_MAX, OPERATION_BYTES_MAX, OPERATIONS_MAX},
    message::{
        Answer, Content, ForwardGet, ForwardPut, Info, Item, OpId, Peer, Refusal, Request, Status,
    },
    name::Name,
    node::{Node, Phase},
    table::Kept,
    version::{Stamp, Time, Version},
};

/// What this node has on its way round the ring, by count.
#[derive(Debug)]
pub(super) struct Operations {
    open: BTreeMap<u64, Operation>,
    made: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Operation {
    request: RequestId,
    until: Time,
    name: Name,
    /// The file of a PUT; `None` for a GET.
    put: Option<Item>,
    /// How many CHECKs this node had begun when it sent this last.
    checks: u64,
}

impl Operations {
    /// The count begins at a random number, so that an answer to an earlier life of this node is
    /// not taken for one to this.
    pub(super) fn new(seed: u64) -> Self {
        Self { open: BTreeMap::new(), made: seed >> 16 << 16, bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// All operations have the same timeout, so the first made is the first due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.open.first_key_value().map(|(_, operation)| operation.until)
    }

    fn begin(&mut self, operation: Operation) -> u64 {
        self.made = self.made.wrapping_add(1);
        self.bytes += operation.put.as_ref().map_or(0, |item| item.content.len());
        self.open.insert(self.made, operation);
        self.made
    }

    fn end(&mut self, count: u64) -> Option<Operation> {
        let operation = self.open.remove(&count)?;
        self.bytes -= operation.put.as_ref().map_or(0, |item| item.content.len());
        Some(operation)
    }
}

impl Node {
    /// Whether the node has so much on its way round that its driver should read no further
    /// requests for a while.
    pub fn is_busy(&self) -> bool {
        self.operations.bytes >= OPERATION_BYTES_MAX
            || self.operations.open.len() >= OPERATIONS_MAX / 2
    }

    pub(super) fn request(
        &mut self,
        now: Time,
        id: RequestId,
        request: Request,
        out: &mut Vec<Output>,
    ) {
        let answer = match request {
            Request::Put { name, content } => self.put(now, id, name, content, out),
            Request::Get { name } => self.get(now, id, name, out),
            Request::List { prefix, after, limit } => Some(self.list(&prefix, &after, limit)),
            Request::Ring => {
                Some(Answer::Ring { view: self.view.clone(), me: self.config.address })
            }
            Request::Ping => Some(Answer::Pong { me: self.config.address }),
            Request::Info => Some(Answer::Info(Box::new(self.info()))),
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
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        if let Err(refusal) = self.may_put(&name, &content) {
            return Some(Answer::Refused(refusal));
        }
        let stamp = self.clock.tick(self.wall_ms(now));
        let version = Version { stamp, node: self.config.address };
        let item = Item { version, hash: blake3::hash(&content), content };
        self.table.put(&name, item.clone());
        self.begin(now, id, name, Some(item), out)
    }

    fn may_put(&self, name: &Name, content: &Content) -> Result<(), Refusal> {
        self.may_operate()?;
        let (min, live) = (self.config.min_copies, self.live);
        if live < min {
            let reason = format!("min-copies is {min} and only {live} members are alive");
            return Err(Refusal::new(Status::Unavailable, reason));
        }
        if content.len() > self.config.max_file_bytes {
            let reason = format!("a file has at most {} bytes here", self.config.max_file_bytes);
            return Err(Refusal::new(Status::ContentTooLarge, reason));
        }
        if !self.table.has_room(name, content.len()) {
            let reason = format!("the store is full at {} bytes", self.table.bytes_max());
            return Err(Refusal::new(Status::InsufficientStorage, reason));
        }
        Ok(())
    }

    fn may_operate(&self) -> Result<(), Refusal> {
        let reason = match self.phase {
            Phase::Joining { .. } => "this node has not yet joined its ring; try another",
            Phase::Member if self.operations.open.len() >= OPERATIONS_MAX => {
                "too many operations are in flight; try again"
            }
            Phase::Member => return Ok(()),
            _ => "this node is leaving its ring; try another",
        };
        Err(Refusal::new(Status::Unavailable, reason))
    }

    /// A node that has caught up answers what it holds. What it misses, and everything as long as
    /// it has not caught up, it asks the ring for.
    fn get(
        &mut self,
        now: Time,
        id: RequestId,
        name: Name,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        if self.ready
            && let Some(item) = self.table.get(&name)
        {
            return Some(Answer::Found(item.clone()));
        }
        if let Err(refusal) = self.may_operate() {
            return Some(Answer::Refused(refusal));
        }
        self.begin(now, id, name, None, out)
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Answer {
        if !self.ready {
            let reason = "this node is still catching up with its ring; try another";
            return Answer::Refused(Refusal::new(Status::Unavailable, reason));
        }
        let mut files: Vec<_> = (self.table.list(prefix, after))
            .take(limit.saturating_add(1))
            .map(|(name, item)| (name.clone(), item.content.len(), item.version))
            .collect();
        let more = files.len() > limit;
        files.truncate(limit);
        Answer::Listing { files, more }
    }

    fn info(&self) -> Info {
        Info {
            me: self.config.address,
            ready: self.is_ready(),
            members: self.live,
            files: self.table.len(),
            bytes: self.table.bytes(),
            digest: self.table.digest(),
            max_file_bytes: self.config.max_file_bytes,
            max_store_bytes: self.table.bytes_max(),
            min_copies: self.config.min_copies,
            request_timeout: self.config.request_timeout,
        }
    }

    // ---- the creator's side

    /// Sends an operation on its way, or answers it at once where the circle has one member.
    fn begin(
        &mut self,
        now: Time,
        id: RequestId,
        name: Name,
        put: Option<Item>,
        out: &mut Vec<Output>,
    ) -> Option<Answer> {
        if self.live == 1 {
            return Some(self.alone(&name, put.as_ref()));
        }
        let until = now + self.config.request_timeout;
        let count = self.operations.begin(Operation { request: id, until, name, put, checks: 0 });
        self.send_operation(count, out);
        None
    }

    fn alone(&self, name: &Name, put: Option<&Item>) -> Answer {
        match (put, self.table.get(name)) {
            (Some(item), _) => Answer::Stored { version: item.version, copies: 1 },
            (None, Some(item)) => Answer::Found(item.clone()),
            (None, None) => not_found(name),
        }
    }

    fn send_operation(&mut self, count: u64, out: &mut Vec<Output>) {
        let link = self.next_link();
        let (Some(operation), Some(link)) = (self.operations.open.get_mut(&count), link) else {
            return;
        };
        operation.checks = self.checks_made;
        let op = OpId { creator: self.config.address, count };
        let (view, name) = (self.circle, operation.name.clone());
        let message = match &operation.put {
            Some(item) => {
                let (version, item) = (item.version, Some(item.clone()));
                let refused = None;
                let copies = 1;
                Peer::ForwardPut(ForwardPut { op, view, name, version, copies, refused, item })
            }
            None => {
                let found = self.table.get(&name).cloned();
                Peer::ForwardGet(ForwardGet { op, view, name, hops: 0, found })
            }
        };
        out.push(Output::Send { link, message });
    }

    /// After a change of the view: everything unfinished goes round again, in the new circle.
    pub(super) fn forward_anew(&mut self, out: &mut Vec<Output>) {
        // Alone, a node answers from what it holds; but a PUT waits for enough members to return.
        let is_alone = self.live <= 1;
        let too_few = self.live < self.config.min_copies;
        let open = self.operations.open.iter();
        let counts: Vec<_> = open.map(|(&count, it)| (count, it.put.is_some())).collect();
        for (count, is_put) in counts {
            if !is_alone {
                self.send_operation(count, out);
            } else if !(is_put && too_few)
                && let Some(operation) = self.operations.end(count)
            {
                let answer = self.alone(&operation.name, operation.put.as_ref());
                out.push(Output::Reply { id: operation.request, answer });
            }
        }
    }

    /// A CHECK of this node has come back, the `check`-th. It went the way of all messages, so what
    /// was sent before it and has not come back was dropped on the way: by a node that had yet to
    /// hear of the circle that this node already knew. It is sent anew.
    pub(super) fn forward_dropped(&mut self, check: u64, out: &mut Vec<Output>) {
        let open = self.operations.open.iter();
        let dropped: Vec<_> =
            open.filter(|(_, it)| it.checks < check).map(|(&count, _)| count).collect();
        for count in dropped {
            self.send_operation(count, out);
        }
    }

    /// Answers what has been under way for too long.
    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Output>) {
        while self.operations.deadline().is_some_and(|until| now >= until) {
            let (&count, _) = self.operations.open.first_key_value().expect("it has a deadline");
            self.give_up(count, out);
        }
    }

    /// Answers everything that is still under way: this node is about to leave the circle.
    pub(super) fn abandon(&mut self, out: &mut Vec<Output>) {
        while let Some((&count, _)) = self.operations.open.first_key_value() {
            self.give_up(count, out);
        }
    }

    fn give_up(&mut self, count: u64, out: &mut Vec<Output>) {
        let Some(operation) = self.operations.end(count) else { return };
        let reason = match operation.put {
            Some(_) => "the circle did not close in time; the file may be kept: put it again",
            None => "the ring did not answer in time; try again",
        };
        let answer = Answer::Refused(Refusal::new(Status::Timeout, reason));
        out.push(Output::Reply { id: operation.request, answer });
    }

    // ---- every node's side

    pub(super) fn forward_put(
        &mut self,
        now: Time,
        from: LinkId,
        mut forward: ForwardPut,
        out: &mut Vec<Output>,
    ) {
        if forward.op.creator == self.config.address {
            return self.put_returned(&forward, out);
        }
        if let Some(item) = &forward.item {
            let kept = self.keep(now, &forward.name, item.clone());
            forward.refused = forward.refused.or(kept.err());
        }
        if forward.view != self.circle || forward.copies >= MEMBERS_MAX {
            return self.tell(from, out);
        }
        let Some(next) = &self.next else { return };
        // The creator has the content: the last link carries only the line.
        if next.peer == forward.op.creator {
            forward.item = None;
        }
        forward.copies += 1;
        out.push(Output::Send { link: next.link, message: Peer::ForwardPut(forward) });
    }

    fn put_returned(&mut self, forward: &ForwardPut, out: &mut Vec<Output>) {
        let ForwardPut { op, view, version, copies, refused, .. } = *forward;
        let open = self.operations.open.get(&op.count);
        let is_ours = open.and_then(|it| it.put.as_ref()).is_some_and(|it| it.version == version);
        // An earlier attempt may return late: its circle is not the one that counts now.
        if !is_ours || view != self.circle || copies != self.live {
            return;
        }
        let answer = match refused {
            Some(status) => {
                let reason = match status {
                    Status::Timeout => {
                        "the clock of another member is too far from this node's; \
                                        the file may be kept: set the clocks and put it again"
                    }
                    _ => "another member could not keep the file; some may have kept it",
                };
                Answer::Refused(Refusal::new(status, reason))
            }
            // Too many members have died meanwhile. They may come back before the deadline.
            None if copies < self.config.min_copies => return,
            None => Answer::Stored { version, copies },
        };
        let operation = self.operations.end(op.count).expect("it was there a line ago");
        out.push(Output::Reply { id: operation.request, answer });
    }

    pub(super) fn forward_get(
        &mut self,
        now: Time,
        from: LinkId,
        mut forward: ForwardGet,
        out: &mut Vec<Output>,
    ) {
        if let Some(item) = &forward.found {
            // Where it cannot be kept it is passed on all the same.
            let _ = self.keep(now, &forward.name, item.clone());
        }
        if let Some(held) = self.table.get(&forward.name)
            && forward.found.as_ref().is_none_or(|found| found.version < held.version)
        {
            forward.found = Some(held.clone());
        }
        if forward.op.creator == self.config.address {
            return self.get_returned(forward, out);
        }
        if forward.view != self.circle || forward.hops >= MEMBERS_MAX {
            return self.tell(from, out);
        }
        let Some(link) = self.next_link() else { return };
        forward.hops += 1;
        out.push(Output::Send { link, message: Peer::ForwardGet(forward) });
    }

    fn get_returned(&mut self, forward: ForwardGet, out: &mut Vec<Output>) {
        let ForwardGet { op, view, name, hops, found } = forward;
        let open = self.operations.open.get(&op.count);
        let is_ours = open.is_some_and(|it| it.put.is_none() && it.name == name);
        if !is_ours || view != self.circle || hops.saturating_add(1) != self.live {
            return;
        }
        let operation = self.operations.end(op.count).expect("it was there a line ago");
        let answer = found.map_or_else(|| not_found(&name), Answer::Found);
        out.push(Output::Reply { id: operation.request, answer });
    }

    /// Keeps what another node sent, if it is newer than what is here.
    pub(super) fn keep(&mut self, now: Time, name: &Name, item: Item) -> Result<Kept, Status> {
        let stamp = item.version.stamp;
        let latest_ms = self.wall_ms(now) + CLOCK_AHEAD_MAX.as_millis() as u64;
        if stamp > Stamp::at_ms(latest_ms) {
            return Err(Status::Timeout);
        }
        self.clock.observe(stamp);
        match self.table.put(name, item) {
            Kept::Full => {
                // From now on others know better: they are asked.
                self.ready = false;
                Err(Status::InsufficientStorage)
            }
            kept => Ok(kept),
        }
    }
}

fn not_found(name: &Name) -> Answer {
    Answer::Refused(Refusal::new(Status::NotFound, format!("no member has {}", name.wire())))
}
