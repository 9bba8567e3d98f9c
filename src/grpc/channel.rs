//! A client's connection to a gRPC server.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_io::Timer;
use hyper::{
    Request, Response, Uri,
    body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint},
    http::uri::{Authority, Scheme},
};
use smol::{future::FutureExt, lock::Mutex};
use tonic::{Status, body::Body, codegen::Service};

use super::{
    connection::{CannotConnect, GrpcConnection},
    limits::CONNECT_TIMEOUT,
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
///
/// If a deadline passes while the connection is silent, the next call opens another: nothing tells a
/// dead connection from a slow server. Calls that wait for answers on the old one go on.
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
            let deadline = timeout::of(request.headers())?.and_then(Deadline::after);
            let mut used = None;
            let answered = async { Some(shared.ask(request, &mut used).await) };
            let late = async {
                deadline.map_or_else(Timer::never, |it| Timer::at(it.at)).await;
                None
            };
            let answered = answered.or(late).await;
            match (answered, used) {
                (Some(Ok(response)), Some(connection)) => {
                    connection.heard();
                    Ok(response.map(|incoming| Download {
                        incoming,
                        connection,
                        deadline,
                        timer: None,
                    }))
                }
                (Some(Err(status)), _) => Err(status),
                (_, connection) => {
                    if let (Some(connection), Some(deadline)) = (connection, deadline) {
                        deadline.blame(&connection);
                    }
                    Err(timeout::passed())
                }
            }
        })
    }
}

/// When a call must have come to its end, and how long it had.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    /// `None`: it is too far ahead for the clock.
    fn after(timeout: Duration) -> Option<Self> {
        Some(Self { at: Instant::now().checked_add(timeout)?, timeout })
    }

    /// It has passed while this connection was used.
    fn blame(self, connection: &GrpcConnection) {
        connection.late(self.at, self.timeout);
    }
}

struct ChannelShared {
    endpoint: Endpoint,
    /// The present one. The call that opens the next one holds the lock: others would open one too.
    connection: Mutex<Option<Arc<GrpcConnection>>>,
}

impl ChannelShared {
    /// Waits for the head of the answer; `used` is the connection over which it is to come.
    async fn ask(
        &self,
        mut request: Request<Body>,
        used: &mut Option<Arc<GrpcConnection>>,
    ) -> Result<Response<Incoming>, Status> {
        // HTTP/2 needs the whole URI, and tonic gives the path.
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.endpoint.0.clone());
        let uri = Uri::from_parts(uri).map_err(|error| Status::internal(error.to_string()))?;
        *request.uri_mut() = uri;
        loop {
            let (connection, is_new) = self.connection().await?;
            let mut sender = connection.sender();
            *used = Some(connection);
            let mut failed = match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            match failed.take_message() {
                Some(untouched) if !is_new => request = untouched,
                _ => return Err(self.why(&failed.into_error())),
            }
        }
    }

    /// A connection that works as far as is known, and whether it is a new one.
    async fn connection(&self) -> Result<(Arc<GrpcConnection>, bool), Status> {
        let mut present = self.connection.lock().await;
        if let Some(connection) = &*present
            && connection.is_good()
        {
            return Ok((connection.clone(), false));
        }
        let suspect = present.as_ref().filter(|it| it.is_suspect()).map(|it| it.address());
        let late = async {
            Timer::after(CONNECT_TIMEOUT).await;
            Err(Status::unavailable(format!(
                "timed out: {} did not take a connection in {CONNECT_TIMEOUT:?}",
                self.endpoint
            )))
        };
        let connection = Arc::new(self.connect(suspect).or(late).await?);
        *present = Some(connection.clone());
        Ok((connection, true))
    }

    /// Opens a connection. An address that was silent before is the last that is tried.
    async fn connect(&self, silent: Option<SocketAddr>) -> Result<GrpcConnection, Status> {
        let place = &self.endpoint.0;
        let host = place.host().trim_start_matches('[').trim_end_matches(']');
        let addresses = async_net::resolve((host, place.port_u16().unwrap_or_default())).await;
        let mut addresses = addresses.map_err(|error| {
            Status::unavailable(format!("name not resolved: {host} has no address ({error})"))
        })?;
        addresses.sort_by_key(|address| Some(*address) == silent);
        GrpcConnection::open(&addresses).await.map_err(|error| match error {
            CannotConnect::Hyper(error) => self.why(&error),
            CannotConnect::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Status::unavailable(format!("connection refused: nobody listens at {place}"))
            }
            CannotConnect::Io(error) => Status::unavailable(format!(
                "host unreachable: there is no way to {place} ({error})"
            )),
        })
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
    connection: Arc<GrpcConnection>,
    deadline: Option<Deadline>,
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
            self.connection.heard();
            return Poll::Ready(frame.map(|it| it.map_err(|error| why(&error, &"the server"))));
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Timer::at(deadline.at));
        ready!(Pin::new(timer).poll(cx));
        deadline.blame(&self.connection);
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
