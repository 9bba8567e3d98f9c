//! What the connections of one thread share.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use super::{
    answer::{self, DateClock},
    routes::Routes,
};
use crate::{
    http::{
        limits::READ_BYTES_MAX,
        log::Log,
        status::{self, ENDING},
    },
    http1::request::Request,
    serve::{
        Options, Peer,
        cors::{EXPOSED, MAX_AGE_S, METHODS},
        drain::Shutdown,
        exposition::CONTENT_TYPE,
        metrics::{Metrics, ThreadMetrics},
        thread::Connections,
    },
    services::{JSON, form::Reply},
};

/// What all connections of one thread share.
pub(super) struct RawShared {
    pub(super) options: Arc<Options>,
    pub(super) routes: Routes,
    pub(super) log: Log,
    metrics: Arc<Metrics>,
    /// What this thread counts.
    pub(super) counts: Arc<ThreadMetrics>,
    shutdown: Shutdown,
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
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
        connections: Rc<Connections>,
    ) -> Self {
        Self {
            options,
            routes,
            log,
            counts: metrics.thread(),
            metrics,
            shutdown,
            clock: DateClock::default(),
            read_buffer: RefCell::new(vec![0; READ_BYTES_MAX]),
            bodies_bytes: Cell::new(0),
            connections,
        }
    }

    /// What this server says about itself, as [`http`](crate::http) does, and which headers every answer
    /// to this request has.
    pub(super) fn about(&self, request: &Request) -> (Option<Reply>, String) {
        let origin = request.noted("origin");
        let cors = self.options.cors.as_ref();
        let allowed = cors.and_then(|cors| cors.allows(origin?));
        let mut headers = String::new();
        if cors.is_some_and(|cors| !cors.is_any()) {
            headers += "Vary: Origin\r\n";
        }
        if let Some(origin) = allowed {
            let _ = write!(
                headers,
                "Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Expose-Headers: {EXPOSED}\r\n"
            );
            let asked = request.noted("access-control-request-method");
            if request.method == "OPTIONS" && asked.is_some() {
                let wanted = request.noted("access-control-request-headers");
                let _ = write!(
                    headers,
                    "Access-Control-Allow-Methods: {METHODS}\r\nAccess-Control-Max-Age: {MAX_AGE_S}\r\n"
                );
                if let Some(wanted) = wanted {
                    let _ = write!(headers, "Access-Control-Allow-Headers: {wanted}\r\n");
                }
                return (Some(answer::status(self.options.errors, 204, None)), headers);
            }
        }
        (self.own_page(request, &mut headers), headers)
    }

    fn own_page(&self, request: &Request, headers: &mut String) -> Option<Reply> {
        let about = self.options.about.filter(|_| request.path == "/");
        if !["/ready", "/metrics"].contains(&request.path.as_str()) && about.is_none() {
            return None;
        }
        if !["GET", "HEAD"].contains(&request.method.as_str()) {
            *headers += "Allow: GET, HEAD\r\n";
            return Some(answer::status(self.options.errors, 405, None));
        }
        *headers += "Cache-Control: no-store\r\n";
        let (status, content_type, body) = match (about, request.path.as_str()) {
            (Some(about), _) => {
                *headers += "Vary: Accept\r\n";
                let (content_type, page) = about.page(request.noted("accept"));
                (200, content_type, page)
            }
            (None, "/metrics") => (200, CONTENT_TYPE, self.metrics.text()),
            _ => {
                let ready = if self.shutdown.is_told() { Err(ENDING.into()) } else { Ok(()) };
                let (status, body) = status::readiness(ready);
                if status == 503 {
                    *headers += "Retry-After: 1\r\n";
                }
                (status, JSON, body)
            }
        };
        Some(Reply { status, content_type, body: body.into(), cause: None })
    }

    /// Where the client of a request is: the peer, or whom it forwards for.
    pub(super) fn client(&self, peer: Peer, request: Option<&Request>) -> Peer {
        match self.options.trusts_proxy {
            true => peer.forwards_for(request.and_then(|it| it.noted("x-forwarded-for"))),
            false => peer,
        }
    }

    /// Since when nothing more is accepted.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.connections.draining_since()
    }
}
