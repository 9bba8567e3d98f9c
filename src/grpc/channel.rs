//! A client's connection to a gRPC server.

use std::{
    fmt, io,
    net::TcpStream,
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use async_io::{Async, Timer};
use hyper::{
    Request, Response, Uri,
    body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint},
    client::conn::http2::{self, SendRequest},
    http::uri::{Authority, Scheme},
    rt::Executor,
};
use smol::{
    future::{self, FutureExt},
    lock::Mutex,
};
use smol_hyper::rt::{FuturesIo, SmolTimer};
use tonic::{Status, body::Body, codegen::Service};

use super::{
    limits::{CONNECT_TIMEOUT, HEADERS_BYTES_MAX, PING_INTERVAL, PING_TIMEOUT},
    timeout,
};

/// Where a gRPC server is: `127.0.0.1:50051`, `[::1]:50051`, `logging.example:50051`, and the same
/// with `http://` in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Authority);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!("`{text}` is no gRPC server: {why}; write it like 127.0.0.1:50051"))
        };
        let place = text.strip_prefix("http://").unwrap_or(text);
        let place = place.strip_suffix('/').unwrap_or(place);
        match place.parse::<Authority>() {
            Ok(it) if it.as_str().contains('@') => wrong("it may have no user"),
            Ok(it) if it.host().is_empty() => wrong("it has no host"),
            Ok(it) if it.port_u16().is_none_or(|port| port == 0) => wrong("it has no port"),
            Ok(it) => Ok(Self(it)),
            Err(_) => wrong("it is not host:port"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a generated client sends through: `LoggingServiceClient::new(Channel::new(endpoint))`.
///
/// There is one connection for any number of calls at a time. The first call opens it, and so does
/// the next call after it was lost; a task on smol's own executor moves its bytes. Clones share it.
///
/// An error is a [`Status`]. UNAVAILABLE: the server is not there, or the connection was lost in
/// the middle; DEADLINE_EXCEEDED: the call's timeout has passed by this side's clock, whatever the
/// server does. A call is sent again only if nothing of it has left this process: then the server
/// has not seen it.
#[derive(Clone, Debug)]
pub struct Channel(Arc<ChannelShared>);

impl Channel {
    /// A channel without a connection. Does not block.
    pub fn new(endpoint: Endpoint) -> Self {
        Self(Arc::new(ChannelShared { endpoint, connection: Mutex::new(None) }))
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Download>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let deadline = timeout::of(request.headers())?;
            let deadline = deadline.and_then(|timeout| Instant::now().checked_add(timeout));
            let late = async {
                deadline.map_or_else(Timer::never, Timer::at).await;
                Err(timeout::passed())
            };
            let response = shared.ask(request).or(late).await?;
            Ok(response.map(|incoming| Download { incoming, deadline, timer: None }))
        })
    }
}

struct ChannelShared {
    endpoint: Endpoint,
    /// The present one. The call that opens the next one holds the lock: others would open one too.
    connection: Mutex<Option<SendRequest<Body>>>,
}

impl ChannelShared {
    async fn ask(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Status> {
        // HTTP/2 needs the whole URI, and tonic gives the path.
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.endpoint.0.clone());
        let uri = Uri::from_parts(uri).map_err(|error| Status::internal(error.to_string()))?;
        *request.uri_mut() = uri;
        loop {
            let (mut connection, is_new) = self.connection().await?;
            let mut failed = match connection.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            match failed.take_message() {
                Some(untouched) if !is_new => request = untouched,
                _ => return Err(self.why(&failed.into_error())),
            }
        }
    }

    /// A connection that worked when it was last checked, and whether it is a new one.
    async fn connection(&self) -> Result<(SendRequest<Body>, bool), Status> {
        let mut present = self.connection.lock().await;
        if let Some(connection) = present.as_mut()
            && future::poll_fn(|cx| connection.poll_ready(cx)).await.is_ok()
        {
            return Ok((connection.clone(), false));
        }
        *present = None;
        let late = async {
            Timer::after(CONNECT_TIMEOUT).await;
            Err(Status::unavailable(format!(
                "timed out: {} did not take a connection in {CONNECT_TIMEOUT:?}",
                self.endpoint
            )))
        };
        let connection = self.connect().or(late).await?;
        *present = Some(connection.clone());
        Ok((connection, true))
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Status> {
        let place = &self.endpoint.0;
        let host = place.host().trim_start_matches('[').trim_end_matches(']');
        let addresses = async_net::resolve((host, place.port_u16().unwrap_or_default())).await;
        let addresses = addresses.map_err(|error| {
            Status::unavailable(format!("name not resolved: {host} has no address ({error})"))
        })?;
        let mut last = io::ErrorKind::NotFound.into();
        for address in addresses {
            let stream = match Async::<TcpStream>::connect(address).await {
                Ok(stream) => stream,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let _ = stream.get_ref().set_nodelay(true);
            let mut builder = http2::Builder::new(Spawner);
            builder
                .timer(SmolTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .max_header_list_size(HEADERS_BYTES_MAX);
            let shaken = builder.handshake(FuturesIo::new(stream)).await;
            let (connection, driver) = shaken.map_err(|error| self.why(&error))?;
            smol::spawn(async {
                // The calls that wait for answers get the reason why it ended.
                let _ = driver.await;
            })
            .detach();
            return Ok(connection);
        }
        Err(Status::unavailable(match last.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("connection refused: nobody listens at {place}")
            }
            _ => format!("host unreachable: there is no way to {place} ({last})"),
        }))
    }

    /// The status of a call that got no answer.
    fn why(&self, error: &hyper::Error) -> Status {
        why(error, &self.endpoint)
    }
}

impl fmt::Debug for ChannelShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelShared").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Runs the tasks that hyper needs beside a connection.
#[derive(Clone)]
struct Spawner;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, work: F) {
        smol::spawn(work).detach();
    }
}

/// The status by the table of gRPC's "HTTP2 transport mapping": a stream that the server reset
/// gives the code of the reset, and everything else is a lost connection.
fn why(error: &hyper::Error, place: &dyn fmt::Display) -> Status {
    use h2::Reason;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>()
            && error.is_reset()
        {
            let text = format!("{place} has ended the call: {error}");
            return match error.reason() {
                Some(Reason::REFUSED_STREAM) => Status::unavailable(text),
                Some(Reason::CANCEL) => Status::cancelled(text),
                Some(Reason::ENHANCE_YOUR_CALM) => Status::resource_exhausted(text),
                _ => Status::internal(text),
            };
        }
        next = error.source();
    }
    Status::unavailable(format!("connection lost: {place} has ended it before its answer"))
}

/// The body of an answer. It ends with an error at the call's deadline.
pub struct Download {
    incoming: Incoming,
    deadline: Option<Instant>,
    timer: Option<Timer>,
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            return Poll::Ready(frame.map(|it| it.map_err(|error| why(&error, &"the server"))));
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Timer::at(deadline));
        ready!(Pin::new(timer).poll(cx));
        Poll::Ready(Some(Err(timeout::passed())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (text, shown) in [
            ("127.0.0.1:50051", "127.0.0.1:50051"),
            ("http://[::1]:1/", "[::1]:1"),
            ("logging.example:50051", "logging.example:50051"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for bad in ["", "a", ":1", "a:", "a:0", "a:70000", "https://a:1", "u@a:1", "a:1/b", "ü:1"]
        {
            assert!(bad.parse::<Endpoint>().unwrap_err().contains("127.0.0.1:50051"), "{bad}");
        }
    }
}
