//! A tide application as a [`Front`]: it is called when the whole request is there.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc};

use hyper::{HeaderMap, Response, StatusCode, http::request};
use smol::future::FutureExt;
use tide::{Body, http as tide_http};

use super::{
    bodies::pieces,
    convert, cors,
    exchange::Exchange,
    front::{Answering, Front, SharedFront},
    pieces::{Pieces, Source},
    refusal::{self, Refusal},
};
use crate::serve::time::within;

/// An answer that is lost on purpose: its request was handled, and the connection is closed without
/// an answer (over HTTP/2 it is the stream that is reset). The access log shows `-`.
pub fn lost() -> tide::Response {
    let mut answer = tide::Response::new(tide::StatusCode::Ok);
    answer.insert_ext(IsLost);
    answer
}

/// Why an answer refuses something, for the access log. It goes into the answer's extensions.
pub(crate) struct Cause(pub(crate) String);

/// The mark of a [`lost`] answer.
struct IsLost;

/// An application, for as long as the process lives.
struct App<S: 'static>(&'static tide::Server<S>);

/// Has an application answer every request.
pub(super) fn front<S>(app: tide::Server<S>) -> SharedFront
where
    S: Clone + Send + Sync + 'static,
{
    // tide's answers borrow the application; a service has one for its whole life.
    Arc::new(App(Box::leak(Box::new(app))))
}

impl<S: Clone + Send + Sync + 'static> Front for App<S> {
    fn takes(&self, _: &request::Parts) -> bool {
        true
    }

    fn answer<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        head: &'a mut request::Parts,
    ) -> Answering<'a> {
        // What need not wait is no future of its own: each would be moved in memory several times.
        Box::pin(async move {
            let mut request = request(exchange, head)?;
            if exchange.has_body() {
                request.replace_body(receive(exchange).await?);
            }
            let limit = exchange.options().request_timeout;
            let answering = pin!(AssertUnwindSafe(self.0.respond(request)).catch_unwind());
            let answered = within(limit, answering).await.ok_or(StatusCode::REQUEST_TIMEOUT)?;
            let answer: tide_http::Response = match answered.map_err(|_panic| Refusal::Failed)? {
                Err(error) => tide_http::Response::new(error.status()),
                Ok(answer) => answer,
            };
            // The request's headers have been read: the answer's go into their memory.
            hand_on(exchange, answer, std::mem::take(&mut head.headers))
        })
    }
}

/// The mark of a request that a page of an origin has sent which `--cors` names.
struct FromAllowedOrigin;

/// Whether a page of an origin has sent the request which `--cors` names.
pub(crate) fn is_of_allowed_origin<S>(request: &tide::Request<S>) -> bool {
    request.ext::<FromAllowedOrigin>().is_some()
}

/// The request as tide sees it, without its body.
fn request(exchange: &Exchange, head: &request::Parts) -> Result<tide_http::Request, Refusal> {
    let options = exchange.options();
    let mut request = convert::request(head, options)?;
    request.set_peer_addr(Some(exchange.client()));
    if let Some(trace) = exchange.trace() {
        request.ext_mut().insert(trace.clone());
    }
    if cors::origin(options, head).is_some() {
        request.ext_mut().insert(FromAllowedOrigin);
    }
    Ok(request)
}

/// All of the request's body.
async fn receive(exchange: &mut Exchange) -> Result<Body, Refusal> {
    let limit = exchange.options().body_timeout();
    let received = within(limit, exchange.receive()).await.ok_or(StatusCode::REQUEST_TIMEOUT)??;
    let (reader, bytes) = received.into_reader();
    Ok(Body::from_reader(reader, Some(bytes)))
}

/// tide's answer as hyper sees it.
fn hand_on(
    exchange: &mut Exchange,
    mut answer: tide_http::Response,
    mut headers: HeaderMap,
) -> Result<Response<Source>, Refusal> {
    if answer.ext().get::<IsLost>().is_some() {
        return Err(Refusal::Lost);
    }
    let (status, closes) = convert::response(&answer, &mut headers).ok_or(Refusal::Failed)?;
    let body = answer.take_body();
    let pieces = pieces(body).map_err(|_| Refusal::Failed)?;
    if closes {
        exchange.connection.state.close();
    }
    if let Some(Cause(cause)) = answer.ext_mut().remove() {
        exchange.explain(cause);
    }
    let is_error = status.is_client_error() || status.is_server_error();
    // tide answers an error with a status and nothing more.
    if is_error && matches!(&pieces, Pieces::Whole(bytes) if bytes.is_empty()) {
        let mut response = refusal::response(status, exchange.options().errors, None);
        response.headers_mut().extend(headers);
        return Ok(response);
    }
    let mut response = Response::new(Source::Pieces(pieces));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
