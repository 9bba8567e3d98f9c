//! An exchange whose answer has begun, and the body of the answer, which drives it to its end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body as _, Bytes, Frame, Incoming};
use smol::io::{AsyncBufRead, AsyncRead};

use super::{
    connection::ClientConnection, deadline::Watch, error::ClientError, peer::Peer,
    pool::ConnectionPermit,
};
use crate::http::pieces::poll_buffered;

/// An exchange whose answer has begun.
pub(super) struct ClientExchange {
    connection: ClientConnection,
    watch: Watch,
    permit: ConnectionPermit,
}

impl ClientExchange {
    pub(super) fn new(
        connection: ClientConnection,
        watch: Watch,
        permit: ConnectionPermit,
    ) -> Self {
        Self { connection, watch, permit }
    }

    pub(super) fn peer(&self) -> &Peer {
        self.permit.peer()
    }

    /// Bytes that the answer's body may have.
    pub(super) fn body_bytes_max(&self) -> u64 {
        self.permit.limits().body_bytes_max
    }

    /// Drives the connection until there is something of the body; `None` at its end.
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
    ) -> Poll<Result<Option<Frame<Bytes>>, ClientError>> {
        let Self { connection, watch, permit } = self;
        watch.check(permit.peer()).map_err(|error| error.sent(true))?;
        let mut frame = Pin::new(&mut *incoming).poll_frame(cx);
        if frame.is_pending() {
            connection.drive(cx);
            frame = Pin::new(incoming).poll_frame(cx);
        }
        if frame.is_pending() {
            let late = ready!(watch.poll(cx, permit.peer(), connection.link()));
            permit.distrust(watch.began());
            return Poll::Ready(Err(late.sent(true)));
        }
        watch.rest();
        frame.map(|frame| match frame {
            Some(Err(error)) => {
                // hyper's driver has a more precise error than its body.
                let error = connection.take_failure().unwrap_or(error);
                Err(ClientError::exchanging(permit.peer(), &error).sent(true))
            }
            Some(Ok(frame)) => Ok(Some(frame)),
            None => Ok(None),
        })
    }

    pub(super) fn too_large(&self) -> ClientError {
        let bytes_max = self.body_bytes_max();
        let what = format_args!("a body of more than {bytes_max} bytes");
        ClientError::too_large(self.permit.peer(), what)
    }

    /// Gives the connection back if it can be used again, and closes it if not.
    pub(super) fn end(mut self) {
        if self.connection.is_idle() {
            self.permit.give_back(self.connection);
        }
    }
}

/// The body of an answer, with all that it takes to read it to its end. There, or when it is
/// dropped, the connection goes back to the pool, if nothing of the exchange is left in it.
pub(super) struct Download {
    /// `None` when it is over.
    going: Option<(ClientExchange, Incoming)>,
    piece: Bytes,
    bytes_left: u64,
    /// The error, for a caller that reads on after it.
    failed: Option<ClientError>,
}

impl Download {
    pub(super) fn new(exchange: ClientExchange, incoming: Incoming, bytes_max: u64) -> Self {
        let going = Some((exchange, incoming));
        Self { going, piece: Bytes::new(), bytes_left: bytes_max, failed: None }
    }

    /// The next piece is here, or the end, or an error.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        while self.piece.is_empty()
            && let Some((exchange, incoming)) = &mut self.going
        {
            let Some(frame) = ready!(exchange.poll_frame(cx, incoming))? else {
                self.end();
                break;
            };
            let Ok(piece) = frame.into_data() else { continue };
            let Some(left) = self.bytes_left.checked_sub(piece.len() as u64) else {
                return Poll::Ready(Err(exchange.too_large()));
            };
            self.bytes_left = left;
            self.piece = piece;
            // A reader that knows the length does not ask for the end.
            if incoming.is_end_stream() {
                self.end();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        if let Some((exchange, incoming)) = self.going.take() {
            // hyper then throws away what is left of it, if that has already arrived.
            drop(incoming);
            exchange.end();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsyncBufRead for Download {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.failed.is_none()
            && let Err(error) = ready!(this.poll_piece(cx))
        {
            // The connection cannot be used again.
            this.going = None;
            this.failed = Some(error);
        }
        Poll::Ready(match &this.failed {
            Some(error) => Err(error.clone().into()),
            None => Ok(&this.piece),
        })
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        let bytes = bytes.min(self.piece.len());
        let _ = self.piece.split_to(bytes);
    }
}

impl AsyncRead for Download {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_buffered(self, cx, out)
    }
}
