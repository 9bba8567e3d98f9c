//! How much a node has of everything just now, and what it has counted.

use super::Driver;
use crate::{net::connection::Role, net::counts::Counts, store::disk::DiskStats};

/// What a node's metrics are made of.
pub(crate) struct Gauges {
    pub(crate) counts: Counts,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// Requests that are not answered yet.
    pub(crate) operations: usize,
    pub(crate) clients: usize,
    pub(crate) links: usize,
    /// Bytes of contents that are in memory on their way.
    pub(crate) flight_bytes: usize,
    /// Contents that are pulled from other members.
    pub(crate) pulls: usize,
    /// Versions that catching up has yet to bring, as far as that is known.
    pub(crate) lacking: usize,
    /// Where files are on a disk.
    pub(crate) disk: Option<DiskStats>,
}

impl Driver {
    pub(in crate::net) fn gauges(&self) -> Gauges {
        let state = self.state.borrow();
        let is_link = |role: Role| matches!(role, Role::Link(_));
        let links = state.connections.values().filter(|it| is_link(it.role.get())).count();
        Gauges {
            counts: state.counts.clone(),
            received_bytes: self.traffic.received.get(),
            sent_bytes: self.traffic.sent.get(),
            operations: state.operations.len(),
            clients: state.connections.len() - links,
            links,
            flight_bytes: self.flight.waiting_bytes(),
            pulls: state.pulls.len(),
            lacking: state.node.lacking(),
            disk: self.disk.as_ref().map(|disk| disk.stats()),
        }
    }
}
