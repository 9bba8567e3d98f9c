//! One request and its answer: the checks, the body, the handler, each with its limit and its
//! deadline, and one line in the access log at the end.

use std::{
    future::Future, panic::AssertUnwindSafe, pin::Pin, rc::Rc, sync::atomic::Ordering::Relaxed,
    task::Poll, time::Instant,
};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body as _, Bytes, Incoming},
    header::{self, HeaderValue},
    http::{Uri, uri::PathAndQuery},
};
use smol::{
    future::{self, FutureExt},
    io::AsyncBufRead as _,
};
use tide::http as tide_http;

use super::{
    body::{Answer, Source},
    connection::Connection,
    convert,
    limits::{BODIES_BYTES_MAX, LINGER, LINGER_BYTES_MAX},
    log::Entry,
    pieces::Received,
    streamed::{self, Unread},
    trace::{REQUEST_ID, Trace},
    worker::Worker,
};
use crate::serve::time::within;

/// The application: what tide makes of a request.
pub(super) type Handler = std::sync::Arc<dyn Fn(tide_http::Request) -> Responding + Send + Sync>;

/// An answer in the making.
pub(super) type Responding =
    Pin<Box<dyn Future<Output = tide_http::Result<tide_http::Response>> + Send>>;

const SERVER: HeaderValue =
    HeaderValue::from_static(concat!("smolring/", env!("CARGO_PKG_VERSION")));

/// An answer that is lost on purpose: its request was handled, and the connection is closed
/// without a word (over HTTP/2 it is the stream that is reset). The access log shows `-`.
pub fn lost() -> tide::Response {
    let mut answer = tide::Response::new(tide::StatusCode::Ok);
    answer.insert_ext(Lost);
    answer
}

/// The mark of a [`lost`] answer; and what hyper is told of it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
pub(super) struct Lost;

/// A request in progress. It ends when this is dropped: after the last byte of the answer has
/// been given to hyper, or when the client has gone.
pub(super) struct Exchange {
    connection: Rc<Connection>,
    /// `None` if nobody will read it.
    record: Option<Record>,
    /// `None` if the service does not follow its requests.
    trace: Option<Trace>,
    /// Of the request, counted against [`BODIES_BYTES_MAX`].
    body_bytes: usize,
    had_body: bool,
    /// What is not read of an HTTP/2 request. To drop it earlier would cancel the answer.
    unread: Option<Unread>,
    /// It is this side that something is waited for, and not the client.
    is_busy: bool,
}

struct Record {
    method: Method,
    uri: Uri,
    began: Instant,
    status: Option<u16>,
    grpc_status: Option<u8>,
    bytes: u64,
}

impl Exchange {
    fn begin(connection: Rc<Connection>, request: &Request<Incoming>) -> Self {
        connection.exchange_begins();
        let record = (!connection.worker.log.is_quiet()).then(|| Record {
            method: request.method().clone(),
            uri: request.uri().clone(),
            began: Instant::now(),
            status: None,
            grpc_status: None,
            bytes: 0,
        });
        let is_traced = connection.worker.options.service.is_some();
        Self {
            trace: is_traced.then(|| Trace::of(request.headers())),
            connection,
            record,
            body_bytes: 0,
            had_body: false,
            unread: None,
            is_busy: true,
        }
    }

    /// Notes who is waited for now: the handler and what it reads from, or else the client.
    fn set_busy(&mut self, is_busy: bool) {
        if is_busy != self.is_busy {
            self.is_busy = is_busy;
            self.connection.count_busy(is_busy);
        }
    }

    /// Notes that the client takes another piece of the answer, and whether it is there.
    pub(super) fn waits(&mut self, is_pending: bool) {
        self.set_busy(is_pending);
        self.connection.touch();
    }

