//! `api-server`: the fields of a form as JSON, on tide.
//!
//! What it answers is in [`form`]; [`raw_api`](super::raw_api) answers the same without any HTTP
//! library.

use std::net::{Ipv4Addr, SocketAddr};

use argh::{ArgsInfo, FromArgs};
use tide::{
    Request, StatusCode,
    http::{Method, headers::CONTENT_TYPE},
};

use super::{
    form::{self, ERRORS, Form},
    is_coded,
};
use crate::{
    cli::Exit,
    http::{self, About, Cause, Options},
};

/// Answers `GET /api?a=1` and `POST /api` with the fields of the query or the form as JSON.
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

/// Runs the server until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    super::start(name, args, defaults(), |Arguments {}, options| {
        Ok(http::serve(name, app(), options, announce))
    })
}

/// What `/` says.
pub(super) const ABOUT: About = About {
    name: "api-server",
    does: "answers the fields of a form as JSON",
    offers: &[
        ("GET /api?name=Ann&age=30", "the fields of the query"),
        ("POST /api", "the fields of a form in the body"),
    ],
};

/// Port 5000 of 127.0.0.1.
pub fn defaults() -> Options {
    Options {
        ip: Some(Ipv4Addr::LOCALHOST.into()),
        port: 5000,
        errors: ERRORS,
        about: Some(&ABOUT),
        ..Options::default()
    }
}

/// What is printed when the port is open.
pub(super) fn announce(address: SocketAddr) -> String {
    format!(
        "Server listening on port {}\nVisit http://{address}/api?name=Ann&age=30",
        address.port()
    )
}

/// The application.
pub fn app() -> tide::Server<()> {
    let mut app = tide::new();
    super::add_health(&mut app);
    let mut api = app.at("/api");
    super::refuse_others(&mut api, "GET, HEAD, POST");
    for method in [Method::Get, Method::Head] {
        api.method(method, |request: Request<()>| async move {
            response(form::answer(Form::Query(request.url().query().unwrap_or_default())))
        });
    }
    api.post(|mut request: Request<()>| async move {
        let bytes = request.body_bytes().await?;
        let content_type = request.header(CONTENT_TYPE).map(|values| values.last().as_str());
        let is_coded = is_coded(&request);
        response(form::answer(Form::Body { content_type, is_coded, bytes: &bytes }))
    });
    app
}

fn response(reply: form::Reply) -> tide::Result {
    let status = StatusCode::try_from(reply.status)?;
    let mut answer = super::answer(status, reply.content_type, reply.body);
    if let Some(cause) = reply.cause {
        answer.insert_ext(Cause(cause.into()));
    }
    Ok(answer)
}
