//! ANSWERS: the services, each a tide application and the command that runs it.

pub mod api;
pub mod caller;
pub mod echo;
pub mod facade;
pub mod form;
pub mod hello;
pub mod limits;
pub mod logging;
pub mod messages;
mod outgoing;
pub mod raw_api;
mod retry;

use serde::{Serialize, de::DeserializeOwned};
use tide::{
    Body, Endpoint, Request, Response, StatusCode,
    http::headers::{ALLOW, CONTENT_TYPE},
};

/// Has `endpoint` answer GET and HEAD of a path, and tells all other methods that it does.
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

/// What a body in JSON says, which must be an object: serde would take a list of its values as well.
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
