//! What the connections of one thread share.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use super::{limits::READ_BYTES_MAX, log::Log, state::shortest_wait};
use crate::serve::{
    Lines, Options,
    drain::Shutdown,
    metrics::{Metrics, ThreadMetrics},
    thread::Connections,
};

/// What all connections of one thread share.
pub(super) struct HttpShared {
    pub(super) options: Arc<Options>,
    pub(super) shutdown: Shutdown,
    pub(super) log: Log,
    /// What all threads count, and what this one does.
    pub(super) metrics: Arc<Metrics>,
    pub(super) counts: Arc<ThreadMetrics>,
    /// One buffer for all reads: nothing stays in it from one poll of a task to the next.
    pub(super) read_buffer: RefCell<Vec<u8>>,
    /// Bytes of request bodies in memory.
    pub(super) bodies_bytes: Arc<AtomicUsize>,
    connections: Rc<Connections>,
}

impl HttpShared {
    pub(super) fn new(
        options: Arc<Options>,
        lines: Lines,
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
        connections: Rc<Connections>,
    ) -> Self {
        Self {
            log: Log::new(lines, &options),
            counts: metrics.thread(),
            metrics,
            options,
            shutdown,
            read_buffer: RefCell::new(vec![0; READ_BYTES_MAX]),
            bodies_bytes: Arc::default(),
            connections,
        }
    }

    /// Since when nothing more is accepted.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.connections.draining_since()
    }

    /// No wait that begins now ends before this.
    pub(super) fn shortest_wait(&self) -> Duration {
        shortest_wait(&self.options, self.draining_since().is_some())
    }
}
