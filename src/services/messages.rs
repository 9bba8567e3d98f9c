//! `messages-service`: answers with one text. It is a placeholder for a service that is still to be
//! written.

use std::{net::Ipv4Addr, sync::Arc};

use argh::{ArgsInfo, FromArgs};
use tide::StatusCode;

use super::{add_health, answer, at_get};
use crate::{
    cli::{Exit, setting},
    http::{self, About, Options},
};

/// Answers `GET /static` and `GET /message` with one text.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\ncurl http://127.0.0.1:8002/static\n{command_name} --text 'see you'",
    note = "Runs until SIGTERM or Ctrl-C: then it answers what is in flight. A flag beats its\n\
            environment variable, and that beats the default.",
    error_code(0, "it was told to stop, and has answered all"),
    error_code(1, "the port is taken or forbidden, or an answer was cut off"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// what it says; default: not implemented yet (SMOLRING_TEXT)
    #[argh(option, arg_name = "text")]
    text: Option<String>,
}

/// Runs the service until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    super::start(name, args, defaults(), |arguments: Arguments, options| {
        let text = setting(arguments.text, "text", "not implemented yet".to_owned())?;
        Ok(http::serve(name, app(&text), options, |address| {
            format!(
                "Messages service listening on http://{address}\nTry curl http://{address}/static"
            )
        }))
    })
}

/// What `/` says.
const ABOUT: About = About {
    name: "messages-service",
    does: "says one text",
    offers: &[("GET /static", "the text"), ("GET /message", "the same")],
};

/// Port 8002 of 127.0.0.1.
pub fn defaults() -> Options {
    Options {
        ip: Some(Ipv4Addr::LOCALHOST.into()),
        port: 8002,
        service: Some("messages-service"),
        about: Some(&ABOUT),
        ..Options::default()
    }
}

/// The application.
pub fn app(text: &str) -> tide::Server<()> {
    let text: Arc<str> = text.into();
    let mut app = tide::new();
    add_health(&mut app);
    for path in ["/static", "/message"] {
        let text = Arc::clone(&text);
        at_get(&mut app, path, move |_| {
            let text = Arc::clone(&text);
            async move { Ok(answer(StatusCode::Ok, "text/plain; charset=utf-8", &*text)) }
        });
    }
    app
}
