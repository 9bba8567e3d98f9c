//! gRPC services on the ports of [`crate::http`].
//!
//! This does what tonic's own server would do around the generated code: it finds a call's service by
//! its path, and ends the call when its caller's deadline has passed, and in a shutdown.

use std::{
    any::Any,
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_io::Timer;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body as HttpBody, Bytes, Frame, SizeHint},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    http::{Uri, request, uri::PathAndQuery},
};
use smol::future::FutureExt;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
};

use super::{
    limits::{PIECE_BYTES_MAX, REFUSED_BODY_WAIT},
    timeout,
    upload::Messages,
};
use crate::{
    http::{
        Bound, Upload,
        exchange::Exchange,
        front::{Answering, Front},
        pieces::{BoxError, Frames},
        streamed,
    },
    serve::{drain::Shutdown, time::within},
};

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

/// Services of gRPC, each under its name.
///
/// What holds for all of them:
///
/// - A call ends with DEADLINE_EXCEEDED when its `grpc-timeout` has passed, even in the middle of a
///   stream; and after the server's own request timeout, if it has not begun to answer.
/// - A message that is longer than the service accepts is RESOURCE_EXHAUSTED, as everywhere except in
///   tonic.
/// - What is sent to a service and is no call is told so by its HTTP status: 415 for another content
///   type, 405 for another method, 505 over HTTP/1.1.
/// - A call of an unknown service or method is UNIMPLEMENTED; one that panics is INTERNAL, and no other
///   call is lost.
/// - In a shutdown calls are finished, and streams that wait for something end with UNAVAILABLE.
#[derive(Default)]
pub struct Server {
    routes: Vec<(String, Arc<dyn Serve>)>,
    /// Path prefixes that callers may use, and the service for each.
    aliases: Vec<(String, &'static str)>,
}

impl Server {
    /// A server without services: each call is UNIMPLEMENTED.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service as the generator makes it.
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: NamedService + Clone + Send + Sync + 'static,
        S: Service<
                Request<Messages>,
                Response = Response<Body>,
                Error = Infallible,
                Future = BoxFuture<Response<Body>, Infallible>,
            >,
    {
        self.routes.push((format!("/{}/", S::NAME), Arc::new(service)));
        self
    }

    /// Answers calls of the service `alias` as those of `name`, which has the same messages.
    pub fn also_as(mut self, alias: &str, name: &'static str) -> Self {
        self.aliases.push((format!("/{alias}/"), name));
        self
    }

    /// Answers calls on an open port, where tide answers everything else. A call must begin to answer
    /// within the request timeout, like any other request.
    pub fn behind(self, bound: Bound) -> Bound {
        bound.with(self)
    }

    async fn respond(
        &self,
        request: Request<Upload>,
        timeout: Duration,
        shutdown: Shutdown,
    ) -> Response<Frames> {
        let mut request = request.map(Messages::new);
        self.rename(&mut request);
        let deadline = timeout::of(request.headers());
        let deadline = deadline.map(|it| it.and_then(|it| Instant::now().checked_add(it)));
        let path = request.uri().path();
        let route = self.routes.iter().find(|(prefix, _)| path.starts_with(prefix));
        let work = route.map(|(_, service)| service.call(request));
        let started = start(work, deadline.clone(), timeout).await;
        let mut response = started.unwrap_or_else(Status::into_http);
        rename_status(response.headers_mut());
        let deadline = deadline.ok().flatten();
        let held = response.extensions_mut().remove();
        let reply = |body| Reply {
            body,
            rest: Bytes::new(),
            deadline,
            shutdown,
            ended: None,
            is_over: false,
            _held: held,
        };
        response.map(|body| Box::pin(reply(body)) as Frames)
    }

    /// Whether a path is that of a service.
    fn has(&self, path: &str) -> bool {
        self.routes.iter().any(|(prefix, _)| path.starts_with(prefix))
            || self.aliases.iter().any(|(prefix, _)| path.starts_with(prefix))
    }

    /// The names under which services are answered beside their own, each with that.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.aliases.iter().map(|(prefix, name)| (prefix.trim_matches('/'), *name))
    }

    fn rename(&self, request: &mut Request<Messages>) {
        for (alias, name) in &self.aliases {
            if let Some(method) = request.uri().path().strip_prefix(alias)
                && let Ok(path) = PathAndQuery::try_from(format!("/{name}/{method}"))
            {
                *request.uri_mut() = Uri::from(path);
                return;
            }
        }
    }
}

impl Front for Server {
    /// Whether a request is a call, or should be one: what is at a service's path is no page.
    fn takes(&self, head: &request::Parts) -> bool {
        is_call(head) || self.has(head.uri.path())
    }

    fn answer<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        head: &'a mut request::Parts,
    ) -> Answering<'a> {
        if let Some(refusal) = refusal(head) {
            let is_h2 = head.version == Version::HTTP_2;
            let (_, why) = refusal.body().split_once(": ").unwrap_or_default();
            exchange.explain(why.trim_end());
            let respond = async move |request: Request<Upload>| {
                // An HTTP/2 client whose upload is cut off may not look at the answer.
                if is_h2 {
                    within(REFUSED_BODY_WAIT, request.into_body().discard()).await;
                }
                refusal.map(Text::frames)
            };
            return Box::pin(async { Ok(streamed::answer(exchange, head, respond).await) });
        }
        let (timeout, shutdown) = (exchange.options().request_timeout, exchange.shutdown().clone());
        let respond = move |request| self.respond(request, timeout, shutdown);
        Box::pin(async { Ok(streamed::answer(exchange, head, respond).await) })
    }
}

/// Whether this is a call: `POST` of `application/grpc` over HTTP/2.
fn is_call(head: &request::Parts) -> bool {
    head.version == Version::HTTP_2 && head.method == Method::POST && has_grpc_type(head)
}

