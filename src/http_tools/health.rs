//! `smolring healthcheck`: whether a server is well, for images that have no shell and no curl.

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{
    exchange::{Answer, Output, Times, exchange},
    request::Request,
    why_not,
};
use crate::{
    cli::{self, Exit, Period, UsageError},
    http1::url::Url,
    serve::time::within,
};

/// Shorter than the time that Docker and Kubernetes allow by default for a whole check.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks a server once whether it is well: the exit code is 0 if it answers a GET with 2xx. It prints
/// nothing then, and else one line to stderr.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[<options>] [<url>]",
    example = "{command_name} http://localhost:3000/health\n\
               {command_name} :4043/_ring/ready",
    note = "Without a URL it asks for /health on this machine, at the port that SMOLRING_PORT or\n\
            PORT names, or 3000. So it is the HEALTHCHECK of an image with any of the services:\n\
            CMD [\"smolring\", \"healthcheck\"]\n\
            A flag beats its environment variable, and that beats the default.",
    error_code(0, "it answers with 2xx"),
    error_code(1, "it answers with anything else, too late, or not at all; stderr says which"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// how long all of it may take; default 3s (SMOLRING_TIMEOUT)
    #[argh(option, arg_name = "time")]
    timeout: Option<Period>,
    /// where to ask, as http://localhost:3000/health; http:// may be left out, and localhost before a
    /// port, as :3000/health
    #[argh(positional, arg_name = "url")]
    url: Option<String>,
}

/// The command. Blocks until the answer has come, or the time is over.
pub fn run(name: &str, args: &[String]) -> Exit {
    let arguments: Arguments = match cli::parse(name, args) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let prepared =
        cli::setting(arguments.timeout, "timeout", Period(TIMEOUT)).and_then(|timeout| {
            let url = arguments.url.unwrap_or_else(own_server);
            Ok((timeout, Url::parse(&url).map_err(UsageError)?))
        });
    let (timeout, url) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return cli::usage(name, &error),
    };
    let (request, mut times) = (Request::get(url), Times::new());
    let (bytes, mut nowhere) = (request.bytes(), Output::none());
    let asking = exchange(&request.url, &request.method, &bytes, &mut nowhere, &mut times);
    let asked = smol::block_on(within(timeout.0, asking));
    let host = &request.url.authority;
    let why = match asked {
        Some(Ok(Answer { status: 200..300, .. })) => return Exit::Done,
        Some(Ok(Answer { status, .. })) => format!("{host} answers with status {status}"),
        Some(Err(failure)) => why_not(host, Some(&failure), &times, timeout).1,
        None => why_not(host, None, &times, timeout).1,
    };
    // Docker knows 0 and 1 alone.
    cli::fail(name, Exit::Failed, why)
}

/// The server that this machine, or this container, is for.
fn own_server() -> String {
    let port = ["SMOLRING_PORT", "PORT"].into_iter().find_map(cli::from_environment);
    let port = port.map_or("3000".into(), |port| port.to_string_lossy().into_owned());
    format!("http://localhost:{port}/health")
}
