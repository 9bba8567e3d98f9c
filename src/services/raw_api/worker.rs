//! What the connections of one thread share.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use super::{
    Routes,
    answer::Clock,
    connection::{self, Connection},
};
use crate::http::{
    Options, Post,
    accept::{self, Guest, Guests},
    limits::READ_BYTES_MAX,
    log::Log,
};

/// What all connections of one thread share.
pub(super) struct Worker {
    pub(super) options: Arc<Options>,
    pub(super) routes: Routes,
    pub(super) log: Log,
    pub(super) clock: Clock,
    /// One buffer for all reads: nothing stays in it from one read to the next.
    pub(super) space: RefCell<Vec<u8>>,
    /// Of request bodies that are not complete.
    pub(super) bodies_bytes: Cell<usize>,
    guests: Rc<Guests>,
}

/// Serves until the shutdown is complete. Returns how many connections were cut off.
pub(super) fn run(post: Post, routes: Routes) -> io::Result<usize> {
    let (options, log) = (post.options.clone(), post.log.clone());
    accept::run(post, |guests, _| {
        let worker = Rc::new(Worker {
            options,
            routes,
            log,
            clock: Clock::default(),
            space: RefCell::new(vec![0; READ_BYTES_MAX]),
            bodies_bytes: Cell::new(0),
            guests,
        });
        move |_, stream, peer| {
            let connection = Rc::new(Connection::new(worker.clone(), peer));
            let guest: Rc<dyn Guest> = connection.clone();
            (guest, move || connection::run(connection, stream.into()))
        }
    })
}

impl Worker {
    /// Since when nothing more is accepted.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.guests.draining_since()
    }
}