fn has_grpc_type(head: &request::Parts) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let is_grpc = |value: &HeaderValue| {
        let (start, rest) = value.as_bytes().split_at_checked(TYPE.len())?;
        let ends = matches!(rest.first(), None | Some(b'+' | b';' | b' '));
        Some(ends && start.eq_ignore_ascii_case(TYPE))
    };
    head.headers.get(CONTENT_TYPE).and_then(is_grpc) == Some(true)
}

/// The answer to what is no call, as gRPC's description of HTTP/2 and other servers have it.
fn refusal(head: &request::Parts) -> Option<Response<&'static str>> {
    let answer = |status, text| {
        let answer = Response::builder().status(status).header(CONTENT_TYPE, "text/plain");
        answer.body(text).ok()
    };
    if head.method != Method::POST {
        let mut refused = answer(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method Not Allowed: a call of gRPC is a POST\n",
        )?;
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(refused);
    }
    if !has_grpc_type(head) {
        let text = "Unsupported Media Type: a call of gRPC has Content-Type: application/grpc\n";
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    if head.version != Version::HTTP_2 {
        let text = "HTTP Version Not Supported: gRPC needs HTTP/2\n";
        return answer(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text);
    }
    None
}

/// A short body.
struct Text(Bytes);

impl Text {
    fn frames(text: &'static str) -> Frames {
        Box::pin(Self(Bytes::from_static(text.as_bytes())))
    }
}

impl HttpBody for Text {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let text = std::mem::take(&mut self.0);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// A service of any type.
trait Serve: Send + Sync {
    fn call(&self, request: Request<Messages>) -> BoxFuture<Response<Body>, Infallible>;
}

impl<S> Serve for S
where
    S: Clone + Send + Sync,
    S: Service<
            Request<Messages>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<Response<Body>, Infallible>,
        >,
{
    fn call(&self, request: Request<Messages>) -> BoxFuture<Response<Body>, Infallible> {
        Service::call(&mut self.clone(), request)
    }
}

/// Runs a call until it begins to answer, for as long as it may take.
async fn start(
    work: Option<BoxFuture<Response<Body>, Infallible>>,
    deadline: Result<Option<Instant>, Status>,
    timeout: Duration,
) -> Result<Response<Body>, Status> {
    let deadline = deadline?;
    let work = work.ok_or_else(|| Status::unimplemented("there is no such service"))?;
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let limit = left.map_or(timeout, |left| left.min(timeout));
    match within(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Err(_panic)) => Err(Status::internal("the service has failed")),
        None => Err(timeout::passed()),
    }
}

/// Gives a message that is too long the code RESOURCE_EXHAUSTED, as the description of the codes and all
/// other implementations do; tonic gives it OUT_OF_RANGE.
fn rename_status(fields: &mut HeaderMap) {
    const TOO_LONG_IN_TONIC: &[u8] = b"Error,%20decoded%20message%20length%20too%20large";
    let code = (Code::OutOfRange as i32).to_string();
    if fields.get(GRPC_STATUS).is_some_and(|it| it.as_bytes() == code.as_bytes())
        && fields.get(GRPC_MESSAGE).is_some_and(|it| it.as_bytes().starts_with(TOO_LONG_IN_TONIC))
    {
        fields.insert(GRPC_STATUS, (Code::ResourceExhausted as i32).into());
    }
}

/// The body of an answer, until its end, its deadline or the shutdown.
struct Reply {
    body: Body,
    /// What is left of a piece of the body that was too long to be passed on at once.
    rest: Bytes,
    deadline: Option<Instant>,
    shutdown: Shutdown,
    /// The deadline and the shutdown, as one future. It is made when the body has to wait for the first
    /// time.
    ended: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
    is_over: bool,
    _held: Option<HeldUntilSent>,
}

/// No field needs to be pinned in place.
impl Unpin for Reply {}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { body, rest, deadline, shutdown, ended, is_over, _held } = &mut *self;
        if *is_over {
            return Poll::Ready(None);
        }
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(first_piece(rest)))));
        }
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| match frame {
                Ok(frame) => Ok(match frame.into_data() {
                    Ok(data) => {
                        *rest = data;
                        Frame::data(first_piece(rest))
                    }
                    Err(mut frame) => {
                        frame.trailers_mut().into_iter().for_each(rename_status);
                        frame
                    }
                }),
                Err(status) => Err(status.into()),
            }));
        }
        let ended = ended.get_or_insert_with(|| Box::pin(end(*deadline, shutdown.clone())));
        let status = ready!(ended.as_mut().poll(cx));
        *is_over = true;
        let mut trailers = HeaderMap::new();
        let added = status.add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers)).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || (self.rest.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // The body does not count the rest.
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}

/// As much of the data as is passed on at once.
fn first_piece(data: &mut Bytes) -> Bytes {
    data.split_to(data.len().min(PIECE_BYTES_MAX))
}

/// A value that a service puts into the extensions of its answer, to be dropped when the whole
/// answer has been passed on, or the caller has gone.
#[derive(Clone)]
pub struct HeldUntilSent {
    _value: Arc<dyn Any + Send + Sync>,
}

impl HeldUntilSent {
    /// Holds the value from now on.
    pub fn new(value: impl Any + Send + Sync) -> Self {
        Self { _value: Arc::new(value) }
    }
}

/// Waits for what ends a stream from outside: the deadline or the shutdown.
async fn end(deadline: Option<Instant>, shutdown: Shutdown) -> Status {
    let late = async {
        deadline.map_or_else(Timer::never, Timer::at).await;
        timeout::passed()
    };
    let closing = async {
        shutdown.draining().await;
        Status::unavailable("the server is shutting down")
    };
    late.or(closing).await
}
