//! What the connections of one thread share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use super::{answer::DateClock, routes::Routes};
use crate::{
    http::{limits::READ_BYTES_MAX, log::Log},
    serve::{Options, thread::Connections},
};

/// What all connections of one thread share.
pub(super) struct RawShared {
    pub(super) options: Arc<Options>,
    pub(super) routes: Routes,
    pub(super) log: Log,
    pub(super) clock: DateClock,
    /// One buffer for all reads: nothing stays in it from one read to the next.
    pub(super) read_buffer: RefCell<Vec<u8>>,
    /// Bytes of all request bodies that are not complete.
    pub(super) bodies_bytes: Cell<usize>,
    connections: Rc<Connections>,
}

impl RawShared {
    pub(super) fn new(
        options: Arc<Options>,
        routes: Routes,
        log: Log,
        connections: Rc<Connections>,
    ) -> Self {
        Self {
            options,
            routes,
            log,
            clock: DateClock::default(),
            read_buffer: RefCell::new(vec![0; READ_BYTES_MAX]),
            bodies_bytes: Cell::new(0),
            connections,
        }
    }

    /// Since when nothing more is accepted.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.connections.draining_since()
    }
}
