//! Large contents on their way from one store to another, over connections of their own.
//!
//! A pull is not simulated byte by byte: after a while it is asked whether the other host can be reached
//! and has the content. If it is still receiving that itself, the pull goes on until it is there.

use std::net::SocketAddr;

use smolring::ring::{
    ArrivedPut, Input, PullFault, RequestId,
    item::{ArrivalId, Body, Content},
    message::{Condition, Request},
    name::Name,
    version::Version,
};

use super::{Event, Scene, World, host::Arrival, timeline::ms};

/// A content that a host pulls.
#[derive(Clone)]
pub struct Pull {
    pub from: SocketAddr,
    pub name: Name,
    pub version: Version,
    pub hash: blake3::Hash,
}

/// Of a hundred pulls, so many break off while the network is rough.
const BREAKS_PERCENT: u64 = 15;
/// And so many are slow.
const SLOW_PERCENT: u64 = 10;

impl<S: Scene> World<S> {
    /// A client asks. A large content arrives in the store first, as a driver would have it.
    pub(super) fn take_request(&mut self, index: usize, id: RequestId, request: Request) {
        let Request::Put { name, content, only_if } = request else {
            return self.step(index, Input::Request { id, request });
        };
        match self.running(index).node.takes_apart(content.len()) {
            true => self.put_apart(index, id, name, content, only_if),
            false => {
                let request = Request::Put { name, content, only_if };
                self.step(index, Input::Request { id, request });
            }
        }
    }

    fn put_apart(
        &mut self,
        index: usize,
        id: RequestId,
        name: Name,
        content: Content,
        only_if: Option<Condition>,
    ) {
        let (hash, bytes) = (content.hash(), content.len());
        let up = self.running(index);
        let arrival = up.node.new_arrival();
        up.uploads.insert(id, arrival);
        self.hosts[index].store.arrivals.insert(arrival, content);
        let put = ArrivedPut { name, arrival, hash, bytes, only_if };
        self.step(index, Input::Put { id, put });
    }

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
        let Some(pull) = up.pulls.get(&arrival).cloned() else { return };
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
            Some(source) if !breaks => self.content_at(source, &pull),
            _ => Err(PullFault::Broken),
        };
        match result {
            // It is on its way there as well.
            Ok(None) => self.time.after(ms(5), Event::Pull { host: index, life, arrival }),
            Ok(Some(content)) => {
                assert_eq!(content.hash(), pull.hash, "n{source:?} gives out another content");
                self.running(index).pulls.remove(&arrival);
                self.hosts[index].store.arrivals.insert(arrival, content);
                S::pulls(self, index, &pull, Some(true));
                self.deliver(index, life, Arrival::Pulled { arrival, result: Ok(()) });
            }
            Err(fault) => {
                self.running(index).pulls.remove(&arrival);
                S::pulls(self, index, &pull, Some(false));
                self.deliver(index, life, Arrival::Pulled { arrival, result: Err(fault) });
            }
        }
    }

    /// The content at a host; `None`: it is arriving there.
    fn content_at(&self, source: usize, pull: &Pull) -> Result<Option<Content>, PullFault> {
        let host = &self.hosts[source];
        let up = host.up().expect("it can be reached");
        match up.node.content_of(&pull.name, pull.version) {
            Some((_, Body::Stored { ticket, .. })) => Ok(Some(host.store.read(ticket))),
            Some((_, Body::Arrived { arrival, .. })) => {
                Ok(host.store.arrivals.get(&arrival).cloned())
            }
            Some((_, Body::Whole(content))) => Ok(Some(content)),
            _ => Err(PullFault::Broken),
        }
    }
}
