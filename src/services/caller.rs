//! `caller-service`: asks the echo service, and answers also when that does not.

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use argh::FromArgs;
use serde::Serialize;
use tide::{
    Request, StatusCode,
    http::{Url, headers::RETRY_AFTER},
};

use super::{
    OK, at_get,
    echo::{self, Echo},
    json,
    outgoing::{Callee, Place, in_words},
    parameter,
};
use crate::{
    cli::{self, Exit, Period, UsageError, setting},
    http::{
        self, Options, Trace,
        client::{Deadlines, Limits, Transport},
    },
};

/// Bytes of an echo that are read at most.
const ECHO_BYTES_MAX: u64 = 1 << 20;
/// Requests to the echo service at a time; others wait, and not for longer than the timeout.
const CALLS_MAX: usize = 256;
/// After how many seconds a client may try again. One that fails is cheap, so soon.
const RETRY_AFTER_S: &str = "1";
/// Where the echo service echoes.
const PATH: &str = "/echo";
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// Answers `GET /call-echo?msg=hello` with what the echo service says to it, and with 503 and the
/// cause if that does not answer well and in time.
#[derive(FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               curl \"http://127.0.0.1:8081/call-echo?msg=hello\"\n\
               {command_name} --echo-url http://echo.example:8080 --timeout 500ms",
    note = "The echo service may come and go while this one runs: every request tries anew. Runs\n\
            until SIGTERM or Ctrl-C: then it answers what is in flight. A flag beats its\n\
            environment variable, and that beats the default.",
    error_code(0, "it was told to stop, and has answered all"),
    error_code(1, "the port is taken or forbidden; stderr says so"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// where the echo service is, without its /echo; default http://127.0.0.1:8080 (ECHO_URL)
    #[argh(option, arg_name = "url")]
    echo_url: Option<Place>,

    /// how long one call of the echo service may take in all, from 10ms on and less than
    /// --request-timeout; default 1s (TIMEOUT)
    #[argh(option, arg_name = "time")]
    timeout: Option<Period>,
}

/// Runs the service until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    let (arguments, options) = match http::parse::<Arguments>(name, args, defaults()) {
        Ok(parsed) => parsed,
        Err(exit) => return exit,
    };
    let caller = match Caller::new(arguments, &options) {
        Ok(caller) => caller,
        Err(error) => return cli::usage(name, &error),
    };
    let (url, timeout) = (caller.echo.url(PATH), in_words(caller.echo.timeout()));
    let calls = format!("Calls {url}, for {timeout} at most");
    http::serve(name, app(caller), options, |address| {
        format!(
            "Caller service listening on http://{address}\n{calls}\n\
             Try curl \"http://{address}/call-echo?msg=hello\""
        )
    })
}

/// Port 8081 of 127.0.0.1, and else what the echo service has.
pub fn defaults() -> Options {
    Options { port: 8081, service: Some("caller-service"), ..echo::defaults() }
}

fn app(caller: Caller) -> tide::Server<()> {
    let caller = Arc::new(caller);
    let mut app = tide::new();
    at_get(&mut app, "/health", |_| async { json(StatusCode::Ok, &OK) });
    at_get(&mut app, "/call-echo", move |request| {
        let caller = Arc::clone(&caller);
        async move { answer(&caller, &request).await }
    });
    app
}

async fn answer(caller: &Caller, request: &Request<()>) -> tide::Result {
    let began = Instant::now();
    let Some(url) = caller.url_for(&parameter(request, "msg")) else {
        return json(StatusCode::UriTooLong, &TooLong { error: "msg is too long to be passed on" });
    };
    match caller.call(url, request.ext()).await {
        Ok(echo) => json(StatusCode::Ok, &Combined { service_a: echo, service_b: "ok" }),
        Err(error) => {
            if let Some(trace) = request.ext::<Trace>() {
                trace.explain(&error);
            }
            let elapsed_ms = began.elapsed().as_millis() as u64;
            let (service_a, service_b) = ("unavailable", "ok");
            let body = Unavailable { error, service_a, service_b, elapsed_ms };
            let mut answer = json(StatusCode::ServiceUnavailable, &body)?;
            answer.insert_header(RETRY_AFTER, RETRY_AFTER_S);
            Ok(answer)
        }
    }
}

/// Service A is the echo service, service B this one.
#[derive(Serialize)]
struct Combined {
    service_a: Echo,
    service_b: &'static str,
}

#[derive(Serialize)]
struct Unavailable {
    error: String,
    service_a: &'static str,
    service_b: &'static str,
    /// Milliseconds from the request to this answer.
    elapsed_ms: u64,
}

#[derive(Serialize)]
struct TooLong {
    error: &'static str,
}

struct Caller {
    echo: Callee,
    url_bytes_max: usize,
}

impl Caller {
    fn new(arguments: Arguments, options: &Options) -> Result<Self, UsageError> {
        let default = Place::from_str("http://127.0.0.1:8080").map_err(UsageError)?;
        let place = setting(arguments.echo_url, "ECHO_URL", default)?;
        let second = Period(Duration::from_secs(1));
        let Period(timeout) = setting(arguments.timeout, "TIMEOUT", second)?;
        if timeout < TIMEOUT_MIN {
            let least = TIMEOUT_MIN;
            return Err(UsageError(format!("--timeout {timeout:?} is less than {least:?}")));
        }
        if timeout >= options.request_timeout {
            return Err(UsageError(format!(
                "--timeout {timeout:?} would never pass before --request-timeout {:?}. Give more \
                 to the second, or less to the first",
                options.request_timeout
            )));
        }
        let deadlines = Deadlines { connect: timeout, read: timeout, total: timeout };
        let limits = Limits {
            body_bytes_max: ECHO_BYTES_MAX,
            connections_per_host: CALLS_MAX,
            connections_max: CALLS_MAX,
            ..Limits::default()
        };
        let transport = Transport::new(deadlines, limits);
        let echo = Callee::new(place, &transport, timeout);
        Ok(Self { echo, url_bytes_max: options.url_bytes_max })
    }

    /// `None`: it would be longer than the echo service takes it. What came in a URL can become
    /// longer here, because more of it is escaped.
    fn url_for(&self, msg: &str) -> Option<Url> {
        let mut url = self.echo.url(PATH);
        url.query_pairs_mut().append_pair("msg", msg);
        (url.path().len() + 1 + url.query().map_or(0, str::len) <= self.url_bytes_max)
            .then_some(url)
    }

    /// What the echo service says, or why it is as good as not there.
    async fn call(&self, url: Url, trace: Option<&Trace>) -> Result<Echo, String> {
        let request = surf::Request::new(surf::http::Method::Get, url);
        let asked = self.echo.ask(request, trace).await;
        let mut answer = asked.map_err(|error| self.echo.why(&error))?;
        if !answer.status().is_success() {
            return Err(format!("bad answer {}", answer.status()));
        }
        let body = answer.body_bytes().await.map_err(|error| self.echo.why(&error))?;
        serde_json::from_slice(&body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "bad answer: JSON without a text \"echo\"".into(),
            _ => "bad answer: not JSON".into(),
        })
    }
}
