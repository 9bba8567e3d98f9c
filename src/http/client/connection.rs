//! One connection: hyper's two halves of it, one that takes requests and one that does the work,
//! kept together so that the future that waits for an answer also drives it.

use std::{
    io,
    net::TcpStream,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_io::Async;
use hyper::{Request, client::conn::http1};

use super::{
    socket::{Link, Socket},
    upload::Upload,
};

/// Bytes of an answer's head at most, and of what is read ahead of a body.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// What hyper returns for a request that failed: why, and the request if it was not touched.
pub(super) type SendError = hyper::client::conn::TrySendError<Request<Upload>>;

pub(super) struct ClientConnection {
    sender: http1::SendRequest<Upload>,
    /// `None` when it has done all it can.
    driver: Option<http1::Connection<Socket, Upload>>,
    /// Why the driver ended, if it failed.
    failed: Option<hyper::Error>,
    link: Arc<Link>,
}

impl ClientConnection {
    /// A connection over a stream that is connected.
    pub(super) async fn new(stream: Async<TcpStream>) -> io::Result<Self> {
        stream.get_ref().set_nodelay(true)?;
        let link = Arc::new(Link::new(stream));
        let mut builder = http1::Builder::new();
        // Of what old servers send, a client has to read folded headers, and may read those with
        // blanks before the colon (RFC 9112, sections 5.1 and 5.2).
        builder
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(BUFFER_BYTES_MAX)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true);
        // This sends nothing and waits for nothing.
        let shaken = builder.handshake(Socket::new(link.clone())).await;
        let (sender, driver) = shaken.map_err(io::Error::other)?;
        Ok(Self { sender, driver: Some(driver), failed: None, link })
    }

    /// The socket's state, which it shares with hyper.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Hands a request to hyper. The answer comes while the connection is driven.
    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<hyper::Response<hyper::body::Incoming>, SendError>> + use<>
    {
        self.link.begin();
        self.sender.try_send_request(request)
    }

    /// Reads and writes what can be without blocking.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && let Poll::Ready(ended) = Pin::new(driver).poll(cx)
        {
            self.driver = None;
            self.failed = ended.err();
        }
    }

    /// Why it broke, if no answer or body has reported that.
    pub(super) fn take_failure(&mut self) -> Option<hyper::Error> {
        self.failed.take()
    }

    /// Whether it could take a request now: the last one and its answer are complete.
    pub(super) fn is_idle(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.drive(&mut Context::from_waker(Waker::noop()));
        }
        self.driver.is_some() && self.sender.is_ready()
    }
}
