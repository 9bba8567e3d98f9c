//! Requests that are answered while they come: both bodies are handed on frame by frame, and an
//! answer may end in trailers. gRPC is served like this; everything else goes to tide, whole.
//!
//! The transport bounds and counts here what it bounds and counts for tide. What a deadline is and
//! how an answer ends in a shutdown is the business of the protocol, which knows better words.

use std::{
    error::Error as StdError,
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
};
use smol::future::FutureExt;

use super::{
    body::{Answer, Source},
    exchange::{self, Exchange},
    limits::{BODIES_BYTES_MAX, UNREAD_WAIT},
};
use crate::serve::{drain::Shutdown, time::within};

/// An application that takes requests as they come.
#[derive(Clone)]
pub(crate) struct Streamed {
    /// Which requests it takes; all others are tide's.
    pub(crate) takes: fn(&Request<Incoming>) -> bool,
    pub(crate) respond: Arc<Respond>,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").finish_non_exhaustive()
    }
}

/// Makes an answer. The shutdown is for those that last.
pub(crate) type Respond = dyn Fn(Request<Upload>, &Shutdown) -> Responding + Send + Sync;

/// An answer in the making.
pub(crate) type Responding = Pin<Box<dyn Future<Output = Response<Frames>> + Send>>;

/// The body of an answer.
pub(crate) type Frames = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// Whatever has gone wrong.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Hands one request on, and its answer back.
pub(super) async fn answer(
    streamed: &Streamed,
    mut exchange: Exchange,
    request: Request<Incoming>,
) -> Response<Answer> {
    let worker = exchange.worker();
    let (held, unread) = (worker.bodies_bytes.clone(), Unread::default());
    let upload = |it| Upload { incoming: Some(it), unread: unread.clone(), held, bytes: 0 };
    let mut request = request.map(upload);
    if let Some(trace) = exchange.trace() {
        request.extensions_mut().insert(trace.clone());
    }
    let responding = (streamed.respond)(request, &worker.shutdown);
    let (mut head, source) = match AssertUnwindSafe(responding).catch_unwind().await {
        Ok(response) => {
            let (head, frames) = response.into_parts();
            (head, Source::Frames(frames))
        }
        Err(_panic) => {
            let mut head = Response::new(()).into_parts().0;
            head.status = StatusCode::INTERNAL_SERVER_ERROR;
            (head, Source::Whole(Bytes::new()))
        }
    };
    let left = unread.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut left) = left {
        if source.is_over() {
            within(UNREAD_WAIT, exchange::discard(&mut left)).await;
        }
        *unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }
    exchange.keep(unread);
    exchange.answers(head.status, &mut head.headers);
    Response::from_parts(head, Answer::new(source, exchange))
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

/// What an application did not care to read. If it were dropped before the answer is out, the
/// answer would be cancelled; and some clients do not look at an answer while they upload.
pub(super) type Unread = Arc<Mutex<Option<Incoming>>>;

/// All requests together hold as much as they may.
#[derive(Debug, thiserror::Error)]
#[error("the server holds too many bytes of requests already: try again later")]
pub(crate) struct TooMuch;

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
            *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = self.incoming.take();
        }
    }
}
