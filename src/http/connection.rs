//! A connection, as its task, its socket and its exchanges share it.

use std::{
    cell::RefCell,
    net::TcpStream,
    rc::Rc,
    task::{Context, Waker},
    time::Instant,
};

use async_io::Async;

use super::{intake::Intake, shared::HttpShared, state::ConnectionState};
use crate::serve::{
    Peer,
    thread::{AcceptedConnection, Spare},
};

/// One connection. Its task is in `task.rs`.
pub(super) struct HttpConnection {
    pub(super) shared: Rc<HttpShared>,
    pub(super) stream: Async<TcpStream>,
    pub(super) peer: Peer,
    pub(super) peer_text: String,
    pub(super) state: ConnectionState,
    /// Of what comes over HTTP/1. No borrow of it lasts over an await.
    pub(super) intake: RefCell<Intake>,
    waker: RefCell<Option<Waker>>,
}

impl HttpConnection {
    pub(super) fn new(shared: Rc<HttpShared>, stream: Async<TcpStream>, peer: Peer) -> Self {
        Self {
            intake: RefCell::new(Intake::new(&shared.options)),
            shared,
            stream,
            peer,
            peer_text: peer.to_string(),
            state: ConnectionState::new(),
            waker: RefCell::new(None),
        }
    }

    /// Keeps the waker of the connection's task.
    pub(super) fn keep_waker(&self, cx: &Context<'_>) {
        if self.waker.borrow().is_none() {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
    }

    /// Whether no request may come after those in progress: the server is in a shutdown, or the
    /// connection has made as many as it may.
    pub(super) fn must_end(&self) -> bool {
        let (options, requests) = (&self.shared.options, self.state.requests());
        self.shared.draining_since().is_some()
            || requests >= options.requests_max
            || (requests > 0 && options.keep_alive.is_zero())
    }

    /// Whether the answer that is made now is the last one; if so, no other will be.
    pub(super) fn is_last_answer(&self) -> bool {
        if self.must_end() {
            self.state.close();
        }
        self.state.is_last()
    }
}

impl AcceptedConnection for HttpConnection {
    fn spare_since(&self) -> Option<(Spare, Instant)> {
        self.state.spare_since()
    }

    fn is_in_use(&self) -> bool {
        self.state.is_in_use()
    }

    fn give_way(&self) {
        self.state.give_way();
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