    /// Notes that so much of the answer was given to hyper.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes += bytes as u64;
        }
    }

    /// Counts bytes of the request's body against what one thread may hold.
    fn reserve(&mut self, bytes: usize) -> bool {
        let held = &self.connection.worker.bodies_bytes;
        let fits = held.load(Relaxed) + bytes <= BODIES_BYTES_MAX;
        if fits {
            held.fetch_add(bytes, Relaxed);
            self.body_bytes += bytes;
        }
        fits
    }

    pub(super) fn worker(&self) -> Rc<Worker> {
        self.connection.worker.clone()
    }

    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Keeps what is not read until the answer is out.
    pub(super) fn keep(&mut self, unread: Unread) {
        self.unread = Some(unread);
    }

    /// Completes the head of the answer, which is about to go to hyper.
    pub(super) fn answers(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        headers.entry(header::SERVER).or_insert(SERVER);
        if let Some(trace) = &self.trace
            && let Ok(mut id) = HeaderValue::from_str(trace.request_id())
        {
            // Every one is another: HTTP/2 need not remember it.
            id.set_sensitive(true);
            headers.insert(REQUEST_ID, id);
        }
        if let Some(record) = &mut self.record {
            record.status = Some(status.as_u16());
        }
        self.ends_with(headers);
        self.set_busy(false);
    }

    /// Notes how a gRPC call ended, where its headers or trailers say so.
    pub(super) fn ends_with(&mut self, fields: &HeaderMap) {
        if let Some(record) = &mut self.record
            && let Some(status) = fields.get("grpc-status")
        {
            record.grpc_status = status.to_str().ok().and_then(|code| code.parse().ok());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.worker.bodies_bytes.fetch_sub(self.body_bytes, Relaxed);
        let now = Instant::now();
        self.set_busy(false);
        self.connection.exchange_ended(now, self.had_body);
        if let Some(record) = &self.record {
            self.connection.worker.log.access(&Entry {
                method: record.method.as_str(),
                url: record.uri.path_and_query().map_or("-", PathAndQuery::as_str),
                status: record.status,
                grpc_status: record.grpc_status,
                bytes: record.bytes,
                duration: now - record.began,
                client: self.connection.peer,
                service: self.connection.worker.options.service,
                trace: self.trace.as_ref(),
            });
        }
    }
}

