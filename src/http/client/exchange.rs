//! One request and its answer.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use http_client::http_types;
use hyper::{
    Request, Response,
    body::{Body as _, Bytes, Frame, Incoming},
};
use smol::future;

use super::{
    Deadlines,
    body::{Download, Upload},
    connect::connect,
    connection::{Connection, SendError},
    convert,
    deadline::{Watch, until},
    error::{Cause, ClientError},
    pool::{Peer, Place, Pool},
};

/// Sends a request, and once more if that is safe, and waits for the head of its answer.
pub(super) async fn send(
    pool: &Arc<Pool>,
    deadlines: Deadlines,
    mut request: http_types::Request,
) -> Result<http_types::Response, ClientError> {
    let peer = Peer::new(request.url())?;
    let source_waits = Arc::default();
    let mut watch = Watch::new(deadlines, Arc::clone(&source_waits));
    let head = convert::request(&request)?;
    let body = Upload::new(request.take_body(), source_waits).await.map_err(|error| {
        ClientError::invalid(format_args!("the request's body cannot be read: {error}"))
    })?;
    drop(request);
    let mut request = convert::with_body(head, body);
    let Some(place) = until(watch.end(), pool.place(&peer)).await else {
        let what = format_args!(
            "all connections for {peer} were in use. Read or drop their answers, or allow more"
        );
        return Err(ClientError::new(Cause::TimedOut, what));
    };
    if let Some(mut connection) = place.take() {
        let spare = convert::copy(&request);
        match ask(&mut connection, &mut watch, &peer, request).await {
            Ok(answer) => return receive(answer, Exchange { connection, watch, place }),
            Err(failure) => request = failure.again(spare)?,
        }
    }
    let mut connection = connect(&peer, &watch).await?;
    match ask(&mut connection, &mut watch, &peer, request).await {
        Ok(answer) => receive(answer, Exchange { connection, watch, place }),
        Err(failure) => Err(failure.error),
    }
}

/// Why there is no answer, and what is known about the request.
struct Failure {
    error: ClientError,
    /// The request, if hyper did not touch it.
    untouched: Option<Request<Upload>>,
    /// An idempotent request may be repeated after this, and one that was not sent.
    was_sent: bool,
    had_answer: bool,
}

impl Failure {
    /// The request for the second attempt, or the error if there must not be one.
    fn again(self, spare: Option<Request<Upload>>) -> Result<Request<Upload>, ClientError> {
        let may_repeat = |request: &Request<Upload>| {
            let is_safe = !self.was_sent || (request.method().is_idempotent() && !self.had_answer);
            self.error.cause() == Cause::Reset && is_safe
        };
        self.untouched.or_else(|| spare.filter(may_repeat)).ok_or(self.error)
    }
}

/// Drives the connection until the head of the answer is there.
async fn ask(
    connection: &mut Connection,
    watch: &mut Watch,
    peer: &Peer,
    request: Request<Upload>,
) -> Result<Response<Incoming>, Failure> {
    let mut answer = pin!(connection.send(request));
    let ended = future::poll_fn(|cx| {
        connection.drive(cx);
        match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => watch.poll(cx, peer, connection.link()).map(Err),
        }
    });
    let ended = ended.await;
    watch.rest();
    let link = connection.link();
    let (was_sent, had_answer) = (link.has_sent(), link.has_received());
    let (error, untouched) = match ended {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(failed)) => explain(peer, failed, had_answer),
        Err(late) => (late, None),
    };
    Err(Failure { error: error.sent(was_sent), untouched, was_sent, had_answer })
}

fn explain(
    peer: &Peer,
    mut failed: SendError,
    had_answer: bool,
) -> (ClientError, Option<Request<Upload>>) {
    let untouched = failed.take_message();
    let error = if untouched.is_some() && had_answer {
        ClientError::bad_answer(peer, "something before it was asked")
    } else {
        ClientError::exchanging(peer, &failed.into_error())
    };
    (error, untouched)
}

/// Hands the answer on, with its body still to be read.
fn receive(
    answer: Response<Incoming>,
    exchange: Exchange,
) -> Result<http_types::Response, ClientError> {
    let (head, incoming) = answer.into_parts();
    let mut response = convert::response(&head, exchange.place.peer())?;
    let bytes_max = exchange.place.limits().body_bytes_max;
    let bytes = incoming.size_hint().exact();
    if incoming.is_end_stream() {
        exchange.end();
        return Ok(response);
    }
    if bytes.is_some_and(|bytes| bytes > bytes_max) {
        return Err(exchange.too_large());
    }
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let download = Download::new(exchange, incoming, bytes_max);
    convert::set_body(&mut response, http_types::Body::from_reader(download, bytes));
    Ok(response)
}

/// An exchange whose answer has begun.
pub(super) struct Exchange {
    connection: Connection,
    watch: Watch,
    place: Place,
}

impl Exchange {
    /// Drives the connection until there is something of the body; `None` at its end.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
    ) -> Poll<Result<Option<Frame<Bytes>>, ClientError>> {
        let Self { connection, watch, place } = self;
        watch.check(place.peer()).map_err(|error| error.sent(true))?;
        let mut frame = Pin::new(&mut *incoming).poll_frame(cx);
        if frame.is_pending() {
            connection.drive(cx);
            frame = Pin::new(incoming).poll_frame(cx);
        }
        if frame.is_pending() {
            let late = ready!(watch.poll(cx, place.peer(), connection.link()));
            return Poll::Ready(Err(late.sent(true)));
        }
        watch.rest();
        frame.map(|frame| match frame {
            Some(Err(error)) => {
                // hyper tells its driver more than its body.
                let error = connection.take_failure().unwrap_or(error);
                Err(ClientError::exchanging(place.peer(), &error).sent(true))
            }
            Some(Ok(frame)) => Ok(Some(frame)),
            None => Ok(None),
        })
    }

    pub(super) fn too_large(&self) -> ClientError {
        let bytes_max = self.place.limits().body_bytes_max;
        let what = format_args!("a body of more than {bytes_max} bytes");
        ClientError::too_large(self.place.peer(), what)
    }

    /// Gives the connection back if it can be used again, and closes it if not.
    pub(super) fn end(mut self) {
        if self.connection.is_idle() {
            self.place.give_back(self.connection);
        }
    }
}
