//! Requests that are answered while they come: both bodies are passed on frame by frame, and an
//! answer may end in trailers. gRPC is served like this.
//!
//! The transport bounds and counts here what it bounds and counts for tide. Deadlines, and how an
//! answer ends in a shutdown, are left to the protocol, which has statuses for them.

use std::{
    future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    http::request,
};

use super::{
    exchange::{self, Exchange, Unread},
    limits::BODIES_BYTES_MAX,
    pieces::{BoxError, Frames, Source},
};
use crate::serve::time::within;

/// When an answer is complete before its request is, how long the rest of the request is read
/// before the answer goes, where both may come at the same time.
const UNREAD_WAIT: Duration = Duration::from_millis(100);

/// Has `respond` answer a request whose body is still to come.
pub(crate) async fn answer<F: Future<Output = Response<Frames>>>(
    exchange: &mut Exchange,
    head: &mut request::Parts,
    respond: impl FnOnce(Request<Upload>) -> F,
) -> Response<Source> {
    let (upload, unread) = take_over(exchange);
    let (empty, ()) = Request::new(()).into_parts();
    let mut request = Request::from_parts(std::mem::replace(head, empty), upload);
    if let Some(trace) = exchange.trace() {
        request.extensions_mut().insert(trace.clone());
    }
    let response = respond(request).await;
    if let Some(mut left) = exchange::take(&unread) {
        if response.body().is_end_stream() {
            within(UNREAD_WAIT, exchange::discard(&mut left)).await;
        }
        exchange::keep(&unread, Some(left));
    }
    response.map(Source::Frames)
}

/// The body of a request, for a front that reads it as it comes.
pub(crate) fn upload(exchange: &mut Exchange) -> Upload {
    take_over(exchange).0
}

fn take_over(exchange: &mut Exchange) -> (Upload, Unread) {
    let (incoming, unread, held) = exchange.hand_over_body();
    (Upload { incoming, unread: unread.clone(), held, bytes: 0 }, unread)
}

/// The body of a request on its way in: a [`Body`] of hyper's. Its bytes count against what the
/// server holds until it is dropped, and it fails when that is too much.
pub struct Upload {
    /// `None` when it has gone to `unread`.
    incoming: Option<Incoming>,
    unread: Unread,
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Upload {
    /// Reads the rest, and keeps nothing of it.
    pub(crate) async fn discard(mut self) {
        while let Some(Ok(_)) = future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            self.release(self.bytes);
        }
    }

    /// The receiver no longer has so many of the bytes that it was given. They are not counted any more.
    pub(crate) fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.held.fetch_sub(bytes, Relaxed);
        self.bytes -= bytes;
    }
}

/// All requests together hold as much memory as they may.
#[derive(Debug, thiserror::Error)]
#[error("the server holds too many bytes of requests already: try again later")]
struct TooMuch;

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let held = self.held.fetch_add(data.len(), Relaxed);
            self.bytes += data.len();
            if held + data.len() > BODIES_BYTES_MAX {
                return Poll::Ready(Some(Err(TooMuch.into())));
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Relaxed);
        if !self.is_end_stream() {
            let left = self.incoming.take();
            exchange::keep(&self.unread, left);
        }
    }
}
