//! From a request to its answer, whichever front makes it.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    header::{self, HeaderValue},
};
use smol::future::FutureExt;

use super::{
    connection::HttpConnection,
    cors,
    exchange::Exchange,
    front::ThreadFronts,
    heads::has_two_hosts,
    limits::LINGER,
    pieces::{BoxError, Pieces, Source},
    refusal::{self, Lost, Refusal},
};
use crate::serve::time::within;

/// Answers one request. hyper calls this.
pub(super) async fn answer(
    connection: Rc<HttpConnection>,
    fronts: Rc<ThreadFronts>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Lost> {
    let (mut head, body) = request.into_parts();
    let is_head = head.method == Method::HEAD;
    let is_h2 = head.version == Version::HTTP_2;
    let is_old = head.version == Version::HTTP_10;
    let mut exchange = Exchange::begin(connection, &head, body);
    let origin = cors::origin(exchange.options(), &head);
    let answered = if is_h2 && has_two_hosts(&head) {
        Err(Refusal::bad("the Host header differs from :authority"))
    } else if let Some(allowed) = cors::preflight(origin.as_ref(), &head) {
        Ok(allowed)
    } else {
        let answering = fronts.of(&head).answer(&mut exchange, &mut head);
        let answered = AssertUnwindSafe(answering).catch_unwind().await;
        answered.unwrap_or_else(|_panic| {
            exchange.connection.state.close();
            Err(Refusal::Failed)
        })
    };
    let response = match answered {
        Ok(response) => response,
        Err(Refusal::Lost) => return Err(Lost),
        Err(Refusal::Failed) => {
            refusal::response(StatusCode::INTERNAL_SERVER_ERROR, exchange.options().errors, None)
        }
        Err(Refusal::Status(status, cause)) => {
            if let Some(cause) = cause {
                exchange.explain(cause);
            }
            if is_h2 && status != StatusCode::REQUEST_TIMEOUT {
                within(LINGER, exchange.discard_body()).await;
            }
            exchange.connection.state.close();
            refusal::response(status, exchange.options().errors, cause)
        }
    };
    let (mut head, source) = response.into_parts();
    let source = match is_head {
        // Of what the client has, the length would be that of the whole.
        true if head.status == StatusCode::NOT_MODIFIED => {
            Source::Pieces(Pieces::Whole(Bytes::new()))
        }
        true => without_body(&mut head.headers, source),
        false => source,
    };
    if !is_h2 {
        // HTTP/1.0 has no chunks: what has no length ends with the connection.
        if is_old && source.size_hint().exact().is_none() {
            exchange.connection.state.close();
        }
        if exchange.connection.is_last_answer() {
            // Else hyper would say `keep-alive` as well to such a client that asks for it.
            if is_old {
                head.version = Version::HTTP_10;
            }
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        exchange.drop_body();
    }
    if exchange.options().cors.is_some() {
        cors::allow(exchange.options(), origin, &mut head.headers);
    }
    exchange.answers(head.status, &mut head.headers);
    Ok(Response::from_parts(head, Answer { source, exchange }))
}

/// The answer to HEAD has the headers of GET, the length included, and no body.
fn without_body(headers: &mut HeaderMap, source: Source) -> Source {
    // What makes its own frames may have no length to promise.
    if !matches!(source, Source::Frames(_))
        && let Some(bytes) = source.size_hint().exact()
    {
        // A front that knows the length of a body which it did not read has said it.
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| bytes.into());
    }
    Source::Pieces(Pieces::Whole(Bytes::new()))
}

/// The body of an answer. When hyper drops it, the exchange is over.
pub(super) struct Answer {
    source: Source,
    exchange: Exchange,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { source, exchange } = &mut *self;
        let pieces = match source {
            Source::Pieces(pieces) => pieces,
            Source::Frames(_) | Source::Own(_) => {
                let frame = match source {
                    Source::Frames(frames) => frames.as_mut().poll_frame(cx),
                    Source::Own(frames) => frames.as_mut().poll_frame(cx),
                    Source::Pieces(_) => Poll::Ready(None),
                };
                exchange.waits(frame.is_pending());
                if let Poll::Ready(Some(Ok(frame))) = &frame {
                    exchange.sent(frame.data_ref().map_or(0, Bytes::len));
                    frame.trailers_ref().inspect(|trailers| exchange.ends_with(trailers));
                }
                return frame;
            }
        };
        let piece = pieces.poll_piece(cx);
        if let Pieces::Reader(..) = pieces {
            exchange.waits(piece.is_pending());
        }
        Poll::Ready(match ready!(piece) {
            Err(error) => Some(Err(error.into())),
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => {
                exchange.sent(piece.len());
                Some(Ok(Frame::data(piece)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Pieces(pieces) => pieces.is_over(),
            Source::Frames(frames) => frames.is_end_stream(),
            Source::Own(frames) => frames.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
