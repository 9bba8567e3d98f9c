//! Large contents on their way: from clients into stores, and from one store to another, over
//! connections of their own.
//!
//! They are not simulated byte by byte. What a client sends is there after a while, or breaks off, and
//! then it sends it again. Of a pull it is asked after a while whether the other host can be reached and
//! has the content; if it is still receiving that itself, the pull goes on until it is there. One that
//! breaks off does so after any byte, and what has come stays for the next attempt, which may be at
//! another host. Some come damaged.

use std::net::SocketAddr;

use smolring::ring::{
    ArrivedPut, Input, PullFault, RequestId,
    item::{ArrivalId, Body, Content, Ticket},
    message::{Answer, PullOf, Refusal, Request, Status},
    name::Name,
    version::Time,
};

use super::{Event, Scene, World, host::Arrival, timeline::ms};

/// A content that a host pulls.
#[derive(Clone)]
pub struct Pull {
    pub from: SocketAddr,
    pub name: Name,
    pub of: PullOf,
    /// Where it was found, and in which life of that host: it is sent on from there.
    found: Option<(u32, Found)>,
}

/// Where a content is that is sent to another host.
#[derive(Clone)]
enum Found {
    Arriving(ArrivalId),
    Stored(Ticket),
    Here(Content),
}

/// A file that a client sends to a host in pieces.
pub struct Upload {
    put: ArrivedPut,
    content: Content,
    /// The node has it.
    is_put: bool,
}

/// Of a hundred pulls and uploads, so many break off while the network is rough.
const BREAKS_PERCENT: u64 = 15;
/// And so many are slow.
const SLOW_PERCENT: u64 = 10;
/// And of so many pulls that are whole, a byte is not as it was sent.
const DAMAGED_PERCENT: u64 = 4;

impl Pull {
    pub fn new(from: SocketAddr, name: Name, of: PullOf) -> Self {
        Self { from, name, of, found: None }
    }
}

impl<S: Scene> World<S> {
    // ---- from clients

    /// A client asks. A large content arrives in the store first, as a driver would have it.
    pub(super) fn take_request(&mut self, index: usize, id: RequestId, request: Request) {
        match request {
            Request::Put { name, content, only_if }
                if self.running(index).node.takes_apart(content.len()) =>
            {
                let (hash, bytes) = (content.hash(), content.len());
                let put = ArrivedPut { name, arrival: ArrivalId(0), hash, bytes, only_if };
                self.begin_upload(index, id, put, content);
            }
            request => self.step(index, Input::Request { id, request }),
        }
    }

    fn begin_upload(&mut self, index: usize, id: RequestId, mut put: ArrivedPut, content: Content) {
        let (now, life) = (self.time.now, self.hosts[index].life);
        let up = self.running(index);
        let now = Time(now - up.born);
        if let Err(refusal) = up.node.may_put(now, &put.name, put.bytes, put.only_if) {
            return S::answers(self, index, id, &Answer::Refused(refusal));
        }
        put.arrival = up.node.new_arrival();
        let (arrival, name, bytes) = (put.arrival, put.name.clone(), put.bytes);
        up.uploads.insert(id, Upload { put, content, is_put: false });
        self.step(index, Input::Upload { arrival, name, bytes });
        let rng = &mut self.time.rng;
        let delay = match self.network.is_exact {
            true => self.network.upload_takes,
            false if self.network.is_rough && rng.chance(SLOW_PERCENT) => ms(rng.range(20, 300)),
            false => ms(rng.range(0, 20)),
        };
        match delay {
            0 => self.deliver(index, life, Arrival::Upload { id }),
            delay => self.time.after(delay, Event::Upload { host: index, life, id }),
        }
    }

    /// What a client has sent is there, or breaks off.
    pub(super) fn upload(&mut self, index: usize, id: RequestId) {
        let breaks = self.network.is_rough && self.time.rng.chance(BREAKS_PERCENT);
        let Some(upload) = self.running(index).uploads.get_mut(&id) else { return };
        let (put, content) = (upload.put.clone(), upload.content.clone());
        if breaks {
            self.running(index).uploads.remove(&id);
            let (life, arrival) = (self.hosts[index].life, put.arrival);
            self.step(index, Input::UploadBroken { arrival });
            if self.hosts[index].life == life && self.hosts[index].is_up() {
                self.begin_upload(index, id, put, content);
            }
            return;
        }
        upload.is_put = true;
        self.hosts[index].store.arrivals.insert(put.arrival, content);
        // From now on it counts how long the answer takes.
        S::takes_request(self, id);
        self.step(index, Input::Put { id, put });
    }

    /// A node ends: its driver answers clients that are still sending something.
    pub(super) fn refuse_uploads(&mut self, index: usize) {
        let uploads = std::mem::take(&mut self.running(index).uploads);
        for (id, _) in uploads.into_iter().filter(|(_, upload)| !upload.is_put) {
            let refusal = Refusal::new(Status::Unavailable, "this node is leaving its ring");
            S::answers(self, index, id, &Answer::Refused(refusal));
        }
    }

    /// A client has its answer.
    pub(super) fn end_upload(&mut self, index: usize, id: RequestId) {
        if let Some(upload) = self.running(index).uploads.remove(&id) {
            self.hosts[index].store.arrivals.remove(&upload.put.arrival);
        }
    }

    // ---- from other hosts

