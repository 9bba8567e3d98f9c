//! What every service answers about itself, in front of its application: `/`, `/ready`, `/metrics`.
//!
//! `/health` is the application's: it says that the process answers. `/ready` says whether it should be
//! sent requests: not when it has been told to end, and not when what it needs is not there.

use std::{pin::Pin, sync::Arc};

use hyper::{
    Method, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
    http::request,
};

use super::{
    convert,
    exchange::Exchange,
    front::{Answering, Front},
    pieces::{Pieces, Source},
    refusal::{self, Refusal},
};
use crate::serve::{About, exposition::CONTENT_TYPE, time::within};

/// Whether what a service needs is there; if not, why. It is asked anew each time.
pub type Probe = Arc<dyn Fn() -> Probing + Send + Sync>;

/// A question to what a service needs.
pub type Probing = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

const JSON: &str = "application/json";
/// Seconds after which it is worth while to ask again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// The front.
pub(super) struct Status {
    about: Option<&'static About>,
    probe: Option<Probe>,
}

impl Status {
    /// Without a probe, a service is ready until it is told to end.
    pub(super) fn new(about: Option<&'static About>, probe: Option<Probe>) -> Self {
        Self { about, probe }
    }

    /// Why the service is not ready, if it is not.
    async fn ready(&self, exchange: &Exchange) -> Result<(), String> {
        if exchange.shutdown().is_told() {
            return Err(ENDING.into());
        }
        let Some(probe) = &self.probe else { return Ok(()) };
        let asked = within(exchange.options().request_timeout, probe()).await;
        asked.unwrap_or_else(|| Err("what this service needs does not answer in time".into()))
    }
}

/// Why a service that has been told to end is not ready.
pub(crate) const ENDING: &str = "this service has been told to end";

impl Front for Status {
    /// An application that says nothing at `/` answers other methods itself.
    fn takes(&self, head: &request::Parts) -> bool {
        let is_read = head.method == Method::GET || head.method == Method::HEAD;
        match head.uri.path() {
            "/ready" | "/metrics" => is_read || self.about.is_some(),
            // `OPTIONS *` asks the server as a whole.
            "/" | "*" => self.about.is_some(),
            _ => false,
        }
    }

    fn answer<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        head: &'a mut request::Parts,
    ) -> Answering<'a> {
        Box::pin(async {
            // What is no good request for the application is none here.
            let shared = exchange.connection.shared.clone();
            convert::request(head, &shared.options)?;
            if head.method != Method::GET && head.method != Method::HEAD {
                let errors = shared.options.errors;
                let mut refused = refusal::response(StatusCode::METHOD_NOT_ALLOWED, errors, None);
                refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                return Ok::<_, Refusal>(refused);
            }
            Ok(match (head.uri.path(), self.about) {
                ("/metrics", _) => answer(200, CONTENT_TYPE, exchange.metrics().text()),
                ("/" | "*", Some(about)) => {
                    let accept = head.headers.get(header::ACCEPT);
                    let (kind, page) = about.page(accept.and_then(|it| it.to_str().ok()));
                    let mut response = answer(200, kind, page);
                    let vary = HeaderValue::from_static("Accept");
                    response.headers_mut().insert(header::VARY, vary);
                    response
                }
                _ => {
                    let (status, body) = readiness(self.ready(exchange).await);
                    answer(status, JSON, body)
                }
            })
        })
    }
}

/// The status and the body of the answer to `/ready`.
pub(crate) fn readiness(ready: Result<(), String>) -> (u16, String) {
    match ready {
        Ok(()) => (200, r#"{"status":"ok"}"#.into()),
        Err(why) => {
            // A text is always JSON.
            let why = serde_json::to_string(&why).unwrap_or_default();
            let body = format!(r#"{{"status":"unavailable","error":{why}}}"#);
            (503, body)
        }
    }
}

fn answer(status: u16, kind: &'static str, body: String) -> Response<Source> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Source::Pieces(Pieces::Whole(Bytes::from(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_S);
    }
    response
}
