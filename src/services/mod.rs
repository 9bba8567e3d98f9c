//! ANSWERS: the services, each an application and the command that runs it.
//!
//! A service is a file or a folder of the same four parts: its `Arguments`, as its help shows them;
//! `run`, the command; `defaults`, such as its port; and `app`, what it answers.

pub mod api;
pub mod caller;
pub mod echo;
pub mod facade;
pub mod form;
pub mod hello;
pub mod logging;
pub mod messages;
mod outgoing;
pub mod raw_api;
mod retry;

use argh::FromArgs;
use serde::{Serialize, de::DeserializeOwned};
use tide::{
    Body, Endpoint, Request, Response, StatusCode,
    http::headers::{ALLOW, CONTENT_TYPE},
};

use crate::{
    cli::{self, Exit, UsageError},
    http::{self, Options},
};

/// How each service starts: reads the command line and the environment, and hands to `serve` what is
/// the service's own and what all services share. `serve` blocks until the service has ended.
fn start<A: FromArgs>(
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

/// Lets `endpoint` answer GET and HEAD of a path. Other methods are answered 405.
fn at_get(app: &mut tide::Server<()>, path: &str, endpoint: impl Endpoint<()> + Clone) {
    let mut route = app.at(path);
    route.get(endpoint.clone()).head(endpoint).all(|_| async {
        Ok(Response::builder(StatusCode::MethodNotAllowed).header(ALLOW, "GET, HEAD").build())
    });
}

/// An answer in JSON.
fn json(status: StatusCode, value: &impl Serialize) -> tide::Result {
    Ok(Response::builder(status)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from_json(value)?)
        .build())
}

/// Reads a body in JSON, which must be an object: serde would also take a list of the object's values.
fn object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
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

/// What `/health` says of a service that answers.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

const OK: Health = Health { status: "ok" };