    pub(super) fn begin_pull(&mut self, index: usize, arrival: ArrivalId, pull: Pull) {
        let (life, is_exact) = (self.hosts[index].life, self.network.is_exact);
        S::pulls(self, index, &pull, None);
        self.running(index).pulls.insert(arrival, pull);
        let rng = &mut self.time.rng;
        let delay = match is_exact {
            true => 2 * self.network.latency,
            false if self.network.is_rough && rng.chance(SLOW_PERCENT) => ms(rng.range(20, 500)),
            false => ms(rng.range(1, 20)),
        };
        self.time.after(delay, Event::Pull { host: index, life, arrival });
    }

    /// Whether a content that is pulled is here by now.
    pub(super) fn pull(&mut self, index: usize, life: u32, arrival: ArrivalId) {
        if self.hosts[index].life != life {
            return;
        }
        let Some(up) = self.hosts[index].up() else { return };
        let Some(mut pull) = up.pulls.get(&arrival).cloned() else { return };
        let source = self.hosts.iter().position(|host| host.address == pull.from);
        let breaks = self.network.is_rough && self.time.rng.chance(BREAKS_PERCENT);
        let now = self.time.now;
        let is_reached = |source: &usize| {
            let host = &self.hosts[*source];
            let is_blocked = self.network.is_blocked(*source, index, now)
                || self.network.is_blocked(index, *source, now);
            host.is_up() && !host.is_paused() && !is_blocked
        };
        let result = match source.filter(is_reached) {
            Some(source) => self.content_at(source, &mut pull),
            None => Err(PullFault::Broken),
        };
        let result = match result {
            Ok(Some(content)) => self.comes(index, arrival, &content, breaks).map(Some),
            Ok(None) if breaks => Err(PullFault::Broken),
            other => other,
        };
        // What comes is written at once.
        let result = match (result, S::disk_fault(self, index)) {
            (Ok(Some(_)), Some(fault)) => Err(PullFault::Store(fault)),
            (result, _) => result,
        };
        match result {
            // It is on its way there as well.
            Ok(None) => {
                self.running(index).pulls.insert(arrival, pull);
                self.time.after(ms(5), Event::Pull { host: index, life, arrival });
            }
            Ok(Some(content)) => {
                let result = Ok(content.hash());
                self.running(index).pulls.remove(&arrival);
                self.hosts[index].store.arrivals.insert(arrival, content);
                S::pulls(self, index, &pull, Some(true));
                self.deliver(index, life, Arrival::Pulled { arrival, result });
            }
            Err(fault) => {
                self.running(index).pulls.remove(&arrival);
                S::pulls(self, index, &pull, Some(false));
                self.deliver(index, life, Arrival::Pulled { arrival, result: Err(fault) });
            }
        }
    }

    /// What a host lacks of a content comes, all of it or a part. Returns what it has then.
    fn comes(
        &mut self,
        index: usize,
        arrival: ArrivalId,
        content: &Content,
        breaks: bool,
    ) -> Result<Content, PullFault> {
        let parts = &mut self.hosts[index].store.parts;
        let here = parts.entry(arrival).or_default();
        let missing = content.get(here.len()..).unwrap_or_default();
        let comes = if breaks { self.time.rng.index(missing.len() + 1) } else { missing.len() };
        here.extend_from_slice(&missing[..comes]);
        if self.network.is_rough
            && !breaks
            && self.time.rng.chance(DAMAGED_PERCENT)
            && let Some(last) = here.last_mut()
        {
            *last ^= 1;
        }
        match breaks {
            true => Err(PullFault::Broken),
            false => Ok(parts.remove(&arrival).unwrap_or_default().into()),
        }
    }

    /// The content at a host; `None`: it is arriving there.
    fn content_at(&self, source: usize, pull: &mut Pull) -> Result<Option<Content>, PullFault> {
        let host = &self.hosts[source];
        let node = &host.up().expect("it can be reached").node;
        if pull.found.is_none() {
            let body = match pull.of {
                PullOf::Version(version) => {
                    node.content_of(&pull.name, version).map(|(_, body)| body)
                }
                PullOf::Offer(op) => {
                    let offered = node.offered_content(op);
                    offered.map(|(arrival, bytes)| Body::Arrived { arrival, bytes })
                }
            };
            let found = match body {
                Some(Body::Stored { ticket, .. }) => Found::Stored(ticket),
                Some(Body::Arrived { arrival, .. }) => Found::Arriving(arrival),
                Some(Body::Whole(content)) => Found::Here(content),
                _ => return Err(PullFault::Gone),
            };
            pull.found = Some((host.life, found));
        }
        let Some((life, found)) = &pull.found else { return Err(PullFault::Gone) };
        if *life != host.life {
            return Err(PullFault::Broken);
        }
        match found {
            Found::Here(content) => Ok(Some(content.clone())),
            Found::Stored(ticket) => host.store.find(*ticket).map(Some).ok_or(PullFault::Broken),
            Found::Arriving(arrival) => match host.store.arrivals.get(arrival) {
                Some(content) => Ok(Some(content.clone())),
                None => match host.store.arrived.get(arrival) {
                    Some(ticket) => host.store.find(*ticket).map(Some).ok_or(PullFault::Broken),
                    None if self.is_arriving(source, *arrival) => Ok(None),
                    None => Err(PullFault::Broken),
                },
            },
        }
    }

    /// Whether a content is still on its way to a host.
    fn is_arriving(&self, index: usize, arrival: ArrivalId) -> bool {
        let Some(up) = self.hosts[index].up() else { return false };
        let is_uploaded = up.uploads.values().any(|it| it.put.arrival == arrival);
        // A pull that has broken off may go on.
        is_uploaded || up.pulls.contains_key(&arrival) || up.node.is_coming(arrival)
    }
}
