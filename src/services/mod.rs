//! ANSWERS: the services, each an application and the command that runs it.
//!
//! Each service is a file or a folder with the same four parts: its `Arguments`, as its help shows
//! them; `run`, the command; `defaults`, such as its port; and `app`, what it answers.

pub mod api;
pub mod caller;
pub mod echo;
#[cfg(feature = "grpc")]
pub mod facade;
pub mod form;
pub mod hello;
#[cfg(feature = "grpc")]
pub mod logging;
pub mod messages;
mod outgoing;
pub mod raw_api;
mod retry;
#[cfg(feature = "grpc")]
mod same_origin;

use argh::{ArgsInfo, FromArgs};
use serde::{Serialize, de::DeserializeOwned};
use tide::{
    Body, Endpoint, Request, Response, StatusCode,
    http::headers::{ALLOW, CONTENT_TYPE},
};

use crate::{
    cli::{self, Exit, UsageError},
    http::{self, Cause, ErrorForm, Options},
    http1::head,
};

const JSON: &str = "application/json";

/// How each service starts: reads the command line and the environment, and passes the service's
/// own settings and the shared ones to `serve`. `serve` blocks until the service has ended.
fn start<A: FromArgs + ArgsInfo>(
    name: &str,
    args: &[String],
    defaults: Options,
    serve: impl FnOnce(A, Options) -> Result<Exit, UsageError>,
) -> Exit {
    match http::parse::<A>(name, args, defaults) {
        Ok((own, shared)) => serve(own, shared).unwrap_or_else(|error| cli::usage(name, &error)),
        Err(exit) => exit,
    }
}

/// Lets `endpoint` answer GET and HEAD of a path.
fn at_get(app: &mut tide::Server<()>, path: &str, endpoint: impl Endpoint<()> + Clone) {
    let mut route = app.at(path);
    route.get(endpoint.clone()).head(endpoint);
    refuse_others(&mut route, "GET, HEAD");
}

/// Answers 405 to the methods that a route does not have; `allowed` are those that it has.
fn refuse_others(route: &mut tide::Route<'_, ()>, allowed: &'static str) {
    route.all(move |_| async move {
        Ok(Response::builder(StatusCode::MethodNotAllowed).header(ALLOW, allowed).build())
    });
}

/// Answers `GET /health`, for a service that is healthy as long as it answers.
fn add_health(app: &mut tide::Server<()>) {
    at_get(app, "/health", |_| async { json(StatusCode::Ok, &OK) });
}

/// An answer of this type.
fn answer(status: StatusCode, content_type: &str, body: impl Into<Body>) -> Response {
    // The type comes first, so that the body does not bring its own.
    Response::builder(status).header(CONTENT_TYPE, content_type).body(body).build()
}

/// An answer in JSON.
fn json(status: StatusCode, value: &impl Serialize) -> tide::Result {
    Ok(answer(status, JSON, Body::from_json(value)?))
}

/// An answer in JSON that refuses something, in the form of the transport's own
/// ([`ErrorForm::Problem`]); the access log has `detail` as its cause. `more` is added to it.
fn problem(status: StatusCode, detail: String, more: impl Serialize) -> tide::Result {
    #[derive(Serialize)]
    struct Problem<'a, T> {
        title: &'a str,
        status: u16,
        detail: &'a str,
        error: &'a str,
        #[serde(flatten)]
        more: T,
    }
    let (title, number) = (status.canonical_reason(), status as u16);
    let body = Problem { title, status: number, detail: &detail, error: &detail, more };
    let mut answer = answer(status, ErrorForm::Problem.content_type(), Body::from_json(&body)?);
    answer.insert_ext(Cause(detail));
    Ok(answer)
}

/// Whether a body has a `Content-Encoding`, as `gzip`: nothing here can read it.
fn is_coded(request: &Request<()>) -> bool {
    const NAME: &str = "content-encoding";
    let codings = request.header(NAME);
    http::is_left_out(request, NAME)
        || codings
            .is_some_and(|codings| codings.iter().any(|it| head::is_coded(it.as_str().as_bytes())))
}

/// Why a body is refused that [is coded](is_coded).
const CODED: &str = "send the body without a Content-Encoding";

/// JSON without the byte order mark that some programs write before it, and that RFC 8259 lets a
/// reader ignore.
fn without_bom(json: &[u8]) -> &[u8] {
    json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json)
}

/// Reads a body in JSON, which must be an object: serde would also take a list of the object's values.
fn object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    let body = without_bom(body);
    match body.trim_ascii_start().first() {
        Some(b'[') => Err(serde::de::Error::custom("a list is no object")),
        _ => serde_json::from_slice(body),
    }
}

/// The first value of a parameter in the query, decoded as a form is; empty if there is none.
/// Bytes that are not UTF-8 become U+FFFD.
fn parameter(request: &Request<()>, name: &str) -> String {
    let mut pairs = request.url().query_pairs();
    pairs.find(|(key, _)| key == name).map_or_else(String::new, |(_, value)| value.into_owned())
}

/// What `/health` says about a service that answers.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

const OK: Health = Health { status: "ok" };