/// Why there will be no answer of the handler.
enum Refusal {
    /// The client is told so, and its connection is closed: who knows what it sends next.
    Status(StatusCode),
    /// Something went wrong on this side of the request; the connection may stay.
    Failed,
    /// The client is told nothing.
    Lost,
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

/// Answers one request. hyper calls this.
pub(super) async fn answer(
    connection: Rc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Lost> {
    let is_head = *request.method() == Method::HEAD;
    let is_h2 = request.version() == Version::HTTP_2;
    let mut exchange = Exchange::begin(connection, &request);
    let worker = exchange.worker();
    if let Some(streamed) = &worker.streamed
        && (streamed.takes)(&request)
    {
        return Ok(streamed::answer(streamed, exchange, request).await);
    }
    let handled = handle(&mut exchange, &mut request).await;
    if let Err(Refusal::Status(status)) = handled
        && is_h2
        && status != StatusCode::REQUEST_TIMEOUT
    {
        within(LINGER, discard(request.body_mut())).await;
    }
    let connection = &exchange.connection;
    let options = &connection.worker.options;
    let own = |status: StatusCode| {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(options.error_type));
        (status, headers, Source::Whole(Bytes::from_static(reason(status))))
    };
    let (status, mut headers, source) = match handled {
        // tide answers an error with a status and nothing more.
        Ok((status, headers, Source::Whole(bytes), closes))
            if bytes.is_empty() && is_error(status) =>
        {
            connection.closes_if(closes);
            let (_, mut all, source) = own(status);
            all.extend(headers);
            (status, all, source)
        }
        Ok((status, headers, source, closes)) => {
            connection.closes_if(closes);
            (status, headers, source)
        }
        Err(Refusal::Failed) => own(StatusCode::INTERNAL_SERVER_ERROR),
        Err(Refusal::Lost) => return Err(Lost),
        Err(Refusal::Status(status)) => {
            connection.closes_if(true);
            own(status)
        }
    };
    let source = if is_head { without_body(&mut headers, source) } else { source };
    if !is_h2 && connection.is_last_answer() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if is_h2 {
        exchange.unread = Some(Unread::new(Some(request.into_body()).into()));
    }
    exchange.answers(status, &mut headers);
    let mut response = Response::new(Answer::new(source, exchange));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

type Handled = (StatusCode, HeaderMap, Source, bool);

async fn handle(exchange: &mut Exchange, from: &mut Request<Incoming>) -> Result<Handled, Refusal> {
    let worker = exchange.connection.worker.clone();
    let options = &worker.options;
    let mut request = convert::request(from, &mut worker.urls.borrow_mut(), options)?;
    request.set_peer_addr(Some(&*exchange.connection.peer_text));
    if let Some(trace) = &exchange.trace {
        request.ext_mut().insert(trace.clone());
    }
    if !from.body().is_end_stream() {
        exchange.had_body = true;
        let received = within(options.body_timeout(), receive(exchange, from.body_mut())).await;
        let received = received.ok_or(StatusCode::REQUEST_TIMEOUT)??;
        request.replace_body(received.into_body());
    }
    let respond = AssertUnwindSafe((worker.handler)(request)).catch_unwind();
    let answer = match within(options.request_timeout, respond).await {
        None => return Err(StatusCode::REQUEST_TIMEOUT.into()),
        Some(Err(_panic)) => return Err(Refusal::Failed),
        Some(Ok(Err(error))) => tide_http::Response::new(error.status()),
        Some(Ok(Ok(answer))) => answer,
    };
    if answer.ext().get::<Lost>().is_some() {
        return Err(Refusal::Lost);
    }
    // The request's headers have been read: the answer's go into their memory.
    let mut headers = std::mem::take(from.headers_mut());
    let (status, closes) = convert::response(&answer, &mut headers).ok_or(Refusal::Failed)?;
    let source = source(answer).await.ok_or(Refusal::Failed)?;
    Ok((status, headers, source, closes))
}

/// Takes in the whole body.
async fn receive(exchange: &mut Exchange, body: &mut Incoming) -> Result<Received, StatusCode> {
    let most = exchange.connection.worker.options.body_bytes_max;
    let mut received = Received::default();
    if body.size_hint().lower() > most as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    while let Some(frame) = future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        // A body that is cut off, or in chunks that are none.
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        let Ok(piece) = frame.into_data() else { continue };
        if received.len() + piece.len() > most {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if !exchange.reserve(piece.len()) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        received.push(piece);
    }
    Ok(received)
}

/// Takes in the rest of a body that nobody wants. HTTP/1 does this when the answer is out; but an
/// HTTP/2 client whose upload is cut off may not look at the answer any more.
pub(super) async fn discard(body: &mut Incoming) {
    let mut bytes = 0;
    while bytes < LINGER_BYTES_MAX
        && let Some(Ok(frame)) = future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// The answer's body; what is in memory is taken whole, at once. `None`: it cannot be read.
async fn source(mut answer: tide_http::Response) -> Option<Source> {
    let bytes = answer.len();
    if bytes == Some(0) {
        return Some(Source::Whole(Bytes::new()));
    }
    let mut reader = answer.take_body().into_reader();
    let whole = future::poll_fn(|cx| match Pin::new(&mut reader).poll_fill_buf(cx) {
        Poll::Ready(Ok(all)) if Some(all.len()) == bytes => {
            Poll::Ready(Ok(Some(Bytes::copy_from_slice(all))))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        _ => Poll::Ready(Ok(None)),
    });
    match whole.await {
        Ok(Some(whole)) => Some(Source::Whole(whole)),
        Ok(None) => Some(Source::Reader(reader, bytes.map(|bytes| bytes as u64))),
        Err(_) => None,
    }
}

/// HEAD has the headers of GET, the length as well, and nothing after them.
fn without_body(headers: &mut HeaderMap, source: Source) -> Source {
    let bytes = match source {
        Source::Whole(bytes) => Some(bytes.len() as u64),
        Source::Reader(_, bytes) => bytes,
        Source::Frames(_) => None,
    };
    if let Some(bytes) = bytes {
        headers.insert(header::CONTENT_LENGTH, bytes.into());
    }
    Source::Whole(Bytes::new())
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// `Bad Request` and its like.
pub(super) fn reason(status: StatusCode) -> &'static [u8] {
    status.canonical_reason().unwrap_or("Error").as_bytes()
}

/// A whole answer that refuses a request, for where there is no hyper to write one.
pub(super) fn refusal(status: StatusCode, error_type: &str) -> Bytes {
    let reason = String::from_utf8_lossy(reason(status));
    let date = httpdate::HttpDate::from(std::time::SystemTime::now());
    format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {error_type}\r\nServer: {}\r\n\
         Connection: close\r\nContent-Length: {}\r\nDate: {date}\r\n\r\n{reason}",
        status.as_u16(),
        SERVER.to_str().unwrap_or_default(),
        reason.len(),
    )
    .into()
}
