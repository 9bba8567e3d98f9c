//! Sends a request, once more if that is safe, and waits for the head of its answer.

use std::{pin::pin, sync::Arc, task::Poll};

use http_client::http_types;
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
};
use smol::future;

use super::{
    connect::connect,
    connection::{ClientConnection, SendError},
    convert,
    deadline::{Deadlines, Watch, until},
    download::{ClientExchange, Download},
    error::{Cause, ClientError},
    peer::Peer,
    pool::Pool,
    upload::Upload,
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
    let body = Upload::new(request.take_body(), source_waits).map_err(|error| {
        ClientError::invalid(format_args!("the request's body cannot be read: {error}"))
    })?;
    drop(request);
    let mut request = convert::with_body(head, body);
    let Some(permit) = until(watch.end(), pool.permit(&peer)).await else {
        let what = format_args!(
            "all connections for {peer} were in use. Read or drop their answers, or allow more"
        );
        return Err(ClientError::new(Cause::TimedOut, what));
    };
    if let Some(mut connection) = permit.take() {
        let spare = convert::copy(&request);
        match ask(&mut connection, &mut watch, &peer, request).await {
            Ok(answer) => return receive(answer, ClientExchange::new(connection, watch, permit)),
            Err(failure) => {
                if failure.error.cause() == Cause::TimedOut {
                    permit.distrust(watch.began());
                }
                request = failure.again(spare)?;
            }
        }
    }
    let mut connection = connect(&peer, &watch).await?;
    match ask(&mut connection, &mut watch, &peer, request).await {
        Ok(answer) => receive(answer, ClientExchange::new(connection, watch, permit)),
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
    connection: &mut ClientConnection,
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
        ClientError::bad_answer(peer, "bytes before it was asked")
    } else {
        ClientError::exchanging(peer, &failed.into_error())
    };
    (error, untouched)
}

/// Passes the answer on, with its body still to be read.
fn receive(
    answer: Response<Incoming>,
    exchange: ClientExchange,
) -> Result<http_types::Response, ClientError> {
    let (head, incoming) = answer.into_parts();
    let mut response = convert::response(&head, exchange.peer())?;
    let bytes_max = exchange.body_bytes_max();
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
