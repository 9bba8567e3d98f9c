//! One request and its answer: what is counted, noted and logged of them.

use std::{
    borrow::Cow,
    future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use hyper::{
    HeaderMap, Method, StatusCode, Version,
    body::{Body as _, Bytes, Incoming},
    header::{self, HeaderValue},
    http::{Uri, request, uri::PathAndQuery},
};

use percent_encoding::percent_decode;

use super::{
    connection::HttpConnection,
    limits::{BODIES_BYTES_MAX, LINGER_BYTES_MAX},
    log::{AccessEntry, Said},
    pieces::Received,
    refusal::{BODIES_FULL, Refusal, SERVER},
    trace::{REQUEST_ID, Trace},
};
use crate::serve::{Options, Peer, drain::Shutdown, metrics::Metrics};

/// A request in progress. It ends when this is dropped: after the last byte of the answer has
/// been given to hyper, or when the client has gone.
pub(crate) struct Exchange {
    pub(super) connection: Rc<HttpConnection>,
    /// The peer, or whom it forwards for.
    client: Peer,
    began: Instant,
    /// Of the answer, once it has begun.
    status: Option<u16>,
    /// The request's body, until it is taken.
    body: Option<Incoming>,
    /// What an application has left unread of an HTTP/2 request's body.
    unread: Option<Unread>,
    /// `None` if there is no access log.
    record: Option<Record>,
    /// `None` if the service does not follow its requests.
    trace: Option<Trace>,
    /// Of the request, counted against [`BODIES_BYTES_MAX`].
    body_bytes: usize,
    /// The client waits for us, and not we for the client.
    is_busy: bool,
}

/// A body that is not read to its end. If it were dropped before the answer is out, the answer would
/// be cancelled; and some clients do not look at an answer while they upload.
pub(super) type Unread = Arc<Mutex<Option<Incoming>>>;

/// What the access log says about it.
struct Record {
    method: Method,
    uri: Uri,
    said: Option<Said>,
    grpc_status: Option<u8>,
    bytes: u64,
    cause: Option<Cow<'static, str>>,
}

impl Exchange {
    pub(super) fn begin(
        connection: Rc<HttpConnection>,
        head: &request::Parts,
        body: Incoming,
    ) -> Self {
        connection.state.exchange_begins();
        connection.shared.counts.begin();
        let record = (!connection.shared.log.is_quiet()).then(|| Record {
            method: head.method.clone(),
            uri: head.uri.clone(),
            said: connection.shared.log.shows_said().then(|| said(head)),
            grpc_status: None,
            bytes: 0,
            cause: None,
        });
        let client = match connection.shared.options.trusts_proxy {
            true => connection.peer.forwards_for(forwarded_for(&head.headers)),
            false => connection.peer,
        };
        let is_traced = connection.shared.options.service.is_some();
        Self {
            trace: is_traced.then(|| Trace::of(&head.headers)),
            connection,
            client,
            began: Instant::now(),
            status: None,
            body: Some(body),
            unread: None,
            record,
            body_bytes: 0,
            is_busy: true,
        }
    }

    /// The options of the server.
    pub(crate) fn options(&self) -> &Options {
        &self.connection.shared.options
    }

    /// What the service counts.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.connection.shared.metrics
    }

    /// For an answer that lasts.
    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.connection.shared.shutdown
    }

    /// Where the client is, as text.
    pub(super) fn client(&self) -> Cow<'_, str> {
        match self.client == self.connection.peer {
            true => Cow::Borrowed(&self.connection.peer_text),
            false => Cow::Owned(self.client.to_string()),
        }
    }

    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    // ---- the request's body

    /// Whether the request has a body that has not been read.
    pub(super) fn has_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| !body.is_end_stream())
    }

    /// Reads the whole body.
    pub(super) async fn receive(&mut self) -> Result<Received, Refusal> {
        let mut received = Received::default();
        let Self { connection, body: Some(body), body_bytes, .. } = self else {
            return Ok(received);
        };
        let (most, held) =
            (connection.shared.options.body_bytes_max, &connection.shared.bodies_bytes);
        let too_long = Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE, Some("the body is too long"));
        if body.size_hint().lower() > most as u64 {
            return Err(too_long);
        }
        while let Some(frame) = future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            let frame = frame.map_err(|_| match connection.intake.borrow().body_refusal() {
                Some(refusal) => refusal.into(),
                None => Refusal::bad("the connection ended in the middle of the body"),
            })?;
            let Ok(piece) = frame.into_data() else { continue };
            if received.len() + piece.len() > most {
                return Err(too_long);
            }
            if held.load(Relaxed) + piece.len() > BODIES_BYTES_MAX {
                return Err(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE, Some(BODIES_FULL)));
            }
            held.fetch_add(piece.len(), Relaxed);
            *body_bytes += piece.len();
            received.push(piece);
        }
        Ok(received)
    }

    /// Reads the rest of a body that is not wanted. HTTP/1 does this when the answer is out; but an
    /// HTTP/2 client whose upload is cut off may not look at the answer any more.
    pub(super) async fn discard_body(&mut self) {
        if let Some(body) = &mut self.body {
            discard(body).await;
        }
    }

    /// Drops what is left of an HTTP/1 request; hyper reads the rest of it after the answer.
    pub(super) fn drop_body(&mut self) {
        self.body = None;
    }

    /// Hands the body to an application that reads it as it comes: the body, where it goes if it is
    /// not read to its end, and where its bytes are counted.
    pub(super) fn hand_over_body(&mut self) -> (Option<Incoming>, Unread, Arc<AtomicUsize>) {
        let unread = Unread::default();
        self.unread = Some(unread.clone());
        (self.body.take(), unread, self.connection.shared.bodies_bytes.clone())
    }

    // ---- the answer

    /// Notes whether the client waits for us now, or we for the client.
    fn set_busy(&mut self, is_busy: bool) {
        if is_busy != self.is_busy {
            self.is_busy = is_busy;
            self.connection.state.count_busy(is_busy);
        }
    }

    /// Notes that the client takes another piece of the answer, and whether it is there.
    pub(super) fn waits(&mut self, is_pending: bool) {
        self.set_busy(is_pending);
        self.connection.state.touch();
    }

    /// Notes why the request is refused.
    pub(crate) fn explain(&mut self, cause: impl Into<Cow<'static, str>>) {
        if let Some(record) = &mut self.record {
            record.cause = Some(cause.into());
        }
    }

    /// Notes that this much of the answer was given to hyper.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes += bytes as u64;
        }
    }

    /// Completes the head of the answer, which is about to go to hyper.
    pub(super) fn answers(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        headers.entry(header::SERVER).or_insert(SERVER);
        if let Some(trace) = &self.trace
            && let Ok(mut id) = HeaderValue::from_str(trace.request_id())
        {
            // Each is different: HTTP/2 need not index it.
            id.set_sensitive(true);
            headers.insert(REQUEST_ID, id);
        }
        self.status = Some(status.as_u16());
        self.ends_with(headers);
        self.set_busy(false);
    }

    /// Notes how a gRPC call ended, and why, where its headers or trailers say so.
    pub(super) fn ends_with(&mut self, fields: &HeaderMap) {
        if let Some(record) = &mut self.record
            && let Some(status) = fields.get("grpc-status")
        {
            record.grpc_status = status.to_str().ok().and_then(|code| code.parse().ok());
            let message = fields.get("grpc-message").map(|it| percent_decode(it.as_bytes()));
            let why = message.map(|it| it.decode_utf8_lossy().into_owned().into());
            record.cause = record.cause.take().or(why);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Instant::now();
        self.set_busy(false);
        let Self { connection, client, began, status, record, trace, body_bytes, .. } = self;
        let HttpConnection { shared, state, .. } = &**connection;
        shared.bodies_bytes.fetch_sub(*body_bytes, Relaxed);
        state.exchange_ended(now);
        let duration = now - *began;
        shared.counts.end(*status, duration);
        if let Some(record) = record {
            shared.log.access(&AccessEntry {
                method: record.method.as_str(),
                url: record.uri.path_and_query().map_or("-", PathAndQuery::as_str),
                status: *status,
                grpc_status: record.grpc_status,
                bytes: record.bytes,
                duration,
                client: *client,
                service: shared.options.service,
                trace: trace.as_ref(),
                cause: record.cause.as_deref(),
                said: record.said.as_ref(),
            });
        }
    }
}

/// The last `X-Forwarded-For`: the proxy in front has added it, or has added to it.
fn forwarded_for(headers: &HeaderMap) -> Option<&str> {
    headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()
}

/// What a client says about itself, for the combined format.
fn said(head: &request::Parts) -> Said {
    let value = |name| head.headers.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes()));
    let protocol = match head.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    Said { protocol, referer: value(header::REFERER), user_agent: value(header::USER_AGENT) }
}

/// Takes what an application has left of a body.
pub(super) fn take(unread: &Unread) -> Option<Incoming> {
    unread.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Keeps what an application has left of a body until the answer is out.
pub(super) fn keep(unread: &Unread, body: Option<Incoming>) {
    *unread.lock().unwrap_or_else(PoisonError::into_inner) = body;
}

/// Reads a body to its end and throws it away, within bounds.
pub(super) async fn discard(body: &mut Incoming) {
    let mut bytes = 0;
    while bytes < LINGER_BYTES_MAX
        && let Some(Ok(frame)) = future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}
