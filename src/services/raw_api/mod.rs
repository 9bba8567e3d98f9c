//! `raw-api-server`: the fields of a form as JSON, over sockets and nothing else.
//!
//! It answers what [`api`] answers, byte for byte, and no HTTP library takes part. So it shows what
//! such a library does, in the order in which bytes pass through:
//!
//! ```text
//! worker      accepts on one thread
//!    |
//! connection  one task: reads, writes, and gives up in time
//!    |  \---- http1::request: bytes -> request line, headers, body     <- begin to read there
//!    |  \---- shared: what all connections of a thread share
//!    |
//! routes      which function answers
//!    |
//! answer      status line, headers, body -> bytes
//! ```
//!
//! Routes read as they do in Flask, where `@route("/api", methods=["GET"])` stands above a function:
//!
//! ```
//! use smolring::services::{
//!     form::{Form, Reply, answer},
//!     raw_api::{Request, Routes},
//! };
//!
//! fn answer_query(request: &Request) -> Reply {
//!     answer(Form::Query(&request.query))
//! }
//!
//! let routes = Routes::new().route("GET", "/api", answer_query);
//! # let _ = routes;
//! ```
//!
//! It shares the options, the port, accepting, the log and the shutdown with [`http`], so limits,
//! deadlines and statuses are the same. It has no HTTP/2, and no handlers that wait.

mod answer;
mod connection;
mod routes;
mod shared;
mod worker;

use argh::{ArgsInfo, FromArgs};
use smol::stream::Stream;

pub use self::routes::{Handler, Routes};
use super::{
    JSON, api,
    form::{self, Form, Reply},
};
pub use crate::http1::request::Request;
use crate::{
    cli::Exit,
    http::{self, About, Bound, Error, status::readiness},
};

/// Answers `GET /api?a=1` and `POST /api` with the fields of the query or the form as JSON, without
/// any HTTP library.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\ncurl 'http://localhost:5000/api?name=Ann&age=30'\n\
               curl -d name=Ann -d age=30 http://localhost:5000/api",
    note = "Runs until SIGTERM or Ctrl-C: then it answers what is in flight. A flag beats its\n\
            environment variable, and that beats the default.",
    error_code(0, "it was told to stop, and has answered all"),
    error_code(1, "the port is taken or forbidden, or an answer was cut off"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {}

/// What `/` says.
const ABOUT: About = About { name: "raw-api-server", ..api::ABOUT };

/// Runs the server until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    let defaults = http::Options { about: Some(&ABOUT), ..api::defaults() };
    super::start(name, args, defaults, |Arguments {}, options| {
        Ok(http::run(name, options, |bound, reasons| {
            let lines = bound.announced(api::announce);
            serve(bound, routes(), &lines, reasons)
        }))
    })
}

/// What this service answers.
pub fn routes() -> Routes {
    let routes = Routes::new().route("GET", "/api", answer_query);
    routes.route("POST", "/api", answer_form).route("GET", "/health", answer_health)
}

fn answer_health(_: &Request) -> Reply {
    let (status, body) = readiness(Ok(()));
    Reply { status, content_type: JSON, body: body.into(), cause: None }
}

fn answer_query(request: &Request) -> Reply {
    form::answer(Form::Query(&request.query))
}

fn answer_form(request: &Request) -> Reply {
    let content_type = request.content_type.as_deref();
    form::answer(Form::Body {
        content_type,
        is_coded: request.is_content_coded,
        bytes: &request.body,
    })
}

/// Serves any table of routes until `reasons` yields a reason to stop; prints `lines` first. Blocks, as
/// [`Bound::serve`] does.
pub fn serve(
    bound: Bound,
    routes: Routes,
    lines: &str,
    reasons: impl Stream<Item = &'static str> + Unpin + 'static,
) -> Result<(), Error> {
    bound.serve_with(lines, reasons, move |post| worker::run(post, routes.clone()))
}
