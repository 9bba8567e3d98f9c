//! `hello-server`: answers every method on every path with `Hello, World!`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use argh::{ArgsInfo, FromArgs};
use serde::Serialize;
use tide::{Response, StatusCode, http::Method};

use crate::{
    cli::Exit,
    http::{self, ErrorForm, Options},
};

const GREETING: &str = "Hello, World!";
const TEXT: &str = "text/html; charset=utf-8";

/// Answers `Hello, World!` to every request, and `GET /health` with its state as JSON.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\ncurl http://localhost:3000\nPORT=8080 {command_name} --log-format json",
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

/// Port 3000 of every address, all methods, and errors of the same type as the greeting.
pub fn defaults() -> Options {
    Options { port: 3000, errors: ErrorForm::Page, takes_all_methods: true, ..Options::default() }
}

/// What is printed when the port is open.
fn announce(address: SocketAddr) -> String {
    let port = address.port();
    format!(
        "Server listening on port {port}\n\
         Visit http://localhost:{port} or use curl -v http://localhost:{port}"
    )
}

/// The application.
pub fn app() -> tide::Server<()> {
    let began = Instant::now();
    let mut app = tide::new();
    app.at("/").all(|_| async { Ok(hello()) });
    app.at("/*").all(|_| async { Ok(hello()) });
    for method in [Method::Get, Method::Head] {
        app.at("/health").method(method, move |_| async move { health(began.elapsed()) });
    }
    app
}

fn hello() -> Response {
    super::answer(StatusCode::Ok, TEXT, GREETING)
}

/// The answer to `GET /health`, which load balancers ask for.
#[derive(Serialize)]
struct Health {
    status: &'static str,
    /// Seconds, to the millisecond.
    uptime: f64,
}

fn health(uptime: Duration) -> tide::Result {
    let uptime = uptime.as_millis() as f64 / 1e3;
    super::json(StatusCode::Ok, &Health { status: "healthy", uptime })
}
