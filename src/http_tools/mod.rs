//! ASKS OVER HTTP BY HAND: `http-get` and `http-post`, from the URL to the last byte of the answer.
//!
//! A request is text that is put together here, an answer is bytes that [`http1`](crate::http1) takes
//! apart, and between the two there is a socket. `-v` shows what is sent, `-i` the head of what comes
//! back:
//!
//! ```text
//! $ http-post -v -i http://localhost:5000/api name=Ann age=30
//! POST /api HTTP/1.1
//! Host: localhost:5000
//! ...
//! ```
//!
//! The words after the URL are those of [xh](https://github.com/ducaale/xh): `name=Ann`, `age:=30`,
//! `page==2`, `Accept:text/plain`. [`run`] is both commands. Not here: TLS, proxies, cookies, uploads
//! of files as multipart.

mod args;
mod exchange;
mod health;
mod request;

use std::{
    io::{self, Write as _},
    time::Duration,
};

use self::{
    args::Arguments,
    exchange::{Answer, Failure, Output, Times, exchange},
    request::Request,
};
pub use self::{args::Method, health::run as healthcheck};
use crate::{
    cli::{self, Exit, Period},
    serve::time::within,
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects that are followed, one after another.
const REDIRECTS_MAX: usize = 10;
/// Characters of a server's `Location` that a message shows.
const SHOWN_CHARS_MAX: usize = 200;

/// `http-get`. Blocks until the answer has come, or the time is over.
pub fn get(name: &str, args: &[String]) -> Exit {
    run(name, args, Method::Get)
}

/// `http-post`. Blocks until the answer has come, or the time is over.
pub fn post(name: &str, args: &[String]) -> Exit {
    run(name, args, Method::Post)
}

/// Either command. Blocks as they do.
pub fn run(name: &str, args: &[String], method: Method) -> Exit {
    let arguments: Arguments = match cli::parse(name, args) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let prepared = cli::setting(arguments.timeout, "timeout", Period(TIMEOUT))
        .and_then(|Period(timeout)| Ok((timeout, Request::of(&arguments, method)?)));
    let (timeout, mut request) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return cli::usage(name, &error),
    };
    let mut times = Times::new();
    let asked = smol::block_on(within(timeout, ask(&mut request, &arguments, &mut times)));
    if arguments.time {
        cli::say(name, &times);
    }
    let host = &request.url.authority;
    let timeout = Period(timeout);
    match asked {
        Some(Ok(Answer { status: 200..300, .. }) | Err(Failure::Closed(200..300))) => Exit::Done,
        Some(Ok(Answer { status: 400..500, .. }) | Err(Failure::Closed(400..500))) => Exit::Refused,
        Some(Ok(Answer { status: 500..600, .. }) | Err(Failure::Closed(500..600))) => {
            Exit::ServerFailed
        }
        Some(Ok(Answer { status, location: Some(to) })) => {
            let to: String = to.escape_debug().take(SHOWN_CHARS_MAX).collect();
            let message =
                format_args!("{host} answers with status {status}; --follow goes to {to}");
            cli::fail(name, Exit::Failed, message)
        }
        Some(Ok(Answer { status, .. }) | Err(Failure::Closed(status))) => {
            cli::fail(name, Exit::Failed, format_args!("{host} answers with status {status}"))
        }
        Some(Err(Failure::Output(error))) => cli::finish(name, Err(error)),
        Some(Err(failure)) => {
            let (exit, why) = why_not(host, Some(&failure), &times, timeout);
            cli::fail(name, exit, why)
        }
        None => {
            let (exit, why) = why_not(host, None, &times, timeout);
            cli::fail(name, exit, why)
        }
    }
}

/// Why there is no answer, and the exit code for that. Without a failure, the time was over.
fn why_not(
    host: &str,
    failure: Option<&Failure>,
    times: &Times,
    timeout: Period,
) -> (Exit, String) {
    match failure {
        Some(Failure::Unreachable(cause)) => {
            (Exit::Unreachable, format!("cannot reach {host}: {cause}; is the server running?"))
        }
        Some(Failure::Answer(cause)) => {
            (Exit::Failed, format!("the answer of {host} is no good: {cause}"))
        }
        Some(Failure::File(why)) => (Exit::Failed, why.clone()),
        Some(Failure::Output(error)) => (Exit::Failed, error.to_string()),
        Some(Failure::Closed(status)) => {
            (Exit::Failed, format!("{host} answers with status {status}"))
        }
        None if times.connected.is_none() => {
            (Exit::Unreachable, format!("cannot reach {host} within {timeout}"))
        }
        None => {
            (Exit::Failed, format!("no whole answer of {host} within {timeout}; see --timeout"))
        }
    }
}

/// Sends the request and shows its answer. Where that leads elsewhere and may, sends the next one, which
/// `request` then is.
async fn ask(
    request: &mut Request,
    arguments: &Arguments,
    times: &mut Times,
) -> Result<Answer, Failure> {
    let mut output = Output::to(arguments.output.as_deref());
    output.shows_head = arguments.include;
    output.follows = arguments.follow;
    for _ in 0..=REDIRECTS_MAX {
        let bytes = request.bytes();
        if arguments.verbose {
            show(&bytes);
        }
        let answer = exchange(&request.url, &request.method, &bytes, &mut output, times).await?;
        match &answer.location {
            Some(location) if output.follows => {
                let next = request.redirected(answer.status, location);
                *request = next.map_err(|why| {
                    Failure::Answer(format!("it leads elsewhere, and {}", why.escape_debug()))
                })?;
            }
            _ => return Ok(answer),
        }
    }
    Err(Failure::Answer(format!("it leads elsewhere more than {REDIRECTS_MAX} times")))
}

/// Shows a request on stderr: its head as it is, and its body if that is text.
fn show(request: &[u8]) {
    let mut stderr = io::stderr().lock();
    let end =
        request.windows(4).position(|it| it == b"\r\n\r\n").map_or(request.len(), |at| at + 4);
    let (head, body) = request.split_at(end);
    let _ = stderr.write_all(head);
    let is_text = |text: &str| text.chars().all(|it| !it.is_control() || "\t\r\n".contains(it));
    match std::str::from_utf8(body) {
        Ok(text) if is_text(text) => {
            let _ = stderr.write_all(body);
            let _ = stderr.write_all(if request.ends_with(b"\n") { b"" } else { b"\n" });
        }
        _ => {
            let _ = writeln!(stderr, "({} bytes that are no text)", body.len());
        }
    }
}
